//! Test helpers for applications (feature `testing`): sessions in memory with a clock that the test
//! moves, browsers with a cookie jar, and a store that fails on demand.
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
//! // While the store is down, a change cannot be saved.
//! world.advance(Duration::from_secs(60));
//! world.store().outage();
//! let error = browser.handle(async |session| session.set("cart", ())).await.unwrap_err();
//! assert_eq!(error.code(), ErrorCode::Unavailable);
//! world.store().recover();
//!
//! // A day later the session has expired.
//! world.advance(Duration::from_secs(86_400));
//! let outcome = browser.handle(async |session| session.outcome()).await?;
//! assert_eq!(outcome, Outcome::Expired);
//! # Ok::<(), edge_session::SessionError>(())
//! # }).unwrap();
//! ```
//!
//! 1. [`World`]: sessions, their store, and one clock for both.
//! 2. [`Browser`]: a cookie jar, and a way to handle requests without a platform.
//! 3. [`TestStore`]: a store in memory that counts operations, and can be told to fail, to lose
//!    writes or to answer with old values.
//! 4. [`Request`]: method, path and headers of a request, where they matter.
//!
//! Nothing takes real time: where the library would wait before it tries again, the clock moves on.

mod browser;
mod jar;
mod request;
mod store;
mod world;

pub use browser::Browser;
pub use request::Request;
pub use store::TestStore;
pub use world::World;
