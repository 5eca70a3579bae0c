//! Server-side web sessions for Cloudflare Workers, right on an eventually consistent store.
//!
//! # The house
//!
//! A [`Sessions`] is what a Worker makes of its environment: settings, secrets, a connector. It
//! opens a [`SessionStore`] for a request: an ordered dictionary with a life cycle, from load to
//! commit. What a load found is its [`Outcome`]; whatever fails is a [`SessionError`] with a
//! stable [`ErrorCode`]. Storage is a [`connector`]: Workers KV, memory, or one
//! of your own.
//!
//! ```
//! use edge_session::connector::MemoryConnector;
//! use edge_session::{CookieHeader, Outcome, SecretRing, Sessions, Settings};
//! # futures_executor::block_on(async {
//! # let secret = edge_session::doc::secret();
//! let secrets = SecretRing::parse(&secret)?;
//! let sessions = Sessions::new(MemoryConnector::new(), secrets, Settings::default())?;
//!
//! // A first visit: nothing is read, and nothing written before there is something to keep.
//! let mut session = sessions.load(CookieHeader::none()).await;
//! assert_eq!(session.outcome(), Outcome::New);
//! session.set("views", 1)?;
//! let headers = sessions.commit(&mut session, 200).await?;
//!
//! // The next one, with the cookies of the first.
//! let cookies: Vec<_> = headers.set_cookie().iter().filter_map(|it| it.split(';').next()).collect();
//! let session = sessions.load(CookieHeader::new(cookies.join("; "))).await;
//! assert_eq!(session.get::<u32>("views")?, Some(1));
//! # Ok::<(), edge_session::SessionError>(())
//! # }).unwrap();
//! ```
//!
//! In a fetch handler written with the crate `worker`, `Sessions::from_env` and
//! `Sessions::handle` do all of this (feature `worker`, on by default; wasm32 only).
//!
//! # Inside
//!
//! The core knows no clock, no randomness and no runtime of its own. What the cookies carry is in
//! `ticket`, how they are found and written in `cookie`; what is stored in `record` and `data`;
//! what kills a session in `revocation`. `outcome` is the one pure function that decides what all
//! of it means together; `load` and `save` are the I/O around it, `isolate` the memory that
//! requests share.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

#[macro_use]
mod mutant;

mod sessions;
mod store;

mod csrf;
mod data;
mod expiry;
mod io;
mod isolate;
mod json;
mod lifecycle;
mod load;
mod outcome;
mod owner;
mod presented;
mod record;
mod revocation;
mod save;
mod stats;
mod value;
mod version;

mod cookie;
mod keys;
mod ticket;
mod wire;

#[cfg(test)]
mod vectors;

#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;

mod error;
mod events;
mod settings;

#[cfg(all(target_arch = "wasm32", any(feature = "worker", feature = "js")))]
mod fetch;
#[cfg(all(target_arch = "wasm32", feature = "worker"))]
mod handler;
#[cfg(all(target_arch = "wasm32", feature = "http"))]
pub mod http;
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
pub use stats::Stats;
pub use store::SessionStore;

#[cfg(not(target_arch = "wasm32"))]
#[doc(hidden)]
pub mod doc;

#[cfg(feature = "mutants")]
#[doc(hidden)]
pub use mutant::mutants;
