//! When a session ends: by its own end, its idle time or its hard end.
//!
//! A session ends at the earliest of three limits: the *hard end*, which is fixed when the lineage
//! starts (`SESSION_COOKIE_AGE`) and never moves later; the *idle time* since the browser's last
//! visit; and the session's *own end*, if [`set_expiry`](crate::SessionStore::set_expiry) has set
//! one. A limit has passed as soon as its instant is reached.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::port::time::{seconds, whole_seconds};
use crate::protocol::wire::{MAX_INSTANT, Put, Reader};

/// The argument of [`set_expiry`](crate::SessionStore::set_expiry): an end, an idle time and
/// whether the cookies end with the browser, in any combination. One call replaces all three. The
/// settings decide what it does not name.
///
/// ```
/// use std::time::{Duration, SystemTime};
/// use edge_session::Expiry;
/// const MINUTE: Duration = Duration::from_secs(60);
/// // After 30 minutes without a request, or when the browser closes:
/// let bank = Expiry::default_settings().idle(30 * MINUTE).at_browser_close();
/// // In 8 hours, however idle:
/// let shift = Expiry::after(8 * 60 * MINUTE).no_idle();
/// # assert_ne!(bank, shift);
/// ```
///
/// The short forms follow the session dictionary of a Python web framework: a number of seconds or
/// a `SystemTime` is the end, 0 means at browser close, a negative number has passed, and `None`
/// means as in the settings. A `Duration` is an idle time. You can add to them:
///
/// ```
/// use std::time::Duration;
/// use edge_session::Expiry;
/// assert_eq!(Expiry::from(600), Expiry::after(Duration::from_secs(600)));
/// assert_eq!(Expiry::from(0), Expiry::default_settings().at_browser_close());
/// let idle = Duration::from_secs(900);
/// assert_eq!(Expiry::from(idle), Expiry::default_settings().idle(idle));
/// assert_eq!(Expiry::from(None::<i64>), Expiry::default_settings());
/// assert_eq!(Expiry::from(600).idle(idle), Expiry::after(Duration::from_secs(600)).idle(idle));
/// ```
///
/// A fraction of a second is rounded up, so an end or an idle time is never rounded to zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expiry {
    end: End,
    idle: Idle,
    /// `None`: as in the settings.
    browser_close: Option<bool>,
}

/// An end of the session's own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum End {
    /// As the settings say.
    #[default]
    Default,
    /// A number of seconds from now. 0 or less has already passed.
    After(i64),
    /// At this instant, in milliseconds since 1970-01-01 UTC.
    At(i64),
}

impl Expiry {
    /// The expiry of the settings, to which limits can be added.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// use edge_session::Expiry;
    /// session.set_expiry(Expiry::default_settings())?;
    /// assert!(!session.get_expire_at_browser_close()?);
    /// # Ok(()) });
    /// ```
    #[must_use]
    pub fn default_settings() -> Self {
        Self::default()
    }

    /// The session ends after `time`, rounded up to whole seconds; zero is already over. The hard
    /// end still applies if it is earlier.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// use edge_session::Expiry;
    /// use std::time::Duration;
    /// session.set_expiry(Expiry::after(Duration::from_secs(600)))?;
    /// assert_eq!(session.get_expiry_age()?, Duration::from_secs(600));
    /// # Ok(()) });
    /// ```
    #[must_use]
    pub fn after(time: Duration) -> Self {
        let seconds = i64::try_from(whole_seconds(time)).unwrap_or(i64::MAX);
        Self {
            end: End::After(seconds),
            ..Self::default()
        }
    }

