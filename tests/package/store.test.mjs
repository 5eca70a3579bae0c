// Every row of the table of SessionStore, through JavaScript. Titles are identifiers: the table in
// docs/api.md names them.

import assert from "node:assert/strict";
import { inspect } from "node:util";
import { test } from "node:test";

import { ManualClock, MemoryConnector, SessionError, SessionExpired, SessionStore, Sessions } from "../../pkg/node.js";
import { SECRET, START, code, world } from "./support/world.mjs";

const filled = async (values, settings) => {
  const it = world({ settings });
  await it.browser.ask((session) => session.update(values));
  return it;
};

test("js_session_error", async () => {
  const { browser } = world();
  const error = await browser.ask((session) => {
    try {
      session.require("none");
    } catch (error) {
      return error;
    }
  });
  assert.ok(error instanceof SessionError && error instanceof Error);
  assert.equal(error.name, "SessionError");
  assert.equal(error.code, "missing_key");
  assert.match(error.stack, /SessionError: the session has no key "none"\n/);
  assert.deepEqual(Object.keys(error), ["code"]);
  const cause = new Error("why");
  assert.equal(new SessionError("unavailable", "text", { cause }).cause, cause);
  const response = new SessionError("unavailable", "no storage").toResponse();
  assert.equal(response.status, 503);
  assert.equal(response.headers.get("retry-after"), "5");
  assert.equal(response.headers.get("content-type"), "application/problem+json");
  assert.deepEqual(await response.json(), {
    type: "about:blank",
    title: "unavailable",
    status: 503,
    detail: "no storage",
    code: "unavailable",
  });
});

test("js_session_expired", async () => {
  const { browser, clock } = await filled({ a: 1 });
  const session = await browser.load();
  session.setExpiry(10);
  await session.save();
  session.set("a", 2);
  clock.advance(11_000);
  await assert.rejects(session.save(), (error) => {
    assert.ok(error instanceof SessionExpired && error instanceof SessionError);
    assert.equal(error.code, "expired");
    assert.equal(error.name, "SessionExpired");
    return true;
  });
  session.setExpiry(60);
  await session.save();
  assert.equal(session.getExpiryAge(), 60);
});

test("js_construct_from_a_connector_and_a_cookie_header", async () => {
  const { browser, memory, clock } = await filled({ a: 1 });
  const session = new SessionStore(memory, { secret: SECRET, clock }, browser.cookie);
  assert.equal(await session.load(), "loaded");
  assert.equal(session.get("a"), 1);
  const nobody = new SessionStore(memory, { secret: SECRET, clock });
  assert.equal(await nobody.load(), "new");
  assert.throws(() => new SessionStore(memory, { secret: SECRET }, { key: "x" }), code("invalid_value"));
  // A session key does not open a session.
  const byKey = new SessionStore(memory, { secret: SECRET, clock }, `__Host-session=${session.sessionKey}`);
  assert.equal(await byKey.load(), "rejected");
  assert.equal(byKey.size, 0);
});

test("js_disable_warnings", async (t) => {
  const warn = t.mock.method(console, "warn", () => {});
  for (const disableWarnings of [true, false]) {
    const { browser } = world({ settings: { disableWarnings } });
    let kept;
    let session;
    await browser.ask((it) => {
      session = it;
      kept = it.data;
      kept.list = [1];
    });
    kept.list.push(2);
    session.get("list");
    session.get("list"); // one warning, not one per read
    assert.equal(warn.mock.callCount(), disableWarnings ? 0 : 1);
  }
});

test("js_require", async () => {
  const { browser } = await filled({ zero: 0, nothing: null });
  await browser.ask((session) => {
    assert.equal(session.require("zero"), 0);
    assert.equal(session.require("nothing"), null);
    assert.throws(() => session.require("none"), code("missing_key"));
    assert.throws(() => session.require("__proto__"), code("missing_key"));
  });
});

test("js_set", async () => {
  const { browser } = world();
  await browser.ask((session) => {
    assert.equal(session.set("a", 1).set("b", "x"), session);
    assert.equal(session.get("a"), 1);
    for (const key of [1, null, undefined, Symbol("x"), {}, "\ud800"]) {
      assert.throws(() => session.set(key, 1), code("invalid_value"));
    }
    assert.throws(() => session.set("é".repeat(129), 1), code("too_large"));
    session.set("é".repeat(128), 1);
  });
  const keys = await browser.ask((session) => [...session.keys()]);
  assert.deepEqual(keys, ["a", "b", "é".repeat(128)]);
});

test("js_remove", async () => {
  const { browser } = await filled({ a: 1, b: null });
  await browser.ask((session) => {
    assert.equal(session.remove("none"), false);
    assert.equal(session.modified, false);
    assert.equal(session.remove("b"), true);
    assert.equal(session.remove("b"), false);
    assert.equal(session.modified, true);
  });
  assert.deepEqual(await browser.ask((session) => ({ ...session.data })), { a: 1 });
});

test("js_has", async () => {
  const { browser } = await filled({ nothing: null, no: false, empty: "" });
  await browser.ask((session) => {
    for (const key of ["nothing", "no", "empty"]) assert.equal(session.has(key), true);
    for (const key of ["none", "__proto__", "toString", "constructor"]) assert.equal(session.has(key), false);
    session.data.late = 1;
    assert.equal(session.has("late"), true);
  });
});

test("js_size", async () => {
  const { browser } = await filled({ a: 1, b: 2 });
  await browser.ask((session) => {
    assert.equal(session.size, 2);
    session.data.c = 3;
    assert.equal(session.size, 3);
    delete session.data.a;
    assert.equal(session.size, 2);
    session.clear();
    assert.equal(session.size, 0);
  });
});

test("js_iteration_in_order_of_insertion", async () => {
  const { browser } = world();
  await browser.ask((session) => {
    for (const key of ["z", "10", "a", "2", "__proto__"]) session.set(key, `is ${key}`);
  });
  await browser.ask((session) => {
    const order = ["z", "10", "a", "2", "__proto__"];
    assert.deepEqual([...session.keys()], order);
    assert.deepEqual([...session.values()], order.map((key) => `is ${key}`));
    assert.deepEqual([...session.entries()], order.map((key) => [key, `is ${key}`]));
    assert.deepEqual([...session], [...session.entries()]);
    // A plain object puts integer-like keys first; the session does not.
    assert.deepEqual(Object.keys(session.data), ["2", "10", "z", "a", "__proto__"]);
    assert.deepEqual([...session.keys()], order);
    session.remove("z");
    session.set("z", 1);
    session.set("10", 1);
    session.data.new = 1;
    assert.deepEqual([...session.keys()], ["10", "a", "2", "__proto__", "z", "new"]);
  });
  const keys = await browser.ask((session) => [...session.keys()]);
  assert.deepEqual(keys, ["10", "a", "2", "__proto__", "z", "new"]);
});

