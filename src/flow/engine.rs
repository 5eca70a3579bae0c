//! Flows: the only place where the core waits.
//!
//! A flow (a load, a save, a logout, a listing) is an `async fn` that awaits exactly one thing: an
//! effect. It needs no executor: its driver calls [`Flow::step`], carries out the requested
//! [`Effect`], and calls it again with the [`Reply`]. So the core holds no waker and no foreign
//! future, and none of its code runs between two steps.
//!
//! Each step gets the time and fresh random bytes. A retry is a separate step and seals the record
//! again, so no two puts share a nonce.

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

/// The time for all tries together, from the first failure until something succeeds, in milliseconds.
const ALL_TRIES: i64 = 15_000;
/// The shortest time limit for an answer of the store, in milliseconds.
const LEAST_LIMIT: i64 = 1_000;

/// The milliseconds left for more tries at `now`.
fn time_left(trouble_since: i64, now: i64) -> i64 {
    ALL_TRIES.saturating_sub(now.saturating_sub(trouble_since))
}

/// The data passed between a flow and its driver.
struct Slot {
    effect: Cell<Option<Effect>>,
    reply: Cell<Option<Reply>>,
    now: Cell<i64>,
    /// When the first effect was requested that failed, if none has succeeded since.
    trouble_since: Cell<Option<i64>>,
    random: RefCell<Random>,
    /// The events to send after this step.
    events: RefCell<Vec<Event>>,
}

/// The context of a flow: the shared configuration and memory, and the methods that request
/// effects.
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

    /// Counts several of `what`.
    pub(crate) fn count_many(&self, what: Count, many: usize) {
        self.shared.count_many(what, many);
    }

    /// Reports an event of this `kind` for the session with this `lineage`, after this step.
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
    /// `not_ready` if the platform has none.
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

    /// True if there is time for another try after `pause` milliseconds.
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

/// The error for a reply that does not match the effect.
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

/// Work of the core that requests one [`Effect`] after another.
pub(crate) struct Flow<T> {
    work: Pin<Box<dyn Future<Output = Result<T, SessionError>>>>,
    run: Run,
}

/// The part of a flow that does not depend on its result, so that it is compiled once.
struct Run {
    shared: Rc<Shared>,
    slot: Rc<Slot>,
    /// The failure of the last request to the store, if any.
    failure: Option<ConnectorError>,
    is_end: bool,
}

/// The failure that a flow ended with. `last` is the failure of its last request. A rate limit does
/// not count if the flow succeeded, because it has handled it.
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

/// The result of a step.
pub(crate) enum Step<T> {
    Ask(Effect),
    Done(Result<T, SessionError>),
}

impl<T> Flow<T> {
    /// A flow that runs `work`. Nothing happens before the first step.
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
            run: Run {
                shared: Rc::clone(shared),
                slot,
                failure: None,
                is_end: false,
            },
        }
    }

    /// The flow ends sessions.
    pub(super) fn that_ends(mut self) -> Self {
        self.run.is_end = true;
        self
    }

    /// True if it must finish even if the browser disconnects before its first write: somebody pressed
    /// "log out".
    pub(crate) fn is_end(&self) -> bool {
        self.run.is_end
    }

    /// The shared state that the flow was created with.
    pub(crate) fn shared(&self) -> &Rc<Shared> {
        &self.run.shared
    }

    /// The time limit for the store, in milliseconds.
    pub(crate) fn limit(&self) -> u32 {
        self.run.limit()
    }

    /// The same, if it may be less than that of the settings: after a failure, all tries share the time.
    #[cfg(all(target_arch = "wasm32", feature = "js"))]
    pub(crate) fn limit_after_failure(&self) -> Option<u32> {
        self.run.slot.trouble_since.get().map(|_| self.run.limit())
    }

    /// Runs the flow until it requests an effect or ends. `reply` is the answer to the last effect,
    /// `now` the time in milliseconds since 1970-01-01 UTC.
    pub(crate) fn step(&mut self, reply: Option<Reply>, now: i64, random: Random) -> Step<T> {
        self.run.enter(reply, now, random);
        let polled = self
            .work
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()));
        match (polled, self.run.leave()) {
            (Poll::Ready(result), _) => {
                self.run.end(result.as_ref().err());
                Step::Done(result)
            }
            (Poll::Pending, Some(effect)) => Step::Ask(effect),
            (Poll::Pending, None) => Step::Done(Err(stuck())),
        }
    }

    /// The console line about the failure that the flow ended with, unless it was written recently.
    pub(crate) fn complaint(&mut self, now: i64) -> Option<String> {
        complaint(self.run.failure.take()?, &self.run.shared, now)
    }
}

impl Run {
    fn limit(&self) -> u32 {
        let timeout = seconds(self.shared.config().settings().store_timeout()) * 1_000;
        match self.slot.trouble_since.get() {
            None => timeout,
            Some(since) => {
                let left = time_left(since, self.slot.now.get()).max(LEAST_LIMIT);
                u32::try_from(left).map_or(timeout, |left| left.min(timeout))
            }
        }
    }

    #[inline(never)]
    fn enter(&mut self, reply: Option<Reply>, now: i64, random: Random) {
        match &reply {
            // A pause is followed by a retry, so the failure stays.
            None | Some(Reply::Sleep) => {}
            Some(reply) => {
                self.failure = reply.failure().cloned();
                let since = self.slot.trouble_since.get();
                let since = since.unwrap_or_else(|| self.slot.now.get());
                self.slot
                    .trouble_since
                    .set(self.failure.is_some().then_some(since));
            }
        }
        self.slot.reply.set(reply);
        self.slot.now.set(now);
        self.slot.random.replace(random);
    }

    /// Ends a step, and returns the effect that it requested.
    #[inline(never)]
    fn leave(&self) -> Option<Effect> {
        self.slot.random.replace(Random::none());
        // Send events after the step, so that no code of the application runs inside a flow.
        for event in self.slot.events.take() {
            self.shared.send(&event);
        }
        self.slot.effect.take()
    }

    #[inline(never)]
    fn end(&mut self, error: Option<&SessionError>) {
        self.failure = failure_at_end(self.failure.take(), error);
    }
}

/// The flow awaits something other than an effect, which will never be woken.
#[cold]
fn stuck() -> SessionError {
    debug_assert!(false, "a flow is pending without an effect");
    SessionError::new(
        ErrorCode::Unavailable,
        "the session operation is waiting for nothing and cannot continue",
    )
}
