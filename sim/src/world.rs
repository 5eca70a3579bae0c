//! The world in which requests run: one thread, one simulated clock, a store with faults, and a
//! scheduler that decides what happens next.
//!
//! A request awaits only operations of the store and timers. An operation consists of two events:
//! it reaches the store, and its answer reaches the request. Between any two events the scheduler
//! may let time pass, run another request, or never run this one again.

use std::cell::{Cell, Ref, RefCell};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use edge_session::SessionError;
use edge_session::connector::{
    ConnectorError, ConnectorErrorKind, ListedKey, Page, PutOptions, ReadOptions, SessionConnector,
};
use edge_session::runtime::Runtime;
use futures_util::future::LocalBoxFuture;

use crate::Ms;
use crate::dice::{Dice, mix};
use crate::fault::Fault;
use crate::kv::{Kv, LOCATIONS, Shown, Spread, Write};
use crate::transcript::{Transcript, content};
use crate::watch::{Found, Observation, Watcher};

/// A request, by its position in the history.
pub type RequestId = usize;

/// An operation of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Read,
    Put,
    Delete,
    List,
}

/// One operation, for the code that decides about it.
pub struct Asked<'a> {
    pub kind: Kind,
    /// The key, or the first of several, or the prefix.
    pub name: &'a str,
    pub location: usize,
    pub request: RequestId,
    pub now: Ms,
}

/// The fate of an operation.
#[derive(Clone, Copy)]
pub struct Verdict {
    /// The milliseconds until it reaches the store, and until its answer is back.
    pub latency: (Ms, Ms),
    pub failure: Failure,
    pub spread: Spread,
    /// The value comes back damaged.
    pub damaged: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    None,
    /// Not done, and reported as failed.
    Before(ConnectorErrorKind),
    /// Done, but reported as failed.
    After,
}

impl Verdict {
    pub const QUICK: Self = Self {
        latency: (3, 3),
        failure: Failure::None,
        spread: Spread::PROMPT,
        damaged: false,
    };
}

/// Decides the fate of each operation, from dice or from a script.
pub type Judge = Box<dyn FnMut(&World, &Asked<'_>) -> Verdict>;

type Event = Box<dyn FnOnce(&Rc<World>)>;

struct Timed {
    at: Ms,
    order: u64,
    event: Event,
}

impl PartialEq for Timed {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.order) == (other.at, other.order)
    }
}
impl Eq for Timed {}
impl PartialOrd for Timed {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Timed {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

/// An event of a request that happens when somebody chooses it.
pub struct Choice {
    pub request: RequestId,
    event: Event,
}

struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

struct Task {
    future: Option<LocalBoxFuture<'static, ()>>,
    flag: Arc<Flag>,
    request: RequestId,
    /// Passed to `waitUntil`, so that it outlives the request.
    later: bool,
    /// Never run again.
    frozen: bool,
}

impl Task {
    fn is_ready(&self) -> bool {
        self.future.is_some() && !self.frozen && self.flag.0.load(Ordering::Relaxed)
    }
}

/// `SESSION_STORE_TIMEOUT` of every history, by default.
pub const TIMEOUT: Ms = 10_000;

/// The operations of the requests of a history.
#[derive(Clone, Debug, Default)]
pub struct Operations {
    pub reads: u32,
    pub keys_read: u32,
    pub failed: u32,
    pub puts: u32,
    pub lists: u32,
    /// Names of puts that were acknowledged.
    pub acknowledged: Vec<Rc<str>>,
    /// Puts of records that the store accepted: name and time of arrival.
    pub taken: Vec<(Rc<str>, Ms)>,
    pub limited: u32,
    /// Its last put of a record was acknowledged.
    pub stored_last: bool,
    /// A put of a record was answered with 429, and none was accepted since.
    pub rate_limited: bool,
    /// It retired a key before the record under the next one was acknowledged.
    pub retired_too_soon: bool,
    /// The longest that one took, in milliseconds.
    pub slowest: Ms,
    /// Puts that reached the store after their request had given up: name and time.
    pub late: Vec<(Rc<str>, Ms)>,
    pub in_flight: u32,
    /// It was shown a record that was not the store's newest.
    pub shown_old: bool,
    /// The number of conflicts that it found.
    pub conflicts: u32,
    /// Puts of records that have not arrived at the store yet.
    pub puts_under_way: u32,
}

impl Operations {
    pub fn total(&self) -> u32 {
        self.reads + self.puts + self.lists
    }
}

/// See the module.
pub struct World {
    now: Cell<Ms>,
    order: Cell<u64>,
    pub dice: RefCell<Dice>,
    /// The randomness of each request. How much one request draws does not affect the others.
    seed: u64,
    randomness: RefCell<BTreeMap<RequestId, Dice>>,
    heap: RefCell<BinaryHeap<Reverse<Timed>>>,
    /// `Some` if operations wait to be chosen instead of for their time.
    choices: RefCell<Option<Vec<Choice>>>,
    tasks: RefCell<Vec<Task>>,
    current: Cell<RequestId>,
    pub kv: RefCell<Kv>,
    judge: RefCell<Option<Judge>>,
    operations: RefCell<Vec<Operations>>,
    pub faults: RefCell<[u32; Fault::ALL.len()]>,
    log: RefCell<Option<Vec<String>>>,
    transcript: RefCell<Option<Transcript>>,
    watcher: RefCell<Option<Rc<dyn Watcher>>>,
}

impl World {
    pub fn new(dice: Dice, start: Ms, judge: Judge) -> Rc<Self> {
        Rc::new(Self {
            now: Cell::new(start),
            order: Cell::new(0),
            seed: dice.clone().roll(),
            randomness: RefCell::default(),
            dice: RefCell::new(dice),
            heap: RefCell::default(),
            choices: RefCell::new(None),
            tasks: RefCell::default(),
            current: Cell::new(0),
            kv: RefCell::default(),
            judge: RefCell::new(Some(judge)),
            operations: RefCell::default(),
            faults: RefCell::new([0; Fault::ALL.len()]),
            log: RefCell::new(None),
            transcript: RefCell::new(None),
            watcher: RefCell::new(None),
        })
    }

