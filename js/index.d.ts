// The types of edge-session, generic over the shape of the session's data.

/** What went wrong, stable across releases. */
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

/** Every failure of this package. Match on `code`; the message is for people and may change. */
export class SessionError extends Error {
  constructor(code: ErrorCode, message: string, options?: { cause?: unknown });
  readonly code: ErrorCode;
  /** Where in a value, for `invalid_value`: `cart.items[2].price`. */
  readonly path?: string;
  /** The HTTP status that an answer with this code carries. */
  readonly status: number;
  /** Seconds after which trying again makes sense. */
  readonly retryAfter: number | undefined;
  /** This error as `application/problem+json` (RFC 9457). */
  toResponse(): Response;
}

/** The session's own end has passed: the code `expired`. */
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

/** What JSON cannot carry, or carries as something else: text for a Date, `{}` for a Map. */
type NotJson =
  | bigint
  | symbol
  | ((...args: never[]) => unknown)
  | Date
  | RegExp
  | Promise<unknown>
  | ArrayBuffer
  | ArrayBufferView
  | ReadonlyMap<unknown, unknown>
  | ReadonlySet<unknown>
  | WeakKey & { readonly [Symbol.toStringTag]: string };

/** `T` where JSON carries it, `never` in the places where it does not. */
export type Json<T> = unknown extends T
  ? T
  : T extends string | number | boolean | null | undefined
    ? T
    : T extends NotJson
      ? never
      : T extends object
        ? { [K in keyof T]: Json<T[K]> }
        : never;

/** A shape that a session's data can have: an interface or type of JSON values. */
export type Shape<T> = { [K in keyof T]: Json<T[K]> };

/** Data of any shape. */
export type AnyData = { [key: string]: any };

type Key<T> = keyof T & string;
type Pairs<T> = { [K in Key<T>]: [K, T[K]] }[Key<T>];
type Value<T, K extends keyof T> = Exclude<T[K], undefined>;

/**
 * When a session ends: a number of seconds from now (0: when the browser closes; negative: over), a
 * `Date`, an idle time, or `null` for what the settings say.
 */
export type Expiry = number | Date | { idle: number } | null;

/** The part of a request that a session reads. */
export interface RequestLike {
  readonly headers: { get(name: string): string | null };
  readonly method?: string;
}

/** The part of a handler's context that a session uses. */
export interface ContextLike {
  waitUntil(promise: Promise<unknown>): void;
}

/** One session in one request: an ordered dictionary of JSON values. */
export class SessionStore<T extends Shape<T> = AnyData> implements Iterable<Pairs<T>> {
  /** A session on a connector, opened by a Cookie header or by nothing. */
  constructor(connector: KvNamespace | SessionConnector, options: SessionOptions, cookieHeader?: string | null);

  /** A random id of 256 bits in base64url, tied to no session. */
  static generateSessionId(): string;

  /** The value of `key`, or else `fallback`. `null`, `false`, `0` and `""` are values. */
  get<K extends Key<T>>(key: K): T[K] | undefined;
  get<K extends Key<T>, D>(key: K, fallback: D): Value<T, K> | D;
  /** The value of a key that has to be there, else the error `missing_key`. */
  require<K extends Key<T>>(key: K): Value<T, K>;
  has(key: Key<T>): boolean;
  readonly size: number;
  /** True where there is neither a value nor a flash value. */
  readonly isEmpty: boolean;
  /** In order of insertion, integer-like keys too. */
  keys(): IterableIterator<Key<T>>;
  values(): IterableIterator<T[Key<T>]>;
  entries(): IterableIterator<Pairs<T>>;
  [Symbol.iterator](): IterableIterator<Pairs<T>>;
  /**
   * All values as one live object without a prototype: changes in it, nested ones too, are noticed
   * at the next save. As in every object of JavaScript, integer-like keys come first in it; the
   * session itself keeps the order of insertion.
   */
  get data(): Partial<T>;
  set data(values: Partial<T>);

