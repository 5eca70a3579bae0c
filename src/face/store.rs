//! `SessionStore`: a dictionary with a life cycle.
//!
//! This file is the dictionary: what can be read and changed, and what that needs. Its life cycle,
//! from load to commit, is in `lifecycle.rs`.
//!
//! All reading goes through [`SessionStore::view`] and all changing through
//! [`SessionStore::edit`], so that nothing is read that cannot be trusted and nothing changes
//! unnoticed.

use std::cell::{Cell, OnceCell, RefCell};
use std::fmt;
use std::rc::Rc;

use futures_util::future::LocalBoxFuture;
use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::{Zeroize as _, Zeroizing};

use crate::face::driver::Driver;
use crate::flow::shared::Shared;
use crate::port::error::{ErrorCode, SessionError};
use crate::port::events::EventKind;
use crate::port::request::RequestHead;
use crate::port::runtime::Runtime;
use crate::port::wait_until::WaitUntil;
use crate::protocol::data::Data;
use crate::protocol::expiry::{Expiry, Limits, OwnLimits, seconds_left};
use crate::protocol::keys::{Id, SessionKey, Token};
use crate::protocol::outcome::Outcome;
use crate::protocol::record::Envelope;
use crate::protocol::ticket::Tombstone;
use crate::session::life::{Base, Draft, Life, Modified, Next, Open, Step};
use crate::session::presented::{Beside, Came, Cookies, Held, Identity, Presented};
use crate::session::refusals::expired;
use crate::session::value::{from_entries, from_json, to_entries, to_json};

/// One session in one request: an ordered dictionary of JSON values that is loaded from and saved
/// to the store.
///
/// Made by [`Sessions`](crate::Sessions). Values are parsed when asked for; changes are kept here
/// until the commit. Keys are in order of insertion.
///
/// ```
/// use edge_session::{SessionError, SessionStore};
///
/// fn page(session: &mut SessionStore) -> Result<String, SessionError> {
///     let views = session.get::<u32>("views")?.unwrap_or(0) + 1;
///     session.set("views", views)?;
///     Ok(format!("You were here {views} times."))
/// }
/// # edge_session::doc::with_session(|session| {
/// # assert_eq!(page(session)?, "You were here 1 times.");
/// # Ok(()) });
/// ```
pub struct SessionStore {
    pub(crate) shared: Rc<Shared>,
    pub(crate) driver: Driver,
    pub(crate) request: Rc<dyn RequestHead>,
    pub(crate) wait_until: Option<Rc<dyn WaitUntil>>,
    /// What the Cookie header amounts to, read when it is first asked for.
    cookies: OnceCell<Cookies>,
    /// What the load found.
    pub(crate) outcome: Outcome,
    pub(crate) life: Life,
    /// When this request read the store last.
    pub(crate) read_at: i64,
    /// When the session was loaded, from the store or the isolate's memory.
    pub(crate) loaded_at: i64,
    pub(crate) out: Out,
    accessed: Cell<bool>,
    refused: RefCell<Option<SessionError>>,
}

/// What the answer says to the browser, by cookie: at most one header each for the attributes that
/// are in force.
#[derive(Default)]
pub(crate) struct Out {
    /// Of cookies that an answer with other attributes has set. They come first: a browser that
    /// does not know the attribute takes them for ours, which is set or removed after them.
    pub(crate) twins: Vec<String>,
    pub(crate) key: Option<String>,
    pub(crate) seen: Option<String>,
    pub(crate) fresh: Option<String>,
}

/// One of them carries a token.
impl Drop for Out {
    fn drop(&mut self) {
        self.key.zeroize();
    }
}

impl SessionStore {
    // --- reading ---------------------------------------------------------------------------

    /// The value of `key`; `None` where there is none.
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
    /// `wrong_type` where a value is there that is no `T`; `not_loaded` before a load; what the
    /// load found where it cannot be trusted.
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
    /// As [`get`](Self::get), but for `wrong_type`.
    pub fn get_json(&self, key: &str) -> Result<Option<Rc<str>>, SessionError> {
        Ok(self.view()?.values.get(key).cloned())
    }

