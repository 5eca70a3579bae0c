//! A world whose store has transactions, with events between them on demand.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use edge_session::connector::{
    Check, ConnectorError, ConnectorErrorKind, ManualClock, Page, Row, StrongConnector,
    StrongMemory, Transacted, Write,
};
use edge_session::{
    CommitHeaders, Keep, SecretRing, SessionError, SessionStore, Sessions, Settings,
};
use futures_util::future::LocalBoxFuture;

use super::{Jar, KeyParts, SECRET, START, TestRuntime};

/// Runs a future that waits only for the test's own runtime; also works inside such a future.
pub fn run<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..10_000 {
        if let Poll::Ready(done) = future.as_mut().poll(&mut context) {
            return done;
        }
    }
    panic!("it waits for something that never comes");
}

/// The events and faults of transactions.
enum Plan {
    /// Something else happens before it is applied.
    Before(Box<dyn FnOnce()>),
    /// Something else happens after it was applied, before its answer arrives.
    After(Box<dyn FnOnce()>),
    /// It is applied, but reported as failed.
    LoseAnswer,
    /// It is not applied.
    Fail(ConnectorErrorKind),
    /// A row has changed, and has changed back when it is read.
    Conflict,
}

struct Planned {
    /// A prefix of the shard's name.
    shard: &'static str,
    /// Successful transactions there before it.
    after: usize,
    times: usize,
    plan: Option<Plan>,
}

/// A [`StrongMemory`] with planned events and faults.
#[derive(Clone)]
pub struct Objects {
    pub memory: StrongMemory,
    plans: Rc<RefCell<Vec<Planned>>>,
    /// The number of reads that will fail.
    failing_reads: Rc<Cell<usize>>,
}

impl Objects {
    fn plan(&self, shard: &'static str, after: usize, times: usize, plan: Plan) {
        self.plans.borrow_mut().push(Planned {
            shard,
            after,
            times,
            plan: Some(plan),
        });
    }

    /// Runs `act` when the next transaction arrives at such a shard, before it is applied.
    pub fn before(&self, shard: &'static str, act: impl FnOnce() + 'static) {
        self.plan(shard, 0, 1, Plan::Before(Box::new(act)));
    }

    /// The same, after it was applied.
    pub fn after(&self, shard: &'static str, act: impl FnOnce() + 'static) {
        self.plan(shard, 0, 1, Plan::After(Box::new(act)));
    }

    /// The same for the transaction after the next.
    pub fn before_second(&self, shard: &'static str, act: impl FnOnce() + 'static) {
        self.plan(shard, 1, 1, Plan::Before(Box::new(act)));
    }

    /// The answers of the next transactions are lost.
    pub fn lose_answers(&self, shard: &'static str, times: usize) {
        self.plan(shard, 0, times, Plan::LoseAnswer);
    }

    /// The next transactions fail.
    pub fn fail(&self, shard: &'static str, times: usize, kind: ConnectorErrorKind) {
        self.plan(shard, 0, times, Plan::Fail(kind));
    }

    /// The next transactions after a number of others find that a row has changed.
    pub fn conflict_after(&self, shard: &'static str, after: usize, times: usize) {
        self.plan(shard, after, times, Plan::Conflict);
    }

    /// The next reads fail.
    pub fn fail_reads(&self, times: usize) {
        self.failing_reads.set(times);
    }

    /// The same, after a number of successful ones.
    pub fn fail_after(&self, shard: &'static str, after: usize, times: usize) {
        let plan = Plan::Fail(ConnectorErrorKind::Unavailable);
        self.plan(shard, after, times, plan);
    }

    /// Deletes the row of one session, as an object does to make room.
    pub fn purge(&self, key: &KeyParts) {
        let (shard, row) = (shard(key), key.record());
        let put = Write::Put {
            key: &row,
            value: "",
            metadata: None,
            revision: "",
            expires_at: 0,
            dead: false,
        };
        run(self.memory.transact(&shard, &[], &[put])).expect("a transaction");
    }

