//! The driver: carries out the effects of a flow with a connector and a runtime, until the flow ends.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;

use futures_util::future::{LocalBoxFuture, join, join3};

use crate::flow::engine::{Flow, Step};
use crate::flow::shared::{Protocol, Shared};
use crate::flow::stats::Timing;
use crate::port::connector::{ConnectorError, ConnectorErrorKind, SessionConnector};
use crate::port::effect::{Effect, Random, Reply, Write};
use crate::port::error::{ErrorCode, SessionError};
use crate::port::runtime::Runtime;
use crate::port::strong::StrongConnector;
use crate::port::wait_until::WaitUntil;

/// The store behind a driver, of either kind.
#[derive(Clone)]
pub(crate) enum Port {
    Eventual(Rc<dyn SessionConnector>),
    Strong(Rc<dyn StrongConnector>),
}

impl Port {
    pub(crate) fn kind(&self) -> &str {
        match self {
            Self::Eventual(connector) => connector.kind(),
            Self::Strong(connector) => connector.kind(),
        }
    }

    /// What sessions do on it.
    pub(crate) fn protocol(&self) -> Protocol {
        match self {
            Self::Eventual(_) => Protocol::Eventual,
            Self::Strong(_) => Protocol::Strong,
        }
    }

    /// # Errors
    /// `Unsupported` where a flow of a strong store asks.
    fn eventual(&self) -> Result<&dyn SessionConnector, ConnectorError> {
        match self {
            Self::Eventual(connector) => Ok(&**connector),
            Self::Strong(_) => Err(other_kind()),
        }
    }

    /// # Errors
    /// `Unsupported` where a flow of an eventually consistent store asks.
    fn strong(&self) -> Result<&dyn StrongConnector, ConnectorError> {
        match self {
            Self::Strong(connector) => Ok(&**connector),
            Self::Eventual(_) => Err(other_kind()),
        }
    }
}

#[cold]
fn other_kind() -> ConnectorError {
    ConnectorError::new(
        ConnectorErrorKind::Unsupported,
        "this operation is for the other kind of store",
    )
}

#[cold]
fn not_started() -> ConnectorError {
    ConnectorError::new(
        ConnectorErrorKind::Unavailable,
        "this write was not started, because the store did not answer another one in time",
    )
}

/// Parallel writes: an invocation of a Worker may wait for six responses at a time
/// (<https://developers.cloudflare.com/workers/platform/limits/#simultaneous-open-connections>).
const WRITES: usize = 6;

/// Carries out the effects of flows.
#[derive(Clone)]
pub(crate) struct Driver {
    port: Port,
    runtime: Rc<dyn Runtime>,
}

impl Driver {
    pub(crate) fn new(port: Port, runtime: Rc<dyn Runtime>) -> Self {
        Self { port, runtime }
    }

    pub(crate) fn runtime(&self) -> &dyn Runtime {
        &*self.runtime
    }

