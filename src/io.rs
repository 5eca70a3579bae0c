//! Storage as the core asks it: with retries where a retry can help, and answers that are checked.

use crate::connector::{ConnectorError, ConnectorErrorKind, Page, PutOptions, ReadOptions};
use crate::error::SessionError;
use crate::sessions::Shared;
use crate::stats::Count;

/// Times that an operation is tried in all while the store is unavailable.
const TRIES: u32 = 3;
/// Milliseconds before the first retry; doubled before the next.
const BACKOFF: u32 = 50;
/// Milliseconds until a store that takes one write a second takes the next.
const NEXT_WRITE: u32 = 1_100;

impl Shared {
    /// The values of `names`, in their order.
    pub(crate) async fn read(
        &self,
        names: &[&str],
        options: ReadOptions,
    ) -> Result<Vec<Option<String>>, SessionError> {
        let _waiting = self.wait();
        let mut tries = 0;
        loop {
            self.count(Count::Reads);
            self.count_many(Count::KeysRead, names.len());
            match self.connector.read(names, options).await {
                Ok(values) if values.len() == names.len() => return Ok(values),
                Ok(values) => {
                    // A connector may be somebody else's: an answer of another length would be
                    // taken for other keys.
                    return Err(ConnectorError::new(
                        ConnectorErrorKind::Unavailable,
                        format!(
                            "asked for {} keys, it answered {}",
                            names.len(),
                            values.len()
                        ),
                    )
                    .into());
                }
                Err(_) if mutant!(error_taken_for_absence) => return Ok(vec![None; names.len()]),
                Err(error) => self.wait_or_give_up(error, &mut tries).await?,
            }
        }
    }

    /// Puts what does not depend on anything that is there, so that trying again is safe.
    pub(crate) async fn put(
        &self,
        name: &str,
        value: &str,
        options: &PutOptions,
    ) -> Result<(), ConnectorError> {
        let _waiting = self.wait();
        let mut tries = 0;
        loop {
            self.count(Count::Puts);
            match self.connector.put(name, value, options.clone()).await {
                Ok(()) => return Ok(()),
                Err(error) => self.wait_or_give_up(error, &mut tries).await?,
            }
        }
    }

    /// Deletes a key; that it was not there is success too.
    pub(crate) async fn delete(&self, name: &str) -> Result<(), SessionError> {
        let _waiting = self.wait();
        let mut tries = 0;
        loop {
            self.count(Count::Deletes);
            match self.connector.delete(name).await {
                Ok(()) => return Ok(()),
                Err(error) => self.wait_or_give_up(error, &mut tries).await?,
            }
        }
    }

    /// A page of the keys under `prefix`.
    pub(crate) async fn list(
        &self,
        prefix: &str,
        cursor: Option<&str>,
    ) -> Result<Page, SessionError> {
        let _waiting = self.wait();
        let mut tries = 0;
        loop {
            self.count(Count::Lists);
            match self.connector.list(prefix, cursor).await {
                Ok(page) => return Ok(page),
                Err(error) => self.wait_or_give_up(error, &mut tries).await?,
            }
        }
    }

    /// Waits before the next of a few tries; the error itself where no retry can help.
    pub(crate) async fn wait_or_give_up(
        &self,
        error: ConnectorError,
        tries: &mut u32,
    ) -> Result<(), ConnectorError> {
        *tries += 1;
        if error.kind() != ConnectorErrorKind::Unavailable || *tries >= TRIES {
            return Err(error);
        }
        self.count(Count::Retries);
        let backoff = BACKOFF << (*tries - 1);
        self.runtime.sleep(backoff + self.jitter(backoff)).await;
        Ok(())
    }

    /// Waits until one key may be written again.
    pub(crate) async fn wait_for_next_write(&self) {
        self.count(Count::Retries);
        self.runtime
            .sleep(NEXT_WRITE + self.jitter(NEXT_WRITE / 4))
            .await;
    }

    /// So that requests which failed together do not come back together.
    fn jitter(&self, most: u32) -> u32 {
        let mut dice = [0; 4];
        match self.runtime.fill_random(&mut dice) {
            Ok(()) => u32::from_be_bytes(dice) % most.max(1),
            Err(_) => 0,
        }
    }
}
