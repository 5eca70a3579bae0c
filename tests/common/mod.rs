//! Helpers for the native tests: a world with simulated time, randomness and storage, and browsers
//! with a cookie jar.

#![allow(
    dead_code,
    missing_docs,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "shared by several files of tests, none of which uses all of it"
)]

pub mod strong;

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use edge_session::connector::{
    ConnectorError, ConnectorErrorKind, ManualClock, MemoryConnector, Page, PutOptions,
    ReadOptions, SessionConnector,
};
use edge_session::runtime::Runtime;
use edge_session::{
    CommitHeaders, ErrorCode, Keep, RequestHead, SecretRing, SessionError, SessionKey,
    SessionStore, Sessions, Settings,
};
use futures_executor::block_on;
use futures_util::future::{FutureExt, LocalBoxFuture};

pub const SECRET: &str = "lR0v9cFqWm3kXo2TzJ7yPb5sUe8hNd1GaQ4iCxKtMwY";
pub const OTHER_SECRET: &str = "Yq8wLr3xVt6nBm1zKc5uHf9pGd2sJa7eTo4iRkWlQvX";

/// 2027-01-15, in milliseconds.
pub const START: i64 = 1_800_000_000_000;
pub const SECOND: i64 = 1_000;
pub const MINUTE: i64 = 60 * SECOND;
pub const HOUR: i64 = 60 * MINUTE;
pub const DAY: i64 = 24 * HOUR;
/// W of the default settings.
pub const WINDOW: i64 = 102 * SECOND;

pub const KEY: &str = "__Host-session";
pub const SEEN: &str = "__Host-session-seen";
pub const FRESH: &str = "__Host-session-fresh";
pub const FORM: &str = "__Host-session-form";
/// The attributes of every cookie with the default settings, except for its age.
pub const ATTRIBUTES: &str = "; Path=/; Secure; HttpOnly; SameSite=Lax";

// --- time and randomness -------------------------------------------------------------------------

/// A number of whole seconds.
pub const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// An instant in milliseconds since 1970-01-01 UTC.
pub fn ms(instant: SystemTime) -> i64 {
    let whole = |time: Duration| i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    match instant.duration_since(UNIX_EPOCH) {
        Ok(since) => whole(since),
        Err(before) => -whole(before.duration()),
    }
}

/// A clock that a test moves, and randomness from a seed. Sleeping moves the clock, and so do
/// deadlines: an operation that is not answered immediately is never answered.
pub struct TestRuntime {
    pub clock: ManualClock,
    state: Cell<u64>,
    randomness: Cell<Randomness>,
    warnings: RefCell<Vec<String>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Randomness {
    Seeded,
    /// No randomness, as at module scope of a Worker.
    Failing,
    /// The same bytes again and again.
    Repeating,
}

impl TestRuntime {
    pub fn new(clock: ManualClock, seed: u64) -> Rc<Self> {
        Rc::new(Self {
            clock,
            state: Cell::new(seed),
            randomness: Cell::new(Randomness::Seeded),
            warnings: RefCell::default(),
        })
    }

    /// The warnings since the last call.
    pub fn take_warnings(&self) -> Vec<String> {
        self.warnings.take()
    }

    pub fn set_randomness(&self, randomness: Randomness) {
        self.randomness.set(randomness);
    }

