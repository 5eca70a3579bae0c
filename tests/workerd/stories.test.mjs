// Failures that involve a browser, parallel requests, two locations and a store that shows each of them
// something else, in the runtime of production.
//
// Paris and Lyon are two isolates of one location, Tokyo is another. The storage caches values and
// absences in each location, shows writes elsewhere with a delay, and accepts one write per second and key.
// Time stands still unless a story moves it or lets it run.

import assert from "node:assert/strict";
import { after, before, beforeEach, describe, test } from "node:test";

import { parseSetCookie } from "./support/harness.mjs";
import {
  COOKIE,
  D,
  IDLE_TIMEOUT,
  SEEN,
  W,
  browserOf,
  browserWith,
  cycle,
  expectAnonymous,
  expectProblem,
  expectSession,
  keyParts,
  login,
  logout,
  put,
  show,
  startSessions,
} from "./support/sessions.mjs";

/** Seconds until a write is visible in the other location; the settings assume 60. */
const PROPAGATION = 45;
/** Seconds that a location caches what it has read. */
const KV_CACHE = 30;
const LIKE_KV = { caching: true, propagation: PROPAGATION * 1000, limitWrites: true };
/** Too large for the fresh cookie, so only storage has it. */
const LARGE = "x".repeat(6_000);
/** Seconds after which the store accepts the next write to a key. */
const NEXT_WRITE = 2;

let world;
let people = 0;

/** Isolates remember owners across tests, so each test has its own. */
const somebody = () => `somebody-${(people += 1)}`;

before(async () => {
  world = await startSessions({ isolates: { paris: "CDG", lyon: "CDG", tokyo: "NRT" } });
});
beforeEach(async () => {
  await world.reset();
  await world.freeze();
  await world.storage.set(LIKE_KV);
});
after(() => world.stop());

/** For stories about one second, so that the store's clock agrees with the isolates' timers. */
async function timeRuns() {
  await world.reset();
  await world.storage.set(LIKE_KV);
}

/** A story that hangs must fail. */
const story = (name, tell) => test(name, { timeout: 60_000 }, tell);

/** The same jar, routed to another isolate from now on. */
function travels(browser, isolate) {
  browser.origin = world.origin(isolate);
  return browser;
}

/** A thief's copy of a browser's cookies. */
const stolenFrom = (browser, isolate) => browser.clone(world.origin(isolate));

const cookieNames = ({ setCookies }) => setCookies.map((line) => parseSetCookie(line).name);

/** The session as storage alone has it: read by an isolate without memory, without the fresh cookie. */
async function storedData(browser, isolate = "tokyo") {
  await world.advance(W);
  const { data } = await expectSession(show(stolenFrom(browser, isolate)), { outcome: "loaded" });
  return data;
}

/** Checks that these cookies read nothing, and that no response changes them. */
async function expectDead(browser, isolates = world.isolates) {
  for (const isolate of isolates) {
    const { status, json, setCookies } = await show(stolenFrom(browser, isolate));
    const { data, owner } = json;
    const found = { isolate, status, data, owner, setCookies };
    assert.deepEqual(found, { isolate, status: 200, data: {}, owner: null, setCookies: [] });
  }
}

/** At the bound and later. */
async function expectDeadFromTheBoundOn(...copies) {
  for (const seconds of [D, KV_CACHE, W, IDLE_TIMEOUT / 2]) {
    await world.advance(seconds);
    for (const copy of copies) await expectDead(copy);
  }
}

const holdOne = (op, hold, prefix) => world.storage.addFault({ op, hold, prefix, times: 1 });

