// Configurations: one core object for each, however often `new Sessions` says the same.

import { newMemory, newRealm } from "./core.js";
import { call, sessionError } from "./errors.js";
import { MemoryConnector, portTo } from "./connector.js";

// What is known of a connector goes with it.
const known = new WeakMap();
const byEnv = new WeakMap();

// The order of `stats` in src/face/js/wire.rs.
const COUNTS =
  "requests tableLoads storeLoads reads keysRead puts deletes lists retries conflicts limitFailures tableEntries tableBytes wasmBytes".split(
    " ",
  );
const OUTCOMES =
  "new loaded rotated pending stale gone expired revoked rejected ambiguous corrupt unavailable".split(" ");

/** Where `storage: "memory"` keeps sessions: for development, since each isolate has its own. */
let isolateMemory;

/**
 * Core objects that are kept, of all the configurations that an isolate ever sees: a prefix for
 * each tenant is one each, and so is a KV namespace that is wrapped anew for each request. They
 * are freed from here, since garbage collection knows nothing of what they take in the wasm's
 * memory and comes late.
 */
const MOST_CORES = 100;
/** The one used last at the end. It keeps no realm and no connector from being collected. */
const cores = new Set();
let usedLast;
/** Connectors that have any. */
let connectors = 0;
let wasWarned = false;

/** What the core remembers of one connector: made when it is needed, freed with the last realm's core. */
class CoreMemory {
  #memory;
  #users = 0;

