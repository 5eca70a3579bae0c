//! One test for each failure that the protocol handles, observed by the checker. At the end of each
//! the faults stop, and every session must be usable again.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::time::Duration;

use edge_session::connector::ConnectorErrorKind;
use edge_session::{ErrorCode, Outcome, Settings};
use edge_session_sim::Ms;
use edge_session_sim::aftermath::aftermath;
use edge_session_sim::dice::Dice;
use edge_session_sim::history::Sim;
use edge_session_sim::kv::{LOCATIONS, Spread};
use edge_session_sim::random::START;
use edge_session_sim::request::{Answer, Op, Spec};
use edge_session_sim::world::{Asked, Failure, Kind, Verdict, World};

const PARIS: usize = 0;
const TOKYO: usize = 1;

/// The current behaviour of the store.
#[derive(Clone, Copy)]
struct Store {
    /// Milliseconds that an answer takes.
    slow: Ms,
    down: bool,
    loses_puts: bool,
    /// Milliseconds until a put reaches it.
    late: Ms,
    refuses_puts: bool,
}

/// Two locations that see each other's writes after a minute.
struct Stage {
    sim: Rc<Sim>,
    store: Rc<Cell<Store>>,
    lost: Rc<RefCell<Vec<String>>>,
}

impl Stage {
    fn new() -> Self {
        Self::with(Settings::default())
    }

    fn with(settings: Settings) -> Self {
        Self::with_dice(settings, 3)
    }

    fn with_dice(settings: Settings, seed: u64) -> Self {
        let store = Rc::new(Cell::new(Store {
            slow: 3,
            down: false,
            loses_puts: false,
            late: 3,
            refuses_puts: false,
        }));
        let lost: Rc<RefCell<Vec<String>>> = Rc::default();
        let (state, names) = (Rc::clone(&store), Rc::clone(&lost));
        let judge = move |_: &World, asked: &Asked<'_>| {
            let Store {
                slow,
                down,
                loses_puts,
                late,
                refuses_puts,
            } = state.get();
            let is_put = asked.kind == Kind::Put;
            let mut delay = [60_000; LOCATIONS];
            delay[asked.location] = 0;
            let lost = loses_puts && asked.name.starts_with("s.");
            if lost {
                names.borrow_mut().push(asked.name.to_owned());
            }
            Verdict {
                latency: (if is_put { late } else { 3 }, slow),
                failure: if down || (refuses_puts && is_put) {
                    Failure::Before(ConnectorErrorKind::Unavailable)
                } else {
                    Failure::None
                },
                spread: Spread {
                    delay,
                    cached_at: Some(asked.location),
                    listed: 60_000,
                    linger: 0,
                    lost,
                },
                damaged: false,
            }
        };
        let world = World::new(Dice::new(seed), START, Box::new(judge));
        world.keep_log();
        let sim = Sim::new(world, settings);
        sim.add_server(PARIS, 0);
        sim.add_server(TOKYO, 0);
        Self { sim, store, lost }
    }

    fn store(&self, change: impl Fn(&mut Store)) {
        let mut store = self.store.get();
        change(&mut store);
        self.store.set(store);
    }

    /// A visitor with a session from five minutes ago.
    fn visitor(&self, op: Op) -> usize {
        let client = self.sim.add_client(false);
        self.ask(client, PARIS, &[op]);
        self.wait(300_000);
        client
    }

    /// Another client with the same cookies.
    fn thief_of(&self, victim: usize) -> usize {
        let thief = self.sim.add_client(true);
        let mut clients = self.sim.clients.borrow_mut();
        let jar = clients[victim].jar.clone();
        clients[thief].copy(&jar);
        thief
    }

    fn wait(&self, milliseconds: Ms) {
        self.sim
            .world
            .run_until(self.sim.world.now() + milliseconds);
        for name in self.lost.borrow_mut().drain(..) {
            self.sim.truth.borrow_mut().taint(&name);
        }
    }

    fn begin(&self, client: usize, place: usize, ops: &[Op]) -> usize {
        self.send(Spec::new(client, place, ops.to_vec()))
    }

    fn send(&self, spec: Spec) -> usize {
        let id = self.sim.send(spec);
        self.wait(20);
        id
    }

    fn ask(&self, client: usize, place: usize, ops: &[Op]) -> Found {
        self.asked(self.begin(client, place, ops))
    }

    /// With a value too large for a cookie.
    fn ask_large(&self, client: usize, place: usize, ops: &[Op]) -> Found {
        self.asked(self.begin_large(client, place, ops))
    }

    fn begin_large(&self, client: usize, place: usize, ops: &[Op]) -> usize {
        let mut spec = Spec::new(client, place, ops.to_vec());
        spec.large = true;
        self.send(spec)
    }

    fn asked(&self, id: usize) -> Found {
        self.wait(2_000);
        self.found(id)
    }

    fn found(&self, id: usize) -> Found {
        let view = self.sim.view(id).expect("it has loaded");
        Found {
            id,
            outcome: view.outcome,
            keys: view.content.unwrap_or_default(),
            owner: view.owner,
            answer: self.sim.answer(id).expect("it has answered"),
        }
    }
}