    pub fn now(&self) -> Ms {
        self.now.get()
    }

    /// The request that runs now.
    pub fn current(&self) -> RequestId {
        self.current.get()
    }

    pub fn set_judge(&self, judge: Judge) {
        *self.judge.borrow_mut() = Some(judge);
    }

    /// Counts a fault that has happened.
    pub fn fault(&self, fault: Fault) {
        self.faults.borrow_mut()[fault as usize] += 1;
    }

    pub fn faults_so_far(&self) -> u32 {
        self.faults.borrow().iter().sum()
    }

    // --- the log -------------------------------------------------------------------------------

    /// Keeps a log for a reader.
    pub fn keep_log(&self) {
        *self.log.borrow_mut() = Some(Vec::new());
    }

    /// Adds a line. It is created only if a log is kept.
    pub fn note(&self, line: impl FnOnce() -> String) {
        if let Some(log) = &mut *self.log.borrow_mut() {
            let now = self.now.get() - crate::random::START;
            log.push(format!("{:>9.3}  {}", now as f64 / 1_000.0, line()));
        }
    }

    pub fn take_log(&self) -> Vec<String> {
        self.log.borrow_mut().take().unwrap_or_default()
    }

    /// Keeps a transcript from now on; with its lines if a reader wants them.
    pub fn transcribe(&self, lines: bool) {
        *self.transcript.borrow_mut() = Some(Transcript::new(lines));
    }

    /// Adds a line to the transcript of `request`. It is created only if a transcript is kept.
    pub fn transcript(&self, request: RequestId, line: impl FnOnce() -> String) {
        if let Some(transcript) = &mut *self.transcript.borrow_mut() {
            let now = self.now.get() - crate::random::START;
            transcript.add(request, &format!("{now} {}", line()));
        }
    }

    /// The same for the request that runs now.
    pub fn transcript_of_current(&self, line: impl FnOnce() -> String) {
        self.transcript(self.current.get(), line);
    }

