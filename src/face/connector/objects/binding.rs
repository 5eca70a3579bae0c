//! The calls on a namespace of Durable Objects of `env`.

use std::fmt;

use futures_util::future::LocalBoxFuture;
use js_sys::{Function, Object};
use wasm_bindgen::prelude::*;

use super::wire;
use crate::face::connector::calls::{JsCause, object, property, settle};
use crate::port::connector::{ConnectorError, ConnectorErrorKind, Page};
use crate::port::error::{ErrorCode, SessionError};
use crate::port::strong::{Check, Row, StrongConnector, Transacted, Write};
use crate::protocol::settings::Settings;

// Our own bindings instead of those of the crate `worker`, as for KV: every function catches
// exceptions.
#[wasm_bindgen]
extern "C" {
    /// A `DurableObjectNamespace`
    /// (<https://developers.cloudflare.com/durable-objects/api/namespace/>).
    #[derive(Clone)]
    type ObjectNamespace;

    #[wasm_bindgen(method, catch, js_name = idFromName)]
    fn id_from_name(this: &ObjectNamespace, name: &str) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(method, catch)]
    fn get(this: &ObjectNamespace, id: &JsValue, options: &JsValue) -> Result<ObjectStub, JsValue>;

    #[wasm_bindgen(method, catch)]
    fn jurisdiction(this: &ObjectNamespace, name: &str) -> Result<ObjectNamespace, JsValue>;

    /// A `DurableObjectStub`.
    type ObjectStub;

    #[wasm_bindgen(method, catch)]
    fn fetch(this: &ObjectStub, url: &str, init: &Object) -> Result<JsValue, JsValue>;

    /// A `Response`.
    type ObjectResponse;

    #[wasm_bindgen(method, catch, getter)]
    fn status(this: &ObjectResponse) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(method, catch)]
    fn text(this: &ObjectResponse) -> Result<JsValue, JsValue>;
}

/// Where objects are to be.
pub(crate) struct ObjectPlace<'a> {
    location_hint: &'a str,
    jurisdiction: &'a str,
}

impl<'a> ObjectPlace<'a> {
    pub(crate) fn of(settings: &'a Settings) -> Self {
        Self {
            location_hint: settings.location_hint(),
            jurisdiction: settings.jurisdiction(),
        }
    }
}

/// A [`StrongConnector`] on Durable Objects of the class `SessionObject`, which
/// `edge_session::session_object!()` defines.
///
/// `Sessions::from_env` makes one where `SESSION_STORAGE` is `durable_object`. Each call makes a stub
/// of its own, because one that has failed may keep failing.
///
/// ```no_run
/// use edge_session::connector::ObjectConnector;
/// use edge_session::{SecretRing, SessionError, Sessions, Settings};
///
/// fn sessions(env: &worker::Env, secret: &str) -> Result<Sessions, SessionError> {
///     let settings = Settings::default();
///     let connector = ObjectConnector::from_binding(env.as_ref(), "SESSION_OBJECTS", &settings)?;
///     Sessions::strong(connector, SecretRing::parse(secret)?, settings)
/// }
/// ```
#[derive(Clone)]
pub struct ObjectConnector {
    namespace: ObjectNamespace,
    /// `{ locationHint }`, or undefined.
    options: JsValue,
}

impl ObjectConnector {
    /// A connector on the binding `name` of a Worker's `env`, with the location hint and the
    /// jurisdiction of `settings`.
    ///
    /// ```no_run
    /// use edge_session::connector::ObjectConnector;
    /// use edge_session::{SessionError, Settings, Storage};
    ///
    /// fn in_europe(env: &worker::Env) -> Result<ObjectConnector, SessionError> {
    ///     let settings = Settings::default()
    ///         .with_storage(Storage::DurableObject)
    ///         .with_jurisdiction("eu");
    ///     ObjectConnector::from_binding(env.as_ref(), "SESSION_OBJECTS", &settings)
    /// }
    /// ```
    ///
    /// # Errors
    /// [`ErrorCode::MissingBinding`], with `name` in its message, if `env` has no namespace of Durable
    /// Objects of that name; `config` if the runtime refuses the jurisdiction.
    pub fn from_binding(
        env: &JsValue,
        name: &str,
        settings: &Settings,
    ) -> Result<Self, SessionError> {
        Self::from_env(env, name, &ObjectPlace::of(settings))
    }

