// Prints the known answers of the second implementation. tests/wire/known-answers.json contains its output, which is
// frozen: if it changes, the format has changed.

import * as format from "./format.mjs";

const range = (from, count) => Buffer.from(Array.from({ length: count }, (_, i) => from + i));
const MINTED = 1_800_000_000_000;
const HARD_END = MINTED + 604_800_000;
const NAME = "__Host-session";
const PREFIX = "app:";

/** The inputs and the expected outputs, as text. */
export function vectors() {
  const text = "0123456789 is the secret of the vectors";
  const secret = new format.Secret(text, { kind: "kv", prefix: PREFIX });
  const [first, second] = [range(0x00, 32), range(0x20, 32)];
  const [lineage, derived] = [secret.derivedKey(first), secret.derivedKey(second)];
  const owner = secret.ownerTag("ada");
  const key = { owner, lineage, derived };
  const name = format.recordName(key, PREFIX);
  const nonce = range(0x40, 24);
  const record = {
    version: [3, 0xdeadbeef],
    createdAt: MINTED,
    savedAt: MINTED + 5_000,
    hardEnd: HARD_END,
    bound: { owner: "ada", at: MINTED + 1 },
    authTime: MINTED,
    userAgent: "Mozilla/5.0 (é)",
    place: "CH",
    expiryVersion: [2, 7],
    expiry: { end: HARD_END - 1, idle: 900, browserClose: true },
    cleared: [1, 5],
    values: [
      ["cart", [3, 0xdeadbeef], { json: '{"items":[1,2.50,"é"]}' }],
      ["old", [2, 7], { removed: MINTED + 4_000 }],
      ["__proto__", [1, 5], { json: "null" }],
    ],
    flash: [["note", [3, 0xdeadbeef], { json: '"hi"' }]],
  };
  const bare = {
    version: [1, 1],
    createdAt: MINTED,
    savedAt: MINTED,
    hardEnd: HARD_END,
    expiryVersion: [0, 0],
    expiry: { end: null, idle: "default", browserClose: false },
    cleared: [0, 0],
    values: [],
    flash: [],
  };
  const bareName = format.recordName({ lineage, derived: lineage }, PREFIX);
  const overlay = format.sealRecord(secret.recordKey(second), nonce, name, record);
  const listed = {
    created: MINTED,
    lastWritten: MINTED + 5_000,
    boundAt: MINTED + 1,
    hardEnd: HARD_END,
    userAgent: "Mozilla/5.0 (é)",
    place: "CH",
  };
  const fresh = { version: record.version, savedAt: record.savedAt };
  const seenName = `${NAME}-seen`;
  const freshName = `${NAME}-fresh`;
  return {
    secret: text,
    "token 1": first.toString("hex"),
    "token 2": second.toString("hex"),
    "key id": secret.id.toString("hex"),
    "MAC key": secret.macKey.toString("hex"),
    "owner key": secret.ownerKey.toString("hex"),
    "metadata key": secret.metadataKey.toString("hex"),
    "token salt": secret.tokenSalt.toString("hex"),
    "derived key 1": lineage.toString("hex"),
    "derived key 2": derived.toString("hex"),
    "record key 1": secret.recordKey(first).toString("hex"),
    "record key 2": secret.recordKey(second).toString("hex"),
    "owner tag": owner.toString("hex"),
    "session key, first": secret.sessionKey({ lineage, derived: lineage }),
    "session key, owned and rotated": secret.sessionKey(key),
    "record name": name,
    "key cookie, anonymous": format.keyCookie(secret, NAME, { token: first, lineage, mintedAt: MINTED, hardEnd: HARD_END }),
    "key cookie, owned": format.keyCookie(secret, NAME, { token: second, lineage, owner, mintedAt: MINTED + 9, hardEnd: HARD_END }),
    "tombstone, anonymous": format.tombstone(secret, NAME, { lineage, derived: lineage, hardEnd: HARD_END }),
    "tombstone, owned": format.tombstone(secret, NAME, { ...key, hardEnd: HARD_END }),
    "seen cookie": format.seenCookie(secret, seenName, second, MINTED + 60_000),
    "fresh cookie": format.freshCookie(secret, freshName, second, fresh),
    "fresh cookie, unstored, with overlay": format.freshCookie(secret, freshName, second, { ...fresh, unstored: true, overlay }),
    "form cookie": format.formCookie(secret, `${NAME}-form`, first),
    "sealed record": overlay,
    "sealed record, empty": format.sealRecord(secret.recordKey(first), nonce, bareName, bare),
    "plain record": format.plainRecord(record),
    "plain record, empty": format.plainRecord(bare),
    "list metadata": format.sealMetadata(secret, nonce, name, listed),
    "marker, rotated": format.marker("rotated", MINTED),
    "marker, revoked": format.marker("revoked", MINTED),
    "owner marker": format.ownerMarker(MINTED, []),
    "owner marker, one lineage spared": format.ownerMarker(MINTED, [lineage]),
    "progress, in the first page": format.progress(MINTED, { done: lineage }),
    "progress, in the second page, one lineage spared": format.progress(MINTED, { cursor: "page 2, é", done: derived, spared: [lineage] }),
    "progress, nothing left": format.progress(0),
    "CSRF token": secret.csrfToken(second, range(0xa0, 16)),
    "CSRF token of several sessions": secret.csrfTokenOfSeveral([second, first], range(0xa0, 16)),
    "CSRF token of the form cookie": secret.formToken(first, range(0xa0, 16)),
    "session in an event": secret.eventName(lineage),
  };
}

if (process.argv[1] === new URL(import.meta.url).pathname) {
  process.stdout.write(`${JSON.stringify(vectors(), null, 2)}\n`);
}
