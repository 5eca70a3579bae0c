//! Loading: one round trip, and what its answer amounts to.

use std::rc::Rc;

use crate::connector::ReadOptions;
use crate::error::SessionError;
use crate::outcome::{Finding, Sight, judge};
use crate::presented::Held;
use crate::record::{Envelope, Unreadable};
use crate::revocation::{Death, Marker, Markers, OwnerMarker};
use crate::sessions::Shared;

/// The smallest cache time that Workers KV takes, for a load that asks for the freshest copy
/// (<https://developers.cloudflare.com/kv/api/read-key-value-pairs/#cachettl-parameter>).
const FRESH_CACHE_TTL: u32 = 30;

/// What the store answered for one session.
pub(crate) struct Reading {
    markers: Markers,
    stored: Option<Result<Envelope, Unreadable>>,
    /// When the answer was there.
    pub(crate) at: i64,
}

impl Reading {
    pub(crate) fn options(shared: &Shared, fresh: bool) -> ReadOptions {
        ReadOptions::cache_ttl(if fresh {
            FRESH_CACHE_TTL
        } else {
            shared.settings.kv_cache_ttl()
        })
    }

    /// Record and markers in one round trip.
    pub(crate) async fn of(
        shared: &Shared,
        held: &Held,
        fresh: bool,
    ) -> Result<Self, SessionError> {
        let identity = &held.identity;
        let key = identity.key;
        let options = Self::options(shared, fresh);
        let names = [
            Some(identity.storage_key(shared)),
            Some(shared.names.dead_key(key.derived)),
            (!key.is_first()).then(|| shared.names.dead_lineage(key.lineage)),
            key.owner.map(|owner| shared.names.owner(owner)),
        ];
        let asked: Vec<&str> = names.iter().flatten().map(String::as_str).collect();
        let answer = shared.connector.read(&asked, options).await?;
        let mut answer = crate::connector::in_order(answer, asked.len())?.into_iter();
        // One answer for each name that was asked for, in its order.
        let [record, dead_key, dead_lineage, owner] = names
            .each_ref()
            .map(|name| name.as_ref().and_then(|_| answer.next().flatten()));
        let mut markers = Markers {
            key: dead_key.map(|text| Marker::decode(&text)),
            lineage: dead_lineage.map(|text| Marker::decode(&text)),
            owner: owner.map(|text| read_owner_marker(&text)).transpose()?,
        };
        // The first key of a session does not ask for the lineage: its own marker says as much,
        // unless a location still shows the rotation that stood there before the logout.
        if key.is_first()
            && markers
                .key
                .is_some_and(|marker| marker.death == Death::Rotated)
        {
            let name = shared.names.dead_lineage(key.lineage);
            let answer = shared.connector.read(&[&name], options).await?;
            let lineage = crate::connector::in_order(answer, 1)?.pop().flatten();
            markers.lineage = lineage.map(|text| Marker::decode(&text));
        }
        let stored = record.map(|text| {
            Envelope::open(&text, &identity.keys.record, &identity.storage_key(shared))
        });
        Ok(Self {
            markers,
            stored,
            at: shared.runtime.now(),
        })
    }

    /// What this answer and the cookies mean together.
    pub(crate) fn judge(self, shared: &Shared, held: &Held) -> Finding {
        let ticket = &held.identity.ticket;
        judge(Sight {
            now: self.at,
            window: shared.window(),
            idle: shared.settings.idle_timeout(),
            lineage: ticket.lineage,
            minted_at: ticket.minted_at,
            end: ticket.end(shared.age()),
            markers: self.markers,
            stored: self.stored,
            overlay: held.overlay(shared, self.at),
            fresh: held.fresh.clone(),
            seen: held.seen,
        })
    }
}

/// An owner marker that cannot be read may mean anybody: that is no answer.
pub(crate) fn read_owner_marker(text: &str) -> Result<OwnerMarker, SessionError> {
    OwnerMarker::decode(text).ok_or_else(|| {
        SessionError::new(
            crate::error::ErrorCode::Unavailable,
            "the owner's marker in the store is of a format that this release does not know",
        )
    })
}

/// Reads and judges in one go.
pub(crate) async fn look(
    shared: Rc<Shared>,
    held: Rc<Held>,
    fresh: bool,
) -> Result<(Finding, i64), SessionError> {
    let reading = Reading::of(&shared, &held, fresh).await?;
    let at = reading.at;
    Ok((reading.judge(&shared, &held), at))
}
