// Random sequences of operations on a session and on a plain ordered map, which must agree.

import assert from "node:assert/strict";
import { test } from "node:test";

import { START, world } from "./support/world.mjs";

const SEQUENCES = Number(process.env.MODEL_SEQUENCES ?? 400);
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

const KEYS = ["a", "b", "10", "2", "__proto__", "é"];
const VALUES = [0, -0, 1, 1.5, "", "x", null, false, true, [], [1, [2]], {}, { x: { y: 1 } }, [{ "2": 1, "1": 2 }]];
const copy = (value) => JSON.parse(JSON.stringify(value), (_, it) => it);
const fresh = (value) => (Object.is(value, -0) ? -0 : copy(value));
const equal = (one, other) => {
  try {
    assert.deepStrictEqual(one, other);
    return true;
  } catch {
    return false;
  }
};

/** The model of a session: keys in order, an expiry, and what a save would store. */
class Model {
  values = new Map();
  flash = new Map();
  stored = null; // the last saved { values, flash }
  cleared = false; // stored data was cleared, which is a change even if the same values were set again
  expiry = null; // an end in milliseconds
  setExpiry = false;

  set(key, value) {
    this.values.set(key, fresh(value));
  }

  remove(key) {
    if (!this.values.has(key)) return false;
    return this.values.delete(key);
  }

  /** True if a save has something to store. A value that was changed back is not a change. */
  get changed() {
    // An empty session that was never stored is not created.
    if (!this.stored && !this.values.size && !this.flash.size) return false;
    const before = this.stored ?? { values: [], flash: [] };
    if (this.cleared || this.setExpiry) return true;
    return !equal([...this.values], before.values) || !equal([...this.flash], before.flash);
  }

  /** Back to what is stored, as for a new request. */
  forget({ keep = [] } = {}) {
    this.values = new Map((this.stored?.values ?? keep).map(([key, value]) => [key, fresh(value)]));
    this.flash = new Map(this.stored?.flash.map(([key, value]) => [key, fresh(value)]));
    this.expiry = this.stored?.expiry ?? null;
    this.cleared = this.setExpiry = false;
  }

  saved({ made = false } = {}) {
    // An empty session that was never stored is not created, and decisions about it stay pending.
    if (!made && !this.stored && !this.values.size && !this.flash.size) return;
    this.stored = { values: copyPairs(this.values), flash: copyPairs(this.flash), expiry: this.expiry };
    this.cleared = this.setExpiry = false;
  }
}
const copyPairs = (map) => [...map].map(([key, value]) => [key, fresh(value)]);

const counts = {};
const count = (name) => (counts[name] = (counts[name] ?? 0) + 1);

