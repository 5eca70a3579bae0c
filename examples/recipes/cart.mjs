import { Sessions } from "edge-session";

export default {
  async fetch(request, env, ctx) {
    return Sessions.fromEnv(env).handle(request, ctx, async (session) => {
      const { pathname, searchParams } = new URL(request.url);
      if (request.method === "POST" && pathname === "/cart") {
        const cart = session.setDefault("cart", {});
        const sku = String(searchParams.get("sku"));
        cart[sku] = (cart[sku] ?? 0) + 1;
      }
      if (request.method === "POST" && pathname === "/login") {
        // Check a password or a passkey before this line.
        const user = await request.text();
        session.bind(user); // keeps a stranger's data, and drops another user's
        // What the account has kept from another device, if you store that.
        const saved = await env.CARTS.get(user, "json");
        session.set("cart", { ...saved, ...session.get("cart") });
      }
      if (request.method === "POST" && pathname === "/logout") await session.flush({ keep: ["theme"] });
      return Response.json(session.get("cart", {}));
    });
  },
};
