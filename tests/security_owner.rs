//! Ending the sessions of a user, from wherever they are known.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod common;

use common::*;
use edge_session::{ErrorCode, Outcome, Settings};

fn outcome(world: &World, jar: &Jar) -> Outcome {
    world.elsewhere().open(jar).outcome()
}

fn is_alive(world: &World, jar: &Jar) -> bool {
    outcome(world, jar) == Outcome::Loaded
}

#[test]
fn every_session_of_a_user_can_be_ended_at_once() {
    let world = World::new();
    let jars: Vec<Jar> = (0..5).map(|_| world.member("ada")).collect();
    let (other, anonymous) = (world.member("grace"), world.visitor());
    world.advance(3 * SECOND);
    run(world.sessions.revoke_all("ada", None)).unwrap();
    for jar in &jars {
        assert_eq!(outcome(&world, jar), Outcome::Revoked);
    }
    assert!(is_alive(&world, &other) && is_alive(&world, &anonymous));
}

#[test]
fn a_session_too_new_to_be_listed_is_ended_too() {
    let world = World::new();
    let jar = world.member("ada");
    let name = world.session_key(&jar).record();
    // The listing has not heard of it; the browser carries it.
    let record = world.store.get(&name).unwrap();
    world.store.remove(&name);
    run(world.sessions.revoke_all("ada", None)).unwrap();
    world.store.set(&name, &record);
    assert_eq!(outcome(&world, &jar), Outcome::Revoked);
}

#[test]
fn every_other_session_can_be_ended_and_one_kept() {
    let world = World::new();
    let jars: Vec<Jar> = (0..4).map(|_| world.member("ada")).collect();
    let kept = world.session_key(&jars[2]).text();
    world.advance(3 * SECOND);
    run(world.sessions.revoke_all("ada", Some(&kept))).unwrap();
    let alive: Vec<bool> = jars.iter().map(|jar| is_alive(&world, jar)).collect();
    assert_eq!(alive, [false, false, true, false]);
}

#[test]
fn a_login_after_the_end_of_all_stays_logged_in() {
    let world = World::new();
    let mut jar = world.member("ada");
    run(world.sessions.revoke_all("ada", None)).unwrap();
    world.visit(&mut jar, |session| session.bind("ada", false).unwrap());
    assert!(is_alive(&world, &jar));
}

/// Session keys are safe to log, so anybody may know their parts and put them together.
#[test]
fn a_session_key_of_parts_of_several_ends_nothing() {
    let world = World::new();
    let mallory = world.session_key(&world.member("mallory"));
    for jar in [world.member("ada"), world.visitor()] {
        let ada = world.session_key(&jar);
        world.store.take_log();
        for tag in [&mallory.tag, &ada.tag, &"A".repeat(22)] {
            for owner in [&mallory.owner, &ada.owner] {
                let (lineage, derived) = (&ada.lineage, &ada.derived);
                let spliced = format!("{owner}.{lineage}.{derived}.{tag}");
                if spliced == ada.text() {
                    continue;
                }
                let refused = Some(ErrorCode::NotFound);
                let sessions = &world.sessions;
                let revoked = run(sessions.revoke("mallory", &spliced));
                assert_eq!(code(revoked), refused, "{spliced}");
                let spared = run(sessions.revoke_all("mallory", Some(&spliced)));
                assert_eq!(code(spared), refused, "{spliced}");
                let mut session = world.load(Head::default());
                assert!(!run(session.exists(Some(&spliced))).unwrap(), "{spliced}");
                let deleted = run(session.delete(Some(&spliced)));
                assert_eq!(code(deleted), refused, "{spliced}");
            }
        }
        assert_eq!(world.store.operations(), 0, "nothing is read or written");
        assert!(is_alive(&world.elsewhere(), &jar));
    }
}

