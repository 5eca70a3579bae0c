// The types of edge-session, generic over the shape of the session's data.

/** The kind of an error, stable across releases. */
export type ErrorCode =
  | "config"
  | "missing_binding"
  | "not_loaded"
  | "missing_key"
  | "wrong_type"
  | "invalid_value"
  | "too_large"
  | "expired"
  | "revoked"
  | "rotated"
  | "destroyed"
  | "pending"
  | "stale"
  | "rate_limited"
  | "quota"
  | "unavailable"
  | "revocation_pending"
  | "not_found"
  | "unsupported"
  | "committed"
  | "reauth_required"
  | "not_ready";

/** Every error of this package. Match on `code`; the message is for people and may change. */
export class SessionError extends Error {
  constructor(code: ErrorCode, message: string, options?: { cause?: unknown });
  readonly code: ErrorCode;
  /** For `invalid_value`, the path to the faulty value: `cart.items[2].price`. */
  readonly path?: string;
  /** The HTTP status of a response with this code. */
  readonly status: number;
  /** Seconds to wait before trying again. */
  readonly retryAfter: number | undefined;
  /**
   * This error as `application/problem+json` (RFC 9457). An error with status 500 is caused by the
   * application or its settings, so it is also written to the console: the first time, and then at
   * most once a minute.
   */
  toResponse(): Response;
  /**
   * As `toResponse`, under the name that Hono looks for. In Hono's `onError`, pass its body and itself
   * to `c.newResponse`, which keeps headers that are already set, including cookies.
   */
  getResponse(): Response;
}

/** The session has expired: the code `expired`. */
export class SessionExpired extends SessionError {
  constructor(message: string, options?: { cause?: unknown });
  readonly code: "expired";
}

/** What a load found. */
export type Outcome =
  | "new"
  | "loaded"
  | "rotated"
  | "pending"
  | "stale"
  | "gone"
  | "expired"
  | "revoked"
  | "rejected"
  | "ambiguous"
  | "corrupt"
  | "unavailable";

/** What JSON cannot represent, or turns into something else: a string for a Date, `{}` for a Map. */
type NotJson =
  | bigint
  | symbol
  | ((...args: never[]) => unknown)
  | (abstract new (...args: never[]) => unknown)
  | Date
  | RegExp
  | Promise<unknown>
  | ArrayBuffer
  | ArrayBufferView
  | ReadonlyMap<unknown, unknown>
  | ReadonlySet<unknown>
  | object & { readonly [Symbol.toStringTag]: string };

type Primitive = string | number | boolean | null | undefined;

/** JSON at every level. Recursive JSON types match it: they are compared as a whole and never expanded. */
type JsonData = Primitive | readonly JsonData[] | { readonly [key: string]: JsonData; readonly [key: symbol]: never };

/** True if one member of the union `T` is `object` or `{}`: such a type has nothing to check. */
type AdmitsAnyObject<T> = T extends unknown
  ? object extends T
    ? [keyof T] extends [never]
      ? true
      : never
    : never
  : never;

/**
 * `T` where JSON can represent it, `never` where it cannot. Values behind `unknown`, `any` or
 * `object` are checked only at run time.
 */
export type Json<T> = unknown extends T
  ? T
  : [T] extends [JsonData]
    ? T
    : true extends AdmitsAnyObject<T>
      ? T
      : JsonMember<T>;

/** The members of the union `T`. Arrays are compared only by their elements, which are resolved lazily. */
type JsonMember<T> = T extends JsonData
  ? T
  : T extends NotJson
    ? never
    : T extends readonly unknown[]
      ? { readonly [index: number]: Json<T[number]> }
      : T extends object
        ? { [K in keyof T]: K extends symbol ? never : Json<T[K]> }
        : never;

/** The dictionaries of the union `T`: Supabase's `Json`, for example, also includes strings and lists. */
type Dictionary<T> = T extends Primitive | readonly unknown[] ? never : T;

/** A possible shape of a session's data: an interface or type of JSON values. */
export type Shape<T> = { [K in keyof T]: T extends readonly unknown[] ? T[K] : Json<T[K]> };

/** Data of any shape, unchecked. A function that takes a `SessionStore` accepts one of every shape. */
export type AnyData = any;

type Key<T> = keyof Dictionary<T> & string;
type Member<T, K extends Key<T>> = Dictionary<T>[K];
type Value<T, K extends Key<T>> = Exclude<Member<T, K>, undefined>;
type Pairs<T> = { [K in Key<T>]: [K, Member<T, K>] }[Key<T>];
type Data<T> = Partial<Dictionary<T>>;

/**
 * When a session ends: an end, an idle time and browser close in any combination. The settings decide
 * what is left out. A number or a `Date` alone is the end; `null` means as in the settings. A fraction
 * of a second is rounded up.
 */
export type Expiry = number | Date | ExpiryParts | null;

