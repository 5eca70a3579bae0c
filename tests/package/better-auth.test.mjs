// The SecondaryStorage for better-auth: in workerd over real objects, and over a stand-in where an
// answer is needed that a real object does not give. better-auth itself is in tests/frameworks.

import assert from "node:assert/strict";
import { after, before, beforeEach, describe, test } from "node:test";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

import { secondaryStorage } from "../../pkg/better-auth.js";
import { agent } from "../workerd/support/browser.mjs";
import { startWith } from "./support/bundle.mjs";

const PARALLEL = 200;

describe("over real objects, from two isolates", () => {
  let world;
  let keys = 0;
  const newKey = () => `key-${(keys += 1)}`;
  before(async () => {
    const isolates = { one: "here", two: "there" };
    world = await startWith("tests/package/support/secondary-worker.js", {
      isolates,
      objects: true,
      vars: { SESSION_STORAGE: "durable_object" },
    });
  });
  beforeEach(() => {
    // workerd closes a connection that was idle during a long test.
    agent.destroy();
    return world.reset();
  });
  after(() => world?.stop());

  const post = async (path, body, isolate) =>
    (await world.fetch(path, { isolate, method: "POST", body: JSON.stringify(body) })).json;

  /** The results of these calls, which are made in parallel in one invocation. */
  async function calls(all, { isolate, options } = {}) {
    return (await post("/calls", { calls: all, options }, isolate)).map((one) => {
      assert.equal(one.error, undefined, one.error?.message);
      return one.result;
    });
  }
  const call = async (...args) => (await calls([args]))[0];
  const failure = async (...args) => (await post("/calls", { calls: [args] }))[0].error;

  /** The results of this call, made by as many requests at the same time, to both isolates. */
  async function inParallel(...args) {
    const requests = Array.from({ length: PARALLEL }, (_, i) => calls([args], { isolate: world.isolates[i % 2] }));
    const results = await Promise.all(requests);
    agent.destroy();
    return results.flat();
  }

  const numbers = Array.from({ length: PARALLEL }, (_, i) => i + 1);
  const sorted = (results) => results.toSorted((one, other) => one - other);

  test("200 parallel increments of one key count from 1 to 200", async () => {
    const key = newKey();
    assert.deepEqual(sorted(await inParallel("increment", key, 60)), numbers);
    assert.equal(await call("get", key), "200");
    // Likewise in one invocation.
    const other = newKey();
    assert.deepEqual(sorted(await calls(numbers.map(() => ["increment", other, 60]))), numbers);
  });

  test("200 parallel getAndDelete of one key have one winner", async () => {
    const key = newKey();
    await call("set", key, "the value", 60);
    const results = await inParallel("getAndDelete", key);
    assert.deepEqual(results.filter((value) => value !== null), ["the value"]);
    assert.equal(results.length, PARALLEL);
    assert.equal(await call("get", key), null);
    // Likewise in one invocation.
    await call("set", key, "again", 60);
    const again = await calls(numbers.map(() => ["getAndDelete", key]));
    assert.deepEqual(again.filter((value) => value !== null), ["again"]);
  });

  test("set, get and delete, at once in both isolates", async () => {
    const key = newKey();
    assert.equal(await call("get", key), null);
    await call("set", key, "one", 60);
    assert.deepEqual(await calls([["get", key]], { isolate: "two" }), ["one"]);
    await call("set", key, "two");
    assert.deepEqual(await calls([["get", key]], { isolate: "two" }), ["two"]);
    await calls([["delete", key]], { isolate: "two" });
    assert.equal(await call("get", key), null);
    await call("delete", key);
    assert.equal(await call("getAndDelete", key), null);
  });

  test("a value ends after its ttl, in seconds, and not before; without a ttl it stays", async () => {
    await world.freeze();
    const [key, fraction, forever, none] = [newKey(), newKey(), newKey(), newKey()];
    await calls([["set", key, "v", 10], ["set", fraction, "v", 0.5], ["set", forever, "v"], ["set", none, "v", 60]]);
    await world.advance(0.499);
    assert.equal(await call("get", fraction), "v");
    await world.advance(0.001);
    assert.equal(await call("get", fraction), null);
    await world.advance(9.499);
    assert.equal(await call("get", key), "v");
    await world.advance(0.001);
    assert.equal(await call("get", key), null);
    assert.equal(await call("getAndDelete", key), null);
    // better-auth computes a ttl from an instant, which may have passed.
    await call("set", none, "v", 0);
    assert.equal(await call("get", none), null);
    await world.advance(400 * 86_400);
    assert.equal(await call("get", forever), "v");
  });

  test("a counter ends a fixed time after its first increment", async () => {
    await world.freeze();
    const key = newKey();
    assert.equal(await call("increment", key, 10), 1);
    await world.advance(9);
    assert.equal(await call("increment", key, 10), 2);
    await world.advance(0.999);
    assert.equal(await call("increment", key, 10), 3);
    await world.advance(0.001);
    assert.equal(await call("increment", key, 10), 1);
  });

  test("any text is a key or a value", async () => {
    const odd = ["", " ", "ünï/💥", "a\u0000b", "x".repeat(5000), "__proto__"];
    for (const text of odd) await call("set", `odd ${text}`, text, 60);
    for (const text of odd) assert.equal(await call("get", `odd ${text}`), text);
    assert.deepEqual([await failure("get", "\ud800"), await failure("set", "k", "\ud800")].map(({ name }) => name), ["TypeError", "TypeError"]);
  });

  test("a value that is too large is refused, and the previous one stays", async () => {
    const key = newKey();
    const large = "x".repeat(1_000_000);
    await call("set", key, large, 60);
    const { code, message } = await failure("set", key, "x".repeat(1 << 20), 60);
    assert.deepEqual([code, /at most 1048576 are allowed/.test(message)], ["too_large", true]);
    assert.equal(await call("get", key), large);
  });

  test("key prefixes separate applications", async () => {
    const key = newKey();
    await calls([["set", key, "staging", 60]], { options: { keyPrefix: "staging." } });
    assert.equal(await call("get", key), null);
    assert.deepEqual(await calls([["get", key]], { options: { keyPrefix: "staging." } }), ["staging"]);
  });

  test("sessions in the same namespace go on, and share no object with a key", async () => {
    const browser = world.browser();
    for (const views of ["1", "2"]) assert.equal((await browser.fetch("/")).text, views);
    const { value } = browser.get("__Host-session");
    const all = ["s", "e", "m", value, ...value.split(".").flatMap((part) => [part, `a.${part}`, `o.${part}`])];
    for (const key of all) await call("set", key, "v", 60);
    for (const key of all) await call("delete", key);
    assert.equal((await browser.fetch("/")).text, "3");
  });

  test("a key that is deleted leaves nothing in its object, and one that is only read creates nothing", { timeout: 60_000 }, async () => {
    const tables = async (...all) => {
      const { text } = await post("/look", { calls: all, path: "/test/tables" });
      return JSON.parse(text).filter(({ name }) => !name.startsWith("_cf_")); // the runtime's own
    };
    const read = newKey();
    assert.deepEqual(await tables(["get", read], ["delete", read], ["getAndDelete", read]), []);
    for (const [end, ...more] of [["delete"], ["getAndDelete"], ["set", "v", -1]]) {
      const key = newKey();
      assert.deepEqual(await tables(["set", key, "v", 3600]), [{ name: "sessions" }]);
      await post("/look", { calls: [[end, key, ...more]], path: "/test/alarm" });
      assert.deepEqual(await tables(["get", key]), []);
    }
  });
});

