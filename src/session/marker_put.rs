//! Markers to put: for the old key after a rotation, and for an ended session.

use crate::protocol::config::Config;
use crate::protocol::keys::{Dead, Id, KeyParts};
use crate::protocol::revocation::{Death, Marker, named_by_revocation};
use crate::protocol::ticket::Tombstone;
use crate::session::presented::Identity;
use crate::session::retired::Retired;

/// A marker and its target.
#[derive(Clone)]
pub(crate) struct MarkerPut {
    pub(crate) dead: Dead,
    pub(crate) marker: Marker,
    /// The hard end of the session, if known.
    pub(crate) hard_end: Option<i64>,
    /// The old key, for a rotation.
    pub(crate) rotates: Option<KeyParts>,
}

impl MarkerPut {
    /// The markers for `retired`, dead since `now`.
    pub(crate) fn of(retired: &Retired, now: i64) -> Vec<Self> {
        match retired {
            Retired::Rotated(identity) => vec![Self::rotated(identity, now)],
            Retired::Ended(to_end) => markers_of(to_end.stone, now),
        }
    }

    /// The session continues under another key. The rest of its lineage stays alive.
    pub(crate) fn rotated(identity: &Identity, now: i64) -> Self {
        Self {
            dead: Dead::Key(identity.key.derived),
            marker: Marker::rotated(now),
            hard_end: Some(identity.ticket.hard_end),
            rotates: Some(identity.key),
        }
    }

    /// The whole lineage has ended. `hard_end` is that of `key`. Earlier keys may have a later one,
    /// because a rotation can lower it.
    pub(crate) fn revoked(key: &KeyParts, hard_end: Option<i64>, now: i64) -> Vec<Self> {
        let (keys, lineage) = named_by_revocation(key);
        let is_left_out =
            |dead| matches!(dead, Dead::Lineage(_)) && mutant!(lineage_marker_not_written);
        keys.into_iter()
            .map(Dead::Key)
            .chain([Dead::Lineage(lineage)])
            .filter(|dead| !is_left_out(*dead))
            .map(|dead| Self {
                dead,
                marker: Marker::revoked(now),
                hard_end: hard_end.filter(|_| key.is_first() || dead == Dead::Key(key.derived)),
                rotates: None,
            })
            .collect()
    }

    /// The whole lineage has ended, whichever key a request presents: a load with the first key
    /// reads the marker of that key, a load with any other key reads that of the lineage.
    /// `hard_end` is that of the first key.
    pub(crate) fn lineage_revoked(lineage: Id, hard_end: Option<i64>, now: i64) -> Vec<Self> {
        let first = KeyParts {
            owner: None,
            lineage,
            derived: lineage,
        };
        Self::revoked(&first, hard_end, now)
    }

    pub(crate) fn is_revocation(&self) -> bool {
        self.marker.death == Death::Revoked
    }

    /// The name of the marker in the store.
    pub(crate) fn name(&self, config: &Config) -> String {
        config.names().dead(self.dead)
    }

    /// The same marker at another instant.
    pub(crate) fn at(&self, now: i64) -> Self {
        Self {
            dead: self.dead,
            marker: Marker {
                at: now,
                ..self.marker
            },
            hard_end: self.hard_end,
            rotates: self.rotates,
        }
    }
}

/// The markers for the logout of `stone`.
pub(crate) fn markers_of(stone: Tombstone, now: i64) -> Vec<MarkerPut> {
    MarkerPut::revoked(&stone.key(), Some(stone.hard_end), now)
}
