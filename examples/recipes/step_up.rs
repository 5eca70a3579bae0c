use std::time::Duration;

use edge_session::{ErrorCode, SessionError, SessionStore};

const RECENT: Duration = Duration::from_secs(300);

/// Where the browser goes after `POST /pay`. `charge` gets the id and the amount of the order. With
/// the same id, a second click does not pay twice: a session is not a lock.
pub async fn pay(
    session: &mut SessionStore,
    csrf: &str,
    charge: impl AsyncFn(&str, u64),
) -> Result<&'static str, SessionError> {
    session.verify_csrf(csrf)?;
    match session.require_recent_auth(RECENT) {
        Err(error) if error.code() == ErrorCode::ReauthRequired => return Ok("/confirm"),
        recent => recent?,
    }
    let (id, amount): (String, u64) = session.require("order")?;
    charge(&id, amount).await;
    session.remove("order")?;
    Ok("/receipt")
}

/// After the password or the passkey of `session.owner()` was checked again.
pub fn confirm(session: &mut SessionStore) -> Result<&'static str, SessionError> {
    session.reauthenticate()?;
    Ok("/pay")
}
