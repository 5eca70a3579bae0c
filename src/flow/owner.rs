//! The sessions of one owner: listing and ending them.
//!
//! The records under an owner's tag *are* the index, so it is always consistent. Listing needs no
//! token: it shows list metadata, which is sealed with a key of the secret.

use std::cmp::Reverse;
use std::collections::hash_map::Entry;
use std::collections::{BinaryHeap, HashMap};
use std::time::SystemTime;

use crate::flow::engine::Ctx;
use crate::flow::freshness::Freshness;
use crate::flow::load::read_owner_marker;
use crate::flow::markers::put_markers;
use crate::flow::stats::Count;
use crate::port::connector::{ConnectorErrorKind, ListedKey, PutOptions};
use crate::port::error::{ErrorCode, SessionError};
use crate::port::events::EventKind;
use crate::port::time::instant;
use crate::protocol::keys::{Dead, Id, KeyParts, Secret, SessionKey};
use crate::protocol::list_metadata::Listed;
use crate::protocol::revocation::{Death, MARKER_MAX_TTL, Marker, Markers, OwnerMarker, Progress};
use crate::session::marker_put::MarkerPut;

/// How often a 429 for an owner marker is waited out.
const PAUSES: u32 = 5;
/// The keys of one bulk read (Workers KV accepts 100).
const BULK: usize = 100;
/// The most sessions over the limit that one login ends. The next login continues.
const ENDED_BY_A_LOGIN: usize = 100;
/// The number of sessions that are ended between two puts of the progress.
const NOTE_EVERY: usize = 100;
/// How long an interrupted call can be continued, in seconds.
const PROGRESS_TTL: u32 = 86_400;

/// One session of an owner, as [`Sessions::list`](crate::Sessions::list) shows it.
///
/// ```
/// # edge_session::doc::run(async |sessions| {
/// # use edge_session::CookieHeader;
/// # let mut session = sessions.load(CookieHeader::none()).await;
/// session.bind("ada")?;
/// # let _ = sessions.commit(&mut session, 200).await?;
/// for device in sessions.list("ada").await? {
///     println!("{:?} {:?}", device.last_written, device.user_agent);
/// }
/// # Ok(()) });
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OwnedSession {
    /// The session key, for [`Sessions::revoke`](crate::Sessions::revoke).
    pub key: SessionKey,
    /// When the session was created.
    pub created: SystemTime,
    /// When it was last written.
    pub last_written: SystemTime,
    /// The user agent that last wrote it.
    pub user_agent: Option<String>,
    /// The country code of that request.
    pub place: Option<String>,
}

/// `sessions`, most recently written first.
fn newest_first(sessions: Vec<(KeyParts, Listed)>) -> impl Iterator<Item = (KeyParts, Listed)> {
    let places = sessions.iter().enumerate();
    let mut order: BinaryHeap<(i64, usize)> = places
        .map(|(place, (_, listed))| (listed.last_written, place))
        .collect();
    let mut sessions: Vec<_> = sessions.into_iter().map(Some).collect();
    std::iter::from_fn(move || sessions[order.pop()?.1].take())
}

/// The entries of a list for `living`, the sessions of an owner by their keys, newest first.
pub(crate) fn shown(ctx: &Ctx, owner: &str, living: Vec<(KeyParts, Listed)>) -> Vec<OwnedSession> {
    let secrets = ctx.config().ring().iter();
    let secrets: Vec<(Id, &Secret)> = secrets
        .map(|secret| (secret.owner_tag(owner), secret))
        .collect();
    let public = |key: &KeyParts| {
        let mut secrets = secrets.iter();
        let (_, secret) = secrets.find(|(tag, _)| key.owner == Some(*tag))?;
        Some(SessionKey::of(secret.public_key(key)))
    };
    newest_first(living)
        .filter_map(|(key, listed)| {
            Some(OwnedSession {
                key: public(&key)?,
                created: instant(listed.created),
                last_written: instant(listed.last_written),
                user_agent: listed.user_agent,
                place: listed.place,
            })
        })
        .collect()
}

/// The live sessions of `owner`, newest first.
pub(crate) async fn list(ctx: &Ctx, owner: &str) -> Result<Vec<OwnedSession>, SessionError> {
    let mut living: Vec<(KeyParts, Listed)> = Vec::new();
    let several = ctx.config().ring().iter().len() > 1;
    ctx.living(owner, |key, listed| {
        let mut known = living.iter_mut();
        match known.find(|(known, _)| several && known.lineage == key.lineage) {
            Some(known) if known.1.last_written < listed.last_written => *known = (key, listed),
            Some(_) => {}
            None => living.push((key, listed)),
        }
    })
    .await?;
    Ok(shown(ctx, owner, living))
}