    /// SplitMix64 (<https://prng.di.unimi.it/splitmix64.c>).
    fn next(&self) -> u64 {
        let state = self.state.get().wrapping_add(0x9e37_79b9_7f4a_7c15);
        self.state.set(state);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

impl Runtime for TestRuntime {
    fn now(&self) -> i64 {
        self.clock.now()
    }

    fn fill_random(&self, out: &mut [u8]) -> Result<(), SessionError> {
        match self.randomness.get() {
            Randomness::Seeded => {
                for chunk in out.chunks_mut(8) {
                    chunk.copy_from_slice(&self.next().to_le_bytes()[..chunk.len()]);
                }
            }
            Randomness::Failing => {
                // A failing source may have written some bytes.
                let half = out.len() / 2;
                out[..half].fill(7);
                return Err(SessionError::new(ErrorCode::NotReady, "no randomness here"));
            }
            Randomness::Repeating => {
                for (place, byte) in out.iter_mut().enumerate() {
                    *byte = place as u8 ^ 0x5a;
                }
            }
        }
        Ok(())
    }

    fn warn(&self, message: &str) {
        self.warnings.borrow_mut().push(message.to_owned());
    }

    fn sleep(&self, milliseconds: u32) -> LocalBoxFuture<'static, ()> {
        let until = self.clock.now().saturating_add(i64::from(milliseconds));
        Sleep {
            clock: self.clock.clone(),
            until,
            yielded: false,
        }
        .boxed_local()
    }
}

/// Yields to everything else, then moves the clock.
struct Sleep {
    clock: ManualClock,
    until: i64,
    yielded: bool,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.clock.now() < self.until {
            if !self.yielded {
                self.yielded = true;
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            self.clock.set(self.until);
        }
        Poll::Ready(())
    }
}

// --- storage -------------------------------------------------------------------------------------

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    Read,
    Put,
    Delete,
    List,
}

/// The fault of the next operations of one kind.
#[derive(Clone, Copy, Debug)]
struct Fault {
    kind: Kind,
    /// Successful operations before it.
    after: usize,
    left: usize,
    error: ConnectorErrorKind,
    /// Carried out, but reported as failed.
    applied: bool,
    /// Milliseconds until it is reported.
    takes: i64,
}

/// A [`MemoryConnector`] that logs its operations, fails on demand, and can show an old state.
#[derive(Clone)]
pub struct TestStore {
    inner: MemoryConnector,
    clock: ManualClock,
    log: Rc<RefCell<Vec<(Kind, String)>>>,
    calls: Rc<RefCell<BTreeMap<Kind, usize>>>,
    faults: Rc<RefCell<Vec<Fault>>>,
    picture: Rc<RefCell<Option<BTreeMap<String, String>>>>,
    ttls: Rc<RefCell<BTreeMap<String, Option<u32>>>>,
    /// The kind, and the number of operations that are answered before it.
    hangs: Rc<RefCell<Vec<(Kind, usize)>>>,
    late: Rc<RefCell<Vec<(String, String)>>>,
}

impl TestStore {
    pub fn new(clock: ManualClock) -> Self {
        Self {
            inner: MemoryConnector::with_clock(clock.clone()),
            clock,
            log: Rc::default(),
            calls: Rc::default(),
            faults: Rc::default(),
            picture: Rc::default(),
            ttls: Rc::default(),
            hangs: Rc::default(),
            late: Rc::default(),
        }
    }

    /// The next operation of this kind is never answered.
    pub fn hang(&self, kind: Kind) {
        self.hang_after(0, kind);
    }

    /// The same, after `after` operations that are answered.
    pub fn hang_after(&self, after: usize, kind: Kind) {
        self.hangs.borrow_mut().push((kind, after));
    }

    /// The puts that were never answered reach the store.
    pub fn arrive(&self) {
        for (key, value) in self.late.take() {
            self.set(&key, &value);
        }
    }

    async fn hang_if_told(&self, kind: Kind, put: Option<(&str, &str)>) {
        let hangs = {
            let mut hangs = self.hangs.borrow_mut();
            let place = hangs.iter().position(|(of, _)| *of == kind);
            match place {
                Some(place) if hangs[place].1 == 0 => {
                    hangs.remove(place);
                    true
                }
                Some(place) => {
                    hangs[place].1 -= 1;
                    false
                }
                None => false,
            }
        };
        if hangs {
            let put = put.map(|(key, value)| (key.to_owned(), value.to_owned()));
            self.late.borrow_mut().extend(put);
            std::future::pending().await
        }
    }

    /// The next `times` operations of this kind fail and change nothing.
    pub fn fail(&self, kind: Kind, times: usize, error: ConnectorErrorKind) {
        self.fail_after(0, kind, times, error);
    }

