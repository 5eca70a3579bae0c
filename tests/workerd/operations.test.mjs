// The KV operations of each kind of request, counted in workerd over HTTP.
//
// `docs/consistency.md` ("What each request costs") has the table. Rows that both
// have must be equal. A read is one round trip, for one or more keys.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, beforeEach, describe, test } from "node:test";

import { parseSetCookie } from "./support/harness.mjs";
import {
  COOKIE,
  COOKIE_AGE,
  FRESH,
  IDLE_TIMEOUT,
  SEEN,
  W,
  browserOf,
  browserWith,
  cycle,
  expectAnonymous,
  expectProblem,
  expectSession,
  login,
  logout,
  put,
  show,
  startSessions,
} from "./support/sessions.mjs";

let world;
let purging;
let people = 0;

/** Isolates remember owners across tests, so each test has its own. */
const somebody = () => `somebody-${(people += 1)}`;

before(async () => {
  world = await startSessions();
  purging = await startSessions({ vars: { SESSION_PURGE: "true" } });
});
beforeEach(async () => {
  for (const each of [world, purging]) {
    await each.reset();
    await each.freeze();
  }
});
after(() => Promise.all([world, purging].map((each) => each.stop())));

/** Waits until no isolate remembers anything. */
const forgotten = (where = world) => where.advance(W + 1);

async function anonymous(where = world) {
  const browser = await browserWith(where, { a: 1 });
  await forgotten(where);
  return browser;
}

async function owned(where = world) {
  const browser = await browserOf(where, somebody(), { a: 1 });
  await forgotten(where);
  return browser;
}

async function rotated(browser, where = world) {
  await expectSession(cycle(browser), { data: { a: 1 } });
  await forgotten(where);
  return browser;
}

const read = (browser) => expectSession(show(browser), { outcome: "loaded", data: { a: 1 } });
const destroy = async (browser) => {
  const { status } = await browser.fetch("/api/session", { method: "DELETE" });
  assert.equal(status, 204);
};
const LOGOUTS = [
  ["DELETE /api/session", destroy],
  ["POST /api/logout", (browser) => expectSession(logout(browser), { key: null })],
];

/** The rows of the documented table: name to [reads, keys read, puts, deletes, lists]. */
const documented = new Map(
  [
    ...readFileSync(new URL("../../docs/consistency.md", import.meta.url), "utf8").matchAll(
      /^\| (.+?) \| (\d+) \| (\d+) \| (\d+) \| (\d+) \| (\d+) \|$/gm,
    ),
  ].map(([, name, ...counts]) => [name, counts.map(Number)]),
);

/**
 * One row. `prepare` gives the request to count; `documentedAs` is its name in the docs.
 * Counts that `cost` omits are 0.
 */
function costs(name, cost, prepare, { documentedAs, where = () => world } = {}) {
  const { reads = 0, keysRead = 0, puts = 0, deletes = 0, lists = 0 } = cost;
  const expected = { reads, keysRead, puts, deletes, lists };
  test(`${name}: ${JSON.stringify(cost)}`, { timeout: 60_000 }, async () => {
    const request = await prepare();
    const { counts, log } = await where().storage.counted(request);
    const asked = log.map(({ op, keys }) => `${op} ${keys.map((key) => key[0])}`);
    assert.deepEqual(counts, expected, asked.join("; "));
    if (documentedAs) assert.deepEqual(documented.get(documentedAs), Object.values(counts), documentedAs);
  });
}

