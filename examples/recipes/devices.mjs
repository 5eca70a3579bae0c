import { Sessions } from "edge-session";

const seeOther = (location) => new Response(null, { status: 303, headers: { location } });

export default {
  async fetch(request, env, ctx) {
    const sessions = Sessions.fromEnv(env);
    return sessions.handle(request, ctx, async (session) => {
      const { owner, sessionKey } = session;
      if (owner === null) return seeOther("/login");
      if (request.method === "POST") {
        const form = await request.formData();
        session.verifyCsrf(form.get("csrf"));
        // `owner` is from the session, never from the form. Another user's key is `not_found`.
        if (form.has("others")) await sessions.revokeAll(owner, { except: sessionKey, ctx });
        else await sessions.revoke(owner, String(form.get("key")), { ctx });
        return seeOther("/devices");
      }
      const devices = (await sessions.list(owner, { ctx })).map(({ key, userAgent, place, lastWritten }) => ({
        ...{ key, userAgent, place, changed: lastWritten.toISOString() },
        isThis: key === sessionKey,
      }));
      return Response.json({ csrf: session.csrfToken(), devices });
    });
  },
};