    /// The same, after `after` successful operations.
    pub fn fail_after(&self, after: usize, kind: Kind, times: usize, error: ConnectorErrorKind) {
        self.faults.borrow_mut().push(Fault {
            kind,
            after,
            left: times,
            error,
            applied: false,
            takes: 0,
        });
    }

    /// The next `times` operations of this kind are carried out, but reported as failed.
    pub fn fail_though_applied(&self, kind: Kind, times: usize) {
        self.faults.borrow_mut().push(Fault {
            kind,
            after: 0,
            left: times,
            error: ConnectorErrorKind::Unavailable,
            applied: true,
            takes: 0,
        });
    }

    /// The next `times` operations of this kind fail after `takes` milliseconds.
    pub fn fail_slowly(&self, kind: Kind, times: usize, takes: i64) {
        self.faults.borrow_mut().push(Fault {
            kind,
            after: 0,
            left: times,
            error: ConnectorErrorKind::Unavailable,
            applied: false,
            takes,
        });
    }

    /// Cancels the faults that leave operations unanswered.
    pub fn answer_again(&self) {
        self.hangs.borrow_mut().clear();
    }

    /// Reads and writes fail until [`mend`](Self::mend).
    pub fn outage(&self) {
        for kind in [Kind::Read, Kind::Put, Kind::Delete, Kind::List] {
            self.fail(kind, usize::MAX, ConnectorErrorKind::Unavailable);
        }
    }

    pub fn mend(&self) {
        self.faults.borrow_mut().clear();
    }

    fn fault(&self, kind: Kind) -> Option<Fault> {
        let mut faults = self.faults.borrow_mut();
        let fault = faults
            .iter_mut()
            .find(|fault| fault.kind == kind && fault.left > 0)?;
        if fault.after > 0 {
            fault.after -= 1;
            return None;
        }
        fault.left -= 1;
        self.clock.advance(fault.takes);
        Some(*fault)
    }

    /// From now on reads show the current state, like a location that sees no later writes: absent
    /// keys stay absent.
    pub fn lag(&self) {
        *self.picture.borrow_mut() = Some(self.all());
    }

    pub fn catch_up(&self) {
        *self.picture.borrow_mut() = None;
    }

    /// Every key and value.
    pub fn all(&self) -> BTreeMap<String, String> {
        self.names()
            .into_iter()
            .filter_map(|name| Some((self.get(&name)?, name)))
            .map(|(value, name)| (name, value))
            .collect()
    }

    pub fn names(&self) -> Vec<String> {
        let mut names = Vec::new();
        let mut cursor = None;
        loop {
            let page = block_on(self.inner.list("", cursor.as_deref())).unwrap();
            names.extend(page.keys.into_iter().map(|key| key.name));
            cursor = page.cursor;
            if cursor.is_none() {
                return names;
            }
        }
    }

    pub fn names_of(&self, prefix: &str) -> Vec<String> {
        let mut names = self.names();
        names.retain(|name| name.starts_with(prefix));
        names
    }

    pub fn get(&self, key: &str) -> Option<String> {
        block_on(self.inner.read(&[key], ReadOptions::default()))
            .unwrap()
            .remove(0)
    }

    pub fn set(&self, key: &str, value: &str) {
        block_on(self.inner.put(key, value, PutOptions::default())).unwrap();
    }

    pub fn remove(&self, key: &str) {
        block_on(self.inner.delete(key)).unwrap();
    }

    /// The operations since the last call: kind and key, one line for each key.
    pub fn take_log(&self) -> Vec<(Kind, String)> {
        self.calls.borrow_mut().clear();
        self.ttls.borrow_mut().clear();
        std::mem::take(&mut self.log.borrow_mut())
    }

    /// Operations of this kind since the log was taken.
    pub fn count(&self, kind: Kind) -> usize {
        self.calls.borrow().get(&kind).copied().unwrap_or(0)
    }

    /// Operations of any kind since the log was taken.
    pub fn operations(&self) -> usize {
        self.calls.borrow().values().sum()
    }

    /// Keys named by operations of this kind since the log was taken.
    pub fn keys_of(&self, kind: Kind) -> Vec<String> {
        let log = self.log.borrow();
        let of_kind = log.iter().filter(|(of, _)| *of == kind);
        of_kind.map(|(_, key)| key.clone()).collect()
    }

