// A session from the first write to its end, over HTTP, with its costs.

import assert from "node:assert/strict";
import { after, before, beforeEach, describe, test } from "node:test";

import { parseSetCookie } from "./support/harness.mjs";
import {
  COOKIE,
  COOKIE_AGE,
  FRESH,
  IDLE_TIMEOUT,
  NO_OPERATIONS,
  SEEN,
  W,
  browserWith,
  expectAnonymous,
  expectProblem,
  expectSession,
  keyParts,
  startSessions,
} from "./support/sessions.mjs";

let world;

before(async () => {
  world = await startSessions();
});
beforeEach(async () => {
  await world.reset();
  await world.freeze();
});
after(() => world.stop());

/** A marker outlives its session by five minutes; a fraction of a second is rounded up. */
function expectMarkerTtl({ ttl }, left) {
  assert.ok(ttl >= left + 300 && ttl <= left + 301, `${ttl} for ${left}`);
}

const iso = (seconds) => new Date(world.now() + seconds * 1000).toISOString();

describe("data", () => {
  test("what is put is got back, with the session's own words around it", async () => {
    const cart = { items: [{ id: 7, n: 2 }], note: "ünïcode \u0000 \ud83d\ude00", total: 12.5 };
    const browser = world.browser();
    const put = browser.send("PUT", "/api/session/data/cart", cart);
    const session = await expectSession(put, {
      isNew: false,
      data: { cart },
      owner: null,
      createdAt: iso(0),
      // Whichever limit comes first.
      expiresAt: iso(IDLE_TIMEOUT),
      idleExpiresAt: iso(IDLE_TIMEOUT),
    });
    keyParts(session.key);

    const got = await browser.fetch("/api/session/data/cart");
    assert.equal(got.status, 200);
    assert.deepEqual(got.json, cart);
    await expectSession(browser.fetch("/api/session"), {
      key: session.key,
      isNew: false,
      data: { cart },
      version: session.version,
      createdAt: session.createdAt,
    });
    assert.deepEqual(browser.refused, []);
  });

  test("every JSON value is a value, the falsy ones too", async () => {
    const browser = world.browser();
    for (const value of [0, -0.5, 1e21, "", false, true, null, [], {}, [[]], "null"]) {
      await expectSession(browser.send("PUT", "/api/session/data/v", value));
      const got = await browser.fetch("/api/session/data/v");
      assert.equal(got.status, 200);
      assert.deepEqual(got.json, value);
    }
  });

  test("a key is any text, percent-decoded once", async () => {
    const browser = world.browser();
    const keys = ["a/b%20c", "ü", "__proto__", "constructor", "a.b", " ", "?#"];
    for (const key of keys) {
      const path = `/api/session/data/${encodeURIComponent(key)}`;
      await expectSession(browser.send("PUT", path, `value of ${key}`));
      assert.equal((await browser.fetch(path)).json, `value of ${key}`);
    }
    // As text, because a parsed object would hide `__proto__`.
    const { text } = await browser.fetch("/api/session");
    for (const key of keys) assert.ok(text.includes(`${JSON.stringify(key)}:`), `${key} in ${text}`);
  });

  test("keys keep the order in which they came", async () => {
    const browser = await browserWith(world, { b: 1, a: 2 });
    await browser.send("PUT", "/api/session/data/c", 3);
    await browser.send("PUT", "/api/session/data/b", 4);
    const { json } = await browser.fetch("/api/session");
    assert.deepEqual(Object.entries(json.data), [["b", 4], ["a", 2], ["c", 3]]);
  });

  test("update adds and replaces, and leaves the rest", async () => {
    const browser = await browserWith(world, { a: 1, b: 2 });
    const answer = browser.send("PATCH", "/api/session/data", { b: 3, c: 4 });
    await expectSession(answer, { data: { a: 1, b: 3, c: 4 } });
  });

  test("an update that holds something illegal changes nothing", async () => {
    const browser = await browserWith(world, { a: 1 });
    const answer = browser.send("PATCH", "/api/session/data", { a: 2, ["k".repeat(257)]: 3 });
    await expectProblem(answer, 413, "too_large");
    await expectSession(browser.fetch("/api/session"), { data: { a: 1 } });
  });

  test("a removed key is gone, and removing an absent one succeeds", async () => {
    const browser = await browserWith(world, { a: 1, b: 2 });
    for (let i = 0; i < 2; i += 1) {
      const answer = await browser.fetch("/api/session/data/a", { method: "DELETE" });
      assert.equal(answer.status, 204);
      assert.equal(answer.text, "");
    }
    await expectProblem(browser.fetch("/api/session/data/a"), 404, "not_found");
    await expectSession(browser.fetch("/api/session"), { data: { b: 2 } });
  });

  test("clear empties the session and keeps it", async () => {
    const browser = await browserWith(world, { a: 1, b: 2 });
    const { key } = (await browser.fetch("/api/session")).json;
    const cleared = await browser.fetch("/api/session/data", { method: "DELETE" });
    assert.equal(cleared.status, 204);
    await expectSession(browser.fetch("/api/session"), { key, data: {} });
  });

  test("pop gives a value once", async () => {
    const browser = await browserWith(world, { a: null, b: [1] });
    const pop = (key) => browser.fetch(`/api/session/data/${key}/pop`, { method: "POST" });
    for (const [key, value] of [["b", [1]], ["a", null]]) {
      const popped = await pop(key);
      assert.equal(popped.status, 200);
      assert.deepEqual(popped.json, value);
      await expectProblem(pop(key), 404, "missing_key");
    }
    await expectSession(browser.fetch("/api/session"), { data: {} });
  });

  test("a flash is among no values, and is taken once", async () => {
    const browser = world.browser();
    const take = (key) => browser.fetch(`/api/session/flash/${key}/take`, { method: "POST" });
    await expectProblem(take("notice"), 404, "not_found");
    assert.equal(browser.cookieHeader("/") ?? "", "");
    for (const value of ["Saved.", null, { a: [1] }]) {
      await expectSession(browser.send("PUT", "/api/session/flash/notice", value), { data: {} });
      const taken = await take("notice");
      assert.equal(taken.status, 200);
      assert.deepEqual(taken.json, value);
      await expectProblem(take("notice"), 404, "not_found");
    }
  });

  test("two browsers have two sessions", async () => {
    const one = await browserWith(world, { who: "one" });
    const two = await browserWith(world, { who: "two" });
    await expectSession(one.fetch("/api/session"), { data: { who: "one" } });
    await expectSession(two.fetch("/api/session"), { data: { who: "two" } });
  });
});

