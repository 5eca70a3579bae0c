// Configuration is either applied or fails with `config`. Nothing is ignored silently.

import assert from "node:assert/strict";
import { test } from "node:test";

import { sessionMiddleware } from "../../pkg/hono.js";
import { MemoryConnector, Sessions } from "../../pkg/node.js";
import { SECRET, code, world } from "./support/world.mjs";

const SESSION_SECRET = SECRET;
const ofEnv = (vars) => Sessions.fromEnv({ SESSIONS: new MemoryConnector(), SESSION_SECRET, ...vars });
const ofOptions = (options) => new Sessions(new MemoryConnector(), { secret: SECRET, ...options });

/** The message of the error `config` that `action` throws. */
function refused(action, what, expected = "config") {
  let message;
  assert.throws(action, (error) => {
    ({ message } = error);
    return code(expected)(error);
  }, what);
  return message;
}

/** The Set-Cookie lines of a first save. */
async function firstCookies(sessions) {
  const session = await sessions.load();
  session.set("a", 1);
  return (await sessions.commitHeaders(session)).getSetCookie();
}

/** An object of the class of KV namespaces. */
class Binding {}

test("variables that are numbers and booleans are taken", async () => {
  const [key] = await firstCookies(ofEnv({ SESSION_COOKIE_AGE: 900, SESSION_EXPIRE_AT_BROWSER_CLOSE: false }));
  assert.match(key, /Max-Age=900;/);
  const propagation = 5;
  assert.equal(ofEnv({ SESSION_PROPAGATION: propagation }).stalenessBound, ofOptions({ propagation }).stalenessBound);
  const memory = new MemoryConnector();
  const sessions = Sessions.fromEnv({ SESSIONS: memory, SESSION_SECRET, SESSION_SEAL: false });
  const session = await sessions.load();
  session.set("plain", "to be seen");
  await sessions.commitHeaders(session);
  const { keys } = await memory.list();
  const [record] = await memory.read([keys[0].name]);
  assert.match(record, /to be seen/);
});

test("variables of another kind, and numbers that are not allowed, are refused by name", () => {
  for (const [value, words] of [
    [900.5, /"900.5" is not allowed; use a whole number/],
    [-1, /"-1" is not allowed/],
    [true, /"true" is not allowed/],
    [{}, /an object is not allowed; use a whole number/],
    [Object.create(null), /an object is not allowed/],
    [[900], /an array is not allowed/],
    [null, /null is not allowed/],
    [new Binding(), /a binding is not allowed/],
    [() => {}, /a function is not allowed/],
  ]) {
    const message = refused(() => ofEnv({ SESSION_IDLE_TIMEOUT: value }), String(words));
    assert.match(message, /^SESSION_IDLE_TIMEOUT: /);
    assert.match(message, words);
  }
  assert.match(refused(() => ofEnv({ SESSION_SEAL: {} })), /^SESSION_SEAL: an object is not allowed; use true, false, 1 or 0$/);
  for (const value of [5, {}, [SECRET], true]) {
    assert.match(refused(() => ofEnv({ SESSION_SECRET: value })), /^SESSION_SECRET: it is not a string; use a string/);
  }
});

test("a misspelt variable is an error whatever its value is", () => {
  for (const value of ["900", 900, true, {}, [], null]) {
    const message = refused(() => ofEnv({ SESSION_IDLE_TIMEOUTT: value }), String(value));
    assert.equal(message, "SESSION_IDLE_TIMEOUTT: unknown setting; did you mean SESSION_IDLE_TIMEOUT?");
  }
  assert.match(refused(() => ofEnv({ SESION_SEAL: false })), /did you mean SESSION_SEAL\?/);
  assert.match(refused(() => ofEnv({ SESSION_MAX_AGE: 60 })), /SESSION_COOKIE_AGE .* SESSION_IDLE_TIMEOUT/);
  const message = refused(() => ofEnv({ SESSION_SECRET_OLD: "hunter2" }));
  assert.match(message, /^SESSION_SECRET_OLD: .*SESSION_SECRET, separated by commas/);
  assert.ok(!message.includes("hunter2"));
});

test("variables and bindings of the application are left to it", () => {
  const made = ofEnv({
    SESSION_FOO: "x",
    SESSION_STORE: new Binding(),
    SESSION_QUEUE: {},
    SESSION_LIMITS: [1],
    SESSIONS_API: null,
    // Similar to SESSION_SEAL, but not a possible value of it.
    SESSION_SEALS: new Binding(),
    OTHER: 5,
  });
  assert.ok(made instanceof Sessions);
});

