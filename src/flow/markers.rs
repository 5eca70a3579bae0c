//! Putting the markers that say what is dead.

use crate::flow::engine::Ctx;
use crate::flow::retry::Tries;
use crate::flow::stats::Count;
use crate::port::connector::{ConnectorErrorKind, PutOptions};
use crate::port::effect::Write;
use crate::port::error::SessionError;
use crate::protocol::config::Config;
use crate::protocol::keys::{Dead, Id, SessionKey};
use crate::protocol::revocation::{Death, Marker, marker_ttl, named_by_revocation};
use crate::session::presented::Identity;

/// A marker and where it goes.
#[derive(Clone)]
pub(crate) struct MarkerPut {
    dead: Dead,
    marker: Marker,
    /// When the session that it speaks of ends by itself, where that is known.
    hard_end: Option<i64>,
    /// The key that goes on under another, of a rotation.
    rotates: Option<SessionKey>,
}

impl MarkerPut {
    /// The session goes on under another key; nothing else of its lineage dies.
    pub(crate) fn rotated(identity: &Identity, now: i64) -> Self {
        Self {
            dead: Dead::Key(identity.key.derived),
            marker: Marker::rotated(now),
            hard_end: Some(identity.ticket.hard_end),
            rotates: Some(identity.key),
        }
    }

    /// The whole lineage is over. `hard_end` is that of `key`: after a rotation, which may bring it
    /// down, the keys before it may have a later one.
    pub(crate) fn revoked(key: &SessionKey, hard_end: Option<i64>, now: i64) -> Vec<Self> {
        let (keys, lineage) = named_by_revocation(key);
        let is_left_out =
            |dead| matches!(dead, Dead::Lineage(_)) && mutant!(lineage_marker_not_written);
        keys.into_iter()
            .map(Dead::Key)
            .chain([Dead::Lineage(lineage)])
            .filter(|dead| !is_left_out(*dead))
            .map(|dead| Self {
                dead,
                marker: Marker::revoked(now),
                hard_end: hard_end.filter(|_| key.is_first() || dead == Dead::Key(key.derived)),
                rotates: None,
            })
            .collect()
    }

    /// The whole lineage is over, whichever of its keys it goes by: a load of the first key asks for
    /// that key's marker, a load of any other for the lineage's. `hard_end` is that of the first.
    pub(crate) fn lineage_revoked(lineage: Id, hard_end: Option<i64>, now: i64) -> Vec<Self> {
        let first = SessionKey {
            owner: None,
            lineage,
            derived: lineage,
        };
        Self::revoked(&first, hard_end, now)
    }

    /// Lets this isolate know that it stands, for as long as a read may not show it.
    fn note_put(&self, ctx: &Ctx) {
        let until = ctx.now().saturating_add(ctx.config().staleness_bound());
        ctx.memory().note_dead_put(self.dead, until);
    }

    /// True where this isolate has put it, and a read may not show it yet.
    pub(crate) fn was_put(&self, ctx: &Ctx) -> bool {
        ctx.memory().was_dead_put(self.dead, ctx.now())
    }

    pub(crate) fn is_revocation(&self) -> bool {
        self.marker.death == Death::Revoked
    }

    /// The key that it is put under.
    pub(crate) fn name(&self, config: &Config) -> String {
        config.names().dead(self.dead)
    }

    /// The same, of a death at another instant.
    pub(crate) fn at(&self, now: i64) -> Self {
        Self {
            dead: self.dead,
            marker: Marker {
                at: now,
                ..self.marker
            },
            hard_end: self.hard_end,
            rotates: self.rotates,
        }
    }

    /// What is to be put, by what this isolate knows of the session by now. A rotation must not
    /// replace a revocation, which may not be stored yet; and put again, the grace of the old key
    /// would begin again.
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

    /// Lets this isolate know for as long as others may not.
    pub(crate) fn note(&self, ctx: &Ctx) {
        let until = ctx.now().saturating_add(ctx.config().staleness_bound());
        ctx.memory().note_marker(self.dead, self.marker, until);
    }
}

/// Puts `markers` side by side. A 429 means that another put of the same marker was taken within
/// the second: it is tried once more and then taken as there.
///
/// # Errors
/// The last failure, after all of them were tried.
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
                // Another of them may fail: what stands is not put again for that.
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
