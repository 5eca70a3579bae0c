// `npm run check`: what is asked of a change besides its tests. Every check runs, whatever
// the others found; one that could not run has failed.

import { existsSync, readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { buildPackage } from "./build-package.mjs";
import { buildWorker, cargoWasm } from "./build.mjs";
import { ensureCargoDeny, ensureComponents, ensureWasmClippy } from "./cargo-tools.mjs";
import { checkLab } from "./lab.mjs";
import { Stop, ask, exec, inRoot, isStopping, main, run, say } from "./run.mjs";
import { setUp } from "./setup.mjs";
import { simulate } from "./simulate.mjs";
import { wasmTarget } from "./wasm-target.mjs";

const WASM = ["--target", "wasm32-unknown-unknown"];
const DENY_WARNINGS = ["--", "-D", "warnings"];
const RUN_NOTHING = `target.wasm32-unknown-unknown.runner=${JSON.stringify([process.execPath, "-e", ""])}`;
// Workers as users write them: for wasm32 only.
const EXAMPLES = ["example-axum", "example-rust-worker", "bench-rust-worker"];
const native = { env: { CARGO_TARGET_DIR: inRoot("target") } };

const checks = {
  "lock files": lockFiles,
  "no traces of a machine": noTraces,
  "JavaScript parses": javaScriptParses,
  "every test has its kind": everyTestHasItsKind,
  "lab histories": checkLab,
  "cargo fmt": () => run("cargo fmt", "cargo", ["fmt", "--all", "--check"]),
  "clippy, native": () =>
    run(
      "clippy",
      "cargo",
      [
        "clippy",
        "--workspace",
        ...EXAMPLES.flatMap((name) => ["--exclude", name]),
        "--all-targets",
        "--no-default-features",
        ...DENY_WARNINGS,
      ],
      native,
    ),
  "clippy, wasm32, Rust crate": () => wasmClippy("--no-default-features", "--features", "worker"),
  "clippy, wasm32, axum": () => wasmClippy("--features", "http"),
  "clippy, wasm32, Worker": () => wasmClippy("--no-default-features", "--features", "deploy"),
  "clippy, wasm32, npm package": () => wasmClippy("--no-default-features", "--features", "js"),
  "clippy, wasm32, examples": () => wasmClippy(...EXAMPLES.flatMap((name) => ["--package", name])),
  "cargo doc, native": () =>
    run("cargo doc", "cargo", ["doc", "--no-deps", "--no-default-features"], {
      env: { ...native.env, RUSTDOCFLAGS: "-D warnings" },
    }),
  "cargo doc, wasm32": async () =>
    cargoWasm("cargo doc", ["doc", "--no-deps", "--features", "http", ...WASM], {
      env: { RUSTDOCFLAGS: `-D warnings ${(await wasmTarget()).flags}` },
    }),
  // Those of the documentation: what only a Worker can run is at least compiled.
  "examples, wasm32": async () =>
    cargoWasm("cargo test --doc", ["test", "--doc", "--features", "http", ...WASM, "--config", RUN_NOTHING], {
      env: { RUSTDOCFLAGS: (await wasmTarget()).flags },
    }),
  "cargo deny": async () =>
    run("cargo deny", await ensureCargoDeny(), ["check", "bans", "licenses", "sources"]),
  "size budget": sizeBudget,
  // bench/budget.json: counts, because the time of a busy machine says nothing.
  "operation counts": async () => {
    await buildPackage();
    await (await import("../bench/budget.mjs")).checkOperations();
  },
  "instruction counts": async () => (await import("../bench/budget.mjs")).checkInstructions(),
};

async function wasmClippy(...what) {
  const target = await wasmTarget();
  await ensureWasmClippy(target);
  const [command, ...args] = target.clippy;
  await run(
    "clippy for wasm32",
    command,
    [...args, ...WASM, "--all-targets", ...what, ...DENY_WARNINGS],
    { env: target.env },
  );
}

/** The lock files are those of the manifests, serve every platform, and name no registry host. */
async function lockFiles() {
  await run("Cargo.lock", "cargo", ["metadata", "--locked", "--format-version", "1"], { capture: true });
  for (const file of tracked().filter((file) => /(^|\/)Cargo\.lock$/.test(file))) {
    for (const [, source] of readFileSync(inRoot(file), "utf8").matchAll(/^source = "(.*)"$/gm)) {
      if (source !== "registry+https://github.com/rust-lang/crates.io-index") {
        throw new Stop(`${file} takes a crate from ${source}`);
      }
    }
  }
  for (const file of tracked().filter((file) => /(^|\/)package-lock\.json$/.test(file))) {
    const { packages } = JSON.parse(readFileSync(inRoot(file), "utf8"));
    for (const [path, entry] of Object.entries(packages)) {
      if (entry.resolved) throw new Stop(`${file} names a registry host at ${path}`);
      // npm leaves out a platform's package that it could not see; other machines then lack it.
      for (const name of Object.keys(entry.optionalDependencies ?? {})) {
        if (!packages[`node_modules/${name}`] && !packages[`${path}/node_modules/${name}`]) {
          throw new Stop(`${file} lacks ${name}, which ${path} wants on some platforms`);
        }
      }
    }
  }
}

/** Nothing tracked by git tells where or by what it was made. */
async function noTraces() {
  const words = [
    /\/home\/\w+\//,
    /\/Users\/\w+\//,
    /\/root\//,
    /\/work\/(main|shared)\b/,
    /\bC:\\Users\\/,
    /\b(artifactory|nexus|verdaccio|devpi)\b/i,
    /-----BEGIN [A-Z ]*PRIVATE KEY-----/,
  ];
  const found = [];
  for (const file of tracked()) {
    if (file === "scripts/check.mjs") continue; // it says the words
    readFileSync(inRoot(file), "latin1")
      .split("\n")
      .forEach((line, i) => words.some((word) => word.test(line)) && found.push(`${file}:${i + 1}`));
  }
  if (found.length) throw new Stop(`a path, a host or a key of some machine at ${found.join(", ")}`);
}

async function javaScriptParses() {
  const files = tracked().filter((file) => /\.m?js$/.test(file));
  if (files.length === 0) throw new Stop("there is no JavaScript");
  for (const file of files) {
    const { status, output } = await exec(process.execPath, ["--check", file], { capture: true });
    if (status !== 0) throw new Stop(`${file} does not parse:\n${output}`);
  }
}

/** `npm test` runs the folders that it knows: a file elsewhere would never run. */
function everyTestHasItsKind() {
  const runner = readFileSync(inRoot("scripts", "test.mjs"), "utf8");
  const forgotten = tracked()
    .filter((file) => file.endsWith(".test.mjs"))
    .filter((file) => !runner.includes(`"${file.slice(0, file.lastIndexOf("/"))}"`));
  if (forgotten.length) throw new Stop(`no kind of \`npm test\` runs ${forgotten.join(", ")}`);
}

/** Other histories in every run; the seed that they come from is printed. A million take five to twenty minutes. */
async function simulation() {
  if ((await simulate(["--histories", "30000"])) !== 0) throw new Stop("the simulator has something to say");
  for (const name of SOON_CAUGHT) {
    const status = await simulate(["--mutants", "--mutant", name, "--seeds", "5"]);
    if (status !== 0) throw new Stop(`the simulator does not notice ${name}`);
  }
}

/** scripts/size-budget.json: what may be uploaded, in bytes, as counted after gzip. */
async function sizeBudget() {
  await buildWorker();
  await buildPackage();
  const over = [];
  for (const [file, { gzip }] of Object.entries(JSON.parse(readFileSync(inRoot("scripts", "size-budget.json"))))) {
    const size = gzipSync(readFileSync(inRoot(file)), { level: 9 }).length;
    console.log(`${file}: ${size} of ${gzip} bytes`);
    if (size > gzip) over.push(`${file} is ${size} bytes after gzip, ${size - gzip} over its budget`);
  }
  if (over.length) throw new Stop(over.join("; "));
}

function tracked() {
  const files = ask("git", ["ls-files", "-z"]);
  if (!files) throw new Stop("git lists no files");
  return files.split("\0").filter((file) => file && existsSync(inRoot(file)));
}

await main(async () => {
  await setUp();
  await ensureComponents();
  const failures = [];
  for (const [name, check] of Object.entries(checks)) {
    console.log(`\n=== ${name}`);
    try {
      await check();
      say("ok");
    } catch (error) {
      if (isStopping()) throw error;
      console.error(`error: ${error instanceof Stop ? error.message : error.stack}`);
      failures.push(name);
    }
  }
  const count = Object.keys(checks).length;
  console.log(`\n${count - failures.length} of ${count} checks passed`);
  if (failures.length) throw new Stop(`failed: ${failures.join("; ")}`);
});
