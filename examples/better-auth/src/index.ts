import { authOf, type Env } from "./auth";

export { SessionObject } from "edge-session/durable-object";

export default {
  async fetch(request: Request, env: Env): Promise<Response> {
    const auth = authOf(env, request);
    const { pathname } = new URL(request.url);
    if (pathname.startsWith("/api/auth/")) return auth.handler(request);
    if (pathname !== "/account") return new Response("not found", { status: 404 });

    const session = await auth.api.getSession({ headers: request.headers });
    if (!session) return new Response("log in first", { status: 401 });
    const { name, email } = session.user;
    return Response.json({ name, email }, { headers: { "Cache-Control": "no-store" } });
  },
};
