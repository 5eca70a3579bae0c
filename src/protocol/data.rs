//! The dictionary: ordered JSON texts, each with the version of its last write.
//!
//! A value is kept as its stored JSON text and parsed when it is read. A removed key leaves a
//! tombstone, so that an older copy of the record cannot bring the key back. Two copies are
//! *joined* by taking the newer value of each key.
//!
//! All changes go through [`Data`]'s own methods, which mark them as *pending*. [`Data::changes`]
//! keeps only those that differ from the copy that the request started with. A save replays these
//! changes onto the copy that it finds in the store. Changes that cancel out are not included.

use std::collections::HashMap;
use std::rc::Rc;

use crate::protocol::json;
use crate::protocol::version::Version;

/// The values and flash values of a session. Copies share their unchanged parts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Data {
    pub(crate) values: Table,
    pub(crate) flash: Table,
    cleared: Clear,
}

/// The last time that the whole dictionary was cleared. Older entries do not count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Clear {
    version: Version,
    pending: bool,
    /// As in a [`Row`].
    tried: bool,
}

/// Keys in order of insertion.
#[derive(Clone, Debug)]
pub(crate) struct Table(Rc<Rows>);

thread_local! {
    /// Shared by all empty tables.
    static EMPTY: Rc<Rows> = Rc::default();
}

impl Default for Table {
    fn default() -> Self {
        Self(EMPTY.with(Rc::clone))
    }
}

#[derive(Clone, Debug, Default)]
struct Rows {
    /// In order of insertion. A key that has moved to the end leaves a gap.
    rows: Vec<Option<Row>>,
    gaps: usize,
    /// The position of each key; empty while there are few.
    index: HashMap<Rc<str>, usize>,
    /// Rows with a value.
    present: usize,
}

/// With more rows than this, an index is used to find a key.
const FEW: usize = 16;

#[derive(Clone, Debug)]
struct Row {
    key: Rc<str>,
    /// The version that wrote this; `None` while it is pending.
    version: Option<Version>,
    slot: Slot,
    /// Removed and put again since the last save, so it is the last one.
    again: bool,
    /// True if a save of this failed but may have been stored. Then a later save must always write
    /// the key.
    tried: bool,
}

/// The value of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    /// A JSON text.
    Value(Rc<str>),
    /// Removed at this instant.
    Removed(i64),
}

impl Data {
    pub(crate) fn is_empty(&self) -> bool {
        self.values.len() == 0 && self.flash.len() == 0
    }

    /// The approximate size in memory, in bytes.
    pub(crate) fn weight(&self) -> usize {
        self.values.0.weight() + self.flash.0.weight()
    }

    /// True if a value, a removal or the last clear comes from the save of this version.
    pub(crate) fn carries(&self, version: Version) -> bool {
        let mut tables = [&self.values, &self.flash].into_iter();
        self.cleared.version == version
            || tables.any(|table| table.settled().any(|(_, of, _)| of == version))
    }

