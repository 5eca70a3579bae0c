//! A store that does not answer: `SESSION_STORE_TIMEOUT` ends the wait, and the write counts as in
//! progress.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use crate::common::*;
use edge_session::connector::ConnectorErrorKind;
use edge_session::{ErrorCode, Outcome, SessionStore, Settings};
use futures_util::future::join;

const TIMEOUT: i64 = 10 * SECOND;

#[test]
fn a_read_that_is_not_answered_is_unavailable_after_the_timeout() {
    for timeout in [10, 3] {
        let world = World::with(Settings::default().with_store_timeout(seconds(timeout)));
        let jar = world.visitor();
        let there = world.elsewhere();
        there.store.hang(Kind::Read);
        let began = world.now();
        let session = there.open(&jar);
        assert_eq!(session.outcome().unwrap(), Outcome::Unavailable);
        assert_eq!(
            world.now() - began,
            i64::try_from(timeout).unwrap() * SECOND
        );
        let error = session.get::<u32>("a").unwrap_err();
        assert_eq!(error.code(), ErrorCode::Unavailable);
        let cause = error.connector_error().unwrap().to_string();
        assert!(cause.contains("(with_store_timeout)"), "{cause}");
        // A retry would double the wait.
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

/// When the late put arrives, it may overwrite the next save. The browser has no copy here, so only
/// this isolate knows the data.
fn without_overlay() -> World {
    World::with(Settings::default().with_overlay(false))
}

/// The contents of the store, read after the browser's fresh cookie has expired.
fn stored_at_last(world: &World, jar: &Jar) -> String {
    world.advance(WINDOW + SECOND);
    shown(&world.elsewhere().open(jar))
}

/// A page that reads the session and changes nothing.
fn read_only(session: &mut SessionStore) {
    session.len().unwrap();
}

#[test]
fn the_next_save_puts_what_is_on_its_way_too() {
    let world = without_overlay();
    let mut jar = world.visitor();
    let mut slow = world.open(&jar);
    slow.set("slow", 1).unwrap();
    world.store.hang(Kind::Put);
    world.try_commit(&mut slow, 200).unwrap_err();

    world.visit(&mut jar, |session| session.set("quick", 2).unwrap());
    assert_eq!(stored_at_last(&world, &jar), "a=1 slow=1 quick=2");
}

#[test]
fn what_arrives_after_the_next_save_is_put_right_by_the_request_that_sees_it() {
    for arrives_after in [5 * SECOND, 25 * SECOND] {
        let world = without_overlay();
        let mut jar = world.visitor();
        let mut slow = world.open(&jar);
        slow.set("slow", 1).unwrap();
        world.store.hang(Kind::Put);
        world.try_commit(&mut slow, 200).unwrap_err();
        world.visit(&mut jar, |session| session.set("quick", 2).unwrap());
        world.store.take_log();
        world.visit(&mut jar, read_only);
        assert_eq!(world.store.count(Kind::Put), 0, "nothing is amiss yet");

        world.advance(arrives_after);
        world.store.arrive();
        world.visit(&mut jar, read_only);
        world.visit(&mut jar, read_only);
        assert_eq!(world.store.count(Kind::Put), 1, "once");
        assert_eq!(stored_at_last(&world, &jar), "a=1 slow=1 quick=2");
    }
}

/// Another isolate learns of it from the browser's cookies.
#[test]
fn another_isolate_puts_right_what_a_late_arrival_replaced() {
    let world = World::new();
    let mut jar = world.visitor();
    let mut slow = world.open(&jar);
    slow.set("slow", 1).unwrap();
    world.store.hang(Kind::Put);
    world.try_commit(&mut slow, 200).unwrap_err();
    world.visit(&mut jar, |session| session.set("quick", 2).unwrap());
    let there = world.elsewhere();
    there.visit(&mut jar, read_only);
    world.store.arrive();
    there.visit(&mut jar, read_only);
    assert_eq!(stored_at_last(&world, &jar), "a=1 slow=1 quick=2");
}

/// The later save was answered before the earlier one timed out, so no cookie reports it.
#[test]
fn a_put_that_times_out_after_a_later_save_is_put_right_too() {
    let world = without_overlay();
    let mut jar = world.visitor();
    let (mut slow, mut quick) = (world.open(&jar), world.open(&jar));
    slow.set("slow", 1).unwrap();
    quick.set("quick", 2).unwrap();
    world.store.hang(Kind::Put);
    let (slow, quick) = run(join(
        world.sessions.commit(&mut slow, 200),
        world.sessions.commit(&mut quick, 200),
    ));
    slow.unwrap_err();
    jar.receive(world.now(), quick.unwrap().set_cookie());
    world.store.arrive();
    world.visit(&mut jar, read_only);
    assert_eq!(stored_at_last(&world, &jar), "a=1 slow=1 quick=2");
}

/// A put that is retried after a 429 counts as in progress like any other.
#[test]
fn a_put_that_is_tried_again_and_times_out_is_under_way_too() {
    let world = World::new();
    let mut jar = world.visitor();
    world
        .store
        .fail(Kind::Put, 1, ConnectorErrorKind::RateLimited);
    let mut session = world.open(&jar);
    session.set("b", 2).unwrap();
    let headers = {
        let commit = world.sessions.commit(&mut session, 200);
        world.store.hang_after(1, Kind::Put);
        run(commit).unwrap()
    };
    jar.receive(world.now(), headers.set_cookie());
    world.visit(&mut jar, |session| session.set("c", 3).unwrap());
    world.store.arrive();
    world.visit(&mut jar, read_only);
    assert_eq!(stored_at_last(&world, &jar), "a=1 b=2 c=3");
}

/// A first save, and the first under a new key, that are retried in the same request.
#[test]
fn a_new_key_whose_first_put_timed_out_keeps_what_the_second_wrote() {
    for begin in [
        |session: &mut SessionStore| session.bind("ada").unwrap(),
        |session: &mut SessionStore| session.cycle_key().unwrap(),
    ] {
        // Which of two independent versions counts as newer is random.
        for seed in 0..8 {
            let world = World::seeded(Settings::default().with_overlay(false), seed);
            let mut jar = world.visitor();
            let mut session = world.open(&jar);
            session.set("gone", 1).unwrap();
            begin(&mut session);
            world.store.hang(Kind::Put);
            run(session.save()).unwrap_err();
            session.remove("gone").unwrap();
            session.set("b", 2).unwrap();
            let headers = world.commit(&mut session);
            jar.receive(world.now(), headers.set_cookie());
            world.store.arrive();
            world.visit(&mut jar, read_only);
            assert_eq!(stored_at_last(&world, &jar), "a=1 b=2");
        }
    }
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
        assert_eq!(session.outcome().unwrap(), Outcome::Revoked);
    });
    let there = world.elsewhere();
    assert_eq!(there.open(&thief).outcome().unwrap(), Outcome::Revoked);
}

