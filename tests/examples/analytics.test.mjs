// examples/analytics in workerd, with the runtime's own Analytics Engine binding: what it writes
// goes to a Worker beside it, which keeps the messages.

import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

import { buildPackage } from "../../scripts/build-package.mjs";
import { startWith } from "../package/support/bundle.mjs";

// A message is binary (Cap'n Proto); texts stand in it as they are.
const RECORDER = `
const messages = [];
export default {
  async fetch(request) {
    if (request.method === "GET") return Response.json(messages);
    messages.push(new TextDecoder("latin1").decode(await request.arrayBuffer()));
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
    const messages = (await world.fetch("/", { isolate: "recorder" })).json;
    if (messages.length >= count) return messages;
  }
}

test("each event is a data point: what happened, and to which session by its keyed hash", async () => {
  const browser = world.browser();
  assert.equal((await browser.fetch("/")).text, "1");
  const token = browser.get("__Host-session").value;
  assert.equal((await browser.fetch("/")).text, "2");
  assert.equal((await browser.fetch("/logout")).text, "bye");

  const messages = await written(4);
  const points = messages.map((message) => message.match(/[\w-]{6,}/g));
  const kinds = points.map((texts) => texts.find((text) => ["created", "loaded", "destroyed"].includes(text)));
  assert.deepEqual(kinds.toSorted(), ["created", "destroyed", "loaded", "loaded"]);
  const names = new Set(points.map((texts) => texts.find((text) => /^[\w-]{12}$/.test(text))));
  assert.equal(names.size, 1, JSON.stringify(points));
  assert.ok(messages.every((message) => !message.includes(token)));
});
