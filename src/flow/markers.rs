//! Puts markers.

use crate::flow::engine::Ctx;
use crate::flow::retry::Tries;
use crate::flow::stats::Count;
use crate::port::connector::{ConnectorErrorKind, PutOptions};
use crate::port::effect::Write;
use crate::port::error::SessionError;
use crate::protocol::keys::Dead;
use crate::protocol::revocation::{Death, Marker, marker_ttl};
use crate::session::marker_put::MarkerPut;

impl MarkerPut {
    /// Remembers that the store has this marker, for as long as a read may not show it.
    fn note_put(&self, ctx: &Ctx) {
        let until = ctx.now().saturating_add(ctx.config().staleness_bound());
        ctx.memory().note_dead_put(self.dead, until);
    }

    /// True if this isolate has put it, and a read may not show it yet.
    pub(crate) fn was_put(&self, ctx: &Ctx) -> bool {
        ctx.memory().was_dead_put(self.dead, ctx.now())
    }

    /// The markers to put, given what this isolate knows by now. A rotation must not replace a
    /// revocation, which may not be stored yet. A rotation must not be put twice, because the grace
    /// period of the old key would start again.
    pub(crate) fn as_known(&self, ctx: &Ctx) -> Vec<Self> {
        let Some(key) = self.rotates else {
            return vec![self.clone()];
        };
        let known = [Dead::Key(key.derived), Dead::Lineage(key.lineage)]
            .into_iter()
            .filter_map(|dead| ctx.memory().marker(dead, ctx.now()))
            .reduce(Marker::or_earlier);
        match known.map(|marker| marker.death) {
            Some(Death::Revoked) => Self::revoked(&key, self.hard_end, ctx.now()),
            Some(Death::Rotated) => Vec::new(),
            None => vec![self.clone()],
        }
    }

    fn to_write(&self, ctx: &Ctx) -> Write {
        Write::Put {
            key: self.name(ctx.config()),
            value: self.marker.encode(),
            options: PutOptions::ttl(marker_ttl(self.hard_end, self.marker.at)),
        }
    }

    /// Remembers this marker in the isolate, for as long as other locations may not show it.
    pub(crate) fn note(&self, ctx: &Ctx) {
        let until = ctx.now().saturating_add(ctx.config().staleness_bound());
        ctx.memory().note_marker(self.dead, self.marker, until);
    }
}

/// Puts `markers` in parallel. A 429 means that another put of the same marker was accepted within
/// the last second. It is tried once more and then counts as stored.
///
/// # Errors
/// The last failure, after all markers were tried.
pub(crate) async fn put_markers(ctx: &Ctx, markers: &[MarkerPut]) -> Result<(), SessionError> {
    if mutant!(marker_not_written) {
        return Ok(());
    }
    let mut failed = None;
    let mut left: Vec<(&MarkerPut, Tries)> = markers
        .iter()
        .map(|marker| (marker, Tries::default()))
        .collect();
    while !left.is_empty() {
        ctx.count_many(Count::Puts, left.len());
        let writes = left.iter().map(|(marker, _)| marker.to_write(ctx));
        let results = ctx.ask_write(writes.collect()).await;
        let mut again = Vec::new();
        let mut pause = 0;
        for ((marker, mut tries), result) in left.into_iter().zip(results) {
            let Err(error) = result else {
                // Another one may fail and be tried again; this one need not be.
                if marker.is_revocation() {
                    marker.note_put(ctx);
                }
                continue;
            };
            match tries.next(ctx, &error) {
                Some(milliseconds) => {
                    pause = pause.max(milliseconds);
                    again.push((marker, tries));
                }
                None if error.kind() == ConnectorErrorKind::RateLimited => {}
                None => failed = Some(error),
            }
        }
        if pause > 0 {
            ctx.sleep(pause).await;
        }
        left = again;
    }
    failed.map_or(Ok(()), |error| Err(error.into()))
}