    /// The time to live that the last put of `key` asked for.
    pub fn ttl(&self, key: &str) -> Option<u32> {
        *self.ttls.borrow().get(key)?
    }

    fn note(&self, kind: Kind, keys: &[&str]) {
        *self.calls.borrow_mut().entry(kind).or_default() += 1;
        let mut log = self.log.borrow_mut();
        log.extend(keys.iter().map(|key| (kind, (*key).to_owned())));
    }
}

fn failure(fault: Fault) -> ConnectorError {
    ConnectorError::new(fault.error, "the test says so")
}

impl SessionConnector for TestStore {
    fn read<'a>(
        &'a self,
        keys: &'a [&'a str],
        options: ReadOptions,
    ) -> LocalBoxFuture<'a, Result<Vec<Option<String>>, ConnectorError>> {
        Box::pin(async move {
            self.note(Kind::Read, keys);
            self.hang_if_told(Kind::Read, None).await;
            if let Some(fault) = self.fault(Kind::Read) {
                return Err(failure(fault));
            }
            if let Some(picture) = &*self.picture.borrow() {
                return Ok(keys.iter().map(|key| picture.get(*key).cloned()).collect());
            }
            self.inner.read(keys, options).await
        })
    }

    fn put<'a>(
        &'a self,
        key: &'a str,
        value: &'a str,
        options: PutOptions,
    ) -> LocalBoxFuture<'a, Result<(), ConnectorError>> {
        Box::pin(async move {
            self.note(Kind::Put, &[key]);
            self.hang_if_told(Kind::Put, Some((key, value))).await;
            self.ttls.borrow_mut().insert(key.to_owned(), options.ttl);
            let fault = self.fault(Kind::Put);
            if fault.is_none_or(|fault| fault.applied) {
                self.inner.put(key, value, options).await?;
            }
            fault.map_or(Ok(()), |fault| Err(failure(fault)))
        })
    }

    fn delete<'a>(&'a self, key: &'a str) -> LocalBoxFuture<'a, Result<(), ConnectorError>> {
        Box::pin(async move {
            self.note(Kind::Delete, &[key]);
            self.hang_if_told(Kind::Delete, None).await;
            let fault = self.fault(Kind::Delete);
            if fault.is_none_or(|fault| fault.applied) {
                self.inner.delete(key).await?;
            }
            fault.map_or(Ok(()), |fault| Err(failure(fault)))
        })
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        cursor: Option<&'a str>,
    ) -> LocalBoxFuture<'a, Result<Page, ConnectorError>> {
        Box::pin(async move {
            self.note(Kind::List, &[prefix]);
            self.hang_if_told(Kind::List, None).await;
            if let Some(fault) = self.fault(Kind::List) {
                return Err(failure(fault));
            }
            self.inner.list(prefix, cursor).await
        })
    }
}

// --- browsers ------------------------------------------------------------------------------------

/// The head of a request.
#[derive(Clone, Debug, Default)]
pub struct Head {
    pub cookie: Option<String>,
    pub method: Option<&'static str>,
    pub fetch_site: Option<&'static str>,
    pub user_agent: Option<String>,
    pub place: Option<String>,
}

impl Head {
    pub fn cookie(text: impl Into<String>) -> Self {
        Self {
            cookie: Some(text.into()),
            ..Self::default()
        }
    }

    pub fn cross_site(method: &'static str) -> Self {
        Self {
            method: Some(method),
            fetch_site: Some("cross-site"),
            ..Self::default()
        }
    }
}

impl RequestHead for Head {
    fn header(&self, name: &str) -> Option<String> {
        match name {
            "cookie" => self.cookie.clone(),
            "sec-fetch-site" => self.fetch_site.map(str::to_owned),
            "user-agent" => self.user_agent.clone(),
            _ => None,
        }
    }

    fn method(&self) -> String {
        self.method.unwrap_or("GET").to_owned()
    }

