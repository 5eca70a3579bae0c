//! Workers KV.
//!
//! 1. `rules`: what KV accepts, and what its errors mean. Pure, and tested natively.
//! 2. `binding`: the calls on the binding; in wasm only.

#[cfg(any(target_arch = "wasm32", feature = "worker"))]
mod binding;
pub(crate) mod rules;

#[cfg(any(target_arch = "wasm32", feature = "worker"))]
pub use binding::KvConnector;
