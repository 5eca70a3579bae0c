//! A history from a seed.

use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use edge_session::Settings;
use edge_session::connector::ConnectorErrorKind;

use crate::Ms;
use crate::aftermath::aftermath;
use crate::dice::{Dice, mix};
use crate::fault::Fault;
use crate::history::{Network, Sim};
use crate::kv::Spread;
use crate::request::{End, Ending, OWNERS, Op, Spec};
use crate::tally::Tally;
use crate::transcript::Transcript;
use crate::truth::SKEW;
use crate::world::{Asked, Failure, Kind, Verdict, World, spread};

/// When a history begins; what it shows counts from here.
pub const START: Ms = 1_700_000_000_000;
/// The least number of requests of a history.
const REQUESTS: usize = 6;
const FAULTS: u32 = 3;

/// The result of a history.
pub struct Ran {
    pub violation: Option<String>,
    pub tally: Tally,
    pub log: Vec<String>,
    pub transcript: Option<Transcript>,
}

/// What is kept of a history besides its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    Nothing,
    /// The log, for a reader.
    Log,
    /// The digest of its output.
    Digest,
    /// The same, with its lines.
    Transcript,
}

/// How often each fault happens, in times out of a thousand. Each history has its own mixture, so
/// that histories focus on different faults.
#[derive(Clone, Copy, Default)]
struct Weather {
    fail_before: u32,
    fail_after: u32,
    fail_read: u32,
    /// Puts are refused for good.
    refused: bool,
    /// Puts take seconds until they reach the store.
    crawls: bool,
    lost: u32,
    slow: u32,
    stuck: u32,
    damaged: u32,
    early: u32,
    late: u32,
    freeze: u32,
    drop: u32,
    evict: u32,
    clock: u32,
    propagation: Ms,
    /// A location, or all of them, cut off for a while.
    outage: Option<(Option<usize>, Ms, Ms)>,
    quota: Option<(Ms, Ms)>,
    /// One half of the keys fails for a while, like one server of a store.
    half: Option<(bool, Ms, Ms)>,
    /// The next operation has a fault, whatever the dice say.
    force: bool,
    calm: bool,
}

impl Weather {
    fn draw(dice: &mut Dice, propagation: Ms) -> Self {
        let mut often = |much: u32| match dice.below(5) {
            0 | 1 => 0,
            2 | 3 => much / 5,
            _ => much,
        };
        Self {
            fail_before: often(80),
            fail_after: often(60),
            fail_read: often(60),
            refused: false,
            crawls: false,
            lost: often(10),
            slow: often(80),
            stuck: often(12),
            damaged: often(8),
            early: often(10),
            late: often(60),
            freeze: often(8),
            drop: often(8),
            evict: often(5),
            clock: often(20),
            propagation,
            outage: None,
            quota: None,
            half: None,
            force: false,
            calm: false,
        }
    }
}

type Shared = Rc<Cell<Weather>>;

