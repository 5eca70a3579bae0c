// handle, handleLazy and commit: what they do around the handler, and with its response.

import assert from "node:assert/strict";
import { test } from "node:test";

import { ManualClock, MemoryConnector, SessionError, Sessions } from "../../pkg/node.js";
import { Browser, SECRET, START, code, world } from "./support/world.mjs";

/** A store in memory that fails. */
const broken = (error) => {
  const fail = async () => {
    throw error;
  };
  return { kind: "memory", read: fail, put: fail, delete: fail };
};
const NOTHING = { reads: 0, keysRead: 0, puts: 0, deletes: 0, lists: 0 };

test("untouched, it costs nothing and leaves the response as it is", async () => {
  const { browser, memory, sessions } = world();
  await browser.ask((session) => session.set("a", 1));
  memory.resetOperations();
  for (const request of [new Request("https://x/"), browser.request()]) {
    const response = new Response("page", { headers: { vary: "Accept" } });
    assert.equal(await sessions.handleLazy(request, null, () => response), response);
    assert.deepEqual([...response.headers].map(([name]) => name), ["content-type", "vary"]);
  }
  const response = new Response("page");
  assert.equal(await sessions.handle(new Request("https://x/"), null, () => response), response);
  assert.deepEqual([...response.headers.keys()], ["content-type"]);
  assert.deepEqual(memory.operations, NOTHING);
});

test("an unloaded session is not read by mistake", async () => {
  const { browser, sessions } = world();
  await browser.ask((session) => session.set("a", 1));
  const answer = await sessions.handleLazy(browser.request(), null, (session) => new Response(session.get("a")));
  assert.deepEqual([answer.status, (await answer.json()).code], [500, "not_loaded"]);
  const response = await sessions.handleLazy(browser.request(), null, async (session) => {
    await session.load();
    return new Response(session.get("a"));
  });
  assert.equal(await response.text(), "1");
});

test("an answer that depends on the session is not cached", async () => {
  const { browser, sessions } = world();
  await browser.ask((session) => session.set("a", 1));
  for (const [vary, expected] of [[undefined, "Cookie"], ["Accept", "Accept, Cookie"], ["accept, COOKIE", "accept, COOKIE"], ["*", "*"]]) {
    const headers = { "cache-control": "public, max-age=60", ...(vary && { vary }) };
    const response = await sessions.handle(browser.request(), null, (session) => new Response(session.get("a"), { headers }));
    assert.equal(response.headers.get("vary"), expected);
    for (const name of ["cache-control", "cdn-cache-control", "cloudflare-cdn-cache-control"]) {
      assert.equal(response.headers.get(name), "no-store");
    }
  }
});

test("responses keep status, body and headers, immutable ones too", async () => {
  const { browser, sessions } = world();
  const fetched = await fetch(`data:text/plain,hello`);
  assert.throws(() => fetched.headers.set("x", "y"), TypeError, "immutable");
  const stream = new ReadableStream({
    start(controller) {
      controller.enqueue(new TextEncoder().encode("streamed"));
      controller.close();
    },
  });
  const own = new Headers({ "x-own": "1" });
  own.append("set-cookie", "a=1");
  own.append("set-cookie", "b=2");
  for (const [response, text] of [
    [Response.redirect("https://example.com/next", 303), ""],
    [fetched, "hello"],
    [new Response(stream, { status: 201, headers: own }), "streamed"],
    [new Response(null, { status: 204 }), ""],
  ]) {
    const { status } = response;
    const names = [...response.headers].filter(([name]) => name !== "set-cookie");
    const cookies = response.headers.getSetCookie();
    const session = await browser.load();
    session.set("n", status);
    const answer = await sessions.commit(session, response);
    assert.equal(answer.status, status);
    assert.equal(await answer.text(), text);
    for (const [name, value] of names) assert.equal(answer.headers.get(name), value);
    const set = answer.headers.getSetCookie();
    assert.deepEqual(set.slice(0, cookies.length), cookies);
    assert.ok(set.length > cookies.length && set.at(-1).startsWith("__Host-session"));
    browser.keep(answer);
  }
});

test("commitHeaders is for frameworks that build their own response", async () => {
  const { browser, sessions } = world();
  const session = await browser.load();
  session.set("a", 1);
  const headers = await sessions.commitHeaders(session);
  assert.equal(headers.getSetCookie().length, 2);
  assert.equal(headers.get("vary"), "Cookie");
  assert.equal(headers.get("cache-control"), "no-store");
  const failed = await browser.load();
  failed.set("a", 1);
  assert.equal((await sessions.commitHeaders(failed, { status: 500 })).getSetCookie().length, 0);
});

