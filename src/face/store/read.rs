//! Reading the dictionary. Values are parsed when they are read.

use std::rc::Rc;

use serde::de::DeserializeOwned;

use crate::port::error::{ErrorCode, SessionError};
use crate::session::value::{from_entries, from_json};

use super::SessionStore;

/// **Reading.** The session as a dictionary. Values are parsed when they are read; an outcome that
/// cannot be trusted is an error of every method here.
impl SessionStore {
    /// The value of `key`, or `None` if the session has no such key.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// session.set("views", 3)?;
    /// assert_eq!(session.get::<u32>("views")?, Some(3));
    /// assert_eq!(session.get::<u32>("absent")?, None);
    /// assert_eq!(session.get::<String>("views").unwrap_err().code().as_str(), "wrong_type");
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// `wrong_type` if the value is not a `T`; `not_loaded` before a load; the error of the load if
    /// its result cannot be trusted.
    pub fn get<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, SessionError> {
        self.view()?
            .values
            .get(key)
            .map(|text| from_json(key, text))
            .transpose()
    }

    /// The JSON text under `key`, as it is stored.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// session.set("cart", ["apple"])?;
    /// assert_eq!(session.get_json("cart")?.as_deref(), Some(r#"["apple"]"#));
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// As [`get`](Self::get), except `wrong_type`.
    pub fn get_json(&self, key: &str) -> Result<Option<Rc<str>>, SessionError> {
        Ok(self.view()?.values.get(key).cloned())
    }

    /// The value of a key that must exist.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// session.set("user", "ada")?;
    /// assert_eq!(session.require::<String>("user")?, "ada");
    /// assert_eq!(session.require::<String>("none").unwrap_err().code().as_str(), "missing_key");
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// `missing_key` if it does not exist; otherwise as [`get`](Self::get).
    #[doc(alias = "get_or_err")]
    pub fn require<T: DeserializeOwned>(&self, key: &str) -> Result<T, SessionError> {
        self.get(key)?.ok_or_else(|| missing(key))
    }

    /// All values as one struct, whose fields are the keys, or as one map.
    ///
    /// A new session is empty, so mark every field that may be missing with `#[serde(default)]`.
    /// Keys without a field are ignored. [`set_data`](Self::set_data) is the inverse.
    ///
    /// ```
    /// use serde::{Deserialize, Serialize};
    ///
    /// #[derive(Default, Deserialize, Serialize)]
    /// #[serde(default)]
    /// struct MySession {
    ///     views: u32,
    ///     cart: Vec<String>,
    /// }
    ///
    /// # edge_session::doc::with_session(|session| {
    /// let mut my: MySession = session.data()?;
    /// my.views += 1;
    /// my.cart.push("apple".to_owned());
    /// session.set_data(&my)?;
    /// assert_eq!(session.get::<u32>("views")?, Some(1));
    ///
    /// session.set("views", "many")?;
    /// let refused = session.data::<MySession>().err().unwrap();
    /// assert_eq!(refused.code().as_str(), "wrong_type");
    /// assert!(refused.message().starts_with("\"views\" does not have"));
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn data<T: DeserializeOwned>(&self) -> Result<T, SessionError> {
        from_entries(self.iter()?)
    }

    /// True if the session has a value for `key`. `null` and `false` count as values.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// session.set("choice", None::<u8>)?;
    /// assert!(session.contains_key("choice")?, "`null` is a value too");
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// As [`get_json`](Self::get_json).
    pub fn contains_key(&self, key: &str) -> Result<bool, SessionError> {
        Ok(self.view()?.values.get(key).is_some())
    }

    /// The number of keys.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// session.update([("a", 1), ("b", 2)])?;
    /// assert_eq!(session.len()?, 2);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// As [`get_json`](Self::get_json).
    pub fn len(&self) -> Result<usize, SessionError> {
        Ok(self.view()?.values.len())
    }

    /// True if the session has neither values nor flash values.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// assert!(session.is_empty()?);
    /// session.flash("notice", "Saved.")?;
    /// assert!(!session.is_empty()?);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// As [`get_json`](Self::get_json).
    pub fn is_empty(&self) -> Result<bool, SessionError> {
        Ok(self.view()?.is_empty())
    }

    /// Keys and their JSON texts, in order of insertion.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// session.update([("b", 1), ("a", 2)])?;
    /// let pairs: Vec<(&str, &str)> = session.iter()?.collect();
    /// assert_eq!(pairs, [("b", "1"), ("a", "2")]);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// As [`get_json`](Self::get_json).
    pub fn iter(&self) -> Result<impl Iterator<Item = (&str, &str)>, SessionError> {
        Ok(self
            .view()?
            .values
            .iter()
            .map(|(key, text)| (&**key, &**text)))
    }

    /// The keys, in order of insertion.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// session.update([("b", 1), ("a", 2)])?;
    /// assert_eq!(session.keys()?.collect::<Vec<_>>(), ["b", "a"]);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// As [`get_json`](Self::get_json).
    pub fn keys(&self) -> Result<impl Iterator<Item = &str>, SessionError> {
        Ok(self.iter()?.map(|(key, _)| key))
    }

    /// The JSON texts of the values, in order of insertion.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// session.update([("b", 1), ("a", 2)])?;
    /// assert_eq!(session.values()?.collect::<Vec<_>>(), ["1", "2"]);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// As [`get_json`](Self::get_json).
    pub fn values(&self) -> Result<impl Iterator<Item = &str>, SessionError> {
        Ok(self.iter()?.map(|(_, text)| text))
    }

    /// The values and the flash values, for JavaScript's own dictionary.
    #[cfg(all(target_arch = "wasm32", feature = "js"))]
    pub(crate) fn entries(&self) -> Option<[&crate::protocol::data::Table; 2]> {
        let data = self.life.data().ok()?;
        Some([&data.values, &data.flash])
    }
}

pub(super) fn missing(key: &str) -> SessionError {
    SessionError::new(
        ErrorCode::MissingKey,
        format!("the session has no key {key:?}"),
    )
}
