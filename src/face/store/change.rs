//! Changing the dictionary.

use std::rc::Rc;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::port::error::{ErrorCode, SessionError};
use crate::session::life::Modified;
use crate::session::size::check_key;
use crate::session::value::{from_json, to_entries, to_json};

use super::SessionStore;
use super::read::missing;

/// **Changing.** Changes stay in memory until the commit or [`save`](Self::save). Setting an equal
/// value does not count as a change.
impl SessionStore {
    /// Sets `key` to `value`. Setting an equal value does not mark the session as modified.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// session.set("cart", ["apple", "pear"])?;
    /// let refused = session.set("ratio", [0.5, f64::NAN]).unwrap_err();
    /// assert_eq!(refused.message(), "ratio[1] cannot be stored: JSON has no NaN");
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// `invalid_value`, with the path, for a value that JSON cannot represent; `too_large` for a
    /// key longer than `SESSION_MAX_KEY_BYTES`; `destroyed` or `committed` if the session has ended
    /// in this request; otherwise as [`get_json`](Self::get_json).
    #[doc(alias = "insert")]
    pub fn set<T: Serialize>(&mut self, key: &str, value: T) -> Result<(), SessionError> {
        let text = to_json(key, &value, self.shared.config().settings().depth())?;
        self.put_json(key, text)
    }

    /// Removes `key`. Returns whether it existed.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// session.set("cart", ["apple"])?;
    /// assert!(session.remove("cart")?);
    /// assert!(!session.remove("cart")?);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// As [`set`](Self::set), except those about the value.
    pub fn remove(&mut self, key: &str) -> Result<bool, SessionError> {
        Ok(self.take_json(key)?.is_some())
    }

    /// Removes `key` and returns its value.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// session.set("step", 3)?;
    /// assert_eq!(session.pop::<u8>("step")?, 3);
    /// assert_eq!(session.pop::<u8>("step").unwrap_err().code().as_str(), "missing_key");
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// `missing_key` if it does not exist; `wrong_type` if the value is not a `T` (it is not
    /// removed then); otherwise as [`remove`](Self::remove).
    #[doc(alias = "take")]
    pub fn pop<T: DeserializeOwned>(&mut self, key: &str) -> Result<T, SessionError> {
        let value = self.require(key)?;
        self.remove(key)?;
        Ok(value)
    }

    /// As [`pop`](Self::pop), but returns `default` for a key that does not exist. The session is
    /// not modified then.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// assert_eq!(session.pop_or("step", 1)?, 1);
    /// assert!(!session.modified());
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// As [`pop`](Self::pop), except `missing_key`.
    #[doc(alias = "take_or")]
    pub fn pop_or<T: DeserializeOwned>(
        &mut self,
        key: &str,
        default: T,
    ) -> Result<T, SessionError> {
        if self.contains_key(key)? {
            self.pop(key)
        } else {
            Ok(default)
        }
    }

    /// Removes the most recently inserted key and returns it with its JSON text.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// session.update([("first", 1), ("last", 2)])?;
    /// let (key, text) = session.popitem()?;
    /// assert_eq!((&*key, &*text), ("last", "2"));
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// `missing_key` if the session has no keys; otherwise as [`remove`](Self::remove).
    #[doc(alias = "pop_last")]
    pub fn popitem(&mut self) -> Result<(String, Rc<str>), SessionError> {
        let last = self.view()?.values.last();
        let key = last.ok_or_else(|| {
            SessionError::new(
                ErrorCode::MissingKey,
                "the session is empty: nothing to pop",
            )
        })?;
        let text = self.take_json(&key)?.ok_or_else(|| missing(&key))?;
        Ok((key.to_string(), text))
    }

    /// Sets every pair of `values`, in order.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// session.update([("width", 3), ("height", 4)])?;
    /// assert_eq!(session.len()?, 2);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// As [`set`](Self::set). Nothing is changed then.
    #[doc(alias = "extend")]
    pub fn update<K: AsRef<str>, V: Serialize>(
        &mut self,
        values: impl IntoIterator<Item = (K, V)>,
    ) -> Result<(), SessionError> {
        let depth = self.shared.config().settings().depth();
        let texts = values
            .into_iter()
            .map(|(key, value)| {
                let text = to_json(key.as_ref(), &value, depth)?;
                Ok((key, text))
            })
            .collect::<Result<Vec<_>, SessionError>>()?;
        self.update_json(texts)
    }

