// Sessions for Hono (https://hono.dev): a middleware that provides the session as c.get("session").
// Peculiarities of Hono:
// - It answers errors itself, with `app.onError`, and `await next()` does not throw. The error is then in
//   c.error. A thrown response reaches us.
// - The response is in c.res, and a response that replaces it gets its headers.

import { adapter, isResponse, sessionErrorIn } from "./adapter.js";

/** Headers that describe a body. An error that replaces the body has its own. */
const OF_BODY =
  /^(?:content-(?:type|length|encoding|language|location|disposition|range|digest)|transfer-encoding|etag|last-modified|accept-ranges|location)$/;

/** Headers for caching or redirecting the page. They must not apply to the response to an error. */
const OF_PAGE = /^(?:cache-control|expires|age|pragma|cdn-cache-control|cloudflare-cdn-cache-control|surrogate-control|refresh)$/;

/** The request that the outermost middleware of a context received. */
const requests = new WeakMap();

/**
 * Loads the session of each request into `c.get("session")` and commits it with a response below 500.
 * If it is registered again, for example in a sub-app, both use the same session. Errors of the
 * session go to `app.onError`. After a thrown error the changes are dropped, whatever `app.onError`
 * answers.
 *
 * `sessions` is a `Sessions`, or a function from the context to one or to a promise of one. Without it
 * the sessions come from the environment, as in `Sessions.fromEnv`. With `lazy` the handler loads.
 */
export function sessionMiddleware(options) {
  const run = adapter("sessionMiddleware", options, (c) => c.env ?? {});
  return async (c, next) => {
    let isFailure = false;
    const handler = async (session) => {
      c.set("session", session);
      const before = c.error;
      try {
        await next();
      } catch (thrown) {
        // Hono answers errors itself, but a thrown response reaches us.
        if (!isResponse(thrown)) throw thrown;
        c.res = thrown instanceof Response ? thrown : new Response(thrown.body, thrown);
        throw c.res;
      }
      // Hono reports this too, but only after the commit.
      if (!c.finalized) throw new Error("The handler returned no Response: return one, or await next()");
      if (c.error !== undefined && c.error !== before) {
        isFailure = !isRedirect(c.error, c.res);
        await answerWithCause(c);
      }
      return c.res;
    };
    const refuse = (error, put) => {
      const headers = without(c.res.headers, OF_BODY, OF_PAGE);
      headers.set("cache-control", "no-store");
      replace(c, put(new Response(null, { headers })));
      throw error;
    };
    const hasFailed = () => isFailure;
    const response = await run(c, requestOf(c), executionContext(c), handler, { refuse, hasFailed });
    if (response !== c.res) replace(c, response);
  };
}

/** True for an error that is a redirect, like `new HTTPException(302, { res })`, and was answered as one. */
const isRedirect = (error, answer) =>
  typeof error.getResponse === "function" && error.status < 400 && answer.status < 400;

/**
 * If a SessionError is the cause of another error, answers with the SessionError, unless the application
 * has answered. Hono logs the other error.
 */
async function answerWithCause(c) {
  const error = sessionErrorIn(c.error);
  if (!error || error === c.error || !(await isDefault(c.res))) return;
  const answer = error.getResponse();
  const headers = without(c.res.headers, OF_BODY, OF_PAGE);
  for (const [name, value] of answer.headers) headers.set(name, value);
  replace(c, new Response(answer.body, { status: answer.status, headers }));
}

/** True for Hono's own response to an error, if the application has no `onError`. */
async function isDefault(response) {
  const { status, headers } = response;
  if (status !== 500 || !/^text\/plain\b/i.test(headers.get("content-type") ?? "")) return false;
  return (await response.clone().text()) === "Internal Server Error";
}

/** A copy of `headers` without those whose names match. */
function without(headers, ...patterns) {
  const copy = new Headers(headers);
  for (const name of [...copy.keys()]) if (patterns.some((pattern) => pattern.test(name))) copy.delete(name);
  return copy;
}

/** Replaces c.res. Hono copies the headers of a response to the one that replaces it, so reset it first. */
function replace(c, response) {
  c.res = undefined;
  c.res = response;
}

/** The original request, if middleware has replaced it by one with the same cookies. */
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
    return undefined; // Hono throws if there is none, as in tests
  }
}
