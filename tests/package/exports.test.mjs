// What the npm package's wasm exports.

import { test } from "node:test";
import { fileURLToPath } from "node:url";

import { assertExports } from "../exports.mjs";

test("exports_of_the_package_are_those_listed", () => {
  assertExports(fileURLToPath(new URL("../../pkg/session.wasm", import.meta.url)), "package");
});
