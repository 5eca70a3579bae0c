//! A history from a seed.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use edge_session::{ErrorCode, Outcome, Settings};

use super::history::{Ring, Sim};
use super::tally::Tally;
use super::weather::{Rates, Trouble};
use crate::Ms;
use crate::dice::{Dice, mix};
use crate::history::Network;
use crate::random::{Keep, START};
use crate::request::{End, Ending, OWNERS, Op, Spec};
use crate::truth::SKEW;
use crate::world::{Verdict, World};

const REQUESTS: usize = 6;

/// The result of a history.
pub struct Ran {
    pub violation: Option<String>,
    pub tally: Tally,
    pub log: Vec<String>,
}

/// The theme of a history.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Theme {
    Everything,
    /// One browser with parallel saves and new keys.
    Saves,
    /// Logins of one user, and `revoke_all`.
    Owners,
    /// While a secret is being replaced: new keys, thieves and logouts.
    Moves,
    /// Requests that keep a session open for minutes, while the tombstones of removed keys are
    /// dropped.
    Long,
}

fn settings(dice: &mut Dice, theme: Theme) -> Settings {
    // Without sealing, the checker can read what is stored.
    let mut settings = Settings::default().with_seal(dice.chance(150));
    if dice.chance(200) {
        settings = settings.with_cookie_age(Duration::from_secs(*dice.pick(&[600, 900, 1_800])));
    }
    if dice.chance(200) {
        settings = settings.with_idle_timeout(Duration::from_secs(*dice.pick(&[0, 240, 600])));
    }
    if dice.chance(if theme == Theme::Owners { 500 } else { 80 }) {
        settings = settings.with_max_per_owner(*dice.pick(&[1, 2, 2, 3]));
    }
    if dice.chance(100) {
        settings = settings.with_expire_at_browser_close(true);
    }
    settings
}

fn pause(dice: &mut Dice, theme: Theme, turn: usize) -> Ms {
    match theme {
        Theme::Saves if dice.chance(800) => return dice.between(0, 200),
        // Two operations at the same time.
        Theme::Moves if dice.chance(400) => return dice.between(0, 60),
        Theme::Owners | Theme::Moves if dice.chance(700) => return dice.between(0, 400),
        Theme::Long if dice.chance(900) => {
            return match turn % 4 {
                0 | 1 => dice.between(100, 2_000),
                2 => dice.between(92_000, 120_000),
                _ => dice.between(100_000, 250_000),
            };
        }
        _ => {}
    }
    match dice.below(20) {
        0..=6 => 0,
        7..=11 => dice.between(1, 100),
        12..=14 => dice.between(100, 2_000),
        15 | 16 => dice.between(2_000, 20_000),
        17 => 90_000 + dice.between(-5_000, 6_000),
        18 => dice.between(20_000, 90_000),
        _ => dice.between(200_000, 1_200_000),
    }
}

fn ops(dice: &mut Dice, sim: &Sim, theme: Theme, turn: usize) -> Vec<Op> {
    let key = dice.below(3);
    let themed = match theme {
        Theme::Everything => None,
        Theme::Saves => Some(match dice.below(13) {
            // Loads again after a save with an unknown result.
            12 => vec![
                Op::Set(key),
                Op::Save,
                Op::Work(dice.between(5, 300)),
                Op::LoadFresh,
                Op::Set(dice.below(3)),
            ],
            0..=5 => vec![Op::Set(key)],
            6 => vec![Op::Work(dice.between(5, 300)), Op::Set(key)],
            7 => vec![Op::Remove(key)],
            8 | 9 => vec![Op::Set(key), Op::Cycle],
            10 => vec![Op::Cycle],
            _ => vec![Op::Bind {
                owner: 0,
                keep: true,
            }],
        }),
        Theme::Owners => Some(match dice.below(13) {
            // A password change logs in first, and spares that login.
            12 => vec![
                Op::Bind {
                    owner: 0,
                    keep: dice.chance(700),
                },
                Op::Work(dice.between(0, 3_000)),
                Op::RevokeAll { spare_self: true },
            ],
            0..=4 => vec![Op::Bind {
                owner: 0,
                keep: dice.chance(700),
            }],
            5 | 6 => vec![Op::RevokeAll {
                spare_self: dice.chance(600),
            }],
            7 => vec![
                Op::RevokeAll { spare_self: false },
                Op::Bind {
                    owner: 0,
                    keep: true,
                },
            ],
            8 => vec![
                Op::Bind {
                    owner: 0,
                    keep: true,
                },
                Op::Work(dice.between(5, 3_000)),
            ],
            9 | 10 => vec![Op::List],
            _ => vec![Op::Set(key)],
        }),
        Theme::Moves => Some(match dice.below(12) {
            _ if turn == 0 => vec![Op::Bind {
                owner: 0,
                keep: true,
            }],
            0 | 1 => vec![Op::Bind {
                owner: 0,
                keep: true,
            }],
            2..=6 => vec![Op::Cycle, Op::Set(key)],
            7 | 8 => vec![Op::Destroy],
            9 => vec![Op::List],
            10 => vec![Op::RevokeAll {
                spare_self: dice.chance(300),
            }],
            _ => vec![Op::Set(key)],
        }),
        // Groups of four: a request that keeps the session open for long, a removal, and a save
        // once the removal's tombstone is dropped.
        Theme::Long => Some(match turn % 4 {
            0 => vec![Op::Set(0), Op::Set(1)],
            1 => vec![Op::Work(dice.between(150_000, 300_000)), Op::Set(1)],
            2 => vec![Op::Remove(0)],
            _ => vec![Op::Set(2)],
        }),
    };
    match themed {
        Some(ops) if dice.chance(850) => ops,
        _ => any_ops(dice, sim),
    }
}

