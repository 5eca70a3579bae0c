//! What the npm package's JavaScript (`js/`) calls: one crossing for each step of a session's life.
//!
//! The dictionary is JavaScript's; the rules are here. JavaScript gets the stored texts once, keeps
//! values and changes, and hands the changes back before a save, as one text (`wire.rs`).
//!
//! A step that waits for storage takes the session out of its handle, so that nothing is borrowed
//! meanwhile; JavaScript lets the steps of one session follow each other.

mod connector;
mod tasks;
#[cfg(test)]
mod tests;
mod wire;

use std::cell::{OnceCell, RefCell};
use std::rc::Rc;

use futures_util::future::LocalBoxFuture;
use js_sys::{Array, Function};
use wasm_bindgen::prelude::*;

use crate::face::fetch::{FetchContext, FetchRequest};
use crate::face::sessions::Sessions;
use crate::face::store::SessionStore;
use crate::flow::isolate::Isolate;
use crate::flow::load::Freshness;
use crate::port::connector::SessionConnector;
use crate::port::error::{ErrorCode, SessionError};
use crate::port::events::{ConsoleEvents, Event, EventSink};
use crate::port::runtime::{PlatformRuntime, Runtime};
use crate::protocol::expiry::Expiry;
use crate::protocol::keys::Token;
use crate::protocol::settings::Settings;
use crate::protocol::wire::encode_text;
use crate::session::presented::RequestHead;

use connector::{Cause, JsConnector, Port, Sender};
use wire::Facts;

/// What the isolate remembers of one connector's sessions, under bounds that all of them share.
#[wasm_bindgen]
pub struct Memory(Isolate);

#[wasm_bindgen]
impl Memory {
    /// Nothing yet.
    #[wasm_bindgen(constructor)]
    pub fn new() -> Self {
        Self(Isolate::current().apart())
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::new()
    }
}

/// Sessions of one configuration.
#[wasm_bindgen]
pub struct Realm {
    sessions: Sessions,
    connector: Rc<JsConnector>,
}

#[wasm_bindgen]
impl Realm {
    /// Sessions kept by `port`. `settings` holds names and texts by turns: of options, or of
    /// variables where `variables` is true.
    ///
    /// # Errors
    /// `config`, as a record for `js/errors.js`.
    #[wasm_bindgen(constructor)]
    pub fn new(
        port: Port,
        memory: &Memory,
        secret: &str,
        settings: Vec<String>,
        variables: bool,
        clock: Option<Clock>,
    ) -> Result<Self, JsValue> {
        Self::build(port, memory, secret, &settings, variables, clock)
            .map_err(|error| record(&error))
    }

    fn build(
        port: Port,
        memory: &Memory,
        secret: &str,
        settings: &[String],
        variables: bool,
        clock: Option<Clock>,
    ) -> Result<Self, SessionError> {
        let pairs = settings.chunks_exact(2).map(|pair| (&pair[0], &pair[1]));
        let settings = if variables {
            Settings::from_vars(pairs)
        } else {
            Settings::from_options(pairs)
        }?;
        let connector = Rc::new(JsConnector::new(port));
        let storage: Rc<dyn SessionConnector> = connector.clone();
        let runtime = Rc::new(JsRuntime {
            clock,
            connector: Rc::clone(&connector),
        });
        let secrets = memory.0.ring(secret)?;
        let sessions = Sessions::with_runtime(storage, secrets, settings, runtime)?;
        let sessions = sessions.with_isolate(&memory.0, "");
        let events = sessions.settings().events();
        Ok(Self {
            sessions: if events {
                sessions.with_events(ConsoleEvents)
            } else {
                sessions
            },
            connector,
        })
    }

    /// What JavaScript has to know of the settings, as JSON.
    pub fn facts(&self) -> String {
        wire::settings(self.sessions.settings())
    }

    /// As [`Sessions::stats`], as JSON.
    pub fn stats(&self) -> String {
        wire::stats(&self.sessions.stats())
    }

    /// As [`Sessions::list`], flat: key, created, last written, user agent and place by turns.
    ///
    /// # Errors
    /// As an error record.
    pub fn list(&self, owner: String) -> Outcome {
        let sessions = self.sessions.clone();
        self.start(async move {
            let flat = Array::new();
            for session in sessions.list(&owner).await? {
                flat.push(&session.key.into());
                flat.push(&JsValue::from_f64(session.created as f64));
                flat.push(&JsValue::from_f64(session.last_written as f64));
                flat.push(&session.user_agent.into());
                flat.push(&session.place.into());
            }
            Ok(flat.into())
        })
    }

