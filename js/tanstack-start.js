// Sessions for TanStack Start (https://tanstack.com/start): an argument for
// `createMiddleware().server()` that puts the session at context.session. Peculiarities of TanStack Start:
// - Middleware gets neither the environment nor `waitUntil`.
// - When `next` returns, an error of a loader or a server function has already become a page with status
//   500. Middleware does not get the error.
// - It prerenders with the built Worker, and middleware cannot detect that.

import { context as waiting, env } from "#platform";
import { adapterOfPages } from "./adapter.js";

/** For a request middleware: the session of each request, committed with a response below 500. */
export function sessionServer(options) {
  const run = adapterOfPages("sessionServer", options, () => env);
  return (event) =>
    run(event, event.request, waiting, async (session) => {
      const { response } = await event.next({ context: { session } });
      return response;
    });
}
