//! Sessions in an axum application: a layer that opens and commits, and extractors.
//!
//! A session is not `Send`, because Workers have one thread, but axum requires `Send`. So this file, and
//! no other, puts what axum keeps of a session into a [`SendWrapper`]. It runs in wasm, and natively on
//! a runtime with one thread.
//!
//! The layer is not tied to axum: it takes any `tower` service of `http` requests and responses.

use std::cell::Cell;
use std::convert::Infallible;
use std::fmt;
use std::future::{Future, poll_fn, ready};
use std::ops::Deref;
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context as Poller, Poll};

use axum_core::extract::{FromRequestParts, OptionalFromRequestParts};
use axum_core::response::IntoResponse;
use futures_util::lock::{Mutex, MutexGuard};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, COOKIE, RETRY_AFTER, SET_COOKIE, VARY};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use send_wrapper::SendWrapper;
use tower_layer::Layer;
use tower_service::Service;
use zeroize::Zeroizing;

use crate::face::headers::CommitHeaders;
use crate::face::sessions::Sessions;
use crate::face::store::SessionStore;
use crate::flow::freshness::Freshness;
use crate::flow::stats::Timing;
use crate::port::error::{AsSessionError, ErrorCode, SessionError};
use crate::port::request::RequestHead;

/// [`Sessions`] as the state of a router, which must be `Send` and `Sync`.
///
/// It belongs to the thread that made it. A native server needs a runtime with one thread
/// (`#[tokio::main(flavor = "current_thread")]`); a Worker has only one.
///
/// ```
/// use axum::Router;
/// use axum::extract::State;
/// use axum::routing::get;
/// use edge_session::axum::{Session, SessionLayer, SharedSessions};
/// use edge_session::{SessionError, Sessions};
///
/// fn app(sessions: Sessions) -> Router {
///     let sessions = SharedSessions::from(sessions);
///     Router::new()
///         .route("/devices", get(devices))
///         .layer(SessionLayer::new(&sessions))
///         .with_state(sessions)
/// }
///
/// async fn devices(
///     State(sessions): State<SharedSessions>,
///     session: Session,
/// ) -> Result<String, SessionError> {
///     session
///         .with(async |session| {
///             let Some(owner) = session.owner()? else {
///                 return Ok("log in first".to_owned());
///             };
///             Ok(sessions.list(owner).await?.len().to_string())
///         })
///         .await
/// }
/// # let _ = app(edge_session::testing::World::default().sessions().clone());
/// ```
///
/// # Panics
/// When it is dereferenced on another thread.
#[derive(Clone)]
pub struct SharedSessions(Arc<SendWrapper<Sessions>>);

impl SharedSessions {
    /// Runs `work`, whose future need not be `Send`, in a future that is `Send`, as axum asks of
    /// handlers. Within [`Session::with`] it is not needed.
    ///
    /// ```
    /// use axum::extract::{Path, State};
    /// use edge_session::SessionError;
    /// use edge_session::axum::SharedSessions;
    ///
    /// /// For administrators.
    /// async fn log_out(
    ///     State(sessions): State<SharedSessions>,
    ///     Path(owner): Path<String>,
    /// ) -> Result<&'static str, SessionError> {
    ///     sessions.with(async |sessions| sessions.revoke_all(&owner).await).await?;
    ///     Ok("done")
    /// }
    /// # let _: axum::Router<SharedSessions> =
    /// #     axum::Router::new().route("/{owner}", axum::routing::post(log_out));
    /// ```
    ///
    /// # Panics
    /// On another thread than the one that made the sessions.
    pub fn with<T, F>(&self, work: F) -> impl Future<Output = T> + Send + use<T, F>
    where
        F: AsyncFnOnce(&Sessions) -> T,
    {
        let sessions = (**self).clone();
        SendWrapper::new(async move { work(&sessions).await })
    }
}

impl Deref for SharedSessions {
    type Target = Sessions;

    fn deref(&self) -> &Sessions {
        &self.0
    }
}

impl From<Sessions> for SharedSessions {
    fn from(sessions: Sessions) -> Self {
        Self(Arc::new(SendWrapper::new(sessions)))
    }
}

