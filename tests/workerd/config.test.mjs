// A misconfigured Worker says what is missing, and does not run with a part of its configuration.

import assert from "node:assert/strict";
import { test } from "node:test";

import { expectProblem, expectSession, startSessions } from "./support/sessions.mjs";

/** Starts a Worker, runs an action and stops it. */
async function withWorld(options, action) {
  const world = await startSessions(options);
  try {
    await action(world);
  } finally {
    await world.stop();
  }
}

for (const [what, options, code, word] of [
  ["no secret", { vars: { SESSION_SECRET: undefined } }, "missing_binding", "SESSION_SECRET"],
  ["an empty secret", { vars: { SESSION_SECRET: "" } }, "config", "SESSION_SECRET"],
  ["a short secret", { vars: { SESSION_SECRET: "tooshort" } }, "config", "SESSION_SECRET"],
  ["a secret of one byte", { vars: { SESSION_SECRET: "a".repeat(64) } }, "config", "SESSION_SECRET"],
  ["no KV namespace", { binding: "OTHER" }, "missing_binding", "SESSIONS"],
  ["text in the namespace's place", { binding: "OTHER", vars: { SESSIONS: "kv" } }, "missing_binding", "SESSIONS"],
  ["a misspelt setting", { vars: { SESSION_COKIE_AGE: "60" } }, "config", "SESSION_COOKIE_AGE"],
  ["a setting that is not a number", { vars: { SESSION_COOKIE_AGE: "a week" } }, "config", "SESSION_COOKIE_AGE"],
  ["a misspelt setting that is a number", { vars: { SESSION_IDLE_TIMEOUTT: 900 } }, "config", "SESSION_IDLE_TIMEOUT?"],
  ["a number that is not allowed", { vars: { SESSION_IDLE_TIMEOUT: 900.5 } }, "config", "SESSION_IDLE_TIMEOUT"],
  ["an object", { vars: { SESSION_SEAL: { a: 1 } } }, "config", "SESSION_SEAL: an object is not allowed"],
  ["an array", { vars: { SESSION_SEAL: [true] } }, "config", "SESSION_SEAL: an array is not allowed"],
  ["null", { vars: { SESSION_SEAL: null } }, "config", "SESSION_SEAL: null is not allowed"],
  ["a misspelt setting that is an object", { vars: { SESSION_SEALS: {} } }, "config", "SESSION_SEAL?"],
  ["a secret that is a number", { vars: { SESSION_SECRET: 12345 } }, "config", "SESSION_SECRET: it is not a string"],
  ["an old secret beside the secret", { vars: { SESSION_SECRET_OLD: "hunter2" } }, "config", "SESSION_SECRET, separated by commas"],
  ["the name of another library", { vars: { SESSION_MAX_AGE: 60 } }, "config", "SESSION_COOKIE_AGE"],
  ["a prefix and a Domain", { vars: { SESSION_COOKIE_DOMAIN: "example.com" } }, "config", "SESSION_COOKIE_DOMAIN"],
]) {
  test(`${what}: 500 that names it, and no secret in the answer`, () =>
    withWorld(options, async (world) => {
      for (const [path, init] of [
        ["/api/session", {}],
        ["/api/session/data/a", { method: "PUT", body: "1" }],
      ]) {
        const { detail } = await expectProblem(world.fetch(path, init), 500, code);
        assert.ok(detail.includes(word), detail);
        const secret = options.vars?.SESSION_SECRET;
        assert.ok(!secret || !detail.includes(secret), detail);
      }
      assert.equal((await world.fetch("/healthz")).status, 200);
    }));
}

test("settings that are numbers and booleans are taken, and variables of the application left alone", () =>
  withWorld(
    {
      vars: {
        SESSION_COOKIE_AGE: 7200,
        SESSION_IDLE_TIMEOUT: 900,
        SESSION_SEAL: false,
        SESSION_FOO: "x",
        SESSION_QUEUE: { name: "mail" },
        SESSIONS_API: null,
        DEMO: true,
      },
    },
    async (world) => {
      const browser = world.browser();
      const { outcome } = await expectSession(browser.send("PUT", "/api/session/data/a", "to be seen"));
      assert.equal(outcome, "new", "DEMO is on");
      assert.equal(browser.get("__Host-session").attributes["max-age"], "7200");
      const stored = Object.values(await world.storage.dump()).map(({ value }) => value);
      assert.ok(stored.some((value) => value.includes("to be seen")), "nothing is sealed");
      await world.advance(901);
      await expectSession(browser.fetch("/api/session"), { data: {}, outcome: "expired" });
    },
  ));

test("one setting is enough for plain http", () =>
  withWorld({ vars: { SESSION_COOKIE_SECURE: false } }, async (world) => {
    const browser = world.browser();
    await expectSession(browser.send("PUT", "/api/session/data/a", 1));
    assert.deepEqual(browser.names, ["session", "session-fresh"]);
    for (const name of browser.names) assert.equal("secure" in browser.get(name).attributes, false);
    await expectSession(browser.fetch("/api/session"), { data: { a: 1 } });
  }));

test("cookies have the name and the lifetime of the settings", () =>
  withWorld({ vars: { SESSION_COOKIE_NAME: "__Secure-sid", SESSION_COOKIE_AGE: "7200" } }, async (world) => {
    const browser = world.browser();
    await expectSession(browser.send("PUT", "/api/session/data/a", 1));
    assert.deepEqual(browser.names, ["__Secure-sid", "__Secure-sid-fresh"]);
    assert.equal(browser.get("__Secure-sid").attributes["max-age"], "7200");
    await expectSession(browser.fetch("/api/session"), { data: { a: 1 } });
  }));

test("a session outlives a new secret that goes behind or before the old, and ends without it", async () => {
  const [old, next] = [1, 2].map((n) => `${n}-0123456789abcdefghijklmnopqrstuvwxyzABCDEFGH`);
  let cookies;
  let stored;
  await withWorld({ vars: { SESSION_SECRET: old } }, async (world) => {
    const browser = world.browser();
    await expectSession(browser.send("PUT", "/api/session/data/a", 1));
    cookies = { Cookie: browser.cookieHeader("/") };
    stored = await world.storage.dump();
  });
  for (const [ring, data] of [
    [`${old},${next}`, { a: 1 }],
    [`${next},${old}`, { a: 1 }],
    [next, {}],
  ]) {
    await withWorld({ vars: { SESSION_SECRET: ring } }, async (world) => {
      for (const [key, { value }] of Object.entries(stored)) await world.storage.write(key, value);
      await expectSession(world.fetch("/api/session", { headers: cookies }), { data });
    });
  }
});

test("without DEMO there is no login, and no outcome in responses", () =>
  withWorld({ vars: { DEMO: "false" } }, async (world) => {
    const login = { method: "POST", body: '{"owner":"ada"}' };
    await expectProblem(world.fetch("/api/login", login), 404, "not_found");
    await expectProblem(world.fetch("/api/logout", { method: "POST" }), 404, "not_found");
    const session = await expectSession(world.fetch("/api/session"));
    assert.equal("outcome" in session, false);
  }));
