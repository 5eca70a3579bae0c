//! Every function that the package's wasm exports, called as `js/` calls it.

use std::collections::BTreeMap;

use super::*;
use serde_json::{Value, json};
use wasm_bindgen_test::wasm_bindgen_test;

const SECRET: &str = "lR0v9cFqWm3kXo2TzJ7yPb5sUe8hNd1GaQ4iCxKtMwY";
const NOW: f64 = 1_800_000_000_000.0;

/// An answer: its first line, and the lines after it. With a session they begin with its details, which
/// are here in the head, and its cookies.
struct Told {
    head: Value,
    cookies: Vec<String>,
    lines: Vec<String>,
}

impl Told {
    fn read(text: &str) -> Self {
        let mut lines = text.split('\n').map(str::to_owned);
        let mut head: Value = serde_json::from_str(&lines.next().unwrap()).unwrap();
        if let Some(Value::Object(session)) = head.get_mut("session") {
            let details: Value = serde_json::from_str(&lines.next().unwrap()).unwrap();
            session.extend(details.as_object().unwrap().clone());
        }
        let count = head["session"]["cookies"].as_u64().unwrap_or_default();
        Self {
            head,
            cookies: lines.by_ref().take(count as usize).collect(),
            lines: lines.collect(),
        }
    }

    /// A part of the head by its names, as `session.outcome`.
    fn at(&self, path: &str) -> &Value {
        path.split('.').fold(&self.head, |value, name| &value[name])
    }

    fn number(&self, path: &str) -> u32 {
        self.at(path).as_u64().unwrap() as u32
    }

    fn code(&self) -> &str {
        self.at("error.code").as_str().unwrap()
    }

    /// The Cookie header that the session's Set-Cookie fields make.
    fn cookie(&self) -> String {
        let pairs = self.cookies.iter().filter_map(|it| it.split(';').next());
        pairs.collect::<Vec<_>>().join("; ")
    }
}

/// A configuration over a map, driven as `js/driver.js` drives it.
struct World {
    config: u32,
    isolate: u32,
    now: f64,
    entries: BTreeMap<String, (String, Option<String>)>,
    /// What every operation of the store answers instead.
    fault: Option<Value>,
    /// What was asked.
    asked: Vec<Value>,
    /// Random bytes are of no use to an attacker in a test.
    dice: u8,
}

impl World {
    fn new(settings: Value) -> Self {
        let mut input =
            json!({"kind": "custom", "secret": SECRET, "settings": {"isolateCacheTtl": "0"}});
        for (name, value) in settings.as_object().unwrap() {
            input["settings"][name] = value.clone();
        }
        let told = Told::read(&configure(input.to_string(), None));
        Self {
            config: told.number("done.config"),
            isolate: told.number("done.isolate"),
            now: NOW,
            entries: BTreeMap::new(),
            fault: None,
            asked: Vec::new(),
            dice: 0,
        }
    }

    fn dice(&mut self) -> Option<Vec<u8>> {
        self.dice += 1;
        Some(
            (0..128)
                .map(|n: u8| n ^ self.dice.wrapping_mul(151))
                .collect(),
        )
    }

    fn begin(
        &mut self,
        handle: u32,
        operation: Value,
        cookie: Option<&str>,
        changes: &str,
    ) -> Told {
        let dice = self.dice();
        let changes = (!changes.is_empty()).then(|| changes.to_owned());
        Told::read(&begin(
            self.config,
            handle,
            &operation.to_string(),
            cookie.map(str::to_owned),
            changes,
            self.now,
            dice,
            None,
        ))
    }

    /// Answers what is asked until the step has ended. Gives what it came to, and the handle.
    fn drive(&mut self, mut told: Told, mut handle: u32) -> (Told, u32) {
        if let Some(number) = told.head.get("handle") {
            handle = number.as_u64().unwrap() as u32;
        }
        while told.head.get("ask").is_some() {
            told = self.answer(&told, handle);
        }
        (told, handle)
    }

