//! The settings: one table of names, defaults and limits.
//!
//! The table is the list in the `settings!` call below. The Rust builder, the `wrangler.toml`
//! variables, the JavaScript options and [`Settings::list`] are all generated from it, so they
//! always have the same settings.

mod names;

use std::fmt;
use std::time::Duration;

use self::names::{Names, SECRET, excerpt};
pub(crate) use self::names::{Naming, may_be_ours};
use crate::port::error::SessionError;
use crate::port::time::{seconds, whole_seconds};
use crate::protocol::cookie::{CookieAttributes, CookieLimits, CookieSpec, MAX_AGE, SameSite};

/// Which connector keeps the sessions.
///
/// ```
/// use edge_session::{Settings, Storage};
/// let settings = Settings::from_vars([("SESSION_STORAGE", "memory")])?;
/// assert_eq!(settings.storage(), Storage::Memory);
/// # Ok::<(), edge_session::SessionError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Storage {
    /// The Workers KV namespace bound as `SESSIONS`.
    #[default]
    Kv,
    /// The isolate's own memory, for development and tests. Each isolate has its own memory and may
    /// lose it at any time.
    Memory,
    /// Durable Objects, in the namespace bound as `SESSION_OBJECTS`: a logout holds everywhere when it
    /// returns, and no update is lost (`docs/consistency.md`).
    DurableObject,
}

impl Storage {
    /// The setting's value: `kv`, `memory` or `durable_object`.
    ///
    /// ```
    /// assert_eq!(edge_session::Storage::Kv.as_str(), "kv");
    /// ```
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kv => "kv",
            Self::Memory => "memory",
            Self::DurableObject => "durable_object",
        }
    }
}

impl fmt::Display for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The minimum and maximum of a number, and its unit.
struct Range(u32, u32, &'static str);

/// Any value of the type. [`Settings::validate`] checks combinations.
struct Any;

/// The type of a setting: how it is parsed and printed, and which values are legal.
trait Value: Sized {
    /// What the table writes as the default.
    type Literal;
    type Rule;
    fn from_literal(literal: Self::Literal) -> Self;
    fn read(text: &str) -> Option<Self>;
    fn show(&self) -> String;
    fn obeys(&self, rule: &Self::Rule) -> bool;
    fn allowed(rule: &Self::Rule) -> String;
}

impl Value for u32 {
    type Literal = Self;
    type Rule = Range;

    fn from_literal(literal: Self) -> Self {
        literal
    }

    fn read(text: &str) -> Option<Self> {
        // `parse` alone would take a plus sign.
        text.bytes()
            .all(|byte| byte.is_ascii_digit())
            .then(|| text.parse().ok())?
    }

    fn show(&self) -> String {
        self.to_string()
    }

    fn obeys(&self, &Range(least, most, _): &Range) -> bool {
        (least..=most).contains(self)
    }

    fn allowed(Range(least, most, unit): &Range) -> String {
        format!("a whole number from {least} to {most} ({unit})")
    }
}

/// Whole seconds, as the variables and the options of JavaScript have them.
impl Value for Duration {
    type Literal = Self;
    type Rule = Range;

    fn from_literal(literal: Self) -> Self {
        literal
    }

    fn read(text: &str) -> Option<Self> {
        <u32 as Value>::read(text).map(|seconds| Self::from_secs(seconds.into()))
    }

    fn show(&self) -> String {
        self.as_secs().to_string()
    }

    fn obeys(&self, range: &Range) -> bool {
        seconds(*self).obeys(range)
    }

    fn allowed(range: &Range) -> String {
        <u32 as Value>::allowed(range)
    }
}

/// Types without a rule for single values.
macro_rules! unruled {
    ($type:ty, $literal:ty, $allowed:literal, $text:ident => $read:expr) => {
        impl Value for $type {
            type Literal = $literal;
            type Rule = Any;

            fn from_literal(literal: $literal) -> Self {
                literal.into()
            }

            fn read($text: &str) -> Option<Self> {
                $read
            }

            fn show(&self) -> String {
                self.to_string()
            }

            fn obeys(&self, _: &Any) -> bool {
                true
            }

            fn allowed(_: &Any) -> String {
                $allowed.to_owned()
            }
        }
    };
}

unruled!(String, &'static str, "a string", text => Some(text.to_owned()));
unruled!(bool, bool, "true, false, 1 or 0", text => match text {
    "true" | "1" => Some(true),
    "false" | "0" => Some(false),
    _ => None,
});
unruled!(SameSite, SameSite, "Strict, Lax or None", text => {
    [Self::Strict, Self::Lax, Self::None].into_iter().find(|x| x.as_str() == text)
});
unruled!(Storage, Storage, "kv, memory or durable_object", text => {
    [Self::Kv, Self::Memory, Self::DurableObject].into_iter().find(|x| x.as_str() == text)
});

/// How settings were given, for the names in errors. It is none of their values.
#[derive(Clone, Copy, Debug)]
struct Given(Naming);

impl PartialEq for Given {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Given {}

/// Whether the store that is used has transactions. It is none of the settings' values: only
/// [`Settings::on_store`] knows.
#[derive(Clone, Copy, Debug, Default)]
struct HasTransactions(bool);

impl PartialEq for HasTransactions {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for HasTransactions {}

/// The most levels that a value may nest, and what the caller calls this setting.
#[derive(Clone, Copy)]
pub(crate) struct Depth {
    pub(crate) most: u32,
    pub(crate) name: &'static str,
}

/// One row of the table, its types erased.
struct Setting {
    names: Names,
    /// Sets the value from its text. False if the text is not legal.
    read: fn(&mut Settings, &str) -> bool,
    show: fn(&Settings) -> String,
    obeys: fn(&Settings) -> bool,
    allowed: fn() -> String,
}

/// The names of every setting.
fn all_names() -> Vec<&'static Names> {
    TABLE.iter().map(|setting| &setting.names).collect()
}

impl Setting {
    fn named(naming: Naming, name: &str) -> Option<&'static Self> {
        TABLE
            .iter()
            .find(|setting| naming.of(&setting.names) == name)
    }

    fn refuse(&self, naming: Naming, value: &str) -> SessionError {
        let (name, value, allowed) = (naming.of(&self.names), excerpt(value), (self.allowed)());
        SessionError::config(format!("{name}: \"{value}\" is not allowed; use {allowed}"))
    }
}

macro_rules! accessors {
    ($get:ident, $with:ident, [$($doc:tt)*], String, $default:expr) => {
        $($doc)*
        #[must_use = "a builder returns the changed settings"]
        pub fn $with(mut self, value: impl Into<String>) -> Self {
            self.$get = value.into();
            self
        }

        #[doc = concat!("What [`", stringify!($with), "`](Self::", stringify!($with), ") sets.")]
        #[must_use]
        pub fn $get(&self) -> &str {
            &self.$get
        }
    };
    ($get:ident, $with:ident, [$($doc:tt)*], Duration, $default:expr) => {
        $($doc)*
        #[must_use = "a builder returns the changed settings"]
        pub fn $with(mut self, value: Duration) -> Self {
            self.$get = Duration::from_secs(whole_seconds(value));
            self
        }

        #[doc = concat!("What [`", stringify!($with), "`](Self::", stringify!($with), ") sets.")]
        #[must_use]
        pub fn $get(&self) -> Duration {
            self.$get
        }
    };
    ($get:ident, $with:ident, [$($doc:tt)*], $type:ident, $default:expr) => {
        $($doc)*
        #[must_use = "a builder returns the changed settings"]
        pub fn $with(mut self, value: $type) -> Self {
            self.$get = value;
            self
        }

        #[doc = concat!("What [`", stringify!($with), "`](Self::", stringify!($with), ") sets.")]
        #[must_use]
        pub fn $get(&self) -> $type {
            self.$get
        }
    };
}

macro_rules! settings {
    ($(
        $(#[$doc:meta])*
        $name:literal $option:literal $with:ident $get:ident: $type:ident = $default:expr, $rule:expr;
    )*) => {
        /// How sessions behave: every setting with its default.
        ///
        /// The same settings come from `[vars]` in `wrangler.toml` ([`from_vars`](Self::from_vars))
        /// and from the options of JavaScript ([`from_options`](Self::from_options)). Times are
        /// in seconds there, and a `Duration` here, rounded up to whole seconds. There is no setting for `HttpOnly`: the cookies always have it. If you change
        /// the path, domain or partitioning of a live site, also change the cookie name, because
        /// browsers keep the old cookie beside the new one.
        ///
        /// ```
        /// use std::time::Duration;
        ///
        /// use edge_session::{SameSite, Settings};
        ///
        /// const HOUR: Duration = Duration::from_secs(3_600);
        /// let settings = Settings::default()
        ///     .with_cookie_name("__Host-shop")
        ///     .with_cookie_age(8 * HOUR)
        ///     .with_idle_timeout(HOUR / 2)
        ///     .with_cookie_same_site(SameSite::Strict);
        /// settings.validate()?;
        /// assert_eq!(settings.cookie_age(), 8 * HOUR);
        ///
        /// let refused = settings.with_cookie_domain("example.com").validate().unwrap_err();
        /// assert!(refused.to_string().contains("with_cookie_domain"));
        /// # Ok::<(), edge_session::SessionError>(())
        /// ```
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct Settings {
            $($get: $type,)*
            given: Given,
            has_transactions: HasTransactions,
        }

        impl Default for Settings {
            fn default() -> Self {
                Self {
                    $($get: <$type as Value>::from_literal($default),)*
                    given: Given(Naming::Builder),
                    has_transactions: HasTransactions::default(),
                }
            }
        }

        /// The first line of each setting names its variable in `[vars]` and its JavaScript option.
        impl Settings {
            $(accessors! {
                $get, $with,
                [
                    #[doc = concat!("`", $name, "`, in JavaScript `", $option, "`, by default `",
                        stringify!($default), "`.")]
                    ///
                    $(#[$doc])*
                    ///
                    /// ```
                    /// # use edge_session::*;
                    /// # use std::time::Duration;
                    #[doc = concat!("let settings = Settings::default().", stringify!($with), "(",
                        stringify!($default), ");")]
                    #[doc = concat!("assert_eq!(settings.", stringify!($get), "(), ",
                        stringify!($default), ");")]
                    /// ```
                ],
                $type, $default
            })*
        }

        const TABLE: &[Setting] = &[$(
            Setting {
                names: Names {
                    variable: $name,
                    option: $option,
                    builder: stringify!($with),
                },
                read: |settings, text| {
                    let Some(value) = <$type as Value>::read(text) else { return false };
                    settings.$get = value;
                    settings.$get.obeys(&$rule)
                },
                show: |settings| settings.$get.show(),
                obeys: |settings| settings.$get.obeys(&$rule),
                allowed: || <$type as Value>::allowed(&$rule),
            },
        )*];
    };
}

