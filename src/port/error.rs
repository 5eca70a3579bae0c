//! The error type of this crate.
//!
//! [`SessionError`] is opaque: a stable [`ErrorCode`], a sentence for a person and, where there
//! is one, the cause. It is cheap to clone (the same failure may reach several awaiting places of
//! one request) and never holds a token, a key or a stored value.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use crate::port::connector::{ConnectorError, ConnectorErrorKind};

/// The closed list of error codes. JavaScript has the stable text as `code`, and the HTTP interface
/// as `code` of its problem documents.
///
/// ```
/// # edge_session::doc::with_session(|session| {
/// use edge_session::ErrorCode;
/// let error = session.require::<u32>("views").unwrap_err();
/// assert_eq!(error.code(), ErrorCode::MissingKey);
/// # Ok(()) });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorCode {
    /// A setting, a secret or a combination of them is illegal.
    Config,
    /// The namespace or the secret that the settings name is not bound to this Worker.
    MissingBinding,
    /// The session was read before it was loaded.
    NotLoaded,
    /// A required key is not in the session.
    MissingKey,
    /// The value exists, but does not have the requested type.
    WrongType,
    /// The value, key or argument cannot be stored.
    InvalidValue,
    /// A record, a key or the number of keys exceeds its limit.
    TooLarge,
    /// The session has expired.
    Expired,
    /// The session was ended by a logout or a revocation.
    Revoked,
    /// The session continues under a new token; the old one is read-only now.
    Rotated,
    /// The session was destroyed earlier in this request.
    Destroyed,
    /// The session exists but is not visible at this location yet.
    Pending,
    /// Only a copy older than the one that this browser saved is visible at this location.
    Stale,
    /// The store asks for fewer writes to one key.
    RateLimited,
    /// The store's daily quota is used up.
    Quota,
    /// The store failed.
    Unavailable,
    /// The logout could not be written yet; the browser holds a tombstone that finishes it.
    RevocationPending,
    /// No such session of this owner.
    NotFound,
    /// The connector has no such operation.
    Unsupported,
    /// The session was committed; it can be read but no longer changed.
    Committed,
    /// The login is older than the operation allows.
    ReauthRequired,
    /// The module cannot work yet: not initialised, or no randomness at module scope.
    NotReady,
}

impl ErrorCode {
    /// Every code.
    #[cfg(all(target_arch = "wasm32", feature = "js"))]
    pub(crate) const ALL: &[Self] = &[
        Self::Config,
        Self::MissingBinding,
        Self::NotLoaded,
        Self::MissingKey,
        Self::WrongType,
        Self::InvalidValue,
        Self::TooLarge,
        Self::Expired,
        Self::Revoked,
        Self::Rotated,
        Self::Destroyed,
        Self::Pending,
        Self::Stale,
        Self::RateLimited,
        Self::Quota,
        Self::Unavailable,
        Self::RevocationPending,
        Self::NotFound,
        Self::Unsupported,
        Self::Committed,
        Self::ReauthRequired,
        Self::NotReady,
    ];

