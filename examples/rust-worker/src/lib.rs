//! The Worker of `docs/getting-started-rust.md`: it counts the views of each visitor. The section
//! "Log in, log out" is in `login`.

mod login;

use edge_session::{SessionStore, Sessions};
use worker::{Context, Env, Request, Response, Result, event};

#[event(fetch)]
async fn fetch(request: Request, env: Env, ctx: Context) -> Result<Response> {
    match &*request.path() {
        "/" => views(request, env, ctx).await,
        "/older" => older(request, env, ctx).await,
        _ => login::routes(request, env, ctx).await,
    }
}

async fn views(request: Request, env: Env, ctx: Context) -> Result<Response> {
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

/// What an older version of this Worker may have stored: the number of views as text.
async fn older(request: Request, env: Env, ctx: Context) -> Result<Response> {
    let sessions = Sessions::from_env(&env)?;
    sessions
        .handle(
            request,
            &ctx,
            async |_request, session: &mut SessionStore| {
                session.set("views", "one")?;
                Response::ok("one")
            },
        )
        .await
}