/** The parts of an expiry. At least one is required. */
export interface ExpiryParts {
  /** A number of seconds from now (0: when the browser closes; negative: already over), or a `Date`. */
  end?: number | Date | null | undefined;
  /** Seconds without a request after which the session expires; `null` or 0 for no idle limit. */
  idle?: number | null | undefined;
  /**
   * `true`: the cookies end with the browser. `false`: they do not, even if the setting
   * `expireAtBrowserClose` is on.
   */
  browserClose?: boolean | undefined;
}

/** The part of a request that a session reads. */
export interface RequestLike {
  readonly headers: { get(name: string): string | null };
  readonly method?: string;
}

/** The part of a handler's context that a session uses. */
export interface ContextLike {
  waitUntil(promise: Promise<unknown>): void;
}

declare const shape: unique symbol;

/**
 * One session in one request: an ordered dictionary of JSON values.
 *
 * Calls take effect in the order in which they are made, awaited or not. A call such as `bind` or
 * `create` that is made while a step waits for the store is carried out after that step. If it is
 * refused then, the next step throws the error.
 */
export class SessionStore<T extends Shape<T> = AnyData> implements Iterable<Pairs<T>> {
  /** The shape of the data. It exists only for the compiler; no session has this property. */
  readonly [shape]?: { [K in keyof T]: T[K] };
  /** A session on a connector. Pass the Cookie header, or nothing for a request without cookies. */
  constructor(
    connector: KvNamespace | SessionConnector | ObjectNamespace | StrongConnector,
    options: SessionOptions,
    cookieHeader?: string | null,
  );
  constructor(connector: undefined, options: SessionOptions & { storage: "memory" }, cookieHeader?: string | null);

  /** A random id of 256 bits in base64url. It belongs to no session. */
  static generateSessionId(): string;

  /**
   * The value of `key`, or `fallback` if it does not exist. `null`, `false`, `0` and `""` are values.
   * ```js
   * const views = session.get("views", 0);
   * ```
   */
  get<K extends Key<T>>(key: K): Member<T, K> | undefined;
  get<K extends Key<T>, D>(key: K, fallback: D): Value<T, K> | D;
  /** The value of a key that must exist; otherwise throws `missing_key`. */
  require<K extends Key<T>>(key: K): Value<T, K>;
  /** True if the session has a value for `key`. `null` and `false` count as values. */
  has(key: Key<T>): boolean;
  /** The number of keys. */
  readonly size: number;
  /** True if the session has neither values nor flash values. */
  readonly isEmpty: boolean;
  /** In order of insertion, including integer-like keys. */
  keys(): IterableIterator<Key<T>>;
  /** In the order of `keys()`. */
  values(): IterableIterator<Member<T, Key<T>>>;
  /** Keys and values, in the order of `keys()`. */
  entries(): IterableIterator<Pairs<T>>;
  /** As `entries()`: `for (const [key, value] of session)`. */
  [Symbol.iterator](): IterableIterator<Pairs<T>>;
  /**
   * All values as one live object without a prototype. The next save notices changes in it, including
   * nested ones. As in every JavaScript object, integer-like keys come first; the session itself
   * keeps the order of insertion. Assigned values are not copied: give each session its own objects,
   * not one at module scope, which all visitors would share.
   * ```js
   * session.data.cart ??= [];
   * session.data.cart.push("apple");
   * ```
   */
  get data(): Data<T>;
  set data(values: Data<T>);

  /**
   * Stores a copy of the current value. Setting an equal value does not mark the session as modified.
   * ```js
   * session.set("cart", ["apple"]).set("step", 2);
   * ```
   */
  set<K extends Key<T>>(key: K, value: Value<T, K>): this;
  /** Removes a key. Returns whether it existed. */
  remove(key: Key<T>): boolean;
  /**
   * Removes a key and returns its value. Without `fallback`, the key must exist.
   * ```js
   * const next = session.pop("next", "/");
   * ```
   */
  pop<K extends Key<T>>(key: K): Value<T, K>;
  pop<K extends Key<T>, D>(key: K, fallback: D): Value<T, K> | D;
  /** Removes the most recently inserted key and returns it with its value. */
  popItem(): Pairs<T>;
  /**
   * Sets every key of an object, or every pair, to a copy of its value. If one is refused, none is
   * set.
   * ```js
   * session.update({ theme: "dark", cart: [] });
   * ```
   */
  update(values: Data<T> | Iterable<Pairs<T>>): this;
  /** Removes every value and every flash value. */
  clear(): void;
  /**
   * The value of `key`. If it does not exist, it is first set to a copy of `value`. The returned
   * object is the session's own: changes in it are stored.
   * ```js
   * session.setDefault("cart", []).push("apple");
   * ```
   */
  setDefault<K extends Key<T>>(key: K, value: Value<T, K>): Value<T, K>;
  /**
   * Stores a value that can be read once, usually by a later request: a message after a redirect, for
   * example.
   * ```js
   * session.flash("notice", "Saved.");
   * ```
   */
  flash(key: string, value: unknown): this;
  /**
   * Reads a flash value and removes it.
   * ```js
   * const notice = session.takeFlash("notice");
   * ```
   */
  takeFlash<V = unknown>(key: string): V | undefined;

