//! Listing and ending the sessions of a user.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use crate::common::*;
use edge_session::connector::{
    ConnectorError, ConnectorErrorKind, Page, PutOptions, ReadOptions, SessionConnector,
};
use edge_session::{
    ErrorCode, Event, EventSink, Isolate, Keep, Outcome, SecretRing, SessionError, SessionKey,
    SessionStore, Sessions, Settings,
};
use futures_util::future::{FutureExt as _, LocalBoxFuture};

fn outcome(world: &World, jar: &Jar) -> Outcome {
    world.elsewhere().open(jar).outcome().unwrap()
}

fn is_alive(world: &World, jar: &Jar) -> bool {
    outcome(world, jar) == Outcome::Loaded
}

#[test]
fn every_session_of_a_user_can_be_ended_at_once() {
    let world = World::new();
    let jars: Vec<Jar> = (0..5).map(|_| world.member("ada")).collect();
    let (other, anonymous) = (world.member("grace"), world.visitor());
    world.advance(3 * SECOND);
    run(world.sessions.revoke_all("ada")).unwrap();
    for jar in &jars {
        assert_eq!(outcome(&world, jar), Outcome::Revoked);
    }
    assert!(is_alive(&world, &other) && is_alive(&world, &anonymous));
}

#[test]
fn a_session_too_new_to_be_listed_is_ended_too() {
    let world = World::new();
    let jar = world.member("ada");
    let name = world.session_key(&jar).record();
    // The listing does not show it yet; the browser has a copy.
    let record = world.store.get(&name).unwrap();
    world.store.remove(&name);
    run(world.sessions.revoke_all("ada")).unwrap();
    world.store.set(&name, &record);
    assert_eq!(outcome(&world, &jar), Outcome::Revoked);
}

#[test]
fn every_other_session_can_be_ended_and_one_kept() {
    let world = World::new();
    let jars: Vec<Jar> = (0..4).map(|_| world.member("ada")).collect();
    let kept = world.session_key(&jars[2]).key();
    world.advance(3 * SECOND);
    run(world.sessions.revoke_all_except("ada", &kept)).unwrap();
    let alive: Vec<bool> = jars.iter().map(|jar| is_alive(&world, jar)).collect();
    assert_eq!(alive, [false, false, true, false]);
}

#[test]
fn a_login_after_the_end_of_all_stays_logged_in() {
    let world = World::new();
    let mut jar = world.member("ada");
    run(world.sessions.revoke_all("ada")).unwrap();
    world.visit(&mut jar, |session| {
        session.bind_with("ada", Keep::Nothing).unwrap()
    });
    assert!(is_alive(&world, &jar));
}

/// Session keys are safe to log, so anybody may know several and combine their parts.
#[test]
fn a_session_key_of_parts_of_several_ends_nothing() {
    let world = World::new();
    let mallory = world.session_key(&world.member("mallory"));
    for jar in [world.member("ada"), world.visitor()] {
        let ada = world.session_key(&jar);
        world.store.take_log();
        for tag in [&mallory.tag, &ada.tag, &"A".repeat(22)] {
            for owner in [&mallory.owner, &ada.owner] {
                let (lineage, derived) = (&ada.lineage, &ada.derived);
                let spliced = format!("{owner}.{lineage}.{derived}.{tag}");
                let spliced: SessionKey = spliced.parse().unwrap();
                if spliced == ada.key() {
                    continue;
                }
                let refused = Some(ErrorCode::NotFound);
                let sessions = &world.sessions;
                let revoked = run(sessions.revoke("mallory", &spliced));
                assert_eq!(code(revoked), refused, "{spliced}");
                let spared = run(sessions.revoke_all_except("mallory", &spliced));
                assert_eq!(code(spared), refused, "{spliced}");
                let mut session = world.load(Head::default());
                assert!(!run(session.exists_key(&spliced)).unwrap(), "{spliced}");
                let deleted = run(session.delete_key(&spliced));
                assert_eq!(code(deleted), refused, "{spliced}");
            }
        }
        assert_eq!(world.store.operations(), 0, "nothing is read or written");
        assert!(is_alive(&world.elsewhere(), &jar));
    }
}

