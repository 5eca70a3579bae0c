//! When a session ends: hard end, idle time, its own end, browser close.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::time::{Duration, SystemTime};

use crate::common::*;
use edge_session::{ErrorCode, Expiry, Keep, Outcome, SessionStore, Settings};

/// Settings without an idle time.
fn never_idle() -> Settings {
    Settings::default().with_idle_timeout(seconds(0))
}

// --- the idle time -------------------------------------------------------------------------------

#[test]
fn idle_time_slides_in_a_cookie_without_a_write() {
    let world = World::new();
    let mut jar = world.visitor();
    for hours in 1..=30 {
        world.advance(20 * HOUR / 4);
        let session = world.open(&jar);
        assert_eq!(
            session.outcome().unwrap(),
            Outcome::Loaded,
            "after {hours} quarters"
        );
        world.visit(&mut jar, |session| {
            assert_eq!(session.get("a").unwrap(), Some(1))
        });
    }
    assert_eq!(world.store.count(Kind::Put), 0);
}

#[test]
fn the_seen_cookie_is_written_after_a_twentieth_of_the_idle_time() {
    let world = World::with(Settings::default().with_idle_timeout(seconds(2_000)));
    let mut jar = world.visitor();
    world.advance(100 * SECOND - 1);
    world.visit(&mut jar, |session| assert!(!session.needs_update()));
    assert_eq!(jar.value(SEEN), None);
    world.advance(1);
    let mut session = world.open(&jar);
    assert!(session.needs_update() && !session.modified());
    let headers = world.commit(&mut session);
    let [field] = headers.set_cookie() else {
        panic!("{headers:?}");
    };
    let end = format!("; Max-Age={}{ATTRIBUTES}", 604_800 - 100);
    assert!(field.starts_with(SEEN) && field.ends_with(&end), "{field}");
    assert!(field.len() < SEEN.len() + 1 + 90 + end.len());
    assert!(headers.depends_on_session());
    jar.receive(world.now(), headers.set_cookie());
    world.advance(99 * SECOND);
    world.visit(&mut jar, |session| assert!(!session.needs_update()));
    assert_eq!(world.store.count(Kind::Put), 0);
}

#[test]
fn a_saved_request_writes_no_seen_cookie() {
    let world = World::new();
    let jar = world.visitor();
    world.advance(12 * HOUR);
    let mut session = world.open(&jar);
    session.set("b", 2).unwrap();
    let headers = world.commit(&mut session);
    assert_eq!(cookie_names(&headers), [FRESH]);
    let mut session = world.open(&jar);
    session.cycle_key().unwrap();
    assert_eq!(cookie_names(&world.commit(&mut session)), [KEY, FRESH]);
}

#[test]
fn a_session_lives_to_the_last_millisecond_of_its_idle_time() {
    let world = World::new();
    let jar = world.visitor();
    world.advance(DAY - 1);
    assert_eq!(world.open(&jar).outcome().unwrap(), Outcome::Loaded);
    world.advance(1);
    let session = world.open(&jar);
    assert_eq!(session.outcome().unwrap(), Outcome::Expired);
    assert_eq!(session.len().unwrap(), 0);
    assert_eq!(session.session_key().unwrap(), None);
}

#[test]
fn a_seen_cookie_that_is_stripped_or_replayed_ends_a_session_early_never_late() {
    let world = World::new();
    let mut jar = world.visitor();
    world.advance(20 * HOUR);
    let old = jar.clone();
    world.visit(&mut jar, |_| ());
    let early = jar.clone();
    world.advance(20 * HOUR);
    assert_eq!(world.open(&jar).outcome().unwrap(), Outcome::Loaded);
    assert_eq!(world.open(&old).outcome().unwrap(), Outcome::Expired);
    let mut stripped = jar.clone();
    assert!(stripped.forget(SEEN));
    assert_eq!(world.open(&stripped).outcome().unwrap(), Outcome::Expired);
    world.visit(&mut jar, |_| ());
    world.advance(20 * HOUR);
    assert_eq!(world.open(&early).outcome().unwrap(), Outcome::Expired);
    assert_eq!(world.open(&jar).outcome().unwrap(), Outcome::Loaded);
}