test("js_data_is_a_live_object", async () => {
  const { browser, memory } = await filled({ cart: [{ n: 1 }], text: "x" });
  await browser.ask((session) => {
    const { data } = session;
    assert.equal(Object.getPrototypeOf(data), null);
    assert.equal(session.data, data);
    assert.equal(data.cart, session.get("cart"));
    assert.equal(session.modified, false);
    data.cart[0].n = 2;
    assert.equal(session.modified, true);
    data.cart[0].n = 1;
    data.cart.push({ n: 3 });
    data.more = { deep: [] };
    data.more.deep.push(1);
    delete data.text;
    data.gone = undefined;
    assert.deepEqual([...session.keys()], ["cart", "more"]);
    session.set("set", true);
    assert.equal(data.set, true);
    session.remove("set");
    assert.equal("set" in data, false);
  });
  assert.deepEqual(await browser.ask((session) => JSON.stringify(session)), '{"cart":[{"n":1},{"n":3}],"more":{"deep":[1]}}');
  const { puts } = memory.operations;
  await browser.ask((session) => JSON.stringify(session.data));
  assert.equal(memory.operations.puts, puts, "reading never writes");
  await browser.ask((session) => {
    session.data = { cart: session.data.cart, other: 1 };
    assert.deepEqual([...session.keys()], ["cart", "other"]);
    assert.throws(() => (session.data = [1]), code("invalid_value"));
    assert.throws(() => (session.data = { a: 1n }), code("invalid_value"));
    assert.deepEqual([...session.keys()], ["cart", "other"], "all or nothing");
  });
});

test("js_get_tells_absent", async () => {
  const { browser } = await filled({ nothing: null, no: false, zero: 0, empty: "" });
  await browser.ask((session) => {
    assert.equal(session.get("none"), undefined);
    assert.equal(session.get("none", 7), 7);
    assert.equal(session.get("nothing", 7), null);
    assert.equal(session.get("no", 7), false);
    assert.equal(session.get("zero", 7), 0);
    assert.equal(session.get("empty", 7), "");
    assert.equal(session.get("toString"), undefined);
  });
});

test("js_repr_never_tells_the_token", async () => {
  const { browser } = await filled({ secretish: "value" });
  const token = browser.cookie.match(/session=([^;]+)/)[1];
  await browser.ask((session) => {
    assert.equal(String(session), `SessionStore(${session.sessionKey}, loaded)`);
    assert.equal(Object.prototype.toString.call(session), "[object SessionStore]");
    assert.equal(JSON.stringify({ session }), '{"session":{"secretish":"value"}}');
    assert.match(inspect(session), /^SessionStore\(.*, loaded\) \{ secretish: 'value' \}$/);
    const all = inspect(session, { showHidden: true, depth: 9, getters: true }) + Reflect.ownKeys(session).join();
    assert.ok(!all.includes(token) && !all.includes(token.slice(20, 60)));
  });
  const unloaded = world().sessions.open();
  assert.equal(inspect(unloaded), "SessionStore(no key, not loaded) {}");
});

test("js_nothing_is_known_before_a_load", async () => {
  const { browser, sessions, memory } = await filled({ a: 1 });
  for (const cookie of [browser.cookie, null, "__Host-session=forged"]) {
    const session = sessions.open(cookie);
    const isUnknown = () => {
      for (const name of ["outcome", "sessionKey", "isNew", "version", "createdAt"]) {
        assert.throws(() => session[name], code("not_loaded"), name);
      }
      assert.equal(`${session}`, "SessionStore(no key, not loaded)");
      assert.match(inspect(session), /^SessionStore\(no key, not loaded\)/);
      assert.equal(session.modified, false);
      assert.equal(session.needsUpdate(), false);
    };
    isUnknown();
    await sessions.commit(session, new Response());
    isUnknown();
  }
  memory.resetOperations();
  // The recipe for a migration, on a page that loads nothing.
  await sessions.handleLazy(browser.request(), null, (session) => {
    assert.throws(() => session.outcome === "new", code("not_loaded"));
    return new Response();
  });
  assert.equal(memory.operations.reads, 0);
  const nobody = sessions.open();
  assert.equal(await nobody.load(), "new");
  assert.deepEqual([nobody.outcome, nobody.isNew, nobody.sessionKey, nobody.version], ["new", true, null, 0]);
});

test("js_a_first_save_that_fails_leaves_no_key", async () => {
  const { sessions } = world();
  const session = await sessions.load();
  session.set("a", "x".repeat(200_000));
  await assert.rejects(session.save(), code("too_large"));
  assert.equal(session.sessionKey, null);
  assert.equal(session.isNew, true);
  session.set("a", 1);
  await session.save();
  assert.equal(typeof session.sessionKey, "string");
});

test("js_what_is_no_session_key", async () => {
  const { browser } = await filled({ a: 1 });
  const session = await browser.load();
  const key = session.sessionKey;
  const unreadable = { toString() { throw new Error("read"); } };
  for (const odd of ["text", "", "\ud800", "null", null, 5, {}, [key], Symbol("x"), Object.create(null), unreadable]) {
    assert.equal(await session.exists(odd), false);
    await assert.rejects(session.delete(odd), code("not_found"));
  }
  assert.equal(await session.exists(), true);
});

test("js_values_are_copies", async () => {
  const { browser } = world();
  const EMPTY = { items: [] };
  for (const visitor of ["ada", "bob"]) {
    const seen = await world().browser.ask((session) => {
      session.setDefault("cart", EMPTY).items.push(visitor);
      assert.equal(session.setDefault("cart", EMPTY), session.get("cart"));
      return session.get("cart");
    });
    assert.deepEqual(seen, { items: [visitor] });
  }
  assert.deepEqual(EMPTY, { items: [] });
  const given = { n: 1, list: [1] };
  const ways = {
    set: (session) => session.set("v", given).get("v"),
    update: (session) => session.update({ v: given }).get("v"),
    pairs: (session) => session.update([["v", given]]).get("v"),
    data: (session) => ((session.data = { v: given }), session.data.v),
    setDefault: (session) => session.setDefault("v", given),
    view: (session) => (void session.data, session.set("v", given), session.data.v),
  };
  for (const [name, way] of Object.entries(ways)) {
    await browser.ask((session) => {
      session.clear();
      const own = way(session);
      given.n = 2;
      assert.deepEqual(own, { n: 1, list: [1] }, name);
      own.list.push("stored");
      assert.equal(session.get("v"), own);
      given.n = 1;
      session.flash("f", given);
      given.n = 3;
      assert.deepEqual(session.takeFlash("f"), { n: 1, list: [1] });
      given.n = 1;
    });
    assert.deepEqual(await browser.ask((session) => session.get("v")), { n: 1, list: [1, "stored"] }, name);
  }
  // The session's own object is still live after it is set again.
  await browser.ask((session) => {
    const own = session.get("v");
    session.set("v", own);
    own.list.push("too");
  });
  assert.deepEqual(await browser.ask((session) => session.get("v").list), [1, "stored", "too"]);
});

