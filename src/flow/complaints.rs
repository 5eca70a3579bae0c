//! Console lines about a failing store: immediately for each cause, and then at most once a minute,
//! with the number of omitted lines.

/// The number of causes that are distinguished. A new cause replaces the one reported longest ago,
/// if that was more than a minute ago. Until then all new causes count as one, so that messages
/// which always differ fill neither the memory nor the console.
const CAUSES: usize = 16;
/// The number of consecutive hexadecimal digits and dashes, at least one of them a digit, that
/// count as the id of a request or as a time. Causes that differ only in these are the same.
const ID_LENGTH: usize = 6;
/// The most characters of a cause that are kept and reported.
const LENGTH: usize = 300;
/// Milliseconds between two lines about one cause.
const PAUSE: i64 = 60_000;

/// The failures of one isolate.
#[derive(Default)]
pub(crate) struct Complaints {
    known: Vec<(Box<str>, Told)>,
    others: Told,
}

/// When a cause was last reported, and how often it was omitted since.
#[derive(Default)]
struct Told {
    at: Option<i64>,
    left_out: u32,
}

impl Complaints {
    /// The line about a failure with this `cause` at `now`, in milliseconds since 1970-01-01 UTC;
    /// `None` if the last one is less than a minute old.
    pub(crate) fn line(&mut self, cause: &str, now: i64) -> Option<String> {
        let cause: String = cause
            .chars()
            .map(|it| if it.is_control() { ' ' } else { it })
            .take(LENGTH)
            .collect();
        let place = self.place_of(without_ids(&cause), now);
        let told = place.and_then(|place| self.known.get_mut(place));
        let is_other = told.is_none();
        let told = told.map_or(&mut self.others, |(_, told)| told);
        let left_out = told.tell(now)?;
        let and_more = match (left_out, is_other) {
            (0, _) => String::new(),
            (_, false) => format!(" ({left_out} more since the last line about this)"),
            (_, true) => format!(" ({left_out} more of various causes since the last such line)"),
        };
        Some(format!("edge-session: {cause}{and_more}"))
    }

    /// The entry for the cause with this `key`; `None` if there is no room for another one.
    fn place_of(&mut self, key: String, now: i64) -> Option<usize> {
        if let Some(place) = self.known.iter().position(|(known, _)| **known == *key) {
            return Some(place);
        }
        let new = (key.into(), Told::default());
        if self.known.len() < CAUSES {
            self.known.push(new);
            return Some(self.known.len() - 1);
        }
        let place = self.told_longest_ago(now)?;
        let (_, gone) = std::mem::replace(self.known.get_mut(place)?, new);
        // Its omitted lines are added to the common count.
        self.others.left_out = self.others.left_out.saturating_add(gone.left_out);
        Some(place)
    }

    /// The index of the cause reported longest ago, if that was at least a minute ago.
    fn told_longest_ago(&self, now: i64) -> Option<usize> {
        let old = self.known.iter().enumerate();
        old.filter(|(_, (_, told))| !told.is_recent(now))
            .min_by_key(|(_, (_, told))| told.at)
            .map(|(place, _)| place)
    }
}

/// `cause` with each id replaced by `#`.
fn without_ids(cause: &str) -> String {
    let is_part = |it: char| it.is_ascii_hexdigit() || it == '-';
    let mut key = String::with_capacity(cause.len());
    let mut rest = cause;
    while let Some(start) = rest.find(is_part) {
        let (before, from) = rest.split_at(start);
        let end = from.find(|it| !is_part(it)).unwrap_or(from.len());
        let (run, after) = from.split_at(end);
        let is_id = run.len() >= ID_LENGTH && run.contains(|it: char| it.is_ascii_digit());
        key.push_str(before);
        key.push_str(if is_id { "#" } else { run });
        rest = after;
    }
    key + rest
}

impl Told {
    /// True if it was reported less than a minute ago. A clock that was set back does not silence
    /// it.
    fn is_recent(&self, now: i64) -> bool {
        self.at
            .is_some_and(|at| (0..PAUSE).contains(&now.saturating_sub(at)))
    }

