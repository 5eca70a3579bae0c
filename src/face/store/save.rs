//! Saving: what is written, and what the browser is told afterwards.

use std::rc::Rc;

use crate::flow::engine::Flow;
use crate::flow::work::{Saved, Source, Work, overlay_fits};
use crate::port::error::{ErrorCode, SessionError};
use crate::port::events::EventKind;
use crate::protocol::expiry::OwnLimits;
use crate::protocol::record::Device;
use crate::protocol::ticket::Fresh;
use crate::session::life::{Base, Life, Modified, Open, SaveKind};
use crate::session::presented::{Identity, Presented, PresentedSession};
use crate::session::refusals::refusal;
use crate::session::request::{cookie_was_withheld, device};
use crate::session::size::check_size;

use super::SessionStore;

/// A save reads the store again unless this request read it less than this many milliseconds ago.
const LOAD_AGAIN_AFTER: i64 = 1_000;

/// **Life cycle: saving.** The commit saves; this is for a change that must be stored before the
/// handler goes on.
impl SessionStore {
    /// Saves the changes now instead of with the commit. Writes nothing if nothing changed.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// # futures_executor::block_on(async {
    /// session.set("views", 1)?;
    /// session.save().await?;
    /// assert_eq!(session.version()?, 1);
    /// assert!(!session.modified());
    /// # Ok(()) })
    /// # });
    /// ```
    ///
    /// # Errors
    /// `expired` if the session has expired; `stale`, `rotated`, `revoked`, `pending` or
    /// `destroyed`, depending on what the load or the save finds; `too_large`; a storage error. The
    /// changes are kept and can be saved again.
    pub async fn save(&mut self) -> Result<(), SessionError> {
        self.undecided()?;
        self.persist().await
    }

    pub(super) async fn persist(&mut self) -> Result<(), SessionError> {
        let Some(flow) = self.begin_save()? else {
            return Ok(());
        };
        let saved = self.drive(flow).await;
        if let Some(limit) = self.apply_save(saved)? {
            self.later(limit).await;
        }
        Ok(())
    }

    /// The flow that saves the session. `None` if there is nothing to save.
    pub(crate) fn begin_save(&mut self) -> Result<Option<Flow<Saved>>, SessionError> {
        self.leave_tried_key()?;
        let work = self.plan()?;
        if let (Some(work), Life::Open(open)) = (&work, &mut self.life) {
            open.draft.data = work.data.clone();
            open.draft.has_tried_limits |= open.draft.is_tried && open.draft.limits.is_some();
            open.draft.is_tried = true;
            // The save may be stored even if it fails. To undo it is then a change again.
            if let Modified::No(..) = open.draft.save {
                open.draft.save = Modified::Changes;
            }
            if let Some(next) = &mut open.draft.key {
                next.tries.is_begun = true;
            }
        }
        Ok(work.map(|work| self.shared.begin_save(work)))
    }

    /// Applies the result of a save, or its error. Returns the work that may be left to
    /// `waitUntil`: the login is valid whether or not older sessions could be ended.
    pub(crate) fn apply_save(
        &mut self,
        saved: Result<Saved, SessionError>,
    ) -> Result<Option<Flow<()>>, SessionError> {
        let saved = match saved {
            Ok(saved) => saved,
            Err(error) => {
                self.report_store_error(&error);
                let is_unsure = error.connector_error().is_some();
                if let Life::Open(open) = &mut self.life {
                    // A refused record was not written.
                    open.draft.is_tried &= is_unsure;
                }
                return Err(self.refuse(error));
            }
        };
        let lineage = saved.identity.key.lineage;
        let (kind, owner) = match &saved.kind {
            SaveKind::Begin { owner: None } => (Some(EventKind::Created), None),
            SaveKind::Begin { owner } => (Some(EventKind::Bound), owner.clone()),
            SaveKind::Cycle { .. } => (Some(EventKind::Cycled), None),
            SaveKind::Save => (None, None),
        };
        if let Some(kind) = kind {
            self.report(kind, Some(lineage), None);
        }
        self.answer_save(&saved);
        if owner.is_some() {
            self.void_forms();
        }
        if let Life::Open(open) = &mut self.life {
            open.saved(saved.envelope, saved.row);
        }
        Ok(owner.and_then(|owner| self.shared.begin_limit(owner, lineage)))
    }

