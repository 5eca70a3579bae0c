// KV fails: pages that need the session say so, others still work, and nothing is lost.

import assert from "node:assert/strict";
import { after, before, beforeEach, test } from "node:test";

import {
  COOKIE,
  NO_OPERATIONS,
  W,
  browserWith,
  expectAnonymous,
  expectProblem,
  expectSession,
  startSessions,
} from "./support/sessions.mjs";

let world;

before(async () => {
  world = await startSessions();
});
beforeEach(async () => {
  await world.reset();
  await world.freeze();
});
after(() => world.stop());

for (const status of [500, 503]) {
  test(`every operation answers ${status}: 503 for what needs the session, and no cookie`, async () => {
    const browser = await browserWith(world, { a: 1 });
    const cookies = browser.cookieHeader("/");
    await world.advance(W);
    await world.storage.addFault({ status });
    const before = await world.storage.dump();

    for (const [method, path, body] of [
      ["GET", "/api/session"],
      ["GET", "/api/session/data/a"],
      ["PUT", "/api/session/data/a", 2],
      ["PATCH", "/api/session/data", { a: 2 }],
      ["DELETE", "/api/session/data/a"],
      ["POST", "/api/session/data/a/pop"],
      ["POST", "/api/session/cycle"],
      ["PUT", "/api/session/expiry", { seconds: 60 }],
    ]) {
      const answer = await browser.send(method, path, body);
      await expectProblem(answer, 503, "unavailable");
      assert.match(answer.headers["retry-after"] ?? "", /^\d+$/, `${method} ${path}`);
    }
    assert.deepEqual(await world.storage.dump(), before);

    await world.storage.clearFaults();
    await expectSession(browser.fetch("/api/session"), { data: { a: 1 } });
    assert.ok(cookies.startsWith(browser.cookieHeader("/")), "the cookies are as they were");
  });
}

test("a page that does not read the session answers, cookie or not", async () => {
  const browser = await browserWith(world, { a: 1 });
  await world.advance(W);
  await world.storage.addFault({ status: 500 });
  const { counts } = await world.storage.counted(async () => {
    for (const who of [browser, world.browser()]) {
      const answer = await who.fetch("/healthz");
      assert.deepEqual([answer.status, answer.json], [200, { status: "ok" }]);
      assert.deepEqual(answer.setCookies, []);
    }
    await expectAnonymous(world.browser().fetch("/api/session"));
  });
  assert.deepEqual(counts, NO_OPERATIONS);
});

test("a first write that cannot be stored mints nothing", async () => {
  const browser = world.browser();
  await world.storage.addFault({ op: "put", status: 500 });
  await expectProblem(browser.send("PUT", "/api/session/data/a", 1), 503, "unavailable");
  assert.deepEqual(browser.received, []);
  await world.storage.clearFaults();
  await expectSession(browser.send("PUT", "/api/session/data/a", 1), { data: { a: 1 } });
});

test("a put that failed leaves the session as it was", async () => {
  const browser = await browserWith(world, { a: 1 });
  await world.advance(W);
  await world.storage.addFault({ op: "put", status: 500 });
  await expectProblem(browser.send("PUT", "/api/session/data/a", 2), 503, "unavailable");
  await world.storage.clearFaults();
  await world.advance(W);
  await expectSession(browser.fetch("/api/session"), { data: { a: 1 } });
});

test("a passing failure is tried again", async () => {
  const browser = await browserWith(world, { a: 1 });
  await world.advance(W);
  await world.storage.addFault({ op: "read", status: 503, times: 1 });
  await expectSession(browser.fetch("/api/session"), { data: { a: 1 } });
  await world.advance(W);
  await world.storage.addFault({ op: "put", status: 500, times: 1 });
  await expectSession(browser.send("PUT", "/api/session/data/a", 2), { data: { a: 2 } });
});

