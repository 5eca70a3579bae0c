// `npm test`: runs all tests, kind by kind, and prints a table.
//
//   npm test -- native http     only these kinds
//   npm test -- quick           the core alone, without documentation tests: for a change of src/
//   npm test -- --no-browser    without the tests that need a browser
//
// Exit status: 0 all passed; 1 some failed, or a kind did not run; 3 all that ran passed, but some were left
// out because there is no browser.

import { existsSync, readFileSync, readdirSync } from "node:fs";
import { availableParallelism } from "node:os";
import { pathToFileURL } from "node:url";
import { buildFor } from "./ahead.mjs";
import { buildPackage } from "./build-package.mjs";
import { UNOPTIMIZED, bindgenTool, buildTestObject, buildWorker, cargoWasm } from "./build.mjs";
import { ensureBrowser } from "./browser.mjs";
import { Stop, ask, exec, inRoot, isStopping, main, run, say } from "./run.mjs";
import { npmPackages, setUp } from "./setup.mjs";

const kinds = {
  native: { what: "the core and its simulator, by cargo test", run: native },
  wasm: { what: "wasm-bindgen tests, in workerd and in Chromium", run: wasm },
  http: { what: "the built Worker in workerd, over HTTP", run: http },
  object: { what: "the Durable Object in JavaScript and in Rust, in workerd", run: object },
  browser: { what: "the console, in Chromium", run: browser },
  scripts: { what: "npm start on wrangler's own KV, and the Worker's entry module", run: scriptTests },
  package: { what: "the npm package and its types", run: packageTests },
  examples: { what: "the examples, built and run", run: examples },
  frameworks: { what: "the shops of examples/, by each framework's own build, in workerd", run: frameworks },
};
/**
 * These run after `native` and `wasm`, which leave time for scripts/ahead.mjs to build what these need. The two
 * lists run beside each other, because either of them alone waits a third of the time. The second has the
 * kinds that install into examples/.
 */
const LANES = [
  ["http", "object", "browser", "scripts", "package"],
  ["examples", "frameworks"],
];
/** Not a kind of its own: a part of `native`, with a shorter model test. */
const parts = {
  quick: { what: "the core alone, by cargo test", run: quick },
};
const KIND_SECONDS = 30 * 60;
// All files of a kind test the same build of the Worker.
const BUILT = { EDGE_SESSION_BUILT: "1" };
const options = { tee: true, timeoutSeconds: KIND_SECONDS };
/**
 * Property tests try the same values each time, so that a run says something about the change it tests.
 * CONTRIBUTING.md has the commands that try new ones.
 */
const cargoEnv = (more) => ({
  CARGO_TARGET_DIR: inRoot("target"),
  CARGO_TERM_COLOR: "never",
  PROPTEST_RNG_SEED: process.env.PROPTEST_RNG_SEED ?? "1",
  ...more,
});

function report(rows, browserless) {
  const sum = (name) => rows.reduce((total, row) => total + row[name], 0);
  const columns = ["kind", "passed", "failed", "skipped", "leftOut", "seconds"];
  const heads = { leftOut: "left out" };
  const line = (cells) => cells.map((cell, i) => (i ? String(cell).padStart(9) : cell.padEnd(8))).join("");
  console.log(`\n${line(columns.map((name) => heads[name] ?? name))}`);
  for (const row of rows) console.log(line(columns.map((name) => row[name])));
  const leftOut = sum("leftOut");
  if (leftOut) {
    console.log(`\nat least ${leftOut} tests left out ${browserless ? "by --no-browser" : "because there is no browser"}`);
  }
  const skipped = sum("skipped") ? `, ${sum("skipped")} skipped` : "";
  // Less than the sum of the seconds, because some kinds run beside each other.
  const seconds = Math.round(process.uptime());
  console.log(`\n${sum("passed")} passed, ${sum("failed")} failed${skipped}, in ${seconds} s`);
  if (sum("failed")) return 1;
  return leftOut && !browserless ? 3 : 0;
}

/** Adds up cargo's summaries, one for each test binary, even if the run failed. `ran` gets the names. */
function cargoCounts(counts, ran) {
  return (line) => {
    const [, name] = line.match(/^test (?:\S*::)?(\w+)(?: - should panic)? \.\.\. /) ?? [];
    if (name) ran.set(name, (ran.get(name) ?? 0) + 1);
    const result = line.match(/^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored/);
    if (result) {
      counts.passed += Number(result[1]);
      counts.failed += Number(result[2]);
      counts.skipped += Number(result[3]);
    }
    const leftOut = line.match(/^left out: (\d+) tests/);
    if (leftOut) counts.leftOut += Number(leftOut[1]);
  };
}

/**
 * Fails if a test in the source did not run: because its target has `test = false`, its file belongs to no
 * target, or it needs a feature that no command enables.
 */
