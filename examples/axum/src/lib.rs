//! A small shop with axum. The cart of a visitor stays with them when they log in.

mod pages;
#[cfg(test)]
mod tests;

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse as _, Redirect, Response};
use axum::routing::{get, post};
use axum::{Form, Router};
use edge_session::axum::{Session, SessionLayer, SharedSessions};
use edge_session::{ErrorCode, Outcome, SessionError, Sessions};
use serde::Deserialize;
use tower_service::Service as _;
use worker::{Context, Env, HttpRequest, event};

#[event(fetch)]
async fn fetch(request: HttpRequest, env: Env, ctx: Context) -> worker::Result<Response> {
    let sessions = Sessions::from_env(&env)?.with_context(&ctx);
    Ok(app(sessions.into()).call(request).await?)
}

fn app(sessions: SharedSessions) -> Router {
    Router::new()
        .route("/", get(home))
        .route("/about", get(async || Html(pages::about())))
        .route("/cart", post(add_to_cart))
        .route("/login", post(login))
        .route("/logout", post(logout))
        .route("/account", get(account))
        .route("/devices", get(devices))
        .route("/logout-everywhere", post(logout_everywhere))
        .layer(SessionLayer::new(&sessions))
        .with_state(sessions)
}

/// What the forms of the shop send.
#[derive(Deserialize)]
struct Fields {
    csrf: String,
    #[serde(default)]
    item: String,
    #[serde(default)]
    user: String,
}

async fn home(session: Session) -> Result<Html<String>, SessionError> {
    session
        .with(async |session| {
            let notice = match session.outcome()? {
                Outcome::Revoked => Some("You were logged out.".to_owned()),
                _ => session.take_flash("notice")?,
            };
            let cart: Vec<String> = session.get("cart")?.unwrap_or_default();
            let csrf = session.csrf_token()?;
            let page = pages::home(notice.as_deref(), &cart, session.owner()?, &csrf);
            Ok(Html(page))
        })
        .await
}

async fn add_to_cart(
    session: Session,
    Form(fields): Form<Fields>,
) -> Result<Redirect, SessionError> {
    session
        .with(async |session| {
            session.verify_csrf(&fields.csrf)?;
            if pages::GOODS.contains(&&*fields.item) {
                let mut cart: Vec<String> = session.get("cart")?.unwrap_or_default();
                cart.push(fields.item);
                session.set("cart", cart)?;
            }
            Ok(Redirect::to("/"))
        })
        .await
}

async fn login(session: Session, Form(fields): Form<Fields>) -> Result<Redirect, SessionError> {
    session
        .with(async |session| {
            session.verify_csrf(&fields.csrf)?;
            // Check a password or a passkey here.
            if session.owner()? == Some(&*fields.user) {
                session.reauthenticate()?;
            } else {
                session.bind(&fields.user)?;
            }
            session.flash("notice", format!("Welcome, {}.", fields.user))?;
            Ok(Redirect::to("/"))
        })
        .await
}

async fn logout(session: Session, Form(fields): Form<Fields>) -> Result<Redirect, SessionError> {
    session
        .with(async |session| {
            session.verify_csrf(&fields.csrf)?;
            session.flush().await?;
            session.flash("notice", "Goodbye.")?;
            Ok(Redirect::to("/"))
        })
        .await
}

/// A page that needs a login of the last five minutes.
async fn account(session: Session) -> Result<Response, SessionError> {
    session
        .with(
            async |session| match session.require_recent_auth(Duration::from_secs(300)) {
                Ok(()) => {
                    let user = session.owner()?.unwrap_or_default();
                    Ok(Html(pages::account(user)).into_response())
                }
                Err(error) if error.code() == ErrorCode::ReauthRequired => {
                    let page = pages::log_in_again(&session.csrf_token()?);
                    Ok((StatusCode::UNAUTHORIZED, Html(page)).into_response())
                }
                Err(error) => Err(error),
            },
        )
        .await
}

async fn devices(
    State(sessions): State<SharedSessions>,
    session: Session,
) -> Result<Response, SessionError> {
    session
        .with(async |session| {
            let Some(user) = session.owner()? else {
                return Ok(Redirect::to("/").into_response());
            };
            let devices = sessions.list(user).await?;
            let here = session.session_key()?;
            let csrf = session.csrf_token()?;
            Ok(Html(pages::devices(&devices, here.as_ref(), &csrf)).into_response())
        })
        .await
}

async fn logout_everywhere(
    State(sessions): State<SharedSessions>,
    session: Session,
    Form(fields): Form<Fields>,
) -> Result<Redirect, SessionError> {
    session
        .with(async |session| {
            session.verify_csrf(&fields.csrf)?;
            if let Some(user) = session.owner()? {
                sessions.revoke_all(user).await?;
            }
            session.flush().await?;
            session.flash("notice", "You are logged out everywhere.")?;
            Ok(Redirect::to("/"))
        })
        .await
}
