//! Requests to a Durable Object and its answers. `docs/wire-format.md` describes them.

use crate::port::connector::{ConnectorErrorKind, ListedKey, Page};
use crate::port::strong::{Check, Row, Transacted, Write};
use crate::protocol::json;
use crate::protocol::json_object::Object;

/// The body of `POST /v1/read`.
pub(crate) fn read<'a>(keys: impl Iterator<Item = &'a str>) -> String {
    let mut out = Object::new();
    out.texts("keys", keys);
    out.end()
}

/// The body of `POST /v1/list`.
pub(crate) fn list(prefix: &str, cursor: Option<&str>) -> String {
    let mut out = Object::new();
    out.text("prefix", prefix);
    out.optional_text("cursor", cursor);
    out.end()
}

/// The body of `POST /v1/transact`.
pub(crate) fn transact(checks: &[Check<'_>], writes: &[Write<'_>]) -> String {
    let mut out = Object::new();
    out.objects("checks", checks, |out, check| match check {
        Check::Absent(key) => out.text("absent", key),
        Check::Revision(key, revision) => out.texts("revision", [key, revision]),
    });
    out.objects("writes", writes, |out, write| match *write {
        Write::Put {
            key,
            value,
            metadata,
            revision,
            expires_at,
            dead,
        } => out.object("put", |out| {
            out.text("key", key);
            out.text("value", value);
            out.optional_text("metadata", metadata);
            out.text("revision", revision);
            out.number("expiresAt", expires_at);
            out.flag("dead", dead);
        }),
        Write::Replace {
            prefix,
            except,
            value,
            revision,
            dead,
        } => out.object("replace", |out| {
            out.text("prefix", prefix);
            out.texts("except", except);
            out.text("value", value);
            out.text("revision", revision);
            out.flag("dead", dead);
        }),
    });
    out.end()
}

/// A member of the object `text`.
fn member<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let members = json::members(text)?;
    let found = members
        .iter()
        .find(|(known, _)| known.trim_matches('"') == name);
    found.map(|(_, value)| *value)
}

fn text_of(text: &str, name: &str) -> Option<String> {
    json::unquote(member(text, name)?)
}

fn row(text: &str) -> Option<Row> {
    Some(Row {
        value: text_of(text, "value")?,
        metadata: text_of(text, "metadata"),
        revision: text_of(text, "revision")?,
        expires_at: member(text, "expiresAt")?.parse().ok()?,
    })
}

/// So many rows, or nulls; `None` if one of them is something else.
fn rows(text: &str, count: usize) -> Option<Vec<Option<Row>>> {
    let rows = json::elements(text)?;
    if rows.len() != count {
        return None;
    }
    rows.into_iter()
        .map(|text| match text {
            "null" => Some(None),
            text => row(text).map(Some),
        })
        .collect()
}

/// The answer to [`read`]; `None` if it is not one.
pub(crate) fn read_answer(answer: &str, keys: usize) -> Option<Vec<Option<Row>>> {
    rows(member(answer, "rows")?, keys)
}

/// The answer to [`transact`]; `None` if it is not one.
pub(crate) fn transact_answer(answer: &str, checks: usize) -> Option<Transacted> {
    if member(answer, "done") == Some("true") {
        return Some(Transacted::Done);
    }
    rows(member(answer, "conflict")?, checks).map(Transacted::Conflict)
}

/// The answer to [`list`]; `None` if it is not one.
pub(crate) fn list_answer(answer: &str) -> Option<Page> {
    let keys = json::elements(member(answer, "keys")?)?.into_iter();
    let keys = keys.map(|key| {
        Some(ListedKey {
            name: text_of(key, "name")?,
            metadata: text_of(key, "metadata"),
        })
    });
    Some(Page {
        keys: keys.collect::<Option<_>>()?,
        cursor: text_of(answer, "cursor"),
    })
}

/// The code and the message of a refusal; `None` if it is not one.
#[cfg(any(test, feature = "worker"))]
pub(crate) fn refusal(answer: &str) -> Option<(String, String)> {
    let message = text_of(answer, "message").unwrap_or_default();
    Some((text_of(answer, "error")?, message))
}