  /** What the load found. Throws `not_loaded` before a load, even if the request had no cookie. */
  readonly outcome: Outcome;
  /**
   * The public name of the session, safe to log; `null` before `create` or the first save. Throws
   * `not_loaded` before a load.
   */
  readonly sessionKey: string | null;
  /** True if the store does not hold this session yet. Throws `not_loaded` before a load. */
  readonly isNew: boolean;
  /** The number of saves of this session. Throws `not_loaded` before a load. */
  readonly version: number;
  /** When the session was created; `null` before the first save. Throws `not_loaded` before a load. */
  readonly createdAt: Date | null;
  /** The user id that the session is bound to. */
  readonly owner: string | null;
  /** When the user last logged in. */
  readonly authTime: Date | null;
  /**
   * Throws `reauth_required` if the last login was more than `maxAge` seconds ago, and
   * `invalid_value` if `maxAge` is negative or not a number.
   * ```js
   * session.requireRecentAuth(300); // before a change of password
   * ```
   */
  requireRecentAuth(maxAge: number): void;
  /** When the session expires if the browser sends no more requests; `null` without an idle limit. */
  readonly idleExpiresAt: Date | null;
  /** True if the cookies end when the browser closes. */
  readonly expireAtBrowserClose: boolean;
  /** True if any part of the session was accessed. */
  readonly accessed: boolean;
  /**
   * The last refusal of this session. `handle` answers with a refusal only if the handler failed with
   * it.
   */
  readonly refusal: SessionError | undefined;
  /**
   * True if a commit would save the session: its content differs from what was loaded, or it gets a
   * new key. False for a new session without data. Set it to `true` to save anyway, or to `false` to
   * leave the changes made so far unsaved; if the session is changed again after that, all its
   * changes are saved. Reading it has no effect.
   */
  modified: boolean;
  /** True if a commit would write to the store or set a cookie. */
  needsUpdate(): boolean;
  /**
   * Seconds until the session expires by whichever limit comes first; 0 or negative if it has
   * expired. A remaining fraction of a second counts as a whole second.
   */
  getExpiryAge(): number;
  /** When the session expires by whichever limit comes first. */
  getExpiryDate(): Date;
  /**
   * Sets when the session ends, and replaces everything that an earlier call has set. The hard end
   * never moves. An invalid expiry fails with `invalid_value` and says what is wrong.
   * ```js
   * session.setExpiry(600); // in ten minutes
   * session.setExpiry({ idle: 900 }); // after a quarter of an hour without a request
   * session.setExpiry(0); // when the browser closes
   * session.setExpiry({ idle: 1800, browserClose: true }); // after half an hour, or with the browser
   * session.setExpiry({ end: new Date("2030-01-31T12:00:00Z"), idle: null }); // however idle
   * ```
   */
  setExpiry(expiry: Expiry): void;

  /** Starts a new session, which is empty if another one was loaded. Nothing is written before the commit. */
  create(): void;
  /**
   * Gives the session a new key and keeps its data and lineage. Call it whenever the permissions of
   * the session change.
   * ```js
   * session.cycleKey();
   * session.set("role", "admin");
   * ```
   */
  cycleKey(): void;
  /**
   * Renews the login after the user has proved again who they are: the session gets a new key, as
   * with `cycleKey`, and the login time is now. Owner, lineage, data and expiry stay. Call it after
   * checking the password or passkey of the user that `owner` names; for another user, call `bind`.
   * If nobody is logged in, it throws `reauth_required`.
   * ```js
   * session.reauthenticate();
   * session.requireRecentAuth(300); // passes
   * ```
   */
  reauthenticate(): void;
  /**
   * Login: binds the session to a user under a new lineage. With `keep: false` it starts empty.
   * Otherwise it keeps the data if the previous session was anonymous or belonged to the same user,
   * as far as this request can read it. A login fails only if the store does not answer, never
   * because of the state of the previous session.
   *
   * The session's own expiry (end, idle time, browser close) is kept together with the data, no
   * matter whether this request or an earlier one has set it. If the session starts empty, the settings
   * decide its expiry. `setExpiry` after the login replaces it in any case.
   * ```js
   * session.bind("ada"); // after a password or a passkey was checked
   * ```
   */
  bind(owner: string, options?: { keep?: boolean }): void;
  /**
   * A token for the forms of this page, masked differently on every call. It neither creates nor
   * changes a session, does no storage operation, and is available under every outcome. A page
   * without a session also sets a cookie, which does not identify a session. If the request calls
   * `bind`, `cycleKey`, `create`, `flush` or `destroy`, call this method afterwards; before such a
   * call is finished it may throw `unavailable`. Throws `invalid_value` if the request came from
   * another site and the browser may have withheld its cookies. In that case, redirect to the page
   * that shows the form, or with `SameSite=Strict`, link to it. Throws `too_large` if the Cookie header has too many session cookies to check.
   * ```js
   * const field = `<input type="hidden" name="csrf" value="${session.csrfToken()}">`;
   * ```
   */
  csrfToken(): string;
  /**
   * Throws `invalid_value` for a token of another browser or from before a login. If the request
   * calls `bind`, `cycleKey`, `create`, `flush` or `destroy`, call this method before. Pass the form
   * field or header as it is: `null` or a file is refused like a wrong token.
   * ```js
   * session.verifyCsrf((await request.formData()).get("csrf"));
   * ```
   */
  verifyCsrf(token: unknown): void;