    /// The stable text of this code, as in `SessionError.code` and problem documents.
    ///
    /// ```
    /// assert_eq!(edge_session::ErrorCode::RateLimited.as_str(), "rate_limited");
    /// ```
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Config => "config",
            Self::MissingBinding => "missing_binding",
            Self::NotLoaded => "not_loaded",
            Self::MissingKey => "missing_key",
            Self::WrongType => "wrong_type",
            Self::InvalidValue => "invalid_value",
            Self::TooLarge => "too_large",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::Rotated => "rotated",
            Self::Destroyed => "destroyed",
            Self::Pending => "pending",
            Self::Stale => "stale",
            Self::RateLimited => "rate_limited",
            Self::Quota => "quota",
            Self::Unavailable => "unavailable",
            Self::RevocationPending => "revocation_pending",
            Self::NotFound => "not_found",
            Self::Unsupported => "unsupported",
            Self::Committed => "committed",
            Self::ReauthRequired => "reauth_required",
            Self::NotReady => "not_ready",
        }
    }

    /// The HTTP status of a response with this code.
    ///
    /// ```
    /// use edge_session::ErrorCode;
    /// assert_eq!((ErrorCode::Unavailable.status(), ErrorCode::Revoked.status()), (503, 409));
    /// ```
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::ReauthRequired => 401,
            Self::MissingKey | Self::NotFound => 404,
            Self::Expired | Self::Revoked | Self::Destroyed => 409,
            Self::TooLarge => 413,
            Self::InvalidValue | Self::WrongType => 422,
            Self::Pending
            | Self::Stale
            | Self::Rotated
            | Self::RateLimited
            | Self::Quota
            | Self::RevocationPending
            | Self::Unavailable => 503,
            Self::Config
            | Self::MissingBinding
            | Self::NotLoaded
            | Self::Unsupported
            | Self::Committed
            | Self::NotReady => 500,
        }
    }

    /// True for errors that mean that the session cannot be used.
    /// [`SessionStore::refusal`](crate::SessionStore::refusal) returns the last of them. The response is a
    /// refusal only if the closure fails with it: another error of the closure is not replaced.
    ///
    /// ```
    /// use edge_session::ErrorCode;
    /// assert!(ErrorCode::Stale.is_refusal() && !ErrorCode::MissingKey.is_refusal());
    /// ```
    #[must_use]
    pub const fn is_refusal(self) -> bool {
        matches!(
            self,
            Self::Expired
                | Self::Revoked
                | Self::Rotated
                | Self::Destroyed
                | Self::Pending
                | Self::Stale
                | Self::RateLimited
                | Self::RevocationPending
                | Self::Unavailable
        )
    }

    /// Seconds to wait before trying again, for a `Retry-After` header. `None` if a retry cannot
    /// help.
    ///
    /// ```
    /// use edge_session::ErrorCode;
    /// assert!(ErrorCode::Pending.retry_after().is_some());
    /// assert_eq!(ErrorCode::Revoked.retry_after(), None);
    /// ```
    #[must_use]
    pub const fn retry_after(self) -> Option<u32> {
        match self {
            Self::RateLimited => Some(1),
            Self::Pending | Self::Stale | Self::Rotated => Some(2),
            Self::Unavailable | Self::RevocationPending => Some(5),
            Self::Quota => Some(3600),
            _ => None,
        }
    }
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Any error of this crate.
///
/// Match on [`code`](Self::code); the text is for people and may change.
///
/// ```
/// use edge_session::{ErrorCode, SecretRing};
/// let error = SecretRing::parse("too short").unwrap_err();
/// assert_eq!(error.code(), ErrorCode::Config);
/// assert!(error.message().contains("secret"));
/// ```
///
/// It is `Send` and `Sync`, so `?` turns it into the errors that applications use:
///
/// ```
/// use std::error::Error;
///
/// use edge_session::{SecretRing, SessionError};
///
/// fn ring(secret: &str) -> Result<SecretRing, Box<dyn Error + Send + Sync>> {
///     Ok(SecretRing::parse(secret)?)
/// }
/// let error = ring("too short").err().unwrap();
/// assert!(error.downcast_ref::<SessionError>().is_some());
/// ```
#[derive(Clone)]
pub struct SessionError(Arc<Inner>);

struct Inner {
    code: ErrorCode,
    message: Cow<'static, str>,
    cause: Option<ConnectorError>,
}

impl SessionError {
    /// Creates an error with one of these codes, for closures that want the same kind of response.
    ///
    /// ```
    /// use edge_session::{ErrorCode, SessionError};
    /// let error = SessionError::new(ErrorCode::NotReady, "no randomness here");
    /// assert_eq!(error.to_string(), "not_ready: no randomness here");
    /// ```
    #[cold]
    pub fn new(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        Self(Arc::new(Inner {
            code,
            message: message.into(),
            cause: None,
        }))
    }

    /// What went wrong, stable across releases.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// let error = session.require::<u32>("views").unwrap_err();
    /// assert_eq!(error.code().as_str(), "missing_key");
    /// # Ok(()) });
    /// ```
    #[must_use]
    pub fn code(&self) -> ErrorCode {
        self.0.code
    }

    /// The message for people, without the code.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// let error = session.require::<u32>("views").unwrap_err();
    /// assert_eq!(error.message(), "the session has no key \"views\"");
    /// # Ok(()) });
    /// ```
    #[must_use]
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// True if the session has expired, as `SessionExpired` in JavaScript.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// # futures_executor::block_on(async {
    /// session.set_expiry(-1)?;
    /// session.set("views", 1)?;
    /// assert!(session.save().await.unwrap_err().is_expired());
    /// # Ok(()) })
    /// # });
    /// ```
    #[must_use]
    pub fn is_expired(&self) -> bool {
        self.0.code == ErrorCode::Expired
    }

    /// The connector's error that caused this one, if any.
    ///
    /// ```
    /// use edge_session::SessionError;
    /// use edge_session::connector::{ConnectorError, ConnectorErrorKind};
    /// let error = SessionError::from(ConnectorError::new(ConnectorErrorKind::Quota, "spent"));
    /// assert_eq!(error.connector_error().unwrap().kind(), ConnectorErrorKind::Quota);
    /// ```
    #[must_use]
    pub fn connector_error(&self) -> Option<&ConnectorError> {
        self.0.cause.as_ref()
    }

