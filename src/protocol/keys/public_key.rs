//! The public name of a session.

use std::fmt;
use std::str::FromStr;

use super::id::Id;
use crate::port::error::{ErrorCode, SessionError};

/// The public name of a session, for lists of devices, logs and your own tables. It does not open
/// the session: only the token in the browser's cookie does.
///
/// A key is transmitted as text. Parsing it checks only its form. Methods that take a key check
/// whether the session exists and whose it is.
///
/// ```
/// # edge_session::doc::with_session(|session| {
/// use edge_session::SessionKey;
///
/// session.create()?;
/// let key = session.session_key()?.unwrap();
/// let text = key.to_string();
/// assert_eq!(text.parse::<SessionKey>()?, key);
/// assert_eq!("odd".parse::<SessionKey>().unwrap_err().code().as_str(), "not_found");
/// # Ok(()) });
/// ```
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionKey(String);

impl SessionKey {
    /// Wraps a text that we have written.
    pub(crate) fn of(text: String) -> Self {
        Self(text)
    }

    /// The text of the key.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// session.create()?;
    /// let key = session.session_key()?.unwrap();
    /// assert!(key.as_str().starts_with("-."), "it belongs to no user");
    /// # Ok(()) });
    /// ```
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The error for a text or key that does not name a session here.
    #[cold]
    pub(crate) fn unknown() -> SessionError {
        SessionError::new(
            ErrorCode::NotFound,
            "no session has this key; pass a key exactly as session_key() or list() returns it",
        )
    }
}

impl FromStr for SessionKey {
    type Err = SessionError;

    /// # Errors
    /// `not_found` if the text does not have the form of a session key.
    fn from_str(text: &str) -> Result<Self, SessionError> {
        let mut parts = text.split('.');
        let has_owner = parts
            .next()
            .is_some_and(|owner| owner == "-" || Id::parse(owner).is_some());
        // The lineage, the key and the tag over all parts.
        let ids = [parts.next(), parts.next(), parts.next()];
        let has_ids = ids.iter().all(|id| id.and_then(Id::parse).is_some());
        if has_owner && has_ids && parts.next().is_none() {
            Ok(Self(text.to_owned()))
        } else {
            Err(Self::unknown())
        }
    }
}

impl AsRef<str> for SessionKey {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionKey({})", self.0)
    }
}
