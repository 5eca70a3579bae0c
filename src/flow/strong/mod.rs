//! The flows of sessions on a store that has transactions. The rules are in `src/protocol/strong`.
//!
//! 1. `ask`: requests to the store. `draft`: a record to put.
//! 2. `load`, `save`, `cycle`, `login`, `end` and `owner`: the flows.
//! 3. `handover`: moves a session to another row. `epoch`: the row that refuses late logins.

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
