// What the shops do in a real browser, with the framework's own client: navigation without a new document,
// forms, the back button, and two tabs.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";

import { startBrowser } from "../../browser/support.mjs";

/** What `npm test -- frameworks` says where there is no browser. */
const isLeftOut = process.env.EDGE_SESSION_BROWSER === "none";

/** Tests of the shop in a browser. `shop` is what `testShop` hands to `more`. */
export function testInBrowser(shop) {
  let browser;
  let leftOut = 0;
  before(async () => {
    if (isLeftOut) console.log(`left out: ${leftOut} tests that need a browser`);
    // Playwright turns the back/forward cache off, which people have.
    else browser = await startBrowser({ ignoreDefaultArgs: ["--disable-back-forward-cache"] });
  });
  after(() => browser?.close());

  /** `steps` get a page of a profile of its own, and the profile. */
  const browserTest = (name, steps, options = {}) => {
    if (isLeftOut) {
      leftOut += 1;
      return;
    }
    test(`in a browser: ${name}`, async () => {
      const context = await browser.newContext({ baseURL: shop.world.origin, ...options });
      context.setDefaultTimeout(15_000);
      const faults = [];
      context.on("weberror", (error) => faults.push(error.error().stack));
      try {
        await steps(await context.newPage(), context);
        assert.deepEqual(faults, []);
      } finally {
        await context.close();
      }
    });
  };

  browserTest("a visit from the cart to the login and back is one document", async (page, context) => {
    await open(page, "/");
    await add(page, "pear");
    await shows(page, { user: "nobody", items: ["pear"] });
    await logIn(page, "ada");
    await shows(page, { user: "ada", notice: "Welcome, ada", items: ["pear"] });
    await go(page, "Payment");
    await go(page, "Cart");
    await shows(page, { user: "ada", notice: undefined, items: ["pear"] });
    await logOut(page);
    await shows(page, { user: "nobody", notice: "You are logged out", items: [] });
    assert.ok(await isSameDocument(page), "the framework's client made every request");
    for (const { httpOnly, secure, sameSite } of await context.cookies()) {
      assert.deepEqual({ httpOnly, secure, sameSite }, { httpOnly: true, secure: true, sameSite: "Lax" });
    }
  });

  browserTest(
    "the forms work without JavaScript",
    async (page) => {
      await page.goto("/");
      await add(page, "pear");
      await logIn(page, "ada");
      await shows(page, { user: "ada", notice: "Welcome, ada", items: ["pear"] });
      await go(page, "Cart");
      await shows(page, { user: "ada", notice: undefined, items: ["pear"] });
      await logOut(page);
      await shows(page, { user: "nobody", notice: "You are logged out", items: [] });
    },
    { javaScriptEnabled: false },
  );

  browserTest("after a logout, the back button of the client asks the server again", async (page) => {
    await open(page, "/");
    await logIn(page, "ada");
    await go(page, "Payment");
    await shows(page, { user: "ada" });
    await go(page, "Cart");
    await logOut(page);
    await shows(page, { user: "nobody" });
    await backTo(page, "/payment");
    // SvelteKit may load the document anew when a navigation ends in an error.
    await title(page, "This did not work");
    assert.doesNotMatch(await page.locator("body").innerText(), /ada/);
  });

  browserTest("after a logout, the back button shows no document of the login", async (page) => {
    await page.goto("/login");
    await page.locator("input[name=user]").fill("ada");
    await page.getByRole("button", { name: "Log in" }).click();
    await shows(page, { user: "ada" });
    await page.goto("/payment");
    await shows(page, { user: "ada" });
    await page.goto("/about");
    await ready(page);
    await page.evaluate(() => addEventListener("pageshow", ({ persisted }) => (globalThis.isFromCache = persisted)));
    await page.goto("/");
    await ready(page);
    await logOut(page);
    await shows(page, { user: "nobody" });
    await page.goto("/login");
    await backTo(page, "/about");
    const isFromCache = await page.evaluate(() => globalThis.isFromCache);
    assert.equal(isFromCache, true, "the browser's back/forward cache is on, and has what may be kept");
    await backTo(page, "/payment");
    await title(page, "This did not work");
    assert.doesNotMatch(await page.locator("body").innerText(), /ada/);
  });

  browserTest("a second tab sees a login and a logout at its next navigation", async (first, context) => {
    const second = await context.newPage();
    await open(first, "/");
    await open(second, "/");
    await add(second, "pear");
    await shows(second, { user: "nobody", items: ["pear"] });

    await logIn(first, "ada");
    await shows(first, { user: "ada", items: ["pear"] });
    await shows(second, { user: "nobody", items: ["pear"] });
    await go(second, "Payment");
    await shows(second, { user: "ada" });
    await go(second, "Cart");
    await shows(second, { user: "ada", items: ["pear"] });
    await add(second, "apple");
    await shows(second, { user: "ada", items: ["pear", "apple"] });

    await logOut(second);
    await shows(second, { user: "nobody", items: [] });
    await shows(first, { user: "ada", items: ["pear"] });
    // The form of the page that the first tab still shows is a form of nobody now.
    await add(first, "plum");
    await shows(first, { user: "nobody", items: ["plum"] });
    assert.ok((await isSameDocument(first)) && (await isSameDocument(second)));
    await first.getByRole("link", { name: "Payment" }).click();
    await title(first, "This did not work");
  });

  browserTest("an outage shows the application's page for errors, and is over when it is over", async (page) => {
    await open(page, "/about");
    await go(page, "Cart");
    await logIn(page, "ada");
    await shows(page, { user: "ada" });
    await shop.world.advance(60);
    await shop.world.setDown(true);
    await page.getByRole("link", { name: "Payment" }).click();
    await title(page, "This did not work");
    await shop.world.setDown(false);
    // SvelteKit sometimes loads a new document when a navigation ends in an error.
    await go(page, "Cart");
    await shows(page, { user: "ada" });
  });
}

