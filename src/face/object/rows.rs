//! The operations on rows: `js/durable-object.js`, in Rust.

use std::cell::Cell;
use std::fmt;

use js_sys::{Date, Promise};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use worker::{Request, Response, State};

use super::storage::{Parameters, Storage};
use super::wire::{
    Answer, Ask, List, Name, Put, REQUEST_BYTES, Refusal, Replace, Row, Transact, Write,
};

const MINUTE: f64 = 60_000.0;
const HOUR: f64 = 60.0 * MINUTE;
const DAY: f64 = 24.0 * HOUR;
const ROWS: f64 = 10_000.0;
const PAGE: usize = 1000;
const EVICTED: u32 = 1000;

// Without a rowid, storing a row is one billed write; with a rowid, the index is a second one.
const TABLE: &str =
    "CREATE TABLE IF NOT EXISTS sessions (key TEXT PRIMARY KEY, value TEXT NOT NULL, metadata TEXT,
  revision TEXT NOT NULL, expires_at INTEGER NOT NULL, dead_since INTEGER) WITHOUT ROWID";
const PUT: &str = "INSERT OR REPLACE INTO sessions VALUES (?, ?, ?, ?, ?, ?)";
// A tombstone keeps its age, even after a second logout.
const REPLACE: &str = "UPDATE sessions SET value = ?, revision = ?, metadata = NULL,
  dead_since = iif(?, coalesce(dead_since, ?), NULL) WHERE key >= ? AND key < ? AND expires_at > ?";
const OUTSIDE: &str = " AND NOT (key >= ? AND key < ?)";
const READ: &str =
    "SELECT value, metadata, revision, expires_at FROM sessions WHERE key = ? AND expires_at > ?";
const LIST: &str =
    "SELECT key, metadata FROM sessions WHERE key >= ? AND key < ? AND expires_at > ?
  ORDER BY key LIMIT ?";
// If no tombstone is old enough, the oldest ones.
const EVICT: &str =
    "DELETE FROM sessions WHERE key IN (SELECT key FROM sessions WHERE dead_since < ?
  ORDER BY dead_since LIMIT ?)";
const COUNT: &str = "SELECT count(*) AS n FROM sessions";
const EARLIEST: &str = "SELECT min(expires_at) AS at FROM sessions WHERE expires_at > ?";
const DELETE_EXPIRED: &str = "DELETE FROM sessions WHERE expires_at <= ?";
const DELETE_OLD: &str = "DELETE FROM sessions WHERE expires_at <= ? OR dead_since < ?";

// Public only for the class that `session_object!` defines in another crate.
#[doc(hidden)]
pub struct SessionRows {
    storage: Storage,
    alarm: Cell<Alarm>,
}

/// Neither rows nor keys.
impl fmt::Debug for SessionRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionRows").finish_non_exhaustive()
    }
}

/// The time of the alarm.
#[derive(Clone, Copy, PartialEq)]
enum Alarm {
    NotKnown,
    None,
    At(f64),
}

/// Why an operation was rolled back.
enum Failure {
    Refused(Refusal),
    Thrown(JsValue),
}

