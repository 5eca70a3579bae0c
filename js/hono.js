// Sessions for Hono (https://hono.dev): a middleware that puts the session at c.get("session").

import { SessionError, Sessions } from "edge-session";

/** `handle`, with a say in what becomes of an error; and what finds the error of ours behind another. */
const { run, sessionErrorIn } = Sessions[Symbol.for("edge-session.adapter")];

/** Headers that describe a body: an error that takes its place has its own. */
const OF_BODY =
  /^(?:content-(?:type|length|encoding|language|location|disposition|range|digest)|transfer-encoding|etag|last-modified|accept-ranges|location)$/;

/** The request that a context's outermost middleware was given. */
const requests = new WeakMap();

/**
 * Loads the session of each request into `c.get("session")` and commits it with the response, below
 * 500. Registered again, in a sub-app for instance, it gives the same session. What the session
 * refuses is an error for `app.onError`.
 *
 * `sessions` is a `Sessions`, or a function from the context to one; without it the environment says
 * it all, as in `Sessions.fromEnv`. `lazy` leaves loading to the handler.
 */
export function sessionMiddleware(options = {}) {
  const { sessions = (c) => Sessions.fromEnv(c.env), lazy = false, ...others } = options;
  const [unknown] = Object.keys(others);
  if (unknown !== undefined) {
    throw new SessionError(
      "config",
      `sessionMiddleware has no option ${unknown}, only sessions and lazy; settings are variables, or options of ` +
        "the Sessions that you give as sessions",
    );
  }
  if (typeof sessions !== "function" && typeof sessions?.handle !== "function") {
    throw new SessionError("config", "sessionMiddleware: sessions is neither a Sessions nor a function that gives one");
  }
  return async (c, next) => {
    const ours = typeof sessions === "function" ? sessions(c) : sessions;
    const handler = async (session) => {
      c.set("session", session);
      try {
        await next();
      } catch (thrown) {
        // Hono answers errors itself, and leaves a response that was thrown to us.
        if (!(thrown instanceof Response)) throw thrown;
        c.res = thrown;
        throw c.res;
      }
      // An error of ours behind another is ours, unless the application has answered it.
      const error = c.error && sessionErrorIn(c.error);
      if (error && error !== c.error && c.res.status === 500) throw error;
      return c.res;
    };
    const refuse = (error, put) => {
      const headers = new Headers(c.res.headers);
      for (const name of [...headers.keys()]) if (OF_BODY.test(name)) headers.delete(name);
      replace(c, put(new Response(null, { headers })));
      throw error;
    };
    const response = await run(ours, requestOf(c), executionContext(c), handler, { loads: !lazy, refuse });
    if (response !== c.res) replace(c, response);
  };
}

/** Hono copies the headers of a response onto the one that takes its place, unless there was none. */
function replace(c, response) {
  c.res = undefined;
  c.res = response;
}

/** What middleware has put in place of the request is the same one, where the same cookies came. */
function requestOf(c) {
  const { raw } = c.req;
  const first = requests.get(c);
  if (first && first.headers.get("cookie") === raw.headers.get("cookie")) return first;
  requests.set(c, raw);
  return raw;
}

function executionContext(c) {
  try {
    return c.executionCtx;
  } catch {
    return undefined; // Hono throws where there is none, as in tests
  }
}
