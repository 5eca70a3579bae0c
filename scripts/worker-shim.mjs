// The Worker's entry module: passes each request to the wasm, and survives a panic in it.
//
// Rust for wasm aborts at a panic: the future that panicked never settles, and the shared memory may be
// inconsistent. So an instance that panicked is replaced for later requests. Requests in progress continue
// in the old one, except for the one that panicked, which gets a 500.

import { instantiate } from "./edge_session.js";
import wasm from "./edge_session_bg.wasm";

// It is unknown which of the requests in progress panicked. The others have this long to finish. When only
// as many are left as have panicked, those are the ones.
const GRACE_MS = 5000;

// A request whose browser has gone away is frozen and never ends. So no more than these are remembered.
const MOST_IN_PROGRESS = 1000;

// A wasm instance and the requests that use it.
class Instance {
  exports = instantiate(wasm);
  panics = 0;
  abandon = new Set(); // one function for each request in progress

  constructor() {
    // The crate `worker` sets this property in its panic hook, during the failing request.
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
        if (this.abandon.size > MOST_IN_PROGRESS) this.abandon.delete(this.abandon.values().next().value);
        this.exports.fetch(request, env, ctx).then(resolve, reject);
      });
      return answer ?? internalError();
    } catch (error) {
      if (isTrap(error)) {
        this.retire();
        // This request is answered here, so it is not one of those in question.
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

// Panics end here too. This handles the traps without a panic hook: exhausted memory and stack overflow.
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
