// The Durable Object that holds the rows of one shard: `export { SessionObject } from
// "edge-session/durable-object"`. There is no wasm in it, so that it wakes fast; what a row means
// is known to its writers alone.
//
// It answers JSON over `fetch`. A row is { value, metadata?, revision, expiresAt }; a key, a value
// and a revision are strings, an instant is milliseconds since 1970.
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
// A refusal is 400 `bad_request` or 413 `too_large`, { error, message }, and nothing was written.
// docs/wire-format.md has the rest.

import { DurableObject } from "cloudflare:workers";
import { Refusal, parse } from "./object-requests.js";

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const ROWS = 10_000;
const PAGE = 1000;

// Without a rowid a row is one write; with one, its index is a second.
const TABLE = `CREATE TABLE IF NOT EXISTS sessions (key TEXT PRIMARY KEY, value TEXT NOT NULL, metadata TEXT,
  revision TEXT NOT NULL, expires_at INTEGER NOT NULL, dead_since INTEGER) WITHOUT ROWID`;
const PUT = "INSERT OR REPLACE INTO sessions VALUES (?, ?, ?, ?, ?, ?)";
// A tombstone keeps its age: a second logout must not make it younger.
const REPLACE = `UPDATE sessions SET value = ?, revision = ?, metadata = NULL,
  dead_since = iif(?, coalesce(dead_since, ?), NULL) WHERE key >= ? AND key < ? AND expires_at > ?`;
const READ = "SELECT value, metadata, revision, expires_at FROM sessions WHERE key = ? AND expires_at > ?";
const LIST = `SELECT key, metadata FROM sessions WHERE key >= ? AND key < ? AND expires_at > ?
  ORDER BY key LIMIT ${PAGE + 1}`;
const COUNT = "SELECT count(*) AS n FROM sessions";
const EARLIEST = "SELECT min(expires_at) AS at FROM sessions WHERE expires_at > ?";

export class SessionObject extends DurableObject {
  /** The instant that the alarm is set to, null where none is, undefined while that is not known. */
  #alarm;

  async fetch(request) {
    try {
      const { operation, body } = await parse(request);
      if (operation === "transact" && this.#alarm === undefined) {
        const alarm = await this.ctx.storage.getAlarm();
        if (this.#alarm === undefined) this.#alarm = alarm;
      }
      // One synchronous turn: nothing comes in between, and an exception undoes all of it. Without
      // the transaction, what was written before the exception would stay.
      return Response.json(this.ctx.storage.transactionSync(() => this.#operations[operation](body, Date.now())));
    } catch (error) {
      this.#alarm = undefined;
      if (!(error instanceof Refusal)) throw error;
      return Response.json({ error: error.code, message: error.message }, { status: error.status });
    }
  }

  /** Deletes what has expired; of the last rows, everything that the object takes on disk. */
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
    // Both in this turn: a row that is put while the first is waited for would go with the second.
    if (next === null) await Promise.all([storage.deleteAlarm(), storage.deleteAll()]);
  }

  #operations = {
    read: ({ keys }, now) => ({ rows: keys.map((key) => this.#read(key, now)) }),
    transact: (body, now) => this.#transact(body, now),
    list: ({ prefix, cursor }, now) => {
      // No key lies between the cursor and the cursor with a space, the first character of all.
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
      if (puts.some(({ key }) => !rows[keys.indexOf(key)])) this.#makeRoom(now);
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

  /** Tombstones older than a day go first, so that nobody is locked out of their own login. */
  #makeRoom(now) {
    const full = () => this.#query(COUNT)[0].n > ROWS;
    if (!full()) return;
    this.#query("DELETE FROM sessions WHERE expires_at <= ? OR dead_since < ?", now, now - DAY);
    if (full()) throw new Refusal(413, "too_large", `this object is full: it holds ${ROWS} rows, and no tombstone is older than a day`);
  }

  /** An alarm is a write: one that is up to an hour late is good enough. */
  #wakeFor(expiresAt, now) {
    if (this.#alarm > now && this.#alarm <= expiresAt + HOUR) return;
    // One that has passed without going off has left rows behind: it goes off at once.
    const [{ at }] = this.#query("SELECT min(expires_at) AS at FROM sessions");
    this.#setAlarm(at);
  }

  #setAlarm(at) {
    this.ctx.storage.setAlarm(at); // not awaited: no answer leaves before it is on disk
    this.#alarm = at;
  }

  /** The rows of a statement. A read must not make the table, as that would make the object exist. */
  #query(statement, ...parameters) {
    try {
      return this.ctx.storage.sql.exec(statement, ...parameters).toArray();
    } catch (error) {
      if (/^no such table\b/.test(error.message)) return [];
      throw error;
    }
  }
}

/** The first text behind all keys that begin with `prefix`: keys are printable ASCII. */
const end = (prefix) => `${prefix}\x7f`;
