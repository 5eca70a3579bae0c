//! Servers, clients, and the path of each request between them.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use edge_session::{
    ErrorCode, Event, EventKind, EventSink, Isolate, Outcome, OwnedSession, SecretRing,
    SessionStore, Sessions, Settings,
};

use crate::fault::Fault;
use crate::jar::Jar;
use crate::request::{Answer, Host, KEYS, Op, Spec, View, serve};
use crate::transcript;
use crate::truth::{Place, Rules, SKEW, Truth, record_name};
use crate::watch::Observation;
use crate::world::{Connector, Machine, RequestId, World};
use crate::{Ms, ms};

const SECRET: &str = "lR0v9cFqWm3kXo2TzJ7yPb5sUe8hNd1GaQ4iCxKtMwY";
pub(crate) const KEY_COOKIE: &str = "__Host-session";

thread_local! {
    static RING: SecretRing = SecretRing::parse(SECRET).unwrap_or_else(|error| panic!("{error}"));
}

pub(crate) fn ring() -> SecretRing {
    RING.with(Clone::clone)
}

/// One isolate at one location.
#[derive(Clone)]
pub struct Server {
    pub location: usize,
    pub isolate: usize,
    pub sessions: Sessions,
    pub clock: Rc<Cell<Ms>>,
    pub far: bool,
}

/// A browser, or a thief with a copy of its cookies.
#[derive(Default)]
pub struct Client {
    pub jar: Jar,
    pub thief: bool,
    /// Requests whose response it has not received, and perhaps never will.
    outstanding: Vec<RequestId>,
    /// Its requests in sequence, each sent after the previous response.
    in_sequence: BTreeSet<RequestId>,
    /// The saves that it must see again.
    trust: Option<Trust>,
}

impl Client {
    /// Continues with the cookies of another client.
    pub fn copy(&mut self, victim: &Jar) {
        self.jar = victim.stolen();
        self.trust = None;
        self.in_sequence.clear();
    }
}

/// What a browser was told by a response.
#[derive(Clone)]
struct Trust {
    cookie: String,
    name: String,
    request: RequestId,
    content: BTreeMap<String, u32>,
    removed: BTreeSet<&'static str>,
    since: Ms,
}

/// How responses are delivered, in times out of a thousand.
#[derive(Clone, Copy, Default)]
pub struct Network {
    pub lost: u32,
    pub late: u32,
}

struct Conflicts {
    world: Rc<World>,
}

impl EventSink for Conflicts {
    fn event(&self, event: &Event) {
        self.world
            .note(|| format!("    event: {}", event.kind.as_str()));
        self.world.transcript_of_current(|| {
            let session = event.session.as_deref().unwrap_or("none");
            let kind = event.kind.as_str();
            format!("event {kind} of ~{session} reason {:?}", event.reason)
        });
        self.world.tell(&Observation::Event(event.kind));
        if event.kind == EventKind::Conflict {
            self.world.count_conflict();
        }
    }
}

/// One history while it happens.
pub struct Sim {
    pub world: Rc<World>,
    pub truth: RefCell<Truth>,
    pub rules: Rules,
    settings: Settings,
    servers: RefCell<Vec<Server>>,
    isolates: Cell<usize>,
    pub clients: RefCell<Vec<Client>>,
    pub network: Cell<Network>,
    /// For each request: what it must see, and whether its response is stored in the jar.
    expects: RefCell<BTreeMap<RequestId, Trust>>,
    detached: RefCell<BTreeSet<RequestId>>,
    views: RefCell<BTreeMap<RequestId, View>>,
    answers: RefCell<BTreeMap<RequestId, Answer>>,
}

