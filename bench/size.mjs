// What a contender adds to a Worker: bytes to upload, and time until the first answer.

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { namedWasm } from "../scripts/build-package.mjs";
import { bundle, size } from "./host/bundle.mjs";
import { CONTENDERS, install, titleOf } from "./host/contenders.mjs";
import { functions } from "./host/functions.mjs";
import { summary } from "./host/stats.mjs";

/** A Worker around a contender, and nothing else. */
const worker = (name) => `import contender from "./contenders/${name}.mjs"; export default { fetch: contender.fetch };`;

export async function bytes(name) {
  const none = size((await bundle(worker("none"), { minify: true })).script);
  const { script, wasm } = await bundle(worker(name), { minify: true });
  const code = size(script);
  const binaries = wasm.map(({ bytes }) => size(bytes));
  const sum = (of) => binaries.reduce((sum, binary) => sum + binary[of], 0);
  const javascript = { raw: code.raw - none.raw, gzip: code.gzip - none.gzip };
  const binary = { raw: sum("raw"), gzip: sum("gzip") };
  return {
    javascript,
    wasm: binary,
    total: { raw: javascript.raw + binary.raw, gzip: javascript.gzip + binary.gzip },
  };
}

/** The contender that is a Worker in Rust, and the Worker that has the crate `worker` and no sessions. */
const RUST = "ours-rust";
const RUST_WITHOUT = "none-rust";

const less = (one, other) => {
  const part = (name) => ({ raw: one[name].raw - other[name].raw, gzip: one[name].gzip - other[name].gzip });
  return { javascript: part("javascript"), wasm: part("wasm"), total: part("total") };
};

/** The Worker in Rust without sessions, and what sessions add to it. */
export async function bytesOverRust(withSessions) {
  const without = await bytes(RUST_WITHOUT);
  return { title: await titleOf(RUST_WITHOUT), without, over: less(withSessions, without) };
}

/**
 * What the functions of the package's wasm are for: the first that fits. What the compiler has copied
 * into its caller has no name any more, and counts for the caller.
 */
const PARTS = [
  ["ciphers, hashes, base64", /sha2|hmac|hkdf|digest|block_buffer|chacha|poly1305|cipher|aead|universal_hash|base64|vsimd|zeroize/i],
  ["loading, saving, logging in and out, owners", /edge_session::(face::(store|sessions|owned)|flow::(load|save|end|owner|markers|retry|engine|shared)|session::(life|login|presented|answer|marker_put)|protocol::(outcome|revocation|version))/],
  ["records, their data, JSON", /edge_session::(session::value|protocol::(record|data|json|expiry|list_metadata))/],
  ["cookies, keys, settings, errors", /edge_session::(face::(headers|problem)|session|port|protocol)/],
  ["the isolate's memory", /edge_session::flow|hashbrown|hash/],
  ["functions that JavaScript calls, and what they take in", /edge_session::face|wasm_bindgen|js_sys|externref|shim|^(begin|reply|configure|stats|vary|errorCodes)\b|futures|^_*wb/],
  ["allocation", /talc|malloc|realloc|alloc_zeroed|__rust/],
  ["Rust's library: text, formatting, lists", /core|alloc|std|^<?[iu](8|16|32|64)/],
  ["all else", /./],
];