  take() {
    if (this.#users === 0) connectors += 1;
    this.#users += 1;
    return (this.#memory ??= newMemory());
  }

  leave() {
    this.#users -= 1;
    if (this.#users > 0) return;
    connectors -= 1;
    this.#memory.free();
    this.#memory = undefined;
  }
}

/** The core object of a realm. */
class Core {
  #object;
  #memory;
  #realm;

  constructor(memory, realm) {
    this.#memory = memory;
    this.#realm = new WeakRef(realm);
  }

  /** The object; `make` makes it, at first and after it was dropped. */
  get(make) {
    if (!this.#object) {
      const memory = this.#memory.take();
      try {
        this.#object = make(memory);
      } catch (error) {
        this.#memory.leave();
        throw error;
      }
    }
    if (usedLast !== this) {
      cores.delete(this);
      cores.add((usedLast = this));
      if (cores.size > MOST_CORES) cores.values().next().value.#drop();
    }
    return this.#object;
  }

  #drop() {
    cores.delete(this);
    // Sessions that are open have what they need of it.
    this.#object.free();
    this.#object = undefined;
    this.#memory.leave();
    this.#realm.deref()?.unlist();
  }
}

/** One configuration of sessions on one connector. */
class Realm {
  #kept;
  #make;
  #listed;
  #clock;

  constructor(connector, name, known, secret, settings, areVariables, clock) {
    // Kept here, for as long as anything of this configuration is used.
    this.connector = connector;
    this.counts = known.counts;
    this.#clock = clock ?? Date;
    this.#listed = known.realms;
    this.#make = (memory) =>
      call(() => newRealm(portTo(connector, name), memory, secret, settings, areVariables, clock));
    this.#kept = new Core(known.memory, this);
    const [maxDepth, maxKeyBytes, stalenessBound, ...flags] = JSON.parse(this.#core.facts());
    const [disableWarnings, serverTiming] = flags.map((flag) => flag === 1);
    this.limits = { maxDepth, maxKeyBytes };
    this.stalenessBound = stalenessBound;
    this.disableWarnings = disableWarnings;
    this.serverTiming = serverTiming;
  }

  get #core() {
    return this.#kept.get(this.#make);
  }

  /** Who asks for the same configuration again gets another realm. */
  unlist() {
    const place = this.#listed.findIndex(({ realm }) => realm === this);
    if (place >= 0) this.#listed.splice(place, 1);
  }

  now() {
    return read(this.#clock);
  }

  open(cookie, request, context, sink) {
    this.#checkClock();
    return this.#core.open(cookie ?? undefined, request ?? undefined, context ?? undefined, sink);
  }

  stats() {
    const numbers = JSON.parse(this.#core.stats()).slice(1);
    const read = (names) => Object.fromEntries(numbers.splice(0, names.length).map((number, i) => [names[i], number]));
    const stats = { ...read(COUNTS), outcomes: read(OUTCOMES) };
    stats.requests += this.counts.requests;
    stats.outcomes.new += this.counts.new;
    return stats;
  }

  /** A clock of the application's is looked at before the core goes by it. */
  #checkClock() {
    if (this.#clock !== Date) read(this.#clock);
  }

  list(owner) {
    this.#checkClock();
    return this.#core.list(owner);
  }

  revoke(owner, key) {
    this.#checkClock();
    return this.#core.revoke(owner, key);
  }

  revokeAll(owner, except) {
    this.#checkClock();
    return this.#core.revokeAll(owner, except);
  }
}

/** The instant that a clock shows. By one that shows no number nothing would ever end. */
function read(clock) {
  const now = clock.now();
  if (typeof now === "number" && Number.isFinite(now)) return now;
  const what = typeof now === "number" ? String(now) : `a value of the type ${typeof now}`;
  throw sessionError("invalid_value", `the clock's now() answered ${what}: give milliseconds as a number`);
}

function realm(connector, name, secret, settings, areVariables, clock) {
  let entry = known.get(connector);
  if (!entry) {
    portTo(connector, name); // before anything is kept under it
    known.set(connector, (entry = { memory: new CoreMemory(), realms: [], counts: { requests: 0, new: 0 } }));
  }
  const key = `${areVariables}\n${secret}\n${settings.join("\n")}`;
  let found = entry.realms.find((known) => known.key === key && known.clock === clock);
  if (!found) {
    const made = new Realm(connector, name, entry, secret, settings, areVariables, clock);
    entry.realms.push((found = { key, clock, realm: made }));
    warnOfConnectors(made);
  }
  return found.realm;
}

/** Says once that connectors come and go: where most configurations have one of their own. */
function warnOfConnectors({ disableWarnings }) {
  if (cores.size < MOST_CORES || connectors <= MOST_CORES / 2 || wasWarned || disableWarnings) return;
  wasWarned = true;
  console.warn(
    `edge-session: this isolate was given ${connectors} KV namespaces or connectors, and forgets those used longest ` +
      "ago when more come. Each object counts as a namespace of its own: a wrapper that is made anew for each " +
      "request remembers nothing from one request to the next. Make it once, at module scope or in a WeakMap by " +
      "env, and pass the same object each time",
  );
}

/** Options that are no settings. A sink of events is for each request anew. */
const OWN_OPTIONS = new Set(["secret", "clock", "onEvent"]);

/** The configuration that `new Sessions(connector, options)` asks for. */
export function realmOf(connector, options) {
  if (typeof options !== "object" || options === null) {
    throw sessionError("config", "options are missing: give at least { secret: env.SESSION_SECRET }");
  }
  const { secret, clock } = options;
  if (connector === undefined && options.storage === "memory") connector = isolateMemory ??= new MemoryConnector();
  // Mostly it is what the last request said.
  const last = known.get(connector)?.last;
  if (last && saysTheSame(options, secret, clock, last)) return last.realm;
  const [names, values, settings] = [[], [], []];
  for (const name of Object.keys(options)) {
    if (OWN_OPTIONS.has(name)) continue;
    const value = options[name];
    names.push(name);
    values.push(value);
    if (value === undefined) continue;
    if (value === null || typeof value === "object" || typeof value === "function") {
      throw sessionError("config", `${name}: give text, a number, true or false`);
    }
    settings.push(name, String(value));
  }
  if (clock !== undefined && typeof clock?.now !== "function") {
    throw sessionError("config", "clock: give an object with a method now(), in milliseconds");
  }
  const found = realm(
    connector,
    "the KV namespace or connector (the first argument, usually env.SESSIONS)",
    ring(secret, "the option secret"),
    settings,
    false,
    clock ?? ownClock(connector),
  );
  // What may be another the next time, though it is the same object: a list of secrets, the clock
  // of a connector in memory.
  if (typeof secret === "string" && !(connector instanceof MemoryConnector)) {
    known.get(connector).last = { names, values, secret, clock, realm: found };
  }
  return found;
}

/** True where options, read as they are above, are those of `last`. */
function saysTheSame(options, secret, clock, last) {
  if (secret !== last.secret || clock !== last.clock) return false;
  let count = 0;
  for (const name of Object.keys(options)) {
    if (OWN_OPTIONS.has(name)) continue;
    if (name !== last.names[count] || options[name] !== last.values[count]) return false;
    count += 1;
  }
  return count === last.names.length;
}

/** The configuration that a Worker's environment describes. */
export function realmOfEnv(env) {
  if (typeof env !== "object" || env === null) {
    throw sessionError("missing_binding", "Sessions.fromEnv takes the env of the fetch handler");
  }
  let found = byEnv.get(env);
  if (!found) {
    const settings = [];
    for (const [name, value] of Object.entries(env)) {
      if (name.startsWith("SESSION_") && name !== "SESSION_SECRET" && typeof value === "string") {
        settings.push(name, value);
      }
    }
    const secret = ring(env.SESSION_SECRET, "the secret SESSION_SECRET");
    const connector = env.SESSION_STORAGE === "memory" ? (isolateMemory ??= new MemoryConnector()) : env.SESSIONS;
    found = realm(connector, "SESSIONS", secret, settings, true, undefined);
    byEnv.set(env, found);
  }
  return found;
}

/** What the core tells events to, a line of JSON each, where `onEvent` is given. */
export function sinkOf(onEvent) {
  if (onEvent === undefined || onEvent === null) return undefined;
  if (typeof onEvent !== "function") throw sessionError("config", "onEvent: give a function that takes an event");
  return (line) => {
    try {
      onEvent(JSON.parse(line));
    } catch (error) {
      // It is no part of the request.
      console.warn(`edge-session: onEvent failed: ${error?.message ?? error}`);
    }
  };
}

const ownClock = (connector) =>
  connector instanceof MemoryConnector && connector.clock !== Date ? connector.clock : undefined;

function ring(secret, name) {
  if (secret === undefined || secret === null) {
    throw sessionError(
      "missing_binding",
      `${name} is not set: put one with \`npx wrangler secret put SESSION_SECRET\`, or locally into .dev.vars`,
    );
  }
  const secrets = Array.isArray(secret) ? secret : [secret];
  if (!secrets.every((one) => typeof one === "string")) {
    throw sessionError("config", `${name} is no text`);
  }
  return secrets.join(",");
}
