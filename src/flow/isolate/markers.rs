//! What this isolate has put of the dead: markers of keys, lineages and owners, and how far ending
//! an owner's sessions has come.

use crate::protocol::keys::{Dead, Id};
use crate::protocol::revocation::{Marker, OwnerMarker, Progress};

use super::Memory;

/// Markers that an isolate keeps, and as many of owners.
const MARKERS: usize = 16_384;
/// Markers of which an isolate remembers that it has put them, more than one invocation can put.
const MARKERS_PUT: usize = 2_048;
/// Milliseconds for which it remembers that of an owner's marker: for the login that follows an end to
/// all sessions in the same request.
const PUT_LATELY: i64 = 30_000;
/// Owners of which an isolate remembers how far ending their sessions has come.
const PROGRESS: usize = 256;

impl Memory {
    /// Remembers a marker that this isolate puts, until an instant.
    pub(crate) fn note_marker(&self, dead: Dead, marker: Marker, until: i64) {
        self.with(|state| {
            let noted = || (marker, until);
            let (known, known_until) = state.markers.get_or_insert(self.of(dead), noted);
            // The first word of a death counts, and a revocation more than a rotation.
            *known = known.or_earlier(marker);
            *known_until = until.max(*known_until);
            state.markers.shrink_to(MARKERS);
        });
    }

    /// The marker that this isolate has put of what may be dead.
    pub(crate) fn marker(&self, dead: Dead, now: i64) -> Option<Marker> {
        self.with(|state| {
            let (marker, until) = state.markers.get(&self.of(dead))?;
            (now < *until).then_some(*marker)
        })
    }

    /// Remembers an owner marker that this isolate puts, until an instant.
    pub(crate) fn note_owner(&self, owner: Id, marker: OwnerMarker, until: i64) {
        self.with(|state| {
            let noted = || (marker.clone(), until);
            let known = state.owners.get_or_insert(self.of(owner), noted);
            if known.0.at <= marker.at {
                *known = (marker, until);
            }
            state.owners.shrink_to(MARKERS);
        });
    }

    /// The owner marker that this isolate has put.
    pub(crate) fn owner(&self, owner: Id, now: i64) -> Option<OwnerMarker> {
        self.with(|state| {
            let (marker, until) = state.owners.get(&self.of(owner))?;
            (now < *until).then(|| marker.clone())
        })
    }

    /// Remembers until an instant that the revocation of `dead` stands in the store: this isolate
    /// has put it.
    pub(crate) fn note_dead_put(&self, dead: Dead, until: i64) {
        self.with(|state| {
            *state.dead_put.get_or_insert(self.of(dead), || until) = until;
            state.dead_put.shrink_to(MARKERS_PUT);
        });
    }

    /// True where this isolate has put the revocation of `dead` lately.
    pub(crate) fn was_dead_put(&self, dead: Dead, now: i64) -> bool {
        self.with(|state| {
            state
                .dead_put
                .get(&self.of(dead))
                .is_some_and(|until| now < *until)
        })
    }

    /// Remembers until an instant how far ending the sessions of `owner` has come here.
    pub(crate) fn note_progress(&self, owner: Id, progress: Progress, until: i64) {
        self.with(|state| {
            let nothing = || (Progress::default(), until);
            *state.progress.get_or_insert(self.of(owner), nothing) = (progress, until);
            state.progress.shrink_to(PROGRESS);
        });
    }

    /// How far ending the sessions of `owner` has come here.
    pub(crate) fn progress(&self, owner: Id, now: i64) -> Option<Progress> {
        self.with(|state| {
            let (progress, until) = state.progress.get(&self.of(owner))?;
            (now < *until).then(|| progress.clone())
        })
    }

    /// Remembers that the marker of `owner` that is known here stands in the store.
    pub(crate) fn note_owner_put(&self, owner: Id, now: i64) {
        self.with(|state| {
            let until = now.saturating_add(PUT_LATELY);
            *state.owners_put.get_or_insert(self.of(owner), || until) = until;
            state.owners_put.shrink_to(MARKERS_PUT);
        });
    }

    /// A put of a marker of `owner` was not answered in time: until an instant it may still land
    /// over a later one.
    pub(crate) fn note_owner_timeout(&self, owner: Id, until: i64) {
        self.with(|state| {
            *state.owners_unsure.get_or_insert(self.of(owner), || until) = until;
            state.owners_unsure.shrink_to(MARKERS_PUT);
        });
    }

    /// True where the store may hold an older marker of `owner` than this isolate has put.
    pub(crate) fn is_owner_unsure(&self, owner: Id, now: i64) -> bool {
        self.with(|state| {
            let until = state.owners_unsure.get(&self.of(owner));
            until.is_some_and(|until| now < *until)
        })
    }

    /// True where this isolate has put a marker of `owner` lately.
    pub(crate) fn was_owner_put(&self, owner: Id, now: i64) -> bool {
        self.with(|state| {
            state
                .owners_put
                .get(&self.of(owner))
                .is_some_and(|until| now < *until)
        })
    }
}
