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
  /**
   * This error as `application/problem+json` (RFC 9457). One with the status 500, which the
   * application or its settings are to blame for, is written to the console too: the first time, and
   * then at most once a minute.
   */
  toResponse(): Response;
  /**
   * As `toResponse`, by the name under which Hono looks for it. In an `onError` of Hono's, give its body
   * and it to `c.newResponse`, which keeps headers that are set already, cookies among them.
   */
  getResponse(): Response;
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

/** JSON throughout. A recursive JSON type is this: it is compared as a whole and never expanded. */
type JsonData = Primitive | readonly JsonData[] | { readonly [key: string]: JsonData; readonly [key: symbol]: never };

/** True where one member of the union `T` is `object` or `{}`: such a type says nothing to check. */
type AdmitsAnyObject<T> = T extends unknown
  ? object extends T
    ? [keyof T] extends [never]
      ? true
      : never
    : never
  : never;

/**
 * `T` where JSON carries it, `never` in the places where it does not. What `unknown`, `any` or
 * `object` stands for is checked at run time alone.
 */
export type Json<T> = unknown extends T
  ? T
  : [T] extends [JsonData]
    ? T
    : true extends AdmitsAnyObject<T>
      ? T
      : JsonMember<T>;

/** The members of the union `T`. An array is compared by its elements alone, which are looked at late. */
type JsonMember<T> = T extends JsonData
  ? T
  : T extends NotJson
    ? never
    : T extends readonly unknown[]
      ? { readonly [index: number]: Json<T[number]> }
      : T extends object
        ? { [K in keyof T]: K extends symbol ? never : Json<T[K]> }
        : never;

/** The dictionaries of the union `T`: `Json` of Supabase, say, is a text or a list too. */
type Dictionary<T> = T extends Primitive | readonly unknown[] ? never : T;

/** A shape that a session's data can have: an interface or type of JSON values. */
export type Shape<T> = { [K in keyof T]: T extends readonly unknown[] ? T[K] : Json<T[K]> };

/** Data of any shape, unchecked. A function that takes a `SessionStore` takes one of every shape. */
export type AnyData = any;

type Key<T> = keyof Dictionary<T> & string;
type Member<T, K extends Key<T>> = Dictionary<T>[K];
type Value<T, K extends Key<T>> = Exclude<Member<T, K>, undefined>;
type Pairs<T> = { [K in Key<T>]: [K, Member<T, K>] }[Key<T>];
type Data<T> = Partial<Dictionary<T>>;

/**
 * When a session ends: an end, an idle time and the browser's close in any combination; what is left
 * out is as the settings say. A number or a `Date` alone is the end, `null` what the settings say. A
 * fraction of a second is rounded up, never to nothing.
 */
export type Expiry = number | Date | ExpiryParts | null;

/** The parts of an expiry, of which at least one is given. */
export interface ExpiryParts {
  /** A number of seconds from now (0: when the browser closes; negative: over), or a `Date`. */
  end?: number | Date | null | undefined;
  /** Seconds without a request after which the session is over; `null` or 0: no idle limit. */
  idle?: number | null | undefined;
  /**
   * `true`: the cookies end with the browser. `false`: they do not, where `expireAtBrowserClose` has
   * them do so for sessions without an expiry of their own.
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
 * Calls take effect in the order in which they are made, awaited or not. What is decided while a
 * step waits for the store (`bind`, `create`, …) is carried out when that step has ended; if it is
 * refused then, the next step says so.
 */
export class SessionStore<T extends Shape<T> = AnyData> implements Iterable<Pairs<T>> {
  /** The shape of the data. It is there for the compiler only: no session has it. */
  readonly [shape]?: { [K in keyof T]: T[K] };
  /** A session on a connector, opened by a Cookie header or by nothing. */
  constructor(connector: KvNamespace | SessionConnector, options: SessionOptions, cookieHeader?: string | null);

  /** A random id of 256 bits in base64url, tied to no session. */
  static generateSessionId(): string;