    /// As [`Sessions::revoke`].
    ///
    /// # Errors
    /// As an error record.
    pub fn revoke(&self, owner: String, key: String) -> Outcome {
        let sessions = self.sessions.clone();
        self.start(async move {
            sessions.revoke(&owner, &key).await?;
            Ok(JsValue::UNDEFINED)
        })
    }

    /// As [`Sessions::revoke_all`].
    ///
    /// # Errors
    /// As an error record.
    #[wasm_bindgen(js_name = revokeAll)]
    pub fn revoke_all(&self, owner: String, except: Option<String>) -> Outcome {
        let sessions = self.sessions.clone();
        self.start(async move {
            sessions.revoke_all(&owner, except.as_deref()).await?;
            Ok(JsValue::UNDEFINED)
        })
    }

    /// The session that a Cookie header presents, unloaded. `sink` takes its events, each as a
    /// line of JSON.
    pub fn open(
        &self,
        cookie: Option<String>,
        request: Option<FetchRequest>,
        context: Option<FetchContext>,
        sink: Option<Function>,
    ) -> Handle {
        let mut sessions = self.sessions.clone();
        if let Some(sink) = sink {
            sessions = sessions.with_events(JsEvents(sink));
        }
        // JavaScript counts its requests: not each of them comes here.
        let mut store = sessions.open_uncounted(Head {
            cookie,
            request,
            connector: Rc::clone(&self.connector),
            sender: OnceCell::new(),
        });
        store.wait_until = context.map(|context| self.connector.wait_until(context));
        Handle(Rc::new(Slot {
            connector: Rc::clone(&self.connector),
            store: RefCell::new(Some(store)),
            facts: RefCell::default(),
        }))
    }
}

impl Realm {
    fn start(
        &self,
        step: impl Future<Output = Result<JsValue, SessionError>> + 'static,
    ) -> Outcome {
        self.connector.start(Box::pin(step))
    }
}

/// One session in one request.
#[wasm_bindgen]
pub struct Handle(Rc<Slot>);

struct Slot {
    connector: Rc<JsConnector>,
    /// Empty while a step is under way.
    store: RefCell<Option<SessionStore>>,
    /// What was known when that step began.
    facts: RefCell<Option<Facts>>,
}

type Outcome = Result<JsValue, JsValue>;

// Steps answer at once where nothing has to be waited for, otherwise with the number of a task.
#[wasm_bindgen]
impl Handle {
    /// Loads: the [state](Self::state), or an error record where the load cannot be trusted.
    ///
    /// # Errors
    /// None but those of a handle in use.
    pub fn load(&self, fresh: bool) -> Outcome {
        self.step(async move |store| {
            let freshness = if fresh {
                Freshness::Shortest
            } else {
                Freshness::Memory
            };
            // Who has looked at what is known on the other side.
            Ok(match store.load_unseen(freshness).await {
                Ok(_) => wire::state(store).into(),
                Err(error) => record(&error),
            })
        })
    }

    /// Applies `changes` and saves.
    ///
    /// # Errors
    /// As [`SessionStore::save`], as an error record.
    pub fn save(&self, changes: String) -> Outcome {
        self.step(async move |store| {
            wire::apply(store, &changes)?;
            store.save().await?;
            Ok(JsValue::UNDEFINED)
        })
    }

    /// Applies `changes` and commits: the [headers](Self::done).
    ///
    /// # Errors
    /// What the save failed with, as an error record.
    pub fn commit(&self, changes: String, status: u16, context: Option<FetchContext>) -> Outcome {
        let wait_until = context.map(|context| self.0.connector.wait_until(context));
        self.step(async move |store| {
            if wait_until.is_some() {
                store.wait_until = wait_until;
            }
            // Refused or not, the session is closed with this.
            let applied = wire::apply(store, &changes);
            let committed = store
                .commit(if applied.is_ok() { status } else { 500 })
                .await;
            applied?;
            committed.map(|headers| wire::committed(&headers, store).into())
        })
    }

    /// As [`SessionStore::destroy`].
    ///
    /// # Errors
    /// As an error record.
    pub fn destroy(&self) -> Outcome {
        self.step(async move |store| store.destroy().await.map(|()| JsValue::UNDEFINED))
    }

    /// As [`SessionStore::flush`].
    ///
    /// # Errors
    /// As an error record.
    pub fn flush(&self, keep: Vec<String>) -> Outcome {
        self.step(async move |store| store.flush(keep).await.map(|()| JsValue::UNDEFINED))
    }

