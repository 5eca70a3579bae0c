//! Sessions, their store and their clock.

use std::fmt;
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures_util::future::LocalBoxFuture;

use crate::face::connector::memory::ManualClock;
use crate::face::sessions::Sessions;
use crate::port::error::SessionError;
use crate::port::runtime::{PlatformRuntime, Runtime};
use crate::protocol::keys::SecretRing;
use crate::protocol::settings::Settings;

use super::TestStore;

/// 2027-01-15T08:00:00Z, in milliseconds: when every world begins.
const START: i64 = 1_800_000_000_000;

/// A Worker without a platform: sessions, the store that keeps them, and one clock for both.
///
/// A clone is another handle on the same world.
///
/// ```
/// use std::time::Duration;
///
/// use edge_session::testing::World;
/// use edge_session::{Outcome, Settings};
/// # futures_executor::block_on(async {
/// let world = World::new(Settings::default().with_expire_at_browser_close(true));
/// let mut browser = world.browser();
/// browser.handle(async |session| session.set("views", 1)).await?;
/// browser.close();
/// assert_eq!(browser.handle(async |session| session.outcome()).await?, Outcome::New);
/// # Ok::<(), edge_session::SessionError>(())
/// # }).unwrap();
/// ```
#[derive(Clone)]
pub struct World {
    clock: ManualClock,
    store: TestStore,
    sessions: Sessions,
}

impl World {
    /// A world with an empty store. Each has a clock of its own, which begins at the same instant.
    ///
    /// ```
    /// use edge_session::Settings;
    /// use edge_session::testing::World;
    /// let world = World::new(Settings::default());
    /// assert_eq!(world.store().operations().reads, 0);
    /// ```
    ///
    /// # Panics
    /// Where the settings are illegal, alone or together; the text names the setting.
    #[must_use]
    #[track_caller]
    pub fn new(settings: Settings) -> Self {
        let clock = ManualClock::new(START);
        let store = TestStore::new(clock.clone());
        Self::with(clock, store, settings)
    }

    #[track_caller]
    #[allow(clippy::panic, reason = "a test that cannot begin has failed")]
    fn with(clock: ManualClock, store: TestStore, settings: Settings) -> Self {
        match open(&clock, &store, settings) {
            Ok(sessions) => Self {
                clock,
                store,
                sessions,
            },
            Err(error) => panic!("{error}"),
        }
    }

    /// The sessions, for what is not asked through a browser: lists, revocations, statistics.
    ///
    /// ```
    /// # use edge_session::Settings;
    /// # use edge_session::testing::World;
    /// # futures_executor::block_on(async {
    /// let world = World::new(Settings::default());
    /// world.browser().handle(async |session| session.bind("ada")).await?;
    /// assert_eq!(world.sessions().list("ada").await?.len(), 1);
    /// # Ok::<(), edge_session::SessionError>(())
    /// # }).unwrap();
    /// ```
    #[must_use]
    pub fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// The store, to look at and to break.
    ///
    /// ```
    /// # use edge_session::Settings;
    /// # use edge_session::testing::World;
    /// # futures_executor::block_on(async {
    /// let world = World::new(Settings::default());
    /// world.browser().handle(async |_| Ok(())).await?;
    /// assert!(world.store().keys().is_empty(), "a visitor who stores nothing costs nothing");
    /// # Ok::<(), edge_session::SessionError>(())
    /// # }).unwrap();
    /// ```
    #[must_use]
    pub fn store(&self) -> &TestStore {
        &self.store
    }

    /// The clock that sessions, store and cookies live by. [`advance`](Self::advance) moves it on.
    ///
    /// ```
    /// # use edge_session::Settings;
    /// # use edge_session::testing::World;
    /// let world = World::new(Settings::default());
    /// let before = world.clock().now();
    /// world.clock().set(before - 1);
    /// assert_eq!(world.clock().now(), before - 1);
    /// ```
    #[must_use]
    pub fn clock(&self) -> &ManualClock {
        &self.clock
    }

    /// Time passes: for the sessions, the store and the cookies of every browser.
    ///
    /// ```
    /// use std::time::Duration;
    /// # use edge_session::Settings;
    /// # use edge_session::testing::World;
    /// let world = World::new(Settings::default());
    /// let before = world.now();
    /// world.advance(Duration::from_secs(60));
    /// assert_eq!(world.now(), before + Duration::from_secs(60));
    /// ```
    pub fn advance(&self, time: Duration) {
        let milliseconds = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
        self.clock.advance(milliseconds);
    }

    /// The instant that the clock shows.
    ///
    /// ```
    /// # use edge_session::Settings;
    /// # use edge_session::testing::World;
    /// let (one, other) = (World::new(Settings::default()), World::new(Settings::default()));
    /// assert_eq!(one.now(), other.now(), "every world begins at the same instant");
    /// ```
    #[must_use]
    pub fn now(&self) -> SystemTime {
        let since = u64::try_from(self.clock.now()).unwrap_or_default();
        UNIX_EPOCH + Duration::from_millis(since)
    }