    /// True if both show the same values and flash values in the same order.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.values.is_same(&other.values) && self.flash.is_same(&other.flash)
    }

    /// True if a save would write something of this dictionary.
    pub(crate) fn is_pending(&self) -> bool {
        self.cleared.pending || self.values.0.has_pending() || self.flash.0.has_pending()
    }

    /// The removed keys that are remembered.
    pub(crate) fn removed(&self) -> impl Iterator<Item = &Rc<str>> {
        let rows = self.values.0.iter().chain(self.flash.0.iter());
        rows.filter(|row| !row.is_value()).map(|row| &row.key)
    }

    /// The version of the last clear.
    pub(crate) fn cleared(&self) -> Version {
        self.cleared.version
    }

    pub(crate) fn set_cleared(&mut self, version: Version) {
        self.cleared = Clear {
            version,
            ..Clear::default()
        };
    }

    /// Clears both tables. Returns true if there was anything.
    pub(crate) fn clear(&mut self) -> bool {
        if self.is_empty() {
            return false;
        }
        let tables = [&self.values, &self.flash];
        self.cleared.tried |= tables.iter().any(|it| it.0.iter().any(|row| row.tried));
        (self.values, self.flash) = (Table::default(), Table::default());
        self.cleared.pending = true;
        true
    }

    /// A save of the pending changes failed, but may still be stored.
    pub(crate) fn set_tried(&mut self) {
        self.cleared.tried |= self.cleared.pending;
        for table in [&mut self.values, &mut self.flash] {
            if table.0.has_pending() {
                for row in table.rows().rows.iter_mut().flatten() {
                    row.tried |= row.version.is_none();
                }
            }
        }
    }

    /// Takes every key from `other` that is newer there.
    pub(crate) fn join(&mut self, other: &Self) {
        let cleared = self.cleared.version.max(other.cleared.version);
        self.cleared.version = cleared;
        self.values.join(&other.values, cleared);
        self.flash.join(&other.flash, cleared);
    }

    /// True if joining `other` would change nothing. Tombstones from before `horizon` are ignored.
    pub(crate) fn contains(&self, other: &Self, horizon: i64) -> bool {
        let cleared = self.cleared.version;
        cleared >= other.cleared.version
            && [(&self.values, &other.values), (&self.flash, &other.flash)]
                .into_iter()
                .all(|(mine, theirs)| {
                    Rc::ptr_eq(&mine.0, &theirs.0) || mine.0.contains(&theirs.0, cleared, horizon)
                })
    }

    /// This dictionary with only the pending changes that differ from `base`, the copy that it
    /// started with. A value that was changed back and the removal of a key that was never stored
    /// are not changes. A key that was removed and put again is one if that moved it.
    pub(crate) fn changes(&self, base: &Self) -> Self {
        let mut data = self.clone();
        // A clear counts only if there was something to clear.
        data.cleared.pending &= data.cleared.tried || !base.is_empty();
        let nothing = Self::default();
        let base = if data.cleared.pending { &nothing } else { base };
        data.values.reduce(&base.values);
        data.flash.reduce(&base.flash);
        data
    }

    /// `base` with the pending changes of this dictionary.
    pub(crate) fn replay_onto(&self, mut base: Self) -> Self {
        if self.cleared.pending {
            base.clear();
            (base.cleared.pending, base.cleared.tried) = (true, self.cleared.tried);
        }
        self.values.replay_onto(&mut base.values);
        self.flash.replay_onto(&mut base.flash);
        base
    }

    /// Sets the time of pending removals to now, because others can see them only from now on.
    pub(crate) fn stamp(&mut self, now: i64) {
        for table in [&mut self.values, &mut self.flash] {
            let due = |row: &Row| row.version.is_none() && !row.is_value();
            if table.0.iter().any(due) {
                for row in table
                    .rows()
                    .rows
                    .iter_mut()
                    .flatten()
                    .filter(|row| due(row))
                {
                    row.slot = Slot::Removed(now);
                }
            }
        }
    }

    /// Gives all pending changes their version, and drops tombstones from before `horizon`.
    pub(crate) fn settle(&mut self, version: Version, horizon: i64) {
        if self.cleared.pending {
            self.set_cleared(version);
        }
        self.values.settle(version, horizon);
        self.flash.settle(version, horizon);
    }

    /// Makes everything pending, as for a record that starts a new lineage with this data.
    pub(crate) fn restart(&mut self) {
        self.cleared = Clear::default();
        self.values.restart();
        self.flash.restart();
    }

    /// From the next save on, older copies no longer count.
    pub(crate) fn outdate_others(&mut self) {
        self.cleared.pending = true;
    }

    /// Keeps only the named values, and no flash values.
    pub(crate) fn retain(&mut self, keep: &[String]) {
        self.flash = Table::default();
        self.values
            .retain(|row| row.is_value() && keep.iter().any(|kept| **kept == *row.key));
    }
}

impl Table {
    pub(crate) fn len(&self) -> usize {
        self.0.present
    }

    pub(crate) fn get(&self, key: &str) -> Option<&Rc<str>> {
        self.0.get(key)?.value()
    }

    /// Puts the JSON `text` under `key`. Returns false if it already has an equal value.
    pub(crate) fn set(&mut self, key: &str, text: Rc<str>) -> bool {
        if self.get(key).is_some_and(|old| json::equal(old, &text)) {
            return false;
        }
        self.rows().put(key.into(), Slot::Value(text), None);
        true
    }

    /// Removes `key`. Returns its value.
    pub(crate) fn remove(&mut self, key: &str, now: i64) -> Option<Rc<str>> {
        let old = Rc::clone(self.get(key)?);
        self.rows().put(key.into(), Slot::Removed(now), None);
        Some(old)
    }