    fn answer(&mut self, told: &Told, handle: u32) -> Told {
        let ask = told.at("ask").clone();
        self.asked.push(ask.clone());
        let (mut record, mut rest) = (None, None);
        let name = |value: &Value| value.as_str().unwrap().to_owned();
        if let Some(fault) = &self.fault {
            rest = Some(match ask.get("write") {
                Some(writes) => Value::from(vec![fault.clone(); writes.as_array().unwrap().len()]),
                None => json!({ "error": fault }),
            });
        } else if let Some(keys) = ask["read"]["keys"].as_array() {
            let value = |key: &Value| self.entries.get(&name(key)).map(|(value, _)| value.clone());
            let mut values = keys.iter().map(value);
            record = values.next().flatten();
            let others: Vec<_> = values.collect();
            rest = others.iter().any(Option::is_some).then(|| json!(others));
        } else if let Some(writes) = ask["write"].as_array() {
            for write in writes {
                if let Some(key) = write.get("delete") {
                    self.entries.remove(&name(key));
                    continue;
                }
                let value = told.lines[write["line"].as_u64().unwrap() as usize - 1].clone();
                let metadata = write.get("metadata").map(name);
                self.entries.insert(name(&write["put"]), (value, metadata));
            }
        } else if let Some(prefix) = ask["list"]["prefix"].as_str() {
            let keys = self
                .entries
                .iter()
                .filter(|(key, _)| key.starts_with(prefix));
            let keys: Vec<_> = keys
                .map(|(name, (_, metadata))| json!({ "name": name, "metadata": metadata }))
                .collect();
            rest = Some(json!({ "keys": keys }));
        }
        let dice = self.dice();
        let rest = rest.map(|rest| rest.to_string());
        Told::read(&reply(handle, record, rest, self.now, dice, None))
    }

    fn load(&mut self, cookie: Option<&str>) -> (Told, u32) {
        let told = self.begin(0, json!({"op": "load"}), cookie, "");
        self.drive(told, 0)
    }

    /// A step of a session that has been opened.
    fn step(&mut self, handle: u32, operation: Value, changes: &str) -> Told {
        let told = self.begin(handle, operation, None, changes);
        self.drive(told, handle).0
    }

    fn commit(&mut self, handle: u32, changes: &str) -> Told {
        self.step(handle, json!({"op": "commit", "status": 200}), changes)
    }

    /// The cookies of a new session that holds `a`.
    fn visitor(&mut self) -> String {
        let operation = json!({"op": "commit", "status": 200, "loaded": true});
        let told = self.begin(0, operation, None, "{\"set\":[\"a\"]}\n1");
        self.drive(told, 0).0.cookie()
    }

    /// An operation that is not one of a session.
    fn apart(&mut self, operation: Value) -> Told {
        let told = self.begin(0, operation, None, "");
        self.drive(told, 0).0
    }
}

#[wasm_bindgen_test]
fn a_session_goes_round_in_six_calls() {
    let before = kept();
    let mut world = World::new(json!({}));
    let cookie = world.visitor();
    assert!(cookie.contains("__Host-session="));

    let asks = world.asked.len();
    let (told, handle) = world.load(Some(&cookie));
    assert_eq!(told.at("session.outcome"), "loaded");
    assert_eq!(told.at("data"), &json!({"values": ["a"], "flash": []}));
    assert_eq!(told.lines, ["1"]);
    assert_eq!(world.asked.len(), asks + 1);
    assert_eq!(
        world.asked[asks]["read"]["keys"].as_array().unwrap().len(),
        2
    );

    let told = world.commit(handle, "{\"remove\":[\"a\"],\"flash\":[\"note\"]}\n\"hi\"");
    assert_eq!(told.at("done"), true);
    assert_eq!(told.at("isOver"), true, "the last step frees the handle");
    assert_eq!(told.at("session.edits.code"), "committed");
    assert_eq!(
        world.begin(handle, json!({"op": "look"}), None, "").code(),
        "unavailable"
    );

    // A save sets no new key cookie: the browser has the one before.
    let cookie = format!("{cookie}; {}", told.cookie());
    let (told, handle) = world.load(Some(&cookie));
    assert_eq!(told.at("data"), &json!({"values": [], "flash": ["note"]}));
    assert_eq!(
        kept(),
        before + 3,
        "a config, its isolate and an open session"
    );
    let ended = vec![handle, world.config, world.isolate];
    configure(json!({"settings": {}}).to_string(), Some(ended));
    assert_eq!(kept(), before);
}

