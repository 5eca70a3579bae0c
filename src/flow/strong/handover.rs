//! A session continues in another row, perhaps in another shard. The old row is ended only if it is
//! still the one that the new row was made from.

use crate::flow::engine::Ctx;
use crate::flow::strong::ask::{Answered, in_doubt};
use crate::flow::strong::draft::{Draft, Place, known, leave_rotated};
use crate::flow::strong::end::{add_tags, other_tags_of};
use crate::flow::strong::load::{death_of, judge_row, unseen};
use crate::flow::work::{Source, Work};
use crate::port::error::SessionError;
use crate::port::strong::Row;
use crate::port::transaction::{Change, Expected, Transaction};
use crate::protocol::keys::Id;
use crate::protocol::outcome::Access;
use crate::protocol::record::Envelope;
use crate::protocol::strong::epoch::EPOCH_LIVES;
use crate::protocol::strong::place::rows_of_lineage;
use crate::protocol::strong::revision::revision;
use crate::protocol::strong::row::ended;
use crate::protocol::strong::walk::{MOVED, moved, moved_to};
use crate::protocol::version::Version;
use crate::session::life::KnownRow;
use crate::session::presented::Identity;

/// What replaces the old session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leaves {
    /// The old record, which stays readable for a while.
    Rotated,
    /// Nothing of the session is kept, under any of its keys.
    Ended,
}

/// The result of a handover.
pub(crate) enum Handed {
    /// The session continues like this, and the old row is dead.
    Over(Draft),
    /// The old row was already dead, for this reason.
    Died(Draft, SessionError),
}

/// Ends the row that `draft` was made from. `draft` is already stored in the target's row. Changes
/// that others have saved in the old row meanwhile are included.
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
    // The last move out of this shard, as far as it is known.
    let mut before: Option<Row> = None;
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
        // A call that ends the owner's sessions may have visited the other shard already.
        if moves {
            writes.push(put_moved(ctx, source, before.as_ref(), &revision));
        }
        let mut checks = vec![Expected::revision(&*here.key, &*expected.revision)];
        if mutant!(strong_left_unchecked) {
            checks.clear();
        } else if moves {
            checks.push(expected_move(before.as_ref()));
        }
        let transaction = Transaction {
            shard: here.shard.clone(),
            checks,
            writes,
        };
        let Answered::Conflict { rows, .. } = ctx.transact(transaction).await? else {
            return Ok(Handed::Over(draft));
        };
        let mut rows = rows.into_iter();
        let row = rows.next().flatten();
        before = rows.next().flatten();
        if row.as_ref().is_some_and(|row| row.revision == revision) {
            return Ok(Handed::Over(draft));
        }
        let verdict = judge_row(ctx, session, row.as_ref());
        let found = row.as_ref().and_then(KnownRow::of);
        // It is alive, so no try with a lost answer has ended it.
        let (Access::Live, Some(record), Some(found)) = (verdict.access, verdict.envelope, found)
        else {
            let error = death_of(ctx, session, row.as_ref());
            return Ok(Handed::Died(draft, error));
        };
        if found.revision == expected.revision {
            // Another session has moved out of this shard.
            ctx.pause_or_give_up(&mut replays).await?;
            continue;
        }
        if source.doubts.any() {
            return Err(in_doubt());
        }
        ctx.pause_or_give_up(&mut replays).await?;
        draft = put_again(ctx, work, record, draft).await?;
        expected = found;
    }
}

/// The write that records a move, for calls that end sessions in one shard after another. It lives
/// as long as the moved session can, and also names the shards of the moves `before`: their Worker may
/// have had other secrets.
fn put_moved(ctx: &Ctx, source: &Source, before: Option<&Row>, revision: &str) -> Change {
    let lives = ctx.config().age().max(EPOCH_LIVES);
    let mut elsewhere = elsewhere_of(ctx, source);
    let named = before.map(|row| moved_to(&row.value));
    let session = &source.session.identity.key;
    add_tags(&mut elsewhere, session, named.unwrap_or_default());
    Change::Put {
        key: MOVED.to_owned(),
        value: moved(&elsewhere),
        metadata: None,
        revision: revision.to_owned(),
        expires_at: ctx.now().saturating_add(lives),
        dead: false,
    }
}

fn expected_move(row: Option<&Row>) -> Expected {
    match row {
        None => Expected::absent(MOVED),
        Some(row) => Expected::revision(MOVED, &*row.revision),
    }
}

/// The tags of the other shards of the owner of `source`.
pub(crate) fn elsewhere_of(ctx: &Ctx, source: &Source) -> Vec<Id> {
    let bound = source.base.bound.as_ref();
    bound.map_or_else(Vec::new, |bound| {
        other_tags_of(ctx, &bound.owner, source.session.identity.key.owner)
    })
}

/// Puts the target's row again, made from `record`.
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

/// Ends a session that a login or move has started but that the browser will not get. The tombstone
/// is put even if its row does not exist yet, because a late put must find it.
pub(crate) async fn take_back(ctx: &Ctx, target: &Identity) {
    if mutant!(strong_failed_login_stays) {
        return;
    }
    let Ok(dice) = ctx.random() else { return };
    let revision = revision(Version::default(), dice);
    let transaction = Transaction {
        shard: Place::of(ctx, target).shard,
        checks: Vec::new(),
        writes: vec![end_of_failed(ctx, target, &revision)],
    };
    // The request fails anyway. If this fails too, nobody has the key.
    let _ended = ctx.transact(transaction).await;
}

/// The changes that end what earlier tries of `work` may have left, or may still leave, in the shard
/// of its target.
pub(crate) fn ends_of_failed(ctx: &Ctx, work: &Work, revision: &str) -> Vec<Change> {
    let failed = work.failed.iter();
    failed.map(|it| end_of_failed(ctx, it, revision)).collect()
}

fn end_of_failed(ctx: &Ctx, target: &Identity, revision: &str) -> Change {
    Change::Put {
        key: Place::of(ctx, target).key,
        value: ended(ctx.now(), &[]),
        metadata: None,
        revision: revision.to_owned(),
        expires_at: target.ticket.hard_end,
        dead: true,
    }
}
