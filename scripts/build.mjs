// The wasm, and the Worker around it, in build/worker/. Run as a program: `npm run build`.

import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { copyFile, mkdir, rename, rm, stat } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Stop, inRoot, isProgram, main, run, say } from "./run.mjs";
import { setUp } from "./setup.mjs";
import { wasmTarget } from "./wasm-target.mjs";

const TARGET = "wasm32-unknown-unknown";

// An explicit list, so that a newer wasm-opt never uses features that workerd does not support yet.
const WASM_FEATURES = [
  "mutable-globals",
  "sign-ext",
  "nontrapping-float-to-int",
  "bulk-memory",
  "multivalue",
  "reference-types",
  "simd",
];

/**
 * For deployed code: functions are inlined only where that is almost free. LLVM's own limits, 275 and for
 * `#[inline]` 325, make the package a sixth larger. The ciphers then need the same number of
 * instructions, and the rest of a small request a twentieth fewer.
 */
const INLINE_LESS = "-Cllvm-args=--inline-threshold=25 -Cllvm-args=--inlinehint-threshold=40";

/**
 * The crates for SHA-256 and base64 have their own code for 128-bit vectors, which every engine has
 * supported since 2023. LLVM's automatic vectorization of straight-line code makes it slower.
 */
const VECTORS = "-Ctarget-feature=+simd128 -Cno-vectorize-slp";

/**
 * Removes cargo's folder on this machine from the locations of panics, so that it is not in the wasm.
 * Flags are separated by spaces, so a path that contains one is left as it is.
 */
function withoutPlaces() {
  const crates = join(process.env.CARGO_HOME ?? join(homedir(), ".cargo"), "registry", "src");
  return /\s/.test(crates) ? "" : `--remap-path-prefix=${crates}=crates`;
}

/** Runs cargo for wasm32 with the toolchain that set-up chose. */
export async function cargoWasm(what, args, options = {}) {
  const { cargo, env } = await wasmTarget();
  const flags = {};
  if (args.includes("--release")) {
    const name = "CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS";
    flags[name] = `${env[name] ?? process.env.RUSTFLAGS ?? ""} ${INLINE_LESS} ${VECTORS} ${withoutPlaces()}`;
    // It would override the line above.
    flags.RUSTFLAGS = undefined;
  }
  return run(what, cargo, args, { ...options, env: { ...env, ...flags, ...options.env } });
}

/** Arguments for cargo to link the library as a wasm file, which dependents never do. */
export const AS_WASM = ["rustc", "--lib", "--crate-type", "cdylib", "--target", TARGET];

/** Compiles a crate of the workspace for deployment, and returns the path of the wasm. */
async function compileWasm(crate, features = []) {
  await cargoWasm(`compiling ${crate} for wasm32`, [
    ...AS_WASM,
    "--package",
    crate,
    "--release",
    ...(crate === "edge-session" ? ["--no-default-features"] : []),
    ...(features.length ? ["--features", features.join(",")] : []),
  ]);
  return wasmIn("release", crate);
}

async function wasmIn(profile, crate) {
  const { env } = await wasmTarget();
  return join(env.CARGO_TARGET_DIR, TARGET, profile, `${crate.replaceAll("-", "_")}.wasm`);
}

/**
 * For cargo, wherever tests are compiled to wasm: no optimization. Native tests seal tens of thousands of
 * records, which pays for optimized dependencies; these do not.
 */
export const UNOPTIMIZED = ["--config", "profile.test.opt-level=0"];

/** The Workers in Rust that only tests run. */
const TESTED = ["example-axum", "example-objects-rust", "example-rust-worker", "example-shop-worker", "test-session-object"];
let tested;

/**
 * Compiles the Workers that only tests run, and returns the path of one's wasm. Nothing in their tests depends
 * on size or speed, so they are compiled like the tests. One command compiles all of them, because it
 * compiles what they share once.
 */
