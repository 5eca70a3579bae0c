//! Runs a script and records the observations.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::{Rc, Weak};

use edge_session::{EventKind, Outcome, Settings};
use serde_json::{Value, json};

use super::scribe::Scribe;
use super::{AMSTERDAM, PLACES, SINGAPORE, SPREADS, ZERO};
use crate::Ms;
use crate::dice::Dice;
use crate::history::Sim;
use crate::kv::{LOCATIONS, Shown, Spread};
use crate::random::START;
use crate::request::{Answer, KEYS, Op, Spec, View};
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
    Answered,
}

/// The texts of a script around the steps.
pub struct Words {
    pub title: &'static str,
    pub about: &'static str,
    pub begin: &'static str,
    pub end: &'static str,
}

type Slow = Rc<RefCell<Vec<(RequestId, Kind, (Ms, Ms))>>>;
pub type Whys = BTreeMap<(RequestId, Moment), &'static str>;

/// One story while it runs.
pub struct Lab {
    sim: Rc<Sim>,
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
        let book = Rc::new(Book {
            sim: Rc::downgrade(&sim),
            ..Book::default()
        });
        sim.world.watch(Rc::clone(&book) as Rc<dyn Watcher>);
        for place in 0..PLACES.len() {
            sim.add_server(place, 0);
        }
        Self {
            sim,
            book,
            slow,
            whys: RefCell::default(),
        }
    }

    pub fn browser(&self, name: &'static str) -> usize {
        let mut browsers = self.book.browsers.borrow_mut();
        browsers.push(name);
        self.sim.add_client(browsers.len() > 1)
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
        let jar = self.sim.clients.borrow()[from].jar.clone();
        self.sim.clients.borrow_mut()[to].copy(&jar);
        self.book.note(What::Begin);
    }

    /// How long a request to the store takes: there, and back.
    pub fn slow(&self, request: RequestId, kind: Kind, latency: (Ms, Ms)) {
        self.slow.borrow_mut().push((request, kind, latency));
    }

    fn send(&self, spec: Spec, who: &'static str, says: &'static str) -> RequestId {
        let (place, client) = (spec.server, spec.client);
        let id = self.sim.send(spec);
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
        self.sim.world.run_until(ZERO + at);
    }

    /// Says why a moment matters.
    pub fn why(&self, request: RequestId, moment: Moment, text: &'static str) {
        self.whys.borrow_mut().insert((request, moment), text);
    }

    /// The outcome and keys that a request must have found.
    pub fn found(&self, request: RequestId, outcome: Outcome, keys: &[usize]) {
        let view = self.sim.view(request);
        let view = view.unwrap_or_else(|| panic!("request {request} has not loaded"));
        let keys: BTreeSet<&str> = keys.iter().map(|key| KEYS[*key]).collect();
        let content = view.content.unwrap_or_default();
        let shown: BTreeSet<&str> = content.keys().map(String::as_str).collect();
        assert_eq!((view.outcome, shown), (outcome, keys), "request {request}");
    }

    /// The error that must have been the response to a request.
    pub fn refused(&self, request: RequestId, code: &str) {
        let answer = self.sim.answer(request).map(|answer| answer.result);
        assert!(
            matches!(answer, Some(Err(error)) if error.as_str() == code),
            "request {request}: {answer:?}"
        );
    }

    /// The story as a file: a line for each step.
    pub fn tell(self, words: &Words) -> String {
        let title = words.title;
        assert_eq!(self.sim.violation(), None, "{title}");
        let mut whys = self.whys.take();
        let steps = Scribe::new(&self.book).steps(words, &mut whys);
        assert!(
            whys.is_empty(),
            "{title}: these never came: {:?}",
            whys.keys()
        );
        self.sim.end();
        let head = json!({
            "title": title,
            "about": words.about,
            "places": PLACES,
            "browsers": *self.book.browsers.borrow(),
        });
        let mut text = head.to_string();
        text.pop();
        text.push_str(",\"steps\":[\n");
        let lines: Vec<String> = steps.iter().map(Value::to_string).collect();
        text.push_str(&lines.join(",\n"));
        text.push_str("\n]}\n");
        text
    }
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
    sim: Weak<Sim>,
    browsers: RefCell<Vec<&'static str>>,
    pub asks: RefCell<Vec<Ask>>,
    pub steps: RefCell<Vec<Step>>,
    running: RefCell<Vec<RequestId>>,
    read: RefCell<BTreeSet<RequestId>>,
    conflict: Cell<bool>,
}

impl Book {
    /// Records an observation and the state after it.
    fn note(&self, what: What) {
        let Some(sim) = self.sim.upgrade() else {
            return;
        };
        match &what {
            What::Sent(request) => self.running.borrow_mut().push(*request),
            What::Answered(request, _) => self.running.borrow_mut().retain(|it| it != request),
            _ => {}
        }
        let now = sim.world.now();
        let kv = sim.world.kv.borrow();
        let places = [AMSTERDAM, SINGAPORE];
        let rows = kv.names().map(|name| Row {
            name: Rc::clone(name),
            stored: kv.register(name, now),
            cached: places.map(|place| kv.cached(name, place, now)),
            seen: places.map(|place| kv.seen(name, place, now)),
        });
        let clients = sim.clients.borrow();
        let jars = clients.iter().map(|client| {
            let held = client
                .jar
                .cookies(now)
                .map(|(name, value, until)| JarCookie {
                    name: name.to_owned(),
                    value: value.to_owned(),
                    until,
                });
            held.collect()
        });
        let step = Step {
            at: now,
            what,
            rows: rows.collect(),
            jars: jars.collect(),
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
