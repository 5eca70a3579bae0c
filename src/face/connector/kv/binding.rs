//! The calls on a KV namespace of `env`.

use std::cell::RefCell;
use std::fmt;

use futures_util::future::LocalBoxFuture;
use js_sys::{Array, Function, Map, Object};
use wasm_bindgen::prelude::*;

use super::rules::{MAX_BULK_KEYS, cache_ttl, classify, expiration_ttl};
use crate::face::connector::calls::{JsCause, object, property, settle};
use crate::port::connector::{
    ConnectorError, ListedKey, Page, PutOptions, ReadOptions, SessionConnector,
};
use crate::port::error::{ErrorCode, SessionError};

// Our own bindings instead of those of the crate `worker`: its `put` stores `{}` for every map, its
// errors print JavaScript stacks, and the npm package does not contain the crate. Every function
// catches exceptions, because one that passes through wasm would end the instance.
#[wasm_bindgen]
extern "C" {
    /// A `KVNamespace` (<https://developers.cloudflare.com/kv/api/>), or an object with its methods.
    /// The replies have the type `JsValue`, because a substitute need not return promises.
    #[derive(Clone)]
    type KvNamespace;

    #[wasm_bindgen(method, catch)]
    fn get(this: &KvNamespace, keys: &JsValue, options: &Object) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(method, catch)]
    fn put(
        this: &KvNamespace,
        key: &str,
        value: &str,
        options: &Object,
    ) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(method, catch)]
    fn delete(this: &KvNamespace, key: &str) -> Result<JsValue, JsValue>;

    #[wasm_bindgen(method, catch)]
    fn list(this: &KvNamespace, options: &Object) -> Result<JsValue, JsValue>;
}

/// A [`SessionConnector`] on a Workers KV namespace.
///
/// One read is one round trip for up to 100 keys. Times are clamped to the range that KV accepts: a
/// time to live to 60 s to 2^31 - 1 s, a cache time to 30 s to 2^31 - 1 s.
///
/// An error keeps KV's own message, and its kind is derived from it. Exceptions and rejected promises
/// both become a [`ConnectorError`]; nothing here panics.
///
/// ```no_run
/// use edge_session::connector::{KvConnector, ReadOptions, SessionConnector};
/// # async fn show(env: &wasm_bindgen::JsValue) -> Result<(), Box<dyn std::error::Error>> {
/// let kv = KvConnector::from_env(env, "SESSIONS")?;
/// let values = kv.read(&["a", "b"], ReadOptions::cache_ttl(30)).await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct KvConnector(KvNamespace);

impl KvConnector {
    /// A connector on the namespace `value`. Error messages call it `name`.
    ///
    /// ```no_run
    /// use edge_session::connector::KvConnector;
    /// use edge_session::{SecretRing, SessionError, Sessions, Settings};
    ///
    /// fn sessions(namespace: wasm_bindgen::JsValue, secret: &str) -> Result<Sessions, SessionError> {
    ///     let connector = KvConnector::from_binding(namespace, "SESSIONS")?;
    ///     Sessions::new(connector, SecretRing::parse(secret)?, Settings::default())
    /// }
    /// ```
    ///
    /// # Errors
    /// [`ErrorCode::MissingBinding`], with `name` in its message, if `value` is not a KV namespace:
    /// one of `get`, `put`, `delete` and `list` is not a function.
    pub fn from_binding(value: JsValue, name: &str) -> Result<Self, SessionError> {
        if value.is_undefined() || value.is_null() {
            return Err(SessionError::new(
                ErrorCode::MissingBinding,
                format!("{name} is not bound: bind a KV namespace of that name to this Worker"),
            ));
        }
        for method in ["get", "put", "delete", "list"] {
            let found =
                property(&value, method).is_ok_and(|value| value.is_instance_of::<Function>());
            if !found {
                return Err(SessionError::new(
                    ErrorCode::MissingBinding,
                    format!(
                        "{name} is bound, but not to a KV namespace: it has no method {method}"
                    ),
                ));
            }
        }
        Ok(Self(value.unchecked_into()))
    }

