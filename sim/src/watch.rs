//! Looking on: what the log says in words, as values.

use std::rc::Rc;

use edge_session::EventKind;

use crate::kv::Shown;
use crate::request::{Answer, View};
use crate::world::RequestId;

/// What a read of one key was given.
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
    /// The store took a put, or a delete where there is no value.
    Took {
        request: RequestId,
        name: Rc<str>,
        value: Option<Rc<str>>,
    },
    Refused {
        request: RequestId,
        name: Rc<str>,
    },
    /// What was taken could be read at a location from now on.
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
    /// The answer has reached the browser.
    Answered {
        request: RequestId,
        answer: &'a Answer,
    },
}

/// Whoever looks on.
pub trait Watcher {
    fn sees(&self, sight: &Observation<'_>);
}