async function compileTested(crate) {
  const packages = TESTED.flatMap((name) => ["--package", name]);
  tested ??= cargoWasm("compiling the Workers of the tests", ["build", "--lib", "--profile", "test", ...UNOPTIMIZED, "--target", TARGET, ...packages]);
  await tested;
  return wasmIn("debug", crate);
}

/**
 * The path of tools/bindgen's program, compiled when it has changed.
 * EDGE_SESSION_BINDGEN passes it to child processes, whose environment may be for another compiler.
 */
export async function bindgenTool() {
  if (process.env.EDGE_SESSION_BINDGEN) return process.env.EDGE_SESSION_BINDGEN;
  // Always with the compiler on PATH, because the program runs on this machine.
  const env = { CARGO_TARGET_DIR: inRoot("target") };
  await run(
    "compiling tools/bindgen",
    "cargo",
    ["build", "-q", "--profile", "tool", "-p", "edge-session-bindgen"],
    { env },
  );
  return inRoot("target", "tool", "edge-session-bindgen");
}

/** Writes the JavaScript glue and its wasm into `outDir`. */
export async function bindgen(wasm, outDir, name, target, flags = []) {
  mkdirSync(outDir, { recursive: true });
  await run("wasm-bindgen", await bindgenTool(), [wasm, outDir, name, target, ...flags]);
  if (!flags.includes("--test")) passLongTexts(join(outDir, `${name}.js`));
}

/**
 * The glue copies a string into wasm character by character, up to the first that is not ASCII. For a
 * record of 64 kB this takes a fifth of the request. The runtime's encoder copies it in one call.
 */
function passLongTexts(file) {
  const glue = readFileSync(file, "utf8");
  const loop = "    for (; offset < len; offset++) {\n        const code = arg.charCodeAt(offset);\n";
  if (glue.split(loop).length !== 2) throw new Stop("wasm-bindgen's glue has an unexpected form: adapt scripts/build.mjs");
  const inOneGo = `    if (len > 64) {
        const done = cachedTextEncoder.encodeInto(arg, mem.subarray(ptr, ptr + len));
        // The lengths are equal only if all of it is ASCII.
        if (done.read === done.written) offset = done.read;
    }
`;
  writeFileSync(file, glue.replace(loop, inOneGo + loop));
}

/** Shrinks a wasm file in place. With `names`, function names stay. */
export async function wasmOpt(file, { names = false } = {}) {
  const tool = inRoot("node_modules", "binaryen", "bin", "wasm-opt");
  await run("wasm-opt", process.execPath, [
    tool,
    file,
    "-o",
    file,
    "-Os",
    ...(names ? ["--debuginfo"] : ["--strip-debug"]),
    "--strip-producers",
    ...WASM_FEATURES.map((feature) => `--enable-${feature}`),
  ]);
}

/** The Durable Object of the deployable Worker, in JavaScript because an object must start fast. */
const OBJECT = ["durable-object.js", "object-requests.js"];

/**
 * Builds the deployable Worker: `index.js` (scripts/worker-shim.mjs, and the class of the Durable
 * Object), `edge_session.js` (the glue, as a function that makes an instance) and
 * `edge_session_bg.wasm`. If nothing has changed, it only runs cargo.
 */
export function buildWorker() {
  return build(inRoot("build", "worker"), () => compileWasm("edge-session", ["deploy"]), { object: OBJECT });
}

/**
 * Builds a Worker of `examples/` for its tests, as its own crate, like a user's Worker. With `object`, its
 * entry exports the class that `session_object!` defines.
 */
export function buildExample(name, { object = false } = {}) {
  const more = object ? "\nexport const { SessionObject } = instantiate(wasm);\n" : "";
  return build(inRoot("build", "examples", name), () => compileTested(`example-${name}`), { more, shrink: false });
}

/** Builds the Durable Object in Rust for the tests (tests/object/rust). */
export function buildTestObject() {
  return build(inRoot("build", "object"), () => compileTested("test-session-object"), { shrink: false });
}

