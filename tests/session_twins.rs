//! Several key cookies of one name: after a change of the cookie's attributes, or set by a sibling
//! host.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use crate::common::*;
use edge_session::{ErrorCode, Keep, Outcome, Settings};

const PARTITIONED: &str = "Partitioned";

/// A browser with the session cookies of `own`, and those of `others` beside them.
fn joined(own: &Jar, others: &[Jar]) -> Jar {
    let mut jar = own.clone();
    for (place, other) in others.iter().enumerate() {
        jar.add_twins(other, &format!("Domain=d{place}.example"));
    }
    jar
}

fn keys(jar: &Jar, name: &str) -> usize {
    jar.values(name).count()
}

// --- a change of the settings --------------------------------------------------------------------

#[test]
fn a_login_after_the_domain_of_the_cookies_has_changed() {
    let name = "__Secure-id";
    let without = Settings::default().with_cookie_name(name);
    let with = without.clone().with_cookie_domain("shop.example");
    for (before, after, knows_the_twin) in [(&with, &without, false), (&without, &with, true)] {
        let world = World::with(before.clone());
        let mut jar = world.member("ada");
        let world = world.reconfigured(SECRET, after.clone());
        world.visit(&mut jar, |session| {
            session.bind_with("ada", Keep::Nothing).unwrap()
        });
        assert_eq!(keys(&jar, name), 2, "the browser has both");

        // The session that the login has ended does not count.
        for world in [&world, &world.elsewhere()] {
            world.store.take_log();
            let session = world.open(&jar);
            assert_eq!(session.outcome().unwrap(), Outcome::Loaded);
            assert_eq!(session.owner().unwrap(), Some("ada"));
            assert_eq!(world.store.operations(), 1, "in one read");
        }
        world.visit(&mut jar, |session| session.set("b", 2).unwrap());
        assert_eq!(shown(&world.elsewhere().open(&jar)), "b=2");

        // The next login removes the other cookie, if its attributes are known.
        world.advance(HOUR);
        world.visit(&mut jar, |session| {
            session.bind_with("bob", Keep::Nothing).unwrap()
        });
        assert_eq!(keys(&jar, name), if knows_the_twin { 1 } else { 2 });
        let session = world.elsewhere().open(&jar);
        assert_eq!(session.owner().unwrap(), Some("bob"));

        // A logout ends it even if the browser keeps its cookie.
        world.visit(&mut jar, |session| destroy(session).unwrap());
        let session = world.elsewhere().open(&jar);
        assert!(session.is_empty().unwrap());
    }
}

#[test]
fn a_login_and_a_rotation_after_partitioned_was_switched() {
    for on in [true, false] {
        let world = World::with(Settings::default().with_cookie_partitioned(!on));
        let (mut member, mut visitor) = (world.member("ada"), world.visitor());
        let settings = Settings::default().with_cookie_partitioned(on);
        let world = world.reconfigured(SECRET, settings);
        // A session continues, in a cookie with the other attributes.
        world.visit(&mut visitor, |session| session.cycle_key().unwrap());
        assert_eq!(keys(&visitor, KEY), 2);
        for wait in [0, SECOND, WINDOW] {
            world.advance(wait);
            let session = world.elsewhere().open(&visitor);
            assert_eq!(session.outcome().unwrap(), Outcome::Loaded);
            assert_eq!(shown(&session), "a=1");
        }
        for jar in [&mut member, &mut visitor] {
            world.visit(jar, |session| {
                session.bind_with("bob", Keep::Nothing).unwrap()
            });
            let session = world.elsewhere().open(jar);
            assert_eq!(session.outcome().unwrap(), Outcome::Loaded);
            assert_eq!(session.owner().unwrap(), Some("bob"));
            world.visit(jar, |session| {
                session.bind_with("ada", Keep::Nothing).unwrap()
            });
            assert_eq!(keys(jar, KEY), 1, "the browser is whole again");
            let session = world.elsewhere().open(jar);
            assert_eq!(session.owner().unwrap(), Some("ada"));
        }
    }
}

