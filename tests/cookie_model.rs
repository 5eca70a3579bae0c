//! The cookie grammar against a browser. [`browser`] is a model of how a user agent stores
//! `Set-Cookie` and writes `Cookie`, taken from the algorithms of RFC 6265bis (draft-22, 5.6 to
//! 5.8) and sharing no code with the library. The properties: a browser keeps what the library sets
//! and forgets what it removes, and the library finds what a browser sends, whatever other hosts
//! have set.

#![allow(
    dead_code,
    unused_imports,
    reason = "the module under test is private to the crate"
)]
#![allow(clippy::expect_used, reason = "a test may panic in its helpers too")]

use std::collections::BTreeSet;

use browser::{Browser, Url};
use cookie::names::CookieNames;
use cookie::{CookieAttributes, CookieKind, CookieLimits, CookieSpec, SameSite, TooLarge, parse};
use proptest::prelude::*;

#[path = "../src/protocol/cookie/mod.rs"]
mod cookie;

mod browser {
    /// The origin of a response, or the target of a request.
    #[derive(Clone, Copy, Debug)]
    pub struct Url<'a> {
        pub https: bool,
        pub host: &'a str,
        pub path: &'a str,
    }

    #[derive(Clone, Debug, PartialEq, Eq)]
    pub struct Cookie {
        pub name: String,
        pub value: String,
        pub domain: String,
        pub host_only: bool,
        pub path: String,
        pub secure: bool,
        pub http_only: bool,
        pub same_site: &'static str,
        pub partitioned: bool,
        pub max_age: Option<i64>,
    }

    #[derive(Clone, Debug, Default)]
    pub struct Browser {
        /// In order of creation.
        pub jar: Vec<Cookie>,
    }

    fn trim(text: &str) -> &str {
        text.trim_matches([' ', '\t'])
    }

    fn starts(text: &str, prefix: &str) -> bool {
        text.to_ascii_lowercase()
            .starts_with(&prefix.to_ascii_lowercase())
    }

    fn domain_matches(host: &str, domain: &str) -> bool {
        host == domain
            || host
                .strip_suffix(domain)
                .is_some_and(|rest| rest.ends_with('.'))
    }

    fn path_matches(path: &str, cookie: &str) -> bool {
        path.strip_prefix(cookie)
            .is_some_and(|rest| rest.is_empty() || cookie.ends_with('/') || rest.starts_with('/'))
    }

    fn default_path(path: &str) -> &str {
        match path.rfind('/') {
            Some(end) if end > 0 => &path[..end],
            _ => "/",
        }
    }

    /// Max-Age of 5.6.2, in seconds; none if it must be ignored.
    fn max_age(text: &str) -> Option<i64> {
        let digits = text.strip_prefix('-').unwrap_or(text);
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let seconds = digits.parse().unwrap_or(i64::MAX).min(34_560_000);
        Some(if text.starts_with('-') { -1 } else { seconds })
    }

    impl Browser {
        /// 5.6 and 5.7: stores the cookie of one `Set-Cookie` field.
        pub fn receive(&mut self, from: Url<'_>, text: &str) {
            if text
                .bytes()
                .any(|byte| matches!(byte, 0..=8 | 10..=31 | 127))
            {
                return;
            }
            let (pair, rest) = text.split_once(';').unwrap_or((text, ""));
            let (name, value) = pair.split_once('=').unwrap_or(("", pair));
            let (name, value) = (trim(name), trim(value));
            if name.len() + value.len() > 4096 || (name.is_empty() && value.is_empty()) {
                return;
            }

            let mut cookie = Cookie {
                name: name.to_owned(),
                value: value.to_owned(),
                domain: String::new(),
                host_only: true,
                path: default_path(from.path).to_owned(),
                secure: false,
                http_only: false,
                same_site: "Default",
                partitioned: false,
                max_age: None,
            };
            let mut path_attribute = None;
            for attribute in rest.split(';') {
                let (name, value) = attribute.split_once('=').unwrap_or((attribute, ""));
                let (name, value) = (trim(name).to_ascii_lowercase(), trim(value));
                if value.len() > 1024 {
                    continue;
                }
                match &*name {
                    "max-age" => cookie.max_age = max_age(value).or(cookie.max_age),
                    "domain" => {
                        let value = value.strip_prefix('.').unwrap_or(value);
                        cookie.domain = value.to_ascii_lowercase();
                    }
                    "path" => path_attribute = Some(value),
                    "secure" => cookie.secure = true,
                    "httponly" => cookie.http_only = true,
                    "samesite" => {
                        cookie.same_site = ["Strict", "Lax", "None"]
                            .into_iter()
                            .find(|known| known.eq_ignore_ascii_case(value))
                            .unwrap_or("Default");
                    }
                    "partitioned" => cookie.partitioned = true,
                    _ => {}
                }
            }
            if let Some(path) = path_attribute.filter(|path| path.starts_with('/')) {
                cookie.path = path.to_owned();
            }
            if cookie.domain.is_empty() {
                cookie.domain = from.host.to_owned();
            } else if domain_matches(from.host, &cookie.domain) {
                cookie.host_only = false;
            } else {
                return;
            }

            let Cookie {
                secure,
                http_only,
                host_only,
                ..
            } = cookie;
            let host = secure && host_only && path_attribute == Some("/");
            let nameless = |prefix| cookie.name.is_empty() && starts(&cookie.value, prefix);
            let rules = [
                from.https || !secure,
                secure || cookie.same_site != "None",
                secure || !cookie.partitioned,
                secure || !starts(&cookie.name, "__Secure-"),
                host || !starts(&cookie.name, "__Host-"),
                (secure && http_only) || !starts(&cookie.name, "__Http-"),
                (host && http_only) || !starts(&cookie.name, "__Host-Http-"),
                !["__Secure-", "__Host-", "__Http-"]
                    .into_iter()
                    .any(nameless),
            ];
            if rules.contains(&false) {
                return;
            }
            let same = |other: &Cookie| {
                (
                    &other.name,
                    &other.domain,
                    other.host_only,
                    &other.path,
                    other.partitioned,
                ) == (
                    &cookie.name,
                    &cookie.domain,
                    host_only,
                    &cookie.path,
                    cookie.partitioned,
                )
            };
            let place = self.jar.iter().position(same);
            match (place, cookie.max_age.is_some_and(|seconds| seconds <= 0)) {
                (Some(place), true) => drop(self.jar.remove(place)),
                (Some(place), false) => self.jar[place] = cookie,
                (None, true) => {}
                (None, false) => self.jar.push(cookie),
            }
        }

        /// 5.8.3: the text of the `Cookie` field.
        pub fn send(&self, to: Url<'_>) -> String {
            let mut cookies: Vec<_> = self
                .jar
                .iter()
                .filter(|cookie| {
                    let host = if cookie.host_only {
                        to.host == cookie.domain
                    } else {
                        domain_matches(to.host, &cookie.domain)
                    };
                    host && path_matches(to.path, &cookie.path) && (to.https || !cookie.secure)
                })
                .collect();
            cookies.sort_by_key(|cookie| std::cmp::Reverse(cookie.path.len()));
            let texts: Vec<_> = cookies
                .into_iter()
                .map(|Cookie { name, value, .. }| {
                    if name.is_empty() {
                        value.clone()
                    } else {
                        format!("{name}={value}")
                    }
                })
                .collect();
            texts.join("; ")
        }
    }
}

