//! The checker: it knows what really happened, and checks what requests may see of it.
//!
//! It knows the whole history: when each session was created, who ended it, and what was written.
//! For each fact it keeps two instants: from when it *may* be visible (the call) and from when it
//! *must* be visible (the acknowledgement and D). Between the two, either answer is right.
//! `docs/simulator.md` explains names such as `INV-4`, `docs/consistency.md` the promises.

use std::collections::{BTreeMap, HashMap};

use edge_session::{ErrorCode, Outcome, OwnedSession};

use crate::Ms;
use crate::jar;
use crate::request::{Answer, End, Ending, OWNERS, Op, Spec, View};
use crate::tally::{Class, Tally};
use crate::world::{Operations, RequestId, TIMEOUT, World};

/// The clocks in a history differ by less than this.
pub const SKEW: Ms = 2_000;
/// The store may drop a value this long before its time to live ends.
pub const EARLY: Ms = 60_000;

/// The bounds of the promises, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    pub window: Ms,
    pub bound: Ms,
    /// Cache time and propagation: how long the store itself may show old values.
    pub store: Ms,
    pub idle: Ms,
    pub age: Ms,
    pub most_per_owner: u32,
    /// True if cookies end with the browser by default.
    pub browser_close: bool,
}

type Isolate = usize;

/// An issued key cookie.
struct Ticket {
    name: String,
    /// The key cookie that it replaced.
    before: Option<usize>,
    lineage: usize,
    is_first: bool,
    made: (Ms, Ms),
    /// The first call that may have replaced it.
    retired_maybe: Option<Ms>,
    retired: Vec<(Ms, Isolate)>,
    /// The time of the login, as its first answer shows it.
    auth_time: Option<Ms>,
}

struct Lineage {
    made: (Ms, Ms),
    owner: Option<String>,
    /// The name under which its owner's marker is stored.
    owner_marker: String,
    /// The sessions that its data may come from.
    parents: Vec<usize>,
    revoked_maybe: Option<Ms>,
    revoked: Vec<(Ms, Isolate)>,
    /// When and where a marker of its owner ended it. A later owner marker replaces that one.
    ended_as_owned: Vec<(Ms, Isolate)>,
    /// When and in which isolates a logout was called that the store did not accept.
    asked: Vec<(Ms, Isolate)>,
    /// True if something happened to it that no promise covers.
    tainted: bool,
    idle: (Ms, Ms),
    /// True if it was ever set to end with the browser.
    closes: bool,
    /// Ends that were set: the request, the time of the call, and the end.
    ends: Vec<(RequestId, Ms, Option<Ms>)>,
}

/// How long a put that timed out counts as in flight.
const FLIGHT: Ms = 30_000;

/// The name of the record of a session key: the key without its tag.
pub fn record_name(key: &str) -> String {
    format!("s.{}", key.rsplit_once('.').map_or(key, |(parts, _)| parts))
}

/// Extends the possible range of a session's idle time by a value that may have been set.
fn widen((least, most): (Ms, Ms), seconds: u32) -> (Ms, Ms) {
    let set = Ms::from(seconds) * 1_000;
    // 0 means no limit.
    if least == 0 || set == 0 {
        (least.max(set), 0)
    } else if most == 0 {
        (least.min(set), 0)
    } else {
        (least.min(set), most.max(set))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Pending,
    Acknowledged,
    Unknown,
    Dropped,
}

struct Written {
    request: RequestId,
    key: &'static str,
    /// The key cookie that it was saved under.
    ticket: Option<usize>,
    fate: Fate,
    at: Ms,
}

/// Where and when a request runs.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    pub location: usize,
    pub isolate: Isolate,
    /// True if its clock is an hour ahead.
    pub far: bool,
}

pub struct Request {
    pub spec: Spec,
    pub place: Place,
    pub began: Ms,
    looked: Ms,
    /// When its current operation was called.
    called: Ms,
    /// The authentic key cookies in the request, and those that still identify its session.
    tickets: Vec<usize>,
    current: Vec<usize>,
    stone: Option<usize>,
    stones: usize,
    forged: bool,
    /// The latest possible last visit according to its cookies.
    seen: Ms,
    /// The same for its last save.
    saved: Ms,
    pub outcome: Option<Outcome>,
    owner: Option<String>,
    intent: bool,
    /// True after `bind`, until a save or a logout.
    binds: bool,
    /// True after `reauthenticate`.
    proves: bool,
    ended: bool,
    saved_itself: bool,
    /// The session key after its own last save.
    saved_as: Option<String>,
    /// When it first tried to save.
    tries_to_save: Option<Ms>,
    refused_by: Option<Ms>,
    made: Option<usize>,
    last: Ms,
    pub finished: Option<Ms>,
    acknowledged: bool,
}

impl Request {
    /// True if the request had exactly one authentic key cookie.
    pub fn came_with_one(&self) -> bool {
        self.tickets.len() == 1
    }

    fn touches(&self, lineage: usize, tickets: &[Ticket]) -> bool {
        self.made == Some(lineage)
            || self
                .tickets
                .iter()
                .any(|it| tickets[*it].lineage == lineage)
    }
}

pub struct Truth {
    rules: Rules,
    tickets: Vec<Ticket>,
    by_cookie: HashMap<String, usize>,
    by_name: HashMap<String, usize>,
    /// For each tombstone cookie, its key cookie and how many key cookies it may stand for.
    stones: HashMap<String, (usize, usize)>,
    /// For each seen or fresh cookie, its time and its key cookie.
    instants: HashMap<String, (Ms, usize)>,
    lineages: Vec<Lineage>,
    by_lineage: HashMap<String, usize>,
    written: Vec<Written>,
    pub requests: Vec<Request>,
    pub tally: Tally,
    pub violation: Option<String>,
    calm: bool,
    /// Calls of revoke_all: from, to, owner, and request.
    revokes_all: Vec<(Ms, Ms, String, RequestId)>,
    /// Lineages whose record was lost before anybody had a cookie for them.
    damaged: Vec<String>,
}

impl Truth {
    pub fn new(rules: Rules) -> Self {
        Self {
            rules,
            tickets: Vec::new(),
            by_cookie: HashMap::new(),
            by_name: HashMap::new(),
            stones: HashMap::new(),
            instants: HashMap::new(),
            lineages: Vec::new(),
            by_lineage: HashMap::new(),
            written: Vec::new(),
            requests: Vec::new(),
            tally: Tally::default(),
            violation: None,
            calm: false,
            revokes_all: Vec::new(),
            damaged: Vec::new(),
        }
    }

    /// Only the first violation counts, because later ones may be consequences.
    pub fn fail(&mut self, rule: &str, what: impl FnOnce() -> String) {
        if self.violation.is_none() {
            self.violation = Some(format!("{rule}: {}", what()));
        }
    }

    /// All session keys that a client may know.
    pub fn known_keys(&self) -> Vec<String> {
        self.tickets
            .iter()
            .map(|ticket| ticket.name.clone())
            .collect()
    }

    pub fn is_ticket(&self, cookie: &str) -> bool {
        self.by_cookie.contains_key(cookie)
    }

    // --- requests begin ------------------------------------------------------------------------

