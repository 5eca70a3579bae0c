// One session per request: handlers inside others, in parallel, and after them.

import assert from "node:assert/strict";
import { test } from "node:test";

import { ManualClock, MemoryConnector, SessionError, Sessions } from "../../pkg/node.js";
import { SECRET, START, code, world } from "./support/world.mjs";

const NO_STORE = ["no-store", "Cookie"];
const caching = (response) => [response.headers.get("cache-control"), response.headers.get("vary")];

/** A gate: `wait` resolves when it was opened. */
function gate() {
  let open;
  const wait = new Promise((resolve) => (open = resolve));
  return { wait, open };
}

test("a handler that ends after the outermost answers as one that was alone", async () => {
  const { browser, sessions } = world();
  await browser.ask((session) => session.set("a", "1"));
  const cases = {
    reads: [(session) => new Response(session.get("a")), 200],
    changes: [(session) => new Response(session.set("b", 2).get("b")), 409],
    "throws a response": [() => Promise.reject(new Response("no", { status: 403 })), 403],
  };
  const { status } = new SessionError("committed", "");
  cases.changes[1] = status;
  for (const [name, [late, expected]] of Object.entries(cases)) {
    const request = browser.request();
    const [began, goesOn] = [gate(), gate()];
    const first = sessions.handle(request, null, async (session) => {
      session.set("n", name);
      await began.wait;
      return new Response("1");
    });
    const second = sessions.handle(request, null, async (session) => {
      session.get("a");
      began.open();
      await goesOn.wait;
      return late(session);
    });
    browser.keep(await first);
    goesOn.open();
    const answer = await second;
    assert.equal(answer.status, expected, name);
    assert.deepEqual(caching(answer), NO_STORE, name);
    assert.equal((await browser.load()).get("n"), name);
  }
  const own = new Error("own");
  const request = browser.request();
  const late = gate();
  const first = sessions.handle(request, null, async () => new Response(""));
  const second = sessions.handle(request, null, () => late.wait.then(() => Promise.reject(own)));
  await first;
  late.open();
  await second.then(assert.fail, (error) => assert.equal(error, own));
});

test("who comes while the outermost commits has a session of its own", async () => {
  const { browser, memory, clock } = world();
  await browser.ask((session) => session.set("a", 1));
  const [asked, answers] = [gate(), gate()];
  const put = async (...args) => {
    asked.open();
    await answers.wait;
    return memory.put(...args);
  };
  const slow = new Sessions(
    { kind: "memory", read: (...args) => memory.read(...args), put, delete: (...args) => memory.delete(...args) },
    { secret: SECRET, clock },
  );
  const request = browser.request();
  let outer;
  const first = slow.handle(request, null, (session) => {
    outer = session.set("a", 2);
    return new Response();
  });
  await asked.wait;
  const second = slow.handle(request, null, (session) => {
    assert.notEqual(session, outer);
    session.set("b", 1);
    return new Response("of its own");
  });
  answers.open();
  assert.equal((await first).status, 200);
  assert.equal(await (await second).text(), "of its own");
});

test("a session that is committed does not come back with its cookies", async () => {
  const { browser, sessions } = world();
  await browser.ask((session) => session.set("a", 1));
  const request = new Request(browser.request());
  const own = request.headers.get("cookie");
  const ends = [gate(), gate()];
  const open = (end) =>
    sessions.handle(request, null, async (session) => {
      session.isNew;
      await end.wait;
      return new Response();
    });
  const first = open(ends[0]);
  await new Promise((resolve) => setImmediate(resolve));
  request.headers.set("cookie", "x=y");
  const second = open(ends[1]);
  await new Promise((resolve) => setImmediate(resolve));
  ends[0].open();
  await first;
  ends[1].open();
  await second;
  request.headers.set("cookie", own);
  const response = await sessions.handle(request, null, (session) => new Response(String(session.set("z", 1).size)));
  assert.deepEqual([response.status, await response.text()], [200, "2"]);
});

