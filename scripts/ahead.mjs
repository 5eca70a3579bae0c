// Builds what the kinds of tests need whose names are the arguments. `npm test` runs this beside the first
// kinds: the compiler uses one core for the last steps of a wasm, and tests wait.

import { buildPackage } from "./build-package.mjs";
import { buildExample, buildTestObject, buildWorker } from "./build.mjs";
import { main } from "./run.mjs";
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

await main(async () => {
  const kinds = process.argv.slice(2);
  for (const [those, build] of needs) if (those.some((kind) => kinds.includes(kind))) await build();
});
