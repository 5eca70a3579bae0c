//! Logins, lists and `revoke_all` on a store with transactions.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use crate::common::strong::{StrongWorld, run, shard};
use crate::common::{HOUR, Jar, KEY, OTHER_SECRET, SECOND, SECRET, START, code, shown, sorted};
use edge_session::connector::ConnectorErrorKind;
use edge_session::{ErrorCode, Keep, Outcome, SessionKey, Settings};

fn keys(world: &StrongWorld) -> Vec<SessionKey> {
    let listed = run(world.sessions.list("ada")).unwrap();
    listed.into_iter().map(|session| session.key).collect()
}

#[test]
fn a_login_takes_the_session_to_its_owners_object() {
    let world = StrongWorld::new();
    let mut jar = world.visitor();
    let (old, before) = (jar.clone(), world.key(&jar));
    world.visit(&mut jar, |session| session.bind("ada").unwrap());
    assert_eq!(jar.names(), [KEY]);
    let after = world.key(&jar);
    assert_eq!((&shard(&before)[..2], &shard(&after)[..2]), ("a.", "o."));
    assert_eq!(shown(&world.open(&jar)), "a=1");
    // Another tab of the same browser is told to try again with the new cookie.
    assert_eq!(world.objects.state(&before), Some("rotated"));
    assert_eq!(world.open(&old).outcome().unwrap(), Outcome::Rotated);
    assert_eq!(keys(&world), [after.key()]);
}

#[test]
fn of_two_logins_of_one_browser_both_work_with_what_it_had() {
    let world = StrongWorld::new();
    let jar = world.visitor();
    for _click in 0..2 {
        let mut mine = jar.clone();
        world.visit(&mut mine, |session| session.bind("ada").unwrap());
        assert_eq!(shown(&world.open(&mine)), "a=1");
    }
    assert_eq!(keys(&world).len(), 2);
}

#[test]
fn a_save_between_the_two_steps_of_a_login_is_taken_along() {
    let world = StrongWorld::new();
    let mut jar = world.visitor();
    let (other, theirs) = (world.elsewhere(), jar.clone());
    world.objects.before("a.", move || {
        let mut session = other.open(&theirs);
        session.set("b", 2).unwrap();
        let _ = other.commit(&mut session);
    });
    world.visit(&mut jar, |session| {
        session.bind("ada").unwrap();
        session.set("c", 3).unwrap();
    });
    assert_eq!(sorted(&world.open(&jar)), "a=1 b=2 c=3");
}

#[test]
fn a_login_that_cannot_end_what_there_was_leaves_nothing() {
    let world = StrongWorld::new();
    let jar = world.visitor();
    let mut session = world.open(&jar);
    session.bind("ada").unwrap();
    world.objects.fail("a.", 2, ConnectorErrorKind::Unavailable);
    let error = world.try_commit(&mut session).unwrap_err();
    assert_eq!(error.code(), ErrorCode::Unavailable);
    assert!(session.done_headers().set_cookie().is_empty());
    assert!(keys(&world).is_empty());
    assert_eq!(
        shown(&world.open(&jar)),
        "a=1",
        "the session before goes on"
    );
}

/// While a secret is being replaced, the session over the limit has to end in two objects.
#[test]
fn a_login_that_cannot_end_a_session_over_the_limit_everywhere_leaves_nothing() {
    let world = StrongWorld::with(Settings::default().with_max_per_owner(1));
    let early = world.reconfigured(&format!("{SECRET},{OTHER_SECRET}"));
    early.member("ada");
    let mut session = early.open(&early.visitor());
    session.bind("ada").unwrap();
    world.objects.conflict_after("o.", 1, 8);
    let error = early.try_commit(&mut session).unwrap_err();
    assert_eq!(error.code(), ErrorCode::RateLimited);
    assert!(error.connector_error().is_none());
    assert!(keys(&early).is_empty());
}

/// The application may save again, or its commit does.
#[test]
fn a_login_that_failed_can_be_made_again_in_the_same_request() {
    for fails in 0..4 {
        let world = StrongWorld::new();
        let mut jar = world.visitor();
        let mut session = world.open(&jar);
        session.bind("ada").unwrap();
        let key = session.session_key().unwrap().unwrap();
        match fails {
            // The previous session cannot be ended.
            0 => world.objects.fail("a.", 2, ConnectorErrorKind::Unavailable),
            // The new one was put, but the answer was lost.
            1 => world.objects.lose_answers("o.", 2),
            // The new session cannot be ended either.
            2 => {
                world.objects.lose_answers("o.", 2);
                world.objects.fail_after("o.", 2, 2);
            }
            _ => world.objects.fail("o.", 4, ConnectorErrorKind::Unavailable),
        }
        let error = run(session.save()).unwrap_err();
        assert_eq!(error.code(), ErrorCode::Unavailable, "{fails}");
        world.objects.mend();
        let headers = world.commit(&mut session);
        jar.receive(world.now(), headers.set_cookie());
        assert_eq!(shown(&world.open(&jar)), "a=1", "{fails}");
        let after = world.key(&jar);
        assert_eq!(keys(&world), [after.key()], "{fails}");
        assert_ne!(
            after.key(),
            key,
            "what was on its way to the first may arrive"
        );
        let states = world.objects.states(&shard(&after));
        let live = states.iter().filter(|state| **state == "live");
        assert_eq!(live.count(), 1, "{fails} {states:?}");
    }
}

