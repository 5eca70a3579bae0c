// The stores: Workers KV, Durable Objects, memory, or the application's own connector.

import { sessionError } from "./errors.js";
import { ObjectConnector, isObjectNamespace } from "./object-connector.js";

const METHODS = ["read", "put", "delete"];
const STRONG_METHODS = ["read", "transact", "list"];
const KV_METHODS = ["get", "put", "delete", "list"];
const has = (value, method) => typeof value?.[method] === "function";

/**
 * The port to `connector` that `js/driver.js` uses. Error messages call it `name`. `place` has the
 * location hint and the jurisdiction of Durable Objects.
 */
export function portTo(connector, name, place) {
  if (connector === null || (typeof connector !== "object" && typeof connector !== "function")) {
    throw sessionError(
      "missing_binding",
      connector === undefined || connector === null
        ? `${name} is not bound: bind a KV namespace of that name to this Worker`
        : `${name} is a ${typeof connector}, not a KV namespace or a connector`,
    );
  }
  if (isObjectNamespace(connector)) return new ObjectPort(new WeakRef(connector), place);
  const isStrong = has(connector, "transact");
  const isKv = !isStrong && !has(connector, "read") && has(connector, "get");
  // `list` is optional, but must be a function if present.
  const own = connector.list === undefined ? METHODS : [...METHODS, "list"];
  const methods = isKv ? KV_METHODS : isStrong ? STRONG_METHODS : own;
  const missing = methods.find((method) => !has(connector, method));
  if (missing) {
    const what = isKv ? "a KV namespace" : "a connector";
    throw sessionError("missing_binding", `${name} is not ${what}: it has no method ${missing}`);
  }
  if (!isKv && connector.kind !== undefined && typeof connector.kind !== "string") {
    throw sessionError("missing_binding", `${name} is not a connector: its kind is not a string`);
  }
  // The port lives as long as the core. It must not keep the connector alive, which may have been
  // created for a single request.
  return new (isKv ? KvPort : isStrong ? StrongPort : Port)(new WeakRef(connector));
}

class Port {
  isKv = false;
  isStrong = false;
  #ref;

  constructor(ref) {
    this.#ref = ref;
  }

  /** The kind of store. It is part of every key derived from the secret. */
  get kind() {
    return this.kindOr("custom");
  }

  kindOr(usual) {
    const connector = this.connector;
    return connector instanceof MemoryConnector ? "memory" : (connector.kind ?? usual);
  }

  get connector() {
    const connector = this.#ref.deref();
    if (!connector) throw new Error("the connector was garbage-collected: keep a reference to it");
    return connector;
  }

  async read(keys, cacheTtl) {
    return readValues(await this.connector.read(keys, { cacheTtl }));
  }

  put(key, value, ttl, metadata) {
    return this.connector.put(key, value, { ttl, metadata });
  }

  delete(key) {
    return this.connector.delete(key);
  }

  async list(prefix, cursor) {
    const connector = this.connector;
    if (!has(connector, "list")) {
      throw Object.assign(new Error("this connector has no method list"), { code: "unsupported" });
    }
    const page = await connector.list({ prefix, cursor });
    if (!Array.isArray(page?.keys)) throw new Error("list must return an array of keys");
    return texts(page.cursor, page.keys);
  }
}

function readValues(values) {
  if (!Array.isArray(values)) throw new Error("read must return an array");
  for (const value of values) {
    if (typeof value !== "string" && value !== null && value !== undefined) {
      throw new Error("read must return a string or null for each key");
    }
  }
  return values;
}

/**
 * A page in the form that the core expects. A cursor or metadata that is not a string counts as absent, and so
 * does an empty cursor, which would ask for the first page again.
 */
function texts(cursor, keys) {
  const text = (value) => (typeof value === "string" ? value : undefined);
  const named = keys.map(({ name, metadata }) => {
    if (typeof name !== "string") throw new Error("list must return the name of each key");
    return { name, metadata: text(metadata) };
  });
  return { cursor: text(cursor) || undefined, keys: named };
}

