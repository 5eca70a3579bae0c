// Who is logged in, on which devices, and ending that: login, logout and the list of sessions.

import assert from "node:assert/strict";
import { after, before, beforeEach, describe, test } from "node:test";

import {
  COOKIE,
  COOKIE_AGE,
  IDLE_TIMEOUT,
  W,
  browserOf,
  browserWith,
  cycle,
  expectAnonymous,
  expectProblem,
  expectSession,
  keyParts,
  login,
  logout,
  put,
  show,
  startSessions,
} from "./support/sessions.mjs";

let world;
let people = 0;

/** Isolates remember owners across tests, so each test has its own. */
const somebody = () => `somebody-${(people += 1)}`;

before(async () => {
  world = await startSessions();
});
beforeEach(async () => {
  await world.reset();
  await world.freeze();
});
after(() => world.stop());

const devicesOf = async (browser) => {
  const answer = await browser.fetch("/api/sessions");
  assert.equal(answer.status, 200, answer.text);
  assert.match(answer.headers["content-type"], /^application\/json\b/);
  return answer.json;
};

async function remove(browser, path) {
  const answer = await browser.fetch(path, { method: "DELETE" });
  assert.deepEqual([answer.status, answer.text, answer.setCookies], [204, "", []], path);
}

const iso = (milliseconds) => new Date(milliseconds).toISOString();
const keyOf = async (browser) => (await expectSession(show(browser))).key;

/** Checks that these cookies open no session. */
async function expectOut(browser) {
  const { data, owner } = await expectSession(show(browser), { outcome: "revoked" });
  assert.deepEqual([data, owner], [{}, null]);
}

describe("login", () => {
  test("a visitor becomes somebody, with a session", async () => {
    const owner = somebody();
    const browser = world.browser();
    const { key, data, isNew } = await expectSession(login(browser, owner), { owner });
    assert.deepEqual([data, isNew], [{}, false]);
    assert.notEqual(keyParts(key).owner, "-");
    assert.ok(!key.includes(owner) && !key.includes(Buffer.from(owner).toString("base64url")));
    await expectSession(show(browser), { key, owner });
    assert.deepEqual(browser.refused, []);
  });

  test("an anonymous session becomes the owner's, under a new lineage", async () => {
    const owner = somebody();
    const browser = await browserWith(world, { cart: [1], n: 0 });
    const before = await expectSession(show(browser));
    const copy = browser.clone();
    await world.advance(60);
    const session = await expectSession(login(browser, owner), { owner, data: { cart: [1], n: 0 } });
    assert.notEqual(keyParts(session.key).lineage, keyParts(before.key).lineage);
    assert.equal(browser.get(COOKIE).attributes["max-age"], String(COOKIE_AGE));

    // The token from before the login reads the old data, but no later data.
    await expectSession(put(browser, "secret", 1));
    await expectSession(show(copy), { owner: null, data: { cart: [1], n: 0 }, outcome: "rotated" });
    await expectProblem(put(copy, "n", 1), 503, "rotated");
    // A login with it keeps that data, and no more.
    const other = copy.clone();
    await expectSession(login(other, somebody()), { data: { cart: [1], n: 0 } });
    await world.advance(W);
    await expectAnonymous(show(copy));
    await expectSession(show(browser), { owner, data: { cart: [1], n: 0, secret: 1 } });
  });

  test("again as the same owner: a new key, the same data, and the old one is out", async () => {
    const owner = somebody();
    const browser = await browserOf(world, owner, { a: 1 });
    const before = await keyOf(browser);
    const copy = browser.clone();
    const { key } = await expectSession(login(browser, owner), { owner, data: { a: 1 } });
    assert.notEqual(keyParts(key).lineage, keyParts(before).lineage);
    assert.equal(keyParts(key).owner, keyParts(before).owner);
    await expectOut(copy);
  });

  test("as another owner: without data of the first", async () => {
    const [one, other] = [somebody(), somebody()];
    const browser = await browserOf(world, one, { private: 1 });
    const copy = browser.clone();
    await expectSession(login(browser, other), { owner: other, data: {} });
    await expectOut(copy);
  });

  test("on another site's wish: never", async () => {
    const browser = await browserWith(world, { a: 1 });
    const cookies = browser.cookieHeader("/");
    for (const path of ["/api/login", "/api/logout", "/api/reauthenticate"]) {
      const answer = browser.send("POST", path, { owner: "evil" }, {
        from: "cross-site", headers: { Origin: "https://evil.example" },
      });
      await expectProblem(answer, 403, "forbidden");
    }
    assert.equal(browser.cookieHeader("/"), cookies);
    await expectSession(show(browser), { owner: null, data: { a: 1 } });
  });

  test("the longest user id and one in any script", async () => {
    for (const owner of ["x".repeat(1024), "用户-é-\u0000-🙂", "__proto__", "a/b?c#d"]) {
      await expectSession(login(world.browser(), owner), { owner });
    }
  });

  for (const [what, body, status, code] of [
    ["no JSON", "owner=ada", 400, "invalid_json"],
    ["nothing", "", 400, "invalid_json"],
    ["no owner", "{}", 422, "invalid_value"],
    ["an owner that is no text", '{"owner":1}', 422, "invalid_value"],
    ["null", '{"owner":null}', 422, "invalid_value"],
    ["an empty owner", '{"owner":""}', 422, "invalid_value"],
    ["an overlong owner", JSON.stringify({ owner: "x".repeat(1025) }), 422, "invalid_value"],
    ["something else besides", '{"owner":"ada","admin":true}', 422, "invalid_value"],
    ["a list", '["ada"]', 422, "invalid_value"],
  ]) {
    test(`with ${what}: ${status} ${code}, and nobody is logged in`, async () => {
      const browser = await browserWith(world, { a: 1 });
      await expectProblem(browser.fetch("/api/login", { method: "POST", body }), status, code);
      await expectSession(show(browser), { owner: null, data: { a: 1 } });
    });
  }
});

