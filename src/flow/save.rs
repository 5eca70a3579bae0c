//! Saving: join, change, put, then markers for what the new record replaces.
//!
//! A save is planned from plain values, carried out on owned ones, and applied when it is done, so
//! that no borrow lives across an await and the whole of it can be handed to `waitUntil`: a closed
//! tab must not cut a save in half.

use std::rc::Rc;

use crate::flow::engine::Ctx;
use crate::flow::freshness::Freshness;
use crate::flow::isolate::{FLIGHT, Remembered};
use crate::flow::load::{LoadedRecord, load_record, own_markers, read_owner_marker};
use crate::flow::markers::put_markers;
use crate::flow::work::{Saved, Source, Told, Work, overlay_fits, seal};
use crate::port::connector::{ConnectorError, ConnectorErrorKind, PutOptions};
use crate::port::error::{ErrorCode, SessionError};
use crate::protocol::keys::KeyParts;
use crate::protocol::list_metadata::list_metadata;
use crate::protocol::outcome::{Access, Outcome, REMOVED_ENTRY_WINDOWS};
use crate::protocol::record::{Bound, Envelope};
use crate::protocol::revocation::MARKER_MAX_TTL;
use crate::session::life::SaveKind;
use crate::session::marker_put::MarkerPut;
use crate::session::presented::Identity;
use crate::session::refusals::{expired, refusal};
use crate::session::retired::Retired;

/// Only a store that does not answer fails a login; what it answers about the session before does
/// not.
fn fails_login(error: &SessionError) -> bool {
    error.connector_error().is_some()
        || (mutant!(login_refused_at_commit) && error.code() != ErrorCode::Revoked)
}

/// Times that a record is put in all before the request gives up.
const PUTS: u32 = 3;

/// Carries `work` out.
pub(crate) async fn perform(ctx: Ctx, mut work: Work) -> Result<Saved, SessionError> {
    let source_key = work
        .source
        .as_ref()
        .map(|source| source.session.identity.key);
    let is_login = matches!(work.kind, SaveKind::Begin { owner: Some(_) });
    let mut base = match &work.source {
        Some(source) => match source.latest(&ctx, work.expiry.is_some()).await {
            // A login goes on with what this request holds, whatever has become of the session
            // that it comes from: a second click on "log in" finds it rotated by the first.
            Err(error) if is_login && !fails_login(&error) => {
                let identity = &source.session.identity;
                match error.code() {
                    // Put again, the grace of its old key would begin again.
                    ErrorCode::Rotated => work.retire.retain(Retired::is_ended),
                    // A rotation must not replace the revocation, which may not be stored yet.
                    ErrorCode::Revoked => {
                        work.retire = vec![Retired::Ended(identity.to_end())];
                    }
                    _ => {}
                }
                None
            }
            latest => Some(latest?),
        },
        None => None,
    };
    let bound = match &work.kind {
        SaveKind::Begin { owner: Some(owner) } => Some(bind(&ctx, &work.target, owner).await?),
        SaveKind::Begin { owner: None } => None,
        SaveKind::Save | SaveKind::Cycle { .. } => {
            base.as_ref().and_then(|base| base.bound.clone())
        }
    };
    let target_key = work.target.key;
    let storage_key = work.target.storage_key(ctx.config());
    if mutant!(rotation_marker_first) {
        let markers = work.retire.iter();
        let markers: Vec<_> = markers
            .flat_map(|it| MarkerPut::of(it, ctx.now()))
            .collect();
        put_markers(&ctx, &markers).await?;
    }
    let (mut puts, mut tries) = (0, 0);
    let saved = loop {
        // Every try is a new join: other requests of this isolate have gone on meanwhile.
        if let (Some(known), Some(key)) = (base.take(), &source_key) {
            base = Some(with_memory(&ctx, key, known));
        }
        // A put of this request that timed out may still arrive under the new key.
        let at_target = (Some(target_key) != source_key)
            .then(|| recalled(&ctx, &target_key))
            .flatten();
        let envelope = {
            let removed_for = ctx.config().window().saturating_mul(REMOVED_ENTRY_WINDOWS);
            work.next_version(&ctx, base.clone(), at_target, bound.clone(), removed_for)?
        };
        let text = seal(&ctx, &envelope, &work.target, &storage_key)?;
        let now = ctx.now();
        ctx.memory().put_began(&target_key, &envelope, now);
        puts += 1;
        let put = put_record(&ctx, &work.target, &storage_key, &envelope, &text).await;
        let now = ctx.now();
        let stored = match put {
            Ok(()) => {
                let overtaken = ctx.memory().put_acknowledged(&target_key, &envelope, now);
                let overtaken = overtaken && !mutant!(overtaken_put_forgotten);
                !overtaken || until_stored(&ctx, &work.target).await
            }
            // A key that the browser does not have yet must be in the store before it gets it.
            Err(error)
                if error.kind() == ConnectorErrorKind::RateLimited
                    && matches!(work.kind, SaveKind::Save)
                    && overlay_fits(ctx.config(), &text) =>
            {
                ctx.memory().put_rate_limited(&target_key, &envelope, now);
                until_stored(&ctx, &work.target).await
            }
            Err(_) if mutant!(cookie_before_put) && !matches!(work.kind, SaveKind::Save) => true,
            Err(error) if error.is_timeout() => {
                note_timeout(&ctx, &target_key, &envelope);
                return Err(error.into());
            }
            Err(error) => {
                ctx.memory().put_failed(&target_key, envelope.version, now);
                if error.kind() == ConnectorErrorKind::RateLimited
                    && puts < PUTS
                    && ctx.may_try_after(0)
                {
                    ctx.wait_for_next_write().await;
                } else {
                    ctx.wait_or_give_up(error, &mut tries).await?;
                }
                continue;
            }
        };
        let at_risk = ctx.memory().is_at_risk(&target_key, ctx.now());
        break Saved {
            identity: work.target,
            kind: work.kind,
            envelope,
            told: Some(Told {
                text,
                unstored: !stored || at_risk,
            }),
            row: None,
        };
    };
    // Only now: a crash in between leaves the old session valid, never none.
    // Their grace begins here, not when the request decided.
    let now = ctx.now();
    let is_to_do = |marker: &MarkerPut| !marker.is_revocation() || !marker.was_put(&ctx);
    let retire = work.retire.iter().flat_map(|it| MarkerPut::of(it, now));
    let retire: Vec<_> = retire
        .flat_map(|it| it.as_known(&ctx))
        .filter(is_to_do)
        .map(|marker| marker.at(now))
        .collect();
    put_markers(&ctx, &retire).await?;
    for marker in &retire {
        marker.note(&ctx);
    }
    Ok(saved)
}

