//! Saving: join, change, put, then markers for what the new record replaces.
//!
//! A save is planned from plain values, carried out on owned ones, and applied when it is done, so
//! that no borrow lives across an await and the whole of it can be handed to `waitUntil`: a closed
//! tab must not cut a save in half.

use std::rc::Rc;

use crate::flow::engine::{Ctx, Flow};
use crate::flow::freshness::Freshness;
use crate::flow::isolate::{FLIGHT, Remembered};
use crate::flow::load::{LoadedRecord, load_record, own_markers, read_owner_marker};
use crate::flow::markers::put_markers;
use crate::flow::shared::Shared;
use crate::port::connector::{ConnectorError, ConnectorErrorKind, PutOptions};
use crate::port::error::{ErrorCode, SessionError};
use crate::protocol::config::Config;
use crate::protocol::cookie::CookieKind;
use crate::protocol::data::Data;
use crate::protocol::expiry::{Limits, OwnLimits};
use crate::protocol::keys::KeyParts;
use crate::protocol::list_metadata::list_metadata;
use crate::protocol::outcome::{Access, Outcome, REMOVED_ENTRY_WINDOWS};
use crate::protocol::record::{Bound, Device, Envelope};
use crate::protocol::revocation::MARKER_MAX_TTL;
use crate::protocol::ticket::{FRESH_COOKIE_OVERLAY_MAX, Fresh};
use crate::protocol::version::Version;
use crate::session::life::Step;
use crate::session::marker_put::MarkerPut;
use crate::session::presented::{Identity, PresentedSession};
use crate::session::refusals::{expired, refusal};

/// Everything that one save needs, owned.
pub(crate) struct Work {
    /// The session that the data comes from.
    pub(crate) source: Option<Source>,
    /// The session that the data goes to.
    pub(crate) target: Identity,
    pub(crate) step: Step,
    /// The dictionary as this request sees it, with what is pending.
    pub(crate) data: Data,
    /// An end that this request has set.
    pub(crate) expiry: Option<OwnLimits>,
    /// Limits that a login takes over where the store does not tell later ones.
    pub(crate) kept: OwnLimits,
    pub(crate) device: Device,
    /// Markers to put when the new record stands.
    pub(crate) retire: Vec<MarkerPut>,
}

/// A session that is there already.
pub(crate) struct Source {
    pub(crate) held: Rc<PresentedSession>,
    /// What this request knows of it.
    pub(crate) base: Envelope,
    /// Since when.
    pub(crate) base_at: i64,
    /// Whether that is old enough to look again.
    pub(crate) load_again: bool,
}

/// A save that is done.
pub(crate) struct Saved {
    pub(crate) identity: Identity,
    pub(crate) step: Step,
    pub(crate) envelope: Envelope,
    /// The record's text as it was put.
    pub(crate) text: String,
    /// The store kept asking for a pause, or an earlier put that timed out may replace this one: a
    /// request of the browser that finds the store behind puts it again.
    pub(crate) unstored: bool,
}

/// Only a store that does not answer fails a login; what it answers about the session before does
/// not.
fn fails_login(error: &SessionError) -> bool {
    error.connector_error().is_some()
        || (mutant!(login_refused_at_commit) && error.code() != ErrorCode::Revoked)
}

/// Times that a record is put in all before the request gives up.
const PUTS: u32 = 3;

impl Shared {
    /// The flow that carries `work` out.
    pub(crate) fn begin_save(self: &Rc<Self>, work: Work) -> Flow<Saved> {
        Flow::new(self, |ctx| perform(ctx, work))
    }
}