fn decide(
    weather: &Shared,
    damaged: &RefCell<Vec<String>>,
    world: &World,
    asked: &Asked<'_>,
) -> Verdict {
    let mut it = weather.get();
    let mut dice = world.dice.borrow_mut();
    let dice = &mut *dice;
    let writes = matches!(asked.kind, Kind::Put | Kind::Delete);
    let is_record = asked.name.starts_with("s.");
    let mut verdict = Verdict {
        latency: (dice.between(1, 30), dice.between(1, 30)),
        failure: Failure::None,
        spread: if writes {
            spread(dice, asked.location, it.propagation)
        } else {
            Spread::PROMPT
        },
        damaged: false,
    };
    if it.calm {
        return verdict;
    }
    if writes && verdict.spread.delay[asked.location] > 0 {
        world.fault(Fault::WriterBlind);
    }
    if dice.chance(it.stuck) {
        world.fault(Fault::Stuck);
        // Past the deadline, and in flight for as long as it counts as that, or longer.
        let long = dice.between(9_000, 45_000);
        verdict.latency = if dice.chance(500) {
            (long, 5)
        } else {
            (5, long)
        };
    } else if it.crawls && writes {
        world.fault(Fault::Slow);
        verdict.latency = (dice.between(2_000, 6_000), 5);
    } else if dice.chance(it.slow) {
        world.fault(Fault::Slow);
        verdict.latency = (dice.between(5, 3_000), dice.between(5, 3_000));
    }
    if let Some((place, from, to)) = it.outage
        && (from..to).contains(&asked.now)
        && place.is_none_or(|place| place == asked.location)
    {
        world.fault(Fault::Outage);
        verdict.failure = Failure::Before(ConnectorErrorKind::Unavailable);
        return verdict;
    }
    if let Some((half, from, to)) = it.half
        && (from..to).contains(&asked.now)
        && asked.kind != Kind::List
        && half == is_in_first_half(asked.name)
    {
        world.fault(Fault::Outage);
        verdict.failure = Failure::Before(ConnectorErrorKind::Unavailable);
        return verdict;
    }
    if let Some((from, to)) = it.quota
        && writes
        && (from..to).contains(&asked.now)
    {
        world.fault(Fault::Quota);
        verdict.failure = Failure::Before(ConnectorErrorKind::Quota);
        return verdict;
    }
    let forced = std::mem::take(&mut it.force);
    weather.set(it);
    match asked.kind {
        Kind::Read => {
            if forced || dice.chance(it.fail_read) {
                world.fault(Fault::ReadFailed);
                verdict.failure = Failure::Before(ConnectorErrorKind::Unavailable);
            } else if is_record && dice.chance(it.damaged) {
                verdict.damaged = true;
                damaged.borrow_mut().push(asked.name.to_owned());
            }
        }
        Kind::List => {
            if forced || dice.chance(it.fail_read) {
                world.fault(Fault::ListFailed);
                verdict.failure = Failure::Before(ConnectorErrorKind::Unavailable);
            }
        }
        Kind::Put | Kind::Delete => {
            if dice.chance(it.fail_before) {
                world.fault(Fault::PutFailed);
                verdict.failure = Failure::Before(ConnectorErrorKind::Unavailable);
            } else if forced || dice.chance(it.fail_after) {
                world.fault(Fault::PutFailedTaken);
                verdict.failure = Failure::After;
            } else if it.refused {
                world.fault(Fault::Quota);
                verdict.failure = Failure::Before(ConnectorErrorKind::Quota);
            } else if is_record && asked.kind == Kind::Put && dice.chance(it.lost) {
                world.fault(Fault::PutLost);
                verdict.spread.lost = true;
                damaged.borrow_mut().push(asked.name.to_owned());
            }
            if dice.chance(it.early) {
                world.fault(Fault::EndsEarly);
                verdict.spread.linger = -dice.between(1_000, 60_000);
            } else if dice.chance(it.late) {
                world.fault(Fault::EndsLate);
                verdict.spread.linger = dice.between(1_000, 3_600_000);
            }
        }
    }
    verdict
}

fn is_in_first_half(name: &str) -> bool {
    name.bytes()
        .fold(0_u8, |sum, byte| sum.wrapping_mul(31).wrapping_add(byte))
        < 128
}

fn settings(dice: &mut Dice) -> Settings {
    let mut settings = Settings::default()
        .with_propagation(Duration::from_secs(*dice.pick(&[60, 60, 60, 20])))
        .with_kv_cache_ttl(Duration::from_secs(*dice.pick(&[30, 30, 30, 60])))
        .with_isolate_cache_ttl(Duration::from_secs(*dice.pick(&[10, 10, 0, 30])))
        .with_overlay(!dice.chance(250))
        .with_purge(dice.chance(150));
    if dice.chance(350) {
        settings = settings.with_idle_timeout(Duration::from_secs(*dice.pick(&[0, 240, 600])));
    }
    if dice.chance(250) {
        settings = settings.with_cookie_age(Duration::from_secs(*dice.pick(&[600, 900, 1_800])));
    }
    if dice.chance(80) {
        settings = settings.with_seal(false);
    }
    if dice.chance(100) {
        settings = settings.with_max_per_owner(2);
    }
    if dice.chance(100) {
        settings = settings.with_expire_at_browser_close(true);
    }
    settings
}

