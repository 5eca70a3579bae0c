//! The sessions of one owner, which live in one shard for each secret of the ring.

use crate::flow::engine::Ctx;
use crate::flow::isolate::Memory;
use crate::flow::owner::{OwnedSession, shown};
use crate::flow::strong::ask::Answered;
use crate::flow::strong::end::{end_elsewhere, end_rows, other_tags_of, tags_of};
use crate::flow::strong::epoch::{epoch_of, expected_epoch, put_epoch};
use crate::port::error::SessionError;
use crate::port::strong::Row;
use crate::port::transaction::{Change, Transaction};
use crate::protocol::keys::{Id, KeyParts};
use crate::protocol::list_metadata::Listed;
use crate::protocol::revocation::OwnerMarker;
use crate::protocol::strong::GRACE;
use crate::protocol::strong::epoch::Epoch;
use crate::protocol::strong::place::{
    row_key, rows_of_lineage, rows_of_owner, session_key, shard, shard_of_owner,
};
use crate::protocol::strong::revision::revision;
use crate::protocol::strong::row::{RowValue, ended};
use crate::protocol::version::Version;

/// The live sessions of `owner`, the newest first.
pub(crate) async fn list(ctx: &Ctx, owner: &str) -> Result<Vec<OwnedSession>, SessionError> {
    let living = living(ctx, owner).await?;
    Ok(shown(ctx, owner, living))
}

/// The newest row of each live session of `owner`. A tombstone has no metadata.
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
                // A session that moves is in two shards for a moment.
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

/// True where the session of `key` is alive under it.
pub(crate) async fn exists(ctx: &Ctx, key: KeyParts) -> Result<bool, SessionError> {
    let shard = shard(ctx.config().settings().key_prefix(), &key);
    let row = ctx.read_row(&shard, &row_key(&key)).await?;
    Ok(row.is_some_and(|row| RowValue::parse(&row.value).live().is_some()))
}

/// Ends the session of `key`, which is one of `owner`'s.
pub(crate) async fn revoke(ctx: &Ctx, key: KeyParts, owner: &str) -> Result<(), SessionError> {
    let elsewhere = other_tags_of(ctx, owner, key.owner);
    end_rows(ctx, &key, &elsewhere).await?;
    end_elsewhere(ctx, &key, &elsewhere).await
}

/// Ends every session of `owner` but for the lineages spared, and every login that was on its way:
/// one transaction for each secret of the ring, the signer's last, since that is where a session
/// moves to.
pub(crate) async fn revoke_all(ctx: &Ctx, owner: &str, spared: &[Id]) -> Result<(), SessionError> {
    let called_at = Epoch(ctx.now());
    for tag in tags_of(ctx, owner) {
        let elsewhere = other_tags_of(ctx, owner, Some(tag));
        end_all(ctx, tag, &elsewhere, spared, called_at).await?;
    }
    Ok(())
}

async fn end_all(
    ctx: &Ctx,
    tag: Id,
    elsewhere: &[Id],
    spared: &[Id],
    called_at: Epoch,
) -> Result<(), SessionError> {
    let spared = spared.iter().map(|lineage| {
        let key = KeyParts {
            owner: Some(tag),
            lineage: *lineage,
            derived: *lineage,
        };
        rows_of_lineage(&key)
    });
    let spared: Vec<String> = spared.collect();
    let mut known: Option<Row> = None;
    let mut replays = 0;
    loop {
        // An end that was set is never taken back.
        let epoch = called_at.max(epoch_of(known.as_ref())?);
        // Before the answer: it may be lost.
        remember(ctx.memory(), tag, epoch, ctx.now());
        let revision = revision(Version::default(), ctx.random()?);
        let transaction = Transaction {
            shard: shard_of_owner(ctx.config().settings().key_prefix(), tag),
            // A call that arrives once more, and late, must not end the logins since.
            checks: vec![expected_epoch(known.as_ref())],
            writes: vec![
                Change::Replace {
                    prefix: rows_of_owner(tag),
                    except: spared.clone(),
                    value: ended(ctx.now(), elsewhere),
                    revision: revision.clone(),
                },
                put_epoch(ctx, epoch, &revision),
            ],
        };
        let found = match ctx.transact(transaction).await? {
            Answered::Done => None,
            Answered::Conflict { mut rows, .. } => {
                let row = rows.pop().flatten();
                let is_ours = row.as_ref().is_some_and(|row| row.revision == revision);
                (!is_ours).then_some(row)
            }
        };
        let Some(row) = found else { return Ok(()) };
        known = row;
        ctx.pause_or_give_up(&mut replays).await?;
    }
}

/// Lets this isolate know: a login that it decides from now on comes after it, however its clock is
/// set meanwhile.
fn remember(memory: &Memory, tag: Id, epoch: Epoch, now: i64) {
    let marker = OwnerMarker {
        at: epoch.0,
        except: Vec::new(),
    };
    memory.note_owner(tag, marker, now.saturating_add(GRACE));
}

/// The instant of a login that is decided at `now`.
pub(crate) fn login_instant(memory: &Memory, tag: Id, now: i64) -> i64 {
    memory.owner(tag, now).map_or(now, |it| it.at.max(now))
}
