//! Saves of a request that failed, but may have been stored. In a store that has transactions, a later
//! load usually shows which.

use std::cell::RefCell;
use std::rc::Rc;

use crate::protocol::record::Envelope;
use crate::protocol::version::Version;

/// One try to save.
pub(crate) struct Try {
    /// The revision of the row that it replaces.
    pub(crate) on: Rc<str>,
    /// What it writes.
    pub(crate) revision: Rc<str>,
    pub(crate) version: Version,
}

/// The tries of a request whose fate is unknown. A running save adds its own; clones share the list.
#[derive(Clone, Default)]
pub(crate) struct Doubts(Rc<RefCell<Vec<Try>>>);

/// What a row shows about them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// There are none.
    Settled,
    /// None has been stored yet, but one may still arrive.
    Open,
    /// The last has been stored, and nobody has saved since.
    Stored,
    /// The last has been stored, and others have saved since: making its changes again could undo
    /// what they did on purpose.
    StoredBefore,
    /// Others have saved, and it is unknown whether they had read one of them.
    Unknown,
}

impl Doubts {
    pub(crate) fn add(&self, tried: Try) {
        self.0.borrow_mut().push(tried);
    }

    /// A try is known not to have been stored.
    pub(crate) fn forget(&self, revision: &str) {
        self.0.borrow_mut().retain(|it| *it.revision != *revision);
    }

    pub(crate) fn any(&self) -> bool {
        !self.0.borrow().is_empty()
    }

    /// What the row of this `revision` says of them, which holds `record`; `None` where it is not
    /// known.
    pub(crate) fn fate(&self, revision: Option<&str>, record: Option<&Envelope>) -> Fate {
        let tries = self.0.borrow();
        let Some(last) = tries.last() else {
            return Fate::Settled;
        };
        let is = |known: &Rc<str>| Some(&**known) == revision;
        if is(&last.revision) {
            Fate::Stored
        } else if tries.iter().all(|it| is(&it.on)) {
            Fate::Open
        } else if record.is_some_and(|record| record.carries(last.version)) {
            Fate::StoredBefore
        } else {
            Fate::Unknown
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_fates() {
        let version = |counter| Version { counter, writer: 7 };
        let doubts = Doubts::default();
        assert_eq!(doubts.fate(Some("0"), None), Fate::Settled);
        for (revision, counter) in [("1", 1), ("2", 2)] {
            doubts.add(Try {
                on: "0".into(),
                revision: revision.into(),
                version: version(counter),
            });
        }
        let record = |version| {
            let mut envelope = Envelope::begin(0, 1_000);
            envelope.version = version;
            envelope
        };
        for (revision, found, wanted) in [
            (Some("0"), version(0), Fate::Open),
            (Some("1"), version(1), Fate::Unknown),
            (Some("2"), version(2), Fate::Stored),
            (Some("9"), version(2), Fate::StoredBefore),
            (Some("9"), version(1), Fate::Unknown),
            (Some("9"), version(3), Fate::Unknown),
            (None, version(0), Fate::Unknown),
        ] {
            let fate = doubts.fate(revision, Some(&record(found)));
            assert_eq!(fate, wanted, "{revision:?} {found:?}");
        }
        assert_eq!(doubts.fate(Some("9"), None), Fate::Unknown);
        doubts.forget("2");
        let fate = doubts.fate(Some("9"), Some(&record(version(1))));
        assert_eq!(fate, Fate::StoredBefore);
        doubts.forget("1");
        assert!(!doubts.any());
    }
}
