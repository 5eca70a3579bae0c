// Sessions for Astro (https://astro.build): a middleware that puts the session at
// context.locals.session. Peculiarities of Astro:
// - Middleware gets neither the environment nor `waitUntil`.
// - An error of a page is thrown through the middleware. For an error of the session, the middleware
//   responds with the application's own page for 500 and the status of the error.
// - Astro.rewrite runs the middleware again, with another request and the same locals. Both runs share one
//   session.
// - An answer of 404 or 500 without a body makes Astro render the application's error page, with the same
//   locals, after the middleware has ended. That run continues with the cookies of the first. Of a header that
//   both answers have, Astro then sends the first's value, with the cookies of both.
// - The middleware runs for prerendered pages when the site is built. There is no session then.

import { SessionError } from "edge-session";
import { context as waiting, env } from "#platform";
import { adapter, withStatusOf } from "./adapter.js";
import { cookieOf } from "./cookies.js";

/** For the locals of a request, the request that its middleware got first, with the cookies of the answer so far. */
const requests = new WeakMap();
/** For the locals of a request, its answer without a body, whose headers Astro puts on the error page. */
const bodyless = new WeakMap();
/** The locals whose middleware is running. */
const running = new WeakSet();

/** `onRequest` of `src/middleware.ts`: the session of each request, committed with a response below 500. */
export function sessionMiddleware(options) {
  const run = adapter("sessionMiddleware", options, () => env);
  return async (context, next) => {
    const { locals } = context;
    if (context.isPrerendered) {
      Object.defineProperty(locals, "session", { get: () => absent(context), configurable: true, enumerable: true });
      return next();
    }
    const request = requests.get(locals) ?? context.request;
    requests.set(locals, request);
    const isOutermost = !running.has(locals);
    running.add(locals);
    const handler = (session) => {
      locals.session = session;
      return next();
    };
    const refuse = async (error, put) => put((await errorPage(error, context, next)) ?? error.toResponse());
    try {
      const answer = await run(context, request, waiting, handler, { refuse, streams: isPage });
      if (!isOutermost) return answer;
      requests.set(locals, after(request, answer));
      const first = bodyless.get(locals);
      if (first) protect(first.headers, answer.headers);
      if (answer.body !== null || (answer.status !== 404 && answer.status !== 500)) return answer;
      // A copy, because its headers may be immutable.
      const copy = new Response(null, answer);
      bodyless.set(locals, copy);
      return copy;
    } finally {
      if (isOutermost) running.delete(locals);
    }
  };
}

/** Components of a page may read the session while the page is being sent. */
const isPage = ({ headers }) => /^text\/html\b/i.test(headers.get("content-type") ?? "");

/** The request that a browser would send next. */
function after(request, answer) {
  const cookies = answer.headers.getSetCookie().map(cookieOf);
  if (cookies.length === 0) return request;
  const isKept = (pair) => pair !== "" && !cookies.some(({ name }) => pair.startsWith(`${name}=`));
  const kept = (request.headers.get("cookie") ?? "").split(/; */).filter(isKept);
  const set = cookies.filter(({ options }) => options.maxAge !== 0).map(({ name, value }) => `${name}=${value}`);
  const headers = new Headers(request.headers);
  headers.set("cookie", [...kept, ...set].join("; "));
  return new Request(request.url, { method: request.method, headers, cf: request.cf });
}

/** Keeps an error page that depends on the session out of caches, although the first answer did not. */
function protect(first, page) {
  if (!/(?:^|,)\s*(?:cookie|\*)\s*(?:,|$)/i.test(page.get("vary") ?? "")) return;
  for (const name of ["cache-control", "cdn-cache-control", "cloudflare-cdn-cache-control"]) {
    if (first.has(name)) first.set(name, "no-store");
  }
  if (first.has("vary")) first.append("vary", "Cookie");
}

/** The application's error page; undefined if it has none, or if that fails too. */
async function errorPage(error, { url, request: { headers } }, next) {
  try {
    // A new request, because the body of a form may have been read already.
    const page = await next(new Request(new URL("/500", url), { headers }));
    // Without a 500.astro, another route may match, such as [...slug].astro or a redirect.
    if (page.status === 500) return withStatusOf(error, page);
  } catch {
    // The page is prerendered, or it uses the session itself.
  }
  return undefined;
}

function absent({ routePattern }) {
  throw new SessionError(
    "not_ready",
    `${routePattern} uses a session while it is prerendered: prerendered pages have none. Add ` +
      "`export const prerender = false` to it, or read the session in a server island",
  );
}
