//! The stored state of one session: its data and the fields around it.

use std::rc::Rc;

use crate::protocol::data::Data;
use crate::protocol::expiry::OwnLimits;
use crate::protocol::version::Version;

/// A session as stored.
#[derive(Clone, Debug)]
pub(crate) struct Envelope {
    pub(crate) version: Version,
    /// When the lineage began.
    pub(crate) created_at: i64,
    pub(crate) saved_at: i64,
    /// When the lineage ends, whatever happens.
    pub(crate) hard_end: i64,
    /// The application's user id and the instant from which the session has been theirs.
    pub(crate) bound: Option<Bound>,
    /// When the user last proved who they are.
    pub(crate) auth_time: Option<i64>,
    pub(crate) expiry: OwnLimits,
    pub(crate) expiry_version: Version,
    pub(crate) device: Device,
    pub(crate) data: Data,
}

/// Whose session it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bound {
    pub(crate) owner: Rc<str>,
    pub(crate) at: i64,
}

/// The browser and place that last wrote the session.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Device {
    pub(crate) user_agent: Option<Rc<str>>,
    pub(crate) place: Option<Rc<str>>,
}

/// Why a stored text cannot be opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unreadable {
    /// Written by a later release.
    UnknownFormat,
    /// Damaged, or sealed for another key of the store.
    Corrupt,
}

impl Envelope {
    /// An empty session that starts now.
    pub(crate) fn begin(now: i64, hard_end: i64) -> Self {
        Self {
            version: Version::default(),
            created_at: now,
            saved_at: now,
            hard_end,
            bound: None,
            auth_time: None,
            expiry: OwnLimits::default(),
            expiry_version: Version::default(),
            device: Device::default(),
            data: Data::default(),
        }
    }

    /// The join of two copies: each key comes from the copy that wrote it last, everything else
    /// from the later copy.
    pub(crate) fn join(self, other: Self) -> Self {
        let (mut newer, older) = if self.version >= other.version {
            (self, other)
        } else {
            (other, self)
        };
        newer.data.join(&older.data);
        newer.saved_at = newer.saved_at.max(older.saved_at);
        if older.expiry_version > newer.expiry_version {
            (newer.expiry, newer.expiry_version) = (older.expiry, older.expiry_version);
        }
        newer
    }

    /// True if joining `other` would not change anything that a save writes.
    pub(crate) fn contains(&self, other: &Self, horizon: i64) -> bool {
        self.version == other.version
            || (self.expiry_version >= other.expiry_version
                && self.data.contains(&other.data, horizon))
    }

    /// True if something in it was written by the save of this version, so that save was stored.
    pub(crate) fn carries(&self, version: Version) -> bool {
        [self.version, self.expiry_version].contains(&version) || self.data.carries(version)
    }

    /// The approximate size in memory, in bytes.
    pub(crate) fn weight(&self) -> usize {
        const FIXED: usize = 256;
        let Device { user_agent, place } = &self.device;
        let owner = self.bound.as_ref().map(|bound| &bound.owner);
        let texts = [owner, user_agent.as_ref(), place.as_ref()];
        let texts = texts.into_iter().flatten().map(|text| text.len());
        FIXED + texts.sum::<usize>() + self.data.weight()
    }
}
