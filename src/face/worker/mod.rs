//! The Worker of this repository: a JSON API over one session, and the console in `www/`.
//!
//! It is built only with the feature `deploy`, so that other Workers that use the crate do not export
//! it.
//!
//! 1. `api`: the routes. `guard`: which requests may change a session.
//! 2. `problem`: errors as answers.

mod api;
mod guard;
mod problem;

use ::worker::{Context, Env, Request, Response, Result, event};

/// Answers every request that is not for an asset.
#[event(fetch)]
async fn fetch(request: Request, env: Env, ctx: Context) -> Result<Response> {
    match api::route(request, &env, &ctx).await {
        Ok(response) => Ok(response),
        Err(problem) => problem.into_response(),
    }
}
