//! Markers: keys in the namespace that say that sessions are dead.
//!
//! Markers have their own keys, because the store orders only puts of the same key: a late save of
//! a request that started before the logout would overwrite a tombstone under the record's key.
//! Saves never write these keys, so nothing brings a session back.
//!
//! * `k.<derived key>`: this key is dead, because the session continues under another key
//!   (*rotated*) or has ended (*revoked*);
//! * `l.<lineage>`: every key that the session ever had or will have is dead;
//! * `o.<owner tag>`: the owner's sessions that were bound at or before an instant are dead, except
//!   for the spared lineages;
//! * `p.<owner tag>` is not a marker: it stores the progress of ending an owner's sessions one by
//!   one.

use crate::port::error::ErrorCode;
use crate::protocol::keys::{Id, KeyParts};
use crate::protocol::wire::{decode_text, encode_text};

/// The assumed maximum difference between the clocks of two servers, in milliseconds.
pub(crate) const CLOCK_SKEW: i64 = 2_000;

/// The format of markers: `2 <r or x> <instant>`, or `2 o <instant> [<lineage> …]`.
const FORMAT: &str = "2";

/// How long a marker outlives the last session that it concerns, in seconds.
pub(crate) const MARKER_MARGIN: i64 = 300;
/// The lifetime of a marker if the hard end of its sessions is unknown, in seconds: that of the
/// longest possible cookie (400 days, rfc6265bis section 5.5).
pub(crate) const MARKER_MAX_TTL: u32 = 34_560_000;

/// Why a key is dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Death {
    /// The session continues under a new key.
    Rotated,
    /// The session has ended.
    Revoked,
}

impl Death {
    /// The error code of a refused save.
    pub(crate) fn code(self) -> ErrorCode {
        match self {
            Self::Rotated => ErrorCode::Rotated,
            Self::Revoked => ErrorCode::Revoked,
        }
    }
}

/// A `k.` or `l.` marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Marker {
    pub(crate) death: Death,
    pub(crate) at: i64,
}

impl Marker {
    pub(crate) fn revoked(at: i64) -> Self {
        Self {
            death: Death::Revoked,
            at,
        }
    }

    pub(crate) fn rotated(at: i64) -> Self {
        Self {
            death: Death::Rotated,
            at,
        }
    }

    /// The deciding one of two markers for one key: a revocation before a rotation, then the
    /// earlier one, because the grace period starts with it.
    pub(crate) fn or_earlier(self, other: Self) -> Self {
        match (self.death, other.death) {
            (Death::Revoked, Death::Rotated) => self,
            (Death::Rotated, Death::Revoked) => other,
            _ if self.at <= other.at => self,
            _ => other,
        }
    }

    pub(crate) fn encode(self) -> String {
        let death = match self.death {
            Death::Rotated => 'r',
            Death::Revoked => 'x',
        };
        format!("{FORMAT} {death} {}", self.at)
    }

    /// Parses a marker. The existence of the key means that something is dead, so an unreadable
    /// marker counts as an old revocation.
    pub(crate) fn decode(text: &str) -> Self {
        let mut words = text.split(' ');
        let read = (
            words.next(),
            words.next(),
            words.next().and_then(|at| at.parse().ok()),
        );
        match read {
            (Some(FORMAT), Some("r"), Some(at)) => Self::rotated(at),
            (Some(FORMAT), Some("x"), Some(at)) => Self::revoked(at),
            _ => Self::revoked(0),
        }
    }
}

/// An `o.` marker: sessions of an owner bound at or before `at` are dead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct OwnerMarker {
    pub(crate) at: i64,
    pub(crate) except: Vec<Id>,
}

impl OwnerMarker {
    pub(crate) fn encode(&self) -> String {
        let mut text = format!("{FORMAT} o {}", self.at);
        for lineage in &self.except {
            text.push(' ');
            text.push_str(&lineage.to_string());
        }
        text
    }

    /// `None` if it cannot be read, because then it is unknown which sessions are dead.
    pub(crate) fn decode(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let (Some(FORMAT), Some("o")) = (words.next(), words.next()) else {
            return None;
        };
        let at = words.next()?.parse().ok()?;
        let except = words.map(Id::parse).collect::<Option<_>>()?;
        Some(Self { at, except })
    }

    /// True if a session of this lineage, bound at `bound_at`, is dead.
    pub(crate) fn kills(&self, lineage: Id, bound_at: i64) -> bool {
        bound_at <= self.at && !self.except.contains(&lineage)
    }
}