test("the answer of an inner handler is not cached either, and has no cookies yet", async () => {
  const { browser, sessions } = world();
  await browser.ask((session) => session.set("a", "secret"));
  const personal = (session) => new Response(session.get("a"), { headers: { "cache-control": "public, max-age=60" } });
  const request = browser.request();
  let inner;
  let thrown;
  const response = await sessions.handleLazy(request, null, async () => {
    inner = await sessions.handle(request, null, personal);
    assert.deepEqual(caching(inner), NO_STORE);
    assert.deepEqual(inner.headers.getSetCookie(), []);
    const redirect = await sessions.handle(request, null, () => Promise.reject(Response.redirect("https://example.com/", 302)));
    assert.deepEqual([redirect.status, ...caching(redirect)], [302, ...NO_STORE], "a redirect that is thrown is returned");
    thrown = await sessions
      .handle(request, null, (session) => Promise.reject(new Response(session.get("a"), { status: 404 })))
      .then(assert.fail, (error) => error);
    return inner;
  });
  assert.equal(response, inner);
  assert.deepEqual([thrown.status, ...caching(thrown)], [404, ...NO_STORE]);
});

test("what an inner handler that failed has changed is dropped, whatever the outer one answers", async (t) => {
  const warned = t.mock.method(console, "warn", () => {});
  const failures = {
    "a thrown response": () => Promise.reject(new Response("denied", { status: 403 })),
    "a SessionError": (session) => session.require("nothing"),
    "another error": () => Promise.reject(new Error("own")),
    "an answer 5xx": () => new Response("sorry", { status: 503 }),
  };
  for (const [name, fail] of Object.entries(failures)) {
    const { browser, sessions } = world();
    await browser.ask((session) => session.set("a", 1));
    const request = browser.request();
    const response = await sessions.handle(request, null, async (session) => {
      await session.set("saved", 1).save();
      const inner = sessions.handle(request, null, (session) => {
        session.bind("mallory");
        return fail(session);
      });
      await inner.catch(() => {});
      return new Response("all is well");
    });
    assert.equal(response.status, 200);
    browser.keep(response);
    const session = await browser.load();
    assert.deepEqual([session.owner, session.get("saved")], [null, 1], name);
  }
  const lines = warned.mock.calls.map(({ arguments: [line] }) => line);
  const line = "edge-session: changes to a session were dropped because an inner handler of the same request failed";
  assert.equal(lines[0], line);
});

for (const [name, pairs] of Object.entries({
  "options in another order": ({ memory, clock }) => [
    new Sessions(memory, { secret: SECRET, clock, idleTimeout: 3600, cookieName: "__Host-session" }),
    new Sessions(memory, { secret: SECRET, clock, cookieName: "__Host-session", idleTimeout: 3600 }),
  ],
  "a default that is spelt out": ({ memory, clock }) => [
    new Sessions(memory, { secret: SECRET, clock }),
    new Sessions(memory, { secret: [SECRET], clock, cookieName: "__Host-session", seal: true }),
  ],
  "variables and options": ({ memory }) => {
    const env = { SESSIONS: memory, SESSION_SECRET: ` ${SECRET} ` };
    return [Sessions.fromEnv(env), new Sessions(memory, { secret: SECRET })];
  },
  "a function for events": ({ memory, clock }) => [
    new Sessions(memory, { secret: SECRET, clock }),
    new Sessions(memory, { secret: SECRET, clock, onEvent: assert.fail }),
  ],
})) {
  test(`one session for one configuration, however it is written: ${name}`, async () => {
    const it = world();
    const [first, second] = pairs(it);
    const request = it.browser.request();
    const response = await first.handle(request, null, async (session) => {
      session.set("a", 1);
      return second.handle(request, null, (inner) => {
        inner.set("b", 2);
        return new Response(String(inner === session));
      });
    });
    assert.equal(await response.text(), "true");
    assert.deepEqual(response.headers.getSetCookie().map((line) => line.split("=")[0]), ["__Host-session", "__Host-session-fresh"]);
  });
}

