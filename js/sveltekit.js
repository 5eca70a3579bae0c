// Sessions for SvelteKit (https://svelte.dev/docs/kit): a `handle` that puts the session at
// event.locals.session. What is particular:
// - An error of `load`, an action or an endpoint has become a page with status 500 by the time
//   `resolve` returns, and is not handed over.
// - `event.fetch` of an endpoint of the same application runs `handle` again, with another request. It
//   gets the session of the request that it is part of, which an AsyncLocalStorage carries there.
// - Prerendering runs `handle` with a platform that has no context: no session exists then. It also
//   follows links to pages that are not prerendered, and stops before they are made.

import { SessionError } from "edge-session";
import { adapterOfPages } from "./adapter.js";

/** Carries the request that is under way to requests which it makes of the same application. */
let requests;
import("node:async_hooks").then(
  ({ AsyncLocalStorage }) => (requests = new AsyncLocalStorage()),
  () => {}, // the Worker has neither nodejs_als nor nodejs_compat: it is told so where it matters
);

/** `handle` of `src/hooks.server.ts`: the session of each request, committed with a response below 500. */
export function sessionHandle(options = {}) {
  const run = adapterOfPages("sessionHandle", options, (event) => event.platform.env);
  return ({ event, resolve }) => {
    // While it prerenders there is no platform, or one without a context.
    const context = event.platform?.ctx ?? event.platform?.context;
    if (context === undefined && options.sessions === undefined) {
      Object.defineProperty(event.locals, "session", { get: () => absent(event), configurable: true, enumerable: true });
      return resolve(event);
    }
    const outer = event.isSubRequest ? outerRequest(event) : undefined;
    const request = outer ?? event.request;
    const handler = async (session) => {
      event.locals.session = session;
      return resolve(event);
    };
    const handle = () => run(event, request, context, handler);
    return outer || !requests ? handle() : requests.run(request, handle);
  };
}

/** The request that this one is part of, unless it was made as somebody else's. */
function outerRequest({ request }) {
  const outer = requests?.getStore();
  if (!requests) {
    throw new SessionError(
      "config",
      "sessionHandle: event.fetch asks an endpoint of this application, which needs the session of the request it is " +
        'part of. Add "nodejs_als" or "nodejs_compat" to compatibility_flags',
    );
  }
  return outer && request.headers.has("cookie") === outer.headers.has("cookie") ? outer : undefined;
}

function absent({ route, url }) {
  throw new SessionError(
    "not_ready",
    `${route?.id ?? url.pathname} uses a session while it is prerendered, or without an adapter for Cloudflare: ` +
      "prerendered pages have none. Remove `prerender`, or read the session in the browser from an endpoint",
  );
}
