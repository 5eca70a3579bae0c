// A KV namespace for tests, behind the runtime's real `kvNamespace` binding.
//
// The binding turns every operation into an HTTP request (workerd, `src/workerd/api/kv.c++`):
//
//   GET    /<key>?urlencoded=true[&cache_ttl=N]                one value; 404 where there is none
//   POST   /bulk/get   {"keys":[…],"type":"text","cacheTtl":"30"}   {"<key>": value or null, …}
//   PUT    /<key>?urlencoded=true[&expiration_ttl=N][&expiration=S]   header CF-KV-Metadata: <json>
//   DELETE /<key>?urlencoded=true
//   GET    /?prefix=P[&cursor=C][&key_count_limit=N]           {"keys":[…],"list_complete":…}
//
// This Worker answers those. It keeps everything in memory, counts every operation, and has faults on
// demand. `Control`, on its own socket, is for tests.
//
// It models the documented behaviour of Workers KV: a location caches what it has read, values and absences,
// for the reader's cacheTtl. It sees its own writes immediately, and writes of other locations once the
// cached copy is too old and the write has propagated. A key accepts one write per second.

import { WorkerEntrypoint } from "cloudflare:workers";

const PAGE_SIZE = 1000;
const DEFAULT_CACHE_TTL = 60;

/** The initial state of a test: a strongly consistent store without limits or faults. */
const DEFAULTS = {
  /** Locations answer from their caches, within the reader's cacheTtl. */
  caching: false,
  /** Milliseconds until a write can be read from another location. */
  propagation: 0,
  /** Refuse a second write to one key within a second, as production does. */
  limitWrites: false,
};

let settings = { ...DEFAULTS };
/** Key to its versions, oldest first: [{ value, metadata, expiresAt, at, location }]. */
let versions = new Map();
/** Location to what it has cached: key to { version or null, at }. */
let caches = new Map();
let faults = [];
/** Faults that hold requests, used up or not. */
const holds = new Set();
let log = [];
/** Ahead of the machine's clock by `offset`, or standing still `at` an instant; milliseconds. */
let clock = { offset: 0 };
/** How many requests are currently waiting at a `hold` fault. */
let held = 0;

const now = () => clock.at ?? Date.now() + clock.offset;

/** A failure that the binding reports as `KV <OP> failed: <status> <text>`. */
class StatusError extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

const STATUS_TEXT = {
  429: "Too Many Requests",
  500: "Internal Server Error",
  503: "Service Unavailable",
};

// ---------------------------------------------------------------------------------------------
// The namespace

function cacheOf(location) {
  if (!caches.has(location)) caches.set(location, new Map());
  return caches.get(location);
}

/** The newest version of a key that this location could fetch from the central store. */
function central(key, location) {
  const all = versions.get(key) ?? [];
  return all.findLast((v) => v.location === location || v.at + settings.propagation <= now()) ?? null;
}

function isLive(version) {
  return version !== null && version.value !== null && !(version.expiresAt <= now());
}

function readKey(key, cacheTtl, location) {
  const cache = cacheOf(location);
  let entry = settings.caching ? cache.get(key) : undefined;
  if (!entry || now() - entry.at >= cacheTtl * 1000) {
    entry = { version: central(key, location), at: now() };
    cache.set(key, entry);
  }
  // An expired value is not returned, even from a cache.
  return isLive(entry.version) ? entry.version : null;
}

/** Adds a version; a delete is one with the value null. */
function writeKey(key, version, location) {
  const all = versions.get(key) ?? [];
  const written = { ...version, at: now(), location };
  versions.set(key, [...all, written]);
  cacheOf(location).set(key, { version: written, at: now() });
}

function checkWriteRate(key) {
  const last = versions.get(key)?.at(-1);
  if (settings.limitWrites && last && now() - last.at < 1000) {
    throw new StatusError(429, STATUS_TEXT[429]);
  }
}

function seconds(text, name, label, least) {
  if (text === null || text === undefined) return undefined;
  const value = Number(text);
  if (!(value >= least)) {
    throw new StatusError(400, `Invalid ${name} of ${text}. ${label} must be at least ${least}.`);
  }
  return value;
}

