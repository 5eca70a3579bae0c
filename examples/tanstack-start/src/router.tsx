import { createRouter, Link } from "@tanstack/react-router";
import { routeTree } from "./routeTree.gen";

function Failed() {
  return (
    <main>
      <h1>This did not work</h1>
      <p>
        Try again in a moment, or <a href="/login">log in</a>.
      </p>
    </main>
  );
}

function NotFound() {
  return (
    <main>
      <h1>Not found</h1>
      <Link to="/">Cart</Link>
    </main>
  );
}

export function getRouter() {
  return createRouter({ routeTree, defaultErrorComponent: Failed, defaultNotFoundComponent: NotFound });
}

declare module "@tanstack/react-router" {
  interface Register {
    router: ReturnType<typeof getRouter>;
  }
}