    /// The session ends at `instant`, rounded up to whole milliseconds. The hard end still applies
    /// if it is earlier.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// use edge_session::Expiry;
    /// use std::time::{Duration, SystemTime};
    /// // When the identity provider's own session ends:
    /// session.set_expiry(Expiry::until(SystemTime::now() + Duration::from_secs(3_600)))?;
    /// // A fraction of a second counts as one.
    /// assert!(session.get_expiry_age()? <= Duration::from_secs(3_601));
    /// # Ok(()) });
    /// ```
    #[must_use]
    pub fn until(instant: SystemTime) -> Self {
        let since = instant.duration_since(UNIX_EPOCH).unwrap_or_default();
        let milliseconds = since.as_nanos().div_ceil(1_000_000);
        Self::at(i64::try_from(milliseconds).unwrap_or(i64::MAX))
    }

    /// Adds an idle time: the session ends after `time` without a request, rounded up to whole
    /// seconds. Zero means no idle limit, as in the settings.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// use edge_session::Expiry;
    /// use std::time::Duration;
    /// session.set_expiry(Expiry::from(0).idle(Duration::from_secs(1_800)))?;
    /// assert!(session.get_expire_at_browser_close()?);
    /// assert_eq!(session.get_expiry_age()?, Duration::from_secs(1_800));
    /// # Ok(()) });
    /// ```
    #[must_use]
    pub fn idle(self, time: Duration) -> Self {
        Self {
            idle: Idle::new(seconds(time)),
            ..self
        }
    }

    /// Adds that there is no idle limit, not even that of the settings.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// use edge_session::Expiry;
    /// session.set_expiry(Expiry::default_settings().no_idle())?;
    /// assert_eq!(session.idle_expires_at()?, None);
    /// # Ok(()) });
    /// ```
    #[must_use]
    pub fn no_idle(self) -> Self {
        Self {
            idle: Idle::None,
            ..self
        }
    }

    /// Adds that the session ends when the browser closes: its cookies have no Max-Age. Browsers
    /// that restore tabs restore them too.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// use edge_session::Expiry;
    /// use std::time::Duration;
    /// session.set_expiry(Expiry::after(Duration::from_secs(600)).at_browser_close())?;
    /// assert!(session.get_expire_at_browser_close()?);
    /// assert_eq!(session.get_expiry_age()?, Duration::from_secs(600));
    /// # Ok(()) });
    /// ```
    #[must_use]
    pub fn at_browser_close(self) -> Self {
        Self {
            browser_close: Some(true),
            ..self
        }
    }

    /// Adds that the session does not end when the browser closes, even if the settings say so for
    /// sessions without an expiry of their own. A session with its own end or idle time outlives
    /// the browser without this.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// use edge_session::Expiry;
    /// // "Remember me", where SESSION_EXPIRE_AT_BROWSER_CLOSE is on:
    /// session.set_expiry(Expiry::default_settings().outlives_browser())?;
    /// assert!(!session.get_expire_at_browser_close()?);
    /// # Ok(()) });
    /// ```
    #[must_use]
    pub fn outlives_browser(self) -> Self {
        Self {
            browser_close: Some(false),
            ..self
        }
    }

    /// An end at this instant, in milliseconds since 1970-01-01 UTC.
    pub(crate) fn at(milliseconds: i64) -> Self {
        Self {
            end: End::At(milliseconds),
            ..Self::default()
        }
    }

    /// Seconds from now. A fraction is rounded away from 0, so that a short time does not end
    /// immediately and a negative one has passed. 0 means at browser close. `None` for NaN.
    #[cfg(any(test, feature = "js", feature = "deploy"))]
    pub(crate) fn after_seconds(seconds: f64) -> Option<Self> {
        if !seconds.is_finite() {
            return None;
        }
        let whole = if seconds < 0.0 {
            seconds.floor()
        } else {
            seconds.ceil()
        };
        // `as` saturates.
        Some(Self::from(whole as i64))
    }