const HUGE: CookieLimits = CookieLimits {
    bytes: usize::MAX,
    pairs: usize::MAX,
};
const US: Url<'_> = Url {
    https: true,
    host: "www.example.com",
    path: "/shop/cart",
};
const HOST: CookieAttributes<'_> = CookieAttributes {
    name: "__Host-id",
    path: "/",
    domain: None,
    secure: true,
    same_site: SameSite::Lax,
    partitioned: false,
};

fn spec(name: &str) -> CookieSpec {
    CookieSpec::new(CookieAttributes { name, ..HOST }).expect("legal")
}

/// The lists of the four kinds.
fn find(header: &str, names: &CookieNames) -> [Vec<String>; 4] {
    let found = parse(header, names, HUGE).unwrap_or_default();
    CookieKind::ALL.map(|kind| found.get(kind).iter().map(ToString::to_string).collect())
}

/// A simple and slow implementation of the same.
fn find_slowly(header: &str, names: &CookieNames) -> [Vec<String>; 4] {
    CookieKind::ALL.map(|kind| {
        let mut values = BTreeSet::new();
        for pair in header.split(';') {
            let (name, value) = match pair.find('=') {
                Some(at) => (&pair[..at], &pair[at + 1..]),
                None => continue,
            };
            if name.trim_matches([' ', '\t']) == names.get(kind) {
                values.insert(value.trim_matches([' ', '\t']).to_owned());
            }
        }
        values.into_iter().collect()
    })
}

