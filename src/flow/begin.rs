//! The start of every flow. Only here is the protocol chosen, by the kind of store.

use std::rc::Rc;

use crate::flow::end::Left;
use crate::flow::engine::{Ctx, Flow};
use crate::flow::freshness::Freshness;
use crate::flow::load::{LoadResult, LoadedRecord};
use crate::flow::owner::OwnedSession;
use crate::flow::shared::{Protocol, Shared};
use crate::flow::work::{Saved, Work};
use crate::flow::{end, load, owner, save, strong};
use crate::port::error::SessionError;
use crate::protocol::keys::{Id, KeyParts};
use crate::protocol::ticket::Tombstone;
use crate::session::login::check_owner;
use crate::session::presented::{ENDS_MAX, PresentedSession};
use crate::session::to_end::ToEnd;

impl Shared {
    /// The flow of a load: it first finishes logouts that are not stored yet, and then loads the
    /// presented sessions.
    pub(crate) fn begin_load(
        self: &Rc<Self>,
        stones: Vec<Tombstone>,
        rivals: Vec<Rc<PresentedSession>>,
        freshness: Freshness,
    ) -> Flow<LoadResult> {
        let protocol = self.protocol();
        Flow::new(self, async move |ctx: Ctx| {
            let ends: Vec<ToEnd> = stones.into_iter().map(ToEnd::of_stone).collect();
            let left = if ends.is_empty() {
                None
            } else {
                end_all(protocol, &ctx, ends, true).await
            };
            // As long as a logout is not stored, no session of this browser is shown.
            let records = match left {
                Some(_) => Vec::new(),
                None => load_all(protocol, &ctx, &rivals, freshness).await?,
            };
            Ok(LoadResult {
                left,
                records,
                rivals,
            })
        })
    }

    /// The flow of a save.
    pub(crate) fn begin_save(self: &Rc<Self>, work: Work) -> Flow<Saved> {
        match self.protocol() {
            Protocol::Eventual => Flow::new(self, |ctx| save::perform(ctx, work)),
            Protocol::Strong => Flow::new(self, |ctx| strong::save::perform(ctx, work)),
        }
    }

    /// The flow that ends the sessions in `ends`. Returns those that could not be ended.
    pub(crate) fn begin_end(self: &Rc<Self>, ends: Vec<ToEnd>) -> Flow<Option<Left>> {
        let protocol = self.protocol();
        // If there are more than one request can end, an earlier request may have ended some of
        // them.
        let may_stand = ends.len() > ENDS_MAX;
        // Users' sessions come first, so that planted cookies cannot keep one of them from its turn.
        let (mut ends, others): (Vec<_>, Vec<_>) = ends
            .into_iter()
            .partition(|it| it.stone.key().owner.is_some());
        ends.extend(others);
        Flow::new(self, async move |ctx: Ctx| {
            Ok(end_all(protocol, &ctx, ends, may_stand).await)
        })
        .that_ends()
    }

    /// The flow that checks whether the session with this session key exists; `None` if `key` is
    /// not a session key.
    pub(crate) fn begin_exists(self: &Rc<Self>, key: &str) -> Option<Flow<bool>> {
        let key = self.config().read_key(key).ok()?;
        let protocol = self.protocol();
        Some(Flow::new(self, async move |ctx: Ctx| match protocol {
            Protocol::Eventual => ctx.exists(key).await,
            Protocol::Strong => strong::owner::exists(&ctx, key).await,
        }))
    }

    /// The flow that ends the session of `key`.
    pub(crate) fn begin_delete(self: &Rc<Self>, key: KeyParts) -> Flow<()> {
        let protocol = self.protocol();
        Flow::new(self, async move |ctx: Ctx| match protocol {
            Protocol::Eventual => end::delete(&ctx, key).await,
            Protocol::Strong => strong::end::end_key(&ctx, &key, None, false)
                .await
                .map(drop),
        })
        .that_ends()
    }

    /// The flow that lists the live sessions of `owner`, newest first.
    pub(crate) fn begin_list(
        self: &Rc<Self>,
        owner: &str,
    ) -> Result<Flow<Vec<OwnedSession>>, SessionError> {
        check_owner(owner)?;
        let protocol = self.protocol();
        let owner = owner.to_owned();
        Ok(Flow::new(self, async move |ctx: Ctx| match protocol {
            Protocol::Eventual => owner::list(&ctx, &owner).await,
            Protocol::Strong => strong::owner::list(&ctx, &owner).await,
        }))
    }

