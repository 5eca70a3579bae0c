//! Values in and out: JSON texts, with errors that say where.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeOwned, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::error::{ErrorCode, SessionError};

/// A JSON object whose order is kept.
pub(crate) struct Entries<T>(pub(crate) Vec<(String, T)>);

impl<T: Serialize> Serialize for Entries<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Entries<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for InOrder<T> {
            type Value = Entries<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries<T>, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(Entries(entries))
            }
        }

        deserializer.deserialize_map(InOrder(PhantomData))
    }
}

/// The JSON text of `value`, which is to stand under `key`.
pub(crate) fn to_json<T: Serialize + ?Sized>(
    key: &str,
    value: &T,
    max_depth: u32,
) -> Result<String, SessionError> {
    let text = serde_json::to_string(value)
        .map_err(|error| SessionError::invalid(format!("{key:?} cannot be stored: {error}")))?;
    check_depth(key, &text, max_depth)?;
    Ok(text)
}

/// The value that the JSON `text` under `key` says.
pub(crate) fn from_json<T: DeserializeOwned>(key: &str, text: &str) -> Result<T, SessionError> {
    serde_json::from_str(text).map_err(|error| {
        SessionError::new(
            ErrorCode::WrongType,
            format!("the value of {key:?} is of another type than was asked for: {error}"),
        )
    })
}

/// Refuses a JSON text whose arrays and objects nest more than `max_depth` deep: a reader with a
/// limit of its own must not be the first to notice.
pub(crate) fn check_depth(key: &str, text: &str, max_depth: u32) -> Result<(), SessionError> {
    let (mut depth, mut quoted, mut escaped) = (0u32, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'[' | b'{' if !quoted => {
                depth += 1;
                if depth > max_depth {
                    return Err(SessionError::invalid(format!(
                        "{key:?} nests deeper than the {max_depth} levels of SESSION_MAX_DEPTH"
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
mod tests {
    use super::*;

    #[test]
    fn depth_is_counted_outside_strings() {
        assert!(check_depth("k", r#"["[[[[\"[[[", {"a":[]}]"#, 3).is_ok());
        let error = check_depth("k", "[[[[]]]]", 3).unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidValue);
        assert!(check_depth("k", "[[],[],[],[]]", 2).is_ok());
    }
}
