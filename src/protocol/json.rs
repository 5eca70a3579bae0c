//! Splits JSON texts without parsing their values (RFC 8259).
//!
//! The core stores values as JSON texts and passes them on. It only needs to know where a value
//! ends and whether two values are equal. A full parser for that would be a third of the wasm.

/// The deepest nesting that is read. The limit for stored values is far lower.
const MAX_DEPTH: u32 = 128;

/// Objects with more members are compared only in order, because ignoring the order would take too
/// long.
const UNORDERED: usize = 64;

/// The members of the object `text`: names as written, including quotes, and the texts of the
/// values. `None` if it is not valid JSON or not an object.
pub(crate) fn members(text: &str) -> Option<Vec<(&str, &str)>> {
    let mut members = Vec::new();
    let mut scan = Scan { text, at: 0 };
    scan.list(b'{', b'}', &mut |scan| {
        let name = scan.taken(Scan::string)?;
        scan.expect(b':')?;
        members.push((name, scan.taken(|scan| scan.value(MAX_DEPTH))?));
        Some(())
    })?;
    scan.ends().then_some(members)
}

/// The texts of the elements of the array `text`.
pub(crate) fn elements(text: &str) -> Option<Vec<&str>> {
    let mut elements = Vec::new();
    let mut scan = Scan { text, at: 0 };
    scan.list(b'[', b']', &mut |scan| {
        elements.push(scan.taken(|scan| scan.value(MAX_DEPTH))?);
        Some(())
    })?;
    scan.ends().then_some(elements)
}

/// `text` without surrounding white space, if it is one JSON value.
pub(crate) fn value(text: &str) -> Option<&str> {
    let text = trim(text);
    let mut scan = Scan { text, at: 0 };
    scan.value(MAX_DEPTH)?;
    (scan.at == text.len()).then_some(text)
}

/// The same, or the position of the first byte that is not valid.
#[cfg(any(
    all(test, not(target_arch = "wasm32")),
    all(target_arch = "wasm32", feature = "deploy")
))]
pub(crate) fn parse(text: &str) -> Result<&str, usize> {
    let mut scan = Scan { text, at: 0 };
    scan.space();
    let from = scan.at;
    let found = scan.value(MAX_DEPTH).and_then(|()| text.get(from..scan.at));
    match found {
        Some(value) if scan.ends() => Ok(value),
        _ => Err(scan.at),
    }
}

/// True if two JSON texts are equal, ignoring white space, the order of members, and the spelling
/// of numbers with a fraction or an exponent. Strings that are spelled differently count as
/// different, and so do `1` and `1.0`, because a reader of integers distinguishes them.
pub(crate) fn equal(one: &str, other: &str) -> bool {
    let (one, other) = (trim(one), trim(other));
    if one == other {
        return true;
    }
    if let (Some(one), Some(other)) = (elements(one), elements(other)) {
        return one.len() == other.len() && one.iter().zip(other).all(|(a, b)| equal(a, b));
    }
    let (Some(one), Some(other)) = (members(one), members(other)) else {
        return decimal(one).is_some_and(|one| decimal(other) == Some(one));
    };
    one.len() == other.len()
        && one.iter().zip(&other).all(|((name, value), same_place)| {
            let there = if same_place.0 == *name {
                Some(same_place)
            } else if other.len() <= UNORDERED {
                // A name that may occur twice, also in another spelling, has no counterpart.
                let is_unique = |all: &[(&str, &str)]| {
                    !all.iter().any(|it| it.0.contains('\\'))
                        && all.iter().filter(|it| it.0 == *name).count() == 1
                };
                let are_unique = is_unique(&one) && is_unique(&other);
                other
                    .iter()
                    .find(|(theirs, _)| are_unique && theirs == name)
            } else {
                None
            };
            there.is_some_and(|(_, theirs)| equal(value, theirs))
        })
}

/// The sign, the digits without leading and trailing zeros, and the power of ten of the last digit.
/// `None` for anything but a number with a fraction or an exponent.
fn decimal(text: &str) -> Option<(bool, String, i64)> {
    let magnitude = text.trim_start_matches('-');
    if !magnitude.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let mark = magnitude.find(['.', 'e', 'E'])?;
    let (mantissa, exponent) = match magnitude.find(['e', 'E']) {
        Some(at) => (&magnitude[..at], magnitude[at + 1..].parse().ok()?),
        None => (magnitude, 0_i64),
    };
    let (whole, fraction) = (
        &magnitude[..mark],
        mantissa.get(mark + 1..).unwrap_or_default(),
    );
    let digits = [whole, fraction].concat();
    let shown = digits.trim_end_matches('0');
    let dropped = i64::try_from(digits.len() - shown.len()).ok()?;
    let power = exponent
        .checked_sub(i64::try_from(fraction.len()).ok()?)?
        .checked_add(dropped)?;
    let shown = shown.trim_start_matches('0');
    let power = if shown.is_empty() { 0 } else { power };
    Some((magnitude.len() < text.len(), shown.to_owned(), power))
}

