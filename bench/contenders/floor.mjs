// The least that one would write by hand: an id in a cookie, a record in KV. No protection.

const DAY = 86_400;
const AGE = 7 * DAY;

const idOf = (request) => /(?:^|;\s*)sid=([\w-]+)/.exec(request.headers.get("cookie") ?? "")?.[1];
const newId = () => crypto.getRandomValues(new Uint8Array(16)).toHex();
const setCookie = (id, age) => `sid=${id}; Max-Age=${age}; Path=/; HttpOnly; Secure; SameSite=Lax`;

async function save(env, id, session) {
  session.seen = Date.now();
  await env.SESSIONS.put(id, JSON.stringify(session), { expirationTtl: AGE });
}

export default {
  name: "hand-written, plain JavaScript",
  async fetch(request, env) {
    if (request.method === "HEAD") return new Response("ok");
    let id = idOf(request);
    if (request.method === "POST") {
      id = newId();
      await save(env, id, { data: { ...env.DATA, user: env.OWNER } });
      return new Response("ok", { headers: { "set-cookie": setCookie(id, AGE) } });
    }
    const session = id ? await env.SESSIONS.get(id, "json") : null;
    if (request.method === "DELETE") {
      if (id) await env.SESSIONS.delete(id);
      return new Response("ok", { headers: { "set-cookie": setCookie("", 0) } });
    }
    if (request.method === "PUT") {
      const data = session?.data ?? {};
      data.views = (data.views ?? 0) + 1;
      const headers = {};
      if (!session) headers["set-cookie"] = setCookie((id = newId()), AGE);
      await save(env, id, { data });
      return new Response("ok", { headers });
    }
    // Lazy refresh: at most one write a day for readers.
    if (session && Date.now() - session.seen > DAY * 1000) await save(env, id, session);
    return new Response(String(session?.data.views ?? "none"));
  },
  // There is no signature: this is an id that was never given to a browser.
  forge: () => `sid=${newId()}`,
};