/// Pauses between two requests that are close to one of the bounds.
fn pause(dice: &mut Dice, sim: &Sim, theme: Theme, turn: usize) -> Ms {
    match theme {
        Theme::Overtaken => {
            return match turn % 4 {
                1 => dice.between(10, 300),
                2 => dice.between(50, 1_200),
                _ => dice.between(170_000, 230_000),
            };
        }
        Theme::Saves if dice.chance(700) => return dice.between(0, 1_500),
        Theme::Ends if dice.chance(800) => return dice.between(5_000, 40_000),
        Theme::Losses if dice.chance(400) => {
            return sim.rules.window + dice.between(-5_000, 10_000);
        }
        _ => {}
    }
    let near = |dice: &mut Dice, at: Ms| (at + dice.between(-3_000, 4_000)).max(0);
    match dice.below(40) {
        0..=8 => 0,
        9..=13 => dice.between(1, 60),
        14..=22 => dice.between(60, 2_000),
        23..=27 => dice.between(2_000, 15_000),
        28..=30 => dice.between(15_000, 60_000),
        31 => near(dice, 30_000),
        32 => near(dice, 60_000),
        33 | 34 => near(dice, sim.rules.store),
        35 | 36 => near(dice, sim.rules.bound),
        37 => near(dice, sim.rules.window),
        38 => near(dice, 2 * sim.rules.window),
        _ if sim.rules.idle > 0 && sim.rules.idle < 3_600_000 => {
            sim.rules.idle + dice.between(-5_000, 120_000)
        }
        _ if sim.rules.age < 3_600_000 => near(dice, sim.rules.age),
        _ => near(dice, 11 * sim.rules.window),
    }
}

/// The theme of a history.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Theme {
    Everything,
    /// One browser with many parallel saves in one isolate.
    Saves,
    /// Logins of one user, and revoke_all.
    Owners,
    /// Ends that are set, moved, and seen from elsewhere.
    Ends,
    /// Records that the store loses, and copies of the cookies that were set with them.
    Losses,
    /// Groups of saves of one browser in one isolate: one whose put takes long, one that is refused
    /// meanwhile, one that is quick.
    Overtaken,
}

fn ops(dice: &mut Dice, sim: &Sim, theme: Theme, turn: usize) -> Vec<Op> {
    let key = dice.below(3);
    let themed = match theme {
        Theme::Everything => None,
        Theme::Saves => Some(match dice.below(10) {
            0..=6 => vec![Op::Set(key)],
            7 => vec![Op::Work(dice.between(5, 1_500)), Op::Set(key)],
            8 => vec![Op::Remove(key)],
            _ => vec![Op::Read],
        }),
        Theme::Owners => Some(match dice.below(10) {
            0..=2 => vec![Op::Bind {
                owner: 0,
                keep: dice.chance(500),
            }],
            3..=6 => vec![Op::RevokeAll {
                spare_self: dice.chance(600),
            }],
            7 => vec![Op::List],
            _ => vec![Op::Read],
        }),
        Theme::Ends => Some(match turn % 4 {
            0 => vec![Op::Set(key), Op::Expire(End::After(60))],
            2 => vec![Op::Expire(End::After(3_600))],
            _ => vec![Op::Read],
        }),
        Theme::Overtaken => Some(vec![Op::Set([2, 0, 1, 2][turn % 4])]),
        Theme::Losses => Some(match dice.below(2) {
            0 => vec![Op::Set(key)],
            _ => vec![Op::Read],
        }),
    };
    match themed {
        Some(ops) if dice.chance(850) => ops,
        _ => any_ops(dice, sim),
    }
}

