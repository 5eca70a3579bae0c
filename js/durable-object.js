// The Durable Object that stores the rows of one shard: `export { SessionObject } from
// "edge-session/durable-object"`. It contains no wasm, so that it starts fast. Only its callers know
// what a row means.
//
// It answers `fetch` with JSON. A row is { value, metadata?, revision, expiresAt }. Keys, values and
// revisions are strings; instants are milliseconds since 1970.
//
//   POST /v1/read      { keys: [key…] }
//                      { rows: [row or null…] }
//   POST /v1/transact  { checks: [{ absent: key } or { revision: [key, revision] }…],
//                        writes: [{ put: { key, value, metadata?, revision, expiresAt, dead? } } or
//                                 { replace: { prefix, except: [prefix…], value, revision, dead? } }…] }
//                      { done: true } or { conflict: [row or null, for each check…] }
//   POST /v1/list      { prefix, cursor? }
//                      { keys: [{ name, metadata? }…], cursor? }, 1,000 a page
//
// A refused request gets 400 `bad_request` or 413 `too_large` with { error, message }, and nothing was
// written. docs/wire-format.md has the rest.

import { DurableObject } from "cloudflare:workers";
import { Refusal, parse } from "./object-requests.js";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const ROWS = 10_000;
const PAGE = 1000;
const EVICTED = 1000;

// Without a rowid, storing a row is one billed write; with a rowid, the index is a second one.
const TABLE = `CREATE TABLE IF NOT EXISTS sessions (key TEXT PRIMARY KEY, value TEXT NOT NULL, metadata TEXT,
  revision TEXT NOT NULL, expires_at INTEGER NOT NULL, dead_since INTEGER) WITHOUT ROWID`;
const PUT = "INSERT OR REPLACE INTO sessions VALUES (?, ?, ?, ?, ?, ?)";
// A tombstone keeps its age, even after a second logout.
const REPLACE = `UPDATE sessions SET value = ?, revision = ?, metadata = NULL,
  dead_since = iif(?, coalesce(dead_since, ?), NULL) WHERE key >= ? AND key < ? AND expires_at > ?`;
const READ = "SELECT value, metadata, revision, expires_at FROM sessions WHERE key = ? AND expires_at > ?";
const LIST = `SELECT key, metadata FROM sessions WHERE key >= ? AND key < ? AND expires_at > ?
  ORDER BY key LIMIT ${PAGE + 1}`;
// If no tombstone is old enough, the oldest ones.
const EVICT = `DELETE FROM sessions WHERE key IN (SELECT key FROM sessions WHERE dead_since < ?
  ORDER BY dead_since LIMIT ${EVICTED})`;
const COUNT = "SELECT count(*) AS n FROM sessions";
const EARLIEST = "SELECT min(expires_at) AS at FROM sessions WHERE expires_at > ?";

export class SessionObject extends DurableObject {
  /** The time of the alarm; null if none is set, undefined if unknown. */
  #alarm;

