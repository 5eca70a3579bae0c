//! One session in one request, or one operation on a user's sessions, and its running flow.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use zeroize::Zeroizing;

use crate::face::connector::kv::rules as kv_rules;
use crate::face::connector::objects::wire as objects;
use crate::face::sessions::Sessions;
use crate::face::store::{Ending, Keep, SessionStore};
use crate::flow::end::Left;
use crate::flow::engine::{Flow, Step};
use crate::flow::freshness::Freshness;
use crate::flow::isolate::Isolate;
use crate::flow::load::LoadResult;
use crate::flow::owner::OwnedSession;
use crate::flow::shared::Shared;
use crate::flow::stats::Timing;
use crate::flow::work::Saved;
use crate::port::connector::{ConnectorError, ConnectorErrorKind, ListedKey, Page};
use crate::port::effect::{Effect, Random, Reply};
use crate::port::error::SessionError;
use crate::port::request::RequestHead;
use crate::port::runtime::Runtime as _;
use crate::port::time::seconds;
use crate::protocol::data::Data;
use crate::protocol::expiry::Expiry;
use crate::protocol::json_object::Object;

use super::wire::{self, Named};
use super::world::{Cause, JsConfig, JsRuntime, garbled, gone};

/// An object that JavaScript refers to by a number.
pub(super) struct Handle {
    config: Rc<JsConfig>,
    /// `None` for an operation without a session.
    session: Option<Session>,
    running: Option<Running>,
    /// The effect that the flow waits for.
    asked: Asked,
    /// For an operation without a session: the request that it counts for, if known.
    timing: Option<Rc<Timing>>,
    /// True after the last step of the session.
    is_over: bool,
}

struct Session {
    store: SessionStore,
    head: Rc<Head>,
}

/// A flow, by its purpose.
enum Running {
    Load(Flow<LoadResult>),
    /// With the status of the response if it is part of a commit.
    Save(Flow<Saved>, Option<u16>),
    Repair(Flow<Saved>, u16),
    /// With the data that a new session keeps, for `flush`.
    End(Flow<Option<Left>>, Ending, Option<Data>),
    Exists(Flow<bool>),
    List(Flow<Vec<OwnedSession>>),
    Other(Flow<()>),
}

impl Running {
    fn limit_after_failure(&self) -> Option<u32> {
        match self {
            Self::Load(flow) => flow.limit_after_failure(),
            Self::Save(flow, _) | Self::Repair(flow, _) => flow.limit_after_failure(),
            Self::End(flow, ..) => flow.limit_after_failure(),
            Self::Exists(flow) => flow.limit_after_failure(),
            Self::List(flow) => flow.limit_after_failure(),
            Self::Other(flow) => flow.limit_after_failure(),
        }
    }
}

/// The kind of an [`Effect`] that has not been answered yet.
#[derive(Clone, Copy)]
enum Asked {
    Nothing,
    Read(usize),
    Write(usize),
    List,
    Rows(usize),
    Transact(usize),
    ListRows,
    Sleep,
}

/// The answer to a call.
pub(super) enum Answer {
    /// With the time limit in milliseconds, if it may be less than that of the settings.
    Ask(Effect, Option<u32>),
    End {
        result: Result<Done, SessionError>,
        /// True if the data may have changed.
        has_data: bool,
        /// A separate flow that the response does not wait for.
        later: Option<Flow<()>>,
    },
}

/// The result of an operation.
pub(super) enum Done {
    Nothing,
    Flag(bool),
    Token(String),
    Sessions(Vec<OwnedSession>),
}

impl Answer {
    fn end(result: Result<Done, SessionError>) -> Self {
        Self::End {
            result,
            has_data: false,
            later: None,
        }
    }

    /// The same, after a step that may have changed the data.
    fn with_data(result: Result<Done, SessionError>) -> Self {
        Self::End {
            result,
            has_data: true,
            later: None,
        }
    }
}

fn nothing<T>(_: T) -> Done {
    Done::Nothing
}