/// While a secret is being replaced, a session may have a record under each.
#[test]
fn a_session_that_goes_from_one_secret_to_another_counts_once() {
    let world = World::new();
    let mut jar = world.member("ada");
    let old = world.session_key(&jar);
    let settings = Settings::default().with_max_per_owner(2);
    let isolate = || world.reconfigured(&format!("{OTHER_SECRET},{SECRET}"), settings.clone());
    let rolling = isolate();
    world.advance(3 * SECOND);
    rolling.visit(&mut jar, |session| session.cycle_key().unwrap());
    // A location that does not show the marker of the old key yet.
    world.store.remove(&old.dead_key());
    let there = isolate();
    assert_eq!(run(there.sessions.list("ada")).unwrap().len(), 1);
    let mut other = Jar::new();
    there.visit(&mut other, |session| session.bind("ada").unwrap());
    for jar in [&jar, &other] {
        assert_eq!(isolate().open(jar).outcome().unwrap(), Outcome::Loaded);
    }
}

/// `revoke_all("")` would put a marker for a user who cannot exist.
#[test]
fn no_user_has_an_empty_or_overlong_id() {
    let world = World::new();
    let key = world.session_key(&world.member("ada")).key();
    world.store.take_log();
    let (longest, overlong) = ("x".repeat(1024), "x".repeat(1025));
    for owner in ["", &overlong] {
        let invalid = Some(ErrorCode::InvalidValue);
        let sessions = &world.sessions;
        assert_eq!(code(run(sessions.list(owner))), invalid);
        assert_eq!(code(run(sessions.revoke(owner, &key))), invalid);
        assert_eq!(code(run(sessions.revoke_all(owner))), invalid);
        assert_eq!(code(run(sessions.revoke_all_except(owner, &key))), invalid);
    }
    assert_eq!(world.store.operations(), 0, "nothing is read or written");
    run(world.sessions.revoke_all(&longest)).unwrap();
}

#[test]
fn a_user_ends_one_session_by_its_public_key_and_only_his_own() {
    let world = World::new();
    let (laptop, phone) = (world.member("ada"), world.member("ada"));
    let key = world.session_key(&phone).key();
    let foreign = run(world.sessions.revoke("grace", &key));
    assert_eq!(code(foreign), Some(ErrorCode::NotFound));
    for bad in ["", "x", "-.a.b", &key.as_str()[1..], &format!("{key}x")] {
        let refused = bad.parse::<SessionKey>();
        assert_eq!(code(refused), Some(ErrorCode::NotFound), "{bad}");
    }
    assert!(is_alive(&world, &phone));
    run(world.sessions.revoke("ada", &key)).unwrap();
    assert_eq!(outcome(&world, &phone), Outcome::Revoked);
    assert!(is_alive(&world, &laptop));
}

#[test]
fn a_list_shows_one_entry_a_session_and_nothing_that_opens_one() {
    let world = World::new();
    let mut jar = world.member("ada");
    let anonymous = Jar::new();
    for place in ["CH", "FR"] {
        world.advance(SECOND);
        let mut session = world.load(Head {
            cookie: jar.header(world.now()),
            user_agent: Some("Browser/1".into()),
            place: Some(place.into()),
            ..Head::default()
        });
        session.cycle_key().unwrap();
        let headers = world.commit(&mut session);
        jar.receive(world.now(), headers.set_cookie());
    }
    let listed = run(world.sessions.list("ada")).unwrap();
    assert_eq!(listed.len(), 1);
    let entry = &listed[0];
    assert_eq!(entry.key, world.session_key(&jar).key());
    assert_eq!(entry.user_agent.as_deref(), Some("Browser/1"));
    assert_eq!(entry.place.as_deref(), Some("FR"));
    assert_eq!(
        (ms(entry.created), ms(entry.last_written)),
        (START, START + 2 * SECOND)
    );
    // A session key sent as a cookie, whole or in part, opens nothing.
    let key = entry.key.as_str();
    for part in key.split('.').chain([key]) {
        let mut forger = anonymous.clone();
        forger.put(KEY, part);
        assert_eq!(outcome(&world, &forger), Outcome::Rejected);
    }
    run(world.sessions.revoke_all("ada")).unwrap();
    assert_eq!(run(world.sessions.list("ada")).unwrap(), []);
}

#[test]
fn user_agent_and_place_are_shown_and_decide_nothing() {
    let world = World::new();
    let jar = world.member("ada");
    for (user_agent, place) in [(None, None), (Some("Other/2"), Some("JP"))] {
        let session = world.load(Head {
            cookie: jar.header(world.now()),
            user_agent: user_agent.map(str::to_owned),
            place: place.map(str::to_owned),
            ..Head::default()
        });
        assert_eq!(session.outcome().unwrap(), Outcome::Loaded);
        assert_eq!(session.owner().unwrap(), Some("ada"));
    }
}

