// The entry for Node.js: ready at import.

import { readFileSync } from "node:fs";
import { init } from "./core.js";

init(new WebAssembly.Module(readFileSync(new URL("./session.wasm", import.meta.url))));

export * from "./index.js";
