// The connector for Durable Objects, with a fake namespace, for cases that a runtime on one machine cannot
// produce.

import assert from "node:assert/strict";
import { test } from "node:test";

import { ObjectConnector, isObjectNamespace } from "../../pkg/object-connector.js";

/** A namespace whose objects respond with `answer`. `calls` is the log. */
function standIn(answer, calls = []) {
  return {
    calls,
    idFromName: (name) => ({ name }),
    get(id, options) {
      calls.push({ get: id.name, options });
      return { fetch: async (url, init) => answer(url, JSON.parse(init.body), init) };
    },
    jurisdiction(name) {
      calls.push({ jurisdiction: name });
      return standIn(answer, calls);
    },
  };
}

const rows = (url, { keys }) => Response.json({ rows: keys.map(() => null) });

test("a namespace of objects is distinguished from one of KV", () => {
  assert.equal(isObjectNamespace(standIn(rows)), true);
  assert.equal(isObjectNamespace({ get() {}, put() {}, delete() {}, list() {} }), false);
  for (const nothing of [undefined, null, "SESSION_OBJECTS", { idFromName: "no" }]) assert.equal(isObjectNamespace(nothing), false);
});

test("each call makes a stub of its own, with the hint where the object should be", async () => {
  const namespace = standIn(rows);
  const connector = new ObjectConnector(namespace, { locationHint: "weur" });
  assert.deepEqual([await connector.read("o.ada", ["a"]), await connector.read("a.1", ["a", "b"])], [[null], [null, null]]);
  assert.deepEqual(namespace.calls, [
    { get: "o.ada", options: { locationHint: "weur" } },
    { get: "a.1", options: { locationHint: "weur" } },
  ]);
  const plain = standIn(rows);
  await new ObjectConnector(plain).read("o.ada", []);
  assert.deepEqual(plain.calls, [{ get: "o.ada", options: undefined }]);
});

test("a jurisdiction narrows the namespace before any name is looked up", async () => {
  const namespace = standIn(rows);
  const connector = new ObjectConnector(namespace, { jurisdiction: "eu" });
  await connector.read("o.ada", ["a"]);
  assert.deepEqual(namespace.calls, [{ jurisdiction: "eu" }, { get: "o.ada", options: undefined }]);
});

test("each operation is one request", async () => {
  const asked = [];
  const answers = { read: { rows: [null] }, transact: { done: true }, list: { keys: [] } };
  const connector = new ObjectConnector(
    standIn((url, body, { method }) => {
      asked.push([method, new URL(url).pathname, body]);
      return Response.json(answers[url.split("/").at(-1)]);
    }),
  );
  await connector.read("s", ["a"]);
  await connector.transact("s", [{ absent: "a" }], []);
  await connector.list("s", "a.");
  await connector.list("s", "a.", "a.1");
  assert.deepEqual(asked, [
    ["POST", "/v1/read", { keys: ["a"] }],
    ["POST", "/v1/transact", { checks: [{ absent: "a" }], writes: [] }],
    ["POST", "/v1/list", { prefix: "a." }],
    ["POST", "/v1/list", { prefix: "a.", cursor: "a.1" }],
  ]);
});

const failing = (make) =>
  new ObjectConnector(
    standIn(() => {
      throw make();
    }),
  );

test("an overloaded object has a code of its own", async () => {
  const cause = Object.assign(new Error("Durable Object is overloaded. Too many requests queued."), { overloaded: true, retryable: true });
  await assert.rejects(failing(() => cause).transact("s", [], []), (error) => {
    assert.deepEqual([error.code, error.cause, error.message], ["overloaded", cause, cause.message]);
    return true;
  });
});

test("any other exception is passed on as it is: the fate of the call is not known", async () => {
  const reset = Object.assign(new Error("Durable Object reset because its code was updated."), { retryable: true, durableObjectReset: true });
  for (const thrown of [reset, new Error("Network connection lost."), "text"]) {
    await assert.rejects(failing(() => thrown).transact("s", [], []), (error) => {
      assert.equal(error, thrown);
      assert.equal(error.code, undefined);
      return true;
    });
  }
});

test("an answer that is not from a SessionObject gives an error without a code", async () => {
  const odd = [
    () => Response.json({}),
    () => Response.json({ rows: [] }),
    () => Response.json({ rows: [null] }, { status: 500 }),
    () => Response.json({ error: 3 }, { status: 400 }),
  ];
  for (const answer of odd) {
    await assert.rejects(new ObjectConnector(standIn(answer)).read("s", ["a"]), (error) => {
      assert.match(error.message, /gave an unexpected answer to read \(status \d+\): check that its class is SessionObject/);
      assert.equal(error.code, undefined);
      return true;
    });
  }
  await assert.rejects(new ObjectConnector(standIn(() => new Response("hello"))).read("s", ["a"]), SyntaxError);
});
