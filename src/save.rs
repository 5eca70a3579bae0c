//! Saving: join, change, put, then markers for what the new record replaces.
//!
//! A save is planned from plain values, carried out on owned ones, and applied when it is done, so
//! that no borrow lives across an await and the whole of it can be handed to `waitUntil`: a closed
//! tab must not cut a save in half.

use std::rc::Rc;

use futures_util::future::join_all;

use crate::connector::{ConnectorErrorKind, PutOptions};
use crate::data::Data;
use crate::error::{ErrorCode, SessionError};
use crate::expiry::{Expiry, Limits};
use crate::keys::SessionKey;
use crate::load::{Reading, look, read_owner_marker};
use crate::outcome::{Access, Outcome, TOMBSTONE_WINDOWS};
use crate::presented::{Held, Identity};
use crate::record::{Bound, Device, Envelope};
use crate::revocation::{Marker, marker_ttl, named_by_revocation};
use crate::sessions::Shared;
use crate::version::Version;

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
    pub(crate) expiry: Option<Expiry>,
    pub(crate) device: Device,
    /// Markers to put when the new record stands.
    pub(crate) retire: Vec<MarkerPut>,
}

/// A session that is there already.
pub(crate) struct Source {
    pub(crate) held: Rc<Held>,
    /// What this request knows of it.
    pub(crate) base: Envelope,
    /// Whether that is old enough to look again.
    pub(crate) look_again: bool,
}

/// What kind of record the save makes.
#[derive(Clone)]
pub(crate) enum Step {
    /// The next version of the source, under its own key.
    Save,
    /// The next version of the source, under a new key of the same lineage.
    Cycle,
    /// The first version of a new lineage; for an owner after a login.
    Begin { owner: Option<Rc<str>> },
}

/// A marker and where it goes.
#[derive(Clone)]
pub(crate) struct MarkerPut {
    name: String,
    value: String,
    ttl: u32,
}

/// A save that is done.
pub(crate) struct Saved {
    pub(crate) identity: Identity,
    pub(crate) envelope: Envelope,
    /// The record's text as it was put.
    pub(crate) text: String,
}

impl MarkerPut {
    /// The session goes on under another key; nothing else of its lineage dies.
    pub(crate) fn rotated(shared: &Shared, identity: &Identity, now: i64) -> Self {
        Self {
            name: shared.names.dead_key(identity.key.derived),
            value: Marker::rotated(now).encode(),
            ttl: marker_ttl(Some(identity.ticket.hard_end), now),
        }
    }

    /// The whole lineage is over.
    pub(crate) fn revoked(
        shared: &Shared,
        key: &SessionKey,
        hard_end: Option<i64>,
        now: i64,
    ) -> Vec<Self> {
        let (keys, lineage) = named_by_revocation(key);
        let names = keys
            .into_iter()
            .map(|derived| shared.names.dead_key(derived));
        let value = Marker::revoked(now).encode();
        let ttl = marker_ttl(hard_end, now);
        names
            .chain([shared.names.dead_lineage(lineage)])
            .map(|name| Self {
                name,
                value: value.clone(),
                ttl,
            })
            .collect()
    }

