//! What an isolate knows of a session that another location has ended.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use crate::common::*;
use edge_session::Outcome;

/// An owner marker from another location that ends everything bound until `at`.
fn ends_all(at: i64) -> String {
    format!("2 o {at}")
}

#[test]
fn exists_is_false_where_only_the_owners_marker_says_so() {
    let world = World::new();
    let jar = world.member("ada");
    let key = world.session_key(&jar);
    let mut admin = world.load(Head::default());
    assert!(run(admin.exists_key(&key.key())).unwrap());
    world
        .store
        .set(&key.owner_marker(), &ends_all(world.now() - 60_000));
    assert!(run(admin.exists_key(&key.key())).unwrap());
    world.store.set(&key.owner_marker(), &ends_all(world.now()));
    assert!(!run(admin.exists_key(&key.key())).unwrap());
}

#[test]
fn a_death_once_read_is_not_unlearned_from_an_older_answer() {
    for owned in [false, true] {
        let world = World::new();
        let jar = if owned {
            world.member("ada")
        } else {
            world.visitor()
        };
        let key = world.session_key(&jar);
        let (marker, text) = if owned {
            (key.owner_marker(), ends_all(world.now()))
        } else {
            (key.dead_key(), format!("2 x {}", world.now()))
        };
        world.store.set(&marker, &text);
        // Longer than this isolate trusts its own memory.
        world.advance(11_000);
        assert_eq!(
            world.open(&jar).outcome().unwrap(),
            Outcome::Revoked,
            "{owned}"
        );
        // A cache without the marker answers the next request.
        world.store.remove(&marker);
        assert_eq!(
            world.open(&jar).outcome().unwrap(),
            Outcome::Revoked,
            "{owned}"
        );
    }
}
