//! What an answer may say of the session without anybody noticing: caches and logs.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

mod common;

use std::collections::{BTreeMap, BTreeSet};

use common::*;
use edge_session::{Outcome, SessionStore};
use serde::Deserialize;

type Act = fn(&mut SessionStore);

/// Every public method that looks at a session or changes it.
const LOOKS: &[(&str, Act)] = &[
    ("get", |s| drop(s.get::<i32>("a"))),
    ("get_json", |s| drop(s.get_json("a"))),
    ("require", |s| drop(s.require::<i32>("a"))),
    ("data", |s| drop(s.data::<serde_json::Value>())),
    ("contains_key", |s| drop(s.contains_key("b"))),
    ("len", |s| drop(s.len())),
    ("is_empty", |s| drop(s.is_empty())),
    ("iter", |s| drop(s.iter().map(Iterator::count))),
    ("keys", |s| drop(s.keys().map(Iterator::count))),
    ("values", |s| drop(s.values().map(Iterator::count))),
    ("set", |s| drop(s.set("a", 1))),
    ("set_data", |s| {
        drop(s.set_data(&serde_json::json!({"a": 1})))
    }),
    ("remove", |s| drop(s.remove("b"))),
    ("pop", |s| drop(s.pop::<i32>("b"))),
    ("pop_or", |s| drop(s.pop_or("b", 1))),
    ("popitem", |s| drop(s.popitem())),
    ("update", |s| drop(s.update([("a", 1)]))),
    ("clear", |s| drop(s.clear())),
    ("setdefault", |s| drop(s.setdefault("a", 1))),
    ("flash", |s| drop(s.flash("a", 1))),
    ("take_flash", |s| drop(s.take_flash::<i32>("b"))),
    ("outcome", |s| assert!(!s.outcome().as_str().is_empty())),
    ("session_key", |s| drop(s.session_key())),
    ("is_new", |s| assert_eq!(s.is_new(), s.version() == 0)),
    ("version", |s| assert!(s.version() < 2)),
    ("created_at", |s| assert_ne!(s.created_at(), Some(0))),
    ("owner", |s| drop(s.owner().map(str_len))),
    ("auth_time", |s| drop(s.auth_time())),
    ("require_recent_auth", |s| drop(s.require_recent_auth(9))),
    ("set_modified", |s| drop(s.set_modified(true))),
    ("needs_update", |s| assert!(!s.needs_update())),
    ("get_expiry_age", |s| drop(s.get_expiry_age())),
    ("get_expiry_date", |s| drop(s.get_expiry_date())),
    ("idle_expires_at", |s| drop(s.idle_expires_at())),
    ("get_expire_at_browser_close", |s| {
        drop(s.get_expire_at_browser_close())
    }),
    ("set_expiry", |s| drop(s.set_expiry(60))),
    ("load", |s| drop(run(s.load()))),
    ("load_fresh", |s| drop(run(s.load_fresh()))),
    ("create", |s| drop(s.create())),
    ("cycle_key", |s| drop(s.cycle_key())),
    ("bind", |s| drop(s.bind("ada", true))),
    ("destroy", |s| drop(run(s.destroy()))),
    ("flush", |s| drop(run(s.flush(["a"])))),
    ("exists", |s| drop(run(s.exists(None)))),
    ("delete", |s| drop(run(s.delete(None)))),
    ("csrf_token", |s| drop(s.csrf_token())),
    ("verify_csrf", |s| drop(s.verify_csrf("forged"))),
];

/// Public methods that say nothing of the session that came.
const BLIND: &[&str] = &[
    // Of this request only: what it has changed, it has looked at.
    "accessed",
    "modified",
    "set_wait_until",
    "refusal",
    "done_headers",
    // A save without a change does nothing, one with a change is counted by the change.
    "save",
    // Of no session.
    "generate_session_id",
];

fn str_len(text: Option<&str>) -> usize {
    text.map_or(0, str::len)
}

/// The names of the public methods in every `impl SessionStore` of a source file.
fn public_methods(source: &str) -> BTreeSet<String> {
    let mut inside = false;
    let mut names = BTreeSet::new();
    for line in source.lines() {
        match line {
            "impl SessionStore {" => inside = true,
            "}" => inside = false,
            _ => {}
        }
        let text = line.trim_start();
        let Some(rest) = text
            .strip_prefix("pub fn ")
            .or_else(|| text.strip_prefix("pub async fn "))
        else {
            continue;
        };
        if inside {
            let end = rest.find(['(', '<']).unwrap();
            names.insert(rest[..end].to_owned());
        }
    }
    names
}

#[test]
fn no_public_method_is_missing_in_these_tests() {
    let sources = concat!(
        include_str!("../src/store.rs"),
        include_str!("../src/lifecycle.rs"),
        include_str!("../src/csrf.rs"),
    );
    let known: BTreeSet<String> = LOOKS
        .iter()
        .map(|(name, _)| *name)
        .chain(BLIND.iter().copied())
        .map(str::to_owned)
        .collect();
    assert_eq!(public_methods(sources), known);
}

