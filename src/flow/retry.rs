//! Storage as the core asks it: with retries where a retry can help, and answers that are checked.

use crate::flow::engine::Ctx;
use crate::flow::stats::Count;
use crate::port::connector::{ConnectorError, ConnectorErrorKind, Page, PutOptions, ReadOptions};
use crate::port::effect::Write;
use crate::port::error::SessionError;

/// Times that an operation is tried in all while the store is unavailable.
const TRIES: u32 = 3;
/// Milliseconds before the first retry; doubled before the next.
const BACKOFF: u32 = 50;
/// Milliseconds until a store that takes one write a second takes the next.
const NEXT_WRITE: u32 = 1_100;

/// Whether another try can help soon. Not after a deadline: with it the request has waited long
/// enough, and a write may be on its way.
fn may_help(error: &ConnectorError) -> bool {
    error.kind() == ConnectorErrorKind::Unavailable && !error.is_timeout()
}

/// The tries of one write among several that are asked for together.
#[derive(Clone, Copy, Default)]
pub(crate) struct Tries {
    failed: u32,
    limited: bool,
}

impl Tries {
    /// Milliseconds to wait before the next try after `error`; `None` where there is none.
    pub(crate) fn next(&mut self, ctx: &Ctx, error: &ConnectorError) -> Option<u32> {
        let pause = match error.kind() {
            ConnectorErrorKind::RateLimited if !self.limited && ctx.may_try_after(NEXT_WRITE) => {
                self.limited = true;
                ctx.next_write()
            }
            _ if may_help(error) && self.failed + 1 < TRIES && ctx.may_try_after(0) => {
                self.failed += 1;
                ctx.backoff(self.failed)
            }
            _ => return None,
        };
        ctx.count(Count::Retries);
        Some(pause)
    }
}

impl Ctx {
    /// The values of `names`, in their order.
    pub(crate) async fn read(
        &self,
        names: &[&str],
        options: ReadOptions,
    ) -> Result<Vec<Option<String>>, SessionError> {
        let mut tries = 0;
        loop {
            self.count(Count::Reads);
            self.count_many(Count::KeysRead, names.len());
            match self.ask_read(names, options).await {
                Ok(values) if values.len() == names.len() => return Ok(values),
                Ok(values) => {
                    // A connector may be somebody else's: an answer of another length would be
                    // taken for other keys.
                    return Err(ConnectorError::new(
                        ConnectorErrorKind::Unavailable,
                        format!(
                            "it was asked for {} keys and returned {}",
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
        let mut tries = 0;
        loop {
            match self.put_once(name, value, options.clone()).await {
                Ok(()) => return Ok(()),
                Err(error) => self.wait_or_give_up(error, &mut tries).await?,
            }
        }
    }

    /// Puts once: whoever calls decides about another try.
    pub(crate) async fn put_once(
        &self,
        name: &str,
        value: &str,
        options: PutOptions,
    ) -> Result<(), ConnectorError> {
        self.count(Count::Puts);
        self.write_once(Write::Put {
            key: name.to_owned(),
            value: value.to_owned(),
            options,
        })
        .await
    }

    async fn write_once(&self, write: Write) -> Result<(), ConnectorError> {
        // One result for each write.
        self.ask_write(vec![write]).await.pop().unwrap_or(Ok(()))
    }

    /// Deletes a key; that it was not there is success too.
    pub(crate) async fn delete(&self, name: &str) -> Result<(), SessionError> {
        let mut tries = 0;
        loop {
            self.count(Count::Deletes);
            let delete = Write::Delete {
                key: name.to_owned(),
            };
            match self.write_once(delete).await {
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
        let mut tries = 0;
        loop {
            self.count(Count::Lists);
            match self.ask_list(prefix, cursor).await {
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
        if !may_help(&error) || *tries >= TRIES || !self.may_try_after(0) {
            return Err(error);
        }
        self.back_off(*tries).await;
        Ok(())
    }

    /// Waits before another try, after so many that failed.
    pub(crate) async fn back_off(&self, tries: u32) {
        self.count(Count::Retries);
        self.sleep(self.backoff(tries)).await;
    }

    /// Waits until one key may be written again.
    pub(crate) async fn wait_for_next_write(&self) {
        self.count(Count::Retries);
        self.sleep(self.next_write()).await;
    }

    /// Milliseconds before another try, after so many that failed.
    fn backoff(&self, tries: u32) -> u32 {
        let backoff = BACKOFF << (tries - 1);
        backoff + self.jitter(backoff)
    }

    fn next_write(&self) -> u32 {
        NEXT_WRITE + self.jitter(NEXT_WRITE / 4)
    }

    /// So that requests which failed together do not come back together.
    pub(crate) fn jitter(&self, most: u32) -> u32 {
        // Without randomness nothing was sealed that could be tried again.
        self.random()
            .map_or(0, |dice| u32::from_be_bytes(dice) % most.max(1))
    }
}
