//! Files that say what the code does today. A test renders it as text and compares;
//! `EDGE_SESSION_UPDATE=1 cargo test …` writes the files anew instead.

#![allow(
    dead_code,
    missing_docs,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "shared by several files of tests"
)]

use std::fs;
use std::path::PathBuf;

/// Lines of a difference that are shown around each change.
const CONTEXT: usize = 2;

/// Fails with a difference where `found` is not what `tests/golden/<name>` holds.
pub fn compare(name: &str, found: &str) {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name);
    if std::env::var_os("EDGE_SESSION_UPDATE").is_some_and(|it| it != "0" && !it.is_empty()) {
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, found).unwrap();
        return;
    }
    let wanted = fs::read_to_string(&file).unwrap_or_default();
    assert!(
        wanted == found,
        "tests/golden/{name} says otherwise (- the file, + this build):\n{}\n\
         If the change is meant, write the file with EDGE_SESSION_UPDATE=1.",
        difference(&wanted, found)
    );
}

/// The lines that were removed and added, with some around them.
pub fn difference(old: &str, new: &str) -> String {
    let (old, new): (Vec<&str>, Vec<&str>) = (old.lines().collect(), new.lines().collect());
    let width = new.len() + 1;
    // Length of the longest common sequence of lines from here on.
    let mut common = vec![0_u32; (old.len() + 1) * width];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            common[i * width + j] = if old[i] == new[j] {
                common[(i + 1) * width + j + 1] + 1
            } else {
                common[(i + 1) * width + j].max(common[i * width + j + 1])
            };
        }
    }
    let mut rows: Vec<(char, &str)> = Vec::new();
    let (mut i, mut j) = (0, 0);
    while i < old.len() || j < new.len() {
        if i < old.len() && j < new.len() && old[i] == new[j] {
            rows.push((' ', old[i]));
            (i, j) = (i + 1, j + 1);
        } else if j == new.len()
            || i < old.len() && common[(i + 1) * width + j] >= common[i * width + j + 1]
        {
            rows.push(('-', old[i]));
            i += 1;
        } else {
            rows.push(('+', new[j]));
            j += 1;
        }
    }
    let near = |at: usize| {
        let (from, to) = (
            at.saturating_sub(CONTEXT),
            (at + CONTEXT).min(rows.len() - 1),
        );
        rows[from..=to].iter().any(|(sign, _)| *sign != ' ')
    };
    let mut shown = String::new();
    let mut skipped = false;
    for (at, (sign, line)) in rows.iter().enumerate() {
        if near(at) {
            shown.push_str(&format!("{sign} {line}\n"));
            skipped = false;
        } else if !skipped {
            shown.push_str("  …\n");
            skipped = true;
        }
    }
    shown
}

/// Of base64url.
pub const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The bytes of a text in base64url.
pub fn decode(text: &str) -> Vec<u8> {
    let (mut bits, mut count, mut bytes) = (0_u32, 0, Vec::new());
    for character in text.bytes() {
        let value = ALPHABET.iter().position(|it| *it == character).unwrap();
        (bits, count) = (bits << 6 | value as u32, count + 6);
        if count >= 8 {
            count -= 8;
            bytes.push((bits >> count) as u8);
        }
    }
    bytes
}
