//! Errors as HTTP responses.

use crate::port::error::SessionError;
use crate::protocol::json_object::Object;

impl SessionError {
    /// This error as a problem document (RFC 9457): the text of `application/problem+json`, with
    /// the stable code as its member `code`.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// let error = session.require::<u32>("views").unwrap_err();
    /// assert!(error.to_problem().contains(r#""code":"missing_key""#));
    /// # Ok(()) });
    /// ```
    #[must_use]
    pub fn to_problem(&self) -> String {
        problem(self.code().as_str(), self.code().status(), self.message())
    }
}

/// A problem document of type `about:blank` (RFC 9457 section 4.2.1).
pub(crate) fn problem(code: &str, status: u16, detail: &str) -> String {
    let title = code.replace('_', " ");
    let mut out = Object::new();
    out.text("type", "about:blank");
    out.number("status", status.into());
    out.text("title", &title);
    out.text("detail", detail);
    out.text("code", code);
    out.end()
}
