//! A session from an untouched page to its save: its costs, its cookies, and its refusals.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::collections::BTreeMap;

use crate::common::{self, *};
use edge_session::connector::ConnectorErrorKind;
use edge_session::{CommitHeaders, ErrorCode, Keep, Outcome, SessionStore, Settings};

// --- nothing for nothing -------------------------------------------------------------------------

#[test]
fn an_untouched_new_session_costs_nothing() {
    let world = World::new();
    let mut session = world.load(Head::default());
    let headers = world.commit(&mut session);
    assert!(headers.is_empty(), "{headers:?}");
    assert_eq!(world.store.operations(), 0);
    assert_eq!(session.outcome().unwrap(), Outcome::New);
    assert_eq!(session.session_key().unwrap(), None);
}

#[test]
fn a_new_session_that_was_only_read_stores_nothing() {
    let world = World::new();
    let mut session = world.load(Head::default());
    assert_eq!(session.get::<i32>("a").unwrap(), None);
    assert_eq!(session.pop_or("a", 5).unwrap(), 5);
    assert!(!session.remove("a").unwrap());
    session.clear().unwrap();
    let headers = world.commit(&mut session);
    assert!(headers.set_cookie().is_empty(), "{headers:?}");
    assert!(headers.depends_on_session());
    assert_eq!(world.store.operations(), 0);
}

#[test]
fn what_is_set_and_removed_again_in_a_new_session_stores_nothing() {
    let world = World::new();
    let mut session = world.load(Head::default());
    session.set("a", 1).unwrap();
    session.remove("a").unwrap();
    assert!(!session.needs_update());
    assert!(world.commit(&mut session).set_cookie().is_empty());
    assert_eq!(world.store.operations(), 0);
}

#[test]
fn an_unloaded_session_costs_nothing_and_says_so() {
    let world = World::new();
    let jar = world.visitor();
    let mut session = world.sessions.open(jar.head(world.now()));
    assert_eq!(code(session.get::<i32>("a")), Some(ErrorCode::NotLoaded));
    assert_eq!(code(session.set("a", 2)), Some(ErrorCode::NotLoaded));
    assert_eq!(code(session.cycle_key()), Some(ErrorCode::NotLoaded));
    assert_eq!(code(session.create()), Some(ErrorCode::NotLoaded));
    assert_eq!(code(session.bind("ada")), Some(ErrorCode::NotLoaded));
    assert_eq!(code(save(&mut session)), Some(ErrorCode::NotLoaded));
    let nothing_is_known = |session: &SessionStore| {
        assert_eq!(code(session.outcome()), Some(ErrorCode::NotLoaded));
        assert_eq!(code(session.session_key()), Some(ErrorCode::NotLoaded));
        assert_eq!(code(session.is_new()), Some(ErrorCode::NotLoaded));
        assert_eq!(code(session.version()), Some(ErrorCode::NotLoaded));
        assert_eq!(code(session.created_at()), Some(ErrorCode::NotLoaded));
        assert!(format!("{session:?}").contains("outcome: None"));
    };
    nothing_is_known(&session);
    assert!(world.commit(&mut session).set_cookie().is_empty());
    assert_eq!(world.store.operations(), 0);
    nothing_is_known(&session);
    // Also without a cookie, when a load costs nothing.
    let mut nobody = world.sessions.open(Head::default());
    nothing_is_known(&nobody);
    assert_eq!(run(nobody.load()).unwrap(), Outcome::New);
    assert!(nobody.is_new().unwrap());
}

#[test]
fn a_session_is_loaded_once() {
    let world = World::new();
    let jar = world.visitor();
    let mut session = world.open(&jar);
    assert_eq!(run(session.load()).unwrap(), Outcome::Loaded);
    assert_eq!(world.store.count(Kind::Read), 1);
    assert_eq!(run(session.load_fresh()).unwrap(), Outcome::Loaded);
    assert_eq!(world.store.count(Kind::Read), 2);
}

// --- the first save ------------------------------------------------------------------------------

