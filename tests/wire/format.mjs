// A second implementation of the wire format, written from docs/wire-format.md only. It reads what Rust
// writes, and the other way round. It shares no code with the product.

import { createCipheriv, createDecipheriv, createHmac, hkdfSync, timingSafeEqual } from "node:crypto";

const FORMAT = 2;
const utf8 = (text) => Buffer.from(text, "utf8");
export const b64 = (bytes) => Buffer.from(bytes).toString("base64url");

/** Canonical base64url without padding, or an error. */
export function unb64(text) {
  const bytes = Buffer.from(text, "base64url");
  if (!/^[\w-]*$/.test(text) || b64(bytes) !== text) throw new Error("not canonical base64url");
  return bytes;
}

// --- numbers and blocks ------------------------------------------------------------------------

export function u32(number) {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(number);
  return bytes;
}

export function instant(milliseconds) {
  const bytes = Buffer.alloc(6);
  bytes.writeUIntBE(milliseconds, 0, 6);
  return bytes;
}

const version = ([counter, writer]) => Buffer.concat([u32(counter), u32(writer)]);

export function length(number) {
  const bytes = [];
  for (; number >= 0x80; number = Math.floor(number / 0x80)) bytes.push((number % 0x80) | 0x80);
  return Buffer.from([...bytes, number]);
}

const block = (bytes) => Buffer.concat([length(bytes.length), bytes]);
const text = (string) => block(utf8(string));
const option = (value, encode) =>
  value === undefined ? Buffer.of(0) : Buffer.concat([Buffer.of(1), encode(value)]);

class Reader {
  constructor(bytes) {
    this.bytes = bytes;
    this.at = 0;
  }
  take(count) {
    if (this.at + count > this.bytes.length) throw new Error("too short");
    return this.bytes.subarray(this.at, (this.at += count));
  }
  u8 = () => this.take(1)[0];
  u32 = () => this.take(4).readUInt32BE();
  instant = () => this.take(6).readUIntBE(0, 6);
  version = () => [this.u32(), this.u32()];
  length() {
    let number = 0;
    for (let group = 0; group < 4; group += 1) {
      const byte = this.u8();
      number += (byte & 0x7f) * 0x80 ** group;
      if (byte < 0x80) {
        if (byte === 0 && group > 0) throw new Error("a length in a long form");
        return number;
      }
    }
    throw new Error("too long a length");
  }
  text = () => new TextDecoder("utf-8", { fatal: true }).decode(this.take(this.length()));
  option(read) {
    const flag = this.u8();
    if (flag > 1) throw new Error("neither there nor absent");
    return flag ? read() : undefined;
  }
  end() {
    if (this.at !== this.bytes.length) throw new Error("too long");
  }
}

// --- keys --------------------------------------------------------------------------------------

const hkdf = (input, salt, info, size) => Buffer.from(hkdfSync("sha256", input, salt, info, size));

/** The first 16 bytes of HMAC-SHA256 over the fields, each preceded by its length in four bytes. */
function mac(key, fields) {
  const hmac = createHmac("sha256", key);
  for (const field of fields) hmac.update(u32(field.length)).update(field);
  return hmac.digest().subarray(0, 16);
}

/** Everything derived from a secret for one kind of store and key prefix, and from a token with it. */
export class Secret {
  constructor(secret, { kind = "kv", prefix = "" } = {}) {
    this.secret = utf8(secret);
    const scope = [kind, prefix].flatMap((part) => [u32(utf8(part).length), utf8(part)]);
    const derive = (purpose, size, ...bound) =>
      hkdf(this.secret, "edge-session/v2", Buffer.concat([utf8(purpose), ...bound]), size);
    this.id = derive("kid", 4);
    this.macKey = derive("mac", 32, ...scope);
    this.ownerKey = derive("owner", 32, ...scope);
    this.metadataKey = derive("metadata", 32, ...scope);
    this.tokenSalt = derive("token", 32, ...scope);
  }

  derivedKey = (token) => hkdf(token, this.tokenSalt, "edge-session/v2 derived key", 16);
  recordKey = (token) => hkdf(token, this.tokenSalt, "edge-session/v2 record key", 32);
  ownerTag = (owner) => mac(this.ownerKey, [utf8(owner)]);
  tag = (purpose, ...fields) => mac(this.macKey, [utf8(purpose), ...fields]);

  csrfToken(token, mask) {
    const tag = this.tag("csrf", token);
    return b64(Buffer.concat([mask, tag.map((byte, i) => byte ^ mask[i])]));
  }

  /** The same for the tokens of several sessions, if none is chosen, with the keys of the first one. */
  csrfTokenOfSeveral(tokens, mask) {
    const tag = this.tag("csrf-of-several", ...tokens.toSorted(Buffer.compare));
    return b64(Buffer.concat([mask, tag.map((byte, i) => byte ^ mask[i])]));
  }

