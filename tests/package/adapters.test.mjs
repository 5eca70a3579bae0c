// The adapters for frameworks, called as their frameworks call them. The frameworks themselves are in
// tests/frameworks.

import assert from "node:assert/strict";
import { test } from "node:test";

import { sessionMiddleware as astro } from "../../pkg/astro.js";
import { sessionMiddleware as h3 } from "../../pkg/h3.js";
import { SessionError, Sessions } from "../../pkg/node.js";
import { sessionMiddleware as reactRouter } from "../../pkg/react-router.js";
import { sessionHandle as sveltekit } from "../../pkg/sveltekit.js";
import { sessionServer as tanstack } from "../../pkg/tanstack-start.js";
import { SECRET, world } from "./support/world.mjs";

/** Sessions on a store that is down. */
function down() {
  const fail = () => Promise.reject(new Error("down"));
  return new Sessions(
    { kind: "memory", read: fail, put: fail, delete: fail },
    { secret: SECRET, clock: world().clock, disableWarnings: true },
  );
}

/** Astro's part: the results of `next`, for the page itself and for the error page, which is requested. */
const astroNext = (handler, locals, errors) => async (payload) => {
  if (payload === undefined) return handler(locals.session);
  if (errors === undefined) throw new Error("there is no such page");
  return errors(payload);
};

/** Each adapter as one function of a request and a handler that gets a session and responds. */
const ADAPTERS = {
  "react-router": (options) => {
    const key = {};
    const middleware = reactRouter(key, options);
    return (request, handler) => {
      const values = new Map();
      const context = { set: (key, value) => values.set(key, value) };
      return middleware({ request, context }, async () => handler(values.get(key)));
    };
  },
  sveltekit: (options) => {
    const handle = sveltekit(options);
    return (request, handler, more) => {
      const event = { request, locals: {}, url: new URL(request.url), isSubRequest: false, ...more };
      return handle({ event, resolve: async () => handler(event.locals.session, event) });
    };
  },
  "tanstack-start": (options) => {
    const server = tanstack(options);
    return (request, handler) => {
      const next = async ({ context }) => ({ context, response: await handler(context.session) });
      return server({ request, context: {}, next });
    };
  },
  astro: (options) => {
    const onRequest = astro(options);
    return (request, handler, { locals = {}, errors, ...more } = {}) => {
      const context = { request, locals, url: new URL(request.url), isPrerendered: false, routePattern: "/about", ...more };
      return onRequest(context, astroNext(handler, locals, errors));
    };
  },
  h3: (options) => {
    const middleware = h3(options);
    return async (request, handler) => {
      const res = { headers: new Headers(), errHeaders: new Headers() };
      const event = { req: request, context: {}, res };
      return h3Answer(res, await middleware(event, async () => handler(event.context.session, event)));
    };
  },
};

/** h3's part: the response that it makes of a value and of `event.res`. */
function h3Answer(res, value) {
  const isResponse = value instanceof Response;
  const isOwn = isResponse || value?.headers instanceof Headers; // an HTTPResponse
  const headers = new Headers(isOwn ? value.headers : undefined);
  for (const [name, text] of isResponse && value.status >= 400 ? res.errHeaders : res.headers) {
    if (name === "set-cookie") headers.append(name, text);
    else headers.set(name, text);
  }
  const status = (isOwn ? value.status : undefined) ?? res.status;
  return new Response(isOwn ? value.body : value, { status, headers });
}

const page = (status) => () => new Response("<h1>Sorry</h1>", { status, headers: { "x-own": "1" } });

