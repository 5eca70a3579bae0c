//! Loading: at most one round trip, and the meaning of its answer.

use std::rc::Rc;

use crate::flow::end::Left;
use crate::flow::engine::Ctx;
use crate::flow::freshness::Freshness;
use crate::flow::isolate::Remembered;
use crate::flow::stats::Count;
use crate::port::error::{ErrorCode, SessionError};
use crate::port::time::{seconds, whole_milliseconds};
use crate::protocol::config::Config;
use crate::protocol::keys::Dead;
use crate::protocol::outcome::{Access, LoadInput, Outcome, Verdict, judge};
use crate::protocol::record::{Envelope, Unreadable};
use crate::protocol::revocation::{Death, Marker, Markers, OwnerMarker};
use crate::session::life::InStore;
use crate::session::presented::PresentedSession;

/// The result of loading one session.
pub(crate) struct LoadedRecord {
    pub(crate) verdict: Verdict,
    /// The time of the result.
    pub(crate) at: i64,
    /// When the store was asked, if it was. Its answer may be as old as that.
    pub(crate) asked_at: Option<i64>,
    /// The copy in the store. It is behind if it lacks what the browser was told; then it must be
    /// put again.
    pub(crate) in_store: InStore,
}

/// The result of a load.
pub(crate) struct LoadResult {
    /// Logouts that still could not be stored.
    pub(crate) left: Option<Left>,
    /// One result for each of `rivals`.
    pub(crate) records: Vec<LoadedRecord>,
    pub(crate) rivals: Vec<Rc<PresentedSession>>,
}

/// Loads one presented session.
pub(crate) async fn load_record(
    ctx: &Ctx,
    session: Rc<PresentedSession>,
    freshness: Freshness,
) -> Result<LoadedRecord, SessionError> {
    let key = session.identity.key;
    let now = ctx.now();
    let remembered = ctx.memory().recall(&key, now, ctx.config().window());
    if freshness == Freshness::Memory && may_skip_the_store(ctx, &session, &remembered, now) {
        let stored = remembered.settled.map(Ok);
        let markers = own_markers(ctx, &session, now);
        let verdict = judge_reading(ctx.config(), &session, [now, now], markers, stored, None);
        ctx.count(Count::TableLoads);
        return Ok(LoadedRecord {
            verdict,
            at: now,
            asked_at: None,
            in_store: InStore::default(),
        });
    }

    let reading = read(ctx, &session, freshness).await?;
    ctx.count(Count::StoreLoads);
    Ok(judge_read(ctx, &session, reading, now))
}

/// Loads several presented sessions in one round trip. The isolate's memory is not used, because it
/// may not know of sessions that ended elsewhere.
pub(crate) async fn load_among(
    ctx: &Ctx,
    rivals: &[Rc<PresentedSession>],
    freshness: Freshness,
) -> Result<Vec<LoadedRecord>, SessionError> {
    let now = ctx.now();
    let names: Vec<_> = rivals
        .iter()
        .map(|session| names_of(ctx, session, true))
        .collect();
    let asked: Vec<&str> = names
        .iter()
        .flatten()
        .flatten()
        .map(String::as_str)
        .collect();
    let mut answer = ctx
        .read(&asked, freshness.options(ctx.config()))
        .await?
        .into_iter();
    ctx.count(Count::StoreLoads);
    rivals
        .iter()
        .zip(&names)
        .map(|(session, names)| {
            Ok(judge_read(
                ctx,
                session,
                reading_of(ctx, session, names, &mut answer)?,
                now,
            ))
        })
        .collect()
}

/// Judges the store's answer together with everything else that is known.
fn judge_read(ctx: &Ctx, session: &PresentedSession, reading: Reading, now: i64) -> LoadedRecord {
    let key = session.identity.key;
    let Reading {
        mut markers,
        stored,
        at,
    } = reading;
    note_deaths(ctx, session, &markers, at);
    let own = own_markers(ctx, session, at);
    markers.add(own);
    let stored_version = stored
        .as_ref()
        .and_then(|stored| Some(stored.as_ref().ok()?.version));
    if let Some(version) = stored_version {
        ctx.memory().put_seen_in_store(&key, version);
    }
    // Read the memory again, because other requests have continued meanwhile.
    let Remembered {
        settled,
        in_flight,
        at_risk,
        ..
    } = ctx.memory().recall(&key, at, ctx.config().window());
    let is_older = |version| stored_version.is_none_or(|stored| stored < version);
    let replaced = at_risk && settled.as_ref().is_some_and(|it| is_older(it.version));
    let settled = if mutant!(flying_shown_to_loads) {
        in_flight.last().cloned().or(settled)
    } else {
        settled
    };
    let verdict = judge_reading(ctx.config(), session, [now, at], markers, stored, settled);

    let fresh = session.fresh.as_ref();
    let unstored = fresh.is_some_and(|fresh| fresh.unstored && is_older(fresh.version));
    match (&verdict.envelope, verdict.access) {
        (Some(envelope), Access::Live) => {
            ctx.memory().read(&key, envelope, now, at);
        }
        _ if verdict.outcome == Outcome::Revoked => ctx.memory().forget(&key),
        _ => {}
    }
    // A put that is already in flight is enough.
    let behind = (unstored || replaced || verdict.conflict) && in_flight.is_empty();
    LoadedRecord {
        verdict,
        at,
        asked_at: Some(now),
        in_store: InStore {
            behind,
            ..InStore::default()
        },
    }
}

