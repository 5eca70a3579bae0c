//! The port to storage, and the adapters that come with it.
//!
//! [`SessionConnector`] is what a session needs of a key-value namespace: read some keys at once,
//! put one, delete one, list by prefix. It asks for no consistency: last writer wins, reads may be
//! stale and absence may be cached, as Workers KV documents of itself
//! (<https://developers.cloudflare.com/kv/concepts/how-kv-works/>).

use std::fmt;
use std::rc::Rc;

use futures_util::future::LocalBoxFuture;

// Its rules are pure and tested natively; its calls exist in wasm only.
#[cfg(any(test, target_arch = "wasm32"))]
mod kv;
mod memory;

#[cfg(target_arch = "wasm32")]
pub use kv::KvConnector;
#[cfg(all(target_arch = "wasm32", feature = "js"))]
pub(crate) use kv::rules as kv_rules;
pub use memory::{ManualClock, MemoryConnector, OperationCounts};

/// An asynchronous key-value namespace.
///
/// Futures are boxed and not `Send`: a Worker has one thread, and the port is used as
/// `Rc<dyn SessionConnector>`. Keys are ASCII of at most 512 bytes, values are ASCII text.
pub trait SessionConnector {
    /// The values of `keys`, in their order; `None` for one that is not there. One round trip.
    ///
    /// # Errors
    /// Any [`ConnectorError`]; a failed read is never reported as an absent key.
    fn read<'a>(
        &'a self,
        keys: &'a [&'a str],
        options: ReadOptions,
    ) -> LocalBoxFuture<'a, Result<Vec<Option<String>>, ConnectorError>>;

    /// Stores `value` under `key`, replacing what is there.
    ///
    /// # Errors
    /// Any [`ConnectorError`]. The value may have been stored all the same: a put is safe to
    /// repeat.
    fn put<'a>(
        &'a self,
        key: &'a str,
        value: &'a str,
        options: PutOptions,
    ) -> LocalBoxFuture<'a, Result<(), ConnectorError>>;

    /// Removes `key`; success where it was not there.
    ///
    /// # Errors
    /// Any [`ConnectorError`].
    fn delete<'a>(&'a self, key: &'a str) -> LocalBoxFuture<'a, Result<(), ConnectorError>>;

    /// One page of the keys that start with `prefix`, in byte order, after `cursor`.
    ///
    /// # Errors
    /// [`ConnectorErrorKind::Unsupported`] where the namespace cannot list; any other
    /// [`ConnectorError`].
    fn list<'a>(
        &'a self,
        prefix: &'a str,
        cursor: Option<&'a str>,
    ) -> LocalBoxFuture<'a, Result<Page, ConnectorError>>;
}

/// How to read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReadOptions {
    /// Seconds that a location may answer from its cache (`cacheTtl` of Workers KV); `None` is
    /// the store's own default. A connector raises it to the least that its store takes.
    pub cache_ttl: Option<u32>,
}

impl ReadOptions {
    /// Options with this cache time in seconds.
    #[must_use]
    pub const fn cache_ttl(seconds: u32) -> Self {
        Self {
            cache_ttl: Some(seconds),
        }
    }
}

/// How to put.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PutOptions {
    /// Seconds until the store may forget the value; `None` keeps it. A connector raises it to
    /// the least that its store takes (60 s in Workers KV): never earlier than asked for.
    pub ttl: Option<u32>,
    /// Text that [`SessionConnector::list`] gives back beside the key; at most 1024 bytes as JSON
    /// in Workers KV.
    pub metadata: Option<String>,
}

impl PutOptions {
    /// Options with this time to live in seconds.
    #[must_use]
    pub const fn ttl(seconds: u32) -> Self {
        Self {
            ttl: Some(seconds),
            metadata: None,
        }
    }

    /// The same with list metadata.
    #[must_use]
    pub fn with_metadata(mut self, metadata: impl Into<String>) -> Self {
        self.metadata = Some(metadata.into());
        self
    }
}

/// A page of a listing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The keys of this page; a page may be empty and still have a successor.
    pub keys: Vec<ListedKey>,
    /// Where the next page starts; `None` on the last one.
    pub cursor: Option<String>,
}

/// One key of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedKey {
    /// The whole key, prefix included.
    pub name: String,
    /// The metadata it was put with.
    pub metadata: Option<String>,
}

/// What kind of failure a [`ConnectorError`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConnectorErrorKind {
    /// Too many writes to one key (Workers KV: one a second). Trying again later helps.
    RateLimited,
    /// A quota is spent. Trying again does not help.
    Quota,
    /// The value, key or metadata is larger than the store takes.
    TooLarge,
    /// The store has no such operation.
    Unsupported,
    /// Everything else: the store could not be reached or failed. Trying again may help.
    Unavailable,
}

impl ConnectorErrorKind {
    /// The stable text of this kind: the `code` that a JavaScript connector's error carries.
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

/// A failure of a connector: its kind, the store's own words, and the store's own error.
#[derive(Clone)]
pub struct ConnectorError {
    kind: ConnectorErrorKind,
    message: Rc<str>,
    source: Option<Rc<dyn std::error::Error + 'static>>,
}

impl ConnectorError {
    /// An error of this kind, in the store's own words.
    #[cold]
    pub fn new(kind: ConnectorErrorKind, message: impl AsRef<str>) -> Self {
        Self {
            kind,
            message: Rc::from(message.as_ref()),
            source: None,
        }
    }

    /// The same with the store's own error kept as its source.
    #[must_use]
    pub fn with_source(mut self, source: impl std::error::Error + 'static) -> Self {
        self.source = Some(Rc::new(source));
        self
    }

    /// What kind of failure it is.
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
        self.source.as_deref()
    }
}
