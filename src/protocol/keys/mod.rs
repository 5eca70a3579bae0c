//! The secrets, and everything that is derived from them.
//!
//! A token is the browser's secret; a secret is the Worker's. What names a session is derived from
//! both and opens nothing; what opens a record is derived from both and is stored nowhere. So the
//! namespace without a token is unreadable, even to whoever holds the secret.
//!
//! 1. `token`: the browser's secret, and the key of a record. `id`: 16 bytes that name something.
//! 2. `session_key`: what names a session. `public_key`: the text of that for applications. `names`:
//!    the names in a namespace.
//! 3. `secret`: the ring of the Worker's secrets, and all derivations.

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
