//! Sessions of one Worker: how they are opened, loaded and committed.

use std::fmt;
use std::rc::Rc;

use futures_util::future::LocalBoxFuture;

use crate::face::driver::{Driver, Port};
use crate::face::headers::CommitHeaders;
use crate::face::store::SessionStore;
use crate::flow::engine::Flow;
use crate::flow::freshness::Freshness;
use crate::flow::isolate::Isolate;
use crate::flow::shared::{Protocol, Shared};
use crate::flow::stats::{Count, Stats, Timing};
use crate::port::connector::SessionConnector;
use crate::port::error::SessionError;
use crate::port::events::EventSink;
use crate::port::request::RequestHead;
use crate::port::runtime::Runtime;
use crate::port::strong::StrongConnector;
use crate::port::time::whole_milliseconds;
use crate::port::wait_until::WaitUntil;
use crate::protocol::config::Config;
use crate::protocol::keys::SecretRing;
use crate::protocol::outcome::REMOVED_ENTRY_WINDOWS;
use crate::protocol::settings::{Naming, Settings};

/// The sessions of a Worker: settings, secrets and a connector.
///
/// Creating and cloning it is cheap: create one in each request, or keep one.
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
    /// The `waitUntil` of the current request, if it was passed in.
    wait_until: Option<Rc<dyn WaitUntil>>,
}

impl Sessions {
    /// Sessions kept by `connector`.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use edge_session::connector::MemoryConnector;
    /// use edge_session::{SecretRing, Sessions, Settings};
    /// # let secret = edge_session::doc::secret();
    /// let ring = SecretRing::parse(&secret)?;
    /// let settings = Settings::default().with_idle_timeout(Duration::from_secs(900));
    /// let sessions = Sessions::new(MemoryConnector::new(), ring, settings)?;
    /// assert_eq!(sessions.settings().idle_timeout(), Duration::from_secs(900));
    /// # Ok::<(), edge_session::SessionError>(())
    /// ```
    ///
    /// # Errors
    /// `config` if a setting or a combination of settings is illegal, or if the settings ask for
    /// Durable Objects, which take [`strong`](Self::strong). The message names the setting.
    pub fn new(
        connector: impl SessionConnector + 'static,
        secrets: SecretRing,
        settings: Settings,
    ) -> Result<Self, SessionError> {
        Self::builder(connector, secrets).settings(settings).build()
    }

