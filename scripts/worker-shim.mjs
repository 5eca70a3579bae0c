// The Worker's entry module: hands each request to the wasm, and survives a panic in it.
//
// Rust for wasm aborts at a panic: the future that panicked never settles, and the memory
// it shared may be left half changed. So every instance that panicked is replaced: requests
// that come later get a new one. Those that were in flight go on in the old one, all but the
// one that panicked, which is answered 500.

import { instantiate } from "./edge_session.js";
import wasm from "./edge_session_bg.wasm";

// Which of the requests in flight panicked is not known. Those that are sound have this long to
// end; once no more are left than have panicked, these are the ones.
const GRACE_MS = 5000;

// The Rust state, its memory and the requests that use them.
class Instance {
  exports = instantiate(wasm);
  panics = 0;
  abandon = new Set(); // one function for each request in flight

  constructor() {
    // The crate `worker` sets this property in its panic hook, within the failing request.
    Object.defineProperty(this.exports.__worker_init_state(), "criticalError", {
      set: () => {
        announced = true;
        this.onPanic();
      },
    });
  }

  async fetch(request, env, ctx) {
    let abandon;
    try {
      const answer = await new Promise((resolve, reject) => {
        this.abandon.add((abandon = resolve));
        this.exports.fetch(request, env, ctx).then(resolve, reject);
      });
      return answer ?? internalError();
    } catch (error) {
      if (isTrap(error)) {
        this.retire();
        // This request is answered here: it is none of those to be found.
        if (announced) this.panics -= 1;
        announced = false;
      }
      console.error(error);
      return internalError();
    } finally {
      this.abandon.delete(abandon);
      if (this.panics > 0) this.abandonTheDead();
    }
  }

  onPanic() {
    this.panics += 1;
    this.retire();
    this.abandonTheDead();
    setTimeout(() => this.abandonAll(), GRACE_MS);
  }

  retire() {
    if (current === this) current = null;
  }

  abandonTheDead() {
    if (this.abandon.size <= this.panics) this.abandonAll();
  }

  abandonAll() {
    for (const abandon of this.abandon) abandon();
  }
}

let announced = false;
let current = new Instance();

// Every panic ends here too; of interest are the traps that no panic hook has announced:
// memory exhausted, stack overflow.
addEventListener("error", ({ error }) => {
  if (isTrap(error) && !announced) current?.onPanic();
  announced = false;
});

function isTrap(error) {
  if (error instanceof WebAssembly.RuntimeError) return true;
  return error instanceof RangeError && /call stack/.test(error.message);
}

function internalError() {
  const problem = { type: "about:blank", title: "Internal Server Error", status: 500, code: "internal" };
  return new Response(JSON.stringify(problem), {
    status: 500,
    headers: { "content-type": "application/problem+json", "cache-control": "no-store" },
  });
}

export default {
  fetch(request, env, ctx) {
    current ??= new Instance();
    return current.fetch(request, env, ctx);
  },
};