impl Sim {
    pub fn new(world: Rc<World>, settings: Settings) -> Rc<Self> {
        let second = |time: Duration| Ms::try_from(time.as_millis()).unwrap_or(Ms::MAX);
        let rules = Rules {
            window: second(settings.window()),
            bound: second(settings.staleness_bound()),
            store: second(settings.kv_cache_ttl() + settings.propagation()),
            idle: second(settings.idle_timeout()),
            age: second(settings.cookie_age()),
            most_per_owner: settings.max_per_owner(),
            browser_close: settings.expire_at_browser_close(),
        };
        Rc::new(Self {
            world,
            truth: RefCell::new(Truth::new(rules)),
            rules,
            settings,
            servers: RefCell::default(),
            isolates: Cell::new(0),
            clients: RefCell::default(),
            network: Cell::default(),
            expects: RefCell::default(),
            detached: RefCell::default(),
            views: RefCell::default(),
            answers: RefCell::default(),
        })
    }

    // --- servers and clients -------------------------------------------------------------------

    fn sessions(&self, location: usize, clock: &Rc<Cell<Ms>>) -> Sessions {
        let connector = Connector {
            world: Rc::clone(&self.world),
            location,
            page: 2,
        };
        let machine = Machine {
            world: Rc::clone(&self.world),
            offset: Rc::clone(clock),
        };
        let sessions = Sessions::builder(connector, ring())
            .settings(self.settings.clone())
            .runtime(machine)
            .build();
        let sessions = sessions.unwrap_or_else(|error| panic!("{error}"));
        sessions
            .with_isolate(&Isolate::new(), "simulated")
            .with_events(Conflicts {
                world: Rc::clone(&self.world),
            })
    }

    /// A new isolate at `location`, with this clock error.
    pub fn add_server(&self, location: usize, offset: Ms) -> usize {
        let clock = Rc::new(Cell::new(offset));
        let isolate = self.isolates.replace(self.isolates.get() + 1);
        let server = Server {
            location,
            isolate,
            sessions: self.sessions(location, &clock),
            clock,
            far: offset.abs() > SKEW,
        };
        let mut servers = self.servers.borrow_mut();
        servers.push(server);
        servers.len() - 1
    }

    pub fn server(&self, server: usize) -> Server {
        self.servers.borrow()[server].clone()
    }

    pub fn servers(&self) -> usize {
        self.servers.borrow().len()
    }

    /// Evicts the isolate: its memory is gone, and its requests never run again.
    pub fn evict(&self, server: usize) {
        let isolate = self.server(server).isolate;
        let running: Vec<RequestId> = {
            let truth = self.truth.borrow();
            let all = truth.requests.iter().enumerate();
            all.filter(|(_, it)| it.place.isolate == isolate)
                .map(|(id, _)| id)
                .collect()
        };
        for id in running {
            self.world.freeze(id, true);
        }
        let isolate = self.isolates.replace(self.isolates.get() + 1);
        let mut servers = self.servers.borrow_mut();
        let it = &mut servers[server];
        it.isolate = isolate;
        it.sessions = self.sessions(it.location, &it.clock);
    }

    pub fn add_client(&self, thief: bool) -> usize {
        let mut clients = self.clients.borrow_mut();
        clients.push(Client {
            thief,
            ..Client::default()
        });
        clients.len() - 1
    }

    // --- a request -----------------------------------------------------------------------------

