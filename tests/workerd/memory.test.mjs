// The linear memory of the wasm must not contain a token after its request, or the key of a record after the
// isolate has dropped it.
//
// The built Worker's wasm runs in Node, where its memory can be read. Its KV namespace is an object.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";

import { Secret, openKeyCookie } from "../wire/format.mjs";
import { COOKIE, workerDirectory } from "./support/sessions.mjs";

/** How many keys an isolate keeps (`src/flow/isolate.rs`). */
const DERIVED_KEYS = 2_048;

/** The Worker's functions and memory. */
async function instantiate() {
  const directory = await workerDirectory();
  // The glue is an ES module outside a package, so import it from a data URL.
  const source = readFileSync(join(directory, "edge_session.js"), "utf8");
  const glue = await import(
    source.includes("import ") ? pathToFileURL(join(directory, "edge_session.js")) : `data:text/javascript,${encodeURIComponent(source)}`
  );
  const { Instance } = WebAssembly;
  let memory;
  WebAssembly.Instance = class extends Instance {
    constructor(...args) {
      super(...args);
      ({ memory } = this.exports);
    }
  };
  try {
    const module = new WebAssembly.Module(readFileSync(join(directory, "edge_session_bg.wasm")));
    return { worker: glue.instantiate(module), memory };
  } finally {
    WebAssembly.Instance = Instance;
  }
}

function namespace() {
  const values = new Map();
  return {
    get: async (keys) =>
      Array.isArray(keys) ? new Map(keys.map((key) => [key, values.get(key) ?? null])) : (values.get(keys) ?? null),
    put: async (key, value) => void values.set(key, value),
    delete: async (key) => void values.delete(key),
    list: async () => ({ keys: [], list_complete: true }),
  };
}

test("memory_holds_no_token_and_no_record_key_that_is_done_with", async () => {
  const { worker, memory } = await instantiate();
  const SESSION_SECRET = randomBytes(32).toString("base64url");
  const secret = new Secret(SESSION_SECRET);
  const env = { SESSIONS: namespace(), SESSION_SECRET, DEMO: "true" };
  const pending = [];
  const ctx = { waitUntil: (promise) => void pending.push(promise), passThroughOnException() {} };

  async function request(method, path, cookies, body) {
    const headers = { cookie: Object.entries(cookies).map((pair) => pair.join("=")).join("; ") };
    const response = await worker.fetch(new Request(`http://x${path}`, { method, headers, body }), env, ctx);
    assert.equal(response.status, 200, await response.clone().text());
    await response.text();
    await Promise.all(pending.splice(0));
    const given = response.headers.getSetCookie().map((line) => /^([^=]+)=([^;]*)/.exec(line).slice(1));
    return { ...cookies, ...Object.fromEntries(given) };
  }

  const holds = (bytes) => Buffer.from(memory.buffer).includes(bytes);
  const marked = await request("PUT", "/api/session/data/a", {}, '"a word that is looked for"');
  assert.ok(holds("a word that is looked for"), "the isolate remembers the session");

  const tokens = new Map();
  const tokenOf = (cookies) => openKeyCookie(secret, COOKIE, cookies[COOKIE]).token;
  const note = (cookies) => tokens.set(tokenOf(cookies), cookies[COOKIE]);
  note(marked);
  let cookies = marked;
  for (let i = 0; i < 3; i += 1) cookies = await request("GET", "/api/session", cookies);
  cookies = await request("POST", "/api/login", cookies, '{"owner":"ada"}');
  note(cookies);
  cookies = await request("POST", "/api/session/cycle", cookies);
  note(cookies);
  cookies = await request("PUT", "/api/session/data/b", cookies, "2");
  // Two hours later the seen cookie is written, and read again with the request after it.
  const { now } = Date;
  Date.now = () => now() + 7_200_000;
  try {
    cookies = await request("GET", "/api/session", cookies);
    assert.ok(cookies[`${COOKIE}-seen`], "a seen cookie");
    cookies = await request("GET", "/api/session", cookies);
  } finally {
    Date.now = now;
  }
  assert.equal(tokens.size, 3);
  for (const [token, value] of tokens) {
    assert.ok(!holds(token), "the bytes of a token");
    assert.ok(!holds(token.subarray(0, 16)) && !holds(token.subarray(16)), "half of them");
    assert.ok(!holds(value.slice(8, 51)), "the text of a token");
  }

  // The isolate keeps the keys that it has derived most recently from tokens. Even without wiping, some would
  // be overwritten by later ones, so search for many of them.
  async function visitor() {
    const cookies = await request("PUT", "/api/session/data/a", {}, "1");
    await request("GET", "/api/session", cookies);
    return secret.recordKey(tokenOf(cookies));
  }
  const recordKeys = [];
  for (let i = 0; i < 100; i += 1) recordKeys.push(await visitor());
  assert.ok(recordKeys.every((key) => holds(key)), "the key of a record that was just read is there to be found");
  for (let i = 0; i < DERIVED_KEYS; i += 1) await visitor();
  for (const key of [...[...tokens.keys()].map(secret.recordKey), ...recordKeys]) {
    assert.ok(!holds(key), "the key of a record");
    assert.ok(!holds(key.subarray(0, 16)) && !holds(key.subarray(16)), "half of it");
  }
});
