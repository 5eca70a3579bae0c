//! The Durable Object that the tests speak to: a Worker that has nothing else.

edge_session::session_object!();