    /// Replaces all values by those of `data`, a struct or a map. Sets the keys whose value differs
    /// and removes the keys that `data` lacks. Flash values stay.
    ///
    /// If other code stores its own keys in the same session, collect them in a field
    /// `#[serde(flatten)] rest: BTreeMap<String, serde_json::Value>`, or use
    /// [`update`](Self::update), which removes nothing.
    ///
    /// ```
    /// use std::collections::BTreeMap;
    /// # edge_session::doc::with_session(|session| {
    /// session.update([("a", 1), ("b", 2)])?;
    /// session.set_data(&BTreeMap::from([("b", 2), ("c", 3)]))?;
    /// assert_eq!(session.keys()?.collect::<Vec<_>>(), ["b", "c"]);
    ///
    /// let refused = session.set_data(&BTreeMap::from([("lens", [f64::NAN])])).unwrap_err();
    /// assert!(refused.message().starts_with("lens[0] cannot be stored"));
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// As [`set`](Self::set), and `invalid_value` if `data` is not an object. Nothing is changed
    /// then.
    #[doc(alias = "replace")]
    pub fn set_data<T: Serialize + ?Sized>(&mut self, data: &T) -> Result<(), SessionError> {
        let entries = to_entries(data, self.shared.config().settings().depth())?;
        for (key, _) in &entries {
            self.check_key(key)?;
        }
        let now = self.now();
        let values = &mut self.edit()?.values;
        let absent = |key: &Rc<str>| entries.iter().all(|(name, _)| **name != **key);
        let gone: Vec<Rc<str>> = values
            .iter()
            .map(|(key, _)| Rc::clone(key))
            .filter(absent)
            .collect();
        for key in gone {
            values.remove(&key, now);
        }
        for (key, text) in &entries {
            values.set(key, text.as_str().into());
        }
        Ok(())
    }

    /// Removes every value and every flash value.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// session.set("cart", ["apple"])?;
    /// session.clear()?;
    /// assert!(session.is_empty()?);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// As [`remove`](Self::remove).
    pub fn clear(&mut self) -> Result<(), SessionError> {
        self.edit()?.clear();
        Ok(())
    }

    /// The value of `key`. If it does not exist, it is first set to `default`.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// assert_eq!(session.setdefault("theme", "light".to_owned())?, "light");
    /// assert_eq!(session.setdefault("theme", "dark".to_owned())?, "light");
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// As [`get`](Self::get) and [`set`](Self::set).
    #[doc(alias = "get_or_insert")]
    #[doc(alias = "entry")]
    pub fn setdefault<T: Serialize + DeserializeOwned>(
        &mut self,
        key: &str,
        default: T,
    ) -> Result<T, SessionError> {
        if let Some(value) = self.get(key)? {
            return Ok(value);
        }
        self.set(key, &default)?;
        Ok(default)
    }

    /// Stores a value that can be read once, usually by a later request: a message after a
    /// redirect, for example.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// session.flash("notice", "Saved.")?;
    /// assert_eq!(session.take_flash::<String>("notice")?.as_deref(), Some("Saved."));
    /// assert_eq!(session.take_flash::<String>("notice")?, None);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// As [`set`](Self::set).
    pub fn flash<T: Serialize>(&mut self, key: &str, value: T) -> Result<(), SessionError> {
        let text = to_json(key, &value, self.shared.config().settings().depth())?;
        self.flash_json(key, text)
    }

    /// Reads a flash value and removes it.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// session.flash("notice", "Saved.")?;
    /// let notice: Option<String> = session.take_flash("notice")?;
    /// assert_eq!(notice.as_deref(), Some("Saved."));
    /// assert_eq!(session.take_flash::<String>("notice")?, None);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// As [`get`](Self::get) and [`remove`](Self::remove).
    pub fn take_flash<T: DeserializeOwned>(
        &mut self,
        key: &str,
    ) -> Result<Option<T>, SessionError> {
        let Some(value) = self.view()?.flash.get(key).map(|text| from_json(key, text)) else {
            return Ok(None);
        };
        let (value, now) = (value?, self.now());
        self.edit()?.flash.remove(key, now);
        Ok(Some(value))
    }

