//! The calls to the connector, in order, and the header fields of every response, compared with a
//! file for each story in `tests/golden/trace/`. Time, randomness and storage are simulated, and
//! ids are numbered in order of appearance, so the files change only if the code behaves
//! differently. `EDGE_SESSION_UPDATE=1 cargo test --no-default-features --test native trace::` writes them.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use std::cell::RefCell;
use std::fmt::Debug;
use std::rc::Rc;
use std::time::Duration;

use crate::common::{self, *};
use crate::golden::{self, ALPHABET, decode};
use edge_session::connector::{
    ConnectorError, ConnectorErrorKind, Page, PutOptions, ReadOptions, SessionConnector,
};
use edge_session::runtime::Runtime;
use edge_session::{
    CommitHeaders, Event, EventSink, Expiry, SecretRing, SessionError, SessionKey, SessionStore,
    Sessions, Settings,
};
use futures_util::future::LocalBoxFuture;

// --- the tape ------------------------------------------------------------------------------------

/// A log as text, without random values.
#[derive(Default)]
struct Tape {
    lines: Vec<String>,
    ids: Vec<String>,
}

#[derive(Clone, Default)]
struct Recorder(Rc<RefCell<Tape>>);

impl Recorder {
    /// Adds a line; returns its position, for [`append`](Self::append).
    fn say(&self, line: impl Into<String>) -> usize {
        let mut tape = self.0.borrow_mut();
        tape.lines.push(line.into());
        tape.lines.len() - 1
    }

    fn append(&self, place: usize, text: &str) {
        self.0.borrow_mut().lines[place].push_str(text);
    }

    /// The number of an id, by the order in which ids appear.
    fn id(&self, id: &str) -> String {
        let ids = &mut self.0.borrow_mut().ids;
        let place = ids.iter().position(|known| known == id);
        let place = place.unwrap_or_else(|| {
            ids.push(id.to_owned());
            ids.len() - 1
        });
        format!("#{}", place + 1)
    }

    /// A name of the namespace, with its ids numbered.
    fn name(&self, name: &str) -> String {
        let parts = name.split('.').map(|part| self.word(part));
        parts.collect::<Vec<_>>().join(".")
    }

    /// A session key, its parts numbered as in a name.
    fn session_key(&self, key: &str) -> String {
        let mut parts: Vec<String> = key.split('.').take(3).map(|part| self.word(part)).collect();
        parts.extend(key.split('.').skip(3).map(|_| "tag".to_owned()));
        parts.join(".")
    }

    fn word(&self, word: &str) -> String {
        if word.len() == 22 {
            self.id(word)
        } else {
            word.to_owned()
        }
    }

    /// The kind of a value, and its length if it is sealed.
    fn value(&self, value: &str) -> String {
        let mut words = value.split(' ');
        if let (Some(_format), Some(death @ ("r" | "x" | "o"))) = (words.next(), words.next()) {
            let words = words.map(|word| match word.parse::<i64>() {
                Ok(at) => after(at),
                Err(_) => self.word(word),
            });
            let words: Vec<String> = words.collect();
            return format!("marker({death} {})", words.join(" "));
        }
        let kind = if value.starts_with('{') {
            "plain"
        } else {
            "sealed"
        };
        format!("{kind} {}", value.len())
    }

    fn cookie(&self, field: &str) -> String {
        let (pair, attributes) = field.split_once("; ").unwrap_or((field, ""));
        let (name, value) = pair.split_once('=').unwrap();
        let what = if value.is_empty() {
            "removed".to_owned()
        } else if name.ends_with("-fresh") {
            self.fresh(value)
        } else if name.ends_with("-seen") {
            format!("seen {}", instant(&decode(value), 5))
        } else {
            self.key_cookie(value)
        };
        format!("set-cookie {name}: {what}; {attributes}")
    }

    /// The layouts are those of `docs/wire-format.md`.
    fn key_cookie(&self, value: &str) -> String {
        let bytes = decode(value);
        let id = |at: usize| self.id(&encode(&bytes[at..at + 16]));
        let length = value.len();
        match bytes[5] {
            kind @ (2 | 3) => {
                let (owner, at) = match kind {
                    2 => ("anonymous".to_owned(), 38),
                    _ => (format!("owner {}", id(38)), 54),
                };
                format!(
                    "tombstone, {owner}, lineage {} key {} ends {}, {length} characters",
                    id(6),
                    id(22),
                    instant(&bytes, at)
                )
            }
            kind => {
                let (owner, at) = match kind {
                    0 => ("anonymous".to_owned(), 54),
                    _ => (format!("owner {}", id(54)), 70),
                };
                format!(
                    "ticket, {owner}, lineage {}, minted {}, ends {}, {length} characters",
                    id(38),
                    instant(&bytes, at),
                    instant(&bytes, at + 6)
                )
            }
        }
    }

    fn fresh(&self, value: &str) -> String {
        let (head, overlay) = match value.split_once('.') {
            Some((head, overlay)) => (head, format!("overlay {}", overlay.len())),
            None => (value, "no overlay".to_owned()),
        };
        let bytes = decode(head);
        let counter = u32::from_be_bytes(bytes[5..9].try_into().unwrap());
        let stored = ["stored", "unstored"][usize::from(bytes[19])];
        format!(
            "fresh version {counter}, saved {}, {stored}, {overlay}",
            instant(&bytes, 13)
        )
    }
}

/// An instant as milliseconds after the start of a story.
fn after(at: i64) -> String {
    format!("{:+}", at - START)
}

