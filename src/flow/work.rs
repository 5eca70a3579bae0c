//! What a save is to do and what it has done, as plain values, and the record that it makes. Both
//! kinds of store share it.

use std::rc::Rc;

use crate::flow::engine::Ctx;
use crate::port::error::SessionError;
use crate::port::time::seconds;
use crate::protocol::config::Config;
use crate::protocol::cookie::CookieKind;
use crate::protocol::data::Data;
use crate::protocol::expiry::{Limits, OwnLimits};
use crate::protocol::record::{Bound, Device, Envelope};
use crate::protocol::ticket::{FRESH_COOKIE_OVERLAY_MAX, Fresh};
use crate::protocol::version::Version;
use crate::session::life::{InStore, KnownRow, SaveKind};
use crate::session::presented::{Identity, PresentedSession};
use crate::session::refusals::expired;
use crate::session::retired::Retired;

/// Everything that one save needs, owned.
pub(crate) struct Work {
    /// The session that the data comes from.
    pub(crate) source: Option<Source>,
    /// The session that the data goes to.
    pub(crate) target: Identity,
    pub(crate) kind: SaveKind,
    /// The dictionary as this request sees it, with what is pending.
    pub(crate) data: Data,
    /// An end that this request has set.
    pub(crate) expiry: Option<OwnLimits>,
    /// Limits that a login takes over where the store does not tell later ones.
    pub(crate) kept: OwnLimits,
    pub(crate) device: Device,
    /// What is dead when the new record stands.
    pub(crate) retire: Vec<Retired>,
}

/// A session that is there already.
pub(crate) struct Source {
    pub(crate) session: Rc<PresentedSession>,
    /// What this request knows of it.
    pub(crate) base: Envelope,
    /// Since when.
    pub(crate) base_at: i64,
    /// Whether that is old enough to load again.
    pub(crate) load_again: bool,
    pub(crate) in_store: InStore,
}

/// A save that is done.
pub(crate) struct Saved {
    pub(crate) identity: Identity,
    pub(crate) kind: SaveKind,
    pub(crate) envelope: Envelope,
    /// What the browser is told, where a location may not see the save yet.
    pub(crate) told: Option<Told>,
    /// The row as it was put, in a store that has transactions.
    pub(crate) row: Option<KnownRow>,
}

/// What the browser is told of a save, for its fresh cookie.
pub(crate) struct Told {
    /// The record's text as it was put.
    pub(crate) text: String,
    /// The store kept asking for a pause, or an earlier put that timed out may replace this one: a
    /// request of the browser that finds the store behind puts it again.
    pub(crate) unstored: bool,
}

impl Work {
    /// The record to put: what is known, with the changes of this request. `at_target` is what may
    /// stand under a new key already. What was removed is remembered for `removed_for` milliseconds.
    pub(crate) fn next_version(
        &self,
        ctx: &Ctx,
        base: Option<Envelope>,
        at_target: Option<Envelope>,
        bound: Option<Bound>,
        removed_for: i64,
    ) -> Result<Envelope, SessionError> {
        let now = ctx.now();
        let mut carried = None;
        let mut envelope = match (base, &self.kind) {
            (Some(base), SaveKind::Save | SaveKind::Cycle { .. }) => {
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
        if let SaveKind::Begin { owner: Some(_) } | SaveKind::Cycle { renews_login: true } =
            self.kind
        {
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
            now.saturating_sub(removed_for)
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
        let idle = seconds(ctx.config().settings().idle_timeout());
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

/// The text of `envelope` under `target`'s key.
pub(crate) fn seal(
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
    text.ok_or_else(|| SessionError::invalid("the session holds a value that is not JSON"))
}

/// Whether a record of this text can travel in the browser's fresh cookie.
pub(crate) fn overlay_fits(config: &Config, text: &str) -> bool {
    let length = Fresh::HEAD_TEXT + text.len();
    config.settings().uses_overlay()
        && length <= FRESH_COOKIE_OVERLAY_MAX
        && config.cookies().fits(CookieKind::Fresh, length)
}

/// The version of what was saved, for the fresh cookie.
impl Saved {
    pub(crate) fn version(&self) -> Version {
        self.envelope.version
    }
}