describe("cookies", () => {
  test("all of them are Secure, HttpOnly, SameSite=Lax, Path=/ and have no Domain", async () => {
    const browser = await browserWith(world, { a: 1 });
    await world.advance(IDLE_TIMEOUT / 2);
    await expectSession(browser.fetch("/api/session"));
    await browser.fetch("/api/session", { method: "DELETE" });

    const seen = new Map();
    for (const line of browser.received) {
      const { name, value, attributes } = parseSetCookie(line);
      const { "max-age": maxAge, expires, ...rest } = attributes;
      // For clients without Max-Age. It must agree with it.
      const removal = maxAge === "0";
      assert.equal(expires, removal ? "Thu, 01 Jan 1970 00:00:00 GMT" : undefined, line);
      assert.equal(value === "", removal, line);
      assert.deepEqual(rest, { secure: true, httponly: true, samesite: "Lax", path: "/" }, line);
      seen.set(name, [...(seen.get(name) ?? []), { value, maxAge }]);
    }
    assert.deepEqual([...seen.keys()].sort(), [COOKIE, FRESH, SEEN]);
    assert.equal(seen.get(COOKIE)[0].maxAge, String(COOKIE_AGE), "the hard end");
    assert.equal(seen.get(FRESH)[0].maxAge, String(W), "W");
    assert.deepEqual(seen.get(COOKIE).at(-1), { value: "", maxAge: "0" }, "the removal");
    assert.deepEqual(browser.refused, []);
    assert.deepEqual(browser.names, []);
  });

  test("are no longer than they are allowed to be", async () => {
    const browser = await browserWith(world, { a: "x".repeat(20_000) });
    assert.ok(browser.get(COOKIE).value.length <= 200);
    assert.ok(browser.get(FRESH).value.length <= 3_600);
    await world.advance(IDLE_TIMEOUT / 2);
    await expectSession(browser.fetch("/api/session"));
    assert.ok(browser.get(SEEN).value.length <= 90);
  });

  test("a read sets none", async () => {
    const browser = await browserWith(world, { a: 1 });
    for (const path of ["/api/session", "/api/session/data/a"]) {
      assert.deepEqual((await browser.fetch(path)).setCookies, [], path);
    }
  });

  test("each answer about a session is for one browser and no cache", async () => {
    const browser = await browserWith(world, { a: 1 });
    for (const [method, path, body] of [
      ["GET", "/api/session"],
      ["GET", "/api/session/data/a"],
      ["GET", "/api/session/data/none"],
      ["PUT", "/api/session/data/a", 2],
      ["POST", "/api/session/data/none/pop"],
      ["POST", "/api/session/cycle"],
      ["DELETE", "/api/session/data/a"],
      ["DELETE", "/api/session"],
      ["GET", "/api/session"],
    ]) {
      const { headers } = await browser.send(method, path, body);
      assert.match(headers["cache-control"], /\bno-store\b/, `${method} ${path}`);
      assert.match(headers.vary ?? "", /\bcookie\b/i, `${method} ${path}`);
    }
  });
});