fn instant(bytes: &[u8], at: usize) -> String {
    let number = bytes[at..at + 6].iter();
    after(number.fold(0, |sum, byte| sum * 256 + i64::from(*byte)))
}

fn encode(bytes: &[u8]) -> String {
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let mut all = [0; 4];
        all[1..=chunk.len()].copy_from_slice(chunk);
        let bits = u32::from_be_bytes(all);
        for place in 0..=chunk.len() {
            text.push(ALPHABET[(bits >> (18 - 6 * place) & 63) as usize] as char);
        }
    }
    text
}

impl EventSink for Recorder {
    fn event(&self, event: &Event) {
        let reason = event.reason.map(|reason| format!(" ({reason})"));
        let kind = event.kind.as_str();
        self.say(format!("  event {kind}{}", reason.unwrap_or_default()));
    }
}

/// The runtime of the tests, with fixed pauses. Real pauses are partly random, and would depend on
/// how much randomness was drawn before.
struct Steady(Rc<TestRuntime>);

impl Runtime for Steady {
    fn now(&self) -> i64 {
        self.0.now()
    }

    fn fill_random(&self, out: &mut [u8]) -> Result<(), SessionError> {
        self.0.fill_random(out)
    }

    fn sleep(&self, milliseconds: u32) -> LocalBoxFuture<'static, ()> {
        // A pause is up to twice 50 ms, 100 ms and so on, or up to a quarter more than 1100 ms.
        self.0.sleep(match milliseconds {
            1_100.. => 1_100,
            _ => 50 << (milliseconds / 50).max(1).ilog2(),
        })
    }

    /// Failures are intended here.
    fn warn(&self, _: &str) {}
}

/// A store that logs its calls.
struct Listening {
    store: TestStore,
    tape: Recorder,
}

impl Listening {
    fn ended<T>(&self, place: usize, result: &Result<T, ConnectorError>, text: String) {
        let text = match result {
            Ok(_) => text,
            Err(error) => error.kind().as_str().to_owned(),
        };
        self.tape.append(place, &format!(" -> {text}"));
    }
}

impl SessionConnector for Listening {
    fn read<'a>(
        &'a self,
        keys: &'a [&'a str],
        options: ReadOptions,
    ) -> LocalBoxFuture<'a, Result<Vec<Option<String>>, ConnectorError>> {
        Box::pin(async move {
            let names: Vec<String> = keys.iter().map(|key| self.tape.name(key)).collect();
            let cache = options
                .cache_ttl
                .map_or("-".to_owned(), |it| it.to_string());
            let line = format!("  read {} cache {cache}", names.join(" "));
            let place = self.tape.say(line);
            let result = self.store.read(keys, options).await;
            let found = result.iter().flatten().map(|value| match value {
                Some(value) => self.tape.value(value),
                None => "none".to_owned(),
            });
            let found = found.collect::<Vec<_>>().join(", ");
            self.ended(place, &result, found);
            result
        })
    }

    fn put<'a>(
        &'a self,
        key: &'a str,
        value: &'a str,
        options: PutOptions,
    ) -> LocalBoxFuture<'a, Result<(), ConnectorError>> {
        Box::pin(async move {
            let ttl = options.ttl.map_or("-".to_owned(), |ttl| ttl.to_string());
            let metadata = match &options.metadata {
                Some(text) => format!("metadata {}", text.len()),
                None => "no metadata".to_owned(),
            };
            let place = self.tape.say(format!(
                "  put {} {} ttl {ttl} {metadata}",
                self.tape.name(key),
                self.tape.value(value)
            ));
            let result = self.store.put(key, value, options).await;
            self.ended(place, &result, "ok".to_owned());
            result
        })
    }

    fn delete<'a>(&'a self, key: &'a str) -> LocalBoxFuture<'a, Result<(), ConnectorError>> {
        Box::pin(async move {
            let place = self.tape.say(format!("  delete {}", self.tape.name(key)));
            let result = self.store.delete(key).await;
            self.ended(place, &result, "ok".to_owned());
            result
        })
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        cursor: Option<&'a str>,
    ) -> LocalBoxFuture<'a, Result<Page, ConnectorError>> {
        Box::pin(async move {
            let from = if cursor.is_some() { " goes on" } else { "" };
            let place = self
                .tape
                .say(format!("  list {}{from}", self.tape.name(prefix)));
            let result = self.store.list(prefix, cursor).await;
            let found = match &result {
                Ok(page) => format!("{} keys", page.keys.len()),
                Err(_) => String::new(),
            };
            self.ended(place, &result, found);
            result
        })
    }
}

// --- stories -------------------------------------------------------------------------------------

/// A world that records calls and responses.
struct Story {
    tape: Recorder,
    world: World,
    settings: Settings,
}

/// A request while its page runs.
struct Visit {
    tape: Recorder,
    session: SessionStore,
    sessions: Sessions,
}

impl Story {
    fn new() -> Self {
        Self::with(Settings::default())
    }

    fn with(settings: Settings) -> Self {
        let (tape, world) = (Recorder::default(), World::new());
        let mut story = Self {
            tape,
            world,
            settings,
        };
        story.elsewhere();
        story
    }

    /// From here on requests go to another isolate.
    fn elsewhere(&mut self) {
        self.tape.say("--- another isolate");
        let connector = Listening {
            store: self.world.store.clone(),
            tape: self.tape.clone(),
        };
        let sessions = Sessions::builder(connector, SecretRing::parse(SECRET).unwrap())
            .settings(self.settings.clone())
            .runtime(Steady(self.world.runtime.clone()))
            .build();
        self.world.sessions = sessions.unwrap().with_events(self.tape.clone());
    }

