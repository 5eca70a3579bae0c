//! What is known about the session besides its data.

use crate::port::error::{ErrorCode, SessionError};
use crate::protocol::keys::{KeyParts, SessionKey};
use crate::protocol::outcome::Outcome;
use crate::protocol::record::Envelope;
use crate::session::life::{Base, Modified, Next, Open, Step, not_loaded};
use crate::session::presented::{Identity, Presented};

use super::SessionStore;

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
    /// `not_loaded` before a load, even if the request had no cookie.
    pub fn outcome(&self) -> Result<Outcome, SessionError> {
        self.mark_accessed();
        self.outcome.ok_or_else(|| self.refuse(not_loaded()))
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
            (Presented::Session(held), Base::Live(_) | Base::ReadOnly(..)) => Some(&held.identity),
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

    /// When the session was created, in milliseconds since 1970-01-01 UTC.
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
    pub fn created_at(&self) -> Result<Option<i64>, SessionError> {
        self.outcome()?;
        Ok(self.continued().map(|base| base.created_at))
    }

    /// The user id that the session is bound to.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// assert_eq!(session.owner()?, None);
    /// session.bind("ada")?;
    /// assert_eq!(session.owner()?, Some("ada"));
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// As [`get_json`](Self::get_json).
    pub fn owner(&self) -> Result<Option<&str>, SessionError> {
        self.view()?;
        Ok(self.life.open().and_then(Open::owner))
    }

    /// When the user last logged in, in milliseconds since 1970-01-01 UTC.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// assert_eq!(session.auth_time()?, None);
    /// session.bind("ada")?;
    /// assert!(session.auth_time()?.is_some());
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// As [`get_json`](Self::get_json).
    pub fn auth_time(&self) -> Result<Option<i64>, SessionError> {
        self.view()?;
        if let Some(Next { step, identity, .. }) = self.next() {
            match step {
                Step::Begin { owner: None } => return Ok(None),
                Step::Begin { owner: Some(_) } | Step::Cycle { renews_login: true } => {
                    return Ok(Some(identity.ticket.minted_at));
                }
                Step::Cycle { .. } | Step::Save => {}
            }
        }
        Ok(self.continued().and_then(|base| base.auth_time))
    }

    /// Fails if the last login was more than `max_age` seconds ago.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// assert_eq!(session.require_recent_auth(300).unwrap_err().code().as_str(), "reauth_required");
    /// session.bind("ada")?;
    /// session.require_recent_auth(300)?;
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// `reauth_required` if it was, or if nobody is logged in; otherwise as
    /// [`auth_time`](Self::auth_time).
    pub fn require_recent_auth(&self, max_age: u32) -> Result<(), SessionError> {
        let age = self.auth_time()?.map(|at| self.now().saturating_sub(at));
        match age {
            Some(age) if age <= i64::from(max_age) * 1_000 => Ok(()),
            _ => Err(SessionError::new(
                ErrorCode::ReauthRequired,
                format!("this operation needs a login within the last {max_age} seconds"),
            )),
        }
    }

    /// True if a commit would save the session: its content differs from what was loaded,
    /// `set_modified(true)` was called, or it gets a new key. False for a new session without data.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// # futures_executor::block_on(async {
    /// session.set("views", 1)?;
    /// session.save().await?;
    /// session.set("views", 1)?;
    /// assert!(!session.modified(), "it was 1 before");
    /// # Ok(()) })
    /// # });
    /// ```
    #[must_use]
    pub fn modified(&self) -> bool {
        self.life.open().is_some_and(|open| self.has_to_save(open))
    }

    /// `true`: save even if nothing changed. `false`: do not save the changes made so far.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// session.set("draft", "…")?;
    /// session.set_modified(false)?;
    /// assert!(!session.modified());
    /// session.set("draft", "text")?;
    /// assert!(session.modified(), "a later change counts again");
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// As [`remove`](Self::remove).
    pub fn set_modified(&mut self, modified: bool) -> Result<(), SessionError> {
        self.draft()?.save = if modified {
            Modified::Yes
        } else {
            Modified::No
        };
        Ok(())
    }

    /// True if a commit would write to the store or set a cookie.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// assert!(!session.needs_update());
    /// session.set("views", 1)?;
    /// assert!(session.needs_update());
    /// # Ok(()) });
    /// ```
    #[must_use]
    pub fn needs_update(&self) -> bool {
        self.mark_accessed();
        !self.life.is_committed()
            && (self.answer.has_cookie()
                || self.form.has_cookie()
                || self.would_save()
                || self.is_behind()
                || self.seen_is_due())
    }

    /// True if the changes made so far must not be saved.
    #[cfg(all(target_arch = "wasm32", feature = "js"))]
    pub(crate) fn is_left_unsaved(&self) -> bool {
        self.life
            .open()
            .is_some_and(|open| open.draft.save == Modified::No)
    }

    /// True if the store is known to hold this session.
    pub(crate) fn is_stored(&self) -> bool {
        self.life
            .open()
            .is_some_and(|open| open.base.is_live() && open.draft.key.is_none())
    }

    /// True if `key` names the session of this request.
    pub(crate) fn is_this(&self, key: &KeyParts) -> bool {
        let keeps = self
            .life
            .open()
            .is_some_and(|open| open.draft.key.is_none());
        keeps && self.key().as_ref() == Some(key)
    }

    /// What this request asks of the store is counted here, if requests are timed.
    #[cfg(any(
        feature = "worker",
        feature = "testing",
        all(target_arch = "wasm32", any(feature = "http", feature = "js"))
    ))]
    pub(crate) fn timing(&self) -> Option<std::rc::Rc<crate::flow::stats::Timing>> {
        self.shared.timing().cloned()
    }
}