/// The kind of an error with this `code`. After any of a known kind nothing was written.
pub(crate) fn kind_of(code: &str) -> Option<ConnectorErrorKind> {
    match code {
        // A retry would make it worse.
        "overloaded" => Some(ConnectorErrorKind::RateLimited),
        "too_large" => Some(ConnectorErrorKind::TooLarge),
        // The object and the Worker are of different releases.
        "bad_request" => Some(ConnectorErrorKind::Unsupported),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_those_of_the_documentation() {
        assert_eq!(read(["a", "b\""].into_iter()), r#"{"keys":["a","b\""]}"#);
        assert_eq!(list("s.", None), r#"{"prefix":"s."}"#);
        assert_eq!(list("s.", Some("s.a")), r#"{"prefix":"s.","cursor":"s.a"}"#);
        let checks = [Check::Absent("e"), Check::Revision("s.a", "r1")];
        let writes = [
            Write::Put {
                key: "s.a",
                value: "{\"a\":1}",
                metadata: Some("m"),
                revision: "r2",
                expires_at: 1_800_000_000_000,
                dead: false,
            },
            Write::Put {
                key: "s.b",
                value: "2 x 5",
                metadata: None,
                revision: "r2",
                expires_at: 5,
                dead: true,
            },
            Write::Replace {
                prefix: "s.",
                except: &["s.a."],
                value: "2 x 5",
                revision: "r2",
                dead: true,
            },
        ];
        assert_eq!(
            transact(&checks, &writes),
            concat!(
                r#"{"checks":[{"absent":"e"},{"revision":["s.a","r1"]}],"writes":["#,
                r#"{"put":{"key":"s.a","value":"{\"a\":1}","metadata":"m","revision":"r2","expiresAt":1800000000000}},"#,
                r#"{"put":{"key":"s.b","value":"2 x 5","revision":"r2","expiresAt":5,"dead":true}},"#,
                r#"{"replace":{"prefix":"s.","except":["s.a."],"value":"2 x 5","revision":"r2","dead":true}}]}"#,
            )
        );
        assert_eq!(transact(&[], &[]), r#"{"checks":[],"writes":[]}"#);
    }

    #[test]
    fn answers_are_read_or_refused() {
        let row = Row {
            value: "v\"".to_owned(),
            metadata: None,
            revision: "r".to_owned(),
            expires_at: 5,
        };
        let text = r#"{"value":"v\"","revision":"r","expiresAt":5}"#;
        assert_eq!(
            read_answer(&format!(r#"{{"rows":[null,{text}]}}"#), 2),
            Some(vec![None, Some(row.clone())])
        );
        assert_eq!(
            transact_answer(&format!(r#"{{"conflict":[{text}]}}"#), 1),
            Some(Transacted::Conflict(vec![Some(row)]))
        );
        assert_eq!(
            transact_answer(r#"{"done":true}"#, 1),
            Some(Transacted::Done)
        );
        let page =
            list_answer(r#"{"keys":[{"name":"a","metadata":"m"},{"name":"b"}],"cursor":"b"}"#);
        let page = page.unwrap();
        assert_eq!((page.keys.len(), page.cursor.as_deref()), (2, Some("b")));
        assert_eq!(page.keys[0].metadata.as_deref(), Some("m"));
        assert_eq!(
            refusal(r#"{"error":"too_large","message":"full"}"#),
            Some(("too_large".to_owned(), "full".to_owned()))
        );
        for odd in [
            "",
            "null",
            "{}",
            "[]",
            r#"{"rows":{}}"#,
            r#"{"rows":[5]}"#,
            "hello",
        ] {
            assert_eq!(read_answer(odd, 1), None, "{odd}");
            assert_eq!(transact_answer(odd, 1), None, "{odd}");
            assert_eq!(list_answer(odd), None, "{odd}");
            assert_eq!(refusal(odd), None, "{odd}");
        }
        assert_eq!(read_answer(r#"{"rows":[]}"#, 1), None, "one is missing");
        assert_eq!(list_answer(r#"{"keys":[{}]}"#), None);
        for (code, kind) in [
            ("overloaded", Some(ConnectorErrorKind::RateLimited)),
            ("too_large", Some(ConnectorErrorKind::TooLarge)),
            ("bad_request", Some(ConnectorErrorKind::Unsupported)),
            ("", None),
        ] {
            assert_eq!(kind_of(code), kind, "{code}");
        }
    }
}
