import { redirect } from "next/navigation";
import { changeSession } from "../../lib/session";

async function logIn(form: FormData) {
  "use server";
  const user = String(form.get("user") ?? "");
  // Check a password or a passkey before this line. The cart keeps its items.
  await changeSession((session) => session.bind(user));
  redirect("/");
}

export default function Login() {
  return (
    <main>
      <h1>Log in</h1>
      <form action={logIn}>
        <input name="user" required /> <button>Log in</button>
      </form>
    </main>
  );
}
