//! Reading `Cookie`.

use super::{CookieKind, CookieNames};

/// The only white space that browsers trim off names and values (RFC 6265bis, 5.6): trimming more
/// would turn a name that a sibling host may set into one that it may not.
pub(super) const WHITE: [char; 2] = [' ', '\t'];

/// How much of a `Cookie` header is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CookieLimits {
    /// The longest header, in bytes.
    pub(crate) bytes: usize,
    /// The most pairs in it; empty pieces between semicolons do not count.
    pub(crate) pairs: usize,
}

/// The header is over its [`CookieLimits`]: the request counts as one without a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooLarge;

/// Every value found under each of the session's names.
///
/// Values stand in byte order, each once: the order in the header means nothing (RFC 6265bis, 5.8.3:
/// servers should not rely on it), and a host beside ours can choose it. There is no `Debug`, since
/// values carry tokens.
#[derive(Default)]
pub(crate) struct Found<'h> {
    pub(crate) key: Vec<&'h str>,
    pub(crate) seen: Vec<&'h str>,
    pub(crate) fresh: Vec<&'h str>,
}

impl<'h> Found<'h> {
    /// The values of one kind.
    pub(crate) fn get(&self, kind: CookieKind) -> &[&'h str] {
        match kind {
            CookieKind::Key => &self.key,
            CookieKind::Seen => &self.seen,
            CookieKind::Fresh => &self.fresh,
        }
    }

    fn get_mut(&mut self, kind: CookieKind) -> &mut Vec<&'h str> {
        match kind {
            CookieKind::Key => &mut self.key,
            CookieKind::Seen => &mut self.seen,
            CookieKind::Fresh => &mut self.fresh,
        }
    }
}

/// Finds the session's cookies in the text of a `Cookie` header, in one pass.
///
/// Pairs end at `;` and nowhere else: a quote does not hide one, and a comma, with which some
/// platforms join two header fields, does not end one, since browsers allow it inside values. The
/// first `=` separates name and value. A malformed pair is skipped and hides no later one. Values
/// are verbatim, quotes included.
///
/// # Errors
/// [`TooLarge`] where the header is over `limits`, wherever in it our cookies stand.
pub(crate) fn parse<'h>(
    header: &'h str,
    names: &CookieNames,
    limits: CookieLimits,
) -> Result<Found<'h>, TooLarge> {
    scan(header, names, limits, &mut 0)
}

/// [`parse`] that adds the bytes it looked at to `work`, for the test that counts them.
fn scan<'h>(
    header: &'h str,
    names: &CookieNames,
    limits: CookieLimits,
    work: &mut usize,
) -> Result<Found<'h>, TooLarge> {
    if header.len() > limits.bytes {
        return Err(TooLarge);
    }
    let mut found = Found::default();
    let mut pairs = 0;
    for piece in header.split(';') {
        *work += piece.len() + 1;
        let pair = piece.trim_matches(WHITE);
        if pair.is_empty() {
            continue;
        }
        pairs += 1;
        if pairs > limits.pairs {
            return Err(TooLarge);
        }
        if let Some((kind, value)) = names.split(pair) {
            found.get_mut(kind).push(value);
        }
    }
    for kind in CookieKind::ALL {
        let values = found.get_mut(kind);
        values.sort_unstable_by(|a, b| {
            *work += a.len().min(b.len()) + 1;
            a.cmp(b)
        });
        values.dedup();
    }
    Ok(found)
}
