//! The other headers of a request that sessions use.

use crate::port::request::RequestHead;
use crate::protocol::cookie::SameSite;
use crate::protocol::record::Device;
use crate::session::presented::CookiesSeen;

/// The most characters of a user agent in the list of an owner's sessions.
const USER_AGENT_MAX: usize = 200;

/// True if the request has no key cookie, but the browser may have withheld one (RFC 6265bis
/// section 5.8.3). A new session would overwrite it, and a form on another site could log the user
/// out that way.
pub(crate) fn cookie_was_withheld(
    request: &dyn RequestHead,
    received: CookiesSeen,
    same_site: SameSite,
) -> bool {
    if mutant!(withheld_cookie_overwritten) {
        return false;
    }
    if received.key || request.header("sec-fetch-site").as_deref() != Some("cross-site") {
        return false;
    }
    match same_site {
        SameSite::None => false,
        SameSite::Strict => true,
        SameSite::Lax => !matches!(request.method().as_str(), "GET" | "HEAD"),
    }
}

/// The browser, for the list of its user's sessions.
pub(crate) fn device(request: &dyn RequestHead) -> Device {
    let cut = |text: String| text.chars().take(USER_AGENT_MAX).collect::<String>();
    Device {
        user_agent: request.header("user-agent").map(|text| cut(text).into()),
        place: request.place().map(|text| cut(text).into()),
    }
}
