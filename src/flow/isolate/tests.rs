use super::*;
use crate::protocol::record::Envelope;
use crate::protocol::version::Version;

fn envelope(counter: u32) -> Envelope {
    let mut envelope = Envelope::begin(0, 1_000_000);
    envelope.version = Version {
        counter,
        writer: counter,
    };
    envelope.data.values.set(&format!("k{counter}"), "1".into());
    envelope.data.settle(envelope.version, 0);
    envelope
}

fn key(number: u8) -> KeyParts {
    let [lineage, derived] = [Id([number; 16]); 2];
    KeyParts {
        owner: None,
        lineage,
        derived,
    }
}

/// Sessions and bytes of records that are remembered.
fn size(memory: &Memory) -> (usize, usize) {
    memory.with(|state| (state.sessions.slots.len(), state.bytes))
}

fn memory() -> Memory {
    Isolate::new().memory("test", "", 1_000)
}

#[test]
fn a_record_in_flight_is_for_saves_until_it_lands() {
    let memory = memory();
    memory.put_began(&key(1), &envelope(1), 0);
    let recalled = memory.recall(&key(1), 0, 1_000);
    assert!(recalled.settled.is_none() && recalled.in_flight.len() == 1);
    assert!(!memory.put_acknowledged(&key(1), &envelope(1), 5));
    let recalled = memory.recall(&key(1), 5, 1_000);
    assert!(recalled.settled.is_some() && recalled.in_flight.is_empty());
    assert_eq!(recalled.markers_read_at, None);
}

#[test]
fn a_put_that_failed_or_never_ended_is_taken_out() {
    let memory = memory();
    memory.put_began(&key(1), &envelope(1), 0);
    memory.put_failed(&key(1), envelope(1).version, 1);
    assert!(memory.recall(&key(1), 1, 1_000).in_flight.is_empty());
    memory.put_began(&key(1), &envelope(2), 1);
    assert_eq!(memory.recall(&key(1), FLIGHT, i64::MAX).in_flight.len(), 1);
    assert!(
        memory
            .recall(&key(1), 1 + FLIGHT, i64::MAX)
            .in_flight
            .is_empty()
    );
}

#[test]
fn an_overtaken_put_is_noticed() {
    let memory = memory();
    let newer = envelope(2).join(envelope(1));
    memory.put_began(&key(1), &envelope(1), 0);
    memory.put_began(&key(1), &newer, 0);
    assert!(memory.put_acknowledged(&key(1), &envelope(1), 1));
    assert_eq!(memory.recall(&key(1), 1, 1_000).in_flight.len(), 1);
    // The newer one contains both, but the store may have applied it first.
    assert!(memory.put_acknowledged(&key(1), &newer, 1));
    assert!(memory.is_lacking(&key(1)));
}

#[test]
fn a_put_that_was_refused_is_missing_until_another_has_stored_it() {
    let memory = memory();
    memory.put_began(&key(1), &envelope(1), 0);
    let both = envelope(2).join(envelope(1));
    memory.put_began(&key(1), &both, 0);
    memory.put_rate_limited(&key(1), &envelope(1), 1);
    assert_eq!(memory.is_sure(&key(1), &envelope(1), 1), Some(false));
    assert!(!memory.put_acknowledged(&key(1), &both, 2));
    assert_eq!(memory.is_sure(&key(1), &both, 2), Some(true));
    // One that is refused after that changes nothing.
    memory.put_rate_limited(&key(1), &envelope(1), 3);
    assert_eq!(memory.is_sure(&key(1), &both, 3), Some(true));
    memory.put_rate_limited(&key(1), &envelope(3), 4);
    assert!(memory.is_lacking(&key(1)));
}

#[test]
fn a_put_is_not_sure_while_an_earlier_one_may_still_be_applied() {
    let memory = memory();
    memory.put_began(&key(1), &envelope(1), 0);
    let both = envelope(2).join(envelope(1));
    memory.put_began(&key(1), &both, 0);
    assert!(memory.put_acknowledged(&key(1), &both, 1));
    assert_eq!(memory.is_sure(&key(1), &both, 1), Some(false));
    assert!(!memory.is_lacking(&key(1)), "nothing to put yet");
    memory.put_rate_limited(&key(1), &envelope(1), 2);
    assert_eq!(memory.is_sure(&key(1), &both, 2), Some(true));
}

