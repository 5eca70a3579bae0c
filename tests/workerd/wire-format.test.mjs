// docs/wire-format.md, compared with a second implementation of it (tests/wire/format.mjs): the known
// answers, and a running Worker in both directions.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";

import * as format from "../wire/format.mjs";
import { vectors } from "../wire/make-vectors.mjs";
import { root } from "./support/harness.mjs";
import { COOKIE, FRESH, IDLE_TIMEOUT, SEEN, expectAnonymous, expectSession, startSessions } from "./support/sessions.mjs";

const SECRET = `wire-format-${randomBytes(32).toString("base64url")}`;
const secret = new format.Secret(SECRET, { prefix: "p:" });
const hex = (text) => Buffer.from(text.replace(/\s/g, ""), "hex");

let world;

before(async () => {
  world = await startSessions({ vars: { SESSION_SECRET: SECRET, SESSION_KEY_PREFIX: "p:" } });
  await world.freeze();
});
after(() => world.stop());

test("wire_xchacha_is_that_of_the_draft", () => {
  // draft-irtf-cfrg-xchacha-03, sections 2.2.1 and A.3.1.
  const count = (from, size) => Buffer.from(Array.from({ length: size }, (_, i) => from + i));
  assert.deepEqual(
    format.hChaCha20(count(0, 32), hex("000000090000004a0000000031415927")),
    hex("82413b4227b27bfed30e42508a877d73a0f9e4d58a74a853c12ec41326d3ecdc"),
  );
  const plain = Buffer.from(
    "Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, sunscreen would be it.",
  );
  const sealed = format.aeadSeal(count(0x80, 32), count(0x40, 24), plain, hex("50515253c0c1c2c3c4c5c6c7"));
  assert.deepEqual(sealed.subarray(0, 16), hex("bd6d179d3e83d43b9576579493c0e939"));
  assert.deepEqual(sealed.subarray(-16), hex("c0875924c1c7987947deafd8780acf49"));
});

test("wire_known_answers_are_those_of_the_page", () => {
  const json = readFileSync(`${root}tests/wire/known-answers.json`, "utf8");
  assert.deepEqual(JSON.parse(json), vectors());
});

test("wire_a_running_worker_writes_what_the_page_says", async () => {
  const browser = world.browser();
  const start = world.now();
  await expectSession(browser.send("PATCH", "/api/session/data", { a: [1, 2.5, "é"], b: null }));
  await expectSession(browser.send("POST", "/api/login", { owner: "ada" }, { headers: { "User-Agent": "wire/1" } }));
  await expectSession(browser.send("POST", "/api/session/cycle", undefined, { headers: { "User-Agent": "wire/1" } }));
  await expectSession(browser.send("PUT", "/api/session/expiry", { idle: 86400 }, { headers: { "User-Agent": "wire/1" } }));
  const { key } = await expectSession(browser.fetch("/api/session"));

  const cookie = format.openKeyCookie(secret, COOKIE, browser.get(COOKIE).value);
  assert.equal(cookie.kind, "owned");
  assert.deepEqual(cookie.owner, secret.ownerTag("ada"));
  assert.equal(cookie.mintedAt, start);
  assert.equal(cookie.hardEnd, start + 604_800_000);
  const derived = secret.derivedKey(cookie.token);
  assert.equal(key, secret.sessionKey({ owner: cookie.owner, lineage: cookie.lineage, derived }));

  const name = format.recordName({ ...cookie, derived }, "p:");
  const dump = await world.storage.dump();
  const { value, metadata } = dump[name];
  const record = format.openRecord(secret.recordKey(cookie.token), name, value);
  assert.deepEqual(record.bound, { owner: "ada", at: start });
  assert.equal(record.userAgent, "wire/1");
  assert.deepEqual(record.expiry, { end: null, idle: 86400, browserClose: false });
  assert.deepEqual(record.values.map(([entry, , slot]) => [entry, slot]), [
    ["a", { json: '[1,2.5,"é"]' }],
    ["b", { json: "null" }],
  ]);
  assert.deepEqual(format.openMetadata(secret, name, metadata), {
    created: start,
    lastWritten: start,
    boundAt: start,
    hardEnd: start + 604_800_000,
    userAgent: "wire/1",
    place: undefined,
  });

  const fresh = format.openFreshCookie(secret, FRESH, cookie.token, browser.get(FRESH).value);
  assert.deepEqual(fresh, { version: record.version, savedAt: start, unstored: false, overlay: value });
  const old = Object.keys(dump).filter((stored) => stored.startsWith("p:k."));
  assert.ok(old.every((stored) => dump[stored].value === format.marker("rotated", start)));
  assert.equal(old.length, 2, "the anonymous key and the one before the rotation");

  await world.advance(IDLE_TIMEOUT / 2);
  await browser.fetch("/api/session");
  assert.equal(format.openSeenCookie(secret, SEEN, cookie.token, browser.get(SEEN).value), world.now());

  await world.storage.addFault({ op: "put", status: 500 });
  await browser.fetch("/api/session", { method: "DELETE" });
  await world.storage.clearFaults();
  const stone = format.openKeyCookie(secret, COOKIE, browser.get(COOKIE).value);
  assert.deepEqual(stone, {
    kind: "tombstone",
    lineage: cookie.lineage,
    derived,
    owner: cookie.owner,
    hardEnd: cookie.hardEnd,
  });
});

