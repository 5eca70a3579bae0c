//! The world of one test: sessions, their store and their clock.

use std::fmt;
use std::rc::Rc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::face::builder::Clocked;
use crate::face::connector::memory::ManualClock;
use crate::face::sessions::Sessions;
use crate::port::error::SessionError;
use crate::port::runtime::Runtime;
use crate::protocol::keys::SecretRing;
use crate::protocol::settings::Settings;

use super::TestStore;

/// 2027-01-15T08:00:00Z, in milliseconds: the time at which every world starts.
const START: i64 = 1_800_000_000_000;

/// An isolated world for one test: sessions, their store, and one clock for both.
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
    /// A world with an empty store and its own clock.
    ///
    /// ```
    /// use edge_session::Settings;
    /// use edge_session::testing::World;
    /// let world = World::new(Settings::default());
    /// assert_eq!(world.store().operations().reads, 0);
    /// ```
    ///
    /// # Panics
    /// If the settings are invalid. The message names the setting.
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

    /// The sessions, for calls that need no browser: `list`, `revoke`, `stats`.
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

    /// The store: to inspect it, and to make it fail.
    ///
    /// ```
    /// # use edge_session::Settings;
    /// # use edge_session::testing::World;
    /// # futures_executor::block_on(async {
    /// let world = World::new(Settings::default());
    /// world.browser().handle(async |_| Ok(())).await?;
    /// assert!(world.store().keys().is_empty(), "nothing was stored");
    /// # Ok::<(), edge_session::SessionError>(())
    /// # }).unwrap();
    /// ```
    #[must_use]
    pub fn store(&self) -> &TestStore {
        &self.store
    }

    /// The clock of the sessions, the store and all cookies. Usually [`advance`](Self::advance) is
    /// enough.
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

    /// Moves the clock forward, for the sessions, the store and the cookies of every browser.
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

    /// The current time of the clock.
    ///
    /// ```
    /// # use edge_session::Settings;
    /// # use edge_session::testing::World;
    /// let (one, other) = (World::new(Settings::default()), World::new(Settings::default()));
    /// assert_eq!(one.now(), other.now(), "every world starts at the same time");
    /// ```
    #[must_use]
    pub fn now(&self) -> SystemTime {
        let since = u64::try_from(self.clock.now()).unwrap_or_default();
        UNIX_EPOCH + Duration::from_millis(since)
    }

    /// The runtime of this world, for applications that create their own [`Sessions`] on
    /// [`store`](Self::store).
    ///
    /// ```
    /// use std::rc::Rc;
    /// # use edge_session::{SecretRing, Sessions, Settings};
    /// # use edge_session::testing::World;
    /// let world = World::new(Settings::default());
    /// # let secrets = SecretRing::parse(&edge_session::doc::secret())?;
    /// let store = Rc::new(world.store().clone());
    /// let sessions = Sessions::builder(store, secrets).runtime(world.runtime()).build()?;
    /// # let _ = sessions;
    /// # Ok::<(), edge_session::SessionError>(())
    /// ```
    #[must_use]
    pub fn runtime(&self) -> Rc<dyn Runtime> {
        Rc::new(Clocked(self.clock.clone()))
    }

    /// A second isolate of the same Worker, for example in another location. It has the same store,
    /// clock and settings, but its memory is empty. Each isolate has its own view of the store, so
    /// one can [lag](TestStore::lag) while the other does not.
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
    /// assert_eq!(outcome, Outcome::Loaded, "the logout has not arrived there");
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

    /// The same Worker after a deployment with other settings: the same store and clock, and an
    /// isolate with an empty memory.
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
    /// If the settings are invalid. The message names the setting.
    #[must_use]
    #[track_caller]
    pub fn with_settings(&self, settings: Settings) -> Self {
        Self::with(self.clock.clone(), self.store.elsewhere(), settings)
    }
}

impl Default for World {
    /// A world with the default settings.
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
    // A fixed secret is good enough here: these sessions exist only in a test.
    let secrets = SecretRing::parse(&('A'..='z').collect::<String>())?;
    Sessions::builder(store.clone(), secrets)
        .settings(settings)
        .clock(clock.clone())
        .build()
}