    /// Puts it. One write a second is taken for one key: a refusal means that somebody else put
    /// it just now, so it is tried once more and then taken as there.
    async fn put(&self, shared: &Shared) -> Result<(), SessionError> {
        for last in [false, true] {
            let put = shared
                .connector
                .put(&self.name, &self.value, PutOptions::ttl(self.ttl));
            match put.await {
                Ok(()) => return Ok(()),
                Err(error) if error.kind() == ConnectorErrorKind::RateLimited => {
                    if last {
                        return Ok(());
                    }
                    shared.runtime.sleep(1_100).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// Puts `markers` side by side.
///
/// # Errors
/// The first failure, after all of them were tried.
pub(crate) async fn put_markers(
    shared: &Shared,
    markers: &[MarkerPut],
) -> Result<(), SessionError> {
    join_all(markers.iter().map(|marker| marker.put(shared)))
        .await
        .into_iter()
        .collect()
}

/// Carries `work` out.
pub(crate) async fn perform(shared: Rc<Shared>, work: Work) -> Result<Rc<Saved>, SessionError> {
    let Work {
        source,
        target,
        step,
        data,
        expiry,
        device,
        retire,
    } = work;
    let base = match source {
        Some(source) => Some(source.latest(&shared, expiry.is_some()).await?),
        None => None,
    };
    let bound = match &step {
        Step::Begin { owner: Some(owner) } => Some(bind(&shared, &target, owner).await?),
        Step::Begin { owner: None } => None,
        Step::Save | Step::Cycle => base.as_ref().and_then(|base| base.bound.clone()),
    };

    let now = shared.runtime.now();
    let mut envelope = match (base, &step) {
        (Some(base), Step::Save | Step::Cycle) => {
            let data = data.replay_onto(base.data.clone());
            Envelope { data, ..base }
        }
        (base, _) => {
            let mut data = match base {
                Some(base) => data.replay_onto(base.data),
                None => data,
            };
            data.restart();
            Envelope {
                data,
                ..Envelope::begin(now, target.ticket.hard_end)
            }
        }
    };
    if let Step::Begin { owner: Some(_) } = step {
        envelope.auth_time = Some(now);
    }
    envelope.bound = bound;
    envelope.version = envelope.version.next(random_u32(&shared)?);
    envelope.saved_at = envelope.saved_at.max(now);
    envelope.device = device;
    if let Some(expiry) = expiry {
        (envelope.expiry, envelope.expiry_version) = (expiry, envelope.version);
    }
    let horizon = now.saturating_sub(shared.window().saturating_mul(TOMBSTONE_WINDOWS));
    envelope.data.settle(envelope.version, horizon);
    let end = target.ticket.end(shared.age());
    if Limits::new(envelope.expiry, shared.settings.idle_timeout(), now, end).passed(now) {
        return Err(expired());
    }

    let storage_key = target.storage_key(&shared);
    let text = write(&shared, &envelope, &target, &storage_key)?;
    let left = (target.ticket.hard_end.saturating_sub(now).max(0) + 999) / 1_000;
    let options = PutOptions::ttl(u32::try_from(left).unwrap_or(u32::MAX));
    shared.connector.put(&storage_key, &text, options).await?;
    // Only now: a crash in between leaves the old session valid, never none.
    put_markers(&shared, &retire).await?;
    Ok(Rc::new(Saved {
        identity: target,
        envelope,
        text,
    }))
}

impl Source {
    /// The session as it stands now, joined with what this request knows of it.
    async fn latest(self, shared: &Rc<Shared>, revives: bool) -> Result<Envelope, SessionError> {
        if !self.look_again {
            return Ok(self.base);
        }
        let (finding, _) = look(Rc::clone(shared), Rc::clone(&self.held), false).await?;
        match (finding.access, finding.outcome) {
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
        Ok(match finding.envelope {
            Some(found) => found.join(self.base),
            None => self.base,
        })
    }
}

/// Whose the session is from now on: after every instant at which the owner's sessions were ended.
async fn bind(
    shared: &Rc<Shared>,
    target: &Identity,
    owner: &Rc<str>,
) -> Result<Bound, SessionError> {
    let mut at = shared.runtime.now();
    if let Some(tag) = target.ticket.owner {
        let name = shared.names.owner(tag);
        let options = Reading::options(shared, false);
        let answer = shared.connector.read(&[&name], options).await?;
        let marker = crate::connector::in_order(answer, 1)?.pop().flatten();
        if let Some(text) = marker {
            at = at.max(read_owner_marker(&text)?.at.saturating_add(1));
        }
    }
    Ok(Bound {
        owner: Rc::clone(owner),
        at,
    })
}

fn write(
    shared: &Shared,
    envelope: &Envelope,
    target: &Identity,
    storage_key: &str,
) -> Result<String, SessionError> {
    let text = if shared.settings.seal() {
        let mut nonce = [0; 24];
        shared.runtime.fill_random(&mut nonce)?;
        envelope.seal(&target.keys.record, nonce, storage_key)
    } else {
        envelope.to_plain()
    };
    text.ok_or_else(|| SessionError::invalid("the session holds a value that is not JSON"))
}

fn random_u32(shared: &Shared) -> Result<u32, SessionError> {
    let mut bytes = [0; 4];
    shared.runtime.fill_random(&mut bytes)?;
    Ok(u32::from_be_bytes(bytes))
}

pub(crate) fn expired() -> SessionError {
    SessionError::new(
        ErrorCode::Expired,
        "the session has expired; set_expiry with a later end in this request keeps it",
    )
}

/// What a session says that cannot be saved, or not even read.
pub(crate) fn refusal(code: ErrorCode) -> SessionError {
    let message = match code {
        ErrorCode::Pending => "the session cannot be seen from here yet; try again in a moment",
        ErrorCode::Stale => {
            "only an older copy of the session can be seen from here; try again in a moment"
        }
        ErrorCode::Rotated => "the session has a new key; this request came with the old one",
        ErrorCode::Revoked => "the session was ended",
        ErrorCode::Destroyed => "the session was destroyed earlier in this request",
        ErrorCode::RevocationPending => "the logout could not be stored yet; it will be",
        _ => "the session store did not answer as it should",
    };
    SessionError::new(code, message)
}

/// The version of what was saved, for the fresh cookie.
impl Saved {
    pub(crate) fn version(&self) -> Version {
        self.envelope.version
    }
}