test("commitCookies gives the same cookies as structures, for frameworks that set them by name", async () => {
  const settings = { cookieName: "__Secure-session", cookieDomain: "example.com", cookieSameSite: "None", cookiePartitioned: true };
  for (const options of [{}, { settings }, { settings: { cookieName: "session", cookieSecure: false } }]) {
    const { browser, sessions, clock } = world(options);
    /** Serializes a cookie as the usual libraries do. */
    const text = ({ name, value, options: { path, domain, maxAge, secure, httpOnly, sameSite, partitioned } }) =>
      [
        `${name}=${encodeURIComponent(value)}`,
        ...(maxAge === undefined ? [] : [`Max-Age=${maxAge}`]),
        ...(maxAge === 0 ? ["Expires=Thu, 01 Jan 1970 00:00:00 GMT"] : []),
        `Path=${path}`,
        ...(domain === undefined ? [] : [`Domain=${domain}`]),
        ...(secure ? ["Secure"] : []),
        ...(httpOnly ? ["HttpOnly"] : []),
        `SameSite=${sameSite[0].toUpperCase()}${sameSite.slice(1)}`,
        ...(partitioned ? ["Partitioned"] : []),
      ].join("; ");
    /** The cookies of a commit, after the browser got them. */
    const commit = async (change) => {
      const session = await browser.load();
      await change(session);
      const { cookies, headers } = await sessions.commitCookies(session, { status: 303 });
      const marks = cookies.length > 0 ? ["Cookie", "no-store"] : [null, null];
      assert.deepEqual([headers.getSetCookie(), headers.get("vary"), headers.get("cache-control")], [[], ...marks]);
      const answer = new Response();
      for (const cookie of cookies) answer.headers.append("set-cookie", text(cookie));
      browser.keep(answer);
      return cookies;
    };
    const set = await commit((session) => session.set("a", 1));
    assert.deepEqual(set.map(({ name }) => name), [cookieNameOf(options), `${cookieNameOf(options)}-fresh`]);
    assert.equal(await browser.ask((session) => session.get("a")), 1);
    await commit((session) => session.bind("ada", { keep: true }));
    assert.deepEqual(await browser.ask((session) => [session.owner, session.get("a")]), ["ada", 1]);
    clock.advance(60);
    const removed = await commit((session) => session.destroy());
    assert.ok(removed.length >= 2);
    assert.deepEqual(removed.map(({ value, options: { maxAge } }) => [value, maxAge]), removed.map(() => ["", 0]));
    assert.equal(await browser.ask((session) => session.owner), null);
    assert.deepEqual(await commit(() => {}), []);
    // A failure saves nothing, as with commitHeaders.
    const failed = await browser.load();
    failed.set("a", 1);
    assert.deepEqual((await sessions.commitCookies(failed, { status: 500 })).cookies, []);
  }
});

const cookieNameOf = ({ settings }) => settings?.cookieName ?? "__Host-session";

test("a cookie as a structure says what its Set-Cookie field says", async () => {
  const settings = { cookieName: "__Secure-s", cookieDomain: "example.com", cookiePath: "/shop", cookieSameSite: "Strict", cookiePartitioned: true };
  const { sessions } = world({ settings });
  const session = await sessions.load();
  session.set("a", 1);
  const { cookies } = await sessions.commitCookies(session);
  const [{ name, value, options }] = cookies.filter(({ name }) => name === "__Secure-s").slice(-1);
  assert.deepEqual([name, /^[\w.-]+$/.test(value)], ["__Secure-s", true]);
  assert.deepEqual(options, {
    ...{ maxAge: 604800, path: "/shop", domain: "example.com" },
    ...{ secure: true, httpOnly: true, sameSite: "strict", partitioned: true },
  });
});

test("a throw passes through as the same object, and saves nothing", async () => {
  const { browser, memory } = world();
  await browser.ask((session) => session.set("a", 1));
  const { puts } = memory.operations;
  for (const thrown of [new Error("x"), "text", null, undefined]) {
    await browser
      .visit((session) => {
        session.set("a", 2);
        session.cycleKey();
        throw thrown;
      })
      .then(assert.fail, (error) => assert.equal(error, thrown));
  }
  assert.equal(memory.operations.puts, puts);
  assert.equal((await browser.load()).get("a"), 1);
});

test("an answer 5xx saves nothing", async () => {
  const { browser, memory } = world();
  await browser.ask((session) => session.set("a", 1));
  const { puts } = memory.operations;
  const { response } = await browser.visit((session) => {
    session.set("a", 2);
    session.bind("ada");
    return new Response("sorry", { status: 500 });
  });
  assert.equal(await response.text(), "sorry");
  assert.equal(memory.operations.puts, puts);
  assert.deepEqual(response.headers.getSetCookie(), []);
});

test("a destroy stays done, whatever the handler does next", async () => {
  for (const end of ["destroy", "flush"]) {
    const { browser } = world();
    await browser.ask((session) => session.set("a", 1));
    const thief = browser.clone();
    const { response } = await browser.visit(async (session) => {
      await session[end]();
      return new Response("sorry", { status: 500 });
    });
    assert.equal(response.status, 500);
    assert.equal(browser.cookie, null);
    assert.equal((await thief.load()).outcome, "revoked");

    const again = world();
    await again.browser.ask((session) => session.set("a", 1));
    const error = new Error("after");
    await assert.rejects(
      again.browser.visit(async (session) => {
        await session[end]();
        throw error;
      }),
      (thrown) => thrown === error,
    );
    assert.equal((await again.browser.load()).outcome, "revoked");
  }
});

test("an error that the session threw is answered with its own status", async () => {
  const { browser } = world();
  await browser.ask((session) => session.set("a", 1));
  const { response } = await browser.visit(async (session) => {
    await session.destroy();
    session.set("a", 2);
  });
  assert.equal(response.status, 409);
  assert.equal((await response.json()).code, "destroyed");
  assert.equal(browser.cookie, null, "and the cookies are gone");
});