    /// Closes the transcript with the contents of the store.
    pub fn take_transcript(&self) -> Option<Transcript> {
        let mut transcript = self.transcript.borrow_mut().take()?;
        let (kv, now) = (self.kv.borrow(), self.now.get());
        for name in kv.names() {
            let value = kv.register(name, now);
            transcript.add_end(&format!("holds {name} {}", content(value.as_deref())));
        }
        for (request, operations) in self.operations.borrow().iter().enumerate() {
            transcript.add(request, &format!("conflicts {}", operations.conflicts));
        }
        Some(transcript)
    }

    /// From now on `watcher` is notified.
    pub fn watch(&self, watcher: Rc<dyn Watcher>) {
        *self.watcher.borrow_mut() = Some(watcher);
    }

    pub fn is_watched(&self) -> bool {
        self.watcher.borrow().is_some()
    }

    /// Notifies the watcher.
    pub fn tell(&self, sight: &Observation<'_>) {
        let watcher = self.watcher.borrow().clone();
        if let Some(watcher) = watcher {
            watcher.sees(sight);
        }
    }

    /// Schedules notifications for when a write becomes visible elsewhere.
    fn tell_arrivals(&self, name: &Rc<str>, value: &Option<Rc<str>>, spread: &Spread) {
        if self.watcher.borrow().is_none() || spread.lost {
            return;
        }
        for (location, delay) in spread.delay.into_iter().enumerate() {
            if delay > 0 {
                let (name, value) = (Rc::clone(name), value.clone());
                self.after(delay, move |world| {
                    world.tell(&Observation::Arrived {
                        location,
                        name,
                        value,
                    });
                });
            }
        }
    }

    // --- tasks ---------------------------------------------------------------------------------

    /// A request is about to begin. From here on its operations are counted.
    pub fn admit(&self, request: RequestId) {
        self.count(request, |_| {});
    }

    /// Starts a request.
    pub fn start(&self, request: RequestId, future: impl Future<Output = ()> + 'static) {
        self.spawn(request, Box::pin(future), false);
    }

    /// What `waitUntil` does.
    pub fn spawn_later(&self, future: LocalBoxFuture<'static, ()>) {
        self.spawn(self.current.get(), future, true);
    }

    fn spawn(&self, request: RequestId, future: LocalBoxFuture<'static, ()>, later: bool) {
        self.tasks.borrow_mut().push(Task {
            future: Some(future),
            flag: Arc::new(Flag(AtomicBool::new(true))),
            request,
            later,
            frozen: false,
        });
    }

    /// Tasks that could run now.
    fn runnable(&self) -> Vec<usize> {
        let tasks = self.tasks.borrow();
        (0..tasks.len()).filter(|n| tasks[*n].is_ready()).collect()
    }

    /// Requests with such tasks.
    fn runnable_requests(&self) -> Vec<RequestId> {
        let tasks = self.tasks.borrow();
        let ready = tasks.iter().filter(|task| task.is_ready());
        let requests: BTreeSet<RequestId> = ready.map(|task| task.request).collect();
        requests.into_iter().collect()
    }

    /// Runs a request until it waits. No dice are rolled between its tasks, so the number of tasks
    /// and polls of the code under test does not change the history.
    fn run(&self, request: RequestId) {
        let next = || {
            let tasks = self.tasks.borrow();
            tasks
                .iter()
                .position(|task| task.request == request && task.is_ready())
        };
        while let Some(task) = next() {
            self.poll(task);
        }
    }

    /// Randomness for the request that runs now.
    fn fill_random(&self, out: &mut [u8]) {
        let request = self.current.get();
        let mut randomness = self.randomness.borrow_mut();
        let seed = mix(self.seed ^ mix(request as u64 + 1));
        let dice = randomness.entry(request).or_insert_with(|| Dice::new(seed));
        dice.fill(out);
    }

    fn poll(&self, task: usize) {
        let (future, flag, request) = {
            let mut tasks = self.tasks.borrow_mut();
            let task = &mut tasks[task];
            task.flag.0.store(false, Ordering::Relaxed);
            (task.future.take(), Arc::clone(&task.flag), task.request)
        };
        let Some(mut future) = future else { return };
        let waker = Waker::from(flag);
        let outer = self.current.replace(request);
        let done = future
            .as_mut()
            .poll(&mut Context::from_waker(&waker))
            .is_ready();
        self.current.set(outer);
        if done {
            // Dropped here and not under the borrow: it may hold others.
            drop(future);
        } else {
            self.tasks.borrow_mut()[task].future = Some(future);
        }
    }

