// Configurations. Each one has one core object, however often `new Sessions` is called with it.

import { begin, configure, dice, release, stats, unwatch, watch } from "./core.js";
import { ENDS_SESSIONS, drive, hear } from "./driver.js";
import { fromCore, sessionError } from "./errors.js";
import { MemoryConnector, StrongMemory, portTo } from "./connector.js";
import { isObjectNamespace } from "./object-connector.js";
import { TimeLimit } from "./time-limit.js";

// By connector and by environment, without keeping either alive.
const known = new WeakMap();
const byEnv = new WeakMap();

/** Where `storage: "memory"` keeps sessions: for development, since each isolate has its own. */
let isolateMemory;

/**
 * The most core objects that an isolate keeps. Each configuration has one, for example each tenant
 * with its own prefix, or each wrapper around a KV namespace. They are freed here, because garbage
 * collection is late and does not see the wasm memory that they use.
 */
const MOST_CORES = 100;
/** The most recently used one is last. This set does not keep configurations or connectors alive. */
const cores = new Set();
let usedLast;
/** The number of connectors that have core objects. */
let connectors = 0;
let wasWarned = false;

/**
 * The number of the core's memory for one connector. It is created with the first core object of the
 * connector and freed with the last.
 */
class CoreMemory {
  #number = 0;
  #users = 0;

  /** A new core object with this memory. `make` creates it, and the memory too if there is none. */
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

/** The number of a configuration's core object. */
class Core {
  #number = 0;
  #memory;
  #config;

  constructor(memory, config) {
    this.#memory = memory;
    this.#config = new WeakRef(config);
  }

  /** The number. `make` creates the object, the first time and after it was dropped. */
  get(make) {
    if (this.#number === 0) this.#number = this.#memory.take(make).config;
    if (usedLast !== this) {
      cores.delete(this);
      cores.add((usedLast = this));
      if (cores.size > MOST_CORES) cores.values().next().value.#drop();
    }
    return this.#number;
  }

  #drop() {
    cores.delete(this);
    // Open sessions hold the parts that they need.
    release(this.#number);
    this.#number = 0;
    this.#memory.leave();
    this.#config.deref()?.unlist();
  }
}

/** One configuration of sessions on one connector. */
class Config {
  /** Weak references to the sessions whose handlers are running. */
  handled = new Set();
  #kept;
  /** Besides the connector, this decides which sessions are read and which cookies are set. */
  #identity;
  #make;
  #listed;
  #areVariables;
  clock;

  constructor(connector, name, known, secret, { settings, kinds }, variables, clock) {
    // Keeps the connector alive as long as this configuration is used.
    this.connector = connector;
    this.counts = known.counts;
    this.port = portTo(connector, name, placeOf(settings, variables));
    this.clock = clock ?? Date;
    this.#listed = known.configs;
    this.#areVariables = variables;
    const { isKv, isStrong, kind } = this.port;
    this.#make = (isolate) => {
      const told = hear(configure({ isolate, isKv, isStrong, kind, secret, settings, kinds, variables }), this);
      if (told.error) throw fromCore(told.error);
      // The settings that JavaScript needs: `settings` in src/face/js/wire.rs. They never change.
      if (this.nothing === undefined) Object.assign(this, told.done);
      return told.done;
    };
    this.#kept = new Core(known.memory, this);
    this.#kept.get(this.#make);
    const secrets = secret.split(",").map((one) => one.trim());
    this.#identity = JSON.stringify([kind, this.keyPrefix, this.cookieName, secrets]);
  }

  /** The number of its core object. */
  get core() {
    return this.#kept.get(this.#make);
  }