#[test]
fn a_seen_cookie_of_another_session_counts_for_nothing() {
    let world = World::new();
    let mut jar = world.visitor();
    let mut other = world.visitor();
    world.advance(20 * HOUR);
    world.visit(&mut other, |_| ());
    jar.put(SEEN, other.value(SEEN).unwrap());
    world.advance(5 * HOUR);
    assert_eq!(world.open(&jar).outcome().unwrap(), Outcome::Expired);
    assert_eq!(world.open(&other).outcome().unwrap(), Outcome::Loaded);
}

#[test]
fn no_idle_limit_writes_no_seen_cookie() {
    let world = World::with(never_idle());
    let mut jar = world.visitor();
    world.advance(6 * DAY);
    world.visit(&mut jar, |session| {
        assert_eq!(session.idle_expires_at().unwrap(), None);
        assert_eq!(session.get("a").unwrap(), Some(1));
    });
    assert_eq!(jar.value(SEEN), None);
}

// --- the hard end --------------------------------------------------------------------------------

#[test]
fn nothing_outlives_the_hard_end() {
    let world = World::with(never_idle());
    let mut jar = world.visitor();
    let mut kept = jar.clone();
    world.advance(7 * DAY - 1);
    world.visit(&mut jar, |session| {
        assert_eq!(session.get("a").unwrap(), Some(1));
        session.set_expiry(10_000).unwrap();
        assert_eq!(session.get_expiry_date().unwrap(), instant(START + 7 * DAY));
    });
    world.advance(1);
    // The browser drops the cookie itself. Keeping it has no effect.
    assert_eq!(world.open(&jar).outcome().unwrap(), Outcome::New);
    kept.keep_forever(KEY);
    world.store.take_log();
    assert_eq!(world.open(&kept).outcome().unwrap(), Outcome::Expired);
    assert_eq!(world.store.operations(), 0);
}

#[test]
fn a_new_key_does_not_move_the_hard_end() {
    let world = World::with(never_idle());
    let mut jar = world.visitor();
    world.advance(6 * DAY);
    world.visit(&mut jar, |session| session.cycle_key().unwrap());
    let session = world.open(&jar);
    assert_eq!(session.get_expiry_date().unwrap(), instant(START + 7 * DAY));
    assert_eq!(session.created_at().unwrap(), Some(instant(START)));
    world.advance(DAY);
    let mut kept = jar.clone();
    kept.put(KEY, jar.value(KEY).unwrap());
    assert_eq!(world.open(&kept).outcome().unwrap(), Outcome::Expired);
}

/// If a ticket has a hard end far in the future, made with a leaked secret or under another
/// setting, the new secret signs an earlier one.
#[test]
fn a_new_key_brings_the_hard_end_down_to_the_age() {
    const FOREVER: Duration = seconds(34_560_000);
    let old = World::with(never_idle().with_cookie_age(FOREVER));
    let ring = format!("{OTHER_SECRET},{SECRET}");
    let mut jar = old.visitor();
    let mut at_once = old.visitor();
    old.visit(&mut at_once, |session| session.cycle_key().unwrap());
    assert_eq!(
        old.open(&at_once).get_expiry_date().unwrap(),
        instant(START) + FOREVER,
        "it does not move while the age is the same"
    );

    let world = old.reconfigured(&ring, never_idle().with_cookie_age(seconds(3_600)));
    world.visit(&mut jar, |session| session.cycle_key().unwrap());
    let dropped = old.reconfigured(OTHER_SECRET, never_idle().with_cookie_age(FOREVER));
    let session = dropped.open(&jar);
    assert_eq!(session.outcome().unwrap(), Outcome::Loaded);
    assert_eq!(session.get_expiry_date().unwrap(), instant(START + HOUR));
    // The same after further rotations, whatever the age setting is then.
    for _ in 0..5 {
        world.advance(10 * MINUTE);
        for world in [&world, &dropped] {
            world.visit(&mut jar, |session| session.cycle_key().unwrap());
            let end = world.open(&jar).get_expiry_date().unwrap();
            assert_eq!(end, instant(START + HOUR));
        }
    }
    let mut kept = jar.clone();
    kept.put(KEY, jar.value(KEY).unwrap());
    world.advance(10 * MINUTE);
    assert_eq!(dropped.open(&kept).outcome().unwrap(), Outcome::Expired);
}

