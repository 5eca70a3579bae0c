//! One request: what its application does with the session, from Cookie header to Set-Cookie.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use edge_session::{
    ErrorCode, Keep, Outcome, OwnedSession, RequestHead, SessionError, SessionKey, SessionStore,
    Sessions,
};

use crate::world::{RequestId, World};
use crate::{Ms, ms};

/// Where a request is served, and the checker that is notified.
pub trait Host: 'static {
    fn world(&self) -> &Rc<World>;
    /// The sessions of one server.
    fn sessions_of(&self, server: usize) -> Sessions;
    fn loaded(&self, id: RequestId, session: &SessionStore);
    fn begins(&self, id: RequestId, op: &Op, session: &SessionStore);
    fn did(&self, id: RequestId, op: &Op, result: Result<(), ErrorCode>, key: Option<String>);
    /// True if the request's cookies prove the session with this key and no other.
    fn presents_only(&self, id: RequestId, key: &str) -> bool;
    /// The number of the next value for `key`.
    fn write(&self, id: RequestId, key: &'static str) -> u32;
    fn saw_flash(&self, id: RequestId, write: u32);
    /// Called before and after the session with this key is ended.
    fn ends(&self, id: RequestId, key: &str);
    fn has_ended(&self, id: RequestId, key: &str);
    fn revokes_all(&self, id: RequestId, owner: &str, except: Option<&str>);
    fn revoked_all(&self, id: RequestId, owner: &str, except: Option<&str>);
    fn listed(&self, id: RequestId, owner: &str, began: Ms, listed: Vec<OwnedSession>);
    fn committing(&self, id: RequestId, status: u16);
    /// The server is done. `key` is the final session of the request.
    fn answered(self: &Rc<Self>, id: RequestId, answer: Answer, key: Option<String>);
}

/// Keys that applications write.
pub const KEYS: [&str; 4] = ["a", "b", "c", "d"];
/// Users.
pub const OWNERS: [&str; 2] = ["ada", "bob"];
/// Too large for an overlay, whatever else the session contains.
const PAD: usize = 3_000;

/// The expiry that an application sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// A number of seconds from now.
    After(i64),
    /// After this many seconds without a request; 0 means never.
    Idle(u32),
    BrowserClose,
}

/// What an application does with its session.
#[derive(Clone, Debug, PartialEq)]
pub enum Op {
    Read,
    Set(usize),
    Remove(usize),
    Clear,
    Flash,
    TakeFlash,
    Bind {
        owner: usize,
        keep: bool,
    },
    Flush {
        keep: bool,
    },
    Destroy,
    Cycle,
    /// The user proves again who they are. In an anonymous session this only renews the key.
    Reauthenticate,
    Expire(End),
    /// Ends another session of the same owner.
    Revoke(Option<String>),
    /// Ends a session by its key, as an administrator.
    Delete(Option<String>),
    RevokeAll {
        spare_self: bool,
    },
    List,
    Save,
    /// Waits for something else, for this many milliseconds.
    Work(Ms),
    LoadFresh,
    Create,
}

/// How the application ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    Answers,
    AnswersFailure,
    Throws,
}

/// A request.
#[derive(Clone, Debug)]
pub struct Spec {
    pub client: usize,
    pub server: usize,
    pub cookie: Option<String>,
    /// A form on another site.
    pub cross_site: bool,
    /// Without an automatic load.
    pub lazy: bool,
    pub ops: Vec<Op>,
    pub ending: Ending,
    /// Continues after a refusal of the session.
    pub stubborn: bool,
    /// Stores a value that does not fit into an overlay.
    pub large: bool,
}

impl Spec {
    /// A request of `client` with these operations that answers 200.
    pub fn new(client: usize, server: usize, ops: Vec<Op>) -> Self {
        Self {
            client,
            server,
            cookie: None,
            cross_site: false,
            lazy: false,
            ops,
            ending: Ending::Answers,
            stubborn: false,
            large: false,
        }
    }

    pub fn does(&self, wanted: impl Fn(&Op) -> bool) -> bool {
        self.ops.iter().any(wanted)
    }

    /// True if it has an operation that works under every outcome.
    pub fn ends_or_begins(&self) -> bool {
        self.does(|op| matches!(op, Op::Bind { .. } | Op::Flush { .. } | Op::Destroy))
    }
}

