import { createFileRoute } from "@tanstack/react-router";
import { seeOther } from "../see-other";

export const Route = createFileRoute("/login")({
  server: {
    handlers: {
      POST: async ({ request, context: { session } }) => {
        const user = String((await request.formData()).get("user") ?? "");
        // Check a password or a passkey before this line. The cart keeps its items.
        session.bind(user);
        session.flash("notice", `Welcome, ${user}`);
        // A thrown redirect is committed like a returned one.
        throw seeOther("/");
      },
    },
  },
  component: () => (
    <main>
      <h1>Log in</h1>
      <form method="post">
        <input name="user" required /> <button>Log in</button>
      </form>
    </main>
  ),
});