settings! {
    /// The key cookie's name; the others add `-seen`, `-fresh` and `-form`. A token of RFC 9110,
    /// 5.6.2. With the prefix `__Host-` (RFC 6265bis, 4.1.3.2) no other host can set or overwrite
    /// it. Two separate groups of users, each with its own cookie name, also need two key prefixes.
    "SESSION_COOKIE_NAME" "cookieName" with_cookie_name cookie_name: String
        = "__Host-session", Any;

    /// Ends the session, not only its cookie: seconds from its first token to its hard end, which no
    /// activity moves. At most 400 days, where browsers cut the life of a cookie (RFC 6265bis, 5.5).
    "SESSION_COOKIE_AGE" "cookieAge" with_cookie_age cookie_age: Duration
        = Duration::from_secs(604_800), Range(1, MAX_AGE, "seconds; at most the 400 days that browsers keep a cookie");

    /// Seconds without a request after which a session expires; 0 for no limit. If it is longer
    /// than the cookie's age, the age applies first.
    "SESSION_IDLE_TIMEOUT" "idleTimeout" with_idle_timeout idle_timeout: Duration
        = Duration::from_secs(86_400), Range(0, MAX_AGE, "seconds; 0 for no idle limit");

    /// The path that the cookies are sent to (RFC 6265bis, 4.1.2.4). It is not a security boundary:
    /// scripts of other paths have the same origin and can read each other's pages.
    "SESSION_COOKIE_PATH" "cookiePath" with_cookie_path cookie_path: String
        = "/", Any;

    /// The domain whose hosts all get the cookies (RFC 6265bis, 4.1.2.3). Empty, the default, means
    /// this host only. Every one of those hosts can then read and replace the session.
    "SESSION_COOKIE_DOMAIN" "cookieDomain" with_cookie_domain cookie_domain: String
        = "", Any;

    /// Whether the cookies are sent only over HTTPS (RFC 6265bis, 4.1.2.5). `false` is for
    /// development on plain HTTP: the default name then loses its prefix (`session`), and any other
    /// name with a prefix is refused.
    "SESSION_COOKIE_SECURE" "cookieSecure" with_cookie_secure cookie_secure: bool
        = true, Any;

    /// Which requests caused by other sites carry the cookies (RFC 6265bis, 4.1.2.7).
    "SESSION_COOKIE_SAMESITE" "cookieSameSite" with_cookie_same_site cookie_same_site: SameSite
        = SameSite::Lax, Any;

    /// Whether a browser keeps separate cookies for each top-level site that embeds this one
    /// (`Partitioned`, draft-cutler-httpbis-partitioned-cookies). Give them a separate name: a
    /// browser may hold a partitioned and an unpartitioned cookie of the same name.
    "SESSION_COOKIE_PARTITIONED" "cookiePartitioned" with_cookie_partitioned cookie_partitioned: bool
        = false, Any;

    /// Whether the key cookie is forgotten when the browser closes (no `Max-Age`, RFC 6265bis,
    /// 4.1.2.2). Browsers that restore tabs restore such cookies too, but the hard end still
    /// applies.
    "SESSION_EXPIRE_AT_BROWSER_CLOSE" "expireAtBrowserClose"
        with_expire_at_browser_close expire_at_browser_close: bool
        = false, Any;

    /// Whether an answer that depends on its session keeps a `Cache-Control` of the application's
    /// that has `private`, such as `private, no-cache`, instead of becoming `no-store`. The risk: the
    /// browser keeps the page on disk and may show it again after the logout, to the next person who
    /// uses it too. An answer that sets a cookie of the session is `no-store` anyway, and shared caches
    /// are told `no-store`.
    "SESSION_ALLOW_PRIVATE_CACHE" "allowPrivateCache"
        with_allow_private_cache allow_private_cache: bool
        = false, Any;

    /// Which connector to use if none is passed in.
    "SESSION_STORAGE" "storage" with_storage storage: Storage
        = Storage::Kv, Any;

    /// Near which place a Durable Object is created, as a hint: `wnam`, `enam`, `sam`, `weur`, `eeur`,
    /// `apac`, `oc`, `afr` or `me`. Empty means near the first request that uses it. An object that
    /// exists already stays where it is. Only for `durable_object`.
    "SESSION_LOCATION_HINT" "locationHint" with_location_hint location_hint: String
        = "", Any;

    /// The jurisdiction that Durable Objects must not leave: `eu` or `fedramp`. Empty means none.
    /// The same name is another object in each jurisdiction, so changing it logs everybody out. Only
    /// for `durable_object`.
    "SESSION_JURISDICTION" "jurisdiction" with_jurisdiction jurisdiction: String
        = "", Any;

    /// What the names of all keys in the namespace begin with: ASCII without control characters,
    /// short enough for the longest key to stay within the 512 bytes of Workers KV. Everything that
    /// is signed or derived is bound to it, so changing it logs everybody out.
    "SESSION_KEY_PREFIX" "keyPrefix" with_key_prefix key_prefix: String
        = "", Any;

    /// Whether records are sealed with a key derived from the browser's token. `false` stores plain
    /// JSON and sends no overlay: see [`uses_overlay`](Self::uses_overlay).
    "SESSION_SEAL" "seal" with_seal seal: bool
        = true, Any;

    /// Whether the fresh cookie carries the sealed record until the store shows it everywhere.
    "SESSION_OVERLAY" "overlay" with_overlay overlay: bool
        = true, Any;

    /// Whether a logout also deletes the record at once. Otherwise the record remains, unreadable,
    /// until its time to live ends.
    "SESSION_PURGE" "purge" with_purge purge: bool
        = false, Any;

    /// How many seconds a location of Workers KV may answer from its cache (`cacheTtl`, at least
    /// 30). Part of the [staleness bound](Self::staleness_bound).
    "SESSION_KV_CACHE_TTL" "kvCacheTtl" with_kv_cache_ttl kv_cache_ttl: Duration
        = Duration::from_secs(30), Range(30, DAY, "seconds; Workers KV takes no less than 30");

    /// How many seconds an isolate may answer from its own memory; 0 turns that off. Part of the
    /// [staleness bound](Self::staleness_bound).
    "SESSION_ISOLATE_CACHE_TTL" "isolateCacheTtl" with_isolate_cache_ttl isolate_cache_ttl: Duration
        = Duration::from_secs(10), Range(0, DAY, "seconds; 0 turns the isolate's cache off");

    /// How many seconds a write is assumed to take to reach every location. Workers KV documents no
    /// upper bound. Part of the [staleness bound](Self::staleness_bound).
    "SESSION_PROPAGATION" "propagation" with_propagation propagation: Duration
        = Duration::from_secs(60), Range(0, DAY, "seconds");

    /// Seconds after which a store that has not answered counts as `unavailable`. A write may still
    /// arrive after that. An operation that timed out is not retried in the same request.
    "SESSION_STORE_TIMEOUT" "storeTimeout" with_store_timeout store_timeout: Duration
        = Duration::from_secs(10), Range(1, 15, "seconds");

    /// How many sessions one owner may have before a login ends the oldest; 0 for no limit. On an
    /// eventually consistent store the limit is enforced eventually, not at once: a login ends at
    /// most 100 sessions.
    "SESSION_MAX_PER_OWNER" "maxPerOwner" with_max_per_owner max_per_owner: u32
        = 0, Range(0, 10_000, "sessions; 0 for no limit");

    /// The most bytes of one session's data as JSON.
    "SESSION_MAX_RECORD_BYTES" "maxRecordBytes" with_max_record_bytes max_record_bytes: u32
        = 131_072, Range(1024, 16_777_216, "bytes; sealed, 16 MiB fit the 25 MiB of Workers KV");

    /// The most top-level keys of one session.
    "SESSION_MAX_KEYS" "maxKeys" with_max_keys max_keys: u32
        = 1000, Range(1, 100_000, "keys");

    /// The most bytes of one top-level key.
    "SESSION_MAX_KEY_BYTES" "maxKeyBytes" with_max_key_bytes max_key_bytes: u32
        = 256, Range(1, 65_536, "bytes");

    /// How deep a value may nest.
    "SESSION_MAX_DEPTH" "maxDepth" with_max_depth max_depth: u32
        = 64, Range(1, 120, "levels");

    /// The longest `Cookie` header that is parsed, in bytes. A request with a longer one counts as
    /// having no session.
    "SESSION_MAX_COOKIE_HEADER_BYTES" "maxCookieHeaderBytes"
        with_max_cookie_header_bytes max_cookie_header_bytes: u32
        = 65_536, Range(8192, 1_048_576, "bytes");

    /// The most pairs in a `Cookie` header that is parsed. A request with more counts as having no
    /// session.
    "SESSION_MAX_COOKIE_PAIRS" "maxCookiePairs" with_max_cookie_pairs max_cookie_pairs: u32
        = 200, Range(4, 10_000, "pairs; a session has up to four");

    /// Whether console warnings are silenced.
    "SESSION_DISABLE_WARNINGS" "disableWarnings" with_disable_warnings disable_warnings: bool
        = false, Any;

    /// Whether events are written to the console, one line of JSON each.
    "SESSION_EVENTS" "events" with_events events: bool
        = false, Any;

    /// Whether responses report the time that the session took (`Server-Timing`).
    "SESSION_SERVER_TIMING" "serverTiming" with_server_timing server_timing: bool
        = false, Any;
}