impl From<&Sessions> for SharedSessions {
    fn from(sessions: &Sessions) -> Self {
        sessions.clone().into()
    }
}

impl From<&Self> for SharedSessions {
    fn from(sessions: &Self) -> Self {
        sessions.clone()
    }
}

impl fmt::Debug for SharedSessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedSessions").finish_non_exhaustive()
    }
}

/// Opens the session of every request, and commits it with the response.
///
/// A request whose handler does not extract a [`Session`] costs no storage operation, and its
/// response stays as it is.
///
/// ```
/// use axum::Router;
/// use axum::routing::get;
/// use edge_session::axum::{Session, SessionLayer};
/// use edge_session::{SessionError, Sessions};
///
/// fn app(sessions: &Sessions) -> Router {
///     Router::new()
///         .route("/", get(views))
///         .route("/about", get(async || "costs nothing"))
///         .layer(SessionLayer::new(sessions))
/// }
///
/// async fn views(session: Session) -> Result<String, SessionError> {
///     session
///         .with(async |session| {
///             let views = session.get::<u32>("views")?.unwrap_or(0) + 1;
///             session.set("views", views)?;
///             Ok(views.to_string())
///         })
///         .await
/// }
/// # let _ = app(edge_session::testing::World::default().sessions());
/// ```
///
/// # Errors
/// A handler that fails with a [`SessionError`], or with an error of its own whose response is made
/// of one ([`AsSessionError`]), is answered as [`Sessions::handle`](Sessions) does it:
/// `application/problem+json` with the status of the code, and what the handler changed is dropped.
/// The error is in the extensions of the response, for other middleware.
///
/// ```
/// use std::error::Error;
///
/// use axum::http::StatusCode;
/// use axum::response::{IntoResponse, Response};
/// use edge_session::AsSessionError as _;
///
/// /// Any error, for the handlers of an application.
/// struct Problem(Box<dyn Error + Send + Sync>);
///
/// impl<E: Into<Box<dyn Error + Send + Sync>>> From<E> for Problem {
///     fn from(error: E) -> Self {
///         Self(error.into())
///     }
/// }
///
/// impl IntoResponse for Problem {
///     fn into_response(self) -> Response {
///         match self.0.as_session_error() {
///             Some(error) => error.clone().into_response(),
///             None => (StatusCode::INTERNAL_SERVER_ERROR, "something failed").into_response(),
///         }
///     }
/// }
/// ```
///
/// # With other frameworks
/// The layer works with every [`tower_service::Service`] that takes an [`http::Request`] and gives
/// an [`http::Response`] whose body is `From<String>`. An error of the service that carries a
/// [`SessionError`] is answered in the same way, and every other error is returned unchanged. The
/// service finds a [`LazySession`] in the extensions of its request.
///
/// ```
/// use axum::http::{Request, Response};
/// use edge_session::axum::{LazySession, SessionLayer, SessionService};
/// use edge_session::{SessionError, Sessions};
/// use tower_layer::Layer as _;
///
/// /// A handler of a framework of one's own.
/// async fn page(request: Request<()>) -> Result<Response<String>, SessionError> {
///     let Some(session) = request.extensions().get::<LazySession>() else {
///         return Ok(Response::new("no session".to_owned()));
///     };
///     session
///         .with(async |session| {
///             session.load().await?;
///             Ok(Response::new(format!("{:?}", session.owner()?)))
///         })
///         .await
/// }
///
/// fn with_sessions<S>(service: S, sessions: &Sessions) -> SessionService<S> {
///     SessionLayer::new(sessions).layer(service)
/// }
/// # let _ = page;
/// ```
#[derive(Clone)]
pub struct SessionLayer(SharedSessions);

impl SessionLayer {
    /// A layer for the sessions of a Worker or of a native server.
    ///
    /// In a Worker, pass sessions that know the request's context. Work that outlives the response
    /// is then handed to `waitUntil`; without it, such work is awaited.
    ///
    #[cfg_attr(feature = "worker", doc = "```no_run")]
    #[cfg_attr(not(feature = "worker"), doc = "```text")]
    /// use axum::Router;
    /// use edge_session::axum::SessionLayer;
    /// use edge_session::{SessionError, Sessions};
    /// use worker::{Context, Env};
    ///
    /// fn app(env: &Env, ctx: &Context) -> Result<Router, SessionError> {
    ///     let sessions = Sessions::from_env(env)?.with_context(ctx);
    ///     Ok(Router::new().layer(SessionLayer::new(sessions)))
    /// }
    /// ```
    #[must_use]
    pub fn new(sessions: impl Into<SharedSessions>) -> Self {
        Self(sessions.into())
    }
}

