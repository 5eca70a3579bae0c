//! The contents of a session's three cookies, and the MAC that proves that we wrote them.
//!
//! * the **key cookie** says *who*: token, lineage, owner tag, minted-at, hard end; or, after a
//!   logout that storage could not take, a **tombstone**: owner tag, lineage and derived key, no
//!   token;
//! * the **seen cookie** says *when last*;
//! * the **fresh cookie** says *what I just saved*: version, saved-at, perhaps the record itself.
//!
//! Each cookie has one kind of writer, so that a late response to one kind of request never undoes
//! what another kind has said. The MACs of seen and fresh cover the token too, so they are invalid
//! with any other token.
//!
//! Each value ends with its MAC, called the tag. [`verify_tagged`] checks it before anything else of
//! the value is used, in this order: length, alphabet, version, key id, tag. `docs/wire-format.md`
//! has the bytes.

use zeroize::Zeroizing;

use crate::protocol::keys::{Id, KeyId, KeyParts, Purpose, Ring, Secret, Tag, Token};
use crate::protocol::version::Version;
use crate::protocol::wire::{Put, Reader, decode_text, encode_text};

/// First byte of every cookie value of this format.
pub(crate) const FORMAT: u8 = 2;

/// Longest text of a key cookie.
pub(crate) const KEY_COOKIE_MAX: usize = 200;
/// Longest text of a seen cookie.
pub(crate) const SEEN_COOKIE_MAX: usize = 90;
/// Longest text of a fresh cookie without overlay.
pub(crate) const FRESH_COOKIE_MAX: usize = 120;
/// Longest text of a fresh cookie with overlay.
pub(crate) const FRESH_COOKIE_OVERLAY_MAX: usize = 3_600;

/// Separates the head of a fresh cookie from its overlay. Base64url does not use this character.
const OVERLAY_MARK: char = '.';
/// The characters at the end of an overlay that encode the tag of its seal (16 bytes). The cookie's
/// MAC covers only these. The seal authenticates the rest: hashing all of it again would be most of
/// the cost of saving a few kilobytes.
const OVERLAY_END: usize = 22;

/// Why a cookie with our name was not written by us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rejection {
    Length,
    Alphabet,
    Format,
    KeyId,
    Tag,
}

impl Rejection {
    /// The text of this reason in events.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Length => "length",
            Self::Alphabet => "alphabet",
            Self::Format => "format",
            Self::KeyId => "key_id",
            Self::Tag => "tag",
        }
    }
}

/// A live key cookie.
#[derive(Clone)]
pub(crate) struct KeyTicket {
    pub(crate) secret: KeyId,
    pub(crate) token: Token,
    pub(crate) lineage: Id,
    pub(crate) owner: Option<Id>,
    /// When this token was made.
    pub(crate) minted_at: i64,
    /// When the lineage ends, whatever happens.
    pub(crate) hard_end: i64,
}

impl KeyTicket {
    /// The end of this ticket where a token may not live longer than `age` milliseconds.
    pub(crate) fn end(&self, age: i64) -> i64 {
        self.hard_end.min(self.minted_at.saturating_add(age))
    }
}

/// A logout that is not stored yet. It names the ended session but contains no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tombstone {
    pub(crate) secret: KeyId,
    pub(crate) lineage: Id,
    pub(crate) derived: Id,
    pub(crate) owner: Option<Id>,
    pub(crate) hard_end: i64,
}

impl Tombstone {
    pub(crate) fn new(secret: KeyId, key: &KeyParts, hard_end: i64) -> Self {
        Self {
            secret,
            lineage: key.lineage,
            derived: key.derived,
            owner: key.owner,
            hard_end,
        }
    }

    /// The key of the session to end.
    pub(crate) fn key(&self) -> KeyParts {
        KeyParts {
            owner: self.owner,
            lineage: self.lineage,
            derived: self.derived,
        }
    }
}

/// An authentic key cookie.
#[derive(Clone)]
pub(crate) enum KeyCookie {
    /// A session, with the tag of the cookie.
    Ticket(KeyTicket, Tag),
    Tombstone(Tombstone),
}

const KIND_ANONYMOUS: u8 = 0;
const KIND_OWNED: u8 = 1;
const KIND_TOMBSTONE: u8 = 2;
const KIND_OWNED_TOMBSTONE: u8 = 3;