/// What the name of a variable of ours starts with. The KV binding `SESSIONS` does not.
#[cfg(test)]
const PREFIX: &str = "SESSION_";

/// The kind of a variable that is a KV namespace, a service or the like.
#[cfg(any(target_arch = "wasm32", feature = "worker", test))]
pub(crate) const BINDING: &str = "a binding";

const DAY: u32 = 86_400;

/// Where a Durable Object may be asked to be
/// (<https://developers.cloudflare.com/durable-objects/reference/data-location/>).
const LOCATIONS: &[&str] = &[
    "wnam", "enam", "sam", "weur", "eeur", "apac", "oc", "afr", "me",
];
const JURISDICTIONS: &[&str] = &["eu", "fedramp"];

/// The longest key after its prefix: `s.`, and three parts of 16 bytes in base64url between dots.
const LONGEST_KEY: usize = 2 + 3 * 22 + 2;

/// The most bytes of a session's data in a Durable Object: sealed and in base64url, two such records
/// fit the 1 MiB of one request.
const OBJECT_RECORD_BYTES: u32 = 262_144;

/// The longest key that Workers KV accepts.
const KV_KEY_BYTES: usize = 512;

impl Settings {
    /// Reads settings from these variables. The others have their defaults.
    ///
    /// Pass all variables of a Worker: `SESSION_SECRET` is skipped, and so are the application's
    /// own variables, even if they begin with `SESSION_`. A variable that looks like a setting but
    /// is not one is an error: a typo, or the name that another library uses for a setting. The
    /// result is [validated](Self::validate).
    ///
    /// # Errors
    /// [`ErrorCode::Config`](crate::ErrorCode::Config) for a name that looks like a setting (with a
    /// suggestion), an illegal value or an illegal combination.
    ///
    /// ```
    /// use edge_session::Settings;
    ///
    /// let vars = [("SESSION_COOKIE_AGE", "3600"), ("SESSION_QUEUE", "mail"), ("DEMO", "1")];
    /// assert_eq!(Settings::from_vars(vars)?.cookie_age().as_secs(), 3600);
    ///
    /// let misspelt = Settings::from_vars([("SESSION_COKIE_AGE", "3600")]).unwrap_err();
    /// assert!(misspelt.to_string().contains("did you mean SESSION_COOKIE_AGE?"));
    /// # Ok::<(), edge_session::SessionError>(())
    /// ```
    pub fn from_vars<N, V>(vars: impl IntoIterator<Item = (N, V)>) -> Result<Self, SessionError>
    where
        N: AsRef<str>,
        V: AsRef<str>,
    {
        let ours = vars.into_iter().filter(|(name, _)| {
            let name = name.as_ref();
            may_be_ours(name) && name != SECRET
        });
        Self::from_named(ours, Naming::Variables)
    }

