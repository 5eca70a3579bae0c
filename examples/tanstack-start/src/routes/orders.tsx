import { Await, createFileRoute } from "@tanstack/react-router";
import { createServerFn } from "@tanstack/react-start";
import { Suspense } from "react";

const order = createServerFn({ method: "POST" }).handler(({ context: { session } }) => {
  // The page is sent before what is not awaited is there, and so is the cookie: change the session here.
  session.set("cart", [...session.get("cart", []), "ordered"]);
});

/** Stands for a slow database. */
const ordersOfUser = createServerFn().handler(async ({ context: { session } }) => {
  const user = session.owner;
  await new Promise((resolve) => setTimeout(resolve, 50));
  return user === null ? [] : [`The first order of ${user}`];
});

export const Route = createFileRoute("/orders")({
  loader: async () => {
    await order();
    return { orders: ordersOfUser() };
  },
  component: Orders,
});

function Orders() {
  const { orders } = Route.useLoaderData();
  return (
    <main>
      <h1>Orders</h1>
      <Suspense fallback={<p>Looking…</p>}>
        <Await promise={orders}>
          {(all) => (
            <ul>
              {all.map((one) => (
                <li key={one}>{one}</li>
              ))}
            </ul>
          )}
        </Await>
      </Suspense>
    </main>
  );
}
