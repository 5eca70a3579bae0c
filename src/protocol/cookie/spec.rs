//! Writing `Set-Cookie`.

use std::fmt;

use super::names::{CookieKind, CookieNames};
use crate::port::error::{ErrorCode, SessionError};

/// The longest lifetime of a cookie in seconds, 400 days. Browsers shorten longer ones (RFC
/// 6265bis, 5.5).
pub(crate) const MAX_AGE: u32 = 34_560_000;

/// The most bytes of a cookie's name and value together. Browsers drop larger cookies (RFC 6265bis,
/// 5.6).
const MAX_NAME_VALUE: usize = 4096;

/// The longest attribute value. Browsers ignore longer attributes (RFC 6265bis, 5.6).
const MAX_ATTRIBUTE: usize = 1024;

/// The longest base name. With the longest suffix it leaves more than 3,800 bytes for the value.
const MAX_BASE_NAME: usize = 256;

/// When a browser sends the cookie with a request that another site caused (RFC 6265bis, 4.1.2.7).
/// It is always written, because the default differs between browsers.
///
/// ```
/// use edge_session::{SameSite, Settings};
/// let settings = Settings::default().with_cookie_same_site(SameSite::Strict);
/// assert_eq!(settings.cookie_same_site().as_str(), "Strict");
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SameSite {
    /// Never. A link from another site opens this site as if logged out.
    Strict,
    /// With navigation by links (GET and HEAD), but not with forms, frames or scripts of other
    /// sites.
    #[default]
    Lax,
    /// Always. Requires `Secure`, and your own protection against cross-site request forgery.
    None,
}

impl SameSite {
    /// The attribute's value: `Strict`, `Lax` or `None`.
    ///
    /// ```
    /// assert_eq!(edge_session::SameSite::Lax.as_str(), "Lax");
    /// ```
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Strict => "Strict",
            Self::Lax => "Lax",
            Self::None => "None",
        }
    }
}

impl fmt::Display for SameSite {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The settings for the cookies, unchecked. `HttpOnly` is missing because it is always on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CookieAttributes<'a> {
    pub(crate) name: &'a str,
    pub(crate) path: &'a str,
    pub(crate) domain: Option<&'a str>,
    pub(crate) secure: bool,
    pub(crate) same_site: SameSite,
    pub(crate) partitioned: bool,
}

/// The names and attributes of the session's cookies, checked once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CookieSpec {
    names: CookieNames,
    /// The attributes that a cookie and its removal share, as header text. A removal that differs
    /// in one of them removes nothing.
    attributes: String,
    /// The same for cookies that a browser may have from earlier settings, as far as these can be
    /// guessed: without the Domain, and with or without `Partitioned`. The most likely comes first.
    /// An earlier Domain is unknown.
    twins: Vec<String>,
}

impl CookieSpec {
    /// Checks the attributes one by one and together.
    ///
    /// # Errors
    /// [`ErrorCode::Config`] with the setting to change, the reason and what to do.
    pub(crate) fn new(given: CookieAttributes<'_>) -> Result<Self, SessionError> {
        let CookieAttributes {
            name,
            path,
            domain,
            secure,
            same_site,
            partitioned,
        } = given;
        check_name(name)?;
        check_path(path)?;
        domain.map_or(Ok(()), check_domain)?;

        let host = has_prefix(name, "__Host-");
        let prefixed = host || has_prefix(name, "__Secure-") || has_prefix(name, "__Http-");
        if prefixed && !secure {
            return Err(refuse(
                "SESSION_COOKIE_SECURE",
                "it is false, but browsers accept the prefix of SESSION_COOKIE_NAME only on \
                 Secure cookies",
                "set it to true, or choose a name without a prefix",
            ));
        }
        if host && domain.is_some() {
            return Err(refuse(
                "SESSION_COOKIE_DOMAIN",
                "browsers reject a __Host- cookie with a Domain",
                "leave it out, or set SESSION_COOKIE_NAME to a name that starts with __Secure-",
            ));
        }
        if host && path != "/" {
            return Err(refuse(
                "SESSION_COOKIE_PATH",
                "browsers accept a __Host- cookie only with the path /",
                "leave it out, or set SESSION_COOKIE_NAME to a name that starts with __Secure-",
            ));
        }
        if same_site == SameSite::None && !secure {
            return Err(refuse(
                "SESSION_COOKIE_SAMESITE",
                "browsers accept None only on Secure cookies",
                "set it to Lax or Strict, or set SESSION_COOKIE_SECURE to true",
            ));
        }
        if partitioned && !secure {
            return Err(refuse(
                "SESSION_COOKIE_PARTITIONED",
                "browsers partition only Secure cookies",
                "set it to false, or set SESSION_COOKIE_SECURE to true",
            ));
        }

        let attributes = |domain: Option<&str>, partitioned: bool| {
            [
                "; Path=",
                path,
                if domain.is_some() { "; Domain=" } else { "" },
                domain.unwrap_or_default(),
                if secure { "; Secure" } else { "" },
                "; HttpOnly; SameSite=",
                same_site.as_str(),
                if partitioned { "; Partitioned" } else { "" },
            ]
            .concat()
        };
        // Browsers treat these four as different cookies (RFC 6265bis, 5.7, and the draft on
        // partitions).
        let twins = [
            (None, partitioned),
            (domain, !partitioned),
            (None, !partitioned),
        ];
        let mut others: Vec<String> = Vec::new();
        for (twin, apart) in twins {
            let twin = attributes(twin, apart);
            let possible = secure || !apart;
            if possible && twin != attributes(domain, partitioned) && !others.contains(&twin) {
                others.push(twin);
            }
        }
        Ok(Self {
            names: CookieNames::new(name),
            attributes: attributes(domain, partitioned),
            twins: others,
        })
    }