    fn wait(&self, milliseconds: i64) {
        self.world.advance(milliseconds);
    }

    fn heading(&self, title: &str) {
        self.tape.say("");
        let now = after(self.world.now());
        self.tape.say(format!("{title}, at {now}"));
    }

    fn begin(&self, title: &str, head: Head, loads: bool) -> Visit {
        self.heading(title);
        let mut visit = Visit {
            tape: self.tape.clone(),
            session: self.world.sessions.open(head),
            sessions: self.world.sessions.clone(),
        };
        if loads {
            let loaded = run(visit.session.load());
            visit.said("load", loaded);
        }
        visit
    }

    fn end(&self, visit: &mut Visit, status: u16) -> CommitHeaders {
        self.tape.say(format!("  commit {status}"));
        let committed = run(self.world.sessions.commit(&mut visit.session, status));
        let (how, headers) = match committed {
            Ok(headers) => ("ok".to_owned(), headers),
            // The response of an adapter in this case.
            Err(error) => (
                error.code().as_str().to_owned(),
                visit.session.done_headers(),
            ),
        };
        self.tape.say(format!("  commit gives {how}"));
        for field in headers.set_cookie() {
            let line = self.tape.cookie(field);
            self.tape.say(format!("  {line}"));
        }
        if headers.depends_on_session() {
            for (name, value) in headers.cache_control(None) {
                self.tape.say(format!("  {name}: {value}"));
            }
            let vary = headers.vary(None).unwrap_or_default();
            self.tape.say(format!("  vary: {vary}"));
        }
        if let Some(timing) = headers.server_timing() {
            self.tape.say(format!("  server-timing: {timing}"));
        }
        headers
    }

    fn answer(&self, jar: &mut Jar, mut visit: Visit, status: u16) {
        let headers = self.end(&mut visit, status);
        jar.receive(self.world.now(), headers.set_cookie());
    }

    /// A request of a browser: load, page, commit, cookies.
    fn visit(&self, jar: &mut Jar, title: &str, page: impl FnOnce(&mut Visit)) {
        let mut visit = self.begin(title, jar.head(self.world.now()), true);
        page(&mut visit);
        self.answer(jar, visit, 200);
    }

    /// The same without a load.
    fn lazy(&self, jar: &mut Jar, title: &str, page: impl FnOnce(&mut Visit)) {
        let mut visit = self.begin(title, jar.head(self.world.now()), false);
        page(&mut visit);
        self.answer(jar, visit, 200);
    }

    /// A request with its own headers, whose response goes to no browser.
    fn raw(&self, title: &str, head: Head, page: impl FnOnce(&mut Visit)) {
        let mut visit = self.begin(title, head, true);
        page(&mut visit);
        drop(self.end(&mut visit, 200));
    }

    fn visitor(&self) -> Jar {
        let mut jar = Jar::new();
        self.visit(&mut jar, "a first visit sets a", |it| it.set("a", 1));
        jar
    }

    fn member(&self, owner: &str) -> Jar {
        let mut jar = Jar::new();
        self.visit(&mut jar, &format!("{owner} logs in"), |it| {
            it.bind(owner, false);
            it.set("a", 1);
        });
        jar
    }

    fn tell(self, name: &str) {
        let tape = self.tape.0.borrow();
        let mut text = format!("{}\n\nwhat the store holds\n", tape.lines.join("\n"));
        drop(tape);
        let held = self.world.store.all().into_iter();
        let mut held: Vec<String> = held
            .map(|(key, value)| format!("  {} {}\n", self.tape.name(&key), self.tape.value(&value)))
            .collect();
        held.sort();
        text.extend(held);
        golden::compare(&format!("trace/{name}.txt"), &text);
    }
}

impl Visit {
    fn said<T: Debug>(&self, what: &str, result: Result<T, SessionError>) {
        let told = match result {
            Ok(value) => format!("{value:?}"),
            Err(error) => format!("error {}", error.code().as_str()),
        };
        self.tape.say(format!("  {what}: {told}"));
    }

    fn set(&mut self, key: &str, value: impl serde::Serialize) {
        let result = self.session.set(key, value);
        self.said(&format!("set {key}"), result);
    }

    fn bind(&mut self, owner: &str, keep: bool) {
        let result = self.session.bind_with(owner, common::keep(keep));
        self.said(&format!("bind {owner}, keep {keep}"), result);
    }

    fn cycle(&mut self) {
        let result = self.session.cycle_key();
        self.said("cycle_key", result);
    }

    fn save(&mut self) {
        let result = run(self.session.save());
        self.said("save", result);
    }

    fn destroy(&mut self) {
        let result = run(self.session.destroy());
        self.said("destroy", result);
    }

    fn flush(&mut self, keep: &[&str]) {
        let result = run(self.session.flush_keeping(keep));
        self.said(&format!("flush, keep {keep:?}"), result);
    }

    fn expire(&mut self, name: &str, expiry: impl Into<Expiry>) {
        let result = self.session.set_expiry(expiry);
        self.said(&format!("set_expiry {name}"), result);
    }

