//! Loading: one row.

use std::rc::Rc;

use crate::flow::engine::Ctx;
use crate::flow::load::LoadedRecord;
use crate::flow::stats::Count;
use crate::flow::strong::draft::Place;
use crate::port::error::{ErrorCode, SessionError};
use crate::port::strong::Row;
use crate::port::time::seconds;
use crate::protocol::outcome::{Access, LoadInput, Outcome, Verdict, judge};
use crate::protocol::revocation::CLOCK_SKEW;
use crate::protocol::strong::GRACE;
use crate::protocol::strong::row::RowContent;
use crate::session::life::{InStore, KnownRow};
use crate::session::presented::{Identity, PresentedSession};
use crate::session::refusals::{expired, refusal};

/// Loads a session.
pub(crate) async fn load_record(
    ctx: &Ctx,
    session: &PresentedSession,
) -> Result<LoadedRecord, SessionError> {
    let place = Place::of(ctx, &session.identity);
    let asked_at = ctx.now();
    let row = ctx.read_row(&place.shard, &place.key).await?;
    ctx.count(Count::StoreLoads);
    Ok(LoadedRecord {
        verdict: judge_row(ctx, session, row.as_ref()),
        at: ctx.now(),
        asked_at: Some(asked_at),
        in_store: InStore {
            row: row.as_ref().and_then(KnownRow::of),
            ..InStore::default()
        },
    })
}

/// Loads several sessions.
pub(crate) async fn load_among(
    ctx: &Ctx,
    rivals: &[Rc<PresentedSession>],
) -> Result<Vec<LoadedRecord>, SessionError> {
    let mut records = Vec::with_capacity(rivals.len());
    for session in rivals {
        records.push(load_record(ctx, session).await?);
    }
    Ok(records)
}

/// Judges the row of a session. Here every stored write is visible, and no read is outdated.
pub(crate) fn judge_row(ctx: &Ctx, session: &PresentedSession, row: Option<&Row>) -> Verdict {
    let config = ctx.config();
    let (ticket, keys) = (&session.identity.ticket, &session.identity.keys);
    let place = Place::of(ctx, &session.identity);
    let sealed = config.settings().seal();
    let value = row.map(|row| &*row.value);
    let RowContent { markers, record } = RowContent::open(value, &keys.record, &place.key, sealed);
    let now = ctx.now();
    judge(LoadInput {
        now,
        asked_at: now,
        window: if mutant!(strong_grace_never_ends) {
            i64::MAX / 2
        } else {
            GRACE
        },
        idle: seconds(config.settings().idle_timeout()),
        lineage: ticket.lineage,
        // A missing row is gone, however young the session is.
        minted_at: if mutant!(strong_absence_is_pending) {
            ticket.minted_at
        } else {
            i64::MIN
        },
        end: ticket.end(config.age()),
        markers,
        stored: record,
        known: [None, None],
        fresh: None,
        seen: session.seen,
    })
}

/// The error code of a save for a row that is dead or missing.
pub(crate) fn death_of(ctx: &Ctx, session: &PresentedSession, row: Option<&Row>) -> SessionError {
    if has_expired(ctx, session, row) {
        return expired();
    }
    let verdict = judge_row(ctx, session, row);
    match (verdict.access, verdict.outcome) {
        (Access::ReadOnly(code) | Access::Closed(code), _) => refusal(code),
        (_, Outcome::Revoked) => refusal(ErrorCode::Revoked),
        (_, Outcome::Rotated) => refusal(ErrorCode::Rotated),
        (_, Outcome::Expired) => expired(),
        _ => refusal(ErrorCode::Unavailable),
    }
}

/// Whether a row that is missing is so because its session has come to its hard end, by the store's
/// clock, which may be ahead.
pub(crate) fn has_expired(ctx: &Ctx, session: &PresentedSession, row: Option<&Row>) -> bool {
    row.is_none() && ctx.now().saturating_add(CLOCK_SKEW) >= session.identity.ticket.hard_end
}

/// A session as its row shows it.
pub(crate) fn unseen(identity: &Identity) -> PresentedSession {
    PresentedSession {
        identity: identity.clone(),
        seen: None,
        fresh: None,
    }
}