#[test]
fn a_user_ends_one_session_by_its_public_key_and_only_his_own() {
    let world = World::new();
    let (laptop, phone) = (world.member("ada"), world.member("ada"));
    let key = world.session_key(&phone).text();
    let foreign = run(world.sessions.revoke("grace", &key));
    assert_eq!(code(foreign), Some(ErrorCode::NotFound));
    for bad in ["", "x", "-.a.b", &key[1..], &format!("{key}x")] {
        let refused = run(world.sessions.revoke("ada", bad));
        assert_eq!(code(refused), Some(ErrorCode::NotFound), "{bad}");
    }
    assert!(is_alive(&world, &phone));
    run(world.sessions.revoke("ada", &key)).unwrap();
    assert_eq!(outcome(&world, &phone), Outcome::Revoked);
    assert!(is_alive(&world, &laptop));
}

#[test]
fn a_list_shows_one_entry_a_session_and_nothing_that_opens_one() {
    let world = World::new();
    let mut jar = world.member("ada");
    let anonymous = Jar::new();
    for place in ["CH", "FR"] {
        world.advance(SECOND);
        let mut session = world.load(Head {
            cookie: jar.header(world.now()),
            user_agent: Some("Browser/1".into()),
            place: Some(place.into()),
            ..Head::default()
        });
        session.cycle_key().unwrap();
        let headers = world.commit(&mut session);
        jar.receive(world.now(), headers.set_cookie());
    }
    let listed = run(world.sessions.list("ada")).unwrap();
    assert_eq!(listed.len(), 1);
    let entry = &listed[0];
    assert_eq!(entry.key, world.session_key(&jar).text());
    assert_eq!(entry.user_agent.as_deref(), Some("Browser/1"));
    assert_eq!(entry.place.as_deref(), Some("FR"));
    assert_eq!(
        (entry.created, entry.last_written),
        (START, START + 2 * SECOND)
    );
    // The public key presented as a cookie, whole or in parts, is nobody's.
    for part in entry.key.split('.').chain([&*entry.key]) {
        let mut forger = anonymous.clone();
        forger.put(KEY, part);
        assert_eq!(outcome(&world, &forger), Outcome::Rejected);
    }
    run(world.sessions.revoke_all("ada", None)).unwrap();
    assert_eq!(run(world.sessions.list("ada")).unwrap(), []);
}

#[test]
fn user_agent_and_place_are_shown_and_decide_nothing() {
    let world = World::new();
    let jar = world.member("ada");
    for (user_agent, place) in [(None, None), (Some("Other/2"), Some("JP"))] {
        let session = world.load(Head {
            cookie: jar.header(world.now()),
            user_agent: user_agent.map(str::to_owned),
            place: place.map(str::to_owned),
            ..Head::default()
        });
        assert_eq!(session.outcome(), Outcome::Loaded);
        assert_eq!(session.owner().unwrap(), Some("ada"));
    }
}

#[test]
fn over_the_limit_the_oldest_session_ends() {
    let world = World::with(Settings::default().with_max_per_owner(2));
    let mut jars = Vec::new();
    for _ in 0..4 {
        world.advance(MINUTE);
        jars.push(world.member("ada"));
    }
    let alive: Vec<bool> = jars.iter().map(|jar| is_alive(&world, jar)).collect();
    assert_eq!(alive, [false, false, true, true]);
    let without = World::new();
    let jars: Vec<Jar> = (0..4).map(|_| without.member("ada")).collect();
    assert!(jars.iter().all(|jar| is_alive(&without, jar)));
}

#[test]
fn dropping_a_secret_ends_every_session_under_it() {
    let world = World::new();
    let jars = [world.member("ada"), world.member("grace"), world.visitor()];
    let both = format!("{OTHER_SECRET},{SECRET}");
    let rolling = world.reconfigured(&both, Settings::default());
    assert!(
        jars.iter()
            .all(|jar| rolling.open(jar).outcome() == Outcome::Loaded)
    );
    let dropped = world.reconfigured(OTHER_SECRET, Settings::default());
    dropped.store.take_log();
    for jar in &jars {
        assert_eq!(dropped.open(jar).outcome(), Outcome::Rejected);
    }
    assert_eq!(dropped.store.operations(), 0);
}
