//! Settings that are misspelt, illegal, or named as in another library: the error messages, and the
//! names that belong to the application.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use std::cell::Cell;
use std::rc::Rc;

use crate::common::*;
use edge_session::connector::{ManualClock, MemoryConnector, StrongMemory};
use edge_session::{
    CookieHeader, ErrorCode, Event, EventSink, Isolate, SameSite, SecretRing, SessionError,
    Sessions, Settings, Storage,
};

fn message(result: Result<impl std::fmt::Debug, SessionError>) -> String {
    let error = result.expect_err("should be refused");
    assert_eq!(error.code(), ErrorCode::Config);
    error.message().to_owned()
}

fn of_variable(name: &str) -> String {
    message(Settings::from_vars([(name, "1")]))
}

fn of_option(name: &str) -> String {
    message(Settings::from_options([(name, "1")]))
}

type ForeignRow = (
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
);

/// A name in another library, as an option and as a variable, and the settings to use here.
const FOREIGN: &[ForeignRow] = &[
    ("maxAge", "SESSION_MAX_AGE", AGES),
    ("ttl", "SESSION_TTL", AGES),
    ("lifetime", "SESSION_LIFETIME", AGES),
    ("expires", "SESSION_EXPIRES", AGES),
    ("cookieMaxAge", "SESSION_COOKIE_MAX_AGE", AGES),
    ("ttlSeconds", "SESSION_TTL_SECONDS", AGES),
    ("timeout", "SESSION_TIMEOUT", &[IDLE]),
    ("idle", "SESSION_IDLE", &[IDLE]),
    ("rolling", "SESSION_ROLLING", &[IDLE, AGE]),
    ("saveEveryRequest", "SESSION_SAVE_EVERY_REQUEST", &[IDLE]),
    (
        "domain",
        "SESSION_DOMAIN",
        &[("cookieDomain", "SESSION_COOKIE_DOMAIN")],
    ),
    ("name", "SESSION_NAME", &[NAME]),
    (
        "path",
        "SESSION_PATH",
        &[("cookiePath", "SESSION_COOKIE_PATH")],
    ),
    ("secure", "SESSION_SECURE", &[SECURE]),
    ("secureCookie", "SESSION_SECURE_COOKIE", &[SECURE]),
    (
        "sameSite",
        "SESSION_SAME_SITE",
        &[("cookieSameSite", "SESSION_COOKIE_SAMESITE")],
    ),
    (
        "prefix",
        "SESSION_PREFIX",
        &[("keyPrefix", "SESSION_KEY_PREFIX")],
    ),
    (
        "httpOnly",
        "SESSION_HTTP_ONLY",
        &[("always HttpOnly", "always HttpOnly")],
    ),
    (
        "cookieHttpOnly",
        "SESSION_COOKIE_HTTPONLY",
        &[("always HttpOnly", "always HttpOnly")],
    ),
    ("cookie", "SESSION_COOKIE", &[NAME, AGE, SECURE]),
    (
        "secrets",
        "SESSION_SECRETS",
        &[("one array in secret", "SESSION_SECRET,")],
    ),
];
const AGE: (&str, &str) = ("cookieAge", "SESSION_COOKIE_AGE");
const IDLE: (&str, &str) = ("idleTimeout", "SESSION_IDLE_TIMEOUT");
const NAME: (&str, &str) = ("cookieName", "SESSION_COOKIE_NAME");
const SECURE: (&str, &str) = ("cookieSecure", "SESSION_COOKIE_SECURE");
const AGES: &[(&str, &str)] = &[AGE, IDLE];

#[test]
fn names_of_other_libraries_lead_to_ours() {
    for (option, variable, ours) in FOREIGN {
        let (by_option, by_variable) = (of_option(option), of_variable(variable));
        assert!(by_option.starts_with(&format!("{option}: ")), "{by_option}");
        assert!(
            by_variable.starts_with(&format!("{variable}: ")),
            "{by_variable}"
        );
        assert!(!by_option.contains("SESSION_"), "{by_option}");
        for (as_option, as_variable) in *ours {
            assert!(by_option.contains(as_option), "{by_option}");
            assert!(by_variable.contains(as_variable), "{by_variable}");
        }
        for text in [by_option, by_variable] {
            assert!(
                !text.contains("did you mean") || text.contains("econds"),
                "{text}"
            );
        }
    }
    for (option, words) in [
        ("password", "use secret"),
        ("keys", "use secret"),
        ("store", "the first argument"),
        ("saveUninitialized", "is never stored"),
    ] {
        assert!(of_option(option).contains(words), "{option}");
    }
}