    /// Adds an idle time of this many seconds, rounded up; 0 means no idle limit. `None` for NaN or
    /// a negative number.
    #[cfg(any(test, feature = "js", feature = "deploy"))]
    pub(crate) fn idle_seconds(self, seconds: f64) -> Option<Self> {
        let is_time = seconds.is_finite() && seconds >= 0.0;
        // `as` saturates.
        is_time.then(|| Self {
            idle: Idle::new(seconds.ceil() as u32),
            ..self
        })
    }
}

/// Seconds from now; 0 is at browser close.
impl From<i64> for Expiry {
    fn from(seconds: i64) -> Self {
        match seconds {
            0 => Self::default().at_browser_close(),
            seconds => Self {
                end: End::After(seconds),
                ..Self::default()
            },
        }
    }
}

/// Seconds from now; 0 is at browser close.
impl From<i32> for Expiry {
    fn from(seconds: i32) -> Self {
        Self::from(i64::from(seconds))
    }
}

/// Idle time, rounded up to whole seconds.
impl From<Duration> for Expiry {
    fn from(idle: Duration) -> Self {
        Self::default().idle(idle)
    }
}

/// An instant, rounded up to whole milliseconds.
impl From<SystemTime> for Expiry {
    fn from(instant: SystemTime) -> Self {
        Self::until(instant)
    }
}

impl<T: Into<Expiry>> From<Option<T>> for Expiry {
    fn from(value: Option<T>) -> Self {
        value.map_or_else(Self::default, Into::into)
    }
}

/// Seconds until an instant. A fraction is rounded away from 0, so that only an end that has been
/// reached gives 0 or less.
pub(crate) fn seconds_left(end: i64, now: i64) -> i64 {
    let left = end.saturating_sub(now);
    if left > 0 {
        left / 1_000 + i64::from(left % 1_000 > 0)
    } else {
        left.div_euclid(1_000)
    }
}

/// A session's own limits, as stored in its record. One call of
/// [`set_expiry`](crate::SessionStore::set_expiry) replaces all three.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct OwnLimits {
    /// The session's own end.
    pub(crate) end: Option<i64>,
    pub(crate) idle: Idle,
    /// True if the cookies end with the browser, whatever the settings say.
    pub(crate) browser_close: bool,
}

/// The idle time of one session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Idle {
    /// As the settings say.
    #[default]
    Default,
    /// No idle limit.
    None,
    /// A number of seconds, at least one.
    Seconds(u32),
}

impl Idle {
    /// 0 for no idle limit.
    pub(crate) fn new(seconds: u32) -> Self {
        match seconds {
            0 => Self::None,
            seconds => Self::Seconds(seconds),
        }
    }
}

impl OwnLimits {
    /// The limits that `expiry` sets at `now`.
    pub(crate) fn new(expiry: Expiry, now: i64) -> Self {
        let end = match expiry.end {
            End::Default => None,
            End::After(seconds) => Some(now.saturating_add(seconds.saturating_mul(1_000))),
            End::At(at) => Some(at),
        };
        let own = Self {
            end,
            idle: expiry.idle,
            browser_close: expiry.browser_close == Some(true),
        };
        if expiry.browser_close == Some(false) && own == Self::default() {
            // With its own end, the session outlives the browser. The hard end applies before this
            // one.
            return Self {
                end: Some(MAX_INSTANT),
                ..own
            };
        }
        own
    }

    /// True if the cookies end with the browser. The settings apply only to a session without its
    /// own limits: one with its own end or idle time outlives the browser.
    pub(crate) fn ends_with_browser(&self, setting: bool) -> bool {
        self.browser_close || (setting && *self == Self::default())
    }

