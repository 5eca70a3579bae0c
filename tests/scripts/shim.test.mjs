// The Worker's entry module with an instance that fails on demand. The shim and the runtime are real, the wasm
// is not.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { Log, LogLevel, Miniflare, convertV4MiniflareOptions } from "miniflare";

const shim = readFileSync(new URL("../../scripts/worker-shim.mjs", import.meta.url), "utf8");

// Answers with the number of its instance, later, never, or after a failure.
const glue = `
  let instances = 0;
  const never = () => new Promise(() => {});
  const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
  export function instantiate() {
    const number = ++instances;
    const state = { criticalError: false };
    return {
      __worker_init_state: () => state,
      async fetch(request) {
        const { pathname, searchParams } = new URL(request.url);
        await sleep(Number(searchParams.get("after") ?? 0));
        if (pathname === "/panic") {
          state.criticalError = true; // set by the panic hook, before the trap
          queueMicrotask(() => { throw new WebAssembly.RuntimeError("unreachable"); });
          return never();
        }
        if (pathname === "/trap") {
          queueMicrotask(() => { throw new WebAssembly.RuntimeError("memory access out of bounds"); });
          return never();
        }
        if (pathname === "/overflow") throw new RangeError("Maximum call stack size exceeded");
        if (pathname === "/error") throw new Error("a JavaScript error");
        return new Response(String(number));
      },
    };
  }`;

let worker;
before(() => {
  worker = new Miniflare(
    convertV4MiniflareOptions({
      modules: [
        { type: "ESModule", path: "index.js", contents: shim },
        { type: "ESModule", path: "edge_session.js", contents: glue },
        { type: "CompiledWasm", path: "edge_session_bg.wasm", contents: Buffer.from("0061736d01000000", "hex") },
      ],
      compatibilityDate: "2026-11-01",
      cf: false,
      log: new Log(LogLevel.NONE),
      handleStructuredLogs() {},
    }),
  );
});
after(() => worker.dispose());

const get = async (path) => {
  const answer = await worker.dispatchFetch(`http://localhost${path}`);
  return { status: answer.status, type: answer.headers.get("content-type"), text: await answer.text() };
};
const instance = async (path = "/") => Number((await get(path)).text);

async function answers500(answer) {
  const { status, type, text } = await answer;
  assert.equal(status, 500);
  assert.equal(type, "application/problem+json");
  assert.equal(JSON.parse(text).code, "internal");
}

test("one instance serves until it fails", async () => {
  assert.equal(await instance(), await instance());
});

for (const failure of ["panic", "trap", "overflow"]) {
  test(`after ${failure} there is a new instance`, async () => {
    const old = await instance();
    await answers500(get(`/${failure}`));
    assert.equal(await instance(), old + 1);
    assert.equal(await instance(), old + 1);
  });
}

test("an exception that is no trap costs its own request only", async () => {
  const old = await instance();
  await answers500(get("/error"));
  assert.equal(await instance(), old);
});

test("requests in flight at a panic end in their own instance", async () => {
  const old = await instance();
  const slow = [instance("/?after=600"), instance("/?after=700")];
  const failing = get("/panic?after=100");
  await new Promise((resolve) => setTimeout(resolve, 400));
  assert.equal(await instance(), old + 1);
  assert.deepEqual(await Promise.all(slow), [old, old]);
  await answers500(failing);
});

test("an overflow on the way in harms no request in flight", async () => {
  const old = await instance();
  const slow = instance("/?after=300");
  await answers500(get("/overflow"));
  assert.equal(await slow, old);
  assert.equal(await instance(), old + 1);
});

test("two panics in one instance answer both", async () => {
  const old = await instance();
  const failing = [get("/panic?after=100"), get("/panic?after=200")];
  await Promise.all(failing.map(answers500));
  assert.equal(await instance(), old + 1);
});
