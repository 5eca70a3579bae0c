// The consistency lab: every control, with the mouse, with the keyboard, and without a server.

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { after, before, test } from "node:test";
import { accessible, inConsole, startBrowser, startWorker } from "./support.mjs";

const HOME = new URL("../../www/lab/", import.meta.url);
const history = (name) => JSON.parse(readFileSync(new URL(`${name}.json`, HOME), "utf8"));

let worker;
let browser;

before(async () => {
  worker = await startWorker();
  browser = await startBrowser();
});

after(async () => {
  await browser?.close();
  worker?.stop();
});

const labTest = (name, steps, options = {}) =>
  test(name, () =>
    inConsole({ browser, origin: worker.origin, ...options }, async (page, context) => {
      await counts(page, `1 of ${history("lost-update").steps.length}`);
      await steps(page, context);
    }),
  );

const button = (page, name) => page.locator("#lab").getByRole("button", { name, exact: true });
const counts = (page, text) => page.locator("#lab-count", { hasText: new RegExp(`^${text}$`) }).waitFor();
const text = (page, id) => page.locator(`#lab-${id}`).innerText();
const choose = (page, name) => page.locator("#lab").getByRole("radio", { name, exact: true }).check();
const current = (page) => page.locator("#lab-track [aria-current=step]");

/** What the page shows, in one call: there are 150 steps, and dozens of texts in each. */
const shown = (page) =>
  page.evaluate(() => {
    const all = (within, what) => [...within.querySelectorAll(what)];
    const texts = (within, what) => all(within, what).map((it) => it.innerText);
    const [text, why, when] = ["text", "why", "when"].map((id) => document.querySelector(`#lab-${id}`).innerText);
    return {
      text,
      why,
      when,
      current: all(document, "#lab-track li").flatMap((li, n) => all(li, "button[aria-current=step]").map(() => n)),
      rows: all(document, "#lab-rows tr").map((tr) => ({ key: tr.querySelector("th").textContent, is: texts(tr, "td .is") })),
      jars: all(document, "#lab-jars article").map((jar) => texts(jar, "dt")),
    };
  });

/** Checks that the page shows the recording, and returns what it shows. */
async function plays(page, recorded, n) {
  const step = recorded.steps[n];
  await counts(page, `${n + 1} of ${recorded.steps.length}`);
  const found = await shown(page);
  assert.equal(found.text, step.text);
  assert.equal(found.why, step.why ?? "");
  assert.ok(found.when.startsWith(`${(step.at / 1000).toFixed(2)} s`));
  assert.deepEqual(found.current, [n]);
  return found;
}

for (const file of readdirSync(HOME)) {
  const name = file.replace(/\.json$/, "");
  labTest(`${name} is played as it was recorded, to its end and back`, async (page) => {
    const recorded = history(name);
    await choose(page, recorded.title);
    assert.equal(await text(page, "about"), recorded.about);
    const last = recorded.steps.length - 1;
    let known = {};
    for (let n = 0; n <= last; n += 1) {
      const { rows, jars } = await plays(page, recorded, n);
      known = { ...known, ...recorded.steps[n] };
      for (const { name: key, store, places } of known.rows) {
        // Locations have no copy of a row in an object.
        const told = places ? [places[0].is, store.is, places[1].is] : [store.is];
        assert.deepEqual(rows.filter((row) => row.key.toLowerCase() === key.toLowerCase()).map(({ is }) => is), [told], `${key}, step ${n}`);
      }
      assert.deepEqual(jars, known.cookies.map((cookies) => cookies.map(({ name: cookie }) => cookie)));
      if (n < last) await button(page, "Next").click();
    }
    assert.equal(await button(page, "Next").getAttribute("aria-disabled"), "true");
    await button(page, "Back").click();
    await plays(page, recorded, last - 1);
    await button(page, "Start").click();
    await plays(page, recorded, 0);
    for (const control of ["Back", "Start"]) assert.equal(await button(page, control).getAttribute("aria-disabled"), "true");
  });
}