/** A namespace whose objects answer as `answer` does; `names` has the objects that were asked. */
function standIn(answer, names = []) {
  return {
    names,
    options: [],
    idFromName: (name) => name,
    get(name, options) {
      names.push(name);
      this.options.push(options);
      return { fetch: async (url, init) => Response.json(await answer(url.split("/").at(-1), JSON.parse(init.body))) };
    },
    jurisdiction(name) {
      names.push(`jurisdiction ${name}`);
      return this;
    },
  };
}

const nothing = (operation) => (operation === "read" ? { rows: [null] } : { done: true });

test("a key's object is named by its hash, not by the key", async () => {
  const namespace = standIn(nothing);
  await secondaryStorage(namespace, { keyPrefix: "shop.", locationHint: "weur", jurisdiction: "eu" }).get("abc");
  const hash = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
  assert.deepEqual(namespace.names, ["jurisdiction eu", `shop.b.${hash}`]);
  assert.deepEqual(namespace.options, [{ locationHint: "weur" }]);
});

test("the functions work without the object that they came in", async () => {
  const { increment, get, set, getAndDelete, delete: remove } = secondaryStorage(standIn(nothing));
  assert.equal(await increment("a", 10), 1);
  assert.deepEqual([await get("a"), await getAndDelete("a"), await set("a", "v"), await remove("a")], [null, null, undefined, undefined]);
});

