//! Runs the core's futures, woken by calls from JavaScript.
//!
//! An operation of storage is a [`Reply`] that JavaScript fills in by [`give`] and ends by
//! [`answered`] or [`failed`]; whoever waits for it goes on before that call returns. So waiting
//! costs neither a promise nor a closure on this side, and no turn of the event loop beside the
//! one in which the answer came.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use futures_util::future::LocalBoxFuture;
use wasm_bindgen::prelude::*;

/// Things by small numbers, which are used again.
struct Slab<T> {
    entries: Vec<Option<T>>,
    free: Vec<u32>,
}

impl<T> Slab<T> {
    const fn new() -> Self {
        Self {
            entries: Vec::new(),
            free: Vec::new(),
        }
    }

    fn insert(&mut self, entry: T) -> u32 {
        if let Some(id) = self.free.pop()
            && let Some(place) = self.entries.get_mut(id as usize)
        {
            *place = Some(entry);
            return id;
        }
        self.entries.push(Some(entry));
        self.entries.len() as u32 - 1
    }

    fn get(&mut self, id: u32) -> Option<&mut T> {
        self.entries.get_mut(id as usize)?.as_mut()
    }

    fn remove(&mut self, id: u32) -> Option<T> {
        let entry = self.entries.get_mut(id as usize)?.take()?;
        self.free.push(id);
        Some(entry)
    }
}

type Work = LocalBoxFuture<'static, ()>;

struct Task {
    /// Away while it is polled.
    work: Option<Work>,
    waker: Waker,
}

struct Tasks {
    all: Slab<Task>,
    /// Those that can go on.
    ready: Vec<u32>,
    /// True while one is polled, or a future that may become one.
    running: bool,
    /// Which.
    current: Option<u32>,
}

thread_local! {
    static TASKS: RefCell<Tasks> = const {
        RefCell::new(Tasks { all: Slab::new(), ready: Vec::new(), running: false, current: None })
    };
    static REPLIES: RefCell<Slab<Pending>> = const { RefCell::new(Slab::new()) };
    /// What the clock said since JavaScript called last.
    static NOW: Cell<Option<i64>> = const { Cell::new(None) };
}

/// What `clock` says, asked once for all that is polled in one call from JavaScript: a Worker's clock
/// stands still meanwhile (<https://developers.cloudflare.com/workers/reference/security-model/>).
pub(super) fn now(clock: impl FnOnce() -> i64) -> i64 {
    if current().is_none() {
        return clock();
    }
    let now = NOW.get().unwrap_or_else(clock);
    NOW.set(Some(now));
    now
}

/// Wakes one task. What wakes it after its end wakes another one for nothing, at worst.
struct TaskWaker(u32);

impl Wake for TaskWaker {
    /// Only notes it: whoever wakes may hold what the task is going to need. Everything that wakes
    /// is a poll of ours or [`end`], and both run what is ready afterwards.
    fn wake(self: Arc<Self>) {
        TASKS.with_borrow_mut(|tasks| tasks.ready.push(self.0));
    }
}

/// Runs `work` to its end, beginning when whatever runs now stands aside. Gives its number.
pub(super) fn spawn(work: impl FnOnce(u32) -> Work) -> u32 {
    let id = reserve();
    let work = work(id);
    TASKS.with_borrow_mut(|tasks| {
        if let Some(task) = tasks.all.get(id) {
            task.work = Some(work);
        }
        tasks.ready.push(id);
    });
    id
}