labTest("one race on two stores: what is lost on one is there on the other", async (page) => {
  const recorded = history("two-stores");
  await choose(page, recorded.title);
  await counts(page, `1 of ${recorded.steps.length}`);
  assert.deepEqual([await text(page, "lane-0"), await text(page, "lane-1")], ["Workers KV", "Durable Objects"]);
  for (const [who, lane, finds] of [
    ["The next page", 0, "“loaded”, version 2: the application sees theme and sign-in."],
    ["The next page", 1, "“loaded”, version 3: the application sees cart, theme and sign-in."],
    ["The copy", 0, "“loaded”, version 2: the application sees theme and sign-in."],
    ["The copy", 1, "“revoked”: the application sees an empty session."],
  ]) {
    const n = recorded.steps.findIndex((step) => step.who === who && step.kind === "found" && step.place === lane);
    const mark = page.locator("#lab-track li").nth(n).getByRole("button");
    assert.equal(await mark.getAttribute("data-place"), String(lane));
    await mark.click();
    await plays(page, recorded, n);
    assert.ok((await text(page, "text")).includes(finds), await text(page, "text"));
  }
  // It is the same race: each request is sent to both stores at the same time.
  const sent = recorded.steps.filter(({ kind }) => kind === "sent");
  const times = (lane) => sent.filter(({ place }) => place === lane).map(({ at, who }) => [at, who]);
  assert.deepEqual(times(0), times(1));
});

labTest("the keyboard alone plays it", async (page) => {
  const recorded = history("logout-race");
  await page.locator("#lab input[name=story]:checked").focus();
  await page.keyboard.press("ArrowRight");
  await counts(page, `1 of ${recorded.steps.length}`);
  assert.equal(await text(page, "about"), recorded.about);
  await page.keyboard.press("Tab"); // Start
  await page.keyboard.press("Tab"); // Back
  await page.keyboard.press("Tab"); // Next
  await page.keyboard.press("Enter");
  await plays(page, recorded, 1);
  await page.keyboard.press("Space");
  await plays(page, recorded, 2);
  await page.keyboard.press("ArrowRight");
  await plays(page, recorded, 3);
  await page.keyboard.press("ArrowLeft");
  await plays(page, recorded, 2);
  await page.keyboard.press("Tab");
  await page.locator("#lab-step:focus").waitFor();
  await page.keyboard.press("End");
  await plays(page, recorded, recorded.steps.length - 1);
  await page.keyboard.press("ArrowLeft");
  await plays(page, recorded, recorded.steps.length - 2);
  await page.keyboard.press("Tab");
  await page.locator("#lab-track button:focus").waitFor();
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await plays(page, recorded, 1);
});

labTest("a step of the time line can be chosen, and the page stays where it is", async (page) => {
  const recorded = history("lost-update");
  const step = page.locator("#lab-track li").nth(9).getByRole("button");
  await step.scrollIntoViewIfNeeded();
  const before = await page.evaluate(() => scrollY);
  await step.click();
  await plays(page, recorded, 9);
  await button(page, "Next").press("Enter");
  await plays(page, recorded, 10);
  assert.equal(await page.evaluate(() => scrollY), before);
});

labTest("what is told is told to a screen reader, once", async (page) => {
  const told = page.locator("#lab [role=status]");
  assert.equal(await told.count(), 1);
  assert.equal(await told.getAttribute("aria-atomic"), "true");
  await button(page, "Next").click();
  const slider = page.getByRole("slider", { name: "Step" });
  assert.match(await slider.getAttribute("aria-valuetext"), /^2 of \d+: asks: /);
  await page.locator("#lab").getByRole("button", { name: "0.00 Amsterdam: Tab A asks: put a book in the cart", exact: true }).and(current(page)).waitFor();
});