/// Appends `text` as a JSON string.
pub(crate) fn quote(out: &mut String, text: &str) {
    out.push('"');
    let mut rest = text;
    loop {
        // Most texts are long runs without an escape: they are copied as a whole.
        let (run, from) = rest.split_at(plain(rest.as_bytes()));
        out.push_str(run);
        // All bytes that are escaped are ASCII.
        let Some((escaped, after)) = from.split_at_checked(1) else {
            break;
        };
        match escaped {
            "\n" => out.push_str("\\n"),
            "\r" => out.push_str("\\r"),
            "\t" => out.push_str("\\t"),
            "\"" | "\\" => out.extend(["\\", escaped]),
            control => {
                out.push_str("\\u00");
                for byte in control.bytes() {
                    out.extend(
                        [byte >> 4, byte & 15]
                            .map(|it| char::from(b"0123456789abcdef"[usize::from(it)])),
                    );
                }
            }
        }
        rest = after;
    }
    out.push('"');
}

/// The number of bytes up to the first that must be escaped in a JSON string.
fn plain(bytes: &[u8]) -> usize {
    // Checks every byte of a block, because that compiles to one vector; stopping early would not.
    let is_plain_block =
        |block: &[u8; 16]| block.iter().fold(true, |all, byte| all & is_plain(*byte));
    let (blocks, _) = bytes.as_chunks();
    let at = 16
        * blocks
            .iter()
            .take_while(|block| is_plain_block(block))
            .count();
    let rest = bytes[at..].iter().take_while(|byte| is_plain(**byte));
    at + rest.count()
}

/// True for a byte that need not be escaped in a JSON string.
fn is_plain(byte: u8) -> bool {
    byte >= b' ' && byte != b'"' && byte != b'\\'
}

/// The content of the JSON string `text`.
pub(crate) fn unquote(text: &str) -> Option<String> {
    let mut scan = Scan { text, at: 0 };
    scan.string()?;
    let inner = text.get(1..scan.at.checked_sub(1)?)?;
    if scan.at != text.len() {
        return None;
    }
    if !inner.contains('\\') {
        return Some(inner.to_owned());
    }
    let mut out = String::with_capacity(inner.len());
    let mut rest = inner.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            out.push(c);
            continue;
        }
        out.push(match rest.next()? {
            'n' => '\n',
            'r' => '\r',
            't' => '\t',
            'b' => '\u{8}',
            'f' => '\u{c}',
            'u' => {
                let mut unit = || {
                    let digits = rest.as_str().get(..4)?;
                    rest = rest.as_str()[4..].chars();
                    u32::from_str_radix(digits, 16).ok()
                };
                let mut code = unit()?;
                if (0xd800..0xdc00).contains(&code) {
                    // A pair of surrogates. A single one is invalid.
                    let mark = [rest.next()?, rest.next()?];
                    let unit = || u32::from_str_radix(rest.as_str().get(..4)?, 16).ok();
                    let low = unit()
                        .filter(|low| mark == ['\\', 'u'] && (0xdc00..0xe000).contains(low))?;
                    rest = rest.as_str()[4..].chars();
                    code = 0x1_0000 + ((code - 0xd800) << 10) + (low - 0xdc00);
                }
                char::from_u32(code)?
            }
            c => c,
        });
    }
    Some(out)
}

fn trim(text: &str) -> &str {
    // Texts of our own have no white space around them.
    match text.as_bytes() {
        [first, .., last] if *first > b' ' && *last > b' ' => text,
        _ => text.trim_matches([' ', '\t', '\n', '\r']),
    }
}

