//! Methods that give the session a new key: `create`, `cycle_key` and `bind` (login). Who is logged
//! in, and since when.

use std::time::{Duration, SystemTime};

use crate::port::error::{ErrorCode, SessionError};
use crate::port::time::{instant, whole_milliseconds, whole_seconds};
use crate::protocol::expiry::OwnLimits;
use crate::protocol::wire::encode_text;
use crate::session::life::{Base, KeyTries, Life, Next, Open, SaveKind};
use crate::session::login::{check_owner, may_go_to, retired_by_login};
use crate::session::presented::{Identity, Presented};
use crate::session::refusals::refusal;
use crate::session::retired::Retired;

use super::SessionStore;

/// What a login keeps from the previous session.
///
/// ```
/// # edge_session::doc::with_session(|session| {
/// use edge_session::Keep;
/// session.set("cart", ["apple"])?;
/// session.bind_with("ada", Keep::Data)?;
/// assert!(session.contains_key("cart")?);
/// # Ok(()) });
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Keep {
    /// The data, if the previous session was anonymous or belonged to the same user.
    #[default]
    Data,
    /// Nothing: the session starts empty.
    Nothing,
}

/// **Life cycle: a new session, a new key.** They are known at once and stored by the commit.
impl SessionStore {
    /// A random id of 256 bits in base64url. It belongs to no session.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// let id = session.generate_session_id()?;
    /// assert_eq!(id.len(), 43);
    /// assert_ne!(id, session.generate_session_id()?);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// `not_ready` if no randomness is available, as at module scope.
    #[doc(alias = "random_id")]
    pub fn generate_session_id(&self) -> Result<String, SessionError> {
        Ok(encode_text(self.new_token()?.bytes()))
    }

    /// Starts a new session with a new token, lineage and key, which are known immediately. Nothing
    /// is read, and nothing is written before the commit. A session that is already new and belongs
    /// to nobody keeps its data; after a login in this request the new one starts empty. A loaded
    /// session is left as it is, and the new one starts empty; to end the old one, call `flush`.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// assert_eq!(session.session_key()?, None);
    /// session.create()?;
    /// assert!(session.session_key()?.unwrap().as_str().starts_with("-."));
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// As a save: `stale`, `rotated`, `revoked`, `destroyed`, `committed`; `not_loaded`,
    /// `not_ready`; what the load found.
    #[doc(alias = "new")]
    pub fn create(&mut self) -> Result<(), SessionError> {
        let refused = match &self.undecided()?.base {
            Base::Live(_) | Base::Empty => None,
            // Its cookie would replace one that another response has set or will set.
            Base::ReadOnly(_, code) => Some(refusal(*code)),
            Base::Closed(error) => Some(error.clone()),
            Base::Detached => return Ok(()),
        };
        if let Some(error) = refused {
            return Err(self.refuse(error));
        }
        let identity = Identity::mint(self.shared.config(), self.new_token()?, self.now(), None);
        let open = self.undecided()?;
        // Neither what a stored session holds nor what belongs to a user.
        if open.continued().is_some() || open.owner().is_some() {
            open.start_empty();
        }
        open.draft.key = Some(Next {
            identity,
            kind: SaveKind::Begin { owner: None },
            continues: false,
            kept: OwnLimits::default(),
            retire: Vec::new(),
            tries: KeyTries::default(),
        });
        Ok(())
    }

    /// Gives the session a new token and key, and keeps its lineage and data. The old key can no
    /// longer write after the commit, and no longer read W later. Call it whenever the permissions
    /// of the session change.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// # futures_executor::block_on(async {
    /// session.set("role", "user")?;
    /// session.save().await?;
    /// let before = session.session_key()?;
    ///
    /// session.cycle_key()?;
    /// session.set("role", "admin")?;
    /// assert_ne!(session.session_key()?, before);
    /// # Ok(()) })
    /// # });
    /// ```
    ///
    /// # Errors
    /// As a save: `stale`, `rotated`, `revoked`, `destroyed`, `committed`; `not_loaded`,
    /// `not_ready`; what the load found.
    #[doc(alias = "rotate")]
    #[doc(alias = "regenerate")]
    pub fn cycle_key(&mut self) -> Result<(), SessionError> {
        let open = self.undecided()?;
        if open.draft.key.is_some() {
            return Ok(());
        }
        let owner = open.owner().map(str::to_owned);
        let is_live = open.base.is_live();
        let Presented::Session(session) = self.presented().clone() else {
            return self.create();
        };
        if !is_live {
            return self.create();
        }
        let now = self.now();
        let identity = session.identity.rotate(
            self.shared.config(),
            self.new_token()?,
            now,
            owner.as_deref(),
        );
        let mut retire = vec![Retired::Rotated(session.identity.clone())];
        if mutant!(rotation_keeps_old_key) {
            retire.clear();
        }
        self.undecided()?.draft.key = Some(Next {
            identity,
            kind: SaveKind::Cycle {
                renews_login: false,
            },
            continues: true,
            kept: OwnLimits::default(),
            retire,
            tries: KeyTries::default(),
        });
        Ok(())
    }
}

