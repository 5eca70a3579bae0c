// Server-Timing, the counters of an isolate, and events.

import assert from "node:assert/strict";
import { test } from "node:test";

import { MemoryConnector, SessionStore, Sessions } from "../../pkg/node.js";
import { SECRET, code, world } from "./support/world.mjs";

const timed = { settings: { serverTiming: true, isolateCacheTtl: 0 } };
const timing = (response) => response.headers.get("server-timing");

test("js_server_timing_tells_what_the_request_asked_of_the_store", async () => {
  const { browser } = world(timed);
  const first = await browser.visit((session) => session.set("a", 1));
  assert.equal(timing(first.response), 'session;dur=0;desc="get 0 keys 0 put 1 delete 0 list 0"');
  const second = await browser.visit((session) => session.get("a"));
  assert.equal(timing(second.response), 'session;dur=0;desc="get 1 keys 2 put 0 delete 0 list 0"');
  const last = await browser.visit((session) => session.destroy());
  assert.equal(timing(last.response), 'session;dur=0;desc="get 1 keys 2 put 2 delete 0 list 0"');
});

test("js_server_timing_of_a_visitor_who_has_nothing", async () => {
  const { browser, sessions } = world(timed);
  const looked = await browser.visit((session) => session.get("a"));
  assert.equal(timing(looked.response), 'session;dur=0;desc="get 0 keys 0 put 0 delete 0 list 0"');
  const untouched = await browser.visit(() => new Response("page"));
  assert.equal(timing(untouched.response), null);
  const lazy = await sessions.handleLazy(browser.request(), null, () => new Response("page"));
  assert.equal(timing(lazy), null);
});