describe("cost", () => {
  const cost = async (action) => (await world.storage.counted(action)).counts;

  test("no cookie: nothing", async () => {
    const browser = world.browser();
    const counts = await cost(async () => {
      await expectAnonymous(browser.fetch("/api/session"));
      await expectProblem(browser.fetch("/api/session/data/a"), 404, "not_found");
      const removed = await browser.fetch("/api/session/data/a", { method: "DELETE" });
      assert.equal(removed.status, 204);
      assert.deepEqual(removed.setCookies, []);
      await expectProblem(
        browser.fetch("/api/session/data/a/pop", { method: "POST" }), 404, "missing_key",
      );
    });
    assert.deepEqual(counts, NO_OPERATIONS);
  });

  test("the first write: one put, and no read before it", async () => {
    const browser = world.browser();
    const counts = await cost(() =>
      expectSession(browser.send("PUT", "/api/session/data/a", 1)),
    );
    assert.deepEqual(counts, { ...NO_OPERATIONS, puts: 1 });
  });

  test("a read: one bulk read of record and marker", async () => {
    const browser = await browserWith(world, { a: 1 });
    const { key } = (await browser.fetch("/api/session")).json;
    await world.advance(W);
    const { counts, log } = await world.storage.counted(() => browser.fetch("/api/session"));
    assert.deepEqual(counts, { ...NO_OPERATIONS, reads: 1, keysRead: 2 });
    assert.deepEqual([...log[0].keys].sort(), [`k.${keyParts(key).derived}`, keyParts(key).record]);
    assert.equal(Number(log[0].cacheTtl), 30);
  });

  test("a write to a session: one read and one put", async () => {
    const browser = await browserWith(world, { a: 1 });
    await world.advance(W);
    const counts = await cost(() =>
      expectSession(browser.send("PUT", "/api/session/data/b", 2), { data: { a: 1, b: 2 } }),
    );
    assert.deepEqual(counts, { ...NO_OPERATIONS, reads: 1, keysRead: 2, puts: 1 });
  });

  test("setting an equal value: one read", async () => {
    const browser = await browserWith(world, { a: { b: [1, 2] } });
    await world.advance(W);
    const { result, counts } = await world.storage.counted(() =>
      browser.send("PUT", "/api/session/data/a", { b: [1, 2] }),
    );
    assert.deepEqual(result.setCookies, []);
    assert.deepEqual(counts, { ...NO_OPERATIONS, reads: 1, keysRead: 2 });
  });

  test("idle time slides in a cookie, not by a write", async () => {
    const browser = await browserWith(world, { a: 1 });
    await world.advance(IDLE_TIMEOUT / 2);
    const { result, counts } = await world.storage.counted(() => browser.fetch("/api/session"));
    assert.deepEqual(result.setCookies.map((line) => parseSetCookie(line).name), [SEEN]);
    assert.deepEqual(counts, { ...NO_OPERATIONS, reads: 1, keysRead: 2 });
  });

  test("a rotation: the load, and two puts; a read after it: one key more", async () => {
    const browser = await browserWith(world, { a: 1 });
    await world.advance(W);
    const counts = await cost(() =>
      expectSession(browser.fetch("/api/session/cycle", { method: "POST" })),
    );
    assert.deepEqual(counts, { ...NO_OPERATIONS, reads: 1, keysRead: 2, puts: 2 });
    await world.advance(W);
    assert.deepEqual(await cost(() => expectSession(browser.fetch("/api/session"))), {
      ...NO_OPERATIONS, reads: 1, keysRead: 3,
    });
  });

  test("destroy: the load, and two puts", async () => {
    const browser = await browserWith(world, { a: 1 });
    await world.advance(W);
    const counts = await cost(() => browser.fetch("/api/session", { method: "DELETE" }));
    assert.deepEqual(counts, { ...NO_OPERATIONS, reads: 1, keysRead: 2, puts: 2 });
  });

  test("destroy without a session: nothing", async () => {
    const browser = world.browser();
    const { result, counts } = await world.storage.counted(() =>
      browser.fetch("/api/session", { method: "DELETE" }),
    );
    assert.equal(result.status, 204);
    assert.deepEqual(counts, NO_OPERATIONS);
  });
});

