// The entry for Workers, where a wasm file is imported as a module: ready at import.

import module from "./session.wasm";
import { init } from "./core.js";

init(module);

export * from "./index.js";