  /** The same for a form cookie's number, for a page without a session. */
  formToken(nonce, mask) {
    const tag = this.tag("form-csrf", nonce);
    return b64(Buffer.concat([mask, tag.map((byte, i) => byte ^ mask[i])]));
  }

  /** The public session key: the parts that name a record, and a tag over them. */
  sessionKey(key) {
    const tag = this.tag("session-key", key.owner ?? Buffer.alloc(0), key.lineage, key.derived);
    return `${parts(key)}.${b64(tag)}`;
  }

  eventName = (lineage) => b64(this.tag("event", lineage).subarray(0, 9));
}

// --- names -------------------------------------------------------------------------------------

const parts = ({ owner, lineage, derived }) => `${owner ? b64(owner) : "-"}.${b64(lineage)}.${b64(derived)}`;
export const recordName = (key, prefix = "") => `${prefix}s.${parts(key)}`;

export function parseRecordName(name, prefix = "") {
  if (!name.startsWith(`${prefix}s.`)) throw new Error(`no record's name: ${name}`);
  const [owner, lineage, derived] = name.slice(prefix.length + 2).split(".");
  return { owner: owner === "-" ? undefined : unb64(owner), lineage: unb64(lineage), derived: unb64(derived) };
}

// --- cookies -----------------------------------------------------------------------------------

const sealValue = (secret, purpose, body, ...context) =>
  b64(Buffer.concat([body, secret.tag(purpose, body, ...context)]));

/** The body of a value that is authentic under `secret`. */
function openValue(secret, purpose, value, ...context) {
  const bytes = unb64(value);
  const body = bytes.subarray(0, -16);
  const head = new Reader(body);
  if (head.u8() !== FORMAT) throw new Error("another format");
  if (!head.take(4).equals(secret.id)) throw new Error("another secret");
  if (!timingSafeEqual(bytes.subarray(-16), secret.tag(purpose, body, ...context))) {
    throw new Error("not authentic");
  }
  return head;
}

export function keyCookie(secret, name, { token, lineage, owner, mintedAt, hardEnd }) {
  const parts = [Buffer.of(FORMAT), secret.id, Buffer.of(owner ? 1 : 0), token, lineage];
  if (owner) parts.push(owner);
  parts.push(instant(mintedAt), instant(hardEnd));
  return sealValue(secret, "key", Buffer.concat(parts), utf8(name));
}

export function tombstone(secret, name, { lineage, derived, owner, hardEnd }) {
  const parts = [Buffer.of(FORMAT), secret.id, Buffer.of(owner ? 3 : 2), lineage, derived];
  if (owner) parts.push(owner);
  parts.push(instant(hardEnd));
  return sealValue(secret, "key", Buffer.concat(parts), utf8(name));
}

export function openKeyCookie(secret, name, value) {
  const reader = openValue(secret, "key", value, utf8(name));
  const kind = reader.u8();
  const opened =
    kind === 2 || kind === 3
      ? {
          kind: "tombstone",
          lineage: reader.take(16),
          derived: reader.take(16),
          owner: kind === 3 ? reader.take(16) : undefined,
          hardEnd: reader.instant(),
        }
      : {
          kind: ["anonymous", "owned"][kind],
          token: reader.take(32),
          lineage: reader.take(16),
          owner: kind === 1 ? reader.take(16) : undefined,
          mintedAt: reader.instant(),
          hardEnd: reader.instant(),
        };
  reader.end();
  if (!opened.kind) throw new Error("another kind");
  return opened;
}

export function seenCookie(secret, name, token, at) {
  const body = Buffer.concat([Buffer.of(FORMAT), secret.id, instant(at)]);
  return sealValue(secret, "seen", body, utf8(name), token);
}

export function openSeenCookie(secret, name, token, value) {
  const reader = openValue(secret, "seen", value, utf8(name), token);
  const at = reader.instant();
  reader.end();
  return at;
}

/** The number of characters that contain an overlay's tag, whatever its length. */
const endOf = (overlay = "") => utf8(overlay.slice(-22));

export function freshCookie(secret, name, token, { version: saved, savedAt, unstored, overlay }) {
  const body = Buffer.concat([
    Buffer.of(FORMAT),
    secret.id,
    version(saved),
    instant(savedAt),
    Buffer.of(unstored ? 1 : 0),
  ]);
  const head = sealValue(secret, "fresh", body, utf8(name), token, endOf(overlay));
  return overlay === undefined ? head : `${head}.${overlay}`;
}

export function openFreshCookie(secret, name, token, value) {
  const dot = value.indexOf(".");
  const [head, overlay] = dot < 0 ? [value] : [value.slice(0, dot), value.slice(dot + 1)];
  if (overlay !== undefined && overlay.length < 22) throw new Error("no overlay is that short");
  const reader = openValue(secret, "fresh", head, utf8(name), token, endOf(overlay));
  const opened = { version: reader.version(), savedAt: reader.instant(), unstored: reader.u8() === 1, overlay };
  reader.end();
  return opened;
}

