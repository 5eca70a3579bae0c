//! What the sessions of one Worker are configured with. Nothing in it changes.

use std::rc::Rc;

use crate::port::error::{ErrorCode, SessionError};
use crate::protocol::cookie::CookieSpec;
use crate::protocol::keys::{Id, KeyParts, Names, Purpose, Ring, SecretRing, SessionKey};
use crate::protocol::settings::Settings;
use crate::protocol::wire::encode_text;

/// The settings, and what follows from them: the attributes of the cookies, the keys of the secrets
/// and the names in the store.
#[derive(Clone)]
pub(crate) struct Config {
    settings: Settings,
    cookies: CookieSpec,
    ring: Ring,
    names: Names,
}

impl Config {
    /// The configuration of sessions that are kept by this kind of connector.
    ///
    /// # Errors
    /// `config` where the settings are illegal, alone or together.
    pub(crate) fn new(
        settings: Settings,
        secrets: &SecretRing,
        kind: &str,
    ) -> Result<Rc<Self>, SessionError> {
        settings.validate()?;
        let settings = settings.in_force();
        Ok(Rc::new(Self {
            cookies: settings.cookie_spec()?,
            ring: secrets.bind(kind, settings.key_prefix()),
            names: Names::new(settings.key_prefix()),
            settings,
        }))
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(crate) fn cookies(&self) -> &CookieSpec {
        &self.cookies
    }

    pub(crate) fn ring(&self) -> &Ring {
        &self.ring
    }

    pub(crate) fn names(&self) -> &Names {
        &self.names
    }

    /// D in milliseconds.
    pub(crate) fn staleness_bound(&self) -> i64 {
        i64::from(self.settings.staleness_bound()) * 1_000
    }

    /// W in milliseconds.
    pub(crate) fn window(&self) -> i64 {
        i64::from(self.settings.window()) * 1_000
    }

    /// The absolute lifetime of a session, in milliseconds.
    pub(crate) fn age(&self) -> i64 {
        i64::from(self.settings.cookie_age()) * 1_000
    }

    /// The key of a public session key. Its parts are trusted only together: the tag of a user with
    /// the lineage of another would end the other's session.
    ///
    /// # Errors
    /// `not_found` where no secret vouches for it.
    pub(crate) fn read_key(&self, text: &str) -> Result<KeyParts, SessionError> {
        self.ring.session_key(text).ok_or_else(SessionKey::unknown)
    }

    /// The same, where the key is one of `owner`'s.
    ///
    /// # Errors
    /// `not_found` where it is not.
    pub(crate) fn session_key_owned_by(
        &self,
        owner: &str,
        text: &str,
    ) -> Result<KeyParts, SessionError> {
        let key = self.read_key(text)?;
        let tags = self.owner_tags(owner);
        if key.owner.is_some_and(|tag| tags.contains(&tag)) {
            return Ok(key);
        }
        Err(SessionError::new(
            ErrorCode::NotFound,
            "this user has no session with this key; pass a key that list() returns for this user",
        ))
    }

    /// The owner's tag under every secret of the ring, the signer's first.
    fn owner_tags(&self, owner: &str) -> Vec<Id> {
        self.ring
            .iter()
            .map(|secret| secret.owner_tag(owner))
            .collect()
    }

    /// The name of a session in events: a keyed hash of its lineage.
    pub(crate) fn event_name(&self, lineage: Id) -> String {
        let tag = self.ring.signer().tag(Purpose::Event, &[&lineage.0]);
        encode_text(&tag[..9])
    }
}
