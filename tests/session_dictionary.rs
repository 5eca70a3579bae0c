//! The dictionary: each operation on a new session and on a reloaded one.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::collections::BTreeMap;

use crate::common::*;
use edge_session::{ErrorCode, SessionStore};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Runs `page` on a new session with the values `start`, and on one that was saved with them and
/// loaded again. The results must be equal, and survive another save.
fn on_both(start: &[(&str, Value)], page: impl Fn(&mut SessionStore)) {
    let world = World::new();
    let fill = |session: &mut SessionStore| {
        for (key, value) in start {
            session.set(key, value).unwrap();
        }
    };
    let mut new = Jar::new();
    let left = world.visit(&mut new, |session| {
        fill(session);
        page(session);
        shown(session)
    });
    let mut old = Jar::new();
    world.visit(&mut old, |session| {
        session.set_modified(true).unwrap();
        fill(session);
    });
    let world = world.elsewhere();
    world.visit(&mut old, |session| {
        page(session);
        assert_eq!(shown(session), left);
    });
    assert_eq!(shown(&world.elsewhere().open(&old)), left);
    if !left.is_empty() {
        assert_eq!(shown(&world.elsewhere().open(&new)), left);
    }
}

const MISSING: Option<ErrorCode> = Some(ErrorCode::MissingKey);
const WRONG: Option<ErrorCode> = Some(ErrorCode::WrongType);

#[test]
fn set_get_and_require() {
    on_both(&[("a", json!(1))], |session| {
        assert_eq!(session.get::<u8>("a").unwrap(), Some(1));
        assert_eq!(session.require::<u8>("a").unwrap(), 1);
        assert_eq!(session.get::<u8>("b").unwrap(), None);
        let error = session.require::<u8>("b").unwrap_err();
        assert_eq!(error.code(), ErrorCode::MissingKey);
        assert!(error.message().contains("\"b\""), "{error}");
        let error = session.get::<String>("a").unwrap_err();
        assert_eq!(error.code(), ErrorCode::WrongType);
        assert!(error.message().contains("\"a\""), "{error}");
        assert_eq!(session.get_json("a").unwrap().as_deref(), Some("1"));
        assert_eq!(session.get_json("b").unwrap(), None);
        session.set("a", "text").unwrap();
        assert_eq!(session.get::<String>("a").unwrap().as_deref(), Some("text"));
    });
}

#[test]
fn remove_tells_whether_it_was_there() {
    on_both(&[("a", json!(1)), ("b", json!(null))], |session| {
        assert!(session.remove("a").unwrap());
        assert!(!session.remove("a").unwrap());
        assert!(session.remove("b").unwrap());
        assert_eq!(session.len().unwrap(), 0);
        assert!(session.is_empty().unwrap());
    });
}

#[test]
fn falsy_values_are_values() {
    let falsy = [
        ("null", json!(null)),
        ("false", json!(false)),
        ("zero", json!(0)),
        ("text", json!("")),
        ("list", json!([])),
        ("", json!({})),
    ];
    on_both(&falsy, |session| {
        assert_eq!(session.len().unwrap(), 6);
        for (key, value) in &falsy {
            assert!(session.contains_key(key).unwrap());
            assert_eq!(session.get::<Value>(key).unwrap().as_ref(), Some(value));
            assert_eq!(&session.setdefault(key, json!("default")).unwrap(), value);
            assert_eq!(&session.pop_or(key, json!("default")).unwrap(), value);
        }
        assert!(session.is_empty().unwrap());
        assert!(!session.contains_key("null").unwrap());
    });
}

#[test]
fn pop_takes_the_value() {
    on_both(&[("a", json!([1, 2])), ("b", json!(2))], |session| {
        assert_eq!(session.pop::<Vec<u8>>("a").unwrap(), [1, 2]);
        assert_eq!(code(session.pop::<Vec<u8>>("a")), MISSING);
        assert_eq!(code(session.pop::<String>("b")), WRONG);
        assert_eq!(session.get("b").unwrap(), Some(2), "it stays");
    });
}

#[test]
fn pop_without_the_key() {
    let world = World::new();
    let jar = world.visitor();
    let mut session = world.open(&jar);
    assert_eq!(code(session.pop::<i32>("b")), MISSING);
    assert_eq!(session.pop_or("b", 7).unwrap(), 7);
    assert!(!session.modified(), "nothing is modified");
    assert_eq!(session.pop_or("a", 7).unwrap(), 1);
    assert!(session.modified());
}

