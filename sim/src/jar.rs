//! A browser's cookie jar, reduced to one host with our cookies.

use std::collections::BTreeMap;

use crate::Ms;

/// One value per name and partition, each until its Max-Age (RFC 6265bis, 5.7).
#[derive(Clone, Debug, Default)]
pub struct Jar {
    /// By name, and whether it is `Partitioned`.
    cookies: BTreeMap<(String, bool), Cookie>,
}

#[derive(Clone, Debug)]
struct Cookie {
    value: String,
    /// `None` until the browser closes.
    until: Option<Ms>,
}

impl Jar {
    /// Stores a `Set-Cookie` field.
    pub fn take(&mut self, set_cookie: &str, now: Ms) {
        let (name, value) = split(set_cookie);
        let age = set_cookie
            .split("; ")
            .find_map(|part| part.strip_prefix("Max-Age="))
            .and_then(|age| age.parse::<Ms>().ok());
        let id = (name.to_owned(), is_partitioned(set_cookie));
        if age.is_some_and(|age| age <= 0) {
            self.cookies.remove(&id);
            return;
        }
        let cookie = Cookie {
            value: value.to_owned(),
            until: age.map(|age| now + age * 1_000),
        };
        self.cookies.insert(id, cookie);
    }

    /// Turns its cookies into those of earlier settings, when cookies were `Partitioned`.
    pub fn set_aside(&mut self) {
        let cookies = std::mem::take(&mut self.cookies).into_iter();
        // Current cookies replace earlier ones.
        self.cookies = cookies
            .rev()
            .map(|((name, _), cookie)| ((name, true), cookie))
            .collect();
    }

    /// The browser closes: cookies without Max-Age are removed.
    pub fn close(&mut self) {
        self.cookies.retain(|_, cookie| cookie.until.is_some());
    }

    /// The `Cookie` field that it sends.
    pub fn header(&mut self, now: Ms) -> Option<String> {
        self.cookies
            .retain(|_, cookie| cookie.until.is_none_or(|until| now < until));
        if self.cookies.is_empty() {
            return None;
        }
        let pairs: Vec<String> = self
            .cookies
            .iter()
            .map(|((name, _), cookie)| format!("{name}={}", cookie.value))
            .collect();
        Some(pairs.join("; "))
    }

    pub fn get(&self, name: &str, now: Ms) -> Option<&str> {
        [false, true]
            .iter()
            .filter_map(|apart| self.cookies.get(&(name.to_owned(), *apart)))
            .find(|cookie| cookie.until.is_none_or(|until| now < until))
            .map(|cookie| &*cookie.value)
    }

    /// Its cookies: name, value, and until when, if known.
    pub fn cookies(&self, now: Ms) -> impl Iterator<Item = (&str, &str, Option<Ms>)> {
        let held = self
            .cookies
            .iter()
            .filter(move |(_, it)| it.until.is_none_or(|until| now < until));
        held.map(|((name, _), it)| (&**name, &*it.value, it.until))
    }

    /// A copy of the same cookies that keeps them forever.
    pub fn stolen(&self) -> Self {
        let mut copy = self.clone();
        for cookie in copy.cookies.values_mut() {
            cookie.until = None;
        }
        copy
    }

    pub fn set(&mut self, name: &str, value: &str) {
        let cookie = Cookie {
            value: value.to_owned(),
            until: None,
        };
        self.cookies.insert((name.to_owned(), false), cookie);
    }

    pub fn remove(&mut self, name: &str) {
        self.cookies.retain(|(of, _), _| of != name);
    }
}

pub fn is_partitioned(set_cookie: &str) -> bool {
    set_cookie.split("; ").any(|part| part == "Partitioned")
}

/// Name and value of a `Set-Cookie` field.
pub fn split(set_cookie: &str) -> (&str, &str) {
    let pair = set_cookie.split(';').next().unwrap_or_default();
    pair.split_once('=').unwrap_or((pair, ""))
}
