//! Helpers for the examples in the documentation.

use futures_util::FutureExt as _;

use crate::connector::MemoryConnector;
use crate::{CookieHeader, SecretRing, SessionError, SessionStore, Sessions, Settings};

/// A secret for examples that run. None is shown, so that none is copied into a Worker.
#[must_use]
pub fn secret() -> String {
    ('A'..='z').collect()
}

/// Runs `example` on sessions in memory.
///
/// # Panics
/// Where the example fails.
#[allow(clippy::expect_used)] // an example that fails has to fail its test
pub fn run(example: impl AsyncFnOnce(Sessions) -> Result<(), SessionError>) {
    let ring = SecretRing::parse(&secret()).expect("a secret");
    let sessions =
        Sessions::new(MemoryConnector::new(), ring, Settings::default()).expect("settings");
    let example = example(sessions).now_or_never();
    example
        .expect("memory answers at once")
        .expect("the example");
}

/// Runs `example` on a new session.
///
/// # Panics
/// Where the example fails.
pub fn with_session(example: impl FnOnce(&mut SessionStore) -> Result<(), SessionError>) {
    run(async |sessions| example(&mut sessions.load(CookieHeader::none()).await));
}
