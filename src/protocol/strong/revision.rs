//! The revision of a row, which identifies its write.

use crate::protocol::version::Version;
use crate::protocol::wire::{Put as _, encode_text};

/// A new revision for a write of `version`. The random bits make it unique, so that a writer
/// recognises its own row, and a restored row is not mistaken for the previous one.
pub(crate) fn revision(version: Version, dice: [u8; 8]) -> String {
    let mut bytes = Vec::with_capacity(Version::BYTES + dice.len());
    bytes.put_u32(version.counter);
    bytes.put_u32(version.writer);
    bytes.extend_from_slice(&dice);
    encode_text(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_and_dice_tell_revisions_apart() {
        let version = |counter, writer| Version { counter, writer };
        let some = [
            revision(version(1, 2), [3; 8]),
            revision(version(2, 2), [3; 8]),
            revision(version(1, 3), [3; 8]),
            revision(version(1, 2), [4; 8]),
        ];
        for (place, one) in some.iter().enumerate() {
            assert_eq!(one.len(), 22);
            assert!(!some[place + 1..].contains(one));
        }
    }
}
