import type { MiddlewareFunction, RouterContext } from "react-router";
import type { AdapterOptions } from "./adapter.js";
import type { AnyData, SessionStore, Shape } from "./index.js";

/** The argument of middleware in React Router. */
type Event = Parameters<MiddlewareFunction<Response>>[0];

/**
 * Middleware for `app/root.tsx` that loads the session of each request into `context` and commits it
 * with a response below 500.
 * ```ts
 * import { createContext } from "react-router";
 * import type { SessionStore } from "edge-session";
 * import { sessionMiddleware } from "edge-session/react-router";
 *
 * export const sessionContext = createContext<SessionStore<{ cart: string[] }>>();
 * export const middleware = [sessionMiddleware(sessionContext)];
 * ```
 * In a loader or an action, `context.get(sessionContext)` is the session. If the session throws an error
 * there, React Router shows its error page, and the status is that of the error; changes are dropped.
 */
export function sessionMiddleware<T extends Shape<T> = AnyData>(
  context: RouterContext<SessionStore<T>>,
  options?: AdapterOptions<T, Event>,
): MiddlewareFunction<Response>;

export {};
