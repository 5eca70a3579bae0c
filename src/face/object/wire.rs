//! Requests and answers of the object, as JSON.

use std::fmt;

use serde::Serialize;
use serde_json::{Map, Value};

/// The most bytes of a request.
pub(crate) const REQUEST_BYTES: usize = 1 << 20;
const KEY_BYTES: usize = 512;
/// The most keys of a read, checks of a transaction, and writes of a transaction.
const ITEMS: usize = 200;
/// The most exceptions: a statement accepts 100 parameters, and each exception needs two.
const EXCEPTIONS: usize = 40;
/// In the year 2255: the runtime counts nanoseconds in 64 bits.
const LATEST: f64 = 9_000_000_000_000.0;

/// A refused request. Nothing was written.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct Refusal {
    pub error: &'static str,
    pub message: String,
}

impl Refusal {
    pub(crate) fn bad(message: impl Into<String>) -> Self {
        Self {
            error: "bad_request",
            message: message.into(),
        }
    }

    pub(crate) fn too_large(message: impl Into<String>) -> Self {
        Self {
            error: "too_large",
            message: message.into(),
        }
    }

    pub(crate) fn status(&self) -> u16 {
        if self.error == "too_large" { 413 } else { 400 }
    }
}

/// A request.
#[derive(Debug)]
pub(crate) enum Ask {
    Read { keys: Vec<String> },
    Transact(Transact),
    List(List),
}

#[derive(Debug)]
pub(crate) struct Transact {
    pub checks: Vec<Check>,
    pub writes: Vec<Write>,
}

#[derive(Debug)]
pub(crate) struct List {
    pub prefix: String,
    pub cursor: Option<String>,
}

#[derive(Debug)]
pub(crate) struct Check {
    pub key: String,
    /// The revision that the row must have; `None` if the row must not exist.
    pub revision: Option<String>,
}

#[derive(Debug)]
pub(crate) enum Write {
    Put(Put),
    Replace(Replace),
}

#[derive(Debug)]
pub(crate) struct Put {
    pub key: String,
    pub value: String,
    pub metadata: Option<String>,
    pub revision: String,
    pub expires_at: f64,
    pub dead: bool,
}

#[derive(Debug)]
pub(crate) struct Replace {
    pub prefix: String,
    pub except: Vec<String>,
    pub value: String,
    pub revision: String,
    pub dead: bool,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Row {
    pub value: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<String>,
    pub revision: String,
    pub expires_at: i64,
}

#[derive(Debug, Serialize)]
pub(crate) struct Name {
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<String>,
}

/// An answer.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Answer {
    Rows {
        rows: Vec<Option<Row>>,
    },
    Done {
        done: bool,
    },
    Conflict {
        conflict: Vec<Option<Row>>,
    },
    Page {
        keys: Vec<Name>,
        #[serde(skip_serializing_if = "Option::is_none")]
        cursor: Option<String>,
    },
}

impl Ask {
    /// Parses a request of at most [`REQUEST_BYTES`].
    pub(crate) fn parse(method: &str, path: &str, body: &[u8]) -> Result<Self, Refusal> {
        let read = match (method, path) {
            ("POST", "/v1/read") => Self::read,
            ("POST", "/v1/transact") => Self::transact,
            ("POST", "/v1/list") => Self::list,
            _ => {
                return Err(Refusal::bad(format!(
                    "unknown request {method} {path}: this object supports POST /v1/read, /v1/transact and /v1/list"
                )));
            }
        };
        match serde_json::from_slice(body) {
            Ok(body) => read(body, &Place::Body),
            Err(error) => Err(Refusal::bad(format!(
                "the body is not JSON in UTF-8: {error}"
            ))),
        }
    }

    fn read(body: Value, place: &Place) -> Result<Self, Refusal> {
        let mut body = Members::of(body, place, &["keys"])?;
        let keys = body.list("keys", ITEMS, key)?;
        Ok(Self::Read { keys })
    }

    fn transact(body: Value, place: &Place) -> Result<Self, Refusal> {
        let mut body = Members::of(body, place, &["checks", "writes"])?;
        let checks = body.list("checks", ITEMS, check)?;
        let writes = body.list("writes", ITEMS, write)?;
        Ok(Self::Transact(Transact { checks, writes }))
    }

    fn list(body: Value, place: &Place) -> Result<Self, Refusal> {
        let mut body = Members::of(body, place, &["prefix", "cursor"])?;
        let prefix = body.get("prefix", prefix)?;
        let cursor = body.get("cursor", optional(key))?;
        Ok(Self::List(List { prefix, cursor }))
    }
}

// Written by hand, because code derived by serde also accepts an array for an object, and its errors
// do not say which member or item is wrong.

/// A place in a request body, for error messages.
enum Place<'a> {
    Body,
    Member(&'a Place<'a>, &'static str),
    Item(&'a Place<'a>, usize),
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Body => f.write_str("the body"),
            Self::Member(of, name) => write!(f, "{of}.{name}"),
            Self::Item(of, index) => write!(f, "{of}[{index}]"),
        }
    }
}

impl Place<'_> {
    fn must<T>(&self, be: &str) -> Result<T, Refusal> {
        Err(Refusal::bad(format!("{self} must {be}")))
    }
}

/// The members of an object. Each is taken once.
struct Members<'a> {
    place: &'a Place<'a>,
    members: Map<String, Value>,
}

