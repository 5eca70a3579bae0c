//! The stored form of a session: its envelope, sealed with the session's own key.
//!
//! Records are sealed with XChaCha20-Poly1305 under a key derived from the token, so only the
//! browser's cookie opens a record. The associated data contains format, purpose, storage key and
//! version: a record that was moved to another key, or given another version, does not open.
//!
//! With `SESSION_SEAL=false` the same envelope is stored as plain JSON. If records are sealed,
//! plain JSON is not accepted, because anybody who can write to the namespace could store it.
//! `docs/wire-format.md` has the bytes.

use std::rc::Rc;

use chacha20poly1305::aead::{AeadInOut as _, KeyInit as _};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};

use super::envelope::{Bound, Device, Envelope, Unreadable};
use super::plain;
use crate::protocol::data::{Data, Slot, Table};
use crate::protocol::expiry::OwnLimits;
use crate::protocol::keys::RecordKey;
use crate::protocol::version::Version;
use crate::protocol::wire::{Put, Reader, decode_text, encode_text};

/// The first byte of a sealed record of this format.
const SEALED: u8 = 2;
const PURPOSE: &[u8] = b"record";
const NONCE: usize = 24;
const TAG: usize = 16;
/// The number of bytes before the sealed part: format, version, nonce.
const HEAD: usize = 1 + Version::BYTES + NONCE;

impl Envelope {
    /// The text to store under `storage_key`.
    pub(crate) fn seal(
        &self,
        key: &RecordKey,
        nonce: [u8; NONCE],
        storage_key: &str,
    ) -> Option<String> {
        let mut out = Vec::with_capacity(self.weight());
        out.push(SEALED);
        self.version.encode(&mut out);
        out.extend_from_slice(&nonce);
        self.encode(&mut out);
        let associated = associated_data(storage_key, self.version);
        let plain = out.get_mut(HEAD..)?;
        // This fails only for more than 256 GiB, the limit of the cipher.
        let tag = XChaCha20Poly1305::new(key.bytes().into())
            .encrypt_inout_detached(&XNonce::from(nonce), &associated, plain.into())
            .ok()?;
        out.extend_from_slice(&tag);
        Some(encode_text(&out))
    }

    /// The envelope in a stored text. If `sealed` is false, both forms are accepted.
    pub(crate) fn open(
        text: &str,
        key: &RecordKey,
        storage_key: &str,
        sealed: bool,
    ) -> Result<Self, Unreadable> {
        if text.starts_with('{') {
            // Anybody can write plain JSON. Accepting it would defeat the seal.
            return if sealed {
                Err(Unreadable::Corrupt)
            } else {
                plain::read(text)
            };
        }
        let mut bytes = decode_text(text).ok_or(Unreadable::Corrupt)?;
        match bytes.first() {
            Some(&SEALED) => {}
            Some(_) => return Err(Unreadable::UnknownFormat),
            None => return Err(Unreadable::Corrupt),
        }
        Self::open_sealed(&mut bytes, key, storage_key).ok_or(Unreadable::Corrupt)
    }

    /// Opens `bytes` in place.
    fn open_sealed(bytes: &mut [u8], key: &RecordKey, storage_key: &str) -> Option<Self> {
        let (head, sealed) = bytes.split_at_mut_checked(HEAD)?;
        let (text, tag) = sealed.split_last_chunk_mut::<TAG>()?;
        let mut reader = Reader::new(head.get(1..)?);
        let version = Version::decode(&mut reader)?;
        let nonce = XNonce::from(reader.array::<NONCE>()?);
        let associated = associated_data(storage_key, version);
        XChaCha20Poly1305::new(key.bytes().into())
            .decrypt_inout_detached(&nonce, &associated, (&mut *text).into(), (&*tag).into())
            .ok()?;
        Self::decode(&mut Reader::new(text), version)
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.put_instant(self.created_at);
        out.put_instant(self.saved_at);
        out.put_instant(self.hard_end);
        put_option(out, self.bound.as_ref(), |out, bound| {
            out.put_block(bound.owner.as_bytes());
            out.put_instant(bound.at);
        });
        put_option(out, self.auth_time.as_ref(), |out, at| out.put_instant(*at));
        put_option(out, self.device.user_agent.as_ref(), |out, it| {
            out.put_block(it.as_bytes())
        });
        put_option(out, self.device.place.as_ref(), |out, it| {
            out.put_block(it.as_bytes())
        });
        self.expiry_version.encode(out);
        self.expiry.encode(out);
        self.data.cleared().encode(out);
        put_table(out, &self.data.values);
        put_table(out, &self.data.flash);
    }

