// A custom connector: its arguments, and how its values and errors are passed on.

import assert from "node:assert/strict";
import { test } from "node:test";

import { ManualClock, MemoryConnector, SessionError, Sessions } from "../../pkg/node.js";
import { SECRET, START, code, world } from "./support/world.mjs";

/** A connector over memory that logs its calls. `answers` replaces methods. */
function recording(answers = {}) {
  const memory = new MemoryConnector();
  const calls = [];
  const connector = { kind: "memory", calls };
  for (const name of ["read", "put", "delete", "list"]) {
    connector[name] = function (...args) {
      assert.equal(this, connector, "called as a method");
      calls.push([name, ...args]);
      return (answers[name] ?? memory[name].bind(memory))(...args);
    };
  }
  return connector;
}

test("it is called as documented", async () => {
  const connector = recording();
  const { browser } = world({ connector, settings: { isolateCacheTtl: 0 } });
  await browser.ask((session) => session.bind("ada"));
  await browser.ask((session) => assert.equal(session.owner, "ada"));
  const puts = connector.calls.filter(([name]) => name === "put");
  const [, key, value, options] = puts.at(-1);
  assert.match(key, /^s\.[\w-]{22}\.[\w-]{22}\.[\w-]{22}$/);
  assert.equal(typeof value, "string");
  assert.deepEqual(Object.keys(options), ["ttl", "metadata"]);
  assert.equal(options.ttl, 604_800);
  assert.equal(typeof options.metadata, "string");
  const [, keys, reading] = connector.calls.findLast(([name]) => name === "read");
  assert.ok(Array.isArray(keys) && keys.includes(key));
  assert.deepEqual(reading, { cacheTtl: 30 });
});

test("methods may answer at once, and undefined is an absence", async () => {
  const values = new Map();
  const { browser } = world({
    connector: {
      read: (keys) => keys.map((key) => values.get(key)),
      put: (key, value) => void values.set(key, value),
      delete: (key) => values.delete(key),
    },
  });
  await browser.ask((session) => session.set("a", 1));
  assert.equal(await browser.ask((session) => session.get("a")), 1);
});

test("an error comes out as the cause, the very same object", async () => {
  const kinds = {
    quota: ["quota", 503],
    too_large: ["too_large", 413],
    unsupported: ["unsupported", 500],
    other: ["unavailable", 503],
  };
  for (const [given, [expected, status]] of Object.entries(kinds)) {
    const thrown = Object.assign(new RangeError("the store's own words"), { code: given });
    const { browser } = world({
      connector: recording({
        put: async () => {
          throw thrown;
        },
      }),
    });
    const session = await browser.load();
    session.set("a", 1);
    await assert.rejects(session.save(), (error) => {
      assert.ok(error instanceof SessionError);
      assert.equal(error.code, expected);
      assert.equal(error.status, status);
      assert.equal(error.cause, thrown);
      assert.ok(!error.message.includes("own words"));
      return true;
    });
    assert.equal(session.get("a"), 1, "the change stays");
  }
});

test("whatever is thrown, at once or later, is a typed error", async () => {
  const exotic = {
    get message() {
      throw new Error("no message");
    },
  };
  for (const thrown of ["text", 7, null, exotic, Symbol("x"), new Error("x")]) {
    for (const read of [
      () => {
        throw thrown;
      },
      () => Promise.reject(thrown),
    ]) {
      const good = world();
      await good.browser.ask((session) => session.set("a", 1));
      const sessions = new Sessions(recording({ read }), { secret: SECRET, clock: good.clock });
      const session = await sessions.load(good.browser.request());
      assert.equal(session.outcome, "unavailable");
      assert.throws(() => session.get("a"), (error) => code("unavailable")(error) && error.cause === thrown);
    }
  }
});

test("an answer of the wrong form does not count as absence", async () => {
  const good = world();
  await good.browser.ask((session) => session.set("a", 1));
  for (const answer of [undefined, null, {}, [], [null], ["x", null, null, null, null], [1, 2], "text"]) {
    const sessions = new Sessions(recording({ read: async () => answer }), { secret: SECRET, clock: good.clock });
    const session = await sessions.load(good.browser.request());
    assert.equal(session.outcome, "unavailable", JSON.stringify(answer));
  }
});

test("without list, sessions cannot be listed", async () => {
  const memory = new MemoryConnector();
  const { read, put, delete: remove } = memory;
  const connector = { read: read.bind(memory), put: put.bind(memory), delete: remove.bind(memory) };
  const sessions = new Sessions(connector, { secret: SECRET });
  await assert.rejects(sessions.list("ada"), code("unsupported"));
  await sessions.revokeAll("ada");
  assert.throws(() => new Sessions({ ...connector, list: "no" }, { secret: SECRET }), code("missing_binding"));
});

