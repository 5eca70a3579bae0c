//! What a run of the second world has covered.

use super::weather::Trouble;
use crate::tally::{Counts, OUTCOMES};

/// Counts of one history, or of many.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    pub histories: u64,
    pub requests: u64,
    pub outcomes: [u64; OUTCOMES.len()],
    pub troubles: [u64; Trouble::ALL.len()],
    /// How often each situation has occurred.
    pub met: [u64; Met::ALL.len()],
}

/// A situation that a rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Met {
    Conflict,
    Moved,
    LoginRefused,
    Limited,
    LogoutFinished,
}

impl Met {
    pub const ALL: [Self; 5] = [
        Self::Conflict,
        Self::Moved,
        Self::LoginRefused,
        Self::Limited,
        Self::LogoutFinished,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Conflict => "a conflict",
            Self::Moved => "a session moved to another object",
            Self::LoginRefused => "a login refused, all sessions having been ended",
            Self::Limited => "a session ended for another by the limit",
            Self::LogoutFinished => "a logout finished by a later request",
        }
    }
}

impl Counts for Tally {
    fn add(&mut self, other: &Self) {
        self.histories += other.histories;
        self.requests += other.requests;
        let pairs = self.outcomes.iter_mut().zip(other.outcomes);
        let pairs = pairs.chain(self.troubles.iter_mut().zip(other.troubles));
        let pairs = pairs.chain(self.met.iter_mut().zip(other.met));
        for (mine, theirs) in pairs {
            *mine += theirs;
        }
    }

    fn report(&self) -> (String, Vec<String>) {
        let mut out = String::new();
        let mut missing = Vec::new();
        let mut line = |name: String, count: u64, may_miss: bool| {
            out.push_str(&format!("  {name:<52}{count:>14}\n"));
            if count == 0 && !may_miss {
                missing.push(name);
            }
        };
        for trouble in Trouble::ALL {
            let name = format!("fault: {}", trouble.as_str());
            line(name, self.troubles[trouble as usize], false);
        }
        for met in Met::ALL {
            line(
                format!("met: {}", met.as_str()),
                self.met[met as usize],
                false,
            );
        }
        for (outcome, count) in OUTCOMES.iter().zip(self.outcomes) {
            // These outcomes cannot occur here.
            let never = ["pending", "stale", "corrupt"].contains(&outcome.as_str());
            line(format!("outcome: {}", outcome.as_str()), count, never);
        }
        (out, missing)
    }

    fn size(&self) -> (u64, u64) {
        (self.histories, self.requests)
    }
}
