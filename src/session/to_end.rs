//! A session to end, with all of its keys. How that is written depends on the store.

use crate::protocol::keys::RecordKey;
use crate::protocol::ticket::Tombstone;

/// See the module.
#[derive(Clone)]
pub(crate) struct ToEnd {
    pub(crate) stone: Tombstone,
    /// The key of its record, if its token is known.
    pub(crate) record_key: Option<RecordKey>,
}

impl ToEnd {
    /// The end of a session whose logout could not be stored.
    pub(crate) fn of_stone(stone: Tombstone) -> Self {
        Self {
            stone,
            record_key: None,
        }
    }
}
