//! What happens to sessions, for logs and alarms.
//!
//! Events are off unless a sink is set. An event identifies its session by a keyed hash of the
//! lineage. The hash stays the same after a rotation, and cannot be used to open, find or revoke a
//! session. An event never contains a token, a key or a value.

use std::fmt;
use std::rc::Rc;
use std::time::SystemTime;

use crate::port::time::{instant, milliseconds};

/// What happened to a session.
///
/// ```
/// use edge_session::{Event, EventKind, EventSink};
///
/// struct Alarm;
/// impl EventSink for Alarm {
///     fn event(&self, event: &Event) {
///         if event.kind == EventKind::StoreError {
///             eprintln!("the store failed: {}", event.reason.unwrap_or_default());
///         }
///     }
/// }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum EventKind {
    /// A new session was stored.
    Created,
    /// A user logged in.
    Bound,
    /// The key changed in this request.
    Cycled,
    /// The session was loaded.
    Loaded,
    /// The request carried an old key of a session that continues under a new one.
    Rotated,
    /// The session was ended in this request.
    Destroyed,
    /// The session had expired.
    Expired,
    /// The cookie was not ours. The reason says which check failed.
    Rejected,
    /// The request carried authentic cookies of two different sessions.
    Ambiguous,
    /// The request carried the key of a session that was ended.
    Revoked,
    /// The session was too new to be visible.
    Pending,
    /// Only an older copy was visible.
    Stale,
    /// The session was no longer in the store.
    Gone,
    /// The stored record could not be opened.
    Corrupt,
    /// Two copies written without knowledge of each other were joined.
    Conflict,
    /// A logout could not be stored yet.
    RevocationPending,
    /// After a login, sessions beyond `SESSION_MAX_PER_OWNER` could not be ended. The reason is the
    /// code of the error.
    LimitNotEnforced,
    /// The store failed. The reason is the code of the error.
    StoreError,
}

impl EventKind {
    /// The stable text of this kind.
    ///
    /// ```
    /// assert_eq!(edge_session::EventKind::RevocationPending.as_str(), "revocation_pending");
    /// ```
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Bound => "bound",
            Self::Cycled => "cycled",
            Self::Loaded => "loaded",
            Self::Rotated => "rotated",
            Self::Destroyed => "destroyed",
            Self::Expired => "expired",
            Self::Rejected => "rejected",
            Self::Ambiguous => "ambiguous",
            Self::Revoked => "revoked",
            Self::Pending => "pending",
            Self::Stale => "stale",
            Self::Gone => "gone",
            Self::Corrupt => "corrupt",
            Self::Conflict => "conflict",
            Self::RevocationPending => "revocation_pending",
            Self::LimitNotEnforced => "limit_not_enforced",
            Self::StoreError => "store_error",
        }
    }
}

/// One thing that happened.
///
/// ```
/// fn line(event: &edge_session::Event) -> String {
///     let session = event.session.as_deref().unwrap_or("-");
///     format!("{:?} {} {session}", event.at, event.kind.as_str())
/// }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Event {
    /// What.
    pub kind: EventKind,
    /// When. In [`to_json`](Self::to_json) it is in milliseconds since 1970-01-01 UTC.
    pub at: SystemTime,
    /// A keyed hash that identifies the session. `None` if no session was proven.
    pub session: Option<String>,
    /// The reason, a fixed word, if there can be more than one.
    pub reason: Option<&'static str>,
}

impl Event {
    pub(crate) fn new(
        kind: EventKind,
        at: i64,
        session: Option<String>,
        reason: Option<&'static str>,
    ) -> Self {
        Self {
            kind,
            at: instant(at),
            session,
            reason,
        }
    }

    /// This event as one line of JSON. Every part is a number, a fixed word or base64url, so no
    /// request data can break out of the line.
    ///
    /// ```
    /// # use edge_session::{CookieHeader, Event, EventSink, SecretRing, Sessions, Settings};
    /// # use edge_session::connector::MemoryConnector;
    /// struct Log;
    /// impl EventSink for Log {
    ///     fn event(&self, event: &Event) {
    ///         assert!(event.to_json().starts_with(r#"{"event":"created","#));
    ///     }
    /// }
    /// # futures_executor::block_on(async {
    /// # let ring = SecretRing::parse(&edge_session::doc::secret())?;
    /// # let connector = MemoryConnector::new();
    /// let sessions = Sessions::new(connector, ring, Settings::default())?.with_events(Log);
    /// # let mut session = sessions.load(CookieHeader::none()).await;
    /// # session.set("a", 1)?;
    /// # let _ = sessions.commit(&mut session, 200).await?;
    /// # Ok::<(), edge_session::SessionError>(())
    /// # }).unwrap();
    /// ```
    #[must_use]
    pub fn to_json(&self) -> String {
        let at = milliseconds(self.at);
        let mut out = format!(r#"{{"event":"{}","at":{at}"#, self.kind.as_str());
        if let Some(session) = &self.session {
            out.push_str(&format!(r#","session":"{session}""#));
        }
        if let Some(reason) = self.reason {
            out.push_str(&format!(r#","reason":"{reason}""#));
        }
        out.push('}');
        out
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_json())
    }
}

/// Receives events. It is called in the middle of a request, so it must be quick and must not fail.
///
/// ```
/// use std::cell::Cell;
/// use std::rc::Rc;
///
/// use edge_session::{Event, EventKind, EventSink};
///
/// /// Counts logins.
/// #[derive(Clone, Default)]
/// struct Logins(Rc<Cell<u32>>);
///
/// impl EventSink for Logins {
///     fn event(&self, event: &Event) {
///         if event.kind == EventKind::Bound {
///             self.0.set(self.0.get() + 1);
///         }
///     }
/// }
/// ```
pub trait EventSink {
    /// Receives one event.
    fn event(&self, event: &Event);
}

/// A sink that can be shared.
pub(crate) type Sink = Rc<dyn EventSink>;
