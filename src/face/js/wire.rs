//! The texts that are passed between JavaScript and the core: a line of JSON, followed by lines of
//! large texts. Neither JSON values nor records need line breaks.

use std::fmt::Write as _;

use futures_util::FutureExt as _;

use crate::face::connector::kv::rules as kv_rules;
use crate::face::connector::objects::wire as objects;
use crate::face::headers::CommitHeaders;
use crate::face::store::SessionStore;
use crate::flow::owner::OwnedSession;
use crate::flow::stats::Stats;
use crate::port::effect::{Effect, Write};
use crate::port::error::{ErrorCode, SessionError};
use crate::port::time::{milliseconds, whole_milliseconds};
use crate::protocol::json;
use crate::protocol::outcome::Outcome;
use crate::protocol::settings::Settings;

use super::world::{Cause, garbled};

/// A JSON object, written member by member. Absent values and `false` are left out.
pub(super) struct Object(String);

impl Object {
    pub(super) fn new() -> Self {
        // Room for most objects: growing step by step costs more than filling.
        let mut out = String::with_capacity(256);
        out.push('{');
        Self(out)
    }

    fn name(&mut self, name: &str) -> &mut String {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        self.0.push('"');
        self.0.push_str(name);
        self.0.push_str("\":");
        &mut self.0
    }

    /// A member whose value is the JSON `text`.
    pub(super) fn raw(&mut self, name: &str, text: &str) {
        self.name(name).push_str(text);
    }

    fn text(&mut self, name: &str, text: &str) {
        json::quote(self.name(name), text);
    }

    pub(super) fn number(&mut self, name: &str, number: i64) {
        // Writing to a String cannot fail.
        let _ = write!(self.name(name), "{number}");
    }

    pub(super) fn flag(&mut self, name: &str, flag: bool) {
        if flag {
            self.raw(name, "true");
        }
    }

    fn optional_text(&mut self, name: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.text(name, text);
        }
    }

    fn optional_number(&mut self, name: &str, number: Option<i64>) {
        if let Some(number) = number {
            self.number(name, number);
        }
    }

    pub(super) fn texts<T: AsRef<str>>(&mut self, name: &str, texts: impl IntoIterator<Item = T>) {
        let out = self.name(name);
        out.push('[');
        for (place, text) in texts.into_iter().enumerate() {
            if place > 0 {
                out.push(',');
            }
            json::quote(out, text.as_ref());
        }
        out.push(']');
    }

    pub(super) fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

/// `text` as JSON.
pub(super) fn text(text: &str) -> String {
    let mut out = String::new();
    json::quote(&mut out, text);
    out
}

pub(super) fn array(items: impl Iterator<Item = String>) -> String {
    let mut out = String::from("[");
    for item in items {
        if out.len() > 1 {
            out.push(',');
        }
        out.push_str(&item);
    }
    out.push(']');
    out
}

/// A received JSON object. Its values are not parsed.
pub(super) struct Named<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Named<'a> {
    pub(super) fn read(text: &'a str) -> Option<Self> {
        json::members(text).map(Self)
    }

    fn value(&self, name: &str) -> Option<&'a str> {
        let bare = |quoted: &'a str| quoted.strip_prefix('"')?.strip_suffix('"');
        self.0
            .iter()
            .find(|(known, _)| bare(known) == Some(name))
            .map(|(_, value)| *value)
    }

    /// A string of ours, which contains no escapes; empty if absent.
    pub(super) fn word(&self, name: &str) -> &'a str {
        self.value(name).unwrap_or_default().trim_matches('"')
    }

    pub(super) fn optional_text(&self, name: &str) -> Option<String> {
        json::unquote(self.value(name)?)
    }

    pub(super) fn text(&self, name: &str) -> String {
        self.optional_text(name).unwrap_or_default()
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        self.value(name) == Some("true")
    }

    /// A whole number; 0 if absent.
    pub(super) fn number(&self, name: &str) -> i64 {
        self.optional_number(name).unwrap_or_default()
    }

    pub(super) fn optional_number(&self, name: &str) -> Option<i64> {
        self.value(name)?.parse().ok()
    }

    pub(super) fn object(&self, name: &str) -> Option<Self> {
        Self::read(self.value(name)?)
    }

    pub(super) fn objects(&self, name: &str) -> Vec<Option<Self>> {
        objects(self.value(name).unwrap_or_default())
    }

    pub(super) fn list(&self, name: &str) -> Vec<String> {
        let all = optional_texts(self.value(name).unwrap_or_default());
        all.into_iter().flatten().collect()
    }

    /// All names and values, as strings.
    pub(super) fn texts(&self) -> Vec<(String, String)> {
        let text = |text: &str| json::unquote(text).unwrap_or_default();
        self.0
            .iter()
            .map(|(name, value)| (text(name), text(value)))
            .collect()
    }
}

