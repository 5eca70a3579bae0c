// The Worker with Durable Objects in workerd, from two isolates: the promises about a logout, a save and a
// list.

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
  world = await startSessions({ isolates, objects: true, calls: true, vars: { SESSION_STORAGE: "durable_object" } });
});
beforeEach(() => world.reset());
after(() => world.stop());

/** The same browser, whose requests go to the other isolate. */
const elsewhere = (browser) => browser.clone(world.origin("two"));

const devicesOf = async (browser) => (await browser.fetch("/api/sessions")).json;

test("/api/store names the objects, in which a logout holds at once", async () => {
  const { status, json } = await world.fetch("/api/store");
  assert.deepEqual([status, json], [200, { storage: "durable_object", stalenessBound: 0, window: 90 }]);
});

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
  // Immediately, wherever the next request goes.
  await expectSession(show(elsewhere(browser)), { owner: user, data: { cart: 4 } });

  const copied = elsewhere(browser);
  await expectSession(logout(browser), { data: {}, owner: null });
  await expectSession(show(copied), { outcome: "revoked", data: {}, owner: null });
  assert.deepEqual(await world.storage.counts(), { reads: 0, keysRead: 0, puts: 0, deletes: 0, lists: 0 });
});

/** Runs `action` on each of `items`, so many at a time. */
async function inParallel(items, most, action) {
  const queue = [...items];
  const worker = async () => {
    for (let item = queue.shift(); item !== undefined; item = queue.shift()) await action(item, queue);
  };
  await Promise.all(Array.from({ length: most }, worker));
}

test("more parallel writers than a save retries: some get a 503, and nothing of theirs is saved", async () => {
  const browser = await browserOf(world, somebody(), { start: true });
  const other = elsewhere(browser);
  const names = Array.from({ length: 64 }, (_, i) => `key${i}`);
  const answers = await Promise.all(names.map((name, i) => put(i % 2 ? other : browser, name, i)));
  for (const answer of answers) {
    if (answer.status === 200) continue;
    await expectProblem(answer, 503, "rate_limited");
    assert.match(answer.headers["retry-after"], /^[1-9]\d*$/);
  }
  const saved = names.filter((_, i) => answers[i].status === 200);
  assert.ok(saved.length >= 8, `${saved.length} of ${names.length}`);
  const { data } = await expectSession(show(browser));
  assert.deepEqual(data, { start: true, ...Object.fromEntries(saved.map((name) => [name, names.indexOf(name)])) });
});

test("a thousand parallel saves of different keys all survive, from both isolates", async (t) => {
  const browser = await browserOf(world, somebody(), {});
  const other = elsewhere(browser);
  const numbers = Array.from({ length: 1000 }, (_, i) => i);
  let refused = 0;
  await inParallel(numbers, 10, async (i, queue) => {
    const answer = await put(i % 2 ? other : browser, `key${i}`, i);
    if (answer.status === 200) return;
    // As a client should, it goes to the end of the queue, and is sent again when the others are.
    await expectProblem(answer, 503, "rate_limited");
    refused += 1;
    queue.push(i);
  });
  const { data } = await expectSession(show(browser));
  assert.deepEqual(data, Object.fromEntries(numbers.map((i) => [`key${i}`, i])));
  t.diagnostic(`${Object.keys(data).length} of ${numbers.length} found; ${refused} times a save was refused and sent again`);
});

test("a thousand times two parallel saves of different keys: both survive", async (t) => {
  const people = await Promise.all(Array.from({ length: 8 }, () => browserOf(world, somebody(), {})));
  const numbers = Array.from({ length: 1000 }, (_, i) => i);
  let found = 0;
  await inParallel(people, people.length, async (browser) => {
    const other = elsewhere(browser);
    for (let i = numbers.pop(); i !== undefined; i = numbers.pop()) {
      await Promise.all([expectSession(put(browser, "a", i)), expectSession(put(other, "b", i))]);
      await expectSession(show(i % 2 ? browser : other), { data: { a: i, b: i } });
      found += 1;
    }
  });
  assert.equal(found, 1000);
  t.diagnostic(`${found} of 1000 pairs found`);
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

test("log out everywhere ends a thousand sessions with one request to the object", async (t) => {
  const user = somebody();
  const browsers = Array.from({ length: 1000 }, (_, i) => world.browser({ isolate: i % 2 ? "two" : "one" }));
  await inParallel(browsers, 16, (browser) => expectSession(login(browser, user), { owner: user }));
  const [first] = browsers;
  assert.equal((await devicesOf(first)).length, 1000);

  const { result, calls } = await world.calls(() => first.fetch("/api/sessions", { method: "DELETE" }));
  assert.equal(result.status, 204, result.text);
  // One to load the session of the request, and one that ends all of them.
  assert.deepEqual(calls, ["read", "transact"]);

  let ended = 0;
  await inParallel(browsers, 16, async (browser) => {
    await expectSession(show(browser), { outcome: "revoked", owner: null, data: {} });
    ended += 1;
  });
  assert.equal(ended, 1000);
  t.diagnostic(`${ended} of ${browsers.length} ended by ${calls.length} requests to the object: ${calls.join(", ")}`);
});

test("every save that was acknowledged is there after workerd was killed in the middle of saves", async (t) => {
  const people = await Promise.all(Array.from({ length: 4 }, () => browserOf(world, somebody(), {})));
  const gone = await browserOf(world, somebody(), { cart: 1 });
  const copy = gone.clone();
  const acknowledged = people.map(() => ({}));
  let sent = 0;
  let refused = 0;
  let saved = 0;
  let enough;
  const writing = new Promise((resolve) => (enough = resolve));
  // Two writers for each session, one in each isolate.
  const writers = people.flatMap((browser, person) =>
    [browser, elsewhere(browser)].map(async (browser, isolate) => {
      for (let i = 0; ; ) {
        sent += 1;
        const answer = await put(browser, `from${isolate}.${i}`, i).catch(() => null);
        // Killed; whether this one is there is not known.
        if (answer === null) return;
        if (answer.status !== 200) {
          // The other writer was faster eight times. It is sent again.
          await expectProblem(answer, 503, "rate_limited");
          refused += 1;
          continue;
        }
        acknowledged[person][`from${isolate}.${i}`] = i;
        i += 1;
        saved += 1;
        if (saved === 200) enough();
      }
    }),
  );
  await Promise.race([writing, ...writers]);
  await expectSession(logout(gone), { owner: null });
  await world.kill();
  await Promise.all(writers);

  await world.start();
  let found = 0;
  for (const [person, browser] of people.entries()) {
    const { data } = await expectSession(show(browser.clone(world.origin("one"))));
    for (const [name, value] of Object.entries(acknowledged[person])) {
      assert.equal(data[name], value, name);
      found += 1;
    }
    // What was on its way: at most one for each writer.
    const more = Object.keys(data).length - Object.keys(acknowledged[person]).length;
    assert.ok(more >= 0 && more <= 2, `${more} that nobody was told of`);
  }
  await expectSession(show(copy.clone(world.origin("one"))), { outcome: "revoked", data: {} });
  assert.ok(found >= 200 && found === saved);
  t.diagnostic(`${sent} saves sent, ${refused} refused, ${saved} acknowledged, ${found} found after kill -9; the logout that was acknowledged holds`);
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