/// Keys from before a rotation may have a later end than the key that the user logs out with.
#[test]
fn a_logout_after_the_hard_end_was_brought_down_outlives_the_first_key() {
    const FOREVER: Duration = seconds(34_560_000);
    let long = World::with(never_idle().with_cookie_age(FOREVER));
    let mut jar = long.visitor();
    let mut stolen = jar.clone();
    stolen.put(KEY, jar.value(KEY).unwrap());
    let first = long.session_key(&jar);
    let short = long.reconfigured(SECRET, never_idle().with_cookie_age(seconds(3_600)));
    short.visit(&mut jar, |session| session.cycle_key().unwrap());
    short.visit(&mut jar, |session| destroy(session).unwrap());
    long.advance(30 * DAY);
    let names = long.store.names();
    assert!(names.contains(&first.dead_first_key()), "{names:?}");
    assert!(names.contains(&first.dead_lineage()), "{names:?}");
    assert_ne!(
        long.elsewhere().open(&stolen).outcome().unwrap(),
        Outcome::Loaded
    );
}

#[test]
fn a_shorter_age_ends_the_sessions_made_before() {
    let world = World::with(never_idle());
    let jar = world.visitor();
    let shorter = world.reconfigured(SECRET, never_idle().with_cookie_age(seconds(3_600)));
    assert_eq!(shorter.open(&jar).outcome().unwrap(), Outcome::Loaded);
    world.advance(HOUR);
    assert_eq!(shorter.open(&jar).outcome().unwrap(), Outcome::Expired);
    let longer = world.reconfigured(SECRET, never_idle().with_cookie_age(seconds(34_560_000)));
    world.advance(7 * DAY);
    let mut kept = jar.clone();
    kept.put(KEY, jar.value(KEY).unwrap());
    assert_eq!(longer.open(&kept).outcome().unwrap(), Outcome::Expired);
}

// --- an end of one's own -------------------------------------------------------------------------

#[test]
fn every_form_of_an_end() {
    let world = World::new();
    let at = START + 500 * SECOND;
    type Set = Box<dyn Fn(&mut edge_session::SessionStore)>;
    let set = |expiry: Expiry| -> Set { Box::new(move |s| s.set_expiry(expiry).unwrap()) };
    let cases: Vec<(&str, Set, i64)> = vec![
        ("seconds", Box::new(|s| s.set_expiry(600).unwrap()), 600),
        (
            "long seconds",
            Box::new(|s| s.set_expiry(600_i64).unwrap()),
            600,
        ),
        (
            "instant",
            Box::new(move |s| s.set_expiry(instant(at)).unwrap()),
            500,
        ),
        ("by name", set(Expiry::until(instant(at))), 500),
        ("so long", set(Expiry::after(Duration::from_secs(600))), 600),
        (
            "idle",
            Box::new(|s| s.set_expiry(Duration::from_secs(900)).unwrap()),
            900,
        ),
        (
            "none",
            Box::new(|s| s.set_expiry(None::<i64>).unwrap()),
            86_400,
        ),
        (
            "browser close",
            Box::new(|s| s.set_expiry(0).unwrap()),
            86_400,
        ),
        ("longer than idle", set(Expiry::from(100_000)), 86_400),
        (
            "idle longer than hard",
            set(Expiry::from(Duration::from_secs(999_999))),
            604_800,
        ),
        (
            "never idle",
            set(Expiry::default_settings().no_idle()),
            604_800,
        ),
        ("past", Box::new(|s| s.set_expiry(-300).unwrap()), -300),
        (
            "long ago",
            Box::new(|s| s.set_expiry(SystemTime::UNIX_EPOCH).unwrap()),
            -START / 1_000,
        ),
        ("far future", set(Expiry::from(i64::MAX)), 86_400),
        (
            "far past",
            set(Expiry::from(i64::MIN)),
            i64::MIN.div_euclid(1_000),
        ),
    ];
    for (name, set, seconds) in cases {
        let mut session = world.load(Head::default());
        session.set("a", 1).unwrap();
        set(&mut session);
        let age = Duration::from_secs(u64::try_from(seconds).unwrap_or_default());
        assert_eq!(session.get_expiry_age().unwrap(), age, "{name}");
        let date = ms(session.get_expiry_date().unwrap());
        let left = date.saturating_sub(START);
        assert_eq!(left.div_euclid(1_000), seconds, "{name}");
        let saved = world.try_commit(&mut session, 200);
        if seconds < 0 {
            assert_eq!(code(saved), Some(ErrorCode::Expired), "{name}");
            continue;
        }
        let mut jar = Jar::new();
        jar.receive(world.now(), saved.unwrap().set_cookie());
        assert_eq!(
            world.open(&jar).get_expiry_age().unwrap(),
            age,
            "{name}, reloaded"
        );
        let end = world.now() + seconds * SECOND;
        let there = |at: i64| {
            world.clock.set(at);
            world.open(&jar).outcome().unwrap()
        };
        assert_eq!(there(end - 1), Outcome::Loaded, "{name}");
        assert_ne!(there(end), Outcome::Loaded, "{name}");
        world.clock.set(START);
    }
}

