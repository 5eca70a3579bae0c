//! Ending sessions: logout, what happens if it cannot be stored, and ending sessions by their
//! session key.

use std::rc::Rc;

use crate::flow::end::Left;
use crate::flow::engine::Flow;
use crate::port::error::{ErrorCode, SessionError};
use crate::port::events::EventKind;
use crate::protocol::data::Data;
use crate::protocol::keys::SessionKey;
use crate::protocol::outcome::Outcome;
use crate::session::answer::Answer;
use crate::session::life::{Base, Draft, Life, Open, committed};
use crate::session::presented::PresentedSession;

use super::SessionStore;

/// A logout in progress: what it ends, and what the browser keeps if the store fails.
pub(crate) struct Ending {
    rivals: Vec<Rc<PresentedSession>>,
    /// True if the whole Cookie header was searched.
    whole: bool,
    at: i64,
}

/// **Life cycle: ending.** Logout, and sessions by their key. All of it takes effect when it is
/// called.
impl SessionStore {
    /// Logout: ends the session immediately, wherever it is used, and removes its cookies with the
    /// commit. It takes effect when it is called, under every outcome with an authentic key cookie,
    /// and is not undone if the request fails.
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
    /// `revocation_pending` if the store did not accept it. The browser is logged out anyway, and
    /// gets a cookie that finishes the logout with its next request. `committed`.
    #[doc(alias = "logout")]
    #[doc(alias = "invalidate")]
    pub async fn destroy(&mut self) -> Result<(), SessionError> {
        let (flow, ending) = self.begin_end()?;
        let stored = self.drive(flow).await;
        self.apply_end(ending, stored)
    }

    /// The flow that ends the presented sessions, and the logout that it carries out.
    pub(crate) fn begin_end(&mut self) -> Result<(Flow<Option<Left>>, Ending), SessionError> {
        // Even without cookies to remove, the response is for this browser only: from a cache,
        // it would be given to somebody who has them.
        self.mark_accessed();
        if self.life.is_committed() {
            return Err(committed());
        }
        let now = self.now();
        if self.life.is_unloaded() {
            self.loaded_at = now;
        }
        let whole = self.read_whole();
        let rivals = self.cookies().rivals();
        let flow = self.shared.begin_end(self.cookies().ends());
        let ending = Ending {
            rivals,
            whole,
            at: now,
        };
        Ok((flow, ending))
    }

