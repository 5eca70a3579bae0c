//! Storage by JavaScript: Workers KV or a connector of the application's, behind the port that
//! `js/connector.js` makes of either.

use std::fmt;
use std::rc::Rc;

use futures_util::future::LocalBoxFuture;
use js_sys::Reflect;
use wasm_bindgen::prelude::*;

use crate::face::connector::kv::rules as kv_rules;
use crate::face::fetch::{FetchContext, FetchRequest};
use crate::port::connector::{
    ConnectorError, ConnectorErrorKind, ListedKey, Page, PutOptions, ReadOptions, SessionConnector,
};
use crate::port::error::SessionError;
use crate::port::wait_until::WaitUntil;

use super::record;
use super::tasks::{self, Reply};

#[wasm_bindgen]
extern "C" {
    /// Made by `js/connector.js`. Each operation begins at once and is answered by calls of
    /// `js/tasks.js`. Everything catches: an exception that passed through wasm would end the
    /// instance.
    pub type Port;

    /// True where Workers KV is behind it, whose rules are kept here.
    #[wasm_bindgen(method, getter, js_name = isKv)]
    fn is_kv(this: &Port) -> bool;

    /// What kind of store it is.
    #[wasm_bindgen(method, getter)]
    fn kind(this: &Port) -> String;

    /// Keys, a line each; answered by a text or an absence for each.
    #[wasm_bindgen(method, catch)]
    fn read(this: &Port, reply: u32, keys: &str, cache_ttl: Option<u32>) -> Result<(), JsValue>;

    #[wasm_bindgen(method, catch)]
    fn put(
        this: &Port,
        reply: u32,
        key: &str,
        value: &str,
        ttl: Option<u32>,
        metadata: Option<&str>,
    ) -> Result<(), JsValue>;

    #[wasm_bindgen(method, catch)]
    fn delete(this: &Port, reply: u32, key: &str) -> Result<(), JsValue>;

    /// Answered by a cursor or its absence, then name and metadata by turns.
    #[wasm_bindgen(method, catch)]
    fn list(this: &Port, reply: u32, prefix: &str, cursor: Option<&str>) -> Result<(), JsValue>;

    /// Answered after so many milliseconds.
    #[wasm_bindgen(method, catch)]
    fn sleep(this: &Port, reply: u32, milliseconds: u32) -> Result<(), JsValue>;

    /// A country and a user agent, a line each, empty where it is not known.
    #[wasm_bindgen(method, catch)]
    fn sender(this: &Port, request: &FetchRequest) -> Result<String, JsValue>;

    /// What a task came to: its value, or an error record.
    #[wasm_bindgen(method, catch)]
    fn finished(this: &Port, task: u32, value: JsValue, failed: bool) -> Result<(), JsValue>;

    /// Registers a task with a handler's context: one that nobody else waits for.
    #[wasm_bindgen(method, catch, js_name = waitUntil)]
    fn wait_until(this: &Port, context: &FetchContext, task: u32) -> Result<(), JsValue>;

    /// Registers the step that `task` is, which its caller waits for.
    #[wasm_bindgen(method, catch, js_name = holdUntil)]
    fn hold_until(this: &Port, context: &FetchContext, task: u32) -> Result<(), JsValue>;
}

/// Who sends a request, as far as its head tells.
pub(super) struct Sender {
    pub(super) place: Option<String>,
    pub(super) user_agent: Option<String>,
}

/// A [`SessionConnector`] that is JavaScript.
pub(super) struct JsConnector {
    port: Port,
    is_kv: bool,
    kind: String,
}

impl JsConnector {
    pub(super) fn new(port: Port) -> Self {
        let (is_kv, kind) = (port.is_kv(), port.kind());
        Self { port, is_kv, kind }
    }

    /// Starts `future`: what needs no storage is done at once, anything else gives the number of
    /// its task, which `finished` tells the end of.
    pub(super) fn start(
        self: &Rc<Self>,
        future: LocalBoxFuture<'static, Result<JsValue, SessionError>>,
    ) -> Result<JsValue, JsValue> {
        let connector = Rc::clone(self);
        let started = tasks::start(future, |task, future| {
            Box::pin(async move {
                let (value, failed) = match future.await {
                    Ok(value) => (value, false),
                    Err(error) => (record(&error), true),
                };
                // It throws nothing of its own.
                let _ = connector.port.finished(task, value, failed);
            })
        });
        match started {
            Ok(done) => done.map_err(|error| record(&error)),
            Err(task) => Ok(task.into()),
        }
    }

    /// The `waitUntil` of a handler's context.
    pub(super) fn wait_until(self: &Rc<Self>, context: FetchContext) -> Rc<dyn WaitUntil> {
        Rc::new(Waiting {
            connector: Rc::clone(self),
            context,
        })
    }

    /// Where `request` comes from and by what, asked for in one go: each save keeps both.
    pub(super) fn sender(&self, request: &FetchRequest) -> Sender {
        let known = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        // What cannot be read counts as absent.
        let told = self.port.sender(request).unwrap_or_default();
        let (place, user_agent) = told.split_once('\n').unwrap_or_default();
        Sender {
            place: known(place),
            user_agent: known(user_agent),
        }
    }

