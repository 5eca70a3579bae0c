//! `edge_session::testing`: worlds, browsers and stores that fail on demand.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use edge_session::testing::{Browser, Request, World};
use edge_session::{AsSessionError, ErrorCode, Outcome, SessionError, SessionStore, Settings};
use futures_executor::block_on;

const KEY: &str = "__Host-session";
const FRESH: &str = "__Host-session-fresh";

fn set(browser: &mut Browser, key: &str, value: u32) -> Result<(), SessionError> {
    block_on(browser.handle(async |session| session.set(key, value)))
}

fn get(browser: &mut Browser, key: &str) -> Result<Option<u32>, SessionError> {
    block_on(browser.handle(async |session| session.get(key)))
}

fn outcome(browser: &mut Browser) -> Outcome {
    block_on(browser.handle(async |session| session.outcome())).unwrap()
}

/// A browser whose session is only in the store.
fn visitor(world: &World) -> Browser {
    let mut browser = world.browser();
    set(&mut browser, "a", 1).unwrap();
    browser.go_to(&world.elsewhere());
    browser.remove_cookie(FRESH);
    browser
}

#[test]
fn sessions_store_and_cookies_live_by_one_clock() {
    let settings = Settings::default();
    let (age, idle) = (settings.cookie_age(), settings.idle_timeout());
    let world = World::new(settings);
    let mut browser = world.browser();
    set(&mut browser, "a", 1).unwrap();
    assert!(browser.cookie(FRESH).is_some());

    // The fresh cookie expires first, by its Max-Age.
    world.advance(Duration::from_secs(200));
    assert_eq!(browser.cookie(FRESH), None);
    assert_eq!(get(&mut browser, "a").unwrap(), Some(1));

    // Then the session expires, by its idle time. The browser still has its cookie.
    world.advance(idle);
    assert_eq!(outcome(&mut browser), Outcome::Expired);
    // Then the store drops the record, and the browser the cookie.
    world.advance(age);
    assert!(
        world.store().keys().is_empty(),
        "{:?}",
        world.store().keys()
    );
    assert_eq!(browser.cookies().count(), 0);
    assert_eq!(outcome(&mut browser), Outcome::New);
}

#[test]
fn a_closed_browser_forgets_what_has_no_end() {
    let world = World::new(Settings::default().with_expire_at_browser_close(true));
    let mut browser = world.browser();
    set(&mut browser, "a", 1).unwrap();
    let mut stays_open = browser.clone();
    browser.close();
    assert_eq!(outcome(&mut browser), Outcome::New);
    assert_eq!(get(&mut stays_open, "a").unwrap(), Some(1));
}

#[test]
fn a_handler_that_fails_saves_nothing_and_what_it_destroyed_stays_so() {
    let world = World::default();
    let mut browser = world.browser();
    set(&mut browser, "a", 1).unwrap();
    let failed = block_on(browser.handle(async |session| {
        session.set("a", 2)?;
        session.require::<u32>("b")
    }));
    assert_eq!(failed.unwrap_err().code(), ErrorCode::MissingKey);
    assert_eq!(get(&mut browser, "a").unwrap(), Some(1));

    let failed = block_on(browser.handle(async |session| {
        session.destroy().await?;
        session.require_recent_auth(Duration::from_secs(300))
    }));
    assert!(failed.is_err());
    assert_eq!(
        browser.cookie(KEY),
        None,
        "its removal was sent with the error"
    );
}

#[test]
fn an_unrelated_error_comes_back_and_no_cookie_is_sent() {
    #[derive(Debug)]
    struct SoldOut;
    impl From<SessionError> for SoldOut {
        fn from(_: SessionError) -> Self {
            Self
        }
    }
    impl AsSessionError for SoldOut {
        fn as_session_error(&self) -> Option<&SessionError> {
            None
        }
    }
    let mut browser = World::default().browser();
    let sold = block_on(browser.send(Request::post("/buy"), async |session| {
        session.set("a", 1)?;
        session.save().await?;
        Err::<(), _>(SoldOut)
    }));
    assert!(sold.is_err());
    assert_eq!(browser.cookies().count(), 0);
}

#[test]
fn a_commit_that_fails_is_the_error() {
    let world = World::default();
    let mut browser = world.browser();
    world.store().fail_puts(3);
    let error = set(&mut browser, "a", 1).unwrap_err();
    assert_eq!(error.code(), ErrorCode::Unavailable);
    assert_eq!(browser.cookies().count(), 0);
    set(&mut browser, "a", 1).unwrap();
}