impl Drop for Stage {
    /// The end of each story.
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.sim.world.take_log().join("\n"));
            return;
        }
        self.wait(60_000);
        self.store(|it| {
            (it.slow, it.late) = (3, 3);
            (it.down, it.loses_puts, it.refuses_puts) = (false, false, false);
        });
        let mut turn = 0;
        let mut anywhere = || {
            turn += 1;
            turn % 2
        };
        if self.sim.violation().is_none() {
            let live = |sim: &Rc<Sim>, until: Ms| sim.world.run_until(until);
            aftermath(&self.sim, &mut anywhere, &live);
        }
        let violation = self.sim.violation();
        let log = self.sim.world.take_log().join("\n");
        self.sim.end();
        assert_eq!(violation, None, "{log}");
    }
}

struct Found {
    id: usize,
    outcome: Outcome,
    keys: BTreeMap<String, u32>,
    owner: Option<String>,
    answer: Answer,
}

impl Found {
    fn keys(&self) -> Vec<&str> {
        self.keys.keys().map(String::as_str).collect()
    }

    fn is_of(&self, owner: &str) -> bool {
        self.outcome == Outcome::Loaded && self.owner.as_deref() == Some(owner)
    }

    fn error(&self) -> Option<ErrorCode> {
        self.answer.result.err()
    }

    fn sets_a_key(&self) -> bool {
        let mut cookies = self.answer.cookies.iter();
        cookies.any(|it| it.starts_with("__Host-session="))
    }
}

const LOGIN: Op = Op::Bind {
    owner: 0,
    keep: true,
};

#[test]
fn the_slow_answer_of_an_old_page_leaves_a_login_alone() {
    // The page is slow, and extends the idle time in the seen cookie.
    let stage = Stage::with(Settings::default().with_idle_timeout(Duration::from_secs(3_600)));
    let browser = stage.visitor(Op::Set(0));
    let page = stage.begin(browser, TOKYO, &[Op::Read, Op::Work(10_000)]);
    assert_eq!(stage.ask(browser, PARIS, &[LOGIN]).error(), None);
    stage.wait(20_000);
    let page = stage.found(page);
    assert!(!page.answer.cookies.is_empty() && !page.sets_a_key());
    assert!(stage.ask(browser, PARIS, &[Op::Read]).is_of("ada"));
}

#[test]
fn a_new_key_is_put_before_anybody_asks_for_it() {
    let stage = Stage::new();
    let browser = stage.sim.add_client(false);
    let first = stage.ask(browser, PARIS, &[Op::Set(0)]);
    let operations = stage.sim.world.operations(first.id).clone();
    assert_eq!((operations.reads, operations.puts), (0, 1));
}

#[test]
fn a_login_that_is_redirected_to_where_it_cannot_be_seen_is_still_a_login() {
    let stage = Stage::new();
    let browser = stage.visitor(Op::Set(0));
    stage.ask(browser, PARIS, &[LOGIN]);
    assert!(stage.ask(browser, TOKYO, &[Op::Read]).is_of("ada"));
}

#[test]
fn where_no_cookie_can_carry_it_a_login_is_pending_and_never_an_empty_session() {
    let stage = Stage::new();
    let browser = stage.visitor(Op::Set(0));
    stage.ask_large(browser, PARIS, &[LOGIN, Op::Set(1)]);
    let redirected = stage.ask(browser, TOKYO, &[Op::Read]);
    assert_eq!(redirected.outcome, Outcome::Pending);
    assert_eq!(redirected.error(), Some(ErrorCode::Pending));
    assert!(redirected.answer.cookies.is_empty());
    stage.wait(100_000);
    assert!(stage.ask(browser, TOKYO, &[Op::Read]).is_of("ada"));
}

