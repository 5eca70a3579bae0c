//! Counters: of an isolate for [`Stats`], of one request for `Server-Timing`.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;

use crate::protocol::outcome::Outcome;

/// The counters of an isolate since it started, and its current memory.
///
/// Returned by [`Sessions::stats`](crate::Sessions::stats). All sessions of one
/// [`Isolate`](crate::Isolate) are counted together. There are many isolates, and each may end at
/// any time: use these numbers for logs and alarms, not for billing.
///
/// ```
/// use edge_session::{CookieHeader, Outcome};
/// # edge_session::doc::run(async |sessions| {
/// let mut session = sessions.load(CookieHeader::none()).await;
/// session.set("views", 1)?;
/// let _headers = sessions.commit(&mut session, 200).await?;
///
/// let stats = sessions.stats();
/// assert_eq!((stats.requests, stats.outcome(Outcome::New)), (1, 1));
/// assert_eq!((stats.reads, stats.puts, stats.table_entries), (0, 1, 1));
/// # Ok(()) });
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Sessions that were opened: one for each request, loaded or not.
    pub requests: u64,
    /// Loads answered from the isolate's table.
    pub table_loads: u64,
    /// Loads answered by the store.
    pub store_loads: u64,
    /// Reads, one for each round trip, including retries.
    pub reads: u64,
    /// Keys requested by these reads.
    pub keys_read: u64,
    /// Puts.
    pub puts: u64,
    /// Deletes.
    pub deletes: u64,
    /// Pages of keys that were listed.
    pub lists: u64,
    /// Operations retried after the store failed or asked for a pause.
    pub retries: u64,
    /// Loads that found two copies written without knowledge of each other.
    pub conflicts: u64,
    /// Logins after which older sessions over `SESSION_MAX_PER_OWNER` could not be ended.
    pub limit_failures: u64,
    /// Sessions that the isolate remembers now: at most 7,000, over all namespaces and prefixes.
    pub table_entries: u64,
    /// Bytes of their data: at most 4 MiB.
    pub table_bytes: u64,
    /// Bytes of the module's linear memory, which never shrinks; 0 in native code.
    pub wasm_bytes: u64,
    pub(crate) outcomes: [u64; OUTCOMES],
}

impl Stats {
    /// Loads with this outcome.
    ///
    /// ```
    /// # edge_session::doc::run(async |sessions| {
    /// use edge_session::{CookieHeader, Outcome};
    /// sessions.load(CookieHeader::new("__Host-session=forged")).await;
    /// assert_eq!(sessions.stats().outcome(Outcome::Rejected), 1);
    /// # Ok(()) });
    /// ```
    #[must_use]
    pub fn outcome(&self, outcome: Outcome) -> u64 {
        self.outcomes[outcome as usize]
    }
}

const OUTCOMES: usize = Outcome::Unavailable as usize + 1;

/// A kind of counted operation.
#[derive(Clone, Copy)]
pub(crate) enum Count {
    Requests,
    TableLoads,
    StoreLoads,
    Reads,
    KeysRead,
    Puts,
    Deletes,
    Lists,
    Retries,
    Conflicts,
    LimitFailures,
}

/// Counters, by [`Count`] and by [`Outcome`].
#[derive(Default)]
pub(crate) struct Tally {
    counts: [Cell<u64>; Count::LimitFailures as usize + 1],
    outcomes: [Cell<u64>; OUTCOMES],
}

impl Tally {
    pub(crate) fn add(&self, what: Count, many: usize) {
        add(&self.counts[what as usize], many);
    }

    pub(crate) fn add_outcome(&self, outcome: Outcome) {
        add(&self.outcomes[outcome as usize], 1);
    }

    fn get(&self, what: Count) -> u64 {
        self.counts[what as usize].get()
    }

    /// The counters, for an isolate whose table has this many sessions and bytes.
    pub(crate) fn stats(&self, (entries, bytes): (usize, usize)) -> Stats {
        Stats {
            requests: self.get(Count::Requests),
            table_loads: self.get(Count::TableLoads),
            store_loads: self.get(Count::StoreLoads),
            reads: self.get(Count::Reads),
            keys_read: self.get(Count::KeysRead),
            puts: self.get(Count::Puts),
            deletes: self.get(Count::Deletes),
            lists: self.get(Count::Lists),
            retries: self.get(Count::Retries),
            conflicts: self.get(Count::Conflicts),
            limit_failures: self.get(Count::LimitFailures),
            table_entries: entries as u64,
            table_bytes: bytes as u64,
            wasm_bytes: wasm_bytes(),
            outcomes: self.outcomes.each_ref().map(Cell::get),
        }
    }
}

