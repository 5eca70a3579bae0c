//! The rules of sessions on a strong store, where a read sees the last write and several writes are
//! one transaction. None of the markers of the eventual protocol is used here.
//!
//! 1. `place`: in which shard a session lives, and under which key.
//! 2. `row`: what a row holds, and what a load sees in it. `revision`: what tells two writes apart.
//! 3. `conflict`: what it means that a row was not as expected.
//! 4. `epoch`: which logins the end of all of an owner's sessions refuses.
//! 5. `limit`: which sessions a login ends.
//! 6. `walk`: how an end goes through several shards.

pub(crate) mod conflict;
pub(crate) mod epoch;
pub(crate) mod limit;
pub(crate) mod place;
pub(crate) mod revision;
pub(crate) mod row;
pub(crate) mod walk;

/// Milliseconds for which a rotated key still reads its session, and for which a request that
/// comes with an ended one is told so.
pub(crate) const GRACE: i64 = 90_000;

/// Milliseconds for which a record says that a key was removed: longer than the fate of a try can
/// be in doubt. No copy of a record is joined with another, so nothing else needs it.
pub(crate) const REMOVALS_KEPT: i64 = 90_000;