    /// The value of a key that has to be there.
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
    /// `missing_key` where it is not; otherwise as [`get`](Self::get).
    pub fn require<T: DeserializeOwned>(&self, key: &str) -> Result<T, SessionError> {
        self.get(key)?.ok_or_else(|| missing(key))
    }

    /// All values as one: a struct whose fields are the keys, or a map.
    ///
    /// Give a field that may be missing `#[serde(default)]`, since a new session is empty; keys
    /// that the struct does not know are passed over. [`set_data`](Self::set_data) is the way back.
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
    /// assert!(refused.message().starts_with("\"views\" is of another type"));
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub fn data<T: DeserializeOwned>(&self) -> Result<T, SessionError> {
        from_entries(self.iter()?)
    }

    /// True where there is a value under `key`, `null` and `false` among them.
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

    /// How many keys there are.
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

    /// True where there is neither a value nor a flash value.
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

    // --- changing --------------------------------------------------------------------------

    /// Puts `value` under `key`. An equal value is no modification.
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
    /// `invalid_value` for what JSON cannot carry, with the path to it; `too_large` for a key over
    /// `SESSION_MAX_KEY_BYTES`; `destroyed` or `committed` when the session is over in this
    /// request; otherwise as [`get_json`](Self::get_json).
    pub fn set<T: Serialize>(&mut self, key: &str, value: T) -> Result<(), SessionError> {
        let text = to_json(key, &value, self.shared.config().settings().max_depth())?;
        self.put_json(key, text)
    }

    /// Removes `key`; tells whether it was there.
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
    /// As [`set`](Self::set), but for those about the value.
    pub fn remove(&mut self, key: &str) -> Result<bool, SessionError> {
        Ok(self.take_json(key)?.is_some())
    }

    /// Removes `key` and gives back what stood there.
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
    /// `missing_key` where it is not there; `wrong_type` where it is no `T` (it stays then);
    /// otherwise as [`remove`](Self::remove).
    pub fn pop<T: DeserializeOwned>(&mut self, key: &str) -> Result<T, SessionError> {
        let value = self.require(key)?;
        self.remove(key)?;
        Ok(value)
    }

    /// As [`pop`](Self::pop), with `default` for a key that is not there: nothing is modified then.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// assert_eq!(session.pop_or("step", 1)?, 1);
    /// assert!(!session.modified());
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// As [`pop`](Self::pop), but for `missing_key`.
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

    /// Removes the key that was inserted last and gives back its JSON text.
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
    /// `missing_key` where the session has no key; otherwise as [`remove`](Self::remove).
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

    /// Sets every pair of `values`, in their order.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// session.update([("width", 3), ("height", 4)])?;
    /// assert_eq!(session.len()?, 2);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// As [`set`](Self::set); nothing is changed then.
    pub fn update<K: AsRef<str>, V: Serialize>(
        &mut self,
        values: impl IntoIterator<Item = (K, V)>,
    ) -> Result<(), SessionError> {
        let depth = self.shared.config().settings().max_depth();
        let texts = values
            .into_iter()
            .map(|(key, value)| {
                let text = to_json(key.as_ref(), &value, depth)?;
                Ok((key, text))
            })
            .collect::<Result<Vec<_>, SessionError>>()?;
        self.update_json(texts)
    }