#[test]
fn what_was_pushed_out_of_memory_is_not_sure() {
    let memory = memory();
    memory.put_rate_limited(&key(1), &envelope(2), 1);
    memory.forget(&key(1));
    assert_eq!(memory.is_sure(&key(1), &envelope(2), 1), None);
    // A load remembers what the store shows.
    memory.read(&key(1), &envelope(1), 1, 1);
    assert_eq!(memory.is_sure(&key(1), &envelope(2), 1), None);
}

#[test]
fn puts_are_known_side_by_side_and_their_number_is_bounded() {
    let memory = memory();
    for n in 1..=3 {
        memory.put_began(&key(1), &envelope(n), 0);
    }
    memory.put_failed(&key(1), envelope(2).version, 1);
    let versions = || {
        let in_flight = memory.recall(&key(1), 1, 1_000).in_flight;
        let counters = in_flight.iter().map(|envelope| envelope.version.counter);
        counters.collect::<Vec<_>>()
    };
    assert_eq!(versions(), [1, 3]);
    for n in 4..=50 {
        memory.put_began(&key(1), &envelope(n), 1);
    }
    assert_eq!(versions(), (19..=50).collect::<Vec<_>>());
}

#[test]
fn a_put_that_lacks_what_another_wrote_is_noticed_whichever_is_newer() {
    for (first, second) in [(1, 2), (2, 1)] {
        let memory = memory();
        memory.put_began(&key(1), &envelope(first), 0);
        memory.put_began(&key(1), &envelope(second), 0);
        memory.put_acknowledged(&key(1), &envelope(first), 1);
        assert!(memory.put_acknowledged(&key(1), &envelope(second), 2));
        assert!(memory.is_lacking(&key(1)));
        let settled = memory.recall(&key(1), 2, 1_000).settled.unwrap();
        memory.put_acknowledged_alone(&key(1), &settled, 3);
        assert_eq!(memory.is_sure(&key(1), &settled, 3), Some(true));
    }
}

#[test]
fn removed_keys_are_forgotten_when_their_time_is_over() {
    let memory = memory();
    for n in 1..=100 {
        let now = i64::from(n) * 100;
        let mut envelope = envelope(n);
        let gone = format!("k{n}");
        envelope.data.values.remove(&gone, now);
        envelope.data.settle(envelope.version, 0);
        memory.read(&key(1), &envelope, now, now);
    }
    let settled = memory.recall(&key(1), 10_000, 1_000).settled.unwrap();
    assert_eq!(settled.data.values.settled().count(), 11);
}

#[test]
fn one_request_puts_again_for_all_and_not_for_ever() {
    let memory = memory();
    assert!(memory.claim_put_again(&key(1), 0));
    assert!(!memory.claim_put_again(&key(1), FLIGHT - 1));
    assert!(memory.claim_put_again(&key(1), FLIGHT));
    memory.release_put_again(&key(1), FLIGHT + 1);
    assert!(memory.claim_put_again(&key(1), FLIGHT + 1));
}

#[test]
fn namespaces_and_prefixes_do_not_mix() {
    let isolate = Isolate::new();
    isolate.memory("a", "", 0).read(&key(1), &envelope(1), 0, 0);
    for other in [isolate.memory("b", "", 0), isolate.memory("a", "x", 0)] {
        assert!(other.recall(&key(1), 0, 1_000).settled.is_none());
    }
    assert!(
        isolate
            .memory("a", "", 0)
            .recall(&key(1), 0, 1_000)
            .settled
            .is_some()
    );
}