/// Ends the session of `key`.
pub(crate) async fn revoke(ctx: &Ctx, key: KeyParts) -> Result<(), SessionError> {
    let markers = MarkerPut::revoked(&key, None, ctx.now());
    for marker in &markers {
        marker.note(ctx);
    }
    put_markers(ctx, &markers).await
}

impl Ctx {
    /// Ends every session of `owner`, except the spared lineages.
    pub(crate) async fn revoke_all(&self, owner: &str, spared: &[Id]) -> Result<(), SessionError> {
        // First the owner's marker, which also covers sessions that are too new to be listed.
        let mut begun = Vec::new();
        for secret in self.config().ring().iter() {
            let tag = secret.owner_tag(owner);
            let (marker, progress) = self.end_all_of(tag, spared).await?;
            begun.push((secret, tag, marker.at, progress));
        }
        // Then the markers of each listed session, so that a later owner marker that spares others
        // does not revive one.
        let mut done = Vec::new();
        for (secret, tag, at, progress) in begun {
            match self.end_listed(secret, tag, at, progress, spared).await {
                Ok(is_kept) => done.extend(is_kept.then_some(tag)),
                // In a store that cannot list, the owner marker has to be enough.
                Err(error) if error.code() == ErrorCode::Unsupported => {}
                Err(error) => return Err(error),
            }
        }
        for tag in done {
            self.close_progress(tag).await;
        }
        Ok(())
    }

    /// The records of a page. Entries that do not open were not written by us.
    fn records_of(&self, page: Vec<ListedKey>, secret: &Secret) -> Vec<(KeyParts, Listed)> {
        let records = page.into_iter().filter_map(|listed| {
            let key = self.config().names().session_key(&listed.name)?;
            Some((key, Listed::open(&listed.metadata?, secret, &listed.name)?))
        });
        records.collect()
    }

    /// Visits the newest record of each live lineage of the owner. Only one page is in memory at a
    /// time. Keys are listed in byte order, so the records of a lineage are adjacent, except for a
    /// session that was moved from one secret to another: it may be visited once for each.
    async fn living(
        &self,
        owner: &str,
        mut visit: impl FnMut(KeyParts, Listed),
    ) -> Result<(), SessionError> {
        for secret in self.config().ring().iter() {
            let tag = secret.owner_tag(owner);
            let prefix = self.config().names().records_of(tag);
            let mut cursor: Option<String> = None;
            let mut newest: Option<(KeyParts, Listed)> = None;
            loop {
                let page = self.list(&prefix, cursor.as_deref()).await?;
                let records = self.records_of(page.keys, secret);
                for (key, listed) in self.living_of(tag, records).await? {
                    newest = match newest.take() {
                        Some((known, it)) if known.lineage == key.lineage => {
                            let is_newer = listed.last_written > it.last_written;
                            Some(if is_newer { (key, listed) } else { (known, it) })
                        }
                        other => {
                            if let Some((key, listed)) = other {
                                visit(key, listed);
                            }
                            Some((key, listed))
                        }
                    };
                }
                cursor = page.cursor;
                if cursor.is_none() {
                    break;
                }
            }
            if let Some((key, listed)) = newest {
                visit(key, listed);
            }
        }
        Ok(())
    }

    /// The records of an owner that no marker has ended.
    async fn living_of(
        &self,
        tag: Id,
        mut records: Vec<(KeyParts, Listed)>,
    ) -> Result<Vec<(KeyParts, Listed)>, SessionError> {
        if records.is_empty() {
            return Ok(records);
        }
        let now = self.now();
        // Each marker is read once, even if several records share it.
        let mut places: HashMap<Dead, usize> = HashMap::new();
        let mut names: Vec<String> = vec![self.config().names().owner(tag)];
        for (key, _) in &records {
            for dead in [Dead::Key(key.derived), Dead::Lineage(key.lineage)] {
                if let Entry::Vacant(place) = places.entry(dead) {
                    place.insert(names.len());
                    names.push(self.config().names().dead(dead));
                }
            }
        }
        let mut texts: Vec<Option<String>> = Vec::with_capacity(names.len());
        for chunk in names.chunks(BULK) {
            let chunk: Vec<&str> = chunk.iter().map(|name| &**name).collect();
            texts.extend(
                self.read(&chunk, Freshness::Store.options(self.config()))
                    .await?,
            );
        }
        let stored = texts[0].as_deref().map(read_owner_marker).transpose()?;
        let owner = OwnerMarker::latest(stored, self.memory().owner(tag, now));
        let marker = |dead| {
            let text = texts[*places.get(&dead)?].as_deref();
            let own = self.memory().marker(dead, now);
            let stored = text.map(Marker::decode).into_iter();
            stored.chain(own).reduce(Marker::or_earlier)
        };
        records.retain(|(key, listed)| {
            let markers = Markers {
                key: marker(Dead::Key(key.derived)),
                lineage: marker(Dead::Lineage(key.lineage)),
                owner: owner.clone(),
            };
            let death = markers.death(key.lineage, Some(listed.bound_at));
            death.is_none() && now < listed.hard_end
        });
        Ok(records)
    }