    /// Sends a request. Without its own Cookie header it has the cookies of its client's jar, and
    /// the response goes back there.
    pub fn send(self: &Rc<Self>, mut spec: Spec) -> RequestId {
        let now = self.world.now();
        let id = self.truth.borrow().requests.len();
        self.world.admit(id);
        let server = self.server(spec.server);
        let own = spec.cookie.is_none() && !spec.cross_site;
        {
            let mut clients = self.clients.borrow_mut();
            let client = &mut clients[spec.client];
            if spec.cookie.is_some() || spec.cross_site {
                self.detached.borrow_mut().insert(id);
            }
            if own {
                spec.cookie = client.jar.header(now);
                // A lost or abandoned request counts until it can no longer have any effect.
                let in_sequence = &mut client.in_sequence;
                client.outstanding.retain(|it| {
                    let lost = self.detached.borrow().contains(it)
                        || !self.answers.borrow().contains_key(it);
                    if lost && !self.world.is_active(*it) {
                        in_sequence.remove(it);
                        return false;
                    }
                    true
                });
                if client.outstanding.is_empty() {
                    client.in_sequence.insert(id);
                    if let Some(trust) = &client.trust {
                        self.expects.borrow_mut().insert(id, trust.clone());
                    }
                } else {
                    client.trust = None;
                    for other in &client.outstanding {
                        client.in_sequence.remove(other);
                    }
                }
                client.outstanding.push(id);
                if spec.ops.iter().any(|op| *op != Op::Read && *op != Op::List) {
                    // Until the response, its fate is unknown.
                    client.trust = None;
                }
            }
        }
        self.world.note(|| {
            let Spec {
                client,
                ops,
                ending,
                lazy,
                cookie,
                ..
            } = &spec;
            let names: Vec<&str> = cookie
                .as_deref()
                .unwrap_or("")
                .split("; ")
                .filter_map(|pair| pair.split('=').next()?.strip_prefix("__Host-session"))
                .collect();
            format!(
                "#{id} client {client} to location {} isolate {}: {ops:?} {ending:?}{}; cookies {names:?}",
                server.location,
                server.isolate,
                if *lazy { " lazy" } else { "" },
            )
        });
        self.world.transcript(id, || {
            let cookie = spec.cookie.as_deref();
            let Spec { ops, ending, .. } = &spec;
            let place = (server.location, server.isolate);
            let cookie = transcript::content(cookie);
            format!(
                "client {} at {place:?} {ops:?} {ending:?} cookie {cookie}",
                spec.client
            )
        });
        let place = Place {
            location: server.location,
            isolate: server.isolate,
            far: server.far,
        };
        self.truth.borrow_mut().sent(&self.world, id, &spec, place);
        self.world.start(id, serve(Rc::clone(self), id, spec));
        id
    }

    /// The result of the first load of a request.
    pub fn view(&self, id: RequestId) -> Option<View> {
        self.views.borrow().get(&id).cloned()
    }

    pub fn answer(&self, id: RequestId) -> Option<Answer> {
        self.answers.borrow().get(&id).cloned()
    }

    pub fn violation(&self) -> Option<String> {
        self.truth.borrow().violation.clone()
    }

    /// INV-8: a browser reads its own writes.
    fn check_own_writes(&self, id: RequestId, view: &View, trust: &Trust) {
        let mut truth = self.truth.borrow_mut();
        let (Outcome::Loaded, Ok(content)) = (view.outcome, &view.content) else {
            return;
        };
        let request = &truth.requests[id];
        let client = request.spec.client;
        // With two sessions it may see the other one.
        if !request.came_with_one() {
            return;
        }
        let presented = format!("{KEY_COOKIE}={}", trust.cookie);
        let same = request
            .spec
            .cookie
            .as_deref()
            .is_some_and(|cookie| cookie.split("; ").any(|pair| pair == presented));
        if !same || truth.is_tainted(&trust.name) || request.place.far {
            return;
        }
        // After a 429 the browser carries the value for W; after that it may be lost. The same is
        // true if a put that an earlier request gave up on has reached the store since.
        let record = record_name(&trust.name);
        let replaced = (0..truth.requests.len()).any(|it| {
            let operations = self.world.operations(it);
            let mut late = operations.late.iter();
            late.any(|(name, at)| **name == *record && *at >= trust.since)
        });
        let stored = self.world.operations(trust.request).stored_last && !replaced;
        if !stored && self.world.now() > trust.since + self.rules.window - SKEW {
            return;
        }
        // For W, an isolate may remember a value that a parallel save has overwritten in the store.
        let since = trust.since - self.rules.bound - self.rules.window - SKEW;
        let clients = self.clients.borrow();
        let mine = &clients[client].in_sequence;
        let others = truth.writers_since(&self.world, &trust.name, since);
        // If no fresh cookie reports a save, the next request may treat it as a parallel save.
        let answers = self.answers.borrow();
        let untold = |it: &RequestId| {
            answers.get(it).is_some_and(|it| {
                let tells = |cookie: &String| cookie.starts_with("__Host-session-fresh=");
                it.result.is_err() || !it.cookies.iter().any(tells)
            })
        };
        let parallel = |it: &&RequestId| **it != id && (!mine.contains(it) || untold(it));
        if others.iter().any(|it| parallel(&it)) {
            return;
        }
        for (key, value) in &trust.content {
            if content.get(key) != Some(value) {
                let shown = content.get(key).copied();
                truth.fail("INV-8", || {
                    format!(
                        "#{id} reads {shown:?} under {key}, where #{} had saved {value}",
                        trust.request
                    )
                });
                return;
            }
        }
        for key in &trust.removed {
            if let Some(shown) = content.get(*key)
                && truth.is_older(*shown, trust.request)
            {
                truth.fail("INV-8", || {
                    format!(
                        "#{id} reads {shown} under {key}, which #{} had removed",
                        trust.request
                    )
                });
                return;
            }
        }
    }