impl<S> Layer<S> for SessionLayer {
    type Service = SessionService<S>;

    fn layer(&self, inner: S) -> SessionService<S> {
        SessionService {
            inner,
            sessions: self.0.clone(),
        }
    }
}

impl fmt::Debug for SessionLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionLayer").finish_non_exhaustive()
    }
}

/// What [`SessionLayer`] makes of a service.
///
/// ```
/// use edge_session::axum::{SessionLayer, SessionService};
/// use tower_layer::Layer as _;
///
/// fn wrapped<S>(layer: &SessionLayer, inner: S) -> SessionService<S> {
///     layer.layer(inner)
/// }
/// ```
#[derive(Clone)]
pub struct SessionService<S> {
    inner: S,
    sessions: SharedSessions,
}

impl<S, B, R> Service<Request<B>> for SessionService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: 'static,
    S::Error: AsSessionError + 'static,
    R: From<String> + 'static,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<R>, S::Error>> + Send>>;

    fn poll_ready(&mut self, poller: &mut Poller<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(poller)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        if !self.sessions.0.valid() {
            return Box::pin(SendWrapper::new(ready(Ok(problem(&other_thread())))));
        }
        let sessions = (*self.sessions).clone();
        // A layer around this one opened the session, and commits it.
        let outer = request.extensions().get::<LazySession>();
        if outer.is_some_and(|outer| outer.0.belongs_to(&sessions)) {
            return Box::pin(SendWrapper::new(self.inner.call(request)));
        }
        let store = sessions.open(Head::of(&request));
        let timing = store.timing();
        let handle = Handle::new(&sessions, store);
        request.extensions_mut().insert(LazySession(handle.clone()));
        let answer = self.inner.call(request);
        Box::pin(SendWrapper::new(async move {
            let answer = Timing::during(timing, answer).await;
            let mut store = handle.0.store.lock().await;
            answered(&sessions, &mut store, answer).await
        }))
    }
}

impl<S: fmt::Debug> fmt::Debug for SessionService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionService")
            .field("inner", &self.inner)
            .finish_non_exhaustive()
    }
}

/// The response for what the service gave. A failure drops what was changed and not saved.
async fn answered<R: From<String>, E: AsSessionError>(
    sessions: &Sessions,
    store: &mut SessionStore,
    answer: Result<Response<R>, E>,
) -> Result<Response<R>, E> {
    let failed = match answer {
        Ok(response) if response.extensions().get::<SessionError>().is_some() => response,
        Ok(response) => match sessions.commit(store, response.status().as_u16()).await {
            Ok(headers) => return Ok(with_headers(response, &headers)),
            Err(error) => problem(&error),
        },
        Err(error) => match error.as_session_error() {
            Some(error) => problem(error),
            None => return Err(error),
        },
    };
    Ok(with_headers(failed, &store.done_headers()))
}

fn other_thread() -> SessionError {
    SessionError::new(
        ErrorCode::Config,
        "the sessions belong to another thread; run the server on a runtime with one thread, for \
         example #[tokio::main(flavor = \"current_thread\")]",
    )
}

/// The session of a request, shared by the layer and all extractors.
#[derive(Clone)]
struct Handle(Arc<SendWrapper<Slot>>);

struct Slot {
    sessions: Sessions,
    store: Mutex<SessionStore>,
    /// True while the closure that holds the lock is being polled.
    is_inside: Cell<bool>,
}

impl Handle {
    fn new(sessions: &Sessions, store: SessionStore) -> Self {
        Self(Arc::new(SendWrapper::new(Slot {
            sessions: sessions.clone(),
            store: Mutex::new(store),
            is_inside: Cell::new(false),
        })))
    }

