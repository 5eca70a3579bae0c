import { readFileSync } from "node:fs";
import { join } from "node:path";

/**
 * The functions that the wasm of a Worker in Rust exports: its handler, what the crate `worker` runs
 * at start, and nothing else.
 */
export function exported(dir) {
  const module = new WebAssembly.Module(readFileSync(join(dir, "edge_session_bg.wasm")));
  return WebAssembly.Module.exports(module)
    .filter(({ kind, name }) => kind === "function" && !/^(__|wasm_bindgen__)/.test(name))
    .map(({ name }) => name)
    // Streams of wasm-bindgen's own, which the crate `worker` brings.
    .filter((name) => !name.startsWith("intounderlying"));
}
