//! The Fetch API's `Request`, as far as a session reads it: by functions of our own, each of which
//! may throw without taking the instance down.

use wasm_bindgen::prelude::*;

use crate::presented::RequestHead;

#[wasm_bindgen]
extern "C" {
    /// A `Request` (<https://fetch.spec.whatwg.org/#request-class>).
    #[derive(Clone)]
    pub(crate) type FetchRequest;

    #[wasm_bindgen(method, getter, catch)]
    fn headers(this: &FetchRequest) -> Result<FetchHeaders, JsValue>;

    #[wasm_bindgen(method, getter, catch, js_name = method)]
    fn http_method(this: &FetchRequest) -> Result<Option<String>, JsValue>;

    #[wasm_bindgen(method, getter, catch)]
    fn cf(this: &FetchRequest) -> Result<JsValue, JsValue>;

    type FetchHeaders;

    #[wasm_bindgen(method, catch)]
    fn get(this: &FetchHeaders, name: &str) -> Result<Option<String>, JsValue>;
}

impl RequestHead for FetchRequest {
    fn header(&self, name: &str) -> Option<String> {
        // What cannot be read counts as absent: a request without a session, not a failure.
        self.headers().ok()?.get(name).ok()?
    }

    fn method(&self) -> String {
        self.http_method().ok().flatten().unwrap_or_default()
    }

    fn place(&self) -> Option<String> {
        let cf = self.cf().ok().filter(JsValue::is_object)?;
        js_sys::Reflect::get(&cf, &JsValue::from_str("country")).ok()?.as_string()
    }
}
