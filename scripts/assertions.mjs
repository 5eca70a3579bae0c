// Loaded by `npm test` before each file of tests in JavaScript: a test that asserts nothing, and a
// file without a test, cannot fail, and are failures for that.

import assert from "node:assert/strict";
import { afterEach, beforeEach } from "node:test";

let assertions = 0;
let tests = 0;
const before = new Map();

for (const [name, value] of Object.entries(assert)) {
  if (typeof value !== "function" || name === "AssertionError") continue;
  // A getter, and no function around it: what a failure shows is the line that asserts.
  const get = () => {
    assertions += 1;
    return value;
  };
  Object.defineProperty(assert, name, { get, enumerable: true, configurable: true });
}

beforeEach(({ fullName, name }) => {
  tests += 1;
  before.set(fullName ?? name, assertions);
});

// What a test inside of another asserts counts for both.
afterEach(({ fullName, name }) => {
  if (assertions === before.get(fullName ?? name)) throw new Error("this test asserts nothing, and cannot fail");
});

process.on("exit", () => {
  if (tests > 0 || !process.env.NODE_TEST_CONTEXT) return;
  console.error(`${process.argv[1]} has no test`);
  process.exitCode = 1;
});
