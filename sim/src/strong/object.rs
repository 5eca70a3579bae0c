//! The objects, and the calls to them.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::rc::Rc;

use edge_session::connector::{
    Check, ConnectorError, ConnectorErrorKind, ManualClock, Page, Row, StrongConnector,
    StrongMemory, Transacted, Write,
};
use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;

use super::truth::{Change, Truth};
use super::weather::{Failure, Verdict, Weather};
use crate::Ms;
use crate::kv::Shown;
use crate::watch::{Found, Observation};
use crate::world::{Kind, RequestId, World, short};

/// Keys of one page of a listing.
const PAGE: usize = 2;

/// All objects of a history.
pub struct Objects {
    memory: StrongMemory,
    clock: ManualClock,
    /// The errors of their clocks.
    pub offset: Cell<Ms>,
}

impl Default for Objects {
    fn default() -> Self {
        let clock = ManualClock::new(0);
        let memory = StrongMemory::with_clock(clock.clone());
        memory.set_page_size(PAGE);
        Self {
            memory,
            clock,
            offset: Cell::new(0),
        }
    }
}

impl Objects {
    fn at(&self, now: Ms) -> &StrongMemory {
        self.clock.set(now + self.offset.get());
        &self.memory
    }

    /// The current rows of an object.
    pub fn rows(&self, shard: &str, now: Ms) -> BTreeMap<String, Row> {
        self.at(now).rows(shard).into_iter().collect()
    }

    pub fn shards(&self) -> Vec<String> {
        self.memory.shards()
    }

    /// Deletes an object with all its rows.
    pub fn wipe(&self, shard: &str) {
        self.memory.remove_shard(shard);
    }
}

/// A write that owns its strings, because it may reach the object after its request has ended.
enum Owned {
    Put(String, String, Option<String>, String, Ms),
    Replace(String, Vec<String>, String, String),
}

struct Call {
    shard: String,
    checks: Vec<(String, Option<String>)>,
    writes: Vec<Owned>,
}

impl Call {
    fn of(shard: &str, checks: &[Check<'_>], writes: &[Write<'_>]) -> Self {
        let checks = checks.iter().map(|check| match *check {
            Check::Absent(key) => (key.to_owned(), None),
            Check::Revision(key, revision) => (key.to_owned(), Some(revision.to_owned())),
        });
        let writes = writes.iter().map(|write| match *write {
            Write::Put {
                key,
                value,
                metadata,
                revision,
                expires_at,
                ..
            } => Owned::Put(
                key.to_owned(),
                value.to_owned(),
                metadata.map(str::to_owned),
                revision.to_owned(),
                expires_at,
            ),
            Write::Replace {
                prefix,
                except,
                value,
                revision,
                ..
            } => Owned::Replace(
                prefix.to_owned(),
                except.iter().map(|it| (*it).to_owned()).collect(),
                value.to_owned(),
                revision.to_owned(),
            ),
        });
        Self {
            shard: shard.to_owned(),
            checks: checks.collect(),
            writes: writes.collect(),
        }
    }

    fn apply(&self, memory: &StrongMemory) -> Result<Transacted, ConnectorError> {
        let checks: Vec<Check<'_>> = self
            .checks
            .iter()
            .map(|(key, revision)| match revision {
                None => Check::Absent(key),
                Some(revision) => Check::Revision(key, revision),
            })
            .collect();
        let excepts: Vec<Vec<&str>> = self
            .writes
            .iter()
            .map(|write| match write {
                Owned::Put(..) => Vec::new(),
                Owned::Replace(_, except, ..) => except.iter().map(String::as_str).collect(),
            })
            .collect();
        let writes: Vec<Write<'_>> = self
            .writes
            .iter()
            .zip(&excepts)
            .map(|(write, except)| match write {
                Owned::Put(key, value, metadata, revision, expires_at) => Write::Put {
                    key,
                    value,
                    metadata: metadata.as_deref(),
                    revision,
                    expires_at: *expires_at,
                    dead: false,
                },
                Owned::Replace(prefix, _, value, revision) => Write::Replace {
                    prefix,
                    except,
                    value,
                    revision,
                    dead: true,
                },
            })
            .collect();
        let done = memory.transact(&self.shard, &checks, &writes);
        done.now_or_never()
            .unwrap_or_else(|| Err(failed(ConnectorErrorKind::Unavailable)))
    }

