//! Logging out, and outages of the store.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use crate::common::{self, *};
use edge_session::connector::ConnectorErrorKind;
use edge_session::{ErrorCode, Keep, Outcome, SessionKey, SessionStore, Settings};

// --- destroy -------------------------------------------------------------------------------------

#[test]
fn destroy_puts_two_markers_deletes_nothing_and_removes_the_cookies() {
    let world = World::new();
    let mut jar = world.visitor();
    world.advance(2 * HOUR);
    world.visit(&mut jar, |_| ());
    assert_eq!(jar.names(), [KEY, SEEN]);
    jar.put(FRESH, "what another save left");
    let key = world.session_key(&jar);
    world.store.take_log();

    let mut session = world.open(&jar);
    destroy(&mut session).unwrap();
    assert_eq!(
        world.store.keys_of(Kind::Put),
        [key.dead_key(), key.dead_lineage()]
    );
    assert_eq!(world.store.count(Kind::Delete), 0);
    assert!(world.store.names().contains(&key.record()));
    // The longest lifetime of the cookie, plus a margin.
    let left = u32::try_from((7 * DAY - 2 * HOUR) / SECOND).unwrap() + 1 + 300;
    assert_eq!(world.store.ttl(&key.dead_key()), Some(left));
    assert_eq!(world.store.ttl(&key.dead_lineage()), Some(left));

    assert_eq!(session.session_key().unwrap(), None);
    assert_eq!(code(session.set("a", 2)), Some(ErrorCode::Destroyed));
    assert_eq!(code(session.create()), Some(ErrorCode::Destroyed));
    assert_eq!(code(session.cycle_key()), Some(ErrorCode::Destroyed));
    assert_eq!(code(save(&mut session)), Some(ErrorCode::Destroyed));
    assert_eq!(session.len().unwrap(), 0);
    let headers = world.commit(&mut session);
    let removed = "=; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT";
    let expected = [KEY, SEEN, FRESH].map(|name| format!("{name}{removed}{ATTRIBUTES}"));
    assert_eq!(headers.set_cookie(), expected);
    assert!(headers.depends_on_session());
    jar.receive(world.now(), headers.set_cookie());
    assert_eq!(jar, Jar::new());
}

#[test]
fn destroy_without_a_cookie_does_nothing() {
    let world = World::new();
    let mut session = world.load(Head::default());
    session.set("a", 1).unwrap();
    destroy(&mut session).unwrap();
    assert!(world.commit(&mut session).set_cookie().is_empty());
    assert_eq!(world.store.operations(), 0);
}

#[test]
fn destroy_works_unloaded() {
    let world = World::new();
    let jar = world.visitor();
    let mut session = world.sessions.open(jar.head(world.now()));
    destroy(&mut session).unwrap();
    assert_eq!(world.store.count(Kind::Read), 0);
    assert_eq!(cookie_names(&world.commit(&mut session)), [KEY, FRESH]);
    assert_eq!(world.open(&jar).outcome().unwrap(), Outcome::Revoked);
}

#[test]
fn destroy_stays_done_when_the_answer_is_a_5xx() {
    let world = World::new();
    let mut jar = world.visitor();
    let old = jar.clone();
    let mut session = world.open(&jar);
    destroy(&mut session).unwrap();
    let headers = world.try_commit(&mut session, 500).unwrap();
    jar.receive(world.now(), headers.set_cookie());
    assert_eq!(jar, Jar::new());
    assert_eq!(
        world.elsewhere().open(&old).outcome().unwrap(),
        Outcome::Revoked
    );
}

#[test]
fn destroy_twice_is_destroy_once() {
    let world = World::new();
    let mut jar = world.visitor();
    world.visit(&mut jar, |session| {
        destroy(session).unwrap();
        destroy(session).unwrap();
    });
    assert_eq!(world.store.count(Kind::Put), 2);
    assert_eq!(jar, Jar::new());
}

#[test]
fn a_session_made_and_destroyed_in_one_request_leaves_no_cookie() {
    let world = World::new();
    let mut jar = Jar::new();
    world.visit(&mut jar, |session| {
        session.set("a", 1).unwrap();
        save(session).unwrap();
        destroy(session).unwrap();
        destroy(session).unwrap();
    });
    assert_eq!(jar, Jar::new());
    assert_eq!(world.store.names_of("l.").len(), 1);
}

