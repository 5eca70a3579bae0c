//! The life cycle of a session: load, create, cycle, bind, save, destroy, flush, commit.
//!
//! Decisions are made on plain values; what has to be put travels as an owned job (`save.rs`), and
//! its result is applied afterwards. No borrow of the session lives across an await.

use std::rc::Rc;

use zeroize::Zeroizing;

use crate::face::headers::CommitHeaders;
use crate::face::store::{Modified, Next, Out, Phase, SessionStore, committed};
use crate::flow::engine::{Ctx, Flow};
use crate::flow::load::{Freshness, Look, look};
use crate::flow::markers::{MarkerPut, put_markers};
use crate::flow::save::{Saved, Source, Step, Work, overlay_fits, perform};
use crate::flow::shared::Shared;
use crate::flow::stats::Timing;
use crate::port::error::{ErrorCode, SessionError};
use crate::port::events::EventKind;
use crate::protocol::cookie::CookieKind;
use crate::protocol::data::Data;
use crate::protocol::keys::SessionKey;
use crate::protocol::outcome::{Access, Finding, Outcome};
use crate::protocol::record::Device;
use crate::protocol::revocation::{Death, Marker};
use crate::protocol::ticket::{Fresh, Seen, Tombstone};
use crate::protocol::wire::encode_text;
use crate::session::presented::{Held, Identity, Presented};
use crate::session::refusals::refusal;

/// A save looks at the store again unless this request did so less than this many milliseconds ago.
const LOOK_AGAIN_AFTER: i64 = 1_000;
/// The idle time is slid when this part of it has passed.
const SEEN_FRACTION: i64 = 20;
/// Characters of a user agent that are kept for the list of an owner's sessions.
const USER_AGENT_MAX: usize = 200;
/// Bytes of a user id.
const OWNER_MAX: usize = 1_024;

/// A logout under way: what it ends, and what the browser keeps where the store does not take it.
pub(crate) struct Ending {
    identities: Vec<Identity>,
    stone: Option<Tombstone>,
    at: i64,
}

impl Shared {
    /// The flow that looks for the session of a session key; `None` where `key` is not one.
    pub(crate) fn begin_exists(self: &Rc<Self>, key: &str) -> Option<Flow<bool>> {
        let key = self.config().read_key(key).ok()?;
        Some(Flow::new(self, async move |ctx: Ctx| ctx.exists(key).await))
    }

    /// The flow that ends the session of `key`.
    pub(crate) fn begin_delete(self: &Rc<Self>, key: SessionKey) -> Flow<()> {
        Flow::new(self, async move |ctx: Ctx| {
            let markers = MarkerPut::revoked(&key, None, ctx.now());
            let record = ctx
                .config()
                .settings()
                .purge()
                .then(|| ctx.config().names().record(&key));
            let purge: Vec<String> = record.into_iter().collect();
            revoke(&ctx, &markers, &purge).await
        })
    }
}

impl SessionStore {
    // --- loading -----------------------------------------------------------------------------

    /// Loads the session: one read where its key cookie is authentic, none otherwise. A second
    /// call does nothing.
    ///
    /// ```
    /// # edge_session::doc::run(async |sessions| {
    /// use edge_session::{CookieHeader, Outcome};
    /// let mut session = sessions.open(CookieHeader::none());
    /// assert_eq!(session.get::<u32>("views").unwrap_err().code().as_str(), "not_loaded");
    /// assert_eq!(session.load().await?, Outcome::New);
    /// assert_eq!(session.get::<u32>("views")?, None);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// What every accessor says after it, where the load cannot be trusted: `unavailable`,
    /// `quota`, `pending`, `rotated`.
    pub async fn load(&mut self) -> Result<Outcome, SessionError> {
        self.look_at();
        let found = self.load_unseen(Freshness::Memory).await;
        found.map_err(|trouble| self.refuse(trouble))
    }

    /// Loads the session with the shortest cache time that the store has, again if it was loaded
    /// before; changes made in between are kept.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// # futures_executor::block_on(async {
    /// // Before something that a session which was just ended elsewhere must not do:
    /// session.load_fresh().await?;
    /// # Ok(()) })
    /// # });
    /// ```
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub async fn load_fresh(&mut self) -> Result<Outcome, SessionError> {
        self.look_at();
        let found = self.load_unseen(Freshness::Shortest).await;
        found.map_err(|trouble| self.refuse(trouble))
    }

    /// Loads for a caller that tells the application nothing of it: the session counts as
    /// untouched, and as having refused nothing.
    pub(crate) async fn load_unseen(
        &mut self,
        freshness: Freshness,
    ) -> Result<Outcome, SessionError> {
        if let Some(flow) = self.begin_load(freshness) {
            let looked = self.drive(flow).await;
            self.apply_load(looked);
        }
        self.found()
    }

    fn found(&self) -> Result<Outcome, SessionError> {
        match self.access {
            Access::Closed(code) => Err(self.trouble.clone().unwrap_or_else(|| refusal(code))),
            _ => Ok(self.outcome),
        }
    }

    fn loaded(&self) -> Result<Outcome, SessionError> {
        self.found().map_err(|trouble| self.refuse(trouble))
    }

