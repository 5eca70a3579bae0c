//! One session at several locations: how a location behaves that does not see a write yet.
//! `World::elsewhere` is another isolate; `TestStore::lag` is a location that shows an old state of
//! the namespace. The simulator has the full model; these are single cases of it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use crate::common::*;
use edge_session::{ErrorCode, Outcome, SessionStore, Settings};

fn without_overlay() -> World {
    World::with(Settings::default().with_overlay(false))
}

// --- read your writes ----------------------------------------------------------------------------

#[test]
fn a_login_is_seen_where_the_store_shows_nothing_yet() {
    let world = World::new();
    world.store.lag();
    let mut jar = world.member("ada");
    let there = world.elsewhere();
    there.visit(&mut jar, |session| {
        assert_eq!(session.outcome().unwrap(), Outcome::Loaded);
        assert_eq!(session.owner().unwrap(), Some("ada"));
        session.set("b", 2).unwrap();
    });
    assert_eq!(shown(&world.elsewhere().open(&jar)), "a=1 b=2");
    world.store.catch_up();
    assert_eq!(shown(&world.elsewhere().open(&jar)), "a=1 b=2");
}

#[test]
fn an_overlay_makes_up_for_an_old_copy() {
    let world = World::new();
    let mut jar = world.visitor();
    world.store.lag();
    world.visit(&mut jar, |session| session.set("a", 2).unwrap());
    let session = world.elsewhere().open(&jar);
    assert_eq!(session.outcome().unwrap(), Outcome::Loaded);
    assert_eq!(shown(&session), "a=2");
}

#[test]
fn an_overlay_counts_for_less_than_w() {
    let world = World::new();
    world.store.lag();
    let mut jar = world.visitor();
    let fresh = jar.value(FRESH).unwrap().to_owned();
    jar.put(FRESH, &fresh);
    world.advance(WINDOW - 1);
    assert_eq!(
        world.elsewhere().open(&jar).outcome().unwrap(),
        Outcome::Loaded
    );
    world.advance(1);
    assert_eq!(
        world.elsewhere().open(&jar).outcome().unwrap(),
        Outcome::Gone
    );
}

#[test]
fn an_overlay_never_brings_back_what_was_ended() {
    let world = World::new();
    let mut jar = world.visitor();
    let old = jar.clone();
    world.visit(&mut jar, |session| destroy(session).unwrap());
    assert_eq!(
        world.elsewhere().open(&old).outcome().unwrap(),
        Outcome::Revoked
    );
}

#[test]
fn an_overlay_belongs_to_its_token() {
    let world = World::new();
    let (mut one, two) = (world.visitor(), world.visitor());
    world.visit(&mut one, |session| session.set("of", "one").unwrap());
    let mut mixed = two.clone();
    mixed.put(FRESH, one.value(FRESH).unwrap());
    let session = world.elsewhere().open(&mixed);
    assert_eq!(session.outcome().unwrap(), Outcome::Loaded);
    assert_eq!(shown(&session), "a=1");
}

#[test]
fn an_overlay_that_was_changed_is_not_read() {
    let world = World::new();
    let mut jar = world.visitor();
    world.store.lag();
    world.visit(&mut jar, |session| session.set("a", 2).unwrap());
    let fresh = jar.value(FRESH).unwrap().to_owned();
    // In the sealed data: before the tag of the seal, which the cookie's own tag authenticates.
    let at = fresh.len() - 40;
    let other = if fresh.as_bytes()[at] == b'A' {
        "B"
    } else {
        "A"
    };
    let changed = format!("{}{other}{}", &fresh[..at], &fresh[at + 1..]);
    assert_eq!(shown(&world.elsewhere().open(&jar)), "a=2");
    jar.put(FRESH, &changed);
    // The cookie's version is still valid: the store shows an older one.
    assert_eq!(
        world.elsewhere().open(&jar).outcome().unwrap(),
        Outcome::Stale
    );
}

#[test]
fn a_session_too_large_for_the_cookie_has_no_overlay() {
    let world = World::new();
    let mut jar = Jar::new();
    world.visit(&mut jar, |session| {
        session.set("a", "x".repeat(2_000)).unwrap()
    });
    let with = jar.value(FRESH).unwrap().len();
    assert!((2_000..=3_600).contains(&with), "{with}");
    world.visit(&mut jar, |session| {
        session.set("b", "x".repeat(2_000)).unwrap()
    });
    let without = jar.value(FRESH).unwrap().len();
    assert!(without <= 120, "{without}");
}