test("js_an_object_that_is_set_stays_live_after_a_save", async () => {
  const { browser, sessions } = await filled({ cart: { a: 1, b: 2 } });
  const session = await browser.load();
  // Equal to the stored value, in another order.
  session.set("cart", { b: 2, a: 1 });
  const cart = session.get("cart");
  session.set("other", 1);
  await session.save();
  cart.c = 3;
  browser.keep(await sessions.commit(session, new Response()));
  assert.deepEqual((await browser.load()).get("cart"), { a: 1, b: 2, c: 3 });
});

test("js_what_data_and_update_would_lose_is_refused", async () => {
  const { browser } = await filled({ a: 1 });
  await browser.ask((session) => {
    const hidden = Object.defineProperty({ b: 1 }, "c", { value: 1 });
    for (const [values, path] of [[{ [Symbol("x")]: 1 }, "[Symbol(x)]"], [hidden, "c"]]) {
      for (const act of [() => session.update(values), () => (session.data = values)]) {
        assert.throws(act, (error) => code("invalid_value")(error) ?? error.path === path);
      }
    }
    class Cart {
      items = 1;
    }
    for (const values of [null, 5, "ab", new Date(0), new Cart(), ["ab"], [1], [null]]) {
      assert.throws(() => session.update(values), code("invalid_value"));
    }
    for (const values of [null, "ab", new Date(0), new Cart(), [["b", 1]], new Map([["b", 1]])]) {
      assert.throws(() => (session.data = values), code("invalid_value"));
    }
    assert.throws(() => (session.data = new Error()), /pass a plain object of keys and values, not an Error$/);
    assert.deepEqual([...session], [["a", 1]]);
    session.update(new Map([["a", 1]])).update([["a", 1]].values());
  });
  const { response } = await browser.visit((session) => {
    session.data.b = 1;
    session.data[Symbol("x")] = 1;
  });
  assert.equal((await response.json()).code, "invalid_value");
});

test("js_the_view_after_a_commit_has_no_prototype_of_the_data", async () => {
  const prefs = JSON.parse('{"__proto__":{"isAdmin":true},"list":[{"__proto__":{"isAdmin":true}}]}');
  const { browser } = await filled({ prefs });
  let session;
  await browser.ask((it) => {
    session = it;
    assert.equal(it.data.prefs.isAdmin, undefined);
  });
  for (const value of [session.data.prefs, session.data.prefs.list[0], session.data]) {
    assert.equal(value.isAdmin, undefined);
  }
  assert.deepEqual(Object.keys(session.data.prefs), ["__proto__", "list"]);
  assert.deepEqual(Object.getOwnPropertyDescriptor(session.data.prefs, "__proto__").value, { isAdmin: true });
  assert.throws(() => (session.data.prefs.x = 1), code("committed"));
});

test("js_has_no_hidden_state", async () => {
  const { browser } = await filled({ a: 1 });
  let session;
  await browser.visit((it) => {
    session = it;
    session.set("b", [2]);
    session.data.c = 3;
    session.flash("notice", "saved");
    session.bind("ada");
    session.setExpiry(3600);
    session.csrfToken();
    // A property of the session object is not a value of the session.
    session.lost = true;
    assert.equal(session.has("lost"), false);
    delete session.lost;
  });
  // Even after all these calls and a commit, everything is in private fields.
  assert.deepEqual(Reflect.ownKeys(session), []);
  assert.deepEqual([...(await browser.load()).keys()], ["a", "b", "c"]);
});

test("js_pop", async () => {
  const { browser } = await filled({ a: [1], nothing: null });
  await browser.ask((session) => {
    assert.deepEqual(session.pop("a"), [1]);
    assert.equal(session.pop("nothing", 7), null);
    assert.equal(session.size, 0);
  });
});

test("js_pop_without_default", async () => {
  const { browser } = await filled({ a: 1 });
  await browser.ask((session) => {
    assert.throws(() => session.pop("none"), code("missing_key"));
    assert.equal(session.modified, false);
  });
});

test("js_pop_with_default_modifies_nothing", async () => {
  const { browser, memory } = await filled({ a: 1 });
  const { puts } = memory.operations;
  await browser.ask((session) => {
    assert.equal(session.pop("none", 7), 7);
    assert.equal(session.pop("none", undefined), undefined);
    assert.equal(session.modified, false);
    assert.equal(session.needsUpdate(), false);
  });
  assert.equal(memory.operations.puts, puts);
});

test("js_pop_item_is_last_in_first_out", async () => {
  const { browser } = await filled({ a: 1, b: 2, c: null });
  await browser.ask((session) => {
    assert.deepEqual(session.popItem(), ["c", null]);
    session.set("9", 1);
    assert.deepEqual(session.popItem(), ["9", 1]);
    assert.deepEqual(session.popItem(), ["b", 2]);
    assert.deepEqual(session.popItem(), ["a", 1]);
    assert.throws(() => session.popItem(), code("missing_key"));
  });
});

test("js_update_is_all_or_nothing", async () => {
  const { browser } = await filled({ a: 1 });
  await browser.ask((session) => {
    assert.equal(session.update({ b: 2, skipped: undefined }), session);
    session.update([["c", 3], ["a", 4]]);
    session.update(new Map([["d", 5]]));
    assert.throws(() => session.update({ a: 9, bad: () => {} }), code("invalid_value"));
    assert.deepEqual([...session], [["a", 4], ["b", 2], ["c", 3], ["d", 5]]);
  });
});

test("js_clear", async () => {
  const { browser } = world();
  await browser.ask((session) => session.clear());
  assert.equal(browser.cookie, null, "there was nothing to clear");
  await browser.ask((session) => session.set("a", 1).flash("f", 1));
  await browser.ask((session) => {
    const { data } = session;
    session.clear();
    assert.equal(session.isEmpty, true);
    assert.deepEqual(Object.keys(data), []);
    session.set("b", 2);
  });
  await browser.ask((session) => {
    assert.deepEqual([...session], [["b", 2]]);
    assert.equal(session.takeFlash("f"), undefined);
  });
});

test("js_set_default", async () => {
  const { browser } = await filled({ a: 0 });
  await browser.ask((session) => {
    assert.equal(session.setDefault("a", 7), 0);
    assert.equal(session.modified, false);
    const list = session.setDefault("list", []);
    list.push(1);
  });
  assert.deepEqual(await browser.ask((session) => session.get("list")), [1]);
});

