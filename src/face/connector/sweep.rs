//! When a store in memory drops what has expired.

use std::cell::Cell;

/// The least number of writes between two sweeps.
const LEAST: usize = 1_000;

/// Counts the writes until the next sweep: as many as entries were kept by the last one. So each write
/// pays for a constant number of entries, and expired ones never outnumber the others for long.
pub(super) struct Sweep(Cell<usize>);

impl Default for Sweep {
    fn default() -> Self {
        Self(Cell::new(LEAST))
    }
}

impl Sweep {
    /// Counts these writes. True if it is time to sweep: then call [`kept`](Self::kept).
    pub(super) fn is_due_after(&self, writes: usize) -> bool {
        let left = self.0.get().saturating_sub(writes);
        self.0.set(left);
        left == 0
    }

    /// The sweep has kept this many entries.
    pub(super) fn kept(&self, entries: usize) {
        self.0.set(entries.max(LEAST));
    }
}