describe("no session", () => {
  costs("no cookie, nothing is set", {}, () => async () => {
    const browser = world.browser();
    await expectAnonymous(show(browser));
    await expectProblem(browser.fetch("/api/session/data/a"), 404, "not_found");
    await destroy(browser);
    await expectProblem(browser.fetch("/api/sessions"), 401, "unauthenticated");
  }, { documentedAs: "no cookie" });

  costs("a forged key cookie", {}, async () => {
    const browser = await anonymous();
    const { value } = browser.get(COOKIE);
    browser.tamper(COOKIE, `${value.slice(0, 60)}${value[60] === "A" ? "B" : "A"}${value.slice(61)}`);
    return async () => {
      const { outcome } = await expectAnonymous(show(browser));
      assert.equal(outcome, "rejected");
      await destroy(browser);
    };
  }, { documentedAs: "forged or foreign key cookie" });

  costs("a key cookie that has reached its hard end", {}, async () => {
    const browser = await anonymous();
    const Cookie = browser.cookieHeader("/");
    await world.advance(COOKIE_AGE);
    return () => expectAnonymous(world.fetch("/api/session", { headers: { Cookie } }));
  });

  costs("a page without a session, whatever cookies come", {}, async () => {
    const browser = await owned();
    return async () => assert.equal((await browser.fetch("/healthz")).status, 200);
  });

  costs("what is refused before the session is asked for", {}, async () => {
    const browser = await owned();
    return async () => {
      const other = { method: "DELETE", headers: { "Sec-Fetch-Site": "cross-site", Origin: "https://a.example" } };
      for (const [status, path, options] of [
        [403, "/api/session", other],
        [404, "/api/none", {}],
        [405, "/api/session/cycle", {}],
        [413, "/api/session/data/a", { method: "PUT", body: "x".repeat(65_537) }],
      ]) {
        assert.equal((await browser.fetch(path, options)).status, status, path);
      }
    };
  });
});

describe("a read", () => {
  costs("of an anonymous session", { reads: 1, keysRead: 2 }, async () => {
    const browser = await anonymous();
    return () => read(browser);
  }, { documentedAs: "read, anonymous session" });

  costs("of an owner's session", { reads: 1, keysRead: 3 }, async () => {
    const browser = await owned();
    return () => read(browser);
  }, { documentedAs: "read, session of an owner" });

  costs("after a rotation", { reads: 1, keysRead: 3 }, async () => {
    const browser = await rotated(await anonymous());
    return () => read(browser);
  }, { documentedAs: "read, after a rotation" });

  costs("after a rotation of an owner's session", { reads: 1, keysRead: 4 }, async () => {
    const browser = await rotated(await owned());
    return () => read(browser);
  }, { documentedAs: "read, after a rotation, session of an owner" });

  costs("with the first key after it was rotated", { reads: 2, keysRead: 3 }, async () => {
    const browser = await anonymous();
    const old = browser.clone();
    await rotated(browser);
    return () => expectAnonymous(show(old));
  }, { documentedAs: "read, with the first key after it was rotated" });

  costs("served by the isolate's memory", {}, async () => {
    const browser = await anonymous();
    await read(browser);
    await world.advance(9);
    return () => read(browser);
  }, { documentedAs: "read, served by the isolate's memory" });

  costs("when that is ten seconds old", { reads: 1, keysRead: 2 }, async () => {
    const browser = await anonymous();
    await read(browser);
    await world.advance(10);
    return () => read(browser);
  });

  const slides = async (browser) => {
    const { setCookies } = await show(browser);
    assert.deepEqual(setCookies.map((line) => parseSetCookie(line).name), [SEEN]);
  };
  costs("that slides the idle time", { reads: 1, keysRead: 2 }, async () => {
    const browser = await anonymous();
    await world.advance(IDLE_TIMEOUT / 2);
    return () => slides(browser);
  }, { documentedAs: "read that slides the idle time" });

  costs("that slides the idle time, served by the isolate's memory", {}, async () => {
    const browser = await anonymous();
    await expectSession(browser.send("PUT", "/api/session/expiry", { idle: 100 }));
    await read(browser);
    await world.advance(6); // of 100 s more than a twentieth
    return () => slides(browser);
  });

  costs("of a session that was ended", { reads: 1, keysRead: 2 }, async () => {
    const browser = await anonymous();
    const copy = browser.clone();
    await destroy(browser);
    await forgotten();
    return () => expectAnonymous(show(copy));
  });
});

