//! Everything that waits for the store.
//!
//! 1. `engine`: what a flow is, and how it is driven. `shared`: what all flows share.
//! 2. `isolate`: the memory of an isolate. `stats`: counters. `complaints`: console lines about
//!    failures.
//! 3. `retry`: requests to the store, with retries. `freshness`: how fresh an answer must be.
//! 4. `load`, `save`, `end` and `owner`: the flows. `markers`: puts markers. `work`: the plan of a
//!    save.
//! 5. `strong`: the same for a store that has transactions.
//! 6. `begin`: starts the flows.

pub(crate) mod begin;
pub(crate) mod complaints;
pub(crate) mod end;
pub(crate) mod engine;
pub(crate) mod freshness;
pub(crate) mod isolate;
pub(crate) mod load;
pub(crate) mod markers;
pub(crate) mod owner;
pub(crate) mod retry;
pub(crate) mod save;
pub(crate) mod shared;
pub(crate) mod stats;
pub(crate) mod strong;
pub(crate) mod work;
