// edge-session/testing: worlds, browsers and stores that fail on demand.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Hono } from "hono";

import { sessionMiddleware } from "../../pkg/hono.js";
import { MemoryConnector, SessionError, Sessions } from "../../pkg/node.js";
import { testWorld } from "../../pkg/testing.js";
import { code } from "./support/world.mjs";

const KEY = "__Host-session";
const FRESH = "__Host-session-fresh";

const views = (session) => session.get("views", 0);
const count = (session) => {
  session.set("views", views(session) + 1);
  return views(session);
};
const outcome = (session) => session.outcome;

/** A typical Worker. */
const worker = {
  async fetch(request, env, ctx) {
    return Sessions.fromEnv(env).handle(request, ctx, async (session) => {
      const { pathname } = new URL(request.url);
      if (pathname === "/login") session.bind(await request.text());
      else if (pathname === "/logout") await session.flush();
      else if (pathname === "/vault") session.requireRecentAuth(300);
      return new Response(`${session.outcome} ${session.owner ?? "stranger"}`);
    });
  },
};

test("sessions, store and cookies live by one clock", async () => {
  const world = testWorld({ cookieAge: 7200, idleTimeout: 3600 });
  const browser = world.browser();
  await browser.handle(count);
  assert.deepEqual(Object.keys(browser.cookies), [KEY, FRESH]);

  // The fresh cookie expires first, by its Max-Age.
  world.advance({ minutes: 3, seconds: 20 });
  assert.deepEqual(Object.keys(browser.cookies), [KEY]);
  assert.equal(await browser.handle(views), 1);
  // Then the session expires, by its idle time. The browser still has its cookie.
  world.advance({ hours: 1 });
  assert.equal(await browser.handle(outcome), "expired");
  // Then the store drops the record, and the browser the cookie.
  world.advance({ days: 1 });
  assert.deepEqual([world.store.keys, world.store.size, browser.cookies], [[], 0, {}]);
  assert.equal(await browser.handle(outcome), "new");
});

test("a Worker that reads its environment lives by the world's clock and settings", async () => {
  const world = testWorld({ idleTimeout: 3600, cookieSameSite: "Strict" });
  const browser = world.browser();
  const ask = async (path, init) => (await browser.fetch(worker, path, init)).text();
  assert.equal(await ask("/login", { method: "POST", body: "ada" }), "new ada");
  assert.equal(await ask("/"), "loaded ada");
  assert.equal(await ask("/", { headers: { "sec-fetch-site": "cross-site" } }), "new stranger");
  assert.equal((await browser.fetch(worker, "/vault")).status, 200);
  world.advance({ minutes: 5, seconds: 1 });
  assert.equal((await browser.fetch(worker, "/vault")).status, 401);
  const thief = browser.copy();
  await ask("/logout");
  assert.equal(await (await thief.fetch(worker)).text(), "revoked stranger");

  assert.equal(await ask("/login", { method: "POST", body: "ada" }), "new ada");
  world.advance({ hours: 1 });
  assert.equal(await ask("/"), "expired stranger");
});

test("fromEnv takes the clock of a store in memory, as new Sessions does", async () => {
  const clock = { at: 0, now: () => clock.at };
  const env = { SESSIONS: new MemoryConnector({ clock }), SESSION_SECRET: crypto.randomUUID() };
  const session = await Sessions.fromEnv(env).load();
  session.set("a", 1);
  assert.equal(session.getExpiryDate().getTime(), 86_400_000);
});

test("a function is a Worker too, and Hono's app is", async () => {
  const world = testWorld();
  const browser = world.browser();
  await browser.fetch((request, env, ctx) => worker.fetch(request, env, ctx), "/login", { method: "POST", body: "ada" });
  const app = new Hono();
  app.use(sessionMiddleware());
  app.get("/who", (c) => c.text(c.get("session").owner));
  assert.equal(await (await browser.fetch(app, "/who")).text(), "ada");
  const response = browser.receive(await app.request("/who", browser.request("/who"), world.env));
  assert.equal(await response.text(), "ada");
  await assert.rejects(browser.fetch({}), code("invalid_value"));
});