    /// The idle time in force, in seconds; 0 for none.
    pub(crate) fn idle_seconds(&self, default: u32) -> u32 {
        match self.idle {
            Idle::Default => default,
            Idle::None => 0,
            Idle::Seconds(seconds) => seconds,
        }
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.end.is_some()));
        if let Some(at) = self.end {
            out.put_instant(at);
        }
        match self.idle {
            Idle::Default => out.push(0),
            Idle::None => out.push(1),
            Idle::Seconds(seconds) => {
                out.push(2);
                out.put_u32(seconds);
            }
        }
        out.push(u8::from(self.browser_close));
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Option<Self> {
        Some(Self {
            end: match reader.u8()? {
                0 => None,
                1 => Some(reader.instant()?),
                _ => return None,
            },
            idle: match reader.u8()? {
                0 => Idle::Default,
                1 => Idle::None,
                // "No limit" has only one form.
                2 => Idle::Seconds(reader.u32().filter(|seconds| *seconds > 0)?),
                _ => return None,
            },
            browser_close: match reader.u8()? {
                0 => false,
                1 => true,
                _ => return None,
            },
        })
    }
}

/// The limits of one session, as instants in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) own_end: Option<i64>,
    pub(crate) idle_end: Option<i64>,
    pub(crate) hard_end: i64,
}

impl Limits {
    /// `idle_default` in seconds, 0 for none.
    pub(crate) fn new(own: OwnLimits, idle_default: u32, last_seen: i64, hard_end: i64) -> Self {
        let idle = own.idle_seconds(idle_default);
        Self {
            own_end: own.end,
            idle_end: (idle > 0).then(|| last_seen.saturating_add(i64::from(idle) * 1_000)),
            hard_end,
        }
    }

    /// The earliest limit.
    pub(crate) fn end(&self) -> i64 {
        [self.own_end, self.idle_end]
            .into_iter()
            .flatten()
            .fold(self.hard_end, i64::min)
    }

