//! The name of each setting in each language, and suggestions for unknown names.
//!
//! An unknown variable belongs to the application unless it looks like one of ours: a typo, or the
//! name that another library uses for the same thing. An unknown option is always an error, because
//! every option is ours.

use crate::port::error::SessionError;

/// The names of one setting.
pub(super) struct Names {
    pub(super) variable: &'static str,
    pub(super) option: &'static str,
    /// The method that sets it in Rust.
    pub(super) builder: &'static str,
}

/// The variable that the secret ring reads. It is not a setting.
pub(super) const SECRET: &str = "SESSION_SECRET";

/// Where the settings were given. An error uses the names that the caller used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Naming {
    /// `SESSION_COOKIE_AGE`.
    Variables,
    /// `cookieAge`.
    Options,
    /// `with_cookie_age`.
    Builder,
}

/// JavaScript options that are not settings.
const OTHER_OPTIONS: [&str; 3] = ["secret", "clock", "onEvent"];

/// Names that other libraries use for a setting, each with advice for this library. The names are
/// without `SESSION` and `COOKIE`, in the form of [`letters`]. The advice names settings by their
/// variables.
const FOREIGN: &[(&str, &str)] = &[
    (
        "AGE DURATION EXPIRATION EXPIRE EXPIRES EXPIRESIN EXPIRY LIFETIME MAXAGE MAXLIFETIME TTL",
        "SESSION_COOKIE_AGE limits how long a session lasts, SESSION_IDLE_TIMEOUT how long it lasts \
         without a request",
    ),
    (
        "IDLE IDLEAGE IDLETIME IDLETTL INACTIVITY INACTIVITYTIMEOUT TIMEOUT",
        "SESSION_IDLE_TIMEOUT limits how long a session lasts without a request",
    ),
    (
        "REFRESHEACHREQUEST ROLLING SAVEEVERYREQUEST SLIDING",
        "every request restarts SESSION_IDLE_TIMEOUT, and nothing extends the end that \
         SESSION_COOKIE_AGE sets",
    ),
    ("DOMAIN", "use SESSION_COOKIE_DOMAIN"),
    ("NAME", "use SESSION_COOKIE_NAME"),
    ("PATH", "use SESSION_COOKIE_PATH"),
    ("SAMESITE", "use SESSION_COOKIE_SAMESITE"),
    ("SECURE", "use SESSION_COOKIE_SECURE"),
    ("PARTITIONED", "use SESSION_COOKIE_PARTITIONED"),
    ("PREFIX", "use SESSION_KEY_PREFIX"),
    ("MAXPERUSER MAXSESSIONS", "use SESSION_MAX_PER_OWNER"),
    ("EXPIREONCLOSE", "use SESSION_EXPIRE_AT_BROWSER_CLOSE"),
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
        "SESSION_SEAL controls whether records are encrypted; they are by default",
    ),
];

/// Names for all cookie settings together.
const COOKIES: (&str, &str) = (
    "COOKIE COOKIES COOKIEOPTIONS",
    "each cookie attribute is a separate setting: SESSION_COOKIE_NAME, \
     SESSION_COOKIE_AGE, SESSION_COOKIE_PATH, SESSION_COOKIE_DOMAIN, SESSION_COOKIE_SECURE, \
     SESSION_COOKIE_SAMESITE",
);

/// The same for options only: a variable with such a name may belong to the application.
const FOREIGN_OPTIONS: &[(&str, &str)] = &[
    ("KEY KEYS PASSWORD PASSWORDS", "use SESSION_SECRET"),
    (
        "ADAPTER CONNECTOR DRIVER KV NAMESPACE STORE",
        "the KV namespace or connector is the first argument, before the options",
    ),
    (
        "RESAVE SAVEUNINITIALIZED",
        "an unchanged session is never saved, and a session without data is never stored",
    ),
];

/// Units that people append to the name of a duration.
const UNITS: &str = "SECONDS SECS SEC MINUTES MINS MIN HOURS DAYS MS";