    /// The flow that loads; `None` where nothing has to be asked, and the session is as loaded as
    /// it will be.
    pub(crate) fn begin_load(&mut self, freshness: Freshness) -> Option<Flow<Look>> {
        let wanted = match freshness {
            Freshness::Memory => self.phase == Phase::Unloaded,
            Freshness::Store | Freshness::Shortest => {
                self.phase != Phase::Committed && self.next.is_none() && !self.destroyed
            }
        };
        if !wanted {
            return None;
        }
        self.loaded_at = self.now();
        let nothing = match self.presented().clone() {
            Presented::Nothing => Finding::nothing(Outcome::New, Access::Empty),
            Presented::Rejected(_) => Finding::nothing(Outcome::Rejected, Access::Empty),
            // Our cookie may be in it: whoever fills the header must not log the user out.
            Presented::TooLarge => Finding::nothing(Outcome::Rejected, Access::Detached),
            Presented::Ended => Finding::nothing(Outcome::Expired, Access::Empty),
            Presented::Ambiguous(_) => Finding::nothing(Outcome::Ambiguous, Access::Detached),
            Presented::Tombstone(stone) => {
                return Some(Flow::new(&self.shared, async move |ctx: Ctx| {
                    Ok(finish_pending_logout(&ctx, stone).await)
                }));
            }
            Presented::Session(held) => {
                return Some(Flow::new(&self.shared, async move |ctx: Ctx| {
                    look(&ctx, held, freshness).await
                }));
            }
        };
        self.take_finding(nothing);
        None
    }

    /// Takes over what the load has found, or why it found nothing.
    pub(crate) fn apply_load(&mut self, looked: Result<Look, SessionError>) {
        let finding = match looked {
            Ok(Look {
                finding,
                at,
                asked_at,
                behind,
            }) => {
                if let Some(asked_at) = asked_at {
                    self.read_at = asked_at;
                }
                (self.loaded_at, self.behind) = (at, behind);
                self.trouble = None;
                finding
            }
            Err(error) => {
                let access = if mutant!(outage_mints) {
                    Access::Empty
                } else {
                    Access::Closed(error.code())
                };
                self.trouble = Some(error);
                Finding::nothing(Outcome::Unavailable, access)
            }
        };
        self.take_finding(finding);
    }

    fn take_finding(&mut self, finding: Finding) {
        let Finding {
            outcome,
            access,
            envelope,
            conflict,
            last_seen,
            ..
        } = finding;
        self.phase = Phase::Loaded;
        (self.outcome, self.access, self.last_seen) = (outcome, access, last_seen);
        self.report_load(conflict);
        let found = envelope
            .as_ref()
            .map(|envelope| envelope.data.clone())
            .unwrap_or_default();
        self.data = self.data.replay_onto(found);
        self.base = envelope;
    }

    fn report_load(&self, conflict: bool) {
        self.shared.count_outcome(self.outcome);
        let lineage = match self.presented() {
            Presented::Session(held) => Some(held.identity.key.lineage),
            Presented::Tombstone(stone) => Some(stone.lineage),
            _ => None,
        };
        let reason = match (self.presented(), &self.trouble) {
            (Presented::Rejected(why), _) => Some(why.as_str()),
            (Presented::TooLarge, _) => Some("header_size"),
            (_, Some(trouble)) => Some(trouble.code().as_str()),
            _ => None,
        };
        if let Some(kind) = self.outcome.event() {
            self.report(kind, lineage, reason);
        }
        if conflict {
            self.shared.count(crate::flow::stats::Count::Conflicts);
            self.report(EventKind::Conflict, lineage, None);
        }
    }

    // --- a new key ---------------------------------------------------------------------------

    /// A random id of 256 bits in base64url, tied to no session.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// let id = session.generate_session_id()?;
    /// assert_eq!(id.len(), 43);
    /// assert_ne!(id, session.generate_session_id()?);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// `not_ready` where there is no randomness, as at module scope.
    pub fn generate_session_id(&self) -> Result<String, SessionError> {
        Ok(encode_text(self.new_token()?.bytes()))
    }

    /// Begins a new session: new token, lineage and key, known at once; nothing is read, and
    /// nothing written before the commit. A session that is new already keeps its data; one that
    /// was loaded is left as it is, and this one begins empty (to end the old one: `flush`).
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// assert_eq!(session.session_key(), None);
    /// session.create()?;
    /// assert!(session.session_key().unwrap().starts_with("-."));
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// As a save: `stale`, `rotated`, `revoked`, `destroyed`, `committed`; `not_loaded`,
    /// `not_ready`; what the load found.
    pub fn create(&mut self) -> Result<(), SessionError> {
        self.check_intent()?;
        match self.access {
            Access::Live | Access::Empty => {}
            // Its cookie would replace one that another answer has set, or will.
            Access::ReadOnly(code) => return Err(self.refuse(refusal(code))),
            Access::Closed(_) => return self.loaded().map(drop),
            Access::Detached => return Ok(()),
        }
        let identity = Identity::mint(self.shared.config(), self.new_token()?, self.now(), None);
        if self.base.is_some() {
            self.start_empty();
        }
        let step = Step::Begin { owner: None };
        self.next = Some(Next {
            identity,
            step,
            keep: false,
            retire: Vec::new(),
        });
        Ok(())
    }

