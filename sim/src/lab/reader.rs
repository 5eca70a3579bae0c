//! Reads a sealed record with the product's own code.

use std::collections::BTreeSet;
use std::rc::Rc;

use edge_session::connector::{
    Check, ConnectorError, ConnectorErrorKind, Page, PutOptions, ReadOptions, Row,
    SessionConnector, StrongConnector, Transacted, Write,
};
use edge_session::runtime::Runtime;
use edge_session::{CookieHeader, Isolate, Outcome, SessionError, Sessions};
use futures_util::future::{FutureExt, LocalBoxFuture, ready};

use super::stage::Store;
use crate::Ms;
use crate::dice::Dice;
use crate::history::{KEY_COOKIE, ring};
use crate::request::View;

/// Version and keys of the record `text` under `name` in `store`, which the key cookie `token` opens.
pub fn read(
    store: Store,
    name: &Rc<str>,
    text: &Rc<str>,
    token: &str,
    now: Ms,
) -> (u32, BTreeSet<String>) {
    let only = Only {
        name: Rc::clone(name),
        text: Rc::clone(text),
    };
    let builder = match store {
        Store::Kv => Sessions::builder(only, ring()),
        Store::Objects => Sessions::strong_builder(only, ring()),
    };
    let sessions = builder
        .runtime(Still(now))
        .build()
        .unwrap_or_else(|error| panic!("{error}"))
        .with_isolate(&Isolate::new(), "a reader");
    let mut session = sessions.open(CookieHeader::new(format!("{KEY_COOKIE}={token}")));
    let outcome = session.load().now_or_never();
    assert!(matches!(outcome, Some(Ok(Outcome::Loaded))), "{name}");
    let content = View::of(&session).content.unwrap_or_default();
    (
        session.version().unwrap_or_default(),
        content.into_keys().collect(),
    )
}

/// A store of one record, for reading it.
struct Only {
    name: Rc<str>,
    text: Rc<str>,
}

impl SessionConnector for Only {
    fn read<'a>(
        &'a self,
        keys: &'a [&'a str],
        _: ReadOptions,
    ) -> LocalBoxFuture<'a, Result<Vec<Option<String>>, ConnectorError>> {
        let value = |key: &&str| (**key == *self.name).then(|| self.text.to_string());
        ready(Ok(keys.iter().map(value).collect())).boxed_local()
    }

    fn put<'a>(
        &'a self,
        _: &'a str,
        _: &'a str,
        _: PutOptions,
    ) -> LocalBoxFuture<'a, Result<(), ConnectorError>> {
        ready(Ok(())).boxed_local()
    }

    fn delete<'a>(&'a self, _: &'a str) -> LocalBoxFuture<'a, Result<(), ConnectorError>> {
        ready(Ok(())).boxed_local()
    }

    fn list<'a>(
        &'a self,
        _: &'a str,
        _: Option<&'a str>,
    ) -> LocalBoxFuture<'a, Result<Page, ConnectorError>> {
        ready(Err(only_one())).boxed_local()
    }
}

impl StrongConnector for Only {
    fn kind(&self) -> &str {
        "simulated"
    }

    fn read<'a>(
        &'a self,
        _: &'a str,
        keys: &'a [&'a str],
    ) -> LocalBoxFuture<'a, Result<Vec<Option<Row>>, ConnectorError>> {
        let row = |key: &&str| {
            (**key == *self.name).then(|| Row {
                value: self.text.to_string(),
                metadata: None,
                revision: "1".to_owned(),
                expires_at: Ms::MAX,
            })
        };
        ready(Ok(keys.iter().map(row).collect())).boxed_local()
    }

    fn transact<'a>(
        &'a self,
        _: &'a str,
        _: &'a [Check<'a>],
        _: &'a [Write<'a>],
    ) -> LocalBoxFuture<'a, Result<Transacted, ConnectorError>> {
        ready(Err(only_one())).boxed_local()
    }

    fn list<'a>(
        &'a self,
        _: &'a str,
        _: &'a str,
        _: Option<&'a str>,
    ) -> LocalBoxFuture<'a, Result<Page, ConnectorError>> {
        ready(Err(only_one())).boxed_local()
    }
}

fn only_one() -> ConnectorError {
    ConnectorError::new(ConnectorErrorKind::Unsupported, "one record")
}

/// A clock that stands still.
struct Still(Ms);

impl Runtime for Still {
    fn now(&self) -> i64 {
        self.0
    }

    fn fill_random(&self, out: &mut [u8]) -> Result<(), SessionError> {
        Dice::new(1).fill(out);
        Ok(())
    }

    fn sleep(&self, _: u32) -> LocalBoxFuture<'static, ()> {
        ready(()).boxed_local()
    }
}
