//! The recipes in Rust, which docs/recipes.md shows.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests"
)]

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use edge_session::testing::{Browser, World};
use edge_session::{ErrorCode, SecretRing, SessionError, SessionKey, Sessions};
use futures_executor::block_on;

#[path = "../examples/recipes/alerts.rs"]
mod alerts;
#[path = "../examples/recipes/cart.rs"]
mod cart;
#[path = "../examples/recipes/devices.rs"]
mod devices;
#[path = "../examples/recipes/flash.rs"]
mod flash;
#[path = "../examples/recipes/login.rs"]
mod login;
#[path = "../examples/recipes/other_store.rs"]
mod other_store;
#[path = "../examples/recipes/remember_me.rs"]
mod remember_me;
#[path = "../examples/recipes/step_up.rs"]
mod step_up;
#[path = "../examples/recipes/tests.rs"]
mod tests;
#[path = "../examples/recipes/two_apps.rs"]
mod two_apps;

const DAY: Duration = Duration::from_secs(86_400);

fn owner(browser: &mut Browser) -> Option<String> {
    block_on(browser.handle(async |it| Ok(it.owner()?.map(str::to_owned)))).unwrap()
}

fn bind(browser: &mut Browser, user: &str) {
    block_on(browser.handle(async |it| it.bind(user))).unwrap();
}

#[test]
fn a_login_is_limited_by_address_and_by_name_before_the_password_is_checked() {
    let asked = RefCell::new(Vec::new());
    let checked = Cell::new(0);
    let mut browser = World::default().browser();
    let mut attempt = |name: &str, password: &str, is_limited: bool| {
        block_on(browser.handle(async |it| {
            let attempt = login::Attempt {
                csrf: it.csrf_token()?,
                name: name.to_owned(),
                password: password.to_owned(),
                address: "192.0.2.1".to_owned(),
            };
            let is_allowed = async |key| {
                asked.borrow_mut().push(key);
                !is_limited
            };
            let verify = async |name: &str, password: &str| {
                checked.set(checked.get() + 1);
                (name == "ada" && password == "right").then(|| "u1".to_owned())
            };
            login::log_in(it, &attempt, is_allowed, verify).await
        }))
        .unwrap()
    };
    assert_eq!(attempt("Ada", "wrong", false), 401);
    assert_eq!(attempt("Ada", "right", true), 429);
    assert_eq!(attempt("Ada", "right", false), 303);
    assert_eq!(checked.get(), 2, "no password is checked after the limit");
    assert_eq!(asked.borrow()[..2], ["address 192.0.2.1", "name ada"]);
    assert_eq!(owner(&mut browser).as_deref(), Some("u1"));
}

#[test]
fn a_login_is_remembered_for_30_days_or_until_the_browser_closes() {
    let world = World::new(remember_me::settings());
    let log_in = |remember| {
        let mut browser = world.browser();
        block_on(browser.handle(async |it| remember_me::log_in(it, "ada", remember))).unwrap();
        browser
    };
    let (mut remembered, mut other) = (log_in(true), log_in(false));
    remembered.close();
    other.close();
    assert_eq!(owner(&mut other), None);
    world.advance(29 * DAY);
    assert_eq!(owner(&mut remembered).as_deref(), Some("ada"));

    // A login without the box takes back what one with it has chosen.
    block_on(remembered.handle(async |it| remember_me::log_in(it, "ada", false))).unwrap();
    remembered.close();
    assert_eq!(owner(&mut remembered), None);
}

#[test]
fn a_payment_needs_a_recent_login() {
    let world = World::default();
    let mut browser = world.browser();
    bind(&mut browser, "ada");
    block_on(browser.handle(async |it| it.set("order", ("o1", 900)))).unwrap();
    let charged = RefCell::new(Vec::new());
    let pay = |browser: &mut Browser| {
        block_on(browser.handle(async |it| {
            let csrf = it.csrf_token()?;
            let charge =
                async |id: &str, amount| charged.borrow_mut().push((id.to_owned(), amount));
            step_up::pay(it, &csrf, charge).await
        }))
    };
    world.advance(Duration::from_secs(301));
    assert_eq!(pay(&mut browser).unwrap(), "/confirm");
    assert_eq!(charged.borrow().len(), 0);
    let confirmed = block_on(browser.handle(async |it| step_up::confirm(it)));
    assert_eq!(confirmed.unwrap(), "/pay");
    assert_eq!(pay(&mut browser).unwrap(), "/receipt");
    assert_eq!(*charged.borrow(), [("o1".to_owned(), 900)]);
    let again = pay(&mut browser).unwrap_err();
    assert_eq!(again.code(), ErrorCode::MissingKey, "the order is gone");
}