#[test]
fn the_first_save_puts_once_reads_nothing_and_sets_two_cookies() {
    let world = World::new();
    let mut session = world.load(Head::default());
    session.set("a", 1).unwrap();
    assert!(session.needs_update() && session.modified() && session.is_new().unwrap());
    let headers = world.commit(&mut session);

    let key = KeyParts::of(&session);
    assert_eq!(world.store.take_log(), [(Kind::Put, key.record())]);
    assert_eq!(key.owner, "-");
    assert_eq!(key.lineage, key.derived);

    let [key_cookie, fresh_cookie] = headers.set_cookie() else {
        panic!("{headers:?}");
    };
    let value = pair_value(key_cookie, KEY);
    assert!(value.len() <= 200, "{}", value.len());
    assert_eq!(
        *key_cookie,
        format!("{KEY}={value}; Max-Age=604800{ATTRIBUTES}")
    );
    let value = pair_value(fresh_cookie, FRESH);
    assert!(value.len() <= 3_600, "{}", value.len());
    assert_eq!(
        *fresh_cookie,
        format!("{FRESH}={value}; Max-Age=102{ATTRIBUTES}")
    );
    assert!(headers.depends_on_session());
    assert!(!session.is_new().unwrap() && !session.modified());
    assert_eq!(session.version().unwrap(), 1);
    assert_eq!(session.created_at().unwrap(), Some(instant(START)));
}

fn pair_value<'a>(field: &'a str, name: &str) -> &'a str {
    let pair = field.split(';').next().unwrap();
    pair.strip_prefix(name).unwrap().strip_prefix('=').unwrap()
}

#[test]
fn a_record_lives_until_the_hard_end() {
    let world = World::with(Settings::default().with_cookie_age(seconds(1_000)));
    let mut jar = world.visitor();
    let key = world.session_key(&jar);
    world.advance(400 * SECOND);
    world.visit(&mut jar, |session| session.set("a", 2).unwrap());
    assert_eq!(world.store.ttl(&key.record()), Some(600));
}

#[test]
fn the_store_never_holds_what_the_browser_holds() {
    let world = World::new();
    let jar = world.visitor();
    let secret = jar.value(KEY).unwrap();
    assert_eq!(world.store.all().len(), 1);
    for (name, value) in world.store.all() {
        for text in [&name, &value] {
            assert!(!text.contains(secret) && !text.contains(&secret[8..40]));
            assert!(!text.contains("\"a\""), "sealed: {text}");
        }
    }
}

#[test]
fn settings_of_the_cookie_are_on_every_cookie() {
    let settings = Settings::default()
        .with_cookie_name("__Secure-id")
        .with_cookie_path("/shop")
        .with_cookie_domain("example.com")
        .with_cookie_same_site(edge_session::SameSite::None)
        .with_cookie_partitioned(true)
        .with_cookie_age(seconds(60));
    let world = World::with(settings);
    let mut session = world.load(Head::default());
    session.set("a", 1).unwrap();
    let headers = world.commit(&mut session);
    let attributes =
        "; Path=/shop; Domain=example.com; Secure; HttpOnly; SameSite=None; Partitioned";
    for (field, start) in headers
        .set_cookie()
        .iter()
        .zip(["__Secure-id=", "__Secure-id-fresh="])
    {
        assert!(
            field.starts_with(start) && field.ends_with(attributes),
            "{field}"
        );
    }
    // A removal that differs in one attribute removes nothing.
    destroy_is_committed(&world, headers, attributes);
}

fn destroy_is_committed(world: &World, headers: CommitHeaders, attributes: &str) {
    let mut jar = Jar::new();
    jar.receive(world.now(), headers.set_cookie());
    let mut session = world.open(&jar);
    destroy(&mut session).unwrap();
    let headers = world.commit(&mut session);
    assert_eq!(cookie_names(&headers), ["__Secure-id", "__Secure-id-fresh"]);
    for field in headers.set_cookie() {
        let removal = format!("=; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT{attributes}");
        assert!(field.ends_with(&removal), "{field}");
    }
    jar.receive(world.now(), headers.set_cookie());
    assert_eq!(jar, Jar::new());
}

// --- load and save -------------------------------------------------------------------------------