describe("reauthentication", () => {
  const reauthenticate = (browser) => browser.send("POST", "/api/reauthenticate");

  test("a new key; lineage, owner, values and expiry stay", async () => {
    const owner = somebody();
    const browser = await browserOf(world, owner, { a: 1 });
    const before = await expectSession(browser.send("PUT", "/api/session/expiry", { seconds: 600 }));
    const copy = browser.clone();
    const { createdAt, expiresAt, idleExpiresAt } = before;
    const after = await expectSession(reauthenticate(browser), { owner, data: { a: 1 }, createdAt, expiresAt, idleExpiresAt });
    assert.equal(keyParts(after.key).lineage, keyParts(before.key).lineage);
    assert.notEqual(after.key, before.key);
    await expectSession(show(copy), { outcome: "rotated" });
    await expectSession(show(browser), { owner, data: { a: 1 }, expiresAt });
  });

  test("without a login: 401 reauth_required", async () => {
    const visitor = await browserWith(world, { a: 1 });
    for (const browser of [visitor, world.browser()]) {
      const cookies = browser.cookieHeader("/");
      await expectProblem(reauthenticate(browser), 401, "reauth_required");
      assert.equal(browser.cookieHeader("/"), cookies);
    }
  });
});

describe("logout", () => {
  test("ends the session and empties the jar", async () => {
    const browser = await browserOf(world, somebody(), { a: 1 });
    const copy = browser.clone();
    await expectSession(logout(browser), { key: null, isNew: true, owner: null, data: {} });
    assert.deepEqual(browser.names, []);
    await expectAnonymous(show(browser));
    await expectProblem(browser.fetch("/api/sessions"), 401, "unauthenticated");
    await expectOut(copy);
    await expectProblem(put(copy, "a", 2), 409, "revoked");
  });

  test("without a session: nothing happens", async () => {
    await expectAnonymous(logout(world.browser()));
  });

  test("then in again, on a browser that was out", async () => {
    const owner = somebody();
    const browser = await browserOf(world, owner, { a: 1 });
    await logout(browser);
    await expectSession(login(browser, owner), { owner, data: {} });
    await expectSession(put(browser, "b", 2), { owner, data: { b: 2 } });
  });
});