    /// Makes the values those of `data`, a struct or a map: sets the keys whose value is another
    /// than before and removes those that `data` does not have. Flash values stay.
    ///
    /// Where other code keeps keys of its own beside yours, catch them in a field
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
    /// As [`set`](Self::set), and `invalid_value` for what is no object; nothing is changed then.
    pub fn set_data<T: Serialize + ?Sized>(&mut self, data: &T) -> Result<(), SessionError> {
        let entries = to_entries(data, self.shared.config().settings().max_depth())?;
        for (key, _) in &entries.0 {
            self.check_key(key)?;
        }
        let now = self.now();
        let values = &mut self.edit()?.values;
        let absent = |key: &Rc<str>| entries.0.iter().all(|(name, _)| **name != **key);
        let gone: Vec<Rc<str>> = values
            .iter()
            .map(|(key, _)| Rc::clone(key))
            .filter(absent)
            .collect();
        for key in gone {
            values.remove(&key, now);
        }
        for (key, text) in &entries.0 {
            values.set(key, text.get().into());
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

    /// The value of `key`, which is set to `default` where it is not there.
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

    /// Leaves a value that is read once, by a later request as a rule: a message after a redirect.
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
        let text = to_json(key, &value, self.shared.config().settings().max_depth())?;
        self.flash_json(key, text)
    }

    /// Takes a flash value: it is gone with that.
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

    /// As [`update`](Self::update), with JSON texts.
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

    /// As [`pop`](Self::pop), the JSON text.
    #[cfg(all(target_arch = "wasm32", feature = "deploy"))]
    pub(crate) fn pop_json(&mut self, key: &str) -> Result<Rc<str>, SessionError> {
        let text = self.get_json(key)?.ok_or_else(|| missing(key))?;
        self.remove(key)?;
        Ok(text)
    }

    /// As [`take_flash`](Self::take_flash), the JSON text.
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
        let most = self.shared.config().settings().max_key_bytes() as usize;
        if key.len() > most {
            let actual = key.len();
            return Err(SessionError::new(
                ErrorCode::TooLarge,
                format!("the key is {actual} bytes long; SESSION_MAX_KEY_BYTES allows {most}"),
            ));
        }
        Ok(())
    }

    // --- the request it belongs to ---------------------------------------------------------

