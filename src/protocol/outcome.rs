//! The outcome of a load.
//!
//! Cookies, markers and copies of the record may each be late, lost or old. The pure function
//! [`judge`] decides what they mean together, for one session: one of nine outcomes. Of the other
//! three, `new` and `rejected` follow from the cookies alone, `ambiguous` from too many sessions or
//! from [`choose`]. `expired`, `revoked` and `unavailable` also arise without `judge`: from an
//! ended cookie, from a logout that is not stored yet, and from a failed read.

use crate::port::error::ErrorCode;
use crate::port::events::EventKind;
use crate::protocol::expiry::Limits;
use crate::protocol::keys::Id;
use crate::protocol::record::{Envelope, Unreadable};
use crate::protocol::revocation::{CLOCK_SKEW, Death, Markers};
use crate::protocol::version::Version;

/// What a load found.
///
/// ```
/// # edge_session::doc::with_session(|session| {
/// use edge_session::Outcome;
/// let greeting = match session.outcome()? {
///     Outcome::New => "Welcome.",
///     Outcome::Expired | Outcome::Gone => "You were away for long.",
///     _ => "Hello again.",
/// };
/// assert_eq!(greeting, "Welcome.");
/// # Ok(()) });
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Outcome {
    /// The request has no session cookie.
    New,
    /// The session was found.
    Loaded,
    /// The session continues under a new token. It can be read for a while, but not saved.
    Rotated,
    /// The session is too new to be visible at this location. Its state is not known yet.
    Pending,
    /// Only a copy older than the one that this browser saved is visible. It can be read, but not
    /// saved.
    Stale,
    /// The session is no longer in the store.
    Gone,
    /// The session has expired.
    Expired,
    /// The session was ended by a logout or a revocation.
    Revoked,
    /// The cookie is not one of ours.
    Rejected,
    /// The request has authentic cookies of two different sessions. Neither is chosen.
    Ambiguous,
    /// The stored record cannot be opened.
    Corrupt,
    /// The store could not be asked.
    Unavailable,
}

impl Outcome {
    /// Every outcome.
    #[cfg(all(target_arch = "wasm32", feature = "js"))]
    pub(crate) const ALL: &[Self] = &[
        Self::New,
        Self::Loaded,
        Self::Rotated,
        Self::Pending,
        Self::Stale,
        Self::Gone,
        Self::Expired,
        Self::Revoked,
        Self::Rejected,
        Self::Ambiguous,
        Self::Corrupt,
        Self::Unavailable,
    ];

    /// The stable text of this outcome.
    ///
    /// ```
    /// assert_eq!(edge_session::Outcome::Loaded.as_str(), "loaded");
    /// ```
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Loaded => "loaded",
            Self::Rotated => "rotated",
            Self::Pending => "pending",
            Self::Stale => "stale",
            Self::Gone => "gone",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
            Self::Rejected => "rejected",
            Self::Ambiguous => "ambiguous",
            Self::Corrupt => "corrupt",
            Self::Unavailable => "unavailable",
        }
    }

    /// The event that reports this outcome. A visitor without a session is not reported.
    pub(crate) const fn event(self) -> Option<EventKind> {
        Some(match self {
            Self::New => return None,
            Self::Loaded => EventKind::Loaded,
            Self::Rotated => EventKind::Rotated,
            Self::Pending => EventKind::Pending,
            Self::Stale => EventKind::Stale,
            Self::Gone => EventKind::Gone,
            Self::Expired => EventKind::Expired,
            Self::Revoked => EventKind::Revoked,
            Self::Rejected => EventKind::Rejected,
            Self::Ambiguous => EventKind::Ambiguous,
            Self::Corrupt => EventKind::Corrupt,
            Self::Unavailable => EventKind::StoreError,
        })
    }
}

/// What may be done with a session after a load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    /// Read and saved.
    Live,
    /// Read. A save returns the error of this code.
    ReadOnly(ErrorCode),
    /// Nothing: every accessor returns the error of this code.
    Closed(ErrorCode),
    /// As without a cookie: empty, and the first save creates a new session.
    Empty,
    /// Empty. Changes last for this response only, and only a login creates a session.
    Detached,
}

