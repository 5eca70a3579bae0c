import type {
  AnyData, ContextLike, EventListener, ManualClock, MemoryConnector, ResponseLike, SessionOptions, SessionStore, Sessions, Shape,
} from "./index.js";

/** The settings of a world, as those of `new Sessions`. A secret is made where none is given. */
export interface TestWorldOptions extends Partial<Omit<SessionOptions, "clock" | "storage">> {
  /** Takes what happens to sessions. */
  onEvent?: EventListener;
}

/** A span of time; its members are added up. */
export interface TestTime {
  readonly days?: number;
  readonly hours?: number;
  readonly minutes?: number;
  readonly seconds?: number;
  readonly milliseconds?: number;
}

/**
 * A Worker of its own, for a test: sessions, the store that keeps them, and one clock for both.
 * ```js
 * const world = testWorld({ idleTimeout: 900 });
 * const browser = world.browser();
 * await browser.handle((session) => session.set("name", "Ada"));
 * world.advance({ minutes: 15 });
 * await browser.handle((session) => session.outcome); // "expired"
 * ```
 * Nothing of it waits: a pause between two attempts moves the clock.
 */
export function testWorld<T extends Shape<T> = AnyData>(options?: TestWorldOptions): TestWorld<T>;

export interface TestWorld<T extends Shape<T> = AnyData> {
  /** For what is not asked through a browser: lists, revocations, statistics. */
  readonly sessions: Sessions<T>;
  /** The store, to look at and to break. */
  readonly store: TestStore;
  /** The clock that sessions, store and cookies live by, in milliseconds. `advance` moves it on. */
  readonly clock: ManualClock;
  /**
   * What a Worker's `fetch` is given: the store as SESSIONS, SESSION_SECRET, and the settings as
   * variables. Add the bindings that your Worker has besides before its first request.
   */
  readonly env: Record<string, any>;
  /**
   * Time passes for the sessions, the store and the cookies of every browser.
   * ```js
   * world.advance({ hours: 1, minutes: 30 });
   * ```
   */
  advance(time: TestTime): void;
  /** A browser without cookies. */
  browser(): TestBrowser<T>;
  /**
   * Another isolate of the same Worker, as in another location: the same store, clock and bindings,
   * and nothing remembered of what this one has done. With `options` it has these settings instead.
   */
  elsewhere(options?: TestWorldOptions): TestWorld<T>;
}

type FetchHandler<Res> = (request: any, env: any, ctx: any) => Res | Promise<Res>;

/** What a request is made of, as for `new Request`; `cf` is what the platform adds to it. */
export interface TestRequestInit extends RequestInit {
  cf?: object;
}

/**
 * A browser that visits one site, `https://example.com`.
 *
 * It keeps cookies as RFC 6265bis says: until their `Max-Age` or `Expires` by the world's clock, sent
 * where their `Path`, `Secure` and `SameSite` let them (a request with `Sec-Fetch-Site: cross-site`
 * comes from another site), refused where the name's prefix wants attributes that they lack. It
 * follows no redirect.
 */
export interface TestBrowser<T extends Shape<T> = AnyData> {
  /**
   * Asks a Worker, with the world's `env`: an object with a method `fetch`, as a module exports it or
   * Hono makes it, or that function. Takes the cookies of the answer, and ends when all is done that
   * it left to `ctx.waitUntil`.
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
   * Handles a request without a Worker: loads the session, runs `handler` whatever was found, commits,
   * and takes the cookies. Gives what the handler returned; where that is a `Response`, with its
   * headers. What the handler or the commit fails with is thrown, and the handler's changes are
   * dropped.
   * ```js
   * const views = await browser.handle((session) => session.get("views"));
   * ```
   */
  handle<R>(handler: (session: SessionStore<T>, request: Request) => R | Promise<R>, path?: string, init?: TestRequestInit): Promise<R>;
  /** A request with the cookies, for a framework that is asked in another way. A Cookie header in `init` goes first. */
  request(path?: string, init?: TestRequestInit): Request;
  /** Takes the cookies of such an answer, and gives it back. */
  receive<Res extends { readonly headers: object }>(response: Res, path?: string): Res;
  /** Names and values of the cookies that it has now. */
  readonly cookies: Record<string, string>;
  /** What it was sent and did not take, with the reason. */
  readonly refused: { line: string; why: string }[];
  /** Takes the cookies of a name away. */
  removeCookie(name: string): void;
  /** Another browser with a copy of every cookie: a thief, or a backup that was played back. */
  copy(): TestBrowser<T>;
  /** Closes the browser and opens it again: cookies without an end of their own are gone. */
  close(): void;
  /** From now on its requests reach another world, one made by `elsewhere`. */
  goTo(world: TestWorld<T>): void;
}

/**
 * Memory as one location sees it, which fails, loses or lags on demand, and counts what is asked.
 * `times` may be `Infinity`. The package tries an operation three times while the store is
 * unavailable, so that one failure in a row is not seen by the application.
 */
export interface TestStore extends MemoryConnector {
  /** Every operation fails until `recover`, at every location. */
  outage(): void;
  /** The next reads fail. */
  failReads(times: number): void;
  /** The next puts fail, and store nothing. */
  failPuts(times: number): void;
  /** The next puts are refused as too many: Workers KV takes one write a second to a key. */
  rateLimitPuts(times: number): void;
  /** The next puts are carried out, and their answers are lost: they count as failed. */
  losePutAnswers(times: number): void;
  /** The next puts are acknowledged, and lost: nobody ever sees them. */
  losePuts(times: number): void;
  /** Operations go well again: an outage is over, and failures to come are forgotten. */
  recover(): void;
  /**
   * From now on this location hears of no write, not of its own either: reads and lists are answered
   * with what the store holds at this moment, until `catchUp`. Writes go on to reach the store.
   */
  lag(): void;
  /** This location hears of every write again. */
  catchUp(): void;
  /** The keys that are in the store now, in byte order, whether or not this location lags. */
  readonly keys: string[];
}

// What has no `export` above is no part of the interface; without this line all of it would be.
export {};
