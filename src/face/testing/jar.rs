//! The cookies of one browser for one site that is served over https (RFC 6265bis, sections 5.6 to
//! 5.8).
//!
//! Any `Domain` is accepted: it only distinguishes cookies that have the same name.

use crate::port::request::RequestHead as _;

use super::Request;

/// Longest name and value together, in bytes.
const MOST_BYTES: usize = 4096;
/// 400 days, in seconds.
const MOST_AGE: i64 = 34_560_000;

#[derive(Clone, Debug, Default)]
pub(super) struct Jar {
    /// In order of creation.
    cookies: Vec<Cookie>,
}

#[derive(Clone, Debug)]
struct Cookie {
    id: CookieId,
    value: String,
    same_site: Site,
    /// Milliseconds since the epoch; `None` for one that ends with the browser.
    expires_at: Option<i64>,
}

/// What identifies a cookie: a new one with the same values replaces it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct CookieId {
    name: String,
    domain: String,
    path: String,
    partitioned: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Site {
    Strict,
    Lax,
    None,
}

impl Cookie {
    fn is_live(&self, now: i64) -> bool {
        self.expires_at.is_none_or(|end| now < end)
    }

    fn goes_with(&self, request: &Request) -> bool {
        let is_sent = match self.same_site {
            Site::None => true,
            // A request from another site carries Lax cookies only if it is a navigation.
            Site::Lax => {
                !request.is_cross_site() || matches!(request.method().as_str(), "GET" | "HEAD")
            }
            Site::Strict => !request.is_cross_site(),
        };
        is_sent && covers(&self.id.path, request.path())
    }
}

impl Jar {
    /// Takes a `Set-Cookie` field of the answer to a request for `path`.
    ///
    /// # Errors
    /// Why a browser would refuse it.
    pub(super) fn receive(
        &mut self,
        now: i64,
        path: &str,
        field: &str,
    ) -> Result<(), &'static str> {
        self.cookies.retain(|cookie| cookie.is_live(now));
        let cookie = parse(now, path, field)?;
        let place = self.cookies.iter().position(|known| known.id == cookie.id);
        match (place, cookie.is_live(now)) {
            (Some(place), true) => self.cookies[place] = cookie,
            (Some(place), false) => drop(self.cookies.remove(place)),
            (None, true) => self.cookies.push(cookie),
            (None, false) => {}
        }
        Ok(())
    }

    /// The Cookie header of `request`.
    pub(super) fn header(&self, now: i64, request: &Request) -> Option<String> {
        let all = self.cookies.iter().filter(|cookie| cookie.is_live(now));
        let mut sent: Vec<&Cookie> = all.filter(|cookie| cookie.goes_with(request)).collect();
        // Longer paths first, then in order of creation.
        sent.sort_by_key(|cookie| std::cmp::Reverse(cookie.id.path.len()));
        let pairs: Vec<String> = sent
            .iter()
            .map(|cookie| format!("{}={}", cookie.id.name, cookie.value))
            .collect();
        (!pairs.is_empty()).then(|| pairs.join("; "))
    }

    /// Names and values of the cookies that have not expired.
    pub(super) fn pairs(&self, now: i64) -> impl Iterator<Item = (&str, &str)> {
        let live = self.cookies.iter().filter(move |it| it.is_live(now));
        live.map(|cookie| (&*cookie.id.name, &*cookie.value))
    }

    pub(super) fn remove(&mut self, name: &str) {
        self.cookies.retain(|cookie| cookie.id.name != name);
    }

    /// Removes the cookies that have neither `Max-Age` nor `Expires`.
    pub(super) fn close(&mut self) {
        self.cookies.retain(|cookie| cookie.expires_at.is_some());
    }
}