test("an error that the session caused is found behind others", async (t) => {
  t.mock.method(console, "warn", () => {});
  const { browser, sessions } = world();
  const missing = (session) => {
    try {
      return session.require("nothing");
    } catch (error) {
      return error;
    }
  };
  const around = {
    "a cause": (error) => new Error("outer", { cause: error }),
    "a cause of a cause": (error) => new TypeError("outer", { cause: new Error("middle", { cause: error }) }),
    "one of several": (error) => new AggregateError([new Error("other"), error], "several"),
    "behind one of several": (error) => new AggregateError([new Error("other", { cause: error })]),
    "in a circle": (error) => {
      const circle = new AggregateError([], "circle");
      circle.cause = new Error("around", { cause: circle });
      circle.errors.push(circle, error);
      return circle;
    },
  };
  for (const [name, wrap] of Object.entries(around)) {
    const response = await sessions.handle(browser.request(), null, (session) => {
      throw wrap(missing(session));
    });
    assert.deepEqual([response.status, (await response.json()).code], [404, "missing_key"], name);
    assert.equal(response.headers.get("cache-control"), "no-store");
  }
  const logged = console.warn.mock.calls.map(({ arguments: [, error] }) => error.constructor.name);
  assert.deepEqual(logged, ["Error", "TypeError", "AggregateError", "AggregateError", "AggregateError"], "nothing is lost");

  const endless = new Error("0");
  Object.defineProperty(endless, "cause", { get: () => Object.create(endless) });
  const trap = Object.defineProperty(new Error("1"), "cause", {
    get() {
      throw new Error("a getter");
    },
  });
  for (const thrown of [endless, trap, { cause: null }, Object.assign(() => {}, { cause: 1 })]) {
    const answer = sessions.handle(browser.request(), null, () => {
      throw thrown;
    });
    await answer.then(assert.fail, (error) => assert.equal(error, thrown));
  }
});

test("what fails after a refusal comes out as it is", async () => {
  const { browser } = world();
  await browser.ask((session) => session.set("a", 1));
  const down = new Sessions(broken(new Error("down, and unrelated")), { secret: SECRET, clock: world().clock, disableWarnings: true });
  const own = new TypeError("own");
  const visit = browser.visit(
    (session) => {
      assert.throws(() => session.get("a"), code("unavailable"));
      assert.equal(session.refusal.code, "unavailable");
      throw own;
    },
    { sessions: down },
  );
  await visit.then(assert.fail, (error) => assert.equal(error, own));
});

test("a thrown response below 400 is an answer: committed, and returned with its cookies", async () => {
  const like = (status) => ({ status, headers: new Headers({ "x-own": "1" }) });
  for (const thrown of [Response.redirect("https://example.com/home", 303), new Response("page"), like(302)]) {
    const { browser, sessions } = world();
    const request = browser.request();
    const response = await sessions.handle(request, null, (session) => {
      session.bind("ada");
      throw thrown;
    });
    assert.equal(response.status, thrown.status);
    assert.equal(response.headers.get("location"), thrown.headers.get("location"));
    browser.keep(response);
    assert.equal((await browser.load()).owner, "ada");
  }
});

test("a thrown response from 400 on drops the changes, and keeps what was done", async () => {
  for (const status of [400, 403, 404, 500]) {
    const refuse = () => {
      throw new Response("no", { status });
    };
    const { browser } = world();
    await browser.ask((session) => session.set("a", 1));
    const changed = await browser.visit((session) => {
      session.set("a", 2);
      session.bind("ada");
      refuse();
    });
    assert.deepEqual([changed.response.status, await changed.response.text()], [status, "no"]);
    assert.deepEqual(changed.response.headers.getSetCookie(), []);
    const session = await browser.load();
    assert.deepEqual([session.get("a"), session.owner], [1, null]);

    const saved = await browser.visit(async (session) => {
      await session.set("a", 3).save();
      session.set("a", 4);
      refuse();
    });
    assert.ok(saved.response.headers.getSetCookie().length > 0, "of the save");
    assert.equal((await browser.load()).get("a"), 3);

    const thief = browser.clone();
    await browser.visit(async (session) => {
      await session.destroy();
      refuse();
    });
    assert.equal(browser.cookie, null);
    assert.equal((await thief.load()).outcome, "revoked");
  }
});

test("an error of an HTTP client, which looks like a response, is none", async () => {
  const { browser, sessions } = world();
  const error = Object.assign(new Error("upstream"), { status: 302, headers: new Headers() });
  const answer = sessions.handle(browser.request(), null, () => {
    throw error;
  });
  await answer.then(assert.fail, (thrown) => assert.equal(thrown, error));
});

test("within one request there is one session, however often it is asked for", async () => {
  /** The store operations of one handler that does all of it. */
  const alone = async () => {
    const { browser, memory } = world();
    await browser.ask((session) => session.set("a", 1));
    memory.resetOperations();
    await browser.ask((session) => {
      session.bind("ada");
      session.set("b", 2);
    });
    return memory.operations;
  };
  for (const [outer, inner] of [["handle", "handle"], ["handle", "handleLazy"], ["handleLazy", "handle"]]) {
    const { browser, sessions, memory, clock } = world();
    await browser.ask((session) => session.set("a", 1));
    memory.resetOperations();
    // `Sessions.fromEnv` creates one for each call.
    const same = new Sessions(memory, { secret: SECRET, clock });
    const request = browser.request();
    const requests = sessions.stats.requests;
    const response = await sessions[outer](request, null, async (session) => {
      const first = await same[inner](request, null, async (it) => {
        assert.equal(it, session);
        assert.equal(it.get("a"), 1, "it is loaded");
        it.bind("ada");
        return new Response("inner");
      });
      assert.deepEqual(first.headers.getSetCookie(), [], "the outermost commits");
      assert.equal(session.owner, "ada");
      await sessions[inner](request, null, (it) => new Response(`${it.set("b", 2).size}`));
      return first;
    });
    assert.equal(await response.text(), "inner");
    assert.equal(sessions.stats.requests - requests, 1);
    assert.deepEqual(memory.operations, await alone());
    browser.keep(response);
    const session = await browser.load();
    assert.deepEqual([session.outcome, session.owner, session.get("b")], ["loaded", "ada", 2]);
    // After it has ended, the same request opens a new session.
    const again = await sessions.handle(request, null, (it) => new Response(`${it !== session} ${it.outcome}`));
    assert.match(await again.text(), /^true /);
  }
});