/// The elements of a JSON array; `None` for one that is not a string.
pub(super) fn optional_texts(text: &str) -> Vec<Option<String>> {
    let elements = json::elements(text).unwrap_or_default();
    elements
        .into_iter()
        .map(|text| text.starts_with('"').then(|| json::unquote(text)).flatten())
        .collect()
}

/// The elements of a JSON array; `None` for one that is not an object.
pub(super) fn objects(text: &str) -> Vec<Option<Named<'_>>> {
    let elements = json::elements(text).unwrap_or_default();
    elements.into_iter().map(Named::read).collect()
}

/// Applies the changes that `#due` in `js/session-store.js` wrote. Each group has a line of JSON, with
/// the keys to `remove`, `take`, `set` and `flash`, and whether to `clear` everything first, followed
/// by a line for each value that is set.
pub(super) fn apply(store: &mut SessionStore, changes: &str) -> Result<(), SessionError> {
    if changes.is_empty() {
        return Ok(());
    }
    let mut lines = changes.split('\n');
    while let Some(head) = lines.next() {
        let named = Named::read(head).ok_or_else(garbled)?;
        // Checks that changes are allowed, even if the group is empty.
        store.update_json(Vec::<(&str, String)>::new())?;
        if named.flag("clear") {
            store.clear()?;
        }
        for key in named.list("remove") {
            store.take_json(&key)?;
        }
        for key in named.list("take") {
            store.take_flash_json(&key)?;
        }
        for key in named.list("set") {
            store.put_json(&key, lines.next().ok_or_else(garbled)?.to_owned())?;
        }
        for key in named.list("flash") {
            store.flash_json(&key, lines.next().ok_or_else(garbled)?.to_owned())?;
        }
    }
    Ok(())
}

/// A request to the store. Values to put are separate lines, referred to by their numbers from 1.
pub(super) fn ask(head: &mut Object, lines: &mut String, effect: Effect, is_kv: bool) {
    let mut ask = Object::new();
    match effect {
        Effect::Read { keys, options } => {
            let mut read = Object::new();
            read.texts("keys", &keys);
            let seconds = options.cache_ttl;
            let seconds = seconds.map(|it| if is_kv { kv_rules::cache_ttl(it) } else { it });
            read.optional_number("cacheTtl", seconds.map(i64::from));
            ask.raw("read", &read.end());
        }
        Effect::Write(writes) => {
            let mut count = 0;
            let writes = writes.into_iter().map(|write| {
                let mut out = Object::new();
                match write {
                    Write::Delete { key } => out.text("delete", &key),
                    Write::Put {
                        key,
                        value,
                        options,
                    } => {
                        out.text("put", &key);
                        let seconds = options.ttl;
                        let seconds = seconds.map(|it| {
                            if is_kv {
                                kv_rules::expiration_ttl(it)
                            } else {
                                it
                            }
                        });
                        out.optional_number("ttl", seconds.map(i64::from));
                        out.optional_text("metadata", options.metadata.as_deref());
                        count += 1;
                        out.number("line", count);
                        lines.push('\n');
                        lines.push_str(&value);
                    }
                }
                out.end()
            });
            let writes = array(writes);
            ask.raw("write", &writes);
        }
        Effect::List { prefix, cursor } => {
            let mut list = Object::new();
            list.text("prefix", &prefix);
            list.optional_text("cursor", cursor.as_deref());
            ask.raw("list", &list.end());
        }
        Effect::Sleep { milliseconds } => ask.number("sleep", milliseconds.into()),
        Effect::ReadRows { shard, keys } => {
            let body = objects::read(keys.iter().map(String::as_str));
            ask.raw("rows", &of_shard(&shard, "read", &body));
        }
        Effect::Transact(it) => {
            let body = it.lend(async |checks, writes| objects::transact(checks, writes));
            // Nothing in it waits.
            let body = body.now_or_never().unwrap_or_default();
            ask.raw("rows", &of_shard(&it.shard, "transact", &body));
        }
        Effect::ListRows {
            shard,
            prefix,
            cursor,
        } => {
            let body = objects::list(&prefix, cursor.as_deref());
            ask.raw("rows", &of_shard(&shard, "list", &body));
        }
    }
    head.raw("ask", &ask.end());
}