  /**
   * The value of `key`, or else `fallback`. `null`, `false`, `0` and `""` are values.
   * ```js
   * const views = session.get("views", 0);
   * ```
   */
  get<K extends Key<T>>(key: K): Member<T, K> | undefined;
  get<K extends Key<T>, D>(key: K, fallback: D): Value<T, K> | D;
  /** The value of a key that has to be there, else the error `missing_key`. */
  require<K extends Key<T>>(key: K): Value<T, K>;
  /** True where there is a value under `key`, `null` and `false` among them. */
  has(key: Key<T>): boolean;
  /** How many keys there are. */
  readonly size: number;
  /** True where there is neither a value nor a flash value. */
  readonly isEmpty: boolean;
  /** In order of insertion, integer-like keys too. */
  keys(): IterableIterator<Key<T>>;
  /** In the order of `keys()`. */
  values(): IterableIterator<Member<T, Key<T>>>;
  /** Keys and values, in the order of `keys()`. */
  entries(): IterableIterator<Pairs<T>>;
  /** As `entries()`: `for (const [key, value] of session)`. */
  [Symbol.iterator](): IterableIterator<Pairs<T>>;
  /**
   * All values as one live object without a prototype: changes in it, nested ones too, are noticed
   * at the next save. As in every object of JavaScript, integer-like keys come first in it; the
   * session itself keeps the order of insertion. What is assigned in it is not copied: give each
   * session an object of its own, not one at module scope, which all visitors would share.
   * ```js
   * session.data.cart ??= [];
   * session.data.cart.push("apple");
   * ```
   */
  get data(): Data<T>;
  set data(values: Data<T>);

  /**
   * Puts a copy of a value, as it is now; an equal one is no modification.
   * ```js
   * session.set("cart", ["apple"]).set("step", 2);
   * ```
   */
  set<K extends Key<T>>(key: K, value: Value<T, K>): this;
  /** Removes a key; tells whether it was there. */
  remove(key: Key<T>): boolean;
  /**
   * Removes a key and gives its value; without `fallback` it has to be there.
   * ```js
   * const next = session.pop("next", "/");
   * ```
   */
  pop<K extends Key<T>>(key: K): Value<T, K>;
  pop<K extends Key<T>, D>(key: K, fallback: D): Value<T, K> | D;
  /** Removes the key inserted last. */
  popItem(): Pairs<T>;
  /**
   * Sets every key of an object, or every pair, to a copy of its value: all of them, or none where
   * one is refused.
   * ```js
   * session.update({ theme: "dark", cart: [] });
   * ```
   */
  update(values: Data<T> | Iterable<Pairs<T>>): this;
  /** Removes every value and every flash value. */
  clear(): void;
  /**
   * The value of `key`, which is set to a copy of `value` where it is not there. What comes back is the
   * session's own: a change in it is stored.
   * ```js
   * session.setDefault("cart", []).push("apple");
   * ```
   */
  setDefault<K extends Key<T>>(key: K, value: Value<T, K>): Value<T, K>;
  /**
   * Leaves a value that is read once, by a later request as a rule: a message after a redirect.
   * ```js
   * session.flash("notice", "Saved.");
   * ```
   */
  flash(key: string, value: unknown): this;
  /**
   * Takes a flash value: it is gone with that.
   * ```js
   * const notice = session.takeFlash("notice");
   * ```
   */
  takeFlash<V = unknown>(key: string): V | undefined;

