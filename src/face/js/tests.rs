//! Every function that the package's wasm exports, called as `js/` calls it.

use std::collections::HashMap;

use super::*;
use js_sys::{JSON, Map, Object, Promise, Reflect};
use wasm_bindgen_futures::JsFuture;
use wasm_bindgen_test::wasm_bindgen_test;

const SECRET: &str = "lR0v9cFqWm3kXo2TzJ7yPb5sUe8hNd1GaQ4iCxKtMwY";

thread_local! {
    /// Tasks that have ended: what they came to, and whether that is an error.
    static ENDED: RefCell<HashMap<u32, (JsValue, bool)>> = RefCell::default();
}

/// Answers as `js/tasks.js` does: after the core has got back.
fn answer(reply: u32, values: Vec<JsValue>) {
    wasm_bindgen_futures::spawn_local(async move {
        for value in values {
            tasks::give(reply, value.as_string());
        }
        tasks::answered(reply, None, 0);
    });
}

/// A port over a `Map`, as `js/connector.js` makes one.
fn port() -> Port {
    let map = Map::new();
    let port = Object::new();
    let set = |name: &str, value: JsValue| Reflect::set(&port, &name.into(), &value).unwrap();
    set("isKv", JsValue::FALSE);
    let known = map.clone();
    let read = Closure::<dyn Fn(u32, String)>::new(move |reply, keys: String| {
        let value = |key: &str| {
            let entry = known.get(&key.into());
            let entry = entry.dyn_ref::<Array>();
            entry.map_or(JsValue::NULL, |entry| entry.get(0))
        };
        answer(reply, keys.split('\n').map(value).collect());
    });
    set("read", read.into_js_value());
    let known = map.clone();
    let put = Closure::<dyn Fn(u32, JsValue, JsValue, JsValue, JsValue)>::new(
        move |reply, key: JsValue, value: JsValue, _ttl: JsValue, metadata: JsValue| {
            known.set(&key, &Array::of2(&value, &metadata).into());
            answer(reply, Vec::new());
        },
    );
    set("put", put.into_js_value());
    let known = map.clone();
    let delete = Closure::<dyn Fn(u32, JsValue)>::new(move |reply, key: JsValue| {
        known.delete(&key);
        answer(reply, Vec::new());
    });
    set("delete", delete.into_js_value());
    let list = Closure::<dyn Fn(u32, String)>::new(move |reply, prefix: String| {
        let mut page = vec![JsValue::NULL];
        map.for_each(&mut |entry, key| {
            if key.as_string().is_some_and(|key| key.starts_with(&prefix)) {
                page.extend([key, entry.unchecked_ref::<Array>().get(1)]);
            }
        });
        answer(reply, page);
    });
    set("list", list.into_js_value());
    let finished = Closure::<dyn Fn(u32, JsValue, bool)>::new(|task, value, failed| {
        ENDED.with_borrow_mut(|ended| ended.insert(task, (value, failed)));
    });
    set("finished", finished.into_js_value());
    port.unchecked_into()
}

fn realm_at(clock: Option<Clock>) -> Realm {
    let settings = vec!["idleTimeout".to_owned(), "600".to_owned()];
    Realm::new(port(), &Memory::new(), SECRET, settings, false, clock).unwrap()
}

fn realm() -> Realm {
    realm_at(None)
}

/// A step's result, whether it came at once or as a task: its value, and whether that is an error.
async fn end(outcome: Outcome) -> (JsValue, bool) {
    let task = match outcome {
        Err(thrown) => return (thrown, true),
        Ok(value) => match value.as_f64() {
            Some(task) => task as u32,
            None => return (value, false),
        },
    };
    loop {
        if let Some(end) = ENDED.with_borrow_mut(|ended| ended.remove(&task)) {
            return end;
        }
        // A turn of the microtask queue.
        let turn = Promise::resolve(&JsValue::UNDEFINED);
        JsFuture::from(turn).await.unwrap();
    }
}

async fn done(outcome: Outcome) -> JsValue {
    let (value, failed) = end(outcome).await;
    assert!(!failed, "{value:?}");
    value
}

async fn refused(outcome: Outcome) -> String {
    let (thrown, failed) = end(outcome).await;
    assert!(failed, "{thrown:?}");
    code(&thrown)
}

