//! In which order the end of sessions goes through the shards of an owner, and when it is done.
//!
//! While a secret is being replaced an owner has several shards, which no transaction reaches
//! together, and a session can move from one to another and back: it is put there first and rotated
//! here second. Whoever ends it in one shard after another could be passed by it. So a move leaves a
//! row `m` in the shard it left, in the transaction that rotates the session there, and an end checks
//! that row: it is done when it has ended the sessions of every shard in a row, and nothing has moved
//! out of any of them since it was there before.
//!
//! Why that is enough: a session that is alive after such a round was put, by a move, in a shard that
//! the round had passed. It was alive then in the shard that it left, which the round came to later.
//! So it left that shard within the round, and the check would have failed.

use crate::port::transaction::Expected;

/// The key of the row that says that sessions have moved out of a shard. Its revision is that of the
/// last move.
pub(crate) const MOVED: &str = "m";
/// The value of that row.
pub(crate) const MOVED_VALUE: &str = "2 m";
/// Milliseconds that it is kept, which is longer than any request lives.
pub(crate) const MOVED_LIVES: i64 = 86_400_000;

/// A walk through shards, by their numbers.
#[derive(Debug)]
pub(crate) struct Walk {
    /// The revision of each shard's last known move.
    known: Vec<Option<String>>,
    at: usize,
    /// How many shards in a row were ended.
    ended: usize,
}

impl Walk {
    pub(crate) fn through(shards: usize) -> Self {
        Self {
            known: vec![None; shards],
            at: 0,
            ended: 0,
        }
    }

    /// The same where somebody else has ended the sessions of the first shard already.
    pub(crate) fn after_first(shards: usize) -> Self {
        let mut walk = Self::through(shards);
        walk.advance();
        walk
    }

    /// The shard to end next; `None` when all is done.
    pub(crate) fn shard(&self) -> Option<usize> {
        (self.ended < self.known.len()).then_some(self.at)
    }

    /// What has to be true of that shard. Alone it has nowhere to move to.
    pub(crate) fn check(&self) -> Option<Expected> {
        if self.known.len() < 2 || mutant!(strong_move_unnoticed) {
            return None;
        }
        Some(match self.known.get(self.at) {
            Some(Some(revision)) => Expected::revision(MOVED, &**revision),
            _ => Expected::absent(MOVED),
        })
    }

    /// The sessions of this shard have ended.
    pub(crate) fn advance(&mut self) {
        self.ended += 1;
        self.at = (self.at + 1) % self.known.len().max(1);
    }

    /// The last move out of this shard was `moved`. If that is news, what was ended in the others
    /// may be alive again there.
    pub(crate) fn found(&mut self, moved: Option<String>) {
        match self.known.get_mut(self.at) {
            Some(known) if *known != moved => {
                *known = moved;
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
    fn visits(mut walk: Walk, mut found: impl FnMut(usize) -> Option<String>) -> Vec<usize> {
        let mut visits = Vec::new();
        while let Some(shard) = walk.shard() {
            let moved = found(shard);
            let is_known = walk
                .check()
                .is_none_or(|check| check.key == MOVED && check.revision == moved);
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
        for (shards, all) in [(0, vec![]), (1, vec![0]), (2, vec![0, 1]), (3, vec![0, 1, 2])] {
            assert_eq!(visits(Walk::through(shards), |_| None), all);
        }
        assert_eq!(visits(Walk::after_first(3), |_| None), [1, 2]);
        assert!(visits(Walk::after_first(1), |_| None).is_empty());
    }

    #[test]
    fn a_shard_alone_is_not_asked_what_moved() {
        assert_eq!(visits(Walk::through(1), |_| Some("m".into())), [0]);
    }

    #[test]
    fn a_move_that_was_not_known_takes_another_round() {
        let old = |at| (at == 1).then(|| "1".to_owned());
        assert_eq!(visits(Walk::through(2), old), [0, 1, 0]);
        assert_eq!(visits(Walk::after_first(2), old), [1, 0]);
    }

    #[test]
    fn a_move_during_the_walk_takes_another_round() {
        let mut visited = 0;
        let found = |at| {
            visited += 1;
            // Out of the first shard, when the walk comes back to it.
            match (at, visited > 3) {
                (1, _) => Some("1".to_owned()),
                (_, moved) => moved.then(|| "2".to_owned()),
            }
        };
        assert_eq!(visits(Walk::through(2), found), [0, 1, 0, 1]);
    }
}
