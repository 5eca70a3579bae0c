//! How fresh an answer of the store must be.

use crate::port::connector::ReadOptions;
use crate::port::time::seconds;
use crate::protocol::config::Config;

/// The smallest cache time that Workers KV accepts, for loads that need the freshest copy
/// (<https://developers.cloudflare.com/kv/api/read-key-value-pairs/#cachettl-parameter>).
const FRESH_CACHE_TTL: u32 = 30;

/// The sources that a load may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Freshness {
    /// The isolate's memory, or the store.
    Memory,
    /// The store.
    Store,
    /// The store, with its shortest cache time.
    Shortest,
}

impl Freshness {
    pub(crate) fn options(self, config: &Config) -> ReadOptions {
        ReadOptions::cache_ttl(match self {
            Self::Shortest => FRESH_CACHE_TTL,
            Self::Memory | Self::Store => seconds(config.settings().kv_cache_ttl()),
        })
    }
}