test("js_server_timing_counts_what_is_asked_beside_the_session", async () => {
  const connector = new MemoryConnector();
  const { browser, sessions } = world({ ...timed, connector });
  const { response: login } = await browser.visit((session) => session.bind("ada"));
  const loginCost = timing(login);
  // A list reads a page of keys and the markers of these sessions.
  const { response } = await browser.visit(async (session) => assert.equal((await sessions.list(session.owner)).length, 1));
  assert.equal(timing(response), 'session;dur=0;desc="get 2 keys 6 put 0 delete 0 list 1"');
  assert.match(loginCost, /list 0"$/);

  // A visitor without a cookie, whose page only sees that there is no session.
  const visitor = await sessions.handle(new Request("https://shop.example/"), null, async (session) => {
    await sessions.list("ada");
    return new Response(String(session.owner));
  });
  assert.match(timing(visitor), /^session;dur=0;desc="get 1 keys \d put 0 delete 0 list 1"$/);
  // A session that is not loaded.
  const lazy = await sessions.handleLazy(browser.request(), null, async (session) => {
    await sessions.list("ada");
    await session.load();
    return new Response("page");
  });
  assert.match(timing(lazy), /get 2 keys \d put 0 delete 0 list 1"$/);
  // With a session key, and with an error response.
  const { response: other } = await browser.visit((session) => session.delete(`-.${"A".repeat(22)}.${"A".repeat(22)}.${"A".repeat(22)}`).catch(() => {}));
  assert.match(timing(other), /list 0"$/);
  const failed = await sessions.handle(browser.request(), null, async (session) => {
    await sessions.list(session.owner);
    session.require("none");
  });
  assert.equal(failed.status, 404);
  assert.match(timing(failed), /list 1"$/);
});

test("js_server_timing_of_two_handlers_at_once_counts_by_ctx", async () => {
  const { browser, sessions } = world(timed);
  await browser.visit((session) => session.bind("ada"));
  const [one, two] = [1, 2].map(() => ({ waitUntil() {} }));
  let open;
  const gate = new Promise((resolve) => (open = resolve));
  const page = (ctx, options) =>
    sessions.handle(browser.request(), ctx, async (session) => {
      const { owner } = session;
      if (ctx === one) await gate;
      await sessions.list(owner, options);
      if (ctx === two) open();
      return new Response("page");
    });
  for (const [options, lists] of [[(ctx) => ({ ctx }), [1, 1]]]) {
    const answers = await Promise.all([one, two].map((ctx) => page(ctx, options(ctx))));
    assert.deepEqual(answers.map((it) => Number(timing(it).match(/list (\d+)/)[1])), lists);
  }
  // Without it, one cannot tell to which of the two it belongs.
  const answers = [page(one, { ctx: one }), page(two)];
  assert.deepEqual((await Promise.all(answers)).map((it) => Number(timing(it).match(/list (\d+)/)[1])), [1, 0]);
});

test("js_server_timing_joins_what_the_response_says", async () => {
  const { browser, sessions } = world(timed);
  const answer = (session, headers) => {
    session.set("a", 1);
    return new Response("page", { headers });
  };
  const { response } = await browser.visit((session) => answer(session, { "server-timing": "app;dur=3, db" }));
  assert.equal(timing(response), 'app;dur=3, db, session;dur=0;desc="get 0 keys 0 put 1 delete 0 list 0"');
  const session = await sessions.load(browser.request());
  session.get("a");
  const headers = await sessions.commitHeaders(session);
  assert.match(headers.get("server-timing"), /^session;dur=0;desc="get 1 keys 2 /);
});

test("js_server_timing_counts_pauses_and_is_on_an_answer_of_a_failed_load", async () => {
  const memory = new MemoryConnector();
  const connector = {
    read: () => Promise.reject(new Error("down")),
    put: (...args) => memory.put(...args),
    delete: (...args) => memory.delete(...args),
  };
  const { browser } = world({ connector, settings: { serverTiming: true } });
  await browser.visit((session) => session.set("a", 1));
  const other = new Sessions({ ...connector }, { secret: SECRET, serverTiming: true, clock: { now: () => Date.UTC(2026, 10, 1) } });
  const { response } = await browser.visit((session) => session.get("a"), { sessions: other });
  assert.equal(response.status, 503);
  assert.match(timing(response), /^session;dur=\d+;desc="get 3 keys 6 put 0 delete 0 list 0"$/);
});

test("js_stats_count_what_an_isolate_did", async () => {
  const { browser, memory, sessions } = world();
  const none = sessions.stats;
  assert.ok(none.wasmBytes > 0 && none.wasmBytes % 65536 === 0);
  assert.deepEqual({ ...none, wasmBytes: 0, outcomes: new Set(Object.values(none.outcomes)) }, {
    requests: 0, tableLoads: 0, storeLoads: 0, reads: 0, keysRead: 0, puts: 0, deletes: 0, lists: 0,
    retries: 0, conflicts: 0, limitFailures: 0, tableEntries: 0, tableBytes: 0, wasmBytes: 0, outcomes: new Set([0]),
  });
  await browser.ask(() => undefined);
  await browser.ask((session) => session.get("a"));
  await browser.ask((session) => session.set("a", 1));
  await browser.ask((session) => session.get("a"));
  await browser.ask((session) => session.get("a"));
  await sessions.handleLazy(browser.request(), null, () => new Response("page"));
  await sessions.handle(new Request("https://x/", { headers: { cookie: "__Host-session=AAAA" } }), null, (session) => {
    session.get("a");
    return new Response("page");
  });
  const { outcomes, ...stats } = sessions.stats;
  assert.equal(stats.requests, 7);
  assert.deepEqual([outcomes.new, outcomes.loaded, outcomes.rejected], [3, 2, 1]);
  assert.deepEqual([stats.storeLoads, stats.tableLoads, stats.tableEntries], [1, 1, 1]);
  const { reads, keysRead, puts, deletes, lists } = stats;
  assert.deepEqual({ reads, keysRead, puts, deletes, lists }, memory.operations);
  assert.ok(stats.tableBytes > 0);
});

test("js_stats_are_of_one_connector", async () => {
  const [one, other] = [world(), world()];
  await one.browser.ask((session) => session.set("a", 1));
  assert.equal(one.sessions.stats.requests, 1);
  assert.equal(other.sessions.stats.requests, 0);
  const again = new Sessions(one.memory, { secret: SECRET, cookieAge: 60 });
  assert.equal(again.stats.requests, 1);
});

test("js_events_go_to_the_listener", async () => {
  const { memory, clock, browser } = world();
  const seen = [];
  const listen = () => new Sessions(memory, { secret: SECRET, clock, onEvent: (event) => seen.push(event) });
  const options = () => ({ sessions: listen() });
  await browser.visit((session) => session.set("a", 1), options());
  await browser.visit((session) => session.bind("ada"), options());
  await browser.visit((session) => session.destroy(), options());
  assert.deepEqual(seen.map(({ event }) => event), ["created", "loaded", "bound", "loaded", "destroyed"]);
  assert.ok(seen.every(({ at, session }) => at === clock.now() && /^[\w-]{12}$/.test(session)));
  assert.equal(seen[0].session, seen[1].session);
  assert.notEqual(seen[1].session, seen[2].session);

  const cookie = "__Host-session=AAAA";
  await new SessionStore(memory, { secret: SECRET, clock, onEvent: (event) => seen.push(event) }, cookie).load();
  const { event, reason, session } = seen.at(-1);
  assert.deepEqual([event, typeof reason, session], ["rejected", "string", undefined]);
});

test("js_a_listener_that_throws_fails_no_request", async (t) => {
  const warn = t.mock.method(console, "warn", () => {});
  const { memory, browser } = world();
  const sessions = new Sessions(memory, {
    secret: SECRET,
    clock: { now: () => Date.UTC(2026, 10, 1) },
    onEvent() {
      throw new Error("full");
    },
  });
  const { response } = await browser.visit((session) => session.set("a", 1), { sessions });
  assert.equal(response.status, 200);
  assert.equal(warn.mock.callCount(), 1);
  assert.match(warn.mock.calls[0].arguments[0], /onEvent failed: full/);
  const later = new Sessions(memory, {
    secret: SECRET,
    clock: { now: () => Date.UTC(2026, 10, 1) },
    onEvent: async () => Promise.reject(new Error("later")),
  });
  await browser.visit((session) => session.set("a", 2), { sessions: later });
  const lines = warn.mock.calls.map(({ arguments: [line] }) => line);
  assert.ok(lines.length > 1 && lines.slice(1).every((line) => line === "edge-session: onEvent failed: later"), lines.join());
  assert.throws(() => new Sessions(memory, { secret: SECRET, onEvent: "log" }), code("config"));
  const env = { SESSIONS: memory, SESSION_SECRET: SECRET };
  assert.throws(() => Sessions.fromEnv(env, { onEvent: {} }), code("config"));
});

test("js_a_listener_of_each_request_makes_no_configuration_of_its_own", async () => {
  const env = { SESSIONS: new MemoryConnector(), SESSION_SECRET: SECRET, SESSION_EVENTS: "true" };
  const seen = [];
  for (const n of [1, 2]) {
    const sessions = Sessions.fromEnv(env, { onEvent: ({ event }) => seen.push([n, event]) });
    await sessions.handle(new Request("https://x/"), null, (session) => {
      session.set("a", n);
      return new Response("page");
    });
  }
  assert.deepEqual(seen, [[1, "created"], [2, "created"]]);
  assert.equal(Sessions.fromEnv(env).stats.requests, 2);
});