for (const [name, make] of Object.entries(ADAPTERS)) {
  test(`${name}: options that it does not have, and what is not a Sessions, are refused`, async () => {
    assert.throws(() => make({ session: 1 }), { code: "config", message: /has no option session; its options are sessions and lazy/ });
    assert.throws(() => make({ sessions: {} }), { code: "config", message: /sessions is neither a Sessions nor a function/ });
  });

  test(`${name}: lazy costs nothing, and loads where it is asked to`, async () => {
    const { sessions, browser, memory } = world();
    await browser.ask((session) => session.set("a", 1));
    const visit = make({ sessions, lazy: true });
    memory.resetOperations();
    await visit(browser.request(), () => new Response());
    assert.equal(memory.operations.reads, 0);
    const answer = await visit(browser.request(), async (session) => {
      await session.load();
      return new Response(session.get("a"));
    });
    assert.equal(await answer.text(), "1");
  });

  test(`${name}: below 500 it commits, and from 500 on it does not`, async () => {
    for (const [status, isCommitted] of [[200, true], [303, true], [404, true], [500, false], [503, false]]) {
      const { sessions } = world();
      const answer = await make({ sessions })(new Request("https://example.com/"), (session) => {
        session.set("a", 1);
        return new Response(null, { status });
      });
      assert.deepEqual([answer.status, answer.headers.getSetCookie().length > 0], [status, isCommitted]);
    }
  });
}

const OF_PAGES = ["react-router", "sveltekit", "tanstack-start"];

for (const name of OF_PAGES) {
  const make = ADAPTERS[name];
  const swallow = (handler) => async (session) => {
    try {
      return await handler(session);
    } catch {
      return page(500)();
    }
  };

  test(`${name}: the page for an error of the session has that error's status, and drops changes`, async () => {
    const { sessions } = world();
    const answer = await make({ sessions })(
      new Request("https://example.com/"),
      swallow((session) => {
        session.set("a", 1);
        session.requireRecentAuth(60);
      }),
    );
    assert.deepEqual([answer.status, await answer.text(), answer.headers.get("x-own")], [401, "<h1>Sorry</h1>", "1"]);
    assert.deepEqual(answer.headers.getSetCookie(), []);
    const csrf = await make({ sessions })(new Request("https://example.com/"), swallow((session) => session.verifyCsrf("wrong")));
    assert.equal(csrf.status, 422);
  });

  test(`${name}: an outage is 503 with Retry-After`, async () => {
    const { browser } = world();
    await browser.ask((session) => session.set("a", 1));
    const answer = await make({ sessions: down() })(browser.request(), swallow((session) => session.get("a")));
    assert.deepEqual([answer.status, answer.headers.get("retry-after"), answer.headers.get("cache-control")], [503, "5", "no-store"]);
  });

  test(`${name}: an outage of the list of devices is 503 too, where it is clear whose it is`, async () => {
    const { sessions, browser, memory } = world();
    await browser.ask((session) => session.bind("ada"));
    memory.list = () => Promise.reject(new Error("down"));
    const ask = swallow(async (session) => new Response(String((await sessions.list(session.owner)).length)));
    const visit = make({ sessions });
    assert.deepEqual([(await visit(browser.request(), ask)).status, await browser.ask((session) => session.refusal)], [503, undefined]);

    // Of two requests at once without a context, neither gets the error of the other.
    let go;
    const waiting = new Promise((resolve) => (go = resolve));
    const other = visit(browser.request(), async () => {
      await waiting;
      return page(500)();
    });
    assert.equal((await visit(browser.request(), ask)).status, 500);
    go();
    assert.equal((await other).status, 500);

    // An error of an earlier request is none of a later one's.
    await assert.rejects(sessions.list("ada"), { code: "unavailable" });
    assert.equal((await visit(browser.request(), page(500))).status, 500);
    await assert.rejects(sessions.revokeAll(7), { code: "invalid_value" });
  });

  test(`${name}: the application's own errors stay what they are`, async () => {
    const { sessions, browser } = world();
    const visit = make({ sessions });
    assert.equal((await visit(new Request("https://example.com/"), page(500))).status, 500);
    // A session's error that the application has handled, and a mistake of the application.
    const caught = await visit(new Request("https://example.com/"), (session) => {
      assert.throws(() => session.requireRecentAuth(60), { code: "reauth_required" });
      return page(403)();
    });
    assert.equal(caught.status, 403);
    const missing = await visit(new Request("https://example.com/"), swallow((session) => session.require("none")));
    assert.equal(missing.status, 500);
    const outage = make({ sessions: down() });
    await browser.ask((session) => session.set("a", 1));
    assert.equal((await outage(browser.request(), page(500))).status, 500, "nobody used the session");
  });
}

