// The Hono middleware in Hono: one session per request, and errors in `onError`.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Hono } from "hono";
import { bodyLimit } from "hono/body-limit";
import { cors } from "hono/cors";
import { etag } from "hono/etag";
import { HTTPException } from "hono/http-exception";
import { requestId } from "hono/request-id";

import { sessionMiddleware } from "../../pkg/hono.js";
import { SessionError, Sessions } from "../../pkg/node.js";
import { SECRET, world } from "./support/world.mjs";

const ORIGIN = "https://app.example";

/** An app with sessions in memory, and a browser that visits it. */
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
  // In the middleware, and also on the response to the error.
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

test("after an error that was thrown nothing is saved, whatever is answered", async (t) => {
  t.mock.method(console, "error", () => {});
  const redirect = () => new HTTPException(302, { res: new Response(null, { status: 302, headers: { location: "/in" } }) });
  const throwing = (make) => () => {
    throw make();
  };
  const sorry = (_error, c) => c.text("sorry", 200);
  const table = [
    // The thrown value, its response, the status, and the owner afterwards.
    [throwing(() => new HTTPException(403)), undefined, 403, null],
    [throwing(() => new HTTPException(500)), undefined, 500, null],
    [throwing(() => new Error("boom")), undefined, 500, null],
    [throwing(() => new Error("boom")), sorry, 200, null],
    [throwing(() => new HTTPException(404)), sorry, 200, null],
    [throwing(() => new Error("boom")), (_error, c) => c.redirect("/sorry"), 302, null],
    [(session) => session.require("nothing"), undefined, 404, null],
    [(session) => session.require("nothing"), sorry, 200, null],
    [(session) => session.verifyCsrf("forged"), undefined, 422, null],
    [(session) => session.requireRecentAuth(-1), (_error, c) => c.redirect("/login"), 302, null],
    [throwing(redirect), undefined, 302, "ada"],
    [throwing(redirect), (_error, c) => c.text("no", 403), 403, null],
    [throwing(() => new Response("no", { status: 403 })), undefined, 403, null],
    [throwing(() => new Response(null, { status: 303, headers: { location: "/in" } })), undefined, 303, "ada"],
    [(_session, c) => c.text("forbidden", 403), undefined, 403, "ada"],
    [(_session, c) => c.text("sorry", 500), undefined, 500, null],
  ];
  for (const twice of [false, true]) {
    for (const [at, [fail, onError, status, owner]] of table.entries()) {
      const { visit, browser } = start((app, sessions) => {
        app.use(sessionMiddleware({ sessions }));
        if (twice) app.use(sessionMiddleware({ sessions }));
        app.get("/", async (c) => {
          const session = c.get("session");
          await session.set("saved", 1).save();
          session.bind("ada");
          return fail(session, c) ?? c.text("");
        });
        if (onError) app.onError(onError);
      });
      const response = await visit("/");
      const session = await browser.load();
      assert.deepEqual([response.status, session.owner], [status, owner], `row ${at}, twice: ${twice}`);
      assert.equal(session.get("saved"), 1, "what was saved before is there, and its cookies were sent");
      assert.equal(response.headers.get("cache-control"), "no-store");
    }
  }
});

test("an error of a mounted app, which is an answer to the outer one, drops changes too", async () => {
  const { visit, browser } = start((app, sessions) => {
    const old = new Hono();
    old.use(sessionMiddleware({ sessions }));
    old.get("/old", (c) => {
      c.get("session").bind("mallory");
      throw new HTTPException(403);
    });
    app.use(sessionMiddleware({ sessions }));
    app.mount("/old", old.fetch, { replaceRequest: (request) => request });
  });
  assert.equal((await visit("/old")).status, 403);
  assert.equal((await browser.load()).owner, null);
});

test("the response to an error has none of the page's cache settings", async () => {
  let isDown = false;
  const it = world();
  const put = (...args) => (isDown ? Promise.reject(new Error("down, and private")) : it.memory.put(...args));
  const sessions = new Sessions(
    { kind: "memory", read: (...args) => it.memory.read(...args), put, delete: put },
    { secret: SECRET, clock: it.clock, disableWarnings: true, allowPrivateCache: true },
  );
  const app = new Hono();
  app.use(cors({ origin: ORIGIN }));
  app.use(sessionMiddleware({ sessions }));
  const OF_PAGE = ["expires", "age", "pragma", "surrogate-control", "refresh"];
  app.get("/", (c) => {
    const session = c.get("session");
    session.get("a");
    if (c.req.query("a")) session.set("a", c.req.query("a"));
    c.header("cache-control", "private, max-age=600");
    for (const name of OF_PAGE) c.header(name, "60");
    c.header("cdn-cache-control", "max-age=60");
    if (c.req.query("fails")) session.require("nothing");
    return c.text("page");
  });
  const ask = async (query) => {
    const response = await app.fetch(new Request(`https://example.com/?${query}`, it.browser.request()));
    it.browser.keep(response);
    return [response.status, response.headers.get("cache-control"), response.headers];
  };
  assert.deepEqual((await ask("a=1")).slice(0, 2), [200, "no-store"]);
  assert.deepEqual((await ask("")).slice(0, 2), [200, "private, max-age=600"]);
  assert.deepEqual((await ask("fails=1")).slice(0, 2), [404, "no-store"]);
  isDown = true;
  const [status, cacheControl, headers] = await ask("a=2");
  assert.deepEqual([status, cacheControl], [503, "no-store"]);
  assert.deepEqual(OF_PAGE.filter((name) => headers.has(name)), []);
  assert.equal(headers.get("cdn-cache-control"), "no-store");
});