    fn belongs_to(&self, sessions: &Sessions) -> bool {
        Rc::ptr_eq(self.0.sessions.shared(), sessions.shared())
    }

    fn with<T, E, F>(&self, work: F) -> impl Future<Output = Result<T, E>> + Send + use<T, E, F>
    where
        F: AsyncFnOnce(&mut SessionStore) -> Result<T, E>,
        E: From<SessionError>,
    {
        let slot = Arc::clone(&self.0);
        SendWrapper::new(async move {
            let mut store = slot.lock().await?;
            let mut work = pin!(work(&mut store));
            poll_fn(|poller| {
                let _inside = Inside::enter(&slot.is_inside);
                work.as_mut().poll(poller)
            })
            .await
        })
    }
}

impl Slot {
    /// Waits for the session. Within the closure that has it, the wait would never end: that is an
    /// error.
    async fn lock(&self) -> Result<MutexGuard<'_, SessionStore>, SessionError> {
        let mut lock = self.store.lock();
        poll_fn(|poller| match Pin::new(&mut lock).poll(poller) {
            Poll::Pending if self.is_inside.get() => Poll::Ready(Err(nested())),
            other => other.map(Ok),
        })
        .await
    }
}

/// Says that the closure is being polled, until it is dropped.
struct Inside<'a>(&'a Cell<bool>);

impl<'a> Inside<'a> {
    fn enter(is_inside: &'a Cell<bool>) -> Self {
        is_inside.set(true);
        Self(is_inside)
    }
}

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.set(false);
    }
}

fn nested() -> SessionError {
    SessionError::new(
        ErrorCode::Unsupported,
        "`with` was called inside of a `with` of the same session, and would wait for itself; use \
         the session that the outer closure was given",
    )
}

/// Extractor: the session of the request, loaded.
///
/// It is cheap to clone. All clones, and all extractors of one request, share one session.
///
/// ```
/// use edge_session::SessionError;
/// use edge_session::axum::Session;
///
/// async fn views(session: Session) -> Result<String, SessionError> {
///     session
///         .with(async |session| {
///             let views = session.get::<u32>("views")?.unwrap_or(0) + 1;
///             session.set("views", views)?;
///             Ok(views.to_string())
///         })
///         .await
/// }
/// # let _: axum::Router = axum::Router::new().route("/", axum::routing::get(views));
/// ```
///
/// `Option<Session>` is `None` where the router has no [`SessionLayer`].
#[derive(Clone)]
pub struct Session(Handle);

impl Session {
    /// Runs `work` with the session, which no other `with` can use meanwhile. The future is `Send`, as axum
    /// requires of handlers; that of `work` need not be.
    ///
    /// ```
    /// use edge_session::SessionError;
    /// use edge_session::axum::Session;
    ///
    /// async fn logout(session: Session) -> Result<&'static str, SessionError> {
    ///     session.with(async |session| session.flush().await).await?;
    ///     Ok("bye")
    /// }
    /// # let _: axum::Router = axum::Router::new().route("/", axum::routing::post(logout));
    /// ```
    ///
    /// # Errors
    /// That of `work`. `unsupported` if it is called inside of the closure of another `with` of this
    /// session, for which it would have to wait.
    ///
    /// # Panics
    /// On another thread than the one that handles the request.
    pub fn with<T, E, F>(&self, work: F) -> impl Future<Output = Result<T, E>> + Send + use<T, E, F>
    where
        F: AsyncFnOnce(&mut SessionStore) -> Result<T, E>,
        E: From<SessionError>,
    {
        self.0.with(work)
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").finish_non_exhaustive()
    }
}

/// Extractor: the session of the request, not loaded. A request that never calls
/// [`SessionStore::load`] costs no storage operation.
///
/// ```
/// use axum::http::HeaderMap;
/// use edge_session::SessionError;
/// use edge_session::axum::LazySession;
///
/// async fn feed(headers: HeaderMap, session: LazySession) -> Result<String, SessionError> {
///     if headers.contains_key("authorization") {
///         return Ok("costs nothing".to_owned());
///     }
///     session
///         .with(async |session| {
///             session.load().await?;
///             Ok(format!("{:?}", session.owner()?))
///         })
///         .await
/// }
/// # let _: axum::Router = axum::Router::new().route("/", axum::routing::get(feed));
/// ```
#[derive(Clone)]
pub struct LazySession(Handle);

