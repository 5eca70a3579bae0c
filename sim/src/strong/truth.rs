//! The checker. It sees every change of every row as it happens, and what every request was told.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};

use edge_session::connector::Row;
use edge_session::{ErrorCode, Outcome, OwnedSession};

use super::row::{Content, Holds, Name};
use super::tally::Met;
use crate::Ms;
use crate::request::{Answer, Ending, KEYS, OWNERS, Op, Spec, View};
use crate::tally::OUTCOMES;
use crate::truth::SKEW;
use crate::world::{RequestId, World, short};

/// Milliseconds for which a rotated key reads its session.
const GRACE: Ms = 90_000;
const KEY_COOKIE: &str = "__Host-session";

/// One row that a transaction has changed.
pub struct Change {
    pub key: String,
    pub before: Option<Row>,
    pub after: Row,
}

/// The history of a row.
struct RowLife {
    name: Name,
    holds: Holds,
    /// The request that put the first record into it.
    made_by: RequestId,
    made_at: Ms,
    expires_at: Ms,
    /// The last record in it, if the checker can read it.
    content: Option<Content>,
    /// Values that were overwritten. They must not come back.
    overwritten: BTreeSet<(String, u32)>,
    wiped: bool,
}

/// The history of a session, under all of its keys.
#[derive(Default)]
struct Lineage {
    /// The request that created it.
    begun_by: RequestId,
    /// When it became alive (true) or dead (false).
    turns: Vec<(Ms, bool)>,
    /// When a client was first told that it has ended.
    told_dead: Option<Ms>,
    /// When the first attempt to end it began, whether or not a client was told.
    ends_from: Option<Ms>,
    /// True if one of its shards was deleted, with its tombstones. Late calls to that shard may
    /// then succeed.
    wiped: bool,
}

impl Lineage {
    fn is_live(&self) -> bool {
        self.turns.last().is_some_and(|(_, live)| *live)
    }

    /// True if it was alive at every instant between the two.
    fn lived_through(&self, from: Ms, to: Ms) -> bool {
        let before = self.turns.iter().rfind(|(at, _)| *at < from);
        let within = self.turns.iter().filter(|(at, _)| (from..=to).contains(at));
        before.is_some_and(|(_, live)| *live) && within.clone().all(|(_, live)| *live)
    }

    /// True if it was alive at any instant between the two.
    fn lived_in(&self, from: Ms, to: Ms) -> bool {
        let before = self.turns.iter().rfind(|(at, _)| *at <= from);
        let mut within = self.turns.iter().filter(|(at, _)| (from..=to).contains(at));
        before.is_some_and(|(_, live)| *live) || within.any(|(_, live)| *live)
    }
}

struct Request {
    spec: Spec,
    began: Ms,
    /// The sessions that its cookies name, and the logout that is not stored yet.
    presented: Vec<Name>,
    /// False if it presents a session whose key nobody was told: it was saved, and a load after that failed.
    knows_all: bool,
    stone: Option<Name>,
    /// The result of its last read of a row.
    read: Option<(String, Option<Holds>)>,
    outcome: Option<Outcome>,
    owner: Option<String>,
    /// What it has written under each key: the numbers, or `None` for a removal.
    touched: BTreeMap<String, Vec<Option<u32>>>,
    /// True if an operation was refused.
    refused: bool,
    /// The last record that it put, if the checker can read it.
    put: Option<Content>,
    has_put: bool,
    /// Every value that it has put.
    stored: BTreeSet<(String, u32)>,
    /// When it called `bind`, and for which user.
    login: Option<(Ms, usize)>,
    /// The session of that login.
    login_to: Option<String>,
    /// The sessions that it was ending when it called `bind`.
    ending: Vec<Name>,
    ended_something: bool,
    /// True if its last logout was not stored, so that its browser gets a tombstone.
    left_stone: bool,
    failed: u32,
    overloaded: bool,
    conflicts: u32,
    /// Conflicts with a row that this request had put itself.
    own_conflicts: u32,
    slow: bool,
    took_back: BTreeSet<String>,
    pending: u32,
    answer: Option<(Ms, Result<u16, ErrorCode>)>,
}

struct RevokeAll {
    by: RequestId,
    owner: usize,
    spared: Option<String>,
    began: Ms,
    told: Option<Ms>,
}

/// The settings that matter to the checker.
#[derive(Clone, Copy)]
pub struct Rules {
    pub most_per_owner: u32,
    /// The number of secrets in the ring. With two, an owner has two shards.
    pub secrets: usize,
    /// True if sessions may expire within minutes.
    pub ends_early: bool,
}

#[derive(Default)]
struct State {
    requests: Vec<Request>,
    rows: BTreeMap<(String, String), RowLife>,
    lineages: BTreeMap<String, Lineage>,
    cookies: BTreeMap<String, Name>,
    stones: BTreeMap<String, Name>,
    /// The owner of each owner tag.
    tags: BTreeMap<String, usize>,
    revokes: Vec<RevokeAll>,
    /// When each object was deleted last.
    wipes: BTreeMap<String, Ms>,
    writes: u32,
    known: Vec<String>,
    outcomes: [u64; OUTCOMES.len()],
    met: [u64; Met::ALL.len()],
    /// True if an application has set an end.
    is_ended_early: bool,
}