/// **Owner.** Login, and who is logged in since when. A login always changes the key, and for another
/// user it begins without data.
impl SessionStore {
    /// The user id that the session is bound to.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// assert_eq!(session.owner()?, None);
    /// session.bind("ada")?;
    /// assert_eq!(session.owner()?, Some("ada"));
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// As [`get_json`](Self::get_json).
    #[doc(alias = "user_id")]
    pub fn owner(&self) -> Result<Option<&str>, SessionError> {
        self.view()?;
        Ok(self.life.open().and_then(Open::owner))
    }

    /// When the user last logged in.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// assert_eq!(session.auth_time()?, None);
    /// session.bind("ada")?;
    /// assert!(session.auth_time()?.is_some());
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// As [`get_json`](Self::get_json).
    #[doc(alias = "logged_in_at")]
    pub fn auth_time(&self) -> Result<Option<SystemTime>, SessionError> {
        Ok(self.auth_ms()?.map(instant))
    }

    pub(crate) fn auth_ms(&self) -> Result<Option<i64>, SessionError> {
        self.view()?;
        if let Some(Next { kind, identity, .. }) = self.next() {
            match kind {
                SaveKind::Begin { owner: None } => return Ok(None),
                SaveKind::Begin { owner: Some(_) } | SaveKind::Cycle { renews_login: true } => {
                    return Ok(Some(identity.ticket.minted_at));
                }
                SaveKind::Cycle { .. } | SaveKind::Save => {}
            }
        }
        Ok(self.continued().and_then(|base| base.auth_time))
    }

    /// Fails if the last login was more than `max_age` ago.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// use edge_session::ErrorCode;
    /// use std::time::Duration;
    /// let recent = Duration::from_secs(300);
    /// let refused = session.require_recent_auth(recent).unwrap_err();
    /// assert_eq!(refused.code(), ErrorCode::ReauthRequired);
    /// session.bind("ada")?;
    /// session.require_recent_auth(recent)?;
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// `reauth_required` if it was, or if nobody is logged in; otherwise as
    /// [`auth_time`](Self::auth_time).
    #[doc(alias = "step_up")]
    pub fn require_recent_auth(&self, max_age: Duration) -> Result<(), SessionError> {
        let age = self.auth_ms()?.map(|at| self.now().saturating_sub(at));
        match age {
            Some(age) if age <= whole_milliseconds(max_age) => Ok(()),
            _ => Err(SessionError::new(
                ErrorCode::ReauthRequired,
                format!(
                    "this operation needs a login within the last {} seconds",
                    whole_seconds(max_age)
                ),
            )),
        }
    }

    /// Renews the login after the user has proved again who they are: the session gets a new token
    /// and key, as with [`cycle_key`](Self::cycle_key), and the login time is now. Owner, lineage,
    /// data and expiry stay; the hard end does not move later. Call it after checking the password
    /// or passkey of the user that [`owner`](Self::owner) returns; for another user, call
    /// [`bind`](Self::bind).
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// # futures_executor::block_on(async {
    /// session.bind("ada")?;
    /// session.save().await?;
    /// let before = session.session_key()?;
    ///
    /// // After the password was checked again:
    /// session.reauthenticate()?;
    /// session.require_recent_auth(std::time::Duration::from_secs(60))?;
    /// assert_ne!(session.session_key()?, before);
    /// # Ok(()) })
    /// # });
    /// ```
    ///
    /// # Errors
    /// `reauth_required` if nobody is logged in: call [`bind`](Self::bind). Otherwise as
    /// [`cycle_key`](Self::cycle_key).
    #[doc(alias = "renew_login")]
    #[doc(alias = "step_up")]
    pub fn reauthenticate(&mut self) -> Result<(), SessionError> {
        let open = self.undecided()?;
        let refused = match &open.base {
            Base::ReadOnly(_, code) if open.draft.key.is_none() => Some(refusal(*code)),
            _ => None,
        };
        if let Some(error) = refused {
            return Err(self.refuse(error));
        }
        if self.owner()?.is_none() {
            return Err(SessionError::new(
                ErrorCode::ReauthRequired,
                "nobody is logged in to this session; log in with bind()",
            ));
        }
        self.cycle_key()?;
        // A login of this request is as recent.
        if let Some(Next {
            kind: SaveKind::Cycle { renews_login },
            ..
        }) = &mut self.undecided()?.draft.key
        {
            *renews_login = true;
        }
        Ok(())
    }

