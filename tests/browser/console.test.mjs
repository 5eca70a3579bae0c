// The console in a real browser with a real Worker: every control, and its
// messages when something goes wrong.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { accessible, inConsole, PLAIN_HOST, startBrowser, startWorker, withCookiesBlocked } from "./support.mjs";

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

const consoleTest = (name, steps, options = {}) =>
  test(name, () => inConsole({ browser, origin: worker.origin, ...options }, steps));

// The parts of the page, by their visible names.
const region = (page, name) => page.getByRole("region", { name, exact: true });
const button = (page, name) => page.getByRole("button", { name, exact: true });
const row = (page, key) => page.locator("#value-rows > li").filter({ has: page.getByLabel(key, { exact: true }) });
const field = (page, key) => row(page, key).getByRole("textbox");
const notice = (page, text) => page.locator("#notice", { hasText: text }).waitFor();
const shows = (page, selector, text) => page.locator(selector, { hasText: text }).waitFor();
const requests = (page) => page.locator("#log-rows tr");

async function keyParts(page) {
  return Promise.all(["owner", "lineage", "derived", "tag"].map((part) => page.locator(`[data-part=${part}] dd`).innerText()));
}

async function add(page, key, json) {
  await page.getByLabel("Key", { exact: true }).fill(key);
  await page.getByLabel("Value", { exact: true }).fill(json);
  await page.locator("#add-submit").click();
  await row(page, key).waitFor();
  await page.locator("#add-key:focus").waitFor();
}

async function answerYes(page, opener, yes) {
  await button(page, opener).click();
  await page.getByRole("dialog").getByRole("button", { name: yes, exact: true }).click();
}

const api = "**/api/**";
const problem = (status, code, title, detail, headers = {}) => ({
  status,
  headers: { "content-type": "application/problem+json", ...headers },
  body: JSON.stringify({ type: "about:blank", title, status, detail, code }),
});

// Values

consoleTest("looking creates nothing", async (page, context) => {
  await notice(page, "No session yet");
  await shows(page, "#session-state", "none");
  await shows(page, "#cookies-state", "none set yet");
  assert.deepEqual(await context.cookies(), []);
  assert.equal(await requests(page).count(), 1);
});

consoleTest("a value that was added is there after a reload", async (page, context) => {
  await add(page, "cart", '{"items": [1, 2]}');
  await notice(page, "A live session");
  await shows(page, "#fact-new", "no");
  await shows(page, "#cookies-state", "kept and sent back");
  assert.equal(await page.getByLabel("Key", { exact: true }).inputValue(), "");

  await page.reload();
  await notice(page, "A live session");
  assert.equal(await field(page, "cart").inputValue(), '{"items":[1,2]}');
  await shows(page, "#fact-outcome", "loaded");

  const cookies = await context.cookies();
  assert.ok(cookies.some(({ name }) => name === "__Host-session"));
  for (const { httpOnly, secure, sameSite, path } of cookies) {
    assert.deepEqual({ httpOnly, secure, sameSite, path }, { httpOnly: true, secure: true, sameSite: "Lax", path: "/" });
  }
  assert.equal(await page.evaluate(() => document.cookie), "");
});

consoleTest("a value can be added with the keyboard alone", async (page) => {
  await notice(page, "No session yet");
  await page.keyboard.press("Tab");
  await page.getByRole("link", { name: "Skip to the values" }).and(page.locator(":focus")).waitFor();
  await page.keyboard.press("Enter");
  await page.locator("#values:focus").waitFor();
  await page.keyboard.press("Tab");
  await page.locator("#clear:focus").waitFor();
  await page.keyboard.press("Tab");
  await page.keyboard.type("theme");
  await page.keyboard.press("Tab");
  await page.keyboard.type('"dark"');
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await row(page, "theme").waitFor();
  assert.equal(await field(page, "theme").inputValue(), '"dark"');

  // The focus is back at the key, and Ctrl+Enter in the value does what the button does.
  await page.locator("#add-key:focus").waitFor();
  await page.keyboard.type("views");
  await page.keyboard.press("Tab");
  await page.keyboard.type("1");
  await page.keyboard.press("Control+Enter");
  await row(page, "views").waitFor();
});

consoleTest("a value is edited in place: saved, reverted, refused where it is not JSON", async (page) => {
  await add(page, "views", "1");

  await field(page, "views").fill("2");
  await button(page, "Revert views").click();
  assert.equal(await field(page, "views").inputValue(), "1");
  await field(page, "views").fill("3");
  await page.keyboard.press("Escape");
  assert.equal(await field(page, "views").inputValue(), "1");

  const before = await requests(page).count();
  await field(page, "views").fill("many");
  await button(page, "Save views").click();
  await row(page, "views").getByRole("alert").filter({ hasText: 'Not JSON' }).filter({ hasText: 'write "many"' }).waitFor();
  assert.equal(await field(page, "views").getAttribute("aria-invalid"), "true");
  assert.equal(await requests(page).count(), before);

  await field(page, "views").fill("4");
  assert.equal(await row(page, "views").getByRole("alert").count(), 0);
  await button(page, "Save views").click();
  await button(page, "Remove views").waitFor();
  await field(page, "views").fill(" 5 ");
  await page.keyboard.press("Control+Enter");
  await button(page, "Remove views").waitFor();
  assert.equal(await field(page, "views").inputValue(), "5");
  await page.reload();
  await row(page, "views").waitFor();
  assert.equal(await field(page, "views").inputValue(), "5");
});

consoleTest("a value that comes back written another way was not changed meanwhile", async (page) => {
  await add(page, "cart", "[]");
  await field(page, "cart").fill("[1, 2]");
  await button(page, "Save cart").click();
  await button(page, "Remove cart").waitFor();
  assert.equal(await field(page, "cart").inputValue(), "[1,2]");
  assert.equal(await row(page, "cart").locator(".slot").innerText(), "array, 2 items, 5 bytes");
});