struct Scan<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scan<'a> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip(&mut self, wanted: impl Fn(u8) -> bool) -> bool {
        let before = self.at;
        while self.peek().is_some_and(&wanted) {
            self.at += 1;
        }
        self.at > before
    }

    fn space(&mut self) {
        self.skip(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r'));
    }

    /// `byte`, with optional white space around it.
    fn expect(&mut self, byte: u8) -> Option<()> {
        self.space();
        if self.peek()? != byte {
            return None;
        }
        self.at += 1;
        self.space();
        Some(())
    }

    fn ends(&mut self) -> bool {
        self.space();
        self.at == self.text.len()
    }

    /// The text that `take` has consumed.
    fn taken(&mut self, take: impl FnOnce(&mut Self) -> Option<()>) -> Option<&'a str> {
        let from = self.at;
        take(self)?;
        self.text.get(from..self.at)
    }

    /// Any number of `item`s between brackets.
    fn list(
        &mut self,
        open: u8,
        close: u8,
        item: &mut dyn FnMut(&mut Self) -> Option<()>,
    ) -> Option<()> {
        self.expect(open)?;
        if self.peek()? == close {
            self.at += 1;
            return Some(());
        }
        loop {
            item(self)?;
            self.space();
            let next = self.peek()?;
            if next != close && next != b',' {
                return None;
            }
            self.at += 1;
            if next == close {
                return Some(());
            }
            self.space();
        }
    }

    fn value(&mut self, depth: u32) -> Option<()> {
        let deeper = depth.checked_sub(1);
        match self.peek()? {
            b'"' => self.string(),
            b'[' => self.list(b'[', b']', &mut |scan| scan.value(deeper?)),
            b'{' => self.list(b'{', b'}', &mut |scan| {
                scan.string()?;
                scan.expect(b':')?;
                scan.value(deeper?)
            }),
            b'-' | b'0'..=b'9' => self.number(),
            _ => {
                let rest = &self.text.as_bytes()[self.at..];
                let word = ["true", "false", "null"]
                    .into_iter()
                    .find(|word| rest.starts_with(word.as_bytes()))?;
                self.at += word.len();
                Some(())
            }
        }
    }

    fn string(&mut self) -> Option<()> {
        if self.peek()? != b'"' {
            return None;
        }
        self.at += 1;
        loop {
            self.at += plain(&self.text.as_bytes()[self.at..]);
            match self.peek()? {
                b'"' => break,
                b'\\' => {
                    self.at += 1;
                    let hex = match self.peek()? {
                        b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => 0,
                        b'u' => 4,
                        _ => return None,
                    };
                    self.at += 1;
                    let digits = self.text.as_bytes().get(self.at..self.at + hex)?;
                    if !digits.iter().all(u8::is_ascii_hexdigit) {
                        return None;
                    }
                    self.at += hex;
                }
                _ => return None,
            }
        }
        self.at += 1;
        Some(())
    }

    fn number(&mut self) -> Option<()> {
        let digits = |scan: &mut Self| scan.skip(|byte| byte.is_ascii_digit()).then_some(());
        if self.peek()? == b'-' {
            self.at += 1;
        }
        if self.peek()? == b'0' {
            self.at += 1;
        } else {
            digits(self)?;
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            digits(self)?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            digits(self)?;
        }
        Some(())
    }
}