    /// Logs what can be read of the session.
    fn look(&mut self) {
        let session = &self.session;
        let pairs = session.iter().map(|pairs| {
            let pairs = pairs.map(|(key, text)| format!("{key}={text}"));
            pairs.collect::<Vec<_>>().join(" ")
        });
        let facts = session
            .is_new()
            .and_then(|is_new| Ok(format!("new {is_new} version {}", session.version()?)));
        let known = format!(
            "{} modified {} needs_update {}",
            facts.unwrap_or_else(|error| error.code().to_string()),
            session.modified(),
            session.needs_update()
        );
        self.said("shows", pairs);
        self.said(
            "owner",
            session.owner().map(|owner| owner.map(str::to_owned)),
        );
        self.said("ends", session.get_expiry_date().map(|at| after(ms(at))));
        let key = session
            .session_key()
            .ok()
            .flatten()
            .map(|key| self.tape.session_key(key.as_str()));
        self.tape.say(format!("  key {key:?} {known}"));
    }

    fn list(&mut self, owner: &str) {
        let listed = run(self.sessions.list(owner));
        let rows = listed.map(|rows| {
            let rows = rows.iter().map(|it| {
                let (created, written) = (after(ms(it.created)), after(ms(it.last_written)));
                format!(
                    "{} {created} {written}",
                    self.tape.session_key(it.key.as_str())
                )
            });
            rows.collect::<Vec<_>>()
        });
        self.said(&format!("list {owner}"), rows);
    }

    fn revoke(&mut self, owner: &str, key: &SessionKey) {
        let result = run(self.sessions.revoke(owner, key));
        self.said(
            &format!("revoke of {owner} {}", self.tape.session_key(key.as_str())),
            result,
        );
    }

    fn revoke_all(&mut self, owner: &str, except: Option<&SessionKey>) {
        let result = match except {
            Some(key) => run(self.sessions.revoke_all_except(owner, key)),
            None => run(self.sessions.revoke_all(owner)),
        };
        let except = except.map(|key| self.tape.session_key(key.as_str()));
        self.said(&format!("revoke_all of {owner} except {except:?}"), result);
    }

    fn key(&self) -> SessionKey {
        self.session.session_key().unwrap().expect("a session key")
    }
}

fn without_overlay() -> Settings {
    Settings::default().with_overlay(false)
}

// --- from the first visit to a save --------------------------------------------------------------

#[test]
fn first_visit() {
    let story = Story::new();
    let mut jar = Jar::new();
    story.visit(&mut jar, "a page that leaves the session alone", |_| {});
    story.visit(&mut jar, "a page that reads", Visit::look);
    story.visit(&mut jar, "a page that sets", |it| {
        it.set("a", 1);
        it.look();
    });
    story.visit(&mut jar, "a page that reads", Visit::look);
    story.tell("first-visit");
}

#[test]
fn untouched() {
    let mut story = Story::new();
    let mut jar = story.visitor();
    story.elsewhere();
    story.lazy(&mut jar, "nobody loads", |_| {});
    story.lazy(&mut jar, "nobody loads, and somebody reads", |it| it.look());
    story.lazy(&mut jar, "nobody loads, and somebody changes", |it| {
        it.set("a", 2);
        it.cycle();
        it.save();
    });
    story.lazy(&mut jar, "loaded when it is needed", |it| {
        let loaded = run(it.session.load());
        it.said("load", loaded);
        it.set("a", 2);
    });
    story.tell("untouched");
}

#[test]
fn load() {
    let mut story = Story::new();
    let mut jar = story.member("ada");
    story.visit(&mut jar, "the key is cycled", Visit::cycle);
    story.visit(&mut jar, "the same isolate knows", Visit::look);
    story.elsewhere();
    story.visit(&mut jar, "read of the store", Visit::look);
    story.visit(&mut jar, "read of the isolate's memory", Visit::look);
    story.wait(10 * SECOND);
    story.visit(&mut jar, "the memory is old", Visit::look);
    story.visit(&mut jar, "load_fresh", |it| {
        let loaded = run(it.session.load_fresh());
        it.said("load_fresh", loaded);
        it.set("a", 2);
        let loaded = run(it.session.load_fresh());
        it.said("load_fresh", loaded);
        it.look();
    });
    story.tell("load");
}

#[test]
fn save() {
    let mut story = Story::new();
    let mut jar = story.visitor();
    story.elsewhere();
    story.visit(&mut jar, "an equal value", |it| it.set("a", 1));
    story.visit(&mut jar, "another value", |it| it.set("a", 2));
    story.wait(3 * SECOND);
    let mut slow = story.begin("a slow page", jar.head(story.world.now()), true);
    story.wait(2 * SECOND);
    slow.set("b", 1);
    story.answer(&mut jar, slow, 200);
    story.wait(2 * SECOND);
    story.visit(&mut jar, "two saves in one request", |it| {
        it.set("b", 2);
        it.save();
        it.set("c", 3);
        it.look();
    });
    story.wait(2 * SECOND);
    story.visit(&mut jar, "everything is removed", |it| {
        let cleared = it.session.clear();
        it.said("clear", cleared);
    });
    story.visit(&mut jar, "it is still a session", Visit::look);
    let mut failed = story.begin("an answer of 500", jar.head(story.world.now()), true);
    failed.set("d", 4);
    failed.bind("ada", true);
    story.answer(&mut jar, failed, 500);
    story.tell("save");
}

