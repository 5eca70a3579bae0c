//! Saving. It does not read again: the changes are applied to the row that the load read, and put
//! if that row is unchanged.

use crate::flow::engine::Ctx;
use crate::flow::strong::ask::{Answered, in_doubt};
use crate::flow::strong::cycle::cycle;
use crate::flow::strong::draft::{Draft, Place, known, saved};
use crate::flow::strong::handover::ends_of_failed;
use crate::flow::strong::load::{has_expired, judge_row};
use crate::flow::strong::login::login;
use crate::flow::work::{Saved, Source, Work};
use crate::port::error::{ErrorCode, SessionError};
use crate::port::transaction::{Expected, Transaction};
use crate::protocol::strong::conflict::Conflict;
use crate::session::life::{KnownRow, SaveKind};
use crate::session::refusals::{expired, refusal};

/// Carries out `work`.
pub(crate) async fn perform(ctx: Ctx, mut work: Work) -> Result<Saved, SessionError> {
    let source = work.source.take();
    let is_over =
        |source: &Source| ctx.now() >= source.session.identity.ticket.end(ctx.config().age());
    if let Some(source) = &source
        && source.is_in_doubt()
    {
        return Err(in_doubt());
    }
    match (work.kind.clone(), source) {
        (SaveKind::Begin { owner: Some(owner) }, source) => login(&ctx, work, source, owner).await,
        (SaveKind::Save | SaveKind::Cycle { .. }, Some(source)) if is_over(&source) => {
            Err(expired())
        }
        (SaveKind::Save, Some(source)) => save(&ctx, work, source).await,
        (SaveKind::Cycle { .. }, Some(source)) => cycle(&ctx, work, source).await,
        (SaveKind::Begin { owner: None }, _) => begin(&ctx, work).await,
        // A session that did not exist is not saved.
        (SaveKind::Save | SaveKind::Cycle { .. }, None) => Err(refusal(ErrorCode::Unavailable)),
    }
}

/// Saves the next version of a session in its row.
async fn save(ctx: &Ctx, work: Work, source: Source) -> Result<Saved, SessionError> {
    let Source {
        session,
        mut base,
        in_store,
        doubts,
        ..
    } = source;
    let was_in_doubt = doubts.any();
    let place = Place::of(ctx, &session.identity);
    let mut expected = Some(known(in_store.row)?);
    let revives = work.expiry.is_some();
    let mut replays = 0;
    loop {
        let draft = Draft::of(ctx, &work, Some(base.clone()), base.bound.clone())?;
        let check = match &expected {
            Some(row) => Expected::revision(&*place.key, &*row.revision),
            None => Expected::absent(&*place.key),
        };
        let transaction = Transaction {
            shard: place.shard.clone(),
            checks: vec![check],
            writes: vec![draft.put(&place, &session.identity)],
        };
        // Whoever looks after a failure, or after this request was dropped, knows of it.
        if let Some(expected) = &expected {
            doubts.add(draft.on(expected));
        }
        let Answered::Conflict {
            mut rows,
            in_doubt: doubt,
        } = ctx.transact(transaction).await?
        else {
            return Ok(draft.saved(work));
        };
        if !doubt {
            doubts.forget(&draft.revision);
        }
        let row = rows.pop().flatten();
        let verdict = judge_row(ctx, &session, row.as_ref());
        let conflict = draft.judge(row.as_ref(), &verdict, doubt || was_in_doubt, revives);
        let found = row.as_ref().and_then(KnownRow::of);
        let record = verdict.envelope.or(verdict.ended);
        match (conflict, found, record) {
            (Conflict::Applied, Some(row), Some(record)) => return Ok(saved(work, record, row)),
            (Conflict::Applied, ..) => return Ok(draft.saved(work)),
            (Conflict::Refused(ErrorCode::Expired), ..) => return Err(expired()),
            (Conflict::Refused(_), None, _)
                if row.is_none() && mutant!(strong_gone_row_put_anew) =>
            {
                expected = None;
            }
            (Conflict::Refused(_), ..) if has_expired(ctx, &session, row.as_ref()) => {
                return Err(expired());
            }
            (Conflict::Refused(code), ..) => return Err(refusal(code)),
            (Conflict::InDoubt, ..) => return Err(in_doubt()),
            (Conflict::Replay, Some(row), Some(record)) => {
                // The found row contains everything that was loaded. A join would bring back keys
                // whose tombstones are gone.
                base = if mutant!(strong_conflict_joined) {
                    record.join(base)
                } else {
                    record
                };
                expected = Some(row);
            }
            (Conflict::Replay, ..) => return Err(refusal(ErrorCode::Unavailable)),
        }
        ctx.pause_or_give_up(&mut replays).await?;
    }
}

/// Saves the first version of an anonymous session, under a new key.
async fn begin(ctx: &Ctx, work: Work) -> Result<Saved, SessionError> {
    let place = Place::of(ctx, &work.target);
    let draft = Draft::of(ctx, &work, None, None)?;
    let mut writes = ends_of_failed(ctx, &work, &draft.revision);
    writes.push(draft.put(&place, &work.target));
    let transaction = Transaction {
        shard: place.shard.clone(),
        checks: vec![Expected::absent(&*place.key)],
        writes,
    };
    match ctx.transact(transaction).await? {
        Answered::Done => Ok(draft.saved(work)),
        Answered::Conflict { mut rows, .. } => {
            let row = rows.pop().flatten();
            if row.as_ref().is_some_and(|row| draft.is(row)) {
                return Ok(draft.saved(work));
            }
            Err(refusal(ErrorCode::Unavailable))
        }
    }
}
