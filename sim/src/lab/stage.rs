//! Runs a script and records the observations.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use edge_session::{EventKind, Outcome, Settings};
use serde_json::{Map, Value, json};

use super::scribe::{Scribe, without_repeats};
use super::{AMSTERDAM, PLACES, SINGAPORE, SPREADS, ZERO};
use crate::Ms;
use crate::dice::Dice;
use crate::history::Sim;
use crate::jar::Jar;
use crate::kv::{LOCATIONS, Shown, Spread};
use crate::random::START;
use crate::request::{Answer, KEYS, Op, Spec, View};
use crate::strong::history::{Ring, Sim as StrongSim};
use crate::watch::{Found, Observation, Watcher};
use crate::world::{Asked, Failure, Kind, RequestId, Verdict, World};

/// The moment of a request to which an explanation belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Moment {
    /// Its last read.
    Read,
    Found,
    Put,
    SecondPut,
    Conflict,
    Answered,
}

/// The texts of a script around the steps.
pub struct Words {
    pub title: &'static str,
    pub about: &'static str,
    pub begin: &'static str,
    pub end: &'static str,
}

/// The store of a story.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Store {
    Kv,
    Objects,
}

/// A history of one of the two worlds.
#[derive(Clone)]
enum Stage {
    Kv(Rc<Sim>),
    Objects(Rc<StrongSim>),
}

impl Stage {
    const fn store(&self) -> Store {
        match self {
            Self::Kv(_) => Store::Kv,
            Self::Objects(_) => Store::Objects,
        }
    }

    fn world(&self) -> &Rc<World> {
        match self {
            Self::Kv(sim) => &sim.world,
            Self::Objects(sim) => &sim.world,
        }
    }

    fn add_client(&self, thief: bool) -> usize {
        match self {
            Self::Kv(sim) => sim.add_client(thief),
            Self::Objects(sim) => sim.add_client(thief),
        }
    }

    fn send(&self, spec: Spec) -> RequestId {
        match self {
            Self::Kv(sim) => sim.send(spec),
            Self::Objects(sim) => sim.send(spec),
        }
    }

    fn view(&self, request: RequestId) -> Option<View> {
        match self {
            Self::Kv(sim) => sim.view(request),
            Self::Objects(sim) => sim.view(request),
        }
    }

    fn answer(&self, request: RequestId) -> Option<Answer> {
        match self {
            Self::Kv(sim) => sim.answer(request),
            Self::Objects(sim) => sim.answer(request),
        }
    }

    fn violation(&self) -> Option<String> {
        match self {
            Self::Kv(sim) => sim.violation(),
            Self::Objects(sim) => sim.truth.violation(),
        }
    }

    fn end(&self) {
        match self {
            Self::Kv(sim) => sim.end(),
            Self::Objects(sim) => sim.end(),
        }
    }

    fn evict(&self, place: usize) {
        match self {
            Self::Kv(sim) => sim.evict(place),
            Self::Objects(sim) => sim.evict(place, None),
        }
    }

    /// Copies the cookies of one client to another.
    fn copy(&self, from: usize, to: usize) {
        match self {
            Self::Kv(sim) => {
                let jar = sim.clients.borrow()[from].jar.clone();
                sim.clients.borrow_mut()[to].copy(&jar);
            }
            Self::Objects(sim) => {
                let jar = sim.clients.borrow()[from].jar.stolen();
                sim.clients.borrow_mut()[to].jar = jar;
            }
        }
    }

    fn jars(&self) -> Vec<Vec<JarCookie>> {
        let now = self.world().now();
        let held = |jar: &Jar| {
            let held = jar.cookies(now).map(|(name, value, until)| JarCookie {
                name: name.to_owned(),
                value: value.to_owned(),
                until,
            });
            held.collect()
        };
        match self {
            Self::Kv(sim) => {
                let clients = sim.clients.borrow();
                clients.iter().map(|it| held(&it.jar)).collect()
            }
            Self::Objects(sim) => {
                let clients = sim.clients.borrow();
                clients.iter().map(|it| held(&it.jar)).collect()
            }
        }
    }