#[test]
fn flash_and_modified() {
    let story = Story::new();
    let mut jar = story.visitor();
    story.wait(2 * SECOND);
    story.visit(&mut jar, "leaves a notice", |it| {
        let left = it.session.flash("notice", "Saved.");
        it.said("flash", left);
    });
    story.wait(2 * SECOND);
    story.visit(&mut jar, "takes it", |it| {
        let notice = it.session.take_flash::<String>("notice");
        it.said("take_flash", notice);
    });
    story.wait(2 * SECOND);
    story.visit(&mut jar, "said to be modified", |it| {
        let said = it.session.set_modified(true);
        it.said("set_modified true", said);
    });
    story.wait(2 * SECOND);
    story.visit(&mut jar, "said not to be", |it| {
        it.set("a", 9);
        let said = it.session.set_modified(false);
        it.said("set_modified false", said);
    });
    story.tell("flash-and-modified");
}

#[test]
fn wait_until() {
    let story = Story::with(Settings::default().with_max_per_owner(1));
    let first = story.member("ada");
    story.wait(SECOND);
    let left: Rc<RefCell<Vec<LocalBoxFuture<'static, ()>>>> = Rc::default();
    let mut jar = first;
    let mut visit = story.begin("a login that ends another session", Head::default(), true);
    let works = Rc::clone(&left);
    visit
        .session
        .set_wait_until(move |work| works.borrow_mut().push(work));
    visit.bind("ada", false);
    story.answer(&mut jar, visit, 200);
    let works = std::mem::take(&mut *left.borrow_mut());
    story.heading(&format!(
        "after the answer: {} left to waitUntil",
        works.len()
    ));
    for work in works {
        run(work);
    }
    story.tell("wait-until");
}

// --- keys and logins -----------------------------------------------------------------------------

#[test]
fn cycle() {
    let mut story = Story::new();
    let mut jar = story.visitor();
    let mut old = jar.clone();
    story.wait(5 * SECOND);
    story.visit(&mut jar, "cycles the key", |it| {
        it.set("role", "admin");
        it.cycle();
        it.cycle();
        it.look();
    });
    story.elsewhere();
    story.visit(&mut old, "the old key reads, and cannot save", |it| {
        it.look();
        it.set("b", 2);
        it.save();
    });
    story.visit(&mut jar, "the new key", Visit::look);
    story.wait(WINDOW);
    story.visit(&mut old, "the old key after W", |it| {
        it.look();
        it.set("c", 3);
    });
    story.tell("cycle");
}

#[test]
fn create() {
    let story = Story::new();
    let mut jar = Jar::new();
    story.visit(&mut jar, "created and empty", |it| {
        let created = it.session.create();
        it.said("create", created);
        it.look();
    });
    story.wait(2 * SECOND);
    story.visit(&mut jar, "created over a live one", |it| {
        it.set("a", 1);
        let created = it.session.create();
        it.said("create", created);
        it.set("b", 2);
        it.look();
    });
    story.tell("create");
}

#[test]
fn bind() {
    let mut story = Story::new();
    let mut new = Jar::new();
    story.visit(&mut new, "a login without a session", |it| {
        it.bind("ada", true);
        it.look();
    });
    for keep in [true, false] {
        let mut jar = story.visitor();
        story.wait(5 * SECOND);
        story.visit(&mut jar, "a login over an anonymous session", |it| {
            it.set("b", 2);
            it.bind("ada", keep);
            it.look();
        });
    }
    story.elsewhere();
    story.visit(&mut new, "the first one still", Visit::look);
    story.visit(&mut new, "two logins in one request", |it| {
        it.bind("bob", true);
        it.set("of", "bob");
        it.bind("cleo", true);
        it.look();
    });
    story.tell("bind");
}

#[test]
fn bind_over_an_owned_session() {
    let story = Story::new();
    for (owner, keep) in [("ada", true), ("bob", true), ("ada", false)] {
        let mut jar = story.member("ada");
        let mut old = jar.clone();
        story.wait(5 * SECOND);
        let title = format!("{owner} logs in over ada's session");
        story.visit(&mut jar, &title, |it| {
            it.bind(owner, keep);
            it.look();
        });
        story.visit(&mut old, "the cookies of before", Visit::look);
    }
    story.tell("bind-over-owned");
}

#[test]
fn bind_over_a_dead_session() {
    let story = Story::new();
    let mut jar = story.visitor();
    let mut old = jar.clone();
    story.wait(2 * SECOND);
    story.visit(&mut jar, "a logout", Visit::destroy);
    story.wait(2 * SECOND);
    story.visit(&mut old, "a login with the cookies of before", |it| {
        it.bind("ada", true);
    });
    story.tell("bind-over-dead");
}

// --- endings -------------------------------------------------------------------------------------

#[test]
fn destroy_ends_it() {
    let mut story = Story::new();
    let mut jar = story.member("ada");
    let mut old = jar.clone();
    story.wait(2 * SECOND);
    story.visit(&mut jar, "a logout", |it| {
        it.set("b", 2);
        it.destroy();
        it.set("c", 3);
        it.destroy();
        it.look();
    });
    story.elsewhere();
    story.visit(&mut old, "the cookies of before", |it| {
        it.look();
        it.set("b", 2);
    });
    story.wait(WINDOW);
    story.visit(&mut old, "the same after W", |it| it.set("b", 2));
    story.visit(&mut Jar::new(), "a logout of nobody", Visit::destroy);
    let mut unloaded = story.visitor();
    story.lazy(&mut unloaded, "a logout that loads nothing", Visit::destroy);
    let mut failing = story.visitor();
    let mut visit = story.begin("an answer of 500", failing.head(story.world.now()), true);
    visit.destroy();
    story.answer(&mut failing, visit, 500);
    story.tell("destroy");
}

