//! The parts of a fetch handler's `Request` and context that a session uses. The bindings are our own
//! and catch exceptions, which would otherwise end the instance.

use std::{cell::RefCell, rc::Rc};

use futures_util::future::LocalBoxFuture;
use wasm_bindgen::prelude::*;

use crate::port::request::RequestHead;
use crate::port::wait_until::WaitUntil;

#[wasm_bindgen]
extern "C" {
    /// A `Request` (<https://fetch.spec.whatwg.org/#request-class>).
    #[derive(Clone)]
    pub type FetchRequest;

    #[wasm_bindgen(method, getter, catch)]
    fn headers(this: &FetchRequest) -> Result<FetchHeaders, JsValue>;

    #[wasm_bindgen(method, getter, catch, js_name = method)]
    fn http_method(this: &FetchRequest) -> Result<Option<String>, JsValue>;

    #[wasm_bindgen(method, getter, catch)]
    fn cf(this: &FetchRequest) -> Result<JsValue, JsValue>;

    /// The handler's context
    /// (<https://developers.cloudflare.com/workers/runtime-apis/context/>).
    #[derive(Clone)]
    pub type FetchContext;

    #[wasm_bindgen(method, catch, js_name = waitUntil)]
    fn wait_until(this: &FetchContext, promise: &js_sys::Promise) -> Result<(), JsValue>;

    /// A `Headers` (<https://fetch.spec.whatwg.org/#headers-class>).
    pub type FetchHeaders;

    #[wasm_bindgen(method, catch)]
    fn get(this: &FetchHeaders, name: &str) -> Result<Option<String>, JsValue>;

    #[wasm_bindgen(method, catch, js_name = get)]
    fn get_text(this: &FetchHeaders, name: &JsValue) -> Result<Option<String>, JsValue>;

    #[wasm_bindgen(method, catch, js_name = set)]
    fn set_text(this: &FetchHeaders, name: &JsValue, value: &JsValue) -> Result<(), JsValue>;
}

impl FetchContext {
    /// `waitUntil` for futures.
    pub(crate) fn into_wait_until(self) -> Rc<dyn WaitUntil> {
        Rc::new(move |future: LocalBoxFuture<'static, ()>| {
            let promise = wasm_bindgen_futures::future_to_promise(async move {
                future.await;
                Ok(JsValue::UNDEFINED)
            });
            // Fails after the end of the request. The future then runs as long as the platform allows.
            let _ = self.wait_until(&promise);
        })
    }
}

impl FetchHeaders {
    /// A header that cannot be read counts as absent: the request then has no session.
    pub(crate) fn text(&self, name: &str) -> Option<String> {
        self.get(name).ok()?
    }
}

thread_local! {
    /// Strings that nearly every response needs, as JavaScript strings. Decoding them each time would
    /// be a large part of the cost of a header.
    static TEXTS: RefCell<Vec<(&'static str, JsValue)>> = const { RefCell::new(Vec::new()) };
}

/// `text` as a JavaScript string, created once.
fn kept(text: &'static str) -> JsValue {
    TEXTS.with_borrow_mut(|texts| {
        let found = texts.iter().find(|(known, _)| *known == text);
        if let Some((_, made)) = found {
            return made.clone();
        }
        let made = JsValue::from_str(text);
        texts.push((text, made.clone()));
        made
    })
}

impl FetchHeaders {
    /// As [`text`](Self::text), for a header that is read in each request.
    pub(crate) fn text_of_kept(&self, name: &'static str) -> Option<String> {
        self.get_text(&kept(name)).ok()?
    }

    /// Sets a header that always has the same value.
    pub(crate) fn set_kept(&self, name: &'static str, value: &'static str) -> Result<(), JsValue> {
        self.set_text(&kept(name), &kept(value))
    }
}

impl RequestHead for FetchRequest {
    fn header(&self, name: &str) -> Option<String> {
        self.headers().ok()?.text(name)
    }

    fn method(&self) -> String {
        self.http_method().ok().flatten().unwrap_or_default()
    }

    fn place(&self) -> Option<String> {
        let cf = self.cf().ok().filter(JsValue::is_object)?;
        js_sys::Reflect::get(&cf, &JsValue::from_str("country"))
            .ok()?
            .as_string()
    }
}
