//! The form cookie that a response sets or removes.

use crate::protocol::config::Config;
use crate::protocol::cookie::CookieKind;
use crate::protocol::form::Form;
use crate::session::presented::Cookies;

#[derive(Default)]
pub(crate) struct FormAnswer {
    /// The form cookie that it sets.
    made: Option<Form>,
    /// True after a stored login: the received form cookies no longer count.
    are_void: bool,
    /// Removals of form cookies that a browser may have from earlier settings.
    twins: Vec<String>,
    field: Option<String>,
}

impl FormAnswer {
    /// Removes the form cookies, including one that the browser may have withheld. After a login
    /// nothing that was known before it may act for the user.
    pub(crate) fn voided(config: &Config, cookies: &Cookies, was_withheld: bool) -> Self {
        let received = cookies.received();
        let spec = config.cookies();
        let several = received.several || cookies.several_forms();
        Self {
            made: None,
            are_void: true,
            twins: if received.form && several {
                spec.twins(CookieKind::Form, &[])
            } else {
                Vec::new()
            },
            field: (received.form || was_withheld).then(|| spec.remove(CookieKind::Form)),
        }
    }

    pub(crate) fn has_cookie(&self) -> bool {
        self.field.is_some()
    }

    pub(crate) fn fields(&self) -> impl Iterator<Item = &String> {
        self.twins.iter().chain(&self.field)
    }

    /// The valid form cookies: the one that this response sets, or the received ones.
    pub(crate) fn forms(&self, config: &Config, cookies: &Cookies) -> Vec<Form> {
        match &self.made {
            Some(made) => vec![made.clone()],
            None if self.are_void => Vec::new(),
            None => cookies.forms(config),
        }
    }

    /// Sets the form cookie of `form`.
    pub(crate) fn set(&mut self, config: &Config, form: &Form) {
        let spec = config.cookies();
        let name = spec.names().get(CookieKind::Form);
        let value = form.encode(config.ring().signer(), name);
        self.field = Some(spec.set(CookieKind::Form, &value, None));
        self.made = Some(form.clone());
    }
}
