// Sessions for TanStack Start (https://tanstack.com/start): what `createMiddleware().server()` takes, which
// puts the session at context.session. What is particular:
// - TanStack Start hands neither the environment nor `waitUntil` to middleware.
// - An error of a loader or a server function has become a page with status 500 by the time `next`
//   returns, and is not handed over.
// - It prerenders with the built Worker, and middleware cannot tell.

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
