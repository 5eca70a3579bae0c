use std::time::Duration;

use edge_session::connector::{ManualClock, MemoryConnector};
use edge_session::testing::World;
use edge_session::{CookieHeader, ErrorCode, SecretRing, SessionError, Sessions};
use futures_executor::block_on;

#[test]
fn a_cart_is_kept_for_a_day_without_a_request_and_no_longer() -> Result<(), SessionError> {
    block_on(async {
        let world = World::default();
        let mut browser = world.browser();
        browser.handle(async |it| it.set("cart", "apple")).await?;
        world.advance(Duration::from_secs(86_399));
        let cart = browser.handle(async |it| it.get::<String>("cart")).await?;
        assert_eq!(cart.as_deref(), Some("apple"));
        world.advance(Duration::from_secs(86_400));
        let cart = browser.handle(async |it| it.get::<String>("cart")).await?;
        assert_eq!(cart, None);
        Ok(())
    })
}

#[test]
fn in_an_outage_a_save_fails_and_nothing_is_lost() -> Result<(), SessionError> {
    block_on(async {
        let world = World::default();
        let mut browser = world.browser();
        browser.handle(async |it| it.set("cart", "apple")).await?;
        world.store().outage();
        let failed = browser.handle(async |it| it.set("cart", "pear")).await;
        assert_eq!(failed.unwrap_err().code(), ErrorCode::Unavailable);
        world.store().recover();
        let cart = browser.handle(async |it| it.get::<String>("cart")).await?;
        assert_eq!(cart.as_deref(), Some("apple"));
        Ok(())
    })
}

/// Both the store and the sessions get the clock: with only one of them, expiry is not tested.
#[test]
fn code_that_makes_its_own_sessions_gets_a_store_in_memory() -> Result<(), SessionError> {
    block_on(async {
        let clock = ManualClock::new(1_900_000_000_000);
        let store = MemoryConnector::with_clock(clock.clone());
        let secrets = SecretRing::parse(&('A'..='z').collect::<String>())?;
        let sessions = Sessions::builder(store, secrets)
            .clock(clock.clone())
            .build()?;
        let mut session = sessions.load(CookieHeader::none()).await;
        session.set_expiry(60)?;
        session.set("cart", "apple")?;
        clock.advance(60_000);
        assert_eq!(session.save().await.unwrap_err().code(), ErrorCode::Expired);
        Ok(())
    })
}