/** Bytes of the code of the package's wasm by what it is for. */
async function composition() {
  const dir = mkdtempSync(join(tmpdir(), "edge-session-named-"));
  try {
    const parts = Object.fromEntries(PARTS.map(([part]) => [part, 0]));
    for (const [name, bytes] of functions(readFileSync(await namedWasm(dir)))) {
      const [part] = PARTS.find(([, pattern]) => pattern.test(name || "?"));
      parts[part] += bytes;
    }
    return parts;
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
}

/** What the package does at a start: source for a Worker that uses no sessions. */
const STEPS = [
  ["parses the JavaScript", 'import * as all from "../pkg/default.js"; globalThis.kept = all;'],
  ["validates the wasm", 'import module from "../pkg/session.wasm"; globalThis.kept = module;'],
  ["does both, and initialises", 'import * as all from "edge-session"; globalThis.kept = all;'],
  [
    "does all this, and makes a configuration",
    `import { Sessions } from "edge-session";
    const none = { get() {}, put() {}, delete() {}, list() {} };
    globalThis.kept = [none, new Sessions(none, { secret: "Wn4yq0JtRkS7vE2mHcZx8aLdUoPb5fTgQi1YsXe9" })];`,
  ],
];

/** One start: milliseconds until the head of the first answer, and CPU until its end. */
async function start(installed, method) {
  const isolate = await installed.start();
  const { at } = await isolate.exchange({ method, headers: { "x-start": "1" } });
  const cpu = isolate.cpu() / 1e6;
  const wall = Number(at - isolate.begun) / 1e6;
  await isolate.stop();
  return { wall, cpu };
}

export async function sizes({ quick = false, only, log }) {
  const names = only ?? CONTENDERS;
  const rows = {};
  for (const name of names) rows[name] = { title: await titleOf(name), bytes: await bytes(name), starts: {} };

  if (rows[RUST]) rows[RUST].rust = await bytesOverRust(rows[RUST].bytes);

  const starts = quick ? 5 : 11;
  const installed = {};
  for (const name of ["none", ...names]) installed[name] = await install(name, { minify: true });
  for (const [title, before] of STEPS) installed[title] = await install("none", { minify: true, before });
  const steps = {};
  const base = {};
  for (const method of ["HEAD", "POST"]) {
    const everybody = ["none", ...names, ...(method === "HEAD" ? STEPS.map(([title]) => title) : [])];
    log(`starts, first request ${method}`);
    const samples = Object.fromEntries(everybody.map((name) => [name, []]));
    for (let round = 0; round < starts; round += 1) {
      for (let i = 0; i < everybody.length; i += 1) {
        const name = everybody[(i + round) % everybody.length];
        samples[name].push(await start(installed[name], method));
      }
    }
    const bare = { wall: summary(samples.none.map((s) => s.wall)), cpu: summary(samples.none.map((s) => s.cpu)) };
    base[method] = bare;
    for (const name of everybody.slice(1)) {
      const of = (what) => {
        const { median, low, high } = summary(samples[name].map((sample) => sample[what]));
        const zero = bare[what].median;
        return { median: median - zero, low: low - zero, high: high - zero };
      };
      const start = { wall: of("wall"), cpu: of("cpu") };
      if (rows[name]) rows[name].starts[method] = start;
      else steps[name] = start;
    }
  }
  return { rows, base, starts, steps, parts: await composition() };
}

export function report({ rows, base, starts, steps = {}, parts }, print) {
  const kb = ({ raw, gzip }) => `${(raw / 1000).toFixed(1)} / ${(gzip / 1000).toFixed(1)}`;
  print("", "Bytes added to a Worker, in kB: minified / gzip -9.", "");
  print("| | together | JavaScript | wasm |", "|---|---|---|---|");
  const row = (title, bytes) =>
    print(`| ${title} | ${kb(bytes.total)} | ${kb(bytes.javascript)} | ${bytes.wasm.raw ? kb(bytes.wasm) : "-"} |`);
  for (const { title, bytes, rust } of Object.values(rows)) {
    row(title, bytes);
    if (!rust) continue;
    row(rust.title, rust.without);
    row(`${title}, over a Worker in Rust`, rust.over);
  }
  const code = Object.values(parts).reduce((sum, bytes) => sum + bytes, 0);
  print("", "The code of the package's wasm, in kB before gzip, by the purpose of the function that contains it.", "", "| | kB | |", "|---|---|---|");
  for (const [part, bytes] of Object.entries(parts)) {
    print(`| ${part} | ${(bytes / 1000).toFixed(1)} | ${((bytes / code) * 100).toFixed(0)} % |`);
  }
  const ms = ({ median, low, high }) => `${median.toFixed(1)} (${low.toFixed(1)}–${high.toFixed(1)})`;
  print(
    "",
    `Milliseconds from starting workerd to the first answer, over a Worker without sessions ` +
      `(${base.HEAD.wall.median.toFixed(0)} ms, ${base.HEAD.cpu.median.toFixed(0)} ms of CPU): median (middle half) of ${starts} starts.`,
    "",
  );
  print("| | first request untouched | of CPU | first request a login | of CPU |", "|---|---|---|---|---|");
  for (const { title, starts } of Object.values(rows)) {
    const cells = ["HEAD", "POST"].flatMap((method) => [ms(starts[method].wall), ms(starts[method].cpu)]);
    print(`| ${title} | ${cells.join(" | ")} |`);
  }
  print("", "The package's share of a start, in the same way: a Worker that uses no sessions and only", "", "| | milliseconds | of CPU |", "|---|---|---|");
  for (const [title, { wall, cpu }] of Object.entries(steps)) print(`| ${title} | ${ms(wall)} | ${ms(cpu)} |`);
}
