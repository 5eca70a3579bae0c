// Random requests to both implementations of the Durable Object: valid ones are compared with a model,
// invalid ones with each other.

import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";

import { DAY, HOUR, languages, startObjects } from "./support/world.mjs";

const START = Date.UTC(2100, 0, 1);

/** Numbers in [0, 1), the same for a seed (mulberry32). */
function randomFrom(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

class Dice {
  constructor(seed) {
    this.random = randomFrom(seed);
  }

  below(n) {
    return Math.floor(this.random() * n);
  }

  of(list) {
    return list[this.below(list.length)];
  }

  some(most, make) {
    return Array.from({ length: this.below(most + 1) }, make);
  }
}

/** A model of the object. */
class Model {
  rows = new Map();
  now = START;

  row(key) {
    const row = this.rows.get(key);
    return row && row.expiresAt > this.now ? row : null;
  }

  read({ keys }) {
    return { rows: keys.map((key) => this.row(key)) };
  }

  transact({ checks, writes }) {
    const found = checks.map(({ absent, revision }) => this.row(absent ?? revision[0]));
    if (!checks.every(({ revision }, i) => (revision ? found[i]?.revision === revision[1] : !found[i]))) return { conflict: found };
    for (const { put, replace } of writes) {
      if (put) {
        const { key, dead: _, ...row } = put;
        this.rows.set(key, row);
        continue;
      }
      const { prefix, except, value, revision } = replace;
      for (const [key, { expiresAt }] of this.rows) {
        if (!this.row(key) || !key.startsWith(prefix) || except.some((other) => key.startsWith(other))) continue;
        this.rows.set(key, { value, revision, expiresAt });
      }
    }
    return { done: true };
  }

  list({ prefix, cursor = "" }) {
    const names = [...this.rows.keys()].filter((key) => this.row(key) && key.startsWith(prefix) && key > cursor).sort();
    return { keys: names.map((name) => ({ name, ...(this.row(name).metadata !== undefined && { metadata: this.row(name).metadata }) })) };
  }
}

// Neighbours in byte order, prefixes of one another, and characters with a meaning in SQL.
const KEYS = ["a", "a ", "a!", "a%", "a_", "aa", "a.b", "a.b.c", "a~", "a~~", "b", "A", "~", " ", "'", "a\"b", "%"];
const PREFIXES = ["", ...KEYS];

function request(dice, model) {
  const key = () => dice.of(KEYS);
  const revision = () => String(dice.below(4));
  const known = (name) => (dice.below(4) ? (model.rows.get(name)?.revision ?? revision()) : revision());
  const check = () => {
    const name = key();
    return dice.below(2) && !model.row(name) ? { absent: name } : { revision: [name, known(name)] };
  };
  const write = () => {
    if (!dice.below(4)) {
      const replace = { prefix: dice.of(PREFIXES), except: dice.some(3, () => dice.of(PREFIXES.slice(1))), value: "x", revision: revision() };
      return { replace: dice.below(2) ? { ...replace, dead: true } : replace };
    }
    const put = { key: key(), value: dice.of(["", "v", "'; DROP TABLE sessions", "€\u0000"]), revision: revision() };
    if (!dice.below(3)) put.metadata = dice.of(["", "m"]);
    if (!dice.below(4)) put.dead = dice.of([true, false]);
    return { put: { ...put, expiresAt: model.now + dice.of([-HOUR, 0, 1, HOUR, DAY]) } };
  };
  const kind = dice.below(8);
  if (kind === 0) return ["read", { keys: dice.some(6, key) }];
  if (kind === 1) {
    const body = { prefix: dice.of(PREFIXES) };
    return ["list", dice.below(2) ? { ...body, cursor: key() } : body];
  }
  return ["transact", { checks: dice.some(2, check), writes: dice.some(4, write) }];
}

/** Any JSON. */
function json(dice, depth = 3) {
  const leaves = [null, true, false, 0, -1, 1.5, 1e300, "", "a", "é", "a".repeat(600), START];
  const kind = dice.below(depth ? 4 : 2);
  if (kind < 2) return dice.of(leaves);
  const names = ["key", "value", "revision", "keys", "put", "absent", "prefix", "__proto__", "toString"];
  if (kind === 2) return dice.some(3, () => json(dice, depth - 1));
  return Object.fromEntries(dice.some(3, () => [dice.of(names), json(dice, depth - 1)]));
}

/** A copy with one part replaced, removed or added. */
function mutated(dice, value) {
  if (value === null || typeof value !== "object" || !dice.below(4)) return json(dice);
  const copy = Array.isArray(value) ? [...value] : { ...value };
  const names = Object.keys(copy);
  if (!names.length) return json(dice);
  const name = dice.of(names);
  const what = dice.below(6);
  if (what === 0 && !Array.isArray(copy)) delete copy[name];
  else if (what === 1 && !Array.isArray(copy)) copy[dice.of(["ttl", "put", "revision", "__proto__"])] = json(dice);
  else copy[name] = mutated(dice, copy[name]);
  return copy;
}

suite("random requests", () => {
  const worlds = [];
  before(async () => {
    for (const language of languages) worlds.push(await startObjects(language));
  });
  after(() => Promise.all(worlds.map((world) => world.stop())));

  const seed = Number(process.env.EDGE_SESSION_SEED ?? Date.now() % 2 ** 31);

  test("answers and rows are those of the model, whatever was asked before", async () => {
    let conflicts = 0;
    for (let round = 0; round < 12; round += 1) {
      const dice = new Dice(seed + round);
      const model = new Model();
      const objects = worlds.map((world) => world.object());
      for (const world of worlds) await world.freeze(START);
      for (let step = 0; step < 60; step += 1) {
        const [operation, body] = request(dice, model);
        const wanted = model[operation](body);
        if (wanted.conflict) conflicts += 1;
        for (const [i, object] of objects.entries()) {
          const { status, json } = await object.ask(operation, body);
          const where = `${languages[i]}, EDGE_SESSION_SEED=${seed}, round ${round}, step ${step}: ${JSON.stringify(body)}`;
          assert.deepEqual([status, json], [200, wanted], where);
        }
        if (dice.below(6)) continue;
        const by = dice.of([1, HOUR, 2 * HOUR]);
        model.now += by;
        for (const [i, world] of worlds.entries()) {
          await world.advance(by);
          if (dice.below(2)) await objects[i].look("alarm/run");
        }
      }
    }
    assert.ok(conflicts > 20, `${conflicts} conflicts`);
  });

  test("an invalid request is 400 in every language, and writes nothing", async () => {
    const dice = new Dice(seed);
    const model = new Model();
    const objects = worlds.map((world) => world.object());
    for (const world of worlds) await world.freeze(START);
    let refused = 0;
    for (let step = 0; step < 500; step += 1) {
      const [operation, body] = request(dice, model);
      const random = JSON.stringify(dice.below(4) ? mutated(dice, body) : json(dice));
      const answers = [];
      for (const object of objects) answers.push(await object.ask(operation, random));
      const where = `EDGE_SESSION_SEED=${seed}, step ${step}: ${operation} ${random}`;
      const statuses = answers.map(({ status }) => status);
      assert.ok(statuses.every((status) => [200, 400].includes(status) && status === statuses[0]), `${statuses}: ${where}`);
      // A request that is still valid is carried out.
      const wanted = statuses[0] === 200 && model[operation](JSON.parse(random));
      if (!wanted) refused += 1;
      for (const { json } of answers) {
        if (wanted) assert.deepEqual(json, wanted, where);
        else assert.deepEqual([json.error, typeof json.message], ["bad_request", "string"], where);
      }
    }
    assert.ok(refused > 100, `${refused} were refused`);
    for (const object of objects) {
      const found = (await object.state()).rows.map(({ key, value, metadata, revision, expires_at: expiresAt }) => {
        return [key, { value, ...(metadata !== null && { metadata }), revision, expiresAt }];
      });
      assert.deepEqual(Object.fromEntries(found), Object.fromEntries(model.rows));
    }
  });
});
