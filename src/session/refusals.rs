//! The error messages of refusals.

use crate::port::error::{ErrorCode, SessionError};

pub(crate) fn expired() -> SessionError {
    SessionError::new(
        ErrorCode::Expired,
        "the session has expired; to keep it, call set_expiry with a later end in this request",
    )
}

/// The error of a session that cannot be saved or read.
pub(crate) fn refusal(code: ErrorCode) -> SessionError {
    let message = match code {
        ErrorCode::Pending => {
            "the session is not visible at this location yet; try again in a moment"
        }
        ErrorCode::Stale => {
            "only an older copy of the session is visible at this location; try again in a moment"
        }
        ErrorCode::Rotated => {
            "the session has a new key, and this request sent the old one; try again with the new cookie"
        }
        ErrorCode::Revoked => "the session was ended",
        ErrorCode::Destroyed => "the session was destroyed earlier in this request",
        ErrorCode::RevocationPending => {
            "the logout could not be stored yet; the browser's next request finishes it"
        }
        _ => "the session store failed or could not be reached",
    };
    SessionError::new(code, message)
}