impl KeyTicket {
    pub(crate) fn encode(&self, secret: &Secret, name: &str) -> String {
        let mut out = Vec::with_capacity(98);
        out.push(FORMAT);
        out.extend_from_slice(&self.secret);
        out.push(if self.owner.is_some() {
            KIND_OWNED
        } else {
            KIND_ANONYMOUS
        });
        out.extend_from_slice(self.token.bytes());
        out.extend_from_slice(&self.lineage.0);
        if let Some(owner) = &self.owner {
            out.extend_from_slice(&owner.0);
        }
        out.put_instant(self.minted_at);
        out.put_instant(self.hard_end);
        append_tag(out, secret, Purpose::KeyCookie, &[name.as_bytes()])
    }
}

impl Tombstone {
    pub(crate) fn encode(&self, secret: &Secret, name: &str) -> String {
        let mut out = Vec::with_capacity(76);
        out.push(FORMAT);
        out.extend_from_slice(&self.secret);
        out.push(if self.owner.is_some() {
            KIND_OWNED_TOMBSTONE
        } else {
            KIND_TOMBSTONE
        });
        out.extend_from_slice(&self.lineage.0);
        out.extend_from_slice(&self.derived.0);
        if let Some(owner) = &self.owner {
            out.extend_from_slice(&owner.0);
        }
        out.put_instant(self.hard_end);
        append_tag(out, secret, Purpose::KeyCookie, &[name.as_bytes()])
    }
}

impl KeyCookie {
    /// Decodes the value of the key cookie `name` and checks its MAC. Does no I/O. A value that we
    /// did not write is a [`Rejection`].
    pub(crate) fn decode(text: &str, ring: &Ring, name: &str) -> Result<Self, Rejection> {
        let fields = [name.as_bytes()];
        let (bytes, tag) = verify_tagged(text, KEY_COOKIE_MAX, ring, Purpose::KeyCookie, &fields)?;
        let mut reader = Reader::new(&bytes);
        Self::read(&mut reader, tag)
            .filter(|_| reader.is_empty())
            .ok_or(Rejection::Format)
    }

    fn read(reader: &mut Reader<'_>, tag: Tag) -> Option<Self> {
        reader.u8()?;
        let secret = reader.array()?;
        match reader.u8()? {
            kind @ (KIND_TOMBSTONE | KIND_OWNED_TOMBSTONE) => Some(Self::Tombstone(Tombstone {
                secret,
                lineage: Id(reader.array()?),
                derived: Id(reader.array()?),
                owner: if kind == KIND_OWNED_TOMBSTONE {
                    Some(Id(reader.array()?))
                } else {
                    None
                },
                hard_end: reader.instant()?,
            })),
            kind @ (KIND_ANONYMOUS | KIND_OWNED) => {
                let ticket = KeyTicket {
                    secret,
                    token: Token::from_bytes(reader.bytes(Token::BYTES)?)?,
                    lineage: Id(reader.array()?),
                    owner: if kind == KIND_OWNED {
                        Some(Id(reader.array()?))
                    } else {
                        None
                    },
                    minted_at: reader.instant()?,
                    hard_end: reader.instant()?,
                };
                Some(Self::Ticket(ticket, tag))
            }
            _ => None,
        }
    }
}

/// The seen cookie: when the browser of this token was last here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) at: i64,
}

impl Seen {
    pub(crate) fn encode(self, secret: &Secret, name: &str, token: &Token) -> String {
        let mut out = Vec::with_capacity(27);
        out.push(FORMAT);
        out.extend_from_slice(&secret.id());
        out.put_instant(self.at);
        let fields: [&[u8]; 2] = [name.as_bytes(), token.bytes()];
        append_tag(out, secret, Purpose::SeenCookie, &fields)
    }

    pub(crate) fn decode(
        text: &str,
        ring: &Ring,
        name: &str,
        token: &Token,
    ) -> Result<Self, Rejection> {
        let fields: [&[u8]; 2] = [name.as_bytes(), token.bytes()];
        let (bytes, _) = verify_tagged(text, SEEN_COOKIE_MAX, ring, Purpose::SeenCookie, &fields)?;
        let mut reader = Reader::new(bytes.get(5..).unwrap_or_default());
        reader
            .instant()
            .filter(|_| reader.is_empty())
            .map(|at| Self { at })
            .ok_or(Rejection::Format)
    }
}

/// The fresh cookie: what this browser saved last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fresh {
    pub(crate) version: Version,
    pub(crate) saved_at: i64,
    /// The put of this version was rate limited (one write a second): only the overlay has it.
    pub(crate) unstored: bool,
    /// The sealed record, the same text that was put. The MAC has authenticated its end only;
    /// opening it authenticates the rest.
    pub(crate) overlay: Option<String>,
}

