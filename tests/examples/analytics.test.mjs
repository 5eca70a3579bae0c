// examples/analytics in workerd, with the runtime's own Analytics Engine binding. It sends the data points to
// another Worker, as JSON with strings as arrays of bytes.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { buildPackage } from "../../scripts/build-package.mjs";
import { startWith } from "../package/support/bundle.mjs";

const RECORDER = `
const points = [];
export default {
  async fetch(request) {
    if (request.method === "GET") return Response.json(points);
    points.push(await request.json());
    return new Response();
  },
};
`;

let world;
let directory;

before(async () => {
  await buildPackage();
  directory = mkdtempSync(join(tmpdir(), "edge-session-"));
  writeFileSync(join(directory, "index.js"), RECORDER);
  world = await startWith("examples/analytics/src/index.js", {
    analytics: { ANALYTICS: "recorder" },
    beside: { recorder: { directory } },
  });
});
after(() => {
  rmSync(directory, { recursive: true, force: true });
  return world?.stop();
});

/** Waits for this many data points, which the runtime sends after the response. */
async function written(count) {
  for (;;) {
    const points = (await world.fetch("/", { isolate: "recorder" })).json;
    if (points.length >= count) return points;
  }
}

test("each event is a data point: what happened, and to which session by its keyed hash", async () => {
  const browser = world.browser();
  assert.equal((await browser.fetch("/")).text, "1");
  const cookie = browser.get("__Host-session").value;
  assert.equal((await browser.fetch("/")).text, "2");
  assert.equal((await browser.fetch("/logout", { method: "POST" })).text, "bye");

  const points = await written(4);
  const text = (bytes) => Buffer.from(bytes).toString();
  const told = points.map((point) => ["index1", "blob1", "blob2", "blob3"].map((field) => text(point[field])));
  const name = told[0][3];
  assert.match(name, /^[\w-]{12}$/);
  assert.deepEqual(told.toSorted(), [
    ["created", "created", "", name],
    ["destroyed", "destroyed", "", name],
    ["loaded", "loaded", "", name],
    ["loaded", "loaded", "", name],
  ]);
  assert.ok(points.every(({ double1 }) => double1 === 1));
  // It is not a part of the cookie either.
  assert.ok(!cookie.includes(name));
});
