//! A namespace in memory, for the tests of applications and of this crate.
//!
//! It is the strongest store the port allows: a write is seen at once, a time to live is exact.
//! What holds here still has to hold on a store that answers with old values.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::rc::Rc;

use futures_util::future::LocalBoxFuture;

use super::sweep::Sweep;
use crate::port::connector::{
    ConnectorError, ListedKey, Page, PutOptions, ReadOptions, SessionConnector,
};
use crate::port::runtime::{PlatformRuntime, Runtime as _};

/// Keys on one page of a listing, as in Workers KV.
const PAGE_SIZE: usize = 1000;

/// A [`SessionConnector`] that keeps everything in memory and counts what is asked of it.
///
/// A clone is another handle on the same store, so that a test can keep one and inspect it. A time to
/// live is exact to the millisecond: the value exists until the clock reaches its end.
///
/// ```
/// use edge_session::connector::{
///     ManualClock, MemoryConnector, PutOptions, ReadOptions, SessionConnector,
/// };
/// # futures_executor::block_on(async {
/// let clock = ManualClock::new(0);
/// let store = MemoryConnector::with_clock(clock.clone());
/// store.put("a", "1", PutOptions::ttl(60)).await?;
///
/// clock.advance(59_999);
/// assert_eq!(store.read(&["a"], ReadOptions::default()).await?, [Some("1".to_owned())]);
/// clock.advance(1);
/// assert_eq!(store.read(&["a"], ReadOptions::default()).await?, [None]);
/// assert_eq!(store.operations().reads, 2);
/// # Ok::<(), edge_session::connector::ConnectorError>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct MemoryConnector(Rc<Store>);

struct Store {
    clock: Clock,
    entries: RefCell<BTreeMap<String, Entry>>,
    sweep: Sweep,
    operations: Cell<OperationCounts>,
}

#[derive(Clone)]
struct Entry {
    value: String,
    metadata: Option<String>,
    /// Milliseconds since the epoch; `None` for one that stays.
    expires_at: Option<i64>,
}

impl Entry {
    fn is_live(&self, now: i64) -> bool {
        self.expires_at.is_none_or(|end| now < end)
    }
}

#[derive(Clone)]
pub(super) enum Clock {
    Platform,
    Manual(ManualClock),
}

impl Clock {
    pub(super) fn now(&self) -> i64 {
        match self {
            Self::Platform => PlatformRuntime.now(),
            Self::Manual(clock) => clock.now(),
        }
    }
}

/// A clock that stands still until you move it, in milliseconds since the Unix epoch.
///
/// A clone is another handle on the same clock.
///
/// ```
/// use edge_session::connector::ManualClock;
/// let clock = ManualClock::new(1_000);
/// let same = clock.clone();
/// clock.advance(500);
/// assert_eq!(same.now(), 1_500);
/// same.set(0);
/// assert_eq!(clock.now(), 0);
/// ```
#[derive(Clone, Debug, Default)]
pub struct ManualClock(Rc<Cell<i64>>);

impl ManualClock {
    /// A clock with this time (milliseconds since the epoch).
    ///
    /// ```
    /// use edge_session::connector::ManualClock;
    /// assert_eq!(ManualClock::new(1_000).now(), 1_000);
    /// ```
    #[must_use]
    pub fn new(milliseconds: i64) -> Self {
        Self(Rc::new(Cell::new(milliseconds)))
    }

    /// The current time of this clock (milliseconds since the epoch).
    ///
    /// ```
    /// use edge_session::connector::ManualClock;
    /// assert_eq!(ManualClock::default().now(), 0);
    /// ```
    #[must_use]
    pub fn now(&self) -> i64 {
        self.0.get()
    }

    /// Sets the time (milliseconds since the epoch). It may move backwards.
    ///
    /// ```
    /// use edge_session::connector::ManualClock;
    /// let clock = ManualClock::new(1_000);
    /// clock.set(500);
    /// assert_eq!(clock.now(), 500);
    /// ```
    pub fn set(&self, milliseconds: i64) {
        self.0.set(milliseconds);
    }

