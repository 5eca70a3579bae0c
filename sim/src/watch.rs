//! Watching a history: the log as values.

use std::rc::Rc;

use edge_session::EventKind;

use crate::kv::Shown;
use crate::request::{Answer, View};
use crate::world::RequestId;

/// The result of a read of one key.
pub struct Found {
    pub name: Rc<str>,
    pub value: Option<Rc<str>>,
    pub shown: Shown,
}

/// Something that has just happened.
pub enum Observation<'a> {
    Read {
        request: RequestId,
        found: &'a [Found],
    },
    /// The store accepted a put, or a delete if there is no value.
    Took {
        request: RequestId,
        name: Rc<str>,
        value: Option<Rc<str>>,
    },
    Refused {
        request: RequestId,
        name: Rc<str>,
    },
    /// A transaction was not applied, because the checked rows have changed.
    Conflict {
        request: RequestId,
        found: &'a [Found],
    },
    /// An accepted write is visible at a location from now on.
    Arrived {
        location: usize,
        name: Rc<str>,
        value: Option<Rc<str>>,
    },
    Loaded {
        request: RequestId,
        view: &'a View,
        version: u32,
    },
    Event(EventKind),
    /// The response has reached the browser.
    Answered {
        request: RequestId,
        answer: &'a Answer,
    },
}

/// Receives observations.
pub trait Watcher {
    fn sees(&self, sight: &Observation<'_>);
}
