// The pictures of the console in README.md: they exist, and the console gets to the state that they
// show. `EDGE_SESSION_UPDATE=1 node --test tests/browser/pictures.test.mjs` takes them again.

import assert from "node:assert/strict";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { after, before, test } from "node:test";
import { inConsole, startBrowser, startWorker } from "./support.mjs";

const SIZE = { width: 1000, height: 750 };
const VIEWPORT = { width: 1200, height: 900 };
const MAX_BYTES = 150_000;
const pictureOf = (scheme) => fileURLToPath(new URL(`../../docs/images/console-${scheme}.png`, import.meta.url));

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

/** Width and height, from the header of a PNG. */
function sizeOf(png) {
  assert.equal(png.toString("latin1", 1, 4), "PNG");
  return { width: png.readUInt32BE(16), height: png.readUInt32BE(20) };
}

async function add(page, key, json) {
  await page.getByLabel("Key", { exact: true }).fill(key);
  await page.getByLabel("Value", { exact: true }).fill(json);
  await page.locator("#add-submit").click();
  await page.locator("#value-rows > li").filter({ has: page.getByLabel(key, { exact: true }) }).waitFor();
}

for (const colorScheme of ["light", "dark"]) {
  test(`the picture of the console, ${colorScheme}`, async () => {
    const deviceScaleFactor = SIZE.width / VIEWPORT.width;
    const options = { browser, origin: worker.origin, viewport: VIEWPORT, deviceScaleFactor, colorScheme };
    await inConsole(options, async (page) => {
      // A visitor fills a cart, logs in with it and changes a value: the page shows the session, its
      // values, the requests and what the last one asked of the store.
      await add(page, "cart", '{"items": [{"sku": "lamp", "n": 1}]}');
      await page.getByLabel("Log in as").fill("ada");
      await page.getByRole("button", { name: "Log in", exact: true }).click();
      await page.locator("#fact-owner", { hasText: "ada" }).waitFor();
      await page.locator("#device-rows > li").first().waitFor();
      await add(page, "theme", '"dark"');
      await page.locator("#fact-request-sub", { hasText: "PUT" }).waitFor();
      await page.locator("#fact-operations", { hasText: "1 put" }).waitFor();
      await page.locator("#cookies-state", { hasText: "kept and sent back" }).waitFor();
      await page.mouse.move(0, 0);
      await page.evaluate(() => {
        document.activeElement.blur();
        document.querySelector("#session").scrollIntoView({ behavior: "instant" });
      });

      const { scheme, width } = await page.evaluate(() => ({
        scheme: getComputedStyle(document.documentElement).colorScheme,
        width: document.documentElement.scrollWidth,
      }));
      assert.ok(scheme.includes(colorScheme), scheme);
      assert.ok(width <= VIEWPORT.width, `${width} px wide`);

      const path = pictureOf(colorScheme);
      if (process.env.EDGE_SESSION_UPDATE === "1") {
        mkdirSync(dirname(path), { recursive: true });
        writeFileSync(path, await page.screenshot({ animations: "disabled", caret: "hide" }));
      }
    });

    const path = pictureOf(colorScheme);
    assert.ok(existsSync(path), `${path} is missing: EDGE_SESSION_UPDATE=1 takes it`);
    const png = readFileSync(path);
    assert.deepEqual(sizeOf(png), SIZE);
    assert.ok(png.length <= MAX_BYTES, `${path} has ${png.length} bytes`);
  });
}