/// See the module.
pub struct Truth {
    rules: Rules,
    violation: RefCell<Option<String>>,
    state: RefCell<State>,
    /// True while a call arrives for the second time.
    repeats: Cell<bool>,
}

impl Truth {
    pub fn new(rules: Rules) -> Self {
        Self {
            rules,
            violation: RefCell::default(),
            state: RefCell::default(),
            repeats: Cell::new(false),
        }
    }

    pub fn violation(&self) -> Option<String> {
        self.violation.borrow().clone()
    }

    /// Only the first violation counts, because later ones may be consequences.
    pub fn fail(&self, rule: &str, what: impl FnOnce() -> String) {
        let mut violation = self.violation.borrow_mut();
        if violation.is_none() {
            *violation = Some(format!("{rule}: {}", what()));
        }
    }

    pub fn outcomes(&self) -> [u64; OUTCOMES.len()] {
        self.state.borrow().outcomes
    }

    pub fn met(&self) -> [u64; Met::ALL.len()] {
        self.state.borrow().met
    }

    fn meets(&self, state: &mut State, met: Met) {
        state.met[met as usize] += 1;
    }

    pub fn requests(&self) -> usize {
        self.state.borrow().requests.len()
    }

    pub fn spec(&self, id: RequestId) -> Spec {
        self.state.borrow().requests[id].spec.clone()
    }

    /// Session keys that a client may know.
    pub fn known_keys(&self) -> Vec<String> {
        self.state.borrow().known.clone()
    }

    // --- requests and their calls ---------------------------------------------------------------

    pub fn sent(&self, spec: &Spec, now: Ms) {
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        let values: Vec<&str> = spec
            .cookie
            .as_deref()
            .unwrap_or_default()
            .split("; ")
            .filter_map(|pair| pair.strip_prefix("__Host-session="))
            .collect();
        let presented = values
            .iter()
            .filter_map(|it| state.cookies.get(*it))
            .cloned();
        let is_known =
            |it: &&str| state.cookies.contains_key(*it) || state.stones.contains_key(*it);
        let knows_all = values.iter().all(is_known);
        let stone = values.iter().find_map(|it| state.stones.get(*it)).cloned();
        let request = Request {
            spec: spec.clone(),
            began: now,
            presented: presented.collect(),
            knows_all,
            stone,
            read: None,
            outcome: None,
            owner: None,
            touched: BTreeMap::new(),
            refused: false,
            put: None,
            has_put: false,
            stored: BTreeSet::new(),
            login: None,
            login_to: None,
            ending: Vec::new(),
            ended_something: false,
            left_stone: false,
            failed: 0,
            overloaded: false,
            conflicts: 0,
            own_conflicts: 0,
            slow: false,
            took_back: BTreeSet::new(),
            pending: 0,
            answer: None,
        };
        state.requests.push(request);
    }

    pub fn asked(&self, id: RequestId, takes: Ms) {
        let mut state = self.state.borrow_mut();
        let request = &mut state.requests[id];
        request.pending += 1;
        request.slow |= takes > 2_000;
    }

    pub fn answered_call(&self, id: RequestId) {
        self.state.borrow_mut().requests[id].pending -= 1;
    }

    pub fn failed(&self, id: RequestId, overloaded: bool) {
        let mut state = self.state.borrow_mut();
        let request = &mut state.requests[id];
        request.failed += 1;
        request.overloaded |= overloaded;
        // It did not get the answer.
        request.read = None;
    }

    /// A check of its transaction failed, because of a row that it had put itself or of another
    /// request.
    pub fn conflict(&self, id: RequestId, is_own: bool) {
        let mut state = self.state.borrow_mut();
        state.requests[id].conflicts += 1;
        state.requests[id].own_conflicts += u32::from(is_own);
        self.meets(&mut state, Met::Conflict);
    }

    /// The request ends a row that it has put.
    pub fn takes_back(&self, id: RequestId, key: &str) {
        let mut state = self.state.borrow_mut();
        state.requests[id].took_back.insert(key.to_owned());
    }

    /// The answer to a call that arrives twice reaches nobody.
    pub fn repeats(&self, repeats: bool) {
        self.repeats.set(repeats);
    }

    pub fn read(&self, id: RequestId, key: &str, row: Option<&Row>) {
        if key.starts_with("s.") && !self.repeats.get() {
            let mut state = self.state.borrow_mut();
            state.requests[id].read = Some((key.to_owned(), row.map(Holds::of)));
        }
    }

    // --- what is stored ------------------------------------------------------------------------

    /// An object is deleted. Its rows must not come back.
    pub fn wiped(&self, shard: &str, now: Ms) {
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        state.wipes.insert(shard.to_owned(), now);
        for ((of, _), row) in &mut state.rows {
            if of == shard {
                row.wiped = true;
                row.holds = Holds::Ended;
                let lineage = state.lineages.entry(row.name.lineage.clone());
                lineage.or_default().wiped = true;
            }
        }
        state.count_lives(now);
    }

