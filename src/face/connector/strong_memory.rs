//! A strong store in memory, for the tests of applications and of this crate.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::rc::Rc;

use futures_util::future::LocalBoxFuture;

use super::sweep::Sweep;
use crate::face::connector::memory::{Clock, ManualClock, MemoryConnector};
use crate::port::connector::{ConnectorError, ListedKey, Page};
use crate::port::strong::{Check, Row, StrongConnector, Transacted, Write};

/// The number of keys on one page of a listing.
const PAGE_SIZE: usize = 1000;

/// A [`StrongConnector`] that keeps everything in memory and counts its operations.
///
/// A clone is another handle on the same store, so that a test can keep one and inspect it. A row
/// exists until the clock reaches its end.
///
/// ```
/// use edge_session::connector::{
///     Check, ManualClock, StrongConnector as _, StrongMemory, Transacted, Write,
/// };
/// # futures_executor::block_on(async {
/// let clock = ManualClock::new(0);
/// let store = StrongMemory::with_clock(clock.clone());
/// let put = Write::Put {
///     key: "s.a",
///     value: "1",
///     metadata: None,
///     revision: "first",
///     expires_at: 60_000,
///     dead: false,
/// };
/// assert_eq!(store.transact("shard", &[Check::Absent("s.a")], &[put]).await?, Transacted::Done);
///
/// clock.advance(59_999);
/// let rows = store.read("shard", &["s.a"]).await?;
/// assert_eq!(rows[0].as_ref().map(|row| &*row.value), Some("1"));
/// clock.advance(1);
/// assert_eq!(store.read("shard", &["s.a"]).await?, [None]);
/// assert_eq!(store.operations().reads, 2);
/// # Ok::<(), edge_session::connector::ConnectorError>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct StrongMemory(Rc<Store>);

struct Store {
    clock: Clock,
    shards: RefCell<BTreeMap<String, Shard>>,
    sweep: Sweep,
    operations: Cell<StrongCounts>,
    page_size: Cell<usize>,
}

/// The rows of one shard, also expired ones until the next sweep.
#[derive(Default)]
struct Shard(BTreeMap<String, Row>);

impl Shard {
    fn get(&self, key: &str, now: i64) -> Option<&Row> {
        self.0.get(key).filter(|row| now < row.expires_at)
    }

    /// The rows under `prefix`, those after `cursor`.
    fn under<'a>(
        &'a self,
        prefix: &'a str,
        cursor: Option<&'a str>,
        now: i64,
    ) -> impl Iterator<Item = (&'a String, &'a Row)> {
        // A cursor of another listing cannot leave the prefix.
        let from = match cursor {
            Some(last) if last >= prefix => Bound::Excluded(last),
            _ => Bound::Included(prefix),
        };
        self.0
            .range::<str, _>((from, Bound::Unbounded))
            .take_while(move |(key, _)| key.starts_with(prefix))
            .filter(move |(_, row)| now < row.expires_at)
    }

    fn write(&mut self, write: &Write<'_>, now: i64) {
        match *write {
            Write::Put {
                key,
                value,
                metadata,
                revision,
                expires_at,
                ..
            } => {
                let row = Row {
                    value: value.to_owned(),
                    metadata: metadata.map(str::to_owned),
                    revision: revision.to_owned(),
                    expires_at,
                };
                self.0.insert(key.to_owned(), row);
            }
            Write::Replace {
                prefix,
                except,
                value,
                revision,
                ..
            } => {
                let is_spared = |key: &str| except.iter().any(|except| key.starts_with(except));
                let rows = self
                    .0
                    .range_mut::<str, _>((Bound::Included(prefix), Bound::Unbounded));
                for (_, row) in rows
                    .take_while(|(key, _)| key.starts_with(prefix))
                    .filter(|(key, row)| now < row.expires_at && !is_spared(key))
                {
                    *row = Row {
                        value: value.to_owned(),
                        metadata: None,
                        revision: revision.to_owned(),
                        expires_at: row.expires_at,
                    };
                }
            }
        }
    }
}

/// How many operations a [`StrongMemory`] has carried out.
///
/// ```
/// use edge_session::connector::{StrongConnector as _, StrongMemory};
/// # futures_executor::block_on(async {
/// let store = StrongMemory::new();
/// store.read("shard", &["s.a"]).await?;
/// let counts = store.operations();
/// assert_eq!((counts.reads, counts.transactions, counts.lists), (1, 0, 0));
/// # Ok::<(), edge_session::connector::ConnectorError>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StrongCounts {
    /// Reads: one for each call, however many keys it names.
    pub reads: u64,
    /// Transactions, including those that ended in a conflict.
    pub transactions: u64,
    /// Transactions that ended in a conflict.
    pub conflicts: u64,
    /// Pages listed.
    pub lists: u64,
}