impl Handle {
    /// A handle for `operation`, with a new session or without one.
    pub(super) fn open(
        config: Rc<JsConfig>,
        operation: &Named<'_>,
        cookie: Option<Zeroizing<String>>,
        timing: Option<Rc<Timing>>,
    ) -> Self {
        let has_session = !matches!(
            operation.word("op"),
            "list" | "revoke" | "revokeAll" | "exists" | "deleteOther"
        );
        let session = has_session.then(|| {
            let sessions = if operation.word("op") == "look" {
                &config.blank
            } else if operation.flag("reports") {
                &config.reported
            } else {
                &config.sessions
            };
            let mut session = Session::open(sessions, cookie);
            if operation.flag("loaded") {
                // The request has no cookie, so this does not ask the store.
                drop(session.store.begin_load(Freshness::Memory));
            }
            session
        });
        Self {
            config,
            session,
            running: None,
            asked: Asked::Nothing,
            timing,
            is_over: operation.word("op") == "look",
        }
    }

    /// The timing of its request, if `SESSION_SERVER_TIMING` is on.
    pub(super) fn timing(&self) -> Option<Rc<Timing>> {
        match &self.session {
            Some(session) => session.store.timing(),
            None => self.timing.clone(),
        }
    }

    /// True while it can be used again.
    pub(super) fn lives(&self) -> bool {
        self.running.is_some() || (self.session.is_some() && !self.is_over)
    }

    pub(super) fn begin(&mut self, operation: &Named<'_>, changes: &str) -> Answer {
        let Some(session) = &mut self.session else {
            let shared = self.config.sessions.shared();
            let shared = shared.counting_for(self.timing.clone());
            return match begin_apart(&shared, operation) {
                Ok(Some(running)) => self.run(running, None),
                // The text is not a session key.
                Ok(None) => Answer::end(Ok(Done::Flag(false))),
                Err(error) => Answer::end(Err(error)),
            };
        };
        if let Some(request) = operation.object("request") {
            session.head.request.replace(Request::read(&request));
        }
        let store = &mut session.store;
        let op = operation.word("op");
        // A flow owns its plan, so the session can be read while it runs.
        match op {
            "look" => return Answer::end(Ok(nothing(()))),
            "csrf" => {
                let token = store.csrf_token();
                return Answer::end(token.map(Done::Token));
            }
            "verify" => {
                let verified = store.verify_csrf(&operation.text("token"));
                return Answer::end(verified.map(nothing));
            }
            _ if self.running.is_some() => return Answer::end(Err(gone())),
            _ => {}
        }
        match op {
            "load" => {
                let freshness = if operation.flag("fresh") {
                    Freshness::Shortest
                } else {
                    Freshness::Memory
                };
                // Earlier changes are kept together with the loaded data.
                if let Err(error) = wire::apply(store, changes) {
                    return Answer::end(Err(error));
                }
                match store.begin_load(freshness) {
                    Some(flow) => self.run(Running::Load(flow), None),
                    None => Answer::with_data(Ok(nothing(()))),
                }
            }
            "save" => {
                let ready = store
                    .check_intent()
                    .and_then(|()| wire::apply(store, changes));
                match ready {
                    Ok(()) => self.save(None),
                    Err(error) => Answer::end(Err(error)),
                }
            }
            "commit" => {
                let status = operation.number("status") as u16;
                let applied = wire::apply(store, changes);
                match applied {
                    Ok(()) if status < 500 => self.save(Some(status)),
                    applied => self.close(500, Ok(()), applied),
                }
            }
            "destroy" => self.end(None),
            "flush" => {
                // Errors do not matter here: the session ends.
                let applied = wire::apply(store, changes);
                drop(applied);
                let kept = store.kept(&operation.list("keep"));
                self.end(Some(kept))
            }
            "delete" => {
                let timing = store.timing();
                let shared = self.config.sessions.shared().counting_for(timing);
                match shared.config().read_key(&operation.text("key")) {
                    Err(error) => Answer::end(Err(error)),
                    Ok(key) if store.is_this(&key) => self.end(None),
                    Ok(key) => self.run(Running::Other(shared.begin_delete(key)), None),
                }
            }
            _ => {
                let changed =
                    wire::apply(store, changes).and_then(|()| change(store, op, operation));
                // A new lineage may start without the previous data.
                if matches!(op, "create" | "bind") {
                    Answer::with_data(changed.map(nothing))
                } else {
                    Answer::end(changed.map(nothing))
                }
            }
        }
    }

    /// Continues the running flow, or starts one that has not been stepped yet.
    pub(super) fn reply(&mut self, record: Option<String>, rest: Option<&str>) -> Answer {
        let reply = match self.asked {
            Asked::Nothing => None,
            asked => Some(self.read_reply(asked, record, rest)),
        };
        if reply.is_some()
            && let Some(timing) = self.timing()
        {
            timing.wait_ended(JsRuntime.now());
        }
        match self.running.take() {
            Some(running) => self.run(running, reply),
            None => Answer::end(Err(gone())),
        }
    }

