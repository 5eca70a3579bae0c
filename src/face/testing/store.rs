//! A store that fails on demand.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;

use futures_util::future::LocalBoxFuture;

use crate::face::connector::memory::{ManualClock, MemoryConnector, OperationCounts};
use crate::port::connector::{
    ConnectorError, ConnectorErrorKind, Page, PutOptions, ReadOptions, SessionConnector,
};

/// A store in memory, as one location sees it. It counts operations, and can be told to fail, to
/// lose writes or to lag.
///
/// A clone is another handle to the same store.
///
/// The library tries an operation up to three times while the store is unavailable, so the
/// application does not notice a single failure.
///
/// ```
/// use edge_session::ErrorCode;
/// use edge_session::testing::World;
/// # futures_executor::block_on(async {
/// let world = World::default();
/// let mut browser = world.browser();
/// world.store().fail_puts(1);
/// browser.handle(async |session| session.set("views", 1)).await?;
/// assert_eq!(world.store().operations().puts, 2, "it was retried");
///
/// world.store().outage();
/// let error = browser.handle(async |session| session.set("views", 2)).await.unwrap_err();
/// assert_eq!(error.code(), ErrorCode::Unavailable);
/// # Ok::<(), edge_session::SessionError>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct TestStore {
    memory: MemoryConnector,
    faults: Rc<RefCell<Vec<Fault>>>,
    /// The entries that this location reads while it lags.
    picture: Rc<RefCell<Option<MemoryConnector>>>,
    operations: Rc<Cell<OperationCounts>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Read,
    Put,
    Delete,
    List,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Unavailable,
    RateLimited,
    /// Carried out, but reported as failed.
    AnswerLost,
    /// Reported as done, but not carried out.
    WriteLost,
}

struct Fault {
    operation: Operation,
    kind: Kind,
    /// `None` until the store recovers.
    left: Option<u32>,
}

impl TestStore {
    pub(super) fn new(clock: ManualClock) -> Self {
        Self {
            memory: MemoryConnector::with_clock(clock),
            faults: Rc::default(),
            picture: Rc::default(),
            operations: Rc::default(),
        }
    }

    /// The same store as another location sees it.
    pub(super) fn elsewhere(&self) -> Self {
        Self {
            memory: self.memory.clone(),
            faults: Rc::clone(&self.faults),
            picture: Rc::default(),
            operations: Rc::default(),
        }
    }

    /// Makes every operation fail, at every location, until [`recover`](Self::recover).
    ///
    /// ```
    /// # use edge_session::Outcome;
    /// # use edge_session::testing::World;
    /// # futures_executor::block_on(async {
    /// let world = World::default();
    /// let mut browser = world.browser();
    /// browser.handle(async |session| session.set("views", 1)).await?;
    /// browser.go_to(&world.elsewhere()); // an isolate with an empty memory
    /// browser.remove_cookie("__Host-session-fresh"); // it holds a copy of the record
    /// world.store().outage();
    /// assert_eq!(browser.handle(async |session| session.outcome()).await?, Outcome::Unavailable);
    /// # Ok::<(), edge_session::SessionError>(())
    /// # }).unwrap();
    /// ```
    pub fn outage(&self) {
        use Operation::{Delete, List, Put, Read};
        for operation in [Read, Put, Delete, List] {
            self.tell(operation, Kind::Unavailable, None);
        }
    }

    /// Makes the next `times` reads fail.
    ///
    /// ```
    /// # use edge_session::testing::World;
    /// # futures_executor::block_on(async {
    /// let world = World::default();
    /// world.store().fail_reads(3);
    /// assert!(world.sessions().revoke_all("ada").await.is_err());
    /// # Ok::<(), edge_session::SessionError>(())
    /// # }).unwrap();
    /// ```
    pub fn fail_reads(&self, times: u32) {
        self.tell(Operation::Read, Kind::Unavailable, Some(times));
    }

    /// Makes the next `times` puts fail; they store nothing.
    ///
    /// ```
    /// # use edge_session::testing::World;
    /// # futures_executor::block_on(async {
    /// let world = World::default();
    /// world.store().fail_puts(3);
    /// let saved = world.browser().handle(async |session| session.set("views", 1)).await;
    /// assert!(saved.is_err() && world.store().keys().is_empty());
    /// # });
    /// ```
    pub fn fail_puts(&self, times: u32) {
        self.tell(Operation::Put, Kind::Unavailable, Some(times));
    }

