// `npm run check`: the checks for a change besides its tests. Every check runs, even if others have
// failed. A check that cannot run counts as failed.
//
//   npm run check -- simulated defences    only the checks whose name contains one of these words

import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { buildPackage } from "./build-package.mjs";
import { UNOPTIMIZED, buildWorker, cargoWasm } from "./build.mjs";
import { ensureCargoDeny, ensureComponents, ensureWasmClippy } from "./cargo-tools.mjs";
import { checkDefences } from "./defences.mjs";
import { checkFloors } from "./floors.mjs";
import { checkLab } from "./lab.mjs";
import { Stop, ask, exec, inRoot, isStopping, main, run, say } from "./run.mjs";
import { setUp } from "./setup.mjs";
import { simulate } from "./simulate.mjs";
import { wasmTarget } from "./wasm-target.mjs";

const WASM = ["--target", "wasm32-unknown-unknown"];
const DENY_WARNINGS = ["--", "-D", "warnings"];
const RUN_NOTHING = `target.wasm32-unknown-unknown.runner=${JSON.stringify([process.execPath, "-e", ""])}`;
// Workers like those of users, only for wasm32.
const EXAMPLES = ["example-axum", "example-objects-rust", "example-rust-worker", "example-shop-worker", "bench-rust-bare", "bench-rust-worker", "test-session-object"];
const native = { env: { CARGO_TARGET_DIR: inRoot("target") } };

const checks = {
  "lock files": lockFiles,
  "no traces of a machine": noTraces,
  "JavaScript parses": javaScriptParses,
  "names in JavaScript": namesInJavaScript,
  "every test has its kind": everyTestHasItsKind,
  "defences are in place": checkDefences,
  floors: () => checkFloors(),
  "lab histories": checkLab,
  "simulated histories": simulatedHistories,
  "simulated mutants": simulatedMutants,
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
  "clippy, native, axum": () =>
    run("clippy", "cargo", ["clippy", "--all-targets", "--no-default-features", "--features", "axum", ...DENY_WARNINGS], native),
  "clippy, wasm32, Rust crate": () => wasmClippy("--no-default-features", "--features", "worker"),
  "clippy, wasm32, axum": () => wasmClippy("--features", "axum"),
  "clippy, wasm32, Durable Object": () => wasmClippy("--no-default-features", "--features", "durable-object"),
  "clippy, wasm32, Worker": () => wasmClippy("--no-default-features", "--features", "deploy"),
  "clippy, wasm32, npm package": () => wasmClippy("--no-default-features", "--features", "js"),
  "clippy, wasm32, examples": () => wasmClippy(...EXAMPLES.flatMap((name) => ["--package", name])),
  "cargo doc, native": () =>
    run("cargo doc", "cargo", ["doc", "--no-deps", "--no-default-features", "--features", "testing,axum"], {
      env: { ...native.env, RUSTDOCFLAGS: "-D warnings" },
    }),
  "cargo doc, wasm32": async () =>
    cargoWasm("cargo doc", ["doc", "--no-deps", "--features", "axum,durable-object", ...WASM], {
      env: { RUSTDOCFLAGS: `-D warnings ${(await wasmTarget()).flags}` },
    }),
  // The tests in the documentation. Those that only a Worker can run are compiled.
  "examples, wasm32": async () =>
    cargoWasm("cargo test --doc", ["test", "--doc", ...UNOPTIMIZED, "--features", "axum,durable-object", ...WASM, "--config", RUN_NOTHING], {
      env: { RUSTDOCFLAGS: (await wasmTarget()).flags },
    }),
  "cargo deny": async () =>
    run("cargo deny", await ensureCargoDeny(), ["check", "bans", "licenses", "sources"]),
  "size budget": sizeBudget,
  // bench/budget.json has counts, because times on a busy machine mean nothing.
  "operation counts": async () => {
    await buildPackage();
    await (await import("../bench/budget.mjs")).checkOperations();
  },
  // Calls between JavaScript and wasm, in a separate process whose wasm is instrumented for counting.
  crossings: () => run("crossings", process.execPath, [inRoot("bench", "crossings.mjs")]),
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

/** Packages that not every registry has, and that are not needed to run. */
const HARD_TO_GET = ["napi-windows-process-start-time"];

/** The lock files fit the manifests, serve every platform, and name no registry host. */
async function lockFiles() {
  await run("Cargo.lock", "cargo", ["metadata", "--locked", "--format-version", "1"], { capture: true });
  for (const file of some("Cargo.lock", /(^|\/)Cargo\.lock$/)) {
    for (const [, source] of readFileSync(inRoot(file), "utf8").matchAll(/^source = "(.*)"$/gm)) {
      if (source !== "registry+https://github.com/rust-lang/crates.io-index") {
        throw new Stop(`${file} takes a crate from ${source}`);
      }
    }
  }
  for (const file of some("package-lock.json", /(^|\/)package-lock\.json$/)) {
    const { packages } = JSON.parse(readFileSync(inRoot(file), "utf8"));
    for (const [path, entry] of Object.entries(packages)) {
      // The package of this repository, and its own examples.
      const isOurs = entry.link === true || entry.resolved?.startsWith("file:..");
      if (entry.resolved && !isOurs) throw new Stop(`${file} names a registry host at ${path}`);
      // npm leaves out a platform's package that it could not see; other machines then lack it.
      for (const name of Object.keys(entry.optionalDependencies ?? {})) {
        if (HARD_TO_GET.includes(name)) continue;
        if (!packages[`node_modules/${name}`] && !packages[`${path}/node_modules/${name}`]) {
          throw new Stop(`${file} lacks ${name}, which ${path} needs on some platforms`);
        }
      }
    }
  }
}

/** No file in git names a machine or its paths. */
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
    if (file === "scripts/check.mjs") continue; // it contains the words itself
    readFileSync(inRoot(file), "latin1")
      .split("\n")
      .forEach((line, i) => words.some((word) => word.test(line)) && found.push(`${file}:${i + 1}`));
  }
  if (found.length) throw new Stop(`a machine's path, host or key in ${found.join(", ")}`);
}