    /// The names to search for in a request.
    pub(crate) fn names(&self) -> &CookieNames {
        &self.names
    }

    /// True if browsers accept a cookie of this kind with a value of `value_len` bytes.
    pub(crate) fn fits(&self, kind: CookieKind, value_len: usize) -> bool {
        value_len <= MAX_NAME_VALUE.saturating_sub(self.names.get(kind).len())
    }

    /// The text of a `Set-Cookie` field. `max_age` is in seconds, at most [`MAX_AGE`]; with `None`
    /// the cookie ends when the browser closes. `value` is base64url text that
    /// [`fits`](Self::fits).
    #[must_use = "a cookie is set by appending it to a response"]
    pub(crate) fn set(&self, kind: CookieKind, value: &str, max_age: Option<u32>) -> String {
        self.set_with(&self.attributes, kind, value, max_age)
    }

    fn set_with(
        &self,
        attributes: &str,
        kind: CookieKind,
        value: &str,
        max_age: Option<u32>,
    ) -> String {
        debug_assert!(value.bytes().all(is_cookie_octet), "not a cookie value");
        let name = self.names.get(kind);
        let age = max_age.map(|seconds| format!("; Max-Age={}", seconds.min(MAX_AGE)));
        // Allocate once: a growing string would leave copies of parts of a token in memory.
        [name, "=", value, age.as_deref().unwrap_or(""), attributes].concat()
    }

    /// The text of the `Set-Cookie` field that removes the cookie.
    #[must_use = "a cookie is removed by appending this to a response"]
    pub(crate) fn remove(&self, kind: CookieKind) -> String {
        self.remove_with(&self.attributes, kind)
    }

    fn remove_with(&self, attributes: &str, kind: CookieKind) -> String {
        let name = self.names.get(kind);
        format!("{name}=; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT{attributes}")
    }

    /// Sets or removes the cookies that a browser may have from earlier settings: the first ones
    /// get `values`, each with an age, and the others are removed. The fields are in the required
    /// order and must come before the cookie itself.
    #[must_use = "a cookie is removed by appending this to a response"]
    pub(crate) fn twins(&self, kind: CookieKind, values: &[(String, u32)]) -> Vec<String> {
        let each = self.twins.iter().enumerate().rev();
        each.map(|(place, attributes)| match values.get(place) {
            Some((value, age)) => self.set_with(attributes, kind, value, Some(*age)),
            None => self.remove_with(attributes, kind),
        })
        .collect()
    }

    /// The number of these cookies.
    pub(crate) fn twin_count(&self) -> usize {
        self.twins.len()
    }
}

#[cold]
fn refuse(setting: &str, because: &str, instead: &str) -> SessionError {
    SessionError::new(
        ErrorCode::Config,
        format!("{setting}: {because}; {instead}"),
    )
}

/// A token of RFC 9110, 5.6.2.
fn check_name(name: &str) -> Result<(), SessionError> {
    let legal = !name.is_empty() && name.len() <= MAX_BASE_NAME && name.bytes().all(is_token_byte);
    if legal {
        return Ok(());
    }
    Err(refuse(
        "SESSION_COOKIE_NAME",
        "a cookie name must be 1 to 256 characters, each a letter, a digit or one of !#$%&'*+-.^_`|~",
        "use a name such as __Host-session",
    ))
}

/// `path-value` of RFC 6265bis, 4.1.1, without spaces: browsers trim them.
fn check_path(path: &str) -> Result<(), SessionError> {
    let legal = path.starts_with('/')
        && path.len() <= MAX_ATTRIBUTE
        && path
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b';');
    if legal {
        return Ok(());
    }
    Err(refuse(
        "SESSION_COOKIE_PATH",
        "a cookie path must start with / and have at most 1024 visible ASCII characters, without \
         a semicolon",
        "use a path such as /, and percent-encode other characters",
    ))
}

