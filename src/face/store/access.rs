//! Access checks: whether the session may be read or changed now. Every read goes through
//! [`SessionStore::view`] and every change through [`SessionStore::edit`], so untrusted data is
//! never read and no change goes unnoticed.

use crate::port::error::SessionError;
use crate::protocol::data::Data;
use crate::session::life::{Draft, Open, late};

use super::SessionStore;

/// **For adapters: access.** A response that used the session is for one browser only.
impl SessionStore {
    /// The data, if it can be trusted.
    pub(super) fn view(&self) -> Result<&Data, SessionError> {
        self.mark_accessed();
        let data = self.life.data().map_err(|error| self.refuse(error))?;
        self.check_in_time()?;
        Ok(data)
    }

    /// Fails if the response was committed before the session was first used: it may be cached.
    pub(super) fn check_in_time(&self) -> Result<(), SessionError> {
        if self.accessed.is_late() {
            return Err(late());
        }
        Ok(())
    }

    /// The data, if it may be changed.
    pub(super) fn edit(&mut self) -> Result<&mut Data, SessionError> {
        Ok(&mut self.draft()?.data)
    }

    /// The application's pending changes, if it may still make any.
    pub(super) fn draft(&mut self) -> Result<&mut Draft, SessionError> {
        self.mark_accessed();
        if let Err(error) = self.life.edit() {
            return Err(self.refuse(error));
        }
        self.life.edit()
    }

    /// Checks that the application may still decide about the session.
    pub(crate) fn check_intent(&self) -> Result<(), SessionError> {
        self.mark_accessed();
        self.life.check().map_err(|error| self.refuse(error))
    }

    /// Why the session can no longer be changed.
    #[cfg(all(target_arch = "wasm32", feature = "js"))]
    pub(crate) fn check_open(&self) -> Result<(), SessionError> {
        if self.life.is_unloaded() {
            return Ok(());
        }
        self.check_intent()
    }

    /// The session, if the application may still decide about it.
    pub(super) fn undecided(&mut self) -> Result<&mut Open, SessionError> {
        self.check_intent()?;
        self.life.decide()
    }

    /// True if any part of the session was accessed. The response then depends on it.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// assert!(!session.accessed());
    /// session.get::<u32>("views")?;
    /// assert!(session.accessed());
    /// # Ok(()) });
    /// ```
    #[doc(alias = "is_accessed")]
    #[must_use]
    pub fn accessed(&self) -> bool {
        self.accessed.is_marked()
    }

    /// Marks the session as accessed: a response built from it is for this browser only.
    pub(super) fn mark_accessed(&self) {
        self.accessed.mark();
    }

    /// Reads the session without recording an access or a refusal.
    #[cfg(all(target_arch = "wasm32", feature = "js"))]
    pub(crate) fn peek<T>(&self, look: impl FnOnce(&Self) -> T) -> T {
        self.accessed.unnoticed(|| look(self))
    }

    /// Records a refusal, for [`refusal`](Self::refusal).
    pub(super) fn refuse(&self, error: SessionError) -> SessionError {
        self.accessed.refuse(error)
    }

    /// The last refusal of this session, if any: an error that means that it cannot be used
    /// ([`ErrorCode::is_refusal`](crate::ErrorCode::is_refusal)). The response is a refusal only if the
    /// handler fails with it.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// # futures_executor::block_on(async {
    /// session.destroy().await?;
    /// assert!(session.set("cart", ["apple"]).is_err());
    /// assert_eq!(session.refusal().unwrap().code().as_str(), "destroyed");
    /// # Ok(()) })
    /// # });
    /// ```
    #[must_use]
    pub fn refusal(&self) -> Option<SessionError> {
        self.mark_accessed();
        self.accessed.refusal()
    }
}
