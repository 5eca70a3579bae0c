//! Requests to the store, with retries if they can help, and with checked answers.

use crate::flow::engine::Ctx;
use crate::flow::stats::Count;
use crate::port::connector::{ConnectorError, ConnectorErrorKind, Page, PutOptions, ReadOptions};
use crate::port::effect::Write;
use crate::port::error::SessionError;

/// How often an operation is tried while the store is unavailable.
const TRIES: u32 = 3;
/// The pause before the first retry in milliseconds. It doubles before the next.
const BACKOFF: u32 = 50;
/// The pause before the next write of a key in a store that accepts one a second, in milliseconds.
const NEXT_WRITE: u32 = 1_100;

/// True if a retry can help. After a timeout it cannot: the request has waited long enough, and the
/// write may still arrive.
fn may_help(error: &ConnectorError) -> bool {
    error.kind() == ConnectorErrorKind::Unavailable && !error.is_timeout()
}

/// The tries of one write: of a delete, or of one among several parallel puts.
#[derive(Clone, Copy, Default)]
pub(crate) struct Tries {
    failed: u32,
    limited: bool,
}

impl Tries {
    /// Milliseconds to wait before the next try after `error`; `None` if there is no next try.
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
    /// The values of `names`, in order.
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
                    // An application's connector may be wrong: in an answer of another length,
                    // values would belong to other keys.
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

    /// Puts a value that does not depend on the stored one, so that a retry is safe.
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

    /// Puts once. The caller decides about a retry.
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

    /// Deletes a key. Succeeds if it does not exist.
    pub(crate) async fn delete(&self, name: &str) -> Result<(), SessionError> {
        let mut tries = Tries::default();
        loop {
            self.count(Count::Deletes);
            let delete = Write::Delete {
                key: name.to_owned(),
            };
            let Err(error) = self.write_once(delete).await else {
                return Ok(());
            };
            match tries.next(self, &error) {
                Some(pause) => self.sleep(pause).await,
                None => return Err(error.into()),
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

    /// Waits before the next try. Returns the error if no retry can help.
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

    /// Waits before another try, after this many failures.
    pub(crate) async fn back_off(&self, tries: u32) {
        self.count(Count::Retries);
        self.sleep(self.backoff(tries)).await;
    }

    /// Waits until one key may be written again.
    pub(crate) async fn wait_for_next_write(&self) {
        self.count(Count::Retries);
        self.sleep(self.next_write()).await;
    }

    /// The pause before another try, after this many failures, in milliseconds.
    fn backoff(&self, tries: u32) -> u32 {
        let backoff = BACKOFF << (tries - 1);
        backoff + self.jitter(backoff)
    }

    fn next_write(&self) -> u32 {
        NEXT_WRITE + self.jitter(NEXT_WRITE / 4)
    }

    /// A random part of a pause, so that requests which failed together do not retry together.
    pub(crate) fn jitter(&self, most: u32) -> u32 {
        // Without randomness nothing was sealed, so there is nothing to retry.
        self.random()
            .map_or(0, |dice| u32::from_be_bytes(dice) % most.max(1))
    }
}
