//! The life cycle of a session: load, create, cycle, bind, save, destroy, flush, commit.
//!
//! Decisions are made on plain values; what has to be put goes into a flow that owns its plan
//! (`Work` in `src/flow/save.rs`), and its result is applied afterwards. No borrow of the session
//! lives across an await.

use std::rc::Rc;

use zeroize::Zeroizing;

use crate::face::headers::CommitHeaders;
use crate::face::store::{Out, SessionStore};
use crate::flow::engine::{Ctx, Flow};
use crate::flow::load::{Freshness, Look, look, look_among};
use crate::flow::markers::put_markers;
use crate::flow::save::{Saved, Source, Work, overlay_fits, perform};
use crate::flow::shared::Shared;
use crate::flow::stats::Timing;
use crate::port::error::{ErrorCode, SessionError};
use crate::port::events::EventKind;
use crate::protocol::cookie::CookieKind;
use crate::protocol::data::Data;
use crate::protocol::keys::{Id, SessionKey};
use crate::protocol::outcome::{Access, Finding, Outcome, choose};
use crate::protocol::record::Device;
use crate::protocol::revocation::{Death, Marker};
use crate::protocol::ticket::{Fresh, Seen, Tombstone};
use crate::protocol::wire::encode_text;
use crate::session::life::{Base, Draft, Life, Modified, Next, Open, Step, committed};
use crate::session::marker_put::MarkerPut;
use crate::session::presented::{Beside, Held, Identity, Presented, RIVALS_MAX};
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
    rivals: Vec<Rc<Held>>,
    /// All of the Cookie header was looked at.
    whole: bool,
    at: i64,
}

