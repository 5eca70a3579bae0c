//! Committing: performs pending work and closes the session for changes.

use std::rc::Rc;

use crate::face::headers::CommitHeaders;
use crate::port::error::SessionError;
use crate::port::time::seconds;
use crate::protocol::outcome::Outcome;
use crate::session::life::{Open, committed};
use crate::session::presented::Presented;

use super::SessionStore;

/// **For adapters: the response.** [`Sessions::commit`](crate::Sessions::commit) closes the session
/// and returns its headers.
impl SessionStore {
    /// Performs the pending work and closes the session for changes.
    pub(crate) async fn commit(&mut self, status: u16) -> Result<CommitHeaders, SessionError> {
        if self.life.is_committed() {
            return Err(committed());
        }
        let mut result = Ok(());
        if status < 500 && !self.life.is_unloaded() {
            result = self.persist().await;
            // After a failed save, do not repair: that would carry out the save after all, although
            // the response says that it failed.
            if result.is_ok()
                && let Some(repair) = self.begin_repair()
            {
                let saved = self.drive(repair).await;
                self.apply_repair(saved);
            }
        }
        self.close(status, result)
    }

    /// The last step of a commit: extends the idle time if that is due, and closes the session.
    pub(crate) fn close(
        &mut self,
        status: u16,
        saved: Result<(), SessionError>,
    ) -> Result<CommitHeaders, SessionError> {
        if saved.is_ok() && status < 500 && !self.answer.has_fresh() && self.seen_is_due() {
            self.slide();
        }
        self.life.commit();
        saved?;
        let headers = self.done_headers();
        // In JavaScript the package decides. A visitor without a cookie has nothing of anybody.
        let is_late = !headers.depends_on_session && self.outcome != Some(Outcome::New);
        if is_late && !cfg!(feature = "js") {
            self.accessed.set_late();
        }
        Ok(headers)
    }

    /// The headers for what `destroy`, `flush` or an explicit `save` has already done. Use them for
    /// a response that is sent because the commit failed.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// # futures_executor::block_on(async {
    /// session.set("views", 1)?;
    /// session.save().await?;
    /// // Were the commit to fail, the answer would still carry the cookies of that save.
    /// assert_eq!(session.done_headers().set_cookie().len(), 2);
    /// # Ok(()) })
    /// # });
    /// ```
    pub fn done_headers(&self) -> CommitHeaders {
        let all = self.answer.fields().chain(self.form.fields());
        let set_cookie: Vec<String> = all.cloned().collect();
        let depends_on_session = !set_cookie.is_empty() || self.accessed();
        CommitHeaders {
            set_cookie,
            depends_on_session,
            allows_private_cache: self.shared.config().settings().allow_private_cache(),
            server_timing: self.shared.timing().map(|timing| timing.header()),
        }
    }

    /// True if the seen cookie must record this visit.
    pub(crate) fn seen_is_due(&self) -> bool {
        let idle = seconds(self.shared.config().settings().idle_timeout());
        let open = self.life.open();
        open.is_some_and(|open| open.seen_is_due(idle, self.loaded_at))
    }

    fn slide(&mut self) {
        let continued = self.life.open().and_then(Open::continued);
        let (Presented::Session(session), Some(base)) = (self.presented(), continued) else {
            return;
        };
        let (session, expiry) = (Rc::clone(session), base.expiry);
        let ticket = &session.identity.ticket;
        let ends_with_browser = self.ends_with_browser(expiry);
        let config = self.shared.config();
        if let Some(secret) = config.ring().find(ticket.secret) {
            self.answer
                .set_seen(config, secret, ticket, ends_with_browser, self.loaded_at);
        }
    }
}