#[wasm_bindgen_test]
fn what_a_save_needs_comes_in_with_it() {
    let mut world = World::new(json!({}));
    let cross = json!({"method": "POST", "site": "cross-site"});
    let operation = json!({"op": "commit", "status": 200, "loaded": true, "request": cross});
    let told = world.begin(0, operation, None, "{\"set\":[\"a\"]}\n1");
    assert!(
        told.cookies.is_empty(),
        "nothing is minted for a form of another site"
    );

    let operation = json!({"op": "commit", "status": 200, "loaded": true}).to_string();
    let changes = Some("{\"set\":[\"a\"]}\n1".to_owned());
    let told = Told::read(&begin(
        world.config,
        0,
        &operation,
        None,
        changes,
        NOW,
        None,
        None,
    ));
    assert_eq!(told.code(), "not_ready", "no token without random bytes");

    let head = json!({"method": "GET", "userAgent": "Browser/1", "country": "CH"});
    let operation =
        json!({"op": "bind", "owner": "ada", "keep": true, "loaded": true, "request": head});
    let told = world.begin(0, operation, None, "");
    assert_eq!(told.at("session.owner"), "ada");
    let handle = told.number("handle");
    world.commit(handle, "");
    let listed = world.apart(json!({"op": "list", "owner": "ada"}));
    assert_eq!(listed.at("done")[0]["userAgent"], "Browser/1");
    assert_eq!(listed.at("done")[0]["place"], "CH");
}

#[wasm_bindgen_test]
fn changes_are_told_by_name() {
    let mut world = World::new(json!({}));
    let cookie = world.visitor();
    let (_, handle) = world.load(Some(&cookie));
    let modified = |told: &Told| told.at("session.modified") == true;
    assert!(!modified(&world.step(
        handle,
        json!({"op": "tell"}),
        "{\"set\":[\"a\"]}\n1"
    )));
    let none = world.step(
        handle,
        json!({"op": "modified", "value": false}),
        "{\"set\":[\"b\"]}\n2",
    );
    assert!(!modified(&none));
    assert!(!modified(&world.step(handle, json!({"op": "tell"}), "{}")));
    let saved = world.step(
        handle,
        json!({"op": "save"}),
        "{\"clear\":true,\"set\":[\"c\"]}\n{\"x\":1}",
    );
    assert_eq!(saved.at("data.values"), &json!(["c"]));
    assert_eq!(saved.lines, ["{\"x\":1}"]);
    assert!(!modified(&saved));
    // Removing what the store never had changes nothing, as in Rust.
    assert!(!modified(&world.step(
        handle,
        json!({"op": "tell"}),
        "{\"remove\":[\"d\"],\"take\":[\"n\"]}"
    )));
    assert_eq!(
        world.step(handle, json!({"op": "tell"}), "odd").code(),
        "invalid_value"
    );
}

#[wasm_bindgen_test]
fn intents_are_carried_out_with_the_commit() {
    let mut world = World::new(json!({}));
    let cookie = world.visitor();
    let (_, handle) = world.load(Some(&cookie));
    world.step(handle, json!({"op": "cycle"}), "");
    let cycled = world.commit(handle, "").cookie();
    assert_ne!(cycled, cookie);
    assert_eq!(world.load(Some(&cookie)).0.at("session.outcome"), "rotated");

    let (_, handle) = world.load(Some(&cycled));
    let told = world.step(handle, json!({"op": "create"}), "{\"set\":[\"b\"]}\n2");
    assert_eq!(
        told.at("data.values"),
        &json!([]),
        "one that was loaded is left behind"
    );
    for (kind, value) in [
        ("after", 60_000_i64),
        ("at", 9_000_000_000_000),
        ("idle", 30_000),
        ("default", 0),
    ] {
        let operation = json!({"op": "expiry", "kind": kind, "value": value});
        assert_eq!(world.step(handle, operation, "").at("done"), true);
    }
    let token = world.step(handle, json!({"op": "csrf"}), "");
    let verify = json!({"op": "verify", "token": token.at("done")});
    assert_eq!(world.step(handle, verify, "").at("done"), true);
    let odd = json!({"op": "verify", "token": "odd"});
    assert_eq!(world.step(handle, odd, "").code(), "invalid_value");
}

