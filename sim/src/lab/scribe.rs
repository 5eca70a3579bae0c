//! Turns observations into text.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use edge_session::Outcome;
use serde_json::{Map, Value, json};

use super::reader;
use super::stage::{Ask, Book, JarCookie, Moment, Row, Step, Store, Text, What, Whys, Words};
use super::{AMSTERDAM, NAMES, PLACES, SINGAPORE, SPREADS, ZERO};
use crate::Ms;
use crate::history::KEY_COOKIE;
use crate::jar::split;
use crate::kv::Shown;
use crate::request::{Answer, KEYS, View};
use crate::world::RequestId;

/// The content of a record, and the request that put it.
struct Record {
    version: u32,
    keys: BTreeSet<String>,
    request: RequestId,
}

/// Reads the observations and writes the story.
pub struct Scribe<'a> {
    book: &'a Book,
    steps: Vec<Step>,
    /// The derived keys, in the order in which their records were put.
    keys: Vec<String>,
    /// The key cookie of each.
    tokens: BTreeMap<String, String>,
    /// Records that were put: text, name, and by which request.
    puts: Vec<(Rc<str>, Rc<str>, RequestId)>,
}

impl<'a> Scribe<'a> {
    pub fn new(book: &'a Book) -> Self {
        let steps = book.steps.take();
        let mut it = Self {
            book,
            steps,
            keys: Vec::new(),
            tokens: BTreeMap::new(),
            puts: Vec::new(),
        };
        for step in &it.steps {
            match &step.what {
                What::Took {
                    request,
                    name,
                    value: Some(value),
                    ..
                } if is_record(name, value) => {
                    it.puts.push((Rc::clone(value), Rc::clone(name), *request));
                    let key = last_part(name).to_owned();
                    if !it.keys.contains(&key) {
                        it.keys.push(key);
                    }
                }
                What::Answered(_, answer) => {
                    let key = answer.view.as_ref().and_then(|view| view.key.as_deref());
                    let cookies = answer.cookies.iter().map(|cookie| split(cookie));
                    let token = cookies
                        .rev()
                        .find(|(name, value)| *name == KEY_COOKIE && !value.is_empty());
                    if let (Some(key), Some((_, token))) = (key, token) {
                        // Owner tag, lineage, derived key, and a tag over them.
                        let derived = key.split('.').nth(2).unwrap_or_default();
                        it.tokens.insert(derived.to_owned(), token.to_owned());
                    }
                }
                _ => {}
            }
        }
        it
    }

    fn is_object(&self) -> bool {
        self.book.store() == Store::Objects
    }

