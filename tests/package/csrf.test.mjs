// csrfToken and verifyCsrf: under every outcome, without storage operations, and only for the browser and
// user that a token was made for. The same tests in Rust: tests/security_forms.rs.

import assert from "node:assert/strict";
import { test } from "node:test";

import { MemoryConnector, SessionStore, Sessions } from "../../pkg/node.js";
import * as format from "../wire/format.mjs";
import { Browser, SECRET, code, world } from "./support/world.mjs";

const KEY = "__Host-session";
const FORM = "__Host-session-form";
const NOTHING = { reads: 0, keysRead: 0, puts: 0, deletes: 0, lists: 0 };
const WINDOW = 102_000;

const valueOf = (cookie, name) =>
  cookie
    ?.split("; ")
    .find((pair) => pair.startsWith(`${name}=`))
    ?.slice(name.length + 1);

/** A store in memory that counts operations, and can fail or lag like a location that sees no other writes. */
class Store extends MemoryConnector {
  fails = false;
  lags = false;

  async read(keys, options) {
    const values = await super.read(keys, options);
    if (this.fails) throw new Error("the test says so");
    return this.lags ? keys.map(() => null) : values;
  }

  async put(...args) {
    if (this.fails) throw new Error("the test says so");
    return super.put(...args);
  }
}

/** The same store, seen from another isolate. */
const elsewhere = (store) => ({
  kind: "memory",
  read: (...args) => store.read(...args),
  put: (...args) => store.put(...args),
  delete: (...args) => store.delete(...args),
});

class Scene {
  before = "";

  constructor(settings = {}) {
    const { clock } = world();
    const store = new Store({ clock });
    Object.assign(this, { clock, store, settings });
    this.move();
    this.browser = new Browser(this.sessions, clock);
  }

  /** Continues in another isolate. */
  move() {
    this.connector = elsewhere(this.store);
    this.sessions = new Sessions(this.connector, { secret: SECRET, clock: this.clock, disableWarnings: true, ...this.settings });
  }

  visit(page) {
    return this.browser.visit(page, { sessions: this.sessions });
  }

  get cookie() {
    return this.before + (this.browser.cookie ?? "");
  }

  /** The result of `page` for a loaded session, and the response. Only the load may use the store. */
  async ask(page) {
    const headers = this.cookie ? { cookie: this.cookie } : {};
    let result;
    const response = await this.sessions.handle(new Request("https://x/", { headers }), null, (session) => {
      this.store.resetOperations();
      result = page(session);
      return new Response("page");
    });
    assert.equal(response.status, 200);
    assert.deepEqual(this.store.operations, NOTHING);
    this.browser.keep(response);
    return result;
  }

  show() {
    return this.ask((session) => {
      const { sessionKey } = session;
      const token = session.csrfToken();
      assert.deepEqual([session.sessionKey, session.modified, session.refusal], [sessionKey, false, undefined]);
      return token;
    });
  }

  /** The error code for a token; undefined if it is accepted. */
  verify(token) {
    return this.ask((session) => {
      try {
        return void session.verifyCsrf(token);
      } catch (error) {
        return error.code;
      }
    });
  }
}

const visitor = (session) => session.set("a", 1);
const member = (session) => {
  session.bind("ada", { keep: false });
  session.set("a", 1);
};

/** The browser has the cookies from before `change`. */
async function leftBehind(scene, begin, change) {
  await scene.visit(begin);
  const old = scene.browser.clone();
  await scene.visit(change);
  scene.browser = old;
}

const damaged = (record) => async (scene) => {
  await scene.visit(visitor);
  const { keys } = await scene.store.list({ prefix: "s." });
  await scene.store.put(keys[0].name, record, {});
  scene.browser.keep(new Response(null, { headers: { "set-cookie": `${KEY}-fresh=; Max-Age=0; Path=/; Secure` } }));
};

/** Every outcome: the settings, and the preparation. */
const SCENES = {
  new: ["new", () => {}],
  loaded: ["loaded", (scene) => scene.visit(visitor)],
  "loaded, a user's": ["loaded", (scene) => scene.visit(member)],
  rotated: ["rotated", (scene) => leftBehind(scene, visitor, (it) => it.cycleKey())],
  "rotated, a user's": ["rotated", (scene) => leftBehind(scene, member, (it) => it.cycleKey())],
  revoked: ["revoked", (scene) => leftBehind(scene, member, (it) => it.destroy())],
  pending: ["pending", async (scene) => {
    await scene.visit(visitor);
    scene.store.lags = true;
  }],
  stale: ["stale", async (scene) => {
    await scene.visit(member);
    const { keys } = await scene.store.list({ prefix: "s." });
    const [old] = await scene.store.read([keys[0].name], {});
    scene.clock.advance(3_600_000);
    await scene.visit((it) => it.set("a", 2));
    await scene.store.put(keys[0].name, old, {});
  }],
  gone: ["gone", async (scene) => {
    await scene.visit(member);
    scene.store.lags = true;
    scene.clock.advance(WINDOW);
  }],
  expired: ["expired", async (scene) => {
    await scene.visit(member);
    await scene.visit((it) => it.setExpiry(60));
    scene.clock.advance(61_000);
  }],
  rejected: ["rejected", (scene) => (scene.before = `${KEY}=forged; `)],
  "header too large": ["rejected", async (scene) => {
    await scene.visit(member);
    scene.before = `x=${"x".repeat(70_000)}; `;
  }],
  ambiguous: ["ambiguous", async (scene) => {
    await scene.visit(member);
    scene.before = `${KEY}=${valueOf(scene.browser.cookie, KEY)}; `;
    scene.browser = new Browser(scene.sessions, scene.clock);
    await scene.visit(member);
  }],
  corrupt: ["corrupt", damaged("not a record")],
  "unavailable, another format": ["unavailable", damaged("_wAAAAAA")],
  unavailable: ["unavailable", async (scene) => {
    await scene.visit(member);
    scene.store.fails = true;
  }],
};