#[test]
fn memory_is_bounded_and_what_was_used_last_stays() {
    let memory = memory();
    let mut big = envelope(1);
    big.data
        .values
        .set("big", format!("\"{}\"", "x".repeat(100_000)).into());
    big.data.settle(big.version, 0);
    for n in 0..200 {
        memory.read(&key(n), &big, 0, 0);
        memory.recall(&key(0), 0, 1_000);
    }
    let (sessions, bytes) = size(&memory);
    assert!(
        bytes <= RECORD_BYTES && (30..50).contains(&sessions),
        "{sessions} {bytes}"
    );
    assert!(memory.recall(&key(0), 0, 1_000).settled.is_some());
    assert!(memory.recall(&key(1), 0, 1_000).settled.is_none());
}

#[test]
fn records_are_bounded_in_number_and_their_table_does_not_grow() {
    let memory = memory();
    let small = Envelope::begin(0, 1_000_000);
    let mut ids = (0u64..).map(|n| {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&n.to_be_bytes());
        KeyParts {
            owner: None,
            lineage: Id(id),
            derived: Id(id),
        }
    });
    let room = || memory.with(|state| state.sessions.index.capacity());
    let mut fill = |count| {
        for key in ids.by_ref().take(count) {
            memory.read(&key, &small, 0, 0);
            assert!(size(&memory).0 <= RECORDS);
        }
    };
    fill(RECORDS);
    let full = room();
    fill(2 * RECORDS);
    assert_eq!(room(), full);
}

#[test]
fn prefixes_are_bounded_in_number_and_what_is_in_use_stays() {
    let isolate = Isolate::new();
    let memory = |n: usize| isolate.memory("a", &format!("tenant-{n}."), 0);
    let in_use = memory(0);
    for n in 0..10 * SCOPES {
        memory(n).read(&key(1), &envelope(1), 0, 0);
        memory(n).note_marker(Dead::Key(Id([1; 16])), Marker::revoked(0), 9);
        memory(n).note_owner(
            Id([1; 16]),
            OwnerMarker {
                at: 0,
                except: Vec::new(),
            },
            9,
        );
    }
    assert!(in_use.recall(&key(1), 0, 1_000).settled.is_some());
    let (sessions, bytes) = size(&in_use);
    assert!((SCOPES / 2..=SCOPES).contains(&sessions), "{sessions}");
    let (scopes, markers, owners) = in_use.with(|state| {
        let [markers, owners] = [state.markers.slots.len(), state.owners.slots.len()];
        (state.scopes.len(), markers, owners)
    });
    assert_eq!((scopes, markers, owners), (sessions, sessions, sessions));
    assert_eq!(isolate.stats().table_bytes, bytes as u64);
    // A record that is dropped and comes back starts again.
    assert!(memory(1).recall(&key(1), 0, 1_000).settled.is_none());
}

#[test]
fn what_counts_apart_shares_the_bounds_and_nothing_else() {
    let isolate = Isolate::new();
    let (one, other) = (isolate.apart(), isolate.apart());
    one.memory("", "", 0).read(&key(1), &envelope(1), 0, 0);
    let there = other.memory("", "", 0);
    assert!(there.recall(&key(1), 0, 1_000).settled.is_none());
    let held = [&one, &other, &isolate].map(|it| it.stats().table_entries);
    assert_eq!(held, [1, 0, 0]);
    let small = Envelope::begin(0, 1_000_000);
    for n in 0..2 * RECORDS {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&n.to_be_bytes());
        let [lineage, derived] = [Id(id); 2];
        let owner = None;
        let key = KeyParts {
            owner,
            lineage,
            derived,
        };
        there.read(&key, &small, 0, 0);
    }
    assert!(size(&there).0 <= RECORDS);
    assert_eq!(one.stats().table_entries, 0, "used longest ago");
}

#[test]
fn markers_are_kept_for_their_time() {
    let memory = memory();
    memory.note_marker(Dead::Key(Id([1; 16])), Marker::rotated(5), 100);
    memory.note_marker(Dead::Key(Id([1; 16])), Marker::revoked(9), 50);
    assert_eq!(
        memory.marker(Dead::Key(Id([1; 16])), 99),
        Some(Marker::revoked(9))
    );
    assert_eq!(memory.marker(Dead::Key(Id([1; 16])), 100), None);
}
