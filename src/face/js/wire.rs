//! The texts that cross: lines, because no JSON text needs a line break.

use std::fmt::Write as _;
use std::rc::Rc;

use crate::face::sessions::CommitHeaders;
use crate::face::store::SessionStore;
use crate::flow::stats::Stats;
use crate::port::error::{ErrorCode, SessionError};
use crate::protocol::data::Data;
use crate::protocol::json;
use crate::protocol::settings::Settings;
use crate::session::life::{Base, Life};

/// Phase, whether it is destroyed, whether it is closed to every accessor, and what the load found;
/// the [facts](Facts); the keys and the flash keys as JSON; then a line for each text, in the order
/// of the keys.
pub(super) fn state(store: &SessionStore) -> String {
    let phase = match store.life {
        Life::Unloaded => 'u',
        Life::Open(_) | Life::Ended { .. } => 'l',
        Life::Committed(_) => 'c',
    };
    let destroyed = if store.life.is_ended() { '1' } else { '0' };
    let nothing = Data::default();
    let open = store.life.open();
    let data = open.map_or(&nothing, |open| &open.draft.data);
    let tables = [&data.values, &data.flash];
    let texts = tables.iter().flat_map(|table| table.iter());
    let bytes: usize = texts.map(|(key, text)| key.len() + text.len() + 8).sum();
    let mut out = String::with_capacity(256 + bytes);
    let closed = open.is_some_and(|open| matches!(open.base, Base::Closed(_)));
    out.push(phase);
    out.push(destroyed);
    out.push(if closed { '1' } else { '0' });
    out.push_str(store.outcome.as_str());
    out.push('\n');
    Facts::of(store).write(&mut out);
    for table in tables {
        out.push('\n');
        let mut mark = '[';
        for (key, _) in table.iter() {
            out.push(mark);
            json::quote(&mut out, key);
            mark = ',';
        }
        out.push_str(if mark == '[' { "[]" } else { "]" });
    }
    for table in tables {
        for (_, text) in table.iter() {
            out.push('\n');
            // A line break in a JSON text stands between its parts, where a space does as well.
            if has_line_break(text) {
                out.push_str(&text.replace('\n', " "));
            } else {
                out.push_str(text);
            }
        }
    }
    out
}

/// Looks at every byte, sixteen at a time, where stopping at the first would take them by eights.
fn has_line_break(text: &str) -> bool {
    text.bytes()
        .fold(false, |found, byte| found | (byte == b'\n'))
}

/// Applies what `js/values.js` wrote: `*` for a clear; `-` and `_` before a key to remove, `+` and
/// `!` before a key to set and the line of its text, among the values and the flash values.
pub(super) fn apply(store: &mut SessionStore, changes: &str) -> Result<(), SessionError> {
    if changes.is_empty() {
        return Ok(());
    }
    let garbled = || SessionError::invalid("the changes of the session are garbled");
    let mut lines = changes.split('\n');
    while let Some(line) = lines.next() {
        let mut rest = line.chars();
        let kind = rest.next().ok_or_else(garbled)?;
        if kind == '*' {
            store.clear()?;
            continue;
        }
        let key = json::unquote(rest.as_str()).ok_or_else(garbled)?;
        match kind {
            '-' => drop(store.take_json(&key)?),
            '_' => store.take_flash_json(&key)?,
            '+' => store.put_json(&key, lines.next().ok_or_else(garbled)?.to_owned())?,
            '!' => store.flash_json(&key, lines.next().ok_or_else(garbled)?.to_owned())?,
            _ => return Err(garbled()),
        }
    }
    Ok(())
}

/// Whether the answer depends on the session; what is known of it, where that has changed; what the
/// request has measured, where that is asked for; a line for each Set-Cookie.
pub(super) fn committed(headers: &CommitHeaders, store: &SessionStore) -> String {
    let cookies = headers.set_cookie();
    let mut out = String::with_capacity(if cookies.is_empty() { 64 } else { 1024 });
    out.push(if headers.depends_on_session() {
        '1'
    } else {
        '0'
    });
    out.push('\n');
    // Nothing is saved, or slid, without a cookie.
    if !cookies.is_empty() {
        Facts::of(store).write(&mut out);
    }
    out.push('\n');
    // Whether anything was looked at is known on the other side.
    out.push_str(headers.server_timing.as_deref().unwrap_or_default());
    for cookie in cookies {
        out.push('\n');
        out.push_str(cookie);
    }
    out
}

