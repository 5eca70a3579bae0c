//! The port to storage. The adapters that come with the crate are in `src/face/connector`.
//!
//! [`SessionConnector`] is what a session needs from a key-value namespace: read some keys at once,
//! put one, delete one, list by prefix. It asks for no consistency: last writer wins, reads may be
//! stale and absence may be cached, as Workers KV documents of itself
//! (<https://developers.cloudflare.com/kv/concepts/how-kv-works/>).

use std::fmt;
use std::sync::Arc;

use futures_util::future::LocalBoxFuture;

/// An asynchronous key-value namespace.
///
/// Futures are boxed and not `Send`: a Worker has one thread, and the port is used as
/// `Rc<dyn SessionConnector>`. Keys are ASCII of at most 512 bytes, values are ASCII text.
///
/// ```
/// use edge_session::connector::{
///     ConnectorError, ConnectorErrorKind, MemoryConnector, Page, PutOptions, ReadOptions,
///     SessionConnector,
/// };
/// use futures_util::future::LocalBoxFuture;
///
/// /// A namespace that lists nothing.
/// struct Unlisted(MemoryConnector);
///
/// impl SessionConnector for Unlisted {
///     fn read<'a>(
///         &'a self,
///         keys: &'a [&'a str],
///         options: ReadOptions,
///     ) -> LocalBoxFuture<'a, Result<Vec<Option<String>>, ConnectorError>> {
///         self.0.read(keys, options)
///     }
///
///     fn put<'a>(
///         &'a self,
///         key: &'a str,
///         value: &'a str,
///         options: PutOptions,
///     ) -> LocalBoxFuture<'a, Result<(), ConnectorError>> {
///         self.0.put(key, value, options)
///     }
///
///     fn delete<'a>(&'a self, key: &'a str) -> LocalBoxFuture<'a, Result<(), ConnectorError>> {
///         self.0.delete(key)
///     }
///
///     fn list<'a>(
///         &'a self,
///         _prefix: &'a str,
///         _cursor: Option<&'a str>,
///     ) -> LocalBoxFuture<'a, Result<Page, ConnectorError>> {
///         let kind = ConnectorErrorKind::Unsupported;
///         Box::pin(async move { Err(ConnectorError::new(kind, "it cannot list")) })
///     }
/// }
/// ```
pub trait SessionConnector {
    /// The kind of store: `kv`, `memory`, or a word of your own. It is part of every key derived
    /// from the secret, so a cookie made for one kind of store is worthless for another, and
    /// changing the kind logs everybody out. A connector that wraps another one, and must read what
    /// that one stored, returns that one's kind.
    fn kind(&self) -> &str {
        "custom"
    }

    /// The values of `keys`, in the same order; `None` for a key that does not exist. One round
    /// trip.
    ///
    /// # Errors
    /// Any [`ConnectorError`]; a failed read is never reported as an absent key.
    fn read<'a>(
        &'a self,
        keys: &'a [&'a str],
        options: ReadOptions,
    ) -> LocalBoxFuture<'a, Result<Vec<Option<String>>, ConnectorError>>;

    /// Stores `value` under `key`, replacing any previous value.
    ///
    /// # Errors
    /// Any [`ConnectorError`]. The value may have been stored anyway: a put is safe to repeat.
    fn put<'a>(
        &'a self,
        key: &'a str,
        value: &'a str,
        options: PutOptions,
    ) -> LocalBoxFuture<'a, Result<(), ConnectorError>>;

    /// Removes `key`. Succeeds if it does not exist.
    ///
    /// # Errors
    /// Any [`ConnectorError`].
    fn delete<'a>(&'a self, key: &'a str) -> LocalBoxFuture<'a, Result<(), ConnectorError>>;

    /// One page of the keys that start with `prefix`, in byte order, after `cursor`.
    ///
    /// # Errors
    /// [`ConnectorErrorKind::Unsupported`] if the namespace cannot list; any other
    /// [`ConnectorError`].
    fn list<'a>(
        &'a self,
        prefix: &'a str,
        cursor: Option<&'a str>,
    ) -> LocalBoxFuture<'a, Result<Page, ConnectorError>>;
}

/// A connector that several share.
impl<C: SessionConnector + ?Sized> SessionConnector for std::rc::Rc<C> {
    fn kind(&self) -> &str {
        (**self).kind()
    }