#[test]
fn without_sealing_nothing_travels_and_the_record_is_json() {
    let world = World::with(Settings::default().with_seal(false));
    let mut jar = Jar::new();
    world.visit(&mut jar, |session| {
        session.set("secret", "x".repeat(50)).unwrap()
    });
    assert!(jar.value(FRESH).unwrap().len() <= 120);
    let record = world.store.get(&world.session_key(&jar).record()).unwrap();
    assert!(
        record.starts_with('{') && record.contains("secret"),
        "{record}"
    );
    world.visit(&mut jar, |session| {
        session.set("b", 2).unwrap();
        session.remove("secret").unwrap();
        session.flash("f", 1).unwrap();
    });
    let mut session = world.elsewhere().open(&jar);
    assert_eq!(shown(&session), "b=2");
    assert_eq!(session.take_flash("f").unwrap(), Some(1));
}

// --- where that is not enough --------------------------------------------------------------------

#[test]
fn nothing_there_yet_is_pending_and_nothing_is_made() {
    let world = without_overlay();
    world.store.lag();
    let jar = world.visitor();
    let there = world.elsewhere();
    for wait in [0, WINDOW - 1] {
        world.clock.set(START + wait);
        let mut session = there.open(&jar);
        assert_eq!(session.outcome().unwrap(), Outcome::Pending);
        let pending = Some(ErrorCode::Pending);
        assert_eq!(code(session.len()), pending);
        assert_eq!(code(session.set("b", 2)), pending);
        assert_eq!(code(session.create()), pending);
        assert_eq!(code(session.cycle_key()), pending);
        assert_eq!(session.refusal().unwrap().code(), ErrorCode::Pending);
        let headers = there.commit(&mut session);
        assert!(headers.set_cookie().is_empty());
        assert!(headers.depends_on_session());
    }
    world.clock.set(START + WINDOW);
    assert_eq!(there.open(&jar).outcome().unwrap(), Outcome::Gone);
    world.store.catch_up();
    assert_eq!(there.open(&jar).outcome().unwrap(), Outcome::Loaded);
}

#[test]
fn an_old_copy_is_stale_and_can_be_read() {
    let world = without_overlay();
    let mut jar = world.visitor();
    world.store.lag();
    world.advance(HOUR);
    world.visit(&mut jar, |session| session.set("a", 2).unwrap());
    let there = world.elsewhere();
    let saved_at = world.now();
    for wait in [0, WINDOW - 1] {
        world.clock.set(saved_at + wait);
        let mut session = there.open(&jar);
        assert_eq!(session.outcome().unwrap(), Outcome::Stale);
        assert_eq!(shown(&session), "a=1");
        let key = session.session_key().unwrap().unwrap();
        assert!(run(session.exists()).unwrap());
        assert!(run(session.exists_key(&key)).unwrap());
        session.set("b", 2).unwrap();
        let stale = Some(ErrorCode::Stale);
        assert_eq!(code(session.cycle_key()), stale);
        assert_eq!(code(session.create()), stale);
        assert_eq!(code(save(&mut session)), stale);
        assert_eq!(code(there.try_commit(&mut session, 200)), stale);
        assert!(session.done_headers().set_cookie().is_empty());
    }
    // One lost put must not block a session for days.
    world.clock.set(saved_at + WINDOW);
    there.visit(&mut jar, |session| {
        assert_eq!(session.outcome().unwrap(), Outcome::Loaded);
        session.set("b", 2).unwrap();
    });
    world.store.catch_up();
    assert_eq!(world.elsewhere().open(&jar).version().unwrap(), 2);
}

#[test]
fn a_stale_copy_whose_end_has_passed_is_pending_not_expired() {
    let world = without_overlay();
    let mut jar = world.visitor();
    world.visit(&mut jar, |session| session.set_expiry(60).unwrap());
    world.store.lag();
    world.advance(59 * SECOND);
    world.visit(&mut jar, |session| session.set_expiry(600).unwrap());
    world.advance(SECOND);
    assert_eq!(
        world.elsewhere().open(&jar).outcome().unwrap(),
        Outcome::Pending
    );
    world.store.catch_up();
    assert_eq!(
        world.elsewhere().open(&jar).outcome().unwrap(),
        Outcome::Loaded
    );
}

#[test]
fn a_stripped_fresh_cookie_costs_only_the_floor() {
    let world = World::new();
    let mut jar = world.visitor();
    world.store.lag();
    world.visit(&mut jar, |session| session.set("a", 2).unwrap());
    jar.forget(FRESH);
    let session = world.elsewhere().open(&jar);
    assert_eq!(session.outcome().unwrap(), Outcome::Loaded);
    assert_eq!(shown(&session), "a=1");
}

