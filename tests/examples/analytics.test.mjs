// examples/analytics in workerd, with the runtime's own Analytics Engine binding: what it writes
// goes to a Worker beside it, as JSON whose texts are arrays of bytes.

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

/** What was written, when it is so much: the runtime sends it after the answer. */
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
  assert.equal((await browser.fetch("/logout")).text, "bye");

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
  // Neither is it a part of the cookie.
  assert.ok(!cookie.includes(name));
});
