//! `npm run simulate`. The help text is below; `docs/simulator.md` says what it checks.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use edge_session_sim::dice::mix;
use edge_session_sim::random::{self, Keep, seed_of};
use edge_session_sim::strong;
use edge_session_sim::tally::{Counts, Tally};
use edge_session_sim::transcript::{Digest, recorded, replace_recorded};

const USAGE: &str = "\
usage: npm run simulate -- [--store KIND] [--histories N] [--from S] [--seed S] [--mutant NAME]
                           [--list-mutants] [--mutants] [--seeds N] [--limit N]
                           [--digest] [--update] [--out FILE] [--transcript S]

  --store KIND     eventual (the default): locations, caches and markers; strong: objects with
                   transactions. --digest and --transcript work with eventual only
  --histories N    runs N histories (100000) from a new seed, which is printed
  --from S         runs the same histories as the run that printed S
  --seed S         replays one history and shows it
  --mutant NAME    breaks one rule of the protocol
  --list-mutants   lists the rules that can be broken
  --mutants        breaks each rule in turn, or only that of --mutant, and says how many histories it
                   takes to catch it, over --seeds N seeds (20); gives up after --limit N (10000)
  --digest         prints one digest of everything that the histories from --seed S (1) produce, and
                   compares it with the one in sim/digest.txt, if that has one for them
  --update         with --digest: writes it to sim/digest.txt instead
  --out FILE       with --digest: also writes a line for each history: number, seed and digest
  --transcript S   shows what the digest of one history consists of; S is the seed in such a line

Exit status: 0 no violation; 1 a violation, or something that never happened; 2 a wrong option.";

/// Runs with fewer histories need not cover everything.
const ENOUGH: u64 = 50_000;

/// Which of the two worlds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Store {
    Eventual,
    Strong,
}

impl Store {
    /// The names of mutants of the strong store start with `strong`.
    fn has(self, mutant: &str) -> bool {
        mutant.starts_with("strong_") == (self == Self::Strong)
    }
}

/// The result of a history: its violation, its counts, and its log.
type Outcome<T> = (Option<String>, T, Vec<String>);

fn eventual(seed: u64, keep: Keep) -> Outcome<Tally> {
    let ran = random::run(seed, keep);
    (ran.violation, ran.tally, ran.log)
}

fn transactional(seed: u64, keep: Keep) -> Outcome<strong::tally::Tally> {
    let ran = strong::random::run(seed, keep);
    (ran.violation, ran.tally, ran.log)
}

/// The violation of a history, and its log.
fn history(store: Store, seed: u64, keep: Keep) -> (Option<String>, Vec<String>) {
    match store {
        Store::Eventual => {
            let (violation, _, log) = eventual(seed, keep);
            (violation, log)
        }
        Store::Strong => {
            let (violation, _, log) = transactional(seed, keep);
            (violation, log)
        }
    }
}

struct Options {
    store: Store,
    histories: u64,
    from: Option<u64>,
    seed: Option<u64>,
    mutant: Option<String>,
    list: bool,
    table: bool,
    seeds: u64,
    limit: u64,
    digest: bool,
    update: bool,
    out: Option<String>,
    transcript: Option<u64>,
}

fn options() -> Result<Options, String> {
    let mut options = Options {
        store: Store::Eventual,
        histories: 100_000,
        from: None,
        seed: None,
        mutant: None,
        list: false,
        table: false,
        seeds: 20,
        limit: 10_000,
        digest: false,
        update: false,
        out: None,
        transcript: None,
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
                .ok_or(format!("{name} needs a value"))
        };
        let mut number = || {
            let text = text()?;
            text.parse::<u64>()
                .map_err(|_| format!("{name}: {text} is not a number"))
        };
        match &*name {
            "--histories" => options.histories = number()?.max(1),
            "--from" => options.from = Some(number()?),
            "--seed" => options.seed = Some(number()?),
            "--seeds" => options.seeds = number()?.max(1),
            "--limit" => options.limit = number()?.max(1),
            "--store" => {
                options.store = match &*text()? {
                    "eventual" => Store::Eventual,
                    "strong" => Store::Strong,
                    other => return Err(format!("--store {other}: use eventual or strong")),
                }
            }
            "--mutant" => options.mutant = Some(text()?),
            "--list-mutants" => options.list = true,
            "--mutants" => options.table = true,
            "--digest" => options.digest = true,
            "--update" => options.update = true,
            "--out" => options.out = Some(text()?),
            "--transcript" => options.transcript = Some(number()?),
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
    // A panic in a history is reported as a violation.
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
        eprintln!("there is no mutant {mutant}; --list-mutants lists them");
        return ExitCode::from(2);
    }
    if options.table {
        return table(&options);
    }
    if options.digest {
        return digest(&options);
    }
    if let Some(seed) = options.transcript {
        mutants::activate(options.mutant.as_deref());
        return transcript(seed);
    }
    if let Some(seed) = options.seed {
        mutants::activate(options.mutant.as_deref());
        return replay(options.store, seed, true);
    }
    match options.store {
        Store::Eventual => many(&options, eventual),
        Store::Strong => many(&options, transactional),
    }
}

