//! What settings are called where they are given, and what a name that is no setting was meant to be.
//!
//! A variable is the application's own unless it looks like one of ours: a typing error, or the name
//! that another library has for the same thing. An option that is unknown is always an error, since
//! all of them are ours.

use super::{SECRET, Setting, TABLE};
use crate::port::error::SessionError;

/// Where settings were given: an error calls them as the caller did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Naming {
    /// `SESSION_COOKIE_AGE`.
    Variables,
    /// `cookieAge`.
    Options,
    /// `with_cookie_age`.
    Builder,
}

/// Options of JavaScript that are no settings.
const OTHER_OPTIONS: [&str; 3] = ["secret", "clock", "onEvent"];

/// Names that other libraries have for a setting, without `SESSION` and `COOKIE` and in the form of
/// [`letters`], and what to do here. A setting is written as its variable.
const FOREIGN: &[(&str, &str)] = &[
    (
        "AGE DURATION EXPIRATION EXPIRE EXPIRES EXPIRESIN EXPIRY LIFETIME MAXAGE MAXLIFETIME TTL",
        "SESSION_COOKIE_AGE is how long a session lasts at most, SESSION_IDLE_TIMEOUT how long it \
         lasts without a request",
    ),
    (
        "IDLE IDLEAGE IDLETIME IDLETTL INACTIVITY INACTIVITYTIMEOUT TIMEOUT",
        "SESSION_IDLE_TIMEOUT is how long a session lasts without a request",
    ),
    (
        "REFRESHEACHREQUEST ROLLING SAVEEVERYREQUEST SLIDING",
        "the time of SESSION_IDLE_TIMEOUT always begins anew when the browser comes back, and \
         nothing moves the end that SESSION_COOKIE_AGE sets",
    ),
    ("DOMAIN", "it is called SESSION_COOKIE_DOMAIN"),
    ("NAME", "it is called SESSION_COOKIE_NAME"),
    ("PATH", "it is called SESSION_COOKIE_PATH"),
    ("SAMESITE", "it is called SESSION_COOKIE_SAMESITE"),
    ("SECURE", "it is called SESSION_COOKIE_SECURE"),
    ("PARTITIONED", "it is called SESSION_COOKIE_PARTITIONED"),
    ("PREFIX", "it is called SESSION_KEY_PREFIX"),
    (
        "MAXPERUSER MAXSESSIONS",
        "it is called SESSION_MAX_PER_OWNER",
    ),
    (
        "EXPIREONCLOSE",
        "it is called SESSION_EXPIRE_AT_BROWSER_CLOSE",
    ),
    (
        "HTTPONLY",
        "the cookies are always HttpOnly, and no setting changes that",
    ),
    (
        "SIGNED",
        "the cookies are always signed, and no setting changes that",
    ),
    (
        "ENCRYPT ENCRYPTED",
        "SESSION_SEAL says whether records are encrypted; they are by default",
    ),
];

/// The cookies as a whole.
const COOKIES: (&str, &str) = (
    "COOKIE COOKIES COOKIEOPTIONS",
    "each attribute of the cookies is a setting of its own: SESSION_COOKIE_NAME, \
     SESSION_COOKIE_AGE, SESSION_COOKIE_PATH, SESSION_COOKIE_DOMAIN, SESSION_COOKIE_SECURE, \
     SESSION_COOKIE_SAMESITE",
);

/// The same, where only an option is certainly meant for us.
const FOREIGN_OPTIONS: &[(&str, &str)] = &[
    ("KEY KEYS PASSWORD PASSWORDS", "it is called SESSION_SECRET"),
    (
        "ADAPTER CONNECTOR DRIVER KV NAMESPACE STORE",
        "the KV namespace or connector is the first argument, before the options",
    ),
    (
        "RESAVE SAVEUNINITIALIZED",
        "what has not changed is not saved, and a session without data is not stored",
    ),
];

/// What people write behind the name of a time.
const UNITS: &str = "SECONDS SECS SEC MINUTES MINS MIN HOURS DAYS MS";