describe("two parallel requests set different keys", () => {
  for (const [limitWrites, what] of [
    [false, "the store takes the older put last"],
    [true, "the store refuses the second put within a second"],
  ]) {
    story(`in one isolate, where ${what}: both survive`, async () => {
      await timeRuns();
      const browser = await browserWith(world, { base: 0 }, { isolate: "paris" });
      await world.advance(NEXT_WRITE);
      await world.storage.set({ limitWrites });

      await holdOne("put", "before", "s.");
      const older = put(browser, "a", 1);
      await world.storage.holding(1);
      const newer = await expectSession(put(browser, "b", 2), { data: { base: 0, a: 1, b: 2 } });
      await world.storage.clearFaults();
      // The response comes when the store has the newest version, which the isolate puts again.
      assert.ok((await expectSession(older)).version < newer.version);
      assert.deepEqual(await storedData(browser), { base: 0, a: 1, b: 2 });
    });
  }

  story("in two isolates, the later save reading after the earlier put: both survive", async () => {
    const browser = await browserWith(world, { base: 0 }, { isolate: "paris" });
    await world.advance(NEXT_WRITE);
    await holdOne("read", "after");
    const slow = put(travels(browser, "lyon"), "b", 2);
    await world.storage.holding(1);
    await expectSession(put(travels(browser, "paris"), "a", 1), { data: { base: 0, a: 1 } });
    // When the slow request gets the record, its read is more than a second old.
    await world.advance(NEXT_WRITE);
    await world.storage.clearFaults();
    await expectSession(slow, { data: { base: 0, a: 1, b: 2 } });
    assert.deepEqual(await storedData(browser), { base: 0, a: 1, b: 2 });
  });
});

describe("a logout while a slow write runs", () => {
  for (const [where, what] of [
    ["paris", "in the same isolate"],
    ["tokyo", "in another location"],
  ]) {
    story(`${what}: logged out, and stays so`, async () => {
      const browser = await browserOf(world, somebody(), { a: 1 }, { isolate: "paris" });
      const copy = stolenFrom(browser, "paris");
      await world.advance(PROPAGATION);

      await holdOne("put", "before", "s.");
      const slow = put(browser, "a", 2);
      await world.storage.holding(1);
      travels(browser, where);
      await expectSession(logout(browser), { key: null, owner: null, data: {} });
      assert.deepEqual(browser.names, []);

      const stored = await world.storage.dump();
      await world.storage.clearFaults();
      const late = await slow;
      assert.ok(!cookieNames(late).includes(COOKIE), "the late answer brings no key cookie");
      for (const isolate of world.isolates) await expectAnonymous(show(travels(browser, isolate)));

      // The record arrived after the marker, and is dead.
      assert.notDeepEqual(await world.storage.dump(), stored);
      await expectDead(copy, [where]);
      await expectDeadFromTheBoundOn(copy, browser);
    });
  }

  story("that is a rotation: the cookie that it sets opens nothing", async () => {
    const browser = await browserOf(world, somebody(), { a: 1 }, { isolate: "paris" });
    const copy = stolenFrom(browser, "paris");
    await world.advance(PROPAGATION);
    await holdOne("put", "before", "s.");
    const slow = cycle(browser);
    await world.storage.holding(1);
    await logout(travels(browser, "lyon"));
    assert.deepEqual(browser.names, []);
    // Late enough for its own marker, "rotated", to replace the logout's on the old key.
    await world.advance(NEXT_WRITE);
    await world.storage.clearFaults();
    await slow;

    await expectDead(browser, ["paris", "lyon"]);
    await expectDeadFromTheBoundOn(browser, copy);
  });
});

describe("a logout while a slow read runs", () => {
  for (const [where, what] of [
    ["paris", "in the same isolate"],
    ["tokyo", "in another location"],
  ]) {
    story(`${what}: logged out, and no key cookie is set again`, async () => {
      const browser = await browserOf(world, somebody(), { a: 1 }, { isolate: "paris" });
      const copy = stolenFrom(browser, "paris");
      // Long enough for the response to set a seen cookie.
      await world.advance(IDLE_TIMEOUT / 2);
      await holdOne("read", "after");
      const slow = show(browser);
      await world.storage.holding(1);
      await expectSession(logout(travels(browser, where)), { key: null });
      assert.deepEqual(browser.names, []);
      await world.storage.clearFaults();

      const late = await slow;
      const [data, cookies] = where === "paris" ? [{}, []] : [{ a: 1 }, [SEEN]];
      assert.deepEqual([late.json.data, cookieNames(late)], [data, cookies]);
      for (const isolate of world.isolates) await expectAnonymous(show(travels(browser, isolate)));
      await expectDeadFromTheBoundOn(copy, browser);
    });
  }

  story("longer than the bound: what it was told then is not remembered as if it were new", async () => {
    const browser = await browserOf(world, somebody(), { a: 1 }, { isolate: "tokyo" });
    await world.advance(PROPAGATION);
    const copy = stolenFrom(browser, "paris");
    await holdOne("read", "after");
    const slow = show(copy);
    await world.storage.holding(1);
    await logout(browser);
    await world.advance(D);
    await world.storage.clearFaults();
    await expectSession(slow, { data: { a: 1 } });
    await expectDead(copy);
    await expectDeadFromTheBoundOn(copy);
  });
});

