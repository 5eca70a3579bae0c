//! One session as plain values.
//!
//! 1. `presented`: what a request's cookies prove.
//! 2. `life`: where the session stands in its request. `marker_put`: what a new key or an end leaves
//!    to be put.
//! 3. `answer`: which cookies the answer sets or removes. `accessed`: whether it depends on the
//!    session.
//! 4. `value`: an application's values as JSON, and back.
//! 5. `refusals`: why a session refuses, in words.

pub(crate) mod accessed;
pub(crate) mod answer;
pub(crate) mod life;
pub(crate) mod marker_put;
pub(crate) mod presented;
pub(crate) mod refusals;
pub(crate) mod value;