/// Everything that is visible of one session.
pub(crate) struct LoadInput {
    pub(crate) now: i64,
    /// When the store was read. It may show more now.
    pub(crate) asked_at: i64,
    /// W in milliseconds.
    pub(crate) window: i64,
    /// The idle time of the settings, in seconds, 0 for none.
    pub(crate) idle: u32,
    pub(crate) lineage: Id,
    pub(crate) minted_at: i64,
    /// When this ticket ends at the latest.
    pub(crate) end: i64,
    pub(crate) markers: Markers,
    /// The stored record; `None` if there is none.
    pub(crate) stored: Option<Result<Envelope, Unreadable>>,
    /// What else knows the record: the browser's overlay, saved less than W ago, and the isolate.
    pub(crate) known: [Option<Envelope>; 2],
    /// Version and instant of the browser's last save.
    pub(crate) fresh: Option<(Version, i64)>,
    pub(crate) seen: Option<i64>,
}

/// The verdict of [`judge`].
#[derive(Debug)]
pub(crate) struct Verdict {
    pub(crate) outcome: Outcome,
    pub(crate) access: Access,
    /// The session as far as it may be read.
    pub(crate) envelope: Option<Envelope>,
    /// The session whose end has passed, for the save that gives it another.
    pub(crate) ended: Option<Envelope>,
    /// Two copies were joined, and neither contained everything from the other.
    pub(crate) conflict: bool,
    /// When the browser was last here.
    pub(crate) last_seen: i64,
}

impl Verdict {
    pub(crate) fn nothing(outcome: Outcome, access: Access) -> Self {
        Self {
            outcome,
            access,
            envelope: None,
            ended: None,
            conflict: false,
            last_seen: i64::MIN,
        }
    }

    fn found(outcome: Outcome, access: Access, copies: Copies, last_seen: i64) -> Self {
        let Copies { joined, conflict } = copies;
        Self {
            outcome,
            access,
            envelope: Some(joined),
            ended: None,
            conflict,
            last_seen,
        }
    }
}

/// How many windows W the trace of a removed key is kept: longer than any copy may lag.
pub(crate) const REMOVED_ENTRY_WINDOWS: i64 = 10;

struct Copies {
    joined: Envelope,
    conflict: bool,
}