#[test]
fn the_browser_is_stored_with_its_users_sessions_only() {
    let world = World::with(Settings::default().with_seal(false));
    let mut jar = Jar::new();
    let mut visit = |use_it: fn(&mut SessionStore)| {
        let mut session = world.load(Head {
            cookie: jar.header(world.now()),
            user_agent: Some("Browser/1".into()),
            place: Some("CH".into()),
            ..Head::default()
        });
        use_it(&mut session);
        let headers = world.commit(&mut session);
        jar.receive(world.now(), headers.set_cookie());
        world.store.get(&world.session_key(&jar).record()).unwrap()
    };
    let anonymous = visit(|session| session.set("a", 1).unwrap());
    assert!(
        !anonymous.contains("Browser/1") && !anonymous.contains("CH"),
        "{anonymous}"
    );
    for owned in [
        visit(|session| session.bind("ada").unwrap()),
        visit(|session| session.set("a", 2).unwrap()),
    ] {
        assert!(
            owned.contains("Browser/1") && owned.contains("CH"),
            "{owned}"
        );
    }
}

#[test]
fn over_the_limit_the_oldest_session_ends() {
    let world = World::with(Settings::default().with_max_per_owner(2));
    let mut jars = Vec::new();
    for _ in 0..4 {
        world.advance(MINUTE);
        jars.push(world.member("ada"));
    }
    let alive: Vec<bool> = jars.iter().map(|jar| is_alive(&world, jar)).collect();
    assert_eq!(alive, [false, false, true, true]);
    let without = World::new();
    let jars: Vec<Jar> = (0..4).map(|_| without.member("ada")).collect();
    assert!(jars.iter().all(|jar| is_alive(&without, jar)));
}

// --- with more sessions than one invocation can end ----------------------------------------------

/// A store that accepts one write per second and key and a limited number of operations per
/// request, and lists small pages.
#[derive(Clone)]
struct Narrow {
    inner: TestStore,
    clock: edge_session::connector::ManualClock,
    left: Rc<Cell<usize>>,
    page: usize,
    /// The duration of a put, in milliseconds.
    put_takes: i64,
    /// The cache of its location, including absent keys, and until when each entry is used.
    cached: Option<Cache>,
    written: Rc<RefCell<BTreeMap<String, i64>>>,
    /// Every put that was called, and the cursor of every listing.
    puts: Rc<RefCell<Vec<String>>>,
    cursors: Rc<RefCell<Vec<Option<String>>>>,
}

type Cache = Rc<RefCell<BTreeMap<String, (Option<String>, i64)>>>;

impl Narrow {
    fn over(world: &World, page: usize) -> (Self, Sessions) {
        let narrow = Self {
            inner: world.store.clone(),
            clock: world.clock.clone(),
            left: Rc::new(Cell::new(0)),
            page,
            put_takes: 0,
            cached: None,
            written: Rc::default(),
            puts: Rc::default(),
            cursors: Rc::default(),
        };
        narrow.next_request();
        let sessions = narrow.isolate(world);
        (narrow, sessions)
    }

    /// The sessions of another isolate in the same location.
    fn isolate(&self, world: &World) -> Sessions {
        let ring = SecretRing::parse(SECRET).unwrap();
        let (connector, runtime) = (Rc::new(self.clone()), world.runtime.clone());
        Sessions::builder(connector, ring)
            .runtime(runtime)
            .build()
            .unwrap()
    }

    /// Another location with its own cache, where a put takes time.
    fn location(&self) -> Self {
        Self {
            put_takes: 10,
            cached: Some(Cache::default()),
            ..self.clone()
        }
    }

    fn next_request(&self) {
        self.left.set(1_000);
        self.puts.take();
        self.cursors.take();
    }

    fn take(&self) -> Result<(), ConnectorError> {
        let left = self.left.get();
        self.left.set(left.saturating_sub(1));
        if left == 0 {
            let said = "Too many API requests by single Worker invocation.";
            return Err(ConnectorError::new(ConnectorErrorKind::Quota, said));
        }
        Ok(())
    }

    fn write(&self, key: &str) -> Result<(), ConnectorError> {
        self.take()?;
        let now = self.clock.now();
        let mut written = self.written.borrow_mut();
        match written.get(key) {
            Some(at) if now < at + SECOND => {
                let kind = ConnectorErrorKind::RateLimited;
                Err(ConnectorError::new(kind, "one write a second"))
            }
            _ => {
                written.insert(key.to_owned(), now);
                Ok(())
            }
        }
    }

