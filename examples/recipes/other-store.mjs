import { Sessions } from "edge-session";

// Two cookie names: under one name, each store would reject the other's cookie and replace it.
const before = (env) => new Sessions(env.SESSIONS, { secret: env.SESSION_SECRET });
const now = (env) => new Sessions(env.SESSION_OBJECTS, { secret: env.SESSION_SECRET, cookieName: "__Host-s2" });

/** Moves the session of the old store into `session`. Returns it, or null if there is none. */
async function move(request, env, session) {
  if (session.outcome !== "new") return null;
  const old = await before(env).load(request);
  // If the old store does not answer, this throws a 503, and the next request tries again.
  if (old.isEmpty && old.owner === null) return null;
  session.update(old.data);
  if (old.owner !== null) {
    session.bind(old.owner);
    // `bind` sets the login time to now, so ask for the password again where it matters
    session.set("moved", true);
  }
  await session.save();
  await old.destroy();
  return old;
}

export default {
  async fetch(request, env, ctx) {
    return now(env).handle(request, ctx, async (session) => {
      const old = await move(request, env, session);
      const { pathname } = new URL(request.url);
      if (request.method === "POST" && pathname === "/logout-everywhere" && session.owner !== null) {
        // In both stores, as long as there are sessions in both.
        const both = [now(env), before(env)];
        await Promise.all(both.map((sessions) => sessions.revokeAll(session.owner, { ctx })));
      }
      const response = new Response(`hello ${session.owner ?? "stranger"}`);
      return old ? before(env).commit(old, response, ctx) : response; // removes the old cookies
    });
  },
};