/// Milliseconds between two looks at whether somebody else has put the record.
const CHECK_EVERY: u32 = 200;
/// Looks in all: about three seconds, beside the puts.
const CHECKS: u32 = 16;

/// Waits until the store holds all that this isolate has settled under `identity`'s key, putting
/// it when nobody else does; false where that has not come about in time.
///
/// The answer waits for this. A put after the answer could land on top of what the same browser
/// has saved since at another isolate, and nobody would know. One of a burst puts for all of them:
/// many would keep refusing each other.
async fn until_stored(ctx: &Ctx, identity: &Identity) -> bool {
    let key = &identity.key;
    ctx.wait_for_next_write().await;
    let (mut checks, mut puts) = (0, 0);
    while !ctx.memory().is_sure(key) {
        if puts >= PUTS || !ctx.may_try_after(0) {
            return false;
        }
        let now = ctx.now();
        let Remembered {
            settled,
            in_flight,
            awaited,
            ..
        } = ctx.memory().recall(key, now, ctx.config().window());
        let Some(newest) = settled else { return false };
        // One that is under way may land before this one or after it.
        let waited = checks >= CHECKS;
        if !waited && (awaited || !ctx.memory().claim_put_again(key, now)) {
            checks += 1;
            ctx.sleep(CHECK_EVERY).await;
            continue;
        }
        // Where one takes too long, this one goes with what that one holds: the store may have taken
        // it already. Whoever has set off sees for itself, when it lands, whether it lacks anything.
        let newest = if in_flight.is_empty() {
            newest
        } else {
            let Ok(writer) = ctx.random() else {
                return false;
            };
            // A version of its own: each of those holds less.
            let joined = in_flight.into_iter().fold(newest, Envelope::join);
            let version = joined.version.next(u32::from_be_bytes(writer));
            Envelope { version, ..joined }
        };
        puts += 1;
        let storage_key = identity.storage_key(ctx.config());
        let Ok(text) = seal(ctx, &newest, identity, &storage_key) else {
            return false;
        };
        ctx.memory().put_began(key, &newest, now);
        let put = put_record(ctx, identity, &storage_key, &newest, &text).await;
        let now = ctx.now();
        ctx.memory().release_put_again(key, now);
        match put {
            Ok(()) => {
                ctx.memory().put_acknowledged_alone(key, &newest, now);
                if waited {
                    return true;
                }
                // A save that set off meanwhile has had its answer: where the store took this put
                // on top of it, nobody else will put it again.
                if !ctx.memory().is_sure(key) {
                    ctx.wait_for_next_write().await;
                }
            }
            Err(error) if error.is_timeout() => {
                note_timeout(ctx, key, &newest);
                return false;
            }
            Err(error) => {
                ctx.memory().put_failed(key, newest.version, now);
                if puts >= PUTS {
                    return false;
                }
                match error.kind() {
                    ConnectorErrorKind::RateLimited => ctx.wait_for_next_write().await,
                    ConnectorErrorKind::Unavailable => ctx.back_off(puts).await,
                    _ => return false,
                }
            }
        }
    }
    true
}

/// The put of `envelope` was not answered: for as long as it may arrive, and from then on not be
/// seen, loads look whether it has replaced a later one.
fn note_timeout(ctx: &Ctx, key: &KeyParts, envelope: &Envelope) {
    let now = ctx.now();
    let until = now
        .saturating_add(FLIGHT)
        .saturating_add(ctx.config().window());
    ctx.memory()
        .put_timed_out(key, envelope.version, now, until);
}

