//! The section "Log in, log out" of `docs/getting-started-rust.md`, as it stands there.

use std::time::Duration;

use edge_session::{SessionStore, Sessions};
use worker::{Context, Env, Method, Request, Response, Result};

pub async fn routes(request: Request, env: Env, ctx: Context) -> Result<Response> {
    let sessions = Sessions::from_env(&env)?;
    sessions
        .handle(
            request,
            &ctx,
            async |mut request, session: &mut SessionStore| {
                match (request.method(), &*request.path()) {
                    (Method::Post, "/login") => {
                        // Check a CSRF token, and a password or a passkey, before this line.
                        let user = request.text().await?;
                        session.bind(&user)?;
                        session.flash("notice", "Welcome back")?;
                        see_home()
                    }
                    (Method::Post, "/logout") => {
                        session.flush().await?;
                        see_home()
                    }
                    (Method::Post, "/password") => {
                        session.require_recent_auth(Duration::from_secs(300))?;
                        let Some(user) = session.owner()?.map(str::to_owned) else {
                            return Response::error("log in first", 401);
                        };
                        // Change the password, then log out every device, this one included...
                        sessions.revoke_all(&user).await?;
                        // ...and go on under a new session.
                        session.bind(&user)?;
                        see_home()
                    }
                    _ => {
                        let notice: Option<String> = session.take_flash("notice")?;
                        let user = session.owner()?.unwrap_or("stranger");
                        Response::ok(match notice {
                            Some(notice) => format!("{notice}, {user}"),
                            None => format!("hello {user}"),
                        })
                    }
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