test("js_a_form_is_shown_and_taken_back_under_every_outcome", async () => {
  for (const [name, [outcome, begin]] of Object.entries(SCENES)) {
    const scene = new Scene({ overlay: false });
    await begin(scene);
    scene.move();
    assert.equal((await scene.sessions.load(new Request("https://x/", { headers: { cookie: scene.cookie } }))).outcome, outcome, name);
    const key = valueOf(scene.browser.cookie, KEY);
    const first = await scene.show();
    const form = valueOf(scene.browser.cookie, FORM);
    const second = await scene.show();
    assert.notEqual(first, second);
    assert.equal(valueOf(scene.browser.cookie, KEY), key, name);
    assert.equal(valueOf(scene.browser.cookie, FORM), form, `${name}: set once`);
    for (const token of [first, second]) assert.equal(await scene.verify(token), undefined, name);
    const other = await new Scene().show();
    const refused = ["pending", "unavailable"].includes(outcome) ? outcome : "invalid_value";
    for (const token of [other, "", "odd", null, first.slice(1)]) assert.equal(await scene.verify(token), refused, name);
  }
});

test("js_crawlers_store_nothing", async () => {
  const { sessions, memory } = world();
  for (let i = 0; i < 1000; i += 1) {
    const response = await sessions.handle(new Request("https://x/"), null, (session) => {
      const token = session.csrfToken();
      assert.deepEqual([session.modified, session.needsUpdate(), session.sessionKey], [false, true, null]);
      return new Response(token);
    });
    const [cookie, ...others] = response.headers.getSetCookie();
    assert.match(cookie, /^__Host-session-form=[\w-]{71}; Path=\/; Secure; HttpOnly; SameSite=Lax$/);
    assert.deepEqual(others, []);
    assert.equal(response.headers.get("cache-control"), "no-store");
  }
  assert.deepEqual(memory.operations, NOTHING);
});

test("js_a_form_before_a_login_is_void_after_it", async () => {
  const { browser } = world();
  const before = await browser.ask((session) => session.csrfToken());
  const old = browser.clone();
  await browser.ask((session) => {
    session.verifyCsrf(before);
    session.bind("ada");
    assert.throws(() => session.verifyCsrf(before), code("invalid_value"));
  });
  assert.equal(valueOf(browser.cookie, FORM), undefined, "the login took it away");
  // The browser may still have it.
  browser.keep(new Response(null, { headers: { "set-cookie": `${FORM}=${valueOf(old.cookie, FORM)}; Path=/; Secure` } }));
  const own = await browser.ask((session) => {
    assert.throws(() => session.verifyCsrf(before), code("invalid_value"));
    return session.csrfToken();
  });
  await browser.ask((session) => session.verifyCsrf(own));
  // The response to the logout shows the next login form.
  const next = await browser.ask(async (session) => {
    await session.destroy();
    assert.throws(() => session.verifyCsrf(own), code("invalid_value"));
    return session.csrfToken();
  });
  await browser.ask((session) => {
    session.verifyCsrf(next);
    assert.throws(() => session.verifyCsrf(own), code("invalid_value"));
  });
});

// A sibling host has set its form cookie in a user's browser.
test("js_a_form_cookie_never_stands_for_a_user", async () => {
  const attacker = new Scene();
  const token = await attacker.show();
  const form = `${FORM}=${valueOf(attacker.browser.cookie, FORM)}; `;
  const outcomes = { "loaded, a user's": "invalid_value", "rotated, a user's": "invalid_value", stale: "invalid_value", "header too large": "invalid_value", ambiguous: "invalid_value", unavailable: "unavailable" };
  for (const [name, refused] of Object.entries(outcomes)) {
    const scene = new Scene({ overlay: false });
    await SCENES[name][1](scene);
    scene.move();
    scene.before += form;
    assert.equal(await scene.verify(token), refused, name);
    const own = await scene.show();
    scene.before = scene.before.replace(form, "");
    assert.equal(await scene.verify(own), undefined, name);
  }
  for (const change of [(it) => it.create(), (it) => it.destroy(), (it) => it.flush()]) {
    const scene = new Scene();
    await scene.visit(member);
    const request = new Request("https://x/", { headers: { cookie: form + scene.cookie } });
    const session = await scene.sessions.load(request);
    await change(session);
    assert.throws(() => session.verifyCsrf(token), code("invalid_value"));
  }
});