#[wasm_bindgen_test]
fn a_logout_that_goes_on_and_one_that_does_not() {
    let mut world = World::new(json!({}));
    let cookie = world.visitor();
    let (_, handle) = world.load(Some(&cookie));
    let told = world.step(
        handle,
        json!({"op": "flush", "keep": ["b"]}),
        "{\"set\":[\"b\"]}\n2",
    );
    assert_eq!(told.at("data.values"), &json!(["b"]));
    let flushed = world.commit(handle, "").cookie();
    assert_eq!(world.load(Some(&cookie)).0.at("session.outcome"), "revoked");

    let (_, handle) = world.load(Some(&flushed));
    let told = world.step(handle, json!({"op": "destroy"}), "");
    assert_eq!(told.at("session.edits.code"), "destroyed");
    assert!(
        told.at("session.hasWork").is_null(),
        "the cookies are there already"
    );
    assert!(told.cookies[0].contains("Max-Age=0"));

    let cookie = world.visitor();
    let (told, handle) = world.load(Some(&cookie));
    let key = told.at("session.sessionKey").clone();
    assert_eq!(
        world.apart(json!({"op": "exists", "key": key})).at("done"),
        true
    );
    world.step(handle, json!({"op": "delete", "key": key}), "");
    assert_eq!(
        world.apart(json!({"op": "exists", "key": key})).at("done"),
        false
    );
    assert_eq!(
        world
            .apart(json!({"op": "exists", "key": "odd"}))
            .at("done"),
        false
    );
    assert_eq!(
        world
            .apart(json!({"op": "deleteOther", "key": "odd"}))
            .code(),
        "not_found"
    );
}

#[wasm_bindgen_test]
fn a_users_sessions_are_listed_and_ended() {
    let mut world = World::new(json!({}));
    for _ in 0..2 {
        let operation = json!({"op": "bind", "owner": "ada", "keep": false, "loaded": true});
        let handle = world.begin(0, operation, None, "").number("handle");
        world.commit(handle, "");
    }
    let list = |world: &mut World| {
        let told = world.apart(json!({"op": "list", "owner": "ada"}));
        told.at("done").as_array().unwrap().clone()
    };
    let listed = list(&mut world);
    assert_eq!(listed.len(), 2);
    let key = &listed[0]["key"];
    let eve = json!({"op": "revoke", "owner": "eve", "key": key});
    assert_eq!(world.apart(eve).code(), "not_found");
    world.apart(json!({"op": "revoke", "owner": "ada", "key": key}));
    assert_eq!(list(&mut world).len(), 1);
    world.apart(json!({"op": "revokeAll", "owner": "ada"}));
    assert!(list(&mut world).is_empty());
    assert_eq!(world.apart(json!({"op": "odd"})).code(), "invalid_value");
}

#[wasm_bindgen_test]
fn a_login_over_the_limit_ends_the_oldest_later() {
    let mut world = World::new(json!({"maxPerOwner": "1"}));
    let mut ended = 0;
    for _ in 0..2 {
        let operation = json!({"op": "bind", "owner": "ada", "keep": false, "loaded": true});
        let handle = world.begin(0, operation, None, "").number("handle");
        let told = world.commit(handle, "");
        let later = told.number("later");
        let begun = Told::read(&reply(later, None, None, NOW, None, None));
        let before = world.entries.len();
        assert_eq!(world.drive(begun, later).0.at("done"), true);
        ended += world.entries.len() - before;
        world.now += 1_000.0;
    }
    assert!(ended > 0);
}

#[wasm_bindgen_test]
fn failures_of_the_store_come_with_the_number_of_what_was_thrown() {
    let mut world = World::new(json!({}));
    let cookie = world.visitor();
    world.fault = Some(json!({"code": "quota", "message": "spent", "cause": 7}));
    let (told, handle) = world.load(Some(&cookie));
    assert_eq!(told.at("session.hides.code"), "quota");
    assert_eq!(told.at("session.hides.cause"), 7);
    assert_eq!(told.at("session.outcome"), "unavailable");
    assert_eq!(
        world.step(handle, json!({"op": "destroy"}), "").code(),
        "revocation_pending"
    );
    // Past its deadline, nothing is tried again.
    world.fault = Some(json!({"message": "late", "timeout": true, "cause": 1}));
    let asked = world.asked.len();
    assert_eq!(
        world.load(Some(&cookie)).0.at("session.hides.code"),
        "unavailable"
    );
    assert_eq!(world.asked.len(), asked + 1);
    world.fault = Some(json!({"message": "down", "cause": 1}));
    world.load(Some(&cookie));
    let slept = world.asked.iter().filter(|ask| ask.get("sleep").is_some());
    assert!(slept.count() > 0, "a pause is asked for");
}

