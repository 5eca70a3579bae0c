// Somebody who copies the namespace: without the secret, with it, and with one browser's token too.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";

import { Secret, b64, openKeyCookie, recordName } from "../wire/format.mjs";
import { openDump } from "../wire/open-dump.mjs";
import { COOKIE, expectSession, startSessions } from "./support/sessions.mjs";

const SESSIONS = 100;
const SECRET = randomBytes(32).toString("base64url");
const secret = new Secret(SECRET);

let world;
let dump;
/** Each: { plain: [text], token, name, owned }. */
const sessions = [];

before(async () => {
  world = await startSessions({ vars: { SESSION_SECRET: SECRET } });
  for (let i = 0; i < SESSIONS; i += 1) {
    const browser = world.browser();
    const owned = i % 2 === 0;
    const plain = [`plaintext-value-${i}-of-a-session`, `plaintext-key-${i}`, `owner-of-${i}@example.test`];
    const headers = { "User-Agent": `Plaintext-Agent/${i}` };
    if (owned) await expectSession(browser.send("POST", "/api/login", { owner: plain[2] }, { headers }));
    await expectSession(browser.send("PATCH", "/api/session/data", { [plain[1]]: plain[0] }, { headers }));
    if (i % 5 === 0) await expectSession(browser.send("POST", "/api/session/cycle", undefined, { headers }));
    const { token, lineage, owner } = openKeyCookie(secret, COOKIE, browser.get(COOKIE).value);
    const name = recordName({ owner, lineage, derived: secret.derivedKey(token) });
    sessions.push({ plain: [...plain, headers["User-Agent"]], token, name, owned });
  }
  dump = await world.storage.dump();
});
after(() => world.stop());

test("dump_alone_shows_no_token_and_no_plaintext", () => {
  assert.ok(sessions.every(({ name }) => name in dump));
  const text = JSON.stringify(dump);
  // Everything that could be encoded bytes, decoded.
  const bytes = Buffer.concat(
    [...text.matchAll(/[\w-]{16,}/g)].flatMap(([run]) => [Buffer.from(run, "base64url"), Buffer.of(0)]),
  );
  for (const { plain, token } of sessions) {
    for (const word of plain) {
      assert.ok(!text.includes(word), word);
      assert.ok(!bytes.includes(word), word);
      assert.ok(!text.includes(b64(Buffer.from(word)).slice(0, -2)), word);
    }
    assert.ok(!bytes.includes(token));
    for (const form of ["base64url", "base64", "hex"]) assert.ok(!text.includes(token.toString(form)));
  }
});

test("dump_and_secret_open_every_list_metadata_and_no_record", () => {
  const { names, metadata, records } = openDump(dump, SECRET);
  assert.ok(names.length >= SESSIONS);
  const owned = names.filter((name) => !name.startsWith("s.-."));
  assert.deepEqual([...metadata.keys()].sort(), owned.sort());
  for (const { name, plain } of sessions.filter((session) => session.owned)) {
    assert.equal(metadata.get(name).userAgent, plain[3]);
  }
  assert.equal(records.size, 0);
});

test("dump_secret_and_one_token_open_that_record_and_no_other", () => {
  for (const { name, token, plain, owned } of [sessions[0], sessions[1], sessions[7], sessions[99]]) {
    const { records } = openDump(dump, SECRET, { tokens: [token] });
    assert.deepEqual([...records.keys()], [name]);
    const record = records.get(name);
    assert.deepEqual(record.values.map(([key, , { json }]) => [key, json]), [[plain[1], JSON.stringify(plain[0])]]);
    assert.equal(record.bound?.owner, owned ? plain[2] : undefined);
  }
});

test("dump_and_a_token_without_the_secret_open_nothing", () => {
  const { metadata, records } = openDump(dump, randomBytes(32).toString("base64url"), { tokens: [sessions[0].token] });
  assert.deepEqual([metadata.size, records.size], [0, 0]);
});

test("dump_script_says_the_same", () => {
  const folder = mkdtempSync(join(tmpdir(), "edge-session-dump-"));
  try {
    const file = join(folder, "dump.json");
    writeFileSync(file, JSON.stringify(dump));
    const script = fileURLToPath(new URL("../wire/open-dump.mjs", import.meta.url));
    const run = (...args) => spawnSync(process.execPath, [script, file, SECRET, ...args], { encoding: "utf8" }).stdout;
    assert.match(run(), /opened [1-9]\d* list metadata and 0 records\n/);
    assert.match(run(b64(sessions[3].token)), /list metadata and 1 records\n/);
  } finally {
    rmSync(folder, { recursive: true });
  }
});
