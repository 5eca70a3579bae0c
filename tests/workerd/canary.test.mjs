// Searches everything that the Worker outputs for one token: it must be in the key cookie's Set-Cookie and
// nowhere else.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, test } from "node:test";

import { Secret, openKeyCookie } from "../wire/format.mjs";
import { COOKIE, FRESH, IDLE_TIMEOUT, SEEN, keyParts, startSessions } from "./support/sessions.mjs";

const SECRET = randomBytes(32).toString("base64url");
const secret = new Secret(SECRET);

let world;

before(async () => {
  world = await startSessions({ vars: { SESSION_SECRET: SECRET, SESSION_EVENTS: "true" } });
  await world.freeze();
});
after(() => world.stop());

/** True if `text` contains the bytes, in any usual encoding. */
function holds(text, bytes) {
  const lower = text.toLowerCase();
  if (text.includes(bytes.toString("latin1"))) return true;
  if (lower.includes(bytes.toString("hex"))) return true;
  if (text.includes([...bytes].join(","))) return true;
  // In base64 the bytes can have one of three alignments. The characters in between are the same.
  for (let shift = 0; shift < 3; shift += 1) {
    const form = Buffer.concat([Buffer.alloc(shift), bytes]).toString("base64url").slice(shift + 1, -2);
    if (text.replaceAll("+", "-").replaceAll("/", "_").includes(form)) return true;
  }
  return [...text.matchAll(/[\w+/-]{16,}/g)].some(([run]) => Buffer.from(run, "base64").includes(bytes));
}

test("canary_is_found_where_it_is", () => {
  const bytes = randomBytes(32);
  for (let shift = 0; shift < 3; shift += 1) {
    const around = Buffer.concat([randomBytes(shift), bytes, randomBytes(2)]);
    for (const form of ["base64", "base64url", "hex", "latin1"]) {
      assert.ok(holds(`x ${around.toString(form)} y`, bytes), `${form} ${shift}`);
    }
  }
  assert.ok(!holds(randomBytes(4000).toString("base64"), bytes));
});

test("canary_token_is_in_the_key_cookie_and_nowhere_else", async () => {
  const browser = world.browser();
  const tokens = new Map();
  /** [where, text] for all output. */
  const seen = [];

  /** A request of this browser. Records its response. */
  async function request(method, path, body, { as = browser, headers } = {}) {
    const answer = await as.fetch(path, { method, body: body === undefined ? undefined : JSON.stringify(body), headers });
    seen.push([`${method} ${path}: body`, answer.text]);
    for (const [name, value] of Object.entries(answer.headers)) {
      if (name !== "set-cookie") seen.push([`${method} ${path}: ${name}`, `${name}: ${value}`]);
    }
    for (const line of answer.setCookies) {
      const [, name, value, attributes] = /^([^=]+)=([^;]*)(.*)$/.exec(line);
      if (name === COOKIE && value) {
        const { token } = openKeyCookie(secret, COOKIE, value);
        if (token) {
          tokens.set(token.toString("hex"), token);
          assert.ok(holds(line, token), "it is in the key cookie");
          seen.push([`${method} ${path}: attributes`, attributes]);
          continue;
        }
      }
      seen.push([`${method} ${path}: Set-Cookie ${name}`, line]);
    }
    return answer;
  }

  await request("GET", "/api/session");
  await request("PATCH", "/api/session/data", { a: 1 });
  const anonymous = browser.clone();
  await request("POST", "/api/login", { owner: "ada" });
  await request("PUT", "/api/session/data/b", { c: [1, 2] });
  await request("GET", "/api/session");
  await request("GET", "/api/session/data/b");
  await request("GET", "/api/session/data/absent");
  await request("PUT", "/api/session/expiry", { idle: IDLE_TIMEOUT });
  const before = browser.clone();
  await request("POST", "/api/session/cycle");
  await request("GET", "/api/session", undefined, { as: before });
  await request("PUT", "/api/session/data/late", 1, { as: before });
  await request("GET", "/api/session", undefined, { as: anonymous });
  await request("GET", "/api/sessions");
  await world.advance(IDLE_TIMEOUT / 2);
  await request("GET", "/api/session");
  assert.ok(browser.get(SEEN) && browser.received.some((line) => line.startsWith(FRESH)));

  // Errors, with a cookie that is right, wrong, or sent twice.
  await request("PUT", "/api/session/data/x", "y".repeat(70_000));
  await request("POST", "/api/session");
  await request("GET", `/api/nothing`);
  await request("PUT", "/api/session/data/a", 1, { headers: { "Sec-Fetch-Site": "cross-site", Origin: "https://x.test" } });
  const { value } = browser.get(COOKIE);
  for (const header of [
    `${COOKIE}=${value}x`,
    `${COOKIE}="${value}"`,
    `${COOKIE}=${value}; ${COOKIE}=${before.get(COOKIE).value}`,
    `${COOKIE}=${value}; pad=${"x".repeat(66_000)}`,
    `${FRESH}=${value}; ${SEEN}=${value}`,
  ]) {
    await request("GET", "/api/session", undefined, { headers: { Cookie: header } });
  }
  const other = world.browser();
  await request("PATCH", "/api/session/data", { who: "other" }, { as: other });
  const both = `${COOKIE}=${value}; ${COOKIE}=${other.get(COOKIE).value}`;
  await request("GET", "/api/session", undefined, { headers: { Cookie: both } });
  const { json } = await request("GET", "/api/session", undefined, { as: other });
  await world.advance(200);
  await world.storage.write(keyParts(json.key).record, "damaged");
  await request("GET", "/api/session", undefined, { as: other });
  await world.storage.addFault({ op: "read", status: 500 });
  await request("GET", "/api/session");
  await world.storage.clearFaults();
  await world.storage.addFault({ op: "put", status: 500 });
  await request("PUT", "/api/session/data/b", 2);
  await request("POST", "/api/logout");
  await world.storage.clearFaults();
  seen.push(["storage during the session", JSON.stringify(await world.storage.dump())]);
  await request("GET", "/api/session");
  await request("POST", "/api/login", { owner: "ada" });
  await request("DELETE", "/api/sessions?except=current");
  await request("POST", "/api/logout");

  seen.push(["storage", JSON.stringify(await world.storage.dump())]);
  seen.push(["operations", JSON.stringify(await world.storage.log())]);
  seen.push(["console", world.output]);

  // The log must contain the events.
  const events = new Set([...world.output.matchAll(/"event":"(\w+)"/g)].map(([, event]) => event));
  for (const event of ["created", "bound", "cycled", "loaded", "rotated", "destroyed", "rejected", "ambiguous", "corrupt", "store_error"]) {
    assert.ok(events.has(event), `${event} is among ${[...events]}`);
  }
  assert.ok(tokens.size >= 5, `${tokens.size} tokens`);
  for (const token of tokens.values()) {
    for (const [where, text] of seen) assert.ok(!holds(text, token), where);
  }
  // Neither the secret nor the keys derived from it.
  for (const key of [Buffer.from(SECRET), secret.macKey, secret.ownerKey, secret.metadataKey]) {
    for (const [where, text] of seen) assert.ok(!holds(text, key), where);
  }
  // No value in the logs.
  const lines = world.output.split("\n").filter((line) => line.includes('"event"'));
  assert.ok(lines.length > 0, "events are logged");
  for (const line of lines) {
    assert.match(line, /\{"event":"\w+","at":\d+(,"session":"[\w-]{12}")?(,"reason":"\w+")?\}/);
  }
});