    /// A transaction was applied in `shard`, which now contains `rows`.
    pub fn changed(
        &self,
        world: &World,
        id: RequestId,
        shard: &str,
        changes: &[Change],
        rows: &BTreeMap<String, Row>,
    ) {
        let now = world.now();
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        let mut left: Vec<(Name, Option<Content>)> = Vec::new();
        for change in changes {
            let Some(name) = Name::parse(&change.key).filter(|_| change.key.starts_with("s."))
            else {
                continue;
            };
            let before = change.before.as_ref().map(Holds::of);
            let after = Holds::of(&change.after);
            self.check_row(state, id, shard, &name, &before, &after, now);
            if let (Some(Holds::Live(content)), false) = (&before, after.is_live()) {
                left.push((name.clone(), content.clone()));
            }
            state.note(id, shard, name, before, after, change.after.expires_at, now);
        }
        for (name, content) in left {
            if state.requests[id].login.is_some() && shard.contains("o.") {
                let mine = |name: &Name| state.requests[id].presented.contains(name);
                if !mine(&name) && changes.len() > 1 {
                    self.meets(state, Met::Limited);
                }
            }
            self.check_left(state, id, &name, content.as_ref());
            self.check_spared(state, id, &name);
        }
        state.count_lives(now);
        self.check_limit(state, shard, rows, id);
    }

    #[allow(clippy::too_many_arguments)]
    fn check_row(
        &self,
        state: &State,
        id: RequestId,
        shard: &str,
        name: &Name,
        before: &Option<Holds>,
        after: &Holds,
        now: Ms,
    ) {
        let place = (shard.to_owned(), name.row_key());
        let life = state.rows.get(&place);
        match (before, after) {
            // A call that was in progress when the object was deleted may still arrive.
            (None, Holds::Live(_)) if life.is_some_and(|life| life.made_by == id) => {}
            (None, Holds::Live(_)) if life.is_some() => self.fail("gone stays gone", || {
                format!("#{id} creates {} again", short(&place.1))
            }),
            (None, Holds::Live(_)) => self.check_login(state, id, shard, name, now),
            (Some(Holds::Rotated { .. } | Holds::Ended), Holds::Live(_)) => {
                self.fail("no resurrection", || {
                    format!(
                        "#{id} puts a record over the tombstone of {}",
                        short(&place.1)
                    )
                });
            }
            (Some(Holds::Ended), Holds::Rotated { .. }) => self.fail("no resurrection", || {
                format!(
                    "#{id} makes {} readable again, although it had ended",
                    short(&place.1)
                )
            }),
            (Some(Holds::Live(Some(was))), Holds::Live(Some(is))) => {
                let alone = life
                    .is_some_and(|life| life.made_by == id && state.requests[id].answer.is_none());
                if !alone {
                    self.check_save(state, id, life, was, is, &place.1);
                }
            }
            _ => {}
        }
    }

    /// A save must not change keys that its request has not touched, and must not bring back an
    /// overwritten value.
    fn check_save(
        &self,
        state: &State,
        id: RequestId,
        life: Option<&RowLife>,
        was: &Content,
        is: &Content,
        key: &str,
    ) {
        let touched = &state.requests[id].touched;
        let keys: BTreeSet<&String> = was.keys().chain(is.keys()).collect();
        for name in keys {
            let (old, new) = (was.get(name).copied(), is.get(name).copied());
            if old == new {
                continue;
            }
            let Some(mine) = touched.get(name) else {
                self.fail("no update is lost", || {
                    format!(
                        "#{id} saves {} and changes {name} from {old:?} to {new:?}, although it did not touch that key",
                        short(key)
                    )
                });
                return;
            };
            if !mine.contains(&new) {
                self.fail("no update is lost", || {
                    format!("#{id} saves {new:?} under {name}, but has written {mine:?}")
                });
                return;
            }
            let again = new.filter(|new| {
                life.is_some_and(|life| life.overwritten.contains(&(name.clone(), *new)))
            });
            if let Some(new) = again {
                self.fail("no update is undone", || {
                    format!("#{id} puts {new} under {name} of {} again", short(key))
                });
                return;
            }
        }
    }

    /// A login that was called before a `revoke_all` must be refused, unless the object with the
    /// epoch was deleted.
    fn check_login(&self, state: &State, id: RequestId, shard: &str, name: &Name, now: Ms) {
        let Some((called, owner)) = state.requests[id].login else {
            return;
        };
        let wiped = state.wipes.get(shard).copied();
        let late = state.revokes.iter().find(|it| {
            let told = it.told.is_some_and(|told| told < now);
            let stands = wiped.is_none_or(|wiped| wiped < it.began);
            let spared = it.spared.as_ref() == Some(&name.lineage);
            told && stands && !spared && it.owner == owner && called < it.began - SKEW
        });
        if let Some(late) = late {
            self.fail("dead when told so", || {
                format!(
                    "#{id} puts {}, although #{} has ended all sessions since the login was called",
                    short(&name.row_key()),
                    late.by
                )
            });
        }
    }

