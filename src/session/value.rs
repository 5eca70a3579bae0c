//! Converts values to and from JSON texts. Errors contain the path.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::port::error::{ErrorCode, SessionError};
use crate::protocol::json;
use crate::protocol::settings::Depth;

mod check;

/// The JSON text of `value`, the value of `key`.
///
/// `serde_json` alone would write `null` for NaN.
pub(crate) fn to_json<T: Serialize + ?Sized>(
    key: &str,
    value: &T,
    depth: Depth,
) -> Result<String, SessionError> {
    let text = check::to_json(value, depth).map_err(|flaw| {
        let (path, why) = (flaw.path_from(key), flaw.why);
        SessionError::invalid(format!("{path} cannot be stored: {why}"))
    })?;
    // Raw JSON is not parsed while it is written, so check its depth here.
    check_depth(key, &text, depth)?;
    Ok(text)
}

/// The top-level keys of `value`, which must be an object, with their JSON texts.
pub(crate) fn to_entries<T: Serialize + ?Sized>(
    value: &T,
    depth: Depth,
) -> Result<Vec<(String, String)>, SessionError> {
    // The data has one level more than its values.
    let whole = Depth {
        most: depth.most.saturating_add(1),
        ..depth
    };
    let text = check::to_json(value, whole).map_err(|flaw| {
        let (path, why) = (flaw.path_from(""), flaw.why);
        SessionError::invalid(format!("{path} cannot be stored: {why}"))
    })?;
    let members = || {
        let members = json::members(&text)?.into_iter();
        let owned = members.map(|(name, text)| Some((json::unquote(name)?, text.to_owned())));
        owned.collect::<Option<Vec<_>>>()
    };
    let Some(entries) = members() else {
        // Raw JSON may be deeper than what is split here.
        check_depth("data", &text, whole)?;
        return Err(SessionError::invalid(
            "session data must be an object: pass a struct or a map",
        ));
    };
    for (key, text) in &entries {
        check_depth(key, text, depth)?;
    }
    Ok(entries)
}

/// Parses the JSON `text` of `key`.
pub(crate) fn from_json<T: DeserializeOwned>(key: &str, text: &str) -> Result<T, SessionError> {
    serde_json::from_str(text).map_err(|error| wrong_type(&format!("{key:?}"), &error))
}

#[cold]
fn wrong_type(of: &str, error: &serde_json::Error) -> SessionError {
    let asked = asked_for(error);
    SessionError::new(
        ErrorCode::WrongType,
        format!("{of} does not have the requested type{asked}"),
    )
}

/// The expected type, from an error message that also contains the stored value.
fn asked_for(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let text = text
        .rsplit_once(" at line ")
        .map_or(&*text, |(text, _)| text);
    match text.rsplit_once(", expected ") {
        Some((_, expected)) => format!(": expected {expected}"),
        None if text.starts_with("missing field") => format!(": {text}"),
        None => String::new(),
    }
}

