// Refused requests of the HTTP interface.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, test } from "node:test";

import {
  D,
  NO_OPERATIONS,
  W,
  browserWith,
  expectProblem,
  expectSession,
  startSessions,
} from "./support/sessions.mjs";

let world;

before(async () => {
  world = await startSessions();
  await world.freeze();
});
after(() => world.stop());

/** None of these requests may reach the storage or change a cookie. */
async function refused(action) {
  const { counts } = await world.storage.counted(action);
  assert.deepEqual(counts, NO_OPERATIONS);
}

test("/healthz is well", async () => {
  const { status, headers, json } = await world.fetch("/healthz");
  assert.equal(status, 200);
  assert.match(headers["content-type"], /^application\/json\b/);
  assert.deepEqual(json, { status: "ok" });
});

test("/api/store says where sessions are kept, and asks the store nothing", async () => {
  const browser = await browserWith(world, { a: 1 });
  const { result, counts } = await world.storage.counted(() => browser.fetch("/api/store"));
  assert.equal(result.status, 200, result.text);
  assert.deepEqual(result.json, { storage: "kv", stalenessBound: D, window: W });
  assert.deepEqual([counts, result.setCookies, result.headers["cache-control"]], [NO_OPERATIONS, [], "no-store"]);
  const other = await startSessions({ vars: { SESSION_PROPAGATION: "20", SESSION_ISOLATE_CACHE_TTL: "0" } });
  try {
    assert.deepEqual((await other.fetch("/api/store")).json, { storage: "kv", stalenessBound: 52, window: 90 });
  } finally {
    await other.stop();
  }
});

test("HEAD is GET without the body", async () => {
  const browser = await browserWith(world, { a: 1 });
  for (const path of ["/healthz", "/api/store", "/api/session", "/api/session/data/a"]) {
    const [get, head] = [await browser.fetch(path), await browser.fetch(path, { method: "HEAD" })];
    assert.deepEqual([head.status, head.text], [200, ""], path);
    assert.equal(head.headers["content-type"], get.headers["content-type"], path);
  }
  const absent = await browser.fetch("/api/session/data/none", { method: "HEAD" });
  assert.equal(absent.status, 404);
});

test("an unknown route is 404", () =>
  refused(async () => {
    for (const path of [
      "/api",
      "/api/",
      "/api/nothing",
      "/api/sessionx",
      "/api/session/",
      "/api/session/nothing",
      "/api/session/data/a/b",
      "/api/session/data/a/pop/x",
      "/api/session/flash",
      "/api/session/flash/a/pop",
      "/API/session",
      "/healthz/",
    ]) {
      const { status, json } = await world.fetch(path);
      assert.deepEqual([status, json.code], [404, "not_found"], path);
    }
  }));

test("a wrong method is 405, with those that are right", () =>
  refused(async () => {
    for (const [method, path, allow] of [
      ["POST", "/healthz", ["GET"]],
      ["POST", "/api/session", ["GET", "DELETE"]],
      ["PUT", "/api/session", ["GET", "DELETE"]],
      ["GET", "/api/session/data", ["PATCH", "DELETE"]],
      ["POST", "/api/session/data/a", ["GET", "PUT", "DELETE"]],
      ["GET", "/api/session/data/a/pop", ["POST"]],
      ["GET", "/api/session/flash/a", ["PUT"]],
      ["GET", "/api/session/flash/a/take", ["POST"]],
      ["GET", "/api/session/cycle", ["POST"]],
      ["POST", "/api/session/expiry", ["PUT"]],
      // Methods that the crate `worker` does not know.
      ["PROPFIND", "/healthz", ["GET"]],
      ["PROPFIND", "/api/store", ["GET"]],
      ["PROPFIND", "/api/session", ["GET", "DELETE"]],
      ["SEARCH", "/api/session/data/a", ["GET", "PUT", "DELETE"]],
    ]) {
      const answer = await world.fetch(path, { method });
      await expectProblem(answer, 405, "method_not_allowed");
      const given = (answer.headers.allow ?? "").split(/\s*,\s*/).filter((name) => name !== "HEAD" && name !== "OPTIONS");
      assert.deepEqual(given.sort(), [...allow].sort(), `${method} ${path}`);
    }
  }));

test("the routes are those of docs/http-api.md, each with its methods", async () => {
  const page = readFileSync(new URL("../../docs/http-api.md", import.meta.url), "utf8");
  const documented = new Map();
  for (const [, method, path] of page.matchAll(/^\| `([A-Z]+) (\/\S*)` \|/gm)) documented.set(path, [...(documented.get(path) ?? []), method]);
  assert.ok(documented.size > 10);
  for (const [path, methods] of documented) {
    // No route accepts all five.
    const wrong = ["POST", "PUT", "PATCH", "DELETE", "GET"].find((method) => !methods.includes(method));
    const answer = await world.fetch(path.replaceAll("{key}", "a"), { method: wrong });
    assert.deepEqual([answer.status, answer.json.code], [405, "method_not_allowed"], `${wrong} ${path}`);
    const allowed = answer.headers.allow.split(", ").filter((method) => method !== "HEAD");
    assert.deepEqual(allowed.sort(), methods.sort(), path);
  }
  // Every route in the source is tested.
  const source = readFileSync(new URL("../../src/face/worker/api.rs", import.meta.url), "utf8");
  const routes = [...source.matchAll(/^ {8}\[("api", .*)\](?: if demo)? => /gm)].map(([, segments]) =>
    `/${segments.split(", ").map((segment) => (segment === "key" ? "{key}" : JSON.parse(segment))).join("/")}`,
  );
  assert.deepEqual(routes.filter((path) => !documented.has(path)), []);
  assert.equal(routes.length, documented.size - 2, "all but /healthz and /api/store, which open no session");
});

