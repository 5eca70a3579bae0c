//! The records of sessions: reads, puts, and the results of puts.

use crate::protocol::keys::KeyParts;
use crate::protocol::record::Envelope;
use crate::protocol::version::Version;

use super::Memory;
use super::record::{FLIGHT, FLIGHTS, Flight, Remembered, Session};

impl Memory {
    /// The memory of the record of `key`, if it is not older than `age` milliseconds.
    pub(crate) fn recall(&self, key: &KeyParts, now: i64, age: i64) -> Remembered {
        let key = self.of(*key);
        self.with(|state| {
            let Some(session) = state.sessions.get(&key) else {
                return Remembered::default();
            };
            if now.saturating_sub(session.at) > age {
                state.forget(&key);
                return Remembered::default();
            }
            let flights = session.flights.iter();
            let in_flight = flights.filter(|flight| now < flight.deadline);
            Remembered {
                settled: session.settled.clone(),
                awaited: in_flight.clone().any(|flight| !flight.timed_out),
                in_flight: in_flight.map(|flight| flight.envelope.clone()).collect(),
                markers_read_at: session.markers_read_at,
                at_risk: session.is_at_risk(now),
            }
        })
    }

    /// Remembers a live record from a load that asked the store at `asked_at`. A slow answer says
    /// nothing about later times.
    pub(crate) fn read(&self, key: &KeyParts, envelope: &Envelope, asked_at: i64, now: i64) {
        self.change(key, now, |session| {
            session.settle(envelope, self.horizon(now));
            session.markers_read_at = session.markers_read_at.max(Some(asked_at));
        });
    }

    /// Remembers a record whose put is about to start.
    pub(crate) fn put_began(&self, key: &KeyParts, envelope: &Envelope, now: i64) {
        let deadline = now.saturating_add(FLIGHT);
        self.change(key, now, |session| {
            if mutant!(one_flight_at_a_time) {
                session.flights.clear();
            }
            if session.flights.len() >= FLIGHTS {
                session.flights.remove(0);
            }
            session.flights.push(Flight {
                envelope: envelope.clone(),
                deadline,
                timed_out: false,
                alone: session.flights.is_empty(),
            });
        });
    }

    /// The put of `envelope` was acknowledged. Returns true if the store may lack something all the
    /// same: something was put meanwhile, and the store may have applied the two in either order.
    pub(crate) fn put_acknowledged(&self, key: &KeyParts, envelope: &Envelope, now: i64) -> bool {
        let horizon = self.horizon(now);
        self.change(key, now, |session| {
            session.end_flight(envelope.version, true);
            let overtaken = session.knows_more_than(envelope, horizon);
            session.settle(envelope, horizon);
            session.unsure |= overtaken;
            // It contains what was refused, too.
            session.refused &= overtaken;
            session.is_lacking() || session.is_awaited()
        })
    }

    /// A put of everything that was known was acknowledged, and no other was in flight when it
    /// started. Unless another one has started or been acknowledged since, the store has it.
    pub(crate) fn put_acknowledged_alone(&self, key: &KeyParts, envelope: &Envelope, now: i64) {
        self.change(key, now, |session| {
            let horizon = self.horizon(now);
            session.end_flight(envelope.version, true);
            session.unsure = session.knows_more_than(envelope, horizon);
            session.refused &= session.unsure;
            session.settle(envelope, horizon);
        });
    }

    /// True if the store has the whole settled record with `saved` in it, as far as this isolate can
    /// know. `None` if `saved` is not there: it was forgotten meanwhile.
    pub(crate) fn is_sure(&self, key: &KeyParts, saved: &Envelope, now: i64) -> Option<bool> {
        self.with(|state| {
            let session = state.sessions.get(&self.of(*key))?;
            let settled = session.settled.as_ref()?;
            let is_there = settled.contains(saved, self.horizon(now));
            is_there.then(|| !session.is_lacking() && !session.is_awaited())
        })
    }

    /// True if the record has to be put again.
    pub(crate) fn is_lacking(&self, key: &KeyParts) -> bool {
        self.with(|state| {
            let session = state.sessions.get(&self.of(*key));
            session.is_some_and(Session::is_lacking)
        })
    }

    /// The put of `envelope` was refused with 429. The record stays here and in the browser's
    /// cookie. If another put has stored it meanwhile, nothing is missing: to put it again could
    /// replace what another isolate has saved since.
    pub(crate) fn put_rate_limited(&self, key: &KeyParts, envelope: &Envelope, now: i64) {
        let horizon = self.horizon(now);
        self.change(key, now, |session| {
            session.end_flight(envelope.version, false);
            let settled = session.settled.as_ref();
            session.refused |= !settled.is_some_and(|settled| settled.contains(envelope, horizon));
            session.settle(envelope, horizon);
        });
    }

    /// The put of `version` failed. It may have been applied anyway, so the next load asks the
    /// store.
    pub(crate) fn put_failed(&self, key: &KeyParts, version: Version, now: i64) {
        if mutant!(flight_never_withdrawn) {
            return;
        }
        self.change(key, now, |session| {
            session.end_flight(version, false);
            session.markers_read_at = None;
        });
    }

    /// The put of `version` was not answered in time. It may still arrive and replace later puts.
    /// It stays in flight until it is too old, so that other saves join it, and loads ask the store
    /// until `until`.
    pub(crate) fn put_timed_out(&self, key: &KeyParts, version: Version, now: i64, until: i64) {
        self.change(key, now, |session| {
            let mut flights = session.flights.iter_mut();
            if let Some(flight) = flights.find(|flight| flight.envelope.version == version) {
                flight.timed_out = true;
            }
            session.at_risk_until = session.at_risk_until.max(Some(until));
            session.markers_read_at = None;
        });
    }

    /// The store shows `version`. If that put had timed out, it has arrived.
    pub(crate) fn put_seen_in_store(&self, key: &KeyParts, version: Version) {
        self.with(|state| {
            if let Some(session) = state.sessions.get_mut(&self.of(*key)) {
                let flights = &mut session.flights;
                flights.retain(|it| !(it.timed_out && it.envelope.version == version));
            }
        });
    }

    /// True if a put that timed out may replace the settled record.
    pub(crate) fn is_at_risk(&self, key: &KeyParts, now: i64) -> bool {
        self.with(|state| {
            let session = state.sessions.get(&self.of(*key));
            session.is_some_and(|session| session.is_at_risk(now))
        })
    }

    /// True for one request, which then puts the record again when the store accepts the next
    /// write. The others leave it to that request, for as long as it may take.
    pub(crate) fn claim_put_again(&self, key: &KeyParts, now: i64) -> bool {
        self.change(key, now, |session| {
            let claimed = session.put_again_until.is_some_and(|until| now < until);
            if !claimed {
                session.put_again_until = Some(now.saturating_add(FLIGHT));
            }
            !claimed
        })
    }

    /// The request that claimed it is done.
    pub(crate) fn release_put_again(&self, key: &KeyParts, now: i64) {
        self.change(key, now, |session| session.put_again_until = None);
    }

    /// Forgets the record of `key`.
    pub(crate) fn forget(&self, key: &KeyParts) {
        self.with(|state| state.forget(&self.of(*key)));
    }
}
