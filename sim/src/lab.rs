//! Histories for the console's consistency lab.
//!
//! A script says who requests what, where and when, and how slow the store is. The simulator runs
//! it, the checker checks it, and the result is told here step by step: what has happened, and the
//! contents of the store, each location's cache and each browser. A script also says what it
//! demonstrates, and fails if that does not happen.

mod pair;
mod reader;
mod scribe;
mod stage;

use edge_session::Outcome;

use crate::Ms;
use crate::random::START;
use crate::request::Op;
use crate::world::Kind;
use stage::{Lab, Moment, Store, Words};

const PLACES: [&str; 2] = ["Amsterdam", "Singapore"];
const AMSTERDAM: usize = 0;
const SINGAPORE: usize = 1;
/// When a story begins: earlier writes have spread, and caches have expired.
const ZERO: Ms = START + 300_000;
/// How long a write takes to the other location.
const SPREADS: Ms = 40_000;

/// Readable names for the keys of the simulator, in the order of [`KEYS`].
const NAMES: [&str; 4] = ["note", "cart", "theme", "sign-in"];
const NOTE: usize = 0;
const CART: usize = 1;
const THEME: usize = 2;
const SIGN_IN: usize = 3;

const LOGIN: Op = Op::Bind {
    owner: 0,
    keep: true,
};

