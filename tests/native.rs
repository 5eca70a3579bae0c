//! The native tests of the crate's interface: one program, because each program more would compile
//! against the crate and be linked by itself. `cargo test --no-default-features --test native trace::`
//! runs the tests of `tests/trace.rs`. A file that needs other features or another target is a
//! program of its own, which Cargo.toml lists.

#![cfg(not(target_arch = "wasm32"))]

mod common;
mod golden;

mod api_table;
mod cookie_model;
mod docs;
mod docs_tables;
mod errors;
mod getting_started;
mod model;
mod observability;
mod recipes;
mod refusals;
mod security_caching;
mod security_cookies;
mod security_forms;
mod security_owner;
mod security_tokens;
mod session_consistency;
mod session_dictionary;
mod session_ending;
mod session_expiry;
mod session_hearsay;
mod session_keys;
mod session_lifecycle;
mod session_twins;
mod settings;
mod store_timeout;
mod strong_keys;
mod strong_owner;
mod strong_saving;
mod testing;
mod trace;

/// What the cookie module imports from its crate. `cookie_model` compiles a copy of that module, because
/// it is private.
mod port {
    pub(crate) mod error {
        pub(crate) use edge_session::{ErrorCode, SessionError};
    }
}
