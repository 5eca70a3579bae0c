//! Tokens against cross-site request forgery.
//!
//! Nothing is stored for a token, and to make or check one asks no storage. It is an HMAC, masked
//! anew each time it is given out, so that a compressed answer never repeats it (the attack known as
//! BREACH):
//!
//! * of the session's own secret token, where the browser has a session that can be used or that
//!   cannot be seen at the moment. It changes with the key.
//! * of the form cookie everywhere else: for a visitor without a session, and for one whose session
//!   is over. That cookie names no session (`src/protocol/form.rs`).
//!
//! What a user's session is asked to do takes a token of that session and no other: whoever could
//! set a form cookie in the user's browser could otherwise forge their requests. So tokens of before
//! a login are void after it.

use subtle::{Choice, ConstantTimeEq as _};

use crate::port::error::{ErrorCode, SessionError};
use crate::protocol::cookie::SameSite;
use crate::protocol::form::Form;
use crate::protocol::keys::{Purpose, Tag};
use crate::protocol::wire::{decode_text, encode_text};
use crate::session::form_answer::FormAnswer;
use crate::session::life::{Base, Life, committed, not_loaded};
use crate::session::presented::{Identity, Presented};

use super::SessionStore;

const TAG: usize = size_of::<Tag>();

impl SessionStore {
    /// A token for the forms of this page, other text in each call. It makes no session, changes
    /// none and asks no storage; a page without a session gets the form cookie with it, unless the
    /// browser has one. Ask for it after `bind`, `cycle_key` or `create`, where the request calls
    /// one of them: the token belongs to the key that the browser will have.
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
    /// `not_loaded`, `committed`, `not_ready`; `invalid_value` where the request came from another
    /// site and the browser may have withheld its cookies: answer it with a redirect to the page
    /// that shows the form, under `SameSite=Strict` with a link to it.
    pub fn csrf_token(&mut self) -> Result<String, SessionError> {
        self.check_form()?;
        let tag = match self.own_tag() {
            Some(tag) => tag,
            None => self.form_tag()?,
        };
        let mut mask = Tag::default();
        self.runtime().fill_random(&mut mask)?;
        let mut out = [0; 2 * TAG];
        out[..TAG].copy_from_slice(&mask);
        for ((out, tag), mask) in out[TAG..].iter_mut().zip(tag).zip(mask) {
            *out = tag ^ mask;
        }
        Ok(encode_text(&out))
    }

    /// Checks a token that a form sent back; in constant time, and without asking storage. A token
    /// of the session itself is good, and where no user is logged in one of a form cookie that came
    /// with the request.
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
    /// `invalid_value` where it is not one of this browser's, or what the load found where the
    /// session cannot be read now; `not_loaded`, `committed`.
    pub fn verify_csrf(&self, token: &str) -> Result<(), SessionError> {
        self.check_form()?;
        if let Some(given) = unmask(token)
            && self.is_ours(&given)
        {
            return Ok(());
        }
        Err(match self.life.open().map(|open| &open.base) {
            Some(Base::Closed(error)) => self.refuse(error.clone()),
            _ => no_token(),
        })
    }

    fn check_form(&self) -> Result<(), SessionError> {
        self.look_at();
        match self.life {
            Life::Open(_) | Life::Ended { .. } => Ok(()),
            Life::Unloaded => Err(self.refuse(not_loaded())),
            Life::Committed(_) => Err(self.refuse(committed())),
        }
    }

    /// Compares with every tag that would do, whichever fits.
    fn is_ours(&self, given: &Tag) -> bool {
        let mut fits = Choice::from(0);
        if let Some(tag) = self.own_tag() {
            fits |= given.ct_eq(&tag);
        }
        let has_owner = self
            .form_identity()
            .is_some_and(|identity| identity.ticket.owner.is_some());
        if !has_owner {
            for form in self.forms() {
                if let Some(tag) = form.tag(self.shared.config().ring()) {
                    fits |= given.ct_eq(&tag);
                }
            }
        }
        fits.into()
    }

    fn own_tag(&self) -> Option<Tag> {
        let identity = self.form_identity()?;
        let secret = self.shared.config().ring().find(identity.ticket.secret)?;
        Some(secret.tag(Purpose::Csrf, &[identity.ticket.token.bytes()]))
    }

    /// The session that this browser's forms belong to, by the token that the browser has or will
    /// have after the commit.
    fn form_identity(&self) -> Option<&Identity> {
        let open = self.life.open()?;
        if let Some(next) = &open.draft.key {
            // One that is not saved reaches no browser.
            return self.would_save().then_some(&next.identity);
        }
        let Presented::Session(held) = self.presented() else {
            return None;
        };
        let counts = match &open.base {
            Base::Live(_) | Base::ReadOnly(_, ErrorCode::Stale) => true,
            // What is shown here is the user's. Of a session of nobody's, the browser has the next
            // key by now, and its form cookie is good under both.
            Base::ReadOnly(Some(_), ErrorCode::Rotated) => held.identity.ticket.owner.is_some(),
            // As far as is known it lives: its token is good when it can be seen again.
            Base::Closed(error) => error.code() != ErrorCode::Rotated,
            Base::ReadOnly(..) | Base::Empty | Base::Detached => false,
        };
        counts.then_some(&held.identity)
    }

    /// The form cookies that count: the one that this answer sets, or those that came.
    fn forms(&self) -> Vec<Form> {
        self.form.forms(self.shared.config(), self.cookies())
    }

    /// The tag of the form cookie. Makes one where none came.
    fn form_tag(&mut self) -> Result<Tag, SessionError> {
        let ring = self.shared.config().ring();
        let form = match self.forms().into_iter().next() {
            Some(form) => form,
            None => {
                if self.cookie_was_withheld() {
                    let same_site = self.shared.config().settings().cookie_same_site();
                    return Err(withheld(same_site));
                }
                let form = Form::random(ring, self.runtime())?;
                self.form.set(self.shared.config(), &form);
                form
            }
        };
        form.tag(ring).ok_or_else(no_token)
    }

    /// A login was stored: nothing that was known before it may act for the user. Takes the form
    /// cookies from the browser.
    pub(super) fn void_forms(&mut self) {
        self.form = FormAnswer::voided(self.shared.config(), self.cookies());
    }
}

/// The tag in a token.
fn unmask(token: &str) -> Option<Tag> {
    let given = decode_text(token).filter(|given| given.len() == 2 * TAG)?;
    let (mask, masked) = given.split_at(TAG);
    let mut tag = Tag::default();
    for ((out, masked), mask) in tag.iter_mut().zip(masked).zip(mask) {
        *out = masked ^ mask;
    }
    Some(tag)
}

fn no_token() -> SessionError {
    SessionError::new(
        ErrorCode::InvalidValue,
        "the CSRF token does not belong to this browser; reload the page to get a new one",
    )
}

fn withheld(same_site: SameSite) -> SessionError {
    // What a redirect leads to comes from the other site too, and `Strict` cookies stay out of it.
    let instead = match same_site {
        SameSite::Strict => "link to the page that shows the form",
        SameSite::Lax | SameSite::None => "redirect (303) to the page that shows the form",
    };
    SessionError::new(
        ErrorCode::InvalidValue,
        format!(
            "no CSRF token: the request came from another site, and the browser may have withheld \
             its cookies; {instead}"
        ),
    )
}