    /// A connector on the binding `name` of a Worker's `env`.
    ///
    /// ```no_run
    /// use edge_session::SessionError;
    /// use edge_session::connector::KvConnector;
    ///
    /// fn connector(env: &worker::Env) -> Result<KvConnector, SessionError> {
    ///     KvConnector::from_env(env.as_ref(), "SESSIONS")
    /// }
    /// ```
    ///
    /// # Errors
    /// [`ErrorCode::MissingBinding`], with `name` in its message, if `env` has no KV namespace of that
    /// name.
    pub fn from_env(env: &JsValue, name: &str) -> Result<Self, SessionError> {
        // `env` may be anything: without this property, the binding is missing.
        let value = property(env, name).unwrap_or(JsValue::UNDEFINED);
        Self::from_binding(value, name)
    }

    /// One value. For a single key a plain read is cheaper than a bulk read.
    async fn get_one(&self, key: &str, options: &Object) -> Result<Option<String>, JsValue> {
        let reply = settle(self.0.get(&JsValue::from_str(key), options)).await?;
        text_or_absent(&reply).ok_or_else(|| unexpected("get", "neither a string nor null"))
    }

    /// The values of at most [`MAX_BULK_KEYS`] keys.
    async fn get_bulk(
        &self,
        keys: &[&str],
        options: &Object,
    ) -> Result<Vec<Option<String>>, JsValue> {
        let names: Vec<JsValue> = keys.iter().map(|key| JsValue::from_str(key)).collect();
        let list: Array = names.iter().collect();
        let reply = settle(self.0.get(&list, options)).await?;
        let values = reply
            .dyn_ref::<Map>()
            .ok_or_else(|| unexpected("get", "something other than a Map"))?;
        names
            .iter()
            .map(|name| {
                let value = values.get(name);
                // KV returns null for an absent key. If the reply lacks a key, the read has failed,
                // and that must not count as absence.
                text_or_absent(&value).ok_or_else(|| {
                    let what = if value.is_undefined() {
                        "a Map without one of the keys"
                    } else {
                        "a value that is neither a string nor null"
                    };
                    unexpected("get", what)
                })
            })
            .collect()
    }

    async fn read_all(
        &self,
        keys: &[&str],
        options: ReadOptions,
    ) -> Result<Vec<Option<String>>, JsValue> {
        let options = read_options(options)?;
        if let [key] = keys {
            return Ok(vec![self.get_one(key, &options).await?]);
        }
        let mut values = Vec::with_capacity(keys.len());
        for keys in keys.chunks(MAX_BULK_KEYS) {
            values.append(&mut self.get_bulk(keys, &options).await?);
        }
        Ok(values)
    }

    async fn put_one(&self, key: &str, value: &str, options: PutOptions) -> Result<(), JsValue> {
        let mut pairs = Vec::new();
        if let Some(seconds) = options.ttl {
            pairs.push(("expirationTtl", JsValue::from(expiration_ttl(seconds))));
        }
        if let Some(metadata) = options.metadata {
            pairs.push(("metadata", JsValue::from_str(&metadata)));
        }
        settle(self.0.put(key, value, &object(&pairs)?))
            .await
            .map(drop)
    }

    async fn list_page(&self, prefix: &str, cursor: Option<&str>) -> Result<Page, JsValue> {
        let mut pairs = vec![("prefix", JsValue::from_str(prefix))];
        if let Some(cursor) = cursor {
            pairs.push(("cursor", JsValue::from_str(cursor)));
        }
        let reply = settle(self.0.list(&object(&pairs)?)).await?;
        page(&reply)
    }
}

impl fmt::Debug for KvConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KvConnector")
    }
}

impl SessionConnector for KvConnector {
    fn kind(&self) -> &str {
        "kv"
    }

    fn read<'a>(
        &'a self,
        keys: &'a [&'a str],
        options: ReadOptions,
    ) -> LocalBoxFuture<'a, Result<Vec<Option<String>>, ConnectorError>> {
        Box::pin(async move { self.read_all(keys, options).await.map_err(failure) })
    }

    fn put<'a>(
        &'a self,
        key: &'a str,
        value: &'a str,
        options: PutOptions,
    ) -> LocalBoxFuture<'a, Result<(), ConnectorError>> {
        Box::pin(async move { self.put_one(key, value, options).await.map_err(failure) })
    }

    fn delete<'a>(&'a self, key: &'a str) -> LocalBoxFuture<'a, Result<(), ConnectorError>> {
        Box::pin(async move { settle(self.0.delete(key)).await.map(drop).map_err(failure) })
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        cursor: Option<&'a str>,
    ) -> LocalBoxFuture<'a, Result<Page, ConnectorError>> {
        Box::pin(async move { self.list_page(prefix, cursor).await.map_err(failure) })
    }
}

