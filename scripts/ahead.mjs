// Builds what some kinds of tests need. `npm test` runs this as a program beside the first kinds, with the names of
// the others: the compiler uses one core for the last steps of a wasm, and tests wait.

import { buildPackage } from "./build-package.mjs";
import { buildExample, buildTestObject, buildWorker } from "./build.mjs";
import { isProgram, main } from "./run.mjs";
import { npmPackages } from "./setup.mjs";

const needs = [
  [["http", "browser", "scripts", "examples"], buildWorker],
  [["package", "examples", "frameworks"], buildPackage],
  [["object", "examples"], buildTestObject],
  [["examples"], () => buildExample("objects-rust", { object: true })],
  [["examples"], () => buildExample("rust-worker")],
  [["examples"], () => buildExample("shop-worker")],
  [["examples"], () => buildExample("axum")],
  [["frameworks"], () => npmPackages("examples")],
];

export async function buildFor(kinds) {
  for (const [those, build] of needs) if (those.some((kind) => kinds.includes(kind))) await build();
}

if (isProgram(import.meta.url)) await main(() => buildFor(process.argv.slice(2)));