impl Fresh {
    /// Characters before an overlay: the head and the mark.
    pub(crate) const HEAD_TEXT: usize = 49;

    pub(crate) fn encode(&self, secret: &Secret, name: &str, token: &Token) -> String {
        let mut out = Vec::with_capacity(36);
        out.push(FORMAT);
        out.extend_from_slice(&secret.id());
        self.version.encode(&mut out);
        out.put_instant(self.saved_at);
        out.push(u8::from(self.unstored));
        let overlay = self.overlay.as_deref();
        let end = end_of(overlay).unwrap_or_default();
        let fields: [&[u8]; 3] = [name.as_bytes(), token.bytes(), end];
        let mut text = append_tag(out, secret, Purpose::FreshCookie, &fields);
        if let Some(overlay) = overlay {
            text.push(OVERLAY_MARK);
            text.push_str(overlay);
        }
        text
    }

    pub(crate) fn decode(
        text: &str,
        ring: &Ring,
        name: &str,
        token: &Token,
    ) -> Result<Self, Rejection> {
        let (head, overlay) = match text.split_once(OVERLAY_MARK) {
            Some((head, overlay)) => (head, Some(overlay)),
            None => (text, None),
        };
        if text.len() > FRESH_COOKIE_OVERLAY_MAX {
            return Err(Rejection::Length);
        }
        let end = end_of(overlay).ok_or(Rejection::Length)?;
        let fields: [&[u8]; 3] = [name.as_bytes(), token.bytes(), end];
        let (bytes, _) =
            verify_tagged(head, FRESH_COOKIE_MAX, ring, Purpose::FreshCookie, &fields)?;
        let mut reader = Reader::new(bytes.get(5..).unwrap_or_default());
        Self::read(&mut reader, overlay)
            .filter(|_| reader.is_empty())
            .ok_or(Rejection::Format)
    }

    fn read(reader: &mut Reader<'_>, overlay: Option<&str>) -> Option<Self> {
        Some(Self {
            version: Version::decode(reader)?,
            saved_at: reader.instant()?,
            unstored: match reader.u8()? {
                0 => false,
                1 => true,
                _ => return None,
            },
            overlay: overlay.map(str::to_owned),
        })
    }
}

/// The part of an overlay that the fresh cookie's MAC covers: empty without an overlay, `None` if
/// the text is too short to be an overlay.
pub(crate) fn end_of(overlay: Option<&str>) -> Option<&[u8]> {
    match overlay {
        Some(overlay) => Some(overlay.as_bytes().last_chunk::<OVERLAY_END>()?),
        None => Some(&[]),
    }
}

/// The text of `body` followed by its MAC. The MAC covers `context` too, which is not part of the
/// text.
pub(super) fn append_tag(
    body: Vec<u8>,
    secret: &Secret,
    purpose: Purpose,
    context: &[&[u8]],
) -> String {
    let mut body = Zeroizing::new(body);
    let mut fields = Vec::with_capacity(context.len() + 1);
    fields.push(&body[..]);
    fields.extend_from_slice(context);
    let tag = secret.tag(purpose, &fields);
    body.extend_from_slice(&tag);
    encode_text(&body)
}

/// Checks the MAC of a cookie value. Returns the body and the MAC (its tag). The MAC must also cover
/// `context`, which is not part of the text.
pub(super) fn verify_tagged(
    text: &str,
    max: usize,
    ring: &Ring,
    purpose: Purpose,
    context: &[&[u8]],
) -> Result<(Zeroizing<Vec<u8>>, Tag), Rejection> {
    const HEAD: usize = 1 + size_of::<KeyId>();
    const TAG: usize = size_of::<Tag>();
    if text.is_empty() || text.len() > max {
        return Err(Rejection::Length);
    }
    let mut bytes = Zeroizing::new(decode_text(text).ok_or(Rejection::Alphabet)?);
    let body = bytes
        .len()
        .checked_sub(TAG)
        .filter(|body| *body >= HEAD)
        .ok_or(Rejection::Length)?;
    let mut reader = Reader::new(&bytes);
    if reader.u8() != Some(FORMAT) {
        return Err(Rejection::Format);
    }
    let secret = reader
        .array()
        .and_then(|id| ring.find(id))
        .ok_or(Rejection::KeyId)?;
    let mut fields = Vec::with_capacity(context.len() + 1);
    fields.push(&bytes[..body]);
    fields.extend_from_slice(context);
    let tag = Tag::try_from(&bytes[body..]).map_err(|_| Rejection::Length)?;
    if !secret.verify(purpose, &fields, &tag) {
        return Err(Rejection::Tag);
    }
    bytes.truncate(body);
    Ok((bytes, tag))
}