consoleTest("the form sets a key that is there, and names what is missing", async (page) => {
  await add(page, "theme", '"dark"');
  await page.getByLabel("Key", { exact: true }).fill("theme");
  await button(page, "Set").waitFor();
  await add(page, "theme", '"light"');
  assert.equal(await page.locator("#value-rows > li").count(), 1);
  assert.equal(await field(page, "theme").inputValue(), '"light"');

  await button(page, "Add").click();
  await page.locator("#add").getByRole("alert").filter({ hasText: "A key is missing." }).waitFor();
  await page.locator("#add").getByRole("alert").filter({ hasText: "A value is missing." }).waitFor();
  await page.getByLabel("Key", { exact: true }).fill("broken");
  await page.getByLabel("Value", { exact: true }).fill('{"a": }');
  await button(page, "Add").click();
  await page.locator("#add").getByRole("alert").filter({ hasText: "Not JSON" }).waitFor();
  await page.locator("#add-value:focus").waitFor();
});

consoleTest("any key and any JSON pass unchanged", async (page) => {
  const values = [
    ["a/b c?d=%20&e#f", '"\\u0000 <b>é</b>"'],
    ["__proto__", '{"x":null}'],
    ["ключ 🔑", "[[],{}]"],
    ["data", "9007199254740993"],
  ];
  for (const [key, json] of values) await add(page, key, json);
  await page.reload();
  await row(page, "data").waitFor();
  assert.equal(await field(page, "data").inputValue(), "9007199254740993");
  assert.equal(await field(page, "__proto__").inputValue(), '{"x":null}');
  assert.equal(await field(page, "ключ 🔑").inputValue(), "[[],{}]");
  assert.equal(JSON.parse(await field(page, "a/b c?d=%20&e#f").inputValue()), "\0 <b>é</b>");
  await button(page, "Remove a/b c?d=%20&e#f").click();
  await row(page, "a/b c?d=%20&e#f").waitFor({ state: "detached" });
  assert.equal(await page.locator("#value-rows > li").count(), 3);
});

consoleTest("the next value can be typed while one is being saved", async (page) => {
  let release;
  const released = new Promise((resolve) => {
    release = resolve;
  });
  await page.route("**/api/session/data/first", async (route) => {
    await released;
    await route.continue();
  });
  const key = page.getByLabel("Key", { exact: true });
  const value = page.getByLabel("Value", { exact: true });
  await key.fill("first");
  await value.fill("1");
  await page.keyboard.press("Control+Enter");
  await key.fill("second");
  await value.fill("2");
  release();
  await row(page, "first").waitFor();
  await shows(page, "#say", "first saved");
  assert.deepEqual([await key.inputValue(), await value.inputValue()], ["second", "2"]);
  await value.press("Control+Enter");
  await row(page, "second").waitFor();
});

consoleTest("the focus stays where somebody has moved it while a value is being saved", async (page) => {
  let release;
  const released = new Promise((resolve) => {
    release = resolve;
  });
  await add(page, "first", "1");
  await page.route("**/api/session/data/*", async (route) => {
    await released;
    await route.continue();
  });
  await page.getByLabel("Key", { exact: true }).fill("second");
  await page.getByLabel("Value", { exact: true }).fill("2");
  await button(page, "Add").click();
  await field(page, "first").fill("3");
  await button(page, "Save first").click();
  await page.getByLabel("Log in as").focus();
  await page.keyboard.type("a");
  release();
  await row(page, "second").waitFor();
  await button(page, "Remove first").waitFor();
  await page.keyboard.type("da");
  assert.equal(await page.getByLabel("Log in as").inputValue(), "ada");
  assert.equal(await page.getByLabel("Key", { exact: true }).inputValue(), "");
  assert.equal(await field(page, "first").inputValue(), "3");
});

consoleTest("a refusal goes when the same value is stored at the next attempt", async (page) => {
  await notice(page, "No session yet");
  const unavailable = problem(503, "unavailable", "Storage does not answer", "");
  await page.route("**/api/session/data/theme", (route) => route.fulfill(unavailable), { times: 1 });
  await page.getByLabel("Key", { exact: true }).fill("theme");
  await page.getByLabel("Value", { exact: true }).fill('"dark"');
  await button(page, "Add").click();
  await page.locator("#add-value-slot").getByRole("alert").waitFor();
  await button(page, "Add").click();
  await page.locator("#add-key:focus").waitFor();
  assert.equal(await page.locator("#add").getByRole("alert").count(), 0);
  assert.equal(await page.getByLabel("Value", { exact: true }).getAttribute("aria-invalid"), null);
});

consoleTest("a key that a URL would drop is refused before it is sent", async (page) => {
  await notice(page, "No session yet");
  for (const key of [".", ".."]) {
    await page.getByLabel("Key", { exact: true }).fill(key);
    await page.getByLabel("Value", { exact: true }).fill("1");
    await page.locator("#add-submit").click();
    await page.locator("#add-key-slot").getByRole("alert").filter({ hasText: "cannot be part of a URL" }).waitFor();
  }
  assert.equal(await requests(page).count(), 1);
});

consoleTest("values are removed, one and all", async (page) => {
  for (const key of ["a", "b", "c"]) await add(page, key, "1");
  await shows(page, "#values-size", "3 keys");
  await button(page, "Remove b").click();
  await row(page, "b").waitFor({ state: "detached" });
  assert.equal(await field(page, "c").evaluate((node) => node === document.activeElement), true);

  await answerYes(page, "Clear all…", "Keep");
  assert.equal(await page.locator("#value-rows > li").count(), 2);
  await answerYes(page, "Clear all…", "Clear");
  await page.getByText("No values.").waitFor();
  await notice(page, "A live session");
  assert.equal(await button(page, "Clear all…").getAttribute("aria-disabled"), "true");
});

