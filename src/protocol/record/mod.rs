//! The stored record of a session.
//!
//! 1. `envelope`: the session's data and the fields around it, and how two copies are joined.
//! 2. `sealed`: the envelope under the session's own key, as it is stored.
//! 3. `plain`: the same as JSON, with `SESSION_SEAL=false`.

mod envelope;
mod plain;
mod sealed;

pub(crate) use envelope::{Bound, Device, Envelope, Unreadable};