test("a write that others always overtake fails after 250 tries", async () => {
  let tries = 0;
  const storage = secondaryStorage(
    standIn((operation) => {
      const row = { value: "7", revision: `r${tries}`, expiresAt: Date.now() + 60_000 };
      if (operation === "read") return { rows: [row] };
      tries += 1;
      return { conflict: [{ ...row, revision: `r${tries}` }] };
    }),
  );
  for (const [operation, ask] of [["increment", () => storage.increment("a", 10)], ["getAndDelete", () => storage.getAndDelete("a")]]) {
    tries = 0;
    await assert.rejects(ask, new RegExp(`^Error: secondaryStorage: ${operation} wrote nothing, because 250 other writes of the same key came first`));
    assert.equal(tries, 250);
  }
});

test("a request that fails is not repeated", async () => {
  let asked = 0;
  const lost = new Error("Network connection lost.");
  const namespace = standIn((operation) => {
    if (operation === "read") return { rows: [{ value: "7", revision: "r", expiresAt: Date.now() + 60_000 }] };
    asked += 1;
    throw lost;
  });
  const storage = secondaryStorage(namespace);
  for (const ask of [() => storage.increment("a", 10), () => storage.getAndDelete("a"), () => storage.set("a", "v"), () => storage.delete("a")]) {
    asked = 0;
    await assert.rejects(ask, lost);
    assert.equal(asked, 1);
  }
});

test("mistakes are errors that say what to do", async () => {
  const kv = { get() {}, put() {}, delete() {}, list() {} };
  for (const wrong of [undefined, null, {}, kv]) assert.throws(() => secondaryStorage(wrong), /^TypeError: secondaryStorage: the first argument is not a namespace of Durable Objects\. Pass a binding/);
  const namespace = standIn(() => ({ conflict: [{ value: "no count", revision: "r", expiresAt: Date.now() + 60_000 }] }));
  assert.throws(() => secondaryStorage(namespace, { prefix: "a" }), /no option prefix; its options are keyPrefix, locationHint and jurisdiction$/);
  assert.throws(() => secondaryStorage(namespace, { keyPrefix: 1 }), /keyPrefix must be a string$/);
  const storage = secondaryStorage(namespace);
  await assert.rejects(storage.get(undefined), /the key must be a string/);
  await assert.rejects(storage.set("a", { an: "object" }), /the value must be a string/);
  for (const ttl of [Number.NaN, Infinity, "10"]) await assert.rejects(storage.set("a", "v", ttl), /the ttl must be a number of seconds$/);
  for (const ttl of [0, -1]) await assert.rejects(storage.increment("a", ttl), /the ttl of increment must be more than 0 seconds$/);
  await assert.rejects(storage.increment("a", 10), /increment found a value that is not a count\. Use a key for either counts or values$/);
});

test("nothing but the connector of objects comes with it, and no wasm", async () => {
  const entry = fileURLToPath(new URL("../../pkg/better-auth.js", import.meta.url));
  const { metafile } = await build({ entryPoints: [entry], bundle: true, format: "esm", write: false, metafile: true });
  const names = Object.keys(metafile.inputs).map((path) => path.split("/").at(-1));
  assert.deepEqual(names.toSorted(), ["better-auth.js", "object-connector.js"]);
});
