//! `docs/api.md` names every public method of a session, and its documentation is easy to search.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::Path;

/// The names of the public methods in every `impl SessionStore` of a source file.
fn public_methods(source: &str) -> Vec<&str> {
    let mut inside = false;
    let mut names = Vec::new();
    for line in source.lines() {
        match line {
            "impl SessionStore {" => inside = true,
            "}" => inside = false,
            _ => {}
        }
        let text = line.trim_start();
        let method = text
            .strip_prefix("pub fn ")
            .or_else(|| text.strip_prefix("pub async fn "));
        if let (true, Some(rest)) = (inside, method) {
            names.push(&rest[..rest.find(['(', '<']).unwrap()]);
        }
    }
    names
}

/// Every source file of the session.
fn sources() -> Vec<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/face/store");
    fs::read_dir(folder)
        .unwrap()
        .map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap())
        .collect()
}

#[test]
fn every_method_is_in_the_table() {
    let document = include_str!("../docs/api.md");
    let sources = sources();
    let methods: Vec<&str> = sources
        .iter()
        .flat_map(|source| public_methods(source))
        .collect();
    assert!(methods.len() > 50, "{methods:?}");
    let named = |name: &&str| {
        ["`", "(", "::<T>"]
            .iter()
            .any(|end| document.contains(&format!("`{name}{end}")))
    };
    let missing: Vec<&str> = methods.into_iter().filter(|name| !named(name)).collect();
    assert!(missing.is_empty(), "docs/api.md lacks {missing:?}");
}

/// Names from the Python dictionary, and the Rust word by which the documentation's search must
/// find each.
const FOREIGN: &[(&str, &str)] = &[
    ("cycle_key", "rotate"),
    ("get_expire_at_browser_close", "expires_at_browser_close"),
    ("get_expiry_age", "expires_in"),
    ("get_expiry_date", "expires_at"),
    ("modified", "is_modified"),
    ("needs_update", "is_dirty"),
    ("popitem", "pop_last"),
    ("set", "insert"),
    ("set_expiry", "expire_after"),
    ("setdefault", "get_or_insert"),
    ("update", "extend"),
];

#[test]
fn a_foreign_name_is_found_by_the_word_that_rust_has_for_it() {
    let sources = sources();
    for (name, word) in FOREIGN {
        let method = |source: &String| {
            ["(", "<"]
                .iter()
                .find_map(|end| source.find(&format!("    pub fn {name}{end}")))
        };
        let (source, at) = sources
            .iter()
            .find_map(|source| Some((source, method(source)?)))
            .unwrap();
        let before = source[..at].lines().rev();
        let attributes: Vec<&str> = before
            .take_while(|line| line.starts_with("    #["))
            .collect();
        let alias = format!("    #[doc(alias = \"{word}\")]");
        assert!(
            attributes.contains(&&*alias),
            "{name} lacks the alias {word}: {attributes:?}"
        );
    }
}

#[test]
fn every_group_of_methods_says_what_it_is_for() {
    for source in sources() {
        let mut before = "";
        for line in source.lines() {
            let has_methods = line == "impl SessionStore {" && !public_methods(&source).is_empty();
            assert!(!has_methods || before.starts_with("/// "), "{source}");
            before = line;
        }
    }
}
