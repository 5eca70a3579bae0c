// The result of every method in every state of a session in JavaScript: tests/golden/refusals-js.txt. The
// states and methods are those of tests/refusals.rs, with the same names. The differences between the two
// languages are in tests/golden/refusals-differences.txt.
// `EDGE_SESSION_UPDATE=1 node --test tests/package/refusals.test.mjs` writes both.

import assert from "node:assert/strict";
import { test } from "node:test";

import { ManualClock, SessionStore, Sessions } from "../../pkg/node.js";
import { compare, golden } from "./support/golden.mjs";
import { Browser, SECRET } from "./support/world.mjs";

const START = 1_800_000_000_000;
const WINDOW = 102_000;
const KEY = "__Host-session";

/** One location's view of a namespace that fails and lags on demand. */
class Store {
  constructor(clock, shared = { entries: new Map(), picture: undefined, spent: new Set() }) {
    this.clock = clock;
    this.shared = shared;
  }

  #check(kind) {
    if (this.shared.spent.has(kind)) throw Object.assign(new Error("the test says so"), { code: "quota" });
  }

  async read(keys) {
    this.#check("read");
    const entries = this.shared.picture ?? this.shared.entries;
    return keys.map((key) => {
      const entry = entries.get(key);
      return entry && this.clock.now() < entry.end ? entry.value : null;
    });
  }

  async put(key, value, { ttl = Infinity, metadata }) {
    this.#check("put");
    this.shared.entries.set(key, { value, metadata, end: this.clock.now() + ttl * 1000 });
  }

  async delete(key) {
    this.#check("delete");
    this.shared.entries.delete(key);
  }

  async list({ prefix }) {
    const names = [...this.shared.entries.keys()].filter((name) => name.startsWith(prefix)).sort();
    return { keys: names.map((name) => ({ name, metadata: this.shared.entries.get(name).metadata })) };
  }
}

class Stage {
  constructor(settings) {
    this.settings = settings;
    this.clock = new ManualClock(START);
    this.store = new Store(this.clock);
    this.elsewhere();
    this.browser = this.newBrowser();
  }

  /** Continues in another isolate. */
  elsewhere() {
    this.store = new Store(this.clock, this.store.shared);
    this.sessions = new Sessions(this.store, { secret: SECRET, clock: this.clock, disableWarnings: true, ...this.settings });
  }

  newBrowser() {
    return new Browser(this.sessions, this.clock);
  }

  /** A browser with a session of its own, and that session's key. */
  async begin() {
    const other = this.newBrowser();
    await other.ask((session) => session.set("a", 1));
    this.another = (await other.load()).sessionKey;
    this.elsewhere();
  }

  visit(page, browser = this.browser) {
    return browser.visit(page, { sessions: this.sessions });
  }

  wait(milliseconds) {
    this.clock.advance(milliseconds);
  }

  spend(kind) {
    this.store.shared.spent.add(kind);
  }

  mend() {
    this.store.shared.spent.clear();
  }

  lag() {
    this.store.shared.picture = new Map(this.store.shared.entries);
  }
}

function fill(session) {
  session.set("a", 1);
  session.set("z", 2);
  session.flash("f", "x");
}

const visitor = async (stage) => {
  await stage.visit(fill);
  stage.elsewhere();
};

const member = async (stage) => {
  await stage.visit((session) => {
    session.bind("ada", { keep: false });
    fill(session);
  });
  stage.elsewhere();
};

/** The browser continues elsewhere with its earlier cookies. */
const before = (page) => async (stage) => {
  await visitor(stage);
  const old = stage.browser.clone();
  await stage.visit(page);
  stage.browser = old;
  stage.elsewhere();
};