    /// The flow that ends the session of `key`, which must belong to `owner`.
    pub(crate) fn begin_revoke(
        self: &Rc<Self>,
        owner: &str,
        key: &str,
    ) -> Result<Flow<()>, SessionError> {
        check_owner(owner)?;
        let key = self.config().session_key_owned_by(owner, key)?;
        let protocol = self.protocol();
        let owner = owner.to_owned();
        Ok(Flow::new(self, async move |ctx: Ctx| match protocol {
            Protocol::Eventual => owner::revoke(&ctx, key).await,
            Protocol::Strong => strong::owner::revoke(&ctx, key, &owner).await,
        })
        .that_ends())
    }

    /// The flow that ends every session of `owner`, except the lineage of the session key `except`.
    pub(crate) fn begin_revoke_all(
        self: &Rc<Self>,
        owner: &str,
        except: Option<&str>,
    ) -> Result<Flow<()>, SessionError> {
        check_owner(owner)?;
        let except = except.map(|key| self.config().session_key_owned_by(owner, key));
        let except = except.transpose()?;
        let spared: Vec<Id> = except.map(|key| key.lineage).into_iter().collect();
        let protocol = self.protocol();
        let owner = owner.to_owned();
        Ok(Flow::new(self, async move |ctx: Ctx| match protocol {
            Protocol::Eventual => ctx.revoke_all(&owner, &spared).await,
            Protocol::Strong => strong::owner::revoke_all(&ctx, &owner, &spared).await,
        })
        .that_ends())
    }

    /// The flow that ends the oldest sessions of `owner` if there are more than the settings allow.
    /// `newest` is the lineage that has just started. `None` if nothing is left to do.
    pub(crate) fn begin_limit(self: &Rc<Self>, owner: Rc<str>, newest: Id) -> Option<Flow<()>> {
        let is_left = match self.protocol() {
            Protocol::Eventual => self.config().settings().max_per_owner() > 0,
            // The login has already done it.
            Protocol::Strong => false,
        };
        is_left.then(|| {
            Flow::new(self, async move |ctx: Ctx| {
                ctx.enforce_limit(&owner, newest).await;
                Ok(())
            })
        })
    }

    /// Whether a key is dead once a save under it has failed.
    pub(crate) fn ends_failed_keys(&self) -> bool {
        match self.protocol() {
            // The next save joins what the one before may have left there.
            Protocol::Eventual => false,
            Protocol::Strong => true,
        }
    }

    /// The instant of a login of `owner` that is decided at `now`. It is later than every end of
    /// all the owner's sessions by this isolate.
    pub(crate) fn login_instant(&self, owner: &str, now: i64) -> i64 {
        match self.protocol() {
            // It is determined when the login is stored.
            Protocol::Eventual => now,
            Protocol::Strong => {
                let tag = self.config().ring().signer().owner_tag(owner);
                strong::owner::login_instant(self.memory(), tag, now)
            }
        }
    }
}

async fn load_all(
    protocol: Protocol,
    ctx: &Ctx,
    rivals: &[Rc<PresentedSession>],
    freshness: Freshness,
) -> Result<Vec<LoadedRecord>, SessionError> {
    match (protocol, rivals) {
        (_, []) => Ok(Vec::new()),
        (Protocol::Eventual, [session]) => {
            let loaded = load::load_record(ctx, Rc::clone(session), freshness).await?;
            Ok(vec![loaded])
        }
        (Protocol::Eventual, several) => load::load_among(ctx, several, freshness).await,
        (Protocol::Strong, rivals) => strong::load::load_among(ctx, rivals).await,
    }
}

async fn end_all(protocol: Protocol, ctx: &Ctx, ends: Vec<ToEnd>, may_stand: bool) -> Option<Left> {
    match protocol {
        Protocol::Eventual => end::end(ctx, &ends, may_stand).await,
        Protocol::Strong => strong::end::end(ctx, ends, may_stand).await,
    }
}
