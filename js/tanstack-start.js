// Sessions for TanStack Start (https://tanstack.com/start): an argument for
// `createMiddleware().server()` that puts the session at context.session. Peculiarities of TanStack Start:
// - Middleware gets neither the environment nor `waitUntil`.
// - When `next` returns, an error of a loader or a server function has already become a page with status
//   500. Middleware does not get the error.
// - Start applies what its helpers were asked for, such as setResponseHeader, to what `next` returns and again
//   to what the middleware returns. They would undo the commit: see `keep`.
// - It prerenders with the built Worker, and middleware cannot detect that.

import { context as waiting, env } from "#platform";
import { adapterOfPages } from "./adapter.js";

/** For a request middleware: the session of each request, committed with a response below 500. */
export function sessionServer(options) {
  const run = adapterOfPages("sessionServer", options, () => env);
  return async (event) => {
    let before;
    const answer = await run(event, event.request, waiting, async (session) => {
      const { response } = await event.next({ context: { session } });
      if (response) before = { status: response.status, headers: new Headers(response.headers) };
      return response;
    });
    keep(answer, before);
    return answer;
  };
}

/** Where Start keeps the state of a request, in an AsyncLocalStorage. It is the same for all copies of Start. */
const EVENTS = Symbol.for("tanstack-start:event-storage");

/**
 * Keeps what the commit has changed in the answer, by changing the state of Start's helpers. The state is
 * internal to Start. Where it has another form, it stays as it is, and the helpers win.
 */
function keep(answer, before) {
  const state = globalThis[EVENTS]?.getStore?.()?.responseState;
  if (!(state?.headers instanceof Headers)) return;
  try {
    if (answer.status !== before?.status) state.status = state.statusText = undefined;
    for (const [name, value] of answer.headers) {
      if (name === "set-cookie" || before?.headers.get(name) === value) continue;
      if (!state.clearHeaders && !state.headers.has(name) && !state.removedHeaders?.has(name)) continue;
      state.headers.set(name, value);
      state.headerAppends?.delete(name);
      state.removedHeaders?.delete(name);
    }
    if (!state.clearHeaders && state.setCookieBehavior !== "replace") return;
    const earlier = before?.headers.getSetCookie() ?? [];
    for (const cookie of answer.headers.getSetCookie()) {
      if (earlier.includes(cookie)) continue;
      state.headers.append("set-cookie", cookie);
      state.removedHeaders?.delete("set-cookie");
      state.setCookieBehavior ??= "merge";
    }
  } catch {
    // Another form.
  }
}
