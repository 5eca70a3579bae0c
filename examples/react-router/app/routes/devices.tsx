import { sessionMiddleware } from "edge-session/react-router";
import { Form, redirect } from "react-router";
import { ctx, sessionContext, sessions } from "../session";
import type { Route } from "./+types/devices";

// Not needed, the root has it. Where a part of an application brings it along, there is still one
// session for a request and one commit.
export const middleware: Route.MiddlewareFunction[] = [sessionMiddleware(sessionContext)];

export async function loader({ context }: Route.LoaderArgs) {
  const session = context.get(sessionContext);
  if (session.owner === null) throw redirect("/login", 303);
  const devices = await sessions().list(session.owner, { ctx });
  return {
    devices: devices.map(({ key, userAgent, lastWritten }) => ({
      name: userAgent ?? "An unknown browser",
      seen: lastWritten.toISOString(),
      isThis: key === session.sessionKey,
    })),
  };
}

/** Logs this user out everywhere else. */
export async function action({ context }: Route.ActionArgs) {
  const session = context.get(sessionContext);
  if (session.owner === null) throw redirect("/login", 303);
  await sessions().revokeAll(session.owner, { except: session.sessionKey, ctx });
  session.flash("notice", "The other devices are logged out");
  return redirect("/", 303);
}

export default function Devices({ loaderData: { devices } }: Route.ComponentProps) {
  return (
    <main>
      <h1>Devices</h1>
      <ul>
        {devices.map(({ name, seen, isThis }, i) => (
          <li key={i}>
            {name}, {seen} {isThis && "(this one)"}
          </li>
        ))}
      </ul>
      <Form method="post">
        <button>Log out everywhere else</button>
      </Form>
    </main>
  );
}