    /// A session that continues in another row must keep its data.
    fn check_left(&self, state: &State, id: RequestId, left: &Name, content: Option<&Content>) {
        let request = &state.requests[id];
        let spec = &request.spec;
        let begins_anew = spec.does(|op| {
            matches!(
                op,
                Op::Destroy | Op::Flush { .. } | Op::Create | Op::Delete(_) | Op::Revoke(_)
            ) || matches!(op, Op::RevokeAll { .. } | Op::Bind { keep: false, .. })
        });
        let goes_on =
            spec.does(|op| matches!(op, Op::Cycle | Op::Reauthenticate | Op::Bind { .. }));
        // A login of another user keeps no data.
        let same = request.login.is_none_or(|(_, owner)| {
            request
                .owner
                .as_deref()
                .is_none_or(|before| before == OWNERS[owner])
        });
        let is_its = request.knows_all && request.presented == [left.clone()];
        // A session that reaches its own end while a login takes its data along may be saved by others
        // until then.
        if state.is_ended_early {
            return;
        }
        let (Some(content), Some(put)) = (content, &request.put) else {
            return;
        };
        if begins_anew || !goes_on || !same || !is_its || request.outcome != Some(Outcome::Loaded) {
            return;
        }
        let keys: BTreeSet<&String> = content.keys().chain(put.keys()).collect();
        for key in keys {
            if request.touched.contains_key(key) {
                continue;
            }
            let (was, is) = (content.get(key), put.get(key));
            if was != is {
                self.fail("no update is lost", || {
                    format!(
                        "#{id} leaves {} with {was:?} under {key}, but continues with {is:?}",
                        short(&left.row_key())
                    )
                });
                return;
            }
        }
    }

    fn check_spared(&self, state: &State, id: RequestId, left: &Name) {
        let request = &state.requests[id];
        if request.ended_something || request.login.is_some() {
            return;
        }
        let own = state
            .revokes
            .iter()
            .filter(|it| it.by == id && it.told.is_none());
        for it in own {
            if it.spared.as_ref() == Some(&left.lineage) {
                self.fail("what is spared lives", || {
                    format!("#{id} ends {}", short(&left.row_key()))
                });
            }
        }
    }

    /// An owner must not have more sessions than allowed, except for those that a login in progress
    /// is about to end, and those whose new key is on a page that the login had already read.
    fn check_limit(&self, state: &State, shard: &str, rows: &BTreeMap<String, Row>, id: RequestId) {
        let most = self.rules.most_per_owner as usize;
        if most == 0 || self.rules.secrets > 1 || !shard.contains("o.") {
            return;
        }
        let leaves = |lineage: &String| {
            state.requests.iter().any(|it| {
                let fails = !matches!(it.answer, Some((_, Ok(_))));
                let is_login = it.login.is_some() && fails;
                is_login && it.presented.iter().any(|name| name.lineage == *lineage)
            })
        };
        let orphan = |name: &Name| {
            let place = (shard.to_owned(), name.row_key());
            state.rows.get(&place).is_some_and(|life| {
                matches!(state.requests[life.made_by].answer, Some((_, Err(_))))
            })
        };
        let living = rows
            .iter()
            .filter(|(key, row)| key.starts_with("s.") && Holds::of(row).is_live());
        let living: Vec<Name> = living.filter_map(|(key, _)| Name::parse(key)).collect();
        let began = state.requests[id].began;
        let counted = living.iter().filter(|name| {
            let moved = self.changes_key(state, &name.lineage, began);
            !leaves(&name.lineage) && !orphan(name) && !moved
        });
        let count = counted.count();
        if count > most {
            self.fail("the limit is exact", || {
                format!("after #{id} an owner has {count} sessions, but {most} are allowed")
            });
        }
    }

    // --- what a request does -------------------------------------------------------------------

    pub fn write(&self, id: RequestId, key: &str) -> u32 {
        let mut state = self.state.borrow_mut();
        state.writes += 1;
        let write = state.writes;
        let touched = &mut state.requests[id].touched;
        touched.entry(key.to_owned()).or_default().push(Some(write));
        write
    }

