//! A sibling host, or anybody else who can set cookies, changes nothing. And whatever a request
//! does, it sets each cookie in one header, in the grammar.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::collections::BTreeSet;

use crate::common::*;
use edge_session::{ErrorCode, Keep, Outcome, SessionStore, Settings};
use proptest::prelude::*;

/// Pairs that an attacker can write: any name, including ours, and any value but an authentic one.
fn foreign_pair() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        Just(KEY.to_owned()),
        Just(SEEN.to_owned()),
        Just(FRESH.to_owned()),
        Just(format!(" {KEY}\t")),
        Just(String::new()),
        "[ -:<>-~é\u{a0}]{0,12}",
    ];
    let value = prop_oneof![
        "[A-Za-z0-9_-]{0,200}",
        "[A-Za-z0-9_-]{36}",
        "[A-Za-z0-9_-]{48}\\.[A-Za-z0-9_-]{0,80}",
        "[A-Za-z0-9_-]{110}",
        "[ -:<-~é\u{a0}]{0,40}",
    ];
    (name, value).prop_map(|(name, value)| format!("{name}={value}"))
}

proptest! {
    #[test]
    fn foreign_cookies_change_nothing(
        before in proptest::collection::vec(foreign_pair(), 0..6),
        after in proptest::collection::vec(foreign_pair(), 0..6),
        owned: bool,
        old: bool,
    ) {
        let world = World::new();
        let jar = if owned { world.member("ada") } else { world.visitor() };
        if old {
            world.advance(HOUR);
        }
        let ours = jar.header(world.now()).unwrap();
        let request = |cookie: String| {
            let world = world.elsewhere();
            world.store.take_log();
            let mut session = world.load(Head::cookie(cookie));
            let outcome = (session.outcome().unwrap(), session.session_key().unwrap(), shown(&session));
            let headers = world.commit(&mut session);
            let fields: Vec<String> = headers.set_cookie().to_vec();
            (outcome, fields, world.store.take_log())
        };
        let alone = request(ours.clone());
        prop_assert_eq!(alone.0.0, Outcome::Loaded);
        let header = before.into_iter().chain([ours]).chain(after).collect::<Vec<_>>().join("; ");
        prop_assert_eq!(request(header), alone);
    }

    #[test]
    fn foreign_cookies_alone_are_nobody_and_cost_nothing(
        pairs in proptest::collection::vec(foreign_pair(), 1..8),
    ) {
        let world = World::new();
        let mut session = world.load(Head::cookie(pairs.join("; ")));
        prop_assert!(matches!(session.outcome().unwrap(), Outcome::New | Outcome::Rejected));
        prop_assert!(session.is_empty().unwrap());
        prop_assert!(world.commit(&mut session).set_cookie().is_empty());
        prop_assert_eq!(world.store.operations(), 0);
    }

    #[test]
    fn whatever_a_request_does_it_sets_each_cookie_once(
        steps in proptest::collection::vec(0..STEPS.len(), 0..10),
        status in prop_oneof![Just(200u16), Just(302), Just(404), Just(503)],
        came: bool,
    ) {
        let world = World::new();
        let jar = if came { world.visitor() } else { Jar::new() };
        let mut session = world.open(&jar);
        for step in steps {
            // Refusals do not matter here, only the response.
            (STEPS[step])(&mut session);
        }
        let headers = match world.try_commit(&mut session, status) {
            Ok(headers) => headers,
            Err(_) => session.done_headers(),
        };
        let mut names = BTreeSet::new();
        let mut bytes = 0;
        for field in headers.set_cookie() {
            prop_assert!(field.is_ascii());
            let (pair, attributes) = field.split_once("; ").unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            prop_assert!(names.insert(name.to_owned()), "{name} twice");
            prop_assert!([KEY, SEEN, FRESH, FORM].contains(&name));
            let octet = |byte: u8| byte.is_ascii_graphic() && !b"\",;\\".contains(&byte);
            prop_assert!(value.bytes().all(octet), "{value}");
            prop_assert!(pair.len() <= 4096);
            bytes += pair.len();
            let mut seen = BTreeSet::new();
            for attribute in attributes.split("; ") {
                let name = attribute.split('=').next().unwrap();
                prop_assert!(seen.insert(name), "{name} twice in {field}");
            }
            let max_age = attributes.split("; ").find_map(|it| it.strip_prefix("Max-Age="));
            if let Some(digits) = max_age {
                prop_assert!(digits.bytes().all(|byte| byte.is_ascii_digit()), "{digits}");
                prop_assert!(digits.parse::<u32>().unwrap() <= 34_560_000);
            }
            prop_assert!(field.ends_with(ATTRIBUTES), "{field}");
        }
        prop_assert!(bytes <= 4096, "{bytes} bytes of cookies");
    }
}

