//! `npm run simulate`: what it says of itself is below; what it checks is in `docs/consistency.md`.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use edge_session_sim::dice::mix;
use edge_session_sim::random;
use edge_session_sim::tally::Tally;

const USAGE: &str = "\
usage: npm run simulate -- [--histories N] [--from S] [--seed S] [--mutant NAME]
                           [--list-mutants] [--mutants] [--seeds N] [--limit N]

  --histories N    runs N histories (100000), with a fresh seed that is printed
  --from S         the same histories as the run that printed S
  --seed S         replays one history and shows it
  --mutant NAME    with one rule of the protocol broken
  --list-mutants   the names of the rules that can be broken
  --mutants        breaks each in turn, or only that of --mutant: how many histories it takes to
                   catch it, over --seeds N seeds (20); a seed gives up after --limit N (10000)

Exit status: 0 no violation, 1 a violation or something that never happened, 2 a mistake above.";

/// So few histories need not meet everything.
const ENOUGH: u64 = 50_000;

struct Options {
    histories: u64,
    from: Option<u64>,
    seed: Option<u64>,
    mutant: Option<String>,
    list: bool,
    table: bool,
    seeds: u64,
    limit: u64,
}

fn options() -> Result<Options, String> {
    let mut options = Options {
        histories: 100_000,
        from: None,
        seed: None,
        mutant: None,
        list: false,
        table: false,
        seeds: 20,
        limit: 10_000,
    };
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        let (name, mut value) = match arg.split_once('=') {
            Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
            None => (arg, None),
        };
        let mut text = || {
            value
                .take()
                .or_else(|| args.next())
                .ok_or(format!("{name} wants a value"))
        };
        let mut number = || {
            let text = text()?;
            text.parse::<u64>()
                .map_err(|_| format!("{name}: {text} is no number"))
        };
        match &*name {
            "--histories" => options.histories = number()?.max(1),
            "--from" => options.from = Some(number()?),
            "--seed" => options.seed = Some(number()?),
            "--seeds" => options.seeds = number()?.max(1),
            "--limit" => options.limit = number()?.max(1),
            "--mutant" => options.mutant = Some(text()?),
            "--list-mutants" => options.list = true,
            "--mutants" => options.table = true,
            _ => return Err(format!("unknown option {name}")),
        }
    }
    Ok(options)
}

#[cfg(feature = "mutants")]
mod mutants {
    pub use edge_session::mutants::{activate, names};
}

#[cfg(not(feature = "mutants"))]
mod mutants {
    pub fn names() -> Vec<&'static str> {
        Vec::new()
    }

    pub fn activate(_: Option<&str>) -> bool {
        false
    }
}

fn main() -> ExitCode {
    let options = match options() {
        Ok(options) => options,
        Err(mistake) => {
            eprintln!("{mistake}\n\n{USAGE}");
            return ExitCode::from(2);
        }
    };
    // A panic in a history is a violation of it, reported as one.
    std::panic::set_hook(Box::new(|_| {}));
    if options.list {
        for name in mutants::names() {
            println!("{name}");
        }
        return ExitCode::SUCCESS;
    }
    if let Some(mutant) = &options.mutant
        && !mutants::names().iter().any(|name| name == mutant)
    {
        eprintln!("there is no mutant {mutant}; --list-mutants names them");
        return ExitCode::from(2);
    }
    if options.table {
        return table(&options);
    }
    if let Some(seed) = options.seed {
        mutants::activate(options.mutant.as_deref());
        return replay(seed, true);
    }
    many(&options)
}

/// Shows one history.
fn replay(seed: u64, all: bool) -> ExitCode {
    let ran = random::run(seed, true);
    if all || ran.violation.is_some() {
        for line in &ran.log {
            println!("{line}");
        }
    }
    match ran.violation {
        Some(violation) => {
            println!("\nviolation of {violation}");
            println!("seed {seed}: npm run simulate -- --seed {seed}");
            ExitCode::from(1)
        }
        None => {
            println!("\nno violation in the history of seed {seed}");
            ExitCode::SUCCESS
        }
    }
}

fn threads() -> usize {
    thread::available_parallelism().map_or(1, |it| it.get())
}

fn fresh() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    mix(since.as_nanos() as u64) >> 16
}