/// Shows one history.
fn replay(store: Store, seed: u64, all: bool) -> ExitCode {
    let (violation, log) = history(store, seed, Keep::Log);
    if all || violation.is_some() {
        for line in &log {
            println!("{line}");
        }
    }
    let which = match store {
        Store::Eventual => "",
        Store::Strong => "--store strong ",
    };
    match violation {
        Some(violation) => {
            println!("\nviolation of {violation}");
            println!("seed {seed}: npm run simulate -- {which}--seed {seed}");
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

fn many<T: Counts>(options: &Options, run: fn(u64, Keep) -> Outcome<T>) -> ExitCode {
    let from = options.from.unwrap_or_else(fresh);
    println!("{} histories from seed {from}", options.histories);
    let started = Instant::now();
    let next = AtomicU64::new(0);
    let stop = AtomicBool::new(false);
    let failed: Mutex<Option<(u64, u64)>> = Mutex::new(None);
    let total = Mutex::new(T::default());
    thread::scope(|scope| {
        for _ in 0..threads() {
            scope.spawn(|| {
                mutants::activate(options.mutant.as_deref());
                let mut mine = T::default();
                while !stop.load(Ordering::Relaxed) {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= options.histories {
                        break;
                    }
                    let seed = seed_of(from, n);
                    let (violation, tally, _) = run(seed, Keep::Nothing);
                    mine.add(&tally);
                    if violation.is_some() {
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
    let (histories, requests) = total.size();
    let rate = histories as f64 / seconds;
    println!(
        "{histories} histories, {requests} requests in {seconds:.1} s: {rate:.0} histories a second"
    );
    if let Some((n, seed)) = failed.into_inner().unwrap_or_default() {
        println!("\nhistory {n} violates a rule:\n");
        mutants::activate(options.mutant.as_deref());
        return replay(options.store, seed, false);
    }
    if missing.is_empty() {
        println!("no violation");
        return ExitCode::SUCCESS;
    }
    println!("never happened: {}", missing.join("; "));
    if histories < ENOUGH {
        println!("no violation; with fewer than {ENOUGH} histories, not everything needs to occur");
        return ExitCode::SUCCESS;
    }
    ExitCode::from(1)
}

/// The digest of many histories. It does not depend on the number of threads.
fn digest(options: &Options) -> ExitCode {
    let (from, count) = (options.seed.unwrap_or(1), options.histories);
    let next = AtomicU64::new(0);
    let found: Mutex<Vec<(u64, Digest, bool)>> = Mutex::default();
    thread::scope(|scope| {
        for _ in 0..threads() {
            scope.spawn(|| {
                mutants::activate(options.mutant.as_deref());
                let mut mine = Vec::new();
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= count {
                        break;
                    }
                    let ran = random::run(seed_of(from, n), Keep::Digest);
                    let digest = ran.transcript.map(|it| it.digest()).unwrap_or_default();
                    mine.push((n, digest, ran.violation.is_some()));
                }
                if let Ok(mut found) = found.lock() {
                    found.append(&mut mine);
                }
            });
        }
    });
    let mut found = found.into_inner().unwrap_or_default();
    found.sort_unstable_by_key(|(n, ..)| *n);
    let mut all = Digest::default();
    let mut lines = String::new();
    for (n, digest, _) in &found {
        all.fold(*digest);
        lines.push_str(&format!("{n} {} {digest}\n", seed_of(from, *n)));
    }
    let violations = found.iter().filter(|(.., violates)| *violates).count();
    println!("seed {from}, {count} histories, {violations} of them with a violation");
    println!("digest {all}");
    if let Some(file) = &options.out
        && let Err(error) = std::fs::write(file, lines)
    {
        eprintln!("{file}: {error}");
        return ExitCode::from(2);
    }
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("digest.txt");
    let text = std::fs::read_to_string(&file).unwrap_or_default();
    if options.update {
        let text = replace_recorded(&text, from, count, all);
        return match std::fs::write(&file, text) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => {
                eprintln!("{}: {error}", file.display());
                ExitCode::from(2)
            }
        };
    }
    match recorded(&text, from, count) {
        None => println!("sim/digest.txt has no digest for this seed and number"),
        Some(wanted) if wanted == all.to_string() => println!("the same as in sim/digest.txt"),
        Some(wanted) => {
            println!("not the same as in sim/digest.txt:\nexpected {wanted}");
            println!(
                "To see what changed, run this with --out FILE in both builds, compare the files, \
                 and show one history with --transcript. If it is meant: --update"
            );
            return ExitCode::from(1);
        }
    }
    ExitCode::SUCCESS
}

/// Shows the lines behind the digest of one history.
fn transcript(seed: u64) -> ExitCode {
    let ran = random::run(seed, Keep::Transcript);
    let transcript = ran.transcript.unwrap_or_default();
    for line in transcript.lines() {
        println!("{line}");
    }
    println!("digest {}", transcript.digest());
    ExitCode::SUCCESS
}

/// How quickly each mutant is caught, and by which rules.
fn table(options: &Options) -> ExitCode {
    let limit = options.limit;
    let from = options.from.unwrap_or_else(fresh);
    println!(
        "histories until a mutant is caught, over {} seeds from {from}\n",
        options.seeds
    );
    println!("| mutant | least | median | most | what it breaks |\n|---|---|---|---|---|");
    let wanted = |name: &&str| {
        let only = options.mutant.as_deref();
        options.store.has(name) && only.is_none_or(|only| only == *name)
    };
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
                        let (n, violation) = hunt(options.store, from.wrapping_add(run + 1), limit);
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

/// Runs histories until one violates a rule. Returns their number and the rule.
fn hunt(store: Store, from: u64, limit: u64) -> (u64, Option<String>) {
    for n in 0..limit {
        let (violation, _) = history(store, seed_of(from, n), Keep::Nothing);
        if violation.is_some() {
            return (n + 1, violation);
        }
    }
    (limit + 1, None)
}