/// `known` joined with what this isolate has saved of it, or is about to.
fn with_memory(ctx: &Ctx, key: &KeyParts, known: Envelope) -> Envelope {
    if mutant!(join_skipped) {
        return known;
    }
    recalled(ctx, key).into_iter().fold(known, Envelope::join)
}

/// What this isolate has saved under `key`, or is about to.
fn recalled(ctx: &Ctx, key: &KeyParts) -> Option<Envelope> {
    let Remembered {
        settled, in_flight, ..
    } = ctx.memory().recall(key, ctx.now(), ctx.config().window());
    settled.into_iter().chain(in_flight).reduce(Envelope::join)
}

async fn put_record(
    ctx: &Ctx,
    identity: &Identity,
    storage_key: &str,
    envelope: &Envelope,
    text: &str,
) -> Result<(), ConnectorError> {
    let now = ctx.now();
    let left = identity
        .ticket
        .hard_end
        .saturating_sub(now)
        .max(0)
        .saturating_add(999)
        / 1_000;
    let mut options = PutOptions::ttl(u32::try_from(left).unwrap_or(u32::MAX));
    if let Some(secret) = ctx.config().ring().find(identity.ticket.secret) {
        // Without randomness the record would not have been sealed either.
        let nonce = ctx.random().ok();
        options.metadata =
            nonce.and_then(|nonce| list_metadata(secret, nonce, envelope, storage_key));
    }
    ctx.put_once(storage_key, text, options).await
}

impl Source {
    /// The session as it stands now, joined with what this request knows of it.
    async fn latest(&self, ctx: &Ctx, revives: bool) -> Result<Envelope, SessionError> {
        let now = ctx.now();
        if now >= self.session.identity.ticket.end(ctx.config().age()) {
            return Err(expired());
        }
        // What this isolate has ended since is known without asking.
        let bound_at = self.base.bound.as_ref().map(|bound| bound.at);
        let markers = own_markers(ctx, &self.session, now);
        if let Some(marker) = markers.death(self.session.identity.key.lineage, bound_at) {
            return Err(refusal(marker.death.code()));
        }
        if !self.load_again || mutant!(reread_skipped) {
            return Ok(self.base.clone());
        }
        let session = Rc::clone(&self.session);
        let LoadedRecord { verdict, .. } = load_record(ctx, session, Freshness::Store).await?;
        match (verdict.access, verdict.outcome) {
            (Access::Live, _) => {}
            (Access::ReadOnly(code) | Access::Closed(code), _) => return Err(refusal(code)),
            (Access::Empty | Access::Detached, Outcome::Revoked) => {
                return Err(refusal(ErrorCode::Revoked));
            }
            (Access::Empty | Access::Detached, Outcome::Rotated) => {
                return Err(refusal(ErrorCode::Rotated));
            }
            // Its end passed while this request held it: a new end, set here, revives it.
            (Access::Empty | Access::Detached, Outcome::Expired) if revives => {}
            (Access::Empty | Access::Detached, Outcome::Expired) => return Err(expired()),
            // It was there a moment ago, so what is missing or damaged now is the store's.
            (Access::Empty | Access::Detached, _) => return Err(refusal(ErrorCode::Unavailable)),
        }
        let base = self.base.clone();
        Ok(match verdict.envelope.or(verdict.ended) {
            // By now the store shows all that was known then, and may have forgotten that
            // something of it was removed.
            Some(found) if now >= self.base_at.saturating_add(ctx.config().window()) => found,
            Some(found) => found.join(base),
            None => base,
        })
    }
}

/// Whose the session is from now on: after every instant at which the owner's sessions were ended.
async fn bind(ctx: &Ctx, target: &Identity, owner: &Rc<str>) -> Result<Bound, SessionError> {
    let mut at = ctx.now();
    if let Some(tag) = target.ticket.owner {
        let own = ctx.memory().owner(tag, at);
        let is_unsure = ctx.memory().is_owner_unsure(tag, at);
        let name = ctx.config().names().owner(tag);
        // After an end to all sessions in this request there is nothing new to read.
        let stored = if own.is_some() && ctx.memory().was_owner_put(tag, at) && !is_unsure {
            None
        } else {
            let options = Freshness::Store.options(ctx.config());
            let stored = ctx.read(&[&name], options).await?.pop().flatten();
            stored.map(|text| read_owner_marker(&text)).transpose()?
        };
        if let Some(own) = own.as_ref().filter(|_| is_unsure)
            && own.is_later_than(stored.as_ref())
        {
            // An older put has replaced it. A login does not fail for what came before it.
            let options = PutOptions::ttl(MARKER_MAX_TTL);
            let _put = ctx.put_once(&name, &own.encode(), options).await;
        }
        for marker in stored.into_iter().chain(own) {
            if mutant!(bound_at_not_raised) {
                break;
            }
            at = at.max(marker.at.saturating_add(1));
        }
    }
    Ok(Bound {
        owner: Rc::clone(owner),
        at,
    })
}
