// What the console says of the store that the Worker uses, on both.

import assert from "node:assert/strict";
import { after, before, suite, test } from "node:test";
import { accessible, inConsole, startBrowser, startWorker } from "./support.mjs";

const STORES = {
  kv: {
    name: "Workers KV",
    other: "durable_object",
    logout: "a logout holds everywhere within 102 s",
    dead: "dead everywhere within 102 s",
    list: "Workers KV lists with a delay",
  },
  durable_object: {
    name: "Durable Objects",
    other: "kv",
    logout: "a logout holds everywhere with the next request, and no save is lost",
    dead: "dead everywhere with the next request",
    list: "The list is exact.",
  },
};

let browser;
/** A Worker for each store. */
const workers = {};

before(async () => {
  browser = await startBrowser();
  // One after the other: two that look for free ports at the same time may find the same one.
  for (const store of Object.keys(STORES)) workers[store] = await startWorker({ store });
});
after(async () => {
  await browser?.close();
  for (const worker of Object.values(workers)) worker.stop();
});

const inStore = (store, steps, options = {}) => inConsole({ browser, origin: workers[store].origin, ...options }, steps);

const text = (page, selector) => page.locator(selector).innerText();
const shows = (page, selector, text) => page.locator(selector, { hasText: text }).waitFor();

/** What the card of a store says of one point. */
const promise = (page, store, point) =>
  page.locator(`#store-${store} dl > div`).filter({ has: page.getByText(point, { exact: true }) }).locator("dd").innerText();

for (const [store, { name, other, logout, dead, list }] of Object.entries(STORES)) {
  suite(`the console over ${name}`, () => {
    test("says which store is in use, and what it promises", () =>
      inStore(store, async (page) => {
        await shows(page, "#store-state", name);
        assert.deepEqual([await text(page, "#fact-store"), await text(page, "#fact-store-sub")], [name, logout]);
        const inUse = page.locator("#store article[aria-current=true]");
        assert.deepEqual([await inUse.count(), await inUse.getAttribute("id")], [1, `store-${store}`]);
        assert.equal(await page.locator(`#store-${store} .in-use`).isVisible(), true);
        assert.equal(await page.locator(`#store-${other} .in-use`).isVisible(), false);
        await shows(page, "#devices-slot", list);
        await accessible(page, "with the store marked");
      }));

    test("says when what is ended here is dead", () =>
      inStore(store, async (page) => {
        await page.getByLabel("Log in as").fill(`owner-${crypto.randomUUID()}`);
        await page.getByRole("button", { name: "Log in", exact: true }).click();
        await shows(page, "#devices-count", "1 session");
        for (const ends of ["Log out the others…", "Log out everywhere…", "Destroy…"]) {
          await page.getByRole("button", { name: ends, exact: true }).click();
          await shows(page, "#confirm-text", dead);
          await page.keyboard.press("Escape");
        }
      }));

    test("tells both stores apart, whichever is in use", () =>
      inStore(store, async (page) => {
        await shows(page, "#store-state", name);
        const saves = "Parallel saves of different keys";
        assert.match(await promise(page, "kv", saves), /both survive if the later one saw the earlier/);
        assert.equal(await promise(page, "durable_object", saves), "both survive");
        assert.match(await promise(page, "kv", "A logout, “log out everywhere”"), /everywhere within 102 s$/);
        assert.equal(await promise(page, "durable_object", "A logout, “log out everywhere”"), "hold everywhere with the next request");
      }));
  });
}

suite("another answer of /api/store", () => {
  const says = (answer, steps) => inStore("kv", steps, { prepare: (page) => page.route("**/api/store", (route) => route.fulfill(answer)) });

  test("the seconds are those of the Worker's settings", () =>
    says({ json: { storage: "kv", stalenessBound: 62, window: 90 } }, async (page) => {
      await shows(page, "#fact-store-sub", "a logout holds everywhere within 62 s");
      assert.match(await promise(page, "kv", "A logout, “log out everywhere”"), /within 62 s$/);
      assert.match(await promise(page, "kv", "Who reads what was saved"), /within 90 s$/);
    }));

  test("memory is named, and marks neither card", () =>
    says({ json: { storage: "memory", stalenessBound: 102, window: 102 } }, async (page) => {
      await shows(page, "#store-state", "Memory");
      await shows(page, "#fact-store-sub", "sessions last as long as this isolate");
      assert.equal(await page.locator("#store [aria-current]").count(), 0);
    }));

  test("a Worker that does not say leaves the rest of the page as it is", () =>
    says({ status: 404, json: { code: "not_found" } }, async (page) => {
      await shows(page, "#notice", "No session yet");
      assert.equal(await text(page, "#store-state"), "unknown");
      await page.unrouteAll({ behavior: "wait" });
      await page.getByRole("button", { name: "Refresh", exact: true }).click();
      await shows(page, "#store-state", /Workers KV|Durable Objects/);
    }));
});
