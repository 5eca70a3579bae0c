import type { APIContext, MiddlewareHandler } from "astro";
import type { AdapterOptions } from "./adapter.js";
import type { AnyData, SessionStore, Shape } from "./index.js";

/**
 * The members that `sessionMiddleware` adds to `Astro.locals`, with the shape of the sessions.
 * ```ts
 * import type { SessionLocals } from "edge-session/astro";
 *
 * declare global {
 *   namespace App {
 *     interface Locals extends SessionLocals<{ cart: string[] }> {}
 *   }
 * }
 * ```
 */
export interface SessionLocals<T extends Shape<T> = AnyData> {
  /** The session of this request. */
  session: SessionStore<T>;
}

/**
 * `onRequest` of `src/middleware.ts`. It puts the session of each request at `Astro.locals.session` and
 * commits it with a response below 500.
 * ```ts
 * import { sessionMiddleware } from "edge-session/astro";
 *
 * export const onRequest = sessionMiddleware();
 * ```
 * If the session throws an error, the response is the application's page `src/pages/500.astro` with the
 * status of that error, or the error as JSON if there is no such page.
 */
export function sessionMiddleware<T extends Shape<T> = AnyData>(
  options?: AdapterOptions<T, APIContext>,
): MiddlewareHandler;

export {};
