//! The connectors of the crate.
//!
//! 1. `kv`: Workers KV.
//! 2. `memory`: a map, with a clock that a test can move. `strong_memory`: the same with transactions.
//!    `sweep`: when they drop what has expired.
//! 3. `objects`: Durable Objects. `calls`: calls of a binding in JavaScript, for `kv` and `objects`.

#[cfg(any(target_arch = "wasm32", feature = "worker"))]
mod calls;
// The rules are pure and tested natively; the calls exist only in wasm.
#[cfg(any(test, target_arch = "wasm32", feature = "worker"))]
pub(crate) mod kv;
pub(crate) mod memory;
#[cfg(any(test, target_arch = "wasm32", feature = "worker"))]
pub(crate) mod objects;
pub(crate) mod strong_memory;
mod sweep;
