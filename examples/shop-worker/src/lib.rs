//! A small shop with the router of the crate `worker`. The cart of a visitor stays with them when
//! they log in.
//!
//! What the shop does with a session is in `shop`, which does not depend on the platform: its tests
//! are native.

mod pages;
mod shop;
#[cfg(test)]
mod tests;

use edge_session::{SessionError, SessionStore, Sessions};
use shop::{Fields, Page};
use worker::{Context, Env, Method, Request, Response, Result, RouteContext, Router, event};

#[event(fetch)]
async fn fetch(request: Request, env: Env, ctx: Context) -> Result<Response> {
    Router::with_data(ctx)
        .get("/about", |_, _| Response::from_html(pages::about()))
        .get_async("/", |request, route| {
            answer(request, route, async |session, _, _| shop::home(session))
        })
        .post_async("/cart", |request, route| {
            answer(request, route, async |session, _, fields| {
                shop::add_to_cart(session, fields)
            })
        })
        .post_async("/login", |request, route| {
            answer(request, route, async |session, _, fields| {
                shop::login(session, fields)
            })
        })
        .post_async("/logout", |request, route| {
            answer(request, route, async |session, _, fields| {
                shop::logout(session, fields).await
            })
        })
        .get_async("/account", |request, route| {
            answer(request, route, async |session, _, _| shop::account(session))
        })
        .get_async("/devices", |request, route| {
            answer(request, route, async |session, sessions, _| {
                shop::devices(session, sessions).await
            })
        })
        .post_async("/logout-everywhere", |request, route| {
            answer(request, route, async |session, sessions, fields| {
                shop::logout_everywhere(session, sessions, fields).await
            })
        })
        .run(request, env)
        .await
}

/// Answers with the page that `act` makes of the session and of the form's fields.
async fn answer(
    mut request: Request,
    route: RouteContext<Context>,
    act: impl AsyncFnOnce(
        &mut SessionStore,
        &Sessions,
        Fields,
    ) -> std::result::Result<Page, SessionError>,
) -> Result<Response> {
    let fields = match request.method() {
        Method::Post => {
            let Ok(form) = request.form_data().await else {
                return Response::error("a form is missing", 400);
            };
            let field = |name| form.get_field(name).unwrap_or_default();
            Fields {
                csrf: field("csrf"),
                item: field("item"),
                user: field("user"),
            }
        }
        _ => Fields::default(),
    };
    let sessions = Sessions::from_env(&route.env)?.with_context(&route.data);
    sessions
        .handle(
            request,
            &route.data,
            async |_request, session: &mut SessionStore| match act(session, &sessions, fields)
                .await?
            {
                Page::Html(status, html) => Ok(Response::from_html(html)?.with_status(status)),
                Page::See(path) => {
                    let response = Response::empty()?.with_status(303);
                    response.headers().set("location", path)?;
                    Ok(response)
                }
            },
        )
        .await
}