#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECRET: &str = "lR0v9cFqWm3kXo2TzJ7yPb5sUe8hNd1GaQ4iCxKtMwY";
    const OTHER: &str = "Zq8w2eRt5yUi0pAs3dFg6hJk9lXc1vBn4mQwErTyUiO";
    const NAME: &str = "__Host-session";

    fn ring() -> Ring {
        Ring::sample(SECRET)
    }

    fn ticket(owner: bool) -> KeyTicket {
        let ring = ring();
        let token = Token::from_bytes(&[7; 32]).unwrap();
        KeyTicket {
            secret: ring.signer().id(),
            lineage: ring.signer().derive(&token).derived,
            owner: owner.then(|| ring.signer().owner_tag("ada")),
            token,
            minted_at: 1_700_000_000_000,
            hard_end: 1_700_604_800_000,
        }
    }

    fn rejection(text: &str, ring: &Ring, name: &str) -> Option<Rejection> {
        KeyCookie::decode(text, ring, name).err()
    }

    #[test]
    fn a_key_cookie_round_trips_within_its_length() {
        for owner in [false, true] {
            let text = ticket(owner).encode(ring().signer(), NAME);
            assert!(text.len() <= KEY_COOKIE_MAX, "{}", text.len());
            let Ok(KeyCookie::Ticket(back, _)) = KeyCookie::decode(&text, &ring(), NAME) else {
                panic!("a ticket")
            };
            assert!(back.token.is(&ticket(owner).token));
            assert_eq!(back.owner, ticket(owner).owner);
            assert_eq!(
                (back.minted_at, back.hard_end),
                (1_700_000_000_000, 1_700_604_800_000)
            );
        }
    }

    #[test]
    fn a_tombstone_names_its_session_and_carries_no_token() {
        for owner in [None, Some(Id([3; 16]))] {
            let key = KeyParts {
                owner,
                lineage: Id([1; 16]),
                derived: Id([2; 16]),
            };
            let stone = Tombstone::new(ring().signer().id(), &key, 1_700_604_800_000);
            let text = stone.encode(ring().signer(), NAME);
            assert!(text.len() <= KEY_COOKIE_MAX);
            let Ok(KeyCookie::Tombstone(back)) = KeyCookie::decode(&text, &ring(), NAME) else {
                panic!("a tombstone")
            };
            assert_eq!(back, stone);
            assert_eq!(back.key(), key);
        }
    }

    #[test]
    fn every_changed_character_is_refused() {
        let text = ticket(true).encode(ring().signer(), NAME);
        const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        for at in 0..text.len() {
            for &other in ALPHABET.iter().chain(b"+/=. ") {
                if text.as_bytes()[at] == other {
                    continue;
                }
                let mut changed = text.clone().into_bytes();
                changed[at] = other;
                let changed = String::from_utf8(changed).unwrap();
                assert!(
                    rejection(&changed, &ring(), NAME).is_some(),
                    "{at} {}",
                    other as char
                );
            }
        }
        for cut in 0..text.len() {
            assert!(rejection(&text[..cut], &ring(), NAME).is_some());
        }
        assert!(rejection(&format!("{text}A"), &ring(), NAME).is_some());
    }

    #[test]
    fn the_checks_come_in_their_order() {
        let text = ticket(false).encode(ring().signer(), NAME);
        let other = Ring::sample(OTHER);
        assert_eq!(
            rejection(&"A".repeat(201), &ring(), NAME),
            Some(Rejection::Length)
        );
        // The longest that is looked at, and the shortest.
        let first = |length| rejection(&"A".repeat(length), &ring(), NAME);
        assert_eq!(first(KEY_COOKIE_MAX), Some(Rejection::Format));
        assert_eq!(first(27), Some(Rejection::Length), "20 bytes");
        assert_eq!(first(28), Some(Rejection::Format), "21 bytes");
        assert_eq!(rejection("AAAA*", &ring(), NAME), Some(Rejection::Alphabet));
        assert_eq!(
            rejection(&format!("/{}", &text[1..]), &ring(), NAME),
            Some(Rejection::Alphabet)
        );
        assert_eq!(
            rejection(&format!("B{}", &text[1..]), &ring(), NAME),
            Some(Rejection::Format)
        );
        assert_eq!(rejection(&text, &other, NAME), Some(Rejection::KeyId));
        assert_eq!(
            rejection(&text, &ring(), "__Host-other"),
            Some(Rejection::Tag)
        );
    }

    #[test]
    fn a_ticket_ends_with_its_lineage_or_its_own_age() {
        let ticket = ticket(false);
        assert_eq!(ticket.end(i64::MAX), ticket.hard_end);
        assert_eq!(ticket.end(1_000), ticket.minted_at + 1_000);
    }

    #[test]
    fn every_rejection_has_a_word_of_its_own() {
        let words = [
            Rejection::Length,
            Rejection::Alphabet,
            Rejection::Format,
            Rejection::KeyId,
            Rejection::Tag,
        ]
        .map(Rejection::as_str);
        assert_eq!(words, ["length", "alphabet", "format", "key_id", "tag"]);
    }

    #[test]
    fn seen_and_fresh_belong_to_one_token() {
        let (mine, other) = (
            Token::from_bytes(&[1; 32]).unwrap(),
            Token::from_bytes(&[2; 32]).unwrap(),
        );
        let (ring, name) = (ring(), "__Host-session-seen");
        let seen = Seen {
            at: 1_700_000_000_000,
        };
        let text = seen.encode(ring.signer(), name, &mine);
        assert!(text.len() <= SEEN_COOKIE_MAX);
        assert_eq!(Seen::decode(&text, &ring, name, &mine), Ok(seen));
        assert_eq!(
            Seen::decode(&text, &ring, name, &other),
            Err(Rejection::Tag)
        );

        let fresh = Fresh {
            version: Version {
                counter: 3,
                writer: 9,
            },
            saved_at: 1_700_000_000_000,
            unstored: true,
            overlay: None,
        };
        let text = fresh.encode(ring.signer(), name, &mine);
        assert!(text.len() <= FRESH_COOKIE_MAX);
        assert_eq!(text.len() + 1, Fresh::HEAD_TEXT);
        assert_eq!(Fresh::decode(&text, &ring, name, &mine), Ok(fresh.clone()));
        assert_eq!(
            Fresh::decode(&text, &ring, name, &other),
            Err(Rejection::Tag)
        );
        // A seen value is no fresh value, whatever the name.
        assert!(
            Fresh::decode(&seen.encode(ring.signer(), name, &mine), &ring, name, &mine).is_err()
        );
    }

    #[test]
    fn an_overlay_cannot_be_added_removed_or_changed() {
        let (token, ring, name) = (Token::from_bytes(&[1; 32]).unwrap(), ring(), "f");
        let fresh = |overlay: String| Fresh {
            version: Version {
                counter: 3,
                writer: 9,
            },
            saved_at: 5,
            unstored: false,
            overlay: Some(overlay),
        };
        for (length, expected) in [
            (Fresh::HEAD_TEXT + OVERLAY_END - 1, Some(Rejection::Length)),
            (Fresh::HEAD_TEXT + OVERLAY_END, None),
            (FRESH_COOKIE_OVERLAY_MAX, None),
            (FRESH_COOKIE_OVERLAY_MAX + 1, Some(Rejection::Length)),
        ] {
            let overlay = "A".repeat(length - Fresh::HEAD_TEXT);
            let text = fresh(overlay).encode(ring.signer(), name, &token);
            assert_eq!(text.len(), length);
            assert_eq!(Fresh::decode(&text, &ring, name, &token).err(), expected);
        }

        // Sealed bytes: the tag is in the last of their characters, however many there are.
        for bytes in 48..51 {
            let overlay = encode_text(&vec![7; bytes]);
            let whole = fresh(overlay.clone());
            let text = whole.encode(ring.signer(), name, &token);
            let read = |text: &str| Fresh::decode(text, &ring, name, &token);
            assert_eq!(read(&text), Ok(whole));
            let head = text.split_once('.').unwrap().0;
            for changed in [
                head.to_owned(),
                format!("{head}."),
                format!("{head}.AQIE"),
                format!("{text}A"),
                format!("{text}.A"),
            ] {
                assert!(read(&changed).is_err(), "{changed}");
            }
            for at in bytes - 16..bytes {
                let mut other = vec![7; bytes];
                other[at] ^= 1;
                let changed = format!("{head}.{}", encode_text(&other));
                assert_eq!(read(&changed).err(), Some(Rejection::Tag), "{at}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in "\\PC{0,220}", bytes: Vec<u8>) {
            let token = Token::from_bytes(&[1; 32]).unwrap();
            for text in [text, encode_text(&bytes)] {
                prop_assert!(KeyCookie::decode(&text, &ring(), NAME).is_err());
                prop_assert!(Seen::decode(&text, &ring(), NAME, &token).is_err());
                prop_assert!(Fresh::decode(&text, &ring(), NAME, &token).is_err());
            }
        }
    }
}
