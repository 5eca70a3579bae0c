//! Every schedule of every pair of operations of two requests on one session. Both requests begin
//! at once. Each operation of the store then happens when it is chosen, and every order is tried.
//! The record's put is two events, because other requests of the isolate can see it in progress.
//! Each schedule ends with the same checks as a random history.

use std::rc::Rc;
use std::time::Duration;

use edge_session::Settings;
use edge_session_sim::Ms;
use edge_session_sim::aftermath::aftermath;
use edge_session_sim::dice::Dice;
use edge_session_sim::history::Sim;
use edge_session_sim::kv::{LOCATIONS, Spread};
use edge_session_sim::random::START;
use edge_session_sim::request::{Op, Spec};
use edge_session_sim::world::{Verdict, World};

/// Where the two requests run.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Layout {
    OneIsolate,
    /// Neither location sees the other's writes before both requests are done.
    TwoLocations,
}

const THINGS: [&str; 9] = [
    "save",
    "join save",
    "seen",
    "cycle",
    "bind",
    "flush",
    "destroy",
    "revoke",
    "revoke_all",
];

/// What the request does; `at` is its position in the pair.
fn ops(thing: &str, at: usize, key: &str) -> Vec<Op> {
    match thing {
        "save" => vec![Op::Set(at)],
        "join save" => vec![Op::Work(1_500), Op::Set(at)],
        "seen" => vec![Op::Read],
        "cycle" => vec![Op::Cycle],
        "bind" => vec![Op::Bind {
            owner: 0,
            keep: true,
        }],
        "flush" => vec![Op::Flush { keep: true }],
        "destroy" => vec![Op::Destroy],
        "revoke" => vec![Op::Revoke(Some(key.to_owned()))],
        _ => vec![Op::RevokeAll { spare_self: true }],
    }
}

/// A browser and another device, both logged in as the same user long ago.
fn setting(layout: Layout) -> (Rc<Sim>, String) {
    let judge = Box::new(
        move |_: &World, asked: &edge_session_sim::world::Asked<'_>| {
            let mut spread = Spread::PROMPT;
            spread.cached_at = Some(asked.location);
            if layout == Layout::TwoLocations {
                spread.delay = [60_000; LOCATIONS];
                spread.delay[asked.location] = 0;
                spread.listed = 60_000;
            }
            Verdict {
                spread,
                ..Verdict::QUICK
            }
        },
    );
    // Idle for long enough that the seen cookie must be renewed.
    let settings = Settings::default().with_idle_timeout(Duration::from_secs(3_600));
    let sim = Sim::new(World::new(Dice::new(7), START, judge), settings);
    sim.add_server(0, 0);
    sim.add_server(1, 0);
    for client in 0..2 {
        sim.add_client(false);
        let bind = Op::Bind {
            owner: 0,
            keep: false,
        };
        sim.send(Spec::new(client, client, vec![bind]));
        sim.world.run_until(sim.world.now() + 5_000);
    }
    let id = 0;
    let key = sim.answer(id).and_then(|it| it.view).and_then(|it| it.key);
    sim.world.run_until(sim.world.now() + 300_000);
    (sim, key.unwrap_or_default())
}

/// Runs one schedule. `path` has the choice to make at each point; beyond its end, the first one is
/// made and added to it. Returns the number of choices at each point.
fn run(pair: [&str; 2], layout: Layout, path: &mut Vec<usize>) -> (Vec<usize>, Option<String>) {
    let (sim, key) = setting(layout);
    let world = Rc::clone(&sim.world);
    world.keep_log();
    world.choose_by_hand();
    let requests = [0, 1].map(|at| {
        let thing = pair[at];
        // `revoke` and `revoke_all` come from the other device, the rest from two tabs of the browser.
        let client = usize::from(thing.starts_with("revoke"));
        let server = match layout {
            Layout::OneIsolate => 0,
            Layout::TwoLocations => at,
        };
        sim.send(Spec::new(client, server, ops(thing, at, &key)))
    });
    let mut width = Vec::new();
    loop {
        let waiting = world.settle();
        if waiting.is_empty() {
            if !requests.iter().any(|id| world.is_running(*id)) || !world.step(world.now() + 60_000)
            {
                break;
            }
            continue;
        }
        let place = if waiting.len() == 1 {
            0
        } else {
            let depth = width.len();
            width.push(waiting.len());
            if path.len() == depth {
                path.push(0);
            }
            path[depth]
        };
        world.choose(place);
    }
    world.stop_choosing();
    let mut turn = 0;
    let mut anywhere = || {
        turn += 1;
        turn % 2
    };
    let live = |sim: &Rc<Sim>, until: Ms| sim.world.run_until(until);
    if sim.violation().is_none() {
        aftermath(&sim, &mut anywhere, &live);
    }
    let violation = sim.violation();
    let violation = violation.map(|what| format!("{what}\n{}", world.take_log().join("\n")));
    sim.end();
    (width, violation)
}

/// Tries every schedule and returns their number.
fn explore(pair: [&str; 2], layout: Layout) -> usize {
    let mut path = Vec::new();
    let mut schedules = 0;
    loop {
        let (width, violation) = run(pair, layout, &mut path);
        schedules += 1;
        if let Some(violation) = violation {
            panic!("{pair:?}, {layout:?}, schedule {path:?}: {violation}");
        }
        // The next path: advance the last point that has a choice left.
        path.truncate(width.len());
        while let Some(last) = path.pop() {
            if last + 1 < width[path.len()] {
                path.push(last + 1);
                break;
            }
        }
        if path.is_empty() {
            return schedules;
        }
    }
}

fn all_with(one: &str) {
    let from = THINGS.iter().position(|it| *it == one).unwrap_or_default();
    for other in &THINGS[from..] {
        for layout in [Layout::OneIsolate, Layout::TwoLocations] {
            let schedules = explore([one, other], layout);
            println!("{one} with {other}, {layout:?}: {schedules} schedules");
            assert!(schedules > 1);
        }
    }
}

macro_rules! pairs {
    ($($test:ident: $thing:literal;)*) => {
        $(#[test]
        fn $test() {
            all_with($thing);
        })*
    };
}

pairs! {
    every_schedule_with_a_save: "save";
    every_schedule_with_a_join_save: "join save";
    every_schedule_with_a_seen: "seen";
    every_schedule_with_a_cycle: "cycle";
    every_schedule_with_a_bind: "bind";
    every_schedule_with_a_flush: "flush";
    every_schedule_with_a_destroy: "destroy";
    every_schedule_with_a_revoke: "revoke";
    every_schedule_with_a_revoke_all: "revoke_all";
}
