//! Why a session refuses, in words.

use crate::port::error::{ErrorCode, SessionError};

pub(crate) fn expired() -> SessionError {
    SessionError::new(
        ErrorCode::Expired,
        "the session has expired; set_expiry with a later end in this request keeps it",
    )
}

/// What a session says that cannot be saved, or not even read.
pub(crate) fn refusal(code: ErrorCode) -> SessionError {
    let message = match code {
        ErrorCode::Pending => "the session cannot be seen from here yet; try again in a moment",
        ErrorCode::Stale => {
            "only an older copy of the session can be seen from here; try again in a moment"
        }
        ErrorCode::Rotated => "the session has a new key; this request came with the old one",
        ErrorCode::Revoked => "the session was ended",
        ErrorCode::Destroyed => "the session was destroyed earlier in this request",
        ErrorCode::RevocationPending => "the logout could not be stored yet; it will be",
        _ => "the session store did not answer as it should",
    };
    SessionError::new(code, message)
}
