//! The Durable Object that stores the rows of one shard, for a Worker written in Rust.
//!
//! `js/durable-object.js` is the same in JavaScript. `docs/wire-format.md` describes both, and one
//! suite (`tests/object`) tests both.
//!
//! 1. `wire`: requests and answers. Pure.
//! 2. `storage`: the object's storage, as the runtime provides it.
//! 3. `rows`: the operations on rows.

pub mod rows;
mod storage;
mod wire;
