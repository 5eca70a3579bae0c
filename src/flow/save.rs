//! Saving: join, change, put, then the markers for what the new record replaces.
//!
//! A save is planned from plain values, carried out on owned ones, and applied when it is done. So
//! no borrow lives across an await, and the whole save can be passed to `waitUntil`: a closed tab
//! must not interrupt it.

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

/// A login fails only if the store does not answer, not because of the state of the previous
/// session.
fn fails_login(error: &SessionError) -> bool {
    error.connector_error().is_some()
        || (mutant!(login_refused_at_commit) && error.code() != ErrorCode::Revoked)
}

/// After this many puts of a record, an answer that the store limits the rate is final.
const PUTS: u32 = 3;

/// Carries out `work`.
pub(crate) async fn perform(ctx: Ctx, mut work: Work) -> Result<Saved, SessionError> {
    let source_key = work
        .source
        .as_ref()
        .map(|source| source.session.identity.key);
    let is_login = matches!(work.kind, SaveKind::Begin { owner: Some(_) });
    let mut base = match &work.source {
        Some(source) => match source.latest(&ctx, work.expiry.is_some()).await {
            // A login continues with the data of this request, whatever has happened to the
            // previous session: a second click on "log in" finds it rotated by the first.
            Err(error) if is_login && !fails_login(&error) => {
                let identity = &source.session.identity;
                match error.code() {
                    // Putting the rotation again would restart the grace period of the old key.
                    ErrorCode::Rotated => work.retire.retain(Retired::is_ended),
                    // A rotation must not replace the revocation, which may not be stored yet.
                    ErrorCode::Revoked => {
                        let lineage = identity.key.lineage;
                        work.retire.retain(|it| matches!(it, Retired::Ended(other) if other.stone.lineage != lineage));
                        work.retire.push(Retired::Ended(identity.to_end()));
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
        // Join again for every try, because other requests of this isolate have continued
        // meanwhile.
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
                let unsure = ctx.memory().put_acknowledged(&target_key, &envelope, now);
                let unsure = unsure && !mutant!(overtaken_put_forgotten);
                !unsure || until_stored(&ctx, &work.target, &envelope).await
            }
            // A new key must be in the store before the browser gets it.
            Err(error)
                if error.kind() == ConnectorErrorKind::RateLimited
                    && matches!(work.kind, SaveKind::Save)
                    && overlay_fits(ctx.config(), &text) =>
            {
                ctx.memory().put_rate_limited(&target_key, &envelope, now);
                until_stored(&ctx, &work.target, &envelope).await
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
        let unstored = !stored || at_risk;
        let told = told(&ctx, &work.target, &envelope, text, unstored)?;
        if !stored && !overlay_fits(ctx.config(), &told.text) {
            // Nothing carries it to the next request.
            let message = "other saves of this session were accepted at the same time, and the store did not \
                           accept them joined";
            return Err(ConnectorError::new(ConnectorErrorKind::RateLimited, message).into());
        }
        break Saved {
            identity: work.target,
            kind: work.kind,
            envelope,
            told: Some(told),
            row: None,
        };
    };
    // Put the markers last: a crash in between then leaves the old session valid. Their grace
    // period starts here, not when the request decided.
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

/// What the response says was saved: `envelope`, whose text was put, or what this isolate has saved under
/// its key since, if that contains it. In a burst of saves the response that comes last is seldom that of
/// the last save. What is `unstored` must fit into the browser's cookie.
fn told(
    ctx: &Ctx,
    identity: &Identity,
    envelope: &Envelope,
    text: String,
    unstored: bool,
) -> Result<Told, SessionError> {
    let own = Told {
        text,
        version: envelope.version,
        unstored,
    };
    let now = ctx.now();
    let window = ctx.config().window();
    let Remembered { settled, .. } = ctx.memory().recall(&identity.key, now, window);
    let horizon = now.saturating_sub(window.saturating_mul(REMOVED_ENTRY_WINDOWS));
    let is_newer = |it: &Envelope| it.version > envelope.version && it.contains(envelope, horizon);
    let Some(newer) = settled.filter(is_newer) else {
        return Ok(own);
    };
    // As in `until_stored`: what no store has under this version needs one of its own.
    let newer = match (unstored, ctx.random()) {
        (false, _) => newer,
        (true, Ok(writer)) => Envelope {
            version: newer.version.next(u32::from_be_bytes(writer)),
            ..newer
        },
        (true, Err(_)) => return Ok(own),
    };
    let text = seal(ctx, &newer, identity, &identity.storage_key(ctx.config()))?;
    if unstored && !overlay_fits(ctx.config(), &text) {
        return Ok(own);
    }
    Ok(Told {
        text,
        version: newer.version,
        unstored,
    })
}

/// The pause between two checks whether another request has put the record, in milliseconds.
const CHECK_EVERY: u32 = 200;
/// The number of checks: about three seconds, besides the puts.
const CHECKS: u32 = 16;
/// The most puts for other requests, whose saves may overlap each of them.
const PUTS_AGAIN: u32 = 6;

/// Waits until the store has the whole settled record of `identity`'s key, and puts it if no other
/// request does. Returns false if that does not happen in time.
///
/// The response waits for this. A put after the response could replace what the same browser has
/// saved since in another isolate, and nobody would notice. In a burst, one request puts for all:
/// many would keep running into the rate limit.
async fn until_stored(ctx: &Ctx, identity: &Identity, saved: &Envelope) -> bool {
    let key = &identity.key;
    if ctx.memory().is_lacking(key) {
        ctx.wait_for_next_write().await;
    }
    let (mut checks, mut puts, mut failures) = (0, 0, 0);
    let mut has_failed = false;
    loop {
        match ctx.memory().is_sure(key, saved, ctx.now()) {
            Some(true) => return true,
            Some(false) => {}
            // What is known now may be older.
            None => return false,
        }
        // Another request may rely on this one: the last put of this request may have replaced its
        // save, which has been acknowledged since. So time runs out only after a failed put.
        if puts >= PUTS_AGAIN || (has_failed && !ctx.may_try_after(0)) {
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
        // A put in flight may be applied before this one or after it.
        let waited = checks >= CHECKS;
        if !waited && (awaited || !ctx.memory().claim_put_again(key, now)) {
            checks += 1;
            ctx.sleep(CHECK_EVERY).await;
            continue;
        }
        let Ok(writer) = ctx.random() else {
            return false;
        };
        // If a put takes too long, include its content, because the store may have applied it
        // already. When that put is answered, its own request checks whether it lacks anything.
        let joined = in_flight.into_iter().fold(newest, Envelope::join);
        // It contains more than each of the records that it joins, so it needs a version of its own:
        // another isolate may have stored less under one of theirs.
        let version = joined.version.next(u32::from_be_bytes(writer));
        let newest = Envelope { version, ..joined };
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
                has_failed = false;
                ctx.memory().put_acknowledged_alone(key, &newest, now);
                if waited {
                    return true;
                }
                // A save that started meanwhile may have been acknowledged. If this put replaced
                // it, no other request will put it again.
                if ctx.memory().is_lacking(key) {
                    ctx.wait_for_next_write().await;
                }
            }
            Err(error) if error.is_timeout() => {
                note_timeout(ctx, key, &newest);
                return false;
            }
            Err(error) => {
                ctx.memory().put_failed(key, newest.version, now);
                has_failed = true;
                failures += 1;
                if failures >= PUTS {
                    return false;
                }
                match error.kind() {
                    ConnectorErrorKind::RateLimited => ctx.wait_for_next_write().await,
                    ConnectorErrorKind::Unavailable => ctx.back_off(failures).await,
                    _ => return false,
                }
            }
        }
    }
}

/// The put of `envelope` was not answered. As long as it may still arrive and become visible, loads
/// check whether it has replaced a later one.
fn note_timeout(ctx: &Ctx, key: &KeyParts, envelope: &Envelope) {
    let now = ctx.now();
    let until = now
        .saturating_add(FLIGHT)
        .saturating_add(ctx.config().window());
    ctx.memory()
        .put_timed_out(key, envelope.version, now, until);
}

/// `known` joined with the records that this isolate has saved or is saving.
fn with_memory(ctx: &Ctx, key: &KeyParts, known: Envelope) -> Envelope {
    if mutant!(join_skipped) {
        return known;
    }
    recalled(ctx, key).into_iter().fold(known, Envelope::join)
}

/// The join of the records that this isolate has saved or is saving under `key`.
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
        // Without randomness the record would not have been sealed.
        let nonce = ctx.random().ok();
        options.metadata =
            nonce.and_then(|nonce| list_metadata(secret, nonce, envelope, storage_key));
    }
    ctx.put_once(storage_key, text, options).await
}

impl Source {
    /// The current session, joined with what this request knows.
    async fn latest(&self, ctx: &Ctx, revives: bool) -> Result<Envelope, SessionError> {
        let now = ctx.now();
        if now >= self.session.identity.ticket.end(ctx.config().age()) {
            return Err(expired());
        }
        // If this isolate has ended the session since, no read is needed.
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
            // Its end passed during this request, and the request has set a new end.
            (Access::Empty | Access::Detached, Outcome::Expired) if revives => {}
            (Access::Empty | Access::Detached, Outcome::Expired) => return Err(expired()),
            // It existed a moment ago, so the store has failed.
            (Access::Empty | Access::Detached, _) => return Err(refusal(ErrorCode::Unavailable)),
        }
        let base = self.base.clone();
        Ok(match verdict.envelope.or(verdict.ended) {
            // By now the store shows everything that was known then, and tombstones of removed keys
            // may be gone. So the old copy is not joined.
            Some(found) if now >= self.base_at.saturating_add(ctx.config().window()) => found,
            Some(found) => found.join(base),
            None => base,
        })
    }
}

/// The new binding of the session. It is later than every end of all the owner's sessions.
async fn bind(ctx: &Ctx, target: &Identity, owner: &Rc<str>) -> Result<Bound, SessionError> {
    let mut at = ctx.now();
    if let Some(tag) = target.ticket.owner {
        let own = ctx.memory().owner(tag, at);
        let is_unsure = ctx.memory().is_owner_unsure(tag, at);
        let name = ctx.config().names().owner(tag);
        // After `revoke_all` in this request there is nothing new to read.
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
            // An older put has replaced it. The login does not fail if this put fails.
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