    pub fn sent(&mut self, world: &World, id: RequestId, spec: &Spec, place: Place) {
        let now = world.now();
        let mut request = Request {
            spec: spec.clone(),
            place,
            began: now,
            looked: now,
            called: now,
            tickets: Vec::new(),
            current: Vec::new(),
            stone: None,
            stones: 0,
            forged: false,
            seen: 0,
            saved: 0,
            outcome: None,
            owner: None,
            intent: false,
            binds: false,
            proves: false,
            ended: false,
            saved_itself: false,
            saved_as: None,
            tries_to_save: None,
            refused_by: None,
            made: None,
            last: now,
            finished: None,
            acknowledged: false,
        };
        let (mut said, mut saved) = (Vec::new(), Vec::new());
        for pair in spec.cookie.as_deref().unwrap_or_default().split("; ") {
            let Some((name, value)) = pair.split_once('=') else {
                continue;
            };
            if name != "__Host-session" {
                said.extend(self.instants.get(value));
                if name == "__Host-session-fresh" {
                    saved.extend(self.instants.get(value));
                }
            } else if let Some(ticket) = self.by_cookie.get(value) {
                if !request.tickets.contains(ticket) {
                    request.tickets.push(*ticket);
                }
            } else if let Some((ticket, of)) = self.stones.get(value) {
                request.stone = Some(*ticket);
                request.stones += of;
            } else {
                request.forged = true;
            }
        }
        // Companion cookies of another key cookie are ignored.
        let mine = |(_, whose): &&(Ms, usize)| request.tickets.contains(whose);
        request.seen = said.iter().filter(mine).map(|it| it.0).max().unwrap_or(0);
        request.saved = saved.iter().filter(mine).map(|it| it.0).max().unwrap_or(0);
        request.current = request.tickets.clone();
        let owner = |request: &Request| {
            let ticket = request.tickets.first()?;
            self.lineages[self.tickets[*ticket].lineage].owner.clone()
        };
        let mine = Class::of(spec);
        for other in &self.requests {
            let together = other.finished.is_none()
                && world.now() - other.last < 120_000
                && (other.tickets.iter().any(|one| {
                    let lineage = self.tickets[*one].lineage;
                    request.touches(lineage, &self.tickets)
                }) || owner(other).is_some_and(|one| Some(one) == owner(&request)));
            if together {
                self.tally.overlap(mine, Class::of(&other.spec));
            }
        }
        debug_assert_eq!(id, self.requests.len());
        self.requests.push(request);
    }

    // --- what a load shows ---------------------------------------------------------------------

    pub fn loaded(&mut self, world: &World, id: RequestId, view: &View) {
        let now = world.now();
        let outcome = view.outcome;
        self.tally.outcomes[outcome as usize] += 1;
        let request = &mut self.requests[id];
        (request.outcome, request.last) = (Some(outcome), now);
        request.owner = view.owner.clone();
        let operations = world.operations(id);
        let request = &self.requests[id];
        let (tickets, far) = (request.tickets.clone(), request.place.far);

        if tickets.is_empty() && request.stone.is_none() {
            let right = if request.forged {
                matches!(outcome, Outcome::Rejected | Outcome::Expired)
            } else {
                outcome == Outcome::New
            };
            if !right {
                self.fail("INV-1", || {
                    format!("#{id} had no cookie of ours and found {outcome:?}")
                });
            }
            if operations.total() > 0 {
                self.fail("INV-1", || {
                    format!("#{id} had no cookie of ours and cost operations")
                });
            }
            return;
        }
        if let ([], Some(stone)) = (&tickets[..], request.stone) {
            let over =
                now > self.lineages[self.tickets[stone].lineage].made.0 + self.rules.age - SKEW;
            if outcome != Outcome::Revoked && !over && !far {
                self.fail("INV-4", || {
                    format!("#{id} had a tombstone and found {outcome:?}")
                });
            }
            return;
        }
        if request.stone.is_some() && outcome == Outcome::Revoked && !view.shows_something() {
            // Until the logout is stored, no session of this browser may be shown.
            return;
        }
        let ticket = if let [ticket] = tickets[..] {
            ticket
        } else {
            let alive = tickets
                .iter()
                .filter(|it| self.is_certain(world, id, **it, now))
                .count();
            let pending = request.stone.is_some() && outcome == Outcome::Revoked;
            let said = matches!(outcome, Outcome::Ambiguous | Outcome::Unavailable) || pending;
            if alive > 1 && !said && !far {
                self.fail("ambiguous", || {
                    format!("#{id} had two live sessions and found {outcome:?}")
                });
            }
            // If one session is alive and every isolate knows that the others have ended, the live
            // one must be chosen.
            let over = |it: &&usize| {
                let lineage = &self.lineages[self.tickets[**it].lineage];
                let heard = |(at, _): &(Ms, Isolate)| now >= at + self.rules.bound;
                self.heard_of(world, lineage, heard).is_some()
            };
            let over = tickets.iter().filter(over).count();
            if alive == 1 && over + 1 == tickets.len() && outcome == Outcome::Ambiguous && !far {
                self.fail("a session that has ended does not count", || {
                    format!("#{id} had one live session and found {outcome:?}")
                });
            }
            // The loaded session must be one of those in the request.
            let Some(chosen) = tickets
                .iter()
                .find(|it| Some(&self.tickets[**it].name) == view.key.as_ref())
            else {
                if Self::is_live(view) {
                    self.fail("ambiguous", || {
                        format!("#{id} found a session that is not in its cookies")
                    });
                }
                return;
            };
            let (chosen, lineage) = (*chosen, self.tickets[*chosen].lineage);
            self.check_death(world, id, chosen, view);
            if !far {
                self.check_end(world, id, lineage, view);
            }
            self.check_content(world, id, lineage, view);
            return;
        };
        if outcome == Outcome::Corrupt {
            // No promise covers a session whose record was damaged.
            let lineage = self.tickets[ticket].lineage;
            self.lineages[lineage].tainted = true;
        }
        let lineage = self.tickets[ticket].lineage;
        self.check_death(world, id, ticket, view);
        if !far {
            self.check_end(world, id, lineage, view);
            self.check_life(world, id, ticket, view, now);
        }
        self.check_origin(world, id, ticket, view);
        self.check_content(world, id, lineage, view);
        self.check_login(id, ticket, view);
    }

    /// The login time must not change under a key: everything that renews it makes a new key.
    fn check_login(&mut self, id: RequestId, ticket: usize, view: &View) {
        let first = self.tickets[ticket].auth_time;
        // A login that is retried has a later time than its first try.
        let is_close = |at: Ms, first: Ms| (at - first).abs() <= FLIGHT;
        let is_one = first.is_none_or(|first| view.auth_time.is_some_and(|at| is_close(at, first)));
        let is_known = view.outcome == Outcome::Loaded && view.owner.is_some();
        if is_known && !is_one {
            let now = view.auth_time;
            self.fail("the time of a login", || {
                format!("#{id} found the login time {now:?}; the key was issued with {first:?}")
            });
        }
    }

    /// The time of an acknowledged end of the session that satisfies `heard`.
    fn heard_of(
        &self,
        world: &World,
        lineage: &Lineage,
        heard: impl Fn(&(Ms, Isolate)) -> bool,
    ) -> Option<Ms> {
        // The put of an earlier `revoke_all` that was given up may reach the store after this one's. For
        // D the isolate that made this one remembers it.
        let replaced = |at: Ms| {
            world.now() >= at + self.rules.bound
                && self.requests.iter().enumerate().any(|(n, it)| {
                    let operations = world.operations(n);
                    let mut late = operations.late.iter();
                    it.began < at
                        && late
                            .any(|(name, landed)| **name == *lineage.owner_marker && *landed >= at)
                })
        };
        let mut own = lineage.revoked.iter();
        let mut as_owned = lineage.ended_as_owned.iter();
        let found = own
            .find(|it| heard(it))
            .or_else(|| as_owned.find(|it| heard(it) && !replaced(it.0)));
        found.map(|(at, _)| *at)
    }

    fn is_live(view: &View) -> bool {
        matches!(view.outcome, Outcome::Loaded | Outcome::Stale) || view.shows_something()
    }

