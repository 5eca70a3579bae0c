//! One session as plain values.
//!
//! 1. `presented`: what a request's cookies prove.
//! 2. `life`: the state of the session in its request. `doubts`: saves that may have been
//!    stored although they failed. `login`: what a login does with the previous
//!    session. `to_end` and `retired`: what a logout or a new key ends; `marker_put`: the markers
//!    for it.
//! 3. `answer`: the cookies that the response sets or removes; `form_answer`: the same for the form
//!    cookie. `accessed`: whether the response depends on the session. `csrf`: which CSRF tokens
//!    are issued and accepted.
//! 4. `value`: an application's values as JSON, and back. `size`: how large they may be.
//! 5. `request`: other headers of the request.
//! 6. `refusals`: the error messages of refusals.

pub(crate) mod accessed;
pub(crate) mod answer;
pub(crate) mod csrf;
pub(crate) mod doubts;
pub(crate) mod form_answer;
pub(crate) mod life;
pub(crate) mod login;
pub(crate) mod marker_put;
pub(crate) mod presented;
pub(crate) mod refusals;
pub(crate) mod request;
pub(crate) mod retired;
pub(crate) mod size;
pub(crate) mod to_end;
pub(crate) mod value;
