//! Counts the views of each visitor.

use edge_session::{SessionStore, Sessions};
use worker::{Context, Env, Request, Response, Result, event};

#[event(fetch)]
async fn fetch(request: Request, env: Env, ctx: Context) -> Result<Response> {
    let sessions = Sessions::from_env(&env)?;
    sessions
        .handle(
            request,
            &ctx,
            async |_request, session: &mut SessionStore| {
                let views = session.get::<u32>("views")?.unwrap_or(0) + 1;
                session.set("views", views)?;
                Response::ok(format!("{views}"))
            },
        )
        .await
}