    /// True while the request, or what it left to `waitUntil`, still runs or will.
    pub fn is_running(&self, request: RequestId) -> bool {
        self.tasks
            .borrow()
            .iter()
            .any(|task| task.request == request && task.future.is_some() && !task.frozen)
    }

    /// True while something of the request can still happen to the store.
    pub fn is_active(&self, request: RequestId) -> bool {
        self.is_running(request) || self.operations(request).puts_under_way > 0
    }

    /// Never runs the request again. Work passed to `waitUntil` continues, unless `later`.
    pub fn freeze(&self, request: RequestId, later: bool) {
        for task in self.tasks.borrow_mut().iter_mut() {
            if task.request == request && (later || !task.later) {
                task.frozen = true;
            }
        }
    }

    /// Drops the request's future at its current await.
    pub fn cancel(&self, request: RequestId) {
        let mut dropped = Vec::new();
        for task in self.tasks.borrow_mut().iter_mut() {
            if task.request == request && !task.later {
                dropped.extend(task.future.take());
            }
        }
    }

    // --- time ----------------------------------------------------------------------------------

    fn schedule(&self, delay: Ms, event: Event) {
        let order = self.order.get();
        self.order.set(order + 1);
        self.heap.borrow_mut().push(Reverse(Timed {
            at: self.now.get() + delay,
            order,
            event,
        }));
    }

    /// Runs `act` later.
    pub fn after(&self, delay: Ms, act: impl FnOnce(&Rc<Self>) + 'static) {
        self.schedule(delay, Box::new(act));
    }

    /// Runs one request that can run, or else advances time to the next event, but not past
    /// `until`. False if nothing is left to do before then.
    pub fn step(self: &Rc<Self>, until: Ms) -> bool {
        match &*self.runnable_requests() {
            [] => {}
            [only] => {
                self.run(*only);
                return true;
            }
            several => {
                let chosen = *self.dice.borrow_mut().pick(several);
                self.run(chosen);
                return true;
            }
        }
        let next = {
            let mut heap = self.heap.borrow_mut();
            match heap.peek() {
                Some(Reverse(timed)) if timed.at <= until => heap.pop(),
                _ => None,
            }
        };
        let Some(Reverse(timed)) = next else {
            self.now.set(self.now.get().max(until));
            return false;
        };
        self.now.set(self.now.get().max(timed.at));
        (timed.event)(self);
        true
    }

    /// Runs everything that happens until then.
    pub fn run_until(self: &Rc<Self>, until: Ms) {
        while self.step(until) {}
    }

    /// Ends the world, which would otherwise leak: requests refer to it, and it refers to them.
    pub fn end(&self) {
        let tasks = std::mem::take(&mut *self.tasks.borrow_mut());
        drop(tasks);
        self.heap.borrow_mut().clear();
        *self.choices.borrow_mut() = None;
        *self.judge.borrow_mut() = None;
        *self.watcher.borrow_mut() = None;
    }

    // --- one event after another, by choice ----------------------------------------------------

    /// From now on operations wait until they are chosen.
    pub fn choose_by_hand(&self) {
        *self.choices.borrow_mut() = Some(Vec::new());
    }

    /// From now on operations take their time again. Waiting ones continue immediately.
    pub fn stop_choosing(self: &Rc<Self>) {
        let waiting = self.choices.borrow_mut().take().unwrap_or_default();
        for choice in waiting {
            (choice.event)(self);
        }
    }

    /// Runs every task until it waits. Returns the requests that wait to be chosen, in the order in
    /// which they started to wait.
    pub fn settle(&self) -> Vec<RequestId> {
        while let Some(task) = self.runnable().first() {
            self.poll(*task);
        }
        let choices = self.choices.borrow();
        choices
            .iter()
            .flatten()
            .map(|choice| choice.request)
            .collect()
    }

