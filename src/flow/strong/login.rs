//! Login: puts the new session into the owner's shard, and then ends the browser's previous
//! sessions in their shards.

use std::rc::Rc;

use crate::flow::engine::Ctx;
use crate::flow::strong::ask::Answered;
use crate::flow::strong::draft::{Draft, Place};
use crate::flow::strong::end::{end_everywhere, end_session, other_tags_of, walk_of};
use crate::flow::strong::epoch::{epoch_of, expected_epoch, put_epoch};
use crate::flow::strong::handover::{
    Handed, Leaves, elsewhere_of, ends_of_failed, hand_over, take_back,
};
use crate::flow::strong::load::{death_of, unseen};
use crate::flow::strong::owner::living;
use crate::flow::work::{Saved, Source, Work};
use crate::port::error::{ErrorCode, SessionError};
use crate::port::strong::Row;
use crate::port::transaction::{Change, Expected, Transaction};
use crate::protocol::keys::{Id, KeyParts};
use crate::protocol::record::Bound;
use crate::protocol::strong::limit::over_limit;
use crate::protocol::strong::place::{EPOCH, rows_of_lineage};
use crate::protocol::strong::row::ended;
use crate::session::presented::Identity;
use crate::session::refusals::refusal;
use crate::session::retired::Retired;

/// Sessions that a login ends in one transaction.
const ENDED_AT_ONCE: usize = 100;

/// Starts a session of `owner` with the data that `work` takes from `source`.
pub(crate) async fn login(
    ctx: &Ctx,
    work: Work,
    source: Option<Source>,
    owner: Rc<str>,
) -> Result<Saved, SessionError> {
    let at = ctx.now();
    let bound = Some(Bound {
        owner: Rc::clone(&owner),
        at,
    });
    let base = source.as_ref().map(|source| source.base.clone());
    let draft = Draft::of(ctx, &work, base, bound)?;
    let ended_here = match put(ctx, &work, &owner, &draft).await {
        Ok(ended_here) => ended_here,
        Err(error) => {
            // After a refusal it does not exist; after any other error it may.
            if error.connector_error().is_some() {
                take_back(ctx, &work.target).await;
            }
            return Err(error);
        }
    };
    // From here on it exists, so every error takes it back.
    let others = match end_moved(ctx, &work.target, &owner, &ended_here).await {
        Ok(()) => end_others(ctx, &work, source, draft).await,
        Err(error) => Err(error),
    };
    match others {
        Ok(draft) => Ok(draft.saved(work)),
        Err(error) => {
            take_back(ctx, &work.target).await;
            Err(error)
        }
    }
}

/// Ends the browser's previous sessions: the one that continues with a check, the others without. That
/// one comes last: if another cannot be ended, the login fails, and the browser still has it.
async fn end_others(
    ctx: &Ctx,
    work: &Work,
    source: Option<Source>,
    mut draft: Draft,
) -> Result<Draft, SessionError> {
    let is_source = |key: &KeyParts| {
        let source = source.as_ref();
        source.is_some_and(|source| source.session.identity.key == *key)
    };
    let (last, first): (Vec<_>, Vec<_>) = work.retire.iter().partition(|it| match it {
        Retired::Rotated(identity) => is_source(&identity.key),
        Retired::Ended(to_end) => is_source(&to_end.stone.key()),
    });
    for retired in first.into_iter().chain(last) {
        match retired {
            Retired::Rotated(identity) if is_source(&identity.key) => {
                (draft, _) = go_on(ctx, work, &source, draft, Leaves::Rotated).await?;
            }
            Retired::Ended(to_end) if is_source(&to_end.stone.key()) => {
                let is_over;
                (draft, is_over) = go_on(ctx, work, &source, draft, Leaves::Ended).await?;
                if is_over {
                    let elsewhere = source.as_ref().map(|it| elsewhere_of(ctx, it));
                    let elsewhere = elsewhere.unwrap_or_default();
                    let key = to_end.stone.key();
                    let mut walk = walk_of(ctx, &key);
                    walk.advance();
                    end_everywhere(ctx, &key, elsewhere, walk).await?;
                } else {
                    // It may have continued under another key.
                    end_session(ctx, to_end).await?;
                }
            }
            Retired::Rotated(identity) => end_session(ctx, &identity.to_end()).await?,
            Retired::Ended(to_end) => end_session(ctx, to_end).await?,
        }
    }
    Ok(draft)
}

/// Ends the session that continues. Returns false if its row was already dead, which does not fail
/// the login.
async fn go_on(
    ctx: &Ctx,
    work: &Work,
    source: &Option<Source>,
    draft: Draft,
    leaves: Leaves,
) -> Result<(Draft, bool), SessionError> {
    let Some(source) = source else {
        return Ok((draft, false));
    };
    Ok(match hand_over(ctx, work, source, draft, leaves).await? {
        Handed::Over(draft) => (draft, true),
        Handed::Died(draft, _) => (draft, false),
    })
}

