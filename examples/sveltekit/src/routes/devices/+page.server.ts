import { redirect } from "@sveltejs/kit";
import { Sessions } from "edge-session";
import type { Actions, PageServerLoad } from "./$types";

export const load: PageServerLoad = async ({ locals: { session }, platform, fetch }) => {
  if (session.owner === null) redirect(303, "/login");
  const { env, ctx } = platform!;
  const devices = await Sessions.fromEnv(env).list(session.owner, { ctx });
  // An endpoint of this application sees the session of this request, and there is still one commit.
  const { count }: { count: number } = await (await fetch("/api/cart")).json();
  return {
    count,
    devices: devices.map(({ key, userAgent, lastWritten }) => ({
      name: userAgent ?? "An unknown browser",
      seen: lastWritten.toISOString(),
      isThis: key === session.sessionKey,
    })),
  };
};

export const actions: Actions = {
  /** Logs this user out everywhere else. */
  default: async ({ locals: { session }, platform }) => {
    if (session.owner === null) redirect(303, "/login");
    const { env, ctx } = platform!;
    await Sessions.fromEnv(env).revokeAll(session.owner, { except: session.sessionKey, ctx });
    session.flash("notice", "The other devices are logged out");
    redirect(303, "/");
  },
};