describe("a login, redirected to a location that cannot see the record", () => {
  story("is still a login there, and nothing is written over", async () => {
    const owner = somebody();
    const browser = await browserOf(world, owner, { cart: [1] }, { isolate: "paris" });
    const stored = await world.storage.dump();
    travels(browser, "tokyo");
    const { result, counts } = await world.storage.counted(() => show(browser));
    await expectSession(result, { owner, data: { cart: [1] }, outcome: "loaded" });
    assert.deepEqual([counts.puts, counts.deletes, result.setCookies], [0, 0, []]);
    assert.deepEqual(await world.storage.dump(), stored);

    await world.advance(NEXT_WRITE);
    await expectSession(put(browser, "note", "n"), { owner, data: { cart: [1], note: "n" } });
    await expectSession(show(travels(browser, "paris")), { owner, data: { cart: [1], note: "n" } });
    assert.deepEqual(await storedData(browser, "lyon"), { cart: [1], note: "n" });
  });

  story("too large for a cookie: 503, then logged in; never a login page", async () => {
    const owner = somebody();
    const browser = await browserOf(world, owner, { cart: LARGE }, { isolate: "paris" });
    const cookies = browser.cookieHeader("/");
    const stored = Object.keys(await world.storage.dump());
    travels(browser, "tokyo");
    const told = [];
    for (let seconds = 0; seconds <= PROPAGATION + KV_CACHE; seconds += 5) {
      for (const path of ["/api/session", "/api/session/data/cart", "/api/sessions"]) {
        const answer = await browser.fetch(path);
        if (told.at(-1) !== answer.status) told.push(answer.status);
        if (answer.status === 503) {
          await expectProblem(answer, 503, "pending");
          assert.match(answer.headers["retry-after"], /^\d+$/);
        } else {
          assert.equal(answer.status, 200, answer.text);
          if (path === "/api/session") assert.equal(answer.json.owner, owner);
          if (path === "/api/session/data/cart") assert.equal(answer.json, LARGE);
        }
      }
      const written = await put(browser, "n", seconds);
      if (written.status !== 200) await expectProblem(written, 503, "pending");
      if (written.status === 503) assert.equal(browser.cookieHeader("/"), cookies);
      await world.advance(5);
    }
    assert.deepEqual(told, [503, 200], "first the one, then the other, and nothing else");
    await expectSession(show(browser), { owner });
    assert.deepEqual(Object.keys(await world.storage.dump()), stored, "no session beside it was made");
  });
});

describe("a stale read after a write", () => {
  story("is never silently older, and never saved over", async () => {
    const browser = await browserWith(world, { a: LARGE, n: 1 }, { isolate: "paris" });
    await world.advance(PROPAGATION);
    await expectSession(show(travels(browser, "tokyo")), { data: { a: LARGE, n: 1 } });
    await expectSession(put(travels(browser, "paris"), "n", 2));
    travels(browser, "tokyo");
    const told = [];
    for (let seconds = 0; seconds <= PROPAGATION + KV_CACHE; seconds += 5) {
      const { outcome, data, version } = await expectSession(show(browser));
      assert.deepEqual([data.n, version], outcome === "stale" ? [1, 1] : [2, 2], outcome);
      if (told.at(-1) !== outcome) told.push(outcome);
      if (outcome === "stale") await expectProblem(put(browser, "m", 3), 503, "stale");
      await world.advance(5);
    }
    assert.deepEqual(told, ["stale", "loaded"]);
    await expectSession(put(browser, "m", 3), { data: { a: LARGE, n: 2, m: 3 } });
  });

  story("that fits the cookie is not even stale", async () => {
    const browser = await browserWith(world, { n: 1 }, { isolate: "paris" });
    await world.advance(PROPAGATION);
    await expectSession(show(travels(browser, "tokyo")), { data: { n: 1 } });
    await expectSession(put(travels(browser, "paris"), "n", 2));
    travels(browser, "tokyo");
    for (let seconds = 0; seconds <= W + KV_CACHE; seconds += 6) {
      await expectSession(show(browser), { outcome: "loaded", data: { n: 2 } });
      await world.advance(6);
    }
  });
});