#[test]
fn every_fault_is_one_that_the_session_meets() {
    let world = World::default();
    let store = world.store();

    let mut browser = visitor(&world);
    store.outage();
    assert_eq!(outcome(&mut browser), Outcome::Unavailable);
    store.recover();
    assert_eq!(get(&mut browser, "a").unwrap(), Some(1));

    let mut browser = visitor(&world);
    store.fail_reads(3);
    assert_eq!(outcome(&mut browser), Outcome::Unavailable);
    assert_eq!(outcome(&mut browser), Outcome::Loaded);

    // Retried after a second, without a real wait.
    let before = world.now();
    store.reset_operations();
    store.rate_limit_puts(1);
    set(&mut world.browser(), "a", 1).unwrap();
    assert_eq!(store.operations().puts, 2);
    assert!(world.now() >= before + Duration::from_secs(1));

    let before = store.keys().len();
    store.lose_put_answers(3);
    set(&mut world.browser(), "a", 1).unwrap_err();
    assert_eq!(store.keys().len(), before + 1);

    store.lose_puts(1);
    set(&mut world.browser(), "a", 1).unwrap();
    assert_eq!(store.keys().len(), before + 1);
}

#[test]
fn a_location_that_lags_shows_what_it_saw_last() {
    let world = World::default();
    let (lagging, other) = (world.elsewhere(), world.elsewhere());
    let mut browser = world.browser();
    set(&mut browser, "a", 1).unwrap();
    lagging.store().lag();
    other.store().lag();
    set(&mut browser, "a", 2).unwrap();

    let at = |world: &World| {
        let mut browser = browser.clone();
        browser.go_to(world);
        browser
    };
    assert_eq!(
        get(&mut at(&other), "a").unwrap(),
        Some(2),
        "from the fresh cookie"
    );
    world.advance(Duration::from_secs(120)); // which is over by now
    let mut late = at(&lagging);
    assert_eq!(get(&mut late, "a").unwrap(), Some(1));
    world.advance(Duration::from_secs(30));
    lagging.store().catch_up();
    assert_eq!(get(&mut late, "a").unwrap(), Some(2));
}

#[test]
fn a_stolen_jar_dies_with_the_logout() {
    let world = World::default();
    let mut browser = world.browser();
    block_on(browser.handle(async |session| session.bind("ada"))).unwrap();
    let mut thief = browser.clone();
    let owner = |session: &mut SessionStore| Ok(session.owner()?.map(str::to_owned));
    let seen = block_on(thief.handle(async |session| owner(session))).unwrap();
    assert_eq!(seen.as_deref(), Some("ada"));
    block_on(browser.handle(async |session| session.flush().await)).unwrap();
    assert_eq!(outcome(&mut thief), Outcome::Revoked);
}

#[test]
fn a_request_says_method_headers_and_place() {
    let world = World::default();
    let mut browser = world.browser();
    let login = Request::post("/login")
        .with_header("User-Agent", "Firefox")
        .with_place("NL");
    block_on(browser.send(login, async |session| session.bind("ada"))).unwrap();
    let devices = block_on(world.sessions().list("ada")).unwrap();
    assert_eq!(devices[0].user_agent.as_deref(), Some("Firefox"));
    assert_eq!(devices[0].place.as_deref(), Some("NL"));

    // SameSite=Lax keeps the cookie from a form of another site.
    let forged = Request::post("/transfer").with_header("sec-fetch-site", "cross-site");
    let seen = block_on(browser.send(forged, async |session| session.outcome()));
    assert_eq!(seen.unwrap(), Outcome::New);
    let own = Request::post("/transfer").with_header("sec-fetch-site", "same-origin");
    let seen = block_on(browser.send(own, async |session| session.outcome()));
    assert_eq!(seen.unwrap(), Outcome::Loaded);
}

#[test]
fn a_path_that_the_cookie_does_not_cover_gets_none() {
    let settings = Settings::default()
        .with_cookie_path("/shop")
        .with_cookie_name("__Secure-shop");
    let world = World::new(settings);
    let mut browser = world.browser();
    set(&mut browser, "a", 1).unwrap();
    assert_eq!(
        get(&mut browser, "a").unwrap(),
        None,
        "/ is not below /shop"
    );
    let page = Request::get("/shop/cart?full");
    let found = block_on(browser.send(page, async |session| session.get::<u32>("a")));
    assert_eq!(found.unwrap(), Some(1));
}

#[test]
#[should_panic(expected = "with_cookie_age")]
fn a_world_of_illegal_settings_says_which() {
    let _ = World::new(Settings::default().with_cookie_age(Duration::ZERO));
}
