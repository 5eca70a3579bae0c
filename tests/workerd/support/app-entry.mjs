// The Worker under test, unchanged, in an isolate whose clock a test can move.
//
// The import order matters: the clock is in place before the Worker's first line runs. `Clock` is
// a second entry point with its own socket. It shares the isolate, so the product needs no code for tests.

import "./app-clock.mjs";

export * from "./index.js";
export { default } from "./index.js";
export { Clock } from "./app-clock.mjs";
