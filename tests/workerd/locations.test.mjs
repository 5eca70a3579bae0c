// One browser and two locations of an eventually consistent store: Paris and Tokyo, with one isolate each.

import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";

import {
  COOKIE,
  W,
  browserWith,
  expectAnonymous,
  expectProblem,
  expectSession,
  startSessions,
} from "./support/sessions.mjs";

/** How long a write takes to become visible elsewhere; the settings assume 60 s. */
const PROPAGATION = 45;
/** Too large for the fresh cookie, so only storage has it. */
const LARGE = "x".repeat(6000);

let world;

before(async () => {
  world = await startSessions({ isolates: { paris: "CDG", tokyo: "NRT" } });
});
beforeEach(async () => {
  await world.reset();
  await world.freeze();
  await world.storage.set({ caching: true, propagation: PROPAGATION * 1000 });
});
after(() => world.stop());

/** The same jar, routed to another location from now on. */
function travels(browser, isolate) {
  browser.origin = world.origin(isolate);
}

test("a session that storage cannot show there yet is still a session", async () => {
  const browser = await browserWith(world, { a: 1 }, { isolate: "paris" });
  travels(browser, "tokyo");
  await expectSession(browser.fetch("/api/session"), { data: { a: 1 } });
  await expectSession(browser.send("PUT", "/api/session/data/b", 2), { data: { a: 1, b: 2 } });
  travels(browser, "paris");
  await expectSession(browser.fetch("/api/session"), { data: { a: 1, b: 2 } });
  await world.advance(W);
  await expectSession(browser.fetch("/api/session"), { data: { a: 1, b: 2 } });
});

test("where the cookie cannot carry it: pending, never an empty session, then as before", async () => {
  const browser = await browserWith(world, { a: LARGE }, { isolate: "paris" });
  const cookies = browser.cookieHeader("/");
  const stored = await world.storage.dump();
  travels(browser, "tokyo");
  for (const [method, path, body] of [
    ["GET", "/api/session"],
    ["GET", "/api/session/data/a"],
    ["PUT", "/api/session/data/b", 2],
    ["POST", "/api/session/cycle"],
  ]) {
    const answer = await browser.send(method, path, body);
    await expectProblem(answer, 503, "pending");
    assert.match(answer.headers["retry-after"] ?? "", /^\d+$/);
  }
  const values = (dump) => Object.entries(dump).map(([key, { value }]) => [key, value]);
  assert.deepEqual(values(await world.storage.dump()), values(stored));
  assert.equal(browser.cookieHeader("/"), cookies);

  // Tokyo has cached the absence, and uses that for the cache time.
  await world.advance(PROPAGATION + 30);
  await expectSession(browser.fetch("/api/session"), { data: { a: LARGE } });
});

test("an older copy than this browser has saved is never served as the newest, nor saved over", async () => {
  const browser = await browserWith(world, { a: LARGE, n: 1 }, { isolate: "paris" });
  await world.advance(PROPAGATION);
  travels(browser, "tokyo");
  await expectSession(browser.fetch("/api/session"));
  travels(browser, "paris");
  await world.advance(2);
  await expectSession(browser.send("PUT", "/api/session/data/n", 2), { data: { a: LARGE, n: 2 } });

  travels(browser, "tokyo");
  const { json } = await browser.fetch("/api/session");
  assert.deepEqual([json.outcome, json.data.n], ["stale", 1], "read, and said so");
  await expectProblem(browser.send("PUT", "/api/session/data/m", 3), 503, "stale");
  await world.advance(PROPAGATION + 30);
  await expectSession(browser.fetch("/api/session"), { outcome: "loaded", data: { a: LARGE, n: 2 } });
});

test("a small write is seen by its browser everywhere at once", async () => {
  const browser = await browserWith(world, { n: 0 }, { isolate: "paris" });
  for (let n = 1; n <= 6; n += 1) {
    await world.advance(2);
    travels(browser, n % 2 === 0 ? "paris" : "tokyo");
    await expectSession(browser.send("PUT", `/api/session/data/k${n}`, n));
    travels(browser, n % 2 === 0 ? "tokyo" : "paris");
    const { data } = (await browser.fetch("/api/session")).json;
    for (let k = 1; k <= n; k += 1) assert.equal(data[`k${k}`], k, `k${k} after write ${n}`);
  }
});

test("no key is asked for before it is written, so no absence of it is cached", async () => {
  await world.storage.clearLog();
  const browser = await browserWith(world, { a: 1 }, { isolate: "paris" });
  await browser.fetch("/api/session/cycle", { method: "POST" });
  await browser.fetch("/api/session");
  const first = new Map();
  for (const { op, keys } of await world.storage.log()) {
    for (const key of keys) if (key.startsWith("s.") && !first.has(key)) first.set(key, op);
  }
  assert.deepEqual([...first.values()], ["put", "put"]);
});

test("a logout is one everywhere within the stated bound, for a thief who has been there too", async () => {
  const browser = await browserWith(world, { a: 1 }, { isolate: "paris" });
  const thief = browser.clone(world.origin("tokyo"));
  await world.advance(PROPAGATION);
  await expectSession(thief.fetch("/api/session"), { data: { a: 1 } });
  await browser.fetch("/api/session", { method: "DELETE" });
  await expectAnonymous(browser.fetch("/api/session"));

  await world.advance(W);
  const read = await thief.fetch("/api/session");
  assert.deepEqual([read.json.data, read.setCookies], [{}, []]);
  await expectSession(thief.send("PUT", "/api/session/data/b", 2), { data: { b: 2 } });
});

test("rotating a stolen key where the logout is not visible yet does not save it", async () => {
  const browser = await browserWith(world, { a: 1 }, { isolate: "paris" });
  const thief = browser.clone(world.origin("tokyo"));
  await world.advance(PROPAGATION);
  await expectSession(thief.fetch("/api/session"), { data: { a: 1 } });
  await browser.fetch("/api/session", { method: "DELETE" });
  const stolen = thief.get(COOKIE).value;
  await expectSession(thief.fetch("/api/session/cycle", { method: "POST" }));
  assert.notEqual(thief.get(COOKIE).value, stolen);
  await world.advance(W);
  const { json, setCookies } = await thief.fetch("/api/session");
  assert.deepEqual([json.data, setCookies], [{}, []]);
});