fn parse(now: i64, path: &str, field: &str) -> Result<Cookie, &'static str> {
    let is_control = |letter: char| letter.is_ascii_control() && letter != '\t';
    if field.contains(is_control) {
        return Err("it contains a control character");
    }
    let mut parts = field.split(';');
    let pair = parts.next().unwrap_or_default();
    let (name, value) = pair.split_once('=').ok_or("the cookie has no name")?;
    let (name, value) = (name.trim(), value.trim());
    if name.is_empty() {
        return Err("the cookie has no name");
    }
    if name.len() + value.len() > MOST_BYTES {
        return Err("name and value together exceed 4096 bytes");
    }
    let mut cookie = Cookie {
        id: CookieId {
            name: name.to_owned(),
            domain: String::new(),
            path: default_path(path).to_owned(),
            partitioned: false,
        },
        value: value.to_owned(),
        same_site: Site::Lax,
        expires_at: None,
    };
    let (mut is_secure, mut has_path, mut age, mut end) = (false, false, None, None);
    // If an attribute is repeated, the last one counts.
    for part in parts {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        let value = value.trim();
        match name.trim().to_ascii_lowercase().as_str() {
            "secure" => is_secure = true,
            "partitioned" => cookie.id.partitioned = true,
            "domain" => {
                let domain = value.strip_prefix('.').unwrap_or(value);
                cookie.id.domain = domain.to_ascii_lowercase();
            }
            "path" => {
                has_path = value.starts_with('/');
                let path = if has_path { value } else { default_path(path) };
                cookie.id.path = path.to_owned();
            }
            "max-age" => age = value.parse::<i64>().ok().or(age),
            "expires" => end = date(value).or(end),
            "samesite" => {
                cookie.same_site = match value.to_ascii_lowercase().as_str() {
                    "strict" => Site::Strict,
                    "none" => Site::None,
                    _ => Site::Lax,
                };
            }
            _ => {}
        }
    }
    let prefix = name.to_ascii_lowercase();
    if !is_secure {
        if prefix.starts_with("__host-") || prefix.starts_with("__secure-") {
            return Err("its name prefix requires Secure");
        }
        if cookie.same_site == Site::None {
            return Err("SameSite=None requires Secure");
        }
        if cookie.id.partitioned {
            return Err("Partitioned requires Secure");
        }
    }
    let is_host = has_path && cookie.id.path == "/" && cookie.id.domain.is_empty();
    if prefix.starts_with("__host-") && !is_host {
        return Err("__Host- requires Path=/ and no Domain");
    }
    cookie.expires_at = match age {
        Some(seconds) => Some(now.saturating_add(seconds.min(MOST_AGE).saturating_mul(1000))),
        None => end,
    };
    Ok(cookie)
}

/// The path of a cookie without a `Path`: that of the request, up to its last slash.
fn default_path(path: &str) -> &str {
    match path.rfind('/') {
        None | Some(0) => "/",
        Some(end) => path.get(..end).unwrap_or("/"),
    }
}

fn covers(cookie: &str, request: &str) -> bool {
    request
        .strip_prefix(cookie)
        .is_some_and(|rest| rest.is_empty() || cookie.ends_with('/') || rest.starts_with('/'))
}

