//! The sessions of one user: listing and ending them.

use crate::face::sessions::Sessions;
use crate::flow::owner::OwnedSession;
use crate::port::error::SessionError;
use crate::protocol::keys::SessionKey;

impl Sessions {
    /// The live sessions of a user, one entry for each lineage, most recently written first.
    ///
    /// The list is as eventually consistent as that of the store: a login of the last minute may be
    /// missing. Sessions that are known to have ended are left out.
    ///
    /// ```
    /// # edge_session::doc::run(async |sessions| {
    /// # use edge_session::CookieHeader;
    /// # let mut session = sessions.load(CookieHeader::none()).await;
    /// session.bind("ada")?;
    /// # let _ = sessions.commit(&mut session, 200).await?;
    /// let devices = sessions.list("ada").await?;
    /// assert_eq!(Some(&devices[0].key), session.session_key()?.as_ref());
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// `unsupported` if the connector cannot list; `invalid_value` for an empty or overlong user id;
    /// a storage error.
    pub async fn list(&self, owner: &str) -> Result<Vec<OwnedSession>, SessionError> {
        self.drive(self.counted().begin_list(owner)?).await
    }

    /// Ends one session of a user, for example on a lost device. It is dead everywhere within
    /// [`staleness_bound`](crate::Settings::staleness_bound) seconds, if writes propagate as fast
    /// as assumed.
    ///
    /// ```
    /// # edge_session::doc::run(async |sessions| {
    /// # use edge_session::CookieHeader;
    /// # let mut session = sessions.load(CookieHeader::none()).await;
    /// session.bind("ada")?;
    /// # let _ = sessions.commit(&mut session, 200).await?;
    /// let key = session.session_key()?.unwrap();
    /// assert_eq!(sessions.revoke("bob", &key).await.unwrap_err().code().as_str(), "not_found");
    /// sessions.revoke("ada", &key).await?;
    /// assert!(sessions.list("ada").await?.is_empty());
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// `not_found` for the session key of another user, or for one whose parts do not belong
    /// together, and `invalid_value` for an empty or overlong user id; nothing is read or written then.
    /// A storage error.
    pub async fn revoke(&self, owner: &str, key: &SessionKey) -> Result<(), SessionError> {
        let flow = self.counted().begin_revoke(owner, key.as_str())?;
        self.drive(flow).await
    }

    /// Ends every session of a user: "log out everywhere". Call it after a change of password, then
    /// `bind` again to continue.
    ///
    /// The first put, the user's own marker, ends all of them. Then it puts two markers for each
    /// session that has none yet. If the operations of one invocation are not enough, it fails with
    /// `quota`: all sessions have ended, and a call in another request continues with their
    /// markers.
    ///
    /// If the browser disconnects, this is interrupted, unless these sessions know the request: see
    /// [`with_wait_until`](Self::with_wait_until), or `with_context` in a Worker.
    ///
    /// ```
    /// # edge_session::doc::run(async |sessions| {
    /// # use edge_session::CookieHeader;
    /// # let mut session = sessions.load(CookieHeader::none()).await;
    /// session.bind("ada")?;
    /// # let _ = sessions.commit(&mut session, 200).await?;
    /// sessions.revoke_all("ada").await?;
    /// assert!(sessions.list("ada").await?.is_empty());
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// `invalid_value` for an empty or overlong user id. A storage error: sessions that were already
    /// ended stay ended, and another call continues.
    pub async fn revoke_all(&self, owner: &str) -> Result<(), SessionError> {
        let flow = self.counted().begin_revoke_all(owner, None)?;
        self.drive(flow).await
    }

    /// As [`revoke_all`](Self::revoke_all), except for the session with the key `spared`, under all
    /// its keys: "log out everywhere else".
    ///
    /// ```
    /// # edge_session::doc::run(async |sessions| {
    /// # use edge_session::CookieHeader;
    /// # let mut session = sessions.load(CookieHeader::none()).await;
    /// session.bind("ada")?;
    /// # let _ = sessions.commit(&mut session, 200).await?;
    /// if let Some(this) = session.session_key()? {
    ///     sessions.revoke_all_except("ada", &this).await?;
    /// }
    /// assert_eq!(sessions.list("ada").await?.len(), 1);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// `not_found` where `spared` is not a session key of this user, or its parts do not belong
    /// together: nothing is read or written then, because a session that was to be spared would be
    /// ended. Otherwise as [`revoke_all`](Self::revoke_all); a repeated call may spare another.
    pub async fn revoke_all_except(
        &self,
        owner: &str,
        spared: &SessionKey,
    ) -> Result<(), SessionError> {
        let flow = self
            .counted()
            .begin_revoke_all(owner, Some(spared.as_str()))?;
        self.drive(flow).await
    }
}