    fn deliver(&self, id: RequestId) {
        let now = self.world.now();
        let Some(answer) = self.answer(id) else {
            return;
        };
        let (spec, since) = {
            let truth = self.truth.borrow();
            (truth.requests[id].spec.clone(), truth.requests[id].began)
        };
        let mut clients = self.clients.borrow_mut();
        let client = &mut clients[spec.client];
        client.outstanding.retain(|it| *it != id);
        for cookie in &answer.cookies {
            client.jar.take(cookie, now);
        }
        drop(clients);
        self.world.tell(&Observation::Answered {
            request: id,
            answer: &answer,
        });
        let mut clients = self.clients.borrow_mut();
        let client = &mut clients[spec.client];
        if !client.in_sequence.contains(&id) {
            return;
        }
        let saved = answer
            .cookies
            .iter()
            .any(|it| it.starts_with("__Host-session-fresh=") && !it.contains("-fresh=;"));
        let view = answer.view.filter(|_| saved && answer.result.is_ok());
        let cookie = client.jar.get(KEY_COOKIE, now).map(str::to_owned);
        let (Some(view), Some(cookie)) = (view, cookie) else {
            return;
        };
        let (Ok(content), Some(name)) = (view.content, view.key) else {
            return;
        };
        let mut removed = BTreeSet::new();
        for op in &spec.ops {
            match op {
                Op::Remove(key) => drop(removed.insert(KEYS[*key])),
                Op::Clear => removed.extend(KEYS),
                _ => {}
            }
        }
        removed.retain(|key| !content.contains_key(*key));
        client.trust = Some(Trust {
            cookie,
            name,
            request: id,
            content,
            removed,
            since,
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
        self.server(server).sessions
    }

    fn loaded(&self, id: RequestId, session: &SessionStore) {
        let view = View::of(session);
        self.world.note(|| {
            format!(
                "  #{id} finds {}: {:?}",
                view.outcome.as_str(),
                view.content
            )
        });
        self.world.transcript(id, || {
            let version = session.version().unwrap_or_default();
            format!("finds version {version} {}", transcript::view(&view))
        });
        self.world.tell(&Observation::Loaded {
            request: id,
            view: &view,
            version: session.version().unwrap_or_default(),
        });
        self.truth.borrow_mut().loaded(&self.world, id, &view);
        if let Some(trust) = self.expects.borrow().get(&id) {
            self.check_own_writes(id, &view, trust);
        }
        self.views.borrow_mut().insert(id, view);
    }

    fn begins(&self, id: RequestId, op: &Op, _session: &SessionStore) {
        self.truth.borrow_mut().begins(&self.world, id, op);
    }

    fn did(&self, id: RequestId, op: &Op, result: Result<(), ErrorCode>, key: Option<String>) {
        self.world.transcript(id, || {
            let result = result.map_err(|code| code.as_str());
            format!("{op:?} gives {result:?} key {key:?}")
        });
        self.truth
            .borrow_mut()
            .did(&self.world, id, op, result, key);
    }

    fn presents_only(&self, id: RequestId, key: &str) -> bool {
        self.truth.borrow().presents_only(id, key)
    }

    fn write(&self, id: RequestId, key: &'static str) -> u32 {
        self.truth.borrow_mut().write(&self.world, id, key)
    }

    fn saw_flash(&self, id: RequestId, write: u32) {
        self.truth.borrow_mut().saw_flash(&self.world, id, write);
    }

    fn ends(&self, _id: RequestId, key: &str) {
        self.truth.borrow_mut().ends(&self.world, key);
    }

    fn has_ended(&self, id: RequestId, key: &str) {
        self.truth.borrow_mut().has_ended(&self.world, id, key);
    }

    fn revokes_all(&self, id: RequestId, owner: &str, except: Option<&str>) {
        self.truth
            .borrow_mut()
            .revokes_all(&self.world, id, owner, except);
    }

    fn revoked_all(&self, id: RequestId, owner: &str, except: Option<&str>) {
        self.truth
            .borrow_mut()
            .revoked_all(&self.world, id, owner, except);
    }

    fn listed(&self, id: RequestId, owner: &str, began: Ms, listed: Vec<OwnedSession>) {
        self.world.transcript(id, || {
            let rows = listed
                .iter()
                .map(|it| format!("{} {} {}", it.key, ms(it.created), ms(it.last_written)));
            format!("lists {}", rows.collect::<Vec<_>>().join(", "))
        });
        self.truth
            .borrow_mut()
            .listed(&self.world, id, owner, began, &listed);
    }

    fn committing(&self, id: RequestId, status: u16) {
        if status < 500 {
            self.truth.borrow_mut().committing(&self.world, id);
        }
    }

    fn answered(self: &Rc<Self>, id: RequestId, answer: Answer, _key: Option<String>) {
        self.world.note(|| {
            let cookies: Vec<String> = answer
                .cookies
                .iter()
                .map(|it| {
                    let (name, value) = crate::jar::split(it);
                    let kind = name.strip_prefix(KEY_COOKIE).unwrap_or(name);
                    let kind = if kind.is_empty() { "key" } else { kind };
                    let removed = if value.is_empty() { " removed" } else { "" };
                    format!("{kind}{removed}")
                })
                .collect();
            let key = answer.view.as_ref().and_then(|view| view.key.as_deref());
            let key = key.map(crate::world::short).unwrap_or_default();
            format!("#{id} answers {:?}, sets {cookies:?} {key}", answer.result)
        });
        self.world.transcript(id, || transcript::answer(&answer));
        self.truth.borrow_mut().answered(&self.world, id, &answer);
        self.answers.borrow_mut().insert(id, answer);
        if self.detached.borrow().contains(&id) {
            return;
        }
        let network = self.network.get();
        let (lost, late) = {
            let mut dice = self.world.dice.borrow_mut();
            let lost = dice.chance(network.lost);
            let late = if dice.chance(network.late) {
                dice.between(200, 20_000)
            } else {
                0
            };
            (lost, late)
        };
        if lost {
            self.world.fault(Fault::AnswerLost);
            self.world.note(|| format!("#{id} the answer is lost"));
            self.detached.borrow_mut().insert(id);
        } else if late > 0 {
            self.world.fault(Fault::AnswerLate);
            let sim = Rc::clone(self);
            self.world.after(late, move |_| sim.deliver(id));
        } else {
            self.deliver(id);
        }
    }
}