    fn who(&self, request: RequestId) -> &'static str {
        self.book.asks.borrow()[request].who
    }

    fn place(&self, request: RequestId) -> usize {
        self.book.asks.borrow()[request].place
    }

    /// A session key or similar text, by the number of its derived key.
    fn key(&self, name: &str) -> String {
        let number = self.keys.iter().position(|key| key == last_part(name));
        number.map_or_else(
            || "no key".to_owned(),
            |number| format!("key {}", number + 1),
        )
    }

    /// The meaning of a name of the namespace.
    fn name(&self, name: &str) -> String {
        match name.split_once('.').map_or(name, |(kind, _)| kind) {
            "s" if self.is_object() => format!("row of {}", self.key(name)),
            "s" => format!("record under {}", self.key(name)),
            "k" => format!("marker on {}", self.key(name)),
            "l" => "marker on the lineage".to_owned(),
            _ => "marker on the owner".to_owned(),
        }
    }

    fn open(&self, text: &Rc<str>) -> Record {
        let put = self.puts.iter().find(|it| it.0 == *text);
        let (text, name, request) = put.unwrap_or_else(|| panic!("nobody has put {text}"));
        let now = self.steps.last().map_or(ZERO, |step| step.at);
        let token = &self.tokens[last_part(name)];
        let (version, keys) = reader::read(self.book.store(), name, text, token, now);
        Record {
            version,
            keys,
            request: *request,
        }
    }

    /// A value of the store in a word or two.
    fn label(&self, name: &str, value: &Text) -> String {
        let Some(value) = value else {
            return "nothing".to_owned();
        };
        if !is_record(name, value) {
            return if value.starts_with("2 r") {
                "rotated"
            } else {
                "ended"
            }
            .to_owned();
        }
        let Record {
            version, request, ..
        } = self.open(value);
        match self.who(request) {
            "" => format!("version {version}"),
            who => format!("version {version} by {}", in_sentence(who)),
        }
    }

    fn holds(&self, name: &str, value: &Text) -> Option<String> {
        let value = value.as_ref().filter(|value| is_record(name, value))?;
        Some(names(&self.open(value).keys))
    }

    /// Every step of the story.
    pub fn steps(&self, words: &Words, whys: &mut Whys) -> Vec<Map<String, Value>> {
        let first = |step: &Step| matches!(step.what, What::Begin);
        let first = self.steps.iter().rposition(first).unwrap_or_default();
        let mut story: Vec<Map<String, Value>> = Vec::new();
        for (n, step) in self.steps.iter().enumerate().skip(first) {
            let why = self.moment(n).and_then(|moment| whys.remove(&moment));
            let dull = match &step.what {
                What::Answered(_, answer) => answer.result.is_ok() && answer.cookies.is_empty(),
                _ => false,
            };
            if dull && why.is_none() {
                continue;
            }
            let request = step.what.request();
            let (place, who) = match &step.what {
                What::Arrived { place, .. } => (Some(*place), None),
                _ => (
                    request.map(|it| self.place(it)),
                    request.map(|it| self.who(it)),
                ),
            };
            let (short, text) = match &step.what {
                What::Begin => ("How it begins".to_owned(), words.begin.to_owned()),
                what => self.sentence(what, step, &self.steps[n - 1]),
            };
            let jars = step.jars.iter().map(|jar| self.cookies(jar));
            let running = (0..PLACES.len()).map(|place| self.running(step, place));
            story.push(Map::from_iter([
                ("at".to_owned(), json!(step.at - ZERO)),
                ("kind".to_owned(), json!(step.what.kind())),
                ("place".to_owned(), json!(place)),
                ("who".to_owned(), json!(who)),
                ("short".to_owned(), json!(short)),
                ("text".to_owned(), json!(text)),
                ("why".to_owned(), json!(why)),
                ("rows".to_owned(), json!(self.rows(step))),
                ("cookies".to_owned(), json!(jars.collect::<Vec<_>>())),
                ("running".to_owned(), json!(running.collect::<Vec<_>>())),
            ]));
        }
        let mut end = story.last().cloned().unwrap_or_default();
        for (name, value) in [
            ("kind", json!("end")),
            ("place", Value::Null),
            ("who", Value::Null),
            ("short", json!("How it ends")),
            ("text", json!(words.end)),
            ("why", Value::Null),
        ] {
            end.insert(name.to_owned(), value);
        }
        story.push(end);
        story
    }

    /// The request and moment of the nth step.
    fn moment(&self, n: usize) -> Option<(RequestId, Moment)> {
        let request = self.steps[n].what.request()?;
        let same = |step: &&Step| {
            step.what.request() == Some(request) && step.what.kind() == self.steps[n].what.kind()
        };
        let before = self.steps[..n].iter().filter(same).count();
        let moment = match (&self.steps[n].what, before) {
            (What::Read(..), _) => Moment::Read,
            (What::Found { .. }, _) => Moment::Found,
            (What::Took { .. }, 0) => Moment::Put,
            (What::Took { .. }, 1) => Moment::SecondPut,
            (What::Conflict { .. }, _) => Moment::Conflict,
            (What::Answered(..), _) => Moment::Answered,
            _ => return None,
        };
        Some((request, moment))
    }

    fn running(&self, step: &Step, place: usize) -> Vec<&'static str> {
        let here = step.running.iter().filter(|it| self.place(**it) == place);
        here.map(|it| self.who(*it)).collect()
    }

    fn rows(&self, step: &Step) -> Vec<Value> {
        let exists = |row: &&Row| {
            let mut cached = row.cached.iter().flatten();
            row.stored.is_some() || cached.any(|(value, _)| value.is_some())
        };
        let mut rows: Vec<&Row> = step.rows.iter().filter(exists).collect();
        rows.sort_by_key(|row| (!row.name.starts_with("s."), Rc::clone(&row.name)));
        let row = |row: &Row| {
            let cell = |value: &Text, until: Option<Ms>| {
                let (is, holds) = (self.label(&row.name, value), self.holds(&row.name, value));
                compact(json!({ "is": is, "holds": holds, "until": until.map(|it| it - ZERO) }))
            };
            let at = |place: usize| match &row.cached[place] {
                Some((value, until)) => cell(value, Some(*until)),
                None => cell(&row.seen[place], None),
            };
            if self.is_object() {
                return json!({
                    "name": self.name(&row.name),
                    "store": cell(&row.stored, None),
                });
            }
            json!({
                "name": self.name(&row.name),
                "store": cell(&row.stored, None),
                "places": [at(AMSTERDAM), at(SINGAPORE)],
            })
        };
        rows.into_iter().map(row).collect()
    }

    fn cookies(&self, jar: &[JarCookie]) -> Vec<Value> {
        let told = jar.iter().map(|JarCookie { name, value, until }| {
            let name = cookie(name);
            let is = match name {
                "who" => {
                    let key = self.tokens.iter().find(|(_, token)| *token == value);
                    key.map_or_else(String::new, |(key, _)| self.key(key))
                }
                "when last" => String::new(),
                _ => self.fresh(value),
            };
            let until = until.filter(|_| name != "who").map(|until| until - ZERO);
            compact(json!({ "name": name, "is": is, "until": until }))
        });
        told.collect()
    }

    /// The content of a fresh cookie: the record, or the version that its request put.
    fn fresh(&self, cookie: &str) -> String {
        let name: Rc<str> = "s.".into();
        if let Some((_, overlay)) = cookie.split_once('.') {
            return format!(
                "{}, the record itself",
                self.label(&name, &Some(overlay.into()))
            );
        }
        let setter = self.steps.iter().find_map(|step| match &step.what {
            What::Answered(request, answer)
                if answer.cookies.iter().any(|it| split(it).1 == cookie) =>
            {
                Some(*request)
            }
            _ => None,
        });
        let put = self.puts.iter().rev().find(|it| Some(it.2) == setter);
        put.map_or_else(String::new, |(text, ..)| {
            format!(
                "{}, the number alone",
                self.label(&name, &Some(Rc::clone(text)))
            )
        })
    }

    /// A step as a title and as a sentence or two.
    fn sentence(&self, what: &What, step: &Step, before: &Step) -> (String, String) {
        match what {
            What::Begin => Default::default(),
            What::Sent(request) => self.sent(*request, step),
            What::Read(request, found) if self.is_object() => self.ask_object(*request, found),
            What::Read(request, found) => self.read(*request, found),
            What::Found {
                request,
                view,
                version,
                asked,
                conflict,
            } => self.found(*request, view, *version, *asked, *conflict),
            What::Took {
                request,
                name,
                value,
                conflict,
            } if value.as_ref().is_some_and(|it| is_record(name, it)) => {
                self.put(*request, name, value, *conflict, before)
            }
            What::Took {
                request,
                name,
                value,
                ..
            } => self.put_marker(*request, name, value),
            What::Conflict {
                request,
                name,
                value,
            } => self.conflict(*request, name, value),
            What::Answered(request, answer) => self.answered(*request, answer),
            What::Arrived { place, name, value } => self.arrived(*place, name, value, step),
        }
    }

    /// Who asked, in the middle of a sentence, and the name of the place.
    fn asked(&self, request: RequestId) -> (String, &'static str) {
        (in_sentence(self.who(request)), PLACES[self.place(request)])
    }

    fn sent(&self, request: RequestId, step: &Step) -> (String, String) {
        let ask = &self.book.asks.borrow()[request];
        let held = step.jars[ask.client].iter();
        let held: Vec<String> = held.map(|it| quoted(cookie(&it.name))).collect();
        let held = match &*held {
            [] => "no cookie".to_owned(),
            held => format!("the cookie{} {}", plural(held), listed(held)),
        };
        let Ask { who, says, .. } = ask;
        let place = PLACES[ask.place];
        (
            format!("asks: {says}"),
            format!("{who} asks {place} to {says}, with {held}."),
        )
    }

    fn read(&self, request: RequestId, found: &[(Rc<str>, Text, Shown)]) -> (String, String) {
        let (who, place) = self.asked(request);
        let (mut short, mut text) = (Vec::new(), Vec::new());
        for (name, value, shown) in found {
            let (is, thing) = (self.label(name, value), self.name(name));
            let is_record = name.starts_with("s.");
            if is_record || value.is_some() {
                let why = match shown {
                    Shown::Current => "",
                    Shown::Behind if value.is_none() => ", since it has not arrived here yet",
                    Shown::Behind => ", since what is newer has not arrived here",
                    _ => ", which its cache still holds, though there is a newer one",
                };
                if is_record {
                    short.push(format!("reads {is}"));
                    text.push(format!("{place} reads the {thing} for {who}: {is}{why}."));
                } else {
                    short.push(format!("{thing}: {is}"));
                    text.push(format!("It finds a {thing}: {is}{why}."));
                }
            } else if *shown != Shown::Current {
                let why = match shown {
                    Shown::Behind => "it has not arrived here yet",
                    _ => "its cache still holds the absence",
                };
                text.push(format!("It finds no {thing}: {why}."));
            }
        }
        if found.iter().skip(1).all(|(_, value, _)| value.is_none()) {
            short.push("no marker".to_owned());
            if text.len() == 1 {
                text.push("No marker stands against it.".to_owned());
            }
        }
        (short.join(", "), text.join(" "))
    }

    /// A read of a row of an object.
    fn ask_object(&self, request: RequestId, found: &[(Rc<str>, Text, Shown)]) -> (String, String) {
        let (who, place) = self.asked(request);
        let (name, value, _) = &found[0];
        let (is, thing) = (self.label(name, value), self.name(name));
        (
            format!("reads {is}"),
            format!("{place} reads the {thing} in the object for {who}: {is}."),
        )
    }

    fn conflict(&self, request: RequestId, name: &str, value: &Text) -> (String, String) {
        let (who, place) = self.asked(request);
        let (is, thing) = (self.label(name, value), self.name(name));
        let holds = self.holds(name, value);
        let holds = holds.map_or_else(String::new, |holds| format!(", with {holds}"));
        (
            format!("conflict: the row is {is}"),
            format!(
                "{place} wants to put a new version for {who}, but the {thing} has changed since \
                 it was read. The object writes nothing and returns the row: {is}{holds}."
            ),
        )
    }

    fn found(
        &self,
        request: RequestId,
        view: &View,
        version: u32,
        asked: bool,
        conflict: bool,
    ) -> (String, String) {
        let (who, place) = self.asked(request);
        let outcome = view.outcome.as_str();
        let begins = format!("For {who} the session is “{outcome}”");
        let content = view.content.as_ref().ok().filter(|it| !it.is_empty());
        let (short, mut text) = match content.map(|it| names(it.keys())) {
            Some(shows) => (
                format!("finds {outcome}: {shows}"),
                format!("{begins}, version {version}: the application sees {shows}."),
            ),
            None => (
                format!("finds {outcome}"),
                format!("{begins}: the application sees an empty session."),
            ),
        };
        if conflict {
            text.push_str(JOINED);
        } else if view.outcome == Outcome::New {
            text.push_str(" No key cookie came.");
        } else if !asked {
            text.push_str(&format!(
                " {place} does not ask the store: it has read this session moments ago."
            ));
        }
        (short, text)
    }

    fn put(
        &self,
        request: RequestId,
        name: &str,
        value: &Text,
        conflict: bool,
        before: &Step,
    ) -> (String, String) {
        let Some(value) = value else {
            return Default::default();
        };
        let (who, place) = self.asked(request);
        let Record { version, keys, .. } = self.open(value);
        let (thing, holds) = (self.name(name), names(&keys));
        let elsewhere = PLACES[1 - self.place(request)];
        let mut text = if self.is_object() {
            format!(
                "{place} puts version {version} of the {thing} for {who}: {holds}. The next read \
                 sees it, wherever it comes from."
            )
        } else {
            format!(
                "{place} puts version {version} of the {thing} for {who}: {holds}. {elsewhere} \
                 will see it in {} s.",
                SPREADS / 1_000
            )
        };
        if conflict {
            text.push_str(JOINED);
        }
        let old = before.rows.iter().find(|row| *row.name == *name);
        if let Some(old) = old.and_then(|row| row.stored.as_ref()) {
            let had = self.open(old).keys;
            let lost: Vec<&String> = had.difference(&keys).collect();
            if !lost.is_empty() {
                let old = self.label(name, &Some(Rc::clone(old)));
                let lost = names(lost);
                text.push_str(&format!(
                    " It replaces {old}, and does not contain its {lost}."
                ));
            }
        }
        (format!("puts version {version}: {holds}"), text)
    }

    fn put_marker(&self, request: RequestId, name: &str, value: &Text) -> (String, String) {
        let (who, place) = self.asked(request);
        let (is, thing) = (self.label(name, value), self.name(name));
        if self.is_object() {
            return (
                format!("{thing}: {is}"),
                format!(
                    "{place} replaces the record in the {thing} by a tombstone for {who}: the \
                     session is {is}."
                ),
            );
        }
        let means = match &*is {
            "rotated" => "the session went on under another key",
            _ => "it has ended",
        };
        (
            format!("puts {thing}: {is}"),
            format!("{place} puts a {thing} for {who}: {means}."),
        )
    }

    fn answered(&self, request: RequestId, answer: &Answer) -> (String, String) {
        let (who, place) = self.asked(request);
        let (word, mut text) = match answer.result {
            Ok(status) => (
                status.to_string(),
                format!("{place} answers {who} with {status}."),
            ),
            Err(error) => {
                let (status, code) = (error.status(), error.as_str());
                (
                    format!("{status} {code}"),
                    format!("{place} answers {who} with {status} and the error “{code}”."),
                )
            }
        };
        let cookies = answer.cookies.iter().map(|it| split(it));
        let (removed, set): (Vec<_>, Vec<_>) = cookies.partition(|(_, value)| value.is_empty());
        for (what, cookies) in [("sets", set), ("removes", removed)] {
            if !cookies.is_empty() {
                let names: Vec<String> = cookies.iter().map(|it| quoted(cookie(it.0))).collect();
                text.push_str(&format!(
                    " The answer {what} the cookie{} {}.",
                    plural(&names),
                    listed(&names)
                ));
            }
        }
        (format!("is answered {word}"), text)
    }

    fn arrived(&self, place: usize, name: &str, value: &Text, step: &Step) -> (String, String) {
        let (is, thing) = (self.label(name, value), self.name(name));
        let (short, what) = if name.starts_with("s.") {
            let what = format!("{} of the {thing}", capital(&is));
            (format!("{is} arrives"), what)
        } else {
            let what = format!("The {thing} ({is})");
            (format!("{thing} arrives"), what)
        };
        let mut text = format!("{what} arrives in {}.", PLACES[place]);
        let row = step.rows.iter().find(|row| *row.name == *name);
        if let Some((cached, until)) = row.and_then(|row| row.cached[place].as_ref())
            && cached != value
        {
            text.push_str(&format!(
                " Its cache goes on with “{}” for {} s.",
                self.label(name, cached),
                (until - step.at) / 1_000
            ));
        }
        (short, text)
    }
}