    /// True if this write has put a row with this revision.
    fn puts(&self, revision: &str) -> bool {
        self.writes.iter().any(|write| match write {
            Owned::Put(_, _, _, of, _) | Owned::Replace(_, _, _, of) => of == revision,
        })
    }

    /// A line for a reader.
    fn line(&self) -> String {
        let checks = self.checks.iter().map(|(key, revision)| match revision {
            None => format!("{} absent", short(key)),
            Some(revision) => format!("{} at {}", short(key), &revision[..5.min(revision.len())]),
        });
        let writes = self.writes.iter().map(|write| match write {
            Owned::Put(key, value, _, revision, _) => {
                let what = if value.starts_with("2 ") {
                    &value[..3]
                } else {
                    "record"
                };
                format!(
                    "{} = {what} ({})",
                    short(key),
                    &revision[..5.min(revision.len())]
                )
            }
            Owned::Replace(prefix, except, value, _) => {
                let except: Vec<String> = except.iter().map(|it| short(it)).collect();
                format!("{}* = {} except {except:?}", short(prefix), &value[..3])
            }
        });
        format!(
            "if [{}] then [{}]",
            checks.collect::<Vec<_>>().join(", "),
            writes.collect::<Vec<_>>().join(", ")
        )
    }
}

fn failed(kind: ConnectorErrorKind) -> ConnectorError {
    ConnectorError::new(kind, "simulated")
}

/// The connection of one isolate to the objects.
pub struct Connector {
    pub world: Rc<World>,
    pub objects: Rc<Objects>,
    pub weather: Rc<Weather>,
    pub truth: Rc<Truth>,
}

impl Connector {
    /// A call to an object: `act` happens when it arrives there, perhaps twice.
    async fn call<T: 'static>(
        &self,
        kind: Kind,
        shard: &str,
        line: impl Fn() -> String + 'static,
        act: impl Fn(&World) -> Result<T, ConnectorError> + 'static,
    ) -> Result<T, ConnectorError> {
        let request = self.world.current();
        let verdict = self.weather.scripted(request).unwrap_or_else(|| {
            let mut dice = self.world.dice.borrow_mut();
            self.weather.decide(&mut dice, shard, self.world.now())
        });
        let Verdict {
            latency: (there, back),
            failure,
            again,
        } = verdict;
        self.truth.asked(request, there + back);
        let shard = shard.to_owned();
        let truth = Rc::clone(&self.truth);
        let told = Rc::clone(&self.truth);
        let repeated = Rc::clone(&self.truth);
        let call = self
            .world
            .operation(kind, false, (there, back), move |world| {
                let result = match failure {
                    Failure::Before => Err(failed(ConnectorErrorKind::Unavailable)),
                    Failure::Overloaded => Err(failed(ConnectorErrorKind::RateLimited)),
                    Failure::After => act(world).and(Err(failed(ConnectorErrorKind::Unavailable))),
                    Failure::None => act(world),
                };
                world.note(|| {
                    let how = match failure {
                        Failure::None => "applied",
                        Failure::Before => "failed",
                        Failure::After => "applied, reported as failed",
                        Failure::Overloaded => "overloaded",
                    };
                    format!(
                        "  #{request} {kind:?} {}: {} ({how})",
                        short(&shard),
                        line()
                    )
                });
                if let Some(after) = again {
                    world.after(after, move |world| {
                        world.note(|| format!("  #{request} arrives again: {}", line()));
                        repeated.repeats(true);
                        let _twice = act(world);
                        repeated.repeats(false);
                    });
                }
                if result.is_err() {
                    truth.failed(request, failure == Failure::Overloaded);
                }
                result
            })
            .await;
        told.answered_call(request);
        call
    }
}

/// Tells the watcher which rows were found under `keys`.
fn tell_found<'a>(
    world: &World,
    keys: impl Iterator<Item = &'a String>,
    rows: &[Option<Row>],
    sight: impl FnOnce(&[Found]) -> Observation<'_>,
) {
    if !world.is_watched() {
        return;
    }
    let found = keys.zip(rows).map(|(key, row)| Found {
        name: key.as_str().into(),
        value: row.as_ref().map(|row| row.value.as_str().into()),
        shown: Shown::Current,
    });
    world.tell(&sight(&found.collect::<Vec<_>>()));
}