describe("what is stored", () => {
  test("one sealed record, until the hard end, under the public key", async () => {
    const browser = world.browser();
    const put = browser.send("PUT", "/api/session/data/cart", "plain words");
    const { key } = await expectSession(put);
    const stored = await world.storage.dump();
    assert.deepEqual(Object.keys(stored), [keyParts(key).record]);
    const [record] = Object.values(stored);
    assert.equal(record.ttl, COOKIE_AGE);
    const text = JSON.stringify(stored);
    assert.ok(!text.includes("plain words") && !text.includes("cart"), "sealed");
    assert.match(record.value, /^[\w-]+$/, "KV's bulk read answers text only");
  });

  test("nothing that opens it: no part of the key cookie's token", async () => {
    const browser = await browserWith(world, { a: 1 });
    const { text } = await browser.fetch("/api/session");
    await browser.fetch("/api/session/cycle", { method: "POST" });
    const stored = JSON.stringify(await world.storage.dump());
    const lines = browser.received.filter((line) => line.startsWith(`${COOKIE}=`));
    assert.ok(lines.length >= 2, "one of the first save and one of the rotation");
    for (const line of lines) {
      // Format, key id, kind; then the token's 32 bytes, at every alignment of base64url.
      const token = Buffer.from(parseSetCookie(line).value, "base64url").subarray(6, 38);
      assert.equal(token.length, 32);
      for (let from = 0; from <= 16; from += 1) {
        const part = token.subarray(from, from + 16).toString("base64url").slice(0, 20);
        assert.ok(!stored.includes(part) && !text.includes(part), "a part of the token");
      }
    }
  });
});