    /// INV-4, INV-5, INV-6: an ended session or a rotated key is not accepted.
    fn check_death(&mut self, world: &World, id: RequestId, ticket: usize, view: &View) {
        let request = &self.requests[id];
        let (looked, isolate) = (request.looked, request.place.isolate);
        let Rules { bound, window, .. } = self.rules;
        let heard = |(at, by): &(Ms, Isolate)| {
            looked >= at.saturating_add(bound) || (*by == isolate && looked >= *at)
        };
        // The grace period starts when the rotation is carried out, not when it is called.
        let number = ticket;
        let rotates = |op: &Op| {
            matches!(
                op,
                Op::Cycle | Op::Reauthenticate | Op::Bind { .. } | Op::Expire(_)
            )
        };
        let rotated = self.requests.iter().enumerate().filter_map(|(n, other)| {
            let rotates = other.tickets.contains(&number) && other.spec.does(rotates);
            rotates.then(|| {
                if world.is_active(n) {
                    world.now()
                } else {
                    other.last
                }
            })
        });
        let rotated = rotated.max().unwrap_or(0);
        let ticket = &self.tickets[ticket];
        let lineage = &self.lineages[ticket.lineage];
        if let Some(at) = self.heard_of(world, lineage, heard)
            && Self::is_live(view)
        {
            let since = looked - at;
            let outcome = view.outcome;
            self.fail("INV-4, INV-5", || {
                format!("#{id} found {outcome:?} for a session that ended {since} ms before")
            });
            return;
        }
        let asked = |(at, by): &(Ms, Isolate)| {
            *by == isolate && looked >= *at && world.now() < at + bound - SKEW
        };
        if lineage.asked.iter().any(asked) && Self::is_live(view) {
            self.fail("INV-4", || {
                format!("#{id} found a session that was ended in its isolate")
            });
            return;
        }
        let Some((at, _)) = ticket.retired.iter().find(|it| heard(it)) else {
            return;
        };
        if matches!(
            view.outcome,
            Outcome::Loaded | Outcome::Stale | Outcome::Pending
        ) {
            let (since, outcome) = (looked - at, view.outcome);
            self.fail("INV-6", || {
                format!("#{id} found {outcome:?} with a key that was replaced {since} ms before")
            });
        } else if view.shows_something() && looked >= rotated + window + 2 * SKEW {
            self.fail("INV-6", || {
                format!("#{id} read with a replaced key after its grace")
            });
        }
    }

    /// INV-3: the hard end and the idle time.
    fn check_end(&mut self, world: &World, id: RequestId, lineage: usize, view: &View) {
        if !Self::is_live(view) {
            return;
        }
        let looked = self.requests[id].looked;
        let (made, (_, idle)) = (self.lineages[lineage].made, self.lineages[lineage].idle);
        if looked > made.1 + self.rules.age + SKEW {
            self.fail("INV-3", || {
                format!("#{id} found a session alive after its hard end")
            });
        }
        // A clock that is far ahead records a visit later than it was.
        let told_by_far = self
            .requests
            .iter()
            .any(|it| it.place.far && it.touches(lineage, &self.tickets));
        if idle > 0 && !told_by_far {
            let active = self.last_activity(world, lineage, id, false);
            if looked > active + idle + 2 * SKEW {
                let late = looked - active - idle;
                self.fail("INV-3", || {
                    format!("#{id} found a session alive {late} ms after its idle time")
                });
            }
        }
    }

    /// When any request was last active in a session. With `saves` only saves count.
    fn last_activity(&self, world: &World, lineage: usize, but: RequestId, saves: bool) -> Ms {
        let mut last = self.lineages[lineage].made.1;
        for (id, request) in self.requests.iter().enumerate() {
            if id == but || !request.touches(lineage, &self.tickets) || request.place.far {
                continue;
            }
            let operations = world.operations(id);
            let counts = if saves {
                request.tries_to_save.is_some() || operations.puts > 0
            } else {
                // Only a request that found the session alive counts as a visit.
                matches!(
                    request.outcome,
                    Some(Outcome::Loaded | Outcome::Stale) | None
                ) || operations.puts > 0
            };
            if counts {
                let at = if world.is_active(id) {
                    world.now()
                } else {
                    request.last
                };
                let arrived = operations
                    .taken
                    .iter()
                    .map(|(_, at)| *at)
                    .max()
                    .unwrap_or(0);
                last = last.max(at).max(arrived);
            }
        }
        last
    }

    /// A session that nothing has ended must be found, or the load must report that it cannot know.
    fn check_life(&mut self, world: &World, id: RequestId, ticket: usize, view: &View, now: Ms) {
        let request = &self.requests[id];
        let number = ticket;
        let ticket = &self.tickets[ticket];
        let (looked, outcome) = (request.looked, view.outcome);
        let Rules { window, .. } = self.rules;
        if matches!(outcome, Outcome::Pending | Outcome::Stale) {
            if world.operations(id).reads == 0 {
                self.fail(
                    "what an isolate remembers is not older than the cookie",
                    || format!("#{id} found {outcome:?} without asking the store"),
                );
                return;
            }
            let last = self.last_activity(world, ticket.lineage, id, true);
            if looked > last.max(ticket.made.1) + window + SKEW {
                let since = looked - last;
                self.fail("within W", || {
                    format!("#{id} found {outcome:?} {since} ms after the last save")
                });
            }
            return;
        }
        let certain = self.is_certain(world, id, number, now);
        if certain && !matches!(outcome, Outcome::Loaded | Outcome::Unavailable) {
            self.fail("INV-12, no session is lost", || {
                format!("#{id} found {outcome:?} for a session that nothing has ended")
            });
        }
    }

    /// True if nothing can have ended the session of this key cookie.
    fn is_certain(&self, world: &World, id: RequestId, ticket: usize, now: Ms) -> bool {
        let request = &self.requests[id];
        let ticket = &self.tickets[ticket];
        let lineage = &self.lineages[ticket.lineage];
        let age = self.rules.age;
        let end = self.end_of(world, lineage, &ticket.name, id);
        let idle = lineage.idle.0;
        // With several sessions, it is unknown here whose seen cookie the request had.
        let seen = match request.tickets[..] {
            [_] => request.seen.max(ticket.made.0),
            _ => ticket.made.0,
        };
        ticket.retired_maybe.is_none()
            && lineage.revoked_maybe.is_none()
            && !lineage.tainted
            && now < lineage.made.0 + age - EARLY - SKEW
            && (idle == 0 || now < seen + idle - 2 * SKEW)
            && end.is_none_or(|end| now < end - SKEW)
            // With several sessions, it is unknown here which of them got another end.
            && (request.tickets.len() == 1 || lineage.ends.is_empty())
    }

    /// The earliest end that may apply for a request. An end no longer applies if a later one was
    /// set and acknowledged, and the request must know of it.
    fn end_of(&self, world: &World, lineage: &Lineage, name: &str, id: RequestId) -> Option<Ms> {
        let by = &self.requests[id];
        let mine = self.lineage_of(name);
        let replaced = |called: Ms, setter: RequestId| {
            lineage.ends.iter().any(|(other, at, _)| {
                let later = &self.requests[*other];
                let first = &self.requests[setter];
                let before = first.finished.is_some_and(|it| {
                    it < later.began
                        && (later.saved >= first.began || it + self.rules.bound <= later.began)
                });
                let done = later.finished.filter(|_| later.acknowledged);
                let known = done.is_some_and(|done| {
                    by.saved >= later.began || by.looked >= done + self.rules.bound
                });
                // An end that is set in parallel with another save may be lost.
                let since = later.began - self.rules.bound;
                let alone = |it: &RequestId| *it == *other || *it == id || *it == setter;
                *other != setter
                    && *at > called
                    && before
                    && known
                    && later.tickets == by.tickets
                    // If the setter started a new session, it has set the end of that one.
                    && later.made.is_none_or(|made| Some(made) == mine)
                    && self.writers_since(world, name, since).iter().all(alone)
            })
        };
        let ends = lineage.ends.iter();
        ends.filter(|(setter, called, _)| !replaced(*called, *setter))
            .filter_map(|(_, _, end)| *end)
            .min()
    }

