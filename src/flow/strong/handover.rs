//! A session goes on in another row, perhaps of another shard: what it leaves behind is ended only
//! while it is as the new row was made from.

use crate::flow::engine::Ctx;
use crate::flow::strong::ask::{Answered, in_doubt};
use crate::flow::strong::draft::{Draft, Place, known, leave_rotated};
use crate::flow::strong::end::other_tags_of;
use crate::flow::strong::load::{death_of, judge_row, unseen};
use crate::flow::work::{Source, Work};
use crate::port::error::SessionError;
use crate::port::transaction::{Change, Expected, Transaction};
use crate::protocol::keys::Id;
use crate::protocol::outcome::Access;
use crate::protocol::record::Envelope;
use crate::protocol::strong::epoch::EPOCH_LIVES;
use crate::protocol::strong::place::rows_of_lineage;
use crate::protocol::strong::revision::revision;
use crate::protocol::strong::row::ended;
use crate::protocol::strong::walk::{MOVED, moved};
use crate::protocol::version::Version;
use crate::session::life::KnownRow;
use crate::session::presented::Identity;

/// What stands in the place of the session that was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leaves {
    /// The old record, readable for a while.
    Rotated,
    /// Nothing of the session, under any of its keys.
    Ended,
}

/// What became of it.
pub(crate) enum Handed {
    /// The session goes on as this says, and the old row is dead.
    Over(Draft),
    /// The old row had died already, as this error says.
    Died(Draft, SessionError),
}

/// Ends the row that `draft`, which stands in the target's row, was made from. What others have saved
/// there meanwhile is taken along.
pub(crate) async fn hand_over(
    ctx: &Ctx,
    work: &Work,
    source: &Source,
    mut draft: Draft,
    leaves: Leaves,
) -> Result<Handed, SessionError> {
    let session = &source.session;
    let here = Place::of(ctx, &session.identity);
    let moves = leaves == Leaves::Rotated && session.identity.key.owner.is_some();
    let mut expected = known(source.in_store.row.clone())?;
    let mut replays = 0;
    loop {
        let revision = revision(draft.envelope.version, ctx.random()?);
        let mut writes = Vec::with_capacity(2);
        writes.push(match leaves {
            Leaves::Rotated => leave_rotated(ctx, session, &here, &expected, &revision),
            Leaves::Ended => Change::Replace {
                prefix: rows_of_lineage(&session.identity.key),
                except: Vec::new(),
                value: ended(ctx.now(), &elsewhere_of(ctx, source)),
                revision: revision.clone(),
            },
        });
        // Whoever ends the owner's sessions may have been in the other shard already.
        if moves {
            writes.push(put_moved(ctx, source, &revision));
        }
        let mut checks = vec![Expected::revision(&*here.key, &*expected.revision)];
        if mutant!(strong_left_unchecked) {
            checks.clear();
        }
        let transaction = Transaction {
            shard: here.shard.clone(),
            checks,
            writes,
        };
        let Answered::Conflict { mut rows, .. } = ctx.transact(transaction).await? else {
            return Ok(Handed::Over(draft));
        };
        let row = rows.pop().flatten();
        if row.as_ref().is_some_and(|row| row.revision == revision) {
            return Ok(Handed::Over(draft));
        }
        let verdict = judge_row(ctx, session, row.as_ref());
        let found = row.as_ref().and_then(KnownRow::of);
        // Alive, it was not ended by a try whose answer was lost.
        let (Access::Live, Some(record), Some(found)) = (verdict.access, verdict.envelope, found)
        else {
            let error = death_of(ctx, session, row.as_ref());
            return Ok(Handed::Died(draft, error));
        };
        if source.in_store.in_doubt {
            return Err(in_doubt());
        }
        ctx.pause_or_give_up(&mut replays).await?;
        draft = put_again(ctx, work, record, draft).await?;
        expected = found;
    }
}

/// The change that tells whoever is ending sessions in one shard after another of a move. It stands
/// as long as what has moved can live.
fn put_moved(ctx: &Ctx, source: &Source, revision: &str) -> Change {
    let lives = ctx.config().age().max(EPOCH_LIVES);
    Change::Put {
        key: MOVED.to_owned(),
        value: moved(&elsewhere_of(ctx, source)),
        metadata: None,
        revision: revision.to_owned(),
        expires_at: ctx.now().saturating_add(lives),
    }
}

/// The tags under which the owner of `source` has other shards.
pub(crate) fn elsewhere_of(ctx: &Ctx, source: &Source) -> Vec<Id> {
    let bound = source.base.bound.as_ref();
    bound.map_or_else(Vec::new, |bound| {
        other_tags_of(ctx, &bound.owner, source.session.identity.key.owner)
    })
}

/// Puts the target's row anew, made from `record`.
async fn put_again(
    ctx: &Ctx,
    work: &Work,
    record: Envelope,
    before: Draft,
) -> Result<Draft, SessionError> {
    let there = Place::of(ctx, &work.target);
    let bound = before.envelope.bound.clone();
    let draft = Draft::of(ctx, work, Some(record), bound)?;
    let transaction = Transaction {
        shard: there.shard.clone(),
        checks: vec![Expected::revision(&*there.key, &*before.revision)],
        writes: vec![draft.put(&there, &work.target)],
    };
    match ctx.transact(transaction).await? {
        Answered::Done => Ok(draft),
        Answered::Conflict { mut rows, .. } => match rows.pop().flatten() {
            Some(row) if draft.is(&row) => Ok(draft),
            row => Err(death_of(ctx, &unseen(&work.target), row.as_ref())),
        },
    }
}

/// Ends what a login or a move had begun, and the browser will not get: whether or not its row is
/// there yet, since a put on its way must find one.
pub(crate) async fn take_back(ctx: &Ctx, target: &Identity) {
    if mutant!(strong_failed_login_stays) {
        return;
    }
    let there = Place::of(ctx, target);
    let Ok(dice) = ctx.random() else { return };
    let transaction = Transaction {
        shard: there.shard,
        checks: Vec::new(),
        writes: vec![Change::Put {
            key: there.key,
            value: ended(ctx.now(), &[]),
            metadata: None,
            revision: revision(Version::default(), dice),
            expires_at: target.ticket.hard_end,
        }],
    };
    // The request fails already. Where this does too, nobody has the key.
    let _ended = ctx.transact(transaction).await;
}
