import { Sessions } from "edge-session";

const escape = (text) => text.replace(/[&<>"']/g, (it) => `&#${it.charCodeAt(0)};`);

export default {
  async fetch(request, env, ctx) {
    return Sessions.fromEnv(env).handle(request, ctx, async (session) => {
      if (request.method === "POST") {
        const form = await request.formData();
        session.set("name", String(form.get("name")));
        session.flash("notice", `Saved, ${form.get("name")}.`);
        // 303: the browser follows with GET, and a reload does not send the form again.
        return new Response(null, { status: 303, headers: { location: "/profile" } });
      }
      if (new URL(request.url).pathname !== "/profile") return new Response("no message is taken here");
      const notice = session.takeFlash("notice") ?? "";
      return new Response(`<p role="status">${escape(notice)}</p>`, { headers: { "content-type": "text/html" } });
    });
  },
};