    /// How often a put of each marker of a session was called.
    fn most_puts_of_a_marker(&self) -> usize {
        let mut times: BTreeMap<String, usize> = BTreeMap::new();
        for name in self.puts.borrow().iter() {
            if name.starts_with("k.") || name.starts_with("l.") {
                *times.entry(name.clone()).or_default() += 1;
            }
        }
        times.into_values().max().unwrap_or(0)
    }
}

impl SessionConnector for Narrow {
    fn read<'a>(
        &'a self,
        keys: &'a [&'a str],
        options: ReadOptions,
    ) -> LocalBoxFuture<'a, Result<Vec<Option<String>>, ConnectorError>> {
        Box::pin(async move {
            assert!(keys.len() <= 100, "{} keys in one read", keys.len());
            self.take()?;
            let values = self.inner.read(keys, options).await?;
            let Some(cached) = &self.cached else {
                return Ok(values);
            };
            let now = self.clock.now();
            let seconds = i64::from(options.cache_ttl.unwrap_or(60).max(30));
            let mut cached = cached.borrow_mut();
            cached.retain(|_, (_, until)| now < *until);
            let shown = keys.iter().zip(values).map(|(key, value)| {
                let fresh = (value, now + seconds * SECOND);
                cached.entry((*key).to_owned()).or_insert(fresh).0.clone()
            });
            Ok(shown.collect())
        })
    }

    fn put<'a>(
        &'a self,
        key: &'a str,
        value: &'a str,
        options: PutOptions,
    ) -> LocalBoxFuture<'a, Result<(), ConnectorError>> {
        Box::pin(async move {
            self.write(key)?;
            self.clock.advance(self.put_takes);
            self.puts.borrow_mut().push(key.to_owned());
            self.inner.put(key, value, options).await
        })
    }

    fn delete<'a>(&'a self, key: &'a str) -> LocalBoxFuture<'a, Result<(), ConnectorError>> {
        Box::pin(async move {
            self.write(key)?;
            self.inner.delete(key).await
        })
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        cursor: Option<&'a str>,
    ) -> LocalBoxFuture<'a, Result<Page, ConnectorError>> {
        Box::pin(async move {
            self.take()?;
            // A listing takes a second, after which the same key can be written again.
            self.clock.advance(SECOND);
            self.cursors.borrow_mut().push(cursor.map(str::to_owned));
            let mut page = self.inner.list(prefix, cursor).await?;
            if page.keys.len() > self.page {
                page.keys.truncate(self.page);
                // The cursor of the inner store is the last key of a page.
                page.cursor = page.keys.last().map(|key| key.name.clone());
            }
            Ok(page)
        })
    }
}

fn lineages(world: &World, kind: &str) -> BTreeSet<String> {
    let names = world.store.names_of(kind).into_iter();
    names.map(|name| name[2..].to_owned()).collect()
}

#[test]
fn six_hundred_logins_end_in_two_calls_each_marker_put_once() {
    let world = World::new();
    let jars: Vec<Jar> = (0..600).map(|_| world.member("ada")).collect();
    let spared = world.session_key(&jars[0]);
    let marker = spared.owner_marker();
    let progress = marker.replacen("o.", "p.", 1);
    world.advance(HOUR);

    let (narrow, sessions) = Narrow::over(&world, 100);
    let called = world.now();
    let first = run(sessions.revoke_all_except("ada", &spared.key()));
    assert_eq!(code(first), Some(ErrorCode::Quota));
    let stands = world.store.get(&marker).unwrap();
    assert!(stands.contains(&format!(" o {}", called + 2 * SECOND)));
    assert_eq!(narrow.puts.borrow()[0], marker, "before anything else");
    assert_eq!(narrow.most_puts_of_a_marker(), 1);
    let ended = lineages(&world, "l.");
    assert!((400..599).contains(&ended.len()), "{}", ended.len());
    let began_at = world.store.get(&progress).unwrap();
    assert_eq!(outcome(&world, &jars[599]), Outcome::Revoked);

    // New logins, some of which are listed before the point where the next call continues.
    world.advance(HOUR);
    let between: Vec<Jar> = (0..20).map(|_| world.member("ada")).collect();
    world.advance(HOUR);
    let after_it = world.elsewhere();
    narrow.next_request();
    run(sessions.revoke_all("ada")).unwrap();
    let cursors = narrow.cursors.take();
    assert!(cursors[0].is_some(), "not from the start");
    assert!(cursors.contains(&None), "and what came before, once more");
    assert_eq!(narrow.most_puts_of_a_marker(), 1);
    let again = narrow
        .puts
        .borrow()
        .iter()
        .filter(|it| ended.contains(&it[2..]))
        .count();
    assert_eq!(again, 0, "what the first call has ended is left out");
    assert_eq!(lineages(&world, "l.").len(), 620);
    assert!(lineages(&world, "k.").is_superset(&lineages(&world, "l.")));
    assert_ne!(world.store.get(&progress), Some(began_at));
    // No later owner marker revives one, whichever it spares, because each has its own markers.
    world.store.remove(&marker);
    for jar in jars.iter().step_by(50).chain(&between) {
        assert_eq!(outcome(&after_it.elsewhere(), jar), Outcome::Revoked);
    }

    // A third call starts from the beginning and finds nothing to do.
    narrow.next_request();
    world.advance(HOUR);
    run(sessions.revoke_all("ada")).unwrap();
    let cursors = narrow.cursors.take();
    assert_eq!(cursors.iter().position(Option::is_none), Some(0));
    assert_eq!(cursors.iter().filter(|it| it.is_none()).count(), 1);
    narrow.puts.borrow_mut().retain(|name| *name != progress);
    assert_eq!(*narrow.puts.borrow(), [marker]);
}

