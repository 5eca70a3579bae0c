import { Sessions } from "edge-session";
import type { H3Event } from "h3";

/** For the list of a user's devices, which is not part of the request's session. */
export function sessionsOf(event: H3Event) {
  const { env, context: ctx } = event.runtime!.cloudflare!;
  return { sessions: Sessions.fromEnv(env as object), ctx };
}