    /// The clock and randomness of this world, for sessions that the application makes itself over
    /// [`store`](Self::store).
    ///
    /// ```
    /// use std::rc::Rc;
    /// # use edge_session::{SecretRing, Sessions, Settings};
    /// # use edge_session::testing::World;
    /// let world = World::new(Settings::default());
    /// # let secrets = SecretRing::parse(&edge_session::doc::secret())?;
    /// let store = Rc::new(world.store().clone());
    /// let sessions = Sessions::with_runtime(store, secrets, Settings::default(), world.runtime())?;
    /// # let _ = sessions;
    /// # Ok::<(), edge_session::SessionError>(())
    /// ```
    #[must_use]
    pub fn runtime(&self) -> Rc<dyn Runtime> {
        Rc::new(OnClock(self.clock.clone()))
    }

    /// Another isolate of the same Worker, as in another location: the same store, clock and
    /// settings, and nothing remembered of what this one has done. What
    /// [`lag`](TestStore::lag) hides from one is seen by the other.
    ///
    /// ```
    /// use std::time::Duration;
    /// # use edge_session::{Outcome, Settings};
    /// # use edge_session::testing::World;
    /// # futures_executor::block_on(async {
    /// let world = World::new(Settings::default());
    /// let elsewhere = world.elsewhere();
    /// let mut browser = world.browser();
    /// browser.handle(async |session| session.bind("ada")).await?;
    /// let mut thief = browser.clone();
    /// thief.go_to(&elsewhere);
    /// elsewhere.store().lag();
    /// browser.handle(async |session| session.destroy().await).await?;
    ///
    /// let outcome = thief.handle(async |session| session.outcome()).await?;
    /// assert_eq!(outcome, Outcome::Loaded, "that location has not heard of it");
    /// elsewhere.store().catch_up();
    /// world.advance(Duration::from_secs(60));
    /// let outcome = thief.handle(async |session| session.outcome()).await?;
    /// assert_eq!(outcome, Outcome::Revoked);
    /// # Ok::<(), edge_session::SessionError>(())
    /// # }).unwrap();
    /// ```
    #[must_use]
    pub fn elsewhere(&self) -> Self {
        self.with_settings(self.sessions.settings().clone())
    }

    /// The same Worker deployed with other settings: the same store and clock, and an isolate that
    /// remembers nothing.
    ///
    /// ```
    /// # use edge_session::Settings;
    /// # use edge_session::testing::World;
    /// # futures_executor::block_on(async {
    /// let world = World::new(Settings::default());
    /// let mut browser = world.browser();
    /// browser.handle(async |session| session.set("views", 1)).await?;
    /// let plain = world.with_settings(Settings::default().with_seal(false));
    /// browser.go_to(&plain);
    /// assert_eq!(browser.handle(async |session| session.get("views")).await?, Some(1));
    /// # Ok::<(), edge_session::SessionError>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Panics
    /// Where the settings are illegal, alone or together; the text names the setting.
    #[must_use]
    #[track_caller]
    pub fn with_settings(&self, settings: Settings) -> Self {
        Self::with(self.clock.clone(), self.store.elsewhere(), settings)
    }
}

impl Default for World {
    /// With the settings by default.
    fn default() -> Self {
        Self::new(Settings::default())
    }
}

impl fmt::Debug for World {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("World")
            .field("now", &self.now())
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

fn open(
    clock: &ManualClock,
    store: &TestStore,
    settings: Settings,
) -> Result<Sessions, SessionError> {
    // Any 32 bytes: what is made here leaves no test.
    let secrets = SecretRing::parse(&('A'..='z').collect::<String>())?;
    let runtime = Rc::new(OnClock(clock.clone()));
    Sessions::with_runtime(Rc::new(store.clone()), secrets, settings, runtime)
}

/// The platform's randomness at a world's time. Whoever waits moves the clock.
struct OnClock(ManualClock);

impl Runtime for OnClock {
    fn now(&self) -> i64 {
        self.0.now()
    }

    fn fill_random(&self, out: &mut [u8]) -> Result<(), SessionError> {
        PlatformRuntime.fill_random(out)
    }

    fn sleep(&self, milliseconds: u32) -> LocalBoxFuture<'static, ()> {
        self.0.advance(milliseconds.into());
        Box::pin(std::future::ready(()))
    }

    // The store of a world answers at once; what an application adds to it may take its time.
    fn deadline(&self, _milliseconds: u32) -> LocalBoxFuture<'static, ()> {
        Box::pin(std::future::pending())
    }
}
