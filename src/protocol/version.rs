//! The version of a record and of each key in it.

use crate::protocol::wire::{Put, Reader};

/// (counter, writer): the counter grows with each save. The writer has 32 random bits, so that two
/// saves that did not know of each other differ. Ordered by counter, then writer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Version {
    pub(crate) counter: u32,
    pub(crate) writer: u32,
}

impl Version {
    /// Bytes that [`encode`](Self::encode) appends.
    pub(crate) const BYTES: usize = 8;

    /// The version that a save after `self` writes.
    pub(crate) fn next(self, writer: u32) -> Self {
        Self {
            counter: self.counter.saturating_add(1),
            writer,
        }
    }

    pub(crate) fn encode(self, out: &mut Vec<u8>) {
        out.put_u32(self.counter);
        out.put_u32(self.writer);
    }

    pub(crate) fn decode(reader: &mut Reader<'_>) -> Option<Self> {
        Some(Self {
            counter: reader.u32()?,
            writer: reader.u32()?,
        })
    }
}