  /** What the load found. Before a load this is the error `not_loaded`, also where no cookie came. */
  readonly outcome: Outcome;
  /**
   * The public name of the session, safe to log; `null` before `create` or the first save. Before a
   * load this is the error `not_loaded`.
   */
  readonly sessionKey: string | null;
  /** True where the store does not hold this session yet. Before a load this is the error `not_loaded`. */
  readonly isNew: boolean;
  /** Counts the saves of this session. Before a load this is the error `not_loaded`. */
  readonly version: number;
  /** When the session began; `null` before the first save. Before a load this is the error `not_loaded`. */
  readonly createdAt: Date | null;
  /** The user id that the session is bound to. */
  readonly owner: string | null;
  /** When the user last logged in. */
  readonly authTime: Date | null;
  /**
   * Refuses with `reauth_required` where that is more than `maxAge` seconds ago, and with
   * `invalid_value` where `maxAge` is not a number, or below 0.
   * ```js
   * session.requireRecentAuth(300); // before a change of password
   * ```
   */
  requireRecentAuth(maxAge: number): void;
  /** When the session ends if the browser does not come back; `null` without an idle limit. */
  readonly idleExpiresAt: Date | null;
  /** True where the cookies end with the browser. */
  readonly expireAtBrowserClose: boolean;
  /** True where anything of the session was looked at. */
  readonly accessed: boolean;
  /**
   * What this session refused last. `handle` answers with a refusal only where it is what the handler
   * failed with.
   */
  readonly refusal: SessionError | undefined;
  /**
   * True where a commit would save: something differs from what was loaded, or the session gets a new
   * key; false for a new session that holds nothing. Set it to save all the same, or to leave changes
   * unsaved. To ask has no effect.
   */
  modified: boolean;
  /** True where a commit would write to the store or set a cookie. */
  needsUpdate(): boolean;
  /**
   * Seconds until the session ends, by whichever limit comes first; 0 or negative when it has. A
   * fraction of a second left counts as one.
   */
  getExpiryAge(): number;
  /** When the session ends, by whichever limit comes first. */
  getExpiryDate(): Date;
  /**
   * Sets when the session ends; it replaces all that an earlier call has set. The hard end never
   * moves. What is no expiry is the error `invalid_value`, which names what is wrong.
   * ```js
   * session.setExpiry(600); // in ten minutes
   * session.setExpiry({ idle: 900 }); // after a quarter of an hour without a request
   * session.setExpiry(0); // when the browser closes
   * session.setExpiry({ idle: 1800, browserClose: true }); // after half an hour, or with the browser
   * session.setExpiry({ end: new Date("2030-01-31T12:00:00Z"), idle: null }); // however idle
   * ```
   */
  setExpiry(expiry: Expiry): void;

  /** Begins a new session; an empty one where one was loaded. Nothing is written before the commit. */
  create(): void;
  /**
   * Gives the session a new key; data and lineage stay. For when what it may do changes.
   * ```js
   * session.cycleKey();
   * session.set("role", "admin");
   * ```
   */
  cycleKey(): void;
  /**
   * The user has proved again who they are: a new key, as by `cycleKey`, and the time of the login is
   * now. Owner, lineage, data and expiry stay. Call it after a password or a passkey was checked for
   * the user that `owner` tells; for another one, `bind`. Where nobody is logged in it is the error
   * `reauth_required`.
   * ```js
   * session.reauthenticate();
   * session.requireRecentAuth(300); // passes
   * ```
   */
  reauthenticate(): void;
  /**
   * Login: binds the session to a user under a new lineage. `keep: false` begins empty; otherwise
   * the data of an anonymous session, or of one of the same user, goes along, as far as this request
   * can read it. Only a store that does not answer fails a login, not what has become of that
   * session meanwhile.
   *
   * The session's own expiry (end, idle time, browser close) goes where its data go: with data that
   * are kept it is kept too, whether this request or an earlier one has set it; a session that begins
   * empty ends as the settings say. `setExpiry` after the login replaces it either way.
   * ```js
   * session.bind("ada"); // after a password or a passkey was checked
   * ```
   */
  bind(owner: string, options?: { keep?: boolean }): void;
  /**
   * A token for the forms of this page, other text in each call. It makes no session, changes none
   * and asks no storage, and it is given under every outcome; a page without a session gets a cookie
   * with it that names nothing. Ask for it after `bind`, `cycleKey` or `create` where the request
   * calls one of them. `invalid_value` where the request came from another site and the browser may
   * have withheld its cookies: answer it with a redirect to the page that shows the form, under
   * `SameSite=Strict` with a link to it.
   * ```js
   * const field = `<input type="hidden" name="csrf" value="${session.csrfToken()}">`;
   * ```
   */
  csrfToken(): string;
  /**
   * Refuses with `invalid_value` a token that is not this browser's, or one from before a login. It
   * takes what a form's field or a header gave: `null` or a file is refused like a wrong text.
   * ```js
   * session.verifyCsrf((await request.formData()).get("csrf"));
   * ```
   */
  verifyCsrf(token: unknown): void;