#[test]
fn a_load_is_one_read_of_record_and_marker() {
    let world = World::new();
    let jar = world.visitor();
    let session = world.open(&jar);
    let key = KeyParts::of(&session);
    assert_eq!(
        world.store.take_log(),
        [(Kind::Read, key.record()), (Kind::Read, key.dead_key())]
    );
    assert_eq!(session.outcome().unwrap(), Outcome::Loaded);
    assert_eq!(shown(&session), "a=1");
}

#[test]
fn a_load_of_a_rotated_owned_session_is_one_read_of_four_keys() {
    let world = World::new();
    let mut jar = world.member("ada");
    world.visit(&mut jar, |session| session.cycle_key().unwrap());
    world.store.take_log();
    let session = world.open(&jar);
    let key = KeyParts::of(&session);
    assert_eq!(world.store.count(Kind::Read), 1);
    assert_eq!(
        world.store.keys_of(Kind::Read),
        [
            key.record(),
            key.dead_key(),
            key.dead_lineage(),
            key.owner_marker()
        ]
    );
}

#[test]
fn reading_writes_nothing_and_sets_no_cookie() {
    let world = World::new();
    let jar = world.visitor();
    let mut session = world.open(&jar);
    assert_eq!(session.get("a").unwrap(), Some(1));
    assert!(!session.needs_update());
    let headers = world.commit(&mut session);
    assert!(headers.set_cookie().is_empty());
    assert_eq!(world.store.operations(), 1);
}

#[test]
fn an_equal_value_is_not_written() {
    let world = World::new();
    let jar = world.visitor();
    let mut session = world.open(&jar);
    session.set("a", 1).unwrap();
    session.set("a", 1_u64).unwrap();
    assert!(!session.modified() && !session.needs_update());
    let headers = world.commit(&mut session);
    assert!(headers.set_cookie().is_empty());
    assert_eq!(world.store.count(Kind::Put), 0);
}

#[test]
fn what_was_changed_back_is_not_written() {
    let world = World::new();
    let mut jar = world.visitor();
    world.visit(&mut jar, |session| session.set("b", 1).unwrap());
    world.store.take_log();
    let mut session = world.open(&jar);
    session.set("a", 2).unwrap();
    assert!(session.modified());
    session.set("a", 1).unwrap();
    session.set("new", 1).unwrap();
    session.remove("new").unwrap();
    session.flash("f", 1).unwrap();
    session.take_flash::<u8>("f").unwrap();
    session.remove("b").unwrap();
    session.set("b", 1).unwrap();
    assert!(!session.modified() && !session.needs_update());
    assert!(world.commit(&mut session).set_cookie().is_empty());
    assert_eq!(world.store.count(Kind::Put), 0);
    // Removing and setting a key moves it to the end, unless it was the last.
    let mut session = world.open(&jar);
    session.remove("a").unwrap();
    session.set("a", 1).unwrap();
    assert!(session.modified());
}

#[test]
fn a_key_that_came_and_went_is_left_to_other_requests() {
    let world = World::new();
    let mut jar = world.visitor();
    let mut slow = world.open(&jar);
    slow.set("x", 1).unwrap();
    slow.remove("x").unwrap();
    slow.set("b", 2).unwrap();
    world.visit(&mut jar, |session| session.set("x", 5).unwrap());
    assert_eq!(cookie_names(&world.commit(&mut slow)), [FRESH]);
    assert_eq!(shown(&world.elsewhere().open(&jar)), "a=1 x=5 b=2");
}

#[test]
fn a_first_save_that_fails_leaves_no_key() {
    let world = World::new();
    let mut session = world.load(Head::default());
    session.set("a", "x".repeat(200_000)).unwrap();
    assert_eq!(code(save(&mut session)), Some(ErrorCode::TooLarge));
    assert_eq!(session.session_key().unwrap(), None);
    session.set("a", 1).unwrap();
    world
        .store
        .fail(Kind::Put, 9, ConnectorErrorKind::Unavailable);
    assert_eq!(code(save(&mut session)), Some(ErrorCode::Unavailable));
    assert_eq!(session.session_key().unwrap(), None);
    assert!(session.is_new().unwrap() && session.modified());
    world.store.mend();
    save(&mut session).unwrap();
    assert!(session.session_key().unwrap().is_some());
    // The application may have stored the key that `create` has returned.
    let mut created = world.load(Head::default());
    created.create().unwrap();
    let key = created.session_key().unwrap();
    created.set("a", "x".repeat(200_000)).unwrap();
    assert_eq!(code(save(&mut created)), Some(ErrorCode::TooLarge));
    assert_eq!(created.session_key().unwrap(), key);
}

