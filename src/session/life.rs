//! Where a session stands in its request: what is known of the stored session, and what the
//! application wants of it.
//!
//! Every method of a session asks a [`Life`] whether it may read or change, so that what each of
//! them answers in each state is decided here and nowhere else:
//!
//! | state | reading | changing, `create`, `cycle_key`, `reauthenticate`, `save` | `bind` | `destroy`, `flush` |
//! |---|---|---|---|---|
//! | unloaded | `not_loaded` | `not_loaded` | `not_loaded` | yes |
//! | open, live | yes | yes | yes | yes |
//! | open, read-only (`stale`, `rotated`, `revoked`) | yes | changes yes; the rest is the code | yes | yes |
//! | open, closed (`pending`, `rotated`, `unavailable`, …) | the code | the code | yes, unless the store did not answer | yes |
//! | open, empty or detached | yes | yes | yes | yes |
//! | ended | empty | `destroyed` | yes, once the logout is stored | yes |
//! | committed | yes | `committed` | `committed` | `committed` |
//!
//! `tests/refusals.rs` and `tests/package/refusals.test.mjs` walk every method through every state.

use std::rc::Rc;

use crate::port::error::{ErrorCode, SessionError};
use crate::protocol::data::Data;
use crate::protocol::expiry::OwnLimits;
use crate::protocol::outcome::{Access, Verdict};
use crate::protocol::record::Envelope;
use crate::session::presented::Identity;
use crate::session::refusals::refusal;
use crate::session::retired::Retired;

/// The idle time is slid when this part of it has passed.
const SEEN_FRACTION: i64 = 20;

/// A session in its request.
pub(crate) enum Life {
    /// Nothing is known of it yet.
    Unloaded,
    /// It can be used.
    Open(Open),
    /// It was ended in this request. `stored` is false while the store lacks a marker of that.
    Ended {
        stored: bool,
        /// What can be read of it.
        nothing: Data,
    },
    /// The response is on its way. What was there can still be read.
    Committed(Open),
}

/// A session that can be used.
#[derive(Default)]
pub(crate) struct Open {
    pub(crate) base: Base,
    pub(crate) draft: Draft,
}

/// What is known of the session that the request presents.
#[derive(Default)]
pub(crate) enum Base {
    /// The store has it: it is read and saved.
    Live(Known),
    /// It is read as far as it is known; a save is the error of this code.
    ReadOnly(Option<Known>, ErrorCode),
    /// It cannot be trusted: every accessor is this error.
    Closed(SessionError),
    /// There is none. The first save makes a new session.
    #[default]
    Empty,
    /// There is none to use. Changes last for this answer, and only a login makes a session.
    Detached,
}

/// A stored session, as far as this request knows.
#[derive(Clone)]
pub(crate) struct Known {
    pub(crate) envelope: Envelope,
    /// When its browser was last here, in milliseconds since 1970-01-01 UTC.
    pub(crate) last_seen: i64,
    pub(crate) in_store: InStore,
}

/// What is known of the copy in the store.
#[derive(Clone, Default)]
pub(crate) struct InStore {
    /// It lacks what was loaded: this request puts it again.
    pub(crate) behind: bool,
    /// The row, in a store that has transactions.
    pub(crate) row: Option<KnownRow>,
    /// A save of this request failed, and may have been stored all the same.
    pub(crate) in_doubt: bool,
}

/// The row of a session that is alive, as this request saw or put it.
#[derive(Clone)]
pub(crate) struct KnownRow {
    pub(crate) revision: Rc<str>,
    /// The record's text.
    pub(crate) record: Rc<str>,
}

/// What the application wants.
#[derive(Default)]
pub(crate) struct Draft {
    /// The data as the application sees it, with the changes that are pending.
    pub(crate) data: Data,
    /// A save of that was begun and has not succeeded: the store may have it all the same.
    pub(crate) is_tried: bool,
    /// Limits that this request has set.
    pub(crate) limits: Option<OwnLimits>,
    /// A new key that the commit puts the session under.
    pub(crate) key: Option<Next>,
    pub(crate) save: Modified,
}

/// A new key for the session, decided and not yet stored.
pub(crate) struct Next {
    pub(crate) identity: Identity,
    pub(crate) kind: SaveKind,
    /// Whether the stored session goes on under it.
    pub(crate) continues: bool,
    /// Limits that a login takes over with the data.
    pub(crate) kept: OwnLimits,
    /// What the new key replaces.
    pub(crate) retire: Vec<Retired>,
}