  /** Puts a value; an equal one is no modification. */
  set<K extends Key<T>>(key: K, value: Value<T, K>): this;
  /** Removes a key; tells whether it was there. */
  remove(key: Key<T>): boolean;
  /** Removes a key and gives its value; without `fallback` it has to be there. */
  pop<K extends Key<T>>(key: K): Value<T, K>;
  pop<K extends Key<T>, D>(key: K, fallback: D): Value<T, K> | D;
  /** Removes the key inserted last. */
  popItem(): Pairs<T>;
  /** Sets every key of an object, or every pair. */
  update(values: Partial<T> | Iterable<Pairs<T>>): this;
  /** Removes every value and every flash value. */
  clear(): void;
  /** The value of `key`, which is set to `value` where it is not there. */
  setDefault<K extends Key<T>>(key: K, value: Value<T, K>): Value<T, K>;
  /** Leaves a value that is read once, by a later request as a rule. */
  flash(key: string, value: unknown): this;
  /** Takes a flash value: it is gone with that. */
  takeFlash<V = unknown>(key: string): V | undefined;

  /** What the load found. */
  readonly outcome: Outcome;
  /** The public name of the session, safe to log; `null` before `create` or the first save. */
  readonly sessionKey: string | null;
  /** True where the store does not hold this session yet. */
  readonly isNew: boolean;
  /** Counts the saves of this session. */
  readonly version: number;
  readonly createdAt: Date | null;
  /** The user id that the session is bound to. */
  readonly owner: string | null;
  /** When the user last logged in. */
  readonly authTime: Date | null;
  /** Refuses with `reauth_required` where that is more than `maxAge` seconds ago. */
  requireRecentAuth(maxAge: number): void;
  readonly idleExpiresAt: Date | null;
  readonly expireAtBrowserClose: boolean;
  /** True where anything of the session was looked at. */
  readonly accessed: boolean;
  /** What this session refused last: a handler that fails after it is answered with it. */
  readonly refusal: SessionError | undefined;
  /** True where a commit would save. Set it to save all the same, or to leave changes unsaved. */
  modified: boolean;
  /** True where a commit would write to the store or set a cookie. */
  needsUpdate(): boolean;
  /** Seconds until the session ends, by whichever limit comes first. */
  getExpiryAge(): number;
  getExpiryDate(): Date;
  setExpiry(expiry: Expiry): void;

  /** Begins a new session; an empty one where one was loaded. Nothing is written before the commit. */
  create(): void;
  /** Gives the session a new key; data and lineage stay. */
  cycleKey(): void;
  /** Login: binds the session to a user under a new lineage. `keep: false` begins empty. */
  bind(owner: string, options?: { keep?: boolean }): void;
  /** A token for this session's forms, other text in each call. */
  csrfToken(): string;
  /** Refuses with `invalid_value` a token that is not this session's. */
  verifyCsrf(token: string): void;

  /** One read where the key cookie is authentic, none otherwise. */
  load(options?: { fresh?: boolean }): Promise<Outcome>;
  /** Saves what has changed now, rather than with the commit. */
  save(): Promise<void>;
  /** Logout: ends the session now, wherever it is used, and stays done whatever happens next. */
  destroy(): Promise<void>;
  /** Logout that goes on anonymously with the values of the keys in `keep`. */
  flush(options?: { keep?: Iterable<Key<T>> }): Promise<void>;
  /** True where a session is there and alive: this one, or that of a session key. */
  exists(key?: string): Promise<boolean>;
  /** Ends a session at once: this one, or that of a session key. No ownership is asked. */
  delete(key?: string): Promise<void>;

  /** The data only. */
  toJSON(): Partial<T>;
  toString(): string;
}

/** One session of a user, as `Sessions.list` shows it. */
export interface OwnedSession {
  key: string;
  created: Date;
  lastWritten: Date;
  userAgent: string | null;
  place: string | null;
}