#[cold]
fn failure(thrown: JsValue) -> ConnectorError {
    let cause = JsCause::new(thrown);
    let message = cause.to_string();
    ConnectorError::new(classify(&message), message).with_source(cause)
}

/// The error for a reply that does not have the documented form.
#[cold]
fn unexpected(operation: &str, what: &str) -> JsValue {
    js_sys::Error::new(&format!("KV {operation} returned {what}")).into()
}

/// `Some(Some(text))` for a string, `Some(None)` for null, `None` for anything else.
#[allow(clippy::option_option)] // the outer one is the shape, the inner one the answer
fn text_or_absent(value: &JsValue) -> Option<Option<String>> {
    match value.as_string() {
        Some(text) => Some(Some(text)),
        None => value.is_null().then_some(None),
    }
}

/// `{ type: "text", cacheTtl }`, cached because nearly every read of an isolate uses the same.
fn read_options(options: ReadOptions) -> Result<Object, JsValue> {
    thread_local! {
        static LAST: RefCell<Option<(Option<u32>, Object)>> = const { RefCell::new(None) };
    }
    let seconds = options.cache_ttl.map(cache_ttl);
    let last = LAST.with_borrow(|last| match last {
        Some((of, object)) if *of == seconds => Some(object.clone()),
        _ => None,
    });
    if let Some(object) = last {
        return Ok(object);
    }
    let mut pairs = vec![("type", JsValue::from_str("text"))];
    pairs.extend(seconds.map(|seconds| ("cacheTtl", JsValue::from(seconds))));
    let object = object(&pairs)?;
    LAST.set(Some((seconds, object.clone())));
    Ok(object)
}

/// A page of `{ keys: [{ name, metadata }], list_complete, cursor }`.
fn page(reply: &JsValue) -> Result<Page, JsValue> {
    let listed = property(reply, "keys")?;
    let listed = listed
        .dyn_ref::<Array>()
        .ok_or_else(|| unexpected("list", "something without an array of keys"))?;
    let keys = listed
        .iter()
        .map(|key| {
            let name = property(&key, "name")?
                .as_string()
                .ok_or_else(|| unexpected("list", "a key without a name"))?;
            // Metadata that is not text was not written by us.
            let metadata = property(&key, "metadata")?.as_string();
            Ok(ListedKey { name, metadata })
        })
        .collect::<Result<_, JsValue>>()?;
    // Only `list_complete` marks the last page: an empty page may be followed by others.
    let cursor = match property(reply, "list_complete")?.as_bool() {
        Some(true) => None,
        Some(false) => match property(reply, "cursor")?.as_string() {
            Some(cursor) if !cursor.is_empty() => Some(cursor),
            _ => return Err(unexpected("list", "an unfinished page without a cursor")),
        },
        None => return Err(unexpected("list", "something without list_complete")),
    };
    Ok(Page { keys, cursor })
}

// A real namespace is tested in workerd (`tests/workerd`); these tests use one that misbehaves.
#[cfg(test)]
#[cfg(target_arch = "wasm32")]
mod tests {
    use std::error::Error;
    use std::rc::Rc;

    use js_sys::{Promise, Reflect};
    use wasm_bindgen_test::wasm_bindgen_test;

    use super::*;
    use crate::port::connector::ConnectorErrorKind;

    type Reply = Result<JsValue, JsValue>;

    /// A namespace whose methods all return `reply`, and the arguments of the calls.
    fn namespace(reply: impl Fn() -> Reply + 'static) -> (KvConnector, Rc<RefCell<Vec<String>>>) {
        let calls = Rc::new(RefCell::new(Vec::new()));
        let reply = Rc::new(reply);
        let namespace = Object::new();
        for name in ["get", "put", "delete", "list"] {
            let (calls, reply) = (calls.clone(), reply.clone());
            let method = move |a: JsValue, b: JsValue, c: JsValue| -> Reply {
                let arguments = js_sys::JSON::stringify(&Array::of3(&a, &b, &c)).unwrap();
                calls
                    .borrow_mut()
                    .push(format!("{name}{}", String::from(arguments)));
                reply()
            };
            let method: Box<dyn Fn(JsValue, JsValue, JsValue) -> Reply> = Box::new(method);
            let method = Closure::wrap(method).into_js_value();
            Reflect::set(&namespace, &JsValue::from_str(name), &method).unwrap();
        }
        (
            KvConnector::from_binding(namespace.into(), "SESSIONS").unwrap(),
            calls,
        )
    }

