//! Reading `Cookie`.

use super::names::{CookieKind, CookieNames, WHITE};

/// The limits of a `Cookie` header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CookieLimits {
    /// The longest header, in bytes.
    pub(crate) bytes: usize,
    /// The most pairs. Empty pieces between semicolons do not count.
    pub(crate) pairs: usize,
}

/// The header is over its [`CookieLimits`]. The request is treated as having no session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TooLarge;

/// All values of the session's cookies.
///
/// Values are sorted by bytes, without duplicates. The order in the header has no meaning (RFC
/// 6265bis, 5.8.3: servers should not rely on it), and another host of the same domain can
/// influence it. There is no `Debug`, because values contain tokens.
#[derive(Default)]
pub(crate) struct Found<'h> {
    pub(crate) key: Vec<&'h str>,
    pub(crate) seen: Vec<&'h str>,
    pub(crate) fresh: Vec<&'h str>,
    pub(crate) form: Vec<&'h str>,
}

impl<'h> Found<'h> {
    /// The values of one kind.
    pub(crate) fn get(&self, kind: CookieKind) -> &[&'h str] {
        match kind {
            CookieKind::Key => &self.key,
            CookieKind::Seen => &self.seen,
            CookieKind::Fresh => &self.fresh,
            CookieKind::Form => &self.form,
        }
    }

    fn get_mut(&mut self, kind: CookieKind) -> &mut Vec<&'h str> {
        match kind {
            CookieKind::Key => &mut self.key,
            CookieKind::Seen => &mut self.seen,
            CookieKind::Fresh => &mut self.fresh,
            CookieKind::Form => &mut self.form,
        }
    }
}

/// Finds the session's cookies in a `Cookie` header, in one pass.
///
/// Only `;` ends a pair. Quotes do not hide a `;`. A comma does not end a pair, although some
/// platforms join header fields with one, because browsers allow it inside values. The first `=`
/// separates name and value. A malformed pair is skipped and does not hide later ones. Values are
/// verbatim, including quotes.
///
/// # Errors
/// [`TooLarge`] if the header is over `limits`, wherever our cookies are.
pub(crate) fn parse<'h>(
    header: &'h str,
    names: &CookieNames,
    limits: CookieLimits,
) -> Result<Found<'h>, TooLarge> {
    scan(header, names, limits, &mut 0)
}

