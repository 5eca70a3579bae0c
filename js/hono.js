// Sessions for Hono (https://hono.dev): a middleware that puts the session at c.get("session").

import { Sessions } from "edge-session";

/**
 * Loads the session of each request into `c.get("session")` and commits it with the response.
 * `options` are those of `new Sessions`, or a function from the context to `Sessions`; without them
 * the environment says it all, as in `Sessions.fromEnv`. `lazy` leaves loading to the handler.
 */
export function sessionMiddleware({ sessions = (c) => Sessions.fromEnv(c.env), lazy = false } = {}) {
  return async (c, next) => {
    const ours = typeof sessions === "function" ? sessions(c) : sessions;
    const ctx = executionContext(c);
    const response = await (lazy ? ours.handleLazy : ours.handle).call(ours, c.req.raw, ctx, async (session) => {
      c.set("session", session);
      await next();
      // Hono has turned what a handler threw into a response of its own.
      if (c.error && session.refusal) throw c.error;
      return c.res;
    });
    if (response !== c.res) {
      c.res = undefined; // or Hono copies headers of the old one onto it
      c.res = response;
    }
  };
}

function executionContext(c) {
  try {
    return c.executionCtx;
  } catch {
    return undefined; // Hono throws where there is none, as in tests
  }
}
