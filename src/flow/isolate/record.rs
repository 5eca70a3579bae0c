//! The memory of one session: the settled record, and its unanswered puts.

use crate::protocol::record::Envelope;
use crate::protocol::version::Version;

/// The most puts in flight that are tracked for one record. Each contains the earlier ones, so the
/// oldest can be dropped.
pub(super) const FLIGHTS: usize = 32;
/// The time after which an unanswered put is assumed to be lost, in milliseconds.
pub(crate) const FLIGHT: i64 = 30_000;

/// The memory of one session.
#[derive(Clone, Default)]
pub(crate) struct Remembered {
    /// The record as it was read, or put and acknowledged, or refused with 429 while the browser's
    /// overlay has it.
    pub(crate) settled: Option<Envelope>,
    /// Records whose puts are not answered yet, oldest first.
    pub(crate) in_flight: Vec<Envelope>,
    /// True if a request still waits for the answer to one of these puts.
    pub(crate) awaited: bool,
    /// When the session's markers were last read, without finding any.
    pub(crate) markers_read_at: Option<i64>,
    /// True if a put that timed out may have replaced the settled record, or may still do so: a
    /// load that finds the store behind puts the record again.
    pub(crate) at_risk: bool,
}

#[derive(Default)]
pub(super) struct Session {
    pub(super) settled: Option<Envelope>,
    /// The unanswered puts.
    pub(super) flights: Vec<Flight>,
    pub(super) markers_read_at: Option<i64>,
    /// True if the store may have less than the settled record, because two puts overlapped: it may
    /// have applied them in either order.
    pub(super) unsure: bool,
    /// True if the store has less than the settled record, because a put was refused with 429.
    pub(super) refused: bool,
    /// Until when a put that timed out may replace the settled record.
    pub(super) at_risk_until: Option<i64>,
    /// Until when another request is assumed to be putting it again.
    pub(super) put_again_until: Option<i64>,
    /// When this was last written or read.
    pub(super) at: i64,
    pub(super) bytes: usize,
}

/// An unanswered put.
pub(super) struct Flight {
    pub(super) envelope: Envelope,
    /// When it is assumed to be lost.
    pub(super) deadline: i64,
    /// True if its request no longer waits for it.
    pub(super) timed_out: bool,
    /// True if no other put was in flight when it started.
    pub(super) alone: bool,
}

impl Session {
    pub(super) fn settle(&mut self, envelope: &Envelope, horizon: i64) {
        let mut settled = match self.settled.take() {
            Some(settled) => settled.join(envelope.clone()),
            None => envelope.clone(),
        };
        // A join has the removed keys of both sides, so a record that is joined again and again
        // would collect all of them.
        settled.data.settle(settled.version, horizon);
        self.settled = Some(settled);
    }

    /// The settled record and those in flight.
    pub(super) fn known(&self) -> impl Iterator<Item = &Envelope> {
        let flights = self.flights.iter().map(|flight| &flight.envelope);
        self.settled.iter().chain(flights)
    }

    /// True if `envelope` lacks something that is known. Versions are not enough: two saves that
    /// did not know of each other may have the same counter.
    pub(super) fn knows_more_than(&self, envelope: &Envelope, horizon: i64) -> bool {
        self.known().any(|known| {
            known.version > envelope.version
                || !(mutant!(one_flight_at_a_time) || envelope.contains(known, horizon))
        })
    }

    /// Removes the put of `version`, which was answered. If the store applied it after the puts
    /// that had timed out, they can no longer replace it.
    pub(super) fn end_flight(&mut self, version: Version, taken: bool) {
        let mut flights = self.flights.iter();
        let place = flights.position(|flight| flight.envelope.version == version);
        let Some(flight) = place.map(|place| self.flights.remove(place)) else {
            return;
        };
        if taken && flight.alone && !self.flights.iter().any(|flight| flight.timed_out) {
            self.at_risk_until = None;
        }
    }

    /// True if the store lacks something of the settled record, or may: it has to be put again.
    pub(super) fn is_lacking(&self) -> bool {
        self.unsure || self.refused
    }

    /// True if the store may still apply a put that was started before, whatever it has answered since.
    pub(super) fn is_awaited(&self) -> bool {
        self.flights.iter().any(|flight| !flight.timed_out)
    }

    pub(super) fn is_at_risk(&self, now: i64) -> bool {
        self.at_risk_until.is_some_and(|until| now < until)
    }

    pub(super) fn weight(&self) -> usize {
        self.known().map(Envelope::weight).sum()
    }
}