    /// Lets the choice at this place of [`settle`](Self::settle)'s list happen.
    pub fn choose(self: &Rc<Self>, place: usize) {
        let chosen = self
            .choices
            .borrow_mut()
            .as_mut()
            .map(|choices| choices.remove(place));
        if let Some(choice) = chosen {
            (choice.event)(self);
        }
    }

    // --- operations ----------------------------------------------------------------------------

    pub fn operations(&self, request: RequestId) -> Ref<'_, Operations> {
        Ref::map(self.operations.borrow(), |all| &all[request])
    }

    /// The request that runs now found a conflict.
    pub fn count_conflict(&self) {
        self.count(self.current.get(), |it| it.conflicts += 1);
    }

    fn count<T>(&self, request: RequestId, count: impl FnOnce(&mut Operations) -> T) -> T {
        let mut all = self.operations.borrow_mut();
        if all.len() <= request {
            all.resize_with(request + 1, Operations::default);
        }
        count(&mut all[request])
    }

    fn judge(&self, asked: &Asked<'_>) -> Verdict {
        // Taken out meanwhile, because it may access the world.
        let Some(mut judge) = self.judge.borrow_mut().take() else {
            return Verdict::QUICK;
        };
        let verdict = judge(self, asked);
        self.judge.borrow_mut().get_or_insert(judge);
        verdict
    }

    /// An operation: `act` happens when it reaches the store.
    pub(crate) fn operation<T: 'static>(
        &self,
        kind: Kind,
        is_record: bool,
        latency: (Ms, Ms),
        act: impl FnOnce(&Rc<Self>) -> T + 'static,
    ) -> Wait<T> {
        let request = self.current.get();
        let wait = Wait::default();
        let slot = Rc::clone(&wait.0);
        let (there, back) = latency;
        self.count(request, |it| {
            it.in_flight += 1;
            it.slowest = it.slowest.max(there + back);
        });
        let answer = move |world: &Rc<Self>, answer: T| {
            world.count(request, |it| it.in_flight -= 1);
            Slot::answer(&slot, answer);
        };
        // When operations are chosen, the put of a record is two events, because others can see it
        // in flight. For all others the time of the answer makes no difference.
        let in_two = kind == Kind::Put && is_record;
        let mut choices = self.choices.borrow_mut();
        let Some(choices) = choices.as_mut() else {
            self.schedule(
                there,
                Box::new(move |world| {
                    let result = act(world);
                    world.schedule(back, Box::new(move |world| answer(world, result)));
                }),
            );
            return wait;
        };
        let event: Event = Box::new(move |world| {
            let result = act(world);
            let mut choices = world.choices.borrow_mut();
            match choices.as_mut() {
                Some(choices) if in_two => {
                    let event: Event = Box::new(move |world| answer(world, result));
                    choices.push(Choice { request, event });
                }
                _ => {
                    drop(choices);
                    answer(world, result);
                }
            }
        });
        choices.push(Choice { request, event });
        wait
    }

    /// The application is busy with something else for a while. When operations are chosen, this
    /// ends when it is chosen.
    pub fn work(&self, milliseconds: Ms) -> Wait<()> {
        let mut choices = self.choices.borrow_mut();
        let Some(choices) = choices.as_mut() else {
            return self.timer(milliseconds);
        };
        let (request, wait) = (self.current.get(), Wait::default());
        let slot = Rc::clone(&wait.0);
        let event: Event = Box::new(move |world| {
            world.now.set(world.now.get() + milliseconds);
            Slot::answer(&slot, ());
        });
        choices.push(Choice { request, event });
        wait
    }

    /// Ends after a while.
    pub fn timer(&self, delay: Ms) -> Wait<()> {
        let wait = Wait::default();
        let slot = Rc::clone(&wait.0);
        self.schedule(delay, Box::new(move |_| Slot::answer(&slot, ())));
        wait
    }
}

struct Slot<T> {
    answer: Option<T>,
    waker: Option<Waker>,
}

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self {
            answer: None,
            waker: None,
        }
    }
}

