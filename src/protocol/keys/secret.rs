//! The secrets, and all derivations.
//!
//! Derivations are HKDF-SHA256 (RFC 5869) with one `info` text for each purpose; authentication is
//! HMAC-SHA256 truncated to 128 bits (RFC 2104 section 5) over length-prefixed fields.
//!
//! Every key except the key id depends on the kind of store and the key prefix. So another
//! deployment with the same secret but a different store does not accept what this one has signed.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use hkdf::Hkdf;
use hmac::HmacReset;
use hmac::digest::{FixedOutputReset, KeyInit, Update};
use sha2::Sha256;
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

use super::id::{Id, KeyId, Tag};
use super::session_key::KeyParts;
use super::token::{RecordKey, SecretBytes, Token, TokenKeys};
use crate::port::error::SessionError;
use crate::protocol::text;
use crate::protocol::wire::push_text;

/// The purpose of a tag. It is the first authenticated field, so that a tag for one purpose is
/// never accepted for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    KeyCookie,
    SeenCookie,
    FreshCookie,
    FormCookie,
    Csrf,
    CsrfOfSeveral,
    FormToken,
    Event,
    SessionKey,
}

impl Purpose {
    const fn text(self) -> &'static [u8] {
        match self {
            Self::KeyCookie => b"key",
            Self::SeenCookie => b"seen",
            Self::FreshCookie => b"fresh",
            Self::FormCookie => b"form",
            Self::Csrf => b"csrf",
            Self::CsrfOfSeveral => b"csrf-of-several",
            Self::FormToken => b"form-csrf",
            Self::Event => b"event",
            Self::SessionKey => b"session-key",
        }
    }
}

const SECRET_MIN_BYTES: usize = 32;
/// A secret with fewer different bytes than this in 32 is a pattern.
const SECRET_MIN_DISTINCT: usize = 8;
/// Words from secrets in documentation, so that a copied one is refused.
const SAMPLE_WORDS: [&str; 9] = [
    "changeme",
    "change-me",
    "change_me",
    "your-secret",
    "your_secret",
    "example",
    "placeholder",
    "password",
    // From docs/wire-format.md.
    "secret of the vectors",
];

/// HMAC-SHA256 that can be finished in place. The other variant is finished by value and leaves a
/// copy of the last authenticated bytes in memory, which are often a token.
type Mac = HmacReset<Sha256>;

/// One secret, shared by all configurations that use it.
struct Root {
    id: KeyId,
    extracted: Hkdf<Sha256>,
}

impl Root {
    fn new(secret: &[u8]) -> Self {
        let extracted = Hkdf::<Sha256>::new(Some(b"edge-session/v2"), secret);
        let mut id = KeyId::default();
        expand(&extracted, b"kid", &mut id);
        Self { id, extracted }
    }

    /// The keys of one configuration.
    fn bind(&self, scope: &[u8]) -> Secret {
        let key = |purpose: &[u8]| {
            let info = [purpose, scope].concat();
            let mut key = Zeroizing::new([0; 32]);
            expand(&self.extracted, &info, &mut key[..]);
            key
        };
        Secret {
            id: self.id,
            mac: keyed(&key(b"mac")[..]),
            owner: keyed(&key(b"owner")[..]),
            metadata: key(b"metadata"),
            extract: keyed(&key(b"token")[..]),
        }
    }
}

/// The scope of the keys of a configuration: the kind of store and the key prefix, each preceded by
/// its length.
fn scope(kind: &str, prefix: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(8 + kind.len() + prefix.len());
    for part in [kind, prefix] {
        out.extend_from_slice(&(part.len() as u32).to_be_bytes());
        out.extend_from_slice(part.as_bytes());
    }
    out
}

/// The keys of one secret in one configuration.
pub(crate) struct Secret {
    id: KeyId,
    mac: Mac,
    owner: Mac,
    /// Seals list metadata.
    metadata: Zeroizing<[u8; 32]>,
    /// HMAC keyed with the salt of tokens, for the extract step of HKDF.
    extract: Mac,
}

impl Secret {
    pub(crate) fn id(&self) -> KeyId {
        self.id
    }

    /// The MAC of a purpose and `fields`. Each field is preceded by its length, so that different
    /// lists of fields never give the same input.
    pub(crate) fn tag(&self, purpose: Purpose, fields: &[&[u8]]) -> Tag {
        let mut mac = self.mac.clone();
        absorb(&mut mac, purpose.text());
        authenticate(&mut mac, fields)
    }

