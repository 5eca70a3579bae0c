// The entry for everything else: ready after `init(module)`.

export * from "./index.js";
