import { env, waitUntil } from "cloudflare:workers";
import { Sessions } from "edge-session";

/** For what is not about the session of the request: the devices of a user. */
export const sessions = () => Sessions.fromEnv(env);
export const ctx = { waitUntil };
