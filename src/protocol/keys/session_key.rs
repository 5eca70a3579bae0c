//! What names a session, and what a marker says is dead.

use std::hash::{Hash, Hasher};

use super::id::Id;

/// What names a session: `<owner tag or ->.<lineage>.<derived key>` in the names of the namespace.
///
/// Outside, where anybody may put parts of several sessions together, a tag follows that vouches
/// for the three: `Secret::public_key` writes that text and `Ring::session_key` reads it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct KeyParts {
    pub(crate) owner: Option<Id>,
    pub(crate) lineage: Id,
    pub(crate) derived: Id,
}

impl KeyParts {
    /// The three parts that a record's name ends with.
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

    /// Characters of the text, at most.
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
    /// The derived key tells sessions apart, with or without the rest.
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.derived.hash(state);
    }
}

/// What a `k.` or an `l.` marker says is dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Dead {
    /// This derived key.
    Key(Id),
    /// Every key of this lineage.
    Lineage(Id),
}
