//! The tests that the documents name exist, and no requirement is left out.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use edge_session::SecretRing;

/// Every file under `dir` with one of these endings.
fn files(dir: &Path, endings: &[&str], found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(dir) else {
        return;
    };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            files(&path, endings, found);
        } else if endings
            .iter()
            .any(|ending| path.to_string_lossy().ends_with(ending))
        {
            found.push(path);
        }
    }
}

/// The names of all tests: Rust functions with a test attribute, and titles of JavaScript tests.
fn tests() -> BTreeSet<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut paths = Vec::new();
    for dir in ["src", "tests", "sim"] {
        files(&root.join(dir), &[".rs", ".mjs"], &mut paths);
    }
    let mut names = BTreeSet::new();
    for path in paths {
        let text = fs::read_to_string(&path).unwrap();
        if path.extension().is_some_and(|it| it == "rs") {
            let mut is_test = false;
            for line in text.lines().map(str::trim) {
                if line.starts_with("#[") {
                    is_test |= line.contains("test]");
                } else if let Some((_, rest)) = line.split_once("fn ") {
                    if is_test {
                        names.extend(rest.split(['(', '<']).next().map(str::to_owned));
                    }
                    is_test = false;
                }
            }
        } else {
            for part in text.split("test(").skip(1) {
                let quote = part.chars().next().filter(|quote| "\"'`".contains(*quote));
                names.extend(
                    quote
                        .and_then(|quote| part[1..].split(quote).next())
                        .map(str::to_owned),
                );
            }
        }
    }
    names
}

/// The texts in backticks in the table columns whose heading mentions tests.
fn named(document: &str) -> Vec<String> {
    let cells = |line: &str| -> Vec<String> {
        let line = line.trim().trim_matches('|').replace("\\|", "\u{1}");
        line.split('|').map(|cell| cell.trim().to_owned()).collect()
    };
    let mut names = Vec::new();
    let mut column = None;
    let mut inside = false;
    for line in document.lines() {
        if !line.trim_start().starts_with('|') {
            inside = false;
            continue;
        }
        let row = cells(line);
        if !inside {
            inside = true;
            column = row
                .iter()
                .position(|head| head.to_lowercase().contains("test"));
            continue;
        }
        let Some(cell) = column.and_then(|column| row.get(column)) else {
            continue;
        };
        names.extend(cell.split('`').skip(1).step_by(2).map(str::to_owned));
    }
    names
}

fn document(name: &str) -> Option<String> {
    fs::read_to_string(
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("docs")
            .join(name),
    )
    .ok()
}