    fn place(&self) -> Option<String> {
        self.place.clone()
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Cookie {
    value: String,
    /// `None` for a cookie that ends with the browser.
    expires_at: Option<i64>,
}

/// The cookies of one browser for one site.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Jar {
    /// By name, and by the attributes that distinguish cookies of one name.
    cookies: BTreeMap<(String, String), Cookie>,
}

impl Jar {
    pub fn new() -> Self {
        Self::default()
    }

    /// Stores the `Set-Cookie` fields of one response, as in RFC 6265bis sections 5.6 and 5.7, for
    /// the fields that we write. A field that a browser would refuse fails the test.
    pub fn receive(&mut self, now: i64, fields: &[String]) {
        self.cookies
            .retain(|_, cookie| cookie.expires_at.is_none_or(|end| now < end));
        let mut names = BTreeSet::new();
        for field in fields {
            let mut parts = field.split("; ");
            let (name, value) = parts.next().unwrap().split_once('=').expect("a pair");
            assert!(name.len() + value.len() <= 4096, "{name} is too long");
            let mut max_age = None;
            let attributes: Vec<&str> = parts.collect();
            let apart = |part: &&&str| part.starts_with("Domain=") || **part == "Partitioned";
            let apart: Vec<&str> = attributes.iter().filter(apart).copied().collect();
            let id = (name.to_owned(), apart.join("; "));
            assert!(
                names.insert(id.clone()),
                "{name} is set twice in one answer"
            );
            for attribute in &attributes {
                if let Some(seconds) = attribute.strip_prefix("Max-Age=") {
                    max_age = Some(seconds.parse::<i64>().unwrap().min(34_560_000));
                }
            }
            assert!(attributes.contains(&"HttpOnly"), "{field}");
            if name.starts_with("__Host-") {
                assert!(attributes.contains(&"Secure"), "{field}");
                assert!(attributes.contains(&"Path=/"), "{field}");
                assert!(!field.contains("Domain="), "{field}");
            }
            match max_age {
                Some(seconds) if seconds <= 0 => {
                    self.cookies.remove(&id);
                }
                _ => {
                    let expires_at = max_age.map(|seconds| now + seconds * SECOND);
                    let value = value.to_owned();
                    let cookie = Cookie { value, expires_at };
                    self.cookies.insert(id, cookie);
                }
            }
        }
    }

    /// The Cookie header of the next request.
    pub fn header(&self, now: i64) -> Option<String> {
        let live = self
            .cookies
            .iter()
            .filter(|(_, cookie)| cookie.expires_at.is_none_or(|end| now < end));
        let pairs: Vec<String> = live
            .map(|((name, _), cookie)| format!("{name}={}", cookie.value))
            .collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }

    pub fn head(&self, now: i64) -> Head {
        Head {
            cookie: self.header(now),
            ..Head::default()
        }
    }

    pub fn value(&self, name: &str) -> Option<&str> {
        self.values(name).next()
    }

    /// The values of all cookies with this name.
    pub fn values(&self, name: &str) -> impl Iterator<Item = &str> {
        let named = self.cookies.iter().filter(move |((of, _), _)| of == name);
        named.map(|(_, cookie)| &*cookie.value)
    }

    pub fn put(&mut self, name: &str, value: &str) {
        let value = value.to_owned();
        let expires_at = None;
        let id = (name.to_owned(), String::new());
        self.cookies.insert(id, Cookie { value, expires_at });
    }

    /// A browser that ignores the age of a cookie.
    pub fn keep_forever(&mut self, name: &str) {
        let id = (name.to_owned(), String::new());
        if let Some(cookie) = self.cookies.get_mut(&id) {
            cookie.expires_at = None;
        }
    }

    pub fn forget(&mut self, name: &str) -> bool {
        let before = self.cookies.len();
        self.cookies.retain(|(of, _), _| of != name);
        self.cookies.len() < before
    }

    /// Drops cookies without an age.
    pub fn close_browser(&mut self) {
        self.cookies.retain(|_, cookie| cookie.expires_at.is_some());
    }