/// Polls `future` at once. What has to wait goes on as a task, made of it by `task`.
pub(super) fn start<T>(
    mut future: LocalBoxFuture<'static, T>,
    task: impl FnOnce(u32, LocalBoxFuture<'static, T>) -> Work,
) -> Result<T, u32> {
    let id = reserve();
    NOW.set(None);
    let (waker, outermost) = TASKS.with_borrow_mut(|tasks| {
        let outermost = !std::mem::replace(&mut tasks.running, true);
        (tasks.all.get(id).map(|task| task.waker.clone()), outermost)
    });
    let waker = waker.unwrap_or_else(|| Waker::noop().clone());
    let started = match poll_as(id, future.as_mut(), &waker) {
        Poll::Ready(done) => {
            TASKS.with_borrow_mut(|tasks| tasks.all.remove(id));
            Ok(done)
        }
        Poll::Pending => {
            let work = task(id, future);
            TASKS.with_borrow_mut(|tasks| {
                if let Some(task) = tasks.all.get(id) {
                    task.work = Some(work);
                }
            });
            Err(id)
        }
    };
    if outermost {
        run();
    }
    started
}

/// The task that is polled now.
pub(super) fn current() -> Option<u32> {
    TASKS.with_borrow(|tasks| tasks.current)
}

fn poll_as<T>(id: u32, future: Pin<&mut dyn Future<Output = T>>, waker: &Waker) -> Poll<T> {
    let enter = |id| TASKS.with_borrow_mut(|tasks| std::mem::replace(&mut tasks.current, id));
    let before = enter(Some(id));
    let polled = future.poll(&mut Context::from_waker(waker));
    enter(before);
    polled
}

fn reserve() -> u32 {
    TASKS.with_borrow_mut(|tasks| {
        let id = tasks.all.insert(Task {
            work: None,
            waker: Waker::noop().clone(),
        });
        if let Some(task) = tasks.all.get(id) {
            task.waker = Arc::new(TaskWaker(id)).into();
        }
        id
    })
}

/// Polls what is ready until nothing is.
fn run() {
    TASKS.with_borrow_mut(|tasks| tasks.running = true);
    loop {
        let batch = TASKS.with_borrow_mut(|tasks| {
            let batch = std::mem::take(&mut tasks.ready);
            tasks.running = !batch.is_empty();
            batch
        });
        if batch.is_empty() {
            return;
        }
        batch.into_iter().for_each(poll);
    }
}

fn poll(id: u32) {
    let taken = TASKS.with_borrow_mut(|tasks| {
        let task = tasks.all.get(id)?;
        Some((task.work.take()?, task.waker.clone()))
    });
    let Some((mut work, waker)) = taken else {
        return;
    };
    let left = match poll_as(id, work.as_mut(), &waker) {
        Poll::Ready(()) => None,
        Poll::Pending => Some(work),
    };
    TASKS.with_borrow_mut(|tasks| match tasks.all.get(id) {
        Some(task) if left.is_some() => task.work = left,
        _ => drop(tasks.all.remove(id)),
    });
}

/// An answer of storage that is on its way.
struct Pending {
    values: Vec<Option<String>>,
    end: Option<Result<(), JsValue>>,
    /// Who waits for it.
    waker: Option<Waker>,
    /// Nobody does any more.
    abandoned: bool,
}

/// The future of an operation's answer: texts and nulls, or what was thrown.
pub(super) struct Reply(u32);

impl Reply {
    pub(super) fn new() -> Self {
        Self(REPLIES.with_borrow_mut(|replies| {
            replies.insert(Pending {
                values: Vec::new(),
                end: None,
                waker: None,
                abandoned: false,
            })
        }))
    }

    pub(super) fn id(&self) -> u32 {
        self.0
    }
}

impl Future for Reply {
    type Output = Result<Vec<Option<String>>, JsValue>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        REPLIES.with_borrow_mut(|replies| {
            let Some(pending) = replies.get(self.0) else {
                return Poll::Pending;
            };
            match pending.end.take() {
                Some(end) => Poll::Ready(end.map(|()| std::mem::take(&mut pending.values))),
                None => {
                    pending.waker = Some(cx.waker().clone());
                    Poll::Pending
                }
            }
        })
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        REPLIES.with_borrow_mut(|replies| match replies.get(self.0) {
            // Its number stays taken until the answer has come.
            Some(pending) if pending.waker.is_some() => pending.abandoned = true,
            _ => drop(replies.remove(self.0)),
        });
    }
}

/// One text of an answer, or the absence of one.
#[wasm_bindgen]
pub fn give(reply: u32, value: Option<String>) {
    REPLIES.with_borrow_mut(|replies| {
        if let Some(pending) = replies.get(reply) {
            pending.values.push(value);
        }
    });
}

/// The answer is complete, with `count` more values: `first`, and the absence of every other.
#[wasm_bindgen]
pub fn answered(reply: u32, first: Option<String>, count: u32) {
    if count > 0 {
        REPLIES.with_borrow_mut(|replies| {
            if let Some(pending) = replies.get(reply) {
                pending.values.push(first);
                let all = pending.values.len() + count as usize - 1;
                pending.values.resize(all, None);
            }
        });
    }
    end(reply, Ok(()));
}

/// The operation threw.
#[wasm_bindgen]
pub fn failed(reply: u32, thrown: JsValue) {
    end(reply, Err(thrown));
}

fn end(reply: u32, end: Result<(), JsValue>) {
    let waker = REPLIES.with_borrow_mut(|replies| {
        let pending = replies.get(reply)?;
        if pending.abandoned {
            drop(replies.remove(reply));
            return None;
        }
        pending.end = Some(end);
        pending.waker.take()
    });
    if let Some(waker) = waker {
        waker.wake();
    }
    // JavaScript calls this with nothing of ours on the stack: whatever was running has ended, by
    // a trap if nothing else.
    TASKS.with_borrow_mut(|tasks| tasks.current = None);
    NOW.set(None);
    run();
}
