//! The plan and the result of a save, as plain values, and the record that it creates. Both kinds
//! of store share this.

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
use crate::session::doubts::Doubts;
use crate::session::life::{InStore, KnownRow, SaveKind};
use crate::session::presented::{Identity, PresentedSession};
use crate::session::refusals::expired;
use crate::session::retired::Retired;
use crate::session::size::check_removed;

/// Everything that one save needs, as owned values.
pub(crate) struct Work {
    /// The session that the data comes from.
    pub(crate) source: Option<Source>,
    /// The session that the data goes to.
    pub(crate) target: Identity,
    pub(crate) kind: SaveKind,
    /// The dictionary as this request sees it, with its pending changes.
    pub(crate) data: Data,
    /// An end that this request has set.
    pub(crate) expiry: Option<OwnLimits>,
    /// Limits that a login keeps, unless the store has later ones.
    pub(crate) kept: OwnLimits,
    pub(crate) device: Device,
    /// What ends when the new record is stored.
    pub(crate) retire: Vec<Retired>,
    /// Keys under which this save was tried before, and failed.
    pub(crate) failed: Vec<Identity>,
}

/// An existing session.
pub(crate) struct Source {
    pub(crate) session: Rc<PresentedSession>,
    /// The copy that this request knows.
    pub(crate) base: Envelope,
    /// When this request learned it.
    pub(crate) base_at: i64,
    /// True if that is long enough ago to load again.
    pub(crate) load_again: bool,
    pub(crate) in_store: InStore,
    /// Saves of this request that failed, and may have been stored all the same.
    pub(crate) doubts: Doubts,
}

/// The result of a save.
pub(crate) struct Saved {
    pub(crate) identity: Identity,
    pub(crate) kind: SaveKind,
    pub(crate) envelope: Envelope,
    /// The content of the fresh cookie, if some location may not see the save yet.
    pub(crate) told: Option<Told>,
    /// The row as it was put, in a store that has transactions.
    pub(crate) row: Option<KnownRow>,
}

/// The content of the fresh cookie after a save.
pub(crate) struct Told {
    /// The text and the version of the record as it was put, or of a later one of this isolate that
    /// contains it.
    pub(crate) text: String,
    pub(crate) version: Version,
    /// True if the store kept limiting the rate, or an earlier put that timed out may replace this
    /// one. A request of the browser that finds the store behind then puts it again.
    pub(crate) unstored: bool,
}

impl Work {
    /// The record to put: the known record with the changes of this request. `at_target` is a
    /// record that may already exist under a new key. Removed keys are remembered for `removed_for`
    /// milliseconds.
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
                // This also applies to a record that an earlier try of this save may have left
                // under the new key.
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
        check_removed(&envelope.data, ctx.config().settings(), removed_for)?;
        if self.limits(ctx, envelope.expiry).passed(now) {
            return Err(expired());
        }
        Ok(envelope)
    }

    /// The limits of the session that is put now, with its `own` limits.
    fn limits(&self, ctx: &Ctx, own: OwnLimits) -> Limits {
        let idle = seconds(ctx.config().settings().idle_timeout());
        let end = self.target.ticket.end(ctx.config().age());
        Limits::new(own, idle, ctx.now(), end)
    }

    /// The limits that a login keeps. An end that has passed since the load is dropped and does not
    /// fail the login.
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

/// True if a record with this text fits into the browser's fresh cookie.
pub(crate) fn overlay_fits(config: &Config, text: &str) -> bool {
    let length = Fresh::HEAD_TEXT + text.len();
    config.settings().uses_overlay()
        && length <= FRESH_COOKIE_OVERLAY_MAX
        && config.cookies().fits(CookieKind::Fresh, length)
}
