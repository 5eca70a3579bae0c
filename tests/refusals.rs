//! The result of every method in every state of a session: a value or the code of an error, and the
//! result of a commit after it. Compared with `tests/golden/refusals-rust.txt`, which
//! `EDGE_SESSION_UPDATE=1 cargo test --no-default-features --test native refusals::` writes.
//! `tests/package/refusals.test.mjs` does the same in JavaScript, with the same names of states and
//! methods, and lists the differences. The header of a state has the error that the session
//! returned so far, the result of a commit, and what can be read after it. The line of a method
//! repeats them if the method has changed them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Waker};
use std::time::{Duration, SystemTime};

use crate::common::{self, *};
use crate::golden;
use edge_session::connector::{
    ConnectorError, ConnectorErrorKind, Page, PutOptions, ReadOptions, SessionConnector,
};
use edge_session::{Keep, SecretRing, SessionError, SessionKey, SessionStore, Sessions, Settings};
use futures_util::future::LocalBoxFuture;

/// The test's store, which can leave puts unanswered.
struct Hanging {
    store: TestStore,
    hangs: Rc<Cell<bool>>,
}

impl SessionConnector for Hanging {
    fn read<'a>(
        &'a self,
        keys: &'a [&'a str],
        options: ReadOptions,
    ) -> LocalBoxFuture<'a, Result<Vec<Option<String>>, ConnectorError>> {
        self.store.read(keys, options)
    }

    fn put<'a>(
        &'a self,
        key: &'a str,
        value: &'a str,
        options: PutOptions,
    ) -> LocalBoxFuture<'a, Result<(), ConnectorError>> {
        if self.hangs.get() {
            return Box::pin(std::future::pending());
        }
        self.store.put(key, value, options)
    }

    fn delete<'a>(&'a self, key: &'a str) -> LocalBoxFuture<'a, Result<(), ConnectorError>> {
        self.store.delete(key)
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        cursor: Option<&'a str>,
    ) -> LocalBoxFuture<'a, Result<Page, ConnectorError>> {
        self.store.list(prefix, cursor)
    }
}

/// A world with one browser, and the arguments that the methods need.
struct Stage {
    world: World,
    hangs: Rc<Cell<bool>>,
    jar: Jar,
    /// The session key of another browser's session.
    another: SessionKey,
}

impl Stage {
    fn new(settings: Settings) -> Self {
        let (world, hangs) = (World::with(settings), Rc::default());
        let mut stage = Self {
            another: world.session_key(&world.visitor()).key(),
            world,
            hangs,
            jar: Jar::new(),
        };
        stage.elsewhere();
        stage
    }

    /// Continues in another isolate.
    fn elsewhere(&mut self) {
        let connector = Hanging {
            store: self.world.store.clone(),
            hangs: Rc::clone(&self.hangs),
        };
        let ring = SecretRing::parse(SECRET).unwrap();
        let settings = self.world.sessions.settings().clone();
        let runtime = self.world.runtime.clone();
        let sessions = Sessions::builder(connector, ring)
            .settings(settings)
            .runtime(runtime)
            .build();
        self.world.sessions = sessions.unwrap();
    }

    /// A browser whose session has two values and a flash value.
    fn visitor() -> Self {
        Self::visitor_of(Settings::default())
    }

    fn visitor_of(settings: Settings) -> Self {
        let mut stage = Self::new(settings);
        stage.visit(fill);
        stage.elsewhere();
        stage
    }

    /// The same, logged in.
    fn member() -> Self {
        let mut stage = Self::new(Settings::default());
        stage.visit(|session| {
            session.bind_with("ada", Keep::Nothing).unwrap();
            fill(session);
        });
        stage.elsewhere();
        stage
    }

    fn visit(&mut self, page: impl FnOnce(&mut SessionStore)) {
        let mut jar = std::mem::take(&mut self.jar);
        self.world.visit(&mut jar, page);
        self.jar = jar;
    }

    fn open(&self) -> SessionStore {
        self.world.sessions.open(self.jar.head(self.world.now()))
    }

    fn load(&self) -> SessionStore {
        self.world.open(&self.jar)
    }

    fn wait(&self, milliseconds: i64) {
        self.world.advance(milliseconds);
    }

