import { createFileRoute } from "@tanstack/react-router";
import { createServerFn } from "@tanstack/react-start";

const show = createServerFn().handler(({ context: { session } }) => {
  // An older login is answered with 401 and the error page, which leads to the login.
  session.requireRecentAuth(300);
  return { user: session.owner };
});

export const Route = createFileRoute("/payment")({ loader: () => show(), component: Payment });

function Payment() {
  const { user } = Route.useLoaderData();
  return (
    <main>
      <h1>Payment</h1>
      <p id="user">{user}</p>
    </main>
  );
}
