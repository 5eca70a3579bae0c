//! Sessions in Durable Objects: a Worker that counts, logs in, logs out, and logs out everywhere.

use edge_session::{SessionStore, Sessions};
use worker::{Context, Env, Method, Request, Response, Result, event};

// The class of the objects that wrangler.toml declares.
edge_session::session_object!();

#[event(fetch)]
async fn fetch(request: Request, env: Env, ctx: Context) -> Result<Response> {
    let sessions = Sessions::from_env(&env)?.with_context(&ctx);
    sessions
        .handle(
            request,
            &ctx,
            async |mut request, session: &mut SessionStore| {
                match (request.method(), &*request.path()) {
                    (Method::Get, "/") => {
                        let user = session.owner()?.unwrap_or("nobody");
                        let count = session.get::<u32>("count")?.unwrap_or(0);
                        Response::ok(format!("{user}: {count}"))
                    }
                    (Method::Post, "/count") => {
                        let count = session.get::<u32>("count")?.unwrap_or(0);
                        session.set("count", count + 1)?;
                        see_home()
                    }
                    (Method::Post, "/login") => {
                        // Check a CSRF token, and a password or a passkey, before this line.
                        session.bind(&request.text().await?)?;
                        see_home()
                    }
                    (Method::Post, "/logout") => {
                        session.flush().await?;
                        see_home()
                    }
                    (Method::Post, "/logout-everywhere") => {
                        if let Some(user) = session.owner()? {
                            sessions.revoke_all(user).await?;
                        }
                        session.flush().await?;
                        see_home()
                    }
                    _ => Response::error("not found", 404),
                }
            },
        )
        .await
}

fn see_home() -> Result<Response> {
    let response = Response::empty()?.with_status(303);
    response.headers().set("location", "/")?;
    Ok(response)
}
