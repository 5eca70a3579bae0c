//! The errors of this crate inside those of an application.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs,
    reason = "tests"
)]

use std::error::Error;

use edge_session::connector::{ConnectorError, ConnectorErrorKind};
use edge_session::{AsSessionError, ErrorCode, SecretRing, SessionError};

/// The bounds that `anyhow` and `Box<dyn Error + Send + Sync>` require.
const fn is_good<E: Error + Send + Sync + 'static>() {}

#[test]
fn errors_cross_threads_and_go_into_a_box() {
    const { is_good::<SessionError>() };
    const { is_good::<ConnectorError>() };

    fn application() -> Result<(), Box<dyn Error + Send + Sync>> {
        SecretRing::parse("too short")?;
        Ok(())
    }
    let error = std::thread::spawn(application).join().unwrap();
    let error = error.expect_err("the secret is too short");
    let error = error.downcast_ref::<SessionError>().unwrap();
    assert_eq!(error.code(), ErrorCode::Config);
}

#[test]
fn sources_lead_to_what_the_store_threw() {
    let thrown = "x".parse::<u32>().unwrap_err();
    let connector = ConnectorError::new(ConnectorErrorKind::Quota, "spent").with_source(thrown);
    let error = SessionError::from(connector);
    assert_eq!(error.code(), ErrorCode::Quota);
    let connector = error.source().unwrap();
    assert!(connector.is::<ConnectorError>());
    assert!(connector.source().unwrap().is::<std::num::ParseIntError>());
    let own = SessionError::new(ErrorCode::NotReady, "no randomness");
    assert!(own.source().is_none());
}

#[test]
fn a_session_error_is_found_in_what_carries_it() {
    let own = || SessionError::new(ErrorCode::ReauthRequired, "log in again");
    let code = |error: &dyn AsSessionError| error.as_session_error().map(SessionError::code);
    let found = Some(ErrorCode::ReauthRequired);
    assert_eq!(code(&own()), found);

    let plain: Box<dyn Error> = own().into();
    let sent: Box<dyn Error + Send> = Box::new(own());
    let shared: Box<dyn Error + Send + Sync> = own().into();
    assert_eq!([code(&plain), code(&sent), code(&shared)], [found; 3]);

    // Behind other errors, and inside an I/O error, whose `source` skips it.
    let wrapped = std::io::Error::other(std::io::Error::other(own()));
    let deep: Box<dyn Error> = wrapped.into();
    assert_eq!(code(&deep), found);

    let unrelated: Box<dyn Error> = "reauth_required: log in again".into();
    assert_eq!(code(&unrelated), None, "a text is no session error");
    // An error of the connector is the cause of a session's error, but not one itself.
    let below: Box<dyn Error> = ConnectorError::new(ConnectorErrorKind::Quota, "spent").into();
    assert_eq!(code(&below), None);
}
