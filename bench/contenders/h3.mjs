// h3's session: all of it in cookies, sealed.

import { H3, clearSession, getSession, updateSession } from "h3";
import { otherTail } from "./forge.mjs";

const config = (env) => ({ password: env.SESSION_SECRET, name: "h3", maxAge: 604_800 });

let app;
function appOf() {
  if (app) return app;
  const env = (event) => event.req.runtime.cloudflare.env;
  app = new H3();
  app.all("/**", async (event) => {
    const of = config(env(event));
    switch (event.req.method) {
      case "HEAD":
        return "ok";
      case "GET":
        return String((await getSession(event, of)).data.views ?? "none");
      case "PUT":
        await updateSession(event, of, (data) => ({ views: (data.views ?? 0) + 1 }));
        return "ok";
      case "POST":
        await updateSession(event, of, { ...env(event).DATA, user: env(event).OWNER });
        return "ok";
      case "DELETE":
        await clearSession(event, of);
        return "ok";
    }
  });
  return app;
}

export default {
  name: "h3 session (cookie)",
  inCookie: true,
  fetch(request, env, ctx) {
    request.runtime = { name: "cloudflare", cloudflare: { env, ctx } };
    return appOf().fetch(request);
  },
  forge: otherTail,
};
