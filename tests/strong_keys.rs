//! New keys and logouts on a store with transactions: one of two new keys wins, and a session is
//! dead when the call that ends it returns.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use crate::common::strong::{StrongWorld, run, shard};
use crate::common::{Jar, KEY, KeyParts, OTHER_SECRET, SECOND, SECRET, code, cookie_names, shown};
use edge_session::connector::ConnectorErrorKind;
use edge_session::{ErrorCode, Outcome, Settings};

#[test]
fn a_new_key_and_the_end_of_the_old_one_are_one_transaction() {
    let world = StrongWorld::new();
    let mut jar = world.visitor();
    let old = jar.clone();
    let before = world.key(&jar);
    world.objects.memory.reset_operations();
    world.visit(&mut jar, |session| session.cycle_key().unwrap());
    assert_eq!(world.objects.memory.operations().transactions, 1);
    let after = world.key(&jar);
    assert_eq!(after.lineage, before.lineage);
    assert_eq!(world.objects.state(&before), Some("rotated"));
    assert_eq!(world.objects.state(&after), Some("live"));

    // For 90 seconds the old key can read the old data, but not save.
    world.visit(&mut jar, |session| session.set("a", 2).unwrap());
    world.clock.advance(89 * SECOND);
    let mut session = world.open(&old);
    assert_eq!(session.outcome().unwrap(), Outcome::Rotated);
    assert_eq!(shown(&session), "a=1");
    session.set("a", 3).unwrap();
    assert_eq!(
        code(world.try_commit(&mut session)),
        Some(ErrorCode::Rotated)
    );
    // Then the request counts as one without a cookie.
    world.clock.advance(SECOND);
    let session = world.open(&old);
    assert_eq!(session.outcome().unwrap(), Outcome::Rotated);
    assert!(session.is_empty().unwrap());
}

#[test]
fn of_two_new_keys_at_the_same_time_one_wins() {
    let world = StrongWorld::new();
    let jar = world.visitor();
    let (mut one, mut two) = (world.open(&jar), world.elsewhere().open(&jar));
    one.cycle_key().unwrap();
    two.cycle_key().unwrap();
    let _ = world.commit(&mut one);
    assert_eq!(code(world.try_commit(&mut two)), Some(ErrorCode::Rotated));
    let shard = world.objects.memory.shards().remove(0);
    let mut states = world.objects.states(&shard);
    states.sort_unstable();
    assert_eq!(states, ["live", "rotated"]);
}

#[test]
fn a_save_during_a_new_key_is_taken_along_or_refused() {
    let world = StrongWorld::new();
    let mut jar = world.visitor();
    let (mut save, mut cycle) = (world.open(&jar), world.open(&jar));
    save.set("b", 2).unwrap();
    cycle.cycle_key().unwrap();
    let _ = world.commit(&mut save);
    let headers = world.commit(&mut cycle);
    let mut late = world.open(&jar);
    jar.receive(world.now(), headers.set_cookie());
    assert_eq!(shown(&world.open(&jar)), "a=1 b=2");
    late.set("b", 3).unwrap();
    assert_eq!(code(world.try_commit(&mut late)), Some(ErrorCode::Rotated));
}

#[test]
fn a_new_key_whose_answer_was_lost_is_the_new_key() {
    let world = StrongWorld::new();
    let mut jar = world.visitor();
    world.objects.lose_answers("a.", 1);
    world.visit(&mut jar, |session| session.cycle_key().unwrap());
    assert_eq!(shown(&world.open(&jar)), "a=1");
}

#[test]
fn a_logout_ends_every_key_at_once_in_one_transaction() {
    for with_old_key in [false, true] {
        let world = StrongWorld::new();
        let mut jar = world.member("ada");
        let old = jar.clone();
        world.visit(&mut jar, |session| session.cycle_key().unwrap());
        let late = &mut world.open(&jar);
        late.set("b", 2).unwrap();
        let mut session = world.open(if with_old_key { &old } else { &jar });
        world.objects.memory.reset_operations();
        run(session.destroy()).unwrap();
        assert_eq!(world.objects.memory.operations().transactions, 1);
        assert_eq!(cookie_names(&world.commit(&mut session)), [KEY]);
        for jar in [&old, &jar] {
            assert_eq!(
                world.elsewhere().open(jar).outcome().unwrap(),
                Outcome::Revoked
            );
        }
        // A save that began before the logout reaches the store after it.
        assert_eq!(code(world.try_commit(late)), Some(ErrorCode::Revoked));
        let shard = world.objects.memory.shards().remove(0);
        assert_eq!(world.objects.states(&shard), ["ended", "ended"]);
        for (_, row) in world.objects.memory.rows(&shard) {
            assert_eq!(row.metadata, None);
        }
    }
}

