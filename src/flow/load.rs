//! Loading: one round trip at most, and what its answer amounts to.

use std::rc::Rc;

use crate::flow::engine::Ctx;
use crate::flow::isolate::Remembered;
use crate::flow::stats::Count;
use crate::port::connector::ReadOptions;
use crate::port::error::{ErrorCode, SessionError};
use crate::protocol::config::Config;
use crate::protocol::keys::Dead;
use crate::protocol::outcome::{Access, Finding, Outcome, Sight, judge};
use crate::protocol::record::{Envelope, Unreadable};
use crate::protocol::revocation::{Death, Marker, Markers, OwnerMarker};
use crate::session::presented::Held;

/// The smallest cache time that Workers KV takes, for a load that asks for the freshest copy
/// (<https://developers.cloudflare.com/kv/api/read-key-value-pairs/#cachettl-parameter>).
const FRESH_CACHE_TTL: u32 = 30;

/// Where a load may take its answer from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Freshness {
    /// The isolate's memory, or the store.
    Memory,
    /// The store.
    Store,
    /// The store, with the shortest cache time it has.
    Shortest,
}

impl Freshness {
    pub(crate) fn options(self, config: &Config) -> ReadOptions {
        ReadOptions::cache_ttl(match self {
            Self::Shortest => FRESH_CACHE_TTL,
            Self::Memory | Self::Store => config.settings().kv_cache_ttl(),
        })
    }
}

/// What looking for a session gave.
pub(crate) struct Look {
    pub(crate) finding: Finding,
    /// When.
    pub(crate) at: i64,
    /// When the store was asked, where it was: what it answered may be as old as that.
    pub(crate) asked_at: Option<i64>,
    /// The store is behind what the browser was told: somebody has to put it again.
    pub(crate) behind: bool,
}

/// Looks for the session of `held`.
pub(crate) async fn look(
    ctx: &Ctx,
    held: Rc<Held>,
    freshness: Freshness,
) -> Result<Look, SessionError> {
    let key = held.identity.key;
    let now = ctx.now();
    let remembered = ctx.memory().recall(&key, now, ctx.config().window());
    if freshness == Freshness::Memory && may_skip_the_store(ctx, &held, &remembered, now) {
        let stored = remembered.settled.map(Ok);
        let markers = own_markers(ctx, &held, now);
        let finding = sight(ctx.config(), &held, [now, now], markers, stored, None);
        ctx.count(Count::TableLoads);
        return Ok(Look {
            finding,
            at: now,
            asked_at: None,
            behind: false,
        });
    }

    let Reading {
        mut markers,
        stored,
        at,
    } = read(ctx, &held, freshness).await?;
    note_deaths(ctx, &held, &markers, at);
    let own = own_markers(ctx, &held, at);
    markers.add(own);
    let stored_version = stored
        .as_ref()
        .and_then(|stored| Some(stored.as_ref().ok()?.version));
    if let Some(version) = stored_version {
        ctx.memory().arrived(&key, version);
    }
    // Remembered anew: other requests have gone on while the store was asked.
    let Remembered {
        settled,
        flying,
        at_risk,
        ..
    } = ctx.memory().recall(&key, at, ctx.config().window());
    let is_older = |version| stored_version.is_none_or(|stored| stored < version);
    let replaced = at_risk && settled.as_ref().is_some_and(|it| is_older(it.version));
    let settled = if mutant!(flying_shown_to_loads) {
        flying.last().cloned().or(settled)
    } else {
        settled
    };
    let finding = sight(ctx.config(), &held, [now, at], markers, stored, settled);

    let fresh = held.fresh.as_ref();
    let unstored = fresh.is_some_and(|fresh| fresh.unstored && is_older(fresh.version));
    match (&finding.envelope, finding.access) {
        (Some(envelope), Access::Live) => {
            ctx.memory().read(&key, envelope, now, at);
        }
        _ if finding.outcome == Outcome::Revoked => ctx.memory().forget(&key),
        _ => {}
    }
    // A put that is on its way already will do.
    let behind = (unstored || replaced || finding.conflict) && flying.is_empty();
    ctx.count(Count::StoreLoads);
    Ok(Look {
        finding,
        at,
        asked_at: Some(now),
        behind,
    })
}

/// Whether this isolate has read the session's markers lately, and knows of all that the browser
/// has saved.
fn may_skip_the_store(ctx: &Ctx, held: &Held, remembered: &Remembered, now: i64) -> bool {
    let trusted = i64::from(ctx.config().settings().isolate_cache_ttl()) * 1_000;
    let read_lately = remembered
        .markers_read_at
        .is_some_and(|at| (0..trusted).contains(&now.saturating_sub(at)));
    let known = remembered.settled.as_ref().is_some_and(|settled| {
        held.fresh
            .as_ref()
            .is_none_or(|fresh| settled.version >= fresh.version)
    });
    // Somebody has to see whether the store still lacks it.
    if remembered.at_risk || held.fresh.as_ref().is_some_and(|fresh| fresh.unstored) {
        return false;
    }
    (read_lately || (remembered.markers_read_at.is_some() && mutant!(memory_trusted_for_ever)))
        && (known || (remembered.settled.is_some() && mutant!(memory_behind_cookie_used)))
}

