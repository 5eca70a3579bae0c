import { sessionMiddleware } from "edge-session/react-router";
import { isRouteErrorResponse, Link, Links, Meta, Outlet, Scripts, useRouteError } from "react-router";
import type { Route } from "./+types/root";
import { sessionContext } from "./session";

export const middleware: Route.MiddlewareFunction[] = [sessionMiddleware(sessionContext)];

export function Layout({ children }: { children: React.ReactNode }) {
  return (
    <html lang="en">
      <head>
        <meta charSet="utf-8" />
        <meta name="viewport" content="width=device-width" />
        <title>Shop</title>
        <Meta />
        <Links />
      </head>
      <body>
        <nav>
          <Link to="/">Cart</Link> <Link to="/orders">Orders</Link> <Link to="/devices">Devices</Link>{" "}
          <Link to="/payment">Payment</Link> <Link to="/about">About</Link>
        </nav>
        {children}
        <Scripts />
      </body>
    </html>
  );
}

export default function Root() {
  return <Outlet />;
}

export function ErrorBoundary() {
  const error = useRouteError();
  return (
    <main>
      <h1>{isRouteErrorResponse(error) && error.status === 404 ? "Not found" : "This did not work"}</h1>
      <p>
        Try again in a moment, or <Link to="/login">log in</Link>.
      </p>
    </main>
  );
}