fn any_ops(dice: &mut Dice, sim: &Sim) -> Vec<Op> {
    let key = |dice: &mut Dice| dice.below(3);
    let owner = |dice: &mut Dice| usize::from(dice.chance(250)) % OWNERS.len();
    let work = |dice: &mut Dice| {
        let short = dice.between(5, 900);
        let middle = dice.between(1_000, 20_000);
        let long = dice.between(30_000, 110_000);
        *dice.pick(&[short, short, middle, middle, long])
    };
    let known = |dice: &mut Dice, sim: &Sim| {
        let keys = sim.truth.borrow().known_keys();
        if keys.is_empty() {
            None
        } else {
            Some(dice.pick(&keys).clone())
        }
    };
    let a = key(dice);
    match dice.below(100) {
        0..=23 => vec![Op::Read],
        24..=40 => vec![Op::Set(a)],
        41..=44 => vec![Op::Set(a), Op::Set(key(dice))],
        45..=52 => vec![Op::Work(work(dice)), Op::Set(a)],
        53..=54 => vec![Op::Remove(a)],
        55 => vec![Op::Clear, Op::Set(a)],
        56..=57 => vec![Op::Flash],
        58..=59 => vec![Op::TakeFlash],
        60..=66 => vec![Op::Bind {
            owner: owner(dice),
            keep: dice.chance(500),
        }],
        67..=68 => vec![
            Op::Set(a),
            Op::Work(work(dice)),
            Op::Bind {
                owner: owner(dice),
                keep: true,
            },
        ],
        69..=70 => vec![Op::Flush { keep: false }],
        71 => vec![Op::Flush { keep: true }, Op::Set(a)],
        72..=75 => vec![Op::Destroy],
        76..=79 => vec![Op::Cycle],
        80 => vec![Op::Reauthenticate],
        81 => vec![Op::Set(a), Op::Cycle, Op::Work(work(dice))],
        82 => vec![Op::Expire(*dice.pick(&[
            End::After(120),
            End::After(3_600),
            End::Idle(300),
            End::Idle(0),
            End::BrowserClose,
            End::After(-5),
        ]))],
        83 => vec![Op::Revoke(known(dice, sim))],
        84 => vec![Op::Delete(known(dice, sim))],
        85..=87 => vec![Op::RevokeAll {
            spare_self: dice.chance(500),
        }],
        88..=89 => vec![
            Op::RevokeAll {
                spare_self: dice.chance(300),
            },
            Op::Bind {
                owner: owner(dice),
                keep: true,
            },
        ],
        90 => vec![Op::List],
        91 => vec![Op::Set(a), Op::Save, Op::Set(key(dice))],
        92 => vec![
            Op::Set(a),
            Op::Save,
            Op::Work(work(dice)),
            Op::Cycle,
            Op::Set(key(dice)),
        ],
        93 => vec![Op::Destroy, Op::Destroy],
        94 => vec![Op::Cycle, Op::Cycle],
        95 => vec![Op::Create, Op::Set(a)],
        96 => vec![Op::LoadFresh, Op::Set(a)],
        97 => vec![Op::Work(work(dice)), Op::Destroy],
        98 => vec![Op::Work(work(dice)), Op::Cycle],
        _ => vec![],
    }
}

