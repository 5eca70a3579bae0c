//! The connectors that come with the crate.
//!
//! 1. `kv`: Workers KV.
//! 2. `memory`: a map, with a clock that a test can turn.

// Its rules are pure and tested natively; its calls exist in wasm only.
#[cfg(any(test, target_arch = "wasm32", feature = "worker"))]
pub(crate) mod kv;
pub(crate) mod memory;
