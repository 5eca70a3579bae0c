// Sessions on a store with transactions: in memory, and in Durable Objects, with a fake namespace over the
// same memory.

import assert from "node:assert/strict";
import { test } from "node:test";

import { CookieJar } from "../../pkg/cookie-jar.js";
import { ManualClock, MemoryConnector, Sessions } from "../../pkg/node.js";
import { Browser, SECRET, START, code, world } from "./support/world.mjs";

/** A namespace whose objects are the shards of `memory`. `fail` may throw before or after a call. */
class Namespace {
  hints = [];
  fail = { before() {}, after() {} };

  constructor(memory) {
    this.memory = memory;
  }

  idFromName(name) {
    return { name };
  }

  get({ name }, options) {
    this.hints.push(options?.locationHint);
    return { fetch: (url, init) => this.#answer(name, url.split("/").at(-1), JSON.parse(init.body)) };
  }

  jurisdiction(name) {
    if (name === "fedramp") throw new Error("not available here");
    const inside = new Namespace(this.memory);
    inside.idFromName = (id) => ({ name: `${name}/${id}` });
    return inside;
  }

  async #answer(shard, operation, body) {
    this.fail.before(operation);
    const { memory } = this;
    const answer =
      operation === "read"
        ? { rows: await memory.read(shard, body.keys) }
        : operation === "transact"
          ? await memory.transact(shard, body.checks, body.writes)
          : await memory.list(shard, body.prefix, body.cursor);
    this.fail.after(operation);
    return Response.json(answer);
  }
}

/** A world with one of the two, and its memory. */
function strong(kind = "memory", settings) {
  const clock = new ManualClock(START);
  const memory = MemoryConnector.strong({ clock });
  const connector = kind === "memory" ? memory : new Namespace(memory);
  const sessions = new Sessions(connector, { secret: SECRET, clock, ...settings });
  return { clock, memory, connector, sessions, browser: new Browser(sessions, clock) };
}

const login = (browser, user) => browser.ask((session) => session.bind(user));

for (const kind of ["memory", "objects"]) {
  test(`a session is kept in ${kind}: one read for a load, one transaction for a save`, async () => {
    const { browser, memory } = strong(kind);
    const { response } = await browser.visit((session) => session.set("a", 'text "1"\n'));
    assert.deepEqual(
      response.headers.getSetCookie().map((line) => line.split("=")[0]),
      ["__Host-session"],
    );
    memory.resetOperations();
    assert.equal(await browser.ask((session) => session.get("a")), 'text "1"\n');
    assert.deepEqual(memory.operations, { reads: 1, transactions: 0, lists: 0 });
    await browser.ask((session) => session.set("a", 2));
    assert.deepEqual(memory.operations, { reads: 2, transactions: 1, lists: 0 });
  });

  test(`parallel saves of different keys both survive in ${kind}`, async () => {
    const { browser } = strong(kind);
    await browser.ask((session) => session.set("a", 1));
    const [one, two] = [await browser.load(), await browser.load()];
    one.set("b", 2);
    two.set("c", 3);
    await one.save();
    await two.save();
    assert.deepEqual(await browser.ask((session) => ({ ...session.data })), { a: 1, b: 2, c: 3 });
  });

  test(`a logout holds in ${kind} when it returns, and for saves under way`, async () => {
    const { browser } = strong(kind);
    await login(browser, "ada");
    const [copied, late] = [browser.clone(), await browser.load()];
    late.set("b", 2);
    await browser.ask((session) => session.destroy());
    assert.equal(await copied.ask((session) => session.outcome), "revoked");
    await assert.rejects(late.save(), code("revoked"));
    assert.equal(browser.cookie, null);
  });

  test(`"log out everywhere" is one transaction in ${kind}, and lists are exact`, async () => {
    const { browser, sessions, memory } = strong(kind);
    const others = [browser.clone(), browser.clone(), browser.clone()];
    for (const one of [browser, ...others]) await login(one, "ada");
    const key = await browser.ask((session) => session.sessionKey);
    assert.equal((await sessions.list("ada")).length, 4);
    memory.resetOperations();
    await sessions.revokeAll("ada", { except: key });
    assert.deepEqual(memory.operations, { reads: 0, transactions: 1, lists: 0 });
    assert.deepEqual((await sessions.list("ada")).map((it) => it.key), [key]);
    for (const one of others) assert.equal(await one.ask((session) => session.outcome), "revoked");
    await sessions.revoke("ada", key);
    assert.deepEqual(await sessions.list("ada"), []);
  });

  test(`a new key leaves the old one readable in ${kind}, and a key can be looked up and deleted`, async () => {
    const { browser, sessions } = strong(kind);
    await browser.ask((session) => session.set("a", 1));
    const old = browser.clone();
    await browser.ask((session) => session.cycleKey());
    assert.equal(await old.ask((session) => `${session.outcome} ${session.get("a")}`), "rotated 1");
    const key = await browser.ask((session) => session.sessionKey);
    const admin = await sessions.load(null);
    assert.equal(await admin.exists(key), true);
    await admin.delete(key);
    assert.equal(await admin.exists(key), false);
  });
}

