//! Which sessions a login ends if the number of an owner's sessions is limited.

use std::collections::BinaryHeap;

use crate::protocol::keys::Id;

/// The lineages to end so that with the new session there are at most `most`: the oldest ones.
/// `living` has the start of each; 0 means no limit.
pub(crate) fn over_limit(living: Vec<(i64, Id)>, most: u32) -> Vec<Id> {
    let kept = match usize::try_from(most) {
        Ok(most) if most > 0 => most - 1,
        _ => return Vec::new(),
    };
    // In wasm, a heap's sort is a tenth of the size of a slice's.
    let mut living = BinaryHeap::from(living).into_sorted_vec();
    let over = living.len().saturating_sub(kept);
    living.truncate(over);
    living.into_iter().map(|(_, lineage)| lineage).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_ones_go() {
        let id = |n| Id([n; 16]);
        let living = || vec![(30, id(3)), (10, id(1)), (20, id(2))];
        for (most, gone) in [
            (0, vec![]),
            (1, vec![id(1), id(2), id(3)]),
            (2, vec![id(1), id(2)]),
            (3, vec![id(1)]),
            (4, vec![]),
            (u32::MAX, vec![]),
        ] {
            assert_eq!(over_limit(living(), most), gone, "{most}");
        }
        assert_eq!(over_limit(Vec::new(), 1), []);
    }
}