impl<'a> Members<'a> {
    /// Refuses unknown members, because the sender relies on their meaning.
    fn of(value: Value, place: &'a Place<'a>, known: &[&str]) -> Result<Self, Refusal> {
        let Value::Object(members) = value else {
            return place.must("be an object");
        };
        match members.keys().find(|name| !known.contains(&name.as_str())) {
            Some(name) => Err(Refusal::bad(format!(
                "{place} has an unknown member {name:?}"
            ))),
            None => Ok(Self { place, members }),
        }
    }

    /// An object with exactly one of two members. Returns its name and its value.
    fn either(
        value: Value,
        place: &'a Place<'a>,
        known: [&'static str; 2],
    ) -> Result<(&'static str, Value), Refusal> {
        let mut object = Self::of(value, place, &known)?;
        let found = known
            .into_iter()
            .find_map(|name| Some((name, object.members.remove(name)?)));
        match found {
            Some(found) if object.members.is_empty() => Ok(found),
            _ => place.must(&format!("have one member, {}", known.join(" or "))),
        }
    }

    fn get<T>(
        &mut self,
        name: &'static str,
        kind: impl Fn(Option<Value>, &Place) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        kind(self.members.remove(name), &Place::Member(self.place, name))
    }

    fn list<T>(
        &mut self,
        name: &'static str,
        most: usize,
        kind: impl Fn(Option<Value>, &Place) -> Result<T, Refusal>,
    ) -> Result<Vec<T>, Refusal> {
        let place = Place::Member(self.place, name);
        match self.members.remove(name) {
            Some(Value::Array(items)) if items.len() <= most => items
                .into_iter()
                .enumerate()
                .map(|(index, item)| kind(Some(item), &Place::Item(&place, index)))
                .collect(),
            _ => place.must(&format!("be an array of at most {most}")),
        }
    }
}

fn text(value: Option<Value>, place: &Place) -> Result<String, Refusal> {
    match value {
        Some(Value::String(text)) => Ok(text),
        _ => place.must("be a string"),
    }
}

fn prefix(value: Option<Value>, place: &Place) -> Result<String, Refusal> {
    let text = text(value, place)?;
    if text.len() <= KEY_BYTES && text.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
        return Ok(text);
    }
    place.must(&format!(
        "be at most {KEY_BYTES} printable ASCII characters"
    ))
}

fn key(value: Option<Value>, place: &Place) -> Result<String, Refusal> {
    let key = prefix(value, place)?;
    if key.is_empty() {
        return place.must("not be empty");
    }
    Ok(key)
}

/// Accepts every form of a JavaScript number: `1e12` is an instant too.
fn instant(value: Option<Value>, place: &Place) -> Result<f64, Refusal> {
    match value.as_ref().and_then(Value::as_f64) {
        Some(at) if at.fract() == 0.0 && (0.0..=LATEST).contains(&at) => Ok(at),
        _ => place.must("be a time in milliseconds"),
    }
}

fn flag(value: Option<Value>, place: &Place) -> Result<bool, Refusal> {
    match value {
        Some(Value::Bool(flag)) => Ok(flag),
        _ => place.must("be true or false"),
    }
}

/// `None` for a missing member.
fn optional<T>(
    kind: impl Fn(Option<Value>, &Place) -> Result<T, Refusal>,
) -> impl Fn(Option<Value>, &Place) -> Result<Option<T>, Refusal> {
    move |value, place| match value {
        Some(value) => kind(Some(value), place).map(Some),
        None => Ok(None),
    }
}

fn check(value: Option<Value>, place: &Place) -> Result<Check, Refusal> {
    let (name, value) = Members::either(value.unwrap_or_default(), place, ["absent", "revision"])?;
    let place = Place::Member(place, name);
    if name == "absent" {
        let key = key(Some(value), &place)?;
        return Ok(Check {
            key,
            revision: None,
        });
    }
    let pair = match value {
        Value::Array(pair) => <[Value; 2]>::try_from(pair).ok(),
        _ => None,
    };
    let Some([name, revision]) = pair else {
        return place.must("be a key and a revision");
    };
    Ok(Check {
        key: key(Some(name), &Place::Item(&place, 0))?,
        revision: Some(text(Some(revision), &Place::Item(&place, 1))?),
    })
}

fn write(value: Option<Value>, place: &Place) -> Result<Write, Refusal> {
    let (name, value) = Members::either(value.unwrap_or_default(), place, ["put", "replace"])?;
    let place = Place::Member(place, name);
    if name == "put" {
        let known = ["key", "value", "metadata", "revision", "expiresAt", "dead"];
        let mut put = Members::of(value, &place, &known)?;
        return Ok(Write::Put(Put {
            key: put.get("key", key)?,
            value: put.get("value", text)?,
            metadata: put.get("metadata", optional(text))?,
            revision: put.get("revision", text)?,
            expires_at: put.get("expiresAt", instant)?,
            dead: put.get("dead", optional(flag))?.unwrap_or_default(),
        }));
    }
    let known = ["prefix", "except", "value", "revision", "dead"];
    let mut replace = Members::of(value, &place, &known)?;
    Ok(Write::Replace(Replace {
        prefix: replace.get("prefix", prefix)?,
        except: replace.list("except", EXCEPTIONS, prefix)?,
        value: replace.get("value", text)?,
        revision: replace.get("revision", text)?,
        dead: replace.get("dead", optional(flag))?.unwrap_or_default(),
    }))
}