// --- parallel saves ------------------------------------------------------------------------------

/// Two requests of one browser at once, in two isolates or in one.
fn in_parallel(
    world: &World,
    jar: &mut Jar,
    other: &World,
    pause: i64,
    one: impl FnOnce(&mut SessionStore),
    two: impl FnOnce(&mut SessionStore),
) {
    let (mut first, mut second) = (world.open(jar), other.open(jar));
    one(&mut first);
    two(&mut second);
    let headers = world.commit(&mut first);
    jar.receive(world.now(), headers.set_cookie());
    world.advance(pause);
    let headers = other.commit(&mut second);
    jar.receive(world.now(), headers.set_cookie());
}

#[test]
fn parallel_writes_of_different_keys_both_survive() {
    for (elsewhere, pause) in [
        (false, 0),
        (false, 5 * SECOND),
        (true, SECOND),
        (true, HOUR),
    ] {
        let world = World::new();
        let mut jar = world.visitor();
        let other = if elsewhere {
            world.elsewhere()
        } else {
            world.clone()
        };
        in_parallel(
            &world,
            &mut jar,
            &other,
            pause,
            |session| session.set("x", 1).unwrap(),
            |session| {
                session.set("y", 2).unwrap();
                session.remove("a").unwrap();
            },
        );
        for world in [&world, &other, &world.elsewhere()] {
            assert_eq!(sorted(&world.open(&jar)), "x=1 y=2", "{elsewhere} {pause}");
        }
    }
}

#[test]
fn of_parallel_writes_of_one_key_the_later_counts() {
    for elsewhere in [false, true] {
        let world = World::new();
        let mut jar = world.visitor();
        let other = if elsewhere {
            world.elsewhere()
        } else {
            world.clone()
        };
        in_parallel(
            &world,
            &mut jar,
            &other,
            SECOND,
            |session| session.set("a", 2).unwrap(),
            |session| session.set("a", 3).unwrap(),
        );
        assert_eq!(shown(&world.elsewhere().open(&jar)), "a=3");
    }
}

#[test]
fn a_clear_beside_a_write_clears_what_it_saw() {
    let world = World::new();
    let mut jar = world.visitor();
    in_parallel(
        &world,
        &mut jar,
        &world.elsewhere(),
        SECOND,
        |session| session.set("x", 1).unwrap(),
        |session| {
            session.clear().unwrap();
            session.set("y", 2).unwrap();
        },
    );
    // The clear was saved later, so it removes everything.
    assert_eq!(shown(&world.elsewhere().open(&jar)), "y=2");
}

#[test]
fn a_flash_taken_beside_a_write_stays_taken() {
    let world = World::new();
    let mut jar = world.visitor();
    world.visit(&mut jar, |session| session.flash("note", "hi").unwrap());
    in_parallel(
        &world,
        &mut jar,
        &world.elsewhere(),
        SECOND,
        |session| assert!(session.take_flash::<String>("note").unwrap().is_some()),
        |session| session.set("x", 1).unwrap(),
    );
    let mut session = world.elsewhere().open(&jar);
    assert_eq!(session.take_flash::<String>("note").unwrap(), None);
    assert_eq!(shown(&session), "a=1 x=1");
}

#[test]
fn an_end_set_beside_a_write_is_kept() {
    let world = World::new();
    let mut jar = world.visitor();
    in_parallel(
        &world,
        &mut jar,
        &world.elsewhere(),
        SECOND,
        |session| session.set_expiry(instant(START + HOUR)).unwrap(),
        |session| session.set("x", 1).unwrap(),
    );
    let session = world.elsewhere().open(&jar);
    assert_eq!(session.get_expiry_date().unwrap(), instant(START + HOUR));
    assert_eq!(shown(&session), "a=1 x=1");
}

#[test]
fn a_save_beside_a_rotation_is_refused_and_the_rotation_stands() {
    for elsewhere in [false, true] {
        let world = World::new();
        let mut jar = world.visitor();
        let other = if elsewhere {
            world.elsewhere()
        } else {
            world.clone()
        };
        let mut slow = other.open(&jar);
        slow.set("b", 2).unwrap();
        world.visit(&mut jar, |session| session.cycle_key().unwrap());
        let cycled = jar.clone();
        world.advance(SECOND);
        assert_eq!(
            code(other.try_commit(&mut slow, 200)),
            Some(ErrorCode::Rotated)
        );
        jar.receive(world.now(), slow.done_headers().set_cookie());
        assert_eq!(jar, cycled);
        assert_eq!(shown(&other.open(&jar)), "a=1");
    }
}

