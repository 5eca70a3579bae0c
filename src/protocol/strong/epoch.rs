//! An owner's epoch: the last instant at which all of the owner's sessions were ended.
//!
//! A login that was decided before that instant and arrives after it is refused: it was in progress
//! when the password was changed. The row `e` of the owner's shard has `2 e <instant>` for a day,
//! which is longer than any request.

use crate::protocol::revocation::CLOCK_SKEW;

/// How long an epoch is kept, in milliseconds.
pub(crate) const EPOCH_LIVES: i64 = 86_400_000;

const FORMAT: &str = "2 e ";

/// When all sessions were ended. The instant 0 means never: with a limit on the sessions of an
/// owner, the row exists for that purpose too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Epoch(pub(crate) i64);

impl Epoch {
    pub(crate) const NEVER: Self = Self(0);

    pub(crate) fn encode(self) -> String {
        format!("{FORMAT}{}", self.0)
    }

    /// An unreadable row may mean anything.
    pub(crate) fn decode(text: &str) -> Option<Self> {
        text.strip_prefix(FORMAT)?.parse().ok().map(Self)
    }

    /// True if a login that was decided at `bound_at` is before the epoch. An epoch that is ahead
    /// of `now` by more than clocks may differ comes from a wrong clock, and must not lock the
    /// owner out.
    pub(crate) fn refuses(self, bound_at: i64, now: i64) -> bool {
        bound_at < self.0 && self.0 <= now.saturating_add(CLOCK_SKEW)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_is_read_as_it_is_written() {
        for epoch in [Epoch::NEVER, Epoch(1_700_000_000_000)] {
            assert_eq!(Epoch::decode(&epoch.encode()), Some(epoch));
        }
        for text in ["", "2 e", "2 e ", "2 x 5", "3 e 5", "2 e 5 6"] {
            assert_eq!(Epoch::decode(text), None, "{text}");
        }
    }

    #[test]
    fn the_table_of_logins() {
        for (epoch, bound_at, now, refused, why) in [
            (10_000, 9_999, 10_500, true, "it was on its way"),
            (
                10_000,
                10_000,
                10_500,
                false,
                "the changer's own login, in the same millisecond",
            ),
            (10_000, 10_001, 10_500, false, "a later login"),
            (
                12_000,
                11_000,
                11_500,
                true,
                "the other clock is ahead by less than clocks differ",
            ),
            (3_600_000, 11_000, 11_500, false, "the other clock is wrong"),
            (0, 1, 1, false, "nothing was ever ended"),
        ] {
            assert_eq!(Epoch(epoch).refuses(bound_at, now), refused, "{why}");
        }
    }
}
