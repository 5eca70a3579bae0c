use std::time::Duration;

use edge_session::{Expiry, SessionError, SessionStore, Settings};

const MONTH: Duration = Duration::from_secs(30 * 86_400);

pub fn settings() -> Settings {
    Settings::default()
        .with_cookie_age(MONTH) // the hard end of every session
        .with_expire_at_browser_close(true) // for sessions without a limit of their own
}

pub fn log_in(session: &mut SessionStore, user: &str, remember: bool) -> Result<(), SessionError> {
    session.bind(user)?;
    // Without the box the settings decide, whatever an earlier login has chosen.
    session.set_expiry(if remember {
        Expiry::from(MONTH)
    } else {
        Expiry::default_settings()
    })
}