impl Naming {
    /// What a setting is called.
    pub(super) fn of(self, setting: &Setting) -> &'static str {
        match self {
            Self::Variables => setting.name,
            Self::Options => setting.option,
            Self::Builder => setting.builder,
        }
    }

    pub(super) fn find(self, name: &str) -> Option<&'static Setting> {
        TABLE.iter().find(|setting| self.of(setting) == name)
    }

    /// `text`, whose settings are written as variables, with their names as the caller knows them.
    pub(super) fn translate(self, text: &str) -> String {
        let is_other = |c: char| c != '_' && !c.is_ascii_alphanumeric();
        let mut out = String::with_capacity(text.len());
        for piece in text.split_inclusive(is_other) {
            let word = piece.trim_end_matches(is_other);
            out.push_str(match Self::Variables.find(word) {
                Some(setting) => self.of(setting),
                None if word == SECRET && self == Self::Options => "secret",
                None => word,
            });
            out.push_str(&piece[word.len()..]);
        }
        out
    }

    /// Everything that can be given.
    fn known(self) -> Vec<&'static str> {
        let mut known: Vec<_> = TABLE.iter().map(|setting| self.of(setting)).collect();
        known.extend_from_slice(match self {
            Self::Variables => &[SECRET],
            Self::Options => &OTHER_OPTIONS,
            Self::Builder => &[],
        });
        known
    }
}

/// True where a variable may be one of ours, well written or not: its value is looked at.
pub(crate) fn may_be_ours(name: &str) -> bool {
    name.get(..3)
        .is_some_and(|start| start.eq_ignore_ascii_case("ses"))
}

/// The error of a name that is no setting. `None` where it is a variable of the application's own.
///
/// The value is left out of it: what was misspelt may be the secret.
#[cold]
pub(super) fn unknown(naming: Naming, name: &str) -> Option<SessionError> {
    let instead = meant(naming, name)?;
    Some(SessionError::config(format!(
        "{}: there is no such setting{instead}",
        super::excerpt(name)
    )))
}

/// What the error says behind its first half.
fn meant(naming: Naming, name: &str) -> Option<String> {
    let given = letters(name);
    let is_variable = naming == Naming::Variables;
    // A variable is taken for one of ours by its prefix, which an option may have too.
    let stem = match given.strip_prefix("SESSION") {
        Some(stem) => stem,
        None if is_variable => "",
        None => &given,
    };
    let is_misplaced = stem
        .strip_prefix("SECRET")
        .is_some_and(|rest| !rest.is_empty());
    if is_variable && is_misplaced {
        let advice = "; all secrets stand in SESSION_SECRET, separated by commas, and the first of \
                      them signs";
        return Some(advice.to_owned());
    }
    if !is_variable && stem == "SECRETS" {
        return Some("; secret takes an array of them, and the first of them signs".to_owned());
    }
    // The prefix of a variable may be misspelt, too.
    let whole = if is_variable { &given } else { stem };
    if let Some(nearest) = nearest(naming, whole) {
        return Some(format!("; did you mean {nearest}?"));
    }
    match foreign(naming, stem).or_else(|| foreign(naming, without_unit(stem))) {
        Some(advice) => Some(format!("; {}", naming.translate(advice))),
        // All options are ours.
        None => (!is_variable).then(String::new),
    }
}

/// Of `IDLETIMEOUTSECONDS` all but the unit.
#[inline(never)]
fn without_unit(letters: &str) -> &str {
    let mut units = UNITS.split(' ');
    units
        .find_map(|unit| letters.strip_suffix(unit))
        .unwrap_or(letters)
}

