//! Events in the console, where `wrangler tail` and Workers Logs show them.

use crate::port::events::{Event, EventSink};

/// Writes each event to the console, as one line of JSON.
///
/// ```no_run
/// use edge_session::{ConsoleEvents, SessionError, Sessions};
///
/// fn sessions(env: &worker::Env) -> Result<Sessions, SessionError> {
///     // What `SESSION_EVENTS=true` does.
///     Ok(Sessions::from_env(env)?.with_events(ConsoleEvents))
/// }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct ConsoleEvents;

impl EventSink for ConsoleEvents {
    fn event(&self, event: &Event) {
        use wasm_bindgen::prelude::*;

        #[wasm_bindgen]
        extern "C" {
            #[wasm_bindgen(js_namespace = console, catch)]
            fn log(line: &str) -> Result<(), JsValue>;
        }

        // A console that fails must not fail the request.
        let _ = log(&event.to_json());
    }
}
