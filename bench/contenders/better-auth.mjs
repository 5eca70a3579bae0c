// The session part of better-auth: sessions in its secondary storage, which is KV.

import { betterAuth } from "better-auth/minimal";
import { createAuthEndpoint } from "better-auth/api";
import { setSessionCookie } from "better-auth/cookies";
import { otherTail } from "./forge.mjs";

const SITE = "https://shop.example";

/** The users, in the memory of its database adapter: one for each login, where no owner is named. */
const users = new Map();

/** Logs in without asking for a password: hashing one is no part of a session. */
const login = {
  id: "bench-login",
  endpoints: {
    login: createAuthEndpoint("/bench/login", { method: "POST" }, async (ctx) => {
      const { internalAdapter } = ctx.context;
      const name = ctx.body.owner ?? `visitor-${users.size}`;
      let user = users.get(name);
      if (!user) {
        user = await internalAdapter.createUser({ email: `${name}@example.com`, name, emailVerified: true });
        users.set(name, user);
      }
      const session = await internalAdapter.createSession(user.id, false, { data: ctx.body.data });
      await setSessionCookie(ctx, { session, user });
      return ctx.json({});
    }),
  },
};

let auth;
function authOf(env) {
  if (auth) return auth;
  const kv = env.SESSIONS;
  auth = betterAuth({
    baseURL: SITE,
    secret: env.SESSION_SECRET,
    telemetry: { enabled: false },
    secondaryStorage: {
      get: (key) => kv.get(key),
      set: (key, value, ttl) => kv.put(key, value, ttl ? { expirationTtl: Math.max(60, Math.ceil(ttl)) } : undefined),
      delete: (key) => kv.delete(key),
    },
    session: { additionalFields: { data: { type: "string", required: false, input: false } } },
    plugins: [login],
  });
  return auth;
}

const answer = (text, { headers }) => new Response(text, { headers: copy(headers) });
function copy(from) {
  const headers = new Headers();
  for (const line of from?.getSetCookie() ?? []) headers.append("set-cookie", line);
  return headers;
}

export default {
  name: "better-auth, session in KV",
  async fetch(request, env) {
    if (request.method === "HEAD") return new Response("ok");
    const auth = authOf(env);
    const { headers } = request;
    switch (request.method) {
      case "GET": {
        const found = await auth.api.getSession({ headers, returnHeaders: true });
        const data = found.response ? JSON.parse(found.response.session.data ?? "{}") : undefined;
        return answer(String(data?.views ?? "none"), found);
      }
      case "PUT": {
        const found = await auth.api.getSession({ headers, returnHeaders: true });
        // Nobody is logged in: it has no anonymous sessions.
        if (!found.response) return answer("ok", found);
        const data = JSON.parse(found.response.session.data ?? "{}");
        data.views = (data.views ?? 0) + 1;
        const { internalAdapter } = await auth.$context;
        await internalAdapter.updateSession(found.response.session.token, { data: JSON.stringify(data) });
        return answer("ok", found);
      }
      case "POST":
        return answer(
          "ok",
          await auth.api.login({
            headers,
            body: { data: JSON.stringify(env.DATA), owner: env.OWNER },
            returnHeaders: true,
          }),
        );
      case "DELETE":
        return answer("ok", await auth.api.signOut({ headers, returnHeaders: true }));
    }
  },
  forge: otherTail,
};