#[test]
fn a_fraction_of_a_second_is_never_rounded_to_no_end() {
    let world = World::with(never_idle());
    type Set = Box<dyn Fn(&mut edge_session::SessionStore)>;
    let set = |expiry: Expiry| -> Set { Box::new(move |s| s.set_expiry(expiry).unwrap()) };
    for (name, set, milliseconds) in [
        (
            "900 ms idle",
            set(Duration::from_millis(900).into()),
            SECOND,
        ),
        ("1 ns idle", set(Duration::from_nanos(1).into()), SECOND),
        (
            "1.1 s idle",
            set(Duration::from_millis(1_100).into()),
            2 * SECOND,
        ),
        (
            "an instant",
            set((instant(START) + Duration::from_nanos(1)).into()),
            1,
        ),
        ("half a second", set(instant(START + 500).into()), 500),
    ] {
        world.clock.set(START);
        let mut jar = world.visitor();
        world.visit(&mut jar, |session| {
            set(session);
            assert!(!session.get_expire_at_browser_close().unwrap(), "{name}");
            let left = session.get_expiry_age().unwrap().as_secs();
            assert_eq!(
                i64::try_from(left),
                Ok((milliseconds + 999) / 1_000),
                "{name}"
            );
        });
        world.advance(milliseconds - 1);
        assert_eq!(
            world.open(&jar).outcome().unwrap(),
            Outcome::Loaded,
            "{name}"
        );
        world.advance(1);
        assert_ne!(
            world.open(&jar).outcome().unwrap(),
            Outcome::Loaded,
            "{name}"
        );
    }
    world.clock.set(START);
    for over in [
        Expiry::after(Duration::ZERO),
        instant(START).into(),
        instant(START - 400).into(),
    ] {
        let mut session = world.load(Head::default());
        session.set("a", 1).unwrap();
        session.set_expiry(over).unwrap();
        assert_eq!(
            session.get_expiry_age().unwrap(),
            Duration::ZERO,
            "{over:?}"
        );
        let saved = world.try_commit(&mut session, 200);
        assert_eq!(code(saved), Some(ErrorCode::Expired), "{over:?}");
    }
}

#[test]
fn one_call_replaces_what_an_earlier_one_has_set() {
    let world = World::new();
    let mut jar = world.visitor();
    let all = [
        Expiry::from(600),
        Expiry::from(Duration::from_secs(300)),
        Expiry::from(0),
        Expiry::default_settings().no_idle(),
        Expiry::default_settings(),
        Expiry::from(900)
            .idle(Duration::from_secs(60))
            .at_browser_close(),
        Expiry::from(0).no_idle(),
    ];
    for before in all {
        for after in all {
            world.visit(&mut jar, |session| session.set_expiry(before).unwrap());
            world.visit(&mut jar, |session| session.set_expiry(after).unwrap());
            let mut fresh = world.visitor();
            world.visit(&mut fresh, |session| session.set_expiry(after).unwrap());
            let facts = |jar: &Jar| {
                let session = world.open(jar);
                (
                    session.get_expiry_date().unwrap(),
                    session.idle_expires_at().unwrap(),
                    session.get_expire_at_browser_close().unwrap(),
                )
            };
            assert_eq!(facts(&jar), facts(&fresh), "{before:?}, then {after:?}");
        }
    }
}

