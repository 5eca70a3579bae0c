// The package's README, which must be complete without the rest of the repository.

import assert from "node:assert/strict";
import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { test } from "node:test";

const file = (name) => fileURLToPath(new URL(`../../${name}`, import.meta.url));
const read = (name) => readFileSync(file(name), "utf8");
const readme = read("js/README.md");

/** The rows of the settings tables in a document, without links. */
const settings = (text) =>
  [...text.matchAll(/^\| `SESSION_\w+` \| `\w+` \|.*$/gm)].map(([row]) => row.replaceAll(/\[([^\]]+)\]\([^)]*\)/g, "$1"));

test("the README has the settings as docs/settings.md has them", () => {
  const wanted = settings(read("docs/settings.md"));
  assert.ok(wanted.length > 20);
  if (process.env.EDGE_SESSION_UPDATE === "1") {
    const table = /^(\| variable \| option \|.*\n\|[-|]+\n)(?:\|.*\n)*/m;
    writeFileSync(file("js/README.md"), readme.replace(table, (_, head) => `${head}${wanted.join("\n")}\n`));
    return;
  }
  assert.deepEqual(settings(readme), wanted, "EDGE_SESSION_UPDATE=1 writes the table");
});

test("the README leads nowhere that a reader of the package cannot go", () => {
  const text = readme.replaceAll(/^```[^]*?^```/gm, "");
  const links = [...text.matchAll(/\]\(([^)]+)\)|<(\w+:[^>]+)>|^\[[^\]]+\]: (\S+)/gm)].map((found) => found.slice(1).find(Boolean));
  assert.deepEqual(links.filter((link) => !/^https:\/\/(hono\.dev|developers\.cloudflare\.com)\//.test(link)), []);
  const types = readdirSync(file("js")).filter((name) => name.endsWith(".d.ts"));
  for (const name of ["js/README.md", ...types.map((name) => `js/${name}`)]) {
    assert.doesNotMatch(read(name), /\bdocs\/|\bnpm run\b|\bCHANGELOG\b|\bexamples\//, name);
  }
});

test("the manifest says what the package is, and names no address that is not there", () => {
  const manifest = JSON.parse(read("pkg/package.json"));
  assert.match(manifest.description, /sessions? for Cloudflare Workers/);
  assert.ok(manifest.keywords.length >= 5);
  for (const word of ["session", "cloudflare", "workers", "hono"]) assert.ok(manifest.keywords.includes(word), word);
  assert.doesNotMatch(JSON.stringify(manifest), /https?:|git[@+:]|\bgithub\b/);
  for (const field of ["repository", "homepage", "bugs", "funding", "author"]) assert.equal(manifest[field], undefined, field);
  const [crate] = read("Cargo.toml").match(/^\[package\]\n(?:(?!\[).*\n)*/);
  assert.match(crate, /^name = "edge-session"$/m);
  assert.doesNotMatch(crate, /https?:/);
});