#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn is_value(text: &str) -> bool {
        assert_eq!(parse(text).ok(), value(text), "{text}");
        value(text).is_some()
    }

    #[test]
    fn what_is_no_json_says_where() {
        for (text, at) in [
            ("", 0),
            ("  ", 2),
            ("{", 1),
            ("nul", 0),
            ("[1 2]", 3),
            ("[1,]", 3),
            ("\"open", 5),
            ("{\"a\" 1}", 5),
            ("1 2", 2),
        ] {
            assert_eq!(parse(text), Err(at), "{text}");
        }
        assert_eq!(parse(" [1, 2]\n"), Ok("[1, 2]"));
    }

    #[test]
    fn what_is_json_is_what_a_parser_of_json_takes() {
        for text in [
            "1",
            "-0",
            "-0.5e+10",
            "1E9",
            "01",
            "1.",
            ".5",
            "-",
            "1e",
            "+1",
            "NaN",
            "tru",
            "true",
            "nullx",
            "\"\"",
            "\"a\\u00e9\\\"\"",
            "\"\\u00g0\"",
            "\"\\x\"",
            "\"a\nb\"",
            "\"",
            "\"\\",
            "[]",
            "[1,]",
            "[,1]",
            "[1 2]",
            "[ 1 , [ ] ]",
            "{}",
            "{\"a\":1}",
            "{ \"a\" : [ { } ] }",
            "{a:1}",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":1,}",
            "[}",
            "",
            " ",
            "1 ",
            "\u{a0}1",
        ] {
            let known = serde_json::from_str::<Value>(text).is_ok();
            assert_eq!(is_value(text), known, "{text:?}");
        }
    }

    #[test]
    fn a_number_may_be_spelled_in_several_ways() {
        for (one, other) in [
            ("1.50", "1.5"),
            ("1e2", "100.0"),
            ("0.00120", "12E-4"),
            ("0.0", "0e9"),
            ("[1.0]", "[10e-1]"),
        ] {
            assert!(equal(one, other), "{one} {other}");
        }
        for (one, other) in [
            ("1", "1.0"),
            ("0.0", "-0.0"),
            ("1.5", "-1.5"),
            ("1e2", "1e3"),
            ("1e9999999999999999999", "1e99999999999999999999"),
            ("\"1.0\"", "\"1.00\""),
            ("10.0", "1.0"),
            ("0.1", "0.10000000000000002"),
            // A name that occurs twice.
            (r#"{"a":1,"a":1}"#, r#"{"a":1,"b":2}"#),
            (r#"{"b":2,"a":1}"#, r#"{"a":1,"a":1}"#),
            (r#"{"a":1,"\u0061":2}"#, r#"{"\u0061":2,"a":1}"#),
        ] {
            assert!(!equal(one, other), "{one} {other}");
        }
    }

    #[test]
    fn every_control_character_is_quoted_and_half_a_pair_is_no_text() {
        for c in '\0'..='\u{a0}' {
            let mut quoted = String::new();
            quote(&mut quoted, c.encode_utf8(&mut [0; 4]));
            let known: String = serde_json::from_str(&quoted).unwrap();
            assert_eq!(known, c.to_string(), "{quoted}");
            assert_eq!(unquote(&quoted), Some(known));
        }
        assert_eq!(unquote(r#""\ud83d\ude00""#).as_deref(), Some("\u{1f600}"));
        for half in [
            r#""\ud83d""#,
            r#""\ude00""#,
            r#""\ud83d\u0041""#,
            r#""\ud83dxxde00""#,
            r#""\ud83d\nde00""#,
            r#""\ud83d\ud83d""#,
        ] {
            assert_eq!(unquote(half), None, "{half}");
        }
    }

    #[test]
    fn nesting_has_an_end() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(elements(&nested(100)).is_some());
        assert!(elements(&nested(1_000)).is_none());
        assert!(!equal(&nested(100), &nested(99)));
        assert!(elements(&"[".repeat(1_000_000)).is_none());
    }

    #[test]
    fn members_and_elements_are_told_as_they_are_written() {
        let text = " { \"a\" : [1, 2] ,\n\"b\\u0041\":{\"x\":\"}\"}} ";
        assert_eq!(
            members(text),
            Some(vec![("\"a\"", "[1, 2]"), ("\"b\\u0041\"", "{\"x\":\"}\"}")])
        );
        assert_eq!(elements("[ 1 , \"]\" ]"), Some(vec!["1", "\"]\""]));
        assert_eq!(elements("{}"), None);
        assert_eq!(members("{} x"), None);
    }

    #[test]
    fn many_members_in_another_order_are_not_looked_for() {
        let object = |names: &mut dyn Iterator<Item = usize>| {
            let members: Vec<String> = names.map(|n| format!("\"{n}\":{n}")).collect();
            format!("{{{}}}", members.join(","))
        };
        for (most, found) in [(UNORDERED, true), (UNORDERED + 1, false)] {
            assert_eq!(
                equal(&object(&mut (0..most)), &object(&mut (0..most).rev())),
                found
            );
            assert!(equal(
                &object(&mut (0..most)),
                &format!(" {} ", object(&mut (0..most)))
            ));
        }
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 5, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map(any::<String>(), inner, 0..5)
                    .prop_map(Value::from_iter),
            ]
        })
    }

    proptest! {
        #[test]
        fn every_value_is_scanned_and_equal_to_itself(value in json(), other in json()) {
            let (text, pretty) = (value.to_string(), serde_json::to_string_pretty(&value).unwrap());
            prop_assert!(is_value(&text) && is_value(&pretty));
            prop_assert!(equal(&text, &pretty));
            prop_assert_eq!(equal(&text, &other.to_string()), value == other);
        }

        #[test]
        fn a_text_is_quoted_as_serde_json_does_it_and_read_back(text in any::<String>()) {
            let mut quoted = String::new();
            quote(&mut quoted, &text);
            prop_assert_eq!(serde_json::from_str::<String>(&quoted).unwrap(), text.clone());
            prop_assert_eq!(unquote(&quoted), Some(text.clone()));
            let escaped: String = text.encode_utf16().map(|unit| format!("\\u{unit:04X}")).collect();
            prop_assert_eq!(unquote(&format!("\"{escaped}\"")), Some(text));
        }

        #[test]
        fn garbage_is_refused_as_by_a_parser(text in "[\\[\\]{}:,\"\\\\a1eE.+\\- tu]{0,12}") {
            prop_assert_eq!(is_value(&text), serde_json::from_str::<Value>(&text).is_ok(), "{}", text);
            if let Some(said) = unquote(&text) {
                prop_assert_eq!(serde_json::from_str::<String>(&text).unwrap(), said);
            }
        }
    }
}
