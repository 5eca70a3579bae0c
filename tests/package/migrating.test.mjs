// The statements of docs/migrating.md about calls with another meaning in a framework's session engine.

import assert from "node:assert/strict";
import { test } from "node:test";

import { code, world } from "./support/world.mjs";

const SECOND = 1000;
const DAY = 86_400;

/** A browser with one value in its session, whose expiry `act` has set. */
async function visitor(act = () => {}, settings = { idleTimeout: 3600 }) {
  const all = world({ settings });
  await all.browser.ask((session) => {
    session.set("a", 1);
    act(session);
  });
  return all;
}
/** What a request finds this many seconds later. */
async function after({ clock, browser }, seconds) {
  clock.advance(seconds * SECOND);
  return browser.ask((session) => session.outcome);
}

test("a number is a fixed end, and an idle time is the one that slides", async () => {
  const fixed = await visitor((session) => session.setExpiry(300));
  assert.equal(await after(fixed, 200), "loaded");
  assert.equal(await after(fixed, 100), "expired");
  const idle = await visitor((session) => session.setExpiry({ idle: 300 }));
  for (let i = 0; i < 5; i += 1) assert.equal(await after(idle, 299), "loaded");
  assert.equal(await after(idle, 300), "expired");
});

test("an end that is set again in each request moves, with a write each, and never past the hard end", async () => {
  const all = await visitor((session) => session.setExpiry(300), { cookieAge: 1000, idleTimeout: 0 });
  const { clock, browser, memory } = all;
  for (const left of [300, 300, 300, 200]) {
    clock.advance(200 * SECOND);
    memory.resetOperations();
    assert.equal(await browser.ask((session) => (session.setExpiry(300), session.getExpiryAge())), left);
    assert.equal(memory.operations.puts, 1);
  }
  assert.equal(await after(all, 200), "new", "the cookies have ended with it");
  // An idle time is extended without a write.
  const idle = await visitor((session) => session.setExpiry({ idle: 300 }));
  idle.memory.resetOperations();
  assert.equal(await after(idle, 200), "loaded");
  assert.equal(idle.memory.operations.puts, 0);
});

test("a long end is cut by the idle time of the settings and by the hard end", async () => {
  const remember = await visitor((session) => session.setExpiry(30 * DAY), { cookieAge: 40 * DAY, idleTimeout: DAY });
  assert.equal(await after(remember, DAY), "expired");
  const short = await visitor((session) => session.setExpiry({ idle: 30 * DAY }), { cookieAge: 7 * DAY, idleTimeout: DAY });
  assert.equal(await after(short, 7 * DAY), "new", "the cookies have ended with it");
  const both = await visitor((session) => session.setExpiry({ idle: 30 * DAY }), { cookieAge: 40 * DAY, idleTimeout: DAY });
  assert.equal(await after(both, 29 * DAY), "loaded");
});

test("setExpiry(0) changes the key of a stored session", async () => {
  const { browser } = await visitor();
  const before = (await browser.load()).sessionKey;
  const { response } = await browser.visit((session) => session.setExpiry(0));
  assert.notEqual((await browser.load()).sessionKey, before);
  assert.equal((await browser.load()).get("a"), 1);
  assert.doesNotMatch(response.headers.getSetCookie()[0], /Max-Age/);
});

test("Max-Age is what is left until the hard end, whatever the idle time", async () => {
  const { browser } = world({ settings: { cookieAge: 7200, idleTimeout: 600 } });
  const { response } = await browser.visit((session) => session.set("a", 1));
  assert.match(response.headers.getSetCookie()[0], /^__Host-session=[^;]+; .*Max-Age=7200\b/);
});

test("create and cycleKey store nothing before the commit, and a 5xx drops them", async () => {
  const { browser, memory } = await visitor();
  const before = (await browser.load()).sessionKey;
  memory.resetOperations();
  for (const name of ["create", "cycleKey"]) {
    await browser.visit((session) => {
      session[name]();
      assert.equal(memory.operations.puts, 0);
      return new Response(null, { status: 500 });
    });
    assert.equal(memory.operations.puts, 0);
    assert.equal((await browser.load()).sessionKey, before);
  }
  const old = browser.clone();
  await browser.ask((session) => {
    session.create();
    assert.equal(session.size, 0);
    session.set("b", 2);
  });
  assert.equal((await browser.load()).get("a"), undefined);
  assert.equal((await old.load()).get("a"), 1, "the session before it is alive");
});

test("the old cookie reads for W after cycleKey, and cannot save; after flush it is dead at once", async () => {
  const { browser, clock, sessions } = await visitor();
  const old = browser.clone();
  await browser.ask((session) => session.cycleKey());
  const window = Math.max(90, sessions.stalenessBound);
  assert.equal(window, 102);
  clock.advance((window - 1) * SECOND);
  const session = await old.load();
  assert.deepEqual([session.outcome, session.get("a")], ["rotated", 1]);
  session.set("a", 2);
  await assert.rejects(session.save(), code("rotated"));
  clock.advance(SECOND);
  assert.equal((await old.load()).get("a"), undefined);

  const ended = browser.clone();
  await browser.ask((session) => session.flush({ keep: ["a"] }));
  assert.equal((await ended.load()).outcome, "revoked");
  assert.equal((await browser.load()).get("a"), 1);
});

test("a save of what has not changed writes nothing", async () => {
  const { browser, memory } = await visitor();
  memory.resetOperations();
  await browser.ask(async (session) => {
    session.set("a", 1);
    await session.save();
    await session.save();
  });
  assert.equal(memory.operations.puts, 0);
});