fn code(record: &JsValue) -> String {
    record.unchecked_ref::<Array>().get(0).as_string().unwrap()
}

async fn opened(realm: &Realm, cookie: Option<&str>) -> Handle {
    let handle = realm.open(cookie.map(str::to_owned), None, None, None);
    done(handle.load(false)).await;
    handle
}

/// The Cookie header after a commit with these changes.
async fn committed(handle: &Handle, changes: &str) -> String {
    let text = done(handle.commit(changes.to_owned(), 200, None))
        .await
        .as_string()
        .unwrap();
    let cookies = text.lines().filter(|line| line.starts_with("__Host-"));
    let pairs: Vec<&str> = cookies
        .filter_map(|cookie| cookie.split(';').next())
        .collect();
    pairs.join("; ")
}

/// The user id in the facts of a session.
fn owner(handle: &Handle) -> Option<String> {
    let facts = JSON::parse(&handle.facts()).unwrap();
    facts.unchecked_ref::<Array>().get(4).as_string()
}

#[wasm_bindgen_test]
async fn a_session_goes_round() {
    let realm = realm();
    let handle = opened(&realm, None).await;
    assert!(handle.state().unwrap().starts_with("l00new"));
    handle.apply("+\"a\"\n1\n!\"note\"\n\"hi\"").unwrap();
    let cookie = committed(&handle, "").await;
    assert!(handle.done().unwrap().contains("__Host-session="));
    assert_eq!(code(&handle.apply("-\"a\"").unwrap_err()), "committed");

    let handle = opened(&realm, Some(&cookie)).await;
    assert!(
        handle
            .state()
            .unwrap()
            .contains("]\n[\"a\"]\n[\"note\"]\n1\n\"hi\"")
    );
    done(handle.save("-\"a\"\n_\"note\"".to_owned())).await;
    assert!(handle.state().unwrap().contains("]\n[]\n[]"));
    assert!(done(handle.exists(None)).await.as_bool().unwrap());
    done(handle.delete(None)).await;
    assert_eq!(code(&handle.apply("+\"a\"\n1").unwrap_err()), "destroyed");
}

#[wasm_bindgen_test]
async fn a_fresh_load_asks_again() {
    let realm = realm();
    let first = opened(&realm, None).await;
    let cookie = committed(&first, "+\"a\"\n1").await;
    let handle = opened(&realm, Some(&cookie)).await;
    assert!(
        done(handle.load(true))
            .await
            .as_string()
            .unwrap()
            .contains("loaded")
    );
}

#[wasm_bindgen_test]
async fn intents_are_carried_out_with_the_commit() {
    let realm = realm();
    let handle = opened(&realm, None).await;
    handle.create("+\"a\"\n1").unwrap();
    let cookie = committed(&handle, "").await;

    let handle = opened(&realm, Some(&cookie)).await;
    handle.cycle_key().unwrap();
    let cycled = committed(&handle, "").await;
    assert_ne!(cycled, cookie);

    let handle = opened(&realm, Some(&cycled)).await;
    handle.bind("", "ada", true).unwrap();
    let bound = committed(&handle, "").await;
    let handle = opened(&realm, Some(&bound)).await;
    assert_eq!(owner(&handle).as_deref(), Some("ada"));
    handle.set_modified("", true).unwrap();
    for (kind, value) in [
        ("after", 60.0),
        ("at", 9e12),
        ("idle", 30.0),
        ("default", 0.0),
    ] {
        handle.set_expiry(kind, value).unwrap();
    }
    assert!(!committed(&handle, "").await.is_empty());
}

#[wasm_bindgen_test]
async fn a_logout_that_goes_on_and_one_that_does_not() {
    let realm = realm();
    let first = opened(&realm, None).await;
    let cookie = committed(&first, "+\"a\"\n1\n+\"b\"\n2").await;
    let handle = opened(&realm, Some(&cookie)).await;
    done(handle.flush(vec!["b".to_owned()])).await;
    assert!(handle.state().unwrap().contains("[\"b\"]"));
    let cookie = committed(&handle, "").await;
    let handle = opened(&realm, Some(&cookie)).await;
    done(handle.destroy()).await;
    assert!(handle.done().unwrap().contains("Max-Age=0"));
}

