//! Conflicts: the row of a session was not as a save expected it.

use crate::port::error::ErrorCode;
use crate::protocol::outcome::{Access, Outcome, Verdict};
use crate::protocol::version::Version;

/// The save that was tried.
#[derive(Clone, Copy)]
pub(crate) struct Tried<'a> {
    pub(crate) revision: &'a str,
    pub(crate) version: Version,
    /// True if an earlier answer to the same try was lost, so that it may have been applied.
    pub(crate) in_doubt: bool,
    /// True if it sets a new end, so that an end that has passed does not matter.
    pub(crate) revives: bool,
}

/// How the save continues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Conflict {
    /// The try was applied. The save is done.
    Applied,
    /// The session is dead. The save is refused with this code.
    Refused(ErrorCode),
    /// Another request has saved, and the try was not applied. The changes are applied to the
    /// current row.
    Replay,
    /// Another request has saved, and it is unknown whether on top of this try. Applying the
    /// changes again could undo what the other request did on purpose.
    InDoubt,
}

/// Judges a row with this `revision` (`None` without a row) and this result of a load.
pub(crate) fn judge_conflict(
    revision: Option<&str>,
    verdict: &Verdict,
    tried: Tried<'_>,
) -> Conflict {
    if revision == Some(tried.revision) && !mutant!(strong_own_try_not_recognised) {
        return Conflict::Applied;
    }
    let record = match (verdict.access, verdict.outcome) {
        (Access::Live, _) => &verdict.envelope,
        (Access::ReadOnly(code) | Access::Closed(code), _) => return Conflict::Refused(code),
        (_, Outcome::Revoked) => return Conflict::Refused(ErrorCode::Revoked),
        (_, Outcome::Rotated) => return Conflict::Refused(ErrorCode::Rotated),
        (_, Outcome::Expired) => &verdict.ended,
        // It existed a moment ago, so it must not be put like a new one.
        (Access::Empty | Access::Detached, _) => {
            return Conflict::Refused(ErrorCode::Unavailable);
        }
    };
    let is_carried = |version| record.as_ref().is_some_and(|it| it.carries(version));
    if is_carried(tried.version) && !mutant!(strong_own_try_not_recognised) {
        return Conflict::Applied;
    }
    if verdict.outcome == Outcome::Expired && !tried.revives {
        return Conflict::Refused(ErrorCode::Expired);
    }
    if tried.in_doubt && !mutant!(strong_doubt_replayed) {
        return Conflict::InDoubt;
    }
    Conflict::Replay
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::record::Envelope;

    const OURS: Version = Version {
        counter: 4,
        writer: 7,
    };

    fn record(version: Version) -> Envelope {
        let mut envelope = Envelope::begin(0, 1_000);
        envelope.version = version;
        envelope
    }

    fn live(envelope: Envelope) -> Verdict {
        Verdict {
            envelope: Some(envelope),
            ..Verdict::nothing(Outcome::Loaded, Access::Live)
        }
    }

    fn expired(envelope: Envelope) -> Verdict {
        Verdict {
            ended: Some(envelope),
            ..Verdict::nothing(Outcome::Expired, Access::Empty)
        }
    }

    /// Written by another save, with a key that still has our version.
    fn with_our_key() -> Envelope {
        let mut envelope = record(OURS);
        envelope.data.values.set("a", "1".into());
        envelope.data.settle(OURS, 0);
        envelope.version = OURS.next(9);
        envelope
    }

    #[test]
    fn the_table_of_conflicts() {
        let theirs = record(OURS.next(9));
        let mut expiry_is_ours = theirs.clone();
        expiry_is_ours.expiry_version = OURS;
        let dead = |outcome, access| Verdict::nothing(outcome, access);
        let certain = Tried {
            revision: "ours",
            version: OURS,
            in_doubt: false,
            revives: false,
        };
        let doubtful = Tried {
            in_doubt: true,
            ..certain
        };
        let reviving = Tried {
            revives: true,
            ..certain
        };
        let refused = Conflict::Refused;
        let rotated = Access::ReadOnly(ErrorCode::Rotated);
        let revoked = Access::ReadOnly(ErrorCode::Revoked);
        let newer = Access::Closed(ErrorCode::Unavailable);
        for (revision, verdict, tried, wanted) in [
            (
                Some("ours"),
                live(theirs.clone()),
                doubtful,
                Conflict::Applied,
            ),
            (
                Some("other"),
                live(with_our_key()),
                doubtful,
                Conflict::Applied,
            ),
            (
                Some("other"),
                live(expiry_is_ours),
                doubtful,
                Conflict::Applied,
            ),
            (
                Some("other"),
                live(theirs.clone()),
                certain,
                Conflict::Replay,
            ),
            (
                Some("other"),
                live(theirs.clone()),
                doubtful,
                Conflict::InDoubt,
            ),
            (
                Some("other"),
                dead(Outcome::Rotated, rotated),
                certain,
                refused(ErrorCode::Rotated),
            ),
            (
                Some("other"),
                dead(Outcome::Rotated, Access::Empty),
                doubtful,
                refused(ErrorCode::Rotated),
            ),
            (
                Some("other"),
                dead(Outcome::Revoked, revoked),
                certain,
                refused(ErrorCode::Revoked),
            ),
            (
                Some("other"),
                dead(Outcome::Revoked, Access::Empty),
                certain,
                refused(ErrorCode::Revoked),
            ),
            (
                Some("other"),
                dead(Outcome::Unavailable, newer),
                certain,
                refused(ErrorCode::Unavailable),
            ),
            (
                Some("other"),
                dead(Outcome::Corrupt, Access::Empty),
                certain,
                refused(ErrorCode::Unavailable),
            ),
            (
                Some("other"),
                expired(theirs.clone()),
                certain,
                refused(ErrorCode::Expired),
            ),
            (
                Some("other"),
                expired(theirs.clone()),
                reviving,
                Conflict::Replay,
            ),
            (
                Some("other"),
                expired(with_our_key()),
                certain,
                Conflict::Applied,
            ),
            (
                None,
                dead(Outcome::Gone, Access::Empty),
                certain,
                refused(ErrorCode::Unavailable),
            ),
            (
                None,
                dead(Outcome::Gone, Access::Empty),
                reviving,
                refused(ErrorCode::Unavailable),
            ),
        ] {
            let found = judge_conflict(revision, &verdict, tried);
            assert_eq!(found, wanted, "{revision:?} {verdict:?} {}", tried.in_doubt);
        }
    }
}