/// What kind of record a save makes.
#[derive(Clone)]
pub(crate) enum SaveKind {
    /// The next version of the source, under its own key.
    Save,
    /// The next version of the source, under a new key of the same lineage; after the user has
    /// proved again who they are, with the time of that.
    Cycle { renews_login: bool },
    /// The first version of a new lineage; for an owner after a login.
    Begin { owner: Option<Rc<str>> },
}

/// What the application said about saving, beside the changes themselves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Modified {
    /// Nothing: changes decide.
    #[default]
    Changes,
    /// Save even if nothing changed.
    Yes,
    /// Leave what has changed so far unsaved.
    No,
}

impl Life {
    /// The data, where it can be read.
    pub(crate) fn data(&self) -> Result<&Data, SessionError> {
        match self {
            Self::Unloaded => Err(not_loaded()),
            Self::Open(open) | Self::Committed(open) => match &open.base {
                Base::Closed(error) => Err(error.clone()),
                _ => Ok(&open.draft.data),
            },
            Self::Ended { nothing, .. } => Ok(nothing),
        }
    }

    /// What the application wants, where it may change that.
    pub(crate) fn edit(&mut self) -> Result<&mut Draft, SessionError> {
        self.data()?;
        let draft = &mut self.decide()?.draft;
        // A later change counts again.
        if draft.save == Modified::No {
            draft.save = Modified::Changes;
        }
        if std::mem::take(&mut draft.is_tried) {
            draft.data.set_tried();
        }
        Ok(draft)
    }

    /// Whether the application may still decide about the session, whatever the load found.
    pub(crate) fn check(&self) -> Result<(), SessionError> {
        match self {
            Self::Open(_) => Ok(()),
            Self::Unloaded => Err(not_loaded()),
            Self::Ended { .. } => Err(refusal(ErrorCode::Destroyed)),
            Self::Committed(_) => Err(committed()),
        }
    }

    /// The session, where the application may still decide about it.
    pub(crate) fn decide(&mut self) -> Result<&mut Open, SessionError> {
        self.check()?;
        match self {
            Self::Open(open) => Ok(open),
            // Refused above.
            Self::Unloaded | Self::Ended { .. } | Self::Committed(_) => Err(not_loaded()),
        }
    }

    /// The session while it can be used, and after its commit.
    pub(crate) fn open(&self) -> Option<&Open> {
        match self {
            Self::Open(open) | Self::Committed(open) => Some(open),
            Self::Unloaded | Self::Ended { .. } => None,
        }
    }

    /// Ends the session for this request.
    pub(crate) fn end(&mut self, stored: bool) {
        *self = Self::Ended {
            stored,
            nothing: Data::default(),
        };
    }

    /// Closes the session for changes.
    pub(crate) fn commit(&mut self) {
        let open = match std::mem::replace(self, Self::Unloaded) {
            Self::Open(open) | Self::Committed(open) => open,
            Self::Unloaded | Self::Ended { .. } => Open::default(),
        };
        *self = Self::Committed(open);
    }

    pub(crate) fn is_committed(&self) -> bool {
        matches!(self, Self::Committed(_))
    }

    /// The name of the state, for `Debug`.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Unloaded => "unloaded",
            Self::Open(_) => "open",
            Self::Ended { .. } => "ended",
            Self::Committed(_) => "committed",
        }
    }

    pub(crate) fn is_unloaded(&self) -> bool {
        matches!(self, Self::Unloaded)
    }

    pub(crate) fn is_ended(&self) -> bool {
        matches!(self, Self::Ended { .. })
    }
}

impl Open {
    /// The stored session that the draft continues; `None` where it begins another.
    pub(crate) fn continued(&self) -> Option<&Envelope> {
        match &self.draft.key {
            Some(next) if !next.continues => None,
            _ => self.base.known().map(|known| &known.envelope),
        }
    }

    /// The user that the draft makes the session's; otherwise whose it is.
    pub(crate) fn owner(&self) -> Option<&str> {
        match &self.draft.key {
            Some(Next {
                kind: SaveKind::Begin { owner },
                ..
            }) => owner.as_deref(),
            _ => {
                let known = self.base.known()?;
                Some(&*known.envelope.bound.as_ref()?.owner)
            }
        }
    }

    /// True where the application has changed something, or said that it has.
    pub(crate) fn is_modified(&self) -> bool {
        let Draft { limits, save, .. } = &self.draft;
        match save {
            Modified::Yes => true,
            Modified::No => false,
            Modified::Changes => self.changes().is_pending() || limits.is_some(),
        }
    }

