//! The connectors that come with the crate.

// Its rules are pure and tested natively; its calls exist in wasm only.
#[cfg(any(test, target_arch = "wasm32"))]
pub(crate) mod kv;
pub(crate) mod memory;
