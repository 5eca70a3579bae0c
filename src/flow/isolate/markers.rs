//! The markers of keys, lineages and owners that this isolate knows, and the progress of ending an
//! owner's sessions.

use crate::protocol::keys::{Dead, Id};
use crate::protocol::revocation::{Marker, OwnerMarker, Progress};

use super::Memory;

/// The most markers of keys and lineages that are kept, and the most of owners.
const MARKERS: usize = 16_384;
/// The most markers that are remembered as put. This is more than one invocation can put.
const MARKERS_PUT: usize = 2_048;
/// How long an owner's marker is remembered as put, in milliseconds: for a login after `revoke_all`
/// in the same request.
const PUT_LATELY: i64 = 30_000;
/// The most owners whose progress is remembered.
const PROGRESS: usize = 256;

impl Memory {
    /// Remembers a marker until an instant.
    pub(crate) fn note_marker(&self, dead: Dead, marker: Marker, until: i64) {
        self.with(|state| {
            let noted = || (marker, until);
            let (known, known_until) = state.markers.get_or_insert(self.of(dead), noted);
            // The earliest marker counts, and a revocation more than a rotation.
            *known = known.or_earlier(marker);
            *known_until = until.max(*known_until);
            state.markers.shrink_to(MARKERS);
        });
    }

    /// The known marker for `dead`.
    pub(crate) fn marker(&self, dead: Dead, now: i64) -> Option<Marker> {
        self.with(|state| {
            let (marker, until) = state.markers.get(&self.of(dead))?;
            (now < *until).then_some(*marker)
        })
    }

    /// Remembers an owner marker until an instant.
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

    /// The known owner marker.
    pub(crate) fn owner(&self, owner: Id, now: i64) -> Option<OwnerMarker> {
        self.with(|state| {
            let (marker, until) = state.owners.get(&self.of(owner))?;
            (now < *until).then(|| marker.clone())
        })
    }

    /// Remembers until an instant that this isolate has put the revocation of `dead` into the
    /// store.
    pub(crate) fn note_dead_put(&self, dead: Dead, until: i64) {
        self.with(|state| {
            *state.dead_put.get_or_insert(self.of(dead), || until) = until;
            state.dead_put.shrink_to(MARKERS_PUT);
        });
    }

    /// True if this isolate has recently put the revocation of `dead`.
    pub(crate) fn was_dead_put(&self, dead: Dead, now: i64) -> bool {
        self.with(|state| {
            state
                .dead_put
                .get(&self.of(dead))
                .is_some_and(|until| now < *until)
        })
    }

    /// Remembers until an instant the progress of ending the sessions of `owner`.
    pub(crate) fn note_progress(&self, owner: Id, progress: Progress, until: i64) {
        self.with(|state| {
            let nothing = || (Progress::default(), until);
            *state.progress.get_or_insert(self.of(owner), nothing) = (progress, until);
            state.progress.shrink_to(PROGRESS);
        });
    }

    /// The progress of ending the sessions of `owner` here.
    pub(crate) fn progress(&self, owner: Id, now: i64) -> Option<Progress> {
        self.with(|state| {
            let (progress, until) = state.progress.get(&self.of(owner))?;
            (now < *until).then(|| progress.clone())
        })
    }

    /// Remembers that the store has the known marker of `owner`.
    pub(crate) fn note_owner_put(&self, owner: Id, now: i64) {
        self.with(|state| {
            let until = now.saturating_add(PUT_LATELY);
            *state.owners_put.get_or_insert(self.of(owner), || until) = until;
            state.owners_put.shrink_to(MARKERS_PUT);
        });
    }

    /// A put of a marker of `owner` was not answered in time. Until an instant it may still replace
    /// a later one.
    pub(crate) fn note_owner_timeout(&self, owner: Id, until: i64) {
        self.with(|state| {
            *state.owners_unsure.get_or_insert(self.of(owner), || until) = until;
            state.owners_unsure.shrink_to(MARKERS_PUT);
        });
    }

    /// True if the store may have an older marker of `owner` than this isolate has put.
    pub(crate) fn is_owner_unsure(&self, owner: Id, now: i64) -> bool {
        self.with(|state| {
            let until = state.owners_unsure.get(&self.of(owner));
            until.is_some_and(|until| now < *until)
        })
    }

    /// True if this isolate has recently put a marker of `owner`.
    pub(crate) fn was_owner_put(&self, owner: Id, now: i64) -> bool {
        self.with(|state| {
            state
                .owners_put
                .get(&self.of(owner))
                .is_some_and(|until| now < *until)
        })
    }
}
