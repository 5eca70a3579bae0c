import { Sessions } from "edge-session";
import type { H3Event } from "h3";

/** For what is not about the session of the request: the devices of a user. */
export function sessionsOf(event: H3Event) {
  const { env, context: ctx } = event.runtime!.cloudflare!;
  return { sessions: Sessions.fromEnv(env as object), ctx };
}
