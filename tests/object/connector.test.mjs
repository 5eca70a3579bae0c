// The JavaScript connector for Durable Objects, with real objects.

import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";

import { DAY, languages, put, row, startObjects } from "./support/world.mjs";

suite("the connector in JavaScript", () => {
  const END = Date.UTC(2100, 0, 1);
  let world;
  before(async () => {
    world = await startObjects("JavaScript");
    await world.freeze(END - DAY);
  });
  after(() => world?.stop());

  const ask = async (method, ...args) => (await world.connector(method, ...args)).result;

  test("reads, transacts and lists in the object of the shard", async () => {
    assert.deepEqual(await ask("transact", "one", [{ absent: "a" }], [put("a", END, { metadata: "m" })]), { done: true });
    assert.deepEqual(await ask("read", "one", ["none", "a"]), [null, row("a", END, { metadata: "m" })]);
    assert.deepEqual(await ask("read", "other", ["a"]), [null]);
    assert.deepEqual(await ask("transact", "one", [{ absent: "a" }], []), { conflict: [row("a", END, { metadata: "m" })] });
    assert.deepEqual(await ask("list", "one", ""), { keys: [{ name: "a", metadata: "m" }] });
    assert.deepEqual(await ask("list", "one", "", "a"), { keys: [] });
  });

  test("a list of several pages continues where the last one ended", async () => {
    await ask("transact", "many", [], [put("a", END)]);
    await world.object({ name: "many" }).look(`fill?from=0&to=1500&expiresAt=${END}`);
    const first = await ask("list", "many", "fill.");
    const second = await ask("list", "many", "fill.", first.cursor);
    assert.deepEqual([first.keys.length, second.keys.length, second.cursor], [1000, 500, undefined]);
  });

  test("a refusal has a code, which says that nothing was written", async () => {
    const [bad, large] = [
      await world.connector("read", "one", [""]),
      await world.connector("transact", "one", [], [put("a", END, { value: "v".repeat(1 << 20) })]),
    ];
    assert.deepEqual([bad.error.code, large.error.code], ["bad_request", "too_large"]);
    assert.match(bad.error.message, /the Durable Object refused read: .*keys\[0\] must not be empty/);
  });

  test("an object that was reset, or threw, leaves the fate of a transaction unknown", async () => {
    const object = world.object({ name: "reset" });
    await world.control("/meter/reset", 1);
    const thrown = await world.connector("transact", "reset", [], [put("a", END)]);
    await world.control("/meter/reset", 0);
    assert.deepEqual(thrown.error, { message: "told to fail" });
    assert.equal((await object.at("/test/abort")).status, 599);
    // The next call creates its own stub.
    assert.deepEqual(await ask("transact", "reset", [], [put("a", END)]), { done: true });
  });
});

suite("a Worker that changes its language", () => {
  const END = Date.UTC(2100, 0, 1);

  test("finds its rows, and the alarm of each object", async () => {
    const world = await startObjects(languages[0]);
    try {
      await world.freeze(END - DAY);
      const object = world.object();
      for (const [i, language] of [...languages, languages[0]].entries()) {
        if (i) await world.deploy(language);
        const { alarmsSet } = await world.metered(() => object.transact([], [put(`k${i}`, END, { metadata: "é" })]));
        assert.equal(alarmsSet, i ? 0 : 1, language);
        const keys = Array.from({ length: i + 1 }, (_, i) => `k${i}`);
        assert.deepEqual(await object.read(...keys), keys.map((key) => row(key, END, { metadata: "é" })), language);
      }
    } finally {
      await world.stop();
    }
  });
});