    /// The key inserted last.
    pub(crate) fn last(&self) -> Option<Rc<str>> {
        let mut rows = self.0.iter().rev();
        Some(Rc::clone(&rows.find(|row| row.is_value())?.key))
    }

    /// Keys and JSON texts in order of insertion.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Rc<str>, &Rc<str>)> {
        self.0
            .iter()
            .filter_map(|row| Some((&row.key, row.value()?)))
    }

    fn is_same(&self, other: &Self) -> bool {
        let mut pairs = self.iter().zip(other.iter());
        Rc::ptr_eq(&self.0, &other.0)
            || (self.len() == other.len()
                && pairs.all(|((key, text), (name, old))| key == name && json::equal(text, old)))
    }

    /// Every entry with its version in order, including tombstones, without pending changes.
    pub(crate) fn settled(&self) -> impl Iterator<Item = (&Rc<str>, Version, &Slot)> {
        self.0
            .iter()
            .filter_map(|row| Some((&row.key, row.version?, &row.slot)))
    }

    /// Appends an entry from a record; `None` if the key occurs twice.
    pub(crate) fn restore(&mut self, key: Rc<str>, version: Version, slot: Slot) -> Option<()> {
        if self.0.get(&key).is_some() {
            return None;
        }
        self.rows().put(key, slot, Some(version));
        Some(())
    }

    /// The rows, no longer shared with other copies.
    fn rows(&mut self) -> &mut Rows {
        Rc::make_mut(&mut self.0)
    }

    fn join(&mut self, other: &Self, cleared: Version) {
        if Rc::ptr_eq(&self.0, &other.0) {
            return;
        }
        for (key, version, slot) in other.settled() {
            let newer = self
                .0
                .get(key)
                .is_none_or(|mine| mine.version < Some(version));
            if newer {
                self.rows().put(Rc::clone(key), slot.clone(), Some(version));
            }
        }
        self.retain(|row| row.version.is_none_or(|version| version >= cleared));
    }

    fn replay_onto(&self, base: &mut Self) {
        for row in self.0.iter().filter(|row| row.version.is_none()) {
            if row.again {
                base.rows().put(Rc::clone(&row.key), Slot::Removed(0), None);
            }
            base.rows().put(Rc::clone(&row.key), row.slot.clone(), None);
            if row.tried {
                base.rows().set_tried(&row.key);
            }
        }
    }

    /// Keeps only the pending changes that differ from `base`.
    fn reduce(&mut self, base: &Self) {
        if !self.0.has_pending() {
            return;
        }
        let mut reduced = Vec::new();
        // Keys of `base` are in its order, until the first key that was put again, which moved it
        // to the end, or that is new.
        let (mut last, mut at_end) = (None, false);
        for (place, row) in self.0.rows.iter().enumerate() {
            let Some(row) = row else { continue };
            let before = base.0.find(&row.key);
            let before = before.and_then(|at| Some((at, base.0.rows[at].as_ref()?)));
            let before = before.filter(|(_, row)| row.is_value());
            if row.is_value() {
                at_end |= before.is_none_or(|(at, _)| last > Some(at));
                last = before.map_or(last, |(at, _)| Some(at));
            }
            if row.version.is_some() {
                continue;
            }
            let again = before.is_some() && at_end;
            match (row.value(), before) {
                (None, None) if !row.tried => reduced.push((place, None)),
                (Some(text), Some((_, stored)))
                    if !again
                        && !row.tried
                        && stored.value().is_some_and(|old| json::equal(old, text)) =>
                {
                    reduced.push((place, Some(stored.clone())));
                }
                (Some(_), _) if row.again != again => {
                    let row = row.clone();
                    reduced.push((place, Some(Row { again, ..row })));
                }
                _ => {}
            }
        }
        if reduced.is_empty() {
            return;
        }
        let rows = self.rows();
        for (place, row) in reduced {
            rows.rows[place] = row;
        }
        rows.rebuild(|_| true);
    }

    fn settle(&mut self, version: Version, horizon: i64) {
        if self.0.has_pending() {
            for row in self.rows().rows.iter_mut().flatten() {
                row.version.get_or_insert(version);
                (row.again, row.tried) = (false, false);
            }
        }
        self.retain(|row| !matches!(row.slot, Slot::Removed(at) if at < horizon));
    }

    fn restart(&mut self) {
        self.retain(Row::is_value);
        if self.0.iter().any(|row| row.version.is_some()) {
            for row in self.rows().rows.iter_mut().flatten() {
                row.version = None;
            }
        }
    }

    /// Keeps the rows that are wanted. Changes nothing if all are.
    fn retain(&mut self, wanted: impl Fn(&Row) -> bool) {
        if !self.0.iter().all(&wanted) {
            self.rows().rebuild(wanted);
        }
    }
}

