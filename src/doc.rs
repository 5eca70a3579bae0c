//! What the examples in the documentation stand on.

use crate::connector::MemoryConnector;
use crate::{CookieHeader, SecretRing, SessionError, SessionStore, Sessions, Settings};

/// A secret for examples that run. None is shown, so that none is copied into a Worker.
#[must_use]
pub fn secret() -> String {
    ('A'..='z').collect()
}

/// Runs `example` on a new session.
///
/// # Panics
/// Where the example fails.
#[allow(clippy::expect_used)] // an example that fails has to fail its test
pub fn with_session(example: impl FnOnce(&mut SessionStore) -> Result<(), SessionError>) {
    use futures_util::FutureExt as _;
    let ring = SecretRing::parse(&secret()).expect("a secret");
    let sessions =
        Sessions::new(MemoryConnector::new(), ring, Settings::default()).expect("settings");
    let load = sessions.load(CookieHeader::none());
    let mut session = load.now_or_never().expect("memory answers at once");
    example(&mut session).expect("the example");
}
