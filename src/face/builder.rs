//! The builder of `Sessions`.

use std::cell::Cell;
use std::fmt;
use std::rc::Rc;

use futures_util::future::{FutureExt as _, LocalBoxFuture, pending, ready};

use crate::face::connector::memory::ManualClock;
use crate::face::driver::Port;
use crate::face::sessions::Sessions;
use crate::flow::isolate::Isolate;
use crate::port::connector::SessionConnector;
use crate::port::error::SessionError;
use crate::port::events::EventSink;
use crate::port::runtime::{PlatformRuntime, Runtime};
use crate::port::strong::StrongConnector;
use crate::protocol::keys::SecretRing;
use crate::protocol::settings::Settings;

/// Builds [`Sessions`]. Start with [`Sessions::builder`], or for a store that has transactions with
/// [`Sessions::strong_builder`].
///
/// It has no `waitUntil`, because that belongs to one request, and these sessions may serve many.
/// Add it in each request with [`Sessions::with_wait_until`].
///
/// ```
/// use edge_session::connector::{ManualClock, MemoryConnector};
/// use edge_session::{SecretRing, Sessions, Settings};
/// # let ring = SecretRing::parse(&edge_session::doc::secret())?;
/// // The sessions of a test, whose time stands still until it is moved.
/// let clock = ManualClock::new(1_800_000_000_000);
/// let store = MemoryConnector::with_clock(clock.clone());
/// let sessions = Sessions::builder(store, ring)
///     .settings(Settings::default().with_overlay(false))
///     .clock(clock)
///     .build()?;
/// # let _ = sessions;
/// # Ok::<(), edge_session::SessionError>(())
/// ```
#[must_use = "`build` makes the sessions"]
pub struct SessionsBuilder {
    port: Port,
    secrets: SecretRing,
    settings: Settings,
    runtime: Rc<dyn Runtime>,
    isolate: Option<(Isolate, String)>,
    events: Option<Rc<dyn EventSink>>,
}

impl Sessions {
    /// Starts a builder, for sessions with your own clock, an isolate's memory or events.
    ///
    /// ```
    /// use edge_session::connector::MemoryConnector;
    /// use edge_session::{Isolate, SecretRing, Sessions, Settings};
    /// # let ring = SecretRing::parse(&edge_session::doc::secret())?;
    /// let sessions = Sessions::builder(MemoryConnector::new(), ring)
    ///     .settings(Settings::default().with_key_prefix("shop:"))
    ///     .isolate(&Isolate::current(), "SESSIONS")
    ///     .build()?;
    /// # let _ = sessions;
    /// # Ok::<(), edge_session::SessionError>(())
    /// ```
    pub fn builder(
        connector: impl SessionConnector + 'static,
        secrets: SecretRing,
    ) -> SessionsBuilder {
        SessionsBuilder::new(Port::Eventual(Rc::new(connector)), secrets)
    }

    /// As [`builder`](Self::builder), for a store that has transactions. [`strong`](Self::strong)
    /// is the short form.
    ///
    /// ```
    /// use edge_session::connector::{ManualClock, StrongMemory};
    /// use edge_session::{SecretRing, Sessions};
    /// # let ring = SecretRing::parse(&edge_session::doc::secret())?;
    /// let clock = ManualClock::new(1_800_000_000_000);
    /// let store = StrongMemory::with_clock(clock.clone());
    /// let sessions = Sessions::strong_builder(store, ring).clock(clock).build()?;
    /// # let _ = sessions;
    /// # Ok::<(), edge_session::SessionError>(())
    /// ```
    pub fn strong_builder(
        connector: impl StrongConnector + 'static,
        secrets: SecretRing,
    ) -> SessionsBuilder {
        SessionsBuilder::new(Port::Strong(Rc::new(connector)), secrets)
    }
}

impl SessionsBuilder {
    pub(crate) fn new(port: Port, secrets: SecretRing) -> Self {
        Self {
            port,
            secrets,
            settings: Settings::default(),
            runtime: Rc::new(PlatformRuntime),
            isolate: None,
            events: None,
        }
    }

    /// Uses these settings instead of the defaults.
    ///
    /// ```
    /// # use edge_session::{SecretRing, Sessions, Settings, connector::MemoryConnector};
    /// # let ring = SecretRing::parse(&edge_session::doc::secret())?;
    /// let settings = Settings::default().with_key_prefix("shop:");
    /// let sessions = Sessions::builder(MemoryConnector::new(), ring)
    ///     .settings(settings)
    ///     .build()?;
    /// assert_eq!(sessions.settings().key_prefix(), "shop:");
    /// # Ok::<(), edge_session::SessionError>(())
    /// ```
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// Uses a clock that a test moves. Randomness comes from the platform. A pause between two
    /// tries moves the clock. Give the store the same clock: see the example of
    /// [`SessionsBuilder`].
    ///
    /// ```
    /// # use edge_session::{CookieHeader, ErrorCode, SecretRing, Sessions, connector::MemoryConnector};
    /// # futures_executor::block_on(async {
    /// # let ring = SecretRing::parse(&edge_session::doc::secret())?;
    /// use edge_session::connector::ManualClock;
    /// let clock = ManualClock::new(1_800_000_000_000);
    /// let store = MemoryConnector::with_clock(clock.clone());
    /// let sessions = Sessions::builder(store, ring).clock(clock.clone()).build()?;
    /// let mut session = sessions.load(CookieHeader::none()).await;
    /// session.set_expiry(60)?;
    /// clock.advance(61_000);
    /// session.set("late", true)?;
    /// assert_eq!(session.save().await.unwrap_err().code(), ErrorCode::Expired);
    /// # Ok::<(), edge_session::SessionError>(())
    /// # }).unwrap();
    /// ```
    pub fn clock(self, clock: ManualClock) -> Self {
        self.runtime(Clocked(clock))
    }

