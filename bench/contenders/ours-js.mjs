// This package, from JavaScript.

import { Sessions } from "edge-session";
import { otherTail } from "./forge.mjs";

/** The options of a run, such as `{ isolateCacheTtl: 0 }`. */
const sessionsOf = (env) => new Sessions(env.SESSIONS, { secret: env.SESSION_SECRET, ...env.OPTIONS });

export default {
  name: "edge-session, from JavaScript",
  async fetch(request, env, ctx) {
    const sessions = sessionsOf(env);
    switch (request.method) {
      case "HEAD":
        return sessions.handleLazy(request, ctx, () => new Response("ok"));
      case "OPTIONS":
        return sessions.handle(request, ctx, () => new Response("ok"));
      case "GET":
        return sessions.handle(request, ctx, (session) => new Response(String(session.get("views") ?? "none")));
      case "PUT":
        return sessions.handle(request, ctx, (session) => {
          session.set("views", (session.get("views") ?? 0) + 1);
          return new Response("ok");
        });
      case "POST":
        return sessions.handle(request, ctx, (session) => {
          if (env.OWNER) session.bind(env.OWNER);
          session.update(env.DATA);
          return new Response("ok");
        });
      case "DELETE":
        return sessions.handle(request, ctx, async (session) => {
          await session.destroy();
          return new Response("ok");
        });
    }
  },
  forge: otherTail,

  /** How many sessions of its own an owner has. */
  list: async (env, _ctx, owner) => (await sessionsOf(env).list(owner)).length,
  revokeAll: (env, _ctx, owner) => sessionsOf(env).revokeAll(owner),
};
