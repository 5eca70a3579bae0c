// Finds or installs a Rust compiler for wasm32-unknown-unknown, in the first of three ways that works. EDGE_SESSION_WASM=installed|rustup|debian allows only that one.

import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, renameSync, rmSync } from "node:fs";
import { copyFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { aptInstall, canApt } from "./apt.mjs";
import { Missing, ask, cacheDir, exec, inRoot, run, say, which } from "./run.mjs";

const TARGET = "wasm32-unknown-unknown";
const RUSTUP_SECONDS = 30;

const ways = { installed, rustup, debian };
let found;

/**
 * How to call cargo for wasm32: `{ way, why, cargo, clippy, flags, env }`. `flags` are for
 * the compiler. `env` contains them already; they are returned for callers that must set the variable again.
 */
export function wasmTarget() {
  return (found ??= choose());
}

async function choose() {
  const forced = process.env.EDGE_SESSION_WASM;
  if (forced && !Object.hasOwn(ways, forced)) {
    throw new Missing(
      `EDGE_SESSION_WASM=${forced}: use one of ${Object.keys(ways).join(", ")}`,
    );
  }
  const reasons = [];
  const order = forced ? [ways[forced]] : [installed, rustup, debian];
  for (const way of order) {
    const result = await way();
    if (result.cargo) {
      say(`wasm32 target: ${result.way}, ${forced ? "as EDGE_SESSION_WASM requires" : result.why}`);
      return result;
    }
    if (result.not) reasons.push(result.not);
  }
  throw new Missing(
    `no Rust compiler for ${TARGET} (${reasons.join("; ")}). ` +
      `Install it with: rustup target add ${TARGET}`,
  );
}

/** True if the compiler on PATH has a standard library for wasm32. */
function pathHasTarget() {
  const sysroot = ask("rustc", ["--print", "sysroot"]);
  const lib = sysroot && join(sysroot, "lib", "rustlib", TARGET, "lib");
  return lib && existsSync(lib) && readdirSync(lib).some((name) => name.startsWith("libstd-"));
}

const onPath = (way, why) => ({
  way,
  why,
  cargo: "cargo",
  clippy: ["cargo", "clippy"],
  flags: "",
  // With the native builds, because they share what runs on this machine: macros and build scripts.
  env: { CARGO_TARGET_DIR: inRoot("target") },
});

/** The result of an earlier run counts as installed, so that rustup does not run each time. */
async function installed() {
  if (pathHasTarget()) return onPath("installed", "the toolchain on PATH has it");
  const earlier = await debian({ onlyCached: true });
  return earlier.cargo ? earlier : { not: "the toolchain on PATH lacks it, and no earlier run has built a usable one" };
}

async function rustup() {
  if (!which("rustup")) return { not: "rustup is not installed" };
  if (pathHasTarget()) return onPath("rustup", "rustup has it");
  say(`wasm32 target: rustup target add ${TARGET} (at most ${RUSTUP_SECONDS} s)`);
  const { status, timedOut } = await exec("rustup", ["target", "add", TARGET], {
    capture: true,
    timeoutSeconds: RUSTUP_SECONDS,
  });
  if (status === 0 && pathHasTarget()) return onPath("rustup", "rustup has just added it");
  return {
    not: timedOut
      ? `rustup did not add it in ${RUSTUP_SECONDS} s`
      : "rustup could not add it",
  };
}

// Debian has a current compiler in rustc-web, with the standard library as source only.
// We build it once, into our own sysroot, which cargo then uses like any other.
async function debian({ onlyCached = false } = {}) {
  // Cargo separates the compiler's flags by spaces, and one of them names a folder in the cache.
  if (/\s/.test(cacheDir)) return { not: `there is a space in ${cacheDir}: set XDG_CACHE_HOME to another folder` };
  const bin = "/usr/bin";
  const source = "/usr/lib/rustlib/src/rust/library/Cargo.lock";
  const ready = () => existsSync(`${bin}/rustc`) && existsSync(`${bin}/cargo`) && existsSync(source);
  if (!ready()) {
    if (onlyCached) return {};
    if (!canApt()) return { not: "Debian's packages need root and apt-get" };
    const packages = ["rustc-web", "cargo-web", "rust-web-src"];
    if (!(await aptInstall(packages, "wasm32 target: Debian's compiler")) || !ready()) {
      return { not: `apt-get could not install ${packages.join(" ")}` };
    }
  }
  const version = ask(`${bin}/rustc`, ["-vV"]);
  const release = version?.match(/^release: (.*)$/m)?.[1];
  const key = createHash("sha256").update(`1 ${version}`).digest("hex").slice(0, 8);
  const sysroot = join(cacheDir, `sysroot-${release}-${key}`);
  if (!existsSync(sysroot)) {
    if (onlyCached) return {};
    await buildSysroot(bin, sysroot, release);
  }
  const flags = `--sysroot=${sysroot}`;
  const linker = (await findLinker()) ?? undefined;
  if (!linker) return { not: "neither rust-lld nor wasm-ld is installed (apt-get install lld)" };
  return {
    way: "debian",
    why: `Debian's Rust ${release} with a standard library built once (${onlyCached ? "earlier" : "now"})`,
    cargo: `${bin}/cargo`,
    clippy: [`${bin}/cargo-clippy`, "clippy"],
    flags,
    env: {
      ...debianEnv(bin),
      CARGO_TARGET_DIR: inRoot("target", "wasm"),
      CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER: linker,
      // Cargo gives these to the code for wasm32 only; build scripts keep the system's own.
      CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTFLAGS: `${flags} ${process.env.RUSTFLAGS ?? ""}`,
      // It would override the line above.
      RUSTFLAGS: undefined,
      CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUSTDOCFLAGS: flags,
    },
  };
}

/** Prevents a rustup on PATH from overriding the compiler in `bin`. */
const debianEnv = (bin) => ({
  PATH: `${bin}:${process.env.PATH}`,
  RUSTC: `${bin}/rustc`,
  RUSTDOC: `${bin}/rustdoc`,
  CARGO: undefined,
  RUSTUP_TOOLCHAIN: undefined,
});

async function buildSysroot(bin, sysroot, release) {
  say(`wasm32 target: building Rust ${release}'s standard library into ${sysroot}, once, about a minute`);
  mkdirSync(cacheDir, { recursive: true });
  const work = mkdtempSync(join(cacheDir, "build-"));
  try {
    mkdirSync(join(work, "src"));
    await writeFile(join(work, "src", "lib.rs"), "#![no_std]\n");
    await writeFile(
      join(work, "Cargo.toml"),
      '[package]\nname = "sysroot"\nversion = "0.0.0"\nedition = "2024"\n[workspace]\n',
    );
    await run(
      "building the standard library for wasm32",
      `${bin}/cargo`,
      ["build", "--release", "-Zbuild-std=std,panic_abort,test", "--target", TARGET],
      {
        cwd: work,
        capture: true,
        env: {
          ...debianEnv(bin),
          CARGO_TARGET_DIR: join(work, "target"),
          // -Zbuild-std is unstable; the variable lets a stable compiler accept it.
          RUSTC_BOOTSTRAP: "1",
          // Release builds of the Worker use LTO, which needs the bitcode.
          RUSTFLAGS: "-Cembed-bitcode=yes",
        },
      },
    );
    const from = join(work, "target", TARGET, "release", "deps");
    const lib = join("lib", "rustlib", TARGET, "lib");
    mkdirSync(join(work, "sysroot", lib), { recursive: true });
    for (const name of readdirSync(from)) {
      if (/^lib.*\.r(lib|meta)$/.test(name) && !name.startsWith("libsysroot-")) {
        await copyFile(join(from, name), join(work, "sysroot", lib, name));
      }
    }
    try {
      renameSync(join(work, "sysroot"), sysroot);
    } catch (error) {
      // Another run finished first, with the same result.
      if (!existsSync(sysroot)) throw error;
    }
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}

/** rustup's own linker, or LLVM's. */
async function findLinker() {
  const look = () => {
    const sysroot = ask("rustc", ["--print", "sysroot"]);
    const rustlib = sysroot && join(sysroot, "lib", "rustlib");
    const hosts = rustlib && existsSync(rustlib) ? readdirSync(rustlib) : [];
    return which(
      ...hosts.map((host) => join(rustlib, host, "bin", "rust-lld")),
      "rust-lld",
      "wasm-ld",
      "wasm-ld-22",
    );
  };
  return look() ?? (canApt() && (await aptInstall(["lld-22"], "wasm32 target: its linker")) ? look() : null);
}
