import { sessionContext } from "../session";
import type { Route } from "./+types/payment";

export function loader({ context }: Route.LoaderArgs) {
  const session = context.get(sessionContext);
  // An older login is answered with 401 and the error page, which leads to the login.
  session.requireRecentAuth(300);
  return { user: session.owner };
}

export default function Payment({ loaderData: { user } }: Route.ComponentProps) {
  return (
    <main>
      <h1>Payment</h1>
      <p id="user">{user}</p>
    </main>
  );
}
