//! The known answers of `docs/wire-format.md`, against what this crate writes and reads. The answers
//! were made by another implementation (`tests/wire/`).

use std::rc::Rc;

use crate::protocol::data::Slot;
use crate::protocol::expiry::{Idle, OwnLimits};
use crate::protocol::form::Form;
use crate::protocol::keys::{Id, KeyParts, Names, Purpose, Ring, SecretRing, Token, TokenKeys};
use crate::protocol::record::{Bound, Device, Envelope};
use crate::protocol::revocation::{Marker, OwnerMarker, Progress};
use crate::protocol::ticket::{Fresh, KeyCookie, KeyTicket, Seen, Tombstone};
use crate::protocol::version::Version;
use crate::protocol::wire::encode_text;
use crate::session::csrf::tag_of;

pub(crate) const MINTED: i64 = 1_800_000_000_000;
pub(crate) const HARD_END: i64 = MINTED + 604_800_000;
const NAME: &str = "__Host-session";

/// The known answer of this name.
pub(crate) fn known(name: &str) -> String {
    let json = include_str!("../tests/wire/known-answers.json");
    let answers: serde_json::Value = serde_json::from_str(json).unwrap();
    answers[name]
        .as_str()
        .unwrap_or_else(|| panic!("no answer {name:?}"))
        .to_owned()
}

pub(crate) const PREFIX: &str = "app:";

pub(crate) fn ring() -> Ring {
    SecretRing::of_sample(&known("secret")).bind("kv", PREFIX)
}

