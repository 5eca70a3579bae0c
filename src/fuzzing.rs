//! What the fuzz targets in `fuzz/` run: plain functions of bytes that panic where a promise is
//! broken. `cargo test` runs them over `fuzz/corpus/`. Behind the feature `fuzzing`, and no part of
//! the interface.

use crate::protocol::cookie::{
    self, CookieAttributes, CookieKind, CookieLimits, CookieSpec, SameSite,
};
use crate::protocol::form::Form;
use crate::protocol::json;
use crate::protocol::keys::{Purpose, Ring, Secret, SecretRing, Token};
use crate::protocol::record::Envelope;
use crate::protocol::settings::Settings;
use crate::protocol::ticket::{self, Fresh, KeyCookie, Seen, end_of};
use crate::protocol::version::Version;
use crate::protocol::wire::{Reader, encode_text};

/// A fuzz target.
pub type Target = fn(&[u8]);

/// Every target by its name.
pub const TARGETS: &[(&str, Target)] = &[
    ("cookie_header", cookie_header),
    ("key_cookie", key_cookie),
    ("seen_cookie", seen_cookie),
    ("fresh_cookie", fresh_cookie),
    ("form_cookie", form_cookie),
    ("record", record),
    ("json", json),
    ("settings", settings),
    ("set_cookie", set_cookie),
];

const NAME: &str = "__Host-session";

thread_local! {
    /// Made once: keys cost more than what is tested.
    static RING: Ring = {
        #[allow(clippy::expect_used, reason = "a fuzz target that cannot start has to stop")]
        let ring = SecretRing::parse("0123456789 is the secret of the fuzzers").expect("a ring");
        ring.bind("kv", "")
    };
}

fn spec() -> CookieSpec {
    #[allow(clippy::expect_used, reason = "the defaults are legal")]
    Settings::default().cookie_spec().expect("the defaults")
}

fn token() -> Token {
    #[allow(clippy::expect_used, reason = "it has 32 bytes")]
    Token::from_bytes(&[7; 32]).expect("a token")
}

/// `body` as a value that `secret` vouches for: behind the tag all bytes are possible.
fn sealed(secret: &Secret, purpose: Purpose, body: &[u8], context: &[&[u8]]) -> String {
    let mut bytes = vec![ticket::FORMAT];
    bytes.extend_from_slice(&secret.id());
    bytes.extend_from_slice(body);
    let fields: Vec<&[u8]> = [&bytes[..]]
        .into_iter()
        .chain(context.iter().copied())
        .collect();
    let tag = secret.tag(purpose, &fields);
    bytes.extend_from_slice(&tag);
    encode_text(&bytes)
}

/// Any header is read without a panic. Each cookie that is found is in the header, and they are sorted
/// without duplicates.
pub fn cookie_header(data: &[u8]) {
    let header = String::from_utf8_lossy(data);
    let spec = spec();
    let small = CookieLimits {
        bytes: 64,
        pairs: 4,
    };
    let roomy = CookieLimits {
        bytes: usize::MAX,
        pairs: usize::MAX,
    };
    let found = cookie::parse(&header, spec.names(), roomy).unwrap_or_default();
    for kind in CookieKind::ALL {
        let values = found.get(kind);
        assert!(values.windows(2).all(|pair| pair[0] < pair[1]));
        for value in values {
            assert!(header.contains(value) && !value.contains(';'));
            assert!(!value.starts_with([' ', '\t']) && !value.ends_with([' ', '\t']));
        }
        if let Ok(within) = cookie::parse(&header, spec.names(), small) {
            assert_eq!(within.get(kind), values);
        }
    }
    for value in found.get(CookieKind::Key) {
        // Nobody but the holder of the secret writes one of ours.
        assert!(
            RING.with(|ring| KeyCookie::decode(value, ring, NAME))
                .is_err()
        );
    }
}

/// Any text is refused or read; what is read is written the same.
pub fn key_cookie(data: &[u8]) {
    RING.with(|ring| {
        let text = String::from_utf8_lossy(data);
        assert!(KeyCookie::decode(&text, ring, NAME).is_err());
        let secret = ring.signer();
        let text = sealed(secret, Purpose::KeyCookie, data, &[NAME.as_bytes()]);
        if let Ok(cookie) = KeyCookie::decode(&text, ring, NAME) {
            let again = match cookie {
                KeyCookie::Ticket(ticket, _) => ticket.encode(secret, NAME),
                KeyCookie::Tombstone(stone) => stone.encode(secret, NAME),
            };
            assert_eq!(again, text);
        }
    });
}