#[test]
fn popitem_is_last_in_first_out() {
    on_both(
        &[("b", json!(1)), ("a", json!(2)), ("c", json!(3))],
        |session| {
            session.set("b", 4).unwrap();
            let popped = |session: &mut SessionStore| {
                let (key, text) = session.popitem().unwrap();
                format!("{key}={text}")
            };
            assert_eq!(popped(session), "c=3");
            session.set("d", 5).unwrap();
            assert_eq!(popped(session), "d=5");
            assert_eq!(popped(session), "a=2");
            assert_eq!(popped(session), "b=4");
            assert_eq!(code(session.popitem()), MISSING);
        },
    );
}

#[test]
fn update_sets_all_or_nothing() {
    on_both(&[("a", json!(1)), ("b", json!(2))], |session| {
        session.update([("c", 3), ("a", 4)]).unwrap();
        assert_eq!(shown(session), "a=4 b=2 c=3");
        let values = BTreeMap::from([("x", f64::NAN), ("a", 9.0)]);
        assert_eq!(code(session.update(values)), Some(ErrorCode::InvalidValue));
        let long = "k".repeat(257);
        assert_eq!(
            code(session.update([("a", 9), (&long, 9)])),
            Some(ErrorCode::TooLarge)
        );
        assert_eq!(shown(session), "a=4 b=2 c=3");
        session.update(Vec::<(String, i32)>::new()).unwrap();
    });
}

#[test]
fn clear_takes_everything() {
    on_both(&[("a", json!(1)), ("b", json!(2))], |session| {
        session.flash("note", 1).unwrap();
        session.clear().unwrap();
        assert!(session.is_empty().unwrap());
        assert_eq!(session.take_flash::<i32>("note").unwrap(), None);
        session.set("b", 3).unwrap();
    });
}

#[test]
fn setdefault_sets_where_nothing_is() {
    on_both(&[("a", json!(1))], |session| {
        assert_eq!(session.setdefault("a", 5).unwrap(), 1);
        assert_eq!(session.setdefault("b", 5).unwrap(), 5);
        assert_eq!(session.setdefault("b", 6).unwrap(), 5);
        assert_eq!(code(session.setdefault("a", "x".to_owned())), WRONG);
    });
}

#[test]
fn order_is_that_of_insertion() {
    let start = [
        ("z", json!(1)),
        ("10", json!(2)),
        ("9", json!(3)),
        ("a", json!(4)),
    ];
    on_both(&start, |session| {
        session.set("10", 5).unwrap();
        session.remove("z").unwrap();
        session.set("z", 6).unwrap();
        let keys: Vec<&str> = session.keys().unwrap().collect();
        assert_eq!(keys, ["10", "9", "a", "z"]);
        let values: Vec<&str> = session.values().unwrap().collect();
        assert_eq!(values, ["5", "3", "4", "6"]);
        let pairs: Vec<(&str, &str)> = session.iter().unwrap().collect();
        assert_eq!(pairs[0], ("10", "5"));
        assert_eq!(session.len().unwrap(), 4);
    });
}

#[test]
fn odd_keys_are_ordinary_keys() {
    let keys = [
        "__proto__",
        "constructor",
        "",
        " ",
        "\u{0}",
        "é😀",
        "a.b",
        "\"",
        "\\",
    ];
    let start: Vec<(&str, Value)> = keys.iter().map(|key| (*key, json!(key))).collect();
    on_both(&start, |session| {
        for key in keys {
            assert_eq!(session.get::<String>(key).unwrap().as_deref(), Some(key));
        }
        assert_eq!(session.len().unwrap(), keys.len());
    });
}

#[test]
fn values_come_back_as_they_were() {
    let deep = (0..60).fold(json!(1), |inner, _| json!([inner]));
    let start = [
        ("max", json!(u64::MAX)),
        ("min", json!(i64::MIN)),
        ("one", json!(1.0)),
        ("big", json!(1e21)),
        ("tiny", json!(5e-324)),
        ("text", json!("\u{2028}\"\\\u{7f}😀")),
        ("long", json!("x".repeat(60_000))),
        ("deep", deep),
        ("nested", json!({"b": {"a": [null, {"__proto__": 1}]}})),
    ];
    on_both(&start, |session| {
        for (key, value) in &start {
            assert_eq!(
                session.get::<Value>(key).unwrap().as_ref(),
                Some(value),
                "{key}"
            );
        }
        assert_eq!(session.get_json("one").unwrap().as_deref(), Some("1.0"));
    });
}

