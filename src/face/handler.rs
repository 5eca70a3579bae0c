//! Sessions in a fetch handler written with the crate `worker`.

use std::cell::RefCell;
use std::rc::Rc;

use js_sys::{Array, Number, Object, Reflect};
use wasm_bindgen::{JsCast, JsValue};
use worker::{Context, Env, Headers, Request, Response};

use crate::face::builder::SessionsBuilder;
use crate::face::connector::kv::KvConnector;
use crate::face::connector::memory::MemoryConnector;
use crate::face::connector::objects::{ObjectConnector, ObjectPlace};
use crate::face::driver::Port;
use crate::face::env_options::EnvOptions;
use crate::face::fetch::{FetchContext, FetchHeaders, FetchRequest};
use crate::face::headers::CommitHeaders;
use crate::face::sessions::Sessions;
use crate::face::store::SessionStore;
use crate::flow::freshness::Freshness;
use crate::flow::isolate::Isolate;
use crate::flow::stats::Timing;
use crate::port::error::{AsSessionError, ErrorCode, SessionError};
use crate::port::request::RequestHead;
use crate::port::wait_until::WaitUntil;
use crate::protocol::settings::{BINDING as A_BINDING, Naming, Settings, Storage, may_be_ours};

thread_local! {
    /// The sessions of `SESSION_STORAGE=memory`: they live as long as the isolate.
    static MEMORY: MemoryConnector = MemoryConnector::new();
    /// The last environment and the `Sessions` made from it. workerd passes the same object to
    /// every request of an isolate, including entrypoints and Durable Objects.
    static MADE: RefCell<Option<(JsValue, Sessions)>> = const { RefCell::new(None) };
}

/// Name of the secret.
const SECRET: &str = "SESSION_SECRET";

impl Sessions {
    /// Reads the configuration from the environment: the KV namespace bound as `SESSIONS`, or with
    /// `SESSION_STORAGE = "durable_object"` the Durable Objects bound as `SESSION_OBJECTS`, the secret `SESSION_SECRET` and every variable `SESSION_…` (see [`Settings`]). It is read once
    /// for each environment, because the environment of a deployment never changes.
    ///
    /// ```no_run
    /// use edge_session::{SessionStore, Sessions};
    /// use worker::{Context, Env, Request, Response, Result};
    ///
    /// async fn fetch(request: Request, env: Env, ctx: Context) -> Result<Response> {
    ///     let sessions = Sessions::from_env(&env)?;
    ///     sessions
    ///         .handle(request, &ctx, async |_request, session: &mut SessionStore| {
    ///             Response::ok(format!("{:?}", session.owner()?))
    ///         })
    ///         .await
    /// }
    /// ```
    ///
    /// # Errors
    /// `missing_binding` if the namespace or the secret is missing; `config` if a variable is
    /// misspelt or illegal. The message names the problem. `unsupported` outside of a Worker.
    pub fn from_env(env: &Env) -> Result<Self, SessionError> {
        is_in_a_worker()?;
        let env: &JsValue = env.as_ref();
        let made = MADE.with_borrow(|made| match made {
            Some((of, sessions)) if of == env => Some(sessions.clone()),
            _ => None,
        });
        if let Some(sessions) = made {
            return Ok(sessions);
        }
        let sessions = Self::make(env, |options| options)?;
        // Only the last environment is remembered.
        let _before = MADE.replace(Some((env.clone(), sessions.clone())));
        Ok(sessions)
    }

    /// As [`from_env`](Self::from_env), with other settings or another binding.
    ///
    /// The environment is read in every call, because `options` may differ.
    ///
    /// ```no_run
    /// use edge_session::{SessionStore, Sessions};
    /// use worker::{Context, Env, Request, Response, Result};
    ///
    /// async fn fetch(request: Request, env: Env, ctx: Context) -> Result<Response> {
    ///     let sessions = Sessions::from_env_with(&env, |options| {
    ///         options
    ///             .binding("SHOP_SESSIONS")
    ///             .settings(|settings| settings.with_cookie_name("__Host-shop"))
    ///     })?;
    ///     sessions
    ///         .handle(request, &ctx, async |_request, session: &mut SessionStore| {
    ///             Response::ok(format!("{:?}", session.owner()?))
    ///         })
    ///         .await
    /// }
    /// ```
    ///
    /// # Errors
    /// As [`from_env`](Self::from_env); also `config` if the settings of `options` are illegal.
    pub fn from_env_with(
        env: &Env,
        options: impl FnOnce(EnvOptions) -> EnvOptions,
    ) -> Result<Self, SessionError> {
        is_in_a_worker()?;
        Self::make(env.as_ref(), options)
    }

