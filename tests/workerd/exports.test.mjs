// The exports of the deployable Worker's wasm, and features that cannot be built into wasm.

import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";

import { exec, inRoot } from "../../scripts/run.mjs";
import { wasmTarget } from "../../scripts/wasm-target.mjs";
import { assertExports, assertNoMutants } from "../exports.mjs";
import { workerDirectory } from "./support/sessions.mjs";

test("exports_of_the_worker_are_those_listed", async () => {
  assertExports(join(await workerDirectory(), "edge_session_bg.wasm"), "worker");
});

test("the_worker_is_built_without_mutants", async () => {
  assertNoMutants(join(await workerDirectory(), "edge_session_bg.wasm"));
});

test("no_wasm_can_be_built_with_mutants", async () => {
  const { env, flags } = await wasmTarget();
  const compile = (...cfg) =>
    exec(
      env.RUSTC ?? "rustc",
      [
        "--edition=2024",
        "--crate-type=rlib",
        "--emit=metadata",
        "--out-dir",
        env.CARGO_TARGET_DIR,
        "--crate-name=mutant",
        "--target=wasm32-unknown-unknown",
        ...(flags ? [flags] : []),
        ...cfg,
        inRoot("src", "mutant.rs"),
      ],
      { env, capture: true },
    );
  const without = await compile();
  assert.equal(without.status, 0, without.output);
  const { status, output } = await compile("--cfg", 'feature="mutants"');
  assert.equal(status, 1);
  assert.match(output, /the feature `mutants` breaks the protocol on purpose/);
});