#[test]
fn modified_says_whether_a_commit_saves() {
    type Change = fn(&mut SessionStore, &str, u32);
    let changes: &[Change] = &[
        |it, key, value| it.set(key, value).unwrap(),
        |it, key, _| assert!(it.remove(key).is_ok()),
        |it, key, value| assert!(it.setdefault(key, value).is_ok()),
        |it, key, value| it.flash(key, value).unwrap(),
        |it, key, _| assert!(it.take_flash::<u32>(key).is_ok()),
        |it, _, _| it.clear().unwrap(),
        |it, _, value| it.set_modified(value == 0).unwrap(),
        |it, _, _| it.set_expiry(600).unwrap(),
        |it, _, _| it.create().unwrap(),
        |it, _, _| it.cycle_key().unwrap(),
        |it, _, _| drop(it.reauthenticate()),
        |it, _, value| it.bind_with("ada", common::keep(value == 0)).unwrap(),
        |it, _, _| assert!(run(it.load_fresh()).is_ok()),
    ];
    let mut random = 1_u32;
    let mut below = |most: usize| {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (random >> 8) as usize % most
    };
    for round in 0..500 {
        let world = World::new();
        let jar = match below(3) {
            0 => Jar::new(),
            1 => world.visitor(),
            _ => world.member("ada"),
        };
        let mut session = world.open(&jar);
        let length = below(6);
        for _ in 0..length {
            let change = changes[below(changes.len())];
            change(&mut session, ["a", "b", "c"][below(3)], below(2) as u32);
        }
        let modified = session.modified();
        assert_eq!(session.needs_update(), modified, "{round}");
        world.store.take_log();
        assert!(world.try_commit(&mut session, 200).is_ok());
        assert_eq!(world.store.count(Kind::Put) > 0, modified, "{round}");
    }
}

#[test]
fn a_change_puts_once_and_writes_no_key_cookie() {
    let world = World::new();
    let jar = world.visitor();
    let mut session = world.open(&jar);
    session.set("b", 2).unwrap();
    let headers = world.commit(&mut session);
    assert_eq!(cookie_names(&headers), [FRESH]);
    assert_eq!(
        (world.store.count(Kind::Read), world.store.count(Kind::Put)),
        (1, 1)
    );
    assert_eq!(session.version().unwrap(), 2);
}

#[test]
fn a_save_looks_again_when_a_second_has_passed_since_the_read() {
    for (pause, reads) in [(999, 1), (1_000, 2)] {
        // In another isolate, because the own table may make the second read unnecessary.
        let world = World::new();
        let jar = world.visitor();
        let world = world.elsewhere();
        let mut session = world.open(&jar);
        world.advance(pause);
        session.set("b", 2).unwrap();
        let _ = world.commit(&mut session);
        assert_eq!(world.store.count(Kind::Read), reads, "after {pause} ms");
        assert_eq!(world.store.count(Kind::Put), 1);
    }
}

#[test]
fn what_was_saved_is_read_by_the_next_request() {
    let world = World::new();
    let mut jar = world.visitor();
    for n in 2..6 {
        world.visit(&mut jar, |session| {
            assert_eq!(session.get("a").unwrap(), Some(n - 1));
            session.set("a", n).unwrap();
        });
    }
    assert_eq!(world.open(&jar).version().unwrap(), 5);
}

#[test]
fn an_emptied_session_stays_a_session() {
    let world = World::new();
    let mut jar = world.visitor();
    let key = world.session_key(&jar);
    world.visit(&mut jar, |session| session.clear().unwrap());
    let session = world.open(&jar);
    assert_eq!(KeyParts::of(&session), key);
    assert!(session.is_empty().unwrap());
}

