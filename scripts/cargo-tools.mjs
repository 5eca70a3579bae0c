// Cargo's tools that the checks need.

import { existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { aptInstall, canApt } from "./apt.mjs";
import { Missing, ask, cacheDir, exec, run, say, which } from "./run.mjs";

const CARGO_DENY = "0.20.2";

/** clippy and rustfmt of the toolchain on PATH. */
export async function ensureComponents() {
  const missing = ["clippy", "fmt"].filter((name) => ask("cargo", [name, "--version"]) === null);
  if (missing.length === 0) return;
  const components = missing.map((name) => (name === "fmt" ? "rustfmt" : name));
  if (which("rustup")) {
    say(`Rust: rustup component add ${components.join(" ")}`);
    await exec("rustup", ["component", "add", ...components], { capture: true, timeoutSeconds: 60 });
  } else if (canApt()) {
    await aptInstall(["rust-web-clippy", "rustfmt-web"], "Rust: Debian's clippy and rustfmt");
  }
  for (const name of missing) {
    if (ask("cargo", [name, "--version"]) === null) {
      throw new Missing(`cargo ${name} is missing. Install it with: rustup component add ${components.join(" ")}`);
    }
  }
}

/** clippy for the compiler that compiles for wasm32, if that is another one. */
export async function ensureWasmClippy({ way, clippy }) {
  if (way !== "debian" || existsSync(clippy[0])) return;
  if (canApt()) await aptInstall(["rust-web-clippy"], "checks: clippy for Debian's compiler");
  if (!existsSync(clippy[0])) {
    throw new Missing("clippy of Debian's compiler is missing. Install it with: apt-get install rust-web-clippy");
  }
}

/** The path of cargo-deny, compiled once per machine when it is not on PATH. */
export async function ensureCargoDeny() {
  const found = which("cargo-deny");
  if (found) return found;
  const root = join(cacheDir, `cargo-deny-${CARGO_DENY}`);
  const own = join(root, "bin", "cargo-deny");
  if (!existsSync(own)) {
    say(`checks: compiling cargo-deny ${CARGO_DENY} into ${root}, once, some minutes`);
    mkdirSync(root, { recursive: true });
    // Unoptimized: it compiles several times faster and runs for seconds.
    await run(
      "cargo install cargo-deny",
      "cargo",
      ["install", "-q", "--locked", "--debug", "--root", root, `cargo-deny@${CARGO_DENY}`],
      { cwd: root, capture: true },
    );
  }
  return own;
}
