// The tests' own storage, through the runtime's real KV binding.

import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";
import { fileURLToPath } from "node:url";

import { startWorker } from "./support/harness.mjs";

let world;

before(async () => {
  world = await startWorker({
    directory: fileURLToPath(new URL("support/kv-worker", import.meta.url)),
    isolates: { paris: "CDG", lyon: "CDG", tokyo: "NRT" },
  });
});
beforeEach(async () => {
  await world.reset();
  await world.freeze();
});
after(() => world.stop());

/** An operation of the KV binding, as code in that isolate would call it. */
async function kv(isolate, call, ...args) {
  const body = JSON.stringify({ call, args });
  const { json } = await world.fetch("/", { isolate, method: "POST", body });
  if (json.error) throw new Error(json.error);
  return json.value;
}

const get = (isolate, key, cacheTtl) => kv(isolate, "get", key, { type: "text", cacheTtl });
const put = (isolate, key, value, options = {}) => kv(isolate, "put", key, value, options);

test("what is put is read back, alone and in bulk", async () => {
  await put("paris", "a/b ü&c", "text ü");
  assert.equal(await get("paris", "a/b ü&c"), "text ü");
  assert.equal(await get("paris", "none"), null);
  assert.deepEqual(await kv("paris", "get", ["none", "a/b ü&c"], { type: "text", cacheTtl: 30 }), {
    none: null,
    "a/b ü&c": "text ü",
  });
  await kv("paris", "delete", "a/b ü&c");
  await kv("paris", "delete", "a/b ü&c");
  assert.equal(await get("paris", "a/b ü&c"), null);
});

test("operations and keys are counted, whatever their answer", async () => {
  await world.storage.addFault({ op: "delete", status: 500 });
  const { counts, log } = await world.storage.counted(async () => {
    await put("paris", "a", "1", { expirationTtl: 60 });
    await get("paris", "none");
    await kv("paris", "get", ["a", "b", "c"], { type: "text" });
    await kv("paris", "list");
    await assert.rejects(kv("paris", "delete", "a"));
  });
  assert.deepEqual(counts, { reads: 2, keysRead: 4, puts: 1, deletes: 1, lists: 1 });
  assert.deepEqual(log.map((entry) => [entry.op, entry.keys, entry.status]), [
    ["put", ["a"], 200],
    ["read", ["none"], 404],
    ["read", ["a", "b", "c"], 200],
    ["list", [], 200],
    ["delete", ["a"], 500],
  ]);
  assert.equal(log[0].ttl, 60);
});

test("what is still to come is waited for", async () => {
  let come = false;
  const waited = world.storage.logged({ op: "put", prefix: "b", status: 200, count: 2 });
  waited.then(() => (come = true));
  for (const [key, expected] of [["a", false], ["b1", false], ["b2", true]]) {
    await put("paris", key, "1");
    if (expected) await waited;
    assert.equal(come, expected, key);
  }
});

test("a value is gone at the end of its time to live, a listing too", async () => {
  await put("paris", "a", "1", { expirationTtl: 60 });
  await world.advance(59);
  assert.equal(await get("paris", "a"), "1");
  await world.advance(1);
  assert.equal(await get("paris", "a"), null);
  assert.deepEqual((await kv("paris", "list")).keys, []);
  assert.deepEqual(await world.storage.dump(), {});
});

test("a listing has metadata, a prefix and pages", async () => {
  await put("paris", "t.1", "", { metadata: "other" });
  for (let i = 0; i < 5; i += 1) await put("paris", `s.${i}`, "", { metadata: `m"${i}` });
  const first = await kv("paris", "list", { prefix: "s.", limit: 3 });
  assert.equal(first.list_complete, false);
  const second = await kv("paris", "list", { prefix: "s.", limit: 3, cursor: first.cursor });
  assert.equal(second.list_complete, true);
  const listed = [...first.keys, ...second.keys];
  assert.deepEqual(listed.map((key) => key.name), ["s.0", "s.1", "s.2", "s.3", "s.4"]);
  assert.deepEqual(listed.map((key) => key.metadata), ['m"0', 'm"1', 'm"2', 'm"3', 'm"4']);
});

test("what Workers KV refuses is refused in its words", async () => {
  const refused = (call, ...args) => assert.rejects(kv("paris", call, ...args), { message: args.pop() });
  await refused("get", "a", { cacheTtl: 29 },
    "KV GET failed: 400 Invalid cache_ttl of 29. Cache TTL must be at least 30.");
  await refused("put", "a", "1", { expirationTtl: 59 },
    "KV PUT failed: 400 Invalid expiration_ttl of 59. Expiration TTL must be at least 60.");
  await refused("put", "a", "1", { metadata: "m".repeat(1023) },
    "KV PUT failed: 413 Metadata length of 1025 exceeds limit of 1024.");
  const keys = Array.from({ length: 101 }, (_, i) => `k${i}`);
  await refused("get", keys, "KV GET_BULK failed: 400 You can request a maximum of 100 keys");
  assert.deepEqual(await world.storage.dump(), {});
});

