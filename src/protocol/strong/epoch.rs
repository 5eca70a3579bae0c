//! An owner's epoch: the last instant at which all of the owner's sessions were ended.
//!
//! A login that was decided before that instant and arrives after it is refused: it was in progress
//! when the password was changed. The row `e` of the owner's shard has
//! `2 e <instant> [<lineage> <instant> …]` for a day, which is longer than any request. Each lineage in
//! it was spared by the last call; the instant after it is that of the last call that did not spare it.

use std::collections::BinaryHeap;

use crate::protocol::keys::Id;
use crate::protocol::revocation::CLOCK_SKEW;

/// How long an epoch is kept, in milliseconds.
pub(crate) const EPOCH_LIVES: i64 = 86_400_000;

const FORMAT: &str = "2 e ";

/// When all sessions were ended. The instant 0 means never: with a limit on the sessions of an
/// owner, the row exists for that purpose too.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Epoch {
    pub(crate) at: i64,
    /// Sessions for which an earlier instant counts, and that instant.
    spared: Vec<(Id, i64)>,
}

impl Epoch {
    pub(crate) fn encode(&self) -> String {
        let mut text = format!("{FORMAT}{}", self.at);
        for (lineage, at) in &self.spared {
            text.push_str(&format!(" {lineage} {at}"));
        }
        text
    }

    /// An unreadable row may mean anything.
    pub(crate) fn decode(text: &str) -> Option<Self> {
        let mut words = text.strip_prefix(FORMAT)?.split(' ');
        let at = words.next()?.parse().ok()?;
        let mut spared = Vec::new();
        while let Some(lineage) = words.next() {
            spared.push((Id::parse(lineage)?, words.next()?.parse().ok()?));
        }
        Some(Self { at, spared })
    }

    /// This epoch, after a call at `at` has ended all sessions but for the lineages `spared`.
    pub(crate) fn ended_again(self, at: i64, spared: &[Id], now: i64) -> Self {
        // An epoch of a wrong clock must not hide this call.
        let known = if is_ahead(self.at, now) {
            Self::default()
        } else {
            self
        };
        let latest = known.at.max(at);
        let mut lineages: Vec<Id> = known.spared.iter().map(|(lineage, _)| *lineage).collect();
        lineages.extend(spared);
        let mut lineages = BinaryHeap::from(lineages).into_sorted_vec();
        lineages.dedup();
        let ends = lineages.into_iter().map(|lineage| {
            let before = known.of(lineage);
            match spared.contains(&lineage) {
                true => (lineage, before),
                false => (lineage, before.max(at)),
            }
        });
        Self {
            at: latest,
            spared: ends.filter(|(_, end)| *end < latest).collect(),
        }
    }

    /// True if the login of `lineage` that was decided at `bound_at` is before the epoch. An epoch
    /// that is ahead of `now` by more than clocks may differ comes from a wrong clock, and must not
    /// lock the owner out.
    pub(crate) fn refuses(&self, lineage: Id, bound_at: i64, now: i64) -> bool {
        let end = if mutant!(strong_spared_login_refused) {
            self.at
        } else {
            self.of(lineage)
        };
        bound_at < end && !is_ahead(end, now)
    }

    /// When this session was ended last.
    fn of(&self, lineage: Id) -> i64 {
        let mut spared = self.spared.iter();
        let found = spared.find(|(spared, _)| *spared == lineage);
        found.map_or(self.at, |(_, at)| *at)
    }
}

fn is_ahead(at: i64, now: i64) -> bool {
    at > now.saturating_add(CLOCK_SKEW)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Id = Id([1; 16]);
    const TWO: Id = Id([2; 16]);
    const NOW: i64 = 1_000_000;

    #[test]
    fn an_epoch_is_read_as_it_is_written() {
        let spared = Epoch {
            at: 5,
            spared: vec![(ONE, 0), (TWO, 3)],
        };
        let text = "2 e 5 AQEBAQEBAQEBAQEBAQEBAQ 0 AgICAgICAgICAgICAgICAg 3";
        assert_eq!(spared.encode(), text);
        for epoch in [Epoch::default(), at(1_700_000_000_000), spared] {
            assert_eq!(Epoch::decode(&epoch.encode()), Some(epoch));
        }
        let lineage = "2 e 5 AQEBAQEBAQEBAQEBAQEBAQ";
        for text in ["", "2 e", "2 e ", "2 x 5", "3 e 5", "2 e 5 6", lineage] {
            assert_eq!(Epoch::decode(text), None, "{text}");
        }
    }

    fn at(at: i64) -> Epoch {
        Epoch {
            at,
            ..Epoch::default()
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
            assert_eq!(at(epoch).refuses(ONE, bound_at, now), refused, "{why}");
        }
    }

    /// Whatever calls came before, a login is refused if one of them came after it and did not spare
    /// it.
    #[test]
    fn every_call_counts_for_those_that_it_does_not_spare() {
        let calls: [(i64, &[Id]); 6] = [
            (NOW, &[]),
            (NOW + 10, &[ONE]),
            (NOW + 20, &[TWO]),
            (NOW + 30, &[ONE, TWO]),
            // A clock that is behind.
            (NOW + 15, &[TWO]),
            (NOW + 40, &[]),
        ];
        let mut epoch = Epoch::default();
        for (place, (called_at, spared)) in calls.iter().enumerate() {
            epoch = epoch.ended_again(*called_at, spared, NOW + 50);
            for (lineage, bound_at) in (-1..50).flat_map(|n| [(ONE, NOW + n), (TWO, NOW + n)]) {
                let mut called = calls[..=place].iter();
                let wanted =
                    called.any(|(at, spared)| bound_at < *at && !spared.contains(&lineage));
                let refused = epoch.refuses(lineage, bound_at, NOW + 50);
                assert_eq!(refused, wanted, "{place} {lineage} {bound_at}");
            }
        }
        assert_eq!(epoch, at(NOW + 40), "nothing is kept that does not count");
    }

    #[test]
    fn an_end_that_lies_far_ahead_does_not_hide_a_later_call() {
        let wrong = at(NOW + 3_600_000);
        assert_eq!(wrong.ended_again(NOW, &[], NOW), at(NOW));
        let ahead = at(NOW + CLOCK_SKEW);
        assert_eq!(ahead.clone().ended_again(NOW, &[], NOW), ahead);
    }
}