test("a KV namespace is one by its methods, and is called as its documentation says", async () => {
  const calls = [];
  const values = new Map();
  const kv = {
    async get(keys, options) {
      calls.push(["get", keys, options]);
      return Array.isArray(keys) ? new Map(keys.map((key) => [key, values.get(key) ?? null])) : (values.get(keys) ?? null);
    },
    async put(key, value, options) {
      calls.push(["put", key, options]);
      values.set(key, value);
    },
    async delete(key) {
      values.delete(key);
    },
    async list({ prefix }) {
      const keys = [...values.keys()].filter((name) => name.startsWith(prefix));
      return { keys: keys.map((name) => ({ name })), list_complete: true };
    },
  };
  const { browser, sessions, clock } = world({ connector: kv, settings: { isolateCacheTtl: 0, kvCacheTtl: 45 } });
  await browser.ask((session) => session.set("a", 1));
  assert.deepEqual(calls.map(([name]) => name), ["put"]);
  assert.deepEqual(calls[0][2], { expirationTtl: 604_800, metadata: undefined });
  assert.equal(await browser.ask((session) => session.get("a")), 1);
  const [, keys, options] = calls.at(-1);
  assert.equal(keys.length, 2);
  assert.deepEqual(options, { type: "text", cacheTtl: 45 });
  await sessions.load(browser.request(), { fresh: true });
  assert.equal(calls.at(-1)[2].cacheTtl, 30);
  assert.deepEqual(await sessions.list("ada"), []);

  // Its errors have no code. Their message says what kind of error it is.
  for (const [message, expected] of [
    ["KV PUT failed: 413 Value length of 26214401 exceeds limit of 26214400.", "too_large"],
    ["KV put() limit exceeded for the day.", "quota"],
    ["KV PUT failed: 400 Bad Request", "unavailable"],
  ]) {
    const failing = {
      ...kv,
      put: async () => {
        throw new Error(message);
      },
    };
    const session = await new Sessions(failing, { secret: SECRET, clock }).load();
    session.set("a", 1);
    await assert.rejects(session.save(), (error) => code(expected)(error) && error.cause.message === message);
  }
  // A key that is missing in the reply does not count as absent.
  const lossy = { ...kv, get: async () => new Map() };
  assert.equal((await new Sessions(lossy, { secret: SECRET, clock }).load(browser.request())).outcome, "unavailable");
});

test("the memory connector keeps times to live by its clock", async () => {
  const clock = new ManualClock(START);
  const memory = new MemoryConnector({ clock });
  await memory.put("a", "1", { ttl: 60, metadata: "m" });
  await memory.put("b", "2");
  clock.advance(59_999);
  assert.deepEqual(await memory.read(["b", "a", "c"]), ["2", "1", null]);
  assert.deepEqual(await memory.list({ prefix: "a" }), { keys: [{ name: "a", metadata: "m" }], cursor: undefined });
  clock.advance(1);
  assert.deepEqual(await memory.read(["a"]), [null]);
  assert.equal(memory.size, 1);
  assert.deepEqual(memory.operations, { reads: 2, keysRead: 4, puts: 2, deletes: 0, lists: 1 });
  for (let i = 0; i < 1001; i++) await memory.put(`p.${String(i).padStart(4, "0")}`, "");
  const first = await memory.list({ prefix: "p." });
  assert.equal(first.keys.length, 1000);
  const second = await memory.list({ prefix: "p.", cursor: first.cursor });
  assert.deepEqual([second.keys.length, second.cursor], [1, undefined]);
});

test("sessions live by the clock of their memory connector", async () => {
  const clock = new ManualClock(START);
  const sessions = new Sessions(new MemoryConnector({ clock }), { secret: SECRET, idleTimeout: 0 });
  const session = await sessions.load();
  session.set("a", 1);
  assert.deepEqual(session.getExpiryDate(), new Date(START + 604_800_000));
});

test("an empty cursor of a list is none", async () => {
  const { memory, clock, browser } = world();
  await browser.ask((session) => session.bind("ada"));
  let pages = 0;
  const list = async (options) => {
    pages += 1;
    assert.ok(pages < 5, "the first page is asked for again");
    return { ...(await memory.list(options)), cursor: "" };
  };
  const connector = { kind: "memory", list };
  for (const name of ["read", "put", "delete"]) connector[name] = (...args) => memory[name](...args);
  const sessions = new Sessions(connector, { secret: SECRET, clock });
  assert.equal((await sessions.list("ada")).length, 1);
  await sessions.revokeAll("ada");
});