    /// How often it was omitted since the last report; `None` if it is omitted again.
    fn tell(&mut self, now: i64) -> Option<u32> {
        if self.is_recent(now) {
            self.left_out = self.left_out.saturating_add(1);
            return None;
        }
        self.at = Some(now);
        Some(std::mem::take(&mut self.left_out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_is_told_at_once_and_then_once_a_minute_with_the_count() {
        let mut complaints = Complaints::default();
        let mut line = |cause, now| complaints.line(cause, now);
        assert_eq!(line("down", 0).as_deref(), Some("edge-session: down"));
        assert_eq!(line("quota", 1).as_deref(), Some("edge-session: quota"));
        for now in [0, 2, 59_999] {
            assert_eq!(line("down", now), None);
        }
        let again = "edge-session: down (3 more since the last line about this)";
        assert_eq!(line("down", 60_000).as_deref(), Some(again));
        assert_eq!(line("down", 119_999), None);
        assert_eq!(
            line("quota", 60_001).as_deref(),
            Some("edge-session: quota")
        );
        assert!(line("down", 0).is_some(), "the clock was set back");
    }

    /// A cause of its own for each `n`, in letters that are no hexadecimal digits.
    fn cause(n: u32) -> String {
        let letters = n
            .to_string()
            .bytes()
            .map(|it| char::from(it - b'0' + b'g'))
            .collect::<String>();
        format!("request {letters} failed")
    }

    #[test]
    fn causes_that_are_never_the_same_take_bounded_room() {
        let mut complaints = Complaints::default();
        let told = (0..1_000)
            .filter_map(|n| complaints.line(&cause(n), 0))
            .count();
        assert_eq!(told, CAUSES + 1);
        assert_eq!(complaints.known.len(), CAUSES);
        let left = (1_000..1_017)
            .filter_map(|n| complaints.line(&cause(n), PAUSE))
            .last()
            .unwrap();
        assert!(left.contains("(983 more of various causes"), "{left}");
        assert_eq!(complaints.known.len(), CAUSES);
        let long = "x".repeat(10_000);
        assert!(complaints.line(&long, 3 * PAUSE).unwrap().len() < 2 * LENGTH);
    }

    #[test]
    fn a_new_cause_takes_the_place_of_the_one_told_longest_ago() {
        let mut complaints = Complaints::default();
        for n in 0..=CAUSES as u32 {
            assert!(complaints.line(&cause(n), i64::from(n)).is_some());
        }
        assert_eq!(complaints.line(&cause(0), 20), None);
        // Within the minute it counts as one of the others.
        assert_eq!(complaints.line("quota", 100), None);
        let now = PAUSE + 1;
        let first = complaints.line("quota", now);
        assert_eq!(first.as_deref(), Some("edge-session: quota"));
        assert_eq!(complaints.line("quota", now + 1), None);
        let again = complaints.line("quota", now + PAUSE);
        let more = "edge-session: quota (1 more since the last line about this)";
        assert_eq!(again.as_deref(), Some(more));
        // The failures that were not logged yet for the replaced cause, and the first of "quota", are in the
        // count of the others.
        assert_eq!(complaints.others.left_out, 2);
    }

    #[test]
    fn causes_that_differ_in_an_id_alone_are_one_and_told_as_they_are() {
        let mut complaints = Complaints::default();
        for (first, second) in [
            (
                "internal error; reference = 4f0a9c1e",
                "internal error; reference = b7d233e1",
            ),
            (
                "at 2026-11-01 of 0b9fd0a6-7c1f-4f63-9e0a-111111111111",
                "at 2026-12-24 of ffffffff-1234-4aaa-8bbb-0123456789ab",
            ),
        ] {
            let line = complaints.line(first, 0);
            assert_eq!(line, Some(format!("edge-session: {first}")));
            assert_eq!(complaints.line(second, 1), None);
            let again = complaints.line(second, PAUSE).unwrap();
            assert!(
                again.contains(second)
                    && again.ends_with("(1 more since the last line about this)")
            );
        }
        // A status, a line number or a word is not an id.
        for one in [
            "failed: 401",
            "failed: 500",
            "decade facade",
            "decade faced",
        ] {
            assert!(complaints.line(one, 0).is_some(), "{one}");
        }
        for odd in ["", "-", "é123456é", "12345é", "123456"] {
            assert_eq!(
                complaints.line(odd, 0),
                Some(format!("edge-session: {odd}"))
            );
        }
    }

    #[test]
    fn a_cause_is_one_line() {
        let line = Complaints::default()
            .line("down\n at kv.js\u{1b}[2J", 0)
            .unwrap();
        assert_eq!(line, "edge-session: down  at kv.js [2J");
    }
}