consoleTest("a draft stays when the stored value moves", async (page, context) => {
  await add(page, "theme", '"dark"');
  await field(page, "theme").fill('"sepia"');
  const other = await context.newPage();
  await other.goto(`${worker.origin}/`);
  await field(other, "theme").fill('"light"');
  await button(other, "Save theme").click();
  await button(other, "Remove theme").waitFor();

  await page.bringToFront();
  await button(page, "Refresh").click();
  const warning = row(page, "theme").getByText("Changed meanwhile");
  await warning.waitFor();
  assert.equal(await field(page, "theme").inputValue(), '"sepia"');

  // It stays as long as the draft does.
  await add(page, "views", "1");
  assert.equal(await warning.count(), 1);
  await field(page, "theme").fill('"dark green"');
  assert.equal(await warning.count(), 1);
  await button(page, "Revert theme").click();
  assert.equal(await field(page, "theme").inputValue(), '"light"');
  assert.equal(await row(page, "theme").locator(".slot").innerText(), "text, 7 bytes");
});

consoleTest("a draft stays when the stored value is removed", async (page, context) => {
  await add(page, "theme", '"dark"');
  await add(page, "views", "1");
  await field(page, "theme").fill('"sepia"');
  await field(page, "views").fill("2");
  const other = await context.newPage();
  await other.goto(`${worker.origin}/`);
  for (const key of ["theme", "views"]) {
    await button(other, `Remove ${key}`).click();
    await row(other, key).waitFor({ state: "detached" });
  }

  await page.bringToFront();
  await button(page, "Refresh").click();
  for (const key of ["theme", "views"]) await row(page, key).getByText("Removed meanwhile: Save stores it again.").waitFor();
  assert.equal(await field(page, "theme").inputValue(), '"sepia"');
  assert.equal(await page.locator("#values-size").innerText(), "");
  assert.equal(await button(page, "Clear all…").getAttribute("aria-disabled"), "true");

  // What was stored before is a draft, too.
  await field(page, "theme").fill('"dark"');
  await button(page, "Save theme").click();
  await button(page, "Remove theme").waitFor();
  await shows(page, "#values-size", "1 key");
  await button(page, "Revert views").click();
  await row(page, "views").waitFor({ state: "detached" });
  assert.equal(await field(page, "theme").evaluate((node) => node === document.activeElement), true);
  await page.reload();
  await row(page, "theme").waitFor();
  assert.equal(await page.locator("#value-rows > li").count(), 1);
});

consoleTest("a save into a session that was ended elsewhere is refused in sight, and the draft stays", async (page, context) => {
  await add(page, "theme", '"dark"');
  await add(page, "views", "1");
  const options = { browser, origin: worker.origin, storageState: await context.storageState() };
  await inConsole(options, async (other) => {
    await row(other, "views").waitFor();
    await answerYes(page, "Destroy…", "Destroy");
    await notice(page, "No session yet");

    await field(other, "theme").fill('"sepia"');
    // A row without a draft goes: its refusal is shown above the rows.
    await field(other, "views").press("Control+Enter");
    await row(other, "views").waitFor({ state: "detached" });
    const above = other.locator("#clear-slot").getByRole("alert");
    await above.filter({ hasText: "views: The session was ended." }).waitFor();
    await button(other, "Save theme").click();
    await row(other, "theme").getByRole("alert").filter({ hasText: "The session was ended. revoked" }).waitFor();
    assert.equal(await above.count(), 0);
    assert.equal(await field(other, "theme").inputValue(), '"sepia"');

    await answerYes(other, "Destroy…", "Destroy");
    await notice(other, "No session yet");
    await button(other, "Save theme").click();
    await notice(other, "A live session");
    await button(other, "Remove theme").waitFor();
  });
});

// The session

consoleTest("cycling renews the derived key and keeps lineage and values", async (page) => {
  await add(page, "theme", '"dark"');
  const [owner, lineage, derived] = await keyParts(page);
  await button(page, "Cycle key").click();
  await shows(page, "#say", "The key was cycled");
  const after = await keyParts(page);
  assert.deepEqual(after.slice(0, 2), [owner, lineage]);
  assert.notEqual(after[2], derived);
  await page.reload();
  await row(page, "theme").waitFor();
  assert.deepEqual(await keyParts(page), after);
});

consoleTest("the key can be copied", async (page, context) => {
  await context.grantPermissions(["clipboard-read", "clipboard-write"], { origin: worker.origin });
  await add(page, "theme", '"dark"');
  await button(page, "Copy key").click();
  await button(page, "Copied").waitFor();
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), (await keyParts(page)).join("."));
});

test("over plain http, where a page cannot copy, the key is selected, and nothing else", async () => {
  const { port } = new URL(worker.origin);
  const key = "-.zKqSCAmfrWrtLhMrYjbvvg.zKqSCAmfrWrtLhMrYjbvvg.q0VvGTwZkDFe1mXKp3c7Rg";
  // No session lives over plain http: this is how one with its cookies would look.
  const session = { key, isNew: false, data: {}, version: 1, owner: null, createdAt: null, expiresAt: null, idleExpiresAt: null };
  const prepare = (page) => page.route("**/api/session", (route) => route.fulfill({ json: session }));
  await inConsole({ browser, origin: `http://${PLAIN_HOST}:${port}`, prepare }, async (page) => {
    await notice(page, "A live session");
    const width = () => page.locator("#copy-key").evaluate((node) => node.offsetWidth);
    const before = await width();
    await button(page, "Copy key").click();
    await shows(page, "#say", /key (is )?selected/i);
    assert.equal(await page.evaluate(() => String(getSelection())), key);
    assert.equal(await width(), before);
    // What Ctrl + C takes.
    await page.evaluate(() => addEventListener("copy", () => (globalThis.copied = String(getSelection()))));
    await page.keyboard.press("Control+C");
    assert.equal(await page.evaluate(() => globalThis.copied), key);
  });
});

