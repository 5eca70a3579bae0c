//! Tokens against cross-site request forgery.
//!
//! Tokens are not stored, and creating or checking one does no storage operation. A token is an
//! HMAC that is masked differently on every call, so a compressed response never repeats it (this
//! prevents the BREACH attack). It is an HMAC of:
//!
//! * the session's own secret token, if the browser has a session that is usable or currently not
//!   visible. It changes with the key.
//! * the tokens of several sessions together, if a user's session may be among them and none is
//!   chosen.
//! * the form cookie otherwise: for a visitor without a session, or with a session that has ended.
//!   That cookie does not identify a session (`src/protocol/form.rs`).
//!
//! A logged-in user's session accepts only its own tokens. Otherwise, anyone who can set a form
//! cookie in the user's browser could forge requests. That is why tokens from before a login are
//! void after it. The rule is in `src/session/csrf.rs`.

use std::rc::Rc;

use subtle::{Choice, ConstantTimeEq as _};

use crate::port::error::{ErrorCode, SessionError};
use crate::protocol::cookie::SameSite;
use crate::protocol::form::Form;
use crate::protocol::keys::Tag;
use crate::protocol::wire::{decode_text, encode_text};
use crate::session::csrf::{Situation, Tokens, tag_of};
use crate::session::form_answer::FormAnswer;
use crate::session::life::{Base, Life, committed, not_loaded};
use crate::session::presented::{Presented, PresentedSession};

use super::SessionStore;

const TAG: usize = size_of::<Tag>();

/// **Forms.** CSRF tokens, which cost no storage operation.
impl SessionStore {
    /// A token for the forms of this page, masked differently on every call. It neither creates nor
    /// changes a session and does no storage operation. A page without a session also sets the form
    /// cookie, unless the browser has one. If the request calls `bind`, `cycle_key`, `create`,
    /// `flush` or `destroy`, call this method afterwards: the token belongs to what the browser will
    /// have.
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
    /// `not_loaded`, `committed`, `not_ready`; `invalid_value` if the request came from another
    /// site and the browser may have withheld its cookies. In that case, redirect to the page that
    /// shows the form, or with `SameSite=Strict`, link to it. `too_large` if the Cookie header has
    /// more session cookies than can be looked at.
    pub fn csrf_token(&mut self) -> Result<String, SessionError> {
        self.check_form()?;
        let tag = match self.own_tag()? {
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

    /// Checks a token that a form sent back, in constant time and without a storage operation. It
    /// accepts tokens of the session itself. If no user is logged in, it also accepts tokens of a
    /// form cookie that the request carries. If the request calls `bind`, `cycle_key`, `create`,
    /// `flush` or `destroy`, call this method before: they change what the token belongs to.
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
    /// `invalid_value` if the token does not belong to this browser; the error of the load if the
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
        self.mark_accessed();
        match self.life {
            Life::Open(_) | Life::Ended { .. } => Ok(()),
            Life::Unloaded => Err(self.refuse(not_loaded())),
            Life::Committed(_) => Err(self.refuse(committed())),
        }
    }

    /// Compares with every acceptable tag and does not stop at a match.
    fn is_ours(&self, given: &Tag) -> bool {
        let ring = self.shared.config().ring();
        let proven = self.proven();
        let tokens = self.tokens(proven.as_deref());
        let mut good = vec![tag_of(&tokens.given, ring), tag_of(&tokens.also, ring)];
        if tokens.forms {
            good.extend(self.forms().iter().map(|form| form.tag(ring)));
        }
        let mut fits = Choice::from(0);
        for tag in good.into_iter().flatten() {
            fits |= given.ct_eq(&tag);
        }
        fits.into()
    }

    /// The tag of the sessions that this browser's forms belong to; `None` if they belong to the
    /// form cookie.
    fn own_tag(&self) -> Result<Option<Tag>, SessionError> {
        let proven = self.proven();
        let tokens = self.tokens(proven.as_deref());
        if tokens.given.is_empty() && proven.is_none() {
            return Err(self.refuse(SessionError::new(
                ErrorCode::TooLarge,
                "no CSRF token: the Cookie header has more session cookies than can be looked at; \
                 send fewer cookies",
            )));
        }
        Ok(tag_of(&tokens.given, self.shared.config().ring()))
    }

    /// `None` if there are too many to check.
    fn proven(&self) -> Option<Vec<Rc<PresentedSession>>> {
        let derive = |tag, secret: &_, token: &_| self.shared.derive(tag, secret, token);
        let config = self.shared.config();
        self.cookies().proven(config, self.now(), &derive)
    }

    fn tokens<'a>(&'a self, proven: Option<&'a [Rc<PresentedSession>]>) -> Tokens<'a> {
        let open = self.life.open();
        // A key that is not saved does not reach the browser.
        let next = open.and_then(|open| open.draft.key.as_ref());
        let chosen = match self.presented() {
            Presented::Session(session) => Some(&session.identity.ticket),
            _ => None,
        };
        let situation = Situation {
            base: open.map(|open| &open.base),
            outcome: self.outcome,
            next: next
                .filter(|_| self.would_save())
                .map(|next| &next.identity.ticket),
            chosen,
            proven: proven
                .into_iter()
                .flatten()
                .map(|session| &session.identity.ticket)
                .collect(),
            had_user: proven.is_none() || self.cookies().had_user(),
        };
        situation.tokens()
    }

    /// The form cookies that count: the one that this response sets, or those that the request
    /// carries.
    fn forms(&self) -> Vec<Form> {
        self.form.forms(self.shared.config(), self.cookies())
    }

    /// The tag of the form cookie. Creates a cookie if the request has none.
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

    /// A login was stored, so nothing issued before it may act for the user. Removes the form
    /// cookies from the browser.
    pub(super) fn void_forms(&mut self) {
        let was_withheld = self.cookie_was_withheld();
        self.form = FormAnswer::voided(self.shared.config(), self.cookies(), was_withheld);
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
    // The target of a redirect counts as requested by the other site too, so the browser withholds
    // `Strict` cookies.
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
