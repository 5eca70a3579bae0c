//! What an operator is told on the console of a store that fails: each cause at once, and after that
//! no more than once a minute, with the number of times that were left out.

/// Causes that are told apart. All that come later count as one, so that messages which are never
/// the same twice neither fill the memory nor the console.
const CAUSES: usize = 16;
/// Characters of a cause that are kept and told.
const LENGTH: usize = 300;
/// Milliseconds between two lines about one cause.
const PAUSE: i64 = 60_000;

/// The failures of one isolate.
#[derive(Default)]
pub(crate) struct Complaints {
    known: Vec<(Box<str>, Told)>,
    others: Told,
}

/// When a cause was told last, and how often it was left out since.
#[derive(Default)]
struct Told {
    at: Option<i64>,
    left_out: u32,
}

impl Complaints {
    /// The line about a failure with this `cause` at `now`, in milliseconds since 1970-01-01 UTC;
    /// `None` where the last one is less than a minute old.
    pub(crate) fn line(&mut self, cause: &str, now: i64) -> Option<String> {
        let cause: String = cause
            .chars()
            .map(|it| if it.is_control() { ' ' } else { it })
            .take(LENGTH)
            .collect();
        let known = self.known.iter().position(|(known, _)| **known == *cause);
        let told = match known {
            Some(place) => self.known.get_mut(place).map(|(_, told)| told),
            None if self.known.len() < CAUSES => {
                self.known.push((cause.as_str().into(), Told::default()));
                self.known.last_mut().map(|(_, told)| told)
            }
            None => None,
        };
        let is_other = told.is_none();
        let left_out = told.unwrap_or(&mut self.others).tell(now)?;
        let and_more = match (left_out, is_other) {
            (0, _) => String::new(),
            (_, false) => format!(" ({left_out} more since the last line about this)"),
            (_, true) => format!(" ({left_out} more of various causes since the last such line)"),
        };
        Some(format!("edge-session: {cause}{and_more}"))
    }
}

impl Told {
    /// How often it was left out since it was told last; `None` where it is left out once more. A
    /// clock that was set back does not silence it.
    fn tell(&mut self, now: i64) -> Option<u32> {
        let is_early = self
            .at
            .is_some_and(|at| (0..PAUSE).contains(&now.saturating_sub(at)));
        if is_early {
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

    #[test]
    fn causes_that_are_never_the_same_take_bounded_room() {
        let mut complaints = Complaints::default();
        let told = (0..1_000)
            .filter_map(|n| complaints.line(&format!("request {n} failed"), 0))
            .count();
        assert_eq!(told, CAUSES + 1);
        assert_eq!(complaints.known.len(), CAUSES);
        let line = complaints.line("one more", PAUSE).unwrap();
        assert!(
            line.starts_with("edge-session: one more (983 more"),
            "{line}"
        );
        assert!(
            complaints
                .line(&"x".repeat(10_000), 2 * PAUSE)
                .unwrap()
                .len()
                < 2 * LENGTH
        );
    }

    #[test]
    fn a_cause_is_one_line() {
        let line = Complaints::default()
            .line("down\n at kv.js\u{1b}[2J", 0)
            .unwrap();
        assert_eq!(line, "edge-session: down  at kv.js [2J");
    }
}
