// The deployable Worker in its own world, and common checks of its tests.

import assert from "node:assert/strict";

import { startWorker } from "./harness.mjs";

export const COOKIE = "__Host-session";
export const SEEN = "__Host-session-seen";
export const FRESH = "__Host-session-fresh";

export const NO_OPERATIONS = { reads: 0, keysRead: 0, puts: 0, deletes: 0, lists: 0 };

/** Default settings, in seconds. */
export const COOKIE_AGE = 604_800;
export const IDLE_TIMEOUT = 86_400;
/** W, how long a save may be invisible elsewhere: cache TTL 30, propagation 60, isolate 10, clocks 2. */
export const W = 102;
/** D, after which an ended session is dead everywhere: the same sum. */
export const D = 102;

/** Builds the Worker if it is not up to date, and starts it. */
export async function startSessions(options = {}) {
  const directory = await workerDirectory();
  return startWorker({ directory, ...options, vars: { DEMO: "true", ...options.vars } });
}

/** The folder of the Worker's build. */
export async function workerDirectory() {
  if (process.env.EDGE_SESSION_WORKER) return process.env.EDGE_SESSION_WORKER;
  const { buildWorker } = await import("../../../scripts/build.mjs");
  const { dir } = await buildWorker();
  return dir;
}

/** A browser that has a session with this data. */
export async function browserWith(world, data, options) {
  const browser = world.browser(options);
  await expectSession(browser.send("PATCH", "/api/session/data", data), { data });
  return browser;
}

/** A browser that is logged in as `owner`, with the data that it had before. */
export async function browserOf(world, owner, data, options) {
  const browser = await browserWith(world, data, options);
  await expectSession(login(browser, owner), { owner, data });
  return browser;
}

export const login = (browser, owner, options) =>
  browser.send("POST", "/api/login", { owner }, options);
export const logout = (browser) => browser.fetch("/api/logout", { method: "POST" });
export const cycle = (browser) => browser.fetch("/api/session/cycle", { method: "POST" });
export const put = (browser, key, value) => browser.send("PUT", `/api/session/data/${key}`, value);
export const show = (browser) => browser.fetch("/api/session");

/** The object of a 200 answer of the session routes, some of whose properties are given. */
export async function expectSession(answer, expected = {}) {
  const { status, text, json } = await answer;
  assert.equal(status, 200, text);
  const { key, isNew, data, version, owner, createdAt, expiresAt, idleExpiresAt } = json;
  const session = { key, isNew, data, version, owner, createdAt, expiresAt, idleExpiresAt };
  for (const [name, value] of Object.entries(session)) {
    assert.notEqual(value, undefined, `${name} is missing: ${text}`);
  }
  for (const [name, value] of Object.entries(expected)) {
    assert.deepEqual(json[name], value, `${name} in ${text}`);
  }
  return json;
}

/** Checks a response without a session: it is empty and new, and sets no cookies. */
export async function expectAnonymous(answer) {
  const session = await expectSession(answer, {
    key: null,
    isNew: true,
    data: {},
    owner: null,
    createdAt: null,
    expiresAt: null,
    idleExpiresAt: null,
  });
  assert.deepEqual((await answer).setCookies, []);
  return session;
}

/** Checks an RFC 9457 problem with this code, which sets no cookies. */
export async function expectProblem(answer, status, code) {
  const { status: given, headers, setCookies, text, json } = await answer;
  assert.equal(given, status, text);
  assert.match(headers["content-type"], /^application\/problem\+json\b/);
  assert.equal(json.code, code, text);
  assert.equal(json.status, status, text);
  assert.equal(typeof json.title, "string", text);
  assert.deepEqual(setCookies, [], text);
  return json;
}

/** The parts of a session key, and the name of its record. */
export function keyParts(key) {
  const match = /^(-|[\w-]{22})\.([\w-]{22})\.([\w-]{22})\.([\w-]{22})$/.exec(key);
  assert.ok(match, `not a session key: ${key}`);
  const [, owner, lineage, derived, tag] = match;
  return { owner, lineage, derived, tag, record: `s.${owner}.${lineage}.${derived}` };
}
