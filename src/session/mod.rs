//! One session as plain values.
//!
//! 1. `presented`: what a request's cookies prove.
//! 2. `life`: where the session stands in its request. `login`: what a login means for the session
//!    before it. `to_end` and `retired`: what a logout or a new key leaves dead; `marker_put`: the
//!    markers that say so.
//! 3. `answer`: which cookies the answer sets or removes; `form_answer`: the same of the form
//!    cookie. `accessed`: whether it depends on the session. `csrf`: which CSRF tokens it gives out,
//!    and which are good.
//! 4. `value`: an application's values as JSON, and back. `size`: how large they may be.
//! 5. `request`: what the rest of a request's head says of its browser.
//! 6. `refusals`: why a session refuses, in words.

pub(crate) mod accessed;
pub(crate) mod answer;
pub(crate) mod csrf;
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
