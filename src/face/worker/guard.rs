//! Which requests may change a session.

use ::worker::Request;

use super::problem::Problem;

/// Allows a request that changes something if our own page made it according to the browser:
/// `Sec-Fetch-Site` (<https://w3c.github.io/webappsec-fetch-metadata/>) is `same-origin`, or `none`
/// for an address that the user typed; or `Origin` is ours; or both are missing, as in requests that
/// do not come from a browser.
pub(super) fn check(request: &Request) -> Result<(), Problem> {
    if matches!(&*method(request), "GET" | "HEAD" | "OPTIONS") {
        return Ok(());
    }
    let header = |name| request.headers().get(name).ok().flatten();
    let url = request.inner().url();
    let allowed = match (header("sec-fetch-site").as_deref(), header("origin")) {
        (Some("same-origin" | "none"), _) | (None, None) => true,
        (_, Some(origin)) => origin_of(&url) == Some(origin.as_str()),
        (Some(_), None) => false,
    };
    if allowed {
        Ok(())
    } else {
        Err(Problem::Forbidden)
    }
}

/// The method as it was sent. The crate `worker` would take one that it does not know for GET.
pub(super) fn method(request: &Request) -> String {
    request.inner().method()
}

/// The origin of a URL that the runtime has normalised.
fn origin_of(url: &str) -> Option<&str> {
    let (scheme, rest) = url.split_once("://")?;
    let host = rest.split(['/', '?', '#']).next()?;
    url.get(..scheme.len() + 3 + host.len())
}
