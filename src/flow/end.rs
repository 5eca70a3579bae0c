//! Ending sessions: what must be written, and what could not be written.

use crate::flow::engine::Ctx;
use crate::flow::freshness::Freshness;
use crate::flow::markers::put_markers;
use crate::port::error::SessionError;
use crate::protocol::keys::{Id, KeyParts};
use crate::protocol::revocation::{Death, Marker};
use crate::protocol::ticket::Tombstone;
use crate::session::marker_put::MarkerPut;
use crate::session::presented::ENDS_MAX;
use crate::session::to_end::ToEnd;

/// The sessions that a logout could not end.
pub(crate) struct Left {
    /// Tried, but not stored.
    failed: Vec<Tombstone>,
    /// More than one request can end.
    untried: Vec<Tombstone>,
    error: Option<SessionError>,
}

impl Left {
    /// Only sessions beyond the number that one request can end.
    pub(crate) fn of_untried(untried: impl Iterator<Item = Tombstone>) -> Self {
        Self {
            failed: Vec::new(),
            untried: untried.collect(),
            error: None,
        }
    }

    /// Adds a session whose end could not be stored.
    pub(crate) fn add(&mut self, stone: Tombstone, error: SessionError) {
        self.failed.push(stone);
        self.error = Some(error);
    }

    /// `None` if everything was stored.
    pub(crate) fn unless_empty(self) -> Option<Self> {
        (!self.failed.is_empty() || !self.untried.is_empty()).then_some(self)
    }

    /// The logouts that were tried and not stored.
    pub(crate) fn failed(&self) -> &[Tombstone] {
        &self.failed
    }

    /// True if there were more sessions than one request can end.
    pub(crate) fn is_cut_short(&self) -> bool {
        !self.untried.is_empty()
    }

    /// The number of sessions that are left.
    pub(crate) fn count(&self) -> usize {
        self.failed.len() + self.untried.len()
    }

    /// Why the last of them was not stored.
    pub(crate) fn error(&self) -> Option<&SessionError> {
        self.error.as_ref()
    }

    pub(crate) fn stones(self) -> Vec<Tombstone> {
        self.failed.into_iter().chain(self.untried).collect()
    }

    pub(crate) fn has(&self, lineage: Id) -> bool {
        let mut all = self.failed.iter().chain(&self.untried);
        all.any(|stone| stone.lineage == lineage)
    }
}

/// Ends the sessions in `ends`: puts every marker, and with `SESSION_PURGE` deletes the records.
/// With `may_stand`, reads first which markers exist. Returns the sessions that could not be ended.
pub(crate) async fn end(ctx: &Ctx, ends: &[ToEnd], may_stand: bool) -> Option<Left> {
    let mut owed: Vec<Owed> = ends.iter().map(|it| Owed::of(ctx, it.stone)).collect();
    // In this isolate the session has ended even if the store fails: somebody pressed "log out".
    for marker in owed.iter().flat_map(|it| &it.markers) {
        marker.note(ctx);
    }
    if may_stand {
        // All of them: otherwise those at the end of a full header would never have their turn.
        for some in owed.chunks_mut(ASKED_AT_ONCE) {
            let names: Vec<Vec<String>> = some.iter().map(|it| it.names(ctx)).collect();
            let flat: Vec<&str> = names.iter().flatten().map(String::as_str).collect();
            let options = Freshness::Store.options(ctx.config());
            let Ok(values) = ctx.read(&flat, options).await else {
                break;
            };
            let mut rest = &values[..];
            for (owed, names) in some.iter_mut().zip(&names) {
                let (mine, others) = rest.split_at(names.len().min(rest.len()));
                owed.leave_out(mine);
                rest = others;
            }
        }
        // The store may still show this isolate an absence from before it put them.
        for it in &mut owed {
            it.markers.retain(|marker| !marker.was_put(ctx));
        }
        owed.retain(|it| !it.is_done());
    }
    let untried = owed.split_off(owed.len().min(ENDS_MAX));
    let mut left = Left::of_untried(untried.into_iter().map(|it| it.stone));
    for it in owed {
        if let Err(error) = revoke(ctx, &it.markers, &it.purge).await {
            left.add(it.stone, error);
        }
    }
    left.unless_empty()
}

/// Sessions whose markers fit into one read of a hundred keys.
const ASKED_AT_ONCE: usize = 24;

/// The writes that end one session.
struct Owed {
    stone: Tombstone,
    markers: Vec<MarkerPut>,
    /// The record, with `SESSION_PURGE`.
    purge: Vec<String>,
}

impl Owed {
    fn of(ctx: &Ctx, stone: Tombstone) -> Self {
        Self {
            stone,
            markers: MarkerPut::revoked(&stone.key(), Some(stone.hard_end), ctx.now()),
            purge: if ctx.config().settings().purge() {
                vec![ctx.config().names().record(&stone.key())]
            } else {
                Vec::new()
            },
        }
    }

    fn names(&self, ctx: &Ctx) -> Vec<String> {
        let markers = self.markers.iter().map(|marker| marker.name(ctx.config()));
        markers.chain(self.purge.iter().cloned()).collect()
    }

    /// Removes the writes that are already done, given the stored values.
    fn leave_out(&mut self, values: &[Option<String>]) {
        let value = |place: usize| values.get(place).and_then(|value| value.as_deref());
        // The marker of a rotation does not count as one of a logout.
        let stands = |place: usize| {
            value(place).is_some_and(|text| Marker::decode(text).death == Death::Revoked)
        };
        if value(self.markers.len()).is_none() {
            self.purge.clear();
        }
        // A logout may have been stored in part, so check every marker.
        let done = mutant!(half_stored_logout_taken_for_done) && stands(0);
        let markers = std::mem::take(&mut self.markers).into_iter().enumerate();
        self.markers = markers
            .filter(|(place, _)| !stands(*place) && !done)
            .map(|(_, marker)| marker)
            .collect();
    }

    fn is_done(&self) -> bool {
        self.markers.is_empty() && self.purge.is_empty()
    }
}

/// Ends the session of `key`.
pub(crate) async fn delete(ctx: &Ctx, key: KeyParts) -> Result<(), SessionError> {
    let markers = MarkerPut::revoked(&key, None, ctx.now());
    let purge = ctx.config().settings().purge();
    let record = purge.then(|| ctx.config().names().record(&key));
    let purge: Vec<String> = record.into_iter().collect();
    revoke(ctx, &markers, &purge).await
}

/// Puts the markers of a revocation, and deletes the records in `purge`.
async fn revoke(ctx: &Ctx, markers: &[MarkerPut], purge: &[String]) -> Result<(), SessionError> {
    // In this isolate the session has ended even if the store fails: somebody pressed "log out".
    for marker in markers {
        marker.note(ctx);
    }
    put_markers(ctx, markers).await?;
    for record in purge {
        ctx.delete(record).await?;
    }
    Ok(())
}
