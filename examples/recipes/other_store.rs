use std::collections::BTreeMap;

use edge_session::{Outcome, SessionError, SessionStore};
use serde_json::Value;

/// Moves `old`, the session of the old store, into `session`, and ends it. Returns whether there was
/// one. If the old store does not answer, this fails, and the next request tries again.
pub async fn move_into(
    session: &mut SessionStore,
    old: &mut SessionStore,
) -> Result<bool, SessionError> {
    let owner = old.owner()?.map(str::to_owned);
    if session.outcome()? != Outcome::New || (owner.is_none() && old.is_empty()?) {
        return Ok(false);
    }
    session.update(old.data::<BTreeMap<String, Value>>()?)?;
    if let Some(owner) = owner {
        session.bind(&owner)?;
        // `bind` sets the login time to now, so ask for the password again where it matters
        session.set("moved", true)?;
    }
    session.save().await?;
    old.destroy().await?;
    Ok(true)
}