    /// The load has returned `view`.
    pub fn loaded(&self, id: RequestId, view: &View, now: Ms) {
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        let place = OUTCOMES.iter().position(|it| *it == view.outcome);
        if let Some(place) = place {
            state.outcomes[place] += 1;
        }
        let request = &mut state.requests[id];
        request.outcome = Some(view.outcome);
        request.owner.clone_from(&view.owner);
        if matches!(view.outcome, Outcome::Pending | Outcome::Stale) {
            self.fail("never pending or stale", || {
                format!("#{id} finds {:?}", view.outcome)
            });
        }
        let ([name], None, true) = (&request.presented[..], &request.stone, request.knows_all)
        else {
            return;
        };
        let key = name.row_key();
        let Some((of, holds)) = request.read.clone().filter(|(of, _)| *of == key) else {
            return;
        };
        let shows = view.content.as_ref().ok();
        let changed = !request.touched.is_empty();
        let may_be_over = self.rules.ends_early || state.is_ended_early;
        let fits = match (&holds, view.outcome) {
            (_, Outcome::Unavailable) => true,
            (None, outcome) => outcome == Outcome::Gone,
            (Some(Holds::Live(_)), outcome) => {
                matches!(outcome, Outcome::Loaded | Outcome::Expired)
            }
            (Some(Holds::Rotated { .. }), outcome) => outcome == Outcome::Rotated,
            (Some(Holds::Ended), outcome) => outcome == Outcome::Revoked,
        };
        if !fits {
            let is = holds.as_ref().map(Holds::word);
            self.fail("a load says what is there", || {
                format!(
                    "#{id} finds {:?}, but {} is {is:?}",
                    view.outcome,
                    short(&of)
                )
            });
        }
        match (&holds, view.outcome) {
            (Some(Holds::Live(Some(content))), Outcome::Loaded)
                if shows != Some(content) && !changed =>
            {
                self.fail("a load says what is there", || {
                    format!("#{id} is shown {shows:?} of {content:?}")
                });
            }
            (Some(Holds::Rotated { at }), Outcome::Rotated) => {
                let since = now - at;
                let life = state.rows.values().find(|row| row.name == *name);
                let content = life.and_then(|life| life.content.as_ref());
                let ends = life.is_some_and(|life| now > life.expires_at - 2 * SKEW);
                let readable = content.is_none() || shows == content || ends || changed;
                if since < GRACE - 2 * SKEW && !readable && !may_be_over {
                    self.fail("a rotated key reads for the grace", || {
                        format!("#{id} is shown {shows:?} of {content:?}")
                    });
                }
                let is_shown = shows.is_none_or(|shown| !shown.is_empty());
                if since > GRACE + 2 * SKEW && is_shown && !changed {
                    self.fail("a rotated key reads no longer than the grace", || {
                        format!("#{id} is shown {shows:?} after {since} ms")
                    });
                }
            }
            _ => {}
        }
        let lineage = state.lineages.get(&name.lineage);
        let lineage = lineage.filter(|lineage| !lineage.wiped);
        let told = lineage.and_then(|lineage| lineage.told_dead);
        if view.outcome == Outcome::Loaded && told.is_some_and(|told| told < request.began) {
            self.fail("dead when told so", || {
                format!("#{id} loads {}", short(&key))
            });
        }
        let life = state.rows.values().find(|row| row.name == *name);
        if view.outcome == Outcome::Loaded
            && life.is_some_and(|life| now > life.expires_at + 2 * SKEW)
        {
            self.fail("nothing outlives its hard end", || {
                format!("#{id} loads {}", short(&key))
            });
        }
    }

    pub fn presents_only(&self, id: RequestId, key: &str) -> bool {
        let state = self.state.borrow();
        let name = Name::parse(key);
        matches!(&state.requests[id].presented[..], [only] if Some(only) == name.as_ref())
    }

    pub fn begins(&self, id: RequestId, op: &Op, key: Option<&str>, now: Ms) {
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        let request = &mut state.requests[id];
        match op {
            Op::Destroy | Op::Flush { .. } => {
                request.ending.clone_from(&request.presented);
                // A loaded session is one that was presented.
                let loaded = key.and_then(Name::parse);
                let is_new = |it: &Name| !request.presented.contains(it);
                request.ending.extend(loaded.filter(is_new));
                request.ended_something = true;
                for name in request.ending.clone() {
                    state.ends_from(&name, now);
                }
            }
            Op::Bind { owner, .. } => request.login = Some((now, *owner)),
            Op::Expire(_) => state.is_ended_early = true,
            _ => {}
        }
    }

    pub fn did(
        &self,
        id: RequestId,
        op: &Op,
        result: Result<(), ErrorCode>,
        key: Option<&str>,
        now: Ms,
    ) {
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        let request = &mut state.requests[id];
        let touched = &mut request.touched;
        request.refused |= result.is_err();
        match (op, result) {
            (Op::Remove(key), Ok(())) => {
                touched.entry(KEYS[*key].to_owned()).or_default().push(None);
            }
            (Op::Clear, Ok(())) => {
                for key in KEYS {
                    touched.entry(key.to_owned()).or_default().push(None);
                }
            }
            (Op::Bind { owner, .. }, Ok(())) => {
                if let Some(name) = key.and_then(Name::parse) {
                    request.login_to = Some(name.lineage);
                    state.tags.insert(name.owner, *owner);
                }
            }
            (Op::Bind { .. }, Err(_)) => request.login = None,
            (Op::Destroy | Op::Flush { .. }, Err(_)) => request.left_stone = true,
            (Op::Destroy | Op::Flush { .. }, Ok(())) => {
                request.left_stone = false;
                for name in request.ending.clone() {
                    self.told_dead(state, id, &name, false, now);
                }
            }
            _ => {}
        }
    }

    /// A client is told that a session has ended. If an object was deleted, it is unknown in which
    /// other object its sessions continue, and only a call that names the owner can find them.
    fn told_dead(&self, state: &mut State, id: RequestId, name: &Name, by_owner: bool, now: Ms) {
        let lineage = state.lineages.entry(name.lineage.clone()).or_default();
        let forgotten = lineage.wiped && self.rules.secrets > 1 && !by_owner;
        let alive = state.rows.values().find(|row| {
            let by = &state.requests[row.made_by];
            // A session counts only once its request was answered, because nobody has its key
            // before.
            let is_handed_out = matches!(by.answer, Some((_, Ok(_))));
            // By the clock of the server it may have expired already.
            row.name.lineage == name.lineage
                && row.holds.is_live()
                && now + SKEW < row.expires_at
                && is_handed_out
        });
        match alive {
            Some(_) if forgotten => return,
            Some(row) => {
                let key = row.name.row_key();
                self.fail("dead when told so", || {
                    format!(
                        "#{id} is told that {} has ended, but it is alive",
                        short(&key)
                    )
                });
            }
            None => {}
        }
        let lineage = state.lineages.entry(name.lineage.clone()).or_default();
        lineage.told_dead.get_or_insert(now);
    }

