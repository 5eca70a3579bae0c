// Sessions for h3 (https://h3.dev) and Nitro (https://nitro.build): a middleware that puts the session
// at event.context.session. Peculiarities of h3 and Nitro:
// - `next()` returns the handler's own return value, which may be a string or an object. The cookies then
//   go into event.res. If it is a Response, they go there, because h3 ignores event.res for 400 and above.
// - An error is thrown through the middleware. h3 and Nitro use the error's own status and headers only if
//   it is an HTTPError. They recognise it by its name, because there may be two copies of h3. Other headers
//   are those of event.res.errHeaders, which Nitro and an `onError` leave out. So an error commits nothing.
// - Nitro prerenders in Node, without bindings, so a wrong configuration must fail only where the session
//   is used.

import { context as waiting, env } from "#platform";
import { adapter, isResponse, sessionErrorIn } from "./adapter.js";

/** Middleware that loads the session of each request and commits it with a response below 500. */
export function sessionMiddleware(options) {
  const run = adapter("sessionMiddleware", options, (event) => event.runtime?.cloudflare?.env ?? env);
  return async (event, next) => {
    let value;
    let plain;
    let failure;
    const handler = async (session) => {
      event.context.session = session;
      try {
        value = await next();
      } catch (error) {
        if (isResponse(error) || sessionErrorIn(error)) throw error;
        failure = { error };
        return (plain = ofError(event));
      }
      if (isResponse(value)) return value;
      return (plain = value instanceof Error ? ofError(event) : prepared(event, value));
    };
    const refuse = (error, put) => {
      throw new HTTPError(error, put(error.toResponse()).headers);
    };
    const context = event.runtime?.cloudflare?.context ?? waiting;
    const hasFailed = () => failure !== undefined || value instanceof Error;
    const answer = await run(event, event.req, context, handler, { refuse, hasFailed, unready: handler });
    if (failure) throw failure.error;
    return answer === plain ? value : answer;
  };
}

/** The status and headers of the response that h3 will make from a value, for the commit. */
function prepared({ res }, value) {
  const isNotFound = typeof value === "symbol";
  return { status: isNotFound ? 404 : (res.status ?? 200), headers: isNotFound ? res.errHeaders : res.headers };
}

/** The same for an error that is not the session's. Its status does not matter, because nothing is committed. */
const ofError = ({ res }) => ({ status: 500, headers: res.errHeaders });

/** An error of the session in the form that h3 expects, with the original as its `cause`. */
class HTTPError extends Error {
  constructor(error, headers) {
    super(error.message, { cause: error });
    this.status = error.status;
    this.headers = headers;
    this.headers.delete("content-type"); // h3 writes its own body
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