function allRan(attribute, ran) {
  const files = ask("git", ["ls-files", "-z", "*.rs"])?.split("\0").filter((file) => file && existsSync(inRoot(file))) ?? [];
  const written = files.flatMap((file) => {
    const source = readFileSync(inRoot(file), "utf8");
    const found = source.matchAll(new RegExp(`^ *#\\[${attribute}\\]\\n(?: *#\\[.*\\]\\n)* *(?:pub )?(?:async )?fn (\\w+)`, "gm"));
    return [...found].map(([, name]) => ({ file, name }));
  });
  if (written.length === 0) throw new Stop(`found no #[${attribute}] in the source`);
  const missing = written.filter(({ name }) => (ran.get(name) ?? 0) < written.filter((other) => other.name === name).length);
  if (missing.length) throw new Stop(`these tests did not run: ${missing.map(({ file, name }) => `${name} (${file})`).join(", ")}`);
}

function quick(counts) {
  const args = ["test", "--no-default-features", "--package", "edge-session", "--lib", "--tests", "--no-fail-fast"];
  return run("cargo test", "cargo", args, { ...options, env: cargoEnv({ MODEL_CASES: "500" }), onLine: cargoCounts(counts, new Map()) });
}

async function native(counts) {
  const ran = new Map();
  const cargo = (...what) =>
    run("cargo test", "cargo", ["test", "--no-fail-fast", ...what], {
      ...options,
      env: cargoEnv(),
      onLine: cargoCounts(counts, ran),
    });
  // The same packages and features for both commands, because others would compile the crate again. The
  // features are those of a Worker's crate, which may have native tests, as the shops have.
  const crates = ["edge-session", "example-axum", "example-shop-worker"].flatMap((name) => ["--package", name]);
  const features = ["worker", "anyhow", "axum"].map((feature) => `edge-session/${feature}`);
  const these = ["--no-default-features", ...crates, "--features", features.join(",")];
  const results = [
    await settled(cargo("--tests", ...these)),
    await settled(cargo("--doc", ...these)),
    // As `npm run simulate` compiles it, because there are hundreds of thousands of schedules of two operations.
    await settled(cargo("--tests", "--profile", "sim", "--package", "edge-session-sim")),
  ];
  for (const result of results) result();
  allRan("test", ran);
}

/** A function that returns the promise's value, or throws its error. */
const settled = (promise) =>
  promise.then(
    (value) => () => value,
    (error) => () => {
      throw error;
    },
  );

async function wasm(counts) {
  const tool = await bindgenTool();
  const runner = [process.execPath, inRoot("scripts", "wasm-runner.mjs")];
  const ran = new Map();
  // Only the programs that have such tests: the others would be linked for nothing.
  const programs = readdirSync(inRoot("tests")).filter(
    (name) => name.endsWith(".rs") && readFileSync(inRoot("tests", name), "utf8").includes("#[wasm_bindgen_test]"),
  );
  await cargoWasm(
    "cargo test for wasm32",
    [
      "test",
      ...UNOPTIMIZED,
      "--target",
      "wasm32-unknown-unknown",
      "--lib",
      ...programs.flatMap((name) => ["--test", name.replace(/\.rs$/, "")]),
      "--features",
      "js",
      "--no-fail-fast",
      "--config",
      `target.wasm32-unknown-unknown.runner=${JSON.stringify(runner)}`,
    ],
    { ...options, env: { CARGO_TERM_COLOR: "never", EDGE_SESSION_BINDGEN: tool }, onLine: cargoCounts(counts, ran) },
  );
  if (counts.leftOut === 0) allRan("wasm_bindgen_test", ran);
}

async function http(counts) {
  await buildWorker();
  await nodeTest("tests/workerd", counts, BUILT);
}

async function object(counts) {
  await buildTestObject();
  await nodeTest("tests/object", counts, BUILT);
}

async function browser(counts) {
  if (!process.env.CHROME) {
    counts.leftOut = countTests("tests/browser");
    return;
  }
  await buildWorker();
  await nodeTest("tests/browser", counts, BUILT);
}

async function scriptTests(counts) {
  await buildWorker();
  await nodeTest("tests/scripts", counts, BUILT);
}

async function packageTests(counts) {
  await buildPackage();
  const tsc = inRoot("node_modules", "typescript", "bin", "tsc");
  await run("tsc", process.execPath, [tsc, "-p", "tests/package"]);
  await nodeTest("tests/package", counts);
}

/** Several of its files need the same builds, and run at the same time. */
async function examples(counts) {
  await buildFor(["examples"]);
  await nodeTest("tests/examples", counts, BUILT);
}

async function frameworks(counts) {
  await buildPackage();
  await npmPackages("examples");
  // One after the other: each installs the package, and builds with all cores.
  const env = process.env.CHROME ? {} : { EDGE_SESSION_BROWSER: "none" };
  await nodeTest("tests/frameworks", counts, env, ["--test-concurrency=1", "--test-timeout=600000"]);
}