    /// Moves the time forward by this many milliseconds, or back if negative.
    ///
    /// ```
    /// use edge_session::connector::ManualClock;
    /// let clock = ManualClock::new(1_000);
    /// clock.advance(-500);
    /// assert_eq!(clock.now(), 500);
    /// ```
    pub fn advance(&self, milliseconds: i64) {
        self.0.set(self.0.get().saturating_add(milliseconds));
    }
}

/// How many operations a [`MemoryConnector`] has carried out.
///
/// ```
/// use edge_session::connector::{MemoryConnector, ReadOptions, SessionConnector as _};
/// # futures_executor::block_on(async {
/// let store = MemoryConnector::new();
/// store.read(&["a", "b"], ReadOptions::default()).await?;
/// let counts = store.operations();
/// assert_eq!((counts.reads, counts.keys_read, counts.puts), (1, 2, 0));
/// # Ok::<(), edge_session::connector::ConnectorError>(())
/// # }).unwrap();
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct OperationCounts {
    /// Reads: one for each call, however many keys it names. A round trip each.
    pub reads: u64,
    /// Keys named by all reads together. Workers KV bills each.
    pub keys_read: u64,
    /// Puts.
    pub puts: u64,
    /// Deletes, including those of absent keys.
    pub deletes: u64,
    /// Pages listed.
    pub lists: u64,
}

impl MemoryConnector {
    /// An empty store with the platform's clock.
    ///
    /// ```
    /// use edge_session::connector::MemoryConnector;
    /// let store = MemoryConnector::new();
    /// let same = store.clone(); // to see what the sessions do
    /// assert_eq!(same.operations(), store.operations());
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self::with(Clock::Platform)
    }

    /// An empty store with this clock. The clock affects only the store: `testing::World` (feature
    /// `testing`) moves the time of the sessions too, and so does a runtime with the same clock.
    ///
    /// ```
    /// use edge_session::connector::{ManualClock, MemoryConnector, PutOptions, ReadOptions};
    /// use edge_session::connector::SessionConnector as _;
    /// # futures_executor::block_on(async {
    /// let clock = ManualClock::new(0);
    /// let store = MemoryConnector::with_clock(clock.clone());
    /// store.put("a", "1", PutOptions::ttl(60)).await?;
    /// clock.advance(60_000);
    /// assert_eq!(store.read(&["a"], ReadOptions::default()).await?, [None]);
    /// # Ok::<(), edge_session::connector::ConnectorError>(())
    /// # }).unwrap();
    /// ```
    #[must_use]
    pub fn with_clock(clock: ManualClock) -> Self {
        Self::with(Clock::Manual(clock))
    }

    fn with(clock: Clock) -> Self {
        Self(Rc::new(Store {
            clock,
            entries: RefCell::default(),
            sweep: Sweep::default(),
            operations: Cell::default(),
        }))
    }

    /// The operations since the store was created, or since
    /// [`reset_operations`](Self::reset_operations).
    ///
    /// ```
    /// use edge_session::connector::MemoryConnector;
    /// assert_eq!(MemoryConnector::new().operations().puts, 0);
    /// ```
    #[must_use]
    pub fn operations(&self) -> OperationCounts {
        self.0.operations.get()
    }

    /// Resets the counts to zero.
    ///
    /// ```
    /// use edge_session::connector::{MemoryConnector, SessionConnector as _};
    /// # futures_executor::block_on(async {
    /// let store = MemoryConnector::new();
    /// store.delete("a").await?;
    /// store.reset_operations();
    /// assert_eq!(store.operations().deletes, 0);
    /// # Ok::<(), edge_session::connector::ConnectorError>(())
    /// # }).unwrap();
    /// ```
    pub fn reset_operations(&self) {
        self.0.operations.set(OperationCounts::default());
    }

    /// A separate copy of the store as it is now, with the same clock.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn picture(&self) -> Self {
        let picture = Self::with(self.0.clock.clone());
        picture.0.entries.replace(self.0.entries.borrow().clone());
        picture
    }

    /// The keys that have not expired, in byte order.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn names(&self) -> Vec<String> {
        let now = self.0.clock.now();
        let entries = self.0.entries.borrow();
        let live = entries.iter().filter(|(_, entry)| entry.is_live(now));
        live.map(|(name, _)| name.clone()).collect()
    }

    fn count(&self, add: impl FnOnce(&mut OperationCounts)) {
        let mut counts = self.0.operations.get();
        add(&mut counts);
        self.0.operations.set(counts);
    }

    fn get(&self, key: &str) -> Option<String> {
        let now = self.0.clock.now();
        let entries = self.0.entries.borrow();
        entries
            .get(key)
            .filter(|entry| entry.is_live(now))
            .map(|entry| entry.value.clone())
    }

    fn page(&self, prefix: &str, cursor: Option<&str>) -> Page {
        let now = self.0.clock.now();
        let entries = self.0.entries.borrow();
        // The cursor is the last key of the previous page. A cursor of another listing cannot leave
        // the prefix.
        let from = match cursor {
            Some(last) if last >= prefix => Bound::Excluded(last),
            _ => Bound::Included(prefix),
        };
        let mut found = entries
            .range::<str, _>((from, Bound::Unbounded))
            .take_while(|(name, _)| name.starts_with(prefix))
            .filter(|(_, entry)| entry.is_live(now));
        let keys: Vec<ListedKey> = found
            .by_ref()
            .take(PAGE_SIZE)
            .map(|(name, entry)| ListedKey {
                name: name.clone(),
                metadata: entry.metadata.clone(),
            })
            .collect();
        let more = found.next().is_some();
        let cursor = keys.last().filter(|_| more).map(|last| last.name.clone());
        Page { keys, cursor }
    }
}