    /// A loaded session is in the store, or was saved less than W ago.
    fn check_origin(&mut self, world: &World, id: RequestId, ticket: usize, view: &View) {
        if !Self::is_live(view) {
            return;
        }
        let looked = self.requests[id].looked;
        let ticket = &self.tickets[ticket];
        let name = record_name(&ticket.name);
        let stood = world.kv.borrow().last_stood(&name, looked).unwrap_or(0);
        let saved = self.last_activity(world, ticket.lineage, id, true);
        let Rules { window, bound, .. } = self.rules;
        // An isolate remembers every session that it has loaded in the last W, including those of
        // an ambiguous request.
        let isolate = self.requests[id].place.isolate;
        let remembers = self.requests.iter().enumerate().any(|(n, other)| {
            n != id
                && other.place.isolate == isolate
                && matches!(other.outcome, Some(Outcome::Loaded | Outcome::Ambiguous))
                && other.touches(ticket.lineage, &self.tickets)
                && other.last >= looked - window
        });
        if remembers {
            return;
        }
        if looked > stood + bound + SKEW && looked > saved + window + SKEW {
            self.fail("gone after W", || {
                format!("#{id} found a session that the store lost long ago")
            });
        }
    }

    /// INV-2, INV-7: values were written in this session, by a save that happened.
    fn check_content(&mut self, world: &World, id: RequestId, lineage: usize, view: &View) {
        let Ok(content) = &view.content else { return };
        for (key, write) in content {
            if key != "pad" {
                self.check_value(world, id, lineage, key, *write);
            }
        }
        let mine = &self.lineages[lineage].owner;
        if view.owner.is_some() && view.owner != *mine {
            let (shown, mine) = (view.owner.clone(), mine.clone());
            self.fail("INV-2, INV-7", || {
                format!("#{id} found the owner {shown:?} in a session of {mine:?}")
            });
        }
    }

    /// True if `lineage` is `ancestor` or began with data kept from it.
    fn descends(&self, lineage: usize, ancestor: usize) -> bool {
        // This terminates because a lineage is younger than its parents.
        let parents = &self.lineages[lineage].parents;
        lineage == ancestor || parents.iter().any(|it| self.descends(*it, ancestor))
    }

    fn check_value(&mut self, world: &World, id: RequestId, lineage: usize, key: &str, write: u32) {
        let Some(written) = self.written.get(write as usize) else {
            self.fail("INV-2", || {
                format!("#{id} reads {write}, which nobody wrote")
            });
            return;
        };
        let by = written.request;
        // With several sessions it is unknown which one it wrote, until its response says so.
        let ticket = written.ticket.or(match self.requests[by].tickets[..] {
            [ticket] => Some(ticket),
            _ => None,
        });
        let from = ticket.map(|ticket| self.tickets[ticket].lineage);
        let is_foreign = from.is_some_and(|from| !self.descends(lineage, from));
        if written.key != key || is_foreign {
            self.fail("INV-2, INV-7", || {
                format!("#{id} reads {write} under {key}, which #{by} wrote in another session")
            });
            return;
        }
        if by == id {
            return;
        }
        if written.fate == Fate::Dropped {
            self.fail("a dropped change", || {
                format!("#{id} reads {write}, which #{by} wrote and then dropped")
            });
        } else if written.fate != Fate::Acknowledged && !self.is_stored(world, write) {
            self.fail("a read of what is not stored", || {
                format!("#{id} reads {write} of #{by}, but no put of it has arrived")
            });
        }
    }

    /// True if the value may have reached the store: by a put of its own request, or of another
    /// request of the isolate that joined it. A put that was answered with 429 counts too, because
    /// the isolate and the browser keep the value.
    fn is_stored(&self, world: &World, write: u32) -> bool {
        let written = &self.written[write as usize];
        let by = &self.requests[written.request];
        let may_join = |other: &Request, until: Ms| {
            other.place.isolate == by.place.isolate
                && other.began <= until
                && by.tickets.iter().any(|it| other.tickets.contains(it))
        };
        // A put that timed out can still be joined after its request has ended.
        let end = |(id, request): (RequestId, &Request)| {
            let unanswered = world.operations(id).slowest >= TIMEOUT;
            let longer = if unanswered { FLIGHT } else { 0 };
            request.finished.unwrap_or(i64::MAX).saturating_add(longer)
        };
        // A failed put is not joined any more. But a request that joined it before may fail too,
        // and pass it on to a third.
        let mut until = end((written.request, by));
        loop {
            let joined = self
                .requests
                .iter()
                .enumerate()
                .filter(|(_, other)| may_join(other, until))
                .map(end)
                .fold(until, Ms::max);
            if joined == until {
                break;
            }
            until = joined;
        }
        self.requests.iter().enumerate().any(|(id, other)| {
            let operations = world.operations(id);
            (id == written.request || may_join(other, until))
                && (operations.limited > 0
                    || operations.taken.iter().any(|(_, at)| *at >= written.at))
        })
    }

    pub fn saw_flash(&mut self, world: &World, id: RequestId, write: u32) {
        if let [ticket] = self.requests[id].tickets[..] {
            let lineage = self.tickets[ticket].lineage;
            self.check_value(world, id, lineage, "flash", write);
        }
    }

    // --- what a request does -------------------------------------------------------------------

    pub fn write(&mut self, world: &World, id: RequestId, key: &'static str) -> u32 {
        self.written.push(Written {
            request: id,
            key,
            ticket: None,
            fate: Fate::Pending,
            at: world.now(),
        });
        (self.written.len() - 1) as u32
    }

    fn may_end(lineage: &mut Lineage, now: Ms) {
        lineage.revoked_maybe.get_or_insert(now);
    }

    pub fn presents_only(&self, id: RequestId, key: &str) -> bool {
        matches!(self.requests[id].current[..], [only] if self.tickets[only].name == key)
    }

    pub fn begins(&mut self, world: &World, id: RequestId, op: &Op) {
        let now = world.now();
        let current = self.requests[id].current.clone();
        let lineages = |this: &Self| -> Vec<usize> {
            current.iter().map(|it| this.tickets[*it].lineage).collect()
        };
        let retire = |this: &mut Self| {
            for ticket in &current {
                let ticket = &mut this.tickets[*ticket];
                ticket.retired_maybe.get_or_insert(now);
            }
        };
        (self.requests[id].last, self.requests[id].called) = (now, now);
        match op {
            Op::Destroy | Op::Flush { .. } => {
                for lineage in lineages(self) {
                    Self::may_end(&mut self.lineages[lineage], now);
                }
            }
            Op::Bind { owner, .. } => {
                retire(self);
                for lineage in lineages(self) {
                    if self.lineages[lineage].owner.is_some() {
                        Self::may_end(&mut self.lineages[lineage], now);
                    }
                }
                if self.rules.most_per_owner > 0 {
                    for lineage in &mut self.lineages {
                        if lineage.owner.as_deref() == Some(OWNERS[*owner]) {
                            Self::may_end(lineage, now);
                        }
                    }
                }
                self.requests[id].intent = true;
            }
            Op::Cycle | Op::Reauthenticate => {
                retire(self);
                self.requests[id].intent = true;
            }
            Op::Create => self.requests[id].intent = true,
            Op::Expire(expiry) => {
                // Browser close is part of the key cookie, so changing it makes a new key.
                let closes = *expiry == End::BrowserClose || self.rules.browser_close;
                if closes || lineages(self).iter().any(|it| self.lineages[*it].closes) {
                    retire(self);
                    self.requests[id].intent = true;
                }
                for lineage in lineages(self) {
                    let it = &mut self.lineages[lineage];
                    let end = match expiry {
                        End::After(seconds) => Some(now + seconds * 1_000),
                        _ => None,
                    };
                    it.ends.push((id, now, end));
                    it.closes |= *expiry == End::BrowserClose;
                    if let End::Idle(seconds) = expiry {
                        it.idle = widen(it.idle, *seconds);
                    }
                }
            }
            Op::LoadFresh => self.requests[id].looked = now,
            Op::Save => self.committing(world, id),
            _ => {}
        }
    }