#[test]
fn an_end_an_idle_time_and_the_browsers_close_compose() {
    const MINUTE: Duration = Duration::from_secs(60);
    let idle = |minutes: u32| Some(i64::from(minutes) * 60);
    // The end and the idle time in seconds, and whether the cookies end with the browser.
    for (name, expiry, end, idle, closes) in [
        (
            "30 minutes idle, or with the browser",
            Expiry::default_settings()
                .idle(30 * MINUTE)
                .at_browser_close(),
            1_800,
            idle(30),
            true,
        ),
        (
            "all three",
            Expiry::after(20 * MINUTE)
                .idle(30 * MINUTE)
                .at_browser_close(),
            1_200,
            idle(30),
            true,
        ),
        (
            "in another order, and idle first",
            Expiry::from(1_200).at_browser_close().idle(10 * MINUTE),
            600,
            idle(10),
            true,
        ),
        (
            "an instant, however idle",
            Expiry::until(instant(START + 200_000 * SECOND)).no_idle(),
            200_000,
            None,
            false,
        ),
        (
            "with the browser, however idle",
            Expiry::from(0).no_idle(),
            604_800,
            None,
            true,
        ),
        (
            "past the browser",
            Expiry::default_settings().outlives_browser(),
            86_400,
            Some(86_400),
            false,
        ),
    ] {
        for by_setting in [false, true] {
            let settings = Settings::default().with_expire_at_browser_close(by_setting);
            let world = World::with(settings);
            let mut jar = world.visitor();
            world.visit(&mut jar, |session| session.set_expiry(expiry).unwrap());
            // From the cookie's copy, and from the store only.
            let mut plain = jar.clone();
            plain.forget(FRESH);
            for jar in [jar, plain] {
                let session = world.elsewhere().open(&jar);
                let date = session.get_expiry_date().unwrap();
                assert_eq!(date, instant(START + end * SECOND), "{name}");
                let idle = idle.map(|seconds| instant(START + seconds * SECOND));
                assert_eq!(session.idle_expires_at().unwrap(), idle, "{name}");
                let ends = session.get_expire_at_browser_close().unwrap();
                assert_eq!(ends, closes, "{name}");
                let mut closed = jar.clone();
                closed.close_browser();
                assert_eq!(closed.value(KEY).is_none(), closes, "{name}");
            }
        }
    }
}

#[test]
fn an_end_lives_in_the_record_and_is_a_change() {
    let world = World::new();
    let mut jar = world.visitor();
    world.visit(&mut jar, |session| {
        session.set_expiry(600).unwrap();
        assert!(session.modified() && session.needs_update());
    });
    assert_eq!(world.store.count(Kind::Put), 1);
    world.visit(&mut jar, |session| {
        session.set_expiry(instant(START + 600 * SECOND)).unwrap();
        assert!(!session.modified(), "the same end again");
    });
    world.visit(&mut jar, |session| session.set_expiry(None::<i64>).unwrap());
    world.advance(HOUR);
    assert_eq!(world.open(&jar).outcome().unwrap(), Outcome::Loaded);
}

#[test]
fn the_end_at_browser_close_is_a_new_key_cookie_without_an_age() {
    let world = World::new();
    let mut jar = world.visitor();
    let before = world.session_key(&jar);
    let mut session = world.open(&jar);
    session.set_expiry(0).unwrap();
    assert!(session.get_expire_at_browser_close().unwrap());
    let headers = world.commit(&mut session);
    let field = &headers.set_cookie()[0];
    assert!(
        field.starts_with(KEY) && !field.contains("Max-Age"),
        "{field}"
    );
    jar.receive(world.now(), headers.set_cookie());
    let after = world.session_key(&jar);
    assert_ne!(before.derived, after.derived);
    assert_eq!(before.lineage, after.lineage);

    world.advance(2 * HOUR);
    world.visit(&mut jar, |session| {
        assert_eq!(session.get("a").unwrap(), Some(1))
    });
    assert!(jar.value(SEEN).is_some());
    let mut closed = jar.clone();
    closed.close_browser();
    assert_eq!(closed.value(KEY), None);
    assert_eq!(closed.value(SEEN), None, "it ends with the key cookie");

    // A save with the same expiry keeps the key. With another end the cookie has an age again.
    world.visit(&mut jar, |session| session.set("b", 2).unwrap());
    assert_eq!(world.session_key(&jar), after);
    world.visit(&mut jar, |session| {
        session.set_expiry(3_600).unwrap();
        assert!(!session.get_expire_at_browser_close().unwrap());
    });
    let mut closed = jar.clone();
    closed.close_browser();
    assert_eq!(world.session_key(&closed).lineage, before.lineage);
    assert_ne!(world.session_key(&closed).derived, after.derived);
}

