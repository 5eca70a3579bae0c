//! No cache may keep a response that depends on a session: every access to a session marks the
//! response. A new method must be entered here.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::Duration;

use crate::common::*;
use edge_session::{CommitHeaders, ErrorCode, Keep, SessionKey, SessionStore};

type Look = (&'static str, fn(&mut SessionStore));

/// Calls that reveal something about the session, or change it.
macro_rules! looks {
    ($($name:ident => |$session:ident| $look:expr;)*) => {
        const LOOKS: &[Look] = &[$((stringify!($name), |$session| { let _said = $look; })),*];
    };
}

looks! {
    get => |session| session.get::<i32>("a");
    get_json => |session| session.get_json("a");
    require => |session| session.require::<i32>("a");
    data => |session| session.data::<BTreeMap<String, i32>>();
    contains_key => |session| session.contains_key("none");
    len => |session| session.len();
    is_empty => |session| session.is_empty();
    iter => |session| session.iter().map(Iterator::count);
    keys => |session| session.keys().map(Iterator::count);
    values => |session| session.values().map(Iterator::count);
    set => |session| session.set("a", 1);
    remove => |session| session.remove("none");
    pop => |session| session.pop::<i32>("none");
    pop_or => |session| session.pop_or("none", 1);
    popitem => |session| session.popitem();
    update => |session| session.update([("a", 1)]);
    clear => |session| session.clear();
    setdefault => |session| session.setdefault("a", 1);
    set_data => |session| session.set_data(&BTreeMap::from([("a", 1)]));
    flash => |session| session.flash("note", 1);
    take_flash => |session| session.take_flash::<i32>("none");
    refusal => |session| session.refusal();
    outcome => |session| session.outcome().unwrap();
    session_key => |session| session.session_key().unwrap();
    is_new => |session| session.is_new().unwrap();
    version => |session| session.version().unwrap();
    created_at => |session| session.created_at().unwrap();
    owner => |session| session.owner().map(|owner| owner.is_some());
    auth_time => |session| session.auth_time();
    require_recent_auth => |session| session.require_recent_auth(seconds(60));
    set_modified => |session| session.set_modified(true);
    needs_update => |session| session.needs_update();
    get_expiry_age => |session| session.get_expiry_age();
    get_expiry_date => |session| session.get_expiry_date();
    idle_expires_at => |session| session.idle_expires_at();
    get_expire_at_browser_close => |session| session.get_expire_at_browser_close();
    set_expiry => |session| session.set_expiry(Duration::from_secs(60));
    load => |session| run(session.load());
    load_fresh => |session| run(session.load_fresh());
    create => |session| session.create();
    cycle_key => |session| session.cycle_key();
    reauthenticate => |session| session.reauthenticate();
    bind => |session| session.bind("ada");
    bind_with => |session| session.bind_with("ada", Keep::Nothing);
    exists => |session| run(session.exists());
    exists_key => |session| run(session.exists_key(&key_of_nobody()));
    csrf_token => |session| session.csrf_token();
    verify_csrf => |session| session.verify_csrf("x");
    save => |session| run(session.save());
    destroy => |session| run(session.destroy());
    flush => |session| run(session.flush());
    flush_keeping => |session| run(session.flush_keeping(["a"]));
    delete => |session| run(session.delete());
    delete_key => |session| run(session.delete_key(&key_of_nobody()));
}

/// A session key of the right form, but without an authentic tag.
fn key_of_nobody() -> SessionKey {
    format!("-.{0}.{0}.{0}", "A".repeat(22)).parse().unwrap()
}

/// Calls that reveal nothing about the request's session, and why.
const SILENT: &[(&str, &str)] = &[
    ("accessed", "it is the question itself"),
    (
        "modified",
        "what this request has changed, by calls that are looks",
    ),
    ("done_headers", "what the answer has to carry anyway"),
    ("generate_session_id", "tied to no session"),
    ("set_wait_until", "of the platform, not of the session"),
];

#[track_caller]
fn assert_marked(headers: &CommitHeaders, what: &str) {
    assert!(headers.depends_on_session(), "{what}");
    let no_store = headers.cache_control(None);
    for name in [
        "cache-control",
        "cdn-cache-control",
        "cloudflare-cdn-cache-control",
    ] {
        assert!(no_store.contains(&(name, "no-store")), "{what}");
    }
    for (there, then) in [
        (None, Some("Cookie")),
        (Some("Accept"), Some("Accept, Cookie")),
        (Some("accept, cookie"), None),
        (Some("*"), None),
    ] {
        assert_eq!(headers.vary(there).as_deref(), then, "{what}");
    }
}

#[test]
fn every_look_at_a_session_marks_the_answer() {
    for (name, look) in LOOKS {
        let world = World::new();
        for jar in [Jar::new(), world.visitor(), world.member("ada")] {
            let mut session = world.open(&jar);
            look(&mut session);
            let headers = world.commit(&mut session);
            assert_marked(&headers, name);
        }
    }
}

#[test]
fn a_session_that_is_shown_marks_the_answer() {
    let world = World::new();
    for jar in [Jar::new(), world.visitor(), world.member("ada")] {
        let mut session = world.open(&jar);
        let shown = format!("{session:?}");
        assert!(shown.contains("session_key"), "{shown}");
        assert_marked(&world.commit(&mut session), "Debug");
    }
}

#[test]
fn a_look_that_is_refused_marks_the_answer() {
    let world = World::new();
    let jar = world.visitor();
    for (name, look) in LOOKS {
        let outage = world.elsewhere();
        outage.store.outage();
        let mut session = outage.open(&jar);
        look(&mut session);
        let committed = outage.try_commit(&mut session, 200);
        assert_marked(&committed.unwrap_or_else(|_| session.done_headers()), name);
        outage.store.mend();
    }
}

#[test]
fn unrelated_cookies_disable_no_protection() {
    let world = World::new();
    for cookie in [
        "theme=dark",
        "__Host-session=forged",
        "a=b; __Host-session=x; c=d",
    ] {
        let mut session = world.load(Head::cookie(cookie));
        let _ = session.is_empty();
        assert_marked(&world.commit(&mut session), cookie);
    }
}

#[test]
fn a_cookie_that_is_removed_marks_the_answer() {
    let world = World::new();
    let mut session = world.open(&world.visitor());
    destroy(&mut session).unwrap();
    let headers = world.commit(&mut session);
    assert!(
        headers
            .set_cookie()
            .iter()
            .any(|field| field.contains("Max-Age=0"))
    );
    assert_marked(&headers, "removal");
}

#[test]
fn a_seen_cookie_alone_marks_the_answer() {
    let world = World::new();
    let jar = world.visitor();
    world.advance(2 * HOUR);
    let headers = world.commit(&mut world.open(&jar));
    assert_eq!(cookie_names(&headers), [SEEN]);
    assert_marked(&headers, "seen");
}

#[test]
fn an_untouched_session_marks_nothing() {
    let world = World::new();
    for jar in [Jar::new(), world.visitor()] {
        let headers = world.commit(&mut world.open(&jar));
        assert!(headers.is_empty(), "{headers:?}");
        assert!(headers.cache_control(None).is_empty());
        assert_eq!(headers.vary(None), None);
    }
}

#[test]
fn no_call_is_forgotten() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/face/store");
    let sources: Vec<String> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap())
        .collect();
    let public: BTreeSet<&str> = sources
        .iter()
        .flat_map(|source| source.lines())
        .filter_map(|line| {
            let name = line
                .strip_prefix("    pub fn ")
                .or(line.strip_prefix("    pub async fn "))?;
            name.split(['(', '<']).next()
        })
        .collect();
    let looks = LOOKS.iter().map(|(name, _)| *name);
    let silent = SILENT.iter().map(|(name, _)| *name);
    assert_eq!(public, looks.chain(silent).collect());
}

