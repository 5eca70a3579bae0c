//! The texts that are passed between JavaScript and the core: a line of JSON, followed by lines of
//! large texts. Neither JSON values nor records need line breaks.

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
use crate::protocol::json_object::Object;
use crate::protocol::outcome::Outcome;
use crate::protocol::settings::Settings;

use super::world::{Cause, garbled};

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

/// A request to the store. Values to put are separate lines, referred to by their numbers from 1. `limit`
/// is the time for it in milliseconds, if it may be less than that of the settings.
pub(super) fn ask(
    head: &mut Object,
    lines: &mut String,
    effect: Effect,
    limit: Option<u32>,
    is_kv: bool,
) {
    head.optional_number("within", limit.map(i64::from));
    head.object("ask", |ask| match effect {
        Effect::Read { keys, options } => ask.object("read", |read| {
            read.texts("keys", &keys);
            let seconds = options.cache_ttl;
            let seconds = seconds.map(|it| if is_kv { kv_rules::cache_ttl(it) } else { it });
            read.optional_number("cacheTtl", seconds.map(i64::from));
        }),
        Effect::Write(writes) => {
            let mut count = 0;
            ask.objects("write", writes, |out, write| match write {
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
            });
        }
        Effect::List { prefix, cursor } => ask.object("list", |list| {
            list.text("prefix", &prefix);
            list.optional_text("cursor", cursor.as_deref());
        }),
        Effect::Sleep { milliseconds } => ask.number("sleep", milliseconds.into()),
        Effect::ReadRows { shard, keys } => {
            let body = objects::read(keys.iter().map(String::as_str));
            of_shard(ask, &shard, "read", &body);
        }
        Effect::Transact(it) => {
            let body = it.lend(async |checks, writes| objects::transact(checks, writes));
            // Nothing in it waits.
            let body = body.now_or_never().unwrap_or_default();
            of_shard(ask, &it.shard, "transact", &body);
        }
        Effect::ListRows {
            shard,
            prefix,
            cursor,
        } => {
            let body = objects::list(&prefix, cursor.as_deref());
            of_shard(ask, &shard, "list", &body);
        }
    });
}

/// A request to one shard of a store that has transactions.
fn of_shard(ask: &mut Object, shard: &str, operation: &str, body: &str) {
    ask.object("rows", |out| {
        out.text("shard", shard);
        out.text("operation", operation);
        out.raw("body", body);
    });
}

/// The state of a session that its own methods in JavaScript need, without its data. The first line has
/// the details that an application may ask for; the Set-Cookie values, which may be long, follow.
pub(super) fn session(head: &mut Object, lines: &mut String, store: &SessionStore) {
    store.peek(|store| {
        let mut shown = Object::new();
        details(&mut shown, store);
        lines.push('\n');
        lines.push_str(&shown.end());
        head.object("session", |out| state(out, lines, store));
    });
}

/// The same under another name, with the details in it.
pub(super) fn whole_session(head: &mut Object, name: &str, store: &SessionStore) {
    store.peek(|store| {
        head.object(name, |out| {
            // Without a cookie it sets none.
            state(out, &mut String::new(), store);
            out.object("details", |out| details(out, store));
        });
    });
}

fn state(out: &mut Object, lines: &mut String, store: &SessionStore) {
    // Why it cannot be read, and why it cannot be changed.
    if let Err(error) = store.is_empty() {
        self::error(out, "hides", &error);
    }
    if let Err(error) = store.check_open() {
        self::error(out, "edits", &error);
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
}

fn details(out: &mut Object, store: &SessionStore) {
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
}

/// The keys, and a line for each value; flash values come last.
pub(super) fn data(head: &mut Object, lines: &mut String, store: &SessionStore) {
    // The data cannot be read.
    let Some([values, flash]) = store.entries() else {
        return;
    };
    head.object("data", |data| {
        data.texts("values", values.iter().map(|(key, _)| key));
        data.texts("flash", flash.iter().map(|(key, _)| key));
    });
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
pub(super) fn error(head: &mut Object, name: &str, error: &SessionError) {
    head.object(name, |out| {
        out.text("code", error.code().as_str());
        out.text("message", error.message());
        let cause = error.connector_error().and_then(|cause| {
            let source = std::error::Error::source(cause)?;
            Some(source.downcast_ref::<Cause>()?.0)
        });
        out.optional_number("cause", cause.map(i64::from));
    });
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
    out.object("cacheControl", |out| {
        for (name, value) in CommitHeaders::of_session().cache_control(None) {
            out.text(name, value);
        }
    });
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
    out.object("outcomes", |out| {
        for outcome in Outcome::ALL {
            out.number(outcome.as_str(), stats.outcome(*outcome) as i64);
        }
    });
    out.end()
}

pub(super) fn listed(head: &mut Object, name: &str, sessions: &[OwnedSession]) {
    head.objects(name, sessions, |out, session| {
        out.text("key", session.key.as_str());
        out.number("created", milliseconds(session.created));
        out.number("lastWritten", milliseconds(session.last_written));
        out.optional_text("userAgent", session.user_agent.as_deref());
        out.optional_text("place", session.place.as_deref());
    });
}

pub(super) fn error_codes() -> String {
    let mut out = Object::new();
    for code in ErrorCode::ALL {
        out.object(code.as_str(), |out| {
            out.number("status", code.status().into());
            out.optional_number("retryAfter", code.retry_after().map(i64::from));
            out.flag("refusal", code.is_refusal());
        });
    }
    out.end()
}
