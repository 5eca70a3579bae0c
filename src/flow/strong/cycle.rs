//! A new key for a session.
//!
//! Within one shard this is one transaction, and of two at the same time one wins. Under another
//! secret an owner has another shard: then the session moves, as with a login, and a session that
//! died meanwhile does not continue.

use crate::flow::engine::Ctx;
use crate::flow::strong::ask::{Answered, in_doubt};
use crate::flow::strong::draft::{Draft, Place, known, leave_rotated};
use crate::flow::strong::handover::{Handed, Leaves, ends_of_failed, hand_over, take_back};
use crate::flow::strong::load::{death_of, has_expired, judge_row, unseen};
use crate::flow::work::{Saved, Source, Work};
use crate::port::error::{ErrorCode, SessionError};
use crate::port::strong::Row;
use crate::port::transaction::{Expected, Transaction};
use crate::protocol::strong::conflict::Conflict;
use crate::session::life::KnownRow;
use crate::session::refusals::{expired, refusal};

/// Puts the session of `source` under the new key of `work`.
pub(crate) async fn cycle(ctx: &Ctx, work: Work, source: Source) -> Result<Saved, SessionError> {
    let here = Place::of(ctx, &source.session.identity);
    let there = Place::of(ctx, &work.target);
    if here.shard == there.shard {
        cycle_here(ctx, work, source, here, there).await
    } else {
        move_there(ctx, work, source, there).await
    }
}

async fn cycle_here(
    ctx: &Ctx,
    work: Work,
    source: Source,
    here: Place,
    there: Place,
) -> Result<Saved, SessionError> {
    let Source {
        session,
        mut base,
        in_store,
        doubts,
        ..
    } = source;
    let mut expected = known(in_store.row)?;
    let revives = work.expiry.is_some();
    let mut replays = 0;
    loop {
        let draft = Draft::of(ctx, &work, Some(base.clone()), base.bound.clone())?;
        let mut checks = vec![
            Expected::absent(&*there.key),
            Expected::revision(&*here.key, &*expected.revision),
        ];
        if mutant!(strong_cycle_unchecked) {
            checks.truncate(1);
        }
        let transaction = Transaction {
            shard: here.shard.clone(),
            checks,
            writes: vec![
                draft.put(&there, &work.target),
                leave_rotated(ctx, &session, &here, &expected, &draft.revision),
            ],
        };
        let Answered::Conflict { rows, .. } = ctx.transact(transaction).await? else {
            return Ok(draft.saved(work));
        };
        let [new, old] = two(rows);
        if let Some(new) = new {
            if draft.is(&new) {
                return Ok(draft.saved(work));
            }
            // It was applied, and the session was ended since.
            return Err(death_of(ctx, &unseen(&work.target), Some(&new)));
        }
        // A row cannot vanish. If the new row is missing, nothing was applied, except an earlier
        // save.
        let verdict = judge_row(ctx, &session, old.as_ref());
        let conflict = draft.judge(old.as_ref(), &verdict, doubts.any(), revives);
        let found = old.as_ref().and_then(KnownRow::of);
        match (conflict, found, verdict.envelope.or(verdict.ended)) {
            (Conflict::Replay, Some(row), Some(record)) => (base, expected) = (record, row),
            (Conflict::InDoubt, ..) => return Err(in_doubt()),
            // By an earlier try of this request, it may be.
            (Conflict::Refused(ErrorCode::Rotated), ..) if !work.failed.is_empty() => {
                return Err(in_doubt());
            }
            (Conflict::Refused(ErrorCode::Expired), ..) => return Err(expired()),
            (Conflict::Refused(_), ..) if has_expired(ctx, &session, old.as_ref()) => {
                return Err(expired());
            }
            (Conflict::Refused(code), ..) => return Err(refusal(code)),
            _ => return Err(refusal(ErrorCode::Unavailable)),
        }
        ctx.pause_or_give_up(&mut replays).await?;
    }
}

/// Puts the new row first, then changes the old one. If this is interrupted in between, the old one
/// stays alive.
async fn move_there(
    ctx: &Ctx,
    work: Work,
    source: Source,
    there: Place,
) -> Result<Saved, SessionError> {
    let bound = source.base.bound.clone();
    let draft = Draft::of(ctx, &work, Some(source.base.clone()), bound)?;
    let mut writes = ends_of_failed(ctx, &work, &draft.revision);
    writes.push(draft.put(&there, &work.target));
    let transaction = Transaction {
        shard: there.shard.clone(),
        checks: vec![Expected::absent(&*there.key)],
        writes,
    };
    let result = match ctx.transact(transaction).await {
        Ok(Answered::Done) => Ok(()),
        Ok(Answered::Conflict { mut rows, .. }) => match rows.pop().flatten() {
            Some(row) if draft.is(&row) => Ok(()),
            row => return Err(death_of(ctx, &unseen(&work.target), row.as_ref())),
        },
        Err(error) => Err(error),
    };
    let handed = match result {
        Ok(()) => hand_over(ctx, &work, &source, draft, Leaves::Rotated).await,
        Err(error) => Err(error),
    };
    match handed {
        Ok(Handed::Over(draft)) => Ok(draft.saved(work)),
        Ok(Handed::Died(draft, _)) if mutant!(strong_dead_session_moves) => Ok(draft.saved(work)),
        Ok(Handed::Died(_, error)) | Err(error) => {
            take_back(ctx, &work.target).await;
            Err(error)
        }
    }
}

fn two(rows: Vec<Option<Row>>) -> [Option<Row>; 2] {
    let mut rows = rows.into_iter();
    [rows.next().flatten(), rows.next().flatten()]
}
