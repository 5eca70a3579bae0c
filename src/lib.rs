//! Server-side web sessions for Cloudflare Workers, right on an eventually consistent store.
//!
//! A session is a dictionary that lives in Workers KV, sealed with a key that only the browser's
//! cookie holds. In a fetch handler written with the crate `worker` (feature `worker`, on by
//! default), it is used so:
//!
#![cfg_attr(feature = "worker", doc = "```no_run")]
#![cfg_attr(not(feature = "worker"), doc = "```text")]
#![cfg_attr(feature = "worker", doc = "# fn main() {}")]
//! use edge_session::{SessionStore, Sessions};
//! use worker::{Context, Env, Request, Response, Result, event};
//!
//! #[event(fetch)]
//! async fn fetch(request: Request, env: Env, ctx: Context) -> Result<Response> {
//!     // The KV namespace SESSIONS, the secret SESSION_SECRET, and variables SESSION_…
//!     let sessions = Sessions::from_env(&env)?;
//!     sessions
//!         .handle(request, &ctx, async |_request, session: &mut SessionStore| {
//!             let views = session.get::<u32>("views")?.unwrap_or(0) + 1;
//!             session.set("views", views)?;
//!             Response::ok(format!("{views}"))
//!         })
//!         .await
//! }
//! ```
//!
//! The same by hand, as a framework or a test does it, anywhere that Rust runs:
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
//! assert_eq!(session.outcome()?, Outcome::New);
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
//! # In reading order
//!
//! 1. [`Sessions`]: what a Worker makes of its environment. It opens, loads and commits; `handle`
//!    does all three around a closure.
//! 2. [`SessionStore`]: one session in one request, an ordered dictionary with a life cycle.
//!    [`bind`](SessionStore::bind) is login, [`destroy`](SessionStore::destroy) and
//!    [`flush`](SessionStore::flush) are logout, [`Expiry`] says when it ends.
//! 3. [`Outcome`]: what a load found, one of twelve words. [`SessionError`], with a stable
//!    [`ErrorCode`]: whatever fails.
//! 4. [`Settings`], with [`SameSite`] and [`Storage`], and the [`SecretRing`].
//! 5. [`Sessions::list`], [`revoke`](Sessions::revoke) and [`revoke_all`](Sessions::revoke_all):
//!    the sessions of one user, each an [`OwnedSession`] with its [`SessionKey`].
//! 6. [`RequestHead`] and [`CommitHeaders`]: what a session reads of a request and wants on its
//!    answer, for frameworks without an adapter here. `axum` (behind the feature of that name) is the
//!    adapter for axum, and for any `tower` service.
//! 7. [`EventSink`] and [`Stats`]: what happens to sessions, and what it costs.
//! 8. [`connector`]: the port to storage, Workers KV and memory behind it, or one of your own.
//!    [`runtime`]: clock, randomness and timer. [`Isolate`]: what requests of one isolate share.
//! 9. `testing` (behind the feature of that name): browsers, a clock and a store that fails on
//!    demand, for the tests of an application.
//!
//! # Inside
//!
//! Five folders, each a floor that imports only from those listed before it (`npm run check`
//! verifies that):
//!
//! 1. `port`: what the world must offer: errors, storage, clock, and what is asked of them.
//! 2. `protocol`: values and rules, as pure functions. Cookies, keys, records, markers, and
//!    `judge`, which decides what they mean together.
//! 3. `session`: one session as plain values.
//! 4. `flow`: everything that waits for the store. Loads, saves, logouts and lists, and what an
//!    isolate remembers.
//! 5. `face`: what applications call. [`SessionStore`] and [`Sessions`], connectors, the crate
//!    `worker`, axum, JavaScript.

#![forbid(unsafe_code)]
#![deny(missing_docs)]

#[macro_use]
mod mutant;

mod face;
mod flow;
mod port;
mod protocol;
mod session;

#[cfg(test)]
mod vectors;

#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;

/// The port to storage, and the adapters that come with it.
///
/// [`SessionConnector`](connector::SessionConnector) is what a session needs of a key-value
/// namespace: read some keys at once, put one, delete one, list by prefix. It asks for no
/// consistency: last writer wins, reads may be stale and absence may be cached, as Workers KV
/// documents of itself (<https://developers.cloudflare.com/kv/concepts/how-kv-works/>).
///
/// [`StrongConnector`](connector::StrongConnector) is the port to a store that has transactions.
/// Sessions on it promise more: a logout holds when it returns, and no update is lost.
pub mod connector {
    #[cfg(any(target_arch = "wasm32", feature = "worker"))]
    pub use crate::face::connector::kv::KvConnector;
    pub use crate::face::connector::memory::{ManualClock, MemoryConnector, OperationCounts};
    #[cfg(feature = "worker")]
    pub use crate::face::connector::objects::ObjectConnector;
    pub use crate::face::connector::strong_memory::{StrongCounts, StrongMemory};
    pub use crate::port::connector::{
        ConnectorError, ConnectorErrorKind, ListedKey, Page, PutOptions, ReadOptions,
        SessionConnector,
    };
    pub use crate::port::strong::{Check, Row, StrongConnector, Transacted, Write};
}
#[cfg(feature = "axum")]
pub use face::axum;
// For the class that `session_object!` defines in another crate, and for nothing else.
#[cfg(all(target_arch = "wasm32", feature = "durable-object"))]
#[doc(hidden)]
pub mod object {
    pub use crate::face::object::rows::SessionRows;
}
#[cfg(any(test, feature = "testing"))]
pub use face::testing;
pub use port::runtime;

pub use face::builder::SessionsBuilder;
#[cfg(any(target_arch = "wasm32", feature = "worker"))]
pub use face::console::ConsoleEvents;
#[cfg(feature = "worker")]
pub use face::env_options::EnvOptions;
pub use face::headers::CommitHeaders;
pub use face::sessions::Sessions;
pub use face::store::{Keep, SessionStore};
pub use flow::isolate::Isolate;
pub use flow::owner::OwnedSession;
pub use flow::stats::Stats;
pub use port::error::{AsSessionError, ErrorCode, SessionError};
pub use port::events::{Event, EventKind, EventSink};
pub use port::request::{CookieHeader, RequestHead};
pub use protocol::cookie::SameSite;
pub use protocol::expiry::Expiry;
pub use protocol::keys::{SecretRing, SessionKey};
pub use protocol::outcome::Outcome;
pub use protocol::settings::{Settings, Storage};

/// Of the package and of the deployed Worker, not of a Worker that depends on this crate: half the
/// code of the standard library's, and less time for the few hundred small things that a save makes.
#[cfg(all(target_arch = "wasm32", any(feature = "js", feature = "deploy")))]
#[global_allocator]
static ALLOCATOR: talc::wasm::WasmDynamicTalc = talc::wasm::new_wasm_dynamic_allocator();

#[doc(hidden)]
pub mod doc;

#[cfg(feature = "mutants")]
#[doc(hidden)]
pub use mutant::mutants;