#[test]
fn a_removed_key_does_not_come_back_with_an_old_copy() {
    let world = World::new();
    let mut jar = world.visitor();
    world.store.lag();
    world.visit(&mut jar, |session| {
        session.remove("a").unwrap();
        session.set("b", 2).unwrap();
    });
    let there = world.elsewhere();
    there.visit(&mut jar, |session| {
        assert_eq!(shown(session), "b=2");
        session.set("c", 3).unwrap();
    });
    world.store.catch_up();
    assert_eq!(shown(&world.elsewhere().open(&jar)), "b=2 c=3");
}

#[test]
fn copies_that_did_not_know_of_each_other_are_joined_and_stored_by_who_finds_them() {
    let world = World::new();
    let mut jar = world.visitor();
    let (mut one, mut two) = (world.open(&jar), world.elsewhere().open(&jar));
    one.set("x", 1).unwrap();
    two.set("y", 2).unwrap();
    let first = world.commit(&mut one);
    // Less than a second after the load, a save does not read again.
    let _ = world.elsewhere().commit(&mut two);
    jar.receive(world.now(), first.set_cookie());
    world.store.take_log();
    let third = world.elsewhere();
    third.visit(&mut jar, |session| {
        assert_eq!(sorted(session), "a=1 x=1 y=2");
    });
    assert_eq!(
        world.store.count(Kind::Put),
        1,
        "a read found it and put it"
    );
    jar.forget(FRESH);
    assert_eq!(sorted(&world.elsewhere().open(&jar)), "a=1 x=1 y=2");
}

#[test]
fn a_read_that_stores_a_join_stores_nothing_that_was_declared_unsaved() {
    let world = World::new();
    let mut jar = world.visitor();
    let (mut one, mut two) = (world.open(&jar), world.elsewhere().open(&jar));
    one.set("x", 1).unwrap();
    two.set("y", 2).unwrap();
    let first = world.commit(&mut one);
    let _ = world.elsewhere().commit(&mut two);
    jar.receive(world.now(), first.set_cookie());
    world.store.take_log();
    let third = world.elsewhere();
    let mut session = third.open(&jar);
    session.set("draft", 1).unwrap();
    session.remove("a").unwrap();
    session.set_expiry(60).unwrap();
    session.set_modified(false).unwrap();
    jar.receive(world.now(), third.commit(&mut session).set_cookie());
    assert_eq!(world.store.count(Kind::Put), 1);
    assert_eq!(sorted(&session), "draft=1 x=1 y=2");
    for forgets in [false, true] {
        if forgets {
            jar.forget(FRESH);
        }
        let session = world.elsewhere().open(&jar);
        assert_eq!(sorted(&session), "a=1 x=1 y=2");
        assert!(session.get_expiry_age().unwrap() > seconds(60));
    }
}

#[test]
fn a_request_that_outlived_a_tombstone_brings_nothing_back() {
    let world = World::new();
    let mut jar = world.visitor();
    let mut slow = world.elsewhere().open(&jar);
    world.visit(&mut jar, |session| session.remove("a").unwrap());
    world.advance(12 * WINDOW);
    // This save drops the tombstone.
    world.visit(&mut jar, |session| session.set("b", 2).unwrap());
    slow.set("c", 3).unwrap();
    jar.receive(
        world.now(),
        world.elsewhere().commit(&mut slow).set_cookie(),
    );
    assert_eq!(shown(&world.elsewhere().open(&jar)), "b=2 c=3");
}

// --- one write a second --------------------------------------------------------------------------

#[test]
fn a_save_that_the_store_limits_travels_with_the_browser_and_is_put_later() {
    use edge_session::connector::ConnectorErrorKind;
    let world = World::new();
    let mut jar = world.visitor();
    world
        .store
        .fail(Kind::Put, 1, ConnectorErrorKind::RateLimited);
    world.visit(&mut jar, |session| session.set("b", 2).unwrap());
    assert_eq!(shown(&world.elsewhere().open(&jar)), "a=1 b=2");
    // Without waitUntil, the request itself has put it after the second.
    jar.forget(FRESH);
    assert_eq!(shown(&world.elsewhere().open(&jar)), "a=1 b=2");
}

