//! The configuration of the sessions of one Worker. It never changes.

use std::rc::Rc;

use crate::port::error::{ErrorCode, SessionError};
use crate::port::time::whole_milliseconds;
use crate::protocol::cookie::CookieSpec;
use crate::protocol::keys::{Id, KeyParts, Names, Purpose, Ring, SecretRing, SessionKey};
use crate::protocol::settings::Settings;
use crate::protocol::wire::encode_text;

/// The settings and the values derived from them: the attributes of the cookies, the keys of the
/// secrets and the names in the store.
#[derive(Clone)]
pub(crate) struct Config {
    settings: Settings,
    cookies: CookieSpec,
    ring: Ring,
    names: Names,
}

impl Config {
    /// The configuration of sessions in this kind of store.
    ///
    /// # Errors
    /// `config` if a setting or a combination of settings is illegal.
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
        whole_milliseconds(self.settings.staleness_bound())
    }

    /// W in milliseconds.
    pub(crate) fn window(&self) -> i64 {
        whole_milliseconds(self.settings.window())
    }

    /// The absolute lifetime of a session, in milliseconds.
    pub(crate) fn age(&self) -> i64 {
        whole_milliseconds(self.settings.cookie_age())
    }

    /// Parses a public session key. Its tag proves that the parts belong together: the tag of one
    /// user with the lineage of another could end the other's session.
    ///
    /// # Errors
    /// `not_found` if it is not authentic under any secret.
    pub(crate) fn read_key(&self, text: &str) -> Result<KeyParts, SessionError> {
        self.ring.session_key(text).ok_or_else(SessionKey::unknown)
    }

    /// As [`read_key`](Self::read_key), and checks that the session belongs to `owner`. This
    /// decides who may end which session.
    ///
    /// # Errors
    /// `not_found` if it does not.
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

    /// The owner's tag under every secret of the ring. The signer's comes first.
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
