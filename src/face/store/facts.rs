//! What is known about the session besides its data.

use std::time::SystemTime;

use crate::port::error::{ErrorCode, SessionError};
use crate::port::time::instant;
use crate::protocol::keys::{KeyParts, SessionKey};
use crate::protocol::outcome::Outcome;
use crate::protocol::record::Envelope;
use crate::session::life::{Base, Next, Open, not_loaded};
use crate::session::presented::{Identity, Presented};

use super::SessionStore;

/// **Reading: facts about the session.** They are known after the load.
impl SessionStore {
    /// What the load found.
    ///
    /// ```
    /// # edge_session::doc::run(async |sessions| {
    /// use edge_session::{CookieHeader, Outcome};
    /// let mut session = sessions.open(CookieHeader::none());
    /// assert_eq!(session.outcome().unwrap_err().code().as_str(), "not_loaded");
    /// session.load().await?;
    /// assert_eq!(session.outcome()?, Outcome::New);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// `not_loaded` before a load, even if the request had no cookie. `committed` for a first use after
    /// the commit: the response may be cached.
    pub fn outcome(&self) -> Result<Outcome, SessionError> {
        self.mark_accessed();
        let outcome = self.outcome.ok_or_else(|| self.refuse(not_loaded()))?;
        self.check_in_time()?;
        Ok(outcome)
    }

    /// The public name of the session, safe to log. `None` before `create` or the first save.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// assert_eq!(session.session_key()?, None);
    /// session.create()?;
    /// assert!(session.session_key()?.unwrap().as_str().starts_with("-."));
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// As [`outcome`](Self::outcome).
    #[doc(alias = "id")]
    pub fn session_key(&self) -> Result<Option<SessionKey>, SessionError> {
        self.outcome()?;
        Ok(self.public_key().map(SessionKey::of))
    }

    pub(crate) fn public_key(&self) -> Option<String> {
        self.named()?.public_key(self.shared.config())
    }

    pub(super) fn key(&self) -> Option<KeyParts> {
        self.named().map(|identity| identity.key)
    }

    /// The session, by its key in this request.
    fn named(&self) -> Option<&Identity> {
        let open = self.life.open()?;
        if let Some(next) = &open.draft.key {
            return Some(&next.identity);
        }
        match (self.presented(), &open.base) {
            (Presented::Session(session), Base::Live(_) | Base::ReadOnly(..)) => {
                Some(&session.identity)
            }
            _ => None,
        }
    }

    /// The stored session that this one continues.
    pub(super) fn continued(&self) -> Option<&Envelope> {
        self.life.open()?.continued()
    }

    /// The key under which the commit will store the session, if that key is new.
    pub(super) fn next(&self) -> Option<&Next> {
        self.life.open()?.draft.key.as_ref()
    }

    /// True if the store does not hold this session yet. False if the load could not tell.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// # futures_executor::block_on(async {
    /// assert!(session.is_new()?);
    /// session.set("views", 1)?;
    /// session.save().await?;
    /// assert!(!session.is_new()?);
    /// # Ok(()) })
    /// # });
    /// ```
    ///
    /// # Errors
    /// As [`outcome`](Self::outcome).
    pub fn is_new(&self) -> Result<bool, SessionError> {
        self.outcome()?;
        let is_new =
            |open: &Open| open.continued().is_none() && !matches!(open.base, Base::Closed(_));
        Ok(self.life.open().is_none_or(is_new))
    }

    /// The number of saves of this session; 0 before the first.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// # futures_executor::block_on(async {
    /// session.set("views", 1)?;
    /// session.save().await?;
    /// assert_eq!(session.version()?, 1);
    /// # Ok(()) })
    /// # });
    /// ```
    ///
    /// # Errors
    /// As [`outcome`](Self::outcome).
    pub fn version(&self) -> Result<u32, SessionError> {
        self.outcome()?;
        Ok(self.continued().map_or(0, |base| base.version.counter))
    }

    /// When the session was created.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// # futures_executor::block_on(async {
    /// assert_eq!(session.created_at()?, None);
    /// session.set("views", 1)?;
    /// session.save().await?;
    /// assert!(session.created_at()?.is_some());
    /// # Ok(()) })
    /// # });
    /// ```
    ///
    /// # Errors
    /// As [`outcome`](Self::outcome).
    #[doc(alias = "creation_time")]
    pub fn created_at(&self) -> Result<Option<SystemTime>, SessionError> {
        Ok(self.created_ms()?.map(instant))
    }

    pub(crate) fn created_ms(&self) -> Result<Option<i64>, SessionError> {
        self.outcome()?;
        Ok(self.continued().map(|base| base.created_at))
    }

    /// True if the store is known to hold this session, also where only an older copy of it is visible.
    pub(crate) fn is_stored(&self) -> bool {
        let holds =
            |base: &Base| matches!(base, Base::Live(_) | Base::ReadOnly(_, ErrorCode::Stale));
        self.life
            .open()
            .is_some_and(|open| holds(&open.base) && open.draft.key.is_none())
    }

    /// True if `key` names the session of this request. One that cannot be read counts if the request
    /// presents no other: its cookie proves it.
    pub(crate) fn is_this(&self, key: &KeyParts) -> bool {
        let open = self.life.open();
        let keeps = open.is_some_and(|open| open.draft.key.is_none());
        let is_closed = open.is_some_and(|open| matches!(open.base, Base::Closed(_)));
        if self.life.is_unloaded() || (keeps && is_closed) {
            let rivals = self.cookies().rivals();
            return matches!(&rivals[..], [only] if only.identity.key == *key);
        }
        keeps && self.key().as_ref() == Some(key)
    }

    /// The counters of this request, if `SESSION_SERVER_TIMING` is on.
    #[cfg(any(
        feature = "worker",
        feature = "axum",
        feature = "testing",
        all(target_arch = "wasm32", feature = "js")
    ))]
    pub(crate) fn timing(&self) -> Option<std::rc::Rc<crate::flow::stats::Timing>> {
        self.shared.timing().cloned()
    }
}