impl Row {
    fn value(&self) -> Option<&Rc<str>> {
        match &self.slot {
            Slot::Value(text) => Some(text),
            Slot::Removed(_) => None,
        }
    }

    fn is_value(&self) -> bool {
        self.value().is_some()
    }
}

impl Rows {
    fn iter(&self) -> impl DoubleEndedIterator<Item = &Row> {
        self.rows.iter().flatten()
    }

    fn find(&self, key: &str) -> Option<usize> {
        if self.index.is_empty() {
            let is_it = |row: &Option<Row>| row.as_ref().is_some_and(|row| *row.key == *key);
            self.rows.iter().position(is_it)
        } else {
            self.index.get(key).copied()
        }
    }

    fn get(&self, key: &str) -> Option<&Row> {
        self.rows[self.find(key)?].as_ref()
    }

    /// The only way to add rows. Maintains the count and the position of an existing key.
    fn put(&mut self, key: Rc<str>, slot: Slot, version: Option<Version>) {
        let place = self.find(&key);
        let old = place.and_then(|place| self.rows[place].as_ref());
        let mut row = Row {
            key,
            version,
            slot,
            again: false,
            tried: version.is_none() && old.is_some_and(|old| old.tried),
        };
        let (is_value, was_value) = (row.is_value(), old.is_some_and(Row::is_value));
        row.again = version.is_none()
            && is_value
            && old.is_some_and(|old| old.version.is_none() && (old.again || !was_value));
        self.present = self.present + usize::from(is_value) - usize::from(was_value);
        match place {
            Some(place) if was_value || !is_value => self.rows[place] = Some(row),
            Some(place) => {
                self.rows[place] = None;
                self.gaps += 1;
                self.push(row);
                if self.gaps > self.rows.len() / 2 {
                    self.rebuild(|_| true);
                }
            }
            None => self.push(row),
        }
    }

    fn set_tried(&mut self, key: &str) {
        if let Some(place) = self.find(key)
            && let Some(row) = &mut self.rows[place]
        {
            row.tried = true;
        }
    }

    fn push(&mut self, row: Row) {
        let key = Rc::clone(&row.key);
        self.rows.push(Some(row));
        if !self.index.is_empty() {
            self.index.insert(key, self.rows.len() - 1);
        } else if self.rows.len() > FEW {
            self.reindex();
        }
    }

    fn reindex(&mut self) {
        let rows = self.rows.iter().enumerate();
        self.index = rows
            .filter_map(|(place, row)| Some((Rc::clone(&row.as_ref()?.key), place)))
            .collect();
    }

    /// Drops gaps and unwanted rows.
    fn rebuild(&mut self, wanted: impl Fn(&Row) -> bool) {
        self.rows.retain(|row| row.as_ref().is_some_and(&wanted));
        self.gaps = 0;
        self.present = self.iter().filter(|row| row.is_value()).count();
        if self.rows.len() > FEW {
            self.reindex();
        } else {
            self.index = HashMap::new();
        }
    }

    fn has_pending(&self) -> bool {
        self.iter().any(|row| row.version.is_none())
    }

    fn contains(&self, other: &Self, cleared: Version, horizon: i64) -> bool {
        other.iter().all(|theirs| {
            let outdated = theirs.version.is_some_and(|version| version < cleared)
                || matches!(theirs.slot, Slot::Removed(at) if at < horizon);
            outdated
                || self
                    .get(&theirs.key)
                    .is_some_and(|mine| mine.version >= theirs.version)
        })
    }

    fn weight(&self) -> usize {
        const FIXED: usize = 96;
        let texts = self
            .iter()
            .map(|row| FIXED + row.key.len() + row.value().map_or(0, |text| text.len()));
        texts.sum()
    }
}