  /**
   * Loads the session. This takes one read if the key cookie is authentic, and none otherwise. A
   * second call does nothing, except with `fresh`, which reads with the store's shortest cache time.
   * ```js
   * if ((await session.load()) === "loaded") greet(session.get("name"));
   * ```
   */
  load(options?: { fresh?: boolean }): Promise<Outcome>;
  /** Saves the changes now instead of with the commit. */
  save(): Promise<void>;
  /**
   * Logout: ends the session immediately, wherever it is used. It is not undone if the request fails.
   * ```js
   * await session.destroy();
   * ```
   */
  destroy(): Promise<void>;
  /**
   * Logout that continues anonymously with the values of the keys in `keep`.
   * ```js
   * await session.flush({ keep: ["theme"] });
   * ```
   */
  flush(options?: { keep?: Iterable<Key<T>> }): Promise<void>;
  /**
   * True if a session exists and is alive: this one, or the one with this session key. False for a
   * string that is not a session key.
   */
  exists(key?: string): Promise<boolean>;
  /**
   * Ends a session immediately: this one, or the one with this session key. Ownership is not checked.
   * Throws `not_found` for a string that is not a session key.
   */
  delete(key?: string): Promise<void>;

  /** The data only. */
  toJSON(): Data<T>;
  /** The session key and the outcome. It never shows the token or a value. */
  toString(): string;
}

/** A cookie for a framework that sets cookies by name, value and options. */
export interface ResponseCookie {
  /** The cookie's name. Several cookies of an answer may have one name. */
  name: string;
  /** ASCII letters, digits, `-`, `_` and `.`: encoding changes nothing. Empty if the cookie is removed. */
  value: string;
  /** Its attributes, under the names that most frameworks use. */
  options: {
    /** The path for which browsers send it. */
    path: string;
    /** The domain; without it, the host that sets the cookie. */
    domain?: string;
    /** In seconds. 0 removes the cookie; without it, the cookie ends with the browser. */
    maxAge?: number;
    /** Over https only. */
    secure?: boolean;
    /** Hidden from scripts: always true. */
    httpOnly: boolean;
    /** Whether requests of other sites carry it. */
    sameSite: "lax" | "strict" | "none";
    /** One for each site that embeds this one. */
    partitioned?: boolean;
  };
}

/** One session of a user, as `Sessions.list` returns it. */
export interface OwnedSession {
  /** The session key, for `Sessions.revoke`. */
  key: string;
  created: Date;
  lastWritten: Date;
  /** The user agent that wrote it last. */
  userAgent: string | null;
  /** The country code of that request. */
  place: string | null;
}

/** What happened to a session. `session` is a keyed hash of it, which cannot be used to open or find it. */
export interface SessionEvent {
  readonly event:
    | "created"
    | "bound"
    | "cycled"
    | "loaded"
    | "rotated"
    | "destroyed"
    | "expired"
    | "rejected"
    | "ambiguous"
    | "revoked"
    | "pending"
    | "stale"
    | "gone"
    | "corrupt"
    | "conflict"
    | "revocation_pending"
    | "limit_not_enforced"
    | "store_error";
  /** When, in milliseconds since 1970-01-01 UTC. */
  readonly at: number;
  /** The same before and after a rotation. Missing if no session was proven. */
  readonly session?: string;
  /** The reason, a fixed word, if there can be more than one. */
  readonly reason?: string;
}

/** Receives an event in the middle of a request, so it must be quick. An exception becomes a console warning. */
export type EventListener = (event: SessionEvent) => void;

