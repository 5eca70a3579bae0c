// Configurations: one core object for each, however often `new Sessions` says the same.

import { begin, configure, dice, release, stats } from "./core.js";
import { drive, hear } from "./driver.js";
import { fromCore, sessionError } from "./errors.js";
import { MemoryConnector, portTo } from "./connector.js";

// What is known of a connector goes with it.
const known = new WeakMap();
const byEnv = new WeakMap();

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

/** What the core remembers of one connector, by its number: made with the first realm's core, freed with the last's. */
class CoreMemory {
  #number = 0;
  #users = 0;

  /** A core of this memory; `make` makes it, and the memory where there is none. */
  take(make) {
    const made = make(this.#number);
    if (this.#users === 0) connectors += 1;
    this.#users += 1;
    this.#number = made.isolate;
    return made;
  }

  leave() {
    this.#users -= 1;
    if (this.#users > 0) return;
    connectors -= 1;
    release(this.#number);
    this.#number = 0;
  }
}

/** The core object of a realm, by its number. */
class Core {
  #number = 0;
  #memory;
  #realm;

  constructor(memory, realm) {
    this.#memory = memory;
    this.#realm = new WeakRef(realm);
  }

  /** The number; `make` makes the object, at first and after it was dropped. */
  get(make) {
    if (this.#number === 0) this.#number = this.#memory.take(make).realm;
    if (usedLast !== this) {
      cores.delete(this);
      cores.add((usedLast = this));
      if (cores.size > MOST_CORES) cores.values().next().value.#drop();
    }
    return this.#number;
  }

  #drop() {
    cores.delete(this);
    // Sessions that are open have what they need of it.
    release(this.#number);
    this.#number = 0;
    this.#memory.leave();
    this.#realm.deref()?.unlist();
  }
}

/** One configuration of sessions on one connector. */
class Realm {
  /** The sessions whose handlers are under way, where requests are timed. */
  handled = new Set();
  #kept;
  /** What decides which sessions it reads and which cookies it sets, beside the connector. */
  #identity;
  #make;
  #listed;
  clock;

  constructor(connector, name, known, secret, { settings, kinds }, variables, clock) {
    // Kept here, for as long as anything of this configuration is used.
    this.connector = connector;
    this.counts = known.counts;
    this.port = portTo(connector, name);
    this.clock = clock ?? Date;
    this.#listed = known.realms;
    const { isKv, kind } = this.port;
    this.#make = (isolate) => {
      const told = hear(configure({ isolate, isKv, kind, secret, settings, kinds, variables }), this);
      if (told.error) throw fromCore(told.error);
      // What is to be known of the settings: `settings` of src/face/js/wire.rs. It stays the same.
      if (this.nothing === undefined) Object.assign(this, told.done);
      return told.done;
    };
    this.#kept = new Core(known.memory, this);
    this.#kept.get(this.#make);
    const secrets = secret.split(",").map((one) => one.trim());
    this.#identity = JSON.stringify([kind, this.keyPrefix, this.cookieName, secrets]);
  }

  /** The core's number for it. */
  get core() {
    return this.#kept.get(this.#make);
  }

  /** True for one that reads the same sessions and sets the same cookies, however its settings are written. */
  isSame(other) {
    return this === other || (this.connector === other.connector && this.#identity === other.#identity);
  }

  /** Who asks for the same configuration again gets another realm. */
  unlist() {
    const place = this.#listed.findIndex(({ realm }) => realm === this);
    if (place >= 0) this.#listed.splice(place, 1);
  }

  /** The instant that the clock shows, which is refused where it is not one. */
  now() {
    return read(this.clock);
  }

  /** The same in the middle of a step, which a clock that fails does not stop. */
  instant() {
    try {
      return this.now();
    } catch {
      return Date.now();
    }
  }

  stats() {
    const told = stats(this.core);
    told.requests += this.counts.requests;
    told.outcomes.new += this.counts.new;
    return told;
  }

  /**
   * An operation that is not one of a session in a request: what it came to, or the promise of it.
   * `of` is the core's number of the session for whose request it counts, if that is known.
   */
  ask(operation, context, of) {
    operation.of = of;
    const world = { realm: this, context, causes: [], mints: true };
    const told = hear(begin(this.core, 0, operation, undefined, undefined, this.now(), dice()), world);
    const end = ({ error, done }) => {
      if (error) throw fromCore(error, world.causes);
      return done;
    };
    return told.ask ? drive(told, told.handle, world).then(end) : end(told);
  }

  /** What is known now of a session that nobody has. */
  nobody() {
    return begin(this.core, 0, { op: "look", loaded: true }, undefined, undefined, this.now()).session;
  }
}

/** The instant that a clock shows. By one that shows no number nothing would ever end. */
function read(clock) {
  const now = clock.now();
  if (typeof now === "number" && Number.isFinite(now)) return now;
  const what = typeof now === "number" ? String(now) : `a value of the type ${typeof now}`;
  throw sessionError("invalid_value", `the clock's now() returned ${what}: return milliseconds as a number`);
}

function realm(connector, name, secret, given, areVariables, clock) {
  let entry = known.get(connector);
  if (!entry) {
    portTo(connector, name); // before anything is kept under it
    known.set(connector, (entry = { memory: new CoreMemory(), realms: [], counts: { requests: 0, new: 0 } }));
  }
  const key = JSON.stringify([areVariables, secret, given]);
  let found = entry.realms.find((known) => known.key === key && known.clock === clock);
  if (!found) {
    const made = new Realm(connector, name, entry, secret, given, areVariables, clock);
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
    `edge-session: this isolate has been passed ${connectors} KV namespaces or connectors, and drops its memory of the least ` +
      "recently used ones when more come. Each object counts as a separate namespace, so a wrapper that is created for each " +
      "request has no memory of earlier requests. Create it once, at module scope or in a WeakMap keyed by " +
      "env, and pass the same object each time",
  );
}

/** What a setting can be given as; what it is, for an error, where it is something else. */
const SCALARS = new Set(["string", "number", "boolean", "bigint"]);

function kindOf(value) {
  if (value === null) return "null";
  if (Array.isArray(value)) return "an array";
  if (typeof value !== "object") return `a ${typeof value}`;
  // What is bound to a Worker has a class; JSON of `[vars]` has none.
  const prototype = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null ? "an object" : "a binding";
}

/** Settings as the core takes them: as texts, and what those are that cannot be. */
class Given {
  settings = {};
  kinds = undefined;

  add(name, value) {
    if (SCALARS.has(typeof value)) this.settings[name] = String(value);
    else (this.kinds ??= {})[name] = kindOf(value);
  }
}

/** Refuses what a function with these `names` of options would ignore; `advice` says where it belongs. */
export function checkOptions(options, names, what, advice) {
  if (typeof options !== "object" || options === null || Array.isArray(options)) {
    throw sessionError("config", `${what}: the options must be an object, not ${typeof options === "string" ? "a string" : kindOf(options)}`);
  }
  const unknown = Object.keys(options).find((name) => !names.includes(name) && options[name] !== undefined);
  if (unknown !== undefined) {
    throw sessionError("config", `${what} has no option ${unknown}; it takes ${names.join(" and ")}; ${advice}`);
  }
}

/** Options that are no settings. A sink of events is for each request anew. */
const OWN_OPTIONS = new Set(["secret", "clock", "onEvent"]);

/** The configuration that `new Sessions(connector, options)` asks for. */
export function realmOf(connector, options) {
  if (typeof options !== "object" || options === null) {
    throw sessionError("config", "options are missing: pass at least { secret: env.SESSION_SECRET }");
  }
  const { secret, clock } = options;
  if (connector === undefined && options.storage === "memory") connector = isolateMemory ??= new MemoryConnector();
  // Mostly it is what the last request said.
  const last = known.get(connector)?.last;
  if (last && saysTheSame(options, secret, clock, last)) return last.realm;
  const [names, values, given] = [[], [], new Given()];
  for (const name of Object.keys(options)) {
    if (OWN_OPTIONS.has(name)) continue;
    const value = options[name];
    names.push(name);
    values.push(value);
    if (value !== undefined) given.add(name, value);
  }
  if (clock !== undefined && typeof clock?.now !== "function") {
    throw sessionError("config", "clock: pass an object with a method now() that returns milliseconds");
  }
  const found = realm(
    connector,
    "the KV namespace or connector (the first argument, usually env.SESSIONS)",
    ring(secret, "secret", "pass env.SESSION_SECRET, and "),
    given,
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
    throw sessionError("missing_binding", "Sessions.fromEnv needs the env of the fetch handler");
  }
  let found = byEnv.get(env);
  if (!found) {
    const given = new Given();
    for (const [name, value] of Object.entries(env)) {
      // The core knows which of these are settings, or were meant to be: `SESION_SEAL`.
      if (/^ses/i.test(name) && name !== "SESSION_SECRET" && value !== undefined) given.add(name, value);
    }
    const secret = ring(env.SESSION_SECRET, "SESSION_SECRET", "");
    const connector = env.SESSION_STORAGE === "memory" ? (isolateMemory ??= new MemoryConnector()) : env.SESSIONS;
    found = realm(connector, "SESSIONS", secret, given, true, ownClock(connector));
    byEnv.set(env, found);
  }
  return found;
}

/** What takes events, each an object, where `onEvent` is given. */
export function sinkOf(onEvent) {
  if (onEvent === undefined || onEvent === null) return undefined;
  if (typeof onEvent !== "function") throw sessionError("config", "onEvent: pass a function that takes an event");
  return (event) => {
    try {
      onEvent(event);
    } catch (error) {
      // It is no part of the request.
      console.warn(`edge-session: onEvent failed: ${error?.message ?? error}`);
    }
  };
}

/** Takes events where the settings have them on the console, a line of JSON each. */
export const toConsole = (event) => console.log(JSON.stringify(event));

const ownClock = (connector) =>
  connector instanceof MemoryConnector && connector.clock !== Date ? connector.clock : undefined;

/** The text of a ring of secrets, given as `name`: an array as an option only. */
function ring(secret, name, advice) {
  if (secret === undefined || secret === null) {
    throw sessionError(
      "missing_binding",
      `${name}: the secret is not set; ${advice}create one with \`openssl rand -base64 32\` and store it with ` +
        "`npx wrangler secret put SESSION_SECRET`, or locally in .dev.vars",
    );
  }
  const isOption = name === "secret";
  const secrets = isOption && Array.isArray(secret) ? secret : [secret];
  if (!secrets.every((one) => typeof one === "string")) {
    const instead = isOption ? "a string, or an array of strings" : "a string, with commas between several secrets";
    throw sessionError("config", `${name}: it is not a string; use ${instead}`);
  }
  return secrets.join(",");
}
