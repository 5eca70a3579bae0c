// The SecondaryStorage of better-auth (https://better-auth.com) in Durable Objects of the class
// SessionObject. How it works:
// - Each key has its own object, named `<keyPrefix>b.<SHA-256 of the key>`. So a key may be any text of
//   any length, the number of keys is not limited, and contention for one key delays no other. Sessions
//   are in objects named `<prefix>o.…` and `<prefix>a.…`: the same namespace can hold both.
// - A request to an object has at most 1 MiB of JSON. A value that does not fit is refused with
//   `too_large`, and the previous value stays.
// - A value ends `ttl` seconds from now, rounded up to whole milliseconds: from the ttl on, it is absent.
//   Without ttl it stays until it is deleted. With a ttl of 0 or less the key is deleted.
// - `increment` and `getAndDelete` write only if the row is still the one they have seen, and otherwise
//   try again with the row that is there now. They fail if 250 other writes of the key came first.
// - A request that fails is not repeated, because it may have taken effect: an increment could count
//   twice, and the winner of getAndDelete could be told that it has lost.
//
// It imports neither better-auth nor the wasm.

import { ObjectConnector, isObjectNamespace } from "./object-connector.js";

const ROW = "v";
/** The latest instant that the object accepts, in the year 2255. */
const NEVER = 9_000_000_000_000;
/** A row that ended then is absent, and the alarm deletes it at once. */
const LONG_AGO = 1;
const ATTEMPTS = 250;

/** A SecondaryStorage in the objects of `namespace`. */
export function secondaryStorage(namespace, options = {}) {
  const { keyPrefix = "", locationHint, jurisdiction, ...others } = options;
  if (!isObjectNamespace(namespace)) {
    throw new TypeError(
      "secondaryStorage: the first argument is not a namespace of Durable Objects. Pass a binding of the class " +
        "SessionObject, for example env.SESSION_OBJECTS, and check that wrangler's configuration has it",
    );
  }
  const [unknown] = Object.keys(others);
  if (unknown !== undefined) {
    throw new TypeError(`secondaryStorage has no option ${unknown}; its options are keyPrefix, locationHint and jurisdiction`);
  }
  if (!isText(keyPrefix)) throw new TypeError("secondaryStorage: keyPrefix must be a string");
  const objects = new ObjectConnector(namespace, { locationHint, jurisdiction });

  const objectOf = async (key) => {
    if (!isText(key)) throw new TypeError("secondaryStorage: the key must be a string without lone surrogates");
    return `${keyPrefix}b.${await sha256(key)}`;
  };

  const read = async (object) => (await objects.read(object, [ROW]))[0];
  const put = (object, value, expiresAt) => objects.transact(object, [], [write(value, expiresAt)]);
  const remove = async (object) => {
    // Only if there is a row: a write would create the object.
    if (await read(object)) await put(object, "", LONG_AGO);
  };

  /**
   * Writes what `next` makes of the row, if that row is still there; else again with the row found.
   * Gives the row that was replaced. If `next` gives undefined, nothing is written.
   */
  async function exchange(operation, object, row, next) {
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const change = next(row);
      if (!change) return row;
      const check = row ? { revision: [ROW, row.revision] } : { absent: ROW };
      const { conflict } = await objects.transact(object, [check], [change]);
      if (!conflict) return row;
      [row] = conflict;
    }
    throw new Error(
      `secondaryStorage: ${operation} wrote nothing, because ${ATTEMPTS} other writes of the same key came first. ` +
        "Too many requests use this key at the same time; try again later",
    );
  }

  // Functions, not methods: better-auth takes them off the object.
  return {
    get: async (key) => (await read(await objectOf(key)))?.value ?? null,

    set: async (key, value, ttl) => {
      if (!isText(value)) throw new TypeError("secondaryStorage: the value must be a string without lone surrogates");
      const expiresAt = endOf(ttl);
      const object = await objectOf(key);
      await (expiresAt === LONG_AGO ? remove(object) : put(object, value, expiresAt));
    },

    delete: async (key) => remove(await objectOf(key)),

    getAndDelete: async (key) => {
      const object = await objectOf(key);
      const taken = await exchange("getAndDelete", object, await read(object), (row) => row && write("", LONG_AGO));
      return taken?.value ?? null;
    },

    increment: async (key, ttl) => {
      const expiresAt = endOf(ttl);
      // A counter that ends at once is one that nobody else sees.
      if (expiresAt === LONG_AGO) throw new TypeError("secondaryStorage: the ttl of increment must be more than 0 seconds");
      let count;
      // A new counter takes one request: the check finds out whether the row exists.
      await exchange("increment", await objectOf(key), null, (row) => {
        count = countOf(row) + 1;
        // A later increment does not extend the window.
        return write(String(count), row?.expiresAt ?? expiresAt);
      });
      return count;
    },
  };
}

const isText = (value) => typeof value === "string" && value.isWellFormed();

const write = (value, expiresAt) => ({ put: { key: ROW, value, revision: crypto.randomUUID(), expiresAt } });

function endOf(ttl) {
  if (ttl === undefined || ttl === null) return NEVER;
  if (!Number.isFinite(ttl)) throw new TypeError("secondaryStorage: the ttl must be a number of seconds");
  return ttl > 0 ? Math.min(Math.ceil(Date.now() + ttl * 1000), NEVER) : LONG_AGO;
}

function countOf(row) {
  if (!row) return 0;
  if (/^\d{1,15}$/.test(row.value)) return Number(row.value);
  throw new TypeError("secondaryStorage: increment found a value that is not a count. Use a key for either counts or values");
}

async function sha256(text) {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, "0")).join("");
}
