//! Random histories of faults against the code that ships, and a checker of its promises.
//!
//! * [`world`]: one thread, a simulated clock, a scheduler; [`kv`]: the store and what each
//!   location sees of it; [`jar`]: a browser's cookies;
//! * [`request`]: what an application does in one request; [`history`]: servers, clients and their
//!   requests; [`random`]: a history from a seed; [`aftermath`]: what must be true after the faults
//!   have stopped;
//! * [`truth`]: the checker; [`tally`]: what a run has covered; [`transcript`]: everything that a
//!   history has produced, to compare two builds; [`watch`]: the same for watchers, and [`lab`]:
//!   the histories that the console replays.
//! * [`strong`]: the second world, of a store that has transactions.
//!
//! Requests go through [`edge_session::Sessions`] from Cookie header to Set-Cookie. Only the
//! checker repeats rules of the protocol.

use std::time::{SystemTime, UNIX_EPOCH};

pub mod aftermath;
pub mod dice;
pub mod fault;
pub mod history;
pub mod jar;
pub mod kv;
pub mod lab;
pub mod random;
pub mod request;
pub mod strong;
pub mod tally;
pub mod transcript;
pub mod truth;
pub mod watch;
pub mod world;

/// Milliseconds: an instant since the epoch, or a duration.
pub type Ms = i64;

/// The milliseconds of an instant, as this clock counts.
pub fn ms(instant: SystemTime) -> Ms {
    let since = instant.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ms::try_from(since.as_millis()).unwrap_or(Ms::MAX)
}