#[test]
fn a_typing_error_is_told_what_was_meant_and_nothing_else_is() {
    for (option, meant) in [
        ("cookieAges", "cookieAge"),
        ("idleTimout", "idleTimeout"),
        ("cookie_age", "cookieAge"),
        ("SESSION_COOKIE_AGE", "cookieAge"),
        ("sessionCookieAge", "cookieAge"),
        ("onEvents", "onEvent"),
        ("secert", "secret"),
    ] {
        let text = of_option(option);
        assert!(
            text.ends_with(&format!("; did you mean {meant}?")),
            "{text}"
        );
    }
    for option in ["saml", "colour", "genid", "unset", "x", "", "ä"] {
        let text = of_option(option);
        assert!(text.ends_with(": unknown setting"), "{text}");
    }
    for (variable, meant) in [
        ("SESSION_IDLE_TIMEOUTT", "SESSION_IDLE_TIMEOUT"),
        ("SESSION_KV_CHACHE_TTL", "SESSION_KV_CACHE_TTL"),
        ("SESSION_COOKIE_AGE_DAYS", "SESSION_COOKIE_AGE"),
        ("SESSION_SECERT", "SESSION_SECRET"),
        ("SESSON_COOKIE_NAME", "SESSION_COOKIE_NAME"),
        ("session_seal", "SESSION_SEAL"),
    ] {
        let text = of_variable(variable);
        assert!(
            text.ends_with(&format!("; did you mean {meant}?")),
            "{text}"
        );
    }
}

#[test]
fn variables_of_the_application_are_left_to_it() {
    for name in [
        "SESSION_FOO",
        "SESSION_API_URL",
        "SESSION_STORE",
        "SESSION_KV",
        "SESSION_DB",
        "SESSION_QUEUE",
        "SESSION_REGION",
        "SESSION_TYPE",
        "SESSION_EVENTS_DATASET",
        "SESSION_SERVICE_TOKEN",
        "SESSION_",
        "SESSIONS",
        "SESSIONS_API",
        "SESAME",
        "OTHER_COOKIE_AGE",
    ] {
        let read = Settings::from_vars([(name, "hello")]);
        assert_eq!(read.unwrap(), Settings::default(), "{name}");
    }
}

