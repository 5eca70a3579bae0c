// What keeps the sessions: Workers KV, memory, or a connector of the application's.

import { sessionError } from "./errors.js";
import { answer, finished, hold, later } from "./tasks.js";

const METHODS = ["read", "put", "delete"];
const KV_METHODS = ["get", "put", "delete", "list"];
const has = (value, method) => typeof value?.[method] === "function";

/** The port of `connector` that `src/face/js/connector.rs` calls; `name` is what an error calls it. */
export function portTo(connector, name) {
  if (connector === null || (typeof connector !== "object" && typeof connector !== "function")) {
    throw sessionError(
      "missing_binding",
      connector === undefined || connector === null
        ? `${name} is not bound: bind a KV namespace of that name to this Worker`
        : `${name} is ${typeof connector === "string" ? "text" : `a ${typeof connector}`}, not a KV namespace or a connector`,
    );
  }
  const isKv = !has(connector, "read") && has(connector, "get");
  // `list` can be left out, not be something else.
  const own = connector.list === undefined ? METHODS : [...METHODS, "list"];
  const missing = (isKv ? KV_METHODS : own).find((method) => !has(connector, method));
  if (missing) {
    const what = isKv ? "a KV namespace" : "a connector";
    throw sessionError("missing_binding", `${name} is not ${what}: it has no method ${missing}`);
  }
  if (!isKv && connector.kind !== undefined && typeof connector.kind !== "string") {
    throw sessionError("missing_binding", `${name} is not a connector: its kind is not text`);
  }
  // The core keeps the port for as long as it lives; the connector is kept by its users alone, so
  // that one made for a single request goes with it.
  return new (isKv ? KvPort : Port)(new WeakRef(connector));
}

class Port {
  isKv = false;
  #ref;

  constructor(ref) {
    this.#ref = ref;
  }

  /** What kind of store it is, which enters every key that is derived from the secret. */
  get kind() {
    const connector = this.connector;
    return connector instanceof MemoryConnector ? "memory" : (connector.kind ?? "custom");
  }

  get connector() {
    const connector = this.#ref.deref();
    if (!connector) throw new Error("the connector is gone: keep a reference to it");
    return connector;
  }

  read(reply, keys, cacheTtl) {
    answer(reply, () => this.connector.read(keys.split("\n"), { cacheTtl }), readValues);
  }

  put(reply, key, value, ttl, metadata) {
    answer(reply, () => this.connector.put(key, value, { ttl, metadata }), nothing);
  }

  delete(reply, key) {
    answer(reply, () => this.connector.delete(key), nothing);
  }

  list(reply, prefix, cursor) {
    const list = () => {
      const connector = this.connector;
      if (!has(connector, "list")) {
        throw Object.assign(new Error("this connector has no method list"), { code: "unsupported" });
      }
      return connector.list({ prefix, cursor });
    };
    answer(reply, list, (page) => {
      if (!Array.isArray(page?.keys)) throw new Error("list answered with something without an array of keys");
      return flat(page.cursor, page.keys);
    });
  }

  sleep(reply, milliseconds) {
    answer(reply, () => new Promise((resolve) => setTimeout(resolve, milliseconds)), nothing);
  }

  /** From where a request comes, and by what: a country and a user agent, a line each. */
  sender(request) {
    const country = request.cf?.country;
    return `${typeof country === "string" ? country : ""}\n${request.headers.get("user-agent") ?? ""}`;
  }

  finished(task, value, isError) {
    finished(task, value, isError);
  }

  waitUntil(context, task) {
    context.waitUntil(later(task));
  }

  holdUntil(context, step) {
    context.waitUntil(hold(step));
  }
}

const nothing = () => [];

function readValues(values) {
  if (!Array.isArray(values)) throw new Error("read answered with something that is no array");
  for (const value of values) {
    if (typeof value !== "string" && value !== null && value !== undefined) {
      throw new Error("read answered with a value that is no text");
    }
  }
  return values;
}

/** A page's cursor, then name and metadata by turns; what is no text counts as absent. */
const flat = (cursor, keys) =>
  [cursor, ...keys.flatMap(({ name, metadata }) => [name, metadata])].map((text) =>
    typeof text === "string" ? text : null,
  );

/** Keys of one bulk read (https://developers.cloudflare.com/kv/api/read-key-value-pairs/). */
const BULK = 100;

/** Workers KV (https://developers.cloudflare.com/kv/api/). Its rules are in the core. */
class KvPort extends Port {
  isKv = true;

  get kind() {
    return "kv";
  }

  read(reply, keys, cacheTtl) {
    const names = keys.split("\n");
    const options = { type: "text", cacheTtl };
    if (names.length === 1) {
      answer(reply, () => this.connector.get(names[0], options), (value) => readValues([value]));
    } else if (names.length <= BULK) {
      answer(reply, () => this.connector.get(names, options), (found) => valuesOf(names, found));
    } else {
      answer(reply, () => this.#readMany(names, options), readValues);
    }
  }

  async #readMany(names, options) {
    const values = [];
    for (let i = 0; i < names.length; i += BULK) {
      const some = names.slice(i, i + BULK);
      values.push(...valuesOf(some, await this.connector.get(some, options)));
    }
    return values;
  }

  put(reply, key, value, expirationTtl, metadata) {
    answer(reply, () => this.connector.put(key, value, { expirationTtl, metadata }), nothing);
  }

  list(reply, prefix, cursor) {
    answer(reply, () => this.connector.list({ prefix, cursor }), (page) => {
      if (!Array.isArray(page?.keys) || typeof page.list_complete !== "boolean") {
        throw new Error("KV list answered with something that is no page");
      }
      // Only `list_complete` says that this was the last page: an empty one may have a successor.
      const next = page.list_complete ? null : page.cursor;
      if (next !== null && !next) throw new Error("KV list answered with an unfinished page without a cursor");
      return flat(next, page.keys);
    });
  }
}

/** The values that a bulk read found, in the order of the names. */
function valuesOf(names, found) {
  return readValues(
    names.map((name) => {
      const value = found?.get?.(name);
      // An absent key is there with null. A reply that leaves one out says nothing about it, and
      // a failed read must not be told as an absence.
      if (value === undefined) throw new Error("KV get answered with something that lacks one of the keys");
      return value;
    }),
  );
}

function checkTime(milliseconds) {
  if (typeof milliseconds === "number" && Number.isFinite(milliseconds)) return milliseconds;
  throw sessionError("invalid_value", "a clock takes a number of milliseconds");
}

/** A clock that stands still until it is moved, in milliseconds since 1970-01-01 UTC. */
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

/**
 * A namespace in memory, for tests: the strongest store that the port allows. A write is seen at
 * once, and a time to live is exact.
 */
export class MemoryConnector {
  #entries = new Map();
  #operations;

  constructor({ clock = Date } = {}) {
    this.clock = clock;
    this.resetOperations();
  }

  /** What was asked of it: reads and the keys in them, puts, deletes and lists. */
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
