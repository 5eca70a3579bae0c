//! What the shop does with a session.

use std::time::Duration;

use edge_session::{ErrorCode, Outcome, SessionError, SessionStore, Sessions};

use crate::pages;

/// What the browser gets.
#[derive(Debug, PartialEq, Eq)]
pub enum Page {
    /// A page with this status.
    Html(u16, String),
    /// The path of another page.
    See(&'static str),
}

/// What the forms of the shop send.
#[derive(Default)]
pub struct Fields {
    pub csrf: String,
    pub item: String,
    pub user: String,
}

pub fn home(session: &mut SessionStore) -> Result<Page, SessionError> {
    let notice = match session.outcome()? {
        Outcome::Revoked => Some("You were logged out.".to_owned()),
        _ => session.take_flash("notice")?,
    };
    let cart: Vec<String> = session.get("cart")?.unwrap_or_default();
    let csrf = session.csrf_token()?;
    let page = pages::home(notice.as_deref(), &cart, session.owner()?, &csrf);
    Ok(Page::Html(200, page))
}

pub fn add_to_cart(session: &mut SessionStore, fields: Fields) -> Result<Page, SessionError> {
    session.verify_csrf(&fields.csrf)?;
    if pages::GOODS.contains(&&*fields.item) {
        let mut cart: Vec<String> = session.get("cart")?.unwrap_or_default();
        cart.push(fields.item);
        session.set("cart", cart)?;
    }
    Ok(Page::See("/"))
}

pub fn login(session: &mut SessionStore, fields: Fields) -> Result<Page, SessionError> {
    session.verify_csrf(&fields.csrf)?;
    // Check a password or a passkey here.
    if session.owner()? == Some(&*fields.user) {
        session.reauthenticate()?;
    } else {
        session.bind(&fields.user)?;
    }
    session.flash("notice", format!("Welcome, {}.", fields.user))?;
    Ok(Page::See("/"))
}

pub async fn logout(session: &mut SessionStore, fields: Fields) -> Result<Page, SessionError> {
    session.verify_csrf(&fields.csrf)?;
    session.flush().await?;
    session.flash("notice", "Goodbye.")?;
    Ok(Page::See("/"))
}

/// A page that needs a login of the last five minutes.
pub fn account(session: &mut SessionStore) -> Result<Page, SessionError> {
    match session.require_recent_auth(Duration::from_secs(300)) {
        Ok(()) => {
            let user = session.owner()?.unwrap_or_default();
            Ok(Page::Html(200, pages::account(user)))
        }
        Err(error) if error.code() == ErrorCode::ReauthRequired => {
            let page = pages::log_in_again(&session.csrf_token()?);
            Ok(Page::Html(401, page))
        }
        Err(error) => Err(error),
    }
}

pub async fn devices(
    session: &mut SessionStore,
    sessions: &Sessions,
) -> Result<Page, SessionError> {
    let Some(user) = session.owner()? else {
        return Ok(Page::See("/"));
    };
    let devices = sessions.list(user).await?;
    let here = session.session_key()?;
    let csrf = session.csrf_token()?;
    let page = pages::devices(&devices, here.as_ref(), &csrf);
    Ok(Page::Html(200, page))
}

pub async fn logout_everywhere(
    session: &mut SessionStore,
    sessions: &Sessions,
    fields: Fields,
) -> Result<Page, SessionError> {
    session.verify_csrf(&fields.csrf)?;
    if let Some(user) = session.owner()? {
        sessions.revoke_all(user).await?;
    }
    session.flush().await?;
    session.flash("notice", "You are logged out everywhere.")?;
    Ok(Page::See("/"))
}
