// React Router's KV session storage.

import { createWorkersKVSessionStorage } from "@react-router/cloudflare";
import { otherTail } from "./forge.mjs";

let storage;
const storageOf = (env) =>
  (storage ??= createWorkersKVSessionStorage({
    kv: env.SESSIONS,
    cookie: {
      name: "__session",
      secrets: [env.SESSION_SECRET],
      maxAge: 604_800,
      path: "/",
      httpOnly: true,
      secure: true,
      sameSite: "lax",
    },
  }));

const answer = (text, setCookie) => new Response(text, { headers: { "set-cookie": setCookie } });

export default {
  name: "React Router, KV storage",
  async fetch(request, env) {
    if (request.method === "HEAD") return new Response("ok");
    const { getSession, commitSession, destroySession } = storageOf(env);
    const session = await getSession(request.headers.get("cookie"));
    switch (request.method) {
      case "GET": {
        const text = String(session.get("views") ?? "none");
        // Its way to slide the lifetime: commit each answer.
        return env.ROLLING && session.id ? answer(text, await commitSession(session)) : new Response(text);
      }
      case "PUT":
        session.set("views", (session.get("views") ?? 0) + 1);
        return answer("ok", await commitSession(session));
      case "POST":
        for (const [key, value] of Object.entries(env.DATA)) session.set(key, value);
        if (env.OWNER) session.set("user", env.OWNER);
        return answer("ok", await commitSession(session));
      case "DELETE":
        return answer("ok", await destroySession(session));
    }
  },
  forge: otherTail,
};
