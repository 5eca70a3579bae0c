// How the package calls the store: what it waits for and how long, how many writes at a time, and what
// remains when a request has ended.

import assert from "node:assert/strict";
import { test } from "node:test";

import { MemoryConnector, Sessions } from "../../pkg/node.js";
import { kept } from "../../pkg/glue.js";
import { SECRET, code, world } from "./support/world.mjs";

const never = () => new Promise(() => {});

/** A connector over memory whose operations can be replaced. */
function over(memory, replaced) {
  const connector = { kind: "memory" };
  for (const name of ["read", "put", "delete", "list"]) connector[name] = (...args) => memory[name](...args);
  return Object.assign(connector, replaced);
}

/** Lets everything continue that can. */
const turn = () => new Promise((resolve) => setImmediate(resolve));

test("a read that does not answer is unavailable in time, and is not asked again", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout", "Date"] });
  const { browser, memory, clock } = world();
  await browser.ask((session) => session.set("a", 1));
  let reads = 0;
  const connector = over(memory, { read: () => ((reads += 1), never()) });
  const sessions = new Sessions(connector, { secret: SECRET, clock, storeTimeout: 2 });
  const visit = browser.visit((session) => session.get("a"), { sessions });
  t.mock.timers.tick(1_999);
  await turn();
  assert.equal(await Promise.race([visit, "waiting"]), "waiting");
  t.mock.timers.tick(1);
  const { response } = await visit;
  assert.equal((await response.json()).code, "unavailable");
  assert.equal(reads, 1);

  // A page that does not use its session gets its response.
  const page = browser.visit(() => "page", { sessions });
  await turn();
  t.mock.timers.tick(2_000);
  assert.equal((await page).response.status, 200);

  const session = sessions.open(browser.request());
  const loading = session.load();
  t.mock.timers.tick(2_000);
  await assert.rejects(loading, (error) => code("unavailable")(error) && /within 2 seconds \(storeTimeout\)/.test(error.cause.message));
  const variables = Sessions.fromEnv({ SESSIONS: over(memory, { read: never }), SESSION_SECRET: SECRET, SESSION_ISOLATE_CACHE_TTL: 0 });
  const first = await variables.load();
  first.set("a", 1);
  const cookies = (await variables.commitHeaders(first)).getSetCookie().map((line) => line.split(";")[0]);
  const slow = variables.open(cookies.join("; ")).load();
  t.mock.timers.tick(10_000);
  await assert.rejects(slow, ({ cause }) => /within 10 seconds \(SESSION_STORE_TIMEOUT\)/.test(cause.message));
  const listing = new Sessions(over(memory, { list: never }), { secret: SECRET, clock }).list("ada");
  t.mock.timers.tick(10_000);
  await assert.rejects(listing, code("unavailable"));
});

test("all tries of a request share fifteen seconds", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout", "Date"] });
  const { browser, memory } = world();
  await browser.ask((session) => session.set("a", 1));
  const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
  const fails = async (milliseconds) => {
    await pause(milliseconds);
    throw new Error("down");
  };
  const answers = [() => fails(9_000), () => fails(5_800), never];
  const connector = over(memory, { read: () => answers.shift()() });
  const sessions = new Sessions(connector, { secret: SECRET });
  const start = Date.now();
  const visit = browser.visit((session) => session.get("a"), { sessions });
  let done = false;
  const settled = visit.finally(() => (done = true));
  while (!done && Date.now() - start < 60_000) {
    await turn();
    t.mock.timers.tick(100);
  }
  assert.equal((await settled).response.status, 503);
  assert.equal(answers.length, 0);
  // The last try has a second at least.
  assert.ok(Date.now() - start <= 16_500, `${Date.now() - start} ms`);
});

test("a write that does not answer has an unknown fate, and fails the save", async (t) => {
  // The time limit holds although the clock stands still.
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const { browser, memory, clock } = world();
  let puts = 0;
  // The write arrives, but its answer does not.
  const connector = over(memory, {
    put(...args) {
      puts += 1;
      memory.put(...args);
      return never();
    },
  });
  const sessions = new Sessions(connector, { secret: SECRET, clock });
  const waited = [];
  const visit = sessions.handle(browser.request(), { waitUntil: (promise) => waited.push(promise) }, (session) => {
    session.set("a", 1);
    return new Response();
  });
  await turn();
  assert.equal(waited.length, 1);
  t.mock.timers.tick(10_000);
  const response = await visit;
  assert.equal(response.status, 503);
  assert.equal((await response.json()).code, "unavailable");
  assert.equal(puts, 1);
  assert.deepEqual(await Promise.all(waited), [undefined]);
});