    /// Reads settings from these JavaScript options, each value as text from JavaScript's `String`.
    /// The others have their defaults. The result is [validated](Self::validate).
    ///
    /// # Errors
    /// As [`from_vars`](Self::from_vars), except that no name is skipped.
    ///
    /// ```
    /// use edge_session::Settings;
    /// let settings = Settings::from_options([("cookieAge", "3600"), ("purge", "true")])?;
    /// assert!(settings.purge());
    /// # Ok::<(), edge_session::SessionError>(())
    /// ```
    pub fn from_options<N, V>(
        options: impl IntoIterator<Item = (N, V)>,
    ) -> Result<Self, SessionError>
    where
        N: AsRef<str>,
        V: AsRef<str>,
    {
        Self::from_named(options, Naming::Options)
    }

    fn from_named<N, V>(
        values: impl IntoIterator<Item = (N, V)>,
        naming: Naming,
    ) -> Result<Self, SessionError>
    where
        N: AsRef<str>,
        V: AsRef<str>,
    {
        let mut settings = Self {
            given: Given(naming),
            ..Self::default()
        };
        for (name, value) in values {
            settings.read(naming, name.as_ref(), value.as_ref())?;
        }
        settings.check(naming)?;
        Ok(settings)
    }

    fn read(&mut self, naming: Naming, name: &str, value: &str) -> Result<(), SessionError> {
        match Setting::named(naming, name) {
            Some(setting) if (setting.read)(self, value) => Ok(()),
            Some(setting) => Err(setting.refuse(naming, value)),
            None => names::unknown(naming, name, &all_names()).map_or(Ok(()), Err),
        }
    }

    /// Refuses a setting whose value is neither text nor a number nor a truth value, but `kind`: "an
    /// object".
    ///
    /// # Errors
    /// As [`from_vars`](Self::from_vars) and [`from_options`](Self::from_options). What is
    /// [`BINDING`] is something of the application's own, unless it has the very name of a setting.
    #[cfg(any(target_arch = "wasm32", feature = "worker", test))]
    #[cold]
    #[inline(never)]
    pub(crate) fn refuse_kind(naming: Naming, name: &str, kind: &str) -> Result<(), SessionError> {
        let refused = match Setting::named(naming, name) {
            Some(setting) => Some(SessionError::config(format!(
                "{name}: {kind} is not allowed; use {}",
                (setting.allowed)()
            ))),
            None if kind == BINDING => None,
            None => names::unknown(naming, name, &all_names()),
        };
        refused.map_or(Ok(()), Err)
    }