#[wasm_bindgen_test]
async fn csrf_tokens_are_of_one_session() {
    let realm = realm();
    let handle = opened(&realm, None).await;
    let token = handle.csrf_token("").unwrap();
    handle.verify_csrf(&token).unwrap();
    assert_eq!(code(&handle.verify_csrf("x").unwrap_err()), "invalid_value");
}

#[wasm_bindgen_test]
async fn an_owners_sessions_are_listed_and_ended() {
    let realm = realm();
    let mut cookies = Vec::new();
    for _ in 0..2 {
        let handle = opened(&realm, None).await;
        handle.bind("", "ada", false).unwrap();
        cookies.push(committed(&handle, "").await);
    }
    let list = async || -> Vec<JsValue> {
        done(realm.list("ada".to_owned()))
            .await
            .unchecked_into::<Array>()
            .to_vec()
    };
    let listed = list().await;
    assert_eq!(listed.len(), 2 * 5);
    let key = listed[0].as_string().unwrap();
    assert_eq!(
        refused(realm.revoke("eve".to_owned(), key.clone())).await,
        "not_found"
    );
    done(realm.revoke("ada".to_owned(), key)).await;
    assert_eq!(list().await.len(), 5);
    done(realm.revoke_all("ada".to_owned(), None)).await;
    assert!(list().await.is_empty());
}

#[wasm_bindgen_test]
async fn a_step_under_way_keeps_others_out_with_a_word() {
    let realm = realm();
    let first = opened(&realm, None).await;
    let cookie = committed(&first, "+\"a\"\n1").await;
    let handle = realm.open(Some(cookie), None, None, None);
    let loading = handle.load(true);
    assert_eq!(code(&handle.state().unwrap_err()), "unavailable");
    assert_eq!(refused(handle.destroy()).await, "unavailable");
    assert!(!handle.facts().is_empty());
    done(loading).await;
    assert!(handle.state().is_ok());
}

#[wasm_bindgen_test]
async fn the_applications_clock_is_the_one_that_counts() {
    let clock = Object::new();
    let set = |now: f64| {
        let tell = Closure::<dyn Fn() -> f64>::new(move || now).into_js_value();
        Reflect::set(&clock, &"now".into(), &tell).unwrap()
    };
    set(1_800_000_000_000.0);
    let realm = realm_at(Some(clock.clone().unchecked_into()));
    let first = opened(&realm, None).await;
    let cookie = committed(&first, "+\"a\"\n1").await;
    set(1_800_000_000_000.0 + 600_000.0);
    let handle = opened(&realm, Some(&cookie)).await;
    assert!(handle.state().unwrap().starts_with("l00expired"));
}

#[wasm_bindgen_test]
fn settings_codes_and_ids() {
    assert!(
        JSON::parse(&realm().facts())
            .unwrap()
            .is_instance_of::<Array>()
    );
    let bad = Realm::new(port(), &Memory::new(), "short", Vec::new(), false, None);
    assert_eq!(code(&bad.err().unwrap()), "config");
    let misspelt = vec!["SESSION_COKIE_AGE".to_owned(), "1".to_owned()];
    let bad = Realm::new(port(), &Memory::new(), SECRET, misspelt, true, None);
    assert_eq!(code(&bad.err().unwrap()), "config");
    assert!(error_codes().contains("revocation_pending"));
    assert_eq!(generate_session_id().unwrap().len(), 43);
    assert_ne!(generate_session_id(), generate_session_id());
}

#[wasm_bindgen_test]
async fn steps_at_once_wait_for_their_own_answers() {
    let realm = realm();
    let mut cookies = Vec::new();
    for n in 0..20 {
        let handle = opened(&realm, None).await;
        cookies.push(committed(&handle, &format!("+\"n\"\n{n}")).await);
    }
    let handles: Vec<Handle> = cookies
        .into_iter()
        .map(|cookie| realm.open(Some(cookie), None, None, None))
        .collect();
    let loading: Vec<Outcome> = handles.iter().map(|handle| handle.load(true)).collect();
    for (n, outcome) in loading.into_iter().enumerate().rev() {
        let state = done(outcome).await.as_string().unwrap();
        assert!(state.ends_with(&format!("[\"n\"]\n[]\n{n}")), "{state}");
    }
}
