import { SessionError, Sessions } from "edge-session";

const seeOther = (location) => new Response(null, { status: 303, headers: { location } });

/** POST /pay */
async function pay(session, form, env) {
  session.verifyCsrf(form.get("csrf"));
  session.requireRecentAuth(300);
  const { id, amount } = session.require("order");
  // With the same id, a second click does not pay twice. A session is not a lock.
  await env.BANK.charge({ id, amount, user: session.owner });
  session.remove("order");
  return seeOther("/receipt");
}

/** POST /confirm: the password again. Limit the attempts as for the login. */
async function confirm(session, form, env) {
  session.verifyCsrf(form.get("csrf"));
  if (session.owner === null) return seeOther("/login");
  const isRight = await env.ACCOUNTS.isPassword(session.owner, String(form.get("password")));
  if (!isRight) return new Response("Wrong password.", { status: 401 });
  session.reauthenticate();
  return seeOther("/pay");
}

export default {
  async fetch(request, env, ctx) {
    return Sessions.fromEnv(env).handle(request, ctx, async (session) => {
      if (request.method !== "POST") return new Response(session.csrfToken());
      const action = new URL(request.url).pathname === "/confirm" ? confirm : pay;
      try {
        return await action(session, await request.formData(), env);
      } catch (error) {
        if (error instanceof SessionError && error.code === "reauth_required") return seeOther("/confirm");
        throw error;
      }
    });
  },
};
