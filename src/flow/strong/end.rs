//! Ending sessions: every row of a session, including rotated keys, becomes a tombstone in one
//! transaction.

use crate::flow::end::Left;
use crate::flow::engine::Ctx;
use crate::flow::strong::ask::Answered;
use crate::port::error::SessionError;
use crate::port::strong::Row;
use crate::port::transaction::{Change, Transaction};
use crate::protocol::keys::{Id, KeyParts, RecordKey};
use crate::protocol::strong::place::{row_key, rows_of_lineage, shard};
use crate::protocol::strong::revision::revision;
use crate::protocol::strong::row::{RowContent, RowValue, ended};
use crate::protocol::strong::walk::{MOVED, Walk, moved_to};
use crate::protocol::version::Version;
use crate::session::presented::ENDS_MAX;
use crate::session::to_end::ToEnd;

/// The most sessions of one request that are looked at, of which [`ENDS_MAX`] may be alive.
const ASKED_MAX: usize = 8 * ENDS_MAX;

/// Ends the sessions in `ends`. With `may_stand`, reads first which have ended already. Returns
/// those that could not be ended.
pub(crate) async fn end(ctx: &Ctx, mut ends: Vec<ToEnd>, may_stand: bool) -> Option<Left> {
    if ends.len() > ASKED_MAX {
        // Each try starts at another one, so that each has its turn some time.
        let try_at = usize::try_from(ctx.now() / 1_000).unwrap_or_default();
        let start = try_at % ends.len();
        ends.rotate_left(start);
    }
    let (mut failed, mut untried) = (Vec::new(), Vec::new());
    let mut ended = 0;
    for (place, it) in ends.into_iter().enumerate() {
        if ended == ENDS_MAX || place == ASKED_MAX {
            untried.push(it.stone);
            continue;
        }
        match end_unless_ended(ctx, &it, may_stand).await {
            // One that was dead already leaves room for another.
            Ok(Before::Dead) => {}
            Ok(Before::Unknown) => ended += 1,
            Err(error) => {
                ended += 1;
                failed.push((it.stone, error));
            }
        }
    }
    let mut left = Left::of_untried(untried.into_iter());
    for (stone, error) in failed {
        left.add(stone, error);
    }
    left.unless_empty()
}

/// Ends a session in every shard that it may be in.
pub(crate) async fn end_session(ctx: &Ctx, it: &ToEnd) -> Result<(), SessionError> {
    end_unless_ended(ctx, it, false).await.map(drop)
}

async fn end_unless_ended(ctx: &Ctx, it: &ToEnd, may_stand: bool) -> Result<Before, SessionError> {
    end_key(ctx, &it.stone.key(), it.record_key.as_ref(), may_stand).await
}

/// What a session was before it was ended.
pub(crate) enum Before {
    /// It had ended, or was not there. If only its key was not there, others of its keys have ended now.
    Dead,
    Unknown,
}

/// Ends the session of `key`. `record_key` opens its record, if known.
pub(crate) async fn end_key(
    ctx: &Ctx,
    key: &KeyParts,
    record_key: Option<&RecordKey>,
    may_stand: bool,
) -> Result<Before, SessionError> {
    let mut walk = walk_of(ctx, key);
    let may_move = walk.check().is_some();
    if !may_move && !may_stand {
        end_everywhere(ctx, key, Vec::new(), walk).await?;
        return Ok(Before::Unknown);
    }
    let shard = shard(ctx.config().settings().key_prefix(), key);
    let row_key = row_key(key);
    let mut asked = vec![&*row_key];
    if may_move {
        asked.push(MOVED);
    }
    let mut rows = ctx.read_rows(&shard, &asked).await?.into_iter();
    let (row, moved) = (rows.next().flatten(), rows.next().flatten());
    let value = row.as_ref().map(|row| &*row.value);
    let mut elsewhere = match record_key {
        Some(record_key) if may_move => elsewhere_by_record(ctx, key, value, record_key),
        _ => Vec::new(),
    };
    let named = value.map(|value| RowValue::parse(value).elsewhere());
    add_tags(&mut elsewhere, key, named.unwrap_or_default());
    found_move(&mut walk, &mut elsewhere, key, moved.as_ref());
    // Putting it again would look like a logout at this moment. A row that is gone says nothing about
    // the others of the session: the tombstone of a rotated key may have made room for them.
    let stands = |value| matches!(RowValue::parse(value), RowValue::Ended { .. });
    let had_ended = may_stand && value.is_some_and(stands);
    if had_ended {
        walk.advance();
    }
    end_everywhere(ctx, key, elsewhere, walk).await?;
    Ok(if had_ended || (may_stand && row.is_none()) {
        Before::Dead
    } else {
        Before::Unknown
    })
}

