//! The port to strongly consistent storage.
//!
//! [`StrongConnector`] is what sessions need from a store whose reads see the last write and whose
//! writes can be conditional: read rows of one shard, change several of them or none, list by
//! prefix. A shard is the scope of one transaction: a Durable Object, or a partition of a database.

use futures_util::future::LocalBoxFuture;

use crate::port::connector::{ConnectorError, Page};

/// The row of a key in a shard.
///
/// ```
/// use edge_session::connector::Row;
/// let row = Row {
///     value: "text".to_owned(),
///     metadata: None,
///     revision: "1".to_owned(),
///     expires_at: 1_800_000_000_000,
/// };
/// assert_eq!(row.revision, "1");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// ASCII text.
    pub value: String,
    /// Text that [`StrongConnector::list`] returns with the key.
    pub metadata: Option<String>,
    /// Identifies the write. It is opaque to the store, chosen by the writer, and never used twice.
    pub revision: String,
    /// Milliseconds since 1970-01-01 UTC. From this instant on, by the store's own clock, the row
    /// counts as absent.
    pub expires_at: i64,
}

/// A condition of a transaction.
///
/// ```
/// use edge_session::connector::Check;
/// let is_new = Check::Absent("s.a");
/// let is_unchanged = Check::Revision("s.b", "1");
/// assert_eq!((is_new.key(), is_unchanged.key()), ("s.a", "s.b"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check<'a> {
    /// There is no row with this key.
    Absent(&'a str),
    /// The row with this key has this revision.
    Revision(&'a str, &'a str),
}

impl<'a> Check<'a> {
    /// The key that is checked.
    ///
    /// ```
    /// use edge_session::connector::Check;
    /// assert_eq!(Check::Revision("s.b", "1").key(), "s.b");
    /// ```
    #[must_use]
    pub const fn key(&self) -> &'a str {
        match self {
            Self::Absent(key) | Self::Revision(key, _) => key,
        }
    }

    /// True if the check succeeds for `row`, the current row of its key.
    ///
    /// ```
    /// use edge_session::connector::Check;
    /// assert!(Check::Absent("s.a").holds(None));
    /// assert!(!Check::Revision("s.a", "1").holds(None));
    /// ```
    #[must_use]
    pub fn holds(&self, row: Option<&Row>) -> bool {
        match self {
            Self::Absent(_) => row.is_none(),
            Self::Revision(_, revision) => row.is_some_and(|row| row.revision == *revision),
        }
    }
}

/// One change of a transaction.
///
/// ```
/// use edge_session::connector::Write;
/// let put = Write::Put {
///     key: "s.a",
///     value: "text",
///     metadata: None,
///     revision: "1",
///     expires_at: 1_800_000_000_000,
///     dead: false,
/// };
/// let all_but_one = Write::Replace {
///     prefix: "s.",
///     except: &["s.b"],
///     value: "ended",
///     revision: "2",
///     dead: true,
/// };
/// # let _ = (put, all_but_one);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write<'a> {
    /// Puts a row, replacing any existing one.
    Put {
        /// Its key.
        key: &'a str,
        /// Its value.
        value: &'a str,
        /// Text that a list returns with the key.
        metadata: Option<&'a str>,
        /// Its revision.
        revision: &'a str,
        /// When it ends, in milliseconds since 1970-01-01 UTC.
        expires_at: i64,
        /// True for a tombstone. A shard that is full may delete those older than a day.
        dead: bool,
    },
    /// Gives every row under `prefix` that has not expired this value and revision. Their metadata
    /// is removed, and each keeps its end.
    Replace {
        /// The prefix of the keys.
        prefix: &'a str,
        /// Rows whose keys start with one of these are not changed.
        except: &'a [&'a str],
        /// The new value.
        value: &'a str,
        /// The new revision.
        revision: &'a str,
        /// True if tombstones replace them.
        dead: bool,
    },
}

/// The result of a transaction.
///
/// ```
/// use edge_session::connector::{Check, StrongMemory, StrongConnector as _, Transacted};
/// # futures_executor::block_on(async {
/// let store = StrongMemory::new();
/// let answer = store.transact("a", &[Check::Revision("s.a", "1")], &[]).await?;
/// assert_eq!(answer, Transacted::Conflict(vec![None]));
/// # Ok::<(), edge_session::connector::ConnectorError>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Transacted {
    /// Every check succeeded, and all writes are done.
    Done,
    /// A check failed, and nothing was written. Contains the current rows of the checks, in order.
    Conflict(Vec<Option<Row>>),
}

