//! CSRF tokens: issued under every outcome without storage operations, and valid only for the
//! browser and user that they were made for.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use crate::common::*;
use edge_session::connector::ConnectorErrorKind;
use edge_session::{ErrorCode, Keep, Outcome, SameSite, SessionStore, Settings};

const REFUSED: Option<ErrorCode> = Some(ErrorCode::InvalidValue);

/// A browser, and the outcome of its requests.
struct Scene {
    world: World,
    jar: Jar,
    /// Comes before the jar's cookies in the Cookie header.
    before: String,
    /// CSRF tokens of an attacker who has set some of the cookies.
    known: Vec<String>,
}

impl Scene {
    fn of(world: World, jar: Jar) -> Self {
        Self {
            world: world.elsewhere(),
            jar,
            before: String::new(),
            known: Vec::new(),
        }
    }

    fn open(&self) -> SessionStore {
        let jar = self.jar.header(self.world.now()).unwrap_or_default();
        let text = [&*self.before, &*jar].join("; ");
        self.world.load(Head::cookie(text))
    }

    /// Loads a page with a form, and returns its CSRF token.
    fn show(&mut self) -> String {
        let mut session = self.open();
        self.world.store.take_log();
        let before = session.session_key().unwrap();
        let token = session.csrf_token().unwrap();
        assert_eq!(session.session_key().unwrap(), before, "no session began");
        assert!(!session.modified() && session.refusal().is_none());
        let headers = self.world.commit(&mut session);
        assert_eq!(self.world.store.operations(), 0);
        self.jar.receive(self.world.now(), headers.set_cookie());
        token
    }

    fn verify(&self, token: &str) -> Option<ErrorCode> {
        let session = self.open();
        self.world.store.take_log();
        let verified = code(session.verify_csrf(token));
        assert_eq!(self.world.store.operations(), 0);
        verified
    }
}

fn without_overlay() -> World {
    World::with(Settings::default().with_overlay(false))
}

/// A browser that still has the cookies from before `change`.
fn left_behind(mut jar: Jar, world: World, change: impl FnOnce(&mut SessionStore)) -> Scene {
    let old = jar.clone();
    world.visit(&mut jar, change);
    Scene::of(world, old)
}

fn end(session: &mut SessionStore) {
    destroy(session).unwrap();
}

fn cycle(session: &mut SessionStore) {
    session.cycle_key().unwrap();
}

fn after_the_window(scene: Scene) -> Scene {
    scene.world.advance(WINDOW);
    scene
}

fn tombstone() -> Scene {
    let world = World::new();
    let mut jar = world.member("ada");
    world
        .store
        .fail(Kind::Put, usize::MAX, ConnectorErrorKind::Quota);
    world.visit(&mut jar, |session| drop(destroy(session)));
    Scene::of(world, jar)
}

fn damaged(record: &str) -> Scene {
    let world = World::new();
    let mut jar = world.visitor();
    jar.forget(FRESH);
    let name = world.session_key(&jar).record();
    world.store.set(&name, record);
    Scene::of(world, jar)
}

/// A Cookie header over the limit.
fn filler() -> String {
    format!("x={}", "x".repeat(70_000))
}

/// A user's browser in which a sibling host has set the cookies of its own session, after `change`.
fn planted(world: World, change: impl FnOnce(&mut SessionStore)) -> Scene {
    let (mut jar, mut other) = (world.member("ada"), world.member("eve"));
    let own = world.visit(&mut other, |session| session.csrf_token().unwrap());
    world.visit(&mut other.clone(), change);
    // The browser has the cookies from before.
    other.forget(FORM);
    jar.add_twins(&other, "Domain=example.com");
    let mut scene = Scene::of(world, jar);
    scene.known.push(own);
    scene
}