    pub(super) async fn sleep(&self, milliseconds: u32) {
        // A runtime without timers: on at once, rather than never.
        let _ = self
            .answer(|port, reply| port.sleep(reply, milliseconds))
            .await;
    }

    async fn answer(
        &self,
        ask: impl FnOnce(&Port, u32) -> Result<(), JsValue>,
    ) -> Result<Vec<Option<String>>, ConnectorError> {
        let reply = Reply::new();
        let answer = match ask(&self.port, reply.id()) {
            Ok(()) => reply.await,
            Err(thrown) => Err(thrown),
        };
        answer.map_err(|thrown| self.failure(thrown))
    }

    #[cold]
    fn failure(&self, thrown: JsValue) -> ConnectorError {
        let message = text_of(&thrown, "message")
            .or_else(|| thrown.as_string())
            .unwrap_or_else(|| "the connector threw something that is not an Error".to_owned());
        let kind = if self.is_kv {
            kv_rules::classify(&message)
        } else {
            kind_of(text_of(&thrown, "code").as_deref())
        };
        ConnectorError::new(kind, message).with_source(Cause(thrown))
    }
}

struct Waiting {
    connector: Rc<JsConnector>,
    context: FetchContext,
}

// What the context refuses, after the request's end, runs for as long as it may.
impl WaitUntil for Waiting {
    fn leave(&self, work: LocalBoxFuture<'static, ()>) {
        let connector = Rc::clone(&self.connector);
        tasks::spawn(|task| {
            let _ = connector.port.wait_until(&self.context, task);
            Box::pin(async move {
                work.await;
                let _ = connector.port.finished(task, JsValue::UNDEFINED, false);
            })
        });
    }

    /// The step itself is registered: it is never dropped before its end, so that the work needs
    /// no life of its own.
    fn share(&self, work: LocalBoxFuture<'static, ()>) -> LocalBoxFuture<'static, ()> {
        if let Some(step) = tasks::current() {
            let _ = self.connector.port.hold_until(&self.context, step);
        }
        work
    }
}

impl SessionConnector for JsConnector {
    fn kind(&self) -> &str {
        &self.kind
    }

    fn read<'a>(
        &'a self,
        keys: &'a [&'a str],
        options: ReadOptions,
    ) -> LocalBoxFuture<'a, Result<Vec<Option<String>>, ConnectorError>> {
        Box::pin(async move {
            let mut cache_ttl = options.cache_ttl;
            if self.is_kv {
                cache_ttl = cache_ttl.map(kv_rules::cache_ttl);
            }
            self.answer(|port, reply| port.read(reply, &keys.join("\n"), cache_ttl))
                .await
        })
    }

    fn put<'a>(
        &'a self,
        key: &'a str,
        value: &'a str,
        options: PutOptions,
    ) -> LocalBoxFuture<'a, Result<(), ConnectorError>> {
        Box::pin(async move {
            let PutOptions { mut ttl, metadata } = options;
            if self.is_kv {
                ttl = ttl.map(kv_rules::expiration_ttl);
            }
            self.answer(|port, reply| port.put(reply, key, value, ttl, metadata.as_deref()))
                .await
                .map(drop)
        })
    }

    fn delete<'a>(&'a self, key: &'a str) -> LocalBoxFuture<'a, Result<(), ConnectorError>> {
        Box::pin(async move {
            self.answer(|port, reply| port.delete(reply, key))
                .await
                .map(drop)
        })
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        cursor: Option<&'a str>,
    ) -> LocalBoxFuture<'a, Result<Page, ConnectorError>> {
        Box::pin(async move {
            let mut flat = self
                .answer(|port, reply| port.list(reply, prefix, cursor))
                .await?
                .into_iter();
            let cursor = flat.next().flatten();
            let mut keys = Vec::new();
            while let Some(name) = flat.next() {
                let name =
                    name.ok_or_else(|| unexpected("list answered with a key without a name"))?;
                let metadata = flat.next().flatten();
                keys.push(ListedKey { name, metadata });
            }
            Ok(Page { keys, cursor })
        })
    }
}

/// What was thrown behind an error: the object itself.
pub(super) struct Cause(JsValue);

impl Cause {
    pub(super) fn of(error: &ConnectorError) -> Option<JsValue> {
        let source = std::error::Error::source(error)?;
        Some(source.downcast_ref::<Self>()?.0.clone())
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an error of JavaScript")
    }
}

impl fmt::Debug for Cause {
    /// Nothing of it: what JavaScript would print belongs into no log of ours.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Cause")
    }
}

impl std::error::Error for Cause {}

/// The text of a property. A getter of an exotic error may itself throw.
fn text_of(thrown: &JsValue, name: &str) -> Option<String> {
    Reflect::get(thrown, &JsValue::from_str(name))
        .ok()?
        .as_string()
}

fn kind_of(code: Option<&str>) -> ConnectorErrorKind {
    use ConnectorErrorKind::{Quota, RateLimited, TooLarge, Unavailable, Unsupported};
    [RateLimited, Quota, TooLarge, Unsupported]
        .into_iter()
        .find(|kind| Some(kind.as_str()) == code)
        .unwrap_or(Unavailable)
}

#[cold]
fn unexpected(message: &str) -> ConnectorError {
    ConnectorError::new(ConnectorErrorKind::Unavailable, message)
}