    /// Gives the session a new token and key and keeps its lineage and data. The old key stops
    /// writing with the commit and reading W later. Call it whenever what the session may do
    /// changes.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// # futures_executor::block_on(async {
    /// session.set("role", "user")?;
    /// session.save().await?;
    /// let before = session.session_key();
    ///
    /// session.cycle_key()?;
    /// session.set("role", "admin")?;
    /// assert_ne!(session.session_key(), before);
    /// # Ok(()) })
    /// # });
    /// ```
    ///
    /// # Errors
    /// As a save: `stale`, `rotated`, `revoked`, `destroyed`, `committed`; `not_loaded`,
    /// `not_ready`; what the load found.
    pub fn cycle_key(&mut self) -> Result<(), SessionError> {
        self.check_intent()?;
        if self.next.is_some() {
            return Ok(());
        }
        let (Presented::Session(held), Access::Live) = (self.presented(), self.access) else {
            return self.create();
        };
        let now = self.now();
        let owner = self.base.as_ref().and_then(|base| base.bound.as_ref());
        let identity = held.identity.rotate(
            self.shared.config(),
            self.new_token()?,
            now,
            owner.map(|it| &*it.owner),
        );
        let mut retire = vec![MarkerPut::rotated(&held.identity, now)];
        if mutant!(rotation_keeps_old_key) {
            retire.clear();
        }
        self.next = Some(Next {
            identity,
            step: Step::Cycle,
            keep: true,
            retire,
        });
        Ok(())
    }

    /// Login: binds the session to the user `owner` under a new lineage, so that no token known
    /// before reads what comes after. `keep` carries over the data of an anonymous session, or of
    /// one of the same owner, as far as this request can read it: of a `stale` or `rotated` one
    /// the copy that it was shown. Everything else begins empty.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// session.set("cart", ["apple"])?;
    /// session.bind("ada", true)?;
    /// assert_eq!(session.owner()?, Some("ada"));
    /// assert!(session.contains_key("cart")?);
    ///
    /// session.bind("bob", true)?;
    /// assert!(session.is_empty()?, "nothing of ada's is bob's");
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// A storage error of the load; `revocation_pending` while a logout of this browser is not
    /// stored; `invalid_value` for an empty or overlong user id; `not_loaded`, `committed`,
    /// `not_ready`. What else the load found, or the commit finds of the session before, fails no
    /// login.
    pub fn bind(&mut self, owner: &str, keep: bool) -> Result<(), SessionError> {
        self.look_at();
        match self.phase {
            Phase::Loaded => {}
            Phase::Unloaded | Phase::Committed => return self.check_intent(),
        }
        if owner.is_empty() || owner.len() > OWNER_MAX {
            let actual = owner.len();
            return Err(SessionError::invalid(format!(
                "a user id has 1 to {OWNER_MAX} bytes; this one has {actual}"
            )));
        }
        // What an answer of the store says of the session before does not matter to a login; that
        // the store did not answer does.
        if let Some(trouble) = &self.trouble
            && trouble.connector_error().is_some()
        {
            return Err(self.refuse(trouble.clone()));
        }
        if matches!(self.presented(), Presented::Tombstone(_)) && self.access == Access::Detached {
            return Err(self.refuse(refusal(ErrorCode::RevocationPending)));
        }
        let now = self.now();
        let identity = Identity::mint(self.shared.config(), self.new_token()?, now, Some(owner));
        let keep = keep && !self.destroyed && self.may_go_to(owner);
        if !keep {
            self.start_empty();
        }
        // A second bind in one request retires what the first would have.
        let retire = match self.next.take() {
            Some(Next {
                step: Step::Begin { owner: Some(_) },
                retire,
                ..
            }) => retire,
            _ => self.presented_markers(now),
        };
        self.destroyed = false;
        let keep = keep && self.access == Access::Live;
        if let Access::ReadOnly(_) | Access::Closed(_) = self.access {
            // What came is left behind: what begins here is read and changed.
            self.access = Access::Empty;
            self.trouble = None;
        }
        let step = Step::Begin {
            owner: Some(owner.into()),
        };
        self.next = Some(Next {
            identity,
            step,
            keep,
            retire,
        });
        Ok(())
    }

    /// Whether the data that this request holds may become `owner`'s.
    fn may_go_to(&self, owner: &str) -> bool {
        let bound = match &self.next {
            Some(Next {
                step: Step::Begin { owner },
                ..
            }) => owner.as_deref(),
            _ => self
                .base
                .as_ref()
                .and_then(|base| Some(&*base.bound.as_ref()?.owner)),
        };
        let readable = match self.access {
            Access::Live | Access::Empty | Access::Detached => true,
            Access::ReadOnly(code) => matches!(code, ErrorCode::Stale | ErrorCode::Rotated),
            Access::Closed(_) => false,
        };
        readable && bound.is_none_or(|bound| bound == owner)
    }

    /// What a login puts an end to: every presented session that is somebody's with its lineage,
    /// and the key of an anonymous one that may be there.
    fn presented_markers(&self, now: i64) -> Vec<MarkerPut> {
        let mut markers = Vec::new();
        if mutant!(login_keeps_old_session) {
            return markers;
        }
        for identity in self.presented().identities() {
            if identity.key.owner.is_some() {
                let end = Some(identity.ticket.hard_end);
                markers.extend(MarkerPut::revoked(&identity.key, end, now));
                continue;
            }
            // One that is dead stays as dead as it is; one that cannot be read is left alone.
            let may_live = match self.access {
                Access::Live | Access::Detached => true,
                Access::ReadOnly(code) | Access::Closed(code) => {
                    matches!(code, ErrorCode::Stale | ErrorCode::Pending)
                }
                Access::Empty => false,
            };
            if may_live {
                markers.push(MarkerPut::rotated(identity, now));
            }
        }
        markers
    }

