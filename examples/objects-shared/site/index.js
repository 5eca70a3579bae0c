// Stands for the entry that a framework's build generates: it cannot export a class.
import { Sessions } from "edge-session";

const seeHome = () => new Response(null, { status: 303, headers: { location: "/" } });

export default {
  async fetch(request, env, ctx) {
    const sessions = Sessions.fromEnv(env);
    return sessions.handle(request, ctx, async (session) => {
      switch (`${request.method} ${new URL(request.url).pathname}`) {
        case "GET /":
          return new Response(`${session.owner ?? "nobody"}: ${session.get("count") ?? 0}`);
        case "POST /count":
          session.set("count", (session.get("count") ?? 0) + 1);
          return seeHome();
        case "POST /login":
          // Check a CSRF token, and a password or a passkey, before this line.
          session.bind(await request.text());
          return seeHome();
        case "POST /logout":
          await session.flush();
          return seeHome();
        case "POST /logout-everywhere":
          if (session.owner !== null) await sessions.revokeAll(session.owner, { ctx });
          await session.flush();
          return seeHome();
        default:
          return new Response("not found", { status: 404 });
      }
    });
  },
};