/// Judges everything that can be seen; `stored` is the store's copy, `settled` this isolate's.
fn sight(
    config: &Config,
    held: &Held,
    [asked_at, now]: [i64; 2],
    markers: Markers,
    stored: Option<Result<Envelope, Unreadable>>,
    settled: Option<Envelope>,
) -> Finding {
    let ticket = &held.identity.ticket;
    let known = |envelope: &Envelope| {
        held.fresh
            .as_ref()
            .is_some_and(|fresh| fresh.version == envelope.version)
    };
    // The overlay is opened only where it can say something new.
    let overlay = if settled.as_ref().is_some_and(known)
        || stored
            .as_ref()
            .is_some_and(|stored| stored.as_ref().is_ok_and(known))
    {
        None
    } else {
        held.overlay(config, now)
    };
    judge(Sight {
        now,
        asked_at,
        window: config.window(),
        idle: config.settings().idle_timeout(),
        lineage: ticket.lineage,
        minted_at: ticket.minted_at,
        end: ticket.end(config.age()),
        markers,
        stored,
        known: [overlay, settled],
        fresh: held
            .fresh
            .as_ref()
            .map(|fresh| (fresh.version, fresh.saved_at)),
        seen: held.seen,
    })
}

/// What the store answered for one session.
struct Reading {
    markers: Markers,
    stored: Option<Result<Envelope, Unreadable>>,
    at: i64,
}

/// Record and markers in one round trip.
async fn read(ctx: &Ctx, held: &Held, freshness: Freshness) -> Result<Reading, SessionError> {
    let identity = &held.identity;
    let key = identity.key;
    let options = freshness.options(ctx.config());
    let names = [
        Some(identity.storage_key(ctx.config())),
        Some(ctx.config().names().dead_key(key.derived)),
        (!key.is_first()).then(|| ctx.config().names().dead_lineage(key.lineage)),
        key.owner.map(|owner| ctx.config().names().owner(owner)),
    ];
    let asked: Vec<&str> = names.iter().flatten().map(String::as_str).collect();
    let mut answer = ctx.read(&asked, options).await?.into_iter();
    let storage_key = names[0].as_deref().unwrap_or_default();
    // One answer for each name that was asked for, in its order.
    let [record, dead_key, dead_lineage, owner] = names
        .each_ref()
        .map(|name| name.as_ref().and_then(|_| answer.next().flatten()));
    let mut markers = Markers {
        key: dead_key.map(|text| Marker::decode(&text)),
        lineage: dead_lineage.map(|text| Marker::decode(&text)),
        owner: owner.map(|text| read_owner_marker(&text)).transpose()?,
    };
    if mutant!(lineage_ignored) {
        markers.lineage = None;
    }
    // The first key of a session does not ask for the lineage: its own marker says as much,
    // unless a location still shows the rotation that stood there before the logout.
    if key.is_first()
        && markers
            .key
            .is_some_and(|marker| marker.death == Death::Rotated)
    {
        let name = ctx.config().names().dead_lineage(key.lineage);
        let lineage = ctx.read(&[&name], options).await?.pop().flatten();
        markers.lineage = lineage.map(|text| Marker::decode(&text));
    }
    let sealed = ctx.config().settings().seal();
    let stored =
        record.map(|text| Envelope::open(&text, &identity.keys.record, storage_key, sealed));
    Ok(Reading {
        markers,
        stored,
        at: ctx.now(),
    })
}

/// Remembers what the store says is dead: an older answer that comes later does not revive it.
fn note_deaths(ctx: &Ctx, held: &Held, markers: &Markers, now: i64) {
    let key = held.identity.key;
    let until = now.saturating_add(ctx.config().staleness_bound());
    if let Some(marker) = markers.key {
        let dead = Dead::Key(key.derived);
        ctx.memory().note_marker(dead, marker, until);
    }
    if let Some(marker) = markers.lineage {
        let dead = Dead::Lineage(key.lineage);
        ctx.memory().note_marker(dead, marker, until);
    }
    if let (Some(owner), Some(marker)) = (key.owner, &markers.owner) {
        ctx.memory().note_owner(owner, marker.clone(), until);
    }
}

/// The markers of this session that this isolate has put or read.
pub(crate) fn own_markers(ctx: &Ctx, held: &Held, now: i64) -> Markers {
    if mutant!(own_markers_forgotten) {
        return Markers::default();
    }
    let key = held.identity.key;
    let marker = |dead| ctx.memory().marker(dead, now);
    Markers {
        key: marker(Dead::Key(key.derived)),
        lineage: marker(Dead::Lineage(key.lineage)),
        owner: key.owner.and_then(|owner| ctx.memory().owner(owner, now)),
    }
}

/// An owner marker that cannot be read may mean anybody: that is no answer.
pub(crate) fn read_owner_marker(text: &str) -> Result<OwnerMarker, SessionError> {
    OwnerMarker::decode(text).ok_or_else(|| {
        SessionError::new(
            ErrorCode::Unavailable,
            "the owner's marker in the store is of a format that this release does not know",
        )
    })
}