    /// Makes the next `times` puts fail as rate limited. Workers KV accepts one write per second for
    /// each key.
    ///
    /// ```
    /// # use edge_session::testing::World;
    /// # futures_executor::block_on(async {
    /// let world = World::default();
    /// world.store().rate_limit_puts(1);
    /// world.browser().handle(async |session| session.set("views", 1)).await?;
    /// assert_eq!(world.store().operations().puts, 2, "it was retried");
    /// # Ok::<(), edge_session::SessionError>(())
    /// # }).unwrap();
    /// ```
    pub fn rate_limit_puts(&self, times: u32) {
        self.tell(Operation::Put, Kind::RateLimited, Some(times));
    }

    /// Carries out the next `times` puts but loses the responses, so they are reported as failed.
    ///
    /// ```
    /// # use edge_session::testing::World;
    /// # futures_executor::block_on(async {
    /// let world = World::default();
    /// world.store().lose_put_answers(3);
    /// let saved = world.browser().handle(async |session| session.set("views", 1)).await;
    /// assert!(saved.is_err() && world.store().keys().len() == 1);
    /// # });
    /// ```
    pub fn lose_put_answers(&self, times: u32) {
        self.tell(Operation::Put, Kind::AnswerLost, Some(times));
    }

    /// Reports success for the next `times` puts but stores nothing.
    ///
    /// ```
    /// # use edge_session::Outcome;
    /// # use edge_session::testing::World;
    /// # futures_executor::block_on(async {
    /// let world = World::default();
    /// world.store().lose_puts(1);
    /// world.browser().handle(async |session| session.set("views", 1)).await?;
    /// assert!(world.store().keys().is_empty());
    /// # Ok::<(), edge_session::SessionError>(())
    /// # }).unwrap();
    /// ```
    pub fn lose_puts(&self, times: u32) {
        self.tell(Operation::Put, Kind::WriteLost, Some(times));
    }

    /// Ends an outage, and cancels all faults that were requested and have not happened yet.
    ///
    /// ```
    /// # use edge_session::testing::World;
    /// # futures_executor::block_on(async {
    /// let world = World::default();
    /// world.store().outage();
    /// world.store().recover();
    /// world.browser().handle(async |session| session.set("views", 1)).await?;
    /// # Ok::<(), edge_session::SessionError>(())
    /// # }).unwrap();
    /// ```
    pub fn recover(&self) {
        self.faults.borrow_mut().clear();
    }

    /// Freezes what this location reads: until [`catch_up`](Self::catch_up), reads and lists see the
    /// store as it is now, without later writes, even its own. Writes still reach the store.
    ///
    /// ```
    /// # use edge_session::testing::World;
    /// # futures_executor::block_on(async {
    /// let world = World::default();
    /// let mut browser = world.browser();
    /// world.store().lag();
    /// browser.handle(async |session| session.set("views", 1)).await?;
    /// browser.go_to(&world.elsewhere());
    /// let views = browser.handle(async |session| session.get::<u32>("views")).await?;
    /// assert_eq!(views, Some(1), "other locations see it");
    /// # Ok::<(), edge_session::SessionError>(())
    /// # }).unwrap();
    /// ```
    pub fn lag(&self) {
        *self.picture.borrow_mut() = Some(self.memory.picture());
    }

    /// Ends [`lag`](Self::lag): this location sees all writes again.
    ///
    /// ```
    /// # use edge_session::testing::World;
    /// # futures_executor::block_on(async {
    /// let world = World::default();
    /// world.store().lag();
    /// world.browser().handle(async |session| session.bind("ada")).await?;
    /// assert!(world.sessions().list("ada").await?.is_empty());
    /// world.store().catch_up();
    /// assert_eq!(world.sessions().list("ada").await?.len(), 1);
    /// # Ok::<(), edge_session::SessionError>(())
    /// # }).unwrap();
    /// ```
    pub fn catch_up(&self) {
        *self.picture.borrow_mut() = None;
    }

    /// The number of operations at this location, including failed ones, since it was created or
    /// since [`reset_operations`](Self::reset_operations).
    ///
    /// ```
    /// # use edge_session::testing::World;
    /// # futures_executor::block_on(async {
    /// let world = World::default();
    /// world.browser().handle(async |session| session.set("views", 1)).await?;
    /// let operations = world.store().operations();
    /// assert_eq!((operations.reads, operations.puts), (0, 1));
    /// # Ok::<(), edge_session::SessionError>(())
    /// # }).unwrap();
    /// ```
    #[must_use]
    pub fn operations(&self) -> OperationCounts {
        self.operations.get()
    }

