//! The tables in docs/ agree with the code: settings, outcomes, error codes, operations, bounds. A
//! failure prints the rows as they should be.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "tests"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use crate::common::*;
use edge_session::{ErrorCode, Outcome, Settings};

const CONSISTENCY: &str = include_str!("../docs/consistency.md");
const SETTINGS: &str = include_str!("../docs/settings.md");
const TROUBLE: &str = include_str!("../docs/troubleshooting.md");

/// The cells of the table under the heading that ends in `heading`, without its two header lines.
fn table(document: &str, heading: &str) -> Vec<Vec<String>> {
    let (_, rest) = document
        .split_once(&format!("{heading}\n"))
        .unwrap_or_else(|| panic!("no heading {heading}"));
    rest.lines()
        .skip_while(|line| !line.starts_with('|'))
        .take_while(|line| line.starts_with('|'))
        .skip(2)
        .map(|line| {
            let cells = line.trim().trim_matches('|').split('|');
            cells.map(|cell| cell.trim().to_owned()).collect()
        })
        .collect()
}

fn code_of(cell: &str) -> &str {
    cell.trim_matches('`')
}

// --- settings ------------------------------------------------------------------------------------

#[test]
fn settings_are_those_of_the_code() {
    let settings = Settings::default();
    let expected: Vec<_> = settings
        .list()
        .map(|(name, value)| {
            let option = Settings::option_name(name).unwrap();
            let value = match &*value {
                "" => "empty".to_owned(),
                value => format!("`{value}`"),
            };
            [format!("`{name}`"), format!("`{option}`"), value]
        })
        .collect();
    let mut documented = Vec::new();
    for heading in [
        "Cookies and lifetimes",
        "Storage and consistency",
        "Limits",
        "Diagnostics",
    ] {
        documented.extend(table(SETTINGS, &format!("## {heading}")));
    }
    let first_three: Vec<_> = documented.iter().map(|row| row[..3].to_vec()).collect();
    let rows: Vec<_> = expected
        .iter()
        .map(|row| format!("| {} |", row.join(" | ")))
        .collect();
    assert_eq!(
        first_three,
        expected,
        "docs/settings.md wants:\n{}",
        rows.join("\n")
    );
    assert!(
        documented
            .iter()
            .all(|row| row.len() == 5 && !row[4].is_empty())
    );
}

#[test]
fn allowed_values_are_those_of_the_code() {
    let mut checked = 0;
    for heading in [
        "Cookies and lifetimes",
        "Storage and consistency",
        "Limits",
        "Diagnostics",
    ] {
        for row in table(SETTINGS, &format!("## {heading}")) {
            let name = code_of(&row[0]);
            // A value that no setting allows, except for those that are text.
            let Err(refused) = Settings::from_vars([(name, "\u{7f}")]) else {
                panic!("{name} allows anything");
            };
            let Some((_, allowed)) = refused.message().split_once("is not allowed; use ") else {
                continue; // text settings are validated together
            };
            let numbers = allowed.strip_prefix("a whole number from ");
            let allowed = numbers.map_or(allowed, |range| range.split(" (").next().unwrap());
            let allowed = if allowed == "true, false, 1 or 0" {
                "true, false"
            } else {
                allowed
            };
            assert_eq!(row[3], allowed, "{name}");
            checked += 1;
        }
    }
    assert!(checked >= 23, "{checked}");
}

#[test]
fn wrangler_toml_shows_the_defaults() {
    let shown: Vec<_> = include_str!("../wrangler.toml")
        .lines()
        .filter_map(|line| line.trim_start_matches("# ").split_once(" = \""))
        .filter(|(name, _)| name.starts_with("SESSION_"))
        .map(|(name, rest)| (name, rest.split('"').next().unwrap()))
        .collect();
    assert!(shown.len() > 10);
    let defaults: BTreeMap<_, _> = Settings::default().list().collect();
    for (name, value) in shown {
        // These have no default, so an example is shown.
        let examples = [
            "SESSION_COOKIE_DOMAIN",
            "SESSION_LOCATION_HINT",
            "SESSION_JURISDICTION",
        ];
        if !examples.contains(&name) {
            assert_eq!(
                defaults.get(name).map(String::as_str),
                Some(value),
                "{name}"
            );
        }
    }
}

#[test]
fn types_know_every_option() {
    let types = include_str!("../js/index.d.ts");
    let (_, options) = types.split_once("interface SessionOptions {").unwrap();
    let options = options.split("\n}").next().unwrap();
    for (name, _) in Settings::default().list() {
        let option = Settings::option_name(name).unwrap();
        assert!(options.contains(&format!("\n  {option}?: ")), "{option}");
    }
}