    fn no_quota(&self, kind: Kind) {
        let error = ConnectorErrorKind::Quota;
        self.world.store.fail(kind, usize::MAX, error);
    }
}

fn fill(session: &mut SessionStore) {
    session.set("a", 1).unwrap();
    session.set("z", 2).unwrap();
    session.flash("f", "x").unwrap();
}

type Setup = fn() -> (Stage, SessionStore);

fn with(stage: Stage, change: impl FnOnce(&Stage, &mut SessionStore)) -> (Stage, SessionStore) {
    let mut session = stage.load();
    change(&stage, &mut session);
    (stage, session)
}

fn loaded(change: impl FnOnce(&Stage, &mut SessionStore)) -> (Stage, SessionStore) {
    with(Stage::visitor(), change)
}

fn new(change: impl FnOnce(&Stage, &mut SessionStore)) -> (Stage, SessionStore) {
    with(Stage::new(Settings::default()), change)
}

fn without_overlay() -> Settings {
    Settings::default().with_overlay(false)
}

fn head(text: String) -> (Stage, SessionStore) {
    let stage = Stage::new(Settings::default());
    let session = stage.world.load(Head::cookie(text));
    (stage, session)
}

const STATES: &[(&str, Setup)] = &[
    ("unloaded, no cookie", || {
        let stage = Stage::new(Settings::default());
        let session = stage.open();
        (stage, session)
    }),
    ("unloaded", || {
        let stage = Stage::visitor();
        let session = stage.open();
        (stage, session)
    }),
    ("new", || new(|_, _| {})),
    ("new, changed", || new(|_, it| it.set("b", 2).unwrap())),
    ("new, cross-site", || {
        let stage = Stage::new(Settings::default());
        let session = stage.world.load(Head::cross_site("POST"));
        (stage, session)
    }),
    ("loaded", || loaded(|_, _| {})),
    ("loaded, changed", || {
        loaded(|_, it| it.set("b", 2).unwrap())
    }),
    ("loaded, changed, said to be unmodified", || {
        loaded(|_, it| {
            it.set("b", 2).unwrap();
            it.set_modified(false).unwrap();
        })
    }),
    ("loaded, owned", || with(Stage::member(), |_, _| {})),
    ("saved", || {
        loaded(|_, it| {
            it.set("b", 2).unwrap();
            save(it).unwrap();
        })
    }),
    ("saved, changed", || {
        loaded(|_, it| {
            it.set("b", 2).unwrap();
            save(it).unwrap();
            it.set("c", 3).unwrap();
        })
    }),
    ("new, saved", || {
        new(|_, it| {
            it.set("b", 2).unwrap();
            save(it).unwrap();
        })
    }),
    ("save failed", || {
        loaded(|stage, it| {
            stage.no_quota(Kind::Put);
            it.set("b", 2).unwrap();
            save(it).unwrap_err();
            stage.world.store.mend();
        })
    }),
    ("save dropped", || {
        loaded(|stage, it| {
            it.set("b", 2).unwrap();
            drop_first_poll(stage, it.save());
        })
    }),
    ("committed", || {
        loaded(|stage, it| {
            it.set("b", 2).unwrap();
            drop(stage.world.commit(it));
        })
    }),
    ("committed, untouched", || {
        loaded(|stage, it| drop(stage.world.commit(it)))
    }),
    ("committed, unloaded", || {
        let stage = Stage::visitor();
        let mut session = stage.open();
        drop(stage.world.commit(&mut session));
        (stage, session)
    }),
    ("committed with 500", || {
        loaded(|stage, it| {
            it.set("b", 2).unwrap();
            drop(stage.world.try_commit(it, 500));
        })
    }),
    ("commit failed", || {
        loaded(|stage, it| {
            stage.no_quota(Kind::Put);
            it.set("b", 2).unwrap();
            stage.world.try_commit(it, 200).unwrap_err();
            stage.world.store.mend();
        })
    }),
    ("created", || new(|_, it| it.create().unwrap())),
    ("created over a loaded one", || {
        loaded(|_, it| it.create().unwrap())
    }),
    ("cycled", || loaded(|_, it| it.cycle_key().unwrap())),
    ("cycled, new", || new(|_, it| it.cycle_key().unwrap())),
    ("bound", || loaded(|_, it| it.bind("ada").unwrap())),
    ("bound, nothing kept", || {
        loaded(|_, it| it.bind_with("ada", Keep::Nothing).unwrap())
    }),
    ("bound, new", || new(|_, it| it.bind("ada").unwrap())),
    ("bound over another owner", || {
        with(Stage::member(), |_, it| it.bind("bob").unwrap())
    }),
    ("destroyed", || loaded(|_, it| destroy(it).unwrap())),
    ("destroyed, new", || new(|_, it| destroy(it).unwrap())),
    ("destroyed, unloaded", || {
        let stage = Stage::visitor();
        let mut session = stage.open();
        destroy(&mut session).unwrap();
        (stage, session)
    }),
    ("destroyed, marker not stored", || {
        loaded(|stage, it| {
            stage.no_quota(Kind::Put);
            destroy(it).unwrap_err();
        })
    }),
    ("destroyed, then bound", || {
        loaded(|_, it| {
            destroy(it).unwrap();
            it.bind("ada").unwrap();
        })
    }),
    ("flushed", || loaded(|_, it| run(it.flush()).unwrap())),
    ("flushed, one kept", || {
        loaded(|_, it| run(it.flush_keeping(["a"])).unwrap())
    }),
    ("flushed, marker not stored", || {
        loaded(|stage, it| {
            stage.no_quota(Kind::Put);
            run(it.flush_keeping(["a"])).unwrap_err();
        })
    }),
    ("loaded again after a change", || {
        loaded(|_, it| {
            it.set("b", 2).unwrap();
            it.remove("z").unwrap();
            run(it.load_fresh()).unwrap();
        })
    }),
    ("loaded again after a change here and elsewhere", || {
        let mut stage = Stage::visitor();
        let mut session = stage.load();
        session.set("b", 2).unwrap();
        stage.elsewhere();
        stage.wait(2 * SECOND);
        stage.visit(|it| it.set("a", 9).unwrap());
        run(session.load_fresh()).unwrap();
        (stage, session)
    }),
    ("loaded again, ended elsewhere", || {
        let mut stage = Stage::visitor();
        let mut session = stage.load();
        session.set("b", 2).unwrap();
        stage.elsewhere();
        stage.visit(|it| destroy(it).unwrap());
        let _ = run(session.load_fresh());
        (stage, session)
    }),
    ("loaded, ended elsewhere", || {
        let mut stage = Stage::visitor();
        let mut session = stage.load();
        session.set("b", 2).unwrap();
        stage.elsewhere();
        stage.wait(2 * SECOND);
        stage.visit(|it| destroy(it).unwrap());
        (stage, session)
    }),
    ("its end passed meanwhile", || {
        loaded(|stage, it| {
            it.set_expiry(60).unwrap();
            save(it).unwrap();
            it.set("b", 2).unwrap();
            stage.wait(61 * SECOND);
        })
    }),
    ("rotated", || {
        let mut stage = Stage::visitor();
        let old = stage.jar.clone();
        stage.visit(|it| it.cycle_key().unwrap());
        stage.jar = old;
        stage.elsewhere();
        with(stage, |_, _| {})
    }),
    ("rotated, after W", || {
        let mut stage = Stage::visitor();
        let old = stage.jar.clone();
        stage.visit(|it| it.cycle_key().unwrap());
        stage.jar = old;
        stage.elsewhere();
        stage.wait(WINDOW);
        with(stage, |_, _| {})
    }),
    ("pending", || {
        let mut stage = Stage::new(without_overlay());
        stage.world.store.lag();
        stage.visit(fill);
        stage.elsewhere();
        with(stage, |_, _| {})
    }),
    ("stale", || {
        let mut stage = Stage::visitor_of(without_overlay());
        stage.world.store.lag();
        stage.wait(HOUR);
        stage.visit(|it| it.set("a", 9).unwrap());
        stage.elsewhere();
        with(stage, |_, _| {})
    }),
    ("gone", || {
        let mut stage = Stage::new(without_overlay());
        stage.world.store.lag();
        stage.visit(fill);
        stage.elsewhere();
        stage.wait(WINDOW);
        with(stage, |_, _| {})
    }),
    ("expired", || {
        let mut stage = Stage::visitor();
        stage.visit(|it| it.set_expiry(60).unwrap());
        stage.wait(61 * SECOND);
        with(stage, |_, _| {})
    }),
    ("revoked", || {
        let mut stage = Stage::visitor();
        let old = stage.jar.clone();
        stage.visit(|it| destroy(it).unwrap());
        stage.jar = old;
        stage.elsewhere();
        with(stage, |_, _| {})
    }),
    ("revoked, after W", || {
        let mut stage = Stage::visitor();
        let old = stage.jar.clone();
        stage.visit(|it| destroy(it).unwrap());
        stage.jar = old;
        stage.elsewhere();
        stage.wait(WINDOW);
        with(stage, |_, _| {})
    }),
    ("tombstone", || {
        let mut stage = Stage::visitor();
        stage.no_quota(Kind::Put);
        stage.visit(|it| drop(destroy(it)));
        stage.world.store.mend();
        with(stage, |_, _| {})
    }),
    ("tombstone, marker not stored", || {
        let mut stage = Stage::visitor();
        stage.no_quota(Kind::Put);
        stage.visit(|it| drop(destroy(it)));
        with(stage, |_, _| {})
    }),
    ("rejected", || head(format!("{KEY}=forged"))),
    ("header too large", || {
        head(format!("{KEY}=forged; x={}", "x".repeat(70_000)))
    }),
    ("ambiguous", || {
        let (mut stage, mut both) = (Stage::new(Settings::default()), Vec::new());
        for _ in 0..2 {
            stage.jar = Jar::new();
            stage.visit(fill);
            both.push(format!("{KEY}={}", stage.jar.value(KEY).unwrap()));
        }
        stage.elsewhere();
        let session = stage.world.load(Head::cookie(both.join("; ")));
        (stage, session)
    }),
    ("corrupt", || damaged("not a record")),
    // The first byte of a record is its format.
    ("unavailable", || damaged("_wAAAAAA")),
    ("unavailable, quota", || {
        let stage = Stage::visitor();
        stage.no_quota(Kind::Read);
        let session = stage.load();
        stage.world.store.mend();
        (stage, session)
    }),
];