#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn version(counter: u32, writer: u32) -> Version {
        Version { counter, writer }
    }

    fn text(value: i64) -> Rc<str> {
        value.to_string().into()
    }

    fn keys(table: &Table) -> Vec<String> {
        table.iter().map(|(key, _)| key.to_string()).collect()
    }

    #[test]
    fn order_is_that_of_insertion_and_a_new_value_keeps_its_place() {
        let mut data = Data::default();
        for key in ["c", "a", "b"] {
            assert!(data.values.set(key, text(1)));
        }
        assert!(data.values.set("a", text(2)));
        assert_eq!(keys(&data.values), ["c", "a", "b"]);
        data.values.remove("c", 0);
        data.values.set("c", text(3));
        assert_eq!(keys(&data.values), ["a", "b", "c"]);
        assert_eq!(data.values.last().as_deref(), Some("c"));
    }

    #[test]
    fn a_key_removed_and_put_again_is_the_last_in_the_store_too() {
        let mut base = Data::default();
        for key in ["a", "b", "c"] {
            base.values.set(key, text(1));
        }
        base.settle(version(1, 1), 0);
        let mut data = base.clone();
        data.values.remove("a", 1);
        data.values.set("a", text(1));
        data.values.set("a", text(2));
        data.values.set("b", text(2));
        assert_eq!(keys(&data.values), ["b", "c", "a"]);
        let mut saved = data.replay_onto(base);
        saved.settle(version(2, 1), 0);
        assert_eq!(keys(&saved.values), ["b", "c", "a"]);
    }

    #[test]
    fn an_equal_value_is_no_change() {
        let mut data = Data::default();
        data.values.set("a", r#"{"x":1,"y":[1,2]}"#.into());
        data.settle(version(1, 1), 0);
        assert!(!data.values.set("a", r#"{"y": [1, 2], "x": 1}"#.into()));
        assert!(!data.is_pending());
        assert!(data.values.set("a", r#"{"x":1}"#.into()));
        assert!(data.is_pending());
        // Neighbours, to the last bit.
        assert!(data.values.set("n", "-9.34e-301".into()));
        for (one, other) in [
            ("0.1", "0.10000000000000002"),
            ("9007199254740993", "9007199254740992"),
            ("18446744073709551615", "18446744073709551614"),
            ("1e22", "1.0000000000000002e22"),
        ] {
            data.values.set("n", one.into());
            assert!(data.values.set("n", other.into()), "{one} {other}");
        }
    }

    #[test]
    fn disjoint_writes_of_two_savers_both_survive_a_replay() {
        let mut base = Data::default();
        base.values.set("a", text(0));
        base.settle(version(1, 1), 0);
        let (mut one, mut two) = (base.clone(), base);
        one.values.set("x", text(1));
        two.values.set("y", text(2));
        two.values.remove("a", 5);
        one.settle(version(2, 7), 0);
        let mut merged = two.replay_onto(one);
        merged.settle(version(3, 8), 0);
        assert_eq!(keys(&merged.values), ["x", "y"]);
    }

    #[test]
    fn a_removed_key_does_not_come_back_from_an_old_copy() {
        let mut old = Data::default();
        old.values.set("a", text(1));
        old.settle(version(1, 1), 0);
        let mut new = old.clone();
        new.values.remove("a", 100);
        new.settle(version(2, 1), 0);
        for (mut left, right) in [(old.clone(), new.clone()), (new, old)] {
            left.join(&right);
            assert_eq!(left.values.len(), 0);
        }
    }

    #[test]
    fn a_clear_outdates_what_was_there_and_keeps_what_comes_after() {
        let mut old = Data::default();
        old.values.set("a", text(1));
        old.flash.set("f", text(1));
        old.settle(version(1, 1), 0);
        let mut new = old.clone();
        assert!(new.clear());
        new.values.set("b", text(2));
        new.settle(version(2, 1), 0);
        assert!(new.contains(&old, 0));
        old.join(&new);
        assert_eq!(keys(&old.values), ["b"]);
        assert_eq!(old.flash.len(), 0);
    }

    #[test]
    fn a_tombstone_counts_from_the_save_not_from_the_removal() {
        let mut data = Data::default();
        data.values.set("a", text(1));
        data.settle(version(1, 1), 0);
        data.values.remove("a", 100);
        data.stamp(500);
        data.settle(version(2, 1), 400);
        assert_eq!(data.values.settled().count(), 1);
        data.stamp(900);
        data.settle(version(3, 1), 501);
        assert_eq!(data.values.settled().count(), 0);
    }

    #[test]
    fn old_tombstones_are_dropped_and_not_missed() {
        let mut data = Data::default();
        data.values.set("a", text(1));
        data.settle(version(1, 1), 0);
        data.values.remove("a", 100);
        data.settle(version(2, 1), 50);
        let with_tombstone = data.clone();
        data.settle(version(3, 1), 200);
        assert_eq!(data.values.settled().count(), 0);
        assert!(data.contains(&with_tombstone, 200));
        assert!(!data.contains(&with_tombstone, 50));
    }

    #[test]
    fn what_was_changed_back_is_no_change() {
        let mut base = Data::default();
        for key in ["a", "b", "c"] {
            base.values.set(key, text(1));
        }
        base.settle(version(1, 1), 0);
        let pending = |act: fn(&mut Data)| {
            let mut data = base.clone();
            act(&mut data);
            let changes = data.changes(&base);
            assert_eq!(keys(&changes.values), keys(&data.values));
            changes.is_pending()
        };
        assert!(!pending(|data| {
            data.values.set("a", text(2));
            data.values.set("a", text(1));
        }));
        assert!(!pending(|data| {
            data.values.set("new", text(2));
            data.values.remove("new", 5);
            data.flash.set("f", text(2));
            data.flash.remove("f", 5);
        }));
        // The last key stays the last; another one moves, which is a change.
        assert!(!pending(|data| {
            data.values.remove("c", 5);
            data.values.set("c", text(1));
        }));
        assert!(pending(|data| {
            data.values.remove("b", 5);
            data.values.set("b", text(1));
        }));
        assert!(pending(|data| {
            data.clear();
            for key in ["a", "b", "c"] {
                data.values.set(key, text(1));
            }
        }));
        // What a save was tried of may have arrived.
        assert!(pending(|data| {
            data.values.set("new", text(2));
            data.set_tried();
            data.values.remove("new", 5);
        }));
        let mut nothing = Data::default();
        nothing.values.set("a", text(1));
        nothing.clear();
        assert!(!nothing.changes(&Data::default()).is_pending());
    }

    /// Writes of several savers, as (saver, key, value or removal).
    fn histories() -> impl Strategy<Value = Vec<(u8, u8, Option<i64>)>> {
        proptest::collection::vec((0u8..3, 0u8..4, proptest::option::of(0i64..9)), 0..24)
    }

    fn run(history: &[(u8, u8, Option<i64>)]) -> [Data; 3] {
        let mut copies = [Data::default(), Data::default(), Data::default()];
        for (step, (saver, key, value)) in history.iter().enumerate() {
            let copy = &mut copies[usize::from(*saver)];
            let key = format!("k{key}");
            match value {
                Some(8) => drop(copy.clear()),
                Some(value) => drop(copy.values.set(&key, text(*value))),
                None => drop(copy.values.remove(&key, step as i64)),
            }
            copy.settle(version(step as u32 + 1, u32::from(*saver)), i64::MIN);
        }
        copies
    }

    fn content(data: &Data) -> Vec<(String, String)> {
        let mut content: Vec<_> = data
            .values
            .iter()
            .map(|(key, text)| (key.to_string(), text.to_string()))
            .collect();
        content.sort();
        content
    }

    proptest! {
        #[test]
        fn a_join_is_commutative_associative_and_idempotent(history in histories()) {
            let [a, b, c] = run(&history);
            let join = |one: &Data, other: &Data| { let mut one = one.clone(); one.join(other); one };
            prop_assert_eq!(content(&join(&a, &b)), content(&join(&b, &a)));
            prop_assert_eq!(content(&join(&join(&a, &b), &c)), content(&join(&a, &join(&b, &c))));
            prop_assert_eq!(content(&join(&a, &a)), content(&a));
            let both = join(&a, &b);
            prop_assert!(both.contains(&a, i64::MIN) && both.contains(&b, i64::MIN));
            prop_assert_eq!(both.values.len(), both.values.iter().count());
        }
    }
}
