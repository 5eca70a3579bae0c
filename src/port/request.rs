//! What a session reads of its request.

use std::fmt;

use zeroize::Zeroizing;

/// The head of the request that a session belongs to.
///
/// Each part, including the Cookie header, is read only when it is needed: an unused session costs
/// nothing.
///
/// ```
/// use edge_session::RequestHead;
///
/// /// A request of a framework of one's own.
/// struct Head(Vec<(&'static str, String)>);
///
/// impl RequestHead for Head {
///     fn header(&self, name: &str) -> Option<String> {
///         let found = self.0.iter().find(|(known, _)| *known == name);
///         found.map(|(_, value)| value.clone())
///     }
///
///     fn method(&self) -> String {
///         "GET".to_owned()
///     }
/// }
/// ```
pub trait RequestHead {
    /// The value of a request header, or `None` if it is absent. `name` is in lower case.
    fn header(&self, name: &str) -> Option<String>;

    /// The request method in upper case.
    fn method(&self) -> String;

    /// Where the request came from, coarsely: a country code (`request.cf.country`).
    fn place(&self) -> Option<String> {
        None
    }
}

/// A request of which only the Cookie header is known.
///
/// ```
/// use edge_session::{CookieHeader, RequestHead as _};
/// let head = CookieHeader::new("a=1");
/// assert_eq!((head.header("cookie").as_deref(), &*head.method()), (Some("a=1"), "GET"));
/// ```
#[derive(Clone, Default)]
pub struct CookieHeader(Option<Zeroizing<String>>);

impl CookieHeader {
    /// The head of a `GET` with this Cookie header.
    ///
    /// ```
    /// # edge_session::doc::run(async |sessions| {
    /// use edge_session::CookieHeader;
    /// let session = sessions.open(CookieHeader::new("__Host-session=…"));
    /// # let _ = session;
    /// # Ok(()) });
    /// ```
    pub fn new(cookie: impl Into<String>) -> Self {
        Self(Some(Zeroizing::new(cookie.into())))
    }

    /// The head of a `GET` without a Cookie header.
    ///
    /// ```
    /// # edge_session::doc::run(async |sessions| {
    /// use edge_session::CookieHeader;
    /// assert!(sessions.load(CookieHeader::none()).await.is_new()?);
    /// # Ok(()) });
    /// ```
    #[must_use]
    pub fn none() -> Self {
        Self(None)
    }
}

impl RequestHead for CookieHeader {
    fn header(&self, name: &str) -> Option<String> {
        if name == "cookie" {
            self.0.as_deref().cloned()
        } else {
            None
        }
    }

    fn method(&self) -> String {
        "GET".to_owned()
    }
}

/// Only its length: the cookies' values are secrets.
impl fmt::Debug for CookieHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CookieHeader")
            .field("bytes", &self.0.as_deref().map(String::len))
            .finish_non_exhaustive()
    }
}
