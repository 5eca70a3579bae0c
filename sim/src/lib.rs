//! Seeded histories of faults against the code that ships, and a checker of what it promises.
//!
//! * [`world`]: one thread, a clock turned by hand, a scheduler; [`kv`]: the store and what each
//!   location believes of it; [`jar`]: a browser's cookies;
//! * [`request`]: what an application does in one request; [`history`]: servers, clients and what
//!   becomes of their requests; [`random`]: a history from a seed; [`aftermath`]: what has to be true
//!   when nothing goes wrong any more;
//! * [`truth`]: the checker; [`tally`]: what a run has seen; [`transcript`]: all that a history has
//!   produced, to compare two builds by; [`watch`]: the same for whoever looks on, and [`lab`]: the
//!   histories that the console plays.
//! * [`strong`]: the second world, of a store that has transactions.
//!
//! Requests go through [`edge_session::Sessions`] from Cookie header to Set-Cookie. No rule of the
//! protocol stands here a second time, but for the checker's.

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

/// Milliseconds, since the epoch or of a while.
pub type Ms = i64;

/// The milliseconds of an instant, as this clock counts.
pub fn ms(instant: SystemTime) -> Ms {
    let since = instant.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ms::try_from(since.as_millis()).unwrap_or(Ms::MAX)
}
