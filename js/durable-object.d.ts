/**
 * The class of the Durable Objects that hold sessions, for a Worker to export:
 * `export { SessionObject } from "edge-session/durable-object"`. It runs on SQLite.
 */
export class SessionObject {
  /** Called by the runtime. */
  constructor(ctx: unknown, env: unknown);
  /** Answers `POST /v1/read`, `/v1/transact` and `/v1/list`, which only edge-session asks. */
  fetch(request: Request): Promise<Response>;
  /** Called by the runtime: deletes what has expired. */
  alarm(): Promise<void>;
}