describe("the list of devices", () => {
  test("has one entry for each, the last written first, in their own words", async () => {
    const owner = somebody();
    const at = (country, agent) => ({
      headers: { "User-Agent": agent, "X-Test-Cf": JSON.stringify({ country }) },
    });
    const laptop = world.browser();
    await login(laptop, owner, at("CH", "Laptop/1 (é)"));
    const start = world.now();
    await world.advance(60);
    const phone = world.browser();
    await login(phone, owner, at("JP", "Phone/2"));
    await world.advance(60);
    await laptop.send("PUT", "/api/session/data/a", 1, at("IT", "Laptop/2"));
    await browserOf(world, somebody(), { a: 1 }); // another user's

    const shown = [
      {
        current: true,
        key: await keyOf(laptop),
        created: iso(start),
        lastWritten: iso(start + 120_000),
        userAgent: "Laptop/2",
        place: "IT",
      },
      {
        current: false,
        key: await keyOf(phone),
        created: iso(start + 60_000),
        lastWritten: iso(start + 60_000),
        userAgent: "Phone/2",
        place: "JP",
      },
    ];
    assert.deepEqual(await devicesOf(laptop), shown);
    const fromPhone = shown.map((device) => ({ ...device, current: !device.current }));
    assert.deepEqual(await devicesOf(phone), fromPhone);
  });

  test("says null for what a browser does not tell", async () => {
    const browser = await browserOf(world, somebody(), { a: 1 });
    const [{ userAgent, place }] = await devicesOf(browser);
    assert.deepEqual([userAgent, place], [null, null]);
  });

  test("a rotated session is one device, still the current one", async () => {
    const browser = await browserOf(world, somebody(), { a: 1 });
    await world.advance(60);
    const { key } = await expectSession(cycle(browser));
    assert.deepEqual((await devicesOf(browser)).map((it) => [it.key, it.current]), [[key, true]]);
  });

  test("leaves out what was ended, and what has reached its hard end", async () => {
    const owner = somebody();
    const old = await browserOf(world, owner, { a: 1 });
    await world.advance(COOKIE_AGE - 100);
    const [out, here] = [await browserOf(world, owner, { b: 2 }), await browserOf(world, owner, { c: 3 })];
    assert.equal((await devicesOf(here)).length, 3);
    await logout(out);
    assert.equal((await devicesOf(here)).length, 2);
    await world.advance(100);
    assert.deepEqual((await devicesOf(here)).map(({ current }) => current), [true]);
    await expectAnonymous(show(old));
  });

  test("a HEAD of it has no body", async () => {
    const browser = await browserOf(world, somebody(), { a: 1 });
    const answer = await browser.fetch("/api/sessions", { method: "HEAD" });
    assert.deepEqual([answer.status, answer.text], [200, ""]);
  });

  test("is for one browser and no cache", async () => {
    const browser = await browserOf(world, somebody(), { a: 1 });
    for (const who of [browser, world.browser()]) {
      const { headers } = await who.fetch("/api/sessions");
      assert.match(headers["cache-control"], /\bno-store\b/);
      assert.match(headers.vary, /\bcookie\b/i);
    }
  });
});