#[test]
fn an_old_cookie_reads_nothing_after_a_logout_and_touches_nothing() {
    for elsewhere in [false, true] {
        let mut world = World::new();
        let mut jar = world.visitor();
        let old = jar.clone();
        world.visit(&mut jar, |session| destroy(session).unwrap());
        if elsewhere {
            world = world.elsewhere();
        }
        for wait in [0, WINDOW - 1] {
            world.clock.set(START + wait);
            let mut session = world.open(&old);
            assert_eq!(session.outcome().unwrap(), Outcome::Revoked);
            assert_eq!(shown(&session), "");
            session.set("b", 2).unwrap();
            assert_eq!(code(session.cycle_key()), Some(ErrorCode::Revoked));
            assert_eq!(code(session.create()), Some(ErrorCode::Revoked));
            world.store.take_log();
            let error = world.try_commit(&mut session, 200).unwrap_err();
            assert_eq!(error.code(), ErrorCode::Revoked);
            assert!(session.done_headers().set_cookie().is_empty());
            assert_eq!(world.store.count(Kind::Put), 0);
        }
        // Later the request counts as one without a cookie.
        world.clock.set(START + WINDOW);
        let mut late = old.clone();
        world.visit(&mut late, |session| {
            assert_eq!(session.outcome().unwrap(), Outcome::Revoked);
            session.set("b", 2).unwrap();
        });
        assert_eq!(shown(&world.open(&late)), "b=2");
    }
}

#[test]
fn purge_deletes_the_record_at_once() {
    let world = World::with(Settings::default().with_purge(true));
    let mut jar = world.visitor();
    let key = world.session_key(&jar);
    world.visit(&mut jar, |session| destroy(session).unwrap());
    assert_eq!(world.store.keys_of(Kind::Delete), [key.record()]);
    assert_eq!(world.store.names_of("s."), [""; 0]);
    assert_eq!(world.store.names_of("k.").len(), 1);
}

#[test]
fn a_logout_names_the_first_key_too() {
    let world = World::new();
    let mut jar = world.visitor();
    let first = jar.clone();
    world.visit(&mut jar, |session| session.cycle_key().unwrap());
    let key = world.session_key(&jar);
    world.store.take_log();
    world.visit(&mut jar, |session| destroy(session).unwrap());
    assert_eq!(
        world.store.keys_of(Kind::Put),
        [key.dead_key(), key.dead_first_key(), key.dead_lineage()]
    );
    // The first key had a marker of the rotation, which the logout replaces.
    assert_eq!(
        world.elsewhere().open(&first).outcome().unwrap(),
        Outcome::Revoked
    );
}

#[test]
fn a_first_key_that_still_looks_rotated_asks_whether_the_lineage_is_over() {
    let world = World::new();
    let mut jar = world.visitor();
    let first = jar.clone();
    world.visit(&mut jar, |session| session.cycle_key().unwrap());
    let key = world.session_key(&jar);
    let rotated = world.store.get(&key.dead_first_key()).unwrap();
    world.visit(&mut jar, |session| destroy(session).unwrap());
    // A location whose cache still has the marker of the rotation.
    world.store.set(&key.dead_first_key(), &rotated);
    let session = world.elsewhere().open(&first);
    assert_eq!(session.outcome().unwrap(), Outcome::Revoked);
    assert!(session.is_empty().unwrap());
}

// --- requests that began before the logout -------------------------------------------------------

#[test]
fn a_late_save_of_a_request_from_before_the_logout_stays_dead() {
    for pause in [0, 500, 5 * SECOND, WINDOW + SECOND] {
        for elsewhere in [false, true] {
            let world = World::new();
            let mut jar = world.visitor();
            let old = jar.clone();
            let other = if elsewhere {
                world.elsewhere()
            } else {
                world.clone()
            };
            let mut slow = other.open(&old);
            slow.set("admin", true).unwrap();
            world.visit(&mut jar, |session| destroy(session).unwrap());

            world.advance(pause);
            let saved = other.try_commit(&mut slow, 200);
            if pause >= SECOND || !elsewhere {
                assert_eq!(code(saved), Some(ErrorCode::Revoked), "{pause} {elsewhere}");
                assert!(slow.done_headers().set_cookie().is_empty());
            }
            // A save that could not know of the logout writes a record that stays dead: immediately
            // where the logout is known, elsewhere within the bound.
            let dead_in = |world: &World| {
                let session = world.open(&old);
                assert_eq!(session.outcome().unwrap(), Outcome::Revoked);
                assert!(session.is_empty().unwrap());
            };
            dead_in(&world);
            dead_in(&world.elsewhere());
            world.advance(WINDOW);
            for world in [&world, &other, &world.elsewhere()] {
                dead_in(world);
            }
        }
    }
}

#[test]
fn a_late_rotation_of_a_request_from_before_the_logout_stays_dead() {
    for pause in [0, 5 * SECOND] {
        let world = World::new();
        let mut jar = world.visitor();
        let other = world.elsewhere();
        let mut thief = jar.clone();
        let mut slow = other.open(&thief);
        slow.cycle_key().unwrap();
        world.visit(&mut jar, |session| destroy(session).unwrap());
        world.advance(pause);
        if let Ok(headers) = other.try_commit(&mut slow, 200) {
            thief.receive(world.now(), headers.set_cookie());
        }
        for world in [&world, &other, &world.elsewhere()] {
            assert_eq!(world.open(&thief).outcome().unwrap(), Outcome::Revoked);
        }
    }
}