fn add(count: &Cell<u64>, many: usize) {
    count.set(count.get().wrapping_add(many as u64));
}

#[cfg(target_arch = "wasm32")]
fn wasm_bytes() -> u64 {
    core::arch::wasm32::memory_size(0) as u64 * 65_536
}

#[cfg(not(target_arch = "wasm32"))]
fn wasm_bytes() -> u64 {
    0
}

/// The store operations of one request, and how long it waited for them.
#[derive(Default)]
pub(crate) struct Timing {
    tally: Tally,
    /// The number of steps that are waiting now.
    waiting: Cell<u32>,
    since: Cell<i64>,
    waited: Cell<i64>,
}

thread_local! {
    /// The request whose handler is running. There is only one, because the thread polls one at a
    /// time.
    static CURRENT: RefCell<Option<Rc<Timing>>> = const { RefCell::new(None) };
}

/// Restores the previous request.
#[allow(dead_code, reason = "as `during`")]
struct Entered(Option<Rc<Timing>>);

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.set(self.0.take());
    }
}

impl Timing {
    /// The request whose handler is running, if `SESSION_SERVER_TIMING` is on.
    pub(crate) fn current() -> Option<Rc<Self>> {
        CURRENT.with_borrow(Clone::clone)
    }

    /// Runs the handler of the request that `timing` counts for, so that [`current`](Self::current)
    /// knows it.
    #[allow(dead_code, reason = "handlers need a Worker or the feature testing")]
    pub(crate) async fn during<F: Future>(timing: Option<Rc<Self>>, handler: F) -> F::Output {
        let mut handler = pin!(handler);
        poll_fn(|context| {
            let _entered = Entered(CURRENT.replace(timing.clone()));
            handler.as_mut().poll(context)
        })
        .await
    }

    pub(crate) fn add(&self, what: Count, many: usize) {
        self.tally.add(what, many);
    }

    /// The request starts to wait for the store.
    pub(crate) fn wait_began(&self, now: i64) {
        if self.waiting.get() == 0 {
            self.since.set(now);
        }
        self.waiting.set(self.waiting.get() + 1);
    }

    /// The request stops waiting.
    pub(crate) fn wait_ended(&self, now: i64) {
        self.waiting.set(self.waiting.get() - 1);
        if self.waiting.get() == 0 {
            self.add_waited(now.saturating_sub(self.since.get()));
        }
    }

    /// Adds milliseconds of waiting.
    fn add_waited(&self, milliseconds: i64) {
        self.waited.set(self.waited.get() + milliseconds.max(0));
    }

    /// The metric of this request for `Server-Timing` (<https://www.w3.org/TR/server-timing/>).
    pub(crate) fn header(&self) -> String {
        let mut out = String::from("session;dur=");
        out.push_str(&self.waited.get().to_string());
        for (name, what) in [
            (";desc=\"get ", Count::Reads),
            (" keys ", Count::KeysRead),
            (" put ", Count::Puts),
            (" delete ", Count::Deletes),
            (" list ", Count::Lists),
        ] {
            out.push_str(name);
            out.push_str(&self.tally.get(what).to_string());
        }
        out.push('"');
        out
    }
}

#[cfg(test)]
mod tests {
    use futures_executor::block_on;
    use futures_util::future::join;

    use super::*;

    /// Gives way once.
    async fn pause() {
        let mut has_paused = false;
        poll_fn(|context| {
            if std::mem::replace(&mut has_paused, true) {
                return std::task::Poll::Ready(());
            }
            context.waker().wake_by_ref();
            std::task::Poll::Pending
        })
        .await;
    }

    fn count() {
        if let Some(timing) = Timing::current() {
            timing.add(Count::Lists, 1);
        }
    }

    #[test]
    fn what_a_handler_asks_counts_for_its_own_request() {
        let [one, two] = [Rc::new(Timing::default()), Rc::new(Timing::default())];
        let handler = |timing: &Rc<Timing>, lists: usize| {
            Timing::during(Some(Rc::clone(timing)), async move {
                for _ in 0..lists {
                    pause().await;
                    count();
                }
                // A handler within it, which is not timed.
                Timing::during(None, async { count() }).await;
                count();
            })
        };
        block_on(join(handler(&one, 1), handler(&two, 3)));
        assert!(Timing::current().is_none());
        count();
        assert!(one.header().ends_with("list 2\""), "{}", one.header());
        assert!(two.header().ends_with("list 4\""), "{}", two.header());
    }
}
