//! `docs/api.md` names every public method of a session.

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

#[test]
fn every_method_is_in_the_table() {
    let document = include_str!("../docs/api.md");
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/face/store");
    let sources: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap())
        .collect();
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