#[test]
fn keys_that_nobody_changed_keep_their_stored_bytes() {
    let world = World::new();
    let mut jar = Jar::new();
    let raw = |text: &str| serde_json::value::RawValue::from_string(text.to_owned()).unwrap();
    world.visit(&mut jar, |session| {
        session.set("raw", raw("[ 1.50, 1e2,\n{} ]")).unwrap();
        session.set("b", 1).unwrap();
    });
    world.elsewhere().visit(&mut jar, |session| {
        assert_eq!(
            session.get::<Value>("raw").unwrap(),
            Some(json!([1.5, 100.0, {}]))
        );
        session.set("raw", json!([1.5, 100.0, {}])).unwrap();
        session.set("b", 2).unwrap();
    });
    let session = world.elsewhere().open(&jar);
    let kept = session.get_json("raw").unwrap();
    assert_eq!(kept.as_deref(), Some("[ 1.50, 1e2,\n{} ]"));
}

#[test]
fn the_whole_data_is_stored_as_it_is_written() {
    let world = World::new();
    let mut session = world.load(Head::default());
    let raw = |text: &str| serde_json::value::RawValue::from_string(text.to_owned()).unwrap();
    let all = raw(r#"{ "a\"\n\u00e9" : [ 1.50, {"}": "]"} ] , "b":null,"" : -0.0e1 }"#);
    session.set_data(&all).unwrap();
    let stored: Vec<_> = session.iter().unwrap().collect();
    let expected = [
        ("a\"\né", r#"[ 1.50, {"}": "]"} ]"#),
        ("b", "null"),
        ("", "-0.0e1"),
    ];
    assert_eq!(stored, expected);
    session.set_data(&raw("{}")).unwrap();
    assert!(session.is_empty().unwrap());
    // A value deeper than any limit allows, and one that is not an object.
    for levels in [66, 500] {
        let deep = format!(r#"{{"a":{}{}}}"#, "[".repeat(levels), "]".repeat(levels));
        let error = session.set_data(&raw(&deep)).unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidValue);
        assert!(error.message().contains("with_max_depth"), "{error}");
    }
    let error = session.set_data(&raw("[1]")).unwrap_err();
    assert!(error.message().contains("must be an object"), "{error}");
}

#[test]
fn an_equal_value_of_another_text_is_no_modification() {
    let world = World::new();
    let mut jar = Jar::new();
    world.visit(&mut jar, |session| {
        session.set("o", json!({"a": 1, "b": [1, 2]})).unwrap();
        session.set("n", 1.5).unwrap();
    });
    let mut session = world.open(&jar);
    #[derive(Serialize)]
    struct Other {
        b: [u8; 2],
        a: u8,
    }
    session.set("o", Other { b: [1, 2], a: 1 }).unwrap();
    session.set("n", 1.5_f32).unwrap();
    assert!(!session.modified());
    session.set("n", 1.500_000_000_000_000_2).unwrap();
    assert!(session.modified(), "the last bit counts");
}

#[test]
fn what_json_cannot_carry_is_refused_and_changes_nothing() {
    let world = World::new();
    let jar = world.visitor();
    let mut session = world.open(&jar);
    let invalid = Some(ErrorCode::InvalidValue);
    assert_eq!(code(session.set("a", f64::NAN)), invalid);
    assert_eq!(code(session.set("a", u128::MAX)), invalid);
    assert_eq!(
        code(session.set("a", BTreeMap::from([((1, 2), 3)]))),
        invalid
    );
    assert_eq!(code(session.flash("a", f32::INFINITY)), invalid);
    assert_eq!(code(session.setdefault("b", f64::NAN)), invalid);
    assert_eq!(
        code(session.set_data(&BTreeMap::from([("a", f64::NAN)]))),
        invalid
    );
    assert_eq!(code(session.set_data(&5)), invalid);
    assert_eq!(code(session.set_data(&[1])), invalid);
    assert_eq!(code(session.set_data("text")), invalid);
    assert!(!session.modified());
    assert_eq!(shown(&session), "a=1");
    #[derive(Serialize)]
    struct Item {
        price: f64,
    }
    let cart = json!({"items": []});
    session.set("cart", cart).unwrap();
    let error = session
        .set(
            "cart",
            BTreeMap::from([("items", vec![Item { price: 1.0 }, Item { price: f64::NAN }])]),
        )
        .unwrap_err();
    assert!(
        error.message().starts_with("cart.items[1].price "),
        "{error}"
    );
}

#[test]
fn the_whole_data_as_one_type() {
    #[derive(Debug, Default, Deserialize, PartialEq, Serialize)]
    #[serde(default)]
    struct My {
        views: u32,
        #[serde(skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        cart: Vec<String>,
    }
    on_both(&[], |session| {
        assert_eq!(session.data::<My>().unwrap(), My::default());
        let my = My {
            views: 3,
            name: Some("ada".into()),
            cart: vec!["apple".into()],
        };
        session.set_data(&my).unwrap();
        assert_eq!(session.data::<My>().unwrap(), my);
        assert_eq!(shown(session), r#"views=3 name="ada" cart=["apple"]"#);
        session.set_data(&My { name: None, ..my }).unwrap();
        assert!(!session.contains_key("name").unwrap());
        session.set("views", true).unwrap();
        let error = session.data::<My>().unwrap_err();
        assert_eq!(error.code(), ErrorCode::WrongType);
        assert!(error.message().starts_with("\"views\""), "{error}");
    });
    // Setting an equal value is not a change.
    let world = World::new();
    let mut jar = world.visitor();
    world.visit(&mut jar, |session| {
        let all: BTreeMap<String, Value> = session.data().unwrap();
        session.set_data(&all).unwrap();
        assert!(!session.modified());
    });
}

#[test]
fn flash_is_read_once() {
    let world = World::new();
    let mut jar = Jar::new();
    world.visit(&mut jar, |session| {
        session.flash("note", "saved").unwrap();
        assert!(
            !session.contains_key("note").unwrap(),
            "not among the values"
        );
        assert!(!session.is_empty().unwrap());
        assert_eq!(session.len().unwrap(), 0);
    });
    world.visit(&mut jar, |session| {
        assert_eq!(code(session.take_flash::<i32>("note")), WRONG);
        assert_eq!(session.take_flash::<i32>("other").unwrap(), None);
        assert!(!session.modified());
        assert_eq!(
            session.take_flash::<String>("note").unwrap().as_deref(),
            Some("saved")
        );
        assert_eq!(session.take_flash::<String>("note").unwrap(), None);
    });
    world.visit(&mut jar, |session| {
        assert_eq!(session.take_flash::<String>("note").unwrap(), None);
        session.flash("note", 1).unwrap();
        assert_eq!(
            session.take_flash("note").unwrap(),
            Some(1),
            "in one request too"
        );
    });
}

#[test]
fn a_value_and_a_flash_of_one_name_are_two() {
    on_both(&[("a", json!(1))], |session| {
        session.flash("a", 2).unwrap();
        assert_eq!(session.get("a").unwrap(), Some(1));
        assert!(session.remove("a").unwrap());
        assert_eq!(session.take_flash("a").unwrap(), Some(2));
        session.set("z", 1).unwrap();
    });
}

#[derive(Debug, Deserialize)]
enum Choice {
    One,
}

#[test]
fn an_error_tells_no_value() {
    let world = World::new();
    let mut session = world.load(Head::default());
    session.set("note", "canary").unwrap();
    session.flash("flash", "canary").unwrap();
    for error in [
        session.get::<Vec<u8>>("note").unwrap_err(),
        session.get::<std::net::IpAddr>("note").unwrap_err(),
        session.get::<Choice>("note").unwrap_err(),
        session.pop::<u8>("note").unwrap_err(),
        session.setdefault("note", 1).unwrap_err(),
        session.take_flash::<u8>("flash").unwrap_err(),
        session.data::<BTreeMap<String, u8>>().unwrap_err(),
        session.data::<BTreeMap<String, Choice>>().unwrap_err(),
    ] {
        assert_eq!(error.code(), ErrorCode::WrongType);
        let text = format!("{error} {error:?} {}", error.to_problem());
        assert!(!text.contains("canary"), "{text}");
    }
    session.set("note", "One").unwrap();
    assert!(matches!(session.require("note").unwrap(), Choice::One));
}
