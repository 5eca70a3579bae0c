//! When the session expires.

use std::time::{Duration, SystemTime};

use crate::port::error::SessionError;
use crate::port::time::{instant, seconds};
use crate::protocol::expiry::{Expiry, Limits, OwnLimits, seconds_left};
use crate::session::presented::Presented;
use crate::session::refusals::expired;

use super::SessionStore;

/// **Expiry.** A session ends at its hard end, after its idle time or at its own end, whichever
/// comes first.
impl SessionStore {
    /// How long until the session expires by whichever limit comes first, rounded up to whole
    /// seconds; zero if it has expired.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// use std::time::Duration;
    /// session.set_expiry(600)?;
    /// assert!(session.get_expiry_age()? <= Duration::from_secs(600));
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// As [`get_json`](Self::get_json).
    #[doc(alias = "expires_in")]
    #[doc(alias = "ttl")]
    pub fn get_expiry_age(&self) -> Result<Duration, SessionError> {
        let left = seconds_left(self.expiry_ms()?, self.now());
        // Less than 0 is over.
        Ok(Duration::from_secs(u64::try_from(left).unwrap_or_default()))
    }

    /// When the session expires by whichever limit comes first.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// use std::time::{Duration, SystemTime};
    /// let in_ten_years = SystemTime::now() + Duration::from_secs(10 * 365 * 86_400);
    /// session.set_expiry(in_ten_years)?;
    /// // The hard end of the lineage comes first.
    /// assert!(session.get_expiry_date()? < in_ten_years);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// As [`get_json`](Self::get_json).
    #[doc(alias = "expires_at")]
    pub fn get_expiry_date(&self) -> Result<SystemTime, SessionError> {
        Ok(instant(self.expiry_ms()?))
    }

    pub(crate) fn expiry_ms(&self) -> Result<i64, SessionError> {
        self.view()?;
        Ok(self.limits().end())
    }

    /// When the session expires if the browser sends no more requests. `None` without an idle
    /// limit.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// assert!(session.idle_expires_at()? <= Some(session.get_expiry_date()?));
    /// session.set_expiry(edge_session::Expiry::default_settings().no_idle())?;
    /// assert_eq!(session.idle_expires_at()?, None);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// As [`get_json`](Self::get_json).
    pub fn idle_expires_at(&self) -> Result<Option<SystemTime>, SessionError> {
        Ok(self.idle_expiry_ms()?.map(instant))
    }

    pub(crate) fn idle_expiry_ms(&self) -> Result<Option<i64>, SessionError> {
        self.view()?;
        Ok(self.limits().idle_end)
    }

    /// True if the cookies end when the browser closes.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// assert!(!session.get_expire_at_browser_close()?);
    /// session.set_expiry(0)?;
    /// assert!(session.get_expire_at_browser_close()?);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// As [`get_json`](Self::get_json).
    #[doc(alias = "expires_at_browser_close")]
    pub fn get_expire_at_browser_close(&self) -> Result<bool, SessionError> {
        self.view()?;
        Ok(self.ends_with_browser(self.effective_expiry()))
    }

    /// Sets when the session ends: an [`Expiry`] of an end, an idle time and browser close in any
    /// combination, or one of its short forms: seconds from now (0: at browser close; negative:
    /// already over), an instant (`SystemTime`), an idle time (`Duration`), or `None` for the
    /// default of the settings. It replaces everything that an earlier call has set. The hard end
    /// never moves.
    ///
    /// ```
    /// use edge_session::Expiry;
    /// use std::time::Duration;
    /// # edge_session::doc::with_session(|session| {
    /// const MINUTE: Duration = Duration::from_secs(60);
    /// session.set_expiry(600)?;
    /// assert_eq!(session.get_expiry_age()?, 10 * MINUTE);
    /// session.set_expiry(15 * MINUTE)?;
    /// assert_eq!(session.get_expiry_age()?, 15 * MINUTE);
    /// // Both, and with the browser:
    /// session.set_expiry(Expiry::after(10 * MINUTE).idle(15 * MINUTE).at_browser_close())?;
    /// assert_eq!(session.get_expiry_age()?, 10 * MINUTE);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// As [`remove`](Self::remove).
    #[doc(alias = "expire_at")]
    #[doc(alias = "expire_after")]
    pub fn set_expiry(&mut self, expiry: impl Into<Expiry>) -> Result<(), SessionError> {
        let expiry = OwnLimits::new(expiry.into(), self.now());
        let before = self.ends_with_browser(self.effective_expiry());
        self.edit()?;
        // Only the key cookie records whether it outlives the browser.
        let live = self.life.open().is_some_and(|open| open.base.is_live());
        if live && before != self.ends_with_browser(expiry) {
            self.cycle_key()?;
        }
        let known = self.continued().map(|base| base.expiry);
        let is_other = Some(expiry) != known || self.next().is_some();
        let draft = self.draft()?;
        let changes = is_other || draft.has_tried_limits;
        draft.limits = changes.then_some(expiry);
        Ok(())
    }

    fn effective_expiry(&self) -> OwnLimits {
        let known = match self.next() {
            Some(next) if !next.continues => Some(next.kept),
            _ => self.continued().map(|base| base.expiry),
        };
        let set = self.life.open().and_then(|open| open.draft.limits);
        set.or(known).unwrap_or_default()
    }

    pub(super) fn ends_with_browser(&self, expiry: OwnLimits) -> bool {
        expiry.ends_with_browser(self.shared.config().settings().expire_at_browser_close())
    }

    fn limits(&self) -> Limits {
        let now = self.now();
        let age = self.shared.config().age();
        let known = self.life.open().and_then(|open| open.base.known());
        let (seen, end) = match (self.next(), self.presented(), known) {
            (Some(next), ..) => (now, next.identity.ticket.end(age)),
            (None, Presented::Session(session), Some(known)) => (
                known.last_seen.max(self.loaded_at),
                session.identity.ticket.end(age),
            ),
            _ => (now, now.saturating_add(age)),
        };
        Limits::new(
            self.effective_expiry(),
            seconds(self.shared.config().settings().idle_timeout()),
            seen,
            end,
        )
    }

    /// Whether the session has expired since it was loaded.
    pub(super) fn check_expiry(&self) -> Result<(), SessionError> {
        if self.limits().passed(self.now()) {
            return Err(self.refuse(expired()));
        }
        Ok(())
    }
}
