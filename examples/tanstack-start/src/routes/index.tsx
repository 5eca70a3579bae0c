import { createFileRoute } from "@tanstack/react-router";
import { createServerFn } from "@tanstack/react-start";

// By POST, because it changes the session.
const show = createServerFn({ method: "POST" }).handler(({ context: { session } }) => ({
  user: session.owner,
  cart: session.get("cart", []),
  // A flash message is shown once: reading it removes it.
  notice: session.takeFlash<string>("notice") ?? null,
}));

export const Route = createFileRoute("/")({ loader: () => show(), component: Cart });

function Cart() {
  const { user, cart, notice } = Route.useLoaderData();
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
      <form method="post" action="/cart">
        <input name="item" required /> <button>Add</button>
      </form>
      {user === null ? (
        <a href="/login">Log in</a>
      ) : (
        <form method="post" action="/logout">
          <button>Log out</button>
        </form>
      )}
    </main>
  );
}
