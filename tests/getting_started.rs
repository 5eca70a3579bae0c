//! The tests that docs/getting-started-rust.md shows.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::time::Duration;

use edge_session::testing::World;
use edge_session::{ErrorCode, Outcome, SessionError, SessionStore, Settings};
use futures_executor::block_on;

// --- the application

fn add_to_cart(session: &mut SessionStore, item: &str) -> Result<usize, SessionError> {
    let mut cart: Vec<String> = session.get("cart")?.unwrap_or_default();
    cart.push(item.to_owned());
    session.set("cart", &cart)?;
    Ok(cart.len())
}

fn settings() -> Settings {
    Settings::default().with_expire_at_browser_close(true)
}

// --- its tests

#[test]
fn a_cart_is_kept_until_the_browser_closes() -> Result<(), SessionError> {
    block_on(async {
        let mut browser = World::new(settings()).browser();
        assert_eq!(
            browser
                .handle(async |session| add_to_cart(session, "apple"))
                .await?,
            1
        );
        assert_eq!(
            browser
                .handle(async |session| add_to_cart(session, "pear"))
                .await?,
            2
        );
        browser.close();
        assert_eq!(
            browser
                .handle(async |session| add_to_cart(session, "plum"))
                .await?,
            1
        );
        Ok(())
    })
}

#[test]
fn a_login_is_over_after_a_day_without_a_request() -> Result<(), SessionError> {
    block_on(async {
        let world = World::new(settings());
        let mut browser = world.browser();
        browser.handle(async |session| session.bind("ada")).await?;

        world.advance(Duration::from_secs(86_400));
        let outcome = browser.handle(async |session| session.outcome()).await?;
        assert_eq!(outcome, Outcome::Expired);
        Ok(())
    })
}

#[test]
fn a_thief_is_logged_out_with_the_owner() -> Result<(), SessionError> {
    block_on(async {
        let world = World::new(settings());
        let mut browser = world.browser();
        browser.handle(async |session| session.bind("ada")).await?;
        let mut thief = browser.clone(); // of every cookie
        world.sessions().revoke_all("ada").await?;

        let outcome = thief.handle(async |session| session.outcome()).await?;
        assert_eq!(outcome, Outcome::Revoked);
        Ok(())
    })
}

#[test]
fn a_cart_that_cannot_be_saved_is_an_error() -> Result<(), SessionError> {
    block_on(async {
        let world = World::new(settings());
        let mut browser = world.browser();
        browser
            .handle(async |session| add_to_cart(session, "apple"))
            .await?;

        world.store().outage();
        let error = browser
            .handle(async |session| add_to_cart(session, "pear"))
            .await;
        assert_eq!(error.unwrap_err().code(), ErrorCode::Unavailable);

        world.store().recover();
        assert_eq!(
            browser
                .handle(async |session| add_to_cart(session, "pear"))
                .await?,
            2
        );
        Ok(())
    })
}