/** Opens a document and waits until the framework's client has taken it over. */
async function open(page, path) {
  await page.goto(path);
  await ready(page);
  await page.evaluate(() => (globalThis.isSameDocument = true));
}

const isSameDocument = (page) => page.evaluate(() => globalThis.isSameDocument === true);

/** The client marks what it has taken over: React by properties, SvelteKit by its state in the history. */
const ready = (page) =>
  page.waitForFunction(() => {
    const isReact = Object.keys(document.querySelector("h1") ?? {}).some((key) => key.startsWith("__react"));
    return isReact || Object.keys(history.state ?? {}).some((key) => key.startsWith("sveltekit:"));
  });

/** Presses the back button until the page of `path` is there. */
async function backTo(page, path) {
  const isThere = () => new URL(page.url()).pathname.startsWith(path);
  for (let steps = 0; !isThere(); steps += 1) {
    assert.ok(steps < 6, `the back button does not lead to ${path}`);
    // A page from the back/forward cache has no "load" event.
    await page.goBack({ waitUntil: "commit" });
    assert.doesNotMatch(await page.locator("main").innerText(), /ada/, page.url());
  }
}

const title = (page, text) => page.locator("h1", { hasText: new RegExp(`^${text}$`) }).waitFor();

async function go(page, name) {
  // A tab in the background draws seldom, and Playwright waits for what is drawn.
  await page.bringToFront();
  await page.getByRole("link", { name, exact: true }).click();
  await title(page, name);
}

async function add(page, item) {
  await page.bringToFront();
  await page.locator("input[name=item]").fill(item);
  await page.getByRole("button", { name: "Add" }).click();
  await page.locator("li", { hasText: item }).waitFor();
}

async function logIn(page, user) {
  await page.bringToFront();
  await page.getByRole("link", { name: "Log in" }).click();
  await page.locator("input[name=user]").fill(user);
  await page.getByRole("button", { name: "Log in" }).click();
  await page.locator("#user", { hasText: user }).waitFor();
}

async function logOut(page) {
  await page.bringToFront();
  await page.getByRole("button", { name: "Log out" }).click();
  await page.locator("#user", { hasText: "nobody" }).waitFor();
}

async function shows(page, { user, items, ...rest }) {
  await page.locator("#user", { hasText: new RegExp(`^${user}$`) }).waitFor();
  if (items) assert.deepEqual((await page.locator("li").allInnerTexts()).map((text) => text.trim()), items);
  if (!("notice" in rest)) return;
  const notices = await page.locator("#notice").allInnerTexts();
  assert.deepEqual(notices, rest.notice === undefined ? [] : [rest.notice]);
}