    /// The dictionary with what a save has to write of it.
    pub(crate) fn changes(&self) -> Data {
        let nothing = Data::default();
        let stored = self.continued().map_or(&nothing, |stored| &stored.data);
        if !self.draft.is_tried {
            return self.draft.data.changes(stored);
        }
        let mut data = self.draft.data.clone();
        data.set_tried();
        data.changes(stored)
    }

    /// True where there is something to save that may be saved, or that is refused when it is.
    /// `is_withheld` tells whether the browser may have a key cookie that it did not send.
    pub(crate) fn would_save(&self, is_withheld: impl FnOnce() -> bool) -> bool {
        let Draft {
            data, key, save, ..
        } = &self.draft;
        match (key, &self.base) {
            (Some(Next { kind, .. }), base) => {
                let is_login = matches!(kind, SaveKind::Begin { owner: Some(_) });
                is_login || (!matches!(base, Base::Detached) && !is_withheld())
            }
            (None, Base::Live(_) | Base::ReadOnly(..) | Base::Closed(_)) => self.is_modified(),
            (None, Base::Detached) => false,
            (None, Base::Empty) => {
                // A session is made when it holds something.
                let holds = match save {
                    Modified::Yes => true,
                    Modified::No => false,
                    Modified::Changes => !data.is_empty() && self.changes().is_pending(),
                };
                holds && !is_withheld()
            }
        }
    }

    /// True where the browser has to be told that it was here, by a request at `now`; `idle` is the
    /// idle time of the settings.
    pub(crate) fn seen_is_due(&self, idle: u32, now: i64) -> bool {
        let (Base::Live(known), Some(base)) = (&self.base, self.continued()) else {
            return false;
        };
        let idle = base.expiry.idle_seconds(idle);
        let since = now.saturating_sub(known.last_seen);
        idle > 0 && since >= i64::from(idle) * 1_000 / SEEN_FRACTION
    }

    /// Forgets what the application has put into the session.
    pub(crate) fn start_empty(&mut self) {
        self.draft.data = Data::default();
        self.draft.limits = None;
    }

    /// Begins again on what a load has found; changes made in between stay.
    pub(crate) fn reload(&mut self, base: Base) {
        let found = base
            .known()
            .map(|known| known.envelope.data.clone())
            .unwrap_or_default();
        self.draft.data = self.changes().replay_onto(found);
        self.base = base;
    }

    /// A save failed, and may have been stored all the same.
    pub(crate) fn doubt(&mut self) {
        if let Base::Live(known) = &mut self.base {
            known.in_store.in_doubt = true;
        }
    }

    /// Goes on from a save: nothing is pending any more.
    pub(crate) fn saved(&mut self, envelope: Envelope, row: Option<KnownRow>) {
        self.draft = Draft {
            data: envelope.data.clone(),
            ..Draft::default()
        };
        self.base = Base::live(envelope, row);
    }
}

impl Base {
    /// What `finding` means; `error` is why the store could not be asked.
    pub(crate) fn of(verdict: Verdict, in_store: InStore, error: Option<SessionError>) -> Self {
        let Verdict {
            access,
            envelope,
            last_seen,
            ..
        } = verdict;
        let known = envelope.map(|envelope| Known {
            envelope,
            last_seen,
            in_store,
        });
        match (access, known) {
            (Access::Live, Some(known)) => Self::Live(known),
            (Access::ReadOnly(code), known) => Self::ReadOnly(known, code),
            (Access::Closed(code), _) => Self::Closed(error.unwrap_or_else(|| refusal(code))),
            (Access::Empty, _) | (Access::Live, None) => Self::Empty,
            (Access::Detached, _) => Self::Detached,
        }
    }

    /// A session that this request has just put.
    pub(crate) fn live(envelope: Envelope, row: Option<KnownRow>) -> Self {
        Self::Live(Known {
            last_seen: envelope.saved_at,
            in_store: InStore {
                row,
                ..InStore::default()
            },
            envelope,
        })
    }

    /// The stored session as far as it may be read.
    pub(crate) fn known(&self) -> Option<&Known> {
        match self {
            Self::Live(known) | Self::ReadOnly(Some(known), _) => Some(known),
            Self::ReadOnly(None, _) | Self::Closed(_) | Self::Empty | Self::Detached => None,
        }
    }

    pub(crate) fn is_live(&self) -> bool {
        matches!(self, Self::Live(_))
    }
}

pub(crate) fn not_loaded() -> SessionError {
    SessionError::new(
        ErrorCode::NotLoaded,
        "the session was not loaded; call load() first, or use handle() instead of handle_lazy()",
    )
}

pub(crate) fn committed() -> SessionError {
    SessionError::new(
        ErrorCode::Committed,
        "the session was already committed with the response; make changes before the commit",
    )
}
