//! The row with the last time that all of an owner's sessions were ended.

use crate::flow::engine::Ctx;
use crate::port::error::{ErrorCode, SessionError};
use crate::port::strong::Row;
use crate::port::transaction::{Change, Expected};
use crate::protocol::strong::epoch::{EPOCH_LIVES, Epoch};
use crate::protocol::strong::place::EPOCH;

/// Parses an epoch row.
///
/// # Errors
/// `unavailable` for a row of a later release.
pub(crate) fn epoch_of(row: Option<&Row>) -> Result<Epoch, SessionError> {
    match row {
        None => Ok(Epoch::default()),
        Some(row) => Epoch::decode(&row.value).ok_or_else(|| {
            SessionError::new(
                ErrorCode::Unavailable,
                "the owner's epoch in the store is of a format that this release does not know",
            )
        }),
    }
}

/// The check that the row is as it was found.
pub(crate) fn expected_epoch(row: Option<&Row>) -> Expected {
    match row {
        None => Expected::absent(EPOCH),
        Some(row) => Expected::revision(EPOCH, &*row.revision),
    }
}

/// The write that puts it.
pub(crate) fn put_epoch(ctx: &Ctx, epoch: &Epoch, revision: &str) -> Change {
    Change::Put {
        key: EPOCH.to_owned(),
        value: epoch.encode(),
        metadata: None,
        revision: revision.to_owned(),
        expires_at: ctx.now().saturating_add(EPOCH_LIVES),
        dead: false,
    }
}
