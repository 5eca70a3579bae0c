// The examples with sessions in Durable Objects, in workerd: in JavaScript, in Rust, and with a Worker
// of its own that has the objects.

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, suite, test } from "node:test";

import { buildExample } from "../../scripts/build.mjs";
import { buildPackage } from "../../scripts/build-package.mjs";
import { inRoot, killGroup, spawnGroup } from "../../scripts/run.mjs";
import { startWith } from "../package/support/bundle.mjs";
import { Browser } from "../workerd/support/browser.mjs";
import { startWorker } from "../workerd/support/harness.mjs";

const COOKIE = "__Host-session";
const options = { objects: true, vars: { SESSION_STORAGE: "durable_object" } };

const examples = {
  async "examples/objects-js"() {
    await buildPackage();
    return startWith("examples/objects-js/src/index.js", options);
  },
  async "examples/objects-rust"() {
    const { dir } = await buildExample("objects-rust", { object: true });
    return startWorker({ directory: dir, ...options });
  },
  async "examples/objects-shared"() {
    await buildPackage();
    const beside = { objects: { entry: "examples/objects-shared/object/index.js" } };
    return startWith("examples/objects-shared/site/index.js", { ...options, objects: "objects", beside });
  },
};

const home = async (browser) => (await browser.fetch("/")).text;

async function post(browser, path, body) {
  const { status, headers, text } = await browser.fetch(path, { method: "POST", body });
  assert.deepEqual([status, headers.location], [303, "/"], text);
}

async function loggedIn(world, user) {
  const browser = world.browser();
  await post(browser, "/login", user);
  await post(browser, "/count");
  return browser;
}

for (const [name, start] of Object.entries(examples)) {
  suite(name, () => {
    let world;
    before(async () => {
      world = await start();
    });
    after(() => world?.stop());

    test("counts for each visitor, across a login, without KV", async () => {
      const [ada, bob] = [world.browser(), world.browser()];
      for (const browser of [ada, ada, bob]) await post(browser, "/count");
      assert.deepEqual([await home(ada), await home(bob)], ["nobody: 2", "nobody: 1"]);
      await post(ada, "/login", "ada");
      await post(ada, "/count");
      assert.deepEqual([await home(ada), await home(bob)], ["ada: 3", "nobody: 1"]);
      assert.deepEqual([ada.names, ada.refused], [[COOKIE], []]);
      assert.deepEqual(await world.storage.counts(), { reads: 0, keysRead: 0, puts: 0, deletes: 0, lists: 0 });
    });

    test("a logout ends the session on the very next request of another client with a copied cookie", async () => {
      const browser = await loggedIn(world, "carol");
      const [reader, writer] = [browser.clone(), browser.clone()];
      assert.deepEqual([await home(reader), await home(writer)], ["carol: 1", "carol: 1"]);
      await post(browser, "/logout");
      assert.deepEqual(browser.names, []);
      assert.equal(await home(reader), "nobody: 0");
      const refused = await writer.fetch("/count", { method: "POST" });
      assert.deepEqual([refused.status, refused.json.code], [409, "revoked"]);
    });

    test("a logout everywhere ends every session of the user, and nobody else's", async () => {
      const browsers = [];
      for (let i = 0; i < 4; i += 1) browsers.push(await loggedIn(world, "dora"));
      const other = await loggedIn(world, "emil");
      const copies = browsers.map((browser) => browser.clone());
      await post(browsers[0], "/logout-everywhere");
      for (const browser of [...browsers, ...copies]) assert.equal(await home(browser), "nobody: 0");
      assert.equal(await home(other), "emil: 1");
    });
  });
}

suite("examples/objects-shared under wrangler dev", () => {
  let folder;
  let wrangler;
  let ended;
  after(async () => {
    if (wrangler) killGroup(wrangler);
    await ended;
    if (folder) rmSync(folder, { recursive: true, force: true });
  });

  test("the site reaches the class of the other Worker by its script_name", { timeout: 120_000 }, async () => {
    await buildPackage();
    folder = mkdtempSync(join(tmpdir(), "edge-session-objects-"));
    cpSync(inRoot("examples", "objects-shared"), folder, { recursive: true });
    mkdirSync(join(folder, "node_modules"));
    symlinkSync(inRoot("pkg"), join(folder, "node_modules", "edge-session"), "dir");
    writeFileSync(join(folder, "site", ".dev.vars"), `SESSION_SECRET=${randomBytes(32).toString("base64url")}\n`);

    const { scripts } = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
    const [, ...args] = scripts.start.split(" ");
    const program = inRoot("node_modules", "wrangler", "bin", "wrangler.js");
    const quiet = { CI: "true", WRANGLER_HIDE_BANNER: "true", WRANGLER_SEND_METRICS: "false", WRANGLER_WRITE_LOGS: "false" };
    const local = ["--ip", "127.0.0.1", "--port", "0", "--inspector-port", "0"];
    wrangler = spawnGroup(process.execPath, [program, ...args, ...local], {
      cwd: folder,
      env: { ...process.env, ...quiet },
      stdio: ["ignore", "pipe", "pipe"],
    });
    ended = new Promise((resolve) => wrangler.once("exit", resolve));
    const url = await new Promise((resolve, reject) => {
      let said = "";
      const listen = (chunk) => {
        said += chunk;
        const [, ready] = said.match(/Ready on (http\S+)/i) ?? [];
        if (ready) resolve(ready);
      };
      wrangler.stdout.setEncoding("utf8").on("data", listen);
      wrangler.stderr.setEncoding("utf8").on("data", listen);
      wrangler.on("exit", (status) => reject(new Error(`wrangler dev ended with ${status}:\n${said}`)));
    });

    const browser = new Browser(url);
    await post(browser, "/login", "ada");
    await post(browser, "/count");
    const copied = browser.clone();
    assert.equal(await home(copied), "ada: 1");
    await post(browser, "/logout-everywhere");
    assert.equal(await home(copied), "nobody: 0");
  });
});