/** A session made by this implementation: the Cookie header, and the record to store. */
function session({ savedAt = world.now() - 1e6, bound, values, version = [7, 9] }) {
  const token = randomBytes(32);
  const lineage = secret.derivedKey(token);
  const owner = bound && secret.ownerTag(bound.owner);
  const mintedAt = world.now() - 1e6;
  const hardEnd = mintedAt + 604_800_000;
  const name = format.recordName({ owner, lineage, derived: lineage }, "p:");
  const record = {
    version,
    createdAt: mintedAt,
    savedAt,
    hardEnd,
    bound,
    expiryVersion: [0, 0],
    expiry: { end: null, idle: "default", browserClose: false },
    cleared: [0, 0],
    values,
    flash: [],
  };
  const sealed = format.sealRecord(secret.recordKey(token), randomBytes(24), name, record);
  const cookie = `${COOKIE}=${format.keyCookie(secret, COOKIE, { token, lineage, owner, mintedAt, hardEnd })}`;
  return { token, name, record, sealed, cookie };
}

test("wire_records_of_any_length_are_sealed_as_the_page_says", async () => {
  // Around the block size of 64 bytes, and multiples of four blocks.
  for (const length of [0, 33, 64, 97, 130, 160, 190, 250, 320, 700, 2_000, 60_000]) {
    const browser = world.browser();
    const text = randomBytes(length).toString("hex").slice(0, length);
    await expectSession(browser.send("PATCH", "/api/session/data", { text }));
    const cookie = format.openKeyCookie(secret, COOKIE, browser.get(COOKIE).value);
    const name = format.recordName({ ...cookie, derived: secret.derivedKey(cookie.token) }, "p:");
    const { value } = (await world.storage.dump())[name];
    const record = format.openRecord(secret.recordKey(cookie.token), name, value);
    assert.deepEqual(record.values.map(([entry, , slot]) => [entry, slot.json]), [["text", JSON.stringify(text)]]);
  }
});

test("wire_a_running_worker_reads_what_the_page_says", async () => {
  const at = world.now() - 5e5;
  const { name, sealed, cookie } = session({
    bound: { owner: "ada", at },
    values: [
      ["x", [7, 9], { json: '{"y":1.0}' }],
      ["z", [6, 1], { removed: at }],
    ],
  });
  await world.storage.write(name, sealed);
  const answer = world.fetch("/api/session", { headers: { Cookie: cookie } });
  await expectSession(answer, { data: { x: { y: 1 } }, owner: "ada", version: 7 });
  assert.match((await answer).text, /"y":1\.0/, "a value keeps its text");
});

