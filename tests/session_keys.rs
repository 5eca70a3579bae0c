//! The identity of a request: forged cookies, new keys, logins, and requests caused by other sites.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use crate::common::{self, *};
use edge_session::connector::ConnectorErrorKind;
use edge_session::{ErrorCode, Expiry, Keep, Outcome, SameSite, SessionStore, Settings};

// --- cookies that we did not write ---------------------------------------------------------------

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// A rejected request costs no storage operation and sets no cookie.
fn assert_rejected(world: &World, cookie: &str) {
    world.store.take_log();
    let mut session = world.load(Head::cookie(cookie));
    assert_eq!(session.outcome().unwrap(), Outcome::Rejected, "{cookie}");
    assert_eq!(session.len().unwrap(), 0);
    let headers = world.commit(&mut session);
    assert!(headers.set_cookie().is_empty(), "{headers:?}");
    assert_eq!(world.store.operations(), 0, "{cookie}");
}

#[test]
fn a_key_cookie_with_any_character_changed_costs_nothing() {
    let world = World::new();
    let jar = world.visitor();
    let text = jar.value(KEY).unwrap();
    for place in 0..text.len() {
        let old = text.as_bytes()[place];
        for new in [
            ALPHABET[(ALPHABET.iter().position(|x| *x == old).unwrap() + 1) % 64],
            ALPHABET[(ALPHABET.iter().position(|x| *x == old).unwrap() + 32) % 64],
            b'!',
        ] {
            let mut bytes = text.as_bytes().to_vec();
            bytes[place] = new;
            let changed = String::from_utf8(bytes).unwrap();
            assert_rejected(&world, &format!("{KEY}={changed}"));
        }
    }
}

#[test]
fn a_key_cookie_cut_or_continued_costs_nothing() {
    let world = World::new();
    let jar = world.visitor();
    let text = jar.value(KEY).unwrap();
    for end in 0..text.len() {
        assert_rejected(&world, &format!("{KEY}={}", &text[..end]));
    }
    for more in ["A", "AA", "AAA", "AAAA", "=", "==", &"A".repeat(5_000)] {
        assert_rejected(&world, &format!("{KEY}={text}{more}"));
    }
    assert_rejected(&world, &format!("{KEY}=\"{text}\""));
}

#[test]
fn a_key_cookie_of_another_secret_or_another_name_is_foreign() {
    let world = World::new();
    let foreign = world.reconfigured(OTHER_SECRET, Settings::default());
    let jar = foreign.visitor();
    assert_rejected(&world, &jar.header(world.now()).unwrap());
    let renamed = world.reconfigured(SECRET, Settings::default().with_cookie_name("__Host-id"));
    let jar = world.visitor();
    assert_rejected(&renamed, &format!("__Host-id={}", jar.value(KEY).unwrap()));
}

#[test]
fn a_ring_reads_the_old_secret_and_signs_with_the_first() {
    let world = World::new();
    let mut jar = world.visitor();
    let both = world.reconfigured(&format!("{OTHER_SECRET},{SECRET}"), Settings::default());
    both.visit(&mut jar, |session| {
        assert_eq!(session.get("a").unwrap(), Some(1));
        session.set("b", 2).unwrap();
    });
    let new = world.reconfigured(OTHER_SECRET, Settings::default());
    assert_eq!(
        new.open(&jar).outcome().unwrap(),
        Outcome::Rejected,
        "not cycled yet"
    );
    both.visit(&mut jar, |session| session.cycle_key().unwrap());
    assert_eq!(shown(&new.open(&jar)), "a=1 b=2");
}

#[test]
fn a_token_that_we_never_stored_is_not_adopted() {
    // The cookie of another deployment with the same secret: authentic, but the session is not in
    // this namespace.
    let world = World::new();
    let other = World::seeded(Settings::default(), 43);
    let mut jar = other.visitor();
    let planted = other.session_key(&jar);
    let carried = world.elsewhere().open(&jar);
    assert_eq!(carried.outcome().unwrap(), Outcome::Loaded, "for a while");
    jar.forget(FRESH);
    world.advance(WINDOW);
    world.visit(&mut jar, |session| {
        assert_eq!(session.outcome().unwrap(), Outcome::Gone);
        assert!(session.is_empty().unwrap());
        session.set("b", 2).unwrap();
    });
    let key = world.session_key(&jar);
    assert_ne!(key.lineage, planted.lineage);
    assert_eq!(shown(&world.open(&jar)), "b=2");
}

#[test]
fn a_rejected_request_that_stores_something_gets_a_session_of_its_own() {
    let world = World::new();
    let mut jar = Jar::new();
    jar.put(KEY, "forged");
    world.visit(&mut jar, |session| session.set("a", 1).unwrap());
    assert_eq!(shown(&world.open(&jar)), "a=1");
}

#[test]
fn companions_that_were_changed_are_ignored() {
    let world = World::new();
    let mut jar = world.visitor();
    world.advance(2 * HOUR);
    world.visit(&mut jar, |_| ());
    world.visit(&mut jar, |session| session.set("b", 2).unwrap());
    for name in [SEEN, FRESH] {
        let text = jar.value(name).unwrap().to_owned();
        for place in [0, 3, 20, text.len() / 2, text.len() - 1] {
            let mut bytes = text.clone().into_bytes();
            bytes[place] = if bytes[place] == b'Q' { b'g' } else { b'Q' };
            let mut changed = jar.clone();
            changed.put(name, &String::from_utf8(bytes).unwrap());
            let mut session = world.elsewhere().open(&changed);
            assert_eq!(
                session.outcome().unwrap(),
                Outcome::Loaded,
                "{name} at {place}"
            );
            assert_eq!(shown(&session), "a=1 b=2");
            assert!(world.commit(&mut session).set_cookie().is_empty());
        }
    }
}