    /// As [`update`](Self::update), from JSON texts.
    pub(crate) fn update_json<K: AsRef<str>>(
        &mut self,
        texts: Vec<(K, String)>,
    ) -> Result<(), SessionError> {
        for (key, _) in &texts {
            self.check_key(key.as_ref())?;
        }
        self.edit()?;
        for (key, text) in texts {
            self.put_json(key.as_ref(), text)?;
        }
        Ok(())
    }

    /// As [`pop`](Self::pop), but returns the JSON text.
    #[cfg(all(target_arch = "wasm32", feature = "deploy"))]
    pub(crate) fn pop_json(&mut self, key: &str) -> Result<Rc<str>, SessionError> {
        let text = self.get_json(key)?.ok_or_else(|| missing(key))?;
        self.remove(key)?;
        Ok(text)
    }

    /// As [`take_flash`](Self::take_flash), but returns the JSON text.
    #[cfg(all(target_arch = "wasm32", feature = "deploy"))]
    pub(crate) fn pop_flash_json(&mut self, key: &str) -> Result<Option<Rc<str>>, SessionError> {
        let found = self.view()?.flash.get(key).cloned();
        if found.is_some() {
            let now = self.now();
            self.edit()?.flash.remove(key, now);
        }
        Ok(found)
    }

    pub(crate) fn put_json(&mut self, key: &str, text: String) -> Result<(), SessionError> {
        self.check_key(key)?;
        self.edit()?.values.set(key, text.into());
        Ok(())
    }

    pub(crate) fn flash_json(&mut self, key: &str, text: String) -> Result<(), SessionError> {
        self.check_key(key)?;
        self.edit()?.flash.set(key, text.into());
        Ok(())
    }

    /// True if a commit would save the session: its content differs from what was loaded,
    /// `set_modified(true)` was called, or it gets a new key. False for a new session without data.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// # futures_executor::block_on(async {
    /// session.set("views", 1)?;
    /// session.save().await?;
    /// session.set("views", 1)?;
    /// assert!(!session.modified(), "it was 1 before");
    /// # Ok(()) })
    /// # });
    /// ```
    #[doc(alias = "is_modified")]
    #[doc(alias = "is_dirty")]
    #[must_use]
    pub fn modified(&self) -> bool {
        self.life.open().is_some_and(|open| self.has_to_save(open))
    }

    /// `true`: save even if nothing changed. `false`: do not save the changes made so far. If the
    /// session is changed again after that, all its changes are saved.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// session.set("draft", "…")?;
    /// session.set_modified(false)?;
    /// assert!(!session.modified());
    /// session.set("draft", "text")?;
    /// assert!(session.modified(), "a later change counts again");
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// As [`remove`](Self::remove).
    #[doc(alias = "mark_modified")]
    pub fn set_modified(&mut self, modified: bool) -> Result<(), SessionError> {
        let draft = self.draft()?;
        if modified {
            draft.save = Modified::Yes;
        } else {
            draft.leave_unsaved();
        }
        Ok(())
    }

    /// True if a commit would write to the store or set a cookie.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// assert!(!session.needs_update());
    /// session.set("views", 1)?;
    /// assert!(session.needs_update());
    /// # Ok(()) });
    /// ```
    #[doc(alias = "is_dirty")]
    #[must_use]
    pub fn needs_update(&self) -> bool {
        self.mark_accessed();
        !self.life.is_committed()
            && (self.answer.has_cookie()
                || self.form.has_cookie()
                || self.would_save()
                || self.is_behind()
                || self.seen_is_due())
    }

    #[cfg(all(target_arch = "wasm32", feature = "js"))]
    pub(crate) fn take_flash_json(&mut self, key: &str) -> Result<(), SessionError> {
        let now = self.now();
        self.edit()?.flash.remove(key, now);
        Ok(())
    }

    pub(crate) fn take_json(&mut self, key: &str) -> Result<Option<Rc<str>>, SessionError> {
        let now = self.now();
        Ok(self.edit()?.values.remove(key, now))
    }

    fn check_key(&self, key: &str) -> Result<(), SessionError> {
        check_key(key, self.shared.config().settings())
    }
}