consoleTest("destroying asks first, then takes values and cookies", async (page, context) => {
  await add(page, "theme", '"dark"');
  await answerYes(page, "Destroy…", "Keep");
  await button(page, "Destroy…").and(page.locator(":focus")).waitFor();
  assert.equal(await page.locator("#value-rows > li").count(), 1);
  await button(page, "Destroy…").press("Enter");
  await page.keyboard.press("Escape");
  assert.equal(await page.locator("#value-rows > li").count(), 1);

  await answerYes(page, "Destroy…", "Destroy");
  await notice(page, "No session yet");
  await page.getByText("No values.").waitFor();
  assert.deepEqual(await context.cookies(), []);
  for (const name of ["Destroy…", "Cycle key", "Copy key"]) {
    assert.equal(await button(page, name).getAttribute("aria-disabled"), "true");
  }
});

consoleTest("where the session was ended elsewhere the page says why", async (page, context) => {
  await add(page, "theme", '"dark"');
  const options = { browser, origin: worker.origin, storageState: await context.storageState() };
  await inConsole(options, async (other) => {
    await row(other, "theme").waitFor();
    await answerYes(page, "Destroy…", "Destroy");
    await notice(page, "No session yet");

    await button(other, "Refresh").click();
    await notice(other, "The session was ended, here or elsewhere. (revoked)");
    await row(other, "theme").waitFor({ state: "detached" });
    await other.getByLabel("Key", { exact: true }).fill("theme");
    await other.getByLabel("Value", { exact: true }).fill("1");
    await button(other, "Add").click();
    await other.locator("#add-value-slot").getByRole("alert").filter({ hasText: "revoked" }).waitFor();
  });
});

/** As a Worker answers that runs without DEMO. */
const withoutOutcome = (page) =>
  page.route("**/api/session", async (route) => {
    const response = await route.fetch();
    if (response.status() !== 200) return route.fulfill({ response });
    const { outcome, ...json } = await response.json();
    await route.fulfill({ response, json });
  });

for (const [demo, prepare, sentence] of [
  ["with DEMO", undefined, "The session was ended, here or elsewhere. (revoked)"],
  ["without DEMO", withoutOutcome, "The session was ended, here or elsewhere. Destroy removes its cookies"],
]) {
  consoleTest(`a session that was ended elsewhere is not shown as live, ${demo}`, async (page, context) => {
    await add(page, "theme", '"dark"');
    const options = { browser, origin: worker.origin, storageState: await context.storageState(), prepare };
    await inConsole(options, async (other) => {
      await shows(other, "#session-state", "live");
      await answerYes(page, "Destroy…", "Destroy");
      await notice(page, "No session yet");

      await button(other, "Refresh").click();
      await notice(other, sentence);
      await shows(other, "#session-state", "ended");
      assert.equal(await button(other, "Cycle key").getAttribute("aria-disabled"), "true");

      // Its cookies are in the way of a new session until they are removed.
      await shows(other, "#cookies-state", "kept and sent back");
      await answerYes(other, "Destroy…", "Destroy");
      await notice(other, "No session yet");
      await shows(other, "#session-state", "none");
      await add(other, "theme", '"light"');
      await shows(other, "#session-state", "live");
    });
  });
}

consoleTest("the end is set in each of its ways", async (page) => {
  await add(page, "theme", '"dark"');
  const expiry = region(page, "Expiry");
  // One after the other, so that each answer is for one press.
  const press = () => expiry.locator("#expiry-submit:not([aria-busy])").click();
  const apply = async (body) => {
    const sent = page.waitForRequest((request) => request.method() === "PUT" && request.url().endsWith("/api/session/expiry"));
    await press();
    const request = await sent;
    assert.deepEqual(request.postDataJSON(), body);
    assert.equal((await request.response()).status(), 200);
  };

  await expiry.getByLabel("Seconds until the end").fill("1800");
  await apply({ seconds: 1800 });
  await shows(page, "#fact-ends-sub", "in 00:29:");

  const date = new Date(Math.floor(Date.now() / 60_000) * 60_000 + 7_200_000);
  const text = await page.evaluate((at) => new Date(at - new Date(at).getTimezoneOffset() * 60_000).toISOString().slice(0, 16), date.getTime());
  await expiry.getByLabel("Date and time of the end").fill(text);
  await apply({ date: date.toISOString() });
  await shows(page, "#fact-ends-sub", "in 01:5");

  await expiry.getByLabel("Seconds without a request").fill("600");
  assert.equal(await expiry.getByRole("radio", { name: "when idle for" }).isChecked(), true);
  await apply({ idle: 600 });
  await shows(page, "#fact-idle-sub", "in 00:09:");

  await expiry.getByRole("radio", { name: "when the browser closes" }).check();
  await apply({ seconds: 0 });
  await expiry.getByRole("radio", { name: "as the settings say" }).check();
  await apply({});
  await shows(page, "#fact-idle-sub", "in 23:59:");
  await row(page, "theme").waitFor();

  await expiry.getByLabel("Seconds until the end").fill("-1");
  await press();
  await expiry.getByRole("alert").filter({ hasText: "expired" }).waitFor();
  await expiry.getByLabel("Seconds until the end").fill("");
  await press();
  await expiry.getByRole("alert").filter({ hasText: "not a number of seconds" }).waitFor();
});

consoleTest("without a session there is no end to set, and the page says so", async (page) => {
  await notice(page, "No session yet");
  await button(page, "Apply").click();
  await region(page, "Expiry").getByRole("alert").filter({ hasText: "There is no session yet" }).waitFor();
});

consoleTest(
  "the countdown runs, and an end that has passed is asked about",
  async (page) => {
    await add(page, "theme", '"dark"');
    await shows(page, "#fact-idle-sub", /in 23:59:/);
    const before = await requests(page).count();
    await page.clock.runFor(3_600_000);
    await shows(page, "#fact-idle-sub", /in 22:59:/);
    assert.equal(await requests(page).count(), before);
    await page.clock.fastForward(24 * 3_600_000);
    await shows(page, "#fact-idle-sub", "passed");
    await requests(page).nth(before).waitFor();
  },
  { prepare: (page) => page.clock.install() },
);

