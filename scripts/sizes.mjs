// `npm run sizes`: bytes of the package and of the Worker, and lines of code by folder.
//
//   npm run sizes -- --built    measures pkg/ and build/ as they are, without building

import { existsSync, readFileSync, readdirSync } from "node:fs";
import { gzipSync } from "node:zlib";

import { buildPackage, sizes } from "./build-package.mjs";
import { buildWorker } from "./build.mjs";
import { Stop, ask, inRoot, main } from "./run.mjs";
import { setUp } from "./setup.mjs";

const line = (name, raw, gzip) => console.log(`${name.padEnd(44)} ${String(raw).padStart(8)} ${String(gzip).padStart(8)}`);

function files(folder, wanted) {
  for (const name of readdirSync(inRoot(folder)).filter((name) => wanted.test(name)).sort()) {
    const bytes = readFileSync(inRoot(folder, name));
    line(`  ${folder}/${name}`, bytes.length, gzipSync(bytes, { level: 9 }).length);
  }
}

/** The lines of the tracked files below a folder, without the test modules in them. */
function lines() {
  const counts = new Map();
  const counted = /^(src|js|sim\/src|tests|bench|scripts|www|fuzz|examples)\/.*\.(rs|m?js|ts)$/;
  for (const file of ask("git", ["ls-files"]).split("\n").filter((file) => counted.test(file))) {
    const all = readFileSync(inRoot(file), "utf8").split("\n");
    const at = file.endsWith(".rs") ? all.findIndex((text) => text === "#[cfg(test)]") : -1;
    // A test module is always at the end of its file.
    const text = at >= 0 && /^mod \w+ \{$/.test(all[at + 1] ?? "") ? all.slice(0, at) : all;
    const code = text.filter((text) => text.trim() && !/^\s*(\/\/|\/?\*)/.test(text)).length;
    const folder = file.slice(0, file.lastIndexOf("/"));
    const [files, whole, sum] = counts.get(folder) ?? [0, 0, 0];
    counts.set(folder, [files + 1, whole + all.length - 1, sum + code]);
  }
  return [...counts].sort(([one], [other]) => (one < other ? -1 : 1));
}

await main(async () => {
  const args = process.argv.slice(2);
  const unknown = args.find((arg) => arg !== "--built");
  if (unknown) throw new Stop(`unknown option ${unknown}. The only option is --built`);
  if (args.length === 0) {
    await setUp();
    await buildPackage();
    await buildWorker();
  }
  console.log(`${"".padEnd(44)} ${"bytes".padStart(8)} ${"gzip -9".padStart(8)}`);
  if (existsSync(inRoot("pkg", "session.wasm"))) {
    const { wasm, javascript, total } = await sizes();
    line("package, wasm", wasm.raw, wasm.gzip);
    line("package, JavaScript bundled and minified", javascript.raw, javascript.gzip);
    line("package, together", total.raw, total.gzip);
    files("pkg", /\.(js|wasm)$/);
  } else {
    console.log("the package is not built");
  }
  if (existsSync(inRoot("build", "worker"))) {
    console.log("Worker");
    files("build/worker", /\.(m?js|wasm)$/);
  } else {
    console.log("the Worker is not built");
  }
  console.log(`\n${"folder".padEnd(28)} ${"files".padStart(6)} ${"lines".padStart(7)} ${"of code".padStart(8)}`);
  const total = [0, 0, 0];
  for (const [folder, row] of lines()) {
    row.forEach((count, i) => (total[i] += count));
    console.log(`${folder.padEnd(28)} ${String(row[0]).padStart(6)} ${String(row[1]).padStart(7)} ${String(row[2]).padStart(8)}`);
  }
  console.log(`${"together".padEnd(28)} ${String(total[0]).padStart(6)} ${String(total[1]).padStart(7)} ${String(total[2]).padStart(8)}`);
});
