//! Workers KV.
//!
//! 1. `rules`: what KV accepts, and what its errors mean. Pure, and tested natively.
//! 2. `binding`: the calls on the binding; in wasm only.

#[cfg(target_arch = "wasm32")]
mod binding;
pub(crate) mod rules;

#[cfg(target_arch = "wasm32")]
pub use binding::KvConnector;