    fn read<'a>(
        &'a self,
        keys: &'a [&'a str],
        options: ReadOptions,
    ) -> LocalBoxFuture<'a, Result<Vec<Option<String>>, ConnectorError>> {
        (**self).read(keys, options)
    }

    fn put<'a>(
        &'a self,
        key: &'a str,
        value: &'a str,
        options: PutOptions,
    ) -> LocalBoxFuture<'a, Result<(), ConnectorError>> {
        (**self).put(key, value, options)
    }

    fn delete<'a>(&'a self, key: &'a str) -> LocalBoxFuture<'a, Result<(), ConnectorError>> {
        (**self).delete(key)
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        cursor: Option<&'a str>,
    ) -> LocalBoxFuture<'a, Result<Page, ConnectorError>> {
        (**self).list(prefix, cursor)
    }
}

/// How to read.
///
/// ```
/// use edge_session::connector::ReadOptions;
/// assert_eq!(ReadOptions::default().cache_ttl, None);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReadOptions {
    /// Seconds that a location may answer from its cache (`cacheTtl` of Workers KV); `None` is the
    /// store's own default. A connector raises it to its store's minimum.
    pub cache_ttl: Option<u32>,
}

impl ReadOptions {
    /// Options with this cache time in seconds.
    ///
    /// ```
    /// use edge_session::connector::ReadOptions;
    /// assert_eq!(ReadOptions::cache_ttl(30).cache_ttl, Some(30));
    /// ```
    #[must_use]
    pub const fn cache_ttl(seconds: u32) -> Self {
        Self {
            cache_ttl: Some(seconds),
        }
    }
}

/// How to put.
///
/// ```
/// use edge_session::connector::PutOptions;
/// let options = PutOptions::ttl(3_600).with_metadata("created today");
/// assert_eq!(options.ttl, Some(3_600));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PutOptions {
    /// Seconds until the store may forget the value; `None` keeps it. A connector raises it to its
    /// store's minimum (60 s in Workers KV), so the value is never forgotten earlier than
    /// requested.
    pub ttl: Option<u32>,
    /// Text that [`SessionConnector::list`] returns with the key; at most 1024 bytes as JSON in
    /// Workers KV.
    pub metadata: Option<String>,
}

impl PutOptions {
    /// Options with this time to live in seconds.
    ///
    /// ```
    /// use edge_session::connector::PutOptions;
    /// assert_eq!(PutOptions::ttl(60).metadata, None);
    /// ```
    #[must_use]
    pub const fn ttl(seconds: u32) -> Self {
        Self {
            ttl: Some(seconds),
            metadata: None,
        }
    }

    /// Adds list metadata.
    ///
    /// ```
    /// use edge_session::connector::PutOptions;
    /// let options = PutOptions::default().with_metadata("text");
    /// assert_eq!(options.metadata.as_deref(), Some("text"));
    /// ```
    #[must_use]
    pub fn with_metadata(mut self, metadata: impl Into<String>) -> Self {
        self.metadata = Some(metadata.into());
        self
    }
}

/// A page of a listing.
///
/// ```
/// use edge_session::connector::{MemoryConnector, SessionConnector};
/// # futures_executor::block_on(async {
/// let store = MemoryConnector::new();
/// let mut cursor = None;
/// loop {
///     let page = store.list("s.", cursor.as_deref()).await?;
///     // page.keys …
///     cursor = page.cursor;
///     if cursor.is_none() {
///         break;
///     }
/// }
/// # Ok::<(), edge_session::connector::ConnectorError>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The keys of this page. Even an empty page may not be the last one.
    pub keys: Vec<ListedKey>,
    /// Where the next page starts. `None` on the last page.
    pub cursor: Option<String>,
}

/// One key of a listing.
///
/// ```
/// use edge_session::connector::{ListedKey, Page};
/// let key = ListedKey { name: "s.a".to_owned(), metadata: None };
/// let last = Page { keys: vec![key], cursor: None };
/// assert_eq!(last.keys.len(), 1);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedKey {
    /// The whole key, prefix included.
    pub name: String,
    /// The metadata it was put with.
    pub metadata: Option<String>,
}