for (const name of [...OF_PAGES, "h3"]) {
  test(`${name}: without a secret a page that does not use the session is there, for prerendering`, async () => {
    const visit = ADAPTERS[name]({ sessions: () => Sessions.fromEnv({ SESSIONS: world().memory }) });
    assert.equal((await visit(new Request("https://example.com/"), page(200))).status, 200);
    for (const use of [(session) => session.get("a"), (session) => session.owner, (session) => session.bind("ada")]) {
      await assert.rejects(visit(new Request("https://example.com/"), use), { code: "missing_binding" });
    }
  });
}

for (const name of [...OF_PAGES, "h3"]) {
  test(`${name}: a page that does not use the session is there if the function passed as sessions fails, for prerendering`, async () => {
    const own = new TypeError("there are no bindings");
    const visit = ADAPTERS[name]({ sessions: () => Promise.reject(own) });
    const context = { platform: { ctx: {} } };
    assert.equal((await visit(new Request("https://example.com/"), page(200), context)).status, 200);
    await assert.rejects(visit(new Request("https://example.com/"), (session) => session.get("a"), context), (error) => {
      assert.ok(error instanceof SessionError);
      assert.deepEqual([error.code, error.cause], ["config", own]);
      return /the function passed as sessions failed: there are no bindings/.test(error.message);
    });
  });

  test(`${name}: what the function passed as sessions throws to answer a request is the answer`, async () => {
    for (const thrown of [Object.assign(new Error("no such tenant"), { status: 404 }), new Response(null, { status: 303 })]) {
      const visit = ADAPTERS[name]({ sessions: () => Promise.reject(thrown) });
      const found = await visit(new Request("https://example.com/"), page(200), { platform: { ctx: {} } }).catch((error) => error);
      assert.equal(found, thrown);
    }
  });
}

test("outside of Workers there is no environment to read", async () => {
  await assert.rejects(ADAPTERS["react-router"]()(new Request("https://example.com/"), (session) => session.get("a")), (error) => {
    assert.ok(error instanceof SessionError);
    return /there is no environment to read the bindings from/.test(error.message);
  });
});

test("sveltekit: what event.fetch asks of the application has the session of the page, unless it leaves out the cookies", async () => {
  const { sessions, browser, memory } = world();
  await browser.ask((session) => session.set("a", 1));
  const visit = ADAPTERS.sveltekit({ sessions });
  const inner = (request, handler) => visit(request, handler, { isSubRequest: true });
  memory.resetOperations();
  const answer = await visit(browser.request(), async (session) => {
    session.set("a", 2);
    const asked = await inner(browser.request(), (same) => {
      assert.equal(same, session);
      same.set("b", 3);
      return new Response(same.get("a"));
    });
    assert.deepEqual([await asked.text(), asked.headers.getSetCookie()], ["2", []]);
    await inner(new Request("https://example.com/"), (other) => {
      assert.notEqual(other, session);
      return new Response(other.get("a"));
    });
    return new Response("page");
  });
  browser.keep(answer);
  assert.equal(memory.operations.puts, 1);
  assert.deepEqual(await browser.ask((session) => [session.get("a"), session.get("b")]), [2, 3]);
});

test("sveltekit: on a first visit, an inner request with a cookie that the page has set has the page's session", async () => {
  const { sessions, browser } = world();
  const visit = ADAPTERS.sveltekit({ sessions });
  const answer = await visit(browser.request(), async (session) => {
    session.set("a", 1);
    // SvelteKit sends the cookies of event.cookies along.
    const request = new Request("https://example.com/api", { headers: { cookie: "theme=dark" } });
    const asked = await visit(request, (same) => {
      same.set("b", same.get("a"));
      return new Response();
    }, { isSubRequest: true });
    assert.deepEqual(asked.headers.getSetCookie(), []);
    return new Response("page");
  });
  browser.keep(answer);
  assert.deepEqual({ ...(await browser.load()).data }, { a: 1, b: 1 });
});

