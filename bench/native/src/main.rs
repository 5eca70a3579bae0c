//! Kinds of requests to the core, natively, for callgrind to count the instructions of
//! (`bench/instructions.mjs`): `bench-native <kind> <bytes of data>`.
//!
//! The clock stands still and the random numbers are fixed, so two runs do the same.

use std::cell::Cell;
use std::error::Error;
use std::rc::Rc;

use edge_session::connector::{ManualClock, MemoryConnector};
use edge_session::runtime::Runtime;
use edge_session::{CommitHeaders, CookieHeader, Isolate, SecretRing, SessionError, Sessions};
use futures_executor::block_on;
use serde_json::{Map, Value, json};

const START: i64 = 1_767_571_200_000;
/// Requests that are counted, each of another session.
const REQUESTS: usize = 20;

/// Time that stands still, and numbers that come in the same order each time.
struct Still {
    clock: ManualClock,
    state: Cell<u64>,
}

impl Runtime for Still {
    fn now(&self) -> i64 {
        self.clock.now()
    }

    fn fill_random(&self, out: &mut [u8]) -> Result<(), SessionError> {
        for byte in out {
            // Knuth's MMIX generator: these numbers need not be secret.
            let next = self
                .state
                .get()
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            self.state.set(next);
            *byte = next.to_be_bytes()[0];
        }
        Ok(())
    }

    fn sleep(&self, _milliseconds: u32) -> std::pin::Pin<Box<dyn Future<Output = ()> + 'static>> {
        Box::pin(std::future::ready(()))
    }
}

/// What `bench/isolate/data.mjs` fills a session with.
fn data(size: usize) -> Map<String, Value> {
    let mut data = Map::new();
    data.insert("views".into(), json!(0));
    data.insert("user".into(), json!("u-1842"));
    let mut cart = Vec::new();
    let mut length = 40;
    while length < size {
        let i = cart.len();
        let item = json!({ "sku": format!("sku-{}", 1000 + i), "title": format!("Item number {i}"), "qty": 1, "price": 1990 + i });
        length += item.to_string().len() + 1;
        cart.push(item);
    }
    data.insert("cart".into(), Value::Array(cart));
    data
}

/// The Cookie header of a browser that was given these cookies.
fn cookie_header(headers: &CommitHeaders) -> String {
    let pairs: Vec<_> = headers
        .set_cookie()
        .iter()
        .filter_map(|line| line.split(';').next())
        // Nothing is fresh any more when it comes back.
        .filter(|pair| !pair.contains("-fresh="))
        .collect();
    pairs.join("; ")
}

fn forged(cookie: &str) -> String {
    let mut text = cookie.to_owned();
    let at = text.len() - 4;
    let other = if text.as_bytes().get(at) == Some(&b'A') {
        "B"
    } else {
        "A"
    };
    text.replace_range(at..=at, other);
    text
}

/// What is counted: callgrind is told this function's name.
#[inline(never)]
fn counted(act: impl FnOnce() -> Result<(), SessionError>) -> Result<(), SessionError> {
    act()
}

async fn request(sessions: &Sessions, kind: &str, head: CookieHeader) -> Result<(), SessionError> {
    if kind == "untouched" {
        let mut session = sessions.open(head);
        return sessions.commit(&mut session, 200).await.map(drop);
    }
    let mut session = sessions.load(head).await;
    match kind {
        "read" | "forged" => drop(session.get::<u32>("views")?),
        "write" => {
            let views = session.get::<u32>("views")?.unwrap_or(0);
            session.set("views", views + 1)?;
        }
        "login" => session.bind("ada")?,
        "logout" => session.destroy().await?,
        _ => {}
    }
    sessions.commit(&mut session, 200).await.map(drop)
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let kind = arguments.next().ok_or("bench-native <kind> <bytes>")?;
    let size: usize = arguments.next().ok_or("how many bytes of data?")?.parse()?;

    let clock = ManualClock::new(START);
    let runtime = Rc::new(Still {
        clock: clock.clone(),
        state: Cell::new(1),
    });
    let sessions = Sessions::builder(
        MemoryConnector::with_clock(clock.clone()),
        SecretRing::parse("Wn4yq0JtRkS7vE2mHcZx8aLdUoPb5fTgQi1YsXe9")?,
    )
    .runtime(runtime)
    .build()?;

    let mut heads = Vec::new();
    for _ in 0..REQUESTS {
        let cookie = block_on(async {
            let mut session = sessions.load(CookieHeader::none()).await;
            session.update(data(size))?;
            let headers = sessions.commit(&mut session, 200).await?;
            Ok::<_, SessionError>(cookie_header(&headers))
        })?;
        heads.push(match kind.as_str() {
            "untouched" => CookieHeader::none(),
            "forged" => CookieHeader::new(forged(&cookie)),
            _ => CookieHeader::new(cookie),
        });
    }
    // An isolate that has seen none of them, at a time when they are old news.
    let sessions = sessions.with_isolate(&Isolate::new(), "");
    clock.advance(3_600_000);

    counted(|| {
        heads
            .into_iter()
            .try_for_each(|head| block_on(request(&sessions, &kind, head)))
    })?;
    Ok(())
}
