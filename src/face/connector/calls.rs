//! Calls of the bindings of `env`, and what they throw.

use std::fmt;

use js_sys::{Object, Promise, Reflect};
use wasm_bindgen::JsValue;
use wasm_bindgen_futures::JsFuture;

/// Waits for a reply. An exception and a rejected promise give the same error.
pub(crate) async fn settle(reply: Result<JsValue, JsValue>) -> Result<JsValue, JsValue> {
    JsFuture::from(Promise::resolve(&reply?)).await
}

/// A property of `value`. Its getter may throw.
pub(crate) fn property(value: &JsValue, name: &str) -> Result<JsValue, JsValue> {
    Reflect::get(value, &JsValue::from_str(name))
}

/// An object with these properties.
pub(crate) fn object(pairs: &[(&str, JsValue)]) -> Result<Object, JsValue> {
    let object = Object::new();
    for (name, value) in pairs {
        Reflect::set(&object, &JsValue::from_str(name), value)?;
    }
    Ok(object)
}

/// The thrown value behind a `ConnectorError`.
pub(crate) struct JsCause(JsValue);

impl JsCause {
    pub(crate) fn new(thrown: JsValue) -> Self {
        Self(thrown)
    }

    #[cfg(all(test, target_arch = "wasm32"))]
    pub(crate) fn value(&self) -> &JsValue {
        &self.0
    }
}

impl fmt::Display for JsCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&message(&self.0))
    }
}

impl fmt::Debug for JsCause {
    /// Shows only the message, because JavaScript's stack does not belong in our logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JsCause({self})")
    }
}

impl std::error::Error for JsCause {}

/// The text of a thrown value. Getters of unusual errors may throw.
fn message(thrown: &JsValue) -> String {
    let message = property(thrown, "message").unwrap_or(JsValue::UNDEFINED);
    message
        .as_string()
        .or_else(|| thrown.as_string())
        .unwrap_or_else(|| "it threw something that is not an Error".to_owned())
}