test("tries are few", async () => {
  const browser = await browserWith(world, { a: 1 });
  await world.advance(W);
  await world.storage.addFault({ status: 500 });
  const { counts } = await world.storage.counted(() => browser.fetch("/api/session"));
  assert.ok(counts.reads >= 1 && counts.reads <= 5, JSON.stringify(counts));
});

test("a spent quota is reported, and not retried", async () => {
  const browser = await browserWith(world, { a: 1 });
  await world.advance(W);
  await world.storage.addFault({ op: "put", throws: "KV put() limit exceeded for the day." });
  const { result, counts } = await world.storage.counted(() =>
    browser.send("PUT", "/api/session/data/a", 2),
  );
  await expectProblem(result, 503, "quota");
  assert.equal(counts.puts, 1);
  await expectSession(browser.fetch("/api/session"), { data: { a: 1 } });
});

test("a rotation whose marker could not be stored leaves the old session valid", async () => {
  const browser = await browserWith(world, { a: 1 });
  await world.advance(W);
  await world.storage.addFault({ op: "put", prefix: "k.", status: 500 });
  const answer = browser.fetch("/api/session/cycle", { method: "POST" });
  await expectProblem(answer, 503, "unavailable");
  await world.storage.clearFaults();
  await world.advance(W);
  await expectSession(browser.fetch("/api/session"), { data: { a: 1 } });
  await expectSession(browser.send("PUT", "/api/session/data/a", 2), { data: { a: 2 } });
});

test("no answer tells what KV said or where things are stored", async () => {
  const browser = await browserWith(world, { a: 1 });
  const { key } = (await browser.fetch("/api/session")).json;
  await world.advance(W);
  await world.storage.addFault({ status: 500 });
  const { text } = await browser.fetch("/api/session");
  assert.ok(!/KV |GET_BULK|Internal Server Error/.test(text) && !text.includes(key), text);
});

test("a logout that cannot be stored is a logout, and is finished by the next request", async () => {
  const browser = await browserWith(world, { a: 1 });
  const thief = browser.clone();
  const { value: old } = browser.get(COOKIE);
  await world.advance(W);
  await world.storage.addFault({ op: "put", status: 500 });
  const answer = await browser.fetch("/api/session", { method: "DELETE" });
  assert.deepEqual([answer.status, answer.json.code], [503, "revocation_pending"]);
  // The only cookie written in an outage. It names the ended session and does not open one.
  assert.deepEqual(browser.names, [COOKIE]);
  const token = Buffer.from(old, "base64url").subarray(6, 38);
  assert.ok(!Buffer.from(browser.get(COOKIE).value, "base64url").includes(token));

  const anonymous = async () => {
    const { key, data } = await expectSession(browser.fetch("/api/session"));
    assert.deepEqual([key, data], [null, {}]);
  };
  await anonymous();
  // The isolate that handled the logout knows of it, whatever the store did.
  await expectSession(thief.fetch("/api/session"), { data: {} });

  await world.storage.clearFaults();
  await anonymous();
  const markers = Object.keys(await world.storage.dump()).filter((key) => !key.startsWith("s."));
  assert.deepEqual(markers.map((key) => key[0]).sort(), ["k", "l"]);
  await expectProblem(thief.send("PUT", "/api/session/data/a", 2), 409, "revoked");
  await expectSession(browser.send("PUT", "/api/session/data/b", 2), { data: { b: 2 } });
});

test("a put that was applied though it was reported as failed does no harm", async () => {
  const browser = await browserWith(world, { a: 1 });
  await world.advance(W);
  await world.storage.addFault({ op: "put", status: 500, applied: true });
  const answer = await browser.send("PUT", "/api/session/data/a", 2);
  await world.storage.clearFaults();
  assert.ok([200, 503].includes(answer.status), answer.text);
  await expectSession(browser.fetch("/api/session"), { data: { a: 2 } });
  await expectSession(browser.send("PUT", "/api/session/data/b", 3), { data: { a: 2, b: 3 } });
});