  /** True if `other` reads the same sessions and sets the same cookies, however its settings are written. */
  isSame(other) {
    return this === other || (this.connector === other.connector && this.#identity === other.#identity);
  }

  /** From now on, another object is created for the same settings. */
  unlist() {
    const place = this.#listed.findIndex(({ config }) => config === this);
    if (place >= 0) this.#listed.splice(place, 1);
  }

  /** What the caller calls a setting: a variable or an option. */
  nameOf(variable, option) {
    return this.#areVariables ? variable : option;
  }

  /** The time of the clock. Throws if the clock does not return a number. */
  now() {
    return read(this.clock);
  }

  /** The same during a step, which continues with the real time if the clock fails. */
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
   * Runs an operation that does not belong to a session. Returns its result, or a promise of it. `of`
   * is the core's number of the session whose request it counts for, if known.
   */
  ask(operation, context, of) {
    operation.of = of;
    const limit = new TimeLimit(this);
    const isEnd = ENDS_SESSIONS.has(operation.op);
    const world = { config: this, limit, context, causes: [], mints: true, isEnd };
    const told = hear(begin(this.core, 0, operation, undefined, undefined, this.now(), dice()), world);
    const end = ({ error, done }) => {
      if (error) throw fromCore(error, world.causes);
      return done;
    };
    if (!told.ask) return end(told);
    // A browser that goes away may end the request while this waits. Nothing runs then, not even `finally`.
    watch(limit, told.handle);
    const ended = () => {
      unwatch(limit);
      limit.stop();
    };
    return drive(told, told.handle, world).then(end).finally(ended);
  }

  /** The current details of a session without a cookie. */
  nobody() {
    const { session } = begin(this.core, 0, { op: "look", loaded: true }, undefined, undefined, this.now());
    return JSON.parse(session.details);
  }
}

/** The time of a clock. Without a number, no session would ever expire. */
function read(clock) {
  const now = clock.now();
  if (typeof now === "number" && Number.isFinite(now)) return now;
  const what = typeof now === "number" ? String(now) : `a value of the type ${typeof now}`;
  throw sessionError("invalid_value", `the clock's now() returned ${what}: return milliseconds as a number`);
}

/** Where Durable Objects are to be. The core checks the values. */
function placeOf(settings, areVariables) {
  return areVariables
    ? { locationHint: settings.SESSION_LOCATION_HINT, jurisdiction: settings.SESSION_JURISDICTION }
    : { locationHint: settings.locationHint, jurisdiction: settings.jurisdiction };
}

/** A namespace of Durable Objects is recognised. The setting for the store must agree with it. */
function matchStorage(connector, name, given, areVariables) {
  const setting = areVariables ? "SESSION_STORAGE" : "storage";
  const storage = given.settings[setting];
  const wantsObjects = storage === "durable_object";
  if (isObjectNamespace(connector)) {
    if (storage === undefined && !areVariables) given.settings[setting] = "durable_object";
    else if (storage === undefined || storage === "kv" || storage === "memory") {
      const advice = areVariables ? "bind it as SESSION_OBJECTS and set SESSION_STORAGE to durable_object" : "leave storage out, or use durable_object";
      throw sessionError("config", `${name} is a namespace of Durable Objects: ${advice}`);
    }
  } else if (wantsObjects && (connector === undefined || connector === null)) {
    const binding = areVariables ? "under that name" : "as SESSION_OBJECTS, and pass env.SESSION_OBJECTS";
    throw sessionError(
      "missing_binding",
      `${areVariables ? name : "the store"} is not bound: ${setting} is durable_object, so bind the Durable Object class SessionObject ${binding}`,
    );
  } else if (wantsObjects) {
    throw sessionError("config", `${setting}: durable_object needs a namespace of Durable Objects, and ${name} is not one`);
  }
}

function configFor(connector, name, secret, given, areVariables, clock) {
  matchStorage(connector, name, given, areVariables);
  let entry = known.get(connector);
  if (!entry) {
    // A mistake in the settings may be the reason why the store is missing.
    if (connector === undefined || connector === null) checkSettings(secret, given, areVariables);
    portTo(connector, name, {}); // throws before anything is stored
    known.set(connector, (entry = { memory: new CoreMemory(), configs: [], counts: { requests: 0, new: 0 } }));
  }
  const key = JSON.stringify([areVariables, secret, given]);
  let found = entry.configs.find((known) => known.key === key && known.clock === clock);
  if (!found) {
    const made = new Config(connector, name, entry, secret, given, areVariables, clock);
    entry.configs.push((found = { key, clock, config: made }));
    warnOfConnectors(made);
  }
  return found.config;
}

/** Throws if the core refuses the settings, whatever the store. */
function checkSettings(secret, { settings, kinds }, variables) {
  const told = configure({ isolate: 0, isKv: true, isStrong: false, kind: "kv", secret, settings, kinds, variables });
  if (told.error) throw fromCore(told.error);
  release(told.done.config);
  release(told.done.isolate);
}

/** Warns once if most configurations have their own connector, which suggests a wrapper for each request. */
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

/** The types that a setting may have. */
const SCALARS = new Set(["string", "number", "boolean", "bigint"]);

function kindOf(value) {
  if (value === null) return "null";
  if (Array.isArray(value)) return "an array";
  if (typeof value !== "object") return `a ${typeof value}`;
  // Bindings are instances of a class; JSON from `[vars]` is not.
  const prototype = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null ? "an object" : "a binding";
}

/** Settings in the form that the core expects: strings, and the kinds of values of another type. */
class Given {
  settings = {};
  kinds = undefined;