export function formCookie(secret, name, nonce) {
  return sealValue(secret, "form", Buffer.concat([Buffer.of(FORMAT), secret.id, nonce]), utf8(name));
}

export function openFormCookie(secret, name, value) {
  const reader = openValue(secret, "form", value, utf8(name));
  const nonce = reader.take(32);
  reader.end();
  return nonce;
}

// --- XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03) ---------------------------------------------

/** HChaCha20: the ChaCha20 block function without its last addition; words 0-3 and 12-15. */
export function hChaCha20(key, nonce) {
  const x = new Uint32Array(16);
  const word = (bytes, i) => bytes.readUInt32LE(4 * i);
  x.set([0x61707865, 0x3320646e, 0x79622d32, 0x6b206574]);
  for (let i = 0; i < 8; i += 1) x[4 + i] = word(key, i);
  for (let i = 0; i < 4; i += 1) x[12 + i] = word(nonce, i);
  const add = (a, b, d, by) => {
    x[a] += x[b];
    const mixed = x[d] ^ x[a];
    x[d] = (mixed << by) | (mixed >>> (32 - by));
  };
  const quarter = (a, b, c, d) => {
    add(a, b, d, 16);
    add(c, d, b, 12);
    add(a, b, d, 8);
    add(c, d, b, 7);
  };
  for (let round = 0; round < 10; round += 1) {
    for (let i = 0; i < 4; i += 1) quarter(i, 4 + i, 8 + i, 12 + i);
    for (let i = 0; i < 4; i += 1) quarter(i, 4 + ((i + 1) % 4), 8 + ((i + 2) % 4), 12 + ((i + 3) % 4));
  }
  const out = Buffer.alloc(32);
  [0, 1, 2, 3, 12, 13, 14, 15].forEach((from, i) => out.writeUInt32LE(x[from], 4 * i));
  return out;
}

const CIPHER = "chacha20-poly1305";
const inner = (nonce) => Buffer.concat([Buffer.alloc(4), nonce.subarray(16)]);