    /// Hands over what the platform offers for work that outlives the answer (`ctx.waitUntil`).
    /// Without it such work is awaited.
    ///
    /// [`Sessions::handle`](crate::Sessions) does this by itself; it is for frameworks that open,
    /// load and commit by hand.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// session.set_wait_until(|work| {
    ///     // `platform.wait_until(work)`
    /// #   drop(work);
    /// });
    /// # Ok(()) });
    /// ```
    pub fn set_wait_until(&mut self, wait_until: impl Fn(LocalBoxFuture<'static, ()>) + 'static) {
        self.wait_until = Some(Rc::new(wait_until));
    }

    // --- the two doors ---------------------------------------------------------------------

    /// The data, if it can be trusted.
    fn view(&self) -> Result<&Data, SessionError> {
        self.look_at();
        self.life.data().map_err(|error| self.refuse(error))
    }

    /// The data, if it may be changed.
    fn edit(&mut self) -> Result<&mut Data, SessionError> {
        Ok(&mut self.draft()?.data)
    }

    /// What the application wants, if it may change that.
    fn draft(&mut self) -> Result<&mut Draft, SessionError> {
        self.look_at();
        if let Err(error) = self.life.edit() {
            return Err(self.refuse(error));
        }
        self.life.edit()
    }

    /// Looks at the session without that counting as access, or as a refusal.
    #[cfg(all(target_arch = "wasm32", feature = "js"))]
    pub(crate) fn peek<T>(&self, look: impl FnOnce(&Self) -> T) -> T {
        let accessed = self.accessed.get();
        let refused = self.refused.borrow().clone();
        let seen = look(self);
        self.accessed.set(accessed);
        *self.refused.borrow_mut() = refused;
        seen
    }

    /// The values and the flash values, for JavaScript's own dictionary.
    #[cfg(all(target_arch = "wasm32", feature = "js"))]
    pub(crate) fn entries(&self) -> Option<[&crate::protocol::data::Table; 2]> {
        let data = self.life.data().ok()?;
        Some([&data.values, &data.flash])
    }

    /// True where what has changed so far is to be left unsaved.
    #[cfg(all(target_arch = "wasm32", feature = "js"))]
    pub(crate) fn is_left_unsaved(&self) -> bool {
        self.life
            .open()
            .is_some_and(|open| open.draft.save == Modified::No)
    }

    /// Counts so many milliseconds in which JavaScript waited for the store.
    #[cfg(all(target_arch = "wasm32", feature = "js"))]
    pub(crate) fn waited(&self, milliseconds: i64) {
        if let Some(timing) = self.shared.timing() {
            timing.add_waited(milliseconds);
        }
    }

    /// Remembers a refusal: a closure that fails after it is answered with it.
    pub(crate) fn refuse(&self, error: SessionError) -> SessionError {
        if error.code().is_refusal() {
            *self.refused.borrow_mut() = Some(error.clone());
        }
        error
    }

    /// The last refusal of this session, if there was one.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// # futures_executor::block_on(async {
    /// session.destroy().await?;
    /// assert!(session.set("cart", ["apple"]).is_err());
    /// assert_eq!(session.refusal().unwrap().code().as_str(), "destroyed");
    /// # Ok(()) })
    /// # });
    /// ```
    #[must_use]
    pub fn refusal(&self) -> Option<SessionError> {
        self.look_at();
        self.refused.borrow().clone()
    }

    // --- what is known of the session --------------------------------------------------------

    /// What the load found.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// use edge_session::Outcome;
    /// assert_eq!(session.outcome(), Outcome::New);
    /// # Ok(()) });
    /// ```
    #[must_use]
    pub fn outcome(&self) -> Outcome {
        self.look_at();
        self.outcome
    }

    /// The public name of the session, safe to log: none before `create` or the first save.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// assert_eq!(session.session_key(), None);
    /// session.create()?;
    /// assert!(session.session_key().unwrap().starts_with("-."));
    /// # Ok(()) });
    /// ```
    #[must_use]
    pub fn session_key(&self) -> Option<String> {
        self.look_at();
        self.public_key()
    }

    pub(crate) fn public_key(&self) -> Option<String> {
        self.named()?.public_key(self.shared.config())
    }

    pub(crate) fn key(&self) -> Option<SessionKey> {
        self.named().map(|identity| identity.key)
    }

    /// The session by the key that it goes by in this request.
    fn named(&self) -> Option<&Identity> {
        let open = self.life.open()?;
        if let Some(next) = &open.draft.key {
            return Some(&next.identity);
        }
        match (self.presented(), &open.base) {
            (Presented::Session(held), Base::Live(_) | Base::ReadOnly(..)) => Some(&held.identity),
            _ => None,
        }
    }

    /// The stored session that this one continues.
    fn continued(&self) -> Option<&Envelope> {
        self.life.open()?.continued()
    }

    /// The key that the commit puts the session under, where that is a new one.
    fn next(&self) -> Option<&Next> {
        self.life.open()?.draft.key.as_ref()
    }

    /// True where the store does not hold this session yet; false where the load could not tell.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// # futures_executor::block_on(async {
    /// assert!(session.is_new());
    /// session.set("views", 1)?;
    /// session.save().await?;
    /// assert!(!session.is_new());
    /// # Ok(()) })
    /// # });
    /// ```
    #[must_use]
    pub fn is_new(&self) -> bool {
        self.look_at();
        self.life
            .open()
            .is_none_or(|open| open.continued().is_none() && !matches!(open.base, Base::Closed(_)))
    }

    /// True where anything of the session was looked at: the answer depends on it then.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// assert!(!session.accessed());
    /// session.get::<u32>("views")?;
    /// assert!(session.accessed());
    /// # Ok(()) });
    /// ```
    #[must_use]
    pub fn accessed(&self) -> bool {
        self.accessed.get()
    }

    /// Something of the session is about to be known outside of it: an answer that is made of
    /// that is for this browser only.
    pub(crate) fn look_at(&self) {
        self.accessed.set(true);
    }

    /// Counts the saves of this session; 0 before the first.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// # futures_executor::block_on(async {
    /// session.set("views", 1)?;
    /// session.save().await?;
    /// assert_eq!(session.version(), 1);
    /// # Ok(()) })
    /// # });
    /// ```
    #[must_use]
    pub fn version(&self) -> u32 {
        self.look_at();
        self.continued().map_or(0, |base| base.version.counter)
    }

    /// When the session began, in milliseconds since 1970-01-01 UTC.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// # futures_executor::block_on(async {
    /// assert_eq!(session.created_at(), None);
    /// session.set("views", 1)?;
    /// session.save().await?;
    /// assert!(session.created_at().is_some());
    /// # Ok(()) })
    /// # });
    /// ```
    #[must_use]
    pub fn created_at(&self) -> Option<i64> {
        self.look_at();
        self.continued().map(|base| base.created_at)
    }

    /// The user id that the session is bound to.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// assert_eq!(session.owner()?, None);
    /// session.bind("ada", true)?;
    /// assert_eq!(session.owner()?, Some("ada"));
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// As [`get_json`](Self::get_json).
    pub fn owner(&self) -> Result<Option<&str>, SessionError> {
        self.view()?;
        Ok(self.life.open().and_then(Open::owner))
    }

    /// When the user last logged in, in milliseconds since 1970-01-01 UTC.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// assert_eq!(session.auth_time()?, None);
    /// session.bind("ada", true)?;
    /// assert!(session.auth_time()?.is_some());
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// As [`get_json`](Self::get_json).
    pub fn auth_time(&self) -> Result<Option<i64>, SessionError> {
        self.view()?;
        if let Some(Next {
            step: Step::Begin { owner },
            identity,
            ..
        }) = self.next()
        {
            return Ok(owner.as_ref().map(|_| identity.ticket.minted_at));
        }
        Ok(self.continued().and_then(|base| base.auth_time))
    }

    /// Refuses where the last login is more than `max_age` seconds old.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// assert_eq!(session.require_recent_auth(300).unwrap_err().code().as_str(), "reauth_required");
    /// session.bind("ada", true)?;
    /// session.require_recent_auth(300)?;
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// `reauth_required` where it is, or where nobody is logged in; otherwise as
    /// [`auth_time`](Self::auth_time).
    pub fn require_recent_auth(&self, max_age: u32) -> Result<(), SessionError> {
        let age = self.auth_time()?.map(|at| self.now().saturating_sub(at));
        match age {
            Some(age) if age <= i64::from(max_age) * 1_000 => Ok(()),
            _ => Err(SessionError::new(
                ErrorCode::ReauthRequired,
                format!("this needs a login within the last {max_age} seconds"),
            )),
        }
    }

    /// True where a commit would save: something changed, or was said to have.
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
    #[must_use]
    pub fn modified(&self) -> bool {
        self.life.open().is_some_and(Open::is_modified)
    }

    /// `true`: save even if nothing changed. `false`: leave what has changed so far unsaved.
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
    pub fn set_modified(&mut self, modified: bool) -> Result<(), SessionError> {
        self.draft()?.save = if modified {
            Modified::Yes
        } else {
            Modified::No
        };
        Ok(())
    }

    /// True where a commit would write to the store or set a cookie.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// assert!(!session.needs_update());
    /// session.set("views", 1)?;
    /// assert!(session.needs_update());
    /// # Ok(()) });
    /// ```
    #[must_use]
    pub fn needs_update(&self) -> bool {
        self.look_at();
        let Out {
            key, seen, fresh, ..
        } = &self.out;
        let answered = key.is_some() || seen.is_some() || fresh.is_some();
        !self.life.is_committed()
            && (answered || self.would_save() || self.is_behind() || self.seen_is_due())
    }

    // --- expiry ------------------------------------------------------------------------------

    /// Seconds until the session ends, by whichever limit comes first; 0 or negative when it has.
    /// A fraction of a second left counts as one.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// session.set_expiry(600)?;
    /// assert!((595..=600).contains(&session.get_expiry_age()?));
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// As [`get_json`](Self::get_json).
    pub fn get_expiry_age(&self) -> Result<i64, SessionError> {
        Ok(seconds_left(self.get_expiry_date()?, self.now()))
    }

    /// When the session ends, by whichever limit comes first, in milliseconds since 1970-01-01 UTC.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// session.set_expiry(edge_session::Expiry::At(4_000_000_000_000))?;
    /// // The hard end of the lineage comes first.
    /// assert!(session.get_expiry_date()? < 4_000_000_000_000);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// As [`get_json`](Self::get_json).
    pub fn get_expiry_date(&self) -> Result<i64, SessionError> {
        self.view()?;
        Ok(self.limits().end())
    }

    /// When the session ends if the browser does not come back; `None` without an idle limit.
    ///
    /// ```
    /// # edge_session::doc::with_session(|session| {
    /// assert!(session.idle_expires_at()? < Some(session.get_expiry_date()? + 1));
    /// session.set_expiry(edge_session::Expiry::Idle(60))?;
    /// assert!(session.idle_expires_at()?.is_some());
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// As [`get_json`](Self::get_json).
    pub fn idle_expires_at(&self) -> Result<Option<i64>, SessionError> {
        self.view()?;
        Ok(self.limits().idle_end)
    }

    /// True where the cookies end with the browser.
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
    pub fn get_expire_at_browser_close(&self) -> Result<bool, SessionError> {
        self.view()?;
        Ok(self.ends_with_browser(self.effective_expiry()))
    }

    /// Sets when the session ends: seconds from now (`i64`; 0 is at browser close, negative is
    /// over), an instant ([`Expiry::At`], `SystemTime`), an idle time (`Duration`, a fraction of a
    /// second rounded up), or `None` for what the settings say. It replaces what an earlier call
    /// has set. The hard end never moves.
    ///
    /// ```
    /// use std::time::Duration;
    /// # edge_session::doc::with_session(|session| {
    /// session.set_expiry(600)?;
    /// assert_eq!(session.get_expiry_age()?, 600);
    /// session.set_expiry(Duration::from_secs(900))?;
    /// assert_eq!(session.get_expiry_age()?, 900);
    /// # Ok(()) });
    /// ```
    ///
    /// # Errors
    /// As [`remove`](Self::remove).
    pub fn set_expiry(&mut self, expiry: impl Into<Expiry>) -> Result<(), SessionError> {
        let expiry = OwnLimits::new(expiry.into(), self.now());
        let before = self.ends_with_browser(self.effective_expiry());
        self.edit()?;
        // Whether the key cookie outlives the browser is written in the key cookie alone.
        let live = self.life.open().is_some_and(|open| open.base.is_live());
        if live && before != self.ends_with_browser(expiry) {
            self.cycle_key()?;
        }
        let known = self.continued().map(|base| base.expiry);
        let changes = Some(expiry) != known || self.next().is_some();
        self.draft()?.limits = changes.then_some(expiry);
        Ok(())
    }

    fn effective_expiry(&self) -> OwnLimits {
        let stored = match self.next() {
            // A new lineage begins with what the settings say.
            Some(Next {
                step: Step::Begin { .. },
                ..
            }) => None,
            _ => self.continued().map(|base| base.expiry),
        };
        let set = self.life.open().and_then(|open| open.draft.limits);
        set.or(stored).unwrap_or_default()
    }

    pub(crate) fn ends_with_browser(&self, expiry: OwnLimits) -> bool {
        expiry.ends_with_browser(self.shared.config().settings().expire_at_browser_close())
    }

    fn limits(&self) -> Limits {
        let now = self.now();
        let age = self.shared.config().age();
        let known = self.life.open().and_then(|open| open.base.known());
        let (seen, end) = match (self.next(), self.presented(), known) {
            (Some(next), ..) => (now, next.identity.ticket.end(age)),
            (None, Presented::Session(held), Some(known)) => (
                known.last_seen.max(self.loaded_at),
                held.identity.ticket.end(age),
            ),
            _ => (now, now.saturating_add(age)),
        };
        Limits::new(
            self.effective_expiry(),
            self.shared.config().settings().idle_timeout(),
            seen,
            end,
        )
    }

    /// Whether the session has passed its end since it was loaded.
    pub(crate) fn check_expiry(&self) -> Result<(), SessionError> {
        if self.limits().passed(self.now()) {
            return Err(self.refuse(expired()));
        }
        Ok(())
    }
}

impl SessionStore {
    /// Opens what `request` presents. Nothing of it is looked at yet: most answers of a page leave
    /// the session alone.
    pub(crate) fn open(shared: Rc<Shared>, driver: Driver, request: Rc<dyn RequestHead>) -> Self {
        Self {
            shared,
            driver,
            request,
            wait_until: None,
            cookies: OnceCell::new(),
            outcome: Outcome::New,
            life: Life::Unloaded,
            read_at: i64::MIN,
            loaded_at: i64::MIN,
            out: Out::default(),
            accessed: Cell::new(false),
            refused: RefCell::new(None),
        }
    }