/** What an isolate has counted since it started, and what it holds now. */
export interface Stats {
  /** Sessions that were opened: one per request, loaded or not. */
  readonly requests: number;
  /** Loads answered from the isolate's table. */
  readonly tableLoads: number;
  /** Loads answered by the store. */
  readonly storeLoads: number;
  /** Loads by outcome. */
  readonly outcomes: Readonly<Record<Outcome, number>>;
  /** Reads, one for each round trip, including retries. */
  readonly reads: number;
  /** Keys requested by these reads. */
  readonly keysRead: number;
  /** Puts. */
  readonly puts: number;
  /** Deletes. */
  readonly deletes: number;
  /** Pages of keys that were listed. */
  readonly lists: number;
  /** Operations retried after the store failed or asked for a pause. */
  readonly retries: number;
  /** Loads that found two copies written without knowledge of each other. */
  readonly conflicts: number;
  /** Logins after which older sessions over `SESSION_MAX_PER_OWNER` could not be ended. */
  readonly limitFailures: number;
  /** Sessions of this namespace or connector that the isolate remembers now. */
  readonly tableEntries: number;
  /** Bytes of their data. */
  readonly tableBytes: number;
  /** Bytes of the module's linear memory, which never shrinks. */
  readonly wasmBytes: number;
}

/** The settings. Each one is also a variable `SESSION_…`, as listed in the README. Times are in seconds. */
export interface SessionOptions {
  /**
   * At least 32 random bytes, as `openssl rand -base64 32` prints them. While a secret is being
   * replaced, pass several: the first one signs.
   */
  secret: string | readonly string[];
  /** Receives the events of sessions instead of the console. */
  onEvent?: EventListener;
  /**
   * A clock for tests. By default, the clock of a `MemoryConnector` is used. If it has a method
   * `sleep`, the package calls that, instead of a timer, to wait between two attempts to reach the
   * store.
   */
  clock?: { now(): number; sleep?(milliseconds: number): unknown };
  /**
   * The key cookie's name; the others add `-seen`, `-fresh` and `-form`. By default `__Host-session`, or
   * `session` with `cookieSecure: false`. Two separate groups of users on one namespace need two
   * names and two values of `keyPrefix`.
   */
  cookieName?: string;
  /**
   * Ends the session, not only its cookie, at this age. Activity does not extend it. At most 400
   * days. By default 604800.
   */
  cookieAge?: number;
  /** Time without a request after which a session expires; 0 for no limit. By default 86400. */
  idleTimeout?: number;
  /** The path that the cookies are sent to. By default `/`. */
  cookiePath?: string;
  /** Send the cookies to this domain and all its hosts. Not allowed with a `__Host-` name. */
  cookieDomain?: string;
  /**
   * Send the cookies only over https. By default `true`. `false` is for development on plain http,
   * which Safari needs even on localhost. A `cookieName` with a prefix is refused then.
   */
  cookieSecure?: boolean;
  /** Which requests from other sites carry the cookies. By default `Lax`. */
  cookieSameSite?: "Strict" | "Lax" | "None";
  /** Keep separate cookies for each site that embeds this one. */
  cookiePartitioned?: boolean;
  /** Forget the key cookie when the browser closes. */
  expireAtBrowserClose?: boolean;
  /**
   * Keep the application's own `Cache-Control` if it contains `private`, instead of `no-store`. The
   * risk: the browser keeps the page and may show it after the logout, even to the next person who
   * uses the browser.
   */
  allowPrivateCache?: boolean;
  /**
   * Which connector to use if none is passed in. `memory` is for development. A namespace of Durable
   * Objects that is passed in means `durable_object`.
   */
  storage?: "kv" | "memory" | "durable_object";
  /** Near which place a Durable Object is created, as a hint. Only for Durable Objects. */
  locationHint?: "wnam" | "enam" | "sam" | "weur" | "eeur" | "apac" | "oc" | "afr" | "me" | "";
  /** The jurisdiction that Durable Objects must not leave. Only for Durable Objects. */
  jurisdiction?: "eu" | "fedramp" | "";
  /** The prefix of every key in the namespace. */
  keyPrefix?: string;
  /** Encrypt records with a key derived from the browser's token. By default `true`. */
  seal?: boolean;
  /** Let the fresh cookie carry the sealed record until KV shows it everywhere. By default `true`. */
  overlay?: boolean;
  /** Also delete the record at logout. */
  purge?: boolean;
  /** How long a KV location may answer from its cache. By default 30. */
  kvCacheTtl?: number;
  /** How long an isolate may answer from its own memory; 0 for never. By default 10. */
  isolateCacheTtl?: number;
  /** How long a write is assumed to take to reach every location. By default 60. */
  propagation?: number;
  /** Time after which a store that has not answered counts as `unavailable`, 1 to 15. By default 10. */
  storeTimeout?: number;
  /** Sessions that one owner may have before a login ends the oldest; 0 for no limit. */
  maxPerOwner?: number;
  /** Bytes of one session's data as JSON. By default 131072. */
  maxRecordBytes?: number;
  /** Top-level keys of one session. By default 1000. */
  maxKeys?: number;
  /** Bytes of one top-level key. By default 256. */
  maxKeyBytes?: number;
  /** Levels that a value may nest. By default 64. */
  maxDepth?: number;
  /** The longest `Cookie` header that is parsed. By default 65536. */
  maxCookieHeaderBytes?: number;
  /** The most pairs in a `Cookie` header that is parsed. By default 200. */
  maxCookiePairs?: number;
  /** Silence warnings on the console, including the line about a failing store. */
  disableWarnings?: boolean;
  /** Write the events of sessions to the console, one line of JSON each. */
  events?: boolean;
  /** Report in `Server-Timing` the session's store operations and how long it waited. */
  serverTiming?: boolean;
}