const JOINED: &str = " It is a join of two copies that did not know of each other.";

/// Removes null values.
fn compact(value: Value) -> Value {
    match value {
        Value::Object(members) => members.into_iter().filter(|it| !it.1.is_null()).collect(),
        other => other,
    }
}

/// Removes what a step has in common with the previous one.
pub fn without_repeats(story: Vec<Map<String, Value>>) -> Vec<Value> {
    let mut before = Map::new();
    let shorter = story.into_iter().map(|step| {
        let mut short = step.clone();
        short.retain(|name, value| match &**name {
            "rows" | "cookies" | "running" => before.get(name) != Some(value),
            _ => !value.is_null(),
        });
        before = step;
        Value::Object(short)
    });
    shorter.collect()
}

impl What {
    const fn request(&self) -> Option<RequestId> {
        match self {
            Self::Sent(request) | Self::Read(request, _) | Self::Answered(request, _) => {
                Some(*request)
            }
            Self::Found { request, .. }
            | Self::Took { request, .. }
            | Self::Conflict { request, .. } => Some(*request),
            Self::Begin | Self::Arrived { .. } => None,
        }
    }

    const fn kind(&self) -> &'static str {
        match self {
            Self::Begin => "begin",
            Self::Sent(_) => "sent",
            Self::Read(..) => "read",
            Self::Found { .. } => "found",
            Self::Took { .. } => "put",
            Self::Conflict { .. } => "conflict",
            Self::Answered(..) => "answered",
            Self::Arrived { .. } => "arrived",
        }
    }
}

