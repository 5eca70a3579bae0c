//! The name of a session, and the target of a marker.

use std::hash::{Hash, Hasher};

use super::id::Id;

/// The name of a session: `<owner tag or ->.<lineage>.<derived key>` in the names of the namespace.
///
/// Outside of the store, where anybody could combine the parts of several sessions, a tag over the
/// three parts follows: `Secret::public_key` writes that text and `Ring::session_key` reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct KeyParts {
    pub(crate) owner: Option<Id>,
    pub(crate) lineage: Id,
    pub(crate) derived: Id,
}

impl KeyParts {
    /// The three parts at the end of a record's name.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let (owner, lineage, derived) = (parts.next()?, parts.next()?, parts.next()?);
        if parts.next().is_some() {
            return None;
        }
        let owner = if owner == "-" {
            None
        } else {
            Some(Id::parse(owner)?)
        };
        Some(Self {
            owner,
            lineage: Id::parse(lineage)?,
            derived: Id::parse(derived)?,
        })
    }

    /// The most characters of the text.
    pub(super) const TEXT: usize = 3 * Id::TEXT + 2;

    pub(super) fn push_to(&self, out: &mut String) {
        match &self.owner {
            Some(owner) => owner.push_to(out),
            None => out.push('-'),
        }
        for id in [&self.lineage, &self.derived] {
            out.push('.');
            id.push_to(out);
        }
    }

    /// True before the first rotation: the first key *is* the lineage.
    pub(crate) fn is_first(&self) -> bool {
        self.derived == self.lineage
    }
}

impl Hash for KeyParts {
    /// The derived key alone identifies a session.
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.derived.hash(state);
    }
}

/// The target of a `k.` or `l.` marker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Dead {
    /// This derived key.
    Key(Id),
    /// Every key of this lineage.
    Lineage(Id),
}
