//! `SessionStore`: one session in one request, a dictionary with a life cycle.
//!
//! 1. `cookies`: what the request presents. `load`: what the store has for it.
//! 2. `access`: whether the session may be read or changed now. `read` and `change`: the dictionary.
//! 3. `facts`: what is known about the session besides its data. `expiry`: when it ends.
//! 4. `login`: a new key. `csrf`: tokens for its forms. `end`: logout.
//! 5. `save`: what is written. `commit`: what the response carries.
//!
//! Each file decides on plain values. Work that waits for the store is a flow that owns its plan.
//! Its result is applied afterwards, so no borrow of the session is held across an await.
//!
//! The fields are private to this folder. Everything else uses methods.

// In this order their methods are documented.
mod read;

mod facts;

mod change;

mod load;

mod login;

mod save;

mod end;

mod expiry;

mod csrf;

mod commit;

mod access;
mod cookies;

use std::cell::OnceCell;
use std::fmt;
use std::rc::Rc;

use futures_util::future::LocalBoxFuture;

use crate::face::driver::Driver;
use crate::flow::engine::Flow;
use crate::flow::shared::Shared;
use crate::port::error::SessionError;
use crate::port::events::EventKind;
use crate::port::request::RequestHead;
use crate::port::runtime::Runtime;
use crate::port::wait_until::WaitUntil;
use crate::protocol::keys::{Id, Token};
use crate::protocol::outcome::Outcome;
use crate::session::accessed::Accessed;
use crate::session::answer::Answer;
use crate::session::form_answer::FormAnswer;
use crate::session::life::Life;
use crate::session::presented::Cookies;

#[cfg(all(target_arch = "wasm32", feature = "js"))]
pub(crate) use end::Ending;
pub use login::Keep;

/// One session in one request: an ordered dictionary of JSON values that is loaded from and saved
/// to the store.
///
/// [`Sessions`](crate::Sessions) creates it. Values are parsed when they are read. Changes stay in
/// memory until the commit. Keys keep their order of insertion.
///
/// ```
/// use edge_session::{SessionError, SessionStore};
///
/// fn page(session: &mut SessionStore) -> Result<String, SessionError> {
///     let views = session.get::<u32>("views")?.unwrap_or(0) + 1;
///     session.set("views", views)?;
///     Ok(format!("You were here {views} times."))
/// }
/// # edge_session::doc::with_session(|session| {
/// # assert_eq!(page(session)?, "You were here 1 times.");
/// # Ok(()) });
/// ```
///
/// # Methods by what they are for
///
/// - **Reading** is that of a dictionary: [`get`](Self::get), [`require`](Self::require),
///   [`contains_key`](Self::contains_key), [`keys`](Self::keys), [`iter`](Self::iter), and
///   [`data`](Self::data) for all of it as one type. [`outcome`](Self::outcome) says what the load
///   found, [`session_key`](Self::session_key) names the session.
/// - **Changing** it waits for the commit: [`set`](Self::set), [`remove`](Self::remove),
///   [`update`](Self::update), [`pop`](Self::pop), [`setdefault`](Self::setdefault),
///   [`set_data`](Self::set_data), [`clear`](Self::clear), and [`flash`](Self::flash) for a value that
///   is read once. [`modified`](Self::modified) says whether there is something to save.
/// - **Life cycle**: [`load`](Self::load), [`create`](Self::create),
///   [`cycle_key`](Self::cycle_key), [`save`](Self::save), and the logout:
///   [`destroy`](Self::destroy), or [`flush`](Self::flush) to go on anonymously.
/// - **Expiry** composes an end, an idle time and the browser's close:
///   [`set_expiry`](Self::set_expiry), [`get_expiry_date`](Self::get_expiry_date),
///   [`get_expiry_age`](Self::get_expiry_age), [`idle_expires_at`](Self::idle_expires_at).
/// - **Owner**: [`bind`](Self::bind) is the login, [`reauthenticate`](Self::reauthenticate) renews it,
///   [`owner`](Self::owner) and [`auth_time`](Self::auth_time) say who and since when,
///   [`require_recent_auth`](Self::require_recent_auth) asks for a recent one.
/// - **Forms**: [`csrf_token`](Self::csrf_token), [`verify_csrf`](Self::verify_csrf).
/// - **For adapters** of a framework: [`set_wait_until`](Self::set_wait_until),
///   [`accessed`](Self::accessed), [`refusal`](Self::refusal), [`done_headers`](Self::done_headers).
pub struct SessionStore {
    shared: Rc<Shared>,
    driver: Driver,
    request: Rc<dyn RequestHead>,
    wait_until: Option<Rc<dyn WaitUntil>>,
    /// The cookies of the request, parsed when they are first needed.
    cookies: OnceCell<Cookies>,
    /// What the load found. `None` before the load.
    outcome: Option<Outcome>,
    life: Life,
    /// When this request last read the store.
    read_at: i64,
    /// When the session was loaded, from the store or the isolate's memory.
    loaded_at: i64,
    answer: Answer,
    /// What the response does with the form cookie.
    form: FormAnswer,
    accessed: Accessed,
}