    /// The session's error that `error` is, or that is among its sources.
    ///
    /// ```
    /// use edge_session::{ErrorCode, SessionError};
    /// let error = SessionError::new(ErrorCode::ReauthRequired, "log in again");
    /// let wrapped = std::io::Error::other(error);
    /// let found = SessionError::find_in(&wrapped).unwrap();
    /// assert_eq!(found.code(), ErrorCode::ReauthRequired);
    /// ```
    #[must_use]
    pub fn find_in<'e>(error: &'e (dyn std::error::Error + 'static)) -> Option<&'e Self> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(found) = error.downcast_ref() {
                return Some(found);
            }
            // The inner error of an I/O error is not among its sources.
            let inner = error.downcast_ref().and_then(std::io::Error::get_ref);
            next = match inner {
                Some(inner) => Some(inner),
                None => error.source(),
            };
        }
        None
    }

    /// Creates an error with the connector's error of `cause`.
    pub(crate) fn caused_by(code: ErrorCode, message: &'static str, cause: &Self) -> Self {
        let cause = cause.0.cause.clone();
        Self(Arc::new(Inner {
            code,
            message: Cow::Borrowed(message),
            cause,
        }))
    }

    #[cold]
    pub(crate) fn config(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorCode::Config, message)
    }

    #[cold]
    pub(crate) fn invalid(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(ErrorCode::InvalidValue, message)
    }
}

impl From<ConnectorError> for SessionError {
    #[cold]
    fn from(error: ConnectorError) -> Self {
        let (code, message) = match error.kind() {
            ConnectorErrorKind::RateLimited => (
                ErrorCode::RateLimited,
                "the session store is rate limiting writes to this session; try again in a moment",
            ),
            ConnectorErrorKind::Quota => (
                ErrorCode::Quota,
                "the session store's daily quota is used up",
            ),
            ConnectorErrorKind::TooLarge => (
                ErrorCode::TooLarge,
                "the session is larger than the store accepts",
            ),
            ConnectorErrorKind::Unsupported => (
                ErrorCode::Unsupported,
                "the session store does not support this operation",
            ),
            ConnectorErrorKind::Unavailable => (
                ErrorCode::Unavailable,
                "the session store failed or could not be reached",
            ),
        };
        Self(Arc::new(Inner {
            code,
            message: Cow::Borrowed(message),
            cause: Some(error),
        }))
    }
}

impl fmt::Display for SessionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.code, self.0.message)
    }
}

impl fmt::Debug for SessionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = f.debug_struct("SessionError");
        out.field("code", &self.0.code.as_str())
            .field("message", &self.0.message);
        if let Some(cause) = &self.0.cause {
            out.field("cause", cause);
        }
        out.finish()
    }
}

impl std::error::Error for SessionError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.cause.as_ref().map(|cause| cause as _)
    }
}

/// An error of an application that may be a [`SessionError`], or carry one.
///
/// `Sessions::handle` answers such an error with the status of its code (401 for `reauth_required`,
/// 503 for `unavailable`) and hands every other error on. The trait is there for [`SessionError`],
/// `worker::Error`, boxed errors, `Infallible` and, with the feature `anyhow`, `anyhow::Error`. For an error of
/// your own it takes one line:
///
/// ```
/// use std::fmt;
///
/// use edge_session::{AsSessionError, ErrorCode, SessionError};
///
/// #[derive(Debug)]
/// enum ShopError {
///     Session(SessionError),
///     SoldOut,
/// }
///
/// impl From<SessionError> for ShopError {
///     fn from(error: SessionError) -> Self {
///         Self::Session(error)
///     }
/// }
///
/// impl fmt::Display for ShopError {
///     fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
///         f.write_str("the shop failed")
///     }
/// }
///
/// impl std::error::Error for ShopError {
///     fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
///         match self {
///             Self::Session(error) => Some(error),
///             Self::SoldOut => None,
///         }
///     }
/// }
///
/// impl AsSessionError for ShopError {
///     fn as_session_error(&self) -> Option<&SessionError> {
///         SessionError::find_in(self)
///     }
/// }
///
/// let error = ShopError::from(SessionError::new(ErrorCode::Stale, "an older copy"));
/// assert_eq!(error.as_session_error().unwrap().code(), ErrorCode::Stale);
/// assert!(ShopError::SoldOut.as_session_error().is_none());
/// ```
pub trait AsSessionError {
    /// The session's error that this is or carries.
    fn as_session_error(&self) -> Option<&SessionError>;
}

impl AsSessionError for SessionError {
    fn as_session_error(&self) -> Option<&SessionError> {
        Some(self)
    }
}

impl AsSessionError for std::convert::Infallible {
    fn as_session_error(&self) -> Option<&SessionError> {
        match *self {}
    }
}

impl AsSessionError for Box<dyn std::error::Error> {
    fn as_session_error(&self) -> Option<&SessionError> {
        SessionError::find_in(&**self)
    }
}

impl AsSessionError for Box<dyn std::error::Error + Send> {
    fn as_session_error(&self) -> Option<&SessionError> {
        SessionError::find_in(&**self)
    }
}

impl AsSessionError for Box<dyn std::error::Error + Send + Sync> {
    fn as_session_error(&self) -> Option<&SessionError> {
        SessionError::find_in(&**self)
    }
}

#[cfg(feature = "anyhow")]
impl AsSessionError for anyhow::Error {
    fn as_session_error(&self) -> Option<&SessionError> {
        SessionError::find_in(&**self)
    }
}
