//! The layer and the extractors for axum, on the host.

#![cfg(all(not(target_arch = "wasm32"), feature = "axum"))]
#![allow(
    clippy::panic,
    clippy::unwrap_used,
    missing_docs,
    reason = "a test program"
)]

use std::cell::Cell;
use std::convert::Infallible;
use std::error::Error;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, Request, Response, StatusCode};
use axum::response::IntoResponse;
use axum::routing::{get, post};
use edge_session::axum::{
    LazySession, MissingSessionLayer, Place, Session, SessionLayer, SharedSessions,
};
use edge_session::connector::OperationCounts;
use edge_session::testing::{Browser, Request as Visit, World};
use edge_session::{AsSessionError, ErrorCode, SessionError, SessionStore, Settings};
use futures_util::future::{FutureExt as _, LocalBoxFuture, join};
use tower_layer::Layer as _;
use tower_service::Service;

/// Runs a future that waits only for this thread. A test that would hang fails.
fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..1_000 {
        if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
            return output;
        }
    }
    panic!("it waits for ever");
}

/// The response that a browser got.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    text: String,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// The code of a problem document.
    fn code(&self) -> &str {
        assert_eq!(self.header("content-type"), "application/problem+json");
        let (_, rest) = self.text.split_once(r#""code":""#).unwrap();
        rest.split('"').next().unwrap()
    }
}

async fn send(app: &Router, browser: &mut Browser, visit: &Visit) -> Answer {
    use edge_session::RequestHead as _;
    let path = visit.header("path").unwrap();
    let mut request = Request::builder().method(&*visit.method()).uri(path);
    if let Some(cookies) = browser.cookie_header(visit) {
        request = request.header("cookie", cookies);
    }
    for name in ["user-agent", "sec-fetch-site"] {
        if let Some(value) = visit.header(name) {
            request = request.header(name, value);
        }
    }
    if let Some(place) = visit.place() {
        request = request.extension(Place::new(place));
    }
    let request = request.body(Body::empty()).unwrap();
    let response = app.clone().call(request).await.unwrap();
    let (head, body) = response.into_parts();
    let cookies = head.headers.get_all("set-cookie").iter();
    browser.receive(cookies.map(|cookie| cookie.to_str().unwrap().to_owned()));
    let body = to_bytes(body, 1 << 20).await.unwrap();
    Answer {
        status: head.status,
        headers: head.headers,
        text: String::from_utf8(body.to_vec()).unwrap(),
    }
}

fn visit(method: &str, path: &str) -> Visit {
    Visit::new(method, path).with_header("path", path)
}

/// A `GET` as the browser sends it.
fn page(app: &Router, browser: &mut Browser, path: &str) -> Answer {
    block_on(send(app, browser, &visit("GET", path)))
}

fn press(app: &Router, browser: &mut Browser, path: &str) -> Answer {
    block_on(send(app, browser, &visit("POST", path)))
}

async fn views(session: Session) -> Result<String, SessionError> {
    session
        .with(async |session| {
            let views = session.get::<u32>("views")?.unwrap_or(0) + 1;
            session.set("views", views)?;
            Ok(views.to_string())
        })
        .await
}

async fn login(Path(user): Path<String>, session: Session) -> Result<(), SessionError> {
    session.with(async |session| session.bind(&user)).await
}

async fn devices(
    State(sessions): State<SharedSessions>,
    session: Session,
) -> Result<String, SessionError> {
    session
        .with(async |session| {
            let owner = session.owner()?.unwrap_or_default();
            let devices = sessions.list(owner).await?;
            Ok(format!(
                "{:?}",
                devices.iter().map(|it| &it.place).collect::<Vec<_>>()
            ))
        })
        .await
}

async fn log_out(
    State(sessions): State<SharedSessions>,
    Path(user): Path<String>,
) -> Result<(), SessionError> {
    sessions
        .with(async |sessions| sessions.revoke_all(&user).await)
        .await
}

fn app(world: &World) -> Router {
    let sessions = SharedSessions::from(world.sessions());
    Router::new()
        .route("/", get(views))
        .route("/about", get(async || "about us"))
        .route("/login/{user}", post(login))
        .route("/devices", get(devices))
        .route("/log-out/{user}", post(log_out))
        .layer(SessionLayer::new(&sessions))
        .with_state(sessions)
}

/// A router with one more route, without state.
fn with_route(world: &World, route: axum::routing::MethodRouter) -> Router {
    let router = Router::new().route("/", get(views)).route("/it", route);
    router.layer(SessionLayer::new(world.sessions()))
}

