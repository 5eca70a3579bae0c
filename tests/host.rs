//! The features `worker` and `anyhow` on the host, as a Worker's own native tests use them.

#![cfg(all(not(target_arch = "wasm32"), feature = "worker", feature = "anyhow"))]
#![allow(clippy::unwrap_used, missing_docs, reason = "a test program")]

use std::error::Error as _;

use edge_session::connector::{ConnectorError, ConnectorErrorKind};
use edge_session::{AsSessionError as _, ErrorCode, SessionError, SessionStore, Sessions};
use worker::wasm_bindgen::{JsCast as _, JsValue};
use worker::{Context, Env, Request, Response};

/// The fetch handler of a Worker, which must compile for the host.
async fn fetch(request: Request, env: Env, ctx: Context) -> worker::Result<Response> {
    let sessions = Sessions::from_env(&env)?;
    sessions
        .handle(
            request,
            &ctx,
            async |_request, session: &mut SessionStore| {
                session.set("views", 1)?;
                Response::ok("hello")
            },
        )
        .await
}

#[test]
fn outside_of_a_worker_there_is_no_environment() {
    let _compiles = fetch;
    let env: Env = JsValue::UNDEFINED.unchecked_into();
    let error = Sessions::from_env(&env).err().unwrap();
    assert_eq!(error.code(), ErrorCode::Unsupported);
    assert!(error.message().contains("Sessions::builder"), "{error}");
    let error = Sessions::from_env_with(&env, |options| options.binding("SHOP")).unwrap_err();
    assert_eq!(error.code(), ErrorCode::Unsupported);
}

#[test]
fn a_session_error_is_found_in_anyhow() {
    let own = SessionError::new(ErrorCode::Stale, "an older copy");
    let error = anyhow::Error::new(own)
        .context("the cart")
        .context("the page");
    let found = error.as_session_error().unwrap();
    assert_eq!(found.code(), ErrorCode::Stale);
    assert!(anyhow::anyhow!("stale").as_session_error().is_none());
}

#[test]
fn a_worker_error_carries_a_session_error() {
    let thrown = "x".parse::<u32>().unwrap_err();
    let connector = ConnectorError::new(ConnectorErrorKind::Quota, "spent").with_source(thrown);
    let error = worker::Error::from(SessionError::from(connector));
    let found = error.as_session_error().unwrap();
    assert_eq!(found.code(), ErrorCode::Quota);
    assert!(found.connector_error().unwrap().source().is_some());
    assert!(
        worker::Error::from("quota: spent")
            .as_session_error()
            .is_none()
    );
}