/** What happened to a session; `session` names it by a keyed hash that opens and finds nothing. */
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
    | "store_error";
  /** When, in milliseconds since 1970-01-01 UTC. */
  readonly at: number;
  /** The same before and after a rotation; none where no session was proven. */
  readonly session?: string;
  /** Why, where there is more than one reason: a fixed word. */
  readonly reason?: string;
}

/** Takes an event, in the middle of a request: be quick. What it throws is a console warning. */
export type EventListener = (event: SessionEvent) => void;

/** What an isolate has counted since it began, and what it holds now. */
export interface Stats {
  /** Sessions that were opened: one a request, loaded or not. */
  readonly requests: number;
  /** Loads that the isolate's table answered. */
  readonly tableLoads: number;
  /** Loads that the store answered. */
  readonly storeLoads: number;
  /** Loads by what they found. */
  readonly outcomes: Readonly<Record<Outcome, number>>;
  /** Gets, one for each round trip, repeated ones too. */
  readonly reads: number;
  /** Keys that these asked for. */
  readonly keysRead: number;
  readonly puts: number;
  readonly deletes: number;
  /** Pages of keys that were listed. */
  readonly lists: number;
  /** Operations that were tried again after the store failed or asked for a pause. */
  readonly retries: number;
  /** Loads that found two copies which did not know of each other. */
  readonly conflicts: number;
  /** Sessions that the isolate remembers now. */
  readonly tableEntries: number;
  /** Bytes of their data. */
  readonly tableBytes: number;
  /** Bytes of the module's linear memory, which never shrinks. */
  readonly wasmBytes: number;
}

/** The settings: each a variable `SESSION_…` too, see docs/settings.md. Times in seconds. */
export interface SessionOptions {
  /** At least 32 random bytes; several, the signer first, while a secret is replaced. */
  secret: string | readonly string[];
  /** Takes what happens to sessions, instead of the console. */
  onEvent?: EventListener;
  /** A clock for tests; that of a `MemoryConnector` is used without this. */
  clock?: { now(): number };
  cookieName?: string;
  cookieAge?: number;
  idleTimeout?: number;
  cookiePath?: string;
  cookieDomain?: string;
  cookieSecure?: boolean;
  cookieSameSite?: "Strict" | "Lax" | "None";
  cookiePartitioned?: boolean;
  expireAtBrowserClose?: boolean;
  storage?: "kv" | "memory";
  keyPrefix?: string;
  seal?: boolean;
  overlay?: boolean;
  purge?: boolean;
  kvCacheTtl?: number;
  isolateCacheTtl?: number;
  propagation?: number;
  maxPerOwner?: number;
  maxRecordBytes?: number;
  maxKeys?: number;
  maxKeyBytes?: number;
  maxDepth?: number;
  maxCookieHeaderBytes?: number;
  maxCookiePairs?: number;
  disableWarnings?: boolean;
  events?: boolean;
  serverTiming?: boolean;
}

/** A `Response`, of the runtime's own types or of the DOM's. */
export interface ResponseLike {
  readonly status: number;
  readonly headers: object;
}

type Handler<T extends Shape<T>, Req, Res> = (session: SessionStore<T>, request: Req) => Res | Promise<Res>;

/** The sessions of a Worker. Cheap to make: in each request, or once. */
export class Sessions<T extends Shape<T> = AnyData> {
  constructor(connector: KvNamespace | SessionConnector, options: SessionOptions);
  constructor(connector: undefined, options: SessionOptions & { storage: "memory" });

  /** As the environment says: the KV binding SESSIONS, SESSION_SECRET, variables SESSION_…. */
  static fromEnv<T extends Shape<T> = AnyData>(env: object, options?: { onEvent?: EventListener }): Sessions<T>;

  /** D: seconds after which a revoked session is dead everywhere, if propagation is as assumed. */
  readonly stalenessBound: number;
  /** What this isolate has counted of all sessions on this namespace or connector. */
  readonly stats: Stats;