impl LazySession {
    /// Runs `work` with the session, as [`Session::with`] does.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use edge_session::SessionError;
    /// use edge_session::axum::LazySession;
    ///
    /// /// Reads past the store's cache, once.
    /// async fn transfer(session: LazySession) -> Result<(), SessionError> {
    ///     session
    ///         .with(async |session| {
    ///             session.load_fresh().await?;
    ///             session.require_recent_auth(Duration::from_secs(300))
    ///         })
    ///         .await
    /// }
    /// # let _: axum::Router = axum::Router::new().route("/", axum::routing::post(transfer));
    /// ```
    ///
    /// # Errors
    /// As [`Session::with`].
    ///
    /// # Panics
    /// As [`Session::with`].
    pub fn with<T, E, F>(&self, work: F) -> impl Future<Output = Result<T, E>> + Send + use<T, E, F>
    where
        F: AsyncFnOnce(&mut SessionStore) -> Result<T, E>,
        E: From<SessionError>,
    {
        self.0.with(work)
    }
}

impl fmt::Debug for LazySession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LazySession").finish_non_exhaustive()
    }
}

/// Why a [`Session`] cannot be extracted: the router has no [`SessionLayer`].
///
/// ```
/// use axum::response::IntoResponse as _;
/// use edge_session::axum::{MissingSessionLayer, Session};
///
/// async fn page(session: Result<Session, MissingSessionLayer>) -> String {
///     match session {
///         Ok(_session) => "a session".to_owned(),
///         Err(missing) => missing.to_string(),
///     }
/// }
/// # let _: axum::Router = axum::Router::new().route("/", axum::routing::get(page));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MissingSessionLayer;

impl fmt::Display for MissingSessionLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("this request has no session: add SessionLayer to the router")
    }
}

impl std::error::Error for MissingSessionLayer {}

