//! The one place that waits.
//!
//! A flow (a load, a save, a logout, a listing) is an `async fn` that awaits exactly one thing:
//! asking the world to do something for it. It runs on no executor: whoever drives it calls
//! [`Flow::step`], carries out the [`Effect`] that the flow asks for, and steps it again with the
//! [`Reply`]. So the core holds no waker and no foreign future, and nothing of it runs between two
//! steps.
//!
//! Each step is handed the time and fresh random bytes. A retry is a step of its own: it seals the
//! record again, and no two puts share a nonce.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use crate::flow::isolate::Memory;
use crate::flow::shared::Shared;
use crate::flow::stats::Count;
use crate::port::connector::{ConnectorError, ConnectorErrorKind, Page, ReadOptions};
use crate::port::effect::{Effect, Random, Reply, Write};
use crate::port::error::{ErrorCode, SessionError};
use crate::port::events::{Event, EventKind};
use crate::port::strong::{Row, Transacted};
use crate::port::time::seconds;
use crate::port::transaction::Transaction;
use crate::protocol::config::Config;
use crate::protocol::keys::Id;

/// Milliseconds that all tries of a flow take together, from the first that fails on.
const ALL_TRIES: i64 = 15_000;
/// The least milliseconds that the store is given for an answer.
const LEAST_LIMIT: i64 = 1_000;

/// Milliseconds that are left for more tries at `now`.
fn time_left(trouble_since: i64, now: i64) -> i64 {
    ALL_TRIES.saturating_sub(now.saturating_sub(trouble_since))
}

/// What passes between a flow and whoever drives it.
struct Slot {
    effect: Cell<Option<Effect>>,
    reply: Cell<Option<Reply>>,
    now: Cell<i64>,
    /// When the first effect that failed was asked for.
    trouble_since: Cell<Option<i64>>,
    random: RefCell<Random>,
    /// What is to be told after this step.
    events: RefCell<Vec<Event>>,
}

/// What a flow works with: the configuration and memory that sessions share, and the world that it
/// asks.
pub(crate) struct Ctx {
    shared: Rc<Shared>,
    slot: Rc<Slot>,
}

impl Ctx {
    pub(crate) fn config(&self) -> &Config {
        self.shared.config()
    }

    pub(crate) fn memory(&self) -> &Memory {
        self.shared.memory()
    }

    /// Counts one of `what`.
    pub(crate) fn count(&self, what: Count) {
        self.shared.count(what);
    }

    /// Counts so many of `what`.
    pub(crate) fn count_many(&self, what: Count, many: usize) {
        self.shared.count_many(what, many);
    }

    /// Reports `kind` of the session of `lineage`, when this step is over.
    pub(crate) fn report(
        &self,
        kind: EventKind,
        lineage: Option<Id>,
        reason: Option<&'static str>,
    ) {
        let event = self.shared.event(kind, self.now(), lineage, reason);
        self.slot.events.borrow_mut().extend(event);
    }

    /// The time of this step, in milliseconds since 1970-01-01 UTC.
    pub(crate) fn now(&self) -> i64 {
        self.slot.now.get()
    }

    /// Random bytes of this step.
    ///
    /// # Errors
    /// `not_ready` where the platform has none.
    pub(crate) fn random<const N: usize>(&self) -> Result<[u8; N], SessionError> {
        self.slot.random.borrow_mut().take()
    }

    pub(crate) async fn ask_read(
        &self,
        keys: &[&str],
        options: ReadOptions,
    ) -> Result<Vec<Option<String>>, ConnectorError> {
        let keys = keys.iter().map(|key| (*key).to_owned()).collect();
        match self.ask(Effect::Read { keys, options }).await {
            Reply::Read(values) => values,
            _ => Err(mismatched()),
        }
    }