impl Default for MemoryConnector {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryConnector {
    /// Shows only counts, because keys and values do not belong in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryConnector")
            .field("entries", &self.0.entries.borrow().len())
            .field("operations", &self.operations())
            .finish()
    }
}

// Each operation happens completely when its future is polled, so no borrow outlives the poll. A
// future that is dropped without a poll does nothing and is not counted.
impl SessionConnector for MemoryConnector {
    fn kind(&self) -> &str {
        "memory"
    }

    fn read<'a>(
        &'a self,
        keys: &'a [&'a str],
        _options: ReadOptions,
    ) -> LocalBoxFuture<'a, Result<Vec<Option<String>>, ConnectorError>> {
        Box::pin(async move {
            self.count(|counts| {
                counts.reads += 1;
                counts.keys_read += keys.len() as u64;
            });
            Ok(keys.iter().map(|key| self.get(key)).collect())
        })
    }

    fn put<'a>(
        &'a self,
        key: &'a str,
        value: &'a str,
        options: PutOptions,
    ) -> LocalBoxFuture<'a, Result<(), ConnectorError>> {
        Box::pin(async move {
            self.count(|counts| counts.puts += 1);
            let now = self.0.clock.now();
            let entry = Entry {
                value: value.to_owned(),
                metadata: options.metadata,
                expires_at: options
                    .ttl
                    .map(|ttl| now.saturating_add(i64::from(ttl) * 1000)),
            };
            let mut entries = self.0.entries.borrow_mut();
            entries.insert(key.to_owned(), entry);
            if self.0.sweep.is_due_after(1) {
                entries.retain(|_, entry| entry.is_live(now));
                self.0.sweep.kept(entries.len());
            }
            Ok(())
        })
    }

    fn delete<'a>(&'a self, key: &'a str) -> LocalBoxFuture<'a, Result<(), ConnectorError>> {
        Box::pin(async move {
            self.count(|counts| counts.deletes += 1);
            self.0.entries.borrow_mut().remove(key);
            Ok(())
        })
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        cursor: Option<&'a str>,
    ) -> LocalBoxFuture<'a, Result<Page, ConnectorError>> {
        Box::pin(async move {
            self.count(|counts| counts.lists += 1);
            Ok(self.page(prefix, cursor))
        })
    }
}

