//! The header fields of a commit.

use zeroize::Zeroize as _;

use crate::protocol::cache_control;

/// The header fields to put on the response after a commit.
///
/// ```
/// # edge_session::doc::run(async |sessions| {
/// use edge_session::CookieHeader;
/// let mut session = sessions.load(CookieHeader::none()).await;
/// session.get::<u32>("views")?;
/// let headers = sessions.commit(&mut session, 200).await?;
/// assert!(headers.set_cookie().is_empty(), "nothing was saved");
/// assert!(headers.depends_on_session(), "but a value was read");
/// assert_eq!(headers.cache_control(None)[0], ("cache-control", "no-store"));
/// assert_eq!(headers.vary(Some("Accept")).as_deref(), Some("Accept, Cookie"));
/// # Ok(()) });
/// ```
#[must_use = "put these headers on the response, or the browser loses the session"]
#[derive(Clone, Default, PartialEq, Eq)]
pub struct CommitHeaders {
    pub(crate) set_cookie: Vec<String>,
    pub(crate) depends_on_session: bool,
    /// `SESSION_ALLOW_PRIVATE_CACHE`.
    pub(crate) allows_private_cache: bool,
    /// The request's timing. Sent only if the response depends on the session.
    pub(crate) server_timing: Option<String>,
}

const NO_STORE: &[(&str, &str)] = &[
    ("cache-control", "no-store"),
    ("cdn-cache-control", "no-store"),
    ("cloudflare-cdn-cache-control", "no-store"),
];
/// The same without `Cache-Control`, which CDN caches use only if the others are missing.
const CDN_NO_STORE: &[(&str, &str)] = NO_STORE.split_at(1).1;

/// One of the cookies contains a token.
impl Drop for CommitHeaders {
    fn drop(&mut self) {
        self.set_cookie.zeroize();
    }
}

impl CommitHeaders {
    /// The minimum for a response that depends on its session.
    #[cfg(all(target_arch = "wasm32", feature = "js"))]
    pub(crate) fn of_session() -> Self {
        let mut headers = Self::default();
        headers.depends_on_session = true;
        headers
    }

    /// The values of the `Set-Cookie` fields. Append one field for each; never join them.
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

    /// True if the response depends on the session. It must then have `Cache-Control: no-store` and
    /// `Vary: Cookie` (RFC 9111 sections 4.1 and 5.2.2.5).
    ///
    /// ```
    /// # edge_session::doc::run(async |sessions| {
    /// # use edge_session::CookieHeader;
    /// # let mut session = sessions.load(CookieHeader::none()).await;
    /// let headers = sessions.commit(&mut session, 200).await?;
    /// assert!(!headers.depends_on_session(), "the session was not used");
    /// # Ok(()) });
    /// ```
    #[must_use]
    pub fn depends_on_session(&self) -> bool {
        self.depends_on_session
    }

    /// The new value of `Vary`, given the existing one: adds `Cookie` unless it or `*` is present.
    /// `None` if nothing has to change.
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

    /// Header fields that prevent every cache, including the CDN's, from storing the response. Set
    /// them, replacing existing values. `existing` is the `Cache-Control` of the response.
    /// `cache-control` is left out if the existing value may stay: if it contains `no-store`, or, with
    /// [`SESSION_ALLOW_PRIVATE_CACHE`](crate::Settings::with_allow_private_cache), if it contains
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

    /// A value to append to `Server-Timing`, if `SESSION_SERVER_TIMING` is on and the response depends
    /// on the session: `session;dur=12;desc="get 1 keys 2 put 1 delete 0 list 0"`. It contains the
    /// milliseconds that this request waited for the store, and its store operations.
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

    /// True if the response needs no changes.
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
    /// Shows only the names of the cookies, because their values are secrets.
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
