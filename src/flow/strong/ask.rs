//! A store that has transactions, as the flows ask it: with a retry where one can help, and answers
//! that are checked.

use std::rc::Rc;

use crate::flow::engine::Ctx;
use crate::flow::stats::Count;
use crate::port::connector::{ConnectorError, ConnectorErrorKind, Page};
use crate::port::error::{ErrorCode, SessionError};
use crate::port::strong::{Row, Transacted};
use crate::port::transaction::Transaction;

/// Times that a save is made on top of what others have saved meanwhile.
pub(crate) const REPLAYS: u32 = 8;
/// Milliseconds of pause before the next of them, at most; twice as much before the one after.
const PAUSE: u32 = 10;
/// The longest pause.
const PAUSE_MOST: u32 = 320;

/// What became of a transaction that was asked for once, or twice after an answer was lost.
pub(crate) enum Answered {
    Done,
    Conflict {
        /// The rows that were checked, in the order of the checks.
        rows: Vec<Option<Row>>,
        /// Whether the first of two tries may have been applied.
        in_doubt: bool,
    },
}

impl Ctx {
    /// The rows under `keys` of `shard`, in their order.
    pub(crate) async fn read_rows(
        &self,
        shard: &str,
        keys: &[&str],
    ) -> Result<Vec<Option<Row>>, SessionError> {
        let mut tries = 0;
        loop {
            self.count(Count::Reads);
            self.count_many(Count::KeysRead, keys.len());
            match self.ask_rows(shard, keys).await {
                Ok(rows) if rows.len() == keys.len() => return Ok(rows),
                Ok(rows) => return Err(wrong_length(keys.len(), rows.len()).into()),
                Err(error) => self.wait_or_give_up(error, &mut tries).await?,
            }
        }
    }

    /// The row under `key` of `shard`.
    pub(crate) async fn read_row(
        &self,
        shard: &str,
        key: &str,
    ) -> Result<Option<Row>, SessionError> {
        Ok(self.read_rows(shard, &[key]).await?.pop().flatten())
    }

    /// Asks for `transaction`. Where its fate is unknown it is asked for once more, byte for byte, so
    /// that the revision tells which of the two was applied.
    pub(crate) async fn transact(
        &self,
        transaction: Transaction,
    ) -> Result<Answered, SessionError> {
        let transaction = Rc::new(transaction);
        match self.transact_once(&transaction).await {
            Ok(Transacted::Done) => Ok(Answered::Done),
            Ok(Transacted::Conflict(rows)) => Ok(Answered::Conflict {
                rows,
                in_doubt: false,
            }),
            Err(error)
                if is_unknown(&error)
                    && self.may_try_after(0)
                    && !mutant!(strong_never_repeated) =>
            {
                self.count(Count::Retries);
                match self.transact_once(&transaction).await? {
                    Transacted::Done => Ok(Answered::Done),
                    Transacted::Conflict(rows) => Ok(Answered::Conflict {
                        rows,
                        in_doubt: true,
                    }),
                }
            }
            Err(error) => Err(error.into()),
        }
    }

    async fn transact_once(
        &self,
        transaction: &Rc<Transaction>,
    ) -> Result<Transacted, ConnectorError> {
        self.count(Count::Puts);
        let checks = transaction.checks.len();
        match self.ask_transact(transaction).await? {
            // A connector may be somebody else's.
            Transacted::Conflict(rows) if rows.len() != checks => {
                Err(wrong_length(checks, rows.len()))
            }
            transacted => Ok(transacted),
        }
    }

    /// A page of the keys under `prefix` of `shard`.
    pub(crate) async fn list_rows(
        &self,
        shard: &str,
        prefix: &str,
        cursor: Option<&str>,
    ) -> Result<Page, SessionError> {
        let mut tries = 0;
        loop {
            self.count(Count::Lists);
            match self.ask_list_rows(shard, prefix, cursor).await {
                Ok(page) => return Ok(page),
                Err(error) => self.wait_or_give_up(error, &mut tries).await?,
            }
        }
    }

    /// Waits before what was replayed `replays` times is tried again; an error where that is enough.
    pub(crate) async fn pause_or_give_up(&self, replays: &mut u32) -> Result<(), SessionError> {
        *replays += 1;
        if *replays >= REPLAYS || !self.may_try_after(PAUSE_MOST) {
            return Err(too_many_writers());
        }
        let pause = (PAUSE << (*replays - 1)).min(PAUSE_MOST);
        self.count(Count::Retries);
        self.sleep(1 + self.jitter(pause)).await;
        Ok(())
    }
}

/// Whether a transaction that ended in `error` may have been applied.
fn is_unknown(error: &ConnectorError) -> bool {
    error.kind() == ConnectorErrorKind::Unavailable
}

#[cold]
fn wrong_length(asked: usize, answered: usize) -> ConnectorError {
    ConnectorError::new(
        ConnectorErrorKind::Unavailable,
        format!("asked about {asked} keys, it answered about {answered}"),
    )
}

#[cold]
fn too_many_writers() -> SessionError {
    SessionError::new(
        ErrorCode::RateLimited,
        "too many requests save this session at the same time; try again in a moment",
    )
}

/// Nobody can tell whether the save was stored.
#[cold]
pub(crate) fn in_doubt() -> SessionError {
    SessionError::new(
        ErrorCode::Unavailable,
        "the session store did not say whether the save was stored, and another request has saved \
         since; load the session again",
    )
}
