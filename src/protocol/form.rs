//! The form cookie, which identifies a browser without a session when it sends a form.
//!
//! It contains a random number with our MAC. It identifies no session, and nothing is stored for
//! it. The CSRF tokens of pages without a session are derived from it. It is separate from the key
//! cookie, because a response that only shows a form must not replace a session's cookie, not even
//! that of an ended session.

use crate::port::error::SessionError;
use crate::port::runtime::Runtime;
use crate::protocol::keys::{KeyId, Purpose, Ring, Secret, Tag, Token};
use crate::protocol::ticket::{FORMAT, Rejection, append_tag, verify_tagged};
use crate::protocol::wire::Reader;

/// Longest text of a form cookie.
pub(crate) const FORM_COOKIE_MAX: usize = 90;

/// An authentic form cookie.
#[derive(Clone)]
pub(crate) struct Form {
    secret: KeyId,
    nonce: Token,
}

impl Form {
    /// A new one, under the ring's signer.
    pub(crate) fn random(ring: &Ring, runtime: &dyn Runtime) -> Result<Self, SessionError> {
        Ok(Self {
            secret: ring.signer().id(),
            nonce: Token::random(runtime)?,
        })
    }

    pub(crate) fn encode(&self, secret: &Secret, name: &str) -> String {
        let mut out = Vec::with_capacity(53);
        out.push(FORMAT);
        out.extend_from_slice(&self.secret);
        out.extend_from_slice(self.nonce.bytes());
        append_tag(out, secret, Purpose::FormCookie, &[name.as_bytes()])
    }

    /// Decodes the value of the form cookie `name` and checks its MAC.
    pub(crate) fn decode(text: &str, ring: &Ring, name: &str) -> Result<Self, Rejection> {
        let fields = [name.as_bytes()];
        let (bytes, _) = verify_tagged(text, FORM_COOKIE_MAX, ring, Purpose::FormCookie, &fields)?;
        let mut reader = Reader::new(bytes.get(1..).unwrap_or_default());
        Self::read(&mut reader)
            .filter(|_| reader.is_empty())
            .ok_or(Rejection::Format)
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        Some(Self {
            secret: reader.array()?,
            nonce: Token::from_bytes(reader.bytes(Token::BYTES)?)?,
        })
    }

    /// The MAC in a CSRF token of this cookie; `None` if the ring no longer has its secret.
    pub(crate) fn tag(&self, ring: &Ring) -> Option<Tag> {
        let secret = ring.find(self.secret)?;
        Some(secret.tag(Purpose::FormToken, &[self.nonce.bytes()]))
    }
}

#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod tests {
    use super::*;
    use crate::protocol::ticket::{KeyCookie, Seen};
    use proptest::prelude::*;

    const SECRET: &str = "lR0v9cFqWm3kXo2TzJ7yPb5sUe8hNd1GaQ4iCxKtMwY";
    const OTHER: &str = "Zq8w2eRt5yUi0pAs3dFg6hJk9lXc1vBn4mQwErTyUiO";
    const NAME: &str = "__Host-session-form";

    fn form(ring: &Ring) -> Form {
        Form {
            secret: ring.signer().id(),
            nonce: Token::from_bytes(&[7; 32]).unwrap(),
        }
    }

    #[test]
    fn a_form_cookie_round_trips_and_every_changed_character_is_refused() {
        let ring = Ring::sample(SECRET);
        let text = form(&ring).encode(ring.signer(), NAME);
        assert_eq!(text.len(), 71);
        let back = Form::decode(&text, &ring, NAME).ok().unwrap();
        assert_eq!(back.tag(&ring), form(&ring).tag(&ring));
        for at in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(Form::decode(&changed, &ring, NAME).is_err(), "{at}");
            assert!(Form::decode(&text[..at], &ring, NAME).is_err(), "{at}");
        }
        for longer in [format!("{text}A"), format!("{text}AAAA"), "A".repeat(91)] {
            assert!(Form::decode(&longer, &ring, NAME).is_err());
        }
    }

    #[test]
    fn a_form_cookie_belongs_to_its_name_its_secret_and_its_purpose() {
        let (ring, other) = (Ring::sample(SECRET), Ring::sample(OTHER));
        let text = form(&ring).encode(ring.signer(), NAME);
        let why = |ring: &Ring, name: &str| Form::decode(&text, ring, name).err();
        assert_eq!(why(&ring, "__Host-other-form"), Some(Rejection::Tag));
        assert_eq!(why(&other, NAME), Some(Rejection::KeyId));
        // Any secret of the ring vouches for it.
        let both = Ring::sample(&format!("{OTHER},{SECRET}"));
        assert_eq!(why(&both, NAME), None);
        assert_eq!(form(&ring).tag(&other), None);

        let token = Token::from_bytes(&[7; 32]).unwrap();
        assert!(KeyCookie::decode(&text, &ring, NAME).is_err());
        assert!(Seen::decode(&text, &ring, NAME, &token).is_err());
        // A session's token in the place of the number makes another CSRF token.
        let own = ring.signer().tag(Purpose::Csrf, &[token.bytes()]);
        assert_ne!(form(&ring).tag(&ring), Some(own));
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_panic(text in "\\PC{0,100}") {
            prop_assert!(Form::decode(&text, &Ring::sample(SECRET), NAME).is_err());
        }
    }
}
