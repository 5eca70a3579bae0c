//! Ending sessions: every row of a session, rotated keys included, becomes a tombstone in one
//! transaction.

use crate::flow::end::Left;
use crate::flow::engine::Ctx;
use crate::flow::strong::ask::Answered;
use crate::port::error::SessionError;
use crate::port::transaction::{Change, Transaction};
use crate::protocol::keys::{Id, KeyParts};
use crate::protocol::strong::place::{row_key, rows_of_lineage, shard};
use crate::protocol::strong::revision::revision;
use crate::protocol::strong::row::{RowContent, RowValue, ended};
use crate::protocol::strong::walk::Walk;
use crate::protocol::version::Version;
use crate::session::presented::ENDS_MAX;
use crate::session::to_end::ToEnd;

/// Ends each of the sessions that `ends` names. `may_stand` looks at what is there first. Gives what
/// is left.
pub(crate) async fn end(ctx: &Ctx, ends: Vec<ToEnd>, may_stand: bool) -> Option<Left> {
    let mut ends = ends;
    let untried = ends.split_off(ends.len().min(ENDS_MAX));
    let mut left = Left::of_untried(untried.into_iter().map(|it| it.stone));
    for it in ends {
        if let Err(error) = end_unless_ended(ctx, &it, may_stand).await {
            left.add(it.stone, error);
        }
    }
    left.unless_empty()
}

async fn end_unless_ended(ctx: &Ctx, it: &ToEnd, may_stand: bool) -> Result<(), SessionError> {
    let key = it.stone.key();
    let is_alone = key.owner.is_none() || ctx.config().ring().iter().len() < 2;
    if is_alone && !may_stand {
        return end_by_key(ctx, &key).await;
    }
    let shard = shard(ctx.config().settings().key_prefix(), &key);
    let row_key = row_key(&key);
    let row = ctx.read_row(&shard, &row_key).await?;
    let value = row.as_ref().map(|row| &*row.value);
    let elsewhere = if is_alone {
        Vec::new()
    } else {
        elsewhere(ctx, it, value, &row_key)
    };
    // Put again, it would be taken for a logout of this moment.
    let stands = |value| matches!(RowValue::parse(value), RowValue::Ended { .. });
    let walk = if may_stand && value.is_none_or(stands) {
        Walk::after_first(1 + elsewhere.len())
    } else {
        Walk::through(1 + elsewhere.len())
    };
    end_everywhere(ctx, &key, &elsewhere, walk).await
}

/// Ends a session in every shard that it may be in.
pub(crate) async fn end_session(ctx: &Ctx, it: &ToEnd) -> Result<(), SessionError> {
    end_unless_ended(ctx, it, false).await
}

/// Ends the session of `key`, of whose owner nothing more is known.
pub(crate) async fn end_by_key(ctx: &Ctx, key: &KeyParts) -> Result<(), SessionError> {
    end_everywhere(ctx, key, &[], Walk::through(1)).await
}

/// The tags of an owner, that of the oldest secret first.
pub(crate) fn tags_of(ctx: &Ctx, owner: &str) -> Vec<Id> {
    let secrets = ctx.config().ring().iter().rev();
    secrets.map(|secret| secret.owner_tag(owner)).collect()
}

/// The same but for `here`.
pub(crate) fn other_tags_of(ctx: &Ctx, owner: &str, here: Option<Id>) -> Vec<Id> {
    if ctx.config().ring().iter().len() < 2 {
        return Vec::new();
    }
    let mut tags = tags_of(ctx, owner);
    tags.retain(|tag| Some(*tag) != here);
    tags
}

/// Where else a session is to be ended, as its row tells: a record names its owner, and a tombstone
/// that somebody else has just put has the tags. A tag does not say what it becomes under another
/// secret.
fn elsewhere(ctx: &Ctx, it: &ToEnd, value: Option<&str>, row_key: &str) -> Vec<Id> {
    let named = value.map_or_else(Vec::new, |value| RowValue::parse(value).elsewhere());
    let Some(record_key) = it.record_key.as_ref().filter(|_| named.is_empty()) else {
        return named;
    };
    let sealed = ctx.config().settings().seal();
    let record = RowContent::open(value, record_key, row_key, sealed).record;
    let bound = record.and_then(|record| record.ok()?.bound);
    bound.map_or_else(Vec::new, |bound| {
        other_tags_of(ctx, &bound.owner, it.stone.owner)
    })
}

/// Ends the rows of a session in the shard of `key`, and in those that its owner has under the tags
/// `elsewhere`: somebody with the same key may have moved it there. The tombstones in its own shard
/// name these, for whoever finds them before that is done.
///
/// Its own shard comes before them: once its row is dead there, a move from it fails.
pub(crate) async fn end_everywhere(
    ctx: &Ctx,
    key: &KeyParts,
    elsewhere: &[Id],
    mut walk: Walk,
) -> Result<(), SessionError> {
    let mut replays = 0;
    while let Some(at) = walk.shard() {
        let other = at.checked_sub(1).and_then(|at| elsewhere.get(at));
        let (key, named) = match other {
            None => (*key, elsewhere),
            Some(_) if mutant!(strong_ended_in_one_shard) => return Ok(()),
            Some(tag) => (KeyParts { owner: Some(*tag), ..*key }, &[][..]),
        };
        let transaction = Transaction {
            shard: shard(ctx.config().settings().key_prefix(), &key),
            checks: walk.check().into_iter().collect(),
            writes: vec![end_of_rows(ctx, &key, named)?],
        };
        match ctx.transact(transaction).await? {
            Answered::Done => walk.advance(),
            Answered::Conflict { mut rows, .. } => {
                walk.found(rows.pop().flatten().map(|row| row.revision));
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