function listKeys(params, location) {
  const prefix = params.get("prefix") ?? "";
  const limit = Number(params.get("key_count_limit") ?? PAGE_SIZE);
  const after = params.has("cursor") ? atob(params.get("cursor")) : "";
  const names = [...versions.keys()]
    .filter((key) => key.startsWith(prefix) && key > after && isLive(central(key, location)))
    .sort();
  const page = names.slice(0, limit);
  const complete = page.length === names.length;
  return {
    keys: page.map((name) => {
      const { metadata, expiresAt } = central(name, location);
      const key = { name };
      if (expiresAt !== undefined) key.expiration = Math.floor(expiresAt / 1000);
      if (metadata !== undefined) key.metadata = metadata;
      return key;
    }),
    list_complete: complete,
    ...(complete ? {} : { cursor: btoa(page.at(-1)) }),
  };
}

// ---------------------------------------------------------------------------------------------
// The protocol

/** A parsed operation: { op, keys, location, … }, and `run`, which carries it out. */
async function parse(request, location) {
  const url = new URL(request.url);
  const key = decodeURIComponent(url.pathname.slice(1));
  const params = url.searchParams;

  if (request.method === "POST" && url.pathname === "/bulk/get") {
    const { keys, cacheTtl } = await request.json();
    const run = () => {
      const ttl = seconds(cacheTtl, "cache_ttl", "Cache TTL", 30) ?? DEFAULT_CACHE_TTL;
      if (keys.length > 100) throw new StatusError(400, "You can request a maximum of 100 keys");
      const values = keys.map((name) => [name, readKey(name, ttl, location)?.value ?? null]);
      return Response.json(Object.fromEntries(values));
    };
    return { op: "read", keys, cacheTtl, run };
  }
  if (request.method === "GET" && key !== "") {
    const cacheTtl = params.get("cache_ttl");
    const run = () => {
      const ttl = seconds(cacheTtl, "cache_ttl", "Cache TTL", 30) ?? DEFAULT_CACHE_TTL;
      const version = readKey(key, ttl, location);
      if (!version) throw new StatusError(404, "Not Found");
      const headers = version.metadata === undefined ? {} : { "CF-KV-Metadata": version.metadata };
      return new Response(version.value, { headers });
    };
    return { op: "read", keys: [key], cacheTtl, run };
  }
  if (request.method === "GET") {
    const run = () => Response.json(listKeys(params, location));
    return { op: "list", keys: [], prefix: params.get("prefix") ?? "", run };
  }
  if (request.method === "PUT") {
    // Read the body even if the put will be refused: otherwise the put would never settle.
    const value = await request.text();
    const metadata = request.headers.get("CF-KV-Metadata") ?? undefined;
    const ttl = params.get("expiration_ttl");
    const run = () => {
      seconds(ttl, "expiration_ttl", "Expiration TTL", 60);
      const length = metadata === undefined ? 0 : new TextEncoder().encode(metadata).length;
      if (length > 1024) {
        throw new StatusError(413, `Metadata length of ${length} exceeds limit of 1024.`);
      }
      checkWriteRate(key);
      const expiresAt = ttl === null ? undefined : now() + Number(ttl) * 1000;
      writeKey(key, { value, metadata, expiresAt }, location);
      return new Response(null);
    };
    return { op: "put", keys: [key], ttl: ttl === null ? null : Number(ttl), run };
  }
  if (request.method === "DELETE") {
    const run = () => {
      checkWriteRate(key);
      writeKey(key, { value: null }, location);
      return new Response(null);
    };
    return { op: "delete", keys: [key], run };
  }
  throw new Error(`the binding sent ${request.method} ${request.url}, which this store does not know`);
}

/** The first matching fault for this operation, with its count reduced by one. */
function takeFault({ op, keys, location }) {
  const index = faults.findIndex(
    (fault) =>
      (fault.op === undefined || fault.op === op) &&
      (fault.location === undefined || fault.location === location) &&
      (fault.prefix === undefined || keys.some((key) => key.startsWith(fault.prefix))),
  );
  if (index < 0) return {};
  const fault = faults[index];
  fault.times -= 1;
  if (fault.times <= 0) faults.splice(index, 1);
  return fault;
}

export default {
  async fetch(request, env, ctx) {
    const location = ctx.props.location;
    const { run, ...operation } = await parse(request, location);
    const entry = { ...operation, location, at: now(), status: null };
    log.push(entry);
    const fault = takeFault(entry);

    if (fault.hold === "before") await released(fault);
    if (fault.throws) throw new Error(fault.throws);
    const response = carryOut(run, fault);
    entry.status = response.status;
    if (fault.hold === "after") await released(fault);
    return response;
  },
};