/// The visible state of a session.
#[derive(Clone, Debug)]
pub struct View {
    pub outcome: Outcome,
    /// The keys and their writes, or why they cannot be read.
    pub content: Result<BTreeMap<String, u32>, ErrorCode>,
    pub owner: Option<String>,
    pub auth_time: Option<Ms>,
    pub key: Option<String>,
}

impl View {
    pub fn of(session: &SessionStore) -> Self {
        let content = session
            .iter()
            .map(|pairs| {
                let numbers =
                    pairs.filter_map(|(key, text)| Some((key.to_owned(), text.parse().ok()?)));
                numbers.collect()
            })
            .map_err(|error| error.code());
        Self {
            outcome: session.outcome().unwrap_or(Outcome::New),
            content,
            owner: session.owner().ok().flatten().map(str::to_owned),
            auth_time: session.auth_time().ok().flatten().map(ms),
            key: key_of(session),
        }
    }

    /// True if it shows anything that was stored.
    pub fn shows_something(&self) -> bool {
        self.owner.is_some()
            || self
                .content
                .as_ref()
                .is_ok_and(|content| !content.is_empty())
    }
}

/// The response of the server.
#[derive(Clone, Debug)]
pub struct Answer {
    pub result: Result<u16, ErrorCode>,
    pub cookies: Vec<String>,
    /// The session after a complete commit.
    pub view: Option<View>,
}

struct Head {
    cookie: Option<String>,
    cross_site: bool,
    client: usize,
}

impl RequestHead for Head {
    fn header(&self, name: &str) -> Option<String> {
        match name {
            "cookie" => self.cookie.clone(),
            "sec-fetch-site" if self.cross_site => Some("cross-site".to_owned()),
            "user-agent" => Some(format!("browser {}", self.client)),
            _ => None,
        }
    }

    fn method(&self) -> String {
        if self.cross_site { "POST" } else { "GET" }.to_owned()
    }
}

/// Why an application did not answer.
enum Stop {
    Session(SessionError),
    Own,
}

/// Serves one request like `Sessions::handle`, and notifies the checker.
pub async fn serve<H: Host>(sim: Rc<H>, id: RequestId, spec: Spec) {
    let sessions = sim.sessions_of(spec.server);
    let mut session = sessions.open(Head {
        cookie: spec.cookie.clone(),
        cross_site: spec.cross_site,
        client: spec.client,
    });
    let world = Rc::clone(sim.world());
    session.set_wait_until(move |future| world.spawn_later(future));
    if !spec.lazy {
        let _outcome = session.load().await;
        sim.loaded(id, &session);
    }
    let acted = act(&sim, id, &sessions, &mut session, &spec).await;
    let answer = match acted {
        Ok(status) => {
            sim.committing(id, status);
            match sessions.commit(&mut session, status).await {
                Ok(headers) => Answer {
                    result: Ok(status),
                    cookies: headers.set_cookie().to_vec(),
                    view: (status < 500).then(|| View::of(&session)),
                },
                Err(error) => Answer {
                    result: Err(error.code()),
                    cookies: session.done_headers().set_cookie().to_vec(),
                    view: None,
                },
            }
        }
        Err(Stop::Session(error)) => refused(&session, Some(error)),
        Err(Stop::Own) => refused(&session, None),
    };
    sim.answered(id, answer, key_of(&session));
}

/// The response of `handle` to a closure that failed.
fn refused(session: &SessionStore, error: Option<SessionError>) -> Answer {
    match session.refusal() {
        Some(refusal) => Answer {
            result: Err(refusal.code()),
            cookies: session.done_headers().set_cookie().to_vec(),
            view: None,
        },
        None => Answer {
            result: error.map_or(Ok(500), |error| Err(error.code())),
            cookies: Vec::new(),
            view: None,
        },
    }
}

async fn act<H: Host>(
    sim: &Rc<H>,
    id: RequestId,
    sessions: &Sessions,
    session: &mut SessionStore,
    spec: &Spec,
) -> Result<u16, Stop> {
    for op in &spec.ops {
        // Deleting the session of this request by its key is a logout.
        let itself = matches!(op, Op::Delete(Some(key)) if is_own(sim, id, session, key));
        let means = if itself { &Op::Destroy } else { op };
        sim.begins(id, means, session);
        let result = one(sim, id, sessions, session, spec, op).await;
        let said = result.as_ref().copied().map_err(SessionError::code);
        sim.did(id, means, said, key_of(session));
        if let Err(error) = result
            && !spec.stubborn
        {
            return Err(Stop::Session(error));
        }
    }
    match spec.ending {
        Ending::Answers => Ok(200),
        Ending::AnswersFailure => Ok(500),
        Ending::Throws => Err(Stop::Own),
    }
}