    /// Steps a flow. After its last step, applies the result.
    fn run(&mut self, running: Running, reply: Option<Reply>) -> Answer {
        match running {
            Running::Load(mut flow) => match step(&mut flow, reply) {
                Step::Ask(effect) => self.ask(Running::Load(flow), effect),
                Step::Done(loaded) => self.with_store(|store| {
                    store.apply_load(loaded);
                    Answer::with_data(Ok(nothing(())))
                }),
            },
            Running::Save(mut flow, commit) => match step(&mut flow, reply) {
                Step::Ask(effect) => self.ask(Running::Save(flow, commit), effect),
                Step::Done(saved) => {
                    let Some(session) = &mut self.session else {
                        return Answer::end(Err(gone()));
                    };
                    let applied = session.store.apply_save(saved);
                    self.saved(applied, commit)
                }
            },
            Running::Repair(mut flow, status) => match step(&mut flow, reply) {
                Step::Ask(effect) => self.ask(Running::Repair(flow, status), effect),
                Step::Done(saved) => {
                    if let Some(session) = &mut self.session {
                        session.store.apply_repair(saved);
                    }
                    self.close(status, Ok(()), Ok(()))
                }
            },
            Running::End(mut flow, ending, kept) => match step(&mut flow, reply) {
                Step::Ask(effect) => self.ask(Running::End(flow, ending, kept), effect),
                Step::Done(stored) => self.with_store(|store| {
                    let ended = store.apply_end(ending, stored);
                    if let (Ok(()), Some(kept)) = (&ended, kept) {
                        store.begin_again(kept);
                    }
                    Answer::with_data(ended.map(nothing))
                }),
            },
            Running::Exists(mut flow) => match step(&mut flow, reply) {
                Step::Ask(effect) => self.ask(Running::Exists(flow), effect),
                Step::Done(found) => Answer::end(found.map(Done::Flag)),
            },
            Running::List(mut flow) => match step(&mut flow, reply) {
                Step::Ask(effect) => self.ask(Running::List(flow), effect),
                Step::Done(listed) => Answer::end(listed.map(Done::Sessions)),
            },
            Running::Other(mut flow) => match step(&mut flow, reply) {
                Step::Ask(effect) => self.ask(Running::Other(flow), effect),
                Step::Done(result) => Answer::end(result.map(nothing)),
            },
        }
    }

    fn ask(&mut self, running: Running, effect: Effect) -> Answer {
        self.asked = match &effect {
            Effect::Read { keys, .. } => Asked::Read(keys.len()),
            Effect::Write(writes) => Asked::Write(writes.len()),
            Effect::List { .. } => Asked::List,
            Effect::Sleep { .. } => Asked::Sleep,
            Effect::ReadRows { keys, .. } => Asked::Rows(keys.len()),
            Effect::Transact(transaction) => Asked::Transact(transaction.checks.len()),
            Effect::ListRows { .. } => Asked::ListRows,
        };
        let limit = running.limit_after_failure();
        self.running = Some(running);
        if let Some(timing) = self.timing() {
            timing.wait_began(JsRuntime.now());
        }
        Answer::Ask(effect, limit)
    }

    fn with_store(&mut self, act: impl FnOnce(&mut SessionStore) -> Answer) -> Answer {
        match &mut self.session {
            Some(session) => act(&mut session.store),
            None => Answer::end(Err(gone())),
        }
    }

    fn save(&mut self, commit: Option<u16>) -> Answer {
        let Some(session) = &mut self.session else {
            return Answer::end(Err(gone()));
        };
        match session.store.begin_save() {
            Ok(Some(flow)) => self.run(Running::Save(flow, commit), None),
            Ok(None) => self.saved(Ok(None), commit),
            Err(error) => self.saved(Err(error), commit),
        }
    }

