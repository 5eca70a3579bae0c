import { redirect } from "react-router";
import { sessionContext } from "../session";
import type { Route } from "./+types/logout";

export async function action({ context }: Route.ActionArgs) {
  const session = context.get(sessionContext);
  await session.flush();
  session.flash("notice", "You are logged out");
  return redirect("/", 303);
}
