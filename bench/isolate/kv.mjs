// A KV namespace in the isolate's own memory, which counts what is billed.

import { clock } from "./clock.mjs";

const bytes = (text) => new TextEncoder().encode(text).length;

export class MemoryKv {
  #entries = new Map();
  /** Bytes are counted where it is asked for: counting them costs time. */
  measureBytes = false;

  constructor() {
    this.reset();
  }

  reset() {
    /** By the first letter of a key of ours: record, marker of a key, of a lineage, of an owner. */
    this.kinds ??= {};
    this.counts = { reads: 0, keysRead: 0, puts: 0, deletes: 0, lists: 0, bytesRead: 0, bytesPut: 0 };
  }

  clear() {
    this.#entries.clear();
  }

  get size() {
    return this.#entries.size;
  }

  #count(key, what) {
    if (!this.measureBytes) return;
    const kind = /^[sklo](?=\.)/.exec(key)?.[0];
    if (!kind) return;
    const counts = (this.kinds[kind] ??= {});
    counts[what] = (counts[what] ?? 0) + 1;
  }

  #find(key) {
    this.counts.keysRead += 1;
    this.#count(key, "keysRead");
    const entry = this.#entries.get(key);
    if (entry === undefined || entry.expires <= clock.now) return null;
    if (this.measureBytes) this.counts.bytesRead += bytes(entry.value);
    return entry;
  }

  async get(keys, options) {
    const type = typeof options === "string" ? options : options?.type;
    this.counts.reads += 1;
    const read = (key) => {
      const entry = this.#find(key);
      if (entry === null) return null;
      return type === "json" ? JSON.parse(entry.value) : entry.value;
    };
    return Array.isArray(keys) ? new Map(keys.map((key) => [key, read(key)])) : read(keys);
  }

  async getWithMetadata(key, options) {
    const type = typeof options === "string" ? options : options?.type;
    this.counts.reads += 1;
    const entry = this.#find(key);
    if (entry === null) return { value: null, metadata: null };
    return { value: type === "json" ? JSON.parse(entry.value) : entry.value, metadata: entry.metadata };
  }

  async put(key, value, { expirationTtl, expiration, metadata = null } = {}) {
    this.counts.puts += 1;
    this.#count(key, "puts");
    if (typeof value !== "string") throw new TypeError("the bench's KV takes text");
    if (this.measureBytes) {
      this.counts.bytesPut += bytes(value) + (metadata === null ? 0 : bytes(JSON.stringify(metadata)));
    }
    const ends = expirationTtl !== undefined ? clock.now + expirationTtl * 1000 : (expiration ?? Infinity) * 1000;
    this.#entries.set(key, { value, expires: ends, metadata });
  }

  async delete(key) {
    this.counts.deletes += 1;
    this.#entries.delete(key);
  }

  async list({ prefix = "", cursor, limit = 1000 } = {}) {
    this.counts.lists += 1;
    const names = [...this.#entries.keys()].filter((name) => name.startsWith(prefix)).sort();
    const start = cursor ? Number(cursor) : 0;
    const keys = names
      .slice(start, start + limit)
      .map((name) => ({ name, metadata: this.#entries.get(name).metadata ?? undefined }));
    const done = start + limit >= names.length;
    return done ? { keys, list_complete: true } : { keys, list_complete: false, cursor: String(start + limit) };
  }
}