    /// True if `tag` is the MAC of `fields`. Takes constant time.
    pub(crate) fn verify(&self, purpose: Purpose, fields: &[&[u8]], tag: &Tag) -> bool {
        self.tag(purpose, fields).ct_eq(tag).into()
    }

    pub(crate) fn owner_tag(&self, owner: &str) -> Id {
        let mut mac = self.owner.clone();
        Id(authenticate(&mut mac, &[owner.as_bytes()]))
    }

    /// The public session key: the three parts of `key` and a tag over them. It is safe to log and
    /// to store, because it names a record but does not open it.
    pub(crate) fn public_key(&self, key: &KeyParts) -> String {
        let mut text = String::with_capacity(KeyParts::TEXT + 1 + Id::TEXT);
        key.push_to(&mut text);
        text.push('.');
        push_text(&mut text, &self.session_key_tag(key));
        text
    }

    /// The tag of a public session key.
    fn session_key_tag(&self, key: &KeyParts) -> Tag {
        let owner = key.owner.as_ref().map_or(&[][..], |owner| &owner.0);
        self.tag(
            Purpose::SessionKey,
            &[owner, &key.lineage.0, &key.derived.0],
        )
    }

    pub(crate) fn metadata_key(&self) -> &[u8; 32] {
        &self.metadata
    }

    pub(crate) fn derive(&self, token: &Token) -> TokenKeys {
        // HKDF with a key of the secret as salt and the token as input. The key schedule of the
        // extract step is reused. Each key is one block of the expand step. Everything is computed
        // in place, because the crate's HKDF leaves copies in memory.
        let mut extract = self.extract.clone();
        Update::update(&mut extract, token.bytes());
        let mut pseudo_random_key = Zeroizing::new([0; 32]);
        finish(&mut extract, &mut pseudo_random_key);
        let mut expand = keyed(&pseudo_random_key[..]);
        let mut block = Zeroizing::new([0; 32]);
        first_block(&mut expand, b"edge-session/v2 derived key", &mut block);
        let derived = truncate(&block);
        let record = SecretBytes::filled(|record| {
            first_block(&mut expand, b"edge-session/v2 record key", record);
            Ok::<(), std::convert::Infallible>(())
        });
        let Ok(record) = record;
        TokenKeys {
            derived: Id(derived),
            record: RecordKey(record),
        }
    }
}

/// The secrets of a deployment. The first one signs.
///
/// The first secret signs new cookies; all of them verify. A session keeps its secret until its key
/// is cycled. Removing a secret ends its sessions. Roll out a new one as `old,new` everywhere, then
/// `new,old`, then `new`.
///
/// ```
/// use edge_session::SecretRing;
/// # let (new, old) = (edge_session::doc::secret(), edge_session::doc::secret() + "!");
/// // Mints with the new one, and still knows what the old one has signed.
/// let ring = SecretRing::parse(&format!("{new},{old}"))?;
/// # let _ = ring;
/// # Ok::<(), edge_session::SessionError>(())
/// ```
///
/// Use a ring for one deployment only. Its keys depend on the kind of store and on
/// `SESSION_KEY_PREFIX`; deployments that share these too accept each other's sessions.
#[derive(Clone)]
pub struct SecretRing(Rc<Roots>);

struct Roots {
    secrets: Vec<Root>,
    /// The keys of recently used configurations, by their scope, so that a Worker that creates its
    /// sessions in each request derives the keys only once.
    bound: RefCell<Vec<(Vec<u8>, Ring)>>,
}

/// The number of configurations whose keys are cached.
const BOUND: usize = 16;

/// The secrets of one configuration. The first one signs.
#[derive(Clone)]
pub(crate) struct Ring(Rc<[Secret]>);

impl SecretRing {
    /// Parses `SESSION_SECRET`: one or more secrets of at least 32 bytes, separated by commas. The
    /// first one signs.
    ///
    /// ```
    /// use edge_session::SecretRing;
    /// # let (new, old) = (edge_session::doc::secret(), edge_session::doc::secret() + "!");
    /// let ring = SecretRing::parse(&format!("{new},{old}"))?;
    /// assert!(SecretRing::parse("changeme").is_err());
    /// # Ok::<(), edge_session::SessionError>(())
    /// ```
    ///
    /// # Errors
    /// `config` if a secret is empty, short, a pattern or a sample from documentation, or if two
    /// have the same key id.
    pub fn parse(text: &str) -> Result<Self, SessionError> {
        Self::parse_named(text, "SecretRing::parse")
    }

