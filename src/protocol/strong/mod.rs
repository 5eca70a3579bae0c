//! The rules of sessions on a strong store, where a read sees the last write and several writes
//! form one transaction. The markers of the eventual protocol are not used here.
//!
//! 1. `place`: in which shard a session lives, and under which key.
//! 2. `row`: the content of a row, and its meaning for a load. `revision`: identifies a write.
//! 3. `conflict`: a row that was not as expected.
//! 4. `epoch`: which logins the end of all of an owner's sessions refuses.
//! 5. `limit`: which sessions a login ends.
//! 6. `walk`: how a logout visits several shards.

pub(crate) mod conflict;
pub(crate) mod epoch;
pub(crate) mod limit;
pub(crate) mod place;
pub(crate) mod revision;
pub(crate) mod row;
pub(crate) mod walk;

/// How long a rotated key still reads its session, and how long a request with an ended session is
/// refused, in milliseconds.
pub(crate) const GRACE: i64 = 90_000;

/// How long a record remembers a removed key, in milliseconds: longer than the fate of a try can be
/// unknown. Copies of a record are not joined here, so nothing else needs it.
pub(crate) const REMOVALS_KEPT: i64 = 90_000;
