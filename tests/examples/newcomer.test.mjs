// Follows docs/getting-started-javascript.md literally: a directory beside this one, the commands and files,
// and a Worker that responds.

import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

import { buildPackage } from "../../scripts/build-package.mjs";
import { ask, exec, inRoot, killGroup, spawnGroup } from "../../scripts/run.mjs";

const page = readFileSync(inRoot("docs", "getting-started-javascript.md"), "utf8");
/** The blocks of a language, in order. */
const blocks = (language) => [...page.matchAll(new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\`$`, "gms"))].map(([, code]) => code);

const quiet = { CI: "true", WRANGLER_HIDE_BANNER: "true", WRANGLER_SEND_METRICS: "false", WRANGLER_WRITE_LOGS: "false" };

test("the steps of getting started in JavaScript make a Worker that counts", { timeout: 300_000 }, async () => {
  await buildPackage();
  const parent = mkdtempSync(join(tmpdir(), "edge-session-newcomer-"));
  const home = join(parent, "my-worker");
  mkdirSync(join(home, "src"), { recursive: true });
  symlinkSync(inRoot(), join(parent, "edge-session"), "dir");
  let worker;
  try {
    const [build, installs, secret] = blocks("sh").map((code) => code.trim());
    assert.equal(build, "npm run build:package");
    const [install, ...others] = installs.split("\n");
    assert.equal(install, "npm install ../edge-session/pkg");
    assert.deepEqual(others, ["npm install --save-dev wrangler"], "this test has one already");
    const installed = await exec("sh", ["-c", `${install} --no-audit --no-fund`], { cwd: home, capture: true });
    assert.equal(installed.status, 0, installed.output);

    assert.equal(secret, 'echo "SESSION_SECRET=$(openssl rand -base64 32)" >> .dev.vars');
    const printed = await exec("sh", ["-c", secret], { cwd: home, capture: true });
    assert.equal(printed.status, 0, printed.output);
    assert.match(readFileSync(join(home, ".dev.vars"), "utf8"), /^SESSION_SECRET=[\w+/]{43}=\n$/);
    writeFileSync(join(home, "wrangler.toml"), blocks("toml")[0]);
    writeFileSync(join(home, "src", "index.js"), blocks("js")[0]);

    const wrangler = inRoot("node_modules", "wrangler", "bin", "wrangler.js");
    worker = spawnGroup(process.execPath, [wrangler, "dev", "--port", "0", "--inspector-port", "0", "--ip", "127.0.0.1"], {
      cwd: home,
      env: { ...process.env, ...quiet },
      stdio: ["ignore", "pipe", "pipe"],
    });
    const url = await new Promise((resolve, reject) => {
      let said = "";
      const listen = (chunk) => {
        said += chunk;
        const [, ready] = said.match(/Ready on (http\S+)/i) ?? [];
        if (ready) resolve(ready);
      };
      worker.stdout.setEncoding("utf8").on("data", listen);
      worker.stderr.setEncoding("utf8").on("data", listen);
      worker.on("exit", (status) => reject(new Error(`wrangler dev ended with ${status}:\n${said}`)));
    });

    const first = await fetch(url);
    assert.deepEqual([first.status, await first.text()], [200, "1"]);
    const cookie = first.headers.getSetCookie().map((line) => line.split(";")[0]).join("; ");
    const second = await fetch(url, { headers: { cookie } });
    assert.equal(await second.text(), "2");
  } finally {
    if (worker) killGroup(worker);
    rmSync(parent, { recursive: true, force: true });
  }
});

test("`npm run -s secret` prints a secret, and nothing else", () => {
  const secret = ask("npm", ["run", "-s", "secret"]);
  assert.match(secret, /^[\w-]{43}$/);
  assert.notEqual(ask("npm", ["run", "-s", "secret"]), secret);
});
