// The middleware for Hono, through Hono: one session in one request, and errors that `onError` sees.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Hono } from "hono";
import { cors } from "hono/cors";
import { etag } from "hono/etag";
import { HTTPException } from "hono/http-exception";
import { requestId } from "hono/request-id";

import { sessionMiddleware } from "../../pkg/hono.js";
import { SessionError, Sessions } from "../../pkg/node.js";
import { SECRET, world } from "./support/world.mjs";

const ORIGIN = "https://app.example";

/** An app over sessions in memory, and a browser that visits it. */
function start(build, { settings, wrap = (sessions) => sessions } = {}) {
  const it = world({ settings });
  const sessions = wrap(it.sessions);
  const app = new Hono();
  build(app, sessions, it);
  const visit = async (path, init = {}, to = app) => {
    const request = it.browser.request({ ...init, headers: { origin: ORIGIN, ...init.headers } });
    const response = await to.fetch(new Request(`https://example.com${path}`, request));
    it.browser.keep(response);
    return response;
  };
  return { ...it, app, visit };
}

/** Sessions on a store that is down. */
const down = (message, settings) => {
  const fail = () => Promise.reject(new Error(message));
  return new Sessions(
    { kind: "memory", read: fail, put: fail, delete: fail },
    { secret: SECRET, clock: world().clock, disableWarnings: true, ...settings },
  );
};

for (const [name, first, second] of [
  ["twice", {}, {}],
  ["lazy, and then not", { lazy: true }, {}],
  ["and then lazy", {}, { lazy: true }],
]) {
  test(`registered ${name}: one session, and one commit`, async () => {
    const { visit, memory, sessions } = start((app, sessions) => {
      app.use(sessionMiddleware({ sessions, ...first }));
      const account = new Hono();
      account.use(sessionMiddleware({ sessions, ...second }));
      account.use(sessionMiddleware({ sessions: () => sessions, ...second }));
      account.post("/login", (c) => {
        c.get("session").bind("ada");
        c.get("session").set("n", 1);
        return c.text("in");
      });
      account.get("/", async (c) => {
        await c.var.session.load();
        return c.json({ owner: c.var.session.owner, n: c.var.session.get("n") });
      });
      app.route("/account", account);
    });
    const login = await visit("/account/login", { method: "POST" });
    assert.equal(login.status, 200);
    const set = login.headers.getSetCookie().map((line) => line.split("=")[0]);
    assert.deepEqual(set, ["__Host-session", "__Host-session-fresh"]);
    assert.equal(sessions.stats.requests, 1);
    for (let i = 0; i < 2; i += 1) {
      memory.resetOperations();
      const page = await visit("/account");
      assert.equal(page.status, 200);
      assert.deepEqual(await page.json(), { owner: "ada", n: 1 });
      assert.ok(memory.operations.reads <= 1);
    }
    assert.equal(sessions.stats.requests, 3);
  });
}

test("an app that is mounted with the same request has the same session", async () => {
  const { visit } = start((app, sessions) => {
    const old = new Hono();
    old.use(sessionMiddleware({ sessions }));
    old.get("/old", (c) => c.text(`the same: ${c.get("session") === outer}`));
    let outer;
    app.use(sessionMiddleware({ sessions }));
    app.use(async (c, next) => {
      outer = c.get("session");
      await next();
    });
    app.mount("/old", old.fetch, { replaceRequest: (request) => request });
  });
  assert.equal(await (await visit("/old")).text(), "the same: true");
});

test("middleware that replaces the request, between the two, changes nothing", async () => {
  const { visit } = start((app, sessions) => {
    app.use(sessionMiddleware({ sessions }));
    let outer;
    app.use(async (c, next) => {
      outer = c.get("session");
      const headers = new Headers(c.req.raw.headers);
      if (c.req.query("cookie")) headers.set("cookie", c.req.query("cookie"));
      c.req.raw = new Request(c.req.raw, { headers });
      await next();
    });
    app.use(sessionMiddleware({ sessions }));
    app.get("/", (c) => c.text(`the same: ${c.get("session") === outer}`));
  });
  assert.equal(await (await visit("/")).text(), "the same: true");
  assert.equal(await (await visit("/?cookie=a%3Db")).text(), "the same: false", "it is somebody else");
});