#[test]
fn one_lost_put_makes_a_session_stale_for_w_and_no_longer() {
    let stage = Stage::new();
    let browser = stage.visitor(Op::Set(0));
    stage.store(|it| it.loses_puts = true);
    assert_eq!(stage.ask_large(browser, PARIS, &[Op::Set(1)]).error(), None);
    stage.store(|it| it.loses_puts = false);
    let elsewhere = stage.ask(browser, TOKYO, &[Op::Read, Op::Set(2)]);
    assert_eq!(elsewhere.outcome, Outcome::Stale);
    assert_eq!(elsewhere.error(), Some(ErrorCode::Stale));
    stage.wait(stage.sim.rules.window);
    let later = stage.ask(browser, TOKYO, &[Op::Read, Op::Set(2)]);
    assert_eq!((later.outcome, later.error()), (Outcome::Loaded, None));
}

#[test]
fn parallel_saves_of_different_keys_in_one_isolate_both_survive() {
    let stage = Stage::new();
    let browser = stage.visitor(Op::Set(0));
    for key in [1, 2] {
        stage.begin(browser, PARIS, &[Op::Work(500), Op::Set(key)]);
    }
    stage.wait(10_000);
    let next = stage.ask(browser, PARIS, &[Op::Read]);
    assert_eq!(next.keys(), ["a", "b", "c"]);
}

#[test]
fn a_put_that_failed_meanwhile_does_not_hide_one_that_is_still_under_way() {
    // Which of two versions with the same counter counts as newer is random, so try several seeds.
    for seed in 0..8 {
        let stage = Stage::with_dice(Settings::default(), seed);
        let browser = stage.visitor(Op::Set(2));
        stage.store(|it| it.late = 5_000);
        let late = stage.begin_large(browser, PARIS, &[Op::Set(0)]);
        stage.store(|it| (it.late, it.refuses_puts) = (3, true));
        let refused = stage.begin_large(browser, PARIS, &[Op::Set(1)]);
        stage.wait(1_000);
        stage.store(|it| it.refuses_puts = false);
        let quick = stage.begin_large(browser, PARIS, &[Op::Set(2)]);
        stage.wait(20_000);
        let errors = [late, refused, quick].map(|id| stage.found(id).error());
        assert_eq!(errors, [None, Some(ErrorCode::Unavailable), None]);
        stage.wait(stage.sim.rules.window);
        let next = stage.ask(browser, TOKYO, &[Op::Read]);
        assert_eq!(next.outcome, Outcome::Loaded);
        // Writes are numbered: the visitor's is 0.
        let kept = [("a".to_owned(), 1), ("c".to_owned(), 3)];
        assert_eq!(next.keys, BTreeMap::from(kept), "dice {seed}");
    }
}

#[test]
fn a_put_that_is_made_again_and_lands_on_a_later_save_is_not_the_last_one() {
    for seed in 0..8 {
        let stage = Stage::with_dice(Settings::default(), seed);
        let browser = stage.visitor(Op::Set(2));
        // It was overtaken: it waits a second, then up to three more until no put is in progress,
        // and puts again after the second put has arrived.
        stage.store(|it| it.late = 4_000);
        let overtaken = stage.begin_large(browser, PARIS, &[Op::Set(0)]);
        stage.store(|it| it.late = 3);
        let quick = stage.begin_large(browser, PARIS, &[Op::Set(1)]);
        stage.wait(4_100);
        stage.store(|it| it.late = 3_945);
        let late = stage.begin_large(browser, PARIS, &[Op::Set(3)]);
        stage.wait(3_700);
        stage.store(|it| it.late = 3_000);
        stage.wait(1_600);
        stage.store(|it| it.late = 3);
        let last = stage.begin_large(browser, PARIS, &[Op::Set(2)]);
        stage.wait(30_000);
        for id in [overtaken, quick, late, last] {
            assert_eq!(stage.found(id).error(), None);
        }
        stage.wait(stage.sim.rules.window);
        let next = stage.ask(browser, TOKYO, &[Op::Read]);
        let kept = [("a", 1), ("b", 2), ("c", 4), ("d", 3)];
        let kept = kept.map(|(key, number)| (key.to_owned(), number));
        assert_eq!(next.keys, BTreeMap::from(kept), "dice {seed}");
    }
}