describe("expiry", () => {
  const setExpiry = (browser, value) => browser.send("PUT", "/api/session/expiry", value);

  test("a number of seconds is the end of this session", async () => {
    const browser = await browserWith(world, { a: 1 });
    await expectSession(setExpiry(browser, { seconds: 3600 }), { expiresAt: iso(3600) });
    await world.advance(3599);
    await expectSession(browser.fetch("/api/session"), { data: { a: 1 } });
    await world.advance(1);
    await expectAnonymous(browser.fetch("/api/session"));
  });

  test("so is a date", async () => {
    const browser = await browserWith(world, { a: 1 });
    const date = iso(7200);
    await expectSession(setExpiry(browser, { date }), { expiresAt: date });
    await world.advance(7199);
    await expectSession(browser.fetch("/api/session"), { data: { a: 1 } });
    await world.advance(1);
    await expectAnonymous(browser.fetch("/api/session"));
  });

  test("an idle time ends an unused session", async () => {
    const browser = await browserWith(world, { a: 1 });
    await expectSession(setExpiry(browser, { idle: 3600 }), { idleExpiresAt: iso(3600) });
    for (let i = 0; i < 4; i += 1) {
      await world.advance(3000);
      await expectSession(browser.fetch("/api/session"), { idleExpiresAt: iso(3600) });
    }
    await world.advance(3600);
    await expectAnonymous(browser.fetch("/api/session"));
  });

  test("nothing takes it back to the default", async () => {
    const browser = await browserWith(world, { a: 1 });
    await expectSession(setExpiry(browser, { seconds: 60 }), { expiresAt: iso(60) });
    await expectSession(setExpiry(browser, {}), { expiresAt: iso(IDLE_TIMEOUT) });
    await world.advance(3600);
    await expectSession(browser.fetch("/api/session"), { data: { a: 1 } });
  });

  test("0 is the closing of the browser", async () => {
    const browser = await browserWith(world, { a: 1 });
    await expectSession(setExpiry(browser, { seconds: 0 }), { data: { a: 1 } });
    assert.equal(browser.get(COOKIE).attributes["max-age"], undefined);
    await expectSession(browser.fetch("/api/session"), { data: { a: 1 } });
    browser.close();
    await expectAnonymous(browser.fetch("/api/session"));
  });

  test("the hard end of a session does not move", async () => {
    const browser = await browserWith(world, { a: 1 });
    const { createdAt } = (await browser.fetch("/api/session")).json;
    const end = iso(COOKIE_AGE);
    for (let day = 1; day < 7; day += 1) {
      await world.advance(86_399);
      await expectSession(browser.send("PUT", "/api/session/data/day", day), { createdAt });
      if (day === 3) await expectSession(browser.fetch("/api/session/cycle", { method: "POST" }));
      if (day === 4) await expectSession(setExpiry(browser, { seconds: COOKIE_AGE }));
      if (day === 5) await expectSession(setExpiry(browser, { idle: COOKIE_AGE }));
    }
    const { key } = await expectSession(browser.fetch("/api/session"), { expiresAt: end });
    const { ttl } = (await world.storage.dump())[keyParts(key).record];
    assert.equal(ttl * 1000, Date.parse(end) - world.now());

    // The cookie itself has expired, whatever its Max-Age was.
    const header = browser.cookieHeader("/");
    const load = () => world.fetch("/api/session", { headers: { Cookie: header } });
    const left = (Date.parse(end) - world.now()) / 1000;
    await world.advance(left - 1);
    await expectSession(load(), { data: { a: 1, day: 6 } });
    await world.advance(1);
    await expectAnonymous(load());
  });

  test("idle time: a week without a request is too long, and a stripped cookie ends it early", async () => {
    const browser = await browserWith(world, { a: 1 });
    await world.advance(IDLE_TIMEOUT - 1);
    await expectSession(browser.fetch("/api/session"), { idleExpiresAt: iso(IDLE_TIMEOUT) });
    const stripped = browser.clone();
    stripped.remove(SEEN);
    await world.advance(1);
    await expectAnonymous(stripped.fetch("/api/session"));
    await world.advance(IDLE_TIMEOUT - 2);
    await expectSession(browser.fetch("/api/session"), { data: { a: 1 } });
    await world.advance(IDLE_TIMEOUT);
    await expectAnonymous(browser.fetch("/api/session"));
  });

  test("a new session takes the place of an expired one", async () => {
    const browser = await browserWith(world, { a: 1 });
    const { key } = (await browser.fetch("/api/session")).json;
    await world.advance(IDLE_TIMEOUT);
    const put = browser.send("PUT", "/api/session/data/b", 2);
    const session = await expectSession(put, { data: { b: 2 } });
    assert.notEqual(keyParts(session.key).lineage, keyParts(key).lineage);
    await expectSession(browser.fetch("/api/session"), { key: session.key, data: { b: 2 } });
  });

  test("an end, an idle time and the browser's close go together", async () => {
    for (const [value, ends, idle, closes] of [
      [{ idle: 1800, browserClose: true }, 1800, 1800, true],
      [{ seconds: 1200, idle: 1800, browserClose: true }, 1200, 1800, true],
      [{ browserClose: true, idle: null, date: iso(200_000) }, 200_000, null, true],
      [{ seconds: 0, idle: 600 }, 600, 600, true],
      [{ idle: 900, browserClose: false }, 900, 900, false],
    ]) {
      const browser = await browserWith(world, { a: 1 });
      const expected = { expiresAt: iso(ends), idleExpiresAt: idle === null ? null : iso(idle) };
      await expectSession(setExpiry(browser, value), expected);
      await expectSession(browser.fetch("/api/session"), expected);
      browser.close();
      assert.equal(browser.names.includes(COOKIE), !closes, JSON.stringify(value));
      // One call replaces all three.
      const other = await browserWith(world, { a: 1 });
      await expectSession(setExpiry(other, value));
      await expectSession(setExpiry(other, { seconds: 60 }), { expiresAt: iso(60), idleExpiresAt: iso(IDLE_TIMEOUT) });
    }
  });

  test("a fraction of a second is never rounded to nothing", async () => {
    for (const [value, ends] of [[{ seconds: 0.4 }, 1], [{ seconds: 1.2 }, 2], [{ idle: 0.9 }, 1]]) {
      const browser = await browserWith(world, { a: 1 });
      await expectSession(setExpiry(browser, value), { expiresAt: iso(ends) });
    }
    const browser = await browserWith(world, { a: 1 });
    await expectProblem(setExpiry(browser, { seconds: -0.4 }), 409, "expired");
    await expectSession(setExpiry(browser, { idle: null }), { idleExpiresAt: null });
  });

  test("an illegal expiry is refused", async () => {
    const browser = await browserWith(world, { a: 1 });
    const before = await world.storage.dump();
    for (const value of [
      { seconds: "60" },
      { date: "tomorrow" },
      { date: 5 },
      { date: "5" },
      { date: "12/31/2030" },
      { date: "2030-02-29T12:00:00Z" },
      { date: "2030-12-31" },
      { idle: -1 },
      { idle: "60" },
      { idle: true },
      { second: 60 },
      { seconds: 60, date: "2030-01-31T12:00:00Z" },
      { idle: 60, browserClose: 1 },
      { browserClose: null },
      { seconds: 0, idle: 60, browserClose: false },
      { seconds: 60, idle: 60, until: 60 },
      [60],
      [60, null, null],
      60,
      null,
    ]) {
      const { status, json } = await setExpiry(browser, value);
      assert.equal(status, 422, JSON.stringify(value));
      assert.match(json.code, /^(invalid_value|wrong_type)$/);
    }
    assert.deepEqual(await world.storage.dump(), before);
  });
});