    pub(crate) fn decode(reader: &mut Reader<'_>, version: Version) -> Option<Self> {
        let mut envelope = Self {
            version,
            created_at: reader.instant()?,
            saved_at: reader.instant()?,
            hard_end: reader.instant()?,
            bound: get_option(reader, |reader| {
                Some(Bound {
                    owner: reader.text()?.into(),
                    at: reader.instant()?,
                })
            })?,
            auth_time: get_option(reader, Reader::instant)?,
            device: Device {
                user_agent: get_option(reader, |reader| reader.text().map(Rc::from))?,
                place: get_option(reader, |reader| reader.text().map(Rc::from))?,
            },
            expiry_version: Version::decode(reader)?,
            expiry: OwnLimits::decode(reader)?,
            data: Data::default(),
        };
        envelope.data.set_cleared(Version::decode(reader)?);
        get_table(reader, &mut envelope.data.values)?;
        get_table(reader, &mut envelope.data.flash)?;
        reader.is_empty().then_some(envelope)
    }
}

fn put_option<T>(out: &mut Vec<u8>, value: Option<&T>, put: impl FnOnce(&mut Vec<u8>, &T)) {
    out.push(u8::from(value.is_some()));
    if let Some(value) = value {
        put(out, value);
    }
}

fn get_option<'a, T>(
    reader: &mut Reader<'a>,
    get: impl FnOnce(&mut Reader<'a>) -> Option<T>,
) -> Option<Option<T>> {
    match reader.u8()? {
        0 => Some(None),
        1 => get(reader).map(Some),
        _ => None,
    }
}

fn put_table(out: &mut Vec<u8>, table: &Table) {
    out.put_length(table.settled().count());
    for (key, version, slot) in table.settled() {
        out.put_block(key.as_bytes());
        version.encode(out);
        match slot {
            Slot::Value(text) => {
                out.push(0);
                out.put_block(text.as_bytes());
            }
            Slot::Removed(at) => {
                out.push(1);
                out.put_instant(*at);
            }
        }
    }
}

fn get_table(reader: &mut Reader<'_>, table: &mut Table) -> Option<()> {
    for _ in 0..reader.length()? {
        let key = reader.text()?.into();
        let version = Version::decode(reader)?;
        let slot = match reader.u8()? {
            0 => Slot::Value(reader.text()?.into()),
            1 => Slot::Removed(reader.instant()?),
            _ => return None,
        };
        table.restore(key, version, slot)?;
    }
    Some(())
}

/// Each part is preceded by its length, so that different lists of parts never give the same bytes.
fn associated_data(storage_key: &str, version: Version) -> Vec<u8> {
    let mut out = Vec::with_capacity(16 + PURPOSE.len() + storage_key.len());
    out.put_block(&[SEALED]);
    out.put_block(PURPOSE);
    out.put_block(storage_key.as_bytes());
    version.encode(&mut out);
    out
}