    pub(crate) fn from_env(
        env: &JsValue,
        name: &str,
        place: &ObjectPlace<'_>,
    ) -> Result<Self, SessionError> {
        // `env` may be anything: without this property, the binding is missing.
        let value = property(env, name).unwrap_or(JsValue::UNDEFINED);
        if value.is_undefined() || value.is_null() {
            return Err(missing(format!(
                "{name} is not bound: SESSION_STORAGE is durable_object, so bind the Durable Object \
                 class SessionObject under that name"
            )));
        }
        let is_namespace = ["idFromName", "get"].into_iter().all(|method| {
            property(&value, method).is_ok_and(|value| value.is_instance_of::<Function>())
        });
        if !is_namespace {
            return Err(missing(format!(
                "{name} is bound, but not to a Durable Object class: it has no method idFromName"
            )));
        }
        let namespace: ObjectNamespace = value.unchecked_into();
        let namespace = match place.jurisdiction {
            "" => namespace,
            // The same name is another object in each jurisdiction, and without one.
            jurisdiction => namespace.jurisdiction(jurisdiction).map_err(|thrown| {
                SessionError::config(format!(
                    "SESSION_JURISDICTION: the runtime refuses \"{jurisdiction}\": {}",
                    JsCause::new(thrown)
                ))
            })?,
        };
        let options = match place.location_hint {
            "" => JsValue::UNDEFINED,
            hint => object(&[("locationHint", hint.into())])
                .map_err(|thrown| SessionError::from(failure(thrown)))?
                .into(),
        };
        Ok(Self { namespace, options })
    }

    /// Sends a request to the object of `shard`. Gives the text of its answer.
    async fn ask(
        &self,
        shard: &str,
        operation: &str,
        body: &str,
    ) -> Result<String, ConnectorError> {
        let (status, answer) = self.fetch(shard, operation, body).await.map_err(failure)?;
        if (200..300).contains(&status) {
            return Ok(answer);
        }
        Err(match wire::refusal(&answer) {
            Some((code, message)) => ConnectorError::new(
                wire::kind_of(&code).unwrap_or(ConnectorErrorKind::Unavailable),
                format!("the Durable Object refused {operation}: {message}"),
            ),
            None => unexpected(operation),
        })
    }

    async fn fetch(
        &self,
        shard: &str,
        operation: &str,
        body: &str,
    ) -> Result<(u16, String), JsValue> {
        let id = self.namespace.id_from_name(shard)?;
        let stub = self.namespace.get(&id, &self.options)?;
        let init = object(&[("method", "POST".into()), ("body", body.into())])?;
        let url = format!("https://object/v1/{operation}");
        let response: ObjectResponse = settle(stub.fetch(&url, &init)).await?.unchecked_into();
        let status = response.status()?.as_f64().unwrap_or_default();
        let text = settle(response.text()).await?;
        Ok((status as u16, text.as_string().unwrap_or_default()))
    }
}

impl fmt::Debug for ObjectConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ObjectConnector")
    }
}

impl StrongConnector for ObjectConnector {
    fn kind(&self) -> &str {
        "durable_object"
    }

    fn read<'a>(
        &'a self,
        shard: &'a str,
        keys: &'a [&'a str],
    ) -> LocalBoxFuture<'a, Result<Vec<Option<Row>>, ConnectorError>> {
        Box::pin(async move {
            let answer = self
                .ask(shard, "read", &wire::read(keys.iter().copied()))
                .await?;
            wire::read_answer(&answer, keys.len()).ok_or_else(|| unexpected("read"))
        })
    }

    fn transact<'a>(
        &'a self,
        shard: &'a str,
        checks: &'a [Check<'a>],
        writes: &'a [Write<'a>],
    ) -> LocalBoxFuture<'a, Result<Transacted, ConnectorError>> {
        Box::pin(async move {
            let body = wire::transact(checks, writes);
            let answer = self.ask(shard, "transact", &body).await?;
            wire::transact_answer(&answer, checks.len()).ok_or_else(|| unexpected("transact"))
        })
    }

    fn list<'a>(
        &'a self,
        shard: &'a str,
        prefix: &'a str,
        cursor: Option<&'a str>,
    ) -> LocalBoxFuture<'a, Result<Page, ConnectorError>> {
        Box::pin(async move {
            let answer = self.ask(shard, "list", &wire::list(prefix, cursor)).await?;
            wire::list_answer(&answer).ok_or_else(|| unexpected("list"))
        })
    }
}

#[cold]
fn missing(message: String) -> SessionError {
    SessionError::new(ErrorCode::MissingBinding, message)
}

/// Nothing is known about what became of a call that threw, except where the object was overloaded.
#[cold]
fn failure(thrown: JsValue) -> ConnectorError {
    let is_overloaded = property(&thrown, "overloaded").is_ok_and(|it| it == JsValue::TRUE);
    let kind = if is_overloaded {
        ConnectorErrorKind::RateLimited
    } else {
        ConnectorErrorKind::Unavailable
    };
    let cause = JsCause::new(thrown);
    ConnectorError::new(kind, cause.to_string()).with_source(cause)
}

#[cold]
fn unexpected(operation: &str) -> ConnectorError {
    ConnectorError::new(
        ConnectorErrorKind::Unavailable,
        format!(
            "the Durable Object gave an unexpected answer to {operation}: check that its class is \
             SessionObject"
        ),
    )
}
