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
  if (!found) throw new Missing("valgrind is missing. Install it with: apt-get install valgrind");
  return found;
}

async function compiled() {
  const target = inRoot("target", "instructions");
  await run("compiling bench/native", "cargo", ["build", "--release", "--package", "bench-native"], {
    env: { CARGO_TARGET_DIR: target, RUSTFLAGS: SOFT },
  });
  return join(target, "release", "bench-native");
}

/** Runs callgrind over each kind of request; `see` gets the instructions and the file of the profile. */
async function eachKind(kinds, see) {
  const tool = await valgrind();
  const program = await compiled();
  const folder = mkdtempSync(join(tmpdir(), "edge-session-callgrind-"));
  const file = join(folder, "out");
  try {
    for (const [kind, bytes] of kinds) {
      const { status, output } = await exec(
        tool,
        [
          "--tool=callgrind",
          `--callgrind-out-file=${file}`,
          "--collect-atstart=no",
          "--toggle-collect=bench_native::counted*",
          program,
          kind,
          String(bytes),
        ],
        { capture: true },
      );
      const collected = Number(/Collected : (\d+)/.exec(output)?.[1]);
      if (status !== 0 || !(collected > 0)) throw new Stop(`callgrind counted nothing of ${kind}:\n${output}`);
      await see(`${kind}, ${bytes} bytes`, collected / REQUESTS, file);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** Instructions of one request of each kind, and the compiler that they are of. */
export async function instructions() {
  const counts = {};
  await eachKind(KINDS, (name, count) => (counts[name] = Math.round(count)));
  return { compiler: ask("rustc", ["--version"])?.replace(/ \(.*/, "") ?? "unknown", counts };
}

/** What the functions of a profile are for. */
const PARTS = [
  ["SHA-256", /sha2::|hmac::|hkdf::|block_buffer/],
  ["ChaCha20", /chacha20|StreamCipher/],
  ["Poly1305", /poly1305|universal_hash/],
  ["base64", /base64|wire::(encode_text|decode_text|push_text)/],
  ["memory: allocate, copy, clear", /malloc|free|calloc|realloc|mem(cpy|move|set|cmp)|_int_|zeroize|drop_in_place|unlink_chunk/],
  ["all else", /./],
];

/** The share of each part in the instructions of a request. */
export async function profile() {
  const rows = {};
  await eachKind(KINDS, async (name, count, file) => {
    const { output } = await exec("callgrind_annotate", ["--threshold=100", file], { capture: true });
    const shares = Object.fromEntries(PARTS.map(([part]) => [part, 0]));
    for (const [, instructions, what] of output.matchAll(/^ *([\d,]+) \([^)]*\) +(.*)$/gm)) {
      if (what.startsWith("PROGRAM TOTALS")) continue;
      const [part] = PARTS.find(([, pattern]) => pattern.test(what.replace(/ \[.*/, "")));
      shares[part] += Number(instructions.replaceAll(",", "")) / REQUESTS / count;
    }
    rows[name] = { count: Math.round(count), shares };
  });
  return { rows };
}

export function report({ rows }, print) {
  const parts = PARTS.map(([part]) => part);
  print("", "Instructions of the native core for one request, and what they are for.", "");
  print(`| request | instructions | ${parts.join(" | ")} |`, `|---|${"---|".repeat(parts.length + 1)}`);
  for (const [name, { count, shares }] of Object.entries(rows)) {
    const cells = parts.map((part) => `${(shares[part] * 100).toFixed(0)} %`);
    print(`| ${name} | ${count.toLocaleString("en")} | ${cells.join(" | ")} |`);
  }
}