    fn make(
        env: &JsValue,
        options: impl FnOnce(EnvOptions) -> EnvOptions,
    ) -> Result<Self, SessionError> {
        let settings = Settings::from_vars(variables(env)?)?;
        let options = options(EnvOptions::new(settings));
        let binding = options.binding_in_force().to_owned();
        let settings = options.settings;
        let secret = match Given::read(env, SECRET) {
            Given::Text(secret) => secret,
            Given::Nothing => {
                return Err(SessionError::new(
                    ErrorCode::MissingBinding,
                    "SESSION_SECRET: the secret is not set; make one with `openssl rand -base64 \
                     32`, and put it with `npx wrangler secret put SESSION_SECRET`, or locally \
                     into .dev.vars",
                ));
            }
            Given::Scalar(_) | Given::Other(_) => {
                return Err(SessionError::config(
                    "SESSION_SECRET: it is not a string; use a string, with commas between several secrets",
                ));
            }
        };
        let port = match settings.storage() {
            Storage::Kv => Port::Eventual(Rc::new(KvConnector::from_env(env, &binding)?)),
            Storage::Memory => Port::Eventual(Rc::new(MEMORY.with(Clone::clone))),
            Storage::DurableObject => {
                let place = ObjectPlace::of(&settings);
                Port::Strong(Rc::new(ObjectConnector::from_env(env, &binding, &place)?))
            }
        };
        let isolate = Isolate::current();
        let secrets = isolate.ring(&secret, SECRET)?;
        SessionsBuilder::new(port, secrets)
            .settings(settings)
            .isolate(&isolate, binding)
            .build()
    }