#[wasm_bindgen_test]
fn one_flow_at_a_time_and_looks_meanwhile() {
    let mut world = World::new(json!({}));
    let cookie = world.visitor();
    let told = world.begin(0, json!({"op": "load"}), Some(&cookie), "");
    let handle = told.number("handle");
    assert_eq!(
        world
            .begin(handle, json!({"op": "destroy"}), None, "")
            .code(),
        "unavailable"
    );
    let look = world.begin(handle, json!({"op": "look"}), None, "");
    assert_eq!(look.at("session.hides.code"), "not_loaded");
    assert_eq!(world.drive(told, handle).0.at("session.outcome"), "loaded");
    assert_eq!(
        Told::read(&reply(handle, None, None, NOW, None, None)).code(),
        "unavailable"
    );
    assert_eq!(
        Told::read(&reply(99_999, None, None, NOW, None, None)).code(),
        "unavailable"
    );
}

#[wasm_bindgen_test]
fn events_and_warnings_come_out_with_the_answer() {
    let mut world = World::new(json!({}));
    let operation = json!({"op": "load", "reports": true});
    let told = world.begin(0, operation, Some("__Host-session=AAAA"), "");
    assert_eq!(told.at("events")[0]["event"], "rejected");
    assert_eq!(told.at("events")[0]["at"], json!(NOW as u64));
    let silent = world.load(Some("__Host-session=AAAA")).0;
    assert!(silent.at("events").is_null());
    let input = json!({"kind": "custom", "secret": SECRET, "settings": {"cookieName": "other"}, "isolate": world.isolate});
    let told = Told::read(&configure(input.to_string(), None));
    assert!(
        told.at("warnings")[0]
            .as_str()
            .unwrap()
            .contains("keyPrefix")
    );
}

#[wasm_bindgen_test]
fn the_time_is_what_the_call_says() {
    let mut world = World::new(json!({"idleTimeout": "600"}));
    let cookie = world.visitor();
    world.now += 600_000.0;
    assert_eq!(world.load(Some(&cookie)).0.at("session.outcome"), "expired");
}

#[wasm_bindgen_test]
fn settings_stats_codes_and_vary() {
    let configured = |input: Value| Told::read(&configure(input.to_string(), None));
    let told = configured(json!({"kind": "kv", "isKv": true, "secret": SECRET, "settings": {}}));
    assert_eq!(told.at("done.stalenessBound"), 102);
    assert_eq!(told.at("done.storeTimeout"), 10);
    assert_eq!(told.at("done.cacheControl.cache-control"), "no-store");
    assert_eq!(told.at("done.nothing.details.outcome"), "new");
    assert_eq!(told.at("done.unopened.hides.code"), "not_loaded");
    assert_eq!(
        configured(json!({"secret": "short", "settings": {}})).code(),
        "config"
    );
    let misspelt = json!({"SESSION_COKIE_AGE": "1"});
    let told = configured(json!({"secret": SECRET, "variables": true, "settings": misspelt}));
    assert_eq!(told.code(), "config");

    let mut world = World::new(json!({}));
    let cookie = world.visitor();
    world.load(Some(&cookie));
    let told: Value = serde_json::from_str(&stats(world.config)).unwrap();
    assert_eq!(
        (&told["puts"], &told["outcomes"]["loaded"]),
        (&json!(1), &json!(1))
    );

    let codes: Value = serde_json::from_str(&error_codes()).unwrap();
    let pending = json!({"status": 503, "retryAfter": 5, "refusal": true});
    assert_eq!(codes["revocation_pending"], pending);
    assert_eq!(vary("Accept").as_deref(), Some("Accept, Cookie"));
    assert_eq!(vary("*"), None);
}