    /// True if the record of `key` exists and no marker has ended it.
    pub(crate) async fn exists(&self, key: KeyParts) -> Result<bool, SessionError> {
        // A session that this isolate has ended is dead here immediately, even if the store still
        // shows it.
        let now = self.now();
        let ended = |dead| self.memory().marker(dead, now).is_some();
        if ended(Dead::Key(key.derived)) || ended(Dead::Lineage(key.lineage)) {
            return Ok(false);
        }
        let record = self.config().names().record(&key);
        let names = [
            Some(record.clone()),
            Some(self.config().names().dead_key(key.derived)),
            Some(self.config().names().dead_lineage(key.lineage)),
            key.owner.map(|tag| self.config().names().owner(tag)),
        ];
        let asked: Vec<&str> = names.iter().flatten().map(String::as_str).collect();
        let answer = self
            .read(&asked, Freshness::Shortest.options(self.config()))
            .await?;
        let [Some(_), None, None, owner @ ..] = &answer[..] else {
            return Ok(false);
        };
        let stored = owner.iter().flatten().next();
        let stored = stored.map(|text| read_owner_marker(text)).transpose()?;
        let own = key.owner.and_then(|tag| self.memory().owner(tag, now));
        let markers: Vec<OwnerMarker> = stored.into_iter().chain(own).collect();
        if markers.is_empty() {
            return Ok(true);
        }
        // Only the list metadata says since when the session has been bound to the owner.
        let page = match self.list(&record, None).await {
            Ok(page) => page,
            Err(error) if error.code() == ErrorCode::Unsupported => return Ok(true),
            Err(error) => return Err(error),
        };
        let listed = page.keys.into_iter().find(|listed| listed.name == record);
        let metadata = listed.and_then(|listed| listed.metadata);
        let bound_at = metadata.and_then(|text| {
            let mut opened = self
                .config()
                .ring()
                .iter()
                .filter_map(|it| Listed::open(&text, it, &record));
            Some(opened.next()?.bound_at)
        });
        let killed = |at| markers.iter().any(|owner| owner.kills(key.lineage, at));
        Ok(bound_at.is_some_and(|bound_at| !killed(bound_at)))
    }

    /// Puts the owner marker that ends the sessions bound until now. Returns the marker of this
    /// call, and the progress of an earlier call.
    async fn end_all_of(
        &self,
        tag: Id,
        spared: &[Id],
    ) -> Result<(OwnerMarker, Option<Progress>), SessionError> {
        let (name, progress_name) = (
            self.config().names().owner(tag),
            self.config().names().progress(tag),
        );
        let mut called: Option<OwnerMarker> = None;
        let mut pauses = 0;
        loop {
            let options = Freshness::Shortest.options(self.config());
            let mut answer = self.read(&[&name, &progress_name], options).await?;
            let progress = answer.pop().flatten();
            let progress = progress.and_then(|text| Progress::decode(&text));
            // The stored progress may be older than that of this isolate.
            let progress = self.memory().progress(tag, self.now()).or(progress);
            let stored = answer.pop().flatten();
            let stored = stored.map(|text| read_owner_marker(&text)).transpose()?;
            let now = self.now();
            let known = OwnerMarker::latest(stored, self.memory().owner(tag, now));
            let called =
                called.get_or_insert_with(|| OwnerMarker::later_than(known.as_ref(), now, spared));
            // Another call may have happened while this one waited. A later marker is never
            // replaced by an earlier one.
            let marker = match known {
                Some(known) if known.at > called.at => known.after_waiting(called),
                _ => called.clone(),
            };
            let until = now.saturating_add(self.config().staleness_bound());
            self.memory().note_owner(tag, marker.clone(), until);
            let options = PutOptions::ttl(MARKER_MAX_TTL);
            match self.put(&name, &marker.encode(), &options).await {
                Ok(()) => {
                    self.memory().note_owner_put(tag, self.now());
                    return Ok((called.clone(), progress));
                }
                // Unlike with other markers, the put that was accepted may spare other sessions.
                Err(error)
                    if error.kind() == ConnectorErrorKind::RateLimited && pauses < PAUSES =>
                {
                    pauses += 1;
                    self.wait_for_next_write().await;
                }
                Err(error) => {
                    if error.is_timeout() {
                        self.memory().note_owner_timeout(tag, until);
                    }
                    return Err(error.into());
                }
            }
        }
    }