consoleTest(
  "a clock that is ahead makes the page ask once, not without end",
  async (page) => {
    await add(page, "theme", '"dark"');
    await shows(page, "#fact-idle-sub", "passed");
    await page.clock.runFor(60_000);
    // Requests are sent one after the other: what was asked before this one is in the log before it.
    await add(page, "views", "1");
    const log = await requests(page).allInnerTexts();
    assert.deepEqual(log.map((text) => text.split(/\s+/).slice(1, 3).join(" ")), [
      "PUT /api/session/data/views",
      "GET /api/session", // whether the end has passed
      "GET /api/session", // whether the cookie was kept
      "PUT /api/session/data/theme",
      "GET /api/session",
    ]);
  },
  { prepare: (page) => page.clock.install({ time: Date.now() + 2 * 86_400_000 }) },
);

// Owner

consoleTest("login binds to an owner under a new lineage, logout ends it", async (page, context) => {
  await add(page, "cart", "[1]");
  const [, anonymous] = await keyParts(page);
  const owner = region(page, "Owner");
  assert.equal(await button(page, "Log out").getAttribute("aria-disabled"), "true");
  await owner.getByRole("button", { name: "Log in" }).click();
  await owner.getByRole("alert").filter({ hasText: "Enter a name" }).waitFor();
  await owner.getByLabel("Log in as").fill("alice");
  await page.keyboard.press("Enter");
  await shows(page, "#owner-chip", "alice");
  await shows(page, "#fact-owner", "alice");
  const [tag, lineage] = await keyParts(page);
  assert.notEqual(tag, "-");
  assert.notEqual(lineage, anonymous);
  await row(page, "cart").waitFor();

  const [, , derived] = await keyParts(page);
  await button(page, "Reauthenticate").click();
  await shows(page, "#say", "The login was renewed, and the key with it");
  const renewed = await keyParts(page);
  assert.deepEqual(renewed.slice(0, 2), [tag, lineage]);
  assert.notEqual(renewed[2], derived);

  const loggedIn = await context.cookies();
  await button(page, "Log out").click();
  await shows(page, "#owner-chip", "anonymous");
  await row(page, "cart").waitFor({ state: "detached" });
  const token = (cookies) => cookies.find(({ name }) => name === "__Host-session")?.value;
  assert.notEqual(token(await context.cookies()), token(loggedIn));
});

consoleTest(
  "without DEMO the login is gone, with one line that says why",
  async (page) => {
    await region(page, "Owner").getByText("runs without the variable DEMO").waitFor();
    assert.equal(await page.getByLabel("Log in as").isVisible(), false);
    await shows(page, "#fact-outcome", "not shown");
  },
  { prepare: withoutOutcome },
);

// Flash

consoleTest("a message is left once and taken once", async (page, context) => {
  const flash = region(page, "Flash");
  await flash.getByRole("button", { name: "Take it" }).click();
  await shows(page, "#flash-slot", "There is no message, or it was already taken.");

  await flash.getByLabel("Message for the next page").fill("Saved: <b>1</b>");
  await page.keyboard.press("Enter");
  await shows(page, "#flash-slot", 'Stored: "Saved: <b>1</b>". The first tab');
  await notice(page, "A live session");
  assert.equal(await page.locator("#value-rows > li").count(), 0);

  const other = await context.newPage();
  await other.goto(`${worker.origin}/`);
  await button(other, "Take it").click();
  await shows(other, "#flash-slot", 'Taken: "Saved: <b>1</b>". It can be taken only once.');
  await button(page, "Take it").click();
  await shows(page, "#flash-slot", "There is no message, or it was already taken.");
});

consoleTest("what is pressed while the last press is on its way is done after it", async (page) => {
  await add(page, "theme", '"dark"');
  let release;
  const released = new Promise((resolve) => {
    release = resolve;
  });
  const sent = [];
  await page.route(/\/api\/session\/(flash|expiry)/, async (route) => {
    sent.push(route.request().postDataJSON());
    await released;
    await route.continue();
  });
  const message = page.getByLabel("Message for the next page");
  for (const text of ["A", "B", "C"]) {
    await message.fill(text);
    await message.press("Enter");
  }
  await message.fill("not yet");
  const seconds = page.getByLabel("Seconds until the end");
  for (const text of ["600", "1200", "1800"]) {
    await seconds.fill(text);
    await seconds.press("Enter");
  }
  release();
  // The last press counts, with what the form said then.
  await shows(page, "#flash-slot", 'Stored: "C".');
  await shows(page, "#fact-ends-sub", "in 00:29:");
  assert.deepEqual(sent.filter((body) => typeof body === "string"), ["A", "C"]);
  assert.deepEqual(sent.filter((body) => typeof body !== "string"), [{ seconds: 600 }, { seconds: 1800 }]);
});

consoleTest(
  "a long message does not move the page when it is left",
  async (page) => {
    await notice(page, "No session yet");
    const height = () => page.locator("#flash-slot").evaluate((node) => node.offsetHeight);
    const before = await height();
    await page.getByLabel("Message for the next page").fill("one two three ".repeat(20));
    await page.keyboard.press("Enter");
    await shows(page, "#flash-slot", 'Stored: "one two three one t…"');
    assert.equal(await height(), before);
  },
  { viewport: { width: 320, height: 640 } },
);

// What a request costs