#[test]
fn what_an_earlier_try_of_a_login_has_stored_does_not_count_against_the_limit() {
    for others in 0..2 {
        let settings = Settings::default().with_max_per_owner(1 + others);
        let world = StrongWorld::with(settings);
        let other = (others > 0).then(|| world.member("ada"));
        let mut jar = world.visitor();
        let mut session = world.open(&jar);
        session.bind("ada").unwrap();
        // The new session was put, the answers were lost, and it cannot be ended.
        world.objects.lose_answers("o.", 2);
        world.objects.fail_after("o.", 2, 2);
        assert!(run(session.save()).is_err());
        world.objects.mend();
        let headers = world.commit(&mut session);
        jar.receive(world.now(), headers.set_cookie());
        assert_eq!(shown(&world.open(&jar)), "a=1", "{others}");
        if let Some(other) = other {
            assert_eq!(world.open(&other).outcome().unwrap(), Outcome::Loaded);
        }
    }
}

/// A header with more sessions than one request can end.
#[test]
fn a_logout_is_done_after_some_tries_whatever_is_in_the_header() {
    for (count, are_there) in [(12, true), (20, true), (20, false)] {
        let world = StrongWorld::new();
        let mut jar = world.member("ada");
        let own = jar.clone();
        let planted: Vec<Jar> = (0..count).map(|_| world.visitor()).collect();
        for (place, other) in planted.iter().enumerate() {
            jar.add_twins(other, &format!("Domain=d{place}.example"));
            // An object makes room for new rows by deleting dead ones.
            if !are_there {
                world.objects.purge(&world.key(other));
            }
        }
        let tries = (1..).find(|_| {
            let mut session = world.open(&jar);
            match run(session.destroy()) {
                Ok(()) => true,
                Err(error) => {
                    assert_eq!(error.code(), ErrorCode::RevocationPending);
                    // The user's session is ended first.
                    assert_eq!(world.open(&own).outcome().unwrap(), Outcome::Revoked);
                    false
                }
            }
        });
        assert!(
            tries.is_some_and(|tries| tries <= 1 + count / 8),
            "{tries:?}"
        );
        for jar in &planted {
            assert_ne!(world.open(jar).outcome().unwrap(), Outcome::Loaded);
        }
    }
}

/// A browser with two session cookies, one of which has expired.
#[test]
fn a_login_that_cannot_end_another_session_leaves_the_one_with_the_data() {
    let world = StrongWorld::new();
    let mut jar = world.visitor();
    let other = world.member("bob");
    run(world.open(&other).destroy()).unwrap();
    jar.add_twins(&other, "Domain=example.com");
    let mut session = world.open(&jar);
    assert_eq!(shown(&session), "a=1");
    session.bind("ada").unwrap();
    // After the new session was put.
    world.objects.fail_after("o.", 1, 2);
    assert_eq!(
        code(world.try_commit(&mut session)),
        Some(ErrorCode::Unavailable)
    );
    assert!(keys(&world).is_empty());
    let session = world.open(&jar);
    assert_eq!(session.outcome().unwrap(), Outcome::Loaded);
    assert_eq!(shown(&session), "a=1");
}

#[test]
fn a_login_ends_the_session_of_whoever_was_logged_in_before_with_all_its_keys() {
    let world = StrongWorld::new();
    let mut jar = world.member("ada");
    let mut thief = jar.clone();
    // A parallel request has given it a new key meanwhile.
    let mut session = world.open(&jar);
    session.bind("ada").unwrap();
    world.visit(&mut thief, |session| session.cycle_key().unwrap());
    let headers = world.commit(&mut session);
    jar.receive(world.now(), headers.set_cookie());
    assert_eq!(world.open(&thief).outcome().unwrap(), Outcome::Revoked);
    assert_eq!(keys(&world), [world.key(&jar).key()]);
}