    /// Loads the session of `request`, runs `closure` whatever the outcome, and commits.
    ///
    /// Work that must outlive the response is passed to `ctx.wait_until`. Without a context it is
    /// awaited.
    ///
    /// If the closure fails with a [`SessionError`], or with an error that carries one
    /// ([`AsSessionError`]), the response is that error as `application/problem+json` with the
    /// status of its code: 503 with `Retry-After`, 409, or 401 for `reauth_required`. The same
    /// happens if the commit fails. Every other error of the closure is returned unchanged.
    ///
    /// ```no_run
    /// use edge_session::{SessionStore, Sessions};
    /// use worker::{Context, Request, Response, Result};
    ///
    /// async fn page(sessions: &Sessions, request: Request, ctx: &Context) -> Result<Response> {
    ///     sessions
    ///         .handle(request, ctx, async |request, session: &mut SessionStore| {
    ///             if request.path() == "/logout" {
    ///                 session.destroy().await?;
    ///                 return Response::ok("bye");
    ///             }
    ///             let views = session.get::<u32>("views")?.unwrap_or(0) + 1;
    ///             session.set("views", views)?;
    ///             Response::ok(views.to_string())
    ///         })
    ///         .await
    /// }
    /// ```
    ///
    /// # Errors
    /// The closure's own.
    pub async fn handle<'c, F, E>(
        &self,
        request: Request,
        ctx: impl Into<Option<&'c Context>>,
        closure: F,
    ) -> Result<Response, E>
    where
        F: AsyncFnOnce(Request, &mut SessionStore) -> Result<Response, E>,
        E: From<SessionError> + AsSessionError,
    {
        let mut session = self.attach(&request, ctx.into());
        // The session itself reports what the load found.
        let _outcome = session.load_without_access(Freshness::Memory).await;
        let answer = Timing::during(session.timing(), closure(request, &mut session)).await;
        self.finish(answer, session).await
    }

    /// As [`handle`](Self::handle), but the session is not loaded. A request that never calls
    /// [`SessionStore::load`] costs no storage operation.
    ///
    /// ```no_run
    /// use edge_session::{SessionStore, Sessions};
    /// use worker::{Context, Request, Response, Result};
    ///
    /// async fn page(sessions: &Sessions, request: Request, ctx: &Context) -> Result<Response> {
    ///     sessions
    ///         .handle_lazy(request, ctx, async |request, session: &mut SessionStore| {
    ///             if request.path() == "/about" {
    ///                 return Response::ok("costs nothing");
    ///             }
    ///             session.load().await?;
    ///             Response::ok(format!("{:?}", session.owner()?))
    ///         })
    ///         .await
    /// }
    /// ```
    ///
    /// # Errors
    /// The closure's own.
    pub async fn handle_lazy<'c, F, E>(
        &self,
        request: Request,
        ctx: impl Into<Option<&'c Context>>,
        closure: F,
    ) -> Result<Response, E>
    where
        F: AsyncFnOnce(Request, &mut SessionStore) -> Result<Response, E>,
        E: From<SessionError> + AsSessionError,
    {
        let mut session = self.attach(&request, ctx.into());
        let answer = Timing::during(session.timing(), closure(request, &mut session)).await;
        self.finish(answer, session).await
    }

    /// The session that `request` presents, not yet loaded. This is the first step if you do the
    /// work of [`handle`](Self::handle) yourself.
    ///
    /// ```no_run
    /// use edge_session::{SessionError, Sessions};
    /// use worker::Request;
    ///
    /// async fn owner(sessions: &Sessions, request: &Request) -> Result<Option<String>, SessionError> {
    ///     let mut session = sessions.open_request(request);
    ///     session.load().await?;
    ///     Ok(session.owner()?.map(str::to_owned))
    /// }
    /// ```
    pub fn open_request(&self, request: &Request) -> SessionStore {
        self.attach(request, None)
    }

    /// Writes the session's pending changes and puts the headers on `response`. This is the last
    /// step if you do the work of [`handle`](Self::handle) yourself.
    ///
    /// ```no_run
    /// use edge_session::Sessions;
    /// use worker::{Request, Response, Result};
    ///
    /// async fn page(sessions: &Sessions, request: &Request) -> Result<Response> {
    ///     let mut session = sessions.open_request(request);
    ///     session.load().await?;
    ///     session.set("seen", true)?;
    ///     let response = Response::ok("hello")?;
    ///     Ok(sessions.commit_response(&mut session, response).await?)
    /// }
    /// ```
    ///
    /// # Errors
    /// As a save.
    pub async fn commit_response(
        &self,
        session: &mut SessionStore,
        response: Response,
    ) -> Result<Response, SessionError> {
        let headers = self.commit(session, response.status_code()).await?;
        with_headers(response, &headers)
    }

    /// Uses `ctx.waitUntil` for this request: the writes of [`revoke`](Self::revoke) and
    /// [`revoke_all`](Self::revoke_all) then finish even if the browser disconnects. Sessions in
    /// [`handle`](Self::handle) already use its context.
    ///
    /// ```no_run
    /// use edge_session::{SessionError, Sessions};
    /// use worker::Context;
    ///
    /// async fn log_out_everywhere(sessions: Sessions, ctx: &Context) -> Result<(), SessionError> {
    ///     sessions.with_context(ctx).revoke_all("ada").await
    /// }
    /// ```
    #[must_use]
    pub fn with_context(self, ctx: &Context) -> Self {
        self.registered_with(wait_until_of(ctx))
    }

    fn attach(&self, request: &Request, ctx: Option<&Context>) -> SessionStore {
        let mut session = self.open(Head {
            request: JsValue::from(request.inner()).unchecked_into(),
            headers: JsValue::from(&request.headers().0).unchecked_into(),
        });
        if let Some(ctx) = ctx {
            session.register_with(wait_until_of(ctx));
        }
        session
    }

    async fn finish<E: From<SessionError> + AsSessionError>(
        &self,
        answer: Result<Response, E>,
        mut session: SessionStore,
    ) -> Result<Response, E> {
        let committed = match answer {
            Ok(response) => match self.commit(&mut session, response.status_code()).await {
                Ok(headers) => Ok((response, headers)),
                Err(error) => Err(error),
            },
            Err(error) => match error.as_session_error() {
                Some(refusal) => Err(refusal.clone()),
                None => return Err(error),
            },
        };
        let answered = match committed {
            Ok((response, headers)) => with_headers(response, &headers),
            Err(error) => error
                .to_response()
                .and_then(|response| with_headers(response, &session.done_headers())),
        };
        answered.map_err(E::from)
    }
}

