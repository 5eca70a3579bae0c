// `npm run audit`, with programs in the places of cargo-deny and npm that print what those print.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";

const script = fileURLToPath(new URL("../../scripts/audit.mjs", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "edge-session-audit-"));
after(() => rmSync(folder, { recursive: true, force: true }));

const program = (name, text) => writeFileSync(join(folder, name), `#!/bin/sh\n${text}\n`, { mode: 0o755 });

/** Runs the audit. `fetch` and `check` are what cargo-deny does, and `npm` what npm does, as lines of a shell. */
function audit({ fetch = "true", check = "true", npm = `echo '{ "vulnerabilities": {} }'` }) {
  program("cargo-deny", `case "$*" in fetch*) ${fetch};; *) ${check};; esac`);
  program("npm", npm);
  const env = { ...process.env, PATH: `${folder}${delimiter}${process.env.PATH}` };
  const { status, stdout, stderr } = spawnSync(process.execPath, [script], { encoding: "utf8", env });
  return { status, output: stdout + stderr };
}

test("without vulnerabilities the audit succeeds, also if npm has warnings", () => {
  const { status, output } = audit({ npm: `echo 'npm warn old lockfile' >&2; echo '{ "vulnerabilities": {} }'` });
  assert.equal(status, 0, output);
});

test("an advisory about a network timeout is not taken for a failed connection", () => {
  const rust = audit({ check: "echo 'error[vulnerability]: a network timeout, failed to fetch' >&2; exit 1" });
  assert.equal(rust.status, 1, rust.output);
  assert.match(rust.output, /vulnerabilities found, see above: Rust/);

  const via = [{ title: "the network could not resolve a timeout", url: "https://example.com/1" }, "other"];
  const vulnerabilities = { some: { name: "some", severity: "high", range: "<2", via } };
  const npm = audit({ npm: `echo '${JSON.stringify({ vulnerabilities })}'; exit 1` });
  assert.equal(npm.status, 1, npm.output);
  assert.match(npm.output, /^some <2, high: the network could not resolve a timeout https:\/\/example.com\/1; depends on other$/m);
});

test("an unreachable database is not reported as a vulnerability", () => {
  const rust = audit({ fetch: "echo 'failed to fetch database' >&2; exit 1" });
  assert.equal(rust.status, 3, rust.output);
  const npm = audit({ npm: `echo '{ "message": "405 Method Not Allowed", "error": { "summary": "" } }'; exit 1` });
  assert.equal(npm.status, 3, npm.output);
  assert.match(npm.output, /405 Method Not Allowed/);
});