test("what outlives the answer has ended with the fetch, and its failure fails the test", async () => {
  const browser = testWorld().browser();
  let ended = false;
  const after = async (steps) => {
    for (let i = 0; i < steps; i++) await null;
    ended = true;
  };
  await browser.fetch((_request, _env, ctx) => {
    ctx.waitUntil(Promise.resolve().then(() => ctx.waitUntil(after(20))));
    return new Response("ok");
  });
  assert.ok(ended);
  const failing = (_request, _env, ctx) => {
    ctx.waitUntil(Promise.reject(new Error("in the background")));
    return new Response("ok");
  };
  await assert.rejects(browser.fetch(failing), /in the background/);
});

test("handle gives what the handler returned, and throws what it threw", async () => {
  const world = testWorld();
  const browser = world.browser();
  assert.equal(await browser.handle(count), 1);
  const answer = await browser.handle((session) => Response.json(count(session)));
  assert.deepEqual([await answer.json(), answer.headers.get("cache-control")], [2, "no-store"]);
  const redirect = await browser.handle((session) => {
    count(session);
    throw new Response(null, { status: 303, headers: { location: "/" } });
  });
  assert.deepEqual([redirect.status, await browser.handle(views)], [303, 3]);

  const own = new Error("sold out");
  const fails = (error) => (session) => {
    count(session);
    throw error;
  };
  await assert.rejects(browser.handle(fails(own)), (error) => error === own);
  await assert.rejects(browser.handle((session) => session.requireRecentAuth(300)), code("reauth_required"));
  const wrapped = new Error("wrapped", { cause: new SessionError("not_found", "gone") });
  await assert.rejects(browser.handle(fails(wrapped)), (error) => error === wrapped);
  await browser.handle((session) => {
    count(session);
    return new Response("sorry", { status: 500 });
  });
  assert.equal(await browser.handle(views), 3, "nothing of it was saved");

  await assert.rejects(
    browser.handle(async (session) => {
      await session.destroy();
      session.requireRecentAuth(300);
    }),
    code("reauth_required"),
  );
  assert.equal(browser.cookies[KEY], undefined, "its removal was sent with the error");
});

test("every fault is one that the session meets", async () => {
  const world = testWorld({ disableWarnings: true });
  const { store } = world;
  /** A browser whose session is only in the store. */
  const visitor = async () => {
    const browser = world.browser();
    await browser.handle(count);
    browser.goTo(world.elsewhere());
    browser.removeCookie(FRESH);
    return browser;
  };

  let browser = await visitor();
  store.outage();
  assert.equal(await browser.handle(outcome), "unavailable");
  await assert.rejects(browser.handle(count), code("unavailable"));
  store.recover();
  assert.equal(await browser.handle(count), 2);

  browser = await visitor();
  store.failReads(3);
  assert.equal(await browser.handle(outcome), "unavailable");
  assert.equal(await browser.handle(outcome), "loaded");

  // Retried after a second, without a real wait.
  const before = world.clock.now();
  store.resetOperations();
  store.rateLimitPuts(1);
  await world.browser().handle(count);
  assert.equal(store.operations.puts, 2);
  assert.ok(world.clock.now() >= before + 1000);

  const stored = store.size;
  store.failPuts(3);
  browser = world.browser();
  await assert.rejects(browser.handle(count), code("unavailable"));
  assert.deepEqual([store.size, browser.cookies], [stored, {}]);
  store.losePutAnswers(3);
  await assert.rejects(world.browser().handle(count), code("unavailable"));
  assert.equal(store.size, stored + 1);
  store.losePuts(1);
  await world.browser().handle(count);
  assert.equal(store.size, stored + 1);
  assert.throws(() => store.failPuts(), code("invalid_value"));
});

