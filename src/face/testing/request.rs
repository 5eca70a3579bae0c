//! The head of a request that a browser sends.

use crate::port::request::RequestHead;

/// A request: a method, a path, and headers. The browser adds its cookies.
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    place: Option<String>,
}

impl Request {
    /// A request with this method. What follows a `?` in the path decides about no cookie.
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

    /// The same with a header, which replaces one of this name.
    ///
    /// With `sec-fetch-site: cross-site` it comes from another site's page, and the browser
    /// withholds cookies as their `SameSite` says.
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

    /// The same from a place: the country code that a platform gives.
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

    /// Without what follows the path.
    pub(super) fn path(&self) -> &str {
        let end = self.path.find(['?', '#']).unwrap_or(self.path.len());
        self.path.get(..end).unwrap_or_default()
    }

    pub(super) fn is_cross_site(&self) -> bool {
        self.header("sec-fetch-site").as_deref() == Some("cross-site")
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