/// `count` bytes, counted up from `first`.
pub(crate) fn range<const N: usize>(first: u8) -> [u8; N] {
    std::array::from_fn(|at| first + at as u8)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

struct Sample {
    ring: Ring,
    tokens: [Token; 2],
    keys: [TokenKeys; 2],
    owner: Id,
}

impl Sample {
    fn new() -> Self {
        let ring = ring();
        let tokens = [0x00, 0x20].map(|first| Token::from_bytes(&range::<32>(first)).unwrap());
        let keys = tokens.each_ref().map(|token| ring.signer().derive(token));
        let owner = ring.signer().owner_tag("ada");
        Self {
            ring,
            tokens,
            keys,
            owner,
        }
    }

    fn first(&self) -> KeyParts {
        let lineage = self.keys[0].derived;
        KeyParts {
            owner: None,
            lineage,
            derived: lineage,
        }
    }

    fn rotated(&self) -> KeyParts {
        KeyParts {
            owner: Some(self.owner),
            lineage: self.keys[0].derived,
            derived: self.keys[1].derived,
        }
    }

    fn ticket(&self, index: usize) -> KeyTicket {
        KeyTicket {
            secret: self.ring.signer().id(),
            token: self.tokens[index].clone(),
            lineage: self.keys[0].derived,
            owner: [None, Some(self.owner)][index],
            minted_at: [MINTED, MINTED + 9][index],
            hard_end: HARD_END,
        }
    }
}

/// The name of the sample's record.
pub(crate) fn record_name() -> String {
    Names::new(PREFIX).record(&Sample::new().rotated())
}

fn version(counter: u32, writer: u32) -> Version {
    Version { counter, writer }
}

fn record() -> Envelope {
    let mut envelope = Envelope::begin(MINTED, HARD_END);
    envelope.version = version(3, 0xdead_beef);
    envelope.saved_at = MINTED + 5_000;
    envelope.bound = Some(Bound {
        owner: "ada".into(),
        at: MINTED + 1,
    });
    envelope.auth_time = Some(MINTED);
    envelope.device = Device {
        user_agent: Some("Mozilla/5.0 (é)".into()),
        place: Some("CH".into()),
    };
    envelope.expiry_version = version(2, 7);
    envelope.expiry = OwnLimits {
        end: Some(HARD_END - 1),
        idle: Idle::Seconds(900),
        browser_close: true,
    };
    envelope.data.set_cleared(version(1, 5));
    let value = |text: &str| Slot::Value(Rc::from(text));
    let rows = [
        ("cart", envelope.version, value(r#"{"items":[1,2.50,"é"]}"#)),
        ("old", version(2, 7), Slot::Removed(MINTED + 4_000)),
        ("__proto__", version(1, 5), value("null")),
    ];
    for (key, version, slot) in rows {
        envelope
            .data
            .values
            .restore(key.into(), version, slot)
            .unwrap();
    }
    let note = value("\"hi\"");
    envelope
        .data
        .flash
        .restore("note".into(), envelope.version, note)
        .unwrap();
    envelope
}

fn bare() -> Envelope {
    let mut envelope = Envelope::begin(MINTED, HARD_END);
    envelope.version = version(1, 1);
    envelope
}

#[test]
fn keys_are_the_known_ones() {
    let sample = Sample::new();
    let secret = sample.ring.signer();
    assert_eq!(hex(&secret.id()), known("key id"));
    assert_eq!(hex(secret.metadata_key()), known("metadata key"));
    assert_eq!(hex(&sample.owner.0), known("owner tag"));
    for (index, keys) in sample.keys.iter().enumerate() {
        let n = index + 1;
        assert_eq!(
            hex(sample.tokens[index].bytes()),
            known(&format!("token {n}"))
        );
        assert_eq!(hex(&keys.derived.0), known(&format!("derived key {n}")));
        assert_eq!(hex(keys.record.bytes()), known(&format!("record key {n}")));
    }
}

#[test]
fn names_are_the_known_ones() {
    let sample = Sample::new();
    let secret = sample.ring.signer();
    for (key, name) in [
        (sample.first(), "session key, first"),
        (sample.rotated(), "session key, owned and rotated"),
    ] {
        assert_eq!(secret.public_key(&key), known(name));
        assert_eq!(sample.ring.session_key(&known(name)), Some(key));
    }
    assert_eq!(record_name(), known("record name"));
    let (names, id) = (Names::new(PREFIX), sample.owner);
    assert_eq!(names.dead_key(id), format!("app:k.{id}"));
    assert_eq!(names.dead_lineage(id), format!("app:l.{id}"));
    assert_eq!(names.owner(id), format!("app:o.{id}"));
    assert_eq!(names.progress(id), format!("app:p.{id}"));
    assert_eq!(names.records_of(id), format!("app:s.{id}."));
    assert_eq!(names.session_key(&record_name()), Some(sample.rotated()));
}

#[test]
fn cookies_are_the_known_ones() {
    let sample = Sample::new();
    let (ring, secret, token) = (&sample.ring, sample.ring.signer(), &sample.tokens[1]);
    for (index, name) in ["key cookie, anonymous", "key cookie, owned"]
        .iter()
        .enumerate()
    {
        let ticket = sample.ticket(index);
        assert_eq!(ticket.encode(secret, NAME), known(name));
        let Ok(KeyCookie::Ticket(back, _)) = KeyCookie::decode(&known(name), ring, NAME) else {
            panic!("{name}")
        };
        assert!(back.token.is(&ticket.token));
        assert_eq!((back.lineage, back.owner), (ticket.lineage, ticket.owner));
        assert_eq!(
            (back.minted_at, back.hard_end),
            (ticket.minted_at, HARD_END)
        );
    }

    for (key, name) in [
        (sample.first(), "tombstone, anonymous"),
        (sample.rotated(), "tombstone, owned"),
    ] {
        let stone = Tombstone::new(secret.id(), &key, HARD_END);
        assert_eq!(stone.encode(secret, NAME), known(name));
        let Ok(KeyCookie::Tombstone(back)) = KeyCookie::decode(&known(name), ring, NAME) else {
            panic!("{name}")
        };
        assert_eq!(back, stone);
    }

    let (name, seen) = (
        "__Host-session-seen",
        Seen {
            at: MINTED + 60_000,
        },
    );
    assert_eq!(seen.encode(secret, name, token), known("seen cookie"));
    assert_eq!(
        Seen::decode(&known("seen cookie"), ring, name, token),
        Ok(seen)
    );

    let name = "__Host-session-fresh";
    let plain = Fresh {
        version: version(3, 0xdead_beef),
        saved_at: MINTED + 5_000,
        unstored: false,
        overlay: None,
    };
    let full = Fresh {
        unstored: true,
        overlay: Some(known("sealed record")),
        ..plain.clone()
    };
    let all = [
        ("fresh cookie", plain),
        ("fresh cookie, unstored, with overlay", full),
    ];
    for (answer, fresh) in all {
        assert_eq!(fresh.encode(secret, name, token), known(answer));
        assert_eq!(Fresh::decode(&known(answer), ring, name, token), Ok(fresh));
    }
}

#[test]
fn records_are_the_known_ones() {
    let sample = Sample::new();
    let names = [record_name(), Names::new(PREFIX).record(&sample.first())];
    let cases = [
        (record(), 1, &names[0], "sealed record", "plain record"),
        (
            bare(),
            0,
            &names[1],
            "sealed record, empty",
            "plain record, empty",
        ),
    ];
    for (envelope, index, name, sealed, plain) in cases {
        let key = &sample.keys[index].record;
        assert_eq!(
            envelope.seal(key, range(0x40), name).unwrap(),
            known(sealed)
        );
        assert_eq!(envelope.to_plain().unwrap(), known(plain));
        for (answer, is_sealed) in [(sealed, true), (plain, false)] {
            let back = Envelope::open(&known(answer), key, name, is_sealed).unwrap();
            assert_eq!(back.to_plain(), envelope.to_plain(), "{answer}");
        }
    }
}

#[test]
fn markers_are_the_known_ones() {
    let lineage = Sample::new().first().lineage;
    assert_eq!(Marker::rotated(MINTED).encode(), known("marker, rotated"));
    assert_eq!(Marker::revoked(MINTED).encode(), known("marker, revoked"));
    let owner = |except| OwnerMarker { at: MINTED, except }.encode();
    assert_eq!(owner(vec![]), known("owner marker"));
    assert_eq!(
        owner(vec![lineage]),
        known("owner marker, one lineage spared")
    );
}

#[test]
fn progress_is_the_known_one() {
    let Sample { keys, .. } = Sample::new();
    let [lineage, other] = keys.each_ref().map(|keys| keys.derived);
    let first = Progress {
        since: MINTED,
        done: Some(lineage),
        ..Progress::default()
    };
    let second = Progress {
        since: MINTED,
        cursor: Some("page 2, é".into()),
        done: Some(other),
        spared: vec![lineage],
    };
    for (progress, name) in [
        (first, "progress, in the first page"),
        (second, "progress, in the second page, one lineage spared"),
        (Progress::default(), "progress, nothing left"),
    ] {
        assert_eq!(progress.encode(), known(name));
        assert_eq!(Progress::decode(&known(name)), Some(progress));
    }
}

#[test]
fn tags_for_pages_and_logs_are_the_known_ones() {
    let sample = Sample::new();
    let secret = sample.ring.signer();
    let mask: [u8; 16] = range(0xa0);
    let tag = secret.tag(Purpose::Csrf, &[sample.tokens[1].bytes()]);
    let masked: Vec<u8> = tag.iter().zip(mask).map(|(tag, mask)| tag ^ mask).collect();
    let csrf = encode_text(&[&mask[..], &masked].concat());
    assert_eq!(csrf, known("CSRF token"));

    let [first, second] = [0, 1].map(|index| sample.ticket(index));
    let tag = tag_of(&[&second, &first], &sample.ring).unwrap();
    let masked: Vec<u8> = tag.iter().zip(mask).map(|(tag, mask)| tag ^ mask).collect();
    let csrf = encode_text(&[&mask[..], &masked].concat());
    assert_eq!(csrf, known("CSRF token of several sessions"));

    let name = "__Host-session-form";
    let form = Form::decode(&known("form cookie"), &sample.ring, name)
        .ok()
        .unwrap();
    assert_eq!(form.encode(secret, name), known("form cookie"));
    let tag = form.tag(&sample.ring).unwrap();
    let masked: Vec<u8> = tag.iter().zip(mask).map(|(tag, mask)| tag ^ mask).collect();
    let csrf = encode_text(&[&mask[..], &masked].concat());
    assert_eq!(csrf, known("CSRF token of the form cookie"));

    let event = secret.tag(Purpose::Event, &[&sample.first().lineage.0]);
    assert_eq!(encode_text(&event[..9]), known("session in an event"));
}