/** The most keys of one bulk read (https://developers.cloudflare.com/kv/api/read-key-value-pairs/). */
const BULK = 100;

/** Workers KV (https://developers.cloudflare.com/kv/api/). Its rules are in the core. */
class KvPort extends Port {
  isKv = true;

  get kind() {
    return "kv";
  }

  async read(names, cacheTtl) {
    const options = { type: "text", cacheTtl };
    if (names.length === 1) return readValues([await this.connector.get(names[0], options)]);
    const values = [];
    for (let i = 0; i < names.length; i += BULK) {
      const some = names.slice(i, i + BULK);
      values.push(...valuesOf(some, await this.connector.get(some, options)));
    }
    return values;
  }

  put(key, value, expirationTtl, metadata) {
    return this.connector.put(key, value, { expirationTtl, metadata });
  }

  async list(prefix, cursor) {
    const page = await this.connector.list({ prefix, cursor });
    if (!Array.isArray(page?.keys) || typeof page.list_complete !== "boolean") {
      throw new Error("KV list returned something that is not a page");
    }
    // Only `list_complete` marks the last page: an empty page may be followed by others.
    const next = page.list_complete ? undefined : page.cursor;
    if (!page.list_complete && !next) throw new Error("KV list returned an unfinished page without a cursor");
    return texts(next, page.keys);
  }
}

/** A store that has transactions. */
class StrongPort extends Port {
  isStrong = true;

  get kind() {
    return this.kindOr("strong");
  }

  /** Sends a request of the core to one shard. The core checks the form of the answer. */
  async rows({ shard, operation, body }) {
    const connector = this.connector;
    if (operation === "read") return { rows: await connector.read(shard, body.keys) };
    if (operation === "transact") return connector.transact(shard, body.checks, body.writes);
    return connector.list(shard, body.prefix, body.cursor);
  }
}

/** Durable Objects of the class SessionObject. */
class ObjectPort extends StrongPort {
  #place;

  constructor(ref, place) {
    super(ref);
    this.#place = place;
    try {
      void this.connector;
    } catch (thrown) {
      throw sessionError("config", `the runtime refuses the jurisdiction "${place.jurisdiction}": ${thrown?.message}`);
    }
  }

  get kind() {
    return "durable_object";
  }

  get connector() {
    return new ObjectConnector(super.connector, this.#place);
  }
}

/** The values of a bulk read, in the order of the names. */
function valuesOf(names, found) {
  return readValues(
    names.map((name) => {
      const value = found?.get?.(name);
      // KV returns null for an absent key. If the reply lacks a key, the read has failed, and that
      // must not count as absence.
      if (value === undefined) throw new Error("KV get returned something that lacks one of the keys");
      return value;
    }),
  );
}

function checkTime(milliseconds) {
  if (typeof milliseconds === "number" && Number.isFinite(milliseconds)) return milliseconds;
  throw sessionError("invalid_value", "a clock's time must be a number of milliseconds");
}

/** A clock that stands still until you move it, in milliseconds since 1970-01-01 UTC. */
export class ManualClock {
  #now;

  constructor(milliseconds = 0) {
    this.#now = checkTime(milliseconds);
  }

  now() {
    return this.#now;
  }

  set(milliseconds) {
    this.#now = checkTime(milliseconds);
  }

  advance(milliseconds) {
    this.#now = checkTime(this.#now + checkTime(milliseconds));
  }
}

/** A namespace in memory, for tests. Writes are visible immediately, and times to live are exact. */
export class MemoryConnector {
  #entries = new Map();
  #operations;

  constructor({ clock = Date } = {}) {
    this.clock = clock;
    this.resetOperations();
  }

  /** A store in memory that has transactions, for tests. */
  static strong(options) {
    return new StrongMemory(options);
  }