test("a location caches values and absences, and sees its own writes", async () => {
  await world.storage.set({ caching: true });
  assert.equal(await get("tokyo", "a", 30), null);
  await put("paris", "a", "1");
  assert.equal(await get("paris", "a", 30), "1");
  assert.equal(await get("lyon", "a", 30), "1", "the same location");
  assert.equal(await get("tokyo", "a", 30), null, "a cached absence");
  await world.advance(29);
  assert.equal(await get("tokyo", "a", 30), null);
  await world.advance(1);
  assert.equal(await get("tokyo", "a", 30), "1");

  await put("paris", "a", "2");
  assert.equal(await get("tokyo", "a", 30), "1", "a cached value");
  await kv("paris", "delete", "a");
  await world.advance(30);
  assert.equal(await get("tokyo", "a", 60), "1", "a longer cacheTtl");
  assert.equal(await get("tokyo", "a", 30), null, "a shorter one");
});

test("an expiry beats the cache", async () => {
  await world.storage.set({ caching: true });
  await put("paris", "a", "1", { expirationTtl: 60 });
  await world.advance(50);
  assert.equal(await get("tokyo", "a", 3600), "1");
  await world.advance(10);
  assert.equal(await get("tokyo", "a", 3600), null);
});

test("a write takes its time to be seen elsewhere", async () => {
  await put("paris", "a", "1");
  await world.storage.set({ propagation: 5000 });
  await world.advance(5);
  await put("paris", "a", "2");
  assert.equal(await get("paris", "a"), "2");
  assert.equal(await get("tokyo", "a"), "1");
  await world.advance(5);
  assert.equal(await get("tokyo", "a"), "2");
});

test("one key takes one write a second, where that is asked for", async () => {
  await put("paris", "a", "1");
  await put("paris", "a", "2");
  await world.storage.set({ limitWrites: true });
  const tooMany = { message: "KV PUT failed: 429 Too Many Requests" };
  await assert.rejects(put("tokyo", "a", "3"), tooMany);
  await put("tokyo", "b", "1");
  await world.advance(1);
  await put("tokyo", "a", "4");
  assert.equal(await get("paris", "a"), "4");
});

test("faults strike what they name, as often as they say", async () => {
  await world.storage.addFault({ op: "put", prefix: "s.", location: "CDG", status: 503, times: 2 });
  const unavailable = { message: "KV PUT failed: 503 Service Unavailable" };
  await put("paris", "k.a", "1");
  await put("tokyo", "s.a", "1");
  await assert.rejects(put("paris", "s.a", "2"), unavailable);
  await assert.rejects(put("lyon", "s.a", "2"), unavailable);
  await put("paris", "s.a", "3");

  await world.storage.addFault({ op: "read", status: 500 });
  await assert.rejects(get("paris", "s.a"), { message: "KV GET failed: 500 Internal Server Error" });
  await assert.rejects(kv("paris", "get", ["s.a", "k.a"]), {
    message: "KV GET_BULK failed: 500 Internal Server Error",
  });
  await world.storage.clearFaults();
  assert.equal(await get("paris", "s.a"), "3");
});

test("a put may be applied though reported as failed, or lost though reported as done", async () => {
  await world.storage.addFault({ op: "put", status: 500, applied: true, times: 1 });
  await world.storage.addFault({ op: "put", lost: true, times: 1 });
  await assert.rejects(put("paris", "applied", "1"));
  await put("paris", "lost", "1");
  assert.deepEqual(Object.keys(await world.storage.dump()), ["applied"]);
});

test("a spent quota throws the platform's text", async () => {
  await world.storage.addFault({ op: "put", throws: "KV put() limit exceeded for the day." });
  await assert.rejects(put("paris", "a", "1"), { message: "KV put() limit exceeded for the day." });
});

test("an operation can be held before and after it happens", async () => {
  for (const [hold, stored] of [["before", []], ["after", ["a"]]]) {
    await world.reset();
    await world.storage.addFault({ op: "put", hold, times: 1 });
    const slow = put("paris", "a", "1");
    await world.storage.holding(1);
    assert.deepEqual(Object.keys(await world.storage.dump()), stored);
    await put("paris", "b", "meanwhile");
    await world.storage.clearFaults();
    await slow;
    assert.deepEqual(Object.keys(await world.storage.dump()).sort(), ["a", "b"]);
  }
});

test("the clock of every isolate and of the storage can stop, move and run", async () => {
  const shown = async (isolate) => (await world.fetch("/now", { isolate })).json;
  await world.advance(86_400);
  for (const isolate of world.isolates) assert.equal(await shown(isolate), world.now());
  await world.reset();
  for (const isolate of world.isolates) {
    const before = Date.now();
    const time = await shown(isolate);
    assert.ok(time >= before && time <= Date.now());
  }
});