#[test]
fn destroy_then_bind() {
    let story = Story::new();
    let mut jar = story.member("ada");
    story.wait(2 * SECOND);
    story.visit(&mut jar, "a logout and a login", |it| {
        it.destroy();
        it.bind("bob", true);
        it.set("b", 2);
        it.look();
    });
    story.tell("destroy-then-bind");
}

#[test]
fn flush() {
    let story = Story::new();
    for keep in [&["a"][..], &[]] {
        let mut jar = story.member("ada");
        story.wait(2 * SECOND);
        story.visit(&mut jar, "a logout that goes on", |it| {
            it.set("b", 2);
            it.flush(keep);
            it.look();
        });
        story.visit(&mut jar, "the next page", Visit::look);
    }
    story.tell("flush");
}

#[test]
fn a_logout_in_an_outage() {
    let mut story = Story::new();
    let mut jar = story.member("ada");
    let mut old = jar.clone();
    story.wait(20 * SECOND);
    story.world.store.outage();
    story.visit(&mut jar, "a logout that cannot be stored", |it| {
        it.destroy();
        it.bind("bob", false);
        it.look();
    });
    story.visit(&mut jar, "the outage goes on", |it| {
        it.look();
        it.set("b", 2);
        it.bind("bob", true);
    });
    story.world.store.mend();
    story.visit(&mut jar, "the logout is finished", |it| {
        it.look();
        it.set("b", 2);
    });
    story.elsewhere();
    story.visit(&mut old, "the cookies of before", Visit::look);
    story.visit(&mut jar, "the next page", Visit::look);
    story.tell("logout-in-an-outage");
}

#[test]
fn purge() {
    let story = Story::with(Settings::default().with_purge(true));
    let mut jar = story.visitor();
    story.wait(2 * SECOND);
    story.visit(&mut jar, "a logout", Visit::destroy);
    story.tell("purge");
}

#[test]
fn exists_and_delete() {
    let mut story = Story::new();
    let mut jar = story.member("ada");
    let mut admin = story.visitor();
    let key = story.world.session_key(&jar).key();
    story.elsewhere();
    story.visit(&mut admin, "an administrator ends a session", |it| {
        let there = run(it.session.exists_key(&key));
        it.said("exists", there);
        let deleted = run(it.session.delete_key(&key));
        it.said("delete", deleted);
        let there = run(it.session.exists_key(&key));
        it.said("exists", there);
        let there = run(it.session.exists());
        it.said("exists, this one", there);
        let odd = run(it.session.delete_key(&common::forged_key()));
        it.said("delete of what is no key", odd);
    });
    story.visit(&mut jar, "it is over", Visit::look);
    story.tell("exists-and-delete");
}

// --- several locations ---------------------------------------------------------------------------

#[test]
fn read_your_writes() {
    let mut story = Story::new();
    story.world.store.lag();
    let mut jar = story.member("ada");
    story.elsewhere();
    story.visit(&mut jar, "where the store shows nothing yet", |it| {
        it.look();
        it.set("b", 2);
    });
    story.world.store.catch_up();
    story.elsewhere();
    story.visit(&mut jar, "and where it does", Visit::look);
    story.tell("read-your-writes");
}

#[test]
fn pending_and_gone() {
    let mut story = Story::with(without_overlay());
    story.world.store.lag();
    let mut jar = story.visitor();
    story.elsewhere();
    story.visit(&mut jar, "not there yet", |it| {
        it.look();
        it.set("b", 2);
        it.bind("ada", true);
    });
    story.visit(&mut jar, "a login that keeps nothing", |it| {
        it.bind("ada", false);
    });
    story.tell("pending");

    let mut story = Story::with(without_overlay());
    story.world.store.lag();
    let mut jar = story.visitor();
    story.elsewhere();
    story.wait(WINDOW);
    story.visit(&mut jar, "gone after W", |it| {
        it.look();
        it.set("b", 2);
    });
    story.tell("gone");
}

#[test]
fn stale() {
    let mut story = Story::with(without_overlay());
    let mut jar = story.visitor();
    story.world.store.lag();
    story.wait(HOUR);
    story.visit(&mut jar, "a save that is not seen elsewhere", |it| {
        it.set("a", 2)
    });
    story.elsewhere();
    story.visit(&mut jar, "an old copy", |it| {
        it.look();
        it.set("b", 2);
        it.cycle();
        it.bind("ada", true);
        it.save();
    });
    story.wait(WINDOW);
    story.visit(&mut jar, "the same after W", |it| {
        it.look();
        it.set("b", 2);
    });
    story.tell("stale");
}

#[test]
fn conflict() {
    let mut story = Story::new();
    let mut jar = story.visitor();
    let mut other = jar.clone();
    let record = story.world.session_key(&jar).record();
    let old = story.world.store.get(&record).unwrap();
    story.wait(5 * SECOND);
    story.visit(&mut jar, "a tab", |it| it.set("b", 1));
    let newer = story.world.store.get(&record).unwrap();
    story.world.store.set(&record, &old);
    story.elsewhere();
    story.visit(
        &mut other,
        "another, where the store shows an old copy",
        |it| it.set("c", 2),
    );
    story.wait(5 * SECOND);
    story.visit(
        &mut jar,
        "the first again, there: it joins both",
        Visit::look,
    );
    story.elsewhere();
    story.visit(&mut other, "and anywhere", Visit::look);
    story.world.store.set(&record, &newer);
    story.elsewhere();
    story.wait(5 * SECOND);
    story
        .world
        .store
        .fail(Kind::Put, 9, ConnectorErrorKind::Unavailable);
    story.visit(&mut other, "a repair that fails", Visit::look);
    story.world.store.mend();
    story.elsewhere();
    story.visit(
        &mut other,
        "one that does not, of a page that saves nothing",
        |it| {
            it.set("d", 4);
            let said = it.session.set_modified(false);
            it.said("set_modified false", said);
        },
    );
    story.tell("conflict");
}