  /** The numbers of reads, keys read, puts, deletes and lists. */
  get operations() {
    return { ...this.#operations };
  }

  resetOperations() {
    this.#operations = { reads: 0, keysRead: 0, puts: 0, deletes: 0, lists: 0 };
  }

  get size() {
    return [...this.#entries.keys()].filter((key) => this.#live(key)).length;
  }

  #live(key) {
    const entry = this.#entries.get(key);
    return entry && this.clock.now() < entry.end ? entry : undefined;
  }

  async read(keys) {
    this.#operations.reads += 1;
    this.#operations.keysRead += keys.length;
    return keys.map((key) => this.#live(key)?.value ?? null);
  }

  async put(key, value, { ttl = Infinity, metadata } = {}) {
    this.#operations.puts += 1;
    this.#entries.set(key, { value, metadata, end: this.clock.now() + ttl * 1000 });
  }

  async delete(key) {
    this.#operations.deletes += 1;
    this.#entries.delete(key);
  }

  async list({ prefix = "", cursor = "" } = {}) {
    this.#operations.lists += 1;
    const names = [...this.#entries.keys()].filter(
      (name) => name.startsWith(prefix) && name > cursor && this.#live(name),
    );
    names.sort((one, other) => (one < other ? -1 : 1)); // keys are ASCII
    const page = names.slice(0, 1000);
    const keys = page.map((name) => ({ name, metadata: this.#entries.get(name).metadata }));
    return { keys, cursor: names.length > page.length ? page.at(-1) : undefined };
  }
}

/** Rows in memory, by shard. Every operation is one instant, and a row is gone when its time has come. */
export class StrongMemory {
  kind = "memory";
  #shards = new Map();
  #operations;

  constructor({ clock = Date } = {}) {
    this.clock = clock;
    this.resetOperations();
  }

  /** The numbers of reads, transactions and lists. */
  get operations() {
    return { ...this.#operations };
  }

  resetOperations() {
    this.#operations = { reads: 0, transactions: 0, lists: 0 };
  }

  #row(shard, key) {
    const row = this.#shards.get(shard)?.get(key);
    return row && this.clock.now() < row.expiresAt ? row : null;
  }

  async read(shard, keys) {
    this.#operations.reads += 1;
    return keys.map((key) => this.#row(shard, key));
  }

  async transact(shard, checks, writes) {
    this.#operations.transactions += 1;
    const found = checks.map(({ absent, revision }) => this.#row(shard, absent ?? revision[0]));
    const holds = checks.every(({ revision }, i) => found[i]?.revision === revision?.[1]);
    if (!holds) return { conflict: found };
    let rows = this.#shards.get(shard);
    if (!rows) this.#shards.set(shard, (rows = new Map()));
    for (const { put, replace } of writes) {
      if (put) {
        const { key, value, metadata, revision, expiresAt } = put;
        rows.set(key, { value, metadata, revision, expiresAt });
        continue;
      }
      const { prefix, except, value, revision } = replace;
      for (const [key, { expiresAt }] of rows) {
        const isSpared = !key.startsWith(prefix) || except.some((it) => key.startsWith(it));
        if (!isSpared && this.clock.now() < expiresAt) rows.set(key, { value, revision, expiresAt });
      }
    }
    return { done: true };
  }

  async list(shard, prefix, cursor = "") {
    this.#operations.lists += 1;
    const rows = this.#shards.get(shard) ?? new Map();
    const names = [...rows.keys()].filter((name) => name.startsWith(prefix) && name > cursor && this.#row(shard, name));
    names.sort((one, other) => (one < other ? -1 : 1)); // keys are ASCII
    const page = names.slice(0, 1000);
    const keys = page.map((name) => ({ name, metadata: rows.get(name).metadata }));
    return { keys, cursor: names.length > page.length ? page.at(-1) : undefined };
  }
}