describe("the store is down for half a minute", () => {
  story("pages without a session work, others say 503, then everything is as before", async () => {
    const owner = somebody();
    const browser = await browserOf(world, owner, { a: 1 }, { isolate: "paris" });
    await world.advance(W);
    const cookies = browser.cookieHeader("/");
    const stored = await world.storage.dump();
    await world.storage.addFault({ status: 503 });

    for (let seconds = 0; seconds < 30; seconds += 15) {
      assert.equal((await browser.fetch("/healthz")).status, 200);
      await expectAnonymous(show(world.browser({ isolate: "tokyo" })));
      for (const [method, path, body] of [
        ["GET", "/api/session"],
        ["PUT", "/api/session/data/a", 2],
        ["POST", "/api/session/cycle"],
        ["GET", "/api/sessions"],
        ["DELETE", "/api/sessions?except=current"],
        ["POST", "/api/login", { owner }],
      ]) {
        const answer = await browser.send(method, path, body);
        await expectProblem(answer, 503, "unavailable");
        assert.match(answer.headers["retry-after"], /^\d+$/);
      }
      const first = put(world.browser({ isolate: "tokyo" }), "a", 1);
      await expectProblem(first, 503, "unavailable");
      await world.advance(15);
    }
    assert.equal(browser.cookieHeader("/"), cookies);

    await world.storage.clearFaults();
    assert.deepEqual(
      Object.entries(await world.storage.dump()).map(([key, { value }]) => [key, value]),
      Object.entries(stored).map(([key, { value }]) => [key, value]),
    );
    for (const isolate of world.isolates) {
      await expectSession(show(travels(browser, isolate)), { owner, data: { a: 1 }, outcome: "loaded" });
    }
    assert.equal(browser.cookieHeader("/"), cookies);
    await expectSession(put(browser, "a", 2), { owner, data: { a: 2 } });
  });

  story("a logout meanwhile is a logout, and the browser's next request puts its marker", async () => {
    const owner = somebody();
    const browser = await browserOf(world, owner, { a: 1 }, { isolate: "paris" });
    const { key } = await expectSession(show(browser));
    const copy = stolenFrom(browser, "tokyo");
    await world.advance(W);
    await world.storage.addFault({ status: 503 });

    const answer = await logout(browser);
    assert.deepEqual([answer.status, answer.json.code], [503, "revocation_pending"]);
    assert.deepEqual(browser.names, [COOKIE], "the tombstone");
    for (const isolate of ["paris", "tokyo"]) {
      await expectSession(show(travels(browser, isolate)), { key: null, owner: null, data: {} });
      await expectProblem(login(browser, owner), 503, "revocation_pending");
    }
    await world.advance(30);
    await world.storage.clearFaults();

    const { result, log } = await world.storage.counted(() => show(browser));
    await expectSession(result, { key: null, owner: null, data: {} });
    const { lineage, derived } = keyParts(key);
    const puts = log.filter(({ op }) => op === "put").map(({ keys }) => keys[0]);
    assert.deepEqual(puts.sort(), [`k.${derived}`, `l.${lineage}`]);
    await expectDead(copy, ["paris", "tokyo"]);
    await expectSession(login(browser, owner), { owner, data: {} });
    await expectDeadFromTheBoundOn(copy);
  });
});