/// **For adapters: the platform.**
impl SessionStore {
    /// Opens the session that `request` presents. Nothing is parsed yet, because most responses do
    /// not use the session.
    pub(crate) fn open(
        shared: Rc<Shared>,
        driver: Driver,
        request: Rc<dyn RequestHead>,
        wait_until: Option<Rc<dyn WaitUntil>>,
    ) -> Self {
        Self {
            shared,
            driver,
            request,
            wait_until,
            cookies: OnceCell::new(),
            outcome: None,
            life: Life::Unloaded,
            read_at: i64::MIN,
            loaded_at: i64::MIN,
            answer: Answer::default(),
            form: FormAnswer::default(),
            accessed: Accessed::default(),
        }
    }

    /// Sets the platform's function for work that outlives the response (`ctx.waitUntil`). Without
    /// it, such work is awaited.
    ///
    /// [`Sessions::handle`](crate::Sessions) does this automatically. Call it in frameworks where
    /// you open, load and commit the session yourself.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// session.set_wait_until(|work| {
    ///     // `platform.wait_until(work)`
    /// #   drop(work);
    /// });
    /// # Ok(()) });
    /// ```
    pub fn set_wait_until(&mut self, wait_until: impl Fn(LocalBoxFuture<'static, ()>) + 'static) {
        self.register_with(Rc::new(wait_until));
    }

    /// As [`set_wait_until`](Self::set_wait_until), with the platform's own implementation.
    pub(crate) fn register_with(&mut self, wait_until: Rc<dyn WaitUntil>) {
        self.wait_until = Some(wait_until);
    }

    fn runtime(&self) -> &dyn Runtime {
        self.driver.runtime()
    }

    /// Milliseconds since 1970-01-01 UTC.
    fn now(&self) -> i64 {
        self.runtime().now()
    }

    fn new_token(&self) -> Result<Token, SessionError> {
        Token::random(self.runtime())
    }

    /// Reports an event of this `kind` for the session with this `lineage`.
    fn report(&self, kind: EventKind, lineage: Option<Id>, reason: Option<&'static str>) {
        self.shared.report(kind, self.now(), lineage, reason);
    }

    /// Drives `flow` to its end. Its writes finish even if the browser disconnects.
    async fn drive<T: 'static>(&self, flow: Flow<T>) -> Result<T, SessionError> {
        self.driver.drive(flow, self.wait_until.as_ref()).await
    }

    /// Passes `flow` to `waitUntil`, or drives it to its end if there is none.
    async fn later(&self, flow: Flow<()>) {
        let driver = self.driver.clone();
        let work = async move { drop(driver.drive(flow, None).await) };
        match &self.wait_until {
            Some(wait_until) => wait_until.leave(Box::pin(work)),
            None => work.await,
        }
    }
}

/// Shows neither the token nor any value. It counts as access, because the text may be on the page.
impl fmt::Debug for SessionStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.mark_accessed();
        f.debug_struct("SessionStore")
            .field("session_key", &self.public_key())
            .field("outcome", &self.outcome.map(Outcome::as_str))
            .field("state", &self.life.name())
            .field(
                "version",
                &self.continued().map(|base| base.version.counter),
            )
            .field(
                "keys",
                &self.life.data().map_or(0, |data| data.values.len()),
            )
            .field("modified", &self.modified())
            .finish_non_exhaustive()
    }
}