    pub(crate) fn runtime(&self) -> &dyn Runtime {
        self.driver.runtime()
    }

    /// Milliseconds since 1970-01-01 UTC.
    pub(crate) fn now(&self) -> i64 {
        self.runtime().now()
    }

    pub(crate) fn new_token(&self) -> Result<Token, SessionError> {
        Token::random(self.runtime())
    }

    /// Reports `kind` of the session of `lineage`.
    pub(crate) fn report(
        &self,
        kind: EventKind,
        lineage: Option<Id>,
        reason: Option<&'static str>,
    ) {
        self.shared.report(kind, self.now(), lineage, reason);
    }

    fn cookies(&self) -> &Cookies {
        self.cookies.get_or_init(|| match self.cookie_header() {
            Some(header) => {
                let derive = |tag, secret: &_, token: &_| self.shared.derive(tag, secret, token);
                Cookies::read(&header, self.shared.config(), self.now(), &derive)
            }
            None => Cookies::none(),
        })
    }

    /// It carries a token.
    fn cookie_header(&self) -> Option<Zeroizing<String>> {
        self.request.header("cookie").map(Zeroizing::new)
    }

    pub(crate) fn presented(&self) -> &Presented {
        &self.cookies().presented
    }

    pub(crate) fn came(&self) -> Came {
        self.cookies().came
    }