/// One value from all `entries` together.
pub(crate) fn from_entries<'a, T: DeserializeOwned>(
    entries: impl Iterator<Item = (&'a str, &'a str)>,
) -> Result<T, SessionError> {
    let mut text = String::from("{");
    let mut ends = Vec::new();
    for (key, value) in entries {
        if !ends.is_empty() {
            text.push(',');
        }
        text.push_str(&quoted(key));
        text.push(':');
        text.push_str(value);
        ends.push((text.len(), key));
    }
    text.push('}');
    serde_json::from_str(&text).map_err(|error| {
        let line = error.line().saturating_sub(1);
        let before: usize = text.split_inclusive('\n').take(line).map(str::len).sum();
        let place = before + error.column();
        let key = ends.iter().find(|(end, _)| place <= *end);
        let of = key.map_or_else(|| "the data".to_owned(), |(_, key)| format!("{key:?}"));
        wrong_type(&of, &error)
    })
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Refuses a JSON text that nests deeper than `allowed`, because otherwise a reader with its own
/// limit would fail later.
pub(crate) fn check_depth(key: &str, text: &str, allowed: Depth) -> Result<(), SessionError> {
    let (mut depth, mut quoted, mut escaped) = (0u32, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'[' | b'{' if !quoted => {
                depth += 1;
                if depth > allowed.most {
                    let Depth { most, name } = allowed;
                    return Err(SessionError::invalid(format!(
                        "{key:?} nests more than {most} levels deep ({name})"
                    )));
                }
            }
            b']' | b'}' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod tests {
    use std::collections::{BTreeMap, HashMap};

    use proptest::prelude::*;
    use serde::{Deserialize, Serializer};
    use serde_json::json;

    use super::*;

    fn at_most(most: u32) -> Depth {
        let name = "SESSION_MAX_DEPTH";
        Depth { most, name }
    }

    fn stored<T: Serialize>(value: T) -> String {
        to_json("k", &value, at_most(8)).expect("JSON can carry it")
    }

    fn refused<T: Serialize>(value: T) -> String {
        let error = to_json("cart", &value, at_most(8)).expect_err("JSON cannot carry it");
        assert_eq!(error.code(), ErrorCode::InvalidValue);
        error.message().to_owned()
    }

    #[derive(Serialize)]
    struct Item {
        price: f64,
    }

    #[derive(Serialize)]
    struct Cart {
        items: Vec<Item>,
        total: Option<f32>,
    }

    #[derive(Serialize)]
    enum Shape {
        Unit,
        New(f64),
        Tuple(f64, f64),
        Struct { x: f64 },
    }

    #[derive(Serialize)]
    struct Pair(i32, f64);

    #[test]
    fn what_is_no_number_is_refused_with_the_way_to_it() {
        let item = |price| Item { price };
        let cart = Cart {
            items: vec![item(1.0), item(2.0), item(f64::NAN)],
            total: None,
        };
        assert_eq!(
            refused(&cart),
            "cart.items[2].price cannot be stored: JSON has no NaN"
        );
        let total = Some(f32::NEG_INFINITY);
        assert_eq!(
            refused(Cart {
                items: vec![],
                total
            }),
            "cart.total cannot be stored: JSON has no -inf"
        );
        let at = |message: String| message.split(" cannot").next().unwrap().to_owned();
        assert_eq!(at(refused(f64::INFINITY)), "cart");
        assert_eq!(at(refused((1, 2.0, f64::NAN))), "cart[2]");
        assert_eq!(at(refused(Pair(1, f64::NAN))), "cart[1]");
        assert_eq!(at(refused(Shape::New(f64::NAN))), "cart.New");
        assert_eq!(at(refused(Shape::Tuple(1.0, f64::NAN))), "cart[1]");
        assert_eq!(at(refused(Shape::Struct { x: f64::NAN })), "cart.x");
        assert_eq!(at(refused(Some(Some(f64::NAN)))), "cart");
        let map = |key: &str| BTreeMap::from([(key.to_owned(), [f64::NAN])]);
        assert_eq!(at(refused(map("a"))), "cart.a[0]");
        assert_eq!(at(refused(map("a b"))), "cart[\"a b\"][0]");
        assert_eq!(at(refused(map(""))), "cart[\"\"][0]");
        assert_eq!(
            at(refused(HashMap::from([(7, vec![f32::NAN])]))),
            "cart.7[0]"
        );
        let error = to_json("a.b", &f64::NAN, at_most(8)).unwrap_err();
        assert!(error.message().starts_with("[\"a.b\"]"), "{error}");
    }

    #[test]
    fn wide_integers_are_refused_where_readers_would_round_them() {
        assert_eq!(stored(i128::from(i64::MIN)), "-9223372036854775808");
        assert_eq!(stored(i128::from(u64::MAX)), "18446744073709551615");
        assert_eq!(stored(u128::from(u64::MAX)), "18446744073709551615");
        for message in [
            refused([u128::from(u64::MAX) + 1]),
            refused([i128::from(i64::MIN) - 1]),
            refused([i128::from(u64::MAX) + 1]),
        ] {
            assert!(
                message.starts_with("cart[0] cannot be stored: an integer"),
                "{message}"
            );
        }
    }

    #[test]
    fn keys_of_maps_are_text() {
        assert_eq!(stored(BTreeMap::from([(-1, 2)])), r#"{"-1":2}"#);
        assert_eq!(stored(BTreeMap::from([(true, 2)])), r#"{"true":2}"#);
        assert_eq!(stored(BTreeMap::from([('c', 2)])), r#"{"c":2}"#);
        let error = refused(vec![BTreeMap::from([((1, 2), 3)])]);
        assert_eq!(error, "cart[0] cannot be stored: a map key is not a string");
        refused(BTreeMap::from([(Some(1).filter(|_| false), 3)]));
        refused(BTreeMap::from([(vec![1], 3)]));
        refused(BTreeMap::from([((), 3)]));
    }

    #[test]
    fn what_fails_by_itself_is_told_with_its_place() {
        struct Broken;
        impl Serialize for Broken {
            fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
                Err(serde::ser::Error::custom("it is broken"))
            }
        }
        let message = refused(BTreeMap::from([("a", vec![Broken])]));
        assert_eq!(message, "cart.a[0] cannot be stored: it is broken");
    }

    #[test]
    fn everything_else_is_written_as_serde_json_writes_it() {
        fn same<T: Serialize>(value: T) {
            assert_eq!(stored(&value), serde_json::to_string(&value).unwrap());
        }
        same(json!({"a": [1, -1, 1.5, 1e300, "\u{0}\"\\é😀", null, true], "": {}}));
        same((1_u8, 2_i16, 3_u64, 4.5_f32, 'x', "y", ()));
        same([Shape::Unit, Shape::New(1.0), Shape::Tuple(1.0, 2.0)]);
        same(Shape::Struct { x: -0.0 });
        same(Some(Pair(1, 2.0)));
        same(None::<i32>);
        same(serde_json::value::RawValue::from_string("[ 1,2 ]".into()).unwrap());
        same(std::net::Ipv4Addr::LOCALHOST);
        same(std::time::Duration::from_millis(1_500));
    }

    #[derive(Serialize)]
    struct Nest(Option<Box<Nest>>, [i32; 0]);

    #[test]
    fn depth_is_counted_on_the_way_before_the_stack_ends() {
        let mut nest = Nest(None, []);
        for _ in 0..5_000 {
            nest = Nest(Some(Box::new(nest)), []);
        }
        let message = refused(&nest);
        assert!(
            message
                .starts_with("cart[0][0][0][0][0][0][0][0] cannot be stored: it nests more than"),
            "{message}"
        );
        // Dropping it recursively is its owner's affair.
        while let Nest(Some(inner), _) = nest {
            nest = *inner;
        }
        assert!(to_json("k", &json!([[[1], [1]], [[1]]]), at_most(3)).is_ok());
        assert!(to_json("k", &json!([[[[]]]]), at_most(3)).is_err());
        assert!(to_json("k", &Shape::Tuple(1.0, 1.0), at_most(2)).is_ok());
        assert!(to_json("k", &Shape::Tuple(1.0, 1.0), at_most(1)).is_err());
        let raw = serde_json::value::RawValue::from_string("[[[[]]]]".into()).unwrap();
        assert!(to_json("k", &raw, at_most(3)).is_err());
        assert!(to_json("k", &raw, at_most(4)).is_ok());
        let raw = serde_json::value::RawValue::from_string("1".into()).unwrap();
        assert!(to_json("k", &[[[raw]]], at_most(3)).is_ok());
    }

    #[test]
    fn depth_is_counted_outside_strings() {
        assert!(check_depth("k", r#"["[[[[\"[[[", {"a":[]}]"#, at_most(3)).is_ok());
        let error = check_depth("k", "[[[[]]]]", at_most(3)).unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidValue);
        assert!(check_depth("k", "[[],[],[],[]]", at_most(2)).is_ok());
    }

    #[test]
    fn an_error_tells_what_was_asked_for_and_not_what_is_there() {
        for stored in ["secret", "a, expected secret at line 1", " at line secret"] {
            let text = serde_json::to_string(stored).unwrap();
            let error = from_json::<u8>("k", &text).unwrap_err();
            assert_eq!(
                error.message(),
                "\"k\" does not have the requested type: expected u8"
            );
            assert!(
                !from_json::<std::net::IpAddr>("k", &text)
                    .unwrap_err()
                    .message()
                    .contains("secret")
            );
        }
    }

    #[test]
    fn all_data_is_read_as_one_value_and_an_error_names_the_key() {
        #[derive(Debug, Deserialize, PartialEq)]
        struct My {
            views: u32,
            name: Option<String>,
        }
        let read = |entries: &[(&'static str, &'static str)]| {
            from_entries::<My>(entries.iter().copied()).map_err(|error| error.message().to_owned())
        };
        let my = My {
            views: 3,
            name: Some("x".into()),
        };
        assert_eq!(read(&[("views", "3"), ("name", "\"x\"")]), Ok(my));
        assert_eq!(
            read(&[("more", "[1,\n\n2]"), ("views", "\"3\"")]).unwrap_err(),
            "\"views\" does not have the requested type: expected u32"
        );
        assert_eq!(
            read(&[("name", "\"x\"")]).unwrap_err(),
            "the data does not have the requested type: missing field `views`"
        );
        assert!(
            read(&[("views", "-1"), ("name", "null")])
                .unwrap_err()
                .starts_with("\"views\"")
        );
        assert_eq!(
            from_entries::<BTreeMap<String, i32>>([("a\"b", "1")].into_iter()).unwrap(),
            BTreeMap::from([("a\"b".to_owned(), 1)])
        );
    }

    proptest! {
        #[test]
        fn a_number_is_read_as_it_was_stored(bits in any::<u64>(), integer in any::<i64>()) {
            let number = f64::from_bits(bits);
            if number.is_finite() {
                let back: f64 = from_json("k", &stored(number)).unwrap();
                prop_assert_eq!(back.to_bits(), number.to_bits());
            }
            prop_assert_eq!(from_json::<i64>("k", &stored(integer)).unwrap(), integer);
            prop_assert_eq!(from_json::<u64>("k", &stored(bits)).unwrap(), bits);
        }

        #[test]
        fn a_text_is_read_as_it_was_stored(text in any::<String>()) {
            prop_assert_eq!(from_json::<String>("k", &stored(&text)).unwrap(), text);
        }
    }
}