  /** Loads the session, runs `handler` whatever was found, and commits. */
  handle<Req extends RequestLike, Res extends ResponseLike>(
    request: Req,
    ctx: ContextLike | null | undefined,
    handler: Handler<T, Req, Res>,
  ): Promise<Res>;
  /** As `handle`, with a session that is not loaded: call `load()` on it first. */
  handleLazy<Req extends RequestLike, Res extends ResponseLike>(
    request: Req,
    ctx: ContextLike | null | undefined,
    handler: Handler<T, Req, Res>,
  ): Promise<Res>;

  /** The session that a request or a Cookie header presents, unloaded. */
  open(request?: RequestLike | string | null): SessionStore<T>;
  /** The same, loaded; what was found is its `outcome`. */
  load(request?: RequestLike | string | null, options?: { fresh?: boolean }): Promise<SessionStore<T>>;
  /** Carries out what the request decided, and gives the response with its headers. */
  commit<Res extends ResponseLike>(
    session: SessionStore<T>,
    response: Res,
    ctx?: ContextLike | null,
  ): Promise<Res>;
  /** The same for a framework that builds its own response: append each Set-Cookie. */
  commitHeaders(
    session: SessionStore<T>,
    options?: { status?: number; ctx?: ContextLike | null },
  ): Promise<Headers>;

  /** The live sessions of a user, the one written last first. */
  list(owner: string): Promise<OwnedSession[]>;
  /** Ends one session of a user; another's key is `not_found`. */
  revoke(owner: string, key: string): Promise<void>;
  /** Ends every session of a user, but for that of the session key `except`. */
  revokeAll(owner: string, options?: { except?: string | null }): Promise<void>;
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
 * A key-value namespace of one's own. Keys and values are ASCII text. An error's `code`
 * (`rate_limited`, `quota`, `too_large`, `unsupported`) says of what kind it is; any other counts as
 * `unavailable`. What is thrown comes out as the `cause` of a `SessionError`.
 */
export interface SessionConnector {
  /** The values of `keys`, in their order; `null` for one that is not there. One round trip. */
  read(keys: string[], options: { cacheTtl?: number }): Promise<readonly (string | null | undefined)[]>;
  put(key: string, value: string, options: { ttl?: number; metadata?: string }): Promise<unknown>;
  delete(key: string): Promise<unknown>;
  /** One page of the keys that start with `prefix`, in byte order. */
  list?(options: { prefix: string; cursor?: string }): Promise<ConnectorPage>;
}

export interface ConnectorPage {
  keys: readonly { name: string; metadata?: string | null }[];
  /** Where the next page starts; none on the last one. */
  cursor?: string | null;
}

/** A clock that stands still until it is moved, in milliseconds since 1970-01-01 UTC. */
export class ManualClock {
  constructor(milliseconds?: number);
  now(): number;
  set(milliseconds: number): void;
  advance(milliseconds: number): void;
}

/** A namespace in memory, for tests: a write is seen at once, a time to live is exact. */
export class MemoryConnector implements SessionConnector {
  constructor(options?: { clock?: { now(): number } });
  readonly clock: { now(): number };
  /** Entries that are there. */
  readonly size: number;
  readonly operations: { reads: number; keysRead: number; puts: number; deletes: number; lists: number };
  resetOperations(): void;
  read(keys: string[]): Promise<(string | null)[]>;
  put(key: string, value: string, options?: { ttl?: number; metadata?: string }): Promise<void>;
  delete(key: string): Promise<void>;
  list(options?: { prefix?: string; cursor?: string }): Promise<ConnectorPage>;
}

/**
 * Makes the package ready where it is not by itself. In Workers and in Node.js it is; elsewhere,
 * give it the `WebAssembly.Module` of `edge-session/session.wasm`.
 */
export function init(module: object): void;
