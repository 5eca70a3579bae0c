import { Sessions } from "edge-session";

export default {
  async fetch(request, env, ctx) {
    const sessions = Sessions.fromEnv(env, {
      // One data point an event. None of it opens or finds a session, so it may be kept for long.
      onEvent({ event, reason = "", session = "" }) {
        env.ANALYTICS.writeDataPoint({ indexes: [event], blobs: [event, reason, session], doubles: [1] });
      },
    });
    return sessions.handle(request, ctx, async (session) => {
      if (request.method === "POST" && new URL(request.url).pathname === "/logout") {
        await session.flush();
        return new Response("bye");
      }
      session.set("views", (session.get("views") ?? 0) + 1);
      return new Response(`${session.get("views")}`);
    });
  },
};