test("js_session_key", async () => {
  const { browser } = world();
  await browser.ask((session) => {
    assert.equal(session.sessionKey, null);
    session.set("a", 1);
    assert.equal(session.sessionKey, null);
  });
  const session = await browser.load();
  assert.match(session.sessionKey, /^-\.([\w-]{22})\.\1\.[\w-]{22}$/);
  assert.throws(() => {
    session.sessionKey = "x";
  }, TypeError);
});

test("js_generate_session_id", () => {
  const ids = new Set(Array.from({ length: 100 }, () => SessionStore.generateSessionId()));
  assert.equal(ids.size, 100);
  for (const id of ids) assert.match(id, /^[\w-]{43}$/);
});

test("js_create", async () => {
  const { browser, memory } = await filled({ a: 1 });
  memory.resetOperations();
  let old;
  const key = await browser.ask((session) => {
    old = session.sessionKey;
    session.create();
    assert.notEqual(session.sessionKey, old);
    assert.equal(session.size, 0);
    assert.equal(session.isNew, true);
    session.set("b", 2);
    return session.sessionKey;
  });
  assert.equal(memory.operations.puts, 1);
  const session = await browser.load();
  assert.equal(session.sessionKey, key);
  assert.deepEqual([...session], [["b", 2]]);
  assert.equal(await session.exists(old), true, "the old one is left as it is");
});

test("js_exists", async () => {
  const { browser, memory } = world();
  const fresh = await browser.load();
  assert.equal(await fresh.exists(), false);
  assert.equal(memory.operations.reads, 0, "answered from memory");
  await browser.ask((session) => session.set("a", 1));
  const session = await browser.load();
  assert.equal(await session.exists(), true);
  assert.equal(await session.exists(session.sessionKey), true);
  assert.equal(await session.exists("not a key"), false);
  await session.destroy();
  assert.equal(await session.exists(), false);
});

test("js_delete", async () => {
  const { browser } = await filled({ a: 1 });
  const other = browser.clone();
  const admin = world().sessions.open();
  const { sessionKey } = await browser.load();
  await browser.ask(async (session) => {
    await session.delete();
    assert.equal(session.outcome, "loaded");
    assert.throws(() => session.set("a", 1), code("destroyed"));
  });
  assert.equal(browser.cookie, null);
  assert.equal((await other.load()).outcome, "revoked");
  for (const text of ["nonsense", sessionKey.slice(0, sessionKey.lastIndexOf(".")), `${sessionKey}A`]) {
    assert.equal(await admin.exists(text), false, text);
    await assert.rejects(admin.delete(text), code("not_found"), text);
  }
  await admin.delete(sessionKey);
});

test("js_delete_by_session_key", async () => {
  const { browser, sessions } = await filled({ a: 1 });
  const { sessionKey } = await browser.load();
  const admin = sessions.open();
  assert.equal(await admin.exists(sessionKey), true);
  await admin.delete(sessionKey);
  assert.equal(await admin.exists(sessionKey), false);
  assert.equal((await browser.load()).outcome, "revoked");
});

test("js_load", async () => {
  const { browser, memory, sessions } = await filled({ a: 1 });
  memory.resetOperations();
  const session = sessions.open(browser.request());
  for (const read of [() => session.get("a"), () => session.data, () => session.size, () => session.owner]) {
    assert.throws(read, code("not_loaded"));
  }
  assert.throws(() => session.set("a", 1), code("not_loaded"));
  assert.throws(() => session.create(), code("not_loaded"));
  assert.throws(() => session.bind("ada"), code("not_loaded"));
  await assert.rejects(session.save(), code("not_loaded"));
  assert.equal(await session.load(), "loaded");
  assert.equal(await session.load(), "loaded");
  assert.equal(session.get("a"), 1);
  assert.ok(memory.operations.reads <= 1);
  await session.load({ fresh: true });
  assert.ok(memory.operations.reads >= 1);
});

test("js_load_fresh_keeps_changes", async () => {
  const { browser } = await filled({ a: 1, b: 1 });
  const session = await browser.load();
  session.set("a", 2).data.mine = [1];
  await browser.ask((other) => other.set("b", 2).set("theirs", 1));
  await session.load({ fresh: true });
  assert.deepEqual([...session], [["a", 2], ["b", 2], ["theirs", 1], ["mine", [1]]]);
});

test("js_save", async () => {
  const { browser, memory, sessions } = world();
  const session = await browser.load();
  await session.save();
  assert.equal(memory.operations.puts, 0, "nothing to save");
  session.set("a", 1);
  await session.save();
  assert.equal(session.version, 1);
  assert.equal(session.isNew, false);
  assert.equal(session.modified, false);
  session.data.a = 2;
  const response = browser.keep(await sessions.commit(session, new Response("ok")));
  assert.equal(session.version, 2);
  assert.equal(response.headers.getSetCookie().length, 2);
  assert.equal((await browser.load()).get("a"), 2);
});

test("js_modified", async () => {
  const { browser, memory } = await filled({ a: 1, list: [{ x: 1, y: 2 }] });
  const { puts } = memory.operations;
  await browser.ask((session) => {
    assert.equal(session.modified, false);
    session.set("a", 1);
    session.set("list", [{ y: 2, x: 1 }]);
    assert.equal(session.modified, false, "equal values");
    session.set("a", 2);
    assert.equal(session.modified, true);
    session.modified = false;
    assert.equal(session.modified, false);
    session.set("a", 2);
    session.data.b = 1;
    assert.equal(session.modified, true);
    delete session.data.b;
    assert.equal(session.modified, false, "the same as what was left unsaved");
  });
  assert.equal(memory.operations.puts, puts);
  await browser.ask((session) => {
    session.modified = true;
    assert.equal(session.modified, true);
  });
  assert.equal(memory.operations.puts, puts + 1);
});

test("js_needs_update", async () => {
  const { browser, clock } = await filled({ a: 1 });
  await browser.ask((session) => {
    assert.equal(session.needsUpdate(), false);
    session.set("a", 2);
    assert.equal(session.needsUpdate(), true);
  });
  clock.advance(2 * 3600_000); // a twentieth of the idle time has passed, so the cookie is renewed
  await browser.ask((session) => {
    assert.equal(session.modified, false);
    assert.equal(session.needsUpdate(), true);
  });
});

