import type { SecondaryStorage } from "better-auth";
import type { ObjectNamespace, SessionOptions } from "./index.js";

/** The options of `secondaryStorage`. */
export interface SecondaryStorageOptions extends Pick<SessionOptions, "locationHint" | "jurisdiction"> {
  /** Separates applications that share a namespace. By default empty. */
  keyPrefix?: string;
}

/** What `secondaryStorage` returns: better-auth's interface, with exact types. */
export interface ObjectSecondaryStorage extends SecondaryStorage {
  /** The value of the key, or null. */
  get: (key: string) => Promise<string | null>;
  /** Stores a value. It ends after `ttl` seconds; without `ttl` it stays until it is deleted. */
  set: (key: string, value: string, ttl?: number) => Promise<void>;
  /** Deletes a key. It is no error if there is none. */
  delete: (key: string) => Promise<void>;
  /** Returns the value and deletes the key. Of several calls at the same time, one gets the value and the others null. */
  getAndDelete: (key: string) => Promise<string | null>;
  /** Adds one and returns the sum, starting with 1. Only the first call decides when the counter ends. */
  increment: (key: string, ttl: number) => Promise<number>;
}

/**
 * better-auth's `secondaryStorage` in Durable Objects whose class is SessionObject of
 * `edge-session/durable-object`. Each operation sees every earlier one, from everywhere.
 * ```ts
 * import { betterAuth } from "better-auth";
 * import { secondaryStorage } from "edge-session/better-auth";
 *
 * const auth = betterAuth({ database: env.DB, secondaryStorage: secondaryStorage(env.SESSION_OBJECTS) });
 * ```
 * It throws a TypeError if the namespace or an option is wrong.
 */
export function secondaryStorage(namespace: ObjectNamespace, options?: SecondaryStorageOptions): ObjectSecondaryStorage;

export {};
