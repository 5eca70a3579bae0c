//! A marker that is to be put: what a new key leaves of the old one, and what an end leaves of a
//! session.

use crate::protocol::config::Config;
use crate::protocol::keys::{Dead, Id, KeyParts};
use crate::protocol::revocation::{Death, Marker, named_by_revocation};
use crate::protocol::ticket::Tombstone;
use crate::session::presented::Identity;
use crate::session::retired::Retired;

/// A marker and where it goes.
#[derive(Clone)]
pub(crate) struct MarkerPut {
    pub(crate) dead: Dead,
    pub(crate) marker: Marker,
    /// When the session that it speaks of ends by itself, where that is known.
    pub(crate) hard_end: Option<i64>,
    /// The key that goes on under another, of a rotation.
    pub(crate) rotates: Option<KeyParts>,
}

impl MarkerPut {
    /// What says that `retired` is dead, since `now`.
    pub(crate) fn of(retired: &Retired, now: i64) -> Vec<Self> {
        match retired {
            Retired::Rotated(identity) => vec![Self::rotated(identity, now)],
            Retired::Ended(to_end) => markers_of(to_end.stone, now),
        }
    }

    /// The session goes on under another key; nothing else of its lineage dies.
    pub(crate) fn rotated(identity: &Identity, now: i64) -> Self {
        Self {
            dead: Dead::Key(identity.key.derived),
            marker: Marker::rotated(now),
            hard_end: Some(identity.ticket.hard_end),
            rotates: Some(identity.key),
        }
    }

    /// The whole lineage is over. `hard_end` is that of `key`: after a rotation, which may bring it
    /// down, the keys before it may have a later one.
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

    /// The whole lineage is over, whichever of its keys it goes by: a load of the first key asks for
    /// that key's marker, a load of any other for the lineage's. `hard_end` is that of the first.
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

    /// The key that it is put under.
    pub(crate) fn name(&self, config: &Config) -> String {
        config.names().dead(self.dead)
    }

    /// The same, of a death at another instant.
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

/// What the logout that `stone` stands for puts.
pub(crate) fn markers_of(stone: Tombstone, now: i64) -> Vec<MarkerPut> {
    MarkerPut::revoked(&stone.key(), Some(stone.hard_end), now)
}