impl<T> Slot<T> {
    fn answer(slot: &RefCell<Self>, answer: T) {
        let waker = {
            let mut slot = slot.borrow_mut();
            slot.answer = Some(answer);
            slot.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// The future of an operation or a timer.
pub struct Wait<T>(Rc<RefCell<Slot<T>>>);

impl<T> Default for Wait<T> {
    fn default() -> Self {
        Self(Rc::default())
    }
}

impl<T> Future for Wait<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        let mut slot = self.0.borrow_mut();
        match slot.answer.take() {
            Some(answer) => Poll::Ready(answer),
            None => {
                slot.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

fn failed(kind: ConnectorErrorKind) -> ConnectorError {
    ConnectorError::new(kind, "simulated")
}

/// A readable form of a name of the namespace: the kind, and the start of each id.
pub fn short(name: &str) -> String {
    let ids = name.split('.').map(|part| part.get(..5).unwrap_or(part));
    ids.collect::<Vec<_>>().join(".")
}

/// The store, as seen from one location.
pub struct Connector {
    pub world: Rc<World>,
    pub location: usize,
    /// Keys of one page of a listing.
    pub page: usize,
}

impl Connector {
    fn judge(&self, kind: Kind, name: &str) -> (RequestId, Verdict) {
        let world = &self.world;
        let request = world.current.get();
        let verdict = world.judge(&Asked {
            kind,
            name,
            location: self.location,
            request,
            now: world.now(),
        });
        (request, verdict)
    }

    fn write(
        &self,
        kind: Kind,
        name: &str,
        write: impl FnOnce(Spread) -> Write,
    ) -> Wait<Result<(), ConnectorError>> {
        let (request, verdict) = self.judge(kind, name);
        let name: Rc<str> = name.into();
        let write = write(verdict.spread);
        let value = write.value.clone();
        self.world.transcript(request, || {
            let metadata = write.metadata.as_deref();
            format!(
                "{kind:?} {name} {} ttl={} metadata {}",
                content(value.as_deref()),
                write.ttl,
                content(metadata)
            )
        });
        let is_record = name.starts_with("s.");
        // The marker of a rotation, as in docs/wire-format.md.
        let retires =
            name.starts_with("k.") && write.value.as_ref().is_some_and(|it| it.starts_with("2 r"));
        self.world.count(request, |it| {
            let stands = |name: &Rc<str>| name.starts_with("s.");
            it.retired_too_soon |= retires && !it.acknowledged.iter().any(stands);
            it.puts += 1;
            it.puts_under_way += u32::from(is_record);
        });
        let location = self.location;
        let asked = self.world.now();
        self.world.operation(kind, is_record, verdict.latency, move |world| {
            let now = world.now();
            let result = match verdict.failure {
                Failure::Before(why) => Err(failed(why)),
                _ if !world.kv.borrow().takes_write(&name, now) => {
                    world.fault(Fault::RateLimited);
                    Err(failed(ConnectorErrorKind::RateLimited))
                }
                failure => {
                    world.kv.borrow_mut().write(&name, write, now);
                    world.count(request, |it| {
                        if is_record {
                            it.taken.push((Rc::clone(&name), now));
                        }
                        if now - asked >= TIMEOUT {
                            it.late.push((Rc::clone(&name), now));
                        }
                    });
                    if failure == Failure::After {
                        Err(failed(ConnectorErrorKind::Unavailable))
                    } else {
                        Ok(())
                    }
                }
            };
            world.count(request, |it| {
                it.puts_under_way -= u32::from(is_record);
                if is_record {
                    it.stored_last = result.is_ok();
                    it.rate_limited = match &result {
                        Ok(()) => false,
                        Err(error) => {
                            it.rate_limited || error.kind() == ConnectorErrorKind::RateLimited
                        }
                    };
                }
                match &result {
                    Ok(()) => it.acknowledged.push(Rc::clone(&name)),
                    Err(error) => {
                        it.failed += 1;
                        it.limited += u32::from(error.kind() == ConnectorErrorKind::RateLimited);
                    }
                }
            });
            world.transcript(request, || {
                let result = result.as_ref().map_err(|error| error.kind().as_str());
                format!("{kind:?} {name} gives {result:?}")
            });
            world.note(|| {
                let what = if kind == Kind::Put { "put" } else { "delete" };
                let how = match (&result, verdict.failure) {
                    (Ok(()), _) if verdict.spread.lost => "taken, and lost".to_owned(),
                    (Ok(()), _) => "taken".to_owned(),
                    (Err(_), Failure::After) => "taken, reported as failed".to_owned(),
                    (Err(error), _) => format!("refused: {}", error.kind().as_str()),
                };
                let delay = verdict.spread.delay.map(|ms| ms / 1_000);
                format!(
                    "  #{request} {what} {} from location {location}: {how}; seen after {delay:?} s",
                    short(&name)
                )
            });
            let name = Rc::clone(&name);
            let limited = matches!(&result, Err(error) if error.kind() == ConnectorErrorKind::RateLimited);
            let taken = result.is_ok() || (verdict.failure == Failure::After && !limited);
            if taken {
                world.tell_arrivals(&name, &value, &verdict.spread);
                world.tell(&Observation::Took {
                    request,
                    name,
                    value,
                });
            } else {
                world.tell(&Observation::Refused { request, name });
            }
            result
        })
    }
}

impl SessionConnector for Connector {
    fn read<'a>(
        &'a self,
        keys: &'a [&'a str],
        options: ReadOptions,
    ) -> LocalBoxFuture<'a, Result<Vec<Option<String>>, ConnectorError>> {
        Box::pin(async move {
            let (request, verdict) =
                self.judge(Kind::Read, keys.first().copied().unwrap_or_default());
            self.world.count(request, |it| {
                it.reads += 1;
                it.keys_read += keys.len() as u32;
            });
            self.world.transcript(request, || {
                format!("Read {} cache={:?}", keys.join(" "), options.cache_ttl)
            });
            let names: Vec<Rc<str>> = keys.iter().map(|name| Rc::from(*name)).collect();
            let location = self.location;
            let cache = Ms::from(options.cache_ttl.unwrap_or(60).max(30)) * 1_000;
            let read = self
                .world
                .operation(Kind::Read, false, verdict.latency, move |world| {
                    if let Failure::Before(why) = verdict.failure {
                        world.count(request, |it| it.failed += 1);
                        world.transcript(request, || format!("Read gives {}", why.as_str()));
                        world.note(|| format!("  #{request} read refused: {}", why.as_str()));
                        return Err(failed(why));
                    }
                    let now = world.now();
                    let found: Vec<Found> = names
                        .iter()
                        .map(|name| {
                            let (value, shown) =
                                world.kv.borrow_mut().read(name, location, now, cache);
                            match shown {
                                Shown::Current => {}
                                Shown::OldCached => world.fault(Fault::OldCached),
                                Shown::AbsenceCached => world.fault(Fault::AbsenceCached),
                                Shown::Behind => world.fault(Fault::Behind),
                            }
                            if name.starts_with("s.") && shown != Shown::Current {
                                world.count(request, |it| it.shown_old = true);
                            }
                            let name = Rc::clone(name);
                            Found { name, value, shown }
                        })
                        .collect();
                    let mut values: Vec<Option<String>> = found
                        .iter()
                        .map(|it| it.value.as_ref().map(ToString::to_string))
                        .collect();
                    if verdict.damaged
                        && let Some(Some(value)) = values.first_mut()
                    {
                        value.truncate(value.len() / 2);
                        world.fault(Fault::Damaged);
                        world.note(|| format!("  #{request} the next value is cut in half"));
                    }
                    world.note(|| {
                        let lines = found.iter().map(|it| {
                            let is = if it.value.is_some() {
                                "there"
                            } else {
                                "absent"
                            };
                            format!("{} {is} ({:?})", short(&it.name), it.shown)
                        });
                        let lines = lines.collect::<Vec<_>>().join(", ");
                        format!("  #{request} read at location {location}: {lines}")
                    });
                    world.transcript(request, || {
                        let values: Vec<String> =
                            values.iter().map(|it| content(it.as_deref())).collect();
                        format!("Read gives {}", values.join(", "))
                    });
                    world.tell(&Observation::Read {
                        request,
                        found: &found,
                    });
                    Ok(values)
                });
            read.await
        })
    }

    fn put<'a>(
        &'a self,
        key: &'a str,
        value: &'a str,
        options: PutOptions,
    ) -> LocalBoxFuture<'a, Result<(), ConnectorError>> {
        Box::pin(async move {
            // Workers KV accepts no less than 60 seconds.
            let ttl = options
                .ttl
                .map_or(i64::MAX / 4, |ttl| Ms::from(ttl.max(60)) * 1_000);
            let put = self.write(Kind::Put, key, |spread| Write {
                value: Some(value.into()),
                metadata: options.metadata.map(Rc::from),
                ttl,
                spread,
            });
            put.await
        })
    }