    /// As [`SessionStore::exists`].
    ///
    /// # Errors
    /// As an error record.
    pub fn exists(&self, key: Option<String>) -> Outcome {
        self.step(async move |store| store.exists(key.as_deref()).await.map(JsValue::from_bool))
    }

    /// As [`SessionStore::delete`].
    ///
    /// # Errors
    /// As an error record.
    pub fn delete(&self, key: Option<String>) -> Outcome {
        self.step(async move |store| {
            store
                .delete(key.as_deref())
                .await
                .map(|()| JsValue::UNDEFINED)
        })
    }

    /// As [`SessionStore::create`].
    ///
    /// # Errors
    /// As an error record.
    pub fn create(&self, changes: &str) -> Result<(), JsValue> {
        self.change(changes, SessionStore::create)
    }

    /// As [`SessionStore::cycle_key`].
    ///
    /// # Errors
    /// As an error record.
    #[wasm_bindgen(js_name = cycleKey)]
    pub fn cycle_key(&self) -> Result<(), JsValue> {
        self.change("", SessionStore::cycle_key)
    }

    /// As [`SessionStore::bind`].
    ///
    /// # Errors
    /// As an error record.
    pub fn bind(&self, changes: &str, owner: &str, keep: bool) -> Result<(), JsValue> {
        self.change(changes, |store| store.bind(owner, keep))
    }

    /// As [`SessionStore::set_expiry`]: `kind` is `after`, `at` (milliseconds), `idle` or
    /// `default`.
    ///
    /// # Errors
    /// As an error record.
    #[wasm_bindgen(js_name = setExpiry)]
    pub fn set_expiry(&self, kind: &str, value: f64) -> Result<(), JsValue> {
        let expiry = match kind {
            "after" => Expiry::after_seconds(value),
            // A Date holds whole milliseconds.
            "at" => Some(Expiry::At(value as i64)),
            "idle" => Expiry::idle_seconds(value),
            _ => Some(Expiry::Default),
        };
        self.change("", |store| {
            // JavaScript has refused what is not a number.
            let expiry =
                expiry.ok_or_else(|| SessionError::invalid("the expiry is not a number"))?;
            store.set_expiry(expiry)
        })
    }

    /// As [`SessionStore::csrf_token`].
    ///
    /// # Errors
    /// As an error record.
    #[wasm_bindgen(js_name = csrfToken)]
    pub fn csrf_token(&self, changes: &str) -> Result<String, JsValue> {
        let mut token = String::new();
        self.change(changes, |store| {
            token = store.csrf_token()?;
            Ok(())
        })?;
        Ok(token)
    }

    /// As [`SessionStore::verify_csrf`].
    ///
    /// # Errors
    /// As an error record.
    #[wasm_bindgen(js_name = verifyCsrf)]
    pub fn verify_csrf(&self, token: &str) -> Result<(), JsValue> {
        self.see(|store| store.verify_csrf(token))?
            .map_err(|error| record(&error))
    }

    /// As [`SessionStore::set_modified`].
    ///
    /// # Errors
    /// As an error record.
    #[wasm_bindgen(js_name = setModified)]
    pub fn set_modified(&self, changes: &str, modified: bool) -> Result<(), JsValue> {
        self.change(changes, |store| store.set_modified(modified))
    }

    /// Applies `changes`.
    ///
    /// # Errors
    /// As an error record.
    pub fn apply(&self, changes: &str) -> Result<(), JsValue> {
        self.change(changes, |_| Ok(()))
    }

    /// Where the session stands, with its texts.
    ///
    /// # Errors
    /// Of a handle in use.
    pub fn state(&self) -> Result<String, JsValue> {
        self.see(wire::state)
    }

    /// What is known of the session, as JSON; while a step is under way, what was known before.
    pub fn facts(&self) -> String {
        match &*self.0.store.borrow() {
            Some(store) => Facts::of(store).to_json(),
            None => self
                .0
                .facts
                .borrow()
                .as_ref()
                .map(Facts::to_json)
                .unwrap_or_default(),
        }
    }

    /// The headers for what was done already.
    ///
    /// # Errors
    /// Of a handle in use.
    pub fn done(&self) -> Result<String, JsValue> {
        self.see(|store| wire::committed(&store.done_headers(), store))
    }
}

impl Handle {
    fn see<T>(&self, look: impl FnOnce(&SessionStore) -> T) -> Result<T, JsValue> {
        self.0.store.borrow().as_ref().map(look).ok_or_else(in_use)
    }

