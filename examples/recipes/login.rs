use edge_session::{SessionError, SessionStore};

pub struct Attempt {
    pub csrf: String,
    pub name: String,
    pub password: String,
    /// The header `cf-connecting-ip`.
    pub address: String,
}

/// The status of the response to the form of the login page.
pub async fn log_in(
    session: &mut SessionStore,
    attempt: &Attempt,
    is_allowed: impl AsyncFn(String) -> bool,
    verify: impl AsyncFn(&str, &str) -> Option<String>,
) -> Result<u16, SessionError> {
    session.verify_csrf(&attempt.csrf)?;
    let name = attempt.name.to_lowercase();
    // Both limits count every attempt, before the password is checked.
    let by_address = is_allowed(format!("address {}", attempt.address)).await;
    let by_name = is_allowed(format!("name {name}")).await;
    if !by_address || !by_name {
        return Ok(429);
    }
    let Some(user) = verify(&name, &attempt.password).await else {
        return Ok(401);
    };
    session.bind(&user)?;
    Ok(303)
}