test("sveltekit: the first request of an isolate shares its session with event.fetch, however early it comes", async () => {
  const { sessions, browser } = world();
  // The request is made while the module is still loading what passes the session on.
  globalThis.firstRequest = (sessionHandle) => {
    const visit = (isSubRequest, use) => {
      const request = browser.request();
      const event = { request, locals: {}, url: new URL(request.url), isSubRequest };
      return sessionHandle({ sessions })({ event, resolve: async () => use(event.locals.session) });
    };
    return visit(false, async (session) => {
      await import("node:async_hooks");
      return visit(true, (same) => new Response(String(same === session)));
    });
  };
  try {
    const module = new URL("../../pkg/sveltekit.js?first", import.meta.url);
    const source = `import { sessionHandle } from "${module}"; export const answer = firstRequest(sessionHandle);`;
    const { answer } = await import(`data:text/javascript,${encodeURIComponent(source)}`);
    assert.equal(await (await answer).text(), "true");
  } finally {
    delete globalThis.firstRequest;
  }
});

test("sveltekit: parallel requests of the application share nothing", async () => {
  const { sessions, browser } = world();
  await browser.ask((session) => session.set("a", 1));
  const visit = ADAPTERS.sveltekit({ sessions });
  const seen = await Promise.all(
    [1, 2].map(async () => {
      let found;
      await visit(browser.request(), async (session) => {
        found = session;
        await null;
        await visit(browser.request(), (inner) => new Response(assert.equal(inner, session)), { isSubRequest: true });
        return new Response();
      });
      return found;
    }),
  );
  assert.notEqual(seen[0], seen[1]);
});

test("sveltekit: during prerendering there is no session, and the error names the route", async () => {
  // As adapter-cloudflare gives it.
  const env = {};
  const get = () => {
    throw new Error("Cannot access platform.env.SESSIONS in a prerenderable route");
  };
  Object.defineProperty(env, "SESSIONS", { get });
  const own = ({ platform }) => new Sessions(platform.env.SESSIONS, { secret: SECRET });
  for (const sessions of [undefined, own]) {
    const handle = sveltekit({ sessions });
    const prerender = async (platform, use) => {
      const request = new Request("https://example.com/about");
      const event = { request, platform, locals: {}, url: new URL(request.url), route: { id: "/about" }, isSubRequest: false };
      return handle({ event, resolve: async () => use(event) });
    };
    for (const platform of [undefined, { env }]) {
      assert.equal((await prerender(platform, page(200))).status, 200);
      const message = sessions && platform ? /^\/about uses a session.*Cannot access platform/ : /^\/about uses a session/;
      await assert.rejects(prerender(platform, ({ locals }) => locals.session.get("a")), { code: "not_ready", message });
    }
  }
});

test("astro: an error of the session is the application's page for errors, and changes are dropped", async () => {
  const { sessions } = world();
  const visit = ADAPTERS.astro({ sessions });
  const use = (session) => {
    session.set("a", 1);
    session.requireRecentAuth(60);
  };
  const form = () => new Request("https://example.com/pay?a=1", { method: "POST", body: "a=1", headers: { "accept-language": "de" } });
  let asked;
  const errors = (request) => {
    asked = request;
    return page(500)();
  };
  const answer = await visit(form(), use, { errors });
  assert.deepEqual([answer.status, await answer.text(), answer.headers.getSetCookie()], [401, "<h1>Sorry</h1>", []]);
  assert.deepEqual([asked.method, asked.url, asked.headers.get("accept-language")], ["GET", "https://example.com/500", "de"]);
  // There is no error page, another page has been found, or it fails.
  for (const errors of [undefined, page(404), page(200), page(302), () => Promise.reject(new Error("it fails too"))]) {
    const bare = await visit(form(), use, { errors });
    assert.deepEqual([bare.status, (await bare.json()).code], [401, "reauth_required"]);
  }
});

test("astro: an outage is 503 with Retry-After, and other errors are the application's", async () => {
  const { browser } = world();
  await browser.ask((session) => session.set("a", 1));
  const visit = ADAPTERS.astro({ sessions: down() });
  const answer = await visit(browser.request(), (session) => session.get("a"), { errors: page(500) });
  assert.deepEqual([answer.status, answer.headers.get("retry-after"), answer.headers.get("x-own")], [503, "5", "1"]);
  const own = new Error("a bug");
  await assert.rejects(visit(new Request("https://example.com/"), () => Promise.reject(own), { errors: page(500) }), own);
});

