//! The faults: how often each happens, and how often it did.

use std::cell::{Cell, RefCell};

use crate::Ms;
use crate::dice::Dice;
use crate::world::RequestId;

macro_rules! troubles {
    ($($name:ident $text:literal;)*) => {
        /// One kind of fault.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Trouble { $($name,)* }

        impl Trouble {
            pub const ALL: [Self; [$($text),*].len()] = [$(Self::$name),*];

            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }
        }
    };
}

troubles! {
    FailedBefore "a call failed before it was applied";
    FailedAfter "a call applied, reported as failed";
    Twice "a call applied twice";
    Late "a call that took seconds";
    Hung "a call not answered within the deadline";
    Overloaded "an object overloaded";
    Restarted "an object that restarts";
    Wiped "an object deleted with all that it held";
    ObjectClock "an object's clock off";
    Frozen "a request never run again";
    Dropped "a request dropped at an await";
    IsolateGone "an isolate evicted";
    ClockStepped "a clock set";
    SecretReplaced "another secret signs";
    AnswerLost "an answer lost";
    AnswerLate "an answer late";
    BrowserClosed "a browser closed";
    Stolen "a cookie copied";
}

/// How often each fault happens, in times out of a thousand. Each history has its own mixture.
#[derive(Clone, Copy, Default)]
pub struct Rates {
    pub before: u32,
    pub after: u32,
    pub twice: u32,
    pub late: u32,
    pub hang: u32,
    pub overload: u32,
    pub restart: u32,
    pub wipe: u32,
    pub freeze: u32,
    pub drop: u32,
    pub evict: u32,
    pub clock: u32,
}

impl Rates {
    pub fn draw(dice: &mut Dice) -> Self {
        let mut often = |much: u32| match dice.below(5) {
            0 | 1 => 0,
            2 | 3 => much / 5,
            _ => much,
        };
        Self {
            before: often(80),
            after: often(120),
            twice: often(80),
            late: often(100),
            hang: often(15),
            overload: often(15),
            restart: often(10),
            wipe: often(8),
            freeze: often(10),
            drop: often(8),
            evict: often(5),
            clock: often(20),
        }
    }
}

/// The latency of the calls of a request: to the object, and back.
pub type Script = Box<dyn Fn(RequestId) -> (Ms, Ms)>;

/// The faults of one history.
#[derive(Default)]
pub struct Weather {
    pub rates: Cell<Rates>,
    /// Until when each object fails.
    pub restarts: RefCell<Vec<(String, Ms)>>,
    pub counts: RefCell<[u64; Trouble::ALL.len()]>,
    /// If set, there are no faults, and latencies are not random.
    pub script: RefCell<Option<Script>>,
}

impl Weather {
    pub fn count(&self, trouble: Trouble) {
        self.counts.borrow_mut()[trouble as usize] += 1;
    }

    /// From here on there are no faults.
    pub fn calm(&self) {
        self.rates.set(Rates::default());
        self.restarts.borrow_mut().clear();
    }
}

/// The fate of one call.
#[derive(Clone, Copy, Debug)]
pub struct Verdict {
    /// Milliseconds until it reaches the object, and until the answer is back.
    pub latency: (Ms, Ms),
    pub failure: Failure,
    /// Milliseconds until it reaches the object for the second time.
    pub again: Option<Ms>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    None,
    /// Not applied, and reported as failed.
    Before,
    /// Applied, but reported as failed.
    After,
    /// Not applied: the object has too much to do.
    Overloaded,
}

impl Weather {
    pub fn scripted(&self, request: RequestId) -> Option<Verdict> {
        let script = self.script.borrow();
        script.as_ref().map(|latency| Verdict {
            latency: latency(request),
            failure: Failure::None,
            again: None,
        })
    }

    pub fn decide(&self, dice: &mut Dice, shard: &str, now: Ms) -> Verdict {
        let it = self.rates.get();
        let mut verdict = Verdict {
            latency: (dice.between(1, 30), dice.between(1, 30)),
            failure: Failure::None,
            again: None,
        };
        if dice.chance(it.restart) {
            self.count(Trouble::Restarted);
            let until = now + dice.between(50, 4_000);
            self.restarts.borrow_mut().push((shard.to_owned(), until));
        }
        let restarts = self.restarts.borrow();
        let is_down = restarts
            .iter()
            .any(|(it, until)| it == shard && now < *until);
        if is_down {
            // A call in progress when the object went down may have been applied.
            verdict.failure = if dice.chance(150) {
                Failure::After
            } else {
                Failure::Before
            };
            return verdict;
        }
        if dice.chance(it.hang) {
            self.count(Trouble::Hung);
            let long = dice.between(9_500, 60_000);
            verdict.latency = if dice.chance(500) {
                (long, 5)
            } else {
                (5, long)
            };
        } else if dice.chance(it.late) {
            self.count(Trouble::Late);
            verdict.latency = (dice.between(5, 3_000), dice.between(5, 3_000));
        }
        if dice.chance(it.overload) {
            self.count(Trouble::Overloaded);
            verdict.failure = Failure::Overloaded;
        } else if dice.chance(it.before) {
            self.count(Trouble::FailedBefore);
            verdict.failure = Failure::Before;
        } else if dice.chance(it.after) {
            self.count(Trouble::FailedAfter);
            verdict.failure = Failure::After;
        }
        let applied = matches!(verdict.failure, Failure::None | Failure::After);
        if applied && dice.chance(it.twice) {
            self.count(Trouble::Twice);
            verdict.again = Some(dice.between(1, 20_000));
        }
        verdict
    }
}
