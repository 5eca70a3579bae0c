// A Worker that uses the package, bundled like wrangler does, for the tests in workerd.

import { copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

import { startWorker } from "../../workerd/support/harness.mjs";

const root = fileURLToPath(new URL("../../../", import.meta.url));

/**
 * Starts the Worker whose entry is `entry`, a path from the root of the repository. Those `beside` it
 * have an `entry` too, or a built `directory`.
 */
export async function startWith(entry, { beside = {}, ...options } = {}) {
  const directory = mkdtempSync(join(tmpdir(), "edge-session-"));
  try {
    await bundle(entry, directory);
    copyFileSync(join(root, "pkg/session.wasm"), join(directory, "session.wasm"));
    const others = Object.entries(beside).map(async ([name, { entry, ...other }]) => {
      if (entry) await bundle(entry, (other.directory = join(directory, name)));
      return [name, other];
    });
    return await startWorker({ directory, beside: Object.fromEntries(await Promise.all(others)), ...options });
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

function bundle(entry, directory) {
  return build({
    entryPoints: [join(root, entry)],
    outfile: join(directory, "index.js"),
    bundle: true,
    format: "esm",
    target: "es2024",
    conditions: ["workerd", "worker", "browser"],
    external: ["cloudflare:*", "*.wasm"],
    alias: {
      "edge-session/durable-object": join(root, "pkg/durable-object.js"),
      "edge-session/hono": join(root, "pkg/hono.js"),
      "edge-session": join(root, "pkg/workerd.js"),
    },
    nodePaths: [join(root, "node_modules")],
    logLevel: "warning",
  });
}
