import { Sessions } from "edge-session";

// Each article has a key of its own, so that two tabs can add different ones at the same time.
const PREFIX = "cart:";

/** How many of each article. */
const cartOf = (session) =>
  Object.fromEntries([...session].filter(([key]) => key.startsWith(PREFIX)).map(([key, n]) => [key.slice(PREFIX.length), n]));

export default {
  async fetch(request, env, ctx) {
    return Sessions.fromEnv(env).handle(request, ctx, async (session) => {
      const { pathname, searchParams } = new URL(request.url);
      if (request.method === "POST" && pathname === "/cart") {
        const key = PREFIX + searchParams.get("sku");
        session.set(key, session.get(key, 0) + 1);
      }
      if (request.method === "POST" && pathname === "/login") {
        // Check a CSRF token, and a password or a passkey, before this line.
        const user = await request.text();
        session.bind(user); // keeps a stranger's data, and drops another user's
        // What the account has kept from another device, if you store that.
        const saved = await env.CARTS.get(user, "json");
        for (const [sku, n] of Object.entries(saved ?? {})) session.setDefault(PREFIX + sku, n);
      }
      if (request.method === "POST" && pathname === "/logout") await session.flush({ keep: ["theme"] });
      return Response.json(cartOf(session));
    });
  },
};
