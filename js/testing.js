// Test helpers for applications: sessions in memory with a clock that the test moves, browsers with a
// cookie jar, and a store that fails on demand.

import { ManualClock, MemoryConnector, SessionError, Sessions } from "edge-session";
import { CookieJar } from "./cookie-jar.js";

const { run, isResponse } = Sessions[Symbol.for("edge-session.adapter")];

/** The time at which every world starts. */
const START = Date.UTC(2027, 0, 15, 8);
const ORIGIN = "https://example.com";
/** Keys on one page of a listing, as in Workers KV. */
const PAGE_SIZE = 1000;

const UNITS = { milliseconds: 1, seconds: 1_000, minutes: 60_000, hours: 3_600_000, days: 86_400_000 };

/** An isolated world for one test: sessions, their store, and one clock for both. */
export function testWorld(options = {}) {
  if (options.clock !== undefined) {
    throw new SessionError("config", "testWorld has its own clock: move it with world.advance({ seconds: 60 })");
  }
  const clock = new WorldClock(START);
  const { secret = crypto.randomUUID(), ...settings } = options;
  return new World(new TestStore(clock), secret, settings);
}

/** A wait does not take time: it moves the clock. */
class WorldClock extends ManualClock {
  sleep(milliseconds) {
    this.advance(milliseconds);
  }
}

class World {
  #secret;
  #settings;

  constructor(store, secret, settings, env = {}) {
    this.#secret = secret;
    this.#settings = settings;
    this.clock = store.clock;
    this.store = store;
    this.env = { ...env, ...variables(settings), SESSIONS: store, SESSION_SECRET: [secret].flat().join(",") };
    this.sessions = new Sessions(store, { secret, ...settings });
  }

  advance(time) {
    const parts = typeof time === "object" && time !== null ? Object.entries(time) : [[String(time)]];
    const wrong = parts.find(([unit, amount]) => !Object.hasOwn(UNITS, unit) || !Number.isFinite(amount));
    if (wrong) {
      const [given, amount] = wrong;
      const what = amount === undefined ? given : `${given}: ${amount}`;
      throw new SessionError("invalid_value", `advance was passed ${what}: pass an object with numbers of ${Object.keys(UNITS).join(", ")}`);
    }
    for (const [unit, amount] of parts) this.clock.advance(amount * UNITS[unit]);
  }

  browser() {
    return new Browser(this, new CookieJar(() => this.clock.now()));
  }