impl IntoResponse for MissingSessionLayer {
    fn into_response(self) -> axum_core::response::Response {
        (StatusCode::INTERNAL_SERVER_ERROR, self.to_string()).into_response()
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Session {
    type Rejection = MissingSessionLayer;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Self::Rejection> {
        Ok(load(find(parts).ok_or(MissingSessionLayer)?).await)
    }
}

impl<S: Send + Sync> OptionalFromRequestParts<S> for Session {
    type Rejection = Infallible;

    async fn from_request_parts(
        parts: &mut Parts,
        _state: &S,
    ) -> Result<Option<Self>, Self::Rejection> {
        Ok(match find(parts) {
            Some(handle) => Some(load(handle).await),
            None => None,
        })
    }
}

impl<S: Send + Sync> FromRequestParts<S> for LazySession {
    type Rejection = MissingSessionLayer;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Self::Rejection> {
        find(parts).map(Self).ok_or(MissingSessionLayer)
    }
}

impl<S: Send + Sync> OptionalFromRequestParts<S> for LazySession {
    type Rejection = Infallible;

    async fn from_request_parts(
        parts: &mut Parts,
        _state: &S,
    ) -> Result<Option<Self>, Self::Rejection> {
        Ok(find(parts).map(Self))
    }
}

fn find(parts: &Parts) -> Option<Handle> {
    parts
        .extensions
        .get()
        .map(|LazySession(handle)| handle.clone())
}

async fn load(handle: Handle) -> Session {
    let loaded = handle.with(async |store: &mut SessionStore| {
        // The session itself reports what the load found.
        let _outcome = store.load_without_access(Freshness::Memory).await;
        Ok::<_, SessionError>(())
    });
    // An error only inside of a `with`, whose closure has the session anyway.
    let _ = loaded.await;
    Session(handle)
}

/// Where a request came from, coarsely: a country code. Put it into the extensions of the request
/// if your server knows it, for the user's list of devices. In a Worker it is read from
/// `request.cf.country` where this extension is missing.
///
/// ```
/// use axum::http::Request;
/// use edge_session::axum::Place;
///
/// let request = Request::builder().extension(Place::new("NL")).body(())?;
/// # let _ = request;
/// # Ok::<(), axum::http::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place(String);

impl Place {
    /// A place by its country code.
    ///
    /// ```
    /// use edge_session::axum::Place;
    /// assert_eq!(Place::new("NL"), Place::new(String::from("NL")));
    /// ```
    #[must_use]
    pub fn new(country: impl Into<String>) -> Self {
        Self(country.into())
    }
}

impl IntoResponse for SessionError {
    fn into_response(self) -> axum_core::response::Response {
        problem(&self)
    }
}

/// What a session asks of a request, taken over before the request moves on.
struct Head {
    method: String,
    /// One of them has the cookies, whose values are secrets.
    headers: Vec<(&'static str, Zeroizing<String>)>,
    place: Option<Place>,
    #[cfg(feature = "worker")]
    cf: Option<worker::Cf>,
}

impl Head {
    fn of<B>(request: &Request<B>) -> Self {
        let asked = [COOKIE.as_str(), "sec-fetch-site", "user-agent"];
        let found = asked.map(|name| Some((name, text(request.headers(), name)?)));
        Self {
            method: request.method().as_str().to_owned(),
            headers: found.into_iter().flatten().collect(),
            place: request.extensions().get().cloned(),
            #[cfg(feature = "worker")]
            cf: request.extensions().get().cloned(),
        }
    }
}

impl RequestHead for Head {
    fn header(&self, name: &str) -> Option<String> {
        self.headers
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| (**value).clone())
    }

    fn method(&self) -> String {
        self.method.clone()
    }

    fn place(&self) -> Option<String> {
        let own = self.place.as_ref().map(|place| place.0.clone());
        #[cfg(feature = "worker")]
        let own = own.or_else(|| self.cf.as_ref()?.country());
        own
    }
}

/// The text of a header. Fields of one name are one list to a cookie parser (RFC 9113 section
/// 8.2.3); a field that is not UTF-8 is not one of ours.
fn text(headers: &HeaderMap, name: &'static str) -> Option<Zeroizing<String>> {
    let fields = headers
        .get_all(name)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect::<Vec<_>>();
    if fields.is_empty() {
        return None;
    }
    let bytes = Zeroizing::new(fields.join(&b"; "[..]));
    let text = String::from_utf8_lossy(&bytes).into_owned();
    Some(Zeroizing::new(text))
}

/// The response for `error`. Its extensions have the error, so that the layer, or one around it, drops
/// what was changed.
fn problem<R: From<String>>(error: &SessionError) -> Response<R> {
    let code = error.code();
    let mut response = Response::new(R::from(error.to_problem()));
    response.extensions_mut().insert(error.clone());
    *response.status_mut() =
        StatusCode::from_u16(code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/problem+json"),
    );
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(seconds) = code.retry_after() {
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

fn with_headers<R>(mut response: Response<R>, commit: &CommitHeaders) -> Response<R> {
    let headers = response.headers_mut();
    // Everything that a commit says is ASCII without control characters; what could not be a
    // header would not be a cookie either.
    let value = |text: &str| HeaderValue::from_str(text).ok();
    for cookie in commit
        .set_cookie()
        .iter()
        .filter_map(|cookie| value(cookie))
    {
        headers.append(SET_COOKIE, cookie);
    }
    // Fields of one name are one list (RFC 9110, 5.3).
    let own = headers.get_all(CACHE_CONTROL).iter();
    let own = own.map(|value| value.to_str().unwrap_or_default());
    let own = own.collect::<Vec<_>>().join(", ");
    for (name, text) in commit.cache_control(Some(&own)) {
        headers.insert(
            HeaderName::from_static(name),
            HeaderValue::from_static(text),
        );
    }
    let existing = headers
        .get_all(VARY)
        .iter()
        .filter_map(|value| value.to_str().ok());
    let existing = existing.collect::<Vec<_>>().join(", ");
    if let Some(vary) = commit.vary(Some(&existing)).and_then(|vary| value(&vary)) {
        headers.insert(VARY, vary);
    }
    if let Some(timing) = commit.server_timing().and_then(value) {
        headers.append(HeaderName::from_static("server-timing"), timing);
    }
    response
}
