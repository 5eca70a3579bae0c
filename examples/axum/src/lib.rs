//! Counts the views of each visitor, with axum.

use axum::Router;
use axum::http::Response;
use axum::routing::{get, post};
use edge_session::axum::{Session, SessionLayer};
use edge_session::{SessionError, Sessions};
use tower_service::Service as _;
use worker::{Context, Env, HttpRequest, Result, event};

#[event(fetch)]
async fn fetch(request: HttpRequest, env: Env, ctx: Context) -> Result<Response<axum::body::Body>> {
    let sessions = Sessions::from_env(&env)?.with_context(&ctx);
    let mut app = Router::new()
        .route("/", get(views))
        .route("/logout", post(logout))
        .route(
            "/about",
            get(async || "This page has no session, and costs none."),
        )
        .layer(SessionLayer::new(sessions));
    Ok(app.call(request).await?)
}

async fn views(session: Session) -> std::result::Result<String, SessionError> {
    session
        .with(async |session| {
            let views = session.get::<u32>("views")?.unwrap_or(0) + 1;
            session.set("views", views)?;
            Ok(views.to_string())
        })
        .await
}

async fn logout(session: Session) -> std::result::Result<&'static str, SessionError> {
    session
        .with(async |session| session.destroy().await)
        .await?;
    Ok("bye")
}