/// [`parse`] that also adds the number of inspected bytes to `work`, for the test that counts them.
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
            // Insert in order. The limits keep the number of values small, and each costs a MAC
            // later.
            let values = found.get_mut(kind);
            let place = values.binary_search_by(|other| {
                *work += other.len().min(value.len()) + 1;
                (*other).cmp(value)
            });
            if let Err(place) = place {
                values.insert(place, value);
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::super::{CookieAttributes, CookieSpec, SameSite};
    use super::*;

    const ROOMY: CookieLimits = CookieLimits {
        bytes: 65_536,
        pairs: 200,
    };
    const HUGE: CookieLimits = CookieLimits {
        bytes: usize::MAX,
        pairs: usize::MAX,
    };

    fn names() -> CookieNames {
        let spec = CookieSpec::new(CookieAttributes {
            name: "__Host-id",
            path: "/",
            domain: None,
            secure: true,
            same_site: SameSite::Lax,
            partitioned: false,
        });
        spec.unwrap().names().clone()
    }

    fn keys(header: &str) -> Vec<String> {
        let found = parse(header, &names(), ROOMY).unwrap_or_default();
        found.key.iter().map(ToString::to_string).collect()
    }

    /// What each header yields for the key cookie.
    const VECTORS: &[(&str, &[&str])] = &[
        ("", &[]),
        (";", &[]),
        ("; ;", &[]),
        ("=", &[]),
        ("=v", &[]),
        ("v", &[]),
        ("__Host-id", &[]),
        ("__Host-id=", &[""]),
        ("__Host-id=GOOD", &["GOOD"]),
        (" __Host-id = GOOD", &["GOOD"]),
        ("\t__Host-id=GOOD", &["GOOD"]),
        ("__Host-id\t =\t GOOD \t", &["GOOD"]),
        ("a=1;__Host-id=GOOD;b=2", &["GOOD"]),
        // Other white space belongs to the name.
        ("\u{a0}__Host-id=E", &[]),
        ("\u{2000}__Host-id=E", &[]),
        ("\u{2001}__Host-id=E", &[]),
        ("\u{2002}__Host-id=E", &[]),
        ("\u{2003}__Host-id=E", &[]),
        ("\u{2004}__Host-id=E", &[]),
        ("\u{2005}__Host-id=E", &[]),
        ("\u{2006}__Host-id=E", &[]),
        ("\u{2007}__Host-id=E", &[]),
        ("\u{2008}__Host-id=E", &[]),
        ("\u{2009}__Host-id=E", &[]),
        ("\u{200a}__Host-id=E", &[]),
        ("\u{2028}__Host-id=E", &[]),
        ("\u{85}__Host-id=E", &[]),
        ("\u{3000}__Host-id=E", &[]),
        ("\u{feff}__Host-id=E", &[]),
        ("\u{b}__Host-id=E", &[]),
        ("\u{c}__Host-id=E", &[]),
        ("\r\n__Host-id=E", &[]),
        ("\0__Host-id=E", &[]),
        ("\u{fffd}__Host-id=E", &[]),
        ("__Host-id\u{a0}=E", &[]),
        ("__Host-id\u{fffd}=E", &[]),
        ("__Host-id\0=E", &[]),
        ("\u{fffd}", &[]),
        // Names are compared as they are.
        ("__host-id=E", &[]),
        ("__Host-id%20=E", &[]),
        ("__%48ost-id=E", &[]),
        ("__Host-i%64=E", &[]),
        ("__Host-id -seen=E", &[]),
        ("__Host-idx=E", &[]),
        ("__proto__=1", &[]),
        // The first `=` separates, and what is nameless stays so.
        ("=__Host-id=E", &[]),
        ("a=__Host-id=E", &[]),
        ("__Host-id=a=b", &["a=b"]),
        // Only `;` ends a pair.
        ("a=\"x; __Host-id=E\"", &["E\""]),
        ("a=x, __Host-id=E", &[]),
        ("__Host-id=GOOD, b=2", &["GOOD, b=2"]),
        ("__Host-id=a\r\nSet-Cookie: b", &["a\r\nSet-Cookie: b"]),
        // Values are verbatim.
        ("$Version=1; __Host-id=\"E\"; $Path=\"/\"", &["\"E\""]),
        ("__Host-id=\"GOOD\"", &["\"GOOD\""]),
        ("__Host-id=%47", &["%47"]),
        // Every value, in an order that the header does not decide; equal ones once.
        ("__Host-id=GOOD; __Host-id=E", &["E", "GOOD"]),
        ("__Host-id=E; __Host-id=GOOD", &["E", "GOOD"]),
        ("__Host-id=GOOD; a=b; __Host-id=GOOD", &["GOOD"]),
    ];

    #[test]
    fn every_vector_yields_its_values() {
        for (header, expected) in VECTORS {
            assert_eq!(keys(header), *expected, "{header:?}");
        }
    }

    #[test]
    fn no_vector_hides_a_cookie_before_or_after_it() {
        for (header, expected) in VECTORS {
            let mut expected = [*expected, &["OTHER"]].concat();
            expected.sort_unstable();
            assert_eq!(
                keys(&format!("{header}; __Host-id=OTHER")),
                expected,
                "after {header:?}"
            );
            assert_eq!(
                keys(&format!("__Host-id=OTHER; {header}")),
                expected,
                "before {header:?}"
            );
        }
    }

    #[test]
    fn each_kind_has_its_own_list() {
        let names = names();
        let header = "__Host-id=k; __Host-id-seen=s; __Host-id-fresh=f; __Host-id-seen=t; \
                      __Host-id-fres=x; __Host-id-freshh=x; __Host-id-=x; __Host-id-SEEN=x; \
                      __Host-id-form=o; __Host-id-forms=x";
        let found = parse(header, &names, ROOMY).unwrap_or_default();
        assert_eq!(found.get(CookieKind::Key), ["k"]);
        assert_eq!(found.get(CookieKind::Seen), ["s", "t"]);
        assert_eq!(found.get(CookieKind::Fresh), ["f"]);
        assert_eq!(found.get(CookieKind::Form), ["o"]);
    }

    #[test]
    fn a_header_over_its_limits_is_too_large_wherever_our_cookie_stands() {
        let names = names();
        let limits = CookieLimits {
            bytes: 64,
            pairs: 4,
        };
        let outcome = |header: &str| parse(header, &names, limits).map(|found| found.key.len());
        let at = |pad: usize| format!("__Host-id=k; a={}", "x".repeat(pad));
        assert_eq!(at(49).len(), 64);
        assert_eq!(outcome(&at(49)), Ok(1));
        assert_eq!(outcome(&at(50)), Err(TooLarge));
        assert_eq!(outcome("__Host-id=k; b; =c; d=e"), Ok(1));
        assert_eq!(outcome(";; __Host-id=k;; b; =c; ;d=e;; ;"), Ok(1));
        assert_eq!(outcome("__Host-id=k; b; =c; d=e; f"), Err(TooLarge));
        assert_eq!(outcome("a; b; c; d; __Host-id=k"), Err(TooLarge));
    }

    #[test]
    fn the_largest_headers_cost_no_more_than_their_limits() {
        let names = names();
        for header in ["a=;".repeat(100_000), format!("a={}", "x".repeat(1 << 20))] {
            assert_eq!(parse(&header, &names, ROOMY).err(), Some(TooLarge));
            let found = parse(&header, &names, HUGE).unwrap_or_default();
            assert!(found.key.is_empty());
        }
    }

    /// Counted work, not time: twice the header is twice the work, whatever it is made of.
    #[test]
    fn work_is_linear() {
        let names = names();
        let work = |header: &str, limits| {
            let mut work = 0;
            let outcome = scan(header, &names, limits, &mut work);
            (work, outcome.is_ok())
        };
        for piece in [
            "a=;",
            ";",
            " ",
            "=",
            "\"",
            "\\\"",
            ",",
            "__Host-id",
            "__Host-id=; ",
            "é",
        ] {
            for count in [1, 10, 100, 1000, 10_000] {
                let header = piece.repeat(count);
                let (steps, _) = work(&header, HUGE);
                // Every byte once; equal values add one comparison each.
                let ours = header.matches("__Host-id=").count();
                let least = header.len() + 1 + ours.saturating_sub(1);
                assert!(
                    (least..=2 * (header.len() + 1)).contains(&steps),
                    "{piece:?} x {count}: {steps}"
                );
            }
        }
        // As many different values as the limits let in, alike to the last byte: sorting looks at
        // each about log2(200) times, not 200 times.
        let pad = "x".repeat(300);
        let pairs = (0..200).map(|i| format!("__Host-id={pad}{:03}", (i * 77) % 200));
        let header = pairs.collect::<Vec<_>>().join("; ");
        let (steps, accepted) = work(&header, ROOMY);
        assert!(accepted);
        assert!(steps <= 10 * header.len(), "{steps}");
    }
}