#[test]
fn bounds_are_those_of_the_code() {
    let settings = Settings::default();
    let [cache, propagation, isolate] = [
        settings.kv_cache_ttl(),
        settings.propagation(),
        settings.isolate_cache_ttl(),
    ]
    .map(|time| time.as_secs());
    let [d, w] = [settings.staleness_bound(), settings.window()].map(|time| time.as_secs());
    for line in [
        format!("**D = {cache} + {propagation} + {isolate} + 2 = {d} s**"),
        format!("**W = max(90, D) = {w} s**"),
    ] {
        assert!(
            CONSISTENCY.contains(&line),
            "docs/consistency.md wants: {line}"
        );
    }
}

// --- dependencies --------------------------------------------------------------------------------

const DEPENDENCIES: &str = include_str!("../docs/dependencies.md");

/// The names in backticks in a text.
fn names(text: &str) -> BTreeSet<String> {
    let names = text.split('`').skip(1).step_by(2);
    names.map(str::to_owned).collect()
}

/// The dependencies of a manifest, in every section whose name ends in `section`.
fn dependencies(manifest: &str, section: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut inside = false;
    for line in manifest.lines() {
        if let Some(head) = line.strip_prefix('[') {
            let head = head.trim_end_matches(']');
            inside = head == section || head.ends_with(&format!(".{section}"));
        } else if inside && !line.starts_with('#') {
            found.extend(line.split_once(" = ").map(|(name, _)| name.to_owned()));
        }
    }
    assert!(!found.is_empty(), "no {section}");
    found
}

/// All Rust below `folder`.
fn sources(folder: &Path) -> String {
    let entries = fs::read_dir(folder).unwrap().flatten();
    entries.fold(String::new(), |text, entry| {
        let path = entry.path();
        let more = if path.is_dir() {
            sources(&path)
        } else {
            fs::read_to_string(&path).unwrap()
        };
        text + &more
    })
}

#[test]
fn dependencies_of_the_crate_are_those_of_the_manifest() {
    let manifest = include_str!("../Cargo.toml");
    let (_, features) = manifest.split_once("[features]\n").unwrap();
    let (features, _) = features.split_once("\n[").unwrap();
    let source = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
    let mut documented = BTreeSet::new();
    for row in table(DEPENDENCIES, "## In the crate") {
        let (crates, behind) = row[0].split_once('(').unwrap_or((&row[0], ""));
        for name in names(crates) {
            let switches = features
                .lines()
                .filter(|line| line.contains(&format!("\"dep:{name}\"")));
            let switches: BTreeSet<_> = switches
                .filter_map(|line| line.split_once(" = "))
                .map(|(feature, _)| feature.to_owned())
                .collect();
            assert_eq!(
                names(behind),
                switches,
                "docs/dependencies.md: the features of {name}"
            );
            let in_rust = name.replace('-', "_");
            let used = source.contains(&format!("{in_rust}::"))
                || source.contains(&format!("use {in_rust} "));
            assert_eq!(
                used,
                !row[1].starts_with("not used yet"),
                "docs/dependencies.md: whether src/ uses {name}"
            );
            assert!(documented.insert(name.clone()), "{name} twice");
        }
    }
    assert_eq!(documented, dependencies(manifest, "dependencies"));
    let tests = DEPENDENCIES
        .lines()
        .find_map(|line| line.strip_prefix("For tests: "))
        .unwrap();
    assert_eq!(names(tests), dependencies(manifest, "dev-dependencies"));
}

#[test]
fn dependencies_of_the_repository_are_those_of_the_manifests() {
    let first_cells = |heading| -> BTreeSet<String> {
        let rows = table(DEPENDENCIES, heading);
        rows.iter().flat_map(|row| names(&row[0])).collect()
    };
    let package: serde_json::Value = serde_json::from_str(include_str!("../package.json")).unwrap();
    let mut packages = BTreeSet::new();
    for (section, entries) in package.as_object().unwrap() {
        if section.to_lowercase().ends_with("dependencies") {
            packages.extend(entries.as_object().unwrap().keys().cloned());
        }
    }
    assert_eq!(first_cells("## In the repository"), packages);
    assert_eq!(
        first_cells("a build tool in Rust:"),
        dependencies(include_str!("../tools/bindgen/Cargo.toml"), "dependencies")
    );
}

// --- words ---------------------------------------------------------------------------------------

const OUTCOMES: [Outcome; 12] = [
    Outcome::New,
    Outcome::Loaded,
    Outcome::Rotated,
    Outcome::Pending,
    Outcome::Stale,
    Outcome::Gone,
    Outcome::Expired,
    Outcome::Revoked,
    Outcome::Rejected,
    Outcome::Ambiguous,
    Outcome::Corrupt,
    Outcome::Unavailable,
];

