//! A Worker in Rust that has no sessions: what the bytes of bench/rust-worker are counted over.

use worker::{Context, Env, Request, Response, Result, event};

#[event(fetch)]
async fn fetch(_: Request, _: Env, _: Context) -> Result<Response> {
    Response::ok("ok")
}
