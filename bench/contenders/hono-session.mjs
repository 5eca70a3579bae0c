// @hono/session, with its storage in KV.

import { useSession, useSessionStorage } from "@hono/session";
import { Hono } from "hono";
import { otherTail } from "./forge.mjs";

const AGE = 604_800;

let app;
function appOf(env) {
  if (app) return app;
  app = new Hono();
  app.use(
    useSessionStorage((c) => ({
      get: (sid) => c.env.SESSIONS.get(sid, "json"),
      set: (sid, value) =>
        c.executionCtx.waitUntil(c.env.SESSIONS.put(sid, JSON.stringify(value), { expirationTtl: AGE })),
      delete: (sid) => c.executionCtx.waitUntil(c.env.SESSIONS.delete(sid)),
    })),
    useSession({ secret: env.SESSION_SECRET, duration: { absolute: AGE } }),
  );
  app.get("*", async (c) => {
    if (c.req.raw.method === "HEAD") return c.text("ok");
    return c.text(String((await c.var.session.get())?.views ?? "none"));
  });
  app.put("*", async (c) => {
    await c.var.session.update((data) => ({ ...data, views: (data?.views ?? 0) + 1 }));
    return c.text("ok");
  });
  app.post("*", async (c) => {
    await c.var.session.update({ ...c.env.DATA, user: c.env.OWNER });
    return c.text("ok");
  });
  app.delete("*", async (c) => {
    await c.var.session.get();
    c.var.session.delete();
    return c.text("ok");
  });
  return app;
}

export default {
  name: "@hono/session, KV storage",
  fetch: (request, env, ctx) => appOf(env).fetch(request, env, ctx),
  forge: otherTail,
};
