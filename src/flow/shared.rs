//! The state that all flows of one configuration share.

use std::rc::Rc;

use crate::flow::isolate::Memory;
use crate::flow::stats::{Count, Timing};
use crate::port::error::ErrorCode;
use crate::port::events::{Event, EventKind, Sink};
use crate::protocol::config::Config;
use crate::protocol::keys::{Id, Secret, Tag, Token, TokenKeys};
use crate::protocol::outcome::Outcome;

/// The protocol, which depends on the kind of store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// The last writer wins, and reads may be old.
    Eventual,
    /// Reads see the last write, and several writes are one transaction.
    Strong,
}

impl Protocol {
    /// True if the browser needs a fresh cookie after a save, because not every location sees it
    /// immediately.
    pub(crate) fn tells_of_saves(self) -> bool {
        match self {
            Self::Eventual => true,
            Self::Strong => false,
        }
    }
}

/// The configuration, the isolate's memory, the event sink and the counters.
#[derive(Clone)]
pub(crate) struct Shared {
    config: Rc<Config>,
    protocol: Protocol,
    memory: Memory,
    events: Option<Sink>,
    /// The counters of one request, for `Server-Timing`.
    timing: Option<Rc<Timing>>,
}

impl Shared {
    pub(crate) fn new(config: Rc<Config>, protocol: Protocol, memory: Memory) -> Self {
        Self {
            config,
            protocol,
            memory,
            events: None,
            timing: None,
        }
    }

    /// Uses another memory.
    pub(crate) fn set_memory(&mut self, memory: Memory) {
        self.memory = memory;
    }

    /// Sends events to `sink`.
    pub(crate) fn set_events(&mut self, sink: Sink) {
        self.events = Some(sink);
    }

    /// Also counts for one request.
    pub(crate) fn set_timing(&mut self, timing: Rc<Timing>) {
        self.timing = Some(timing);
    }

    /// The same, also counting for a request that runs this operation outside its session, if any.
    pub(crate) fn counting_for(self: &Rc<Self>, timing: Option<Rc<Timing>>) -> Rc<Self> {
        match timing {
            Some(timing) if self.config.settings().server_timing() => {
                let mut shared = Self::clone(self);
                shared.set_timing(timing);
                Rc::new(shared)
            }
            _ => Rc::clone(self),
        }
    }

    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    pub(crate) fn protocol(&self) -> Protocol {
        self.protocol
    }

    pub(crate) fn memory(&self) -> &Memory {
        &self.memory
    }

    pub(crate) fn timing(&self) -> Option<&Rc<Timing>> {
        self.timing.as_ref()
    }

    /// The keys derived from `token` with `secret`. `tag` is that of the cookie.
    pub(crate) fn derive(&self, tag: Tag, secret: &Secret, token: &Token) -> TokenKeys {
        self.memory.derive(tag, || secret.derive(token))
    }

    /// Counts one of `what`.
    pub(crate) fn count(&self, what: Count) {
        self.count_many(what, 1);
    }

    /// Counts several of `what`.
    pub(crate) fn count_many(&self, what: Count, many: usize) {
        self.memory.tally().add(what, many);
        if let Some(timing) = &self.timing {
            timing.add(what, many);
        }
    }

    /// Counts the outcome of a load.
    pub(crate) fn count_outcome(&self, outcome: Outcome) {
        self.memory.tally().add_outcome(outcome);
    }

    /// An event of the session of `lineage`; `None` without a sink.
    pub(crate) fn event(
        &self,
        kind: EventKind,
        at: i64,
        lineage: Option<Id>,
        reason: Option<&'static str>,
    ) -> Option<Event> {
        self.events.as_ref()?;
        let session = lineage.map(|lineage| self.config.event_name(lineage));
        Some(Event::new(kind, at, session, reason))
    }

    /// Sends an event to the sink.
    pub(crate) fn send(&self, event: &Event) {
        if let Some(sink) = &self.events {
            sink.event(event);
        }
    }

    /// Reports an event of this `kind` for the session with this `lineage`.
    pub(crate) fn report(
        &self,
        kind: EventKind,
        at: i64,
        lineage: Option<Id>,
        reason: Option<&'static str>,
    ) {
        if let Some(event) = self.event(kind, at, lineage, reason) {
            self.send(&event);
        }
    }

    /// Reports a failed operation of the store.
    pub(crate) fn report_trouble(&self, at: i64, lineage: Option<Id>, code: ErrorCode) {
        self.report(EventKind::StoreError, at, lineage, Some(code.as_str()));
    }
}