  /**
   * One read where the key cookie is authentic, none otherwise; a second call does nothing but with
   * `fresh`, which asks for the store's shortest cache time.
   * ```js
   * if ((await session.load()) === "loaded") greet(session.get("name"));
   * ```
   */
  load(options?: { fresh?: boolean }): Promise<Outcome>;
  /** Saves what has changed now, rather than with the commit. */
  save(): Promise<void>;
  /**
   * Logout: ends the session now, wherever it is used, and stays done whatever happens next.
   * ```js
   * await session.destroy();
   * ```
   */
  destroy(): Promise<void>;
  /**
   * Logout that goes on anonymously with the values of the keys in `keep`.
   * ```js
   * await session.flush({ keep: ["theme"] });
   * ```
   */
  flush(options?: { keep?: Iterable<Key<T>> }): Promise<void>;
  /**
   * True where a session is there and alive: this one, or that of a session key. False for a text
   * that is no session key.
   */
  exists(key?: string): Promise<boolean>;
  /**
   * Ends a session at once: this one, or that of a session key. No ownership is asked. A text that
   * is no session key is the error `not_found`.
   */
  delete(key?: string): Promise<void>;

  /** The data only. */
  toJSON(): Data<T>;
  /** The session key and what the load found: never the token, never a value. */
  toString(): string;
}

/** One session of a user, as `Sessions.list` shows it. */
export interface OwnedSession {
  /** The session key, for `Sessions.revoke`. */
  key: string;
  created: Date;
  lastWritten: Date;
  /** The browser that wrote it last, in its own words. */
  userAgent: string | null;
  /** Where that was: a country code. */
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
    | "limit_not_enforced"
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
  /** Puts. */
  readonly puts: number;
  /** Deletes. */
  readonly deletes: number;
  /** Pages of keys that were listed. */
  readonly lists: number;
  /** Operations that were tried again after the store failed or asked for a pause. */
  readonly retries: number;
  /** Loads that found two copies which did not know of each other. */
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

/** The settings: each a variable `SESSION_…` too, as the README lists them. Times in seconds. */
export interface SessionOptions {
  /**
   * At least 32 random bytes, as `openssl rand -base64 32` prints them; several, the signer first,
   * while a secret is replaced.
   */
  secret: string | readonly string[];
  /** Takes what happens to sessions, instead of the console. */
  onEvent?: EventListener;
  /** A clock for tests; that of a `MemoryConnector` is used without this. */
  clock?: { now(): number };
  /**
   * The key cookie's name; the others add `-seen` and `-fresh`. By default `__Host-session`, or
   * `session` with `cookieSecure: false`. Two populations of users on one namespace want two names and two values of `keyPrefix`.
   */
  cookieName?: string;
  /**
   * Ends the session, not only its cookie: so long after it began it is over, however busy it is, and
   * nothing moves that end. At most 400 days. By default 604800.
   */
  cookieAge?: number;
  /** Time without a request after which a session ends; 0 for none. By default 86400. */
  idleTimeout?: number;
  /** Where on the host the cookies are sent. By default `/`. */
  cookiePath?: string;
  /** Sends the cookies to this domain and all its hosts; not with a `__Host-` name. */
  cookieDomain?: string;
  /**
   * Send over https only, as by default. `false` is for development on plain http, as Safari needs it
   * on localhost too; a `cookieName` with a prefix is refused then.
   */
  cookieSecure?: boolean;
  /** Which requests from other sites carry the cookies. By default `Lax`. */
  cookieSameSite?: "Strict" | "Lax" | "None";
  /** Separate cookies for each site that embeds this one. */
  cookiePartitioned?: boolean;
  /** Forget the key cookie when the browser closes. */
  expireAtBrowserClose?: boolean;
  /**
   * Keep the application's own `Cache-Control` where it has `private`, instead of `no-store`. The risk:
   * the browser keeps the page and may show it after the logout, to the next person who uses it too.
   */
  allowPrivateCache?: boolean;
  /** Which connector, where none is passed in. `memory` is for development. */
  storage?: "kv" | "memory";
  /** What every key in the namespace begins with. */
  keyPrefix?: string;
  /** Seal records with a key made of the browser's token, as by default. */
  seal?: boolean;
  /** Let the fresh cookie carry the sealed record until KV shows it everywhere, as by default. */
  overlay?: boolean;
  /** Delete the record at logout too. */
  purge?: boolean;
  /** Time that a KV location may answer from its cache. By default 30. */
  kvCacheTtl?: number;
  /** Time that an isolate may answer from its own memory; 0 for never. By default 10. */
  isolateCacheTtl?: number;
  /** Time that a write is assumed to need to every location. By default 60. */
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
  /** Longest `Cookie` header that is looked at. By default 65536. */
  maxCookieHeaderBytes?: number;
  /** Most pairs in it. By default 200. */
  maxCookiePairs?: number;
  /** Silence warnings on the console, and the line about a store that fails. */
  disableWarnings?: boolean;
  /** Write what happens to sessions to the console, one line of JSON each. */
  events?: boolean;
  /** Say in `Server-Timing` what the session asked of the store and how long it waited. */
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
  /**
   * Sessions in this namespace, or behind this connector.
   * ```js
   * const sessions = new Sessions(env.SESSIONS, { secret: env.SESSION_SECRET, idleTimeout: 900 });
   * ```
   * What the isolate remembers belongs to the object: give the same one in each request, not a
   * wrapper that is made anew.
   */
  constructor(connector: KvNamespace | SessionConnector, options: SessionOptions);
  constructor(connector: undefined, options: SessionOptions & { storage: "memory" });

