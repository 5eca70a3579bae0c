// `npm run lab`, in a copy of the scripts.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";

const copy = mkdtempSync(join(tmpdir(), "edge-session-lab-test-"));
after(() => rmSync(copy, { recursive: true, force: true }));

/** Runs the script with a program in the place of cargo. */
function lab(cargo) {
  writeFileSync(join(copy, "bin", "cargo"), `#!/bin/sh\n${cargo}\n`, { mode: 0o755 });
  const env = { ...process.env, PATH: `${join(copy, "bin")}${delimiter}${process.env.PATH}` };
  return spawnSync(process.execPath, [join(copy, "scripts", "lab.mjs")], { encoding: "utf8", env });
}

test("the recorded histories are replaced only by complete new ones", () => {
  cpSync(fileURLToPath(new URL("../../scripts", import.meta.url)), join(copy, "scripts"), { recursive: true });
  mkdirSync(join(copy, "bin"));
  const home = join(copy, "www", "lab");
  mkdirSync(home, { recursive: true });
  writeFileSync(join(home, "old.json"), "old");

  const failed = lab("exit 101");
  assert.equal(failed.status, 1, failed.stderr);
  assert.equal(readFileSync(join(home, "old.json"), "utf8"), "old");

  const recorded = lab('for folder; do :; done; echo new > "$folder/new.json"');
  assert.equal(recorded.status, 0, recorded.stderr);
  assert.deepEqual(readdirSync(home), ["new.json"]);
});