#[test]
fn whatever_looks_at_a_session_keeps_the_answer_out_of_caches() {
    for (name, act) in LOOKS {
        let world = World::new();
        let jar = world.visitor();
        let mut session = world.open(&jar);
        act(&mut session);
        let headers = world.commit(&mut session);
        assert!(headers.depends_on_session(), "{name}");
        assert_eq!(
            headers.vary(Some("Accept")).as_deref(),
            Some("Accept, Cookie"),
            "{name}"
        );
        let fields: Vec<_> = headers
            .cache_control()
            .iter()
            .map(|(field, _)| *field)
            .collect();
        assert_eq!(
            fields,
            [
                "cache-control",
                "cdn-cache-control",
                "cloudflare-cdn-cache-control"
            ]
        );
        assert!(
            headers
                .cache_control()
                .iter()
                .all(|(_, value)| *value == "no-store")
        );
    }
}

#[test]
fn it_does_so_where_no_session_came_too() {
    // The answer to one without a cookie would be taken for one with a cookie.
    for (name, act) in LOOKS {
        if matches!(*name, "destroy" | "delete" | "flush") {
            // Nothing was there, nothing is said, no cookie is set.
            continue;
        }
        let world = World::new();
        let mut session = world.load(Head::default());
        act(&mut session);
        assert!(world.commit(&mut session).depends_on_session(), "{name}");
    }
}

#[test]
fn an_untouched_session_leaves_the_answer_as_it_is() {
    let world = World::new();
    let jar = world.visitor();
    for head in [
        Head::default(),
        jar.head(world.now()),
        Head::cookie(format!("{KEY}=forged")),
    ] {
        let mut session = world.load(head);
        let _debug = format!("{session:?}");
        let _id = session.generate_session_id();
        assert!(!session.accessed() && session.refusal().is_none());
        let headers = world.commit(&mut session);
        assert!(headers.is_empty() && headers.cache_control().is_empty());
        assert_eq!(headers.vary(Some("Accept")), None);
    }
}

#[test]
fn a_seen_cookie_alone_keeps_the_answer_out_of_caches() {
    let world = World::new();
    let jar = world.visitor();
    world.advance(12 * HOUR);
    let mut session = world.open(&jar);
    let headers = world.commit(&mut session);
    assert_eq!(cookie_names(&headers), [SEEN]);
    assert!(headers.depends_on_session());
}

#[test]
fn an_administrators_question_is_not_about_his_own_session() {
    let world = World::new();
    let jar = world.visitor();
    let key = world.session_key(&world.visitor()).text();
    let mut session = world.open(&jar);
    assert!(run(session.exists(Some(&key))).unwrap());
    run(session.delete(Some(&key))).unwrap();
    assert!(world.commit(&mut session).is_empty());
}

// --- nothing that opens a session is printed -----------------------------------------------------

/// All that is secret of a session: what its cookies carry, and a value.
fn assert_tells_nothing(text: &str, jar: &Jar, place: &str) {
    for name in [KEY, SEEN, FRESH] {
        let Some(value) = jar.value(name) else {
            continue;
        };
        // The key cookie begins with a format and a key id, and goes on behind the token with the
        // parts of the session key, which is public.
        let secret = if name == KEY { &value[8..48] } else { value };
        for window in secret.as_bytes().windows(12) {
            let part = std::str::from_utf8(window).unwrap();
            assert!(!text.contains(part), "{place} tells of {name}: {text}");
        }
    }
    assert!(!text.contains("canary"), "{place} tells a value: {text}");
}

#[derive(Debug, Deserialize)]
enum Choice {
    One,
}

#[test]
fn debug_and_errors_tell_neither_token_nor_value() {
    let world = World::new();
    let mut jar = Jar::new();
    world.visit(&mut jar, |session| {
        session.bind("ada", true).unwrap();
        session.set("note", "canary").unwrap();
        session.flash("flash", "canary").unwrap();
    });
    world.advance(12 * HOUR);
    world.visit(&mut jar, |_| ());
    world.visit(&mut jar, |session| session.set("b", 1).unwrap());
    let mut session = world.open(&jar);
    assert_eq!(session.outcome(), Outcome::Loaded);
    assert_tells_nothing(&format!("{session:?} {session:#?}"), &jar, "Debug");
    assert!(format!("{session:?}").contains(&session.session_key().unwrap()));

    session.set("c", 1).unwrap();
    world.store.outage();
    for error in [
        session.require::<i32>("none").unwrap_err(),
        session.get::<Vec<u8>>("note").unwrap_err(),
        session.get::<std::net::IpAddr>("note").unwrap_err(),
        session.data::<BTreeMap<String, u8>>().unwrap_err(),
        session.data::<BTreeMap<String, Choice>>().unwrap_err(),
        run(session.save()).unwrap_err(),
        run(session.destroy()).unwrap_err(),
        world.elsewhere().open(&jar).len().unwrap_err(),
    ] {
        let text = format!("{error} {error:?} {}", error.to_problem());
        assert_tells_nothing(&text, &jar, "an error");
    }
    let headers = world.commit(&mut session);
    let mut after = jar.clone();
    after.receive(world.now(), headers.set_cookie());
    assert_tells_nothing(&format!("{headers:?}"), &jar, "CommitHeaders");
    assert_tells_nothing(&format!("{headers:?}"), &after, "CommitHeaders");
    world.store.mend();
    for name in world.store.names() {
        assert_tells_nothing(&name, &jar, "a key of the store");
    }
}
