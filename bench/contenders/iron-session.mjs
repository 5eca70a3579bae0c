// iron-session: all of the session in its cookie, sealed.

import { getIronSession } from "iron-session";
import { otherTail } from "./forge.mjs";

const options = (env) => ({ cookieName: "sid", password: env.SESSION_SECRET, ttl: 604_800, chunk: true });

export default {
  name: "iron-session (cookie)",
  inCookie: true,
  async fetch(request, env) {
    const response = new Response("ok");
    if (request.method === "HEAD") return response;
    const session = await getIronSession(request, response, options(env));
    switch (request.method) {
      case "GET":
        return new Response(String(session.views ?? "none"));
      case "PUT":
        session.views = (session.views ?? 0) + 1;
        await session.save();
        return response;
      case "POST":
        Object.assign(session, env.DATA);
        if (env.OWNER) session.user = env.OWNER;
        await session.save();
        return response;
      case "DELETE":
        session.destroy();
        return response;
    }
  },
  forge: otherTail,
};
