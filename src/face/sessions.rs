//! Sessions of one Worker: how they are opened, loaded and committed.

use std::rc::Rc;

use futures_util::future::LocalBoxFuture;

use crate::face::driver::Driver;
use crate::face::headers::CommitHeaders;
use crate::face::store::SessionStore;
use crate::flow::engine::Flow;
use crate::flow::freshness::Freshness;
use crate::flow::isolate::Isolate;
use crate::flow::shared::Shared;
use crate::flow::stats::{Count, Stats};
use crate::port::connector::SessionConnector;
use crate::port::error::SessionError;
use crate::port::events::EventSink;
use crate::port::request::RequestHead;
use crate::port::runtime::{PlatformRuntime, Runtime};
use crate::port::wait_until::WaitUntil;
use crate::protocol::config::Config;
use crate::protocol::keys::SecretRing;
use crate::protocol::outcome::TOMBSTONE_WINDOWS;
use crate::protocol::settings::Settings;

/// The sessions of a Worker: settings, secrets and a connector.
///
/// Cheap to make and to clone; make one in each request or keep one.
///
/// ```
/// use edge_session::{CookieHeader, SecretRing, Sessions, Settings};
/// use edge_session::connector::MemoryConnector;
/// # futures_executor::block_on(async {
/// # let secret = edge_session::doc::secret();
/// let ring = SecretRing::parse(&secret)?;
/// let sessions = Sessions::new(MemoryConnector::new(), ring, Settings::default())?;
///
/// let mut session = sessions.load(CookieHeader::none()).await;
/// session.set("views", 1)?;
/// let headers = sessions.commit(&mut session, 200).await?;
/// assert!(headers.set_cookie()[0].starts_with("__Host-session="));
/// # Ok::<(), edge_session::SessionError>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct Sessions {
    shared: Rc<Shared>,
    driver: Driver,
    /// Of the request that these are for, where it was handed over.
    wait_until: Option<Rc<dyn WaitUntil>>,
}

impl Sessions {
    /// Sessions kept by `connector`.
    ///
    /// ```
    /// use edge_session::connector::MemoryConnector;
    /// use edge_session::{SecretRing, Sessions, Settings};
    /// # let secret = edge_session::doc::secret();
    /// let ring = SecretRing::parse(&secret)?;
    /// let settings = Settings::default().with_idle_timeout(900);
    /// let sessions = Sessions::new(MemoryConnector::new(), ring, settings)?;
    /// assert_eq!(sessions.settings().idle_timeout(), 900);
    /// # Ok::<(), edge_session::SessionError>(())
    /// ```
    ///
    /// # Errors
    /// `config` where the settings are illegal, alone or together; the text names the setting.
    pub fn new(
        connector: impl SessionConnector + 'static,
        secrets: SecretRing,
        settings: Settings,
    ) -> Result<Self, SessionError> {
        Self::with_runtime(
            Rc::new(connector),
            secrets,
            settings,
            Rc::new(PlatformRuntime),
        )
    }

    /// The same with a clock and randomness of one's own, for tests.
    ///
    /// ```
    /// use std::rc::Rc;
    ///
    /// use edge_session::connector::MemoryConnector;
    /// use edge_session::runtime::PlatformRuntime;
    /// use edge_session::{SecretRing, Sessions, Settings};
    /// # let ring = SecretRing::parse(&edge_session::doc::secret())?;
    /// let connector = Rc::new(MemoryConnector::new());
    /// let runtime = Rc::new(PlatformRuntime); // or one whose clock a test moves
    /// let sessions = Sessions::with_runtime(connector, ring, Settings::default(), runtime)?;
    /// # let _ = sessions;
    /// # Ok::<(), edge_session::SessionError>(())
    /// ```
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_runtime(
        connector: Rc<dyn SessionConnector>,
        secrets: SecretRing,
        settings: Settings,
        runtime: Rc<dyn Runtime>,
    ) -> Result<Self, SessionError> {
        let memory = Isolate::new().memory("", settings.key_prefix(), removed_for(&settings));
        let config = Config::new(settings, &secrets, connector.kind())?;
        Ok(Self {
            shared: Rc::new(Shared::new(config, memory)),
            driver: Driver::new(connector, runtime),
            wait_until: None,
        })
    }

