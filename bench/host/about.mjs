// What was measured, and on what.

import { readFileSync } from "node:fs";
import { cpus, totalmem } from "node:os";

import { ask, inRoot } from "../../scripts/run.mjs";
import { here } from "./bundle.mjs";

export function about() {
  const json = (...file) => JSON.parse(readFileSync(inRoot(...file), "utf8"));
  const { dependencies } = JSON.parse(readFileSync(`${here}package.json`, "utf8"));
  const { devDependencies } = json("package.json");
  // What is measured is made of these: the rest of the repository may move on.
  const commit = ask("git", ["log", "-1", "--format=%h", "--", "src", "js", "Cargo.toml"]);
  return {
    date: new Date().toISOString().slice(0, 10),
    "edge-session": `${json("pkg", "package.json").version}${commit ? `, commit ${commit}` : ""}`,
    workerd: devDependencies.workerd,
    esbuild: devDependencies.esbuild,
    Rust: ask("rustc", ["--version"]) ?? "-",
    machine: `${cpus().length} x ${cpus()[0].model}, ${Math.round(totalmem() / 2 ** 30)} GB, Linux`,
    contenders: Object.entries(dependencies)
      .map(([name, version]) => `${name} ${version}`)
      .join(", "),
  };
}
