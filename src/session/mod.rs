//! One session as plain values.
//!
//! 1. `presented`: what a request's cookies prove.
//! 2. `value`: an application's values as JSON, and back.
//! 3. `refusals`: why a session refuses, in words.

pub(crate) mod presented;
pub(crate) mod refusals;
pub(crate) mod value;