    fn rows(&self) -> Vec<Row> {
        let now = self.world().now();
        match self {
            Self::Kv(sim) => {
                let kv = sim.world.kv.borrow();
                let places = [AMSTERDAM, SINGAPORE];
                let rows = kv.names().map(|name| Row {
                    name: Rc::clone(name),
                    stored: kv.register(name, now),
                    cached: places.map(|place| kv.cached(name, place, now)),
                    seen: places.map(|place| kv.seen(name, place, now)),
                });
                rows.collect()
            }
            Self::Objects(sim) => {
                let shards = sim.objects.shards().into_iter();
                let rows = shards.flat_map(|shard| sim.objects.rows(&shard, now));
                let sessions = rows.filter(|(name, _)| name.starts_with("s."));
                let rows = sessions.map(|(name, row)| Row {
                    name: name.into(),
                    stored: Some(row.value.into()),
                    cached: [None, None],
                    seen: [None, None],
                });
                rows.collect()
            }
        }
    }
}

type Slow = Rc<RefCell<Vec<(RequestId, Kind, (Ms, Ms))>>>;
pub type Whys = BTreeMap<(RequestId, Moment), &'static str>;

/// One story while it runs.
pub struct Lab {
    stage: Stage,
    book: Rc<Book>,
    slow: Slow,
    whys: RefCell<Whys>,
}

/// A client that makes requests with the cookies of a browser.
pub struct Visitor<'a> {
    lab: &'a Lab,
    client: usize,
    name: &'static str,
}

impl Visitor<'_> {
    pub fn asks(&self, at: Ms, place: usize, says: &'static str, ops: &[Op]) -> RequestId {
        let spec = Spec::new(self.client, place, ops.to_vec());
        self.lab.run(at);
        self.lab.send(spec, self.name, says)
    }

    /// Also stores a value that makes the record too large for a cookie.
    pub fn asks_large(&self, at: Ms, place: usize, says: &'static str, ops: &[Op]) -> RequestId {
        let mut spec = Spec::new(self.client, place, ops.to_vec());
        spec.large = true;
        self.lab.run(at);
        self.lab.send(spec, self.name, says)
    }
}