test("a store that is missing because of a mistake in the settings is not what is complained about", () => {
  const objects = { idFromName() {}, get() {} };
  const env = { SESSION_SECRET: SECRET, SESSION_OBJECTS: objects };
  const said = (more, code) => refused(() => Sessions.fromEnv({ ...env, ...more }), undefined, code);
  assert.match(said({ SESSION_STORAGE: "durable_objects" }), /^SESSION_STORAGE: "durable_objects" is not allowed/);
  assert.match(said({ SESSION_STORAGE: "Memory" }), /^SESSION_STORAGE: "Memory" is not allowed/);
  assert.match(said({ SESSION_STORGE: "durable_object" }), /SESSION_STORAGE/);
  assert.match(said({}, "missing_binding"), /^SESSIONS is not bound, but SESSION_OBJECTS is: .*set SESSION_STORAGE to durable_object/);
  assert.match(said({ SESSION_OBJECTS: undefined }, "missing_binding"), /^SESSIONS is not bound: bind a KV namespace/);
  const option = (storage, code) => refused(() => new Sessions(undefined, { secret: SECRET, storage }), undefined, code);
  assert.match(option("Memory"), /^storage: "Memory" is not allowed/);
  assert.match(option("durable_object", "missing_binding"), /pass env\.SESSION_OBJECTS/);
});

test("options of a wrong type and unknown ones are refused, by the names that they were given", () => {
  for (const [options, words] of [
    [{ cookieAge: {} }, /^cookieAge: an object is not allowed; use a whole number from 1 to/],
    [{ cookieName: null }, /^cookieName: null is not allowed; use a string$/],
    [{ seal: [] }, /^seal: an array is not allowed; use true, false, 1 or 0$/],
    [{ idleTimeout: () => 5 }, /^idleTimeout: a function is not allowed; use/],
    [{ idleTimeout: "soon" }, /^idleTimeout: "soon" is not allowed; use/],
    [{ cookieSecure: false, cookieName: "__Host-x" }, /^cookieSecure: .* prefix of cookieName .*/],
    [{ keyPrefix: "ä" }, /^keyPrefix: /],
    [{ cookie: { maxAge: 60 } }, /^cookie: .* cookieName, cookieAge,/],
    [{ maxAge: 60 }, /^maxAge: .*; cookieAge limits how long a session lasts, idleTimeout how long/],
    [{ ttl: 60 }, /^ttl: .* cookieAge .* idleTimeout/],
    [{ name: "x" }, /^name: .*; use cookieName$/],
    [{ rolling: true }, /^rolling: .* idleTimeout, .* cookieAge/],
    [{ httpOnly: true }, /^httpOnly: .* always HttpOnly/],
    [{ secrets: ["x"] }, /^secrets: .* array .* secret/],
    [{ store: {} }, /^store: .* first argument/],
    [{ cookieAges: 5 }, /^cookieAges: unknown setting; did you mean cookieAge\?$/],
    [{ colour: {} }, /^colour: unknown setting$/],
  ]) {
    const message = refused(() => ofOptions(options), String(words));
    assert.match(message, words);
    assert.ok(!message.includes("SESSION_"), message);
  }
  assert.match(refused(() => ofOptions({ secret: 5 })), /^secret: it is not a string; use a string, or an array of strings$/);
  assert.match(refused(() => ofOptions({ secret: [SECRET, 5] })), /^secret: it is not a string/);
});

test("a weak secret is named as it was given, and the command that makes one works everywhere", () => {
  const why = "shorter than 32 bytes; create one with `openssl rand -base64 32` and use it unchanged";
  assert.equal(refused(() => ofOptions({ secret: "short" })), `secret: the secret is ${why}`);
  assert.equal(refused(() => ofOptions({ secret: [SECRET, "short"] })), `secret: secret 2 of 2 is ${why}`);
  assert.equal(refused(() => ofEnv({ SESSION_SECRET: "short" })), `SESSION_SECRET: the secret is ${why}`);
  for (const [make, name] of [
    [() => ofOptions({ secret: undefined }), "secret"],
    [() => ofEnv({ SESSION_SECRET: undefined }), "SESSION_SECRET"],
  ]) {
    assert.throws(make, (error) => {
      assert.ok(error.message.startsWith(`${name}: the secret is not set; `), error.message);
      assert.match(error.message, /openssl rand -base64 32/);
      return code("missing_binding")(error);
    });
  }
  ofOptions({ secret: "Lv+8s1Dcyl/rSqYz0u4yUnmvk2nWAVoC3PSDgMu1D7o=" }); // as the command prints it
});