/// True if the value stored under `name` is a record. The row of an ended session is a tombstone.
fn is_record(name: &str, value: &str) -> bool {
    name.starts_with("s.") && !value.starts_with("2 r") && !value.starts_with("2 x")
}

fn last_part(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

/// Readable names for these keys.
fn names<'a>(keys: impl IntoIterator<Item = &'a String>) -> String {
    let keys: BTreeSet<&str> = keys.into_iter().map(String::as_str).collect();
    let known = KEYS.iter().zip(NAMES);
    let names = known.filter(|(key, _)| keys.contains(**key));
    listed(&names.map(|(_, name)| name.to_owned()).collect::<Vec<_>>())
}

fn listed(words: &[String]) -> String {
    match words {
        [] => "nothing".to_owned(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

const fn plural(words: &[String]) -> &'static str {
    if words.len() == 1 { "" } else { "s" }
}

/// The purpose of a cookie.
fn cookie(name: &str) -> &'static str {
    match name.strip_prefix(KEY_COOKIE).unwrap_or_default() {
        "" => "who",
        "-seen" => "when last",
        _ => "what I just saved",
    }
}

fn quoted(text: &str) -> String {
    format!("“{text}”")
}

/// "The thief" in the middle of a sentence.
fn in_sentence(who: &str) -> String {
    who.strip_prefix("The ")
        .map_or_else(|| who.to_owned(), |rest| format!("the {rest}"))
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| {
        first.to_uppercase().chain(letters).collect()
    })
}