#[cfg(test)]
mod tests {
    use futures_executor::block_on;

    use super::*;

    fn store() -> (MemoryConnector, ManualClock) {
        let clock = ManualClock::new(1_700_000_000_000);
        (MemoryConnector::with_clock(clock.clone()), clock)
    }

    fn read(store: &MemoryConnector, key: &str) -> Option<String> {
        block_on(store.read(&[key], ReadOptions::default()))
            .unwrap()
            .remove(0)
    }

    fn put(store: &MemoryConnector, key: &str, value: &str, options: PutOptions) {
        block_on(store.put(key, value, options)).unwrap();
    }

    fn names(page: &Page) -> Vec<&str> {
        page.keys.iter().map(|key| key.name.as_str()).collect()
    }

    #[test]
    fn a_read_answers_in_the_order_of_its_keys() {
        let (store, _) = store();
        put(&store, "a", "1", PutOptions::default());
        put(&store, "b", "2", PutOptions::default());
        let found = block_on(store.read(&["b", "none", "a", "b"], ReadOptions::cache_ttl(30)));
        assert_eq!(
            found.unwrap(),
            [Some("2".into()), None, Some("1".into()), Some("2".into())]
        );
    }

    #[test]
    fn a_value_lives_until_its_last_millisecond_and_not_at_its_end() {
        let (store, clock) = store();
        let start = clock.now();
        put(&store, "a", "1", PutOptions::ttl(60));
        put(&store, "never", "1", PutOptions::ttl(0));
        assert_eq!(read(&store, "never"), None);

        clock.set(start + 59_999);
        assert_eq!(read(&store, "a").as_deref(), Some("1"));
        assert_eq!(names(&block_on(store.list("", None)).unwrap()), ["a"]);
        clock.set(start + 60_000);
        assert_eq!(read(&store, "a"), None);
        assert_eq!(block_on(store.list("", None)).unwrap(), Page::default());
    }

    #[test]
    fn the_longest_time_to_live_does_not_overflow() {
        let clock = ManualClock::new(i64::MAX - 1);
        let store = MemoryConnector::with_clock(clock);
        put(&store, "a", "1", PutOptions::ttl(u32::MAX));
        assert_eq!(read(&store, "a").as_deref(), Some("1"));
    }

    #[test]
    fn an_overwrite_takes_value_end_and_metadata_of_the_later_put() {
        let (store, clock) = store();
        put(&store, "a", "1", PutOptions::ttl(60).with_metadata("old"));
        put(&store, "a", "2", PutOptions::default());
        clock.advance(1_000_000_000);
        assert_eq!(read(&store, "a").as_deref(), Some("2"));
        let page = block_on(store.list("a", None)).unwrap();
        assert_eq!(
            page.keys,
            [ListedKey {
                name: "a".into(),
                metadata: None
            }]
        );
    }

    #[test]
    fn a_listing_gives_metadata_back() {
        let (store, _) = store();
        put(&store, "a", "1", PutOptions::ttl(60).with_metadata("seen"));
        let page = block_on(store.list("a", None)).unwrap();
        assert_eq!(
            page.keys,
            [ListedKey {
                name: "a".into(),
                metadata: Some("seen".into())
            }]
        );
    }

    #[test]
    fn a_deleted_key_is_gone_and_deleting_an_absent_one_succeeds() {
        let (store, _) = store();
        put(&store, "a", "1", PutOptions::default());
        block_on(store.delete("a")).unwrap();
        block_on(store.delete("a")).unwrap();
        assert_eq!(read(&store, "a"), None);
        assert_eq!(store.operations().deletes, 2);
    }