    fn delete<'a>(&'a self, key: &'a str) -> LocalBoxFuture<'a, Result<(), ConnectorError>> {
        Box::pin(async move {
            let delete = self.write(Kind::Delete, key, |spread| Write {
                value: None,
                metadata: None,
                ttl: i64::MAX / 4,
                spread,
            });
            delete.await
        })
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        cursor: Option<&'a str>,
    ) -> LocalBoxFuture<'a, Result<Page, ConnectorError>> {
        Box::pin(async move {
            let (request, verdict) = self.judge(Kind::List, prefix);
            self.world.count(request, |it| it.lists += 1);
            self.world
                .transcript(request, || format!("List {prefix} after {cursor:?}"));
            let (prefix, cursor) = (prefix.to_owned(), cursor.map(str::to_owned));
            let page = self.page;
            let list = self
                .world
                .operation(Kind::List, false, verdict.latency, move |world| {
                    if let Failure::Before(why) = verdict.failure {
                        world.count(request, |it| it.failed += 1);
                        world.transcript(request, || format!("List gives {}", why.as_str()));
                        world.note(|| format!("  #{request} list refused: {}", why.as_str()));
                        return Err(failed(why));
                    }
                    let kv = world.kv.borrow();
                    let (found, more, lags) =
                        kv.list(&prefix, cursor.as_deref(), page, world.now());
                    if lags {
                        world.fault(Fault::ListLags);
                    }
                    world.note(|| format!("  #{request} list: {} keys", found.len()));
                    world.transcript(request, || {
                        let names: Vec<&str> = found.iter().map(|(name, _)| &**name).collect();
                        format!("List gives {} more={more}", names.join(" "))
                    });
                    let cursor = found
                        .last()
                        .filter(|_| more)
                        .map(|(name, _)| name.to_string());
                    let keys = found
                        .into_iter()
                        .map(|(name, metadata)| ListedKey {
                            name: name.to_string(),
                            metadata: metadata.map(|text| text.to_string()),
                        })
                        .collect();
                    Ok(Page { keys, cursor })
                });
            list.await
        })
    }
}