  /**
   * As the environment says: the KV binding SESSIONS, SESSION_SECRET, variables SESSION_… (text,
   * numbers or booleans). Settings are not among the `options`: those are for `new Sessions`.
   * ```js
   * const sessions = Sessions.fromEnv(env, {
   *   onEvent: ({ event }) => env.ANALYTICS.writeDataPoint({ blobs: [event], doubles: [1] }),
   * });
   * ```
   */
  static fromEnv<T extends Shape<T> = AnyData>(env: object, options?: { onEvent?: EventListener }): Sessions<T>;

  /** D: seconds after which a revoked session is dead everywhere, if propagation is as assumed. */
  readonly stalenessBound: number;
  /**
   * What this isolate has counted of all sessions on this namespace or connector.
   * ```js
   * const { requests, outcomes, wasmBytes } = sessions.stats;
   * ```
   */
  readonly stats: Stats;

  /**
   * Loads the session, runs `handler` whatever was found, and commits.
   * ```js
   * return sessions.handle(request, ctx, async (session) => {
   *   session.set("views", session.get("views", 0) + 1);
   *   return new Response(`${session.get("views")}`);
   * });
   * ```
   * A `Response` that is thrown is an answer: below 400 it is committed and returned like one that is
   * returned; from 400 on the changes are dropped. A `SessionError` that is thrown, or that is behind
   * what is thrown (`cause`, the `errors` of an `AggregateError`), is answered with its own status,
   * and the changes are dropped. Any other error comes out as it is.
   *
   * Inside another handler of the same request object, with the same configuration (namespace or
   * connector, secrets, `keyPrefix` and cookie name), `handler` gets the session of that one, with its
   * settings and its `onEvent`, and the outermost `handle` commits. Await the inner one: what it changes
   * after that is refused with `committed`. Where the inner one fails (it throws anything but a
   * `Response` below 400, or answers 5xx) the changes of the request are dropped, whatever the outer one
   * answers. A thrown `Response` below 400 is returned by the inner `handle`. A copy of a request is
   * another request.
   */
  handle<Req extends RequestLike, Res extends ResponseLike>(
    request: Req,
    ctx: ContextLike | null | undefined,
    handler: Handler<T, Req, Res>,
  ): Promise<Res>;
  /**
   * As `handle`, with a session that is not loaded: call `load()` on it first. Untouched, it costs no
   * storage operation.
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
   * The session that a request or a Cookie header presents, unloaded. Inside a handler of the same
   * request object, with the same configuration, it is that handler's session as it is.
   */
  open(request?: RequestLike | string | null): SessionStore<T>;
  /**
   * The same, loaded; what was found is its `outcome`. `commit` is the last step.
   * ```js
   * const session = await sessions.load(request);
   * session.set("seen", true);
   * return sessions.commit(session, new Response("hello"), ctx);
   * ```
   */
  load(request?: RequestLike | string | null, options?: { fresh?: boolean }): Promise<SessionStore<T>>;
  /**
   * Carries out what the request decided, and gives the response with its headers. A session that
   * `load` or `open` gave inside a handler of the same request is left to that handler, which commits
   * it.
   */
  commit<Res extends ResponseLike>(
    session: SessionStore<T>,
    response: Res,
    ctx?: ContextLike | null,
  ): Promise<Res>;
  /**
   * The same for a framework that builds its own response: append each Set-Cookie.
   * ```js
   * const headers = await sessions.commitHeaders(session, { status: 200, ctx });
   * for (const line of headers.getSetCookie()) reply.headers.append("set-cookie", line);
   * ```
   */
  commitHeaders(
    session: SessionStore<T>,
    options?: { status?: number; ctx?: ContextLike | null },
  ): Promise<Headers>;