test("a refusal keeps the headers of others, and is an error for onError", async () => {
  const build = (app, sessions) => {
    app.use(cors({ origin: ORIGIN, credentials: true }));
    app.use(requestId());
    app.use(async (c, next) => {
      c.header("set-cookie", "theme=dark", { append: true });
      await next();
    });
    app.use(sessionMiddleware({ sessions }));
    app.get("/", (c) => c.text(c.get("session").get("a")));
  };
  const cases = { "by default": undefined, "a page": (error, c) => c.html(`<h1>${error.code}</h1>`, error.status) };
  for (const [name, onError] of Object.entries(cases)) {
    const { browser, visit, app } = start(build, { wrap: () => down(`refusal ${name}`) });
    if (onError) app.onError(onError);
    await browser.ask((session) => session.set("a", "1"));
    const response = await visit("/");
    assert.equal(response.status, 503, name);
    assert.equal(response.headers.get("access-control-allow-origin"), ORIGIN);
    assert.equal(response.headers.get("access-control-allow-credentials"), "true");
    assert.ok(response.headers.get("x-request-id"));
    assert.deepEqual(response.headers.getSetCookie(), ["theme=dark"]);
    if (onError) assert.equal(await response.text(), "<h1>unavailable</h1>");
    else {
      assert.equal(response.headers.get("retry-after"), "5");
      assert.equal((await response.json()).code, "unavailable");
    }
  }
});

test("a commit that is refused is an error for onError too", async () => {
  let isDown = false;
  const wrapped = ({ memory }) => {
    const put = async (...args) => {
      if (isDown) throw new Error("down at the commit");
      return memory.put(...args);
    };
    return { kind: "memory", read: (...args) => memory.read(...args), put, delete: put };
  };
  const seen = [];
  const it = world();
  const sessions = new Sessions(wrapped(it), { secret: SECRET, clock: it.clock, disableWarnings: true });
  const app = new Hono();
  app.use(sessionMiddleware({ sessions }));
  // Inside of it, and still on the error's answer.
  app.use(cors({ origin: ORIGIN }));
  app.get("/", (c) => {
    c.get("session").set("a", c.req.query("a"));
    c.header("etag", '"1"');
    c.header("content-language", "en");
    c.header("content-security-policy", "default-src 'self'");
    return c.html("<p>saved</p>");
  });
  app.onError((error, c) => {
    seen.push(error);
    return c.json({ sorry: error.code }, error.status);
  });
  const ask = (a) => app.fetch(new Request(`https://example.com/?a=${a}`, { headers: { origin: ORIGIN } }));
  assert.equal((await ask("1")).status, 200);
  isDown = true;
  const response = await ask("2");
  assert.equal(response.status, 503);
  assert.deepEqual(await response.json(), { sorry: "unavailable" });
  assert.ok(seen.length === 1 && seen[0] instanceof SessionError);
  const { headers } = response;
  assert.equal(headers.get("access-control-allow-origin"), ORIGIN);
  assert.equal(headers.get("content-type"), "application/json");
  assert.equal(headers.get("content-security-policy"), "default-src 'self'");
  assert.deepEqual([headers.get("etag"), headers.get("content-language")], [null, null]);
  assert.equal(headers.get("cache-control"), "no-store");
  assert.equal(headers.get("vary"), "Origin, Cookie");
  assert.deepEqual(headers.getSetCookie(), []);
});

test("verifyCsrf, requireRecentAuth and require answer with their own status", async () => {
  const { visit } = start((app, sessions) => {
    app.use(sessionMiddleware({ sessions }));
    app.get("/csrf", (c) => c.text(c.get("session").verifyCsrf("forged") ?? ""));
    app.get("/recent", (c) => c.text(c.get("session").requireRecentAuth(60) ?? ""));
    app.get("/require", (c) => c.text(c.get("session").require("a")));
    const inner = new Hono();
    inner.get("/", (c) => c.text(c.get("session").require("a")));
    inner.onError((error, c) => c.text(`inner ${error.code}`, error.status));
    app.route("/inner", inner);
  });
  for (const [path, status, code] of [["/csrf", 422, "invalid_value"], ["/recent", 401, "reauth_required"], ["/require", 404, "missing_key"]]) {
    const response = await visit(path);
    assert.equal(response.status, status, path);
    assert.equal((await response.json()).code, code);
  }
  assert.equal(await (await visit("/inner")).text(), "inner missing_key");
});

