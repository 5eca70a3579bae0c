//! Random sequences of every operation, against a plain ordered map with expiry. The model has no
//! bytes of cookies, sealing, versions or markers: it has one map for each session, a log of the
//! changes of an open handle, and the rules of `docs/api.md`. Its store is consistent; the
//! simulator tests weaker ones.
//!
//! `MODEL_SEED` (a number, default 1) chooses the sequences, `MODEL_CASES` how many there are.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "tests"
)]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::time::Duration;

use crate::common::{self, *};
use edge_session::connector::ConnectorErrorKind;
use edge_session::{ErrorCode, Expiry, Outcome, SessionStore, Settings};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use serde_json::{Value, json};

const AGE: i64 = 7 * DAY;
const IDLE: i64 = DAY;
const CASES: u32 = 5_000;

// --- what can be done ----------------------------------------------------------------------------

#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Integer,
    Text,
    Any,
}

#[derive(Clone, Debug)]
enum Op {
    // The dictionary.
    Get(u8, Kind),
    Require(u8, Kind),
    Contains(u8),
    Len,
    Iterate,
    Set(u8, u8),
    SetNoNumber(u8),
    SetLongKey,
    Remove(u8),
    Pop(u8, Kind),
    PopOr(u8, u8),
    PopItem,
    Update(Vec<(u8, u8)>),
    Clear,
    SetDefault(u8, u8),
    Flash(u8, u8),
    TakeFlash(u8),
    Data,
    SetData(Vec<(u8, u8)>),
    // Facts about the session.
    Facts,
    RecentAuth(u32),
    SetModified(bool),
    GenerateId,
    // Expiry.
    SetExpiry(End),
    ExpiryFacts,
    // The life cycle.
    Load,
    LoadFresh,
    Create,
    CycleKey,
    Reauthenticate,
    Bind(u8, bool),
    Destroy,
    Flush(Vec<u8>),
    Exists,
    Delete,
    Save,
    SaveInOutage,
    Commit(u16),
    Reload,
    ReadUnloaded,
    ChangeCommitted,
    // The world.
    Advance(i64),
    OtherHandle(Vec<Op>),
    ExistsByKey,
    DeleteByKey,
    OldCookies(u8),
    CloseBrowser,
}

#[derive(Clone, Copy, Debug)]
enum End {
    Seconds(i64),
    In(i64),
    Idle(u32),
    Default,
}

/// The name of the variant, for the counts.
fn name_of(op: &Op) -> String {
    let text = format!("{op:?}");
    text.split(['(', ' ']).next().unwrap().to_owned()
}

const EVERY_OP: &[&str] = &[
    "Get",
    "Require",
    "Contains",
    "Len",
    "Iterate",
    "Set",
    "SetNoNumber",
    "SetLongKey",
    "Remove",
    "Pop",
    "PopOr",
    "PopItem",
    "Update",
    "Clear",
    "SetDefault",
    "Flash",
    "TakeFlash",
    "Data",
    "SetData",
    "Facts",
    "RecentAuth",
    "SetModified",
    "GenerateId",
    "SetExpiry",
    "ExpiryFacts",
    "Load",
    "LoadFresh",
    "Create",
    "CycleKey",
    "Reauthenticate",
    "Bind",
    "Destroy",
    "Flush",
    "Exists",
    "Delete",
    "Save",
    "SaveInOutage",
    "Commit",
    "Reload",
    "ReadUnloaded",
    "ChangeCommitted",
    "Advance",
    "OtherHandle",
    "ExistsByKey",
    "DeleteByKey",
    "OldCookies",
    "CloseBrowser",
];

const EVERY_CODE: &[ErrorCode] = &[
    ErrorCode::NotLoaded,
    ErrorCode::MissingKey,
    ErrorCode::WrongType,
    ErrorCode::InvalidValue,
    ErrorCode::TooLarge,
    ErrorCode::Expired,
    ErrorCode::Revoked,
    ErrorCode::Rotated,
    ErrorCode::Destroyed,
    ErrorCode::Unavailable,
    ErrorCode::Committed,
    ErrorCode::ReauthRequired,
];

fn key(index: u8) -> &'static str {
    ["a", "b", "c", "10", "9", "__proto__"][usize::from(index)]
}

fn value(index: u8) -> Value {
    match index {
        0 => json!(null),
        1 => json!(1),
        2 => json!(1.0),
        3 => json!(""),
        4 => json!("text"),
        5 => json!([1, {"x": 2}]),
        6 => json!({"y": 1, "x": [false]}),
        _ => json!(u64::MAX),
    }
}

fn owner(index: u8) -> &'static str {
    ["ada", "bob"][usize::from(index)]
}

fn dictionary() -> impl Strategy<Value = Op> {
    let keys = || 0u8..6;
    let values = || 0u8..8;
    let kinds = || prop_oneof![Just(Kind::Integer), Just(Kind::Text), Just(Kind::Any)];
    let pairs = || proptest::collection::vec((keys(), values()), 0..4);
    prop_oneof![
        2 => (keys(), kinds()).prop_map(|(k, t)| Op::Get(k, t)),
        1 => (keys(), kinds()).prop_map(|(k, t)| Op::Require(k, t)),
        1 => keys().prop_map(Op::Contains),
        1 => Just(Op::Len),
        1 => Just(Op::Iterate),
        8 => (keys(), values()).prop_map(|(k, v)| Op::Set(k, v)),
        1 => keys().prop_map(Op::SetNoNumber),
        1 => Just(Op::SetLongKey),
        4 => keys().prop_map(Op::Remove),
        2 => (keys(), kinds()).prop_map(|(k, t)| Op::Pop(k, t)),
        1 => (keys(), values()).prop_map(|(k, v)| Op::PopOr(k, v)),
        2 => Just(Op::PopItem),
        2 => pairs().prop_map(Op::Update),
        1 => Just(Op::Clear),
        2 => (keys(), values()).prop_map(|(k, v)| Op::SetDefault(k, v)),
        1 => (keys(), values()).prop_map(|(k, v)| Op::Flash(k, v)),
        1 => keys().prop_map(Op::TakeFlash),
        1 => Just(Op::Data),
        2 => pairs().prop_map(Op::SetData),
    ]
}

fn end() -> impl Strategy<Value = End> {
    prop_oneof![
        Just(End::Seconds(0)),
        (-5i64..900).prop_map(End::Seconds),
        (-5_000i64..900_000).prop_map(End::In),
        (0u32..900).prop_map(End::Idle),
        Just(End::Default),
    ]
}

fn life() -> impl Strategy<Value = Op> {
    prop_oneof![
        3 => Just(Op::Facts),
        1 => (0u32..100).prop_map(Op::RecentAuth),
        1 => any::<bool>().prop_map(Op::SetModified),
        1 => Just(Op::GenerateId),
        3 => end().prop_map(Op::SetExpiry),
        1 => Just(Op::ExpiryFacts),
        1 => Just(Op::Load),
        1 => Just(Op::LoadFresh),
        1 => Just(Op::Create),
        2 => Just(Op::CycleKey),
        2 => Just(Op::Reauthenticate),
        2 => (0u8..2, any::<bool>()).prop_map(|(o, k)| Op::Bind(o, k)),
        1 => Just(Op::Destroy),
        1 => proptest::collection::vec(0u8..6, 0..4).prop_map(Op::Flush),
        1 => Just(Op::Exists),
        1 => Just(Op::Delete),
    ]
}

