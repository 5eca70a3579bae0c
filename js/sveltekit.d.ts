import type { Handle, RequestEvent } from "@sveltejs/kit";
import type { AdapterOptions } from "./adapter.js";
import type { AnyData, SessionStore, Shape } from "./index.js";

/**
 * The members that `sessionHandle` adds to `event.locals`, with the shape of the sessions.
 * ```ts
 * import type { SessionLocals } from "edge-session/sveltekit";
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
 * `handle` of `src/hooks.server.ts`. It puts the session of each request at `event.locals.session` and
 * commits it with a response below 500.
 * ```ts
 * import { sessionHandle } from "edge-session/sveltekit";
 *
 * export const handle = sessionHandle();
 * ```
 * If the session throws an error in `load`, an action or an endpoint, SvelteKit shows its error page, and
 * the status is that of the error; changes are dropped.
 */
export function sessionHandle<T extends Shape<T> = AnyData>(options?: AdapterOptions<T, RequestEvent>): Handle;

export {};