test("the sessions of Durable Objects have no staleness bound", () => {
  assert.equal(strong("objects").sessions.stalenessBound, 0);
  assert.equal(world().sessions.stalenessBound, 102);
});

test("a transaction whose answer was lost is asked for once more, and done once", async () => {
  const { browser, connector, memory } = strong("objects");
  await browser.ask((session) => session.set("a", 1));
  let lost = 0;
  connector.fail.after = (operation) => {
    if (operation === "transact" && lost++ === 0) throw new Error("Network connection lost.");
  };
  memory.resetOperations();
  await browser.ask((session) => session.set("a", session.get("a") + 1));
  assert.equal(memory.operations.transactions, 2);
  assert.equal(await browser.ask((session) => session.get("a")), 2);
});

test("an overloaded object is not asked again: 503 and Retry-After", async () => {
  const { browser, connector } = strong("objects");
  await browser.ask((session) => session.set("a", 1));
  let calls = 0;
  connector.fail.before = (operation) => {
    if (operation !== "transact") return;
    calls += 1;
    throw Object.assign(new Error("Durable Object is overloaded."), { overloaded: true });
  };
  const { response } = await browser.visit((session) => session.set("a", 2));
  assert.deepEqual([response.status, response.headers.has("retry-after"), calls], [503, true, 1]);
  assert.equal((await response.json()).code, "rate_limited");
});

test("from the first transaction on, the rest is given to waitUntil", async () => {
  const { browser, sessions } = strong("objects");
  const held = [];
  const ctx = { waitUntil: (promise) => held.push(promise) };
  const response = await sessions.handle(browser.request(), ctx, (session) => {
    session.bind("ada");
    return new Response("ok");
  });
  browser.keep(response);
  assert.equal(held.length, 1);
  await browser.ask((session) => session.get("a"));
  assert.equal(held.length, 1, "a load is not");
});

test("where objects are is said by two settings", async () => {
  const { connector, sessions, clock, memory } = strong("objects", { locationHint: "weur" });
  await new Browser(sessions, clock).ask((session) => session.set("a", 1));
  assert.deepEqual(connector.hints, ["weur"]);
  const inEurope = strong("objects", { jurisdiction: "eu" });
  await inEurope.browser.ask((session) => session.set("a", 1));
  assert.equal(await inEurope.browser.ask((session) => session.get("a")), 1);
  assert.deepEqual(memory.operations.transactions, 1);
});