    /// The same. Errors call the text `name`.
    pub(crate) fn parse_named(text: &str, name: &str) -> Result<Self, SessionError> {
        let secrets: Vec<&str> = text.split(',').map(str::trim).collect();
        let mut ring: Vec<Root> = Vec::new();
        for (index, secret) in secrets.iter().enumerate() {
            let refuse = |why: &str| {
                let which = match secrets.len() {
                    1 => "the secret".to_owned(),
                    count => format!("secret {} of {count}", index + 1),
                };
                SessionError::config(format!("{name}: {which} {why}"))
            };
            refuse_weak(secret).map_err(|why| {
                refuse(&format!(
                    "{why}; create one with `openssl rand -base64 32` and use it unchanged"
                ))
            })?;
            let secret = Root::new(secret.as_bytes());
            if ring.iter().any(|other| other.id == secret.id) {
                return Err(refuse(
                    "has the same key id as an earlier secret; remove one of the two",
                ));
            }
            ring.push(secret);
        }
        Ok(Self::of(ring))
    }

    fn of(secrets: Vec<Root>) -> Self {
        Self(Rc::new(Roots {
            secrets,
            bound: RefCell::default(),
        }))
    }

    /// The secret of the known-answer vectors. It is accepted only in tests.
    #[cfg(test)]
    pub(crate) fn of_sample(text: &str) -> Self {
        Self::of(vec![Root::new(text.as_bytes())])
    }

    /// The ring of a configuration: sessions kept by this kind of store, under this key prefix.
    pub(crate) fn bind(&self, kind: &str, prefix: &str) -> Ring {
        let scope = scope(kind, prefix);
        let mut bound = self.0.bound.borrow_mut();
        if let Some((_, ring)) = bound.iter().find(|(known, _)| *known == scope) {
            return ring.clone();
        }
        let secrets = self.0.secrets.iter();
        let ring = Ring(secrets.map(|secret| secret.bind(&scope)).collect());
        if bound.len() >= BOUND {
            bound.remove(0);
        }
        bound.push((scope, ring.clone()));
        ring
    }
}

impl Ring {
    /// The ring of this text in a configuration for tests.
    #[cfg(test)]
    pub(crate) fn sample(text: &str) -> Self {
        SecretRing::parse(text).unwrap().bind("custom", "")
    }

    /// The secret that signs what is minted.
    pub(crate) fn signer(&self) -> &Secret {
        // `parse` refuses an empty ring: `split` yields at least one part.
        &self.0[0]
    }

    /// All of them, the signer first.
    pub(crate) fn iter(&self) -> std::slice::Iter<'_, Secret> {
        self.0.iter()
    }

    /// The key of a public session key; `None` where a secret of the ring does not vouch for its
    /// parts.
    pub(crate) fn session_key(&self, text: &str) -> Option<KeyParts> {
        let (parts, tag) = text.rsplit_once('.')?;
        let key = KeyParts::parse(parts)?;
        let tag = Id::parse(tag)?.0;
        let vouches = |secret: &Secret| bool::from(secret.session_key_tag(&key).ct_eq(&tag));
        self.iter().any(vouches).then_some(key)
    }

    pub(crate) fn find(&self, id: KeyId) -> Option<&Secret> {
        self.0.iter().find(|secret| secret.id == id)
    }
}

impl fmt::Debug for SecretRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecretRing({} secrets)", self.0.secrets.len())
    }
}

fn refuse_weak(secret: &str) -> Result<(), &'static str> {
    let bytes = secret.as_bytes();
    if bytes.is_empty() {
        return Err("is empty");
    }
    if bytes.len() < SECRET_MIN_BYTES {
        return Err("is shorter than 32 bytes");
    }
    let distinct = bytes
        .iter()
        .enumerate()
        .filter(|(i, byte)| !bytes[..*i].contains(byte))
        .count();
    if distinct < SECRET_MIN_DISTINCT {
        return Err("repeats a few characters");
    }
    let lower = secret.to_ascii_lowercase();
    if SAMPLE_WORDS.iter().any(|word| text::contains(&lower, word)) {
        return Err("looks like a sample from documentation");
    }
    Ok(())
}

fn keyed(key: &[u8]) -> Mac {
    // HMAC takes a key of any length (RFC 2104 section 2); the fallback is never reached.
    Mac::new_from_slice(key).unwrap_or_else(|_| Mac::new(&Default::default()))
}