const damaged = (record) => async (stage) => {
  await visitor(stage);
  const { sessionKey } = await stage.sessions.load(stage.browser.request());
  const name = [...stage.store.shared.entries.keys()].find((name) =>
    name.startsWith(`s.${sessionKey.split(".").slice(0, 3).join(".")}`),
  );
  stage.elsewhere();
  await stage.store.put(name, record, {});
  stage.cookie = stage.browser.cookie.split("; ").filter((pair) => !pair.startsWith(`${KEY}-fresh=`)).join("; ");
};

const noOverlay = { overlay: false };
const failing = (step) => step.then(assert.fail, () => {});

/** By name: the preparation (`first`), and what the request does before the method (`then`). */
const STATES = {
  "unloaded, no cookie": { lazy: true },
  unloaded: { first: visitor, lazy: true },
  new: {},
  "new, changed": { then: (it) => it.set("b", 2) },
  "new, cross-site": { head: { method: "POST", "sec-fetch-site": "cross-site" } },
  loaded: { first: visitor },
  "loaded, changed": { first: visitor, then: (it) => it.set("b", 2) },
  "loaded, changed, said to be unmodified": {
    first: visitor,
    then(it) {
      it.set("b", 2);
      it.modified = false;
    },
  },
  "loaded, owned": { first: member },
  saved: {
    first: visitor,
    async then(it) {
      it.set("b", 2);
      await it.save();
    },
  },
  "saved, changed": {
    first: visitor,
    async then(it) {
      it.set("b", 2);
      await it.save();
      it.set("c", 3);
    },
  },
  "new, saved": {
    async then(it) {
      it.set("b", 2);
      await it.save();
    },
  },
  "save failed": {
    first: visitor,
    async then(it, stage) {
      stage.spend("put");
      it.set("b", 2);
      await failing(it.save());
      stage.mend();
    },
  },
  "save dropped": {
    first: visitor,
    then(it) {
      it.set("b", 2);
      it.save().catch(() => {}); // not awaited
    },
  },
  committed: {
    first: visitor,
    async then(it, stage) {
      it.set("b", 2);
      await stage.sessions.commitHeaders(it);
    },
  },
  "committed, untouched": {
    first: visitor,
    then: (it, stage) => stage.sessions.commitHeaders(it),
  },
  "committed, unloaded": {
    first: visitor,
    lazy: true,
    then: (it, stage) => stage.sessions.commitHeaders(it),
  },
  "committed with 500": {
    first: visitor,
    async then(it, stage) {
      it.set("b", 2);
      await stage.sessions.commitHeaders(it, { status: 500 });
    },
  },
  "commit failed": {
    first: visitor,
    async then(it, stage) {
      stage.spend("put");
      it.set("b", 2);
      await failing(stage.sessions.commitHeaders(it));
      stage.mend();
    },
  },
  created: { then: (it) => it.create() },
  "created over a loaded one": { first: visitor, then: (it) => it.create() },
  cycled: { first: visitor, then: (it) => it.cycleKey() },
  "cycled, new": { then: (it) => it.cycleKey() },
  bound: { first: visitor, then: (it) => it.bind("ada", { keep: true }) },
  "bound, nothing kept": { first: visitor, then: (it) => it.bind("ada", { keep: false }) },
  "bound, new": { then: (it) => it.bind("ada", { keep: true }) },
  "bound over another owner": { first: member, then: (it) => it.bind("bob", { keep: true }) },
  destroyed: { first: visitor, then: (it) => it.destroy() },
  "destroyed, new": { then: (it) => it.destroy() },
  "destroyed, unloaded": { first: visitor, lazy: true, then: (it) => it.destroy() },
  "destroyed, marker not stored": {
    first: visitor,
    then(it, stage) {
      stage.spend("put");
      return failing(it.destroy());
    },
  },
  "destroyed, then bound": {
    first: visitor,
    async then(it) {
      await it.destroy();
      it.bind("ada", { keep: true });
    },
  },
  flushed: { first: visitor, then: (it) => it.flush() },
  "flushed, one kept": { first: visitor, then: (it) => it.flush({ keep: ["a"] }) },
  "flushed, marker not stored": {
    first: visitor,
    then(it, stage) {
      stage.spend("put");
      return failing(it.flush({ keep: ["a"] }));
    },
  },
  "loaded again after a change": {
    first: visitor,
    async then(it) {
      it.set("b", 2);
      it.remove("z");
      await it.load({ fresh: true });
    },
  },
  "loaded again after a change here and elsewhere": {
    first: visitor,
    async then(it, stage) {
      it.set("b", 2);
      stage.elsewhere();
      stage.wait(2000);
      await stage.visit((other) => other.set("a", 9));
      await it.load({ fresh: true });
    },
  },
  "loaded again, ended elsewhere": {
    first: visitor,
    async then(it, stage) {
      it.set("b", 2);
      stage.elsewhere();
      await stage.visit((other) => other.destroy());
      await it.load({ fresh: true }).catch(() => {});
    },
  },
  "loaded, ended elsewhere": {
    first: visitor,
    async then(it, stage) {
      it.set("b", 2);
      stage.elsewhere();
      stage.wait(2000);
      await stage.visit((other) => other.destroy());
    },
  },
  "its end passed meanwhile": {
    first: visitor,
    async then(it, stage) {
      it.setExpiry(60);
      await it.save();
      it.set("b", 2);
      stage.wait(61_000);
    },
  },
  rotated: { first: before((it) => it.cycleKey()) },
  "rotated, after W": {
    async first(stage) {
      await before((it) => it.cycleKey())(stage);
      stage.wait(WINDOW);
    },
  },
  pending: {
    settings: noOverlay,
    async first(stage) {
      stage.lag();
      await visitor(stage);
    },
  },
  stale: {
    settings: noOverlay,
    async first(stage) {
      await visitor(stage);
      stage.lag();
      stage.wait(3_600_000);
      await stage.visit((it) => it.set("a", 9));
      stage.elsewhere();
    },
  },
  gone: {
    settings: noOverlay,
    async first(stage) {
      stage.lag();
      await visitor(stage);
      stage.wait(WINDOW);
    },
  },
  expired: {
    async first(stage) {
      await visitor(stage);
      await stage.visit((it) => it.setExpiry(60));
      stage.wait(61_000);
    },
  },
  revoked: { first: before((it) => it.destroy()) },
  "revoked, after W": {
    async first(stage) {
      await before((it) => it.destroy())(stage);
      stage.wait(WINDOW);
    },
  },
  tombstone: {
    async first(stage) {
      await visitor(stage);
      stage.spend("put");
      await stage.visit((it) => failing(it.destroy()));
      stage.mend();
    },
  },
  "tombstone, marker not stored": {
    async first(stage) {
      await visitor(stage);
      stage.spend("put");
      await stage.visit((it) => failing(it.destroy()));
    },
  },
  rejected: { first: (stage) => (stage.cookie = `${KEY}=forged`) },
  "header too large": { first: (stage) => (stage.cookie = `${KEY}=forged; x=${"x".repeat(70_000)}`) },
  ambiguous: {
    async first(stage) {
      const both = [];
      for (let i = 0; i < 2; i += 1) {
        const browser = stage.newBrowser();
        await stage.visit(fill, browser);
        both.push(browser.cookie.split("; ").find((pair) => pair.startsWith(`${KEY}=`)));
      }
      stage.elsewhere();
      stage.cookie = both.join("; ");
    },
  },
  corrupt: { first: damaged("not a record") },
  // The first byte of a record is its format.
  unavailable: { first: damaged("_wAAAAAA") },
  "unavailable, quota": {
    async first(stage) {
      await visitor(stage);
      stage.spend("read");
    },
    then: (_it, stage) => stage.mend(),
  },
};