    pub fn ends(&self, key: &str, now: Ms) {
        if let Some(name) = Name::parse(key) {
            self.state.borrow_mut().ends_from(&name, now);
        }
    }

    pub fn has_ended(&self, id: RequestId, key: &str, now: Ms) {
        let mut state = self.state.borrow_mut();
        let Some(name) = Name::parse(key) else { return };
        let by_owner = state.requests[id]
            .spec
            .does(|op| matches!(op, Op::Revoke(_)));
        self.told_dead(&mut state, id, &name, by_owner, now);
    }

    pub fn revokes_all(&self, id: RequestId, owner: &str, except: Option<&str>, now: Ms) {
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        let Some(owner) = OWNERS.iter().position(|it| *it == owner) else {
            return;
        };
        let spared = except.and_then(Name::parse).map(|name| name.lineage);
        let tags: Vec<&String> = state
            .tags
            .iter()
            .filter(|(_, of)| **of == owner)
            .map(|(tag, _)| tag)
            .collect();
        let names: Vec<Name> = state
            .rows
            .values()
            .filter(|row| tags.contains(&&row.name.owner))
            .filter(|row| Some(&row.name.lineage) != spared.as_ref())
            .map(|row| row.name.clone())
            .collect();
        for name in names {
            state.ends_from(&name, now);
        }
        state.revokes.push(RevokeAll {
            by: id,
            owner,
            spared,
            began: now,
            told: None,
        });
    }

    pub fn revoked_all(&self, id: RequestId, now: Ms) {
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        let Some(it) = state.revokes.iter_mut().rfind(|it| it.by == id) else {
            return;
        };
        it.told = Some(now);
        let (owner, began, spared) = (it.owner, it.began, it.spared.clone());
        // With the object, what refuses logins that arrive late was deleted.
        if state.wipes.values().any(|at| *at >= began) {
            return;
        }
        let alive = state.rows.values().find(|row| {
            let is_theirs = state.tags.get(&row.name.owner) == Some(&owner);
            let lineage = state.lineages.get(&row.name.lineage);
            let begun_by = lineage.map_or(row.made_by, |it| it.begun_by);
            let later = state.requests[begun_by].login;
            let later = later.is_some_and(|(called, _)| called >= began - SKEW);
            let is_handed_out = matches!(state.requests[row.made_by].answer, Some((_, Ok(_))));
            is_theirs
                && row.holds.is_live()
                && now < row.expires_at
                && spared.as_ref() != Some(&row.name.lineage)
                && !later
                && (is_handed_out || row.made_by == begun_by)
        });
        if let Some(row) = alive {
            let key = row.name.row_key();
            self.fail("dead when told so", || {
                format!(
                    "#{id} is told that all sessions have ended, but {} is alive",
                    short(&key)
                )
            });
        }
    }

    /// A list must show exactly the live sessions.
    pub fn listed(&self, id: RequestId, owner: &str, began: Ms, listed: &[OwnedSession], now: Ms) {
        let state = self.state.borrow();
        let Some(owner) = OWNERS.iter().position(|it| *it == owner) else {
            return;
        };
        let shown: BTreeSet<String> = listed
            .iter()
            .filter_map(|it| Some(Name::parse(it.key.as_str())?.lineage))
            .collect();
        if shown.len() != listed.len() {
            self.fail("a list is exact", || {
                format!("#{id} is shown a session twice")
            });
        }
        let theirs = |name: &Name| state.tags.get(&name.owner) == Some(&owner);
        let mut ends: BTreeMap<&String, Ms> = BTreeMap::new();
        for row in state.rows.values().filter(|row| theirs(&row.name)) {
            let end = ends.entry(&row.name.lineage).or_default();
            *end = (*end).max(row.expires_at);
        }
        for (lineage, end) in &ends {
            let Some(life) = state.lineages.get(*lineage) else {
                continue;
            };
            let through = life.lived_through(began, now) && now < end - 2 * SKEW;
            let missing = through && !shown.contains(*lineage);
            if missing && !self.moves(&state, lineage) && !self.cycles(&state, lineage, began) {
                self.fail("a list is exact", || {
                    format!("#{id} is not shown {}", short(lineage))
                });
            }
            if shown.contains(*lineage) && !life.lived_in(began, now) {
                self.fail("a list is exact", || {
                    format!("#{id} is shown {}, which is not alive", short(lineage))
                });
            }
        }
        for lineage in &shown {
            if !ends.contains_key(lineage) {
                self.fail("a list is exact", || {
                    format!("#{id} is shown {lineage}, which has another owner")
                });
            }
        }
    }

    /// With two secrets, a session may move from the second shard of a list to the first while it
    /// is read.
    fn moves(&self, state: &State, lineage: &str) -> bool {
        let rows = state
            .rows
            .iter()
            .filter(|(_, row)| row.name.lineage == *lineage);
        let shards: BTreeSet<&String> = rows.map(|((shard, _), _)| shard).collect();
        shards.len() > 1
    }

    /// A session that got another key meanwhile may have moved to a page that the list has already
    /// read.
    fn cycles(&self, state: &State, lineage: &str, since: Ms) -> bool {
        let mut rows = state
            .rows
            .values()
            .filter(|row| row.name.lineage == *lineage);
        rows.any(|row| row.made_at >= since)
    }

