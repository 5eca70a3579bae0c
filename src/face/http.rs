//! Sessions in an axum application: a layer that opens and commits, and an extractor that loads.
//!
//! A route that does not extract a [`Session`] costs no storage operation. Workers have one thread,
//! and the core's futures are not `Send`. axum requires `Send`, so they are wrapped here and only
//! here. Handlers need `#[worker::send]`.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context as Poller, Poll};

use ::http::header::{CACHE_CONTROL, CONTENT_TYPE, COOKIE, RETRY_AFTER, SET_COOKIE, VARY};
use ::http::request::Parts;
use ::http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use axum_core::extract::FromRequestParts;
use axum_core::response::IntoResponse;
use futures_util::lock::{Mutex, MutexGuard};
use tower_layer::Layer;
use tower_service::Service;
use wasm_bindgen::{JsCast as _, JsValue};
use worker::Context;
use worker::send::{SendFuture, SendWrapper};

use crate::face::fetch::FetchContext;
use crate::face::headers::CommitHeaders;
use crate::face::sessions::Sessions;
use crate::face::store::SessionStore;
use crate::flow::freshness::Freshness;
use crate::flow::stats::Timing;
use crate::port::error::SessionError;
use crate::port::request::RequestHead;
use crate::port::wait_until::WaitUntil;

/// Opens the session of every request of a router, and commits it with the response.
///
/// `Router::new().route("/", get(views)).layer(SessionLayer::new(&sessions, &ctx))`. The complete
/// code is in `examples/axum`.
///
/// ```no_run
/// use edge_session::Sessions;
/// use edge_session::http::SessionLayer;
/// use tower_layer::Layer as _;
///
/// fn with_sessions<S>(
///     router: S,
///     sessions: &Sessions,
///     ctx: &worker::Context,
/// ) -> edge_session::http::SessionService<S> {
///     // With axum: `router.layer(SessionLayer::new(sessions, ctx))`.
///     SessionLayer::new(sessions, ctx).layer(router)
/// }
/// ```
#[derive(Clone)]
pub struct SessionLayer(SendWrapper<Inner>);

#[derive(Clone)]
struct Inner {
    sessions: Sessions,
    wait_until: Option<Rc<dyn WaitUntil>>,
}

impl SessionLayer {
    /// The layer for requests with the context `ctx`. Without a context, work that could outlive the
    /// response is awaited.
    ///
    /// ```no_run
    /// use edge_session::Sessions;
    /// use edge_session::http::SessionLayer;
    ///
    /// fn layer(sessions: &Sessions) -> SessionLayer {
    ///     SessionLayer::new(sessions, None)
    /// }
    /// ```
    #[must_use]
    pub fn new<'c>(sessions: &Sessions, ctx: impl Into<Option<&'c Context>>) -> Self {
        let wait_until = ctx.into().map(|ctx| {
            let ctx: FetchContext = JsValue::from(ctx.as_ref()).unchecked_into();
            ctx.into_wait_until()
        });
        Self(SendWrapper(Inner {
            sessions: sessions.clone(),
            wait_until,
        }))
    }
}

impl<S> Layer<S> for SessionLayer {
    type Service = SessionService<S>;

    fn layer(&self, inner: S) -> SessionService<S> {
        SessionService {
            inner,
            layer: self.clone(),
        }
    }
}

/// A service wrapped by [`SessionLayer`].
///
/// ```no_run
/// use edge_session::http::{SessionLayer, SessionService};
/// use tower_layer::Layer as _;
///
/// fn wrapped<S>(layer: &SessionLayer, inner: S) -> SessionService<S> {
///     layer.layer(inner)
/// }
/// ```
#[derive(Clone)]
pub struct SessionService<S> {
    inner: S,
    layer: SessionLayer,
}

impl<S, B, R> Service<Request<B>> for SessionService<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Future: 'static,
    S::Error: 'static,
    R: From<String> + 'static,
{
    type Response = Response<R>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<R>, S::Error>> + Send>>;

    fn poll_ready(&mut self, poller: &mut Poller<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(poller)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let Inner {
            sessions,
            wait_until,
        } = self.layer.0.0.clone();
        let mut store = sessions.open(Head::of(&request));
        if let Some(wait_until) = wait_until {
            store.register_with(wait_until);
        }
        let timing = store.timing();
        let session = Session(Arc::new(SendWrapper(Mutex::new(store))));
        request.extensions_mut().insert(session.clone());
        let answer = self.inner.call(request);
        Box::pin(SendFuture::new(async move {
            let response = Timing::during(timing, answer).await?;
            let mut store = session.lock().await;
            Ok(
                match sessions
                    .commit(&mut store, response.status().as_u16())
                    .await
                {
                    Ok(headers) => with_headers(response, &headers),
                    Err(error) => with_headers(problem(&error), &store.done_headers()),
                },
            )
        }))
    }
}

