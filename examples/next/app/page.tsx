import Link from "next/link";
import { redirect } from "next/navigation";
import { changeSession, readSession } from "../lib/session";

async function add(form: FormData) {
  "use server";
  const item = String(form.get("item") ?? "");
  await changeSession((session) => session.set("cart", [...session.get("cart", []), item]));
  redirect("/");
}

async function logOut() {
  "use server";
  await changeSession((session) => session.destroy());
  redirect("/");
}

export default async function Cart() {
  const session = await readSession();
  return (
    <main>
      <h1>Cart</h1>
      <p id="user">{session.owner ?? "nobody"}</p>
      <ul>
        {session.get("cart", []).map((item, i) => (
          <li key={i}>{item}</li>
        ))}
      </ul>
      <form action={add}>
        <input name="item" required /> <button>Add</button>
      </form>
      {session.owner === null ? (
        <Link href="/login">Log in</Link>
      ) : (
        <form action={logOut}>
          <button>Log out</button>
        </form>
      )}
    </main>
  );
}