/// Our names and similar ones.
fn near_name() -> impl Strategy<Value = String> {
    let white = "[ \t\u{a0}\u{85}\u{2003}\u{3000}\u{feff}\u{b}\u{c}\u{fffd}]{0,2}";
    let core = prop_oneof![
        Just("__Host-id"),
        Just("__Host-id-seen"),
        Just("__Host-id-fresh"),
        Just("__Host-id-form"),
        Just("__host-id"),
        Just("__HOST-ID"),
        Just("__Host-Http-id"),
        Just("__Host-id-"),
        Just("__Host-id -seen"),
        Just("__%48ost-id"),
        Just("id"),
        Just(""),
    ];
    (white, core, white).prop_map(|(before, core, after)| format!("{before}{core}{after}"))
}

/// Text of a `Cookie` header with interesting parts.
fn header() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        3 => near_name(),
        3 => "[=; \t,\"\\\\$]{1,3}",
        1 => "[a-zA-Z0-9_-]{0,8}",
        1 => any::<String>(),
    ];
    prop::collection::vec(piece, 0..24).prop_map(|pieces| pieces.concat())
}

/// Text of a `Set-Cookie` field from another host.
fn foreign_set_cookie() -> impl Strategy<Value = String> {
    let attribute = prop_oneof![
        Just("; Domain=example.com"),
        Just("; Domain=.example.com"),
        Just("; Domain=www.example.com"),
        Just("; Domain="),
        Just("; Path=/"),
        Just("; Path=/shop/cart"),
        Just("; Path"),
        Just("; Secure"),
        Just("; HttpOnly"),
        Just("; SameSite=None"),
        Just("; Partitioned"),
        Just("; Max-Age=0"),
        Just("; Max-Age=100"),
    ];
    let equals = prop_oneof![4 => Just("="), 1 => Just(""), 1 => Just("=="), 1 => Just(" = ")];
    let value = prop_oneof![
        "[a-zA-Z0-9]{0,6}",
        near_name(),
        "[ -~]{0,12}",
        any::<String>()
    ];
    (
        near_name(),
        equals,
        value,
        prop::collection::vec(attribute, 0..6),
    )
        .prop_map(|(name, equals, value, tail)| format!("{name}{equals}{value}{}", tail.concat()))
}

fn same_site() -> impl Strategy<Value = SameSite> {
    prop_oneof![
        Just(SameSite::Strict),
        Just(SameSite::Lax),
        Just(SameSite::None)
    ]
}