    fn report_store_error(&self, error: &SessionError) {
        if error.connector_error().is_some() {
            self.shared
                .report_trouble(self.now(), self.key().map(|key| key.lineage), error.code());
        }
    }

    /// True if the store lacks what was loaded and no save since then has repaired it.
    pub(crate) fn is_behind(&self) -> bool {
        let behind = |open: &Open| {
            let live = matches!(&open.base, Base::Live(known) if known.in_store.behind);
            live && open.continued().is_some()
        };
        !self.answer.has_fresh() && self.life.open().is_some_and(behind)
    }

    /// The flow that writes a record again because the store lacks it, or because two writers have
    /// written it without knowing of each other. `None` if no repair is needed. It writes what was
    /// loaded, never the changes of this request: the application may have asked not to save them.
    pub(crate) fn begin_repair(&self) -> Option<Flow<Saved>> {
        if !self.is_behind() {
            return None;
        }
        let source = self.source()?;
        let work = Work {
            target: source.session.identity.clone(),
            data: source.base.data.clone(),
            source: Some(source),
            kind: SaveKind::Save,
            expiry: None,
            kept: OwnLimits::default(),
            device: self.device(),
            retire: Vec::new(),
            failed: Vec::new(),
        };
        Some(self.shared.begin_save(work))
    }

    /// Applies the result of a repair. A failure is not reported, because the request did not ask
    /// for a repair.
    pub(crate) fn apply_repair(&mut self, saved: Result<Saved, SessionError>) {
        match saved {
            Ok(saved) => {
                self.answer_save(&saved);
                if let Life::Open(open) = &mut self.life {
                    open.base = Base::live(saved.envelope, saved.row);
                }
            }
            Err(error) => self.report_store_error(&error),
        }
    }

    /// A save under a new key has failed, and what is left of it is ended: the next one takes another
    /// key of the same session.
    fn leave_tried_key(&mut self) -> Result<(), SessionError> {
        let Some(next) = self.next().filter(|next| next.tries.is_begun) else {
            return Ok(());
        };
        if !self.shared.ends_failed_keys() {
            return Ok(());
        }
        let owner = self.life.open().and_then(Open::owner);
        let at = next.identity.ticket.minted_at;
        let config = self.shared.config();
        let identity = next.identity.rotate(config, self.new_token()?, at, owner);
        if let Life::Open(open) = &mut self.life
            && let Some(next) = &mut open.draft.key
        {
            let failed = std::mem::replace(&mut next.identity, identity);
            next.tries.failed.push(failed);
            next.tries.is_begun = false;
        }
        Ok(())
    }

    /// The session that a save starts from.
    fn source(&self) -> Option<Source> {
        let Presented::Session(session) = self.presented() else {
            return None;
        };
        let open = self.life.open()?;
        let base = open.continued()?;
        let in_store = open.base.known()?.in_store.clone();
        let now = self.now();
        Some(Source {
            // This request is activity, although no cookie records it yet.
            session: Rc::new(PresentedSession {
                identity: session.identity.clone(),
                seen: session.seen.max(Some(self.loaded_at)),
                fresh: session.fresh.clone(),
            }),
            base: base.clone(),
            base_at: self.loaded_at.max(base.saved_at),
            load_again: now.saturating_sub(self.read_at) >= LOAD_AGAIN_AFTER,
            in_store,
            doubts: open.doubts.clone(),
        })
    }