    /// The same, for a session that there was before.
    fn changes_key(&self, state: &State, lineage: &str, since: Ms) -> bool {
        let mut rows = state.rows.values();
        let was_there = rows.any(|row| row.name.lineage == *lineage && row.made_at < since);
        was_there && self.cycles(state, lineage, since)
    }

    // --- the end of a request ------------------------------------------------------------------

    pub fn answered(&self, id: RequestId, answer: &Answer, key: Option<&str>, now: Ms) {
        let mut state = self.state.borrow_mut();
        let state = &mut *state;
        state.requests[id].answer = Some((now, answer.result));
        let fresh = answer
            .cookies
            .iter()
            .any(|it| it.starts_with("__Host-session-fresh=") && !it.contains("Max-Age=0"));
        if fresh {
            self.fail("two cookies", || format!("#{id} sets a fresh cookie"));
        }
        if let Err(code) = answer.result {
            self.check_refusal(state, id, code);
            if code == ErrorCode::Revoked && state.requests[id].login.is_some() {
                self.meets(state, Met::LoginRefused);
            }
        }
        let name = key.and_then(Name::parse);
        let set = answer.cookies.iter().find_map(|cookie| {
            let (of, value) = crate::jar::split(cookie);
            (of == KEY_COOKIE && !value.is_empty()).then(|| value.to_owned())
        });
        if let (Some(value), true) = (&set, state.requests[id].left_stone) {
            // Of several tombstones it is unknown which belongs to which session.
            if let [name] = state.requests[id].ending.as_slice() {
                state.stones.insert(value.clone(), name.clone());
            }
            return;
        }
        if state.requests[id].outcome == Some(Outcome::Unavailable)
            && !state.requests[id].ended_something
            && !state.requests[id].has_put
            && set.is_some()
        {
            self.fail("an outage is no logout", || {
                format!("#{id} sets a key cookie")
            });
        }
        if let (Some(value), Some(name)) = (&set, &name) {
            state.cookies.insert(value.clone(), name.clone());
            state.known.extend(key.map(str::to_owned));
        }
        if answer.result.is_ok() {
            if let Some(name) = &name {
                self.check_answer(state, id, name, set.is_some(), now);
                let moved = state.requests[id]
                    .presented
                    .iter()
                    .any(|before| before.lineage == name.lineage && before.owner != name.owner);
                if moved {
                    self.meets(state, Met::Moved);
                }
            }
            self.check_stone(state, id, now);
        }
    }

    fn check_refusal(&self, state: &State, id: RequestId, code: ErrorCode) {
        let request = &state.requests[id];
        if matches!(code, ErrorCode::Pending | ErrorCode::Stale) {
            self.fail("never pending or stale", || {
                format!("#{id} answers {code:?}")
            });
        }
        let alone = request.conflicts == request.own_conflicts;
        let once = request.failed <= 1 && !request.slow && alone;
        if code == ErrorCode::Unavailable && once && !request.overloaded {
            self.fail("what fails once is repaired", || {
                format!("#{id} answers {code:?}")
            });
        }
        let busy = request.overloaded || request.conflicts >= 8 || request.slow;
        if code == ErrorCode::RateLimited && !busy {
            self.fail("what fails once is repaired", || {
                format!("#{id} answers {code:?}")
            });
        }
        // A login must be refused if all sessions were ended since it was called. If a call that was in
        // progress then ends it before it is told, it may be.
        if let (Some((called, owner)), ErrorCode::Revoked) = (request.login, code) {
            let mut reasons = state.revokes.iter();
            let limited = self.rules.most_per_owner > 0;
            let reason = reasons.any(|it| {
                let spared = it.spared.is_some() && it.spared == request.login_to;
                let is_later = it.began + SKEW >= called && (it.by != id || it.began > called);
                let is_in_progress = it.by != id && it.told.is_none_or(|told| told >= called);
                !spared && it.owner == owner && (is_later || is_in_progress)
            });
            if !reason && !limited && !request.ended_something {
                self.fail("a login works", || format!("#{id} is refused"));
            }
        }
        // It must have tried to end the sessions that it had started.
        let begun = state.rows.iter().find(|((_, key), row)| {
            let moved = row.name.lineage != *key && request.login.is_some();
            row.made_by == id && row.holds.is_live() && moved && !request.took_back.contains(key)
        });
        let at_commit = request.touched.contains_key("d");
        let saves = request
            .spec
            .does(|op| matches!(op, Op::Save | Op::Flush { .. }));
        if let (Some(((_, key), _)), true, false) = (begun, at_commit, saves) {
            self.fail("a failed login leaves nothing", || {
                format!("#{id} answers {code:?}, but {} is alive", short(key))
            });
        }
    }

