//! The memory shared by the requests of one isolate.
//!
//! A Worker's isolate serves many requests, one after another and interleaved. It remembers
//! recently seen sessions, the markers that it has put and the keys that it has derived. So a page
//! with ten requests reads the store once, two parallel saves know of each other, and a logout
//! takes effect here immediately. Nothing here waits: no future, no waker, no borrow across an
//! await. A request may be frozen forever at any await, so every put in flight has a deadline.
//!
//! This file limits the memory and separates namespaces. `record` is the memory of one session,
//! `records` has its operations; `markers` has the markers; `lru` is the table behind all of them.

mod lru;
mod markers;
mod record;
mod records;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt;
use std::rc::Rc;

use crate::flow::complaints::Complaints;
use crate::flow::stats::{Stats, Tally};
use crate::protocol::keys::{Dead, Id, KeyParts, Tag, TokenKeys};
use crate::protocol::revocation::{Marker, OwnerMarker, Progress};

pub(crate) use record::{FLIGHT, Remembered};

use lru::Lru;
use record::Session;

// Every limit is for the whole isolate, not for each namespace or prefix: many sessions of one
// client, or a prefix for each tenant, push out other entries but never use more memory. Dropped
// entries are read again from the store.

/// The most bytes of records, of the 128 MB that an isolate has in all.
const RECORD_BYTES: usize = 4 * 1024 * 1024;
/// The most records: as many as fit into a table of 8,192 places without another growth.
const RECORDS: usize = 7_000;
/// The most derived keys.
const DERIVED_KEYS: usize = 2_048;
/// The most scopes (namespace and prefix), besides those in use.
const SCOPES: usize = 256;

/// The memory that the requests of one isolate share.
///
/// [`Isolate::current`] is the real one. A test can create several.
///
/// ```
/// # edge_session::doc::run(async |sessions| {
/// use edge_session::{CookieHeader, Isolate};
/// // Two isolates of one Worker share only the store.
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
    /// The most recently used one is last.
    scopes: Vec<Scope>,
    /// How many of them there may be before some are removed.
    scopes_most: usize,
    last_scope: ScopeId,
    sessions: Lru<(ScopeId, KeyParts), Session>,
    /// The bytes of their records.
    bytes: usize,
    /// Known markers, each until an instant.
    markers: Lru<(ScopeId, Dead), (Marker, i64)>,
    owners: Lru<(ScopeId, Id), (OwnerMarker, i64)>,
    /// Until when the markers of [`Sessions::revoke_all`](crate::Sessions::revoke_all) need not be
    /// put or read again.
    dead_put: Lru<(ScopeId, Dead), i64>,
    owners_put: Lru<(ScopeId, Id), i64>,
    /// Until when an unanswered put of such a marker may replace a later one.
    owners_unsure: Lru<(ScopeId, Id), i64>,
    /// The progress of such calls, each until an instant.
    progress: Lru<(ScopeId, Id), (Progress, i64)>,
    /// By the tag of the key cookie, because no token may outlive its request. A tag is valid only
    /// with the keys of one configuration, so keys derived in one are never found in another.
    derived: Lru<Tag, TokenKeys>,
    complaints: Complaints,
    #[cfg(any(target_arch = "wasm32", feature = "worker"))]
    rings: Vec<(String, crate::protocol::keys::SecretRing)>,
}

/// Does not show its memory, which belongs to sessions.
impl fmt::Debug for Isolate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Isolate").finish_non_exhaustive()
    }
}

/// A namespace and a key prefix. Sessions of different scopes never mix.
struct Scope {
    /// The part of the isolate with separate counters and separate sessions.
    tally: Rc<Tally>,
    connector: Box<str>,
    prefix: Box<str>,
    /// The first cookie name that was used with it, and whether another was used too.
    cookie_name: Option<Box<str>>,
    has_second_name: bool,
    /// Shared with every [`Memory`] of this scope.
    id: Rc<ScopeId>,
}

/// A number that is unique among the scopes of an isolate.
type ScopeId = u32;