/** Builds the Workers in Rust that the bench measures: with sessions (bench/rust-worker), and without. */
export async function buildBenchWorkers() {
  for (const name of ["rust-bare", "rust-worker"]) await build(inRoot("build", "bench", name), () => compileWasm(`bench-${name}`));
}

const builds = new Map();

/** Builds a Worker in `dir`, once a process: two kinds of tests that run at the same time both ask for it. */
function build(dir, compile, options) {
  if (!builds.has(dir)) builds.set(dir, buildOnce(dir, compile, options));
  return builds.get(dir);
}

/**
 * `compile` returns the path of the wasm. `object` are the modules of a Durable Object in `js/`, of which the
 * first exports the class; `more` is appended to the entry. With `shrink`, wasm-opt runs.
 */
async function buildOnce(dir, compile, { object = [], more = "", shrink = true } = {}) {
  const entry = join(dir, "index.js");
  // `npm test` builds once. Its child processes must not build again while it runs.
  if (process.env.EDGE_SESSION_BUILT && existsSync(entry)) return { dir, entry };
  const shim = inRoot("scripts", "worker-shim.mjs");
  const wasm = await compile();
  const tool = await bindgenTool();
  const stamp = join(dir, ".built-from");
  const objects = object.map((name) => inRoot("js", name));
  const inputs = digest(wasm, tool, shim, ...objects, fileURLToPath(import.meta.url), inRoot("package-lock.json"));
  if (existsSync(entry) && readIfAny(stamp) === inputs) return { dir, entry };

  say(`building the Worker: wasm-bindgen, ${shrink ? "wasm-opt -Os, " : ""}the shim`);
  // Built in a temporary folder and then moved, so that nobody reads an incomplete Worker.
  const work = `${dir}.${process.pid}`;
  try {
    await bindgen(wasm, work, "edge_session", "web");
    if (shrink) await wasmOpt(join(work, "edge_session_bg.wasm"));
    await makeGlueAFunction(join(work, "edge_session.js"));
    await mkdir(dir, { recursive: true });
    rmSync(stamp, { force: true });
    for (const name of ["edge_session_bg.wasm", "edge_session.js"]) {
      await rename(join(work, name), join(dir, name));
    }
    for (const name of object) await copyFile(inRoot("js", name), join(dir, name));
    const exported = object.slice(0, 1).map((name) => `export { SessionObject } from "./${name}";\n`);
    writeFileSync(join(work, "index.js"), exported.join("") + readFileSync(shim, "utf8") + more);
    await rename(join(work, "index.js"), entry);
    writeFileSync(stamp, inputs);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  const { size } = await stat(join(dir, "edge_session_bg.wasm"));
  say(`built ${entry.slice(inRoot().length + 1)} (wasm ${Math.round(size / 1024)} KiB)`);
  return { dir, entry };
}

/**
 * wasm-bindgen's glue keeps its instance in module variables, so a module has only one. Wrapped in a
 * function, each call creates an instance. The shim uses that to replace one that panicked while the
 * other requests in it finish.
 */
async function makeGlueAFunction(file) {
  const { build } = await import("esbuild");
  const { outputFiles } = await build({
    entryPoints: [file],
    bundle: true, // its snippets too
    format: "iife",
    globalName: "glue",
    target: "es2022",
    write: false,
    logLevel: "warning",
  });
  const source = [
    "export function instantiate(module) {",
    outputFiles[0].text,
    "glue.initSync({ module });",
    "return glue;",
    "}",
    "",
  ];
  writeFileSync(file, source.join("\n"));
}

function digest(...files) {
  const hash = createHash("sha256");
  for (const file of files) hash.update(readFileSync(file)).update("\0");
  return hash.digest("hex");
}

function readIfAny(file) {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return null;
  }
}

if (isProgram(import.meta.url)) {
  await main(async () => {
    await setUp();
    await buildWorker();
  });
}