#[test]
fn browser_close_by_setting_and_by_session() {
    let by_setting = Settings::default().with_expire_at_browser_close(true);
    for (settings, expiry, ends) in [
        (Settings::default(), Expiry::default_settings(), false),
        (Settings::default(), Expiry::from(10), false),
        (Settings::default(), Expiry::from(0), true),
        (by_setting.clone(), Expiry::default_settings(), true),
        (by_setting.clone(), Expiry::from(10), false),
        (by_setting, Expiry::from(0), true),
    ] {
        let world = World::with(settings);
        let mut jar = Jar::new();
        world.visit(&mut jar, |session| {
            session.set("a", 1).unwrap();
            session.set_expiry(expiry).unwrap();
            assert_eq!(session.get_expire_at_browser_close().unwrap(), ends);
        });
        jar.close_browser();
        assert_eq!(jar.value(KEY).is_none(), ends, "{expiry:?}");
    }
}

// --- an end and a login --------------------------------------------------------------------------

/// Date, idle end and browser close, and whether the key cookie ends with the browser.
fn facts(world: &World, jar: &Jar) -> (SystemTime, Option<SystemTime>, bool, bool) {
    let session = world.open(jar);
    let mut closed = jar.clone();
    closed.close_browser();
    (
        session.get_expiry_date().unwrap(),
        session.idle_expires_at().unwrap(),
        session.get_expire_at_browser_close().unwrap(),
        closed.value(KEY).is_none(),
    )
}

#[test]
fn a_login_keeps_the_expiry_with_the_data() {
    let ends: [fn(&mut SessionStore); 3] = [
        |it| it.set_expiry(600).unwrap(),
        |it| it.set_expiry(Duration::from_secs(300)).unwrap(),
        |it| it.set_expiry(0).unwrap(),
    ];
    for (number, end) in ends.into_iter().enumerate() {
        let world = World::new();
        // The facts of such an expiry without any login.
        let mut plain = world.visitor();
        world.visit(&mut plain, end);
        let expected = facts(&world, &plain);
        let other = facts(&world, &world.visitor());
        assert_ne!(expected, other, "{number}");
        type Begin = fn(&World) -> Jar;
        let begins: [Begin; 3] = [|_| Jar::new(), World::visitor, |w| w.member("ada")];
        for (place, begin) in begins.into_iter().enumerate() {
            let case = format!("end {number}, session {place}");
            // Set in the same request, before the login and after it.
            let mut jar = begin(&world);
            world.visit(&mut jar, |session| {
                session.set("cart", 1).unwrap();
                end(session);
                session.bind("ada").unwrap();
            });
            assert_eq!(facts(&world, &jar), expected, "{case}, before");
            let mut jar = begin(&world);
            world.visit(&mut jar, |session| {
                session.bind_with("ada", keep(place == 0)).unwrap();
                end(session);
            });
            assert_eq!(facts(&world, &jar), expected, "{case}, after");
            // Set in an earlier request.
            let earlier = || {
                let mut jar = begin(&world);
                world.visit(&mut jar, |session| {
                    session.set("cart", 1).unwrap();
                    end(session);
                });
                jar
            };
            for elsewhere in [world.clone(), world.elsewhere()] {
                let mut jar = earlier();
                elsewhere.visit(&mut jar, |session| {
                    session.bind("ada").unwrap();
                    let date = session.get_expiry_date().unwrap();
                    assert_eq!(date, expected.0, "{case}, as it is going to be");
                });
                assert_eq!(facts(&elsewhere, &jar), expected, "{case}, earlier");
                // A login that does not keep the data does not keep the expiry.
                let mut jar = earlier();
                elsewhere.visit(&mut jar, |session| {
                    session.bind_with("ada", Keep::Nothing).unwrap()
                });
                assert_eq!(facts(&elsewhere, &jar), other, "{case}, without keep");
                if place == 2 {
                    let mut jar = earlier();
                    elsewhere.visit(&mut jar, |session| session.bind("bob").unwrap());
                    assert_eq!(facts(&elsewhere, &jar), other, "{case}, of another");
                }
            }
        }
    }
}

