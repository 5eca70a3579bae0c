//! The only floor that waits.
//!
//! 1. `engine`: what a flow is, and how it is driven. `shared`: what it is handed.
//! 2. `isolate`: what an isolate remembers. `stats`: what is counted. `complaints`: what the console
//!    is told of failures.
//! 3. `retry`: storage as the flows ask it. `freshness`: how fresh its answer has to be.
//! 4. `load`, `save`, `end` and `owner`: the flows. `markers`: putting what ends a session. `work`: what
//!    a save is to do.
//! 5. `strong`: the same for a store that has transactions.
//! 6. `begin`: where each of them begins.

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