#[test]
fn each_save_that_overlaps_a_put_that_is_made_again_survives() {
    // The pauses between the puts have a random part, so the saves are tried at several times.
    for (seed, shift) in (0..12).flat_map(|shift| [(0, shift), (1, shift)]) {
        let stage = Stage::with_dice(Settings::default(), seed);
        let browser = stage.visitor(Op::Set(2));
        stage.store(|it| it.late = 4_000);
        let overtaken = stage.begin_large(browser, PARIS, &[Op::Set(0)]);
        stage.store(|it| it.late = 3);
        let mut saves = vec![overtaken, stage.begin_large(browser, PARIS, &[Op::Set(1)])];
        stage.wait(4_100 + 100 * shift);
        // It puts again about a second after each of its puts arrives, and a save overlaps each.
        for key in [2, 3, 1] {
            stage.store(|it| it.late = 3_000);
            stage.wait(1_500);
            stage.store(|it| it.late = 3);
            saves.push(stage.begin_large(browser, PARIS, &[Op::Set(key)]));
            stage.wait(2_600);
        }
        stage.wait(30_000);
        for id in saves {
            // One that is refused too often says so, because no cookie carries a session this large.
            let error = stage.found(id).error();
            assert!(
                matches!(error, None | Some(ErrorCode::RateLimited)),
                "{error:?}"
            );
        }
        stage.wait(stage.sim.rules.window);
        let next = stage.ask(browser, TOKYO, &[Op::Read]);
        let kept = [("a", 1), ("b", 5), ("c", 3), ("d", 4)];
        let kept = kept.map(|(key, number)| (key.to_owned(), number));
        assert_eq!(
            next.keys,
            BTreeMap::from(kept),
            "dice {seed}, shift {shift}"
        );
    }
}

#[test]
fn a_put_that_is_stuck_does_not_keep_another_from_being_made_again() {
    for seed in 0..8 {
        let stage = Stage::with_dice(Settings::default(), seed);
        let browser = stage.visitor(Op::Set(2));
        stage.store(|it| it.late = 5_000);
        let overtaken = stage.begin_large(browser, PARIS, &[Op::Set(0)]);
        stage.store(|it| (it.late, it.refuses_puts) = (29_000, true));
        let stuck = stage.begin_large(browser, PARIS, &[Op::Set(1)]);
        stage.store(|it| (it.late, it.refuses_puts) = (3, false));
        let last = stage.begin_large(browser, PARIS, &[Op::Set(2)]);
        stage.wait(20_000);
        stage.sim.world.freeze(stuck, true);
        for id in [overtaken, last] {
            assert_eq!(stage.found(id).error(), None);
        }
        stage.wait(stage.sim.rules.window);
        let next = stage.ask(browser, TOKYO, &[Op::Read]);
        let [a, c] = ["a", "c"].map(|key| next.keys.get(key).copied());
        assert_eq!([a, c], [Some(1), Some(3)], "dice {seed}");
    }
}

#[test]
fn a_save_from_before_the_logout_does_not_bring_the_session_back() {
    let stage = Stage::new();
    let browser = stage.visitor(LOGIN);
    let thief = stage.thief_of(browser);
    let save = stage.begin(browser, TOKYO, &[Op::Work(5_000), Op::Set(0)]);
    assert_eq!(stage.ask(browser, PARIS, &[Op::Destroy]).error(), None);
    stage.wait(10_000);
    assert_eq!(stage.found(save).error(), None);
    stage.wait(stage.sim.rules.bound);
    for place in [PARIS, TOKYO] {
        let copy = stage.ask(thief, place, &[Op::Read]);
        assert_eq!(copy.outcome, Outcome::Revoked);
    }
}

#[test]
fn rotating_a_stolen_key_where_the_logout_is_not_heard_of_does_not_save_it() {
    let stage = Stage::new();
    let browser = stage.visitor(LOGIN);
    let thief = stage.thief_of(browser);
    // From here on this location caches that there is no marker.
    assert!(stage.ask(thief, TOKYO, &[Op::Read]).is_of("ada"));
    stage.ask(browser, PARIS, &[Op::Destroy]);
    let rotates = stage.ask(thief, TOKYO, &[Op::Cycle]);
    assert!(rotates.sets_a_key());
    stage.wait(stage.sim.rules.bound);
    for place in [PARIS, TOKYO] {
        let dead = stage.ask(thief, place, &[Op::Read]);
        assert_eq!(dead.outcome, Outcome::Revoked);
    }
}

#[test]
fn a_slow_answer_from_before_the_logout_leaves_the_next_login_alone() {
    let stage = Stage::new();
    let browser = stage.visitor(LOGIN);
    let slow = stage.begin(browser, PARIS, &[Op::Work(10_000), Op::Set(0)]);
    stage.ask(browser, PARIS, &[Op::Destroy]);
    stage.ask(browser, PARIS, &[LOGIN]);
    stage.wait(10_000);
    let slow = stage.found(slow);
    assert_eq!(slow.error(), Some(ErrorCode::Revoked));
    assert!(slow.answer.cookies.is_empty());
    assert!(stage.ask(browser, PARIS, &[Op::Read]).is_of("ada"));
}

