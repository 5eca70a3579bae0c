// The wasm core, once it is there.

import { Handle, Memory, Realm, errorCodes, generateSessionId, initSync } from "./glue.js";
import { SessionError, learnCodes } from "./errors.js";

let ready = false;

/**
 * Makes the package ready, where it is not by itself: a bundler or runtime without an entry of its
 * own. `module` is the `WebAssembly.Module` of `edge-session/session.wasm`. Called again, it does
 * nothing.
 */
export function init(module) {
  if (ready) return;
  if (typeof FinalizationRegistry === "undefined") {
    throw new SessionError(
      "not_ready",
      "edge-session needs FinalizationRegistry: set compatibility_date to 2025-05-05 or later",
    );
  }
  if (!(module instanceof WebAssembly.Module)) {
    throw new SessionError(
      "not_ready",
      "init takes the WebAssembly.Module of edge-session/session.wasm",
    );
  }
  initSync({ module });
  learnCodes(errorCodes());
  ready = true;
}

const check = () => {
  if (!ready) {
    throw new SessionError(
      "not_ready",
      "edge-session is not ready: call init(module) with the module of edge-session/session.wasm first",
    );
  }
};

export function newRealm(...args) {
  check();
  return new Realm(...args);
}

export function newMemory() {
  check();
  return new Memory();
}

export function newSessionId() {
  check();
  return generateSessionId();
}

export { Handle };