    /// Forgets what the session holds, here and not in the store.
    fn start_empty(&mut self) {
        self.data = Data::default();
        self.base = None;
        self.expiry = None;
    }

    pub(crate) fn check_intent(&self) -> Result<(), SessionError> {
        self.look_at();
        if self.phase == Phase::Unloaded {
            let message = "the session was not loaded; call load() first";
            return Err(SessionError::new(ErrorCode::NotLoaded, message));
        }
        self.check_open()
    }

    // --- ending ------------------------------------------------------------------------------

    /// Logout: ends the session now, wherever it is used, and removes its cookies with the commit.
    /// Acts when called, under every outcome with an authentic key cookie, and stays done whatever
    /// happens to the request.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// # futures_executor::block_on(async {
    /// session.set("views", 1)?;
    /// session.save().await?;
    /// session.destroy().await?;
    /// assert_eq!(session.set("views", 2).unwrap_err().code().as_str(), "destroyed");
    /// # Ok(()) })
    /// # });
    /// ```
    ///
    /// # Errors
    /// `revocation_pending` where the store did not take it: the browser then gets a cookie that
    /// finishes it with its next request, and is logged out all the same. `committed`.
    pub async fn destroy(&mut self) -> Result<(), SessionError> {
        let (flow, ending) = self.begin_end()?;
        let stored = self.drive(flow).await;
        self.apply_end(ending, stored)
    }

    /// The flow that ends what this request presents, and what it is about.
    pub(crate) fn begin_end(&mut self) -> Result<(Flow<()>, Ending), SessionError> {
        // An answer without cookies to remove is still one for this browser only: kept by a cache,
        // it would be given to somebody who has them.
        self.look_at();
        if self.phase == Phase::Committed {
            return Err(self.check_open().err().unwrap_or_else(committed));
        }
        let now = self.now();
        if self.phase == Phase::Unloaded {
            self.loaded_at = now;
        }
        let identities = self.presented().identities().to_vec();
        let revoked = |identity: &Identity| {
            let end = Some(identity.ticket.hard_end);
            MarkerPut::revoked(&identity.key, end, now)
        };
        let mut markers: Vec<_> = identities.iter().flat_map(revoked).collect();
        let stone = match (self.presented(), identities.first()) {
            // A logout that is not stored yet, unless the load has stored it.
            (Presented::Tombstone(stone), _) => {
                if self.phase == Phase::Unloaded || self.access == Access::Detached {
                    markers = markers_of(*stone, now);
                }
                Some(*stone)
            }
            (_, Some(identity)) => {
                let ticket = &identity.ticket;
                Some(Tombstone::new(
                    ticket.secret,
                    &identity.key,
                    ticket.hard_end,
                ))
            }
            (_, None) => None,
        };
        let purge: Vec<String> = if self.shared.config().settings().purge() {
            identities
                .iter()
                .map(|identity| identity.storage_key(self.shared.config()))
                .collect()
        } else {
            Vec::new()
        };
        let flow = Flow::new(&self.shared, async move |ctx: Ctx| {
            revoke(&ctx, &markers, &purge).await
        });
        let ending = Ending {
            identities,
            stone,
            at: now,
        };
        Ok((flow, ending))
    }

    /// Takes over that the session has ended, `stored` or not.
    pub(crate) fn apply_end(
        &mut self,
        ending: Ending,
        stored: Result<(), SessionError>,
    ) -> Result<(), SessionError> {
        let Ending {
            identities,
            stone,
            at: now,
        } = ending;
        self.start_empty();
        self.next = None;
        self.modified = Modified::default();
        self.destroyed = true;
        let spec = self.shared.config().cookies();
        let names = spec.names();
        self.out = Out {
            key: (self.came().key || !identities.is_empty()).then(|| spec.remove(CookieKind::Key)),
            seen: self.came().seen.then(|| spec.remove(CookieKind::Seen)),
            fresh: (self.came().fresh || !identities.is_empty())
                .then(|| spec.remove(CookieKind::Fresh)),
        };
        for identity in &identities {
            let kind = match &stored {
                Ok(()) => EventKind::Destroyed,
                Err(_) => EventKind::RevocationPending,
            };
            self.report(kind, Some(identity.key.lineage), None);
        }
        match (stored, stone) {
            (Err(error), Some(stone)) => {
                if let Some(secret) = self.shared.config().ring().find(stone.secret) {
                    let value = stone.encode(secret, names.get(CookieKind::Key));
                    let left = seconds_until(stone.hard_end, now);
                    self.out.key = Some(spec.set(CookieKind::Key, &value, Some(left)));
                }
                self.present(Presented::Tombstone(stone));
                self.access = Access::Detached;
                let message = "the logout could not be stored yet; the browser's next request \
                               finishes it";
                Err(self.refuse(SessionError::caused_by(
                    ErrorCode::RevocationPending,
                    message,
                    &error,
                )))
            }
            (Err(_), None) | (Ok(()), _) => {
                self.present(Presented::Nothing);
                self.access = Access::Empty;
                self.trouble = None;
                Ok(())
            }
        }
    }

