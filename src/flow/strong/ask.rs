//! Requests to a store that has transactions, with retries if they can help, and with checked
//! answers.

use std::rc::Rc;

use crate::flow::engine::Ctx;
use crate::flow::stats::Count;
use crate::port::connector::{ConnectorError, ConnectorErrorKind, Page};
use crate::port::error::{ErrorCode, SessionError};
use crate::port::strong::{Row, Transacted};
use crate::port::transaction::Transaction;

/// How often a save is made again on top of other saves.
pub(crate) const REPLAYS: u32 = 8;
/// The longest pause before the first of these tries, in milliseconds. It doubles for each further
/// one.
const PAUSE: u32 = 10;
/// The longest pause of all.
const PAUSE_MOST: u32 = 320;

/// The result of a transaction that was requested once, or twice after a lost answer.
pub(crate) enum Answered {
    Done,
    Conflict {
        /// The rows of the checks, in order.
        rows: Vec<Option<Row>>,
        /// True if the first of two tries may have been applied.
        in_doubt: bool,
    },
}

impl Ctx {
    /// The rows of `keys` in `shard`, in order.
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

    /// The row of `key` in `shard`.
    pub(crate) async fn read_row(
        &self,
        shard: &str,
        key: &str,
    ) -> Result<Option<Row>, SessionError> {
        Ok(self.read_rows(shard, &[key]).await?.pop().flatten())
    }

    /// Requests `transaction`. If its fate is unknown it is requested once more, byte for byte, so
    /// that the revision shows which of the two was applied.
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
            // An application's connector may be wrong.
            Transacted::Conflict(rows) if rows.len() != checks => {
                Err(wrong_length(checks, rows.len()))
            }
            transacted => Ok(transacted),
        }
    }

    /// A page of the keys under `prefix` in `shard`.
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

    /// Waits before the next try on top of other saves. Fails after too many `replays`.
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

/// True if a transaction that failed with `error` may have been applied.
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

/// It is unknown whether the save was stored.
#[cold]
pub(crate) fn in_doubt() -> SessionError {
    SessionError::new(
        ErrorCode::Unavailable,
        "the session store did not say whether the save was stored, and another request has saved \
         since; load the session again",
    )
}