/// An asynchronous store of rows with atomic, serialised transactions.
///
/// A read sees every transaction that was answered before it started. Shards are independent of
/// each other. Keys and shard names are ASCII of at most 512 bytes. `docs/consistency.md` describes
/// what sessions promise on such a store.
///
/// ```
/// use edge_session::connector::{
///     Check, ConnectorError, Page, Row, StrongConnector, StrongMemory, Transacted, Write,
/// };
/// use futures_util::future::LocalBoxFuture;
///
/// /// A store that says what is asked of it.
/// struct Talkative(StrongMemory);
///
/// impl StrongConnector for Talkative {
///     fn kind(&self) -> &str {
///         self.0.kind()
///     }
///
///     fn read<'a>(
///         &'a self,
///         shard: &'a str,
///         keys: &'a [&'a str],
///     ) -> LocalBoxFuture<'a, Result<Vec<Option<Row>>, ConnectorError>> {
///         println!("read {keys:?} of {shard}");
///         self.0.read(shard, keys)
///     }
///
///     fn transact<'a>(
///         &'a self,
///         shard: &'a str,
///         checks: &'a [Check<'a>],
///         writes: &'a [Write<'a>],
///     ) -> LocalBoxFuture<'a, Result<Transacted, ConnectorError>> {
///         println!("change {} rows of {shard}", writes.len());
///         self.0.transact(shard, checks, writes)
///     }
///
///     fn list<'a>(
///         &'a self,
///         shard: &'a str,
///         prefix: &'a str,
///         cursor: Option<&'a str>,
///     ) -> LocalBoxFuture<'a, Result<Page, ConnectorError>> {
///         println!("list {prefix} of {shard}");
///         self.0.list(shard, prefix, cursor)
///     }
/// }
/// ```
pub trait StrongConnector {
    /// The kind of store: a word of your own. It is part of every key derived from the secret, so a
    /// cookie made for one kind of store is worthless for another, and changing the kind logs
    /// everybody out.
    fn kind(&self) -> &str {
        "strong"
    }

    /// The rows of `keys`, in order; `None` for one that is absent or expired. It writes nothing,
    /// so reading a new shard must not create it.
    ///
    /// # Errors
    /// Any [`ConnectorError`]; a failed read is never reported as an absent row.
    fn read<'a>(
        &'a self,
        shard: &'a str,
        keys: &'a [&'a str],
    ) -> LocalBoxFuture<'a, Result<Vec<Option<Row>>, ConnectorError>>;

    /// Makes all of `writes`, in order, if all of `checks` succeed; otherwise nothing.
    ///
    /// # Errors
    /// Any [`ConnectorError`]. After `Unavailable` the transaction may or may not have happened: it
    /// is then repeated once, and its checks prevent it from happening twice.
    /// [`RateLimited`](crate::connector::ConnectorErrorKind::RateLimited) is for a store that is
    /// overloaded: it is not asked again.
    fn transact<'a>(
        &'a self,
        shard: &'a str,
        checks: &'a [Check<'a>],
        writes: &'a [Write<'a>],
    ) -> LocalBoxFuture<'a, Result<Transacted, ConnectorError>>;

    /// One page of the keys of rows that start with `prefix`, in byte order, after `cursor`.
    ///
    /// # Errors
    /// Any [`ConnectorError`].
    fn list<'a>(
        &'a self,
        shard: &'a str,
        prefix: &'a str,
        cursor: Option<&'a str>,
    ) -> LocalBoxFuture<'a, Result<Page, ConnectorError>>;
}

/// A connector that several share.
impl<C: StrongConnector + ?Sized> StrongConnector for std::rc::Rc<C> {
    fn kind(&self) -> &str {
        (**self).kind()
    }

    fn read<'a>(
        &'a self,
        shard: &'a str,
        keys: &'a [&'a str],
    ) -> LocalBoxFuture<'a, Result<Vec<Option<Row>>, ConnectorError>> {
        (**self).read(shard, keys)
    }

    fn transact<'a>(
        &'a self,
        shard: &'a str,
        checks: &'a [Check<'a>],
        writes: &'a [Write<'a>],
    ) -> LocalBoxFuture<'a, Result<Transacted, ConnectorError>> {
        (**self).transact(shard, checks, writes)
    }

    fn list<'a>(
        &'a self,
        shard: &'a str,
        prefix: &'a str,
        cursor: Option<&'a str>,
    ) -> LocalBoxFuture<'a, Result<Page, ConnectorError>> {
        (**self).list(shard, prefix, cursor)
    }
}
