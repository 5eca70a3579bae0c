// Cookies that we did not write, or that were changed: never adopted, and without storage operations.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, test } from "node:test";

import {
  COOKIE,
  FRESH,
  IDLE_TIMEOUT,
  NO_OPERATIONS,
  SEEN,
  W,
  browserWith,
  expectAnonymous,
  expectSession,
  keyParts,
  startSessions,
} from "./support/sessions.mjs";

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

let world;

before(async () => {
  world = await startSessions();
  await world.freeze();
});
after(() => world.stop());

/** `text` with another character at `index`. */
const changed = (text, index, character) => text.slice(0, index) + character + text.slice(index + 1);

/**
 * Every position of a base64url text with the next character of the alphabet, and the last
 * position with each of them: some only change bits that decoding drops.
 */
function* everyChange(text) {
  for (let i = 0; i < text.length; i += 1) {
    const next = ALPHABET[(ALPHABET.indexOf(text[i]) + 1) % ALPHABET.length];
    yield changed(text, i, next);
  }
  for (const character of ALPHABET) {
    if (character !== text.at(-1)) yield changed(text, text.length - 1, character);
  }
}

const withCookies = (cookies) => ({
  headers: { Cookie: Object.entries(cookies).map(([name, value]) => `${name}=${value}`).join("; ") },
});

test("a key cookie with one character changed is rejected, and costs no storage operation", async () => {
  const browser = await browserWith(world, { secret: "mine" });
  const { value } = browser.get(COOKIE);
  const companions = { [FRESH]: browser.get(FRESH).value };
  const forged = [...everyChange(value)];
  assert.ok(forged.length > value.length + 60);

  const { counts } = await world.storage.counted(async () => {
    for (const cookie of forged) {
      await expectAnonymous(world.fetch("/api/session", withCookies({ [COOKIE]: cookie, ...companions })));
    }
  });
  assert.deepEqual(counts, NO_OPERATIONS);
  await expectSession(browser.fetch("/api/session"), { data: { secret: "mine" } });
});

test("a value that is not a key cookie is rejected, and costs no storage operation", async () => {
  const { value } = (await browserWith(world, { secret: "mine" })).get(COOKIE);
  const { counts } = await world.storage.counted(async () => {
    for (const cookie of [
      "",
      value.slice(0, -1),
      value.slice(1),
      `${value}A`,
      `${value}=`,
      `${value}${value}`,
      value.toUpperCase(),
      changed(value, 9, "+"),
      changed(value, 9, "/"),
      changed(value, 9, "."),
      changed(value, 9, "%41"),
      `${value.slice(0, 20)}\u00e9${value.slice(20)}`,
      "A".repeat(value.length),
      "A".repeat(4000),
      "null",
      "../../s.x",
    ]) {
      await expectAnonymous(world.fetch("/api/session", withCookies({ [COOKIE]: cookie })));
    }
  });
  assert.deepEqual(counts, NO_OPERATIONS);
});

test("a key cookie under another name is rejected", async () => {
  const { value } = (await browserWith(world, { secret: "mine" })).get(COOKIE);
  const { counts } = await world.storage.counted(async () => {
    for (const name of ["session", SEEN, FRESH, "__host-session", "__Host-Session"]) {
      await expectAnonymous(world.fetch("/api/session", withCookies({ [name]: value })));
    }
  });
  assert.deepEqual(counts, NO_OPERATIONS);
});

test("a key cookie of another secret is rejected", async () => {
  const other = await startSessions();
  try {
    const { value } = (await browserWith(other, { secret: "mine" })).get(COOKIE);
    const { counts } = await world.storage.counted(() =>
      expectAnonymous(world.fetch("/api/session", withCookies({ [COOKIE]: value }))),
    );
    assert.deepEqual(counts, NO_OPERATIONS);
  } finally {
    await other.stop();
  }
});

test("a key cookie of a deployment with the same secret and another prefix is rejected", async () => {
  const SESSION_SECRET = randomBytes(32).toString("base64url");
  const staging = await startSessions({ vars: { SESSION_SECRET, SESSION_KEY_PREFIX: "staging:" } });
  const live = await startSessions({ vars: { SESSION_SECRET } });
  try {
    const browser = await browserWith(staging, { role: "admin" });
    const cookies = { [COOKIE]: browser.get(COOKIE).value, [FRESH]: browser.get(FRESH).value };
    const load = () => live.fetch("/api/session", withCookies(cookies));
    const { counts } = await live.storage.counted(() => expectAnonymous(load()));
    assert.deepEqual(counts, NO_OPERATIONS);
    await expectSession(staging.fetch("/api/session", withCookies(cookies)), { data: { role: "admin" } });
  } finally {
    await staging.stop();
    await live.stop();
  }
});

