//! A record to put: sealed, with its revision.

use std::rc::Rc;

use crate::flow::engine::Ctx;
use crate::flow::work::{Saved, Source, Work, seal};
use crate::port::error::{ErrorCode, SessionError};
use crate::port::strong::Row;
use crate::port::transaction::Change;
use crate::protocol::list_metadata::list_metadata;
use crate::protocol::outcome::Verdict;
use crate::protocol::record::{Bound, Envelope};
use crate::protocol::strong::REMOVALS_KEPT;
use crate::protocol::strong::conflict::{Conflict, Tried, judge_conflict};
use crate::protocol::strong::place::{row_key, shard};
use crate::protocol::strong::revision::revision;
use crate::protocol::strong::row::{RowValue, rotated};
use crate::session::doubts::{Fate, Try};
use crate::session::life::KnownRow;
use crate::session::presented::{Identity, PresentedSession};
use crate::session::refusals::refusal;
use crate::session::size::check_size;

/// The shard and key of one session.
pub(crate) struct Place {
    pub(crate) shard: String,
    pub(crate) key: String,
}

impl Place {
    pub(crate) fn of(ctx: &Ctx, identity: &Identity) -> Self {
        Self {
            shard: shard(ctx.config().settings().key_prefix(), &identity.key),
            key: row_key(&identity.key),
        }
    }
}

/// The next version of a session, sealed for the row of its target.
pub(crate) struct Draft {
    pub(crate) envelope: Envelope,
    record: Rc<str>,
    metadata: Option<String>,
    pub(crate) revision: String,
}

impl Draft {
    /// The next version of `base`, with the changes of `work`.
    pub(crate) fn of(
        ctx: &Ctx,
        work: &Work,
        base: Option<Envelope>,
        bound: Option<Bound>,
    ) -> Result<Self, SessionError> {
        let key = row_key(&work.target.key);
        let envelope = work.next_version(ctx, base, None, bound, REMOVALS_KEPT)?;
        // What others have saved may be too much together with this.
        check_size(&envelope.data, ctx.config().settings())?;
        let record = seal(ctx, &envelope, &work.target, &key)?;
        let secret = ctx.config().ring().find(work.target.ticket.secret);
        let metadata = match secret {
            Some(secret) => list_metadata(secret, ctx.random()?, &envelope, &key),
            None => None,
        };
        Ok(Self {
            revision: revision(envelope.version, ctx.random()?),
            record: record.into(),
            metadata,
            envelope,
        })
    }

    /// The write that puts it.
    pub(crate) fn put(&self, place: &Place, target: &Identity) -> Change {
        Change::Put {
            key: place.key.clone(),
            value: self.record.to_string(),
            metadata: self.metadata.clone(),
            revision: self.revision.clone(),
            expires_at: target.ticket.hard_end,
            dead: false,
        }
    }

    /// Judges a row that is not as expected. `revives` is as in [`Tried`].
    pub(crate) fn judge(
        &self,
        row: Option<&Row>,
        verdict: &Verdict,
        in_doubt: bool,
        revives: bool,
    ) -> Conflict {
        let tried = Tried {
            revision: &self.revision,
            version: self.envelope.version,
            in_doubt,
            revives,
        };
        judge_conflict(row.map(|row| &*row.revision), verdict, tried)
    }

    /// True if `row` is this one.
    pub(crate) fn is(&self, row: &Row) -> bool {
        row.revision == self.revision
    }

    /// The try to put it in the place of `row`.
    pub(crate) fn on(&self, row: &KnownRow) -> Try {
        Try {
            on: Rc::clone(&row.revision),
            revision: self.revision.as_str().into(),
            version: self.envelope.version,
        }
    }

    /// The result of the save, once the row is stored.
    pub(crate) fn saved(self, work: Work) -> Saved {
        let row = KnownRow {
            revision: self.revision.into(),
            record: self.record,
        };
        saved(work, self.envelope, row)
    }
}

impl Source {
    /// True if it is unknown whether the row that was found has the changes of a try: they may neither be
    /// made again nor left out.
    pub(crate) fn is_in_doubt(&self) -> bool {
        let row = self.in_store.row.as_ref();
        let fate = self
            .doubts
            .fate(row.map(|row| &*row.revision), Some(&self.base));
        matches!(fate, Fate::StoredBefore | Fate::Unknown)
    }
}

/// The row that the load read. Without it nothing can be saved.
pub(crate) fn known(row: Option<KnownRow>) -> Result<KnownRow, SessionError> {
    row.ok_or_else(|| refusal(ErrorCode::Unavailable))
}

/// The write that keeps the old record for requests with the old key.
pub(crate) fn leave_rotated(
    ctx: &Ctx,
    session: &PresentedSession,
    place: &Place,
    row: &KnownRow,
    revision: &str,
) -> Change {
    Change::Put {
        key: place.key.clone(),
        value: rotated(ctx.now(), &row.record),
        metadata: None,
        revision: revision.to_owned(),
        expires_at: session.identity.ticket.hard_end,
        dead: true,
    }
}

/// The result of a save that stored `row` with this record.
pub(crate) fn saved(work: Work, envelope: Envelope, row: KnownRow) -> Saved {
    Saved {
        identity: work.target,
        kind: work.kind,
        envelope,
        told: None,
        row: Some(row),
    }
}

impl KnownRow {
    /// The row of a live session; `None` for a tombstone.
    pub(crate) fn of(row: &Row) -> Option<Self> {
        Some(Self {
            record: RowValue::parse(&row.value).live()?.into(),
            revision: row.revision.as_str().into(),
        })
    }
}
