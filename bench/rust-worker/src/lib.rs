//! The contender that is written in Rust: what bench/contenders/README.md asks of each.

use edge_session::{SessionStore, Sessions};
use worker::{Context, Env, Method, Request, Response, Result, event};

#[event(fetch)]
async fn fetch(request: Request, env: Env, ctx: Context) -> Result<Response> {
    let method = request.method();
    if method == Method::Patch {
        // A Worker in Rust that has no sessions.
        return Response::ok("ok");
    }
    let sessions = Sessions::from_env(&env)?;
    if method == Method::Head {
        let closure = async |_, _: &mut SessionStore| Response::ok("ok");
        return sessions.handle_lazy(request, &ctx, closure).await;
    }
    let closure = async |_, session: &mut SessionStore| {
        match method {
            Method::Get => {
                return Response::ok(match session.get::<u32>("views")? {
                    Some(views) => views.to_string(),
                    None => "none".to_owned(),
                });
            }
            Method::Put => {
                let views = session.get::<u32>("views")?.unwrap_or(0) + 1;
                session.set("views", views)?;
            }
            Method::Post => {
                if let Ok(owner) = env.var("OWNER") {
                    session.bind(&owner.to_string())?;
                }
                let data: serde_json::Map<String, serde_json::Value> =
                    serde_json::from_str(&env.var("DATA_TEXT")?.to_string())?;
                session.update(data)?;
            }
            Method::Delete => session.destroy().await?,
            _ => {}
        }
        Response::ok("ok")
    };
    sessions.handle(request, &ctx, closure).await
}