    pub(crate) fn passed(&self, now: i64) -> bool {
        now >= self.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(expiry: Expiry) -> OwnLimits {
        OwnLimits::new(expiry, 0)
    }

    fn idle(seconds: u64) -> Expiry {
        Expiry::default().idle(Duration::from_secs(seconds))
    }

    #[test]
    fn whichever_limit_comes_first() {
        let hard = 1_000_000;
        for (expiry, idle, seen, end) in [
            (Expiry::default(), 0, 0, hard),
            (Expiry::default(), 10, 5_000, 15_000),
            (Expiry::at(12_000), 10, 5_000, 12_000),
            (Expiry::at(20_000), 10, 5_000, 15_000),
            (Expiry::at(i64::MAX), 0, 5_000, hard),
            (idle(3), 10, 5_000, 8_000),
            (Expiry::default().no_idle(), 10, 5_000, hard),
            (Expiry::from(0), 10, i64::MAX, hard),
        ] {
            let limits = Limits::new(own(expiry), idle, seen, hard);
            assert_eq!(limits.end(), end, "{expiry:?}");
        }
        // All three at once.
        let all = |end, seconds| OwnLimits {
            end: Some(end),
            idle: Idle::new(seconds),
            browser_close: true,
        };
        for (own, end) in [
            (all(12_000, 10), 12_000),
            (all(12_000, 3), 8_000),
            (all(12_000, 0), 12_000),
            (all(i64::MAX, 0), hard),
        ] {
            assert_eq!(Limits::new(own, 1, 5_000, hard).end(), end, "{own:?}");
            assert!(own.ends_with_browser(false));
        }
    }

    #[test]
    fn an_instant_that_is_reached_has_passed() {
        let limits = Limits::new(own(idle(1)), 0, 0, 9_000);
        assert!(!limits.passed(999));
        assert!(limits.passed(1_000));
    }

    #[test]
    fn relative_ends_saturate() {
        let end = |seconds| OwnLimits::new(Expiry::from(seconds), 5_000).end;
        assert_eq!(end(i64::MAX), Some(i64::MAX));
        assert_eq!(end(-1), Some(4_000));
    }

    #[test]
    fn the_browsers_close_is_the_settings_where_no_limit_was_given() {
        for (expiry, setting, ends) in [
            (Expiry::default(), false, false),
            (Expiry::default(), true, true),
            (Expiry::at(9), true, false),
            (idle(9), true, false),
            (Expiry::default().no_idle(), true, false),
            (Expiry::from(0), false, true),
            (Expiry::at(9).at_browser_close(), false, true),
            (idle(9).at_browser_close().no_idle(), false, true),
            (Expiry::default().outlives_browser(), true, false),
            (Expiry::default().outlives_browser(), false, false),
            (idle(9).outlives_browser(), true, false),
            (Expiry::from(0).outlives_browser(), true, false),
        ] {
            assert_eq!(own(expiry).ends_with_browser(setting), ends, "{expiry:?}");
        }
    }

    #[test]
    fn a_fraction_is_never_rounded_to_nothing() {
        for (seconds, expiry) in [
            (0.4, Expiry::from(1)),
            (1e-300, Expiry::from(1)),
            (1.5, Expiry::from(2)),
            (2.0, Expiry::from(2)),
            (-0.4, Expiry::from(-1)),
            (-1.5, Expiry::from(-2)),
            (0.0, Expiry::from(0)),
            (-0.0, Expiry::from(0)),
            (1e300, Expiry::from(i64::MAX)),
            (-1e300, Expiry::from(i64::MIN)),
        ] {
            assert_eq!(Expiry::after_seconds(seconds), Some(expiry), "{seconds}");
        }
        for (seconds, idle) in [(0.0, 0), (1e-300, 1), (0.9, 1), (1.1, 2), (1e300, u32::MAX)] {
            let expiry = Expiry::from(600).idle_seconds(seconds).unwrap();
            assert_eq!(
                (expiry.idle, expiry.end),
                (Idle::new(idle), End::After(600)),
                "{seconds}"
            );
        }
        for wrong in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(Expiry::after_seconds(wrong), None);
            assert_eq!(Expiry::default().idle_seconds(wrong), None);
        }
        assert_eq!(Expiry::default().idle_seconds(-0.1), None);
        for (idle, seconds) in [
            (Duration::ZERO, 0),
            (Duration::from_nanos(1), 1),
            (Duration::from_millis(900), 1),
            (Duration::from_millis(1_001), 2),
            (Duration::MAX, u32::MAX),
        ] {
            assert_eq!(Expiry::from(idle).idle, Idle::new(seconds), "{idle:?}");
            let after = End::After(i64::try_from(whole_seconds(idle)).unwrap_or(i64::MAX));
            assert_eq!(Expiry::after(idle).end, after, "{idle:?}");
        }
        let instant = UNIX_EPOCH + Duration::from_nanos(1);
        assert_eq!(Expiry::from(instant), Expiry::at(1));
        for (left, seconds) in [
            (0, 0),
            (1, 1),
            (1_000, 1),
            (1_001, 2),
            (-1, -1),
            (-1_000, -1),
        ] {
            assert_eq!(seconds_left(50 + left, 50), seconds, "{left}");
        }
    }

    #[test]
    fn stored_forms_round_trip() {
        for end in [None, Some(0), Some(77)] {
            for idle in [Idle::Default, Idle::None, Idle::Seconds(9)] {
                for browser_close in [false, true] {
                    let own = OwnLimits {
                        end,
                        idle,
                        browser_close,
                    };
                    let mut bytes = Vec::new();
                    own.encode(&mut bytes);
                    let mut reader = Reader::new(&bytes);
                    assert_eq!(OwnLimits::decode(&mut reader), Some(own));
                    assert!(reader.is_empty());
                }
            }
        }
        for wrong in [
            &[9, 0, 0][..],
            &[0, 9, 0],
            &[0, 0, 9],
            &[0, 2, 0, 0, 0, 0, 0],
            &[0, 0],
        ] {
            assert_eq!(
                OwnLimits::decode(&mut Reader::new(wrong)),
                None,
                "{wrong:?}"
            );
        }
    }
}
