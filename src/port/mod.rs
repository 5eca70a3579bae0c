//! What the world must offer, and how it is asked.
//!
//! The lowest floor: a rule of the protocol may fail, and says so with an error of this floor, while
//! nothing here knows what is asked for or why.
//!
//! 1. `error`: whatever fails, with a stable code.
//! 2. `connector`: storage, as an application implements it.
//! 3. `runtime`: clock, randomness and timers.
//! 4. `effect`: what a flow asks for, and the answers, as values.
//! 5. `events`: what is told to whoever listens.
//! 6. `request`: what a session reads of its request.
//! 7. `wait_until`: the platform's promise to let work end.

pub(crate) mod connector;
pub(crate) mod effect;
pub(crate) mod error;
pub(crate) mod events;
pub(crate) mod request;
pub mod runtime;
pub(crate) mod wait_until;
