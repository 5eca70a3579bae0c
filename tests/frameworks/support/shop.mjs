// What every example does, over HTTP: the same shop, whatever it is written with.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, beforeEach, test } from "node:test";

import { faultsOfTypes, files, start } from "./world.mjs";

/** What a page shows, without the marks that frameworks leave between texts. */
export function shown({ text }) {
  const plain = text.replace(/<script[\s\S]*?<\/script>/g, "").replace(/<!--[\s\S]*?-->/g, "");
  const all = (pattern) => [...plain.matchAll(pattern)].map(([, found]) => found.trim());
  return {
    title: all(/<h1[^>]*>([^<]*)</g)[0],
    user: all(/id="user"[^>]*>([^<]*)</g)[0],
    notice: all(/id="notice"[^>]*>([^<]*)</g)[0],
    items: all(/<li(?:\s[^>]*)?>([^<]*)</g),
  };
}

const names = (answer) => answer.setCookies.map((line) => line.split("=")[0]).toSorted();
const SESSION = ["__Host-session", "__Host-session-fresh"];

/**
 * Tests the example `name`.
 *
 * @param {object} options
 * @param {object} options.build    as `start` takes it
 * @param {object} [options.paths]  where forms are sent to, where that is not the path of the page
 * @param {boolean} [options.formsHavePages]  false where a form is sent to a route without a page
 * @param {(shop: object) => void} [options.more]  tests of this framework alone
 */