/// What a load has looked for.
pub(crate) struct Looked {
    /// Logouts that still cannot be stored.
    left: Option<Left>,
    /// One for each of the rivals.
    looks: Vec<Look>,
    rivals: Vec<Rc<Held>>,
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
        match self.life.open().map(|open| &open.base) {
            Some(Base::Closed(error)) => Err(error.clone()),
            _ => Ok(self.outcome),
        }
    }

    /// The flow that loads; `None` where nothing has to be asked, and the session is as loaded as
    /// it will be.
    pub(crate) fn begin_load(&mut self, freshness: Freshness) -> Option<Flow<Looked>> {
        let wanted = match (&self.life, freshness) {
            (Life::Unloaded, _) => true,
            (Life::Open(open), Freshness::Store | Freshness::Shortest) => open.draft.key.is_none(),
            _ => false,
        };
        if !wanted {
            return None;
        }
        self.loaded_at = self.now();
        let stones = self.stones().to_vec();
        let mut rivals = self.rivals();
        if rivals.len() > RIVALS_MAX {
            rivals.clear();
        }
        if stones.is_empty() && rivals.is_empty() {
            self.take_finding(self.nothing(), false, None);
            return None;
        }
        Some(Flow::new(&self.shared, async move |ctx: Ctx| {
            let left = if stones.is_empty() {
                None
            } else {
                end(&ctx, &stones, true).await
            };
            let looks = match &rivals[..] {
                // As long as a logout is not stored, nothing of the browser is shown.
                _ if left.is_some() => Vec::new(),
                [] => Vec::new(),
                [held] => vec![look(&ctx, Rc::clone(held), freshness).await?],
                several => look_among(&ctx, several, freshness).await?,
            };
            Ok(Looked {
                left,
                looks,
                rivals,
            })
        }))
    }

    /// What a load finds where it has nothing to look for.
    fn nothing(&self) -> Finding {
        let (outcome, access) = match self.presented() {
            Presented::Nothing | Presented::Session(_) => (Outcome::New, Access::Empty),
            Presented::Rejected(_) => (Outcome::Rejected, Access::Empty),
            // Our cookie may be in it: whoever fills the header must not log the user out.
            Presented::TooLarge => (Outcome::Rejected, Access::Detached),
            Presented::Ended => (Outcome::Expired, Access::Empty),
            Presented::Tombstone(_) => (Outcome::Revoked, Access::Empty),
            Presented::Ambiguous => (Outcome::Ambiguous, Access::Detached),
        };
        Finding::nothing(outcome, access)
    }

    /// Takes over what the load has found, or why it found nothing.
    pub(crate) fn apply_load(&mut self, looked: Result<Looked, SessionError>) {
        match looked {
            Ok(Looked {
                left: Some(left), ..
            }) => {
                self.set_stones(left.stones());
                let finding = Finding::nothing(Outcome::Revoked, Access::Detached);
                self.take_finding(finding, false, None);
            }
            Ok(Looked { looks, rivals, .. }) => {
                self.set_stones(Vec::new());
                let (finding, behind) = if looks.is_empty() {
                    (self.nothing(), false)
                } else {
                    self.choose_among(looks, rivals)
                };
                self.take_finding(finding, behind, None);
            }
            Err(error) => {
                let access = if mutant!(outage_mints) {
                    Access::Empty
                } else {
                    Access::Closed(error.code())
                };
                let finding = Finding::nothing(Outcome::Unavailable, access);
                self.take_finding(finding, false, Some(error));
            }
        }
    }

    /// Chooses the session that is meant, by what was found of each. Gives what was found of it,
    /// and whether the store is behind.
    fn choose_among(&mut self, mut looks: Vec<Look>, mut rivals: Vec<Rc<Held>>) -> (Finding, bool) {
        let found: Vec<_> = looks
            .iter()
            .map(|look| (look.finding.outcome, look.finding.access))
            .collect();
        let chosen = match found[..] {
            [_] => Some(0),
            _ => choose(&found),
        };
        let Some(place) = chosen.filter(|place| *place < looks.len().min(rivals.len())) else {
            self.present(Presented::Ambiguous);
            self.set_rivals(rivals);
            return (
                Finding::nothing(Outcome::Ambiguous, Access::Detached),
                false,
            );
        };
        let held = rivals.swap_remove(place);
        self.present(Presented::Session(held));
        self.set_rivals(rivals);
        let Look {
            finding,
            at,
            asked_at,
            behind,
        } = looks.swap_remove(place);
        if let Some(asked_at) = asked_at {
            self.read_at = asked_at;
        }
        self.loaded_at = at;
        (finding, behind)
    }

    /// `error` is why the store could not be asked.
    fn take_finding(&mut self, finding: Finding, behind: bool, error: Option<SessionError>) {
        self.outcome = finding.outcome;
        self.report_load(finding.conflict, error.as_ref());
        let base = Base::of(finding, behind, error);
        if let Life::Unloaded = self.life {
            self.life = Life::Open(Open::default());
        }
        if let Life::Open(open) = &mut self.life {
            open.reload(base);
        }
    }

    fn report_load(&self, conflict: bool, error: Option<&SessionError>) {
        self.shared.count_outcome(self.outcome);
        let lineage = match self.presented() {
            Presented::Session(held) => Some(held.identity.key.lineage),
            Presented::Tombstone(stone) => Some(stone.lineage),
            _ => None,
        };
        let reason = match (self.presented(), error) {
            (Presented::Rejected(why), _) => Some(why.as_str()),
            (Presented::TooLarge, _) => Some("header_size"),
            (_, Some(error)) => Some(error.code().as_str()),
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
        let refused = match &self.undecided()?.base {
            Base::Live(_) | Base::Empty => None,
            // Its cookie would replace one that another answer has set, or will.
            Base::ReadOnly(_, code) => Some(refusal(*code)),
            Base::Closed(error) => Some(error.clone()),
            Base::Detached => return Ok(()),
        };
        if let Some(error) = refused {
            return Err(self.refuse(error));
        }
        let identity = Identity::mint(self.shared.config(), self.new_token()?, self.now(), None);
        let open = self.undecided()?;
        if open.continued().is_some() {
            open.start_empty();
        }
        open.draft.key = Some(Next {
            identity,
            step: Step::Begin { owner: None },
            continues: false,
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
        let open = self.undecided()?;
        if open.draft.key.is_some() {
            return Ok(());
        }
        let owner = open.owner().map(str::to_owned);
        let is_live = open.base.is_live();
        let Presented::Session(held) = self.presented().clone() else {
            return self.create();
        };
        if !is_live {
            return self.create();
        }
        let now = self.now();
        let identity = held.identity.rotate(
            self.shared.config(),
            self.new_token()?,
            now,
            owner.as_deref(),
        );
        let mut retire = vec![MarkerPut::rotated(&held.identity, now)];
        if mutant!(rotation_keeps_old_key) {
            retire.clear();
        }
        self.undecided()?.draft.key = Some(Next {
            identity,
            step: Step::Cycle,
            continues: true,
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
        // A session that was ended here may be followed by a login.
        if !self.life.is_ended() {
            self.undecided()?;
        }
        if owner.is_empty() || owner.len() > OWNER_MAX {
            let actual = owner.len();
            return Err(SessionError::invalid(format!(
                "a user id has 1 to {OWNER_MAX} bytes; this one has {actual}"
            )));
        }
        // What an answer of the store says of the session before does not matter to a login; that
        // the store did not answer does.
        if let Some(Base::Closed(error)) = self.life.open().map(|open| &open.base)
            && error.connector_error().is_some()
        {
            return Err(self.refuse(error.clone()));
        }
        let unstored = matches!(self.life, Life::Ended { stored: false, .. });
        if unstored || !self.stones().is_empty() {
            return Err(self.refuse(refusal(ErrorCode::RevocationPending)));
        }
        let now = self.now();
        let identity = Identity::mint(self.shared.config(), self.new_token()?, now, Some(owner));
        // A second login in one request retires what the first would have.
        let before = self.life.open().and_then(|open| open.draft.key.as_ref());
        let retire = match before {
            Some(Next {
                step: Step::Begin { owner: Some(_) },
                retire,
                ..
            }) => retire.clone(),
            _ => {
                let _whole = self.read_whole();
                self.presented_markers(now)
            }
        };
        if self.life.is_ended() {
            self.life = Life::Open(Open::default());
        }
        let open = self.undecided()?;
        let keep = keep && may_go_to(open, owner);
        if !keep {
            open.start_empty();
        }
        let continues = keep && open.base.is_live() && open.continued().is_some();
        if let Base::ReadOnly(..) | Base::Closed(_) = open.base {
            // What came is left behind: what begins here is read and changed.
            open.base = Base::Empty;
        }
        open.draft.key = Some(Next {
            identity,
            step: Step::Begin {
                owner: Some(owner.into()),
            },
            continues,
            retire,
        });
        Ok(())
    }

    /// What a login puts an end to: every presented session that is somebody's with its lineage,
    /// and the key of an anonymous one that may be there.
    fn presented_markers(&self, now: i64) -> Vec<MarkerPut> {
        let mut markers = Vec::new();
        if mutant!(login_keeps_old_session) {
            return markers;
        }
        // Under a header over its limits no load has finished them.
        for stone in self.stones().iter().take(ENDS_MAX) {
            markers.extend(markers_of(*stone, now));
        }
        let chosen = matches!(self.presented(), Presented::Session(_));
        for (place, held) in self.rivals().iter().take(ENDS_MAX).enumerate() {
            let identity = &held.identity;
            if identity.key.owner.is_some() {
                let end = Some(identity.ticket.hard_end);
                markers.extend(MarkerPut::revoked(&identity.key, end, now));
                continue;
            }
            // One that is dead stays as dead as it is; one that cannot be read is left alone.
            let may_live = match self.life.open().map(|open| &open.base) {
                // Beside the one that was chosen the others are over.
                _ if chosen && place > 0 => false,
                Some(Base::Live(_) | Base::Detached) => true,
                Some(Base::ReadOnly(_, code)) => *code == ErrorCode::Stale,
                Some(Base::Closed(error)) => error.code() == ErrorCode::Pending,
                Some(Base::Empty) | None => false,
            };
            if may_live {
                markers.push(MarkerPut::rotated(identity, now));
            }
        }
        markers
    }

    /// Whether the application may still decide about the session.
    pub(crate) fn check_intent(&self) -> Result<(), SessionError> {
        self.look_at();
        self.life.check().map_err(|error| self.refuse(error))
    }

    /// Why the session cannot be changed any more.
    #[cfg(all(target_arch = "wasm32", feature = "js"))]
    pub(crate) fn check_open(&self) -> Result<(), SessionError> {
        match self.life {
            Life::Unloaded => Ok(()),
            _ => self.check_intent(),
        }
    }

    /// The session, where the application may still decide about it.
    fn undecided(&mut self) -> Result<&mut Open, SessionError> {
        self.check_intent()?;
        self.life.decide()
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
    pub(crate) fn begin_end(&mut self) -> Result<(Flow<Option<Left>>, Ending), SessionError> {
        // An answer without cookies to remove is still one for this browser only: kept by a cache,
        // it would be given to somebody who has them.
        self.look_at();
        if self.life.is_committed() {
            return Err(committed());
        }
        let now = self.now();
        if self.life.is_unloaded() {
            self.loaded_at = now;
        }
        let whole = self.read_whole();
        let mut ends = self.stones().to_vec();
        let rivals = self.rivals();
        for held in &rivals {
            let Identity { ticket, key, .. } = &held.identity;
            let stone = Tombstone::new(ticket.secret, key, ticket.hard_end);
            if !ends.contains(&stone) {
                ends.push(stone);
            }
        }
        // Where there are more than one request ends, some may have been ended before.
        let may_stand = ends.len() > ENDS_MAX;
        let flow = Flow::new(&self.shared, async move |ctx: Ctx| {
            Ok(end(&ctx, &ends, may_stand).await)
        });
        let ending = Ending {
            rivals,
            whole,
            at: now,
        };
        Ok((flow, ending))
    }

    /// Takes over that the session has ended, `stored` or not.
    pub(crate) fn apply_end(
        &mut self,
        ending: Ending,
        stored: Result<Option<Left>, SessionError>,
    ) -> Result<(), SessionError> {
        let Ending {
            rivals,
            whole,
            at: now,
        } = ending;
        let left = stored.map_err(|error| self.refuse(error))?;
        self.life.end(left.is_none());
        for held in &rivals {
            let lineage = held.identity.key.lineage;
            let kind = match &left {
                Some(left) if left.has(lineage) => EventKind::RevocationPending,
                _ => EventKind::Destroyed,
            };
            self.report(kind, Some(lineage), None);
        }
        let (came, any) = (self.came(), !rivals.is_empty());
        let here = [came.key || any, came.seen, came.fresh || any];
        self.out = self.removals(here);
        if !whole {
            self.out = Out::default();
            return Err(self.refuse(SessionError::new(
                ErrorCode::TooLarge,
                "the Cookie header is too large to look for the session that is to be ended, and \
                 nothing was ended; send fewer cookies",
            )));
        }
        let Some(left) = left else {
            self.present(Presented::Nothing);
            self.set_beside(Beside::default());
            return Ok(());
        };
        let error = self.leave_tombstones(&left, now);
        let stones = left.stones();
        if let Some(stone) = stones.first() {
            self.present(Presented::Tombstone(*stone));
        }
        self.set_beside(Beside {
            rivals: Vec::new(),
            stones,
        });
        Err(self.refuse(error))
    }

    /// Takes the cookies of these kinds from the browser, and where several key cookies came those
    /// too that other settings have left behind.
    fn removals(&self, [key, seen, fresh]: [bool; 3]) -> Out {
        let spec = self.shared.config().cookies();
        let remove = |here: bool, kind| here.then(|| spec.remove(kind));
        Out {
            twins: self.twins([key, seen, fresh], &[]),
            key: remove(key, CookieKind::Key),
            seen: remove(seen, CookieKind::Seen),
            fresh: remove(fresh, CookieKind::Fresh),
        }
    }

    /// The fields that take the twins of these kinds from a browser that sent several key cookies;
    /// the first twins of the key cookie get `values` instead.
    fn twins(&self, here: [bool; 3], values: &[(String, u32)]) -> Vec<String> {
        if !self.came().several {
            return Vec::new();
        }
        let spec = self.shared.config().cookies();
        let kinds = CookieKind::ALL.into_iter().zip(here);
        kinds
            .filter(|(_, here)| *here)
            .flat_map(|(kind, _)| match kind {
                CookieKind::Key => spec.twins(kind, values),
                CookieKind::Seen | CookieKind::Fresh => spec.twins(kind, &[]),
            })
            .collect()
    }

    /// A logout that is not stored: each session that is left gets a tombstone in a cookie of its
    /// own, ours or a twin. The browser keeps what it has where that cannot be done for all.
    fn leave_tombstones(&mut self, left: &Left, now: i64) -> SessionError {
        let name = self.shared.config().cookies().names().get(CookieKind::Key);
        let values: Vec<(String, u32)> = left
            .failed
            .iter()
            .filter_map(|stone| {
                let secret = self.shared.config().ring().find(stone.secret)?;
                Some((
                    stone.encode(secret, name),
                    seconds_until(stone.hard_end, now),
                ))
            })
            .collect();
        let places = match self.came().several {
            true => 1 + self.shared.config().cookies().twin_count(),
            false => 1,
        };
        if !left.untried.is_empty() || values.len() > places {
            self.out = Out::default();
            let count = left.failed.len() + left.untried.len();
            let message = format!(
                "the Cookie header has more sessions than one logout can end; {count} of them are \
                 left, and the browser keeps its cookies: log out again"
            );
            return SessionError::new(ErrorCode::RevocationPending, message);
        }
        if let Some(((own, age), others)) = values.split_first() {
            let (seen, fresh) = (self.out.seen.is_some(), self.out.fresh.is_some());
            self.out.twins = self.twins([true, seen, fresh], others);
            let cookie = self
                .shared
                .config()
                .cookies()
                .set(CookieKind::Key, own, Some(*age));
            self.out.key = Some(cookie);
        }
        let message = "the logout could not be stored yet; the browser's next request finishes it";
        match &left.error {
            Some(error) => SessionError::caused_by(ErrorCode::RevocationPending, message, error),
            None => SessionError::new(ErrorCode::RevocationPending, message),
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
        let mut kept = self.life.data().cloned().unwrap_or_default();
        kept.retain(keep);
        kept.restart();
        kept
    }

    /// Goes on anonymously after the end, with what was kept.
    pub(crate) fn begin_again(&mut self, kept: Data) {
        self.life = Life::Open(Open {
            base: Base::Empty,
            draft: Draft {
                data: kept,
                ..Draft::default()
            },
        });
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
        self.life
            .open()
            .is_some_and(|open| open.base.is_live() && open.draft.key.is_none())
    }

    /// True where `key` names the session of this request.
    pub(crate) fn is_this(&self, key: &SessionKey) -> bool {
        let keeps = self
            .life
            .open()
            .is_some_and(|open| open.draft.key.is_none());
        keeps && self.key().as_ref() == Some(key)
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
        self.undecided()?;
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
        if let Life::Open(open) = &mut self.life {
            open.saved(saved.envelope);
        }
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
        let behind = |open: &Open| {
            let live = matches!(&open.base, Base::Live(known) if known.behind);
            live && open.continued().is_some()
        };
        self.out.fresh.is_none() && self.life.open().is_some_and(behind)
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
                if let Life::Open(open) = &mut self.life {
                    open.base = Base::live(saved.envelope);
                }
            }
            Err(error) => self.report_store_error(&error),
        }
    }

    /// The session that a save begins with.
    fn source(&self) -> Option<Source> {
        let Presented::Session(held) = self.presented() else {
            return None;
        };
        let base = self.life.open()?.continued()?;
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
        let Life::Open(open) = &self.life else {
            return Ok(None);
        };
        match (&open.draft.key, &open.base) {
            (Some(_), _) | (None, Base::Live(_) | Base::Detached) => {}
            (None, Base::ReadOnly(_, code)) => return Err(self.refuse(refusal(*code))),
            (None, Base::Closed(error)) => return Err(self.refuse(error.clone())),
            (None, Base::Empty) => self.create()?,
        }
        let Life::Open(open) = &self.life else {
            return Ok(None);
        };
        self.check_size(&open.draft.data)?;
        let (source, target, step, retire) = match &open.draft.key {
            Some(next) => (
                self.source(),
                next.identity.clone(),
                next.step.clone(),
                next.retire.clone(),
            ),
            None => {
                if open.draft.limits.is_none() {
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
            data: open.draft.data.clone(),
            expiry: open.draft.limits,
            device: self.device(),
            retire,
        }))
    }

    /// True where there is something to save that may be saved, or that is refused when it is.
    pub(crate) fn would_save(&self) -> bool {
        let Life::Open(open) = &self.life else {
            return false;
        };
        let Draft {
            data, key, save, ..
        } = &open.draft;
        match (key, &open.base) {
            (Some(Next { step, .. }), base) => {
                let is_login = matches!(step, Step::Begin { owner: Some(_) });
                is_login || (!matches!(base, Base::Detached) && !self.cookie_was_withheld())
            }
            (None, Base::Live(_) | Base::ReadOnly(..) | Base::Closed(_)) => open.is_modified(),
            (None, Base::Detached) => false,
            (None, Base::Empty) => {
                // A session is made when it holds something.
                let holds = match save {
                    Modified::Yes => true,
                    Modified::No => false,
                    Modified::Changes => !data.is_empty() && data.is_pending(),
                };
                holds && !self.cookie_was_withheld()
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
            let came = self.came();
            if matches!(saved.step, Step::Begin { owner: Some(_) }) {
                self.out.twins = self.twins([came.key, came.seen, came.fresh], &[]);
            }
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
        if new_key {
            // The others were over, or are now.
            self.set_rivals(Vec::new());
        }
    }

    fn check_size(&self, data: &Data) -> Result<(), SessionError> {
        let settings = self.shared.config().settings();
        let refuse = |actual: usize, what: &str, allowed: u32, setting: &str| {
            Err(SessionError::new(
                ErrorCode::TooLarge,
                format!("the session has {actual} {what}; {setting} allows {allowed}"),
            ))
        };
        let keys = data.values.len() + data.flash.len();
        if keys > settings.max_keys() as usize {
            return refuse(keys, "keys", settings.max_keys(), "SESSION_MAX_KEYS");
        }
        let tables = [&data.values, &data.flash];
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
        if self.life.is_committed() {
            return Err(committed());
        }
        let mut result = Ok(());
        if status < 500 && !self.life.is_unloaded() {
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
        self.life.commit();
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
        let Out {
            twins,
            key,
            seen,
            fresh,
        } = &self.out;
        let own = [key, seen, fresh].into_iter().flatten();
        let set_cookie: Vec<String> = twins.iter().chain(own).cloned().collect();
        let depends_on_session = !set_cookie.is_empty() || self.accessed();
        CommitHeaders {
            set_cookie,
            depends_on_session,
            server_timing: self.shared.timing().map(Timing::header),
        }
    }

    /// True where the seen cookie has to say that the browser was here.
    pub(crate) fn seen_is_due(&self) -> bool {
        let Some(open) = self.life.open() else {
            return false;
        };
        let (Base::Live(known), Some(base)) = (&open.base, open.continued()) else {
            return false;
        };
        let idle = base
            .expiry
            .idle_seconds(self.shared.config().settings().idle_timeout());
        let since = self.loaded_at.saturating_sub(known.last_seen);
        idle > 0 && since >= i64::from(idle) * 1_000 / SEEN_FRACTION
    }

    fn slide(&mut self) {
        let continued = self.life.open().and_then(Open::continued);
        let (Presented::Session(held), Some(base)) = (self.presented(), continued) else {
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

/// Most sessions that one request ends: each costs two or three puts, and who fills a header with
/// key cookies of his own decides how many there are.
const ENDS_MAX: usize = 2 * RIVALS_MAX;
/// Most sessions of one request whose end is asked for in one read, which takes a hundred keys.
const ASKED_MAX: usize = 24;

/// What a logout has not done.
pub(crate) struct Left {
    /// Tried and not stored.
    failed: Vec<Tombstone>,
    /// Over the number that one request ends.
    untried: Vec<Tombstone>,
    error: Option<SessionError>,
}

impl Left {
    fn stones(self) -> Vec<Tombstone> {
        self.failed.into_iter().chain(self.untried).collect()
    }

    fn has(&self, lineage: Id) -> bool {
        let mut all = self.failed.iter().chain(&self.untried);
        all.any(|stone| stone.lineage == lineage)
    }
}

/// What the end of one session takes.
struct Owed {
    stone: Tombstone,
    markers: Vec<MarkerPut>,
    /// The record, where records are deleted at once.
    purge: Vec<String>,
}

impl Owed {
    fn of(ctx: &Ctx, stone: Tombstone) -> Self {
        Self {
            stone,
            markers: markers_of(stone, ctx.now()),
            purge: if ctx.config().settings().purge() {
                vec![ctx.config().names().record(&stone.key())]
            } else {
                Vec::new()
            },
        }
    }

    fn names(&self, ctx: &Ctx) -> Vec<String> {
        let markers = self.markers.iter().map(|marker| marker.name(ctx.config()));
        markers.chain(self.purge.iter().cloned()).collect()
    }

    /// Leaves out what is done, by the values of its names.
    fn leave_out(&mut self, values: &[Option<String>]) {
        let value = |place: usize| values.get(place).and_then(|value| value.as_deref());
        // A rotation's marker is not the logout's.
        let stands = |place: usize| {
            value(place).is_some_and(|text| Marker::decode(text).death == Death::Revoked)
        };
        if value(self.markers.len()).is_none() {
            self.purge.clear();
        }
        // One that stands says nothing of the others: a logout may have been stored in part.
        let done = mutant!(half_stored_logout_taken_for_done) && stands(0);
        let markers = std::mem::take(&mut self.markers).into_iter().enumerate();
        self.markers = markers
            .filter(|(place, _)| !stands(*place) && !done)
            .map(|(_, marker)| marker)
            .collect();
    }

    fn is_done(&self) -> bool {
        self.markers.is_empty() && self.purge.is_empty()
    }
}

/// Ends each of the sessions that `ends` names: every marker stands then, and the record is gone
/// where records are deleted at once. `may_stand` looks at what is there first. Gives what is left.
async fn end(ctx: &Ctx, ends: &[Tombstone], may_stand: bool) -> Option<Left> {
    let mut owed: Vec<Owed> = ends.iter().map(|stone| Owed::of(ctx, *stone)).collect();
    // Here it is over whether or not the store takes it: somebody pressed "log out".
    for marker in owed.iter().flat_map(|it| &it.markers) {
        marker.note(ctx);
    }
    if may_stand {
        let asked = owed.len().min(ASKED_MAX);
        let names: Vec<Vec<String>> = owed.iter().take(asked).map(|it| it.names(ctx)).collect();
        let flat: Vec<&str> = names.iter().flatten().map(String::as_str).collect();
        if let Ok(values) = ctx
            .read(&flat, Freshness::Store.options(ctx.config()))
            .await
        {
            let mut rest = &values[..];
            for (owed, names) in owed.iter_mut().zip(&names) {
                let (mine, others) = rest.split_at(names.len().min(rest.len()));
                owed.leave_out(mine);
                rest = others;
            }
        }
        owed.retain(|it| !it.is_done());
    }
    let untried = owed.split_off(owed.len().min(ENDS_MAX));
    let mut left = Left {
        failed: Vec::new(),
        untried: untried.into_iter().map(|it| it.stone).collect(),
        error: None,
    };
    for it in owed {
        if let Err(error) = revoke(ctx, &it.markers, &it.purge).await {
            left.failed.push(it.stone);
            left.error = Some(error);
        }
    }
    (!left.failed.is_empty() || !left.untried.is_empty()).then_some(left)
}

fn markers_of(stone: Tombstone, now: i64) -> Vec<MarkerPut> {
    MarkerPut::revoked(&stone.key(), Some(stone.hard_end), now)
}

/// Whether the data that this request holds may become `owner`'s.
fn may_go_to(open: &Open, owner: &str) -> bool {
    let readable = match &open.base {
        Base::Live(_) | Base::Empty | Base::Detached => true,
        Base::ReadOnly(_, code) => matches!(code, ErrorCode::Stale | ErrorCode::Rotated),
        Base::Closed(_) => false,
    };
    readable && open.owner().is_none_or(|bound| bound == owner)
}

/// Whole seconds until `end`, rounded up: the browser never forgets first.
fn seconds_until(end: i64, now: i64) -> u32 {
    u32::try_from(end.saturating_sub(now).max(0).saturating_add(999) / 1_000).unwrap_or(u32::MAX)
}
