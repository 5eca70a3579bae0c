//! The order in which ending sessions visits the shards of an owner, and when it is done.
//!
//! While a secret is being replaced an owner has several shards, which no single transaction
//! reaches, and a session can move from one to another and back: it is first put into the new shard
//! and then rotated in the old one. A call that ends it in one shard after another could miss it.
//! So a move puts a row `m` into the old shard, in the transaction that rotates the session there,
//! and the end checks that row. The end is done when it has ended the sessions of every shard one
//! after another, and nothing has moved out of any of them since its previous visit.
//!
//! Why this is enough: if a session is alive after such a round, a move has put it into a shard
//! that the round had already visited. At that time it was alive in its old shard, which the round
//! visited later. So it left that shard during the round, and the check would have failed.
//!
//! The row also names the owner's other shards, because neither a session key nor the cookie of a
//! logout that is not stored yet contains them.

use crate::port::transaction::Expected;
use crate::protocol::keys::Id;

/// The key of the row for moves out of a shard. Its revision is that of the last move.
pub(crate) const MOVED: &str = "m";

const FORMAT: &str = "2 m";

/// The value of that row: the owner's tags of the other shards.
pub(crate) fn moved(elsewhere: &[Id]) -> String {
    let mut text = FORMAT.to_owned();
    for tag in elsewhere {
        text.push(' ');
        text.push_str(&tag.to_string());
    }
    text
}

/// The tags in such a value.
pub(crate) fn moved_to(text: &str) -> Vec<Id> {
    let tags = text.strip_prefix(FORMAT).unwrap_or_default();
    tags.split(' ').filter_map(Id::parse).collect()
}

/// A walk through shards, by their numbers.
#[derive(Debug)]
pub(crate) struct Walk {
    /// True if sessions may move out of them.
    may_move: bool,
    /// The revision of each shard's last known move.
    known: Vec<Option<String>>,
    /// How many shards were visited before. After the last comes the first.
    at: usize,
    /// How many shards were ended in sequence.
    ended: usize,
}

impl Walk {
    /// A walk that starts with one shard. `may_move` is true if the secrets in use give an owner
    /// several shards.
    pub(crate) fn new(may_move: bool) -> Self {
        Self {
            may_move,
            known: vec![None],
            at: 0,
            ended: 0,
        }
    }

    /// Adds this many shards after it.
    pub(crate) fn and(mut self, others: usize) -> Self {
        self.reach(1 + others);
        self
    }

    /// Sets the number of shards, once it is known.
    pub(crate) fn reach(&mut self, shards: usize) {
        if shards > self.known.len() {
            self.known.resize(shards, None);
        }
    }

    /// The shard to end next; `None` when all is done.
    pub(crate) fn shard(&self) -> Option<usize> {
        (self.ended < self.known.len()).then_some(self.at())
    }

    fn at(&self) -> usize {
        if self.at < self.known.len() {
            self.at
        } else {
            0
        }
    }

    /// The check for that shard.
    pub(crate) fn check(&self) -> Option<Expected> {
        if !self.may_move || mutant!(strong_move_unnoticed) {
            return None;
        }
        Some(match self.known.get(self.at()) {
            Some(Some(revision)) => Expected::revision(MOVED, &**revision),
            _ => Expected::absent(MOVED),
        })
    }

    /// The sessions of this shard have ended.
    pub(crate) fn advance(&mut self) {
        self.ended += 1;
        self.at = self.at() + 1;
    }

    /// The last move out of this shard was `moved`. If that is new, sessions that were ended in
    /// other shards may be alive there again.
    pub(crate) fn found(&mut self, moved: Option<&str>) {
        let at = self.at();
        match self.known.get_mut(at) {
            Some(known) if known.as_deref() != moved => {
                *known = moved.map(str::to_owned);
                self.ended = 0;
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The shards that a walk comes to, where it finds these revisions.
    fn visits(mut walk: Walk, mut found: impl FnMut(usize) -> Option<&'static str>) -> Vec<usize> {
        let mut visits = Vec::new();
        while let Some(shard) = walk.shard() {
            let moved = found(shard);
            let is_known = walk
                .check()
                .is_none_or(|check| check.key == MOVED && check.revision.as_deref() == moved);
            if is_known {
                visits.push(shard);
                walk.advance();
            } else {
                walk.found(moved);
            }
        }
        visits
    }

    #[test]
    fn each_shard_once_where_nothing_moves() {
        for (others, all) in [(0, vec![0]), (1, vec![0, 1]), (2, vec![0, 1, 2])] {
            assert_eq!(visits(Walk::new(true).and(others), |_| None), all);
        }
        // Somebody else has ended those of the first shard.
        let mut walk = Walk::new(true);
        walk.advance();
        assert_eq!(visits(walk.and(2), |_| None), [1, 2]);
    }

    #[test]
    fn with_one_secret_nothing_is_checked() {
        assert_eq!(visits(Walk::new(false), |_| Some("1")), [0]);
    }

    #[test]
    fn a_move_that_was_not_known_takes_another_round() {
        let old = |at| (at == 1).then_some("1");
        assert_eq!(visits(Walk::new(true).and(1), old), [0, 1, 0]);
        let mut walk = Walk::new(true).and(1);
        walk.found(Some("1"));
        assert_eq!(visits(walk, |at| (at == 0).then_some("1")), [0, 1]);
    }

    #[test]
    fn a_move_during_the_walk_takes_another_round() {
        let mut visited = 0;
        let found = |at| {
            visited += 1;
            // Out of the first shard, when the walk comes back to it.
            match (at, visited > 3) {
                (1, _) => Some("1"),
                (_, moved) => moved.then_some("2"),
            }
        };
        assert_eq!(visits(Walk::new(true).and(1), found), [0, 1, 0, 1]);
    }

    #[test]
    fn a_move_names_where_else_to_go() {
        let tags = [Id([1; 16]), Id([2; 16])];
        for tags in [&tags[..], &tags[..1], &[]] {
            assert_eq!(moved_to(&moved(tags)), tags);
        }
        assert!(moved_to("3 m AQEBAQEBAQEBAQEBAQEBAQ").is_empty());
    }
}
