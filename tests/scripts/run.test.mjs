// What scripts/run.mjs does for every script, by small scripts that use it.

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";

const folder = mkdtempSync(join(tmpdir(), "edge-session-run-"));
after(() => rmSync(folder, { recursive: true, force: true }));

/** Runs a script with what run.mjs exports, and sends it the signal when it prints `ready`. */
async function stopped(script, signal = "SIGTERM") {
  const run = JSON.stringify(new URL("../../scripts/run.mjs", import.meta.url).href);
  const source = `const { exec, main, spawnGroup } = await import(${run});\n${script}`;
  const child = spawn(process.execPath, ["--input-type=module", "-e", source], { stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text) => {
      output += text;
      if (/^ready$/m.test(text)) child.kill(signal);
    });
  }
  const status = await new Promise((resolve) => child.once("close", (code, by) => resolve(code ?? by)));
  return { status, output };
}

test("a script that is stopped starts no other program", { timeout: 20_000 }, async () => {
  for (const [signal, expected] of [["SIGINT", 130], ["SIGTERM", 143]]) {
    const file = join(folder, signal);
    const script = `
      await main(async () => {
        // Its exit status is that of a success, as for a program that handles the signal.
        const { status } = await exec("sh", ["-c", "trap 'exit 0' TERM; echo ready; while :; do sleep 0.05; done"]);
        console.log("went on with", status);
        await exec("touch", [${JSON.stringify(file)}]);
      });`;
    const { status, output } = await stopped(script, signal);
    assert.deepEqual([status, existsSync(file)], [expected, false]);
    assert.doesNotMatch(output, /went on/);
  }
});

test("a script that is stopped between two programs does not start the second", { timeout: 20_000 }, async () => {
  const file = join(folder, "between");
  const script = `
    await main(async () => {
      console.log("ready");
      await new Promise((resolve) => process.once("SIGTERM", resolve));
      await exec("touch", [${JSON.stringify(file)}]);
    });`;
  const waiting = `const stay = setInterval(() => {}, 1000); process.once("SIGTERM", () => clearInterval(stay));`;
  const { status } = await stopped(waiting + script);
  assert.deepEqual([status, existsSync(file)], [143, false]);
});

test("a script that is stopped leaves nothing running that ignores the signal", { timeout: 20_000 }, async () => {
  // The shell ends at once. `stopped` waits for every process that has its output open.
  const script = `await main(() => exec("sh", ["-c", "(trap '' TERM; echo ready; sleep 60) & wait"]));`;
  const { status } = await stopped(script);
  assert.equal(status, 143);
});

test("a signal that ends a test file ends what it has started", { timeout: 20_000 }, async () => {
  for (const signal of ["SIGINT", "SIGTERM"]) {
    const script = `spawnGroup("sh", ["-c", "sleep 60 & echo ready; wait"], { stdio: "inherit" });`;
    const { status } = await stopped(script, signal);
    assert.equal(status, { SIGINT: 130, SIGTERM: 143 }[signal]);
  }
});

test("a script runs when its path has a link in it", () => {
  const link = join(folder, "link");
  symlinkSync(fileURLToPath(new URL("../../", import.meta.url)), link, "dir");
  const output = (name, ...args) => execFileSync(process.execPath, [join(link, "scripts", name), ...args], { encoding: "utf8" });
  assert.match(output("secret.mjs"), /^[\w-]{43}\n$/);
  assert.match(output("defences.mjs", "--list"), /^\| defence \|/);
  assert.match(output("floors.mjs"), /all point downwards/);
});
