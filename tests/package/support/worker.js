// The kinds of responses in Workers, each with a session to commit.

import { env } from "cloudflare:workers";
import { SessionStore, Sessions } from "edge-session";

// Sessions can be created at module scope, but randomness is only available in requests.
const sessions = Sessions.fromEnv(env);
let atModuleScope;
try {
  SessionStore.generateSessionId();
} catch (error) {
  atModuleScope = { code: error.code, name: error.name };
}

const routes = {
  "/redirect": () => Response.redirect("https://example.com/next", 302),
  "/empty": () => new Response(null, { status: 204 }),
  "/stream"() {
    const { readable, writable } = new IdentityTransformStream();
    const writer = writable.getWriter();
    writer.write(new TextEncoder().encode("streamed")).then(() => writer.close());
    return new Response(readable, { headers: { "set-cookie": "own=1" } });
  },
  "/socket"() {
    const [client, server] = Object.values(new WebSocketPair());
    server.accept();
    server.addEventListener("message", ({ data }) => server.send(`echo ${data}`));
    return new Response(null, { status: 101, webSocket: client });
  },
  "/scope": () => Response.json(atModuleScope),
};

export default {
  fetch(request, env, ctx) {
    const { pathname } = new URL(request.url);
    if (pathname === "/lazy") return sessions.handleLazy(request, ctx, () => new Response("untouched"));
    const route = routes[pathname];
    return sessions.handle(request, ctx, async (session) => {
      session.set("n", session.get("n", 0) + 1);
      const response = await route();
      response.n = session.get("n");
      return response;
    });
  },
};