    pub fn names(&self) -> Vec<&str> {
        self.cookies.keys().map(|(name, _)| name.as_str()).collect()
    }

    /// Also stores the cookies of `other`, as if a host had set them with other attributes.
    pub fn add_twins(&mut self, other: &Self, apart: &str) {
        for ((name, _), cookie) in &other.cookies {
            let id = (name.clone(), apart.to_owned());
            self.cookies.insert(id, cookie.clone());
        }
    }
}

// --- the world -----------------------------------------------------------------------------------

/// A Worker with its namespace.
#[derive(Clone)]
pub struct World {
    pub clock: ManualClock,
    pub runtime: Rc<TestRuntime>,
    pub store: TestStore,
    pub sessions: Sessions,
}

/// Fails the test if it left a fault unused: it would have tested nothing.
impl Drop for TestStore {
    fn drop(&mut self) {
        if Rc::strong_count(&self.hangs) == 1 && !std::thread::panicking() {
            let left = self.hangs.take();
            assert!(left.is_empty(), "never asked for: {left:?}");
        }
    }
}

impl World {
    pub fn new() -> Self {
        Self::with(Settings::default())
    }

    pub fn with(settings: Settings) -> Self {
        Self::seeded(settings, 42)
    }

    /// Two worlds of one seed draw the same tokens.
    pub fn seeded(settings: Settings, seed: u64) -> Self {
        let clock = ManualClock::new(START);
        let runtime = TestRuntime::new(clock.clone(), seed);
        let store = TestStore::new(clock.clone());
        let sessions = sessions(SECRET, settings, &store, &runtime);
        Self {
            clock,
            runtime,
            store,
            sessions,
        }
    }

    /// Another isolate of the same Worker: the same namespace and time, nothing else in common.
    pub fn elsewhere(&self) -> Self {
        self.reconfigured(SECRET, self.sessions.settings().clone())
    }

    pub fn reconfigured(&self, secrets: &str, settings: Settings) -> Self {
        let sessions = sessions(secrets, settings, &self.store, &self.runtime);
        Self {
            sessions,
            ..self.clone()
        }
    }

    pub fn now(&self) -> i64 {
        self.clock.now()
    }

    pub fn advance(&self, milliseconds: i64) {
        self.clock.advance(milliseconds);
    }

    pub fn load(&self, head: Head) -> SessionStore {
        block_on(self.sessions.load(head))
    }

    pub fn open(&self, jar: &Jar) -> SessionStore {
        self.load(jar.head(self.now()))
    }

    pub fn try_commit(
        &self,
        session: &mut SessionStore,
        status: u16,
    ) -> Result<CommitHeaders, SessionError> {
        block_on(self.sessions.commit(session, status))
    }

    pub fn commit(&self, session: &mut SessionStore) -> CommitHeaders {
        self.try_commit(session, 200).expect("a commit")
    }

    /// One request: load, `page`, commit, cookies.
    pub fn visit<T>(&self, jar: &mut Jar, page: impl FnOnce(&mut SessionStore) -> T) -> T {
        let mut session = self.open(jar);
        let result = page(&mut session);
        let headers = self.commit(&mut session);
        jar.receive(self.now(), headers.set_cookie());
        result
    }

    /// A browser with a session that contains `{"a":1}`; the log starts empty.
    pub fn visitor(&self) -> Jar {
        let mut jar = Jar::new();
        self.visit(&mut jar, |session| session.set("a", 1).unwrap());
        self.store.take_log();
        jar
    }

    /// A browser logged in as `owner`, with `{"a":1}`; the log starts empty.
    pub fn member(&self, owner: &str) -> Jar {
        let mut jar = Jar::new();
        self.visit(&mut jar, |session| {
            session.bind_with(owner, Keep::Nothing).unwrap();
            session.set("a", 1).unwrap();
        });
        self.store.take_log();
        jar
    }

