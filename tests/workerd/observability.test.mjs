// Compares the deployed Worker's Server-Timing with the operations that the storage has counted.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { browserOf, put, show, startSessions } from "./support/sessions.mjs";

let world;

before(async () => {
  world = await startSessions({ vars: { SESSION_SERVER_TIMING: "true" } });
  await world.freeze();
});
after(() => world.stop());

/** The operations in a response's Server-Timing. */
function told({ headers }) {
  const [, dur, ...counts] = headers["server-timing"].match(
    /^session;dur=(\d+);desc="get (\d+) keys (\d+) put (\d+) delete (\d+) list (\d+)"$/,
  );
  const [reads, keysRead, puts, deletes, lists] = counts.map(Number);
  return { dur: Number(dur), counts: { reads, keysRead, puts, deletes, lists } };
}

test("server timing counts what the storage has seen", async () => {
  const browser = await browserOf(world, "ada", { a: 1 });
  const steps = [
    () => show(browser),
    () => put(browser, "a", 2),
    () => browser.fetch("/api/session/cycle", { method: "POST" }),
    () => browser.fetch("/api/session", { method: "DELETE" }),
    () => show(browser),
  ];
  for (const step of steps) {
    await world.advance(60);
    const { result, counts } = await world.storage.counted(step);
    assert.deepEqual(told(result), { dur: 0, counts });
  }
});

test("server timing is on errors of a session and on nothing else", async () => {
  const browser = await browserOf(world, "bob", { a: 1 });
  await world.advance(60);
  const absent = await browser.fetch("/api/session/data/none");
  assert.equal(absent.status, 404);
  assert.equal(told(absent).counts.reads, 1);
  for (const path of ["/healthz", "/api/nothing"]) {
    assert.equal((await browser.fetch(path)).headers["server-timing"], undefined, path);
  }
});