const since = (date) => (date === null ? "none" : `${date >= START ? "+" : ""}${date - START}`);
/** The session's key, if it has one. */
function keyOf(session) {
  try {
    return session.sessionKey;
  } catch {
    return null;
  }
}

const optional = (value) => (value === undefined || value === null ? "none" : value);
const pairs = (session) => [...session.entries()].map(([key, value]) => `${key}=${JSON.stringify(value)}`);
const text = (items) => [...items].join(" ");

/** Methods by their Rust name. Those of only one language are in neither list. */
const METHODS = {
  get: (it) => optional(it.get("a")),
  "get of an absent key": (it) => optional(it.get("none")),
  require: (it) => it.require("a"),
  "require of an absent key": (it) => it.require("none"),
  contains_key: (it) => it.has("a"),
  len: (it) => it.size,
  is_empty: (it) => it.isEmpty,
  keys: (it) => text(it.keys()),
  values: (it) => text([...it.values()].map((value) => JSON.stringify(value))),
  iter: (it) => text(pairs(it)),
  data: (it) => JSON.stringify(Object.fromEntries(Object.entries(it.data).sort())),

  set: (it) => void it.set("n", 5),
  "set of an equal value": (it) => void it.set("a", 1),
  "set of a key that is too long": (it) => void it.set("k".repeat(5000), 1),
  remove: (it) => it.remove("a"),
  "remove of an absent key": (it) => it.remove("none"),
  pop: (it) => it.pop("a"),
  pop_or: (it) => it.pop("none", 7),
  popitem: (it) => it.popItem().map((part) => (typeof part === "string" ? part : JSON.stringify(part))).join("="),
  update: (it) => void it.update({ n: 5, m: 6 }),
  set_data: (it) => void (it.data = { n: 5 }),
  clear: (it) => it.clear(),
  setdefault: (it) => it.setDefault("a", 7),
  "setdefault of an absent key": (it) => it.setDefault("n", 7),
  flash: (it) => void it.flash("g", "y"),
  take_flash: (it) => optional(it.takeFlash("f")),
  "take_flash of an absent key": (it) => optional(it.takeFlash("none")),

  outcome: (it) => it.outcome,
  session_key: (it) => (it.sessionKey === null ? "none" : "some"),
  is_new: (it) => it.isNew,
  accessed: (it) => it.accessed,
  version: (it) => it.version,
  created_at: (it) => since(it.createdAt),
  owner: (it) => optional(it.owner),
  auth_time: (it) => since(it.authTime),
  require_recent_auth: (it) => it.requireRecentAuth(300),
  modified: (it) => it.modified,
  "set_modified true": (it) => void (it.modified = true),
  "set_modified false": (it) => void (it.modified = false),
  needs_update: (it) => it.needsUpdate(),
  get_expiry_age: (it) => it.getExpiryAge(),
  get_expiry_date: (it) => since(it.getExpiryDate()),
  idle_expires_at: (it) => since(it.idleExpiresAt),
  get_expire_at_browser_close: (it) => it.expireAtBrowserClose,
  set_expiry: (it) => it.setExpiry(600),
  "set_expiry at browser close": (it) => it.setExpiry(0),
  "set_expiry in the past": (it) => it.setExpiry(-5),
  "set_expiry idle": (it) => it.setExpiry({ idle: 60 }),
  refusal: (it) => optional(it.refusal?.code),
  csrf_token: (it) => it.csrfToken().length,
  verify_csrf: (it) => it.verifyCsrf("odd"),

  generate_session_id: () => SessionStore.generateSessionId().length,
  create: (it) => it.create(),
  cycle_key: (it) => it.cycleKey(),
  reauthenticate: (it) => it.reauthenticate(),
  bind: (it) => it.bind("cleo", { keep: false }),
  "bind, keep": (it) => it.bind("cleo", { keep: true }),
  "bind of no user id": (it) => it.bind("", { keep: true }),

  load: (it) => it.load(),
  load_fresh: (it) => it.load({ fresh: true }),
  save: (it) => it.save(),
  destroy: (it) => it.destroy(),
  flush: (it) => it.flush(),
  "flush, keep": (it) => it.flush({ keep: ["a"] }),
  exists: (it) => it.exists(),
  "exists of another": (it, stage) => it.exists(stage.another),
  "exists of what is no key": (it) => it.exists("odd"),
  delete: (it) => it.delete(),
  "delete of another": (it, stage) => it.delete(stage.another),
  "delete of itself by key": (it) => it.delete(keyOf(it) ?? "odd"),
};