const STEPS: [fn(&mut SessionStore); 13] = [
    |session| drop(session.set("a", 2)),
    |session| drop(session.set("b", "x".repeat(3000))),
    |session| drop(session.remove("a")),
    |session| drop(session.create()),
    |session| drop(session.cycle_key()),
    |session| drop(session.bind("ada")),
    |session| drop(session.bind_with("grace", Keep::Nothing)),
    |session| drop(session.set_expiry(0)),
    |session| drop(session.set_expiry(60)),
    |session| drop(save(session)),
    |session| drop(destroy(session)),
    |session| drop(run(session.flush_keeping(["a"]))),
    |session| drop(session.csrf_token()),
];

// --- what is refused though it is authentic ------------------------------------------------------

#[test]
fn an_overlay_counts_for_nothing_where_overlays_are_off() {
    let world = World::new();
    let jar = world.member("ada");
    assert!(
        jar.value(FRESH).unwrap().contains('.'),
        "it carries its record"
    );
    let record = world.session_key(&jar).record();
    world.store.remove(&record);
    assert_eq!(
        world.elsewhere().open(&jar).outcome().unwrap(),
        Outcome::Loaded
    );
    // With this setting no overlay is written, so an authentic one comes from somebody who has the
    // secret.
    let without = Settings::default().with_overlay(false);
    let session = world.reconfigured(SECRET, without).open(&jar);
    assert_eq!(session.outcome().unwrap(), Outcome::Pending);
}

#[test]
fn behind_a_header_over_its_limits_nothing_is_minted() {
    let world = World::new();
    let jar = world.visitor();
    let heap = "x=1; ".repeat(200);
    let cookie = format!("{heap}{}", jar.header(world.now()).unwrap());
    for step in STEPS {
        let mut session = world.load(Head::cookie(cookie.clone()));
        assert_eq!(session.outcome().unwrap(), Outcome::Rejected);
        let before = session.session_key().unwrap();
        step(&mut session);
        let is_login = session.owner().is_ok_and(|owner| owner.is_some());
        let headers = world.commit(&mut session);
        // A form cookie does not identify a session, so it cannot replace one.
        let sets = |field: &&String| !field.contains("Max-Age=0") && !field.starts_with(FORM);
        let set = headers.set_cookie().iter().filter(sets).count();
        assert_eq!(set > 0, is_login, "{before:?}");
    }
    // A logout ends it and removes its cookies from the browser.
    let mut session = world.load(Head::cookie(cookie));
    destroy(&mut session).unwrap();
    let headers = world.commit(&mut session);
    let every = [KEY, SEEN, FRESH, KEY, SEEN, FRESH];
    assert_eq!(cookie_names(&headers), every);
    assert_eq!(
        world.elsewhere().open(&jar).outcome().unwrap(),
        Outcome::Revoked
    );
}

#[test]
fn after_the_window_a_request_carries_300_bytes() {
    let world = World::new();
    let mut jar = world.member("ada");
    world.advance(2 * HOUR);
    world.visit(&mut jar, |session| session.is_empty().unwrap());
    let header = jar.header(world.now()).unwrap();
    let values = header.split("; ").filter_map(|pair| pair.split_once('='));
    let bytes: usize = values.map(|(_, value)| value.len()).sum();
    assert!(header.contains(SEEN) && bytes <= 300, "{bytes}: {header}");
}

#[test]
fn a_cookie_whose_end_has_passed_costs_nothing() {
    let world = World::new();
    let jar = world.visitor();
    let header = jar.header(world.now()).unwrap();
    world.advance(7 * DAY - 1);
    world.elsewhere().load(Head::cookie(header.clone()));
    assert_eq!(world.store.operations(), 1);
    world.store.take_log();
    world.advance(1);
    let session = world.elsewhere().load(Head::cookie(header));
    assert_eq!(session.outcome().unwrap(), Outcome::Expired);
    assert_eq!(world.store.operations(), 0);
}

// --- forms ---------------------------------------------------------------------------------------

#[test]
fn a_csrf_token_belongs_to_one_token_and_is_masked_anew() {
    let world = World::new();
    let (mut jar, other) = (world.visitor(), world.visitor());
    let given = world.visit(&mut jar, |session| {
        let given = [session.csrf_token().unwrap(), session.csrf_token().unwrap()];
        assert_ne!(given[0], given[1]);
        given
    });
    let verify = |jar: &Jar, token: &str| code(world.open(jar).verify_csrf(token));
    for token in &given {
        assert_eq!(verify(&jar, token), None);
        assert_eq!(verify(&other, token), Some(ErrorCode::InvalidValue));
        for at in 0..token.len() {
            let mut changed = token.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(verify(&jar, &changed).is_some(), "{at}");
            assert!(verify(&jar, &token[..at]).is_some(), "{at}");
        }
    }
    // A CSRF token needs a session here, and one from before a rotation is refused.
    assert!(code(world.load(Head::default()).verify_csrf(&given[0])).is_some());
    world.visit(&mut jar, |session| session.cycle_key().unwrap());
    assert!(verify(&jar, &given[0]).is_some());
    assert_eq!(world.store.count(Kind::Delete), 0);
}