    /// What the caller calls the setting of this `variable`.
    pub(crate) fn name_of(&self, variable: &'static str) -> &'static str {
        Setting::named(Naming::Variables, variable)
            .map_or(variable, |setting| self.naming().of(&setting.names))
    }

    /// How the caller calls settings.
    pub(crate) fn naming(&self) -> Naming {
        let Given(naming) = self.given;
        naming
    }

    /// How deep a value may nest.
    pub(crate) fn depth(&self) -> Depth {
        Depth {
            most: self.max_depth,
            name: self.name_of("SESSION_MAX_DEPTH"),
        }
    }

    /// Checks every value and every combination. Call it before using settings built by hand.
    ///
    /// # Errors
    /// [`ErrorCode::Config`](crate::ErrorCode::Config) that names the setting to change by its
    /// builder method, the reason, and what to do.
    ///
    /// ```
    /// use edge_session::{SameSite, Settings};
    /// let open = Settings::default().with_cookie_name("sid").with_cookie_secure(false);
    /// assert!(open.validate().is_ok());
    /// assert!(open.with_cookie_same_site(SameSite::None).validate().is_err());
    /// ```
    pub fn validate(&self) -> Result<(), SessionError> {
        self.check(Naming::Builder)
    }

    fn check(&self, naming: Naming) -> Result<(), SessionError> {
        for setting in TABLE {
            if !(setting.obeys)(self) {
                return Err(setting.refuse(naming, &(setting.show)(self)));
            }
        }
        // These errors contain names, never values.
        self.cookie_spec().map_err(|error| {
            SessionError::config(naming.translate(error.message(), &all_names()))
        })?;
        let most = KV_KEY_BYTES - LONGEST_KEY;
        let printable = self
            .key_prefix
            .bytes()
            .all(|byte| (b' '..=b'~').contains(&byte));
        if !printable || self.key_prefix.len() > most {
            return Err(SessionError::config(format!(
                "{}: \"{}\" is not allowed because keys are ASCII without control characters and \
                 of at most {KV_KEY_BYTES} bytes; use at most {most} characters",
                naming.translate("SESSION_KEY_PREFIX", &all_names()),
                excerpt(&self.key_prefix),
            )));
        }
        if self.storage == Storage::DurableObject {
            self.check_for_objects(naming)?;
        }
        self.check_place(naming)
    }

    /// Checks what fits the requests to a Durable Object.
    pub(crate) fn check_for_objects(&self, naming: Naming) -> Result<(), SessionError> {
        if self.max_record_bytes <= OBJECT_RECORD_BYTES {
            return Ok(());
        }
        Err(SessionError::config(format!(
            "{}: \"{}\" is not allowed in Durable Objects, whose requests have at most 1 MiB: a new \
             session key takes two records in one request; use at most {OBJECT_RECORD_BYTES}, or \
             Workers KV",
            naming.translate("SESSION_MAX_RECORD_BYTES", &all_names()),
            self.max_record_bytes,
        )))
    }

    /// Checks where Durable Objects are to be.
    fn check_place(&self, naming: Naming) -> Result<(), SessionError> {
        for (name, value, known) in [
            ("SESSION_LOCATION_HINT", &self.location_hint, LOCATIONS),
            ("SESSION_JURISDICTION", &self.jurisdiction, JURISDICTIONS),
        ] {
            if value.is_empty() {
                continue;
            }
            let reason = if self.storage != Storage::DurableObject {
                "this is only for sessions in Durable Objects; set SESSION_STORAGE to durable_object, \
                 or leave it out"
                    .to_owned()
            } else if !known.contains(&&**value) {
                format!("use one of {}", known.join(", "))
            } else {
                continue;
            };
            return Err(SessionError::config(format!(
                "{}: \"{}\" is not allowed; {}",
                naming.translate(name, &all_names()),
                excerpt(value),
                naming.translate(&reason, &all_names()),
            )));
        }
        Ok(())
    }

    /// Every setting's name and value, in the order of the documentation.
    ///
    /// ```
    /// use edge_session::Settings;
    /// let (name, value) = Settings::default().list().next().unwrap();
    /// assert_eq!((name, value.as_str()), ("SESSION_COOKIE_NAME", "__Host-session"));
    /// ```
    pub fn list(&self) -> impl Iterator<Item = (&'static str, String)> + '_ {
        TABLE
            .iter()
            .map(|setting| (setting.names.variable, (setting.show)(self)))
    }

    /// The JavaScript option of a setting: `cookieAge` for `SESSION_COOKIE_AGE`. `None` if there is
    /// no such setting.
    ///
    /// ```
    /// use edge_session::Settings;
    /// assert_eq!(Settings::option_name("SESSION_KV_CACHE_TTL"), Some("kvCacheTtl"));
    /// assert_eq!(Settings::option_name("SESSION_SECRET"), None);
    /// ```
    #[must_use]
    pub fn option_name(setting: &str) -> Option<&'static str> {
        TABLE
            .iter()
            .find(|row| row.names.variable == setting)
            .map(|row| row.names.option)
    }

    /// Checks that the store can do what the settings ask for. Without transactions D may not be 0.
    ///
    /// # Errors
    /// [`ErrorCode::Config`](crate::ErrorCode::Config) if they ask for Durable Objects and the store has
    /// no transactions.
    pub(crate) fn check_store(&self, has_transactions: bool) -> Result<(), SessionError> {
        if has_transactions || self.storage != Storage::DurableObject {
            return Ok(());
        }
        Err(SessionError::config(format!(
            "{}: durable_object needs a store that has transactions, and this connector has none; \
             pass an ObjectConnector to Sessions::strong_builder, or leave the setting out",
            self.name_of("SESSION_STORAGE"),
        )))
    }

    /// These settings on the store that is used: D and W depend on it.
    pub(crate) fn on_store(mut self, has_transactions: bool) -> Self {
        self.has_transactions = HasTransactions(has_transactions);
        self
    }

    /// D: how long a revoked session may still look alive somewhere, if a write reaches every
    /// location within [`SESSION_PROPAGATION`](Self::with_propagation). Two seconds allow for clock
    /// differences. On a store that has transactions, such as Durable Objects, it is 0: a revocation
    /// is effective when it returns.
    ///
    /// Settings know the store if they ask for Durable Objects. Those of
    /// [`Sessions::settings`](crate::Sessions::settings) always know it.
    ///
    /// ```
    /// use edge_session::Settings;
    /// assert_eq!(Settings::default().staleness_bound().as_secs(), 30 + 60 + 10 + 2);
    /// ```
    #[must_use]
    pub fn staleness_bound(&self) -> Duration {
        if self.storage == Storage::DurableObject || self.has_transactions.0 {
            return Duration::ZERO;
        }
        self.kv_cache_ttl
            .saturating_add(self.propagation)
            .saturating_add(self.isolate_cache_ttl)
            .saturating_add(Duration::from_secs(2))
    }

    /// W: how long a save may remain invisible elsewhere, and how long a rotated token can still read
    /// its session. It is the [staleness bound](Self::staleness_bound), but at least 90 seconds.
    ///
    /// ```
    /// use edge_session::Settings;
    /// use std::time::Duration;
    /// let settings = Settings::default();
    /// assert_eq!(settings.window(), settings.staleness_bound());
    /// let quick = settings.with_propagation(Duration::ZERO);
    /// assert_eq!(quick.window(), Duration::from_secs(90));
    /// ```
    #[must_use]
    pub fn window(&self) -> Duration {
        self.staleness_bound().max(Duration::from_secs(90))
    }

    /// Whether fresh cookies carry the record: only where it is sealed too.
    ///
    /// ```
    /// use edge_session::Settings;
    /// assert!(Settings::default().uses_overlay());
    /// assert!(!Settings::default().with_seal(false).uses_overlay());
    /// ```
    #[must_use]
    pub fn uses_overlay(&self) -> bool {
        self.seal && self.overlay
    }

    /// What an operator should not have left on, as the caller calls it.
    pub(crate) fn warning(&self, naming: Naming) -> Option<String> {
        let is_silent = self.cookie_secure || self.disable_warnings;
        let text = "SESSION_COOKIE_SECURE is false: session cookies travel over plain HTTP too, \
                    where anybody on the way can take them";
        (!is_silent).then(|| naming.translate(text, &all_names()))
    }

    /// The default name has a prefix that browsers accept on `Secure` cookies only. Without `Secure`
    /// it goes without the prefix, so that one setting is enough for plain HTTP.
    fn cookie_name_in_force(&self) -> &str {
        let default = self.cookie_name == "__Host-session";
        if default && !self.cookie_secure {
            "session"
        } else {
            &self.cookie_name
        }
    }

    /// These settings with the cookie name that is in force.
    pub(crate) fn in_force(mut self) -> Self {
        self.cookie_name = self.cookie_name_in_force().to_owned();
        self
    }

    /// The cookies that these settings describe.
    ///
    /// # Errors
    /// [`ErrorCode::Config`](crate::ErrorCode::Config) where browsers would not keep them.
    pub(crate) fn cookie_spec(&self) -> Result<CookieSpec, SessionError> {
        CookieSpec::new(CookieAttributes {
            name: self.cookie_name_in_force(),
            path: &self.cookie_path,
            domain: (!self.cookie_domain.is_empty()).then_some(&*self.cookie_domain),
            secure: self.cookie_secure,
            same_site: self.cookie_same_site,
            partitioned: self.cookie_partitioned,
        })
    }

    /// How much of a `Cookie` header is looked at.
    pub(crate) fn cookie_limits(&self) -> CookieLimits {
        CookieLimits {
            bytes: self.max_cookie_header_bytes as usize,
            pairs: self.max_cookie_pairs as usize,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(name: &str, value: &str) -> String {
        let error = Settings::from_vars([(name, value)]).expect_err("should be refused");
        assert_eq!(error.code(), crate::ErrorCode::Config);
        error.message().to_owned()
    }

    #[test]
    fn the_defaults_are_legal_and_as_documented() {
        let settings = Settings::default();
        settings.validate().unwrap();
        let expected = [
            ("SESSION_COOKIE_NAME", "__Host-session"),
            ("SESSION_COOKIE_AGE", "604800"),
            ("SESSION_IDLE_TIMEOUT", "86400"),
            ("SESSION_COOKIE_PATH", "/"),
            ("SESSION_COOKIE_DOMAIN", ""),
            ("SESSION_COOKIE_SECURE", "true"),
            ("SESSION_COOKIE_SAMESITE", "Lax"),
            ("SESSION_COOKIE_PARTITIONED", "false"),
            ("SESSION_EXPIRE_AT_BROWSER_CLOSE", "false"),
            ("SESSION_ALLOW_PRIVATE_CACHE", "false"),
            ("SESSION_STORAGE", "kv"),
            ("SESSION_LOCATION_HINT", ""),
            ("SESSION_JURISDICTION", ""),
            ("SESSION_KEY_PREFIX", ""),
            ("SESSION_SEAL", "true"),
            ("SESSION_OVERLAY", "true"),
            ("SESSION_PURGE", "false"),
            ("SESSION_KV_CACHE_TTL", "30"),
            ("SESSION_ISOLATE_CACHE_TTL", "10"),
            ("SESSION_PROPAGATION", "60"),
            ("SESSION_STORE_TIMEOUT", "10"),
            ("SESSION_MAX_PER_OWNER", "0"),
            ("SESSION_MAX_RECORD_BYTES", "131072"),
            ("SESSION_MAX_KEYS", "1000"),
            ("SESSION_MAX_KEY_BYTES", "256"),
            ("SESSION_MAX_DEPTH", "64"),
            ("SESSION_MAX_COOKIE_HEADER_BYTES", "65536"),
            ("SESSION_MAX_COOKIE_PAIRS", "200"),
            ("SESSION_DISABLE_WARNINGS", "false"),
            ("SESSION_EVENTS", "false"),
            ("SESSION_SERVER_TIMING", "false"),
        ];
        let listed: Vec<_> = settings.list().collect();
        assert_eq!(
            listed,
            expected.map(|(name, value)| (name, value.to_owned()))
        );
    }

    #[test]
    fn what_is_listed_is_read_back() {
        let changed = Settings::default()
            .with_cookie_name("sid")
            .with_cookie_domain("example.com")
            .with_cookie_age(Duration::from_secs(7))
            .with_cookie_same_site(SameSite::Strict)
            .with_storage(Storage::Memory)
            .with_key_prefix("app:")
            .with_seal(false);
        for settings in [Settings::default(), changed] {
            assert_eq!(Settings::from_vars(settings.list()).unwrap(), settings);
            let options = settings
                .list()
                .map(|(name, value)| (Settings::option_name(name).unwrap(), value));
            assert_eq!(Settings::from_options(options).unwrap(), settings);
        }
    }

    #[test]
    fn every_row_changes_its_own_setting_only() {
        for setting in TABLE {
            let legal = ["1", "100", "9000", "false", "None", "memory", "/"];
            let changed = legal.into_iter().any(|text| {
                let mut settings = Settings::default();
                let before: Vec<_> = settings.list().collect();
                let read = (setting.read)(&mut settings, text);
                let differing: Vec<_> = settings
                    .list()
                    .zip(&before)
                    .filter(|(after, before)| after != *before)
                    .map(|((name, _), _)| name)
                    .collect();
                assert!(!read || differing.is_empty() || differing == [setting.names.variable]);
                read && !differing.is_empty()
            });
            assert!(changed, "{}", setting.names.variable);
        }
    }

    #[test]
    fn an_option_is_its_variable_in_camel_case() {
        for Names {
            variable: name,
            option,
            ..
        } in all_names()
        {
            let words = name.strip_prefix(PREFIX).unwrap().replace('_', "");
            assert_eq!(option.to_uppercase(), words);
            assert!(option.starts_with(|first: char| first.is_ascii_lowercase()));
        }
    }

    #[test]
    fn variables_that_are_not_ours_are_skipped() {
        let vars = [
            ("SESSIONS", "x"),
            ("SESSION_SECRET", "x"),
            ("DEMO", "1"),
            ("session_x", "1"),
            ("SESSION_QUEUE", "1"),
            ("SESSION_STORE", "1"),
            ("SESSION_EVENTS_DATASET", "1"),
            ("SESSION_API_URL", "1"),
            ("SESSION_", "1"),
        ];
        assert_eq!(Settings::from_vars(vars).unwrap(), Settings::default());
    }

    #[test]
    fn a_misspelt_variable_is_told_without_its_value() {
        for (misspelt, meant) in [
            ("SESSION_COOKIE_AGES", "SESSION_COOKIE_AGE"),
            ("SESSION_COOKE_NAME", "SESSION_COOKIE_NAME"),
            ("SESSION_IDLE_TIMOUT", "SESSION_IDLE_TIMEOUT"),
            ("SESSION_COOKIE_SAME_SITE", "SESSION_COOKIE_SAMESITE"),
            ("SESSION_purge", "SESSION_PURGE"),
            ("SESSION_SAEL", "SESSION_SEAL"),
            ("SESSION_IDLE_TIMEOUT_SECONDS", "SESSION_IDLE_TIMEOUT"),
            ("SESION_COOKIE_AGE", "SESSION_COOKIE_AGE"),
            ("SESSIONS_PURGE", "SESSION_PURGE"),
            ("session_cookie_age", "SESSION_COOKIE_AGE"),
        ] {
            let message = refusal(misspelt, "hunter2");
            assert!(message.starts_with(misspelt), "{message}");
            assert!(
                message.ends_with(&format!("did you mean {meant}?")),
                "{message}"
            );
            assert!(!message.contains("hunter2"), "{message}");
        }
        assert!(!refusal("SESSION_SECRETS", "hunter2").contains("hunter2"));
        let message = Settings::from_options([("cookieage", "1")])
            .unwrap_err()
            .to_string();
        assert!(message.ends_with("did you mean cookieAge?"), "{message}");
        let odd = format!("{}\n\u{1b}", "x".repeat(1000));
        let message = Settings::from_options([(odd, "1")]).unwrap_err();
        assert!(!message.to_string().contains(['\n', '\u{1b}']), "{message}");
        assert!(message.to_string().len() < 200, "{message}");
    }

    #[test]
    fn values_are_read_strictly() {
        for bad in [
            "",
            " 1",
            "1 ",
            "+1",
            "-1",
            "1.0",
            "1e3",
            "0x10",
            "1_000",
            "4294967296",
            "١",
        ] {
            let message = refusal("SESSION_COOKIE_AGE", bad);
            assert!(message.contains("from 1 to 34560000 (seconds"), "{message}");
        }
        for bad in ["", "True", "yes", "on", "2", " true"] {
            assert!(refusal("SESSION_PURGE", bad).ends_with("use true, false, 1 or 0"));
        }
        assert!(refusal("SESSION_COOKIE_SAMESITE", "lax").ends_with("use Strict, Lax or None"));
        assert!(refusal("SESSION_STORAGE", "redis").ends_with("use kv, memory or durable_object"));
        for (text, expected) in [("true", true), ("1", true), ("false", false), ("0", false)] {
            assert_eq!(
                Settings::from_vars([("SESSION_PURGE", text)])
                    .unwrap()
                    .purge(),
                expected
            );
        }
    }

    #[test]
    fn only_durable_objects_have_a_place() {
        let of = |name, value, storage| {
            Settings::from_vars([("SESSION_STORAGE", storage), (name, value)])
                .map_err(|error| error.message().to_owned())
        };
        for (name, legal) in [
            ("SESSION_LOCATION_HINT", "weur"),
            ("SESSION_JURISDICTION", "eu"),
        ] {
            let settings = of(name, legal, "durable_object").unwrap();
            let bounds = [settings.staleness_bound(), settings.window()];
            assert_eq!(bounds.map(|it| it.as_secs()), [0, 90]);
            let message = of(name, legal, "kv").unwrap_err();
            assert!(message.starts_with(name), "{message}");
            assert!(
                message.contains("set SESSION_STORAGE to durable_object"),
                "{message}"
            );
            let message = of(name, "mars", "durable_object").unwrap_err();
            assert!(
                message.contains("\"mars\" is not allowed; use one of"),
                "{message}"
            );
        }
    }

    #[test]
    fn a_refused_value_is_shown_escaped_and_cut() {
        let message = refusal("SESSION_PURGE", &format!("a\r\n\u{1b}{}", "é".repeat(100)));
        assert!(
            message.starts_with("SESSION_PURGE: \"a\\r\\n\\u{1b}\\u{e9}"),
            "{message}"
        );
        assert!(message.is_ascii() && message.contains("...\""), "{message}");
        assert!(refusal("SESSION_PURGE", &"x".repeat(40)).contains(&"x".repeat(40)));
        let cut = refusal("SESSION_PURGE", &"x".repeat(41));
        assert!(
            cut.contains("xxx...\"") && !cut.contains(&"x".repeat(41)),
            "{cut}"
        );
    }

    #[test]
    fn numbers_have_limits_in_variables_and_in_the_builder() {
        type Build = fn(u32) -> Settings;
        let cases: [(&str, Build, u32, u32); 5] = [
            (
                "SESSION_COOKIE_AGE",
                |n| Settings::default().with_cookie_age(Duration::from_secs(n.into())),
                1,
                34_560_000,
            ),
            (
                "SESSION_IDLE_TIMEOUT",
                |n| Settings::default().with_idle_timeout(Duration::from_secs(n.into())),
                0,
                34_560_000,
            ),
            (
                "SESSION_KV_CACHE_TTL",
                |n| Settings::default().with_kv_cache_ttl(Duration::from_secs(n.into())),
                30,
                86_400,
            ),
            (
                "SESSION_MAX_DEPTH",
                |n| Settings::default().with_max_depth(n),
                1,
                120,
            ),
            (
                "SESSION_MAX_COOKIE_PAIRS",
                |n| Settings::default().with_max_cookie_pairs(n),
                4,
                10_000,
            ),
        ];
        for (name, build, least, most) in cases {
            for (value, legal) in [
                (least.wrapping_sub(1), false),
                (least, true),
                (most, true),
                (most + 1, false),
            ] {
                let settings = build(value);
                let text = value.to_string();
                assert_eq!(settings.validate().is_ok(), legal, "{name} {value}");
                assert_eq!(
                    Settings::from_vars([(name, text)]).ok(),
                    legal.then_some(settings)
                );
            }
        }
    }

    #[test]
    fn a_short_age_needs_no_shorter_idle_timeout() {
        assert!(
            Settings::default()
                .with_cookie_age(Duration::from_secs(60))
                .validate()
                .is_ok()
        );
    }

    #[test]
    fn keys_fit_the_namespace() {
        let with = |prefix: String| {
            Settings::default()
                .with_key_prefix(prefix)
                .validate()
                .is_ok()
        };
        assert!(with("my app/".to_owned()) && with("p".repeat(442)));
        assert!(!with("p".repeat(443)) && !with("é".to_owned()) && !with("a\nb".to_owned()));
        let part = "A".repeat(22);
        assert_eq!(format!("s.{part}.{part}.{part}").len(), LONGEST_KEY);
    }

    #[test]
    fn combinations_are_refused_from_variables_too() {
        let vars = [
            ("SESSION_COOKIE_NAME", "sid"),
            ("SESSION_COOKIE_SECURE", "0"),
        ];
        assert!(Settings::from_vars(vars).is_ok());
        let prefixed = [
            ("SESSION_COOKIE_NAME", "__Secure-sid"),
            ("SESSION_COOKIE_SECURE", "0"),
        ];
        let message = Settings::from_vars(prefixed).unwrap_err().to_string();
        assert!(message.contains("SESSION_COOKIE_SECURE: "), "{message}");
        assert!(refusal("SESSION_COOKIE_DOMAIN", "a.b").starts_with("SESSION_COOKIE_DOMAIN: "));
    }

    #[test]
    fn a_value_of_another_kind_is_refused_where_the_name_is_meant_for_us() {
        let refused = |name, kind| {
            Settings::refuse_kind(Naming::Variables, name, kind)
                .err()
                .map(|error| error.message().to_owned())
        };
        let expected = "SESSION_SEAL: an object is not allowed; use true, false, 1 or 0";
        assert_eq!(
            refused("SESSION_SEAL", "an object").as_deref(),
            Some(expected)
        );
        assert!(refused("SESSION_SEAL", BINDING).is_some());
        assert!(refused("SESSION_SEALS", "an array").is_some());
        assert_eq!(refused("SESSION_SEALS", BINDING), None);
        assert_eq!(refused("SESSION_QUEUE", "an object"), None);
    }

    #[test]
    fn the_bounds_add_up() {
        let bounds = |settings: &Settings| [settings.staleness_bound(), settings.window()];
        let seconds = Duration::from_secs;
        let settings = Settings::default();
        assert_eq!(bounds(&settings), [102, 102].map(seconds));
        let quick = settings
            .with_propagation(seconds(10))
            .with_isolate_cache_ttl(Duration::ZERO);
        assert_eq!(bounds(&quick), [42, 90].map(seconds));
        let extreme = quick
            .with_propagation(Duration::MAX)
            .with_kv_cache_ttl(Duration::MAX)
            .with_isolate_cache_ttl(Duration::MAX);
        assert!(extreme.window() >= seconds(u64::MAX));
        assert!(extreme.validate().is_err());
    }

    #[test]
    fn a_time_of_the_builder_is_rounded_up_to_whole_seconds() {
        let settings = Settings::default().with_idle_timeout(Duration::from_millis(900));
        assert_eq!(
            settings.idle_timeout(),
            Duration::from_secs(1),
            "0 is no limit"
        );
        let listed: Vec<_> = settings.list().collect();
        assert!(listed.contains(&("SESSION_IDLE_TIMEOUT", "1".to_owned())));
    }

    #[test]
    fn limits_and_cookies_come_from_the_settings() {
        let limits = Settings::default().with_max_cookie_pairs(5).cookie_limits();
        assert_eq!(
            limits,
            CookieLimits {
                bytes: 65_536,
                pairs: 5
            }
        );
        let spec = Settings::default()
            .with_cookie_name("sid")
            .cookie_spec()
            .unwrap();
        assert_eq!(
            spec.names().get(crate::protocol::cookie::CookieKind::Fresh),
            "sid-fresh"
        );
    }

    #[test]
    fn no_setting_is_taken_for_another() {
        for naming in [Naming::Variables, Naming::Options] {
            for names in all_names() {
                let misspelt = format!("{}S", naming.of(names));
                let error = names::unknown(naming, &misspelt, &all_names()).unwrap();
                let expected = format!("did you mean {}?", naming.of(names));
                assert!(error.message().ends_with(&expected), "{error}");
            }
        }
    }

    #[test]
    fn advice_names_settings_that_there_are() {
        for advice in names::all_advice() {
            for word in advice.split(|c: char| c != '_' && !c.is_ascii_alphanumeric()) {
                let is_setting =
                    Setting::named(Naming::Variables, word).is_some() || word == SECRET;
                assert!(!word.starts_with(PREFIX) || is_setting, "{advice}");
            }
            assert!(
                !Naming::Options
                    .translate(advice, &all_names())
                    .contains(PREFIX)
            );
        }
    }
}