    /// Logouts that are not stored yet.
    pub(crate) fn stones(&self) -> &[Tombstone] {
        &self.cookies().beside.stones
    }

    /// Every session that is presented with proof; the chosen one first.
    pub(crate) fn rivals(&self) -> Vec<Rc<Held>> {
        let Cookies {
            presented, beside, ..
        } = self.cookies();
        let chosen = match presented {
            Presented::Session(held) => Some(Rc::clone(held)),
            _ => None,
        };
        chosen
            .into_iter()
            .chain(beside.rivals.iter().cloned())
            .collect()
    }

    /// Looks for what has to be ended in a header over its limits too, which no load does; false
    /// where there is more of it than can be looked at.
    pub(crate) fn read_whole(&mut self) -> bool {
        if !matches!(self.presented(), Presented::TooLarge) {
            return true;
        }
        let Some(header) = self.cookie_header() else {
            return true;
        };
        let derive = |tag, secret: &_, token: &_| self.shared.derive(tag, secret, token);
        let beside = Beside::of_whole(&header, self.shared.config(), self.now(), &derive);
        let whole = beside.is_some();
        self.set_beside(beside.unwrap_or_default());
        whole
    }

    /// From now on the browser has this.
    pub(crate) fn present(&mut self, presented: Presented) {
        // Read before it is changed.
        let _cookies = self.cookies();
        if let Some(cookies) = self.cookies.get_mut() {
            cookies.presented = presented;
        }
    }

