//! The simulated store: one register per key, and what each location sees of it.
//!
//! The last write to arrive wins. Each write becomes visible at another location after its own
//! delay, so writes to different keys become visible in any order. A location caches what it has
//! read for the cache time, including absences.

use std::collections::BTreeMap;
use std::rc::Rc;

use crate::Ms;

/// The most locations of a history.
pub const LOCATIONS: usize = 3;

/// A put or, without a value, a delete.
pub struct Write {
    pub value: Option<Rc<str>>,
    pub metadata: Option<Rc<str>>,
    pub ttl: Ms,
    pub spread: Spread,
}

/// How one write spreads.
#[derive(Clone, Copy)]
pub struct Spread {
    /// Milliseconds until each location could read it.
    pub delay: [Ms; LOCATIONS],
    /// The location that caches it immediately: usually the writer's.
    pub cached_at: Option<usize>,
    /// Milliseconds until a listing shows it.
    pub listed: Ms,
    /// Milliseconds that it stays longer than requested; shorter if negative.
    pub linger: Ms,
    /// Acknowledged but lost.
    pub lost: bool,
}

impl Spread {
    /// Visible everywhere immediately, except for caches.
    pub const PROMPT: Self = Self {
        delay: [0; LOCATIONS],
        cached_at: None,
        listed: 0,
        linger: 0,
        lost: false,
    };
}

struct Arrived {
    value: Option<Rc<str>>,
    metadata: Option<Rc<str>>,
    at: Ms,
    ends: Ms,
    spread: Spread,
}

struct Cached {
    value: Option<Rc<str>>,
    until: Ms,
}

#[derive(Default)]
struct Key {
    arrived: Vec<Arrived>,
    accepted: Option<Ms>,
    caches: [Option<Cached>; LOCATIONS],
}

/// The result of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// The value of the register.
    Current,
    /// An older value, from the location's cache.
    OldCached,
    /// Nothing, from the location's cache, although there is a value.
    AbsenceCached,
    /// An older value or nothing, because the write is still spreading.
    Behind,
}

#[derive(Default)]
pub struct Kv {
    keys: BTreeMap<Rc<str>, Key>,
}

impl Arrived {
    fn value_at(&self, now: Ms) -> Option<&Rc<str>> {
        self.value.as_ref().filter(|_| now < self.ends)
    }
}

impl Key {
    /// The newest write that `seen` allows.
    fn latest(&self, seen: impl Fn(&Arrived) -> bool) -> Option<&Arrived> {
        self.arrived
            .iter()
            .rev()
            .find(|write| !write.spread.lost && seen(write))
    }
}

impl Kv {
    /// The answer of `location` at `now` for a read with a cache time of `cache` milliseconds.
    pub fn read(
        &mut self,
        name: &str,
        location: usize,
        now: Ms,
        cache: Ms,
    ) -> (Option<Rc<str>>, Shown) {
        if !self.keys.contains_key(name) {
            self.keys.insert(name.into(), Key::default());
        }
        let Some(key) = self.keys.get_mut(name) else {
            return (None, Shown::Current);
        };
        let truth = key
            .latest(|_| true)
            .and_then(|write| write.value_at(now))
            .cloned();
        if let Some(cached) = &key.caches[location]
            && now < cached.until
        {
            let shown = match (&cached.value, &truth) {
                (one, other) if one == other => Shown::Current,
                (None, Some(_)) => Shown::AbsenceCached,
                _ => Shown::OldCached,
            };
            return (cached.value.clone(), shown);
        }
        let seen = key
            .latest(|write| now >= write.at + write.spread.delay[location])
            .and_then(|write| write.value_at(now))
            .cloned();
        let shown = if seen == truth {
            Shown::Current
        } else {
            Shown::Behind
        };
        key.caches[location] = Some(Cached {
            value: seen.clone(),
            until: now + cache,
        });
        (seen, shown)
    }

    /// True if the store accepts another write to this key: one a second.
    pub fn takes_write(&self, name: &str, now: Ms) -> bool {
        self.keys
            .get(name)
            .and_then(|key| key.accepted)
            .is_none_or(|at| now - at >= 1_000)
    }

    pub fn write(&mut self, name: &str, write: Write, now: Ms) {
        let key = self.keys.entry(name.into()).or_default();
        key.accepted = Some(now);
        let Write {
            value,
            metadata,
            ttl,
            spread,
        } = write;
        if let Some(location) = spread.cached_at
            && !spread.lost
        {
            key.caches[location] = Some(Cached {
                value: value.clone(),
                until: now + 30_000,
            });
        }
        key.arrived.push(Arrived {
            value,
            metadata,
            at: now,
            ends: now.saturating_add((ttl + spread.linger).max(1_000)),
            spread,
        });
    }

    /// The value of the register, whatever locations can see.
    pub fn register(&self, name: &str, now: Ms) -> Option<Rc<str>> {
        self.keys
            .get(name)?
            .latest(|_| true)?
            .value_at(now)
            .cloned()
    }

    /// Every key that was ever read or written.
    pub fn names(&self) -> impl Iterator<Item = &Rc<str>> {
        self.keys.keys()
    }

    /// The cached answer of `location` for `name`, and until when.
    #[allow(clippy::type_complexity)]
    pub fn cached(&self, name: &str, location: usize, now: Ms) -> Option<(Option<Rc<str>>, Ms)> {
        let cached = self.keys.get(name)?.caches[location].as_ref()?;
        (now < cached.until).then(|| (cached.value.clone(), cached.until))
    }

    /// The answer for `name` at `location` without its cache.
    pub fn seen(&self, name: &str, location: usize, now: Ms) -> Option<Rc<str>> {
        let key = self.keys.get(name)?;
        let seen = key.latest(|write| now >= write.at + write.spread.delay[location])?;
        seen.value_at(now).cloned()
    }

    /// When the register last held a value under `name`.
    pub fn last_stood(&self, name: &str, now: Ms) -> Option<Ms> {
        let key = self.keys.get(name)?;
        let mut last = None;
        let real: Vec<&Arrived> = key.arrived.iter().filter(|it| !it.spread.lost).collect();
        for (n, write) in real.iter().enumerate() {
            if write.value.is_some() {
                let replaced = real.get(n + 1).map_or(now, |next| next.at);
                last = last.max(Some(write.ends.min(replaced)));
            }
        }
        last
    }

    /// True if any write under `name` was accepted.
    pub fn was_written(&self, name: &str) -> bool {
        self.keys
            .get(name)
            .is_some_and(|key| key.accepted.is_some())
    }

    /// The keys after `after` in a listing of `prefix`, at most `most`, and whether there are more.
    /// Also whether the listing lags behind the register.
    #[allow(clippy::type_complexity)]
    pub fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        most: usize,
        now: Ms,
    ) -> (Vec<(Rc<str>, Option<Rc<str>>)>, bool, bool) {
        let mut page = Vec::new();
        let mut lags = false;
        for (name, key) in &self.keys {
            if !name.starts_with(prefix) || after.is_some_and(|after| &**name <= after) {
                continue;
            }
            let listed = key.latest(|write| now >= write.at + write.spread.listed);
            let truth = key.latest(|_| true).and_then(|write| write.value_at(now));
            let found = listed.filter(|write| write.value_at(now).is_some());
            lags |= found.is_some() != truth.is_some();
            let Some(write) = found else { continue };
            if page.len() == most {
                return (page, true, lags);
            }
            page.push((Rc::clone(name), write.metadata.clone()));
        }
        (page, false, lags)
    }
}
