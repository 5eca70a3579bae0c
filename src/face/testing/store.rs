//! A store that fails when it is told to.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;

use futures_util::future::LocalBoxFuture;

use crate::face::connector::memory::{ManualClock, MemoryConnector, OperationCounts};
use crate::port::connector::{
    ConnectorError, ConnectorErrorKind, Page, PutOptions, ReadOptions, SessionConnector,
};

/// Memory as one location sees it, which fails, loses or lags on demand, and counts what is asked.
///
/// A clone is another handle on the same.
///
/// The library tries an operation three times while the store is unavailable, so that one failure
/// in a row is not seen by the application.
///
/// ```
/// use edge_session::ErrorCode;
/// use edge_session::testing::World;
/// # futures_executor::block_on(async {
/// let world = World::default();
/// let mut browser = world.browser();
/// world.store().fail_puts(1);
/// browser.handle(async |session| session.set("views", 1)).await?;
/// assert_eq!(world.store().operations().puts, 2, "it was tried again");
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
    /// What reads of this location are answered from while it lags.
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
    /// Carried out, and reported failed.
    AnswerLost,
    /// Reported done, and not carried out.
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

    /// Every operation fails until [`recover`](Self::recover), at every location.
    ///
    /// ```
    /// # use edge_session::Outcome;
    /// # use edge_session::testing::World;
    /// # futures_executor::block_on(async {
    /// let world = World::default();
    /// let mut browser = world.browser();
    /// browser.handle(async |session| session.set("views", 1)).await?;
    /// browser.go_to(&world.elsewhere()); // an isolate that remembers nothing
    /// browser.remove_cookie("__Host-session-fresh"); // which carries the record for a while
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

    /// The next `times` reads fail.
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

    /// The next `times` puts fail, and store nothing.
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

    /// The next `times` puts are refused as too many: Workers KV takes one write a second to a key.
    ///
    /// ```
    /// # use edge_session::testing::World;
    /// # futures_executor::block_on(async {
    /// let world = World::default();
    /// world.store().rate_limit_puts(1);
    /// world.browser().handle(async |session| session.set("views", 1)).await?;
    /// assert_eq!(world.store().operations().puts, 2, "it was tried again");
    /// # Ok::<(), edge_session::SessionError>(())
    /// # }).unwrap();
    /// ```
    pub fn rate_limit_puts(&self, times: u32) {
        self.tell(Operation::Put, Kind::RateLimited, Some(times));
    }

    /// The next `times` puts are carried out, and their answers are lost: they count as failed.
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

    /// The next `times` puts are acknowledged, and lost: nobody ever sees them.
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

    /// Operations go well again: an outage is over, and failures to come are forgotten.
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

    /// From now on this location hears of no write, not of its own either: reads and lists are
    /// answered with what the store holds at this moment, until [`catch_up`](Self::catch_up).
    /// Absent keys stay absent. Writes go on to reach the store.
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
    /// assert_eq!(views, Some(1), "elsewhere it is seen");
    /// # Ok::<(), edge_session::SessionError>(())
    /// # }).unwrap();
    /// ```
    pub fn lag(&self) {
        *self.picture.borrow_mut() = Some(self.memory.picture());
    }

    /// This location hears of every write again.
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

    /// What was asked of the store at this location since it was made, or since
    /// [`reset_operations`](Self::reset_operations): what failed counts too.
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

    /// Counts from zero again.
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

    /// The keys that are in the store now, in byte order, whether or not this location lags. What
    /// they begin with says what they hold: `s.` a session, `o.`, `l.` and `k.` what was ended.
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

    /// What goes wrong with this operation.
    fn fault(&self, operation: Operation) -> Option<Kind> {
        let mut faults = self.faults.borrow_mut();
        let fault = faults
            .iter_mut()
            .find(|fault| fault.operation == operation && fault.left != Some(0))?;
        fault.left = fault.left.map(|left| left - 1);
        Some(fault.kind)
    }

    /// The same of one that is carried out or is not.
    fn failure(&self, operation: Operation) -> Result<(), ConnectorError> {
        self.fault(operation)
            .map_or(Ok(()), |kind| Err(kind.error()))
    }

    fn count(&self, add: impl FnOnce(&mut OperationCounts)) {
        let mut operations = self.operations.get();
        add(&mut operations);
        self.operations.set(operations);
    }

    /// What this location reads from.
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
                "one write a second to a key",
            ),
            Self::AnswerLost => (
                ConnectorErrorKind::Unavailable,
                "the test loses this answer",
            ),
            Self::Unavailable | Self::WriteLost => {
                (ConnectorErrorKind::Unavailable, "the test says so")
            }
        };
        ConnectorError::new(kind, message)
    }
}

impl fmt::Debug for TestStore {
    /// Counts only, as that of the memory below.
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
