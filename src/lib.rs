//! Server-side web sessions for Cloudflare Workers.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod connector;
mod cookie;
mod error;
mod settings;

pub use cookie::SameSite;
pub use error::{ErrorCode, SessionError};
pub use settings::{Settings, Storage};
