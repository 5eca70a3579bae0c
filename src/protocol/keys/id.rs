//! Ids, and the tags that authenticate them.

use std::fmt;

use crate::protocol::wire::{decode_text, push_text};

/// Identifies a secret of the ring inside a cookie.
pub(crate) type KeyId = [u8; 4];

/// A truncated HMAC-SHA256.
pub(crate) type Tag = [u8; 16];

/// An identifier of 16 bytes: a derived key, a lineage or an owner tag.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Id(pub(crate) [u8; 16]);

impl Id {
    /// Characters of an id's text.
    pub(crate) const TEXT: usize = 22;

    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text.len() != Self::TEXT {
            return None;
        }
        decode_text(text)?.try_into().ok().map(Self)
    }

    pub(super) fn push_to(&self, out: &mut String) {
        push_text(out, &self.0);
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::with_capacity(Self::TEXT);
        self.push_to(&mut text);
        f.write_str(&text)
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Id({self})")
    }
}