/// A walk that starts in the shard of `key`.
pub(crate) fn walk_of(ctx: &Ctx, key: &KeyParts) -> Walk {
    Walk::new(key.owner.is_some() && ctx.config().ring().iter().len() > 1)
}

/// The tags of an owner, oldest secret first.
pub(crate) fn tags_of(ctx: &Ctx, owner: &str) -> Vec<Id> {
    let secrets = ctx.config().ring().iter().rev();
    secrets.map(|secret| secret.owner_tag(owner)).collect()
}

/// The same, without `here`.
pub(crate) fn other_tags_of(ctx: &Ctx, owner: &str, here: Option<Id>) -> Vec<Id> {
    if ctx.config().ring().iter().len() < 2 {
        return Vec::new();
    }
    let mut tags = tags_of(ctx, owner);
    tags.retain(|tag| Some(*tag) != here);
    tags
}

/// The other shards in which the session of `key` must be ended. Its record names the owner; the
/// tag under another secret cannot be derived from a tag.
fn elsewhere_by_record(
    ctx: &Ctx,
    key: &KeyParts,
    value: Option<&str>,
    record_key: &RecordKey,
) -> Vec<Id> {
    let sealed = ctx.config().settings().seal();
    let record = RowContent::open(value, record_key, &row_key(key), sealed).record;
    let bound = record.and_then(|record| record.ok()?.bound);
    bound.map_or_else(Vec::new, |bound| {
        other_tags_of(ctx, &bound.owner, key.owner)
    })
}

/// Adds `tags` to those `elsewhere`, but for that of `key`.
pub(crate) fn add_tags(elsewhere: &mut Vec<Id>, key: &KeyParts, tags: Vec<Id>) {
    for tag in tags {
        if Some(tag) != key.owner && !elsewhere.contains(&tag) {
            elsewhere.push(tag);
        }
    }
}

/// Applies the row of the last move out of a shard.
fn found_move(walk: &mut Walk, elsewhere: &mut Vec<Id>, key: &KeyParts, row: Option<&Row>) {
    let tags = row.map(|row| moved_to(&row.value));
    add_tags(elsewhere, key, tags.unwrap_or_default());
    walk.reach(1 + elsewhere.len());
    walk.found(row.map(|row| &*row.revision));
}

/// Ends the rows of a session in the shard of `key`, and in the owner's shards under the tags
/// `elsewhere`: another request with the same key may have moved it there. The tombstones in its
/// own shard name these tags, for requests that find them before this is finished.
///
/// Its own shard comes first: once its row is dead there, a move from it fails.
pub(crate) async fn end_everywhere(
    ctx: &Ctx,
    key: &KeyParts,
    mut elsewhere: Vec<Id>,
    walk: Walk,
) -> Result<(), SessionError> {
    let mut walk = walk.and(elsewhere.len());
    let mut replays = 0;
    while let Some(at) = walk.shard() {
        let other = at.checked_sub(1).and_then(|at| elsewhere.get(at));
        let (there, named) = match other {
            None => (*key, &elsewhere[..]),
            Some(_) if mutant!(strong_ended_in_one_shard) => return Ok(()),
            Some(tag) => {
                let owner = Some(*tag);
                (KeyParts { owner, ..*key }, &[][..])
            }
        };
        let transaction = Transaction {
            shard: shard(ctx.config().settings().key_prefix(), &there),
            checks: walk.check().into_iter().collect(),
            writes: vec![end_of_rows(ctx, &there, named)?],
        };
        match ctx.transact(transaction).await? {
            Answered::Done => walk.advance(),
            Answered::Conflict { mut rows, .. } => {
                let row = rows.pop().flatten();
                found_move(&mut walk, &mut elsewhere, key, row.as_ref());
                ctx.pause_or_give_up(&mut replays).await?;
            }
        }
    }
    Ok(())
}

fn end_of_rows(ctx: &Ctx, key: &KeyParts, elsewhere: &[Id]) -> Result<Change, SessionError> {
    let prefix = if mutant!(strong_only_this_key_ended) {
        row_key(key)
    } else {
        rows_of_lineage(key)
    };
    Ok(Change::Replace {
        prefix,
        except: Vec::new(),
        value: ended(ctx.now(), elsewhere),
        revision: revision(Version::default(), ctx.random()?),
    })
}
