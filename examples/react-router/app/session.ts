import { env, waitUntil } from "cloudflare:workers";
import { Sessions, type SessionStore } from "edge-session";
import { createContext } from "react-router";

export interface Shop {
  cart: string[];
}

/** In a loader or an action: `const session = context.get(sessionContext)`. */
export const sessionContext = createContext<SessionStore<Shop>>();

/** For what is not about the session of the request: the devices of a user. */
export const sessions = () => Sessions.fromEnv<Shop>(env);
export const ctx = { waitUntil };