/// What this browser may do with its session.
pub(crate) fn judge(input: LoadInput) -> Verdict {
    let LoadInput {
        now,
        asked_at,
        window,
        idle,
        lineage,
        minted_at,
        end,
        markers,
        stored,
        known,
        fresh,
        seen,
    } = input;
    let within_window = |instant: i64| now < instant.saturating_add(window);
    let idle = if mutant!(idle_time_ignored) { 0 } else { idle };
    let horizon = now.saturating_sub(window.saturating_mul(REMOVED_ENTRY_WINDOWS));

    let (stored, unreadable) = match stored {
        Some(Ok(envelope)) => (Some(envelope), None),
        Some(Err(why)) => (None, Some(why)),
        None => (None, None),
    };
    let copies =
        stored
            .into_iter()
            .chain(known.into_iter().flatten())
            .fold(None, |copies, copy| {
                let Some(Copies { joined, conflict }) = copies else {
                    return Some(Copies {
                        joined: copy,
                        conflict: false,
                    });
                };
                let conflict = conflict
                    || (!joined.contains(&copy, horizon) && !copy.contains(&joined, horizon));
                Some(Copies {
                    joined: joined.join(copy),
                    conflict,
                })
            });

    // Death is judged first: no copy can bring a session back.
    let bound_at = copies
        .as_ref()
        .and_then(|copies| Some(copies.joined.bound.as_ref()?.at));
    let death = markers.death(lineage, bound_at);
    let last_seen = |copies: &Copies| {
        // A server whose clock is ahead must not make a session outlive its idle time.
        let seen = seen.filter(|seen| *seen <= now.saturating_add(CLOCK_SKEW));
        seen.map_or(copies.joined.saved_at, |seen| {
            seen.max(copies.joined.saved_at)
        })
    };
    let passed = |copies: &Copies| {
        Limits::new(copies.joined.expiry, idle, last_seen(copies), end).passed(now)
    };
    match death {
        Some(marker) if marker.death == Death::Revoked => {
            let access = if within_window(marker.at) && !mutant!(dead_ticket_mints) {
                Access::ReadOnly(ErrorCode::Revoked)
            } else {
                Access::Empty
            };
            return Verdict::nothing(Outcome::Revoked, access);
        }
        Some(marker) if !within_window(marker.at) && !mutant!(grace_never_ends) => {
            return Verdict::nothing(Outcome::Rotated, Access::Empty);
        }
        Some(_) => {
            return match copies {
                Some(copies) if !passed(&copies) => {
                    let last_seen = last_seen(&copies);
                    let access = Access::ReadOnly(ErrorCode::Rotated);
                    Verdict::found(Outcome::Rotated, access, copies, last_seen)
                }
                // An empty session would look like "logged out", which is wrong here.
                _ => Verdict::nothing(Outcome::Rotated, Access::Closed(ErrorCode::Rotated)),
            };
        }
        None => {}
    }

    match unreadable {
        Some(Unreadable::UnknownFormat) => {
            let access = Access::Closed(ErrorCode::Unavailable);
            return Verdict::nothing(Outcome::Unavailable, access);
        }
        Some(Unreadable::Corrupt) => return Verdict::nothing(Outcome::Corrupt, Access::Empty),
        None => {}
    }

    let pending = || Verdict::nothing(Outcome::Pending, Access::Closed(ErrorCode::Pending));
    let may_be_unseen = |instant: i64| asked_at < instant.saturating_add(window);
    let floor = fresh.filter(|(_, saved_at)| may_be_unseen(*saved_at));
    let Some(copies) = copies else {
        return if (may_be_unseen(minted_at) || floor.is_some()) && !mutant!(absence_taken_for_gone)
        {
            pending()
        } else {
            Verdict::nothing(Outcome::Gone, Access::Empty)
        };
    };

    // Staleness is judged before expiry, because the end in a stale copy may have moved since.
    let stale = floor.is_some_and(|(version, saved_at)| {
        copies.joined.version < version
            && copies.joined.saved_at <= saved_at
            && !mutant!(version_ignored)
    });
    let seen = last_seen(&copies);
    match (stale, passed(&copies)) {
        (true, true) if mutant!(expiry_before_staleness) => {
            Verdict::nothing(Outcome::Expired, Access::Empty)
        }
        (true, true) => pending(),
        (true, false) if mutant!(stale_saved) => {
            Verdict::found(Outcome::Stale, Access::Live, copies, seen)
        }
        (true, false) => Verdict::found(
            Outcome::Stale,
            Access::ReadOnly(ErrorCode::Stale),
            copies,
            seen,
        ),
        (false, true) => Verdict {
            ended: Some(copies.joined),
            ..Verdict::nothing(Outcome::Expired, Access::Empty)
        },
        (false, false) => Verdict::found(Outcome::Loaded, Access::Live, copies, seen),
    }
}