fn any_ops(dice: &mut Dice, sim: &Sim) -> Vec<Op> {
    let a = dice.below(3);
    let b = dice.below(3);
    let owner = usize::from(dice.chance(250)) % OWNERS.len();
    let work = {
        let short = dice.between(5, 900);
        let long = dice.between(1_000, 20_000);
        *dice.pick(&[short, short, long])
    };
    let keys = sim.truth.known_keys();
    let known = (!keys.is_empty()).then(|| dice.pick(&keys).clone());
    let keep = dice.chance(500);
    match dice.below(100) {
        0..=19 => vec![Op::Read],
        20..=37 => vec![Op::Set(a)],
        38..=41 => vec![Op::Set(a), Op::Set(b)],
        42..=47 => vec![Op::Work(work), Op::Set(a)],
        48..=50 => vec![Op::Remove(a)],
        51 => vec![Op::Clear, Op::Set(a)],
        52 => vec![Op::Flash],
        53 => vec![Op::TakeFlash],
        54..=61 => vec![Op::Bind { owner, keep }],
        62..=63 => vec![Op::Set(a), Op::Work(work), Op::Bind { owner, keep: true }],
        64..=65 => vec![Op::Flush { keep: false }],
        66 => vec![Op::Flush { keep: true }, Op::Set(a)],
        67..=71 => vec![Op::Destroy],
        72..=76 => vec![Op::Cycle],
        77..=78 => vec![Op::Reauthenticate],
        79 => vec![Op::Set(a), Op::Cycle, Op::Work(work)],
        80 => vec![Op::Expire(*dice.pick(&[
            End::After(120),
            End::Idle(300),
            End::After(-5),
        ]))],
        81 => vec![Op::Revoke(known)],
        82 => vec![Op::Delete(known)],
        83..=86 => vec![Op::RevokeAll {
            spare_self: dice.chance(500),
        }],
        87..=88 => vec![
            Op::RevokeAll {
                spare_self: dice.chance(300),
            },
            Op::Bind { owner, keep: true },
        ],
        89..=91 => vec![Op::List],
        92..=93 => vec![Op::Set(a), Op::Save, Op::Set(b)],
        94 => vec![Op::Destroy, Op::Destroy],
        95 => vec![Op::Create, Op::Set(a)],
        96 => vec![Op::LoadFresh, Op::Set(a)],
        97 => vec![Op::Work(work), Op::Destroy],
        98 => vec![Op::Work(work), Op::Cycle],
        _ => vec![],
    }
}

fn next_spec(dice: &mut Dice, sim: &Sim, theme: Theme, turn: usize) -> Spec {
    let clients = sim.clients.borrow().len();
    let client = match theme {
        Theme::Saves | Theme::Long if dice.chance(800) => 0,
        _ => dice.below(clients),
    };
    let mut spec = Spec::new(
        client,
        dice.below(sim.servers()),
        ops(dice, sim, theme, turn),
    );
    let looks_again = spec.does(|op| *op == Op::LoadFresh);
    spec.stubborn = dice.chance(if looks_again { 800 } else { 300 });
    spec.lazy = spec.ops.is_empty() || (spec.ops == [Op::Destroy] && dice.chance(300));
    spec.ending = match dice.below(30) {
        0 => Ending::AnswersFailure,
        1 => Ending::Throws,
        _ => Ending::Answers,
    };
    let now = sim.world.now();
    let mut all = sim.clients.borrow_mut();
    if dice.chance(10) {
        spec.cookie = Some(format!(
            "__Host-session={}",
            "A".repeat(dice.below(200) + 1)
        ));
    } else if dice.chance(15) && clients > 1 {
        let other = (client + 1) % clients;
        let theirs = all[other].jar.get("__Host-session", now).map(str::to_owned);
        if let (Some(mine), Some(theirs)) = (all[client].jar.header(now), theirs) {
            spec.cookie = Some(format!("{mine}; __Host-session={theirs}"));
        }
    } else if dice.chance(10) {
        spec.cross_site = true;
    }
    spec
}

