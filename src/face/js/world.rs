//! The inputs of a call from JavaScript (time, randomness), and the events and warnings that its
//! answer contains. Only JavaScript calls the store.

use std::cell::{Cell, RefCell};
use std::fmt;

use futures_util::future::LocalBoxFuture;
use zeroize::Zeroizing;

use crate::face::sessions::Sessions;
use crate::port::connector::{
    ConnectorError, ConnectorErrorKind, Page, PutOptions, ReadOptions, SessionConnector,
};
use crate::port::error::{ErrorCode, SessionError};
use crate::port::events::{Event, EventSink};
use crate::port::runtime::Runtime;
use crate::port::strong::{Check, Row, StrongConnector, Transacted, Write};

/// Sessions of one configuration.
pub(super) struct JsConfig {
    pub(super) sessions: Sessions,
    /// The same, with events.
    pub(super) reported: Sessions,
    /// The same, without the isolate's memory and counters: for facts about a session without a cookie.
    pub(super) blank: Sessions,
    /// True for Workers KV, whose rules are in the core.
    pub(super) is_kv: bool,
}

/// The inputs of a call, and the events and warnings of its answer.
#[derive(Default)]
pub(super) struct World {
    pub(super) now: Cell<i64>,
    pub(super) dice: RefCell<Zeroizing<Vec<u8>>>,
    pub(super) events: RefCell<Vec<String>>,
    pub(super) warnings: RefCell<Vec<String>>,
}

thread_local! {
    pub(super) static WORLD: World = World::default();
}

/// The platform, from the inputs of a call.
pub(super) struct JsRuntime;

impl Runtime for JsRuntime {
    fn now(&self) -> i64 {
        WORLD.with(|world| world.now.get())
    }

    fn fill_random(&self, out: &mut [u8]) -> Result<(), SessionError> {
        WORLD.with(|world| {
            let mut dice = world.dice.borrow_mut();
            let left = dice.len().checked_sub(out.len()).ok_or_else(|| {
                SessionError::new(
                    ErrorCode::NotReady,
                    "there is no randomness here: Workers give none at module scope, so make new \
                     sessions inside the fetch handler",
                )
            })?;
            out.copy_from_slice(&dice[left..]);
            // Random bytes are used once. They are wiped at the end of the call.
            dice.truncate(left);
            Ok(())
        })
    }

    /// Never waits: flows request pauses from JavaScript.
    fn sleep(&self, _milliseconds: u32) -> LocalBoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }

    fn warn(&self, message: &str) {
        WORLD.with(|world| world.warnings.borrow_mut().push(message.to_owned()));
    }
}

/// Passes events to JavaScript, with the answer of the call in which they happened.
pub(super) struct JsEvents;

impl EventSink for JsEvents {
    fn event(&self, event: &Event) {
        WORLD.with(|world| world.events.borrow_mut().push(event.to_json()));
    }
}

/// The kind of the store. JavaScript makes the calls.
pub(super) struct JsStore(pub(super) String);

type Answered<'a, T> = LocalBoxFuture<'a, Result<T, ConnectorError>>;

impl JsStore {
    fn not_here<'a, T: 'a>() -> Answered<'a, T> {
        let error = ConnectorError::new(
            ConnectorErrorKind::Unavailable,
            "only JavaScript calls this connector",
        );
        Box::pin(std::future::ready(Err(error)))
    }
}

/// The same, of a store that has transactions.
pub(super) struct JsStrongStore(pub(super) String);

impl StrongConnector for JsStrongStore {
    fn kind(&self) -> &str {
        &self.0
    }

    fn read<'a>(&'a self, _: &'a str, _: &'a [&'a str]) -> Answered<'a, Vec<Option<Row>>> {
        JsStore::not_here()
    }

    fn transact<'a>(
        &'a self,
        _: &'a str,
        _: &'a [Check<'a>],
        _: &'a [Write<'a>],
    ) -> Answered<'a, Transacted> {
        JsStore::not_here()
    }

    fn list<'a>(&'a self, _: &'a str, _: &'a str, _: Option<&'a str>) -> Answered<'a, Page> {
        JsStore::not_here()
    }
}

impl SessionConnector for JsStore {
    fn kind(&self) -> &str {
        &self.0
    }

    fn read<'a>(&'a self, _: &'a [&'a str], _: ReadOptions) -> Answered<'a, Vec<Option<String>>> {
        Self::not_here()
    }

    fn put<'a>(&'a self, _: &'a str, _: &'a str, _: PutOptions) -> Answered<'a, ()> {
        Self::not_here()
    }

    fn delete<'a>(&'a self, _: &'a str) -> Answered<'a, ()> {
        Self::not_here()
    }

    fn list<'a>(&'a self, _: &'a str, _: Option<&'a str>) -> Answered<'a, Page> {
        Self::not_here()
    }
}

/// The error behind a failure, as its number in JavaScript.
pub(super) struct Cause(pub(super) u32);

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JavaScript error")
    }
}

impl fmt::Debug for Cause {
    /// Shows nothing, because JavaScript's errors do not belong in our logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cause")
    }
}

impl std::error::Error for Cause {}

#[cold]
pub(super) fn garbled() -> SessionError {
    SessionError::invalid(
        "the package's JavaScript and its wasm do not match; use both from one version of the package",
    )
}

#[cold]
pub(super) fn gone() -> SessionError {
    SessionError::new(
        ErrorCode::Unavailable,
        "the session is in use or was released",
    )
}
