//! Server-side web sessions for Cloudflare Workers.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

mod sessions;
mod store;

mod csrf;
mod data;
mod expiry;
mod io;
mod isolate;
mod lifecycle;
mod load;
mod outcome;
mod owner;
mod presented;
mod record;
mod revocation;
mod save;
mod value;
mod version;

mod cookie;
mod keys;
mod ticket;
mod wire;

mod error;
mod events;
mod settings;

#[cfg(all(target_arch = "wasm32", any(feature = "worker", feature = "js")))]
mod fetch;
#[cfg(all(target_arch = "wasm32", feature = "worker"))]
mod handler;
#[cfg(all(target_arch = "wasm32", feature = "js"))]
mod js;
#[cfg(all(target_arch = "wasm32", feature = "deploy"))]
mod worker;

pub mod connector;
pub mod runtime;

pub use cookie::SameSite;
pub use error::{ErrorCode, SessionError};
#[cfg(target_arch = "wasm32")]
pub use events::ConsoleEvents;
pub use events::{Event, EventKind, EventSink};
pub use expiry::Expiry;
pub use isolate::Isolate;
pub use keys::SecretRing;
pub use outcome::Outcome;
pub use owner::OwnedSession;
pub use presented::{CookieHeader, RequestHead};
pub use sessions::{CommitHeaders, Sessions};
pub use settings::{Settings, Storage};
pub use store::SessionStore;

#[cfg(not(target_arch = "wasm32"))]
#[doc(hidden)]
pub mod doc;