/// A host name as defined in RFC 1034, 3.5, which RFC 6265bis, 4.1.1 requires.
fn check_domain(domain: &str) -> Result<(), SessionError> {
    let legal = domain.len() <= 253
        && domain.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        });
    if legal {
        return Ok(());
    }
    Err(refuse(
        "SESSION_COOKIE_DOMAIN",
        "it is not a host name",
        "use a name such as example.com: letters, digits and hyphens between single dots, no \
         leading dot, other scripts as xn--",
    ))
}

/// Browsers compare the prefixes case-insensitively, so `__host-` has the same requirements as
/// `__Host-`. `__Host-Http-` is covered by `__Host-`, because it only adds `HttpOnly`.
fn has_prefix(name: &str, prefix: &str) -> bool {
    name.get(..prefix.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// `cookie-octet` of RFC 6265bis, 4.1.1.
fn is_cookie_octet(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"\",;\\".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_of_cookie_octets() {
        for byte in 0..=u8::MAX {
            let octet =
                matches!(byte, 0x21 | 0x23..=0x2b | 0x2d..=0x3a | 0x3c..=0x5b | 0x5d..=0x7e);
            assert_eq!(is_cookie_octet(byte), octet, "{byte:#x}");
        }
    }

    const PLAIN: CookieAttributes<'_> = CookieAttributes {
        name: "__Host-id",
        path: "/",
        domain: None,
        secure: true,
        same_site: SameSite::Lax,
        partitioned: false,
    };

    fn refusal(given: CookieAttributes<'_>) -> String {
        let error = CookieSpec::new(given).expect_err("should be refused");
        assert_eq!(error.code(), ErrorCode::Config);
        error.message().to_owned()
    }

    #[test]
    fn a_cookie_and_its_removal_differ_in_value_and_age_only() {
        let spec = CookieSpec::new(PLAIN).unwrap();
        assert_eq!(
            spec.set(CookieKind::Key, "abc", Some(3600)),
            "__Host-id=abc; Max-Age=3600; Path=/; Secure; HttpOnly; SameSite=Lax"
        );
        assert_eq!(
            spec.remove(CookieKind::Key),
            "__Host-id=; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/; Secure; \
             HttpOnly; SameSite=Lax"
        );

        let everything = CookieAttributes {
            name: "__Secure-id",
            path: "/shop",
            domain: Some("example.com"),
            same_site: SameSite::None,
            partitioned: true,
            ..PLAIN
        };
        let spec = CookieSpec::new(everything).unwrap();
        assert_eq!(
            spec.set(CookieKind::Seen, "abc", None),
            "__Secure-id-seen=abc; Path=/shop; Domain=example.com; Secure; HttpOnly; \
             SameSite=None; Partitioned"
        );
        assert_eq!(
            spec.remove(CookieKind::Fresh),
            "__Secure-id-fresh=; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; Path=/shop; \
             Domain=example.com; Secure; HttpOnly; SameSite=None; Partitioned"
        );
    }

    #[test]
    fn no_cookie_outlives_400_days() {
        let spec = CookieSpec::new(PLAIN).unwrap();
        let text = spec.set(CookieKind::Key, "", Some(u32::MAX));
        assert!(text.contains("; Max-Age=34560000;"), "{text}");
    }

    #[test]
    fn name_and_value_share_4096_bytes() {
        let spec = CookieSpec::new(PLAIN).unwrap();
        for kind in CookieKind::ALL {
            let most = 4096 - spec.names().get(kind).len();
            assert!(spec.fits(kind, most));
            assert!(!spec.fits(kind, most + 1));
        }
        let long = "n".repeat(256);
        let spec = CookieSpec::new(CookieAttributes {
            name: &long,
            ..PLAIN
        })
        .unwrap();
        assert!(
            spec.fits(CookieKind::Fresh, 3600),
            "an overlay fits beside the longest name"
        );
    }

    /// Every combination of the four attributes with every prefix, in more than one letter case.
    #[test]
    fn a_prefix_demands_its_attributes() {
        let prefixes = [
            ("", false, false),
            ("__Secure-", true, false),
            ("__Http-", true, false),
            ("__Host-", true, true),
            ("__Host-Http-", true, true),
        ];
        for (prefix, wants_secure, wants_host) in prefixes {
            for prefix in [
                prefix.to_owned(),
                prefix.to_lowercase(),
                prefix.to_uppercase(),
            ] {
                let name = format!("{prefix}id");
                for case in 0..16 {
                    let has = |bit: u8| case & (1 << bit) != 0;
                    let given = CookieAttributes {
                        name: &name,
                        path: if has(0) { "/" } else { "/shop" },
                        domain: has(1).then_some("example.com"),
                        secure: has(2),
                        same_site: SameSite::Lax,
                        partitioned: has(3),
                    };
                    let legal = (!wants_secure || given.secure)
                        && (!wants_host || (given.domain.is_none() && given.path == "/"))
                        && (!given.partitioned || given.secure);
                    assert_eq!(CookieSpec::new(given).is_ok(), legal, "{given:?}");
                }
            }
        }
    }

    #[test]
    fn none_needs_secure() {
        for same_site in [SameSite::Strict, SameSite::Lax, SameSite::None] {
            for secure in [true, false] {
                let given = CookieAttributes {
                    name: "id",
                    same_site,
                    secure,
                    ..PLAIN
                };
                let legal = secure || same_site != SameSite::None;
                assert_eq!(CookieSpec::new(given).is_ok(), legal, "{given:?}");
            }
        }
    }

    #[test]
    fn a_refusal_names_the_setting_and_what_to_do() {
        let insecure = CookieAttributes {
            name: "id",
            secure: false,
            ..PLAIN
        };
        let cases = [
            (
                "SESSION_COOKIE_NAME: ",
                CookieAttributes { name: "", ..PLAIN },
            ),
            (
                "SESSION_COOKIE_PATH: ",
                CookieAttributes { path: "", ..PLAIN },
            ),
            (
                "SESSION_COOKIE_DOMAIN: ",
                CookieAttributes {
                    domain: Some(""),
                    ..PLAIN
                },
            ),
            (
                "SESSION_COOKIE_SECURE: ",
                CookieAttributes {
                    secure: false,
                    ..PLAIN
                },
            ),
            (
                "SESSION_COOKIE_DOMAIN: ",
                CookieAttributes {
                    domain: Some("a.b"),
                    ..PLAIN
                },
            ),
            (
                "SESSION_COOKIE_PATH: ",
                CookieAttributes {
                    path: "/shop",
                    ..PLAIN
                },
            ),
            (
                "SESSION_COOKIE_SAMESITE: ",
                CookieAttributes {
                    same_site: SameSite::None,
                    ..insecure
                },
            ),
            (
                "SESSION_COOKIE_PARTITIONED: ",
                CookieAttributes {
                    partitioned: true,
                    ..insecure
                },
            ),
        ];
        for (start, given) in cases {
            let message = refusal(given);
            assert!(message.starts_with(start), "{message}");
            assert_eq!(
                message.matches("; ").count(),
                1,
                "a reason, then a way out: {message}"
            );
        }
    }

    #[test]
    fn names_paths_and_domains_have_a_grammar() {
        let name = |name: &str| CookieSpec::new(CookieAttributes { name, ..PLAIN }).is_ok();
        assert!(name("a") && name("!#$%&'*+-.^_`|~") && name(&"n".repeat(256)));
        for bad in [
            "", " a", "a b", "a=b", "a;b", "a,b", "\"a\"", "a\r\n", "é", "a\0", "a/b", "{",
        ] {
            assert!(!name(bad), "{bad:?}");
        }
        assert!(!name(&"n".repeat(257)));

        let path = |path: &str| {
            CookieSpec::new(CookieAttributes {
                name: "id",
                path,
                ..PLAIN
            })
            .is_ok()
        };
        assert!(path("/") && path("/a/b,c=d%20\"") && path(&format!("/{}", "p".repeat(1023))));
        for bad in [
            "",
            "a",
            " /",
            "/ ",
            "/a b",
            "/;Domain=evil.test",
            "/\r\nX: y",
            "/\0",
            "/é",
        ] {
            assert!(!path(bad), "{bad:?}");
        }
        assert!(!path(&format!("/{}", "p".repeat(1024))));

        let domain = |domain: &str| {
            let domain = Some(domain);
            CookieSpec::new(CookieAttributes {
                name: "id",
                domain,
                ..PLAIN
            })
            .is_ok()
        };
        let longest = [
            "a".repeat(63),
            "b".repeat(63),
            "c".repeat(63),
            "d".repeat(61),
        ]
        .join(".");
        assert!(domain("example.com") && domain("localhost") && domain("a-b.EXAMPLE.com"));
        assert!(domain("xn--bcher-kva.example") && domain(&longest));
        for bad in [
            "",
            ".",
            ".example.com",
            "example.com.",
            "a..b",
            "-a.b",
            "a-.b",
            "bücher.example",
            "a b",
            "a;b",
            "a.b; Path=/",
            "a\r\n",
            "a_b",
            "https://a.b",
            "a.b:80",
            "[::1]",
            "*.a.b",
        ] {
            assert!(!domain(bad), "{bad:?}");
        }
        assert!(!domain(&format!("{longest}d")) && !domain(&"a".repeat(64)));
    }
}