#[inline(never)]
fn foreign(naming: Naming, stem: &str) -> Option<&'static str> {
    let bare = stem
        .strip_prefix("COOKIE")
        .or_else(|| stem.strip_suffix("COOKIE"))
        .unwrap_or(stem);
    let options: &[_] = match naming {
        Naming::Options => FOREIGN_OPTIONS,
        Naming::Variables | Naming::Builder => &[],
    };
    let is_one_of = |names: &str, name: &str| names.split(' ').any(|one| one == name);
    if is_one_of(COOKIES.0, stem) {
        return Some(COOKIES.1);
    }
    let mut all = FOREIGN.iter().chain(options);
    all.find(|(names, _)| is_one_of(names, bare))
        .map(|(_, advice)| *advice)
}

/// The name that `given` differs from by a unit behind it, or by a typing error: by one letter, or by
/// two in a long name. The nearest of them.
fn nearest(naming: Naming, given: &str) -> Option<&'static str> {
    let known = naming.known();
    for edits in 0..=2 {
        for name in &known {
            let letters = letters(name);
            let is_long = letters.strip_prefix("SESSION").unwrap_or(&letters).len() >= 8;
            let is_near = match edits {
                0 => without_unit(given) == letters || given == letters,
                2 if !is_long => false,
                _ => within(edits, given.as_bytes(), letters.as_bytes()),
            };
            if is_near {
                return Some(name);
            }
        }
    }
    None
}

/// The most letters of a name that are looked at.
const MOST: usize = 64;

/// The letters and digits of a name, in capitals: `COOKIEAGE` of `cookieAge` and of `COOKIE_AGE`.
#[inline(never)]
fn letters(name: &str) -> String {
    let letters = name.bytes().filter(u8::is_ascii_alphanumeric).take(MOST);
    letters
        .map(|it| char::from(it.to_ascii_uppercase()))
        .collect()
}

/// True where no more than so many `edits` make one text the other: a letter that is inserted,
/// removed or replaced, or two neighbours that change places.
fn within(edits: usize, a: &[u8], b: &[u8]) -> bool {
    let (Some((x, a_rest)), Some((y, b_rest))) = (a.split_first(), b.split_first()) else {
        return a.len() + b.len() <= edits;
    };
    if x == y {
        return within(edits, a_rest, b_rest);
    }
    let Some(left) = edits.checked_sub(1) else {
        return false;
    };
    let swapped = match (a_rest, b_rest) {
        ([x2, a_rest @ ..], [y2, b_rest @ ..]) if x == y2 && x2 == y => {
            within(left, a_rest, b_rest)
        }
        _ => false,
    };
    swapped || within(left, a_rest, b_rest) || within(left, a_rest, b) || within(left, a, b_rest)
}

#[cfg(test)]
mod tests {
    use super::super::PREFIX;
    use super::*;

    #[test]
    fn edits_are_counted() {
        for (a, b, least) in [
            ("", "abc", 3),
            ("abc", "abc", 0),
            ("kitten", "sitting", 3),
            ("a", "", 1),
            ("secert", "secret", 1),
            ("abcd", "badc", 2),
            ("aab", "ab", 1),
            ("abab", "baba", 2),
        ] {
            for edits in 0..5 {
                for (a, b) in [(a, b), (b, a)] {
                    let is_within = within(edits, a.as_bytes(), b.as_bytes());
                    assert_eq!(is_within, edits >= least, "{a} {b} {edits}");
                }
            }
        }
    }

    #[test]
    fn no_setting_is_taken_for_another() {
        for naming in [Naming::Variables, Naming::Options] {
            for name in naming.known() {
                assert_eq!(nearest(naming, &letters(name)), Some(name));
            }
        }
    }

    #[test]
    fn advice_names_settings_that_there_are() {
        for (_, advice) in FOREIGN.iter().chain(FOREIGN_OPTIONS).chain([&COOKIES]) {
            for word in advice.split(|c: char| c != '_' && !c.is_ascii_alphanumeric()) {
                let is_setting = Naming::Variables.find(word).is_some() || word == SECRET;
                assert!(!word.starts_with(PREFIX) || is_setting, "{advice}");
            }
            assert!(!Naming::Options.translate(advice).contains(PREFIX));
        }
    }
}
