// A Worker and a browser for the tests.

import assert from "node:assert/strict";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";

import { killGroup, spawnGroup } from "../../scripts/run.mjs";

const ROOT = new URL("../../", import.meta.url);

const BROWSERS = [
  process.env.CHROME,
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
  "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
];

/** Another name of the Worker's host, over plain http, where browsers keep no `Secure` cookie. */
export const PLAIN_HOST = "edge-session.test";

/** The Worker at `EDGE_SESSION_URL`, or one of our own from `npm start`: with a `store`, always that. */
export async function startWorker({ store } = {}) {
  const given = process.env.EDGE_SESSION_URL;
  if (given && !store) return { origin: new URL(given).origin, stop() {} };

  for (let tries = 1; ; tries += 1) {
    try {
      return await startOwn(store);
    } catch (error) {
      // Two that look for free ports at the same time may find the same one.
      if (tries === 3 || !/EADDRINUSE|address already in use/i.test(error.message)) throw error;
    }
  }
}

async function startOwn(store) {
  // Several test files run at the same time: each Worker has ports and a disk of its own.
  const state = mkdtempSync(join(tmpdir(), "edge-session-state-"));
  const own = ["--port", "0", "--inspector-port", "0", "--persist-to", state];
  const args = ["start", "--", ...own, ...(store ? ["--store", store] : [])];
  const worker = spawnGroup("npm", args, { cwd: ROOT, stdio: ["ignore", "pipe", "pipe"] });
  const stop = () => {
    killGroup(worker);
    try {
      rmSync(state, { recursive: true, force: true, maxRetries: 5 });
    } catch {
      // workerd is still writing. The system cleans its temporary files.
    }
  };
  let said = "";
  try {
    const url = await new Promise((resolve, reject) => {
      const listen = (chunk) => {
        said += chunk;
        const [, url] = said.match(/^> edge-session runs at (\S+)/m) ?? [];
        if (url) resolve(url);
      };
      worker.stdout.on("data", listen);
      worker.stderr.on("data", listen);
      worker.on("error", reject);
      worker.on("exit", (code) => reject(new Error(`npm start ended with ${code}:\n${said}`)));
    });
    const { origin } = new URL(url);
    assert.equal((await fetch(`${origin}/healthz`)).status, 200);
    return { origin, stop };
  } catch (error) {
    stop();
    throw error;
  }
}

/** `more` are options of Playwright. */
export const startBrowser = (more = {}) => chromium.launch({ ...launchOptions(), ...more });

/** Runs `steps` in a profile whose settings block all cookies. */
export async function withCookiesBlocked(steps) {
  const profile = mkdtempSync(join(tmpdir(), "edge-session-profile-"));
  mkdirSync(join(profile, "Default"));
  const preferences = { profile: { default_content_setting_values: { cookies: 2 } } };
  writeFileSync(join(profile, "Default", "Preferences"), JSON.stringify(preferences));
  const context = await chromium.launchPersistentContext(profile, launchOptions());
  context.setDefaultTimeout(15_000);
  try {
    await steps(context);
  } finally {
    // Ignore responses that are still in progress.
    for (const page of context.pages()) await page.unrouteAll({ behavior: "ignoreErrors" });
    await context.close();
    rmSync(profile, { recursive: true, force: true });
  }
}

function launchOptions() {
  const executablePath = BROWSERS.find((path) => path && existsSync(path));
  assert.ok(executablePath, "no Chromium found: set CHROME to one");
  const args = [`--host-resolver-rules=MAP ${PLAIN_HOST} 127.0.0.1`, "--disable-features=HttpsUpgrades", "--disable-quic"];
  if (process.getuid?.() === 0) args.push("--no-sandbox");
  return { executablePath, args };
}

/**
 * Runs `steps` in a new browser profile, then checks the rules for every page of
 * the console: no request to another origin, no violation of its
 * Content-Security-Policy, no failed script.
 */
export async function inConsole({ browser, origin, prepare, ...options }, steps) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, locale: "en-GB", ...options });
  context.setDefaultTimeout(15_000);
  const requests = [];
  const faults = [];
  context.on("request", (request) => requests.push(request.url()));
  context.on("weberror", (error) => faults.push(error.error().stack));
  await context.exposeBinding("reportViolation", (_source, violation) => faults.push(violation));
  await context.addInitScript(() => {
    addEventListener("securitypolicyviolation", (event) => {
      globalThis.reportViolation(`${event.effectiveDirective} broken by ${event.blockedURI}`);
    });
  });
  try {
    const page = await context.newPage();
    await prepare?.(page, context);
    await page.goto(`${origin}/`);
    await steps(page, context);
    assert.deepEqual(requests.filter((url) => new URL(url).origin !== origin), []);
    assert.deepEqual(faults, []);
  } finally {
    // Ignore responses that are still in progress.
    for (const page of context.pages()) await page.unrouteAll({ behavior: "ignoreErrors" });
    await context.close();
  }
}

// Accessibility, with the rules of axe-core (https://github.com/dequelabs/axe-core)

const AXE = readFileSync(fileURLToPath(import.meta.resolve("axe-core/axe.min.js")), "utf8");
const TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"];

/** Fails if axe finds a serious or critical problem in the current page. */
export async function accessible(page, state) {
  // During a transition, colours have neither contrast.
  await page.evaluate(() => Promise.allSettled(document.getAnimations().map(({ finished }) => finished)));
  if (!(await page.evaluate(() => "axe" in globalThis))) await page.evaluate(AXE);
  const { violations, passes } = await page.evaluate((tags) => globalThis.axe.run({ runOnly: tags }), TAGS);
  assert.ok(passes.length > 10, `axe looked at little: ${passes.length} rules passed`);
  const serious = violations.filter(({ impact }) => impact === "serious" || impact === "critical");
  const found = serious.map(({ id, nodes }) => `${id}: ${nodes.map(({ target }) => target.join(" ")).join(", ")}`);
  assert.deepEqual(found, [], state);
}