test("a handler that answers nothing is an error, and nothing is saved", async (t) => {
  t.mock.method(console, "error", () => {});
  const { visit, browser } = start((app, sessions) => {
    app.use(sessionMiddleware({ sessions }));
    app.get("/", (c) => void c.get("session").bind("ada"));
  });
  const response = await visit("/");
  assert.deepEqual([response.status, response.headers.getSetCookie()], [500, []]);
  assert.equal((await browser.load()).owner, null);
});

test("onError is called once for an error, and its own page stays", async (t) => {
  t.mock.method(console, "error", () => {});
  const cases = {
    "a page": [(c) => c.html("<h1>our page</h1>", 500), 500, /our page/],
    "a text": [(c) => c.text("our text", 500), 500, /our text/],
    "Hono's own": [undefined, 404, /missing_key/],
  };
  for (const [name, [answer, status, body]] of Object.entries(cases)) {
    const seen = [];
    const { visit } = start((app, sessions) => {
      app.use(cors({ origin: ORIGIN }));
      app.use(sessionMiddleware({ sessions }));
      app.get("/", (c) => {
        try {
          c.get("session").require("nothing");
        } catch (cause) {
          throw new Error("wrapped", { cause });
        }
      });
      if (answer) {
        app.onError((error, c) => {
          seen.push(error.message);
          return answer(c);
        });
      }
    });
    const response = await visit("/");
    assert.equal(response.status, status, name);
    assert.match(await response.text(), body);
    assert.equal(response.headers.get("access-control-allow-origin"), ORIGIN);
    assert.deepEqual(seen, answer ? ["wrapped"] : []);
  }
});

test("cookies stay on an error page that is made of the error's answer, without a handler too", async () => {
  const { visit, browser } = start((app, sessions) => {
    app.use(sessionMiddleware({ sessions }));
    app.notFound(async (c) => {
      const session = c.get("session");
      await session.destroy();
      session.set("a", 2);
    });
    app.onError((error, c) => {
      const answer = error.getResponse();
      return c.newResponse(answer.body, answer);
    });
  });
  await browser.ask((session) => session.set("a", 1));
  const response = await visit("/nothing");
  assert.deepEqual([response.status, (await response.json()).code], [409, "destroyed"]);
  assert.equal(browser.cookie, null);
});

test("sessions may be a promise; what only looks like them is refused with words", async (t) => {
  const logged = t.mock.method(console, "error", () => {});
  const answer = async (options) => {
    const { visit } = start((app, sessions) => {
      app.use(sessionMiddleware(options(sessions)));
      app.get("/", (c) => c.text("page"));
    });
    return visit("/");
  };
  assert.equal(await (await answer((sessions) => ({ sessions: async () => sessions }))).text(), "page");
  for (const [name, like] of [["a proxy", (it) => new Proxy(it, {})], ["nothing", () => {}], ["a mock", () => ({ handle() {} })]]) {
    const response = await answer((sessions) => ({ sessions: () => like(sessions) }));
    const { code, detail } = await response.json();
    assert.deepEqual([response.status, code], [500, "config"], name);
    assert.match(detail, /the function passed as sessions did not return a Sessions\. A Proxy or a mock/);
    if (name !== "nothing") {
      const refused = () => sessionMiddleware({ sessions: like(world().sessions) });
      assert.throws(refused, { code: "config", message: /neither a Sessions nor a function/ });
    }
  }
  assert.ok(logged.mock.callCount() > 0);
});

test("a thrown Response of another realm is an answer", async () => {
  const { visit, browser } = start((app, sessions) => {
    app.use(cors({ origin: ORIGIN }));
    app.use(sessionMiddleware({ sessions }));
    app.get("/:status", (c) => {
      c.get("session").bind("ada");
      const { status, headers, body } = new Response("like", { status: Number(c.req.param("status")) });
      throw { status, headers, body };
    });
  });
  const denied = await visit("/403");
  assert.deepEqual([denied.status, await denied.text(), (await browser.load()).owner], [403, "like", null]);
  const page = await visit("/200");
  assert.deepEqual([page.status, await page.text(), (await browser.load()).owner], [200, "like", "ada"]);
  assert.equal(page.headers.get("access-control-allow-origin"), ORIGIN);
});

test("after bodyLimit, which replaces the request, what is mounted has the same session", async () => {
  const { visit } = start((app, sessions) => {
    const old = new Hono();
    old.use(sessionMiddleware({ sessions }));
    old.post("/old", (c) => c.text(String(c.get("session") === outer)));
    let outer;
    app.use(bodyLimit({ maxSize: 1000 }));
    app.use(sessionMiddleware({ sessions }));
    app.use(async (c, next) => {
      outer = c.get("session");
      await next();
    });
    app.mount("/old", old.fetch, { replaceRequest: (request) => request });
    app.post("/handle", (c) => sessions.handle(c.req.raw, null, (it) => new Response(String(it === outer))));
  });
  for (const path of ["/old", "/handle"]) {
    const body = new Blob(["x"]).stream();
    assert.equal(await (await visit(path, { method: "POST", body, duplex: "half" })).text(), "true", path);
  }
});