test("js_expiry", async () => {
  const { browser, clock } = await filled({ a: 1 });
  await browser.ask((session) => {
    assert.equal(session.getExpiryAge(), 86_400);
    assert.deepEqual(session.idleExpiresAt, new Date(START + 86_400_000));
    assert.deepEqual(session.getExpiryDate(), session.idleExpiresAt);
    session.setExpiry(600);
    assert.equal(session.getExpiryAge(), 600);
    session.setExpiry(new Date(START + 700_000));
    assert.deepEqual(session.getExpiryDate(), new Date(START + 700_000));
    session.setExpiry({ idle: 300 });
    assert.equal(session.getExpiryAge(), 300);
    session.setExpiry(null);
    assert.equal(session.getExpiryAge(), 86_400);
    for (const bad of ["1", NaN, Infinity, new Date(NaN), {}, { idle: -1 }, { idle: NaN }, { idle: "5" }, true]) {
      assert.throws(() => session.setExpiry(bad), code("invalid_value"));
    }
    session.setExpiry(10 * 365 * 86_400);
    assert.equal(session.getExpiryAge(), 86_400, "the idle limit still comes first");
    session.setExpiry(600);
  });
  clock.advance(599_000);
  assert.equal((await browser.load()).getExpiryAge(), 1);
  clock.advance(1_000);
  const over = await browser.load();
  assert.equal(over.outcome, "expired");
  assert.equal(over.size, 0);
});

test("js_expiry_at_browser_close", async () => {
  const { browser } = await filled({ a: 1 });
  let before;
  const { response } = await browser.visit((session) => {
    before = session.sessionKey;
    assert.equal(session.expireAtBrowserClose, false);
    session.setExpiry(0);
    assert.equal(session.expireAtBrowserClose, true);
    assert.notEqual(session.sessionKey, before);
  });
  const [key] = response.headers.getSetCookie();
  assert.doesNotMatch(key, /Max-Age|Expires/);
});

test("js_cookies_are_bound_to_prefix_and_kind_of_store", async () => {
  const { browser, memory } = await filled({ a: 1 });
  const { cookie } = browser;
  const load = async (connector, settings) =>
    (await new Sessions(connector, { secret: SECRET, clock: memory.clock, ...settings }).load(cookie)).outcome;
  const passing = (kind) => ({
    kind,
    read: (keys) => memory.read(keys),
    put: (...args) => memory.put(...args),
    delete: (key) => memory.delete(key),
  });
  assert.equal(await load(memory), "loaded");
  assert.equal(await load(memory, { keyPrefix: "live:" }), "rejected");
  assert.equal(await load(passing(undefined)), "rejected");
  assert.equal(await load(passing("kv")), "rejected");
  assert.equal(await load(passing("memory")), "loaded", "a connector that passes on can say so");
  assert.throws(() => new Sessions(passing(7), { secret: SECRET }), code("missing_binding"));
});

test("js_two_cookie_names_under_one_prefix_warn_once", () => {
  const memory = new MemoryConnector();
  const warn = console.warn;
  const warned = [];
  console.warn = (line) => void warned.push(line);
  try {
    const make = (cookieName, more) => new Sessions(memory, { secret: SECRET, cookieName, ...more });
    make("__Host-shop");
    make("__Host-shop", { cookieAge: 60 });
    make("__Host-staff", { keyPrefix: "staff:" });
    assert.deepEqual(warned, []);
    make("__Host-staff");
    make("__Host-third");
    assert.equal(warned.length, 1);
    assert.match(warned[0], /__Host-staff.* and a keyPrefix with/);
    const silent = new MemoryConnector();
    for (const cookieName of ["a", "b"]) new Sessions(silent, { secret: SECRET, cookieName, disableWarnings: true });
    assert.equal(warned.length, 1);
  } finally {
    console.warn = warn;
  }
});

test("js_expiry_composes", async () => {
  const seconds = (from) => new Date(START + from * 1000);
  for (const [expiry, end, idle, closes] of [
    [{ idle: 1800, browserClose: true }, 1800, 1800, true],
    [{ end: 1200, idle: 1800, browserClose: true }, 1200, 1800, true],
    [{ end: seconds(200_000), idle: null }, 200_000, null, false],
    [{ end: 0, idle: null }, 604_800, null, true],
    [{ end: null, browserClose: true }, 86_400, 86_400, true],
    [{ end: 600, idle: undefined }, 600, 86_400, false],
    [{ end: 0.4, idle: 0.4 }, 1, 1, false],
    [{ browserClose: false }, 86_400, 86_400, false],
    [{ idle: 900, browserClose: false }, 900, 900, false],
  ]) {
    for (const expireAtBrowserClose of [false, true]) {
      const { browser } = world({ settings: { expireAtBrowserClose } });
      const facts = (session) => [session.getExpiryDate(), session.idleExpiresAt, session.expireAtBrowserClose];
      const expected = [seconds(end), idle === null ? null : seconds(idle), closes];
      await browser.ask((session) => session.set("a", 1));
      await browser.ask((session) => session.setExpiry({ end: 60, idle: 50, browserClose: true }));
      const { response } = await browser.visit((session) => {
        session.setExpiry(expiry);
        assert.deepEqual(facts(session), expected, JSON.stringify(expiry));
      });
      assert.deepEqual(facts(await browser.load()), expected, JSON.stringify(expiry));
      const key = response.headers.getSetCookie().find((line) => line.startsWith("__Host-session="));
      if (key) assert.equal(!key.includes("Max-Age"), closes, JSON.stringify(expiry));
    }
  }
});

test("js_what_is_no_expiry_is_named", async () => {
  const { browser } = await filled({ a: 1 });
  const session = await browser.load();
  for (const [bad, message] of [
    ["1", "an expiry must be a number of seconds, a Date, an object with end, idle and browserClose, or null for the default of the settings, not a string"],
    [NaN, "not NaN"],
    [new Date(NaN), "not an invalid Date"],
    [{}, "the expiry is empty; set end, idle or browserClose"],
    [[600], 'unknown member "0" in the expiry; use end, idle and browserClose'],
    [{ idel: 5 }, 'unknown member "idel" in the expiry'],
    [{ idle: 5, seconds: 5 }, 'unknown member "seconds" in the expiry'],
    [{ end: "1" }, "end must be a number of seconds or a Date, not a string"],
    [{ end: new Date(NaN) }, "end must be a number of seconds or a Date, not an invalid Date"],
    [{ idle: -1 }, "idle must be a number of seconds, 0 or more, or null for no limit, not -1"],
    [{ idle: "5" }, "not a string"],
    [{ idle: 5, browserClose: 1 }, "browserClose must be true or false, not 1"],
    [{ end: 0, browserClose: false }, "leave one of them out"],
    [new Map([["idle", 5]]), "the expiry is empty"],
  ]) {
    assert.throws(() => session.setExpiry(bad), (error) => error.code === "invalid_value" && error.message.includes(message), message);
  }
  assert.equal(session.modified, false);
});