#[test]
fn an_explicit_save_is_seen_at_once_and_the_commit_carries_its_cookies() {
    let world = World::new();
    let mut jar = Jar::new();
    let mut session = world.load(Head::default());
    session.set("a", 1).unwrap();
    save(&mut session).unwrap();
    assert_eq!(world.store.count(Kind::Put), 1);
    assert!(session.session_key().unwrap().is_some());
    save(&mut session).unwrap();
    let headers = world.commit(&mut session);
    assert_eq!(world.store.count(Kind::Put), 1, "nothing more to save");
    assert_eq!(cookie_names(&headers), [KEY, FRESH]);
    jar.receive(world.now(), headers.set_cookie());
    assert_eq!(shown(&world.open(&jar)), "a=1");
}

#[test]
fn saving_twice_sets_each_cookie_once() {
    let world = World::new();
    let mut jar = Jar::new();
    world.visit(&mut jar, |session| {
        session.set("a", 1).unwrap();
        save(session).unwrap();
        session.set("b", 2).unwrap();
        save(session).unwrap();
        session.cycle_key().unwrap();
        session.set("c", 3).unwrap();
    });
    assert_eq!(shown(&world.open(&jar)), "a=1 b=2 c=3");
}

#[test]
fn modified_can_be_said() {
    let world = World::new();
    let mut jar = world.visitor();
    world.visit(&mut jar, |session| {
        session.set_modified(true).unwrap();
        assert!(session.modified() && session.needs_update());
    });
    assert_eq!(world.store.count(Kind::Put), 1);
    world.visit(&mut jar, |session| {
        session.set("a", 9).unwrap();
        session.set_modified(false).unwrap();
        assert!(!session.modified() && !session.needs_update());
    });
    assert_eq!(world.store.count(Kind::Put), 1);
    assert_eq!(shown(&world.open(&jar)), "a=1");
}

#[test]
fn what_a_failed_save_may_have_stored_is_undone_although_changes_were_left_unsaved_before() {
    let world = World::new();
    let mut jar = world.visitor();
    world.visit(&mut jar, |session| {
        session.set("a", 9).unwrap();
        session.set_modified(false).unwrap();
        session.set("b", 2).unwrap();
        world.store.fail_though_applied(Kind::Put, usize::MAX);
        assert!(run(session.save()).is_err());
        world.store.mend();
        session.remove("b").unwrap();
        assert!(session.modified());
    });
    assert_eq!(shown(&world.elsewhere().open(&jar)), "a=9");
}

#[test]
fn changes_survive_a_fresh_load_that_failed() {
    type Change = fn(&mut SessionStore);
    let cases: [(Change, &str); 4] = [
        (|it| assert!(it.remove("a").unwrap()), ""),
        (|it| it.clear().unwrap(), ""),
        (|it| it.set("b", 2).unwrap(), "a=1 b=2"),
        (|it| it.set("a", 2).unwrap(), "a=2"),
    ];
    for (place, (change, expected)) in cases.into_iter().enumerate() {
        let world = World::new();
        let mut jar = world.visitor();
        let world = world.elsewhere();
        world.visit(&mut jar, |session| {
            change(session);
            let error = ConnectorErrorKind::Unavailable;
            world.store.fail(Kind::Read, usize::MAX, error);
            assert!(run(session.load_fresh()).is_err());
            world.store.mend();
            assert_eq!(run(session.load_fresh()).unwrap(), Outcome::Loaded);
            assert!(session.modified(), "{place}");
        });
        assert_eq!(shown(&world.elsewhere().open(&jar)), expected, "{place}");
    }
}