#[test]
fn the_end_of_all_sessions_is_one_transaction_whatever_their_number() {
    let world = StrongWorld::new();
    let mine = world.member("ada");
    let others: Vec<Jar> = (0..50).map(|_| world.member("ada")).collect();
    let key = world.key(&mine).key();
    world.objects.memory.reset_operations();
    run(world.sessions.revoke_all_except("ada", &key)).unwrap();
    let counts = world.objects.memory.operations();
    assert_eq!((counts.reads, counts.transactions, counts.lists), (0, 1, 0));
    for jar in &others {
        assert_eq!(
            world.elsewhere().open(jar).outcome().unwrap(),
            Outcome::Revoked
        );
    }
    assert_eq!(world.open(&mine).outcome().unwrap(), Outcome::Loaded);
    assert_eq!(keys(&world), [key]);
}

/// A password change during a login with the old password.
#[test]
fn a_login_on_its_way_does_not_survive_the_end_of_all_sessions() {
    let world = StrongWorld::new();
    let mut session = world.open(&Jar::new());
    session.bind_with("ada", Keep::Nothing).unwrap();
    world.clock.advance(SECOND);
    run(world.elsewhere().sessions.revoke_all("ada")).unwrap();
    assert_eq!(
        code(world.try_commit(&mut session)),
        Some(ErrorCode::Revoked)
    );
    assert!(keys(&world).is_empty());
    // A later login works.
    world.clock.advance(SECOND);
    world.member("ada");
    assert_eq!(keys(&world).len(), 1);
}

/// The browser that changes the password stays logged in, even if the clock is changed meanwhile.
#[test]
fn a_login_after_the_end_of_all_sessions_in_one_request_works() {
    for step in [-1_500, 0, 1_500] {
        let world = StrongWorld::new();
        let mut jar = world.member("ada");
        let mut session = world.open(&jar);
        run(world.sessions.revoke_all("ada")).unwrap();
        world.clock.advance(step);
        session.bind("ada").unwrap();
        let headers = world.commit(&mut session);
        jar.receive(world.now(), headers.set_cookie());
        assert_eq!(shown(&world.open(&jar)), "a=1", "{step}");
        assert_eq!(keys(&world).len(), 1, "{step}");
    }
}

/// A password change that logs in first and spares that login, whose key is known before it is
/// stored.
#[test]
fn a_login_that_is_spared_works_however_late_it_is_stored() {
    for limit in [0, 3] {
        let world = StrongWorld::with(Settings::default().with_max_per_owner(limit));
        let other = world.member("ada");
        // All sessions have been ended before. What that call did not spare is not spared now.
        world.clock.advance(SECOND);
        run(world.sessions.revoke_all("ada")).unwrap();
        world.clock.advance(SECOND);
        let mut late = world.open(&Jar::new());
        late.bind("ada").unwrap();
        let mut jar = Jar::new();
        let mut session = world.open(&jar);
        session.bind("ada").unwrap();
        let mine = session.session_key().unwrap().unwrap();
        world.clock.advance(SECOND);
        run(world.elsewhere().sessions.revoke_all_except("ada", &mine)).unwrap();
        let headers = world.commit(&mut session);
        jar.receive(world.now(), headers.set_cookie());
        assert_eq!(world.open(&jar).outcome().unwrap(), Outcome::Loaded);
        assert_eq!(keys(&world), std::slice::from_ref(&mine));
        // Another login in progress is still refused.
        assert_eq!(code(world.try_commit(&mut late)), Some(ErrorCode::Revoked));
        assert_eq!(world.open(&other).outcome().unwrap(), Outcome::Revoked);
        // The next call ends it.
        world.clock.advance(SECOND);
        run(world.sessions.revoke_all("ada")).unwrap();
        assert_eq!(world.open(&jar).outcome().unwrap(), Outcome::Revoked);
    }
}

/// With a limit, each login changes the revision of the epoch row.
#[test]
fn a_call_that_arrives_twice_does_not_end_a_login_that_has_counted_since() {
    let world = StrongWorld::with(Settings::default().with_max_per_owner(3));
    world.objects.lose_answers("o.", 1);
    let other = world.elsewhere();
    world.objects.before_second("o.", move || {
        other.clock.advance(SECOND);
        other.member("ada");
    });
    run(world.sessions.revoke_all("ada")).unwrap();
    assert_eq!(keys(&world).len(), 1);
}

/// A server whose clock is an hour ahead has ended all sessions.
#[test]
fn a_wrong_clock_does_not_let_the_next_login_on_its_way_live() {
    let world = StrongWorld::new();
    world.clock.advance(HOUR);
    run(world.elsewhere().sessions.revoke_all("ada")).unwrap();
    world.clock.set(START);
    let mut session = world.open(&Jar::new());
    session.bind("ada").unwrap();
    world.clock.advance(SECOND);
    run(world.elsewhere().sessions.revoke_all("ada")).unwrap();
    assert_eq!(
        code(world.try_commit(&mut session)),
        Some(ErrorCode::Revoked)
    );
}