test("js_expiry_of_a_fraction_is_never_nothing", async () => {
  const { browser, clock } = await filled({ a: 1 });
  const { response } = await browser.visit((session) => {
    session.setExpiry(0.4);
    assert.equal(session.expireAtBrowserClose, false);
    assert.equal(session.getExpiryAge(), 1);
  });
  assert.equal(response.status, 200);
  clock.advance(500);
  assert.equal((await browser.load()).getExpiryAge(), 1, "half a second is not over");
  clock.advance(500);
  assert.equal((await browser.load()).outcome, "expired");

  const over = await filled({ a: 1 });
  const refused = await over.browser.visit((session) => {
    session.setExpiry(-0.4);
    assert.ok(session.getExpiryAge() < 0);
  });
  assert.equal((await refused.response.json()).code, "expired");

  const idle = await filled({ a: 1 });
  await idle.browser.visit((session) => session.setExpiry({ idle: 0.9 }));
  assert.equal((await idle.browser.load()).getExpiryAge(), 1);
  idle.clock.advance(1_000);
  assert.equal((await idle.browser.load()).outcome, "expired");

  const never = await filled({ a: 1 });
  await never.browser.ask((session) => {
    session.setExpiry({ idle: null });
    assert.equal(session.idleExpiresAt, null);
  });
});

test("js_numbers_that_are_none_are_refused", async () => {
  const { browser, sessions, clock } = await filled({ a: 1 });
  await browser.ask((session) => session.bind("ada"));
  const session = await browser.load();
  clock.advance(3600_000);
  for (const bad of [undefined, null, NaN, Infinity, -1, "5m", "300", 300n, {}, new Date(9e15)]) {
    assert.throws(() => session.requireRecentAuth(bad), code("invalid_value"), String(bad));
  }
  assert.throws(() => session.requireRecentAuth(3599), code("reauth_required"));
  session.requireRecentAuth(3600.5);
  for (const bad of [NaN, Infinity, "5", null, 5n]) {
    assert.throws(() => new ManualClock(bad), code("invalid_value"), String(bad));
    assert.throws(() => clock.set(bad), code("invalid_value"), String(bad));
    assert.throws(() => clock.advance(bad), code("invalid_value"), String(bad));
  }
  for (const status of [NaN, "200", 0, 99, 600, 200.5, null]) {
    const open = sessions.open();
    await assert.rejects(sessions.commitHeaders(open, { status }), code("invalid_value"), String(status));
  }
  for (const setting of ["cookieAge", "idleTimeout", "maxRecordBytes", "maxDepth", "kvCacheTtl"]) {
    for (const bad of [NaN, Infinity, -1, 0.5, "5m"]) {
      assert.throws(() => world({ settings: { [setting]: bad } }), code("config"), `${setting}: ${bad}`);
    }
  }
});

test("js_a_clock_that_shows_no_number_is_refused", async () => {
  const { browser, memory } = await filled({ a: 1 });
  for (const now of [NaN, undefined, "now", new Date(), 5n]) {
    const sessions = new Sessions(memory, { secret: SECRET, clock: { now: () => now } });
    const load = async () => sessions.load(browser.cookie);
    await assert.rejects(load(), code("invalid_value"), String(now));
    await assert.rejects(async () => sessions.list("ada"), code("invalid_value"), String(now));
    await assert.rejects(async () => sessions.revokeAll("ada"), code("invalid_value"), String(now));
  }
});

test("js_expiry_negative_is_over", async () => {
  const { browser } = await filled({ a: 1 });
  const { response } = await browser.visit((session) => session.setExpiry(-1));
  assert.equal(response.status, 409);
  assert.equal((await response.json()).code, "expired");
});

test("js_missing_or_wrong_binding", () => {
  const secret = SECRET;
  const wrong = [
    [undefined, /is not bound/],
    [null, /is not bound/],
    ["a variable", /is a string/],
    [{}, /no method read/],
    [{ read() {}, put() {} }, /no method delete/],
    [{ get() {}, put() {}, delete() {} }, /no method list/],
  ];
  for (const [connector, words] of wrong) {
    assert.throws(() => new Sessions(connector, { secret }), (error) => code("missing_binding")(error) && words.test(error.message));
    if (typeof connector === "object" && connector && !("get" in connector)) continue;
    assert.throws(
      () => Sessions.fromEnv({ SESSIONS: connector, SESSION_SECRET: secret }),
      (error) => code("missing_binding")(error) && error.message.startsWith("SESSIONS ") && words.test(error.message),
    );
  }
  const memory = new MemoryConnector();
  assert.throws(() => new Sessions(memory), code("config"));
  assert.throws(() => new Sessions(memory, {}), code("missing_binding"));
  assert.throws(() => Sessions.fromEnv({ SESSIONS: memory }), (error) => /SESSION_SECRET/.test(error.message));
  assert.throws(() => new Sessions(memory, { secret: "short" }), code("config"));
  assert.throws(() => new Sessions(memory, { secret, cookieAges: 1 }), /did you mean cookieAge\?/);
  assert.throws(() => new Sessions(memory, { secret, cookieAge: "x" }), code("config"));
  assert.throws(() => new Sessions(memory, { secret, cookieName: null }), code("config"));
  assert.throws(() => new Sessions(memory, { secret, cookieDomain: "example.com" }), code("config"));
});

test("js_cycle_key", async () => {
  const { browser } = await filled({ a: 1 });
  const old = browser.clone();
  const before = (await browser.load()).sessionKey;
  const after = await browser.ask((session) => {
    session.cycleKey();
    return session.sessionKey;
  });
  assert.notEqual(after, before);
  assert.equal(after.split(".")[1], before.split(".")[1], "the lineage stays");
  assert.deepEqual([...(await browser.load())], [["a", 1]]);
  const stale = await old.load();
  assert.equal(stale.outcome, "rotated");
  assert.equal(stale.get("a"), 1);
  stale.set("a", 2);
  await assert.rejects(stale.save(), code("rotated"));
});

test("js_destroy", async () => {
  const { browser } = await filled({ a: 1 });
  const thief = browser.clone();
  const { response } = await browser.visit(async (session) => {
    await session.destroy();
    assert.equal(session.size, 0);
    assert.throws(() => session.set("a", 1), code("destroyed"));
    return new Response("bye", { status: 200 });
  });
  assert.ok(response.headers.getSetCookie().every((cookie) => cookie.includes("Max-Age=0")));
  assert.equal(browser.cookie, null);
  assert.equal((await thief.load()).outcome, "revoked");
});

