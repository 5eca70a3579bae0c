//! What the requests of one isolate share: plain memory, and nothing else.
//!
//! A Worker's isolate serves many requests, one after another and interleaved. It remembers the
//! sessions it has seen lately, the markers it has put itself and the keys it has derived, so that
//! a page with ten requests reads the store once, two parallel saves know of each other, and a
//! logout is heard here at once. Nothing in here waits: no future, no waker, no borrow that lives
//! across an await. A request may be frozen for ever at any await, so whatever is in flight has a
//! deadline.

use std::cell::{RefCell, RefMut};
use std::collections::HashMap;
use std::hash::Hash;
use std::rc::Rc;

use crate::keys::{Dead, Id, SessionKey, Tag, TokenKeys};
use crate::record::Envelope;
use crate::revocation::{Marker, OwnerMarker};
use crate::stats::{Stats, Tally};
use crate::version::Version;

/// Bytes of records that an isolate keeps, of the 128 MB that it has in all.
const RECORD_BYTES: usize = 4 * 1024 * 1024;
/// And how many of them: what a table of 8,192 places takes without growing once more.
const RECORDS: usize = 7_000;
/// Derived keys that an isolate keeps.
const DERIVED_KEYS: usize = 2_048;
/// Markers that an isolate keeps.
const MARKERS: usize = 16_384;
/// Markers of which an isolate remembers that it has put them, and for how many milliseconds: for
/// the login that follows an end to all sessions in the same request.
const MARKERS_PUT: usize = 2_048;
const PUT_LATELY: i64 = 30_000;
/// Milliseconds after which a put that was not answered is taken as one that never will be.
const FLIGHT: i64 = 30_000;

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
    /// A Worker has one namespace, or few.
    tables: Vec<(Scope, Table)>,
    /// By the tag of the key cookie that a token came in: no token outlives its request. A tag was
    /// verified with the keys of one configuration and is none in any other, so that what was
    /// derived in one is never found in another.
    derived: Lru<Tag, TokenKeys>,
    #[cfg(target_arch = "wasm32")]
    rings: Vec<(String, crate::keys::SecretRing)>,
}

/// Which namespace: sessions of two never mix.
type Scope = (Rc<str>, Rc<str>);

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

    /// What was counted in it, and what it holds.
    pub(crate) fn stats(&self) -> Stats {
        let state = self.0.borrow();
        let tables = state.tables.iter();
        self.1
            .stats(tables.fold((0, 0), |(sessions, bytes), (_, table)| {
                let here = table.sessions.slots.len();
                (sessions + here, bytes + table.bytes)
            }))
    }

    /// The part of it that is about the namespace `connector`, under a key prefix.
    pub(crate) fn memory(&self, connector: &str, prefix: &str) -> Memory {
        let mut state = self.0.borrow_mut();
        let known = state
            .tables
            .iter()
            .position(|((here, under), _)| **here == *connector && **under == *prefix);
        let table = known.unwrap_or_else(|| {
            let scope = (connector.into(), prefix.into());
            state.tables.push((scope, Table::default()));
            state.tables.len() - 1
        });
        Memory {
            isolate: self.clone(),
            table,
        }
    }

    /// The ring of `text`, parsed once in an isolate's life.
    #[cfg(target_arch = "wasm32")]
    pub(crate) fn ring(
        &self,
        text: &str,
    ) -> Result<crate::keys::SecretRing, crate::error::SessionError> {
        if let Some((_, ring)) = self
            .0
            .borrow()
            .rings
            .iter()
            .find(|(known, _)| known == text)
        {
            return Ok(ring.clone());
        }
        let ring = crate::keys::SecretRing::parse(text)?;
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
    /// Its place in the isolate's tables, none of which ever goes.
    table: usize,
}

/// What an isolate remembers of one session.
#[derive(Clone, Default)]
pub(crate) struct Remembered {
    /// The record as it was read, or put and acknowledged; or refused with 429, while it travels
    /// in the browser's overlay.
    pub(crate) settled: Option<Envelope>,
    /// A record whose put is not answered yet.
    pub(crate) flying: Option<Envelope>,
    /// When the session's markers were last read and none was there.
    pub(crate) markers_read_at: Option<i64>,
}