  /**
   * The live sessions of a user, the one written last first.
   * ```js
   * const devices = session.owner === null ? [] : await sessions.list(session.owner, { ctx });
   * ```
   * With `ctx` it counts in the `Server-Timing` of the request that is handled with that.
   */
  list(owner: string, options?: { ctx?: ContextLike | null }): Promise<OwnedSession[]>;
  /**
   * Ends one session of a user. Another's key is `not_found`, and so is a text that is no session
   * key or whose parts do not belong together; nothing is read or written for it.
   * ```js
   * if (session.owner !== null) await sessions.revoke(session.owner, devices[1].key, { ctx });
   * ```
   * With `ctx` the writes are carried to their end though the browser goes away.
   */
  revoke(owner: string, key: string, options?: { ctx?: ContextLike | null }): Promise<void>;
  /**
   * Ends every session of a user, but for that of the session key `except`. An `except` that is not
   * a session key of this user is `not_found`, and nothing is ended. Where the operations of one
   * invocation do not suffice, it rejects with `quota`: all the sessions have ended by then, and a
   * call in another request goes on with their markers from where it stopped.
   * ```js
   * if (session.owner !== null) await sessions.revokeAll(session.owner, { except: session.sessionKey, ctx });
   * ```
   * With `ctx` the writes are carried to their end though the browser goes away.
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
 * A key-value namespace of one's own. Keys and values are ASCII text. An error's `code`
 * (`rate_limited`, `quota`, `too_large`, `unsupported`) says of what kind it is; any other counts as
 * `unavailable`. What is thrown comes out as the `cause` of a `SessionError`.
 */
export interface SessionConnector {
  /** The values of `keys`, in their order; `null` for one that is not there. One round trip. */
  read(keys: string[], options: { cacheTtl?: number }): Promise<readonly (string | null | undefined)[]>;
  /** Stores `value`; it may be forgotten `ttl` seconds later. `metadata` is for `list`. */
  put(key: string, value: string, options: { ttl?: number; metadata?: string }): Promise<unknown>;
  /**
   * What kind of store it is, `custom` where it does not say. It enters every key that is derived
   * from the secret: a cookie made over one kind of store is nothing over another, and a kind that
   * changes logs everybody out. A connector that passes on to another, and is to read what that has
   * stored, gives that one's kind: `kv` or `memory`.
   */
  readonly kind?: string;
  /** Removes `key`; that it was not there is success too. */
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
  /** The instant that it shows. */
  now(): number;
  /** Shows this instant from now on; it may be an earlier one. */
  set(milliseconds: number): void;
  /** Moves on by this many milliseconds (back, if negative). */
  advance(milliseconds: number): void;
}

/**
 * A namespace in memory, for tests: a write is seen at once, a time to live is exact.
 * ```js
 * const clock = new ManualClock();
 * const memory = new MemoryConnector({ clock });
 * const sessions = new Sessions(memory, { secret });
 * clock.advance(60_000);
 * ```
 */
export class MemoryConnector implements SessionConnector {
  constructor(options?: { clock?: { now(): number } });
  readonly clock: { now(): number };
  /** Entries that are there. */
  readonly size: number;
  /** What was asked of it since it was made, or since `resetOperations`. */
  readonly operations: { reads: number; keysRead: number; puts: number; deletes: number; lists: number };
  /** Counts from zero again. */
  resetOperations(): void;
  read(keys: string[]): Promise<(string | null)[]>;
  put(key: string, value: string, options?: { ttl?: number; metadata?: string }): Promise<void>;
  delete(key: string): Promise<void>;
  list(options?: { prefix?: string; cursor?: string }): Promise<ConnectorPage>;
}

/**
 * Makes the package ready where it is not by itself. In Workers and in Node.js it is, bundled or not;
 * elsewhere, give it the `WebAssembly.Module` of `edge-session/session.wasm`.
 */
export function init(module: object): void;

// What has no `export` above is no part of the interface; without this line all of it would be.
export {};
