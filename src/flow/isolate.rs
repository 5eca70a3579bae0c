//! What the requests of one isolate share: plain memory, and nothing else.
//!
//! A Worker's isolate serves many requests, one after another and interleaved. It remembers the
//! sessions it has seen lately, the markers it has put itself and the keys it has derived, so that
//! a page with ten requests reads the store once, two parallel saves know of each other, and a
//! logout is heard here at once. Nothing in here waits: no future, no waker, no borrow that lives
//! across an await. A request may be frozen for ever at any await, so whatever is in flight has a
//! deadline.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::rc::Rc;

use crate::flow::stats::{Stats, Tally};
use crate::protocol::keys::{Dead, Id, SessionKey, Tag, TokenKeys};
use crate::protocol::record::Envelope;
use crate::protocol::revocation::{Marker, OwnerMarker, Progress};
use crate::protocol::version::Version;

// Every bound is one of the isolate, whatever its namespaces and prefixes: a client that makes many
// sessions, or an application that has a prefix for each tenant, takes room from others' entries and
// never more room. What is dropped is read again from the store.

/// Bytes of records that an isolate keeps, of the 128 MB that it has in all.
const RECORD_BYTES: usize = 4 * 1024 * 1024;
/// And how many of them: what a table of 8,192 places takes without growing once more.
const RECORDS: usize = 7_000;
/// Derived keys that an isolate keeps.
const DERIVED_KEYS: usize = 2_048;
/// Markers that an isolate keeps, and as many of owners.
const MARKERS: usize = 16_384;
/// Markers of which an isolate remembers that it has put them, more than one invocation can put.
const MARKERS_PUT: usize = 2_048;
/// Milliseconds for which it remembers that of an owner's marker: for the login that follows an end to
/// all sessions in the same request.
const PUT_LATELY: i64 = 30_000;
/// Owners of which an isolate remembers how far ending their sessions has come.
const PROGRESS: usize = 256;
/// Namespaces and prefixes that an isolate keeps apart, beside those in use.
const SCOPES: usize = 256;
/// Puts of one record that are known to be under way. Each contains those before it, so that the
/// oldest is the one that can be spared.
const FLIGHTS: usize = 8;
/// Milliseconds after which a put that was not answered is taken as one that never will be.
pub(crate) const FLIGHT: i64 = 30_000;

/// The memory that the requests of one isolate share.
///
/// [`Isolate::current`] is the real one. A test that wants two isolates makes two.
///
/// ```
/// # edge_session::doc::run(async |sessions| {
/// use edge_session::{CookieHeader, Isolate};
/// // What two isolates of one Worker know of each other is in the store alone.
/// let (here, there) = (Isolate::new(), Isolate::new());
/// let here = sessions.clone().with_isolate(&here, "SESSIONS");
/// let there = sessions.with_isolate(&there, "SESSIONS");
/// here.load(CookieHeader::none()).await;
/// assert_eq!((here.stats().requests, there.stats().requests), (1, 0));
/// # Ok(()) });
/// ```
#[derive(Clone, Default)]
pub struct Isolate(Rc<RefCell<State>>, Rc<Tally>);

#[derive(Default)]
struct State {
    /// The one used last at the end.
    scopes: Vec<Scope>,
    /// How many of them there may be before some have to go.
    scopes_most: usize,
    last_scope: ScopeId,
    sessions: Lru<(ScopeId, SessionKey), Session>,
    /// Bytes of their records.
    bytes: usize,
    /// Markers that this isolate has put, until an instant.
    markers: Lru<(ScopeId, Dead), (Marker, i64)>,
    owners: Lru<(ScopeId, Id), (OwnerMarker, i64)>,
    /// Until when what [`Sessions::revoke_all`](crate::Sessions::revoke_all) has put need not be
    /// put or read again.
    dead_put: Lru<(ScopeId, Dead), i64>,
    owners_put: Lru<(ScopeId, Id), i64>,
    /// Until when a put of theirs that was not answered may land over a later one.
    owners_unsure: Lru<(ScopeId, Id), i64>,
    /// How far such calls have come, until an instant.
    progress: Lru<(ScopeId, Id), (Progress, i64)>,
    /// By the tag of the key cookie that a token came in: no token outlives its request. A tag was
    /// verified with the keys of one configuration and is none in any other, so that what was
    /// derived in one is never found in another.
    derived: Lru<Tag, TokenKeys>,
    #[cfg(target_arch = "wasm32")]
    rings: Vec<(String, crate::protocol::keys::SecretRing)>,
}

/// A namespace and a key prefix: sessions of two never mix.
struct Scope {
    /// Of whoever counts apart: its sessions are its own too.
    tally: Rc<Tally>,
    connector: Box<str>,
    prefix: Box<str>,
    /// The first cookie name that was used with it, and whether another came.
    cookie_name: Option<Box<str>>,
    has_second_name: bool,
    /// Held by every [`Memory`] of it as well.
    id: Rc<ScopeId>,
}