    /// Ends each listed lineage of the owner that was bound at or before `at`, page by page, except
    /// those spared. Continues from `progress`. Returns true if the store may contain progress.
    async fn end_listed(
        &self,
        secret: &Secret,
        tag: Id,
        at: i64,
        progress: Option<Progress>,
        spared: &[Id],
    ) -> Result<bool, SessionError> {
        let prefix = self.config().names().records_of(tag);
        let now = self.now();
        let mut progress = progress.filter(Progress::is_begun).unwrap_or(Progress {
            // A very recent login may not be listed yet.
            since: now.saturating_sub(self.config().window()),
            ..Progress::default()
        });
        let begun = progress.clone();
        let newly = spared.iter().filter(|it| !begun.spared.contains(it));
        progress.spared.extend(newly);
        // The pages before the point where the previous call stopped are listed again, for sessions
        // that were bound since and for those which that call spared: only a listing shows that
        // they belong to this owner.
        let mut is_to_look_back = begun.is_begun();
        let mut looks_back = false;
        let mut is_kept = begun.is_begun();
        let mut is_stored_cursor = begun.cursor.is_some();
        let mut cursor = begun.cursor.clone();
        let mut last = None;
        loop {
            let page = match self.list(&prefix, cursor.as_deref()).await {
                // The stored cursor may be too old for the store.
                Err(error) if is_stored_cursor && error.code() == ErrorCode::Unavailable => {
                    (cursor, progress.cursor, is_stored_cursor) = (None, None, false);
                    is_to_look_back = begun.done.is_some();
                    continue;
                }
                page => page?,
            };
            is_stored_cursor = false;
            let mut lineages: Vec<(Id, Option<i64>)> = Vec::new();
            for (key, listed) in self.records_of(page.keys, secret) {
                let is_left = if looks_back {
                    listed.bound_at > begun.since || begun.spared.contains(&key.lineage)
                } else {
                    !begun.has_done(key.lineage)
                };
                let bound = is_left && listed.bound_at <= at;
                let ends = bound && now < listed.hard_end && !spared.contains(&key.lineage);
                if !ends || mutant!(listed_not_ended) {
                    continue;
                }
                // The first key of a lineage has the latest end. Without it the end is unknown.
                let end = key.is_first().then_some(listed.hard_end);
                // The records of a lineage are adjacent.
                if last != Some(key.lineage) {
                    last = Some(key.lineage);
                    lineages.push((key.lineage, end));
                } else if let (Some(end), Some(known)) = (end, lineages.last_mut()) {
                    known.1 = Some(end);
                }
            }
            let mut left = lineages.chunks(NOTE_EVERY);
            while let Some(some) = left.next() {
                self.end_lineages(some).await?;
                if looks_back {
                    continue;
                }
                progress.done = some.last().map(|(lineage, _)| *lineage);
                if left.len() > 0 {
                    is_kept |= self.keep_progress(tag, &progress).await;
                }
            }
            cursor = page.cursor;
            match &cursor {
                Some(_) if !looks_back => {
                    progress.cursor.clone_from(&cursor);
                    is_kept |= self.keep_progress(tag, &progress).await;
                }
                Some(_) => {}
                None if is_to_look_back => {
                    (is_to_look_back, looks_back, last) = (false, true, None);
                }
                None => return Ok(is_kept),
            }
        }
    }

    /// Tries to put `progress`, and remembers it in the isolate. Lost progress only costs the next
    /// call time. Returns false if the store did not accept it.
    async fn keep_progress(&self, tag: Id, progress: &Progress) -> bool {
        self.remember_progress(tag, progress);
        let options = PutOptions::ttl(PROGRESS_TTL);
        let (name, text) = (self.config().names().progress(tag), progress.encode());
        let put = self.put_once(&name, &text, options).await;
        // After a timeout the store may still apply it.
        put.map_or_else(|error| error.is_timeout(), |()| true)
    }

