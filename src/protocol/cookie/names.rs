//! The four cookies and their names.

/// The only white space that browsers trim off names and values (RFC 6265bis, 5.6): trimming more
/// would turn a name that a sibling host may set into one that it may not.
pub(super) const WHITE: [char; 2] = [' ', '\t'];

/// One of the four cookies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum CookieKind {
    /// Who: written when a token is created or cycled.
    Key,
    /// When last: extends the idle time.
    Seen,
    /// What was just saved: written by saves.
    Fresh,
    /// Signs the forms of pages without a session: written by pages with a form.
    Form,
}

impl CookieKind {
    pub(crate) const ALL: [Self; 4] = [Self::Key, Self::Seen, Self::Fresh, Self::Form];

    /// The suffix of this kind.
    const fn suffix(self) -> &'static str {
        match self {
            Self::Key => "",
            Self::Seen => "-seen",
            Self::Fresh => "-fresh",
            Self::Form => "-form",
        }
    }
}

/// The names of the four cookies: a base name, and the base name with a suffix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CookieNames {
    /// In the order of [`CookieKind::ALL`].
    names: [String; 4],
}

impl CookieNames {
    pub(super) fn new(base: &str) -> Self {
        Self {
            names: CookieKind::ALL.map(|kind| [base, kind.suffix()].concat()),
        }
    }

    /// The whole name of one cookie.
    pub(crate) fn get(&self, kind: CookieKind) -> &str {
        &self.names[kind as usize]
    }

    /// The kind and value of the cookie in `pair` (`name=value` without surrounding white space).
    /// Bytes are compared exactly: no case folding, no decoding, no Unicode rules.
    pub(super) fn split<'h>(&self, pair: &'h str) -> Option<(CookieKind, &'h str)> {
        // One comparison rejects every foreign pair, whatever its length.
        let rest = pair.strip_prefix(self.get(CookieKind::Key))?;
        let (suffix, value) = rest.split_once('=')?;
        let suffix = suffix.trim_end_matches(WHITE);
        let kind = CookieKind::ALL
            .into_iter()
            .find(|kind| kind.suffix() == suffix)?;
        Some((kind, value.trim_start_matches(WHITE)))
    }
}
