// What the adapters for frameworks share: their options, and one session for a request.

import { SessionError, Sessions } from "edge-session";

/** `handle`, with a say in what becomes of an error; and what tells our objects from others. */
const { run, isSessions, isResponse, sessionErrorIn } = Sessions[Symbol.for("edge-session.adapter")];

export { isResponse, sessionErrorIn };

/**
 * Checks the options of the adapter `name`. Gives what runs a handler in the session of a request, as
 * `handle` does: `run(event, request, context, handler, more)`. `event` is what the framework hands to
 * its middleware, and `envOf` finds the environment in it.
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
  return async (event, request, context, handler, more) => {
    const ours = typeof sessions === "function" ? await sessions(event) : sessions;
    check(name, ours, "the function passed as sessions did not return a Sessions");
    return run(ours, request, context, handler, { loads: !lazy, ...more });
  };
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