fn damaged(record: &str) -> (Stage, SessionStore) {
    let mut stage = Stage::visitor();
    stage.jar.forget(FRESH);
    let name = stage.world.session_key(&stage.jar).record();
    stage.elsewhere();
    stage.world.store.set(&name, record);
    with(stage, |_, _| {})
}

/// Runs a step until it waits for the store, and then drops it.
fn drop_first_poll(stage: &Stage, step: impl Future<Output = Result<(), SessionError>>) {
    stage.hangs.set(true);
    let polled = pin!(step).poll(&mut Context::from_waker(Waker::noop()));
    assert!(polled.is_pending(), "it waits for a put");
    stage.hangs.set(false);
}

type Method = fn(&Stage, &mut SessionStore) -> Result<String, SessionError>;

fn ok(result: Result<(), SessionError>) -> Result<String, SessionError> {
    result.map(|()| String::new())
}

fn value<T: Display>(result: Result<T, SessionError>) -> Result<String, SessionError> {
    result.map(|value| value.to_string())
}

fn optional<T: Display>(value: Option<T>) -> String {
    value.map_or("none".to_owned(), |value| value.to_string())
}

fn since(at: SystemTime) -> String {
    format!("{:+}", ms(at) - START)
}

fn some(text: Option<String>) -> String {
    if text.is_some() { "some" } else { "none" }.to_owned()
}

