//! The parts of the grammar of `Cookie` and `Set-Cookie` that sessions need.
//!
//! There are four cookies with names derived from one base name, and each has one kind of writer:
//! see [`CookieKind`]. Only [`CookieSpec`] knows their names and attributes: it writes cookies,
//! removes them and says which names to search for, so that these always agree (`spec` and
//! `names`). [`parse()`] finds them in a request.
//!
//! The rules are those of RFC 6265bis (draft-ietf-httpbis-rfc6265bis-22), and for the prefixes
//! `__Http-` and `__Host-Http-` those of draft-ietf-httpbis-layered-cookies.

pub(crate) mod names;
mod parse;
mod spec;

pub(crate) use names::CookieKind;
pub(crate) use parse::{CookieLimits, Found, TooLarge, parse};
pub use spec::SameSite;
pub(crate) use spec::{CookieAttributes, CookieSpec, MAX_AGE};