fn many(options: &Options) -> ExitCode {
    let from = options.from.unwrap_or_else(fresh);
    println!("{} histories from seed {from}", options.histories);
    let started = Instant::now();
    let next = AtomicU64::new(0);
    let stop = AtomicBool::new(false);
    let failed: Mutex<Option<(u64, u64)>> = Mutex::new(None);
    let total = Mutex::new(Tally::default());
    thread::scope(|scope| {
        for _ in 0..threads() {
            scope.spawn(|| {
                mutants::activate(options.mutant.as_deref());
                let mut mine = Tally::default();
                while !stop.load(Ordering::Relaxed) {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= options.histories {
                        break;
                    }
                    let seed = seed_of(from, n);
                    let ran = random::run(seed, false);
                    mine.add(&ran.tally);
                    if ran.violation.is_some() {
                        stop.store(true, Ordering::Relaxed);
                        if let Ok(mut failed) = failed.lock()
                            && failed.is_none_or(|(first, _)| n < first)
                        {
                            *failed = Some((n, seed));
                        }
                    }
                }
                if let Ok(mut total) = total.lock() {
                    total.add(&mine);
                }
            });
        }
    });
    let seconds = started.elapsed().as_secs_f64();
    let total = total.into_inner().unwrap_or_default();
    let (report, missing) = total.report();
    println!("{report}");
    let rate = total.histories as f64 / seconds;
    println!(
        "{} histories, {} requests in {seconds:.1} s: {rate:.0} histories a second",
        total.histories, total.requests
    );
    if let Some((n, seed)) = failed.into_inner().unwrap_or_default() {
        println!("\nhistory {n} violates a rule:\n");
        mutants::activate(options.mutant.as_deref());
        return replay(seed, false);
    }
    if missing.is_empty() {
        println!("no violation");
        return ExitCode::SUCCESS;
    }
    println!("never happened: {}", missing.join("; "));
    if total.histories < ENOUGH {
        println!("no violation; too few histories to have met everything ({ENOUGH} have to)");
        return ExitCode::SUCCESS;
    }
    ExitCode::from(1)
}

/// The seed of the nth history of a run.
fn seed_of(from: u64, n: u64) -> u64 {
    mix(from.wrapping_mul(0x9e37_79b9).wrapping_add(n)) >> 11
}

/// How soon each mutant is caught, and by which rules.
fn table(options: &Options) -> ExitCode {
    let limit = options.limit;
    let from = options.from.unwrap_or_else(fresh);
    println!(
        "histories until a mutant is caught, over {} seeds from {from}\n",
        options.seeds
    );
    println!("| mutant | least | median | most | what it breaks |\n|---|---|---|---|---|");
    let wanted = |name: &&str| options.mutant.as_deref().is_none_or(|only| only == *name);
    let names: Vec<&str> = mutants::names().into_iter().filter(wanted).collect();
    let mut missed = 0;
    for name in &names {
        let next = AtomicU64::new(0);
        let found: Mutex<Vec<u64>> = Mutex::default();
        let broken: Mutex<BTreeMap<String, u32>> = Mutex::default();
        thread::scope(|scope| {
            for _ in 0..threads() {
                scope.spawn(|| {
                    mutants::activate(Some(name));
                    loop {
                        let run = next.fetch_add(1, Ordering::Relaxed);
                        if run >= options.seeds {
                            break;
                        }
                        let (n, violation) = hunt(from.wrapping_add(run + 1), limit);
                        if let (Ok(mut found), Ok(mut broken)) = (found.lock(), broken.lock()) {
                            found.push(n);
                            let rule = violation.as_deref().and_then(|it| it.split_once(": "));
                            if let Some((rule, _)) = rule {
                                *broken.entry(rule.to_owned()).or_default() += 1;
                            }
                        }
                    }
                });
            }
        });
        let mut found = found.into_inner().unwrap_or_default();
        found.sort_unstable();
        let count = |n: u64| {
            if n > limit {
                format!("over {limit}")
            } else {
                n.to_string()
            }
        };
        let median = found[found.len() / 2];
        missed += usize::from(median > limit);
        let mut broken: Vec<_> = broken
            .into_inner()
            .unwrap_or_default()
            .into_iter()
            .collect();
        broken.sort_by_key(|(_, times)| Reverse(*times));
        let broken: Vec<String> = broken.into_iter().map(|(rule, _)| rule).collect();
        println!(
            "| `{name}` | {} | {} | {} | {} |",
            count(found[0]),
            count(median),
            count(found[found.len() - 1]),
            broken.join("; ")
        );
    }
    println!(
        "\n{} of {} mutants caught, half of the time within {limit} histories",
        names.len() - missed,
        names.len()
    );
    ExitCode::from(u8::from(missed > 0 || names.is_empty()))
}

/// Runs histories until one violates a rule: how many, and which.
fn hunt(from: u64, limit: u64) -> (u64, Option<String>) {
    for n in 0..limit {
        let ran = random::run(seed_of(from, n), false);
        if ran.violation.is_some() {
            return (n + 1, ran.violation);
        }
    }
    (limit + 1, None)
}
