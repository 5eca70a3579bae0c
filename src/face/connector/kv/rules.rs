//! Workers KV through the Worker's own binding.
//!
//! The rules of the store are pure functions, so that they are tested on any machine. The calls into
//! JavaScript are in `binding`.

use crate::port::connector::ConnectorErrorKind;
use crate::protocol::text;

/// The runtime reads times as 32-bit integers and throws on anything larger
/// (workerd, `src/workerd/api/kv.h`).
const MAX_SECONDS: u32 = i32::MAX as u32;

/// Keys of one bulk read (<https://developers.cloudflare.com/kv/api/read-key-value-pairs/>).
#[cfg(any(target_arch = "wasm32", feature = "worker"))]
pub(super) const MAX_BULK_KEYS: usize = 100;

/// A time to live in seconds that KV accepts: at least 60, never less than asked for
/// (<https://developers.cloudflare.com/kv/api/write-key-value-pairs/#expiring-keys>).
pub(crate) fn expiration_ttl(seconds: u32) -> u32 {
    seconds.clamp(60, MAX_SECONDS)
}

/// A cache time in seconds that KV accepts: at least 30
/// (<https://developers.cloudflare.com/kv/api/read-key-value-pairs/#cachettl-parameter>).
pub(crate) fn cache_ttl(seconds: u32) -> u32 {
    seconds.clamp(30, MAX_SECONDS)
}

/// The kind of a failure, from KV's error message.
///
/// The errors of the binding have no code and no status, only a message (workerd,
/// `src/workerd/api/kv.c++`). An unknown message is [`ConnectorErrorKind::Unavailable`], which
/// promises nothing.
pub(crate) fn classify(message: &str) -> ConnectorErrorKind {
    // The platform throws these before it asks KV. The limits of one invocation are not daily limits,
    // but in both cases a retry cannot help.
    let lower = message.to_ascii_lowercase();
    if text::contains(&lower, "limit exceeded for the day")
        || text::contains(&lower, "by single worker invocation")
        || lower.starts_with("too many subrequests")
    {
        return ConnectorErrorKind::Quota;
    }
    match status(message) {
        Some(429) => ConnectorErrorKind::RateLimited,
        Some(413 | 414) => ConnectorErrorKind::TooLarge,
        _ => ConnectorErrorKind::Unavailable,
    }
}

/// The status in `KV <operation> failed: <status> <text>`.
fn status(message: &str) -> Option<u16> {
    let (_operation, rest) = message.strip_prefix("KV ")?.split_once(' ')?;
    let status = rest.strip_prefix("failed: ")?;
    status.split(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use ConnectorErrorKind::{Quota, RateLimited, TooLarge, Unavailable};

    #[test]
    fn every_known_message_has_its_kind() {
        for (message, kind) in [
            // The runtime's report of a status of the store.
            ("KV PUT failed: 429 Too Many Requests", RateLimited),
            ("KV GET failed: 429 Too Many Requests", RateLimited),
            ("KV GET_BULK failed: 429 Too Many Requests", RateLimited),
            ("KV DELETE failed: 429 Too Many Requests", RateLimited),
            (
                "KV PUT failed: 413 Value length of 26214401 exceeds limit of 26214400.",
                TooLarge,
            ),
            (
                "KV PUT failed: 413 Metadata length of 1027 exceeds limit of 1024.",
                TooLarge,
            ),
            (
                "KV PUT failed: 414 UTF-8 encoded length of 513 exceeds key length limit of 512.",
                TooLarge,
            ),
            ("KV GET_BULK failed: 413 Request Entity Too Large", TooLarge),
            ("KV GET failed: 500 Internal Server Error", Unavailable),
            ("KV GET_BULK failed: 500 Internal Server Error", Unavailable),
            ("KV PUT failed: 502 Bad Gateway", Unavailable),
            ("KV GET failed: 503 Service Unavailable", Unavailable),
            ("KV DELETE failed: 504 Gateway Timeout", Unavailable),
            (
                "KV GET failed: 400 Invalid cache_ttl of 29. Cache TTL must be at least 30.",
                { Unavailable },
            ),
            (
                "KV PUT failed: 400 Invalid expiration_ttl of 59. Expiration TTL must be at \
                 least 60.",
                Unavailable,
            ),
            (
                "KV GET_BULK failed: 400 You can request a maximum of 100 keys",
                Unavailable,
            ),
            // A day's quota of the free plan.
            ("KV put() limit exceeded for the day.", Quota),
            ("KV get() limit exceeded for the day.", Quota),
            ("KV delete() limit exceeded for the day.", Quota),
            ("KV list() limit exceeded for the day", Quota),
            // The limits of one invocation.
            ("Too many API requests by single Worker invocation.", Quota),
            ("Too many API requests by single worker invocation.", Quota),
            (
                "Too many API requests by single Worker invocation. To configure this limit, \
                 refer to https://developers.cloudflare.com/workers/wrangler/configuration/#limits",
                Quota,
            ),
            ("Too many subrequests by single Worker invocation.", Quota),
            ("Too many subrequests.", Quota),
            // The runtime's own checks, and failures of the network.
            ("Key name cannot be empty.", Unavailable),
            ("\".\" is not allowed as a key name.", Unavailable),
            (
                "Value out of range. Must be between -2147483648 and 2147483647 (inclusive).",
                Unavailable,
            ),
            ("Network connection lost.", Unavailable),
            ("internal error; reference = abc429def413", Unavailable),
            // A status is read in its place only.
            (
                "KV GET failed: 500 upstream said 429 Too Many Requests",
                Unavailable,
            ),
            ("KV PUT failed: 4290 Odd", Unavailable),
            ("KV PUT failed:", Unavailable),
            ("KV PUT failed: ", Unavailable),
            ("backend: KV PUT failed: 429 Too Many Requests", Unavailable),
            ("KV is not what failed: 429", Unavailable),
            ("", Unavailable),
        ] {
            assert_eq!(classify(message), kind, "{message:?}");
        }
    }

    #[test]
    fn times_are_brought_into_what_the_runtime_takes() {
        for (asked, given) in [(0, 60), (59, 60), (60, 60), (61, 61), (604_800, 604_800)] {
            assert_eq!(expiration_ttl(asked), given);
        }
        for (asked, given) in [(0, 30), (29, 30), (30, 30), (31, 31)] {
            assert_eq!(cache_ttl(asked), given);
        }
        for asked in [2_147_483_647, 2_147_483_648, u32::MAX] {
            assert_eq!(expiration_ttl(asked), 2_147_483_647);
            assert_eq!(cache_ttl(asked), 2_147_483_647);
        }
    }
}