#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod tests {
    use super::*;
    use std::time::Duration;

    use crate::protocol::expiry::{Expiry, Idle};
    use crate::protocol::keys::{Ring, Token};
    use proptest::prelude::*;

    fn key(token: u8) -> RecordKey {
        let ring = Ring::sample("lR0v9cFqWm3kXo2TzJ7yPb5sUe8hNd1GaQ4iCxKtMwY");
        ring.signer()
            .derive(&Token::from_bytes(&[token; 32]).unwrap())
            .record
    }

    fn envelope() -> Envelope {
        let mut envelope = Envelope::begin(1_700_000_000_000, 1_700_604_800_000);
        envelope.version = Version {
            counter: 3,
            writer: 0xdead_beef,
        };
        envelope.bound = Some(Bound {
            owner: "ada".into(),
            at: 1_700_000_000_001,
        });
        envelope.auth_time = Some(1_700_000_000_001);
        envelope.expiry.idle = Idle::Seconds(600);
        envelope.expiry_version = envelope.version;
        envelope.device.user_agent = Some("Mozilla/5.0".into());
        envelope
            .data
            .values
            .set("cart", r#"{"items":[1,2.50,"é"]}"#.into());
        envelope.data.values.set("gone", "1".into());
        envelope.data.values.remove("gone", 1_700_000_000_500);
        envelope.data.flash.set("note", "\"hi\"".into());
        envelope.data.settle(envelope.version, 0);
        envelope
    }

    fn same(one: &Envelope, other: &Envelope) {
        assert_eq!(format!("{one:?}"), format!("{other:?}"));
    }

    #[test]
    fn both_forms_round_trip() {
        let sealed = envelope().seal(&key(1), [9; 24], "s.x").unwrap();
        same(
            &Envelope::open(&sealed, &key(1), "s.x", true).unwrap(),
            &envelope(),
        );
        let plain = envelope().to_plain().unwrap();
        assert!(
            plain.contains(r#""cart":{"items":[1,2.50,"é"]}"#),
            "{plain}"
        );
        let back = Envelope::open(&plain, &key(1), "s.x", false).unwrap();
        assert_eq!(back.to_plain().unwrap(), plain);
        let back = Envelope::open(&sealed, &key(1), "s.x", false).unwrap();
        same(&back, &envelope());
    }

    #[test]
    fn every_end_round_trips_in_both_forms() {
        let set = |expiry| OwnLimits::new(expiry, 0);
        for expiry in [
            set(Expiry::default()),
            set(Expiry::at(1_700_000_500_000)),
            set(Expiry::from(Duration::from_secs(7))),
            set(Expiry::default().no_idle()),
            set(Expiry::from(0)),
            set(Expiry::default().outlives_browser()),
            OwnLimits {
                end: Some(1_700_000_500_000),
                idle: Idle::Seconds(7),
                browser_close: true,
            },
        ] {
            let mut envelope = envelope();
            envelope.expiry = expiry;
            let sealed = envelope.seal(&key(1), [9; 24], "s.x").unwrap();
            for text in [sealed, envelope.to_plain().unwrap()] {
                let back = Envelope::open(&text, &key(1), "s.x", false).unwrap();
                assert_eq!(back.expiry, expiry);
            }
        }
        let plain = envelope().to_plain().unwrap();
        for (there, wrong) in [
            (r#""idle":600"#, r#""idle":-1"#),
            (r#""idle":600"#, r#""idle":0"#),
            (r#""idle":600"#, r#""idle":"never""#),
            (r#""idle":600"#, r#""idle":null"#),
            (r#""end":null"#, r#""end":"soon""#),
            (r#""browserClose":false"#, r#""browserClose":0"#),
            (r#""boundAt":1700000000001,"#, ""),
            (r#""owner":"ada","#, ""),
        ] {
            let wrong = plain.replacen(there, wrong, 1);
            assert_ne!(wrong, plain);
            let opened = Envelope::open(&wrong, &key(1), "s.x", false);
            assert_eq!(opened.err(), Some(Unreadable::Corrupt), "{wrong}");
        }
    }

    #[test]
    fn plain_json_is_no_record_where_records_are_sealed() {
        let plain = envelope().to_plain().unwrap();
        let opened = Envelope::open(&plain, &key(1), "s.x", true);
        assert_eq!(opened.err(), Some(Unreadable::Corrupt));
    }

    #[test]
    fn a_key_that_stands_twice_is_damage() {
        let plain = envelope().to_plain().unwrap();
        let twice = plain
            .replacen(r#""cart":"#, r#""cart":1,"cart":"#, 1)
            .replacen(r#""dataVersions":{"#, r#""dataVersions":{"cart":[1,1],"#, 1);
        assert_ne!(twice, plain);
        let opened = Envelope::open(&twice, &key(1), "s.x", false);
        assert_eq!(opened.err(), Some(Unreadable::Corrupt));
        let both = plain.replacen(r#""dataRemoved":{"#, r#""dataRemoved":{"cart":[1,1,1],"#, 1);
        let opened = Envelope::open(&both, &key(1), "s.x", false);
        assert_eq!(opened.err(), Some(Unreadable::Corrupt));
    }

    #[test]
    fn a_record_opens_with_its_key_at_its_place_only() {
        let sealed = envelope().seal(&key(1), [9; 24], "s.x").unwrap();
        let open = |text: &str, token, place| Envelope::open(text, &key(token), place, true).err();
        assert_eq!(open(&sealed, 2, "s.x"), Some(Unreadable::Corrupt));
        assert_eq!(open(&sealed, 1, "s.y"), Some(Unreadable::Corrupt));
        let mut bytes = decode_text(&sealed).unwrap();
        for at in 1..bytes.len() {
            bytes[at] ^= 1;
            assert_eq!(
                open(&encode_text(&bytes), 1, "s.x"),
                Some(Unreadable::Corrupt),
                "{at}"
            );
            bytes[at] ^= 1;
        }
        for cut in 0..sealed.len() {
            assert_eq!(
                open(&sealed[..cut], 1, "s.x"),
                Some(Unreadable::Corrupt),
                "{cut}"
            );
        }
    }

    #[test]
    fn a_format_of_another_release_is_told_from_damage() {
        for text in [
            "AQ",
            "Aw",
            &encode_text(&[255; 60]),
            &encode_text(&[0; 60]),
            r#"{"format":1}"#,
            r#"{"format":3}"#,
        ] {
            let opened = Envelope::open(text, &key(1), "s.x", false);
            assert_eq!(opened.err(), Some(Unreadable::UnknownFormat), "{text}");
        }
        for text in ["", "*", "{", "{}", r#"{"format":2}"#, "Ag"] {
            let opened = Envelope::open(text, &key(1), "s.x", false);
            assert_eq!(opened.err(), Some(Unreadable::Corrupt), "{text}");
        }
    }

    #[test]
    fn nothing_of_the_data_is_in_a_sealed_text() {
        let sealed = envelope().seal(&key(1), [9; 24], "s.x").unwrap();
        let bytes = decode_text(&sealed).unwrap();
        for word in ["cart", "items", "ada", "Mozilla"] {
            assert!(
                !bytes
                    .windows(word.len())
                    .any(|window| window == word.as_bytes()),
                "{word}"
            );
        }
    }

    #[test]
    fn a_join_takes_each_key_from_its_last_writer_and_the_rest_from_the_later_copy() {
        let (mut one, mut two) = (envelope(), envelope());
        one.data.values.set("x", "1".into());
        one.version = one.version.next(1);
        one.data.settle(one.version, 0);
        two.data.values.set("y", "2".into());
        two.expiry.end = Some(9);
        let two_expiry = two.expiry;
        two.version = two.version.next(2);
        two.expiry_version = two.version;
        two.data.settle(two.version, 0);
        assert!(!one.contains(&two, 0) && !two.contains(&one, 0));
        let both = one.clone().join(two.clone());
        assert!(both.contains(&one, 0) && both.contains(&two, 0));
        assert_eq!(both.expiry, two_expiry);
        assert_eq!(both.version, two.version);
        assert_eq!(both.data.values.len(), 3);
        // The end that was set last, even where the earlier copy has it; of one save, the later copy's.
        one.expiry.idle = Idle::Seconds(5);
        let one_expiry = one.expiry;
        assert_eq!(two.clone().join(one.clone()).expiry, two_expiry);
        one.expiry_version = two.expiry_version;
        assert_eq!(two.clone().join(one.clone()).expiry, two_expiry);
        one.expiry_version = two.expiry_version.next(1);
        assert_eq!(two.join(one).expiry, one_expiry);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(bytes: Vec<u8>, text in "\\PC{0,80}") {
            let _ = Envelope::decode(&mut Reader::new(&bytes), Version::default());
            let _ = Envelope::open(&text, &key(1), "s.x", false);
            let _ = Envelope::open(&format!("{{{text}"), &key(1), "s.x", false);
        }
    }
}