    fn check_answer(&self, state: &State, id: RequestId, name: &Name, is_new: bool, now: Ms) {
        let request = &state.requests[id];
        let lineage = state.lineages.get(&name.lineage);
        let told = lineage.filter(|it| !it.wiped).and_then(|it| it.told_dead);
        for row in state.rows.values() {
            let lives = row.holds.is_live() && now < row.expires_at;
            if row.name == *name && lives && told.is_some() && is_new {
                self.fail("dead when told so", || {
                    format!(
                        "#{id} issues {}, whose session has ended",
                        short(&name.row_key())
                    )
                });
            }
            let others = row.name.lineage == name.lineage && row.name != *name;
            let handed_out = matches!(state.requests[row.made_by].answer, Some((_, Ok(_))));
            if is_new && others && lives && handed_out {
                self.fail("one of two new keys wins", || {
                    format!(
                        "#{id} issues {}, but {} is alive",
                        short(&name.row_key()),
                        short(&row.name.row_key())
                    )
                });
            }
            // The row that a login or a new key leaves must be dead.
            let goes_on = request
                .spec
                .does(|op| matches!(op, Op::Cycle | Op::Reauthenticate | Op::Bind { .. }));
            let left = request.presented.contains(&row.name) && row.name != *name;
            let was_live = request.outcome == Some(Outcome::Loaded) && !state.is_ended_early;
            let is_it = request.knows_all && request.presented.len() == 1;
            if is_new && goes_on && left && lives && was_live && is_it {
                self.fail("what a new key leaves is dead", || {
                    format!("#{id} leaves {} alive", short(&row.name.row_key()))
                });
            }
        }
        // An acknowledged save must have been stored.
        let spec = &request.spec;
        let saved = spec.ending == Ending::Answers
            && !request.refused
            && !request.ended_something
            && !spec.cross_site
            && request.outcome.is_some()
            && request.outcome != Some(Outcome::Ambiguous)
            && !spec.does(|op| matches!(op, Op::Create | Op::Expire(_) | Op::LoadFresh));
        if !saved {
            return;
        }
        // A login may drop earlier changes: only what was written with it counts.
        let login = spec.does(|op| matches!(op, Op::Bind { .. }));
        let counts = |key: &str| key != "flash" && (!login || key == "d");
        for (key, writes) in request.touched.iter().filter(|(key, _)| counts(key)) {
            let (Some(Some(last)), Some(put)) = (writes.last(), &request.put) else {
                continue;
            };
            if !request.stored.contains(&(key.clone(), *last)) {
                self.fail("what is acknowledged is stored", || {
                    format!("#{id} has written {last} under {key}, but put {put:?}")
                });
            }
        }
        let wrote = request
            .touched
            .values()
            .any(|writes| writes.iter().any(Option::is_some));
        if wrote && !request.has_put {
            self.fail("what is acknowledged is stored", || {
                format!("#{id} has put nothing")
            });
        }
    }

    /// Its cookie was the tombstone of a logout that was not stored.
    fn check_stone(&self, state: &mut State, id: RequestId, now: Ms) {
        let request = &state.requests[id];
        let Some(name) = request.stone.clone() else {
            return;
        };
        // A store that does not answer in time counts as one that fails.
        let has_answers = request.failed == 0 && !request.slow;
        if has_answers && request.outcome == Some(Outcome::Revoked) {
            self.meets(state, Met::LogoutFinished);
            self.told_dead(state, id, &name, false, now);
        }
    }
}

impl State {
    fn ends_from(&mut self, name: &Name, now: Ms) {
        let lineage = self.lineages.entry(name.lineage.clone()).or_default();
        lineage.ends_from.get_or_insert(now);
    }

    /// Records the current content of a row.
    #[allow(clippy::too_many_arguments)]
    fn note(
        &mut self,
        id: RequestId,
        shard: &str,
        name: Name,
        before: Option<Holds>,
        after: Holds,
        expires_at: Ms,
        now: Ms,
    ) {
        if let Holds::Live(content) = &after {
            self.requests[id].put.clone_from(content);
            let request = &mut self.requests[id];
            request.has_put = true;
            let pairs = content.iter().flatten();
            request
                .stored
                .extend(pairs.map(|(key, value)| (key.clone(), *value)));
            let lineages = &mut self.lineages;
            lineages
                .entry(name.lineage.clone())
                .or_insert_with(|| Lineage {
                    begun_by: id,
                    ..Lineage::default()
                });
        }
        let place = (shard.to_owned(), name.row_key());
        let life = self.rows.entry(place).or_insert_with(|| RowLife {
            name,
            holds: after.clone(),
            made_by: id,
            made_at: now,
            expires_at,
            content: None,
            overwritten: BTreeSet::new(),
            wiped: false,
        });
        if let (Some(Holds::Live(Some(was))), Holds::Live(Some(is))) = (&before, &after)
            && life.made_by != id
        {
            let gone = was
                .iter()
                .filter(|(key, value)| is.get(*key) != Some(*value));
            life.overwritten
                .extend(gone.map(|(key, value)| (key.clone(), *value)));
        }
        if let Holds::Live(content) = &after {
            life.content.clone_from(content);
        }
        (life.holds, life.expires_at, life.wiped) = (after, expires_at, false);
    }

    /// Records which sessions are alive now.
    fn count_lives(&mut self, now: Ms) {
        let mut alive: BTreeSet<&String> = BTreeSet::new();
        for row in self.rows.values() {
            if row.holds.is_live() && !row.wiped {
                alive.insert(&row.name.lineage);
            }
        }
        for (lineage, life) in &mut self.lineages {
            let lives = alive.contains(lineage);
            if life.is_live() != lives {
                life.turns.push((now, lives));
            }
        }
    }
}