/// Lets time pass until `until`, with faults of requests, machines and objects.
fn live(sim: &Rc<Sim>, until: Ms) {
    loop {
        disturb(sim, sim.weather.rates.get());
        if sim.truth.violation().is_some() || !sim.world.step(until) {
            return;
        }
    }
}

fn disturb(sim: &Rc<Sim>, it: Rates) {
    let world = &sim.world;
    let requests = sim.truth.requests();
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
        sim.weather.count(Trouble::Frozen);
        world.note(|| format!("#{chosen} is never run again (waitUntil too: {later})"));
        world.freeze(chosen, later);
    }
    if drop && world.is_running(chosen) {
        sim.weather.count(Trouble::Dropped);
        world.note(|| format!("#{chosen} is dropped"));
        world.cancel(chosen);
    }
    if evict {
        sim.weather.count(Trouble::IsolateGone);
        world.note(|| format!("server {server} is evicted"));
        sim.evict(server, None);
    }
    if clock {
        sim.weather.count(Trouble::ClockStepped);
        world.note(|| format!("the clock of server {server} is off by {offset} ms"));
        sim.set_clock(server, offset);
    }
}

/// Runs the history of `seed`.
pub fn run(seed: u64, keep: Keep) -> Ran {
    let sim = Cell::new(None);
    let done = catch_unwind(AssertUnwindSafe(|| history(seed, keep, &sim)));
    let sim: Option<Rc<Sim>> = sim.take();
    let Some(sim) = sim else {
        return Ran {
            violation: Some("no panic: before the first request".to_owned()),
            tally: Tally::default(),
            log: Vec::new(),
        };
    };
    if let Err(panic) = done {
        let what = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        sim.truth.fail("no panic", || what.unwrap_or_default());
    }
    let tally = Tally {
        histories: 1,
        requests: sim.truth.requests() as u64,
        outcomes: sim.truth.outcomes(),
        troubles: *sim.weather.counts.borrow(),
        met: sim.truth.met(),
    };
    let ran = Ran {
        violation: sim.truth.violation(),
        tally,
        log: sim.world.take_log(),
    };
    sim.end();
    ran
}

fn history(seed: u64, keep: Keep, out: &Cell<Option<Rc<Sim>>>) {
    let mut dice = Dice::new(mix(seed ^ 0x0b1e_c75e));
    let theme = dice.weighted(&[
        (40, Theme::Everything),
        (20, Theme::Saves),
        (20, Theme::Owners),
        (15, Theme::Moves),
        (6, Theme::Long),
    ]);
    let settings = settings(&mut dice, theme);
    let world = World::new(
        Dice::new(dice.roll()),
        START,
        Box::new(|_, _| Verdict::QUICK),
    );
    if keep != Keep::Nothing {
        world.keep_log();
    }
    let two = dice.chance(if theme == Theme::Moves { 950 } else { 100 });
    let sim = Sim::new(world, settings, 1 + usize::from(two));
    out.set(Some(Rc::clone(&sim)));
    sim.weather.rates.set(Rates::draw(&mut dice));
    if dice.chance(200) {
        sim.weather.count(Trouble::ObjectClock);
        sim.objects.offset.set(dice.between(-SKEW / 2, SKEW / 2));
    }
    for server in 0..2 + dice.below(2) {
        let offset = if dice.chance(300) {
            dice.between(-SKEW / 2, SKEW / 2)
        } else {
            0
        };
        let ring = match (two, server) {
            (false, _) => Ring::One,
            (true, 0) => Ring::OldSigns,
            (true, 1) if theme == Theme::Moves => Ring::NewSigns,
            (true, _) if dice.chance(500) => Ring::OldSigns,
            (true, _) => Ring::NewSigns,
        };
        sim.add_server(offset, ring);
    }
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
    for turn in 0..REQUESTS + dice.below(9) {
        trouble(&mut dice, &sim);
        let spec = next_spec(&mut dice, &sim, theme, turn);
        sim.send(spec);
        let until = sim.world.now() + pause(&mut dice, theme, turn);
        live(&sim, until);
        if sim.truth.violation().is_some() {
            return;
        }
    }
    live(&sim, sim.world.now() + 130_000);
    if sim.truth.violation().is_none() {
        aftermath(&mut dice, &sim);
    }
}

