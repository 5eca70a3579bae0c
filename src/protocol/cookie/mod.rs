//! The grammar of `Cookie` and `Set-Cookie`, as far as a session needs it.
//!
//! A session keeps three cookies, all derived from one base name, so that each has one kind of
//! writer: see [`CookieKind`]. [`CookieSpec`] is the one place that knows their names and
//! attributes: it writes a cookie, removes it and says which name to look for, so the three cannot
//! disagree. [`parse()`] finds them in a request.
//!
//! Rules are those of RFC 6265bis (draft-ietf-httpbis-rfc6265bis-22), and for the prefixes
//! `__Http-` and `__Host-Http-` those of draft-ietf-httpbis-layered-cookies.

mod parse;
mod spec;

pub(crate) use parse::{CookieLimits, Found, TooLarge, parse};
pub use spec::SameSite;
pub(crate) use spec::{CookieAttributes, CookieSpec, MAX_AGE};

/// Which of the session's three cookies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum CookieKind {
    /// Who: written when a token is minted or cycled.
    Key,
    /// When last: slides the idle time.
    Seen,
    /// What was just saved: written by saves.
    Fresh,
}

impl CookieKind {
    pub(crate) const ALL: [Self; 3] = [Self::Key, Self::Seen, Self::Fresh];

    /// What this kind adds to the base name.
    const fn suffix(self) -> &'static str {
        match self {
            Self::Key => "",
            Self::Seen => "-seen",
            Self::Fresh => "-fresh",
        }
    }
}

/// The names of the three cookies: a base name, and the base name with a suffix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CookieNames {
    /// In the order of [`CookieKind::ALL`].
    names: [String; 3],
}

impl CookieNames {
    fn new(base: &str) -> Self {
        Self {
            names: CookieKind::ALL.map(|kind| [base, kind.suffix()].concat()),
        }
    }

    /// The whole name of one cookie.
    pub(crate) fn get(&self, kind: CookieKind) -> &str {
        &self.names[kind as usize]
    }

    /// The kind of cookie that `pair` (`name=value` without white space around it) is, and its
    /// value. Bytes are compared as they are: no case folding, no decoding, no Unicode.
    fn split<'h>(&self, pair: &'h str) -> Option<(CookieKind, &'h str)> {
        // One comparison turns away every foreign pair, whatever its length.
        let rest = pair.strip_prefix(self.get(CookieKind::Key))?;
        let (suffix, value) = rest.split_once('=')?;
        let suffix = suffix.trim_end_matches(parse::WHITE);
        let kind = CookieKind::ALL
            .into_iter()
            .find(|kind| kind.suffix() == suffix)?;
        Some((kind, value.trim_start_matches(parse::WHITE)))
    }
}