/// A request to one shard of a store that has transactions.
fn of_shard(shard: &str, operation: &str, body: &str) -> String {
    let mut out = Object::new();
    out.text("shard", shard);
    out.text("operation", operation);
    out.raw("body", body);
    out.end()
}

/// The state of a session that its own methods in JavaScript need, without its data. The first line has
/// the details that an application may ask for; the Set-Cookie values, which may be long, follow.
pub(super) fn session(store: &SessionStore, lines: &mut String) -> String {
    store.peek(|store| {
        lines.push('\n');
        lines.push_str(&details(store));
        state(store, lines).end()
    })
}

/// The same, with the details in it.
pub(super) fn whole_session(store: &SessionStore) -> String {
    store.peek(|store| {
        // Without a cookie it sets none.
        let mut out = state(store, &mut String::new());
        out.raw("details", &details(store));
        out.end()
    })
}

fn state(store: &SessionStore, lines: &mut String) -> Object {
    let mut out = Object::new();
    // Why it cannot be read, and why it cannot be changed.
    if let Err(error) = store.is_empty() {
        out.raw("hides", &self::error(&error));
    }
    if let Err(error) = store.check_open() {
        out.raw("edits", &self::error(&error));
    }
    out.flag("modified", store.modified());
    let needs_update = store.needs_update();
    out.flag("needsUpdate", needs_update);
    let headers = store.done_headers();
    let cookies = headers.set_cookie();
    // Cookies that exist already need no further step.
    let has_work = store.would_save() || store.is_behind() || store.seen_is_due();
    out.flag("hasWork", needs_update && (cookies.is_empty() || has_work));
    out.flag("readsRequest", store.reads_request());
    if !cookies.is_empty() {
        out.number("cookies", cookies.len() as i64);
        for cookie in cookies {
            // A header value has no line breaks.
            lines.push('\n');
            lines.push_str(cookie);
        }
    }
    out.optional_text("timing", headers.server_timing.as_deref());
    out
}

fn details(store: &SessionStore) -> String {
    let mut out = Object::new();
    // Before a load there is no outcome.
    if let Ok(outcome) = store.outcome() {
        out.text("outcome", outcome.as_str());
    }
    out.optional_text("sessionKey", store.public_key().as_deref());
    out.flag("isNew", store.is_new().unwrap_or_default());
    out.flag("isStored", store.is_stored());
    out.number("version", store.version().unwrap_or_default().into());
    out.optional_number("createdAt", store.created_ms().unwrap_or_default());
    out.optional_text("owner", store.owner().ok().flatten());
    out.optional_number("authTime", store.auth_ms().ok().flatten());
    out.optional_number("end", store.expiry_ms().ok());
    out.optional_number("idleEnd", store.idle_expiry_ms().ok().flatten());
    let closes = store.get_expire_at_browser_close();
    out.flag("browserClose", closes.unwrap_or_default());
    out.end()
}