type SceneRow = (&'static str, Outcome, fn() -> Scene);

/// Every outcome, most of them for a visitor and for a logged-in user.
const SCENES: &[SceneRow] = &[
    ("new", Outcome::New, || Scene::of(World::new(), Jar::new())),
    ("loaded", Outcome::Loaded, || {
        let world = World::new();
        let jar = world.visitor();
        Scene::of(world, jar)
    }),
    ("loaded, a user's", Outcome::Loaded, || {
        let world = World::new();
        let jar = world.member("ada");
        Scene::of(world, jar)
    }),
    ("rotated", Outcome::Rotated, || {
        let world = World::new();
        left_behind(world.visitor(), world, cycle)
    }),
    ("rotated, a user's", Outcome::Rotated, || {
        let world = World::new();
        left_behind(world.member("ada"), world, cycle)
    }),
    (
        "rotated, a user's, and nothing to read",
        Outcome::Rotated,
        || {
            let world = without_overlay();
            let scene = left_behind(world.member("ada"), world, cycle);
            let name = scene.world.store.names_of("s.");
            for name in name {
                scene.world.store.remove(&name);
            }
            scene
        },
    ),
    ("rotated, after W", Outcome::Rotated, || {
        let world = World::new();
        after_the_window(left_behind(world.member("ada"), world, cycle))
    }),
    ("pending", Outcome::Pending, || {
        let world = without_overlay();
        world.store.lag();
        let jar = world.visitor();
        Scene::of(world, jar)
    }),
    ("pending, a user's", Outcome::Pending, || {
        let world = without_overlay();
        world.store.lag();
        let jar = world.member("ada");
        Scene::of(world, jar)
    }),
    ("stale", Outcome::Stale, || {
        let world = without_overlay();
        let mut jar = world.visitor();
        world.store.lag();
        world.advance(HOUR);
        world.visit(&mut jar, |session| session.set("a", 9).unwrap());
        Scene::of(world, jar)
    }),
    ("stale, a user's", Outcome::Stale, || {
        let world = without_overlay();
        let mut jar = world.member("ada");
        world.store.lag();
        world.advance(HOUR);
        world.visit(&mut jar, |session| session.set("a", 9).unwrap());
        Scene::of(world, jar)
    }),
    ("gone", Outcome::Gone, || {
        let world = without_overlay();
        world.store.lag();
        let jar = world.member("ada");
        after_the_window(Scene::of(world, jar))
    }),
    ("expired", Outcome::Expired, || {
        let world = World::new();
        let mut jar = world.member("ada");
        world.visit(&mut jar, |session| session.set_expiry(60).unwrap());
        world.advance(61 * SECOND);
        Scene::of(world, jar)
    }),
    ("revoked", Outcome::Revoked, || {
        let world = World::new();
        left_behind(world.visitor(), world, end)
    }),
    ("revoked, a user's", Outcome::Revoked, || {
        let world = World::new();
        left_behind(world.member("ada"), world, end)
    }),
    ("revoked, after W", Outcome::Revoked, || {
        let world = World::new();
        after_the_window(left_behind(world.member("ada"), world, end))
    }),
    ("tombstone", Outcome::Revoked, tombstone),
    ("rejected", Outcome::Rejected, || {
        let mut jar = Jar::new();
        jar.put(KEY, "forged");
        Scene::of(World::new(), jar)
    }),
    ("header too large", Outcome::Rejected, || {
        let world = World::new();
        let mut scene = Scene::of(world.clone(), world.visitor());
        scene.before = filler();
        scene
    }),
    ("header too large, a user's", Outcome::Rejected, || {
        let world = World::new();
        let mut scene = Scene::of(world.clone(), world.member("ada"));
        scene.before = filler();
        scene
    }),
    (
        "header too large, a user's and an attacker's",
        Outcome::Rejected,
        || {
            let mut scene = planted(World::new(), |_| ());
            scene.before = filler();
            scene
        },
    ),
    ("ambiguous", Outcome::Ambiguous, || {
        let world = World::new();
        let (mut jar, other) = (world.visitor(), world.visitor());
        jar.add_twins(&other, "Domain=example.com");
        Scene::of(world, jar)
    }),
    (
        "ambiguous, a user's and an attacker's",
        Outcome::Ambiguous,
        || planted(World::new(), |_| ()),
    ),
    (
        "ambiguous, a user's and many of an attacker's",
        Outcome::Ambiguous,
        || {
            let mut scene = planted(World::new(), |_| ());
            for place in 0..5 {
                let other = scene.world.member("eve");
                scene.jar.add_twins(&other, &format!("Domain={place}.com"));
            }
            scene
        },
    ),
    (
        "loaded, a user's beside an attacker's that is over",
        Outcome::Loaded,
        || planted(World::new(), end),
    ),
    (
        "unavailable, a user's beside an attacker's that is over",
        Outcome::Unavailable,
        || {
            let scene = planted(World::new(), end);
            scene.world.store.outage();
            scene
        },
    ),
    (
        "a user's beside an attacker's logout that is not stored",
        Outcome::Revoked,
        || {
            let world = World::new();
            let (mut jar, mut other) = (world.member("ada"), world.member("eve"));
            world
                .store
                .fail(Kind::Put, usize::MAX, ConnectorErrorKind::Quota);
            world.visit(&mut other, |session| drop(destroy(session)));
            jar.add_twins(&other, "Domain=example.com");
            Scene::of(world, jar)
        },
    ),
    ("corrupt", Outcome::Corrupt, || damaged("not a record")),
    // The first byte of a record is its format.
    ("unavailable, another format", Outcome::Unavailable, || {
        damaged("_wAAAAAA")
    }),
    ("unavailable", Outcome::Unavailable, || {
        let world = World::new();
        let jar = world.visitor();
        world.store.outage();
        Scene::of(world, jar)
    }),
    ("unavailable, a user's", Outcome::Unavailable, || {
        let world = World::new();
        let jar = world.member("ada");
        world.store.outage();
        Scene::of(world, jar)
    }),
];

#[test]
fn a_form_is_shown_and_taken_back_under_every_outcome_and_costs_no_storage() {
    for (name, outcome, scene) in SCENES {
        let mut scene = scene();
        assert_eq!(scene.open().outcome().unwrap(), *outcome, "{name}");
        let keys: Vec<String> = scene.jar.values(KEY).map(str::to_owned).collect();
        let first = scene.show();
        let form: Vec<String> = scene.jar.values(FORM).map(str::to_owned).collect();
        let second = scene.show();
        assert!(scene.jar.values(FORM).eq(&form), "{name}: set once");
        assert!(scene.jar.values(KEY).eq(&keys), "{name}: the key cookie");
        assert_ne!(first, second, "{name}");
        for token in [&first, &second] {
            assert_eq!(scene.verify(token), None, "{name}");
        }

        // Tokens of another browser, of no browser, and changed ones.
        let other = Scene::of(World::seeded(Settings::default(), 7), Jar::new()).show();
        let changed = if first.starts_with('A') { "B" } else { "A" }.to_owned() + &first[1..];
        for token in [&*other, "", "odd", &first[1..], &changed] {
            let refused = scene.verify(token);
            let retry = scene.open().is_empty().err().map(|error| error.code());
            assert_eq!(refused, retry.or(REFUSED), "{name}: {token}");
        }
        // Without its form cookie, only a token of a session is accepted.
        if scene.jar.forget(FORM) {
            let refused = scene.verify(&first);
            assert!(refused.is_some(), "{name}");
        }
    }
}

#[test]
fn a_session_that_was_ended_in_this_request_shows_the_login_form_too() {
    let endings: [fn(&mut SessionStore); 2] =
        [end, |session| run(session.flush_keeping(["a"])).unwrap()];
    for ending in endings {
        let world = World::new();
        let mut jar = world.member("ada");
        let token = world.visit(&mut jar, |session| {
            ending(session);
            session.csrf_token().unwrap()
        });
        world.store.take_log();
        assert_eq!(code(world.open(&jar).verify_csrf(&token)), None);
    }
}

#[test]
fn a_thousand_crawlers_leave_nothing_behind() {
    let world = World::new();
    for _ in 0..1_000 {
        let mut session = world.load(Head::default());
        session.csrf_token().unwrap();
        assert!(session.needs_update() && !session.modified());
        let headers = world.commit(&mut session);
        let [field] = headers.set_cookie() else {
            panic!("{headers:?}")
        };
        // 71 characters and the attributes of the others, without an age.
        assert!(field.starts_with(&format!("{FORM}=")) && field.ends_with(ATTRIBUTES));
        assert_eq!(field.len(), FORM.len() + 1 + 71 + ATTRIBUTES.len());
        assert!(headers.depends_on_session());
    }
    assert_eq!(world.store.operations(), 0);
    assert!(world.store.names().is_empty());
}

#[test]
fn two_loads_of_a_login_page_both_work_and_of_two_at_once_the_later() {
    let world = World::new();
    let mut jar = Jar::new();
    let pages = [0, 1].map(|_| world.visit(&mut jar, |it| it.csrf_token().unwrap()));
    let verify = |jar: &Jar, token: &str| code(world.open(jar).verify_csrf(token));
    assert_eq!(pages.each_ref().map(|token| verify(&jar, token)), [None; 2]);

    let mut jar = Jar::new();
    let mut at_once = [world.open(&jar), world.open(&jar)];
    let pages = at_once.each_mut().map(|it| it.csrf_token().unwrap());
    for session in &mut at_once {
        jar.receive(world.now(), world.commit(session).set_cookie());
    }
    assert_eq!(verify(&jar, &pages[0]), REFUSED);
    assert_eq!(verify(&jar, &pages[1]), None);
}

#[test]
fn a_page_that_shows_a_form_may_begin_a_session_in_the_same_answer() {
    let world = World::new();
    let mut jar = Jar::new();
    let token = world.visit(&mut jar, |session| {
        let token = session.csrf_token().unwrap();
        session.set("cart", 1).unwrap();
        token
    });
    assert_eq!(jar.names(), [KEY, FORM, FRESH]);
    let session = world.open(&jar);
    assert_eq!(session.outcome().unwrap(), Outcome::Loaded);
    session.verify_csrf(&token).unwrap();
    // A session that is created for the form has its own CSRF token.
    let mut jar = Jar::new();
    let token = world.visit(&mut jar, |session| {
        session.create().unwrap();
        session.csrf_token().unwrap()
    });
    assert!(jar.value(FORM).is_none());
    world.open(&jar).verify_csrf(&token).unwrap();
}

// --- logins --------------------------------------------------------------------------------------

/// A visitor with a cart opens the login page, and logs in with its form.
fn log_in(world: &World, jar: &mut Jar) -> String {
    let token = world.visit(jar, |session| session.csrf_token().unwrap());
    world.visit(jar, |session| {
        session.verify_csrf(&token).unwrap();
        session.bind("ada").unwrap();
        assert!(session.verify_csrf(&token).is_err(), "it is ada's now");
    });
    token
}

#[test]
fn what_was_given_out_before_a_login_is_void_after_it() {
    let world = World::new();
    for cart in [false, true] {
        let mut jar = Jar::new();
        let first = world.visit(&mut jar, |session| {
            let token = session.csrf_token().unwrap();
            if cart {
                session.set("cart", 1).unwrap();
            }
            token
        });
        let before = jar.clone();
        let second = log_in(&world, &mut jar);
        assert!(jar.value(FORM).is_none(), "the login took it away");
        for token in [&first, &second] {
            assert_eq!(code(world.open(&jar).verify_csrf(token)), REFUSED);
        }
        // The browser may still have the form cookie, for example from a late response.
        jar.put(FORM, before.value(FORM).unwrap());
        assert_eq!(code(world.open(&jar).verify_csrf(&first)), REFUSED);
        let own = world.visit(&mut jar, |session| session.csrf_token().unwrap());
        assert_eq!(code(world.open(&jar).verify_csrf(&own)), None);
        // The user's own token is invalid after the logout.
        let mut left = jar.clone();
        world.visit(&mut jar, end);
        left.put(FORM, before.value(FORM).unwrap());
        for jar in [&jar, &left] {
            assert_eq!(code(world.open(jar).verify_csrf(&own)), REFUSED);
        }
    }
}

#[test]
fn a_token_from_before_the_login_of_the_same_request_is_void_too() {
    let world = World::new();
    let mut jar = Jar::new();
    let [before, after, again] = world.visit(&mut jar, |session| {
        let before = session.csrf_token().unwrap();
        session.bind("ada").unwrap();
        let after = session.csrf_token().unwrap();
        save(session).unwrap();
        [before, after, session.csrf_token().unwrap()]
    });
    assert_eq!(jar.names(), [KEY, FRESH], "no form cookie is set");
    let verify = |token: &str| code(world.open(&jar).verify_csrf(token));
    assert_eq!(verify(&before), REFUSED);
    assert_eq!([verify(&after), verify(&again)], [None; 2]);
}

#[test]
fn after_a_login_and_a_logout_in_one_request_a_form_has_a_cookie_of_its_own() {
    let world = World::new();
    let mut jar = Jar::new();
    let before = world.visit(&mut jar, |session| session.csrf_token().unwrap());
    let cookie = jar.value(FORM).unwrap().to_owned();
    let token = world.visit(&mut jar, |session| {
        session.bind("ada").unwrap();
        save(session).unwrap();
        assert!(session.verify_csrf(&before).is_err());
        end(session);
        assert!(session.verify_csrf(&before).is_err());
        session.csrf_token().unwrap()
    });
    assert_ne!(jar.value(FORM), Some(&*cookie));
    assert_eq!(code(world.open(&jar).verify_csrf(&token)), None);
    assert_eq!(code(world.open(&jar).verify_csrf(&before)), REFUSED);
}

/// A request of a logged-in user needs a token of that user's session, whatever cookies somebody
/// has set in the browser.
#[test]
fn a_form_cookie_never_stands_for_a_user() {
    let attacker = || {
        let (world, mut jar) = (World::seeded(Settings::default(), 7), Jar::new());
        let token = world.visit(&mut jar, |session| session.csrf_token().unwrap());
        (jar.value(FORM).unwrap().to_owned(), token)
    };
    for (name, _, scene) in SCENES {
        let mut scene = scene();
        let (cookie, token) = attacker();
        scene.jar.put(FORM, &cookie);
        let is_a_users = name.contains("a user's") && !name.starts_with("revoked");
        for token in scene.known.iter().chain([&token]) {
            assert!(!is_a_users || scene.verify(token).is_some(), "{name}");
        }
        if is_a_users {
            let own = scene.open().csrf_token().unwrap();
            scene.jar.forget(FORM);
            assert_eq!(scene.verify(&own), None, "{name}: of the sessions alone");
        }
    }
}

/// A sibling host can set cookies after a form was shown, and remove them again.
#[test]
fn a_users_token_is_good_with_cookies_of_another_host_beside_it_and_without() {
    let mut scene = planted(World::new(), end);
    let own = scene.show();
    scene.before = filler();
    let of_both = scene.show();
    assert_eq!(
        [scene.verify(&own), scene.verify(&of_both)],
        [REFUSED, None]
    );
    scene.before = String::new();
    assert_eq!([scene.verify(&own), scene.verify(&of_both)], [None; 2]);
    // Without another session there is one token.
    let world = World::new();
    let mut scene = Scene::of(world.clone(), world.member("ada"));
    let own = scene.show();
    scene.before = filler();
    assert_eq!(scene.verify(&own), None);
    let own = scene.show();
    scene.before = String::new();
    assert_eq!(scene.verify(&own), None);
}

#[test]
fn in_a_header_with_more_sessions_than_can_be_looked_at_no_token_is_given_or_good() {
    let world = World::new();
    let mut scene = Scene::of(world.clone(), Jar::new());
    let token = scene.show();
    let many: Vec<String> = (0..300).map(|place| format!("{KEY}={place}")).collect();
    scene.before = [filler(), many.join("; ")].join("; ");
    assert_eq!(scene.verify(&token), REFUSED);
    let error = scene.open().csrf_token().unwrap_err();
    assert_eq!(error.code(), ErrorCode::TooLarge);
    assert!(error.message().contains("send fewer cookies"), "{error}");
    // A login there gets its own key.
    let mut session = scene.open();
    session.bind("ada").unwrap();
    let own = session.csrf_token().unwrap();
    assert!(session.verify_csrf(&token).is_err());
    let mut jar = Jar::new();
    jar.receive(world.now(), world.commit(&mut session).set_cookie());
    assert_eq!(code(world.open(&jar).verify_csrf(&own)), None);
}

#[test]
fn a_form_cookie_is_not_good_in_a_request_that_has_left_a_users_session() {
    let changes: [fn(&mut SessionStore); 5] = [
        |session| session.create().unwrap(),
        |session| {
            session.create().unwrap();
            session.set("a", 1).unwrap();
            save(session).unwrap();
        },
        end,
        |session| run(session.flush_keeping(["a"])).unwrap(),
        |session| {
            run(session.flush_keeping(["a"])).unwrap();
            save(session).unwrap();
        },
    ];
    for (place, change) in changes.into_iter().enumerate() {
        let world = World::new();
        let (mut jar, mut other) = (world.member("ada"), Jar::new());
        let token = world.visit(&mut other, |session| session.csrf_token().unwrap());
        jar.put(FORM, other.value(FORM).unwrap());
        let mut session = world.open(&jar);
        change(&mut session);
        assert_eq!(code(session.verify_csrf(&token)), REFUSED, "{place}");
    }
}

#[test]
fn the_token_of_a_user_whose_key_was_cycled_elsewhere_is_that_of_the_old_key_for_w() {
    let world = World::new();
    let jar = world.member("ada");
    let mut scene = left_behind(jar, world, cycle);
    let token = scene.show();
    assert!(scene.jar.value(FORM).is_none());
    assert_eq!(scene.verify(&token), None);
    scene.world.advance(WINDOW);
    assert_eq!(scene.verify(&token), REFUSED);
}

#[test]
fn a_form_that_is_sent_a_second_time_is_good_though_the_first_was_a_login() {
    let world = World::new();
    let mut jar = world.visitor();
    let token = world.visit(&mut jar, |session| session.csrf_token().unwrap());
    assert!(jar.value(FORM).is_none(), "a token of the session's own");
    let old = jar.clone();
    world.visit(&mut jar, |session| {
        session.verify_csrf(&token).unwrap();
        session.bind("ada").unwrap();
        assert!(session.verify_csrf(&token).is_err());
    });
    // A double click: the second request has the same cookies as the first.
    for world in [&world, &world.elsewhere()] {
        let mut session = world.open(&old);
        assert_eq!(session.outcome().unwrap(), Outcome::Rotated);
        session.verify_csrf(&token).unwrap();
        session.bind("ada").unwrap();
        assert!(session.verify_csrf(&token).is_err());
    }
    assert_eq!(code(world.open(&jar).verify_csrf(&token)), REFUSED);
}

#[test]
fn the_token_of_an_anonymous_session_is_good_after_it_has_ended_by_itself() {
    for (outcome, is_good) in [
        (Outcome::Rotated, true),
        (Outcome::Expired, true),
        (Outcome::Gone, true),
        (Outcome::Revoked, false),
    ] {
        let world = without_overlay();
        let mut jar = world.visitor();
        let token = world.visit(&mut jar, |session| {
            session.set_expiry(HOUR / SECOND).unwrap();
            session.csrf_token().unwrap()
        });
        let old = jar.clone();
        match outcome {
            Outcome::Expired => world.advance(HOUR),
            Outcome::Revoked => world.visit(&mut jar, end),
            Outcome::Gone => {
                for name in world.store.names_of("s.") {
                    world.store.remove(&name);
                }
                world.advance(WINDOW);
            }
            _ => world.visit(&mut jar, cycle),
        }
        let world = world.elsewhere();
        let mut session = world.open(&old);
        assert_eq!(session.outcome().unwrap(), outcome);
        assert_eq!(session.verify_csrf(&token).is_ok(), is_good, "{outcome:?}");
        session.bind("ada").unwrap();
        assert!(session.verify_csrf(&token).is_err(), "{outcome:?}");
    }
}

#[test]
fn a_login_takes_away_the_form_cookie_that_its_request_came_without() {
    for same_site in [SameSite::Lax, SameSite::Strict] {
        let world = World::with(Settings::default().with_cookie_same_site(same_site));
        let mut jar = Jar::new();
        let token = world.visit(&mut jar, |session| session.csrf_token().unwrap());
        // Like the form that a login provider's page posts back.
        let mut session = world.load(Head::cross_site("POST"));
        session.bind("ada").unwrap();
        jar.receive(world.now(), world.commit(&mut session).set_cookie());
        assert!(jar.value(FORM).is_none());
        world.visit(&mut jar, end);
        assert_eq!(code(world.open(&jar).verify_csrf(&token)), REFUSED);
    }
    // If the request had all cookies, there is nothing to remove.
    let world = World::new();
    let mut session = world.load(Head::default());
    session.bind("ada").unwrap();
    assert_eq!(cookie_names(&world.commit(&mut session)), [KEY, FRESH]);
}

// --- whose cookie it is --------------------------------------------------------------------------

#[test]
fn a_token_is_good_with_its_form_cookie_only() {
    let world = World::new();
    let (mut mine, mut other) = (Jar::new(), Jar::new());
    let token = world.visit(&mut mine, |session| session.csrf_token().unwrap());
    world.visit(&mut other, |session| {
        session.csrf_token().unwrap();
    });
    let value = mine.value(FORM).unwrap().to_owned();
    let key = world.visitor().value(KEY).unwrap().to_owned();
    let refused = |jar: &Jar| code(world.open(jar).verify_csrf(&token)) == REFUSED;
    assert!(refused(&other) && refused(&Jar::new()) && !refused(&mine));
    let mut forged: Vec<String> = (0..value.len())
        .map(|at| {
            let mut changed = value.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            String::from_utf8(changed).unwrap()
        })
        .collect();
    forged.extend([
        String::new(),
        key,
        value[1..].to_owned(),
        value.clone() + "A",
    ]);
    for forged in forged {
        let mut jar = mine.clone();
        jar.put(FORM, &forged);
        assert!(refused(&jar), "{forged}");
        // A page replaces it.
        world.visit(&mut jar, |session| drop(session.csrf_token().unwrap()));
        assert_ne!(jar.value(FORM), Some(&*forged));
    }
    // As another kind of cookie, or under another deployment's name, it is not accepted.
    let mut jar = Jar::new();
    jar.put(KEY, &value);
    assert_eq!(world.open(&jar).outcome().unwrap(), Outcome::Rejected);
    let settings = Settings::default().with_cookie_name("__Host-staff");
    let staff = world.reconfigured(SECRET, settings);
    let mut jar = Jar::new();
    jar.put("__Host-staff-form", &value);
    assert_eq!(code(staff.open(&jar).verify_csrf(&token)), REFUSED);
    let staging = world.reconfigured(SECRET, Settings::default().with_key_prefix("staging:"));
    assert_eq!(code(staging.open(&mine).verify_csrf(&token)), REFUSED);
}

#[test]
fn a_form_cookie_is_good_under_every_secret_of_the_ring() {
    let world = World::new();
    let mut jar = Jar::new();
    let token = world.visit(&mut jar, |session| session.csrf_token().unwrap());
    let rolled = |secrets: &str| world.reconfigured(secrets, Settings::default());
    let both = rolled(&format!("{OTHER_SECRET},{SECRET}"));
    both.open(&jar).verify_csrf(&token).unwrap();
    let before = jar.value(FORM).unwrap().to_owned();
    let second = both.visit(&mut jar, |session| session.csrf_token().unwrap());
    assert_eq!(jar.value(FORM), Some(&*before));
    let new = rolled(OTHER_SECRET);
    for token in [&token, &second] {
        assert_eq!(code(new.open(&jar).verify_csrf(token)), REFUSED);
    }
    // A new one is signed with the first secret.
    let mut jar = Jar::new();
    let token = both.visit(&mut jar, |session| session.csrf_token().unwrap());
    new.open(&jar).verify_csrf(&token).unwrap();
}

#[test]
fn of_several_form_cookies_the_first_makes_tokens_and_four_are_good() {
    let world = World::new();
    let mut made: Vec<(String, String)> = (0..6)
        .map(|_| {
            let mut jar = Jar::new();
            let token = world.visit(&mut jar, |session| session.csrf_token().unwrap());
            (jar.value(FORM).unwrap().to_owned(), token)
        })
        .collect();
    made.sort();
    for order in [[0, 1, 2, 3, 4, 5], [5, 3, 1, 4, 2, 0]] {
        let forged = format!("{FORM}=AAAA; {FORM}=zzzz");
        let pairs = order.map(|at| format!("{FORM}={}", made[at].0)).join("; ");
        let open = || world.load(Head::cookie(format!("{forged}; {pairs}")));
        let good = made
            .iter()
            .map(|(_, token)| open().verify_csrf(token).is_ok());
        assert!(good.eq([true, true, true, true, false, false]));
        let mut session = open();
        let token = session.csrf_token().unwrap();
        assert!(world.commit(&mut session).set_cookie().is_empty());
        let first = Head::cookie(format!("{FORM}={}", made[0].0));
        world.load(first).verify_csrf(&token).unwrap();
    }
    // A login removes all of them, as far as their attributes are known.
    let settings = Settings::default()
        .with_cookie_name("__Secure-id")
        .with_cookie_domain("example.com");
    let world = world.reconfigured(SECRET, settings);
    let mut session = world.load(Head::cookie("__Secure-id-form=a; __Secure-id-form=b"));
    session.bind("ada").unwrap();
    let headers = world.commit(&mut session);
    let gone = |field: &&String| field.starts_with("__Secure-id-form=; Max-Age=0");
    assert_eq!(headers.set_cookie().iter().filter(gone).count(), 4);
}

// --- where it is not given -----------------------------------------------------------------------

#[test]
fn where_the_browser_may_have_withheld_its_cookies_no_form_cookie_is_set() {
    let world = World::new();
    let strict = world.reconfigured(
        SECRET,
        Settings::default().with_cookie_same_site(SameSite::Strict),
    );
    let open = |world: &World, cookie: Option<String>, method| {
        let head = Head {
            cookie,
            ..Head::cross_site(method)
        };
        world.load(head)
    };
    for (world, method) in [(&world, "POST"), (&strict, "POST"), (&strict, "GET")] {
        for begins in [false, true] {
            let mut session = open(world, None, method);
            if begins {
                session.create().unwrap();
            }
            let error = session.csrf_token().unwrap_err();
            assert_eq!(error.code(), ErrorCode::InvalidValue);
            assert!(error.message().contains("another site"), "{error}");
            let way_out = if world.sessions.settings().cookie_same_site() == SameSite::Strict {
                "link to"
            } else {
                "redirect"
            };
            assert!(error.message().contains(way_out), "{error}");
            assert!(world.commit(&mut session).set_cookie().is_empty());
        }
    }
    // Browsers send Lax cookies when a link is followed.
    open(&world, None, "GET").csrf_token().unwrap();
    // A cookie in the request was not withheld. A login sets its cookies in any case.
    let mut jar = Jar::new();
    world.visit(&mut jar, |session| drop(session.csrf_token().unwrap()));
    let mut session = open(&world, jar.header(world.now()), "POST");
    session.csrf_token().unwrap();
    assert!(world.commit(&mut session).set_cookie().is_empty());
    let mut session = open(&world, None, "POST");
    session.bind_with("ada", Keep::Nothing).unwrap();
    let token = session.csrf_token().unwrap();
    let mut jar = Jar::new();
    jar.receive(world.now(), world.commit(&mut session).set_cookie());
    world.open(&jar).verify_csrf(&token).unwrap();
}

#[test]
fn a_form_needs_a_load_before_and_no_commit() {
    let world = World::new();
    for jar in [Jar::new(), world.visitor()] {
        let mut session = world.sessions.open(jar.head(world.now()));
        let refused = Some(ErrorCode::NotLoaded);
        assert_eq!(code(session.csrf_token()), refused);
        assert_eq!(code(session.verify_csrf("odd")), refused);
        let mut session = world.open(&jar);
        let token = session.csrf_token().unwrap();
        drop(world.commit(&mut session));
        let refused = Some(ErrorCode::Committed);
        assert_eq!(code(session.csrf_token()), refused);
        assert_eq!(code(session.verify_csrf(&token)), refused);
    }
}

#[test]
fn without_randomness_no_form_cookie_is_set() {
    let world = World::new();
    let mut session = world.load(Head::default());
    world.runtime.set_randomness(Randomness::Failing);
    assert_eq!(code(session.csrf_token()), Some(ErrorCode::NotReady));
    assert!(session.done_headers().set_cookie().is_empty());
    world.runtime.set_randomness(Randomness::Seeded);
    session.csrf_token().unwrap();
    assert_eq!(cookie_names(&world.commit(&mut session)), [FORM]);
}

#[test]
fn an_error_page_with_a_form_has_its_cookie() {
    let world = World::new();
    for status in [404, 500, 503] {
        let mut session = world.load(Head::default());
        session.set("a", 1).unwrap();
        let token = session.csrf_token().unwrap();
        let headers = world.try_commit(&mut session, status).unwrap();
        let mut jar = Jar::new();
        jar.receive(world.now(), headers.set_cookie());
        world.open(&jar).verify_csrf(&token).unwrap();
    }
}

#[test]
fn a_logout_leaves_the_form_cookie_and_a_page_the_logout() {
    let world = World::new();
    let mut jar = world.visitor();
    let mut nobody = Jar::new();
    let token = world.visit(&mut nobody, |session| session.csrf_token().unwrap());
    jar.put(FORM, nobody.value(FORM).unwrap());
    world.visit(&mut jar, |session| {
        let own = session.csrf_token().unwrap();
        end(session);
        session.csrf_token().unwrap();
        assert!(session.verify_csrf(&own).is_err());
    });
    assert_eq!(jar.names(), [FORM]);
    world.open(&jar).verify_csrf(&token).unwrap();
}
