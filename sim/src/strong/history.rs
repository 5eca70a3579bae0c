//! Servers, clients, and the path of each request between them.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::rc::Rc;

use edge_session::{
    ErrorCode, Event, EventSink, Isolate, OwnedSession, SecretRing, SessionStore, Sessions,
    Settings,
};

use super::object::{Connector, Objects};
use super::truth::{Rules, Truth};
use super::weather::{Trouble, Weather};
use crate::Ms;
use crate::history::{Network, ring};
use crate::jar::Jar;
use crate::request::{Answer, Host, Op, Spec, View, key_of, serve};
use crate::watch::Observation;
use crate::world::{Machine, RequestId, World, short};

const OLD: &str = "lR0v9cFqWm3kXo2TzJ7yPb5sUe8hNd1GaQ4iCxKtMwY";
const NEW: &str = "Yq8wLr3xVt6nBm1zKc5uHf9pGd2sJa7eTo4iRkWlQvX";

thread_local! {
    /// The two configurations while a secret is being replaced: the old secret signs, or the new
    /// one.
    static BOTH: [SecretRing; 2] = [format!("{OLD},{NEW}"), format!("{NEW},{OLD}")]
        .map(|text| SecretRing::parse(&text).unwrap_or_else(|error| panic!("{error}")));
}

/// Which secrets a server has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ring {
    One,
    OldSigns,
    NewSigns,
}

impl Ring {
    fn secrets(self) -> SecretRing {
        match self {
            Self::One => ring(),
            Self::OldSigns => BOTH.with(|rings| rings[0].clone()),
            Self::NewSigns => BOTH.with(|rings| rings[1].clone()),
        }
    }
}

/// One isolate.
#[derive(Clone)]
struct Server {
    sessions: Sessions,
    clock: Rc<Cell<Ms>>,
    ring: Ring,
}

/// A browser, or a thief with a copy of its cookies.
#[derive(Default)]
pub struct Client {
    pub jar: Jar,
    pub thief: bool,
}

/// One history while it happens.
pub struct Sim {
    pub world: Rc<World>,
    pub truth: Rc<Truth>,
    pub objects: Rc<Objects>,
    pub weather: Rc<Weather>,
    settings: Settings,
    servers: RefCell<Vec<Server>>,
    pub clients: RefCell<Vec<Client>>,
    pub network: Cell<Network>,
    /// Requests whose responses are not stored in the jar.
    detached: RefCell<BTreeSet<RequestId>>,
    views: RefCell<Vec<(RequestId, View)>>,
    answers: RefCell<Vec<(RequestId, Answer)>>,
}

struct Events(Rc<World>);

impl EventSink for Events {
    fn event(&self, event: &Event) {
        self.0
            .note(|| format!("    event: {}", event.kind.as_str()));
    }
}

impl Sim {
    pub fn new(world: Rc<World>, settings: Settings, secrets: usize) -> Rc<Self> {
        let truth = Rc::new(Truth::new(Rules {
            most_per_owner: settings.max_per_owner(),
            secrets,
            ends_early: (1..3_600).contains(&settings.idle_timeout().as_secs()),
        }));
        Rc::new(Self {
            world,
            truth,
            objects: Rc::default(),
            weather: Rc::default(),
            settings,
            servers: RefCell::default(),
            clients: RefCell::default(),
            network: Cell::default(),
            detached: RefCell::default(),
            views: RefCell::default(),
            answers: RefCell::default(),
        })
    }

    fn sessions(&self, clock: &Rc<Cell<Ms>>, ring: Ring) -> Sessions {
        let connector = Connector {
            world: Rc::clone(&self.world),
            objects: Rc::clone(&self.objects),
            weather: Rc::clone(&self.weather),
            truth: Rc::clone(&self.truth),
        };
        let machine = Machine {
            world: Rc::clone(&self.world),
            offset: Rc::clone(clock),
        };
        Sessions::strong_builder(connector, ring.secrets())
            .settings(self.settings.clone())
            .runtime(machine)
            .build()
            .unwrap_or_else(|error| panic!("{error}"))
            .with_isolate(&Isolate::new(), "simulated")
            .with_events(Events(Rc::clone(&self.world)))
    }

    pub fn add_server(&self, offset: Ms, ring: Ring) {
        let clock = Rc::new(Cell::new(offset));
        let sessions = self.sessions(&clock, ring);
        self.servers.borrow_mut().push(Server {
            sessions,
            clock,
            ring,
        });
    }

    pub fn servers(&self) -> usize {
        self.servers.borrow().len()
    }

    pub fn set_clock(&self, server: usize, offset: Ms) {
        self.servers.borrow()[server].clock.set(offset);
    }

    /// Evicts an isolate: its memory is gone, and its requests never run again. The next isolate
    /// may sign with another secret.
    pub fn evict(&self, server: usize, ring: Option<Ring>) {
        for id in 0..self.truth.requests() {
            if self.truth.spec(id).server == server {
                self.world.freeze(id, true);
            }
        }
        let mut servers = self.servers.borrow_mut();
        let it = &mut servers[server];
        it.ring = ring.unwrap_or(it.ring);
        it.sessions = self.sessions(&it.clock, it.ring);
    }

    pub fn ring_of(&self, server: usize) -> Ring {
        self.servers.borrow()[server].ring
    }

    pub fn add_client(&self, thief: bool) -> usize {
        let jar = Jar::default();
        let mut clients = self.clients.borrow_mut();
        clients.push(Client { jar, thief });
        clients.len() - 1
    }

