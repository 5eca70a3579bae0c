//! Counts the views of each visitor, with axum.

use axum::Router;
use axum::http::Response;
use axum::routing::{get, post};
use edge_session::http::{Session, SessionLayer};
use edge_session::{SessionError, Sessions};
use tower_service::Service as _;
use worker::{Context, Env, HttpRequest, Result, event};

#[event(fetch)]
async fn fetch(request: HttpRequest, env: Env, ctx: Context) -> Result<Response<axum::body::Body>> {
    let sessions = Sessions::from_env(&env)?;
    let mut app = Router::new()
        .route("/", get(views))
        .route("/logout", post(logout))
        .route(
            "/about",
            get(async || "This page has no session, and costs none."),
        )
        .layer(SessionLayer::new(&sessions, &ctx));
    Ok(app.call(request).await?)
}

#[worker::send]
async fn views(session: Session) -> std::result::Result<String, SessionError> {
    let mut session = session.lock().await;
    let views = session.get::<u32>("views")?.unwrap_or(0) + 1;
    session.set("views", views)?;
    Ok(views.to_string())
}

#[worker::send]
async fn logout(session: Session) -> std::result::Result<&'static str, SessionError> {
    session.lock().await.destroy().await?;
    Ok("bye")
}
