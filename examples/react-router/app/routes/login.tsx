import { Form, redirect } from "react-router";
import { sessionContext } from "../session";
import type { Route } from "./+types/login";

export async function action({ request, context }: Route.ActionArgs) {
  const session = context.get(sessionContext);
  const user = String((await request.formData()).get("user") ?? "");
  // Check a password or a passkey before this line. The cart keeps its items.
  session.bind(user);
  session.flash("notice", `Welcome, ${user}`);
  // A thrown redirect is committed like a returned one.
  throw redirect("/", 303);
}

export default function Login() {
  return (
    <main>
      <h1>Log in</h1>
      <Form method="post">
        <input name="user" required /> <button>Log in</button>
      </Form>
    </main>
  );
}