test("what an inner handler throws is the outermost's to answer", async () => {
  const { browser, sessions } = world();
  await browser.ask((session) => session.set("a", 1));
  const nested = (throwing) => {
    const request = browser.request();
    return sessions.handle(request, null, (session) => {
      session.set("a", 2);
      return sessions.handle(request, null, throwing);
    });
  };
  const own = new Error("own");
  await nested(() => Promise.reject(own)).then(assert.fail, (error) => assert.equal(error, own));
  const refused = await nested((session) => session.require("nothing"));
  assert.equal(refused.status, 404);
  assert.equal((await browser.load()).get("a"), 1, "nothing is saved");
  const redirect = await nested(() => Promise.reject(Response.redirect("https://example.com/", 302)));
  browser.keep(redirect);
  assert.equal(redirect.status, 302);
  assert.equal((await browser.load()).get("a"), 2);
  await assert.rejects(nested(() => {}), /the handler returned no Response/);
});

test("another request, other cookies or other sessions are a session of their own", async () => {
  const { browser, sessions, memory, clock } = world();
  await browser.ask((session) => session.set("a", 1));
  const request = new Request(browser.request());
  const others = new Sessions(memory, { secret: SECRET, clock, keyPrefix: "other:", cookieName: "__Host-other" });
  await sessions.handle(request, null, async (session) => {
    session.get("a");
    const isOther = (of, by) => of.handle(by, null, (it) => new Response(String(it !== session)));
    assert.equal(await (await isOther(sessions, request)).text(), "false");
    assert.equal(await (await isOther(others, request)).text(), "true");
    assert.equal(await (await isOther(sessions, new Request(request))).text(), "true");
    request.headers.set("cookie", "a=b");
    assert.equal(await (await isOther(sessions, request)).text(), "true");
    return new Response();
  });
});

test("a context that an inner handler brings is used", async () => {
  const { browser, sessions } = world();
  const request = browser.request();
  const waited = [];
  await sessions.handle(request, null, (session) =>
    sessions.handle(request, { waitUntil: (promise) => waited.push(promise) }, () => {
      session.set("a", 1);
      return new Response();
    }),
  );
  assert.ok(waited.length > 0);
});

test("revoke and revokeAll hand their writes to a context", async () => {
  const { browser, sessions, memory } = world();
  await browser.ask((session) => session.bind("ada"));
  const { key } = (await sessions.list("ada"))[0];
  const waited = [];
  const ctx = { waitUntil: (promise) => void waited.push(promise) };
  memory.resetOperations();
  await sessions.revoke("ada", key, { ctx });
  assert.ok(waited.length > 0 && memory.operations.puts > 0);
  await Promise.all(waited.splice(0));
  await browser.ask((session) => session.bind("ada"));
  await sessions.revokeAll("ada", { ctx });
  assert.ok(waited.length > 0);
  await Promise.all(waited);
  assert.equal((await browser.load()).outcome, "revoked");
});

test("a store that fails leaves a line on the console: at once, then one a minute with the count", async (t) => {
  const warned = t.mock.method(console, "warn", () => {});
  const { browser, memory, clock } = world();
  await browser.ask((session) => session.set("a", 1));
  let message = "KV GET failed: 401 Unauthorized";
  const fail = () => Promise.reject(new Error(message));
  const connector = { kind: "memory", read: fail, put: fail, delete: fail, list: fail };
  const sessions = new Sessions(connector, { secret: SECRET, clock });
  const ask = async (handler = (session) => session.get("a"), over = sessions) =>
    (await browser.visit(handler, { sessions: over })).response.status;
  warned.mock.resetCalls();
  const line = "edge-session: unavailable: KV GET failed: 401 Unauthorized";
  assert.equal(await ask(), 503);
  assert.deepEqual(warned.mock.calls.map(({ arguments: [line] }) => line), [line]);
  warned.mock.resetCalls();
  // Whether or not the page needed its session.
  for (let i = 0; i < 3; i += 1) await ask(() => undefined);
  await assert.rejects(sessions.list("ada"));
  assert.equal(warned.mock.callCount(), 0);
  clock.advance(60_000);
  await ask();
  assert.equal(warned.mock.calls[0].arguments[0], `${line} (4 more since the last line about this)`);
  message = "KV GET failed: 500\nand more";
  await ask();
  assert.equal(warned.mock.calls[1].arguments[0], "edge-session: unavailable: KV GET failed: 500 and more");
  warned.mock.resetCalls();
  // An operation that succeeds at the second try is not logged, and disableWarnings silences the lines.
  let tries = 0;
  const flaky = { ...connector, read: (...args) => (tries++ ? memory.read(...args) : fail()) };
  message = "once";
  assert.equal(await ask(undefined, new Sessions(flaky, { secret: SECRET, clock })), 200);
  message = "silenced";
  assert.equal(await ask(undefined, new Sessions({ ...connector }, { secret: SECRET, clock, disableWarnings: true })), 503);
  assert.equal(warned.mock.callCount(), 0);
});

test("a new cause is logged even after many, and causes that differ in an id are one", async (t) => {
  const warned = t.mock.method(console, "warn", () => {});
  const { browser, clock } = world();
  await browser.ask((session) => session.set("a", 1));
  let message;
  const fail = () => Promise.reject(new Error(message));
  const sessions = new Sessions({ kind: "memory", read: fail, put: fail, delete: fail }, { secret: SECRET, clock });
  const told = async (text) => {
    message = text;
    warned.mock.resetCalls();
    await browser.visit((session) => session.get("a"), { sessions });
    return warned.mock.calls.map(({ arguments: [line] }) => line);
  };
  clock.advance(3_600_000);
  for (const letter of "ghijklmnopqrstuvwxyz") await told(`the cause ${letter}`);
  clock.advance(60_000);
  assert.deepEqual(await told("a binding that is gone"), ["edge-session: unavailable: a binding that is gone"]);
  const [first] = await told("internal error; reference = 4f0a9c1e");
  assert.equal(first, "edge-session: unavailable: internal error; reference = 4f0a9c1e");
  assert.deepEqual(await told("internal error; reference = b7d233e1"), []);
});