    /// `revoke` or `delete` is called with a session key.
    pub fn ends(&mut self, world: &World, key: &str) {
        if let Some(ticket) = self.by_name.get(key) {
            let lineage = self.tickets[*ticket].lineage;
            Self::may_end(&mut self.lineages[lineage], world.now());
        }
    }

    /// `revoke` or `delete` has returned.
    pub fn has_ended(&mut self, world: &World, id: RequestId, key: &str) {
        let isolate = self.requests[id].place.isolate;
        if let Some(ticket) = self.by_name.get(key) {
            let lineage = self.tickets[*ticket].lineage;
            self.lineages[lineage].revoked.push((world.now(), isolate));
        }
    }

    pub fn revokes_all(&mut self, world: &World, id: RequestId, owner: &str, except: Option<&str>) {
        let now = world.now();
        self.requests[id].last = now;
        let spared = self.spared(except);
        if let Some(spared) = spared {
            // The new owner marker spares this session and replaces the one that ended it.
            self.lineages[spared].ended_as_owned.clear();
        }
        for (n, lineage) in self.lineages.iter_mut().enumerate() {
            if lineage.owner.as_deref() == Some(owner) && Some(n) != spared {
                Self::may_end(lineage, now);
            }
        }
        // Until the call returns, any login may miss it.
        self.revokes_all.push((now, i64::MAX, owner.to_owned(), id));
    }

    fn spared(&self, except: Option<&str>) -> Option<usize> {
        let ticket = self.by_name.get(except?)?;
        Some(self.tickets[*ticket].lineage)
    }

    pub fn revoked_all(&mut self, world: &World, id: RequestId, owner: &str, except: Option<&str>) {
        let (now, isolate) = (world.now(), self.requests[id].place.isolate);
        let called = self.requests[id].last;
        for entry in &mut self.revokes_all {
            if entry.3 == id && entry.2 == owner {
                entry.1 = now;
            }
        }
        let spared = self.spared(except);
        let callers: Vec<usize> = self
            .requests
            .iter()
            .filter(|it| it.finished.is_none_or(|at| at >= called))
            .filter(|it| {
                it.spec
                    .does(|op| matches!(op, Op::RevokeAll { spare_self: true }))
            })
            .flat_map(|it| {
                it.tickets
                    .iter()
                    .map(|ticket| self.tickets[*ticket].lineage)
            })
            .collect();
        for (n, lineage) in self.lineages.iter_mut().enumerate() {
            // A login within the clock difference may have come after the call.
            let before = lineage.made.1 + 3 * SKEW <= called;
            if lineage.owner.as_deref() != Some(owner) || Some(n) == spared || !before {
                continue;
            }
            if lineage.made.1 + self.rules.store + SKEW <= called {
                // It was old enough to be listed, so it got markers of its own.
                lineage.revoked.push((now, isolate));
            } else if !callers.contains(&n) {
                // A session that calls `revoke_all` before this one is visible to it spares itself.
                lineage.ended_as_owned.push((now, isolate));
            }
        }
    }

    pub fn did(
        &mut self,
        world: &World,
        id: RequestId,
        op: &Op,
        result: Result<(), ErrorCode>,
        key: Option<String>,
    ) {
        let now = world.now();
        self.requests[id].last = now;
        let isolate = self.requests[id].place.isolate;
        let current = self.requests[id].current.clone();
        world.note(|| match result {
            Ok(()) => format!("  #{id} {op:?}"),
            Err(code) => format!("  #{id} {op:?}: refused, {code}"),
        });
        match (op, result) {
            (Op::Destroy | Op::Flush { .. }, Ok(())) => {
                for ticket in current {
                    let lineage = self.tickets[ticket].lineage;
                    self.lineages[lineage].revoked.push((now, isolate));
                }
                let request = &mut self.requests[id];
                request.current.clear();
                request.intent = false;
                request.binds = false;
                request.ended = true;
            }
            (Op::Destroy | Op::Flush { .. }, Err(ErrorCode::RevocationPending)) => {
                for ticket in &current {
                    let lineage = self.tickets[*ticket].lineage;
                    let called = self.requests[id].called;
                    self.lineages[lineage].asked.push((called, isolate));
                }
                let request = &mut self.requests[id];
                request.stone = request.stone.or(current.first().copied());
                request.current.clear();
                request.ended = true;
            }
            (Op::Bind { .. }, Ok(())) => self.requests[id].binds = true,
            (Op::Reauthenticate, Ok(())) => self.requests[id].proves = true,
            (Op::Save, Ok(())) => {
                self.requests[id].saved_itself = true;
                self.requests[id].saved_as = key;
                self.check_refusal(id, "save");
                // This save has completed the login. Later saves are ordinary ones.
                self.requests[id].binds = false;
                if self.requests[id].intent {
                    self.requests[id].current.clear();
                }
            }
            (Op::Save, Err(_)) => self.requests[id].saved_itself = true,
            _ => {}
        }
    }

    /// A save is about to begin: notes whether it must know that the session has ended.
    pub fn committing(&mut self, world: &World, id: RequestId) {
        let now = world.now();
        let request = &self.requests[id];
        let [ticket] = request.current[..] else {
            self.requests[id].tries_to_save.get_or_insert(now);
            return;
        };
        let ticket = &self.tickets[ticket];
        let lineage = &self.lineages[ticket.lineage];
        let heard = |(at, _): &(Ms, Isolate)| now >= at + self.rules.bound;
        let retired = ticket.retired.iter().find(|it| heard(it));
        let dead = self
            .heard_of(world, lineage, heard)
            .or(retired.map(|(at, _)| *at));
        let request = &mut self.requests[id];
        request.tries_to_save.get_or_insert(now);
        request.last = now;
        request.refused_by = dead;
    }

    fn check_refusal(&mut self, id: RequestId, what: &str) {
        let request = &self.requests[id];
        if let (Some(at), [_]) = (request.refused_by, &request.current[..])
            && !request.spec.ends_or_begins()
            && request.outcome == Some(Outcome::Loaded)
        {
            self.fail("INV-4, a save is refused", || {
                format!("#{id}: a {what} was accepted for a session that ended at {at}")
            });
        }
    }

    // --- what it answers -----------------------------------------------------------------------

