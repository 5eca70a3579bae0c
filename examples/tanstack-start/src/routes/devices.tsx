import { createFileRoute } from "@tanstack/react-router";
import { env, waitUntil } from "cloudflare:workers";
import { Sessions } from "edge-session";
import { listDevices } from "../devices";
import { seeOther } from "../see-other";
import { sessionMiddleware } from "../start";

export const Route = createFileRoute("/devices")({
  server: {
    // Not needed, src/start.ts has it. Where a part of an application brings it along, there is still one
    // session for a request and one commit.
    middleware: [sessionMiddleware],
    handlers: {
      /** Logs this user out everywhere else. */
      POST: async ({ context: { session } }) => {
        if (session.owner === null) return seeOther("/login");
        const ctx = { waitUntil };
        await Sessions.fromEnv(env).revokeAll(session.owner, { except: session.sessionKey, ctx });
        session.flash("notice", "The other devices are logged out");
        return seeOther("/");
      },
    },
  },
  loader: () => listDevices(),
  component: Devices,
});

function Devices() {
  const devices = Route.useLoaderData();
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
      <form method="post">
        <button>Log out everywhere else</button>
      </form>
    </main>
  );
}
