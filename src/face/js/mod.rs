//! The functions that the npm package's JavaScript (`js/`) calls.
//!
//! JavaScript drives the core's flows (`js/driver.js`). [`begin`] starts a step of a session, or an
//! operation on a user's sessions, and returns the first request to the store. [`reply`] passes the
//! store's answer, until the step is done. Each call returns one text: a line of JSON, followed by a
//! line for each large text that the first line names (`wire.rs`).
//!
//! Nothing here calls JavaScript. The time, random bytes and the few headers that the core reads are
//! arguments; events and warnings are part of the returned text.
//!
//! 1. `handle`: one session, or one operation on a user's sessions, and its running flow.
//! 2. `world`: the inputs of a call, and the events and warnings of its answer.
//! 3. `wire`: the texts that are passed.

mod handle;
#[cfg(test)]
mod tests;
mod wire;
mod world;

use std::cell::Cell;
use std::rc::Rc;

use wasm_bindgen::prelude::*;
use zeroize::Zeroizing;

use crate::face::driver::Port;
use crate::face::headers::CommitHeaders;
use crate::face::sessions::Sessions;
use crate::flow::isolate::Isolate;
use crate::port::error::SessionError;
use crate::port::runtime::Runtime as _;
use crate::protocol::cache_control;
use crate::protocol::json_object::Object;
use crate::protocol::settings::{Naming, Settings};

use handle::{Answer, Handle, KEPT, Kept};
use wire::Named;
use world::{JsConfig, JsEvents, JsRuntime, JsStore, JsStrongStore, WORLD, garbled, gone};

/// Stores the inputs of a call, and releases the objects in `ended`.
fn enter(now: f64, dice: Option<Vec<u8>>, ended: Option<Vec<u32>>) {
    WORLD.with(|world| {
        world.now.set(now as i64);
        world.dice.replace(Zeroizing::new(dice.unwrap_or_default()));
    });
    for number in ended.unwrap_or_default() {
        drop(KEPT.with_borrow_mut(|kept| kept.remove(number)));
    }
}

/// Adds the events and warnings to the first line of an answer.
fn leave(head: &mut Object) {
    WORLD.with(|world| {
        world.dice.take();
        let events = world.events.take();
        if !events.is_empty() {
            head.raws("events", &events);
        }
        let warnings = world.warnings.take();
        if !warnings.is_empty() {
            head.texts("warnings", &warnings);
        }
    });
}

/// Creates a configuration. `input` has the connector's `kind`, whether it `isKv` or `isStrong` (it has
/// transactions), the `secret`, the `settings` as an object of strings, the `kinds` of settings of another type, whether the names are
/// those of `variables`, and the number of the connector's `isolate` memory, if it has one. Returns
/// the numbers of the `config` and of its `isolate`, and the settings that JavaScript needs.
///
/// In every call, `ended` has numbers to release.
#[wasm_bindgen]
pub fn configure(input: String, ended: Option<Vec<u32>>) -> String {
    // It contains the secret.
    let input = Zeroizing::new(input);
    enter(0.0, None, ended);
    let mut head = Object::new();
    let made = Named::read(&input)
        .ok_or_else(garbled)
        .and_then(|input| make_config(&input));
    match made {
        Ok(made) => head.object("done", |out| made.tell(out)),
        Err(error) => wire::error(&mut head, "error", &error),
    }
    leave(&mut head);
    head.end()
}

thread_local! {
    /// True after the warning about the settings of this isolate.
    static WARNED: Cell<bool> = const { Cell::new(false) };
}

/// A new configuration, by its numbers in [`KEPT`].
struct Made {
    config: u32,
    isolate: u32,
    kept: Rc<JsConfig>,
}

impl Made {
    fn tell(&self, out: &mut Object) {
        out.number("config", self.config.into());
        out.number("isolate", self.isolate.into());
        wire::settings(out, self.kept.sessions.settings());
        for (name, is_loaded) in [("unopened", false), ("nothing", true)] {
            handle::tell_nobody(out, name, &self.kept.blank, is_loaded);
        }
    }
}

fn make_config(input: &Named<'_>) -> Result<Made, SessionError> {
    let pairs = input.object("settings").ok_or_else(garbled)?.texts();
    let (naming, secret_name) = if input.flag("variables") {
        (Naming::Variables, "SESSION_SECRET")
    } else {
        (Naming::Options, "secret")
    };
    for (name, kind) in input.object("kinds").iter().flat_map(Named::texts) {
        Settings::refuse_kind(naming, &name, &kind)?;
    }
    let settings = match naming {
        Naming::Variables => Settings::from_vars(pairs),
        _ => Settings::from_options(pairs),
    }?;
    if let Some(warning) = settings.warning(naming)
        && !WARNED.replace(true)
    {
        JsRuntime.warn(&format!("edge-session: {warning}"));
    }
    let number = input.number("isolate") as u32;
    let isolate = match KEPT.with_borrow_mut(|kept| kept.take(number)) {
        Some(Kept::Isolate(isolate)) => {
            KEPT.with_borrow_mut(|kept| kept.put(number, Kept::Isolate(isolate.clone())));
            isolate
        }
        _ => Isolate::current().apart(),
    };
    let kind = input.text("kind");
    if kind == "durable_object" {
        settings.check_for_objects(naming)?;
    }
    let port = if input.flag("isStrong") {
        Port::Strong(Rc::new(JsStrongStore(kind)))
    } else {
        Port::Eventual(Rc::new(JsStore(kind)))
    };
    let secret = Zeroizing::new(input.text("secret"));
    let ring = isolate.ring(&secret, secret_name)?;
    let blank = Sessions::of(port, &ring, settings, Rc::new(JsRuntime))?;
    let sessions = blank.clone().with_isolate(&isolate, "");
    let kept = Rc::new(JsConfig {
        reported: sessions.clone().with_events(JsEvents),
        sessions,
        blank,
        is_kv: input.flag("isKv"),
    });
    Ok(KEPT.with_borrow_mut(|all| Made {
        config: all.insert(Kept::Config(Rc::clone(&kept))),
        isolate: if number > 0 {
            number
        } else {
            all.insert(Kept::Isolate(isolate))
        },
        kept,
    }))
}