#[test]
fn devices_are_listed_and_ended_by_their_user_only() {
    let world = World::default();
    let sessions = world.sessions();
    let mut browsers = ["ada", "ada", "ada", "bob"].map(|user| {
        let mut browser = world.browser();
        bind(&mut browser, user);
        browser
    });
    let [laptop, phone, tablet, bob] = &mut browsers;
    let listed = block_on(laptop.handle(async |it| devices::devices(sessions, it).await)).unwrap();
    assert_eq!(listed.iter().filter(|(_, _, is_this)| *is_this).count(), 1);
    assert_eq!(listed.len(), 3);

    let key_of = |browser: &mut Browser| {
        block_on(browser.handle(async |it| it.session_key()))
            .unwrap()
            .unwrap()
    };
    let log_out = |browser: &mut Browser, device: Option<SessionKey>| {
        block_on(browser.handle(async |it| devices::log_out(sessions, it, device.as_ref()).await))
    };
    let foreign = log_out(laptop, Some(key_of(bob))).unwrap_err();
    assert_eq!(foreign.code(), ErrorCode::NotFound);
    log_out(laptop, Some(key_of(phone))).unwrap();
    assert_eq!(owner(phone), None);
    assert_eq!(owner(tablet).as_deref(), Some("ada"));
    log_out(laptop, None).unwrap();
    assert_eq!(
        (owner(tablet), owner(laptop).as_deref()),
        (None, Some("ada"))
    );
    assert_eq!(owner(bob).as_deref(), Some("bob"));
}

#[test]
fn a_cart_comes_along_with_the_login_and_stays_with_its_user() {
    let world = World::default();
    let mut browser = world.browser();
    let cart = |browser: &mut Browser| block_on(browser.handle(async |it| cart::cart(it))).unwrap();
    let of = |items: &[(&str, u32)]| -> cart::Cart {
        items
            .iter()
            .map(|(sku, n)| ((*sku).to_owned(), *n))
            .collect()
    };
    block_on(browser.handle(async |it| cart::add(it, "apple"))).unwrap();
    let saved = of(&[("apple", 3), ("pear", 2)]);
    block_on(browser.handle(async |it| cart::log_in(it, "ada", saved))).unwrap();
    assert_eq!(cart(&mut browser), of(&[("apple", 1), ("pear", 2)]));
    // Bob logs in on the same browser without a logout before.
    block_on(browser.handle(async |it| cart::log_in(it, "bob", of(&[])))).unwrap();
    assert_eq!(cart(&mut browser), of(&[]));
    block_on(browser.handle(async |it| {
        it.set("theme", "dark")?;
        cart::log_out(it).await
    }))
    .unwrap();
    assert_eq!((owner(&mut browser), cart(&mut browser)), (None, of(&[])));
    let theme = block_on(browser.handle(async |it| it.get::<String>("theme")));
    assert_eq!(theme.unwrap().as_deref(), Some("dark"));
}

#[test]
fn a_flash_is_shown_once() {
    let mut browser = World::default().browser();
    block_on(browser.handle(async |it| flash::save(it, "Ada"))).unwrap();
    let mut notice = || block_on(browser.handle(async |it| flash::notice(it))).unwrap();
    assert_eq!(notice().as_deref(), Some("Saved, Ada."));
    assert_eq!(notice(), None);
}

#[test]
fn two_apps_on_one_namespace_have_users_of_their_own() {
    let shop = World::new(two_apps::shop());
    let staff = shop.with_settings(two_apps::staff());
    let (mut customer, mut employee) = (shop.browser(), staff.browser());
    bind(&mut customer, "7");
    bind(&mut employee, "7");
    assert_eq!(block_on(shop.sessions().list("7")).unwrap().len(), 1);
    block_on(shop.sessions().revoke_all("7")).unwrap();
    assert_eq!(owner(&mut customer), None);
    assert_eq!(owner(&mut employee).as_deref(), Some("7"));
}

#[test]
fn a_session_moves_to_another_store_once() {
    let before = World::default();
    let after = World::default();
    let (mut old, mut new) = (before.browser(), after.browser());
    bind(&mut old, "ada");
    block_on(old.handle(async |it| it.set("cart", ["apple"]))).unwrap();
    let mut stolen = old.clone();
    let mut moved = || {
        block_on(new.handle(async |session| {
            old.handle(async |old| other_store::move_into(session, old).await)
                .await
        }))
    };
    assert!(moved().unwrap());
    assert!(!moved().unwrap());
    assert_eq!(owner(&mut stolen), None);
    assert_eq!(owner(&mut new).as_deref(), Some("ada"));
    let cart = block_on(new.handle(async |it| it.get::<Vec<String>>("cart"))).unwrap();
    assert_eq!(cart, Some(vec!["apple".to_owned()]));
}

#[test]
fn an_alert_is_a_line_and_what_is_usual_is_none() {
    let world = World::default();
    let lines = Rc::new(RefCell::new(Vec::new()));
    let log = Rc::clone(&lines);
    let sink = alerts::Alerts(move |line: &str| log.borrow_mut().push(line.to_owned()));
    let secrets = SecretRing::parse(&('A'..='z').collect::<String>()).unwrap();
    let sessions = Sessions::builder(Rc::new(world.store().clone()), secrets)
        .runtime(world.runtime())
        .events(sink)
        .build()
        .unwrap();
    let save = || -> Result<(), SessionError> {
        block_on(async {
            let mut session = sessions.load(edge_session::CookieHeader::none()).await;
            session.set("seen", true)?;
            session.save().await
        })
    };
    save().unwrap();
    assert_eq!(*lines.borrow(), [""; 0]);
    world.store().outage();
    save().unwrap_err();
    assert!(
        lines.borrow()[0].contains(r#""event":"store_error""#),
        "{lines:?}"
    );
}