consoleTest("time and operations of the last request are shown", async (page) => {
  await add(page, "theme", '"dark"');
  await shows(page, "#fact-request", /^\d+ ms$/);
  await shows(page, "#fact-request-sub", "GET /api/session · 200");
  // Read recently, so this isolate remembers it.
  await shows(page, "#fact-operations", /^(none|1 read of 2 keys)$/);

  const told = (timing) => page.route("**/api/session", async (route) => {
    const response = await route.fetch();
    await route.fulfill({ response, headers: { ...response.headers(), "server-timing": timing } });
  });
  for (const [timing, operations, share] of [
    ['session;dur=1.2;desc="get 1 keys 2 put 0 delete 0 list 0"', "1 read of 2 keys", "1.2 ms of it waiting for the store"],
    ['cache;desc="a, b", session;dur=7;desc="get 0 keys 0 put 1 delete 2 list 1"', "1 put, 2 deletes, 1 list", "7 ms of it waiting for the store"],
    ['session;desc="get 0 keys 0 put 0 delete 0 list 0"', "none", "as its Server-Timing says"],
    ["session", "not shown", "SESSION_SERVER_TIMING"],
    ['sessions;desc="get 1 keys 1"', "not shown", "SESSION_SERVER_TIMING"],
  ]) {
    await told(timing);
    await button(page, "Refresh").click();
    await shows(page, "#fact-operations-sub", share);
    assert.equal(await page.locator("#fact-operations").innerText(), operations);
    await page.unrouteAll({ behavior: "wait" });
  }
});

// Devices

const PHONE = "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/19.0 Mobile/15E148 Safari/604.1";
const FIREFOX = "Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0";
const devices = (page) => page.locator("#device-rows > li");

/** A separate owner for this test, because other tests share the storage. */
const someOwner = () => `owner-${crypto.randomUUID()}`;

async function logIn(page, owner) {
  await page.getByLabel("Log in as").fill(owner);
  await button(page, "Log in").click();
  await shows(page, "#fact-owner", owner);
  await shows(page, "#devices-count", "session");
}

/** A second browser profile, which calls itself `userAgent`. */
const elsewhere = (userAgent, steps) => inConsole({ browser, origin: worker.origin, userAgent }, steps);

consoleTest("devices are listed when somebody is logged in, and only then", async (page) => {
  await notice(page, "No session yet");
  await page.getByText("Log in to see where the owner is logged in.").waitFor();
  for (const name of ["Look again", "Log out the others…", "Log out everywhere…"]) {
    assert.equal(await button(page, name).getAttribute("aria-disabled"), "true");
  }
  assert.equal(await requests(page).count(), 1);

  const owner = someOwner();
  await logIn(page, owner);
  await shows(page, "#devices-count", "1 session");
  await devices(page).filter({ hasText: "this one" }).getByRole("heading", { name: "Chrome on Linux" }).waitFor();
  assert.equal(await devices(page).getByRole("button").count(), 0);

  await elsewhere(FIREFOX, async (other) => {
    await logIn(other, owner);
    await shows(other, "#devices-count", "2 sessions");
    await button(page, "Look again").click();
    await shows(page, "#devices-count", "2 sessions");
    // The one written last comes first, with its user agent.
    await devices(page).first().filter({ hasText: "Firefox on Linux" }).filter({ hasText: FIREFOX }).waitFor();
  });

  await button(page, "Log out").click();
  await page.getByText("Log in to see where the owner is logged in.").waitFor();
  assert.equal(await devices(page).count(), 0);
});

consoleTest("one device is logged out from another", async (page) => {
  const owner = someOwner();
  await logIn(page, owner);
  await elsewhere(PHONE, async (phone) => {
    await logIn(phone, owner);
    await button(page, "Look again").click();
    await answerYes(page, "Log out Safari on iOS…", "Keep");
    await shows(page, "#devices-count", "2 sessions");
    await answerYes(page, "Log out Safari on iOS…", "Log out");
    await shows(page, "#say", "Safari on iOS was logged out");
    await shows(page, "#devices-count", "1 session");
    await page.locator("#devices:focus").waitFor();

    await button(phone, "Refresh").click();
    await notice(phone, "The session was ended, here or elsewhere. (revoked)");
    await shows(phone, "#owner-chip", "anonymous");
    await shows(page, "#owner-chip", owner);
    // After the old session was ended, a login creates a new one.
    await logIn(phone, owner);
    await shows(phone, "#devices-count", "2 sessions");
  });
});

consoleTest("the others are logged out, this one stays", async (page) => {
  const owner = someOwner();
  await logIn(page, owner);
  await add(page, "cart", "[1]");
  await elsewhere(PHONE, (phone) =>
    elsewhere(FIREFOX, async (firefox) => {
      for (const other of [phone, firefox]) await logIn(other, owner);
      await answerYes(page, "Log out the others…", "Log out the others");
      await shows(page, "#say", "The others were logged out");
      await shows(page, "#devices-count", "1 session");
      await shows(page, "#owner-chip", owner);
      assert.equal(await field(page, "cart").inputValue(), "[1]");
      for (const other of [phone, firefox]) {
        await button(other, "Refresh").click();
        await notice(other, "(revoked)");
      }
    }),
  );
});

consoleTest("everywhere is here too", async (page) => {
  const owner = someOwner();
  await logIn(page, owner);
  await elsewhere(PHONE, async (phone) => {
    await logIn(phone, owner);
    await answerYes(page, "Log out everywhere…", "Log out everywhere");
    await notice(page, "The session was ended, here or elsewhere. (revoked)");
    await shows(page, "#say", "Logged out everywhere");
    await page.getByText("Log in to see where the owner is logged in.").waitFor();
    await button(phone, "Refresh").click();
    await notice(phone, "(revoked)");
    // A login right after it works.
    await logIn(page, owner);
    await shows(page, "#devices-count", "1 session");
    await page.reload();
    await shows(page, "#owner-chip", owner);
  });
});

consoleTest(
  "a list that cannot be loaded is reported beside its button",
  async (page) => {
    await page.getByLabel("Log in as").fill(someOwner());
    await button(page, "Log in").click();
    const part = region(page, "Devices");
    await part.getByRole("alert").filter({ hasText: "Storage does not answer. Try again in 5 s. unavailable" }).waitFor();
    await part.getByText("The list could not be loaded.").waitFor();
    await page.unrouteAll({ behavior: "wait" });
    await button(page, "Look again").click();
    await shows(page, "#devices-count", "1 session");
    assert.equal(await part.getByRole("alert").count(), 0);
    assert.equal(await page.locator("#device-empty").isVisible(), false);
  },
  { prepare: (page) => page.route("**/api/sessions", (route) => route.fulfill(problem(503, "unavailable", "Storage does not answer", "", { "retry-after": "5" }))) },
);

