//! The sessions of one owner, who has one shard for each secret of the ring.

use crate::flow::engine::Ctx;
use crate::flow::isolate::Memory;
use crate::flow::owner::{OwnedSession, shown};
use crate::flow::strong::ask::Answered;
use crate::flow::strong::end::{end_everywhere, other_tags_of, tags_of, walk_of};
use crate::flow::strong::epoch::{epoch_of, expected_epoch, put_epoch};
use crate::port::error::SessionError;
use crate::port::strong::Row;
use crate::port::transaction::{Change, Transaction};
use crate::protocol::keys::{Id, KeyParts};
use crate::protocol::list_metadata::Listed;
use crate::protocol::revocation::OwnerMarker;
use crate::protocol::strong::GRACE;
use crate::protocol::strong::epoch::EPOCH_LIVES;
use crate::protocol::strong::place::{
    row_key, rows_of_lineage, rows_of_owner, session_key, shard, shard_of_owner,
};
use crate::protocol::strong::revision::revision;
use crate::protocol::strong::row::{RowValue, ended};
use crate::protocol::strong::walk::Walk;
use crate::protocol::version::Version;

/// The live sessions of `owner`, newest first.
pub(crate) async fn list(ctx: &Ctx, owner: &str) -> Result<Vec<OwnedSession>, SessionError> {
    let living = living(ctx, owner).await?;
    Ok(shown(ctx, owner, living))
}

/// The newest row of each live session of `owner`. Tombstones have no metadata.
pub(crate) async fn living(
    ctx: &Ctx,
    owner: &str,
) -> Result<Vec<(KeyParts, Listed)>, SessionError> {
    let mut living: Vec<(KeyParts, Listed)> = Vec::new();
    for secret in ctx.config().ring().iter().rev() {
        let tag = secret.owner_tag(owner);
        let shard = shard_of_owner(ctx.config().settings().key_prefix(), tag);
        let prefix = rows_of_owner(tag);
        let mut cursor: Option<String> = None;
        loop {
            let page = ctx.list_rows(&shard, &prefix, cursor.as_deref()).await?;
            for listed in page.keys {
                let opened = || {
                    let key = session_key(&listed.name)?;
                    Some((key, Listed::open(&listed.metadata?, secret, &listed.name)?))
                };
                let Some((key, listed)) = opened() else {
                    continue;
                };
                // A moving session is in two shards for a moment.
                let known = living.iter_mut().find(|(it, _)| it.lineage == key.lineage);
                match known {
                    Some(known) if known.1.last_written <= listed.last_written => {
                        *known = (key, listed);
                    }
                    Some(_) => {}
                    None => living.push((key, listed)),
                }
            }
            cursor = page.cursor;
            if cursor.is_none() {
                break;
            }
        }
    }
    Ok(living)
}

/// True if the session of `key` is alive under this key.
pub(crate) async fn exists(ctx: &Ctx, key: KeyParts) -> Result<bool, SessionError> {
    let shard = shard(ctx.config().settings().key_prefix(), &key);
    let row = ctx.read_row(&shard, &row_key(&key)).await?;
    Ok(row.is_some_and(|row| RowValue::parse(&row.value).live().is_some()))
}

/// Ends the session of `key`, which belongs to `owner`.
pub(crate) async fn revoke(ctx: &Ctx, key: KeyParts, owner: &str) -> Result<(), SessionError> {
    let elsewhere = other_tags_of(ctx, owner, key.owner);
    end_everywhere(ctx, &key, elsewhere, walk_of(ctx, &key)).await
}

/// Ends every session of `owner` except the spared lineages, and refuses earlier logins that arrive
/// late. This takes one transaction for each secret of the ring, unless sessions have moved between
/// their shards.
pub(crate) async fn revoke_all(ctx: &Ctx, owner: &str, spared: &[Id]) -> Result<(), SessionError> {
    let called_at = ctx.now();
    let tags = tags_of(ctx, owner);
    // The known epoch row of each shard.
    let mut epochs: Vec<Option<Row>> = vec![None; tags.len()];
    let mut walk = Walk::new(tags.len() > 1);
    walk.reach(tags.len());
    let mut replays = 0;
    while let Some(at) = walk.shard() {
        let (Some(tag), Some(known)) = (tags.get(at), epochs.get_mut(at)) else {
            break;
        };
        let elsewhere = other_tags_of(ctx, owner, Some(*tag));
        // An epoch never moves back.
        let before = epoch_of(known.as_ref())?;
        let epoch = before.clone().ended_again(called_at, spared, ctx.now());
        // Remember it before the answer, which may be lost.
        remember(ctx.memory(), *tag, epoch.at, ctx.now());
        let revision = revision(Version::default(), ctx.random()?);
        // A repeated call that arrives late must not end later logins.
        let mut checks = vec![expected_epoch(known.as_ref())];
        checks.extend(walk.check());
        let transaction = Transaction {
            shard: shard_of_owner(ctx.config().settings().key_prefix(), *tag),
            checks,
            writes: vec![
                Change::Replace {
                    prefix: rows_of_owner(*tag),
                    except: spared.iter().map(|it| rows_of(*tag, *it)).collect(),
                    value: ended(ctx.now(), &elsewhere),
                    revision: revision.clone(),
                },
                put_epoch(ctx, &epoch, &revision),
            ],
        };
        let Answered::Conflict { rows, in_doubt } = ctx.transact(transaction).await? else {
            *known = Some(Row {
                value: epoch.encode(),
                metadata: None,
                revision,
                expires_at: ctx.now().saturating_add(EPOCH_LIVES),
            });
            walk.advance();
            continue;
        };
        let mut rows = rows.into_iter();
        *known = rows.next().flatten();
        // A login may have given the row another revision since. Where the first of two tries had
        // been applied, the second would end that login.
        let stands = in_doubt && epoch != before && epoch_of(known.as_ref())? == epoch;
        let is_own = known.as_ref().is_some_and(|row| row.revision == revision);
        if is_own || stands {
            walk.advance();
            continue;
        }
        let moved = rows.next().flatten();
        walk.found(moved.as_ref().map(|row| &*row.revision));
        ctx.pause_or_give_up(&mut replays).await?;
    }
    Ok(())
}

fn rows_of(owner: Id, lineage: Id) -> String {
    rows_of_lineage(&KeyParts {
        owner: Some(owner),
        lineage,
        derived: lineage,
    })
}

/// Remembers the epoch in the isolate, so that a later login here is later than it, even if the
/// clock is set back.
fn remember(memory: &Memory, tag: Id, at: i64, now: i64) {
    let marker = OwnerMarker {
        at,
        except: Vec::new(),
    };
    memory.note_owner(tag, marker, now.saturating_add(GRACE));
}

/// The instant of a login that is decided at `now`.
pub(crate) fn login_instant(memory: &Memory, tag: Id, now: i64) -> i64 {
    memory.owner(tag, now).map_or(now, |it| it.at.max(now))
}
