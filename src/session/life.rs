//! The state of a session in its request: the stored session as far as it is known, and what the
//! application wants.
//!
//! Every method of a session asks a [`Life`] whether it may read or change. So only this file
//! decides what a method does in each state:
//!
//! | state | reading | changing, `create`, `cycle_key`, `reauthenticate`, `save` | `bind` | `destroy`, `flush` |
//! |---|---|---|---|---|
//! | unloaded | `not_loaded` | `not_loaded` | `not_loaded` | yes |
//! | open, live | yes | yes | yes | yes |
//! | open, read-only (`stale`, `rotated`, `revoked`) | yes | changes yes; the rest is the code | yes | yes |
//! | open, closed (`pending`, `rotated`, `unavailable`, …) | the code | the code | yes, unless the store did not answer | yes |
//! | open, empty or detached | yes | yes | yes | yes |
//! | ended | empty | `destroyed` | yes, once the logout is stored | yes |
//! | committed | yes; `not_loaded` if it never was | `committed` | `committed` | `committed` |
//!
//! `tests/refusals.rs` and `tests/package/refusals.test.mjs` try every method in every state.

use std::rc::Rc;

use crate::port::error::{ErrorCode, SessionError};
use crate::protocol::data::Data;
use crate::protocol::expiry::OwnLimits;
use crate::protocol::outcome::{Access, Verdict};
use crate::protocol::record::Envelope;
use crate::session::doubts::{Doubts, Fate};
use crate::session::presented::Identity;
use crate::session::refusals::refusal;
use crate::session::retired::Retired;

/// The idle time is extended when this fraction of it has passed.
const SEEN_FRACTION: i64 = 20;

/// The state of a session in its request.
pub(crate) enum Life {
    /// Nothing is known yet.
    Unloaded,
    /// It can be used.
    Open(Open),
    /// It was ended in this request. `stored` is false if the store did not accept that.
    Ended {
        stored: bool,
        /// The readable data: none.
        nothing: Data,
    },
    /// The response is being sent. The data can still be read, unless nothing was ever loaded.
    Committed(Option<Open>),
}

/// A session that can be used.
#[derive(Default)]
pub(crate) struct Open {
    pub(crate) base: Base,
    pub(crate) draft: Draft,
    /// Saves that failed, and may have been stored all the same.
    pub(crate) doubts: Doubts,
}

/// The presented session, as far as it is known.
#[derive(Default)]
pub(crate) enum Base {
    /// The store has it. It can be read and saved.
    Live(Known),
    /// It can be read as far as it is known. A save fails with this code.
    ReadOnly(Option<Known>, ErrorCode),
    /// It cannot be trusted. Every accessor fails with this error.
    Closed(SessionError),
    /// There is none. The first save creates a session.
    #[default]
    Empty,
    /// There is none that can be used. Changes last for this response, and only a login creates a
    /// session.
    Detached,
}

/// A stored session, as far as this request knows.
#[derive(Clone)]
pub(crate) struct Known {
    pub(crate) envelope: Envelope,
    /// The browser's last visit, in milliseconds since 1970-01-01 UTC.
    pub(crate) last_seen: i64,
    pub(crate) in_store: InStore,
}

/// The copy in the store, as far as it is known.
#[derive(Clone, Default)]
pub(crate) struct InStore {
    /// True if it lacks what was loaded. This request then puts it again.
    pub(crate) behind: bool,
    /// The row, in a store that has transactions.
    pub(crate) row: Option<KnownRow>,
}

/// The row of a live session, as this request read or put it.
#[derive(Clone)]
pub(crate) struct KnownRow {
    pub(crate) revision: Rc<str>,
    /// The record's text.
    pub(crate) record: Rc<str>,
}

/// What the application wants.
#[derive(Default)]
pub(crate) struct Draft {
    /// The data as the application sees it, with its pending changes.
    pub(crate) data: Data,
    /// True if a save was started and has not succeeded. The store may have it anyway.
    pub(crate) is_tried: bool,
    /// Limits that this request has set.
    pub(crate) limits: Option<OwnLimits>,
    /// True if a save that failed has tried to store limits.
    pub(crate) has_tried_limits: bool,
    /// A new key that the session gets with the commit.
    pub(crate) key: Option<Next>,
    pub(crate) save: Modified,
}

