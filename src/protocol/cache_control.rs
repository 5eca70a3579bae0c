//! Decides whether a response that depends on its session can keep the application's
//! `Cache-Control`.

/// True if `own` prevents every cache from storing the response, like the `no-store` that would
/// replace it. With `may_be_private`, it is enough to exclude shared caches (RFC 9111, 5.2.2.7).
pub(crate) fn keeps(own: &str, may_be_private: bool) -> bool {
    let has = |name: &str| directives(own).any(|directive| directive.eq_ignore_ascii_case(name));
    // With `must-understand`, caches ignore `no-store` (RFC 9111, 5.2.2.3).
    if has("no-store") && !has("must-understand") {
        return true;
    }
    // `private="…"` concerns single fields, so it does not count.
    let is_shared = directives(own).any(|directive| {
        let name = directive.split('=').next().unwrap_or_default().trim_end();
        name.eq_ignore_ascii_case("public") || name.eq_ignore_ascii_case("s-maxage")
    });
    may_be_private && has("private") && !is_shared
}

/// The directives with their arguments (RFC 9111, 5.2), separated by commas outside of quotes.
fn directives(value: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(value);
    std::iter::from_fn(move || {
        let text = rest?;
        let (mut is_quoted, mut is_escaped) = (false, false);
        let end = text.bytes().position(|byte| {
            let escaped = std::mem::take(&mut is_escaped);
            match byte {
                b'\\' if is_quoted && !escaped => is_escaped = true,
                b'"' if !escaped => is_quoted = !is_quoted,
                b',' => return !is_quoted,
                _ => {}
            }
            false
        });
        // A comma is one byte, so both halves are valid UTF-8.
        let (directive, after) = match end.and_then(|end| text.split_at_checked(end)) {
            Some((directive, after)) => (directive, after.get(1..)),
            None => (text, None),
        };
        rest = after;
        Some(directive.trim())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_as_strict_is_kept() {
        for (own, kept, kept_private) in [
            ("no-store", true, true),
            ("private, no-store, max-age=0", true, true),
            ("NO-STORE , Max-Age=0", true, true),
            ("public, no-store", true, true),
            ("private, no-cache", false, true),
            ("private", false, true),
            ("max-age=60, PRIVATE", false, true),
            ("private, public", false, false),
            ("private, s-maxage=60", false, false),
            ("private, S-MaxAge =60", false, false),
            ("no-cache", false, false),
            ("public, max-age=60", false, false),
            ("max-age=60", false, false),
            ("", false, false),
            (",", false, false),
            // A field list does not make the answer private.
            ("private=\"set-cookie\"", false, false),
            // The words have to be directives.
            ("no-store-at-all", false, false),
            ("x=no-store", false, false),
            ("no-store=1", false, false),
            ("x=\"a, no-store, private\"", false, false),
            ("x=\"a\\\", no-store\", max-age=1", false, false),
            ("x=\"open, no-store", false, false),
            ("x=\"a\\\\\", no-store", true, true),
            ("x=\"é, ü\", no-store", true, true),
            // A cache that understands the status ignores `no-store` here.
            ("must-understand, no-store", false, false),
            ("must-understand, no-store, private", false, true),
        ] {
            assert_eq!(keeps(own, false), kept, "{own}");
            assert_eq!(keeps(own, true), kept_private, "{own}");
        }
    }
}