/// The clock, dice and timers of one isolate.
pub struct Machine {
    pub world: Rc<World>,
    /// The error of its clock.
    pub offset: Rc<Cell<Ms>>,
}

impl Runtime for Machine {
    fn now(&self) -> i64 {
        self.world.now().saturating_add(self.offset.get())
    }

    fn fill_random(&self, out: &mut [u8]) -> Result<(), SessionError> {
        self.world.fill_random(out);
        Ok(())
    }

    fn sleep(&self, milliseconds: u32) -> LocalBoxFuture<'static, ()> {
        Box::pin(self.world.timer(Ms::from(milliseconds)))
    }

    /// Failures are intended here.
    fn warn(&self, _: &str) {}
}

/// A random spread of a write within `propagation` milliseconds.
pub fn spread(dice: &mut Dice, location: usize, propagation: Ms) -> Spread {
    let mut delay = [0; LOCATIONS];
    for (n, delay) in delay.iter_mut().enumerate() {
        *delay = match dice.below(8) {
            0..=2 => 0,
            3 => dice.between(0, 1_000.min(propagation)),
            4 => dice.between(0, propagation),
            5 => dice.between(propagation / 2, propagation),
            _ => propagation,
        };
        if n == location && dice.below(5) > 0 {
            *delay = 0;
        }
    }
    Spread {
        delay,
        cached_at: (dice.below(5) > 0).then_some(location),
        listed: match dice.below(3) {
            0 => 0,
            1 => dice.between(0, propagation),
            _ => propagation,
        },
        linger: 0,
        lost: false,
    }
}