test("a body that is not JSON is 400, and says where", () =>
  refused(async () => {
    const put = (body) => world.fetch("/api/session/data/a", { method: "PUT", body });
    for (const body of ["", " ", "{", "nul", "[1,]", '"open', "{'a':1}", "1 2", "\ufeff1", "NaN", '"\t"']) {
      await expectProblem(put(body), 400, "invalid_json");
    }
    await expectProblem(put(Buffer.from([0x22, 0xff, 0x22])), 400, "invalid_json");
    const { detail } = await expectProblem(put('{\n  "a": 1,\n  "b" 2\n}'), 400, "invalid_json");
    assert.match(detail, /\bline 3\b.*\bcolumn \d+/);
  }));

test("an update that is not an object is refused", () =>
  refused(async () => {
    for (const body of ["[]", "1", "null", '"a"']) {
      const answer = await world.fetch("/api/session/data", { method: "PATCH", body });
      assert.equal(answer.status, 422, answer.text);
      assert.match(answer.json.code, /^(invalid_value|wrong_type)$/);
    }
  }));

test("a body over 64 KiB is 413, one of 64 KiB is not", async () => {
  const text = (bytes) => JSON.stringify("x".repeat(bytes - 2));
  const put = (body, headers) => world.fetch("/api/session/data/a", { method: "PUT", body, headers });
  await refused(async () => {
    await expectProblem(put(text(65_537)), 413, "too_large");
    await expectProblem(put(text(1_000_000)), 413, "too_large");
    // Without a Content-Length, so that the size is not known in advance.
    await expectProblem(put(text(65_537), { "Transfer-Encoding": "chunked" }), 413, "too_large");
  });
  const browser = world.browser();
  const options = { method: "PUT", body: text(65_536) };
  await expectSession(browser.fetch("/api/session/data/a", options));
  assert.equal((await browser.fetch("/api/session/data/a")).json.length, 65_534);
});

test("what a session cannot hold is refused, and nothing is stored", () =>
  refused(async () => {
    const put = (key, body) => world.fetch(`/api/session/data/${key}`, { method: "PUT", body });
    await expectProblem(put("k".repeat(257), "1"), 413, "too_large");
    const deep = "[".repeat(1000) + "]".repeat(1000);
    const { status, json } = await put("a", deep);
    assert.ok([400, 413, 422].includes(status), JSON.stringify(json));
    const many = JSON.stringify(Object.fromEntries(Array.from({ length: 1001 }, (_, i) => [`k${i}`, 1])));
    const answer = world.fetch("/api/session/data", { method: "PATCH", body: many });
    await expectProblem(answer, 413, "too_large");
  }));

test("a key with invalid percent-encoding is refused", () =>
  refused(async () => {
    for (const key of ["%", "%zz", "%ff"]) {
      const { status, text } = await world.fetch(`/api/session/data/${key}`);
      assert.ok([400, 404, 422].includes(status), `${key}: ${status} ${text}`);
    }
  }));

test("another site's request changes nothing", async () => {
  const browser = await browserWith(world, { a: 1 });
  const { json: session } = await browser.fetch("/api/session");
  const before = await world.storage.dump();
  const origin = world.origin();
  const cookie = browser.cookieHeader("/");
  const changes = [
    ["PUT", "/api/session/data/a", "2"],
    ["PATCH", "/api/session/data", "{}"],
    ["DELETE", "/api/session/data/a"],
    ["DELETE", "/api/session/data"],
    ["POST", "/api/session/data/a/pop"],
    ["PUT", "/api/session/flash/a", "1"],
    ["POST", "/api/session/flash/a/take"],
    ["PUT", "/api/session/expiry", "{}"],
    ["POST", "/api/session/cycle"],
    ["DELETE", "/api/session"],
  ];
  await refused(async () => {
    for (const headers of [
      { "Sec-Fetch-Site": "cross-site" },
      { "Sec-Fetch-Site": "same-site" },
      { "Sec-Fetch-Site": "cross-site", Origin: "https://evil.example" },
      { "Sec-Fetch-Site": "elsewhere" },
      { Origin: "https://evil.example" },
      { Origin: "null" },
      { Origin: `${origin}.evil.example` },
      { Origin: origin.replace("http:", "https:") },
    ]) {
      for (const [method, path, body] of changes) {
        const answer = world.fetch(path, { method, body, headers: { ...headers, Cookie: cookie } });
        await expectProblem(answer, 403, "forbidden");
      }
    }
  });
  assert.deepEqual(await world.storage.dump(), before);
  await expectSession(browser.fetch("/api/session", { from: "cross-site" }), { key: session.key });
});

test("our own requests and those of no browser are let in", async () => {
  for (const headers of [
    {},
    { "Sec-Fetch-Site": "same-origin" },
    { "Sec-Fetch-Site": "same-origin", Origin: world.origin() },
    { "Sec-Fetch-Site": "none" },
    { Origin: world.origin() },
  ]) {
    const options = { method: "PUT", body: "1", headers };
    await expectSession(world.fetch("/api/session/data/a", options), { data: { a: 1 } });
  }
});