test("js_a_form_that_is_sent_a_second_time_is_good_though_the_first_was_a_login", async () => {
  const scene = new Scene();
  await scene.visit(visitor);
  const token = await scene.show();
  const old = scene.browser.clone();
  const login = (session) => {
    session.verifyCsrf(token);
    session.bind("ada");
    assert.throws(() => session.verifyCsrf(token), code("invalid_value"));
  };
  await scene.visit(login);
  scene.browser = old;
  await scene.visit(login);
  assert.equal(await scene.verify(token), "invalid_value");
});

test("js_a_page_with_a_form_may_begin_a_session", async () => {
  const { browser } = world();
  const token = await browser.ask((session) => {
    session.set("cart", 1);
    const token = session.csrfToken();
    assert.equal(session.modified, true);
    return token;
  });
  await browser.ask((session) => {
    assert.equal(session.get("cart"), 1);
    session.verifyCsrf(token);
  });
});

test("js_no_form_cookie_where_cookies_may_have_been_withheld", async () => {
  const { sessions } = world();
  const request = (method, site) => new Request("https://x/", { method, headers: { "sec-fetch-site": site } });
  const cookies = async (request, page) => (await sessions.handle(request, null, page)).headers.getSetCookie().length;
  const refuses = (session) => {
    assert.throws(() => session.csrfToken(), (error) => code("invalid_value")(error) && /another site/.test(error.message));
    return new Response("page");
  };
  assert.equal(await cookies(request("POST", "cross-site"), refuses), 0);
  const shows = (session) => new Response(session.csrfToken());
  assert.equal(await cookies(request("POST", "same-origin"), shows), 1);
  assert.equal(await cookies(request("GET", "cross-site"), shows), 1);
});

test("js_a_form_needs_a_load_before_and_no_commit", async () => {
  const { browser, sessions, memory } = world();
  await browser.ask((session) => session.set("a", 1));
  for (const request of [new Request("https://x/"), browser.request()]) {
    memory.resetOperations();
    await sessions.handleLazy(request, null, async (session) => {
      assert.throws(() => session.csrfToken(), code("not_loaded"));
      assert.throws(() => session.verifyCsrf("odd"), code("not_loaded"));
      await session.load();
      session.verifyCsrf(session.csrfToken());
      return new Response("page");
    });
    assert.equal(memory.operations.puts, 0);
    const session = await sessions.load(request);
    const token = session.csrfToken();
    const headers = await sessions.commitHeaders(session);
    assert.equal(headers.getSetCookie().length, request.headers.has("cookie") ? 0 : 1);
    assert.throws(() => session.csrfToken(), code("committed"));
    assert.throws(() => session.verifyCsrf(token), code("committed"));
  }
  // A session without a request has no cookies.
  const session = new SessionStore(memory, { secret: SECRET }, null);
  await session.load();
  session.verifyCsrf(session.csrfToken());
});

test("js_the_answer_to_an_error_has_the_form_cookie", async () => {
  const { sessions, memory } = world();
  const answers = [
    (session) => new Response(session.csrfToken(), { status: 500 }),
    (session) => {
      session.set("a", 1);
      session.csrfToken();
      throw session.get("a");
    },
  ];
  const [first, second] = answers;
  const response = await sessions.handle(new Request("https://x/"), null, first);
  assert.match(response.headers.get("set-cookie"), /^__Host-session-form=/);
  await assert.rejects(sessions.handle(new Request("https://x/"), null, second), (thrown) => thrown === 1);
  assert.equal(memory.operations.puts, 0);
});

test("js_a_form_cookie_is_what_the_wire_format_says", async () => {
  const scene = new Scene();
  const secret = new format.Secret(SECRET, { kind: "memory" });
  const token = await scene.show();
  const nonce = format.openFormCookie(secret, FORM, valueOf(scene.browser.cookie, FORM));
  assert.equal(token, secret.formToken(nonce, Buffer.from(token, "base64url").subarray(0, 16)));
  // A cookie of the second implementation is accepted, if it was made for this name.
  for (const [name, wanted] of [[FORM, undefined], [KEY, "invalid_value"]]) {
    const cookie = format.formCookie(secret, name, Buffer.alloc(32, 7));
    scene.browser = new Browser(scene.sessions, scene.clock);
    scene.browser.keep(new Response(null, { headers: { "set-cookie": `${FORM}=${cookie}; Path=/; Secure` } }));
    assert.equal(await scene.verify(secret.formToken(Buffer.alloc(32, 7), Buffer.alloc(16, 1))), wanted);
  }
});

test("js_a_logout_behind_a_header_over_its_limits_ends_the_session", async () => {
  const scene = new Scene();
  await scene.visit(member);
  const { cookie } = scene.browser;
  const headers = { cookie: `x=${"x".repeat(70_000)}; ${cookie}` };
  await scene.sessions.handle(new Request("https://x/", { headers }), null, async (session) => {
    await session.destroy();
    return new Response("bye");
  });
  scene.move();
  assert.equal((await scene.sessions.load(cookie)).outcome, "revoked");
});