#[test]
fn a_reading_request_around_a_logout_sets_nothing_again() {
    let world = World::new();
    let mut jar = world.visitor();
    let mut slow = world.open(&jar);
    assert_eq!(slow.get("a").unwrap(), Some(1));
    world.visit(&mut jar, |session| destroy(session).unwrap());
    let headers = world.commit(&mut slow);
    assert!(headers.set_cookie().is_empty());
    jar.receive(world.now(), headers.set_cookie());
    assert_eq!(jar, Jar::new());
}

#[test]
fn a_slow_answer_from_before_the_logout_leaves_the_next_login_alone() {
    let world = World::new();
    let mut jar = world.member("ada");
    let mut slow = world.open(&jar);
    slow.set("b", 2).unwrap();
    world.visit(&mut jar, |session| destroy(session).unwrap());
    world.visit(&mut jar, |session| session.bind("ada").unwrap());
    let login = jar.clone();
    world.advance(2 * SECOND);
    assert_eq!(
        code(world.try_commit(&mut slow, 200)),
        Some(ErrorCode::Revoked)
    );
    jar.receive(world.now(), slow.done_headers().set_cookie());
    assert_eq!(jar, login);
    assert_eq!(world.open(&jar).owner().unwrap(), Some("ada"));
}

// --- flush ---------------------------------------------------------------------------------------