test("astro: a rewrite runs the middleware again, with the same session and one commit", async () => {
  const { sessions, browser, memory } = world();
  await browser.ask((session) => session.set("a", 1));
  const visit = ADAPTERS.astro({ sessions });
  const locals = {};
  memory.resetOperations();
  const answer = await visit(
    browser.request(),
    (session) => {
      session.set("a", 2);
      // Astro makes another request for the page that replaces it.
      return visit(browser.request(), (inner) => new Response(inner === session ? inner.get("a") : "another"), { locals });
    },
    { locals },
  );
  assert.equal(await browser.keep(answer).text(), "2");
  assert.equal(memory.operations.puts, 1);
  assert.equal(await browser.ask((session) => session.get("a")), 2);
});

test("astro: during prerendering there is no session, and the error names the route", async () => {
  const visit = (handler) => ADAPTERS.astro()(new Request("https://example.com/about"), handler, { isPrerendered: true, locals });
  const locals = {};
  const answer = await visit(page(200)).catch((error) => error);
  assert.ok(answer instanceof SessionError, "astroNext reads it");
  assert.throws(() => locals.session, { code: "not_ready", message: /^\/about uses a session/ });
});

test("astro: an error page that Astro renders after the page continues its session", async () => {
  for (const isNew of [true, false]) {
    const { sessions, browser } = world();
    if (!isNew) await browser.ask((session) => session.bind("ada"));
    const visit = ADAPTERS.astro({ sessions });
    const [request, locals] = [browser.request(), {}];
    const first = await visit(request, (session) => {
      session.set("missed", "/nowhere");
      session.cycleKey();
      return new Response(null, { status: 404 });
    }, { locals });
    const second = await visit(request, (session) => {
      assert.equal(session.get("missed"), "/nowhere");
      session.set("views", 1);
      return new Response("not found", { status: 404 });
    }, { locals });
    browser.keep(first);
    browser.keep(second);
    assert.deepEqual({ ...(await browser.load()).data }, { missed: "/nowhere", views: 1 });
  }
});

/** Astro's part: the error page, with the headers of the answer without a body that came before it. */
function astroMerged(page, first) {
  const headers = new Headers(first.headers);
  for (const [name, value] of page.headers) if (!first.headers.has(name) || name === "set-cookie") headers.append(name, value);
  return new Response(page.body, { status: first.status, headers });
}

test("astro: an error page with a session is not cached, whatever the page before it has said", async () => {
  const headers = { "cache-control": "public, max-age=60", "cdn-cache-control": "max-age=60", vary: "accept" };
  for (const isUsed of [true, false]) {
    const { sessions } = world();
    const visit = ADAPTERS.astro({ sessions });
    const [request, locals] = [new Request("https://example.com/"), {}];
    const first = await visit(request, () => new Response(null, { status: 404, headers }), { locals });
    const second = await visit(request, (session) => new Response(isUsed ? session.owner : "", { status: 404 }), { locals });
    const answer = astroMerged(second, first);
    const found = Object.keys(headers).map((name) => answer.headers.get(name));
    assert.deepEqual(found, isUsed ? ["no-store", "no-store", "accept, Cookie"] : Object.values(headers));
  }
});

test("astro: a component may read the session while the page is being sent", async () => {
  const { sessions, browser } = world();
  await browser.ask((session) => session.set("name", "Ada"));
  const visit = ADAPTERS.astro({ sessions });
  const answered = async (request, type) => {
    let session;
    const headers = { "content-type": type, "cache-control": "public, max-age=60" };
    const answer = await visit(request, (it) => ((session = it), new Response("", { headers })), { locals: {} });
    return { session, cached: answer.headers.get("cache-control") };
  };
  const page = await answered(browser.request(), "text/html;charset=utf-8");
  assert.deepEqual([page.cached, page.session.get("name")], ["no-store", "Ada"]);
  // Endpoints have no components, and a visitor without a session has nothing to read.
  assert.equal((await answered(browser.request(), "application/json")).cached, "public, max-age=60");
  const stranger = await answered(new Request("https://example.com/"), "text/html");
  assert.deepEqual([stranger.cached, stranger.session.get("name")], ["public, max-age=60", undefined]);
});

