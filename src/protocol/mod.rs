//! Values and rules: no I/O, no clock, no storage, no JavaScript. What is written here, other
//! releases have to read.
//!
//! 1. `cookie`: how cookies are found in a header and written. `ticket` and `form`: what they carry,
//!    and the check of their MACs.
//! 2. `keys`: the secrets, and what is derived from them.
//! 3. `record`: what is stored of a session. `data`: its values, and how two copies are joined.
//!    `version` orders copies. `list_metadata`: what a list shows of it.
//! 4. `revocation`: the markers that say what is dead.
//! 5. `outcome`: the one function that decides what all of it means together. `strong`: the rules of
//!    a store that has transactions.
//! 6. `expiry`: when a session ends. `settings` and `config`: what a deployment decides.
//! 7. `cache_control`: what an answer says to caches.
//! 8. `wire`, `json`, `json_object` and `text`: bytes and texts.

pub(crate) mod cache_control;
pub(crate) mod config;
pub(crate) mod cookie;
pub(crate) mod data;
pub(crate) mod expiry;
pub(crate) mod form;
pub(crate) mod json;
pub(crate) mod json_object;
pub(crate) mod keys;
pub(crate) mod list_metadata;
pub(crate) mod outcome;
pub(crate) mod record;
pub(crate) mod revocation;
pub(crate) mod settings;
pub(crate) mod strong;
pub(crate) mod text;
pub(crate) mod ticket;
pub(crate) mod version;
pub(crate) mod wire;
