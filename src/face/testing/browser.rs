//! A browser with a cookie jar, which handles requests without a platform.

use std::fmt;

use crate::face::headers::CommitHeaders;
use crate::face::store::SessionStore;
use crate::flow::stats::Timing;
use crate::port::error::{AsSessionError, SessionError};
use crate::port::request::RequestHead;

use super::jar::Jar;
use super::{Request, World};

/// A browser that visits one site over https.
///
/// It handles cookies as RFC 6265bis says. They expire by `Max-Age` or `Expires` on the world's
/// clock, are sent as `Path` and `SameSite` allow, and are refused if the prefix of the name
/// (`__Host-`, `__Secure-`) requires attributes that they lack.
///
/// A clone has a copy of every cookie, like a thief or a restored backup.
///
/// ```
/// use edge_session::Outcome;
/// use edge_session::testing::World;
/// # futures_executor::block_on(async {
/// let world = World::default();
/// let mut browser = world.browser();
/// browser.handle(async |session| session.bind("ada")).await?;
///
/// let mut thief = browser.clone();
/// browser.handle(async |session| session.destroy().await).await?;
/// let outcome = thief.handle(async |session| session.outcome()).await?;
/// assert_eq!(outcome, Outcome::Revoked);
/// # Ok::<(), edge_session::SessionError>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct Browser {
    world: World,
    jar: Jar,
    refused: Vec<String>,
    /// The headers of the last commit.
    headers: CommitHeaders,
}

// This is not in `world.rs` because the two files would import each other.
impl World {
    /// A browser without cookies.
    ///
    /// ```
    /// # use edge_session::Settings;
    /// # use edge_session::testing::World;
    /// let world = World::new(Settings::default());
    /// assert_eq!(world.browser().cookies().count(), 0);
    /// ```
    #[must_use]
    pub fn browser(&self) -> Browser {
        Browser::new(self.clone())
    }
}

impl Browser {
    fn new(world: World) -> Self {
        Self {
            world,
            jar: Jar::default(),
            refused: Vec::new(),
            headers: CommitHeaders::default(),
        }
    }

    /// Handles a `GET` request for `/`: loads the session, runs `handler` whatever the outcome,
    /// commits, and stores the cookies in the jar.
    ///
    /// If the handler returns an error, this returns it too. The changes are dropped; what the
    /// handler already saved, destroyed or flushed stays so.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use edge_session::ErrorCode;
    /// # use edge_session::testing::World;
    /// # futures_executor::block_on(async {
    /// let mut browser = World::default().browser();
    /// let error = browser
    ///     .handle(async |session| {
    ///         session.set("views", 1)?;
    ///         session.require_recent_auth(Duration::from_secs(300))
    ///     })
    ///     .await
    ///     .unwrap_err();
    /// assert_eq!(error.code(), ErrorCode::ReauthRequired);
    /// assert!(browser.handle(async |session| session.is_new()).await?, "nothing was saved");
    /// # Ok::<(), edge_session::SessionError>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// The error of the handler, or that of the commit.
    pub async fn handle<T>(
        &mut self,
        handler: impl AsyncFnOnce(&mut SessionStore) -> Result<T, SessionError>,
    ) -> Result<T, SessionError> {
        self.send(Request::get("/"), handler).await
    }

    /// The same for any [`Request`], and for a handler with its own error type. Cookies are stored
    /// unless the handler fails with an error that is not a session's ([`AsSessionError`]). If the compiler
    /// cannot infer that type, write it out: `Ok::<_, SessionError>(())`.
    ///
    /// ```
    /// use edge_session::testing::{Request, World};
    /// use edge_session::{AsSessionError, SessionError, SessionStore};
    ///
    /// #[derive(Debug)]
    /// enum Problem {
    ///     Session(SessionError),
    ///     SoldOut,
    /// }
    /// # impl From<SessionError> for Problem {
    /// #     fn from(error: SessionError) -> Self {
    /// #         Self::Session(error)
    /// #     }
    /// # }
    /// impl AsSessionError for Problem {
    ///     fn as_session_error(&self) -> Option<&SessionError> {
    ///         match self {
    ///             Self::Session(error) => Some(error),
    ///             Self::SoldOut => None,
    ///         }
    ///     }
    /// }
    ///
    /// async fn add_to_cart(session: &mut SessionStore, item: &str) -> Result<(), Problem> {
    ///     if item == "moon" {
    ///         return Err(Problem::SoldOut);
    ///     }
    ///     Ok(session.set("cart", [item])?)
    /// }
    ///
    /// # futures_executor::block_on(async {
    /// let mut browser = World::default().browser();
    /// let request = Request::post("/cart");
    /// let added = browser.send(request, async |session| add_to_cart(session, "moon").await).await;
    /// assert!(matches!(added, Err(Problem::SoldOut)));
    /// # })
    /// ```
    ///
    /// # Errors
    /// The error of the handler, or that of the commit.
    pub async fn send<T, E: From<SessionError> + AsSessionError>(
        &mut self,
        request: Request,
        handler: impl AsyncFnOnce(&mut SessionStore) -> Result<T, E>,
    ) -> Result<T, E> {
        let path = request.path().to_owned();
        let mut session = self.load(request).await;
        let result = Timing::during(session.timing(), handler(&mut session)).await;
        let status = if result.is_ok() { 200 } else { 500 };
        let committed = self.world.sessions().commit(&mut session, status).await;
        let (headers, error) = match committed {
            Ok(headers) => (headers, None),
            Err(error) => (session.done_headers(), Some(error)),
        };
        // An unrelated error leaves `Sessions::handle` as it is: the session's headers are not sent.
        let is_unrelated = |error: &E| error.as_session_error().is_none();
        if result.as_ref().is_err_and(is_unrelated) {
            self.headers = CommitHeaders::default();
            return result;
        }
        self.take(&path, headers);
        match (result, error) {
            (Ok(_), Some(error)) => Err(error.into()),
            (result, _) => result,
        }
    }