describe("a write", () => {
  const write = (browser) => expectSession(put(browser, "b", 2), { data: { a: 1, b: 2 } });

  costs("that begins a session: no read", { puts: 1 }, () => () => put(world.browser(), "a", 1), {
    documentedAs: "first save of a new session",
  });

  costs("with a forged key cookie begins a session: no read", { puts: 1 }, () => {
    const browser = world.browser();
    const headers = { Cookie: `${COOKIE}=${"A".repeat(160)}` };
    return () => expectSession(browser.send("PUT", "/api/session/data/a", 1, { headers }));
  });

  costs("to a session", { reads: 1, keysRead: 2, puts: 1 }, async () => {
    const browser = await anonymous();
    return () => write(browser);
  }, { documentedAs: "save" });

  costs("to an owner's session", { reads: 1, keysRead: 3, puts: 1 }, async () => {
    const browser = await owned();
    return () => write(browser);
  });

  costs("whose load the isolate's memory served: the read that the join asks for", {
    reads: 1, keysRead: 2, puts: 1,
  }, async () => {
    const browser = await anonymous();
    await read(browser);
    return () => write(browser);
  }, { documentedAs: "save, load served by the isolate's memory" });

  costs("a second or more after its load was asked for: a second read", {
    reads: 2, keysRead: 4, puts: 1,
  }, async () => {
    const browser = await anonymous();
    await world.storage.addFault({ op: "read", hold: "after", times: 1 });
    return async () => {
      const slow = write(browser);
      await world.storage.holding(1);
      await world.advance(1);
      await world.storage.clearFaults();
      await slow;
    };
  }, { documentedAs: "save, a second or more after the load" });

  costs("of an equal value", { reads: 1, keysRead: 2 }, async () => {
    const browser = await anonymous();
    return async () => {
      await expectSession(put(browser, "a", 1));
      assert.equal(browser.get(FRESH), undefined, "nothing was saved");
    };
  }, { documentedAs: "save of an equal value" });

  for (const [what, change] of [
    ["many values", (browser) => browser.send("PATCH", "/api/session/data", { b: 2, c: 3 })],
    ["the removal of a value", (browser) => browser.fetch("/api/session/data/a", { method: "DELETE" })],
    ["the removal of all", (browser) => browser.fetch("/api/session/data", { method: "DELETE" })],
    ["a pop", (browser) => browser.fetch("/api/session/data/a/pop", { method: "POST" })],
    ["an expiry", (browser) => browser.send("PUT", "/api/session/expiry", { seconds: 60 })],
  ]) {
    costs(what, { reads: 1, keysRead: 2, puts: 1 }, async () => {
      const browser = await anonymous();
      return async () => assert.ok((await change(browser)).status < 300);
    });
  }

  costs("the removal of an absent value", { reads: 1, keysRead: 2 }, async () => {
    const browser = await anonymous();
    return () => browser.fetch("/api/session/data/none", { method: "DELETE" });
  });

  for (const [seconds, what, cost] of [
    [9, "that this isolate has just ended", {}],
    [10, "that was ended", { reads: 1, keysRead: 2 }],
  ]) {
    costs(`to a session ${what}`, cost, async () => {
      const browser = await anonymous();
      const copy = browser.clone();
      await destroy(browser);
      await world.advance(seconds);
      return () => expectProblem(put(copy, "a", 2), 409, "revoked");
    });
  }
});

describe("a rotation", () => {
  costs("the record, then the marker", { reads: 1, keysRead: 2, puts: 2 }, async () => {
    const browser = await anonymous();
    return () => expectSession(cycle(browser));
  }, { documentedAs: "rotation (`cycle_key`)" });

  costs("by an expiry at browser close, which changes the key cookie", {
    reads: 1, keysRead: 2, puts: 2,
  }, async () => {
    const browser = await anonymous();
    return () => expectSession(browser.send("PUT", "/api/session/expiry", { seconds: 0 }));
  });
});

describe("a login", () => {
  costs("without a session before: the owner's marker", { reads: 1, keysRead: 1, puts: 1 }, () => {
    const owner = somebody();
    return () => expectSession(login(world.browser(), owner), { owner });
  }, { documentedAs: "login, no session before" });

  costs("over an anonymous session: the load beside it", { reads: 2, keysRead: 3, puts: 2 }, async () => {
    const browser = await anonymous();
    const owner = somebody();
    return () => expectSession(login(browser, owner), { owner, data: { a: 1 } });
  }, { documentedAs: "login, over an anonymous session" });

  costs("over an anonymous session that is no more", { reads: 2, keysRead: 3, puts: 1 }, async () => {
    const browser = await anonymous();
    const copy = browser.clone();
    await destroy(browser);
    await forgotten();
    const owner = somebody();
    return () => expectSession(login(copy, owner), { owner, data: {} });
  });

  costs("over an owner's session", { reads: 2, keysRead: 4, puts: 3 }, async () => {
    const browser = await owned();
    const owner = somebody();
    return () => expectSession(login(browser, owner), { owner, data: {} });
  }, { documentedAs: "login, over a session of an owner" });

  costs("over an owner's session after a rotation", { reads: 2, keysRead: 5, puts: 4 }, async () => {
    const browser = await rotated(await owned());
    const owner = somebody();
    return () => expectSession(login(browser, owner), { owner, data: {} });
  });
});