    // Not `Function::new`, because workerd does not compile code from strings.
    fn function(body: impl Fn() -> Reply + 'static) -> JsValue {
        Closure::wrap(Box::new(body) as Box<dyn Fn() -> Reply>).into_js_value()
    }

    fn error(message: &str) -> JsValue {
        js_sys::Error::new(message).into()
    }

    fn map(pairs: &[(&str, JsValue)]) -> JsValue {
        let map = Map::new();
        for (name, value) in pairs {
            map.set(&JsValue::from_str(name), value);
        }
        map.into()
    }

    #[wasm_bindgen_test]
    fn what_is_no_namespace_is_refused_by_name() {
        let not_there = object(&[("OTHER", JsValue::TRUE)]).unwrap();
        let text = object(&[("SESSIONS", JsValue::from_str("a variable"))]).unwrap();
        let half = object(&[("get", function(|| Ok(JsValue::NULL)))]).unwrap();
        let half = object(&[("SESSIONS", half.into())]).unwrap();
        for (env, words) in [
            (JsValue::UNDEFINED, "is not bound"),
            (JsValue::NULL, "is not bound"),
            (not_there.into(), "is not bound"),
            (text.into(), "no method get"),
            (half.into(), "no method put"),
        ] {
            let error = KvConnector::from_env(&env, "SESSIONS").unwrap_err();
            assert_eq!(error.code(), ErrorCode::MissingBinding);
            assert!(error.message().starts_with("SESSIONS "), "{error}");
            assert!(error.message().contains(words), "{error}");
        }
    }

    #[wasm_bindgen_test]
    async fn calls_are_those_of_the_documented_binding() {
        let (kv, calls) = namespace(|| Ok(map(&[("a", "1".into()), ("b", JsValue::NULL)])));
        let values = kv
            .read(&["a", "b", "a"], ReadOptions::cache_ttl(1))
            .await
            .unwrap();
        assert_eq!(values, [Some("1".to_owned()), None, Some("1".to_owned())]);
        assert!(
            kv.read(&[], ReadOptions::default())
                .await
                .unwrap()
                .is_empty()
        );
        kv.put("a", "1", PutOptions::ttl(u32::MAX).with_metadata("m"))
            .await
            .unwrap();
        kv.put("a", "1", PutOptions::default()).await.unwrap();
        kv.delete("a").await.unwrap();
        assert_eq!(
            *calls.borrow(),
            [
                r#"get[["a","b","a"],{"type":"text","cacheTtl":30},null]"#,
                r#"put["a","1",{"expirationTtl":2147483647,"metadata":"m"}]"#,
                r#"put["a","1",{}]"#,
                r#"delete["a",null,null]"#,
            ]
        );
    }