test("a location that lags shows what it saw last", async () => {
  const world = testWorld();
  const [lagging, other] = [world.elsewhere(), world.elsewhere()];
  const browser = world.browser();
  await browser.handle(count);
  lagging.store.lag();
  other.store.lag();
  await browser.handle(count);
  const at = (world) => {
    const copy = browser.copy();
    copy.goTo(world);
    return copy;
  };
  assert.equal(await at(other).handle(views), 2, "from the fresh cookie");
  world.advance({ minutes: 2 }); // the session has expired by now
  const late = at(lagging);
  assert.equal(await late.handle(views), 1);
  world.advance({ seconds: 30 });
  lagging.store.catchUp();
  assert.equal(await late.handle(views), 2);

  other.store.catchUp();
  other.store.lag();
  await world.browser().handle((session) => session.bind("ada"));
  assert.equal((await other.sessions.list("ada")).length, 0);
  other.store.catchUp();
  assert.equal((await other.sessions.list("ada")).length, 1);
});

test("another isolate has the same bindings, and other settings if they are passed", async () => {
  const world = testWorld({ idleTimeout: 3600 });
  world.env.GREETING = "hello";
  const same = world.elsewhere();
  assert.deepEqual({ ...same.env, SESSIONS: 0 }, { ...world.env, SESSIONS: 0 });
  const other = world.elsewhere({ cookieAge: 900 });
  assert.deepEqual([other.env.GREETING, other.env.SESSION_COOKIE_AGE, other.env.SESSION_IDLE_TIMEOUT], ["hello", 900, undefined]);
  assert.equal(other.env.SESSION_SECRET, world.env.SESSION_SECRET);
});

test("a browser keeps cookies by the rules", async () => {
  const world = testWorld({ expireAtBrowserClose: true });
  const closed = world.browser();
  await closed.handle(count);
  const open = closed.copy();
  closed.close();
  assert.equal(await closed.handle(outcome), "new");
  assert.equal(await open.handle(views), 1);

  const browser = world.browser();
  const send = (line, path) => browser.receive(new Response(null, { headers: { "set-cookie": line } }), path);
  send("theme=dark; Path=/settings");
  send("plain=1", "http://example.com/");
  assert.equal(browser.request("/").headers.get("cookie"), "plain=1");
  assert.equal(browser.request("/settings/colours").headers.get("cookie"), "theme=dark; plain=1");
  assert.equal(browser.request("/", { headers: { cookie: "own=1" } }).headers.get("cookie"), "own=1");
  send("__Host-theme=dark; Path=/");
  send("safe=1; Secure", "http://example.com/");
  assert.deepEqual(browser.refused.map(({ why }) => why), ["its name prefix requires Secure", "a Secure cookie cannot be set over http"]);
  send("safe=1; Secure");
  assert.match(browser.request("/").headers.get("cookie"), /safe=1/);
  assert.doesNotMatch(browser.request("http://example.com/").headers.get("cookie"), /safe=1/);
});

test("a request has the headers of its origin", async () => {
  const world = testWorld();
  await world.browser().handle((session) => session.bind("ada"), "/login", {
    method: "POST",
    headers: { "user-agent": "Firefox" },
    cf: { country: "NL" },
  });
  const [device] = await world.sessions.list("ada");
  assert.deepEqual([device.userAgent, device.place], ["Firefox", "NL"]);
});

test("what cannot be meant is refused", () => {
  const world = testWorld();
  for (const time of [60, "60", null, { weeks: 1 }, { minutes: "1" }]) {
    assert.throws(() => world.advance(time), code("invalid_value"), JSON.stringify(time));
  }
  assert.throws(() => testWorld({ clock: Date }), code("config"));
  assert.throws(() => testWorld({ idleTimeOut: 60 }), code("config"));
});