#[test]
fn a_login_keeps_the_expiry_of_a_copy_that_it_was_shown() {
    let world = World::new();
    let mut jar = world.member("ada");
    world.visit(&mut jar, |session| session.set_expiry(600).unwrap());
    let mut old = jar.clone();
    world.visit(&mut jar, |session| session.cycle_key().unwrap());
    // The key from before the rotation can read, and its data is kept by a login.
    world.visit(&mut old, |session| {
        assert_eq!(session.outcome().unwrap(), Outcome::Rotated);
        session.bind("ada").unwrap();
        session.bind("ada").unwrap();
        assert_eq!(session.get_expiry_age().unwrap(), seconds(600));
    });
    assert_eq!(world.open(&old).get_expiry_age().unwrap(), seconds(600));
    // Only the commit finds that it was rotated.
    let mut jar = world.member("ada");
    world.visit(&mut jar, |session| session.set_expiry(600).unwrap());
    let mut late = world.open(&jar);
    late.bind("ada").unwrap();
    world.visit(&mut jar.clone(), |session| session.cycle_key().unwrap());
    let headers = world.commit(&mut late);
    jar.receive(world.now(), headers.set_cookie());
    assert_eq!(world.open(&jar).get_expiry_age().unwrap(), seconds(600));
}

#[test]
fn a_login_takes_an_end_that_another_request_has_set_meanwhile() {
    let world = World::new();
    let mut jar = world.member("ada");
    world.visit(&mut jar, |session| session.set_expiry(600).unwrap());
    let mut login = world.open(&jar);
    login.bind("ada").unwrap();
    world.visit(&mut jar.clone(), |session| session.set_expiry(60).unwrap());
    world.advance(2 * SECOND);
    let headers = world.commit(&mut login);
    jar.receive(world.now(), headers.set_cookie());
    let date = world.open(&jar).get_expiry_date().unwrap();
    assert_eq!(date, instant(START + 60 * SECOND));
}

#[test]
fn an_end_that_passes_before_the_commit_fails_no_login() {
    let world = World::new();
    let mut jar = world.member("ada");
    world.visit(&mut jar, |session| session.set_expiry(600).unwrap());
    let mut login = world.open(&jar);
    world.advance(600 * SECOND);
    login.bind("ada").unwrap();
    let headers = world.commit(&mut login);
    jar.receive(world.now(), headers.set_cookie());
    let session = world.open(&jar);
    assert_eq!(shown(&session), "a=1");
    assert_eq!(session.get_expiry_age().unwrap(), seconds(86_400));
    // If the request itself sets an end in the past, the save fails, like every save.
    let mut login = world.open(&jar);
    login.set_expiry(-1).unwrap();
    login.bind("ada").unwrap();
    assert_eq!(code(save(&mut login)), Some(ErrorCode::Expired));
}

// --- an end that passes --------------------------------------------------------------------------

#[test]
fn a_save_after_the_end_is_expired_and_a_new_end_revives() {
    let world = World::new();
    let mut jar = world.visitor();
    world.visit(&mut jar, |session| session.set_expiry(600).unwrap());

    let mut session = world.open(&jar);
    session.set("b", 2).unwrap();
    world.advance(600 * SECOND);
    assert_eq!(session.get_expiry_age().unwrap(), Duration::ZERO);
    let error = save(&mut session).unwrap_err();
    assert!(error.is_expired());
    assert_eq!(session.refusal().unwrap().code(), ErrorCode::Expired);
    session.set_expiry(600).unwrap();
    save(&mut session).unwrap();
    let headers = world.commit(&mut session);
    jar.receive(world.now(), headers.set_cookie());
    assert_eq!(shown(&world.open(&jar)), "a=1 b=2");
}

#[test]
fn a_request_that_came_in_time_is_saved_in_time() {
    // Its own load counts as a visit, although no cookie says so yet.
    let world = World::new();
    let mut jar = world.visitor();
    world.advance(DAY - 1);
    let mut session = world.open(&jar);
    session.set("b", 2).unwrap();
    world.advance(2 * SECOND);
    jar.receive(world.now(), world.commit(&mut session).set_cookie());
    assert_eq!(shown(&world.open(&jar)), "a=1 b=2");
}