#[test]
fn after_changes_were_left_unsaved_only_a_difference_from_them_counts() {
    type Change = fn(&mut SessionStore);
    let cases: [(Change, &str); 9] = [
        (|_| {}, ""),
        // Equal to what was left unsaved, or undone.
        (|it| it.set("a", 9).unwrap(), ""),
        (|it| assert!(!it.remove("nowhere").unwrap()), ""),
        (|it| it.set_expiry(600).unwrap(), ""),
        (
            |it| {
                it.set("b", 1).unwrap();
                it.set("b", 2).unwrap();
                it.set("c", 3).unwrap();
                it.remove("c").unwrap();
            },
            "",
        ),
        (
            |it| {
                it.set("b", 1).unwrap();
                run(it.load_fresh()).unwrap();
            },
            "a=9 b=1",
        ),
        (|it| assert!(run(it.load_fresh()).is_ok()), ""),
        (|it| it.set("c", 3).unwrap(), "a=9 b=2 c=3"),
        (|it| it.set_expiry(700).unwrap(), "a=9 b=2"),
    ];
    for (index, (change, saved)) in cases.into_iter().enumerate() {
        let world = World::new();
        let mut jar = world.visitor();
        world.visit(&mut jar, |session| session.set("b", 2).unwrap());
        world.visit(&mut jar, |session| {
            session.set("a", 9).unwrap();
            session.set_expiry(600).unwrap();
            session.set_modified(false).unwrap();
            change(session);
            assert_eq!(session.modified(), !saved.is_empty(), "{index}");
        });
        let expected = if saved.is_empty() { "a=1 b=2" } else { saved };
        assert_eq!(shown(&world.open(&jar)), expected, "{index}");
    }
}

#[test]
fn an_empty_session_said_to_be_modified_is_made() {
    let world = World::new();
    let mut jar = Jar::new();
    world.visit(&mut jar, |session| session.set_modified(true).unwrap());
    assert_eq!(world.open(&jar).outcome().unwrap(), Outcome::Loaded);
}

// --- create --------------------------------------------------------------------------------------

#[test]
fn create_names_the_session_before_anything_is_stored() {
    let world = World::new();
    let mut jar = Jar::new();
    let key = world.visit(&mut jar, |session| {
        session.create().unwrap();
        assert_eq!(world.store.operations(), 0);
        KeyParts::of(session)
    });
    assert_eq!(world.store.take_log(), [(Kind::Put, key.record())]);
    assert_eq!(world.session_key(&jar), key);
}

#[test]
fn create_over_a_loaded_session_begins_empty_and_leaves_the_other() {
    let world = World::new();
    let mut jar = world.visitor();
    let old = jar.clone();
    world.visit(&mut jar, |session| {
        session.create().unwrap();
        assert!(session.is_empty().unwrap());
        assert!(session.is_new().unwrap());
        session.set("b", 2).unwrap();
    });
    assert_eq!(shown(&world.open(&jar)), "b=2");
    assert_eq!(shown(&world.open(&old)), "a=1");
}

#[test]
fn without_randomness_nothing_is_made() {
    let world = World::new();
    world.runtime.set_randomness(Randomness::Failing);
    let mut session = world.load(Head::default());
    assert_eq!(code(session.create()), Some(ErrorCode::NotReady));
    assert_eq!(code(session.cycle_key()), Some(ErrorCode::NotReady));
    assert_eq!(code(session.bind("ada")), Some(ErrorCode::NotReady));
    assert_eq!(
        code(session.generate_session_id()),
        Some(ErrorCode::NotReady)
    );
    session.set("a", 1).unwrap();
    assert_eq!(code(save(&mut session)), Some(ErrorCode::NotReady));
    assert_eq!(
        code(world.try_commit(&mut session, 200)),
        Some(ErrorCode::NotReady)
    );
    assert!(session.done_headers().set_cookie().is_empty());
    assert_eq!(world.store.operations(), 0);
}

#[test]
fn a_generated_id_is_random_and_tied_to_nothing() {
    let world = World::new();
    let session = world.load(Head::default());
    let ids: std::collections::BTreeSet<String> = (0..1_000)
        .map(|_| session.generate_session_id().unwrap())
        .collect();
    assert_eq!(ids.len(), 1_000);
    assert!(ids.iter().all(|id| id.len() == 43 && !id.contains('.')));
    assert_eq!(session.session_key().unwrap(), None);
    assert_eq!(world.store.operations(), 0);
}

// --- answers that fail, and after the answer -----------------------------------------------------