/// A number that only one scope of an isolate has.
type ScopeId = u32;

thread_local! {
    static CURRENT: Isolate = Isolate::default();
}

impl Isolate {
    /// An isolate of its own.
    ///
    /// ```
    /// # edge_session::doc::run(async |sessions| {
    /// use edge_session::Isolate;
    /// let sessions = sessions.with_isolate(&Isolate::new(), "SESSIONS");
    /// # let _ = sessions;
    /// # Ok(()) });
    /// ```
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The one that this code runs in.
    ///
    /// ```
    /// # edge_session::doc::run(async |sessions| {
    /// use edge_session::Isolate;
    /// let sessions = sessions.with_isolate(&Isolate::current(), "SESSIONS");
    /// # let _ = sessions;
    /// # Ok(()) });
    /// ```
    #[must_use]
    pub fn current() -> Self {
        CURRENT.with(Clone::clone)
    }

    /// A part of it that counts apart, with sessions of its own. The bounds are those of the whole.
    #[cfg(any(test, all(target_arch = "wasm32", feature = "js")))]
    pub(crate) fn apart(&self) -> Self {
        Self(Rc::clone(&self.0), Rc::default())
    }

    /// What was counted in it, and what it holds.
    pub(crate) fn stats(&self) -> Stats {
        let state = self.0.borrow();
        let mine = |scope: &&Scope| Rc::ptr_eq(&scope.tally, &self.1);
        let mine: HashSet<ScopeId> = state.scopes.iter().filter(mine).map(Scope::id).collect();
        let sessions = state.sessions.slots.iter();
        let held = sessions
            .filter(|slot| mine.contains(&slot.key.0))
            .fold((0, 0), |(count, bytes), slot| {
                (count + 1, bytes + slot.value.bytes)
            });
        self.1.stats(held)
    }

    /// The part of it that is about the namespace `connector`, under a key prefix. A removed key is
    /// remembered for `removed_for` milliseconds.
    pub(crate) fn memory(&self, connector: &str, prefix: &str, removed_for: i64) -> Memory {
        let scope = self.0.borrow_mut().scope(&self.1, connector, prefix);
        Memory {
            isolate: self.clone(),
            scope,
            removed_for,
        }
    }

    /// The ring of `text`, parsed once in an isolate's life.
    #[cfg(target_arch = "wasm32")]
    pub(crate) fn ring(
        &self,
        text: &str,
    ) -> Result<crate::protocol::keys::SecretRing, crate::port::error::SessionError> {
        if let Some((_, ring)) = self
            .0
            .borrow()
            .rings
            .iter()
            .find(|(known, _)| known == text)
        {
            return Ok(ring.clone());
        }
        let ring = crate::protocol::keys::SecretRing::parse(text)?;
        let mut state = self.0.borrow_mut();
        // A deployment has one ring, two while it changes.
        if state.rings.len() >= 4 {
            state.rings.remove(0);
        }
        state.rings.push((text.to_owned(), ring.clone()));
        Ok(ring)
    }
}

/// What an isolate remembers of one namespace.
#[derive(Clone)]
pub(crate) struct Memory {
    isolate: Isolate,
    scope: Rc<ScopeId>,
    removed_for: i64,
}

/// What an isolate remembers of one session.
#[derive(Clone, Default)]
pub(crate) struct Remembered {
    /// The record as it was read, or put and acknowledged; or refused with 429, while it travels
    /// in the browser's overlay.
    pub(crate) settled: Option<Envelope>,
    /// Records whose puts are not answered yet, the oldest first.
    pub(crate) flying: Vec<Envelope>,
    /// A request waits for the answer to one of these puts: it has not timed out.
    pub(crate) awaited: bool,
    /// When the session's markers were last read and none was there.
    pub(crate) markers_read_at: Option<i64>,
    /// A put that timed out may have replaced what is settled, or may yet: a load that finds the
    /// store behind puts it again.
    pub(crate) at_risk: bool,
}

#[derive(Default)]
struct Session {
    settled: Option<Envelope>,
    /// Puts that are not answered.
    flights: Vec<Flight>,
    markers_read_at: Option<i64>,
    /// The store may hold less than what is settled: a put was refused, or two overlapped.
    unsure: bool,
    /// Until when a put that timed out may turn out to have replaced what is settled.
    at_risk_until: Option<i64>,
    /// Until when somebody is taken to be putting it again.
    put_again_until: Option<i64>,
    /// When this was last written or read.
    at: i64,
    bytes: usize,
}

/// A put that is not answered.
struct Flight {
    envelope: Envelope,
    /// When it is taken as one that never will be.
    deadline: i64,
    /// Its request waits for it no longer.
    timed_out: bool,
    /// It began while no other was under way.
    alone: bool,
}

