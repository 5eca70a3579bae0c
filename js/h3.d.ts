import type { H3Event, Middleware } from "h3";
import type { AdapterOptions } from "./adapter.js";
import type { AnyData, SessionStore, Shape } from "./index.js";

/**
 * The members that `sessionMiddleware` adds to `event.context`, with the shape of the sessions.
 * ```ts
 * import type { SessionContext } from "edge-session/h3";
 *
 * declare module "h3" {
 *   interface H3EventContext extends SessionContext<{ cart: string[] }> {}
 * }
 * ```
 */
export interface SessionContext<T extends Shape<T> = AnyData> {
  /** The session of this request. */
  session: SessionStore<T>;
}

/**
 * Middleware that puts the session of each request at `event.context.session` and commits it with a
 * response below 500.
 * ```ts
 * import { H3 } from "h3";
 * import { sessionMiddleware } from "edge-session/h3";
 *
 * const app = new H3().use(sessionMiddleware());
 * ```
 * If the session throws an error, h3 responds with the status of that error.
 */
export function sessionMiddleware<T extends Shape<T> = AnyData>(options?: AdapterOptions<T, H3Event>): Middleware;

export {};