describe("a burst of writes to one session within a second", () => {
  const burst = Object.fromEntries(Array.from({ length: 20 }, (_, n) => [`k${n + 1}`, n + 1]));

  story("20 in parallel, all but one refused by the store: no key is lost", async () => {
    await timeRuns();
    const browser = await browserWith(world, { base: 0 }, { isolate: "paris" });
    await world.advance(NEXT_WRITE);
    await world.storage.clearLog();
    await world.storage.addFault({ op: "put", hold: "before" });
    const writes = Object.entries(burst).map(([key, value]) => put(browser, key, value));
    await world.storage.holding(writes.length);
    await world.storage.clearFaults();
    for (const { status, text } of await Promise.all(writes)) assert.equal(status, 200, text);

    const statuses = (await world.storage.log()).filter(({ op }) => op === "put").map((it) => it.status);
    assert.equal(statuses.slice(0, 20).filter((status) => status === 429).length, 19, `${statuses}`);
    // After the second, one put of the newest version for all of them.
    assert.equal(statuses.filter((status) => status === 200).length, 2, `${statuses}`);
    const sorted = (data) => Object.entries(data).sort();
    const all = sorted({ base: 0, ...burst });
    assert.deepEqual(sorted((await expectSession(show(browser))).data), all);
    assert.deepEqual(sorted(await storedData(browser)), all);
  });

  story("one after the other, each answered when it is stored: no key is lost", async () => {
    await timeRuns();
    const browser = await browserWith(world, { base: 0 }, { isolate: "paris" });
    for (const key of ["a", "b"]) await expectSession(put(browser, key, 1));
    assert.deepEqual(await storedData(browser), { base: 0, a: 1, b: 1 });
  });

  story("what a location never gets stored travels with the browser, and is stored from elsewhere", async () => {
    const browser = await browserWith(world, { base: 0 }, { isolate: "paris" });
    await world.advance(PROPAGATION);
    await world.storage.addFault({ op: "put", location: "CDG", prefix: "s.", status: 429 });
    await expectSession(put(browser, "a", 1), { data: { base: 0, a: 1 } });
    travels(browser, "tokyo");
    const { result, counts } = await world.storage.counted(() => show(browser));
    await expectSession(result, { data: { base: 0, a: 1 } });
    assert.equal(counts.puts, 1, "a read that finds the store behind puts it once");
    const again = await world.storage.counted(() => show(browser));
    assert.equal(again.counts.puts, 0);
    assert.deepEqual(await storedData(browser, "lyon"), { base: 0, a: 1 });
  });

  story("of a record that no cookie can carry: what is answered as saved is stored", async () => {
    await timeRuns();
    const browser = await browserWith(world, { base: LARGE }, { isolate: "paris" });
    await world.advance(NEXT_WRITE);
    const keys = ["a", "b", "c"];
    const answers = await Promise.all(keys.map((key) => put(browser, key, 1)));
    const saved = keys.filter((_, n) => answers[n].status === 200);
    for (const answer of answers.filter(({ status }) => status !== 200)) {
      await expectProblem(answer, 503, "rate_limited");
    }
    assert.ok(saved.length > 0);
    const data = await storedData(browser);
    for (const key of saved) assert.equal(data[key], 1, key);
  });

  story("and waits no longer than it may: 503 rate_limited, and the session as it was", async () => {
    const browser = await browserWith(world, { base: LARGE }, { isolate: "paris" });
    await world.advance(NEXT_WRITE);
    await world.storage.addFault({ op: "put", status: 429 });
    const { result, counts } = await world.storage.counted(() => put(browser, "a", 1));
    await expectProblem(result, 503, "rate_limited");
    assert.match(result.headers["retry-after"], /^\d+$/);
    assert.equal(counts.puts, 3);
    await world.storage.clearFaults();
    await world.advance(W);
    await expectSession(show(browser), { data: { base: LARGE } });
  });
});