#[test]
fn an_ended_session_is_quiet_for_90_seconds_and_no_cookie_after_that() {
    let world = StrongWorld::new();
    let mut jar = world.visitor();
    let mut session = world.open(&jar);
    run(session.destroy()).unwrap();
    let mut other = world.open(&jar);
    other.set("b", 2).unwrap();
    assert_eq!(code(world.try_commit(&mut other)), Some(ErrorCode::Revoked));
    world.clock.advance(90 * SECOND);
    world.visit(&mut jar, |session| {
        assert_eq!(session.outcome().unwrap(), Outcome::Revoked);
        session.set("b", 2).unwrap();
    });
    assert_eq!(shown(&world.open(&jar)), "b=2");
}

#[test]
fn a_logout_in_an_outage_is_finished_in_the_right_object_by_the_next_request() {
    let world = StrongWorld::new();
    let mut jar = world.member("ada");
    let copied = jar.clone();
    let key = world.key(&jar);
    world.objects.fail("o.", 2, ConnectorErrorKind::Unavailable);
    let mut session = world.open(&jar);
    let pending = run(session.destroy());
    assert_eq!(code(pending), Some(ErrorCode::RevocationPending));
    jar.receive(world.now(), session.done_headers().set_cookie());
    assert_eq!(world.objects.state(&key), Some("live"));

    world.clock.advance(SECOND);
    let there = world.elsewhere();
    assert_eq!(there.open(&jar).outcome().unwrap(), Outcome::Revoked);
    assert_eq!(world.objects.state(&key), Some("ended"));
    assert_eq!(there.open(&copied).outcome().unwrap(), Outcome::Revoked);
    // Once it is stored, nothing more is written.
    world.objects.memory.reset_operations();
    there.open(&jar);
    assert_eq!(world.objects.memory.operations().transactions, 0);
}

/// To make room, the object has deleted the tombstone of the key that the logout uses.
#[test]
fn a_logout_that_is_finished_later_ends_the_keys_since() {
    let world = StrongWorld::new();
    let mut jar = world.member("ada");
    let mut stolen = jar.clone();
    let key = world.key(&jar);
    world.objects.fail("o.", 2, ConnectorErrorKind::Unavailable);
    let mut session = world.open(&jar);
    let pending = run(session.destroy());
    assert_eq!(code(pending), Some(ErrorCode::RevocationPending));
    jar.receive(world.now(), session.done_headers().set_cookie());
    world.visit(&mut stolen, |session| session.cycle_key().unwrap());
    world.objects.purge(&key);
    assert_eq!(world.objects.state(&key), None);
    assert_eq!(world.open(&jar).outcome().unwrap(), Outcome::Revoked);
    assert_eq!(world.open(&stolen).outcome().unwrap(), Outcome::Revoked);
}

#[test]
fn a_new_key_that_failed_in_doubt_is_not_said_to_be_another_requests() {
    let world = StrongWorld::new();
    let jar = world.visitor();
    let mut session = world.open(&jar);
    session.cycle_key().unwrap();
    world.objects.lose_answers("a.", 2);
    for _ in 0..2 {
        let error = run(session.save()).unwrap_err();
        assert_eq!(error.code(), ErrorCode::Unavailable);
    }
    // If it was not stored, the next save makes it.
    let mut jar = world.visitor();
    let mut session = world.open(&jar);
    session.cycle_key().unwrap();
    world.objects.fail("a.", 2, ConnectorErrorKind::Unavailable);
    assert!(run(session.save()).is_err());
    let headers = world.commit(&mut session);
    jar.receive(world.now(), headers.set_cookie());
    assert_eq!(shown(&world.open(&jar)), "a=1");
}

#[test]
fn a_session_by_its_key_exists_until_it_is_ended() {
    let world = StrongWorld::new();
    let jar = world.visitor();
    let key = world.key(&jar).key();
    let mut admin = world.open(&Jar::new());
    assert!(run(admin.exists_key(&key)).unwrap());
    run(admin.delete_key(&key)).unwrap();
    assert!(!run(admin.exists_key(&key)).unwrap());
    assert_eq!(world.open(&jar).outcome().unwrap(), Outcome::Revoked);
}

// --- while a secret is being replaced ------------------------------------------------------------

fn ring_with_new_signer() -> String {
    format!("{OTHER_SECRET},{SECRET}")
}

