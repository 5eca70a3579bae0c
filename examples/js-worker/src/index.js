import { Sessions } from "edge-session";

export default {
  async fetch(request, env, ctx) {
    const sessions = new Sessions(env.SESSIONS, { secret: env.SESSION_SECRET });
    return sessions.handle(request, ctx, async (session) => {
      session.set("views", (session.get("views") ?? 0) + 1);
      return new Response(`${session.get("views")}`);
    });
  },
};