impl MemoryConnector {
    /// An empty store in memory that has transactions: a [`StrongMemory`].
    ///
    /// ```
    /// use edge_session::connector::MemoryConnector;
    /// use edge_session::{SecretRing, Sessions, Settings};
    /// # let ring = SecretRing::parse(&edge_session::doc::secret())?;
    /// let sessions = Sessions::strong(MemoryConnector::strong(), ring, Settings::default())?;
    /// # let _ = sessions;
    /// # Ok::<(), edge_session::SessionError>(())
    /// ```
    #[must_use]
    pub fn strong() -> StrongMemory {
        StrongMemory::new()
    }
}

impl StrongMemory {
    /// An empty store with the platform's clock.
    ///
    /// ```
    /// use edge_session::connector::StrongMemory;
    /// let store = StrongMemory::new();
    /// let same = store.clone(); // for the test to look at what the sessions do
    /// assert_eq!(same.operations(), store.operations());
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self::with(Clock::Platform)
    }

    /// An empty store with this clock.
    ///
    /// ```
    /// use edge_session::connector::{ManualClock, StrongMemory};
    /// let clock = ManualClock::new(0);
    /// let store = StrongMemory::with_clock(clock.clone());
    /// clock.advance(60_000);
    /// # let _ = store;
    /// ```
    #[must_use]
    pub fn with_clock(clock: ManualClock) -> Self {
        Self::with(Clock::Manual(clock))
    }

    fn with(clock: Clock) -> Self {
        Self(Rc::new(Store {
            clock,
            shards: RefCell::default(),
            sweep: Sweep::default(),
            operations: Cell::default(),
            page_size: Cell::new(PAGE_SIZE),
        }))
    }

    /// The operations since the store was created, or since
    /// [`reset_operations`](Self::reset_operations).
    ///
    /// ```
    /// use edge_session::connector::StrongMemory;
    /// assert_eq!(StrongMemory::new().operations().transactions, 0);
    /// ```
    #[must_use]
    pub fn operations(&self) -> StrongCounts {
        self.0.operations.get()
    }

    /// Resets the counts to zero.
    ///
    /// ```
    /// use edge_session::connector::{StrongConnector as _, StrongMemory};
    /// # futures_executor::block_on(async {
    /// let store = StrongMemory::new();
    /// store.list("shard", "", None).await?;
    /// store.reset_operations();
    /// assert_eq!(store.operations().lists, 0);
    /// # Ok::<(), edge_session::connector::ConnectorError>(())
    /// # }).unwrap();
    /// ```
    pub fn reset_operations(&self) {
        self.0.operations.set(StrongCounts::default());
    }

    /// Limits the pages of a listing to this many keys.
    ///
    /// ```
    /// use edge_session::connector::StrongMemory;
    /// let store = StrongMemory::new();
    /// store.set_page_size(2);
    /// ```
    pub fn set_page_size(&self, keys: usize) {
        self.0.page_size.set(keys.max(1));
    }

    /// The names of all shards that were written to, in byte order. Those of which every row has expired
    /// are dropped now and then.
    ///
    /// ```
    /// use edge_session::connector::StrongMemory;
    /// assert!(StrongMemory::new().shards().is_empty());
    /// ```
    #[must_use]
    pub fn shards(&self) -> Vec<String> {
        self.0.shards.borrow().keys().cloned().collect()
    }

    /// The keys and rows of a shard, in the order of the keys, without expired ones.
    ///
    /// ```
    /// use edge_session::connector::StrongMemory;
    /// assert!(StrongMemory::new().rows("shard").is_empty());
    /// ```
    #[must_use]
    pub fn rows(&self, shard: &str) -> Vec<(String, Row)> {
        let now = self.0.clock.now();
        let shards = self.0.shards.borrow();
        let rows = shards.get(shard).into_iter();
        rows.flat_map(|shard| shard.under("", None, now))
            .map(|(key, row)| (key.clone(), row.clone()))
            .collect()
    }

    /// Removes a shard with all its rows, as if somebody had deleted it.
    ///
    /// ```
    /// use edge_session::connector::StrongMemory;
    /// let store = StrongMemory::new();
    /// store.remove_shard("shard");
    /// assert!(store.shards().is_empty());
    /// ```
    pub fn remove_shard(&self, shard: &str) {
        self.0.shards.borrow_mut().remove(shard);
    }

    fn count(&self, add: impl FnOnce(&mut StrongCounts)) {
        let mut counts = self.0.operations.get();
        add(&mut counts);
        self.0.operations.set(counts);
    }

    fn transact_now(&self, shard: &str, checks: &[Check<'_>], writes: &[Write<'_>]) -> Transacted {
        let now = self.0.clock.now();
        let mut shards = self.0.shards.borrow_mut();
        let rows = |key: &str| shards.get(shard).and_then(|shard| shard.get(key, now));
        let fails = |check: &Check<'_>| !check.holds(rows(check.key()));
        if checks.iter().any(fails) {
            let found = checks.iter().map(|check| rows(check.key()).cloned());
            return Transacted::Conflict(found.collect());
        }
        if !writes.is_empty() {
            let shard = shards.entry(shard.to_owned()).or_default();
            for write in writes {
                shard.write(write, now);
            }
        }
        if self.0.sweep.is_due_after(writes.len()) {
            let mut kept = 0;
            shards.retain(|_, shard| {
                shard.0.retain(|_, row| now < row.expires_at);
                kept += shard.0.len();
                !shard.0.is_empty()
            });
            self.0.sweep.kept(kept);
        }
        Transacted::Done
    }
}

