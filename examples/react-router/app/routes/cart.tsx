import { Form, Link, redirect } from "react-router";
import { sessionContext } from "../session";
import type { Route } from "./+types/cart";

export function loader({ context }: Route.LoaderArgs) {
  const session = context.get(sessionContext);
  // A flash message is shown once: reading it removes it.
  return { user: session.owner, cart: session.get("cart", []), notice: session.takeFlash<string>("notice") };
}

export async function action({ request, context }: Route.ActionArgs) {
  const session = context.get(sessionContext);
  const item = String((await request.formData()).get("item") ?? "");
  session.set("cart", [...session.get("cart", []), item]);
  return redirect("/", 303);
}

export default function Cart({ loaderData: { user, cart, notice } }: Route.ComponentProps) {
  return (
    <main>
      <h1>Cart</h1>
      {notice && <p id="notice">{notice}</p>}
      <p id="user">{user ?? "nobody"}</p>
      <ul>
        {cart.map((item, i) => (
          <li key={i}>{item}</li>
        ))}
      </ul>
      <Form method="post">
        <input name="item" required /> <button>Add</button>
      </Form>
      {user === null ? (
        <Link to="/login">Log in</Link>
      ) : (
        <Form method="post" action="/logout">
          <button>Log out</button>
        </Form>
      )}
    </main>
  );
}