test("astro: a rewrite whose page sets cookies of its own does not end the session of the request", async () => {
  const { sessions, browser, memory } = world();
  const visit = ADAPTERS.astro({ sessions });
  const [request, locals] = [browser.request(), {}];
  const rewritten = (session) => {
    session.set("n", (session.get("n") ?? 0) + 1);
    return new Response("", { headers: { "set-cookie": "theme=dark" } });
  };
  const answer = await visit(request, async (session) => {
    await visit(new Request("https://example.com/a"), rewritten, { locals });
    await visit(new Request("https://example.com/b"), rewritten, { locals });
    return new Response(String(session.get("n")));
  }, { locals });
  assert.equal(await answer.text(), "2");
  assert.equal(memory.operations.puts, 1);
});

test("h3: without a Response, the cookies go into event.res", async () => {
  const { sessions } = world();
  for (const value of ["text", undefined]) {
    const answer = await ADAPTERS.h3({ sessions })(new Request("https://example.com/"), (session, event) => {
      session.set("a", 1);
      event.res.status = 201;
      return value;
    });
    assert.deepEqual([answer.status, await answer.text(), answer.headers.getSetCookie().length], [201, value ?? "", 2]);
  }
});

test("h3: what a handler prepares in event.res does not let a cache keep an answer with a session", async () => {
  const prepare = ({ res }) => {
    for (const headers of [res.headers, res.errHeaders]) {
      headers.set("cache-control", "public, max-age=60");
      headers.set("vary", "origin");
      headers.set("x-own", "1");
    }
  };
  const init = (status) => ({ status, headers: { vary: "accept" } });
  const httpResponse = (status) => ({ ...init(status), body: "own", headers: new Headers(init(status).headers) });
  const values = [
    () => "text",
    () => new Response("own", init(200)),
    () => new Response(null, init(303)),
    () => new Response("own", init(404)),
    () => Response.redirect("https://example.com/", 303),
    () => httpResponse(200),
    () => httpResponse(undefined),
    () => httpResponse(404),
  ];
  for (const make of values) {
    const answer = await ADAPTERS.h3({ sessions: world().sessions })(new Request("https://example.com/"), (session, event) => {
      prepare(event);
      session.set("a", 1);
      return make();
    });
    const [cache, vary, own] = ["cache-control", "vary", "x-own"].map((name) => answer.headers.get(name));
    assert.deepEqual([cache, vary, own, answer.headers.getSetCookie().length], ["no-store", "origin, Cookie", "1", 2], String(make));
    // Without a session the answer is the application's.
    const other = await ADAPTERS.h3({ sessions: world().sessions })(new Request("https://example.com/"), (_, event) => {
      prepare(event);
      return make();
    });
    assert.deepEqual([other.headers.get("cache-control"), other.headers.get("vary")], ["public, max-age=60", "origin"], String(make));
  }
});

test("h3: an HTTPResponse that is returned to two visitors does not carry the cookies of the first", async () => {
  const visit = ADAPTERS.h3({ sessions: world().sessions });
  const home = { status: 303, headers: new Headers({ location: "/", vary: "accept" }), body: "" };
  const cookies = [];
  for (const isUsed of [true, false]) {
    const answer = await visit(new Request("https://example.com/"), (session) => {
      if (isUsed) session.set("a", 1);
      return home;
    });
    assert.equal(answer.headers.get("vary"), isUsed ? "accept, Cookie" : "accept");
    cookies.push(answer.headers.getSetCookie().length);
  }
  assert.deepEqual(cookies, [2, 0]);
});