#[test]
fn outcomes_are_those_of_the_code() {
    let expected = OUTCOMES.map(|outcome| outcome.as_str().to_owned());
    for (name, document, heading) in [
        ("consistency.md", CONSISTENCY, "## The twelve outcomes"),
        ("troubleshooting.md", TROUBLE, "## Why was I logged out?"),
    ] {
        let rows = table(document, heading);
        let documented: Vec<_> = rows.iter().map(|row| code_of(&row[0]).to_owned()).collect();
        assert_eq!(documented, expected, "docs/{name}");
    }
}

const CODES: [ErrorCode; 22] = [
    ErrorCode::Config,
    ErrorCode::MissingBinding,
    ErrorCode::NotLoaded,
    ErrorCode::MissingKey,
    ErrorCode::WrongType,
    ErrorCode::InvalidValue,
    ErrorCode::TooLarge,
    ErrorCode::Expired,
    ErrorCode::Revoked,
    ErrorCode::Rotated,
    ErrorCode::Destroyed,
    ErrorCode::Pending,
    ErrorCode::Stale,
    ErrorCode::RateLimited,
    ErrorCode::Quota,
    ErrorCode::Unavailable,
    ErrorCode::RevocationPending,
    ErrorCode::NotFound,
    ErrorCode::Unsupported,
    ErrorCode::Committed,
    ErrorCode::ReauthRequired,
    ErrorCode::NotReady,
];

#[test]
fn error_codes_are_those_of_the_code() {
    let expected: Vec<_> = CODES
        .iter()
        .map(|code| {
            let retry = code
                .retry_after()
                .map_or("-".to_owned(), |seconds| seconds.to_string());
            [format!("`{code}`"), code.status().to_string(), retry]
        })
        .collect();
    let rows: Vec<_> = expected
        .iter()
        .map(|row| format!("| {} |", row.join(" | ")))
        .collect();
    let documented: Vec<_> = table(TROUBLE, "## Error codes")
        .into_iter()
        .map(|row| row[..3].to_vec())
        .collect();
    assert_eq!(
        documented,
        expected,
        "docs/troubleshooting.md wants:\n{}",
        rows.join("\n")
    );
}

// --- operations ----------------------------------------------------------------------------------

/// Reads and the keys in them, puts, deletes, lists.
type Counts = [usize; 5];

fn counts(world: &World) -> Counts {
    [
        world.store.count(Kind::Read),
        world.store.keys_of(Kind::Read).len(),
        world.store.count(Kind::Put),
        world.store.count(Kind::Delete),
        world.store.count(Kind::List),
    ]
}

/// The operations of one request in an isolate that remembers nothing.
fn request(
    world: &World,
    jar: &mut Jar,
    page: impl FnOnce(&mut edge_session::SessionStore),
) -> Counts {
    let world = world.elsewhere();
    world.store.take_log();
    world.visit(jar, page);
    counts(&world)
}

fn cycled(world: &World, mut jar: Jar) -> Jar {
    world.visit(&mut jar, |session| session.cycle_key().unwrap());
    world.advance(2 * SECOND);
    jar
}

fn read(session: &mut edge_session::SessionStore) {
    assert!(session.len().is_ok());
}

fn write(session: &mut edge_session::SessionStore) {
    session.set("b", 2).unwrap();
}

/// A browser whose logout could not be stored.
fn entombed(world: &World) -> Jar {
    let mut jar = world.visitor();
    world.store.outage();
    world.visit(&mut jar, |session| assert!(destroy(session).is_err()));
    world.store.mend();
    jar
}