test("wire_a_record_of_another_place_version_or_form_is_not_read", async () => {
  const one = session({ values: [["who", [7, 9], { json: '"one"' }]] });
  const two = session({ values: [["who", [7, 9], { json: '"two"' }]] });
  const versioned = Buffer.from(one.sealed, "base64url");
  versioned[4] += 1;
  for (const stored of [
    two.sealed,
    versioned.toString("base64url"),
    format.plainRecord(one.record),
    one.sealed.slice(0, -4),
  ]) {
    await world.storage.write(one.name, stored);
    const answer = world.fetch("/api/session", { headers: { Cookie: one.cookie } });
    const { outcome } = await expectAnonymous(answer);
    assert.equal(outcome, "corrupt");
  }
});

test("wire_a_record_of_an_unknown_format_is_unavailable", async () => {
  const one = session({ values: [] });
  await world.storage.write(one.name, format.b64(Buffer.concat([Buffer.of(3), randomBytes(80)])));
  const { status, json } = await world.fetch("/api/session", { headers: { Cookie: one.cookie } });
  assert.deepEqual([status, json.code], [503, "unavailable"]);
});

test("wire_an_overlay_counts_for_W_and_for_its_token_only", async () => {
  const values = [["who", [7, 9], { json: '"overlay"' }]];
  const one = session({ savedAt: world.now(), values });
  const other = session({ values: [] });
  const fresh = (token, savedAt, overlay) =>
    `${FRESH}=${format.freshCookie(secret, FRESH, token, { version: [7, 9], savedAt, overlay })}`;
  const load = (...cookies) => world.fetch("/api/session", { headers: { Cookie: cookies.join("; ") } });
  await expectSession(load(one.cookie, fresh(one.token, world.now(), one.sealed)), { data: { who: "overlay" } });
  await world.storage.write(other.name, other.sealed);
  await expectSession(load(other.cookie, fresh(one.token, world.now(), one.sealed)), { data: {} });
  // Another session's record under this session's tag: it does not open.
  const foreign = await load(other.cookie, fresh(other.token, world.now() - 1e6, one.sealed));
  assert.deepEqual(foreign.json.data, {});
  await world.advance(102);
  const late = session({ savedAt: world.now() - 102_000, values });
  const { outcome } = await expectAnonymous(load(late.cookie, fresh(late.token, world.now() - 102_000, late.sealed)));
  assert.equal(outcome, "gone");
});

test("wire_a_value_of_one_purpose_or_name_is_none_of_another", async () => {
  const { token, cookie, name, sealed } = session({ values: [["a", [7, 9], { json: "1" }]] });
  await world.storage.write(name, sealed);
  const [, key] = cookie.split(/=(.*)/s);
  const opened = format.openKeyCookie(secret, COOKIE, key);
  const reads = async (value) => {
    const { result, counts } = await world.storage.counted(() =>
      world.fetch("/api/session", { headers: { Cookie: `${COOKIE}=${value}` } }),
    );
    await expectAnonymous(result);
    assert.equal(counts.reads, 0);
  };
  await reads(format.keyCookie(secret, SEEN, opened));
  await reads(format.keyCookie(new format.Secret(`${SECRET}x`, { prefix: "p:" }), COOKIE, opened));
  await reads(format.seenCookie(secret, COOKIE, token, world.now()));
  const body = Buffer.from(key, "base64url").subarray(0, -16);
  for (const purpose of ["seen", "fresh", "form", "csrf", "form-csrf", "event", ""]) {
    await reads(format.b64(Buffer.concat([body, secret.tag(purpose, body, Buffer.from(COOKIE))])));
  }
  await expectSession(world.fetch("/api/session", { headers: { Cookie: cookie } }), { data: { a: 1 } });
});