const METHODS: &[(&str, Method)] = &[
    // Reading.
    ("get", |_, it| value(it.get::<i32>("a").map(optional))),
    ("get of an absent key", |_, it| {
        value(it.get::<i32>("none").map(optional))
    }),
    ("require", |_, it| value(it.require::<i32>("a"))),
    ("require of an absent key", |_, it| {
        value(it.require::<i32>("none"))
    }),
    ("contains_key", |_, it| value(it.contains_key("a"))),
    ("len", |_, it| value(it.len())),
    ("is_empty", |_, it| value(it.is_empty())),
    ("keys", |_, it| {
        value(it.keys().map(|keys| keys.collect::<Vec<_>>().join(" ")))
    }),
    ("values", |_, it| {
        value(it.values().map(|all| all.collect::<Vec<_>>().join(" ")))
    }),
    ("iter", |_, it| {
        value(it.iter().map(|pairs| {
            let pairs = pairs.map(|(key, text)| format!("{key}={text}"));
            pairs.collect::<Vec<_>>().join(" ")
        }))
    }),
    ("data", |_, it| {
        let data = it.data::<BTreeMap<String, i32>>()?;
        Ok(serde_json::to_string(&data).unwrap())
    }),
    // Changing.
    ("set", |_, it| ok(it.set("n", 5))),
    ("set of an equal value", |_, it| ok(it.set("a", 1))),
    ("set of a key that is too long", |_, it| {
        ok(it.set(&"k".repeat(5_000), 1))
    }),
    ("remove", |_, it| value(it.remove("a"))),
    ("remove of an absent key", |_, it| value(it.remove("none"))),
    ("pop", |_, it| value(it.pop::<i32>("a"))),
    ("pop_or", |_, it| value(it.pop_or("none", 7))),
    ("popitem", |_, it| {
        value(it.popitem().map(|(key, text)| format!("{key}={text}")))
    }),
    ("update", |_, it| ok(it.update([("n", 5), ("m", 6)]))),
    ("set_data", |_, it| {
        ok(it.set_data(&BTreeMap::from([("n", 5)])))
    }),
    ("clear", |_, it| ok(it.clear())),
    ("setdefault", |_, it| value(it.setdefault("a", 7))),
    ("setdefault of an absent key", |_, it| {
        value(it.setdefault("n", 7))
    }),
    ("flash", |_, it| ok(it.flash("g", "y"))),
    ("take_flash", |_, it| {
        value(it.take_flash::<String>("f").map(optional))
    }),
    ("take_flash of an absent key", |_, it| {
        value(it.take_flash::<String>("none").map(optional))
    }),
    // Facts about the session.
    ("outcome", |_, it| {
        value(it.outcome().map(|found| found.as_str()))
    }),
    ("session_key", |_, it| {
        value(
            it.session_key()
                .map(|key| some(key.map(|key| key.to_string()))),
        )
    }),
    ("is_new", |_, it| value(it.is_new())),
    ("accessed", |_, it| Ok(it.accessed().to_string())),
    ("version", |_, it| value(it.version())),
    ("created_at", |_, it| {
        value(it.created_at().map(|at| optional(at.map(since))))
    }),
    ("owner", |_, it| value(it.owner().map(optional))),
    ("auth_time", |_, it| {
        value(it.auth_time().map(|at| optional(at.map(since))))
    }),
    ("require_recent_auth", |_, it| {
        ok(it.require_recent_auth(seconds(300)))
    }),
    ("modified", |_, it| Ok(it.modified().to_string())),
    ("set_modified true", |_, it| ok(it.set_modified(true))),
    ("set_modified false", |_, it| ok(it.set_modified(false))),
    ("needs_update", |_, it| Ok(it.needs_update().to_string())),
    ("get_expiry_age", |_, it| {
        value(it.get_expiry_age().map(|left| left.as_secs()))
    }),
    ("get_expiry_date", |_, it| {
        value(it.get_expiry_date().map(since))
    }),
    ("idle_expires_at", |_, it| {
        value(it.idle_expires_at().map(|at| optional(at.map(since))))
    }),
    ("get_expire_at_browser_close", |_, it| {
        value(it.get_expire_at_browser_close())
    }),
    ("set_expiry", |_, it| ok(it.set_expiry(600))),
    ("set_expiry at browser close", |_, it| ok(it.set_expiry(0))),
    ("set_expiry in the past", |_, it| ok(it.set_expiry(-5))),
    ("set_expiry idle", |_, it| {
        ok(it.set_expiry(Duration::from_secs(60)))
    }),
    ("refusal", |_, it| Ok(refusal(it))),
    ("csrf_token", |_, it| {
        value(it.csrf_token().map(|text| text.len()))
    }),
    ("verify_csrf", |_, it| ok(it.verify_csrf("odd"))),
    // Intents.
    ("generate_session_id", |_, it| {
        value(it.generate_session_id().map(|text| text.len()))
    }),
    ("create", |_, it| ok(it.create())),
    ("cycle_key", |_, it| ok(it.cycle_key())),
    ("reauthenticate", |_, it| ok(it.reauthenticate())),
    ("bind", |_, it| ok(it.bind_with("cleo", Keep::Nothing))),
    ("bind, keep", |_, it| ok(it.bind("cleo"))),
    ("bind of no user id", |_, it| ok(it.bind(""))),
    // Steps.
    ("load", |_, it| value(run(it.load()).map(|it| it.as_str()))),
    ("load_fresh", |_, it| {
        value(run(it.load_fresh()).map(|it| it.as_str()))
    }),
    ("save", |_, it| ok(save(it))),
    ("destroy", |_, it| ok(destroy(it))),
    ("flush", |_, it| ok(run(it.flush()))),
    ("flush, keep", |_, it| ok(run(it.flush_keeping(["a"])))),
    ("exists", |_, it| value(run(it.exists()))),
    ("exists of another", |stage, it| {
        value(run(it.exists_key(&stage.another)))
    }),
    ("exists of what is no key", |_, it| {
        value(run(it.exists_key(&common::forged_key())))
    }),
    ("delete", |_, it| ok(run(it.delete()))),
    ("delete of another", |stage, it| {
        ok(run(it.delete_key(&stage.another)))
    }),
    ("delete of itself by key", |_, it| {
        let key = it.session_key().ok().flatten();
        let key = key.unwrap_or_else(common::forged_key);
        ok(run(it.delete_key(&key)))
    }),
];

