//! The browser's token, and the keys derived from it with a secret.

use std::rc::Rc;

use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::id::Id;
use crate::port::error::SessionError;
use crate::port::runtime::Runtime;

/// 32 bytes on the heap. They stay in one place when their owner is moved or cloned, and are wiped
/// when the last owner is dropped. Bytes that are moved by value would leave copies in memory.
#[derive(Clone)]
pub(super) struct SecretBytes(Rc<Zeroizing<[u8; 32]>>);

impl SecretBytes {
    /// Filled in place by `fill`.
    pub(super) fn filled<E>(fill: impl FnOnce(&mut [u8; 32]) -> Result<(), E>) -> Result<Self, E> {
        let mut bytes = Rc::new(Zeroizing::new([0; 32]));
        if let Some(place) = Rc::get_mut(&mut bytes) {
            fill(place)?;
        }
        Ok(Self(bytes))
    }
}

/// The secret that only the browser holds: 256 random bits. No `Debug`, no `Display`.
#[derive(Clone)]
pub(crate) struct Token(SecretBytes);

impl Token {
    pub(crate) const BYTES: usize = 32;

    pub(crate) fn random(runtime: &dyn Runtime) -> Result<Self, SessionError> {
        SecretBytes::filled(|bytes| runtime.fill_random(bytes)).map(Self)
    }

    /// `None` for any other number of bytes.
    pub(crate) fn from_bytes(from: &[u8]) -> Option<Self> {
        let copy = |bytes: &mut [u8; 32]| {
            let from: &[u8; 32] = from.try_into().map_err(drop)?;
            bytes.copy_from_slice(from);
            Ok::<(), ()>(())
        };
        SecretBytes::filled(copy).ok().map(Self)
    }

    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.0.0
    }

    pub(crate) fn is(&self, other: &Self) -> bool {
        self.bytes().ct_eq(other.bytes()).into()
    }
}

/// The key that seals one session's record.
#[derive(Clone)]
pub(crate) struct RecordKey(pub(super) SecretBytes);

impl RecordKey {
    pub(crate) fn bytes(&self) -> &[u8; 32] {
        &self.0.0
    }
}

/// The keys derived from a token with a secret.
#[derive(Clone)]
pub(crate) struct TokenKeys {
    /// Names the record.
    pub(crate) derived: Id,
    /// Opens it.
    pub(crate) record: RecordKey,
}
