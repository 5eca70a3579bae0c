import { RemoteSession, SessionProblem } from "./session.js";

const routes = {
  async "GET /"(session) {
    const views = ((await session.get("views")) ?? 0) + 1;
    await session.set("views", views);
    return new Response(`${views}`);
  },

  async "POST /cart"(session, request) {
    const { data } = await session.show();
    await session.update({ cart: [...(data.cart ?? []), await request.text()] });
    return Response.redirect(new URL("/", request.url), 303);
  },

  async "POST /logout"(session) {
    await session.destroy();
    return new Response("bye");
  },
};

export default {
  async fetch(request, env) {
    const route = routes[`${request.method} ${new URL(request.url).pathname}`];
    if (!route) return new Response("not found", { status: 404 });
    const session = new RemoteSession(env.SESSION, request);
    try {
      return session.answer(await route(session, request));
    } catch (error) {
      // 503 with Retry-After, 409 and the like: the session Worker's word on it.
      if (error instanceof SessionProblem) return session.answer(error.response);
      throw error;
    }
  },
};