describe("log out everywhere", () => {
  story("every other device is out within the stated bound, this one stays", async () => {
    // As slow as the settings assume, with each cache filled at the worst moment.
    await world.storage.set({ propagation: 60_000 });
    const owner = somebody();
    const laptop = await browserOf(world, owner, { on: "laptop" }, { isolate: "paris" });
    const phone = await browserOf(world, owner, { on: "phone" }, { isolate: "tokyo" });
    await world.advance(W);
    // Too new to be listed in Paris.
    const tablet = await browserOf(world, owner, { on: "tablet" }, { isolate: "tokyo" });
    await world.advance(1);
    assert.deepEqual((await laptop.fetch("/api/sessions")).json.length, 2);
    await expectSession(show(phone), { owner });

    const { status } = await laptop.fetch("/api/sessions?except=current", { method: "DELETE" });
    assert.equal(status, 204);
    const others = [
      [phone, "phone"],
      [tablet, "tablet"],
    ];
    const alive = async () => {
      for (const [device, on] of others) await expectSession(show(device), { owner, data: { on } });
      await expectSession(show(laptop), { owner, data: { on: "laptop" } });
    };
    await world.advance(59); // not there yet; Tokyo caches that for 30 s
    await alive();
    await world.advance(29); // from that cache; the isolate then uses it for 10 s
    await alive();
    await world.advance(9);
    await alive();

    await world.advance(D - 59 - 29 - 9);
    for (const [device] of others) await expectDead(device);
    for (const isolate of world.isolates) {
      await expectSession(show(travels(laptop, isolate)), { owner, data: { on: "laptop" } });
    }
    assert.deepEqual((await laptop.fetch("/api/sessions")).json.map(({ current }) => current), [true]);
    await expectDeadFromTheBoundOn(...others.map(([device]) => device));
    await expectSession(show(laptop), { owner, data: { on: "laptop" } });
  });

  story("a login after it works, also where it is not visible yet", async () => {
    const owner = somebody();
    const laptop = await browserOf(world, owner, { a: 1 }, { isolate: "paris" });
    await world.advance(PROPAGATION);
    await laptop.fetch("/api/sessions?except=current", { method: "DELETE" });
    await world.advance(3); // server clocks may differ by up to 2 s
    const phone = await browserOf(world, owner, { b: 2 }, { isolate: "tokyo" });
    for (let seconds = 0; seconds <= D; seconds += 17) {
      await expectSession(show(phone), { owner, data: { b: 2 } });
      await expectSession(show(laptop), { owner, data: { a: 1 } });
      await world.advance(17);
    }
    for (const isolate of world.isolates) {
      await expectSession(show(travels(phone, isolate)), { owner, data: { b: 2 } });
    }
  });
});

describe("a stolen old cookie after a rotation", () => {
  story("cannot write, reads at most until W, then is dead", async () => {
    const browser = await browserOf(world, somebody(), { a: 1 }, { isolate: "paris" });
    await world.advance(PROPAGATION);
    const copy = stolenFrom(browser, "paris");
    const stolen = copy.cookieHeader("/");
    await expectSession(cycle(browser), { data: { a: 1 } });
    const stored = await world.storage.dump();

    await expectSession(show(copy), { data: { a: 1 }, outcome: "rotated" });
    for (const refused of [put(copy, "a", 2), cycle(copy), copy.send("PUT", "/api/session/expiry", { seconds: 9 })]) {
      await expectProblem(refused, 503, "rotated");
    }
    assert.equal(copy.cookieHeader("/"), stolen);
    assert.deepEqual(await world.storage.dump(), stored);
    await world.advance(W - 1);
    await expectSession(show(copy), { data: { a: 1 }, outcome: "rotated" });
    await world.advance(1);
    await expectDead(copy);
    await expectDeadFromTheBoundOn(copy);
    await expectSession(show(browser), { data: { a: 1 } });
  });

  story("rotated where the logout is not visible yet: the new key dies with the session", async () => {
    const browser = await browserOf(world, somebody(), { a: 1 }, { isolate: "paris" });
    const copy = stolenFrom(browser, "tokyo");
    await world.advance(PROPAGATION);
    await expectSession(show(copy), { data: { a: 1 } });
    await logout(browser);
    await world.advance(NEXT_WRITE);
    const stolen = copy.get(COOKIE).value;
    await expectSession(cycle(copy), { data: { a: 1 } });
    assert.notEqual(copy.get(COOKIE).value, stolen);
    await expectDeadFromTheBoundOn(copy);
  });

  story("rotated where the rotation is not visible yet: a logout ends both", async () => {
    const browser = await browserOf(world, somebody(), { a: 1 }, { isolate: "paris" });
    const copy = stolenFrom(browser, "tokyo");
    await world.advance(PROPAGATION);
    await expectSession(show(copy), { data: { a: 1 } });
    await expectSession(cycle(browser), { data: { a: 1 } });
    await world.advance(NEXT_WRITE);
    await expectSession(cycle(copy), { data: { a: 1 } });
    await world.advance(D);
    await expectSession(show(copy), { data: { a: 1 } });
    await logout(browser);
    assert.deepEqual(browser.names, []);
    await expectDeadFromTheBoundOn(copy);
  });
});