test("a 500 that the application has caused is logged", async (t) => {
  const logged = t.mock.method(console, "error", () => {});
  const { browser, sessions } = world();
  await browser.ask((session) => session.set("a", 1));
  for (let i = 0; i < 2; i += 1) {
    const response = await sessions.handleLazy(browser.request(), null, (session) => session.owner);
    assert.equal(response.status, 500);
  }
  const lines = logged.mock.calls.map(({ arguments: [line] }) => line);
  assert.ok(lines.length <= 1, "the same is not said again within a minute");
  new SessionError("config", "of this test").toResponse();
  assert.deepEqual(logged.mock.calls.at(-1).arguments.slice(0, 1), ["edge-session: config: of this test"]);
  assert.ok(logged.mock.calls.at(-1).arguments[1] instanceof SessionError);
  const { length } = logged.mock.calls;
  for (const one of ["missing_key", "pending", "reauth_required"]) new SessionError(one, "no trouble").toResponse();
  assert.equal(logged.mock.calls.length, length);
});

test("while storage is down, a page that needs no session works", async () => {
  const { browser } = world();
  await browser.ask((session) => session.set("a", 1));
  const trouble = new Error("down");
  const sessions = new Sessions(broken(trouble), { secret: SECRET, clock: world().clock });
  const page = await browser.visit(() => "page", { sessions });
  assert.equal(page.response.status, 200);
  assert.deepEqual(page.response.headers.getSetCookie(), []);
  const { response } = await browser.visit((session) => session.get("a"), { sessions });
  assert.equal(response.status, 503);
  assert.equal(response.headers.get("retry-after"), "5");
  assert.equal((await response.json()).code, "unavailable");
  await browser.visit(
    async (session) => {
      assert.equal(session.outcome, "unavailable");
      for (const read of [() => session.get("a"), () => session.set("a", 1), () => session.data, () => session.owner]) {
        assert.throws(read, (error) => code("unavailable")(error) && error.cause === trouble);
      }
      await assert.rejects(session.load(), (error) => error.cause === trouble);
      assert.throws(() => session.bind("ada"), code("unavailable"));
      assert.equal(session.sessionKey, null);
    },
    { sessions },
  );
});

test("a logout during an outage leaves a cookie that finishes it", { timeout: 60_000 }, async () => {
  const { browser, memory, clock } = world();
  await browser.ask((session) => session.set("a", 1));
  const thief = browser.clone();
  let down = true;
  const flaky = { kind: "memory" };
  for (const name of ["read", "put", "delete"]) {
    flaky[name] = async (...args) => {
      if (down) throw new Error("down");
      return memory[name](...args);
    };
  }
  const sessions = new Sessions(flaky, { secret: SECRET, clock });
  const { response } = await browser.visit((session) => session.destroy(), { sessions });
  assert.equal(response.status, 503);
  assert.equal((await response.json()).code, "revocation_pending");
  down = false;
  await browser.visit((session) => assert.equal(session.size, 0), { sessions });
  assert.equal((await thief.load({ fresh: true })).outcome, "revoked");
});

test("waitUntil gets what has to outlive the answer", async () => {
  const { browser, sessions } = world();
  const waited = [];
  const ctx = { waitUntil: (promise) => waited.push(promise) };
  await sessions.handle(browser.request(), ctx, (session) => {
    session.set("a", 1);
    return new Response();
  });
  assert.ok(waited.length >= 1 && waited.every((one) => one instanceof Promise));
  await Promise.all(waited);
  waited.length = 0;
  const session = await browser.load();
  session.set("a", 1);
  await sessions.commit(session, new Response(), ctx);
  assert.ok(waited.length >= 1);
  // A context that throws, as after the end of a request, does no harm.
  const refusing = {
    waitUntil() {
      throw new Error("over");
    },
  };
  const response = await sessions.handle(browser.request(), refusing, (session) => {
    session.set("a", 2);
    return new Response();
  });
  assert.equal(response.status, 200);
});

test("the promise passed to waitUntil settles, whatever the result of the step", async () => {
  const steps = {
    save: (session) => void session.set("a", 1),
    "save, at once": (session) => session.set("a", 2).save(),
    login: (session) => session.bind("ada"),
    rotation: (session) => session.cycleKey(),
    logout: (session) => session.destroy(),
    "logout that goes on": (session) => session.flush(),
    "two logouts": async (session) => {
      await session.flush();
      await session.destroy();
    },
    "another's end": (session, { key }) => session.delete(key),
    reading: (session) => session.exists(),
    "past its end": (session) => {
      session.setExpiry(-1);
      return session.set("a", 1).save();
    },
    "ended by another request": async (session, { another }) => {
      const same = await another();
      await same.destroy().catch((error) => assert.equal(error.code, "revocation_pending"));
      return session.set("a", 1).save();
    },
  };
  for (const known of [false, true]) {
    for (const works of [true, false]) {
      for (const [name, step] of Object.entries(steps)) {
        const { browser, memory, clock } = world();
        if (known) await browser.ask((session) => session.set("b", 1));
        const other = new Browser(new Sessions(memory, { secret: SECRET, clock }), clock);
        const key = await other.ask(async (session) => {
          await session.set("c", 1).save();
          return session.sessionKey;
        });
        const put = () => Promise.reject(new Error("down"));
        const connector = works ? memory : { kind: "memory", read: (...args) => memory.read(...args), put, delete: put };
        const sessions = new Sessions(connector, { secret: SECRET, clock });
        const waited = [];
        const ctx = { waitUntil: (promise) => void waited.push(promise) };
        const answer = await sessions.handle(browser.request(), ctx, async (session) => {
          await step(session, { key, another: () => sessions.load(browser.request()) });
          return new Response();
        });
        assert.ok(answer.status < 500 || !works, name);
        // A pending one would keep a request of workerd open; a rejected one would be another failure.
        assert.deepEqual(await Promise.all(waited), waited.map(() => undefined), `${name}, ${known}, ${works}`);
      }
    }
  }
});