#[test]
fn a_lost_record() {
    let mut story = Story::new();
    let mut jar = story.visitor();
    let record = story.world.session_key(&jar).record();
    story.world.store.remove(&record);
    story.elsewhere();
    story.wait(2 * SECOND);
    story.visit(&mut jar, "a page that finds its record lost", Visit::look);
    story.visit(&mut jar, "a change", |it| it.set("b", 2));
    story.tell("lost-record");
}

#[test]
fn rate_limited() {
    let mut story = Story::new();
    let mut jar = story.visitor();
    let limit = |story: &Story, times| {
        let kind = ConnectorErrorKind::RateLimited;
        story.world.store.fail(Kind::Put, times, kind);
    };
    limit(&story, 1);
    story.visit(&mut jar, "one 429", |it| it.set("b", 2));
    limit(&story, 99);
    story.visit(&mut jar, "429 for good", |it| it.set("b", 3));
    story.world.store.mend();
    story.elsewhere();
    story.wait(2 * SECOND);
    story.visit(&mut jar, "the next request puts it", Visit::look);
    story.tell("rate-limited");

    let story = Story::with(without_overlay());
    let mut jar = story.visitor();
    limit(&story, 1);
    story.visit(&mut jar, "one 429", |it| it.set("b", 2));
    limit(&story, 99);
    story.visit(&mut jar, "429 for good", |it| it.set("b", 3));
    story.tell("rate-limited-without-overlay");
}

#[test]
fn outage() {
    let mut story = Story::new();
    let mut jar = story.visitor();
    story.elsewhere();
    story.world.store.outage();
    story.visit(&mut jar, "a page that does not look", |_| {});
    story.visit(&mut jar, "a page that does", |it| {
        it.look();
        it.set("b", 2);
        it.bind("ada", true);
        it.save();
    });
    story.world.store.mend();
    let fail = |kind, times, error| story.world.store.fail(kind, times, error);
    fail(Kind::Put, 1, ConnectorErrorKind::Unavailable);
    story.visit(&mut jar, "one put fails", |it| it.set("b", 2));
    story.wait(2 * SECOND);
    fail(Kind::Put, 9, ConnectorErrorKind::Unavailable);
    story.visit(&mut jar, "all puts fail", |it| it.set("b", 3));
    story.world.store.mend();
    fail(Kind::Put, 9, ConnectorErrorKind::Quota);
    story.visit(&mut jar, "the quota is spent", |it| it.set("b", 4));
    story.world.store.mend();
    story.wait(2 * SECOND);
    story.world.store.fail_though_applied(Kind::Put, 9);
    story.visit(&mut jar, "applied, and reported as failed", |it| {
        it.set("b", 5)
    });
    story.world.store.mend();
    story.wait(20 * SECOND);
    story.visit(&mut jar, "afterwards", Visit::look);
    story.tell("outage");
}

// --- odd cookies ---------------------------------------------------------------------------------

#[test]
fn ambiguous() {
    let story = Story::new();
    let (one, two) = (story.visitor(), story.visitor());
    let both = || {
        let of = |jar: &Jar| format!("{KEY}={}", jar.value(KEY).unwrap());
        Head::cookie(format!("{}; {}", of(&one), of(&two)))
    };
    story.raw("two sessions", both(), |it| {
        it.look();
        it.set("b", 2);
        it.cycle();
        it.save();
    });
    story.raw("a login over both", both(), |it| it.bind("ada", true));
    story.raw("a logout of both", both(), Visit::destroy);
    story.tell("ambiguous");
}

#[test]
fn rejected() {
    let story = Story::with(Settings::default().with_max_cookie_header_bytes(8_192));
    story.raw(
        "a forged cookie",
        Head::cookie(format!("{KEY}=forged")),
        |it| {
            it.look();
            it.set("a", 1);
        },
    );
    let large = format!("{KEY}=forged; x={}", "x".repeat(9_000));
    story.raw("a header that is too large", Head::cookie(large), |it| {
        it.look();
        it.set("a", 1);
        it.save();
        it.bind("ada", true);
    });
    story.raw("a form on another site", Head::cross_site("POST"), |it| {
        it.set("a", 1);
        it.look();
    });
    story.tell("rejected");
}

#[test]
fn corrupt() {
    let mut story = Story::new();
    let mut jar = story.visitor();
    jar.forget(FRESH);
    let record = story.world.session_key(&jar).record();
    story.world.store.set(&record, "not a record");
    story.elsewhere();
    story.visit(&mut jar, "a record that does not open", |it| {
        it.look();
        it.set("b", 2);
    });
    story.tell("corrupt");
}

// --- ends ----------------------------------------------------------------------------------------