test("an error that the session did not cause is answered as what it is", async (t) => {
  const logged = t.mock.method(console, "error", () => {});
  const { browser, visit } = start(
    (app, sessions) => {
      app.use(sessionMiddleware({ sessions }));
      const refused = (c) => assert.throws(() => c.get("session").get("a"), { code: "unavailable" });
      app.get("/missing", (c) => {
        refused(c);
        throw new HTTPException(404, { message: "no such page" });
      });
      app.get("/bug", (c) => {
        refused(c);
        null.boom;
      });
      app.get("/caused", (c) => {
        try {
          c.get("session").get("a");
        } catch (cause) {
          throw new Error("the cart could not be shown", { cause });
        }
      });
    },
    { wrap: () => down("unrelated") },
  );
  await browser.ask((session) => session.set("a", 1));
  const missing = await visit("/missing");
  assert.deepEqual([missing.status, await missing.text()], [404, "no such page"]);
  const bug = await visit("/bug");
  assert.deepEqual([bug.status, await bug.text()], [500, "Internal Server Error"]);
  assert.ok(logged.mock.calls.some(({ arguments: [error] }) => error instanceof TypeError));
  const caused = await visit("/caused");
  assert.deepEqual([caused.status, (await caused.json()).code], [503, "unavailable"]);
});

test("a thrown Response is an answer: committed below 400, dropped from there on", async () => {
  const { visit, sessions, browser } = start((app, sessions) => {
    app.use(cors({ origin: ORIGIN }));
    app.use(sessionMiddleware({ sessions }));
    app.get("/login", (c) => {
      c.get("session").bind("ada");
      throw Response.redirect("https://example.com/home", 303);
    });
    app.get("/denied", (c) => {
      c.get("session").set("a", 1);
      throw new Response("no", { status: 403 });
    });
  });
  const login = await visit("/login");
  assert.deepEqual([login.status, login.headers.get("location")], [303, "https://example.com/home"]);
  assert.equal(login.headers.get("access-control-allow-origin"), ORIGIN);
  assert.equal((await sessions.load(browser.request())).owner, "ada");
  const denied = await visit("/denied");
  assert.deepEqual([denied.status, await denied.text()], [403, "no"]);
  assert.equal((await sessions.load(browser.request())).has("a"), false);
});

test("a logout stays done and its cookies are sent, whatever is answered then", async () => {
  const { visit, browser } = start((app, sessions) => {
    app.use(sessionMiddleware({ sessions }));
    app.get("/set", (c) => {
      c.get("session").set("a", 1);
      return c.text("");
    });
    app.get("/logout", async (c) => {
      await c.get("session").destroy();
      c.get("session").set("a", 2);
    });
  });
  await visit("/set");
  const response = await visit("/logout");
  assert.deepEqual([response.status, (await response.json()).code], [409, "destroyed"]);
  assert.equal(browser.cookie, null);
});

test("a bad configuration reaches onError, and the console", async (t) => {
  const logged = t.mock.method(console, "error", () => {});
  const app = new Hono();
  app.use(sessionMiddleware());
  app.get("/", (c) => c.text("page"));
  const env = { SESSION_STORAGE: "memory", SESSION_SECRET: SECRET, SESSION_IDLE_TIMEOUT: "soon" };
  const response = await app.fetch(new Request("https://example.com/"), env);
  assert.deepEqual([response.status, (await response.json()).code], [500, "config"]);
  assert.match(logged.mock.calls[0].arguments[0], /^edge-session: config: .*SESSION_IDLE_TIMEOUT/);
});

test("etag inside of the session keeps its cookies at a 304, outside it takes them away", async () => {
  const build = (...order) =>
    start((app, sessions) => {
      const both = { session: sessionMiddleware({ sessions }), etag: etag() };
      for (const name of order) app.use(both[name]);
      app.get("/", (c) => {
        c.get("session").set("seen", c.req.query("n"));
        return c.text("the same page");
      });
    });
  for (const [order, cookies] of [[["session", "etag"], 1], [["etag", "session"], 0]]) {
    const { visit } = build(...order);
    const page = await visit("/?n=1");
    const again = await visit("/?n=2", { headers: { "if-none-match": page.headers.get("etag") } });
    assert.equal(again.status, 304);
    assert.equal(again.headers.getSetCookie().length, cookies, order.join());
  }
});