consoleTest(
  "everybody can be logged out without the list",
  async (page) => {
    await page.getByLabel("Log in as").fill(someOwner());
    await button(page, "Log in").click();
    await region(page, "Devices").getByRole("alert").waitFor();
    await answerYes(page, "Log out everywhere…", "Log out everywhere");
    await notice(page, "(revoked)");
    await page.getByText("Log in to see where the owner is logged in.").waitFor();
  },
  {
    prepare: (page) =>
      page.route("**/api/sessions", (route) =>
        route.request().method() === "GET" ? route.fulfill(problem(503, "unavailable", "Storage does not answer", "")) : route.continue(),
      ),
  },
);

// What goes wrong

consoleTest("what the Worker refuses is shown where it was asked", async (page) => {
  await notice(page, "No session yet");
  await page.getByLabel("Key", { exact: true }).fill("big");
  await page.getByLabel("Value", { exact: true }).fill(JSON.stringify("x".repeat(70_000)));
  await page.locator("#add-submit").click();
  await page.locator("#add-value-slot").getByRole("alert").filter({ hasText: "too_large" }).waitFor();
  assert.equal((await page.getByLabel("Value", { exact: true }).inputValue()).length, 70_002);
  await requests(page).first().filter({ hasText: "413 too_large" }).waitFor();

  await add(page, "theme", '"dark"');
  await page.route("**/api/session/cycle", (route) => route.fulfill(problem(503, "stale", "An older copy", "It is not what this browser saved last", { "retry-after": "7" })));
  await button(page, "Cycle key").click();
  await region(page, "Session").getByRole("alert").filter({ hasText: "An older copy. It is not what this browser saved last. Try again in 7 s. stale" }).waitFor();

  await page.route("**/api/session/data/theme", (route) => route.fulfill(problem(409, "revoked", "The session was ended", "")));
  await button(page, "Remove theme").click();
  await row(page, "theme").getByRole("alert").filter({ hasText: "The session was ended. revoked" }).waitFor();
  await page.unrouteAll({ behavior: "wait" });
  await button(page, "Remove theme").click();
  await row(page, "theme").waitFor({ state: "detached" });
});

consoleTest(
  "a session that cannot be trusted now is said to be so",
  async (page) => {
    await notice(page, "Storage does not answer. Try again in 5 s. (unavailable)");
    await shows(page, "#session-state", "unavailable");
    await page.unrouteAll({ behavior: "wait" });
    await button(page, "Refresh").click();
    await notice(page, "No session yet");
  },
  { prepare: (page) => page.route("**/api/session", (route) => route.fulfill(problem(503, "unavailable", "Storage does not answer", "", { "retry-after": "5" }))) },
);

consoleTest(
  "with the API unreachable the page says so, explains, and recovers",
  async (page) => {
    await notice(page, "The API cannot be reached. The explanations on this page still apply.");
    await shows(page, "#session-state", "unreachable");
    await region(page, "Three cookies").getByRole("heading", { name: "Who __Host-session" }).waitFor();
    await page.getByLabel("Key", { exact: true }).fill("theme");
    await page.getByLabel("Value", { exact: true }).fill('"dark"');
    await button(page, "Add").click();
    await page.locator("#add-value-slot").getByRole("alert").filter({ hasText: "The API cannot be reached" }).waitFor();
    await requests(page).first().filter({ hasText: "none unreachable" }).waitFor();

    await page.unrouteAll({ behavior: "wait" });
    await button(page, "Add").click();
    await row(page, "theme").waitFor();
    await notice(page, "A live session");

    await page.route(api, (route) => route.abort());
    await button(page, "Refresh").click();
    await notice(page, "The page shows the last answer.");
    assert.equal(await field(page, "theme").inputValue(), '"dark"');
  },
  { prepare: (page) => page.route(api, (route) => route.abort()) },
);

consoleTest("the API counts as reachable again when anything of it answers", async (page) => {
  await logIn(page, someOwner());
  for (const again of [
    () => button(page, "Look again").click(),
    // A refusal is an answer, too.
    () => answerYes(page, "Log out everywhere…", "Log out everywhere"),
  ]) {
    await page.route("**/api/session", (route) => route.abort());
    await button(page, "Refresh").click();
    await notice(page, "The API cannot be reached");
    await page.unrouteAll({ behavior: "wait" });
    await page.route("**/api/sessions", (route) => (route.request().method() === "DELETE" ? route.fulfill(problem(429, "rate_limited", "Too many writes", "")) : route.continue()));
    await again();
    await notice(page, "A live session");
    await shows(page, "#session-state", "live");
  }
});

for (const [what, press] of [
  ["reauthentication", (page) => button(page, "Reauthenticate").click()],
  ["the list of devices", (page) => button(page, "Look again").click()],
]) {
  consoleTest(`a logout in another window is found out by ${what}`, async (page, context) => {
    const owner = someOwner();
    await logIn(page, owner);
    const other = await context.newPage();
    await other.goto(`${worker.origin}/`);
    await shows(other, "#owner-chip", owner);
    await button(other, "Log out").click();
    await shows(other, "#owner-chip", "anonymous");

    // Not brought to the front, which asks, too.
    await press(page);
    await shows(page, "#owner-chip", "anonymous");
    await page.getByText("Log in to see where the owner is logged in.").waitFor();
    for (const name of ["Reauthenticate", "Log out", "Look again", "Log out everywhere…"]) {
      assert.equal(await button(page, name).getAttribute("aria-disabled"), "true");
    }
  });
}

consoleTest(
  "what answers in place of the API is not taken for it",
  async (page) => {
    await notice(page, "The answer is not from the session API");
  },
  { prepare: (page) => page.route(api, (route) => route.fulfill({ contentType: "text/html", body: "<!doctype html>" })) },
);

