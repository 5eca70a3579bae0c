//! The KV connector and whole sessions, in workerd with a real KV binding.

#![cfg(all(target_arch = "wasm32", feature = "worker"))]
#![allow(clippy::unwrap_used, reason = "tests")]

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use edge_session::connector::{
    ConnectorErrorKind, KvConnector, PutOptions, ReadOptions, SessionConnector as _,
};
use edge_session::runtime::{PlatformRuntime, Runtime as _};
use edge_session::{
    AsSessionError as _, CookieHeader, ErrorCode, Event, EventSink, Keep, Outcome, SecretRing,
    SessionError, SessionStore, Sessions, SessionsBuilder, Settings,
};
use js_sys::Reflect;
use wasm_bindgen::prelude::*;
use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};

wasm_bindgen_test_configure!(run_in_service_worker);

const SECRET: &str = "lR0v9cFqWm3kXo2TzJ7yPb5sUe8hNd1GaQ4iCxKtMwY";

/// The `env` of the Worker that these tests run in.
fn env() -> JsValue {
    Reflect::get(&js_sys::global(), &"testEnv".into()).unwrap()
}

fn kv() -> KvConnector {
    KvConnector::from_env(&env(), "KV").unwrap()
}

fn sessions() -> Sessions {
    sessions_with(Settings::default())
}

fn sessions_with(settings: Settings) -> Sessions {
    Sessions::new(kv(), SecretRing::parse(SECRET).unwrap(), settings).unwrap()
}

/// The Cookie header that a browser would send after these Set-Cookie fields.
fn cookies(set_cookie: &[String]) -> CookieHeader {
    let pairs: Vec<&str> = set_cookie
        .iter()
        .map(|field| field.split(';').next().unwrap_or_default())
        .collect();
    CookieHeader::new(pairs.join("; "))
}

#[wasm_bindgen_test]
async fn kv_keeps_what_is_put_and_tells_what_is_not_there() {
    let kv = kv();
    kv.put("wasm.a", "1", PutOptions::ttl(60)).await.unwrap();
    // Below KV's minimum: raised, not refused.
    kv.put("wasm.b", "é", PutOptions::ttl(1).with_metadata("note"))
        .await
        .unwrap();
    let read = kv
        .read(
            &["wasm.b", "wasm.none", "wasm.a"],
            ReadOptions::cache_ttl(1),
        )
        .await;
    assert_eq!(
        read.unwrap(),
        [Some("é".to_owned()), None, Some("1".to_owned())]
    );
    let page = kv.list("wasm.", None).await.unwrap();
    let listed: Vec<_> = page
        .keys
        .iter()
        .map(|key| (&*key.name, key.metadata.as_deref()))
        .collect();
    assert_eq!(listed, [("wasm.a", None), ("wasm.b", Some("note"))]);
    kv.delete("wasm.a").await.unwrap();
    kv.delete("wasm.a").await.unwrap();
    assert_eq!(
        kv.read(&["wasm.a"], ReadOptions::default()).await.unwrap(),
        [None]
    );
}

#[wasm_bindgen_test]
async fn what_kv_refuses_is_a_typed_error() {
    let kv = kv();
    let long = "x".repeat(513);
    let error = kv.put(&long, "1", PutOptions::default()).await.unwrap_err();
    assert_eq!(error.kind(), ConnectorErrorKind::TooLarge, "{error}");
    let metadata = "m".repeat(1_025);
    let options = PutOptions::default().with_metadata(metadata);
    let error = kv.put("wasm.m", "1", options).await.unwrap_err();
    assert_eq!(error.kind(), ConnectorErrorKind::TooLarge, "{error}");
    let error = kv.put("", "1", PutOptions::default()).await.unwrap_err();
    assert_eq!(error.kind(), ConnectorErrorKind::Unavailable, "{error}");
}

#[wasm_bindgen_test]
fn a_missing_or_wrong_binding_is_named() {
    let error = KvConnector::from_env(&env(), "NOT_BOUND").unwrap_err();
    assert_eq!(error.code(), ErrorCode::MissingBinding);
    assert!(error.to_string().contains("NOT_BOUND"), "{error}");
    for wrong in [
        JsValue::NULL,
        JsValue::from_str("text"),
        js_sys::Object::new().into(),
    ] {
        let error = KvConnector::from_binding(wrong, "SESSIONS").unwrap_err();
        assert_eq!(error.code(), ErrorCode::MissingBinding);
    }
}