    pub fn answered(&mut self, world: &World, id: RequestId, answer: &Answer) {
        let now = world.now();
        let operations = world.operations(id);
        {
            let request = &mut self.requests[id];
            (request.last, request.finished) = (now, Some(now));
        }
        let mut names: Vec<(&str, bool)> = answer
            .cookies
            .iter()
            .map(|it| (jar::split(it).0, jar::is_partitioned(it)))
            .collect();
        names.sort_unstable();
        if names.windows(2).any(|pair| pair[0] == pair[1]) {
            self.fail("one Set-Cookie of a name", || {
                format!("#{id} sets a cookie twice")
            });
        }
        let value = |wanted: &str| {
            answer.cookies.iter().find_map(|it| {
                let (name, value) = jar::split(it);
                (name == wanted && !jar::is_partitioned(it)).then_some(value)
            })
        };
        let key = value("__Host-session");
        let fresh = value("__Host-session-fresh").filter(|it| !it.is_empty());
        let seen = value("__Host-session-seen").filter(|it| !it.is_empty());
        let request = &self.requests[id];
        let (began, isolate, outcome) = (request.began, request.place.isolate, request.outcome);
        self.check_quiet(id, answer, &operations, now);
        // If the handler failed, the response is the error of the load, not of the login.
        let request = &self.requests[id];
        let tries = request.spec.ending == Ending::Answers && request.tries_to_save.is_some();
        if request.binds
            && tries
            && let Err(code) = answer.result
        {
            // Two errors are allowed: the application set an end that has passed, or the store
            // failed.
            let is_excused = match code {
                ErrorCode::Revoked | ErrorCode::Rotated | ErrorCode::Stale | ErrorCode::Pending => {
                    false
                }
                ErrorCode::Expired => self.requests[id]
                    .spec
                    .does(|op| matches!(op, Op::Expire(_))),
                ErrorCode::Unavailable => operations.failed > 0 || operations.slowest >= TIMEOUT,
                _ => true,
            };
            if !is_excused {
                self.fail(
                    "a login works whatever became of the session before",
                    || format!("#{id} is refused: {code}"),
                );
            }
        }
        if self.requests[id].place.far && operations.puts > 0 {
            for ticket in self.requests[id].tickets.clone() {
                let lineage = self.tickets[ticket].lineage;
                self.lineages[lineage].tainted = true;
            }
        }

        // A login removes the form cookie, whose CSRF tokens become invalid, and cookies left by
        // other settings.
        let binds = self.requests[id].binds;
        let is_void = |name: &str| name.ends_with("-form");
        let removed = answer.cookies.iter().any(|it| {
            let (name, value) = jar::split(it);
            value.is_empty() && !(binds && (jar::is_partitioned(it) || is_void(name)))
        });
        if removed && !self.requests[id].ended {
            self.fail("only a logout removes cookies", || {
                format!("#{id} removed a cookie")
            });
        }
        let made = key.filter(|it| !it.is_empty());
        if let Some(cookie) = made {
            let named = answer.view.as_ref().map_or_else(
                || self.requests[id].saved_as.clone(),
                |view| view.key.clone(),
            );
            let pending = self.requests[id].stone.filter(|_| self.requests[id].ended);
            match (named, pending) {
                (Some(name), _) => {
                    self.check_order(id, &name, &operations);
                    self.take_ticket(id, cookie, &name, answer, now);
                }
                (None, Some(ticket)) => {
                    let came = self.requests[id].tickets.len().max(1);
                    let keys = answer.cookies.iter().map(|it| jar::split(it));
                    let keys =
                        keys.filter(|(name, it)| *name == "__Host-session" && !it.is_empty());
                    for (_, cookie) in keys {
                        let known = self.stones.entry(cookie.to_owned());
                        let known = known.or_insert((ticket, came));
                        if came < known.1 {
                            *known = (ticket, came);
                        }
                    }
                }
                (None, None) => {
                    self.fail("INV-16", || format!("#{id} issues a key without a session"));
                }
            }
            let request = &self.requests[id];
            // This applies only if the tombstone is the only one and the request has no key cookie.
            let alone = request.outcome == Some(Outcome::Revoked)
                && request.tickets.is_empty()
                && request.stones == 1;
            if let (Some(stone), None, true) = (request.stone, pending, alone) {
                let missing = self
                    .owed(stone)
                    .into_iter()
                    .find(|name| !world.kv.borrow().was_written(name));
                if let Some(name) = missing {
                    self.fail("a tombstone stays until its markers stand", || {
                        format!("#{id} replaced a tombstone by a session, but {name} was never put")
                    });
                }
                // From here on that logout counts as acknowledged.
                let lineage = self.tickets[stone].lineage;
                self.lineages[lineage].revoked.push((now, isolate));
            }
        }
        let cookie = made.and_then(|cookie| self.by_cookie.get(cookie)).copied();
        let whose = cookie.or(self.requests[id].tickets.first().copied());
        for value in [fresh, seen].into_iter().flatten() {
            self.instants
                .insert(value.to_owned(), (began, whose.unwrap_or(usize::MAX)));
        }
        let saved = fresh.is_some() && answer.view.is_some();
        if saved && made.is_none() {
            self.check_refusal(id, "commit");
        }
        if operations.retired_too_soon {
            self.fail("INV-6", || {
                format!("#{id} ended a key before the record of the next one was stored")
            });
        }
        let binds = self.requests[id]
            .spec
            .does(|op| matches!(op, Op::Bind { .. }));
        if self.requests[id].spec.cross_site && made.is_some() && !binds {
            self.fail("a withheld cookie is not overwritten", || {
                format!("#{id} is a form from another site and sets a key cookie")
            });
        }
        self.settle_writes(id, answer, saved, now);
        self.check_cost(id, &operations, outcome, isolate);
        self.requests[id].acknowledged = saved;
    }

    /// The markers that a logout with this key cookie must put: for the key, the lineage's first
    /// key, and the lineage.
    fn owed(&self, ticket: usize) -> Vec<String> {
        let mut parts = self.tickets[ticket].name.split('.').skip(1);
        let (Some(line), Some(derived)) = (parts.next(), parts.next()) else {
            return Vec::new();
        };
        vec![
            format!("k.{derived}"),
            format!("k.{line}"),
            format!("l.{line}"),
        ]
    }

    /// INV-12: a request whose outcome allows no change sets no cookies and puts nothing.
    fn check_quiet(&mut self, id: RequestId, answer: &Answer, operations: &Operations, now: Ms) {
        let request = &self.requests[id];
        let spec = &request.spec;
        let acts = spec.ends_or_begins() || request.ended;
        let Some(outcome) = request.outcome else {
            return;
        };
        let administers =
            spec.does(|op| matches!(op, Op::Revoke(_) | Op::Delete(_) | Op::RevokeAll { .. }));
        let [ticket] = request.tickets[..] else {
            return;
        };
        // A request with a tombstone finishes that logout, and may then create a session.
        if request.stones > 0 {
            return;
        }
        let ticket = &self.tickets[ticket];
        let lineage = &self.lineages[ticket.lineage];
        let quiet = match outcome {
            Outcome::Unavailable | Outcome::Pending | Outcome::Stale => true,
            Outcome::Revoked => lineage
                .revoked_maybe
                .is_some_and(|at| now < at + self.rules.window - 2 * SKEW),
            Outcome::Rotated => ticket
                .retired_maybe
                .is_some_and(|at| now < at + self.rules.window - 2 * SKEW),
            _ => false,
        };
        if !quiet || acts || spec.does(|op| matches!(op, Op::LoadFresh)) || request.place.far {
            return;
        }
        if spec.does(|op| matches!(op, Op::Create)) && outcome != Outcome::Unavailable {
            return;
        }
        if !answer.cookies.is_empty() {
            let cookies = answer.cookies.len();
            self.fail("INV-12, a dead ticket is quiet", || {
                format!("#{id} found {outcome:?} and sets {cookies} cookies")
            });
        }
        if operations.puts > 0 && !administers {
            self.fail("INV-12", || format!("#{id} found {outcome:?} and puts"));
        }
    }