    /// Uses your own clock, randomness and timer.
    ///
    /// ```
    /// # use edge_session::{SecretRing, Sessions, connector::MemoryConnector};
    /// # let ring = SecretRing::parse(&edge_session::doc::secret())?;
    /// use edge_session::runtime::PlatformRuntime;
    /// let sessions = Sessions::builder(MemoryConnector::new(), ring)
    ///     .runtime(PlatformRuntime)
    ///     .build()?;
    /// # let _ = sessions;
    /// # Ok::<(), edge_session::SessionError>(())
    /// ```
    pub fn runtime(mut self, runtime: impl Runtime + 'static) -> Self {
        self.runtime = Rc::new(runtime);
        self
    }

    /// Shares the memory of `isolate` between requests, as [`Sessions::with_isolate`] does.
    ///
    /// ```
    /// # use edge_session::{SecretRing, Sessions, connector::MemoryConnector};
    /// # let ring = SecretRing::parse(&edge_session::doc::secret())?;
    /// use edge_session::Isolate;
    /// let sessions = Sessions::builder(MemoryConnector::new(), ring)
    ///     .isolate(&Isolate::current(), "SESSIONS")
    ///     .build()?;
    /// # let _ = sessions;
    /// # Ok::<(), edge_session::SessionError>(())
    /// ```
    pub fn isolate(mut self, isolate: &Isolate, namespace: impl Into<String>) -> Self {
        self.isolate = Some((isolate.clone(), namespace.into()));
        self
    }

    /// Reports what happens to sessions to `sink`, as [`Sessions::with_events`] does. Without this call,
    /// a Worker whose settings have [events](Settings::with_events) writes them to the console.
    ///
    /// ```
    /// # use edge_session::{SecretRing, Sessions, connector::MemoryConnector};
    /// # let ring = SecretRing::parse(&edge_session::doc::secret())?;
    /// use edge_session::{Event, EventSink};
    ///
    /// struct Log;
    /// impl EventSink for Log {
    ///     fn event(&self, event: &Event) {
    ///         println!("{event}");
    ///     }
    /// }
    /// let sessions = Sessions::builder(MemoryConnector::new(), ring).events(Log).build()?;
    /// # let _ = sessions;
    /// # Ok::<(), edge_session::SessionError>(())
    /// ```
    pub fn events(mut self, sink: impl EventSink + 'static) -> Self {
        self.events = Some(Rc::new(sink));
        self
    }

    /// Creates the sessions.
    ///
    /// ```
    /// # use edge_session::{SecretRing, Sessions, Settings, connector::MemoryConnector};
    /// # let ring = SecretRing::parse(&edge_session::doc::secret())?;
    /// let odd = Settings::default().with_cookie_name("not a name");
    /// let built = Sessions::builder(MemoryConnector::new(), ring).settings(odd).build();
    /// assert_eq!(built.err().unwrap().code().as_str(), "config");
    /// # Ok::<(), edge_session::SessionError>(())
    /// ```
    ///
    /// # Errors
    /// `config` if a setting or a combination of settings is illegal. The message names the
    /// setting.
    pub fn build(self) -> Result<Sessions, SessionError> {
        let has_transactions = matches!(self.port, Port::Strong(_));
        self.settings.check_store(has_transactions)?;
        let runtime = Rc::clone(&self.runtime);
        let mut sessions = Sessions::of(self.port, &self.secrets, self.settings, self.runtime)?;
        warn_once(sessions.settings(), &*runtime);
        if let Some((isolate, namespace)) = &self.isolate {
            sessions = sessions.with_isolate(isolate, namespace);
        }
        Ok(match self.events.or_else(|| console(sessions.settings())) {
            Some(sink) => sessions.reporting_to(sink),
            None => sessions,
        })
    }
}

thread_local! {
    static WARNED: Cell<bool> = const { Cell::new(false) };
}

/// Warns once per isolate about settings that must not stay on in production.
fn warn_once(settings: &Settings, runtime: &dyn Runtime) {
    if let Some(warning) = settings.warning(settings.naming())
        && !WARNED.replace(true)
    {
        runtime.warn(&format!("edge-session: {warning}"));
    }
}

/// Where the settings send events. Natively there is no console.
fn console(settings: &Settings) -> Option<Rc<dyn EventSink>> {
    #[cfg(target_arch = "wasm32")]
    if settings.events() {
        return Some(Rc::new(crate::face::console::ConsoleEvents));
    }
    let _ = settings;
    None
}

/// Never a secret.
impl fmt::Debug for SessionsBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionsBuilder")
            .field("kind", &self.port.kind())
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// The platform with a clock that a test moves. A pause moves it and takes no real time.
pub(crate) struct Clocked(pub(crate) ManualClock);

impl Runtime for Clocked {
    fn now(&self) -> i64 {
        self.0.now()
    }

    fn fill_random(&self, out: &mut [u8]) -> Result<(), SessionError> {
        PlatformRuntime.fill_random(out)
    }

    fn sleep(&self, milliseconds: u32) -> LocalBoxFuture<'static, ()> {
        self.0.advance(milliseconds.into());
        ready(()).boxed_local()
    }

    /// Time passes only when the test says so, so the store never times out.
    fn deadline(&self, _milliseconds: u32) -> LocalBoxFuture<'static, ()> {
        pending().boxed_local()
    }
}