/// As [`key_cookie`].
pub fn seen_cookie(data: &[u8]) {
    RING.with(|ring| {
        let token = token();
        let text = String::from_utf8_lossy(data);
        assert!(Seen::decode(&text, ring, NAME, &token).is_err());
        let context: [&[u8]; 2] = [NAME.as_bytes(), token.bytes()];
        let text = sealed(ring.signer(), Purpose::SeenCookie, data, &context);
        if let Ok(seen) = Seen::decode(&text, ring, NAME, &token) {
            assert_eq!(seen.encode(ring.signer(), NAME, &token), text);
        }
    });
}

/// As [`key_cookie`]; the first byte says how much of the rest is the overlay.
pub fn fresh_cookie(data: &[u8]) {
    RING.with(|ring| {
        let token = token();
        let text = String::from_utf8_lossy(data);
        assert!(Fresh::decode(&text, ring, NAME, &token).is_err());
        let (split, rest) = data
            .split_first()
            .map_or((0, data), |(at, rest)| (*at, rest));
        let (body, overlay) = rest.split_at(usize::from(split).min(rest.len()));
        let overlay = String::from_utf8_lossy(overlay);
        let end = end_of(Some(&overlay)).unwrap_or_default();
        let context: [&[u8]; 3] = [NAME.as_bytes(), token.bytes(), end];
        let mut text = sealed(ring.signer(), Purpose::FreshCookie, body, &context);
        if !overlay.is_empty() {
            text.push('.');
            text.push_str(&overlay);
        }
        if let Ok(fresh) = Fresh::decode(&text, ring, NAME, &token) {
            assert_eq!(fresh.encode(ring.signer(), NAME, &token), text);
        }
    });
}

/// As [`key_cookie`].
pub fn form_cookie(data: &[u8]) {
    RING.with(|ring| {
        let text = String::from_utf8_lossy(data);
        assert!(Form::decode(&text, ring, NAME).is_err());
        let text = sealed(ring.signer(), Purpose::FormCookie, data, &[NAME.as_bytes()]);
        if let Ok(form) = Form::decode(&text, ring, NAME) {
            assert_eq!(form.encode(ring.signer(), NAME), text);
            assert!(form.tag(ring).is_some());
        }
    });
}

/// Any stored text is an envelope or none; an envelope is written as it was read.
pub fn record(data: &[u8]) {
    let key = RING.with(|ring| ring.signer().derive(&token()).record);
    let text = String::from_utf8_lossy(data);
    assert!(Envelope::open(&text, &key, "s.x", true).is_err());
    if let Ok(envelope) = Envelope::open(&text, &key, "s.x", false) {
        let Some(plain) = envelope.to_plain() else {
            return;
        };
        let again = Envelope::open(&plain, &key, "s.x", false).ok();
        assert_eq!(again.and_then(|again| again.to_plain()), Some(plain));
    }
    let version = Version {
        counter: 3,
        writer: 9,
    };
    if let Some(envelope) = Envelope::decode(&mut Reader::new(data), version) {
        let mut again = Vec::new();
        envelope.encode(&mut again);
        assert_eq!(again, data);
        assert!(envelope.contains(&envelope, i64::MIN));
        let joined = envelope.clone().join(envelope.clone());
        assert!(joined.contains(&envelope, i64::MIN) && envelope.contains(&joined, i64::MIN));
    }
}

/// A JSON text is one to us where it is one to a parser that makes values; equal to itself, and
/// taken apart into parts that are JSON.
pub fn json(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let parsed = serde_json::from_str::<serde::de::IgnoredAny>(text);
    // Both look through as many levels as they do; which of them stops first is no promise.
    let deep = text.matches(['[', '{']).count() > 100;
    let ours = json::value(text);
    assert!(deep || ours.is_some() == parsed.is_ok(), "{text:?}");
    let elements = json::elements(text).unwrap_or_default();
    let members = json::members(text).unwrap_or_default();
    for part in members
        .iter()
        .flat_map(|(name, value)| [name, value])
        .chain(&elements)
    {
        assert_eq!(json::value(part), Some(*part));
    }
    if ours.is_some() {
        assert!(json::equal(text, text) && json::equal(text, &format!(" {text}\n")));
    }
    let string = json::unquote(text);
    assert_eq!(
        string,
        serde_json::from_str::<String>(text)
            .ok()
            .filter(|_| text.starts_with('"') && text.ends_with('"'))
    );
    let mut quoted = String::new();
    json::quote(&mut quoted, text);
    assert_eq!(json::unquote(&quoted).as_deref(), Some(text));
    assert_eq!(
        serde_json::from_str::<String>(&quoted).ok().as_deref(),
        Some(text)
    );
}