    /// Loads the session of `request`. End with [`commit`](Self::commit), which takes the status of
    /// the response.
    ///
    /// ```
    /// use edge_session::testing::{Request, World};
    /// # futures_executor::block_on(async {
    /// let mut browser = World::default().browser();
    /// let mut session = browser.load(Request::get("/")).await;
    /// session.set("views", 1)?;
    /// browser.commit(&mut session, 500).await?;
    /// let session = browser.load(Request::get("/")).await;
    /// assert!(session.is_new()?, "a 5xx response saves nothing");
    /// # Ok::<(), edge_session::SessionError>(())
    /// # }).unwrap();
    /// ```
    pub async fn load(&self, request: Request) -> SessionStore {
        self.world.sessions().load(self.presenting(request)).await
    }

    /// The session of `request`, not loaded.
    ///
    /// ```
    /// use edge_session::testing::{Request, World};
    /// # futures_executor::block_on(async {
    /// let world = World::default();
    /// let mut browser = world.browser();
    /// browser.handle(async |session| session.set("views", 1)).await?;
    /// world.store().reset_operations();
    /// let mut session = browser.open(Request::get("/about"));
    /// browser.commit(&mut session, 200).await?;
    /// assert_eq!(world.store().operations().reads, 0);
    /// # Ok::<(), edge_session::SessionError>(())
    /// # }).unwrap();
    /// ```
    #[must_use]
    pub fn open(&self, request: Request) -> SessionStore {
        self.world.sessions().open(self.presenting(request))
    }

    /// Commits a session for a response of this status, and stores the cookies in the jar.
    ///
    /// ```
    /// use edge_session::testing::{Request, World};
    /// # futures_executor::block_on(async {
    /// let mut browser = World::default().browser();
    /// let mut session = browser.load(Request::get("/")).await;
    /// session.set("views", 1)?;
    /// browser.commit(&mut session, 200).await?;
    /// assert!(browser.cookie("__Host-session").is_some());
    /// # Ok::<(), edge_session::SessionError>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// If the session cannot be saved. Cookies of earlier operations are stored all the same.
    pub async fn commit(
        &mut self,
        session: &mut SessionStore,
        status: u16,
    ) -> Result<(), SessionError> {
        let committed = self.world.sessions().commit(session, status).await;
        let (headers, result) = match committed {
            Ok(headers) => (headers, Ok(())),
            Err(error) => (session.done_headers(), Err(error)),
        };
        self.take("/", headers);
        result
    }

    fn take(&mut self, path: &str, headers: CommitHeaders) {
        for field in headers.set_cookie() {
            self.take_cookie(path, field);
        }
        self.headers = headers;
    }

    fn take_cookie(&mut self, path: &str, field: &str) {
        let now = self.world.clock().now();
        if let Err(why) = self.jar.receive(now, path, field) {
            self.refused.push(format!("{why}: {field}"));
        }
    }

    fn presenting(&self, request: Request) -> Presenting {
        Presenting {
            cookie: self.cookie_header(&request),
            request,
        }
    }

    /// The Cookie header for a request that a framework handles, such as an `http::Request` for a
    /// router.
    ///
    /// ```
    /// use edge_session::testing::{Request, World};
    /// let mut browser = World::default().browser();
    /// browser.receive(["theme=dark; Path=/settings"]);
    /// assert_eq!(browser.cookie_header(&Request::get("/")), None);
    /// let header = browser.cookie_header(&Request::get("/settings/colours"));
    /// assert_eq!(header.as_deref(), Some("theme=dark"));
    /// ```
    #[must_use]
    pub fn cookie_header(&self, request: &Request) -> Option<String> {
        self.jar.header(self.world.clock().now(), request)
    }

