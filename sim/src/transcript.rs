//! The output of a history as lines, and a digest of them. Two builds with the same behaviour have
//! the same digest for the same seeds.
//!
//! Lines are grouped by request, so that requests at the same instant may run in any order. There
//! are two digests. One covers everything. The other, the shape, ignores the randomness that
//! requests draw: ids are numbered in order of appearance, and only the length of values and
//! cookies counts. If two builds have the same shape but different digests, they differ only in how
//! they draw randomness.

use std::collections::HashMap;
use std::fmt::Write as _;

use crate::request::{Answer, View};
use crate::world::RequestId;

/// FNV-1a of 128 bits (<https://datatracker.ietf.org/doc/html/draft-eastlake-fnv>): the same on
/// every machine, but not cryptographic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fnv(u128);

impl Default for Fnv {
    fn default() -> Self {
        Self(0x6c62_272e_07bb_0142_62b8_2175_6295_c58d)
    }
}

impl Fnv {
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;

    pub fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u128::from(*byte)).wrapping_mul(Self::PRIME);
        }
    }

    pub fn of(bytes: &[u8]) -> Self {
        let mut hash = Self::default();
        hash.add(bytes);
        hash
    }

    pub fn get(self) -> u128 {
        self.0
    }
}

/// The digest of one history, or of many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Digest {
    pub exact: Fnv,
    pub shape: Fnv,
}

impl Digest {
    /// Adds the digest of the next history.
    pub fn fold(&mut self, next: Self) {
        self.exact.add(&next.exact.get().to_be_bytes());
        self.shape.add(&next.shape.get().to_be_bytes());
    }
}

impl std::fmt::Display for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (exact, shape) = (self.exact.get(), self.shape.get());
        write!(f, "{exact:032x} shape {shape:032x}")
    }
}

#[derive(Default)]
struct Part {
    digest: Digest,
    lines: Vec<String>,
}

impl Part {
    fn add(&mut self, line: &str, shape: &str, keeps: bool) {
        self.digest.exact.add(line.as_bytes());
        self.digest.exact.add(b"\n");
        self.digest.shape.add(shape.as_bytes());
        self.digest.shape.add(b"\n");
        if keeps {
            self.lines.push(shape.to_owned());
        }
    }
}

/// See the module.
#[derive(Default)]
pub struct Transcript {
    requests: Vec<Part>,
    end: Part,
    /// The order of appearance of ids, by their text.
    ids: HashMap<String, usize>,
    keeps_lines: bool,
}

impl Transcript {
    pub fn new(keeps_lines: bool) -> Self {
        Self {
            keeps_lines,
            ..Self::default()
        }
    }

    /// Adds a line about `request`.
    pub fn add(&mut self, request: RequestId, line: &str) {
        let shape = self.shape(line);
        if self.requests.len() <= request {
            self.requests.resize_with(request + 1, Part::default);
        }
        self.requests[request].add(line, &shape, self.keeps_lines);
    }

    /// Adds a line about the end of the history.
    pub fn add_end(&mut self, line: &str) {
        let shape = self.shape(line);
        self.end.add(line, &shape, self.keeps_lines);
    }

    pub fn digest(&self) -> Digest {
        let mut all = Digest::default();
        for part in self.requests.iter().chain([&self.end]) {
            all.fold(part.digest);
        }
        all
    }

    /// The lines in their shape, with the digest of each request.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (n, part) in self.requests.iter().enumerate() {
            lines.push(format!("request {n}: {}", part.digest));
            lines.extend(part.lines.iter().map(|line| format!("  {line}")));
        }
        lines.push(format!("end: {}", self.end.digest));
        lines.extend(self.end.lines.iter().map(|line| format!("  {line}")));
        lines
    }

    /// `line` with ids numbered and without hashes.
    fn shape(&mut self, line: &str) -> String {
        let is_of_id = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        let mut shape = String::with_capacity(line.len());
        let mut rest = line;
        while let Some(start) = rest.find(is_of_id) {
            let word = &rest[start..];
            let end = word.find(|c| !is_of_id(c)).unwrap_or(word.len());
            let (before, word) = (&rest[..start], &word[..end]);
            rest = &rest[start + end..];
            shape.push_str(before);
            if before.ends_with('#') && word.len() == HASH {
                continue;
            }
            // Ids have 16 bytes or more. No other word of a line is that long, except marked ones.
            let marked = before.ends_with('~');
            if marked || word.len() >= 22 {
                let next = self.ids.len();
                let id = *self.ids.entry(word.to_owned()).or_insert(next);
                let _ = write!(shape, "{}{id}", if marked { "" } else { "~" });
            } else {
                shape.push_str(word);
            }
        }
        shape.push_str(rest);
        shape
    }
}

/// The number of characters of a hash in a line, after a `#`.
const HASH: usize = 16;

/// Length and hash of a text that is too long for a line.
pub fn content(text: Option<&str>) -> String {
    match text {
        Some(text) => {
            let hash = Fnv::of(text.as_bytes()).get() as u64;
            format!("{} bytes #{hash:0HASH$x}", text.len())
        }
        None => "none".to_owned(),
    }
}

/// The visible state of a session, as a line.
pub fn view(view: &View) -> String {
    let View {
        outcome,
        content,
        owner,
        key,
        auth_time: _,
    } = view;
    let content = content.as_ref().map_err(|code| code.as_str());
    format!(
        "{} {content:?} owner {owner:?} key {key:?}",
        outcome.as_str()
    )
}

/// The response of a server, as a line.
pub fn answer(answer: &Answer) -> String {
    let result = answer.result.map_err(|code| code.as_str());
    let mut line = format!("answers {result:?}");
    for cookie in &answer.cookies {
        let (name, value) = crate::jar::split(cookie);
        let attributes = cookie.find(';').map_or("", |at| &cookie[at..]);
        let _ = write!(line, ", sets {name} {}{attributes}", content(Some(value)));
    }
    if let Some(shown) = &answer.view {
        let _ = write!(line, ", shows {}", view(shown));
    }
    line
}

/// The digest for this many histories from this seed in the text of `sim/digest.txt`.
pub fn recorded(text: &str, from: u64, count: u64) -> Option<&str> {
    let head = head(from, count);
    text.lines().find_map(|line| line.strip_prefix(&*head))
}

/// The text with another digest.
pub fn replace_recorded(text: &str, from: u64, count: u64, digest: Digest) -> String {
    let head = head(from, count);
    let others = text.lines().filter(|line| !line.starts_with(&*head));
    let mut lines: Vec<String> = others.map(str::to_owned).collect();
    lines.push(format!("{head}{digest}"));
    lines.join("\n") + "\n"
}

fn head(from: u64, count: u64) -> String {
    format!("seed {from} histories {count}: ")
}
