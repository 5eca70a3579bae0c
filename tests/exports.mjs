// The functions that a wasm file gives to JavaScript, against a checked-in list: no helper becomes
// public by accident. What starts with `__` and the `r2range`, `minifyconfig`, `container…` and
// `intounderlying…` classes come from wasm-bindgen and the crate `worker`.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";

const LISTS = JSON.parse(readFileSync(new URL("exports.json", import.meta.url), "utf8"));

/** Names of closures carry a hash of the build. */
const stable = (name) => name.replace(/__h[0-9a-f]{16}$/, "");

export function assertExports(file, list) {
  const module = new WebAssembly.Module(readFileSync(file));
  const functions = WebAssembly.Module.exports(module).filter(({ kind }) => kind === "function");
  const names = [...new Set(functions.map(({ name }) => stable(name)))].sort();
  assert.deepEqual(names, LISTS[list], `tests/exports.json, ${list}`);
}

/** What src/mutant.rs can break, by name. */
export function mutants() {
  const source = readFileSync(new URL("../src/mutant.rs", import.meta.url), "utf8");
  const [, list] = source.match(/^ {4}list! \{\n([a-z_\s]+)\}/m);
  return list.trim().split(/\s+/);
}

/** No switch that breaks a rule of the protocol is in the wasm: it is built without the feature. */
export function assertNoMutants(file) {
  const text = readFileSync(file, "latin1");
  assert.ok(mutants().length >= 20);
  assert.deepEqual(mutants().filter((name) => text.includes(name)), []);
}
