// The Worker over Durable Objects in workerd, from two isolates: what a logout, a save and a list
// promise there.

import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";

import {
  COOKIE,
  browserOf,
  browserWith,
  cycle,
  expectProblem,
  expectSession,
  login,
  logout,
  put,
  show,
  startSessions,
} from "./support/sessions.mjs";

let world;
let people = 0;
const somebody = () => `somebody-${(people += 1)}`;

before(async () => {
  const isolates = { one: "here", two: "there" };
  world = await startSessions({ isolates, objects: true, vars: { SESSION_STORAGE: "durable_object" } });
});
beforeEach(() => world.reset());
after(() => world.stop());

/** The same browser, whose requests go to the other isolate. */
const elsewhere = (browser) => browser.clone(world.origin("two"));

const devicesOf = async (browser) => (await browser.fetch("/api/sessions")).json;

test("a login, saves and a logout, without a fresh cookie and without KV", async () => {
  const user = somebody();
  const browser = await browserWith(world, { cart: 3 });
  const answer = await login(browser, user);
  assert.deepEqual(
    answer.setCookies.map((line) => line.split("=")[0]),
    [COOKIE],
  );
  await expectSession(answer, { owner: user, data: { cart: 3 } });
  await expectSession(put(browser, "cart", 4), { data: { cart: 4 } });
  // At once, wherever the next request goes.
  await expectSession(show(elsewhere(browser)), { owner: user, data: { cart: 4 } });

  const copied = elsewhere(browser);
  await expectSession(logout(browser), { data: {}, owner: null });
  await expectSession(show(copied), { outcome: "revoked", data: {}, owner: null });
  assert.deepEqual(await world.storage.counts(), { reads: 0, keysRead: 0, puts: 0, deletes: 0, lists: 0 });
});

test("parallel saves of different keys all survive, from both isolates", async () => {
  const browser = await browserOf(world, somebody(), { start: true });
  const other = elsewhere(browser);
  const names = Array.from({ length: 24 }, (_, i) => `key${i}`);
  const answers = await Promise.all(names.map((name, i) => put(i % 2 ? other : browser, name, i)));
  // More writers at once than a save replays is an answer of its own, never a lost update.
  const saved = names.filter((_, i) => answers[i].status === 200);
  for (const { status } of answers) assert.ok(status === 200 || status === 503, String(status));
  assert.ok(saved.length >= 8, `${saved.length} of ${names.length}`);
  const { data } = await expectSession(show(browser));
  for (const name of saved) assert.equal(data[name], names.indexOf(name));
});

test("a new key leaves the old one readable, and ends with the session", async () => {
  const browser = await browserOf(world, somebody(), { a: 1 });
  const old = elsewhere(browser);
  await expectSession(cycle(browser), { data: { a: 1 } });
  await expectSession(show(old), { outcome: "rotated", data: { a: 1 } });
  await expectProblem(put(old, "a", 2), 503, "rotated");
  await logout(browser);
  await expectSession(show(old), { outcome: "revoked", data: {} });
});

test("log out everywhere holds everywhere when it returns, and the list is exact", async () => {
  const user = somebody();
  const browsers = [];
  for (let i = 0; i < 5; i += 1) browsers.push(await browserOf(world, user, { i }));
  assert.equal((await devicesOf(browsers[0])).length, 5);
  const { status } = await browsers[0].fetch("/api/sessions", { method: "DELETE" });
  assert.equal(status, 204);
  for (const browser of browsers) await expectSession(show(elsewhere(browser)), { outcome: "revoked", owner: null });
  const again = await browserOf(world, user, {});
  assert.equal((await devicesOf(again)).length, 1);
});

test("a Worker whose objects are missing, or of another kind, says so", async () => {
  for (const [binding, message] of [
    ["SESSIONS", /^SESSION_OBJECTS is not bound: SESSION_STORAGE is durable_object/],
    ["SESSION_OBJECTS", /^SESSION_OBJECTS is bound, but not to a Durable Object class/],
  ]) {
    const other = await startSessions({ binding, vars: { SESSION_STORAGE: "durable_object" } });
    try {
      const { detail } = await expectProblem(show(other.browser()), 500, "missing_binding");
      assert.match(detail, message);
    } finally {
      await other.stop();
    }
  }
});

test("where objects are is only for objects", async () => {
  const other = await startSessions({ vars: { SESSION_LOCATION_HINT: "weur" } });
  try {
    const { detail } = await expectProblem(show(other.browser()), 500, "config");
    assert.match(detail, /^SESSION_LOCATION_HINT: "weur" is not allowed; .*set SESSION_STORAGE to durable_object/);
  } finally {
    await other.stop();
  }
});
