import { env, waitUntil } from "cloudflare:workers";
import { Sessions } from "edge-session";

/** For the list of a user's devices, which is not part of the request's session. */
export const sessions = () => Sessions.fromEnv(env);
export const ctx = { waitUntil };