#[test]
fn a_twin_is_removed_before_the_cookie_is_set() {
    let world = World::new();
    let jar = joined(&world.visitor(), &[world.visitor()]);
    let mut session = world.open(&jar);
    session.bind_with("ada", Keep::Nothing).unwrap();
    let headers = world.commit(&mut session);
    // A browser that does not support `Partitioned` treats both as one cookie and keeps the last
    // one.
    let keys: Vec<&String> = headers
        .set_cookie()
        .iter()
        .filter(|field| field.starts_with(&format!("{KEY}=")))
        .collect();
    assert_eq!(keys.len(), 2);
    assert!(keys[0].contains("Max-Age=0") && keys[0].ends_with(PARTITIONED));
    assert!(!keys[1].contains("Max-Age=0;") && !keys[1].contains(PARTITIONED));
}

// --- which one is meant --------------------------------------------------------------------------

#[test]
fn of_several_live_sessions_none_is_chosen() {
    let world = World::new();
    let browsers: Vec<Jar> = (0..5).map(|_| world.visitor()).collect();
    for several in 2..=5 {
        let jar = joined(&browsers[0], &browsers[1..several]);
        let mut session = world.elsewhere().open(&jar);
        assert_eq!(session.outcome().unwrap(), Outcome::Ambiguous);
        assert!(session.is_empty().unwrap());
        session.set("b", 2).unwrap();
        assert!(world.commit(&mut session).set_cookie().is_empty());
        let reads = usize::from(several <= 4);
        assert_eq!(world.store.operations(), reads, "{several}");
        world.store.take_log();
    }
}

#[test]
fn a_session_that_is_over_does_not_count() {
    let world = World::new();
    let live = world.member("ada");
    let (mut left, mut replaced) = (world.visitor(), world.visitor());
    let (ended, rotated) = (left.clone(), replaced.clone());
    world.visit(&mut left, |session| destroy(session).unwrap());
    world.visit(&mut replaced, |session| session.cycle_key().unwrap());
    let lost = world.visitor();
    world.store.remove(&world.session_key(&lost).record());
    world.advance(WINDOW);
    world.store.take_log();
    for others in [
        vec![ended.clone()],
        vec![rotated.clone()],
        vec![lost.clone()],
        vec![ended.clone(), rotated.clone(), lost.clone()],
    ] {
        let mut jar = joined(&live, &others);
        let world = world.elsewhere();
        let session = world.open(&jar);
        assert_eq!(session.outcome().unwrap(), Outcome::Loaded);
        assert_eq!(session.owner().unwrap(), Some("ada"));
        assert_eq!(world.store.operations(), 1);
        world.visit(&mut jar, |session| session.set("b", 2).unwrap());
        assert_eq!(shown(&world.open(&jar)), "a=1 b=2");
        world.store.take_log();
    }
    // A session that is not visible yet counts as live.
    world.store.lag();
    let young = world.elsewhere().visitor();
    let session = world.elsewhere().open(&joined(&live, &[young]));
    assert_eq!(session.outcome().unwrap(), Outcome::Ambiguous);
    // In an outage it is unknown.
    world.store.outage();
    let session = world.elsewhere().open(&joined(&live, &[ended]));
    assert_eq!(session.outcome().unwrap(), Outcome::Unavailable);
    assert_eq!(code(session.len()), Some(ErrorCode::Unavailable));
}

#[test]
fn a_load_again_judges_all_of_them_again() {
    let world = World::new();
    let (one, mut other) = (world.visitor(), world.visitor());
    let mut session = world.open(&joined(&one, &[other.clone()]));
    assert_eq!(session.outcome().unwrap(), Outcome::Ambiguous);
    world.visit(&mut other, |session| destroy(session).unwrap());
    assert_eq!(run(session.load_fresh()).unwrap(), Outcome::Loaded);
    assert_eq!(run(session.load_fresh()).unwrap(), Outcome::Loaded);
    destroy(&mut session).unwrap();
    assert_eq!(
        world.elsewhere().open(&one).outcome().unwrap(),
        Outcome::Revoked
    );
}

// --- logging out ---------------------------------------------------------------------------------

#[test]
fn a_logout_ends_every_session_of_the_header() {
    for loaded in [true, false] {
        let world = World::new();
        let (one, other) = (world.visitor(), world.member("ada"));
        let mut jar = one.clone();
        jar.add_twins(&other, PARTITIONED);
        let head = jar.head(world.now());
        let mut session = match loaded {
            true => world.load(head),
            false => world.sessions.open(head),
        };
        destroy(&mut session).unwrap();
        jar.receive(world.now(), world.commit(&mut session).set_cookie());
        assert_eq!(jar, Jar::new());
        for thief in [one, other] {
            assert_eq!(
                world.elsewhere().open(&thief).outcome().unwrap(),
                Outcome::Revoked
            );
        }
    }
}