impl Lab {
    pub fn new() -> Self {
        let slow = Slow::default();
        let judged = Rc::clone(&slow);
        let judge = move |_: &World, asked: &Asked<'_>| {
            let mut delay = [SPREADS; LOCATIONS];
            delay[asked.location] = 0;
            let known = judged.borrow();
            let mine = known
                .iter()
                .find(|it| (it.0, it.1) == (asked.request, asked.kind));
            Verdict {
                latency: mine.map_or((20, 20), |it| it.2),
                failure: Failure::None,
                spread: Spread {
                    delay,
                    cached_at: Some(asked.location),
                    listed: SPREADS,
                    linger: 0,
                    lost: false,
                },
                damaged: false,
            }
        };
        let world = World::new(Dice::new(1), START, Box::new(judge));
        let sim = Sim::new(world, Settings::default());
        for place in 0..PLACES.len() {
            sim.add_server(place, 0);
        }
        Self::at(Stage::Kv(sim), slow)
    }

    /// A story in `store`. Objects are in Amsterdam, as if every session had been created there.
    pub fn on(store: Store) -> Self {
        if store == Store::Kv {
            return Self::new();
        }
        let quick = Box::new(|_: &World, _: &Asked<'_>| Verdict::QUICK);
        let world = World::new(Dice::new(1), START, quick);
        let sim = StrongSim::new(world, Settings::default(), 1);
        let truth = Rc::clone(&sim.truth);
        let latency = move |request| match truth.spec(request).server {
            AMSTERDAM => (10, 10),
            _ => (90, 90),
        };
        *sim.weather.script.borrow_mut() = Some(Box::new(latency));
        for _ in PLACES {
            sim.add_server(0, Ring::One);
        }
        Self::at(Stage::Objects(sim), Slow::default())
    }

    fn at(stage: Stage, slow: Slow) -> Self {
        let book = Rc::new(Book {
            stage: Some(stage.clone()),
            ..Book::default()
        });
        let watcher = Rc::clone(&book) as Rc<dyn Watcher>;
        stage.world().watch(watcher);
        Self {
            stage,
            book,
            slow,
            whys: RefCell::default(),
        }
    }

    pub fn browser(&self, name: &'static str) -> usize {
        let mut browsers = self.book.browsers.borrow_mut();
        browsers.push(name);
        self.stage.add_client(browsers.len() > 1)
    }

    pub fn who(&self, name: &'static str, client: usize) -> Visitor<'_> {
        Visitor {
            lab: self,
            client,
            name,
        }
    }

    /// Makes the session that the story is about.
    pub fn before(&self, client: usize, place: usize, op: Op) {
        self.send(Spec::new(client, place, vec![op]), "", "");
        self.run(0);
        self.book.note(What::Begin);
    }

    /// Copies the cookies of one browser to another.
    pub fn steal(&self, from: usize, to: usize) {
        self.stage.copy(from, to);
        self.book.note(What::Begin);
    }

    /// Replaces the isolate of a location.
    pub fn evict(&self, place: usize) {
        self.stage.evict(place);
    }

    /// How long a request to the store takes: there, and back.
    pub fn slow(&self, request: RequestId, kind: Kind, latency: (Ms, Ms)) {
        self.slow.borrow_mut().push((request, kind, latency));
    }

    fn send(&self, spec: Spec, who: &'static str, says: &'static str) -> RequestId {
        let (place, client) = (spec.server, spec.client);
        let id = self.stage.send(spec);
        self.book.asks.borrow_mut().push(Ask {
            who,
            says,
            place,
            client,
        });
        self.book.note(What::Sent(id));
        id
    }

    pub fn run(&self, at: Ms) {
        self.stage.world().run_until(ZERO + at);
    }

    /// Says why a moment matters.
    pub fn why(&self, request: RequestId, moment: Moment, text: &'static str) {
        self.whys.borrow_mut().insert((request, moment), text);
    }

    /// The outcome and keys that a request must have found.
    pub fn found(&self, request: RequestId, outcome: Outcome, keys: &[usize]) {
        let view = self.stage.view(request);
        let view = view.unwrap_or_else(|| panic!("request {request} has not loaded"));
        let keys: BTreeSet<&str> = keys.iter().map(|key| KEYS[*key]).collect();
        let content = view.content.unwrap_or_default();
        let shown: BTreeSet<&str> = content.keys().map(String::as_str).collect();
        assert_eq!((view.outcome, shown), (outcome, keys), "request {request}");
    }

    /// The error that must have been the response to a request.
    pub fn refused(&self, request: RequestId, code: &str) {
        let answer = self.stage.answer(request).map(|answer| answer.result);
        assert!(
            matches!(answer, Some(Err(error)) if error.as_str() == code),
            "request {request}: {answer:?}"
        );
    }

    /// The story as a file.
    pub fn tell(self, words: &Words) -> String {
        let Told { browsers, steps } = self.record(words);
        file(words, &json!({ "browsers": browsers }), steps)
    }

    /// The story. Each step contains the complete state.
    pub fn record(self, words: &Words) -> Told {
        let title = words.title;
        assert_eq!(self.stage.violation(), None, "{title}");
        let mut whys = self.whys.take();
        let steps = Scribe::new(&self.book).steps(words, &mut whys);
        assert!(
            whys.is_empty(),
            "{title}: these never came: {:?}",
            whys.keys()
        );
        self.stage.end();
        Told {
            browsers: self.book.browsers.take(),
            steps,
        }
    }
}

/// A recorded story.
pub struct Told {
    pub browsers: Vec<&'static str>,
    pub steps: Vec<Map<String, Value>>,
}

/// A story as a file: a line for each step. The head also contains the members of `more`.
pub fn file(words: &Words, more: &Value, steps: Vec<Map<String, Value>>) -> String {
    let mut head = json!({
        "title": words.title,
        "about": words.about,
        "places": PLACES,
    });
    for (name, value) in more.as_object().into_iter().flatten() {
        head[name] = value.clone();
    }
    let mut text = head.to_string();
    text.pop();
    text.push_str(",\"steps\":[\n");
    let steps = without_repeats(steps);
    let lines: Vec<String> = steps.iter().map(Value::to_string).collect();
    text.push_str(&lines.join(",\n"));
    text.push_str("\n]}\n");
    text
}

pub struct Ask {
    pub who: &'static str,
    pub says: &'static str,
    pub place: usize,
    pub client: usize,
}

/// A value of the store, verbatim, or nothing.
pub type Text = Option<Rc<str>>;

pub enum What {
    Begin,
    Sent(RequestId),
    Read(RequestId, Vec<(Rc<str>, Text, Shown)>),
    Found {
        request: RequestId,
        view: View,
        version: u32,
        asked: bool,
        conflict: bool,
    },
    Took {
        request: RequestId,
        name: Rc<str>,
        value: Text,
        conflict: bool,
    },
    /// An object refused a transaction, because the row had changed.
    Conflict {
        request: RequestId,
        name: Rc<str>,
        value: Text,
    },
    Answered(RequestId, Answer),
    Arrived {
        place: usize,
        name: Rc<str>,
        value: Text,
    },
}

/// One key, as the store and each location have it.
pub struct Row {
    pub name: Rc<str>,
    pub stored: Text,
    pub cached: [Option<(Text, Ms)>; 2],
    /// What a location without a cached value would get.
    pub seen: [Text; 2],
}

pub struct JarCookie {
    pub name: String,
    pub value: String,
    pub until: Option<Ms>,
}

pub struct Step {
    pub at: Ms,
    pub what: What,
    pub rows: Vec<Row>,
    pub jars: Vec<Vec<JarCookie>>,
    pub running: Vec<RequestId>,
}

/// The recorded observations.
#[derive(Default)]
pub struct Book {
    /// The world refers to this book too, until it ends.
    stage: Option<Stage>,
    browsers: RefCell<Vec<&'static str>>,
    pub asks: RefCell<Vec<Ask>>,
    pub steps: RefCell<Vec<Step>>,
    running: RefCell<Vec<RequestId>>,
    read: RefCell<BTreeSet<RequestId>>,
    conflict: Cell<bool>,
}

impl Book {
    pub fn store(&self) -> Store {
        self.stage.as_ref().map_or(Store::Kv, Stage::store)
    }

    /// Records an observation and the state after it.
    fn note(&self, what: What) {
        let Some(stage) = &self.stage else {
            return;
        };
        match &what {
            What::Sent(request) => self.running.borrow_mut().push(*request),
            What::Answered(request, _) => self.running.borrow_mut().retain(|it| it != request),
            _ => {}
        }
        let step = Step {
            at: stage.world().now(),
            what,
            rows: stage.rows(),
            jars: stage.jars(),
            running: self.running.borrow().clone(),
        };
        self.steps.borrow_mut().push(step);
    }
}

impl Watcher for Book {
    fn sees(&self, sight: &Observation<'_>) {
        match sight {
            Observation::Read { request, found, .. } => {
                self.read.borrow_mut().insert(*request);
                let found = found
                    .iter()
                    .map(|Found { name, value, shown }| (Rc::clone(name), value.clone(), *shown));
                self.note(What::Read(*request, found.collect()));
            }
            Observation::Loaded {
                request,
                view,
                version,
            } => self.note(What::Found {
                request: *request,
                view: (*view).clone(),
                version: *version,
                asked: self.read.borrow().contains(request),
                conflict: self.conflict.take(),
            }),
            // The row of the owner's last `revoke_all` is not part of a story.
            Observation::Took { name, .. }
                if self.store() == Store::Objects && !name.starts_with("s.") => {}
            Observation::Took {
                request,
                name,
                value,
                ..
            } => self.note(What::Took {
                request: *request,
                name: Rc::clone(name),
                value: value.clone(),
                conflict: self.conflict.take(),
            }),
            Observation::Arrived { location, .. } if *location >= PLACES.len() => {}
            Observation::Arrived {
                location,
                name,
                value,
            } => self.note(What::Arrived {
                place: *location,
                name: Rc::clone(name),
                value: value.clone(),
            }),
            Observation::Conflict { request, found } => {
                let session = found.iter().find(|it| it.name.starts_with("s."));
                if let Some(Found { name, value, .. }) = session {
                    self.note(What::Conflict {
                        request: *request,
                        name: Rc::clone(name),
                        value: value.clone(),
                    });
                }
            }
            Observation::Answered { request, answer } => {
                self.note(What::Answered(*request, (*answer).clone()))
            }
            Observation::Event(EventKind::Conflict) => self.conflict.set(true),
            Observation::Event(_) => {}
            Observation::Refused { request, name, .. } => {
                panic!("request {request} is refused {name}")
            }
        }
    }
}
