//! Errors of the HTTP interface, as problem documents (RFC 9457).

use ::worker::{Response, Result};

use crate::face::problem::problem;
use crate::port::error::{AsSessionError, SessionError};

/// Why a request is answered with an error.
pub(super) enum Problem {
    /// An error of the session.
    Session(SessionError),
    /// The body is not JSON, or does not have the required form.
    InvalidJson(String),
    /// The request comes from another site.
    Forbidden,
    /// Nobody is logged in.
    Unauthenticated,
    /// No such route.
    NoRoute,
    /// The session has no such key.
    NoValue(String),
    /// The route does not support the method.
    Method {
        /// The supported methods, for `Allow`.
        allow: &'static str,
    },
    /// The body has more than this many bytes.
    BodyTooLarge(usize),
    /// The runtime failed.
    Runtime(::worker::Error),
}

impl From<SessionError> for Problem {
    fn from(error: SessionError) -> Self {
        Self::Session(error)
    }
}

impl From<::worker::Error> for Problem {
    fn from(error: ::worker::Error) -> Self {
        Self::Runtime(error)
    }
}

/// `handle` answers refusals of the session itself. `into_response` is for the rest.
impl AsSessionError for Problem {
    fn as_session_error(&self) -> Option<&SessionError> {
        match self {
            Self::Session(error) => Some(error),
            Self::Runtime(error) => error.as_session_error(),
            _ => None,
        }
    }
}

impl Problem {
    pub(super) fn into_response(self) -> Result<Response> {
        let (code, status, detail) = match self {
            Self::Session(error) => return error.to_response().map_err(Into::into),
            Self::InvalidJson(detail) => ("invalid_json", 400, detail),
            Self::Forbidden => (
                "forbidden",
                403,
                "a request that changes a session must come from the same site".into(),
            ),
            Self::Unauthenticated => {
                let detail = "only a logged-in user has a list of sessions: log in first";
                ("unauthenticated", 401, detail.into())
            }
            Self::NoRoute => ("not_found", 404, "this URL does not exist".into()),
            Self::NoValue(key) => ("not_found", 404, format!("the session has no key {key:?}")),
            Self::Method { allow } => {
                let detail = format!("this URL supports {allow}");
                let response = respond("method_not_allowed", 405, &detail)?;
                response.headers().set("allow", allow)?;
                return Ok(response);
            }
            Self::BodyTooLarge(most) => (
                "too_large",
                413,
                format!("the body may have at most {most} bytes"),
            ),
            Self::Runtime(error) => {
                ::worker::console_error!("request failed: {error}");
                (
                    "unavailable",
                    500,
                    "the runtime could not answer this request".into(),
                )
            }
        };
        respond(code, status, &detail)
    }
}

fn respond(code: &str, status: u16, detail: &str) -> Result<Response> {
    let response = Response::from_bytes(problem(code, status, detail).into_bytes())?;
    let response = response.with_status(status);
    response
        .headers()
        .set("content-type", "application/problem+json")?;
    response.headers().set("cache-control", "no-store")?;
    Ok(response)
}
