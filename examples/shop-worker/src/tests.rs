//! The pages of the shop, without a platform: sessions are in memory, and the clock is the test's.

use std::time::Duration;

use edge_session::testing::{Browser, Request, World};
use edge_session::{ErrorCode, SessionError, SessionStore};
use futures_executor::block_on;

use crate::shop::{self, Fields, Page};

/// One who visits the shop with a browser of their own.
struct Visitor {
    world: World,
    browser: Browser,
    /// The token of the last form.
    csrf: String,
}

type Shown = Result<(u16, String), SessionError>;

impl Visitor {
    fn new(world: &World) -> Self {
        Self {
            world: world.clone(),
            browser: world.browser(),
            csrf: String::new(),
        }
    }

    fn get(
        &mut self,
        page: impl AsyncFnOnce(&mut SessionStore) -> Result<Page, SessionError>,
    ) -> Shown {
        let request = Request::get("/").with_header("user-agent", "Firefox");
        self.visit(request, page)
    }

    /// Sends a form, and follows the redirect.
    fn post(
        &mut self,
        [item, user]: [&str; 2],
        act: impl AsyncFnOnce(&mut SessionStore, Fields) -> Result<Page, SessionError>,
    ) -> Shown {
        let fields = Fields {
            csrf: self.csrf.clone(),
            item: item.to_owned(),
            user: user.to_owned(),
        };
        let request = Request::post("/").with_header("user-agent", "Firefox");
        self.visit(request, async |session| act(session, fields).await)
    }

    fn visit(
        &mut self,
        request: Request,
        page: impl AsyncFnOnce(&mut SessionStore) -> Result<Page, SessionError>,
    ) -> Shown {
        match block_on(self.browser.send(request, page))? {
            Page::See(path) => {
                assert_eq!(path, "/");
                self.home()
            }
            Page::Html(status, page) => {
                if let Some((_, rest)) = page.split_once("name=csrf value=\"") {
                    self.csrf = rest.split('"').next().unwrap().to_owned();
                }
                Ok((status, page))
            }
        }
    }

    fn home(&mut self) -> Shown {
        self.get(async |session| shop::home(session))
    }

    fn account(&mut self) -> Shown {
        self.get(async |session| shop::account(session))
    }

    fn devices(&mut self) -> Shown {
        let world = self.world.clone();
        self.get(async |session| shop::devices(session, world.sessions()).await)
    }

    fn add(&mut self, item: &str) -> Shown {
        self.post([item, ""], async |session, fields| {
            shop::add_to_cart(session, fields)
        })
    }

    fn login(&mut self) -> Shown {
        self.post(["", "ada"], async |session, fields| {
            shop::login(session, fields)
        })
    }
}

/// A visitor who has logged in.
fn user(world: &World) -> Visitor {
    let mut visitor = Visitor::new(world);
    visitor.home().unwrap();
    visitor.login().unwrap();
    visitor
}

#[test]
fn a_cart_stays_when_its_visitor_logs_in() -> Result<(), SessionError> {
    let world = World::default();
    let mut visitor = Visitor::new(&world);
    visitor.home()?;
    let (_, page) = visitor.add("apple")?;
    assert!(page.contains("Cart: apple"), "{page}");

    let (_, page) = visitor.login()?;
    assert!(
        page.contains("Hello, ada.") && page.contains("Cart: apple"),
        "{page}"
    );
    assert!(
        page.contains("Welcome, ada."),
        "a notice after the redirect: {page}"
    );
    assert!(!visitor.home()?.1.contains("Welcome"), "and only once");

    let (_, page) = visitor.post(["", ""], async |session, fields| {
        shop::logout(session, fields).await
    })?;
    assert!(
        page.contains("Goodbye.") && !page.contains("Cart: apple"),
        "{page}"
    );
    Ok(())
}

#[test]
fn the_account_needs_a_login_of_the_last_minutes() -> Result<(), SessionError> {
    let world = World::default();
    let mut visitor = user(&world);
    assert_eq!(visitor.account()?.0, 200);
    world.advance(Duration::from_secs(301));
    let (status, page) = visitor.account()?;
    assert_eq!(status, 401);
    assert!(page.contains("Log in again"), "{page}");
    visitor.login()?;
    assert_eq!(visitor.account()?.0, 200);
    Ok(())
}

#[test]
fn a_user_logs_out_everywhere() -> Result<(), SessionError> {
    let world = World::default();
    let (mut phone, mut laptop) = (user(&world), user(&world));
    let (_, page) = phone.devices()?;
    assert_eq!(page.matches("Firefox").count(), 2, "{page}");
    assert_eq!(page.matches("(this one)").count(), 1, "{page}");

    let (_, page) = phone.post(["", ""], async |session, fields| {
        shop::logout_everywhere(session, world.sessions(), fields).await
    })?;
    assert!(page.contains("You are logged out everywhere."), "{page}");
    let (_, page) = laptop.home()?;
    assert!(page.contains("You were logged out."), "{page}");
    assert!(
        laptop.devices()?.1.contains("Log in"),
        "it is the home page"
    );
    let (_, page) = laptop.login()?;
    assert!(page.contains("Hello, ada."), "{page}");
    Ok(())
}

#[test]
fn a_form_of_another_site_changes_nothing() -> Result<(), SessionError> {
    let world = World::default();
    let mut visitor = user(&world);
    visitor.csrf = "guessed".to_owned();
    assert_eq!(
        visitor.add("apple").unwrap_err().code(),
        ErrorCode::InvalidValue
    );
    assert!(!visitor.home()?.1.contains("Cart: apple"));
    Ok(())
}