const codeOf = (error) => error.code ?? `${error.name}: ${error.message}`;

async function answerOf(step) {
  try {
    const value = await step();
    return value === undefined || value === "" ? "ok" : `ok ${value}`;
  } catch (error) {
    return codeOf(error);
  }
}

/** A cookie that a response sets or removes. */
function cookieOf(field) {
  const [pair] = field.split(";");
  const at = pair.indexOf("=");
  const value = pair.slice(at + 1);
  let kind = pair.slice(KEY.length + 1, at);
  if (at === KEY.length) kind = value && Buffer.from(value, "base64url")[5] >= 2 ? "tombstone" : "key";
  return ` ${value ? "+" : "-"}${kind}`;
}

/** The result of a method in a state, and the state after it. */
async function row({ settings, first, then, lazy, head = {} }, method, status = 200) {
  const stage = new Stage(settings);
  await stage.begin();
  await first?.(stage);
  const headers = { ...head, cookie: stage.cookie ?? stage.browser.cookie };
  const request = { method: head.method ?? "GET", headers: { get: (name) => headers[name] ?? null } };
  let session;
  let answer;
  let refusal;
  const page = async (it) => {
    session = it;
    await then?.(it, stage);
    answer = await answerOf(() => method(it, stage));
    refusal = optional(it.refusal?.code);
    return new Response("", { status });
  };
  const response = await (lazy ? stage.sessions.handleLazy(request, null, page) : stage.sessions.handle(request, null, page));
  const how = response.headers.get("content-type") === "application/problem+json" ? (await response.json()).code : "ok";
  const committed = how + response.headers.getSetCookie().map(cookieOf).join("");
  let shown;
  try {
    shown = pairs(session).map((pair) => ` ${pair}`).join("");
  } catch (error) {
    shown = ` ${codeOf(error)}`;
  }
  return { answer, after: `refusal ${refusal}; commit ${committed}; shows${shown}`, committed };
}