impl Memory {
    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.isolate.0.borrow_mut())
    }

    /// `key` in this namespace.
    fn of<K>(&self, key: K) -> (ScopeId, K) {
        (*self.scope, key)
    }

    fn change<T>(&self, key: &SessionKey, now: i64, act: impl FnOnce(&mut Session) -> T) -> T {
        self.with(|state| state.change(self.of(*key), now, act))
    }

    /// Keys that were removed before this are forgotten.
    fn horizon(&self, now: i64) -> i64 {
        now.saturating_sub(self.removed_for)
    }

    /// True once: where sessions with another cookie name are kept here too.
    pub(crate) fn is_second_name(&self, cookie_name: &str) -> bool {
        self.with(|state| {
            let mut scopes = state.scopes.iter_mut();
            let Some(scope) = scopes.rfind(|scope| Rc::ptr_eq(&scope.id, &self.scope)) else {
                return false;
            };
            let first = scope.cookie_name.get_or_insert_with(|| cookie_name.into());
            let second = **first != *cookie_name && !scope.has_second_name;
            scope.has_second_name |= second;
            second
        })
    }

    /// What the whole isolate counts.
    pub(crate) fn tally(&self) -> &Tally {
        &self.isolate.1
    }

    pub(crate) fn stats(&self) -> Stats {
        self.isolate.stats()
    }

    /// The keys of the token that came in a key cookie with this tag, derived once.
    pub(crate) fn derive(&self, tag: Tag, derive: impl FnOnce() -> TokenKeys) -> TokenKeys {
        let mut state = self.isolate.0.borrow_mut();
        let keys = state.derived.get_or_insert(tag, derive).clone();
        state.derived.shrink_to(DERIVED_KEYS);
        keys
    }

    /// What is remembered of the record of `key`, no older than `age` milliseconds.
    pub(crate) fn recall(&self, key: &SessionKey, now: i64, age: i64) -> Remembered {
        let key = self.of(*key);
        self.with(|state| {
            let Some(session) = state.sessions.get(&key) else {
                return Remembered::default();
            };
            if now.saturating_sub(session.at) > age {
                state.forget(&key);
                return Remembered::default();
            }
            let flights = session.flights.iter();
            let flying = flights.filter(|flight| now < flight.deadline);
            Remembered {
                settled: session.settled.clone(),
                awaited: flying.clone().any(|flight| !flight.timed_out),
                flying: flying.map(|flight| flight.envelope.clone()).collect(),
                markers_read_at: session.markers_read_at,
                at_risk: session.is_at_risk(now),
            }
        })
    }

    /// Remembers what a load found alive that asked the store at `asked_at`: a slow answer says
    /// nothing of the time since.
    pub(crate) fn read(&self, key: &SessionKey, envelope: &Envelope, asked_at: i64, now: i64) {
        self.change(key, now, |session| {
            session.settle(envelope, self.horizon(now));
            session.markers_read_at = session.markers_read_at.max(Some(asked_at));
        });
    }

    /// Remembers a record whose put is about to begin.
    pub(crate) fn fly(&self, key: &SessionKey, envelope: &Envelope, now: i64) {
        let deadline = now.saturating_add(FLIGHT);
        self.change(key, now, |session| {
            if mutant!(one_flight_at_a_time) {
                session.flights.clear();
            }
            if session.flights.len() >= FLIGHTS {
                session.flights.remove(0);
            }
            session.flights.push(Flight {
                envelope: envelope.clone(),
                deadline,
                timed_out: false,
                alone: session.flights.is_empty(),
            });
        });
    }

    /// The put of `envelope` was acknowledged. True where it lacks something that was put
    /// meanwhile: the store may have taken the two in either order.
    pub(crate) fn landed(&self, key: &SessionKey, envelope: &Envelope, now: i64) -> bool {
        let horizon = self.horizon(now);
        self.change(key, now, |session| {
            session.end_flight(envelope.version, true);
            let overtaken = session.knows_more_than(envelope, horizon);
            session.settle(envelope, horizon);
            session.unsure |= overtaken;
            overtaken
        })
    }

    /// A put of all that was known was acknowledged, which began while no other was under way.
    /// Unless one has begun or landed since, the store holds it.
    pub(crate) fn landed_alone(&self, key: &SessionKey, envelope: &Envelope, now: i64) {
        self.change(key, now, |session| {
            let horizon = self.horizon(now);
            session.end_flight(envelope.version, true);
            session.unsure = session.knows_more_than(envelope, horizon);
            session.settle(envelope, horizon);
        });
    }

    /// True where the store holds all that is settled here, as far as this isolate can know.
    pub(crate) fn is_sure(&self, key: &SessionKey) -> bool {
        self.with(|state| {
            let session = state.sessions.get(&self.of(*key));
            session.is_none_or(|session| !session.unsure)
        })
    }

    /// The put of `envelope` was refused with 429: it stays here and travels with the browser.
    pub(crate) fn grounded(&self, key: &SessionKey, envelope: &Envelope, now: i64) {
        self.change(key, now, |session| {
            session.end_flight(envelope.version, false);
            session.settle(envelope, self.horizon(now));
            session.unsure = true;
        });
    }

    /// The put of `version` failed. It may have been applied all the same: the next load asks.
    pub(crate) fn crashed(&self, key: &SessionKey, version: Version, now: i64) {
        if mutant!(flight_never_withdrawn) {
            return;
        }
        self.change(key, now, |session| {
            session.end_flight(version, false);
            session.markers_read_at = None;
        });
    }

    /// The put of `version` was not answered in time. It may still arrive, on top of what was put
    /// since: it stays under way, for other saves to join, until it is too old, and loads ask the
    /// store until `until`.
    pub(crate) fn put_timed_out(&self, key: &SessionKey, version: Version, now: i64, until: i64) {
        self.change(key, now, |session| {
            let mut flights = session.flights.iter_mut();
            if let Some(flight) = flights.find(|flight| flight.envelope.version == version) {
                flight.timed_out = true;
            }
            session.at_risk_until = session.at_risk_until.max(Some(until));
            session.markers_read_at = None;
        });
    }

    /// The store shows `version`: where that put had timed out, it has arrived.
    pub(crate) fn arrived(&self, key: &SessionKey, version: Version) {
        self.with(|state| {
            if let Some(session) = state.sessions.get_mut(&self.of(*key)) {
                let flights = &mut session.flights;
                flights.retain(|it| !(it.timed_out && it.envelope.version == version));
            }
        });
    }

    /// True where a put that timed out may replace what is settled.
    pub(crate) fn is_at_risk(&self, key: &SessionKey, now: i64) -> bool {
        self.with(|state| {
            let session = state.sessions.get(&self.of(*key));
            session.is_some_and(|session| session.is_at_risk(now))
        })
    }

    /// True for the one request that is to put the record again when the store takes the next
    /// write; the others leave it to that one, for as long as it may take.
    pub(crate) fn claim_put_again(&self, key: &SessionKey, now: i64) -> bool {
        self.change(key, now, |session| {
            let claimed = session.put_again_until.is_some_and(|until| now < until);
            if !claimed {
                session.put_again_until = Some(now.saturating_add(FLIGHT));
            }
            !claimed
        })
    }

    /// The request that claimed it is done.
    pub(crate) fn release_put_again(&self, key: &SessionKey, now: i64) {
        self.change(key, now, |session| session.put_again_until = None);
    }

    /// Forgets the record of `key`.
    pub(crate) fn forget(&self, key: &SessionKey) {
        self.with(|state| state.forget(&self.of(*key)));
    }

    /// Remembers a marker that this isolate puts, until an instant.
    pub(crate) fn note_marker(&self, dead: Dead, marker: Marker, until: i64) {
        self.with(|state| {
            let noted = || (marker, until);
            let (known, known_until) = state.markers.get_or_insert(self.of(dead), noted);
            // The first word of a death counts, and a revocation more than a rotation.
            *known = known.or_earlier(marker);
            *known_until = until.max(*known_until);
            state.markers.shrink_to(MARKERS);
        });
    }

    /// The marker that this isolate has put of what may be dead.
    pub(crate) fn marker(&self, dead: Dead, now: i64) -> Option<Marker> {
        self.with(|state| {
            let (marker, until) = state.markers.get(&self.of(dead))?;
            (now < *until).then_some(*marker)
        })
    }

    /// Remembers an owner marker that this isolate puts, until an instant.
    pub(crate) fn note_owner(&self, owner: Id, marker: OwnerMarker, until: i64) {
        self.with(|state| {
            let noted = || (marker.clone(), until);
            let known = state.owners.get_or_insert(self.of(owner), noted);
            if known.0.at <= marker.at {
                *known = (marker, until);
            }
            state.owners.shrink_to(MARKERS);
        });
    }

    /// The owner marker that this isolate has put.
    pub(crate) fn owner(&self, owner: Id, now: i64) -> Option<OwnerMarker> {
        self.with(|state| {
            let (marker, until) = state.owners.get(&self.of(owner))?;
            (now < *until).then(|| marker.clone())
        })
    }

    /// Remembers until an instant that the revocation of `dead` stands in the store: this isolate
    /// has put it.
    pub(crate) fn note_dead_put(&self, dead: Dead, until: i64) {
        self.with(|state| {
            *state.dead_put.get_or_insert(self.of(dead), || until) = until;
            state.dead_put.shrink_to(MARKERS_PUT);
        });
    }

    /// True where this isolate has put the revocation of `dead` lately.
    pub(crate) fn was_dead_put(&self, dead: Dead, now: i64) -> bool {
        self.with(|state| {
            state
                .dead_put
                .get(&self.of(dead))
                .is_some_and(|until| now < *until)
        })
    }

    /// Remembers until an instant how far ending the sessions of `owner` has come here.
    pub(crate) fn note_progress(&self, owner: Id, progress: Progress, until: i64) {
        self.with(|state| {
            let nothing = || (Progress::default(), until);
            *state.progress.get_or_insert(self.of(owner), nothing) = (progress, until);
            state.progress.shrink_to(PROGRESS);
        });
    }

    /// How far ending the sessions of `owner` has come here.
    pub(crate) fn progress(&self, owner: Id, now: i64) -> Option<Progress> {
        self.with(|state| {
            let (progress, until) = state.progress.get(&self.of(owner))?;
            (now < *until).then(|| progress.clone())
        })
    }

    /// Remembers that the marker of `owner` that is known here stands in the store.
    pub(crate) fn note_owner_put(&self, owner: Id, now: i64) {
        self.with(|state| {
            let until = now.saturating_add(PUT_LATELY);
            *state.owners_put.get_or_insert(self.of(owner), || until) = until;
            state.owners_put.shrink_to(MARKERS_PUT);
        });
    }

    /// A put of a marker of `owner` was not answered in time: until an instant it may still land
    /// over a later one.
    pub(crate) fn note_owner_timeout(&self, owner: Id, until: i64) {
        self.with(|state| {
            *state.owners_unsure.get_or_insert(self.of(owner), || until) = until;
            state.owners_unsure.shrink_to(MARKERS_PUT);
        });
    }

    /// True where the store may hold an older marker of `owner` than this isolate has put.
    pub(crate) fn is_owner_unsure(&self, owner: Id, now: i64) -> bool {
        self.with(|state| {
            let until = state.owners_unsure.get(&self.of(owner));
            until.is_some_and(|until| now < *until)
        })
    }

    /// True where this isolate has put a marker of `owner` lately.
    pub(crate) fn was_owner_put(&self, owner: Id, now: i64) -> bool {
        self.with(|state| {
            state
                .owners_put
                .get(&self.of(owner))
                .is_some_and(|until| now < *until)
        })
    }
}

