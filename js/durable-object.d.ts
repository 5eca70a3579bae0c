/**
 * The class of the Durable Objects that store sessions. Export it from your Worker:
 * `export { SessionObject } from "edge-session/durable-object"`. It uses SQLite.
 */
export class SessionObject {
  /** Called by the runtime. */
  constructor(ctx: unknown, env: unknown);
  /** Answers `POST /v1/read`, `/v1/transact` and `/v1/list`. Only edge-session sends these requests. */
  fetch(request: Request): Promise<Response>;
  /** Called by the runtime: deletes expired rows. */
  alarm(): Promise<void>;
}
