//! The size limits of a session.

use crate::port::error::{ErrorCode, SessionError};
use crate::protocol::data::Data;
use crate::protocol::settings::Settings;

/// Checks that the dictionary may have `key`.
pub(crate) fn check_key(key: &str, settings: &Settings) -> Result<(), SessionError> {
    let most = settings.max_key_bytes() as usize;
    if key.len() > most {
        let (actual, setting) = (key.len(), settings.name_of("SESSION_MAX_KEY_BYTES"));
        return Err(SessionError::new(
            ErrorCode::TooLarge,
            format!("the key is {actual} bytes long; {setting} allows {most}"),
        ));
    }
    Ok(())
}

/// A session may have removed this many times as many keys as it may have.
const REMOVED: u32 = 4;

/// Checks that a record may remember the keys that are removed in `data`. They are kept for
/// `removed_for` milliseconds, for the sake of older copies, and each load reads them too.
pub(crate) fn check_removed(
    data: &Data,
    settings: &Settings,
    removed_for: i64,
) -> Result<(), SessionError> {
    let (mut keys, mut bytes) = (0_usize, 0_usize);
    for key in data.removed() {
        keys += 1;
        bytes += key.len();
    }
    let refuse = |actual: usize, what: &str, allowed: usize, variable: &'static str| {
        let (setting, seconds) = (settings.name_of(variable), removed_for / 1_000);
        Err(SessionError::new(
            ErrorCode::TooLarge,
            format!(
                "the session has removed {actual} {what} within {seconds} seconds; {setting} allows \
                 {allowed}: wait, or call clear() while it has other keys, which forgets them"
            ),
        ))
    };
    let most = settings.max_keys().saturating_mul(REMOVED) as usize;
    if keys > most {
        return refuse(keys, "keys", most, "SESSION_MAX_KEYS");
    }
    let most = settings.max_record_bytes() as usize;
    if bytes > most {
        return refuse(bytes, "bytes of keys", most, "SESSION_MAX_RECORD_BYTES");
    }
    Ok(())
}

/// Checks that a record may have this `data`.
pub(crate) fn check_size(data: &Data, settings: &Settings) -> Result<(), SessionError> {
    let refuse = |actual: usize, what: &str, allowed: u32, variable: &'static str| {
        let setting = settings.name_of(variable);
        Err(SessionError::new(
            ErrorCode::TooLarge,
            format!("the session has {actual} {what}; {setting} allows {allowed}"),
        ))
    };
    let keys = data.values.len() + data.flash.len();
    if keys > settings.max_keys() as usize {
        return refuse(keys, "keys", settings.max_keys(), "SESSION_MAX_KEYS");
    }
    let tables = [&data.values, &data.flash];
    let bytes: usize = tables
        .iter()
        .flat_map(|table| table.iter())
        .map(|(key, text)| key.len() + text.len())
        .sum();
    if bytes > settings.max_record_bytes() as usize {
        let allowed = settings.max_record_bytes();
        return refuse(bytes, "bytes of data", allowed, "SESSION_MAX_RECORD_BYTES");
    }
    Ok(())
}