test("h3: an error of the session keeps the Vary of event.res and is not cached", async () => {
  const { browser } = world();
  await browser.ask((session) => session.set("a", 1));
  const errHeaders = new Headers({ vary: "origin", "cache-control": "public", "content-type": "text/html" });
  const event = { req: browser.request(), context: {}, res: { headers: new Headers(), errHeaders } };
  await assert.rejects(h3({ sessions: down() })(event, () => event.context.session.get("a")), ({ headers }) => {
    for (const found of [headers, errHeaders]) {
      assert.deepEqual([found.get("vary"), found.get("cache-control")], ["origin, Cookie", "no-store"]);
    }
    return errHeaders.get("content-type") === "text/html";
  });
});

test("h3: a route that is not there is 404, whose headers are apart", async () => {
  const { sessions } = world();
  const nothing = Symbol("not found");
  let errHeaders;
  const event = { req: new Request("https://example.com/"), context: {}, res: { headers: new Headers(), errHeaders: new Headers() } };
  const value = await h3({ sessions })(event, () => {
    event.context.session.set("a", 1);
    ({ errHeaders } = event.res);
    return nothing;
  });
  assert.equal(value, nothing);
  assert.deepEqual([errHeaders.getSetCookie().length, event.res.headers.getSetCookie().length], [2, 0]);
});

test("h3: a Response that is thrown is the answer, below 400 with what was changed", async () => {
  for (const [status, isCommitted] of [[303, true], [403, false]]) {
    const answer = await ADAPTERS.h3({ sessions: world().sessions })(new Request("https://example.com/"), (session) => {
      session.set("a", 1);
      throw new Response(null, { status });
    });
    assert.deepEqual([answer.status, answer.headers.getSetCookie().length > 0], [status, isCommitted]);
  }
});

test("h3: an error of the session is an HTTPError with its status, and others are the application's", async () => {
  const { browser } = world();
  await browser.ask((session) => session.set("a", 1));
  const visit = ADAPTERS.h3({ sessions: down() });
  await assert.rejects(visit(browser.request(), (session) => session.get("a")), (error) => {
    // Like HTTPError.isError of h3.
    assert.ok(error instanceof Error && error.name === "HTTPError" && error.status > 99);
    assert.deepEqual([error.status, error.cause.code, error.unhandled], [503, "unavailable", undefined]);
    assert.deepEqual([error.headers.get("retry-after"), error.headers.get("content-type")], ["5", null]);
    return error.toJSON().data.code === "unavailable";
  });
  const own = new Error("a bug");
  await assert.rejects(visit(new Request("https://example.com/"), () => Promise.reject(own)), own);
});

/** What an event's response has of the session after `next`, and what the middleware answers or throws. */
async function h3Event(sessions, next) {
  const res = { headers: new Headers(), errHeaders: new Headers() };
  const event = { req: new Request("https://example.com/"), context: {}, res };
  const answer = await h3({ sessions })(event, async () => next(event.context.session)).catch((thrown) => ({ thrown }));
  return { answer, cookies: [res.headers.getSetCookie().length, res.errHeaders.getSetCookie().length] };
}

const httpError = (status) => Object.assign(new Error("own"), { name: "HTTPError", status });

test("h3: what was saved before an error is thrown has its cookies, and later changes are dropped", async () => {
  const { sessions, memory } = world();
  const error = httpError(404);
  const { answer, cookies } = await h3Event(sessions, async (session) => {
    session.set("a", 1);
    await session.save();
    session.set("a", 2);
    throw error;
  });
  assert.equal(answer.thrown, error);
  assert.deepEqual(cookies, [0, 2]);
  assert.equal(memory.operations.puts, 1);
  const unsaved = await h3Event(sessions, (session) => {
    session.set("a", 1);
    throw error;
  });
  assert.deepEqual(unsaved.cookies, [0, 0]);
});

test("h3: an error that is returned drops changes, like one that is thrown", async () => {
  for (const error of [httpError(401), httpError(503), httpError(0), new Error("a bug")]) {
    const { sessions, memory } = world();
    const { answer, cookies } = await h3Event(sessions, (session) => {
      session.set("a", 1);
      return error;
    });
    assert.equal(answer, error);
    assert.deepEqual(cookies, [0, 0]);
    assert.equal(memory.operations.puts, 0);
  }
});