impl OwnerMarker {
    /// The marker of a call at `now` that spares `except`. It is later than every known marker,
    /// because another server's clock may be ahead, and so that two calls are never mistaken for
    /// one.
    pub(crate) fn later_than(known: Option<&Self>, now: i64, except: &[Id]) -> Self {
        let known = known.map_or(i64::MIN, |known| known.at.saturating_add(1));
        Self {
            at: known.max(now.saturating_add(CLOCK_SKEW)),
            except: except.to_vec(),
        }
    }

    /// This marker, if a call with the earlier marker `other` waited while it was put: that call ends what
    /// only this marker spares. Where this one is later by more than clocks differ, what it spares may
    /// have been bound since, and stays.
    pub(crate) fn after_waiting(self, other: &Self) -> Self {
        let both = |lineage: &&Id| other.except.contains(*lineage);
        let except: Vec<Id> = self.except.iter().filter(both).copied().collect();
        let is_close = self.at.saturating_sub(other.at) <= CLOCK_SKEW;
        if !is_close || except.len() == self.except.len() {
            return self;
        }
        Self {
            at: self.at.saturating_add(1),
            except,
        }
    }

    /// True if the store, which shows `stored`, lacks this marker.
    pub(crate) fn is_later_than(&self, stored: Option<&Self>) -> bool {
        stored.is_none_or(|stored| stored.at < self.at)
    }

    /// The deciding one of two markers of one owner: the later one.
    pub(crate) fn latest(one: Option<Self>, other: Option<Self>) -> Option<Self> {
        match (one, other) {
            (Some(one), Some(other)) if other.at > one.at => Some(other),
            (one, other) => one.or(other),
        }
    }
}

/// The progress of ending all of an owner's sessions, for the call that continues.
///
/// It means: the records that a listing shows before `cursor`, and those whose lineage is not
/// greater than `done`, have their own markers, if their session was bound at or before `since` and
/// is not spared. This stays true over time. If the progress is lost, the next call starts from the
/// beginning.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) since: i64,
    /// The start of the page in which the call stopped; `None` for the first page.
    pub(crate) cursor: Option<String>,
    /// The last processed lineage.
    pub(crate) done: Option<Id>,
    pub(crate) spared: Vec<Id>,
}

/// The placeholder for a missing cursor or lineage.
const NONE: &str = "-";

impl Progress {
    pub(crate) fn encode(&self) -> String {
        let or_none = |text: Option<String>| text.unwrap_or_else(|| NONE.to_owned());
        // A cursor comes from the store and may contain any character.
        let cursor = self.cursor.as_ref();
        let cursor = or_none(cursor.map(|cursor| encode_text(cursor.as_bytes())));
        let done = or_none(self.done.map(|lineage| lineage.to_string()));
        let mut text = format!("{FORMAT} p {} {cursor} {done}", self.since);
        for lineage in &self.spared {
            text.push(' ');
            text.push_str(&lineage.to_string());
        }
        text
    }

    pub(crate) fn decode(text: &str) -> Option<Self> {
        let mut words = text.split(' ');
        let (Some(FORMAT), Some("p")) = (words.next(), words.next()) else {
            return None;
        };
        let since = words.next()?.parse().ok()?;
        let cursor = match words.next()? {
            NONE => None,
            text => Some(String::from_utf8(decode_text(text)?).ok()?),
        };
        let done = match words.next()? {
            NONE => None,
            text => Some(Id::parse(text)?),
        };
        Some(Self {
            since,
            cursor,
            done,
            spared: words.map(Id::parse).collect::<Option<_>>()?,
        })
    }

    /// True if a call has stopped in the middle. After a complete call there is nothing to
    /// continue.
    pub(crate) fn is_begun(&self) -> bool {
        self.cursor.is_some() || self.done.is_some()
    }

    /// True for a processed lineage. Listings are in text order.
    pub(crate) fn has_done(&self, lineage: Id) -> bool {
        let done = self.done.as_ref();
        done.is_some_and(|done| lineage.to_string() <= done.to_string())
    }
}

/// The markers of one session; `None` for one that is absent or was not read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Markers {
    pub(crate) key: Option<Marker>,
    pub(crate) lineage: Option<Marker>,
    pub(crate) owner: Option<OwnerMarker>,
}