impl State {
    fn scope(&mut self, tally: &Rc<Tally>, connector: &str, prefix: &str) -> Rc<ScopeId> {
        let known = self.scopes.iter().rposition(|scope| {
            Rc::ptr_eq(&scope.tally, tally)
                && *scope.connector == *connector
                && *scope.prefix == *prefix
        });
        let scope = match known {
            Some(place) => self.scopes.remove(place),
            None => {
                self.forget_scopes();
                self.last_scope = self.last_scope.wrapping_add(1);
                Scope {
                    tally: Rc::clone(tally),
                    connector: connector.into(),
                    prefix: prefix.into(),
                    cookie_name: None,
                    has_second_name: false,
                    id: Rc::new(self.last_scope),
                }
            }
        };
        let id = Rc::clone(&scope.id);
        self.scopes.push(scope);
        id
    }

    /// Where there are many scopes, forgets half of them with all that is remembered of them: those
    /// that were used longest ago, but for what somebody still uses.
    fn forget_scopes(&mut self) {
        if self.scopes.len() < self.scopes_most.max(SCOPES) {
            return;
        }
        let mut gone = HashSet::new();
        self.scopes.retain(|scope| {
            let goes = gone.len() < SCOPES / 2 && Rc::strong_count(&scope.id) == 1;
            if goes {
                gone.insert(scope.id());
            }
            !goes
        });
        // Where most are in use, not each new one is to look at all of them.
        self.scopes_most = 2 * self.scopes.len();
        self.sessions.retain(|(scope, _)| !gone.contains(scope));
        self.markers.retain(|(scope, _)| !gone.contains(scope));
        self.owners.retain(|(scope, _)| !gone.contains(scope));
        self.dead_put.retain(|(scope, _)| !gone.contains(scope));
        self.owners_put.retain(|(scope, _)| !gone.contains(scope));
        self.owners_unsure
            .retain(|(scope, _)| !gone.contains(scope));
        self.progress.retain(|(scope, _)| !gone.contains(scope));
        self.weigh();
    }