/// Carries `work` out.
async fn perform(ctx: Ctx, mut work: Work) -> Result<Saved, SessionError> {
    let source_key = work.source.as_ref().map(|source| source.held.identity.key);
    let is_login = matches!(work.step, Step::Begin { owner: Some(_) });
    let mut base = match &work.source {
        Some(source) => match source.latest(&ctx, work.expiry.is_some()).await {
            // A login goes on with what this request holds, whatever has become of the session
            // that it comes from: a second click on "log in" finds it rotated by the first.
            Err(error) if is_login && !fails_login(&error) => {
                let identity = &source.held.identity;
                match error.code() {
                    // Put again, the grace of its old key would begin again.
                    ErrorCode::Rotated => work.retire.retain(MarkerPut::is_revocation),
                    // A rotation must not replace the revocation, which may not be stored yet.
                    ErrorCode::Revoked => {
                        let end = Some(identity.ticket.hard_end);
                        work.retire = MarkerPut::revoked(&identity.key, end, ctx.now());
                    }
                    _ => {}
                }
                None
            }
            latest => Some(latest?),
        },
        None => None,
    };
    let bound = match &work.step {
        Step::Begin { owner: Some(owner) } => Some(bind(&ctx, &work.target, owner).await?),
        Step::Begin { owner: None } => None,
        Step::Save | Step::Cycle { .. } => base.as_ref().and_then(|base| base.bound.clone()),
    };
    let target_key = work.target.key;
    let storage_key = work.target.storage_key(ctx.config());
    if mutant!(rotation_marker_first) {
        put_markers(&ctx, &work.retire).await?;
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
        let envelope = work.next_version(&ctx, base.clone(), at_target, bound.clone())?;
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
                    && matches!(work.step, Step::Save)
                    && overlay_fits(ctx.config(), &text) =>
            {
                ctx.memory().put_rate_limited(&target_key, &envelope, now);
                until_stored(&ctx, &work.target).await
            }
            Err(_) if mutant!(cookie_before_put) && !matches!(work.step, Step::Save) => true,
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
            step: work.step,
            envelope,
            text,
            unstored: !stored || at_risk,
        };
    };
    // Only now: a crash in between leaves the old session valid, never none.
    // Their grace begins here, not when the request decided.
    let now = ctx.now();
    let is_to_do = |marker: &MarkerPut| !marker.is_revocation() || !marker.was_put(&ctx);
    let retire = work.retire.iter().flat_map(|it| it.as_known(&ctx));
    let retire: Vec<_> = retire
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
const LOOK_EVERY: u32 = 200;
/// Looks in all: about three seconds, beside the puts.
const LOOKS: u32 = 16;

