// Loaded by `npm test` before each JavaScript test file. A test without an assertion and a file without
// a test cannot fail, so both count as failures.

import assert from "node:assert/strict";
import { afterEach, beforeEach } from "node:test";

let assertions = 0;
let tests = 0;
const before = new Map();

for (const [name, value] of Object.entries(assert)) {
  if (typeof value !== "function" || name === "AssertionError") continue;
  // A getter instead of a wrapper function, so that a failure shows the line of the assertion.
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

// An assertion in a nested test counts for both tests.
afterEach(({ fullName, name }) => {
  if (assertions === before.get(fullName ?? name)) throw new Error("this test has no assertion, so it cannot fail");
});

process.on("exit", () => {
  if (tests > 0 || !process.env.NODE_TEST_CONTEXT) return;
  console.error(`${process.argv[1]} has no test`);
  process.exitCode = 1;
});