#[test]
fn a_5xx_answer_drops_every_change_and_intent() {
    let world = World::new();
    let jar = world.visitor();
    for status in [500, 503, 599] {
        let mut session = world.open(&jar);
        session.set("a", 2).unwrap();
        session.cycle_key().unwrap();
        let headers = world.try_commit(&mut session, status).unwrap();
        assert!(headers.set_cookie().is_empty());
    }
    assert_eq!(world.store.count(Kind::Put), 0);
    for status in [200, 302, 404, 499] {
        let mut session = world.open(&jar);
        session.set("a", status).unwrap();
        let headers = world.try_commit(&mut session, status).unwrap();
        assert_eq!(cookie_names(&headers), [FRESH], "{status}");
    }
    assert_eq!(world.store.count(Kind::Put), 4);
}

#[test]
fn a_5xx_answer_drops_a_login_and_leaves_the_old_session_alive() {
    let world = World::new();
    let jar = world.member("ada");
    let mut session = world.open(&jar);
    session.bind_with("bob", Keep::Nothing).unwrap();
    assert!(
        world
            .try_commit(&mut session, 500)
            .unwrap()
            .set_cookie()
            .is_empty()
    );
    assert_eq!(world.open(&jar).owner().unwrap(), Some("ada"));
}

#[test]
fn what_was_saved_before_a_5xx_stays() {
    let world = World::new();
    let mut jar = Jar::new();
    let mut session = world.load(Head::default());
    session.set("a", 1).unwrap();
    save(&mut session).unwrap();
    session.set("b", 2).unwrap();
    let headers = world.try_commit(&mut session, 500).unwrap();
    jar.receive(world.now(), headers.set_cookie());
    assert_eq!(shown(&world.open(&jar)), "a=1");
}

#[test]
fn after_the_commit_a_change_is_refused_and_reading_is_not() {
    let world = World::new();
    let jar = world.visitor();
    let mut session = world.open(&jar);
    session.set("b", 2).unwrap();
    let _ = world.commit(&mut session);
    let refused = Some(ErrorCode::Committed);
    assert_eq!(code(session.set("a", 2)), refused);
    assert_eq!(code(session.remove("a")), refused);
    assert_eq!(code(session.clear()), refused);
    assert_eq!(code(session.update([("a", 2)])), refused);
    assert_eq!(code(session.flash("a", 2)), refused);
    assert_eq!(code(session.set_expiry(60)), refused);
    assert_eq!(code(session.set_modified(true)), refused);
    assert_eq!(code(session.create()), refused);
    assert_eq!(code(session.cycle_key()), refused);
    assert_eq!(code(session.bind("ada")), refused);
    assert_eq!(code(save(&mut session)), refused);
    assert_eq!(code(destroy(&mut session)), refused);
    assert_eq!(code(run(session.flush_keeping(["a"]))), refused);
    assert_eq!(code(world.try_commit(&mut session, 200)), refused);
    assert_eq!(shown(&session), "a=1 b=2");
    assert_eq!(world.store.count(Kind::Put), 1);
    assert!(!session.needs_update());
}

// --- limits --------------------------------------------------------------------------------------

/// Removed keys are remembered for ten times W, and each load reads them.
#[test]
fn the_removed_keys_of_a_session_are_limited_too() {
    let settings = Settings::default().with_max_keys(2);
    let world = World::with(settings);
    let mut jar = world.visitor();
    let replace = |jar: &mut Jar, from: u32| {
        let mut session = world.open(jar);
        session
            .set_data(&BTreeMap::from([(format!("k{from}"), 1)]))
            .unwrap();
        let result = world.try_commit(&mut session, 200);
        result.map(|headers| jar.receive(world.now(), headers.set_cookie()))
    };
    for from in 0..8 {
        replace(&mut jar, from).unwrap();
        world.advance(2 * SECOND);
    }
    let error = replace(&mut jar, 8).unwrap_err();
    assert_eq!(error.code(), ErrorCode::TooLarge);
    for words in ["9 keys within 1020 seconds", "with_max_keys allows 8"] {
        assert!(error.message().contains(words), "{error}");
    }
    assert!(
        world.open(&jar).contains_key("k7").unwrap(),
        "nothing is lost"
    );
    world.visit(&mut jar, |session| session.clear().unwrap());
    world.advance(2 * SECOND);
    replace(&mut jar, 9).unwrap();
    for from in 10..18 {
        world.advance(2 * SECOND);
        replace(&mut jar, from).unwrap();
    }
    world.advance(2 * SECOND);
    assert!(replace(&mut jar, 18).is_err());
    world.advance(1_020 * SECOND);
    replace(&mut jar, 18).unwrap();
}