/// A new key for the session, decided and not yet stored.
pub(crate) struct Next {
    pub(crate) identity: Identity,
    pub(crate) kind: SaveKind,
    /// True if the stored session continues under this key.
    pub(crate) continues: bool,
    /// Limits that a login keeps together with the data.
    pub(crate) kept: OwnLimits,
    /// What the new key replaces.
    pub(crate) retire: Vec<Retired>,
    pub(crate) tries: KeyTries,
}

/// Which keys a save has tried.
#[derive(Clone, Default)]
pub(crate) struct KeyTries {
    /// A save under this key was begun.
    pub(crate) is_begun: bool,
    /// Keys under which it failed: what was on its way there may arrive.
    pub(crate) failed: Vec<Identity>,
}

/// The kind of record that a save creates.
#[derive(Clone)]
pub(crate) enum SaveKind {
    /// The next version of the source, under its own key.
    Save,
    /// The next version of the source, under a new key of the same lineage. With `renews_login`,
    /// the login time is now.
    Cycle { renews_login: bool },
    /// The first version of a new lineage, with an owner after a login.
    Begin { owner: Option<Rc<str>> },
}

/// What the application has said about saving.
#[derive(Default)]
pub(crate) enum Modified {
    /// Nothing: the changes decide.
    #[default]
    Changes,
    /// Save even if nothing changed.
    Yes,
    /// Leave the changes so far unsaved: these data and limits. Only a later difference from them
    /// counts, so that it makes no difference when the changes are looked for.
    No(Data, Option<OwnLimits>),
}

impl Life {
    /// The data, if it can be read.
    pub(crate) fn data(&self) -> Result<&Data, SessionError> {
        match self {
            Self::Unloaded | Self::Committed(None) => Err(not_loaded()),
            Self::Open(open) | Self::Committed(Some(open)) => match &open.base {
                Base::Closed(error) => Err(error.clone()),
                _ => Ok(&open.draft.data),
            },
            Self::Ended { nothing, .. } => Ok(nothing),
        }
    }

    /// The draft, if the application may still change it.
    pub(crate) fn edit(&mut self) -> Result<&mut Draft, SessionError> {
        // It is too late to load it.
        if matches!(self, Self::Committed(None)) {
            return Err(committed());
        }
        self.data()?;
        let draft = &mut self.decide()?.draft;
        if std::mem::take(&mut draft.is_tried) {
            draft.data.set_tried();
            draft.has_tried_limits |= draft.limits.is_some();
        }
        Ok(draft)
    }

    /// Checks that the application may still decide about the session, whatever the outcome.
    pub(crate) fn check(&self) -> Result<(), SessionError> {
        match self {
            Self::Open(_) => Ok(()),
            Self::Unloaded => Err(not_loaded()),
            Self::Ended { .. } => Err(refusal(ErrorCode::Destroyed)),
            Self::Committed(_) => Err(committed()),
        }
    }

    /// The session, if the application may still decide about it.
    pub(crate) fn decide(&mut self) -> Result<&mut Open, SessionError> {
        self.check()?;
        match self {
            Self::Open(open) => Ok(open),
            // `check` has refused these.
            Self::Unloaded | Self::Ended { .. } | Self::Committed(_) => Err(not_loaded()),
        }
    }

    /// The session while it can be used, and after its commit.
    pub(crate) fn open(&self) -> Option<&Open> {
        match self {
            Self::Open(open) => Some(open),
            Self::Committed(open) => open.as_ref(),
            Self::Unloaded | Self::Ended { .. } => None,
        }
    }

    /// The session was ended in this request.
    pub(crate) fn end(&mut self, stored: bool) {
        *self = Self::Ended {
            stored,
            nothing: Data::default(),
        };
    }

