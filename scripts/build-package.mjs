// The npm package, in pkg/: the core as session.wasm, its glue, and the hand-written JavaScript
// and types of js/. `npm run build:package`.

import { createHash } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { copyFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { brotliCompressSync, gzipSync } from "node:zlib";
import { AS_WASM, bindgen, bindgenTool, cargoWasm, wasmOpt } from "./build.mjs";
import { inRoot, isProgram, main, say } from "./run.mjs";
import { setUp } from "./setup.mjs";

const out = inRoot("pkg");
// Of its own: the Worker's wasm has the same file name.
const targetDir = inRoot("target", "package");
const TARGET = "wasm32-unknown-unknown";
const compiled = join(targetDir, TARGET, "release", "edge_session.wasm");

let built;

/**
 * Builds the package, once a process: two kinds of tests that run at the same time both ask for it. If nothing has
 * changed, it only runs cargo.
 */
export function buildPackage() {
  return (built ??= build());
}

async function build() {
  // `npm test` builds once. Its child processes must not build again while it runs.
  if (process.env.EDGE_SESSION_BUILT && existsSync(join(out, "package.json"))) return out;
  await cargoWasm(
    "compiling the crate for the package",
    [...AS_WASM, "--package", "edge-session", "--release", "--no-default-features", "--features", "js"],
    { env: { CARGO_TARGET_DIR: targetDir } },
  );
  const sources = readdirSync(inRoot("js")).map((name) => inRoot("js", name));
  const stamp = join(targetDir, ".package-built-from");
  const inputs = digest(
    compiled,
    await bindgenTool(),
    fileURLToPath(import.meta.url),
    inRoot("scripts", "build.mjs"),
    inRoot("Cargo.toml"),
    inRoot("package-lock.json"),
    ...sources,
  );
  if (existsSync(join(out, "package.json")) && existsSync(stamp) && readFileSync(stamp, "utf8") === inputs) {
    return out;
  }

  say("building the package: wasm-bindgen, wasm-opt, js/");
  // Built in a temporary folder and then moved, so that nobody reads an incomplete package.
  const work = `${out}.${process.pid}`;
  rmSync(stamp, { force: true });
  mkdirSync(work);
  try {
    await bindgen(compiled, work, "glue", "web", ["--trap-panics"]);
    await wasmOpt(join(work, "glue_bg.wasm"));
    await rename(join(work, "glue_bg.wasm"), join(work, "session.wasm"));
    trimGlue(join(work, "glue.js"));
    inlineWasm(join(work, "session.wasm"), join(work, "wasm-inline.js"));
    for (const file of sources) await copyFile(file, join(work, file.slice(inRoot("js").length + 1)));
    for (const name of ["LICENSE-MIT", "LICENSE-APACHE"]) {
      if (existsSync(inRoot(name))) await copyFile(inRoot(name), join(work, name));
    }
    writeFileSync(join(work, "package.json"), `${JSON.stringify(manifest(), null, 2)}\n`);
    await rm(out, { recursive: true, force: true });
    await rename(work, out);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
  writeFileSync(stamp, inputs);
  for (const [what, { raw, gzip }] of Object.entries(await sizes())) {
    say(`${what.padEnd(10)} ${String(raw).padStart(7)} bytes, ${String(gzip).padStart(6)} gzipped`);
  }
  return out;
}

/** Builds the package's wasm in `dir` with function names, for the bench. */
export async function namedWasm(dir) {
  // The package's own glue fits it, which knows its imports by this name.
  await bindgen(compiled, dir, "glue", "web", ["--trap-panics", "--names"]);
  const file = join(dir, "glue_bg.wasm");
  await wasmOpt(file, { names: true });
  return file;
}

/** The bytes that the package adds to a Worker: the wasm, and the JavaScript bundled and minified. */
export async function sizes() {
  const esbuild = await import("esbuild");
  const { outputFiles } = await esbuild.build({
    entryPoints: [join(out, "workerd.js")],
    bundle: true,
    minify: true,
    format: "esm",
    external: ["*.wasm"],
    target: "es2022",
    write: false,
  });
  const size = (bytes) => ({ raw: bytes.length, gzip: gzipSync(bytes, { level: 9 }).length });
  const wasm = size(readFileSync(join(out, "session.wasm")));
  const javascript = size(outputFiles[0].contents);
  const total = { raw: wasm.raw + javascript.raw, gzip: wasm.gzip + javascript.gzip };
  return { wasm, javascript, total };
}

/**
 * Removes code from the glue that the package never uses: loading the wasm from a URL, which would make
 * bundlers look for a file that does not exist.
 */
function trimGlue(file) {
  const glue = readFileSync(file, "utf8");
  const start = glue.search(/^async function __wbg_load\(/m);
  const end = glue.search(/^function initSync\(/m);
  const last = glue.search(/^let __wbg_init_promise/m);
  if (start < 0 || end < start || last < end) throw new Error("wasm-bindgen's glue has an unexpected form: adapt scripts/build-package.mjs");
  writeFileSync(file, `${glue.slice(0, start)}${glue.slice(end, last)}export { initSync };\n`);
}

/** The wasm as text in a module, for the entry of Node.js. */
function inlineWasm(wasm, file) {
  const text = brotliCompressSync(readFileSync(wasm)).toString("base64");
  writeFileSync(file, `// session.wasm, compressed with brotli, in base64.\n\nexport default "${text}";\n`);
}

/** The adapters: the framework's package, needed only for types, and its versions. */
const FRAMEWORKS = {
  hono: ["hono", ">=4.0.0"],
  "react-router": ["react-router", ">=8.0.0"],
  sveltekit: ["@sveltejs/kit", ">=2.0.0"],
  astro: ["astro", ">=7.0.0"],
  h3: ["h3", ">=2.0.0"],
  "tanstack-start": ["@tanstack/react-start", ">=1.169.0"],
  "better-auth": ["better-auth", ">=1.7.0"],
};

function manifest() {
  const crate = readFileSync(inRoot("Cargo.toml"), "utf8");
  const field = (name) => crate.match(new RegExp(`^${name} = "(.*)"$`, "m"))[1];
  return {
    name: field("name"),
    version: field("version"),
    description: field("description"),
    license: field("license"),
    type: "module",
    exports: {
      ".": {
        types: "./index.d.ts",
        // A Worker may be bundled with the condition `browser` too. The first match counts.
        workerd: { unwasm: "./unwasm.js", default: "./workerd.js" },
        worker: "./workerd.js",
        node: "./node.js",
        browser: "./browser.js",
        default: "./default.js",
      },
      ...Object.fromEntries(
        Object.keys(FRAMEWORKS).map((name) => [`./${name}`, { types: `./${name}.d.ts`, default: `./${name}.js` }]),
      ),
      // Only for Workers: no other runtime has Durable Objects.
      "./durable-object": { types: "./durable-object.d.ts", default: "./durable-object.js" },
      // Only for tests, never part of a Worker's bundle.
      "./testing": { types: "./testing.d.ts", default: "./testing.js" },
      "./session.wasm": { types: "./session.wasm.d.ts", default: "./session.wasm" },
      "./package.json": "./package.json",
    },
    // For frameworks that do not pass the environment to their middleware.
    imports: { "#platform": { workerd: "./platform-workerd.js", default: "./platform.js" } },
    types: "./index.d.ts",
    sideEffects: ["./workerd.js", "./unwasm.js", "./node.js", "./browser.js"],
    peerDependencies: Object.fromEntries(Object.values(FRAMEWORKS)),
    peerDependenciesMeta: Object.fromEntries(Object.values(FRAMEWORKS).map(([name]) => [name, { optional: true }])),
    engines: { node: ">=20" },
    keywords: ["session", "sessions", "cookie", "login", "csrf", "cloudflare", "cloudflare-workers", "workers", "kv", ...Object.keys(FRAMEWORKS)],
  };
}

function digest(...files) {
  const hash = createHash("sha256");
  for (const file of files) hash.update(readFileSync(file)).update("\0");
  return hash.digest("hex");
}

if (isProgram(import.meta.url)) {
  await main(async () => {
    await setUp();
    await buildPackage();
  });
}