test("a configuration is that of its own options, whatever the last one was", async () => {
  const clock = new ManualClock(START);
  const memory = new MemoryConnector({ clock });
  // A response of the application that the isolate reuses.
  const connector = { read: (...args) => memory.read(...args), put: (...args) => memory.put(...args), delete: (key) => memory.delete(key) };
  const browser = new Browser(new Sessions(connector, { secret: SECRET, clock }), clock);
  await browser.ask((session) => session.set("a", 1));
  const other = SECRET.split("").reverse().join("");
  const inherited = (properties, own = {}) => Object.assign(Object.create(properties), own);
  const later = new ManualClock(START + 8 * 86_400_000);
  const outcomeUnder = async (options) => (await new Sessions(connector, options).load(browser.request())).outcome;
  for (const [options, outcome] of [
    [{ secret: SECRET, clock }, "loaded"],
    [{ secret: other, clock }, "rejected"],
    [{ secret: SECRET, clock }, "loaded"],
    [inherited({ secret: other }, { clock }), "rejected"],
    [inherited({ secret: SECRET }, { clock }), "loaded"],
    [inherited({ clock: later }, { secret: SECRET }), "expired"],
    [inherited({ clock }, { secret: SECRET }), "loaded"],
    [{ secret: SECRET, clock, cookieName: "__Host-other" }, "new"],
    [{ secret: SECRET, clock, cookieName: undefined }, "loaded"],
    [{ secret: SECRET, clock, onEvent() {} }, "loaded"],
    [{ secret: [other, SECRET], clock }, "loaded"],
    [{ secret: [other], clock }, "rejected"],
  ]) {
    // The second time, the last one is itself the response.
    assert.deepEqual([await outcomeUnder(options), await outcomeUnder(options)], [outcome, outcome]);
  }
  assert.throws(() => new Sessions(connector, { secret: SECRET, clock, cookieAge: {} }), code("config"));
  assert.throws(() => new Sessions(connector, { secret: SECRET, clock, cookieAge: {} }), code("config"));
});

test("after the commit, reading is allowed and a change is the error", async () => {
  const { browser } = world();
  let session;
  await browser.ask((it) => {
    session = it;
    it.update({ a: 1, deep: { list: [1] } });
    it.bind("ada");
  });
  assert.equal(session.get("a"), 1);
  assert.deepEqual([...session.keys()], ["a", "deep"]);
  assert.equal(session.owner, "ada");
  assert.match(session.sessionKey, /^[\w-]{22}\./);
  assert.equal(session.version, 1);
  assert.ok(session.getExpiryDate() > new Date(0));
  assert.equal(session.modified, false);
  assert.equal(session.needsUpdate(), false);
  assert.equal(await session.exists(), true);
  assert.equal(await session.exists(session.sessionKey), true);
  assert.equal(JSON.stringify(session.data), '{"a":1,"deep":{"list":[1]}}');
  for (const change of [
    () => session.set("a", 2),
    () => session.remove("a"),
    () => session.clear(),
    () => session.update({ a: 2 }),
    () => session.pop("a"),
    () => session.popItem(),
    () => session.flash("a", 1),
    () => session.setExpiry(1),
    () => session.create(),
    () => session.cycleKey(),
    () => session.bind("bob"),
    () => (session.modified = true),
    () => (session.data.a = 2),
    () => delete session.data.a,
    () => session.data.deep.list.push(2),
    () => (session.data = {}),
  ]) {
    assert.throws(change, code("committed"));
  }
  for (const step of [() => session.save(), () => session.destroy(), () => session.flush(), () => session.delete()]) {
    await assert.rejects(step(), code("committed"));
  }
});

test("frozen data can be read after the commit", async () => {
  const { browser } = world();
  let session;
  await browser.ask((it) => {
    session = it;
    it.set("deep", Object.freeze({ list: Object.freeze([Object.freeze({ n: 1 })]) }));
  });
  assert.equal(session.data.deep.list[0].n, 1);
  assert.deepEqual(Object.keys(session.data.deep), ["list"]);
  assert.deepEqual(JSON.parse(JSON.stringify(session.data)), { deep: { list: [{ n: 1 }] } });
  assert.throws(() => session.data.deep.list.push(2), code("committed"));
});

test("a handler that fails while a step of its own is under way", async () => {
  const { browser } = world();
  await browser.ask((session) => session.set("a", 1));
  const { response } = await browser.visit((session) => {
    session.destroy(); // not awaited
    return session.exists("x").then(() => session.set("a", 2));
  });
  assert.equal(response.status, 409);
  assert.equal(browser.cookie, null);
  const thrown = new Error("own");
  const again = world();
  await again.browser.ask((session) => session.set("a", 1));
  await assert.rejects(
    again.browser.visit((session) => {
      session.set("a", 2);
      session.save(); // not awaited
      throw thrown;
    }),
    (error) => error === thrown,
  );
});

test("a logout that waits for another step is carried out, whatever the handler throws", async () => {
  for (const method of ["destroy", "flush"]) {
    const { browser, sessions } = world({ settings: { isolateCacheTtl: 0 } });
    await browser.ask((session) => session.set("a", 1));
    const thrown = new Error("own");
    const handler = (session) => {
      session.load();
      session[method](); // neither is awaited
      throw thrown;
    };
    await assert.rejects(sessions.handleLazy(browser.request(), null, handler), (error) => error === thrown);
    assert.equal((await browser.load()).outcome, "revoked", method);
  }
});