    #[test]
    fn a_listing_is_in_byte_order_within_its_prefix() {
        let (store, _) = store();
        for key in ["s.b", "s.B", "s.é", "s.a", "s.", "s", "t.a", "r"] {
            put(&store, key, "", PutOptions::default());
        }
        let page = block_on(store.list("s.", None)).unwrap();
        assert_eq!(names(&page), ["s.", "s.B", "s.a", "s.b", "s.é"]);
        assert_eq!(page.cursor, None);
    }

    #[test]
    fn a_listing_comes_in_pages_of_a_thousand_that_lose_and_repeat_nothing() {
        let (store, _) = store();
        for (count, pages) in [(999, 1), (1000, 1), (1001, 2), (2500, 3)] {
            let prefix = format!("{count}.");
            let put_keys: Vec<String> = (0..count).map(|i| format!("{prefix}{i:05}")).collect();
            for key in &put_keys {
                put(&store, key, "", PutOptions::default());
            }
            store.reset_operations();
            let mut listed = Vec::new();
            let mut cursor = None;
            loop {
                let page = block_on(store.list(&prefix, cursor.as_deref())).unwrap();
                assert!(page.keys.len() <= 1000);
                listed.extend(page.keys.into_iter().map(|key| key.name));
                cursor = page.cursor;
                if cursor.is_none() {
                    break;
                }
            }
            assert_eq!(listed, put_keys);
            assert_eq!(store.operations().lists, pages, "pages of {count} keys");
        }
    }

    #[test]
    fn a_page_goes_on_behind_a_cursor_whose_key_is_gone() {
        let (store, _) = store();
        for i in 0..1002 {
            put(&store, &format!("a{i:04}"), "", PutOptions::default());
        }
        let first = block_on(store.list("a", None)).unwrap();
        block_on(store.delete("a0999")).unwrap();
        let second = block_on(store.list("a", first.cursor.as_deref())).unwrap();
        assert_eq!(names(&second), ["a1000", "a1001"]);
    }

    #[test]
    fn a_cursor_of_another_listing_does_not_lead_out_of_the_prefix() {
        let (store, _) = store();
        for key in ["a1", "b1", "c1"] {
            put(&store, key, "", PutOptions::default());
        }
        assert_eq!(
            names(&block_on(store.list("b", Some("a0"))).unwrap()),
            ["b1"]
        );
        assert_eq!(
            block_on(store.list("b", Some("c0"))).unwrap(),
            Page::default()
        );
    }

    #[test]
    fn operations_are_counted_when_they_happen() {
        let (store, _) = store();
        drop(store.put("a", "1", PutOptions::default()));
        assert_eq!(store.operations(), OperationCounts::default());

        let handle = store.clone();
        put(&handle, "a", "1", PutOptions::default());
        block_on(handle.read(&["a", "b"], ReadOptions::default())).unwrap();
        block_on(handle.read(&["a"], ReadOptions::default())).unwrap();
        block_on(handle.delete("a")).unwrap();
        block_on(handle.list("", None)).unwrap();
        let counts = OperationCounts {
            reads: 2,
            keys_read: 3,
            puts: 1,
            deletes: 1,
            lists: 1,
        };
        assert_eq!(store.operations(), counts);
        store.reset_operations();
        assert_eq!(store.operations(), OperationCounts::default());
    }

    #[test]
    fn debug_tells_no_keys_and_no_values() {
        let (store, _) = store();
        put(&store, "the-key", "the-value", PutOptions::default());
        let text = format!("{store:?}");
        assert!(text.contains("entries: 1"), "{text}");
        assert!(!text.contains("the-"), "{text}");
    }

    #[test]
    fn what_has_expired_is_dropped_by_later_puts() {
        let (store, clock) = store();
        put(&store, "stays", "1", PutOptions::default());
        for n in 0..10_000 {
            put(&store, &format!("{n}"), "1", PutOptions::ttl(60));
            clock.advance(1_000);
        }
        let kept = store.0.entries.borrow().len();
        assert!(kept < 2_000, "{kept}");
        assert_eq!(read(&store, "stays").as_deref(), Some("1"));
        assert_eq!(read(&store, "9999").as_deref(), Some("1"));
    }
}