/// Tells the watcher the changes of a transaction.
fn tell_changed(world: &World, request: RequestId, changes: &[Change]) {
    if !world.is_watched() {
        return;
    }
    for Change { key, after, .. } in changes {
        world.tell(&Observation::Took {
            request,
            name: key.as_str().into(),
            value: Some(after.value.as_str().into()),
        });
    }
}

/// The changes of a transaction in an object.
fn differences(before: &BTreeMap<String, Row>, after: &BTreeMap<String, Row>) -> Vec<Change> {
    let changed = after
        .iter()
        .filter(|(key, row)| before.get(*key) != Some(row));
    changed
        .map(|(key, row)| Change {
            key: key.clone(),
            before: before.get(key).cloned(),
            after: row.clone(),
        })
        .collect()
}

impl StrongConnector for Connector {
    fn kind(&self) -> &str {
        "simulated"
    }

    fn read<'a>(
        &'a self,
        shard: &'a str,
        keys: &'a [&'a str],
    ) -> LocalBoxFuture<'a, Result<Vec<Option<Row>>, ConnectorError>> {
        Box::pin(async move {
            let request = self.world.current();
            let (objects, truth) = (Rc::clone(&self.objects), Rc::clone(&self.truth));
            let owned: Vec<String> = keys.iter().map(|key| (*key).to_owned()).collect();
            let place = shard.to_owned();
            let names: Vec<String> = keys.iter().map(|key| short(key)).collect();
            let line = move || names.join(", ");
            self.call(Kind::Read, shard, line, move |world| {
                let rows = objects.rows(&place, world.now());
                let found: Vec<Option<Row>> =
                    owned.iter().map(|key| rows.get(key).cloned()).collect();
                for (key, row) in owned.iter().zip(&found) {
                    truth.read(request, key, row.as_ref());
                }
                tell_found(world, owned.iter(), &found, |found| Observation::Read {
                    request,
                    found,
                });
                Ok(found)
            })
            .await
        })
    }

    fn transact<'a>(
        &'a self,
        shard: &'a str,
        checks: &'a [Check<'a>],
        writes: &'a [Write<'a>],
    ) -> LocalBoxFuture<'a, Result<Transacted, ConnectorError>> {
        Box::pin(async move {
            let request = self.world.current();
            let (objects, truth) = (Rc::clone(&self.objects), Rc::clone(&self.truth));
            let call = Rc::new(Call::of(shard, checks, writes));
            for write in writes {
                if let Write::Put { key, value, .. } = write
                    && value.starts_with("2 x")
                {
                    self.truth.takes_back(request, key);
                }
            }
            let told = Rc::clone(&call);
            self.call(
                Kind::Put,
                shard,
                move || told.line(),
                move |world| {
                    let now = world.now();
                    let before = objects.rows(&call.shard, now);
                    let transacted = call.apply(objects.at(now))?;
                    match &transacted {
                        Transacted::Done => {
                            let after = objects.rows(&call.shard, now);
                            let changes = differences(&before, &after);
                            truth.changed(world, request, &call.shard, &changes, &after);
                            tell_changed(world, request, &changes);
                        }
                        Transacted::Conflict(rows) => {
                            let own = |row: &Row| call.puts(&row.revision);
                            truth.conflict(request, rows.iter().flatten().any(own));
                            let keys = call.checks.iter().map(|(key, _)| key);
                            tell_found(world, keys, rows, |found| Observation::Conflict {
                                request,
                                found,
                            });
                        }
                    }
                    Ok(transacted)
                },
            )
            .await
        })
    }

    fn list<'a>(
        &'a self,
        shard: &'a str,
        prefix: &'a str,
        cursor: Option<&'a str>,
    ) -> LocalBoxFuture<'a, Result<Page, ConnectorError>> {
        Box::pin(async move {
            let objects = Rc::clone(&self.objects);
            let (place, from) = (shard.to_owned(), prefix.to_owned());
            let cursor = cursor.map(str::to_owned);
            let line = || "a page".to_owned();
            self.call(Kind::List, shard, line, move |world| {
                let memory = objects.at(world.now());
                let page = memory.list(&place, &from, cursor.as_deref());
                page.now_or_never()
                    .unwrap_or_else(|| Err(failed(ConnectorErrorKind::Unavailable)))
            })
            .await
        })
    }
}