    /// Continues after a save. `commit` is the status of the response if this is part of a commit.
    fn saved(
        &mut self,
        saved: Result<Option<Flow<()>>, SessionError>,
        commit: Option<u16>,
    ) -> Answer {
        let (saved, later) = match saved {
            Ok(later) => (Ok(()), later),
            Err(error) => (Err(error), None),
        };
        let mut answer = match (commit, &mut self.session) {
            (None, _) => Answer::End {
                has_data: saved.is_ok(),
                result: saved.map(nothing),
                later: None,
            },
            (Some(status), session) => {
                let repair = session.as_ref().filter(|_| saved.is_ok());
                match repair.and_then(|session| session.store.begin_repair()) {
                    Some(flow) => self.run(Running::Repair(flow, status), None),
                    None => self.close(status, saved, Ok(())),
                }
            }
        };
        // A login never needs a repair, so the answer is complete here.
        if let Answer::End { later: place, .. } = &mut answer {
            *place = later;
        }
        answer
    }

    /// The last step of a commit. `saved` is the result of the save, `applied` that of the changes.
    fn close(
        &mut self,
        status: u16,
        saved: Result<(), SessionError>,
        applied: Result<(), SessionError>,
    ) -> Answer {
        self.is_over = true;
        self.with_store(|store| {
            let closed = store.close(status, saved).map(nothing);
            Answer::end(applied.and(closed))
        })
    }

    fn end(&mut self, kept: Option<Data>) -> Answer {
        let Some(session) = &mut self.session else {
            return Answer::end(Err(gone()));
        };
        match session.store.begin_end() {
            Ok((flow, ending)) => self.run(Running::End(flow, ending, kept), None),
            Err(error) => Answer::end(Err(error)),
        }
    }

    /// Writes `answer` into `head`. Returns the following lines.
    pub(super) fn tell(&self, answer: Answer, head: &mut Object) -> String {
        let mut lines = String::new();
        match answer {
            Answer::Ask(effect, limit) => {
                wire::ask(head, &mut lines, effect, limit, self.config.is_kv);
            }
            Answer::End {
                result,
                has_data,
                later,
            } => {
                match result {
                    Ok(Done::Nothing) => head.flag("done", true),
                    Ok(Done::Flag(flag)) => head.boolean("done", flag),
                    Ok(Done::Token(token)) => head.text("done", &token),
                    Ok(Done::Sessions(listed)) => wire::listed(head, "done", &listed),
                    Err(error) => wire::error(head, "error", &error),
                }
                if let Some(session) = &self.session {
                    wire::session(head, &mut lines, &session.store);
                    if has_data {
                        wire::data(head, &mut lines, &session.store);
                    }
                }
                if let Some(flow) = later {
                    let apart = Self {
                        config: Rc::clone(&self.config),
                        session: None,
                        running: Some(Running::Other(flow)),
                        asked: Asked::Nothing,
                        timing: None,
                        is_over: false,
                    };
                    let apart = Kept::Handle(Box::new(apart));
                    let number = KEPT.with_borrow_mut(|kept| kept.insert(apart));
                    head.number("later", number.into());
                }
            }
        }
        lines
    }

    fn read_reply(&self, asked: Asked, record: Option<String>, rest: Option<&str>) -> Reply {
        let named = rest.and_then(Named::read);
        let failed = named.as_ref().and_then(|it| it.object("error"));
        let failed = failed.map(|error| self.failure(&error));
        match asked {
            Asked::Read(count) => Reply::Read(match failed {
                Some(error) => Err(error),
                None => {
                    let mut values = Vec::with_capacity(count);
                    values.push(record);
                    match rest {
                        Some(rest) => values.extend(wire::optional_texts(rest)),
                        None => values.resize(count, None),
                    }
                    Ok(values)
                }
            }),
            Asked::Write(count) => Reply::Write(match rest {
                Some(rest) => wire::objects(rest)
                    .into_iter()
                    .map(|error| error.map_or(Ok(()), |error| Err(self.failure(&error))))
                    .collect(),
                None => (0..count).map(|_| Ok(())).collect(),
            }),
            Asked::List => Reply::List(match (failed, named) {
                (Some(error), _) => Err(error),
                (None, Some(page)) => Ok(Page {
                    cursor: page.optional_text("cursor"),
                    keys: page
                        .objects("keys")
                        .into_iter()
                        .flatten()
                        .map(|key| ListedKey {
                            name: key.text("name"),
                            metadata: key.optional_text("metadata"),
                        })
                        .collect(),
                }),
                (None, None) => Ok(Page::default()),
            }),
            Asked::Rows(count) => Reply::ReadRows(answered(failed, rest, |rest| {
                objects::read_answer(rest, count)
            })),
            Asked::Transact(count) => Reply::Transact(answered(failed, rest, |rest| {
                objects::transact_answer(rest, count)
            })),
            Asked::ListRows => Reply::List(answered(failed, rest, objects::list_answer)),
            Asked::Sleep | Asked::Nothing => Reply::Sleep,
        }
    }

