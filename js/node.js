// The entry for Node.js: ready at import. The wasm is in the JavaScript, not in a file beside it, so
// that it is still there when a bundler has put everything into one file.

import { Buffer } from "node:buffer";
import { brotliDecompressSync } from "node:zlib";
import { init } from "./core.js";
import wasm from "./wasm-inline.js";

init(new WebAssembly.Module(brotliDecompressSync(Buffer.from(wasm, "base64"))));

export * from "./index.js";