#[test]
fn limits_are_told_with_what_is_and_what_may_be() {
    let settings = Settings::default()
        .with_max_record_bytes(1_024)
        .with_max_keys(3)
        .with_max_key_bytes(8)
        .with_max_depth(4);
    let world = World::with(settings);
    let refused = |session: &mut edge_session::SessionStore, code, words: &[&str]| {
        let error = world.try_commit(session, 200).unwrap_err();
        assert_eq!(error.code(), code);
        for word in words {
            assert!(error.message().contains(word), "{word}: {error}");
        }
        assert_eq!(world.store.operations(), 0);
        assert!(session.done_headers().set_cookie().is_empty());
    };

    let mut session = world.load(Head::default());
    session.set("a", "x".repeat(1_021)).unwrap();
    let words = ["1024", "with_max_record_bytes", "1025"];
    // A key of one byte, two quotes and the text.
    session.set("b", 1).unwrap();
    session.remove("b").unwrap();
    assert_eq!(session.get_json("a").unwrap().unwrap().len(), 1_023);
    let mut fits = world.load(Head::default());
    fits.set("a", "x".repeat(1_021)).unwrap();
    let _ = world.commit(&mut fits);
    world.store.take_log();
    session.set("a", "x".repeat(1_022)).unwrap();
    refused(&mut session, ErrorCode::TooLarge, &words);

    let mut session = world.load(Head::default());
    session
        .update([("a", 1), ("b", 2), ("c", 3), ("d", 4)])
        .unwrap();
    refused(
        &mut session,
        ErrorCode::TooLarge,
        &["4 keys", "3", "with_max_keys"],
    );

    let mut session = world.load(Head::default());
    session.update([("a", 1), ("b", 2), ("c", 3)]).unwrap();
    session.flash("d", 4).unwrap();
    refused(&mut session, ErrorCode::TooLarge, &["4 keys", "3"]);

    let mut session = world.load(Head::default());
    for error in [
        session.set("123456789", 1).unwrap_err(),
        session.flash("123456789", 1).unwrap_err(),
        session.update([("a", 1), ("123456789", 1)]).unwrap_err(),
        session
            .set("\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}", 1)
            .unwrap_err(),
    ] {
        assert_eq!(error.code(), ErrorCode::TooLarge);
        assert!(
            error.message().contains("with_max_key_bytes allows 8"),
            "{error}"
        );
    }
    session.set("12345678", [[[[1]]]]).unwrap();
    let error = session.set("deep", [[[[[1]]]]]).unwrap_err();
    assert_eq!(error.code(), ErrorCode::InvalidValue);
    assert!(error.message().contains("with_max_depth"), "{error}");
    assert_eq!(session.len().unwrap(), 1);
}

#[test]
fn a_store_that_finds_it_too_large_says_so() {
    let world = World::new();
    let mut session = world.load(Head::default());
    session.set("a", 1).unwrap();
    world.store.fail(Kind::Put, 9, ConnectorErrorKind::TooLarge);
    let error = world.try_commit(&mut session, 200).unwrap_err();
    assert_eq!(error.code(), ErrorCode::TooLarge);
    assert!(error.connector_error().is_some());
    assert!(session.done_headers().set_cookie().is_empty());
}

#[test]
fn a_commit_does_not_make_an_unloaded_session_an_empty_one() {
    let world = World::new();
    let jar = world.member("ada");
    let mut session = world.sessions.open(jar.head(world.now()));
    let _headers = world.commit(&mut session);
    let not_loaded = Some(ErrorCode::NotLoaded);
    assert_eq!(code(session.outcome()), not_loaded);
    assert_eq!(code(session.owner()), not_loaded);
    assert_eq!(code(session.get::<u32>("a")), not_loaded);
    assert_eq!(code(session.get_expiry_age()), not_loaded);
    assert_eq!(code(session.set("a", 2)), Some(ErrorCode::Committed));
}