    /// Logout that goes on anonymously: [`destroy`](Self::destroy), then a new session with the
    /// values of the keys in `keep`, as far as they can be seen; without any, the session is made
    /// when something is put into it.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// # futures_executor::block_on(async {
    /// session.update([("theme", "dark"), ("cart", "apple")])?;
    /// session.flush(["theme"]).await?;
    /// assert_eq!(session.keys()?.collect::<Vec<_>>(), ["theme"]);
    /// # Ok(()) })
    /// # });
    /// ```
    ///
    /// # Errors
    /// As [`destroy`](Self::destroy); the session stays destroyed then.
    pub async fn flush<K: AsRef<str>>(
        &mut self,
        keep: impl IntoIterator<Item = K>,
    ) -> Result<(), SessionError> {
        let keep: Vec<String> = keep
            .into_iter()
            .map(|key| key.as_ref().to_owned())
            .collect();
        let kept = self.kept(&keep);
        self.destroy().await?;
        self.begin_again(kept);
        Ok(())
    }

    /// The values of the keys in `keep`, as far as they can be seen.
    pub(crate) fn kept(&self, keep: &[String]) -> Data {
        let mut kept = match self.access {
            Access::Closed(_) => Data::default(),
            _ => self.data.clone(),
        };
        kept.retain(keep);
        kept.restart();
        kept
    }

    /// Goes on anonymously after the end, with what was kept.
    pub(crate) fn begin_again(&mut self, kept: Data) {
        self.destroyed = false;
        self.phase = Phase::Loaded;
        self.data = kept;
    }

    // --- by session key ----------------------------------------------------------------------

    /// True where a session is there and alive: this one, or that of a session key, for
    /// administrators: no ownership is asked. False for a text that is no session key, or whose
    /// parts do not belong together; nothing is read then.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// # futures_executor::block_on(async {
    /// session.set("views", 1)?;
    /// session.save().await?;
    /// let key = session.session_key().unwrap();
    /// assert!(session.exists(Some(&key)).await?);
    /// session.delete(Some(&key)).await?;
    /// assert!(!session.exists(Some(&key)).await?);
    /// # Ok(()) })
    /// # });
    /// ```
    ///
    /// # Errors
    /// A storage error.
    pub async fn exists(&mut self, key: Option<&str>) -> Result<bool, SessionError> {
        let Some(key) = key else {
            self.load().await?;
            return Ok(self.is_stored());
        };
        match self.shared.begin_exists(key) {
            Some(flow) => self.drive(flow).await,
            None => Ok(false),
        }
    }

    /// Ends a session at once: this one as [`destroy`](Self::destroy) does, or that of a session
    /// key, for administrators: no ownership is asked.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// # futures_executor::block_on(async {
    /// session.set("views", 1)?;
    /// session.save().await?;
    /// session.delete(None).await?;
    /// assert!(!session.exists(None).await?);
    /// # Ok(()) })
    /// # });
    /// ```
    ///
    /// # Errors
    /// As [`destroy`](Self::destroy); a storage error, and `not_found` for a text that is no
    /// session key or whose parts do not belong together: nothing is read or written then.
    pub async fn delete(&mut self, key: Option<&str>) -> Result<(), SessionError> {
        let Some(key) = key else {
            return self.destroy().await;
        };
        let key = self.shared.config().read_key(key)?;
        if self.is_this(&key) {
            return self.destroy().await;
        }
        let flow = self.shared.begin_delete(key);
        self.drive(flow).await
    }

    /// True where the store holds this session, as far as is known.
    pub(crate) fn is_stored(&self) -> bool {
        self.access == Access::Live && self.base.is_some() && self.next.is_none()
    }

    /// True where `key` names the session of this request.
    pub(crate) fn is_this(&self, key: &SessionKey) -> bool {
        self.key().as_ref() == Some(key) && self.next.is_none()
    }

    // --- saving ------------------------------------------------------------------------------

    /// Saves what has changed now, rather than with the commit. Nothing is written where nothing
    /// changed.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// # futures_executor::block_on(async {
    /// session.set("views", 1)?;
    /// session.save().await?;
    /// assert_eq!(session.version(), 1);
    /// assert!(!session.modified());
    /// # Ok(()) })
    /// # });
    /// ```
    ///
    /// # Errors
    /// `expired` where the end of the session has passed; `stale`, `rotated`, `revoked`,
    /// `pending`, `destroyed` as the load or the save finds; `too_large`; a storage error.
    /// The changes stay and can be saved again.
    pub async fn save(&mut self) -> Result<(), SessionError> {
        self.check_intent()?;
        self.persist().await
    }

    async fn persist(&mut self) -> Result<(), SessionError> {
        let Some(flow) = self.begin_save()? else {
            return Ok(());
        };
        let saved = self.drive(flow).await;
        if let Some(limit) = self.apply_save(saved)? {
            self.later(limit).await;
        }
        Ok(())
    }

    /// The flow that saves; `None` where nothing has to be saved.
    pub(crate) fn begin_save(&mut self) -> Result<Option<Flow<Saved>>, SessionError> {
        let work = self.plan()?;
        Ok(work.map(|work| Flow::new(&self.shared, |ctx| perform(ctx, work))))
    }

