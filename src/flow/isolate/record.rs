//! What an isolate remembers of one session: the record that is settled, and puts of it that are not
//! answered.

use crate::protocol::record::Envelope;
use crate::protocol::version::Version;

/// Puts of one record that are known to be under way. Each contains those before it, so that the
/// oldest is the one that can be spared.
pub(super) const FLIGHTS: usize = 8;
/// Milliseconds after which a put that was not answered is taken as one that never will be.
pub(crate) const FLIGHT: i64 = 30_000;

/// What an isolate remembers of one session.
#[derive(Clone, Default)]
pub(crate) struct Remembered {
    /// The record as it was read, or put and acknowledged; or refused with 429, while it travels
    /// in the browser's overlay.
    pub(crate) settled: Option<Envelope>,
    /// Records whose puts are not answered yet, the oldest first.
    pub(crate) in_flight: Vec<Envelope>,
    /// A request waits for the answer to one of these puts: it has not timed out.
    pub(crate) awaited: bool,
    /// When the session's markers were last read and none was there.
    pub(crate) markers_read_at: Option<i64>,
    /// A put that timed out may have replaced what is settled, or may yet: a load that finds the
    /// store behind puts it again.
    pub(crate) at_risk: bool,
}

#[derive(Default)]
pub(super) struct Session {
    pub(super) settled: Option<Envelope>,
    /// Puts that are not answered.
    pub(super) flights: Vec<Flight>,
    pub(super) markers_read_at: Option<i64>,
    /// The store may hold less than what is settled: a put was refused, or two overlapped.
    pub(super) unsure: bool,
    /// Until when a put that timed out may turn out to have replaced what is settled.
    pub(super) at_risk_until: Option<i64>,
    /// Until when somebody is taken to be putting it again.
    pub(super) put_again_until: Option<i64>,
    /// When this was last written or read.
    pub(super) at: i64,
    pub(super) bytes: usize,
}

/// A put that is not answered.
pub(super) struct Flight {
    pub(super) envelope: Envelope,
    /// When it is taken as one that never will be.
    pub(super) deadline: i64,
    /// Its request waits for it no longer.
    pub(super) timed_out: bool,
    /// It began while no other was under way.
    pub(super) alone: bool,
}

impl Session {
    pub(super) fn settle(&mut self, envelope: &Envelope, horizon: i64) {
        let mut settled = match self.settled.take() {
            Some(settled) => settled.join(envelope.clone()),
            None => envelope.clone(),
        };
        // A join has the removed keys of both sides: of one that is joined again and again they
        // would be all that there ever were.
        settled.data.settle(settled.version, horizon);
        self.settled = Some(settled);
    }

    /// Everything that is settled or under way.
    pub(super) fn known(&self) -> impl Iterator<Item = &Envelope> {
        let flights = self.flights.iter().map(|flight| &flight.envelope);
        self.settled.iter().chain(flights)
    }

    /// True where something is known that `envelope` lacks. Versions alone do not tell: two that
    /// were made without knowing of each other may both be the next one.
    pub(super) fn knows_more_than(&self, envelope: &Envelope, horizon: i64) -> bool {
        self.known().any(|known| {
            known.version > envelope.version
                || !(mutant!(one_flight_at_a_time) || envelope.contains(known, horizon))
        })
    }

    /// The put of `version` was answered. Where the store took it after all that had timed out,
    /// nothing of that can replace it.
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

    pub(super) fn is_at_risk(&self, now: i64) -> bool {
        self.at_risk_until.is_some_and(|until| now < until)
    }

    pub(super) fn weight(&self) -> usize {
        self.known().map(Envelope::weight).sum()
    }
}