test("over plain http, where Secure cookies are dropped, the page says so", async () => {
  const { port } = new URL(worker.origin);
  await inConsole({ browser, origin: `http://${PLAIN_HOST}:${port}` }, async (page) => {
    await notice(page, "No session yet");
    await page.getByLabel("Key", { exact: true }).fill("theme");
    await page.getByLabel("Value", { exact: true }).fill('"dark"');
    await button(page, "Add").click();
    await notice(page, "its cookie did not come back");
    await notice(page, "Over plain http this browser drops Secure cookies");
    await shows(page, "#cookies-state", "dropped by the browser");
    assert.equal(await page.getByLabel("Value", { exact: true }).inputValue(), '"dark"');
  });
});

consoleTest("where they are dropped on this machine too, as in Safari, the page says so", async (page, context) => {
  await page.route(api, async (route) => {
    const response = await route.fetch();
    await context.clearCookies();
    const { "set-cookie": _dropped, ...headers } = response.headers();
    await route.fulfill({ response, headers });
  });
  await page.getByLabel("Key", { exact: true }).fill("theme");
  await page.getByLabel("Value", { exact: true }).fill('"dark"');
  await button(page, "Add").click();
  await notice(page, "Over plain http this browser drops Secure cookies, on this machine too, as Safari does");
  assert.equal(await page.evaluate(() => document.cookie), "");
});

test("with cookies blocked the page says so", async () => {
  await withCookiesBlocked(async (context) => {
    const page = await context.newPage();
    await page.goto(`${worker.origin}/`);
    await notice(page, "No session yet");
    await page.getByLabel("Key", { exact: true }).fill("theme");
    await page.getByLabel("Value", { exact: true }).fill('"dark"');
    await button(page, "Add").click();
    await notice(page, "its cookie did not come back");
    await notice(page, "This browser blocks cookies for this site: allow them in its settings.");
    await shows(page, "#cookies-state", "dropped by the browser");
  });
});

// The page

consoleTest("each request is in the log, which can be cleared", async (page) => {
  await add(page, "theme", '"dark"');
  const put = requests(page).filter({ hasText: "PUT" });
  assert.match((await put.innerText()).replace(/\s+/g, " "), /PUT \/api\/session\/data\/theme 200 new \d+/);
  await shows(page, "#log-count", "3 requests");
  await button(page, "Clear log").click();
  assert.equal(await requests(page).count(), 0);
});

consoleTest(
  "the first answer moves nothing",
  async (page) => {
    await notice(page, "No session yet");
    await shows(page, "#fact-outcome", "new");
    assert.deepEqual(await page.evaluate(() => globalThis.movedNodes()), []);
  },
  {
    prepare: (page) =>
      page.addInitScript(() => {
        const shifts = [];
        const observer = new PerformanceObserver((list) => shifts.push(...list.getEntries()));
        observer.observe({ type: "layout-shift", buffered: true });
        globalThis.movedNodes = () => {
          shifts.push(...observer.takeRecords());
          // A slow browser paints a page before it has read all of it, which no response causes.
          const [{ domContentLoadedEventStart: read }] = performance.getEntriesByType("navigation");
          const late = shifts.filter(({ startTime }) => startTime >= read);
          return late.flatMap(({ sources }) => sources.map(({ node }) => node?.id || node?.nodeName));
        };
      }),
  },
);

for (const colorScheme of ["light", "dark"]) {
  consoleTest(
    `320 px are enough, ${colorScheme}`,
    async (page) => {
      await add(page, "k".repeat(90), JSON.stringify("v".repeat(400)));
      await add(page, "cart", '{"items":[{"sku":"A-113","n":2},{"sku":"B-20","n":1}],"currency":"EUR"}');
      await page.getByLabel("Log in as").fill(`owner-${"o".repeat(60)}`);
      await button(page, "Log in").click();
      await shows(page, "#fact-owner", "owner-");
      const { scroll, width } = await page.evaluate(() => ({ scroll: document.documentElement.scrollWidth, width: innerWidth }));
      assert.ok(scroll <= width, `${scroll} px wide in ${width}`);
      for (const control of await page.getByRole("button").all()) {
        if (!(await control.isVisible())) continue;
        const { x, width: wide, height } = await control.boundingBox();
        assert.ok(x >= 0 && x + wide <= width && height >= 24, await control.innerText());
      }
    },
    { viewport: { width: 320, height: 640 }, colorScheme },
  );
}

// Accessibility

for (const colorScheme of ["light", "dark"]) {
  for (const width of [1280, 320]) {
    consoleTest(
      `axe finds nothing serious, ${colorScheme}, ${width} px`,
      async (page) => {
        await notice(page, "No session yet");
        await accessible(page, "no session");

        await add(page, "cart", '{"items": [1, 2]}');
        await logIn(page, someOwner());
        await field(page, "cart").fill("many");
        await button(page, "Save cart").click();
        await row(page, "cart").getByRole("alert").waitFor();
        await accessible(page, "a live session of an owner, and a refusal");

        await button(page, "Destroy…").click();
        await page.getByRole("dialog").waitFor();
        await accessible(page, "a question");
        await page.keyboard.press("Escape");

        await page.route(api, (route) => route.abort());
        await button(page, "Refresh").click();
        await notice(page, "The API cannot be reached");
        await accessible(page, "the API unreachable");
      },
      { viewport: { width, height: 900 }, colorScheme },
    );
  }
}

test("the assets come with a strict policy", async () => {
  for (const path of ["/", "/js/main.js", "/style.css"]) {
    const { headers, status } = await fetch(worker.origin + path);
    assert.equal(status, 200);
    const policy = headers.get("content-security-policy");
    for (const part of ["default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'", "img-src 'self'", "base-uri 'none'", "form-action 'self'", "frame-ancestors 'none'"]) {
      assert.ok(policy.split("; ").includes(part), `${path}: ${part}`);
    }
    assert.doesNotMatch(policy, /unsafe/);
    assert.equal(headers.get("x-content-type-options"), "nosniff");
    assert.ok(headers.get("referrer-policy"));
  }
});
