// Sessions for h3 (https://h3.dev) and Nitro (https://nitro.build): a middleware that puts the session
// at event.context.session. What is particular:
// - `next()` gives what the handler returned, a string or an object as it may be. The cookies go into
//   event.res then, and onto the Response where it is one: h3 keeps event.res off one of 400 and more.
// - An error is thrown through the middleware. h3 and Nitro answer an error with its own status and
//   headers only if it is an HTTPError, which they tell by its name. There may be two copies of h3.
// - Nitro prerenders in Node, without bindings: what is wrong with the configuration is an error of what
//   uses the session, not of all.

import { context as waiting, env } from "#platform";
import { adapter, isResponse } from "./adapter.js";

/** Middleware that loads the session of each request and commits it with a response below 500. */
export function sessionMiddleware(options) {
  const run = adapter("sessionMiddleware", options, (event) => event.runtime?.cloudflare?.env ?? env);
  return async (event, next) => {
    let value;
    let plain;
    const handler = async (session) => {
      event.context.session = session;
      value = await next();
      return isResponse(value) ? value : (plain = prepared(event, value));
    };
    const refuse = (error, put) => {
      throw new HTTPError(error, put(error.toResponse()).headers);
    };
    const context = event.runtime?.cloudflare?.context ?? waiting;
    const answer = await run(event, event.req, context, handler, { refuse, unready: handler });
    return answer === plain ? value : answer;
  };
}

/** The response that h3 is going to make of a value, as far as a commit is concerned. */
function prepared({ res }, value) {
  const isNotFound = typeof value === "symbol";
  return { status: isNotFound ? 404 : (res.status ?? 200), headers: isNotFound ? res.errHeaders : res.headers };
}

/** An error of the session, as h3 knows errors. The error itself is its `cause`. */
class HTTPError extends Error {
  constructor(error, headers) {
    super(error.message, { cause: error });
    this.status = error.status;
    this.headers = headers;
    this.headers.delete("content-type"); // h3 writes its own answer
    this.data = { code: error.code };
  }

  get name() {
    return "HTTPError";
  }

  toJSON() {
    const { status, message, data } = this;
    return { status, message, data };
  }
}
