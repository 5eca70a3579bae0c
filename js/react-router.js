// Sessions for React Router (https://reactrouter.com), in framework mode: a middleware that puts the
// session into the context. Peculiarities of React Router:
// - Middleware gets neither the environment nor `waitUntil`.
// - When `next()` returns, an error of a loader or an action has already become a page, or its data, with
//   status 500. Middleware does not get the error.
// - It prerenders with the built Worker, and middleware cannot detect that. There may be no secret then,
//   so a wrong configuration must fail only on pages that use the session.
// - A thrown redirect has become a response, so it is committed like a returned one.

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