test("the store and its settings have to fit, and the error says what to do", () => {
  const objects = () => new Namespace(MemoryConnector.strong());
  const kv = { get() {}, put() {}, delete() {}, list() {} };
  const secret = SECRET;
  const cases = [
    [() => new Sessions(undefined, { secret, storage: "durable_object" }), "missing_binding", /bind the Durable Object class SessionObject/],
    [() => new Sessions(kv, { secret, storage: "durable_object" }), "config", /^storage: durable_object needs a namespace of Durable Objects/],
    [() => new Sessions(objects(), { secret, storage: "kv" }), "config", /leave storage out, or use durable_object/],
    [() => new Sessions(objects(), { secret, maxRecordBytes: 262_145 }), "config", /^maxRecordBytes: "262145" is not allowed in Durable Objects.*use at most 262144/],
    [() => new Sessions(kv, { secret, locationHint: "weur" }), "config", /^locationHint: "weur" is not allowed; .*set storage to durable_object/],
    [() => new Sessions(objects(), { secret, locationHint: "mars" }), "config", /^locationHint: "mars" is not allowed; use one of wnam/],
    [() => new Sessions(objects(), { secret, jurisdiction: "fedramp" }), "config", /the runtime refuses the jurisdiction "fedramp": not available here/],
    [() => new Sessions({ transact() {}, read() {} }, { secret }), "missing_binding", /no method list/],
    [
      () => Sessions.fromEnv({ SESSION_SECRET: secret, SESSION_STORAGE: "durable_object", SESSIONS: kv }),
      "missing_binding",
      /^SESSION_OBJECTS is not bound: SESSION_STORAGE is durable_object/,
    ],
    [
      () => Sessions.fromEnv({ SESSION_SECRET: secret, SESSION_STORAGE: "durable_object", SESSION_OBJECTS: kv }),
      "config",
      /^SESSION_STORAGE: durable_object needs a namespace of Durable Objects, and SESSION_OBJECTS is not one/,
    ],
    [
      () => Sessions.fromEnv({ SESSION_SECRET: secret, SESSIONS: objects() }),
      "config",
      /^SESSIONS is a namespace of Durable Objects: bind it as SESSION_OBJECTS and set SESSION_STORAGE/,
    ],
    [
      () => Sessions.fromEnv({ SESSION_SECRET: secret, SESSIONS: kv, SESSION_JURISDICTION: "eu" }),
      "config",
      /^SESSION_JURISDICTION: "eu" is not allowed; .*set SESSION_STORAGE to durable_object/,
    ],
  ];
  for (const [make, wanted, message] of cases) {
    assert.throws(make, (error) => {
      assert.equal(error.code, wanted, error.message);
      assert.match(error.message, message);
      return true;
    });
  }
});

test("an environment chooses Durable Objects by a variable", async () => {
  const clock = new ManualClock(Date.now());
  const memory = MemoryConnector.strong({ clock });
  const env = { SESSION_SECRET: SECRET, SESSION_STORAGE: "durable_object", SESSION_OBJECTS: new Namespace(memory) };
  const sessions = Sessions.fromEnv(env);
  assert.equal(sessions.stalenessBound, 0);
  const jar = new CookieJar(() => Date.now());
  const browser = new Browser(sessions, clock, jar);
  await browser.ask((session) => session.set("a", 1));
  assert.equal(await browser.ask((session) => session.get("a")), 1);
  assert.ok(memory.operations.transactions > 0);
});

test("an answer of another form is an outage, never an absence", async () => {
  for (const rows of [[], [5], [{ value: "x" }], undefined]) {
    const memory = MemoryConnector.strong();
    const odd = {
      read: async (shard, keys) => (odd.answers ? rows : memory.read(shard, keys)),
      transact: (...call) => memory.transact(...call),
      list: (...call) => memory.list(...call),
    };
    const sessions = new Sessions(odd, { secret: SECRET });
    const browser = new Browser(sessions, { now: () => Date.now() });
    await browser.ask((session) => session.set("a", 1));
    odd.answers = true;
    const session = await browser.load();
    assert.equal(session.outcome, "unavailable", JSON.stringify(rows));
  }
});

test("a logout is finished even if the browser disconnects before its first write", async () => {
  const { memory, clock, browser } = strong();
  await login(browser, "ada");
  const thief = browser.clone();
  let release;
  let isHeld = false;
  const held = new Promise((resolve) => (release = resolve));
  const connector = {
    kind: "memory",
    async read(...args) {
      if (isHeld) await held;
      return memory.read(...args);
    },
    transact: (...args) => memory.transact(...args),
    list: (...args) => memory.list(...args),
  };
  // While a secret is being replaced, a logout first reads where else the user has sessions.
  const sessions = new Sessions(connector, { secret: ["another-secret-of-at-least-32-bytes-in-all", SECRET], clock });
  const waited = [];
  const ctx = { waitUntil: (promise) => waited.push(promise) };
  const answer = sessions.handle(browser.request(), ctx, async (session) => {
    assert.equal(session.owner, "ada");
    isHeld = true;
    const ended = session.destroy();
    await new Promise((resolve) => setImmediate(resolve));
    assert.equal(waited.length, 1);
    release();
    await ended;
    return new Response();
  });
  assert.equal((await answer).status, 200);
  assert.equal((await sessions.load(thief.cookie)).outcome, "revoked");
});
