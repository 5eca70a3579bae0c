//! Reads and writes the binary formats of cookies and records.
//!
//! Integers are big-endian; an instant is 48 bits of milliseconds since 1970 (until the year
//! 10889); a length is LEB128. Text is base64url without padding (RFC 4648 section 5), and only
//! its canonical form is read: two texts never mean the same bytes.

use base64_simd::{AsOut as _, URL_SAFE_NO_PAD};

/// The greatest instant that the formats can represent.
pub(crate) const MAX_INSTANT: i64 = (1 << 48) - 1;

/// The instant that is stored for this one.
pub(crate) fn stored_instant(milliseconds: i64) -> i64 {
    milliseconds.clamp(0, MAX_INSTANT)
}

/// The text of `bytes`.
pub(crate) fn encode_text(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode_to_string(bytes)
}

/// Appends the 22 characters of 16 bytes.
pub(crate) fn push_text(out: &mut String, bytes: &[u8; 16]) {
    let mut text = [0; 22];
    out.push_str(URL_SAFE_NO_PAD.encode_as_str(bytes, text.as_mut_slice().as_out()));
}

/// The bytes of canonical base64url `text`; `None` for anything else, unused bits included.
pub(crate) fn decode_text(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode_to_vec(text).ok()
}

pub(crate) trait Put {
    fn put_u32(&mut self, value: u32);
    fn put_instant(&mut self, milliseconds: i64);
    fn put_block(&mut self, bytes: &[u8]);
    fn put_length(&mut self, length: usize);
}

impl Put for Vec<u8> {
    fn put_u32(&mut self, value: u32) {
        self.extend_from_slice(&value.to_be_bytes());
    }

    fn put_instant(&mut self, milliseconds: i64) {
        let bytes = stored_instant(milliseconds).to_be_bytes();
        self.extend_from_slice(&bytes[2..]);
    }

    fn put_block(&mut self, bytes: &[u8]) {
        self.put_length(bytes.len());
        self.extend_from_slice(bytes);
    }

    fn put_length(&mut self, mut length: usize) {
        while length >= 0x80 {
            self.push((length & 0x7f) as u8 | 0x80);
            length >>= 7;
        }
        self.push(length as u8);
    }
}

/// Reads values written by [`Put`]. Every method returns `None` past the end.
pub(crate) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn rest(&self) -> &'a [u8] {
        self.0
    }

    pub(crate) fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(length)?;
        self.0 = tail;
        Some(head)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, tail) = self.0.split_first_chunk::<N>()?;
        self.0 = tail;
        Some(*head)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_be_bytes)
    }

    pub(crate) fn instant(&mut self) -> Option<i64> {
        let [a, b, c, d, e, f] = self.array()?;
        Some(i64::from_be_bytes([0, 0, a, b, c, d, e, f]))
    }

    pub(crate) fn length(&mut self) -> Option<usize> {
        let mut length = 0usize;
        // Four groups reach 256 MiB, ten times the largest value of a namespace.
        for shift in [0, 7, 14, 21] {
            let byte = self.u8()?;
            length |= usize::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                // A last group of zero would be another encoding of the same length.
                return (byte != 0 || shift == 0).then_some(length);
            }
        }
        None
    }

    pub(crate) fn block(&mut self) -> Option<&'a [u8]> {
        let length = self.length()?;
        self.bytes(length)
    }

    pub(crate) fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.block()?).ok()
    }
}

#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(number: u32, instant in 0..=MAX_INSTANT, block: Vec<u8>, length in 0usize..1 << 28) {
            let mut bytes = Vec::new();
            bytes.put_u32(number);
            bytes.put_instant(instant);
            bytes.put_block(&block);
            bytes.put_length(length);
            let mut reader = Reader::new(&bytes);
            prop_assert_eq!(reader.u32(), Some(number));
            prop_assert_eq!(reader.instant(), Some(instant));
            prop_assert_eq!(reader.block(), Some(&block[..]));
            prop_assert_eq!(reader.length(), Some(length));
            prop_assert!(reader.is_empty());
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>) {
            let mut reader = Reader::new(&bytes);
            while reader.text().is_some() && !reader.is_empty() {}
            let _ = (reader.u32(), reader.instant(), reader.length());
        }

        #[test]
        fn text_has_one_form(bytes: Vec<u8>) {
            let text = encode_text(&bytes);
            prop_assert_eq!(decode_text(&text), Some(bytes));
        }

        #[test]
        fn sixteen_bytes_are_written_alike(bytes: [u8; 16]) {
            let mut text = String::new();
            push_text(&mut text, &bytes);
            prop_assert_eq!(text, encode_text(&bytes));
        }
    }

    /// RFC 4648 section 5.
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

    #[test]
    fn the_text_is_that_of_rfc_4648() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg"),
            ("fo", "Zm8"),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg"),
            ("fooba", "Zm9vYmE"),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(encode_text(bytes.as_bytes()), text);
        }
        let all: Vec<u8> = (0..64).collect();
        let sextets = all.as_chunks::<4>().0.iter();
        let bytes: Vec<u8> = sextets
            .flat_map(|[a, b, c, d]| [a << 2 | b >> 4, b << 4 | c >> 2, c << 6 | d])
            .collect();
        assert_eq!(encode_text(&bytes).as_bytes(), ALPHABET);
        assert_eq!(decode_text(&encode_text(&bytes)), Some(bytes));
        // Every byte that is not of it, at every place of a group.
        for foreign in (0..0x80_u8).filter(|byte| !ALPHABET.contains(byte)) {
            for at in 0..15 {
                let mut text = *b"Zm9vYmFyZm9vYmE";
                text[at] = foreign;
                let text = std::str::from_utf8(&text).unwrap();
                assert_eq!(decode_text(text), None, "{text:?}");
            }
        }
        assert_eq!(decode_text("Zm9vé"), None);
    }

    #[test]
    fn unused_bits_and_padding_are_refused() {
        assert_eq!(decode_text("AA"), Some(vec![0]));
        for other in ["AB", "AP", "AA==", "A", "A+", " AA", "AA\n"] {
            assert_eq!(decode_text(other), None, "{other:?}");
        }
    }

    #[test]
    fn instants_are_clamped_not_wrapped() {
        for (given, read) in [(-1, 0), (i64::MIN, 0), (i64::MAX, MAX_INSTANT)] {
            let mut bytes = Vec::new();
            bytes.put_instant(given);
            assert_eq!(Reader::new(&bytes).instant(), Some(read));
        }
    }

    #[test]
    fn a_length_has_one_form() {
        assert_eq!(Reader::new(&[0x80, 0x00]).length(), None);
        assert_eq!(Reader::new(&[0xff; 9]).length(), None);
    }
}
