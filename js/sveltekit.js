// Sessions for SvelteKit (https://svelte.dev/docs/kit): a `handle` that puts the session at
// event.locals.session. Peculiarities of SvelteKit:
// - When `resolve` returns, an error of `load`, an action or an endpoint has already become a page with
//   status 500. The handle does not get the error.
// - `event.fetch` of an endpoint of the same application runs `handle` again, with another request. It
//   must get the session of the outer request, which an AsyncLocalStorage passes on.
// - Prerendering runs `handle` with a platform without a context, whose bindings throw errors. There is no
//   session then. It also follows links to pages that are not prerendered, and stops before rendering them.

import { SessionError } from "edge-session";
import { adapterOfPages } from "./adapter.js";

/** Passes the current request on to requests that it makes to the same application. */
let requests;
/** Pending only while the first request of an isolate may already be here. */
let loading = import("node:async_hooks")
  .then(
    ({ AsyncLocalStorage }) => (requests = new AsyncLocalStorage()),
    () => {}, // the Worker has neither nodejs_als nor nodejs_compat: `outerRequest` throws an error about it
  )
  .then(() => (loading = undefined));

/** `handle` of `src/hooks.server.ts`: the session of each request, committed with a response below 500. */
export function sessionHandle(options = {}) {
  const run = adapterOfPages("sessionHandle", options, (event) => event.platform.env);
  return async ({ event, resolve }) => {
    if (loading) await loading;
    // During prerendering there is no platform, or one without a context.
    const context = event.platform?.ctx ?? event.platform?.context;
    const prerender = (reason) => {
      const get = () => absent(event, reason);
      Object.defineProperty(event.locals, "session", { get, configurable: true, enumerable: true });
      return resolve(event);
    };
    if (context === undefined && options.sessions === undefined) return prerender();
    const outer = event.isSubRequest ? outerRequest(event) : undefined;
    const request = outer ?? event.request;
    const handler = async (session) => {
      event.locals.session = session;
      return resolve(event);
    };
    // An error of this package says what to do. Any other is that of a platform without bindings.
    const unready = (session, { cause }) => (context === undefined && cause ? prerender(cause) : handler(session));
    const handle = () => run(event, request, context, handler, unready);
    return outer || !requests ? handle() : requests.run(request, handle);
  };
}

/** The outer request of this one, unless it was made without its cookies. */
function outerRequest({ request }) {
  const outer = requests?.getStore();
  if (!requests) {
    throw new SessionError(
      "config",
      "sessionHandle: event.fetch asks an endpoint of this application, which needs the session of the request it is " +
        'part of. Add "nodejs_als" or "nodejs_compat" to compatibility_flags',
    );
  }
  // The inner request also has the cookies that the page has set so far, on a first visit only those.
  return outer && (request.headers.has("cookie") || !outer.headers.has("cookie")) ? outer : undefined;
}

function absent({ route, url }, reason) {
  throw new SessionError(
    "not_ready",
    `${route?.id ?? url.pathname} uses a session while it is prerendered, or without an adapter for Cloudflare: ` +
      "prerendered pages have none. Remove `prerender`, or read the session in the browser from an endpoint" +
      (reason ? ` (${reason.message})` : ""),
    { cause: reason },
  );
}