    #[wasm_bindgen_test]
    async fn a_single_key_is_a_plain_get() {
        let (kv, calls) = namespace(|| Ok("1".into()));
        let values = kv.read(&["a"], ReadOptions::default()).await.unwrap();
        assert_eq!(values, [Some("1".to_owned())]);
        assert_eq!(*calls.borrow(), [r#"get["a",{"type":"text"},null]"#]);
    }

    #[wasm_bindgen_test]
    async fn more_keys_than_one_bulk_read_takes_are_read_in_several() {
        let names: Vec<String> = (0..201).map(|i| format!("k{i}")).collect();
        let all = names.clone();
        let (kv, calls) = namespace(move || {
            let pairs: Vec<(&str, JsValue)> = all
                .iter()
                .map(|name| (name.as_str(), JsValue::from_str(name)))
                .collect();
            Ok(map(&pairs))
        });
        let keys: Vec<&str> = names.iter().map(String::as_str).collect();
        let values = kv.read(&keys, ReadOptions::default()).await.unwrap();
        assert!(values.iter().flatten().eq(names.iter()));
        assert_eq!(calls.borrow().len(), 3);
    }

    #[wasm_bindgen_test]
    async fn a_throw_and_a_rejection_are_the_same_failure_and_keep_the_thrown_object() {
        let thrown = error("KV GET failed: 429 Too Many Requests");
        let rejected = Promise::reject(&thrown);
        let replies: [Reply; 2] = [Err(thrown.clone()), Ok(rejected.into())];
        for reply in replies {
            let (kv, _) = namespace(move || reply.clone());
            let failures = [
                kv.read(&["a"], ReadOptions::default()).await.unwrap_err(),
                kv.read(&["a", "b"], ReadOptions::default())
                    .await
                    .unwrap_err(),
                kv.put("a", "1", PutOptions::default()).await.unwrap_err(),
                kv.delete("a").await.unwrap_err(),
                kv.list("", None).await.unwrap_err(),
            ];
            for failure in failures {
                assert_eq!(failure.kind(), ConnectorErrorKind::RateLimited);
                let cause = failure.source().unwrap().downcast_ref::<JsCause>().unwrap();
                assert!(Object::is(cause.value(), &thrown), "the same object");
                assert_eq!(cause.to_string(), "KV GET failed: 429 Too Many Requests");
            }
        }
    }

    #[wasm_bindgen_test]
    async fn whatever_is_thrown_is_an_error_with_words() {
        let hostile = Object::new();
        let getter = object(&[("get", function(|| Err(1.into())))]).unwrap();
        Object::define_property(&hostile, &"message".into(), &getter);
        for thrown in [JsValue::UNDEFINED, JsValue::NULL, 5.into(), hostile.into()] {
            let (kv, _) = namespace(move || Err(thrown.clone()));
            let failure = kv.delete("a").await.unwrap_err();
            assert_eq!(failure.kind(), ConnectorErrorKind::Unavailable);
            assert_eq!(
                failure.to_string(),
                "unavailable: it threw something that is not an Error"
            );
        }
    }

    #[wasm_bindgen_test]
    async fn a_reply_of_another_shape_is_a_failure_and_never_an_absence() {
        for reply in [
            JsValue::UNDEFINED,
            5.into(),
            Object::new().into(),
            map(&[]),
            map(&[("a", JsValue::NULL)]),
            map(&[("a", JsValue::NULL), ("b", JsValue::UNDEFINED)]),
            map(&[("a", JsValue::NULL), ("b", 5.into())]),
        ] {
            let shown = format!("{reply:?}");
            let (kv, _) = namespace(move || Ok(reply.clone()));
            for keys in [&["a"][..], &["a", "b"]] {
                let failure = kv.read(keys, ReadOptions::default()).await.unwrap_err();
                assert_eq!(failure.kind(), ConnectorErrorKind::Unavailable, "{shown}");
                assert!(failure.to_string().contains("KV get returned"), "{failure}");
            }
        }
    }

    #[wasm_bindgen_test]
    async fn a_page_is_read_as_documented_or_not_at_all() {
        let listed = |text: &str| {
            let reply = js_sys::JSON::parse(text).unwrap();
            async move {
                let (kv, calls) = namespace(move || Ok(reply.clone()));
                let page = kv.list("s.", Some("c0")).await;
                assert_eq!(
                    *calls.borrow(),
                    [r#"list[{"prefix":"s.","cursor":"c0"},null,null]"#]
                );
                page
            }
        };
        let page = listed(
            r#"{"keys":[{"name":"s.a","metadata":"m"},{"name":"s.b","metadata":{}},{"name":"s.c"}],
                "list_complete":false,"cursor":"c1"}"#,
        )
        .await
        .unwrap();
        let metadata = [Some("m".to_owned()), None, None];
        let names = ["s.a", "s.b", "s.c"].map(str::to_owned);
        let keys =
            std::iter::zip(names, metadata).map(|(name, metadata)| ListedKey { name, metadata });
        assert_eq!(
            page,
            Page {
                keys: keys.collect(),
                cursor: Some("c1".to_owned())
            }
        );

        let last = listed(r#"{"keys":[],"list_complete":true,"cursor":"left over"}"#)
            .await
            .unwrap();
        assert_eq!(last, Page::default());

        for text in [
            "null",
            "{}",
            r#"{"keys":{},"list_complete":true}"#,
            r#"{"keys":[]}"#,
            r#"{"keys":[],"list_complete":"true"}"#,
            r#"{"keys":[],"list_complete":false}"#,
            r#"{"keys":[],"list_complete":false,"cursor":""}"#,
            r#"{"keys":[{}],"list_complete":true}"#,
            r#"{"keys":[null],"list_complete":true}"#,
        ] {
            let failure = listed(text).await.unwrap_err();
            assert_eq!(failure.kind(), ConnectorErrorKind::Unavailable, "{text}");
        }
    }
}