/// Outside of a Worker, for example in a test, there is no environment to read.
fn is_in_a_worker() -> Result<(), SessionError> {
    if cfg!(target_arch = "wasm32") {
        return Ok(());
    }
    Err(SessionError::new(
        ErrorCode::Unsupported,
        "there is no environment outside of a Worker: a native test makes its sessions with \
         Sessions::builder",
    ))
}

fn wait_until_of(ctx: &Context) -> Rc<dyn WaitUntil> {
    let ctx: FetchContext = JsValue::from(ctx.as_ref()).unchecked_into();
    ctx.into_wait_until()
}

/// The crate `worker` already has the request's headers at hand.
struct Head {
    request: FetchRequest,
    headers: FetchHeaders,
}

impl RequestHead for Head {
    fn header(&self, name: &str) -> Option<String> {
        match name {
            "cookie" => self.headers.text_of_kept("cookie"),
            "user-agent" => self.headers.text_of_kept("user-agent"),
            _ => self.headers.text(name),
        }
    }

    fn method(&self) -> String {
        self.request.method()
    }

    fn place(&self) -> Option<String> {
        self.request.place()
    }
}

impl SessionError {
    /// This error as a response: `application/problem+json` (RFC 9457) with the status of its code,
    /// and with `Retry-After` if a retry can help.
    ///
    /// ```no_run
    /// use edge_session::{SessionError, SessionStore};
    /// use worker::{Response, Result};
    ///
    /// fn page(session: &SessionStore) -> Result<Response> {
    ///     match session.require::<u32>("views") {
    ///         Ok(views) => Response::ok(views.to_string()),
    ///         Err(error) => Ok(error.to_response()?),
    ///     }
    /// }
    /// ```
    ///
    /// # Errors
    /// If the runtime cannot create a response.
    pub fn to_response(&self) -> Result<Response, Self> {
        let code = self.code();
        let body = self.to_problem();
        let response = Response::from_bytes(body.into_bytes()).map_err(runtime)?;
        let response = response.with_status(code.status());
        let headers = response.headers();
        headers
            .set("content-type", "application/problem+json")
            .map_err(runtime)?;
        headers.set("cache-control", "no-store").map_err(runtime)?;
        if let Some(seconds) = code.retry_after() {
            headers
                .set("retry-after", &seconds.to_string())
                .map_err(runtime)?;
        }
        Ok(response)
    }
}

impl From<SessionError> for worker::Error {
    /// The text is that of a JavaScript error with a name and a code. The error itself is the
    /// cause, so that [`AsSessionError`] finds it.
    fn from(error: SessionError) -> Self {
        let cause = Self::Io(std::io::Error::other(error.clone()));
        // Natively there is no JavaScript error.
        if cfg!(not(target_arch = "wasm32")) {
            return cause;
        }
        let thrown = js_sys::Error::new(error.message());
        thrown.set_name(NAME);
        let code = error.code().as_str();
        // If it cannot be set, the name and the message are enough.
        let _ = Reflect::set(&thrown, &"code".into(), &code.into());
        Self::UnknownJsError {
            original: thrown.into(),
            name: Some(NAME.to_owned()),
            message: error.message().to_owned(),
            code: Some(code.to_owned()),
            cause: Some(Box::new(cause)),
        }
    }
}

/// The name of a session's error in JavaScript.
const NAME: &str = "SessionError";

impl AsSessionError for worker::Error {
    fn as_session_error(&self) -> Option<&SessionError> {
        SessionError::find_in(self)
    }
}

/// `response` with the headers of a commit.
pub(crate) fn with_headers(
    response: Response,
    commit: &CommitHeaders,
) -> Result<Response, SessionError> {
    if commit.is_empty() {
        return Ok(response);
    }
    if write_headers(response.headers(), commit).is_ok() {
        return Ok(response);
    }
    // The headers of a redirect or a fetched response are immutable, so copy the response.
    let headers = response.headers().clone();
    write_headers(&headers, commit).map_err(runtime)?;
    Ok(response.with_headers(headers))
}