    /// One result for each of `writes`, in order.
    pub(crate) async fn ask_write(&self, writes: Vec<Write>) -> Vec<Result<(), ConnectorError>> {
        let count = writes.len();
        match self.ask(Effect::Write(writes)).await {
            Reply::Write(results) if results.len() == count => results,
            _ => (0..count).map(|_| Err(mismatched())).collect(),
        }
    }

    pub(crate) async fn ask_list(
        &self,
        prefix: &str,
        cursor: Option<&str>,
    ) -> Result<Page, ConnectorError> {
        let (prefix, cursor) = (prefix.to_owned(), cursor.map(str::to_owned));
        match self.ask(Effect::List { prefix, cursor }).await {
            Reply::List(page) => page,
            _ => Err(mismatched()),
        }
    }

    /// The rows under `keys` of `shard`, of a strong store.
    pub(crate) async fn ask_rows(
        &self,
        shard: &str,
        keys: &[&str],
    ) -> Result<Vec<Option<Row>>, ConnectorError> {
        let shard = shard.to_owned();
        let keys = keys.iter().map(|key| (*key).to_owned()).collect();
        match self.ask(Effect::ReadRows { shard, keys }).await {
            Reply::ReadRows(rows) => rows,
            _ => Err(mismatched()),
        }
    }

    pub(crate) async fn ask_transact(
        &self,
        transaction: &Rc<Transaction>,
    ) -> Result<Transacted, ConnectorError> {
        let transaction = Rc::clone(transaction);
        match self.ask(Effect::Transact(transaction)).await {
            Reply::Transact(transacted) => transacted,
            _ => Err(mismatched()),
        }
    }

    pub(crate) async fn ask_list_rows(
        &self,
        shard: &str,
        prefix: &str,
        cursor: Option<&str>,
    ) -> Result<Page, ConnectorError> {
        let effect = Effect::ListRows {
            shard: shard.to_owned(),
            prefix: prefix.to_owned(),
            cursor: cursor.map(str::to_owned),
        };
        match self.ask(effect).await {
            Reply::List(page) => page,
            _ => Err(mismatched()),
        }
    }

    /// Whether there is time for another try after `pause` milliseconds.
    pub(crate) fn may_try_after(&self, pause: u32) -> bool {
        let since = self.slot.trouble_since.get();
        since.is_none_or(|since| time_left(since, self.now()) > i64::from(pause))
    }

    pub(crate) async fn sleep(&self, milliseconds: u32) {
        let _slept = self.ask(Effect::Sleep { milliseconds }).await;
    }

    fn ask(&self, effect: Effect) -> Ask<'_> {
        Ask {
            slot: &self.slot,
            effect: Some(effect),
        }
    }
}

/// Whoever drives the flow answered something else than was asked.
#[cold]
fn mismatched() -> ConnectorError {
    ConnectorError::new(
        ConnectorErrorKind::Unavailable,
        "the reply does not match the effect that was requested",
    )
}

/// The only future that a flow awaits.
struct Ask<'a> {
    slot: &'a Slot,
    effect: Option<Effect>,
}

impl Future for Ask<'_> {
    type Output = Reply;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Reply> {
        if let Some(effect) = self.effect.take() {
            self.slot.effect.set(Some(effect));
            return Poll::Pending;
        }
        match self.slot.reply.take() {
            Some(reply) => Poll::Ready(reply),
            None => Poll::Pending,
        }
    }
}

/// Work of the core that asks the world for what it needs, one [`Effect`] after another.
pub(crate) struct Flow<T> {
    work: Pin<Box<dyn Future<Output = Result<T, SessionError>>>>,
    shared: Rc<Shared>,
    slot: Rc<Slot>,
    /// How the last thing that it asked of the store failed, if it did.
    failure: Option<ConnectorError>,
}