labTest("a page that is loaded plays on with nothing answering", async (page, context) => {
  await context.setOffline(true);
  for (const name of ["two-stores", "stolen-cookie", "stale-read", "logout-race", "lost-update"]) {
    const recorded = history(name);
    await choose(page, recorded.title);
    await button(page, "Next").click();
    await plays(page, recorded, 1);
  }
  await context.setOffline(false);
});

test("with the API unreachable the lab works", () =>
  inConsole({ browser, origin: worker.origin, prepare: (page) => page.route("**/api/**", (route) => route.abort()) }, async (page) => {
    await page.locator("#notice", { hasText: "The API cannot be reached" }).waitFor();
    await button(page, "Next").click();
    await plays(page, history("lost-update"), 1);
  }));

test("a history that cannot be fetched is said to be so, and fetched again; the others play", () =>
  inConsole({ browser, origin: worker.origin, prepare: (page) => page.route(/\/lab\/(stale-read|logout-race)\.json/, (route) => route.fulfill({ status: 500 })) }, async (page) => {
    await counts(page, `1 of ${history("lost-update").steps.length}`);
    await button(page, "Next").click();
    await plays(page, history("lost-update"), 1);

    await choose(page, history("stale-read").title);
    await page.locator("#lab-text", { hasText: "The history could not be fetched (status 500)." }).waitFor();
    // Nothing of the one before stays.
    assert.deepEqual([await text(page, "count"), await page.locator("#lab-track li, #lab-rows tr, #lab-jars article").count()], ["", 0]);
    await button(page, "Try again").click();
    await page.locator("#lab-text", { hasText: "could not be fetched (status 500)" }).waitFor();

    // It asks for what is missing, and for nothing else.
    await page.unrouteAll({ behavior: "wait" });
    const asked = [];
    page.on("request", (request) => asked.push(new URL(request.url()).pathname));
    await button(page, "Try again").click();
    await counts(page, `1 of ${history("stale-read").steps.length}`);
    await button(page, "Next").click();
    await plays(page, history("stale-read"), 1);
    assert.deepEqual(asked.filter((path) => path.startsWith("/lab/")).toSorted(), ["/lab/logout-race.json", "/lab/stale-read.json"]);
    await choose(page, history("lost-update").title);
    await button(page, "Next").click();
    await plays(page, history("lost-update"), 1);
  }));

test("a history that arrives while another one plays leaves it as it is", () => {
  let release;
  const released = new Promise((resolve) => {
    release = resolve;
  });
  const prepare = (page) =>
    page.route("**/lab/stale-read.json", async (route) => {
      await released;
      await route.continue();
    });
  return inConsole({ browser, origin: worker.origin, prepare }, async (page) => {
    await choose(page, history("stale-read").title);
    await page.locator("#lab-text", { hasText: "Fetching the history…" }).waitFor();
    assert.equal(await button(page, "Next").getAttribute("aria-disabled"), "true");
    await choose(page, history("lost-update").title);
    await button(page, "Next").click();
    const arrived = page.waitForResponse("**/lab/stale-read.json");
    release();
    await (await arrived).finished();
    await plays(page, history("lost-update"), 1);
    await choose(page, history("stale-read").title);
    await button(page, "Next").click();
    await plays(page, history("stale-read"), 1);
  });
});

for (const colorScheme of ["light", "dark"]) {
  for (const width of [1280, 320]) {
    labTest(
      `the lab has room and axe finds nothing serious, ${colorScheme}, ${width} px`,
      async (page) => {
        await choose(page, history("stolen-cookie").title);
        for (let n = 0; n < 15; n += 1) await button(page, "Next").click();
        const { scroll, width: room } = await page.evaluate(() => ({ scroll: document.documentElement.scrollWidth, width: innerWidth }));
        assert.ok(scroll <= room, `${scroll} px wide in ${room}`);
        await accessible(page, "half of a history");
      },
      { viewport: { width, height: 900 }, colorScheme, reducedMotion: "reduce" },
    );
  }
}
