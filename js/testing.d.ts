import type {
  AnyData, ContextLike, EventListener, ManualClock, MemoryConnector, ResponseLike, SessionOptions, SessionStore, Sessions, Shape,
} from "./index.js";

/** The settings of a world, as in `new Sessions`. By default, a random secret is used. */
export interface TestWorldOptions extends Partial<Omit<SessionOptions, "clock" | "storage">> {
  /** Receives the events of sessions. */
  onEvent?: EventListener;
}

/** A duration: the sum of its members. */
export interface TestTime {
  readonly days?: number;
  readonly hours?: number;
  readonly minutes?: number;
  readonly seconds?: number;
  readonly milliseconds?: number;
}

/**
 * An isolated world for one test: sessions, their store, and one clock for both.
 * ```js
 * const world = testWorld({ idleTimeout: 900 });
 * const browser = world.browser();
 * await browser.handle((session) => session.set("name", "Ada"));
 * world.advance({ minutes: 15 });
 * await browser.handle((session) => session.outcome); // "expired"
 * ```
 * Nothing takes real time: where the package would wait before it tries again, the clock moves on.
 */
export function testWorld<T extends Shape<T> = AnyData>(options?: TestWorldOptions): TestWorld<T>;

export interface TestWorld<T extends Shape<T> = AnyData> {
  /** For calls that need no browser: `list`, `revoke`, `stats`. */
  readonly sessions: Sessions<T>;
  /** The store: to inspect it, and to make it fail. */
  readonly store: TestStore;
  /** The clock of the sessions, the store and all cookies, in milliseconds. Usually `advance` is enough. */
  readonly clock: ManualClock;
  /**
   * The `env` for a Worker's `fetch`: the store as SESSIONS, a SESSION_SECRET, and the settings as
   * variables. Add your Worker's other bindings before its first request.
   */
  readonly env: Record<string, any>;
  /**
   * Moves the clock forward, for the sessions, the store and the cookies of every browser.
   * ```js
   * world.advance({ hours: 1, minutes: 30 });
   * ```
   */
  advance(time: TestTime): void;
  /** A browser without cookies. */
  browser(): TestBrowser<T>;
  /**
   * A second isolate of the same Worker, for example in another location. It has the same store, clock
   * and bindings, but its memory is empty. Each isolate has its own view of the store, so one can lag
   * while the other does not. With `options`, it has these settings instead.
   */
  elsewhere(options?: TestWorldOptions): TestWorld<T>;
}

type FetchHandler<Res> = (request: any, env: any, ctx: any) => Res | Promise<Res>;

/** As for `new Request`. `cf` is the property of that name, which Cloudflare adds to a request. */
export interface TestRequestInit extends RequestInit {
  cf?: object;
}

/**
 * A browser that visits one site, `https://example.com`.
 *
 * It handles cookies as RFC 6265bis says. They expire by `Max-Age` or `Expires` on the world's clock,
 * are sent as `Path`, `Secure` and `SameSite` allow (a request with `Sec-Fetch-Site: cross-site` comes
 * from another site), and are refused if the prefix of the name (`__Host-`, `__Secure-`) requires
 * attributes that they lack. It does not follow redirects.
 */
export interface TestBrowser<T extends Shape<T> = AnyData> {
  /**
   * Sends a request to a Worker, with the world's `env`. The Worker is an object with a method `fetch`,
   * such as a module's default export or a Hono app, or a function. Stores the cookies of the response
   * in the jar, and waits for the work that was passed to `ctx.waitUntil`.
   * ```js
   * const response = await browser.fetch(worker, "/login", { method: "POST", body: "ada" });
   * ```
   */
  fetch<Res extends ResponseLike>(
    worker: FetchHandler<Res> | { fetch?: FetchHandler<Res> },
    path?: string,
    init?: TestRequestInit,
  ): Promise<Res>;
  /**
   * Handles a request without a Worker: loads the session, runs `handler` whatever the outcome, commits,
   * and stores the cookies in the jar. Resolves to what the handler returned. If the handler or the
   * commit fails, the error is thrown and the changes are dropped.
   * ```js
   * const views = await browser.handle((session) => session.get("views"));
   * ```
   */
  handle<R>(handler: (session: SessionStore<T>, request: Request) => R | Promise<R>, path?: string, init?: TestRequestInit): Promise<R>;
  /** A request with this browser's cookies, for a framework that is called in another way. A Cookie header in `init` replaces them. */
  request(path?: string, init?: TestRequestInit): Request;
  /** Stores the cookies of such a response in the jar, and returns the response. */
  receive<Res extends { readonly headers: object }>(response: Res, path?: string): Res;
  /** Names and values of the cookies that have not expired. */
  readonly cookies: Record<string, string>;
  /** The Set-Cookie lines that were refused, each with the reason. */
  readonly refused: { line: string; why: string }[];
  /** Removes the cookies with this name. */
  removeCookie(name: string): void;
  /** Another browser with a copy of every cookie, like a thief or a restored backup. */
  copy(): TestBrowser<T>;
  /** Closes the browser and opens it again: cookies with neither `Max-Age` nor `Expires` are gone. */
  close(): void;
  /** Sends all further requests to `world`, which was created by `elsewhere`. */
  goTo(world: TestWorld<T>): void;
}

/**
 * A store in memory, as one location sees it. It counts operations, and can be told to fail, to lose
 * writes or to lag. `times` may be `Infinity`. The package tries an operation up to three times while
 * the store is unavailable, so the application does not notice a single failure.
 */
export interface TestStore extends MemoryConnector {
  /** Makes every operation fail, at every location, until `recover`. */
  outage(): void;
  /** Makes the next reads fail. */
  failReads(times: number): void;
  /** Makes the next puts fail; they store nothing. */
  failPuts(times: number): void;
  /** Makes the next puts fail as rate limited. Workers KV accepts one write per second for each key. */
  rateLimitPuts(times: number): void;
  /** Carries out the next puts but loses the responses, so they are reported as failed. */
  losePutAnswers(times: number): void;
  /** Reports success for the next puts but stores nothing. */
  losePuts(times: number): void;
  /** Ends an outage, and cancels all faults that were requested and have not happened yet. */
  recover(): void;
  /**
   * Freezes what this location reads: until `catchUp`, reads and lists see the store as it is now,
   * without later writes, even its own. Writes still reach the store.
   */
  lag(): void;
  /** Ends `lag`: this location sees all writes again. */
  catchUp(): void;
  /** The keys in the store, in byte order. They are current even while this location lags. */
  readonly keys: string[];
}

// Without this line, declarations above that lack `export` would be exported too.
export {};
