//! What a run has covered: a run without a fault proves nothing about it.

use edge_session::Outcome;

use crate::fault::Fault;
use crate::request::{Op, Spec};

/// Requests, by their effect on a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    Save,
    JoinSave,
    Seen,
    Cycle,
    Bind,
    Flush,
    Destroy,
    Revoke,
    RevokeAll,
}

impl Class {
    pub const ALL: [Self; 9] = [
        Self::Save,
        Self::JoinSave,
        Self::Seen,
        Self::Cycle,
        Self::Bind,
        Self::Flush,
        Self::Destroy,
        Self::Revoke,
        Self::RevokeAll,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Save => "save",
            Self::JoinSave => "join save",
            Self::Seen => "seen",
            Self::Cycle => "cycle",
            Self::Bind => "bind",
            Self::Flush => "flush",
            Self::Destroy => "destroy",
            Self::Revoke => "revoke",
            Self::RevokeAll => "revoke_all",
        }
    }

    /// The class of the strongest effect of a request.
    pub fn of(spec: &Spec) -> Self {
        let classes = spec.ops.iter().map(|op| match op {
            Op::RevokeAll { .. } => Self::RevokeAll,
            Op::Revoke(_) | Op::Delete(_) => Self::Revoke,
            Op::Destroy => Self::Destroy,
            Op::Flush { .. } => Self::Flush,
            Op::Bind { .. } => Self::Bind,
            Op::Cycle | Op::Reauthenticate | Op::Create => Self::Cycle,
            Op::Work(milliseconds) if *milliseconds >= 1_000 => Self::JoinSave,
            Op::Set(_) | Op::Remove(_) | Op::Clear | Op::Flash | Op::TakeFlash | Op::Expire(_) => {
                Self::Save
            }
            Op::Read | Op::List | Op::Save | Op::Work(_) | Op::LoadFresh => Self::Seen,
        });
        let rank = |class: &Self| match class {
            Self::Seen => 0,
            Self::Save => 1,
            other => *other as usize + 1,
        };
        classes.max_by_key(rank).unwrap_or(Self::Seen)
    }
}

/// Counts of one history, or of many.
pub trait Counts: Default + Send {
    fn add(&mut self, other: &Self);

    /// Every count by its name, and those that never happened.
    fn report(&self) -> (String, Vec<String>);

    /// Histories and requests.
    fn size(&self) -> (u64, u64);
}

const CLASSES: usize = Class::ALL.len();

pub const OUTCOMES: [Outcome; 12] = [
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

/// Counts of one history, or of many.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    pub histories: u64,
    pub requests: u64,
    pub outcomes: [u64; OUTCOMES.len()],
    pub faults: [u64; Fault::ALL.len()],
    pub pairs: [[u64; CLASSES]; CLASSES],
}

impl Tally {
    pub fn overlap(&mut self, one: Class, other: Class) {
        let (low, high) = if (one as usize) <= (other as usize) {
            (one, other)
        } else {
            (other, one)
        };
        self.pairs[low as usize][high as usize] += 1;
    }
}

impl Counts for Tally {
    fn add(&mut self, other: &Self) {
        self.histories += other.histories;
        self.requests += other.requests;
        for (mine, theirs) in self.outcomes.iter_mut().zip(other.outcomes) {
            *mine += theirs;
        }
        for (mine, theirs) in self.faults.iter_mut().zip(other.faults) {
            *mine += theirs;
        }
        for (mine, theirs) in self
            .pairs
            .iter_mut()
            .flatten()
            .zip(other.pairs.iter().flatten())
        {
            *mine += theirs;
        }
    }

    fn report(&self) -> (String, Vec<String>) {
        let mut out = String::new();
        let mut missing = Vec::new();
        let mut line = |name: String, count: u64| {
            out.push_str(&format!("  {name:<44}{count:>14}\n"));
            if count == 0 {
                missing.push(name);
            }
        };
        for fault in Fault::ALL {
            line(
                format!("fault: {}", fault.as_str()),
                self.faults[fault as usize],
            );
        }
        for outcome in OUTCOMES {
            line(
                format!("outcome: {}", outcome.as_str()),
                self.outcomes[outcome as usize],
            );
        }
        for (n, one) in Class::ALL.iter().enumerate() {
            for other in &Class::ALL[n..] {
                let count = self.pairs[*one as usize][*other as usize];
                line(
                    format!("overlap: {} with {}", one.as_str(), other.as_str()),
                    count,
                );
            }
        }
        (out, missing)
    }

    fn size(&self) -> (u64, u64) {
        (self.histories, self.requests)
    }
}