/// Chooses among several sessions that one browser presents, by what was found for each. `None` if
/// only the user can choose.
///
/// A session that has ended does not count, for whatever reason: a browser keeps the cookies of an
/// earlier Domain setting, and anyone who can set cookies beside ours can add old ones. A session
/// that continues under a new key counts only if no other does. A session that cannot be judged yet
/// counts fully.
pub(crate) fn choose(found: &[(Outcome, Access)]) -> Option<usize> {
    if mutant!(dead_twin_counts) {
        return None;
    }
    let of = |wanted: Standing| {
        let places = found.iter().enumerate();
        places
            .filter(move |(_, (outcome, access))| Standing::of(*outcome, *access) == wanted)
            .map(|(place, _)| place)
    };
    for standing in [Standing::Living, Standing::Leaving] {
        let mut places = of(standing);
        if let Some(place) = places.next() {
            return places.next().is_none().then_some(place);
        }
    }
    // All have ended. One that ended just now prevents the browser from getting a new session
    // automatically.
    let quiet = |place: &usize| matches!(found[*place].1, Access::ReadOnly(_));
    of(Standing::Over).find(quiet).or(of(Standing::Over).next())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Standing {
    Living,
    /// It goes on under a new key, and this one may be read for a while.
    Leaving,
    Over,
}

impl Standing {
    fn of(outcome: Outcome, access: Access) -> Self {
        match (outcome, access) {
            (Outcome::Rotated, Access::Empty) => Self::Over,
            (Outcome::Rotated, _) => Self::Leaving,
            (Outcome::Revoked | Outcome::Gone | Outcome::Expired, _) => Self::Over,
            // What does not open may open the next time.
            _ => Self::Living,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::expiry::OwnLimits;
    use crate::protocol::record::Bound;
    use crate::protocol::revocation::{Marker, OwnerMarker};

    const NOW: i64 = 10_000_000;
    const W: i64 = 102_000;
    const LONG_AGO: i64 = NOW - 2 * W;

    fn copy(counter: u32, saved_at: i64) -> Envelope {
        let mut envelope = Envelope::begin(0, NOW + W);
        envelope.version = Version { counter, writer: 1 };
        envelope.saved_at = saved_at;
        envelope
    }

    fn owned(counter: u32, saved_at: i64, bound_at: i64) -> Envelope {
        let bound = Some(Bound {
            owner: "ada".into(),
            at: bound_at,
        });
        Envelope {
            bound,
            ..copy(counter, saved_at)
        }
    }

    fn fresh(counter: u32, saved_at: i64) -> Option<(Version, i64)> {
        Some((Version { counter, writer: 1 }, saved_at))
    }

    fn load_input() -> LoadInput {
        LoadInput {
            now: NOW,
            asked_at: NOW,
            window: W,
            idle: 3_600,
            lineage: Id([1; 16]),
            minted_at: LONG_AGO,
            end: NOW + W,
            markers: Markers::default(),
            stored: None,
            known: [None, None],
            fresh: None,
            seen: None,
        }
    }

    fn key(marker: Marker) -> Markers {
        Markers {
            key: Some(marker),
            ..Markers::default()
        }
    }

    #[test]
    fn which_of_several_sessions() {
        use Access::{Closed, Empty, Live, ReadOnly};
        let live = (Outcome::Loaded, Live);
        let stale = (Outcome::Stale, ReadOnly(ErrorCode::Stale));
        let pending = (Outcome::Pending, Closed(ErrorCode::Pending));
        let unknown = (Outcome::Unavailable, Closed(ErrorCode::Unavailable));
        let leaving = (Outcome::Rotated, ReadOnly(ErrorCode::Rotated));
        let unseen = (Outcome::Rotated, Closed(ErrorCode::Rotated));
        let replaced = (Outcome::Rotated, Empty);
        let ended = (Outcome::Revoked, ReadOnly(ErrorCode::Revoked));
        let long_ended = (Outcome::Revoked, Empty);
        let gone = (Outcome::Gone, Empty);
        let expired = (Outcome::Expired, Empty);
        let corrupt = (Outcome::Corrupt, Empty);
        let over = [replaced, ended, long_ended, gone, expired];

        for one in [live, stale, pending, unknown, corrupt] {
            for other in over.iter().chain(&[leaving, unseen]) {
                assert_eq!(choose(&[one, *other]), Some(0), "{one:?} {other:?}");
                assert_eq!(choose(&[*other, one]), Some(1), "{other:?} {one:?}");
            }
            for other in [live, stale, pending, unknown, corrupt] {
                assert_eq!(choose(&[one, other]), None, "{one:?} {other:?}");
                assert_eq!(choose(&[gone, one, other, ended]), None);
            }
        }
        for one in [leaving, unseen] {
            for other in over {
                assert_eq!(choose(&[other, one]), Some(1), "{other:?} {one:?}");
            }
            assert_eq!(choose(&[one, leaving]), None);
        }
        // Where all are over, the one that ended last keeps the answer quiet.
        assert_eq!(choose(&[gone, expired]), Some(0));
        assert_eq!(choose(&[gone, long_ended, ended]), Some(2));
        assert_eq!(choose(&[live]), Some(0));
        assert_eq!(choose(&[]), None);
    }

    #[test]
    fn the_table_of_cases() {
        use Access::{Closed, Empty, Live, ReadOnly};
        let stored = |envelope| Some(Ok(envelope));
        let cases: Vec<(&str, LoadInput, Outcome, Access)> = vec![
            (
                "there",
                LoadInput {
                    stored: stored(copy(1, LONG_AGO)),
                    ..load_input()
                },
                Outcome::Loaded,
                Live,
            ),
            (
                "nothing, and old enough",
                load_input(),
                Outcome::Gone,
                Empty,
            ),
            (
                "nothing, just minted",
                LoadInput {
                    minted_at: NOW - W + 1,
                    ..load_input()
                },
                Outcome::Pending,
                Closed(ErrorCode::Pending),
            ),
            (
                "nothing, minted W ago",
                LoadInput {
                    minted_at: NOW - W,
                    ..load_input()
                },
                Outcome::Gone,
                Empty,
            ),
            (
                "nothing, just saved",
                LoadInput {
                    fresh: fresh(4, NOW - 1),
                    ..load_input()
                },
                Outcome::Pending,
                Closed(ErrorCode::Pending),
            ),
            (
                "nothing in the store, the browser carries it",
                LoadInput {
                    minted_at: NOW,
                    known: [Some(copy(1, NOW)), None],
                    fresh: fresh(1, NOW),
                    ..load_input()
                },
                Outcome::Loaded,
                Live,
            ),
            (
                "older than saved",
                LoadInput {
                    stored: stored(copy(3, LONG_AGO)),
                    fresh: fresh(4, NOW - 1),
                    ..load_input()
                },
                Outcome::Stale,
                ReadOnly(ErrorCode::Stale),
            ),
            (
                "older than saved, made up by the overlay",
                LoadInput {
                    stored: stored(copy(3, LONG_AGO)),
                    known: [Some(copy(4, NOW - 1)), None],
                    fresh: fresh(4, NOW - 1),
                    ..load_input()
                },
                Outcome::Loaded,
                Live,
            ),
            (
                "older than saved, but saved later: another writer's",
                LoadInput {
                    stored: stored(copy(3, NOW)),
                    fresh: fresh(4, NOW - 1),
                    ..load_input()
                },
                Outcome::Loaded,
                Live,
            ),
            (
                "older than saved W ago: a lost put must not wedge a session",
                LoadInput {
                    stored: stored(copy(3, LONG_AGO)),
                    fresh: fresh(4, NOW - W),
                    ..load_input()
                },
                Outcome::Loaded,
                Live,
            ),
            (
                "stale and past its own end: the end may have moved",
                LoadInput {
                    stored: stored(Envelope {
                        expiry: OwnLimits {
                            end: Some(NOW),
                            ..OwnLimits::default()
                        },
                        ..copy(3, LONG_AGO)
                    }),
                    fresh: fresh(4, NOW - 1),
                    ..load_input()
                },
                Outcome::Pending,
                Closed(ErrorCode::Pending),
            ),
            (
                "past its own end",
                LoadInput {
                    stored: stored(Envelope {
                        expiry: OwnLimits {
                            end: Some(NOW),
                            ..OwnLimits::default()
                        },
                        ..copy(3, LONG_AGO)
                    }),
                    ..load_input()
                },
                Outcome::Expired,
                Empty,
            ),
            (
                "idle too long",
                LoadInput {
                    stored: stored(copy(3, NOW - 3_600_000)),
                    ..load_input()
                },
                Outcome::Expired,
                Empty,
            ),
            (
                "idle, but seen",
                LoadInput {
                    stored: stored(copy(3, 0)),
                    seen: Some(NOW - 3_599_999),
                    ..load_input()
                },
                Outcome::Loaded,
                Live,
            ),
            (
                "seen by a clock that was ahead",
                LoadInput {
                    stored: stored(copy(3, 0)),
                    seen: Some(NOW + CLOCK_SKEW + 1),
                    ..load_input()
                },
                Outcome::Expired,
                Empty,
            ),
            (
                "at the hard end",
                LoadInput {
                    stored: stored(copy(3, NOW)),
                    end: NOW,
                    ..load_input()
                },
                Outcome::Expired,
                Empty,
            ),
            (
                "rotated just now",
                LoadInput {
                    stored: stored(copy(3, NOW)),
                    markers: key(Marker::rotated(NOW - W + 1)),
                    ..load_input()
                },
                Outcome::Rotated,
                ReadOnly(ErrorCode::Rotated),
            ),
            (
                "rotated just now, and nothing to read",
                LoadInput {
                    markers: key(Marker::rotated(NOW)),
                    ..load_input()
                },
                Outcome::Rotated,
                Closed(ErrorCode::Rotated),
            ),
            (
                "rotated W ago",
                LoadInput {
                    stored: stored(copy(3, NOW)),
                    markers: key(Marker::rotated(NOW - W)),
                    ..load_input()
                },
                Outcome::Rotated,
                Empty,
            ),
            (
                "revoked just now",
                LoadInput {
                    stored: stored(copy(3, NOW)),
                    markers: key(Marker::revoked(NOW)),
                    ..load_input()
                },
                Outcome::Revoked,
                ReadOnly(ErrorCode::Revoked),
            ),
            (
                "revoked W ago",
                LoadInput {
                    stored: stored(copy(3, NOW)),
                    markers: key(Marker::revoked(0)),
                    ..load_input()
                },
                Outcome::Revoked,
                Empty,
            ),
            (
                "the whole lineage revoked",
                LoadInput {
                    stored: stored(copy(3, NOW)),
                    markers: Markers {
                        lineage: Some(Marker::revoked(NOW)),
                        ..Markers::default()
                    },
                    ..load_input()
                },
                Outcome::Revoked,
                ReadOnly(ErrorCode::Revoked),
            ),
            (
                "revoked and damaged: death first",
                LoadInput {
                    stored: Some(Err(Unreadable::Corrupt)),
                    markers: key(Marker::revoked(NOW)),
                    ..load_input()
                },
                Outcome::Revoked,
                ReadOnly(ErrorCode::Revoked),
            ),
            (
                "the owner's sessions revoked",
                LoadInput {
                    stored: stored(owned(3, NOW, NOW - 5)),
                    markers: Markers {
                        owner: Some(OwnerMarker {
                            at: NOW - 5,
                            except: vec![],
                        }),
                        ..Markers::default()
                    },
                    ..load_input()
                },
                Outcome::Revoked,
                ReadOnly(ErrorCode::Revoked),
            ),
            (
                "logged in after the owner's sessions were revoked",
                LoadInput {
                    stored: stored(owned(3, NOW, NOW - 4)),
                    markers: Markers {
                        owner: Some(OwnerMarker {
                            at: NOW - 5,
                            except: vec![],
                        }),
                        ..Markers::default()
                    },
                    ..load_input()
                },
                Outcome::Loaded,
                Live,
            ),
            (
                "damaged",
                LoadInput {
                    stored: Some(Err(Unreadable::Corrupt)),
                    ..load_input()
                },
                Outcome::Corrupt,
                Empty,
            ),
            (
                "of a later release",
                LoadInput {
                    stored: Some(Err(Unreadable::UnknownFormat)),
                    ..load_input()
                },
                Outcome::Unavailable,
                Closed(ErrorCode::Unavailable),
            ),
        ];
        for (name, input, outcome, access) in cases {
            let verdict = judge(input);
            assert_eq!(
                (verdict.outcome, verdict.access),
                (outcome, access),
                "{name}"
            );
            let readable = matches!(
                (outcome, access),
                (_, Live) | (Outcome::Stale | Outcome::Rotated, ReadOnly(_))
            );
            assert_eq!(verdict.envelope.is_some(), readable, "{name}");
        }
    }

    #[test]
    fn copies_that_did_not_know_of_each_other_are_a_conflict() {
        let mut one = copy(2, NOW);
        one.data.values.set("x", "1".into());
        one.data.settle(one.version, 0);
        let mut two = copy(2, NOW);
        two.version.writer = 2;
        two.data.values.set("y", "1".into());
        two.data.settle(two.version, 0);
        let verdict = judge(LoadInput {
            stored: Some(Ok(one)),
            known: [Some(two), None],
            ..load_input()
        });
        assert!(verdict.conflict);
        assert_eq!(verdict.envelope.unwrap().data.values.len(), 2);
    }
}