    /// INV-16: a browser gets a key only after its record was acknowledged.
    fn check_order(&mut self, id: RequestId, name: &str, operations: &Operations) {
        let record = record_name(name);
        if !operations.acknowledged.iter().any(|it| **it == *record) {
            self.fail("INV-16", || {
                format!("#{id} issues a key whose record was not acknowledged")
            });
        }
    }

    fn take_ticket(&mut self, id: RequestId, cookie: &str, name: &str, answer: &Answer, now: Ms) {
        let mut parts = name.split('.').skip(1);
        let (Some(line), Some(derived)) = (parts.next(), parts.next()) else {
            return;
        };
        let is_first = line == derived;
        let request = &self.requests[id];
        let (began, isolate, outcome) = (request.began, request.place.isolate, request.outcome);
        let spec = request.spec.clone();
        let presented = request.current.clone();
        let came = request.tickets.clone();
        let owner = answer.view.as_ref().and_then(|view| view.owner.clone());
        let auth_time = answer.view.as_ref().and_then(|view| view.auth_time);
        let is_renewed = !request.proves
            || request.place.far
            || owner.is_none()
            || auth_time.is_some_and(|at| at >= began - 2 * SKEW);
        if !is_renewed {
            self.fail("a login that was renewed is recent", || {
                format!("#{id} renewed the login, but its time is {auth_time:?}")
            });
        }
        let lineage = match self.by_lineage.get(line) {
            Some(known) => {
                // The session continues under a new key.
                for ticket in &presented {
                    if self.tickets[*ticket].lineage == *known {
                        self.tickets[*ticket].retired.push((now, isolate));
                    }
                }
                *known
            }
            None => {
                let keeps = spec.does(|op| matches!(op, Op::Flush { keep: true }))
                    || spec.does(|op| matches!(op, Op::Bind { keep: true, .. }));
                // With several sessions, it is unknown here whose data was kept.
                let parents = came.iter().map(|it| self.tickets[*it].lineage);
                let parents = parents.filter(|it| {
                    let theirs = &self.lineages[*it].owner;
                    keeps
                        && (theirs.is_none()
                            || *theirs == owner
                            || spec.does(|op| matches!(op, Op::Flush { .. })))
                });
                let parents: Vec<usize> = parents.collect();
                let binds = spec.does(|op| matches!(op, Op::Bind { .. })) && owner.is_some();
                for ticket in &presented {
                    let at = self.tickets[*ticket].lineage;
                    if binds && self.lineages[at].owner.is_some() {
                        self.lineages[at].revoked.push((now, isolate));
                    } else if binds
                        && presented.len() == 1
                        && matches!(
                            outcome,
                            Some(Outcome::Loaded | Outcome::Stale | Outcome::Pending)
                        )
                    {
                        self.tickets[*ticket].retired.push((now, isolate));
                    }
                }
                let mut idle = (self.rules.idle, self.rules.idle);
                let mut ends = Vec::new();
                for op in &spec.ops {
                    match op {
                        Op::Expire(End::After(seconds)) => {
                            ends.push((id, began, Some(began + seconds * 1_000)));
                        }
                        Op::Expire(End::Idle(seconds)) => idle = widen(idle, *seconds),
                        _ => {}
                    }
                }
                // The expiry may have been kept together with the data.
                let mut closes = spec.does(|op| *op == Op::Expire(End::BrowserClose));
                for parent in parents.iter().map(|it| &self.lineages[*it]) {
                    closes |= parent.closes;
                    for limit in [parent.idle.0, parent.idle.1] {
                        idle = widen(idle, u32::try_from(limit / 1_000).unwrap_or(0));
                    }
                    let known = parent.ends.iter().filter_map(|(.., end)| *end);
                    ends.extend(known.map(|end| (id, began, Some(end))));
                }
                let mut revoked_maybe = answer.view.is_none().then_some(began);
                if let Some(owner) = &owner {
                    // A login may miss a `revoke_all` that was called elsewhere, but not its own.
                    let near = |(from, to, whose, by): &(Ms, Ms, String, RequestId)| {
                        whose == owner
                            && began <= to.saturating_add(2 * SKEW)
                            && now >= *from
                            && *by != id
                    };
                    if self.revokes_all.iter().any(near) {
                        revoked_maybe = Some(began);
                    }
                }
                if self.rules.most_per_owner > 0 && owner.is_some() {
                    // Another login may end this one.
                    let others = self.requests.iter().enumerate().any(|(n, it)| {
                        n != id
                            // It enforces the limit after its response.
                            && it.finished.is_none_or(|at| at + 130_000 >= began)
                            && it.spec.does(|op| matches!(op, Op::Bind { .. }))
                    });
                    if others {
                        revoked_maybe = Some(began);
                    }
                }
                self.lineages.push(Lineage {
                    made: (began, now),
                    owner,
                    owner_marker: format!("o.{}", name.split('.').next().unwrap_or_default()),
                    parents,
                    revoked_maybe,
                    revoked: Vec::new(),
                    ended_as_owned: Vec::new(),
                    asked: Vec::new(),
                    tainted: self.damaged.iter().any(|it| it == line),
                    idle,
                    closes,
                    ends,
                });
                self.by_lineage
                    .insert(line.to_owned(), self.lineages.len() - 1);
                self.lineages.len() - 1
            }
        };
        let before = presented
            .iter()
            .copied()
            .find(|it| self.tickets[*it].lineage == lineage);
        self.tickets.push(Ticket {
            name: name.to_owned(),
            before,
            lineage,
            is_first,
            made: (began, now),
            // An operation that failed after the request's own save may have replaced this key.
            retired_maybe: answer.view.is_none().then_some(began),
            retired: Vec::new(),
            auth_time,
        });
        let ticket = self.tickets.len() - 1;
        self.by_cookie.insert(cookie.to_owned(), ticket);
        self.by_name.insert(name.to_owned(), ticket);
        self.requests[id].made = Some(lineage);
    }

    fn settle_writes(&mut self, id: RequestId, answer: &Answer, saved: bool, now: Ms) {
        let request = &self.requests[id];
        let key = answer.view.as_ref().and_then(|view| view.key.as_ref());
        let ticket = key
            .or(request.saved_as.as_ref())
            .and_then(|key| self.by_name.get(key))
            .copied();
        let tried =
            request.saved_itself || (request.tries_to_save.is_some() && answer.result.is_err());
        let content = answer
            .view
            .as_ref()
            .and_then(|view| view.content.as_ref().ok());
        for (number, written) in self.written.iter_mut().enumerate() {
            if written.request != id {
                continue;
            }
            let there = content
                .is_some_and(|content| content.get(written.key) == Some(&(number as u32)))
                || written.key == "flash";
            (written.fate, written.ticket) = if saved && there {
                (Fate::Acknowledged, ticket)
            } else if tried {
                (Fate::Unknown, ticket)
            } else {
                (Fate::Dropped, ticket)
            };
            written.at = written.at.min(now);
        }
    }