#[test]
fn every_test_that_a_document_names_exists() {
    let tests = tests();
    assert!(tests.contains("every_test_that_a_document_names_exists"));
    assert!(tests.contains("raw_one_cookie_header_is_the_session"));
    let mut missing = Vec::new();
    for name in ["security.md", "api.md"] {
        let Some(document) = document(name) else {
            continue;
        };
        let named = named(&document);
        assert!(!named.is_empty(), "docs/{name} names no test");
        let unknown = named.into_iter().filter(|test| !tests.contains(test));
        missing.extend(unknown.map(|test| format!("docs/{name}: {test}")));
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

/// Pages of `docs/`, by their path in it, without the index.
fn pages() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs");
    let mut paths = Vec::new();
    files(&root, &[".md"], &mut paths);
    let name = |path: &Path| path.strip_prefix(&root).unwrap().display().to_string();
    let mut pages: Vec<_> = paths
        .iter()
        .map(|path| (name(path), fs::read_to_string(path).unwrap()))
        .filter(|(name, _)| name != "README.md")
        .collect();
    pages.sort();
    pages
}

#[test]
fn every_page_says_for_whom_it_is_and_so_does_the_index() {
    let index = document("README.md").unwrap();
    let mut wrong = Vec::new();
    for (page, text) in pages() {
        // A heading, and then a paragraph of one sentence.
        let paragraph = text.split("\n\n").nth(1).unwrap_or_default();
        let sentence = paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
        let parts = sentence
            .strip_prefix("For ")
            .and_then(|rest| rest.strip_suffix('.'))
            .and_then(|rest| rest.split_once(": after this page you know "));
        let Some((who, what)) = parts else {
            wrong.push(format!(
                "docs/{page}: the first paragraph must be \"For …: after this page you know ….\""
            ));
            continue;
        };
        let row = format!("]({page}) | {who} | {what} |");
        if !index.contains(&row) {
            wrong.push(format!("docs/README.md lacks the row | [title{row}"));
        }
    }
    assert!(pages().len() > 20, "{} pages", pages().len());
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Everybody knows a secret that a document shows.
#[test]
fn no_secret_that_a_document_shows_is_accepted() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let answers = root.join("tests/wire/known-answers.json");
    let mut paths = vec![root.join("README.md"), answers];
    for dir in ["docs", "examples", "src"] {
        files(&root.join(dir), &[".md", ".rs", ".toml"], &mut paths);
    }
    let mut seen = 0;
    for path in paths {
        let text = fs::read_to_string(&path).unwrap();
        let is_code = path.extension().is_some_and(|it| it == "rs");
        let lines = text.lines().map(str::trim).filter(|line| {
            let shown = !is_code || line.starts_with("///") || line.starts_with("//!");
            shown && line.to_lowercase().contains("secret")
        });
        for line in lines {
            // Between quotes, and after the `=` of a variable.
            let quoted = line.split('"').skip(1).step_by(2);
            for piece in quoted.chain(line.split_once("SECRET=").map(|(_, value)| value)) {
                if piece.len() >= 32 && !piece.contains(['(', '|', '.']) {
                    seen += 1;
                    let at = path.display();
                    assert!(SecretRing::parse(piece).is_err(), "{at}: {piece}");
                }
            }
        }
    }
    assert!(seen > 0, "the sample of docs/wire-format.md is one");
}

#[test]
fn every_requirement_has_a_row() {
    let document = document("security.md").unwrap();
    let mut wanted: Vec<String> = (1..=16).map(|n| format!("K-{n}")).collect();
    wanted.extend((1..=24).map(|n| format!("T-{n:02}")));
    wanted.extend((1..=15).map(|n| format!("S-{n:02}")));
    wanted.extend((1..=10).map(|n| format!("P-{n:02}")));
    wanted.extend((1..=6).flat_map(|n| [format!("D-{n}"), format!("C-{n}")]));
    for (section, count) in [
        ("7.1", 3),
        ("7.2", 4),
        ("7.3", 2),
        ("7.4", 5),
        ("7.5", 3),
        ("7.6", 2),
    ] {
        wanted.extend((1..=count).map(|n| format!("{section}.{n}")));
    }
    let rows: Vec<&str> = document
        .lines()
        .filter_map(|line| line.strip_prefix("| ")?.split(" |").next())
        .collect();
    for id in wanted {
        let count = rows.iter().filter(|row| **row == id).count();
        assert_eq!(count, 1, "{id}");
    }
    // A row without a test must say why.
    for line in document.lines().filter(|line| line.contains(" | | ")) {
        assert!(
            line.contains("not done") || line.contains("application"),
            "{line}"
        );
    }
}

#[test]
fn every_rule_that_can_be_broken_has_a_row() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let source = fs::read_to_string(root.join("src/mutant.rs")).unwrap();
    let (_, list) = source.split_once("    list! {\n").unwrap();
    let (list, _) = list.split_once('}').unwrap();
    let document = fs::read_to_string(root.join("sim/mutants.md")).unwrap();
    let rows = document.lines().filter_map(|line| {
        let cell = line.strip_prefix("| `")?.split_once("` |")?.0;
        (cell.contains('_') && !cell.contains([' ', '('])).then_some(cell)
    });
    let rows: Vec<&str> = rows.filter(|row| source.contains(row)).collect();
    assert_eq!(rows, list.split_whitespace().collect::<Vec<_>>());
}

/// Modules whose `pub` items are not accessible outside this crate.
const INNER: [&str; 6] = [
    "face/js",
    "face/worker",
    "face/fetch.rs",
    "fuzzing.rs",
    "mutant.rs",
    "doc.rs",
];

/// Public functions and types of a source file without an example. An item without documentation is
/// not public, because the compiler would reject it.
fn without_example(source: &str) -> Vec<String> {
    let (mut documented, mut shown) = (false, false);
    let mut found = Vec::new();
    for line in source.lines() {
        if line == "#[cfg(test)]" {
            break;
        }
        let text = line.trim_start();
        if let Some(doc) = text.strip_prefix("///") {
            (documented, shown) = (true, shown || doc.contains("```"));
            continue;
        }
        if text.starts_with("#[") {
            continue;
        }
        let item = text.strip_prefix("pub ").map(|rest| {
            let words = rest.split([' ', '(', '<', ';', ':']);
            let mut words = words.filter(|word| !["async", "const"].contains(word));
            (
                words.next().unwrap_or_default(),
                words.next().unwrap_or_default(),
            )
        });
        if let Some(("fn" | "struct" | "enum" | "trait" | "type", name)) = item
            && documented
            && !shown
        {
            found.push(name.to_owned());
        }
        (documented, shown) = (false, false);
    }
    found
}