    /// Sessions kept by a store that has transactions: a logout holds everywhere when it returns, no
    /// update is lost, and lists and limits are exact. `docs/consistency.md` compares the two.
    ///
    /// ```
    /// use edge_session::connector::MemoryConnector;
    /// use edge_session::{CookieHeader, SecretRing, Sessions, Settings};
    /// # futures_executor::block_on(async {
    /// # let secret = edge_session::doc::secret();
    /// let ring = SecretRing::parse(&secret)?;
    /// let sessions = Sessions::strong(MemoryConnector::strong(), ring, Settings::default())?;
    ///
    /// let mut session = sessions.load(CookieHeader::none()).await;
    /// session.set("views", 1)?;
    /// let headers = sessions.commit(&mut session, 200).await?;
    /// assert_eq!(headers.set_cookie().len(), 1, "the key cookie, and no copy of the data");
    /// # Ok::<(), edge_session::SessionError>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn strong(
        connector: impl StrongConnector + 'static,
        secrets: SecretRing,
        settings: Settings,
    ) -> Result<Self, SessionError> {
        Self::strong_builder(connector, secrets)
            .settings(settings)
            .build()
    }

    /// Sessions of these parts, on a store of either kind.
    pub(crate) fn of(
        port: Port,
        secrets: &SecretRing,
        settings: Settings,
        runtime: Rc<dyn Runtime>,
    ) -> Result<Self, SessionError> {
        if port.kind() == "durable_object" {
            settings.check_for_objects(Naming::Builder)?;
        }
        let protocol = port.protocol();
        let settings = settings.on_store(protocol == Protocol::Strong);
        let memory = Isolate::new().memory("", settings.key_prefix(), removed_for(&settings));
        let config = Config::new(settings, secrets, port.kind())?;
        Ok(Self {
            shared: Rc::new(Shared::new(config, protocol, memory)),
            driver: Driver::new(port, runtime),
            wait_until: None,
        })
    }

    #[cfg(any(
        feature = "axum",
        all(target_arch = "wasm32", any(test, feature = "js"))
    ))]
    pub(crate) fn shared(&self) -> &Rc<Shared> {
        &self.shared
    }

    /// The same for a flow that belongs to no session: it counts for the request whose handler asks.
    pub(crate) fn counted(&self) -> Rc<Shared> {
        self.shared.counting_for(Timing::current())
    }

    /// Drives `flow` to its end, under `waitUntil` if it was passed in.
    pub(crate) async fn drive<T: 'static>(&self, flow: Flow<T>) -> Result<T, SessionError> {
        self.driver.drive(flow, self.wait_until.as_ref()).await
    }

    /// Shares `isolate`'s memory between the requests of one isolate. `namespace` names the
    /// connector's namespace: sessions of different namespaces never mix. Without this call, each
    /// `Sessions` has its own memory.
    ///
    /// Two configurations with different cookie names serve two separate groups of users. Give each
    /// its own [key prefix](Settings::with_key_prefix). If they share one, this method warns once.
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
                "edge-session: sessions with the cookie \"{}\" share a namespace and a {} with sessions \
                 that use another cookie, so a user's list shows both and \"log out everywhere\" ends both; give each its own prefix",
                settings.cookie_name(),
                settings.name_of("SESSION_KEY_PREFIX"),
            ));
        }
        self.change(|shared| shared.set_memory(memory))
    }

    /// Reports what happens to sessions to `sink`.
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
        self.reporting_to(Rc::new(sink))
    }

    pub(crate) fn reporting_to(self, sink: Rc<dyn EventSink>) -> Self {
        self.change(|shared| shared.set_events(sink))
    }

    /// Uses `wait_until` as the `ctx.waitUntil` of one request. The writes of
    /// [`revoke`](Self::revoke), of [`revoke_all`](Self::revoke_all) and of every session opened by
    /// this `Sessions` then finish even if the browser disconnects. Do not keep it for another
    /// request.
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

    /// As [`with_wait_until`](Self::with_wait_until), with the platform's own implementation.
    #[cfg(feature = "worker")]
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

    /// The session that this request presents, not yet loaded. It does no I/O unless
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

    /// As [`open`](Self::open), for a request that has already been counted.
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

    /// Opens and loads the session that this request presents. This takes one read if the key
    /// cookie is authentic, and none otherwise. The [`outcome`](SessionStore::outcome) says what
    /// the load found. If the result cannot be trusted, every accessor returns an error.
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
        let _outcome = session.load_without_access(Freshness::Memory).await;
        session
    }

    /// As [`load`](Self::load), with the shortest cache time that the store supports. Use it for
    /// pages where a cached copy of a revoked session must not be accepted.
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
        let _outcome = session.load_without_access(Freshness::Shortest).await;
        session
    }

    /// Writes the session's pending changes and returns the headers for the response. `status` is
    /// the status of the response: a 5xx drops every change that was not saved before.
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
    /// As a save. [`SessionStore::done_headers`] has the [`CommitHeaders`] for what was done before
    /// the failure.
    pub async fn commit(
        &self,
        session: &mut SessionStore,
        status: u16,
    ) -> Result<CommitHeaders, SessionError> {
        session.commit(status).await
    }

    /// The counters of this isolate since it started, for a log line or an operations page.
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

/// Never a secret.
impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions")
            .field("settings", self.settings())
            .finish_non_exhaustive()
    }
}

/// How long, in milliseconds, the isolate must remember that a key was removed.
fn removed_for(settings: &Settings) -> i64 {
    whole_milliseconds(settings.window()).saturating_mul(REMOVED_ENTRY_WINDOWS)
}