/** A `Response`, of the runtime's own types or of the DOM's. */
export interface ResponseLike {
  readonly status: number;
  readonly headers: object;
}

type Handler<T extends Shape<T>, Req, Res> = (session: SessionStore<T>, request: Req) => Res | Promise<Res>;

/** The sessions of a Worker. Creating it is cheap: create one in each request, or keep one. */
export class Sessions<T extends Shape<T> = AnyData> {
  /**
   * Sessions in this namespace of Workers KV or of Durable Objects, or behind this connector.
   * ```js
   * const sessions = new Sessions(env.SESSIONS, { secret: env.SESSION_SECRET, idleTimeout: 900 });
   * ```
   * The isolate's memory belongs to the connector object: pass the same object in each request, not a
   * new wrapper.
   */
  constructor(connector: KvNamespace | SessionConnector | ObjectNamespace | StrongConnector, options: SessionOptions);
  constructor(connector: undefined, options: SessionOptions & { storage: "memory" });

  /**
   * Reads the configuration from the environment: the KV binding SESSIONS, or with SESSION_STORAGE =
   * "durable_object" the Durable Objects bound as SESSION_OBJECTS, SESSION_SECRET and the variables SESSION_… (strings, numbers or booleans). `options` takes no settings; pass those to
   * `new Sessions`.
   * ```js
   * const sessions = Sessions.fromEnv(env, {
   *   onEvent: ({ event }) => env.ANALYTICS.writeDataPoint({ blobs: [event], doubles: [1] }),
   * });
   * ```
   */
  static fromEnv<T extends Shape<T> = AnyData>(env: object, options?: { onEvent?: EventListener }): Sessions<T>;

  /** D: seconds after which a revoked session is dead everywhere, if writes propagate as fast as assumed. */
  readonly stalenessBound: number;
  /**
   * What this isolate has counted for all sessions on this namespace or connector.
   * ```js
   * const { requests, outcomes, wasmBytes } = sessions.stats;
   * ```
   */
  readonly stats: Stats;

  /**
   * Loads the session, runs `handler` whatever the outcome, and commits.
   * ```js
   * return sessions.handle(request, ctx, async (session) => {
   *   session.set("views", session.get("views", 0) + 1);
   *   return new Response(`${session.get("views")}`);
   * });
   * ```
   * A thrown `Response` counts as the response: below 400 it is committed and returned like a
   * returned one; from 400 on, the changes are dropped. A thrown `SessionError`, or one behind the
   * thrown error (its `cause`, or the `errors` of an `AggregateError`), is answered with its own
   * status, and the changes are dropped. Any other error is rethrown unchanged.
   *
   * Inside another handler of the same request object, with the same configuration (namespace or
   * connector, secrets, `keyPrefix` and cookie name), `handler` gets the session of the outer
   * handler, with its settings and its `onEvent`, and the outermost `handle` commits. Await the inner
   * one: changes after the commit are refused with `committed`. If the inner one fails (it throws
   * anything but a `Response` below 400, or answers 5xx), the changes of the request are dropped,
   * whatever the outer one answers. A thrown `Response` below 400 is returned by the inner `handle`.
   * A copy of a request is another request.
   */
  handle<Req extends RequestLike, Res extends ResponseLike>(
    request: Req,
    ctx: ContextLike | null | undefined,
    handler: Handler<T, Req, Res>,
  ): Promise<Res>;
  /**
   * As `handle`, but the session is not loaded: call `load()` on it first. If it is not used, it
   * costs no storage operation.
   * ```js
   * return sessions.handleLazy(request, ctx, async (session) => {
   *   if (url.pathname === "/about") return about();
   *   await session.load();
   *   return page(session);
   * });
   * ```
   */
  handleLazy<Req extends RequestLike, Res extends ResponseLike>(
    request: Req,
    ctx: ContextLike | null | undefined,
    handler: Handler<T, Req, Res>,
  ): Promise<Res>;