    /// Takes over what a save has done, or why it did not. Gives what may be left to `waitUntil`:
    /// the login stands whether or not older sessions could be ended.
    pub(crate) fn apply_save(
        &mut self,
        saved: Result<Saved, SessionError>,
    ) -> Result<Option<Flow<()>>, SessionError> {
        let saved = match saved {
            Ok(saved) => saved,
            Err(error) => {
                self.report_store_error(&error);
                return Err(self.refuse(error));
            }
        };
        let lineage = saved.identity.key.lineage;
        let (kind, owner) = match &saved.step {
            Step::Begin { owner: None } => (Some(EventKind::Created), None),
            Step::Begin { owner } => (Some(EventKind::Bound), owner.clone()),
            Step::Cycle => (Some(EventKind::Cycled), None),
            Step::Save => (None, None),
        };
        if let Some(kind) = kind {
            self.report(kind, Some(lineage), None);
        }
        self.answer_save(&saved);
        self.data = saved.envelope.data.clone();
        self.base = Some(saved.envelope);
        self.expiry = None;
        self.next = None;
        self.modified = Modified::default();
        let limited = owner.filter(|_| self.shared.config().settings().max_per_owner() > 0);
        Ok(limited.map(|owner| {
            Flow::new(&self.shared, async move |ctx: Ctx| {
                ctx.enforce_limit(&owner, lineage).await;
                Ok(())
            })
        }))
    }

    fn report_store_error(&self, error: &SessionError) {
        if error.connector_error().is_some() {
            self.shared
                .report_trouble(self.now(), self.key().map(|key| key.lineage), error.code());
        }
    }

    /// True where the store lacks what was loaded, and nothing saved since has made up for it.
    pub(crate) fn is_behind(&self) -> bool {
        self.behind && self.access == Access::Live && self.out.fresh.is_none()
    }

    /// The flow that puts a record again that the store lacks, or that two savers have written
    /// without knowing of each other; `None` where nothing is amiss. It writes what was loaded and
    /// never what this request has changed, which the application may have said not to save.
    pub(crate) fn begin_repair(&self) -> Option<Flow<Saved>> {
        if !self.is_behind() {
            return None;
        }
        let source = self.source()?;
        let work = Work {
            target: source.held.identity.clone(),
            data: source.base.data.clone(),
            source: Some(source),
            step: Step::Save,
            expiry: None,
            device: self.device(),
            retire: Vec::new(),
        };
        Some(Flow::new(&self.shared, |ctx| perform(ctx, work)))
    }

    /// Takes over what a repair has done. The request did not ask for it: a failure is not its own.
    pub(crate) fn apply_repair(&mut self, saved: Result<Saved, SessionError>) {
        match saved {
            Ok(saved) => {
                self.answer_save(&saved);
                self.base = Some(saved.envelope);
            }
            Err(error) => self.report_store_error(&error),
        }
    }

    /// The session that a save begins with.
    fn source(&self) -> Option<Source> {
        let (Presented::Session(held), Some(base)) = (self.presented(), &self.base) else {
            return None;
        };
        let now = self.now();
        Some(Source {
            // This request is a sign of life, though no cookie says so yet.
            held: Rc::new(Held {
                identity: held.identity.clone(),
                seen: held.seen.max(Some(self.loaded_at)),
                fresh: held.fresh.clone(),
            }),
            base: base.clone(),
            base_at: self.loaded_at.max(base.saved_at),
            look_again: now.saturating_sub(self.read_at) >= LOOK_AGAIN_AFTER,
        })
    }

    /// What has to be written, if anything.
    fn plan(&mut self) -> Result<Option<Work>, SessionError> {
        if !self.would_save() {
            return Ok(None);
        }
        if self.next.is_none() {
            match self.access {
                Access::Live | Access::Detached => {}
                Access::ReadOnly(code) => return Err(self.refuse(refusal(code))),
                Access::Closed(_) => drop(self.loaded()?),
                Access::Empty => self.create()?,
            }
        }
        self.check_size()?;
        let (source, target, step, retire) = match &self.next {
            Some(next) => {
                let source = if next.keep { self.source() } else { None };
                (
                    source,
                    next.identity.clone(),
                    next.step.clone(),
                    next.retire.clone(),
                )
            }
            None => {
                if self.expiry.is_none() {
                    self.check_expiry()?;
                }
                let source = self
                    .source()
                    .ok_or_else(|| refusal(ErrorCode::Unavailable))?;
                let target = source.held.identity.clone();
                (Some(source), target, Step::Save, Vec::new())
            }
        };
        Ok(Some(Work {
            source,
            target,
            step,
            data: self.data.clone(),
            expiry: self.expiry,
            device: self.device(),
            retire,
        }))
    }

    /// True where there is something to save that may be saved, or that is refused when it is.
    pub(crate) fn would_save(&self) -> bool {
        match (&self.next, self.access) {
            (Some(Next { step, .. }), access) => {
                let is_login = matches!(step, Step::Begin { owner: Some(_) });
                is_login || (access != Access::Detached && !self.cookie_was_withheld())
            }
            (None, Access::Live | Access::ReadOnly(_) | Access::Closed(_)) => self.modified(),
            (None, Access::Detached) => false,
            (None, Access::Empty) => {
                // An empty session is nobody's: it is made when it holds something.
                let holds = match self.modified {
                    Modified::Yes => true,
                    Modified::No => false,
                    Modified::Changes => !self.data.is_empty() && self.data.is_pending(),
                };
                holds && !self.destroyed && !self.cookie_was_withheld()
            }
        }
    }

