// Sessions for React Router (https://reactrouter.com), in framework mode: a middleware that puts the
// session into the context. What is particular:
// - React Router hands neither the environment nor `waitUntil` to middleware.
// - An error of a loader or an action has become a page, or the data of one, by the time `next()`
//   returns. Its status is 500, whatever the error was, and the error itself is not handed over.
// - It prerenders with the built Worker, and middleware cannot tell. There may be no secret then, so what
//   is wrong with the configuration is an error of the pages that use the session, not of all.
// - A redirect that was thrown has become a response, so it is committed like one that was returned.

import { context as waiting, env } from "#platform";
import { adapterOfPages } from "./adapter.js";

/**
 * Middleware for `app/root.tsx` that loads the session of each request into `context` and commits it
 * with a response below 500.
 */
export function sessionMiddleware(context, options) {
  const run = adapterOfPages("sessionMiddleware", options, () => env);
  return (event, next) =>
    run(event, event.request, waiting, (session) => {
      event.context.set(context, session);
      return next();
    });
}