/// True if this isolate has recently read the session's markers, and knows everything that the
/// browser has saved.
fn may_skip_the_store(
    ctx: &Ctx,
    session: &PresentedSession,
    remembered: &Remembered,
    now: i64,
) -> bool {
    let trusted = whole_milliseconds(ctx.config().settings().isolate_cache_ttl());
    let read_lately = remembered
        .markers_read_at
        .is_some_and(|at| (0..trusted).contains(&now.saturating_sub(at)));
    let known = remembered.settled.as_ref().is_some_and(|settled| {
        session
            .fresh
            .as_ref()
            .is_none_or(|fresh| settled.version >= fresh.version)
    });
    // A load must check whether the store still lacks it.
    if remembered.at_risk || session.fresh.as_ref().is_some_and(|fresh| fresh.unstored) {
        return false;
    }
    (read_lately || (remembered.markers_read_at.is_some() && mutant!(memory_trusted_for_ever)))
        && (known || (remembered.settled.is_some() && mutant!(memory_behind_cookie_used)))
}

/// Judges everything that is known. `stored` is the store's copy, `settled` this isolate's.
fn judge_reading(
    config: &Config,
    session: &PresentedSession,
    [asked_at, now]: [i64; 2],
    markers: Markers,
    stored: Option<Result<Envelope, Unreadable>>,
    settled: Option<Envelope>,
) -> Verdict {
    let ticket = &session.identity.ticket;
    let known = |envelope: &Envelope| {
        session
            .fresh
            .as_ref()
            .is_some_and(|fresh| fresh.version == envelope.version)
    };
    // The overlay is opened only if it can contain something new.
    let overlay = if settled.as_ref().is_some_and(known)
        || stored
            .as_ref()
            .is_some_and(|stored| stored.as_ref().is_ok_and(known))
    {
        None
    } else {
        session.overlay(config, now)
    };
    judge(LoadInput {
        now,
        asked_at,
        window: config.window(),
        idle: seconds(config.settings().idle_timeout()),
        lineage: ticket.lineage,
        minted_at: ticket.minted_at,
        end: ticket.end(config.age()),
        markers,
        stored,
        known: [overlay, settled],
        fresh: session
            .fresh
            .as_ref()
            .map(|fresh| (fresh.version, fresh.saved_at)),
        seen: session.seen,
    })
}

/// The store's answer for one session.
struct Reading {
    markers: Markers,
    stored: Option<Result<Envelope, Unreadable>>,
    at: i64,
}

/// Reads the record and its markers in one round trip.
async fn read(
    ctx: &Ctx,
    session: &PresentedSession,
    freshness: Freshness,
) -> Result<Reading, SessionError> {
    let key = session.identity.key;
    let options = freshness.options(ctx.config());
    let names = names_of(ctx, session, false);
    let asked: Vec<&str> = names.iter().flatten().map(String::as_str).collect();
    let mut answer = ctx.read(&asked, options).await?.into_iter();
    let mut reading = reading_of(ctx, session, &names, &mut answer)?;
    // For the first key of a session the marker of the lineage is not read, because the key's own
    // marker says the same, unless a location still shows a rotation from before the logout.
    let rotated = |marker: Marker| marker.death == Death::Rotated;
    if key.is_first() && reading.markers.key.is_some_and(rotated) {
        let name = ctx.config().names().dead_lineage(key.lineage);
        let lineage = ctx.read(&[&name], options).await?.pop().flatten();
        reading.markers.lineage = lineage.map(|text| Marker::decode(&text));
        reading.at = ctx.now();
    }
    Ok(reading)
}

/// The names to read for a session: its record, and the markers of its key, its lineage and its
/// owner. For a first key the lineage is included only with `lineage_too`.
fn names_of(ctx: &Ctx, session: &PresentedSession, lineage_too: bool) -> [Option<String>; 4] {
    let key = session.identity.key;
    let with_lineage = lineage_too || !key.is_first();
    [
        Some(session.identity.storage_key(ctx.config())),
        Some(ctx.config().names().dead_key(key.derived)),
        with_lineage.then(|| ctx.config().names().dead_lineage(key.lineage)),
        key.owner.map(|owner| ctx.config().names().owner(owner)),
    ]
}

/// Takes one value from `answer` for each of the requested `names`, in order.
fn reading_of(
    ctx: &Ctx,
    session: &PresentedSession,
    names: &[Option<String>; 4],
    answer: &mut impl Iterator<Item = Option<String>>,
) -> Result<Reading, SessionError> {
    let storage_key = names[0].as_deref().unwrap_or_default();
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
    let keys = &session.identity.keys;
    let sealed = ctx.config().settings().seal();
    let stored = record.map(|text| Envelope::open(&text, &keys.record, storage_key, sealed));
    Ok(Reading {
        markers,
        stored,
        at: ctx.now(),
    })
}

/// Remembers the markers that were read, so that a later but older answer does not revive the
/// session.
fn note_deaths(ctx: &Ctx, session: &PresentedSession, markers: &Markers, now: i64) {
    let key = session.identity.key;
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

/// The markers of this session that this isolate knows.
pub(crate) fn own_markers(ctx: &Ctx, session: &PresentedSession, now: i64) -> Markers {
    if mutant!(own_markers_forgotten) {
        return Markers::default();
    }
    let key = session.identity.key;
    let marker = |dead| ctx.memory().marker(dead, now);
    Markers {
        key: marker(Dead::Key(key.derived)),
        lineage: marker(Dead::Lineage(key.lineage)),
        owner: key.owner.and_then(|owner| ctx.memory().owner(owner, now)),
    }
}

/// An owner marker that cannot be read may concern any session, so it is an error.
pub(crate) fn read_owner_marker(text: &str) -> Result<OwnerMarker, SessionError> {
    OwnerMarker::decode(text).ok_or_else(|| {
        SessionError::new(
            ErrorCode::Unavailable,
            "the owner's marker in the store has a format that this release does not know",
        )
    })
}
