//! What a commit wants on the response.

use zeroize::Zeroize as _;

use crate::protocol::cache_control;

/// The header fields that a commit wants on the response.
///
/// ```
/// # edge_session::doc::run(async |sessions| {
/// use edge_session::CookieHeader;
/// let mut session = sessions.load(CookieHeader::none()).await;
/// session.get::<u32>("views")?;
/// let headers = sessions.commit(&mut session, 200).await?;
/// assert!(headers.set_cookie().is_empty(), "nothing was saved");
/// assert!(headers.depends_on_session(), "but something was looked at");
/// assert_eq!(headers.cache_control(None)[0], ("cache-control", "no-store"));
/// assert_eq!(headers.vary(Some("Accept")).as_deref(), Some("Accept, Cookie"));
/// # Ok(()) });
/// ```
#[must_use = "a session is kept by putting these headers on the response"]
#[derive(Clone, Default, PartialEq, Eq)]
pub struct CommitHeaders {
    pub(crate) set_cookie: Vec<String>,
    pub(crate) depends_on_session: bool,
    /// `SESSION_ALLOW_PRIVATE_CACHE`.
    pub(crate) allows_private_cache: bool,
    /// What the request has measured; said only where the answer depends on the session.
    pub(crate) server_timing: Option<String>,
}

const NO_STORE: &[(&str, &str)] = &[
    ("cache-control", "no-store"),
    ("cdn-cache-control", "no-store"),
    ("cloudflare-cdn-cache-control", "no-store"),
];
/// The same without `Cache-Control`, which caches of a CDN look at last.
const CDN_NO_STORE: &[(&str, &str)] = NO_STORE.split_at(1).1;

/// One of them carries a token.
impl Drop for CommitHeaders {
    fn drop(&mut self) {
        self.set_cookie.zeroize();
    }
}

impl CommitHeaders {
    /// What an answer that depends on its session carries at least.
    #[cfg(all(target_arch = "wasm32", feature = "js"))]
    pub(crate) fn of_session() -> Self {
        let mut headers = Self::default();
        headers.depends_on_session = true;
        headers
    }

    /// Values for one `Set-Cookie` field each: append them, never join them.
    ///
    /// ```
    /// # edge_session::doc::run(async |sessions| {
    /// # use edge_session::CookieHeader;
    /// # let mut session = sessions.load(CookieHeader::none()).await;
    /// session.set("views", 1)?;
    /// let headers = sessions.commit(&mut session, 200).await?;
    /// let names = headers.set_cookie().iter().filter_map(|line| line.split('=').next());
    /// assert_eq!(names.collect::<Vec<_>>(), ["__Host-session", "__Host-session-fresh"]);
    /// # Ok(()) });
    /// ```
    #[must_use]
    pub fn set_cookie(&self) -> &[String] {
        &self.set_cookie
    }

    /// True where the answer depends on the session: it must carry `Cache-Control: no-store` and
    /// `Vary: Cookie` (RFC 9111 sections 4.1 and 5.2.2.5).
    ///
    /// ```
    /// # edge_session::doc::run(async |sessions| {
    /// # use edge_session::CookieHeader;
    /// # let mut session = sessions.load(CookieHeader::none()).await;
    /// let headers = sessions.commit(&mut session, 200).await?;
    /// assert!(!headers.depends_on_session(), "nobody looked at it");
    /// # Ok(()) });
    /// ```
    #[must_use]
    pub fn depends_on_session(&self) -> bool {
        self.depends_on_session
    }

    /// The value for `Vary`, given the one that the response has: `Cookie` is added where it and
    /// `*` are missing. `None` where nothing has to change.
    ///
    /// ```
    /// # edge_session::doc::run(async |sessions| {
    /// # use edge_session::CookieHeader;
    /// # let mut session = sessions.load(CookieHeader::none()).await;
    /// session.set("views", 1)?;
    /// let headers = sessions.commit(&mut session, 200).await?;
    /// assert_eq!(headers.vary(None).as_deref(), Some("Cookie"));
    /// assert_eq!(headers.vary(Some("*")), None);
    /// # Ok(()) });
    /// ```
    #[must_use]
    pub fn vary(&self, existing: Option<&str>) -> Option<String> {
        if !self.depends_on_session {
            return None;
        }
        let existing = existing.map(str::trim).unwrap_or_default();
        if existing.is_empty() {
            return Some("Cookie".to_owned());
        }
        let covered = existing
            .split(',')
            .map(str::trim)
            .any(|field| field == "*" || field.eq_ignore_ascii_case("cookie"));
        (!covered).then(|| format!("{existing}, Cookie"))
    }

