// A Chromium for the tests: found or installed.

import { existsSync } from "node:fs";
import { aptInstall, canApt } from "./apt.mjs";
import { Missing, exec, inRoot, say, which } from "./run.mjs";

const DOWNLOAD_SECONDS = 300;

/** The path of a Chromium, which is installed if necessary; or null, after printing why. */
export async function ensureBrowser() {
  const { CHROME } = process.env;
  if (CHROME) {
    if (existsSync(CHROME)) return CHROME;
    throw new Missing(`CHROME names ${CHROME}, which does not exist`);
  }
  const found = (await usual()) ?? (await download());
  if (!found) {
    say(
      "no browser for the tests. Install one with: npx playwright-core install --with-deps chromium, " +
        "or set CHROME to a Chrome or Chromium",
    );
  }
  return found;
}

async function usual() {
  const installed = which(
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
  );
  if (installed) return installed;
  const { chromium } = await import("playwright-core");
  const own = chromium.executablePath();
  return existsSync(own) ? own : null;
}

async function download() {
  if (canApt()) {
    await aptInstall(["chromium"], "browser for the tests");
    const found = await usual();
    if (found) return found;
  }
  say("browser for the tests: playwright-core install chromium");
  const cli = inRoot("node_modules", "playwright-core", "cli.js");
  await exec(process.execPath, [cli, "install", "--no-shell", "chromium"], {
    capture: true,
    timeoutSeconds: DOWNLOAD_SECONDS,
  });
  return usual();
}

/** Starts the browser that CHROME names, headless, with an empty profile. */
export async function launchBrowser() {
  const { chromium } = await import("playwright-core");
  const args = ["--disable-gpu", "--disable-quic"];
  // Chromium refuses to sandbox itself as root, which is what containers run as.
  if (process.getuid?.() === 0) args.push("--no-sandbox");
  return chromium.launch({ executablePath: process.env.CHROME, args });
}
