//! The doors: whether the session may be read or changed now. All reading goes through
//! [`SessionStore::view`] and all changing through [`SessionStore::edit`], so that nothing is read
//! that cannot be trusted and nothing changes unnoticed.

use crate::port::error::SessionError;
use crate::protocol::data::Data;
use crate::session::life::{Draft, Open};

use super::SessionStore;

impl SessionStore {
    /// The data, if it can be trusted.
    pub(super) fn view(&self) -> Result<&Data, SessionError> {
        self.look_at();
        self.life.data().map_err(|error| self.refuse(error))
    }

    /// The data, if it may be changed.
    pub(super) fn edit(&mut self) -> Result<&mut Data, SessionError> {
        Ok(&mut self.draft()?.data)
    }

    /// What the application wants, if it may change that.
    pub(super) fn draft(&mut self) -> Result<&mut Draft, SessionError> {
        self.look_at();
        if let Err(error) = self.life.edit() {
            return Err(self.refuse(error));
        }
        self.life.edit()
    }

    /// Whether the application may still decide about the session.
    pub(crate) fn check_intent(&self) -> Result<(), SessionError> {
        self.look_at();
        self.life.check().map_err(|error| self.refuse(error))
    }

    /// Why the session cannot be changed any more.
    #[cfg(all(target_arch = "wasm32", feature = "js"))]
    pub(crate) fn check_open(&self) -> Result<(), SessionError> {
        if self.life.is_unloaded() {
            return Ok(());
        }
        self.check_intent()
    }

    /// The session, where the application may still decide about it.
    pub(super) fn undecided(&mut self) -> Result<&mut Open, SessionError> {
        self.check_intent()?;
        self.life.decide()
    }

    /// True where anything of the session was looked at: the answer depends on it then.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// assert!(!session.accessed());
    /// session.get::<u32>("views")?;
    /// assert!(session.accessed());
    /// # Ok(()) });
    /// ```
    #[must_use]
    pub fn accessed(&self) -> bool {
        self.accessed.is_marked()
    }

    /// Something of the session is about to be known outside of it: an answer that is made of
    /// that is for this browser only.
    pub(super) fn look_at(&self) {
        self.accessed.mark();
    }

    /// Looks at the session without that counting as access, or as a refusal.
    #[cfg(all(target_arch = "wasm32", feature = "js"))]
    pub(crate) fn peek<T>(&self, look: impl FnOnce(&Self) -> T) -> T {
        self.accessed.unnoticed(|| look(self))
    }

    /// Remembers a refusal: a closure that fails after it is answered with it.
    pub(super) fn refuse(&self, error: SessionError) -> SessionError {
        self.accessed.refuse(error)
    }

    /// The last refusal of this session, if there was one.
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
        self.look_at();
        self.accessed.refusal()
    }
}