    /// A failure of the store. The thrown error stays in JavaScript and has a number here.
    #[cold]
    fn failure(&self, error: &Named<'_>) -> ConnectorError {
        let message = error.text("message");
        let failure = if error.flag("timeout") {
            let settings = self.config.sessions.settings();
            let setting = settings.name_of("SESSION_STORE_TIMEOUT");
            ConnectorError::timeout(seconds(settings.store_timeout()), setting)
        } else if self.config.is_kv {
            ConnectorError::new(kv_rules::classify(&message), message)
        } else {
            let code = error.text("code");
            let kind = objects::kind_of(&code).unwrap_or_else(|| kind_of(&code));
            ConnectorError::new(kind, message)
        };
        failure.with_source(Cause(error.number("cause") as u32))
    }
}

/// The answer of a store that has transactions.
fn answered<T>(
    failed: Option<ConnectorError>,
    rest: Option<&str>,
    read: impl FnOnce(&str) -> Option<T>,
) -> Result<T, ConnectorError> {
    match failed {
        Some(error) => Err(error),
        None => rest.and_then(read).ok_or_else(|| {
            ConnectorError::new(
                ConnectorErrorKind::Unavailable,
                "the store gave an answer of another form",
            )
        }),
    }
}

fn step<T>(flow: &mut Flow<T>, reply: Option<Reply>) -> Step<T> {
    let now = JsRuntime.now();
    let step = flow.step(reply, now, Random::fresh(&JsRuntime));
    if matches!(step, Step::Done(_))
        && let Some(line) = flow.complaint(now)
    {
        JsRuntime.warn(&line);
    }
    step
}

/// Starts an operation without a session.
fn begin_apart(
    shared: &Rc<Shared>,
    operation: &Named<'_>,
) -> Result<Option<Running>, SessionError> {
    let (user, key) = (operation.text("owner"), operation.text("key"));
    Ok(Some(match operation.word("op") {
        "list" => Running::List(shared.begin_list(&user)?),
        "revoke" => Running::Other(shared.begin_revoke(&user, &key)?),
        "revokeAll" => {
            let except = operation.optional_text("except");
            Running::Other(shared.begin_revoke_all(&user, except.as_deref())?)
        }
        "exists" => return Ok(shared.begin_exists(&key).map(Running::Exists)),
        "deleteOther" => {
            let key = shared.config().read_key(&key)?;
            Running::Other(shared.begin_delete(key))
        }
        _ => return Err(garbled()),
    }))
}

/// Carries out an operation that does not need the store.
fn change(store: &mut SessionStore, op: &str, operation: &Named<'_>) -> Result<(), SessionError> {
    match op {
        "tell" => Ok(()),
        "create" => store.create(),
        "cycle" => store.cycle_key(),
        "reauthenticate" => store.reauthenticate(),
        "bind" => {
            let keep = if operation.flag("keep") {
                Keep::Data
            } else {
                Keep::Nothing
            };
            store.bind_with(&operation.text("owner"), keep)
        }
        "modified" => store.set_modified(operation.flag("value")),
        "expiry" => {
            // JavaScript has already refused invalid and contradictory values.
            let expiry = expiry(operation).ok_or_else(garbled)?;
            store.set_expiry(expiry)
        }
        _ => Err(garbled()),
    }
}

/// The expiry that `readExpiry` in `js/session-store.js` wrote, in milliseconds, rounded away from 0
/// so that no fraction becomes 0.
fn expiry(said: &Named<'_>) -> Option<Expiry> {
    let seconds = |number: i64| number as f64 / 1_000.0;
    let expiry = match (said.optional_number("after"), said.optional_number("at")) {
        (Some(after), _) => Expiry::after_seconds(seconds(after))?,
        // A Date holds whole milliseconds.
        (None, Some(at)) => Expiry::at(at),
        (None, None) => Expiry::default(),
    };
    let expiry = match said.optional_number("idle") {
        Some(idle) => expiry.idle_seconds(seconds(idle))?,
        None => expiry,
    };
    Some(match said.word("browserClose") {
        "true" => expiry.at_browser_close(),
        "false" => expiry.outlives_browser(),
        _ => expiry,
    })
}