#[test]
fn a_new_key_under_another_secret_moves_the_session_to_another_object() {
    let world = StrongWorld::new();
    let mut jar = world.member("ada");
    let (old, before) = (jar.clone(), world.key(&jar));
    let later = world.reconfigured(&ring_with_new_signer());
    later.visit(&mut jar, |session| session.cycle_key().unwrap());
    let after = later.key(&jar);
    assert_ne!(shard(&after), shard(&before));
    assert_eq!(after.lineage, before.lineage);
    assert_eq!(world.objects.state(&before), Some("rotated"));
    assert_eq!(shown(&later.open(&jar)), "a=1");
    assert_eq!(later.open(&old).outcome().unwrap(), Outcome::Rotated);
    assert_eq!(run(later.sessions.list("ada")).unwrap().len(), 1);
}

#[test]
fn what_is_saved_while_a_session_moves_moves_too() {
    let world = StrongWorld::new();
    let mut jar = world.member("ada");
    let later = world.reconfigured(&ring_with_new_signer());
    let (other, theirs) = (world.clone(), jar.clone());
    let mut session = later.open(&jar);
    session.cycle_key().unwrap();
    // After the new row was put, before the old one is ended.
    world.objects.before_second("o.", move || {
        let mut session = other.open(&theirs);
        session.set("b", 2).unwrap();
        let _ = other.commit(&mut session);
    });
    let headers = later.commit(&mut session);
    jar.receive(world.now(), headers.set_cookie());
    assert_eq!(shown(&later.open(&jar)), "a=1 b=2");
}

#[test]
fn a_session_that_dies_while_it_moves_does_not_go_on() {
    let world = StrongWorld::new();
    let jar = world.member("ada");
    let later = world.reconfigured(&ring_with_new_signer());
    let (other, theirs) = (world.clone(), jar.clone());
    let mut session = later.open(&jar);
    session.cycle_key().unwrap();
    world.objects.before_second("o.", move || {
        run(other.open(&theirs).destroy()).unwrap();
    });
    assert_eq!(
        code(later.try_commit(&mut session)),
        Some(ErrorCode::Revoked)
    );
    assert!(session.done_headers().set_cookie().is_empty());
    for shard in world.objects.memory.shards() {
        assert_eq!(world.objects.states(&shard), ["ended"]);
    }
}

/// A thief moves a stolen session into another object. The user's logout has only the old key.
#[test]
fn a_logout_with_the_old_key_ends_a_session_that_a_thief_has_moved() {
    let world = StrongWorld::with(Settings::default());
    let jar = world.member("ada");
    let mut stolen = jar.clone();
    let later = world.reconfigured(&ring_with_new_signer());
    later.visit(&mut stolen, |session| session.cycle_key().unwrap());
    let moved: KeyParts = later.key(&stolen);
    assert_eq!(world.objects.state(&moved), Some("live"));

    let mut session = later.open(&jar);
    run(session.destroy()).unwrap();
    assert_eq!(world.objects.state(&moved), Some("ended"));
    assert_eq!(later.open(&stolen).outcome().unwrap(), Outcome::Revoked);
    // The same without a load.
    let jar = world.member("ada");
    let mut stolen = jar.clone();
    later.visit(&mut stolen, |session| session.cycle_key().unwrap());
    let mut session = later.sessions.open(jar.head(later.now()));
    run(session.destroy()).unwrap();
    assert_eq!(later.open(&stolen).outcome().unwrap(), Outcome::Revoked);
}

fn ring_with_old_signer() -> String {
    format!("{SECRET},{OTHER_SECRET}")
}

/// Two Workers with the same secrets, one of which still signs with the old one. A session moves to
/// the object that `revoke_all` has just visited.
#[test]
fn the_end_of_all_sessions_is_not_passed_by_one_that_moves() {
    let world = StrongWorld::new();
    let [early, later] =
        [ring_with_old_signer(), ring_with_new_signer()].map(|ring| world.reconfigured(&ring));
    let jar = world.member("ada");
    let (there, mut stolen) = (later.clone(), jar.clone());
    world.objects.before_second("o.", move || {
        there.visit(&mut stolen, |session| session.cycle_key().unwrap());
    });
    run(early.sessions.revoke_all("ada")).unwrap();
    for shard in world.objects.memory.shards() {
        let states = world.objects.states(&shard);
        assert!(!states.contains(&"live"), "{shard}: {states:?}");
    }
    assert!(run(later.sessions.list("ada")).unwrap().is_empty());
    // An earlier move does not end a session that was spared.
    let jar = world.member("ada");
    let key = world.key(&jar).key();
    run(early.sessions.revoke_all_except("ada", &key)).unwrap();
    assert_eq!(early.open(&jar).outcome().unwrap(), Outcome::Loaded);
}