fn expand(root: &Hkdf<Sha256>, info: &[u8], out: &mut [u8]) {
    // Fails only for more than 255 * 32 bytes (RFC 5869 section 2.3); 32 are the most asked for.
    let expanded = root.expand(info, out);
    debug_assert!(expanded.is_ok());
}

/// The first block of HKDF's expand step (RFC 5869 section 2.3).
fn first_block(expand: &mut Mac, info: &[u8], out: &mut [u8; 32]) {
    Update::update(expand, info);
    Update::update(expand, &[1]);
    finish(expand, out);
}

/// Ends what was authenticated, and makes `mac` ready for the next under the same key.
fn finish(mac: &mut Mac, out: &mut [u8; 32]) {
    FixedOutputReset::finalize_into_reset(mac, out.into());
}

fn authenticate(mac: &mut Mac, fields: &[&[u8]]) -> Tag {
    for field in fields {
        absorb(mac, field);
    }
    let mut full = [0; 32];
    finish(mac, &mut full);
    truncate(&full)
}

fn absorb(mac: &mut Mac, field: &[u8]) {
    Update::update(mac, &(field.len() as u32).to_be_bytes());
    Update::update(mac, field);
}

fn truncate(full: &[u8; 32]) -> Tag {
    let mut tag = Tag::default();
    tag.copy_from_slice(&full[..16]);
    tag
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::port::error::ErrorCode;

    const SECRET: &str = "lR0v9cFqWm3kXo2TzJ7yPb5sUe8hNd1GaQ4iCxKtMwY";

    #[test]
    fn weak_secrets_are_refused_with_a_reason() {
        for (secret, why) in [
            ("", "empty"),
            ("tiny", "shorter than 32"),
            ("aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", "repeats"),
            ("abcabcabcabcabcabcabcabcabcabcabcabcabcabc", "repeats"),
            ("please-changeme-please-changeme-0123456789", "sample"),
            ("0123456789 is the secret of the vectors", "sample"),
            ("0123456789012345678901234567890", "shorter than 32"),
            ("01234560123456012345601234560123456", "repeats"),
        ] {
            let error = SecretRing::parse(secret).unwrap_err();
            assert_eq!(error.code(), ErrorCode::Config);
            assert!(error.to_string().contains(why), "{error}");
            assert!(secret.is_empty() || !error.to_string().contains(secret));
        }
        // 32 bytes of 8 kinds are the least that is taken.
        assert!(SecretRing::parse("01234567012345670123456701234567").is_ok());
        let error = SecretRing::parse(&format!("{SECRET},")).unwrap_err();
        assert!(error.to_string().contains("secret 2"), "{error}");
    }

    #[test]
    fn two_secrets_with_one_id_are_refused() {
        let error = SecretRing::parse(&format!("{SECRET},{SECRET}")).unwrap_err();
        assert!(error.to_string().contains("key id"), "{error}");
    }

    #[test]
    fn the_first_signs_and_each_is_found_by_its_id() {
        let other = "Zq8w2eRt5yUi0pAs3dFg6hJk9lXc1vBn4mQwErTyUiO";
        let ring = Ring::sample(&format!("{SECRET}, {other}"));
        let first = Ring::sample(SECRET);
        assert_eq!(ring.signer().id(), first.signer().id());
        let second = Ring::sample(other);
        assert!(ring.find(second.signer().id()).is_some());
        assert!(first.find(second.signer().id()).is_none());
    }

    #[test]
    fn fields_cannot_be_shifted_into_each_other() {
        let ring = Ring::sample(SECRET);
        let tag = |fields: &[&[u8]]| ring.signer().tag(Purpose::Csrf, fields);
        assert_ne!(tag(&[b"ab", b"c"]), tag(&[b"a", b"bc"]));
        assert_ne!(tag(&[b"ab"]), tag(&[b"ab", b""]));
    }

    #[test]
    fn keys_are_bound_to_the_kind_of_store_and_the_prefix() {
        let ring = SecretRing::parse(SECRET).unwrap();
        let token = Token::from_bytes(&[1; 32]).unwrap();
        let of = |kind, prefix| {
            let ring = ring.bind(kind, prefix);
            let secret = ring.signer();
            let keys = secret.derive(&token);
            (
                secret.tag(Purpose::Csrf, &[b"x"]),
                secret.owner_tag("ada"),
                *secret.metadata_key(),
                keys.derived,
                *keys.record.bytes(),
            )
        };
        let one = of("kv", "a");
        assert_eq!(one, of("kv", "a"), "kept");
        for (kind, prefix) in [
            ("kv", "b"),
            ("kv", ""),
            ("memory", "a"),
            ("kva", ""),
            ("k", "va"),
        ] {
            let other = of(kind, prefix);
            assert_ne!(one.0, other.0, "{kind} {prefix}");
            assert_ne!(one.1, other.1, "{kind} {prefix}");
            assert_ne!(one.2, other.2, "{kind} {prefix}");
            assert_ne!(one.3, other.3, "{kind} {prefix}");
            assert_ne!(one.4, other.4, "{kind} {prefix}");
        }
        // The id names the secret, wherever it is used.
        assert_eq!(
            ring.bind("kv", "a").signer().id(),
            ring.bind("kv", "b").signer().id()
        );
        // And only so many are kept.
        for n in 0..2 * BOUND {
            ring.bind("kv", &n.to_string());
        }
        assert_eq!(ring.0.bound.borrow().len(), BOUND);
        assert_eq!(one, of("kv", "a"));
    }

    #[test]
    fn a_tag_of_one_purpose_is_none_of_another() {
        let ring = Ring::sample(SECRET);
        let all = [
            Purpose::KeyCookie,
            Purpose::SeenCookie,
            Purpose::FreshCookie,
            Purpose::FormCookie,
            Purpose::Csrf,
            Purpose::CsrfOfSeveral,
            Purpose::FormToken,
            Purpose::Event,
            Purpose::SessionKey,
        ];
        for purpose in all {
            let tag = ring.signer().tag(purpose, &[b"x"]);
            for other in all {
                let verified = ring.signer().verify(other, &[b"x"], &tag);
                assert_eq!(verified, other == purpose, "{purpose:?} as {other:?}");
            }
        }
    }

    #[test]
    fn session_keys_have_one_text() {
        let ring = Ring::sample(SECRET);
        let id = |n| Id([n; 16]);
        let anonymous = KeyParts {
            owner: None,
            lineage: id(1),
            derived: id(2),
        };
        let first = KeyParts {
            owner: Some(ring.signer().owner_tag("ada")),
            lineage: id(1),
            derived: id(1),
        };
        let [good, other] = [anonymous, first].map(|key| ring.signer().public_key(&key));
        assert_eq!(ring.session_key(&good), Some(anonymous));
        assert_eq!(ring.session_key(&other), Some(first));
        let (parts, tag) = good.rsplit_once('.').unwrap();
        let other_tag = other.rsplit_once('.').unwrap().1;
        for bad in [
            "",
            "-",
            "-.a.b",
            "-.a.b.c",
            parts,
            &good[1..],
            &format!("{good}."),
            &format!("{good}A"),
            &format!("{parts}.{other_tag}"),
            &format!("{parts}.{tag}.{tag}"),
        ] {
            assert_eq!(ring.session_key(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_session_key_is_vouched_for_by_any_secret_of_the_ring() {
        let other = "Zq8w2eRt5yUi0pAs3dFg6hJk9lXc1vBn4mQwErTyUiO";
        let [old, new] = [SECRET, other].map(Ring::sample);
        let both = Ring::sample(&format!("{other},{SECRET}"));
        let key = KeyParts {
            owner: None,
            lineage: Id([1; 16]),
            derived: Id([2; 16]),
        };
        let text = old.signer().public_key(&key);
        assert_eq!(both.session_key(&text), Some(key));
        assert_eq!(new.session_key(&text), None);
    }

    #[test]
    fn a_token_is_compared_whole() {
        let token = Token::from_bytes(&[1; 32]).unwrap();
        assert!(token.is(&token.clone()));
        for at in 0..32 {
            let mut bytes = [1; 32];
            bytes[at] = 2;
            assert!(!token.is(&Token::from_bytes(&bytes).unwrap()));
        }
        for wrong in [0, 31, 33] {
            assert!(Token::from_bytes(&vec![1; wrong]).is_none());
        }
    }

    #[test]
    fn nothing_of_a_secret_is_printed() {
        let ring = SecretRing::parse(SECRET).unwrap();
        assert_eq!(format!("{ring:?}"), "SecretRing(1 secrets)");
        assert_eq!(format!("{:?}", Id([0; 16])), "Id(AAAAAAAAAAAAAAAAAAAAAA)");
    }
}