/** Runs an operation on both. Throws if the results differ. */
const operations = {
  get(session, model, { pick }) {
    const key = pick(KEYS);
    assert.deepStrictEqual(session.get(key), model.values.get(key));
    assert.deepStrictEqual(session.get(key, "none"), model.values.has(key) ? model.values.get(key) : "none");
  },
  require(session, model, { pick }) {
    const key = pick(KEYS);
    if (model.values.has(key)) assert.deepStrictEqual(session.require(key), model.values.get(key));
    else failsWith("missing_key", () => session.require(key));
  },
  has: (session, model, { pick }) => {
    const key = pick(KEYS);
    assert.equal(session.has(key), model.values.has(key));
  },
  set(session, model, { pick }) {
    const [key, value] = [pick(KEYS), pick(VALUES)];
    session.set(key, fresh(value));
    model.set(key, value);
  },
  set_invalid: (session, _, { pick }) =>
    failsWith("invalid_value", () => session.set(pick(KEYS), pick([undefined, NaN, 1n, [undefined], () => {}]))),
  set_too_large: (session) => failsWith("too_large", () => session.set("x".repeat(257), 1)),
  remove(session, model, { pick }) {
    const key = pick(KEYS);
    assert.equal(session.remove(key), model.remove(key));
  },
  pop(session, model, { pick }) {
    const key = pick(KEYS);
    const expected = model.values.get(key);
    if (model.remove(key)) assert.deepStrictEqual(session.pop(key), expected);
    else failsWith("missing_key", () => session.pop(key));
  },
  pop_default(session, model, { pick }) {
    const key = pick(KEYS);
    const expected = model.values.has(key) ? model.values.get(key) : 7;
    model.remove(key);
    assert.deepStrictEqual(session.pop(key, 7), expected);
  },
  pop_item(session, model) {
    const last = [...model.values].at(-1);
    if (!last) return failsWith("missing_key", () => session.popItem());
    model.remove(last[0]);
    assert.deepStrictEqual(session.popItem(), last);
  },
  update(session, model, { pick }) {
    const pairs = [[pick(KEYS), pick(VALUES)], [pick(KEYS), pick(VALUES)]];
    session.update(pairs.map(([key, value]) => [key, fresh(value)]));
    for (const pair of pairs) model.set(...pair);
  },
  set_default(session, model, { pick }) {
    const [key, value] = [pick(KEYS), pick(VALUES)];
    if (!model.values.has(key)) model.set(key, value);
    assert.deepStrictEqual(session.setDefault(key, fresh(value)), model.values.get(key));
  },
  clear(session, model) {
    session.clear();
    const { stored } = model;
    if ((model.values.size || model.flash.size) && (stored?.values.length || stored?.flash.length)) model.cleared = true;
    model.values.clear();
    model.flash.clear();
  },
  flash(session, model, { pick }) {
    const [key, value] = [pick(KEYS), pick(VALUES)];
    session.flash(key, fresh(value));
    model.flash.set(key, fresh(value));
  },
  take_flash(session, model, { pick }) {
    const key = pick(KEYS);
    assert.deepStrictEqual(session.takeFlash(key), model.flash.get(key));
    model.flash.delete(key);
  },
  data_set(session, model, { pick }) {
    const [key, value] = [pick(KEYS), pick(VALUES)];
    session.data[key] = fresh(value);
    model.set(key, value);
  },
  data_delete(session, model, { pick }) {
    const key = pick(KEYS);
    delete session.data[key];
    model.remove(key);
    // An object has its own order for such keys. Detect the removal before the key is set again, so that it moves.
    if (/^\d/.test(key)) void session.size;
  },
  data_nested(session, model, { pick }) {
    const key = pick(KEYS);
    const value = model.values.get(key);
    if (Array.isArray(value)) {
      session.data[key].push("nested");
      value.push("nested");
    } else if (value && typeof value === "object") {
      session.get(key).nested = 1;
      value.nested = 1;
    }
  },
  iterate(session, model) {
    assert.deepStrictEqual([...session], [...model.values]);
    assert.deepStrictEqual([...session.keys()], [...model.values.keys()]);
    assert.deepStrictEqual([...session.values()], [...model.values.values()]);
  },
  expiry(session, model, { below }, { clock }) {
    const seconds = 600 + below(600);
    session.setExpiry(seconds);
    const end = clock.now() + seconds * 1000;
    model.setExpiry = end !== model.expiry || model.setExpiry;
    model.expiry = end;
    assert.equal(session.getExpiryAge(), seconds);
  },
  modified: (session, model) => assert.equal(session.modified, model.changed),
  needs_update(session, model) {
    if (model.changed) assert.equal(session.needsUpdate(), true);
  },
  second_look(session) {
    const before = session.modified;
    JSON.stringify(session);
    void [session.size, session.toString(), session.sessionKey, session.version, session.owner];
    assert.equal(session.modified, before);
  },
};

function failsWith(code, run) {
  assert.throws(run, (error) => {
    assert.equal(error.code, code);
    count(`error ${code}`);
    return true;
  });
}

