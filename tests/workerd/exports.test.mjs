// What the deployable Worker's wasm exports.

import { join } from "node:path";
import { test } from "node:test";

import { assertExports } from "../exports.mjs";
import { workerDirectory } from "./support/sessions.mjs";

test("exports_of_the_worker_are_those_listed", async () => {
  assertExports(join(await workerDirectory(), "edge_session_bg.wasm"), "worker");
});