    /// Fields that keep every cache from storing the answer, the CDN's included, given the
    /// `Cache-Control` that the response has; they replace what it says. That one stays out of them
    /// where the response can keep its own: where it has `no-store`, and with
    /// [`SESSION_ALLOW_PRIVATE_CACHE`](crate::Settings::with_allow_private_cache) where it has
    /// `private` and no cookie is set.
    ///
    /// ```
    /// # edge_session::doc::run(async |sessions| {
    /// # use edge_session::CookieHeader;
    /// # let mut session = sessions.load(CookieHeader::none()).await;
    /// session.set("views", 1)?;
    /// let headers = sessions.commit(&mut session, 200).await?;
    /// let no_store = [
    ///     ("cache-control", "no-store"),
    ///     ("cdn-cache-control", "no-store"),
    ///     ("cloudflare-cdn-cache-control", "no-store"),
    /// ];
    /// assert_eq!(headers.cache_control(None), no_store);
    /// assert_eq!(headers.cache_control(Some("private, no-cache")), no_store);
    /// assert_eq!(headers.cache_control(Some("private, no-store, max-age=0")), &no_store[1..]);
    /// # Ok(()) });
    /// ```
    #[must_use]
    pub fn cache_control(&self, existing: Option<&str>) -> &'static [(&'static str, &'static str)] {
        if !self.depends_on_session {
            return &[];
        }
        let may_be_private = self.allows_private_cache && self.set_cookie.is_empty();
        match existing {
            Some(own) if cache_control::keeps(own, may_be_private) => CDN_NO_STORE,
            _ => NO_STORE,
        }
    }

    /// A value for `Server-Timing`, to be appended to those that the response has, where
    /// `SESSION_SERVER_TIMING` is on and the answer depends on the session:
    /// `session;dur=12;desc="get 1 keys 2 put 1 delete 0 list 0"`, the milliseconds that this
    /// request's session waited for the store, and what it asked of it.
    ///
    /// ```
    /// # use edge_session::connector::MemoryConnector;
    /// # use edge_session::{CookieHeader, SecretRing, Sessions, Settings};
    /// # futures_executor::block_on(async {
    /// # let ring = SecretRing::parse(&edge_session::doc::secret())?;
    /// let settings = Settings::default().with_server_timing(true);
    /// # let sessions = Sessions::new(MemoryConnector::new(), ring, settings)?;
    /// # let mut session = sessions.load(CookieHeader::none()).await;
    /// session.set("views", 1)?;
    /// let headers = sessions.commit(&mut session, 200).await?;
    /// assert!(headers.server_timing().unwrap().ends_with("put 1 delete 0 list 0\""));
    /// # Ok::<(), edge_session::SessionError>(())
    /// # }).unwrap();
    /// ```
    #[must_use]
    pub fn server_timing(&self) -> Option<&str> {
        self.server_timing
            .as_deref()
            .filter(|_| self.depends_on_session)
    }

    /// True where the response stays as it is.
    ///
    /// ```
    /// # edge_session::doc::run(async |sessions| {
    /// # use edge_session::CookieHeader;
    /// # let mut session = sessions.load(CookieHeader::none()).await;
    /// let headers = sessions.commit(&mut session, 200).await?;
    /// assert!(headers.is_empty());
    /// # Ok(()) });
    /// ```
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.set_cookie.is_empty() && !self.depends_on_session
    }
}

impl std::fmt::Debug for CommitHeaders {
    /// The cookies' names only: their values are secrets.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = self
            .set_cookie
            .iter()
            .map(|cookie| cookie.split('=').next().unwrap_or(""));
        f.debug_struct("CommitHeaders")
            .field("set_cookie", &names.collect::<Vec<_>>())
            .field("depends_on_session", &self.depends_on_session)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vary_is_merged() {
        let headers = CommitHeaders {
            depends_on_session: true,
            allows_private_cache: false,
            set_cookie: Vec::new(),
            server_timing: None,
        };
        for (existing, merged) in [
            (None, Some("Cookie")),
            (Some(" "), Some("Cookie")),
            (Some("Accept"), Some("Accept, Cookie")),
            (Some("accept, COOKIE"), None),
            (Some("*"), None),
        ] {
            assert_eq!(headers.vary(existing).as_deref(), merged, "{existing:?}");
        }
        assert_eq!(CommitHeaders::default().vary(None), None);
    }

    #[test]
    fn no_cookie_value_is_printed() {
        let set_cookie = vec!["__Host-session=SECRET; Path=/".to_owned()];
        let headers = CommitHeaders {
            set_cookie,
            depends_on_session: true,
            allows_private_cache: false,
            server_timing: None,
        };
        let text = format!("{headers:?}");
        assert!(
            text.contains("__Host-session") && !text.contains("SECRET"),
            "{text}"
        );
    }
}
