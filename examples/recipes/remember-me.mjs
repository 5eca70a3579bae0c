import { Sessions } from "edge-session";

const DAY = 86_400;

export default {
  async fetch(request, env, ctx) {
    const sessions = new Sessions(env.SESSIONS, {
      secret: env.SESSION_SECRET,
      cookieAge: 30 * DAY, // the hard end of every session
      expireAtBrowserClose: true, // for sessions without a limit of their own
    });
    return sessions.handle(request, ctx, async (session) => {
      if (request.method === "POST") {
        const form = await request.formData();
        // Check a CSRF token, and a password or a passkey, before this line.
        session.bind(String(form.get("name")));
        // `null` means as in the settings, whatever an earlier login has chosen.
        session.setExpiry(form.has("remember") ? { idle: 30 * DAY } : null);
      }
      return new Response(session.owner ?? "stranger");
    });
  },
};
