//! The Durable Object that holds the rows of one shard, for a Worker written in Rust.
//!
//! Its twin is `js/durable-object.js`; both answer as `docs/wire-format.md` says, and one suite
//! (`tests/object`) runs against both.
//!
//! 1. `wire`: what it is asked and what it answers. Pure.
//! 2. `storage`: the object's storage, as the runtime hands it over.
//! 3. `rows`: what it does with its rows.

pub mod rows;
mod storage;
mod wire;