/// One request of the history, by one of its clients.
fn next_spec(
    dice: &mut Dice,
    sim: &Sim,
    far: Option<usize>,
    theme: Theme,
    large: bool,
    turn: usize,
) -> Spec {
    let clients = sim.clients.borrow().len();
    let client = dice.below(clients);
    let servers = sim.servers() - usize::from(far.is_some());
    let mut spec = Spec::new(client, dice.below(servers), ops(dice, sim, theme, turn));
    match theme {
        Theme::Saves if dice.chance(750) => (spec.client, spec.server) = (0, 0),
        Theme::Overtaken => (spec.client, spec.server) = (0, 0),
        Theme::Ends if dice.chance(850) => {
            let elsewhere = if turn.is_multiple_of(2) {
                0
            } else {
                servers - 1
            };
            (spec.client, spec.server) = (0, elsewhere);
        }
        _ => {}
    }
    let client = spec.client;
    spec.large = large;
    spec.stubborn = dice.chance(300);
    spec.lazy = spec.ops.is_empty();
    spec.ending = match dice.below(30) {
        0 => Ending::AnswersFailure,
        1 => Ending::Throws,
        _ => Ending::Answers,
    };
    let now = sim.world.now();
    let mut all = sim.clients.borrow_mut();
    // No promise about writes covers a clock that is far ahead, so requests there only read.
    let reads = spec.ops == [Op::Read] && dice.chance(500) && {
        let key = all[client].jar.get("__Host-session", now);
        key.is_none_or(|key| sim.truth.borrow().is_ticket(key))
    };
    if let (Some(far), true) = (far, reads) {
        spec.server = far;
        spec.ending = Ending::Answers;
    } else if dice.chance(15) {
        spec.cookie = Some(forged(dice, all[client].jar.header(now)));
    } else if dice.chance(12) && clients > 1 {
        let other = (client + 1) % clients;
        let theirs = all[other].jar.get("__Host-session", now).map(str::to_owned);
        if let (Some(mine), Some(theirs)) = (all[client].jar.header(now), theirs) {
            spec.cookie = Some(format!("{mine}; __Host-session={theirs}"));
        }
    } else if dice.chance(15) {
        spec.cross_site = true;
    }
    spec
}

fn forged(dice: &mut Dice, header: Option<String>) -> String {
    let key = header.and_then(|header| {
        let mut pairs = header.split("; ");
        let key = pairs.find_map(|pair| pair.strip_prefix("__Host-session="))?;
        Some(key.to_owned())
    });
    match key {
        Some(key) if !key.is_empty() => {
            let mut bytes = key.into_bytes();
            let at = dice.below(bytes.len());
            bytes[at] = if bytes[at] == b'A' { b'Q' } else { b'A' };
            format!("__Host-session={}", String::from_utf8_lossy(&bytes))
        }
        _ => format!("__Host-session={}", "A".repeat(dice.below(220) + 1)),
    }
}

/// Lets time pass until `until`, with faults of requests and machines.
fn live(sim: &Rc<Sim>, weather: &Shared, until: Ms) {
    loop {
        let it = weather.get();
        if !it.calm {
            disturb(sim, it);
        }
        if sim.truth.borrow().violation.is_some() || !sim.world.step(until) {
            return;
        }
    }
}

fn disturb(sim: &Rc<Sim>, it: Weather) {
    let world = &sim.world;
    let requests = sim.truth.borrow().requests.len();
    if requests == 0 {
        return;
    }
    let (freeze, drop, evict, clock, chosen, later, server, offset) = {
        let mut dice = world.dice.borrow_mut();
        (
            dice.chance(it.freeze),
            dice.chance(it.drop),
            dice.chance(it.evict),
            dice.chance(it.clock),
            requests - 1 - dice.below(requests.min(3)),
            dice.chance(250),
            dice.below(sim.servers()),
            dice.between(-SKEW / 2, SKEW / 2),
        )
    };
    if freeze && world.is_running(chosen) {
        world.fault(Fault::Frozen);
        world.note(|| format!("#{chosen} is never run again (waitUntil too: {later})"));
        world.freeze(chosen, later);
    }
    if drop && world.is_running(chosen) {
        world.fault(Fault::Dropped);
        world.note(|| format!("#{chosen} is dropped"));
        world.cancel(chosen);
    }
    if evict {
        world.fault(Fault::IsolateGone);
        world.note(|| format!("the isolate {} is evicted", sim.server(server).isolate));
        sim.evict(server);
    }
    if clock && !sim.server(server).far {
        world.fault(Fault::ClockStepped);
        world.note(|| {
            format!(
                "the clock of isolate {} is off by {offset} ms",
                sim.server(server).isolate
            )
        });
        sim.server(server).clock.set(offset);
    }
}

