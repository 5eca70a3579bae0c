//! A transaction of a strong store as owned values: a flow may have to repeat it, byte for byte.

use crate::port::strong::{Check, Write};

/// The checks and writes of a transaction of one shard.
#[derive(Debug, Default)]
pub(crate) struct Transaction {
    pub(crate) shard: String,
    pub(crate) checks: Vec<Expected>,
    pub(crate) writes: Vec<Change>,
}

/// An owned [`Check`]: the key and the expected revision; `None` for no row.
#[derive(Debug)]
pub(crate) struct Expected {
    pub(crate) key: String,
    pub(crate) revision: Option<String>,
}

/// An owned [`Write`].
#[derive(Debug)]
pub(crate) enum Change {
    Put {
        key: String,
        value: String,
        metadata: Option<String>,
        revision: String,
        expires_at: i64,
        /// It is a tombstone.
        dead: bool,
    },
    Replace {
        prefix: String,
        except: Vec<String>,
        value: String,
        revision: String,
    },
}

impl Expected {
    pub(crate) fn absent(key: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            revision: None,
        }
    }

    pub(crate) fn revision(key: impl Into<String>, revision: impl Into<String>) -> Self {
        Self {
            key: key.into(),
            revision: Some(revision.into()),
        }
    }

    fn borrow(&self) -> Check<'_> {
        match &self.revision {
            None => Check::Absent(&self.key),
            Some(revision) => Check::Revision(&self.key, revision),
        }
    }
}

impl Transaction {
    /// Passes the checks and writes to `act`, in the form that a connector takes.
    pub(crate) async fn lend<T>(
        &self,
        act: impl AsyncFnOnce(&[Check<'_>], &[Write<'_>]) -> T,
    ) -> T {
        let checks: Vec<Check<'_>> = self.checks.iter().map(Expected::borrow).collect();
        let excepted: Vec<Vec<&str>> = self.writes.iter().map(Change::excepted).collect();
        let writes = self.writes.iter().zip(&excepted);
        let writes: Vec<Write<'_>> = writes.map(|(write, except)| write.borrow(except)).collect();
        act(&checks, &writes).await
    }
}

impl Change {
    fn excepted(&self) -> Vec<&str> {
        match self {
            Self::Put { .. } => Vec::new(),
            Self::Replace { except, .. } => except.iter().map(String::as_str).collect(),
        }
    }

    fn borrow<'a>(&'a self, except: &'a [&'a str]) -> Write<'a> {
        match self {
            Self::Put {
                key,
                value,
                metadata,
                revision,
                expires_at,
                dead,
            } => Write::Put {
                key,
                value,
                metadata: metadata.as_deref(),
                revision,
                expires_at: *expires_at,
                dead: *dead,
            },
            Self::Replace {
                prefix,
                value,
                revision,
                ..
            } => Write::Replace {
                prefix,
                except,
                value,
                revision,
                // Whatever ends several rows leaves tombstones.
                dead: true,
            },
        }
    }
}
