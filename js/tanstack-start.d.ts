import type { RequestServerFn, RequestServerOptions } from "@tanstack/react-start";
import type { AdapterOptions } from "./adapter.js";
import type { AnyData, SessionStore, Shape } from "./index.js";

/**
 * An argument for `.server()` of a request middleware in `src/start.ts`. It puts the session of each
 * request at `context.session` of server functions and server routes, and commits it with a response
 * below 500.
 * ```ts
 * import { createCsrfMiddleware, createMiddleware, createStart } from "@tanstack/react-start";
 * import { sessionServer } from "edge-session/tanstack-start";
 *
 * const session = createMiddleware().server(sessionServer<{ cart: string[] }>());
 * const csrf = createCsrfMiddleware({ filter: ({ handlerType }) => handlerType === "serverFn" });
 * export const startInstance = createStart(() => ({ requestMiddleware: [csrf, session] }));
 * ```
 * If the session throws an error, TanStack Start shows its error page, and the status is that of the error;
 * changes are dropped.
 */
export function sessionServer<T extends Shape<T> = AnyData>(
  options?: AdapterOptions<T, RequestServerOptions<any, any>>,
): RequestServerFn<any, undefined, { session: SessionStore<T> }>;

export {};