#[test]
fn axum_keeps_a_session_for_each_visitor() {
    let world = World::default();
    let app = app(&world);
    let (mut ada, mut bob) = (world.browser(), world.browser());
    let views = |browser: &mut Browser| page(&app, browser, "/");
    assert_eq!(views(&mut ada).text, "1");
    let second = views(&mut ada);
    assert_eq!(second.text, "2");
    assert_eq!(second.header("cache-control"), "no-store");
    assert_eq!(second.header("vary"), "Cookie");
    assert_eq!(views(&mut bob).text, "1");
    assert!(bob.refused().is_empty(), "{:?}", bob.refused());
}

#[test]
fn an_axum_route_without_a_session_costs_nothing() {
    let world = World::default();
    let app = app(&world);
    let mut browser = world.browser();
    page(&app, &mut browser, "/");
    world.store().reset_operations();
    let about = page(&app, &mut browser, "/about");
    assert_eq!(about.text, "about us");
    let headers: Vec<_> = about.headers.keys().map(|name| name.as_str()).collect();
    assert_eq!(headers, ["content-type", "content-length"]);
    assert_eq!(world.store().operations(), OperationCounts::default());
}

#[test]
fn sessions_are_the_state_of_a_router() {
    let world = World::new(Settings::default().with_server_timing(true));
    let app = app(&world);
    let mut browser = world.browser();
    let from = visit("POST", "/login/ada").with_place("NL");
    block_on(send(&app, &mut browser, &from));
    let devices = page(&app, &mut browser, "/devices");
    assert_eq!(devices.text, r#"[Some("NL")]"#);
    // Operations that the handler starts through the state are counted for its request.
    assert!(
        devices.header("server-timing").ends_with("list 1\""),
        "{}",
        devices.header("server-timing")
    );

    let mut admin = world.browser();
    let done = press(&app, &mut admin, "/log-out/ada");
    assert_eq!((done.status, done.header("vary")), (StatusCode::OK, ""));
    assert_eq!(page(&app, &mut browser, "/").code(), "revoked");
}

#[test]
fn extractors_of_one_request_share_a_session_and_none_waits_for_ever() {
    async fn handler(
        one: Session,
        two: Session,
        lazy: LazySession,
    ) -> Result<String, SessionError> {
        let add = |session: Session| async move {
            session
                .with(async |session| {
                    let sum = session.get::<u32>("sum")?.unwrap_or(0);
                    pause().await;
                    session.set("sum", sum + 1)
                })
                .await
        };
        // One after the other, and in parallel.
        add(one.clone()).await?;
        add(two.clone()).await?;
        let (first, second) = join(add(one.clone()), add(two.clone())).await;
        first.and(second)?;
        // A dropped one releases the session.
        {
            let mut given_up = pin!(add(one.clone()));
            let polled = poll_fn(|context| Poll::Ready(given_up.as_mut().poll(context))).await;
            assert!(polled.is_pending());
        }
        // One inside another.
        one.with(async |session| {
            let inner = two.with(async |_| Ok::<_, SessionError>(())).await;
            let inner = inner.unwrap_err();
            assert!(inner.message().contains("; use the session"), "{inner}");
            let code = inner.code();
            let lazy = lazy.with(async |_| Ok::<_, SessionError>(())).await;
            let sum = session.require::<u32>("sum")?;
            Ok(format!("{sum} {code} {}", lazy.unwrap_err().code()))
        })
        .await
    }
    let world = World::default();
    let app = with_route(&world, get(handler));
    let answer = page(&app, &mut world.browser(), "/it");
    assert_eq!(answer.text, "4 unsupported unsupported");
}

/// Yields once.
async fn pause() {
    let has_paused = Rc::new(Cell::new(false));
    poll_fn(|context| {
        if has_paused.replace(true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

#[test]
fn a_lazy_session_is_read_when_the_handler_says_so() {
    async fn handler(headers: HeaderMap, session: LazySession) -> Result<String, SessionError> {
        session
            .with(async |session| {
                if headers.contains_key("user-agent") {
                    session.load().await?;
                }
                Ok(match session.get::<u32>("views") {
                    Ok(views) => format!("{views:?}"),
                    Err(error) => error.code().to_string(),
                })
            })
            .await
    }
    let world = World::default();
    let app = with_route(&world, get(handler));
    let mut browser = world.browser();
    page(&app, &mut browser, "/");
    world.store().reset_operations();
    let mut elsewhere = browser.clone();
    let elsewhere_world = world.elsewhere();
    elsewhere.go_to(&elsewhere_world);
    let app = with_route(&elsewhere_world, get(handler));
    assert_eq!(page(&app, &mut elsewhere, "/it").text, "not_loaded");
    assert_eq!(elsewhere_world.store().operations().reads, 0);
    let loads = visit("GET", "/it").with_header("user-agent", "Firefox");
    assert_eq!(block_on(send(&app, &mut elsewhere, &loads)).text, "Some(1)");
    assert_eq!(elsewhere_world.store().operations().reads, 1);
}

#[test]
fn without_the_layer_there_is_no_session() {
    async fn optional(session: Option<Session>, lazy: Option<LazySession>) -> String {
        format!("{} {}", session.is_some(), lazy.is_some())
    }
    async fn tried(session: Result<Session, MissingSessionLayer>) -> String {
        session.unwrap_err().to_string()
    }
    let bare = Router::new()
        .route("/", get(views))
        .route("/optional", get(optional))
        .route("/tried", get(tried));
    let world = World::default();
    let mut browser = world.browser();
    let refused = page(&bare, &mut browser, "/");
    assert_eq!(refused.status, StatusCode::INTERNAL_SERVER_ERROR);
    assert!(
        refused.text.contains("add SessionLayer"),
        "{}",
        refused.text
    );
    assert_eq!(page(&bare, &mut browser, "/tried").text, refused.text);
    assert_eq!(page(&bare, &mut browser, "/optional").text, "false false");
    let app = bare.layer(SessionLayer::new(world.sessions()));
    assert_eq!(page(&app, &mut browser, "/optional").text, "true true");
}

/// A typical error type of an application.
struct Problem(Box<dyn Error + Send + Sync>);

impl<E: Into<Box<dyn Error + Send + Sync>>> From<E> for Problem {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> axum::response::Response {
        match self.0.as_session_error() {
            Some(error) => error.clone().into_response(),
            None => (StatusCode::IM_A_TEAPOT, self.0.to_string()).into_response(),
        }
    }
}

#[test]
fn a_handler_that_fails_by_its_session_is_answered_with_the_status_of_the_code() {
    async fn own(session: Session) -> Result<(), SessionError> {
        session
            .with(async |session| {
                session.set("views", 100)?;
                session.require_recent_auth(Duration::from_secs(300))
            })
            .await
    }
    async fn carried(session: Session) -> Result<String, Problem> {
        let text = session
            .with(async |session| {
                session.set("views", "many")?;
                Ok::<_, Problem>(session.require::<u32>("views")?.to_string())
            })
            .await?;
        Ok(text)
    }
    async fn destroyed(session: Session) -> Result<(), SessionError> {
        session
            .with(async |session| {
                session.destroy().await?;
                session.set("views", 1)
            })
            .await
    }
    async fn unrelated(session: Session) -> Result<(), Problem> {
        session
            .with(async |session| session.set("seen", true))
            .await?;
        Err("sold out".into())
    }
    let world = World::default();
    let routes = get(own).put(carried).delete(destroyed).post(unrelated);
    let app = with_route(&world, routes);
    let mut browser = world.browser();
    page(&app, &mut browser, "/");
    let mut ask = |method| block_on(send(&app, &mut browser, &visit(method, "/it")));

    let refused = ask("GET");
    assert_eq!(
        (refused.status.as_u16(), refused.code()),
        (401, "reauth_required")
    );
    assert_eq!(refused.header("cache-control"), "no-store");
    let refused = ask("PUT");
    let status = ErrorCode::WrongType.status();
    assert_eq!(
        (refused.status.as_u16(), refused.code()),
        (status, "wrong_type")
    );
    let sold_out = ask("POST");
    assert_eq!(
        (sold_out.status.as_u16(), &*sold_out.text),
        (418, "sold out")
    );

    // After an error of the session the changes are dropped; after the application's own error
    // response they are saved.
    assert_eq!(page(&app, &mut browser, "/").text, "2");
    let seen = block_on(browser.handle(async |session| session.get::<bool>("seen")));
    assert_eq!(seen.unwrap(), Some(true));

    // Operations that took effect immediately stay.
    let gone = block_on(send(&app, &mut browser, &visit("DELETE", "/it")));
    assert_eq!((gone.status.as_u16(), gone.code()), (409, "destroyed"));
    assert_eq!(browser.cookie("__Host-session"), None);
}

#[test]
fn a_commit_that_fails_is_the_answer_in_axum() {
    let world = World::default();
    let app = app(&world);
    world.store().outage();
    let answer = page(&app, &mut world.browser(), "/");
    assert_eq!(
        (answer.status.as_u16(), answer.code()),
        (503, "unavailable")
    );
    assert_eq!(answer.header("retry-after"), "5");
}

#[test]
fn a_layer_within_a_layer_leaves_the_session_to_the_outer_one() {
    let world = World::default();
    let app = app(&world).layer(SessionLayer::new(world.sessions()));
    let mut browser = world.browser();
    for views in ["1", "2"] {
        let answer = page(&app, &mut browser, "/");
        assert_eq!(answer.text, views);
        assert_eq!(answer.headers.get_all("vary").iter().count(), 1);
    }
    assert_eq!(world.sessions().stats().requests, 2);
    // Other sessions are independent.
    let other = World::default();
    let app = Router::new().route("/", get(views));
    let app = app.layer(SessionLayer::new(world.sessions()));
    let app = app.layer(SessionLayer::new(other.sessions()));
    assert_eq!(page(&app, &mut browser, "/").text, "3");
}

#[test]
fn on_another_thread_the_answer_says_what_to_do() {
    let world = World::default();
    let app = app(&world);
    let there = app.clone();
    let answered = std::thread::spawn(move || {
        let mut browser = World::default().browser();
        page(&there, &mut browser, "/")
    });
    let answer = answered.join().unwrap();
    assert_eq!((answer.status.as_u16(), answer.code()), (500, "config"));
    assert!(
        answer.text.contains("with one thread, for example #["),
        "{}",
        answer.text
    );
}

/// A service that knows nothing of axum: its error is `Failure`, its body text.
#[derive(Clone)]
struct Plain;

#[derive(Debug)]
enum Failure {
    Session(SessionError),
    Other,
}

impl From<SessionError> for Failure {
    fn from(error: SessionError) -> Self {
        Self::Session(error)
    }
}

impl AsSessionError for Failure {
    fn as_session_error(&self) -> Option<&SessionError> {
        match self {
            Self::Session(error) => Some(error),
            Self::Other => None,
        }
    }
}

impl Service<Request<()>> for Plain {
    type Response = Response<String>;
    type Error = Failure;
    type Future = LocalBoxFuture<'static, Result<Response<String>, Failure>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<()>) -> Self::Future {
        let session = request.extensions().get::<LazySession>().unwrap().clone();
        session
            .with(async move |session| {
                session.load().await?;
                session.set("seen", true)?;
                match request.uri().path() {
                    "/" => Ok(Response::new("plain".to_owned())),
                    "/vault" => Err(Failure::Session(
                        session
                            .require_recent_auth(Duration::from_secs(300))
                            .unwrap_err(),
                    )),
                    _ => Err(Failure::Other),
                }
            })
            .boxed_local()
    }
}

#[test]
fn the_layer_takes_any_service_of_http() {
    let world = World::default();
    let mut service = SessionLayer::new(world.sessions()).layer(Plain);
    let mut call = |path| {
        let request = Request::builder().uri(path).body(()).unwrap();
        block_on(service.call(request))
    };
    let vault = call("/vault").unwrap();
    assert_eq!(vault.status(), StatusCode::UNAUTHORIZED);
    assert!(vault.body().contains("reauth_required"), "{}", vault.body());
    assert!(matches!(call("/else"), Err(Failure::Other)));
    assert!(world.store().keys().is_empty(), "a failure saves nothing");
    let plain = call("/").unwrap();
    assert_eq!(plain.body(), "plain");
    assert_eq!(plain.headers().get_all("set-cookie").iter().count(), 2);
}

/// Changes the session of the layer around it, before the service has its turn.
struct Counting<S>(S);

impl<S> Service<Request<()>> for Counting<S>
where
    S: Service<Request<()>, Response = Response<String>, Error = Failure>,
    S::Future: 'static,
{
    type Response = Response<String>;
    type Error = Failure;
    type Future = LocalBoxFuture<'static, Result<Response<String>, Failure>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<()>) -> Self::Future {
        let session = request.extensions().get::<LazySession>().unwrap().clone();
        let answer = self.0.call(request);
        async move {
            let change = async |session: &mut SessionStore| {
                session.load().await?;
                session.set("visits", 1)
            };
            session.with(change).await?;
            answer.await
        }
        .boxed_local()
    }
}

#[test]
fn the_error_of_a_session_is_in_the_extensions_for_the_layers_around() {
    let (outer, inner) = (World::default(), World::default());
    let service = SessionLayer::new(inner.sessions()).layer(Plain);
    let mut service = SessionLayer::new(outer.sessions()).layer(Counting(service));
    let mut call = |path| {
        let request = Request::builder().uri(path).body(()).unwrap();
        let response = block_on(service.call(request)).unwrap();
        let code = response.extensions().get().map(SessionError::code);
        (response.status().as_u16(), code)
    };
    assert_eq!(call("/vault"), (401, Some(ErrorCode::ReauthRequired)));
    assert!(outer.store().keys().is_empty(), "the changes are dropped");
    inner.store().outage();
    assert_eq!(call("/"), (503, Some(ErrorCode::Unavailable)));
    assert!(outer.store().keys().is_empty(), "the changes are dropped");
    inner.store().recover();
    assert_eq!(call("/"), (200, None));
    assert!(!outer.store().keys().is_empty());
}

#[test]
fn a_service_that_cannot_fail_fails_by_no_session() {
    fn carries<E: AsSessionError>(result: &Result<(), E>) -> bool {
        matches!(result, Err(error) if error.as_session_error().is_some())
    }
    assert!(!carries(&Ok::<(), Infallible>(())));
}
