import { defineHandler, redirect } from "h3";

export default defineHandler(async ({ context: { session } }) => {
  await session.flush();
  session.flash("notice", "You are logged out");
  return redirect("/", 303);
});