#[test]
fn a_call_that_arrives_twice_does_not_end_the_logins_since() {
    let world = StrongWorld::new();
    world.member("ada");
    world.objects.lose_answers("o.", 1);
    let other = world.elsewhere();
    world.objects.before_second("o.", move || {
        other.clock.advance(SECOND);
        other.member("ada");
    });
    run(world.sessions.revoke_all("ada")).unwrap();
    assert_eq!(keys(&world).len(), 1);
}

#[test]
fn revoke_ends_one_session_and_only_its_owners() {
    let world = StrongWorld::new();
    let (one, two) = (world.member("ada"), world.member("ada"));
    let key = world.key(&one).key();
    assert_eq!(
        code(run(world.sessions.revoke("bob", &key))),
        Some(ErrorCode::NotFound)
    );
    run(world.sessions.revoke("ada", &key)).unwrap();
    assert_eq!(world.open(&one).outcome().unwrap(), Outcome::Revoked);
    assert_eq!(keys(&world), [world.key(&two).key()]);
}

#[test]
fn a_list_goes_through_all_pages_and_all_secrets() {
    let world = StrongWorld::new();
    world.objects.memory.set_page_size(2);
    for _ in 0..5 {
        world.member("ada");
        world.member("bob");
    }
    let later = world.reconfigured(&format!("{OTHER_SECRET},{SECRET}"));
    later.member("ada");
    assert_eq!(keys(&later).len(), 6);
    run(later.sessions.revoke_all("ada")).unwrap();
    assert!(keys(&later).is_empty());
    assert_eq!(run(later.sessions.list("bob")).unwrap().len(), 5);
}

// --- a limit -------------------------------------------------------------------------------------

#[test]
fn a_login_over_the_limit_ends_the_oldest_in_its_own_transaction() {
    let world = StrongWorld::with(Settings::default().with_max_per_owner(2));
    let mut jars = Vec::new();
    for _ in 0..3 {
        world.clock.advance(SECOND);
        jars.push(world.member("ada"));
    }
    let outcomes = jars.iter().map(|jar| world.open(jar).outcome().unwrap());
    let wanted = [Outcome::Revoked, Outcome::Loaded, Outcome::Loaded];
    assert_eq!(outcomes.collect::<Vec<_>>(), wanted);
}

/// A lower or new limit.
#[test]
fn a_login_ends_however_many_are_over_the_limit() {
    let world = StrongWorld::new();
    for _ in 0..250 {
        world.clock.advance(1);
        world.member("ada");
    }
    let later = world.resettled(Settings::default().with_max_per_owner(3));
    let before = keys(&world);
    later.clock.advance(1);
    let mine = later.member("ada");
    assert_eq!(
        keys(&later),
        [&later.key(&mine).key(), &before[0], &before[1]].map(Clone::clone)
    );
}

/// While a secret is being replaced, the session that a login is about to end moves to the owner's
/// other object.
#[test]
fn a_session_over_the_limit_does_not_survive_by_moving() {
    let world = StrongWorld::with(Settings::default().with_max_per_owner(1));
    let early = world.reconfigured(&format!("{SECRET},{OTHER_SECRET}"));
    let later = world.reconfigured(&format!("{OTHER_SECRET},{SECRET}"));
    let old = early.member("ada");
    let (there, mut stolen) = (later.clone(), old.clone());
    world.objects.before("o.", move || {
        there.visit(&mut stolen, |session| session.cycle_key().unwrap());
    });
    let mine = early.member("ada");
    assert_eq!(keys(&early), [early.key(&mine).key()]);
}

#[test]
fn of_two_logins_at_the_same_time_the_second_counts_the_first() {
    let world = StrongWorld::with(Settings::default().with_max_per_owner(1));
    let other = world.elsewhere();
    // The other login arrives after this one has counted.
    world
        .objects
        .before("o.", move || drop(other.member("ada")));
    let mine = world.member("ada");
    assert_eq!(keys(&world), [world.key(&mine).key()]);
}

#[test]
fn a_login_in_place_of_ones_own_session_costs_nobody_else_theirs() {
    let world = StrongWorld::with(Settings::default().with_max_per_owner(2));
    let (mut mine, other) = (world.member("ada"), world.member("ada"));
    world.visit(&mut mine, |session| session.bind("ada").unwrap());
    assert_eq!(world.open(&other).outcome().unwrap(), Outcome::Loaded);
    assert_eq!(keys(&world).len(), 2);
}