fn measured() -> BTreeMap<&'static str, Counts> {
    let world = World::new;
    let mut rows: BTreeMap<&'static str, Counts> = BTreeMap::new();
    let mut row = |name, counts| assert!(rows.insert(name, counts).is_none(), "{name} twice");

    let w = world();
    row("no cookie", request(&w, &mut Jar::new(), read));
    let mut forged = w.visitor();
    forged.put(KEY, "forged");
    row(
        "forged or foreign key cookie",
        request(&w, &mut forged, read),
    );
    let jar = w.visitor();
    w.store.take_log();
    let mut session = w.elsewhere().sessions.open(jar.head(w.now()));
    let _ = w.commit(&mut session);
    row("`handle_lazy`, session never loaded", counts(&w));

    let mut jar = w.visitor();
    row("read, anonymous session", request(&w, &mut jar, read));
    row(
        "read, session of an owner",
        request(&w, &mut w.member("ada"), read),
    );
    row(
        "read, after a rotation",
        request(&w, &mut cycled(&w, w.visitor()), read),
    );
    row(
        "read, after a rotation, session of an owner",
        request(&w, &mut cycled(&w, w.member("bob")), read),
    );
    let mut old = w.visitor();
    cycled(&w, old.clone());
    row(
        "read, with the first key after it was rotated",
        request(&w, &mut old, read),
    );
    let mut jar = w.visitor();
    w.visit(&mut jar, read);
    w.store.take_log();
    w.visit(&mut jar, read);
    row("read, served by the isolate's memory", counts(&w));
    let mut jar = w.visitor();
    w.advance(2 * HOUR);
    let slid = request(&w, &mut jar, read);
    assert!(jar.names().contains(&SEEN));
    row("read that slides the idle time", slid);

    row(
        "first save of a new session",
        request(&w, &mut Jar::new(), write),
    );
    row("save", request(&w, &mut w.visitor(), write));
    row("save, a second or more after the load", {
        let clock = w.clock.clone();
        request(&w, &mut w.visitor(), |session| {
            clock.advance(SECOND);
            write(session);
        })
    });
    let mut jar = w.visitor();
    w.visit(&mut jar, read);
    w.store.take_log();
    w.visit(&mut jar, write);
    row("save, load served by the isolate's memory", counts(&w));
    row(
        "save of an equal value",
        request(&w, &mut w.visitor(), |session| session.set("a", 1).unwrap()),
    );
    row(
        "rotation (`cycle_key`)",
        request(&w, &mut w.visitor(), |session| session.cycle_key().unwrap()),
    );

    let login = |session: &mut edge_session::SessionStore| session.bind("eve").unwrap();
    row(
        "login, no session before",
        request(&w, &mut Jar::new(), login),
    );
    row(
        "login, over an anonymous session",
        request(&w, &mut w.visitor(), login),
    );
    row(
        "login, over a session of an owner",
        request(&w, &mut w.member("eve"), login),
    );

    let logout = |session: &mut edge_session::SessionStore| destroy(session).unwrap();
    row("logout", request(&w, &mut w.visitor(), logout));
    row(
        "logout, session of an owner",
        request(&w, &mut w.member("ada"), logout),
    );
    row(
        "logout, after a rotation",
        request(&w, &mut cycled(&w, w.visitor()), logout),
    );
    let purging = World::with(Settings::default().with_purge(true));
    row(
        "logout, with `SESSION_PURGE`",
        request(&purging, &mut purging.visitor(), logout),
    );
    let jar = w.visitor();
    w.store.take_log();
    let mut session = w.elsewhere().sessions.open(jar.head(w.now()));
    destroy(&mut session).unwrap();
    let _ = w.commit(&mut session);
    row("logout, `handle_lazy` and not loaded", counts(&w));
    row(
        "request after a logout that was not stored",
        request(&w, &mut entombed(&w), read),
    );
    let stone = entombed(&w);
    request(&w, &mut stone.clone(), read);
    row(
        "the same, once it is stored",
        request(&w, &mut stone.clone(), read),
    );

    let w = world();
    let (one, two) = (w.member("zoe"), w.member("zoe"));
    let far = w.elsewhere();
    w.store.take_log();
    assert_eq!(run(far.sessions.list("zoe")).unwrap().len(), 2);
    row("`list` of an owner's 2 sessions", counts(&w));
    let key = w.session_key(&one).key();
    w.store.take_log();
    run(far.sessions.revoke("zoe", &key)).unwrap();
    row("`revoke` of one", counts(&w));
    w.store.take_log();
    let key = w.session_key(&two).key();
    w.store.take_log();
    let mut session = far.load(Head::default());
    assert!(run(session.exists_key(&key)).unwrap());
    row("`exists` by session key, owned", counts(&w));
    let w = world();
    for _ in 0..2 {
        w.member("zoe");
    }
    w.store.take_log();
    run(w.elsewhere().sessions.revoke_all("zoe")).unwrap();
    row("`revoke_all` of an owner's 2 sessions", counts(&w));
    rows
}

#[test]
fn operations_are_those_of_the_code() {
    let measured = measured();
    let documented = table(CONSISTENCY, "## What each request costs");
    let mut missing = measured.clone();
    for row in &documented {
        let counts = missing.remove(&*row[0]);
        let counts =
            counts.unwrap_or_else(|| panic!("docs/consistency.md: nobody measures {}", row[0]));
        let expected = counts.map(|count| count.to_string());
        assert_eq!(row[1..6], expected, "docs/consistency.md: {}", row[0]);
    }
    let rows: Vec<_> = missing
        .iter()
        .map(|(name, [r, k, p, d, l])| format!("| {name} | {r} | {k} | {p} | {d} | {l} |"))
        .collect();
    assert!(
        rows.is_empty(),
        "docs/consistency.md lacks:\n{}",
        rows.join("\n")
    );
}