  async fetch(request) {
    try {
      const { operation, body } = await parse(request);
      if (operation === "transact" && this.#alarm === undefined) {
        const alarm = await this.ctx.storage.getAlarm();
        if (this.#alarm === undefined) this.#alarm = alarm;
      }
      // One synchronous transaction: no other request runs in between, and an exception undoes all of
      // it. Without the transaction, writes before the exception would be kept.
      return Response.json(this.ctx.storage.transactionSync(() => this.#operations[operation](body, Date.now())));
    } catch (error) {
      this.#alarm = undefined;
      if (!(error instanceof Refusal)) throw error;
      return Response.json({ error: error.code, message: error.message }, { status: error.status });
    }
  }

  /** Deletes expired rows, and the whole database after the last row. */
  async alarm() {
    const { storage } = this.ctx;
    this.#alarm = null;
    const now = Date.now();
    const next = storage.transactionSync(() => {
      const [{ at } = {}] = this.#query(EARLIEST, now);
      if (!at) return null;
      this.#query("DELETE FROM sessions WHERE expires_at <= ?", now);
      this.#setAlarm(Math.max(at, now + MINUTE));
      return at;
    });
    // Start both before awaiting: a row put while awaiting the first would be deleted by the second.
    if (next === null) await Promise.all([storage.deleteAlarm(), storage.deleteAll()]);
  }

  #operations = {
    read: ({ keys }, now) => ({ rows: keys.map((key) => this.#read(key, now)) }),
    transact: (body, now) => this.#transact(body, now),
    list: ({ prefix, cursor }, now) => {
      // A space is the smallest character, so no key lies between the cursor and the cursor with a
      // space appended.
      const start = cursor === undefined || cursor < prefix ? prefix : `${cursor} `;
      const found = this.#query(LIST, start, end(prefix), now);
      const keys = found.slice(0, PAGE).map(({ key, metadata }) => ({ name: key, metadata: metadata ?? undefined }));
      return { keys, cursor: found.length > PAGE ? keys.at(-1).name : undefined };
    },
  };

  #transact({ checks, writes }, now) {
    const keys = checks.map(({ absent, revision }) => absent ?? revision[0]);
    const rows = keys.map((key) => this.#read(key, now));
    const holds = checks.every(({ revision }, i) => (rows[i]?.revision ?? null) === (revision?.[1] ?? null));
    if (!holds) return { conflict: rows };

    const puts = writes.flatMap(({ put }) => put ?? []);
    if (puts.length) this.#query(TABLE);
    for (const { put, replace } of writes) {
      if (put) this.#put(put, now);
      else this.#replace(replace, now);
    }
    if (puts.length) {
      if (puts.some(({ key }) => !rows[keys.indexOf(key)])) this.#makeRoom(now, writes);
      this.#wakeFor(Math.min(...puts.map(({ expiresAt }) => expiresAt)), now);
    }
    return { done: true };
  }

  #read(key, now) {
    const [row] = this.#query(READ, key, now);
    if (!row) return null;
    const { value, metadata, revision, expires_at: expiresAt } = row;
    return { value, metadata: metadata ?? undefined, revision, expiresAt };
  }

  #put({ key, value, metadata = null, revision, expiresAt, dead }, now) {
    this.#query(PUT, key, value, metadata, revision, expiresAt, dead ? now : null);
  }

  #replace({ prefix, except, value, revision, dead }, now) {
    const outside = " AND NOT (key >= ? AND key < ?)".repeat(except.length);
    const exceptions = except.flatMap((prefix) => [prefix, end(prefix)]);
    this.#query(REPLACE + outside, value, revision, dead ? 1 : 0, now, prefix, end(prefix), now, ...exceptions);
  }

  /**
   * Deletes tombstones, first those older than a day, so that nobody is prevented from logging in. A
   * transaction that ends a session is never refused: whoever has filled the object could keep theirs.
   */
  #makeRoom(now, writes) {
    const full = () => this.#query(COUNT)[0].n > ROWS;
    if (!full()) return;
    this.#query("DELETE FROM sessions WHERE expires_at <= ? OR dead_since < ?", now, now - DAY);
    if (full()) this.#query(EVICT, now);
    const ends = writes.some(({ put, replace }) => replace || put.dead);
    if (!ends && full()) throw new Refusal(413, "too_large", `this object is full: it holds ${ROWS} rows, and no tombstones`);
  }

  /** Setting an alarm is a billed write, so one that is up to an hour late is left as it is. */
  #wakeFor(expiresAt, now) {
    if (this.#alarm > now && this.#alarm <= expiresAt + HOUR) return;
    // If the alarm has passed without firing, rows were left behind: it then fires immediately.
    const [{ at }] = this.#query("SELECT min(expires_at) AS at FROM sessions");
    this.#setAlarm(at);
  }

  #setAlarm(at) {
    this.ctx.storage.setAlarm(at); // no await needed: the runtime sends no response before this is on disk
    this.#alarm = at;
  }

  /** The rows of a statement. A read must not create the table, because that would create the object. */
  #query(statement, ...parameters) {
    try {
      return this.ctx.storage.sql.exec(statement, ...parameters).toArray();
    } catch (error) {
      if (/^no such table\b/.test(error.message)) return [];
      throw error;
    }
  }
}

/** The smallest text after all keys that start with `prefix`. Keys are printable ASCII. */
const end = (prefix) => `${prefix}\x7f`;