/// The keys, and a line for each value; flash values come last.
pub(super) fn data(head: &mut Object, lines: &mut String, store: &SessionStore) {
    // The data cannot be read.
    let Some([values, flash]) = store.entries() else {
        return;
    };
    let mut data = Object::new();
    data.texts("values", values.iter().map(|(key, _)| key));
    data.texts("flash", flash.iter().map(|(key, _)| key));
    head.raw("data", &data.end());
    let texts = || values.iter().chain(flash.iter()).map(|(_, text)| text);
    lines.reserve(texts().map(|text| text.len() + 1).sum());
    for text in texts() {
        lines.push('\n');
        // In JSON, line breaks occur only between tokens, where a space is equivalent.
        if has_line_break(text) {
            lines.push_str(&text.replace('\n', " "));
        } else {
            lines.push_str(text);
        }
    }
}

/// Checks every byte, because this loop compiles to 16-byte vectors; stopping early would not.
fn has_line_break(text: &str) -> bool {
    text.bytes()
        .fold(false, |found, byte| found | (byte == b'\n'))
}

/// An error, for `js/errors.js`.
#[cold]
pub(super) fn error(error: &SessionError) -> String {
    let mut out = Object::new();
    out.text("code", error.code().as_str());
    out.text("message", error.message());
    let cause = error.connector_error().and_then(|cause| {
        let source = std::error::Error::source(cause)?;
        Some(source.downcast_ref::<Cause>()?.0)
    });
    out.optional_number("cause", cause.map(i64::from));
    out.end()
}

/// The settings that JavaScript needs.
pub(super) fn settings(out: &mut Object, settings: &Settings) {
    out.number("maxDepth", settings.max_depth().into());
    out.number("maxKeyBytes", settings.max_key_bytes().into());
    out.number(
        "stalenessBound",
        whole_milliseconds(settings.staleness_bound()) / 1_000,
    );
    out.number(
        "storeTimeout",
        whole_milliseconds(settings.store_timeout()) / 1_000,
    );
    out.flag("disableWarnings", settings.disable_warnings());
    out.flag("serverTiming", settings.server_timing());
    out.flag("events", settings.events());
    out.flag("allowPrivateCache", settings.allow_private_cache());
    out.text("cookieName", settings.cookie_name());
    out.text("keyPrefix", settings.key_prefix());
    let mut uncached = Object::new();
    for (name, value) in CommitHeaders::of_session().cache_control(None) {
        uncached.text(name, value);
    }
    out.raw("cacheControl", &uncached.end());
}

pub(super) fn stats(stats: &Stats) -> String {
    let mut out = Object::new();
    for (name, count) in [
        ("requests", stats.requests),
        ("tableLoads", stats.table_loads),
        ("storeLoads", stats.store_loads),
        ("reads", stats.reads),
        ("keysRead", stats.keys_read),
        ("puts", stats.puts),
        ("deletes", stats.deletes),
        ("lists", stats.lists),
        ("retries", stats.retries),
        ("conflicts", stats.conflicts),
        ("limitFailures", stats.limit_failures),
        ("tableEntries", stats.table_entries),
        ("tableBytes", stats.table_bytes),
        ("wasmBytes", stats.wasm_bytes),
    ] {
        out.number(name, count as i64);
    }
    let mut outcomes = Object::new();
    for outcome in Outcome::ALL {
        outcomes.number(outcome.as_str(), stats.outcome(*outcome) as i64);
    }
    out.raw("outcomes", &outcomes.end());
    out.end()
}

pub(super) fn listed(sessions: &[OwnedSession]) -> String {
    array(sessions.iter().map(|session| {
        let mut out = Object::new();
        out.text("key", session.key.as_str());
        out.number("created", milliseconds(session.created));
        out.number("lastWritten", milliseconds(session.last_written));
        out.optional_text("userAgent", session.user_agent.as_deref());
        out.optional_text("place", session.place.as_deref());
        out.end()
    }))
}

pub(super) fn error_codes() -> String {
    let mut out = Object::new();
    for code in ErrorCode::ALL {
        let mut about = Object::new();
        about.number("status", code.status().into());
        about.optional_number("retryAfter", code.retry_after().map(i64::from));
        about.flag("refusal", code.is_refusal());
        out.raw(code.as_str(), &about.end());
    }
    out.end()
}
