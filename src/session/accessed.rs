//! What a request has told of its session: whether anything at all, and the last refusal.

use std::cell::{Cell, RefCell};

use crate::port::error::SessionError;

/// Changes where a session is only read, too.
#[derive(Default)]
pub(crate) struct Accessed {
    accessed: Cell<bool>,
    refused: RefCell<Option<SessionError>>,
}

impl Accessed {
    /// Something of the session is about to be known outside of it.
    pub(crate) fn mark(&self) {
        self.accessed.set(true);
    }

    pub(crate) fn is_marked(&self) -> bool {
        self.accessed.get()
    }

    /// Remembers `error` where it is a refusal.
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

    /// Looks at the session without that counting as access, or as a refusal.
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