/// The same with a logout: a thief moves the session back to an object that the logout has visited.
#[test]
fn a_logout_is_not_passed_by_a_session_that_moves_back() {
    for by_key in [false, true] {
        let world = StrongWorld::new();
        let [early, later] =
            [ring_with_old_signer(), ring_with_new_signer()].map(|ring| world.reconfigured(&ring));
        let jar = world.member("ada");
        let key = world.key(&jar).key();
        let mut stolen = jar.clone();
        later.visit(&mut stolen, |session| session.cycle_key().unwrap());
        let there = early.clone();
        world.objects.before_second("o.", move || {
            there.visit(&mut stolen, |session| session.cycle_key().unwrap());
        });
        if by_key {
            run(later.sessions.revoke("ada", &key)).unwrap();
        } else {
            run(later.open(&jar).destroy()).unwrap();
        }
        for shard in world.objects.memory.shards() {
            let states = world.objects.states(&shard);
            assert!(!states.contains(&"live"), "{shard}: {states:?}");
        }
    }
}

#[test]
fn an_end_in_two_objects_takes_two_transactions_where_nothing_moves() {
    let world = StrongWorld::new();
    let later = world.reconfigured(&ring_with_new_signer());
    let (one, two) = (world.member("ada"), world.member("ada"));
    world.objects.memory.reset_operations();
    run(later.open(&one).destroy()).unwrap();
    assert_eq!(world.objects.memory.operations().transactions, 2);
    world.objects.memory.reset_operations();
    run(later.sessions.revoke_all("ada")).unwrap();
    assert_eq!(world.objects.memory.operations().transactions, 2);
    assert_eq!(later.open(&two).outcome().unwrap(), Outcome::Revoked);
}

/// A logout could not be stored, and a thief moves the session before it is completed. The
/// tombstone cookie does not name the owner.
#[test]
fn a_logout_that_is_finished_later_ends_what_a_thief_has_moved_meanwhile() {
    for cycles_before in [false, true] {
        let world = StrongWorld::new();
        let early = world.reconfigured(&ring_with_old_signer());
        let later = world.reconfigured(&ring_with_new_signer());
        let mut jar = world.member("ada");
        let mut stolen = jar.clone();
        world.objects.fail("o.", 2, ConnectorErrorKind::Unavailable);
        let mut session = later.open(&jar);
        let pending = run(session.destroy());
        assert_eq!(code(pending), Some(ErrorCode::RevocationPending));
        jar.receive(world.now(), session.done_headers().set_cookie());

        if cycles_before {
            early.visit(&mut stolen, |session| session.cycle_key().unwrap());
        }
        later.visit(&mut stolen, |session| session.cycle_key().unwrap());
        let moved = later.key(&stolen);
        assert_eq!(world.objects.state(&moved), Some("live"));
        assert_eq!(later.open(&jar).outcome().unwrap(), Outcome::Revoked);
        assert_eq!(world.objects.state(&moved), Some("ended"));
        assert_eq!(later.open(&stolen).outcome().unwrap(), Outcome::Revoked);
    }
}

/// The secret was replaced several times. A move must not lose the shards that an earlier one has
/// recorded.
#[test]
fn a_move_keeps_what_moves_before_have_written_down() {
    let world = StrongWorld::new();
    let third = "kY2wNb7RzQ4mXc9VtF1hJs6LpD3gEu8AoW5iTxKyBvM";
    let early = world.reconfigured(&format!("{third},{SECRET}"));
    let later = world.reconfigured(&format!("{OTHER_SECRET},{SECRET}"));
    let (mut one, mut two) = (world.member("ada"), world.member("ada"));
    let key = world.key(&one).key();
    early.visit(&mut one, |session| session.cycle_key().unwrap());
    later.visit(&mut two, |session| session.cycle_key().unwrap());
    let all = world.reconfigured(&format!("{OTHER_SECRET},{SECRET},{third}"));
    run(all.open(&Jar::new()).delete_key(&key)).unwrap();
    assert_eq!(all.open(&one).outcome().unwrap(), Outcome::Revoked);
    assert_eq!(all.open(&two).outcome().unwrap(), Outcome::Loaded);
}

/// The same with a key that an administrator has from a log.
#[test]
fn a_key_from_before_a_move_ends_the_session_where_it_is() {
    let world = StrongWorld::new();
    let later = world.reconfigured(&ring_with_new_signer());
    let mut jar = world.member("ada");
    let key = world.key(&jar).key();
    later.visit(&mut jar, |session| session.cycle_key().unwrap());
    run(later.open(&Jar::new()).delete_key(&key)).unwrap();
    assert_eq!(later.open(&jar).outcome().unwrap(), Outcome::Revoked);
}