fn world() -> impl Strategy<Value = Op> {
    let other = prop_oneof![4 => dictionary(), 1 => life()];
    prop_oneof![
        3 => Just(Op::Save),
        1 => Just(Op::SaveInOutage),
        8 => prop_oneof![9 => 200u16..500, 1 => 500u16..600].prop_map(Op::Commit),
        1 => Just(Op::Reload),
        1 => Just(Op::ReadUnloaded),
        1 => Just(Op::ChangeCommitted),
        2 => (0i64..1_500).prop_map(Op::Advance),
        2 => (1i64..130_000).prop_map(Op::Advance),
        2 => (1i64..30 * HOUR).prop_map(Op::Advance),
        1 => (DAY..8 * DAY).prop_map(Op::Advance),
        3 => proptest::collection::vec(other, 1..4).prop_map(Op::OtherHandle),
        1 => Just(Op::ExistsByKey),
        1 => Just(Op::DeleteByKey),
        2 => (0u8..8).prop_map(Op::OldCookies),
        1 => Just(Op::CloseBrowser),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![5 => dictionary(), 2 => life(), 3 => world()]
}

// --- the model -----------------------------------------------------------------------------------

/// An ordered map.
type Map = Vec<(String, Value)>;

fn find<'a>(map: &'a Map, key: &str) -> Option<&'a Value> {
    map.iter().find(|(k, _)| k == key).map(|(_, v)| v)
}

fn put(map: &mut Map, key: &str, value: Value) {
    match map.iter_mut().find(|(k, _)| k == key) {
        Some((_, old)) => *old = value,
        None => map.push((key.to_owned(), value)),
    }
}

fn take(map: &mut Map, key: &str) -> Option<Value> {
    let place = map.iter().position(|(k, _)| k == key)?;
    Some(map.remove(place).1)
}

/// The changes of a handle, which a save replays on the stored data.
#[derive(Clone, Debug)]
enum Change {
    Set(String, Value),
    Remove(String),
    Flash(String, Value),
    TakeFlash(String),
    Clear,
}

/// Replays the changes on other values.
fn replay(log: &[Change], values: &mut Map, flash: &mut Map) {
    for change in log {
        match change.clone() {
            Change::Set(key, value) => put(values, &key, value),
            Change::Remove(key) => drop(take(values, &key)),
            Change::Flash(key, value) => put(flash, &key, value),
            Change::TakeFlash(key) => drop(take(flash, &key)),
            Change::Clear => {
                values.clear();
                flash.clear();
            }
        }
    }
}

