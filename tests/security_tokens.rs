//! Tokens: their randomness, what they do not contain, and where they do not appear.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use crate::common::*;
use edge_session::connector::{
    ConnectorError, ManualClock, Page, PutOptions, ReadOptions, SessionConnector,
};
use edge_session::runtime::{PlatformRuntime, Runtime};
use edge_session::testing::Request;
use edge_session::{
    CookieHeader, ErrorCode, Event, EventSink, Isolate, Keep, Outcome, SecretRing, SessionError,
    SessionStore, Sessions, Settings,
};
use futures_util::future::LocalBoxFuture;

/// The bytes of base64url text.
fn bytes(text: &str) -> Vec<u8> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (mut out, mut bits, mut held) = (Vec::new(), 0u32, 0);
    for byte in text.bytes() {
        let value = ALPHABET
            .iter()
            .position(|it| *it == byte)
            .expect("base64url");
        bits = bits << 6 | value as u32;
        held += 6;
        if held >= 8 {
            held -= 8;
            out.push((bits >> held) as u8);
        }
    }
    out
}

/// The token in a key cookie: bytes 6 to 38, as docs/wire-format.md says.
fn token(jar: &Jar) -> Vec<u8> {
    bytes(jar.value(KEY).expect("a key cookie"))[6..38].to_vec()
}

// --- deployments that share a secret -------------------------------------------------------------

/// A store that names its kind.
#[derive(Clone)]
struct OfKind(TestStore, &'static str);

impl SessionConnector for OfKind {
    fn kind(&self) -> &str {
        self.1
    }

    fn read<'a>(
        &'a self,
        keys: &'a [&'a str],
        options: ReadOptions,
    ) -> LocalBoxFuture<'a, Result<Vec<Option<String>>, ConnectorError>> {
        self.0.read(keys, options)
    }

    fn put<'a>(
        &'a self,
        key: &'a str,
        value: &'a str,
        options: PutOptions,
    ) -> LocalBoxFuture<'a, Result<(), ConnectorError>> {
        self.0.put(key, value, options)
    }

    fn delete<'a>(&'a self, key: &'a str) -> LocalBoxFuture<'a, Result<(), ConnectorError>> {
        self.0.delete(key)
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        cursor: Option<&'a str>,
    ) -> LocalBoxFuture<'a, Result<Page, ConnectorError>> {
        self.0.list(prefix, cursor)
    }
}

#[test]
fn a_cookie_of_another_prefix_or_kind_of_store_is_rejected() {
    let world = World::new();
    let made = |ring: &SecretRing, kind, prefix: &str| {
        let store = Rc::new(OfKind(world.store.clone(), kind));
        let settings = Settings::default().with_key_prefix(prefix);
        let runtime = Rc::clone(&world.runtime);
        Sessions::builder(store, ring.clone())
            .settings(settings)
            .runtime(runtime)
            .build()
            .unwrap()
    };
    // One ring for all of them, as in an isolate: keys derived for one deployment must not be used
    // for another.
    let ring = SecretRing::parse(SECRET).unwrap();
    let isolate = edge_session::Isolate::new();
    let open = |kind, prefix: &str, jar: &Jar| {
        let sessions = made(&ring, kind, prefix).with_isolate(&isolate, kind);
        run(sessions.load(jar.head(world.now())))
    };
    let mut staging = Jar::new();
    let sessions = made(&ring, "kv", "staging:").with_isolate(&isolate, "kv");
    let mut session = run(sessions.load(staging.head(world.now())));
    session.bind_with("admin", Keep::Nothing).unwrap();
    let headers = run(sessions.commit(&mut session, 200)).unwrap();
    staging.receive(world.now(), headers.set_cookie());
    let key = session.session_key().unwrap().unwrap();

    assert_eq!(
        open("kv", "staging:", &staging).outcome().unwrap(),
        Outcome::Loaded
    );
    for (kind, prefix) in [
        ("kv", ""),
        ("kv", "live:"),
        ("memory", "staging:"),
        ("custom", "staging:"),
    ] {
        world.store.take_log();
        let live = open(kind, prefix, &staging);
        assert_eq!(
            live.outcome().unwrap(),
            Outcome::Rejected,
            "{kind} {prefix}"
        );
        let sessions = made(&ring, kind, prefix);
        let revoked = run(sessions.revoke("admin", &key));
        assert_eq!(code(revoked), Some(ErrorCode::NotFound), "{kind} {prefix}");
        assert_eq!(world.store.operations(), 0, "{kind} {prefix}");
    }
    assert_eq!(
        open("kv", "staging:", &staging).outcome().unwrap(),
        Outcome::Loaded
    );
}