#[test]
fn in_an_outage_every_session_gets_a_tombstone() {
    let world = World::new();
    let (one, other) = (world.visitor(), world.member("ada"));
    let mut jar = one.clone();
    jar.add_twins(&other, PARTITIONED);
    world.store.outage();
    for _ in 0..2 {
        let mut session = world.elsewhere().open(&jar);
        assert_eq!(
            code(destroy(&mut session)),
            Some(ErrorCode::RevocationPending)
        );
        jar.receive(world.now(), world.commit(&mut session).set_cookie());
        assert_eq!(jar.names(), [KEY, KEY], "a tombstone each");
    }
    let tokens: Vec<&str> = one.values(KEY).chain(other.values(KEY)).collect();
    assert!(jar.values(KEY).all(|value| !tokens.contains(&value)));
    world.store.mend();
    world.elsewhere().visit(&mut jar, |session| {
        assert_eq!(session.outcome().unwrap(), Outcome::Revoked);
        session.bind_with("bob", Keep::Nothing).unwrap();
    });
    for thief in [one, other] {
        assert_eq!(
            world.elsewhere().open(&thief).outcome().unwrap(),
            Outcome::Revoked
        );
    }
    assert_eq!(keys(&jar, KEY), 1);
    let session = world.elsewhere().open(&jar);
    assert_eq!(session.owner().unwrap(), Some("bob"));
}

#[test]
fn a_tombstone_beside_a_session_is_finished() {
    let world = World::new();
    let (mut left, live) = (world.visitor(), world.member("ada"));
    let thief = left.clone();
    world.store.outage();
    let mut session = world.open(&left);
    let _pending = destroy(&mut session).unwrap_err();
    left.receive(world.now(), world.commit(&mut session).set_cookie());
    let mut jar = joined(&live, &[left]);

    // Until it is stored, no session of the browser is shown.
    world.elsewhere().visit(&mut jar, |session| {
        assert_eq!(session.outcome().unwrap(), Outcome::Revoked);
        assert_eq!(
            code(session.bind_with("bob", Keep::Nothing)),
            Some(ErrorCode::RevocationPending)
        );
    });
    world.store.mend();
    world.elsewhere().visit(&mut jar, |session| {
        assert_eq!(session.outcome().unwrap(), Outcome::Loaded);
        assert_eq!(session.owner().unwrap(), Some("ada"));
    });
    assert_eq!(
        world.elsewhere().open(&thief).outcome().unwrap(),
        Outcome::Revoked
    );
}

#[test]
fn a_tombstone_beside_its_own_session_makes_room() {
    let world = World::with(Settings::default().with_cookie_partitioned(true));
    let mut jar = world.visitor();
    let world = world.reconfigured(SECRET, Settings::default());
    world.store.outage();
    let mut session = world.open(&jar);
    let _pending = destroy(&mut session).unwrap_err();
    jar.receive(world.now(), world.commit(&mut session).set_cookie());
    assert_eq!(
        keys(&jar, KEY),
        2,
        "the tombstone, and the cookie of before"
    );
    world.store.mend();
    let world = world.elsewhere();
    world.visit(&mut jar, |session| {
        assert_eq!(session.outcome().unwrap(), Outcome::Revoked);
        session.set("b", 2).unwrap();
    });
    assert_eq!(shown(&world.elsewhere().open(&jar)), "b=2");
}

#[test]
fn a_header_full_of_sessions_costs_a_bounded_number_of_puts() {
    let world = World::new();
    let browsers: Vec<Jar> = (0..20).map(|_| world.visitor()).collect();
    let jar = joined(&browsers[0], &browsers[1..]);
    for left in [Some(12), Some(4), None] {
        world.store.take_log();
        let world = world.elsewhere();
        let mut session = world.open(&jar);
        match (left, destroy(&mut session)) {
            (Some(left), Err(error)) => {
                assert_eq!(error.code(), ErrorCode::RevocationPending);
                assert!(
                    error
                        .message()
                        .contains(&format!("{left} of them are left"))
                );
                let headers = world.commit(&mut session);
                assert!(headers.set_cookie().is_empty(), "the browser keeps them");
            }
            (None, result) => {
                result.unwrap();
                let headers = world.commit(&mut session);
                assert!(cookie_names(&headers).contains(&KEY));
            }
            (_, result) => panic!("{left:?} {result:?}"),
        }
        assert!(world.store.count(Kind::Put) <= 16);
        assert_eq!(world.store.count(Kind::Read), 1);
    }
    for thief in &browsers {
        assert_eq!(
            world.elsewhere().open(thief).outcome().unwrap(),
            Outcome::Revoked
        );
    }
    // A login has the same limit.
    let browsers: Vec<Jar> = (0..20).map(|_| world.member("ada")).collect();
    let mut jar = joined(&browsers[0], &browsers[1..]);
    world.store.take_log();
    world.visit(&mut jar, |session| {
        session.bind_with("ada", Keep::Nothing).unwrap()
    });
    assert!(world.store.count(Kind::Put) <= 17);
}