    /// Stores the cookies of such a framework's response: one string for each `Set-Cookie` field.
    ///
    /// ```
    /// use edge_session::testing::World;
    /// let mut browser = World::default().browser();
    /// browser.receive(["theme=dark; Max-Age=60", "lang=nl"]);
    /// assert_eq!(browser.cookie("theme"), Some("dark"));
    /// ```
    pub fn receive<S: AsRef<str>>(&mut self, set_cookie: impl IntoIterator<Item = S>) {
        for field in set_cookie {
            self.take_cookie("/", field.as_ref());
        }
    }

    /// Names and values of the cookies that have not expired.
    ///
    /// ```
    /// use edge_session::testing::World;
    /// # futures_executor::block_on(async {
    /// let mut browser = World::default().browser();
    /// browser.handle(async |session| session.set("views", 1)).await?;
    /// let names: Vec<&str> = browser.cookies().map(|(name, _)| name).collect();
    /// assert_eq!(names, ["__Host-session", "__Host-session-fresh"]);
    /// # Ok::<(), edge_session::SessionError>(())
    /// # }).unwrap();
    /// ```
    pub fn cookies(&self) -> impl Iterator<Item = (&str, &str)> {
        self.jar.pairs(self.world.clock().now())
    }

    /// The value of the cookie with this name.
    ///
    /// ```
    /// use edge_session::testing::World;
    /// let mut browser = World::default().browser();
    /// browser.receive(["theme=dark"]);
    /// assert_eq!(browser.cookie("theme"), Some("dark"));
    /// ```
    #[must_use]
    pub fn cookie(&self, name: &str) -> Option<&str> {
        let mut named = self.cookies().filter(|(of, _)| *of == name);
        named.next().map(|(_, value)| value)
    }

    /// Removes the cookies with this name.
    ///
    /// ```
    /// use edge_session::testing::World;
    /// let mut browser = World::default().browser();
    /// browser.receive(["theme=dark"]);
    /// browser.remove_cookie("theme");
    /// assert_eq!(browser.cookie("theme"), None);
    /// ```
    pub fn remove_cookie(&mut self, name: &str) {
        self.jar.remove(name);
    }

    /// The `Set-Cookie` fields that were refused, each as `reason: field`.
    ///
    /// ```
    /// use edge_session::testing::World;
    /// let mut browser = World::default().browser();
    /// browser.receive(["__Host-theme=dark; Path=/"]);
    /// assert_eq!(
    ///     browser.refused(),
    ///     ["its name prefix requires Secure: __Host-theme=dark; Path=/"]
    /// );
    /// ```
    #[must_use]
    pub fn refused(&self) -> &[String] {
        &self.refused
    }

    /// The headers of the last commit.
    ///
    /// ```
    /// use edge_session::testing::World;
    /// # futures_executor::block_on(async {
    /// let mut browser = World::default().browser();
    /// browser.handle(async |_session| Ok(())).await?;
    /// assert!(browser.headers().is_empty(), "the page can be cached");
    /// # Ok::<(), edge_session::SessionError>(())
    /// # }).unwrap();
    /// ```
    pub fn headers(&self) -> &CommitHeaders {
        &self.headers
    }

    /// Closes the browser and opens it again: cookies with neither `Max-Age` nor `Expires` are gone.
    ///
    /// ```
    /// use edge_session::testing::World;
    /// let mut browser = World::default().browser();
    /// browser.receive(["theme=dark; Max-Age=60", "lang=nl"]);
    /// browser.close();
    /// assert_eq!(browser.cookies().collect::<Vec<_>>(), [("theme", "dark")]);
    /// ```
    pub fn close(&mut self) {
        self.jar.close();
    }

    /// Sends all further requests to `world`, which was created by [`World::elsewhere`] or
    /// [`World::with_settings`].
    ///
    /// ```
    /// use edge_session::testing::World;
    /// # futures_executor::block_on(async {
    /// let world = World::default();
    /// let mut browser = world.browser();
    /// browser.handle(async |session| session.set("views", 1)).await?;
    /// let elsewhere = world.elsewhere();
    /// browser.go_to(&elsewhere);
    /// browser.handle(async |session| session.get::<u32>("views")).await?;
    /// assert_eq!(elsewhere.store().operations().reads, 1, "its memory was empty");
    /// # Ok::<(), edge_session::SessionError>(())
    /// # }).unwrap();
    /// ```
    pub fn go_to(&mut self, world: &World) {
        self.world = world.clone();
    }
}

impl fmt::Debug for Browser {
    /// Only the names of the cookies: their values are secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.cookies().map(|(name, _)| name).collect();
        f.debug_struct("Browser")
            .field("cookies", &names)
            .finish_non_exhaustive()
    }
}

/// A request with the cookies of its browser. If it has its own Cookie header, that is used.
struct Presenting {
    request: Request,
    cookie: Option<String>,
}

impl RequestHead for Presenting {
    fn header(&self, name: &str) -> Option<String> {
        let own = self.request.header(name);
        if name == "cookie" && own.is_none() {
            return self.cookie.clone();
        }
        own
    }

    fn method(&self) -> String {
        self.request.method()
    }

    fn place(&self) -> Option<String> {
        self.request.place()
    }
}
