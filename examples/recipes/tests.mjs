import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock, MemoryConnector, Sessions } from "edge-session";
import { testWorld } from "edge-session/testing";

// The application: this would be `import worker from "../src/index.js"`.
const worker = {
  async fetch(request, env, ctx) {
    return Sessions.fromEnv(env).handle(request, ctx, async (session) => {
      if (request.method === "POST") session.setDefault("cart", []).push(await request.text());
      return Response.json(session.get("cart", []));
    });
  },
};
const apple = { method: "POST", body: "apple" };

test("a cart is kept for an hour without a request, and no longer", async () => {
  const world = testWorld({ idleTimeout: 3600 });
  const browser = world.browser();
  await browser.fetch(worker, "/", apple);
  world.advance({ minutes: 59 });
  assert.deepEqual(await (await browser.fetch(worker)).json(), ["apple"]);
  world.advance({ minutes: 60 });
  assert.deepEqual(await (await browser.fetch(worker)).json(), []);
});

test("in an outage nothing is lost: the page is a 503, and the cart is there afterwards", async () => {
  const world = testWorld({ disableWarnings: true });
  const browser = world.browser();
  await browser.fetch(worker, "/", apple);
  world.store.outage();
  assert.equal((await browser.fetch(worker, "/", apple)).status, 503);
  world.store.recover();
  assert.deepEqual(await (await browser.fetch(worker)).json(), ["apple"]);
});

test("code that makes its own sessions gets a store in memory, whose clock they follow", async () => {
  const clock = new ManualClock(Date.UTC(2030, 0, 1));
  const memory = new MemoryConnector({ clock });
  const sessions = new Sessions(memory, { secret: crypto.randomUUID() });
  const first = await sessions.load();
  first.set("cart", ["apple"]);
  const headers = await sessions.commitHeaders(first);
  const cookie = headers.getSetCookie().map((line) => line.split(";")[0]).join("; ");
  assert.deepEqual((await sessions.load(cookie)).get("cart"), ["apple"]);
  clock.advance(86_400_000);
  assert.equal((await sessions.load(cookie)).outcome, "expired");
  assert.equal(memory.operations.puts, 1);
});