test("if a commit fails, there are still the headers for what was done before", async () => {
  const { sessions, browser } = world({ settings: { maxRecordBytes: 2_000 } });
  await browser.ask((session) => session.set("a", 1));
  const session = await browser.load();
  await session.flush();
  session.set("big", "x".repeat(3_000));
  await assert.rejects(sessions.commit(session, new Response()), code("too_large"));
  const headers = await sessions.commitHeaders(session, { status: 500 });
  assert.ok(headers.getSetCookie().length > 0);
  await assert.rejects(sessions.commitHeaders(session), code("committed"));
});

test("an error of what another request asks is not this one's", async () => {
  const { lastError } = Sessions[Symbol.for("edge-session.adapter")];
  const { browser, sessions, memory } = world();
  memory.list = () => Promise.reject(new Error("down"));
  const contexts = [0, 1].map(() => ({ waitUntil() {} }));
  await sessions.handle(browser.request(), contexts[0], async (session) => {
    await assert.rejects(sessions.list("ada", { ctx: contexts[1] }), code("unavailable"));
    assert.equal(lastError(session), undefined);
    await assert.rejects(sessions.list("ada", { ctx: contexts[0] }), code("unavailable"));
    assert.equal(lastError(session).code, "unavailable");
    return new Response();
  });
});

test("a session is committed once", async () => {
  const { browser, sessions } = world();
  const session = await browser.load();
  session.set("a", 1);
  await sessions.commit(session, new Response());
  await assert.rejects(sessions.commit(session, new Response()), code("committed"));
  const untouched = sessions.open();
  await sessions.commit(untouched, new Response());
  await assert.rejects(sessions.commit(untouched, new Response()), code("committed"));
});

test("a handler that returns nothing fails, with the reason", async () => {
  const { browser, sessions } = world();
  await assert.rejects(sessions.handle(browser.request(), null, () => {}), /the handler returned no Response/);
  assert.throws(() => sessions.open({}), code("invalid_value"));
});

test("no cookie is minted for a form of another site", async () => {
  const { browser } = world();
  const { response } = await browser.visit(
    (session) => {
      session.set("a", 1);
      assert.equal(session.get("a"), 1);
    },
    { method: "POST", headers: { "sec-fetch-site": "cross-site" } },
  );
  assert.deepEqual(response.headers.getSetCookie(), []);
});

test("fromEnv reads the variables", async () => {
  const env = { SESSION_STORAGE: "memory", SESSION_SECRET: SECRET, SESSION_COOKIE_NAME: "__Host-sid", OTHER: {} };
  const sessions = Sessions.fromEnv(env);
  const response = await sessions.handle(new Request("https://x/"), null, (session) => {
    session.set("a", 1);
    return new Response();
  });
  const [cookie] = response.headers.getSetCookie();
  assert.match(cookie, /^__Host-sid=/);
  const again = await Sessions.fromEnv({ ...env }).load(cookie.split(";")[0]);
  assert.equal(again.get("a"), 1, "the isolate's memory is one");
  assert.throws(() => Sessions.fromEnv({ ...env, SESSION_COKIE_AGE: "1" }), /did you mean SESSION_COOKIE_AGE\?/);
  assert.throws(() => Sessions.fromEnv(undefined), code("missing_binding"));
});

test("two secrets: what the old one signed is still read", async () => {
  const old = "lR0v9cFqWm3kXo2TzJ7yPb5sUe8hNd1GaQ4iCxKtMwY";
  const fresh = "Zk1x8Vb4Qw7Ne0Ru3Ty6Ui9Op2As5Df8Gh1Jk4Lz7Xc";
  const memory = new MemoryConnector();
  const before = new Sessions(memory, { secret: old });
  const response = await before.handle(new Request("https://x/"), null, (session) => {
    session.set("a", 1);
    return new Response();
  });
  const cookie = response.headers.getSetCookie()[0].split(";")[0];
  const during = new Sessions(memory, { secret: [fresh, old] });
  assert.equal((await during.load(cookie)).get("a"), 1);
  const after = new Sessions(memory, { secret: fresh });
  assert.equal((await after.load(cookie)).outcome, "rejected");
  assert.ok(SessionError);
});

test("a session that was committed without a load cannot be read", async () => {
  const { browser, sessions } = world();
  await browser.ask((session) => session.set("a", 1));
  for (const request of [undefined, browser.request()]) {
    const session = sessions.open(request);
    await sessions.commitHeaders(session);
    for (const read of [() => session.get("a"), () => session.size, () => session.owner, () => session.outcome]) {
      assert.throws(read, code("not_loaded"));
    }
    assert.throws(() => session.set("a", 2), code("committed"));
  }
});

test("a session that is used for the first time after the commit would be in a response that may be cached", async () => {
  const { browser, sessions } = world();
  await browser.ask((session) => session.set("name", "Ada"));
  let session;
  const page = (use) =>
    sessions.handle(browser.request(), null, (it) => {
      session = it;
      use();
      return new Response("page");
    });
  const reads = [
    () => session.get("name"),
    () => session.data,
    () => session.owner,
    () => session.sessionKey,
    () => session.outcome,
    () => session.getExpiryDate(),
    () => session.takeFlash("note"),
    () => [...session],
  ];
  const untouched = await page(() => {});
  assert.equal(untouched.headers.get("cache-control"), null);
  for (const read of reads) assert.throws(read, (error) => code("committed")(error) && /for the first time after/.test(error.message));
  for (const use of reads) {
    const response = await page(use);
    assert.equal(response.headers.get("cache-control"), "no-store");
    assert.equal(session.get("name"), "Ada", "reading goes on");
  }
  // A thrown error page commits nothing, and is not marked either.
  await sessions.handle(browser.request(), null, (it) => {
    session = it;
    throw new Response("not found", { status: 404 });
  });
  assert.throws(() => session.get("name"), code("committed"));
  // There is nothing of anybody in the session of a visitor without a cookie.
  await sessions.handle(new Request("https://example.com/"), null, (it) => {
    session = it;
    return new Response("page");
  });
  assert.deepEqual([session.get("name"), session.owner], [undefined, null]);
});