    pub fn session_key(&self, jar: &Jar) -> KeyParts {
        let session = self.open(jar);
        KeyParts::of(&session)
    }
}

fn sessions(
    secrets: &str,
    settings: Settings,
    store: &TestStore,
    runtime: &Rc<TestRuntime>,
) -> Sessions {
    let ring = SecretRing::parse(secrets).unwrap();
    let runtime = Rc::clone(runtime);
    Sessions::builder(store.clone(), ring)
        .settings(settings)
        .runtime(runtime)
        .build()
        .unwrap()
}

/// A session key of the right form, but without an authentic tag.
pub fn forged_key() -> SessionKey {
    let id = "A".repeat(22);
    format!("-.{id}.{id}.{id}").parse().unwrap()
}

/// What a login keeps, from a word in a test's table.
pub fn keep(data: bool) -> Keep {
    if data { Keep::Data } else { Keep::Nothing }
}

/// The parts of a session key, and the names that they give in the namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyParts {
    pub owner: String,
    pub lineage: String,
    pub derived: String,
    /// The tag that authenticates the other three.
    pub tag: String,
}

impl KeyParts {
    pub fn of(session: &SessionStore) -> Self {
        Self::parse(session.session_key().unwrap().expect("a session key"))
    }

    pub fn parse(text: impl AsRef<str>) -> Self {
        let text = text.as_ref();
        let parts: Vec<&str> = text.split('.').collect();
        let [owner, lineage, derived, tag] = parts[..] else {
            panic!("{text} does not have four parts");
        };
        Self {
            owner: owner.to_owned(),
            lineage: lineage.to_owned(),
            derived: derived.to_owned(),
            tag: tag.to_owned(),
        }
    }

    /// The key as the API takes it.
    pub fn key(&self) -> SessionKey {
        self.text().parse().expect("the form of a session key")
    }

    pub fn text(&self) -> String {
        let Self {
            owner,
            lineage,
            derived,
            tag,
        } = self;
        format!("{owner}.{lineage}.{derived}.{tag}")
    }

    pub fn record(&self) -> String {
        format!("s.{}.{}.{}", self.owner, self.lineage, self.derived)
    }

    pub fn dead_key(&self) -> String {
        format!("k.{}", self.derived)
    }

    pub fn dead_first_key(&self) -> String {
        format!("k.{}", self.lineage)
    }

    pub fn dead_lineage(&self) -> String {
        format!("l.{}", self.lineage)
    }

    pub fn owner_marker(&self) -> String {
        format!("o.{}", self.owner)
    }
}

/// An instant, in milliseconds after 1970-01-01 UTC.
pub fn instant(milliseconds: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(milliseconds.try_into().unwrap())
}

/// Runs a future that waits only for the test's own runtime.
pub fn run<T>(future: impl Future<Output = T>) -> T {
    block_on(future)
}

pub fn destroy(session: &mut SessionStore) -> Result<(), SessionError> {
    run(session.destroy())
}

pub fn save(session: &mut SessionStore) -> Result<(), SessionError> {
    run(session.save())
}

/// The code of a failure.
pub fn code<T>(result: Result<T, SessionError>) -> Option<ErrorCode> {
    result.err().map(|error| error.code())
}

/// Keys and JSON texts, in order.
pub fn contents(session: &SessionStore) -> Vec<(String, String)> {
    session
        .iter()
        .expect("a readable session")
        .map(|(key, text)| (key.to_owned(), text.to_owned()))
        .collect()
}

/// Like [`shown`], with the keys sorted, because the order of keys that two requests added at once
/// is unspecified.
pub fn sorted(session: &SessionStore) -> String {
    let mut pairs = contents(session);
    pairs.sort();
    join(&pairs)
}

/// `contents` as one text, for short assertions: `a=1 b=2`.
pub fn shown(session: &SessionStore) -> String {
    join(&contents(session))
}

fn join(pairs: &[(String, String)]) -> String {
    let pairs: Vec<String> = pairs
        .iter()
        .map(|(key, text)| format!("{key}={text}"))
        .collect();
    pairs.join(" ")
}

/// The names of the cookies that a response sets or removes.
pub fn cookie_names(headers: &CommitHeaders) -> Vec<&str> {
    headers
        .set_cookie()
        .iter()
        .map(|field| field.split('=').next().unwrap())
        .collect()
}
