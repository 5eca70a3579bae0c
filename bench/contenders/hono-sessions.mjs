// hono-sessions, over a store that keeps its sessions in KV.

import { Hono } from "hono";
import { sessionMiddleware } from "hono-sessions";
import { otherTail } from "./forge.mjs";

const AGE = 604_800;

class KvStore {
  constructor(kv) {
    this.kv = kv;
  }
  getSessionById(id) {
    return this.kv.get(id, "json");
  }
  createSession(id, data) {
    return this.kv.put(id, JSON.stringify(data), { expirationTtl: AGE });
  }
  persistSessionData(id, data) {
    return this.kv.put(id, JSON.stringify(data), { expirationTtl: AGE });
  }
  deleteSession(id) {
    return this.kv.delete(id);
  }
}

let app;
function appOf(env) {
  if (app) return app;
  app = new Hono();
  app.use(
    sessionMiddleware({
      store: new KvStore(env.SESSIONS),
      encryptionKey: env.SESSION_SECRET,
      expireAfterSeconds: AGE,
      cookieOptions: { sameSite: "Lax", path: "/", httpOnly: true, secure: true, maxAge: AGE },
    }),
  );
  app.get("*", (c) => {
    if (c.req.raw.method === "HEAD") return c.text("ok");
    return c.text(String(c.get("session").get("views") ?? "none"));
  });
  app.put("*", (c) => {
    const session = c.get("session");
    session.set("views", (session.get("views") ?? 0) + 1);
    return c.text("ok");
  });
  app.post("*", (c) => {
    const session = c.get("session");
    for (const [key, value] of Object.entries(c.env.DATA)) session.set(key, value);
    if (c.env.OWNER) session.set("user", c.env.OWNER);
    c.set("session_key_rotation", true);
    return c.text("ok");
  });
  app.delete("*", (c) => {
    c.get("session").deleteSession();
    return c.text("ok");
  });
  return app;
}

export default {
  name: "hono-sessions",
  fetch: (request, env, ctx) => appOf(env).fetch(request, env, ctx),
  forge: otherTail,
};