/// Puts the new session, unless all of the owner's sessions were ended since the login was decided.
/// With `SESSION_MAX_PER_OWNER`, sessions over the limit end in the same transaction. Returns those that it
/// ended so.
async fn put(
    ctx: &Ctx,
    work: &Work,
    owner: &str,
    draft: &Draft,
) -> Result<Vec<KeyParts>, SessionError> {
    let target = &work.target;
    let there = Place::of(ctx, target);
    let most = ctx.config().settings().max_per_owner();
    let mut epoch = match most {
        0 => None,
        _ => ctx.read_row(&there.shard, EPOCH).await?,
    };
    let elsewhere = other_tags_of(ctx, owner, target.key.owner);
    let end = |key: &KeyParts| Change::Replace {
        prefix: rows_of_lineage(key),
        except: Vec::new(),
        value: ended(ctx.now(), &elsewhere),
        revision: draft.revision.clone(),
    };
    // Those in the shard of the new session, as far as they are ended here.
    let mut ended_here: Vec<KeyParts> = Vec::new();
    let mut replays = 0;
    loop {
        refuse_if_ended(ctx, epoch.as_ref(), target)?;
        let mut writes = ends_of_failed(ctx, work, &draft.revision);
        writes.push(draft.put(&there, target));
        if most > 0 {
            let over = over(ctx, work, owner, most).await?;
            let (mut here, others): (Vec<KeyParts>, Vec<KeyParts>) = over
                .into_iter()
                .partition(|key| key.owner == target.key.owner);
            // While a secret is being replaced, an owner has several shards, and a transaction
            // reaches only one of them.
            for key in &others {
                let elsewhere = other_tags_of(ctx, owner, key.owner);
                end_everywhere(ctx, key, elsewhere, walk_of(ctx, key)).await?;
            }
            ended_here.extend(&here);
            // Many, where the limit is new: a transaction holds only so much.
            while here.len() > ENDED_AT_ONCE {
                let some = here.split_off(here.len() - ENDED_AT_ONCE);
                let transaction = Transaction {
                    shard: there.shard.clone(),
                    checks: Vec::new(),
                    writes: some.iter().map(end).collect(),
                };
                ctx.transact(transaction).await?;
            }
            writes.extend(here.iter().map(end));
            // Of two simultaneous logins the second finds another revision, and lists again.
            writes.push(put_epoch(ctx, &epoch_of(epoch.as_ref())?, &draft.revision));
        }
        let mut checks = vec![
            Expected::absent(&*there.key),
            expected_epoch(epoch.as_ref()),
        ];
        let unlimited = mutant!(strong_limit_unchecked);
        if mutant!(strong_epoch_ignored) || (unlimited && most > 0) {
            checks.truncate(1);
        }
        let transaction = Transaction {
            shard: there.shard.clone(),
            checks,
            writes,
        };
        let Answered::Conflict { rows, .. } = ctx.transact(transaction).await? else {
            break;
        };
        let mut rows = rows.into_iter();
        if let Some(row) = rows.next().flatten() {
            if draft.is(&row) {
                break;
            }
            return Err(death_of(ctx, &unseen(target), Some(&row)));
        }
        // A row cannot vanish. If the new row is missing, nothing was applied.
        epoch = rows.next().flatten();
        ctx.pause_or_give_up(&mut replays).await?;
    }
    Ok(ended_here)
}

/// Ends the sessions that [`put`] ended in its own shard in the owner's other shards too: one may have
/// moved there meanwhile.
async fn end_moved(
    ctx: &Ctx,
    target: &Identity,
    owner: &str,
    ended_here: &[KeyParts],
) -> Result<(), SessionError> {
    let elsewhere = other_tags_of(ctx, owner, target.key.owner);
    if elsewhere.is_empty() {
        return Ok(());
    }
    for key in ended_here {
        let mut walk = walk_of(ctx, key);
        walk.advance();
        end_everywhere(ctx, key, elsewhere.clone(), walk).await?;
    }
    Ok(())
}

fn refuse_if_ended(ctx: &Ctx, row: Option<&Row>, target: &Identity) -> Result<(), SessionError> {
    let (lineage, bound_at) = (target.key.lineage, target.ticket.minted_at);
    if epoch_of(row)?.refuses(lineage, bound_at, ctx.now()) && !mutant!(strong_epoch_ignored) {
        return Err(refusal(ErrorCode::Revoked));
    }
    Ok(())
}

/// The sessions over the limit with the new one. Sessions that the login ends anyway do not count, nor
/// does what an earlier try of it has stored.
async fn over(
    ctx: &Ctx,
    work: &Work,
    owner: &str,
    most: u32,
) -> Result<Vec<KeyParts>, SessionError> {
    let ends_anyway = |lineage: Id| {
        let mut retired = work.retire.iter();
        lineage == work.target.key.lineage
            || retired
                .any(|it| matches!(it, Retired::Ended(to_end) if to_end.stone.lineage == lineage))
    };
    let living = living(ctx, owner).await?;
    let counted = living.iter().filter(|(key, _)| !ends_anyway(key.lineage));
    let began = counted.map(|(key, listed)| (listed.created, key.lineage));
    let over = over_limit(began.collect(), most);
    let keys = living.into_iter().map(|(key, _)| key);
    Ok(keys.filter(|key| over.contains(&key.lineage)).collect())
}
