import { redirect } from "@tanstack/react-router";
import { createServerFn } from "@tanstack/react-start";
import { env, waitUntil } from "cloudflare:workers";
import { Sessions } from "edge-session";

export const listDevices = createServerFn().handler(async ({ context: { session } }) => {
  if (session.owner === null) throw redirect({ to: "/login", statusCode: 303 });
  const devices = await Sessions.fromEnv(env).list(session.owner, { ctx: { waitUntil } });
  return devices.map(({ key, userAgent, lastWritten }) => ({
    name: userAgent ?? "An unknown browser",
    seen: lastWritten.toISOString(),
    isThis: key === session.sessionKey,
  }));
});