    /// INV-17: a read costs one round trip and no write, and an untouched session costs nothing.
    fn check_cost(
        &mut self,
        id: RequestId,
        operations: &Operations,
        outcome: Option<Outcome>,
        _: Isolate,
    ) {
        let request = &self.requests[id];
        let spec = &request.spec;
        if spec.lazy && spec.ops.is_empty() && operations.total() > 0 {
            self.fail("INV-17", || {
                format!("#{id} touched nothing and cost operations")
            });
            return;
        }
        let reads_only = spec.ops.iter().all(|op| *op == Op::Read);
        let [ticket] = request.tickets[..] else {
            return;
        };
        // A tombstone beside a session costs a read of its own.
        let alone = request.stones == 0;
        if !reads_only || !alone || spec.lazy || outcome != Some(Outcome::Loaded) {
            return;
        }
        let ticket = &self.tickets[ticket];
        let keys = if ticket.is_first { 3 } else { 4 };
        // After a conflict, or if the store is behind the browser, the load repairs the store,
        // which costs more.
        if operations.failed == 0
            && operations.conflicts == 0
            && !operations.shown_old
            && (operations.reads > 1 || operations.keys_read > keys)
            && operations.puts == 0
        {
            let (reads, keys) = (operations.reads, operations.keys_read);
            self.fail("INV-17", || {
                format!("#{id} only read the session, in {reads} reads of {keys} keys")
            });
        }
    }

    // --- the end -------------------------------------------------------------------------------

    /// From now on there are no faults.
    pub fn calm(&mut self) {
        self.calm = true;
    }

    /// What a list of an owner's sessions may show.
    pub fn listed(
        &mut self,
        world: &World,
        id: RequestId,
        owner: &str,
        began: Ms,
        listed: &[OwnedSession],
    ) {
        let Rules { bound, store, .. } = self.rules;
        let isolate = self.requests[id].place.isolate;
        let mut shown = Vec::new();
        for entry in listed {
            // The key may be in a response that was never sent, but its lineage is known.
            let line = entry.key.as_str().split('.').nth(1).unwrap_or_default();
            let Some(number) = self.by_lineage.get(line).copied() else {
                continue;
            };
            let lineage = &self.lineages[number];
            if lineage.owner.as_deref() != Some(owner) {
                self.fail("INV-14", || {
                    format!("#{id} lists a session of somebody else")
                });
                return;
            }
            if shown.contains(&number) {
                self.fail("INV-14", || format!("#{id} lists one session twice"));
                return;
            }
            shown.push(number);
            let heard =
                |(at, by): &(Ms, Isolate)| began >= at + bound || (*by == isolate && began >= *at);
            if self.heard_of(world, lineage, heard).is_some() {
                self.fail("INV-14", || format!("#{id} lists a session that has ended"));
                return;
            }
        }
        if !self.calm {
            return;
        }
        let now = world.now();
        for (n, lineage) in self.lineages.iter().enumerate() {
            let certain = lineage.owner.as_deref() == Some(owner)
                && lineage.revoked_maybe.is_none()
                && !lineage.tainted
                && lineage.ends.is_empty()
                && now < lineage.made.0 + self.rules.age - EARLY - SKEW
                && self.last_activity(world, n, id, true) + store < began;
            if certain && !shown.contains(&n) {
                self.fail("INV-14", || {
                    format!("#{id} does not list a session that nothing has ended")
                });
                return;
            }
        }
    }

    /// Exempts the session of this record from all promises.
    pub fn taint(&mut self, record: &str) {
        let Some(line) = record.split('.').nth(2) else {
            return;
        };
        if let Some(lineage) = self.by_lineage.get(line) {
            self.lineages[*lineage].tainted = true;
        } else {
            self.damaged.push(line.to_owned());
        }
    }

    /// The lineage of a session key.
    fn lineage_of(&self, name: &str) -> Option<usize> {
        self.by_name
            .get(name)
            .map(|ticket| self.tickets[*ticket].lineage)
    }

    /// Requests that have put the record of a session since an instant, or tried to: after a 429
    /// another request of the isolate may put the data.
    pub fn writers_since(&self, world: &World, name: &str, since: Ms) -> Vec<RequestId> {
        let Some(lineage) = self.lineage_of(name) else {
            return Vec::new();
        };
        let wrote = |id: &RequestId| {
            let request = &self.requests[*id];
            let operations = world.operations(*id);
            request.touches(lineage, &self.tickets)
                && operations.puts > 0
                && (world.is_active(*id)
                    || request.last >= since
                    || operations.taken.iter().any(|(_, at)| *at >= since))
        };
        (0..self.requests.len()).filter(wrote).collect()
    }

    pub fn is_tainted(&self, name: &str) -> bool {
        self.lineage_of(name)
            .is_none_or(|it| self.lineages[it].tainted)
    }

    /// INV-10: acknowledged writes must survive. `content` is what a load shows at the end, without
    /// faults.
    pub fn check_survival(&mut self, world: &World, name: &str, content: &BTreeMap<String, u32>) {
        let Some(ticket) = self.by_name.get(name).copied() else {
            return;
        };
        let lineage = self.tickets[ticket].lineage;
        if self.lineages[lineage].tainted {
            return;
        }
        // Two rotations at once split a session in two. Saves in one half do not appear in the
        // other.
        let mut line = vec![ticket];
        while let Some(before) = line.last().and_then(|it| self.tickets[*it].before) {
            line.push(before);
        }
        for number in 0..self.written.len() {
            let written = &self.written[number];
            if written.fate != Fate::Acknowledged
                || !written.ticket.is_some_and(|it| line.contains(&it))
                || written.key == "flash"
                || content.get(written.key) == Some(&(number as u32))
            {
                continue;
            }
            let by = &self.requests[written.request];
            let began = by.began;
            // A later or parallel write of the same key, or its removal, replaces it.
            let replaced = self.requests.iter().enumerate().any(|(n, other)| {
                n != written.request
                    && other.touches(lineage, &self.tickets)
                    // A write before it may have been invisible to it.
                    && (world.is_active(n) || other.last >= began - self.rules.bound - SKEW)
                    && other.spec.does(|op| match op {
                        Op::Set(key) => crate::request::KEYS[*key] == written.key,
                        Op::Remove(key) => crate::request::KEYS[*key] == written.key,
                        Op::Clear => true,
                        Op::Bind { .. } => written.key == "d",
                        _ => false,
                    })
            });
            if replaced {
                continue;
            }
            let isolate = by.place.isolate;
            let done = by.finished.unwrap_or(i64::MAX);
            // A write in parallel with a rotation may be lost.
            let rotated = |ticket: &usize| {
                self.tickets[*ticket]
                    .retired_maybe
                    .is_some_and(|at| at <= done)
            };
            if by.tickets.iter().any(rotated) {
                continue;
            }
            let excused = self.requests.iter().enumerate().any(|(n, other)| {
                let operations = world.operations(n);
                if !other.touches(lineage, &self.tickets) || operations.puts == 0 {
                    return false;
                }
                let later =
                    operations.taken.iter().any(|(_, at)| *at >= began) || n == written.request;
                let sure = other.place.isolate == isolate
                    && operations.slowest < TIMEOUT
                    && other.finished.is_some()
                    || other
                        .tries_to_save
                        .is_some_and(|at| at >= done + self.rules.bound);
                // The put was refused with 429, or had to be repeated and that failed. Only the
                // browser has the value, and it did not return.
                let mine = other.place.isolate == isolate || n == written.request;
                let refused_again = !operations.stored_last && !operations.taken.is_empty();
                let rate_limited = mine && (operations.rate_limited || refused_again);

                (later && !sure) || rate_limited
            });
            if !excused {
                let (id, key) = (written.request, written.key);
                self.fail("INV-10", || {
                    format!("{number}, which #{id} wrote under {key}, was acknowledged but is lost")
                });
                return;
            }
        }
    }

    /// Whether the write `number` was made before the request `id` began.
    pub fn is_older(&self, number: u32, id: RequestId) -> bool {
        let Some(written) = self.written.get(number as usize) else {
            return false;
        };
        let by = &self.requests[written.request];
        by.finished.is_some_and(|at| at < self.requests[id].began)
    }

    pub fn ending_of(&self, id: RequestId) -> Ending {
        self.requests[id].spec.ending
    }
}
