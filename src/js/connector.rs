//! Storage by JavaScript: Workers KV or a connector of the application's, behind the port that
//! `js/connector.js` makes of either.

use std::fmt;

use futures_util::future::LocalBoxFuture;
use js_sys::{Array, Promise, Reflect};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

use crate::connector::{
    ConnectorError, ConnectorErrorKind, ListedKey, Page, PutOptions, ReadOptions, SessionConnector,
    kv_rules,
};

#[wasm_bindgen]
extern "C" {
    /// Made by `js/connector.js`. Everything catches: an exception that passed through wasm would
    /// end the instance.
    pub type Port;

    /// True where Workers KV is behind it, whose rules are kept here.
    #[wasm_bindgen(method, getter, js_name = isKv)]
    fn is_kv(this: &Port) -> bool;

    /// Keys, a line each, to an array of texts and nulls.
    #[wasm_bindgen(method, catch)]
    fn read(this: &Port, keys: &str, cache_ttl: Option<u32>) -> Result<Promise, JsValue>;

    #[wasm_bindgen(method, catch)]
    fn put(
        this: &Port,
        key: &str,
        value: &str,
        ttl: Option<u32>,
        metadata: Option<&str>,
    ) -> Result<Promise, JsValue>;

    #[wasm_bindgen(method, catch)]
    fn delete(this: &Port, key: &str) -> Result<Promise, JsValue>;

    /// A page as an array: its cursor or null, then name and metadata by turns.
    #[wasm_bindgen(method, catch)]
    fn list(this: &Port, prefix: &str, cursor: Option<&str>) -> Result<Promise, JsValue>;
}

/// A [`SessionConnector`] that is JavaScript.
pub(super) struct JsConnector {
    port: Port,
    is_kv: bool,
}

impl JsConnector {
    pub(super) fn new(port: Port) -> Self {
        let is_kv = port.is_kv();
        Self { port, is_kv }
    }

    async fn settle(&self, reply: Result<Promise, JsValue>) -> Result<JsValue, ConnectorError> {
        let settled = match reply {
            Ok(promise) => JsFuture::from(promise).await,
            Err(thrown) => Err(thrown),
        };
        settled.map_err(|thrown| self.failure(thrown))
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

impl SessionConnector for JsConnector {
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
            let reply = self
                .settle(self.port.read(&keys.join("\n"), cache_ttl))
                .await?;
            let values: Array = reply
                .dyn_into()
                .map_err(|_| unexpected("read answered with something that is no array"))?;
            values
                .iter()
                .map(|value| match value.as_string() {
                    Some(text) => Ok(Some(text)),
                    None if value.is_null() || value.is_undefined() => Ok(None),
                    None => Err(unexpected("read answered with a value that is no text")),
                })
                .collect()
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
            let reply = self.port.put(key, value, ttl, metadata.as_deref());
            self.settle(reply).await.map(drop)
        })
    }

    fn delete<'a>(&'a self, key: &'a str) -> LocalBoxFuture<'a, Result<(), ConnectorError>> {
        Box::pin(async move { self.settle(self.port.delete(key)).await.map(drop) })
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        cursor: Option<&'a str>,
    ) -> LocalBoxFuture<'a, Result<Page, ConnectorError>> {
        Box::pin(async move {
            let reply = self.settle(self.port.list(prefix, cursor)).await?;
            let flat: Array = reply
                .dyn_into()
                .map_err(|_| unexpected("list answered with no page"))?;
            let mut flat = flat.iter();
            let cursor = flat.next().and_then(|cursor| cursor.as_string());
            let mut keys = Vec::new();
            while let Some(name) = flat.next() {
                let name = name
                    .as_string()
                    .ok_or_else(|| unexpected("list answered with a key without a name"))?;
                let metadata = flat.next().and_then(|metadata| metadata.as_string());
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
