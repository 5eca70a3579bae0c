//! Saving on a store with transactions: no update is lost, none is applied twice, and none undoes
//! an intended change of another request.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::time::Duration;

use crate::common::strong::{StrongWorld, run};
use crate::common::{
    DAY, FRESH, Jar, KEY, MINUTE, SECOND, SEEN, code, cookie_names, shown, sorted,
};
use edge_session::connector::ConnectorErrorKind;
use edge_session::{ErrorCode, Outcome, Settings};

#[test]
fn a_load_is_one_read_and_a_save_one_transaction_more() {
    let world = StrongWorld::new();
    let mut jar = world.visitor();
    assert_eq!(jar.names(), [KEY]);
    world.objects.memory.reset_operations();
    world.visit(&mut jar, |session| {
        assert_eq!(session.outcome().unwrap(), Outcome::Loaded);
        session.set("b", 2).unwrap();
    });
    let counts = world.objects.memory.operations();
    assert_eq!((counts.reads, counts.transactions, counts.lists), (1, 1, 0));
    assert_eq!(shown(&world.elsewhere().open(&jar)), "a=1 b=2");
}

#[test]
fn the_answer_says_nothing_of_what_was_saved() {
    let settings = Settings::default().with_idle_timeout(Duration::from_secs(600));
    let world = StrongWorld::with(settings);
    let mut jar = world.visitor();
    let mut session = world.open(&jar);
    session.set("b", 2).unwrap();
    assert!(cookie_names(&world.commit(&mut session)).is_empty());
    // The idle time is extended without a write.
    world.clock.advance(5 * MINUTE);
    let mut session = world.open(&jar);
    let headers = world.commit(&mut session);
    assert_eq!(cookie_names(&headers), [SEEN]);
    jar.receive(world.now(), headers.set_cookie());
    world.clock.advance(9 * MINUTE);
    let mut session = world.open(&jar);
    assert_eq!(session.outcome().unwrap(), Outcome::Loaded);
    run(session.destroy()).unwrap();
    assert!(!cookie_names(&world.commit(&mut session)).contains(&FRESH));
}

#[test]
fn an_absent_session_is_gone_at_once_however_young() {
    let world = StrongWorld::new();
    let jar = world.visitor();
    for shard in world.objects.memory.shards() {
        world.objects.memory.remove_shard(&shard);
    }
    assert_eq!(world.open(&jar).outcome().unwrap(), Outcome::Gone);
}

#[test]
fn parallel_saves_of_different_keys_both_survive() {
    let world = StrongWorld::new();
    let jar = world.visitor();
    let (mut one, mut two) = (world.open(&jar), world.elsewhere().open(&jar));
    one.set("b", 1).unwrap();
    two.set("c", 2).unwrap();
    let _ = world.commit(&mut one);
    let _ = world.commit(&mut two);
    assert_eq!(sorted(&world.open(&jar)), "a=1 b=1 c=2");
    assert_eq!(sorted(&two), "a=1 b=1 c=2", "it goes on with what it found");
}

#[test]
fn a_later_save_of_the_same_request_goes_on_from_the_first() {
    let world = StrongWorld::new();
    let jar = world.visitor();
    let mut session = world.open(&jar);
    session.set("b", 1).unwrap();
    run(session.save()).unwrap();
    session.set("c", 2).unwrap();
    let _ = world.commit(&mut session);
    assert_eq!(world.objects.memory.operations().conflicts, 0);
    assert_eq!(shown(&world.open(&jar)), "a=1 b=1 c=2");
}

#[test]
fn a_save_that_finds_its_row_gone_does_not_put_it_as_if_it_were_new() {
    let world = StrongWorld::new();
    let jar = world.visitor();
    let mut session = world.open(&jar);
    session.set("b", 2).unwrap();
    for shard in world.objects.memory.shards() {
        world.objects.memory.remove_shard(&shard);
    }
    assert_eq!(
        code(world.try_commit(&mut session)),
        Some(ErrorCode::Unavailable)
    );
    assert!(world.objects.memory.shards().is_empty());
    assert_eq!(world.open(&jar).outcome().unwrap(), Outcome::Gone);
}

#[test]
fn a_save_whose_answer_was_lost_is_asked_for_once_more_and_done() {
    let world = StrongWorld::new();
    let jar = world.visitor();
    let mut session = world.open(&jar);
    session.set("b", 2).unwrap();
    world.objects.memory.reset_operations();
    world.objects.lose_answers("a.", 1);
    let _ = world.commit(&mut session);
    assert_eq!(world.objects.memory.operations().transactions, 2);
    assert_eq!(session.version().unwrap(), 2, "it was made once");
    // The first save of a session too.
    let mut jar = Jar::new();
    world.objects.lose_answers("a.", 1);
    world.visit(&mut jar, |session| session.set("a", 1).unwrap());
    assert_eq!(shown(&world.open(&jar)), "a=1");
}

