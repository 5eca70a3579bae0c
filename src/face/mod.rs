//! The interface for applications.
//!
//! 1. `sessions`: the sessions of a Worker. `builder`: how they are created. `owned`: the sessions of
//!    one user. `store`: one session in one request. `headers`: the header fields of its commit.
//! 2. `driver`: carries out the effects of flows.
//! 3. `connector`: Workers KV, and memory. `console`: events in the console.
//! 4. `handler` for the crate `worker`, over `fetch`, and `axum`. `problem`: errors as problem
//!    documents.
//! 5. `testing`: helpers for the tests of applications.
//! 6. `object`: the Durable Object that stores rows.
//! 7. `js`: the core of the npm package. `worker`: the Worker of this repository.

#[cfg(feature = "axum")]
pub mod axum;
pub(crate) mod builder;
pub(crate) mod connector;
#[cfg(any(target_arch = "wasm32", feature = "worker"))]
pub(crate) mod console;
pub(crate) mod driver;
#[cfg(feature = "worker")]
pub(crate) mod env_options;
#[cfg(feature = "worker")]
pub(crate) mod fetch;
#[cfg(feature = "worker")]
mod handler;
pub(crate) mod headers;
#[cfg(all(target_arch = "wasm32", feature = "js"))]
mod js;
#[cfg(all(target_arch = "wasm32", feature = "durable-object"))]
pub mod object;
mod owned;
mod problem;
pub(crate) mod sessions;
pub(crate) mod store;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(all(target_arch = "wasm32", feature = "deploy"))]
mod worker;