export function testShop(name, { build, paths = {}, formsHavePages = true, more = () => {} }) {
  const to = { cart: "/cart", login: "/login", logout: "/logout", devices: "/devices", checkout: "/checkout", ...paths };
  let world;
  before(async () => {
    world = await start(name, build);
  });
  after(() => world?.stop());
  beforeEach(() => world.setDown(false));

  const send = (browser, path, fields = {}) =>
    browser.fetch(path, {
      method: "POST",
      headers: { "Content-Type": "application/x-www-form-urlencoded", Accept: "text/html" },
      body: String(new URLSearchParams(fields)),
    });
  const get = (browser, path) => browser.fetch(path, { headers: { Accept: "text/html" } });
  const shop = {
    get world() {
      return world;
    },
    send,
    get,
    add: (browser, item) => send(browser, to.cart, { item }),
    login: (browser, user) => send(browser, to.login, { user }),
    see: async (browser, path = "/") => {
      const answer = await get(browser, path);
      return { status: answer.status, ...shown(answer) };
    },
  };
  const { add, login, see } = shop;

  /** A page that stands for the one that was asked for. */
  function assertError(answer, status, isPage = true) {
    assert.equal(answer.status, status, answer.text.slice(0, 500));
    assert.deepEqual(answer.setCookies, []);
    assert.match(answer.headers["cache-control"], /no-store/);
    if (isPage) assert.equal(shown(answer).title, "This did not work");
    else assert.equal(answer.headers["content-type"], "application/problem+json");
  }

  test("a cart from before the login stays, and what is said after a redirect is said once", async (t) => {
    t.diagnostic(`${name}: ${world.size}`);
    const ada = world.browser();
    assert.deepEqual(await see(ada), { status: 200, title: "Cart", user: "nobody", notice: undefined, items: [] });
    assert.deepEqual(ada.names, [], "a visitor who did nothing gets no cookie");
    const added = await add(ada, "pear");
    assert.equal(added.status, 303);
    assert.deepEqual(names(added), SESSION);
    assert.deepEqual((await see(ada)).items, ["pear"]);

    const before = ada.get("__Host-session").value;
    const loggedIn = await login(ada, "ada");
    assert.deepEqual([loggedIn.status, new URL(loggedIn.headers.location, world.origin).pathname], [303, "/"]);
    assert.deepEqual(names(loggedIn), SESSION, "a redirect that was thrown carries the cookies");
    assert.notEqual(ada.get("__Host-session").value, before, "a login gets a new key");
    const first = await get(ada, "/");
    assert.deepEqual(shown(first), { title: "Cart", user: "ada", notice: "Welcome, ada", items: ["pear"] });
    assert.match(first.headers["cache-control"], /no-store/);
    assert.match(first.headers.vary, /Cookie/i);
    assert.equal((await see(ada)).notice, undefined);

    assert.equal((await send(ada, to.logout)).status, 303);
    assert.deepEqual(await see(ada), { status: 200, title: "Cart", user: "nobody", notice: "You are logged out", items: [] });
    assert.deepEqual(ada.refused, []);
  });

  test("a form of another site logs nobody in", async () => {
    const visitor = world.browser();
    const headers = { "Content-Type": "application/x-www-form-urlencoded", Origin: "https://elsewhere.example" };
    const answer = await visitor.fetch(to.login, { method: "POST", from: "cross-site", headers, body: "user=mallory" });
    assert.ok(answer.status >= 400 && answer.status < 500, `${answer.status}: ${answer.text.slice(0, 500)}`);
    assert.deepEqual([answer.setCookies, (await see(visitor)).user], [[], "nobody"]);
  });

  test("an answer whose headers cannot be changed carries the cookies all the same", async () => {
    const visitor = world.browser();
    await add(visitor, "pear");
    const answer = await send(visitor, to.checkout);
    assert.equal(answer.status, 303);
    assert.deepEqual(names(answer).includes("__Host-session-fresh"), true);
    const { items, notice } = await see(visitor);
    assert.deepEqual([items, notice], [[], "Thank you for your order"]);
  });

  test("a user sees their devices and ends the other ones", async () => {
    const [here, there] = [world.browser(), world.browser()];
    await login(here, "grace");
    await login(there, "grace");
    assert.equal((await see(here, "/devices")).items.length, 2);
    assert.equal((await send(here, to.devices)).status, 303);
    assert.equal((await see(here)).notice, "The other devices are logged out");
    assert.equal((await see(here)).user, "grace");
    assert.equal((await see(there)).user, "nobody");
    assert.equal((await get(world.browser(), "/devices")).status, 303, "a visitor is sent to the login");
  });

  test("middleware that runs twice commits once", async () => {
    const visitor = world.browser();
    await login(visitor, "ida");
    const { result, counts } = await world.counted(() => get(visitor, to.twice ?? "/devices"));
    assert.equal(result.status, 200);
    const set = names(result);
    assert.deepEqual(set, [...new Set(set)], "each cookie is set once");
    assert.ok(counts.puts <= 1, `${counts.puts} puts`);
  });

  test("a static page costs no request of the Worker", async () => {
    const visitor = world.browser();
    await login(visitor, "ada");
    const { result, counts } = await world.counted(async () => {
      const answer = await get(visitor, "/about");
      return answer.status >= 300 && answer.status < 400 ? get(visitor, answer.headers.location) : answer;
    });
    assert.deepEqual([result.status, shown(result).title, result.setCookies], [200, "About", []]);
    assert.deepEqual(counts, { requests: 0, reads: 0, puts: 0 });
  });

  test("a page that streams has its cookie before its body, and what it stored is stored", async () => {
    const visitor = world.browser();
    await login(visitor, "ada");
    const page = await get(visitor, "/orders");
    assert.equal(page.status, 200);
    assert.match(page.text, /The first order of ada/);
    assert.deepEqual(names(page), ["__Host-session-fresh"]);
    assert.deepEqual((await see(visitor)).items, ["ordered"]);
  });

  test("a page that needs a recent login answers 401 to an older one", async () => {
    const visitor = world.browser();
    await login(visitor, "ada");
    assert.deepEqual((await see(visitor, "/payment")).user, "ada");
    await world.advance(301);
    assertError(await get(visitor, "/payment"), 401);
    assert.equal((await see(visitor)).user, "ada", "the session itself goes on");
    await login(visitor, "ada");
    assert.equal((await see(visitor, "/payment")).status, 200);
    assertError(await get(world.browser(), "/payment"), 401);
  });

  test("an outage is answered with 503 and Retry-After, on the application's own page", async () => {
    const visitor = world.browser();
    await login(visitor, "ada");
    await world.advance(60);
    await world.setDown(true);
    for (const [answer, isPage] of [[await get(visitor, "/"), true], [await add(visitor, "apple"), formsHavePages]]) {
      assertError(answer, 503, isPage);
      assert.equal(answer.headers["retry-after"], "5");
    }
    const { status, title } = await see(visitor, "/login");
    assert.deepEqual([status, title], [200, "Log in"], "a page that does not use the session is there");
    await world.setDown(false);
    assert.equal((await see(visitor)).user, "ada");
  });

  test("what is not there is 404 and stores nothing", async () => {
    const visitor = world.browser();
    await login(visitor, "ada");
    const { result, counts } = await world.counted(() => get(visitor, "/none"));
    assert.equal(result.status, 404);
    assert.equal(counts.puts, 0);
  });

  test("the types of the adapter fit the framework's", async () => {
    assert.equal(await faultsOfTypes(name), "");
  });

  test("nothing of the package is in what browsers get", () => {
    const all = files(world.assets);
    const ignored = all.includes(".assetsignore") ? readFileSync(join(world.assets, ".assetsignore"), "utf8").split("\n") : [];
    const found = all.filter((file) => {
      if (ignored.includes(file)) return false;
      const text = readFileSync(join(world.assets, file), "latin1");
      return /edge-session|__Host-|SESSION_SECRET|\0asm/.test(text) || file.endsWith(".wasm");
    });
    assert.deepEqual(found, []);
  });

  more(shop);
}
