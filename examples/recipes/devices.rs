use edge_session::{SessionError, SessionKey, SessionStore, Sessions};

/// What the page shows of each device: its key, its browser, and whether it is this one.
pub async fn devices(
    sessions: &Sessions,
    session: &SessionStore,
) -> Result<Vec<(SessionKey, Option<String>, bool)>, SessionError> {
    let Some(owner) = session.owner()? else {
        return Ok(Vec::new());
    };
    let this = session.session_key()?;
    let devices = sessions.list(owner).await?.into_iter();
    Ok(devices
        .map(|it| (it.key.clone(), it.user_agent, Some(it.key) == this))
        .collect())
}

/// Ends one device, or with `None` every other one. Another user's key is `not_found`.
pub async fn log_out(
    sessions: &Sessions,
    session: &SessionStore,
    device: Option<&SessionKey>,
) -> Result<(), SessionError> {
    match (session.owner()?, device, session.session_key()?) {
        (Some(owner), Some(device), _) => sessions.revoke(owner, device).await,
        (Some(owner), None, Some(this)) => sessions.revoke_all_except(owner, &this).await,
        _ => Ok(()),
    }
}
