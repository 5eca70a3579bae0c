// What the package exports, whatever the entry.

export { Sessions } from "./sessions.js";
export { SessionStore } from "./session-store.js";
export { SessionError, SessionExpired } from "./errors.js";
export { ManualClock, MemoryConnector } from "./connector.js";
export { init } from "./core.js";
