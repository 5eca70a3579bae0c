//! The port to strongly consistent storage.
//!
//! [`StrongConnector`] is what a session needs of a store whose reads see the last write and whose
//! writes can be conditional: read some rows of one shard, change several of them or none, list by
//! prefix. A shard is what one transaction can reach: a Durable Object, a partition of a database.

use futures_util::future::LocalBoxFuture;

use crate::port::connector::{ConnectorError, Page};

/// What stands under a key of a shard.
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
    /// Text that [`StrongConnector::list`] gives back beside the key.
    pub metadata: Option<String>,
    /// Which write made it. Opaque to the store, chosen by the writer, never used twice.
    pub revision: String,
    /// Milliseconds since 1970-01-01 UTC. From this instant on, by its own clock, the store treats
    /// the row as if it were not there.
    pub expires_at: i64,
}

/// What has to be true for a transaction to happen.
///
/// ```
/// use edge_session::connector::Check;
/// let is_new = Check::Absent("s.a");
/// let is_unchanged = Check::Revision("s.b", "1");
/// assert_eq!((is_new.key(), is_unchanged.key()), ("s.a", "s.b"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Check<'a> {
    /// No row stands under this key.
    Absent(&'a str),
    /// The row under this key has this revision.
    Revision(&'a str, &'a str),
}

impl<'a> Check<'a> {
    /// The key that it is about.
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

    /// Whether it is true where `row` stands under its key.
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
/// };
/// let all_but_one = Write::Replace {
///     prefix: "s.",
///     except: &["s.b"],
///     value: "ended",
///     revision: "2",
/// };
/// # let _ = (put, all_but_one);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write<'a> {
    /// Puts a row, whatever stands there.
    Put {
        /// Its key.
        key: &'a str,
        /// Its value.
        value: &'a str,
        /// What a list gives back beside the key.
        metadata: Option<&'a str>,
        /// Its revision.
        revision: &'a str,
        /// When it ends, in milliseconds since 1970-01-01 UTC.
        expires_at: i64,
    },
    /// Gives every row under `prefix` that has not expired this value and revision. Their metadata
    /// is dropped, and each keeps its end.
    Replace {
        /// What the keys begin with.
        prefix: &'a str,
        /// Rows whose keys begin with one of these are left alone.
        except: &'a [&'a str],
        /// The value of each.
        value: &'a str,
        /// The revision of each.
        revision: &'a str,
    },
}

/// What became of a transaction.
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
    /// Every check was true, and every write is done.
    Done,
    /// A check was not true, and nothing was written. The rows that were checked, as they are, in
    /// the order of the checks.
    Conflict(Vec<Option<Row>>),
}

/// An asynchronous store of rows whose transactions are atomic and in one order for everybody.
///
/// A read sees every transaction that was answered before it began. Shards are independent of each
/// other. Keys and shard names are ASCII of at most 512 bytes. `docs/consistency.md` tells what
/// sessions promise on such a store.
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
    /// What kind of store it is: a word of your own. It enters every key that is derived from the
    /// secret, so that a cookie made over one kind of store is nothing over another; a kind that
    /// changes logs everybody out.
    fn kind(&self) -> &str {
        "strong"
    }

    /// The rows under `keys`, in their order; `None` for one that is not there, or has expired. It
    /// writes nothing: a shard that was never written to does not come about by it.
    ///
    /// # Errors
    /// Any [`ConnectorError`]; a failed read is never reported as an absent row.
    fn read<'a>(
        &'a self,
        shard: &'a str,
        keys: &'a [&'a str],
    ) -> LocalBoxFuture<'a, Result<Vec<Option<Row>>, ConnectorError>>;

    /// Makes all of `writes`, in their order, if all of `checks` are true; otherwise nothing.
    ///
    /// # Errors
    /// Any [`ConnectorError`]. `Unavailable` says nothing of whether it happened: the same
    /// transaction is then asked for once more, and its checks keep it from happening twice.
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