describe("ending sessions", () => {
  test("one: that device is out, the others stay", async () => {
    const owner = somebody();
    const [laptop, phone, tablet] = [
      await browserOf(world, owner, { on: "laptop" }),
      await browserOf(world, owner, { on: "phone" }),
      await browserOf(world, owner, { on: "tablet" }),
    ];
    await remove(laptop, `/api/sessions/${await keyOf(phone)}`);
    await expectOut(phone);
    for (const [browser, on] of [[laptop, "laptop"], [tablet, "tablet"]]) {
      await expectSession(show(browser), { owner, data: { on } });
    }
    assert.equal((await devicesOf(laptop)).length, 2);
  });

  test("one that has a new key since the list was read: that one too", async () => {
    const owner = somebody();
    const [laptop, phone] = [await browserOf(world, owner, { a: 1 }), await browserOf(world, owner, { b: 2 })];
    const listed = await keyOf(phone);
    await expectSession(cycle(phone));
    await world.advance(11);
    await remove(laptop, `/api/sessions/${listed}`);
    await expectOut(phone);
  });

  test("one that is over already: 204 again", async () => {
    const owner = somebody();
    const [laptop, phone] = [await browserOf(world, owner, { a: 1 }), await browserOf(world, owner, { b: 2 })];
    const path = `/api/sessions/${await keyOf(phone)}`;
    await remove(laptop, path);
    await remove(laptop, path);
  });

  test("this one: out with the next request", async () => {
    const browser = await browserOf(world, somebody(), { a: 1 });
    await remove(browser, `/api/sessions/${await keyOf(browser)}`);
    await expectOut(browser);
    await expectProblem(browser.fetch("/api/sessions"), 401, "unauthenticated");
  });

  test("another owner's, or none at all: 404, and it lives", async () => {
    const [one, other] = [await browserOf(world, somebody(), { a: 1 }), await browserOf(world, somebody(), { b: 2 })];
    const theirs = await keyOf(other);
    const mine = keyParts(await keyOf(one));
    const { lineage, derived } = keyParts(theirs);
    const anonymous = await keyOf(await browserWith(world, { c: 3 }));
    const stored = await world.storage.dump();
    for (const key of [
      theirs,
      anonymous,
      `-.${lineage}.${derived}`,
      `${mine.owner}.${lineage}`,
      "nonsense",
      "%F0%9F%99%82",
      "x".repeat(500),
    ]) {
      await expectProblem(one.fetch(`/api/sessions/${key}`, { method: "DELETE" }), 404, "not_found");
    }
    assert.deepEqual(await world.storage.dump(), stored);
    await expectSession(show(other), { data: { b: 2 } });
  });

  test("one whose key was put together from parts of several: 404, and it lives", async () => {
    const mallory = await browserOf(world, somebody(), { m: 1 });
    const mine = keyParts(await keyOf(mallory));
    for (const victim of [await browserOf(world, somebody(), { a: 1 }), await browserWith(world, { a: 1 })]) {
      const key = await keyOf(victim);
      const { owner, lineage, derived, tag } = keyParts(key);
      const spliced = [
        [mine.owner, lineage, derived],
        [mine.owner, lineage, derived, mine.tag],
        [mine.owner, lineage, derived, tag],
        [mine.owner, lineage, mine.derived, mine.tag],
        [owner, lineage, derived, mine.tag],
        [owner, lineage, derived],
      ];
      const stored = await world.storage.dump();
      for (const parts of spliced) {
        // The isolate remembers the session, so only the key could cause a store operation.
        await mallory.fetch("/api/session");
        const { result, log } = await world.storage.counted(() =>
          mallory.fetch(`/api/sessions/${parts.join(".")}`, { method: "DELETE" }),
        );
        await expectProblem(result, 404, "not_found");
        assert.deepEqual(log, [], parts.join("."));
      }
      assert.deepEqual(await world.storage.dump(), stored);
      await world.advance(W);
      await expectSession(show(victim), { key, data: { a: 1 } });
    }
  });

  test("all others: this one stays", async () => {
    const owner = somebody();
    const [laptop, phone] = [await browserOf(world, owner, { a: 1 }), await browserOf(world, owner, { b: 2 })];
    const stranger = await browserOf(world, somebody(), { c: 3 });
    await remove(laptop, "/api/sessions?except=current");
    await expectOut(phone);
    await expectSession(show(laptop), { owner, data: { a: 1 } });
    await expectSession(put(laptop, "n", 1), { owner });
    await expectSession(show(stranger), { data: { c: 3 } });
    assert.deepEqual((await devicesOf(laptop)).map(({ current }) => current), [true]);
    // Ended sessions stay ended, whichever the next call spares.
    const tablet = await browserOf(world, owner, { d: 4 });
    await remove(tablet, "/api/sessions?except=current");
    await expectOut(phone);
    await expectOut(laptop);
    await expectSession(show(tablet), { owner, data: { d: 4 } });
  });

  test("all: this one too, and a login after that is in", async () => {
    const owner = somebody();
    const [laptop, phone] = [await browserOf(world, owner, { a: 1 }), await browserOf(world, owner, { b: 2 })];
    await remove(laptop, "/api/sessions");
    await expectOut(laptop);
    await expectOut(phone);
    // In one request: a password change ends all sessions and continues.
    await expectSession(login(laptop, owner), { owner, data: {} });
    await expectSession(show(laptop), { owner });
    assert.equal((await devicesOf(laptop)).length, 1);
    await expectOut(phone);
  });

  test("with an unknown query: 422, and nobody is logged out", async () => {
    const owner = somebody();
    const [laptop, phone] = [await browserOf(world, owner, { a: 1 }), await browserOf(world, owner, { b: 2 })];
    for (const query of ["?except=", "?except=me", "?expect=current", "?except=current&x", "?except=current&except=current"]) {
      const answer = laptop.fetch(`/api/sessions${query}`, { method: "DELETE" });
      await expectProblem(answer, 422, "invalid_value");
    }
    for (const browser of [laptop, phone]) await expectSession(show(browser), { owner });
  });

  test("from another site: 403", async () => {
    const browser = await browserOf(world, somebody(), { a: 1 });
    const headers = { Origin: "https://evil.example", Cookie: browser.cookieHeader("/") };
    for (const path of ["/api/sessions", `/api/sessions/${await keyOf(browser)}`]) {
      const answer = browser.fetch(path, { method: "DELETE", from: "cross-site", headers });
      await expectProblem(answer, 403, "forbidden");
    }
    await expectSession(show(browser), { data: { a: 1 } });
  });
});