#[derive(Default)]
struct Table {
    /// The first cookie name that was used with it, and whether another came.
    cookie_name: Option<Rc<str>>,
    has_second_name: bool,
    sessions: Lru<SessionKey, Session>,
    bytes: usize,
    /// Markers that this isolate has put, until an instant.
    markers: Lru<Dead, (Marker, i64)>,
    owners: Lru<Id, (OwnerMarker, i64)>,
    /// Until when what [`Sessions::revoke_all`](crate::Sessions::revoke_all) has put need not be
    /// put or read again.
    dead_put: Lru<Dead, i64>,
    owners_put: Lru<Id, i64>,
}

#[derive(Default)]
struct Session {
    settled: Option<Envelope>,
    flying: Option<(Envelope, i64)>,
    markers_read_at: Option<i64>,
    /// The store may hold less than what is settled: a put was refused, or two overlapped.
    unsure: bool,
    /// Until when somebody is taken to be putting it again.
    put_again_until: Option<i64>,
    /// When this was last written or read.
    at: i64,
    bytes: usize,
}

impl Memory {
    fn with<T>(&self, act: impl FnOnce(&mut Table) -> T) -> T {
        act(&mut self.table())
    }

    fn table(&self) -> RefMut<'_, Table> {
        RefMut::map(self.isolate.0.borrow_mut(), |state| {
            &mut state.tables[self.table].1
        })
    }

    /// True once: where sessions with another cookie name are kept here too.
    pub(crate) fn is_second_name(&self, cookie_name: &str) -> bool {
        self.with(|table| {
            let first = table.cookie_name.get_or_insert_with(|| cookie_name.into());
            let second = **first != *cookie_name && !table.has_second_name;
            table.has_second_name |= second;
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
        self.with(|table| {
            let Some(session) = table.sessions.get(key) else {
                return Remembered::default();
            };
            if now.saturating_sub(session.at) > age {
                table.forget(key);
                return Remembered::default();
            }
            let flying = session
                .flying
                .as_ref()
                .filter(|(_, deadline)| now < *deadline);
            Remembered {
                settled: session.settled.clone(),
                flying: flying.map(|(envelope, _)| envelope.clone()),
                markers_read_at: session.markers_read_at,
            }
        })
    }

    /// Remembers what a load found alive that asked the store at `asked_at`: a slow answer says
    /// nothing of the time since.
    pub(crate) fn read(&self, key: &SessionKey, envelope: &Envelope, asked_at: i64, now: i64) {
        self.with(|table| {
            table.change(key, now, |session| {
                session.settle(envelope);
                session.markers_read_at = session.markers_read_at.max(Some(asked_at));
            });
        });
    }

    /// Remembers a record whose put is about to begin.
    pub(crate) fn fly(&self, key: &SessionKey, envelope: &Envelope, now: i64) {
        let deadline = now.saturating_add(FLIGHT);
        self.with(|table| {
            table.change(key, now, |session| {
                session.flying = Some((envelope.clone(), deadline));
            });
        });
    }

    /// The put of `envelope` was acknowledged. True where a newer one has set off meanwhile: the
    /// store may have taken the two in either order.
    pub(crate) fn landed(&self, key: &SessionKey, envelope: &Envelope, now: i64) -> bool {
        self.with(|table| {
            table.change(key, now, |session| {
                let overtaken = session.is_newer_than(envelope.version);
                session.end_flight(envelope.version);
                session.settle(envelope);
                session.unsure |= overtaken;
                overtaken
            })
        })
    }

    /// A put of all that was settled was acknowledged, which began while no other was under way.
    /// Unless one has begun or landed since, the store holds it.
    pub(crate) fn landed_alone(&self, key: &SessionKey, envelope: &Envelope, now: i64) {
        self.with(|table| {
            table.change(key, now, |session| {
                session.unsure = session.is_newer_than(envelope.version);
            });
        });
    }

    /// True where the store holds all that is settled here, as far as this isolate can know.
    pub(crate) fn is_sure(&self, key: &SessionKey) -> bool {
        self.with(|table| {
            table
                .sessions
                .get(key)
                .is_none_or(|session| !session.unsure)
        })
    }

    /// The put of `envelope` was refused with 429: it stays here and travels with the browser.
    pub(crate) fn grounded(&self, key: &SessionKey, envelope: &Envelope, now: i64) {
        self.with(|table| {
            table.change(key, now, |session| {
                session.end_flight(envelope.version);
                session.settle(envelope);
                session.unsure = true;
            });
        });
    }

    /// The put of `version` failed. It may have been applied all the same: the next load asks.
    pub(crate) fn crashed(&self, key: &SessionKey, version: Version, now: i64) {
        if mutant!(flight_never_withdrawn) {
            return;
        }
        self.with(|table| {
            table.change(key, now, |session| {
                session.end_flight(version);
                session.markers_read_at = None;
            });
        });
    }

    /// True for the one request that is to put the record again when the store takes the next
    /// write; the others leave it to that one, for as long as it may take.
    pub(crate) fn claim_put_again(&self, key: &SessionKey, now: i64) -> bool {
        self.with(|table| {
            table.change(key, now, |session| {
                let claimed = session.put_again_until.is_some_and(|until| now < until);
                if !claimed {
                    session.put_again_until = Some(now.saturating_add(FLIGHT));
                }
                !claimed
            })
        })
    }

    /// The request that claimed it is done.
    pub(crate) fn release_put_again(&self, key: &SessionKey, now: i64) {
        self.with(|table| {
            table.change(key, now, |session| session.put_again_until = None);
        });
    }

    /// Forgets the record of `key`.
    pub(crate) fn forget(&self, key: &SessionKey) {
        self.with(|table| table.forget(key));
    }

    /// Remembers a marker that this isolate puts, until an instant.
    pub(crate) fn note_marker(&self, dead: Dead, marker: Marker, until: i64) {
        self.with(|table| {
            let (known, known_until) = table.markers.get_or_insert(dead, || (marker, until));
            // The first word of a death counts, and a revocation more than a rotation.
            *known = known.or_earlier(marker);
            *known_until = until.max(*known_until);
            table.markers.shrink_to(MARKERS);
        });
    }

    /// The marker that this isolate has put of what may be dead.
    pub(crate) fn marker(&self, dead: Dead, now: i64) -> Option<Marker> {
        self.with(|table| {
            let (marker, until) = table.markers.get(&dead)?;
            (now < *until).then_some(*marker)
        })
    }

    /// Remembers an owner marker that this isolate puts, until an instant.
    pub(crate) fn note_owner(&self, owner: Id, marker: OwnerMarker, until: i64) {
        self.with(|table| {
            let known = table
                .owners
                .get_or_insert(owner, || (marker.clone(), until));
            if known.0.at <= marker.at {
                *known = (marker, until);
            }
            table.owners.shrink_to(MARKERS);
        });
    }

    /// The owner marker that this isolate has put.
    pub(crate) fn owner(&self, owner: Id, now: i64) -> Option<OwnerMarker> {
        self.with(|table| {
            let (marker, until) = table.owners.get(&owner)?;
            (now < *until).then(|| marker.clone())
        })
    }

    /// Remembers that the revocation of `dead` stands in the store: this isolate has put it.
    pub(crate) fn note_dead_put(&self, dead: Dead, now: i64) {
        self.with(|table| {
            let until = now.saturating_add(PUT_LATELY);
            *table.dead_put.get_or_insert(dead, || until) = until;
            table.dead_put.shrink_to(MARKERS_PUT);
        });
    }

    /// True where this isolate has put the revocation of `dead` lately.
    pub(crate) fn was_dead_put(&self, dead: Dead, now: i64) -> bool {
        self.with(|table| table.dead_put.get(&dead).is_some_and(|until| now < *until))
    }

    /// Remembers that the marker of `owner` that is known here stands in the store.
    pub(crate) fn note_owner_put(&self, owner: Id, now: i64) {
        self.with(|table| {
            let until = now.saturating_add(PUT_LATELY);
            *table.owners_put.get_or_insert(owner, || until) = until;
            table.owners_put.shrink_to(MARKERS_PUT);
        });
    }

    /// True where this isolate has put a marker of `owner` lately.
    pub(crate) fn was_owner_put(&self, owner: Id, now: i64) -> bool {
        self.with(|table| {
            table
                .owners_put
                .get(&owner)
                .is_some_and(|until| now < *until)
        })
    }

    /// Sessions and bytes of records that are remembered.
    #[cfg(test)]
    pub(crate) fn size(&self) -> (usize, usize) {
        self.with(|table| (table.sessions.slots.len(), table.bytes))
    }
}

impl Table {
    fn change<T>(&mut self, key: &SessionKey, now: i64, act: impl FnOnce(&mut Session) -> T) -> T {
        let session = self.sessions.get_or_insert(*key, Session::default);
        let done = act(session);
        session.at = now;
        let before = session.bytes;
        session.bytes = size_of::<SessionKey>() + session.weight();
        self.bytes = self.bytes + session.bytes - before;
        while self.bytes > RECORD_BYTES || self.sessions.slots.len() > RECORDS {
            let left = self.sessions.drop_older_half();
            let sessions = self.sessions.slots.iter();
            self.bytes = sessions.map(|slot| slot.value.bytes).sum();
            if left == 0 {
                break;
            }
        }
        done
    }

    fn forget(&mut self, key: &SessionKey) {
        if let Some(session) = self.sessions.remove(key) {
            self.bytes -= session.bytes;
        }
    }
}

impl Session {
    fn settle(&mut self, envelope: &Envelope) {
        self.settled = Some(match self.settled.take() {
            Some(settled) => settled.join(envelope.clone()),
            None => envelope.clone(),
        });
    }

    fn is_newer_than(&self, version: Version) -> bool {
        let flying = self.flying.as_ref().map(|(envelope, _)| envelope.version);
        let settled = self.settled.as_ref().map(|envelope| envelope.version);
        flying.max(settled).is_some_and(|newest| newest > version)
    }

    fn end_flight(&mut self, version: Version) {
        if self
            .flying
            .as_ref()
            .is_some_and(|(envelope, _)| envelope.version == version)
        {
            self.flying = None;
        }
    }

    fn weight(&self) -> usize {
        let flying = self.flying.as_ref().map(|(envelope, _)| envelope);
        flying
            .into_iter()
            .chain(&self.settled)
            .map(Envelope::weight)
            .sum()
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
        // In the room that it has: a new one beside it would be memory that never comes back.
        self.index.clear();
        let places = self.slots.iter().enumerate();
        self.index.extend(places.map(|(at, slot)| (slot.key, at)));
        self.slots.len()
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

    fn memory() -> Memory {
        Isolate::new().memory("test", "")
    }

    #[test]
    fn a_record_in_flight_is_for_saves_until_it_lands() {
        let memory = memory();
        memory.fly(&key(1), &envelope(1), 0);
        let recalled = memory.recall(&key(1), 0, 1_000);
        assert!(recalled.settled.is_none() && recalled.flying.is_some());
        assert!(!memory.landed(&key(1), &envelope(1), 5));
        let recalled = memory.recall(&key(1), 5, 1_000);
        assert!(recalled.settled.is_some() && recalled.flying.is_none());
        assert_eq!(recalled.markers_read_at, None);
    }

    #[test]
    fn a_put_that_failed_or_never_ended_is_taken_out() {
        let memory = memory();
        memory.fly(&key(1), &envelope(1), 0);
        memory.crashed(&key(1), envelope(1).version, 1);
        assert!(memory.recall(&key(1), 1, 1_000).flying.is_none());
        memory.fly(&key(1), &envelope(2), 1);
        assert!(memory.recall(&key(1), FLIGHT, i64::MAX).flying.is_some());
        assert!(
            memory
                .recall(&key(1), 1 + FLIGHT, i64::MAX)
                .flying
                .is_none()
        );
    }

    #[test]
    fn an_overtaken_put_is_noticed() {
        let memory = memory();
        memory.fly(&key(1), &envelope(1), 0);
        memory.fly(&key(1), &envelope(2), 0);
        assert!(memory.landed(&key(1), &envelope(1), 1));
        assert!(memory.recall(&key(1), 1, 1_000).flying.is_some());
        assert!(!memory.landed(&key(1), &envelope(2), 1));
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
        isolate.memory("a", "").read(&key(1), &envelope(1), 0, 0);
        for other in [isolate.memory("b", ""), isolate.memory("a", "x")] {
            assert!(other.recall(&key(1), 0, 1_000).settled.is_none());
        }
        assert!(
            isolate
                .memory("a", "")
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
        let (sessions, bytes) = memory.size();
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
        let room = || memory.with(|table| table.sessions.index.capacity());
        let mut fill = |count| {
            for key in ids.by_ref().take(count) {
                memory.read(&key, &small, 0, 0);
                assert!(memory.size().0 <= RECORDS);
            }
        };
        fill(RECORDS);
        let full = room();
        fill(2 * RECORDS);
        assert_eq!(room(), full);
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