/// What kind of failure a [`ConnectorError`] is.
///
/// ```
/// use edge_session::connector::{ConnectorError, ConnectorErrorKind};
///
/// fn of_status(status: u16) -> ConnectorError {
///     let kind = match status {
///         413 => ConnectorErrorKind::TooLarge,
///         // 429 too, if it limits the account and not the key.
///         _ => ConnectorErrorKind::Unavailable,
///     };
///     ConnectorError::new(kind, format!("it answered {status}"))
/// }
/// assert_eq!(of_status(429).kind().as_str(), "unavailable");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ConnectorErrorKind {
    /// Another write of this key was accepted less than a second ago, as Workers KV says. A marker that
    /// is refused with this twice counts as stored, so use it for nothing else.
    RateLimited,
    /// A quota is used up. Trying again does not help.
    Quota,
    /// The value, key or metadata is larger than the store accepts.
    TooLarge,
    /// The store does not support this operation.
    Unsupported,
    /// Everything else: the store could not be reached or failed. Trying again may help.
    Unavailable,
}

impl ConnectorErrorKind {
    /// The stable text of this kind: the `code` of a JavaScript connector's error.
    ///
    /// ```
    /// use edge_session::connector::ConnectorErrorKind;
    /// assert_eq!(ConnectorErrorKind::Quota.as_str(), "quota");
    /// ```
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RateLimited => "rate_limited",
            Self::Quota => "quota",
            Self::TooLarge => "too_large",
            Self::Unsupported => "unsupported",
            Self::Unavailable => "unavailable",
        }
    }
}

/// An error of a connector: its kind, a message from the store, and the store's own error.
///
/// ```
/// use edge_session::connector::{ConnectorError, ConnectorErrorKind};
/// let error = ConnectorError::new(ConnectorErrorKind::Quota, "spent for today");
/// assert_eq!(error.to_string(), "quota: spent for today");
/// ```
#[derive(Clone)]
pub struct ConnectorError {
    kind: ConnectorErrorKind,
    message: Arc<str>,
    source: Option<Arc<dyn std::error::Error + Send + Sync + 'static>>,
    timed_out: bool,
}

impl ConnectorError {
    /// An error of this kind, with the store's message.
    ///
    /// ```
    /// use edge_session::connector::{ConnectorError, ConnectorErrorKind};
    /// let error = ConnectorError::new(ConnectorErrorKind::Unavailable, "it did not answer");
    /// # let _ = error;
    /// ```
    #[cold]
    pub fn new(kind: ConnectorErrorKind, message: impl AsRef<str>) -> Self {
        Self {
            kind,
            message: Arc::from(message.as_ref()),
            source: None,
            timed_out: false,
        }
    }

    /// The store did not answer within this many seconds, which `setting` limits. A write may still
    /// arrive.
    #[cold]
    pub(crate) fn timeout(seconds: u32, setting: &str) -> Self {
        let message = format!("the store did not answer within {seconds} seconds ({setting})");
        Self {
            timed_out: true,
            ..Self::new(ConnectorErrorKind::Unavailable, message)
        }
    }

    /// True for [`timeout`](Self::timeout): whether a write was applied is not known.
    pub(crate) fn is_timeout(&self) -> bool {
        self.timed_out
    }

    /// Adds the store's own error as the source.
    ///
    /// ```
    /// use std::error::Error as _;
    ///
    /// use edge_session::connector::{ConnectorError, ConnectorErrorKind};
    /// let cause = "x".parse::<u32>().unwrap_err();
    /// let error = ConnectorError::new(ConnectorErrorKind::Unavailable, "no number").with_source(cause);
    /// assert!(error.source().is_some());
    /// ```
    #[must_use]
    pub fn with_source(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }

    /// What kind of failure it is.
    ///
    /// ```
    /// use edge_session::connector::{ConnectorError, ConnectorErrorKind};
    /// let error = ConnectorError::new(ConnectorErrorKind::Quota, "spent");
    /// assert_eq!(error.kind(), ConnectorErrorKind::Quota);
    /// ```
    #[must_use]
    pub fn kind(&self) -> ConnectorErrorKind {
        self.kind
    }
}

impl fmt::Display for ConnectorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.as_str(), self.message)
    }
}

impl fmt::Debug for ConnectorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ConnectorError({self})")
    }
}

impl std::error::Error for ConnectorError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        let source = self.source.as_deref()?;
        Some(source)
    }
}
