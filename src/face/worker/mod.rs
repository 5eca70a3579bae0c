//! The Worker of this repository: a JSON API over one session, beside the console in `www/`.
//!
//! Built with the feature `deploy` only, so that a Worker that depends on the crate exports
//! nothing of this.
//!
//! 1. `api`: the routes. `guard`: which requests may change a session.
//! 2. `problem`: errors as answers.

mod api;
mod guard;
mod problem;

use ::worker::{Context, Env, Request, Response, Result, event};

/// Answers every request that is not an asset.
#[event(fetch)]
async fn fetch(request: Request, env: Env, ctx: Context) -> Result<Response> {
    match api::route(request, &env, &ctx).await {
        Ok(response) => Ok(response),
        Err(problem) => problem.into_response(),
    }
}