test("a forged key cookie is never adopted: a write under it makes a session of its own", async () => {
  const browser = await browserWith(world, { secret: "mine" });
  const { json: own } = await browser.fetch("/api/session");
  const forger = browser.clone();
  forger.tamper(COOKIE, changed(browser.get(COOKIE).value, 30, "~"));
  const { result, counts } = await world.storage.counted(() =>
    expectSession(forger.send("PUT", "/api/session/data/a", 1), { data: { a: 1 } }),
  );
  assert.notEqual(keyParts(result.key).lineage, keyParts(own.key).lineage);
  assert.deepEqual(counts, { ...NO_OPERATIONS, puts: 1 });
  await expectSession(browser.fetch("/api/session"), { data: { secret: "mine" } });
});

test("a fresh cookie with one character changed is ignored, and the session loads", async () => {
  const browser = await browserWith(world, { a: 1 });
  const { value: key } = browser.get(COOKIE);
  for (const fresh of everyChange(browser.get(FRESH).value)) {
    const cookies = withCookies({ [COOKIE]: key, [FRESH]: fresh });
    // Not `stale` either, as a forged version would claim that newer data exists.
    await expectSession(world.fetch("/api/session", cookies), { outcome: "loaded", data: { a: 1 } });
  }
});

test("a seen cookie with one character changed is ignored, and the session loads", async () => {
  const browser = await browserWith(world, { a: 1 });
  await world.advance(IDLE_TIMEOUT / 2);
  await expectSession(browser.fetch("/api/session"));
  const { value: key } = browser.get(COOKIE);
  const { value } = browser.get(SEEN);
  const load = (seen) => world.fetch("/api/session", withCookies({ [COOKIE]: key, [SEEN]: seen }));
  for (const seen of everyChange(value)) await expectSession(load(seen), { data: { a: 1 } });

  // They are ignored: once only the seen cookie keeps the session alive, only the real one does.
  await world.advance(IDLE_TIMEOUT - 1);
  await expectSession(load(value), { data: { a: 1 } });
  for (const seen of everyChange(value)) await expectAnonymous(load(seen));
});

test("the companions of another session are ignored", async () => {
  const one = await browserWith(world, { who: "one" });
  const two = await browserWith(world, { who: "two" });
  await world.advance(IDLE_TIMEOUT / 2);
  await two.fetch("/api/session");
  await two.send("PUT", "/api/session/data/more", true);
  const mixed = withCookies({
    [COOKIE]: one.get(COOKIE).value,
    [SEEN]: two.get(SEEN).value,
    [FRESH]: two.get(FRESH).value,
  });
  await expectSession(world.fetch("/api/session", mixed), { data: { who: "one" } });
});

test("of two different authentic key cookies none is chosen, and nothing is read", async () => {
  const one = await browserWith(world, { who: "one" });
  const two = await browserWith(world, { who: "two" });
  const header = `${COOKIE}=${one.get(COOKIE).value}; ${COOKIE}=${two.get(COOKIE).value}`;
  const before = await world.storage.dump();
  await expectAnonymous(world.fetch("/api/session", { headers: { Cookie: header } }));
  await world.fetch("/api/session/data/a", { method: "PUT", headers: { Cookie: header }, body: "1" });
  assert.deepEqual(await world.storage.dump(), before, "nothing is minted");
});

test("a forged twin beside the real key cookie does no harm", async () => {
  const browser = await browserWith(world, { a: 1 });
  await world.advance(W);
  const { value } = browser.get(COOKIE);
  for (const header of [
    `${COOKIE}=forged; ${COOKIE}=${value}`,
    `${COOKIE}=${value}; ${COOKIE}=${changed(value, 30, value[30] === "A" ? "B" : "A")}`,
    `a=b;;; =; x; ${COOKIE}=${value};`,
  ]) {
    await expectSession(world.fetch("/api/session", { headers: { Cookie: header } }), {
      data: { a: 1 },
    });
  }
});