/// The session of a request. It is loaded when it is extracted. Cloning is cheap.
///
/// ```no_run
/// use edge_session::SessionError;
/// use edge_session::http::Session;
///
/// // With axum, below `#[worker::send]`.
/// async fn views(session: Session) -> Result<String, SessionError> {
///     let mut session = session.lock().await;
///     let views = session.get::<u32>("views")?.unwrap_or(0) + 1;
///     session.set("views", views)?;
///     Ok(views.to_string())
/// }
/// ```
#[derive(Clone)]
pub struct Session(Arc<SendWrapper<Mutex<SessionStore>>>);

impl Session {
    /// Locks the session for reading and changing. Drop the guard before the handler ends, because
    /// the commit waits for it.
    ///
    /// ```no_run
    /// use edge_session::SessionError;
    /// use edge_session::http::Session;
    ///
    /// async fn logout(session: Session) -> Result<(), SessionError> {
    ///     session.lock().await.destroy().await
    /// }
    /// ```
    pub async fn lock(&self) -> MutexGuard<'_, SessionStore> {
        self.0.lock().await
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Session {
    type Rejection = (StatusCode, &'static str);

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Self::Rejection> {
        let Some(session) = parts.extensions.get::<Self>().cloned() else {
            let message = "this request has no session: add SessionLayer to the router";
            return Err((StatusCode::INTERNAL_SERVER_ERROR, message));
        };
        SendFuture::new(async {
            // The session reports the outcome when it is used.
            let _outcome = session
                .lock()
                .await
                .load_without_access(Freshness::Memory)
                .await;
        })
        .await;
        Ok(session)
    }
}

impl IntoResponse for SessionError {
    fn into_response(self) -> axum_core::response::Response {
        problem(&self)
    }
}

/// The parts of a request that a session reads, copied before the request is passed on.
struct Head {
    method: String,
    headers: Vec<(&'static str, String)>,
}

impl Head {
    fn of<B>(request: &Request<B>) -> Self {
        let asked = [COOKIE.as_str(), "sec-fetch-site", "user-agent"];
        let found = asked.map(|name| Some((name, text(request.headers(), name)?)));
        Self {
            method: request.method().as_str().to_owned(),
            headers: found.into_iter().flatten().collect(),
        }
    }
}

impl RequestHead for Head {
    fn header(&self, name: &str) -> Option<String> {
        self.headers
            .iter()
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value.clone())
    }

    fn method(&self) -> String {
        self.method.clone()
    }
}

/// The text of a header. Several fields of one name are joined for the cookie parser (RFC 9113
/// section 8.2.3). Our cookies are UTF-8, so other bytes do not matter.
fn text(headers: &HeaderMap, name: &'static str) -> Option<String> {
    let fields = headers
        .get_all(name)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect::<Vec<_>>();
    if fields.is_empty() {
        return None;
    }
    Some(String::from_utf8_lossy(&fields.join(&b"; "[..])).into_owned())
}

fn problem<R: From<String>>(error: &SessionError) -> Response<R> {
    let code = error.code();
    let mut response = Response::new(R::from(error.to_problem()));
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
    // All values of a commit are ASCII without control characters, so this conversion cannot fail.
    let value = |text: &str| HeaderValue::from_str(text).ok();
    for cookie in commit
        .set_cookie()
        .iter()
        .filter_map(|cookie| value(cookie))
    {
        headers.append(SET_COOKIE, cookie);
    }
    // Several fields of one name form one list (RFC 9110, 5.3).
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

/// Nothing of a session.
impl fmt::Debug for SessionLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionLayer").finish_non_exhaustive()
    }
}

/// Nothing of a session.
impl<S> fmt::Debug for SessionService<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionService").finish_non_exhaustive()
    }
}

/// Nothing of a session.
impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").finish_non_exhaustive()
    }
}
