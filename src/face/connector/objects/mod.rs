//! Durable Objects of the class `SessionObject`.
//!
//! 1. `wire`: requests to an object and its answers, as JSON. Pure, and shared with the npm package.
//! 2. `binding`: the calls on the namespace; in a Worker only.

#[cfg(feature = "worker")]
mod binding;
pub(crate) mod wire;

#[cfg(feature = "worker")]
pub use binding::ObjectConnector;
#[cfg(feature = "worker")]
pub(crate) use binding::ObjectPlace;