/// Starts `operation`, a JSON object whose `op` is its name. It runs on the session `handle`. If
/// `handle` is 0, it runs on a new session with this Cookie header, or on no session. `changes` has the
/// changes of the dictionary since the last call. `dice` has random bytes, if the operation may need
/// some.
///
/// Returns a request to the store, or the result. If the new object is used again, the answer has its
/// number.
#[wasm_bindgen]
#[allow(
    clippy::too_many_arguments,
    reason = "each is optional, and one text for all would be parsed"
)]
pub fn begin(
    config: u32,
    handle: u32,
    operation: &str,
    cookie: Option<String>,
    changes: Option<String>,
    now: f64,
    dice: Option<Vec<u8>>,
    ended: Option<Vec<u32>>,
) -> String {
    let cookie = cookie.map(Zeroizing::new);
    enter(now, dice, ended);
    let Some(operation) = Named::read(operation) else {
        return refused(&garbled());
    };
    let found = if handle == 0 {
        let config = KEPT.with_borrow(|kept| kept.config(config));
        // An operation without a session counts for the request of this one.
        let of = operation.number("of") as u32;
        let timing = KEPT.with_borrow(|kept| kept.timing(of));
        config.map(|config| {
            let number = KEPT.with_borrow_mut(|kept| kept.insert(Kept::Away));
            let handle = Handle::open(config, &operation, cookie, timing);
            (number, Box::new(handle))
        })
    } else {
        take(handle).map(|it| (handle, it))
    };
    let Some((number, mut it)) = found else {
        return refused(&gone());
    };
    let answer = it.begin(&operation, changes.as_deref().unwrap_or_default());
    tell(number, it, answer, handle == 0)
}

/// Continues an operation with the store's answer. `record` is the first value of a read. `rest` is
/// JSON: the other values if any of them exists, the results of the writes if one failed, a page of
/// keys, the answer of a store that has transactions, or an `error`. Without both, the request
/// succeeded.
#[wasm_bindgen]
pub fn reply(
    handle: u32,
    record: Option<String>,
    rest: Option<String>,
    now: f64,
    dice: Option<Vec<u8>>,
    ended: Option<Vec<u32>>,
) -> String {
    enter(now, dice, ended);
    let Some(mut it) = take(handle) else {
        return refused(&gone());
    };
    let answer = it.reply(record, rest.as_deref());
    tell(handle, it, answer, false)
}

fn take(number: u32) -> Option<Box<Handle>> {
    match KEPT.with_borrow_mut(|kept| kept.take(number))? {
        Kept::Handle(handle) => Some(handle),
        other => {
            KEPT.with_borrow_mut(|kept| kept.put(number, other));
            None
        }
    }
}

/// Writes an answer. Keeps the object if it is used again, and releases it otherwise.
fn tell(number: u32, it: Box<Handle>, answer: Answer, is_new: bool) -> String {
    let mut head = Object::new();
    let lives = it.lives();
    if is_new && lives {
        head.number("handle", number.into());
    }
    head.flag("isOver", !is_new && !lives);
    let lines = it.tell(answer, &mut head);
    KEPT.with_borrow_mut(|kept| {
        if lives {
            kept.put(number, Kept::Handle(it));
        } else {
            drop(kept.remove(number));
        }
    });
    leave(&mut head);
    head.end() + &lines
}

fn refused(error: &SessionError) -> String {
    let mut head = Object::new();
    wire::error(&mut head, "error", error);
    leave(&mut head);
    head.end()
}

/// The counters for the sessions of `config`, as JSON.
#[wasm_bindgen]
pub fn stats(config: u32) -> String {
    let config = KEPT.with_borrow(|kept| kept.config(config));
    config.map_or_else(
        || "{}".to_owned(),
        |config| wire::stats(&config.sessions.stats()),
    )
}

/// The new `Vary` of a response that depends on its session and has this one; none if it can stay.
#[wasm_bindgen]
pub fn vary(existing: &str) -> Option<String> {
    CommitHeaders::of_session().vary(Some(existing))
}

/// True if a response that depends on its session can keep its own `Cache-Control`. With
/// `may_be_private`, `private` is enough.
#[wasm_bindgen(js_name = keepsCacheControl)]
pub fn keeps_cache_control(existing: &str, may_be_private: bool) -> bool {
    cache_control::keeps(existing, may_be_private)
}

/// Every error code with its HTTP `status`, `retryAfter` and whether it is a `refusal`, as JSON.
#[wasm_bindgen(js_name = errorCodes)]
pub fn error_codes() -> String {
    wire::error_codes()
}

/// The console line about a failure with this `cause`; none if the last one is less than a minute old.
#[wasm_bindgen]
pub fn complain(cause: &str, now: f64) -> Option<String> {
    Isolate::current().complain(cause, now as i64)
}

/// The number of kept objects, for tests that detect leaks.
#[wasm_bindgen]
pub fn kept() -> u32 {
    KEPT.with_borrow(|kept| (kept.entries.len() - kept.free.len()) as u32)
}