/// Milliseconds since the epoch of a date as HTTP writes it, `Thu, 01 Jan 1970 00:00:00 GMT`
/// (RFC 9110, section 5.6.7).
fn date(text: &str) -> Option<i64> {
    const MONTHS: &str = "JanFebMarAprMayJunJulAugSepOctNovDec";
    let mut parts = text.split_once(", ")?.1.split([' ', '-', ':']);
    let mut number = || parts.next()?.parse::<i64>().ok();
    let day = number()?;
    let month = MONTHS.find(parts.next().filter(|name| name.len() == 3)?)? / 3 + 1;
    let month = i64::try_from(month).ok()?;
    let mut number = || parts.next()?.parse::<i64>().ok();
    let (year, hour, minute, second) = (number()?, number()?, number()?, number()?);
    if !(1601..=9999).contains(&year) {
        return None;
    }
    // Days in the Gregorian calendar, counting years from March so that the leap day comes last.
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1;
    let days = days - 719_468;
    Some((((days * 24 + hour) * 60 + minute) * 60 + second) * 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: &str = "Path=/; Secure; HttpOnly; SameSite=Lax";

    fn jar(fields: &[&str]) -> Jar {
        let mut jar = Jar::default();
        for field in fields {
            jar.receive(0, "/", field).unwrap();
        }
        jar
    }

    fn header(jar: &Jar, now: i64, path: &str) -> String {
        jar.header(now, &Request::get(path)).unwrap_or_default()
    }

    #[test]
    fn cookies_are_sent_to_their_paths_longer_ones_first() {
        let host = format!("__Host-a=1; {HOST}");
        let again = format!("__Host-a=3; {HOST}");
        let jar = jar(&[&host, "b=2; Path=/", &again, "c=4; Path=/api"]);
        assert_eq!(header(&jar, 0, "/"), "__Host-a=3; b=2");
        assert_eq!(header(&jar, 0, "/api/session?x"), "c=4; __Host-a=3; b=2");
        assert_eq!(header(&jar, 0, "/apix"), "__Host-a=3; b=2");
    }

    #[test]
    fn a_cookie_without_a_path_is_that_of_the_folder() {
        let mut jar = Jar::default();
        jar.receive(0, "/shop/cart", "a=1").unwrap();
        assert_eq!(header(&jar, 0, "/shop"), "a=1");
        assert_eq!(header(&jar, 0, "/"), "");
    }

    #[test]
    fn max_age_ends_a_cookie_to_the_millisecond_and_goes_before_expires() {
        let jar = jar(&["a=1; Max-Age=10; Expires=Thu, 01 Jan 1970 00:00:00 GMT"]);
        assert_eq!(header(&jar, 9_999, "/"), "a=1");
        assert_eq!(header(&jar, 10_000, "/"), "");
    }

    #[test]
    fn a_cookie_that_is_over_takes_the_other_of_its_name_away() {
        for over in [
            "a=; Max-Age=0",
            "a=; Max-Age=-1",
            "a=; Expires=Thu, 01 Jan 1970 00:00:00 GMT",
        ] {
            let mut jar = jar(&["a=1", "a=2; Domain=example.com", "b=3"]);
            jar.receive(0, "/", over).unwrap();
            assert_eq!(header(&jar, 0, "/"), "a=2; b=3", "{over}");
        }
    }

    #[test]
    fn no_cookie_lasts_longer_than_400_days() {
        let jar = jar(&["a=1; Max-Age=99999999999999"]);
        assert_eq!(header(&jar, MOST_AGE * 1000 - 1, "/"), "a=1");
        assert_eq!(header(&jar, MOST_AGE * 1000, "/"), "");
    }

    #[test]
    fn closing_takes_the_cookies_without_an_end() {
        let mut jar = jar(&["a=1", "b=2; Max-Age=10"]);
        jar.close();
        assert_eq!(header(&jar, 0, "/"), "b=2");
    }

    #[test]
    fn what_a_browser_refuses_is_refused() {
        let long = format!("a={}", "x".repeat(4096));
        for field in [
            "__Host-a=1; Path=/",
            "__Host-a=1; Secure",
            "__Host-a=1; Path=/api; Secure",
            "__Host-a=1; Path=/; Secure; Domain=example.com",
            "__secure-a=1; Path=/",
            "a=1; SameSite=None",
            "a=1; Partitioned",
            "=1",
            "a",
            "a=\u{7}",
            &long,
        ] {
            let mut jar = Jar::default();
            jar.receive(0, "/", field).unwrap_err();
            assert_eq!(header(&jar, 0, "/"), "", "{field}");
        }
    }

    #[test]
    fn another_sites_request_carries_lax_cookies_on_a_navigation_only() {
        let jar = jar(&[
            "lax=1",
            "strict=1; SameSite=Strict",
            "none=1; SameSite=None; Secure",
        ]);
        let from = |method, site| {
            let request = Request::new(method, "/").with_header("Sec-Fetch-Site", site);
            jar.header(0, &request).unwrap()
        };
        assert_eq!(from("POST", "same-origin"), "lax=1; strict=1; none=1");
        assert_eq!(from("GET", "cross-site"), "lax=1; none=1");
        assert_eq!(from("POST", "cross-site"), "none=1");
    }

    #[test]
    fn dates_are_read_as_http_writes_them() {
        for (text, milliseconds) in [
            ("Thu, 01 Jan 1970 00:00:00 GMT", Some(0)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Some(784_111_777_000)),
            ("Thu, 29 Feb 2024 23:59:59 GMT", Some(1_709_251_199_000)),
            ("Sunday, 06-Nov-1994 08:49:37 GMT", Some(784_111_777_000)),
            ("tomorrow", None),
            ("Sun, 06 November 1994 08:49:37 GMT", None),
        ] {
            assert_eq!(date(text), milliseconds, "{text}");
        }
    }
}
