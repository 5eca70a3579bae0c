//! A store that does not answer: `SESSION_STORE_TIMEOUT` ends the wait, and what was on its way is
//! taken as that.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod common;

use common::*;
use edge_session::{ErrorCode, Outcome, Settings};

const TIMEOUT: i64 = 10 * SECOND;

#[test]
fn a_read_that_is_not_answered_is_unavailable_after_the_timeout() {
    for seconds in [10, 3] {
        let world = World::with(Settings::default().with_store_timeout(seconds));
        let jar = world.visitor();
        let there = world.elsewhere();
        there.store.hang(Kind::Read);
        let began = world.now();
        let session = there.open(&jar);
        assert_eq!(session.outcome(), Outcome::Unavailable);
        assert_eq!(world.now() - began, i64::from(seconds) * SECOND);
        let error = session.get::<u32>("a").unwrap_err();
        assert_eq!(error.code(), ErrorCode::Unavailable);
        let cause = error.connector_error().unwrap().to_string();
        assert!(cause.contains("SESSION_STORE_TIMEOUT"), "{cause}");
        // Another try would double the wait.
        assert_eq!(world.store.count(Kind::Read), 1);
    }
}

#[test]
fn a_page_that_does_not_look_at_the_session_is_served_without_it() {
    let world = World::new();
    let jar = world.visitor();
    let there = world.elsewhere();
    there.store.hang(Kind::Read);
    let mut session = there.open(&jar);
    assert!(there.commit(&mut session).set_cookie().is_empty());
}

#[test]
fn a_save_that_is_not_answered_fails_in_time_and_keeps_its_changes() {
    let world = World::new();
    let jar = world.visitor();
    let mut session = world.open(&jar);
    session.set("b", 2).unwrap();
    world.store.take_log();
    world.store.hang(Kind::Put);
    let began = world.now();
    let error = run(session.save()).unwrap_err();
    assert_eq!(error.code(), ErrorCode::Unavailable);
    assert_eq!(world.now() - began, TIMEOUT);
    assert_eq!(world.store.count(Kind::Put), 1, "it may be on its way");
    run(session.save()).unwrap();
    assert_eq!(shown(&world.elsewhere().open(&jar)), "a=1 b=2");
}

/// The store may take it after a later save, and would lose what that one wrote: so the later one
/// writes both.
#[test]
fn the_next_save_puts_what_is_on_its_way_too() {
    let world = World::new();
    let mut jar = world.visitor();
    let mut slow = world.open(&jar);
    slow.set("slow", 1).unwrap();
    world.store.hang(Kind::Put);
    world.try_commit(&mut slow, 200).unwrap_err();

    world.visit(&mut jar, |session| session.set("quick", 2).unwrap());
    let stored = shown(&world.elsewhere().open(&jar));
    assert_eq!(stored, "a=1 slow=1 quick=2");

    world.store.arrive();
    let mut session = world.elsewhere().open(&jar);
    assert_eq!(shown(&session), "a=1 slow=1 quick=2");
    session.set("later", 3).unwrap();
    run(session.save()).unwrap();
    let stored = shown(&world.elsewhere().open(&jar));
    assert_eq!(stored, "a=1 slow=1 quick=2 later=3");
}

#[test]
fn what_is_on_its_way_for_half_a_minute_is_taken_as_lost() {
    let world = World::new();
    let mut jar = world.visitor();
    let mut slow = world.open(&jar);
    slow.set("slow", 1).unwrap();
    world.store.hang(Kind::Put);
    world.try_commit(&mut slow, 200).unwrap_err();
    world.advance(30 * SECOND);
    world.visit(&mut jar, |session| session.set("quick", 2).unwrap());
    assert_eq!(shown(&world.elsewhere().open(&jar)), "a=1 quick=2");
}

#[test]
fn a_logout_that_is_not_answered_is_finished_by_the_next_request() {
    let world = World::new();
    let mut jar = world.member("ada");
    let thief = jar.clone();
    let mut session = world.open(&jar);
    world.store.hang(Kind::Put);
    world.store.hang(Kind::Put);
    let began = world.now();
    let error = run(session.destroy()).unwrap_err();
    assert_eq!(error.code(), ErrorCode::RevocationPending);
    assert_eq!(world.now() - began, TIMEOUT, "its markers are put together");
    jar.receive(world.now(), session.done_headers().set_cookie());
    world.visit(&mut jar, |session| {
        assert_eq!(session.outcome(), Outcome::Revoked);
    });
    let there = world.elsewhere();
    assert_eq!(there.open(&thief).outcome(), Outcome::Revoked);
}
