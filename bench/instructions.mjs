// Instructions of the native core, counted by callgrind: the same on a busy machine and an idle one.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { aptInstall, canApt } from "../scripts/apt.mjs";
import { Missing, Stop, ask, exec, inRoot, run, which } from "../scripts/run.mjs";

/** Kind of request and bytes of data. */
const KINDS = [
  ["untouched", 100],
  ["forged", 100],
  ["read", 100],
  ["read", 2_000],
  ["read", 64_000],
  ["write", 100],
  ["write", 2_000],
  ["write", 64_000],
  ["login", 100],
  ["logout", 100],
];
/** As bench/native does in one run. */
const REQUESTS = 20;

/** The ciphers in plain Rust, as they are compiled for wasm, whatever this processor could do. */
const SOFT = ["chacha20", "poly1305", "sha2"].map((crate) => `--cfg ${crate}_backend="soft"`).join(" ");

async function valgrind() {
  if (!which("valgrind") && canApt()) await aptInstall(["valgrind"], "instruction counts: callgrind");
  const found = which("valgrind");
  if (!found) throw new Missing("valgrind is missing. Bring it with: apt-get install valgrind");
  return found;
}

/** Instructions of one request of each kind, and the compiler that they are of. */
export async function instructions() {
  const tool = await valgrind();
  const target = inRoot("target", "instructions");
  await run("compiling bench/native", "cargo", ["build", "--release", "--package", "bench-native"], {
    env: { CARGO_TARGET_DIR: target, RUSTFLAGS: SOFT },
  });
  const counts = {};
  const folder = mkdtempSync(join(tmpdir(), "edge-session-callgrind-"));
  try {
    for (const [kind, bytes] of KINDS) {
      const { status, output } = await exec(
        tool,
        [
          "--tool=callgrind",
          `--callgrind-out-file=${join(folder, "out")}`,
          "--collect-atstart=no",
          "--toggle-collect=bench_native::counted*",
          join(target, "release", "bench-native"),
          kind,
          String(bytes),
        ],
        { capture: true },
      );
      const collected = /Collected : (\d+)/.exec(output)?.[1];
      if (status !== 0 || !(collected > 0)) throw new Stop(`callgrind counted nothing of ${kind}:\n${output}`);
      counts[`${kind}, ${bytes} bytes`] = Math.round(collected / REQUESTS);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  return { compiler: ask("rustc", ["--version"])?.replace(/ \(.*/, "") ?? "unknown", counts };
}
