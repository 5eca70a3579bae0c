import { Sessions } from "edge-session";

export default {
  async fetch(request, env, ctx) {
    return Sessions.fromEnv(env).handle(request, ctx, async (session) => {
      if (request.method !== "POST") return page(session);
      const form = await request.formData();
      session.verifyCsrf(form.get("csrf"));
      const name = String(form.get("name")).toLowerCase();
      const address = request.headers.get("cf-connecting-ip");
      // Both limits count every attempt, before the password is checked.
      const limits = [`address ${address}`, `name ${name}`].map((key) => env.LOGIN_LIMITER.limit({ key }));
      if ((await Promise.all(limits)).some(({ success }) => !success)) return page(session, 429, "Try again in a minute.");
      // Your own check, here in another Worker. It resolves to the user's id or null.
      const user = await env.ACCOUNTS.verify(name, String(form.get("password")));
      if (user === null) return page(session, 401, "Wrong name or password.");
      session.bind(user);
      return new Response(null, { status: 303, headers: { location: "/" } });
    });
  },
};

function page(session, status = 200, message = "") {
  const fields = `<input name="name"><input name="password" type="password">`;
  const token = `<input type="hidden" name="csrf" value="${session.csrfToken()}">`;
  const body = `<p>${message}</p><form method="post">${token}${fields}<button>Log in</button></form>`;
  return new Response(body, { status, headers: { "content-type": "text/html" } });
}