test("two sessions of one request that overwrite each other's cookie are warned of, once", async (t) => {
  const warned = t.mock.method(console, "warn", () => {});
  const { browser, sessions, memory, clock } = world();
  const over = (settings, connector = memory) => new Sessions(connector, { secret: SECRET, clock, ...settings });
  const elsewhere = new MemoryConnector({ clock: new ManualClock(START) });
  const inside = async (others) => {
    const request = browser.request();
    await sessions.handle(request, null, (session) => {
      session.isNew;
      return others.handle(request, null, (it) => new Response(String(it.isNew && it !== session)));
    });
    return warned.mock.callCount();
  };
  assert.equal(await inside(over({ keyPrefix: "b:", cookieName: "__Host-b" })), 0);
  assert.equal(await inside(over({ keyPrefix: "b:", disableWarnings: true })), 0);
  assert.equal(await inside(over({ keyPrefix: "b:" })), 1);
  assert.equal(await inside(over({}, elsewhere)), 1);
  assert.match(warned.mock.calls[0].arguments[0], /two Sessions that set the cookie __Host-session and differ/);
});

test("inside a handler, load and open give the handler's session, which that commits", async () => {
  const { browser, sessions } = world();
  await browser.ask((session) => session.set("a", 1));
  const request = browser.request();
  const response = await sessions.handle(request, null, async (session) => {
    session.bind("ada");
    const loaded = await sessions.load(request);
    assert.equal(loaded, session);
    assert.equal(sessions.open(request), session);
    loaded.set("b", 2);
    const answer = await sessions.commit(loaded, new Response("by hand"));
    assert.deepEqual([...caching(answer), answer.headers.getSetCookie().length], [...NO_STORE, 0]);
    const headers = await sessions.commitHeaders(loaded);
    assert.deepEqual([headers.get("cache-control"), headers.getSetCookie().length], ["no-store", 0]);
    loaded.set("c", 3);
    return answer;
  });
  browser.keep(response);
  const session = await browser.load();
  assert.deepEqual([session.owner, session.get("b"), session.get("c")], ["ada", 2, 3]);
  // For another request, or for a Cookie header, it is another session.
  await sessions.handle(request, null, async (session) => {
    assert.notEqual(await sessions.load(browser.request()), session);
    assert.notEqual(sessions.open(request.headers.get("cookie")), session);
    return new Response();
  });
});

test("an inner handler during a step does not count as access to the session", async () => {
  const { browser, sessions } = world();
  await browser.ask((session) => session.set("a", 1));
  const lazy = browser.request();
  const both = await sessions.handleLazy(lazy, null, async () => {
    const [one] = await Promise.all([
      sessions.handle(lazy, null, () => new Response("1")),
      sessions.handle(lazy, null, () => new Response("2")),
    ]);
    return one;
  });
  assert.deepEqual(caching(both), [null, null], "nobody has looked");
  // An earlier failure is reported to the commit, not to this call.
  const request = browser.request();
  let inner;
  const response = await sessions.handle(request, null, async (session) => {
    const saving = session.set("b", 1).save();
    session.bind("x".repeat(2000));
    inner = await sessions.handle(request, null, () => new Response("fine"));
    await saving;
    return inner;
  });
  assert.equal(inner.status, 200);
  assert.deepEqual([response.status, (await response.json()).code], [422, "invalid_value"]);
});