/** Steps between requests. */
const steps = {
  async save(it) {
    const { changed } = it.model;
    const { puts } = it.memory.operations;
    await it.session.save();
    it.model.saved();
    const put = it.memory.operations.puts - puts;
    if (changed) assert.ok(put >= 1);
    else assert.equal(put, 0, "nothing changed, nothing is put");
    assert.equal(it.session.modified, it.model.changed);
  },
  async next_request(it) {
    await it.end();
    it.model.saved();
    if (!it.model.stored) it.model.forget();
    await it.begin();
  },
  async dropped_request(it) {
    const response = await it.sessions.commit(it.session, new Response("", { status: 500 }));
    it.browser.keep(response);
    it.model.forget();
    await it.begin();
  },
  async clock(it, { below }) {
    it.clock.advance(below(100_000)); // less than the shortest expiry
  },
  async load_fresh(it) {
    await it.session.load({ fresh: true });
  },
  async flush(it, { pick }) {
    const keep = pick([[], ["a", "10"], ["none"]]);
    await it.session.flush({ keep });
    it.model.stored = null;
    it.model.forget({ keep: [...it.model.values].filter(([key]) => keep.includes(key)) });
    assert.equal(it.session.isNew, true);
  },
  async destroy(it) {
    await it.session.destroy();
    failsWith("destroyed", () => it.session.set("a", 1));
    await it.end();
    it.model.stored = null;
    it.model.forget();
    await it.begin();
    assert.equal(it.session.outcome, "new");
  },
  async bind(it) {
    it.session.bind("ada");
    assert.equal(it.session.owner, "ada");
    await it.session.save();
    // A new lineage starts with the expiry of the settings.
    it.model.expiry = it.model.setExpiry ? it.model.expiry : null;
    it.model.saved({ made: true });
  },
  async cycle(it) {
    it.session.cycleKey();
    const key = it.session.sessionKey;
    await it.session.save();
    it.model.saved({ made: true });
    assert.equal(it.session.sessionKey, key);
  },
};

async function run(seed) {
  const random = dice(seed);
  const it = world({ settings: { isolateCacheTtl: random.pick([0, 10]), seal: random.pick([true, true, false]) } });
  Object.assign(it, { model: new Model(), START });
  it.begin = async () => {
    it.session = await it.browser.load();
  };
  it.end = async () => {
    it.browser.keep(await it.sessions.commit(it.session, new Response()));
  };
  await it.begin();
  const history = [];
  try {
    const length = 5 + random.below(56);
    for (let i = 0; i < length; i++) {
      const name = random.pick(random.below(4) ? Object.keys(operations) : Object.keys(steps));
      history.push(name);
      count(name);
      // Expiry has its own tests, so move ends that come close.
      if (it.model.expiry !== null && it.model.expiry - it.clock.now() < 200_000) {
        operations.expiry(it.session, it.model, random, it);
      }
      if (operations[name]) operations[name](it.session, it.model, random, it);
      else await steps[name](it, random);
      assert.deepStrictEqual([...it.session], [...it.model.values]);
      assert.equal(it.session.size, it.model.values.size);
    }
  } catch (error) {
    throw new Error(`sequence ${seed}: ${history.join(", ")}`, { cause: error });
  }
}

test(`${SEQUENCES} random sequences agree with a plain map`, { timeout: 300_000 }, async (t) => {
  const warn = t.mock.method(console, "warn", () => {});
  for (let i = 0; i < SEQUENCES; i++) await run(SEED * 1_000_003 + i);
  // The only warning is about the number of connectors: nothing was changed after a commit.
  const warned = warn.mock.calls.map(({ arguments: [text] }) => text).filter((text) => !text.includes("KV namespaces or connectors, and drops"));
  assert.deepEqual(warned, []);
  const never = [...Object.keys(operations), ...Object.keys(steps)].filter((name) => !counts[name]);
  t.diagnostic(JSON.stringify(counts));
  assert.deepEqual(never, [], "operations that never occurred");
  for (const code of ["missing_key", "invalid_value", "too_large", "destroyed"]) assert.ok(counts[`error ${code}`] > 0, code);
});