test("js_flush", async () => {
  const { browser } = await filled({ theme: "dark", user: "ada" });
  const thief = browser.clone();
  await browser.ask(async (session) => {
    session.set("lang", "fr");
    await session.flush({ keep: ["theme", "lang", "none"] });
    assert.deepEqual([...session], [["theme", "dark"], ["lang", "fr"]]);
    assert.equal(session.isNew, true);
  });
  assert.deepEqual([...(await browser.load())], [["theme", "dark"], ["lang", "fr"]]);
  assert.equal((await thief.load()).outcome, "revoked");
  await browser.ask((session) => session.flush());
  assert.equal(browser.cookie, null);
});

test("js_options_that_would_be_ignored_are_refused", async () => {
  const { browser, sessions } = await filled({ theme: "dark" });
  const key = browser.cookie;
  const session = await browser.load();
  const calls = {
    "bind has no option keeep; it takes keep": () => session.bind("ada", { keeep: false }),
    "bind: the options must be an object, not a boolean": () => session.bind("ada", false),
    "load has no option fresch; it takes fresh": () => session.load({ fresch: true }),
    "load: the options must be an object, not a boolean": () => sessions.load(key, true),
    "list has no option limit; it takes ctx": () => sessions.list("ada", { limit: 5 }),
    "revoke has no option context; it takes ctx": () => sessions.revoke("ada", session.sessionKey, { context: {} }),
    "revokeAll has no option exept; it takes except and ctx": () => sessions.revokeAll("ada", { exept: session.sessionKey }),
    "revokeAll: the options must be an object, not a string": () => sessions.revokeAll("ada", session.sessionKey),
    "commitHeaders has no option stauts; it takes status and ctx": () => sessions.commitHeaders(session, { stauts: 500 }),
  };
  for (const [message, call] of Object.entries(calls)) {
    await assert.rejects(async () => call(), (error) => code("invalid_value")(error) && error.message === message, message);
  }
  assert.equal(session.owner, null);
  assert.equal(await session.load({ fresh: undefined, more: undefined }), "loaded");
  // A logout is carried out all the same, and keeps nothing.
  for (const options of [{ keep: "theme" }, { kep: ["theme"] }, { keep: 5 }, null, "theme"]) {
    const { browser } = await filled({ theme: "dark" });
    const session = await browser.load();
    await assert.rejects(session.flush(options), (error) => options?.keep === 5 || code("invalid_value")(error));
    assert.deepEqual([session.size, (await browser.load()).outcome], [0, "revoked"]);
  }
});

test("js_flush_and_destroy_leave_nothing_of_what_was_not_saved", async () => {
  for (const end of [(session) => session.flush(), (session) => session.flush({ keep: ["theme"] })]) {
    const { browser } = await filled({ theme: "dark", cart: [1] });
    await browser.ask(async (session) => {
      const { data } = session;
      session.set("note", "private").flash("notice", 1);
      data.more = { private: true };
      data.cart.push(2);
      await end(session);
      assert.deepEqual(Object.keys(data), [...session.keys()]);
      session.set("after", 1);
    });
    const left = await browser.load();
    assert.ok([...left.keys()].every((key) => ["theme", "after"].includes(key)), String([...left.keys()]));
    assert.equal(left.takeFlash("notice"), undefined);
  }
  const { browser } = await filled({ a: 1 });
  await browser.ask(async (session) => {
    const { data } = session;
    session.set("note", "private");
    await session.destroy();
    assert.equal(session.size, 0);
    assert.deepEqual(Object.keys(data), []);
  });
  assert.equal(browser.cookie, null);
  // Ending another session does not affect this one.
  const one = await filled({ a: 1 });
  const session = await one.browser.load();
  session.set("b", 2);
  const other = await filled({ c: 3 });
  await session.delete((await other.browser.load()).sessionKey);
  assert.deepEqual([...session], [["a", 1], ["b", 2]]);
});

test("js_flush_ends_the_session_whatever_the_data", async () => {
  const { browser } = await filled({ a: 1 });
  const thief = browser.clone();
  await browser.ask(async (session) => {
    session.data.bad = 1n;
    await assert.rejects(session.flush({ keep: ["bad"] }), code("invalid_value"));
    delete session.data.bad;
  });
  assert.equal((await thief.load()).outcome, "revoked");
});

test("js_bind_owner_auth_time", async () => {
  const { browser, clock, sessions } = await filled({ cart: [1] });
  const before = (await browser.load()).sessionKey;
  await browser.ask((session) => {
    assert.equal(session.owner, null);
    assert.throws(() => session.requireRecentAuth(60), code("reauth_required"));
    session.bind("ada");
    assert.equal(session.owner, "ada");
    session.requireRecentAuth(60);
  });
  const session = await browser.load();
  assert.notEqual(session.sessionKey.split(".")[1], before.split(".")[1]);
  assert.equal(session.owner, "ada");
  assert.deepEqual(session.authTime, new Date(START));
  assert.deepEqual([...session], [["cart", [1]]], "kept from the anonymous session");
  clock.advance(61_000);
  assert.throws(() => session.requireRecentAuth(60), code("reauth_required"));
  await browser.ask((session) => session.bind("bob"));
  assert.equal((await browser.load()).size, 0, "not another user's");
  await browser.ask((session) => session.set("x", 1));
  await browser.ask((session) => session.bind("bob", { keep: false }));
  assert.equal((await browser.load()).size, 0);
  for (const owner of ["", "x".repeat(1025), "\ud800", 7, undefined, null]) {
    const session = await browser.load();
    assert.throws(() => session.bind(owner), code("invalid_value"));
    // So a visitor who is not logged in has no sessions to list or to end.
    await assert.rejects(sessions.list(owner), code("invalid_value"));
    await assert.rejects(sessions.revoke(owner, session.sessionKey), code("invalid_value"));
    await assert.rejects(sessions.revokeAll(owner), code("invalid_value"));
  }
});

test("js_reauthenticate", async () => {
  const { browser, clock } = await filled({ a: 1 });
  const refused = await browser.load();
  assert.throws(() => refused.reauthenticate(), code("reauth_required"));
  await browser.ask((session) => session.bind("ada"));
  await browser.ask((session) => session.setExpiry({ idle: 7200 }));
  const old = browser.clone();
  const before = (await browser.load()).sessionKey;
  clock.advance(3_600_000);
  await browser.ask((session) => {
    assert.throws(() => session.requireRecentAuth(60), code("reauth_required"));
    session.reauthenticate();
    assert.deepEqual(session.authTime, new Date(START + 3_600_000));
    session.requireRecentAuth(0);
  });
  const session = await browser.load();
  assert.notEqual(session.sessionKey, before);
  assert.equal(session.sessionKey.split(".")[1], before.split(".")[1], "the lineage stays");
  assert.equal(session.owner, "ada");
  assert.deepEqual(session.authTime, new Date(START + 3_600_000));
  assert.deepEqual(session.idleExpiresAt, new Date(START + 3_600_000 + 7_200_000), "the expiry stays");
  assert.deepEqual([...session], [["a", 1]]);
  const rotated = await old.load();
  assert.equal(rotated.outcome, "rotated");
  assert.throws(() => rotated.reauthenticate(), code("rotated"));
});