#[test]
fn a_store_that_fails_twice_is_an_error_and_changes_nothing() {
    let world = StrongWorld::new();
    let jar = world.visitor();
    let mut session = world.open(&jar);
    session.set("b", 2).unwrap();
    world.objects.fail("a.", 2, ConnectorErrorKind::Unavailable);
    assert_eq!(
        code(world.try_commit(&mut session)),
        Some(ErrorCode::Unavailable)
    );
    assert_eq!(shown(&world.open(&jar)), "a=1");
}

#[test]
fn an_overloaded_store_is_not_asked_again() {
    let world = StrongWorld::new();
    let jar = world.visitor();
    let mut session = world.open(&jar);
    session.set("b", 2).unwrap();
    world.objects.fail("a.", 1, ConnectorErrorKind::RateLimited);
    let error = world.try_commit(&mut session).unwrap_err();
    assert_eq!(error.code(), ErrorCode::RateLimited);
}

/// The try was applied, and another request read and overwrote its data. Applying it again would
/// undo that.
#[test]
fn a_try_in_doubt_is_not_made_on_top_of_what_was_written_over_it() {
    let world = StrongWorld::new();
    let jar = world.visitor();
    let mut first = world.open(&jar);
    first.set("b", "first").unwrap();
    world.objects.lose_answers("a.", 1);
    let (other, theirs) = (world.elsewhere(), jar.clone());
    world.objects.before_second("a.", move || {
        let mut session = other.open(&theirs);
        assert_eq!(shown(&session), r#"a=1 b="first""#);
        session.set("b", "second").unwrap();
        let _ = other.commit(&mut session);
    });
    assert_eq!(code(run(first.save())), Some(ErrorCode::Unavailable));
    // Nor by the next save of the same request.
    assert_eq!(
        code(world.try_commit(&mut first)),
        Some(ErrorCode::Unavailable)
    );
    assert_eq!(shown(&world.open(&jar)), r#"a=1 b="second""#);
}

/// It stays unknown after the save: the application may save again in the same request.
#[test]
fn a_save_that_failed_in_doubt_is_not_made_again_by_the_next_one() {
    let world = StrongWorld::new();
    let jar = world.visitor();
    let mut first = world.open(&jar);
    first.set("b", "first").unwrap();
    world.objects.lose_answers("a.", 2);
    assert_eq!(code(run(first.save())), Some(ErrorCode::Unavailable));
    let mut other = world.elsewhere().open(&jar);
    other.set("b", "second").unwrap();
    let _ = world.commit(&mut other);
    first.set("c", 3).unwrap();
    assert_eq!(
        code(world.try_commit(&mut first)),
        Some(ErrorCode::Unavailable)
    );
    assert_eq!(shown(&world.open(&jar)), r#"a=1 b="second""#);
    // If nobody else has saved and the try was not stored, the next save stores both.
    let mut first = world.open(&jar);
    first.set("b", "third").unwrap();
    world.objects.fail("a.", 2, ConnectorErrorKind::Unavailable);
    assert_eq!(code(run(first.save())), Some(ErrorCode::Unavailable));
    first.set("c", 3).unwrap();
    let _ = world.commit(&mut first);
    assert_eq!(shown(&world.open(&jar)), r#"a=1 b="third" c=3"#);
}

/// A load after that shows whether the try was stored. If it does not, the changes are neither
/// applied again nor dropped.
#[test]
fn a_load_after_a_save_in_doubt_does_not_forget_the_doubt() {
    let failed = Err(ErrorCode::Unavailable);
    for (stored, others, edits, wanted) in [
        (true, "", false, Ok(r#"a=1 b="first" d=4"#)),
        (true, "", true, Ok(r#"a=1 b="first" c=5 d=4"#)),
        (false, "", false, Ok(r#"a=1 b="first" d=4"#)),
        // Another request has overwritten its data.
        (true, "a b", false, failed),
        (true, "a b", true, failed),
        // It is recognised by data that was not overwritten.
        (true, "b", false, Ok(r#"a=2 b="second" d=4"#)),
        (true, "b", true, failed),
        (true, "c", false, Ok(r#"a=2 b="first" c="second" d=4"#)),
        // It cannot be distinguished from one that was overwritten.
        (false, "c", false, failed),
    ] {
        let why = format!("stored {stored}, others {others:?}, edits {edits}");
        let world = StrongWorld::new();
        let jar = world.visitor();
        let mut first = world.open(&jar);
        first.set("b", "first").unwrap();
        if !others.is_empty() {
            first.set("a", 2).unwrap();
        }
        if stored {
            world.objects.lose_answers("a.", 2);
        } else {
            world.objects.fail("a.", 2, ConnectorErrorKind::Unavailable);
        }
        assert_eq!(code(run(first.save())), Some(ErrorCode::Unavailable));
        let mut other = world.elsewhere().open(&jar);
        for key in others.split_terminator(' ') {
            other.set(key, "second").unwrap();
        }
        let _ = world.commit(&mut other);
        let before = shown(&world.open(&jar));
        if edits {
            first.set("c", 5).unwrap();
        }
        // No matter how often it is loaded.
        for _ in 0..2 {
            assert_eq!(run(first.load_fresh()).unwrap(), Outcome::Loaded, "{why}");
        }
        first.set("d", 4).unwrap();
        match (wanted, code(world.try_commit(&mut first))) {
            (Ok(wanted), None) => assert_eq!(sorted(&world.open(&jar)), wanted, "{why}"),
            (Err(wanted), Some(found)) => {
                assert_eq!(found, wanted, "{why}");
                assert_eq!(shown(&world.open(&jar)), before, "{why}");
            }
            (wanted, found) => panic!("{why}: {wanted:?} {found:?}"),
        }
    }
}

/// Somebody saves between that load and the save.
#[test]
fn a_save_after_such_a_load_undoes_nothing_either() {
    for edits in [false, true] {
        let world = StrongWorld::new();
        let jar = world.visitor();
        let mut first = world.open(&jar);
        first.set("b", "first").unwrap();
        world.objects.lose_answers("a.", 2);
        assert_eq!(code(run(first.save())), Some(ErrorCode::Unavailable));
        if edits {
            first.set("c", 3).unwrap();
        }
        assert_eq!(run(first.load_fresh()).unwrap(), Outcome::Loaded);
        first.set("d", 4).unwrap();
        let mut other = world.elsewhere().open(&jar);
        other.set("b", "second").unwrap();
        let _ = world.commit(&mut other);
        let saved = code(world.try_commit(&mut first));
        // Only changes that the try did not include are known to be new.
        let (refused, wanted) = match edits {
            false => (None, r#"a=1 b="second" d=4"#),
            true => (Some(ErrorCode::Unavailable), r#"a=1 b="second""#),
        };
        assert_eq!(saved, refused, "{edits}");
        assert_eq!(shown(&world.open(&jar)), wanted, "{edits}");
    }
}

/// A failed load in between does not change that.
#[test]
fn a_load_that_fails_does_not_end_the_doubt() {
    let world = StrongWorld::new();
    let jar = world.visitor();
    let mut first = world.open(&jar);
    first.set("b", "first").unwrap();
    world.objects.lose_answers("a.", 2);
    assert_eq!(code(run(first.save())), Some(ErrorCode::Unavailable));
    let mut other = world.elsewhere().open(&jar);
    other.set("b", "second").unwrap();
    let _ = world.commit(&mut other);
    world.objects.fail_reads(3);
    assert_eq!(code(run(first.load_fresh())), Some(ErrorCode::Unavailable));
    world.objects.mend();
    assert_eq!(run(first.load_fresh()).unwrap(), Outcome::Loaded);
    assert_eq!(
        code(world.try_commit(&mut first)),
        Some(ErrorCode::Unavailable)
    );
    assert_eq!(shown(&world.open(&jar)), r#"a=1 b="second""#);
}

/// The same, but the other request has written another key, so the try is found in the record.
#[test]
fn a_try_in_doubt_is_found_in_what_others_have_saved_since() {
    for change in [0, 1, 2] {
        let world = StrongWorld::new();
        let jar = world.visitor();
        let mut first = world.open(&jar);
        match change {
            0 => first.set("b", 2).unwrap(),
            1 => assert!(first.remove("a").unwrap()),
            _ => first.set_expiry(3_600).unwrap(),
        }
        world.objects.lose_answers("a.", 1);
        let (other, theirs) = (world.elsewhere(), jar.clone());
        world.objects.before_second("a.", move || {
            let mut session = other.open(&theirs);
            session.set("c", 3).unwrap();
            let _ = other.commit(&mut session);
        });
        let _ = world.commit(&mut first);
        let wanted = ["a=1 b=2 c=3", "c=3", "a=1 c=3"][change];
        assert_eq!(shown(&world.open(&jar)), wanted);
        assert_eq!(
            shown(&first),
            wanted,
            "it has seen what the other has saved"
        );
    }
}

/// The load is older than the removal, and the record no longer has the tombstone of the removed
/// key.
#[test]
fn a_slow_save_does_not_bring_a_removed_key_back() {
    let world = StrongWorld::new();
    let mut jar = world.visitor();
    let mut slow = world.open(&jar);
    slow.set("b", 2).unwrap();
    world.visit(&mut jar, |session| assert!(session.remove("a").unwrap()));
    world.clock.advance(10 * MINUTE);
    world.visit(&mut jar, |session| session.set("c", 3).unwrap());
    world.clock.advance(10 * MINUTE);
    let _ = world.commit(&mut slow);
    assert_eq!(sorted(&world.open(&jar)), "b=2 c=3");
}

#[test]
fn a_save_that_is_overtaken_again_and_again_gives_up() {
    let world = StrongWorld::new();
    let jar = world.visitor();
    let mut session = world.open(&jar);
    session.set("b", 2).unwrap();
    // Each try finds that another request has just saved.
    fn overtake(world: &StrongWorld, jar: &Jar, left: u32) {
        if left == 0 {
            return;
        }
        let (again, theirs) = (world.clone(), jar.clone());
        world.objects.before("a.", move || {
            let mut other = again.open(&theirs);
            other.set("c", left).unwrap();
            let _ = again.commit(&mut other);
            overtake(&again, &theirs, left - 1);
        });
    }
    overtake(&world, &jar, 7);
    let _ = world.commit(&mut session);
    assert_eq!(sorted(&world.open(&jar)), "a=1 b=2 c=1");
    session = world.open(&jar);
    session.set("b", 3).unwrap();
    overtake(&world, &jar, 8);
    let error = world.try_commit(&mut session).unwrap_err();
    assert_eq!(error.code(), ErrorCode::RateLimited);
    assert_eq!(sorted(&world.open(&jar)), "a=1 b=2 c=1");
}

/// Each of two saves is allowed alone.
#[test]
fn saves_that_are_too_much_together_are_refused() {
    let settings = Settings::default()
        .with_max_keys(2)
        .with_max_record_bytes(1_024);
    let world = StrongWorld::with(settings);
    let jar = world.visitor();
    for large in [false, true] {
        let (mut one, mut two) = (world.open(&jar), world.open(&jar));
        if large {
            one.set("a", "x".repeat(600)).unwrap();
            two.set("b", "x".repeat(600)).unwrap();
        } else {
            one.set("b", 2).unwrap();
            two.set("c", 3).unwrap();
        }
        let _ = world.commit(&mut one);
        let stored = shown(&world.open(&jar));
        let refused = code(world.try_commit(&mut two));
        assert_eq!(refused, Some(ErrorCode::TooLarge), "{large}");
        assert_eq!(shown(&world.open(&jar)), stored);
    }
}

/// The store's clock is ahead.
#[test]
fn a_save_that_finds_its_row_at_its_hard_end_is_told_so() {
    let world = StrongWorld::with(Settings::default().with_cookie_age(Duration::from_secs(600)));
    for cycles in [false, true] {
        let jar = world.visitor();
        world.clock.advance(599 * SECOND);
        let mut session = world.open(&jar);
        session.set("b", 2).unwrap();
        if cycles {
            session.cycle_key().unwrap();
        }
        let clock = world.clock.clone();
        let now = world.now();
        world.objects.before("a.", move || clock.set(now + SECOND));
        let other = world.clock.clone();
        world.objects.after("a.", move || other.set(now));
        let refused = code(world.try_commit(&mut session));
        assert_eq!(refused, Some(ErrorCode::Expired), "{cycles}");
    }
}

#[test]
fn a_row_ends_when_the_session_does_and_no_save_moves_that() {
    let settings = Settings::default().with_cookie_age(Duration::from_secs(600));
    let world = StrongWorld::with(settings);
    let mut jar = world.visitor();
    let end = world.now() + 600 * SECOND;
    world.clock.advance(5 * MINUTE);
    world.visit(&mut jar, |session| session.set("b", 2).unwrap());
    let shard = world.objects.memory.shards().remove(0);
    let (_, row) = world.objects.memory.rows(&shard).remove(0);
    assert_eq!(row.expires_at, end);
    jar.keep_forever(KEY);
    world.clock.advance(DAY);
    assert_eq!(world.open(&jar).outcome().unwrap(), Outcome::Expired);
}
