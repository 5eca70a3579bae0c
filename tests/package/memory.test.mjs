// The memory that the wasm uses, whatever connectors and configurations an application creates.

import assert from "node:assert/strict";
import { test } from "node:test";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

import { kept } from "../../pkg/glue.js";
import { MemoryConnector, Sessions } from "../../pkg/node.js";
import { SECRET } from "./support/world.mjs";

/** The `console.warn` messages of `act`. */
async function warnings(act) {
  const { warn } = console;
  const lines = [];
  console.warn = (...args) => lines.push(args.join(" "));
  try {
    await act();
  } finally {
    console.warn = warn;
  }
  return lines;
}

/** A request that saves, or reads the session of `cookie`. Returns the cookie. */
async function visit(sessions, cookie) {
  const request = new Request("https://example.com/", { headers: cookie ? { cookie } : {} });
  const response = await sessions.handle(request, null, (session) => {
    if (cookie) assert.equal(session.get("a"), "x".repeat(1_000));
    else session.set("a", "x".repeat(1_000));
    return new Response("ok");
  });
  return response.headers.getSetCookie().map((line) => line.split(";")[0]).join("; ");
}

test("a prefix for each of many tenants takes bounded memory and causes no warning", async () => {
  const memory = new MemoryConnector();
  const tenant = (n) => new Sessions(memory, { secret: SECRET, keyPrefix: `tenant-${n}.` });
  const said = await warnings(async () => {
    const first = tenant(0);
    const cookie = await visit(first);
    let before;
    for (let n = 1; n <= 2_000; n += 1) {
      if (n === 500) before = first.stats.wasmBytes;
      await visit(tenant(n));
    }
    const { wasmBytes } = first.stats;
    assert.ok(wasmBytes - before < 1024 * 1024, `${before} bytes became ${wasmBytes}`);
    await visit(first, cookie);
    await visit(tenant(0), cookie);
  });
  assert.deepEqual(said, []);
});

test("what a stopped request has asked the store is freed", async (t) => {
  setFlagsFromString("--expose-gc");
  const collectGarbage = runInNewContext("gc");
  // If the browser goes away, the runtime stops the request: no answer arrives, and no timer fires.
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const never = () => new Promise(() => {});
  const sessions = new Sessions({ read: never, put() {}, delete() {}, list: never }, { secret: SECRET });
  const before = kept();
  for (let n = 0; n < 200; n += 1) void sessions.list("ada");
  const during = kept();
  assert.ok(during > before + 190, `${during - before} are kept`);
  t.mock.timers.reset();
  for (let i = 0; i < 10; i += 1) {
    collectGarbage();
    await new Promise((resolve) => setImmediate(resolve));
  }
  await sessions.load("no=cookie"); // the next call tells the core what it may free
  assert.ok(kept() < during - 180, `${kept() - before} are kept`);
});

test("a connector that is wrapped anew for each request takes bounded memory, and is warned of once", async () => {
  const memory = new MemoryConnector();
  const wrap = () => ({
    read: (...args) => memory.read(...args),
    put: (...args) => memory.put(...args),
    delete: (...args) => memory.delete(...args),
  });
  // The test keeps them, so that garbage collection cannot free them.
  const held = [];
  const wrapped = (options) => {
    const sessions = new Sessions(wrap(), { secret: SECRET, ...options });
    held.push(sessions);
    return sessions;
  };
  let open;
  const silent = await warnings(async () => {
    for (let n = 0; n < 300; n += 1) await visit(wrapped({ disableWarnings: true }));
  });
  assert.deepEqual(silent, []);
  const said = await warnings(async () => {
    const first = wrapped();
    const cookie = await visit(first);
    open = await first.load(cookie);
    const before = first.stats.wasmBytes;
    for (let n = 0; n < 2_000; n += 1) await visit(wrapped());
    const { wasmBytes } = first.stats;
    assert.ok(wasmBytes - before < 1024 * 1024, `${before} bytes became ${wasmBytes}`);
    // Open sessions still work, and kept Sessions can be used again.
    open.set("b", 1);
    await first.commitHeaders(open);
    await visit(first, cookie);
    // Its table was dropped, like those of the other connectors, and contains what was read since then.
    assert.equal(first.stats.tableEntries, 1);
    assert.deepEqual(await wrapped().stats.tableEntries, 0);
  });
  assert.equal(said.length, 1);
  assert.match(said[0], /passed 100 KV namespaces or connectors.*pass the same object/);
});