    fn remember_progress(&self, tag: Id, progress: &Progress) {
        let until = self.now().saturating_add(self.config().staleness_bound());
        self.memory().note_progress(tag, progress.clone(), until);
    }

    /// Resets the progress, so that the next call starts at the beginning. This is a put and not a
    /// delete, so that the isolate remembers it immediately. A store that accepts one write a
    /// second for each key has often just accepted the last progress, so this is retried.
    async fn close_progress(&self, tag: Id) {
        let begin = Progress::default();
        self.remember_progress(tag, &begin);
        let (name, text) = (self.config().names().progress(tag), begin.encode());
        let options = PutOptions::ttl(PROGRESS_TTL);
        let mut put = self.put(&name, &text, &options).await;
        if let Err(error) = &put
            && error.kind() == ConnectorErrorKind::RateLimited
        {
            self.wait_for_next_write().await;
            put = self.put(&name, &text, &options).await;
        }
        // All sessions have ended. Old progress in the store stays true; it only makes the next
        // call of another isolate list twice.
        drop(put);
    }

    /// Puts the missing markers of each lineage.
    async fn end_lineages(&self, lineages: &[(Id, Option<i64>)]) -> Result<(), SessionError> {
        let now = self.now();
        for some in lineages.chunks(BULK / 2) {
            let mut markers: Vec<MarkerPut> = some
                .iter()
                .flat_map(|(lineage, end)| MarkerPut::lineage_revoked(*lineage, *end, now))
                .collect();
            for marker in &markers {
                marker.note(self);
            }
            // The store may still show this isolate an absence from before it put them.
            markers.retain(|marker| !marker.was_put(self));
            if markers.is_empty() {
                continue;
            }
            let names: Vec<String> = markers
                .iter()
                .map(|marker| marker.name(self.config()))
                .collect();
            let names: Vec<&str> = names.iter().map(|name| &**name).collect();
            let options = Freshness::Store.options(self.config());
            let mut stored = self.read(&names, options).await?.into_iter();
            markers.retain(|_| {
                let marker = stored.next().flatten().map(|text| Marker::decode(&text));
                marker.is_none_or(|marker| marker.death != Death::Revoked)
            });
            put_markers(self, &markers).await?;
        }
        Ok(())
    }

    /// Ends the oldest sessions of an owner who has more than allowed, except `newest`. The login
    /// is valid even if this fails.
    pub(crate) async fn enforce_limit(&self, owner: &str, newest: Id) {
        if let Err(error) = self.end_oldest(owner, newest).await {
            self.count(Count::LimitFailures);
            let reason = Some(error.code().as_str());
            self.report(EventKind::LimitNotEnforced, Some(newest), reason);
        }
    }

    async fn end_oldest(&self, owner: &str, newest: Id) -> Result<(), SessionError> {
        let most = self.config().settings().max_per_owner() as usize;
        if most == 0 {
            return Ok(());
        }
        // The newest sessions so far: as many as may live beside the new one, which counts even if
        // it is not listed yet.
        let mut kept: BinaryHeap<Reverse<(i64, Id, Option<i64>)>> = BinaryHeap::new();
        let mut over: Vec<(Id, Option<i64>)> = Vec::new();
        let several = self.config().ring().iter().len() > 1;
        let all = self.living(owner, |key, listed| {
            let is_known = |lineage: Id| {
                kept.iter().any(|Reverse((_, kept, _))| *kept == lineage)
                    || over.iter().any(|(over, _)| *over == lineage)
            };
            if key.lineage == newest || (several && is_known(key.lineage)) {
                return;
            }
            let end = key.is_first().then_some(listed.hard_end);
            kept.push(Reverse((listed.created, key.lineage, end)));
            if kept.len() >= most
                && let Some(Reverse((_, lineage, end))) = kept.pop()
                && over.len() < ENDED_BY_A_LOGIN
            {
                over.push((lineage, end));
            }
        });
        all.await?;
        let now = self.now();
        let markers: Vec<MarkerPut> = over
            .into_iter()
            .flat_map(|(lineage, end)| MarkerPut::lineage_revoked(lineage, end, now))
            .collect();
        for marker in &markers {
            marker.note(self);
        }
        put_markers(self, &markers).await
    }
}