#[wasm_bindgen_test]
async fn a_session_goes_to_kv_and_comes_back() {
    let sessions = sessions();
    let mut session = sessions.load(CookieHeader::none()).await;
    session.set("cart", vec![1, 2, 3]).unwrap();
    let headers = sessions.commit(&mut session, 200).await.unwrap();

    // Another isolate: nothing is remembered.
    let sessions = self::sessions();
    let mut session = sessions.load(cookies(&headers.set_cookie()[..1])).await;
    assert_eq!(session.outcome().unwrap(), Outcome::Loaded);
    assert_eq!(session.require::<Vec<u32>>("cart").unwrap(), [1, 2, 3]);

    session.destroy().await.unwrap();
    let removal = sessions.commit(&mut session, 200).await.unwrap();
    assert!(removal.set_cookie()[0].contains("Max-Age=0"));
    let session = self::sessions().load(cookies(headers.set_cookie())).await;
    assert_eq!(session.outcome().unwrap(), Outcome::Revoked);
    assert!(session.is_empty().unwrap());
}

#[wasm_bindgen_test]
async fn an_owners_sessions_are_listed_from_kv_without_a_token() {
    let sessions = sessions();
    for _ in 0..2 {
        let mut session = sessions.load(CookieHeader::none()).await;
        session.bind_with("ada", Keep::Nothing).unwrap();
        let _ = sessions.commit(&mut session, 200).await.unwrap();
    }
    let listed = sessions.list("ada").await.unwrap();
    assert_eq!(listed.len(), 2);
    sessions.revoke("ada", &listed[0].key).await.unwrap();
    assert_eq!(sessions.list("ada").await.unwrap().len(), 1);
    let error = sessions.revoke("eve", &listed[1].key).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::NotFound);
    sessions.revoke_all("ada").await.unwrap();
    assert!(sessions.list("ada").await.unwrap().is_empty());
}

