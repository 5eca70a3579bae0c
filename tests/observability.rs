//! The operations of one request in `Server-Timing`, and those of an isolate in `Sessions::stats`.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::cell::RefCell;
use std::rc::Rc;

use crate::common::*;
use edge_session::connector::ConnectorErrorKind;
use edge_session::{
    CommitHeaders, Event, EventSink, Isolate, Outcome, SessionStore, Settings, Stats,
};

fn timed() -> World {
    World::with(
        Settings::default()
            .with_server_timing(true)
            .with_isolate_cache_ttl(seconds(0)),
    )
}

/// The time, and the numbers of get, keys, put, delete and list.
fn measured(headers: &CommitHeaders) -> (u32, [usize; 5]) {
    let text = headers.server_timing().unwrap();
    let rest = text.strip_prefix("session;dur=").unwrap();
    let (time, rest) = rest.split_once(";desc=\"").unwrap();
    let words: Vec<&str> = rest.strip_suffix('"').unwrap().split(' ').collect();
    let names: Vec<&str> = words.iter().step_by(2).copied().collect();
    assert_eq!(names, ["get", "keys", "put", "delete", "list"]);
    let numbers: Vec<usize> = words
        .iter()
        .skip(1)
        .step_by(2)
        .map(|n| n.parse().unwrap())
        .collect();
    (time.parse().unwrap(), numbers.try_into().unwrap())
}

