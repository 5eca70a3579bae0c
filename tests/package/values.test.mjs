// Each kind of value is either stored and read back as listed, or refused with its path.

import assert from "node:assert/strict";
import { test } from "node:test";
import { runInNewContext } from "node:vm";

import { Sessions } from "../../pkg/node.js";
import { SECRET, code, world } from "./support/world.mjs";

const cycle = { name: "x" };
cycle.self = [cycle];
const shared = { n: 1 };
const nested = (depth, value = 1) => (depth === 0 ? value : [nested(depth - 1, value)]);
const throwing = new Error("getter");
class Point {
  x = 1;
}
class Money {
  #cents = 5;
  toJSON() {
    return { cents: this.#cents };
  }
}

/** Accepted values: what is set, and what the next request reads (by default the same). */
const carried = {
  null: [null],
  true: [true],
  false: [false],
  zero: [0],
  minus_zero: [-0],
  float: [0.1],
  largest: [Number.MAX_VALUE],
  smallest: [Number.MIN_VALUE],
  "1e21": [1e21],
  max_safe: [Number.MAX_SAFE_INTEGER],
  empty_text: [""],
  controls: ['\u0000\n\r\t"\\\u2028\u007f'],
  emoji: ["👩‍👩‍👧"],
  lone_surrogates: ["a\ud800b\udc00"],
  megabyte_of_text: ["x".repeat(1_000_000)],
  empty_array: [[]],
  empty_object: [{}],
  nested_64_deep: [nested(64)],
  mixed: [{ a: [1, { b: null }, "c"], d: { e: { f: [] } } }],
  shared_twice: [{ one: shared, two: shared }],
  without_prototype: [Object.assign(Object.create(null), { a: 1 }), { a: 1 }],
  key_proto: [JSON.parse('{"__proto__":{"x":1},"constructor":2}')],
  integer_like_keys: [{ 10: "a", 2: "b", x: "c" }],
  surrogate_key_inside: [{ "\ud800": 1 }],
  property_undefined: [{ a: undefined, b: 1 }, { b: 1 }],
  url: [new URL("https://example.com/a"), "https://example.com/a"],
  to_json: [new Money(), { cents: 5 }],
  to_json_of_itself: [{ a: 1, toJSON() { return { b: this.a }; } }, { b: 1 }],
  boxed: [[new Number(1), new String("a"), new Boolean(false)], [1, "a", false]],
  getter: [{ get a() { return [1]; } }, { a: [1] }],
  frozen: [Object.freeze({ a: Object.freeze([1]) }), { a: [1] }],
  other_realm: [runInNewContext("({ a: [1, { b: 2 }] })"), { a: [1, { b: 2 }] }],
};

/** Refused values, and the path in the error. */
const refused = {
  undefined: [undefined, "v"],
  undefined_in_array: [{ a: [1, undefined] }, "v.a[1]"],
  hole: [[1, , 3], "v[1]"],
  to_json_undefined: [{ a: { toJSON() {} } }, "v.a"],
  nan: [{ a: { b: NaN } }, "v.a.b"],
  infinity: [[[Infinity]], "v[0][0]"],
  boxed_nan: [[new Number(NaN)], "v[0]"],
  bigint: [{ "a b": 1n }, 'v["a b"]'],
  symbol: [[Symbol("x")], "v[0]"],
  function: [{ f() {} }, "v.f"],
  map: [new Map([[1, 2]]), "v"],
  set: [[new Set([1])], "v[0]"],
  bytes: [{ b: new Uint8Array([1]) }, "v.b"],
  buffer: [new ArrayBuffer(1), "v"],
  regexp: [/x/, "v"],
  error: [[new Error("x")], "v[0]"],
  promise: [Promise.resolve(1), "v"],
  headers: [new Headers(), "v"],
  class_instance: [{ p: new Point() }, "v.p"],
  date: [{ at: new Date(0) }, "v.at"],
  date_of_a_class: [new (class Day extends Date {})(0), "v"],
  date_of_another_realm: [[runInNewContext("new Date(0)")], "v[0]"],
  date_by_to_json: [{ at: { toJSON: () => new Date(0) } }, "v.at"],
  invalid_date: [[new Date(NaN)], "v[0]"],
  symbol_key: [{ a: { [Symbol("x")]: 1, b: 2 } }, "v.a[Symbol(x)]"],
  not_enumerable: [{ a: Object.defineProperty({ a: 2 }, "b", { value: 1 }) }, "v.a.b"],
  not_enumerable_symbol: [Object.defineProperty({}, Symbol("x"), { value: 1 }), "v[Symbol(x)]"],
  named_array: [{ a: Object.assign([1], { total: 1 }) }, "v.a.total"],
  named_empty_array: [Object.assign([], { "a b": 1 }), 'v["a b"]'],
  array_with_symbol: [[Object.assign([1], { [Symbol("x")]: 1 })], "v[0][Symbol(x)]"],
  array_of_a_class: [{ list: new (class List extends Array {})(0) }, "v.list"],
  match: [{ found: "a=1".match(/(.)=(.)/) }, "v.found.index"],
  match_with_groups: ["a=1".match(/(?<name>.)=/), "v.index"],
  template: [((strings) => strings)`a${1}b`, "v.raw"],
  arguments: [(function () { return arguments; })(1), "v.length"],
  boxed_with_a_member: [[Object.assign(new String("a"), { x: 1 })], "v[0]"],
  buffer_of_node: [{ bytes: Buffer.from("x") }, "v.bytes"],
  module: [await import("node:path"), "v[Symbol(Symbol.toStringTag)]"],
  cycle: [cycle],
  nested_65_deep: [nested(65)],
  nested_100_deep: [nested(100)],
  nested_100000_deep: [nested(5000)],
  getter_throws: [{ a: { get b() { throw throwing; } } }, "v.a.b", throwing],
  to_json_throws: [{ a: { toJSON() { throw throwing; } } }, "v.a", throwing],
  proxy_throws: [{ a: new Proxy({}, { ownKeys() { throw throwing; } }) }, "v.a", throwing],
};

for (const [name, [value, expected = value]] of Object.entries(carried)) {
  test(`carried: ${name}`, async () => {
    const { browser } = world({ settings: { maxRecordBytes: 2_000_000 } });
    await browser.ask((session) => session.set("v", value));
    await browser.ask((session) => {
      const read = session.get("v");
      assert.deepStrictEqual(read, expected);
      if (Object.is(value, -0)) assert.ok(Object.is(read, -0));
      // Neither reading a value nor setting it again is a change.
      assert.equal(session.modified, false);
      session.set("v", read);
      assert.equal(session.modified, false, "an equal value");
    });
    // The same through `data`.
    const other = world({ settings: { maxRecordBytes: 2_000_000 } });
    await other.browser.ask((session) => {
      session.data.v = value;
    });
    assert.deepStrictEqual(await other.browser.ask((session) => session.data.v), expected);
  });
}

for (const [name, [value, path, cause]] of Object.entries(refused)) {
  test(`refused: ${name}`, async () => {
    const { browser, memory } = world();
    await browser.ask((session) => {
      assert.throws(
        () => session.set("v", value),
        (error) => {
          code("invalid_value")(error);
          if (path) assert.equal(error.path, path);
          else assert.match(error.path, /^v(\.self\[0\]|\[0\])+/);
          assert.ok(error.message.startsWith(error.path));
          assert.equal(error.cause, cause);
          return true;
        },
      );
      assert.equal(session.has("v"), false);
    });
    assert.equal(memory.operations.puts, 0);
    if (value === undefined) return;
    const { response } = await browser.visit((session) => {
      session.data.w = 1;
      session.data.v = value;
    });
    assert.equal(response.status, 422);
    assert.equal((await response.json()).code, "invalid_value");
    assert.equal(memory.operations.puts, 0, "refused before any put");
    assert.equal(browser.cookie, null);
  });
}

test("a value of data that is undefined counts as absent", async () => {
  const { browser } = world();
  await browser.ask((session) => session.update({ a: 1, b: 2 }));
  await browser.ask((session) => {
    session.data.a = undefined;
    session.data.c = undefined;
    assert.equal(session.has("a"), false);
    assert.equal(session.size, 1);
  });
  assert.deepEqual(await browser.ask((session) => [...session]), [["b", 2]]);
});

test("unchanged keys keep their stored text, whoever wrote it", async () => {
  // Plain records show the stored text. Rust writes 1.0 and the largest u64 like this.
  const { browser, memory } = world({ settings: { seal: false } });
  await browser.ask((session) => session.update({ float: 1, big: 2, other: 3 }));
  const record = async () => {
    const { keys } = await memory.list({ prefix: "s." });
    assert.equal(keys.length, 1);
    const [text] = await memory.read([keys[0].name]);
    return { name: keys[0].name, text };
  };
  const { name, text } = await record();
  await memory.put(name, text.replace('"float":1', '"float":1.0').replace('"big":2', '"big":18446744073709551615'));
  // Another isolate, which remembers nothing.
  const elsewhere = world({
    connector: { kind: "memory", read: (...a) => memory.read(...a), put: (...a) => memory.put(...a), delete: () => {} },
    settings: { seal: false },
  });
  const { sessions } = elsewhere;
  await browser.ask(
    (session) => {
      assert.deepEqual({ ...session.data }, { float: 1, big: 18446744073709552000, other: 3 });
      assert.equal(session.modified, false);
      session.set("float", 1);
      assert.equal(session.modified, false);
      session.set("other", 4);
    },
    { sessions },
  );
  const after = (await record()).text;
  assert.ok(after.includes('"float":1.0') && after.includes('"big":18446744073709551615') && after.includes('"other":4'), after);
});

test("an object with a toJSON may lead anywhere, in circles too", async () => {
  const { browser } = world();
  const user = { id: 7, toJSON: () => ({ id: 7 }) };
  user.self = user;
  for (let i = 0; i < 2; i += 1) {
    await browser.ask((session) => {
      session.data.user = user;
      session.data[`nested${i}`] = { user };
    });
  }
  assert.deepEqual((await browser.load()).get("user"), { id: 7 });
});

test("reading what was stored under other limits changes nothing and fails nothing", async () => {
  const { browser, memory, clock } = world();
  const deep = JSON.parse("[".repeat(20) + "]".repeat(20));
  await browser.ask((session) => session.update({ deep, [`long${"k".repeat(100)}`]: [1] }));
  const sessions = new Sessions(memory, { secret: SECRET, clock, maxDepth: 10, maxKeyBytes: 20 });
  memory.resetOperations();
  const page = await browser.visit((session) => Object.keys(session.data).length + session.get("deep").length, { sessions });
  assert.deepEqual([page.response.status, page.result], [200, 3]);
  assert.equal(memory.operations.puts, 0);
  // A change that the limits allow is saved, and one that they do not is refused.
  const smaller = await browser.visit((session) => void (session.get("deep")[0] = 1), { sessions });
  assert.equal(smaller.response.status, 200);
  assert.deepEqual((await browser.load({ fresh: true })).get("deep"), [1]);
  const larger = await browser.visit((session) => void session.get("deep").push(deep), { sessions });
  assert.notEqual(larger.response.status, 200);
});

test("what JSON would lose of a value that was read is refused", async () => {
  const changes = [
    ["list", [1, 2], (list) => (list.total = 5)],
    ["o", { a: null }, (o) => (o.a = NaN)],
    ["v", [null], (v) => (v[0] = () => {})],
    ["m", { m: {} }, (m) => (m.m = new Map([[1, 2]]))],
  ];
  for (const [key, value, change] of changes) {
    const { browser } = world();
    await browser.ask((session) => session.set(key, value));
    const { response } = await browser.visit((session) => void change(session.get(key)));
    assert.deepEqual([response.status, (await response.json()).code], [422, "invalid_value"], key);
  }
});

test("a plain record whose values have line breaks is stored whole", async () => {
  const { browser, memory } = world({ settings: { seal: false, isolateCacheTtl: 0, overlay: false } });
  await browser.ask((session) => session.set("a", { b: [1, 2] }));
  const [key] = (await memory.list({ prefix: "" })).keys.map(({ name }) => name);
  const [text] = await memory.read([key]);
  await memory.put(key, text.replace('{"b":[1,2]}', '{\n "b": [1,\n 2]\r\n}'), {});
  await browser.ask((session) => session.set("c", 3));
  const [stored] = await memory.read([key]);
  assert.doesNotMatch(stored, /[\r\n]/);
  assert.deepEqual({ ...(await browser.load({ fresh: true })).data }, { a: { b: [1, 2] }, c: 3 });
});

test("only strings are keys, whatever was read before", async () => {
  const { browser } = world();
  await browser.ask((session) => session.set("5", "five"));
  const session = await browser.load();
  for (const look of [() => {}, () => session.data]) {
    look();
    assert.deepEqual([session.get(5), session.has(5), session.get("5")], [undefined, false, "five"]);
  }
});