#[wasm_bindgen_test]
async fn a_plain_record_is_json_that_an_operator_can_read() {
    let sessions = sessions_with(
        Settings::default()
            .with_seal(false)
            .with_key_prefix("plain:"),
    );
    let mut session = sessions.load(CookieHeader::none()).await;
    session.set("é", "ü").unwrap();
    let headers = sessions.commit(&mut session, 200).await.unwrap();
    let page = kv().list("plain:s.", None).await.unwrap();
    let text = kv()
        .read(&[&page.keys[0].name], ReadOptions::default())
        .await
        .unwrap();
    assert!(
        text[0].as_deref().unwrap().contains(r#""data":{"é":"ü"}"#),
        "{text:?}"
    );
    let session = sessions.load(cookies(headers.set_cookie())).await;
    assert_eq!(session.require::<String>("é").unwrap(), "ü");
}

#[wasm_bindgen_test]
async fn requests_leave_no_javascript_values_behind() {
    let settings = Settings::default().with_isolate_cache_ttl(Duration::ZERO);
    let sessions = sessions_with(settings);
    let mut session = sessions.load(CookieHeader::none()).await;
    session.set("views", 0).unwrap();
    let headers = sessions.commit(&mut session, 200).await.unwrap();
    let mut counts = [0; 3];
    for count in &mut counts {
        for views in 0..20 {
            let cookie = cookies(&headers.set_cookie()[..1]);
            let mut session = sessions.load(cookie).await;
            session.set("views", views).unwrap();
            drop(sessions.commit(&mut session, 200).await.unwrap());
        }
        *count = wasm_bindgen::externref_heap_live_count();
    }
    // The first requests fill caches.
    assert_eq!(counts[1], counts[2], "{counts:?}");
}

#[wasm_bindgen_test]
async fn the_platform_has_a_clock_randomness_and_a_timer() {
    let runtime = Rc::new(PlatformRuntime);
    let before = runtime.now();
    assert!(before > 1_700_000_000_000);
    let (mut one, mut other) = ([0; 32], [0; 32]);
    runtime.fill_random(&mut one).unwrap();
    runtime.fill_random(&mut other).unwrap();
    assert_ne!(one, other);
    runtime.sleep(1).await;
    assert!(runtime.now() >= before);
}

#[wasm_bindgen_test]
fn a_worker_error_carries_a_session_error() {
    let own = SessionError::new(ErrorCode::ReauthRequired, "log in: again [now]\nok");
    let error = worker::Error::from(own);
    assert_eq!(
        error.to_string(),
        "SessionError [reauth_required]: log in: again [now]\nok"
    );
    let found = error.as_session_error().unwrap();
    assert_eq!(found.code(), ErrorCode::ReauthRequired);
    assert_eq!(found.message(), "log in: again [now]\nok");

    // JavaScript sees what the package's errors look like.
    let thrown = JsValue::from(error);
    let text = |name: &str| Reflect::get(&thrown, &name.into()).unwrap().as_string();
    assert_eq!(text("name").as_deref(), Some("SessionError"));
    assert_eq!(text("code").as_deref(), Some("reauth_required"));

    let unrelated = worker::Error::from("reauth_required: log in again");
    assert!(unrelated.as_session_error().is_none());
}

#[wasm_bindgen_test]
async fn handle_answers_a_session_error_with_its_status_and_hands_on_every_other() {
    type Act = fn(&mut SessionStore) -> worker::Result<()>;
    let request = || worker::Request::new("https://shop.example/", worker::Method::Get).unwrap();
    let sessions = sessions();
    let cases: [(Act, u16); 4] = [
        (
            |session| Ok(session.require_recent_auth(Duration::from_secs(300))?),
            401,
        ),
        (|session| Ok(session.require::<u32>("none").map(drop)?), 404),
        (
            |session| {
                session.set("a", "text")?;
                Ok(session.require::<u32>("a").map(drop)?)
            },
            422,
        ),
        (|session| Ok(session.set("a", f64::NAN)?), 422),
    ];
    for (act, status) in cases {
        let answer = sessions
            .handle(request(), None, async |_, session: &mut SessionStore| {
                act(session)?;
                worker::Response::ok("fine")
            })
            .await
            .unwrap();
        assert_eq!(answer.status_code(), status);
        let media = answer.headers().get("content-type").unwrap();
        assert_eq!(media.as_deref(), Some("application/problem+json"));
    }
    // Although the session refused something before.
    let error = sessions
        .handle(request(), None, async |_, session: &mut SessionStore| {
            session
                .require_recent_auth(Duration::from_secs(300))
                .unwrap_err();
            Err::<worker::Response, _>(worker::Error::from("the shop is closed"))
        })
        .await
        .err()
        .unwrap();
    assert_eq!(error.to_string(), "the shop is closed");
}

/// Runs `work` with a console that remembers its lines.
async fn logged(work: impl Future<Output = ()>) -> Vec<String> {
    let console = Reflect::get(&js_sys::global(), &"console".into()).unwrap();
    let log = Reflect::get(&console, &"log".into()).unwrap();
    let lines = Rc::new(RefCell::new(Vec::new()));
    let kept = Rc::clone(&lines);
    let keep = Closure::<dyn FnMut(String)>::new(move |line| kept.borrow_mut().push(line));
    Reflect::set(&console, &"log".into(), keep.as_ref()).unwrap();
    work.await;
    Reflect::set(&console, &"log".into(), &log).unwrap();
    lines.take()
}

#[wasm_bindgen_test]
async fn events_that_the_settings_ask_for_are_on_the_console_unless_a_sink_has_them() {
    struct Nowhere;
    impl EventSink for Nowhere {
        fn event(&self, _: &Event) {}
    }
    let builder = |events: bool| {
        let settings = Settings::default().with_events(events);
        Sessions::builder(kv(), SecretRing::parse(SECRET).unwrap()).settings(settings)
    };
    let lines = async |builder: SessionsBuilder| {
        let sessions = builder.build().unwrap();
        let forged = CookieHeader::new("__Host-session=forged");
        logged(async { drop(sessions.load(forged).await) }).await
    };
    let told = lines(builder(true)).await;
    assert!(
        matches!(&told[..], [line] if line.contains("\"rejected\"")),
        "{told:?}"
    );
    assert!(lines(builder(true).events(Nowhere)).await.is_empty());
    assert!(lines(builder(false)).await.is_empty());
}