/// Six hundred logins in one page, and a first call that failed with `quota` at one location.
fn cut_short_within_a_page() -> (World, Narrow, Sessions) {
    let world = World::new();
    for _ in 0..600 {
        world.member("ada");
    }
    world.advance(HOUR);
    let narrow = Narrow::over(&world, 1_000).0.location();
    let sessions = narrow.isolate(&world);
    let first = run(sessions.revoke_all("ada"));
    assert_eq!(code(first), Some(ErrorCode::Quota));
    (world, narrow, sessions)
}

#[test]
fn a_second_call_at_once_puts_no_marker_again_though_its_location_shows_none() {
    let (world, narrow, sessions) = cut_short_within_a_page();
    let puts = narrow.puts.take();
    narrow.next_request();
    run(sessions.revoke_all("ada")).unwrap();
    narrow.puts.borrow_mut().extend(puts);
    assert_eq!(narrow.most_puts_of_a_marker(), 1);
    assert_eq!(lineages(&world, "l.").len(), 600);
    assert_eq!(lineages(&world, "k.").len(), 600);
}

#[test]
fn another_location_goes_on_within_a_page_though_it_shows_no_marker() {
    let (world, narrow, _) = cut_short_within_a_page();
    let ended = lineages(&world, "l.");
    let there = narrow.location();
    // For most sessions, that location has cached the absence of the markers.
    {
        let (now, mut cached) = (world.now(), there.cached.as_ref().unwrap().borrow_mut());
        for lineage in &ended {
            for kind in ["k.", "l."] {
                let absent = (None, now + 30 * SECOND);
                cached.insert(format!("{kind}{lineage}"), absent);
            }
        }
    }
    narrow.next_request();
    run(there.isolate(&world).revoke_all("ada")).unwrap();
    let again = narrow.puts.take();
    let again = again.iter().filter(|name| ended.contains(&name[2..]));
    assert!(again.count() <= 200, "what was ended since the last note");
    assert_eq!(lineages(&world, "l.").len(), 600);
}

#[test]
fn after_its_end_no_call_goes_on_with_what_is_left_of_another() {
    let world = World::new();
    for _ in 0..250 {
        world.member("ada");
    }
    world.advance(HOUR);
    // The store accepts one write per second and key, and all of this takes less.
    let (narrow, sessions) = Narrow::over(&world, 1_000);
    run(sessions.revoke_all("ada")).unwrap();
    for sessions in [narrow.isolate(&world), sessions] {
        world.advance(MINUTE);
        narrow.next_request();
        run(sessions.revoke_all("ada")).unwrap();
        assert_eq!(narrow.cursors.take(), [None], "one look from the start");
    }
}

/// Session keys are safe to log: knowing another user's key must not allow ending that session by
/// passing it as `except`.
#[test]
fn the_key_of_somebody_else_is_never_spared_and_never_ended() {
    let world = World::new();
    for _ in 0..600 {
        world.member("mallory");
    }
    let victims = [world.member("ada"), world.visitor()];
    world.advance(HOUR);
    let (narrow, sessions) = Narrow::over(&world, 100);
    for victim in &victims {
        let key = world.session_key(victim).key();
        world.store.take_log();
        let refused = run(sessions.revoke_all_except("mallory", &key));
        assert_eq!(code(refused), Some(ErrorCode::NotFound));
        assert_eq!(world.store.operations(), 0, "nothing is read or written");
    }
    // Nor by the stored progress of an interrupted call.
    let cut_short = run(sessions.revoke_all("mallory"));
    assert_eq!(code(cut_short), Some(ErrorCode::Quota));
    let progress = world.store.names_of("p.")[0].clone();
    let mut text = world.store.get(&progress).unwrap();
    for victim in &victims {
        text = format!("{text} {}", world.session_key(victim).lineage);
    }
    world.store.set(&progress, &text);
    world.advance(HOUR);
    for _ in 0..2 {
        narrow.next_request();
        run(sessions.revoke_all("mallory")).unwrap();
        for victim in &victims {
            assert!(is_alive(&world, victim));
        }
    }
    assert_eq!(lineages(&world, "l.").len(), 600);
}