#[test]
fn a_record_moved_to_another_key_does_not_open() {
    let world = World::new();
    let (one, two) = (world.visitor(), world.visitor());
    let (from, to) = (world.session_key(&one), world.session_key(&two));
    world
        .store
        .set(&to.record(), &world.store.get(&from.record()).unwrap());
    let mut two = two;
    two.forget(FRESH);
    let world = world.elsewhere();
    let mut session = world.open(&two);
    assert_eq!(session.outcome().unwrap(), Outcome::Corrupt);
    assert!(session.is_empty().unwrap());
    // The record is not overwritten under the same key.
    session.set("b", 2).unwrap();
    let _ = world.commit(&mut session);
    assert_ne!(KeyParts::of(&session), to);
}

#[test]
fn a_damaged_record_is_corrupt_never_a_panic() {
    let world = World::new();
    let mut jar = world.visitor();
    let key = world.session_key(&jar);
    let text = world.store.get(&key.record()).unwrap();
    jar.forget(FRESH);
    for end in 0..text.len() {
        world.store.set(&key.record(), &text[..end]);
        assert_eq!(
            world.elsewhere().open(&jar).outcome().unwrap(),
            Outcome::Corrupt,
            "{end}"
        );
    }
    for place in 1..text.len() {
        let mut bytes = text.clone().into_bytes();
        bytes[place] = if bytes[place] == b'B' { b'C' } else { b'B' };
        world
            .store
            .set(&key.record(), &String::from_utf8(bytes).unwrap());
        let outcome = world.elsewhere().open(&jar).outcome().unwrap();
        assert!(
            matches!(outcome, Outcome::Corrupt | Outcome::Unavailable),
            "{place}: {outcome:?}"
        );
    }
}

#[test]
fn a_plain_record_with_an_instant_that_no_record_can_have_is_corrupt() {
    const LAST: i64 = (1 << 48) - 1;
    let world = World::with(Settings::default().with_seal(false));
    let mut jar = world.visitor();
    world.visit(&mut jar, |session| {
        session.set_expiry(60).unwrap();
        session.bind("ada").unwrap();
    });
    world.visit(&mut jar, |session| {
        session.remove("a").unwrap();
    });
    jar.forget(FRESH);
    let record = world.session_key(&jar).record();
    let text = world.store.get(&record).unwrap();
    let outcome = |at: usize, old: &str, new: i64| {
        let changed = format!("{}{new}{}", &text[..at], &text[at + old.len()..]);
        world.store.set(&record, &changed);
        world.elsewhere().open(&jar).outcome().unwrap()
    };
    // Each of them is an instant of today.
    let instants: Vec<(usize, &str)> = text.match_indices("1800").collect();
    let instants = instants.into_iter().map(|(at, _)| {
        let end = text[at..].find(|c: char| !c.is_ascii_digit()).unwrap();
        (at, &text[at..at + end])
    });
    let mut count = 0;
    for (at, old) in instants {
        for odd in [-1, LAST + 1, i64::MAX, i64::MIN] {
            assert_eq!(
                outcome(at, old, odd),
                Outcome::Corrupt,
                "{odd} at {}",
                &text[at - 12..at]
            );
        }
        assert_ne!(
            outcome(at, old, LAST),
            Outcome::Corrupt,
            "{}",
            &text[at - 12..at]
        );
        count += 1;
    }
    assert_eq!(count, 7, "{text}");
}

#[test]
fn a_plain_record_with_an_end_that_no_record_can_have_is_written_with_the_last_one() {
    let world = World::with(Settings::default().with_seal(false));
    let mut jar = world.visitor();
    world.visit(&mut jar, |session| {
        let late = instant(i64::MAX / 2_000);
        session.set_expiry(Expiry::until(late)).unwrap();
    });
    let session = world.elsewhere().open(&jar);
    assert_eq!(session.outcome().unwrap(), Outcome::Loaded);
}

