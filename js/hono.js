// Sessions for Hono (https://hono.dev): a middleware that puts the session at c.get("session"). What is
// particular:
// - Hono answers errors itself, with `app.onError`, and `await next()` does not throw. The error is in
//   c.error then. A response that was thrown is left to us.
// - The response is in c.res, and what takes its place gets its headers.

import { adapter, isResponse, sessionErrorIn } from "./adapter.js";

/** Headers that describe a body: an error that takes its place has its own. */
const OF_BODY =
  /^(?:content-(?:type|length|encoding|language|location|disposition|range|digest)|transfer-encoding|etag|last-modified|accept-ranges|location)$/;

/** Headers that say how long the page may be kept, or lead away from it: the answer to an error is neither. */
const OF_PAGE = /^(?:cache-control|expires|age|pragma|cdn-cache-control|cloudflare-cdn-cache-control|surrogate-control|refresh)$/;

/** The request that a context's outermost middleware was given. */
const requests = new WeakMap();

/**
 * Loads the session of each request into `c.get("session")` and commits it with the response, below
 * 500. Registered again, in a sub-app for instance, it gives the same session. What the session
 * refuses is an error for `app.onError`. After an error that was thrown changes are dropped, whatever
 * `app.onError` answers.
 *
 * `sessions` is a `Sessions`, or a function from the context to one or to the promise of one; without
 * it the environment says it all, as in `Sessions.fromEnv`. `lazy` leaves loading to the handler.
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
        // Hono answers errors itself, and leaves a response that was thrown to us.
        if (!isResponse(thrown)) throw thrown;
        c.res = thrown instanceof Response ? thrown : new Response(thrown.body, thrown);
        throw c.res;
      }
      // Hono says so too, but after the commit.
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

/** True for an error that is an answer, as `new HTTPException(302, { res })` is, and was answered so. */
const isRedirect = (error, answer) =>
  typeof error.getResponse === "function" && error.status < 400 && answer.status < 400;

/**
 * An error of ours behind another is answered as ours, unless the application has answered it. Hono
 * logs the other one.
 */
async function answerWithCause(c) {
  const error = sessionErrorIn(c.error);
  if (!error || error === c.error || !(await isDefault(c.res))) return;
  const answer = error.getResponse();
  const headers = without(c.res.headers, OF_BODY, OF_PAGE);
  for (const [name, value] of answer.headers) headers.set(name, value);
  replace(c, new Response(answer.body, { status: answer.status, headers }));
}

/** True for what Hono answers to an error where the application has no `onError`. */
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