impl Naming {
    /// The name of a setting.
    pub(super) fn of(self, names: &Names) -> &'static str {
        match self {
            Self::Variables => names.variable,
            Self::Options => names.option,
            Self::Builder => names.builder,
        }
    }

    /// Replaces the variable names in `text`, if `all` has them, by the names that the caller used.
    pub(super) fn translate(self, text: &str, all: &[&Names]) -> String {
        let is_other = |c: char| c != '_' && !c.is_ascii_alphanumeric();
        let mut out = String::with_capacity(text.len());
        for piece in text.split_inclusive(is_other) {
            let word = piece.trim_end_matches(is_other);
            out.push_str(match all.iter().find(|names| names.variable == word) {
                Some(names) => self.of(names),
                None if word == SECRET && self == Self::Options => "secret",
                None => word,
            });
            out.push_str(&piece[word.len()..]);
        }
        out
    }

    /// Every name that is accepted: those of `all` settings and what else there is.
    fn known(self, all: &[&Names]) -> Vec<&'static str> {
        let mut known: Vec<_> = all.iter().map(|names| self.of(names)).collect();
        known.extend_from_slice(match self {
            Self::Variables => &[SECRET],
            Self::Options => &OTHER_OPTIONS,
            Self::Builder => &[],
        });
        known
    }
}

/// True if a variable may be one of ours, misspelt or not. Only then is its value read.
pub(crate) fn may_be_ours(name: &str) -> bool {
    name.get(..3)
        .is_some_and(|start| start.eq_ignore_ascii_case("ses"))
}

/// The error for a name that is not in `all`. `None` if it is one of the application's own variables.
///
/// It does not show the value, because the misspelt name may have been `SESSION_SECRET`.
#[cold]
pub(super) fn unknown(naming: Naming, name: &str, all: &[&Names]) -> Option<SessionError> {
    let instead = meant(naming, name, all)?;
    Some(SessionError::config(format!(
        "{}: unknown setting{instead}",
        excerpt(name)
    )))
}

/// The second half of the error: what the caller probably meant.
fn meant(naming: Naming, name: &str, all: &[&Names]) -> Option<String> {
    let given = letters(name);
    let is_variable = naming == Naming::Variables;
    // The prefix marks a variable as ours. An option may have it too.
    let stem = match given.strip_prefix("SESSION") {
        Some(stem) => stem,
        None if is_variable => "",
        None => &given,
    };
    let is_misplaced = stem
        .strip_prefix("SECRET")
        .is_some_and(|rest| !rest.is_empty());
    if is_variable && is_misplaced {
        let advice =
            "; put all secrets into SESSION_SECRET, separated by commas; the first one signs";
        return Some(advice.to_owned());
    }
    if !is_variable && stem == "SECRETS" {
        return Some("; pass all secrets as one array in secret; the first one signs".to_owned());
    }
    // The prefix of a variable may be misspelt too.
    let whole = if is_variable { &given } else { stem };
    if let Some(nearest) = nearest(&naming.known(all), whole) {
        return Some(format!("; did you mean {nearest}?"));
    }
    match foreign(naming, stem).or_else(|| foreign(naming, without_unit(stem))) {
        Some(advice) => Some(format!("; {}", naming.translate(advice, all))),
        // All options are ours.
        None => (!is_variable).then(String::new),
    }
}

/// Strips the unit: `IDLETIMEOUT` for `IDLETIMEOUTSECONDS`.
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

/// The name of `known` closest to `given`. They may differ by an appended unit or by a typo: one letter,
/// or two in a long name.
fn nearest(known: &[&'static str], given: &str) -> Option<&'static str> {
    for edits in 0..=2 {
        for name in known {
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

/// Longer names are compared by their first letters only.
const MOST: usize = 64;

/// The letters and digits of a name in upper case: `COOKIEAGE` for `cookieAge` and `COOKIE_AGE`.
#[inline(never)]
fn letters(name: &str) -> String {
    let letters = name.bytes().filter(u8::is_ascii_alphanumeric).take(MOST);
    letters
        .map(|it| char::from(it.to_ascii_uppercase()))
        .collect()
}

/// True if at most `edits` edits turn one text into the other. An edit inserts, removes or replaces
/// a letter, or swaps two neighbours.
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

/// A value as an error shows it: one line of at most 40 characters of it, escaped.
pub(super) fn excerpt(value: &str) -> String {
    let mut shown: String = value
        .chars()
        .take(40)
        .flat_map(char::escape_default)
        .collect();
    if value.chars().nth(40).is_some() {
        shown.push_str("...");
    }
    shown
}

/// All advice on names of other libraries.
#[cfg(test)]
pub(super) fn all_advice() -> impl Iterator<Item = &'static str> {
    let pairs = FOREIGN.iter().chain(FOREIGN_OPTIONS).chain([&COOKIES]);
    pairs.map(|(_, advice)| *advice)
}

#[cfg(test)]
mod tests {
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
}