thread_local! {
    static CURRENT: Isolate = Isolate::default();
}

impl Isolate {
    /// A new isolate with an empty memory.
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

    /// The isolate that this code runs in.
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

    /// A part of it with separate counters and separate sessions. The limits apply to the whole
    /// isolate.
    #[cfg(any(test, all(target_arch = "wasm32", feature = "js")))]
    pub(crate) fn apart(&self) -> Self {
        Self(Rc::clone(&self.0), Rc::default())
    }

    /// Its counters and its current size.
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

    /// Its memory of the namespace `connector` with a key prefix. A removed key is remembered for
    /// `removed_for` milliseconds.
    pub(crate) fn memory(&self, connector: &str, prefix: &str, removed_for: i64) -> Memory {
        let scope = self.0.borrow_mut().scope(&self.1, connector, prefix);
        Memory {
            isolate: self.clone(),
            scope,
            removed_for,
        }
    }

    /// The console line about a failure with this `cause`; `None` if the last one is less than a
    /// minute old.
    pub(crate) fn complain(&self, cause: &str, now: i64) -> Option<String> {
        self.0.borrow_mut().complaints.line(cause, now)
    }

    /// The ring of `text`, parsed once for each isolate. Errors call it `name`.
    #[cfg(any(target_arch = "wasm32", feature = "worker"))]
    pub(crate) fn ring(
        &self,
        text: &str,
        name: &str,
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
        let ring = crate::protocol::keys::SecretRing::parse_named(text, name)?;
        let mut state = self.0.borrow_mut();
        // A deployment has one ring, or two during a change.
        if state.rings.len() >= 4 {
            state.rings.remove(0);
        }
        state.rings.push((text.to_owned(), ring.clone()));
        Ok(ring)
    }
}

/// An isolate's memory of one namespace.
#[derive(Clone)]
pub(crate) struct Memory {
    isolate: Isolate,
    scope: Rc<ScopeId>,
    removed_for: i64,
}

impl Memory {
    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.isolate.0.borrow_mut())
    }

    /// The isolate that it belongs to.
    pub(crate) fn isolate(&self) -> &Isolate {
        &self.isolate
    }

    /// `key` in this namespace.
    fn of<K>(&self, key: K) -> (ScopeId, K) {
        (*self.scope, key)
    }

    fn change<T>(&self, key: &KeyParts, now: i64, act: impl FnOnce(&mut Session) -> T) -> T {
        self.with(|state| state.change(self.of(*key), now, act))
    }

    /// Keys that were removed before this are forgotten.
    fn horizon(&self, now: i64) -> i64 {
        now.saturating_sub(self.removed_for)
    }

    /// True once, if sessions with another cookie name are kept here too.
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

    /// The counters of the whole isolate.
    pub(crate) fn tally(&self) -> &Tally {
        &self.isolate.1
    }

    pub(crate) fn stats(&self) -> Stats {
        self.isolate.stats()
    }

    /// The keys of the token in a key cookie with this tag, derived once.
    pub(crate) fn derive(&self, tag: Tag, derive: impl FnOnce() -> TokenKeys) -> TokenKeys {
        let mut state = self.isolate.0.borrow_mut();
        let keys = state.derived.get_or_insert(tag, derive).clone();
        state.derived.shrink_to(DERIVED_KEYS);
        keys
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

    /// If there are many scopes, forgets the least recently used half with their memory, except
    /// those in use.
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
        // If most are in use, do not check all of them for each new one.
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
        key: (ScopeId, KeyParts),
        now: i64,
        act: impl FnOnce(&mut Session) -> T,
    ) -> T {
        let session = self.sessions.get_or_insert(key, Session::default);
        session.flights.retain(|flight| now < flight.deadline);
        let done = act(session);
        session.at = now;
        let before = session.bytes;
        session.bytes = size_of::<KeyParts>() + session.weight();
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

    fn forget(&mut self, key: &(ScopeId, KeyParts)) {
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