#[test]
fn two_cookie_names_under_one_prefix_warn_once() {
    let world = World::new();
    let isolate = edge_session::Isolate::new();
    let open = |name: &str, prefix: &str, silent: bool| {
        let settings = Settings::default()
            .with_cookie_name(name)
            .with_key_prefix(prefix)
            .with_disable_warnings(silent);
        let world = world.reconfigured(SECRET, settings);
        drop(world.sessions.with_isolate(&isolate, "SESSIONS"));
        world.runtime.take_warnings()
    };
    let none: [String; 0] = [];
    assert_eq!(open("__Host-shop", "", false), none);
    assert_eq!(open("__Host-shop", "", false), none);
    assert_eq!(open("__Host-staff", "staff:", false), none);
    let warned = open("__Host-staff", "", false);
    let [warning] = &warned[..] else {
        panic!("{warned:?}")
    };
    assert!(warning.contains("__Host-staff") && warning.contains("with_key_prefix"));
    assert_eq!(open("__Host-staff", "", false), none, "once");
    assert_eq!(open("__Host-third", "staff:", true), none, "silenced");
}

// --- randomness ----------------------------------------------------------------------------------

#[test]
fn an_id_has_256_bits_in_43_characters() {
    let sessions = Sessions::new(
        edge_session::connector::MemoryConnector::new(),
        SecretRing::parse(SECRET).unwrap(),
        Settings::default(),
    );
    let session = sessions.unwrap().open(CookieHeader::none());
    let id = session.generate_session_id().unwrap();
    assert_eq!((id.len(), bytes(&id).len()), (43, 32));
    let world = World::new();
    assert_eq!(token(&world.visitor()).len(), 32);
}

/// Chi-square over all 256 values at each of the 32 positions, on the platform's randomness: 255
/// degrees of freedom, standard deviation 22.6. A good source stays under 255 + 9 deviations in all
/// but one of 10^13 runs; one that omits values, or a bit, is far above.
#[test]
fn every_byte_of_a_token_takes_every_value_alike() {
    const TOKENS: usize = 100_000;
    let mut counts = vec![[0u32; 256]; 32];
    let mut draw = [0; 32];
    for _ in 0..TOKENS {
        PlatformRuntime.fill_random(&mut draw).unwrap();
        for (count, byte) in counts.iter_mut().zip(draw) {
            count[usize::from(byte)] += 1;
        }
    }
    let expected = TOKENS as f64 / 256.0;
    for (place, count) in counts.iter().enumerate() {
        assert!(
            count.iter().all(|count| *count > 0),
            "a value is missing at {place}"
        );
        let square = |count: &u32| (f64::from(*count) - expected).powi(2) / expected;
        let chi_square: f64 = count.iter().map(square).sum();
        assert!(
            chi_square < 255.0 + 9.0 * 22.6,
            "place {place}: {chi_square}"
        );
    }
}

#[test]
fn a_token_carries_nothing_of_time_user_or_what_came_before() {
    // The same randomness in other circumstances gives the same tokens.
    let draw = |later: i64, owner: &str, value: &str| {
        let world = World::seeded(Settings::default(), 7);
        world.advance(later);
        let mut jar = Jar::new();
        world.visit(&mut jar, |session| {
            session.bind_with(owner, Keep::Nothing).unwrap();
            session.set("a", value).unwrap();
        });
        token(&jar)
    };
    assert_eq!(draw(0, "ada", "x"), draw(DAY, "grace", "something longer"));
    // Other randomness in the same circumstances gives tokens that have nothing in common.
    let of_seed = |seed| token(&World::seeded(Settings::default(), seed).visitor());
    let same = of_seed(1)
        .iter()
        .zip(of_seed(2))
        .filter(|(one, two)| *one == two)
        .count();
    assert!(same < 8, "{same} of 32 bytes");
}

/// Randomness that fails at one draw, after it has filled half of the buffer.
struct Failing {
    inner: Rc<TestRuntime>,
    left: Cell<usize>,
}

impl Runtime for Failing {
    fn now(&self) -> i64 {
        self.inner.now()
    }