#[test]
fn a_stricter_cache_control_stays_and_a_weaker_one_needs_the_setting() {
    let all = [
        "cache-control",
        "cdn-cache-control",
        "cloudflare-cdn-cache-control",
    ];
    let replaced = |headers: &CommitHeaders, own: &str| -> Vec<&str> {
        let fields = headers.cache_control(Some(own)).iter();
        fields
            .map(|(name, value)| (*name, assert_eq!(*value, "no-store")).0)
            .collect()
    };
    let allowing = edge_session::Settings::default().with_allow_private_cache(true);
    for (world, may_be_private) in [(World::new(), false), (World::with(allowing), true)] {
        let mut session = world.open(&world.visitor());
        session.get::<i32>("a").unwrap();
        let headers = world.commit(&mut session);
        assert!(headers.set_cookie().is_empty());
        for own in [
            "no-store",
            "private, no-store, max-age=0",
            "Max-Age=0, NO-STORE",
        ] {
            assert_eq!(replaced(&headers, own), all[1..], "{own}");
        }
        for own in ["private, no-cache", "private", "max-age=60, private"] {
            let expected = if may_be_private { &all[1..] } else { &all };
            assert_eq!(replaced(&headers, own), expected, "{own}");
        }
        for own in [
            "no-cache",
            "max-age=60",
            "public, max-age=60",
            "private, public",
            "private=\"set-cookie\"",
            "must-understand, no-store",
            "x=\"no-store, private\"",
            "",
        ] {
            assert_eq!(replaced(&headers, own), all, "{own}");
        }
        // A response that sets a cookie must not be stored.
        let mut session = world.open(&world.visitor());
        session.set("a", 2).unwrap();
        let headers = world.commit(&mut session);
        assert!(!headers.set_cookie().is_empty());
        assert_eq!(replaced(&headers, "private, no-cache"), all);
        assert_eq!(replaced(&headers, "private, no-store"), all[1..]);
    }
}

#[test]
fn a_session_first_used_after_the_commit_would_be_in_a_response_that_caches_may_share() {
    let world = World::new();
    let jar = world.visitor();
    let late = Some(ErrorCode::Committed);
    let mut untouched = world.open(&jar);
    assert!(!world.commit(&mut untouched).depends_on_session());
    assert_eq!(code(untouched.get::<i32>("a")), late);
    assert_eq!(code(untouched.owner().map(drop)), late);
    assert_eq!(code(untouched.session_key()), late);
    assert_eq!(code(untouched.outcome()), late);

    let mut used = world.open(&jar);
    used.owner().unwrap();
    assert!(world.commit(&mut used).depends_on_session());
    assert_eq!(used.get::<i32>("a").unwrap(), Some(1), "reading goes on");

    // A visitor without a cookie has nothing of anybody.
    let mut stranger = world.load(Head::default());
    assert!(!world.commit(&mut stranger).depends_on_session());
    assert_eq!(stranger.get::<i32>("a").unwrap(), None);
}
