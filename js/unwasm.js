// The entry for Workers that Nitro bundles: its plugin unwasm gives an instance for a wasm file, and the
// module itself for this query.

import module from "./session.wasm?module";
import { init } from "./core.js";

init(module);

export * from "./index.js";
