// What the adapters for frameworks share: their options, one session for a request, and errors that
// a framework has answered with a page of its own.

import { SessionError, Sessions } from "edge-session";

/** `handle`, with a say in what becomes of an error; and what tells our objects from others. */
const { run, isSessions, isResponse, sessionErrorIn, lastError } = Sessions[Symbol.for("edge-session.adapter")];

export { isResponse, sessionErrorIn };

/** What an error says in its headers that is also true of a page that takes its place. */
const OF_ERROR = ["retry-after", "cache-control"];

/**
 * Checks the options of the adapter `name`. Gives what runs a handler in the session of a request, as
 * `handle` does: `run(event, request, context, handler, more)`. `event` is what the framework hands to
 * its middleware, and `envOf` finds the environment in it. With `unready`, which takes the place of the
 * handler then, what is wrong with the configuration is an error only where the session is used.
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
      if (unready && error instanceof SessionError) return unready(unusable(error));
      throw error;
    }
    return run(ours, request, context, handler, { loads: !lazy, ...more });
  };
}

/**
 * The same for a framework that turns every error into a page with status 500 and does not tell which
 * error it was. If the session threw one in this request, the page stays, the status becomes the one of
 * that error, and changes are dropped. The framework has reported the error itself. Such frameworks
 * prerender too, where there may be no secret.
 */
export function adapterOfPages(name, options, envOf) {
  const run = adapter(name, options, envOf);
  return (event, request, context, handler) => {
    let isFailure = false;
    const page = async (session) => {
      const response = await handler(session);
      const error = response?.status === 500 ? lastError(session) : undefined;
      if (error === undefined || error.status === 500) return response;
      isFailure = true;
      return withStatusOf(error, response);
    };
    return run(event, request, context, page, { hasFailed: () => isFailure, unready: handler });
  };
}

/** A page with the status of an error, and when to try again. */
export function withStatusOf(error, page) {
  const answer = error.toResponse();
  const headers = new Headers(page.headers);
  for (const name of OF_ERROR) if (answer.headers.has(name)) headers.set(name, answer.headers.get(name));
  return new Response(page.body, { status: answer.status, headers });
}

/** In place of a session: whatever is done with it throws `error`. */
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