fn kind() -> impl Strategy<Value = CookieKind> {
    prop::sample::select(CookieKind::ALL.to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..Default::default() })]

    /// Any text: no panic, and the same values as the slow implementation.
    #[test]
    fn any_header_is_read_as_the_reference_reads_it(header in header(), noise in any::<String>()) {
        let names = spec("__Host-id").names().clone();
        prop_assert_eq!(find(&header, &names), find_slowly(&header, &names));
        prop_assert_eq!(find(&noise, &names), find_slowly(&noise, &names));
    }

    /// Over a limit, nothing is found; below it, everything.
    #[test]
    fn a_limit_never_changes_what_is_found(header in header(), bytes in 0..200usize, pairs in 0..20usize) {
        let names = spec("__Host-id").names().clone();
        let pieces = header.split(';').filter(|piece| !piece.trim_matches([' ', '\t']).is_empty());
        let over = header.len() > bytes || pieces.count() > pairs;
        match parse(&header, &names, CookieLimits { bytes, pairs }) {
            Err(TooLarge) => prop_assert!(over),
            Ok(found) => {
                prop_assert!(!over);
                let found = CookieKind::ALL
                    .map(|kind| found.get(kind).iter().map(ToString::to_string).collect::<Vec<_>>());
                prop_assert_eq!(found, find(&header, &names));
            }
        }
    }

    /// Pairs with other names do not matter, wherever and however many they are. Neither does the
    /// order.
    #[test]
    fn foreign_pairs_do_not_interfere(
        ours in prop::collection::vec((kind(), "[A-Za-z0-9_-]{0,8}"), 0..5),
        foreign in prop::collection::vec((near_name(), "[^;]{0,12}", any::<prop::sample::Index>()), 0..12),
        bare in "[^;=]{0,8}",
    ) {
        let names = spec("__Host-id").names().clone();
        let pairs: Vec<_> = ours.iter().map(|(kind, value)| format!("{}={value}", names.get(*kind))).collect();
        let alone = find(&pairs.join("; "), &names);

        let mut mixed: Vec<_> = pairs.into_iter().rev().collect();
        mixed.push(bare);
        for (name, value, at) in foreign {
            let trimmed = name.trim_matches([' ', '\t']);
            if CookieKind::ALL.iter().all(|kind| names.get(*kind) != trimmed) {
                mixed.insert(at.index(mixed.len() + 1), format!("{name}={value}"));
            }
        }
        prop_assert_eq!(find(&mixed.join("; "), &names), alone);
    }

    /// We find exactly the browser's cookies with our names: parse(serialise(jar)) == jar.
    #[test]
    fn a_jar_survives_the_header(
        responses in prop::collection::vec((any::<bool>(), foreign_set_cookie()), 0..16),
    ) {
        let mut browser = Browser::default();
        for (https, text) in &responses {
            browser.receive(Url { https: *https, ..US }, text);
        }
        let names = spec("__Host-id").names().clone();
        let sent = browser.send(US);
        let held = CookieKind::ALL.map(|kind| {
            let values = browser.jar.iter().filter(|cookie| cookie.name == names.get(kind));
            values.map(|cookie| cookie.value.clone()).collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>()
        });
        prop_assert_eq!(find(&sent, &names), held);
    }

    /// No other host can add, change or remove a `__Host-` session, in any letter case of the
    /// prefix.
    #[test]
    fn a_sibling_cannot_touch_a_host_cookie(
        name in prop::sample::select(vec!["__Host-id", "__host-id", "__HOST-ID", "__Host-Http-id"]),
        before in prop::collection::vec(foreign_set_cookie(), 0..8),
        after in prop::collection::vec(foreign_set_cookie(), 0..8),
        https in any::<bool>(),
    ) {
        let sibling = Url { https, host: "evil.example.com", path: "/" };
        let spec = spec(name);
        let mut browser = Browser::default();
        for text in &before {
            browser.receive(sibling, text);
        }
        prop_assert_eq!(find(&browser.send(US), spec.names()).concat(), Vec::<String>::new());
        browser.receive(US, &spec.set(CookieKind::Key, "k1", Some(60)));
        browser.receive(US, &spec.set(CookieKind::Seen, "s1", Some(60)));
        for text in &after {
            browser.receive(sibling, text);
        }
        let expected = [vec!["k1".to_owned()], vec!["s1".to_owned()], vec![], vec![]];
        prop_assert_eq!(find(&browser.send(US), spec.names()), expected);
    }

    /// A browser keeps every cookie whose attributes pass the check, with exactly these. Setting it
    /// again replaces it, removing it removes it, and other cookies stay.
    #[test]
    fn what_is_accepted_is_kept_replaced_and_removed(
        name in prop_oneof!["(__(Secure|Host|Http|Host-Http|host|SECURE)-)?[!-~]{0,6}", any::<String>()],
        path in prop_oneof![Just("/".to_owned()), Just("/shop".to_owned()), "/[ -~é]{0,8}", any::<String>()],
        domain in prop::option::of(prop_oneof![
            Just("example.com".to_owned()), Just("WWW.example.com".to_owned()), "[a-z.;-]{0,9}", any::<String>(),
        ]),
        secure in any::<bool>(),
        same_site in same_site(),
        partitioned in any::<bool>(),
        max_age in prop::option::of(1..u32::MAX),
        kind in kind(),
    ) {
        let given = CookieAttributes {
            name: &name, path: &path, domain: domain.as_deref(), secure, same_site, partitioned,
        };
        let Ok(spec) = CookieSpec::new(given) else { return Ok(()) };
        let host = domain.clone().unwrap_or_else(|| US.host.to_owned()).to_ascii_lowercase();
        let url = Url { https: true, host: &host, path: &path };
        let mut browser = Browser::default();
        for other in CookieKind::ALL {
            browser.receive(url, &spec.set(other, "other", None));
        }
        prop_assert_eq!(browser.jar.len(), 4, "{:?}", given);

        browser.receive(url, &spec.set(kind, "mine", max_age));
        let expected = browser::Cookie {
            name: spec.names().get(kind).to_owned(),
            value: "mine".to_owned(),
            domain: host.clone(),
            host_only: domain.is_none(),
            path: path.clone(),
            secure,
            http_only: true,
            same_site: same_site.as_str(),
            partitioned,
            max_age: max_age.map(|seconds| i64::from(seconds.min(34_560_000))),
        };
        prop_assert_eq!(browser.jar.len(), 4);
        prop_assert!(browser.jar.contains(&expected), "{:?}", browser.jar);
        let found = find(&browser.send(url), spec.names());
        prop_assert_eq!(&found[kind as usize], &["mine".to_owned()]);

        browser.receive(url, &spec.remove(kind));
        prop_assert_eq!(browser.jar.len(), 3);
        prop_assert!(find(&browser.send(url), spec.names())[kind as usize].is_empty());
    }

    /// The text consists of visible ASCII and spaces: a token, cookie octets, and no attribute
    /// twice.
    #[test]
    fn what_is_written_is_in_the_grammar(
        name in "(__(Secure|Host)-)?[!#$%&'*+.^_`|~0-9A-Za-z-]{1,20}",
        value in "[A-Za-z0-9_-]{0,60}",
        secure in any::<bool>(),
        domain in prop::option::of("[a-z]{1,5}\\.[a-z]{1,5}"),
        same_site in same_site(),
        max_age in prop::option::of(any::<u32>()),
        kind in kind(),
    ) {
        let given = CookieAttributes {
            name: &name, domain: domain.as_deref(), secure, same_site, ..HOST
        };
        let Ok(spec) = CookieSpec::new(given) else { return Ok(()) };
        for text in [spec.set(kind, &value, max_age), spec.remove(kind)] {
            prop_assert!(text.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{}", text);
            let mut parts = text.split("; ");
            let (name, value) = parts.next().and_then(|pair| pair.split_once('=')).expect("a pair");
            prop_assert!(!name.is_empty());
            prop_assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)));
            prop_assert!(value.bytes().all(
                |b| matches!(b, 0x21 | 0x23..=0x2b | 0x2d..=0x3a | 0x3c..=0x5b | 0x5d..=0x7e)
            ));
            let attributes: Vec<_> = parts.map(|part| part.split('=').next().expect("a name")).collect();
            prop_assert_eq!(attributes.iter().collect::<BTreeSet<_>>().len(), attributes.len());
            prop_assert!(attributes.contains(&"HttpOnly") && attributes.contains(&"SameSite"));
        }
    }
}