/// Waits until the store holds all that this isolate has settled under `identity`'s key, putting
/// it when nobody else does; false where that has not come about in time.
///
/// The answer waits for this. A put after the answer could land on top of what the same browser
/// has saved since at another isolate, and nobody would know. One of a burst puts for all of them:
/// many would keep refusing each other.
async fn until_stored(ctx: &Ctx, identity: &Identity) -> bool {
    let key = &identity.key;
    ctx.wait_for_next_write().await;
    let (mut looks, mut puts) = (0, 0);
    while !ctx.memory().is_sure(key) {
        if puts >= PUTS || !ctx.may_try_after(0) {
            return false;
        }
        let now = ctx.now();
        let Remembered {
            settled,
            flying,
            awaited,
            ..
        } = ctx.memory().recall(key, now, ctx.config().window());
        let Some(newest) = settled else { return false };
        // One that is under way may land before this one or after it.
        let waited = looks >= LOOKS;
        if !waited && (awaited || !ctx.memory().claim_put_again(key, now)) {
            looks += 1;
            ctx.sleep(LOOK_EVERY).await;
            continue;
        }
        // Where one takes too long, this one goes with what that one holds: the store may have taken
        // it already. Whoever has set off sees for itself, when it lands, whether it lacks anything.
        let newest = if flying.is_empty() {
            newest
        } else {
            let Ok(writer) = ctx.random() else {
                return false;
            };
            // A version of its own: each of those holds less.
            let joined = flying.into_iter().fold(newest, Envelope::join);
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
        settled, flying, ..
    } = ctx.memory().recall(key, ctx.now(), ctx.config().window());
    settled.into_iter().chain(flying).reduce(Envelope::join)
}

impl Work {
    /// The record to put: what is known, with the changes of this request. `at_target` is what may
    /// stand under a new key already.
    fn next_version(
        &self,
        ctx: &Ctx,
        base: Option<Envelope>,
        at_target: Option<Envelope>,
        bound: Option<Bound>,
    ) -> Result<Envelope, SessionError> {
        let now = ctx.now();
        let mut carried = None;
        let mut envelope = match (base, &self.step) {
            (Some(base), Step::Save | Step::Cycle { .. }) => {
                let base = at_target.into_iter().fold(base, Envelope::join);
                let data = self.data.replay_onto(base.data.clone());
                Envelope { data, ..base }
            }
            (base, _) => {
                let kept = base.as_ref().map_or(self.kept, |base| base.expiry);
                // Said of what a try of this save may have left under the new key, too.
                let kept = self.unless_passed(ctx, kept);
                carried = (kept != OwnLimits::default() || at_target.is_some()).then_some(kept);
                let mut data = match base {
                    Some(base) => self.data.replay_onto(base.data),
                    None => self.data.clone(),
                };
                data.restart();
                let mut envelope = Envelope::begin(now, self.target.ticket.hard_end);
                if let Some(at_target) = at_target {
                    data.outdate_others();
                    envelope.version = at_target.version;
                }
                Envelope { data, ..envelope }
            }
        };
        if let Step::Begin { owner: Some(_) } | Step::Cycle { renews_login: true } = self.step {
            envelope.auth_time = Some(now);
        }
        envelope.bound = bound;
        envelope.hard_end = self.target.ticket.hard_end;
        envelope.version = envelope.version.next(u32::from_be_bytes(ctx.random()?));
        envelope.saved_at = envelope.saved_at.max(now);
        envelope.device = self.device.clone();
        if let Some(expiry) = self.expiry.or(carried) {
            (envelope.expiry, envelope.expiry_version) = (expiry, envelope.version);
        }
        let horizon = if mutant!(removed_keys_forgotten) {
            i64::MAX
        } else {
            now.saturating_sub(ctx.config().window().saturating_mul(REMOVED_ENTRY_WINDOWS))
        };
        envelope.data.stamp(now);
        envelope.data.settle(envelope.version, horizon);
        if self.limits(ctx, envelope.expiry).passed(now) {
            return Err(expired());
        }
        Ok(envelope)
    }

    /// When the session ends that is put now, with limits of its `own`.
    fn limits(&self, ctx: &Ctx, own: OwnLimits) -> Limits {
        let idle = ctx.config().settings().idle_timeout();
        let end = self.target.ticket.end(ctx.config().age());
        Limits::new(own, idle, ctx.now(), end)
    }

    /// The limits that a login takes over. An end that has come since the load fails no login.
    fn unless_passed(&self, ctx: &Ctx, kept: OwnLimits) -> OwnLimits {
        if self.limits(ctx, kept).passed(ctx.now()) {
            OwnLimits::default()
        } else {
            kept
        }
    }
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

/// Whether a record of this text can travel in the browser's fresh cookie.
pub(crate) fn overlay_fits(config: &Config, text: &str) -> bool {
    let length = Fresh::HEAD_TEXT + text.len();
    config.settings().uses_overlay()
        && length <= FRESH_COOKIE_OVERLAY_MAX
        && config.cookies().fits(CookieKind::Fresh, length)
}

impl Source {
    /// The session as it stands now, joined with what this request knows of it.
    async fn latest(&self, ctx: &Ctx, revives: bool) -> Result<Envelope, SessionError> {
        let now = ctx.now();
        if now >= self.held.identity.ticket.end(ctx.config().age()) {
            return Err(expired());
        }
        // What this isolate has ended since is known without asking.
        let bound_at = self.base.bound.as_ref().map(|bound| bound.at);
        let markers = own_markers(ctx, &self.held, now);
        if let Some(marker) = markers.death(self.held.identity.key.lineage, bound_at) {
            return Err(refusal(marker.death.code()));
        }
        if !self.load_again || mutant!(reread_skipped) {
            return Ok(self.base.clone());
        }
        let held = Rc::clone(&self.held);
        let LoadedRecord { verdict, .. } = load_record(ctx, held, Freshness::Store).await?;
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

fn seal(
    ctx: &Ctx,
    envelope: &Envelope,
    target: &Identity,
    storage_key: &str,
) -> Result<String, SessionError> {
    let text = if ctx.config().settings().seal() {
        envelope.seal(&target.keys.record, ctx.random()?, storage_key)
    } else {
        envelope.to_plain()
    };
    text.ok_or_else(|| SessionError::invalid("the session contains a value that is not valid JSON"))
}

/// The version of what was saved, for the fresh cookie.
impl Saved {
    pub(crate) fn version(&self) -> Version {
        self.envelope.version
    }
}
