//! The flows of sessions on a store that has transactions. The rules are in `src/protocol/strong`.
//!
//! 1. `ask`: the store as these flows ask it. `draft`: a record that is ready to be put.
//! 2. `load`, `save`, `cycle`, `login`, `end` and `owner`: the flows.
//! 3. `handover`: what a session leaves behind when it goes on in another shard. `epoch`: the row that
//!    ends logins on their way.

pub(crate) mod ask;
pub(crate) mod cycle;
pub(crate) mod draft;
pub(crate) mod end;
pub(crate) mod epoch;
pub(crate) mod handover;
pub(crate) mod load;
pub(crate) mod login;
pub(crate) mod owner;
pub(crate) mod save;
