import { env, waitUntil } from "cloudflare:workers";
import { Sessions, type SessionStore } from "edge-session";
import { createContext } from "react-router";

export interface Shop {
  cart: string[];
}

/** In a loader or an action: `const session = context.get(sessionContext)`. */
export const sessionContext = createContext<SessionStore<Shop>>();

/** For the list of a user's devices, which is not part of the request's session. */
export const sessions = () => Sessions.fromEnv<Shop>(env);
export const ctx = { waitUntil };
