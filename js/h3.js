// Sessions for h3 (https://h3.dev) and Nitro (https://nitro.build): a middleware that puts the session
// at event.context.session. Peculiarities of h3 and Nitro:
// - `next()` returns the handler's own return value, which may be a string or an object. The cookies then
//   go into event.res. If it is a Response, they go there.
// - h3 sets the headers of event.res over those of the answer, all but Set-Cookie: event.res.headers, and for
//   an error or a Response of 400 and above event.res.errHeaders. A commit must therefore know both and change both.
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
    let prepared;
    let failure;
    let isFailure = false;
    const handler = async (session) => {
      event.context.session = session;
      try {
        value = await next();
      } catch (error) {
        if (isResponse(error)) {
          value = error;
          isFailure = error.status >= 400;
        } else if (sessionErrorIn(error)) {
          throw error;
        } else {
          failure = { error };
          return (plain = ofError(event, error));
        }
      }
      if (value instanceof Error) {
        isFailure = true;
        return (plain = ofError(event, value));
      }
      if (!(value instanceof Response)) return (plain = ofValue(event, value));
      prepared = value.status < 400 ? event.res.headers : event.res.errHeaders;
      return withPrepared(value, prepared);
    };
    const refuse = (error, put) => {
      const { errHeaders } = event.res;
      const answer = error.toResponse();
      if (errHeaders.has("vary")) answer.headers.set("vary", errHeaders.get("vary"));
      const thrown = new HTTPError(error, put(answer).headers);
      replace(errHeaders, thrown.headers);
      throw thrown;
    };
    const context = event.runtime?.cloudflare?.context ?? waiting;
    const hasFailed = () => isFailure || failure !== undefined;
    const answer = await run(event, event.req, context, handler, { refuse, hasFailed, unready: handler });
    if (failure) throw failure.error;
    if (answer === plain) return value;
    replace(prepared, answer.headers);
    return answer;
  };
}

/** The status and headers of the response that h3 will make from a value, for the commit. */
function ofValue({ res }, value) {
  if (typeof value === "symbol") return { status: 404, headers: res.errHeaders }; // no such route
  const status = isResponse(value) ? value.status : (res.status ?? 200);
  return { status, headers: including(value, res.headers) };
}

/** The same for an error that is not the session's. Its status does not matter, because nothing is committed. */
const ofError = ({ res }, error) => ({ status: 500, headers: including(error, res.errHeaders) });

/**
 * `prepared` with the headers of an HTTPResponse or an HTTPError that a commit reads and replaces. The value
 * itself stays as it is, because the application may return it again for another visitor.
 */
function including(value, prepared) {
  const own = value?.headers instanceof Headers ? value.headers : new Headers();
  for (const name of ["cache-control", "vary", "server-timing"]) {
    if (own.has(name) && !prepared.has(name)) prepared.set(name, own.get(name));
  }
  return prepared;
}

/** The response with the headers that h3 will set over its own. */
function withPrepared(response, prepared) {
  const names = namesOf(prepared);
  if (names.length === 0) return response;
  const copy = new Response(response.body, response);
  for (const name of names) copy.headers.set(name, prepared.get(name));
  return copy;
}

/** Gives the headers in `prepared` the values that they have after the commit. */
function replace(prepared, headers) {
  for (const name of namesOf(prepared)) if (headers.has(name)) prepared.set(name, headers.get(name));
}

/** h3 appends Set-Cookie and sets every other header. */
const namesOf = (headers) => [...headers.keys()].filter((name) => name !== "set-cookie");

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
