//! The routes of the shop, without a server: sessions are in memory, and the clock is the test's.

use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Request, StatusCode, header};
use edge_session::connector::OperationCounts;
use edge_session::testing::{Browser, Request as Visit, World};
use futures_executor::block_on;
use tower_service::Service as _;

/// One who visits the shop with a browser of their own.
struct Visitor {
    app: Router,
    browser: Browser,
    /// The token of the last form.
    csrf: String,
}

impl Visitor {
    fn new(world: &World) -> Self {
        Self {
            app: super::app(world.sessions().into()),
            browser: world.browser(),
            csrf: String::new(),
        }
    }

    fn get(&mut self, path: &str) -> (StatusCode, String) {
        self.visit(&Visit::get(path), path, String::new())
    }

    /// Sends a form, and follows the redirect.
    fn post(&mut self, path: &str, fields: &str) -> (StatusCode, String) {
        let form = format!("csrf={}&{fields}", self.csrf);
        match self.visit(&Visit::post(path), path, form) {
            (StatusCode::SEE_OTHER, to) => self.get(&to),
            refused => refused,
        }
    }

    /// The status, and the page or where it is.
    fn visit(&mut self, visit: &Visit, path: &str, form: String) -> (StatusCode, String) {
        let method = if form.is_empty() { "GET" } else { "POST" };
        let cookies = self.browser.cookie_header(visit).unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::COOKIE, cookies)
            .header(header::USER_AGENT, "Firefox")
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Body::from(form))
            .unwrap();
        let (head, body) = block_on(self.app.call(request)).unwrap().into_parts();
        let cookies = head.headers.get_all(header::SET_COOKIE);
        let cookies = cookies.iter().map(|cookie| cookie.to_str().unwrap());
        self.browser.receive(cookies);
        if let Some(to) = head.headers.get(header::LOCATION) {
            return (head.status, to.to_str().unwrap().to_owned());
        }
        let body = block_on(to_bytes(body, usize::MAX)).unwrap();
        let page = String::from_utf8(body.to_vec()).unwrap();
        if let Some((_, rest)) = page.split_once("name=csrf value=\"") {
            self.csrf = rest.split('"').next().unwrap().to_owned();
        }
        (head.status, page)
    }
}

/// A visitor who has logged in.
fn user(world: &World) -> Visitor {
    let mut visitor = Visitor::new(world);
    visitor.get("/");
    visitor.post("/login", "user=ada");
    visitor
}

#[test]
fn a_cart_in_axum_stays_when_its_visitor_logs_in() {
    let world = World::default();
    let mut visitor = Visitor::new(&world);
    visitor.get("/");
    let (_, page) = visitor.post("/cart", "item=apple");
    assert!(page.contains("Cart: apple"), "{page}");

    let (_, page) = visitor.post("/login", "user=ada");
    assert!(
        page.contains("Hello, ada.") && page.contains("Cart: apple"),
        "{page}"
    );
    assert!(
        page.contains("Welcome, ada."),
        "a notice after the redirect: {page}"
    );
    assert!(!visitor.get("/").1.contains("Welcome"), "and only once");

    let (_, page) = visitor.post("/logout", "");
    assert!(
        page.contains("Goodbye.") && !page.contains("Cart: apple"),
        "{page}"
    );
}

#[test]
fn the_account_in_axum_needs_a_login_of_the_last_minutes() {
    let world = World::default();
    let mut visitor = user(&world);
    assert_eq!(visitor.get("/account").0, StatusCode::OK);
    world.advance(Duration::from_secs(301));
    let (status, page) = visitor.get("/account");
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    assert!(page.contains("Log in again"), "{page}");
    visitor.post("/login", "user=ada");
    assert_eq!(visitor.get("/account").0, StatusCode::OK);
}

#[test]
fn a_user_of_axum_logs_out_everywhere() {
    let world = World::default();
    let (mut phone, mut laptop) = (user(&world), user(&world));
    let (_, page) = phone.get("/devices");
    assert_eq!(page.matches("Firefox").count(), 2, "{page}");
    assert_eq!(page.matches("(this one)").count(), 1, "{page}");

    let (_, page) = phone.post("/logout-everywhere", "");
    assert!(page.contains("You are logged out everywhere."), "{page}");
    let (_, page) = laptop.get("/");
    assert!(page.contains("You were logged out."), "{page}");
    assert_eq!(
        laptop.get("/devices"),
        (StatusCode::SEE_OTHER, "/".to_owned())
    );
    let (_, page) = laptop.post("/login", "user=ada");
    assert!(page.contains("Hello, ada."), "{page}");
}

#[test]
fn a_form_of_another_site_changes_nothing_in_axum() {
    let world = World::default();
    let mut visitor = user(&world);
    visitor.csrf = "guessed".to_owned();
    let (status, _) = visitor.post("/cart", "item=apple");
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    assert!(!visitor.get("/").1.contains("Cart: apple"));
}

#[test]
fn the_static_page_of_axum_costs_nothing() {
    let world = World::default();
    let mut visitor = user(&world);
    world.store().reset_operations();
    assert!(visitor.get("/about").1.contains("fruit"));
    assert_eq!(world.store().operations(), OperationCounts::default());
}
