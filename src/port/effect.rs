//! The effects that a flow can request and their replies, as plain values.

use std::rc::Rc;

use zeroize::Zeroize as _;

use crate::port::connector::{ConnectorError, Page, PutOptions, ReadOptions};
use crate::port::error::{ErrorCode, SessionError};
use crate::port::runtime::Runtime;
use crate::port::strong::{Row, Transacted};
use crate::port::transaction::Transaction;

/// What a flow asks for.
#[derive(Debug)]
pub(crate) enum Effect {
    /// The values of these keys, in one round trip.
    Read {
        keys: Vec<String>,
        options: ReadOptions,
    },
    /// These writes, side by side. Each is answered on its own.
    Write(Vec<Write>),
    /// A page of the keys under a prefix.
    List {
        prefix: String,
        cursor: Option<String>,
    },
    /// The rows under these keys of a shard of a strong store.
    ReadRows { shard: String, keys: Vec<String> },
    /// Some changes of a shard, all or nothing.
    Transact(Rc<Transaction>),
    /// A page of the keys under a prefix of a shard.
    ListRows {
        shard: String,
        prefix: String,
        cursor: Option<String>,
    },
    /// A pause.
    Sleep { milliseconds: u32 },
}

/// One write of an [`Effect::Write`].
#[derive(Clone, Debug)]
pub(crate) enum Write {
    Put {
        key: String,
        value: String,
        options: PutOptions,
    },
    Delete {
        key: String,
    },
}

/// The answer to an [`Effect`], of the same name; [`List`](Self::List) answers both kinds of list.
pub(crate) enum Reply {
    Read(Result<Vec<Option<String>>, ConnectorError>),
    /// One result for each write, in order.
    Write(Vec<Result<(), ConnectorError>>),
    List(Result<Page, ConnectorError>),
    ReadRows(Result<Vec<Option<Row>>, ConnectorError>),
    Transact(Result<Transacted, ConnectorError>),
    Sleep,
}

impl Reply {
    /// The first error of the store, if it did not do everything.
    pub(crate) fn failure(&self) -> Option<&ConnectorError> {
        match self {
            Self::Read(values) => values.as_ref().err(),
            Self::Write(results) => results.iter().find_map(|it| it.as_ref().err()),
            Self::List(page) => page.as_ref().err(),
            Self::ReadRows(rows) => rows.as_ref().err(),
            Self::Transact(transacted) => transacted.as_ref().err(),
            Self::Sleep => None,
        }
    }
}

/// Random bytes for one step: enough for a writer id, the nonces of a record and of its list
/// metadata, and a retry's jitter.
pub(crate) struct Random {
    bytes: [u8; Self::BYTES],
    used: usize,
}

impl Random {
    const BYTES: usize = 64;

    /// Fresh bytes. If the platform has none, every later [`take`](Self::take) fails.
    pub(crate) fn fresh(runtime: &dyn Runtime) -> Self {
        let mut bytes = [0; Self::BYTES];
        let used = match runtime.fill_random(&mut bytes) {
            Ok(()) => 0,
            Err(_) => Self::BYTES,
        };
        Self { bytes, used }
    }

    /// No bytes, for a flow before its first step.
    pub(crate) const fn none() -> Self {
        Self {
            bytes: [0; Self::BYTES],
            used: Self::BYTES,
        }
    }

    /// The next `N` bytes. They are never handed out twice.
    pub(crate) fn take<const N: usize>(&mut self) -> Result<[u8; N], SessionError> {
        let end = self.used + N;
        let next = self.bytes.get(self.used..end).ok_or_else(|| {
            SessionError::new(
                ErrorCode::NotReady,
                "no randomness is available: Workers provide none at module scope; create sessions inside the fetch handler",
            )
        })?;
        let mut out = [0; N];
        out.copy_from_slice(next);
        self.used = end;
        Ok(out)
    }
}

impl Drop for Random {
    fn drop(&mut self) {
        self.bytes.zeroize();
    }
}