export function aeadSeal(key, nonce, plain, associated) {
  const cipher = createCipheriv(CIPHER, hChaCha20(key, nonce), inner(nonce), { authTagLength: 16 });
  cipher.setAAD(associated, { plaintextLength: plain.length });
  return Buffer.concat([cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
}

export function aeadOpen(key, nonce, sealed, associated) {
  const decipher = createDecipheriv(CIPHER, hChaCha20(key, nonce), inner(nonce), { authTagLength: 16 });
  decipher.setAAD(associated, { plaintextLength: sealed.length - 16 });
  decipher.setAuthTag(sealed.subarray(-16));
  return Buffer.concat([decipher.update(sealed.subarray(0, -16)), decipher.final()]);
}

// --- the record --------------------------------------------------------------------------------

const recordContext = (name, saved) =>
  Buffer.concat([block(Buffer.of(FORMAT)), text("record"), text(name), version(saved)]);

const IDLE = ["default", "none"];

/** `end`: null or milliseconds; `idle`: "default", "none" or seconds; `browserClose`. */
const encodeExpiry = ({ end, idle, browserClose }) =>
  Buffer.concat([
    option(end ?? undefined, instant),
    typeof idle === "number" ? Buffer.concat([Buffer.of(2), u32(idle)]) : Buffer.of(IDLE.indexOf(idle)),
    Buffer.of(browserClose ? 1 : 0),
  ]);

function readExpiry(reader) {
  const end = reader.option(reader.instant) ?? null;
  const kind = reader.u8();
  const idle = kind === 2 ? reader.u32() : IDLE[kind];
  const closes = reader.u8();
  if (!idle || closes > 1) throw new Error("another expiry");
  return { end, idle, browserClose: closes === 1 };
}

/** Entries: `[key, version, {json}]` or `[key, version, {removed}]`, in order. */
const encodeTable = (entries) =>
  Buffer.concat([
    length(entries.length),
    ...entries.map(([key, written, slot]) =>
      Buffer.concat([
        text(key),
        version(written),
        "json" in slot
          ? Buffer.concat([Buffer.of(0), text(slot.json)])
          : Buffer.concat([Buffer.of(1), instant(slot.removed)]),
      ]),
    ),
  ]);

export function sealRecord(key, nonce, name, record) {
  const plain = Buffer.concat([
    instant(record.createdAt),
    instant(record.savedAt),
    instant(record.hardEnd),
    option(record.bound, ({ owner, at }) => Buffer.concat([text(owner), instant(at)])),
    option(record.authTime, instant),
    option(record.userAgent, text),
    option(record.place, text),
    version(record.expiryVersion),
    encodeExpiry(record.expiry),
    version(record.cleared),
    encodeTable(record.values),
    encodeTable(record.flash),
  ]);
  const sealed = aeadSeal(key, nonce, plain, recordContext(name, record.version));
  return b64(Buffer.concat([Buffer.of(FORMAT), version(record.version), nonce, sealed]));
}

export function openRecord(key, name, stored) {
  const outer = new Reader(unb64(stored));
  if (outer.u8() !== FORMAT) throw new Error("another format");
  const saved = outer.version();
  const nonce = outer.take(24);
  const reader = new Reader(aeadOpen(key, nonce, outer.bytes.subarray(outer.at), recordContext(name, saved)));
  const table = () =>
    Array.from({ length: reader.length() }, () => {
      const [entry, written] = [reader.text(), reader.version()];
      const slot = reader.u8();
      if (slot > 1) throw new Error("another slot");
      return [entry, written, slot ? { removed: reader.instant() } : { json: reader.text() }];
    });
  const record = {
    version: saved,
    createdAt: reader.instant(),
    savedAt: reader.instant(),
    hardEnd: reader.instant(),
    bound: reader.option(() => ({ owner: reader.text(), at: reader.instant() })),
    authTime: reader.option(reader.instant),
    userAgent: reader.option(reader.text),
    place: reader.option(reader.text),
    expiryVersion: reader.version(),
  };
  record.expiry = readExpiry(reader);
  record.cleared = reader.version();
  record.values = table();
  record.flash = table();
  reader.end();
  return record;
}

/** The same record with `SESSION_SEAL=false`. It contains the JSON of the values unchanged. */
export function plainRecord(record) {
  const object = (entries) => `{${entries.map(([key, json]) => `${JSON.stringify(key)}:${json}`).join(",")}}`;
  const table = (entries, name) => {
    const values = entries.filter(([, , slot]) => "json" in slot);
    const removed = entries.filter(([, , slot]) => "removed" in slot);
    return [
      [name, object(values.map(([key, , { json }]) => [key, json]))],
      [`${name}Versions`, object(values.map(([key, written]) => [key, JSON.stringify(written)]))],
      [`${name}Removed`, object(removed.map(([key, written, slot]) => [key, JSON.stringify([...written, slot.removed])]))],
    ];
  };
  const members = [
    ["format", FORMAT],
    ["version", record.version],
    ["createdAt", record.createdAt],
    ["savedAt", record.savedAt],
    ["hardEnd", record.hardEnd],
    ["owner", record.bound?.owner],
    ["boundAt", record.bound?.at],
    ["authTime", record.authTime],
    ["userAgent", record.userAgent],
    ["place", record.place],
    ["expiry", record.expiry],
    ["expiryVersion", record.expiryVersion],
    ["cleared", record.cleared],
  ];
  return object([
    ...members.filter(([, value]) => value !== undefined).map(([name, value]) => [name, JSON.stringify(value)]),
    ...table(record.values, "data"),
    ...table(record.flash, "flash"),
  ]);
}

// --- list metadata and markers -------------------------------------------------------------------

const metadataContext = (name) => Buffer.concat([block(Buffer.of(FORMAT)), text("metadata"), text(name)]);

export function sealMetadata(secret, nonce, name, listed) {
  const plain = Buffer.concat([
    instant(listed.created),
    instant(listed.lastWritten),
    instant(listed.boundAt),
    instant(listed.hardEnd),
    text(listed.userAgent ?? ""),
    text(listed.place ?? ""),
  ]);
  const sealed = aeadSeal(secret.metadataKey, nonce, plain, metadataContext(name));
  return b64(Buffer.concat([Buffer.of(FORMAT), nonce, sealed]));
}

export function openMetadata(secret, name, stored) {
  const outer = new Reader(unb64(stored));
  if (outer.u8() !== FORMAT) throw new Error("another format");
  const nonce = outer.take(24);
  const plain = aeadOpen(secret.metadataKey, nonce, outer.bytes.subarray(outer.at), metadataContext(name));
  const reader = new Reader(plain);
  const listed = {
    created: reader.instant(),
    lastWritten: reader.instant(),
    boundAt: reader.instant(),
    hardEnd: reader.instant(),
    userAgent: reader.text() || undefined,
    place: reader.text() || undefined,
  };
  reader.end();
  return listed;
}

export const marker = (death, at) => `2 ${{ rotated: "r", revoked: "x" }[death]} ${at}`;
export const ownerMarker = (at, except) => ["2 o", at, ...except.map(b64)].join(" ");
export const progress = (at, { cursor, done, spared = [] } = {}) =>
  ["2 p", at, cursor === undefined ? "-" : b64(utf8(cursor)), done ? b64(done) : "-", ...spared.map(b64)].join(" ");