describe("cycle", () => {
  const cycle = (browser) => browser.fetch("/api/session/cycle", { method: "POST" });

  test("a new key, the same lineage, data and hard end", async () => {
    const browser = await browserWith(world, { a: 1 });
    const { json: old } = await browser.fetch("/api/session");
    const oldCookie = browser.get(COOKIE).value;
    await world.advance(1000);
    const session = await expectSession(cycle(browser), {
      data: { a: 1 }, createdAt: old.createdAt,
    });
    assert.equal(keyParts(session.key).lineage, keyParts(old.key).lineage);
    assert.notEqual(keyParts(session.key).derived, keyParts(old.key).derived);
    assert.notEqual(browser.get(COOKIE).value, oldCookie);
    assert.equal(browser.get(COOKIE).attributes["max-age"], String(COOKIE_AGE - 1000));
    await expectSession(browser.fetch("/api/session"), { key: session.key, data: { a: 1 } });
  });

  test("the old cookie reads for a while, cannot write, then counts as none", async () => {
    const browser = await browserWith(world, { a: 1 });
    const old = browser.clone();
    await world.advance(1000);
    await cycle(browser);
    await browser.send("PUT", "/api/session/data/a", 2);

    const before = await world.storage.dump();
    const read = await old.fetch("/api/session/data/a");
    assert.deepEqual([read.status, read.json, read.setCookies], [200, 1, []]);
    await expectProblem(old.send("PUT", "/api/session/data/a", 3), 503, "rotated");
    await expectProblem(cycle(old), 503, "rotated");
    assert.deepEqual(await world.storage.dump(), before);

    await world.advance(W + 1);
    await expectAnonymous(old.fetch("/api/session"));
    await expectSession(browser.fetch("/api/session"), { data: { a: 2 } });
  });

  test("the new record is stored before the old key is named dead", async () => {
    const browser = await browserWith(world, { a: 1 });
    const { json: old } = await browser.fetch("/api/session");
    const { result, log } = await world.storage.counted(() => cycle(browser));
    const { derived } = keyParts(old.key);
    assert.deepEqual(
      log.filter((entry) => entry.op === "put").map((entry) => entry.keys[0]),
      [keyParts(result.json.key).record, `k.${derived}`],
    );
    expectMarkerTtl((await world.storage.dump())[`k.${derived}`], COOKIE_AGE);
  });
});

