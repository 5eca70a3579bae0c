//! The grammar of `Cookie` and `Set-Cookie`, as far as a session needs it.
//!
//! There are four cookies, all derived from one base name, so that each has one kind of writer: see
//! [`CookieKind`]. [`CookieSpec`] is the one place that knows their names and attributes: it writes
//! a cookie, removes it and says which name to look for, so the four cannot disagree (`spec`, with
//! the `names`). [`parse()`] finds them in a request.
//!
//! Rules are those of RFC 6265bis (draft-ietf-httpbis-rfc6265bis-22), and for the prefixes
//! `__Http-` and `__Host-Http-` those of draft-ietf-httpbis-layered-cookies.

pub(crate) mod names;
mod parse;
mod spec;

pub(crate) use names::CookieKind;
pub(crate) use parse::{CookieLimits, Found, TooLarge, parse};
pub use spec::SameSite;
pub(crate) use spec::{CookieAttributes, CookieSpec, MAX_AGE};
