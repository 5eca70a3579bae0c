//! Loading: the input of the flow, and what its result means for the session.

use std::rc::Rc;

use crate::flow::engine::Flow;
use crate::flow::freshness::Freshness;
use crate::flow::load::{LoadResult, LoadedRecord};
use crate::port::error::SessionError;
use crate::port::events::EventKind;
use crate::protocol::outcome::{Access, Outcome, Verdict, choose};
use crate::session::life::{Base, InStore, Life, Open, not_loaded};
use crate::session::presented::{Presented, PresentedSession, RIVALS_MAX};

use super::SessionStore;

/// **Life cycle: loading.** A session is loaded once for a request. `handle` and
/// [`Sessions::load`](crate::Sessions::load) have done it.
impl SessionStore {
    /// Loads the session. This takes one read if the key cookie is authentic, and none otherwise. A
    /// second call does nothing.
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
    /// The error that every accessor returns afterwards if the load cannot be trusted:
    /// `unavailable`, `quota`, `pending` or `rotated`.
    pub async fn load(&mut self) -> Result<Outcome, SessionError> {
        self.mark_accessed();
        let found = self.load_without_access(Freshness::Memory).await;
        let found = found.map_err(|trouble| self.refuse(trouble))?;
        self.check_in_time()?;
        Ok(found)
    }

    /// Loads the session with the shortest cache time that the store supports, even if it was
    /// loaded before. Changes made in between are kept.
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
        self.mark_accessed();
        let found = self.load_without_access(Freshness::Shortest).await;
        let found = found.map_err(|trouble| self.refuse(trouble))?;
        self.check_in_time()?;
        Ok(found)
    }

    /// Loads on behalf of a handler. The session does not count as accessed, and an error is not
    /// recorded as a refusal.
    pub(crate) async fn load_without_access(
        &mut self,
        freshness: Freshness,
    ) -> Result<Outcome, SessionError> {
        if let Some(flow) = self.begin_load(freshness) {
            let loaded = self.drive(flow).await;
            self.apply_load(loaded);
        }
        self.found()
    }

    fn found(&self) -> Result<Outcome, SessionError> {
        match self.life.open().map(|open| &open.base) {
            Some(Base::Closed(error)) => Err(error.clone()),
            _ => self.outcome.ok_or_else(not_loaded),
        }
    }

    /// The flow that loads the session. `None` if there is nothing to ask the store; the session
    /// then counts as loaded.
    pub(crate) fn begin_load(&mut self, freshness: Freshness) -> Option<Flow<LoadResult>> {
        let wanted = match (&self.life, freshness) {
            (Life::Unloaded, _) => true,
            (Life::Open(open), Freshness::Store | Freshness::Shortest) => open.draft.key.is_none(),
            _ => false,
        };
        if !wanted {
            return None;
        }
        self.loaded_at = self.now();
        let stones = self.cookies().stones().to_vec();
        let mut rivals = self.cookies().rivals();
        if rivals.len() > RIVALS_MAX {
            rivals.clear();
        }
        if stones.is_empty() && rivals.is_empty() {
            self.apply_verdict(self.nothing(), InStore::default(), None);
            return None;
        }
        Some(self.shared.begin_load(stones, rivals, freshness))
    }

    /// The result of a load without an authentic key cookie.
    fn nothing(&self) -> Verdict {
        let (outcome, access) = match self.presented() {
            Presented::Nothing | Presented::Session(_) => (Outcome::New, Access::Empty),
            Presented::Rejected(_) => (Outcome::Rejected, Access::Empty),
            // Our cookie may be among those beyond the limit. Overfilling the header must not log
            // the user out.
            Presented::TooLarge => (Outcome::Rejected, Access::Detached),
            Presented::Ended => (Outcome::Expired, Access::Empty),
            Presented::Tombstone(_) => (Outcome::Revoked, Access::Empty),
            Presented::Ambiguous => (Outcome::Ambiguous, Access::Detached),
        };
        Verdict::nothing(outcome, access)
    }

    /// Applies the result of the load, or its error.
    pub(crate) fn apply_load(&mut self, loaded: Result<LoadResult, SessionError>) {
        match loaded {
            Ok(LoadResult {
                left: Some(left), ..
            }) => {
                self.change_cookies(|cookies| cookies.set_stones(left.stones()));
                let verdict = Verdict::nothing(Outcome::Revoked, Access::Detached);
                self.apply_verdict(verdict, InStore::default(), None);
            }
            Ok(LoadResult {
                records, rivals, ..
            }) => {
                self.change_cookies(|cookies| cookies.set_stones(Vec::new()));
                let (verdict, in_store) = if records.is_empty() {
                    (self.nothing(), InStore::default())
                } else {
                    self.choose_among(records, rivals)
                };
                self.apply_verdict(verdict, in_store, None);
            }
            Err(error) => {
                let access = if mutant!(outage_mints) {
                    Access::Empty
                } else {
                    Access::Closed(error.code())
                };
                let verdict = Verdict::nothing(Outcome::Unavailable, access);
                self.apply_verdict(verdict, InStore::default(), Some(error));
            }
        }
    }

    /// Chooses among the presented sessions by what was found for each. Returns what was found for
    /// the chosen one, and what is known of its copy in the store.
    fn choose_among(
        &mut self,
        mut records: Vec<LoadedRecord>,
        mut rivals: Vec<Rc<PresentedSession>>,
    ) -> (Verdict, InStore) {
        let found: Vec<_> = records
            .iter()
            .map(|record| (record.verdict.outcome, record.verdict.access))
            .collect();
        let chosen = match found[..] {
            [_] => Some(0),
            _ => choose(&found),
        };
        let Some(place) = chosen.filter(|place| *place < records.len().min(rivals.len())) else {
            self.change_cookies(|cookies| cookies.choose(None, rivals));
            return (
                Verdict::nothing(Outcome::Ambiguous, Access::Detached),
                InStore::default(),
            );
        };
        let session = rivals.swap_remove(place);
        self.change_cookies(|cookies| cookies.choose(Some(session), rivals));
        let LoadedRecord {
            verdict,
            at,
            asked_at,
            in_store,
        } = records.swap_remove(place);
        if let Some(asked_at) = asked_at {
            self.read_at = asked_at;
        }
        self.loaded_at = at;
        (verdict, in_store)
    }

    /// `error` says why the store could not be asked.
    fn apply_verdict(&mut self, verdict: Verdict, in_store: InStore, error: Option<SessionError>) {
        self.outcome = Some(verdict.outcome);
        self.report_load(verdict.outcome, verdict.conflict, error.as_ref());
        let base = Base::of(verdict, in_store, error);
        if let Life::Unloaded = self.life {
            self.life = Life::Open(Open::default());
        }
        if let Life::Open(open) = &mut self.life {
            open.reload(base);
        }
    }

    fn report_load(&self, outcome: Outcome, conflict: bool, error: Option<&SessionError>) {
        self.shared.count_outcome(outcome);
        let lineage = match self.presented() {
            Presented::Session(session) => Some(session.identity.key.lineage),
            Presented::Tombstone(stone) => Some(stone.lineage),
            _ => None,
        };
        let reason = match (self.presented(), error) {
            (Presented::Rejected(why), _) => Some(why.as_str()),
            (Presented::TooLarge, _) => Some("header_size"),
            (_, Some(error)) => Some(error.code().as_str()),
            _ => None,
        };
        if let Some(kind) = outcome.event() {
            self.report(kind, lineage, reason);
        }
        if conflict {
            self.shared.count(crate::flow::stats::Count::Conflicts);
            self.report(EventKind::Conflict, lineage, None);
        }
    }
}