describe("a logout", () => {
  for (const [by, out] of LOGOUTS) {
    costs(`by ${by}`, { reads: 1, keysRead: 2, puts: 2 }, async () => {
      const browser = await anonymous();
      return () => out(browser);
    }, { documentedAs: "logout" });

    costs(`by ${by}, of an owner`, { reads: 1, keysRead: 3, puts: 2 }, async () => {
      const browser = await owned();
      return () => out(browser);
    }, { documentedAs: "logout, session of an owner" });

    costs(`by ${by}, after a rotation`, { reads: 1, keysRead: 3, puts: 3 }, async () => {
      const browser = await rotated(await anonymous());
      return () => out(browser);
    }, { documentedAs: "logout, after a rotation" });

    costs(`by ${by}, with SESSION_PURGE`, { reads: 1, keysRead: 2, puts: 2, deletes: 1 }, async () => {
      const browser = await anonymous(purging);
      return () => out(browser);
    }, { documentedAs: "logout, with `SESSION_PURGE`", where: () => purging });
  }

  costs("whose load the isolate's memory served", { puts: 2 }, async () => {
    const browser = await anonymous();
    await read(browser);
    return () => destroy(browser);
  });

  costs("its puts go side by side", { reads: 1, keysRead: 3, puts: 3 }, async () => {
    const browser = await rotated(await anonymous());
    await world.storage.addFault({ op: "put", hold: "before" });
    return async () => {
      const out = destroy(browser);
      await world.storage.holding(3);
      await world.storage.clearFaults();
      await out;
    };
  });

  const pending = async () => {
    const browser = await anonymous();
    await world.storage.addFault({ op: "put", status: 503 });
    assert.equal((await browser.fetch("/api/session", { method: "DELETE" })).status, 503);
    await world.storage.clearFaults();
    return browser;
  };
  const nobody = (browser) => expectSession(show(browser), { key: null, data: {} });

  costs("that could not be stored: the next request stores it", { reads: 1, keysRead: 2, puts: 2 }, async () => {
    const browser = await pending();
    return () => nobody(browser);
  }, { documentedAs: "request after a logout that was not stored" });

  costs("that could not be stored: the request after that finds it", { reads: 1, keysRead: 2 }, async () => {
    const browser = await pending();
    await nobody(browser);
    return () => nobody(browser);
  }, { documentedAs: "the same, once it is stored" });
});

describe("an owner's two sessions, beside the load of three keys", () => {
  async function devices() {
    const owner = somebody();
    const [one, other] = [await browserOf(world, owner, { a: 1 }), await browserOf(world, owner, { b: 2 })];
    await forgotten();
    return { one, other };
  }
  const remove = async (browser, path) =>
    assert.equal((await browser.fetch(path, { method: "DELETE" })).status, 204);

  costs("the list: its markers in one read", { reads: 2, keysRead: 3 + 5, lists: 1 }, async () => {
    const { one } = await devices();
    return async () => assert.equal((await one.fetch("/api/sessions")).json.length, 2);
  });

  costs("ending one", { reads: 1, keysRead: 3, puts: 2 }, async () => {
    const { one, other } = await devices();
    const { key } = await expectSession(show(other));
    return () => remove(one, `/api/sessions/${key}`);
  });

  costs("ending all others", { reads: 3, keysRead: 3 + 2 + 2, puts: 1 + 2, lists: 1 }, async () => {
    const { one } = await devices();
    return () => remove(one, "/api/sessions?except=current");
  });

  costs("ending all", { reads: 3, keysRead: 3 + 2 + 2 * 2, puts: 1 + 2 * 2, lists: 1 }, async () => {
    const { one } = await devices();
    return () => remove(one, "/api/sessions");
  });
});
