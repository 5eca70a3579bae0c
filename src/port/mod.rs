//! What the core needs from its environment, and how it asks for it.
//!
//! This is the lowest floor. Rules of the protocol fail with an error from this floor, but nothing
//! here knows what is requested or why.
//!
//! 1. `error`: errors with stable codes.
//! 2. `connector`: storage, as an application implements it; `strong`: storage that has transactions.
//! 3. `runtime`: clock, randomness and timers.
//! 4. `effect`: what a flow asks for, and the answers, as values. `transaction`: the largest of them.
//! 5. `events`: what is reported to an event sink.
//! 6. `request`: what a session reads of its request.
//! 7. `time`: instants and times as the API has them.
//! 8. `wait_until`: the platform's promise to let work finish.

pub(crate) mod connector;
pub(crate) mod effect;
pub(crate) mod error;
pub(crate) mod events;
pub(crate) mod request;
pub mod runtime;
pub(crate) mod strong;
pub(crate) mod time;
pub(crate) mod transaction;
pub(crate) mod wait_until;