impl Default for StrongMemory {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for StrongMemory {
    /// Shows only counts, because keys and values do not belong in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StrongMemory")
            .field("shards", &self.0.shards.borrow().len())
            .field("operations", &self.operations())
            .finish()
    }
}

// Each operation happens completely when its future is polled, so no borrow outlives the poll. A
// future that is dropped without a poll does nothing and is not counted.
impl StrongConnector for StrongMemory {
    fn kind(&self) -> &str {
        "strong_memory"
    }

    fn read<'a>(
        &'a self,
        shard: &'a str,
        keys: &'a [&'a str],
    ) -> LocalBoxFuture<'a, Result<Vec<Option<Row>>, ConnectorError>> {
        Box::pin(async move {
            self.count(|counts| counts.reads += 1);
            let now = self.0.clock.now();
            let shards = self.0.shards.borrow();
            let shard = shards.get(shard);
            let row = |key: &&str| shard.and_then(|shard| shard.get(key, now)).cloned();
            Ok(keys.iter().map(row).collect())
        })
    }

    fn transact<'a>(
        &'a self,
        shard: &'a str,
        checks: &'a [Check<'a>],
        writes: &'a [Write<'a>],
    ) -> LocalBoxFuture<'a, Result<Transacted, ConnectorError>> {
        Box::pin(async move {
            let transacted = self.transact_now(shard, checks, writes);
            self.count(|counts| {
                counts.transactions += 1;
                counts.conflicts += u64::from(transacted != Transacted::Done);
            });
            Ok(transacted)
        })
    }

    fn list<'a>(
        &'a self,
        shard: &'a str,
        prefix: &'a str,
        cursor: Option<&'a str>,
    ) -> LocalBoxFuture<'a, Result<Page, ConnectorError>> {
        Box::pin(async move {
            self.count(|counts| counts.lists += 1);
            let now = self.0.clock.now();
            let shards = self.0.shards.borrow();
            let Some(shard) = shards.get(shard) else {
                return Ok(Page::default());
            };
            let mut found = shard.under(prefix, cursor, now);
            let keys: Vec<ListedKey> = found
                .by_ref()
                .take(self.0.page_size.get())
                .map(|(key, row)| ListedKey {
                    name: key.clone(),
                    metadata: row.metadata.clone(),
                })
                .collect();
            let more = found.next().is_some();
            let cursor = keys.last().filter(|_| more).map(|last| last.name.clone());
            Ok(Page { keys, cursor })
        })
    }
}

#[cfg(test)]
mod tests {
    use futures_executor::block_on;

    use super::*;

    const SHARD: &str = "o.ada";

    fn store() -> (StrongMemory, ManualClock) {
        let clock = ManualClock::new(1_700_000_000_000);
        (StrongMemory::with_clock(clock.clone()), clock)
    }

