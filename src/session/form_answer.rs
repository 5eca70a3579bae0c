//! What an answer says of the form cookie.

use crate::protocol::config::Config;
use crate::protocol::cookie::CookieKind;
use crate::protocol::form::Form;
use crate::session::presented::Cookies;

#[derive(Default)]
pub(crate) struct FormAnswer {
    /// The one that it sets.
    made: Option<Form>,
    /// A login was stored: those that came count no more.
    are_void: bool,
    /// Removals of those that a browser may have from other settings.
    twins: Vec<String>,
    field: Option<String>,
}

impl FormAnswer {
    /// After a login nothing that was known before it may act for the user. Takes the form cookies
    /// from the browser, those too that it may have withheld.
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

    /// The form cookies that count: the one that this answer sets, or those that came.
    pub(crate) fn forms(&self, config: &Config, cookies: &Cookies) -> Vec<Form> {
        match &self.made {
            Some(made) => vec![made.clone()],
            None if self.are_void => Vec::new(),
            None => cookies.forms(config),
        }
    }

    /// Gives the browser the form cookie of `form`.
    pub(crate) fn set(&mut self, config: &Config, form: &Form) {
        let spec = config.cookies();
        let name = spec.names().get(CookieKind::Form);
        let value = form.encode(config.ring().signer(), name);
        self.field = Some(spec.set(CookieKind::Form, &value, None));
        self.made = Some(form.clone());
    }
}