#[test]
fn a_cursor_that_the_store_no_longer_takes_is_no_dead_end() {
    let world = World::new();
    let jar = world.member("ada");
    let marker = world.session_key(&jar).owner_marker();
    let progress = marker.replacen("o.", "p.", 1);
    let since = world.now() + DAY;
    for text in [format!("2 p {since} YQ -"), "of a later release".to_owned()] {
        world.store.set(&progress, &text);
        // Three tries of the listing that starts at the stored cursor.
        world
            .store
            .fail(Kind::List, 3, ConnectorErrorKind::Unavailable);
        let ended = run(world.elsewhere().sessions.revoke_all("ada"));
        world.store.mend();
        if ended.is_ok() {
            world.store.remove(&marker);
            assert_eq!(outcome(&world, &jar), Outcome::Revoked);
        }
        assert_eq!(ended.is_ok(), text.starts_with('2'), "{text}");
    }
}

#[test]
fn a_session_of_many_keys_is_ended_by_two_markers() {
    let world = World::new();
    let mut jar = world.member("ada");
    let first = world.session_key(&jar);
    for _ in 0..168 {
        world.visit(&mut jar, |session| session.cycle_key().unwrap());
    }
    world.advance(HOUR);
    let (narrow, sessions) = Narrow::over(&world, 50);
    run(sessions.revoke_all("ada")).unwrap();
    let progress = first.owner_marker().replacen("o.", "p.", 1);
    narrow.puts.borrow_mut().retain(|name| *name != progress);
    let markers = [first.owner_marker(), first.dead_key(), first.dead_lineage()];
    assert_eq!(*narrow.puts.borrow(), markers);
    assert_eq!(sessions.stats().retries, 0);
    assert_eq!(outcome(&world, &jar), Outcome::Revoked);
}

#[test]
fn a_login_that_follows_an_end_to_all_pays_no_second_round() {
    let world = World::new();
    let jar = world.member("ada");
    let (narrow, sessions) = Narrow::over(&world, 100);
    let mut session = run(sessions.load(jar.head(world.now())));
    run(sessions.revoke_all("ada")).unwrap();
    let left = narrow.left.get();
    session.bind("ada").unwrap();
    let headers = run(sessions.commit(&mut session, 200)).unwrap();
    assert_eq!(left - narrow.left.get(), 1, "the record's put");
    assert_eq!(sessions.stats().retries, 0);
    assert_eq!(narrow.most_puts_of_a_marker(), 1);
    let mut renewed = jar.clone();
    renewed.receive(world.now(), headers.set_cookie());
    assert!(is_alive(&world, &renewed));
    assert_eq!(outcome(&world, &jar), Outcome::Revoked);
}

#[test]
fn a_page_is_dealt_with_before_the_next_is_listed() {
    let world = World::new();
    for _ in 0..1_100 {
        world.member("ada");
    }
    type Call = fn(&World);
    let calls: [(&str, Call); 3] = [
        ("list", |w| {
            assert_eq!(run(w.sessions.list("ada")).unwrap().len(), 1_100);
        }),
        ("a login over the limit", |w| {
            let settings = Settings::default().with_max_per_owner(1_050);
            let limited = w.reconfigured(SECRET, settings);
            let mut session = limited.load(Head::default());
            session.bind_with("ada", Keep::Nothing).unwrap();
            let _ = limited.commit(&mut session);
            assert_eq!(lineages(w, "l.").len(), 51);
        }),
        ("revoke_all", |w| run(w.sessions.revoke_all("ada")).unwrap()),
    ];
    for (name, call) in calls {
        world.store.take_log();
        call(&world.elsewhere());
        let mut kinds: Vec<Kind> = world.store.take_log().iter().map(|it| it.0).collect();
        kinds.dedup();
        let lists: Vec<usize> = (0..kinds.len())
            .filter(|n| kinds[*n] == Kind::List)
            .collect();
        assert_eq!(lists.len(), 2, "{name}: {kinds:?}");
        for list in lists {
            assert_eq!(kinds[list + 1], Kind::Read, "{name}: {kinds:?}");
        }
    }
}