  /**
   * The session that a request or a Cookie header presents, not yet loaded. Inside a handler of the
   * same request object, with the same configuration, it is that handler's session in its current
   * state.
   */
  open(request?: RequestLike | string | null): SessionStore<T>;
  /**
   * As `open`, but loaded. Its `outcome` says what the load found. `commit` is the last step.
   * ```js
   * const session = await sessions.load(request);
   * session.set("seen", true);
   * return sessions.commit(session, new Response("hello"), ctx);
   * ```
   */
  load(request?: RequestLike | string | null, options?: { fresh?: boolean }): Promise<SessionStore<T>>;
  /**
   * Writes the session's pending changes and returns the response with its headers. A session that
   * `load` or `open` returned inside a handler of the same request is left to that handler, which
   * commits it.
   */
  commit<Res extends ResponseLike>(
    session: SessionStore<T>,
    response: Res,
    ctx?: ContextLike | null,
  ): Promise<Res>;
  /**
   * As `commit`, for a framework that builds its own response. Append each Set-Cookie, and take over
   * `Cache-Control` and `Vary`.
   * ```js
   * const headers = await sessions.commitHeaders(session, { status: 200, ctx });
   * for (const [name, value] of headers) {
   *   if (name === "set-cookie" || name === "vary") reply.headers.append(name, value);
   *   else reply.headers.set(name, value);
   * }
   * ```
   */
  commitHeaders(
    session: SessionStore<T>,
    options?: { status?: number; ctx?: ContextLike | null },
  ): Promise<Headers>;
  /**
   * As `commitHeaders`, for a framework that sets cookies by name, value and options. `headers` has no
   * Set-Cookie. Set the cookies in this order: where two have one name, the last one counts.
   * ```js
   * const { cookies, headers } = await sessions.commitCookies(session, { status: 200, ctx });
   * for (const { name, value, options } of cookies) jar.set(name, value, options);
   * for (const [name, value] of headers) reply.headers.append(name, value);
   * ```
   */
  commitCookies(
    session: SessionStore<T>,
    options?: { status?: number; ctx?: ContextLike | null },
  ): Promise<{ cookies: ResponseCookie[]; headers: Headers }>;

  /**
   * The live sessions of a user, most recently written first.
   * ```js
   * const devices = session.owner === null ? [] : await sessions.list(session.owner, { ctx });
   * ```
   * With `ctx`, it counts in the `Server-Timing` of the request with this context.
   */
  list(owner: string, options?: { ctx?: ContextLike | null }): Promise<OwnedSession[]>;
  /**
   * Ends one session of a user. Throws `not_found`, without reading or writing, for the key of
   * another user's session, for a string that is not a session key, and for one whose parts do not
   * belong together.
   * ```js
   * if (session.owner !== null) await sessions.revoke(session.owner, devices[1].key, { ctx });
   * ```
   * With `ctx`, the writes finish even if the browser disconnects.
   */
  revoke(owner: string, key: string, options?: { ctx?: ContextLike | null }): Promise<void>;
  /**
   * Ends every session of a user, except the one with the session key `except`. If `except` is not a
   * session key of this user, it rejects with `not_found` and ends nothing. If one invocation's
   * operations are not enough, it rejects with `quota`: all the sessions have ended by then, and a
   * call in another request continues with their markers from where it stopped.
   * ```js
   * if (session.owner !== null) await sessions.revokeAll(session.owner, { except: session.sessionKey, ctx });
   * ```
   * With `ctx`, the writes finish even if the browser disconnects.
   */
  revokeAll(owner: string, options?: { except?: string | null; ctx?: ContextLike | null }): Promise<void>;
}

/** The part of a Workers KV namespace that is used. */
export interface KvNamespace {
  // Method shapes, not signatures: the binding's own types overload them.
  get(...args: never[]): Promise<unknown>;
  put(...args: never[]): Promise<unknown>;
  delete(...args: never[]): Promise<unknown>;
  list(...args: never[]): Promise<unknown>;
}

/**
 * Your own key-value namespace. Keys and values are ASCII strings. The `code` of a thrown error says
 * what kind it is: `rate_limited` (another write of this key was accepted less than a second ago; no other
 * limit), `quota`, `too_large` or `unsupported`. Any other error counts as `unavailable`. The thrown error
 * becomes the `cause` of a `SessionError`.
 */
export interface SessionConnector {
  /** The values of `keys`, in the same order; `null` for a key that does not exist. One round trip. */
  read(keys: string[], options: { cacheTtl?: number }): Promise<readonly (string | null | undefined)[]>;
  /** Stores `value`. The store may forget it after `ttl` seconds. `metadata` is returned by `list`. */
  put(key: string, value: string, options: { ttl?: number; metadata?: string }): Promise<unknown>;
  /**
   * The kind of store, by default `custom`. It is part of every key derived from the secret: a cookie
   * made for one kind of store is worthless for another, and changing the kind logs everybody out. A
   * connector that wraps another one, and must read what that one stored, returns that one's kind:
   * `kv` or `memory`.
   */
  readonly kind?: string;
  /** Removes `key`. Succeeds if it does not exist. */
  delete(key: string): Promise<unknown>;
  /** One page of the keys that start with `prefix`, in byte order. */
  list?(options: { prefix: string; cursor?: string }): Promise<ConnectorPage>;
}

export interface ConnectorPage {
  keys: readonly { name: string; metadata?: string | null }[];
  /** Where the next page starts. Missing on the last page. */
  cursor?: string | null;
}

