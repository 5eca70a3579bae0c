import type { MiddlewareHandler } from "hono";
import type { AnyData, Sessions, SessionStore, Shape } from "./index.js";

/** The variables of a Hono app that uses the middleware. */
export interface SessionVariables<T extends Shape<T> = AnyData> {
  session: SessionStore<T>;
}

export interface SessionMiddlewareOptions<T extends Shape<T> = AnyData> {
  /** The sessions, or how to get them from a context; by default what the environment says. */
  sessions?: Sessions<T> | ((c: any) => Sessions<T>);
  /** Leaves loading to the handler. */
  lazy?: boolean;
}

/** Loads the session of each request into `c.get("session")` and commits it with the response. */
export function sessionMiddleware<T extends Shape<T> = AnyData>(
  options?: SessionMiddlewareOptions<T>,
): MiddlewareHandler<{ Variables: SessionVariables<any> }>;