/// A store in which a later `revoke_all` gets the first put of the owner's marker in that second.
#[derive(Clone)]
struct Overtaken {
    inner: TestStore,
    later: Rc<RefCell<Option<String>>>,
}

impl SessionConnector for Overtaken {
    fn read<'a>(
        &'a self,
        keys: &'a [&'a str],
        options: ReadOptions,
    ) -> LocalBoxFuture<'a, Result<Vec<Option<String>>, ConnectorError>> {
        self.inner.read(keys, options)
    }

    fn put<'a>(
        &'a self,
        key: &'a str,
        value: &'a str,
        options: PutOptions,
    ) -> LocalBoxFuture<'a, Result<(), ConnectorError>> {
        Box::pin(async move {
            match self.later.take() {
                Some(later) => {
                    self.inner.put(key, &later, options).await?;
                    let kind = ConnectorErrorKind::RateLimited;
                    Err(ConnectorError::new(kind, "one write a second"))
                }
                None => self.inner.put(key, value, options).await,
            }
        })
    }

    fn delete<'a>(&'a self, key: &'a str) -> LocalBoxFuture<'a, Result<(), ConnectorError>> {
        self.inner.delete(key)
    }

    fn list<'a>(
        &'a self,
        prefix: &'a str,
        cursor: Option<&'a str>,
    ) -> LocalBoxFuture<'a, Result<Page, ConnectorError>> {
        self.inner.list(prefix, cursor)
    }
}

/// Sessions whose first put of an owner's marker finds that `later` was put just before.
fn overtaken(world: &World, later: &str) -> Sessions {
    let connector = Overtaken {
        inner: world.store.clone(),
        later: Rc::new(RefCell::new(Some(later.to_owned()))),
    };
    let ring = SecretRing::parse(SECRET).unwrap();
    let (connector, runtime) = (Rc::new(connector), world.runtime.clone());
    let sessions = Sessions::builder(connector, ring).runtime(runtime).build();
    sessions.unwrap()
}

#[test]
fn an_owner_marker_that_waits_its_turn_does_not_undo_a_later_one() {
    let world = World::new();
    let (jar, spared) = (world.member("ada"), world.member("ada"));
    let marker = world.session_key(&jar).owner_marker();
    let kept = world.session_key(&spared).key();
    run(world.elsewhere().sessions.revoke_all("grace")).unwrap();
    let format = world.store.get(&world.store.names_of("o.")[0]).unwrap();
    let format = format.split(' ').next().unwrap().to_owned();
    // It spares no session, and it is a minute later.
    let later = format!("{format} o {}", world.now() + MINUTE);
    run(overtaken(&world, &later).revoke_all_except("ada", &kept)).unwrap();
    assert_eq!(world.store.get(&marker), Some(later));
    assert_eq!(outcome(&world, &jar), Outcome::Revoked);
    assert_eq!(
        outcome(&world, &spared),
        Outcome::Revoked,
        "by the later one"
    );
}

/// "Log out everywhere" in one tab, and "log out the others" in another tab a moment before.
#[test]
fn of_two_calls_at_the_same_time_each_ends_what_only_the_other_spares() {
    for (apart, stays) in [(500, false), (MINUTE, true)] {
        let world = World::new();
        let key = world.session_key(&world.member("ada"));
        run(world.elsewhere().sessions.revoke_all("grace")).unwrap();
        let format = world.store.get(&world.store.names_of("o.")[0]).unwrap();
        let format = format.split(' ').next().unwrap().to_owned();
        let at = world.now() + 2 * SECOND + apart;
        let other = format!("{format} o {at} {}", key.lineage);
        run(overtaken(&world, &other).revoke_all("ada")).unwrap();
        // A session that a much later call spares may have logged in since.
        let wanted = if stays {
            other
        } else {
            format!("{format} o {}", at + 1)
        };
        assert_eq!(world.store.get(&key.owner_marker()), Some(wanted));
    }
}