  elsewhere(options) {
    const store = this.store.elsewhere();
    if (options === undefined) return new World(store, this.#secret, this.#settings, this.env);
    const { secret = this.#secret, ...settings } = options;
    const own = Object.entries(this.env).filter(([name]) => !Object.hasOwn(variables(this.#settings), name));
    return new World(store, secret, settings, Object.fromEntries(own));
  }
}

/** The settings as variables, for a Worker that calls `Sessions.fromEnv`. */
function variables({ onEvent, ...settings }) {
  const name = (option) =>
    option === "cookieSameSite" ? "SESSION_COOKIE_SAMESITE" : `SESSION_${option.replace(/[A-Z]/g, "_$&").toUpperCase()}`;
  return Object.fromEntries(Object.entries(settings).map(([option, value]) => [name(option), value]));
}

class Browser {
  #world;
  #jar;

  constructor(world, jar) {
    this.#world = world;
    this.#jar = jar;
  }

  async fetch(worker, path = "/", init = {}) {
    const fetch = typeof worker === "function" ? worker : worker?.fetch?.bind(worker);
    if (typeof fetch !== "function") {
      throw new SessionError("invalid_value", "browser.fetch takes an object with a method fetch, or a function");
    }
    const context = new Context();
    const response = this.receive(await fetch(this.request(path, init), this.#world.env, context), path);
    await context.end();
    return response;
  }

  async handle(handler, path = "/", init = {}) {
    const context = new Context();
    let [returned, thrown, refused] = [];
    const page = async (session, request) => {
      try {
        returned = { value: await handler(session, request) };
      } catch (error) {
        thrown = { error };
        throw error;
      }
      return isResponse(returned.value) ? returned.value : new Response(null, { status: 204 });
    };
    const refuse = (error, put) => {
      refused = { error };
      return put(error.toResponse());
    };
    const response = await run(this.#world.sessions, this.request(path, init), context, page, { refuse });
    this.receive(response, path);
    await context.end();
    if (refused) throw (thrown ?? refused).error;
    return !returned || isResponse(returned.value) ? response : returned.value;
  }

  request(path = "/", { cf, ...init } = {}) {
    const url = new URL(path, ORIGIN);
    const headers = new Headers(init.headers);
    const { method = "GET" } = init;
    const cookie = this.#jar.header(url.pathname, {
      method: method.toUpperCase(),
      from: headers.get("sec-fetch-site"),
      isSecure: url.protocol === "https:",
    });
    if (cookie !== "" && !headers.has("cookie")) headers.set("cookie", cookie);
    const request = new Request(url, { redirect: "manual", ...init, headers });
    if (cf !== undefined) Object.defineProperty(request, "cf", { value: cf });
    return request;
  }

  receive(response, path = "/") {
    const { pathname, protocol } = new URL(path, ORIGIN);
    const isSecure = protocol === "https:";
    for (const line of response.headers.getSetCookie()) this.#jar.receive(line, { path: pathname, isSecure });
    return response;
  }

  get cookies() {
    return Object.fromEntries(this.#jar.live.map(({ name, value }) => [name, value]));
  }

  get refused() {
    return this.#jar.refused.map((one) => ({ ...one }));
  }

  removeCookie(name) {
    this.#jar.remove(name);
  }

  copy() {
    return new Browser(this.#world, this.#jar.copy());
  }

  close() {
    this.#jar.close();
  }

  goTo(world) {
    this.#world = world;
  }
}

/** The `ctx` of a fetch handler. */
class Context {
  #work = [];
  props = {};

  waitUntil(promise) {
    this.#work.push(promise);
  }

  passThroughOnException() {}

  /** Waits for the work passed to `waitUntil`, and throws if any of it failed. */
  async end() {
    while (this.#work.length > 0) {
      const settled = await Promise.allSettled(this.#work.splice(0));
      const failed = settled.find(({ status }) => status === "rejected");
      if (failed) throw failed.reason;
    }
  }
}

const OPERATIONS = ["read", "put", "delete", "list"];

/** A store in memory, as one location sees it. Locations share the entries; each may lag behind. */
class TestStore extends MemoryConnector {
  #shared;
  /** The entries that this location reads while it lags. */
  #picture = null;
  #counts = none();

  constructor(clock, shared = { entries: new Map(), faults: [] }) {
    super({ clock });
    this.#shared = shared;
  }

  elsewhere() {
    return new TestStore(this.clock, this.#shared);
  }

  outage() {
    for (const operation of OPERATIONS) this.#tell(operation, "unavailable", Infinity);
  }

  failReads(times) {
    this.#tell("read", "unavailable", times);
  }

  failPuts(times) {
    this.#tell("put", "unavailable", times);
  }

  rateLimitPuts(times) {
    this.#tell("put", "rate_limited", times);
  }

  losePutAnswers(times) {
    this.#tell("put", "answer lost", times);
  }

  losePuts(times) {
    this.#tell("put", "write lost", times);
  }

  recover() {
    this.#shared.faults.length = 0;
  }

  lag() {
    this.#picture = new Map(this.#shared.entries);
  }

  catchUp() {
    this.#picture = null;
  }

  get operations() {
    return { ...this.#counts };
  }

  resetOperations() {
    // The constructor of the base class calls this before the field exists.
    if (#counts in this) this.#counts = none();
  }

  get keys() {
    return this.#names(this.#shared.entries);
  }

  get size() {
    return this.keys.length;
  }

  async read(keys) {
    this.#counts.reads += 1;
    this.#counts.keysRead += keys.length;
    this.#fail(this.#fault("read"));
    const entries = this.#picture ?? this.#shared.entries;
    return keys.map((key) => (this.#isLive(entries.get(key)) ? entries.get(key).value : null));
  }

  async put(key, value, { ttl = Infinity, metadata } = {}) {
    this.#counts.puts += 1;
    const fault = this.#fault("put");
    if (fault === undefined || fault === "answer lost") {
      this.#shared.entries.set(key, { value, metadata, end: this.clock.now() + ttl * 1000 });
    }
    if (fault !== "write lost") this.#fail(fault);
  }

  async delete(key) {
    this.#counts.deletes += 1;
    this.#fail(this.#fault("delete"));
    this.#shared.entries.delete(key);
  }

  async list({ prefix = "", cursor = "" } = {}) {
    this.#counts.lists += 1;
    this.#fail(this.#fault("list"));
    const entries = this.#picture ?? this.#shared.entries;
    const names = this.#names(entries).filter((name) => name.startsWith(prefix) && name > cursor);
    const keys = names.slice(0, PAGE_SIZE).map((name) => ({ name, metadata: entries.get(name).metadata }));
    return { keys, cursor: names.length > keys.length ? keys.at(-1).name : undefined };
  }

  #isLive(entry) {
    return entry !== undefined && this.clock.now() < entry.end;
  }

  #names(entries) {
    return [...entries.keys()].filter((key) => this.#isLive(entries.get(key))).sort(); // keys are ASCII
  }

  #tell(operation, kind, left) {
    if (left !== Infinity && !Number.isInteger(left)) {
      throw new SessionError("invalid_value", "pass the number of times: a whole number, or Infinity to fail until recover()");
    }
    this.#shared.faults.push({ operation, kind, left });
  }

  /** The kind of fault that this operation meets, if any. */
  #fault(operation) {
    const fault = this.#shared.faults.find((one) => one.operation === operation && one.left > 0);
    if (fault) fault.left -= 1;
    return fault?.kind;
  }

  #fail(kind) {
    if (kind === undefined) return;
    const code = kind === "rate_limited" ? kind : "unavailable";
    throw Object.assign(new Error("failure requested by the test"), { code });
  }
}

function none() {
  return { reads: 0, keysRead: 0, puts: 0, deletes: 0, lists: 0 };
}