/// What is known of a session beside its data.
pub(super) struct Facts {
    key: Option<String>,
    is_new: bool,
    version: u32,
    created_at: Option<i64>,
    owner: Option<Rc<str>>,
    auth_time: Option<i64>,
    end: Option<i64>,
    idle_end: Option<i64>,
    browser_close: bool,
    modified: bool,
    needs_update: bool,
}

impl Facts {
    pub(super) fn of(store: &SessionStore) -> Self {
        store.peek(|store| Self {
            key: store.public_key(),
            is_new: store.is_new(),
            version: store.version(),
            created_at: store.created_at(),
            owner: store.owner().ok().flatten().map(Rc::from),
            auth_time: store.auth_time().ok().flatten(),
            end: store.get_expiry_date().ok(),
            idle_end: store.idle_expires_at().ok().flatten(),
            browser_close: store.get_expire_at_browser_close().unwrap_or_default(),
            modified: store.modified(),
            needs_update: store.needs_update(),
        })
    }

    pub(super) fn to_json(&self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        out
    }

    /// An array, in the order that `js/session-store.js` reads it.
    fn write(&self, out: &mut String) {
        out.push('[');
        match &self.key {
            // Writing to a String does not fail.
            Some(key) => drop(write!(out, "\"{key}\"")),
            None => out.push_str("null"),
        }
        flag(out, self.is_new);
        number(out, Some(i64::from(self.version)));
        number(out, self.created_at);
        out.push(',');
        text(out, self.owner.as_deref());
        number(out, self.auth_time);
        number(out, self.end);
        number(out, self.idle_end);
        flag(out, self.browser_close);
        flag(out, self.modified);
        flag(out, self.needs_update);
        out.push(']');
    }
}

fn text(out: &mut String, value: Option<&str>) {
    match value {
        Some(value) => json::quote(out, value),
        None => out.push_str("null"),
    }
}

fn flag(out: &mut String, value: bool) {
    out.push_str(if value { ",1" } else { ",0" });
}

fn number(out: &mut String, value: Option<i64>) {
    match value {
        // Writing to a String does not fail.
        Some(value) => {
            let _ = write!(out, ",{value}");
        }
        None => out.push_str(",null"),
    }
}

/// What JavaScript has to know of the settings.
pub(super) fn settings(settings: &Settings) -> String {
    format!(
        "[{},{},{},{},{}]",
        settings.max_depth(),
        settings.max_key_bytes(),
        settings.staleness_bound(),
        u8::from(settings.disable_warnings()),
        u8::from(settings.server_timing()),
    )
}

/// What was counted, in the order that `js/realm.js` reads it.
pub(super) fn stats(stats: &Stats) -> String {
    let counts = [
        stats.requests,
        stats.table_loads,
        stats.store_loads,
        stats.reads,
        stats.keys_read,
        stats.puts,
        stats.deletes,
        stats.lists,
        stats.retries,
        stats.conflicts,
        stats.limit_failures,
        stats.table_entries,
        stats.table_bytes,
        stats.wasm_bytes,
    ];
    let mut out = String::from("[0");
    for count in counts.iter().chain(&stats.outcomes) {
        number(&mut out, Some(*count as i64));
    }
    out.push(']');
    out
}

/// `code: [status, seconds to retry after or 0, 1 for a refusal]`.
pub(super) fn error_codes() -> String {
    let mut out = String::with_capacity(1024);
    for code in ErrorCode::ALL {
        out.push(if out.is_empty() { '{' } else { ',' });
        let retry = code.retry_after().unwrap_or(0);
        let refusal = u8::from(code.is_refusal());
        let _ = write!(out, "\"{code}\":[{},{retry},{refusal}]", code.status());
    }
    out.push('}');
    out
}