impl Markers {
    /// Adds the markers of `other`.
    pub(crate) fn add(&mut self, other: Self) {
        let either = |one: Option<Marker>, other: Option<Marker>| match (one, other) {
            (Some(one), Some(other)) => Some(one.or_earlier(other)),
            (one, other) => one.or(other),
        };
        self.key = either(self.key, other.key);
        self.lineage = either(self.lineage, other.lineage);
        self.owner = OwnerMarker::latest(self.owner.take(), other.owner);
    }

    /// The deciding marker: a revocation before a rotation, because an ended session does not
    /// continue.
    pub(crate) fn death(&self, lineage: Id, bound_at: Option<i64>) -> Option<Marker> {
        let by_owner = match (&self.owner, bound_at) {
            _ if mutant!(owner_marker_ignored) => None,
            (Some(owner), Some(at)) if owner.kills(lineage, at) => Some(Marker::revoked(owner.at)),
            _ => None,
        };
        let all = [self.key, self.lineage, by_owner];
        let revoked = all
            .iter()
            .flatten()
            .filter(|marker| marker.death == Death::Revoked);
        // The earliest one counts, because the grace period starts with it.
        revoked.min_by_key(|marker| marker.at).copied().or(self.key)
    }
}

/// The markers for a revocation of `key`: of this key, the whole lineage, and its first key.
pub(crate) fn named_by_revocation(key: &KeyParts) -> (Vec<Id>, Id) {
    let mut keys = vec![key.derived];
    if !key.is_first() {
        // The first key *is* the lineage, and a load of it does not ask for the `l.` marker.
        keys.push(key.lineage);
    }
    (keys, key.lineage)
}