  add(name, value) {
    if (SCALARS.has(typeof value)) this.settings[name] = String(value);
    else (this.kinds ??= {})[name] = kindOf(value);
  }
}

/** Refuses options other than `names`, which would be ignored. `advice` says where to put them. */
export function checkOptions(options, names, what, advice, code = "config") {
  if (typeof options !== "object" || options === null || Array.isArray(options)) {
    throw sessionError(code, `${what}: the options must be an object, not ${typeof options === "string" ? "a string" : kindOf(options)}`);
  }
  const unknown = Object.keys(options).find((name) => !names.includes(name) && options[name] !== undefined);
  if (unknown !== undefined) {
    throw sessionError(code, `${what} has no option ${unknown}; it takes ${names.join(" and ")}${advice}`);
  }
}

/** The same for the options of a method. Returns them. */
export function checkCall(options, what, ...names) {
  checkOptions(options, names, what, "", "invalid_value");
  return options;
}

/** Options that are not settings. `onEvent` may differ between requests. */
const OWN_OPTIONS = new Set(["secret", "clock", "onEvent"]);

/** The configuration that `new Sessions(connector, options)` asks for. */
export function configOf(connector, options) {
  if (typeof options !== "object" || options === null) {
    throw sessionError("config", "options are missing: pass at least { secret: env.SESSION_SECRET }");
  }
  const { secret, clock } = options;
  if (connector === undefined && options.storage === "memory") connector = isolateMemory ??= new MemoryConnector();
  // Usually the options are those of the last request.
  const last = known.get(connector)?.last;
  if (last && saysTheSame(options, secret, clock, last)) return last.config;
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
  const found = configFor(
    connector,
    "the KV namespace or connector (the first argument, usually env.SESSIONS)",
    ring(secret, "secret", "pass env.SESSION_SECRET, and "),
    given,
    false,
    clock ?? ownClock(connector),
  );
  // An array of secrets and the clock of a connector in memory may change although they are the same
  // object.
  if (typeof secret === "string" && !isMemory(connector)) {
    known.get(connector).last = { names, values, secret, clock, config: found };
  }
  return found;
}

/** True if the options are the same as in `last`. */
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
export function configOfEnv(env) {
  if (typeof env !== "object" || env === null) {
    throw sessionError("missing_binding", "Sessions.fromEnv needs the env of the fetch handler");
  }
  let found = byEnv.get(env);
  if (!found) {
    const given = new Given();
    const [connector, binding] = storeOf(env);
    for (const [name, value] of Object.entries(env)) {
      if (name === "SESSION_SECRET" || name === binding || value === undefined) continue;
      // The core knows which of these are settings, or misspelt settings such as `SESION_SEAL`.
      if (/^ses/i.test(name)) given.add(name, value);
    }
    const secret = ring(env.SESSION_SECRET, "SESSION_SECRET", "");
    if (binding === "SESSIONS" && !connector && env.SESSION_OBJECTS) {
      checkSettings(secret, given, true);
      throw sessionError(
        "missing_binding",
        "SESSIONS is not bound, but SESSION_OBJECTS is: to keep sessions in Durable Objects, set SESSION_STORAGE to durable_object",
      );
    }
    found = configFor(connector, binding, secret, given, true, ownClock(connector));
    byEnv.set(env, found);
  }
  return found;
}

/** The store of an environment, and the name of its binding. */
function storeOf(env) {
  if (env.SESSION_STORAGE === "memory") return [(isolateMemory ??= new MemoryConnector()), "SESSIONS"];
  const name = env.SESSION_STORAGE === "durable_object" ? "SESSION_OBJECTS" : "SESSIONS";
  return [env[name], name];
}

/** A function that passes events to `onEvent`, if given. */
export function sinkOf(onEvent) {
  if (onEvent === undefined || onEvent === null) return undefined;
  if (typeof onEvent !== "function") throw sessionError("config", "onEvent: pass a function that takes an event");
  // The request must not fail because of it.
  const warn = (error) => console.warn(`edge-session: onEvent failed: ${error?.message ?? error}`);
  return (event) => {
    try {
      const result = onEvent(event);
      if (typeof result?.then === "function") result.then(undefined, warn);
    } catch (error) {
      warn(error);
    }
  };
}

/** Writes an event to the console, as one line of JSON. */
export const toConsole = (event) => console.log(JSON.stringify(event));

const isMemory = (connector) => connector instanceof MemoryConnector || connector instanceof StrongMemory;

const ownClock = (connector) =>
  isMemory(connector) && connector.clock !== Date ? connector.clock : undefined;

/** The secrets as one string. `name` is what the caller calls them; only an option may be an array. */
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