async function javaScriptParses() {
  for (const file of some("JavaScript", /\.m?js$/)) {
    const { status, output } = await exec(process.execPath, ["--check", file], { capture: true });
    if (status !== 0) throw new Stop(`${file} does not parse:\n${output}`);
  }
}

/** The TypeScript compiler's errors for names that are used but not defined, or defined but not used. */
const NAME_ERRORS = /^(\S+?)\((\d+),\d+\): error TS(?:2304|2552|6133|6192|6198|18004): (.*)$/gm;
/** Names of Workers and Node.js, which are not in the compiler's library for browsers. */
const KNOWN_NAMES = ["IdentityTransformStream", "WebSocketPair", "setImmediate"];

/**
 * A function that nothing calls may be a check or a test that does not run. One that uses an undefined
 * name would fail if it ran.
 */
async function namesInJavaScript() {
  const files = some("JavaScript", /\.m?js$/);
  const sources = new Map(some("JavaScript", /\.(m?js|ts|html)$/).map(read));
  const found = [];
  const folder = mkdtempSync(join(tmpdir(), "edge-session-names-"));
  try {
    const compilerOptions = {
      ...{ allowJs: true, checkJs: true, noEmit: true, noUnusedLocals: true, strict: false, noResolve: true },
      ...{ module: "nodenext", target: "esnext", lib: ["esnext", "dom", "dom.iterable"], types: [] },
    };
    const project = join(folder, "tsconfig.json");
    writeFileSync(project, JSON.stringify({ compilerOptions, files: files.map((file) => inRoot(file)) }));
    const tsc = inRoot("node_modules", "typescript", "bin", "tsc");
    const { output } = await exec(process.execPath, [tsc, "--pretty", "false", "-p", project], { capture: true });
    // The types of Node.js are not installed, so there are always some errors.
    if (!output.includes(": error TS")) throw new Stop(`tsc did not check the files:\n${output}`);
    for (const [, file, line, message] of output.matchAll(NAME_ERRORS)) {
      const name = /'([^']+)'/.exec(message)?.[1];
      if (KNOWN_NAMES.includes(name)) continue;
      // The compiler does not see the call of a private method on a parameter.
      if (name?.startsWith("#") && sources.get(file)?.split(name).length > 2) continue;
      found.push(`${file}:${line}: ${message}`);
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
  // The compiler does not check exports.
  const words = new Map();
  for (const source of sources.values()) {
    for (const [word] of source.matchAll(/[\w$]+/g)) words.set(word, (words.get(word) ?? 0) + 1);
  }
  for (const file of files.filter((file) => /^(scripts|bench|tests)\//.test(file))) {
    const exported = sources.get(file).matchAll(/^export (?:async )?(?:function\*?|const|let|class) ([\w$]+)/gm);
    for (const [, name] of exported) {
      if (words.get(name) === 1) found.push(`${file}: ${name} is exported but never used`);
    }
  }
  if (found.length) throw new Stop(found.join("\n"));

  function read(file) {
    return [file, readFileSync(inRoot(file), "utf8")];
  }
}

/** `npm test` only runs the folders that it knows, so a test file elsewhere would never run. */
function everyTestHasItsKind() {
  const runner = readFileSync(inRoot("scripts", "test.mjs"), "utf8");
  const files = some("*.test.mjs", /\.test\.mjs$/);
  const forgotten = files.filter((file) => !runner.includes(`nodeTest("${file.slice(0, file.lastIndexOf("/"))}", counts`));
  if (forgotten.length) throw new Stop(`no kind of \`npm test\` runs ${forgotten.join(", ")}`);
}

/**
 * The number of histories for each kind of store. With this many of the first kind, the simulator
 * requires that every possible event has happened.
 */
const HISTORIES = { eventual: 100_000, strong: 30_000 };

/**
 * The same seed each time, so that the result depends on the change alone. `npm run simulate` uses a new one.
 */
async function simulatedHistories() {
  for (const [store, histories] of Object.entries(HISTORIES)) {
    const status = await simulate(["--store", store, "--histories", String(histories), "--from", "1"]);
    if (status !== 0) throw new Stop(`${store}: a simulated history violates a rule, or some event never happened; see above`);
  }
}

/**
 * Every mutant, with two seeds each. The hardest one takes 4,000 histories on average, so surviving
 * 400,000 is not bad luck.
 */
async function simulatedMutants() {
  for (const store of Object.keys(HISTORIES)) {
    const status = await simulate(["--store", store, "--mutants", "--seeds", "2", "--from", "1", "--limit", "400000"]);
    if (status !== 0) throw new Stop(`${store}: the simulator does not catch every mutant; see above`);
  }
}

/** scripts/size-budget.json: the largest allowed uploads, in bytes after gzip. */
async function sizeBudget() {
  await buildWorker();
  await buildPackage();
  const over = [];
  const budget = Object.entries(JSON.parse(readFileSync(inRoot("scripts", "size-budget.json"))));
  if (budget.length === 0) throw new Stop("scripts/size-budget.json is empty");
  for (const [file, { gzip }] of budget) {
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

/** The files for a check. Fails if there are none, because the check would then always pass. */
function some(what, pattern) {
  const files = tracked().filter((file) => pattern.test(file));
  if (files.length === 0) throw new Stop(`no files to check: ${what}`);
  return files;
}

await main(async () => {
  const words = process.argv.slice(2);
  const chosen = Object.entries(checks).filter(([name]) => words.length === 0 || words.some((word) => name.includes(word)));
  if (chosen.length === 0) throw new Stop(`no such check. The checks are: ${Object.keys(checks).join("; ")}`);
  await setUp();
  await ensureComponents();
  const rows = [];
  for (const [name, check] of chosen) {
    console.log(`\n=== ${name}`);
    const started = Date.now();
    let trouble = null;
    try {
      await check();
      say("ok");
    } catch (error) {
      if (isStopping()) throw error;
      trouble = error instanceof Stop ? error.message : error.stack;
      console.error(`error: ${trouble}`);
    }
    rows.push({ name, trouble, seconds: Math.round((Date.now() - started) / 1000) });
  }
  const width = Math.max(...rows.map(({ name }) => name.length)) + 2;
  console.log(`\n${"check".padEnd(width)}  seconds`);
  for (const { name, trouble, seconds } of rows) {
    console.log(`${name.padEnd(width)}${String(seconds).padStart(9)}  ${trouble === null ? "ok" : "FAILED"}`);
  }
  const failures = rows.filter(({ trouble }) => trouble !== null).map(({ name, trouble }) => `${name}: ${trouble}`);
  const others = Object.keys(checks).length - chosen.length;
  console.log(`\n${rows.length - failures.length} of ${rows.length} checks passed${others ? `, ${others} not selected` : ""}`);
  if (failures.length) throw new Stop(`failed:\n${failures.join("\n")}`);
});