#[test]
fn server_timing_tells_what_the_request_asked_of_the_store() {
    let world = timed();
    let mut session = world.load(Head::default());
    session.set("a", 1).unwrap();
    let headers = world.commit(&mut session);
    assert_eq!(
        headers.server_timing(),
        Some(r#"session;dur=0;desc="get 0 keys 0 put 1 delete 0 list 0""#)
    );
    let mut jar = Jar::new();
    jar.receive(world.now(), headers.set_cookie());

    // A read asks for the record and one marker in one round trip; a logout puts two markers.
    let mut session = world.open(&jar);
    session.get::<i32>("a").unwrap();
    assert_eq!(measured(&world.commit(&mut session)), (0, [1, 2, 0, 0, 0]));
    let mut session = world.open(&jar);
    run(session.destroy()).unwrap();
    assert_eq!(measured(&world.commit(&mut session)), (0, [1, 2, 2, 0, 0]));
}

#[test]
fn server_timing_counts_what_a_handler_asks_beside_its_session() {
    let settings = Settings::default()
        .with_server_timing(true)
        .with_isolate_cache_ttl(seconds(0));
    let world = edge_session::testing::World::new(settings);
    let sessions = world.sessions();
    let mut browser = world.browser();
    run(browser.handle(async |session| session.bind("ada"))).unwrap();
    assert_eq!(measured(browser.headers()).1[4], 0);
    let mut other = browser.clone();
    let page = async |session: &mut SessionStore| {
        let owner = session.owner()?.unwrap().to_owned();
        sessions.list(&owner).await
    };
    run(async {
        // Two requests at once, of which one lists.
        let listing = browser.handle(page);
        let reading = other.handle(async |session| session.owner().map(|_| ()));
        let (listed, read) = futures_util::future::join(listing, reading).await;
        assert_eq!(listed.unwrap().len(), 1);
        read.unwrap();
    });
    assert_eq!(measured(browser.headers()).1[4], 1);
    assert_eq!(measured(other.headers()).1[4], 0);
    let page = async |session: &mut SessionStore| {
        session.owner()?;
        sessions.revoke_all("ada").await
    };
    run(browser.handle(page)).unwrap();
    assert_eq!(measured(browser.headers()).1[4], 1, "it lists what it ends");
}

#[test]
fn server_timing_is_of_one_request() {
    let world = timed();
    let (ada, bob) = (world.visitor(), world.visitor());
    let mut first = world.open(&ada);
    let mut second = world.open(&bob);
    first.set("a", 2).unwrap();
    second.get::<i32>("a").unwrap();
    assert_eq!(measured(&world.commit(&mut second)).1, [1, 2, 0, 0, 0]);
    assert_eq!(measured(&world.commit(&mut first)).1, [1, 2, 1, 0, 0]);
}

#[test]
fn server_timing_is_the_time_that_was_waited_pauses_included() {
    let world = timed();
    let jar = world.visitor();
    world
        .store
        .fail(Kind::Read, 2, ConnectorErrorKind::Unavailable);
    let before = world.now();
    let mut session = world.open(&jar);
    let waited = world.now() - before;
    assert!(waited > 0);
    // The application's own work does not count.
    world.advance(5 * SECOND);
    session.get::<i32>("a").unwrap();
    let (time, counts) = measured(&world.commit(&mut session));
    assert_eq!((i64::from(time), counts), (waited, [3, 6, 0, 0, 0]));
}

#[test]
fn a_store_that_fails_leaves_a_line_on_the_console_and_then_one_a_minute() {
    let world = timed();
    let jar = world.visitor();
    let fail = || {
        world
            .store
            .fail(Kind::Read, 3, ConnectorErrorKind::Unavailable);
        let session = world.open(&jar);
        assert!(session.get::<i32>("a").is_err());
    };
    fail();
    let lines = world.runtime.take_warnings();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(
        lines[0].starts_with("edge-session: unavailable: "),
        "{lines:?}"
    );
    for _ in 0..2 {
        fail();
    }
    assert!(world.runtime.take_warnings().is_empty());
    world.advance(60_000);
    fail();
    let again = format!("{} (2 more since the last line about this)", lines[0]);
    assert_eq!(world.runtime.take_warnings(), [again]);

    // Calls without a session count too.
    world.store.fail(Kind::List, 1, ConnectorErrorKind::Quota);
    assert!(run(world.sessions.list("ada")).is_err());
    let lines = world.runtime.take_warnings();
    assert!(lines[0].starts_with("edge-session: quota: "), "{lines:?}");

    // A failure that a retry repairs is not reported.
    world
        .store
        .fail(Kind::Read, 1, ConnectorErrorKind::Unavailable);
    assert!(world.open(&jar).get::<i32>("a").is_ok());
    assert!(world.runtime.take_warnings().is_empty());
}

#[test]
fn nothing_is_said_of_a_failure_where_warnings_are_disabled() {
    let world = World::with(Settings::default().with_disable_warnings(true));
    world.store.fail(Kind::List, 1, ConnectorErrorKind::Quota);
    assert!(run(world.sessions.list("ada")).is_err());
    assert!(world.runtime.take_warnings().is_empty());
}

#[test]
fn an_answer_that_does_not_depend_on_the_session_has_no_server_timing() {
    let world = timed();
    let jar = world.visitor();
    let mut session = world.open(&jar);
    assert_eq!(world.commit(&mut session).server_timing(), None);
    // Without the setting there is no header.
    let world = World::new();
    let mut session = world.load(Head::default());
    session.set("a", 1).unwrap();
    assert_eq!(world.commit(&mut session).server_timing(), None);
}

#[test]
fn stats_count_what_the_store_was_asked() {
    let world = World::new();
    assert_eq!(world.sessions.stats(), Stats::default());
    let mut jar = world.visitor();
    world.visit(&mut jar, |session| session.get::<i32>("a").unwrap());
    world.visit(&mut jar, |session| session.get::<i32>("a").unwrap());
    let stats = world.sessions.stats();
    assert_eq!(
        (stats.requests, stats.puts, stats.reads, stats.keys_read),
        (3, 1, 1, 2)
    );
    assert_eq!((stats.store_loads, stats.table_loads), (1, 1));
    assert_eq!(
        (stats.outcome(Outcome::New), stats.outcome(Outcome::Loaded)),
        (1, 2)
    );
    assert_eq!((stats.table_entries, stats.wasm_bytes), (1, 0));
    assert!(stats.table_bytes > 0);

    let forged = format!("{KEY}=AAAA");
    world.load(Head::cookie(forged));
    world.store.outage();
    world.advance(MINUTE);
    let session = world.open(&jar);
    assert_eq!(session.outcome().unwrap(), Outcome::Unavailable);
    let later = world.sessions.stats();
    assert_eq!(
        (
            later.outcome(Outcome::Rejected),
            later.outcome(Outcome::Unavailable)
        ),
        (1, 1)
    );
    assert_eq!((later.reads, later.retries), (stats.reads + 3, 2));
}

#[test]
fn stats_count_lists_deletes_and_conflicts() {
    let world = World::with(Settings::default().with_purge(true));
    let mut jar = world.member("ada");
    run(world.sessions.list("ada")).unwrap();
    world.visit(&mut jar, |session| run(session.destroy()).unwrap());
    let stats = world.sessions.stats();
    assert_eq!((stats.lists, stats.deletes), (1, 1));

    // Two isolates write the same version without having seen each other.
    let here = World::new();
    let there = here.elsewhere();
    let mut jar = here.visitor();
    here.store.lag();
    let mut other = jar.clone();
    there.visit(&mut other, |session| session.set("b", 2).unwrap());
    here.visit(&mut jar, |session| session.set("c", 3).unwrap());
    here.store.catch_up();
    here.advance(20 * SECOND);
    let session = there.open(&other);
    assert_eq!(session.outcome().unwrap(), Outcome::Loaded);
    assert_eq!(
        here.sessions.stats().conflicts + there.sessions.stats().conflicts,
        1
    );
}

#[test]
fn sessions_of_one_isolate_count_together() {
    let isolate = Isolate::new();
    let world = World::new();
    let first = world.sessions.clone().with_isolate(&isolate, "first");
    let second = world.sessions.clone().with_isolate(&isolate, "second");
    run(first.load(Head::default()));
    run(second.load(Head::default()));
    assert_eq!((first.stats().requests, first.stats()), (2, second.stats()));
    assert_eq!(world.sessions.stats().requests, 0);
}

#[derive(Clone, Default)]
struct Log(Rc<RefCell<Vec<Event>>>);

impl EventSink for Log {
    fn event(&self, event: &Event) {
        self.0.borrow_mut().push(event.clone());
    }
}

#[test]
fn a_sink_is_told_the_life_of_a_session() {
    let mut world = World::new();
    let log = Log::default();
    world.sessions = world.sessions.with_events(log.clone());
    let mut jar = world.visitor();
    world.visit(&mut jar, |session| session.cycle_key().unwrap());
    world.visit(&mut jar, |session| run(session.destroy()).unwrap());
    let events = log.0.take();
    let kinds: Vec<&str> = events.iter().map(|event| event.kind.as_str()).collect();
    assert_eq!(
        kinds,
        ["created", "loaded", "cycled", "loaded", "destroyed"]
    );
    assert!(events.iter().all(|event| ms(event.at) == world.now()));
    // The same name before and after the rotation.
    assert!(
        events
            .iter()
            .all(|event| event.session == events[0].session)
    );
}

/// Fills an isolate with sessions of 200 tenants, each under a prefix of its own.
fn tenants(sessions_each: usize, value: &str) -> Stats {
    let world = World::new();
    let isolate = Isolate::new();
    let mut stats = Stats::default();
    for tenant in 0..200 {
        let settings = Settings::default().with_key_prefix(format!("tenant-{tenant}."));
        let here = world.reconfigured(SECRET, settings);
        let sessions = here.sessions.clone().with_isolate(&isolate, "SESSIONS");
        let here = World { sessions, ..here };
        let mut last = Jar::new();
        for _ in 0..sessions_each {
            let mut session = here.load(Head::default());
            session.set("a", value).unwrap();
            last = Jar::new();
            last.receive(here.now(), here.commit(&mut session).set_cookie());
        }
        let before = here.sessions.stats();
        here.open(&last);
        stats = here.sessions.stats();
        assert_eq!(
            stats.table_loads, before.table_loads,
            "markers are to be read once"
        );
        here.open(&last);
        stats = here.sessions.stats();
        assert_eq!(
            stats.table_loads,
            before.table_loads + 1,
            "the last one is remembered"
        );
        assert!(
            stats.table_bytes <= 4 * 1024 * 1024,
            "{} bytes",
            stats.table_bytes
        );
        assert!(
            stats.table_entries <= 7_000,
            "{} sessions",
            stats.table_entries
        );
    }
    stats
}

#[test]
fn stats_what_an_isolate_remembers_is_bounded_over_all_its_prefixes() {
    let stats = tenants(2, &"x".repeat(25_000));
    assert!(
        stats.table_bytes > 1024 * 1024,
        "{} bytes",
        stats.table_bytes
    );
    let stats = tenants(36, "x");
    assert!(
        stats.table_entries > 3_000,
        "{} sessions",
        stats.table_entries
    );
}
