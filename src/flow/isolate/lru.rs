//! A map of limited size that drops the least recently used entries.

use std::collections::HashMap;
use std::hash::Hash;

/// A map that knows when each entry was used.
pub(super) struct Lru<K, V> {
    pub(super) index: HashMap<K, usize>,
    pub(super) slots: Vec<LruSlot<K, V>>,
    clock: u64,
}

pub(super) struct LruSlot<K, V> {
    pub(super) key: K,
    used: u64,
    pub(super) value: V,
}

impl<K, V> Default for Lru<K, V> {
    fn default() -> Self {
        Self {
            index: HashMap::new(),
            slots: Vec::new(),
            clock: 0,
        }
    }
}

impl<K: Copy + Eq + Hash, V> Lru<K, V> {
    pub(super) fn get(&mut self, key: &K) -> Option<&V> {
        self.get_mut(key).map(|value| &*value)
    }

    pub(super) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        let slot = &mut self.slots[*self.index.get(key)?];
        self.clock += 1;
        slot.used = self.clock;
        Some(&mut slot.value)
    }

    pub(super) fn get_or_insert(&mut self, key: K, new: impl FnOnce() -> V) -> &mut V {
        let at = *self.index.entry(key).or_insert(self.slots.len());
        if at == self.slots.len() {
            let (used, value) = (0, new());
            self.slots.push(LruSlot { key, used, value });
        }
        let slot = &mut self.slots[at];
        self.clock += 1;
        slot.used = self.clock;
        &mut slot.value
    }

    pub(super) fn remove(&mut self, key: &K) -> Option<V> {
        let at = self.index.remove(key)?;
        let slot = self.slots.swap_remove(at);
        // The last entry has taken its place.
        if let Some(moved) = self.slots.get(at) {
            self.index.insert(moved.key, at);
        }
        Some(slot.value)
    }

    pub(super) fn retain(&mut self, wanted: impl Fn(&K) -> bool) {
        self.slots.retain(|slot| wanted(&slot.key));
        self.index_again();
    }

    /// If there are more than `most` entries, removes the least recently used half. This happens
    /// rarely, so that its cost is constant for each entry.
    pub(super) fn shrink_to(&mut self, most: usize) {
        if self.slots.len() > most {
            self.drop_older_half();
        }
    }

    /// Removes the least recently used half. Returns the rest.
    pub(super) fn drop_older_half(&mut self) -> usize {
        // The times of use are different numbers up to `clock`, so the median is found by
        // bisection, without sorting.
        let (mut low, mut high) = (0, self.clock);
        let half = self.slots.len().div_ceil(2);
        while low < high {
            let middle = low + (high - low) / 2;
            let older = self.slots.iter().filter(|slot| slot.used <= middle).count();
            if older < half {
                low = middle + 1
            } else {
                high = middle
            }
        }
        self.slots.retain(|slot| slot.used > low);
        self.index_again();
        self.slots.len()
    }

    fn index_again(&mut self) {
        // Rebuild in place: wasm memory for a second map would never be returned.
        self.index.clear();
        let places = self.slots.iter().enumerate();
        self.index.extend(places.map(|(at, slot)| (slot.key, at)));
    }
}
