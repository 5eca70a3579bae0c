//! Tokens against cross-site request forgery, bound to the session's own token.
//!
//! Nothing is stored: the token is an HMAC of the session's secret token, masked anew each time it
//! is given out, so that a compressed answer never repeats it (the attack known as BREACH). It
//! changes with the key.

use subtle::ConstantTimeEq as _;

use crate::port::error::{ErrorCode, SessionError};
use crate::protocol::keys::{Purpose, Tag};
use crate::protocol::wire::{decode_text, encode_text};
use crate::session::life::Base;
use crate::session::presented::{Identity, Presented};

use super::SessionStore;

const TAG: usize = size_of::<Tag>();

impl SessionStore {
    /// A token for this session's forms, other text in each call. A session without a key begins
    /// one, as [`create`](Self::create) does.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// let token = session.csrf_token()?;
    /// assert!(session.verify_csrf(&token).is_ok());
    /// assert_ne!(token, session.csrf_token()?);
    /// assert!(session.verify_csrf("forged").is_err());
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// As [`create`](Self::create); what the load found where it cannot be trusted.
    pub fn csrf_token(&mut self) -> Result<String, SessionError> {
        self.is_empty()?;
        if self.csrf_tag().is_none() {
            self.create()?;
        }
        let tag = self.csrf_tag().ok_or_else(no_token)?;
        let mut mask = Tag::default();
        self.runtime().fill_random(&mut mask)?;
        let mut out = [0; 2 * TAG];
        out[..TAG].copy_from_slice(&mask);
        for ((out, tag), mask) in out[TAG..].iter_mut().zip(tag).zip(mask) {
            *out = tag ^ mask;
        }
        Ok(encode_text(&out))
    }

    /// Checks a token that a form sent back; in constant time.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// let token = session.csrf_token()?;
    /// session.verify_csrf(&token)?;
    /// assert_eq!(session.verify_csrf("another").unwrap_err().code().as_str(), "invalid_value");
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// `invalid_value` where it is not one of this session's; what the load found where it cannot
    /// be trusted.
    pub fn verify_csrf(&self, token: &str) -> Result<(), SessionError> {
        self.is_empty()?;
        let tag = self.csrf_tag().ok_or_else(no_token)?;
        let given = decode_text(token)
            .filter(|given| given.len() == 2 * TAG)
            .ok_or_else(no_token)?;
        let (mask, masked) = given.split_at(TAG);
        let mut unmasked = Tag::default();
        for ((out, masked), mask) in unmasked.iter_mut().zip(masked).zip(mask) {
            *out = masked ^ mask;
        }
        if unmasked.ct_eq(&tag).into() {
            Ok(())
        } else {
            Err(no_token())
        }
    }

    fn csrf_tag(&self) -> Option<Tag> {
        let identity = self.identity()?;
        let secret = self.shared.config().ring().find(identity.ticket.secret)?;
        Some(secret.tag(Purpose::Csrf, &[identity.ticket.token.bytes()]))
    }

    /// The session by the token that the browser has, or will have after the commit.
    fn identity(&self) -> Option<&Identity> {
        let open = self.life.open()?;
        if let Some(next) = &open.draft.key {
            return Some(&next.identity);
        }
        match (self.presented(), &open.base) {
            (Presented::Session(held), Base::Live(_) | Base::ReadOnly(_, ErrorCode::Stale)) => {
                Some(&held.identity)
            }
            _ => None,
        }
    }
}

fn no_token() -> SessionError {
    SessionError::new(
        ErrorCode::InvalidValue,
        "the CSRF token is not one of this session's; load the page again for a new one",
    )
}