/// Lines of `NAME=value`: refused with a reason of one line, or legal and listed back.
pub fn settings(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let vars = text.split('\n').filter_map(|line| line.split_once('='));
    match Settings::from_vars(vars) {
        Ok(settings) => {
            assert!(settings.validate().is_ok() && settings.cookie_spec().is_ok());
            assert!(settings.window() >= settings.staleness_bound());
            assert_eq!(Settings::from_vars(settings.list()).ok(), Some(settings));
        }
        Err(error) => {
            let message = error.to_string();
            assert!(
                !message.contains(['\n', '\r', '\0']) && message.len() < 2_000,
                "{message}"
            );
        }
    }
}

/// What a specification accepts is written in the grammar, found again, and removed alike.
pub fn set_cookie(data: &[u8]) {
    let (head, text) = data.split_at(data.len().min(6));
    let bit = |at: usize| head.get(at).is_some_and(|byte| byte & 1 == 1);
    let text = String::from_utf8_lossy(text);
    let mut parts = text.split('\n');
    let mut part = || parts.next().unwrap_or_default();
    let (name, path, domain, value) = (part(), part(), part(), part());
    let Ok(spec) = CookieSpec::new(CookieAttributes {
        name,
        path,
        domain: bit(0).then_some(domain),
        secure: bit(1),
        same_site: match head.get(2).map_or(0, |byte| byte % 3) {
            0 => SameSite::Lax,
            1 => SameSite::Strict,
            _ => SameSite::None,
        },
        partitioned: bit(3),
    }) else {
        return;
    };
    let value = encode_text(value.as_bytes());
    let max_age = bit(4).then_some(u32::from(head.get(5).copied().unwrap_or(0)) << 20);
    for kind in CookieKind::ALL {
        let removal = spec.remove(kind);
        let (_, attributes) = removal.split_once("00:00:00 GMT").unwrap_or_default();
        check_attributes(&removal, spec.names().get(kind), "");
        if spec.fits(kind, value.len()) {
            let written = spec.set(kind, &value, max_age);
            check_attributes(&written, spec.names().get(kind), &value);
            assert!(written.ends_with(attributes));
            let roomy = CookieLimits {
                bytes: usize::MAX,
                pairs: usize::MAX,
            };
            let pair = written.split("; ").next().unwrap_or_default();
            let found = cookie::parse(pair, spec.names(), roomy).unwrap_or_default();
            assert_eq!(found.get(kind), [&*value]);
        }
    }
}

fn check_attributes(field: &str, name: &str, value: &str) {
    assert!(
        field.bytes().all(|byte| (b' '..=b'~').contains(&byte)),
        "{field}"
    );
    let mut parts = field.split("; ");
    assert_eq!(parts.next(), Some(&*format!("{name}={value}")));
    let mut seen: Vec<&str> = Vec::new();
    for part in parts {
        let attribute = part.split('=').next().unwrap_or_default();
        const KNOWN: [&str; 8] = [
            "Max-Age",
            "Expires",
            "Path",
            "Domain",
            "Secure",
            "HttpOnly",
            "SameSite",
            "Partitioned",
        ];
        assert!(
            KNOWN.contains(&attribute) && !seen.contains(&attribute),
            "{field}"
        );
        seen.push(attribute);
    }
    assert!(
        seen.contains(&"HttpOnly") && seen.contains(&"SameSite"),
        "{field}"
    );
}

#[cfg(all(test, not(target_arch = "wasm32")))]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn fuzz_targets_take_their_corpus() {
        for (name, target) in TARGETS {
            let corpus = Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("fuzz/corpus")
                .join(name);
            let files: Vec<_> = std::fs::read_dir(&corpus).unwrap().flatten().collect();
            assert!(
                files.len() >= 3,
                "{} has {} files",
                corpus.display(),
                files.len()
            );
            for file in files {
                target(&std::fs::read(file.path()).unwrap());
            }
        }
    }

    #[test]
    fn every_fuzz_target_is_a_program_too() {
        let targets = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/fuzz_targets");
        let mut programs: Vec<String> = std::fs::read_dir(targets)
            .unwrap()
            .flatten()
            .map(|file| {
                file.path()
                    .file_stem()
                    .unwrap()
                    .to_string_lossy()
                    .into_owned()
            })
            .collect();
        programs.sort();
        let mut names: Vec<&str> = TARGETS.iter().map(|(name, _)| *name).collect();
        names.sort_unstable();
        assert_eq!(programs, names);
    }
}
