//! Whether a request has accessed its session, and in time for its response, and the last refusal.

use std::cell::{Cell, RefCell};

use crate::port::error::SessionError;

/// It also changes when a session is only read.
#[derive(Default)]
pub(crate) struct Accessed {
    accessed: Cell<bool>,
    /// True after a commit whose response may be cached.
    is_late: Cell<bool>,
    refused: RefCell<Option<SessionError>>,
}

impl Accessed {
    /// The session is being accessed.
    pub(crate) fn mark(&self) {
        self.accessed.set(true);
    }

    pub(crate) fn is_marked(&self) -> bool {
        self.accessed.get()
    }

    /// The response was handed over without a word about the session.
    pub(crate) fn set_late(&self) {
        self.is_late.set(true);
    }

    pub(crate) fn is_late(&self) -> bool {
        self.is_late.get()
    }

    /// Remembers `error` if it is a refusal.
    pub(crate) fn refuse(&self, error: SessionError) -> SessionError {
        if error.code().is_refusal() {
            *self.refused.borrow_mut() = Some(error.clone());
        }
        error
    }

    /// The last refusal.
    pub(crate) fn refusal(&self) -> Option<SessionError> {
        self.refused.borrow().clone()
    }

    /// Reads the session without counting as access or as a refusal.
    #[cfg(all(target_arch = "wasm32", feature = "js"))]
    pub(crate) fn unnoticed<T>(&self, look: impl FnOnce() -> T) -> T {
        let accessed = self.accessed.get();
        let refused = self.refused.borrow().clone();
        let seen = look();
        self.accessed.set(accessed);
        *self.refused.borrow_mut() = refused;
        seen
    }
}