impl From<JsValue> for Failure {
    fn from(thrown: JsValue) -> Self {
        Self::Thrown(thrown)
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl SessionRows {
    #[doc(hidden)]
    pub fn new(state: &State) -> Self {
        let storage = state.storage();
        let storage: &JsValue = storage.as_raw().as_ref();
        Self {
            storage: storage.clone().unchecked_into(),
            alarm: Cell::new(Alarm::NotKnown),
        }
    }

    #[doc(hidden)]
    pub async fn fetch(&self, mut request: Request) -> worker::Result<Response> {
        let method = request.method().to_string();
        let path = request.path();
        let body = request.bytes().await?;
        match self.answer(&method, &path, &body).await {
            Ok(answer) => Response::from_json(&answer),
            Err(Failure::Refused(refusal)) => {
                let status = refusal.status();
                Ok(Response::from_json(&refusal)?.with_status(status))
            }
            Err(Failure::Thrown(thrown)) => Err(thrown.into()),
        }
    }

    async fn answer(&self, method: &str, path: &str, body: &[u8]) -> Result<Answer, Failure> {
        if body.len() > REQUEST_BYTES {
            let message = format!(
                "the request has {} bytes, at most {REQUEST_BYTES} are allowed",
                body.len()
            );
            return Err(Refusal::too_large(message).into());
        }
        let ask = Ask::parse(method, path, body)?;
        if matches!(ask, Ask::Transact(_)) && self.alarm.get() == Alarm::NotKnown {
            let found = JsFuture::from(self.storage.get_alarm()?).await?.as_f64();
            if self.alarm.get() == Alarm::NotKnown {
                self.alarm.set(found.map_or(Alarm::None, Alarm::At));
            }
        }
        // One synchronous transaction: no other request runs in between, and a failure undoes all of
        // it. Without the transaction, writes before the failure would be kept.
        let now = Date::now();
        let done = self.storage.transaction(|| self.turn(ask, now));
        if !matches!(done, Ok(Ok(_))) {
            self.alarm.set(Alarm::NotKnown);
        }
        done?
    }

    #[doc(hidden)]
    pub async fn alarm(&self) -> worker::Result<Response> {
        self.clean_up().await?;
        Response::empty()
    }

    /// Deletes expired rows, and the whole database after the last row.
    async fn clean_up(&self) -> Result<(), JsValue> {
        self.alarm.set(Alarm::None);
        let now = Date::now();
        let next = self.storage.transaction(|| -> Result<_, JsValue> {
            let next = self.number(EARLIEST, Parameters::default().with(now), "at")?;
            if let Some(at) = next {
                self.storage
                    .query(DELETE_EXPIRED, Parameters::default().with(now))?;
                self.set_alarm(at.max(now + MINUTE))?;
            }
            Ok(next)
        })??;
        if next.is_none() {
            // Start both before awaiting: a row put while awaiting the first would be deleted by the
            // second.
            let both: [Promise; 2] = [self.storage.delete_alarm()?, self.storage.delete_all()?];
            for deleted in both {
                JsFuture::from(deleted).await?;
            }
        }
        Ok(())
    }

    fn turn(&self, ask: Ask, now: f64) -> Result<Answer, Failure> {
        match ask {
            Ask::Read { keys } => {
                let rows = keys.iter().map(|key| self.read(key, now));
                Ok(Answer::Rows {
                    rows: rows.collect::<Result<_, _>>()?,
                })
            }
            Ask::Transact(transact) => self.transact(transact, now),
            Ask::List(list) => Ok(self.list(list, now)?),
        }
    }

    fn transact(&self, transact: Transact, now: f64) -> Result<Answer, Failure> {
        let Transact { checks, writes } = transact;
        let rows = checks.iter().map(|check| self.read(&check.key, now));
        let rows: Vec<Option<Row>> = rows.collect::<Result<_, _>>()?;
        let holds = checks.iter().zip(&rows).all(|(check, row)| {
            check.revision.as_deref() == row.as_ref().map(|row| row.revision.as_str())
        });
        if !holds {
            return Ok(Answer::Conflict { conflict: rows });
        }

        let puts = writes.iter().filter_map(|write| match write {
            Write::Put(put) => Some(put),
            Write::Replace(_) => None,
        });
        let puts: Vec<&Put> = puts.collect();
        if !puts.is_empty() {
            self.storage.query(TABLE, Parameters::default())?;
        }
        for write in &writes {
            match write {
                Write::Put(put) => self.put(put, now)?,
                Write::Replace(replace) => self.replace(replace, now)?,
            }
        }
        let was_there = |key: &str| {
            checks
                .iter()
                .zip(&rows)
                .any(|(check, row)| check.key == key && row.is_some())
        };
        if puts.iter().any(|put| !was_there(&put.key)) {
            self.make_room(now, &writes)?;
        }
        if let Some(earliest) = puts.iter().map(|put| put.expires_at).reduce(f64::min) {
            self.wake_for(earliest, now)?;
        }
        Ok(Answer::Done { done: true })
    }

    fn read(&self, key: &str, now: f64) -> Result<Option<Row>, JsValue> {
        let found = self
            .storage
            .query(READ, Parameters::default().with(key).with(now))?;
        let Some(columns) = found.first() else {
            return Ok(None);
        };
        Ok(Some(Row {
            value: columns.text("value")?,
            metadata: columns.optional_text("metadata")?,
            revision: columns.text("revision")?,
            expires_at: columns.number("expires_at")?.unwrap_or_default() as i64,
        }))
    }

    fn list(&self, list: List, now: f64) -> Result<Answer, JsValue> {
        let end = end(&list.prefix);
        // A space is the smallest character, so no key lies between the cursor and the cursor with a
        // space appended.
        let start = match list.cursor {
            Some(cursor) if cursor >= list.prefix => cursor + " ",
            _ => list.prefix,
        };
        let limit = u32::try_from(PAGE + 1).unwrap_or(u32::MAX);
        let parameters = Parameters::default()
            .with(start)
            .with(end)
            .with(now)
            .with(limit);
        let found = self.storage.query(LIST, parameters)?;
        let keys = found
            .iter()
            .take(PAGE)
            .map(|columns| -> Result<_, JsValue> {
                Ok(Name {
                    name: columns.text("key")?,
                    metadata: columns.optional_text("metadata")?,
                })
            });
        let keys: Vec<Name> = keys.collect::<Result<_, _>>()?;
        let last = keys.last().map(|key| key.name.clone());
        Ok(Answer::Page {
            keys,
            cursor: last.filter(|_| found.len() > PAGE),
        })
    }

    fn put(&self, put: &Put, now: f64) -> Result<(), JsValue> {
        let parameters = Parameters::default()
            .with(&*put.key)
            .with(&*put.value)
            .or_null(put.metadata.as_deref())
            .with(&*put.revision)
            .with(put.expires_at)
            .or_null(put.dead.then_some(now));
        self.storage.query(PUT, parameters).map(drop)
    }

    fn replace(&self, replace: &Replace, now: f64) -> Result<(), JsValue> {
        let mut parameters = Parameters::default()
            .with(&*replace.value)
            .with(&*replace.revision)
            .with(u32::from(replace.dead))
            .with(now)
            .with(&*replace.prefix)
            .with(end(&replace.prefix))
            .with(now);
        for except in &replace.except {
            parameters = parameters.with(&**except).with(end(except));
        }
        let statement = REPLACE.to_owned() + &OUTSIDE.repeat(replace.except.len());
        self.storage.query(&statement, parameters).map(drop)
    }

    /// Deletes tombstones, first those older than a day, so that nobody is prevented from logging in. A
    /// transaction that ends a session is never refused: whoever has filled the object could keep theirs.
    fn make_room(&self, now: f64, writes: &[Write]) -> Result<(), Failure> {
        let full = || -> Result<bool, JsValue> {
            let rows = self.number(COUNT, Parameters::default(), "n")?;
            Ok(rows.is_some_and(|rows| rows > ROWS))
        };
        if !full()? {
            return Ok(());
        }
        self.storage
            .query(DELETE_OLD, Parameters::default().with(now).with(now - DAY))?;
        if full()? {
            self.storage
                .query(EVICT, Parameters::default().with(now).with(EVICTED))?;
        }
        let mut ends = writes.iter().map(|write| match write {
            Write::Put(put) => put.dead,
            Write::Replace(_) => true,
        });
        if !ends.any(|ends| ends) && full()? {
            let message = format!("this object is full: it holds {ROWS} rows, and no tombstones");
            return Err(Refusal::too_large(message).into());
        }
        Ok(())
    }

    /// Setting an alarm is a billed write, so one that is up to an hour late is left as it is.
    fn wake_for(&self, expires_at: f64, now: f64) -> Result<(), JsValue> {
        if let Alarm::At(at) = self.alarm.get()
            && at > now
            && at <= expires_at + HOUR
        {
            return Ok(());
        }
        // If the alarm has passed without firing, rows were left behind: it then fires immediately.
        let earliest = self.number(EARLIEST, Parameters::default().with(0), "at")?;
        self.set_alarm(earliest.unwrap_or(expires_at))
    }

    fn set_alarm(&self, at: f64) -> Result<(), JsValue> {
        // No await needed: the runtime sends no response before this is on disk.
        let _ = self.storage.set_alarm(at)?;
        self.alarm.set(Alarm::At(at));
        Ok(())
    }

    /// The number in the only row that `statement` returns.
    fn number(
        &self,
        statement: &str,
        parameters: Parameters,
        column: &str,
    ) -> Result<Option<f64>, JsValue> {
        let found = self.storage.query(statement, parameters)?;
        found
            .first()
            .map_or(Ok(None), |columns| columns.number(column))
    }
}

/// The smallest text after all keys that start with `prefix`. Keys are printable ASCII.
fn end(prefix: &str) -> String {
    format!("{prefix}\u{7f}")
}

/// Defines the class of the Durable Objects that store sessions, `SessionObject` or a name that you
/// pass, and exports it from your Worker. It works with and without `#[event(fetch)]`, and needs the
/// feature `durable-object`.
///
/// ```no_run
/// edge_session::session_object!();
/// # fn main() {}
/// ```
///
/// It is a macro because a Worker can only export classes of its own crate. Your crate must depend on
/// `worker`, in the version that this crate uses.
///
/// ```toml
/// [[durable_objects.bindings]]
/// name = "SESSION_OBJECTS"
/// class_name = "SessionObject"
///
/// [exports.SessionObject]
/// type = "durable-object"
/// storage = "sqlite"
/// ```
#[macro_export]
macro_rules! session_object {
    () => {
        $crate::session_object!(SessionObject);
    };
    ($class:ident) => {
        const _: () = {
            // The expansion of the attribute needs this name.
            use ::worker::wasm_bindgen;

            #[doc = "Holds the rows of sessions, as edge-session keeps them in Durable Objects."]
            #[::worker::durable_object(alarm)]
            pub struct $class {
                rows: $crate::object::SessionRows,
            }

            impl ::worker::DurableObject for $class {
                fn new(state: ::worker::State, _env: ::worker::Env) -> Self {
                    Self {
                        rows: $crate::object::SessionRows::new(&state),
                    }
                }

                async fn fetch(
                    &self,
                    request: ::worker::Request,
                ) -> ::worker::Result<::worker::Response> {
                    self.rows.fetch(request).await
                }

                async fn alarm(&self) -> ::worker::Result<::worker::Response> {
                    self.rows.alarm().await
                }
            }
        };
    };
}