test("a limit is named as it was given, also if it has its default", async () => {
  const deep = JSON.parse("[".repeat(65) + "]".repeat(65));
  const cases = [
    [(it) => it.set("x".repeat(257), 1), "SESSION_MAX_KEY_BYTES", "maxKeyBytes"],
    [(it) => it.set("a", deep), "SESSION_MAX_DEPTH", "maxDepth"],
    [(it) => it.set("a", "x".repeat(131_073)).save(), "SESSION_MAX_RECORD_BYTES", "maxRecordBytes"],
    [(it) => it.update(Array.from({ length: 1001 }, (_, i) => [`k${i}`, 1])).save(), "SESSION_MAX_KEYS", "maxKeys"],
  ];
  for (const [act, variable, option] of cases) {
    for (const [sessions, name, other] of [[ofEnv({}), variable, option], [ofOptions({}), option, variable]]) {
      const session = await sessions.load();
      await assert.rejects(
        async () => act(session),
        ({ message }) => message.includes(name) && !message.includes(other),
        name,
      );
    }
  }
});

test("options that fromEnv and the middleware would ignore are refused", () => {
  const env = { SESSIONS: new MemoryConnector(), SESSION_SECRET };
  for (const options of [{ idleTimeout: 900 }, { secret: SECRET }, { onEvents() {} }]) {
    const [name] = Object.keys(options);
    assert.match(refused(() => Sessions.fromEnv(env, options)), new RegExp(`no option ${name}; it takes onEvent;`));
    assert.match(refused(() => sessionMiddleware(options)), new RegExp(`no option ${name}; its options are sessions and lazy\\.`));
  }
  for (const options of [null, "x", 5, []]) refused(() => Sessions.fromEnv(env, options), String(options));
  for (const sessions of [null, {}, "x", new MemoryConnector()]) refused(() => sessionMiddleware({ sessions }));
  Sessions.fromEnv(env, { onEvent: undefined });
  Sessions.fromEnv(env, {});
  sessionMiddleware();
  sessionMiddleware({ sessions: Sessions.fromEnv(env), lazy: true });
});

test("cookieSecure: false is enough for plain http, and is warned of once", async (t) => {
  const warn = t.mock.method(console, "warn", () => {});
  const { browser } = world({ settings: { cookieSecure: false } });
  const { response } = await browser.visit((session) => session.set("a", 1));
  const lines = response.headers.getSetCookie();
  assert.deepEqual(lines.map((line) => line.split("=")[0]), ["session", "session-fresh"]);
  assert.ok(lines.every((line) => !line.includes("Secure")), lines);
  assert.equal((await browser.load()).get("a"), 1);
  world({ settings: { cookieSecure: false } });
  assert.equal(warn.mock.callCount(), 1);
  assert.match(warn.mock.calls[0].arguments[0], /^edge-session: cookieSecure is false: /);
  const [named] = await firstCookies(ofOptions({ cookieSecure: false, cookieName: "sid" }));
  assert.match(named, /^sid=/);
});

test("a stricter Cache-Control stays, a weaker one needs allowPrivateCache", async () => {
  const CDN = ["cdn-cache-control", "cloudflare-cdn-cache-control"];
  for (const [settings, weaker] of [
    [{}, "no-store"],
    [{ allowPrivateCache: true }, undefined],
  ]) {
    const { browser, sessions } = world({ settings });
    await browser.ask((session) => session.set("a", 1));
    const answer = async (own, action = (session) => session.get("a")) => {
      const headers = own === undefined ? {} : { "cache-control": own };
      const handler = (session) => {
        action(session);
        return new Response("page", { headers });
      };
      const response = await sessions.handle(browser.request(), null, handler);
      for (const name of CDN) assert.equal(response.headers.get(name), "no-store");
      assert.match(response.headers.get("vary"), /Cookie/);
      return response.headers.get("cache-control");
    };
    for (const own of ["no-store", "private, no-store, max-age=0", "No-Store"]) {
      assert.equal(await answer(own), own);
      assert.equal(await answer(own, (session) => session.set("a", own)), own);
    }
    for (const own of ["private, no-cache", "max-age=60, private"]) {
      assert.equal(await answer(own), weaker ?? own);
      assert.equal(await answer(own, (session) => session.set("a", own)), "no-store", "it sets a cookie");
    }
    for (const own of [undefined, "", "no-cache", "max-age=60", "public, max-age=60", 'private="a"', "no-store, must-understand"]) {
      assert.equal(await answer(own), "no-store");
    }
    // Immutable headers.
    const redirect = await sessions.handle(browser.request(), null, (session) => {
      session.get("a");
      return Response.redirect("https://example.com/next", 303);
    });
    assert.equal(redirect.headers.get("cache-control"), "no-store");
  }
});