    pub(crate) fn shared(&self) -> &Rc<Shared> {
        &self.shared
    }

    /// Sees `flow` through, registered with the platform where that was handed over.
    pub(crate) async fn drive<T: 'static>(&self, flow: Flow<T>) -> Result<T, SessionError> {
        self.driver.drive(flow, self.wait_until.as_ref()).await
    }

    /// The same, remembering in `isolate` what requests of one isolate can share. `namespace`
    /// names the connector's namespace: sessions of two never mix. Without this, these sessions
    /// remember for themselves.
    ///
    /// Two configurations with two cookie names are two populations of users: give each a
    /// [key prefix](Settings::with_key_prefix) of its own. Where they share one, this warns once.
    ///
    /// ```
    /// # edge_session::doc::run(async |sessions| {
    /// use edge_session::Isolate;
    /// let sessions = sessions.with_isolate(&Isolate::current(), "SESSIONS");
    /// # let _ = sessions;
    /// # Ok(()) });
    /// ```
    #[must_use]
    pub fn with_isolate(self, isolate: &Isolate, namespace: &str) -> Self {
        let settings = self.settings();
        let memory = isolate.memory(namespace, settings.key_prefix(), removed_for(settings));
        if memory.is_second_name(settings.cookie_name()) && !settings.disable_warnings() {
            self.driver.runtime().warn(&format!(
                "edge-session: sessions with the cookie {:?} share a namespace and a \
                 SESSION_KEY_PREFIX with sessions that use another cookie, so a user's list \
                 shows both and \"log out everywhere\" ends both; give each its own prefix",
                settings.cookie_name(),
            ));
        }
        self.change(|shared| shared.set_memory(memory))
    }

    /// The same, telling `sink` what happens to sessions.
    ///
    /// ```
    /// # edge_session::doc::run(async |sessions| {
    /// use edge_session::{CookieHeader, Event, EventSink};
    ///
    /// struct Log;
    /// impl EventSink for Log {
    ///     fn event(&self, event: &Event) {
    ///         println!("{event}");
    ///     }
    /// }
    ///
    /// let sessions = sessions.with_events(Log);
    /// # sessions.load(CookieHeader::none()).await;
    /// # Ok(()) });
    /// ```
    #[must_use]
    pub fn with_events(self, sink: impl EventSink + 'static) -> Self {
        self.change(|shared| shared.set_events(Rc::new(sink)))
    }

    /// The same for one request, whose `ctx.waitUntil` is `wait_until`: the writes of
    /// [`revoke`](Self::revoke) and [`revoke_all`](Self::revoke_all), and of every session that is
    /// opened by these, are carried to their end though the browser goes away. Do not keep them for
    /// another request.
    ///
    /// In a Worker, `with_context(&ctx)` does this.
    ///
    /// ```
    /// # edge_session::doc::run(async |sessions| {
    /// let sessions = sessions.with_wait_until(|work| {
    ///     // `platform.wait_until(work)`
    /// #   drop(work);
    /// });
    /// sessions.revoke_all("ada").await?;
    /// # Ok(()) });
    /// ```
    #[must_use]
    pub fn with_wait_until(
        mut self,
        wait_until: impl Fn(LocalBoxFuture<'static, ()>) + 'static,
    ) -> Self {
        self.wait_until = Some(Rc::new(wait_until));
        self
    }

    /// The same with a platform's own.
    #[cfg(all(target_arch = "wasm32", feature = "worker"))]
    pub(crate) fn registered_with(mut self, wait_until: Rc<dyn WaitUntil>) -> Self {
        self.wait_until = Some(wait_until);
        self
    }

    fn change(mut self, change: impl FnOnce(&mut Shared)) -> Self {
        change(Rc::make_mut(&mut self.shared));
        self
    }

    /// The settings in force.
    ///
    /// ```
    /// # edge_session::doc::run(async |sessions| {
    /// assert_eq!(sessions.settings().cookie_name(), "__Host-session");
    /// # Ok(()) });
    /// ```
    #[must_use]
    pub fn settings(&self) -> &Settings {
        self.shared.config().settings()
    }

    /// The session that this request presents, unloaded: no I/O, and none later unless
    /// [`SessionStore::load`] is called.
    ///
    /// ```
    /// # edge_session::doc::run(async |sessions| {
    /// use edge_session::CookieHeader;
    /// let session = sessions.open(CookieHeader::new("__Host-session=…"));
    /// assert!(session.get::<u32>("views").is_err(), "it is not loaded");
    /// # Ok(()) });
    /// ```
    pub fn open(&self, request: impl RequestHead + 'static) -> SessionStore {
        self.shared.count(Count::Requests);
        self.open_uncounted(request)
    }

    /// The same, where the request was counted already.
    pub(crate) fn open_uncounted(&self, request: impl RequestHead + 'static) -> SessionStore {
        let mut sessions = self.clone();
        if self.settings().server_timing() {
            sessions = sessions.change(|shared| shared.set_timing(Rc::default()));
        }
        let request = Rc::new(request);
        SessionStore::open(
            sessions.shared,
            sessions.driver,
            request,
            sessions.wait_until,
        )
    }

    /// The session that this request presents, loaded: one read where its key cookie is authentic,
    /// none otherwise. What was found is its [`outcome`](SessionStore::outcome); where that cannot
    /// be trusted, every accessor says so.
    ///
    /// ```
    /// # edge_session::doc::run(async |sessions| {
    /// use edge_session::{CookieHeader, Outcome};
    /// let session = sessions.load(CookieHeader::new("__Host-session=forged")).await;
    /// assert_eq!(session.outcome()?, Outcome::Rejected);
    /// # Ok(()) });
    /// ```
    pub async fn load(&self, request: impl RequestHead + 'static) -> SessionStore {
        let mut session = self.open(request);
        let _outcome = session.load_unseen(Freshness::Memory).await;
        session
    }

    /// As [`load`](Self::load), with the shortest cache time that the store has: for a page where
    /// a revoked session must not get by on a cached copy.
    ///
    /// ```
    /// # edge_session::doc::run(async |sessions| {
    /// use edge_session::{CookieHeader, Outcome};
    /// let session = sessions.load_fresh(CookieHeader::none()).await;
    /// assert_eq!(session.outcome()?, Outcome::New);
    /// # Ok(()) });
    /// ```
    pub async fn load_fresh(&self, request: impl RequestHead + 'static) -> SessionStore {
        let mut session = self.open(request);
        let _outcome = session.load_unseen(Freshness::Shortest).await;
        session
    }

    /// Carries out what the request decided about its session, and gives the headers that say so.
    /// `status` is that of the answer: a 5xx drops every change that was not saved before.
    ///
    /// ```
    /// # edge_session::doc::run(async |sessions| {
    /// use edge_session::CookieHeader;
    /// let mut session = sessions.load(CookieHeader::none()).await;
    /// session.set("views", 1)?;
    /// let headers = sessions.commit(&mut session, 200).await?;
    /// for cookie in headers.set_cookie() {
    ///     // response.headers_mut().append("set-cookie", cookie)
    /// #   assert!(cookie.starts_with("__Host-session"));
    /// }
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// What a save can fail with; [`CommitHeaders`] of what was done before are in
    /// [`SessionStore::done_headers`].
    pub async fn commit(
        &self,
        session: &mut SessionStore,
        status: u16,
    ) -> Result<CommitHeaders, SessionError> {
        session.commit(status).await
    }

    /// What this isolate has counted since it began: for a log line, or a page for operators.
    ///
    /// ```
    /// # edge_session::doc::run(async |sessions| {
    /// use edge_session::{CookieHeader, Outcome};
    /// sessions.load(CookieHeader::none()).await;
    /// assert_eq!(sessions.stats().outcome(Outcome::New), 1);
    /// # Ok(()) });
    /// ```
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared.memory().stats()
    }
}

/// Milliseconds for which it has to be known that a key was removed.
fn removed_for(settings: &Settings) -> i64 {
    i64::from(settings.window()) * 1_000 * TOMBSTONE_WINDOWS
}
