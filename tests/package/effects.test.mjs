// Reading has no effect, and calls take effect in order: random calls have the same result with and without
// getters in between, awaited or not.

import assert from "node:assert/strict";
import { test } from "node:test";
import { inspect } from "node:util";

import { ManualClock, MemoryConnector, Sessions } from "../../pkg/node.js";
import { Browser, SECRET, START, world } from "./support/world.mjs";

const ROUNDS = Number(process.env.MODEL_SEQUENCES ?? 150);
const SEED = Number(process.env.MODEL_SEED ?? 1);

/** mulberry32: small, and the same everywhere. */
function dice(seed) {
  let state = seed >>> 0;
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
  return { below: (n) => Math.floor(next() * n), pick: (list) => list[Math.floor(next() * list.length)] };
}

const KEYS = ["a", "b", "c", "new"];
const VALUES = [1, 2, "x", null, { n: 1 }, { n: 2 }, [1]];
const copy = (value) => structuredClone(value);

/** A connector that logs its calls, with random keys replaced by names. */
function recorded() {
  const clock = new ManualClock(START);
  const memory = new MemoryConnector({ clock });
  const log = [];
  const connector = { kind: "memory" };
  for (const name of ["read", "put", "delete", "list"]) {
    connector[name] = async (...args) => {
      log.push(`${name} ${String(args[0]).slice(0, 2)}`);
      return memory[name](...args);
    };
  }
  return { clock, connector, memory, log };
}

/** Changes that are made immediately, with random keys and values. */
const CHANGES = {
  set: (it, key, value) => it.set(key, copy(value)),
  remove: (it, key) => it.remove(key),
  pop: (it, key) => it.pop(key, null),
  update: (it, key, value) => it.update({ [key]: copy(value), a: 1 }),
  setDefault: (it, key, value) => it.setDefault(key, copy(value)),
  flash: (it, key, value) => it.flash(key, copy(value)),
  takeFlash: (it, key) => it.takeFlash(key),
  clear: (it) => it.clear(),
  dataSet: (it, key, value) => (it.data[key] = copy(value)),
  dataDelete: (it, key) => delete it.data[key],
  dataMoved(it, key, value) {
    delete it.data[key];
    it.data[key] = copy(value);
  },
  nested(it, key) {
    const value = it.get(key);
    if (Array.isArray(value)) value.push(7);
    else if (typeof value === "object" && value) value.m = 7;
  },
  nestedAndBack(it, key) {
    const value = it.get(key);
    if (Array.isArray(value)) value.push(7) && value.pop();
  },
  leaveUnsaved: (it) => (it.modified = false),
  expiry: (it) => it.setExpiry(600),
};

const GETTERS = [
  (it) => it.modified,
  (it) => it.needsUpdate(),
  (it) => it.size,
  (it) => it.isEmpty,
  (it) => [...it],
  (it) => JSON.stringify(it),
  (it) => `${it} ${it.outcome} ${it.isNew} ${it.sessionKey} ${it.version} ${it.createdAt} ${it.owner}`,
  (it) => it.getExpiryAge(),
  (it) => it.has("a") && it.get("b"),
  (it) => it.data,
  (it) => it.csrfToken(),
  (it) => inspect(it),
  (it) => `${it.idleExpiresAt} ${it.authTime} ${it.expireAtBrowserClose} ${it.refusal} ${it.accessed}`,
];

const story = (random, length, names = Object.keys(CHANGES)) =>
  Array.from({ length }, () => [random.pick(names), random.pick(KEYS), random.pick(VALUES)]);

test(`${ROUNDS} random stories come to the same with getters between the calls and without`, async () => {
  for (let round = 0; round < ROUNDS; round++) {
    const random = dice(SEED * 1_000_003 + round);
    const isNew = random.below(4) === 0;
    const first = story(random, 1 + random.below(4));
    const second = story(random, 1 + random.below(8));
    const between = random.below(3) === 0;
    const results = [];
    for (const looks of [false, true]) {
      const asked = dice(round);
      const { clock, connector, log } = recorded();
      const sessions = new Sessions(connector, { secret: SECRET, isolateCacheTtl: 0, clock });
      const browser = new Browser(sessions, clock);
      const look = (session) => looks && asked.pick(GETTERS)(session);
      const visit = (calls) =>
        browser.ask(async (session) => {
          for (const [i, [name, key, value]] of calls.entries()) {
            look(session);
            CHANGES[name](session, key, value);
            look(session);
            if (between && i === 2) await session.load({ fresh: true });
          }
        });
      if (!isNew) await browser.ask((session) => session.update({ a: 1, b: { n: 1 }, c: [1] }).flash("a", 1));
      await visit(first);
      clock.advance(1);
      // Another request of the browser saves in between.
      await browser.ask((session) => session.set("other", 1).set("b", 5));
      await visit(second);
      const left = await browser.load();
      results.push({ log, data: [...left], version: left.version, flash: KEYS.map((key) => left.takeFlash(key)) });
    }
    const [plain, looked] = results;
    assert.deepEqual(looked, plain, JSON.stringify({ round, isNew, first, between, second }));
  }
});