#[test]
fn flush_ends_the_session_and_goes_on_with_what_is_kept() {
    let world = World::new();
    let mut jar = world.member("ada");
    let (old, before) = (jar.clone(), world.session_key(&jar));
    world.visit(&mut jar, |session| {
        session
            .update([("lang", "de"), ("cart", "x"), ("theme", "dark")])
            .unwrap();
        session.flash("bye", 1).unwrap();
        run(session.flush_keeping(["theme", "lang", "none"])).unwrap();
        assert_eq!(session.owner().unwrap(), None);
        assert_eq!(shown(session), r#"lang="de" theme="dark""#);
        assert_eq!(session.take_flash::<i32>("bye").unwrap(), None);
        assert!(session.is_new().unwrap());
    });
    let after = world.session_key(&jar);
    assert_ne!(before.lineage, after.lineage);
    assert_eq!(after.owner, "-");
    assert_eq!(shown(&world.open(&jar)), r#"lang="de" theme="dark""#);
    assert_eq!(
        world.elsewhere().open(&old).outcome().unwrap(),
        Outcome::Revoked
    );
}

#[test]
fn flush_keeping_nothing_leaves_no_session_until_one_is_needed() {
    let world = World::new();
    let mut jar = world.visitor();
    world.visit(&mut jar, |session| run(session.flush()).unwrap());
    assert_eq!(jar, Jar::new());
    let mut jar = world.visitor();
    world.visit(&mut jar, |session| {
        run(session.flush()).unwrap();
        session.set("b", 2).unwrap();
    });
    assert_eq!(shown(&world.open(&jar)), "b=2");
}

#[test]
fn flush_stays_done_when_the_answer_is_a_5xx() {
    let world = World::new();
    let mut jar = world.visitor();
    let old = jar.clone();
    let mut session = world.open(&jar);
    run(session.flush_keeping(["a"])).unwrap();
    let headers = world.try_commit(&mut session, 502).unwrap();
    jar.receive(world.now(), headers.set_cookie());
    assert_eq!(jar, Jar::new());
    assert_eq!(world.open(&old).outcome().unwrap(), Outcome::Revoked);
}

#[test]
fn a_login_after_a_logout_in_one_request() {
    let world = World::new();
    let mut jar = world.member("ada");
    world.visit(&mut jar, |session| {
        destroy(session).unwrap();
        session.bind("bob").unwrap();
        assert!(session.is_empty().unwrap());
        session.set("b", 2).unwrap();
    });
    let session = world.open(&jar);
    assert_eq!(session.owner().unwrap(), Some("bob"));
    assert_eq!(shown(&session), "b=2");
}

// --- by session key ------------------------------------------------------------------------------

#[test]
fn exists_and_delete_by_key() {
    let world = World::new();
    let jar = world.visitor();
    let key = world.session_key(&jar);
    let mut admin = world.load(Head::default());
    assert!(run(admin.exists_key(&key.key())).unwrap());
    run(admin.delete_key(&key.key())).unwrap();
    assert!(!run(admin.exists_key(&key.key())).unwrap());
    assert_eq!(world.open(&jar).outcome().unwrap(), Outcome::Revoked);
    assert_eq!(
        world.elsewhere().open(&jar).outcome().unwrap(),
        Outcome::Revoked
    );
    assert_eq!(world.store.ttl(&key.dead_lineage()), Some(34_560_000));
    // A second time, and for a session that never existed.
    run(admin.delete_key(&key.key())).unwrap();
    let mut unsaved = world.load(Head::default());
    unsaved.create().unwrap();
    let never = unsaved.session_key().unwrap().unwrap();
    assert!(!run(admin.exists_key(&never)).unwrap());
    run(admin.delete_key(&never)).unwrap();
    let headers = world.commit(&mut admin);
    assert!(
        headers.set_cookie().is_empty(),
        "not the administrator's session: {headers:?}"
    );

    let refused = Some(ErrorCode::NotFound);
    for text in [
        "",
        "a",
        "-.a.b",
        "-.a.b.c",
        "../etc",
        &format!("-.{0}.{0}", "A".repeat(22)),
        &format!("-.{0}.{0}.{0}.{0}", "A".repeat(22)),
        &format!(".{0}.{0}.{0}", "A".repeat(22)),
        &format!("-.{0}.{0}.{0}", "+".repeat(22)),
        &key.text()[1..],
        &key.record()[2..],
        &format!("{} ", key.text()),
    ] {
        assert_eq!(code(text.parse::<SessionKey>()), refused, "{text}");
    }
    world.store.take_log();
    let forged = common::forged_key();
    assert!(!run(admin.exists_key(&forged)).unwrap());
    assert_eq!(code(run(admin.delete_key(&forged))), refused);
    assert_eq!(world.store.operations(), 0);
}

#[test]
fn exists_of_a_rotated_key_is_false() {
    let world = World::new();
    let mut jar = world.visitor();
    let old = world.session_key(&jar);
    world.visit(&mut jar, |session| session.cycle_key().unwrap());
    let new = world.session_key(&jar);
    let mut admin = world.load(Head::default());
    assert!(!run(admin.exists_key(&old.key())).unwrap());
    assert!(run(admin.exists_key(&new.key())).unwrap());
    // Ending it by its old key ends the whole session.
    run(admin.delete_key(&old.key())).unwrap();
    assert_eq!(
        world.elsewhere().open(&jar).outcome().unwrap(),
        Outcome::Revoked
    );
}

#[test]
fn exists_knows_what_this_isolate_has_ended() {
    let world = World::new();
    let jar = world.member("ada");
    let key = world.session_key(&jar).key();
    let other = world.session_key(&world.member("ada")).key();
    let mut admin = world.load(Head::default());
    // A location that still shows the old state.
    world.store.lag();
    assert!(run(admin.exists_key(&key)).unwrap());
    run(admin.delete_key(&key)).unwrap();
    assert!(!run(admin.exists_key(&key)).unwrap());
    assert!(run(admin.exists_key(&other)).unwrap());
    run(world.sessions.revoke_all_except("ada", &key)).unwrap();
    assert!(!run(admin.exists_key(&other)).unwrap());

    // A session that is too new to be listed is ended by the owner's marker alone.
    let world = World::new();
    let key = world.session_key(&world.member("ada")).key();
    let mut admin = world.load(Head::default());
    world.store.lag();
    world
        .store
        .fail(Kind::List, 99, ConnectorErrorKind::Unavailable);
    let _error = run(world.sessions.revoke_all("ada")).unwrap_err();
    world.store.mend();
    assert!(!run(admin.exists_key(&key)).unwrap());
}

#[test]
fn exists_and_delete_of_this_session() {
    let world = World::new();
    let mut session = world.load(Head::default());
    assert!(!run(session.exists()).unwrap());
    session.create().unwrap();
    assert!(!run(session.exists()).unwrap());
    assert_eq!(world.store.operations(), 0);

    let mut jar = world.visitor();
    let own_key = world.session_key(&jar).key();
    world.visit(&mut jar, |session| {
        assert!(run(session.exists()).unwrap());
        run(session.delete_key(&own_key)).unwrap();
        assert!(!run(session.exists()).unwrap());
        assert_eq!(code(session.set("a", 1)), Some(ErrorCode::Destroyed));
    });
    assert_eq!(jar, Jar::new());
    let mut jar = world.visitor();
    world.visit(&mut jar, |session| run(session.delete()).unwrap());
    assert_eq!(jar, Jar::new());
}

#[test]
fn delete_by_its_own_key_is_a_logout_of_a_session_that_cannot_be_read() {
    // Not loaded.
    let world = World::new();
    let mut jar = world.visitor();
    let key = world.session_key(&jar).key();
    let mut session = world.sessions.open(jar.head(world.now()));
    run(session.delete_key(&key)).unwrap();
    assert_eq!(code(session.set("b", 2)), Some(ErrorCode::Destroyed));
    let headers = world.commit(&mut session);
    jar.receive(world.now(), headers.set_cookie());
    assert_eq!(jar, Jar::new());

    // Not visible here yet.
    let world = World::with(Settings::default().with_overlay(false));
    world.store.lag();
    let mut jar = world.visitor();
    let key = world.session_key(&jar).key();
    world.elsewhere().visit(&mut jar, |session| {
        assert_eq!(session.outcome().unwrap(), Outcome::Pending);
        run(session.delete_key(&key)).unwrap();
        assert_eq!(code(session.set("b", 2)), Some(ErrorCode::Destroyed));
    });
    assert_eq!(jar, Jar::new());

    // With the cookie of another session beside it, only the named one ends.
    let world = World::new();
    let (one, other) = (world.visitor(), world.visitor());
    let both = [&one, &other].map(|jar| format!("{KEY}={}", jar.value(KEY).unwrap()));
    let mut session = world.sessions.open(Head::cookie(both.join("; ")));
    run(session.delete_key(&world.session_key(&one).key())).unwrap();
    let outcome = |jar| world.elsewhere().open(jar).outcome().unwrap();
    assert_eq!(
        [&one, &other].map(outcome),
        [Outcome::Revoked, Outcome::Loaded]
    );
}

#[test]
fn delete_by_its_own_key_ends_a_session_that_is_about_to_rotate() {
    let world = World::new();
    let mut jar = world.visitor();
    let own_key = world.session_key(&jar).key();
    let mut session = world.open(&jar);
    session.cycle_key().unwrap();
    run(session.delete_key(&own_key)).unwrap();
    if let Ok(headers) = world.try_commit(&mut session, 200) {
        jar.receive(world.now(), headers.set_cookie());
    }
    let outcome = world.elsewhere().open(&jar).outcome().unwrap();
    assert!(
        matches!(outcome, Outcome::Revoked | Outcome::New),
        "{outcome:?}"
    );
}

// --- an outage -----------------------------------------------------------------------------------

#[test]
fn an_outage_is_said_by_every_accessor_and_changes_nothing() {
    let world = World::new();
    let jar = world.member("ada");
    world.store.outage();
    let world = world.elsewhere();
    let mut session = world.open(&jar);
    assert_eq!(session.outcome().unwrap(), Outcome::Unavailable);
    assert_eq!(session.session_key().unwrap(), None);
    assert!(!session.is_new().unwrap(), "nobody knows");
    assert!(!session.needs_update());
    type Access = fn(&mut SessionStore) -> Option<ErrorCode>;
    let accesses: &[(&str, Access)] = &[
        ("get", |s| code(s.get::<i32>("a"))),
        ("get_json", |s| code(s.get_json("a"))),
        ("require", |s| code(s.require::<i32>("a"))),
        ("contains_key", |s| code(s.contains_key("a"))),
        ("len", |s| code(s.len())),
        ("is_empty", |s| code(s.is_empty())),
        ("iter", |s| s.iter().err().map(|e| e.code())),
        ("keys", |s| s.keys().err().map(|e| e.code())),
        ("values", |s| s.values().err().map(|e| e.code())),
        ("set", |s| code(s.set("a", 1))),
        ("remove", |s| code(s.remove("a"))),
        ("pop", |s| code(s.pop::<i32>("a"))),
        ("pop_or", |s| code(s.pop_or("a", 1))),
        ("popitem", |s| code(s.popitem())),
        ("update", |s| code(s.update([("a", 1)]))),
        ("clear", |s| code(s.clear())),
        ("setdefault", |s| code(s.setdefault("a", 1))),
        ("flash", |s| code(s.flash("a", 1))),
        ("take_flash", |s| code(s.take_flash::<i32>("a"))),
        ("owner", |s| s.owner().err().map(|e| e.code())),
        ("auth_time", |s| code(s.auth_time())),
        ("require_recent_auth", |s| {
            code(s.require_recent_auth(seconds(5)))
        }),
        ("get_expiry_age", |s| code(s.get_expiry_age())),
        ("get_expiry_date", |s| code(s.get_expiry_date())),
        ("idle_expires_at", |s| code(s.idle_expires_at())),
        ("browser_close", |s| code(s.get_expire_at_browser_close())),
        ("set_expiry", |s| code(s.set_expiry(5))),
        ("set_modified", |s| code(s.set_modified(true))),
        ("create", |s| code(s.create())),
        ("cycle_key", |s| code(s.cycle_key())),
        ("bind", |s| code(s.bind("ada"))),
        ("bind, keeping nothing", |s| {
            code(s.bind_with("ada", Keep::Nothing))
        }),
        ("exists", |s| code(run(s.exists()))),
        ("load", |s| code(run(s.load()))),
        ("load_fresh", |s| code(run(s.load_fresh()))),
    ];
    for (name, access) in accesses {
        assert_eq!(access(&mut session), Some(ErrorCode::Unavailable), "{name}");
    }
    assert_eq!(session.refusal().unwrap().code(), ErrorCode::Unavailable);
    let headers = world.commit(&mut session);
    assert!(headers.set_cookie().is_empty(), "{headers:?}");
    assert_eq!(world.store.count(Kind::Put), 0);

    world.store.mend();
    assert_eq!(shown(&world.open(&jar)), "a=1");
}

#[test]
fn an_outage_that_ends_within_the_request() {
    let world = World::new();
    let mut jar = world.visitor();
    let world = world.elsewhere();
    world.store.outage();
    let mut session = world.open(&jar);
    assert_eq!(code(session.get::<i32>("a")), Some(ErrorCode::Unavailable));
    world.store.mend();
    assert_eq!(run(session.load_fresh()).unwrap(), Outcome::Loaded);
    assert_eq!(session.get("a").unwrap(), Some(1));
    session.bind("ada").unwrap();
    jar.receive(world.now(), world.commit(&mut session).set_cookie());
    assert_eq!(world.open(&jar).owner().unwrap(), Some("ada"));
}

#[test]
fn a_page_that_does_not_read_the_session_is_not_refused() {
    let world = World::new();
    let jar = world.visitor();
    let world = world.elsewhere();
    world.store.outage();
    let mut session = world.open(&jar);
    assert!(world.commit(&mut session).is_empty());
    assert!(session.refusal().is_none(), "nobody asked it for anything");
}

#[test]
fn a_failed_save_sets_no_cookie_and_keeps_the_changes() {
    let world = World::new();
    let mut jar = Jar::new();
    let mut session = world.load(Head::default());
    session.set("a", 1).unwrap();
    world.store.outage();
    assert_eq!(code(save(&mut session)), Some(ErrorCode::Unavailable));
    assert!(session.done_headers().set_cookie().is_empty());
    assert!(session.modified() && session.is_new().unwrap());
    world.store.mend();
    save(&mut session).unwrap();
    jar.receive(world.now(), world.commit(&mut session).set_cookie());
    assert_eq!(shown(&world.open(&jar)), "a=1");
}

#[test]
fn a_failed_save_of_a_loaded_session_leaves_the_stored_one() {
    let world = World::new();
    let mut jar = world.visitor();
    let mut session = world.open(&jar);
    session.set("b", 2).unwrap();
    world.store.outage();
    assert_eq!(
        code(world.try_commit(&mut session, 200)),
        Some(ErrorCode::Unavailable)
    );
    let headers = session.done_headers();
    assert!(headers.set_cookie().is_empty());
    world.store.mend();
    jar.receive(world.now(), headers.set_cookie());
    for world in [&world, &world.elsewhere()] {
        assert_eq!(shown(&world.open(&jar)), "a=1");
    }
}

#[test]
fn a_save_that_was_applied_though_reported_failed_can_be_repeated() {
    let world = World::new();
    let mut jar = world.visitor();
    let mut session = world.open(&jar);
    session.set("b", 2).unwrap();
    world.store.fail_though_applied(Kind::Put, 3);
    assert_eq!(code(save(&mut session)), Some(ErrorCode::Unavailable));
    save(&mut session).unwrap();
    jar.receive(world.now(), world.commit(&mut session).set_cookie());
    assert_eq!(shown(&world.elsewhere().open(&jar)), "a=1 b=2");
}

#[test]
fn a_spent_quota_is_told_apart_and_not_tried_again() {
    let world = World::new();
    let jar = world.visitor();
    let world = world.elsewhere();
    world.store.fail(Kind::Read, 9, ConnectorErrorKind::Quota);
    let session = world.open(&jar);
    assert_eq!(world.store.count(Kind::Read), 1);
    assert_eq!(session.outcome().unwrap(), Outcome::Unavailable);
    assert_eq!(code(session.len()), Some(ErrorCode::Quota));
}

// --- a logout during an outage -------------------------------------------------------------------

#[test]
fn a_logout_during_an_outage_leaves_a_tombstone_that_finishes_it() {
    let world = World::new();
    let mut jar = world.visitor();
    let (old, key) = (jar.clone(), world.session_key(&jar));
    world.store.outage();
    let mut session = world.open(&jar);
    let error = destroy(&mut session).unwrap_err();
    assert_eq!(error.code(), ErrorCode::RevocationPending);
    assert_eq!(
        (error.code().status(), error.code().retry_after()),
        (503, Some(5))
    );
    assert!(error.connector_error().is_some());
    assert_eq!(
        code(session.bind_with("ada", Keep::Nothing)),
        Some(ErrorCode::RevocationPending)
    );
    let headers = world.try_commit(&mut session, 503).unwrap();
    assert_eq!(cookie_names(&headers), [KEY, FRESH]);
    jar.receive(world.now(), headers.set_cookie());
    assert_eq!(jar.names(), [KEY], "the tombstone");
    let stone = jar.value(KEY).unwrap().to_owned();
    assert!(
        stone.len() < old.value(KEY).unwrap().len(),
        "no token in it"
    );

    // The store is still down: the browser is anonymous, cannot log in, and keeps the tombstone.
    world.visit(&mut jar, |session| {
        assert_eq!(session.outcome().unwrap(), Outcome::Revoked);
        assert!(session.is_empty().unwrap());
        session.set("b", 2).unwrap();
        assert_eq!(
            code(session.bind("ada")),
            Some(ErrorCode::RevocationPending)
        );
        assert_eq!(
            code(session.bind_with("ada", Keep::Nothing)),
            Some(ErrorCode::RevocationPending)
        );
    });
    assert_eq!(jar.value(KEY), Some(&*stone));
    world.store.mend();
    assert!(world.store.names_of("k.").is_empty());

    // The store is up again: the markers are put, and the browser can log in.
    world.store.take_log();
    world.visit(&mut jar, |session| {
        assert_eq!(session.outcome().unwrap(), Outcome::Revoked);
        assert_eq!(
            world.store.keys_of(Kind::Put),
            [key.dead_key(), key.dead_lineage()]
        );
        session.bind("ada").unwrap();
    });
    assert_eq!(world.open(&jar).owner().unwrap(), Some("ada"));
    assert_eq!(
        world.elsewhere().open(&old).outcome().unwrap(),
        Outcome::Revoked
    );
}

#[test]
fn a_tombstone_whose_marker_stands_is_one_read_and_makes_room() {
    let world = World::new();
    let mut jar = world.visitor();
    world.store.outage();
    let mut session = world.open(&jar);
    let _pending = destroy(&mut session);
    jar.receive(world.now(), world.commit(&mut session).set_cookie());
    world.store.mend();
    world.visit(&mut jar, |_| ());
    world.store.take_log();
    let world = world.elsewhere();
    world.visit(&mut jar, |session| session.set("b", 2).unwrap());
    assert_eq!(
        (world.store.count(Kind::Read), world.store.count(Kind::Put)),
        (1, 1)
    );
    assert_eq!(shown(&world.open(&jar)), "b=2");
}

#[test]
fn a_second_logout_during_the_outage_does_not_lose_the_first() {
    let world = World::new();
    let mut jar = world.visitor();
    let old = jar.clone();
    world.store.outage();
    let mut session = world.open(&jar);
    let pending = Some(ErrorCode::RevocationPending);
    assert_eq!(code(destroy(&mut session)), pending);
    assert_eq!(code(destroy(&mut session)), pending, "in the same request");
    jar.receive(world.now(), world.commit(&mut session).set_cookie());
    assert!(jar.value(KEY).is_some());
    let mut session = world.open(&jar);
    assert_eq!(code(destroy(&mut session)), pending, "in the next one");
    jar.receive(world.now(), world.commit(&mut session).set_cookie());
    assert!(jar.value(KEY).is_some());
    let mut session = world.open(&jar);
    assert_eq!(code(run(session.flush_keeping(["a"]))), pending);
    jar.receive(world.now(), world.commit(&mut session).set_cookie());
    assert!(jar.value(KEY).is_some());

    world.store.mend();
    let mut session = world.sessions.open(jar.head(world.now()));
    destroy(&mut session).unwrap();
    jar.receive(world.now(), world.commit(&mut session).set_cookie());
    assert_eq!(jar, Jar::new());
    assert_eq!(
        world.elsewhere().open(&old).outcome().unwrap(),
        Outcome::Revoked
    );
}

#[test]
fn a_logout_of_which_one_marker_failed_is_pending() {
    let world = World::new();
    let mut jar = world.visitor();
    let mut session = world.open(&jar);
    // Both markers are put in parallel; the third to fifth puts are tries of one of them.
    world
        .store
        .fail(Kind::Put, 4, ConnectorErrorKind::Unavailable);
    let result = destroy(&mut session);
    if result.is_err() {
        assert_eq!(code(result), Some(ErrorCode::RevocationPending));
        jar.receive(world.now(), world.commit(&mut session).set_cookie());
        world.visit(&mut jar, |session| {
            assert_eq!(session.outcome().unwrap(), Outcome::Revoked)
        });
    }
    assert_eq!(world.store.names_of("k.").len(), 1);
    assert_eq!(world.store.names_of("l.").len(), 1);
}

#[test]
fn a_logout_that_was_stored_in_part_is_finished_by_the_next_request() {
    for cycled in [false, true] {
        let world = World::new();
        let mut jar = world.visitor();
        if cycled {
            world.visit(&mut jar, |session| session.cycle_key().unwrap());
        }
        let key = world.session_key(&jar);
        // A thief copies the key and rotates it.
        let mut thief = jar.clone();
        world
            .elsewhere()
            .visit(&mut thief, |session| session.cycle_key().unwrap());
        world.store.take_log();
        // The user logs out: the first marker is stored, the others fail.
        world
            .store
            .fail_after(1, Kind::Put, 99, ConnectorErrorKind::Unavailable);
        let mut session = world.open(&jar);
        assert_eq!(
            code(destroy(&mut session)),
            Some(ErrorCode::RevocationPending)
        );
        assert!(world.store.names_of("l.").is_empty());
        jar.receive(world.now(), world.commit(&mut session).set_cookie());
        world.store.mend();
        world.store.take_log();

        // The browser's next request puts the missing markers, in whichever isolate.
        world.elsewhere().visit(&mut jar, |session| {
            assert_eq!(session.outcome().unwrap(), Outcome::Revoked);
        });
        let put = world.store.keys_of(Kind::Put);
        assert!(put.contains(&key.dead_lineage()), "{put:?}");
        assert!(!put.contains(&key.dead_key()), "{put:?}");
        assert_eq!(put.contains(&key.dead_first_key()), cycled, "{put:?}");
        assert_eq!(
            world.elsewhere().open(&thief).outcome().unwrap(),
            Outcome::Revoked
        );
    }
}

#[test]
fn a_record_that_could_not_be_deleted_is_deleted_by_the_next_request() {
    let world = World::with(Settings::default().with_purge(true));
    let mut jar = world.visitor();
    let key = world.session_key(&jar);
    world
        .store
        .fail(Kind::Delete, 99, ConnectorErrorKind::Unavailable);
    let mut session = world.open(&jar);
    assert_eq!(
        code(destroy(&mut session)),
        Some(ErrorCode::RevocationPending)
    );
    jar.receive(world.now(), world.commit(&mut session).set_cookie());
    assert_eq!(world.store.names_of("s."), [key.record()]);
    // Still failing: the tombstone stays.
    world.visit(&mut jar, |session| {
        assert_eq!(
            code(session.bind_with("ada", Keep::Nothing)),
            Some(ErrorCode::RevocationPending)
        );
    });
    world.store.mend();
    world.elsewhere().visit(&mut jar, |session| {
        assert_eq!(session.outcome().unwrap(), Outcome::Revoked);
    });
    assert_eq!(world.store.names_of("s."), [""; 0]);
    // Once it is complete, a request costs one read.
    world.store.take_log();
    world.elsewhere().visit(&mut jar, |_| ());
    assert_eq!(world.store.operations(), 1);
}

#[test]
fn a_purge_that_the_store_limits_waits_for_its_turn() {
    let world = World::with(Settings::default().with_purge(true));
    let mut jar = world.visitor();
    // A save less than a second before: the store accepts one write of a key a second.
    world
        .store
        .fail(Kind::Delete, 1, ConnectorErrorKind::RateLimited);
    world.visit(&mut jar, |session| destroy(session).unwrap());
    assert_eq!(world.store.names_of("s."), [""; 0]);
}

#[test]
fn a_logout_is_not_put_again_while_the_store_still_shows_its_absence() {
    let world = World::new();
    let mut jar = world.visitor();
    world.store.outage();
    let mut session = world.open(&jar);
    destroy(&mut session).unwrap_err();
    jar.receive(world.now(), session.done_headers().set_cookie());
    world.store.mend();
    let mut parallel = jar.clone();
    world.visit(&mut jar, |_| ());
    let markers: Vec<String> = ["k.", "l."]
        .iter()
        .flat_map(|prefix| world.store.names_of(prefix))
        .collect();
    assert_eq!(markers.len(), 2);
    // The location has cached that they are absent.
    for marker in &markers {
        world.store.remove(marker);
    }
    world.store.take_log();
    world.visit(&mut parallel, |_| ());
    assert_eq!(world.store.count(Kind::Put), 0);
}

#[test]
fn a_marker_that_the_store_limits_was_put_by_somebody_else() {
    let world = World::new();
    let mut jar = world.visitor();
    world
        .store
        .fail(Kind::Put, 9, ConnectorErrorKind::RateLimited);
    let before = world.now();
    world.visit(&mut jar, |session| destroy(session).unwrap());
    assert!(world.now() - before >= 1_000, "tried again after a second");
    assert_eq!(jar, Jar::new());
}

#[test]
fn a_logout_whose_markers_were_applied_though_reported_failed_is_done() {
    let world = World::new();
    let mut jar = world.visitor();
    let old = jar.clone();
    world.store.fail_though_applied(Kind::Put, 99);
    let mut session = world.open(&jar);
    assert_eq!(
        code(destroy(&mut session)),
        Some(ErrorCode::RevocationPending)
    );
    jar.receive(world.now(), world.commit(&mut session).set_cookie());
    world.store.mend();
    world.visit(&mut jar, |session| session.set("b", 2).unwrap());
    assert_eq!(shown(&world.open(&jar)), "b=2");
    assert_eq!(
        world.elsewhere().open(&old).outcome().unwrap(),
        Outcome::Revoked
    );
}

/// A login that keeps nothing does not read the previous session again. What this isolate knows of
/// it still counts.
#[test]
fn a_login_without_its_data_does_not_replace_a_logout_by_a_rotation() {
    let world = World::new();
    let mut jar = world.visitor();
    let mut thief = jar.clone();
    world
        .elsewhere()
        .visit(&mut thief, |session| session.cycle_key().unwrap());
    world.store.remove(&world.store.names_of("k.")[0]);

    let mut login = world.open(&jar);
    login.bind_with("ada", Keep::Nothing).unwrap();
    let mut logout = world.open(&jar);
    world.store.outage();
    destroy(&mut logout).unwrap_err();
    jar.receive(world.now(), logout.done_headers().set_cookie());
    world.store.mend();
    let headers = world.commit(&mut login);
    jar.receive(world.now(), headers.set_cookie());

    world.advance(WINDOW);
    assert_eq!(
        world.elsewhere().open(&thief).outcome().unwrap(),
        Outcome::Revoked
    );
    assert_eq!(world.elsewhere().open(&jar).owner().unwrap(), Some("ada"));
}
