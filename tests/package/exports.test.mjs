// The exports of the npm package's wasm, and that it contains no mutants.

import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { assertExports, assertNoMutants } from "../exports.mjs";

const wasm = fileURLToPath(new URL("../../pkg/session.wasm", import.meta.url));

test("exports_of_the_package_are_those_listed", () => {
  assertExports(wasm, "package");
});

test("the_package_is_built_without_mutants", () => {
  assertNoMutants(wasm);
});