/// The failure that a flow has ended with; `last` is how the last thing that it asked for failed. A
/// store that asked for fewer writes is none where the flow did its work all the same: it knew what
/// that meant.
fn failure_at_end(
    last: Option<ConnectorError>,
    error: Option<&SessionError>,
) -> Option<ConnectorError> {
    match error {
        Some(error) => error.connector_error().cloned(),
        None => last.filter(|last| last.kind() != ConnectorErrorKind::RateLimited),
    }
}

#[cold]
fn complaint(failure: ConnectorError, shared: &Shared, now: i64) -> Option<String> {
    if shared.config().settings().disable_warnings() {
        return None;
    }
    let isolate = shared.memory().isolate();
    isolate.complain(&failure.to_string(), now)
}

/// What a step came to.
pub(crate) enum Step<T> {
    Ask(Effect),
    Done(Result<T, SessionError>),
}

impl<T> Flow<T> {
    /// The flow that `work` is. Nothing of it happens before the first step.
    pub(super) fn new<F>(shared: &Rc<Shared>, work: impl FnOnce(Ctx) -> F) -> Self
    where
        F: Future<Output = Result<T, SessionError>> + 'static,
    {
        let slot = Rc::new(Slot {
            effect: Cell::new(None),
            reply: Cell::new(None),
            now: Cell::new(0),
            trouble_since: Cell::new(None),
            random: RefCell::new(Random::none()),
            events: RefCell::default(),
        });
        let ctx = Ctx {
            shared: Rc::clone(shared),
            slot: Rc::clone(&slot),
        };
        Self {
            work: Box::pin(work(ctx)),
            shared: Rc::clone(shared),
            slot,
            failure: None,
        }
    }

    /// What the flow was made with.
    pub(crate) fn shared(&self) -> &Rc<Shared> {
        &self.shared
    }

    /// Milliseconds that the store may take for what the flow asks for.
    pub(crate) fn limit(&self) -> u32 {
        let timeout = seconds(self.shared.config().settings().store_timeout()) * 1_000;
        match self.slot.trouble_since.get() {
            None => timeout,
            Some(since) => {
                let left = time_left(since, self.slot.now.get()).max(LEAST_LIMIT);
                u32::try_from(left).map_or(timeout, |left| left.min(timeout))
            }
        }
    }

    /// Goes on until the flow asks for something or ends. `reply` answers what it asked for last,
    /// `now` is the time in milliseconds since 1970-01-01 UTC.
    pub(crate) fn step(&mut self, reply: Option<Reply>, now: i64, random: Random) -> Step<T> {
        match &reply {
            // After a pause it tries again what failed.
            None | Some(Reply::Sleep) => {}
            Some(reply) => self.failure = reply.failure().cloned(),
        }
        if self.slot.trouble_since.get().is_none() && self.failure.is_some() {
            self.slot.trouble_since.set(Some(self.slot.now.get()));
        }
        self.slot.reply.set(reply);
        self.slot.now.set(now);
        self.slot.random.replace(random);
        let polled = self
            .work
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
        self.slot.random.replace(Random::none());
        // Between two steps, so that no code of the application runs inside a flow.
        for event in self.slot.events.take() {
            self.shared.send(&event);
        }
        match (polled, self.slot.effect.take()) {
            (Poll::Ready(result), _) => {
                self.failure = failure_at_end(self.failure.take(), result.as_ref().err());
                Step::Done(result)
            }
            (Poll::Pending, Some(effect)) => Step::Ask(effect),
            // It awaits something that is not the world, which nobody will ever wake.
            (Poll::Pending, None) => {
                debug_assert!(false, "a flow is pending without an effect");
                Step::Done(Err(SessionError::new(
                    ErrorCode::Unavailable,
                    "the session operation is waiting for nothing and cannot continue",
                )))
            }
        }
    }

    /// What the console is to say of the failure that the flow has ended with, if that was not said
    /// lately.
    pub(crate) fn complaint(&mut self, now: i64) -> Option<String> {
        complaint(self.failure.take()?, &self.shared, now)
    }
}