#[test]
fn a_record_of_a_later_release_is_unavailable_and_bind_leaves_it_alone() {
    let world = World::new();
    let mut jar = world.visitor();
    let key = world.session_key(&jar);
    world
        .store
        .set(&key.record(), "_wAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
    jar.forget(FRESH);
    let world = world.elsewhere();
    world.visit(&mut jar, |session| {
        assert_eq!(session.outcome().unwrap(), Outcome::Unavailable);
        assert_eq!(code(session.len()), Some(ErrorCode::Unavailable));
        assert_eq!(code(session.create()), Some(ErrorCode::Unavailable));
    });
    assert_eq!(jar.names(), [KEY]);
    world.visit(&mut jar, |session| session.bind("ada").unwrap());
    assert_eq!(world.open(&jar).owner().unwrap(), Some("ada"));
    assert!(world.store.get(&key.record()).unwrap().starts_with("_w"));
    assert_eq!(world.store.get(&key.dead_key()), None);
}

// --- a new key -----------------------------------------------------------------------------------

#[test]
fn cycle_key_puts_the_record_then_the_marker_then_sets_the_cookie() {
    let world = World::new();
    let mut jar = world.visitor();
    let before = world.session_key(&jar);
    world.store.take_log();
    let mut session = world.open(&jar);
    session.cycle_key().unwrap();
    session.cycle_key().unwrap();
    assert!(session.needs_update());
    assert_eq!(world.store.count(Kind::Put), 0);
    let headers = world.commit(&mut session);
    let after = KeyParts::of(&session);
    assert_eq!(
        world.store.keys_of(Kind::Put),
        [after.record(), before.dead_key()]
    );
    assert_eq!(after.lineage, before.lineage);
    assert_ne!(after.derived, before.derived);
    assert_eq!(cookie_names(&headers), [KEY, FRESH]);
    jar.receive(world.now(), headers.set_cookie());
    assert_eq!(shown(&world.open(&jar)), "a=1");
    assert_eq!(world.open(&jar).version().unwrap(), 2);
}

#[test]
fn the_old_key_reads_for_a_while_cannot_save_and_then_counts_as_none() {
    let world = World::new();
    let mut jar = world.visitor();
    let old = jar.clone();
    world.visit(&mut jar, |session| {
        session.cycle_key().unwrap();
        session.set("a", 2).unwrap();
    });
    for world in [&world, &world.elsewhere()] {
        for wait in [0, WINDOW - 1] {
            world.clock.set(START + wait);
            let mut session = world.open(&old);
            assert_eq!(session.outcome().unwrap(), Outcome::Rotated);
            assert_eq!(session.get("a").unwrap(), Some(1));
            session.set("b", 2).unwrap();
            assert_eq!(code(session.cycle_key()), Some(ErrorCode::Rotated));
            assert_eq!(code(session.create()), Some(ErrorCode::Rotated));
            assert_eq!(code(save(&mut session)), Some(ErrorCode::Rotated));
            world.store.take_log();
            assert_eq!(
                code(world.try_commit(&mut session, 200)),
                Some(ErrorCode::Rotated)
            );
            assert!(session.done_headers().set_cookie().is_empty());
            assert_eq!(world.store.count(Kind::Put), 0);
        }
    }
    world.clock.set(START + WINDOW);
    let mut late = old.clone();
    world.visit(&mut late, |session| {
        assert_eq!(session.outcome().unwrap(), Outcome::Rotated);
        assert!(session.is_empty().unwrap());
        session.set("b", 2).unwrap();
    });
    assert_eq!(shown(&world.open(&late)), "b=2");
    assert_eq!(shown(&world.open(&jar)), "a=2");
}

#[test]
fn a_rotation_cut_off_after_any_step_leaves_one_of_both_keys_valid() {
    for well in 0..=2 {
        for applied in [false, true] {
            let world = World::new();
            let jar = world.visitor();
            let mut session = world.open(&jar);
            session.cycle_key().unwrap();
            if applied && well == 0 {
                world.store.fail_though_applied(Kind::Put, 3);
            } else {
                world
                    .store
                    .fail_after(well, Kind::Put, 9, ConnectorErrorKind::Unavailable);
            }
            let result = world.try_commit(&mut session, 200);
            world.store.mend();
            let mut after = jar.clone();
            match result {
                Ok(headers) => {
                    assert_eq!(well, 2);
                    after.receive(world.now(), headers.set_cookie());
                }
                Err(error) => {
                    assert_eq!(error.code(), ErrorCode::Unavailable);
                    assert!(session.done_headers().set_cookie().is_empty());
                }
            }
            for world in [&world, &world.elsewhere()] {
                let session = world.open(&after);
                assert_eq!(
                    session.outcome().unwrap(),
                    Outcome::Loaded,
                    "after {well} puts"
                );
                assert_eq!(shown(&session), "a=1");
            }
        }
    }
}

#[test]
fn the_grace_of_a_rotation_begins_with_its_save() {
    let world = World::new();
    let jar = world.visitor();
    let mut session = world.open(&jar);
    session.cycle_key().unwrap();
    world.advance(2 * WINDOW);
    save(&mut session).unwrap();
    for world in [&world, &world.elsewhere()] {
        let old = world.open(&jar);
        assert_eq!(old.outcome().unwrap(), Outcome::Rotated);
        assert_eq!(shown(&old), "a=1");
    }
}

#[test]
fn cycle_key_of_a_new_session_makes_one() {
    let world = World::new();
    let mut jar = Jar::new();
    world.visit(&mut jar, |session| session.cycle_key().unwrap());
    assert_eq!(world.open(&jar).outcome().unwrap(), Outcome::Loaded);
}

#[test]
fn a_cycle_keeps_owner_login_time_and_expiry() {
    let world = World::new();
    let mut jar = world.member("ada");
    world.visit(&mut jar, |session| session.set_expiry(5_000).unwrap());
    world.advance(HOUR);
    world.visit(&mut jar, |session| session.cycle_key().unwrap());
    let session = world.open(&jar);
    assert_eq!(session.owner().unwrap(), Some("ada"));
    assert_eq!(session.auth_time().unwrap(), Some(instant(START)));
    assert_eq!(
        session.get_expiry_date().unwrap(),
        instant(START + 5_000 * SECOND)
    );
}

#[test]
fn reauthenticate_renews_key_and_login_time_and_keeps_the_rest() {
    let world = World::new();
    let mut jar = world.member("ada");
    world.visit(&mut jar, |session| session.set_expiry(5_000).unwrap());
    let (old, before) = (jar.clone(), world.session_key(&jar));
    world.advance(HOUR);
    world.store.take_log();
    world.visit(&mut jar, |session| {
        assert_eq!(
            code(session.require_recent_auth(seconds(300))),
            Some(ErrorCode::ReauthRequired)
        );
        session.reauthenticate().unwrap();
        assert_eq!(session.auth_time().unwrap(), Some(instant(START + HOUR)));
        session.require_recent_auth(seconds(0)).unwrap();
    });
    assert_eq!(world.store.count(Kind::Put), 2, "the record and the marker");
    let after = world.session_key(&jar);
    assert_eq!(after.lineage, before.lineage);
    assert_ne!(after.derived, before.derived);

    for world in [world.clone(), world.elsewhere()] {
        let session = world.open(&jar);
        assert_eq!(session.auth_time().unwrap(), Some(instant(START + HOUR)));
        assert_eq!(session.owner().unwrap(), Some("ada"));
        assert_eq!(session.created_at().unwrap(), Some(instant(START)));
        assert_eq!(
            session.get_expiry_date().unwrap(),
            instant(START + 5_000 * SECOND)
        );
        assert_eq!(shown(&session), "a=1");
    }
    // The login time of the old key stays the same.
    let session = world.open(&old);
    assert_eq!(session.outcome().unwrap(), Outcome::Rotated);
    assert_eq!(session.auth_time().unwrap(), Some(instant(START)));
}

#[test]
fn reauthenticate_in_a_request_that_does_more() {
    let world = World::new();
    let page = |jar: &mut Jar, page: &dyn Fn(&mut SessionStore)| {
        world.advance(60 * SECOND);
        let now = world.now();
        world.visit(jar, |session| {
            page(session);
            assert_eq!(session.auth_time().unwrap(), Some(instant(now)));
        });
        assert_eq!(world.open(jar).auth_time().unwrap(), Some(instant(now)));
        assert_eq!(world.open(jar).owner().unwrap(), Some("ada"));
    };
    let mut jar = world.member("ada");
    let lineage = world.session_key(&jar).lineage;
    page(&mut jar, &|it| {
        it.cycle_key().unwrap();
        it.reauthenticate().unwrap();
    });
    page(&mut jar, &|it| {
        it.reauthenticate().unwrap();
        it.set_expiry(0).unwrap();
        it.cycle_key().unwrap();
    });
    page(&mut jar, &|it| {
        it.reauthenticate().unwrap();
        save(it).unwrap();
        it.set("b", 2).unwrap();
    });
    assert_eq!(world.session_key(&jar).lineage, lineage);
    assert_eq!(shown(&world.open(&jar)), "a=1 b=2");
    // After a login in the same request there is nothing to renew.
    page(&mut jar, &|it| {
        it.bind("ada").unwrap();
        it.reauthenticate().unwrap();
    });
    assert_ne!(world.session_key(&jar).lineage, lineage);
}

#[test]
fn reauthenticate_is_for_whoever_is_logged_in() {
    let world = World::new();
    for jar in [Jar::new(), world.visitor()] {
        let mut session = world.open(&jar);
        let refused = session.reauthenticate().unwrap_err();
        assert_eq!(refused.code(), ErrorCode::ReauthRequired);
        assert!(!session.modified(), "nothing was decided");
    }
    let jar = world.member("ada");
    let mut session = world.open(&jar);
    session.create().unwrap();
    assert_eq!(
        code(session.reauthenticate()),
        Some(ErrorCode::ReauthRequired)
    );
    // It does not revive a session that was ended elsewhere.
    let mut session = world.open(&jar);
    run(world.sessions.revoke_all("ada")).unwrap();
    session.reauthenticate().unwrap();
    assert_eq!(code(save(&mut session)), Some(ErrorCode::Revoked));
}

// --- logging in ----------------------------------------------------------------------------------

#[test]
fn a_login_begins_a_new_lineage_and_marks_the_old_key() {
    let world = World::new();
    let mut jar = world.visitor();
    let (old, before) = (jar.clone(), world.session_key(&jar));
    world.store.take_log();
    world.advance(HOUR);
    world.visit(&mut jar, |session| {
        session.bind("ada").unwrap();
        assert_eq!(session.owner().unwrap(), Some("ada"));
        assert_eq!(session.auth_time().unwrap(), Some(instant(START + HOUR)));
        session.require_recent_auth(seconds(0)).unwrap();
        assert_eq!(world.store.count(Kind::Put), 0);
    });
    let after = world.session_key(&jar);
    assert_eq!(
        world.store.keys_of(Kind::Put),
        [after.record(), before.dead_key()]
    );
    assert_ne!(after.lineage, before.lineage);
    assert_eq!(after.lineage, after.derived);
    assert_ne!(after.owner, "-");

    let session = world.open(&jar);
    assert_eq!(shown(&session), "a=1");
    assert_eq!(
        session.get_expiry_date().unwrap(),
        instant(START + HOUR + DAY)
    );
    assert_eq!(session.created_at().unwrap(), Some(instant(START + HOUR)));
    // The token from before the login cannot read later data.
    world.visit(&mut jar, |session| session.set("secret", 1).unwrap());
    let session = world.open(&old);
    assert_eq!(session.outcome().unwrap(), Outcome::Rotated);
    assert_eq!(session.owner().unwrap(), None);
    assert_eq!(shown(&session), "a=1");
}

#[test]
fn a_login_without_a_session_is_one_put_and_one_read_of_the_owner() {
    let world = World::new();
    let mut jar = Jar::new();
    world.visit(&mut jar, |session| session.bind("ada").unwrap());
    let log = world.store.take_log();
    let key = world.session_key(&jar);
    assert_eq!(
        log,
        [(Kind::Read, key.owner_marker()), (Kind::Put, key.record())]
    );
}

#[test]
fn an_owners_tag_is_stable_keyed_and_tells_no_name() {
    let world = World::new();
    let tag = |world: &World, owner: &str| world.session_key(&world.member(owner)).owner;
    assert_eq!(tag(&world, "ada"), tag(&world, "ada"));
    assert_ne!(tag(&world, "ada"), tag(&world, "bob"));
    let other = world.reconfigured(OTHER_SECRET, Settings::default());
    assert_ne!(tag(&world, "ada"), tag(&other, "ada"));
    assert!(!world.store.all().is_empty());
    assert!(
        world
            .store
            .all()
            .iter()
            .all(|(k, v)| !k.contains("ada") && !v.contains("ada"))
    );
}

type Prepare = fn(&World) -> (World, Jar);

#[test]
fn what_a_login_keeps() {
    let no_overlay = || World::with(Settings::default().with_overlay(false));
    let cases: Vec<(&str, Prepare, Result<&str, ErrorCode>, &str)> = vec![
        ("nobody", |w| (w.clone(), Jar::new()), Ok(""), ""),
        (
            "live, anonymous",
            |w| (w.clone(), w.visitor()),
            Ok("a=1"),
            "",
        ),
        (
            "live, the same owner",
            |w| (w.clone(), w.member("ada")),
            Ok("a=1"),
            "",
        ),
        (
            "live, another owner",
            |w| (w.clone(), w.member("bob")),
            Ok(""),
            "",
        ),
        (
            "rotated",
            |w| {
                let mut jar = w.visitor();
                let old = jar.clone();
                w.visit(&mut jar, |s| s.cycle_key().unwrap());
                (w.clone(), old)
            },
            Ok("a=1"),
            "",
        ),
        (
            "rotated, another owner",
            |w| {
                let mut jar = w.member("bob");
                let old = jar.clone();
                w.visit(&mut jar, |s| s.cycle_key().unwrap());
                (w.clone(), old)
            },
            Ok(""),
            "",
        ),
        (
            "rotated, and the old record cannot be seen",
            |w| {
                let mut jar = w.visitor();
                let old = jar.clone();
                w.visit(&mut jar, |s| s.cycle_key().unwrap());
                w.store.remove(&w.session_key(&old).record());
                (w.elsewhere(), old)
            },
            Ok(""),
            "",
        ),
        (
            "rotated long ago",
            |w| {
                let mut jar = w.visitor();
                let old = jar.clone();
                w.visit(&mut jar, |s| s.cycle_key().unwrap());
                w.advance(WINDOW);
                (w.clone(), old)
            },
            Ok(""),
            "",
        ),
        (
            "revoked",
            |w| {
                let mut jar = w.visitor();
                let old = jar.clone();
                w.visit(&mut jar, |s| destroy(s).unwrap());
                (w.clone(), old)
            },
            Ok(""),
            "",
        ),
        (
            "expired",
            |w| {
                let jar = w.visitor();
                w.advance(DAY);
                (w.clone(), jar)
            },
            Ok(""),
            "",
        ),
        (
            "gone",
            |w| {
                let jar = w.visitor();
                w.store.remove(&w.session_key(&jar).record());
                w.advance(WINDOW);
                (w.elsewhere(), jar)
            },
            Ok(""),
            "",
        ),
        (
            "pending",
            |w| {
                let jar = w.visitor();
                w.store.remove(&w.session_key(&jar).record());
                (w.elsewhere(), jar)
            },
            Ok(""),
            "",
        ),
        (
            "stale",
            |w| {
                let mut jar = w.visitor();
                w.store.lag();
                w.visit(&mut jar, |s| s.set("b", 2).unwrap());
                (w.elsewhere(), jar)
            },
            Ok("a=1"),
            "",
        ),
        (
            "stale, another owner",
            |w| {
                let mut jar = w.member("bob");
                w.store.lag();
                w.visit(&mut jar, |s| s.set("b", 2).unwrap());
                (w.elsewhere(), jar)
            },
            Ok(""),
            "",
        ),
        (
            "the owner's marker cannot be read",
            |w| {
                let jar = w.member("bob");
                let name = w.session_key(&jar).owner_marker();
                w.store.set(&name, "9 from a later release");
                (w.elsewhere(), jar)
            },
            Ok(""),
            "",
        ),
        (
            "unavailable",
            |w| {
                let jar = w.visitor();
                w.store.outage();
                (w.elsewhere(), jar)
            },
            Err(ErrorCode::Unavailable),
            "fails without keeping too",
        ),
        (
            "rejected",
            |w| {
                let mut jar = Jar::new();
                jar.put(KEY, "forged");
                (w.clone(), jar)
            },
            Ok(""),
            "",
        ),
        (
            "ambiguous",
            |w| {
                let (one, two) = (w.visitor(), w.visitor());
                let mut jar = one.clone();
                jar.put("other", &format!("x; {KEY}={}", two.value(KEY).unwrap()));
                (w.clone(), jar)
            },
            Ok(""),
            "",
        ),
    ];
    for (name, prepare, kept, note) in cases {
        for keep in [true, false] {
            let (world, mut jar) = prepare(&no_overlay());
            let mut session = world.open(&jar);
            let bound = session.bind_with("ada", common::keep(keep));
            let refused = match kept {
                Err(code) if keep || !note.is_empty() => Some(code),
                _ => None,
            };
            assert_eq!(code(bound), refused, "{name}, {keep}");
            if refused.is_some() {
                continue;
            }
            let expected = if keep { kept.unwrap_or_default() } else { "" };
            assert_eq!(shown(&session), expected, "{name}, {keep}");
            let headers = world.commit(&mut session);
            jar.receive(world.now(), headers.set_cookie());
            world.store.catch_up();
            jar.forget("other");
            let session = world.elsewhere().open(&jar);
            assert_eq!(
                session.outcome().unwrap(),
                Outcome::Loaded,
                "{name}, {keep}"
            );
            assert_eq!(session.owner().unwrap(), Some("ada"));
            assert_eq!(shown(&session), expected, "{name}, {keep}");
        }
    }
}

/// What happens to the session in another isolate during its login.
type Meanwhile = fn(&World, &mut Jar);

#[test]
fn a_login_keeps_what_it_holds_whatever_became_of_the_session_meanwhile() {
    let cases: [(&str, Meanwhile); 7] = [
        ("a second click on \"log in\"", |w, jar| {
            w.visit(jar, |s| s.bind("ada").unwrap());
        }),
        ("rotated", |w, jar| {
            w.visit(jar, |s| s.cycle_key().unwrap());
        }),
        ("logged out", |w, jar| {
            w.visit(jar, |s| destroy(s).unwrap());
        }),
        ("given an end that passes", |w, jar| {
            w.visit(jar, |s| s.set_expiry(1).unwrap());
            w.advance(SECOND);
        }),
        ("gone", |w, jar| {
            w.store.remove(&w.session_key(jar).record());
        }),
        ("damaged", |w, jar| {
            w.store.set(&w.session_key(jar).record(), "AQ");
        }),
        ("of a later release", |w, jar| {
            let name = w.session_key(jar).record();
            w.store.set(&name, "_wAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
        }),
    ];
    for (name, meanwhile) in cases {
        let world = World::with(Settings::default().with_overlay(false));
        let mut jar = world.visitor();
        let key = world.session_key(&jar);
        let mut session = world.open(&jar);
        session.bind("ada").unwrap();
        session.set("b", 2).unwrap();
        world.advance(2 * SECOND);
        meanwhile(&world.elsewhere(), &mut jar.clone());
        let marker = world.store.get(&key.dead_key());
        let headers = world.commit(&mut session);
        jar.receive(world.now(), headers.set_cookie());
        let kind = |marker: Option<String>| Some(marker?.split(' ').nth(1)?.to_owned());
        if marker.is_some() {
            let after = world.store.get(&key.dead_key());
            assert_eq!(kind(after), kind(marker), "{name}: replaced");
        }
        let session = world.elsewhere().open(&jar);
        assert_eq!(session.outcome().unwrap(), Outcome::Loaded, "{name}");
        assert_eq!(session.owner().unwrap(), Some("ada"), "{name}");
        assert_eq!(shown(&session), "a=1 b=2", "{name}");
    }
}

#[test]
fn a_login_stores_the_logout_that_its_isolate_knows_of_and_the_store_does_not() {
    let world = World::new();
    let mut jar = world.visitor();
    let old = jar.clone();
    let mut login = world.open(&jar);
    login.bind("ada").unwrap();
    // Another tab logs out, and the store does not accept it.
    let mut logout = world.open(&jar);
    world.store.outage();
    assert!(destroy(&mut logout).is_err());
    world.store.mend();
    jar.receive(world.now(), world.commit(&mut login).set_cookie());
    assert_eq!(world.elsewhere().open(&jar).owner().unwrap(), Some("ada"));
    world.advance(WINDOW);
    assert_eq!(
        world.elsewhere().open(&old).outcome().unwrap(),
        Outcome::Revoked
    );
}

#[test]
fn only_a_store_that_does_not_answer_fails_a_login() {
    let world = World::new();
    let jar = world.visitor();
    let mut session = world.open(&jar);
    session.bind("ada").unwrap();
    world.advance(2 * SECOND);
    world.store.outage();
    let refused = world.try_commit(&mut session, 200);
    assert_eq!(code(refused), Some(ErrorCode::Unavailable));
    assert!(session.done_headers().set_cookie().is_empty());
}

#[test]
fn a_login_revokes_the_lineage_of_an_owned_session() {
    for owner in ["ada", "bob"] {
        let world = World::new();
        let mut jar = world.member("ada");
        world.visit(&mut jar, |session| session.cycle_key().unwrap());
        let (old, before) = (jar.clone(), world.session_key(&jar));
        world.store.take_log();
        world.visit(&mut jar, |session| session.bind(owner).unwrap());
        let after = world.session_key(&jar);
        let puts = world.store.keys_of(Kind::Put);
        let markers = [
            before.dead_key(),
            before.dead_first_key(),
            before.dead_lineage(),
        ];
        assert_eq!(puts[0], after.record());
        assert_eq!(puts[1..], markers);
        assert_eq!(
            world.elsewhere().open(&old).outcome().unwrap(),
            Outcome::Revoked
        );
    }
}

#[test]
fn a_login_over_a_dead_session_leaves_it_as_dead() {
    let world = World::new();
    let mut jar = world.visitor();
    let mut old = jar.clone();
    let key = world.session_key(&jar);
    world.visit(&mut jar, |session| destroy(session).unwrap());
    let marker = world.store.get(&key.dead_key());
    world.visit(&mut old, |session| session.bind("ada").unwrap());
    assert_eq!(
        world.store.get(&key.dead_key()),
        marker,
        "not marked as rotated"
    );
}

#[test]
fn the_last_of_two_logins_in_one_request_counts() {
    let world = World::new();
    let mut jar = world.member("ada");
    let old = jar.clone();
    world.visit(&mut jar, |session| {
        session.bind("bob").unwrap();
        session.set("of", "bob").unwrap();
        session.bind("eve").unwrap();
        assert!(session.is_empty().unwrap(), "nothing of bob's is eve's");
    });
    let mut other = Jar::new();
    world.visit(&mut other, |session| {
        session.bind("bob").unwrap();
        session.set("of", "bob").unwrap();
        session.bind("eve").unwrap();
        assert!(session.is_empty().unwrap(), "where nobody came before");
    });
    let session = world.open(&jar);
    assert_eq!(session.owner().unwrap(), Some("eve"));
    assert!(session.is_empty().unwrap());
    assert_eq!(
        world.elsewhere().open(&old).outcome().unwrap(),
        Outcome::Revoked
    );
}

#[test]
fn a_login_after_the_owners_sessions_were_ended_is_later_than_that() {
    let world = World::new();
    let mut jar = world.member("ada");
    let old = jar.clone();
    let key = world.session_key(&jar);
    // The same marker from a server whose clock is two seconds ahead.
    let moment = world.now() + 2 * SECOND;
    world
        .store
        .set(&key.owner_marker(), &format!("2 o {moment}"));
    let world = world.elsewhere();
    assert_eq!(world.open(&old).outcome().unwrap(), Outcome::Revoked);
    world.visit(&mut jar, |session| session.bind("ada").unwrap());
    for wait in [0, 2 * SECOND, WINDOW + 3 * SECOND] {
        world.clock.set(START + wait);
        let session = world.elsewhere().open(&jar);
        assert_eq!(session.outcome().unwrap(), Outcome::Loaded, "after {wait}");
        assert_eq!(session.auth_time().unwrap(), Some(instant(START)));
    }
    world.visit(&mut jar, |session| session.cycle_key().unwrap());
    assert_eq!(
        world.elsewhere().open(&jar).outcome().unwrap(),
        Outcome::Loaded
    );
    assert_eq!(
        world.elsewhere().open(&old).outcome().unwrap(),
        Outcome::Revoked
    );
}

#[test]
fn a_login_after_revoke_all_in_one_request_stays() {
    for wait in [0, 2 * SECOND] {
        let world = World::new();
        let mut jar = world.member("ada");
        let old = jar.clone();
        world.visit(&mut jar, |session| {
            run(world.sessions.revoke_all("ada")).unwrap();
            world.clock.advance(wait);
            session.bind("ada").unwrap();
            session.set("b", 2).unwrap();
        });
        let session = world.elsewhere().open(&jar);
        assert_eq!(session.outcome().unwrap(), Outcome::Loaded);
        assert_eq!(session.get::<u32>("b").unwrap(), Some(2));
        assert_eq!(
            world.elsewhere().open(&old).outcome().unwrap(),
            Outcome::Revoked
        );
    }
}

#[test]
fn an_owner_marker_that_cannot_be_read_is_no_answer() {
    let world = World::new();
    let jar = world.member("ada");
    let key = world.session_key(&jar);
    world
        .store
        .set(&key.owner_marker(), "9 from a later release");
    assert_eq!(
        world.elsewhere().open(&jar).outcome().unwrap(),
        Outcome::Unavailable
    );
}

#[test]
fn an_owner_has_a_name_of_some_length() {
    let world = World::new();
    let mut session = world.load(Head::default());
    let invalid = Some(ErrorCode::InvalidValue);
    assert_eq!(code(session.bind("")), invalid);
    assert_eq!(code(session.bind(&"x".repeat(1_025))), invalid);
    session.bind(&"x".repeat(1_024)).unwrap();
    let _ = world.commit(&mut session);
}

#[test]
fn recent_auth() {
    let world = World::new();
    let jar = world.member("ada");
    world.advance(60 * SECOND);
    let session = world.open(&jar);
    session.require_recent_auth(seconds(60)).unwrap();
    let refused = session.require_recent_auth(seconds(59)).unwrap_err();
    assert_eq!(
        (refused.code(), refused.code().status()),
        (ErrorCode::ReauthRequired, 401)
    );
    let anonymous = world.load(Head::default());
    assert_eq!(
        code(anonymous.require_recent_auth(seconds(99))),
        Some(ErrorCode::ReauthRequired)
    );
}

#[test]
fn a_login_in_which_the_put_fails_sets_no_cookie_and_ends_nothing() {
    let world = World::new();
    let jar = world.member("ada");
    let mut session = world.open(&jar);
    session.bind_with("bob", Keep::Nothing).unwrap();
    world
        .store
        .fail(Kind::Put, 99, ConnectorErrorKind::Unavailable);
    assert_eq!(
        code(world.try_commit(&mut session, 200)),
        Some(ErrorCode::Unavailable)
    );
    assert!(session.done_headers().set_cookie().is_empty());
    world.store.mend();
    assert_eq!(world.elsewhere().open(&jar).owner().unwrap(), Some("ada"));
}

// --- two key cookies -----------------------------------------------------------------------------

fn two(world: &World) -> (Jar, Jar, Head) {
    let (one, two) = (world.visitor(), world.visitor());
    let both = format!(
        "{KEY}={}; {KEY}={}",
        one.value(KEY).unwrap(),
        two.value(KEY).unwrap()
    );
    world.store.take_log();
    (one, two, Head::cookie(both))
}

#[test]
fn two_authentic_cookies_are_ambiguous_and_nothing_is_made() {
    let world = World::new();
    let (one, two, both) = two(&world);
    let mut session = world.load(both);
    assert_eq!(session.outcome().unwrap(), Outcome::Ambiguous);
    assert!(session.is_empty().unwrap());
    assert_eq!(session.session_key().unwrap(), None);
    session.set("b", 2).unwrap();
    session.create().unwrap();
    session.cycle_key().unwrap();
    save(&mut session).unwrap();
    assert!(!session.needs_update());
    assert_eq!(shown(&session), "b=2", "for this answer");
    assert!(world.commit(&mut session).set_cookie().is_empty());
    assert_eq!(world.store.operations(), 1, "one read of both");
    assert_eq!(shown(&world.open(&one)), "a=1");
    assert_eq!(shown(&world.open(&two)), "a=1");
}

#[test]
fn destroy_ends_each_of_two() {
    let world = World::new();
    let (one, two, both) = two(&world);
    let mut session = world.load(both);
    destroy(&mut session).unwrap();
    assert_eq!(world.store.count(Kind::Put), 4);
    // With and without `Partitioned`.
    assert_eq!(
        cookie_names(&world.commit(&mut session)),
        [KEY, FRESH, KEY, FRESH]
    );
    for jar in [one, two] {
        assert_eq!(
            world.elsewhere().open(&jar).outcome().unwrap(),
            Outcome::Revoked
        );
    }
}

#[test]
fn the_same_cookie_twice_is_one_session_and_a_forged_one_beside_it_is_none() {
    let world = World::new();
    let jar = world.visitor();
    let own = jar.value(KEY).unwrap();
    for header in [
        format!("{KEY}={own}; {KEY}={own}"),
        format!("{KEY}=forged; {KEY}={own}"),
        format!("{KEY}={own}; {KEY}=forged"),
        format!("x=y; {KEY}={own}; z"),
    ] {
        assert_eq!(
            world.load(Head::cookie(&header)).outcome().unwrap(),
            Outcome::Loaded,
            "{header}"
        );
    }
}

#[test]
fn of_several_seen_and_fresh_cookies_the_highest_counts() {
    let world = World::with(Settings::default().with_overlay(false));
    let mut jar = world.visitor();
    let first = jar.value(FRESH).unwrap().to_owned();
    world.store.lag();
    world.visit(&mut jar, |session| session.set("b", 2).unwrap());
    let second = jar.value(FRESH).unwrap().to_owned();
    for (one, other) in [(&first, &second), (&second, &first)] {
        let key = jar.value(KEY).unwrap();
        let head = Head::cookie(format!("{KEY}={key}; {FRESH}={one}; {FRESH}={other}"));
        assert_eq!(
            world.elsewhere().load(head).outcome().unwrap(),
            Outcome::Stale
        );
    }
}

// --- requests that another site causes -----------------------------------------------------------

#[test]
fn where_the_browser_may_withhold_the_cookie_only_a_login_makes_one() {
    for (same_site, method, site, withheld) in [
        (SameSite::Lax, "POST", "cross-site", true),
        (SameSite::Lax, "PUT", "cross-site", true),
        (SameSite::Lax, "GET", "cross-site", false),
        (SameSite::Lax, "HEAD", "cross-site", false),
        (SameSite::Lax, "POST", "same-site", false),
        (SameSite::Lax, "POST", "same-origin", false),
        (SameSite::Lax, "POST", "none", false),
        (SameSite::Strict, "GET", "cross-site", true),
        (SameSite::Strict, "POST", "cross-site", true),
        (SameSite::Strict, "GET", "same-site", false),
        (SameSite::None, "POST", "cross-site", false),
    ] {
        let settings = Settings::default().with_cookie_same_site(same_site);
        let world = World::with(settings);
        let head = Head {
            method: Some(method),
            fetch_site: Some(site),
            ..Head::default()
        };
        let case = format!("{same_site} {method} {site}");

        type Act = fn(&mut SessionStore);
        let acts: [Act; 5] = [
            |s| s.set("a", 1).unwrap(),
            |s| s.create().unwrap(),
            |s| s.cycle_key().unwrap(),
            |s| s.set_modified(true).unwrap(),
            |s| {
                s.set("a", 1).unwrap();
                save(s).unwrap();
            },
        ];
        for act in acts {
            let mut session = world.load(head.clone());
            act(&mut session);
            assert_eq!(session.needs_update(), !withheld, "{case}");
            let headers = world.commit(&mut session);
            assert_eq!(headers.set_cookie().is_empty(), withheld, "{case}");
        }
        assert_eq!(world.store.operations() == 0, withheld, "{case}");

        let mut session = world.load(head.clone());
        session.set("a", 1).unwrap();
        assert_eq!(session.get("a").unwrap(), Some(1), "for this answer");
        session.bind("ada").unwrap();
        // The form cookie may have been withheld too. The login invalidates it.
        let set: &[&str] = if withheld {
            &[KEY, FRESH, "__Host-session-form"]
        } else {
            &[KEY, FRESH]
        };
        assert_eq!(cookie_names(&world.commit(&mut session)), set, "{case}");
        // If the request has the cookie, nothing was withheld.
        let jar = world.visitor();
        let mut session = world.load(Head {
            cookie: jar.header(world.now()),
            ..head
        });
        session.set("b", 1).unwrap();
        assert_eq!(cookie_names(&world.commit(&mut session)), [FRESH], "{case}");
    }
}

// --- where a session was written from ------------------------------------------------------------

#[test]
fn odd_heads_do_no_harm() {
    let world = World::new();
    for user_agent in ["", "\u{0}", &"\u{1F600}".repeat(10_000)] {
        let mut session = world.load(Head {
            user_agent: Some(user_agent.to_owned()),
            place: Some(user_agent.to_owned()),
            ..Head::default()
        });
        session.set("a", 1).unwrap();
        let headers = world.commit(&mut session);
        let mut jar = Jar::new();
        jar.receive(world.now(), headers.set_cookie());
        assert_eq!(
            world.elsewhere().open(&jar).outcome().unwrap(),
            Outcome::Loaded
        );
    }
}

// --- randomness that repeats ---------------------------------------------------------------------

#[test]
fn tokens_that_repeat_would_be_seen() {
    // A session is secret only because its token is random: this checks that the tests would notice
    // repeated randomness.
    let world = World::new();
    let keys: std::collections::BTreeSet<String> = (0..100)
        .map(|_| world.session_key(&world.visitor()).text())
        .collect();
    assert_eq!(keys.len(), 100);
    world.runtime.set_randomness(Randomness::Repeating);
    assert_eq!(
        world.session_key(&world.visitor()),
        world.session_key(&world.visitor())
    );
}