/// The seed of the nth history of a run.
pub fn seed_of(from: u64, n: u64) -> u64 {
    mix(from.wrapping_mul(0x9e37_79b9).wrapping_add(n)) >> 11
}

/// Runs the history of `seed`.
pub fn run(seed: u64, keep: Keep) -> Ran {
    let sim = Cell::new(None);
    let done = catch_unwind(AssertUnwindSafe(|| history(seed, keep, &sim)));
    let sim: Option<Rc<Sim>> = sim.take();
    let Some(sim) = sim else {
        return Ran {
            violation: Some("INV-19: a panic before the first request".to_owned()),
            tally: Tally::default(),
            log: Vec::new(),
            transcript: None,
        };
    };
    if let Err(panic) = done {
        let what = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        let what = what.unwrap_or_else(|| "a panic".to_owned());
        if let Ok(mut truth) = sim.truth.try_borrow_mut() {
            truth.fail("INV-19", || what);
        }
    }
    let mut tally = std::mem::take(&mut sim.truth.borrow_mut().tally);
    tally.histories = 1;
    tally.requests = sim.truth.borrow().requests.len() as u64;
    for (mine, faults) in tally.faults.iter_mut().zip(*sim.world.faults.borrow()) {
        *mine += u64::from(faults);
    }
    let ran = Ran {
        violation: sim.violation(),
        tally,
        log: sim.world.take_log(),
        transcript: sim.world.take_transcript(),
    };
    sim.end();
    ran
}

