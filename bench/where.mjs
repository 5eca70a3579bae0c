// What the CPU of a small request is spent on, by V8's own profile of the package in workerd.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { namedWasm } from "../scripts/build-package.mjs";
import { install, titleOf } from "./host/contenders.mjs";
import { inspect } from "./host/inspector.mjs";

const OURS = "ours-js";
/** More sessions than the isolate's table holds, as in cpu.mjs. */
const SESSIONS = 12_000;
const ROUND = 120_000;
const SIZE = 100;
const REQUESTS = 8_000;
/** The functions that the report lists. */
const FUNCTIONS = 25;

const KINDS = [
  ["no session at all", { method: "HEAD", bare: true }],
  ["forged cookie", { method: "GET", forged: true }],
  ["read", { method: "GET" }],
  ["read and write", { method: "PUT" }],
];

/** Where a frame of the profile belongs: the first that fits. `file` is the module it came from. */
const PARTS = [
  ["the core, in wasm", ({ url, name }) => url.startsWith("wasm:") && !/^(js-to-wasm|wasm-to-js)/.test(name)],
  ["crossing the boundary", ({ file, name }) => file.endsWith("pkg/glue.js") || /^(js-to-wasm|wasm-to-js|decode|encodeInto)/.test(name)],
  ["the package's JavaScript", ({ file }) => file.includes("pkg/")],
  ["the runtime's headers and `waitUntil`", ({ url, name }) => !url && /^(get|set|append|has|Headers|waitUntil)$/.test(name)],
  ["the runtime's `Request` and `Response`", ({ url, name }) => !url && /^(Request|Response|json)$/.test(name)],
  ["collecting garbage", ({ name }) => name === "(garbage collector)"],
  ["the bench: requests, its KV", ({ file }) => file !== ""],
  ["all else", () => true],
];

/** esbuild names the module that each part of a bundle came from in a line before it. */
function modules(script) {
  const starts = [];
  script.split("\n").forEach((line, number) => {
    const file = /^\/\/ (\S+\.m?js)$/.exec(line)?.[1];
    if (file) starts.push([number, file]);
  });
  return (line) => starts.findLast(([number]) => number <= line)?.[1] ?? "";
}

/** The name of a function without the hash and the crates that a compiler adds. */
const readable = (name) => name.replace(/::h[0-9a-f]{16}$/, "").replace(/\[[0-9a-f]{16}\]/g, "").replaceAll("edge_session::", "");

/** Microseconds of each part and of each function in one request, by kind of request. */
export async function where({ log }) {
  const dir = mkdtempSync(join(tmpdir(), "edge-session-named-"));
  const installed = await install(OURS, { sessionWasm: await namedWasm(dir) });
  rmSync(dir, { recursive: true });
  const fileAt = modules(installed.script);
  const isolate = await installed.start({ inspector: true });
  await isolate.fill({ name: "pool", size: SIZE, count: SESSIONS, wait: ROUND });
  const rows = {};
  const functions = {};
  for (const [title, kind] of KINDS) {
    log(`profile: ${title}`);
    const request = { ...kind, pool: "pool", n: REQUESTS, tick: ROUND / SESSIONS };
    await isolate.tell("run", request); // until what is hot has been compiled
    const profile = await inspect(isolate.inspector, () => isolate.tell("run", request));
    const parts = Object.fromEntries(PARTS.map(([part]) => [part, 0]));
    const own = new Map();
    const frames = new Map(profile.nodes.map(({ id, callFrame }) => [id, callFrame]));
    profile.samples.forEach((id, i) => {
      const { url, functionName: name, lineNumber } = frames.get(id);
      if (name === "(idle)") return;
      const file = url.endsWith("worker.js") ? fileAt(lineNumber) : "";
      const [part] = PARTS.find(([, fits]) => fits({ url, name, file }));
      const microseconds = profile.timeDeltas[i] / REQUESTS;
      parts[part] += microseconds;
      const label = `${readable(name) || "(anonymous)"}${file && ` in ${file.split("/").slice(-2).join("/")}`}`;
      own.set(label, (own.get(label) ?? 0) + microseconds);
    });
    rows[title] = parts;
    functions[title] = [...own].sort(([, one], [, other]) => other - one).slice(0, FUNCTIONS);
  }
  await isolate.stop();
  return { title: await titleOf(OURS), rows, functions };
}

export function report({ title, rows, functions }, print) {
  const kinds = Object.keys(rows);
  const us = (x) => x.toFixed(1);
  print("", `Microseconds of a request of ${SIZE} bytes of data, ${title}, by what the thread was in.`, "");
  print(`| | ${kinds.join(" | ")} |`, `|---|${"---|".repeat(kinds.length)}`);
  for (const [part] of PARTS) print(`| ${part} | ${kinds.map((kind) => us(rows[kind][part])).join(" | ")} |`);
  const sum = (kind) => Object.values(rows[kind]).reduce((sum, part) => sum + part, 0);
  print(`| together | ${kinds.map((kind) => us(sum(kind))).join(" | ")} |`);
  const last = kinds.at(-1);
  print("", `The functions in which the thread was longest, ${last}; without what they call.`, "");
  print("| function | µs |", "|---|---|");
  for (const [name, microseconds] of functions[last]) print(`| \`${name}\` | ${us(microseconds)} |`);
}