    /// Tells the browser what was saved, and goes on as if it had come with that.
    fn answer_save(&mut self, saved: &Saved) {
        let new_key = !matches!(saved.step, Step::Save);
        let Saved {
            identity,
            envelope,
            text,
            ..
        } = saved;
        let mut identity = identity.clone();
        let now = self.now();
        // W runs from here: a put may take its time, and until it was answered it was seen nowhere.
        if new_key {
            identity.ticket.minted_at = identity.ticket.minted_at.max(now);
        }
        let ticket = &identity.ticket;
        let spec = self.shared.config().cookies();
        let browser_close = self.ends_with_browser(envelope.expiry);
        let Some(secret) = self.shared.config().ring().find(ticket.secret) else {
            return;
        };
        if new_key {
            let value = Zeroizing::new(ticket.encode(secret, spec.names().get(CookieKind::Key)));
            let left = seconds_until(ticket.end(self.shared.config().age()), now);
            let max_age = (!browser_close).then_some(left);
            self.out.key = Some(spec.set(CookieKind::Key, &value, max_age));
        }
        let fresh = Fresh {
            version: saved.version(),
            saved_at: envelope.saved_at.max(now),
            unstored: saved.unstored,
            overlay: overlay_fits(self.shared.config(), text).then(|| text.clone()),
        };
        let value = fresh.encode(secret, spec.names().get(CookieKind::Fresh), &ticket.token);
        let window = self.shared.config().settings().window();
        self.out.fresh = Some(spec.set(CookieKind::Fresh, &value, Some(window)));

        let seen = match self.presented() {
            Presented::Session(held) if !new_key => held.seen,
            _ => None,
        };
        let held = Held {
            identity: identity.clone(),
            seen,
            fresh: Some(fresh),
        };
        self.present(Presented::Session(Rc::new(held)));
        self.access = Access::Live;
        self.last_seen = envelope.saved_at;
    }

    fn check_size(&self) -> Result<(), SessionError> {
        let settings = self.shared.config().settings();
        let refuse = |actual: usize, what: &str, allowed: u32, setting: &str| {
            Err(SessionError::new(
                ErrorCode::TooLarge,
                format!("the session has {actual} {what}; {setting} allows {allowed}"),
            ))
        };
        let keys = self.data.values.len() + self.data.flash.len();
        if keys > settings.max_keys() as usize {
            return refuse(keys, "keys", settings.max_keys(), "SESSION_MAX_KEYS");
        }
        let tables = [&self.data.values, &self.data.flash];
        let bytes: usize = tables
            .iter()
            .flat_map(|table| table.iter())
            .map(|(key, text)| key.len() + text.len())
            .sum();
        if bytes > settings.max_record_bytes() as usize {
            let allowed = settings.max_record_bytes();
            return refuse(bytes, "bytes of data", allowed, "SESSION_MAX_RECORD_BYTES");
        }
        Ok(())
    }

    /// True where no key cookie came and the browser may have one that it did not send (RFC
    /// 6265bis section 5.8.3): minting would write over it, and a form on another site could log
    /// the user out that way.
    fn cookie_was_withheld(&self) -> bool {
        use crate::protocol::cookie::SameSite;
        if mutant!(withheld_cookie_overwritten) {
            return false;
        }
        if self.came().key || self.request.header("sec-fetch-site").as_deref() != Some("cross-site")
        {
            return false;
        }
        match self.shared.config().settings().cookie_same_site() {
            SameSite::None => false,
            SameSite::Strict => true,
            SameSite::Lax => !matches!(self.request.method().as_str(), "GET" | "HEAD"),
        }
    }

    fn device(&self) -> Device {
        let cut = |text: String| text.chars().take(USER_AGENT_MAX).collect::<String>();
        Device {
            user_agent: self
                .request
                .header("user-agent")
                .map(|text| cut(text).into()),
            place: self.request.place().map(|text| cut(text).into()),
        }
    }

    // --- committing --------------------------------------------------------------------------

    /// Carries out what is pending and closes the session for changes.
    pub(crate) async fn commit(&mut self, status: u16) -> Result<CommitHeaders, SessionError> {
        if self.phase == Phase::Committed {
            return self.check_open().map(|()| CommitHeaders::default());
        }
        let mut result = Ok(());
        if status < 500 && self.phase != Phase::Unloaded {
            result = self.persist().await;
            // After a save that failed there is nothing to repair with: what it was to do would be
            // carried out after all, behind an answer that says it was not.
            if result.is_ok()
                && let Some(repair) = self.begin_repair()
            {
                let saved = self.drive(repair).await;
                self.apply_repair(saved);
            }
        }
        self.close(status, result)
    }

    /// The last step of a commit: slides the idle time where that is due, and closes the session.
    pub(crate) fn close(
        &mut self,
        status: u16,
        saved: Result<(), SessionError>,
    ) -> Result<CommitHeaders, SessionError> {
        if saved.is_ok() && status < 500 && self.out.fresh.is_none() && self.seen_is_due() {
            self.slide();
        }
        self.phase = Phase::Committed;
        saved.map(|()| self.done_headers())
    }

