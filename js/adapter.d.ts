import type { AnyData, Sessions, Shape } from "./index.js";

/** The options of every adapter. `Event` is what the framework hands to its middleware. */
export interface AdapterOptions<T extends Shape<T> = AnyData, Event = unknown> {
  /**
   * The sessions, or a function from the framework's event to them or to a promise of them. By
   * default, what the environment says: the KV binding SESSIONS, SESSION_SECRET and the variables
   * SESSION_….
   */
  sessions?: Sessions<T> | ((event: Event) => Sessions<T> | Promise<Sessions<T>>);
  /** Leaves loading to the handler: call `await session.load()` before the session is used. */
  lazy?: boolean;
}