test("a response that several requests return takes the cookies of none of them along", async () => {
  const { browser, sessions } = world();
  const DONE = new Response(null, { status: 204 });
  const names = [];
  for (const visitor of [browser, browser.clone(), browser.clone()]) {
    const response = await sessions.handle(visitor.request(), null, (session) => {
      session.set("a", 1);
      return DONE;
    });
    assert.equal(response.status, 204);
    assert.equal(response.headers.getSetCookie().length, 2);
    names.push(response.headers.getSetCookie()[0]);
  }
  assert.equal(new Set(names).size, 3);
  const untouched = await sessions.handle(browser.request(), null, () => DONE);
  assert.deepEqual([...untouched.headers], []);
});

test("what is no request and what is no context is refused", async () => {
  const { browser, sessions } = world();
  const handler = () => assert.fail("it is not called");
  const refused = (pattern) => (error) => code("invalid_value")(error) && pattern.test(error.message);
  for (const request of [undefined, null, { url: "x" }, 7]) {
    await assert.rejects(sessions.handle(request, null, handler), refused(/handle\(\) needs/));
  }
  const session = await sessions.load();
  for (const ctx of [{}, { ctx: null }, { SESSIONS: {} }, "ctx", { waitUntil: 7 }]) {
    const itsContext = refused(/ctx must be the context of the fetch handler/);
    await assert.rejects(sessions.handle(browser.request(), ctx, handler), itsContext);
    await assert.rejects(sessions.handleLazy(browser.request(), ctx, handler), itsContext);
    await assert.rejects(sessions.commit(session, new Response(), ctx), itsContext);
    await assert.rejects(sessions.commitHeaders(session, { ctx }), itsContext);
    await assert.rejects(sessions.list("ada", { ctx }), itsContext);
    await assert.rejects(sessions.revokeAll("ada", { ctx }), itsContext);
  }
});

test("a logout that is not awaited and cannot be stored is no success", async () => {
  const { browser, memory } = world();
  await browser.ask((session) => session.bind("ada"));
  const other = browser.clone();
  await other.ask((session) => session.bind("ada"));
  const key = (await other.load()).sessionKey;
  const failing = new Sessions(
    { kind: "memory", read: (...args) => memory.read(...args), put: async () => Promise.reject(new Error("full")), delete: async () => {} },
    { secret: SECRET, clock: { now: () => START } },
  );
  const ends = {
    destroy: (session) => session.destroy(),
    flush: (session) => session.flush(),
    delete: (session) => session.delete(key),
  };
  for (const [name, end] of Object.entries(ends)) {
    const answered = await failing.handle(browser.request(), null, (session) => {
      end(session).catch(() => {}); // not awaited
      return new Response("logged out");
    });
    assert.equal(answered.status, 503, name);
    const awaited = await failing.handle(browser.request(), null, async (session) => {
      await end(session);
      return new Response("logged out");
    });
    assert.equal(awaited.status, 503, name);
    // Whoever has caught the error has decided.
    const caught = await failing.handle(browser.request(), null, async (session) => {
      await end(session).catch(() => {});
      return new Response("try again");
    });
    assert.equal(caught.status, 200, name);
  }
});

test("a new session whose data was handed out can be read after the commit", async (t) => {
  const warn = t.mock.method(console, "warn", () => {});
  const { sessions } = world();
  const session = await sessions.load();
  const { data } = session;
  await sessions.commitHeaders(session);
  assert.equal(session.size, 0);
  assert.equal(warn.mock.callCount(), 0);
  data.late = 1;
  assert.equal(session.get("late"), 1);
  assert.equal(warn.mock.callCount(), 1, "a change that comes too late is warned of");
});

test("a request whose method is not known may be a form of another site", async () => {
  const { sessions } = world();
  for (const [method, cookies] of [["GET", 2], ["POST", 0], [undefined, 0]]) {
    const headers = { get: (name) => (name === "sec-fetch-site" ? "cross-site" : null) };
    const response = await sessions.handle({ method, headers }, null, (session) => {
      session.set("a", 1);
      return new Response();
    });
    assert.equal(response.headers.getSetCookie().length, cookies, String(method));
  }
});

test("what a save needs of its request is there after a load", async () => {
  const { browser, sessions } = world({ settings: { isolateCacheTtl: 0 } });
  await browser.ask((session) => session.set("a", 1));
  const agents = async () => (await sessions.list("ada")).map(({ userAgent }) => userAgent);
  // The session has a key cookie, and becomes the user's in this request.
  await browser.ask((session) => session.bind("ada"), { headers: { "user-agent": "Browser/1" } });
  assert.deepEqual(await agents(), ["Browser/1"]);
  await browser.ask((session) => session.set("a", 2), { headers: { "user-agent": "Browser/2" } });
  assert.deepEqual(await agents(), ["Browser/2"]);

  // There are cookies, so that a load asks the core, but the key cookie may have been withheld.
  const headers = { cookie: "other=1; __Host-session-seen=x", "sec-fetch-site": "cross-site" };
  const request = new Request("https://shop.example/", { method: "POST", headers });
  const response = await sessions.handle(request, null, (session) => {
    session.set("a", 3);
    return new Response("ok");
  });
  assert.deepEqual(response.headers.getSetCookie(), []);
});