    /// Login: binds the session to the user `owner` under a new lineage, so that no token known
    /// before reads what comes after. The data of an anonymous session, or of one of the same
    /// owner, is carried over as far as this request can read it: of a `stale` or `rotated` one
    /// the copy that it was shown. Everything else begins empty;
    /// [`bind_with`](Self::bind_with) can begin empty always.
    ///
    /// The session's own expiry (end, idle time, browser close) is kept together with the data, no
    /// matter whether this request or an earlier one has set it. A session that begins empty expires
    /// as the settings say. [`set_expiry`](Self::set_expiry) after the login replaces it either way.
    /// The hard end is that of the new lineage.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// session.set("cart", ["apple"])?;
    /// session.bind("ada")?;
    /// assert_eq!(session.owner()?, Some("ada"));
    /// assert!(session.contains_key("cart")?);
    ///
    /// session.bind("bob")?;
    /// assert!(session.is_empty()?, "bob gets none of ada's data");
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// A storage error of the load; `revocation_pending` while a logout of this browser is not
    /// stored; `invalid_value` for an empty or overlong user id; `not_loaded`, `committed`,
    /// `not_ready`. What else the load found, or the commit finds of the session before, fails no
    /// login.
    #[doc(alias = "login")]
    pub fn bind(&mut self, owner: &str) -> Result<(), SessionError> {
        self.bind_with(owner, Keep::Data)
    }

    /// As [`bind`](Self::bind), and says what becomes of the data.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// use edge_session::Keep;
    /// session.set("cart", ["apple"])?;
    /// session.bind_with("ada", Keep::Nothing)?;
    /// assert!(session.is_empty()?);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    pub fn bind_with(&mut self, owner: &str, keep: Keep) -> Result<(), SessionError> {
        self.mark_accessed();
        // A login may follow after a session was ended in this request.
        if !self.life.is_ended() {
            self.undecided()?;
        }
        check_owner(owner)?;
        // What an answer of the store says of the session before does not matter to a login; that
        // the store did not answer does.
        if let Some(Base::Closed(error)) = self.life.open().map(|open| &open.base)
            && error.connector_error().is_some()
        {
            return Err(self.refuse(error.clone()));
        }
        let unstored = matches!(self.life, Life::Ended { stored: false, .. });
        if unstored || !self.cookies().stones().is_empty() {
            return Err(self.refuse(refusal(ErrorCode::RevocationPending)));
        }
        let at = self.shared.login_instant(owner, self.now());
        let identity = Identity::mint(self.shared.config(), self.new_token()?, at, Some(owner));
        // A second login in one request retires the session that the first would have retired.
        let before = self.life.open().and_then(|open| open.draft.key.as_ref());
        let retire = match before {
            Some(Next {
                kind: SaveKind::Begin { owner: Some(_) },
                retire,
                ..
            }) => retire.clone(),
            _ => {
                let _whole = self.read_whole();
                let base = self.life.open().map(|open| &open.base);
                retired_by_login(self.cookies(), base)
            }
        };
        if self.life.is_ended() {
            self.life = Life::Open(Open::default());
        }
        let open = self.undecided()?;
        let keep = keep == Keep::Data && may_go_to(open, owner);
        let kept = match &open.draft.key {
            Some(next) if !next.continues => Some(next.kept),
            _ => open.continued().map(|base| base.expiry),
        };
        if !keep {
            open.start_empty();
        }
        let continues = keep && open.base.is_live() && open.continued().is_some();
        if let Base::ReadOnly(..) | Base::Closed(_) = open.base {
            // The presented session is left behind. From here on, the new session is read and
            // changed.
            open.base = Base::Empty;
        }
        open.draft.key = Some(Next {
            identity,
            kind: SaveKind::Begin {
                owner: Some(owner.into()),
            },
            continues,
            kept: kept.filter(|_| keep).unwrap_or_default(),
            retire,
            tries: KeyTries::default(),
        });
        Ok(())
    }
}