    /// Runs `flow` to its end. From its first write on, or if it ends sessions from its start, it is
    /// registered with `wait_until`, so that it finishes even if the browser disconnects.
    pub(crate) async fn drive<T: 'static>(
        &self,
        mut flow: Flow<T>,
        wait_until: Option<&Rc<dyn WaitUntil>>,
    ) -> Result<T, SessionError> {
        let mut reply = None;
        loop {
            let effect = match self.step(&mut flow, reply.take()) {
                Step::Ask(effect) => effect,
                Step::Done(result) => return result,
            };
            let writes = matches!(effect, Effect::Write(_) | Effect::Transact(_));
            match wait_until {
                Some(wait_until) if writes || flow.is_end() => {
                    return see_through(self.clone(), flow, effect, &**wait_until).await;
                }
                _ => reply = Some(self.carry_out(effect, flow.shared(), flow.limit()).await),
            }
        }
    }

    fn step<T>(&self, flow: &mut Flow<T>, reply: Option<Reply>) -> Step<T> {
        let now = self.runtime.now();
        let step = flow.step(reply, now, Random::fresh(&*self.runtime));
        if matches!(step, Step::Done(_))
            && let Some(line) = flow.complaint(now)
        {
            self.runtime.warn(&line);
        }
        step
    }

    /// The store may take `limit` milliseconds.
    async fn carry_out(&self, effect: Effect, shared: &Shared, limit: u32) -> Reply {
        let _waiting = shared
            .timing()
            .map(|timing| Waiting::new(timing, &*self.runtime));
        let setting = || shared.config().settings().name_of("SESSION_STORE_TIMEOUT");
        let late = || ConnectorError::timeout(limit / 1_000, setting());
        match effect {
            Effect::Read { keys, options } => {
                let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
                let answer = async { self.port.eventual()?.read(&keys, options).await };
                let answer = self.in_time(answer, limit).await;
                Reply::Read(answer.unwrap_or_else(|| Err(late())))
            }
            Effect::Write(writes) => Reply::Write(self.write_all(&writes, limit, late).await),
            Effect::List { prefix, cursor } => {
                let list = async { self.port.eventual()?.list(&prefix, cursor.as_deref()).await };
                let answer = self.in_time(list, limit).await;
                Reply::List(answer.unwrap_or_else(|| Err(late())))
            }
            Effect::ReadRows { shard, keys } => {
                let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
                let answer = async { self.port.strong()?.read(&shard, &keys).await };
                let answer = self.in_time(answer, limit).await;
                Reply::ReadRows(answer.unwrap_or_else(|| Err(late())))
            }
            Effect::Transact(transaction) => {
                let shard = &transaction.shard;
                let answer = transaction.lend(async |checks, writes| {
                    self.port.strong()?.transact(shard, checks, writes).await
                });
                let answer = self.in_time(answer, limit).await;
                Reply::Transact(answer.unwrap_or_else(|| Err(late())))
            }
            Effect::ListRows {
                shard,
                prefix,
                cursor,
            } => {
                let cursor = cursor.as_deref();
                let list = async { self.port.strong()?.list(&shard, &prefix, cursor).await };
                let answer = self.in_time(list, limit).await;
                Reply::List(answer.unwrap_or_else(|| Err(late())))
            }
            Effect::Sleep { milliseconds } => {
                self.runtime.sleep(milliseconds).await;
                Reply::Sleep
            }
        }
    }

    /// Makes six writes at a time. Each has `limit` milliseconds from its start; if one is late, no
    /// others are started.
    async fn write_all(
        &self,
        writes: &[Write],
        limit: u32,
        late: impl Fn() -> ConnectorError,
    ) -> Vec<Result<(), ConnectorError>> {
        let results: Vec<_> = writes.iter().map(|_| Cell::new(None)).collect();
        // All of them start now, so one timer is enough.
        let is_one_round = writes.len() <= WRITES;
        let (next, is_late) = (Cell::new(0), Cell::new(false));
        let lane = async || {
            while !is_late.get()
                && let Some(write) = writes.get(next.get())
            {
                let place = next.replace(next.get() + 1);
                let write = self.write(write);
                let result = if is_one_round {
                    Some(write.await)
                } else {
                    self.in_time(write, limit).await
                };
                is_late.set(is_late.get() || result.is_none());
                results[place].set(Some(result.unwrap_or_else(|| Err(late()))));
            }
        };
        let half = async || join3(lane(), lane(), lane()).await;
        if writes.len() == 1 {
            self.in_time(lane(), limit).await;
        } else if is_one_round {
            self.in_time(join(half(), half()), limit).await;
        } else {
            join(half(), half()).await;
        }
        let results = results.into_iter().map(Cell::into_inner);
        let missing = || if is_one_round { late() } else { not_started() };
        results
            .map(|it| it.unwrap_or_else(|| Err(missing())))
            .collect()
    }

    async fn write(&self, write: &Write) -> Result<(), ConnectorError> {
        let connector = self.port.eventual()?;
        match write {
            Write::Put {
                key,
                value,
                options,
            } => connector.put(key, value, options.clone()).await,
            Write::Delete { key } => connector.delete(key).await,
        }
    }

    /// The store's answer, or `None` if it does not arrive within `limit` milliseconds. An immediate
    /// answer needs no timer.
    async fn in_time<T>(&self, answer: impl Future<Output = T>, limit: u32) -> Option<T> {
        let mut answer = pin!(answer);
        let mut deadline = None;
        poll_fn(|context| {
            if let Poll::Ready(answer) = answer.as_mut().poll(context) {
                return Poll::Ready(Some(answer));
            }
            let deadline = deadline.get_or_insert_with(|| self.runtime.deadline(limit));
            deadline.as_mut().poll(context).map(|()| None)
        })
        .await
    }
}

/// Measures the time that a request waits for the store, until it is dropped.
struct Waiting<'a>(&'a Timing, &'a dyn Runtime);

impl<'a> Waiting<'a> {
    fn new(timing: &'a Timing, runtime: &'a dyn Runtime) -> Self {
        timing.wait_began(runtime.now());
        Self(timing, runtime)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.wait_ended(self.1.now());
    }
}

/// Carries out `effect` and the rest of `flow`, registered with `wait_until`. If it completes
/// immediately, it is not registered.
async fn see_through<T: 'static>(
    driver: Driver,
    mut flow: Flow<T>,
    effect: Effect,
    wait_until: &dyn WaitUntil,
) -> Result<T, SessionError> {
    let result = Rc::new(Cell::new(None));
    let slot = Rc::clone(&result);
    let mut rest: LocalBoxFuture<'static, ()> = Box::pin(async move {
        let mut effect = effect;
        loop {
            let reply = driver.carry_out(effect, flow.shared(), flow.limit()).await;
            match driver.step(&mut flow, Some(reply)) {
                Step::Ask(next) => effect = next,
                Step::Done(result) => return slot.set(Some(result)),
            }
        }
    });
    let begun = poll_fn(|context| Poll::Ready(rest.as_mut().poll(context))).await;
    if begun.is_pending() {
        wait_until.share(rest).await;
    }
    result.take().unwrap_or_else(|| {
        Err(SessionError::new(
            ErrorCode::Unavailable,
            "the platform dropped the work passed to waitUntil before it finished",
        ))
    })
}