describe("destroy", () => {
  const destroy = (browser) => browser.fetch("/api/session", { method: "DELETE" });

  test("ends the session and takes the cookies away", async () => {
    const browser = await browserWith(world, { a: 1 });
    await world.advance(IDLE_TIMEOUT / 2);
    await browser.fetch("/api/session");
    const answer = await destroy(browser);
    assert.equal(answer.status, 204);
    assert.deepEqual(browser.names, []);
    await expectAnonymous(browser.fetch("/api/session"));
  });

  test("puts a marker for key and lineage, and deletes nothing", async () => {
    const browser = await browserWith(world, { a: 1 });
    const { key } = (await browser.fetch("/api/session")).json;
    const { lineage, derived } = keyParts(key);
    assert.equal(lineage, derived, "a session that never rotated");
    await world.advance(1000);
    await destroy(browser);
    const stored = await world.storage.dump();
    assert.deepEqual(Object.keys(stored).sort(), [`k.${derived}`, `l.${lineage}`, keyParts(key).record]);
    for (const marker of [`k.${derived}`, `l.${lineage}`]) {
      expectMarkerTtl(stored[marker], COOKIE_AGE - 1000);
    }
  });

  test("a copy of the cookies is dead: empty, unable to save, later no cookie", async () => {
    const browser = await browserWith(world, { a: 1 });
    const thief = browser.clone();
    await destroy(browser);
    const before = await world.storage.dump();
    const read = await thief.fetch("/api/session");
    assert.deepEqual(read.json.data, {});
    assert.deepEqual(read.setCookies, [], "a late answer must not take a later login away");
    await expectProblem(thief.send("PUT", "/api/session/data/a", 2), 409, "revoked");
    await expectProblem(
      thief.fetch("/api/session/cycle", { method: "POST" }), 409, "revoked",
    );
    assert.deepEqual(await world.storage.dump(), before);

    await world.advance(W + 1);
    await expectAnonymous(thief.fetch("/api/session"));
    const fresh = await expectSession(thief.send("PUT", "/api/session/data/a", 2), {
      data: { a: 2 },
    });
    assert.ok(!Object.keys(before).some((key) => key.includes(keyParts(fresh.key).lineage)));
  });

  test("a rotated session dies with every key it had", async () => {
    const browser = await browserWith(world, { a: 1 });
    const first = browser.clone();
    await browser.fetch("/api/session/cycle", { method: "POST" });
    const second = browser.clone();
    await browser.fetch("/api/session/cycle", { method: "POST" });
    await destroy(browser);
    await world.advance(W + 1);
    await expectAnonymous(first.fetch("/api/session"));
    await expectAnonymous(second.fetch("/api/session"));
  });

  test("the next write makes a session without the old data", async () => {
    const browser = await browserWith(world, { a: 1 });
    const { json: old } = await browser.fetch("/api/session");
    await destroy(browser);
    const session = await expectSession(browser.send("PUT", "/api/session/data/b", 2), {
      data: { b: 2 },
    });
    assert.notEqual(keyParts(session.key).lineage, keyParts(old.key).lineage);
  });
});
