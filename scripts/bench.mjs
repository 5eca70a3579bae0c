// `npm run bench`: installs what the bench needs, then runs bench/run.mjs. `npm run bench -- help` lists the
// arguments.

import { createHash } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { buildPackage } from "./build-package.mjs";
import { buildBenchWorkers } from "./build.mjs";
import { inRoot, main, run, say } from "./run.mjs";
import { setUp } from "./setup.mjs";

/** The contenders, at the versions of bench/package-lock.json. */
async function contenders() {
  const lock = readFileSync(inRoot("bench", "package-lock.json"));
  const wanted = createHash("sha256").update(lock).digest("hex");
  const stamp = inRoot("bench", "node_modules", ".edge-session-lock");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === wanted) return;
  say("contenders: npm ci in bench/");
  const npm = process.env.npm_execpath;
  const [command, ...args] = npm?.endsWith(".js") ? [process.execPath, npm] : ["npm"];
  await run("npm ci", command, [...args, "ci"], { cwd: inRoot("bench"), capture: true });
  writeFileSync(stamp, wanted);
}

await main(async () => {
  await setUp();
  await contenders();
  await buildPackage();
  await buildBenchWorkers();
  const { bench } = await import("../bench/run.mjs");
  await bench(process.argv.slice(2));
});