#[test]
fn expiry() {
    let mut story = Story::new();
    let mut jar = story.visitor();
    story.wait(2 * SECOND);
    story.visit(&mut jar, "an end of its own", |it| {
        it.expire("After(600)", 600);
        it.look();
    });
    story.wait(2 * SECOND);
    story.visit(&mut jar, "the browser's end", |it| {
        it.expire("BrowserClose", 0);
        it.look();
    });
    story.wait(2 * SECOND);
    story.visit(&mut jar, "an idle time", |it| {
        it.expire("Idle(300)", Duration::from_secs(300));
        it.look();
    });
    story.wait(2 * SECOND);
    story.visit(&mut jar, "an end in the past", |it| {
        it.expire("After(-5)", -5)
    });
    story.elsewhere();
    let mut slow = story.begin("a slow page", jar.head(story.world.now()), true);
    story.wait(400 * SECOND);
    slow.set("b", 2);
    slow.save();
    slow.expire("After(60)", 60);
    slow.look();
    story.answer(&mut jar, slow, 200);
    story.wait(61 * SECOND);
    story.visit(&mut jar, "its end has passed", |it| {
        it.look();
        it.set("c", 3);
    });
    story.tell("expiry");
}

#[test]
fn idle() {
    let mut story = Story::with(Settings::default().with_idle_timeout(seconds(600)));
    let mut jar = story.visitor();
    story.elsewhere();
    story.wait(20 * SECOND);
    story.visit(&mut jar, "before a twentieth of it", |_| {});
    story.wait(20 * SECOND);
    story.visit(&mut jar, "after a twentieth", |_| {});
    story.lazy(&mut jar, "nobody loads", |_| {});
    story.wait(599 * SECOND);
    story.visit(&mut jar, "the last moment", Visit::look);
    story.wait(600 * SECOND);
    story.visit(&mut jar, "idle for too long", Visit::look);
    story.tell("idle");
}

#[test]
fn at_browser_close() {
    let story = Story::with(
        Settings::default()
            .with_expire_at_browser_close(true)
            .with_idle_timeout(seconds(600)),
    );
    let mut jar = story.visitor();
    story.wait(60 * SECOND);
    story.visit(&mut jar, "cookies without an age", Visit::look);
    story.tell("at-browser-close");
}

// --- the sessions of an owner --------------------------------------------------------------------

#[test]
fn owners() {
    let mut story = Story::new();
    let mut phone = story.member("ada");
    story.wait(SECOND);
    let mut laptop = story.member("ada");
    story.wait(SECOND);
    let mut tablet = story.member("ada");
    let lost = story.world.session_key(&phone).key();
    story.elsewhere();
    story.wait(2 * SECOND);
    story.visit(&mut laptop, "lists, and ends one", |it| {
        it.list("ada");
        it.revoke("ada", &lost);
        it.revoke("bob", &lost);
        it.list("ada");
    });
    story.visit(&mut phone, "the one that was ended", Visit::look);
    story.wait(2 * SECOND);
    story.visit(&mut laptop, "ends all others", |it| {
        let key = it.key();
        it.revoke_all("ada", Some(&key));
        it.list("ada");
    });
    story.elsewhere();
    story.visit(&mut tablet, "one of the others", Visit::look);
    story.visit(&mut laptop, "this one", Visit::look);
    story.wait(2 * SECOND);
    story.visit(&mut laptop, "a new password", |it| {
        it.revoke_all("ada", None);
        it.bind("ada", true);
        it.look();
    });
    story.elsewhere();
    story.visit(&mut laptop, "still logged in", Visit::look);
    story.tell("owners");
}

#[test]
fn at_most_so_many() {
    let mut story = Story::with(Settings::default().with_max_per_owner(2));
    let mut first = story.member("ada");
    story.wait(SECOND);
    let mut second = story.member("ada");
    story.wait(SECOND);
    let _third = story.member("ada");
    story.elsewhere();
    story.visit(&mut first, "the first", Visit::look);
    story.visit(&mut second, "the second", Visit::look);
    story.tell("max-per-owner");
}

// --- settings ------------------------------------------------------------------------------------

#[test]
fn plain_records() {
    let mut story = Story::with(Settings::default().with_seal(false));
    let mut jar = story.member("ada");
    story.elsewhere();
    story.wait(2 * SECOND);
    story.visit(&mut jar, "reads and changes", |it| {
        it.look();
        it.set("b", 2);
    });
    story.tell("plain-records");
}

#[test]
fn no_overlay() {
    let mut story = Story::with(without_overlay());
    let mut jar = story.visitor();
    story.elsewhere();
    story.wait(2 * SECOND);
    story.visit(&mut jar, "reads and changes", |it| {
        it.look();
        it.set("b", 2);
    });
    story.tell("no-overlay");

    let story = Story::new();
    let mut jar = Jar::new();
    story.visit(&mut jar, "too large for a cookie", |it| {
        it.set("pad", "x".repeat(3_000));
    });
    story.tell("too-large-for-an-overlay");
}

#[test]
fn other_settings() {
    let settings = Settings::default()
        .with_cookie_name("__Secure-id")
        .with_cookie_path("/shop")
        .with_cookie_domain("example.com")
        .with_cookie_same_site(edge_session::SameSite::None)
        .with_cookie_partitioned(true)
        .with_cookie_age(seconds(1_000))
        .with_key_prefix("app:")
        .with_isolate_cache_ttl(seconds(0))
        .with_server_timing(true);
    let story = Story::with(settings);
    let mut jar = Jar::new();
    story.visit(&mut jar, "sets", |it| it.set("a", 1));
    story.wait(2 * SECOND);
    story.visit(&mut jar, "reads", Visit::look);
    story.visit(&mut jar, "a logout", Visit::destroy);
    story.tell("other-settings");
}