#[test]
fn a_form_on_another_site_does_not_log_anybody_out() {
    let stage = Stage::new();
    let browser = stage.visitor(LOGIN);
    let mut form = Spec::new(browser, PARIS, vec![Op::Set(0)]);
    form.cross_site = true;
    let form = stage.asked(stage.send(form));
    assert_eq!((form.outcome, form.error()), (Outcome::New, None));
    assert!(form.answer.cookies.is_empty());
    assert!(stage.ask(browser, PARIS, &[Op::Read]).is_of("ada"));
}

#[test]
fn a_rotation_that_is_cut_off_anywhere_leaves_a_key_that_reads() {
    for after in 0..40 {
        let stage = Stage::new();
        let browser = stage.visitor(Op::Set(0));
        let id = stage.sim.send(Spec::new(browser, PARIS, vec![Op::Cycle]));
        stage.wait(after);
        stage.sim.world.freeze(id, true);
        let next = stage.ask(browser, PARIS, &[Op::Read]);
        assert!(matches!(next.outcome, Outcome::Loaded | Outcome::Rotated));
        assert_eq!(next.keys(), ["a"], "cut off after {after} ms");
    }
}

#[test]
fn a_password_change_ends_the_other_devices_and_stays_logged_in() {
    let stage = Stage::new();
    let other = stage.visitor(LOGIN);
    let browser = stage.visitor(LOGIN);
    let everywhere = Op::RevokeAll { spare_self: false };
    stage.ask(browser, PARIS, &[everywhere, LOGIN]);
    stage.wait(stage.sim.rules.bound);
    for place in [PARIS, TOKYO] {
        assert!(stage.ask(browser, place, &[Op::Read]).is_of("ada"));
        let over = stage.ask(other, place, &[Op::Read]);
        assert_eq!(over.outcome, Outcome::Revoked);
    }
}

#[test]
fn an_outage_is_no_absence() {
    let stage = Stage::new();
    let browser = stage.visitor(LOGIN);
    stage.store(|it| it.down = true);
    let during = stage.ask(browser, PARIS, &[Op::Read, Op::Set(0)]);
    assert_eq!(during.outcome, Outcome::Unavailable);
    assert_eq!(during.error(), Some(ErrorCode::Unavailable));
    assert!(during.answer.cookies.is_empty());
    stage.store(|it| it.down = false);
    assert!(stage.ask(browser, PARIS, &[Op::Read]).is_of("ada"));
}

#[test]
fn a_logout_in_an_outage_is_finished_by_the_next_request() {
    let stage = Stage::new();
    let browser = stage.visitor(LOGIN);
    let thief = stage.thief_of(browser);
    stage.store(|it| it.down = true);
    let logout = stage.ask(browser, PARIS, &[Op::Destroy]);
    assert_eq!(logout.error(), Some(ErrorCode::RevocationPending));
    stage.store(|it| it.down = false);
    let next = stage.ask(browser, PARIS, &[Op::Read]);
    assert_eq!(next.outcome, Outcome::Revoked);
    assert_eq!(stage.sim.world.operations(next.id).puts, 2);
    stage.wait(stage.sim.rules.bound);
    let copy = stage.ask(thief, TOKYO, &[Op::Read]);
    assert_eq!(copy.outcome, Outcome::Revoked);
}

#[test]
fn twenty_saves_in_a_second_lose_no_key() {
    let stage = Stage::new();
    let browser = stage.visitor(Op::Set(0));
    let burst: Vec<usize> = (0..20)
        .map(|n| stage.begin(browser, PARIS, &[Op::Set(n % 3)]))
        .collect();
    stage.wait(10_000);
    for id in burst {
        assert_eq!(stage.found(id).error(), None);
    }
    let next = stage.ask(browser, PARIS, &[Op::Read]);
    assert_eq!(next.keys(), ["a", "b", "c"]);
    // The last of each: writes are numbered.
    assert_eq!(
        next.keys.values().copied().collect::<Vec<_>>(),
        [19, 20, 18]
    );
}

#[test]
fn a_request_that_is_never_run_again_holds_nobody_up() {
    let stage = Stage::new();
    let browser = stage.visitor(Op::Set(0));
    let frozen = stage.begin(browser, PARIS, &[Op::Set(1)]);
    let frozen_too = {
        stage.store(|it| it.slow = 10_000);
        let id = stage.begin(browser, PARIS, &[Op::Set(2)]);
        stage.store(|it| it.slow = 3);
        id
    };
    for id in [frozen, frozen_too] {
        stage.sim.world.freeze(id, true);
    }
    stage.wait(2_000);
    let next = stage.ask(browser, PARIS, &[Op::Set(0)]);
    assert_eq!((next.outcome, next.error()), (Outcome::Loaded, None));
}
