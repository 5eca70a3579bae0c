//! When a session ends: by its own end, by idleness, at its hard end.
//!
//! Three limits, whichever comes first: the *hard end*, fixed when the lineage began
//! (`SESSION_COOKIE_AGE`) and never moved; the *idle time* since the browser was last seen; and the
//! session's *own end*, if [`set_expiry`](crate::SessionStore::set_expiry) gave it one. An instant
//! that is reached has passed.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::wire::{Put, Reader};

/// What [`set_expiry`](crate::SessionStore::set_expiry) takes.
///
/// ```
/// use std::time::Duration;
/// use edge_session::Expiry;
/// assert_eq!(Expiry::from(600), Expiry::After(600));
/// assert_eq!(Expiry::from(0), Expiry::BrowserClose);
/// assert_eq!(Expiry::from(Duration::from_secs(900)), Expiry::Idle(900));
/// assert_eq!(Expiry::from(None::<i64>), Expiry::Default);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Expiry {
    /// As the settings say.
    #[default]
    Default,
    /// So many seconds from now; negative is already over.
    After(i64),
    /// At this instant, in milliseconds since 1970-01-01 UTC.
    At(i64),
    /// After so many seconds without a request; 0 is never.
    Idle(u32),
    /// When the browser closes: the cookies carry no Max-Age.
    BrowserClose,
}

impl Expiry {
    /// The same with a relative end made absolute.
    pub(crate) fn resolve(self, now: i64) -> Self {
        match self {
            Self::After(seconds) => Self::At(now.saturating_add(seconds.saturating_mul(1_000))),
            other => other,
        }
    }

    pub(crate) fn encode(self, out: &mut Vec<u8>) {
        match self {
            Self::Default => out.push(0),
            // Relative ends are resolved before they are stored; a stray one stores its default.
            Self::After(_) => out.push(0),
            Self::At(at) => {
                out.push(1);
                out.put_instant(at);
            }
            Self::Idle(seconds) => {
                out.push(2);
                out.put_u32(seconds);
            }
            Self::BrowserClose => out.push(3),
        }
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Option<Self> {
        Some(match reader.u8()? {
            0 => Self::Default,
            1 => Self::At(reader.instant()?),
            2 => Self::Idle(reader.u32()?),
            3 => Self::BrowserClose,
            _ => return None,
        })
    }
}

/// Seconds from now; 0 is at browser close.
impl From<i64> for Expiry {
    fn from(seconds: i64) -> Self {
        if seconds == 0 {
            Self::BrowserClose
        } else {
            Self::After(seconds)
        }
    }
}

/// Seconds from now; 0 is at browser close.
impl From<i32> for Expiry {
    fn from(seconds: i32) -> Self {
        Self::from(i64::from(seconds))
    }
}

/// Idle time, in whole seconds.
impl From<Duration> for Expiry {
    fn from(idle: Duration) -> Self {
        Self::Idle(u32::try_from(idle.as_secs()).unwrap_or(u32::MAX))
    }
}

impl From<SystemTime> for Expiry {
    fn from(at: SystemTime) -> Self {
        let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self::At(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}

impl<T: Into<Expiry>> From<Option<T>> for Expiry {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Default, Into::into)
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
    pub(crate) fn new(expiry: Expiry, idle_default: u32, last_seen: i64, hard_end: i64) -> Self {
        let idle = idle_seconds(expiry, idle_default);
        Self {
            own_end: match expiry {
                Expiry::At(at) => Some(at),
                _ => None,
            },
            idle_end: (idle > 0).then(|| last_seen.saturating_add(i64::from(idle) * 1_000)),
            hard_end,
        }
    }

    /// Whichever limit comes first.
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

/// The idle time in force, in seconds; 0 for none.
pub(crate) fn idle_seconds(expiry: Expiry, default: u32) -> u32 {
    match expiry {
        Expiry::Idle(seconds) => seconds,
        _ => default,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whichever_limit_comes_first() {
        let hard = 1_000_000;
        for (expiry, idle, seen, end) in [
            (Expiry::Default, 0, 0, hard),
            (Expiry::Default, 10, 5_000, 15_000),
            (Expiry::At(12_000), 10, 5_000, 12_000),
            (Expiry::At(20_000), 10, 5_000, 15_000),
            (Expiry::At(i64::MAX), 0, 5_000, hard),
            (Expiry::Idle(3), 10, 5_000, 8_000),
            (Expiry::Idle(0), 10, 5_000, hard),
            (Expiry::BrowserClose, 10, i64::MAX, hard),
        ] {
            assert_eq!(
                Limits::new(expiry, idle, seen, hard).end(),
                end,
                "{expiry:?}"
            );
        }
    }

    #[test]
    fn an_instant_that_is_reached_has_passed() {
        let limits = Limits::new(Expiry::Idle(1), 0, 0, 9_000);
        assert!(!limits.passed(999));
        assert!(limits.passed(1_000));
    }

    #[test]
    fn relative_ends_saturate() {
        assert_eq!(Expiry::After(i64::MAX).resolve(5), Expiry::At(i64::MAX));
        assert_eq!(Expiry::After(-1).resolve(5_000), Expiry::At(4_000));
    }

    #[test]
    fn stored_forms_round_trip() {
        for expiry in [
            Expiry::Default,
            Expiry::At(77),
            Expiry::Idle(9),
            Expiry::BrowserClose,
        ] {
            let mut bytes = Vec::new();
            expiry.encode(&mut bytes);
            assert_eq!(Expiry::decode(&mut Reader::new(&bytes)), Some(expiry));
        }
        assert_eq!(Expiry::decode(&mut Reader::new(&[9])), None);
    }
}