/// The text of the session's key.
pub fn key_of(session: &SessionStore) -> Option<String> {
    let key = session.session_key().ok().flatten()?;
    Some(key.to_string())
}

/// True if `key` names the session of this request, which may not be loaded, or not readable.
fn is_own<H: Host>(sim: &Rc<H>, id: RequestId, session: &SessionStore, key: &str) -> bool {
    match key_of(session) {
        Some(own) => own == key,
        None => !session.is_new().unwrap_or(false) && sim.presents_only(id, key),
    }
}

async fn one<H: Host>(
    sim: &Rc<H>,
    id: RequestId,
    sessions: &Sessions,
    session: &mut SessionStore,
    spec: &Spec,
    op: &Op,
) -> Result<(), SessionError> {
    match op {
        Op::Read => session.len().map(|_| ()),
        Op::Set(key) => {
            let write = sim.write(id, KEYS[*key]);
            if spec.large {
                session.set("pad", "x".repeat(PAD))?;
            }
            session.set(KEYS[*key], write)
        }
        Op::Remove(key) => session.remove(KEYS[*key]).map(|_| ()),
        Op::Clear => session.clear(),
        Op::Flash => {
            let write = sim.write(id, "flash");
            session.flash("flash", write)
        }
        Op::TakeFlash => {
            if let Some(write) = session.take_flash::<u32>("flash")? {
                sim.saw_flash(id, write);
            }
            Ok(())
        }
        Op::Bind { owner, keep } => {
            let keep = if *keep { Keep::Data } else { Keep::Nothing };
            session.bind_with(OWNERS[*owner], keep)?;
            let write = sim.write(id, "d");
            session.set("d", write)
        }
        Op::Flush { keep } => {
            if *keep {
                session.flush_keeping(["a"]).await
            } else {
                session.flush().await
            }
        }
        Op::Destroy => session.destroy().await,
        Op::Cycle => session.cycle_key(),
        Op::Reauthenticate => match session.owner()? {
            Some(_) => session.reauthenticate(),
            None => session.cycle_key(),
        },
        Op::Expire(End::After(seconds)) => session.set_expiry(*seconds),
        Op::Expire(End::Idle(seconds)) => {
            session.set_expiry(Duration::from_secs(u64::from(*seconds)))
        }
        Op::Expire(End::BrowserClose) => session.set_expiry(0),
        Op::Revoke(key) => match (session.owner()?.map(str::to_owned), key) {
            (Some(owner), Some(key)) => {
                sim.ends(id, key);
                sessions.revoke(&owner, &key.parse()?).await?;
                sim.has_ended(id, key);
                Ok(())
            }
            _ => Ok(()),
        },
        Op::Delete(Some(key)) => {
            sim.ends(id, key);
            session.delete_key(&key.parse()?).await?;
            sim.has_ended(id, key);
            Ok(())
        }
        Op::Delete(None) => Ok(()),
        Op::RevokeAll { spare_self } => {
            let Some(owner) = session.owner()?.map(str::to_owned) else {
                return Ok(());
            };
            let except = session.session_key().ok().flatten().filter(|_| *spare_self);
            let spared = except.as_ref().map(SessionKey::as_str);
            sim.revokes_all(id, &owner, spared);
            match &except {
                Some(this) => sessions.revoke_all_except(&owner, this).await?,
                None => sessions.revoke_all(&owner).await?,
            }
            sim.revoked_all(id, &owner, spared);
            Ok(())
        }
        Op::List => {
            let Some(owner) = session.owner()?.map(str::to_owned) else {
                return Ok(());
            };
            let began = sim.world().now();
            let listed = sessions.list(&owner).await?;
            sim.listed(id, &owner, began, listed);
            Ok(())
        }
        Op::Save => session.save().await,
        Op::Work(milliseconds) => {
            sim.world().work(*milliseconds).await;
            Ok(())
        }
        Op::LoadFresh => {
            let loaded = session.load_fresh().await;
            sim.loaded(id, session);
            loaded.map(|_| ())
        }
        Op::Create => session.create(),
    }
}