    fn fill_random(&self, out: &mut [u8]) -> Result<(), SessionError> {
        let left = self.left.get();
        self.left.set(left.wrapping_sub(1));
        if left == 0 {
            let half = out.len() / 2;
            self.inner.fill_random(&mut out[..half])?;
            return Err(SessionError::new(ErrorCode::NotReady, "no randomness here"));
        }
        self.inner.fill_random(out)
    }

    fn sleep(&self, milliseconds: u32) -> LocalBoxFuture<'static, ()> {
        self.inner.sleep(milliseconds)
    }
}

#[test]
fn randomness_that_fails_at_any_draw_makes_no_token_and_no_record() {
    type Action = fn(&mut SessionStore) -> Result<(), SessionError>;
    let actions: [(&str, Action); 7] = [
        ("set", |session| session.set("b", 2)),
        ("create", SessionStore::create),
        ("cycle", SessionStore::cycle_key),
        ("bind", |session| session.bind("ada")),
        ("flush", |session| run(session.flush_keeping(["a"]))),
        ("csrf", |session| session.csrf_token().map(drop)),
        ("id", |session| session.generate_session_id().map(drop)),
    ];
    for (name, action) in actions {
        let mut failures = 0;
        // More draws than any action needs. Failing draws that are not needed yet do no harm.
        for draw in 0..16 {
            let world = World::new();
            let jar = world.visitor();
            let before = world.store.all();
            let runtime = Failing {
                inner: Rc::clone(&world.runtime),
                left: Cell::new(draw),
            };
            let sessions =
                Sessions::builder(world.store.clone(), SecretRing::parse(SECRET).unwrap())
                    .runtime(runtime)
                    .build()
                    .unwrap();
            let mut session = run(sessions.load(jar.head(world.now())));
            world.runtime.set_randomness(Randomness::Seeded);
            let acted = action(&mut session);
            let committed = acted.and_then(|()| run(sessions.commit(&mut session, 200)));
            match committed {
                Ok(_) => {}
                Err(error) => {
                    failures += 1;
                    assert_eq!(error.code(), ErrorCode::NotReady, "{name}, draw {draw}");
                    let records = |all: &std::collections::BTreeMap<String, String>| {
                        all.keys()
                            .filter(|key| key.starts_with("s."))
                            .cloned()
                            .collect::<Vec<_>>()
                    };
                    assert_eq!(
                        records(&world.store.all()),
                        records(&before),
                        "{name}, draw {draw}"
                    );
                    let set = session.done_headers();
                    let set: Vec<&String> = set
                        .set_cookie()
                        .iter()
                        .filter(|field| !field.contains("Max-Age=0"))
                        .collect();
                    assert!(set.is_empty(), "{name}, draw {draw}: {set:?}");
                }
            }
        }
        assert!(failures > 0, "{name}");
    }
}

/// The nonce is 24 bytes after format and version (docs/wire-format.md). The token stays the same
/// here, and so does the key.
#[test]
fn every_put_is_sealed_with_a_nonce_of_its_own() {
    const PUTS: usize = 1_000;
    let world = World::new();
    let mut jar = world.visitor();
    let mut nonces = std::collections::BTreeSet::new();
    for n in 0..PUTS {
        world.advance(2 * SECOND);
        world.visit(&mut jar, |session| session.set("a", n % 2).unwrap());
        let all = world.store.all();
        let [(_, record)] = &all.iter().collect::<Vec<_>>()[..] else {
            panic!("one record")
        };
        nonces.insert(bytes(record)[9..33].to_vec());
    }
    assert_eq!(nonces.len(), PUTS);
}

#[test]
fn settings_and_rings_are_made_without_randomness() {
    // A Worker has no randomness at module scope.
    let clock = ManualClock::new(START);
    let runtime = TestRuntime::new(clock.clone(), 1);
    runtime.set_randomness(Randomness::Failing);
    let store = TestStore::new(clock);
    let ring = SecretRing::parse(SECRET).unwrap();
    let sessions = Sessions::builder(store, ring)
        .runtime(runtime)
        .build()
        .unwrap();
    let session = run(sessions.load(CookieHeader::none()));
    assert_eq!(
        code(session.generate_session_id()),
        Some(ErrorCode::NotReady)
    );
}

// --- where it does not go ------------------------------------------------------------------------

#[derive(Clone, Default)]
struct Log(Rc<RefCell<Vec<String>>>);