#[test]
fn a_revival_keeps_what_others_saved_meanwhile() {
    let world = World::new();
    let mut jar = world.visitor();
    let mut slow = world.open(&jar);
    world.visit(&mut jar, |session| {
        session.remove("a").unwrap();
        session.set("b", 2).unwrap();
    });
    world.advance(DAY);
    slow.set("c", 3).unwrap();
    slow.set_expiry(600).unwrap();
    jar.receive(world.now(), world.commit(&mut slow).set_cookie());
    assert_eq!(shown(&world.open(&jar)), "b=2 c=3");
}

#[test]
fn a_revival_stops_at_the_hard_end() {
    let world = World::with(never_idle());
    let jar = world.visitor();
    let mut session = world.open(&jar);
    world.advance(7 * DAY);
    session.set("b", 2).unwrap();
    session.set_expiry(600).unwrap();
    assert_eq!(code(save(&mut session)), Some(ErrorCode::Expired));
    assert_eq!(world.store.count(Kind::Put), 0);
}

#[test]
fn a_request_that_finds_its_session_expired_begins_anew() {
    let world = World::new();
    let mut jar = world.visitor();
    let before = world.session_key(&jar);
    world.visit(&mut jar, |session| session.set_expiry(600).unwrap());
    world.advance(600 * SECOND);
    world.visit(&mut jar, |session| {
        assert_eq!(session.outcome().unwrap(), Outcome::Expired);
        assert!(session.is_empty().unwrap());
        assert!(session.is_new().unwrap());
    });
    world.visit(&mut jar, |session| session.set("b", 2).unwrap());
    assert_eq!(shown(&world.open(&jar)), "b=2");
    assert_ne!(world.session_key(&jar).lineage, before.lineage);
}

#[test]
fn an_end_in_the_past_is_refused_and_stores_nothing() {
    let world = World::new();
    let jar = world.visitor();
    let mut session = world.open(&jar);
    session.set_expiry(-1).unwrap();
    assert_eq!(session.get_expiry_age().unwrap(), Duration::ZERO);
    assert_eq!(code(save(&mut session)), Some(ErrorCode::Expired));
    session.set_expiry(60).unwrap();
    save(&mut session).unwrap();
}

// --- clocks --------------------------------------------------------------------------------------

#[test]
fn strange_clocks_neither_panic_nor_extend_a_life() {
    for now in [i64::MIN, -1, 0, i64::MAX / 2, i64::MAX] {
        let world = World::new();
        let jar = world.visitor();
        let mut old = jar.clone();
        old.put(KEY, jar.value(KEY).unwrap());
        world.clock.set(now);
        let mut session = world.open(&old);
        if now > START {
            assert_ne!(session.outcome().unwrap(), Outcome::Loaded, "{now}");
        }
        let _unimportant = session.set("b", 2);
        let _unimportant = session.get_expiry_age();
        let _unimportant = session.get_expiry_date();
        let _unimportant = session.idle_expires_at();
        let _unimportant = session.require_recent_auth(Duration::MAX);
        let _unimportant = session.set_expiry(i64::MAX);
        let _unimportant = world.try_commit(&mut session, 200);
        let _unimportant = destroy(&mut world.open(&old));
    }
}

#[test]
fn a_clock_that_goes_back_moves_no_end() {
    let world = World::new();
    let mut jar = world.visitor();
    world.advance(-HOUR);
    world.visit(&mut jar, |session| {
        assert_eq!(session.outcome().unwrap(), Outcome::Loaded);
        session.set("b", 2).unwrap();
    });
    world.clock.set(START + DAY - 1);
    assert_eq!(world.open(&jar).outcome().unwrap(), Outcome::Loaded);
    world.clock.set(START + DAY);
    assert_eq!(world.open(&jar).outcome().unwrap(), Outcome::Expired);
}

#[test]
fn limits_that_a_failed_save_may_have_stored_are_undone() {
    let world = World::new();
    let mut jar = world.visitor();
    world.visit(&mut jar, |session| {
        session
            .set_expiry(Expiry::after(Duration::from_secs(600)))
            .unwrap();
        world.store.fail_though_applied(Kind::Put, usize::MAX);
        assert!(run(session.save()).is_err());
        world.store.mend();
        session.set_expiry(Expiry::default_settings()).unwrap();
        assert!(session.modified());
    });
    let session = world.elsewhere().open(&jar);
    assert!(session.get_expiry_age().unwrap() > Duration::from_secs(600));
}
