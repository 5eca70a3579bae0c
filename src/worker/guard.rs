//! Which requests may change a session.

use ::worker::{Method, Request};

use super::Problem;

/// Allows a request that changes something where the browser says that our own page made it:
/// `Sec-Fetch-Site` (<https://w3c.github.io/webappsec-fetch-metadata/>) is `same-origin`, or `none`
/// for what the user typed; `Origin` is ours; or neither is there, as in a request that no browser
/// made.
pub(super) fn check(request: &Request) -> Result<(), Problem> {
    if matches!(
        request.method(),
        Method::Get | Method::Head | Method::Options
    ) {
        return Ok(());
    }
    let header = |name| request.headers().get(name).ok().flatten();
    let own_origin = || {
        request
            .url()
            .ok()
            .map(|url| url.origin().ascii_serialization())
    };
    let allowed = match (header("sec-fetch-site").as_deref(), header("origin")) {
        (Some("same-origin" | "none"), _) | (None, None) => true,
        (_, Some(origin)) => own_origin().is_some_and(|own| own == origin),
        (Some(_), None) => false,
    };
    if allowed {
        Ok(())
    } else {
        Err(Problem::Forbidden)
    }
}