/// The facts about a session without a cookie.
pub(super) fn tell_nobody(out: &mut Object, name: &str, sessions: &Sessions, is_loaded: bool) {
    let mut session = Session::open(sessions, None);
    if is_loaded {
        drop(session.store.begin_load(Freshness::Memory));
    }
    wire::whole_session(out, name, &session.store);
}

impl Session {
    fn open(sessions: &Sessions, cookie: Option<Zeroizing<String>>) -> Self {
        let head = Rc::new(Head {
            cookie: Cell::new(cookie),
            request: RefCell::default(),
        });
        Self {
            // JavaScript counts the requests, because not all of them reach the core.
            store: sessions.open_uncounted(Rc::clone(&head)),
            head,
        }
    }
}

/// The headers of a session's request.
struct Head {
    /// Read once.
    cookie: Cell<Option<Zeroizing<String>>>,
    request: RefCell<Request>,
}

/// The data of a request that a save needs. Passed before the first save.
#[derive(Default)]
struct Request {
    method: String,
    site: Option<String>,
    user_agent: Option<String>,
    country: Option<String>,
}

impl Request {
    fn read(told: &Named<'_>) -> Self {
        Self {
            method: told.text("method"),
            site: told.optional_text("site"),
            user_agent: told.optional_text("userAgent"),
            country: told.optional_text("country"),
        }
    }
}

impl RequestHead for Rc<Head> {
    fn header(&self, name: &str) -> Option<String> {
        match name {
            "cookie" => self
                .cookie
                .take()
                .map(|mut cookie| std::mem::take(&mut *cookie)),
            "sec-fetch-site" => self.request.borrow().site.clone(),
            "user-agent" => self.request.borrow().user_agent.clone(),
            _ => None,
        }
    }

    fn method(&self) -> String {
        let method = self.request.borrow().method.clone();
        if method.is_empty() {
            "GET".to_owned()
        } else {
            method
        }
    }

    fn place(&self) -> Option<String> {
        self.request.borrow().country.clone()
    }
}

fn kind_of(code: &str) -> ConnectorErrorKind {
    use ConnectorErrorKind::{Quota, RateLimited, TooLarge, Unavailable, Unsupported};
    [RateLimited, Quota, TooLarge, Unsupported]
        .into_iter()
        .find(|kind| kind.as_str() == code)
        .unwrap_or(Unavailable)
}

/// An object that JavaScript refers to by a number.
pub(super) enum Kept {
    /// The isolate's memory for one connector.
    Isolate(Isolate),
    Config(Rc<JsConfig>),
    Handle(Box<Handle>),
    /// In use by the current call.
    Away,
}

/// The kept objects, by numbers from 1. Numbers are reused.
pub(super) struct Slab {
    pub(super) entries: Vec<Option<Kept>>,
    pub(super) free: Vec<u32>,
}

impl Slab {
    pub(super) fn insert(&mut self, entry: Kept) -> u32 {
        if let Some(number) = self.free.pop() {
            self.put(number, entry);
            return number;
        }
        self.entries.push(Some(entry));
        self.entries.len() as u32
    }

    pub(super) fn place(&mut self, number: u32) -> Option<&mut Option<Kept>> {
        self.entries.get_mut((number as usize).checked_sub(1)?)
    }

    pub(super) fn put(&mut self, number: u32, entry: Kept) {
        if let Some(place) = self.place(number) {
            *place = Some(entry);
        }
    }

    /// Takes the object with this number. [`put`](Self::put) puts it back.
    pub(super) fn take(&mut self, number: u32) -> Option<Kept> {
        self.place(number)?
            .as_mut()
            .map(|entry| std::mem::replace(entry, Kept::Away))
    }

    pub(super) fn remove(&mut self, number: u32) -> Option<Kept> {
        let entry = self.place(number)?.take()?;
        self.free.push(number);
        Some(entry)
    }

    pub(super) fn timing(&self, number: u32) -> Option<Rc<Timing>> {
        match self.entries.get((number as usize).checked_sub(1)?)? {
            Some(Kept::Handle(handle)) => handle.timing(),
            _ => None,
        }
    }

    pub(super) fn config(&self, number: u32) -> Option<Rc<JsConfig>> {
        match self.entries.get((number as usize).checked_sub(1)?)? {
            Some(Kept::Config(config)) => Some(Rc::clone(config)),
            _ => None,
        }
    }
}

thread_local! {
    pub(super) static KEPT: RefCell<Slab> = const { RefCell::new(Slab { entries: Vec::new(), free: Vec::new() }) };
}