#[test]
fn every_public_item_has_an_example() {
    let source =
        "/// One.\npub fn one() {}\n/// Two.\n///\n/// ```\n/// ```\npub async fn two() {}";
    assert_eq!(without_example(source), ["one"]);
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    files(&root, &[".rs"], &mut paths);
    assert!(paths.len() > 30, "{} files", paths.len());
    let mut missing = Vec::new();
    for path in paths {
        let name = path.strip_prefix(&root).unwrap();
        if INNER.iter().any(|inner| name.starts_with(inner)) {
            continue;
        }
        let source = fs::read_to_string(&path).unwrap();
        let found = without_example(&source).into_iter();
        missing.extend(found.map(|item| format!("{}: {item}", name.display())));
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

/// The texts in backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The pages for contributors would otherwise go out of date with every file that moves.
#[test]
fn every_file_and_name_that_a_page_for_contributors_gives_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = [
        ".ci/",
        "bench/",
        "docs/",
        "examples/",
        "fuzz/",
        "js/",
        "scripts/",
        "sim/",
        "src/",
        "tests/",
        "tools/",
        "www/",
    ];
    let (mut files, mut names, mut missing) = (0, 0, Vec::new());
    for page in [
        "CONTRIBUTING.md",
        "docs/architecture.md",
        "scripts/README.md",
    ] {
        let text = fs::read_to_string(root.join(page)).unwrap();
        for line in text.lines() {
            for path in quoted(line) {
                let is_path = folders.iter().any(|folder| path.starts_with(folder));
                if !is_path || path.contains([' ', '*']) {
                    continue;
                }
                files += 1;
                if !root.join(path).exists() {
                    missing.push(format!("{page}: {path}"));
                }
            }
            // A row whose last cells are a file and names in it.
            let mut cells = line.trim().trim_matches('|').rsplit('|').map(str::trim);
            let (Some(last), Some(file)) = (cells.next(), cells.next()) else {
                continue;
            };
            let source = fs::read_to_string(root.join(file.trim_matches('`'))).unwrap_or_default();
            if source.is_empty() {
                continue;
            }
            for name in quoted(last) {
                names += 1;
                for part in name.split("::") {
                    if !source.contains(part) {
                        missing.push(format!("{page}: {file} has no {name}"));
                    }
                }
            }
        }
    }
    assert!(files > 100 && names > 60, "{files} files, {names} names");
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}

#[test]
fn a_dependent_links_no_wasm_of_ours_and_gets_one_feature_of_serde_json() {
    let manifest = include_str!("../Cargo.toml");
    let normal = manifest.split("\n[dev-dependencies]").next().unwrap();
    assert!(normal.contains("\ncrate-type = [\"rlib\"]\n"));
    let serde_json = normal.lines().find(|line| line.starts_with("serde_json"));
    let expected = r#"serde_json = { version = "1", features = ["float_roundtrip"] }"#;
    assert_eq!(serde_json, Some(expected), "docs/dependencies.md says why");
}

/// Lists that a later release may continue. The variants of the others are complete.
const GROWING: &[(&str, &str)] = &[
    ("src/face/store/login.rs", "enum Keep"),
    ("src/port/connector.rs", "enum ConnectorErrorKind"),
    ("src/port/connector.rs", "struct PutOptions"),
    ("src/port/connector.rs", "struct ReadOptions"),
    ("src/port/error.rs", "enum ErrorCode"),
    ("src/port/events.rs", "enum EventKind"),
    ("src/port/events.rs", "struct Event"),
    ("src/protocol/outcome.rs", "enum Outcome"),
    ("src/protocol/settings.rs", "enum Storage"),
];

/// The attributes right before `item`.
fn attributes<'a>(source: &'a str, item: &str) -> Vec<&'a str> {
    let at = source.find(item).unwrap_or_else(|| panic!("no {item}"));
    let before = source[..at].trim_end().lines().rev();
    before.take_while(|line| line.starts_with("#[")).collect()
}

#[test]
fn what_a_later_release_may_continue_is_non_exhaustive() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (file, item) in GROWING {
        let source = fs::read_to_string(root.join(file)).unwrap();
        let found = attributes(&source, &format!("pub {item} {{"));
        assert!(found.contains(&"#[non_exhaustive]"), "{item}: {found:?}");
    }
}

#[test]
fn the_documentation_is_that_of_a_worker_and_hides_what_is_internal() {
    let manifest = include_str!("../Cargo.toml");
    let (_, built) = manifest.split_once("[package.metadata.docs.rs]").unwrap();
    let built = built.split("\n[").next().unwrap();
    for expected in [
        "wasm32-unknown-unknown",
        "\"worker\"",
        "\"axum\"",
        "\"testing\"",
    ] {
        assert!(built.contains(expected), "{built}");
    }
    assert!(manifest.contains("\nmissing_debug_implementations = \"deny\"\n"));
    let library = include_str!("../src/lib.rs");
    for item in [
        "pub mod fuzzing;",
        "pub mod doc;",
        "pub mod object {",
        "pub use mutant::mutants;",
    ] {
        let found = attributes(library, item);
        assert!(found.contains(&"#[doc(hidden)]"), "{item}: {found:?}");
    }
}