/// The lifetime of a marker for a session with this hard end, in seconds.
pub(crate) fn marker_ttl(hard_end: Option<i64>, now: i64) -> u32 {
    if mutant!(marker_ttl_short) {
        return 60;
    }
    hard_end.map_or(MARKER_MAX_TTL, |end| {
        let left = end.saturating_sub(now).max(0) / 1_000 + 1 + MARKER_MARGIN;
        u32::try_from(left).unwrap_or(MARKER_MAX_TTL)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Id = Id([1; 16]);
    const B: Id = Id([2; 16]);

    #[test]
    fn markers_round_trip() {
        for marker in [Marker::revoked(17), Marker::rotated(-4)] {
            assert_eq!(Marker::decode(&marker.encode()), marker);
        }
        for except in [vec![], vec![A, B]] {
            let marker = OwnerMarker { at: 99, except };
            assert_eq!(OwnerMarker::decode(&marker.encode()), Some(marker));
        }
    }

    #[test]
    fn progress_round_trips_whatever_is_in_the_cursor() {
        for spared in [vec![], vec![A, B]] {
            for cursor in [None, Some(""), Some("a b"), Some("é\n")] {
                for done in [None, Some(B)] {
                    let progress = Progress {
                        since: -7,
                        cursor: cursor.map(str::to_owned),
                        done,
                        spared: spared.clone(),
                    };
                    assert_eq!(Progress::decode(&progress.encode()), Some(progress));
                }
            }
        }
        let done = Progress::default();
        assert_eq!(done.encode(), "2 p 0 - -");
        assert!(!done.is_begun());
        for text in [
            "",
            "2 o 5",
            "2 p 5",
            "2 p x YQ -",
            "2 p 5 YQ",
            "2 p 5 YQ x",
            "9 p 5 YQ -",
        ] {
            assert_eq!(Progress::decode(text), None, "{text}");
        }
    }

    #[test]
    fn progress_knows_what_comes_before_its_place() {
        // The order of texts is not that of bytes.
        let [first, second, third] = [Id([0xff; 16]), Id([0xd3; 16]), Id([1; 16])];
        let mut texts = [first, second, third].map(|id| id.to_string());
        texts.sort();
        let sorted = texts.each_ref().map(|text| Id::parse(text).unwrap());
        let progress = Progress {
            done: Some(sorted[1]),
            ..Progress::default()
        };
        assert_eq!(sorted.map(|id| progress.has_done(id)), [true, true, false]);
        assert!(!Progress::default().has_done(A));
    }

    #[test]
    fn each_owner_marker_is_later_than_all_that_are_known() {
        let marker = |at| OwnerMarker { at, except: vec![] };
        let at = |known: Option<i64>, now| {
            OwnerMarker::later_than(known.map(marker).as_ref(), now, &[]).at
        };
        assert_eq!(at(None, 100), 100 + CLOCK_SKEW);
        assert_eq!(at(Some(50), 100), 100 + CLOCK_SKEW);
        assert_eq!(at(Some(9_000), 100), 9_001);
        assert_eq!(at(Some(i64::MAX), 100), i64::MAX);
        let spares = |at, lineage| {
            let except = vec![lineage];
            Some(OwnerMarker { at, except })
        };
        let latest = OwnerMarker::latest;
        assert_eq!(latest(spares(5, A), spares(6, B)), spares(6, B));
        assert_eq!(latest(spares(5, A), spares(5, B)), spares(5, A));
        assert_eq!(latest(None, spares(5, B)), spares(5, B));
        assert_eq!(latest(spares(5, A), None), spares(5, A));
    }

    #[test]
    fn what_cannot_be_read_is_dead_all_the_same() {
        for text in ["", "1 r 5", "3 r 5", "2 q 5", "2 r", "2 r x", "\u{fffd}"] {
            assert_eq!(Marker::decode(text), Marker::revoked(0), "{text}");
            assert_eq!(OwnerMarker::decode(text), None, "{text}");
        }
    }

    #[test]
    fn an_owner_marker_spares_later_logins_and_the_excepted() {
        let marker = OwnerMarker {
            at: 100,
            except: vec![B],
        };
        assert!(marker.kills(A, 100));
        assert!(!marker.kills(A, 101));
        assert!(!marker.kills(B, 5));
    }

    #[test]
    fn a_revocation_counts_before_a_rotation() {
        let mut markers = Markers {
            key: Some(Marker::rotated(5)),
            ..Markers::default()
        };
        assert_eq!(markers.death(A, None), Some(Marker::rotated(5)));
        markers.lineage = Some(Marker::revoked(9));
        assert_eq!(markers.death(A, None), Some(Marker::revoked(9)));
        markers.owner = Some(OwnerMarker {
            at: 7,
            except: vec![],
        });
        assert_eq!(markers.death(A, None), Some(Marker::revoked(9)));
        assert_eq!(markers.death(A, Some(3)), Some(Marker::revoked(7)));
    }

    #[test]
    fn of_two_markers_of_one_key_a_revocation_counts_and_then_the_earlier() {
        let cases = [
            (Marker::revoked(9), Marker::rotated(5), Marker::revoked(9)),
            (Marker::revoked(5), Marker::revoked(9), Marker::revoked(5)),
            (Marker::rotated(5), Marker::rotated(9), Marker::rotated(5)),
        ];
        for (one, other, decides) in cases {
            assert_eq!(one.or_earlier(other), decides);
            assert_eq!(other.or_earlier(one), decides);
        }
    }

    #[test]
    fn what_another_has_heard_is_added() {
        let owner = |at, except: &[Id]| {
            let except = except.to_vec();
            Some(OwnerMarker { at, except })
        };
        let heard = |owner| Markers {
            key: Some(Marker::revoked(5)),
            lineage: Some(Marker::revoked(7)),
            owner,
        };
        let mut markers = Markers::default();
        markers.add(heard(owner(100, &[B])));
        assert_eq!(markers, heard(owner(100, &[B])));
        // The later owner marker counts, the first of two of one instant.
        for (other, then) in [
            (owner(99, &[]), owner(100, &[B])),
            (owner(100, &[]), owner(100, &[B])),
            (None, owner(100, &[B])),
            (owner(101, &[A]), owner(101, &[A])),
        ] {
            markers.add(Markers {
                owner: other,
                ..Markers::default()
            });
            assert_eq!(markers, heard(then));
        }
    }

    #[test]
    fn a_revocation_names_the_first_key_too() {
        let first = KeyParts {
            owner: None,
            lineage: A,
            derived: A,
        };
        assert_eq!(named_by_revocation(&first), (vec![A], A));
        let later = KeyParts {
            owner: None,
            lineage: A,
            derived: B,
        };
        assert_eq!(named_by_revocation(&later), (vec![B, A], A));
    }

    #[test]
    fn a_marker_outlives_its_session() {
        assert_eq!(marker_ttl(Some(10_500), 0), 10 + 1 + 300);
        assert_eq!(marker_ttl(Some(0), 99_000), 301);
        assert_eq!(marker_ttl(None, 0), MARKER_MAX_TTL);
        assert_eq!(marker_ttl(Some(i64::MAX), i64::MIN), MARKER_MAX_TTL);
    }
}
