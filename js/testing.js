// What an application tests with: sessions in memory on a clock that a test moves, browsers that keep
// cookies by the rules, and a store that fails on demand.

import { ManualClock, MemoryConnector, SessionError, Sessions } from "edge-session";
import { CookieJar } from "./cookie-jar.js";

const { run, isResponse } = Sessions[Symbol.for("edge-session.adapter")];

/** When every world begins. */
const START = Date.UTC(2027, 0, 15, 8);
const ORIGIN = "https://example.com";
/** Keys on one page of a listing, as in Workers KV. */
const PAGE_SIZE = 1000;

const UNITS = { milliseconds: 1, seconds: 1_000, minutes: 60_000, hours: 3_600_000, days: 86_400_000 };

/** A Worker of its own: sessions, the store that keeps them, and one clock for both. */
export function testWorld(options = {}) {
  if (options.clock !== undefined) {
    throw new SessionError("config", "testWorld: it has a clock of its own; move it with world.advance({ seconds: 60 })");
  }
  const clock = new WorldClock(START);
  const { secret = crypto.randomUUID(), ...settings } = options;
  return new World(new TestStore(clock), secret, settings);
}

/** Whoever waits moves it. */
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
      throw new SessionError("invalid_value", `advance was given ${what}: give numbers of { ${Object.keys(UNITS).join(", ")} }`);
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

/** Settings as `[vars]` has them, for what reads its environment. */
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
      throw new SessionError("invalid_value", "fetch takes a Worker, an object with a method fetch, or that function");
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

/** What a fetch handler is given beside its request and environment. */
class Context {
  #work = [];
  props = {};

  waitUntil(promise) {
    this.#work.push(promise);
  }

  passThroughOnException() {}

  /** Ends when all is done that outlives the answer. What fails there fails the test. */
  async end() {
    while (this.#work.length > 0) {
      const settled = await Promise.allSettled(this.#work.splice(0));
      const failed = settled.find(({ status }) => status === "rejected");
      if (failed) throw failed.reason;
    }
  }
}

const OPERATIONS = ["read", "put", "delete", "list"];

/** A memory that several locations share: what each sees of it may be old. */
class TestStore extends MemoryConnector {
  #shared;
  /** What this location answers from while it lags. */
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
    // The class above calls it before there is anything to reset.
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
      throw new SessionError("invalid_value", "say how many times: a whole number, or Infinity until recover()");
    }
    this.#shared.faults.push({ operation, kind, left });
  }

  /** What goes wrong with this operation. */
  #fault(operation) {
    const fault = this.#shared.faults.find((one) => one.operation === operation && one.left > 0);
    if (fault) fault.left -= 1;
    return fault?.kind;
  }

  #fail(kind) {
    if (kind === undefined) return;
    const code = kind === "rate_limited" ? kind : "unavailable";
    throw Object.assign(new Error("the test says so"), { code });
  }
}

function none() {
  return { reads: 0, keysRead: 0, puts: 0, deletes: 0, lists: 0 };
}
