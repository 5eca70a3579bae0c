// The package in workerd, with a real KV binding: the examples, and the kinds of responses in Workers.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { WebSocket } from "ws";

import { startWith } from "./support/bundle.mjs";

describe("examples/js-worker", () => {
  let world;
  before(async () => {
    world = await startWith("examples/js-worker/src/index.js");
  });
  after(() => world?.stop());

  test("it counts for each browser", async () => {
    const [one, other] = [world.browser(), world.browser()];
    for (const expected of ["1", "2", "3"]) assert.equal((await one.fetch("/")).text, expected);
    assert.equal((await other.fetch("/")).text, "1");
    assert.deepEqual(one.refused, []);
  });

  test("a visit costs one read and one write at most", async () => {
    const browser = world.browser();
    const first = await world.storage.counted(() => browser.fetch("/"));
    assert.equal(first.counts.reads, 0);
    assert.equal(first.counts.puts, 1);
    await world.advance(60);
    const later = await world.storage.counted(() => browser.fetch("/"));
    assert.equal(later.counts.reads, 1);
    assert.equal(later.counts.puts, 1);
  });
});

describe("examples/hono", () => {
  let world;
  before(async () => {
    world = await startWith("examples/hono/src/index.ts");
  });
  after(() => world?.stop());

  test("visits, login and logout", async () => {
    const browser = world.browser();
    assert.deepEqual((await browser.fetch("/")).json, { views: 1, owner: null });
    const login = await browser.fetch("/login", { method: "POST", body: "ada" });
    assert.equal(login.status, 303);
    assert.deepEqual((await browser.fetch("/")).json, { views: 2, owner: "ada" });
    assert.equal((await browser.fetch("/logout", { method: "POST" })).status, 303);
    assert.deepEqual((await browser.fetch("/")).json, { views: 1, owner: null });
  });

  test("an error page saves nothing, and a refusal answers for itself", async () => {
    const browser = world.browser();
    await browser.fetch("/");
    const { counts } = await world.storage.counted(() => browser.fetch("/none"));
    assert.equal(counts.puts, 0);
    await world.advance(60);
    await world.storage.addFault({ op: "read", status: 500, times: 20 });
    const answer = await browser.fetch("/");
    await world.storage.clearFaults();
    assert.equal(answer.status, 503);
    assert.equal(answer.json.code, "unavailable");
  });
});

describe("responses", () => {
  let world;
  before(async () => {
    world = await startWith("tests/package/support/worker.js");
  });
  after(() => world?.stop());

  test("keep status, body and headers", async () => {
    const browser = world.browser();
    const redirect = await browser.fetch("/redirect");
    assert.equal(redirect.status, 302);
    assert.equal(redirect.headers.location ?? redirect.headers.get?.("location"), "https://example.com/next");
    assert.equal((await browser.fetch("/empty")).status, 204);
    const stream = await browser.fetch("/stream");
    assert.equal(stream.text, "streamed");
    assert.deepEqual(browser.refused, []);
  });

  test("a WebSocket upgrade carries the session's cookie", async () => {
    const socket = new WebSocket(`${world.origin().replace("http", "ws")}/socket`);
    const [upgrade, echo] = await Promise.all([
      new Promise((resolve, reject) => socket.once("upgrade", resolve).once("error", reject)),
      new Promise((resolve, reject) => {
        socket.once("open", () => socket.send("hello"));
        socket.once("message", (data) => resolve(String(data))).once("error", reject);
      }),
    ]);
    socket.close();
    assert.equal(echo, "echo hello");
    assert.ok(upgrade.headers["set-cookie"].some((cookie) => cookie.startsWith("__Host-session=")));
  });

  test("handleLazy and an answer that does not touch the session: no KV operation, no cookie", async () => {
    const browser = world.browser();
    await browser.fetch("/empty");
    await world.advance(60);
    const { result, log } = await world.storage.counted(() => browser.fetch("/lazy"));
    assert.deepEqual([result.status, result.text, result.setCookies, log], [200, "untouched", [], []]);
  });

  test("module scope has sessions and no randomness", async () => {
    const { json } = await world.browser().fetch("/scope");
    assert.deepEqual(json, { code: "not_ready", name: "SessionError" });
  });
});