/// A file of the lab: its name and its content.
pub type File = (&'static str, String);

/// Runs every script.
pub fn files() -> Vec<File> {
    vec![
        ("lost-update.json", lost_update()),
        ("logout-race.json", logout_race()),
        ("stale-read.json", stale_read()),
        ("stolen-cookie.json", stolen_cookie()),
        ("two-stores.json", two_stores()),
    ]
}

fn lost_update() -> String {
    let lab = Lab::new();
    let browser = lab.browser("The browser");
    lab.before(browser, AMSTERDAM, Op::Set(NOTE));

    let (tab_a, tab_b) = (lab.who("Tab A", browser), lab.who("Tab B", browser));
    // The acknowledgement of A's put takes two seconds.
    lab.slow(1, Kind::Put, (20, 2_000));
    let a = tab_a.asks(0, AMSTERDAM, "put a book in the cart", &[Op::Set(CART)]);
    let ops = [Op::Work(1_200), Op::Set(THEME)];
    let b = tab_b.asks(10, SINGAPORE, "switch to the dark theme", &ops);
    let next = lab.who("The next page", browser);
    let joins = next.asks(20_000, SINGAPORE, "show what is there", &[Op::Read]);
    let last = lab.who("The last page", browser);
    let later = last.asks(150_000, AMSTERDAM, "show what is there", &[Op::Read]);
    lab.run(151_000);

    lab.found(joins, Outcome::Loaded, &[NOTE, CART, THEME]);
    lab.found(later, Outcome::Loaded, &[NOTE, CART, THEME]);
    lab.why(b, Moment::Read, "Both tabs begin from version 1. From here on, neither request sees what the other one does.");
    lab.why(b, Moment::Put, "The store has no compare-and-set: the last writer wins, and nobody is told. The store no longer has what Tab A saved. Reading again before the put did not help, because the cache still said version 1.");
    lab.why(a, Moment::Answered, "Tab A’s answer comes last, with its version in the cookie. The browser now holds the copy that the store has lost.");
    lab.why(joins, Moment::Found, "Each key in a record carries the version of its last write. So two copies of which neither includes the other can be joined key by key; neither replaces the other.");
    lab.why(joins, Moment::Put, "The request that finds the conflict puts the joined copy, even if it only wanted to read. The application does not have to do anything.");
    lab.why(
        later,
        Moment::Found,
        "Two minutes later, at the other location and without a cookie to help: both are there.",
    );
    lab.tell(&Words {
        title: "Two saves at once",
        about: "Two tabs of one browser save different things at the same moment, at two locations. A store where the last writer wins keeps only one of them.",
        begin: "A session from five minutes ago: version 1, with a note in it. No cache holds it any more.",
        end: "Both saves have survived. That is promised if the later save has seen the earlier one, in the store or in the browser’s cookie, and between requests of one isolate. Otherwise one of two parallel saves may be lost.",
    })
}

fn logout_race() -> String {
    let lab = Lab::new();
    let browser = lab.browser("Ada’s browser");
    let elsewhere = lab.browser("A copy of its cookies");
    lab.before(browser, AMSTERDAM, LOGIN);
    lab.steal(browser, elsewhere);

    let (tab_a, tab_b) = (lab.who("Tab A", browser), lab.who("Tab B", browser));
    let ops = [Op::Work(2_500), Op::Set(CART)];
    let slow = tab_a.asks(0, SINGAPORE, "work for a while, then save", &ops);
    let logout = tab_b.asks(1_000, AMSTERDAM, "log out", &[Op::Destroy]);
    let next = lab.who("The next page", browser);
    let next = next.asks(6_000, SINGAPORE, "show what is there", &[Op::Read]);
    let copy = lab.who("The copy", elsewhere);
    let far = copy.asks(14_000, SINGAPORE, "show what is there", &[Op::Read]);
    let near = copy.asks(46_000, AMSTERDAM, "show what is there", &[Op::Read]);
    let late = copy.asks(104_000, SINGAPORE, "show what is there", &[Op::Read]);
    lab.run(105_000);

    lab.found(next, Outcome::New, &[]);
    lab.found(far, Outcome::Loaded, &[SIGN_IN, CART]);
    lab.found(near, Outcome::Revoked, &[]);
    lab.found(late, Outcome::Revoked, &[]);
    lab.why(slow, Moment::Read, "Singapore also caches what does not exist: for 30 seconds it will say that this session has no marker.");
    lab.why(logout, Moment::Put, "A logout writes a key of its own, a marker. Saves never write markers, so no save can undo a logout.");
    lab.why(
        logout,
        Moment::Answered,
        "The browser no longer has the cookie that opens the record.",
    );
    lab.why(slow, Moment::Put, "This is the race: Singapore could not know about the logout, and its save writes the record again. If logging out meant deleting the record, the session would be back now.");
    lab.why(slow, Moment::Answered, "A save never writes the key cookie. The cookie that the late answer sets belongs to a key that the browser no longer has.");
    lab.why(
        next,
        Moment::Found,
        "Without a key cookie nothing is read at all. Ada is logged out, even here.",
    );
    lab.why(far, Moment::Found, "Somebody else still has the old cookies, and Singapore answers from its cache. Every eventually consistent store has this delay. Its limit here is D, 102 seconds with these settings.");
    lab.why(near, Moment::Found, "The record that was saved too late has arrived here too. It makes no difference, because the marker is there.");
    lab.why(late, Moment::Found, "After D no location accepts the copy. The record stays dead until its time to live removes it.");
    lab.tell(&Words {
        title: "A logout against a save",
        about: "Ada logs out while a slow request of another tab is about to save the same session, at a location where the logout is not visible yet.",
        begin: "Ada logged in five minutes ago: version 1. Somebody else holds a copy of her cookies.",
        end: "No late save, late rotation or old copy brings an ended session back. The browser that logged out is out at once; copies of its cookies are dead everywhere within D.",
    })
}

fn stale_read() -> String {
    let lab = Lab::new();
    let browser = lab.browser("The browser");
    lab.before(browser, AMSTERDAM, Op::Set(NOTE));

    let page = |name| lab.who(name, browser);
    let first = page("Page 1").asks(0, SINGAPORE, "show what is there", &[Op::Read]);
    page("Page 2").asks(2_000, AMSTERDAM, "put a book in the cart", &[Op::Set(CART)]);
    let bridged = page("Page 3").asks(14_000, SINGAPORE, "show the cart", &[Op::Read]);
    let ops = [Op::Set(THEME)];
    let large = page("Page 4").asks_large(16_000, AMSTERDAM, "save 3 kB and a theme", &ops);
    let ops = [Op::Read, Op::Set(NOTE)];
    let stale = page("Page 5").asks(28_000, SINGAPORE, "save a note", &ops);
    let well = page("Page 6").asks(62_000, SINGAPORE, "save a note", &ops);
    lab.run(63_000);

    lab.found(first, Outcome::Loaded, &[NOTE]);
    lab.found(bridged, Outcome::Loaded, &[NOTE, CART]);
    lab.found(stale, Outcome::Stale, &[NOTE, CART]);
    lab.refused(stale, "stale");
    lab.found(well, Outcome::Loaded, &[NOTE, CART, THEME]);
    lab.why(first, Moment::Read, "Singapore keeps what it has read for 30 seconds, the shortest time that Workers KV allows.");
    lab.why(
        bridged,
        Moment::Read,
        "The store answers with an old copy, and does not say so.",
    );
    lab.why(bridged, Moment::Found, "The cookie carries what this browser has saved, sealed like the record itself. A load joins the two, so a browser reads its own writes at every location.");
    lab.why(
        large,
        Moment::Answered,
        "This record is too large for a cookie. The browser carries only its version.",
    );
    lab.why(stale, Moment::Found, "The cookie names a version that Singapore cannot see. The application may read the older copy, and is told that it is old.");
    lab.why(stale, Moment::Answered, "A save on top of an old copy could undo the newer one. So it is refused with Retry-After, and nothing is lost.");
    lab.why(well, Moment::Found, "The write has arrived, and the cache has dropped the old copy. The same request now succeeds.");
    lab.tell(&Words {
        title: "A stale read",
        about: "A browser saves at one location, and its next request is answered by another, whose cache is older than the save.",
        begin: "A session from five minutes ago: version 1, with a note in it. No cache holds it any more.",
        end: "A browser sees what it saved, or is told that it is not visible here yet. It is never served an older copy as if it were the newest.",
    })
}

fn stolen_cookie() -> String {
    let lab = Lab::new();
    let browser = lab.browser("Ada’s browser");
    let elsewhere = lab.browser("The thief’s browser");
    lab.before(browser, AMSTERDAM, LOGIN);
    lab.steal(browser, elsewhere);

    let (ada, thief) = (lab.who("Ada", browser), lab.who("The thief", elsewhere));
    let enters = thief.asks(0, SINGAPORE, "show what is there", &[Op::Read]);
    let logout = ada.asks(5_000, AMSTERDAM, "log out", &[Op::Destroy]);
    let cycles = thief.asks(14_000, SINGAPORE, "renew the key", &[Op::Cycle]);
    let inside = thief.asks(28_000, SINGAPORE, "show what is there", &[Op::Read]);
    let home = thief.asks(30_000, AMSTERDAM, "show what is there", &[Op::Read]);
    let out = thief.asks(107_000, SINGAPORE, "show what is there", &[Op::Read]);
    lab.run(108_000);

    lab.found(enters, Outcome::Loaded, &[SIGN_IN]);
    lab.found(cycles, Outcome::Loaded, &[SIGN_IN]);
    lab.found(inside, Outcome::Loaded, &[SIGN_IN]);
    lab.found(home, Outcome::Revoked, &[]);
    lab.found(out, Outcome::Revoked, &[]);
    lab.why(
        enters,
        Moment::Read,
        "Singapore now caches for 30 seconds that key 1 has no marker.",
    );
    lab.why(logout, Moment::SecondPut, "Two markers: one for the key, and one for the lineage, which stays the same whenever the session gets a new key.");
    lab.why(
        cycles,
        Moment::Found,
        "Ada’s logout is not visible here yet.",
    );
    lab.why(
        cycles,
        Moment::Put,
        "The attack: the session gets a new key, and no marker names that one.",
    );
    lab.why(cycles, Moment::SecondPut, "The thief’s rotation even overwrites Ada’s marker for key 1. It cannot overwrite the one for the lineage: only the end of a session writes that.");
    lab.why(inside, Moment::Read, "With a key that is not the session’s first, a load also reads the lineage’s marker. It has not arrived here yet.");
    lab.why(
        home,
        Moment::Found,
        "At the location of the logout, the new key is dead at once.",
    );
    lab.why(
        out,
        Moment::Found,
        "And within D it is dead everywhere. The rotation did not help the thief.",
    );
    lab.tell(&Words {
        title: "A thief renews the key",
        about: "A thief holds a copy of Ada’s cookies. She logs out; the thief, at a location where that is not visible yet, exchanges the stolen key for a new one.",
        begin: "Ada logged in five minutes ago: version 1. The thief has just copied her cookies.",
        end: "A logout names the lineage, so no rotation escapes it. A thief can go on for at most D, 102 seconds with these settings, at a location where the logout is not visible yet.",
    })
}

/// The same script in both worlds.
fn two_stores() -> String {
    let words = Words {
        title: "One race, two stores",
        about: "Two tabs save different things at the same moment, at two locations. Then Ada logs out, while somebody holds a copy of her cookies. The same requests are sent at the same times to Workers KV and to Durable Objects.",
        begin: "Ada logged in five minutes ago, in Amsterdam: version 1. Her Durable Object is therefore in Amsterdam. Somebody has just copied her cookies.",
        end: "On Workers KV the book is lost, and the copy can still be used until D has passed, 102 seconds with these settings. In Durable Objects both saves survived, and the copy was dead after the logout. The price is latency: each request from Singapore goes to Amsterdam and back.",
    };
    let on = |store| {
        let lab = Lab::on(store);
        let browser = lab.browser("Ada’s browser");
        let elsewhere = lab.browser("A copy of its cookies");
        lab.before(browser, AMSTERDAM, LOGIN);
        lab.steal(browser, elsewhere);

        let (tab_a, tab_b) = (lab.who("Tab A", browser), lab.who("Tab B", browser));
        let ops = [Op::Work(300), Op::Set(CART)];
        tab_a.asks(0, AMSTERDAM, "put a book in the cart", &ops);
        let ops = [Op::Work(1_500), Op::Set(THEME)];
        let second = tab_b.asks(10, SINGAPORE, "switch to the dark theme", &ops);
        let next = lab.who("The next page", browser);
        let next = next.asks(5_000, SINGAPORE, "show what is there", &[Op::Read]);
        // It remembers what it saved, and would join it.
        lab.evict(AMSTERDAM);
        let logout = lab.who("Ada", browser);
        let logout = logout.asks(52_000, AMSTERDAM, "log out", &[Op::Destroy]);
        let copy = lab.who("The copy", elsewhere);
        let copy = copy.asks(54_000, SINGAPORE, "show what is there", &[Op::Read]);
        lab.run(55_000);

        match store {
            Store::Kv => {
                lab.found(next, Outcome::Loaded, &[THEME, SIGN_IN]);
                lab.found(logout, Outcome::Loaded, &[THEME, SIGN_IN]);
                lab.found(copy, Outcome::Loaded, &[THEME, SIGN_IN]);
                lab.why(logout, Moment::Found, "Now the book is lost for good: Amsterdam’s cache has expired, and another isolate runs there.");
                lab.why(second, Moment::Put, "The store has no compare-and-set: the last writer wins, and nobody is told. Singapore read again before this put, but its cache still said version 1.");
                lab.why(
                    next,
                    Moment::Found,
                    "The book is missing: the store and the browser’s cookie do not have it. Only Amsterdam still has it, until its cache and its isolate forget it.",
                );
                lab.why(
                    copy,
                    Moment::Found,
                    "The logout is not visible in Singapore yet. It will be within D.",
                );
            }
            Store::Objects => {
                lab.found(next, Outcome::Loaded, &[CART, THEME, SIGN_IN]);
                lab.found(logout, Outcome::Loaded, &[CART, THEME, SIGN_IN]);
                lab.found(copy, Outcome::Revoked, &[]);
                lab.why(second, Moment::Conflict, "Each save names the revision of the row that it read. Tab A’s save came in between, so nothing is written.");
                lab.why(second, Moment::Put, "The theme is set again, in the row that came back, which contains the book. The application does not have to do anything.");
                lab.why(next, Moment::Found, "Both are there.");
                lab.why(logout, Moment::Put, "The tombstone stays until the session’s hard end, so no late save can bring the session back.");
                lab.why(
                    copy,
                    Moment::Found,
                    "Every location asks the same object, so the logout holds here too.",
                );
            }
        }
        lab.record(&words)
    };
    pair::file(&words, &[on(Store::Kv), on(Store::Objects)])
}