    fn change(
        &self,
        changes: &str,
        change: impl FnOnce(&mut SessionStore) -> Result<(), SessionError>,
    ) -> Result<(), JsValue> {
        let mut store = self.0.store.borrow_mut();
        let store = store.as_mut().ok_or_else(in_use)?;
        wire::apply(store, changes)
            .and_then(|()| change(store))
            .map_err(|error| record(&error))
    }

    fn step<S>(&self, step: S) -> Outcome
    where
        S: AsyncFnOnce(&mut SessionStore) -> Result<JsValue, SessionError> + 'static,
    {
        let mut store = self.0.store.borrow_mut().take().ok_or_else(in_use)?;
        *self.0.facts.borrow_mut() = Some(Facts::of(&store));
        let slot = Rc::clone(&self.0);
        self.0.connector.start(Box::pin(async move {
            let result = step(&mut store).await;
            *slot.store.borrow_mut() = Some(store);
            result
        }))
    }
}

/// Every error code with its HTTP status, `Retry-After` and whether it is a refusal, as JSON.
#[wasm_bindgen(js_name = errorCodes)]
pub fn error_codes() -> String {
    wire::error_codes()
}

/// As [`SessionStore::generate_session_id`].
///
/// # Errors
/// `not_ready`, as an error record.
#[wasm_bindgen(js_name = generateSessionId)]
pub fn generate_session_id() -> Result<String, JsValue> {
    Token::random(&PlatformRuntime)
        .map(|token| encode_text(token.bytes()))
        .map_err(|error| record(&error))
}

/// The request that a session belongs to, its Cookie header read already.
struct Head {
    cookie: Option<String>,
    request: Option<FetchRequest>,
    connector: Rc<JsConnector>,
    sender: OnceCell<Sender>,
}

impl Head {
    fn sender(&self) -> Option<&Sender> {
        let request = self.request.as_ref()?;
        Some(self.sender.get_or_init(|| self.connector.sender(request)))
    }
}

impl RequestHead for Head {
    fn header(&self, name: &str) -> Option<String> {
        match name {
            "cookie" => self.cookie.clone(),
            "user-agent" => self.sender()?.user_agent.clone(),
            _ => self.request.as_ref()?.header(name),
        }
    }

    fn method(&self) -> String {
        match &self.request {
            Some(request) => request.method(),
            None => "GET".to_owned(),
        }
    }

    fn place(&self) -> Option<String> {
        self.sender()?.place.clone()
    }
}

/// A function of the application's that is told what happens to sessions.
struct JsEvents(Function);

impl EventSink for JsEvents {
    fn event(&self, event: &Event) {
        // What it throws is caught, and told, on the other side.
        let _ = self.0.call1(&JsValue::UNDEFINED, &event.to_json().into());
    }
}

#[wasm_bindgen]
extern "C" {
    /// A clock of the application's: `{ now() }`, in milliseconds.
    pub type Clock;

    #[wasm_bindgen(method, catch)]
    fn now(this: &Clock) -> Result<f64, JsValue>;
}

/// The platform, where JavaScript answers, with a clock of the application's if it has one.
struct JsRuntime {
    clock: Option<Clock>,
    connector: Rc<JsConnector>,
}

impl Runtime for JsRuntime {
    fn now(&self) -> i64 {
        match &self.clock {
            // It may be moved at any time. One that fails, or shows what is not a number, was refused
            // when the session was opened; a session must not live for ever by it.
            Some(clock) => clock
                .now()
                .ok()
                .filter(|now| now.is_finite())
                .map_or_else(|| PlatformRuntime.now(), |now| now as i64),
            None => tasks::now(|| PlatformRuntime.now()),
        }
    }

    fn fill_random(&self, out: &mut [u8]) -> Result<(), SessionError> {
        PlatformRuntime.fill_random(out)
    }

    fn sleep(&self, milliseconds: u32) -> LocalBoxFuture<'static, ()> {
        let connector = Rc::clone(&self.connector);
        Box::pin(async move { connector.sleep(milliseconds).await })
    }
}

/// What `js/errors.js` makes an error of: code, message, cause.
#[cold]
fn record(error: &SessionError) -> JsValue {
    let cause = error.connector_error().and_then(Cause::of);
    Array::of3(
        &JsValue::from_str(error.code().as_str()),
        &JsValue::from_str(error.message()),
        &cause.unwrap_or(JsValue::UNDEFINED),
    )
    .into()
}

#[cold]
fn in_use() -> JsValue {
    record(&SessionError::new(
        ErrorCode::Unavailable,
        "another step of this session is under way",
    ))
}
