//! Server-side web sessions for Cloudflare Workers.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod connector;
mod error;

pub use error::{ErrorCode, SessionError};