test("no timer is left behind", async () => {
  const timers = () => process.getActiveResourcesInfo().filter((name) => name === "Timeout").length;
  const before = timers();
  const { browser } = world({ settings: { isolateCacheTtl: 0 } });
  await browser.ask((session) => session.bind("ada"));
  await browser.ask((session) => session.owner);
  assert.equal(timers(), before);
  // Nor by a step that nobody awaits.
  let step;
  const visit = browser.visit(async (session) => {
    session.set("a", 1);
    await session.save();
    step = session.exists(session.sessionKey);
    throw new Error("the handler's own");
  });
  await assert.rejects(visit, /the handler's own/);
  await step;
  assert.equal(timers(), before);
});

test("a store that throws at once, or answers with what is no JSON, is unavailable", async () => {
  const { browser, memory, clock } = world();
  await browser.ask((session) => session.set("a", 1));
  const thrown = new Error("broken");
  const broken = () => {
    throw thrown;
  };
  const failing = (replaced) => new Sessions(over(memory, replaced), { secret: SECRET, clock, isolateCacheTtl: 0 });
  const failed = (error) => code("unavailable")(error) && error.cause === thrown;

  await assert.rejects(failing({ read: broken }).open(browser.request()).load(), failed);
  await assert.rejects(failing({ list: broken }).list("ada"), failed);
  const { response } = await browser.visit((session) => void session.set("b", 1), { sessions: failing({ put: broken }) });
  assert.equal(response.status, 503);

  const rows = MemoryConnector.strong({ clock });
  const odd = { read: async (_shard, keys) => keys.map(() => ({ value: "x", revision: 1n, expiresAt: 0 })) };
  for (const method of ["transact", "list"]) odd[method] = (...args) => rows[method](...args);
  const strong = new Sessions(odd, { secret: SECRET, clock });
  const first = await strong.load();
  first.set("a", 1);
  const cookies = (await strong.commitHeaders(first)).getSetCookie().map((line) => line.split(";")[0]);
  await assert.rejects(strong.load(cookies.join("; "), { fresh: true }).then((session) => session.get("a")), code("unavailable"));
});

test("only what writes is handed to waitUntil", async () => {
  const { browser, sessions } = world({ settings: { isolateCacheTtl: 0 } });
  await browser.ask((session) => session.set("a", 1));
  const waited = [];
  const ctx = { waitUntil: (promise) => waited.push(promise) };
  const page = (change) =>
    sessions.handle(browser.request(), ctx, (session) => {
      change(session);
      return new Response();
    });
  await page((session) => session.get("a"));
  assert.equal(waited.length, 0);
  await page((session) => session.set("a", 2));
  assert.equal(waited.length, 1);
});

test("six writes at a time, whatever there is to write", async () => {
  const memory = new MemoryConnector();
  let writing = 0;
  let most = 0;
  const connector = over(memory, {
    async put(...args) {
      writing += 1;
      most = Math.max(most, writing);
      await turn();
      writing -= 1;
      return memory.put(...args);
    },
  });
  const sessions = new Sessions(connector, { secret: SECRET });
  for (let i = 0; i < 20; i += 1) {
    const session = await sessions.load();
    session.bind("ada");
    await sessions.commitHeaders(session);
  }
  assert.equal((await sessions.list("ada")).length, 20);
  most = 0;
  await sessions.revokeAll("ada");
  assert.equal(most, 6);
  assert.deepEqual(await sessions.list("ada"), []);
});

test("no two puts of a session share a nonce, those of a retry neither", async () => {
  const memory = new MemoryConnector();
  const values = [];
  const connector = over(memory, {
    async put(key, value, options) {
      // Markers are not sealed.
      if (key.startsWith("s.")) values.push([value, options.metadata]);
      if (values.length % 2) throw new Error("down");
      return memory.put(key, value, options);
    },
  });
  const sessions = new Sessions(connector, { secret: SECRET });
  const session = await sessions.load();
  for (let i = 0; i < 5; i += 1) {
    session.set("a", i);
    if (i === 2) session.bind("ada");
    await session.save();
  }
  // The nonce follows the first byte, which is the format.
  const nonces = values.flat().filter(Boolean).map((text) => Buffer.from(text, "base64url").subarray(1, 25).toString("hex"));
  assert.ok(nonces.length > 10);
  assert.equal(new Set(nonces).size, nonces.length);
});

test("what the core keeps of a session goes with its commit, or with the call after", async () => {
  const { browser, sessions } = world({ settings: { isolateCacheTtl: 0 } });
  const before = kept();
  const page = (change) =>
    sessions.handle(browser.request(), null, async (session) => {
      await change(session);
      return new Response();
    }).then((response) => browser.keep(response));
  await page((session) => session.set("a", 1));
  assert.equal(kept(), before, "a commit that was carried out");
  for (let i = 0; i < 5; i += 1) {
    await page((session) => session.get("a"));
    assert.equal(kept(), before + 1, "a read is released by the call after it");
  }
  await page((session) => session.set("a", 2));
  assert.equal(kept(), before);
  await page((session) => session.destroy());
  await page((session) => session.set("a", 1));
  await page((session) => Promise.all([session.exists("odd"), sessions.list("ada"), session.exists(session.sessionKey)]));
  await page((session) => session.set("a", 3));
  await assert.rejects(
    page((session) => {
      session.set("a", 4);
      throw new Error("own");
    }),
  );
  await page((session) => session.set("a", 5));
  assert.equal(kept(), before);
});