    /// Closes the session for changes.
    pub(crate) fn commit(&mut self) {
        let open = match std::mem::replace(self, Self::Unloaded) {
            Self::Open(open) => Some(open),
            Self::Committed(open) => open,
            Self::Unloaded => None,
            Self::Ended { .. } => Some(Open::default()),
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

impl Draft {
    /// Leaves the changes so far unsaved.
    pub(crate) fn leave_unsaved(&mut self) {
        self.save = Modified::No(self.data.clone(), self.limits);
    }

    /// True if there are no changes but those that were left unsaved.
    fn is_left_unsaved(&self) -> bool {
        matches!(&self.save, Modified::No(data, limits) if self.limits == *limits && self.data.is_same(data))
    }
}

impl Open {
    /// The stored session that the draft continues; `None` if it starts a new one.
    pub(crate) fn continued(&self) -> Option<&Envelope> {
        match &self.draft.key {
            Some(next) if !next.continues => None,
            _ => self.base.known().map(|known| &known.envelope),
        }
    }

    /// The owner: the new one of the draft, or that of the stored session.
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

    /// True if the application has changed something, or has said so.
    pub(crate) fn is_modified(&self) -> bool {
        match self.draft.save {
            Modified::Yes => true,
            Modified::No(..) if self.draft.is_left_unsaved() => false,
            _ => self.changes().is_pending() || self.draft.limits.is_some(),
        }
    }

    /// The dictionary with the changes that a save must write.
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

    /// True if there is something to save, even if the save would be refused. `is_withheld` tells
    /// whether the browser may have withheld a key cookie.
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
                // A session is created only with data.
                let holds = match save {
                    Modified::Yes => true,
                    Modified::No(..) if self.draft.is_left_unsaved() => false,
                    _ => !data.is_empty() && self.changes().is_pending(),
                };
                holds && !is_withheld()
            }
        }
    }

    /// True if a request at `now` must extend the idle time with the seen cookie. `idle` is the
    /// idle time of the settings.
    pub(crate) fn seen_is_due(&self, idle: u32, now: i64) -> bool {
        let (Base::Live(known), Some(base)) = (&self.base, self.continued()) else {
            return false;
        };
        let idle = base.expiry.idle_seconds(idle);
        let since = now.saturating_sub(known.last_seen);
        idle > 0 && since >= i64::from(idle) * 1_000 / SEEN_FRACTION
    }

    /// Drops the application's data and limits.
    pub(crate) fn start_empty(&mut self) {
        self.draft.data = Data::default();
        self.draft.limits = None;
    }

    /// Applies the result of a load. Changes made before are kept.
    pub(crate) fn reload(&mut self, base: Base) {
        let known = base.known();
        let row = known.and_then(|known| known.in_store.row.as_ref());
        let record = known.map(|known| &known.envelope);
        let fate = self.doubts.fate(row.map(|row| &*row.revision), record);
        let found = record.map(|record| record.data.clone()).unwrap_or_default();
        // The try does not contain later changes. If there are none, the draft is done: making its changes
        // again could undo what others save between this load and the next save.
        let is_done = self.draft.is_tried && matches!(fate, Fate::Stored | Fate::StoredBefore);
        if is_done {
            self.draft = Draft::default();
            self.draft.data = found;
        } else {
            let is_left = self.draft.is_left_unsaved();
            let changes = match &self.base {
                // An earlier load has failed, so it is not known which of them differ from the stored data.
                Base::Closed(_) => self.draft.data.clone(),
                _ => self.changes(),
            };
            self.draft.data = changes.replay_onto(found);
            if is_left {
                self.draft.leave_unsaved();
            } else if let Modified::No(..) = self.draft.save {
                self.draft.save = Modified::Changes;
            }
        }
        if is_done || mutant!(strong_doubt_forgotten) {
            self.doubts = Doubts::default();
        }
        self.base = base;
    }

    /// Applies the result of a save. Nothing is pending any more.
    pub(crate) fn saved(&mut self, envelope: Envelope, row: Option<KnownRow>) {
        self.draft = Draft {
            data: envelope.data.clone(),
            ..Draft::default()
        };
        self.base = Base::live(envelope, row);
        self.doubts = Doubts::default();
    }
}

impl Base {
    /// The base for a verdict. `error` is the reason why the store could not be asked.
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

    /// The base for a session that this request has just put.
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

    /// The stored session, if it may be read.
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

/// For a first use in a response that caches may share by now.
pub(crate) fn late() -> SessionError {
    SessionError::new(
        ErrorCode::Committed,
        "the session is used for the first time after its response was handed over, so that response lacks \
         Cache-Control: no-store and may be shown to others; use the session before, for example by reading owner",
    )
}

pub(crate) fn committed() -> SessionError {
    SessionError::new(
        ErrorCode::Committed,
        "the session was already committed with the response; make changes before the commit",
    )
}
