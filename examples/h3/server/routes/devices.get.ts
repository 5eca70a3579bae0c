import { defineHandler, redirect } from "h3";
import { list, page } from "../utils/page";
import { sessionsOf } from "../utils/sessions";

export default defineHandler(async (event) => {
  const { session } = event.context;
  if (session.owner === null) return redirect("/login", 303);
  const { sessions, ctx } = sessionsOf(event);
  const devices = await sessions.list(session.owner, { ctx });
  const lines = devices.map(({ key, userAgent, lastWritten }) => {
    const isThis = key === session.sessionKey;
    return `${userAgent ?? "An unknown browser"}, ${lastWritten.toISOString()} ${isThis ? "(this one)" : ""}`;
  });
  const form = `<form method="post"><button>Log out everywhere else</button></form>`;
  return page("Devices", list(lines) + form);
});