    /// The headers for what was done already, by `destroy`, `flush` or an explicit `save`: for an
    /// answer that is sent instead of one whose commit failed.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// # futures_executor::block_on(async {
    /// session.set("views", 1)?;
    /// session.save().await?;
    /// // Were the commit to fail, the answer would still carry the cookies of that save.
    /// assert_eq!(session.done_headers().set_cookie().len(), 2);
    /// # Ok(()) })
    /// # });
    /// ```
    pub fn done_headers(&self) -> CommitHeaders {
        let Out { key, seen, fresh } = &self.out;
        let set_cookie: Vec<String> = [key, seen, fresh].into_iter().flatten().cloned().collect();
        let depends_on_session = !set_cookie.is_empty() || self.accessed();
        CommitHeaders {
            set_cookie,
            depends_on_session,
            server_timing: self.shared.timing().map(Timing::header),
        }
    }

    /// True where the seen cookie has to say that the browser was here.
    pub(crate) fn seen_is_due(&self) -> bool {
        let (Access::Live, Some(base)) = (self.access, &self.base) else {
            return false;
        };
        let idle = base
            .expiry
            .idle_seconds(self.shared.config().settings().idle_timeout());
        let since = self.loaded_at.saturating_sub(self.last_seen);
        idle > 0 && since >= i64::from(idle) * 1_000 / SEEN_FRACTION
    }

    fn slide(&mut self) {
        let (Presented::Session(held), Some(base)) = (self.presented(), &self.base) else {
            return;
        };
        let ticket = &held.identity.ticket;
        let Some(secret) = self.shared.config().ring().find(ticket.secret) else {
            return;
        };
        let spec = self.shared.config().cookies();
        let name = spec.names().get(CookieKind::Seen);
        let value = Seen { at: self.loaded_at }.encode(secret, name, &ticket.token);
        let left = seconds_until(ticket.end(self.shared.config().age()), self.loaded_at);
        let max_age = (!self.ends_with_browser(base.expiry)).then_some(left);
        self.out.seen = Some(spec.set(CookieKind::Seen, &value, max_age));
    }

    /// Sees `flow` through. A browser that goes away does not cut its writes short.
    async fn drive<T: 'static>(&self, flow: Flow<T>) -> Result<T, SessionError> {
        self.driver.drive(flow, self.wait_until.as_ref()).await
    }

    /// Leaves `flow` to `waitUntil`; sees it through where there is none.
    async fn later(&self, flow: Flow<()>) {
        let driver = self.driver.clone();
        let work = async move { drop(driver.drive(flow, None).await) };
        match &self.wait_until {
            Some(wait_until) => wait_until.leave(Box::pin(work)),
            None => work.await,
        }
    }
}

/// Puts the markers of a revocation, and removes records where that is asked for.
async fn revoke(ctx: &Ctx, markers: &[MarkerPut], purge: &[String]) -> Result<(), SessionError> {
    // Here it is over whether or not the store takes it: somebody pressed "log out".
    for marker in markers {
        marker.note(ctx);
    }
    put_markers(ctx, markers).await?;
    for record in purge {
        ctx.delete(record).await?;
    }
    Ok(())
}

/// Finishes a logout that storage could not take when it was asked for.
async fn finish_pending_logout(ctx: &Ctx, stone: Tombstone) -> Look {
    let access = if is_finished(ctx, stone).await {
        Access::Empty
    } else {
        Access::Detached
    };
    Look {
        finding: Finding::nothing(Outcome::Revoked, access),
        at: ctx.now(),
        asked_at: None,
        behind: false,
    }
}

/// True where all that the logout of `stone` owes is done, now if not before: each of its markers
/// stands, and the record is gone where records are deleted at once.
async fn is_finished(ctx: &Ctx, stone: Tombstone) -> bool {
    let now = ctx.now();
    let owed = markers_of(stone, now);
    let record = ctx
        .config()
        .settings()
        .purge()
        .then(|| ctx.config().names().record(&stone.key()));
    let names: Vec<String> = owed
        .iter()
        .map(|marker| marker.name(ctx.config()))
        .collect();
    let asked: Vec<&str> = names.iter().chain(&record).map(String::as_str).collect();
    let options = Freshness::Store.options(ctx.config());
    let found = ctx.read(&asked, options).await.ok();
    let text = |place: usize| found.as_ref()?.get(place)?.as_deref();
    // A rotation's marker is not the logout's.
    let stands = |place: usize| text(place).is_some_and(is_revoked);
    let missing: Vec<MarkerPut> = (0..owed.len())
        .filter(|place| !stands(*place))
        // One that stands says nothing of the others: a logout may have been stored in part.
        .filter(|_| !(mutant!(half_stored_logout_taken_for_done) && stands(0)))
        .map(|place| owed[place].clone())
        .collect();
    let purge: Vec<String> = record
        .filter(|_| found.is_none() || text(owed.len()).is_some())
        .into_iter()
        .collect();
    for marker in &owed {
        marker.note(ctx);
    }
    revoke(ctx, &missing, &purge).await.is_ok()
}

fn is_revoked(text: &str) -> bool {
    Marker::decode(text).death == Death::Revoked
}

fn markers_of(stone: Tombstone, now: i64) -> Vec<MarkerPut> {
    MarkerPut::revoked(&stone.key(), Some(stone.hard_end), now)
}

/// Whole seconds until `end`, rounded up: the browser never forgets first.
fn seconds_until(end: i64, now: i64) -> u32 {
    u32::try_from(end.saturating_sub(now).max(0).saturating_add(999) / 1_000).unwrap_or(u32::MAX)
}