fn refusal(session: &SessionStore) -> String {
    let code = session.refusal().map(|error| error.code().as_str());
    optional(code)
}

/// The result of a commit: the cookies that it sets and removes.
fn commit(stage: &Stage, session: &mut SessionStore, status: u16) -> String {
    let (how, headers) = match stage.world.try_commit(session, status) {
        Ok(headers) => ("ok", headers),
        Err(error) => (error.code().as_str(), session.done_headers()),
    };
    let cookies = headers.set_cookie().iter().map(|field| {
        let pair = field.split(';').next().unwrap();
        let (name, value) = pair.split_once('=').unwrap();
        let kind = match name.strip_prefix(KEY).unwrap() {
            "" if !value.is_empty() && golden::decode(value)[5] >= 2 => "tombstone",
            "" => "key",
            kind => &kind[1..],
        };
        let sign = if value.is_empty() { '-' } else { '+' };
        format!(" {sign}{kind}")
    });
    format!("{how}{}", cookies.collect::<String>())
}

/// The result of a method, and the state after it.
fn row(setup: Setup, method: Method) -> (String, String) {
    let (stage, mut session) = setup();
    let answer = match method(&stage, &mut session) {
        Ok(value) if value.is_empty() => "ok".to_owned(),
        Ok(value) => format!("ok {value}"),
        Err(error) => error.code().as_str().to_owned(),
    };
    let refusal = refusal(&session);
    let committed = commit(&stage, &mut session, 200);
    let shown = session.iter().map(|pairs| {
        let pairs = pairs.map(|(key, text)| format!(" {key}={text}"));
        pairs.collect::<String>()
    });
    let shown = shown.unwrap_or_else(|error| format!(" {}", error.code().as_str()));
    let after = format!("refusal {refusal}; commit {committed}; shows{shown}");
    (answer, after)
}

#[test]
fn every_method_in_every_state() {
    let mut text = String::new();
    for (state, setup) in STATES {
        let (_, usual) = row(*setup, |_, _| Ok(String::new()));
        let (stage, mut session) = setup();
        let failed = commit(&stage, &mut session, 500);
        text.push_str(&format!("--- {state}: {usual}; commit of a 500 {failed}\n"));
        for (name, method) in METHODS {
            let (answer, after) = row(*setup, *method);
            let after = if after == usual {
                String::new()
            } else {
                format!("; {after}")
            };
            text.push_str(&format!("{name}: {answer}{after}\n"));
        }
        text.push('\n');
    }
    golden::compare("refusals-rust.txt", &text);
}