async function table() {
  let text = "";
  for (const [name, state] of Object.entries(STATES)) {
    const { after: usual } = await row(state, () => {});
    const { committed: failed } = await row(state, () => {}, 500);
    text += `--- ${name}: ${usual}; commit of a 500 ${failed}\n`;
    for (const [method, call] of Object.entries(METHODS)) {
      const { answer, after } = await row(state, call);
      text += `${method}: ${answer}${after === usual ? "" : `; ${after}`}\n`;
    }
    text += "\n";
  }
  return text;
}

/** The lines of a table, by state and method. */
function cells(text) {
  const found = new Map();
  let state = "";
  for (const line of text.split("\n")) {
    const at = line.indexOf(": ");
    if (at < 0) continue;
    const name = line.slice(0, at);
    if (name.startsWith("---")) found.set((state = name), line.slice(at + 2));
    else found.set(`${state} / ${name}`, line.slice(at + 2));
  }
  return found;
}

/** The differences between the tables of the two languages. */
function differences(rust, js) {
  const [one, other] = [cells(rust), cells(js)];
  const lines = [];
  for (const name of new Set([...one.keys(), ...other.keys()])) {
    const [first, second] = [one.get(name) ?? "(not there)", other.get(name) ?? "(not there)"];
    if (first !== second) lines.push(name, `  rust ${first}`, `  js   ${second}`);
  }
  return `${lines.length / 3} differences\n\n${lines.join("\n")}\n`;
}

test("every method in every state answers what it did", async () => {
  const found = await table();
  compare("refusals-js.txt", found);
  compare("refusals-differences.txt", differences(golden("refusals-rust.txt"), found));
});
