//! The names of keys in the store.

use std::rc::Rc;

use super::id::Id;
use super::session_key::{Dead, KeyParts};

/// The names that are used in a namespace.
#[derive(Clone, Debug)]
pub(crate) struct Names {
    prefix: Rc<str>,
}

impl Names {
    pub(crate) fn new(prefix: &str) -> Self {
        Self {
            prefix: Rc::from(prefix),
        }
    }

    pub(crate) fn record(&self, key: &KeyParts) -> String {
        let mut name = self.begin("s.", KeyParts::TEXT);
        key.push_to(&mut name);
        name
    }

    /// The prefix of the names of an owner's records.
    pub(crate) fn records_of(&self, owner: Id) -> String {
        format!("{}s.{owner}.", self.prefix)
    }

    /// The session key in a record's name.
    pub(crate) fn session_key(&self, name: &str) -> Option<KeyParts> {
        KeyParts::parse(name.strip_prefix(&*self.prefix)?.strip_prefix("s.")?)
    }

    pub(crate) fn dead_key(&self, derived: Id) -> String {
        self.of_id("k.", derived)
    }

    pub(crate) fn dead_lineage(&self, lineage: Id) -> String {
        self.of_id("l.", lineage)
    }

    /// The name of the marker for `dead`.
    pub(crate) fn dead(&self, dead: Dead) -> String {
        match dead {
            Dead::Key(derived) => self.dead_key(derived),
            Dead::Lineage(lineage) => self.dead_lineage(lineage),
        }
    }

    pub(crate) fn owner(&self, owner: Id) -> String {
        self.of_id("o.", owner)
    }

    /// The name of the progress of a call that ends all of an owner's sessions.
    pub(crate) fn progress(&self, owner: Id) -> String {
        self.of_id("p.", owner)
    }

    fn of_id(&self, kind: &str, id: Id) -> String {
        let mut name = self.begin(kind, Id::TEXT);
        id.push_to(&mut name);
        name
    }

    fn begin(&self, kind: &str, more: usize) -> String {
        let mut name = String::with_capacity(self.prefix.len() + kind.len() + more);
        name.push_str(&self.prefix);
        name.push_str(kind);
        name
    }
}