#[test]
fn a_login_ends_the_users_session_however_many_others_are_beside_it() {
    let world = World::new();
    let own = world.member("ada");
    let planted: Vec<Jar> = (0..12).map(|_| world.visitor()).collect();
    let mut jar = joined(&own, &planted);
    world.visit(&mut jar, |session| {
        session.bind_with("ada", Keep::Nothing).unwrap();
    });
    let seen = world.elsewhere().open(&own);
    assert_eq!(seen.outcome().unwrap(), Outcome::Revoked);
}

#[test]
fn each_of_many_sessions_in_a_header_is_ended_some_time() {
    let world = World::new();
    let browsers: Vec<Jar> = (0..60).map(|_| world.member("ada")).collect();
    let jar = joined(&browsers[0], &browsers[1..]);
    let tries = (1..100).find(|_| {
        world.advance(SECOND);
        let mut session = world.elsewhere().open(&jar);
        destroy(&mut session).is_ok()
    });
    assert!(tries.is_some(), "it never ends");
    for thief in &browsers {
        let seen = world.elsewhere().open(thief);
        assert_eq!(seen.outcome().unwrap(), Outcome::Revoked);
    }
}

// --- a header over its limits --------------------------------------------------------------------

#[test]
fn a_logout_and_a_login_end_what_is_in_a_header_over_its_limits() {
    for pad in ["x=1; ".repeat(200), format!("x={}; ", "y".repeat(70_000))] {
        for logs_in in [false, true] {
            let world = World::new();
            let jar = world.member("ada");
            let header = format!("{pad}{}", jar.header(world.now()).unwrap());
            let mut session = world.load(Head::cookie(header));
            assert_eq!(session.outcome().unwrap(), Outcome::Rejected);
            if logs_in {
                session.bind_with("bob", Keep::Nothing).unwrap();
            } else {
                destroy(&mut session).unwrap();
            }
            let headers = world.commit(&mut session);
            assert!(cookie_names(&headers).contains(&KEY));
            assert_eq!(
                world.elsewhere().open(&jar).outcome().unwrap(),
                Outcome::Revoked
            );
        }
    }
}

#[test]
fn a_logout_in_an_outage_under_a_header_over_its_limits_leaves_a_tombstone() {
    let world = World::new();
    let mut jar = world.member("ada");
    let thief = jar.clone();
    world.store.outage();
    let header = format!(
        "{}{}",
        "x=1; ".repeat(200),
        jar.header(world.now()).unwrap()
    );
    let mut session = world.load(Head::cookie(header));
    assert_eq!(
        code(destroy(&mut session)),
        Some(ErrorCode::RevocationPending)
    );
    jar.receive(world.now(), world.commit(&mut session).set_cookie());
    world.store.mend();
    world.visit(&mut jar, |session| {
        assert_eq!(session.outcome().unwrap(), Outcome::Revoked);
    });
    assert_eq!(
        world.elsewhere().open(&thief).outcome().unwrap(),
        Outcome::Revoked
    );
}

#[test]
fn a_logout_says_so_where_the_header_is_too_large_to_be_looked_at() {
    let world = World::new();
    let jar = world.visitor();
    let header = jar.header(world.now()).unwrap();
    for pad in [
        format!("x={}; ", "y".repeat(131_072)),
        (0..300).map(|n| format!("{KEY}={n}; ")).collect(),
    ] {
        let mut session = world.load(Head::cookie(format!("{pad}{header}")));
        assert_eq!(code(destroy(&mut session)), Some(ErrorCode::TooLarge));
        let headers = world.commit(&mut session);
        assert!(headers.set_cookie().is_empty(), "it can be tried again");
        assert_eq!(
            world.elsewhere().open(&jar).outcome().unwrap(),
            Outcome::Loaded
        );
    }
}