fn write_headers(headers: &Headers, commit: &CommitHeaders) -> worker::Result<()> {
    for cookie in commit.set_cookie() {
        headers.append("set-cookie", cookie)?;
    }
    let kept: &FetchHeaders = headers.0.unchecked_ref();
    let own = kept.text_of_kept("cache-control");
    for (name, value) in commit.cache_control(own.as_deref()) {
        kept.set_kept(name, value)?;
    }
    match commit.vary(kept.text_of_kept("vary").as_deref()).as_deref() {
        Some("Cookie") => kept.set_kept("vary", "Cookie")?,
        Some(vary) => headers.set("vary", vary)?,
        None => {}
    }
    if let Some(timing) = commit.server_timing() {
        headers.append("server-timing", timing)?;
    }
    Ok(())
}

fn runtime(error: worker::Error) -> SessionError {
    SessionError::new(
        ErrorCode::Unavailable,
        format!("the runtime could not create the response: {error}"),
    )
}

/// The variables of the environment that may be settings, as text.
fn variables(env: &JsValue) -> Result<Vec<(String, String)>, SessionError> {
    let Some(object) = env.dyn_ref::<Object>() else {
        return Ok(Vec::new());
    };
    let names = Object::keys(object).into_iter();
    let names = names.filter_map(|name| name.as_string());
    let mut found = Vec::new();
    for name in names.filter(|name| may_be_ours(name) && name != SECRET) {
        match Given::read(env, &name) {
            Given::Text(text) | Given::Scalar(text) => found.push((name, text)),
            Given::Other(kind) => Settings::refuse_kind(Naming::Variables, &name, kind)?,
            Given::Nothing => {}
        }
    }
    Ok(found)
}

/// The type of an environment variable. `[vars]` in `wrangler.toml` can be any JSON.
pub(crate) enum Given {
    Nothing,
    Text(String),
    /// A number or a boolean, as text.
    Scalar(String),
    /// Its type, for an error message.
    Other(&'static str),
}

impl Given {
    pub(crate) fn read(env: &JsValue, name: &str) -> Self {
        let value = Reflect::get(env, &JsValue::from_str(name)).unwrap_or(JsValue::UNDEFINED);
        if value.is_undefined() {
            return Self::Nothing;
        }
        if let Some(text) = value.as_string() {
            return Self::Text(text);
        }
        if let Some(number) = value.dyn_ref::<Number>() {
            // This cannot fail for radix 10.
            let text = number.to_string_with_radix(10).map(String::from);
            return Self::Scalar(text.unwrap_or_default());
        }
        if let Some(truth) = value.as_bool() {
            return Self::Scalar(truth.to_string());
        }
        Self::Other(if value.is_null() {
            "null"
        } else if Array::is_array(&value) {
            "an array"
        } else if is_plain(&value) {
            "an object"
        } else {
            A_BINDING
        })
    }
}

/// True for a plain JSON object. A binding is an instance of a class.
fn is_plain(value: &JsValue) -> bool {
    value.is_object() && Object::get_prototype_of(value) == Object::get_prototype_of(&Object::new())
}

#[cfg(test)]
#[cfg(target_arch = "wasm32")]
mod tests {
    use wasm_bindgen_test::wasm_bindgen_test;

    use super::*;

    #[wasm_bindgen_test]
    fn each_environment_has_sessions_of_its_own_made_once() {
        let env = |age: &str| -> Env {
            let env = Object::new();
            for (name, value) in [
                ("SESSION_STORAGE", "memory"),
                (
                    "SESSION_SECRET",
                    "6tq0JtRkS7vE2mHcZx8aLdUoPb5fTgQi1YsXe9WnKzM",
                ),
                ("SESSION_COOKIE_AGE", age),
            ] {
                Reflect::set(&env, &name.into(), &value.into()).unwrap();
            }
            env.unchecked_into()
        };
        let (one, other) = (env("3600"), env("7200"));
        let age = |env: &Env| {
            Sessions::from_env(env)
                .unwrap()
                .settings()
                .cookie_age()
                .as_secs()
        };
        assert_eq!([&one, &other, &one].map(age), [3600, 7200, 3600]);

        let made = Sessions::from_env(&one).unwrap();
        let again = Sessions::from_env(&one).unwrap();
        assert!(Rc::ptr_eq(made.shared(), again.shared()), "made once");
        drop(again);
        let _ = Sessions::from_env(&other).unwrap();
        assert_eq!(Rc::strong_count(made.shared()), 1, "and let go of");
    }

