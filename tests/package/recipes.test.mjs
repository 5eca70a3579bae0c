// docs/recipes.md: what it shows are the files of examples/recipes, and each of them runs here. The Rust
// of that folder runs in tests/recipes.rs.

import assert from "node:assert/strict";
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "esbuild";

import { MemoryConnector, Sessions } from "../../pkg/node.js";
import { testWorld } from "../../pkg/testing.js";

const root = fileURLToPath(new URL("../../", import.meta.url));
const page = join(root, "docs/recipes.md");
const folder = join(root, "examples/recipes");
// Inside the repository, so that external modules are found.
const out = join(root, "target", "recipes");

mkdirSync(out, { recursive: true });
// A hook `after` of the file could run before its last test, because of the `await` below.
process.on("exit", () => rmSync(out, { recursive: true, force: true }));
// The recipe that is tests itself: they run as a part of this file.
await recipe("tests");

test("docs/recipes.md shows every file of examples/recipes, as it is", () => {
  let text = readFileSync(page, "utf8");
  const shown = [];
  const block = /^(\[[\w.-]+\]\(\.\.\/examples\/recipes\/([\w.-]+)\):\n\n```(?:js|rust)\n)([^]*?)^```$/gm;
  text = text.replaceAll(block, (_all, head, name, code) => {
    const file = readFileSync(join(folder, name), "utf8");
    shown.push(name);
    if (process.env.EDGE_SESSION_UPDATE !== "1") assert.equal(code, file, `${name}: EDGE_SESSION_UPDATE=1 writes the block`);
    return `${head}${file}\`\`\``;
  });
  assert.deepEqual(shown.sort(), readdirSync(folder).sort());
  const code = [...text.matchAll(/^```(?:js|rust)$/gm)];
  assert.equal(code.length, shown.length, "a block of code does not name its file");
  if (process.env.EDGE_SESSION_UPDATE === "1") writeFileSync(page, text);
});

// The Workers of the recipes

/** The module of a recipe, with this package as `edge-session`. */
async function recipe(name) {
  const [main, testing] = ["node.js", "testing.js"].map((file) => join(root, "pkg", file));
  const outfile = join(out, `${name}.mjs`);
  await build({
    entryPoints: [join(folder, `${name}.mjs`)],
    outfile,
    bundle: true,
    format: "esm",
    platform: "neutral",
    alias: { "edge-session/testing": testing, "edge-session": main },
    external: ["node:*", main, testing],
    logLevel: "warning",
  });
  return import(pathToFileURL(outfile));
}

/** A world whose Worker is a recipe, and a browser: `get` and `post` resolve to the response. */
async function start(name, bindings = {}, settings = {}) {
  const { default: worker } = await recipe(name);
  const world = testWorld({ disableWarnings: true, ...settings });
  Object.assign(world.env, bindings);
  return { world, visitor: (browser) => visitor(worker, browser ?? world.browser()) };
}

function visitor(worker, browser) {
  const send = (method, path, body, headers = {}) => browser.fetch(worker, path, { method, body, headers });
  return {
    browser,
    get: (path = "/") => send("GET", path),
    text: async (path = "/") => (await send("GET", path)).text(),
    post: (path, body = "", headers) => send("POST", path, typeof body === "object" ? new URLSearchParams(body) : body, headers),
    delete: (path) => send("DELETE", path),
  };
}

const tokenOf = (html) => html.match(/name="csrf" value="([^"]+)"/)[1];

test("login: limited by address and by name before the password is checked, and with a new key", async () => {
  const asked = [];
  const counts = new Map();
  const LOGIN_LIMITER = {
    async limit({ key }) {
      counts.set(key, (counts.get(key) ?? 0) + 1);
      return { success: counts.get(key) <= 3 };
    },
  };
  const ACCOUNTS = {
    async verify(name, password) {
      asked.push(name);
      return name === "ada" && password === "right" ? "u1" : null;
    },
  };
  const { world, visitor } = await start("login", { LOGIN_LIMITER, ACCOUNTS });
  const tried = async (at, name, password, address) => {
    const csrf = tokenOf(await at.text("/login"));
    return (await at.post("/login", { csrf, name, password }, { "cf-connecting-ip": address })).status;
  };
  const ada = visitor();
  await ada.browser.handle((session) => session.set("cart", ["apple"]));
  const planted = ada.browser.copy();
  assert.equal(await tried(ada, "Ada", "wrong", "192.0.2.1"), 401);
  assert.equal(await tried(ada, "Ada", "right", "192.0.2.1"), 303);
  assert.deepEqual(await ada.browser.handle(({ owner, data }) => [owner, data.cart]), ["u1", ["apple"]]);
  // A key from before the login shows nothing of the login.
  assert.equal(await planted.handle((session) => session.owner), null);

  // By name: from anywhere. By address: whatever the name.
  assert.equal(await tried(visitor(), "ADA", "guess", "192.0.2.2"), 401);
  assert.equal(await tried(visitor(), "ada", "right", "192.0.2.3"), 429);
  for (const name of ["b", "c", "d"]) assert.equal(await tried(visitor(), name, "guess", "192.0.2.9"), 401);
  assert.equal(await tried(visitor(), "e", "guess", "192.0.2.9"), 429);
  assert.deepEqual(asked, ["ada", "ada", "ada", "b", "c", "d"], "no password is checked after the limit");

  // The form of another site logs nobody in.
  const form = { csrf: tokenOf(await visitor().text("/login")), name: "ada", password: "right" };
  assert.equal((await visitor().post("/login", form)).status, 422);
  assert.equal((await world.sessions.list("u1")).length, 1);
});

test("remember me: for 30 days and through a restart, or until the browser closes", async () => {
  const { world, visitor } = await start("remember-me");
  const [remembered, other, idle] = [visitor(), visitor(), visitor()];
  await remembered.post("/login", { name: "ada", remember: "on" });
  await other.post("/login", { name: "bob" });
  await idle.post("/login", { name: "eve" });
  for (const { browser } of [remembered, other]) browser.close();
  assert.deepEqual([await remembered.text(), await other.text()], ["ada", "stranger"]);
  world.advance({ days: 1 });
  assert.equal(await idle.text(), "stranger", "the idle time of the settings");
  world.advance({ days: 27 });
  assert.equal(await remembered.text(), "ada");
  const busy = remembered.browser.copy();
  world.advance({ days: 2 });
  assert.equal(await visitor(busy).text(), "stranger", "the hard end");

  // A login without the box takes back what one with it has chosen.
  const ada = visitor();
  await ada.post("/login", { name: "ada", remember: "on" });
  await ada.post("/login", { name: "ada" });
  ada.browser.close();
  assert.equal(await ada.text(), "stranger");
});

test("step-up: no payment without a recent login, and one payment for an order", async () => {
  const charged = [];
  const BANK = { charge: async (order) => void charged.push(order) };
  const ACCOUNTS = { isPassword: async (user, password) => user === "ada" && password === "right" };
  const { world, visitor } = await start("step-up", { BANK, ACCOUNTS });
  const ada = visitor();
  const csrf = () => ada.text();
  const to = (response) => response.headers.get("location") ?? response.status;
  await ada.browser.handle((session) => {
    session.bind("ada");
    session.set("order", { id: "o1", amount: 900 });
  });
  const old = await csrf();
  world.advance({ minutes: 6 });
  assert.equal(to(await ada.post("/pay", { csrf: await csrf() })), "/confirm");
  assert.equal(to(await ada.post("/confirm", { csrf: await csrf(), password: "wrong" })), 401);
  assert.equal(to(await ada.post("/pay", { csrf: await csrf() })), "/confirm");
  assert.deepEqual(charged, []);
  const { key, stolen } = { key: await ada.browser.handle((session) => session.sessionKey), stolen: ada.browser.copy() };
  assert.equal(to(await ada.post("/confirm", { csrf: await csrf(), password: "right" })), "/pay");
  assert.notEqual(await ada.browser.handle((session) => session.sessionKey), key);
  await assert.rejects(stolen.handle((session) => session.requireRecentAuth(300)), { code: "reauth_required" });
  assert.equal(to(await ada.post("/pay", { csrf: "" })), 422);
  assert.equal(to(await ada.post("/pay", { csrf: await csrf() })), "/receipt");
  assert.deepEqual(charged, [{ id: "o1", amount: 900, user: "ada" }]);
  assert.equal(to(await visitor().post("/confirm", { csrf: old, password: "right" })), 422);
});

test("devices: each can be ended, all others too, and no other user's", async () => {
  const { world, visitor } = await start("devices");
  const login = async (user) => {
    const device = visitor();
    await device.browser.handle((session) => session.bind(user));
    return device;
  };
  const [laptop, phone, tablet, bob] = [await login("ada"), await login("ada"), await login("ada"), await login("bob")];
  const shown = async (device) => (await device.get("/devices")).json();
  const { csrf, devices } = await shown(laptop);
  assert.deepEqual([devices.length, devices.filter(({ isThis }) => isThis).length], [3, 1]);

  const [foreign] = await world.sessions.list("bob");
  assert.equal((await laptop.post("/devices", { csrf, key: foreign.key })).status, 404);
  assert.equal((await laptop.post("/devices", { csrf: "", key: devices[0].key })).status, 422);
  const key = await phone.browser.handle((session) => session.sessionKey);
  assert.equal((await laptop.post("/devices", { csrf, key })).status, 303);
  assert.equal((await phone.get("/devices")).headers.get("location"), "/login");
  assert.equal((await shown(tablet)).devices.length, 2);
  assert.equal((await laptop.post("/devices", { csrf, others: "" })).status, 303);
  assert.equal((await tablet.get("/devices")).status, 303);
  assert.deepEqual((await shown(laptop)).devices.map(({ isThis }) => isThis), [true]);
  assert.equal((await shown(bob)).devices.length, 1);
});

test("cart: it comes along with the login, joins that of the account, and stays with its user", async () => {
  const CARTS = { get: async (user) => (user === "ada" ? { pear: 2, apple: 1 } : null) };
  const { visitor } = await start("cart", { CARTS });
  const browser = visitor();
  const answer = async (response) => (await response).json();
  await browser.post("/cart?sku=apple");
  await browser.post("/cart?sku=apple");
  assert.deepEqual(await answer(browser.post("/login", "ada")), { pear: 2, apple: 2 });
  assert.deepEqual(await answer(browser.get()), { pear: 2, apple: 2 });
  // Bob logs in on the same browser without a logout before.
  assert.deepEqual(await answer(browser.post("/login", "bob")), {});
  await browser.post("/cart?sku=plum");
  await browser.browser.handle((session) => session.set("theme", "dark"));
  assert.deepEqual(await answer(browser.post("/logout")), {});
  assert.deepEqual(await browser.browser.handle(({ owner, data }) => [owner, { ...data }]), [null, { theme: "dark" }]);
});

test("flash: shown once, on its own page, as text", async () => {
  const { visitor } = await start("flash");
  const { post, text } = visitor();
  const response = await post("/profile", { name: "<b>Ada</b>" });
  assert.deepEqual([response.status, response.headers.get("location")], [303, "/profile"]);
  await text("/other");
  assert.equal(await text("/profile"), '<p role="status">Saved, &#60;b&#62;Ada&#60;/b&#62;.</p>');
  assert.equal(await text("/profile"), '<p role="status"></p>');
});

test("two apps: a customer 7 and an employee 7 are different users", async () => {
  const { world, visitor } = await start("two-apps", { STAFF_SECRET: crypto.randomUUID() });
  const browser = visitor();
  await browser.post("/login", "7");
  await browser.post("/staff/login", "7");
  assert.deepEqual([await browser.text("/"), await browser.text("/staff")], ["7", "7"]);
  assert.deepEqual(world.store.keys.map((key) => key.split(":")[0]).sort(), ["shop", "staff"]);
  await browser.delete("/");
  assert.deepEqual([await browser.text("/"), await browser.text("/staff")], ["stranger", "7"]);
  // The cookie of one is nobody in the other.
  const swapped = Object.entries(browser.browser.cookies).find(([name]) => name === "__Host-staff")[1];
  const { default: worker } = await recipe("two-apps");
  const request = new Request("https://example.com/", { headers: { cookie: `__Host-shop=${swapped}` } });
  assert.equal(await (await worker.fetch(request, world.env, { waitUntil() {} })).text(), "stranger");
  // One prefix for both is the mistake that this avoids.
  const one = ["__Host-a", "__Host-b"].map((cookieName) => new Sessions(world.store, { secret: world.env.SESSION_SECRET, cookieName }));
  for (const sessions of one) {
    const session = await sessions.load();
    session.bind("7");
    await sessions.commitHeaders(session);
  }
  assert.equal((await one[0].list("7")).length, 2);
});

test("other store: sessions move with their data and their login, each once", async () => {
  const { world, visitor } = await start("other-store");
  world.env.SESSION_OBJECTS = MemoryConnector.strong({ clock: world.clock });
  const ada = visitor();
  // `handle` is the application before the change.
  await ada.browser.handle((session) => {
    session.bind("ada");
    session.set("cart", ["apple"]);
  });
  const stolen = ada.browser.copy();
  world.store.outage();
  // Its copy in a cookie and the isolate's memory would answer in an outage.
  ada.browser.removeCookie("__Host-session-fresh");
  world.advance({ minutes: 1 });
  assert.equal((await ada.get()).status, 503);
  world.store.recover();
  assert.equal(await ada.text(), "hello ada");
  const now = new Sessions(world.env.SESSION_OBJECTS, { secret: world.env.SESSION_SECRET, cookieName: "__Host-s2" });
  const moved = await now.load(ada.browser.request());
  assert.deepEqual([moved.owner, { ...moved.data }], ["ada", { cart: ["apple"], moved: true }]);
  moved.requireRecentAuth(300); // why the page says to ask for the password: it passes
  assert.deepEqual(Object.keys(ada.browser.cookies).filter((name) => !name.startsWith("__Host-s2")), []);
  assert.equal(await visitor(stolen).text(), "hello stranger", "the old session has ended");
  assert.equal(await visitor().text(), "hello stranger");

  // "Log out everywhere" reaches a device that has not moved yet.
  const phone = visitor();
  await phone.browser.handle((session) => session.bind("ada"));
  await ada.post("/logout-everywhere");
  assert.deepEqual([await ada.text(), await phone.text()], ["hello stranger", "hello stranger"]);
});

test("alerts: every event is counted, and the urgent ones are lines on the console", async (t) => {
  const points = [];
  const { world, visitor } = await start("alerts", { ANALYTICS: { writeDataPoint: (point) => points.push(point) } });
  const errors = t.mock.method(console, "error", () => {});
  const lines = t.mock.method(console, "log", () => {});
  const { post, get, browser } = visitor();
  await post("/");
  assert.deepEqual(points.map(({ blobs: [event] }) => event), ["created"]);
  assert.deepEqual(errors.mock.calls, []);
  world.store.outage();
  await visitor().post("/");
  const alerts = errors.mock.calls.map(({ arguments: [line] }) => JSON.parse(line));
  assert.ok(alerts.some(({ alert, reason }) => alert === "store_error" && reason === "unavailable"), JSON.stringify(alerts));
  world.store.recover();
  for (let i = 2; i < 100; i++) await get();
  const [{ arguments: [line] }] = lines.mock.calls;
  assert.deepEqual([lines.mock.callCount(), JSON.parse(line).requests], [1, 99]);
  // No secret of the session is in what was written.
  const written = JSON.stringify([points, alerts, line]);
  for (const value of Object.values(browser.cookies)) assert.ok(!written.includes(value));
});

test("alerts: a handler that looks at the session for the log makes the page private", async () => {
  const cacheable = { headers: { "cache-control": "public, max-age=60" } };
  const { browser } = (await start("alerts")).visitor();
  const plain = await browser.handle(() => new Response("hello", cacheable));
  const logged = await browser.handle(({ outcome }) => new Response(`hello ${outcome}`, cacheable));
  assert.deepEqual([plain, logged].map(({ headers }) => headers.get("cache-control")), ["public, max-age=60", "no-store"]);
});