/** A namespace of Durable Objects whose class is SessionObject of `edge-session/durable-object`. */
export interface ObjectNamespace {
  /** The id of the object that has this name. */
  idFromName(name: string): unknown;
  /** A stub of the object with this id. */
  get(id: never, options?: never): object;
}

/** A row of a store that has transactions. It is gone from the instant `expiresAt` on, in milliseconds. */
export interface StrongRow {
  /** The sealed record or a marker, as text. */
  value: string;
  /** What a list shows of the row without its value. */
  metadata?: string | null;
  /** Which write the row comes from. The writer chooses it, and no two writes have the same. */
  revision: string;
  /** From when on the row is gone, in milliseconds since 1970. */
  expiresAt: number;
}

/** No row stands under this key, or the row under this key has this revision. */
export type StrongCheck = { absent: string } | { revision: [key: string, revision: string] };

/**
 * Puts a row, or gives every row under `prefix` that has not expired this value and revision, except
 * those under the prefixes `except`: their metadata is dropped, and each keeps its end. `dead` marks
 * tombstones: a shard that is full may delete those older than a day.
 */
export type StrongWrite =
  | { put: StrongRow & { key: string; dead?: boolean } }
  | { replace: { prefix: string; except: string[]; value: string; revision: string; dead?: boolean } };

/**
 * Your own store that has transactions. Sessions on it promise more: a logout holds everywhere when it
 * returns, and no update is lost. A read sees every transaction that was answered before it began.
 * Shards are independent of each other. The `code` of a thrown error says what kind it is:
 * `rate_limited`, `quota`, `too_large` or `unsupported`. After any other error it is unknown whether a
 * transaction happened: it is asked for once more, and its checks keep it from happening twice.
 */
export interface StrongConnector {
  /** As of a `SessionConnector`, but by default `strong`. */
  readonly kind?: string;
  /** The rows under `keys`, in the same order; `null` for a row that does not exist or has expired. */
  read(shard: string, keys: string[]): Promise<readonly (StrongRow | null | undefined)[]>;
  /**
   * Makes all of `writes`, in their order, if all of `checks` are true; otherwise nothing. `conflict`
   * has the row of each check, or `null`.
   */
  transact(
    shard: string,
    checks: StrongCheck[],
    writes: StrongWrite[],
  ): Promise<{ done: true } | { conflict: readonly (StrongRow | null | undefined)[] }>;
  /** One page of the keys that start with `prefix`, in byte order, after `cursor`. */
  list(shard: string, prefix: string, cursor?: string): Promise<ConnectorPage>;
}

/** A store in memory that has transactions, for tests: `MemoryConnector.strong()`. */
export interface StrongMemory extends StrongConnector {
  /** The clock that the rows' ends are compared with: the one that was passed, or the system's. */
  readonly clock: { now(): number };
  /** The operations since it was created, or since `resetOperations`. */
  readonly operations: { reads: number; transactions: number; lists: number };
  /** Resets the counts to zero. */
  resetOperations(): void;
}

/** A clock that stands still until you move it, in milliseconds since 1970-01-01 UTC. */
export class ManualClock {
  constructor(milliseconds?: number);
  /** The current time of this clock. */
  now(): number;
  /** Sets the time. It may move backwards. */
  set(milliseconds: number): void;
  /** Moves the time forward by this many milliseconds, or back if negative. */
  advance(milliseconds: number): void;
}

/**
 * A namespace in memory, for tests. Writes are visible immediately, and times to live are exact.
 * ```js
 * const clock = new ManualClock();
 * const memory = new MemoryConnector({ clock });
 * const sessions = new Sessions(memory, { secret });
 * clock.advance(60_000);
 * ```
 */
export class MemoryConnector implements SessionConnector {
  constructor(options?: { clock?: { now(): number } });
  /** A store in memory that has transactions, for tests. */
  static strong(options?: { clock?: { now(): number } }): StrongMemory;
  readonly clock: { now(): number };
  /** The number of live entries. */
  readonly size: number;
  /** The operations since it was created, or since `resetOperations`. */
  readonly operations: { reads: number; keysRead: number; puts: number; deletes: number; lists: number };
  /** Resets the counts to zero. */
  resetOperations(): void;
  read(keys: string[]): Promise<(string | null)[]>;
  put(key: string, value: string, options?: { ttl?: number; metadata?: string }): Promise<void>;
  delete(key: string): Promise<void>;
  list(options?: { prefix?: string; cursor?: string }): Promise<ConnectorPage>;
}

/**
 * Initialises the package. In Workers and in Node.js this happens automatically, bundled or not.
 * Elsewhere, pass the `WebAssembly.Module` of `edge-session/session.wasm`.
 */
export function init(module: object): void;

// Types without `export` above are not part of the interface. Without this line, all of them would
// be.
export {};
