import { Sessions } from "edge-session";

const shop = (env) =>
  new Sessions(env.SESSIONS, { secret: env.SESSION_SECRET, keyPrefix: "shop:", cookieName: "__Host-shop" });

const staff = (env) =>
  new Sessions(env.SESSIONS, {
    ...{ secret: env.STAFF_SECRET, keyPrefix: "staff:", cookieName: "__Host-staff" },
    ...{ idleTimeout: 900, cookieSameSite: "Strict" },
  });

export default {
  async fetch(request, env, ctx) {
    const isStaff = new URL(request.url).pathname.startsWith("/staff");
    const sessions = isStaff ? staff(env) : shop(env);
    return sessions.handle(request, ctx, async (session) => {
      // Check a CSRF token, and a password or a passkey, before this line.
      if (request.method === "POST") session.bind(await request.text());
      if (request.method === "DELETE" && session.owner !== null) await sessions.revokeAll(session.owner, { ctx });
      return new Response(session.owner ?? "stranger");
    });
  },
};