#[test]
fn another_variable_for_a_secret_is_told_where_secrets_stand() {
    for name in [
        "SESSION_SECRETS",
        "SESSION_SECRET_OLD",
        "SESSION_SECRET_1",
        "SESSION_SECRET2",
        "SESSION_SECRET_PREVIOUS",
    ] {
        let text = message(Settings::from_vars([(name, "hunter2")]));
        assert!(text.starts_with(&format!("{name}: ")), "{text}");
        assert!(
            text.contains("SESSION_SECRET, separated by commas"),
            "{text}"
        );
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[test]
fn a_limit_is_called_as_the_caller_did_when_it_is_exceeded() {
    type Act = fn(&mut edge_session::SessionStore) -> Result<(), SessionError>;
    let acts: [(Act, [&str; 3]); 4] = [
        (
            |it| it.set("123456789", 1),
            ["SESSION_MAX_KEY_BYTES", "maxKeyBytes", "with_max_key_bytes"],
        ),
        (
            |it| it.set("a", [[[1]]]),
            ["SESSION_MAX_DEPTH", "maxDepth", "with_max_depth"],
        ),
        (
            |it| {
                it.set("a", "x".repeat(1_100))?;
                run(it.save())
            },
            [
                "SESSION_MAX_RECORD_BYTES",
                "maxRecordBytes",
                "with_max_record_bytes",
            ],
        ),
        (
            |it| {
                it.update([("a", 1), ("b", 2)])?;
                run(it.save())
            },
            ["SESSION_MAX_KEYS", "maxKeys", "with_max_keys"],
        ),
    ];
    let limits = ["8", "2", "1024", "1"];
    let built = Settings::default()
        .with_max_key_bytes(8)
        .with_max_depth(2)
        .with_max_record_bytes(1_024)
        .with_max_keys(1);
    for (index, settings) in [
        Settings::from_vars(acts.iter().map(|(_, names)| names[0]).zip(limits)).unwrap(),
        Settings::from_options(acts.iter().map(|(_, names)| names[1]).zip(limits)).unwrap(),
        built.clone(),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(settings, built, "the names are no part of the values");
        let world = World::with(settings);
        for (act, names) in acts {
            let mut session = world.load(Head::default());
            let error = act(&mut session).unwrap_err();
            let text = error.message();
            for (other, name) in names.into_iter().enumerate() {
                assert_eq!(text.contains(name), other == index, "{text}");
            }
        }
    }
}

#[test]
fn an_error_calls_a_setting_as_the_caller_did() {
    let pairs = |secure, name| [(secure, "false"), (name, "__Secure-sid")];
    let variables = Settings::from_vars(pairs("SESSION_COOKIE_SECURE", "SESSION_COOKIE_NAME"));
    let options = Settings::from_options(pairs("cookieSecure", "cookieName"));
    let built = Settings::default()
        .with_cookie_secure(false)
        .with_cookie_name("__Secure-sid")
        .validate();
    for (text, secure, name) in [
        (
            message(variables),
            "SESSION_COOKIE_SECURE",
            "SESSION_COOKIE_NAME",
        ),
        (message(options), "cookieSecure", "cookieName"),
        (message(built), "with_cookie_secure", "with_cookie_name"),
    ] {
        let expected = format!(
            "{secure}: it is false, but browsers accept the prefix of {name} only on Secure cookies; \
             set it to true, or choose a name without a prefix"
        );
        assert_eq!(text, expected);
    }
    // Every setting, with a value that its type does not allow.
    for (name, _) in Settings::default().list() {
        let option = Settings::option_name(name).unwrap();
        let (by_variable, by_option) = ([(name, "\u{7f}")], [(option, "\u{7f}")]);
        let text = message(Settings::from_vars(by_variable));
        assert!(text.starts_with(&format!("{name}: ")), "{text}");
        let text = message(Settings::from_options(by_option));
        assert!(text.starts_with(&format!("{option}: ")), "{text}");
        assert!(!text.contains("SESSION_"), "{text}");
    }
    let none = SameSite::None;
    for (settings, method) in [
        (
            Settings::default().with_cookie_age(seconds(0)),
            "with_cookie_age",
        ),
        (Settings::default().with_key_prefix("ä"), "with_key_prefix"),
        (
            Settings::default().with_cookie_path("x"),
            "with_cookie_path",
        ),
        (
            Settings::default()
                .with_cookie_secure(false)
                .with_cookie_same_site(none),
            "with_cookie_same_site",
        ),
    ] {
        let text = message(settings.validate());
        assert!(text.starts_with(&format!("{method}: ")), "{text}");
        assert!(!text.contains("SESSION_"), "{text}");
    }
}

#[test]
fn a_secret_is_called_so_and_one_of_several_by_its_place() {
    let command = "`openssl rand -base64 32`";
    let text = message(SecretRing::parse("short"));
    assert!(
        text.contains("the secret is shorter than 32 bytes"),
        "{text}"
    );
    assert!(text.contains(command) && !text.contains("npm"), "{text}");
    let text = message(SecretRing::parse(&format!("{SECRET},short")));
    assert!(
        text.contains("secret 2 of 2 is shorter than 32 bytes"),
        "{text}"
    );
    let text = message(SecretRing::parse(&format!("{SECRET},{SECRET}")));
    assert!(
        text.contains("secret 2 of 2 has the same key id as an earlier secret"),
        "{text}"
    );
    // The output of that command.
    assert!(SecretRing::parse("Lv+8s1Dcyl/rSqYz0u4yUnmvk2nWAVoC3PSDgMu1D7o=").is_ok());
}

#[test]
fn one_setting_is_enough_for_plain_http() {
    let world = World::with(Settings::default().with_cookie_secure(false));
    assert_eq!(world.sessions.settings().cookie_name(), "session");
    let mut jar = Jar::new();
    world.visit(&mut jar, |session| session.set("a", 1).unwrap());
    assert_eq!(jar.names(), ["session", "session-fresh"]);
    let mut session = world.open(&jar);
    assert_eq!(session.get::<i32>("a").unwrap(), Some(1));
    session.set("a", 2).unwrap();
    let headers = world.commit(&mut session);
    let lines = headers.set_cookie();
    assert!(
        !lines.is_empty() && lines.iter().all(|line| !line.contains("Secure")),
        "{lines:?}"
    );

    let read = Settings::from_vars([("SESSION_COOKIE_SECURE", "false")]).unwrap();
    assert!(read.validate().is_ok());
    // A name chosen by the application is not changed, and is refused if browsers would reject the
    // cookie.
    let named = read.clone().with_cookie_name("sid");
    let world = World::with(named);
    assert_eq!(world.sessions.settings().cookie_name(), "sid");
    assert!(read.with_cookie_name("__Host-shop").validate().is_err());
    let world = World::with(Settings::default());
    assert_eq!(world.sessions.settings().cookie_name(), "__Host-session");
}

#[test]
fn a_record_in_a_durable_object_is_limited_to_what_one_request_takes() {
    let stored = ("SESSION_STORAGE", "durable_object");
    let limit = |bytes| Settings::from_vars([stored, ("SESSION_MAX_RECORD_BYTES", bytes)]);
    assert!(limit("262144").is_ok());
    let refused = message(limit("262145"));
    assert!(
        refused
            .starts_with("SESSION_MAX_RECORD_BYTES: \"262145\" is not allowed in Durable Objects")
            && refused.contains("use at most 262144"),
        "{refused}"
    );
    assert!(Settings::from_vars([("SESSION_MAX_RECORD_BYTES", "262145")]).is_ok());
}

/// Counts events.
struct Counting(Rc<Cell<u32>>);

impl EventSink for Counting {
    fn event(&self, _: &Event) {
        self.0.set(self.0.get() + 1);
    }
}

#[test]
fn a_builder_takes_each_part_and_refuses_illegal_settings() {
    let ring = || SecretRing::parse(SECRET).unwrap();
    let clock = ManualClock::new(1_800_000_000_000);
    let (isolate, events) = (Isolate::new(), Rc::new(Cell::new(0)));
    let build = || {
        Sessions::builder(MemoryConnector::with_clock(clock.clone()), ring())
            .settings(Settings::default().with_key_prefix("shop:"))
            .clock(clock.clone())
            .isolate(&isolate, "SESSIONS")
            .events(Counting(events.clone()))
            .build()
            .unwrap()
    };
    let (sessions, again) = (build(), build());
    assert_eq!(sessions.settings().key_prefix(), "shop:");
    let mut session = futures_executor::block_on(sessions.load(CookieHeader::none()));
    session.set("a", 1).unwrap();
    session.set_expiry(60).unwrap();
    clock.advance(61_000);
    let late = futures_executor::block_on(session.save()).unwrap_err();
    assert_eq!(
        late.code(),
        ErrorCode::Expired,
        "the clock is that of the test"
    );
    let forged = CookieHeader::new("__Host-session=forged");
    let _rejected = futures_executor::block_on(again.load(forged));
    assert_eq!(events.get(), 1, "a sink is told");
    assert_eq!(sessions.stats().requests, 2, "both are of one isolate");

    let wrong = Settings::default().with_cookie_name("not a name");
    let built = Sessions::builder(MemoryConnector::new(), ring()).settings(wrong);
    let error = built.build().unwrap_err();
    assert_eq!(error.code(), ErrorCode::Config);
    assert!(error.message().contains("with_cookie_name"), "{error}");
}

#[test]
fn a_builder_for_a_store_with_transactions_takes_each_part() {
    let ring = || SecretRing::parse(SECRET).unwrap();
    let clock = ManualClock::new(1_800_000_000_000);
    let store = Rc::new(StrongMemory::with_clock(clock.clone()));
    let (isolate, events) = (Isolate::new(), Rc::new(Cell::new(0)));
    let build = || {
        Sessions::strong_builder(store.clone(), ring())
            .settings(Settings::default().with_key_prefix("shop:"))
            .clock(clock.clone())
            .isolate(&isolate, "SESSIONS")
            .events(Counting(events.clone()))
            .build()
            .unwrap()
    };
    let (sessions, again) = (build(), build());
    assert_eq!(sessions.settings().key_prefix(), "shop:");
    let mut session = futures_executor::block_on(sessions.load(CookieHeader::none()));
    session.set("a", 1).unwrap();
    session.set_expiry(60).unwrap();
    futures_executor::block_on(session.save()).unwrap();
    assert_eq!(
        store.operations().transactions,
        1,
        "the store is the shared one"
    );
    clock.advance(61_000);
    session.set("a", 2).unwrap();
    let late = futures_executor::block_on(session.save()).unwrap_err();
    assert_eq!(late.code(), ErrorCode::Expired, "{late}");
    let before = events.get();
    let forged = CookieHeader::new("__Host-session=forged");
    let _rejected = futures_executor::block_on(again.load(forged));
    assert_eq!(events.get(), before + 1, "a sink is told");
    assert_eq!(sessions.stats().requests, 2, "both are of one isolate");
}

#[test]
fn durable_objects_are_not_asked_of_a_connector_without_transactions() {
    let refused = |settings: Settings| {
        let ring = SecretRing::parse(SECRET).unwrap();
        message(Sessions::new(MemoryConnector::new(), ring, settings))
    };
    let by_builder = refused(Settings::default().with_storage(Storage::DurableObject));
    assert!(
        by_builder.starts_with("with_storage: durable_object needs a store that has transactions"),
        "{by_builder}"
    );
    let by_variable = Settings::from_vars([("SESSION_STORAGE", "durable_object")]);
    let by_variable = refused(by_variable.unwrap());
    assert!(
        by_variable.starts_with("SESSION_STORAGE: "),
        "{by_variable}"
    );
}

#[test]
fn the_bounds_are_those_of_the_store_that_is_used() {
    let ring = || SecretRing::parse(SECRET).unwrap();
    let bounds = |sessions: &Sessions| {
        let settings = sessions.settings();
        [settings.staleness_bound(), settings.window()].map(|time| time.as_secs())
    };
    let plain = Settings::default;
    let strong = Sessions::strong(MemoryConnector::strong(), ring(), plain()).unwrap();
    assert_eq!(bounds(&strong), [0, 90]);
    let objects = plain().with_storage(Storage::DurableObject);
    let strong = Sessions::strong(MemoryConnector::strong(), ring(), objects).unwrap();
    assert_eq!(bounds(&strong), [0, 90]);
    // The settings of one store, used for another.
    let strong = Sessions::strong(MemoryConnector::strong(), ring(), plain()).unwrap();
    let taken = strong.settings().clone();
    assert_eq!(taken, plain());
    let eventual = Sessions::new(MemoryConnector::new(), ring(), taken).unwrap();
    assert_eq!(bounds(&eventual), [102, 102]);
}

#[test]
fn a_builder_warns_once_of_cookies_that_anybody_can_take() {
    let runtime = TestRuntime::new(ManualClock::new(START), 1);
    let build = |settings: Settings| {
        let ring = SecretRing::parse(SECRET).unwrap();
        Sessions::builder(MemoryConnector::new(), ring)
            .settings(settings)
            .runtime(runtime.clone())
            .build()
            .unwrap();
        runtime.take_warnings()
    };
    assert!(build(Settings::default()).is_empty());
    let open = || Settings::default().with_cookie_secure(false);
    assert!(build(open().with_disable_warnings(true)).is_empty());
    let warnings = build(open());
    assert!(
        matches!(&warnings[..], [one] if one.starts_with("edge-session: with_cookie_secure is false")),
        "{warnings:?}"
    );
    assert!(build(open()).is_empty(), "once");
}
