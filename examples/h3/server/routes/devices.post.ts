import { defineHandler, redirect } from "h3";
import { sessionsOf } from "../utils/sessions";

/** Logs this user out everywhere else. */
export default defineHandler(async (event) => {
  const { session } = event.context;
  if (session.owner === null) return redirect("/login", 303);
  const { sessions, ctx } = sessionsOf(event);
  await sessions.revokeAll(session.owner, { except: session.sessionKey, ctx });
  session.flash("notice", "The other devices are logged out");
  return redirect("/", 303);
});