#[test]
fn an_owner_marker_that_lands_late_over_a_later_one_is_put_right() {
    let world = World::new();
    let jar = world.member("ada");
    let marker = world.session_key(&jar).owner_marker();
    world.store.hang(Kind::Put);
    let first = run(world.sessions.revoke_all("ada"));
    assert_eq!(code(first), Some(ErrorCode::Unavailable));
    world.advance(SECOND);
    run(world.sessions.revoke_all("ada")).unwrap();
    let later = world.store.get(&marker);
    world.store.arrive();
    assert_ne!(world.store.get(&marker), later, "the first lands over it");
    world.member("ada");
    assert_eq!(world.store.get(&marker), later);
    // If the store has it, nothing is put.
    world.store.take_log();
    world.visit(&mut Jar::new(), |session| {
        session.bind_with("ada", Keep::Nothing).unwrap()
    });
    let puts = world.store.keys_of(Kind::Put);
    assert!(!puts.contains(&marker), "{puts:?}");
}

#[test]
fn ending_sessions_goes_on_when_the_browser_goes_away() {
    let world = World::new();
    let works: Rc<RefCell<Vec<LocalBoxFuture<'static, ()>>>> = Rc::default();
    let registered = Rc::clone(&works);
    let sessions = world.sessions.clone();
    let sessions = sessions.with_wait_until(move |work| registered.borrow_mut().push(work));
    // Each is dropped while it waits to retry its first put.
    let is_cut_off = |call: LocalBoxFuture<'_, Result<(), SessionError>>| {
        world
            .store
            .fail(Kind::Put, 1, ConnectorErrorKind::RateLimited);
        assert!(call.now_or_never().is_none());
        for work in works.take() {
            run(work);
        }
    };
    let jars: Vec<Jar> = (0..3).map(|_| world.member("ada")).collect();
    let keys = [0, 1, 2].map(|n| world.session_key(&jars[n]));
    let key = &keys[0];
    is_cut_off(sessions.revoke("ada", &key.key()).boxed_local());
    assert_eq!(outcome(&world, &jars[0]), Outcome::Revoked);
    assert!(world.store.get(&key.dead_key()).is_some());

    let mut session = run(sessions.load(jars[1].head(world.now())));
    is_cut_off(session.destroy().boxed_local());
    assert!(world.store.get(&keys[1].dead_key()).is_some());

    is_cut_off(sessions.revoke_all("ada").boxed_local());
    for name in [keys[2].owner_marker(), keys[2].dead_lineage()] {
        assert!(world.store.get(&name).is_some(), "{name}");
    }
}

// --- a limit that could not be enforced ----------------------------------------------------------

#[derive(Clone, Default)]
struct Log(Rc<RefCell<Vec<Event>>>);

impl EventSink for Log {
    fn event(&self, event: &Event) {
        self.0.borrow_mut().push(event.clone());
    }
}

#[test]
fn a_limit_that_could_not_be_enforced_is_counted_and_reported() {
    let mut world = World::with(Settings::default().with_max_per_owner(1));
    let log = Log::default();
    let isolate = Isolate::new();
    world.sessions = world
        .sessions
        .with_events(log.clone())
        .with_isolate(&isolate, "one");
    let first = world.member("ada");
    world.advance(MINUTE);
    world
        .store
        .fail(Kind::List, 3, ConnectorErrorKind::Unavailable);
    let second = world.member("ada");
    assert!(
        is_alive(&world, &first) && is_alive(&world, &second),
        "the login stands"
    );
    assert_eq!(world.sessions.stats().limit_failures, 1);
    let told = log.0.take();
    let told: Vec<&Event> = told
        .iter()
        .filter(|it| it.kind.as_str() == "limit_not_enforced")
        .collect();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].reason, Some("unavailable"));
    assert!(told[0].to_json().contains(r#""reason":"unavailable""#));
    // The next login enforces the limit.
    world.advance(MINUTE);
    let third = world.member("ada");
    let alive = [&first, &second, &third].map(|jar| is_alive(&world, jar));
    assert_eq!(alive, [false, false, true]);
    assert_eq!(world.sessions.stats().limit_failures, 1);
}

#[test]
fn dropping_a_secret_ends_every_session_under_it() {
    let world = World::new();
    let jars = [world.member("ada"), world.member("grace"), world.visitor()];
    let both = format!("{OTHER_SECRET},{SECRET}");
    let rolling = world.reconfigured(&both, Settings::default());
    assert!(
        jars.iter()
            .all(|jar| rolling.open(jar).outcome().unwrap() == Outcome::Loaded)
    );
    let dropped = world.reconfigured(OTHER_SECRET, Settings::default());
    dropped.store.take_log();
    for jar in &jars {
        assert_eq!(dropped.open(jar).outcome().unwrap(), Outcome::Rejected);
    }
    assert_eq!(dropped.store.operations(), 0);
}