#[test]
fn a_save_that_the_store_limits_and_no_cookie_carries_waits_and_gives_up() {
    use edge_session::connector::ConnectorErrorKind;
    let world = without_overlay();
    let mut jar = world.visitor();
    world
        .store
        .fail(Kind::Put, 1, ConnectorErrorKind::RateLimited);
    let before = world.now();
    world.visit(&mut jar, |session| session.set("b", 2).unwrap());
    assert!(world.now() - before >= 1_000);
    assert_eq!(shown(&world.elsewhere().open(&jar)), "a=1 b=2");

    world
        .store
        .fail(Kind::Put, 99, ConnectorErrorKind::RateLimited);
    let mut session = world.open(&jar);
    session.set("b", 3).unwrap();
    assert_eq!(
        code(world.try_commit(&mut session, 200)),
        Some(ErrorCode::RateLimited)
    );
    assert!(session.done_headers().set_cookie().is_empty());
    world.store.mend();
    assert_eq!(shown(&world.elsewhere().open(&jar)), "a=1 b=2");
}

/// The one that the store refuses is in the record of the other, so nothing has to be put again, which
/// could replace what another isolate has saved since.
#[test]
fn of_two_saves_at_once_the_accepted_one_is_enough() {
    use edge_session::connector::ConnectorErrorKind;
    let world = World::new();
    let mut jar = world.visitor();
    let name = world.session_key(&jar).record();
    let before = world.store.get(&name).unwrap();
    let (mut one, mut two) = (world.open(&jar), world.open(&jar));
    one.set("b", 2).unwrap();
    two.set("c", 3).unwrap();
    world
        .store
        .fail(Kind::Put, 1, ConnectorErrorKind::RateLimited);
    world.store.take_log();
    let commits = futures_util::future::join(
        world.sessions.commit(&mut one, 200),
        world.sessions.commit(&mut two, 200),
    );
    let (first, second) = run(commits);
    assert_eq!(world.store.count(Kind::Put), 2);
    // The response of the earlier save arrives last, and says what both have saved.
    jar.receive(world.now(), second.unwrap().set_cookie());
    jar.receive(world.now(), first.unwrap().set_cookie());
    assert_eq!(sorted(&world.elsewhere().open(&jar)), "a=1 b=2 c=3");
    // So does a location that shows neither.
    world.store.set(&name, &before);
    assert_eq!(sorted(&world.elsewhere().open(&jar)), "a=1 b=2 c=3");
}

// --- the isolate's memory ------------------------------------------------------------------------

#[test]
fn an_isolate_that_read_lately_asks_nobody() {
    let world = World::new();
    let jar = world.visitor();
    let _first = world.open(&jar);
    world.store.take_log();
    world.advance(10 * SECOND - 1);
    assert_eq!(shown(&world.open(&jar)), "a=1");
    assert_eq!(world.store.operations(), 0);
    world.advance(1);
    let _again = world.open(&jar);
    assert_eq!(world.store.count(Kind::Read), 1);
}

#[test]
fn an_isolate_that_put_a_record_still_reads_the_markers() {
    let world = World::new();
    let jar = world.visitor();
    let _session = world.open(&jar);
    assert_eq!(
        world.store.count(Kind::Read),
        1,
        "a put is no read of a marker"
    );
}

#[test]
fn a_logout_elsewhere_is_heard_within_the_bound() {
    let world = World::new();
    let mut jar = world.visitor();
    let old = jar.clone();
    let other = world.elsewhere();
    assert_eq!(other.open(&old).outcome().unwrap(), Outcome::Loaded);
    world.visit(&mut jar, |session| destroy(session).unwrap());
    assert_eq!(
        other.open(&old).outcome().unwrap(),
        Outcome::Loaded,
        "its own memory, for a while"
    );
    let fresh = run(other.sessions.load_fresh(old.head(world.now())));
    assert_eq!(
        fresh.outcome().unwrap(),
        Outcome::Revoked,
        "asked for the freshest"
    );
    let remembered = world.sessions.settings().isolate_cache_ttl();
    world.advance(remembered.as_millis().try_into().unwrap());
    assert_eq!(other.open(&old).outcome().unwrap(), Outcome::Revoked);
}

#[test]
fn an_isolate_without_memory_asks_every_time() {
    let world = World::with(Settings::default().with_isolate_cache_ttl(seconds(0)));
    let jar = world.visitor();
    for reads in 1..4 {
        let _session = world.open(&jar);
        assert_eq!(world.store.count(Kind::Read), reads);
    }
}
