// `npm start` like a user runs it, with wrangler's own KV on disk.

import assert from "node:assert/strict";
import { execFileSync, spawn, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";

import { ensureSecret } from "../../scripts/secret.mjs";

const root = fileURLToPath(new URL("../../", import.meta.url));
const state = mkdtempSync(join(tmpdir(), "edge-session-state-"));
after(() => rmSync(state, { recursive: true, force: true }));

/** Runs `npm start` until it prints its address. `stop` ends it like a closed terminal. */
async function npmStart(...args) {
  const child = spawn("npm", ["start", "--", "--port", "0", "--inspector-port", "0", "--persist-to", state, ...args], {
    cwd: root,
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  const url = await new Promise((resolve, reject) => {
    const look = (text) => {
      output += text;
      const found = output.match(/^> edge-session runs at (\S+)/m);
      if (found) resolve(found[1]);
    };
    child.stdout.setEncoding("utf8").on("data", look);
    child.stderr.setEncoding("utf8").on("data", look);
    child.once("exit", (status) => reject(new Error(`npm start ended with ${status}:\n${output}`)));
  });
  const stop = async () => {
    const ended = new Promise((resolve) => child.once("close", resolve));
    child.kill("SIGTERM");
    await ended; // the end of every process that has its output open, not only of npm
  };
  return { url, stop };
}

test("sessions outlive a restart", { timeout: 180_000 }, async () => {
  const cart = { items: [{ id: 7, count: 2 }] };
  const first = await npmStart();
  let cookie;
  try {
    const answer = await fetch(`${first.url}/api/session/data/cart`, { method: "PUT", body: JSON.stringify(cart) });
    assert.equal(answer.status, 200, await answer.text());
    cookie = answer.headers.getSetCookie().map((line) => line.split(";")[0]).join("; ");
    assert.match(cookie, /^__Host-session=/);
  } finally {
    await first.stop();
  }
  await assert.rejects(fetch(`${first.url}/healthz`), "nothing is left that answers");

  const second = await npmStart();
  try {
    const answer = await fetch(`${second.url}/api/session/data/cart`, { headers: { cookie } });
    assert.equal(answer.status, 200);
    assert.deepEqual(await answer.json(), cart);
  } finally {
    await second.stop();
  }
});

test("a store that does not exist is refused before anything is installed or built", () => {
  for (const args of [["--store", "disk"], ["--store=disk"], ["--store"]]) {
    const { status, stdout, stderr } = spawnSync(process.execPath, ["scripts/start.mjs", ...args], { cwd: root, encoding: "utf8" });
    assert.deepEqual([status, stdout], [1, ""]);
    assert.match(stderr, /^error: --store .*: use one of kv, durable_object$/m);
  }
});

test("a local secret is made once, for its owner only, in a file that git ignores", () => {
  const file = join(state, "vars");
  writeFileSync(file, "DEMO=true");
  assert.equal(ensureSecret(file), true);
  const text = readFileSync(file, "utf8");
  assert.match(text, /^DEMO=true\nSESSION_SECRET=[\w-]{43}\n$/);
  assert.equal(statSync(file).mode & 0o777, 0o600);
  assert.equal(ensureSecret(file), false);
  assert.equal(readFileSync(file, "utf8"), text);
  execFileSync("git", ["check-ignore", "-q", ".dev.vars"], { cwd: root });
});

test("npm run secret prints a fresh secret", () => {
  const secret = () => execFileSync("npm", ["run", "--silent", "secret"], { cwd: root, encoding: "utf8" }).trim();
  assert.match(secret(), /^[\w-]{43}$/);
  assert.notEqual(secret(), secret());
});