impl EventSink for Log {
    fn event(&self, event: &Event) {
        let mut lines = self.0.borrow_mut();
        lines.extend([event.to_json(), event.to_string(), format!("{event:?}")]);
    }
}

/// True if `text` contains the bytes: in base64 at any shift, in hex, or as a list of numbers.
fn shows(text: &str, token: &[u8]) -> bool {
    let hex: String = token.iter().map(|byte| format!("{byte:02x}")).collect();
    let list = token
        .iter()
        .map(u8::to_string)
        .collect::<Vec<_>>()
        .join(", ");
    if text.to_lowercase().contains(&hex) || text.contains(&list) {
        return true;
    }
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_'))
        .filter(|run| run.len() >= 43)
        .any(|run| {
            (0..4).any(|shift| {
                let bytes = bytes(&run[shift.min(run.len())..]);
                bytes.windows(token.len()).any(|window| window == token)
            })
        })
}

#[test]
fn no_token_is_in_what_is_printed_reported_or_stored() {
    let world = World::new();
    let log = Log::default();
    let sessions = world.sessions.clone().with_events(log.clone());
    let world = World { sessions, ..world };
    let (mut jar, mut printed, mut tokens) = (Jar::new(), Vec::new(), Vec::new());

    let steps: [fn(&mut SessionStore); 6] = [
        |session| session.set("a", 1).unwrap(),
        |session| session.bind("ada").unwrap(),
        |session| session.cycle_key().unwrap(),
        |session| drop(session.csrf_token().unwrap()),
        |session| session.set("b", 2).unwrap(),
        |session| drop(session.get::<String>("a").unwrap_err()),
    ];
    for step in steps {
        let mut session = world.open(&jar);
        step(&mut session);
        printed.push(format!("{session:?} {:?}", session.session_key().unwrap()));
        let headers = world.commit(&mut session);
        printed.push(format!("{headers:?} {session:?}"));
        for field in headers
            .set_cookie()
            .iter()
            .filter(|field| !field.starts_with("__Host-session="))
        {
            printed.push(field.clone());
        }
        jar.receive(world.now(), headers.set_cookie());
        tokens.push(token(&jar));
        let cookies = jar.header(world.now()).unwrap();
        printed.push(format!("{:?}", CookieHeader::new(&*cookies)));
        printed.push(format!(
            "{:?}",
            Request::get("/").with_header("cookie", &cookies)
        ));
    }
    printed.push(format!("{:?} {:?}", world.sessions, Isolate::current()));
    assert!(
        shows(jar.value(KEY).unwrap(), tokens.last().unwrap()),
        "the test sees it"
    );

    world.store.outage();
    let mut session = world.elsewhere().open(&jar);
    let error = session.set("c", 3).unwrap_err();
    printed.extend([format!("{error:?}"), error.to_string(), error.to_problem()]);
    let error = destroy(&mut session).unwrap_err();
    printed.extend([format!("{error:?} {session:?}"), error.to_problem()]);
    printed.extend(session.done_headers().set_cookie().iter().cloned());
    world.store.mend();
    printed.push(format!("{:?}", world.store.all()));
    printed.push(format!("{:?}", SecretRing::parse(SECRET)));
    printed.append(&mut log.0.borrow_mut());

    tokens.dedup();
    assert!(tokens.len() >= 3);
    for text in &printed {
        assert!(!tokens.iter().any(|token| shows(text, token)), "{text}");
        assert!(!text.contains(SECRET), "{text}");
    }
}

#[test]
fn a_cookie_of_control_characters_breaks_no_log_line() {
    let world = World::new();
    let log = Log::default();
    let sessions = world.sessions.clone().with_events(log.clone());
    for value in [
        "a\r\nb",
        "\u{1b}[31m",
        "\"}{\"event\":\"x",
        "\u{2028}",
        "é\0",
    ] {
        let mut session = run(sessions.load(Head::cookie(format!("{KEY}={value}"))));
        let _ = run(sessions.commit(&mut session, 200)).unwrap();
    }
    let lines = log.0.borrow();
    assert_eq!(lines.len(), 15);
    for line in lines.iter().filter(|line| line.starts_with('{')) {
        assert!(line.starts_with(r#"{"event":"rejected","at":"#), "{line}");
        assert!(
            line.bytes().all(|byte| (b' '..=b'~').contains(&byte)),
            "{line}"
        );
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(value.as_object().unwrap().len(), 3, "{line}");
    }
}
