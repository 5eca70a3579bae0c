//! The revision of a row: which write made it.

use crate::protocol::version::Version;
use crate::protocol::wire::{Put as _, encode_text};

/// The revision of what is written at `version`. The random bits make it one that no other write
/// has, so that whoever wrote a row recognises it, and a row that came back is not taken for the one
/// before.
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