    fn put<'a>(key: &'a str, value: &'a str, revision: &'a str) -> Write<'a> {
        Write::Put {
            key,
            value,
            metadata: Some("listed"),
            revision,
            expires_at: 1_700_000_060_000,
            dead: false,
        }
    }

    fn transact(store: &StrongMemory, checks: &[Check<'_>], writes: &[Write<'_>]) -> Transacted {
        block_on(store.transact(SHARD, checks, writes)).unwrap()
    }

    fn values(store: &StrongMemory) -> Vec<String> {
        let rows = store.rows(SHARD).into_iter();
        rows.map(|(key, row)| format!("{key}={} {}", row.value, row.revision))
            .collect()
    }

    #[test]
    fn a_check_that_fails_leaves_everything_as_it_was() {
        let (store, _) = store();
        assert_eq!(
            transact(&store, &[Check::Absent("a")], &[put("a", "1", "r1")]),
            Transacted::Done
        );
        let checks = [Check::Revision("a", "r1"), Check::Absent("b")];
        assert_eq!(
            transact(&store, &checks, &[put("a", "2", "r2"), put("b", "1", "r2")]),
            Transacted::Done
        );
        let Transacted::Conflict(rows) = transact(&store, &checks, &[put("a", "3", "r3")]) else {
            panic!("it has changed")
        };
        let found: Vec<_> = rows
            .iter()
            .map(|row| &*row.as_ref().unwrap().value)
            .collect();
        assert_eq!(found, ["2", "1"]);
        assert_eq!(values(&store), ["a=2 r2", "b=1 r2"]);
    }

    #[test]
    fn replace_reaches_every_living_row_under_the_prefix_and_keeps_their_ends() {
        let (store, clock) = store();
        let old = Write::Put {
            key: "s.a.old",
            value: "1",
            metadata: None,
            revision: "r1",
            expires_at: 1_700_000_000_001,
            dead: false,
        };
        let writes = [
            old,
            put("s.a.x", "1", "r1"),
            put("s.b.y", "1", "r1"),
            put("t", "1", "r1"),
        ];
        transact(&store, &[], &writes);
        clock.advance(1);
        let replace = Write::Replace {
            prefix: "s.",
            except: &["s.b."],
            value: "x",
            revision: "r2",
            dead: true,
        };
        transact(&store, &[], &[replace]);
        assert_eq!(values(&store), ["s.a.x=x r2", "s.b.y=1 r1", "t=1 r1"]);
        let (_, row) = store.rows(SHARD).remove(0);
        assert_eq!((row.metadata, row.expires_at), (None, 1_700_000_060_000));
    }

    #[test]
    fn an_expired_row_is_absent_to_a_check() {
        let (store, clock) = store();
        transact(&store, &[], &[put("a", "1", "r1")]);
        clock.advance(60_000);
        assert_eq!(
            transact(&store, &[Check::Revision("a", "r1")], &[]),
            Transacted::Conflict(vec![None])
        );
        assert_eq!(
            transact(&store, &[Check::Absent("a")], &[]),
            Transacted::Done
        );
    }

    #[test]
    fn reads_make_no_shard_and_lists_go_by_pages() {
        let (store, _) = store();
        assert_eq!(block_on(store.read(SHARD, &["a"])).unwrap(), [None]);
        transact(&store, &[Check::Absent("a")], &[]);
        assert!(store.shards().is_empty());
        store.set_page_size(2);
        transact(
            &store,
            &[],
            &["a1", "a2", "a3", "b"].map(|key| put(key, "1", "r1")),
        );
        let page = block_on(store.list(SHARD, "a", None)).unwrap();
        assert_eq!((page.keys.len(), page.cursor.as_deref()), (2, Some("a2")));
        let page = block_on(store.list(SHARD, "a", Some("a2"))).unwrap();
        assert_eq!((page.keys.len(), page.cursor), (1, None));
    }

    #[test]
    fn what_has_expired_is_dropped_by_later_transactions() {
        let (store, clock) = store();
        for n in 0..10_000 {
            let key = format!("{n}");
            let put = Write::Put {
                key: &key,
                value: "1",
                metadata: None,
                revision: "r1",
                expires_at: clock.now() + 60_000,
                dead: false,
            };
            // Half of them are the only row of their shard.
            let shard = if n % 2 == 0 { SHARD } else { &key };
            block_on(store.transact(shard, &[], &[put])).unwrap();
            clock.advance(1_000);
        }
        let shards = store.0.shards.borrow();
        let kept: usize = shards.values().map(|shard| shard.0.len()).sum();
        assert!(
            kept < 2_000 && shards.len() < 2_000,
            "{kept} {}",
            shards.len()
        );
        assert!(shards[SHARD].get("9998", clock.now()).is_some());
        assert!(shards["9999"].get("9999", clock.now()).is_some());
    }
}