test("a value that is not a response is refused before the commit", async () => {
  const { browser, sessions, memory } = world();
  const refused = [
    [undefined, /^the handler returned no Response$/],
    [{ status: 200, headers: {} }, /no Response$/],
    [new SessionError("missing_key", "x"), /no Response but a SessionError: throw it, or return its toResponse\(\)/],
    [Response.error(), /status is 0/],
    [Object.assign(new Error("upstream"), { status: 200, headers: new Headers() }), /no Response$/],
  ];
  for (const [value, message] of refused) {
    const answer = sessions.handle(browser.request(), null, (session) => {
      session.set("a", 1);
      return value;
    });
    const error = await answer.then(assert.fail, (error) => error);
    assert.match(error.message, message);
  }
  assert.equal(memory.operations.puts, 0);
  const session = await sessions.load(browser.request());
  await assert.rejects(sessions.commit(session, Response.error()), /commit was given no Response/);
  assert.equal((await sessions.commit(session, new Response())).status, 200, "it is not committed by that");
});

test("what is thrown and neither an answer nor an error of ours comes out as it is", async () => {
  const { browser, sessions } = world();
  const { proxy, revoke } = Proxy.revocable({}, {});
  revoke();
  const exotic = {
    get headers() {
      throw new Error("a getter");
    },
  };
  for (const thrown of [Response.error(), proxy, exotic]) {
    const answer = sessions.handle(browser.request(), null, () => {
      throw thrown;
    });
    await answer.then(assert.fail, (error) => assert.ok(error === thrown));
  }
});

test("a load that fails is answered", async () => {
  let now = () => START;
  const { browser, memory } = world();
  const sessions = new Sessions(memory, { secret: SECRET, clock: { now: () => now() } });
  now = () => Number.NaN;
  const request = browser.request({ headers: { cookie: "__Host-session=x" } });
  const response = await sessions.handle(request, null, () => new Response("page"));
  assert.deepEqual([response.status, (await response.json()).code], [422, "invalid_value"]);
});

test("an error of the session is found on every way, past those that cannot be looked at", async (t) => {
  t.mock.method(console, "warn", () => {});
  const { browser, sessions } = world();
  const trap = Object.defineProperty(new Error("trap"), "cause", {
    get() {
      throw new Error("a getter");
    },
  });
  const suppressed = (error, hidden) => Object.assign(new Error("two"), { name: "SuppressedError", error, suppressed: hidden });
  for (const wrap of [
    (error) => new AggregateError([trap, error]),
    (error) => suppressed(error, new Error("other")),
    (error) => suppressed(new Error("other"), error),
    (error) => Object.assign(new AggregateError([error]), { cause: trap }),
  ]) {
    const response = await sessions.handle(browser.request(), null, (session) => {
      try {
        session.require("nothing");
      } catch (error) {
        throw wrap(error);
      }
    });
    assert.equal(response.status, 404);
  }
});

test("an application that wraps errors gets a line for each kind of them, and then one a minute", async (t) => {
  const warned = t.mock.method(console, "warn", () => {});
  const { browser, sessions, clock } = world();
  const ask = () =>
    sessions.handle(browser.request(), null, (session) => {
      try {
        session.require("nothing");
      } catch (cause) {
        throw new RangeError("the cart of this test", { cause });
      }
    });
  for (let i = 0; i < 3; i += 1) await ask();
  clock.advance(60_000);
  await ask();
  const line = "edge-session: the request was answered with missing_key, the cause of this error: RangeError: the cart of this test";
  assert.deepEqual(
    warned.mock.calls.map(({ arguments: [line] }) => line),
    [line, `${line} (2 more since the last line about this)`],
  );
  assert.ok(warned.mock.calls[0].arguments[1] instanceof RangeError);
});

test("a CSRF token that is not a string is a wrong token", async () => {
  const { browser } = world();
  await browser.ask((session) => {
    const token = session.csrfToken();
    for (const wrong of [Object.create(null), [token], { toString: () => token }, Symbol("s"), 1, null, undefined]) {
      assert.throws(() => session.verifyCsrf(wrong), code("invalid_value"));
    }
    session.verifyCsrf(token);
  });
});