test("js_a_login_keeps_the_expiry_with_the_data", async () => {
  const facts = (session) => [session.getExpiryDate(), session.idleExpiresAt, session.expireAtBrowserClose];
  for (const expiry of [600, { idle: 300 }, 0]) {
    const plain = world().browser;
    await plain.ask((session) => void (session.set("a", 1), session.setExpiry(expiry)));
    const expected = facts(await plain.load());
    for (const owner of [undefined, "ada"]) {
      // Before the login in the same request, in a request before it, and after it.
      for (const order of ["together", "earlier", "after"]) {
        const { browser } = await filled({ a: 1 });
        if (owner) await browser.ask((session) => session.bind(owner));
        if (order === "earlier") await browser.ask((session) => session.setExpiry(expiry));
        await browser.ask((session) => {
          if (order === "together") session.setExpiry(expiry);
          session.bind("ada");
          if (order === "after") session.setExpiry(expiry);
          assert.deepEqual(facts(session), expected, `${JSON.stringify(expiry)}, ${owner}, ${order}`);
        });
        assert.deepEqual(facts(await browser.load()), expected, `${JSON.stringify(expiry)}, ${owner}, ${order}`);
      }
      const { browser } = await filled({ a: 1 });
      if (owner) await browser.ask((session) => session.bind(owner));
      const other = facts(await browser.load());
      await browser.ask((session) => session.setExpiry(expiry));
      await browser.ask((session) => session.bind("ada", { keep: false }));
      assert.deepEqual(facts(await browser.load()), other, "without the data");
    }
  }
});

test("js_what_is_known", async () => {
  const { browser, sessions } = world();
  await browser.ask((session) => {
    assert.equal(session.accessed, false);
    assert.equal(session.outcome, "new");
    assert.equal(session.accessed, true);
    assert.equal(session.isNew, true);
    assert.equal(session.version, 0);
    assert.equal(session.createdAt, null);
    assert.equal(session.isEmpty, true);
    session.set("a", 1);
  });
  const session = await browser.load();
  assert.equal(session.outcome, "loaded");
  assert.equal(session.isNew, false);
  assert.equal(session.version, 1);
  assert.deepEqual(session.createdAt, new Date(START));
  assert.equal(sessions.stalenessBound, 102);
});

test("js_every_look_marks_the_answer", async () => {
  // `accessed` itself does not count, and `modified` only reports what other calls have changed.
  const silent = ["constructor", "accessed", "modified"];
  const calls = {
    toString: (session) => `${session}`,
    [Symbol.iterator]: (session) => [...session],
    [inspect.custom]: (session) => inspect(session),
  };
  // Arguments for every method, so that none is refused because of them.
  const parameters = {
    update: [{ b: 1 }],
    set: ["b", 1],
    setDefault: ["b", 1],
    flash: ["note", 1],
    bind: ["ada"],
    requireRecentAuth: [60],
  };
  const prototype = SessionStore.prototype;
  const members = Reflect.ownKeys(prototype).filter((name) => !silent.includes(name) && name !== Symbol.toStringTag);
  const look = (session, name) => {
    if (calls[name]) return calls[name](session);
    const { value } = Object.getOwnPropertyDescriptor(prototype, name);
    return value ? session[name](...(parameters[name] ?? [])) : session[name];
  };
  const assertMarked = async (handle, request, name) => {
    const { headers } = await handle(request, null, async (session) => {
      try {
        await look(session, name);
      } catch (error) {
        if (!(error instanceof SessionError)) throw error;
      }
      return new Response("ok");
    });
    assert.equal(headers.get("cache-control"), "no-store", String(name));
    assert.equal(headers.get("vary"), "Cookie", String(name));
  };
  for (const known of [false, true]) {
    for (const name of members) {
      const { browser, sessions } = world();
      if (known) await browser.ask((session) => session.set("a", 1));
      await assertMarked(sessions.handle.bind(sessions), browser.request(), name);
    }
    for (const name of ["load", "exists", "destroy", "flush", "delete"]) {
      const { browser, sessions } = world();
      if (known) await browser.ask((session) => session.set("a", 1));
      await assertMarked(sessions.handleLazy.bind(sessions), browser.request(), name);
    }
  }
});

test("js_flash", async () => {
  const { browser } = world();
  await browser.ask((session) => {
    session.flash("notice", { text: "saved" });
    assert.throws(() => session.flash("bad", () => {}), code("invalid_value"));
  });
  await browser.ask((session) => {
    assert.equal(session.size, 0);
    assert.equal(session.isEmpty, false);
    assert.deepEqual(session.takeFlash("notice"), { text: "saved" });
    assert.equal(session.takeFlash("notice"), undefined);
  });
  assert.equal(await browser.ask((session) => session.takeFlash("notice")), undefined);
});

test("js_csrf", async () => {
  const { browser } = world();
  const token = await browser.ask((session) => session.csrfToken());
  await browser.ask((session) => {
    session.verifyCsrf(token);
    session.verifyCsrf(session.csrfToken());
    assert.throws(() => session.verifyCsrf("forged"), code("invalid_value"));
    // The value of a form without the field, or with a file in it.
    for (const field of [new FormData().get("csrf"), undefined, "", new File([token], token)]) {
      assert.throws(() => session.verifyCsrf(field), code("invalid_value"));
    }
  });
});

test("js_list_revoke_revoke_all", async () => {
  const { browser, sessions, clock } = world();
  const phone = browser.clone();
  for (const one of [browser, phone]) {
    await one.ask((session) => session.bind("ada"), { headers: { "user-agent": "Browser/1" } });
    clock.advance(1000);
  }
  const list = await sessions.list("ada");
  assert.equal(list.length, 2);
  assert.equal(list[0].key, (await phone.load()).sessionKey);
  assert.equal(list[0].userAgent, "Browser/1");
  assert.ok(list[0].lastWritten > list[1].lastWritten);
  await assert.rejects(sessions.revoke("bob", list[0].key), code("not_found"));
  await sessions.revoke("ada", list[0].key);
  assert.equal((await phone.load()).outcome, "revoked");
  assert.equal((await browser.load()).outcome, "loaded");
  await sessions.revokeAll("ada", { except: list[1].key });
  assert.equal((await browser.load()).outcome, "loaded");
  await sessions.revokeAll("ada");
  assert.equal((await browser.load()).outcome, "revoked");
  assert.deepEqual(await sessions.list("ada"), []);
});