#[test]
fn of_writes_that_are_not_answered_the_others_get_what_is_left_of_the_time() {
    let world = World::new();
    for _ in 0..4 {
        world.member("ada");
    }
    // The owner's own marker is put first.
    world.store.hang_after(1, Kind::Put);
    for _ in 1..8 {
        world.store.hang(Kind::Put);
    }
    let began = world.now();
    let ended = run(world.sessions.revoke_all("ada"));
    assert!(ended.is_err());
    assert_eq!(world.now() - began, 15 * SECOND, "six, then two more");
    world.store.answer_again();
}

/// Several hundred sessions may take longer than fifteen seconds to end.
#[test]
fn the_time_for_tries_begins_again_when_something_succeeds() {
    let world = World::new();
    let jars: Vec<Jar> = (0..4).map(|_| world.member("ada")).collect();
    let began = world.now();
    for kind in [Kind::List, Kind::Read] {
        world.store.fail_slowly(kind, 1, 9 * SECOND);
    }
    run(world.sessions.revoke_all("ada")).unwrap();
    assert!(world.now() - began >= 18 * SECOND);
    for jar in &jars {
        assert_eq!(
            world.elsewhere().open(jar).outcome().unwrap(),
            Outcome::Revoked
        );
    }
    assert_eq!(world.store.names_of("l.").len(), 4);
}

#[test]
fn all_tries_of_a_request_take_fifteen_seconds() {
    let world = World::new();
    let jar = world.visitor();
    for (takes, tries, seconds) in [(8, 2, 16), (7, 3, 15)] {
        let mut session = world.open(&jar);
        session.set("b", takes).unwrap();
        world.store.take_log();
        world.store.fail_slowly(Kind::Put, 2, takes * SECOND);
        if tries == 3 {
            world.store.hang_after(2, Kind::Put);
        }
        let began = world.now();
        let error = run(session.save()).unwrap_err();
        assert_eq!(error.code(), ErrorCode::Unavailable);
        assert_eq!(world.store.count(Kind::Put), tries);
        assert_eq!((world.now() - began) / SECOND, seconds);
        // A write that is in progress for longer counts as lost.
        world.advance(30 * SECOND);
    }
}

#[test]
fn the_longest_timeout_is_that_of_all_tries() {
    assert!(
        Settings::default()
            .with_store_timeout(seconds(15))
            .validate()
            .is_ok()
    );
    assert!(
        Settings::default()
            .with_store_timeout(seconds(16))
            .validate()
            .is_err()
    );
}
