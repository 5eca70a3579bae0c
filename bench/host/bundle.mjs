// Bundles for workerd: one script, and the wasm that it imports.

import { builtinModules } from "node:module";
import { readFileSync } from "node:fs";
import { basename, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";

import { build } from "esbuild";

import { inRoot } from "../../scripts/run.mjs";

export const here = fileURLToPath(new URL("..", import.meta.url));

/**
 * What `source` bundles to: `{ script, wasm: [{ name, bytes }] }`. `sessionWasm` is the file of another
 * build of the package's wasm.
 */
export async function bundle(source, { minify = false, sessionWasm } = {}) {
  const wasm = new Map();
  const plugin = {
    name: "workers",
    setup(build) {
      build.onResolve({ filter: /\.wasm$/ }, ({ path, resolveDir }) => {
        const file = resolve(resolveDir, path);
        const isSession = basename(file) === "session.wasm";
        wasm.set(basename(file), (isSession && sessionWasm) || file);
        return { path: `./${basename(file)}`, external: true };
      });
      build.onResolve({ filter: /^edge-session$/ }, () => ({ path: inRoot("pkg", "workerd.js") }));
      build.onResolve({ filter: /^edge-session\/durable-object$/ }, () => ({ path: inRoot("pkg", "durable-object.js") }));
      build.onResolve({ filter: /^rust-(bare|worker)$/ }, ({ path }) => ({ path: inRoot("build", "bench", path, "index.js") }));
      build.onResolve({ filter: /^cloudflare:/ }, ({ path }) => ({ path, external: true }));
      build.onResolve({ filter: /^[a-z_:/]+$/ }, ({ path, kind }) => {
        const bare = path.replace(/^node:/, "");
        if (!builtinModules.includes(bare)) return undefined;
        if (kind === "require-call") return { path: bare, namespace: "required" };
        return { path: `node:${bare}`, external: true };
      });
      // A module of Node's that a package asks for in the old way.
      build.onLoad({ filter: /./, namespace: "required" }, ({ path }) => ({
        contents: `export * from "node:${path}";`,
        resolveDir: here,
      }));
    },
  };
  const { outputFiles } = await build({
    stdin: { contents: source, resolveDir: here, sourcefile: "entry.mjs" },
    bundle: true,
    minify,
    format: "esm",
    target: "es2024",
    conditions: ["workerd", "worker", "browser"],
    mainFields: ["browser", "module", "main"],
    define: { "process.env.NODE_ENV": '"production"' },
    plugins: [plugin],
    write: false,
    logLevel: "error",
    legalComments: "none",
  });
  return {
    script: outputFiles[0].text,
    wasm: [...wasm].map(([name, file]) => ({ name, bytes: readFileSync(file) })),
  };
}

export const size = (bytes) => ({ raw: Buffer.byteLength(bytes), gzip: gzipSync(bytes, { level: 9 }).length });
