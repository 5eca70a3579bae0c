import { defineHandler, redirect } from "h3";

export default defineHandler(async ({ req, context: { session } }) => {
  const user = String((await req.formData()).get("user") ?? "");
  // Check a password or a passkey before this line. The cart keeps its items.
  session.bind(user);
  session.flash("notice", `Welcome, ${user}`);
  return redirect("/", 303);
});