    /// Drops all planned events.
    pub fn mend(&self) {
        self.plans.borrow_mut().clear();
        self.failing_reads.set(0);
    }

    /// The planned event for a transaction of `shard`.
    fn happens(&self, shard: &str) -> Vec<Plan> {
        let mut due = Vec::new();
        let mut plans = self.plans.borrow_mut();
        for planned in plans.iter_mut().filter(|it| shard.starts_with(it.shard)) {
            if planned.after > 0 {
                planned.after -= 1;
                continue;
            }
            if planned.times == 0 {
                continue;
            }
            planned.times -= 1;
            due.extend(match &planned.plan {
                Some(Plan::LoseAnswer) => Some(Plan::LoseAnswer),
                Some(Plan::Fail(kind)) => Some(Plan::Fail(*kind)),
                Some(Plan::Conflict) => Some(Plan::Conflict),
                Some(Plan::Before(_) | Plan::After(_)) | None => planned.plan.take(),
            });
        }
        due
    }

    /// The values of a shard's rows, in the order of their keys: `live`, `rotated` or `ended`.
    pub fn states(&self, shard: &str) -> Vec<&'static str> {
        let rows = self.memory.rows(shard).into_iter();
        rows.filter(|(key, _)| key.starts_with("s."))
            .map(|(_, row)| match row.value.get(..3) {
                Some("2 x") => "ended",
                Some("2 r") => "rotated",
                _ => "live",
            })
            .collect()
    }

    /// The state of the row of one session.
    pub fn state(&self, key: &KeyParts) -> Option<&'static str> {
        let shard = shard(key);
        let rows = self.memory.rows(&shard).into_iter();
        let place = rows.filter(|(name, _)| name.starts_with("s."));
        let mut places = place.map(|(name, _)| name);
        let place = places.position(|name| name == key.record())?;
        self.states(&shard).get(place).copied()
    }
}

/// The shard of a session.
pub fn shard(key: &KeyParts) -> String {
    if key.owner == "-" {
        format!("a.{}", key.lineage)
    } else {
        format!("o.{}", key.owner)
    }
}

impl StrongConnector for Objects {
    fn kind(&self) -> &str {
        "test"
    }

    fn read<'a>(
        &'a self,
        shard: &'a str,
        keys: &'a [&'a str],
    ) -> LocalBoxFuture<'a, Result<Vec<Option<Row>>, ConnectorError>> {
        if let Some(left) = self.failing_reads.get().checked_sub(1) {
            self.failing_reads.set(left);
            let error =
                ConnectorError::new(ConnectorErrorKind::Unavailable, "as the test wants it");
            return Box::pin(async { Err(error) });
        }
        self.memory.read(shard, keys)
    }

    fn transact<'a>(
        &'a self,
        shard: &'a str,
        checks: &'a [Check<'a>],
        writes: &'a [Write<'a>],
    ) -> LocalBoxFuture<'a, Result<Transacted, ConnectorError>> {
        Box::pin(async move {
            // Like a Durable Object.
            assert!(writes.len() <= 200, "{} writes", writes.len());
            let failed = |kind| Err(ConnectorError::new(kind, "as the test wants it"));
            let (mut is_lost, mut afterwards) = (false, Vec::new());
            for plan in self.happens(shard) {
                match plan {
                    Plan::Before(act) => act(),
                    Plan::After(act) => afterwards.push(act),
                    Plan::LoseAnswer => is_lost = true,
                    Plan::Fail(kind) => return failed(kind),
                    Plan::Conflict => {
                        let keys: Vec<&str> = checks.iter().map(Check::key).collect();
                        return Ok(Transacted::Conflict(self.memory.read(shard, &keys).await?));
                    }
                }
            }
            let answer = self.memory.transact(shard, checks, writes).await?;
            for act in afterwards {
                act();
            }
            if is_lost {
                return failed(ConnectorErrorKind::Unavailable);
            }
            Ok(answer)
        })
    }

    fn list<'a>(
        &'a self,
        shard: &'a str,
        prefix: &'a str,
        cursor: Option<&'a str>,
    ) -> LocalBoxFuture<'a, Result<Page, ConnectorError>> {
        self.memory.list(shard, prefix, cursor)
    }
}

