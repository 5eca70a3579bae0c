//! What is stored for one session.
//!
//! 1. `sealed`: an envelope around the session's data, sealed with the session's own key.
//! 2. `plain`: the same as JSON, with `SESSION_SEAL=false`.

mod plain;
mod sealed;

pub(crate) use sealed::{Bound, Device, Envelope, Unreadable};
