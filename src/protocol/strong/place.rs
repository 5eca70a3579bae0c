//! The place of a session: its shard, which is the scope of one transaction, and its key there.
//!
//! A session with an owner is in the owner's shard, an anonymous one in a shard of its lineage.
//! Both follow from the session key, so no lookup is needed.
//!
//! Keys of a shard: `s.<owner tag or ->.<lineage>.<derived key>` is a session by one of its keys,
//! `e` in an owner's shard is the owner's epoch, `m` there the last move out of it. The key prefix is in the name of the shard only.

use crate::protocol::keys::{Id, KeyParts};

/// The key of an owner's epoch row.
pub(crate) const EPOCH: &str = "e";

/// The shard of a session.
pub(crate) fn shard(prefix: &str, key: &KeyParts) -> String {
    match key.owner {
        Some(owner) => shard_of_owner(prefix, owner),
        None => format!("{prefix}a.{}", key.lineage),
    }
}

/// The shard of an owner's sessions.
pub(crate) fn shard_of_owner(prefix: &str, owner: Id) -> String {
    format!("{prefix}o.{owner}")
}

/// The key of a session's row.
pub(crate) fn row_key(key: &KeyParts) -> String {
    format!("{}{}", rows_of_lineage(key), key.derived)
}

/// The prefix of the keys of all rows of a session, including rotated keys.
pub(crate) fn rows_of_lineage(key: &KeyParts) -> String {
    match key.owner {
        Some(owner) => format!("s.{owner}.{}.", key.lineage),
        None => format!("s.-.{}.", key.lineage),
    }
}

/// The prefix of the keys of an owner's sessions.
pub(crate) fn rows_of_owner(owner: Id) -> String {
    format!("s.{owner}.")
}

/// The session in the key of a row.
pub(crate) fn session_key(row_key: &str) -> Option<KeyParts> {
    KeyParts::parse(row_key.strip_prefix("s.")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owned_session_lives_with_its_owner_and_another_by_itself() {
        let [owner, lineage, derived] = [1, 2, 3].map(|n| Id([n; 16]));
        let of = |owner| KeyParts {
            owner,
            lineage,
            derived,
        };
        for (key, place) in [
            (of(Some(owner)), format!("p.o.{owner}")),
            (of(None), format!("p.a.{lineage}")),
        ] {
            assert_eq!(shard("p.", &key), place);
            assert_eq!(session_key(&row_key(&key)), Some(key));
            assert!(row_key(&key).starts_with(&rows_of_lineage(&key)));
        }
        assert!(row_key(&of(Some(owner))).starts_with(&rows_of_owner(owner)));
        assert_eq!(session_key(EPOCH), None);
    }
}