/// A Worker with its Durable Objects.
#[derive(Clone)]
pub struct StrongWorld {
    pub clock: ManualClock,
    runtime: Rc<TestRuntime>,
    pub objects: Objects,
    pub sessions: Sessions,
}

impl StrongWorld {
    pub fn new() -> Self {
        Self::with(Settings::default())
    }

    pub fn with(settings: Settings) -> Self {
        let clock = ManualClock::new(START);
        let runtime = TestRuntime::new(clock.clone(), 42);
        let objects = Objects {
            memory: StrongMemory::with_clock(clock.clone()),
            plans: Rc::default(),
            failing_reads: Rc::default(),
        };
        let sessions = sessions(SECRET, settings, &objects, &runtime);
        Self {
            clock,
            runtime,
            objects,
            sessions,
        }
    }

    /// Another isolate, with these secrets.
    pub fn reconfigured(&self, secrets: &str) -> Self {
        let settings = self.sessions.settings().clone();
        let sessions = sessions(secrets, settings, &self.objects, &self.runtime);
        Self {
            sessions,
            ..self.clone()
        }
    }

    /// The same Worker after a change of its settings.
    pub fn resettled(&self, settings: Settings) -> Self {
        let sessions = sessions(SECRET, settings, &self.objects, &self.runtime);
        Self {
            sessions,
            ..self.clone()
        }
    }

    pub fn elsewhere(&self) -> Self {
        self.reconfigured(SECRET)
    }

    pub fn now(&self) -> i64 {
        self.clock.now()
    }

    pub fn open(&self, jar: &Jar) -> SessionStore {
        run(self.sessions.load(jar.head(self.now())))
    }

    pub fn try_commit(&self, session: &mut SessionStore) -> Result<CommitHeaders, SessionError> {
        run(self.sessions.commit(session, 200))
    }

    pub fn commit(&self, session: &mut SessionStore) -> CommitHeaders {
        self.try_commit(session).expect("a commit")
    }

    /// One request: load, `page`, commit, cookies.
    pub fn visit<T>(&self, jar: &mut Jar, page: impl FnOnce(&mut SessionStore) -> T) -> T {
        let mut session = self.open(jar);
        let result = page(&mut session);
        let headers = self.commit(&mut session);
        jar.receive(self.now(), headers.set_cookie());
        result
    }

    /// A browser with a session that contains `{"a":1}`.
    pub fn visitor(&self) -> Jar {
        let mut jar = Jar::new();
        self.visit(&mut jar, |session| session.set("a", 1).unwrap());
        jar
    }

    /// A browser logged in as `owner`, with `{"a":1}`.
    pub fn member(&self, owner: &str) -> Jar {
        let mut jar = Jar::new();
        self.visit(&mut jar, |session| {
            session.bind_with(owner, Keep::Nothing).unwrap();
            session.set("a", 1).unwrap();
        });
        jar
    }

    pub fn key(&self, jar: &Jar) -> KeyParts {
        KeyParts::of(&self.open(jar))
    }
}

fn sessions(
    secrets: &str,
    settings: Settings,
    objects: &Objects,
    runtime: &Rc<TestRuntime>,
) -> Sessions {
    let ring = SecretRing::parse(secrets).unwrap();
    Sessions::strong_builder(objects.clone(), ring)
        .settings(settings)
        .runtime(Rc::clone(runtime))
        .build()
        .unwrap()
}
