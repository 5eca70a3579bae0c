// Files that record the current behaviour of the package. `EDGE_SESSION_UPDATE=1` writes them instead of
// comparing.

import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

const isUpdate = !["", "0", undefined].includes(process.env.EDGE_SESSION_UPDATE);
const fileOf = (name) => fileURLToPath(new URL(`../../golden/${name}`, import.meta.url));

export const golden = (name) => (existsSync(fileOf(name)) ? readFileSync(fileOf(name), "utf8") : "");

/** Fails with the lines in which `found` differs from `tests/golden/<name>`. */
export function compare(name, found) {
  if (isUpdate) return writeFileSync(fileOf(name), found);
  const wanted = golden(name);
  if (wanted === found) return undefined;
  assert.fail(
    `tests/golden/${name} says otherwise (- the file, + this build):\n${difference(wanted, found)}\n` +
      "If the change is meant, write the file with EDGE_SESSION_UPDATE=1.",
  );
}

/** The lines of the one text that the other lacks, each under its heading. */
function difference(old, fresh) {
  const [before, after] = [old, fresh].map(sections);
  const shown = [];
  for (const heading of new Set([...before.keys(), ...after.keys()])) {
    const [was, is] = [before, after].map((text) => text.get(heading) ?? []);
    const lines = [
      ...was.filter((line) => !is.includes(line)).map((line) => `- ${line}`),
      ...is.filter((line) => !was.includes(line)).map((line) => `+ ${line}`),
    ];
    if (lines.length) shown.push(`  ${heading}`, ...lines);
  }
  return shown.join("\n");
}

/** The lines of a text by its headings, which begin with `---`. */
function sections(text) {
  const found = new Map();
  let lines = [];
  for (const line of text.split("\n")) {
    if (line.startsWith("---")) {
      const [heading] = line.split(":");
      found.set(heading, (lines = []));
    }
    lines.push(line);
  }
  return found;
}