/// The keys to remove from `base` and those to set, to get `shown`. A key that was removed and put
/// again comes last, so it is removed and set. The store may have another value for the keys in
/// `tried`.
fn difference(base: &Map, shown: &Map, tried: &[String]) -> (Vec<String>, Vec<(String, Value)>) {
    let mut removed: Vec<String> = base
        .iter()
        .map(|(key, _)| key)
        .chain(tried.iter().filter(|key| find(base, key).is_none()))
        .filter(|key| find(shown, key).is_none())
        .cloned()
        .collect();
    let mut set = Vec::new();
    let mut in_place = base.iter();
    let mut stays = true;
    for (key, value) in shown {
        stays = stays && in_place.any(|(other, _)| other == key);
        let old = find(base, key);
        if old.is_some() && !stays {
            removed.push(key.clone());
        } else if old == Some(value) && !tried.contains(key) {
            continue;
        }
        set.push((key.clone(), value.clone()));
    }
    (removed, set)
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
enum Own {
    #[default]
    Default,
    At(i64),
    Idle(i64),
    BrowserClose,
}

impl Own {
    fn of(end: End, now: i64) -> Self {
        match end {
            End::Seconds(0) => Self::BrowserClose,
            End::Seconds(seconds) => Self::At(now + seconds * SECOND),
            End::In(milliseconds) => Self::At(now + milliseconds),
            End::Idle(seconds) => Self::Idle(i64::from(seconds) * SECOND),
            End::Default => Self::Default,
        }
    }

    fn idle(self) -> i64 {
        match self {
            Self::Idle(idle) => idle,
            _ => IDLE,
        }
    }

    fn idle_end(self, seen: i64) -> Option<i64> {
        (self.idle() > 0).then(|| seen + self.idle())
    }

    fn end(self, seen: i64, hard: i64) -> i64 {
        let own = match self {
            Self::At(at) => at,
            _ => i64::MAX,
        };
        hard.min(own).min(self.idle_end(seen).unwrap_or(i64::MAX))
    }
}

/// A stored session.
#[derive(Clone, Debug)]
struct Stored {
    values: Map,
    flash: Map,
    own: Own,
    saved_at: i64,
    created_at: i64,
    version: u32,
    owner: Option<&'static str>,
    auth_time: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Death {
    Rotated(i64),
    Revoked(i64),
}

/// A key: one token of a lineage.
#[derive(Clone, Debug)]
struct Token {
    lineage: usize,
    first: usize,
    hard_end: i64,
    stored: Stored,
    marker: Option<Death>,
    name: String,
}

/// Everything that is stored.
#[derive(Default)]
struct Store {
    tokens: Vec<Token>,
    /// When the lineage was ended.
    ended: Vec<Option<i64>>,
}

impl Store {
    fn death(&self, token: usize) -> Option<Death> {
        let token = &self.tokens[token];
        let by_key = match token.marker {
            Some(Death::Revoked(at)) => Some(at),
            _ => None,
        };
        let by_lineage = self.ended[token.lineage];
        match (by_key, by_lineage) {
            (Some(one), Some(other)) => Some(Death::Revoked(one.min(other))),
            (Some(at), None) | (None, Some(at)) => Some(Death::Revoked(at)),
            (None, None) => token.marker,
        }
    }

    /// Only the first cause of an end counts.
    fn revoke(&mut self, token: usize, now: i64) {
        let Token { lineage, first, .. } = self.tokens[token];
        self.ended[lineage].get_or_insert(now);
        for token in [first, token] {
            let marker = &mut self.tokens[token].marker;
            if !matches!(marker, Some(Death::Revoked(_))) {
                *marker = Some(Death::Revoked(now));
            }
        }
    }
}

/// A cookie of the browser: its content, and when it expires.
#[derive(Clone, Copy, Debug)]
struct Cookie<T> {
    says: T,
    until: i64,
}

#[derive(Clone, Debug, Default)]
struct Cookies {
    key: Option<Cookie<usize>>,
    seen: Option<Cookie<(usize, i64)>>,
    fresh: Option<Cookie<()>>,
}

impl Cookies {
    fn at(&self, now: i64) -> Self {
        Self {
            key: self.key.filter(|cookie| now < cookie.until),
            seen: self.seen.filter(|cookie| now < cookie.until),
            fresh: self.fresh.filter(|cookie| now < cookie.until),
        }
    }
}

/// The end of a cookie without an age.
const UNTIL_CLOSED: i64 = i64::MAX;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Access {
    Live,
    /// The session was ended or rotated less than W ago: a save is refused with this error.
    Dead(ErrorCode),
    /// The same, and nothing can be read: every accessor fails with this error.
    Closed,
    Empty,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Step {
    Cycle,
    Begin(Option<&'static str>),
}

#[derive(Clone, Debug)]
struct Next {
    step: Step,
    minted_at: i64,
    hard_end: i64,
    keep: bool,
    /// A cycle that also renews the login.
    renews_login: bool,
    retire: Option<(usize, bool)>,
    name: String,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Answer<T> {
    Set(T),
    Remove,
}

/// An open session.
struct Handle {
    came: Cookies,
    presented: Option<usize>,
    /// True if the request's key cookie has reached its end.
    ended: bool,
    outcome: Outcome,
    access: Access,
    base: Option<Stored>,
    values: Map,
    flash: Map,
    log: Vec<Change>,
    /// The keys of values and of flash values that a failed save has tried to store, and whether it
    /// has tried a clear.
    tried: (Vec<String>, Vec<String>, bool),
    /// Whether it has tried limits.
    has_tried_own: bool,
    own: Option<Own>,
    forced: Option<bool>,
    /// Values, flash values and limits that were left unsaved.
    left: (Map, Map, Option<Own>),
    next: Option<Next>,
    destroyed: bool,
    last_seen: i64,
    loaded_at: i64,
    key: Option<Answer<Cookie<usize>>>,
    seen: Option<Answer<Cookie<(usize, i64)>>>,
    fresh: Option<Answer<Cookie<()>>>,
}

type Refused<T> = Result<T, ErrorCode>;

impl Handle {
    fn open(store: &Store, cookies: &Cookies, now: i64) -> Self {
        let came = cookies.at(now);
        let mut handle = Self {
            came: came.clone(),
            presented: None,
            ended: false,
            outcome: Outcome::New,
            access: Access::Empty,
            base: None,
            values: Map::new(),
            flash: Map::new(),
            log: Vec::new(),
            tried: Default::default(),
            has_tried_own: false,
            own: None,
            forced: None,
            left: Default::default(),
            next: None,
            destroyed: false,
            last_seen: now,
            loaded_at: now,
            key: None,
            seen: None,
            fresh: None,
        };
        let Some(Cookie { says: token, .. }) = came.key else {
            return handle;
        };
        if now >= store.tokens[token].hard_end {
            (handle.outcome, handle.ended) = (Outcome::Expired, true);
            return handle;
        }
        handle.presented = Some(token);
        handle.look(store, now);
        handle
    }

    /// The stored session of the request's cookie.
    fn look(&mut self, store: &Store, now: i64) {
        let Some(token) = self.presented else {
            self.outcome = if self.ended {
                Outcome::Expired
            } else {
                Outcome::New
            };
            (self.base, self.access) = (None, Access::Empty);
            let is_left = self.is_left_unsaved();
            self.keep_left_unsaved(is_left);
            return;
        };
        self.log = self.changes();
        self.base = None;
        self.loaded_at = now;
        let (mut values, mut flash) = (Map::new(), Map::new());
        let stored = &store.tokens[token].stored;
        let seen = self.came.seen.filter(|cookie| cookie.says.0 == token);
        let last_seen = seen.map_or(stored.saved_at, |seen| seen.says.1.max(stored.saved_at));
        let passed = now >= stored.own.end(last_seen, store.tokens[token].hard_end);
        let readable;
        (self.outcome, self.access, readable) = match store.death(token) {
            Some(Death::Revoked(at)) if now < at + WINDOW => {
                (Outcome::Revoked, Access::Dead(ErrorCode::Revoked), false)
            }
            Some(Death::Revoked(_)) => (Outcome::Revoked, Access::Empty, false),
            Some(Death::Rotated(at)) if now >= at + WINDOW => {
                (Outcome::Rotated, Access::Empty, false)
            }
            Some(Death::Rotated(_)) if passed => (Outcome::Rotated, Access::Closed, false),
            Some(Death::Rotated(_)) => (Outcome::Rotated, Access::Dead(ErrorCode::Rotated), true),
            None if passed => (Outcome::Expired, Access::Empty, false),
            None => (Outcome::Loaded, Access::Live, true),
        };
        if readable {
            values = stored.values.clone();
            flash = stored.flash.clone();
            self.last_seen = last_seen;
            self.base = Some(stored.clone());
        }
        self.replay_onto(&self.log, &mut values, &mut flash);
        let is_left = self.is_left_unsaved();
        (self.values, self.flash) = (values, flash);
        self.keep_left_unsaved(is_left);
    }

    /// After a load, changes that were made since others were left unsaved count for good.
    fn keep_left_unsaved(&mut self, is_left: bool) {
        if is_left {
            self.leave_unsaved();
        } else if self.forced == Some(false) {
            self.forced = None;
        }
    }

    /// Applies the changes of this handle to the stored data. Added keys come last, in the order in
    /// which the handle shows them.
    fn replay_onto(&self, log: &[Change], values: &mut Map, flash: &mut Map) {
        let taken = |key: &str| {
            log.iter().any(|change| match change {
                Change::Remove(removed) => removed == key,
                Change::Clear => true,
                _ => false,
            })
        };
        let stays: Vec<String> = values.iter().map(|(key, _)| key.clone()).collect();
        let stays: Vec<String> = stays.into_iter().filter(|key| !taken(key)).collect();
        replay(log, values, flash);
        values.sort_by_key(|(key, _)| {
            let stayed = stays.iter().position(|other| other == key);
            let shown = self.values.iter().position(|(other, _)| other == key);
            (stayed.is_none(), stayed.or(shown))
        });
    }

    fn change(&mut self, change: Change) {
        if let Change::Clear = change {
            self.tried.2 |= !(self.tried.0.is_empty() && self.tried.1.is_empty());
            self.tried.0.clear();
            self.tried.1.clear();
        }
        replay(
            std::slice::from_ref(&change),
            &mut self.values,
            &mut self.flash,
        );
        self.log.push(change);
    }

    fn check_open(&self) -> Refused<()> {
        if self.destroyed {
            return Err(ErrorCode::Destroyed);
        }
        Ok(())
    }

    /// The start of every change, also of one that changes nothing.
    fn edit(&mut self) -> Refused<()> {
        self.check_open()
    }

    fn set(&mut self, key: &str, value: Value) -> Refused<()> {
        self.edit()?;
        if find(&self.values, key) != Some(&value) {
            self.change(Change::Set(key.to_owned(), value));
        }
        Ok(())
    }

    fn remove(&mut self, key: &str) -> Refused<Option<Value>> {
        self.edit()?;
        let old = find(&self.values, key).cloned();
        if old.is_some() {
            self.change(Change::Remove(key.to_owned()));
        }
        Ok(old)
    }

    fn clear(&mut self) -> Refused<()> {
        self.edit()?;
        if !self.is_empty() {
            self.change(Change::Clear);
        }
        Ok(())
    }

    fn is_empty(&self) -> bool {
        self.values.is_empty() && self.flash.is_empty()
    }

    /// The shortest log from the stored data to what this handle shows. It omits values that were
    /// changed back.
    fn changes(&self) -> Vec<Change> {
        let begins = self.next.as_ref().is_some_and(|next| !next.keep);
        let base = self.base.as_ref().filter(|_| !begins);
        let (mut values, mut flash) = base.map_or_else(Default::default, |base| {
            (base.values.clone(), base.flash.clone())
        });
        let mut changes = Vec::new();
        let cleared = self.log.iter().any(|it| matches!(it, Change::Clear));
        if cleared && (self.tried.2 || !(values.is_empty() && flash.is_empty())) {
            changes.push(Change::Clear);
            (values, flash) = Default::default();
        }
        let (removed, set) = difference(&values, &self.values, &self.tried.0);
        changes.extend(removed.into_iter().map(Change::Remove));
        changes.extend(set.into_iter().map(|(key, value)| Change::Set(key, value)));
        let (taken, left) = difference(&flash, &self.flash, &self.tried.1);
        changes.extend(taken.into_iter().map(Change::TakeFlash));
        changes.extend(
            left.into_iter()
                .map(|(key, value)| Change::Flash(key, value)),
        );
        changes
    }

    /// A save of the changes failed. They may be stored anyway.
    fn try_changes(&mut self) {
        // What a failed save may have stored counts from now on.
        if self.forced == Some(false) {
            self.forced = None;
        }
        self.has_tried_own |= self.own.is_some();
        for change in self.changes() {
            match change {
                Change::Set(key, _) | Change::Remove(key) => self.tried.0.push(key),
                Change::Flash(key, _) | Change::TakeFlash(key) => self.tried.1.push(key),
                Change::Clear => self.tried.2 = true,
            }
        }
    }

    /// True if something was changed; for a new session, if there is something to store.
    fn modified(&self) -> bool {
        match self.forced {
            Some(true) => true,
            _ if self.is_left_unsaved() => false,
            _ => !self.changes().is_empty() || self.own.is_some(),
        }
    }

    /// Leaves the changes so far unsaved, until it shows something else.
    fn leave_unsaved(&mut self) {
        self.forced = Some(false);
        self.left = (self.values.clone(), self.flash.clone(), self.own);
    }

    fn is_left_unsaved(&self) -> bool {
        let (values, flash, own) = &self.left;
        self.forced == Some(false) && (values, flash, own) == (&self.values, &self.flash, &self.own)
    }

    fn would_save(&self) -> bool {
        if self.next.is_some() {
            return true;
        }
        match self.access {
            Access::Live | Access::Dead(_) | Access::Closed => self.modified(),
            Access::Empty => {
                let holds = match self.forced {
                    Some(true) => true,
                    _ if self.is_left_unsaved() => false,
                    _ => !self.is_empty() && !self.changes().is_empty(),
                };
                !self.destroyed && holds
            }
        }
    }

    fn seen_is_due(&self) -> bool {
        let (Access::Live, Some(base)) = (self.access, &self.base) else {
            return false;
        };
        let idle = base.own.idle();
        idle > 0 && self.loaded_at - self.last_seen >= idle / 20
    }

    fn needs_update(&self) -> bool {
        self.key.is_some()
            || self.seen.is_some()
            || self.fresh.is_some()
            || self.would_save()
            || self.seen_is_due()
    }

    fn effective_own(&self) -> Own {
        let stored = self.base.as_ref().map(|base| base.own);
        self.own.or(stored).unwrap_or_default()
    }

    fn limits(&self, store: &Store, now: i64) -> (i64, i64) {
        match (&self.next, self.presented, &self.base) {
            (Some(next), ..) => (now, next.hard_end),
            (None, Some(token), Some(_)) => (
                self.last_seen.max(self.loaded_at),
                store.tokens[token].hard_end,
            ),
            _ => (now, now + AGE),
        }
    }

    fn set_expiry(&mut self, own: Own, now: i64, store: &Store) -> Refused<()> {
        let before = self.effective_own() == Own::BrowserClose;
        self.edit()?;
        if self.access == Access::Live && before != (own == Own::BrowserClose) {
            self.cycle_key(now, store)?;
        }
        let known = self.base.as_ref().map(|base| base.own);
        let changes = Some(own) != known || self.next.is_some() || self.has_tried_own;
        self.own = changes.then_some(own);
        Ok(())
    }

    fn start_empty(&mut self) {
        self.values.clear();
        self.flash.clear();
        self.log.clear();
        self.tried = Default::default();
        self.has_tried_own = false;
        self.base = None;
        self.own = None;
    }

    fn begin(&mut self, step: Step, now: i64) {
        self.next = Some(Next {
            step,
            minted_at: now,
            hard_end: now + AGE,
            keep: false,
            renews_login: false,
            retire: None,
            name: String::new(),
        });
    }

    fn create(&mut self, now: i64) -> Refused<()> {
        self.check_open()?;
        if let Access::Dead(code) = self.access {
            return Err(code);
        }
        if self.base.is_some() || self.owner().is_some() {
            self.start_empty();
        }
        self.begin(Step::Begin(None), now);
        Ok(())
    }

    fn cycle_key(&mut self, now: i64, store: &Store) -> Refused<()> {
        self.check_open()?;
        if self.next.is_some() {
            return Ok(());
        }
        let (Some(token), Access::Live) = (self.presented, self.access) else {
            return self.create(now);
        };
        self.begin(Step::Cycle, now);
        let next = self.next.as_mut().unwrap();
        next.hard_end = store.tokens[token].hard_end;
        next.keep = true;
        next.retire = Some((token, false));
        Ok(())
    }

    fn owner(&self) -> Option<&'static str> {
        match &self.next {
            Some(Next {
                step: Step::Begin(owner),
                ..
            }) => *owner,
            _ => self.base.as_ref().and_then(|base| base.owner),
        }
    }

    fn reauthenticate(&mut self, now: i64, store: &Store) -> Refused<()> {
        self.check_open()?;
        if let (Access::Dead(code), None) = (self.access, &self.next) {
            return Err(code);
        }
        self.owner().ok_or(ErrorCode::ReauthRequired)?;
        self.cycle_key(now, store)?;
        if let Some(next) = &mut self.next {
            next.renews_login = next.step == Step::Cycle;
        }
        Ok(())
    }

    fn bind(&mut self, owner: &'static str, keep: bool, now: i64, store: &Store) {
        let bound = self.owner();
        // A login can keep whatever can be read.
        let readable = match self.access {
            Access::Dead(code) => code == ErrorCode::Rotated,
            Access::Closed => false,
            Access::Live | Access::Empty => true,
        };
        let own = bound.is_none_or(|bound| bound == owner);
        let keep = keep && readable && own && !self.destroyed;
        if !keep {
            self.start_empty();
        }
        let retire = match self.next.take() {
            Some(Next {
                step: Step::Begin(Some(_)),
                retire,
                ..
            }) => retire,
            _ => self.presented.and_then(|token| {
                let owned = store.tokens[token].stored.owner.is_some();
                (owned || self.access == Access::Live).then_some((token, owned))
            }),
        };
        self.destroyed = false;
        self.begin(Step::Begin(Some(owner)), now);
        let next = self.next.as_mut().unwrap();
        next.keep = keep && self.access == Access::Live;
        next.retire = retire;
        if let Access::Dead(_) | Access::Closed = self.access {
            self.access = Access::Empty;
        }
    }

    fn destroy(&mut self, now: i64, store: &mut Store) {
        if let Some(token) = self.presented {
            store.revoke(token, now);
        }
        let had = self.presented.take().is_some();
        self.start_empty();
        self.next = None;
        self.ended = false;
        self.forced = None;
        self.destroyed = true;
        self.access = Access::Empty;
        self.key = (had || self.came.key.is_some()).then_some(Answer::Remove);
        self.seen = self.came.seen.is_some().then_some(Answer::Remove);
        self.fresh = (had || self.came.fresh.is_some()).then_some(Answer::Remove);
    }

    fn flush(&mut self, keep: &[u8], now: i64, store: &mut Store) {
        let mut kept = std::mem::take(&mut self.values);
        kept.retain(|(name, _)| keep.iter().any(|index| key(*index) == name));
        self.destroy(now, store);
        self.destroyed = false;
        for (key, value) in kept {
            self.change(Change::Set(key, value));
        }
    }

    /// What a save would store, or its error. `None` if there is nothing to do.
    fn plan(&self, store: &Store, now: i64) -> Refused<Option<Stored>> {
        if !self.would_save() {
            return Ok(None);
        }
        if let (None, Access::Dead(code)) = (&self.next, self.access) {
            return Err(code);
        }
        let begins = Next {
            step: Step::Begin(None),
            minted_at: now,
            hard_end: now + AGE,
            keep: false,
            renews_login: false,
            retire: None,
            name: String::new(),
        };
        let next = match (&self.next, self.access) {
            (Some(next), _) => Some(next),
            (None, Access::Empty) => Some(&begins),
            (None, _) => None,
        };
        let mut source = match (next, self.presented, &self.base) {
            (Some(next), Some(token), Some(_)) if next.keep => Some(token),
            (None, Some(token), _) => Some(token),
            _ => None,
        };
        if let Some(token) = source
            && let Err(code) = self.still_there(store, token, next, now)
        {
            // A login keeps the copy that this request has.
            if !next.is_some_and(|next| matches!(next.step, Step::Begin(Some(_)))) {
                return Err(code);
            }
            source = None;
        }
        let hard_end = match (next, self.presented) {
            (Some(next), _) => next.hard_end,
            (None, Some(token)) => store.tokens[token].hard_end,
            (None, None) => unreachable!("a save of nothing"),
        };
        let mut stored = match (source, next.map(|next| next.step)) {
            (Some(token), None | Some(Step::Cycle)) => store.tokens[token].stored.clone(),
            (source, _) => Stored {
                values: source.map_or_else(Map::new, |t| store.tokens[t].stored.values.clone()),
                flash: source.map_or_else(Map::new, |t| store.tokens[t].stored.flash.clone()),
                // A login that keeps the data also keeps the expiry.
                own: match (source, &self.base) {
                    (Some(token), _) => store.tokens[token].stored.own,
                    (None, base) => base.as_ref().map_or(Own::Default, |base| base.own),
                },
                saved_at: now,
                created_at: now,
                version: 0,
                owner: None,
                auth_time: None,
            },
        };
        if source.is_some() {
            self.replay_onto(&self.changes(), &mut stored.values, &mut stored.flash);
        } else {
            (stored.values, stored.flash) = (self.values.clone(), self.flash.clone());
        }
        if let Some(Next {
            step: Step::Begin(Some(owner)),
            ..
        }) = next
        {
            stored.owner = Some(owner);
            stored.auth_time = Some(now);
            // A login succeeds even if the session has expired since the load.
            if now >= stored.own.end(now, hard_end) {
                stored.own = Own::Default;
            }
        }
        if next.is_some_and(|next| next.renews_login) {
            stored.auth_time = Some(now);
        }
        stored.version += 1;
        stored.saved_at = stored.saved_at.max(now);
        stored.own = self.own.unwrap_or(stored.own);
        if now >= stored.own.end(now, hard_end) {
            return Err(ErrorCode::Expired);
        }
        Ok(Some(stored))
    }

    /// True if the session of `token`, whose stored data a save uses, is alive.
    fn still_there(
        &self,
        store: &Store,
        token: usize,
        next: Option<&Next>,
        now: i64,
    ) -> Refused<()> {
        let there = &store.tokens[token];
        let seen = self.last_seen.max(self.loaded_at);
        let known = self.effective_own();
        let own_passed = next.is_none() && now >= known.end(seen, there.hard_end);
        if (self.own.is_none() && own_passed) || now >= there.hard_end {
            return Err(ErrorCode::Expired);
        }
        match store.death(token) {
            Some(Death::Revoked(_)) => return Err(ErrorCode::Revoked),
            Some(Death::Rotated(_)) => return Err(ErrorCode::Rotated),
            None => {}
        }
        let seen = seen.max(there.stored.saved_at);
        let passed = now >= there.stored.own.end(seen, there.hard_end);
        if passed && self.own.is_none() {
            return Err(ErrorCode::Expired);
        }
        Ok(())
    }

    fn save(&mut self, store: &mut Store, now: i64) -> Refused<()> {
        let Some(stored) = self.plan(store, now)? else {
            return Ok(());
        };
        // A session without an owner gets its key when it is stored.
        if self.next.is_none() && self.access == Access::Empty {
            self.begin(Step::Begin(None), now);
        }
        let next = self.next.take();
        let new_key = next.is_some();
        let token = match next {
            None => {
                let token = self.presented.expect("a session to save");
                store.tokens[token].stored = stored.clone();
                token
            }
            Some(next) => {
                let token = store.tokens.len();
                let (lineage, first) = match (next.step, self.presented) {
                    (Step::Cycle, Some(old)) => {
                        (store.tokens[old].lineage, store.tokens[old].first)
                    }
                    _ => {
                        store.ended.push(None);
                        (store.ended.len() - 1, token)
                    }
                };
                store.tokens.push(Token {
                    lineage,
                    first,
                    hard_end: next.hard_end,
                    stored: stored.clone(),
                    marker: None,
                    name: next.name,
                });
                match next.retire {
                    Some((old, true)) => store.revoke(old, now),
                    Some((old, false)) => {
                        store.tokens[old].marker.get_or_insert(Death::Rotated(now));
                    }
                    None => {}
                }
                token
            }
        };
        if new_key {
            let left = (store.tokens[token].hard_end - now + 999) / SECOND;
            let until = match stored.own {
                Own::BrowserClose => UNTIL_CLOSED,
                _ => left * SECOND,
            };
            self.key = Some(Answer::Set(Cookie { says: token, until }));
        }
        let until = WINDOW;
        self.fresh = Some(Answer::Set(Cookie { says: (), until }));
        if new_key {
            self.came.seen = self.came.seen.map(|cookie| Cookie {
                says: (usize::MAX, 0),
                ..cookie
            });
        }
        self.presented = Some(token);
        self.access = Access::Live;
        self.last_seen = stored.saved_at;
        self.values = stored.values.clone();
        self.flash = stored.flash.clone();
        self.base = Some(stored);
        self.log.clear();
        self.tried = Default::default();
        self.has_tried_own = false;
        self.own = None;
        self.forced = None;
        Ok(())
    }

    fn commit(
        &mut self,
        store: &mut Store,
        cookies: &mut Cookies,
        now: i64,
        status: u16,
    ) -> Refused<()> {
        let result = if status >= 500 {
            Ok(())
        } else {
            self.save(store, now)
        };
        if result.is_ok() && status < 500 && self.fresh.is_none() && self.seen_is_due() {
            let token = self.presented.expect("a live session");
            let left = (store.tokens[token].hard_end - self.loaded_at + 999) / SECOND;
            let until = match self.base.as_ref().map(|base| base.own) {
                Some(Own::BrowserClose) => UNTIL_CLOSED,
                _ => left * SECOND,
            };
            let says = (token, self.loaded_at);
            self.seen = Some(Answer::Set(Cookie { says, until }));
        }
        fn apply<T: Copy>(
            cookie: &mut Option<Cookie<T>>,
            answer: Option<Answer<Cookie<T>>>,
            now: i64,
        ) {
            match answer {
                // The browser counts the age from when it gets the response.
                Some(Answer::Set(new)) => {
                    let until = new.until.saturating_add(now);
                    *cookie = Some(Cookie { until, ..new });
                }
                Some(Answer::Remove) => *cookie = None,
                None => {}
            }
        }
        apply(&mut cookies.key, self.key, now);
        apply(&mut cookies.seen, self.seen, now);
        apply(&mut cookies.fresh, self.fresh, now);
        result
    }
}

// --- both side by side ---------------------------------------------------------------------------

#[derive(Default)]
struct Counts {
    ops: BTreeMap<String, u64>,
    codes: BTreeMap<&'static str, u64>,
    outcomes: BTreeMap<&'static str, u64>,
}

struct Pair<'c> {
    world: World,
    jar: Jar,
    store: Store,
    cookies: Cookies,
    old: Vec<(Jar, Cookies)>,
    counts: &'c RefCell<Counts>,
}

type Check = Result<(), TestCaseError>;

fn expiry(end: End, now: i64) -> Expiry {
    match end {
        End::Seconds(seconds) => seconds.into(),
        End::In(milliseconds) => instant(now + milliseconds).into(),
        End::Idle(seconds) => Duration::from_secs(seconds.into()).into(),
        End::Default => Expiry::default_settings(),
    }
}

fn text(value: &Value) -> String {
    value.to_string()
}

fn fits(kind: Kind, value: &Value) -> bool {
    match kind {
        Kind::Integer => value.as_i64().is_some(),
        Kind::Text => value.is_string(),
        Kind::Any => true,
    }
}

/// The result of a typed read of `found`.
fn typed(kind: Kind, found: Option<&Value>) -> Refused<Option<Value>> {
    match found {
        Some(value) if !fits(kind, value) => Err(ErrorCode::WrongType),
        found => Ok(found.cloned()),
    }
}

impl<'c> Pair<'c> {
    fn new(counts: &'c RefCell<Counts>) -> Self {
        Self {
            world: World::with(Settings::default()),
            jar: Jar::new(),
            store: Store::default(),
            cookies: Cookies::default(),
            old: Vec::new(),
            counts,
        }
    }

    fn now(&self) -> i64 {
        self.world.now()
    }

    /// Opens the session in both, which must agree on what they find.
    fn open(&self) -> Result<(SessionStore, Handle), TestCaseError> {
        let session = self.world.open(&self.jar);
        let handle = Handle::open(&self.store, &self.cookies, self.now());
        prop_assert_eq!(session.outcome().unwrap(), handle.outcome);
        *self
            .counts
            .borrow_mut()
            .outcomes
            .entry(handle.outcome.as_str())
            .or_default() += 1;
        self.compare(&session, &handle)?;
        Ok((session, handle))
    }

    fn agree<T: PartialEq + std::fmt::Debug>(
        &self,
        got: Result<T, edge_session::SessionError>,
        expected: Refused<T>,
    ) -> Check {
        let got = got.map_err(|error| error.code());
        if let Err(code) = &got {
            let mut counts = self.counts.borrow_mut();
            *counts.codes.entry(code.as_str()).or_default() += 1;
        }
        prop_assert_eq!(got, expected);
        Ok(())
    }

    /// Compares everything that can be read from both without changing them.
    fn compare(&self, session: &SessionStore, handle: &Handle) -> Check {
        if handle.access == Access::Closed {
            return self.agree(session.len(), Err(ErrorCode::Rotated));
        }
        let expected: Vec<(String, String)> = handle
            .values
            .iter()
            .map(|(key, value)| (key.clone(), text(value)))
            .collect();
        prop_assert_eq!(contents(session), expected);
        prop_assert_eq!(session.modified(), handle.would_save(), "modified");
        prop_assert_eq!(
            session.needs_update(),
            handle.needs_update(),
            "needs_update"
        );
        let (seen, hard) = handle.limits(&self.store, self.now());
        let own = handle.effective_own();
        prop_assert_eq!(
            ms(session.get_expiry_date().unwrap()),
            own.end(seen, hard),
            "expiry"
        );
        Ok(())
    }

    fn facts(&self, session: &SessionStore, handle: &Handle) -> Check {
        // A login keeps a copy of what a rotated key still shows. The stored session does not
        // continue.
        let begins = |next: &Next| matches!(next.step, Step::Begin(_)) && !next.keep;
        let is_begun = handle.next.as_ref().is_some_and(begins);
        let base = handle.base.as_ref().filter(|_| !is_begun);
        prop_assert_eq!(session.is_new().unwrap(), base.is_none());
        prop_assert_eq!(
            session.version().unwrap(),
            base.map_or(0, |base| base.version)
        );
        prop_assert_eq!(
            session.created_at().unwrap().map(ms),
            base.map(|base| base.created_at)
        );
        prop_assert_eq!(session.is_empty().unwrap(), handle.is_empty());
        prop_assert_eq!(session.len().unwrap(), handle.values.len());
        let stored = base.map_or((None, None), |base| (base.owner, base.auth_time));
        let begun = handle.next.as_ref().and_then(|next| match next.step {
            Step::Begin(owner) => Some((owner, owner.map(|_| next.minted_at))),
            Step::Cycle if next.renews_login => Some((stored.0, Some(next.minted_at))),
            Step::Cycle => None,
        });
        let (owner, auth_time) = begun.unwrap_or(stored);
        prop_assert_eq!(session.owner().unwrap(), owner);
        prop_assert_eq!(session.auth_time().unwrap().map(ms), auth_time);
        let name = match (&handle.next, handle.presented, handle.access) {
            (Some(next), ..) => Some(next.name.clone()),
            (None, Some(token), Access::Live | Access::Dead(_)) => {
                Some(self.store.tokens[token].name.clone())
            }
            _ => None,
        };
        let key = session.session_key().unwrap();
        prop_assert_eq!(key.map(|key| key.to_string()), name);
        Ok(())
    }

    /// Only the session knows a key that was just created.
    fn learn(&mut self, session: &SessionStore, handle: &mut Handle) -> Check {
        let Some(key) = session.session_key().unwrap() else {
            return Ok(());
        };
        let name = key.to_string();
        let parts = KeyParts::parse(&name);
        match (&mut handle.next, handle.presented) {
            (Some(next), presented) if next.name != name => {
                let lineage = presented.map(|token| &self.store.tokens[token].name);
                let cycles = next.step == Step::Cycle;
                let same =
                    lineage.is_some_and(|name| KeyParts::parse(name).lineage == parts.lineage);
                prop_assert_eq!(same, cycles, "a cycle keeps the lineage, nothing else does");
                let owned = match next.step {
                    Step::Begin(owner) => owner.is_some(),
                    Step::Cycle => handle
                        .base
                        .as_ref()
                        .is_some_and(|base| base.owner.is_some()),
                };
                prop_assert_eq!(parts.owner != "-", owned);
                next.name = name;
            }
            (None, Some(token)) if self.store.tokens[token].name.is_empty() => {
                self.store.tokens[token].name = name;
            }
            _ => {}
        }
        Ok(())
    }

    fn step(&mut self, session: &mut SessionStore, handle: &mut Handle, op: &Op) -> Check {
        let of_the_world = matches!(
            op,
            Op::Advance(_)
                | Op::Reload
                | Op::Commit(_)
                | Op::OldCookies(_)
                | Op::CloseBrowser
                | Op::Destroy
                | Op::Delete
        );
        if handle.access == Access::Closed && !of_the_world {
            return Ok(());
        }
        {
            let mut counts = self.counts.borrow_mut();
            *counts.ops.entry(name_of(op)).or_default() += 1;
        }
        let now = self.now();
        match op {
            Op::Get(k, kind) => {
                let expected = typed(*kind, find(&handle.values, key(*k)));
                let got = match kind {
                    Kind::Integer => session.get::<i64>(key(*k)).map(|v| v.map(Value::from)),
                    Kind::Text => session.get::<String>(key(*k)).map(|v| v.map(Value::from)),
                    Kind::Any => session.get::<Value>(key(*k)),
                };
                self.agree(got, expected)?;
            }
            Op::Require(k, kind) => {
                let expected = typed(*kind, find(&handle.values, key(*k)))
                    .and_then(|value| value.ok_or(ErrorCode::MissingKey));
                let got = match kind {
                    Kind::Integer => session.require::<i64>(key(*k)).map(Value::from),
                    Kind::Text => session.require::<String>(key(*k)).map(Value::from),
                    Kind::Any => session.require::<Value>(key(*k)),
                };
                self.agree(got, expected)?;
            }
            Op::Contains(k) => {
                let expected = find(&handle.values, key(*k)).is_some();
                self.agree(session.contains_key(key(*k)), Ok(expected))?;
            }
            Op::Len => self.agree(session.len(), Ok(handle.values.len()))?,
            Op::Iterate => {
                let keys: Vec<&str> = handle.values.iter().map(|(key, _)| &**key).collect();
                prop_assert_eq!(session.keys().unwrap().collect::<Vec<_>>(), keys);
                let texts: Vec<String> = handle.values.iter().map(|(_, v)| text(v)).collect();
                prop_assert_eq!(session.values().unwrap().collect::<Vec<_>>(), texts);
                prop_assert_eq!(session.iter().unwrap().count(), handle.values.len());
            }
            Op::Set(k, v) => {
                let expected = handle.set(key(*k), value(*v));
                self.agree(session.set(key(*k), value(*v)), expected)?;
            }
            Op::SetNoNumber(k) => {
                let got = session.set(key(*k), [f64::NAN]);
                self.agree(got, Err(ErrorCode::InvalidValue))?;
            }
            Op::SetLongKey => {
                let got = session.set(&"k".repeat(257), 1);
                self.agree(got, Err(ErrorCode::TooLarge))?;
            }
            Op::Remove(k) => {
                let expected = handle.remove(key(*k)).map(|old| old.is_some());
                self.agree(session.remove(key(*k)), expected)?;
            }
            Op::Pop(k, kind) => {
                let expected = typed(*kind, find(&handle.values, key(*k)))
                    .and_then(|value| value.ok_or(ErrorCode::MissingKey))
                    .and_then(|value| handle.remove(key(*k)).map(|_| value));
                let got = match kind {
                    Kind::Integer => session.pop::<i64>(key(*k)).map(Value::from),
                    Kind::Text => session.pop::<String>(key(*k)).map(Value::from),
                    Kind::Any => session.pop::<Value>(key(*k)),
                };
                self.agree(got, expected)?;
            }
            Op::PopOr(k, v) => {
                let expected = match find(&handle.values, key(*k)).cloned() {
                    Some(there) => handle.remove(key(*k)).map(|_| there),
                    None => Ok(value(*v)),
                };
                self.agree(session.pop_or(key(*k), value(*v)), expected)?;
            }
            Op::PopItem => {
                let expected = match handle.values.last().cloned() {
                    None => Err(ErrorCode::MissingKey),
                    Some((key, value)) => handle.remove(&key).map(|_| (key, text(&value))),
                };
                let got = session.popitem().map(|(key, text)| (key, text.to_string()));
                self.agree(got, expected)?;
            }
            Op::Update(pairs) => {
                let mut expected = handle.edit();
                for (k, v) in pairs {
                    expected = expected.and_then(|()| handle.set(key(*k), value(*v)));
                }
                let pairs = pairs.iter().map(|(k, v)| (key(*k), value(*v)));
                self.agree(session.update(pairs), expected)?;
            }
            Op::Clear => {
                let expected = handle.clear();
                self.agree(session.clear(), expected)?;
            }
            Op::SetDefault(k, v) => {
                let expected = match find(&handle.values, key(*k)).cloned() {
                    Some(there) => Ok(there),
                    None => handle.set(key(*k), value(*v)).map(|()| value(*v)),
                };
                self.agree(session.setdefault(key(*k), value(*v)), expected)?;
            }
            Op::Flash(k, v) => {
                let expected = handle.edit().map(|()| {
                    if find(&handle.flash, key(*k)) != Some(&value(*v)) {
                        handle.change(Change::Flash(key(*k).to_owned(), value(*v)));
                    }
                });
                self.agree(session.flash(key(*k), value(*v)), expected)?;
            }
            Op::TakeFlash(k) => {
                let expected = match find(&handle.flash, key(*k)).cloned() {
                    None => Ok(None),
                    Some(there) => handle.edit().map(|()| {
                        handle.change(Change::TakeFlash(key(*k).to_owned()));
                        Some(there)
                    }),
                };
                self.agree(session.take_flash(key(*k)), expected)?;
            }
            Op::Data => {
                let expected: BTreeMap<String, Value> = handle.values.iter().cloned().collect();
                self.agree(session.data(), Ok(expected))?;
            }
            Op::SetData(pairs) => {
                let mut data = serde_json::Map::new();
                for (k, v) in pairs {
                    data.insert(key(*k).to_owned(), value(*v));
                }
                let expected = handle.edit().and_then(|()| {
                    for (key, _) in handle.values.clone() {
                        if !data.contains_key(&key) {
                            handle.remove(&key)?;
                        }
                    }
                    data.iter()
                        .try_for_each(|(key, value)| handle.set(key, value.clone()))
                });
                self.agree(session.set_data(&data), expected)?;
            }
            Op::Facts => self.facts(session, handle)?,
            Op::RecentAuth(seconds) => {
                let at = session.auth_time().unwrap().map(ms);
                let recent = at.is_some_and(|at| now - at <= i64::from(*seconds) * SECOND);
                let expected = if recent {
                    Ok(())
                } else {
                    Err(ErrorCode::ReauthRequired)
                };
                self.agree(
                    session.require_recent_auth(Duration::from_secs((*seconds).into())),
                    expected,
                )?;
            }
            Op::SetModified(modified) => {
                let expected = handle.edit().map(|()| {
                    if *modified {
                        handle.forced = Some(true);
                    } else {
                        handle.leave_unsaved();
                    }
                });
                self.agree(session.set_modified(*modified), expected)?;
            }
            Op::GenerateId => prop_assert_eq!(session.generate_session_id().unwrap().len(), 43),
            Op::SetExpiry(end) => {
                let expected = handle.set_expiry(Own::of(*end, now), now, &self.store);
                self.agree(session.set_expiry(expiry(*end, now)), expected)?;
                self.learn(session, handle)?;
            }
            Op::ExpiryFacts => {
                let (seen, hard) = handle.limits(&self.store, now);
                let own = handle.effective_own();
                let left = own.end(seen, hard) - now;
                // A remaining fraction of a second counts as one second. Only after the end is it
                // 0.
                let left = u64::try_from(left).unwrap_or_default().div_ceil(1_000);
                self.agree(session.get_expiry_age(), Ok(Duration::from_secs(left)))?;
                let idle_end = session.idle_expires_at().map(|at| at.map(ms));
                self.agree(idle_end, Ok(own.idle_end(seen)))?;
                let closes = own == Own::BrowserClose;
                self.agree(session.get_expire_at_browser_close(), Ok(closes))?;
            }
            Op::Load => self.agree(run(session.load()), Ok(handle.outcome))?,
            Op::LoadFresh => {
                let ended = |token: usize| now >= self.store.tokens[token].hard_end;
                if handle.presented.is_some_and(ended) {
                    // If a request is open for days, the store has dropped the record and the
                    // markers.
                    return Ok(());
                }
                if handle.next.is_none() && !handle.destroyed {
                    handle.look(&self.store, now);
                }
                let closed = handle.access == Access::Closed;
                let expected = if closed {
                    Err(ErrorCode::Rotated)
                } else {
                    Ok(handle.outcome)
                };
                self.agree(run(session.load_fresh()), expected)?;
            }
            Op::Create => {
                let expected = handle.create(now);
                self.agree(session.create(), expected)?;
                self.learn(session, handle)?;
            }
            Op::CycleKey => {
                let expected = handle.cycle_key(now, &self.store);
                self.agree(session.cycle_key(), expected)?;
                self.learn(session, handle)?;
            }
            Op::Reauthenticate => {
                let expected = handle.reauthenticate(now, &self.store);
                self.agree(session.reauthenticate(), expected)?;
                self.learn(session, handle)?;
            }
            Op::Bind(o, keep) => {
                handle.bind(owner(*o), *keep, now, &self.store);
                self.agree(session.bind_with(owner(*o), common::keep(*keep)), Ok(()))?;
                self.learn(session, handle)?;
            }
            Op::Destroy | Op::Delete => {
                handle.destroy(now, &mut self.store);
                let got = match op {
                    Op::Destroy => run(session.destroy()),
                    _ => run(session.delete()),
                };
                self.agree(got, Ok(()))?;
            }
            Op::Flush(keep) => {
                handle.flush(keep, now, &mut self.store);
                let keep = keep.iter().map(|index| key(*index));
                self.agree(run(session.flush_keeping(keep)), Ok(()))?;
            }
            Op::Exists => {
                let there =
                    handle.access == Access::Live && handle.base.is_some() && handle.next.is_none();
                self.agree(run(session.exists()), Ok(there))?;
            }
            Op::Save => {
                let expected = handle.check_open();
                let expected = expected.and_then(|()| handle.save(&mut self.store, now));
                self.agree(run(session.save()), expected)?;
                self.learn(session, handle)?;
            }
            Op::SaveInOutage => {
                let expected = match handle
                    .check_open()
                    .and_then(|()| handle.plan(&self.store, now))
                {
                    Ok(Some(_)) => {
                        handle.try_changes();
                        Err(ErrorCode::Unavailable)
                    }
                    other => other.map(drop),
                };
                self.world
                    .store
                    .fail(common::Kind::Put, 9, ConnectorErrorKind::Unavailable);
                let got = run(session.save());
                self.world.store.mend();
                self.agree(got, expected)?;
                self.learn(session, handle)?;
            }
            Op::Commit(status) => {
                let reopened = self.commit(session, handle, *status)?;
                (*session, *handle) = reopened;
            }
            Op::Reload => (*session, *handle) = self.open()?,
            Op::ReadUnloaded => {
                let mut unloaded = self.world.sessions.open(self.jar.head(now));
                self.agree(unloaded.len(), Err(ErrorCode::NotLoaded))?;
                self.agree(unloaded.set("a", 1), Err(ErrorCode::NotLoaded))?;
            }
            Op::ChangeCommitted => {
                let mut late = self.world.sessions.open(self.jar.head(now));
                let _nothing = self.world.commit(&mut late);
                self.agree(run(late.save()), Err(ErrorCode::Committed))?;
                let (mut late, its) = self.open()?;
                if its.access == Access::Closed {
                    return Ok(());
                }
                let _nothing = self.world.try_commit(&mut late, 500);
                self.agree(late.set("a", 1), Err(ErrorCode::Committed))?;
                self.agree(run(late.destroy()), Err(ErrorCode::Committed))?;
            }
            Op::Advance(milliseconds) => self.world.advance(*milliseconds),
            Op::OtherHandle(ops) => {
                let (mut other, mut its) = self.open()?;
                for op in ops {
                    self.step(&mut other, &mut its, op)?;
                    self.compare(&other, &its)?;
                }
                let _reopened = self.commit(&mut other, &mut its, 200)?;
            }
            Op::ExistsByKey | Op::DeleteByKey => {
                let Some(token) = self.cookies.at(now).key.map(|cookie| cookie.says) else {
                    return Ok(());
                };
                let there =
                    now < self.store.tokens[token].hard_end && self.store.death(token).is_none();
                let name = self.store.tokens[token].name.parse().unwrap();
                let mut admin = self.world.load(Head::default());
                self.agree(run(admin.exists_key(&name)), Ok(there))?;
                if matches!(op, Op::DeleteByKey) {
                    self.store.revoke(token, now);
                    self.agree(run(admin.delete_key(&name)), Ok(()))?;
                    self.agree(run(admin.exists_key(&name)), Ok(false))?;
                }
            }
            Op::OldCookies(index) => self.replay_old(usize::from(*index))?,
            Op::CloseBrowser => {
                self.jar.close_browser();
                let Cookies { key, seen, fresh } = &mut self.cookies;
                *key = key.filter(|cookie| cookie.until != UNTIL_CLOSED);
                *seen = seen.filter(|cookie| cookie.until != UNTIL_CLOSED);
                *fresh = fresh.filter(|cookie| cookie.until != UNTIL_CLOSED);
            }
        }
        Ok(())
    }

    /// Ends the request and starts the next one.
    fn commit(
        &mut self,
        session: &mut SessionStore,
        handle: &mut Handle,
        status: u16,
    ) -> Result<(SessionStore, Handle), TestCaseError> {
        let now = self.now();
        if self.old.len() >= 8 {
            self.old.remove(0);
        }
        self.old.push((self.jar.clone(), self.cookies.clone()));
        let needed = session.needs_update();
        let expected = handle.commit(&mut self.store, &mut self.cookies, now, status);
        let got = self.world.try_commit(session, status);
        let headers = session.done_headers();
        if status < 500 && got.is_ok() {
            prop_assert_eq!(needed, !headers.set_cookie().is_empty(), "needs_update");
        }
        self.agree(got.map(drop), expected)?;
        self.learn(session, handle)?;
        self.jar.receive(now, headers.set_cookie());
        self.open()
    }

    /// Old cookies, and the state of their session.
    fn replay_old(&mut self, index: usize) -> Check {
        let Some((jar, cookies)) = self.old.get(index) else {
            return Ok(());
        };
        let now = self.now();
        let session = self.world.open(jar);
        let Some(token) = cookies.at(now).key.map(|cookie| cookie.says) else {
            prop_assert_eq!(session.outcome().unwrap(), Outcome::New);
            return Ok(());
        };
        let handle = Handle::open(&self.store, cookies, now);
        prop_assert_eq!(
            session.outcome().unwrap(),
            handle.outcome,
            "{}",
            self.store.tokens[token].name
        );
        self.compare(&session, &handle)
    }
}

fn sequence(ops: &[Op], counts: &RefCell<Counts>) -> Check {
    let mut pair = Pair::new(counts);
    let (mut session, mut handle) = pair.open()?;
    for op in ops {
        pair.step(&mut session, &mut handle, op)?;
        pair.compare(&session, &handle)?;
    }
    pair.commit(&mut session, &mut handle, 200)?;
    Ok(())
}

// --- the run -------------------------------------------------------------------------------------

#[test]
fn sequences_agree_with_the_model() {
    // The same as the package's model test (tests/package/model.test.mjs).
    let seed: u64 = std::env::var("MODEL_SEED").map_or(1, |text| text.parse().unwrap());
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let cases = std::env::var("MODEL_CASES").map_or(CASES, |text| text.parse().unwrap());
    let config = Config {
        cases,
        failure_persistence: None,
        max_shrink_iters: 20_000,
        ..Config::default()
    };
    let counts = RefCell::new(Counts::default());
    let mut runner =
        TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let sequences = proptest::collection::vec(op(), 5..=60);
    let result = runner.run(&sequences, |ops| sequence(&ops, &counts));
    // Not through the test harness, which hides the output of a passing test.
    let mut out = std::io::stderr();
    let _unimportant = writeln!(out, "model: {cases} sequences, MODEL_SEED={seed}");
    match result {
        Ok(()) => {}
        Err(TestError::Fail(why, ops)) => panic!("MODEL_SEED={seed}\n{why}\n{ops:#?}"),
        Err(other) => panic!("MODEL_SEED={seed}\n{other}"),
    }
    let Counts {
        ops,
        codes,
        outcomes,
    } = counts.into_inner();
    let _unimportant = writeln!(
        out,
        "operations {ops:?}\ncodes {codes:?}\noutcomes {outcomes:?}"
    );
    for name in EVERY_OP {
        assert!(ops.contains_key(*name), "{name} never happened");
    }
    assert_eq!(ops.len(), EVERY_OP.len());
    if cases >= CASES {
        for code in EVERY_CODE {
            assert!(codes.contains_key(code.as_str()), "{code} never happened");
        }
    }
}