    /// What must be written, if anything.
    fn plan(&self) -> Result<Option<Work>, SessionError> {
        if !self.would_save() {
            return Ok(None);
        }
        let Life::Open(open) = &self.life else {
            return Ok(None);
        };
        match (&open.draft.key, &open.base) {
            (None, Base::ReadOnly(_, code)) => return Err(self.refuse(refusal(*code))),
            (None, Base::Closed(error)) => return Err(self.refuse(error.clone())),
            _ => check_size(&open.draft.data, self.shared.config().settings())?,
        }
        let next = open.draft.key.as_ref();
        let (source, target, kind, retire) = match (&open.draft.key, &open.base) {
            (Some(next), _) => (
                self.source(),
                next.identity.clone(),
                next.kind.clone(),
                next.retire.clone(),
            ),
            // The new session gets its key once it is stored, and no key if that fails.
            (None, Base::Empty) => {
                let token = self.new_token()?;
                let target = Identity::mint(self.shared.config(), token, self.now(), None);
                (None, target, SaveKind::Begin { owner: None }, Vec::new())
            }
            (None, _) => {
                if open.draft.limits.is_none() {
                    self.check_expiry()?;
                }
                let source = self
                    .source()
                    .ok_or_else(|| refusal(ErrorCode::Unavailable))?;
                let target = source.session.identity.clone();
                (Some(source), target, SaveKind::Save, Vec::new())
            }
        };
        Ok(Some(Work {
            source,
            target,
            kind,
            data: open.changes(),
            expiry: open.draft.limits,
            kept: next.map(|next| next.kept).unwrap_or_default(),
            device: self.device(),
            retire,
            failed: next.map_or_else(Vec::new, |next| next.tries.failed.clone()),
        }))
    }

    /// True if there is something to save, even if the save would be refused.
    pub(crate) fn would_save(&self) -> bool {
        matches!(&self.life, Life::Open(open) if self.has_to_save(open))
    }

    /// The same for `open`, which may be committed.
    pub(super) fn has_to_save(&self, open: &Open) -> bool {
        open.would_save(|| self.cookie_was_withheld())
    }

    /// Sets the cookies for what was saved, and continues as if the request had presented them.
    fn answer_save(&mut self, saved: &Saved) {
        let new_key = !matches!(saved.kind, SaveKind::Save);
        let Saved {
            identity,
            envelope,
            told,
            ..
        } = saved;
        let mut identity = identity.clone();
        let now = self.now();
        // W starts here. A put may take long, and before it was acknowledged it was visible
        // nowhere.
        if new_key {
            identity.ticket.minted_at = identity.ticket.minted_at.max(now);
        }
        let ticket = &identity.ticket;
        let received = self.received();
        let ends_with_browser = self.ends_with_browser(envelope.expiry);
        let config = self.shared.config();
        let Some(secret) = config.ring().find(ticket.secret) else {
            return;
        };
        if new_key {
            self.answer
                .set_key(config, secret, ticket, ends_with_browser, now);
            if matches!(saved.kind, SaveKind::Begin { owner: Some(_) }) {
                self.answer.remove_twins(config, received);
            }
        }
        let fresh = told.as_ref().map(|told| Fresh {
            version: told.version,
            saved_at: envelope.saved_at.max(now),
            unstored: told.unstored,
            overlay: overlay_fits(config, &told.text).then(|| told.text.clone()),
        });
        if let Some(fresh) = &fresh {
            self.answer.set_fresh(config, secret, &ticket.token, fresh);
        }
        let seen = match self.presented() {
            Presented::Session(session) if !new_key => session.seen,
            _ => None,
        };
        let session = PresentedSession {
            identity: identity.clone(),
            seen,
            fresh,
        };
        self.change_cookies(|cookies| {
            cookies.replace(session);
            if new_key {
                // The other presented sessions had already ended, or have ended now.
                cookies.forget_rivals();
            }
        });
    }

    /// The browser, for the list of the owner's sessions. Nothing is kept of an anonymous visitor.
    fn device(&self) -> Device {
        match self.life.open().and_then(Open::owner) {
            Some(_) => device(&*self.request),
            None => Device::default(),
        }
    }

    /// True if a save or a CSRF token may depend on more of the request than its cookies.
    #[cfg(feature = "js")]
    pub(crate) fn reads_request(&self) -> bool {
        !self.received().key || self.life.open().and_then(Open::owner).is_some()
    }

    pub(super) fn cookie_was_withheld(&self) -> bool {
        let same_site = self.shared.config().settings().cookie_same_site();
        cookie_was_withheld(&*self.request, self.received(), same_site)
    }
}