    /// Resets the counts to zero.
    ///
    /// ```
    /// # use edge_session::testing::World;
    /// # futures_executor::block_on(async {
    /// let world = World::default();
    /// world.browser().handle(async |session| session.set("views", 1)).await?;
    /// world.store().reset_operations();
    /// assert_eq!(world.store().operations().puts, 0);
    /// # Ok::<(), edge_session::SessionError>(())
    /// # }).unwrap();
    /// ```
    pub fn reset_operations(&self) {
        self.operations.set(OperationCounts::default());
    }

    /// The keys in the store, in byte order. They are current even while this location lags. Keys
    /// of sessions begin with `s.`, those of markers for ended sessions with `o.`, `l.` or `k.`.
    ///
    /// ```
    /// # use edge_session::testing::World;
    /// # futures_executor::block_on(async {
    /// let world = World::default();
    /// world.browser().handle(async |session| session.set("views", 1)).await?;
    /// assert!(world.store().keys()[0].starts_with("s."));
    /// # Ok::<(), edge_session::SessionError>(())
    /// # }).unwrap();
    /// ```
    #[must_use]
    pub fn keys(&self) -> Vec<String> {
        self.memory.names()
    }

    fn tell(&self, operation: Operation, kind: Kind, left: Option<u32>) {
        self.faults.borrow_mut().push(Fault {
            operation,
            kind,
            left,
        });
    }

    /// The fault that this operation meets, if any.
    fn fault(&self, operation: Operation) -> Option<Kind> {
        let mut faults = self.faults.borrow_mut();
        let fault = faults
            .iter_mut()
            .find(|fault| fault.operation == operation && fault.left != Some(0))?;
        fault.left = fault.left.map(|left| left - 1);
        Some(fault.kind)
    }

    /// As an error, for an operation that fails without an effect.
    fn failure(&self, operation: Operation) -> Result<(), ConnectorError> {
        self.fault(operation)
            .map_or(Ok(()), |kind| Err(kind.error()))
    }

    fn count(&self, add: impl FnOnce(&mut OperationCounts)) {
        let mut operations = self.operations.get();
        add(&mut operations);
        self.operations.set(operations);
    }

    /// The entries that this location reads.
    fn seen(&self) -> MemoryConnector {
        let picture = self.picture.borrow();
        picture.as_ref().unwrap_or(&self.memory).clone()
    }
}

impl Kind {
    fn error(self) -> ConnectorError {
        let (kind, message) = match self {
            Self::RateLimited => (
                ConnectorErrorKind::RateLimited,
                "rate limit requested by the test",
            ),
            Self::AnswerLost => (
                ConnectorErrorKind::Unavailable,
                "response lost, as requested by the test",
            ),
            Self::Unavailable | Self::WriteLost => (
                ConnectorErrorKind::Unavailable,
                "failure requested by the test",
            ),
        };
        ConnectorError::new(kind, message)
    }
}

impl fmt::Debug for TestStore {
    /// Counts only: keys and values do not belong in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestStore")
            .field("entries", &self.keys().len())
            .field("operations", &self.operations())
            .field("lags", &self.picture.borrow().is_some())
            .finish_non_exhaustive()
    }
}

impl SessionConnector for TestStore {
    fn kind(&self) -> &str {
        self.memory.kind()
    }

    fn read<'a>(
        &'a self,
        keys: &'a [&'a str],
        options: ReadOptions,
    ) -> LocalBoxFuture<'a, Result<Vec<Option<String>>, ConnectorError>> {
        Box::pin(async move {
            self.count(|operations| {
                operations.reads += 1;
                operations.keys_read += keys.len() as u64;
            });
            self.failure(Operation::Read)?;
            self.seen().read(keys, options).await
        })
    }

    fn put<'a>(
        &'a self,
        key: &'a str,
        value: &'a str,
        options: PutOptions,
    ) -> LocalBoxFuture<'a, Result<(), ConnectorError>> {
        Box::pin(async move {
            self.count(|operations| operations.puts += 1);
            let fault = self.fault(Operation::Put);
            if matches!(fault, None | Some(Kind::AnswerLost)) {
                self.memory.put(key, value, options).await?;
            }
            match fault {
                None | Some(Kind::WriteLost) => Ok(()),
                Some(kind) => Err(kind.error()),
            }
        })
    }

    fn delete<'a>(&'a self, key: &'a str) -> LocalBoxFuture<'a, Result<(), ConnectorError>> {
        Box::pin(async move {
            self.count(|operations| operations.deletes += 1);
            self.failure(Operation::Delete)?;
            self.memory.delete(key).await
        })
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        cursor: Option<&'a str>,
    ) -> LocalBoxFuture<'a, Result<Page, ConnectorError>> {
        Box::pin(async move {
            self.count(|operations| operations.lists += 1);
            self.failure(Operation::List)?;
            self.seen().list(prefix, cursor).await
        })
    }
}