    fn change<T>(
        &mut self,
        key: (ScopeId, SessionKey),
        now: i64,
        act: impl FnOnce(&mut Session) -> T,
    ) -> T {
        let session = self.sessions.get_or_insert(key, Session::default);
        session.flights.retain(|flight| now < flight.deadline);
        let done = act(session);
        session.at = now;
        let before = session.bytes;
        session.bytes = size_of::<SessionKey>() + session.weight();
        self.bytes = self.bytes + session.bytes - before;
        while self.bytes > RECORD_BYTES || self.sessions.slots.len() > RECORDS {
            let left = self.sessions.drop_older_half();
            self.weigh();
            if left == 0 {
                break;
            }
        }
        done
    }

    fn weigh(&mut self) {
        let sessions = self.sessions.slots.iter();
        self.bytes = sessions.map(|slot| slot.value.bytes).sum();
    }

    fn forget(&mut self, key: &(ScopeId, SessionKey)) {
        if let Some(session) = self.sessions.remove(key) {
            self.bytes -= session.bytes;
        }
    }
}

impl Scope {
    fn id(&self) -> ScopeId {
        *self.id
    }
}

impl Session {
    fn settle(&mut self, envelope: &Envelope, horizon: i64) {
        let mut settled = match self.settled.take() {
            Some(settled) => settled.join(envelope.clone()),
            None => envelope.clone(),
        };
        // A join has the removed keys of both sides: of one that is joined again and again they
        // would be all that there ever were.
        settled.data.settle(settled.version, horizon);
        self.settled = Some(settled);
    }

