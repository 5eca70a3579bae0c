//! The world, as far as JavaScript brings it along with a call: time, randomness, and places for
//! what goes out with the answer. The store is only JavaScript calls this connector.

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

/// Sessions of one configuration.
pub(super) struct Realm {
    pub(super) sessions: Sessions,
    /// The same, with events for whoever listens.
    pub(super) reported: Sessions,
    /// The same, remembering and counting nothing of the isolate: for what is asked about a session
    /// that nobody has.
    pub(super) blank: Sessions,
    /// True where Workers KV is behind it, whose rules are kept here.
    pub(super) is_kv: bool,
}

/// What comes in with a call, and what goes out with its answer.
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

/// The platform, as far as a call brings it along.
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
            // Nobody gets them again; they are wiped with the call's end.
            dice.truncate(left);
            Ok(())
        })
    }

    /// Pauses are JavaScript's: a flow asks for them.
    fn sleep(&self, _milliseconds: u32) -> LocalBoxFuture<'static, ()> {
        Box::pin(std::future::ready(()))
    }

    fn warn(&self, message: &str) {
        WORLD.with(|world| world.warnings.borrow_mut().push(message.to_owned()));
    }
}

/// Tells events to JavaScript, with the answer of the call in which they happened.
pub(super) struct JsEvents;

impl EventSink for JsEvents {
    fn event(&self, event: &Event) {
        WORLD.with(|world| world.events.borrow_mut().push(event.to_json()));
    }
}

/// The store that JavaScript asks: here is only what kind it is.
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

/// What was thrown behind a failure, by its number in JavaScript.
pub(super) struct Cause(pub(super) u32);

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JavaScript error")
    }
}

impl fmt::Debug for Cause {
    /// Nothing of it: what JavaScript would print belongs into no log of ours.
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