fn history(seed: u64, keep: Keep, out: &Cell<Option<Rc<Sim>>>) {
    let mut dice = Dice::new(mix(seed ^ 0x5e55_1011));
    let theme = dice.weighted(&[
        (70, Theme::Everything),
        (12, Theme::Saves),
        (12, Theme::Owners),
        (12, Theme::Ends),
        (6, Theme::Losses),
        (3, Theme::Overtaken),
    ]);
    let settings = settings(&mut dice);
    let propagation = Ms::try_from(settings.propagation().as_millis()).unwrap_or(Ms::MAX);
    let mut drawn = Weather::draw(&mut dice, propagation);
    if theme == Theme::Losses {
        drawn.lost = 500;
    }
    // Puts that overtake each other.
    if theme == Theme::Saves && dice.chance(500) {
        drawn.slow = 400;
    }
    let weather: Shared = Rc::new(Cell::new(drawn));
    let damaged: Rc<RefCell<Vec<String>>> = Rc::default();
    let judge = {
        let (weather, damaged) = (Rc::clone(&weather), Rc::clone(&damaged));
        Box::new(move |world: &World, asked: &Asked<'_>| decide(&weather, &damaged, world, asked))
    };
    let world = World::new(Dice::new(dice.roll()), START, judge);
    match keep {
        Keep::Nothing => {}
        Keep::Log => world.keep_log(),
        Keep::Digest => world.transcribe(false),
        Keep::Transcript => world.transcribe(true),
    }
    world.note(|| format!("settings that are not the default: {}", changed(&settings)));
    let sim = Sim::new(world, settings);
    out.set(Some(Rc::clone(&sim)));

    let locations = 2 + dice.below(2);
    for location in 0..locations {
        for _ in 0..1 + dice.below(2) {
            let offset = if dice.chance(300) {
                dice.between(-SKEW / 2, SKEW / 2)
            } else {
                0
            };
            sim.add_server(location, offset);
        }
    }
    let far = dice.chance(60).then(|| {
        sim.world.fault(Fault::ClockFar);
        sim.add_server(0, 3_600_000)
    });
    for _ in 0..1 + dice.below(2) {
        sim.add_client(false);
    }
    for _ in 0..1 + dice.below(2) {
        sim.add_client(dice.chance(700));
    }
    sim.network.set(Network {
        lost: *dice.pick(&[0, 0, 30, 100]),
        late: *dice.pick(&[0, 0, 50, 150]),
    });
    let large = dice.chance(match theme {
        Theme::Saves | Theme::Ends | Theme::Overtaken => 600,
        _ => 150,
    });

    let wanted = match theme {
        Theme::Overtaken => 8,
        _ => REQUESTS + dice.below(9),
    };
    let mut sent = 0;
    while sent < wanted || (sim.world.faults_so_far() < FAULTS && sent < 40) {
        if sent >= wanted {
            let mut it = weather.get();
            it.force = true;
            weather.set(it);
        }
        if theme == Theme::Overtaken {
            let mut it = weather.get();
            (it.crawls, it.refused) = (sent % 4 == 1, sent % 4 == 2);
            weather.set(it);
        }
        trouble(&mut dice, &sim, &weather, locations);
        let spec = next_spec(&mut dice, &sim, far, theme, large, sent);
        sim.send(spec);
        let until = sim.world.now() + pause(&mut dice, &sim, theme, sent);
        sent += 1;
        live(&sim, &weather, until);
        for name in damaged.borrow_mut().drain(..) {
            sim.truth.borrow_mut().taint(&name);
        }
        if sim.violation().is_some() {
            return;
        }
    }
    // Running requests end, one way or another.
    let until = sim.world.now() + 130_000;
    live(&sim, &weather, until);
    for name in damaged.borrow_mut().drain(..) {
        sim.truth.borrow_mut().taint(&name);
    }
    if sim.violation().is_none() {
        liveness(&mut dice, &sim, &weather, usize::from(far.is_some()));
    }
}

/// Events of clients, and temporary faults of the store.
fn trouble(dice: &mut Dice, sim: &Rc<Sim>, weather: &Shared, locations: usize) {
    let now = sim.world.now();
    let mut it = weather.get();
    if dice.chance(25) {
        let place = dice.chance(500).then(|| dice.below(locations));
        it.outage = Some((place, now, now + dice.between(500, 40_000)));
        sim.world
            .note(|| format!("cut off from the store: {place:?}"));
    }
    if dice.chance(25) {
        it.half = Some((dice.chance(500), now, now + dice.between(500, 40_000)));
        sim.world.note(|| "half of the keys fail".to_owned());
    }
    if dice.chance(15) {
        it.quota = Some((now, now + dice.between(500, 60_000)));
        sim.world.note(|| "the quota is spent".to_owned());
    }
    weather.set(it);
    let mut clients = sim.clients.borrow_mut();
    for thief in 0..clients.len() {
        if !clients[thief].thief || !dice.chance(250) {
            continue;
        }
        let victim = dice.below(clients.len());
        if clients[victim].jar.get("__Host-session", now).is_some() && victim != thief {
            let jar = clients[victim].jar.clone();
            clients[thief].copy(&jar);
            sim.world.fault(Fault::Stolen);
            sim.world
                .note(|| format!("client {thief} copies the cookies of client {victim}"));
        }
    }
    let browser = dice.below(clients.len());
    if dice.chance(20) {
        clients[browser].jar.set_aside();
        sim.world
            .note(|| format!("client {browser} keeps its cookies as those of other settings"));
    }
    if dice.chance(12) && !clients[browser].thief {
        clients[browser].jar.close();
        sim.world.fault(Fault::BrowserClosed);
        sim.world
            .note(|| format!("client {browser} closes its browser"));
    }
}

/// From here on there are no faults. Then the checks of [`aftermath`] follow.
fn liveness(dice: &mut Dice, sim: &Rc<Sim>, weather: &Shared, far: usize) {
    let mut it = weather.get();
    it.calm = true;
    weather.set(it);
    sim.network.set(Network::default());
    let servers = sim.servers() - far;
    let mut anywhere = || dice.below(servers);
    aftermath(sim, &mut anywhere, &|sim, until| live(sim, weather, until));
}

fn changed(settings: &Settings) -> String {
    let default: Vec<_> = Settings::default().list().collect();
    let changed = settings
        .list()
        .filter(|it| !default.contains(it))
        .map(|(name, value)| format!("{name}={value}"));
    changed.collect::<Vec<_>>().join(" ")
}