describe("nobody", () => {
  for (const [method, path] of [
    ["GET", "/api/sessions"],
    ["DELETE", "/api/sessions"],
    ["DELETE", "/api/sessions?except=current"],
    ["DELETE", "/api/sessions/-.AAAAAAAAAAAAAAAAAAAAAA.AAAAAAAAAAAAAAAAAAAAAA"],
  ]) {
    test(`${method} ${path}: 401, also with an anonymous session`, async () => {
      const anonymous = await browserWith(world, { a: 1 });
      for (const browser of [world.browser(), anonymous]) {
        await expectProblem(browser.fetch(path, { method }), 401, "unauthenticated");
      }
      await expectSession(show(anonymous), { data: { a: 1 } });
    });
  }

  test("whose session has expired: 401", async () => {
    const browser = await browserOf(world, somebody(), { a: 1 });
    await world.advance(IDLE_TIMEOUT);
    await expectProblem(browser.fetch("/api/sessions"), 401, "unauthenticated");
  });

  for (const [method, path, allow] of [
    ["POST", "/api/sessions", "GET, HEAD, DELETE"],
    ["GET", "/api/sessions/key", "DELETE"],
    ["PUT", "/api/sessions/key", "DELETE"],
    ["GET", "/api/login", "POST"],
    ["DELETE", "/api/logout", "POST"],
    ["PUT", "/api/reauthenticate", "POST"],
  ]) {
    test(`${method} ${path}: 405, Allow: ${allow}`, async () => {
      const answer = await world.browser().fetch(path, { method });
      await expectProblem(answer, 405, "method_not_allowed");
      assert.equal(answer.headers.allow, allow);
    });
  }
});

describe("settings", () => {
  async function withWorld(vars, action) {
    const other = await startSessions({ vars });
    try {
      await other.freeze();
      await action(other);
    } finally {
      await other.stop();
    }
  }

  for (const DEMO of ["false", "0", undefined]) {
    test(`DEMO ${DEMO ?? "not set"}: no login and no logout by HTTP, whatever the method`, () =>
      withWorld({ DEMO }, async (off) => {
        const browser = off.browser();
        await expectSession(browser.send("PUT", "/api/session/data/a", 1));
        for (const path of ["/api/login", "/api/logout", "/api/reauthenticate"]) {
          for (const method of ["POST", "GET", "DELETE"]) {
            const body = method === "POST" ? { owner: "ada" } : undefined;
            await expectProblem(browser.send(method, path, body), 404, "not_found");
          }
        }
        const session = await expectSession(show(browser), { owner: null, data: { a: 1 } });
        assert.ok(!("outcome" in session));
        await expectProblem(browser.fetch("/api/sessions"), 401, "unauthenticated");
      }));
  }

  test("SESSION_SERVER_TIMING: a page that lists says so", () =>
    withWorld({ SESSION_SERVER_TIMING: "true" }, async (timed) => {
      const browser = await browserOf(timed, somebody(), { a: 1 });
      const lists = async (answer) => Number((await answer).headers["server-timing"].match(/ list (\d+)"$/)[1]);
      assert.equal(await lists(browser.fetch("/api/sessions")), 1);
      assert.equal(await lists(browser.fetch("/api/session")), 0);
      assert.equal(await lists(browser.fetch("/api/sessions", { method: "DELETE" })), 1);
    }));

  test("SESSION_MAX_PER_OWNER: a login over the limit ends the oldest", () =>
    withWorld({ SESSION_MAX_PER_OWNER: "2" }, async (limited) => {
      const browsers = [];
      for (let n = 0; n < 4; n += 1) {
        await limited.storage.clearLog();
        browsers.push(await browserOf(limited, "ada", { n }));
        // After the response: two markers for the session that is ended.
        if (n >= 2) await limited.storage.logged({ op: "put", prefix: "l.", status: 200 });
        await limited.advance(60);
      }
      for (const browser of browsers.slice(0, 2)) await expectOut(browser);
      for (const browser of browsers.slice(2)) await expectSession(show(browser), { owner: "ada" });
      assert.equal((await devicesOf(browsers[3])).length, 2);
    }));
});
