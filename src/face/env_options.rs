//! The options of `Sessions::from_env_with`.

use crate::protocol::settings::{Settings, Storage};

/// How [`Sessions::from_env_with`](crate::Sessions::from_env_with) uses the environment.
///
/// ```no_run
/// use edge_session::{SessionError, Sessions};
/// use worker::Env;
///
/// /// The sessions of the shop's administration, beside those of its customers.
/// fn staff(env: &Env) -> Result<Sessions, SessionError> {
///     Sessions::from_env_with(env, |options| {
///         options.binding("STAFF_SESSIONS").settings(|settings| {
///             settings.with_cookie_name("__Host-staff").with_key_prefix("staff:")
///         })
///     })
/// }
/// ```
#[derive(Clone, Debug)]
#[must_use = "the closure returns the options"]
pub struct EnvOptions {
    pub(super) settings: Settings,
    binding: Option<String>,
}

impl EnvOptions {
    /// The default options, with the settings of the environment.
    pub(super) fn new(settings: Settings) -> Self {
        Self {
            settings,
            binding: None,
        }
    }

    /// The name of the binding that the sessions are kept in.
    pub(super) fn binding_in_force(&self) -> &str {
        match (&self.binding, self.settings.storage()) {
            (Some(name), _) => name,
            (None, Storage::DurableObject) => "SESSION_OBJECTS",
            (None, _) => "SESSIONS",
        }
    }

    /// Changes the settings. `change` gets those of the variables `SESSION_…`; what it returns
    /// counts.
    ///
    /// ```no_run
    /// # use edge_session::{SessionError, Sessions, Settings};
    /// # fn sessions(env: &worker::Env) -> Result<Sessions, SessionError> {
    /// // No variable may change these:
    /// Sessions::from_env_with(env, |options| {
    ///     options.settings(|_| Settings::default().with_purge(true))
    /// })
    /// # }
    /// ```
    pub fn settings(mut self, change: impl FnOnce(Settings) -> Settings) -> Self {
        self.settings = change(self.settings);
        self
    }

    /// Uses the namespace that is bound as `name`, instead of `SESSIONS`, or of `SESSION_OBJECTS` for
    /// Durable Objects.
    ///
    /// ```no_run
    /// # use edge_session::{SessionError, Sessions};
    /// # fn sessions(env: &worker::Env) -> Result<Sessions, SessionError> {
    /// Sessions::from_env_with(env, |options| options.binding("SHOP_SESSIONS"))
    /// # }
    /// ```
    pub fn binding(mut self, name: impl Into<String>) -> Self {
        self.binding = Some(name.into());
        self
    }
}
