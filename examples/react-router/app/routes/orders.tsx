import { Suspense } from "react";
import { Await } from "react-router";
import { sessionContext } from "../session";
import type { Route } from "./+types/orders";

/** Stands for a slow database. */
async function ordersOf(user: string | null) {
  await new Promise((resolve) => setTimeout(resolve, 50));
  return user === null ? [] : [`The first order of ${user}`];
}

export function loader({ context }: Route.LoaderArgs) {
  const session = context.get(sessionContext);
  // The page is sent before the promise settles, and so is the cookie: change the session here, not
  // in what is streamed.
  session.set("cart", [...session.get("cart", []), "ordered"]);
  return { orders: ordersOf(session.owner) };
}

export default function Orders({ loaderData: { orders } }: Route.ComponentProps) {
  return (
    <main>
      <h1>Orders</h1>
      <Suspense fallback={<p>Looking…</p>}>
        <Await resolve={orders}>
          {(all) => (
            <ul>
              {all.map((order) => (
                <li key={order}>{order}</li>
              ))}
            </ul>
          )}
        </Await>
      </Suspense>
    </main>
  );
}