    pub(crate) fn set_rivals(&mut self, rivals: Vec<Rc<Held>>) {
        if let Some(cookies) = self.cookies.get_mut() {
            cookies.beside.rivals = rivals;
        }
    }

    pub(crate) fn set_stones(&mut self, stones: Vec<Tombstone>) {
        if let Some(cookies) = self.cookies.get_mut() {
            cookies.beside.stones = stones;
        }
    }

    /// And this beside it.
    pub(crate) fn set_beside(&mut self, beside: Beside) {
        let _cookies = self.cookies();
        if let Some(cookies) = self.cookies.get_mut() {
            cookies.beside = beside;
        }
    }
}

/// Never the token, nor a value.
impl fmt::Debug for SessionStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionStore")
            .field("session_key", &self.public_key())
            .field("outcome", &self.outcome.as_str())
            .field("state", &self.life.name())
            .field(
                "version",
                &self.continued().map(|base| base.version.counter),
            )
            .field(
                "keys",
                &self.life.data().map_or(0, |data| data.values.len()),
            )
            .field("modified", &self.modified())
            .finish_non_exhaustive()
    }
}

fn missing(key: &str) -> SessionError {
    SessionError::new(
        ErrorCode::MissingKey,
        format!("the session has no key {key:?}"),
    )
}
