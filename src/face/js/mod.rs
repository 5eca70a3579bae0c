//! What the npm package's JavaScript (`js/`) calls.
//!
//! JavaScript drives the core's flows (`js/driver.js`). [`begin`] begins a step of a session, or an
//! operation on a user's sessions, and gives what the core asks the store for; [`reply`] hands over
//! what the store answered, until the step is done. Each call gives one text: a line of named JSON
//! and, behind it, a line for each large text that the first line names (`wire.rs`).
//!
//! Nothing here calls JavaScript. The time, random bytes and the few headers that the core reads
//! come in as arguments; events and warnings come out with the text.
//!
//! 1. `handle`: one session, or one operation on a user's sessions, and the flow under way for it.
//! 2. `world`: what a call brings along, and what goes out with its answer.
//! 3. `wire`: the texts that cross.

mod handle;
#[cfg(test)]
mod tests;
mod wire;
mod world;

use std::cell::Cell;
use std::rc::Rc;

use wasm_bindgen::prelude::*;
use zeroize::Zeroizing;

use crate::face::headers::CommitHeaders;
use crate::face::sessions::Sessions;
use crate::flow::isolate::Isolate;
use crate::port::error::SessionError;
use crate::port::runtime::Runtime as _;
use crate::protocol::cache_control;
use crate::protocol::settings::{Naming, Settings};

use handle::{Answer, Handle, KEPT, Kept};
use wire::{Named, Object};
use world::{JsEvents, JsRuntime, JsStore, Realm, WORLD, garbled, gone};

/// Takes in what a call brings; releases what `ended` names.
fn enter(now: f64, dice: Option<Vec<u8>>, ended: Option<Vec<u32>>) {
    WORLD.with(|world| {
        world.now.set(now as i64);
        world.dice.replace(Zeroizing::new(dice.unwrap_or_default()));
    });
    for number in ended.unwrap_or_default() {
        drop(KEPT.with_borrow_mut(|kept| kept.remove(number)));
    }
}

/// Puts what goes out with an answer into its head.
fn leave(head: &mut Object) {
    WORLD.with(|world| {
        world.dice.take();
        let events = world.events.take();
        if !events.is_empty() {
            head.raw("events", &wire::array(events.into_iter()));
        }
        let warnings = world.warnings.take();
        if !warnings.is_empty() {
            head.texts("warnings", &warnings);
        }
    });
}

/// Makes a configuration: `input` names the connector's `kind`, whether it `isKv`, the `secret`, the
/// `settings` as an object of texts, which settings are something else (`kinds`, an object of what
/// they are), whether these are `variables`, and the `isolate` that the same connector's sessions
/// had before. Gives the number of the `realm` and of its `isolate`, and what
/// JavaScript has to know of the settings.
///
/// `ended` holds numbers that nobody uses any more, here and in every other call.
#[wasm_bindgen]
pub fn configure(input: String, ended: Option<Vec<u32>>) -> String {
    // It carries the secret.
    let input = Zeroizing::new(input);
    enter(0.0, None, ended);
    let mut head = Object::new();
    match Named::read(&input)
        .ok_or_else(garbled)
        .and_then(|input| make_realm(&input))
    {
        Ok(done) => head.raw("done", &done.end()),
        Err(error) => head.raw("error", &wire::error(&error)),
    }
    leave(&mut head);
    head.end()
}

thread_local! {
    /// Whether the isolate was warned of its settings.
    static WARNED: Cell<bool> = const { Cell::new(false) };
}

fn make_realm(input: &Named<'_>) -> Result<Object, SessionError> {
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
    let store = Rc::new(JsStore(input.text("kind")));
    let secret = Zeroizing::new(input.text("secret"));
    let ring = isolate.ring(&secret, secret_name)?;
    let blank = Sessions::assemble(store, &ring, settings, Rc::new(JsRuntime))?;
    let sessions = blank.clone().with_isolate(&isolate, "");
    let mut done = Object::new();
    wire::settings(&mut done, sessions.settings());
    for (name, is_loaded) in [("unopened", false), ("nothing", true)] {
        done.raw(name, &handle::nobody(&blank, is_loaded));
    }
    let realm = Kept::Realm(Rc::new(Realm {
        reported: sessions.clone().with_events(JsEvents),
        sessions,
        blank,
        is_kv: input.flag("isKv"),
    }));
    KEPT.with_borrow_mut(|kept| {
        done.number("realm", kept.insert(realm).into());
        let isolate = if number > 0 {
            number
        } else {
            kept.insert(Kept::Isolate(isolate))
        };
        done.number("isolate", isolate.into());
    });
    Ok(done)
}

/// Begins `operation`, named JSON whose `op` says what: on the session `handle`; on a new one, with
/// its Cookie header, where that is 0; or on none. `changes` are the dictionary's since it was told
/// last. `dice` are random bytes, for what may need some.
///
/// Gives what is asked of the store, or what the operation came to. A number is in the answer where
/// there is more to ask of what was begun.
#[wasm_bindgen]
#[allow(
    clippy::too_many_arguments,
    reason = "each is optional, and one text for all would be parsed"
)]
pub fn begin(
    realm: u32,
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
        let realm = KEPT.with_borrow(|kept| kept.realm(realm));
        // The session for whose request it counts, where it belongs to none itself.
        let of = operation.number("of") as u32;
        let timing = KEPT.with_borrow(|kept| kept.timing(of));
        realm.map(|realm| {
            let number = KEPT.with_borrow_mut(|kept| kept.insert(Kept::Away));
            let handle = Handle::open(realm, &operation, cookie, timing);
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

/// Goes on with what [`begin`] began. `record` is the first of the values that were read; `rest` is
/// JSON of everything else: the other values where any is there, what became of each write where
/// one failed, a page of keys, or an `error`. Without both, what was asked was done.
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

/// Writes an answer; keeps what goes on and releases what does not.
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
    head.raw("error", &wire::error(error));
    leave(&mut head);
    head.end()
}

/// What was counted of the sessions of `realm`, as JSON.
#[wasm_bindgen]
pub fn stats(realm: u32) -> String {
    let realm = KEPT.with_borrow(|kept| kept.realm(realm));
    realm.map_or_else(
        || "{}".to_owned(),
        |realm| wire::stats(&realm.sessions.stats()),
    )
}

/// The value for `Vary` of an answer that depends on its session and has this one; none where that
/// will do.
#[wasm_bindgen]
pub fn vary(existing: &str) -> Option<String> {
    CommitHeaders::of_session().vary(Some(existing))
}

/// True where an answer that depends on its session can keep this `Cache-Control` of its own.
/// `may_be_private` is whether one is enough that has `private`.
#[wasm_bindgen(js_name = keepsCacheControl)]
pub fn keeps_cache_control(existing: &str, may_be_private: bool) -> bool {
    cache_control::keeps(existing, may_be_private)
}

/// Every error code with its HTTP `status`, `retryAfter` and whether it is a `refusal`, as JSON.
#[wasm_bindgen(js_name = errorCodes)]
pub fn error_codes() -> String {
    wire::error_codes()
}

/// The line for the console about a failure with this `cause`; none where the last one is less than a
/// minute old.
#[wasm_bindgen]
pub fn complain(cause: &str, now: f64) -> Option<String> {
    Isolate::current().complain(cause, now as i64)
}

/// How many numbers are taken: for tests, which look for what is never released.
#[wasm_bindgen]
pub fn kept() -> u32 {
    KEPT.with_borrow(|kept| (kept.entries.len() - kept.free.len()) as u32)
}