test("modified says whether a commit saves", async () => {
  for (let round = 0; round < ROUNDS; round++) {
    const random = dice(SEED * 7_000_003 + round);
    const calls = story(random, random.below(5), [...Object.keys(CHANGES), "create", "cycleKey", "bind"]);
    const { browser, sessions, memory } = world();
    if (random.below(2)) await browser.ask((session) => session.update({ a: 1, b: { n: 1 } }).flash("a", 1));
    const session = await browser.load();
    for (const [name, key, value] of calls) {
      if (name in CHANGES) CHANGES[name](session, key, value);
      else session[name]("ada");
    }
    const { modified } = session;
    assert.equal(session.needsUpdate(), modified);
    memory.resetOperations();
    await sessions.commit(session, new Response());
    assert.equal(memory.operations.puts > 0, modified, JSON.stringify(calls));
  }
});

/** Steps and decisions that wait for each other. */
const STEPS = {
  save: (it) => it.save(),
  load: (it) => it.load({ fresh: true }),
  flush: (it) => it.flush(),
  "flush, a kept": (it) => it.flush({ keep: ["a"] }),
  destroy: (it) => it.destroy(),
  exists: (it) => it.exists(),
  create: (it) => it.create(),
  cycleKey: (it) => it.cycleKey(),
  bind: (it) => it.bind("ada"),
  "bind, nothing kept": (it) => it.bind("bob", { keep: false }),
  "bind of another": (it) => it.bind("bob"),
};

test(`${ROUNDS} random stories come to the same awaited and not`, async () => {
  for (let round = 0; round < ROUNDS; round++) {
    const random = dice(SEED * 3_000_017 + round);
    const isNew = random.below(3) === 0;
    const calls = Array.from({ length: 2 + random.below(8) }, () => {
      const name = random.below(2) ? random.pick(Object.keys(STEPS)) : random.pick(Object.keys(CHANGES));
      return [name, random.pick(KEYS), random.pick(VALUES)];
    });
    // After a logout everything except a login is refused.
    const logout = calls.findIndex(([name]) => name === "destroy");
    if (logout >= 0) calls.splice(logout + 1, calls.length, ["bind"], ...calls.slice(logout + 1).filter(([name]) => name !== "destroy"));
    const results = [];
    for (const waits of [true, false]) {
      const { clock, connector, memory } = recorded();
      const sessions = new Sessions(connector, { secret: SECRET, isolateCacheTtl: 0, clock });
      const browser = new Browser(sessions, clock);
      if (!isNew) await browser.ask((session) => session.update({ a: 1, b: { n: 1 }, c: [1] }).flash("a", 1));
      const before = await browser.load();
      const session = await browser.load();
      memory.resetOperations();
      const steps = [];
      for (const [name, key, value] of calls) {
        try {
          const done = (STEPS[name] ?? CHANGES[name])(session, key, value);
          if (waits) await done;
          else steps.push(done);
        } catch (error) {
          throw new Error(JSON.stringify({ waits, name, round, isNew, calls }), { cause: error });
        }
      }
      await Promise.all(steps);
      browser.keep(await sessions.commit(session, new Response()));
      const after = await browser.load();
      results.push({
        outcome: after.outcome,
        owner: after.owner,
        isSameKey: after.sessionKey === before.sessionKey,
        version: after.version,
        puts: memory.operations.puts,
        shown: [...session],
        data: [...after],
        flash: KEYS.map((key) => after.takeFlash(key)),
      });
    }
    const [awaited, loose] = results;
    assert.deepEqual(loose, awaited, JSON.stringify({ round, isNew, calls }));
  }
});