/// Events of clients, servers and objects between two requests.
fn trouble(dice: &mut Dice, sim: &Rc<Sim>) {
    let now = sim.world.now();
    if dice.chance(sim.weather.rates.get().wipe) {
        let shards = sim.objects.shards();
        if !shards.is_empty() {
            let shard = dice.pick(&shards).clone();
            sim.weather.count(Trouble::Wiped);
            sim.world
                .note(|| format!("the object {} is deleted", crate::world::short(&shard)));
            sim.objects.wipe(&shard);
            sim.truth.wiped(&shard, now);
        }
    }
    let server = dice.below(sim.servers());
    if sim.ring_of(server) == Ring::OldSigns && dice.chance(120) {
        sim.weather.count(Trouble::SecretReplaced);
        sim.world
            .note(|| format!("from now on server {server} signs with the new secret"));
        sim.evict(server, Some(Ring::NewSigns));
    }
    let mut clients = sim.clients.borrow_mut();
    for thief in 0..clients.len() {
        if !clients[thief].thief || !dice.chance(250) {
            continue;
        }
        let victim = dice.below(clients.len());
        if clients[victim].jar.get("__Host-session", now).is_some() && victim != thief {
            let jar = clients[victim].jar.stolen();
            clients[thief].jar = jar;
            sim.weather.count(Trouble::Stolen);
            sim.world
                .note(|| format!("client {thief} copies the cookies of client {victim}"));
        }
    }
    let browser = dice.below(clients.len());
    if dice.chance(12) && !clients[browser].thief {
        clients[browser].jar.close();
        sim.weather.count(Trouble::BrowserClosed);
        sim.world
            .note(|| format!("client {browser} closes its browser"));
    }
}

/// From here on there are no faults: every session must be usable or gone, and lists must be exact.
fn aftermath(dice: &mut Dice, sim: &Rc<Sim>) {
    sim.weather.calm();
    sim.network.set(Network::default());
    sim.world
        .note(|| "from here on nothing goes wrong".to_owned());
    for _ in 0..20 {
        if (0..sim.truth.requests()).any(|id| sim.world.is_active(id)) {
            live(sim, sim.world.now() + 30_000);
        }
    }
    live(sim, sim.world.now() + 90_000 + 2 * SKEW);
    let clients = sim.clients.borrow().len();
    for client in 0..clients {
        let mut id = visit(dice, sim, client, vec![Op::Read, Op::Set(0), Op::List]);
        // Of two live sessions, the user chooses by a login.
        if sim
            .view(id)
            .is_some_and(|view| view.outcome == Outcome::Ambiguous)
        {
            let login = Op::Bind {
                owner: 0,
                keep: false,
            };
            visit(dice, sim, client, vec![login]);
            id = visit(dice, sim, client, vec![Op::Read, Op::Set(0), Op::List]);
        }
        // A session may end between its load and its save. The next request starts again.
        if sim
            .answer(id)
            .is_some_and(|answer| matches!(answer.result, Err(ErrorCode::Expired)))
        {
            id = visit(dice, sim, client, vec![Op::Read, Op::Set(0), Op::List]);
        }
        let found = sim.view(id).map(|view| view.outcome);
        let said = sim.answer(id).map(|answer| answer.result);
        let usable = !matches!(
            found,
            None | Some(Outcome::Unavailable | Outcome::Ambiguous)
        );
        // The session ended, or got another key, at the very end of the history.
        let is_told = match said {
            Some(Ok(200)) => true,
            Some(Err(ErrorCode::Revoked)) => found == Some(Outcome::Revoked),
            Some(Err(ErrorCode::Rotated)) => found == Some(Outcome::Rotated),
            _ => false,
        };
        if !usable || !is_told {
            sim.truth.fail("usable or plainly gone", || {
                format!("#{id} of client {client} finds {found:?} and answers {said:?}")
            });
            return;
        }
    }
}

fn visit(dice: &mut Dice, sim: &Rc<Sim>, client: usize, ops: Vec<Op>) -> usize {
    let server = dice.below(sim.servers());
    let id = sim.send(Spec::new(client, server, ops));
    live(sim, sim.world.now() + 10_000);
    id
}