const testFiles = (dir) =>
  (existsSync(inRoot(dir)) ? readdirSync(inRoot(dir)) : [])
    .filter((name) => name.endsWith(".test.mjs"))
    .map((name) => `${dir}/${name}`);

/** A lower bound for the number of tests in `dir`, from their text, because running them needs a browser. */
const countTests = (dir) =>
  testFiles(dir).reduce(
    (sum, file) => sum + (readFileSync(inRoot(file), "utf8").match(/^\s*(\w*Test|test|it)\(\s*["'`]/gm)?.length ?? 0),
    0,
  );

/** Node's own default leaves a core free, but these tests often wait for processes that they have started. */
const ALL_CORES = [`--test-concurrency=${availableParallelism()}`];
/** True while two kinds run: each line then begins with the folder of its test. */
let isShared = false;

function nodeTest(dir, counts, env, more = ALL_CORES) {
  const files = testFiles(dir);
  if (files.length === 0) throw new Stop(`found no ${dir}/*.test.mjs`);
  const assertions = pathToFileURL(inRoot("scripts", "assertions.mjs")).href;
  const args = ["--test", "--test-reporter=spec", ...more, "--import", assertions, ...files];
  return run(`node --test ${dir}`, process.execPath, args, {
    ...options,
    env,
    prefix: isShared ? `${dir.slice("tests/".length).padEnd(11)}` : "",
    onLine(line) {
      const [, name, number] = line.match(/^ℹ (pass|fail|cancelled|skipped|todo) (\d+)$/) ?? [];
      const column = { pass: "passed", fail: "failed", cancelled: "failed", skipped: "skipped", todo: "skipped" }[name];
      if (column) counts[column] += Number(number);
      // Where only some tests of a file need a browser, the file says so.
      counts.leftOut += Number(line.match(/^left out: (\d+) tests/)?.[1] ?? 0);
    },
  });
}

await main(async () => {
  const args = process.argv.slice(2);
  const all = { ...kinds, ...parts };
  const unknown = args.find((arg) => arg !== "--no-browser" && !Object.hasOwn(all, arg));
  if (unknown) throw new Stop(`\`${unknown}\` is not a kind of tests: use ${Object.keys(all).join(", ")}`);
  const named = args.filter((arg) => !arg.startsWith("--"));
  const chosen = named.length ? Object.keys(all).filter((kind) => named.includes(kind)) : Object.keys(kinds);
  const browserless = args.includes("--no-browser");

  await setUp({ wasm: chosen.some((kind) => kind !== "native" && kind !== "quick") });
  const wantsBrowser = !browserless && ["wasm", "browser", "frameworks"].some((kind) => chosen.includes(kind));
  const chrome = wantsBrowser ? await ensureBrowser() : null;
  // The tests and their children find the browser by this variable.
  if (chrome) process.env.CHROME = chrome;
  else delete process.env.CHROME;
  // The tests are for the Worker that is built here, not for one that happens to be running.
  delete process.env.EDGE_SESSION_URL;

  const later = LANES.flat().filter((kind) => chosen.includes(kind));
  const first = chosen.length > later.length && later.length > 0;
  // If it fails, so does a kind that builds the same, which prints why. Settled, because it may fail before we wait for it.
  const ahead = first && settled(exec(process.execPath, [inRoot("scripts", "ahead.mjs"), ...later], { capture: true }));

  const rows = [];
  const runKind = async (kind) => {
    console.log(`\n=== ${kind}: ${all[kind].what}`);
    const started = Date.now();
    const counts = { passed: 0, failed: 0, skipped: 0, leftOut: 0 };
    let trouble;
    try {
      await all[kind].run(counts);
      if (counts.passed + counts.failed + counts.leftOut === 0) trouble = "no test ran";
    } catch (error) {
      if (isStopping()) throw error;
      if (!(error instanceof Stop)) trouble = error.stack;
      // Failed tests have been reported already.
      else if (counts.failed === 0) trouble = error.message;
    }
    if (trouble) {
      console.error(`error: ${kind}: ${trouble}`);
      counts.failed += 1; // a kind that did not run counts as one failure
    }
    const seconds = Math.round((Date.now() - started) / 1000);
    rows.push({ kind, ...counts, seconds });
    say(`${kind}: ${counts.passed + counts.failed} tests ran`);
  };
  const runKinds = async (list) => {
    for (const kind of list) await runKind(kind);
  };
  await runKinds(chosen.filter((kind) => !later.includes(kind)));
  await ahead;
  const lanes = LANES.map((lane) => lane.filter((kind) => chosen.includes(kind))).filter((lane) => lane.length);
  isShared = lanes.length > 1;
  await Promise.all(lanes.map(runKinds));
  rows.sort((a, b) => chosen.indexOf(a.kind) - chosen.indexOf(b.kind));
  return report(rows, browserless);
});
