//! The request that a test browser sends.

use std::fmt;

use crate::port::request::RequestHead;

/// A request with method, path and headers. The browser adds its cookies.
///
/// ```
/// use edge_session::testing::{Request, World};
/// # futures_executor::block_on(async {
/// let mut browser = World::default().browser();
/// let request = Request::post("/cart").with_header("user-agent", "Firefox");
/// browser.send(request, async |session| session.set("cart", ["apple"])).await?;
/// # Ok::<(), edge_session::SessionError>(())
/// # }).unwrap();
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Request {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    place: Option<String>,
}

impl Request {
    /// A request with this method and path. A query string in the path is ignored.
    ///
    /// ```
    /// use edge_session::RequestHead as _;
    /// use edge_session::testing::Request;
    /// assert_eq!(Request::new("DELETE", "/cart").method(), "DELETE");
    /// ```
    #[must_use]
    pub fn new(method: &str, path: &str) -> Self {
        Self {
            method: method.to_owned(),
            path: path.to_owned(),
            headers: Vec::new(),
            place: None,
        }
    }

    /// A `GET`.
    ///
    /// ```
    /// use edge_session::RequestHead as _;
    /// use edge_session::testing::Request;
    /// assert_eq!(Request::get("/").method(), "GET");
    /// ```
    #[must_use]
    pub fn get(path: &str) -> Self {
        Self::new("GET", path)
    }

    /// A `POST`.
    ///
    /// ```
    /// use edge_session::RequestHead as _;
    /// use edge_session::testing::Request;
    /// assert_eq!(Request::post("/login").method(), "POST");
    /// ```
    #[must_use]
    pub fn post(path: &str) -> Self {
        Self::new("POST", path)
    }

    /// Sets a header, and replaces an earlier value.
    ///
    /// With `sec-fetch-site: cross-site` the request comes from another site, and the browser
    /// leaves out cookies as their `SameSite` attribute demands.
    ///
    /// ```
    /// use edge_session::Outcome;
    /// use edge_session::testing::{Request, World};
    /// # futures_executor::block_on(async {
    /// let mut browser = World::default().browser();
    /// browser.handle(async |session| session.set("views", 1)).await?;
    /// let request = Request::post("/").with_header("sec-fetch-site", "cross-site");
    /// let outcome = browser.send(request, async |session| session.outcome()).await?;
    /// assert_eq!(outcome, Outcome::New, "SameSite=Lax");
    /// # Ok::<(), edge_session::SessionError>(())
    /// # }).unwrap();
    /// ```
    #[must_use]
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        let name = name.to_ascii_lowercase();
        self.headers.retain(|(known, _)| *known != name);
        self.headers.push((name, value.to_owned()));
        self
    }

    /// Sets the place that the request comes from: a country code, as Cloudflare provides it.
    ///
    /// ```
    /// use edge_session::RequestHead as _;
    /// use edge_session::testing::Request;
    /// assert_eq!(Request::get("/").with_place("NL").place().as_deref(), Some("NL"));
    /// ```
    #[must_use]
    pub fn with_place(mut self, place: &str) -> Self {
        self.place = Some(place.to_owned());
        self
    }

    /// The path without query string and fragment.
    pub(super) fn path(&self) -> &str {
        let end = self.path.find(['?', '#']).unwrap_or(self.path.len());
        self.path.get(..end).unwrap_or_default()
    }

    pub(super) fn is_cross_site(&self) -> bool {
        self.header("sec-fetch-site").as_deref() == Some("cross-site")
    }
}

/// Only the names of the headers: a cookie or a token may be among them.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| &**name).collect();
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("path", &self.path())
            .field("headers", &names)
            .field("place", &self.place)
            .finish()
    }
}

impl RequestHead for Request {
    fn header(&self, name: &str) -> Option<String> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.clone())
    }

    fn method(&self) -> String {
        self.method.clone()
    }

    fn place(&self) -> Option<String> {
        self.place.clone()
    }
}