    /// Sends a request. Without its own Cookie header it has the cookies of its client's jar, and
    /// the response goes back there.
    pub fn send(self: &Rc<Self>, mut spec: Spec) -> RequestId {
        let now = self.world.now();
        let id = self.truth.requests();
        self.world.admit(id);
        if spec.cookie.is_some() || spec.cross_site {
            self.detached.borrow_mut().insert(id);
        } else {
            spec.cookie = self.clients.borrow_mut()[spec.client].jar.header(now);
        }
        self.world.note(|| {
            let Spec {
                client,
                server,
                ops,
                ending,
                lazy,
                ..
            } = &spec;
            let lazy = if *lazy { " lazy" } else { "" };
            format!("#{id} client {client} to server {server}: {ops:?} {ending:?}{lazy}")
        });
        self.truth.sent(&spec, now);
        self.world.start(id, serve(Rc::clone(self), id, spec));
        id
    }

    /// The result of the first load of a request.
    pub fn view(&self, id: RequestId) -> Option<View> {
        let views = self.views.borrow();
        let mut found = views.iter().filter(|(of, _)| *of == id);
        found.next().map(|(_, view)| view.clone())
    }

    pub fn answer(&self, id: RequestId) -> Option<Answer> {
        let answers = self.answers.borrow();
        let mut found = answers.iter().filter(|(of, _)| *of == id);
        found.next().map(|(_, answer)| answer.clone())
    }

    fn deliver(&self, id: RequestId) {
        let now = self.world.now();
        let Some(answer) = self.answer(id) else {
            return;
        };
        let client = self.truth.spec(id).client;
        for cookie in &answer.cookies {
            self.clients.borrow_mut()[client].jar.take(cookie, now);
        }
        self.world.tell(&Observation::Answered {
            request: id,
            answer: &answer,
        });
    }

    /// Breaks the reference cycle between servers and the world.
    pub fn end(&self) {
        self.world.end();
        self.servers.borrow_mut().clear();
    }
}

/// Receives the notifications of requests.
impl Host for Sim {
    fn world(&self) -> &Rc<World> {
        &self.world
    }

    fn sessions_of(&self, server: usize) -> Sessions {
        self.servers.borrow()[server].sessions.clone()
    }

    fn loaded(&self, id: RequestId, session: &SessionStore) {
        let view = View::of(session);
        let outcome = view.outcome.as_str();
        self.world
            .note(|| format!("  #{id} finds {outcome}: {:?}", view.content));
        self.world.tell(&Observation::Loaded {
            request: id,
            view: &view,
            version: session.version().unwrap_or_default(),
        });
        self.truth.loaded(id, &view, self.world.now());
        self.views.borrow_mut().push((id, view));
    }

    fn begins(&self, id: RequestId, op: &Op, session: &SessionStore) {
        let key = key_of(session);
        self.truth.begins(id, op, key.as_deref(), self.world.now());
    }

    fn did(&self, id: RequestId, op: &Op, result: Result<(), ErrorCode>, key: Option<String>) {
        self.world
            .note(|| format!("  #{id} {op:?} gives {result:?}"));
        self.truth
            .did(id, op, result, key.as_deref(), self.world.now());
    }

    fn presents_only(&self, id: RequestId, key: &str) -> bool {
        self.truth.presents_only(id, key)
    }

    fn write(&self, id: RequestId, key: &'static str) -> u32 {
        self.truth.write(id, key)
    }

    fn saw_flash(&self, _id: RequestId, _write: u32) {}

    fn ends(&self, _id: RequestId, key: &str) {
        self.truth.ends(key, self.world.now());
    }

    fn has_ended(&self, id: RequestId, key: &str) {
        self.truth.has_ended(id, key, self.world.now());
    }

    fn revokes_all(&self, id: RequestId, owner: &str, except: Option<&str>) {
        self.truth.revokes_all(id, owner, except, self.world.now());
    }

    fn revoked_all(&self, id: RequestId, _owner: &str, _except: Option<&str>) {
        self.truth.revoked_all(id, self.world.now());
    }

    fn listed(&self, id: RequestId, owner: &str, began: Ms, listed: Vec<OwnedSession>) {
        self.world.note(|| {
            let keys = listed.iter().map(|it| short(it.key.as_str()));
            format!("  #{id} lists {}", keys.collect::<Vec<_>>().join(", "))
        });
        self.truth
            .listed(id, owner, began, &listed, self.world.now());
    }

    fn committing(&self, _id: RequestId, _status: u16) {}

    fn answered(self: &Rc<Self>, id: RequestId, answer: Answer, key: Option<String>) {
        self.world.note(|| {
            let names = answer.cookies.iter().map(|it| {
                let (name, value) = crate::jar::split(it);
                let removed = if value.is_empty() { " removed" } else { "" };
                format!("{name}{removed}")
            });
            let names: Vec<String> = names.collect();
            let key = key.as_deref().map(short).unwrap_or_default();
            format!("#{id} answers {:?}, sets {names:?} {key}", answer.result)
        });
        self.truth
            .answered(id, &answer, key.as_deref(), self.world.now());
        self.answers.borrow_mut().push((id, answer));
        if self.detached.borrow().contains(&id) {
            return;
        }
        let network = self.network.get();
        let (lost, late) = {
            let mut dice = self.world.dice.borrow_mut();
            let late = dice.between(200, 20_000);
            (
                dice.chance(network.lost),
                late * Ms::from(dice.chance(network.late)),
            )
        };
        if lost {
            self.weather.count(Trouble::AnswerLost);
            self.world.note(|| format!("#{id} the answer is lost"));
        } else if late > 0 {
            self.weather.count(Trouble::AnswerLate);
            let sim = Rc::clone(self);
            self.world.after(late, move |_| sim.deliver(id));
        } else {
            self.deliver(id);
        }
    }
}
