//! What an application tests with (feature `testing`): sessions in memory, on a clock that a test
//! moves, behind browsers that keep cookies by the rules and before a store that fails on demand.
//!
//! ```toml
//! [dev-dependencies]
//! edge-session = { path = "…", default-features = false, features = ["testing"] }
//! ```
//!
//! ```
//! use std::time::Duration;
//!
//! use edge_session::testing::World;
//! use edge_session::{ErrorCode, Outcome, Settings};
//! # futures_executor::block_on(async {
//! let world = World::new(Settings::default());
//! let mut browser = world.browser();
//! browser.handle(async |session| session.set("cart", ["apple"])).await?;
//!
//! // The browser sends its cookies back.
//! let cart = browser.handle(async |session| session.get::<Vec<String>>("cart")).await?;
//! assert_eq!(cart, Some(vec!["apple".to_owned()]));
//!
//! // The store fails: the session cannot be used, and says so.
//! world.advance(Duration::from_secs(60));
//! world.store().outage();
//! let error = browser.handle(async |session| session.set("cart", ())).await.unwrap_err();
//! assert_eq!(error.code(), ErrorCode::Unavailable);
//! world.store().recover();
//!
//! // A day later the session is over.
//! world.advance(Duration::from_secs(86_400));
//! let outcome = browser.handle(async |session| session.outcome()).await?;
//! assert_eq!(outcome, Outcome::Expired);
//! # Ok::<(), edge_session::SessionError>(())
//! # }).unwrap();
//! ```
//!
//! 1. [`World`]: sessions, their store and the clock that both live by.
//! 2. [`Browser`]: a cookie jar, and requests that are handled without a platform.
//! 3. [`TestStore`]: memory that counts operations, and fails, loses or answers with old values when
//!    it is told to.
//! 4. [`Request`]: method, path and headers, where they matter.
//!
//! Nothing here waits: pauses between two attempts move the clock.

mod browser;
mod jar;
mod request;
mod store;
mod world;

pub use browser::Browser;
pub use request::Request;
pub use store::TestStore;
pub use world::World;
