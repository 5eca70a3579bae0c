//! The data that a list of a user's sessions shows, stored as metadata of each record.
//!
//! It is sealed with a key of the secret, because a listing has no tokens.

use std::rc::Rc;

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};

use crate::protocol::keys::Secret;
use crate::protocol::record::Envelope;
use crate::protocol::wire::{Put as _, Reader, decode_text, encode_text};

/// The format byte of sealed metadata.
const FORMAT: u8 = 2;
const NONCE: usize = 24;
/// The most bytes of a user agent. All metadata together stays below the 1024 bytes of Workers KV.
const USER_AGENT_MAX: usize = 256;
/// The most bytes of a place.
const PLACE_MAX: usize = 32;

/// The content of a record's list metadata.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Listed {
    pub(crate) created: i64,
    pub(crate) last_written: i64,
    pub(crate) bound_at: i64,
    pub(crate) hard_end: i64,
    pub(crate) user_agent: Option<String>,
    pub(crate) place: Option<String>,
}

/// The list metadata of a record; `None` for an anonymous session.
pub(crate) fn list_metadata(
    secret: &Secret,
    nonce: [u8; NONCE],
    envelope: &Envelope,
    storage_key: &str,
) -> Option<String> {
    let bound = envelope.bound.as_ref()?;
    let cut = |text: &Option<Rc<str>>, most| text.as_deref().map(|text| cut(text, most).to_owned());
    let listed = Listed {
        created: envelope.created_at,
        last_written: envelope.saved_at,
        bound_at: bound.at,
        hard_end: envelope.hard_end,
        user_agent: cut(&envelope.device.user_agent, USER_AGENT_MAX),
        place: cut(&envelope.device.place, PLACE_MAX),
    };
    listed.seal(secret, nonce, storage_key)
}

impl Listed {
    fn seal(&self, secret: &Secret, nonce: [u8; NONCE], storage_key: &str) -> Option<String> {
        let mut plain = Vec::with_capacity(64);
        for instant in [
            self.created,
            self.last_written,
            self.bound_at,
            self.hard_end,
        ] {
            plain.put_instant(instant);
        }
        for text in [&self.user_agent, &self.place] {
            plain.put_block(text.as_deref().unwrap_or_default().as_bytes());
        }
        let associated = associated_data(storage_key);
        let payload = Payload {
            msg: &plain,
            aad: &associated,
        };
        let cipher = XChaCha20Poly1305::new(secret.metadata_key().into());
        let sealed = cipher.encrypt(&XNonce::from(nonce), payload).ok()?;
        let mut out = vec![FORMAT];
        out.extend_from_slice(&nonce);
        out.extend_from_slice(&sealed);
        Some(encode_text(&out))
    }

    pub(crate) fn open(text: &str, secret: &Secret, storage_key: &str) -> Option<Self> {
        let bytes = decode_text(text)?;
        let mut reader = Reader::new(&bytes);
        if reader.u8()? != FORMAT {
            return None;
        }
        let nonce = XNonce::from(reader.array::<NONCE>()?);
        let associated = associated_data(storage_key);
        let payload = Payload {
            msg: reader.rest(),
            aad: &associated,
        };
        let cipher = XChaCha20Poly1305::new(secret.metadata_key().into());
        let plain = cipher.decrypt(&nonce, payload).ok()?;
        let mut reader = Reader::new(&plain);
        let listed = Self {
            created: reader.instant()?,
            last_written: reader.instant()?,
            bound_at: reader.instant()?,
            hard_end: reader.instant()?,
            user_agent: Some(reader.text()?.to_owned()).filter(|text| !text.is_empty()),
            place: Some(reader.text()?.to_owned()).filter(|text| !text.is_empty()),
        };
        reader.is_empty().then_some(listed)
    }
}

fn associated_data(storage_key: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(16 + storage_key.len());
    out.put_block(&[FORMAT]);
    out.put_block(b"metadata");
    out.put_block(storage_key.as_bytes());
    out
}

/// The first `most` bytes of `text`, or fewer, so that no character is cut.
fn cut(text: &str, most: usize) -> &str {
    let mut end = most.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::keys::Ring;

    fn listed() -> Listed {
        Listed {
            created: 1,
            last_written: 2,
            bound_at: 3,
            hard_end: 4,
            user_agent: Some("Mozilla/5.0 (é)".into()),
            place: None,
        }
    }

    #[test]
    fn metadata_opens_at_its_place_with_its_secret() {
        let ring = Ring::sample(
            "lR0v9cFqWm3kXo2TzJ7yPb5sUe8hNd1GaQ4iCxKtMwY,Zq8w2eRt5yUi0pAs3dFg6hJk9lXc1vBn4mQwErTyUiO",
        );
        let [one, two] = [0, 1].map(|n| ring.iter().nth(n).unwrap());
        let text = listed().seal(one, [7; 24], "s.a").unwrap();
        assert_eq!(Listed::open(&text, one, "s.a"), Some(listed()));
        assert_eq!(Listed::open(&text, two, "s.a"), None);
        assert_eq!(Listed::open(&text, one, "s.b"), None);
    }

    #[test]
    fn the_longest_metadata_fits() {
        let ring = Ring::sample("lR0v9cFqWm3kXo2TzJ7yPb5sUe8hNd1GaQ4iCxKtMwY");
        let longest = Listed {
            user_agent: Some(cut(&"é".repeat(999), USER_AGENT_MAX).into()),
            place: Some(cut(&"x".repeat(999), PLACE_MAX).into()),
            ..listed()
        };
        let text = longest.seal(ring.signer(), [7; 24], "s.a").unwrap();
        assert!(text.len() + 2 <= 1_024, "{}", text.len());
    }

    #[test]
    fn metadata_is_the_known_one() {
        use crate::vectors::{HARD_END, MINTED, known, range, record_name, ring};
        let listed = Listed {
            created: MINTED,
            last_written: MINTED + 5_000,
            bound_at: MINTED + 1,
            hard_end: HARD_END,
            user_agent: Some("Mozilla/5.0 (é)".into()),
            place: Some("CH".into()),
        };
        let (ring, name) = (ring(), record_name());
        let text = listed.seal(ring.signer(), range(0x40), &name);
        assert_eq!(text, Some(known("list metadata")));
        assert_eq!(
            Listed::open(&known("list metadata"), ring.signer(), &name),
            Some(listed)
        );
    }

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!(cut("aé", 2), "a");
        assert_eq!(cut("aé", 3), "aé");
        assert_eq!(cut("", 3), "");
    }
}
