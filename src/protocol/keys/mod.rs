//! The secrets and everything derived from them.
//!
//! A token belongs to the browser, a secret to the Worker. The name of a session is derived from
//! both and opens nothing. The key that opens its record is derived from both and is not stored. So
//! without tokens the records are unreadable, even with the secret.
//!
//! 1. `token`: the browser's token, and the key of a record. `id`: identifiers of 16 bytes.
//! 2. `session_key`: the name of a session. `public_key`: its text for applications. `names`: the
//!    names in a namespace.
//! 3. `secret`: the Worker's secrets, and all derivations.

mod id;
mod names;
mod public_key;
mod secret;
mod session_key;
mod token;

pub(crate) use id::{Id, KeyId, Tag};
pub(crate) use names::Names;
pub use public_key::SessionKey;
pub use secret::SecretRing;
pub(crate) use secret::{Purpose, Ring, Secret};
pub(crate) use session_key::{Dead, KeyParts};
pub(crate) use token::{RecordKey, Token, TokenKeys};
