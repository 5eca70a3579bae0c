import { getCloudflareContext } from "@opennextjs/cloudflare";
import { Sessions, type SessionStore } from "edge-session";
import { cookies, headers } from "next/headers";

export interface Shop {
  cart: string[];
}

/** For route handlers, which call `sessions.handle`, and for the list of a user's devices. */
export function getSessions() {
  const { env, ctx } = getCloudflareContext();
  return { sessions: Sessions.fromEnv<Shop>(env), ctx };
}

/** The session, to be read: for server components, which cannot set cookies. */
export async function readSession() {
  // Before the bindings: it tells Next to make this page for each request and not to prerender it.
  const request = new Headers(await headers());
  // With the cookies that an action has set in this request.
  request.set("cookie", (await cookies()).toString());
  return getSessions().sessions.load({ headers: request });
}

/** The session, to be changed: for server actions. Call `redirect` afterwards, for it throws. */
export async function changeSession<T>(change: (session: SessionStore<Shop>) => T | Promise<T>) {
  const session = await readSession();
  const result = await change(session);
  const { sessions, ctx } = getSessions();
  const jar = await cookies();
  for (const { name, value, options } of (await sessions.commitCookies(session, { ctx })).cookies) {
    jar.set(name, value, options);
  }
  return result;
}