    /// Marks the session as ended, whether or not that was `stored`.
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
        // It was ended before it was loaded. We know without a read that there is no session.
        self.outcome.get_or_insert(Outcome::New);
        for session in &rivals {
            let lineage = session.identity.key.lineage;
            let kind = match &left {
                Some(left) if left.has(lineage) => EventKind::RevocationPending,
                _ => EventKind::Destroyed,
            };
            self.report(kind, Some(lineage), None);
        }
        let (received, any) = (self.received(), !rivals.is_empty());
        let told = any && self.shared.protocol().tells_of_saves();
        let here = [received.key || any, received.seen, received.fresh || told];
        self.answer = Answer::removals(self.shared.config(), received, here);
        if !whole {
            self.answer = Answer::default();
            return Err(self.refuse(SessionError::new(
                ErrorCode::TooLarge,
                "the Cookie header is too large to find the session that must be ended, so \
                 nothing was ended; send fewer cookies",
            )));
        }
        let Some(left) = left else {
            self.change_cookies(|cookies| cookies.end(Vec::new()));
            return Ok(());
        };
        let error = self.leave_tombstones(&left, now);
        self.change_cookies(|cookies| cookies.end(left.stones()));
        Err(self.refuse(error))
    }

    /// Handles a logout that could not be stored. Each remaining session gets a tombstone in its
    /// own cookie, either the main one or a twin. If that is not possible for all of them, the
    /// browser keeps its cookies.
    fn leave_tombstones(&mut self, left: &Left, now: i64) -> SessionError {
        let received = self.received();
        let config = self.shared.config();
        let are_left = !left.is_cut_short()
            && self
                .answer
                .leave_tombstones(config, received, left.failed(), now);
        if !are_left {
            self.answer = Answer::default();
            let count = left.count();
            let message = format!(
                "the Cookie header has more sessions than one logout can end; {count} of them are \
                 left, and the browser keeps its cookies: log out again"
            );
            return SessionError::new(ErrorCode::RevocationPending, message);
        }
        let message = "the logout could not be stored yet; the browser's next request finishes it";
        match left.error() {
            Some(error) => SessionError::caused_by(ErrorCode::RevocationPending, message, error),
            None => SessionError::new(ErrorCode::RevocationPending, message),
        }
    }

    /// Logout that continues anonymously: [`destroy`](Self::destroy), then a new session, which is
    /// created when a value is set.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// # futures_executor::block_on(async {
    /// session.set("cart", "apple")?;
    /// session.flush().await?;
    /// assert!(session.is_empty()?);
    /// # Ok(()) })
    /// # });
    /// ```
    ///
    /// # Errors
    /// As [`destroy`](Self::destroy); the session stays destroyed then.
    #[doc(alias = "logout")]
    pub async fn flush(&mut self) -> Result<(), SessionError> {
        self.flush_keeping::<&str>([]).await
    }

    /// As [`flush`](Self::flush), but the new session keeps the values of these keys, if they are
    /// readable.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// # futures_executor::block_on(async {
    /// session.update([("theme", "dark"), ("cart", "apple")])?;
    /// session.flush_keeping(["theme"]).await?;
    /// assert_eq!(session.keys()?.collect::<Vec<_>>(), ["theme"]);
    /// # Ok(()) })
    /// # });
    /// ```
    ///
    /// # Errors
    /// As [`destroy`](Self::destroy); the session stays destroyed then.
    pub async fn flush_keeping<K: AsRef<str>>(
        &mut self,
        keys: impl IntoIterator<Item = K>,
    ) -> Result<(), SessionError> {
        let keep: Vec<String> = keys
            .into_iter()
            .map(|key| key.as_ref().to_owned())
            .collect();
        let kept = self.kept(&keep);
        self.destroy().await?;
        self.begin_again(kept);
        Ok(())
    }

    /// The readable values of the keys in `keep`.
    pub(crate) fn kept(&self, keep: &[String]) -> Data {
        let mut kept = self.life.data().cloned().unwrap_or_default();
        kept.retain(keep);
        kept.restart();
        kept
    }

    /// Continues anonymously after the logout, with the kept values.
    pub(crate) fn begin_again(&mut self, kept: Data) {
        self.life = Life::Open(Open {
            base: Base::Empty,
            draft: Draft {
                data: kept,
                ..Draft::default()
            },
            ..Open::default()
        });
    }

    /// True if this session is in the store and alive.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// # futures_executor::block_on(async {
    /// session.set("views", 1)?;
    /// assert!(!session.exists().await?);
    /// session.save().await?;
    /// assert!(session.exists().await?);
    /// # Ok(()) })
    /// # });
    /// ```
    ///
    /// # Errors
    /// As [`load`](Self::load).
    pub async fn exists(&mut self) -> Result<bool, SessionError> {
        self.load().await?;
        Ok(self.is_stored())
    }

    /// True if the session with this `key` exists and is alive. This is for administrators:
    /// ownership is not checked. False for a key whose parts do not belong together; nothing is
    /// read then.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// # futures_executor::block_on(async {
    /// session.set("views", 1)?;
    /// session.save().await?;
    /// let key = session.session_key()?.unwrap();
    /// assert!(session.exists_key(&key).await?);
    /// session.delete_key(&key).await?;
    /// assert!(!session.exists_key(&key).await?);
    /// # Ok(()) })
    /// # });
    /// ```
    ///
    /// # Errors
    /// A storage error.
    pub async fn exists_key(&mut self, key: &SessionKey) -> Result<bool, SessionError> {
        self.mark_accessed();
        match self.shared.begin_exists(key.as_str()) {
            Some(flow) => self.drive(flow).await,
            None => Ok(false),
        }
    }

    /// Ends this session immediately. An alias for [`destroy`](Self::destroy).
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// # futures_executor::block_on(async {
    /// session.set("views", 1)?;
    /// session.save().await?;
    /// session.delete().await?;
    /// assert!(!session.exists().await?);
    /// # Ok(()) })
    /// # });
    /// ```
    ///
    /// # Errors
    /// As [`destroy`](Self::destroy).
    pub async fn delete(&mut self) -> Result<(), SessionError> {
        self.destroy().await
    }

    /// Ends the session with this `key` immediately. This is for administrators: ownership is not
    /// checked. For this session's own key it does the same as [`destroy`](Self::destroy).
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// # futures_executor::block_on(async {
    /// session.set("views", 1)?;
    /// session.save().await?;
    /// let key = session.session_key()?.unwrap();
    /// session.delete_key(&key).await?;
    /// assert!(!session.exists().await?);
    /// # Ok(()) })
    /// # });
    /// ```
    ///
    /// # Errors
    /// As [`destroy`](Self::destroy); a storage error, and `not_found` for a key whose parts do not
    /// belong together: nothing is read or written then.
    pub async fn delete_key(&mut self, key: &SessionKey) -> Result<(), SessionError> {
        self.mark_accessed();
        let key = self.shared.config().read_key(key.as_str())?;
        if self.is_this(&key) {
            return self.destroy().await;
        }
        let flow = self.shared.begin_delete(key);
        self.drive(flow).await
    }
}