    #[wasm_bindgen_test]
    fn a_worker_may_change_the_settings_and_name_the_binding() {
        let namespace = Object::new();
        let function = Reflect::get(&namespace, &"toString".into()).unwrap();
        for method in ["get", "put", "delete", "list"] {
            Reflect::set(&namespace, &method.into(), &function).unwrap();
        }
        let env = Object::new();
        for (name, value) in [
            (
                "SESSION_SECRET",
                "6tq0JtRkS7vE2mHcZx8aLdUoPb5fTgQi1YsXe9WnKzM".into(),
            ),
            ("SESSION_COOKIE_AGE", "3600".into()),
            ("SESSION_KEY_PREFIX", "var:".into()),
            ("SHOP", JsValue::from(namespace)),
        ] {
            Reflect::set(&env, &name.into(), &value).unwrap();
        }
        let env: Env = env.unchecked_into();

        let shop = |options: EnvOptions| {
            options
                .binding("SHOP")
                .settings(|settings| settings.with_key_prefix("shop:"))
        };
        let sessions = Sessions::from_env_with(&env, shop).unwrap();
        assert_eq!(
            sessions.settings().cookie_age().as_secs(),
            3600,
            "that of the variable"
        );
        assert_eq!(
            sessions.settings().key_prefix(),
            "shop:",
            "that of the closure"
        );

        let error = Sessions::from_env_with(&env, |options| options.binding("STORE")).unwrap_err();
        assert_eq!(error.code(), ErrorCode::MissingBinding);
        assert!(error.message().contains("STORE"), "{error}");
        let wrong = |options: EnvOptions| {
            options
                .binding("SHOP")
                .settings(|settings| settings.with_cookie_name("not a name"))
        };
        let error = Sessions::from_env_with(&env, wrong).unwrap_err();
        assert_eq!(error.code(), ErrorCode::Config);
        assert!(error.message().contains("with_cookie_name"), "{error}");
    }

    #[wasm_bindgen_test]
    fn a_response_that_cannot_be_changed_is_copied() {
        let commit = CommitHeaders {
            set_cookie: vec!["a=1".to_owned()],
            depends_on_session: true,
            allows_private_cache: false,
            server_timing: None,
        };
        let to = worker::Url::parse("https://shop.example/").unwrap();
        let response = Response::redirect(to).unwrap();
        let response = with_headers(response, &commit).unwrap();
        let get = |name| response.headers().get(name).unwrap();
        assert_eq!(get("location").as_deref(), Some("https://shop.example/"));
        assert_eq!(get("cache-control").as_deref(), Some("no-store"));
        assert_eq!(response.status_code(), 302);
    }

    #[wasm_bindgen_test]
    fn headers_of_a_commit_join_those_of_the_response() {
        let commit = CommitHeaders {
            set_cookie: vec!["a=1".to_owned(), "b=2".to_owned()],
            depends_on_session: true,
            allows_private_cache: false,
            server_timing: Some("session;dur=0".to_owned()),
        };
        let response = Response::ok("page").unwrap();
        for (name, value) in [("vary", "Accept"), ("server-timing", "app;dur=3")] {
            response.headers().set(name, value).unwrap();
        }
        let response = with_headers(response, &commit).unwrap();
        let get = |name| response.headers().get(name).unwrap().unwrap();
        assert_eq!(get("vary"), "Accept, Cookie");
        assert_eq!(get("server-timing"), "app;dur=3, session;dur=0");
        assert_eq!(get("cache-control"), "no-store");
        // A browser keeps them from its pages
        // (<https://fetch.spec.whatwg.org/#forbidden-response-header-name>).
        let is_workerd = js_sys::Reflect::has(response.headers().0.as_ref(), &"getAll".into());
        if is_workerd == Ok(true) {
            let cookies = response.headers().get_all("set-cookie").unwrap();
            assert_eq!(cookies, ["a=1", "b=2"]);
        }
    }
}
