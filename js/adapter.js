// Shared by the adapters for frameworks: their options, one session for each request, and errors for
// which a framework has already made a page.

import { SessionError, Sessions } from "edge-session";

/** `handle` with control over errors, and checks for objects of this package. */
const { run, isSessions, isResponse, sessionErrorIn, lastError } = Sessions[Symbol.for("edge-session.adapter")];

export { isResponse, sessionErrorIn };

/** The headers of an error response that also apply to a framework's error page. */
const OF_ERROR = ["retry-after", "cache-control"];

/**
 * Checks the options of the adapter `name`. Returns a function that runs a handler with the session of
 * a request, like `handle`: `run(event, request, context, handler, more)`. `event` is the argument of the
 * framework's middleware, and `envOf` returns the environment from it. If the configuration is wrong or the
 * application's function fails, `unready` runs instead of the handler, with a session that throws the error
 * when it is used, and with the error.
 */
export function adapter(name, options = {}, envOf) {
  const { sessions = (event) => fromEnv(name, envOf(event)), lazy = false, ...others } = options;
  const [unknown] = Object.keys(others);
  if (unknown !== undefined) {
    throw new SessionError(
      "config",
      `${name} has no option ${unknown}; its options are sessions and lazy. Settings are variables, or options of ` +
        "the Sessions that you pass as sessions",
    );
  }
  if (typeof sessions !== "function") check(name, sessions, "sessions is neither a Sessions nor a function that returns one");
  return async (event, request, context, handler, { unready, ...more } = {}) => {
    let ours = sessions;
    try {
      if (typeof sessions === "function") ours = await sessions(event);
      check(name, ours, "the function passed as sessions did not return a Sessions");
    } catch (error) {
      if (!unready || !isMistake(error)) throw error;
      const refusal = error instanceof SessionError ? error : failed(name, error);
      return unready(unusable(refusal), refusal);
    }
    return run(ours, request, context, handler, { loads: !lazy, ...more });
  };
}

/**
 * The same for a framework that turns every error into a page with status 500 and does not pass the
 * error on. If the session threw one in this request, the page stays, its status becomes that of the
 * error, and changes are dropped. The framework has logged the error. Such frameworks also prerender,
 * without a secret or bindings, so the configuration must not fail before the session is used.
 */
export function adapterOfPages(name, options, envOf) {
  const run = adapter(name, options, envOf);
  return (event, request, context, handler, unready = handler) => {
    let isFailure = false;
    const page = async (session) => {
      const response = await handler(session);
      const error = response?.status === 500 ? lastError(session) : undefined;
      if (error === undefined || error.status === 500) return response;
      isFailure = true;
      return withStatusOf(error, response);
    };
    return run(event, request, context, page, { hasFailed: () => isFailure, unready });
  };
}

/** The page with the status of the error, and its `Retry-After`. */
export function withStatusOf(error, page) {
  const answer = error.toResponse();
  const headers = new Headers(page.headers);
  for (const name of OF_ERROR) if (answer.headers.has(name)) headers.set(name, answer.headers.get(name));
  return new Response(page.body, { status: answer.status, headers });
}

/** False for an answer that the application's function throws: a response, a redirect, or an error with a status. */
const isMistake = (error) => error instanceof SessionError || (error instanceof Error && error.status === undefined);

/** For an error of the application's function, which may only fail because prerendering has no bindings. */
const failed = (name, error) =>
  new SessionError("config", `${name}: the function passed as sessions failed: ${error.message}`, { cause: error });

/** Replaces a session: every use of it throws `error`. */
function unusable(error) {
  const refuse = () => {
    throw error;
  };
  return new Proxy({}, { get: refuse, set: refuse, has: refuse });
}

function fromEnv(name, env) {
  if (typeof env === "object" && env !== null) return Sessions.fromEnv(env);
  throw new SessionError(
    "config",
    `${name}: there is no environment to read the bindings from. In a Worker, bundle with the condition "workerd"; ` +
      "elsewhere, pass a Sessions as sessions",
  );
}

function check(name, sessions, what) {
  if (isSessions(sessions)) return;
  throw new SessionError(
    "config",
    `${name}: ${what}. A Proxy or a mock does not count as a Sessions, and neither does one ` +
      "from a second copy of this package",
  );
}