    /// Everything that is settled or under way.
    fn known(&self) -> impl Iterator<Item = &Envelope> {
        let flights = self.flights.iter().map(|flight| &flight.envelope);
        self.settled.iter().chain(flights)
    }

    /// True where something is known that `envelope` lacks. Versions alone do not tell: two that
    /// were made without knowing of each other may both be the next one.
    fn knows_more_than(&self, envelope: &Envelope, horizon: i64) -> bool {
        self.known().any(|known| {
            known.version > envelope.version
                || !(mutant!(one_flight_at_a_time) || envelope.contains(known, horizon))
        })
    }

    /// The put of `version` was answered. Where the store took it after all that had timed out,
    /// nothing of that can replace it.
    fn end_flight(&mut self, version: Version, taken: bool) {
        let mut flights = self.flights.iter();
        let place = flights.position(|flight| flight.envelope.version == version);
        let Some(flight) = place.map(|place| self.flights.remove(place)) else {
            return;
        };
        if taken && flight.alone && !self.flights.iter().any(|flight| flight.timed_out) {
            self.at_risk_until = None;
        }
    }

    fn is_at_risk(&self, now: i64) -> bool {
        self.at_risk_until.is_some_and(|until| now < until)
    }

    fn weight(&self) -> usize {
        self.known().map(Envelope::weight).sum()
    }
}

/// A map that knows when each entry was used.
struct Lru<K, V> {
    index: HashMap<K, usize>,
    slots: Vec<LruSlot<K, V>>,
    clock: u64,
}

struct LruSlot<K, V> {
    key: K,
    used: u64,
    value: V,
}

impl<K, V> Default for Lru<K, V> {
    fn default() -> Self {
        Self {
            index: HashMap::new(),
            slots: Vec::new(),
            clock: 0,
        }
    }
}

impl<K: Copy + Eq + Hash, V> Lru<K, V> {
    fn get(&mut self, key: &K) -> Option<&V> {
        self.get_mut(key).map(|value| &*value)
    }

    fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let slot = &mut self.slots[*self.index.get(key)?];
        self.clock += 1;
        slot.used = self.clock;
        Some(&mut slot.value)
    }

    fn get_or_insert(&mut self, key: K, new: impl FnOnce() -> V) -> &mut V {
        let at = *self.index.entry(key).or_insert(self.slots.len());
        if at == self.slots.len() {
            let (used, value) = (0, new());
            self.slots.push(LruSlot { key, used, value });
        }
        let slot = &mut self.slots[at];
        self.clock += 1;
        slot.used = self.clock;
        &mut slot.value
    }

    fn remove(&mut self, key: &K) -> Option<V> {
        let at = self.index.remove(key)?;
        let slot = self.slots.swap_remove(at);
        // The last one stands in its place now.
        if let Some(moved) = self.slots.get(at) {
            self.index.insert(moved.key, at);
        }
        Some(slot.value)
    }

    fn retain(&mut self, wanted: impl Fn(&K) -> bool) {
        self.slots.retain(|slot| wanted(&slot.key));
        self.index_again();
    }

    /// Where there are more than `most`, removes the half that was used longest ago: rarely, and
    /// then enough that each entry pays for one look at it.
    fn shrink_to(&mut self, most: usize) {
        if self.slots.len() > most {
            self.drop_older_half();
        }
    }

    /// Removes the half that was used longest ago; gives back what is left.
    fn drop_older_half(&mut self) -> usize {
        // The entries' instants of use are different numbers up to `clock`: the middle one is
        // found by halving, without sorting.
        let (mut low, mut high) = (0, self.clock);
        let half = self.slots.len().div_ceil(2);
        while low < high {
            let middle = low + (high - low) / 2;
            let older = self.slots.iter().filter(|slot| slot.used <= middle).count();
            if older < half {
                low = middle + 1
            } else {
                high = middle
            }
        }
        self.slots.retain(|slot| slot.used > low);
        self.index_again();
        self.slots.len()
    }

    fn index_again(&mut self) {
        // In the room that it has: a new one beside it would be memory that never comes back.
        self.index.clear();
        let places = self.slots.iter().enumerate();
        self.index.extend(places.map(|(at, slot)| (slot.key, at)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope(counter: u32) -> Envelope {
        let mut envelope = Envelope::begin(0, 1_000_000);
        envelope.version = Version {
            counter,
            writer: counter,
        };
        envelope.data.values.set(&format!("k{counter}"), "1".into());
        envelope.data.settle(envelope.version, 0);
        envelope
    }

    fn key(number: u8) -> SessionKey {
        let [lineage, derived] = [Id([number; 16]); 2];
        SessionKey {
            owner: None,
            lineage,
            derived,
        }
    }

    /// Sessions and bytes of records that are remembered.
    fn size(memory: &Memory) -> (usize, usize) {
        memory.with(|state| (state.sessions.slots.len(), state.bytes))
    }

    fn memory() -> Memory {
        Isolate::new().memory("test", "", 1_000)
    }

    #[test]
    fn a_record_in_flight_is_for_saves_until_it_lands() {
        let memory = memory();
        memory.fly(&key(1), &envelope(1), 0);
        let recalled = memory.recall(&key(1), 0, 1_000);
        assert!(recalled.settled.is_none() && recalled.flying.len() == 1);
        assert!(!memory.landed(&key(1), &envelope(1), 5));
        let recalled = memory.recall(&key(1), 5, 1_000);
        assert!(recalled.settled.is_some() && recalled.flying.is_empty());
        assert_eq!(recalled.markers_read_at, None);
    }

    #[test]
    fn a_put_that_failed_or_never_ended_is_taken_out() {
        let memory = memory();
        memory.fly(&key(1), &envelope(1), 0);
        memory.crashed(&key(1), envelope(1).version, 1);
        assert!(memory.recall(&key(1), 1, 1_000).flying.is_empty());
        memory.fly(&key(1), &envelope(2), 1);
        assert_eq!(memory.recall(&key(1), FLIGHT, i64::MAX).flying.len(), 1);
        assert!(
            memory
                .recall(&key(1), 1 + FLIGHT, i64::MAX)
                .flying
                .is_empty()
        );
    }

    #[test]
    fn an_overtaken_put_is_noticed() {
        let memory = memory();
        let newer = envelope(2).join(envelope(1));
        memory.fly(&key(1), &envelope(1), 0);
        memory.fly(&key(1), &newer, 0);
        assert!(memory.landed(&key(1), &envelope(1), 1));
        assert_eq!(memory.recall(&key(1), 1, 1_000).flying.len(), 1);
        assert!(!memory.landed(&key(1), &newer, 1));
    }

    #[test]
    fn puts_are_known_side_by_side_and_their_number_is_bounded() {
        let memory = memory();
        for n in 1..=3 {
            memory.fly(&key(1), &envelope(n), 0);
        }
        memory.crashed(&key(1), envelope(2).version, 1);
        let versions = || {
            let flying = memory.recall(&key(1), 1, 1_000).flying;
            let counters = flying.iter().map(|envelope| envelope.version.counter);
            counters.collect::<Vec<_>>()
        };
        assert_eq!(versions(), [1, 3]);
        for n in 4..=20 {
            memory.fly(&key(1), &envelope(n), 1);
        }
        assert_eq!(versions(), (13..=20).collect::<Vec<_>>());
    }

    #[test]
    fn a_put_that_lacks_what_another_wrote_is_noticed_whichever_is_newer() {
        for (first, second) in [(1, 2), (2, 1)] {
            let memory = memory();
            memory.fly(&key(1), &envelope(first), 0);
            memory.fly(&key(1), &envelope(second), 0);
            memory.landed(&key(1), &envelope(first), 1);
            assert!(memory.landed(&key(1), &envelope(second), 2));
            assert!(!memory.is_sure(&key(1)));
            let settled = memory.recall(&key(1), 2, 1_000).settled.unwrap();
            memory.landed_alone(&key(1), &settled, 3);
            assert!(memory.is_sure(&key(1)));
        }
    }

    #[test]
    fn removed_keys_are_forgotten_when_their_time_is_over() {
        let memory = memory();
        for n in 1..=100 {
            let now = i64::from(n) * 100;
            let mut envelope = envelope(n);
            let gone = format!("k{n}");
            envelope.data.values.remove(&gone, now);
            envelope.data.settle(envelope.version, 0);
            memory.read(&key(1), &envelope, now, now);
        }
        let settled = memory.recall(&key(1), 10_000, 1_000).settled.unwrap();
        assert_eq!(settled.data.values.settled().count(), 11);
    }

    #[test]
    fn one_request_puts_again_for_all_and_not_for_ever() {
        let memory = memory();
        assert!(memory.claim_put_again(&key(1), 0));
        assert!(!memory.claim_put_again(&key(1), FLIGHT - 1));
        assert!(memory.claim_put_again(&key(1), FLIGHT));
        memory.release_put_again(&key(1), FLIGHT + 1);
        assert!(memory.claim_put_again(&key(1), FLIGHT + 1));
    }

    #[test]
    fn namespaces_and_prefixes_do_not_mix() {
        let isolate = Isolate::new();
        isolate.memory("a", "", 0).read(&key(1), &envelope(1), 0, 0);
        for other in [isolate.memory("b", "", 0), isolate.memory("a", "x", 0)] {
            assert!(other.recall(&key(1), 0, 1_000).settled.is_none());
        }
        assert!(
            isolate
                .memory("a", "", 0)
                .recall(&key(1), 0, 1_000)
                .settled
                .is_some()
        );
    }

    #[test]
    fn memory_is_bounded_and_what_was_used_last_stays() {
        let memory = memory();
        let mut big = envelope(1);
        big.data
            .values
            .set("big", format!("\"{}\"", "x".repeat(100_000)).into());
        big.data.settle(big.version, 0);
        for n in 0..200 {
            memory.read(&key(n), &big, 0, 0);
            memory.recall(&key(0), 0, 1_000);
        }
        let (sessions, bytes) = size(&memory);
        assert!(
            bytes <= RECORD_BYTES && (30..50).contains(&sessions),
            "{sessions} {bytes}"
        );
        assert!(memory.recall(&key(0), 0, 1_000).settled.is_some());
        assert!(memory.recall(&key(1), 0, 1_000).settled.is_none());
    }

    #[test]
    fn records_are_bounded_in_number_and_their_table_does_not_grow() {
        let memory = memory();
        let small = Envelope::begin(0, 1_000_000);
        let mut ids = (0u64..).map(|n| {
            let mut id = [0; 16];
            id[..8].copy_from_slice(&n.to_be_bytes());
            SessionKey {
                owner: None,
                lineage: Id(id),
                derived: Id(id),
            }
        });
        let room = || memory.with(|state| state.sessions.index.capacity());
        let mut fill = |count| {
            for key in ids.by_ref().take(count) {
                memory.read(&key, &small, 0, 0);
                assert!(size(&memory).0 <= RECORDS);
            }
        };
        fill(RECORDS);
        let full = room();
        fill(2 * RECORDS);
        assert_eq!(room(), full);
    }

    #[test]
    fn prefixes_are_bounded_in_number_and_what_is_in_use_stays() {
        let isolate = Isolate::new();
        let memory = |n: usize| isolate.memory("a", &format!("tenant-{n}."), 0);
        let in_use = memory(0);
        for n in 0..10 * SCOPES {
            memory(n).read(&key(1), &envelope(1), 0, 0);
            memory(n).note_marker(Dead::Key(Id([1; 16])), Marker::revoked(0), 9);
            memory(n).note_owner(
                Id([1; 16]),
                OwnerMarker {
                    at: 0,
                    except: Vec::new(),
                },
                9,
            );
        }
        assert!(in_use.recall(&key(1), 0, 1_000).settled.is_some());
        let (sessions, bytes) = size(&in_use);
        assert!((SCOPES / 2..=SCOPES).contains(&sessions), "{sessions}");
        let (scopes, markers, owners) = in_use.with(|state| {
            let [markers, owners] = [state.markers.slots.len(), state.owners.slots.len()];
            (state.scopes.len(), markers, owners)
        });
        assert_eq!((scopes, markers, owners), (sessions, sessions, sessions));
        assert_eq!(isolate.stats().table_bytes, bytes as u64);
        // What goes and comes again begins anew.
        assert!(memory(1).recall(&key(1), 0, 1_000).settled.is_none());
    }

    #[test]
    fn what_counts_apart_shares_the_bounds_and_nothing_else() {
        let isolate = Isolate::new();
        let (one, other) = (isolate.apart(), isolate.apart());
        one.memory("", "", 0).read(&key(1), &envelope(1), 0, 0);
        let there = other.memory("", "", 0);
        assert!(there.recall(&key(1), 0, 1_000).settled.is_none());
        let held = [&one, &other, &isolate].map(|it| it.stats().table_entries);
        assert_eq!(held, [1, 0, 0]);
        let small = Envelope::begin(0, 1_000_000);
        for n in 0..2 * RECORDS {
            let mut id = [0; 16];
            id[..8].copy_from_slice(&n.to_be_bytes());
            let [lineage, derived] = [Id(id); 2];
            let owner = None;
            let key = SessionKey {
                owner,
                lineage,
                derived,
            };
            there.read(&key, &small, 0, 0);
        }
        assert!(size(&there).0 <= RECORDS);
        assert_eq!(one.stats().table_entries, 0, "used longest ago");
    }

    #[test]
    fn markers_are_kept_for_their_time() {
        let memory = memory();
        memory.note_marker(Dead::Key(Id([1; 16])), Marker::rotated(5), 100);
        memory.note_marker(Dead::Key(Id([1; 16])), Marker::revoked(9), 50);
        assert_eq!(
            memory.marker(Dead::Key(Id([1; 16])), 99),
            Some(Marker::revoked(9))
        );
        assert_eq!(memory.marker(Dead::Key(Id([1; 16])), 100), None);
    }
}