/// Around a browser's limits: we write exactly the cookies that a browser keeps.
#[test]
fn what_fits_is_what_a_browser_keeps() {
    for name in ["i", "__Host-id", &"n".repeat(256)] {
        let spec = spec(name);
        for kind in CookieKind::ALL {
            for len in 3800..4100 {
                let mut browser = Browser::default();
                browser.receive(US, &spec.set(kind, &"v".repeat(len), None));
                assert_eq!(
                    spec.fits(kind, len),
                    !browser.jar.is_empty(),
                    "{name} {len}"
                );
            }
        }
    }
}

/// Tests the model itself, with examples from the text of the specification.
#[test]
fn the_browser_refuses_what_the_specification_refuses() {
    let kept = |text: &str| {
        let mut browser = Browser::default();
        browser.receive(US, text);
        browser.jar.len() == 1
    };
    assert!(kept("__Host-a=1; Secure; Path=/"));
    assert!(!kept("__Host-a=1; Secure; Path=/; Domain=www.example.com"));
    assert!(!kept("__Host-a=1; Secure"));
    assert!(!kept("__hOsT-a=1; Path=/"));
    assert!(!kept("__Secure-a=1"));
    assert!(!kept("=__Host-a=1; Secure; Path=/"));
    assert!(!kept("__Http-a=1; Secure") && kept("__Http-a=1; Secure; HttpOnly"));
    assert!(!kept("a=1; SameSite=None") && kept("a=1; SameSite=Nonsense"));
    assert!(!kept("a=1; Domain=example.org") && kept("a=1; Domain=.EXAMPLE.com"));
    assert!(!kept("a=1\u{b}") && kept("\u{a0}a=1") && kept("v") && !kept("="));
}