function carryOut(run, fault) {
  const answer = (status, text) => new Response(text, { status, statusText: text });
  try {
    if (fault.status) {
      if (fault.applied) run();
      return answer(fault.status, STATUS_TEXT[fault.status] ?? "Failed");
    }
    return fault.lost ? answer(200, "OK") : run();
  } catch (error) {
    if (error instanceof StatusError) return answer(error.status, error.message);
    throw error;
  }
}

async function released(fault) {
  held += 1;
  // The runtime cancels a request that only waits for another request's promise. So it polls until the fault is
  // lifted.
  while (holds.has(fault)) await scheduler.wait(2);
  held -= 1;
}

// ---------------------------------------------------------------------------------------------
// The tests' side

const control = {
  /** Resets everything: no data, no faults, strong consistency, the machine's clock. */
  reset() {
    settings = { ...DEFAULTS };
    versions = new Map();
    caches = new Map();
    clock = { offset: 0 };
    control.clearFaults();
    control.clearLog();
  },

  set(changes) {
    for (const name of Object.keys(changes)) {
      if (!(name in DEFAULTS)) throw new Error(`no such setting: ${name}`);
    }
    Object.assign(settings, changes);
  },

  setClock(to) {
    clock = to;
  },

  /**
   * Which operations: `op` (read, put, delete, list), `location`, `prefix` (of a key), and how
   * many `times` (default: until lifted). What happens to them, one of:
   * - `status`: reported as failed with it; with `applied` it is carried out anyway;
   * - `lost`: reported as done, but not carried out;
   * - `throws`: fails with this text, as if the platform threw before asking the store;
   * - `hold`: "before" or "after" it is carried out, waits until the faults are lifted.
   */
  addFault(fault) {
    const known = ["op", "location", "prefix", "times", "status", "applied", "lost", "throws", "hold"];
    for (const name of Object.keys(fault)) {
      if (!known.includes(name)) throw new Error(`no such property of a fault: ${name}`);
    }
    const added = { ...fault, times: fault.times ?? Infinity };
    faults.push(added);
    if (added.hold) holds.add(added);
  },

  /** Lifts every fault and releases held operations. */
  clearFaults() {
    holds.clear();
    faults = [];
  },

  held: () => held,

  log: () => log,

  /**
   * Resolves when the log has `count` operations of a kind, to wait for work after the response without
   * sleeping. `op`, `prefix` (of a key) and `status` (of the answer) select the kind.
   */
  async logged({ count = 1, op, prefix, status }) {
    const matches = (entry) =>
      (op === undefined || entry.op === op) &&
      (status === undefined || entry.status === status) &&
      (prefix === undefined || entry.keys.some((key) => key.startsWith(prefix)));
    while (log.filter(matches).length < count) await scheduler.wait(5);
  },

  /** The operations that were called, whatever their result. */
  counts() {
    const of = (op) => log.filter((entry) => entry.op === op);
    return {
      reads: of("read").length,
      keysRead: of("read").reduce((sum, entry) => sum + entry.keys.length, 0),
      puts: of("put").length,
      deletes: of("delete").length,
      lists: of("list").length,
    };
  },

  clearLog() {
    log = [];
  },

  /** Everything stored, without caches and delays: key to { value, metadata, ttl }. */
  dump() {
    const live = [...versions]
      .map(([key, all]) => [key, all.at(-1)])
      .filter(([, version]) => isLive(version))
      .map(([key, { value, metadata, expiresAt }]) => {
        const ttl = expiresAt === undefined ? null : (expiresAt - now()) / 1000;
        return [key, { value, metadata: metadata ? JSON.parse(metadata) : null, ttl }];
      });
    return Object.fromEntries(live);
  },

  /** Puts text under a key, like a writer in another location. */
  write(key, value) {
    writeKey(key, { value }, "elsewhere");
  },
};

export class Control extends WorkerEntrypoint {
  async fetch(request) {
    const { call, args } = await request.json();
    try {
      return Response.json((await control[call](...args)) ?? null);
    } catch (error) {
      return Response.json({ error: String(error) }, { status: 400 });
    }
  }
}
